//! Content that files share: what the general model seldom gets to.

use k7fs_core::{MountOptions, OpenOptions, Volume};
use k7fs_sim::chip::CutKind;
use k7fs_sim::model::{Content, OpenMode, Operation, Random};
use k7fs_tests::geometry::{Case, buffer_for};
use k7fs_tests::seed::{mix, replay, say, seed};
use k7fs_tests::sequence::{Rig, Step, shrink};

/// Copies of copies: more than may lie below each other.
const GENERATIONS: usize = 20;
const FILE_BYTES: usize = 9000;

/// Small changes to few files that share much: windows with many extents and holes between them, bodies below bodies.
fn steps(seed: u64, count: usize) -> Vec<Step> {
    let mut random = Random::new(seed);
    let path = |random: &mut Random| format!("/{}", random.pick(&["a", "b", "c"]).expect("there are some"));
    let mut step = || {
        let (from, to) = (path(&mut random), path(&mut random));
        let operation = match random.below(60) {
            0 => Operation::Remount,
            1 => {
                let kind = *random.pick(&CutKind::LADDER).expect("there are kinds");
                return Step::Cut { after: random.below(60), kind };
            }
            2..8 => Operation::Copy { from, to },
            8 => Operation::Deduplicate { first: from, second: to },
            9..12 => Operation::AppendChunk { path: to, content: Content::seeded(random.below(2), 900) },
            12..15 => Operation::Resize { path: to, length: random.below(2 * FILE_BYTES as u64) },
            15 => Operation::RemoveFile { path: to },
            16 => Operation::Write { path: to, content: Content::seeded(random.below(100), FILE_BYTES as u32) },
            _ => {
                let content = Content::seeded(random.below(1000), 1 + random.below(40) as u32);
                Operation::Update { path: to, offset: random.below(FILE_BYTES as u64), content }
            }
        };
        Step::Do(operation)
    };
    (0..count).map(|_| step()).collect()
}

#[test]
fn many_small_changes_to_what_is_shared() {
    for (round, case) in
        ["nor-256-4k", "nor-256-4k-verified", "nor-256-4k-zstd", "nand-2048-64"].into_iter().enumerate()
    {
        let fresh = || Rig::new(Case::named(case).formatted(24, seed()));
        let steps = steps(mix(seed(), round as u64), 1500);
        match fresh().run(&steps) {
            Ok(statistics) => say(&format!("sharing: {case}: {statistics:?}")),
            Err(violation) => {
                let command = replay("sharing", "many_small", seed());
                let (short, reason) = shrink(&fresh, &steps, violation);
                panic!("{case}: {reason}\nafter {short:#?}\nreplay: {command}")
            }
        }
    }
}

#[test]
fn copies_of_copies_without_end() {
    let mut flash = Case::named("nor-256-4k").formatted(200, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
    let mut expected: Vec<Vec<u8>> = vec![Content::seeded(1, FILE_BYTES as u32).bytes()];
    volume.write("/0", &expected[0]).expect("fits");
    for number in 1..GENERATIONS {
        volume.copy(&format!("/{}", number - 1), &format!("/{number}")).expect("copies");
        let mut content = expected[number - 1].clone();
        content[number * 100..number * 100 + 50].fill(number as u8);
        let file = volume.open(&format!("/{number}"), OpenOptions::new().write(true)).expect("opens");
        volume.write_at(&file, number as u64 * 100, &[number as u8; 50]).expect("writes");
        volume.close(file).expect("closes");
        expected.push(content);
    }
    let mut bytes = vec![0; FILE_BYTES];
    for (number, content) in expected.iter().enumerate() {
        let len = volume.read(&format!("/{number}"), &mut bytes).expect("reads");
        assert!(bytes[..len] == content[..], "file {number}");
    }
    assert_eq!(volume.check(|fault| panic!("{fault:?}")).expect("checks").faults, 0);
    volume.unmount().expect("unmounts");
}

#[test]
fn what_nobody_refers_to_gives_its_space_back_at_once() {
    let mut flash = Case::named("nor-256-4k").formatted(60, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
    volume.write("/small", b"something").expect("fits");
    // What is not merged yet still counts.
    let free = |volume: &mut Volume<'_, _>| {
        volume.checkpoint().expect("merges");
        volume.usage().expect("tells").free_bytes
    };
    let before = free(&mut volume);
    volume.write("/a", &vec![1; 40_000]).expect("fits");
    volume.copy("/a", "/b").expect("copies");
    volume.copy("/b", "/c").expect("copies");
    let file = volume.open("/d", OpenOptions::new().write(true).create(true)).expect("opens");
    for part in 0..4 {
        volume.append_chunk(&file, &[part; 3000]).expect("fits");
    }
    assert!(before - free(&mut volume) < 60_000, "content is there once");
    // Chunks that are covered go, whatever is left of the file.
    for part in 0..4 {
        volume.write_at(&file, part * 3000, &[9; 3000]).expect("fits");
    }
    volume.close(file).expect("closes");
    assert_eq!(volume.next_chunk(0).expect("looks"), None);
    for path in ["/a", "/b", "/c", "/d"] {
        volume.remove_file(path).expect("removes");
    }
    let left = before.saturating_sub(free(&mut volume));
    assert!(left < 1500, "{left} bytes do not come back");
    volume.unmount().expect("unmounts");
}

/// What is left of a removed file that is open is deleted when it is closed, also where it was shortened before.
#[test]
fn a_removed_file_that_is_shortened_is_deleted_all_the_same() {
    let (from, to) = ("/a".to_owned(), "/b".to_owned());
    let steps = [
        Operation::Write { path: from.clone(), content: Content::seeded(1, FILE_BYTES as u32) },
        Operation::Copy { from: from.clone(), to },
        Operation::Open { slot: 0, path: from.clone(), mode: OpenMode::ReadWrite },
        Operation::RemoveFile { path: from },
        Operation::SetLength { slot: 0, length: 100 },
        Operation::Remount,
    ];
    let steps: Vec<Step> = steps.into_iter().map(Step::Do).collect();
    let mut rig = Rig::new(Case::named("nor-256-4k").formatted(24, seed()));
    rig.run(&steps).unwrap_or_else(|violation| panic!("{violation:?}"));
}
