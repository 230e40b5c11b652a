//! What a full volume still does (promise P4).
//!
//! In a log-structured file system even a delete is a write. One that lets the last free block be filled can never
//! give anything back. So a full volume must delete, truncate and overwrite, go on for ever near its limit, and a
//! refused call must leave nothing behind, all without a remount.

use k7fs_core::{Error, MountOptions, OpenOptions, Volume};
use k7fs_sim::chip::SimFlash;
use k7fs_sim::model::{Content, Random};
use k7fs_tests::geometry::{CASES, Case, buffer_for};
use k7fs_tests::ladder::{Ladder, Plan, Workload};
use k7fs_tests::parallel;
use k7fs_tests::seed::{mix, say, seed};
use k7fs_tests::sequence::{check, look};
use k7fs_tests::workload::{resize, unlink, write};

/// Files of the filling: few enough to name, many enough to delete one and still be nearly full.
const FILES_MAX: u64 = 4000;

/// Blocks beyond the smallest volume, whose capacity is next to nothing.
const SPARE_BLOCKS: u32 = 16;

/// Of the cuts during recovery on a full volume one in so many is followed.
const DOUBLE_EVERY: u64 = if cfg!(feature = "campaign") { 64 } else { 256 };

type Mounted<'b, 'f> = Volume<'b, &'f mut SimFlash>;

fn mount<'b, 'f>(flash: &'f mut SimFlash, buffer: &'b mut [u8]) -> Mounted<'b, 'f> {
    Volume::mount(flash, buffer, MountOptions::default()).expect("a sound volume mounts")
}

/// Writes files of `length` bytes until the volume is full, and says how many there are.
fn fill(volume: &mut Mounted<'_, '_>, length: u32) -> u64 {
    for index in 0..FILES_MAX {
        match volume.write(&format!("/f{index}"), &Content::seeded(index, length).bytes()) {
            Ok(()) => {}
            Err(Error::NoSpace) => return index,
            Err(error) => panic!("file {index} of {length} bytes: {error}"),
        }
    }
    panic!("{FILES_MAX} files of {length} bytes do not fill the volume")
}

/// A length that fills the volume with some hundred files.
fn file_length(volume: &mut Mounted<'_, '_>) -> u32 {
    let usage = volume.usage().expect("usage is always known");
    (usage.capacity_bytes / 150).clamp(200, 60_000) as u32
}

fn on_every_geometry(work: impl Fn(&Case) + Sync) {
    parallel::run(&CASES, |case| work(case));
}

#[test]
fn deleting_and_truncating_work_on_a_full_volume() {
    on_every_geometry(|case| {
        let mut flash = case.formatted(SPARE_BLOCKS, seed());
        let mut buffer = buffer_for(&flash);
        let mut volume = mount(&mut flash, &mut buffer);
        let length = file_length(&mut volume);
        for round in 0..3_u64 {
            let count = fill(&mut volume, length);
            assert!(count > 10, "{}: only {count} files of {length} bytes", case.name);
            let before = look(&mut volume).expect("a full volume is readable");
            assert_eq!(volume.write("/f-one-more", &vec![1; length as usize]), Err(Error::NoSpace), "{}", case.name);
            let after = look(&mut volume).expect("a full volume is readable");
            assert_eq!(before.difference(&after), None, "{}: a refused write changed something", case.name);
            for index in 0..count {
                let path = format!("/f{index}");
                let result = if (index + round) % 3 == 0 {
                    let file = volume.open(&path, OpenOptions::new().write(true)).expect("it is there");
                    let result = volume.set_len(&file, 0).and(volume.close(file));
                    result.and(volume.remove_file(&path))
                } else {
                    volume.remove_file(&path)
                };
                assert_eq!(result, Ok(()), "{}: round {round}, removing {index} of {count}", case.name);
            }
            assert!(look(&mut volume).expect("an empty volume is readable").entries.is_empty());
        }
        check(&mut volume).expect("no faults");
        volume.unmount().expect("unmounts");
        assert_eq!(flash.chip().counters().first_violation(), None);
    });
}

#[test]
fn overwriting_works_on_a_full_volume() {
    on_every_geometry(|case| {
        let mut flash = case.formatted(SPARE_BLOCKS, seed());
        let mut buffer = buffer_for(&flash);
        let mut volume = mount(&mut flash, &mut buffer);
        let length = file_length(&mut volume);
        let count = fill(&mut volume, length);
        let mut random = Random::new(mix(seed(), 2));
        let file = volume.open("/f0", OpenOptions::new().read(true).write(true)).expect("it is there");
        for round in 0..count.min(60) {
            let content = Content::seeded(1000 + round, 64).bytes();
            let offset = random.below(u64::from(length) - 64);
            assert_eq!(volume.write_at(&file, offset, &content), Ok(()), "{}: round {round}", case.name);
            assert_eq!(volume.sync(), Ok(()), "{}: round {round}", case.name);
            let mut read = [0; 64];
            assert_eq!(volume.read_at(&file, offset, &mut read), Ok(64));
            assert_eq!(read[..], content[..], "{}: round {round}", case.name);
        }
        for round in 0..count.min(60) {
            let path = format!("/f{}", random.below(count));
            let result = volume.write(&path, &Content::seeded(round, length).bytes());
            assert_eq!(result, Ok(()), "{}: replacing {path}, round {round}", case.name);
        }
        volume.close(file).expect("closes");
        check(&mut volume).expect("no faults");
    });
}

