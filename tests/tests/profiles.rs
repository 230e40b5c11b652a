//! One format, several builds: what the `core` profile makes of a volume that the `full` one has filled, and the other way round.

use std::collections::BTreeMap;

use k7fs_core::{CodecId, Device, FormatOptions, Kind, OpenOptions, Posix};
use k7fs_sim::chip::{Chip, ChipSpec, Cut, CutKind, SimNor};
use k7fs_sim::codec::HostCodecs;
use k7fs_sim::model::{Content, Random};
use k7fs_tests::geometry::format_options;
use k7fs_tests::seed::{mix, seed};

/// Files by their paths; a directory, link or special file has no bytes.
type Tree = BTreeMap<String, Vec<u8>>;

const BLOCKS: u32 = 250;
/// Longer than what one change deletes.
const LARGE: usize = 100_000;
const ROUNDS: usize = 24;
const STEPS: usize = 30;

/// Two crates from one source have two sets of types, which no function takes both of.
macro_rules! build {
    ($build:ident, $core:ident) => {
        mod $build {
            use super::*;
            use $core::flash::{Flash as _, Nor, NorConfig};
            pub(super) use $core::{DirCursor, Error, MountOptions, buffer_bytes};

            pub(super) type Driver<'c> = Nor<SimNor<1, 4096, &'c mut Chip>>;
            pub(super) type Volume<'b, 'c> = $core::Volume<'b, Driver<'c>>;

            pub(super) fn driver(chip: &mut Chip) -> Driver<'_> {
                let driver = SimNor::new(chip).expect("is such a chip");
                let config = NorConfig { offset: 0, length: BLOCKS * 4096, page_size: 256, block_size: 4096 };
                Nor::new(driver, config).expect("fits")
            }

            pub(super) fn buffer(flash: &Driver<'_>) -> Vec<u8> {
                vec![0; buffer_bytes(&flash.geometry())]
            }

            /// Does something with the volume, which is sound before and after, and stops.
            pub(super) fn with<R>(chip: &mut Chip, run: impl FnOnce(&mut Volume<'_, '_>) -> R) -> R {
                let flash = driver(chip);
                let mut buffer = buffer(&flash);
                let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("mounts");
                volume.check(|fault| panic!("{fault:?} before")).expect("reads");
                let result = run(&mut volume);
                volume.check(|fault| panic!("{fault:?} behind")).expect("reads");
                volume.unmount().expect("stops");
                result
            }

            /// Everything there is by its path.
            pub(super) fn tree(volume: &mut Volume<'_, '_>) -> Tree {
                let mut tree = Tree::new();
                let mut open: Vec<(String, DirCursor)> = vec![(String::new(), volume.read_dir("/").expect("reads"))];
                while let Some((path, cursor)) = open.last_mut() {
                    let mut name = [0; 255];
                    let Some(entry) = volume.next_entry(cursor, &mut name).expect("reads") else {
                        open.pop();
                        continue;
                    };
                    let path = format!("{path}/{}", entry.name);
                    let mut bytes = Vec::new();
                    match entry.kind {
                        $core::Kind::Directory => open.push((path.clone(), volume.read_dir(&path).expect("reads"))),
                        $core::Kind::File => {
                            bytes = vec![0; volume.metadata(&path).expect("is there").size as usize];
                            volume.read(&path, &mut bytes).expect("reads");
                        }
                        _ => {}
                    }
                    tree.insert(path, bytes);
                }
                tree
            }

            /// One change of a file, or none where that is refused.
            pub(super) fn change(volume: &mut Volume<'_, '_>, step: &Step) -> Result<(), Error> {
                match step {
                    Step::Write(path, bytes) => volume.write(path, bytes),
                    Step::Update(path, offset, bytes) => {
                        let file = volume.open(path, $core::OpenOptions::new().write(true))?;
                        let result = volume.write_at(&file, *offset as u64, bytes);
                        volume.close(file)?;
                        result
                    }
                    Step::Resize(path, len) => {
                        let file = volume.open(path, $core::OpenOptions::new().write(true))?;
                        let result = volume.set_len(&file, *len as u64);
                        volume.close(file)?;
                        result
                    }
                    Step::Rename(from, to) => volume.rename(from, to),
                    Step::Remove(path) => volume.remove_file(path),
                }
            }
        }
    };
}

