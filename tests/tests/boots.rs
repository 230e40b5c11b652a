//! Devices that are switched off without warning, every time: thousands of starts on a full volume, with nothing written
//! in between. Recovery must not eat the volume up, nor wear out the few blocks that it writes to.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, OpenOptions, Volume};
use k7fs_sim::chip::SimFlash;
use k7fs_tests::geometry::{Case, buffer_for, mount_options};
use k7fs_tests::parallel;
use k7fs_tests::seed::{mix, replay, seed};

const GEOMETRIES: [&str; 6] =
    ["nor-128-2k", "nor-256-4k", "nor-512-4k", "nor-1024-8k", "nand-2048-64", "nor-256-4k-keyed"];
/// Blocks besides the least that a volume needs.
const SPARE_BLOCKS: u32 = 24;
const STARTS: u64 = 3000;
/// Pages that a start programs on the average beyond the one that says again what is in doubt, at most, in blocks of one page: a block
/// that ends has the next one opened and a checkpoint say so, and now and then the log's tail is so long that a checkpoint is due.
const PAGES_PER_BLOCK: u64 = 12;
const BLOCK_BYTES: usize = 4096;

/// Fills the volume until it refuses, and leaves it as a cut does.
fn filled(flash: SimFlash) -> (SimFlash, u64) {
    let mut buffer = buffer_for(&flash);
    let options = mount_options(&flash);
    let mut volume = Volume::mount(flash, &mut buffer, options).expect("a new volume mounts");
    let file = volume.open("/big", OpenOptions::new().write(true).create(true)).expect("opens");
    let mut blocks = 0;
    loop {
        match volume.write_at(&file, blocks * BLOCK_BYTES as u64, &[blocks as u8; BLOCK_BYTES]) {
            Ok(()) => blocks += 1,
            Err(Error::NoSpace) => break,
            Err(error) => panic!("block {blocks}: {error}"),
        }
    }
    volume.sync().expect("syncs");
    (volume.abandon(), blocks)
}

fn check(volume: &mut Volume<'_, SimFlash>, blocks: u64) {
    let file = volume.open("/big", OpenOptions::new().read(true)).expect("opens");
    let mut bytes = [0; BLOCK_BYTES];
    for block in 0..blocks {
        assert_eq!(volume.read_at(&file, block * BLOCK_BYTES as u64, &mut bytes), Ok(BLOCK_BYTES));
        assert!(bytes.iter().all(|byte| *byte == block as u8), "block {block} has other content than was committed");
    }
    volume.close(file).expect("closes");
}

fn run(name: &str, seed: u64) {
    let (mut flash, blocks) = filled(Case::named(name).formatted(SPARE_BLOCKS, seed));
    flash.chip_mut().reset_counters();
    for start in 0..STARTS {
        let mut buffer = buffer_for(&flash);
        let options = mount_options(&flash);
        let mut volume =
            Volume::mount(flash, &mut buffer, options).unwrap_or_else(|error| panic!("{name}: start {start}: {error}"));
        if start % 100 == 0 {
            check(&mut volume, blocks);
        }
        flash = volume.abandon();
    }
    let counters = flash.chip().counters();
    assert_eq!(counters.first_violation(), None);
    let pages = counters.bytes_programmed / flash.geometry().raw_page_size() as u64;
    let pages_max = STARTS + STARTS * PAGES_PER_BLOCK / u64::from(flash.geometry().pages_per_block);
    assert!(pages <= pages_max, "{name}: {pages} pages were programmed in {STARTS} starts");
    // All but a few pages go to the log, whose blocks are taken in turn.
    let mean = counters.erases / SPARE_BLOCKS as u64 + 1;
    let most = u64::from(counters.erases_per_block.iter().copied().max().unwrap_or(0));
    assert!(most <= 4 * mean, "{name}: one block was erased {most} times, {} erases in all", counters.erases);
    let mut buffer = buffer_for(&flash);
    let options = mount_options(&flash);
    let mut volume = Volume::mount(flash, &mut buffer, options).expect("mounts");
    check(&mut volume, blocks);
    volume.remove_file("/big").expect("a full volume lets go of a file after thousands of starts");
    volume.write("/new", b"and takes another").expect("writes");
}

/// A device that starts, writes a little and is switched off erases a block for each that it fills, not one at every start.
#[test]
fn starts_that_write_a_little_erase_what_they_fill() {
    for name in ["nor-256-4k", "nand-2048-64"] {
        let mut flash = Case::named(name).formatted(SPARE_BLOCKS, seed());
        flash.chip_mut().reset_counters();
        for start in 0..STARTS / 4 {
            let mut buffer = buffer_for(&flash);
            let options = mount_options(&flash);
            let mut volume = Volume::mount(flash, &mut buffer, options).expect("mounts");
            volume.write("/counter", &start.to_le_bytes()).expect("writes");
            flash = volume.abandon();
        }
        let geometry = flash.geometry();
        let counters = flash.chip().counters();
        let pages = counters.bytes_programmed / geometry.raw_page_size() as u64;
        let filled = pages / u64::from(geometry.pages_per_block);
        assert!(counters.erases <= filled + filled / 2 + 8, "{name}: {} erases for {filled} blocks", counters.erases);
    }
}

#[test]
fn thousands_of_starts_cost_about_a_page_each() {
    let jobs: Vec<(usize, &str)> = GEOMETRIES.into_iter().enumerate().collect();
    let outcome =
        std::panic::catch_unwind(|| parallel::run(&jobs, |(place, name)| run(name, mix(seed(), *place as u64))));
    assert!(outcome.is_ok(), "replay: {}", replay("boots", "thousands_of_starts", seed()));
}
