//! A few files on every preset chip, remounted clean and unclean.
//!
//! The other tests shrink the parts to what they need. Here a volume fills the part that somebody would buy, as far as
//! that takes no minutes, with its own pages and blocks.

use k7fs_core::{Error, MountOptions, OpenOptions, Volume};
use k7fs_sim::chip::{ChipSpec, SimFlash};
use k7fs_sim::model::Content;
use k7fs_tests::geometry::{buffer_for, formatted_chip};
use k7fs_tests::seed::seed;
use k7fs_tests::sequence::check;

/// Small files in one directory; each is longer than the one before, the first is empty.
const SMALL_FILES: u32 = 60;
/// What each small file has more than the one before.
const SMALL_FILE_STEP_BYTES: u32 = 24;
/// One small file in so many is removed again.
const REMOVED_EVERY: usize = 3;
/// Writes to the big file.
const PIECES: u32 = 40;
/// Bytes of one write to the big file.
const PIECE_BYTES: u32 = 900;
/// From one of these writes to the next: each covers the end of the one before.
const PIECE_STEP_BYTES: u64 = 700;
/// How often one file is replaced.
const REWRITES: u64 = 200;
/// Bytes of that file.
const REWRITTEN_BYTES: u32 = 64;
/// Blocks of a part of which another one with the same blocks is there whole, or whose array would take long to make.
const FEW_BLOCKS: u32 = 64;

fn small_path(index: u32) -> String {
    format!("/d/f{index}")
}

fn small_content(index: u32) -> Vec<u8> {
    Content::seeded(index.into(), index * SMALL_FILE_STEP_BYTES).bytes()
}

fn piece(index: u32) -> Vec<u8> {
    Content::seeded((SMALL_FILES + index).into(), PIECE_BYTES).bytes()
}

fn big_content() -> Vec<u8> {
    let mut content = Vec::new();
    for index in 0..PIECES {
        content.truncate((u64::from(index) * PIECE_STEP_BYTES) as usize);
        content.extend(piece(index));
    }
    content
}

fn rewritten_content(round: u64) -> Vec<u8> {
    Content::seeded(round, REWRITTEN_BYTES).bytes()
}

fn mount(flash: SimFlash, buffer: &mut [u8]) -> Volume<'_, SimFlash> {
    Volume::mount(flash, buffer, MountOptions::default()).expect("a sound volume mounts")
}

/// Makes small files and a big one, removes some, and replaces one again and again.
fn write_files(volume: &mut Volume<'_, SimFlash>) {
    volume.create_dir("/d").expect("creates");
    for index in 0..SMALL_FILES {
        volume.write(&small_path(index), &small_content(index)).expect("fits");
    }
    let big = volume.open("/big", OpenOptions::new().read(true).write(true).create(true)).expect("opens");
    for index in 0..PIECES {
        volume.write_at(&big, u64::from(index) * PIECE_STEP_BYTES, &piece(index)).expect("fits");
    }
    volume.close(big).expect("closes");
    for index in (0..SMALL_FILES).step_by(REMOVED_EVERY) {
        volume.remove_file(&small_path(index)).expect("removes");
    }
    for round in 0..REWRITES {
        volume.write("/d/rewritten", &rewritten_content(round)).expect("replaces");
    }
}

/// Everything that [`write_files`] has left is there, and nothing is wrong.
fn expect_files(volume: &mut Volume<'_, SimFlash>) {
    let read = |volume: &mut Volume<'_, SimFlash>, path: &str| {
        // A byte more than the longest file has: one that is too long shows.
        let mut bytes = vec![0; big_content().len() + 1];
        let length = volume.read(path, &mut bytes)?;
        bytes.truncate(length);
        Ok::<_, Error>(bytes)
    };
    for index in 0..SMALL_FILES {
        let is_removed = (index as usize).is_multiple_of(REMOVED_EVERY);
        let expected = if is_removed { Err(Error::NotFound) } else { Ok(small_content(index)) };
        assert_eq!(read(volume, &small_path(index)), expected, "small file {index}");
    }
    assert_eq!(read(volume, "/big"), Ok(big_content()));
    assert_eq!(read(volume, "/d/rewritten"), Ok(rewritten_content(REWRITES - 1)));
    check(volume).expect("no faults");
}

/// Works on a volume, stops it cleanly, mounts it, takes the power away and mounts it once more.
fn files_outlive_a_clean_and_an_unclean_stop(chip: &str, blocks: Option<u32>) {
    let spec = ChipSpec::named(chip).expect("a preset");
    let spec = blocks.map_or_else(|| spec.clone(), |blocks| spec.scaled(blocks));
    let flash = formatted_chip(&spec, seed());
    let mut buffer = buffer_for(&flash);

    let mut volume = mount(flash, &mut buffer);
    write_files(&mut volume);
    expect_files(&mut volume);
    assert_eq!(volume.audit(), Ok(None), "a block's live count is too low");
    let flash = volume.unmount().expect("unmounts");

    let mut volume = mount(flash, &mut buffer);
    assert!(volume.usage().expect("usage is always known").clean);
    expect_files(&mut volume);
    volume.write("/after", b"x").expect("fits");
    let flash = volume.abandon();

    let mut volume = mount(flash, &mut buffer);
    assert!(!volume.usage().expect("usage is always known").clean);
    expect_files(&mut volume);
    let flash = volume.unmount().expect("unmounts");
    let counters = flash.chip().counters();
    assert_eq!(counters.violations, 0, "the chip's rules were broken: {:?}", counters.violation_texts);
}

macro_rules! presets {
    ($($test:ident: $chip:literal, $blocks:expr;)*) => {
        /// The chips that are tested.
        const CHIPS: &[&str] = &[$($chip),*];

        $(#[test]
        fn $test() {
            files_outlive_a_clean_and_an_unclean_stop($chip, $blocks);
        })*
    };
}

presets! {
    w25q128jv: "W25Q128JV", None;
    w25q16jv: "W25Q16JV", None;
    w25q80bl: "W25Q80BL", Some(FEW_BLOCKS);
    nrf51822: "nRF51822", None;
    nrf52840: "nRF52840", None;
    stm32l4: "STM32L4", None;
    stm32h7: "STM32H7", None;
    w25n01gv: "W25N01GV", None;
    mt29f1g01abafd: "MT29F1G01ABAFD", Some(FEW_BLOCKS);
    mt29f2g08: "MT29F2G08", Some(FEW_BLOCKS);
    generic_4096_224: "GENERIC-4096-224", Some(FEW_BLOCKS);
}

#[test]
fn no_preset_is_left_out() {
    let presets: Vec<&str> = ChipSpec::all().iter().map(|spec| spec.name).collect();
    assert_eq!(presets, CHIPS);
}