build!(full, k7fs_core);
build!(core, k7fs_core_profile);

/// What both builds can do, as far as a file is not shared.
enum Step {
    Write(String, Vec<u8>),
    Update(String, usize, Vec<u8>),
    Resize(String, usize),
    Rename(String, String),
    Remove(String),
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Write(path, bytes) => write!(f, "write {} bytes to {path}", bytes.len()),
            Self::Update(path, offset, bytes) => write!(f, "write {} bytes to {path} at {offset}", bytes.len()),
            Self::Resize(path, len) => write!(f, "make {path} {len} bytes long"),
            Self::Rename(from, to) => write!(f, "rename {from} to {to}"),
            Self::Remove(path) => write!(f, "remove {path}"),
        }
    }
}

impl Step {
    fn random(random: &mut Random) -> Self {
        let path = |random: &mut Random| format!("/{}", random.pick(&["a", "b", "c", "d", "e", "f"]).expect("some"));
        let bytes = |random: &mut Random, most| Content::seeded(random.below(1000), random.below(most) as u32).bytes();
        match random.below(10) {
            0..3 => Self::Write(path(random), bytes(random, 20_000)),
            3..7 => Self::Update(path(random), random.below(20_000) as usize, bytes(random, 600)),
            7 => Self::Resize(path(random), random.below(30_000) as usize),
            8 => Self::Rename(path(random), path(random)),
            _ => Self::Remove(path(random)),
        }
    }

    /// What the step does to a tree that has its file.
    fn apply(&self, tree: &mut Tree) {
        match self {
            Self::Write(path, bytes) => drop(tree.insert(path.clone(), bytes.clone())),
            Self::Update(path, offset, bytes) => {
                let file = tree.get_mut(path).expect("is there");
                if !bytes.is_empty() {
                    file.resize(file.len().max(offset + bytes.len()), 0);
                    file[*offset..offset + bytes.len()].copy_from_slice(bytes);
                }
            }
            Self::Resize(path, len) => tree.get_mut(path).expect("is there").resize(*len, 0),
            Self::Rename(from, to) => {
                let file = tree.remove(from).expect("is there");
                tree.insert(to.clone(), file);
            }
            Self::Remove(path) => drop(tree.remove(path)),
        }
    }
}

fn chip(options: &FormatOptions) -> Chip {
    let spec = ChipSpec::named("W25Q80BL").expect("there is one").scaled(BLOCKS);
    let mut chip = Chip::new(&spec, seed());
    let mut flash = full::driver(&mut chip);
    let mut buffer = full::buffer(&flash);
    k7fs_core::Volume::format(&mut flash, &mut buffer, options).expect("formats");
    chip
}

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    Content::seeded(seed, len as u32).bytes()
}

/// One of everything, jobs that are left over included.
fn fill(chip: &mut Chip) {
    full::with(chip, |volume| {
        for dir in ["/dir", "/dir/below", "/gone", "/gone/below"] {
            volume.create_dir(dir).expect("fits");
        }
        volume.write("/plain", &bytes(1, 9000)).expect("fits");
        volume.hard_link("/plain", "/dir/link").expect("fits");
        volume.symlink("plain", "/symlink").expect("fits");
        volume.create_special("/device", Kind::BlockDevice, Device { major: 8, minor: 1 }).expect("fits");
        volume.write("/tagged", &bytes(2, 300)).expect("fits");
        for path in ["/tagged", "/dir", "/dir/link"] {
            volume.set_attribute(path, "user.short", b"value").expect("fits");
            volume.set_attribute(path, "user.long", &bytes(3, 5000)).expect("fits");
        }
        let posix = volume.posix("/tagged").expect("reads");
        volume.set_posix("/tagged", &Posix { mode: 0o600, uid: 7, ..posix }).expect("fits");
        volume.write("/shared", &bytes(4, LARGE)).expect("fits");
        volume.copy("/shared", "/copy").expect("shares");
        volume.copy("/shared", "/dir/below/copy").expect("shares");
        let file = volume.open("/copy", OpenOptions::new().write(true)).expect("opens");
        volume.write_at(&file, 5000, &bytes(5, 700)).expect("fits");
        volume.close(file).expect("closes");
        let file = volume.open("/chunks", OpenOptions::new().write(true).create(true)).expect("opens");
        let chunk = volume.append_chunk(&file, &bytes(6, 3000)).expect("fits");
        volume.append_shared(&file, chunk).expect("fits");
        volume.close(file).expect("closes");
        volume.create_snapshot("before").expect("fits");
        volume.create_branch("before", "branch").expect("fits");
        for number in 0..100 {
            volume.write(&format!("/gone/below/{number}"), b"x").expect("fits");
        }
        volume.write("/plain", &bytes(7, 8000)).expect("fits");
    });
    leave_jobs(chip);
}

