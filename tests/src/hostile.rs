//! Hostile images: a valid volume, changed.
//!
//! Two kinds of changes. *Raw* ones flip, overwrite, move and erase bytes as a broken chip would: what is still shown
//! must be right, or have been right once (an erased tail of the log looks like a log that ended earlier). *Sealed*
//! ones change what is inside a page and make checksum and parity right again, as an attacker would: then content may
//! be anything, but no call may panic, loop or run past its buffers.

use std::collections::BTreeSet;
use std::sync::Arc;

use k7fs_core::flash::Flash;
use k7fs_core::{
    ATTRIBUTE_NAME_BYTES_MAX, CodecId, ContentCursor, Device, Error, Key, Kind, MountOptions, NAME_BYTES_MAX,
    OpenOptions, Recompressed, Timestamp, Volume,
};
use k7fs_sim::chip::{Cut, CutKind, SimFlash};
use k7fs_sim::codec::HostCodecs;
use k7fs_sim::model::{Content, Operation, Oracle, Random, Session, Tree, TreeEntry, observe};

use crate::geometry::{Case, LOGICAL_BLOCK_MAX, VOLUME_ID, buffer_for};
use crate::ram::RamFlash;
use crate::seal::{HEADER_BYTES, SIGNATURE_BYTES, Sealer, is_signature, seal_signature};
use crate::workload::{branch, mkdir, rename, resize, select, snapshot, trim, unlink, write};

/// Flash operations that examining one image may take: far more than any sound image needs. A page that cannot be read is read
/// again for every lookup that comes by, several times each.
const OPERATIONS_MAX: u64 = 100_000;
/// The same for an image with pages that the decoder tries in vain.
const RAW_OPERATIONS_MAX: u64 = 400;
/// Objects that a walk visits: several times what the images hold. Each may take a few hundred reads.
const OBJECTS_MAX: usize = 200;
/// Programs and erases after which the power goes in a trim, at most.
const TRIM_OPERATIONS_MAX: u64 = 200;
/// Indexes that are looked into: more than the images have.
const INDEXES_MAX: usize = 12;
/// Bytes of an attribute that a walk reads; more is an error that names the size.
const ATTRIBUTE_BYTES_READ: usize = 2048;
/// Bytes of one file that a walk reads.
const CONTENT_BYTES_MAX: u64 = 1 << 20;

/// A valid image, and everything that it may show.
#[derive(Clone, Debug)]
pub struct Victim {
    flash: RamFlash,
    sealer: Sealer,
    written: Vec<u32>,
    /// Every tree that was ever committed.
    history: Vec<Tree>,
    /// It has attributes, several indexes and shared content.
    rich: bool,
    key: Option<Key>,
}

/// What examining one image gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The mount refused it.
    Refused,
    /// It mounted; some calls failed.
    Partly,
    /// It mounted and showed the last state whole.
    Whole,
    /// It mounted and showed an earlier state whole.
    Earlier,
    /// It mounted and showed what a sealed change has put there.
    Changed,
}

impl Victim {
    /// A volume with files of all sizes, links, holes and a history, on a small chip; a `rich` one has attributes, indexes, shared
    /// content and codecs of single files, too. `clean` unmounts it; the power goes in a trim on a rich one that is not.
    ///
    /// # Panics
    /// Where a sound volume does not work.
    pub fn new(case: &Case, clean: bool, rich: bool) -> Self {
        // Where a page holds next to nothing, all of it in one image would take more operations to look at than there may be.
        let shares = rich && case.page_size != 128;
        // Room for what is shared as well: a full volume cleans with every operation, which is another test's concern.
        let mut flash = case.formatted(if shares { 34 } else { 14 }, 0);
        let mut buffer = buffer_for(&flash);
        let mut oracle = Oracle::new();
        let mut history = vec![Tree::default()];
        let mut codecs = HostCodecs::new(LOGICAL_BLOCK_MAX);
        let mut codecs = codecs.lend();
        let options = MountOptions { key: case.key, ..MountOptions::default() };
        let mounted = Volume::mount_with(&mut flash, &mut buffer, options, &mut codecs);
        let mut volume = mounted.expect("a new volume mounts");
        let mut session = Session::new();
        for operation in operations(rich, shares) {
            oracle.start(&operation);
            history.extend(oracle.candidates());
            let outcome = session.apply(&mut volume, &operation);
            oracle.finish(&operation, &outcome).expect("a sound volume answers as the model does");
            history.dedup();
        }
        if clean {
            volume.unmount().expect("a sound volume unmounts");
        } else if !rich {
            let _ = volume.abandon();
        } else {
            let last = trim("s");
            oracle.start(&last);
            history.extend(oracle.candidates());
            history.dedup();
            let _ = volume.abandon();
            let whole = history.last().expect("there is a state");
            flash = cut_in(&flash, options, &last, whole).expect("a trim takes several commits");
        }
        let geometry = flash.geometry();
        let bytes = geometry.raw_page_size() * geometry.page_count() as usize;
        let image: Arc<[u8]> = flash.chip().to_bytes()[..bytes].into();
        let flash = RamFlash::new(geometry, image);
        let written = flash.written_pages();
        let pages = written.iter().map(|page| (*page, flash.page(*page)));
        let sealer = Sealer::new(geometry, VOLUME_ID, pages).expect("pages are sealed as the format says");
        Self { flash, sealer, written, history, rich, key: case.key }
    }

