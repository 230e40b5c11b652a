//! Work in idle time: it ends, is told before, costs about what it is given, and nothing is different afterwards.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, Volume};
use k7fs_tests::geometry::{Case, buffer_for, mount_options};
use k7fs_tests::parallel;
use k7fs_tests::seed::seed;

const NAMES: [&str; 5] = ["nor-128-2k", "nor-256-4k", "nor-1024-8k", "nand-2048-64", "nor-256-4k-keyed"];
/// Blocks besides the least that a volume needs.
const SPARE_BLOCKS: u32 = 24;
const FILES: u32 = 12;
const ROUNDS: u32 = 120;
/// Pages of one idle moment, and what it may exceed them by: an erase, a step of cleaning with what it refers to, a node.
const BUDGET: u32 = 16;
const EXCESS: u64 = 40;

fn content(file: u32, round: u32) -> Vec<u8> {
    (0..600 + file * 50).map(|at| (at * 7 + file * 31 + round * 3) as u8).collect()
}

#[test]
fn idle_time_pays_all_that_is_due_and_changes_nothing() {
    parallel::run(&NAMES, |name| {
        let flash = Case::named(name).formatted(SPARE_BLOCKS, seed());
        let mut buffer = buffer_for(&flash);
        let options = mount_options(&flash);
        let mut volume = Volume::mount(flash, &mut buffer, options).expect("mounts");
        let mut newest = [0; FILES as usize];
        let mut worked = 0;
        for round in 0..ROUNDS {
            let file = (round * 5 + round / FILES) % FILES;
            volume.write(&format!("/{file}"), &content(file, round)).expect("writes");
            newest[file as usize] = round;
            let mut due = volume.maintenance_due();
            let mut moments = 0;
            while due > 0 {
                let before = volume.flash_mut().chip().counters().programs;
                due = volume.maintain(BUDGET).expect("works ahead");
                let programs = volume.flash_mut().chip().counters().programs - before;
                assert!(programs <= u64::from(BUDGET) + EXCESS, "{name}, round {round}: {programs} programs");
                moments += 1;
                assert!(moments < 200, "{name}, round {round}: {due} pages are due for ever");
            }
            worked += moments;
            assert_eq!(volume.maintenance_due(), 0);
        }
        assert!(worked > 0, "{name}: nothing was ever due");
        let flash = volume.abandon();
        assert_eq!(flash.chip().counters().first_violation(), None);
        let mut buffer = buffer_for(&flash);
        let options = mount_options(&flash);
        let mut volume = Volume::mount(flash, &mut buffer, options).expect("mounts");
        for file in 0..FILES {
            let expected = content(file, newest[file as usize]);
            let mut read = vec![0; expected.len() + 1];
            assert_eq!(volume.read(&format!("/{file}"), &mut read), Ok(expected.len()), "{name}: /{file}");
            assert_eq!(read[..expected.len()], expected, "{name}: /{file}");
        }
    });
}

/// The block that is planned to follow in the log among them: it is not erased ahead, and not tried for ever.
#[test]
fn maintenance_ends_where_blocks_no_longer_erase() {
    let formatted = Case::named("nand-2048-64").formatted(SPARE_BLOCKS, seed());
    for block in 0..formatted.geometry().block_count {
        let mut flash = formatted.clone();
        flash.chip_mut().faults_mut().erase_fail.insert(block);
        let mut buffer = buffer_for(&flash);
        let options = mount_options(&flash);
        let mut volume = Volume::mount(flash, &mut buffer, options).expect("mounts");
        for round in 0..FILES {
            volume.write("/file", &content(round, round)).expect("writes");
            let ends = (0..100).any(|_| volume.maintain(BUDGET).expect("works ahead") == 0);
            assert!(ends, "block {block}, round {round}: {} pages are due for ever", volume.maintenance_due());
        }
    }
}

#[test]
fn a_budget_of_nothing_is_refused_and_so_is_work_within_a_transaction() {
    let flash = Case::named("nor-256-4k").formatted(SPARE_BLOCKS, seed());
    let mut buffer = buffer_for(&flash);
    let options = mount_options(&flash);
    let mut volume = Volume::mount(flash, &mut buffer, options).expect("mounts");
    assert_eq!(volume.maintain(0), Err(Error::InvalidOption));
    let inside = volume.transaction(|volume| Ok(volume.maintain(1)));
    assert_eq!(inside, Ok(Err(Error::Busy)));
    assert!(volume.maintain(1).is_ok());
}
