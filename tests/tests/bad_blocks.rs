//! Blocks that go bad, at every moment (promise P3).
//!
//! NAND parts leave the factory with bad blocks and grow more; NOR parts fail without saying so. The file system must
//! carry on from a failure of any program and any erase, those of checkpoints and anchors included, lose nothing that
//! was committed, and survive a power cut in the middle of coping.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, MountOptions, Volume};
use k7fs_sim::chip::{Chip, ChipSpec, Cut, CutKind, SimFlash};
use k7fs_sim::model::{Content, Operation};
use k7fs_tests::geometry::{Case, buffer_for, format, mount_options};
use k7fs_tests::parallel;
use k7fs_tests::seed::{replay, say, seed};
use k7fs_tests::sequence::{Rig, Step, look};
use k7fs_tests::workload;

/// Geometries of these tests: both kinds of flash, small pages and large ones.
const NAMES: [&str; 6] =
    ["nor-256-4k", "nor-128-2k", "nand-2048-64", "nand-4096-224", "nor-256-4k-keyed", "nand-2048-64-keyed"];

fn steps() -> Vec<Step> {
    let mut operations = vec![workload::mkdir("/d"), workload::write("/d/cold", 1, 3000)];
    operations.extend(workload::wearing(60, 0).setup);
    operations.push(Operation::Remount);
    operations.extend(workload::wearing(40, 0).setup);
    operations.into_iter().map(Step::Do).collect()
}

/// Programs and erases of the undisturbed steps.
fn operation_count(formatted: &SimFlash, steps: &[Step]) -> u64 {
    let mut rig = Rig::new(formatted.clone());
    let before = rig.flash_mut().chip().counters().cut_points();
    rig.run(steps).expect("the undisturbed steps work");
    rig.flash_mut().chip().counters().cut_points() - before
}

#[test]
fn a_block_may_fail_at_any_program_or_erase() {
    let steps = steps();
    parallel::run(&NAMES, |name| {
        let formatted = Case::named(name).formatted(16, seed());
        let count = operation_count(&formatted, &steps);
        for operation in 0..count {
            let mut rig = Rig::new(formatted.clone());
            rig.flash_mut().chip_mut().faults_mut().grown_bad = Some(operation);
            if let Err(violation) = rig.run(&steps) {
                let command = replay("bad_blocks", "any_program", seed());
                panic!("{name}, block bad at operation {operation} of {count}: {violation}\nreplay: {command}");
            }
            assert!(rig.flash_mut().chip().counters().grown_bad_blocks == 1, "{name}: operation {operation} not met");
        }
        say(&format!("bad blocks: {name} lost one at each of {count} operations"));
    });
}

#[test]
fn a_cut_may_strike_while_a_bad_block_is_replaced() {
    let steps = steps();
    parallel::run(&NAMES, |name| {
        let formatted = Case::named(name).formatted(16, seed());
        let count = operation_count(&formatted, &steps);
        for operation in (0..count).step_by(7) {
            for after in 0..8 {
                let kind = CutKind::LADDER[((operation + after) % 7) as usize];
                let mut rig = Rig::new(formatted.clone());
                let faults = rig.flash_mut().chip_mut().faults_mut();
                faults.grown_bad = Some(operation);
                faults.cut = Some(Cut { operation: operation + after, kind });
                if let Err(violation) = rig.run(&steps) {
                    panic!("{name}, bad at {operation} of {count}, cut {after} later ({kind:?}): {violation}");
                }
            }
        }
    });
}

#[test]
fn any_block_may_be_bad_before_a_mount() {
    let steps = steps();
    parallel::run(&NAMES, |name| {
        let formatted = Case::named(name).formatted(16, seed());
        for block in 0..formatted.chip().spec().block_count() {
            let mut rig = Rig::new(formatted.clone());
            rig.flash_mut().chip_mut().grow_bad(block);
            if let Err(violation) = rig.run(&steps) {
                panic!("{name}, block {block} bad: {violation}");
            }
        }
    });
}

#[test]
fn factory_bad_blocks_are_left_alone() {
    for name in ["W25N01GV", "MT29F1G01ABAFD", "GENERIC-4096-224"] {
        let spec = ChipSpec::named(name).expect("a preset").scaled(160);
        // As many as still leave one spare block: a chip without is refused.
        let chip = Chip::with_factory_bad(&spec, seed(), spec.bad_blocks_max() - 1);
        let marked: Vec<u32> = chip.marked_blocks().collect();
        assert!(!marked.is_empty());
        let mut flash = SimFlash::new(chip);
        format(&mut flash).expect("formats around bad blocks");
        let mut rig = Rig::new(flash);
        rig.run(&steps()).unwrap_or_else(|violation| panic!("{name}: {violation}"));
        let chip = rig.flash_mut().chip();
        assert!(marked.iter().all(|block| chip.is_marked(*block)), "{name}: a factory mark was erased");
        assert!(marked.iter().all(|block| chip.counters().erases_per_block[*block as usize] == 0), "{name}");
    }
}

/// Blocks go bad one after the other until no more writing is possible: then everything must still be readable.
#[test]
fn a_worn_out_chip_is_read_only_and_complete() {
    parallel::run(&NAMES, |name| {
        let mut flash = Case::named(name).formatted(16, seed());
        let mut buffer = buffer_for(&flash);
        let options = mount_options(&flash);
        let mut expected: Option<Vec<u8>> = None;
        let mut ended = None;
        let blocks = flash.geometry().block_count;
        let mut volume = Volume::mount(&mut flash, &mut buffer, options).expect("mounts");
        volume.write("/cold", &Content::seeded(1, 2000).bytes()).expect("fits");
        'wear: for round in 0..u64::from(blocks) * 4 {
            volume.flash_mut().chip_mut().faults_mut().grown_bad = Some(round % 13);
            for index in 0..25 {
                let content = Content::seeded(round * 100 + index, 300).bytes();
                match volume.write("/hot", &content) {
                    Ok(()) => expected = Some(content),
                    Err(error) => {
                        ended = Some((round, error));
                        break 'wear;
                    }
                }
            }
        }
        let (round, error) = ended.unwrap_or_else(|| panic!("{name}: blocks went bad without end"));
        assert!(matches!(error, Error::WornOut | Error::NoSpace | Error::ReadOnly), "{name}: {error:?}");
        let tree = look(&mut volume).unwrap_or_else(|violation| panic!("{name}: {violation}"));
        assert_eq!(tree.entries["/cold"].content[..], Content::seeded(1, 2000).bytes(), "{name}");
        assert_eq!(Some(tree.entries["/hot"].content.to_vec()), expected, "{name}: the last write that returned");
        let _ = volume.abandon();
        flash.chip_mut().faults_mut().grown_bad = None;
        let options = MountOptions { read_only: true, ..options };
        let mut volume = Volume::mount(&mut flash, &mut buffer, options)
            .unwrap_or_else(|error| panic!("{name}: a worn-out chip does not mount: {error}"));
        let again = look(&mut volume).unwrap_or_else(|violation| panic!("{name}: {violation}"));
        assert_eq!(tree.difference(&again), None, "{name}: after a remount");
        say(&format!("bad blocks: {name} is worn out with {error:?} after {round} losses"));
    });
}