    /// Whether it has attributes, several indexes and shared content.
    pub fn is_rich(&self) -> bool {
        self.rich
    }

    /// The image as it is.
    pub fn flash(&self) -> &RamFlash {
        &self.flash
    }

    /// Pages that hold anything.
    pub fn written(&self) -> &[u32] {
        &self.written
    }

    /// A changed image, and whether its changes were sealed.
    ///
    /// Pages beyond correction are mostly marked as such and not made so: the decoder's vain work on real ones would
    /// cost a hundred times the rest. Where they are made so, the chip gives up after a few hundred operations.
    pub fn mutated(&self, random: &mut Random) -> (RamFlash, bool) {
        let mut flash = self.flash.clone();
        let class = random.below(100);
        for _ in 0..1 + random.below(3) {
            let page = *random.pick(&self.written).unwrap_or(&0);
            match class {
                0..75 => self.change_sealed(&mut flash, page, random),
                75..97 => flash.lose(page),
                _ => self.change_raw(&mut flash, page, random),
            }
        }
        flash.limit_operations(if class < 97 { OPERATIONS_MAX } else { RAW_OPERATIONS_MAX });
        (flash, class < 75)
    }

    /// A changed image after edits of five bytes each: which written page, where in its content (two bytes), what to
    /// do, and a value. Every edited page is sealed again.
    pub fn edited(&self, edits: &[u8]) -> RamFlash {
        let mut flash = self.flash.clone();
        for edit in edits.as_chunks::<5>().0 {
            let [index, low, high, action, value] = *edit;
            let page = self.written[usize::from(index) % self.written.len()];
            let signature = is_signature(flash.page(page));
            let end = if signature { SIGNATURE_BYTES.min(flash.page(page).len()) } else { self.sealer.content_bytes() };
            let at = usize::from(u16::from_le_bytes([low, high])) % end;
            let other = self.written[usize::from(value) % self.written.len()];
            let source = flash.page(other).to_vec();
            let bytes = flash.page_mut(page);
            match action % 6 {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value % 8),
                2 => bytes[at] = bytes[at].wrapping_add(value),
                3 => bytes[at..end.min(at + usize::from(value))].fill(0xFF),
                4 => bytes[at..end].copy_from_slice(&source[at..end]),
                _ => bytes[at..end.min(at + usize::from(value))].fill(0),
            }
            if signature && bytes.len() >= SIGNATURE_BYTES {
                seal_signature(bytes);
            } else {
                self.sealer.seal(page, bytes);
            }
        }
        flash
    }

    fn change_raw(&self, flash: &mut RamFlash, page: u32, random: &mut Random) {
        let other = *random.pick(&self.written).unwrap_or(&0);
        let source = flash.page(other).to_vec();
        let bytes = flash.page_mut(page);
        let at = random.below(bytes.len() as u64) as usize;
        let length = (1 + random.below(64) as usize).min(bytes.len() - at);
        match random.below(8) {
            0 | 1 => {
                for _ in 0..1 + random.below(120) {
                    let bit = random.below(bytes.len() as u64 * 8) as usize;
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }
            2 => bytes[at..at + length].fill(0),
            3 => bytes[at..at + length].fill(0xFF),
            4 => bytes.fill(0xFF),
            5 => bytes.fill(0),
            6 => bytes.copy_from_slice(&source),
            _ => bytes[at..at + length].copy_from_slice(&source[at..at + length]),
        }
    }

    fn change_sealed(&self, flash: &mut RamFlash, page: u32, random: &mut Random) {
        let other = *random.pick(&self.written).unwrap_or(&0);
        let source = flash.page(other).to_vec();
        if is_signature(flash.page(page)) {
            let bytes = flash.page_mut(page);
            let range = 4..SIGNATURE_BYTES.min(bytes.len());
            change_field(&mut bytes[range], &source[4..], random);
            if bytes.len() >= SIGNATURE_BYTES {
                seal_signature(bytes);
            }
            return;
        }
        let end = self.sealer.content_bytes();
        let bytes = flash.page_mut(page);
        match random.below(8) {
            // The header: kind, sequence, generation, first item, last commit.
            0 | 1 => change_field(&mut bytes[..HEADER_BYTES], &source[..HEADER_BYTES], random),
            // Another page's whole content under this page's address: loops.
            2 => bytes[..end].copy_from_slice(&source[..end]),
            3 => bytes[HEADER_BYTES..end].copy_from_slice(&source[HEADER_BYTES..end]),
            _ => {
                for _ in 0..1 + random.below(3) {
                    change_field(&mut bytes[HEADER_BYTES..end], &source[HEADER_BYTES..end], random);
                }
            }
        }
        self.sealer.seal(page, flash.page_mut(page));
    }

    /// Mounts an image, asks everything of it, writes to it, and judges what it shows.
    ///
    /// # Panics
    /// Where the volume loops, contradicts itself, or (unless `sealed`) shows what never was.
    pub fn examine(&self, mut flash: RamFlash, sealed: bool, read_only: bool) -> Verdict {
        let mut buffer = buffer_for(&flash);
        let options = MountOptions { read_only, key: self.key, ..MountOptions::default() };
        // Nobody seals pages of an authenticated volume without its key.
        let sealed = sealed && self.key.is_none();
        let verdict = {
            let mut codecs = HostCodecs::new(LOGICAL_BLOCK_MAX);
            let mut codecs = codecs.lend();
            let Ok(mut volume) = Volume::mount_with(&mut flash, &mut buffer, options, &mut codecs) else {
                assert!(flash.operations() < OPERATIONS_MAX, "the mount works for ever");
                return Verdict::Refused;
            };
            let verdict = if sealed { provoke_all(&mut volume, self.rich) } else { self.judge(&mut volume) };
            // Checking and writing cost as much as all the rest: each image meets one of them.
            if read_only {
                // The summary is not judged: a fault may be reported or stop the check.
                let _ = volume.check_deep(|_| {});
            } else {
                alter(&mut volume);
                if self.rich {
                    alter_rich(&mut volume);
                }
                if !sealed {
                    self.survey(&mut volume);
                }
                let _ = volume.unmount();
            }
            verdict
        };
        assert!(flash.operations() < OPERATIONS_MAX, "the volume works for ever");
        verdict
    }

    /// What an image with raw damage shows must have been there.
    fn judge(&self, volume: &mut Volume<'_, &mut RamFlash>) -> Verdict {
        match observe(volume) {
            Ok(tree) => {
                let age = self.history.iter().rev().position(|known| *known == tree);
                match age {
                    Some(0) => Verdict::Whole,
                    Some(_) => Verdict::Earlier,
                    None => {
                        let last = self.history.last().and_then(|known| known.difference(&tree));
                        panic!("a damaged image shows what never was: {}", last.unwrap_or_default())
                    }
                }
            }
            Err(error) => {
                let Some(error) = error.volume_error() else { panic!("a damaged image shows nonsense: {error:?}") };
                let is_forged = self.key.is_some() && matches!(error, Error::Forged { .. });
                assert!(is_forged || is_damage(error), "a damaged image fails with {error:?}");
                self.survey(volume);
                Verdict::Partly
            }
        }
    }

    /// Reads what can be read, past errors; each content must have been at its path once.
    fn survey(&self, volume: &mut Volume<'_, &mut RamFlash>) {
        let known: BTreeSet<&String> = self.history.iter().flat_map(|tree| tree.entries.keys()).collect();
        for path in known {
            let Ok(metadata) = volume.metadata(path) else { continue };
            let mut bytes = vec![0; metadata.size.min(CONTENT_BYTES_MAX) as usize];
            if metadata.kind == Kind::File
                && let Ok(length) = volume.read(path, &mut bytes)
            {
                let entries = self.history.iter().filter_map(|tree| tree.entries.get(path));
                let mut contents = entries.map(|entry: &TreeEntry| &entry.content[..]);
                assert!(contents.any(|content| *content == bytes[..length]), "{path} shows what was never written");
            }
        }
    }
}

