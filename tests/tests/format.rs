//! The format description, read by a stranger.
//!
//! [`k7fs_tests::reader`] is written from `FORMAT.md` alone. Volumes are worked on, stopped, cut and mounted again, with
//! blocks that go bad, and at many moments the image of the chip is given both to that reader and to the core.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use k7fs_core::flash::{Flash, Geometry};
use k7fs_core::{CodecId, Device, Error, Kind, MountOptions, NAME_BYTES_MAX, Posix, Timestamp, Volume};
use k7fs_sim::chip::{Cut, CutKind, SimFlash};
use k7fs_sim::codec::HostCodecs;
use k7fs_sim::model::{Generator, Model, Operation, Random, Session, Space, observe, observe_extra};
use k7fs_tests::geometry::{Case, LOGICAL_BLOCK_MAX, buffer_for};
use k7fs_tests::parallel;
use k7fs_tests::ram::RamFlash;
use k7fs_tests::reader::{self, Entry, Files, Indexes, Seen};
use k7fs_tests::seed::{mix, replay, say, seed};
use k7fs_tests::workload::attribute;

/// Every geometry with small pages, large pages, NOR and NAND, and the operations of one round.
const JOBS: [(&str, u64); 13] = [
    ("nor-128-2k", 400),
    ("nor-256-4k", 400),
    ("nor-512-4k", 400),
    ("nor-1024-8k", 400),
    ("nand-2048-64", 300),
    ("nand-2048-128", 300),
    ("nand-4096-224", 300),
    ("nor-128-2k-verified", 200),
    ("nor-256-4k-verified", 300),
    ("nor-256-4k-zstd", 300),
    ("nor-512-4k-verified-lzma2", 300),
    ("nand-2048-64-verified-zstd", 200),
    ("nand-4096-224-lzma2", 200),
];
/// Rounds of each, with different seeds.
const ROUNDS: u64 = 2;
/// Two devices.
const NULL: Device = Device { major: 1, minor: 3 };
const DISK: Device = Device { major: u32::MAX, minor: 1 << 31 };
/// Operations between two looks at the image.
const LOOK_EVERY: u64 = 9;

/// What was met by all looks at one geometry.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    looks: u32,
    clean: u32,
    tails: u32,
    replaced: u32,
    reaching: u32,
    jumped: u32,
    mended: u32,
    packed: u32,
    compressed: u32,
    root_level: u32,
}

impl Met {
    fn add(&mut self, seen: &Seen) {
        self.looks += 1;
        self.clean += u32::from(seen.clean && seen.commits == 0);
        self.tails += u32::from(seen.commits > 0);
        self.replaced += u32::from(seen.replaced > 0);
        self.reaching += u32::from(seen.reaching > 1);
        self.jumped += u32::from(seen.jumps > 0);
        self.mended += u32::from(seen.mended > 0);
        self.packed += u32::from(seen.packed > seen.compressed);
        self.compressed += u32::from(seen.compressed > 0);
        self.root_level = self.root_level.max(seen.root_level);
    }
}

thread_local! {
    static TICKS: Cell<u32> = const { Cell::new(0) };
}

/// A clock that is the same in every run.
fn clock() -> Timestamp {
    let ticks = TICKS.get().wrapping_add(1);
    TICKS.set(ticks);
    Timestamp { seconds: 13_000_000_000 + u64::from(ticks / 7), ticks: ticks % 10_000_000 }
}

/// The volume's part of the chip.
fn image(flash: &SimFlash) -> Vec<u8> {
    let geometry = flash.geometry();
    let mut image = flash.chip().to_bytes();
    image.truncate(geometry.page_count() as usize * geometry.raw_page_size());
    image
}

fn codecs() -> HostCodecs {
    HostCodecs::new(LOGICAL_BLOCK_MAX)
}

/// What the core shows of an image that it may not change.
fn shown_by_core(image: &[u8], geometry: Geometry) -> Result<Indexes, Error> {
    let flash = RamFlash::new(geometry, Arc::from(image));
    let mut buffer = buffer_for(&flash);
    let mut codecs = codecs();
    let mut codecs = codecs.lend();
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let mut volume = Volume::mount_with(flash, &mut buffer, options, &mut codecs)?;
    let mut shown = Indexes::default();
    let mut cursor = volume.indexes();
    let mut name = [0; NAME_BYTES_MAX];
    while let Some(index) = volume.next_index(&mut cursor, &mut name)? {
        if index.is_default {
            shown.default = index.name.to_owned();
        }
        shown.files.insert(index.name.to_owned(), Files::new());
    }
    for (name, files) in &mut shown.files {
        volume.select_index(name)?;
        *files = files_shown(&mut volume)?;
    }
    Ok(shown)
}