/// Sizes of volumes and files for work at the limit: blocks beyond the smallest volume, files that fill it.
const LIMITS: [(u32, u64); 5] = [(0, 30), (1, 6), (2, 60), (6, 20), (SPARE_BLOCKS, 400)];
/// Changes of each full volume.
const CHANGES: u64 = 400;

#[test]
fn a_full_volume_changes_for_ever() {
    let jobs: Vec<_> = CASES.iter().flat_map(|case| LIMITS.map(|(spare, files)| (case, spare, files))).collect();
    parallel::run(&jobs, |(case, spare, files)| change_for_ever(case, *spare, *files));
}

/// Overwrites, replaces, renames, cuts off, deletes and fills again, always at the limit: what does not grow never fails.
fn change_for_ever(case: &Case, spare: u32, files: u64) {
    let name = format!("{} with {spare} blocks more, {files} files", case.name);
    let mut flash = case.formatted(spare, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = mount(&mut flash, &mut buffer);
    let usage = volume.usage().expect("usage is always known");
    let length = (usage.capacity_bytes / files).clamp(100, 60_000) as u32;
    let mut lengths: Vec<u32> = vec![length; fill(&mut volume, length) as usize];
    let mut random = Random::new(mix(seed(), files << 32 | u64::from(spare)));
    for round in 0..CHANGES {
        let file = random.below(lengths.len() as u64) as usize;
        let path = format!("/f{file}");
        let here = lengths[file];
        let what = random.below(10);
        let fine = match what {
            0..5 if here > 0 => {
                let bytes = Content::seeded(round, 1 + random.below(u64::from(here).min(300)) as u32).bytes();
                let offset = random.below(u64::from(here) + 1 - bytes.len() as u64);
                let file = volume.open(&path, OpenOptions::new().write(true)).expect("it is there");
                let result = volume.write_at(&file, offset, &bytes);
                result.and(volume.close(file))
            }
            5 | 6 if here <= 4096 => volume.write(&path, &Content::seeded(round, here).bytes()),
            7 => {
                let other = path.replace('f', "g");
                volume.rename(&path, &other).and_then(|()| volume.rename(&other, &path))
            }
            8 => {
                let shorter = random.below(u64::from(here) + 1);
                lengths[file] = shorter as u32;
                let file = volume.open(&path, OpenOptions::new().write(true)).expect("it is there");
                let result = volume.set_len(&file, shorter);
                result.and(volume.close(file))
            }
            _ => {
                lengths[file] = length;
                let result = volume.remove_file(&path);
                // Creating is growth: what it takes and what the deletion gave is counted in units.
                result.map(|()| {
                    for bytes in [&Content::seeded(round, length).bytes()[..], b""] {
                        match volume.write(&path, bytes) {
                            Ok(()) => return lengths[file] = bytes.len() as u32,
                            Err(error) => assert_eq!(error, Error::NoSpace, "{name}: round {round}"),
                        }
                    }
                    lengths.swap_remove(file);
                    if file < lengths.len() {
                        // A name that is not longer: never growth.
                        let last = format!("/f{}", lengths.len());
                        assert_eq!(volume.rename(&last, &path), Ok(()), "{name}: round {round}");
                    }
                })
            }
        };
        assert_eq!(fine, Ok(()), "{name}: round {round}, change {what} of {path} ({here} bytes), {:?}", volume.usage());
    }
    check(&mut volume).expect("no faults");
    for index in 0..lengths.len() {
        assert_eq!(volume.remove_file(&format!("/f{index}")), Ok(()), "{name}: removing {index} of {}", lengths.len());
    }
}

#[test]
fn a_volume_runs_at_ninety_percent_for_ever() {
    on_every_geometry(|case| {
        let mut flash = case.formatted(SPARE_BLOCKS, seed());
        let mut buffer = buffer_for(&flash);
        let mut volume = mount(&mut flash, &mut buffer);
        let usage = volume.usage().expect("usage is always known");
        let length = file_length(&mut volume);
        let mut seeds = Vec::new();
        loop {
            let usage = volume.usage().expect("usage is always known");
            if usage.free_bytes * 10 <= usage.capacity_bytes {
                break;
            }
            let index = seeds.len() as u64;
            let result = volume.write(&format!("/f{index}"), &Content::seeded(index, length).bytes());
            assert_eq!(result, Ok(()), "{}: filling, {usage:?}", case.name);
            seeds.push(index);
        }
        // Three times the volume, in whole files and in small pieces.
        let mut random = Random::new(mix(seed(), 3));
        let rounds = 3 * usage.capacity_bytes / u64::from(length);
        for round in 0..rounds {
            let index = random.below(seeds.len() as u64);
            let value = 10_000 + round;
            let result = volume.write(&format!("/f{index}"), &Content::seeded(value, length).bytes());
            assert_eq!(result, Ok(()), "{}: round {round} of {rounds}, {:?}", case.name, volume.usage());
            seeds[index as usize] = value;
        }
        for (index, value) in seeds.iter().enumerate() {
            let mut bytes = vec![0; length as usize];
            assert_eq!(volume.read(&format!("/f{index}"), &mut bytes), Ok(length as usize));
            assert_eq!(bytes, Content::seeded(*value, length).bytes(), "{}: file {index}", case.name);
        }
        check(&mut volume).expect("no faults");
    });
}

#[test]
fn a_transaction_that_does_not_fit_leaves_nothing() {
    on_every_geometry(|case| {
        let mut flash = case.formatted(SPARE_BLOCKS, seed());
        let mut buffer = buffer_for(&flash);
        let mut volume = mount(&mut flash, &mut buffer);
        let length = file_length(&mut volume);
        let count = fill(&mut volume, length);
        volume.remove_file("/f0").expect("a full volume deletes");
        volume.remove_file("/f1").expect("a full volume deletes");
        let before = look(&mut volume).expect("readable");
        let result = volume.transaction(|volume| {
            volume.write("/f2", b"short now")?;
            volume.rename("/f3", "/moved")?;
            for index in 0..20 {
                volume.write(&format!("/new{index}"), &Content::seeded(index, length).bytes())?;
            }
            Ok(())
        });
        assert_eq!(result, Err(Error::NoSpace), "{}", case.name);
        let after = look(&mut volume).expect("readable");
        assert_eq!(before.difference(&after), None, "{}", case.name);
        for index in 2..count {
            assert_eq!(volume.remove_file(&format!("/f{index}")), Ok(()), "{}: {index}", case.name);
        }
        assert_eq!(volume.write("/again", &vec![7; length as usize]), Ok(()), "{}", case.name);
        check(&mut volume).expect("no faults");
    });
}

#[test]
fn deleting_everything_gives_the_space_back() {
    on_every_geometry(|case| {
        let mut flash = case.formatted(SPARE_BLOCKS, seed());
        let mut buffer = buffer_for(&flash);
        let mut volume = mount(&mut flash, &mut buffer);
        let length = file_length(&mut volume);
        let first = fill(&mut volume, length);
        let mut counts = vec![first];
        for _ in 0..4 {
            for index in 0..counts[counts.len() - 1] {
                volume.remove_file(&format!("/f{index}")).expect("a full volume deletes");
            }
            counts.push(fill(&mut volume, length));
        }
        // A block more or less may hang on the cleaner's luck.
        assert!(counts.iter().all(|count| count * 10 >= first * 9), "{}: {counts:?}", case.name);
        say(&format!("full volume: {} holds {counts:?} files of {length} bytes", case.name));
    });
}

#[test]
fn cuts_on_a_full_volume_lose_nothing() {
    let seed = seed();
    // The NAND volume holds ten times as much, and every cut reads all of it.
    let names = ["nor-256-4k", "nor-128-2k", "nand-2048-64"];
    let names = if cfg!(feature = "campaign") { &names[..] } else { &names[..2] };
    parallel::run(names, |name| {
        let case = Case::named(name);
        let formatted = case.formatted(4, seed);
        let (length, count) = {
            let mut flash = formatted.clone();
            let mut buffer = buffer_for(&flash);
            let mut volume = mount(&mut flash, &mut buffer);
            let length = file_length(&mut volume).max(1500);
            (length, fill(&mut volume, length))
        };
        let setup = (0..count).map(|index| write(&format!("/f{index}"), index, length)).collect();
        let measured = vec![resize("/f0", 10), unlink("/f1"), write("/f2", 9, length), unlink("/f3"), unlink("/f4")];
        let workload = Workload { name: "full".to_owned(), setup, measured, unmount: true };
        let mut ladder = Ladder::new(&formatted, Plan { double_every: DOUBLE_EVERY, triple_every: 0, seed });
        if let Err(violation) = ladder.climb(&formatted, &workload) {
            panic!("{name}: {violation}");
        }
    });
}
