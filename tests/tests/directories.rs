//! A directory of a thousand files, emptied in a random order.
//!
//! Deleting thins nodes out at every place until they are joined with their neighbours, and at last the tree loses its
//! levels. All that while every name that is left must be found.

use k7fs_core::{MountOptions, Volume};
use k7fs_sim::chip::{ChipSpec, SimFlash};
use k7fs_sim::model::{Content, Random};
use k7fs_tests::geometry::{buffer_for, formatted_chip};
use k7fs_tests::seed::{mix, seed};

/// Files of the directory.
const FILES: usize = 1000;
/// Bytes of each file.
const FILE_BYTES: u32 = 200;
/// Deletions from one look at everything to the next.
const LOOK_EVERY: usize = 20;
/// Files with which every deletion is followed by a look: the tree has few leaves by then, and loses its levels.
const FEW_FILES: usize = 200;

fn path(index: usize) -> String {
    format!("/d/file{index:04}")
}

/// All files in a random order.
fn shuffled() -> Vec<usize> {
    let mut random = Random::new(mix(seed(), 1));
    let mut order: Vec<usize> = (0..FILES).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    order
}

/// Nothing is wrong, and exactly these files are left beside the directory and the root.
fn expect_files(volume: &mut Volume<'_, SimFlash>, left: &[usize]) {
    let mut faults = Vec::new();
    let summary = volume.check(|fault| faults.push(fault)).expect("can be checked");
    assert!(faults.is_empty(), "{} files left: {faults:?}, {summary:?}", left.len());
    assert_eq!(summary.objects, left.len() as u64 + 2);
    for index in left {
        let found = volume.metadata(&path(*index)).map(|metadata| metadata.size);
        assert_eq!(found, Ok(FILE_BYTES.into()), "file {index} of {} left", left.len());
    }
}

#[test]
fn a_thousand_files_are_deleted_in_a_random_order() {
    let spec = ChipSpec::named("W25Q128JV").expect("a preset");
    let flash = formatted_chip(spec, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("a new volume mounts");
    volume.create_dir("/d").expect("creates");
    for index in 0..FILES {
        volume.write(&path(index), &Content::seeded(index as u64, FILE_BYTES).bytes()).expect("fits");
    }
    let order = shuffled();
    for (done, index) in order.iter().enumerate() {
        assert_eq!(volume.remove_file(&path(*index)), Ok(()), "file {index} after {done} others");
        let left = &order[done + 1..];
        if done % LOOK_EVERY == 0 || left.len() < FEW_FILES {
            expect_files(&mut volume, left);
        }
    }
    assert_eq!(volume.metadata("/d").expect("is there").size, 0);
}
