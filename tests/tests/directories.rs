//! Directories with many names: emptied in a random order, walked while they change, removed with all they hold.
//!
//! Deleting thins nodes out at every place until they are joined with their neighbours, and at last the tree loses its
//! levels. All that while every name that is left must be found.

use std::collections::BTreeMap;

use k7fs_core::{Error, MountOptions, NAME_BYTES_MAX, Volume};
use k7fs_sim::chip::{ChipSpec, SimFlash};
use k7fs_sim::model::{Content, Random};
use k7fs_tests::geometry::{Case, buffer_for, formatted_chip};
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

/// Every name of the directory `/d`, with how often a walk met it; `meanwhile` is called after each.
fn walk(
    volume: &mut Volume<'_, SimFlash>, mut meanwhile: impl FnMut(&mut Volume<'_, SimFlash>),
) -> BTreeMap<String, u32> {
    let mut met = BTreeMap::new();
    let mut cursor = volume.read_dir("/d").expect("is a directory");
    let mut name = [0; NAME_BYTES_MAX];
    while let Some(entry) = volume.next_entry(&mut cursor, &mut name).expect("reads") {
        *met.entry(format!("/d/{}", entry.name)).or_default() += 1;
        meanwhile(volume);
    }
    met
}

#[test]
fn a_walk_meets_every_name_once_while_others_come_and_go() {
    const NAMES: usize = 600;
    let flash = formatted_chip(ChipSpec::named("W25Q128JV").expect("a preset"), seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("a new volume mounts");
    volume.create_dir("/d").expect("creates");
    for index in 0..NAMES {
        volume.write(&path(index), &[]).expect("fits");
    }
    let mut random = Random::new(mix(seed(), 2));
    let (mut removed, mut made) = (Vec::new(), 0);
    let met = walk(&mut volume, |volume| match random.below(3) {
        0 => {
            let index = random.below(NAMES as u64) as usize;
            match volume.remove_file(&path(index)) {
                Ok(()) => removed.push(path(index)),
                Err(error) => assert_eq!(error, Error::NotFound),
            }
        }
        1 if made < 200 => {
            volume.write(&format!("/d/new{made}"), &[]).expect("fits");
            made += 1;
        }
        _ => {}
    });
    assert!(removed.len() > 50 && made > 50, "{} removed, {made} made", removed.len());
    assert!(met.values().all(|times| *times == 1), "no name is met twice");
    let stayed = (0..NAMES).map(path).filter(|path| !removed.contains(path));
    stayed.for_each(|path| assert!(met.contains_key(&path), "{path} was there from start to end"));
}

/// As `directory-scale` does it with a million names in the memory of a host.
#[test]
fn twenty_thousand_names_on_sixteen_mebibytes() {
    const NAMES: usize = 20_000;
    let flash = formatted_chip(ChipSpec::named("W25Q128JV").expect("a preset"), seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("a new volume mounts");
    let free = volume.usage().expect("is usable").free_bytes;
    volume.create_dir("/d").expect("creates");
    for index in 0..NAMES {
        volume.write(&path(index), &[]).unwrap_or_else(|error| panic!("name {index}: {error}"));
    }
    assert_eq!(volume.metadata("/d").expect("is there").size, NAMES as u64);
    let reads = volume.flash_mut().chip().counters().reads;
    for index in (0..NAMES).step_by(100) {
        assert_eq!(volume.metadata(&path(index)).expect("is found").size, 0);
    }
    let reads = volume.flash_mut().chip().counters().reads - reads;
    assert!(reads <= 60 * (NAMES as u64 / 100), "{reads} reads for {} lookups", NAMES / 100);
    assert_eq!(walk(&mut volume, |_| ()).len(), NAMES);
    let programs = volume.flash_mut().chip().counters().programs;
    volume.remove_tree("/d").expect("removes");
    let programs = volume.flash_mut().chip().counters().programs - programs;
    assert!(programs <= 8 * NAMES as u64, "{programs} programs to remove {NAMES} names");
    assert_eq!(volume.metadata("/d"), Err(Error::NotFound));
    expect_files_and_space(volume, 1, free);
}

/// Nothing is wrong, so many objects are left, and nearly so much space is free.
fn expect_files_and_space(volume: Volume<'_, SimFlash>, objects: u64, free: u64) {
    // What is not merged yet counts as more than it takes.
    let flash = volume.unmount().expect("unmounts");
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("mounts again");
    let mut faults = Vec::new();
    let summary = volume.check(|fault| faults.push(fault)).expect("can be checked");
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(summary.objects, objects);
    let now = volume.usage().expect("is usable").free_bytes;
    assert!(now + free / 50 >= free, "{now} bytes of {free} are free again");
}

#[test]
fn a_tree_is_removed_from_a_full_volume() {
    for name in ["nor-256-4k", "nor-128-2k", "nor-1024-8k", "nand-2048-64"] {
        let flash = Case::named(name).formatted(40, seed());
        let mut buffer = buffer_for(&flash);
        let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("a new volume mounts");
        let free = volume.usage().expect("is usable").free_bytes;
        // Older objects below younger ones: what jobs leave to be done comes before them in the order of keys.
        volume.create_dir("/deeper").expect("fits");
        volume.create_dir("/deep").expect("fits");
        volume.create_dir("/d").expect("creates");
        volume.write("/kept", &[7; 300]).expect("fits");
        volume.hard_link("/kept", "/deeper/link").expect("fits");
        volume.rename("/deeper", "/deep/deeper").expect("fits");
        volume.rename("/deep", "/d/deep").expect("fits");
        let mut count = 0;
        loop {
            let directory = format!("/d/{}", count / 8);
            let made = if count % 8 == 0 { volume.create_dir(&directory) } else { Ok(()) };
            let length = [0, 40, 700, 5000][count % 4];
            match made.and_then(|()| volume.write(&format!("{directory}/{count}"), &vec![count as u8; length])) {
                Ok(()) => count += 1,
                Err(error) => break assert_eq!(error, Error::NoSpace, "{name}"),
            }
        }
        assert!(count > 20, "{name}: only {count} files");
        assert_eq!(volume.metadata("/kept").expect("is there").links, 2);
        volume.remove_tree("/d").unwrap_or_else(|error| panic!("{name}: {error}"));
        let kept = volume.metadata("/kept").expect("is there");
        assert_eq!((kept.links, kept.size), (1, 300), "{name}");
        expect_files_and_space(volume, 2, free - 2000);
    }
}