/// A file that goes while it is open, with a snapshot taken meanwhile, and a tree whose removal is cut short.
fn leave_jobs(chip: &mut Chip) {
    let mut done = chip.clone();
    remove_while_open(&mut done, None);
    let done = look(&mut done).1;
    for operation in 0.. {
        let mut trial = chip.clone();
        remove_while_open(&mut trial, Some(operation));
        assert!(trial.is_off(), "no cut leaves a tree half removed");
        trial.power_on();
        let (has_tree, objects) = look(&mut trial);
        if !has_tree && objects > done + 10 {
            *chip = trial;
            return;
        }
    }
}

fn remove_while_open(chip: &mut Chip, operation: Option<u64>) {
    let flash = full::driver(chip);
    let mut buffer = full::buffer(&flash);
    let mut volume = full::Volume::mount(flash, &mut buffer, full::MountOptions::default()).expect("mounts");
    volume.write("/open", &bytes(8, LARGE)).expect("fits");
    volume.copy("/open", "/kept").expect("shares");
    volume.set_attribute("/open", "user.a", b"b").expect("fits");
    let _open = volume.open("/open", OpenOptions::new().read(true)).expect("opens");
    volume.remove_file("/open").expect("works");
    volume.create_snapshot("while open").expect("fits");
    let cut = operation.map(|operation| Cut { operation, kind: CutKind::HALF });
    volume.flash_mut().driver_mut().chip_mut().faults_mut().cut = cut;
    let _ = volume.remove_tree("/gone");
    volume.abandon();
}

/// Whether there is `/gone`, and the number of objects, as a mount sees it that changes nothing.
fn look(chip: &mut Chip) -> (bool, u64) {
    let flash = full::driver(chip);
    let mut buffer = full::buffer(&flash);
    let options = full::MountOptions { read_only: true, ..Default::default() };
    let mut volume = full::Volume::mount(flash, &mut buffer, options).expect("mounts");
    let objects = volume.check(|fault| panic!("{fault:?}")).expect("reads").objects;
    (volume.metadata("/gone").is_ok(), objects)
}

/// What the volume holds after [`fill`], but for directories, links and the device.
fn filled() -> Tree {
    let mut copy = bytes(4, LARGE);
    copy[5000..5700].copy_from_slice(&bytes(5, 700));
    let files = [
        ("/plain", bytes(7, 8000)),
        ("/dir/link", bytes(7, 8000)),
        ("/tagged", bytes(2, 300)),
        ("/shared", bytes(4, LARGE)),
        ("/copy", copy),
        ("/dir/below/copy", bytes(4, LARGE)),
        ("/chunks", bytes(6, 3000).repeat(2)),
        ("/kept", bytes(8, LARGE)),
    ];
    let empty = ["/dir", "/dir/below", "/symlink", "/device"].map(|path| (path, Vec::new()));
    files.into_iter().chain(empty).map(|(path, bytes)| (path.to_owned(), bytes)).collect()
}