/// The power goes in an operation as soon as its outcome is on the chip, and what it leaves to be done is not.
fn cut_in(flash: &SimFlash, options: MountOptions, operation: &Operation, whole: &Tree) -> Option<SimFlash> {
    let mut codecs = HostCodecs::new(LOGICAL_BLOCK_MAX);
    (1..TRIM_OPERATIONS_MAX).find_map(|after| {
        let mut flash = flash.clone();
        let mut buffer = buffer_for(&flash);
        let mut lent = codecs.lend();
        let mounted = Volume::mount_with(&mut flash, &mut buffer, options, &mut lent);
        let mut volume = mounted.expect("a sound volume mounts");
        volume.flash_mut().chip_mut().faults_mut().cut = Some(Cut { operation: after, kind: CutKind::Done });
        let _ = Session::new().apply(&mut volume, operation);
        let is_cut = volume.flash_mut().chip().is_off();
        volume.abandon();
        flash.chip_mut().power_on();
        let options = MountOptions { read_only: true, ..options };
        let mut lent = codecs.lend();
        let mounted = Volume::mount_with(&mut flash, &mut buffer, options, &mut lent);
        let mut volume = mounted.expect("a cut volume mounts");
        let shown = observe(&mut volume).expect("a cut volume can be read");
        volume.abandon();
        (is_cut && shown == *whole).then_some(flash)
    })
}

