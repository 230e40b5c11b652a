//! What a volume tells of its chip's health, and the blocks that are kept to spare.

use k7fs_core::{BadReason, Error, FormatOptions, Volume, buffer_bytes, flash::Flash};
use k7fs_sim::chip::{Chip, ChipSpec, SimFlash};
use k7fs_tests::geometry::{buffer_for, mount_options};
use k7fs_tests::seed::seed;

const SPEC: &str = "W25N01GV";
const MARKED: u32 = 3;

fn formatted(marked: u32) -> Result<SimFlash, Error> {
    let spec = ChipSpec::named(SPEC).expect("a chip of that name");
    let mut flash = SimFlash::new(Chip::with_factory_bad(spec, seed(), marked));
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    Volume::format(&mut flash, &mut buffer, &FormatOptions::default())?;
    Ok(flash)
}

fn reasons(volume: &Volume<'_, SimFlash>, wanted: BadReason) -> Vec<u32> {
    let mut from = 0;
    let all = std::iter::from_fn(|| {
        let bad = volume.next_bad_block(from)?;
        from = bad.block + 1;
        Some(bad)
    });
    all.filter(|bad| bad.reason == wanted).map(|bad| bad.block).collect()
}

/// Writes until a block has failed.
fn write_until_bad(volume: &mut Volume<'_, SimFlash>, bad: u32) {
    for round in 0..10_000 {
        if volume.health().expect("health").bad_blocks >= bad {
            return;
        }
        volume.write("/file", &[round as u8; 100_000]).expect("writes");
    }
    panic!("no block went bad");
}

#[test]
fn every_bad_block_is_told_with_its_reason_after_a_restart_too() {
    let flash = formatted(MARKED).expect("formats");
    let marked: Vec<u32> = flash.chip().marked_blocks().collect();
    let mut buffer = buffer_for(&flash);
    let options = mount_options(&flash);
    let mut volume = Volume::mount(flash, &mut buffer, options).expect("mounts");
    let before = volume.usage().expect("usage").capacity_bytes;
    assert_eq!(reasons(&volume, BadReason::Marked), marked);
    assert_eq!(volume.health().expect("health").spare_blocks, 20 - MARKED);

    volume.flash_mut().chip_mut().faults_mut().erase_fail = (400..410).collect();
    while reasons(&volume, BadReason::Erase).is_empty() {
        let bad = volume.health().expect("health").bad_blocks;
        write_until_bad(&mut volume, bad + 1);
    }
    volume.flash_mut().chip_mut().faults_mut().erase_fail.clear();
    volume.flash_mut().chip_mut().faults_mut().program_fail_rate = 0.01;
    while reasons(&volume, BadReason::Program).is_empty() {
        let bad = volume.health().expect("health").bad_blocks;
        write_until_bad(&mut volume, bad + 1);
    }
    volume.flash_mut().chip_mut().faults_mut().program_fail_rate = 0.0;
    let (erase, program) = (reasons(&volume, BadReason::Erase), reasons(&volume, BadReason::Program));
    let health = volume.health().expect("health");
    assert_eq!(health.bad_blocks as usize, marked.len() + erase.len() + program.len());
    assert_eq!(volume.usage().expect("usage").capacity_bytes, before, "spare blocks are nobody's from the start");
    assert!(health.erase_count_min <= health.erase_count_mean && health.erase_count_mean <= health.erase_count_max);
    assert_eq!(health.bytes_left(0), 0);

    let flash = volume.unmount().expect("unmounts");
    let mut buffer = buffer_for(&flash);
    let options = mount_options(&flash);
    let volume = Volume::mount(flash, &mut buffer, options).expect("mounts");
    assert_eq!(reasons(&volume, BadReason::Marked), marked);
    assert_eq!(reasons(&volume, BadReason::Erase), erase);
    assert_eq!(reasons(&volume, BadReason::Program), program);
}

#[test]
fn a_chip_without_spare_blocks_is_not_formatted_and_keeps_what_it_has() {
    assert!(formatted(19).is_ok());
    for bad in [20, 25] {
        assert_eq!(formatted(bad).map(drop), Err(Error::TooManyBadBlocks { bad, bad_max: 20 }));
    }
    let mut flash = formatted(0).expect("formats");
    let blocks: Vec<u32> = (500..520).collect();
    for block in blocks {
        flash.mark_bad(block).expect("marks");
    }
    let mut buffer = buffer_for(&flash);
    let refused = Volume::format(&mut flash, &mut buffer, &FormatOptions::default());
    assert_eq!(refused, Err(Error::TooManyBadBlocks { bad: 20, bad_max: 20 }));
    let options = mount_options(&flash);
    assert!(Volume::mount(flash, &mut buffer, options).is_ok(), "the old volume is still there");
}