#[test]
fn core_reads_and_writes_what_it_can_of_a_volume_with_everything() {
    let mut chip = chip(&format_options());
    fill(&mut chip);
    let mut expected = filled();
    core::with(&mut chip, |volume| {
        assert!(core::tree(volume) == expected);
        // What it cannot, it refuses by a name, and changes nothing.
        let refused = Err(core::Error::MissingFeature { feature: k7fs_core_profile::Feature::Sharing });
        for path in ["/shared", "/copy", "/chunks", "/dir/below/copy"].map(str::to_owned) {
            for step in [
                Step::Write(path.clone(), b"new".to_vec()),
                Step::Write(path.clone(), bytes(9, LARGE)),
                Step::Update(path.clone(), 100, b"new".to_vec()),
                Step::Resize(path.clone(), 50),
                Step::Resize(path.clone(), 2 * LARGE),
            ] {
                assert_eq!(core::change(volume, &step), refused, "{step:?}");
            }
        }
        assert!(core::tree(volume) == expected);
        // All else it does.
        let steps = [
            Step::Write("/plain".into(), bytes(10, 12_000)),
            Step::Update("/tagged".into(), 100, b"changed".to_vec()),
            Step::Write("/new".into(), bytes(11, LARGE)),
            Step::Rename("/copy".into(), "/dir/copy".into()),
            Step::Remove("/shared".into()),
            Step::Remove("/dir/below/copy".into()),
            Step::Remove("/chunks".into()),
            Step::Remove("/kept".into()),
            Step::Write("/chunks".into(), bytes(12, 500)),
            Step::Remove("/device".into()),
        ];
        for step in &steps {
            core::change(volume, step).unwrap_or_else(|error| panic!("{step:?}: {error}"));
            step.apply(&mut expected);
        }
        expected.insert("/dir/link".into(), bytes(10, 12_000));
        volume
            .transaction(|volume| volume.write("/plain", b"undone").and(Err::<(), _>(core::Error::Busy)))
            .expect_err("is undone");
        assert!(core::tree(volume) == expected);
    });
    core::with(&mut chip, |volume| assert!(core::tree(volume) == expected));
    full::with(&mut chip, |volume| {
        assert!(full::tree(volume) == expected);
        let mut value = vec![0; 5000];
        for path in ["/tagged", "/dir", "/dir/link"] {
            assert_eq!(volume.attribute(path, "user.short", &mut value).expect("is there"), b"value");
            assert!(volume.attribute(path, "user.long", &mut value).expect("is there") == bytes(3, 5000));
        }
        let posix = volume.posix("/tagged").expect("reads");
        assert_eq!((posix.mode, posix.uid), (0o600, 7));
        for index in ["before", "branch"] {
            volume.select_index(index).expect("is there");
            let mut whole = vec![0; LARGE];
            assert_eq!(volume.read("/shared", &mut whole).expect("reads"), LARGE);
            assert!(whole == bytes(4, LARGE));
        }
        volume.select_index("while open").expect("is there");
        assert_eq!(volume.metadata("/kept").expect("is there").size, LARGE as u64);
    });
    all_comes_back(&mut chip);
}