/// The numbers behind [`Victim::mutated`].
pub fn random(seed: u64) -> Random {
    Random::new(seed)
}

fn change_field(bytes: &mut [u8], source: &[u8], random: &mut Random) {
    // Most structure is near the start.
    let span = if random.percent(40) { bytes.len().min(48) } else { bytes.len() };
    let at = random.below(span as u64) as usize;
    let length = (1 + random.below(12) as usize).min(bytes.len() - at).min(source.len().saturating_sub(at));
    match random.below(9) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = bytes[at].wrapping_add(1),
        2 => bytes[at] = bytes[at].wrapping_sub(1),
        3 => bytes[at] = random.next_u64() as u8,
        4 => bytes[at] = [0, 0x7F, 0x80, 0xFF][random.below(4) as usize],
        // A ULEB that does not end, or the largest.
        5 => bytes[at..at + length].fill(0xFF),
        6 => bytes[at..].fill(0),
        7 => bytes[at..at + length].copy_from_slice(&source[at..at + length]),
        _ => {
            let from = random.below(source.len() as u64) as usize;
            let length = length.min(source.len() - from);
            bytes[at..at + length].copy_from_slice(&source[from..from + length]);
        }
    }
}

/// Errors that damage may give. All others would blame the caller for it.
fn is_damage(error: Error) -> bool {
    matches!(
        error,
        Error::Uncorrectable { .. }
            | Error::Corrupt { .. }
            | Error::HashMismatch { .. }
            | Error::NeedsRemount
            | Error::Flash(_)
    )
}

/// Walks the current index and another one that is listed, and comes back to the first; nothing is expected but an end.
fn provoke_all(volume: &mut Volume<'_, &mut RamFlash>, rich: bool) -> Verdict {
    let verdict = provoke(volume, rich);
    let mut names = Vec::new();
    let mut cursor = volume.indexes();
    let mut name = [0; NAME_BYTES_MAX];
    while let Ok(Some(index)) = volume.next_index(&mut cursor, &mut name) {
        names.push(index.name.to_owned());
        if names.len() >= INDEXES_MAX {
            break;
        }
    }
    // One of them, another one in each image, and back: all would cost as much as everything else together.
    let other = volume.flash_mut().operations() as usize % names.len().max(1);
    for name in names.get(other).into_iter().chain(names.first()) {
        if volume.select_index(name).is_ok() && names.len() > 1 {
            let _ = provoke(volume, rich);
        }
    }
    verdict
}