/// What one index shows.
fn files_shown(volume: &mut Volume<'_, RamFlash>) -> Result<Files, Error> {
    let tree = observe(volume).map_err(|error| error.volume_error().expect("only the volume may fail"))?;
    let mut contents: BTreeMap<&str, &[u8]> = BTreeMap::from([("/", &[][..])]);
    contents.extend(tree.entries.iter().map(|(path, entry)| (path.as_str(), entry.content.as_slice())));
    let entries = contents.into_iter().map(|(path, content)| {
        let metadata = volume.metadata(path)?;
        let content = content.to_vec();
        let k7fs_core::Metadata { object, kind, size, links, created, modified, .. } = metadata;
        let extra = observe_extra(volume, path, kind)?;
        Ok((path.to_owned(), Entry { object, kind, links, size, created, modified, content, extra }))
    });
    entries.collect()
}

/// An entry without its content.
fn brief(entry: Option<&Entry>) -> String {
    format!("{:?}", entry.map(|entry| Entry { content: Vec::new(), ..entry.clone() }))
}

/// Compares what both readers see.
fn look(flash: &SimFlash, met: &mut Met) -> Result<(), String> {
    let (image, geometry) = (image(flash), flash.geometry());
    let by_core = shown_by_core(&image, geometry);
    let by_stranger = reader::read(&image, geometry);
    match (by_core, by_stranger) {
        (Ok(expected), Ok((found, seen))) => {
            met.add(&seen);
            if found.default != expected.default || !found.files.keys().eq(expected.files.keys()) {
                let names = |indexes: &Indexes| format!("{:?}", indexes.files.keys().collect::<Vec<_>>());
                return Err(format!("the indexes are {}, the core shows {}", names(&found), names(&expected)));
            }
            for ((index, expected), found) in expected.files.iter().zip(found.files.values()) {
                for path in expected.keys().chain(found.keys()) {
                    let (expected, found) = (brief(expected.get(path)), brief(found.get(path)));
                    if expected != found {
                        return Err(format!("{path} in {index} is {found}, the core shows {expected}; {seen:?}"));
                    }
                }
                if expected != found {
                    return Err(format!("contents in {index} differ; {seen:?}"));
                }
            }
            Ok(())
        }
        (by_core, by_stranger) => Err(format!(
            "the reader says {:?}, the core {:?}",
            by_stranger.map(|(found, _)| found.files.len()),
            by_core.map(|found| found.files.len())
        )),
    }
}

/// One volume's life: operations with stops, cuts and bad blocks.
fn live(case: Case, operations: u64, seed: u64, met: &mut Met) -> Result<(), String> {
    TICKS.set(0);
    let mut flash = case.formatted(14, seed);
    let mut buffer = buffer_for(&flash);
    look(&flash, met)?;
    let geometry = flash.geometry();
    let bytes_max = u64::from(geometry.page_size) * u64::from(geometry.page_count()) / 8;
    // A large block must be nearly full before compressing it saves a page.
    let length_max = 9000.max(case.packing.logical_block_size + 4000).min(bytes_max as u32 / 3);
    let space = Space { names: 12, depth: 3, length_max, bytes_max, indexes_max: 4 };
    let (mut generator, mut random) = (Generator::new(seed, space), Random::new(mix(seed, 1)));
    let (mut model, mut done, mut codecs) = (Model::new(), 0, codecs());
    while done < operations {
        let options = MountOptions { clock: Some(clock), ..MountOptions::default() };
        let mut codecs = codecs.lend();
        let mounted = Volume::mount_with(flash.clone(), &mut buffer, options, &mut codecs);
        let mut volume = mounted.map_err(|error| format!("mount: {error}"))?;
        look(volume.flash_mut(), met)?;
        let mut session = Session::new();
        let end = done + 10 + random.below(60);
        match random.below(4) {
            0 => volume.flash_mut().chip_mut().faults_mut().grown_bad = Some(random.below(40)),
            1 | 2 => {
                let kind = *random.pick(&CutKind::LADDER).expect("there are kinds");
                let cut = Cut { operation: random.below(80), kind };
                volume.flash_mut().chip_mut().faults_mut().cut = Some(cut);
            }
            _ => {}
        }
        while done < end && !volume.flash_mut().chip().is_off() {
            done += 1;
            let operation = generator.next_operation(&model);
            model.apply(&operation);
            let _ = session.apply(&mut volume, &operation);
            if done % LOOK_EVERY == 0 && !volume.flash_mut().chip().is_off() {
                look(volume.flash_mut(), met).map_err(|error| format!("operation {done}: {error}"))?;
            }
        }
        flash = if volume.flash_mut().chip().is_off() || random.below(3) == 0 {
            volume.abandon()
        } else {
            let copy = volume.flash_mut().clone();
            volume.unmount().unwrap_or(copy)
        };
        flash.chip_mut().power_on();
        flash.chip_mut().faults_mut().cut = None;
        flash.chip_mut().faults_mut().grown_bad = None;
        look(&flash, met).map_err(|error| format!("stopped after operation {done}: {error}"))?;
    }
    Ok(())
}