/// Removes everything by the small build, and every other index by the large one, which then frees all of it.
fn all_comes_back(chip: &mut Chip) {
    core::with(chip, |volume| {
        for path in core::tree(volume).into_keys().rev() {
            let kind = volume.metadata(&path).expect("is there").kind;
            let is_directory = kind == k7fs_core_profile::Kind::Directory;
            let removed = if is_directory { volume.remove_dir(&path) } else { volume.remove_file(&path) };
            removed.unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    });
    full::with(chip, |volume| {
        for index in ["branch", "while open", "before"] {
            match volume.trim_index(index) {
                Ok(()) | Err(full::Error::IndexNotFound) => {}
                Err(error) => panic!("{index}: {error}"),
            }
        }
        let status = volume.content_status().expect("reads");
        assert_eq!((status.plain_bytes, volume.next_chunk(0).expect("reads")), (0, None));
        assert_eq!(volume.check_deep(|fault| panic!("{fault:?}")).expect("reads").objects, 1);
        assert_eq!(volume.audit().expect("merges"), None);
        assert_eq!(volume.wasted_block().expect("merges"), None);
    });
}

#[test]
fn builds_take_turns() {
    let mut random = Random::new(mix(seed(), 1));
    let mut chip = chip(&format_options());
    let mut expected = Tree::new();
    let (mut refused, mut done) = (0, 0);
    for round in 0..ROUNDS {
        full::with(&mut chip, |volume| {
            assert!(full::tree(volume) == expected, "round {round}");
            for _ in 0..STEPS / 2 {
                let paths: Vec<String> = expected.keys().cloned().collect();
                match random.below(4) {
                    0 if !paths.is_empty() => {
                        let (from, to) = (random.pick(&paths).expect("some"), format!("/copy{}", random.below(4)));
                        volume.copy(from, &to).expect("shares");
                        expected.insert(to, expected[from].clone());
                    }
                    1 if !paths.is_empty() => {
                        let (path, len) = (random.pick(&paths).expect("some"), random.below(2000) as usize);
                        volume.set_attribute(path, "user.a", &bytes(1, len)).expect("fits");
                    }
                    _ => {
                        let step = Step::random(&mut random);
                        if full::change(volume, &step).is_ok() {
                            step.apply(&mut expected);
                        }
                    }
                }
            }
            if round % 4 == 1 {
                let _ = volume.trim_index("snapshot");
                volume.create_snapshot("snapshot").expect("fits");
            }
        });
        core::with(&mut chip, |volume| {
            assert!(core::tree(volume) == expected, "round {round}");
            for _ in 0..STEPS {
                let step = Step::random(&mut random);
                match core::change(volume, &step) {
                    Ok(()) => {
                        step.apply(&mut expected);
                        done += 1;
                    }
                    Err(core::Error::MissingFeature { .. }) => refused += 1,
                    Err(core::Error::NotFound) => {}
                    Err(error) => panic!("round {round}: {step:?}: {error}"),
                }
            }
            assert!(core::tree(volume) == expected, "round {round}");
        });
    }
    assert!(refused > 20 && done > 100, "{refused} refused, {done} done");
    all_comes_back_of(&mut chip);
}

fn all_comes_back_of(chip: &mut Chip) {
    full::with(chip, |volume| {
        let _ = volume.trim_index("snapshot");
    });
    all_comes_back(chip);
}

#[test]
fn packed_records_make_a_volume_read_only() {
    for (codec, verified) in [(CodecId::Store, true), (CodecId::Zstd, true), (CodecId::Zstd, false)] {
        let mut chip = chip(&FormatOptions { codec, verified, ..format_options() });
        let text = b"packed records ".repeat(1000);
        let noise = bytes(1, 3000);
        let flash = full::driver(&mut chip);
        let mut buffer = full::buffer(&flash);
        let mut lent = HostCodecs::new(4096);
        let mut codecs = lent.lend();
        let mut volume =
            full::Volume::mount_with(flash, &mut buffer, full::MountOptions::default(), &mut codecs).expect("mounts");
        volume.write("/noise", &noise).expect("fits");
        volume.write("/text", &text).expect("fits");
        volume.copy("/noise", "/copy").expect("shares");
        volume.unmount().expect("stops");

        let before = chip.state_hash();
        let flash = core::driver(&mut chip);
        let mut buffer = core::buffer(&flash);
        let writable = core::Volume::mount(flash, &mut buffer, core::MountOptions::default());
        assert_eq!(writable.map(|_| ()).expect_err("refuses"), core::Error::ReadOnly);
        let options = core::MountOptions { read_only: true, ..Default::default() };
        let mut volume = core::Volume::mount(core::driver(&mut chip), &mut buffer, options).expect("mounts");
        let mut read = vec![0; text.len()];
        for path in ["/noise", "/copy"] {
            let len = volume.read(path, &mut read).expect("reads");
            assert!(read[..len] == noise);
        }
        let whole = volume.read("/text", &mut read);
        if codec == CodecId::Store {
            assert!(whole == Ok(text.len()) && read == text);
        } else {
            assert_eq!(whole, Err(core::Error::MissingCodec { codec: k7fs_core_profile::CodecId::Zstd }));
        }
        assert_eq!(volume.write("/new", b"x"), Err(core::Error::ReadOnly));
        volume.check(|fault| panic!("{fault:?}")).expect("reads");
        drop(volume);
        assert_eq!(chip.state_hash(), before);
    }
}