/// Walks whatever is there and reads it in pieces; nothing is expected but an end.
fn provoke(volume: &mut Volume<'_, &mut RamFlash>, rich: bool) -> Verdict {
    let mut verdict = Verdict::Changed;
    let mut directories = vec!["/".to_owned()];
    let mut objects = 0;
    let mut name = [0; NAME_BYTES_MAX];
    while let Some(directory) = directories.pop() {
        let Ok(mut cursor) = volume.read_dir(&directory) else {
            verdict = Verdict::Partly;
            continue;
        };
        let mut found = Vec::new();
        loop {
            objects += 1;
            match volume.next_entry(&mut cursor, &mut name) {
                Ok(Some(entry)) if objects < OBJECTS_MAX => found.push((entry.name.to_owned(), entry.kind)),
                Ok(_) => break,
                Err(_) => {
                    verdict = Verdict::Partly;
                    break;
                }
            }
        }
        for (name, kind) in found {
            let path = format!("{}/{name}", directory.trim_end_matches('/'));
            if provoke_object(volume, &path, rich).is_err() {
                verdict = Verdict::Partly;
            }
            if kind == Kind::Directory && objects < OBJECTS_MAX {
                directories.push(path);
            }
        }
    }
    if rich && provoke_chunks(volume).is_err() {
        verdict = Verdict::Partly;
    }
    let _ = volume.usage();
    verdict
}

fn provoke_object(volume: &mut Volume<'_, &mut RamFlash>, path: &str, rich: bool) -> Result<(), Error> {
    let metadata = volume.metadata(path)?;
    let mut bytes = [0; 5000];
    let result = match metadata.kind {
        Kind::File => {
            let file = volume.open(path, OpenOptions::new().read(true))?;
            let mut result = Ok(0);
            for offset in [0, 4000, metadata.size / 2, metadata.size.saturating_sub(1), metadata.size, u64::MAX] {
                result = result.and(volume.read_at(&file, offset, &mut bytes));
            }
            volume.close(file)?;
            result.map(|_| ())
        }
        Kind::Symlink => volume.read_link(path, &mut bytes).map(|_| ()),
        Kind::CharacterDevice | Kind::BlockDevice => volume.device(path).map(|_| ()),
        _ => Ok(()),
    };
    if rich { result.and(provoke_extra(volume, path)) } else { result }
}

/// Attributes and metadata of an object. There are at most as many as an image holds.
fn provoke_extra(volume: &mut Volume<'_, &mut RamFlash>, path: &str) -> Result<(), Error> {
    let mut name = [0; ATTRIBUTE_NAME_BYTES_MAX];
    let mut bytes = [0; ATTRIBUTE_BYTES_READ];
    let mut cursor = volume.list_attributes(path)?;
    let mut result = Ok(());
    for _ in 0..OBJECTS_MAX {
        let Some(entry) = volume.next_attribute(&mut cursor, &mut name)? else { break };
        let name = entry.name.to_owned();
        match volume.attribute(path, &name, &mut bytes) {
            Ok(_) | Err(Error::ResultTooLarge { .. }) => {}
            Err(error) => result = result.and(Err(error)),
        }
    }
    result = result.and(volume.posix(path).map(|_| ()));
    result = result.and(volume.nt(path).map(|_| ()));
    match volume.reparse_point(path, &mut bytes) {
        Ok(_) | Err(Error::NoSuchAttribute) => {}
        Err(error) => result = result.and(Err(error)),
    }
    result.and(volume.short_name(path, &mut bytes).map(|_| ()))
}

/// Changes a damaged volume. Every call may fail; none may do harm.
fn alter(volume: &mut Volume<'_, &mut RamFlash>) {
    let _ = volume.write("/new", &[7; 700]);
    let _ = volume.write("/newer", &[7; 4096]);
    let _ = volume.recompress("/d/e/large", volume.info().codec);
    let _ = volume.create_dir("/newdir");
    let _ = volume.rename("/d", "/newdir/d");
    let _ = volume.rename("/newdir/d", "/d");
    let _ = volume.remove_file("/new");
    let _ = volume.remove_dir("/newdir");
    let _ = volume.sync();
}