#[test]
fn a_stranger_reads_what_the_core_shows() {
    let seed = seed();
    let results = parallel::run(&JOBS, |(name, operations)| {
        let mut met = Met::default();
        for round in 0..ROUNDS {
            if let Err(error) = live(Case::named(name), *operations, mix(seed, round), &mut met) {
                panic!("{name}, round {round}: {error}\nreplay: {}", replay("format", "a_stranger", seed));
            }
        }
        say(&format!("format: {name}: {met:?}"));
        met
    });
    for (met, (name, _)) in results.iter().zip(JOBS) {
        assert!(
            met.clean > 0 && met.tails > 0 && met.replaced > 0 && met.reaching > 0,
            "{name} met too little: {met:?}"
        );
        let packing = Case::named(name).packing;
        assert!(met.packed > 0 || !packing.verified, "{name} has no stored records: {met:?}");
        assert!(met.compressed > 0 || packing.codec == CodecId::Store, "{name} has none compressed: {met:?}");
    }
    assert!(results.iter().any(|met| met.jumped > 0) && results.iter().any(|met| met.root_level > 0));
}

#[test]
fn kinds_are_all_met() {
    // A symbolic link, a second name and a deep path, which generated sequences meet by chance.
    let mut flash = Case::named("nor-256-4k").formatted(60, seed());
    let mut buffer = buffer_for(&flash);
    let options = MountOptions { clock: Some(clock), ..MountOptions::default() };
    let mut volume = Volume::mount(&mut flash, &mut buffer, options).expect("mounts");
    let mut session = Session::new();
    let operations = [
        Operation::CreateDirectory { path: "/d".to_owned() },
        Operation::CreateDirectory { path: "/d/é".to_owned() },
        k7fs_tests::workload::write("/d/é/file", 1, 5000),
        Operation::HardLink { existing: "/d/é/file".to_owned(), new: "/again".to_owned() },
        Operation::Symlink { target: "/d/é".to_owned(), path: "/link".to_owned() },
        Operation::Resize { path: "/again".to_owned(), length: 20_000 },
        attribute("/again", "user.short", 1, 20),
        attribute("/again", "user.long", 2, 65_536),
        attribute("/d", "user.short", 3, 0),
        Operation::SetShortName { path: "/d".to_owned(), name: "D~1".to_owned() },
        Operation::SetNt { path: "/link".to_owned(), attributes: 0x401 },
        Operation::CreateSpecial { path: "/fifo".to_owned(), kind: Kind::Fifo, device: Device::default() },
        Operation::CreateSpecial { path: "/socket".to_owned(), kind: Kind::Socket, device: Device::default() },
        Operation::CreateSpecial { path: "/null".to_owned(), kind: Kind::CharacterDevice, device: NULL },
        Operation::CreateSpecial { path: "/disk".to_owned(), kind: Kind::BlockDevice, device: DISK },
    ];
    for operation in operations {
        assert_eq!(session.apply(&mut volume, &operation).error(), None, "{operation:?}");
    }
    let moment = |seconds| Some(Timestamp { seconds, ticks: 9_999_999 });
    let (created, modified) = (Timestamp::default(), Timestamp { seconds: 20_000_000_000, ticks: 7 });
    let (accessed, changed) = (moment(1), moment(13_500_000_000));
    let posix = Posix { mode: 0o6711, uid: 1, gid: u32::MAX, created, modified, accessed, changed };
    volume.set_posix("/again", &posix).expect("is set");
    volume.unmount().expect("unmounts");
    look(&flash, &mut Met::default()).unwrap_or_else(|error| panic!("{error}"));
    let (found, seen) = reader::read(&image(&flash), flash.geometry()).expect("can be read");
    let found = &found.files[&found.default];
    assert!(seen.clean && seen.commits == 0);
    assert_eq!(found["/link"].kind, Kind::Symlink);
    assert_eq!(found["/link"].content, "/d/é".as_bytes());
    assert_eq!((found["/again"].links, found["/again"].size), (2, 20_000));
    let again = &found["/d/é/file"].extra;
    assert_eq!((again.mode, again.uid, again.gid, again.changed), (0o6711, 1, u32::MAX, changed));
    assert_eq!(again.attributes["user.long"].len(), 65_536);
    assert!(found["/d"].extra.attributes["user.short"].is_empty());
    assert_eq!((found["/link"].extra.nt, found["/link"].extra.mode), (0x401, 0o777));
    assert_eq!((found["/null"].extra.device, found["/disk"].extra.device), (NULL, DISK));
    assert_eq!((found["/fifo"].kind, found["/socket"].kind), (Kind::Fifo, Kind::Socket));
}
