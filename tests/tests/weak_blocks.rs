//! Blocks that need correction again and again: those that are read often, and those that are worn.

use k7fs_core::ecc::Layout;
use k7fs_core::flash::Flash;
use k7fs_core::{BadReason, OpenOptions, Volume};
use k7fs_sim::chip::{Fading, SimFlash, StuckBit};
use k7fs_tests::geometry::{Case, buffer_for, mount_options};
use k7fs_tests::seed::seed;

const NAME: &str = "nand-2048-64";
/// Blocks besides the least that a volume needs.
const SPARE_BLOCKS: u32 = 24;
const COLD_FILES: u32 = 12;

fn content(file: u32) -> Vec<u8> {
    (0..1500u32).map(|at| (at * 11 + file * 37 + at / 251) as u8).collect()
}

/// Files that nobody reads, and one beside them that is read all the time; and one on other blocks.
fn filled() -> SimFlash {
    let mut flash = Case::named(NAME).formatted(SPARE_BLOCKS, seed());
    with_volume(&mut flash, |volume| {
        for file in 0..COLD_FILES {
            volume.write(&format!("/{file}"), &content(file)).expect("fits");
        }
        volume.write("/hot", &[0xA5; 1000]).expect("fits");
        let block = flash_block_bytes(volume);
        volume.write("/between", &vec![0; block]).expect("fits");
        volume.write("/others", &[0xA5; 8000]).expect("fits");
    });
    flash
}

fn with_volume<R>(flash: &mut SimFlash, work: impl FnOnce(&mut Volume<'_, &mut SimFlash>) -> R) -> R {
    let mut buffer = buffer_for(flash);
    let options = mount_options(flash);
    let mut volume = Volume::mount(flash, &mut buffer, options).expect("mounts");
    let result = work(&mut volume);
    volume.unmount().expect("stops");
    result
}

fn flash_block_bytes(volume: &mut Volume<'_, &mut SimFlash>) -> usize {
    let geometry = volume.flash_mut().geometry();
    (geometry.page_size * geometry.pages_per_block) as usize
}

fn is_whole(volume: &mut Volume<'_, &mut SimFlash>) -> bool {
    (0..COLD_FILES).all(|file| {
        let mut read = vec![0; 2000];
        volume.read(&format!("/{file}"), &mut read) == Ok(1500) && read[..1500] == content(file)
    })
}

fn safe_bits(flash: &SimFlash) -> u32 {
    let geometry = flash.geometry();
    Layout::for_page(geometry.page_size, geometry.spare_size).expect("has a code").safe_bits()
}

fn maintain(volume: &mut Volume<'_, &mut SimFlash>) {
    for _ in 0..2000 {
        if volume.maintain(64).expect("works ahead") == 0 {
            return;
        }
    }
    panic!("maintenance is due for ever");
}

fn weak_blocks(volume: &Volume<'_, &mut SimFlash>) -> u32 {
    let mut from = 0;
    let mut count = 0;
    while let Some(bad) = volume.next_bad_block(from) {
        from = bad.block + 1;
        count += u32::from(bad.reason == BadReason::Weak);
    }
    count
}

#[test]
fn neighbours_of_what_is_read_often_move_in_idle_time() {
    const ROUNDS: u32 = 9_000;
    let mut flash = filled();
    // A page has as many wrong bits as are safe when its neighbours were read that often, and in the end nobody could read it.
    let reads_safe = f64::from(ROUNDS) / 2.5;
    let bits = f64::from(8 * flash.geometry().raw_page_size() as u32);
    let read_disturb = f64::from(safe_bits(&flash)) / bits / reads_safe;
    flash.chip_mut().faults_mut().fading =
        Some(Fading { endurance: 1000, years: 10.0, bit_flip_rate: 0.0, read_disturb, reads_per_year: 0.0 });
    with_volume(&mut flash, |volume| {
        let hot = volume.open("/hot", OpenOptions::new().read(true)).expect("opens");
        let others = volume.open("/others", OpenOptions::new().read(true)).expect("opens");
        for round in 0..ROUNDS {
            // What is read in between has the hot page read from the chip again.
            for (file, at) in [(&hot, 0), (&others, 0), (&others, 2000), (&others, 4000), (&others, 6000)] {
                assert_eq!(volume.read_at(file, at, &mut [0]), Ok(1), "round {round}");
            }
            if round % 20 == 0 {
                maintain(volume);
            }
        }
        volume.close(hot).expect("closes");
        volume.close(others).expect("closes");
        assert_eq!(weak_blocks(volume), 0, "a block that was read often is sound");
        assert!(is_whole(volume));
    });
}

/// From now on every page of a block has bits that cannot be programmed: of random content about so many are wrong.
fn wear_block(flash: &mut SimFlash, block: u32, wrong_bits: u32) {
    let geometry = flash.geometry();
    let pages = block * geometry.pages_per_block..(block + 1) * geometry.pages_per_block;
    let stuck = &mut flash.chip_mut().faults_mut().stuck;
    for page in pages {
        stuck.extend((0..2 * wrong_bits).map(|bit| StuckBit { page, bit: 700 + bit * 331, value: true }));
    }
}

#[test]
fn a_block_that_is_to_blame_itself_is_given_up_and_nothing_is_lost() {
    let sound = filled();
    let safe = safe_bits(&sound);
    let mut given_up = 0;
    for block in 0..sound.geometry().block_count {
        let mut flash = sound.clone();
        wear_block(&mut flash, block, safe * 7 / 8);
        with_volume(&mut flash, |volume| {
            while !volume.scrub(64).expect("scrubs").is_complete {}
            maintain(volume);
            assert!(is_whole(volume), "block {block}");
            given_up += weak_blocks(volume);
        });
        assert_eq!(flash.chip().counters().first_violation(), None, "block {block}");
        // The reason stays, and so does the content.
        with_volume(&mut flash, |volume| assert!(is_whole(volume), "block {block} after a restart"));
    }
    assert!(given_up > 0, "no block was given up");
}

#[test]
fn a_block_that_the_years_have_weakened_is_used_again() {
    let mut flash = filled();
    let share = 0.8 * f64::from(safe_bits(&flash)) / f64::from(8 * flash.geometry().raw_page_size() as u32);
    let chip = flash.chip_mut();
    chip.wear(1000);
    chip.faults_mut().fading =
        Some(Fading { endurance: 1000, years: 10.0, bit_flip_rate: share, read_disturb: 0.0, reads_per_year: 0.0 });
    chip.wait(10.0);
    with_volume(&mut flash, |volume| {
        let mut weak = 0;
        let mut is_complete = false;
        while !is_complete {
            let step = volume.scrub(64).expect("scrubs");
            (weak, is_complete) = (weak + step.weak_blocks, step.is_complete);
        }
        maintain(volume);
        assert!(weak > 0, "the years have done nothing");
        assert_eq!(weak_blocks(volume), 0);
        assert_eq!(volume.health().expect("health").bad_blocks, 0);
        assert!(is_whole(volume));
    });
}