/// The same with its attributes and indexes.
fn alter_rich(volume: &mut Volume<'_, &mut RamFlash>) {
    let _ = volume.set_attribute("/d", "user.long", &[9; 900]);
    let _ = volume.set_attribute("/d", "user.long", &[9; 90]);
    let _ = volume.set_attribute("/new", "user.long", &[9; 700]);
    let _ = volume.remove_attribute("/d/medium", "user.note");
    let _ = volume.set_short_name("/d/medium", "MEDIUM~2");
    let _ = volume.remove_file("/d/many");
    alter_shared(volume);
    let _ = volume.erase_ahead(2);
    let _ = volume.maintain(50);
    if let Ok(mut cursor) = volume.defragment_all() {
        while let Ok(Some(_)) = volume.next_defragment(&mut cursor) {}
    }
    let blocks = volume.info().geometry.block_count;
    let _ = volume.resize(blocks - 1);
    let _ = volume.resize(blocks);
    let _ = volume.create_snapshot("new");
    let _ = volume.write("/new", &[8; 70]);
    let _ = volume.create_branch("t", "newer");
    let _ = volume.rename_index("new", "newest");
    let _ = volume.trim_index("t");
    let _ = volume.roll_back_to("newest");
    let _ = volume.trim_index("newest");
    let _ = volume.trim_index("b");
    let _ = volume.remove_tree("/d");
    let _ = volume.sync();
}

/// Changes what files share and what they are compressed with; what known files hold stays.
fn alter_shared(volume: &mut Volume<'_, &mut RamFlash>) {
    let _ = volume.copy("/s/deep", "/deeper");
    let _ = volume.copy("/s/chunks", "/chunks");
    let _ = volume.copy("/s/other", "/deeper");
    let _ = volume.deduplicate("/s/equal", "/s/too");
    let _ = volume.choose_codec("/s", None);
    let _ = volume.choose_codec("/chunks", Some(volume.info().codec));
    if let Ok(file) = volume.open("/chunks", OpenOptions::new().write(true)) {
        let _ = volume.write_at(&file, 100, &[5; 900]);
        let _ = volume.append_chunk(&file, &[6; 300]);
        if let Ok(Some(chunk)) = volume.next_chunk(0) {
            let _ = volume.append_shared(&file, chunk.id);
        }
        let _ = volume.set_len(&file, 3000);
        let _ = volume.close(file);
    }
    let _ = volume.write("/deeper", &[4; 5000]);
    let _ = volume.remove_file("/s/other");
    let (mut cursor, mut done) = (ContentCursor::default(), Recompressed::default());
    for _ in 0..OBJECTS_MAX {
        match volume.recompress_step(&mut cursor, volume.info().codec, &mut done) {
            Ok(true) => {}
            _ => break,
        }
    }
}

/// What lies in chunks. There are at most as many as an image holds.
fn provoke_chunks(volume: &mut Volume<'_, &mut RamFlash>) -> Result<(), Error> {
    let mut bytes = [0; 1000];
    let (mut after, mut result) = (0, Ok(()));
    for _ in 0..OBJECTS_MAX {
        let Some(chunk) = volume.next_chunk(after)? else { break };
        result = result.and(volume.read_chunk(chunk.id, chunk.len / 2, &mut bytes).map(|_| ()));
        after = chunk.id;
    }
    result
}

/// Attributes in records and outside, replaced and removed ones too, metadata, a device.
fn extra_operations() -> Vec<Operation> {
    let attribute = |path: &str, name: &str, seed, length| Operation::SetAttribute {
        path: path.to_owned(),
        name: name.to_owned(),
        content: Content::seeded(seed, length),
    };
    let mut operations = vec![
        attribute("/d/medium", "user.note", 1, 20),
        attribute("/d/medium", "user.long", 2, 1300),
        attribute("/d", "user.note", 3, 300),
        attribute("/d/medium", "user.gone", 4, 800),
        Operation::RemoveAttribute { path: "/d/medium".to_owned(), name: "user.gone".to_owned() },
        attribute("/d", "user.note", 5, 10),
        Operation::SetStream { path: "/hole".to_owned(), stream: "side".to_owned(), content: Content::seeded(6, 60) },
        Operation::SetPosix {
            path: "/d/medium".to_owned(),
            mode: 0o4751,
            uid: 1000,
            gid: 100,
            accessed: Some(Timestamp { seconds: 13_000_000_000, ticks: 1 }),
        },
        Operation::SetNt { path: "/d".to_owned(), attributes: 0x12 },
        Operation::SetShortName { path: "/d/medium".to_owned(), name: "MEDIUM~1".to_owned() },
        Operation::CreateSpecial {
            path: "/d/null".to_owned(),
            kind: Kind::CharacterDevice,
            device: Device { major: 1, minor: 3 },
        },
        write("/d/many", 9, 10),
    ];
    operations.extend((0..6).map(|index| attribute("/d/many", &format!("user.{index}"), index, 30)));
    operations
}

