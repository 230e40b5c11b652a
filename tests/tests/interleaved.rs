//! What is committed while a checkpoint is being written in steps survives a power cut behind every operation.
//!
//! Many small files keep checkpoints coming; large pieces that are overwritten at once leave blocks of the log in which
//! nothing is alive, but which the chain leads through. After every operation a copy of the chip is mounted as a cut would
//! leave it, and must show every file.

use std::collections::BTreeMap;

use k7fs_core::{OpenOptions, Volume};
use k7fs_sim::chip::SimFlash;
use k7fs_sim::model::{Content, Random};
use k7fs_tests::geometry::{Case, buffer_for, mount_options};
use k7fs_tests::parallel;
use k7fs_tests::seed::{mix, replay, seed};

const FILES: u64 = 24;
/// Bytes of the pieces that are overwritten at once: more than a small block.
const PIECE_BYTES: u32 = 4096;
const OPERATIONS: u32 = 1500;
/// Blocks besides the least that a volume needs: enough for checkpoints to be taken in steps.
const SPARE_BLOCKS: u32 = 40;

const GEOMETRIES: [&str; 5] = ["nor-128-2k", "nor-256-4k", "nor-512-4k", "nand-2048-64", "nor-256-4k-keyed"];

type Expected = BTreeMap<String, Vec<u8>>;

/// From one failing block to the next, and how many of them: the volume has blocks to spare for that.
const OPERATIONS_PER_FAILURE: u32 = 60;
const FAILURES: u32 = 16;

/// Mounts a copy of the chip as it is now and compares all files.
fn look(mut flash: SimFlash, expected: &Expected) {
    flash.chip_mut().faults_mut().grown_bad = None;
    let mut buffer = buffer_for(&flash);
    let options = mount_options(&flash);
    let mut volume = Volume::mount(flash, &mut buffer, options).expect("mounts after a cut");
    let mut bytes = vec![0; 2 * PIECE_BYTES as usize];
    for (path, content) in expected {
        let length = volume.read(path, &mut bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(bytes[..length] == content[..], "{path} has other content than was committed");
    }
}

/// `failing` lets blocks fail under the heads as well.
fn run(name: &str, seed: u64, failing: bool) {
    let flash = Case::named(name).formatted(SPARE_BLOCKS, seed);
    let mut buffer = buffer_for(&flash);
    let options = mount_options(&flash);
    let mut volume = Volume::mount(flash, &mut buffer, options).expect("a new volume mounts");
    let big = volume.open("/big", OpenOptions::new().write(true).create(true)).expect("opens");
    let mut expected = Expected::from([("/big".to_owned(), Vec::new())]);
    let mut random = Random::new(seed);
    for operation in 0..OPERATIONS {
        if failing && operation % OPERATIONS_PER_FAILURE == 0 && operation / OPERATIONS_PER_FAILURE < FAILURES {
            volume.flash_mut().chip_mut().faults_mut().grown_bad = Some(random.below(100));
        }
        let content = |random: &mut Random, length| Content::seeded(random.next_u64(), length).bytes();
        if random.below(3) == 0 {
            // Twice, so that what the first one wrote is dead before the checkpoint is done.
            for _ in 0..2 {
                let bytes = content(&mut random, PIECE_BYTES);
                volume.write_at(&big, 0, &bytes).expect("writes");
                volume.sync().expect("syncs");
                expected.insert("/big".to_owned(), bytes);
            }
        } else {
            let path = format!("/{}", random.below(FILES));
            let length = 1 + random.below(90) as u32;
            let bytes = content(&mut random, length);
            volume.write(&path, &bytes).expect("writes");
            expected.insert(path, bytes);
        }
        let loose = volume.loose_in_tail().expect("reads");
        assert_eq!(loose, None, "{name}: operation {operation}: a block of the log's tail may be used again");
        let copy = volume.flash_mut().clone();
        let outcome = std::panic::catch_unwind(|| look(copy, &expected));
        assert!(outcome.is_ok(), "{name}: operation {operation}");
    }
}

/// Runs all geometries, and with `failing` other sequences than without.
fn run_all(test: &str, failing: bool) {
    let jobs: Vec<(usize, &str)> = GEOMETRIES.into_iter().enumerate().collect();
    let outcome = std::panic::catch_unwind(|| {
        parallel::run(&jobs, |(place, name)| run(name, mix(seed(), *place as u64 + 16 * u64::from(failing)), failing));
    });
    assert!(outcome.is_ok(), "replay: {}", replay("interleaved", test, seed()));
}

#[test]
fn every_file_survives_a_cut_behind_every_operation() {
    run_all("every_file_survives_a_cut", false);
}

#[test]
fn every_file_survives_failing_blocks_too() {
    run_all("every_file_survives_failing", true);
}