/// Copies of copies with their own changes, equal files, chunks that several files have, and codecs of single files.
fn shared_operations() -> Vec<Operation> {
    let text = |path: &str| path.to_owned();
    let copy = |from: &str, to: &str| Operation::Copy { from: text(from), to: text(to) };
    let update =
        |path: &str, offset, seed| Operation::Update { path: text(path), offset, content: Content::seeded(seed, 90) };
    let chunk =
        |path: &str, seed, length| Operation::AppendChunk { path: text(path), content: Content::seeded(seed, length) };
    let choose = |path: &str, codec| Operation::ChooseCodec { path: text(path), codec };
    vec![
        mkdir("/s"),
        choose("/s", Some(CodecId::Store)),
        copy("/d/e/large", "/s/copy"),
        update("/s/copy", 1000, 21),
        copy("/s/copy", "/s/again"),
        update("/s/again", 4200, 22),
        copy("/s/again", "/s/deep"),
        update("/d/e/large", 10, 23),
        copy("/d/medium", "/s/copy of medium"),
        copy("/d/medium", "/s/given up"),
        unlink("/s/given up"),
        write("/s/equal", 24, 700),
        write("/s/too", 24, 700),
        Operation::Deduplicate { first: text("/s/equal"), second: text("/s/too") },
        chunk("/s/chunks", 25, 600),
        chunk("/s/chunks", 26, 900),
        chunk("/s/other", 26, 900),
        chunk("/s/other", 25, 600),
        update("/s/chunks", 500, 27),
        resize("/s/other", 1200),
        choose("/s/too", None),
        write("/s/stored", 103, 5000),
        choose("/d/e/large", Some(CodecId::Store)),
    ]
}

/// A short life: all kinds of objects, replaced and removed ones too.
fn operations(rich: bool, shares: bool) -> Vec<Operation> {
    let text = |path: &str| path.to_owned();
    let mut operations = vec![
        mkdir("/d"),
        mkdir("/d/e"),
        write("/small", 1, 40),
        write("/d/medium", 2, 900),
        write("/d/e/large", 3, 4500),
        Operation::Symlink { target: text("/d/medium"), path: text("/link") },
        Operation::HardLink { existing: text("/d/medium"), new: text("/d/e/hard") },
        write("/hole", 4, 100),
        resize("/hole", 20_000),
        Operation::Update { path: text("/hole"), offset: 15_000, content: Content::seeded(5, 300) },
    ];
    operations.extend((0..8).map(|index| write(&format!("/d/f{index}"), index, 30 + index as u32 * 20)));
    operations.extend((0..8).step_by(3).map(|index| unlink(&format!("/d/f{index}"))));
    if rich {
        operations.extend(extra_operations());
    }
    if shares {
        operations.extend(shared_operations());
    }
    operations.push(rename("/small", "/d/e/small"));
    operations.push(write("/d/medium", 6, 1000));
    operations.push(Operation::Update { path: text("/d/e/large"), offset: 3000, content: Content::seeded(8, 100) });
    operations.push(write("/d/e/packed", 101, 9000));
    operations.push(Operation::Update { path: text("/d/e/packed"), offset: 2000, content: Content::seeded(9, 70) });
    operations.extend((0..8).map(|index| write("/again", index, 50)));
    if !rich {
        return operations;
    }
    operations.extend([snapshot("s"), unlink("/d/f1"), write("/again", 9, 70), snapshot("t"), branch("s", "b")]);
    operations.extend([select("b"), write("/of the branch", 1, 300), unlink("/hole"), select("main")]);
    operations.extend([rename("/d/e/small", "/small"), resize("/hole", 50), trim("b")]);
    operations
}
