//! Content that fades moves before it is lost, whenever the power fails meanwhile.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, Scrubbed, Volume};
use k7fs_sim::chip::{Cut, CutKind, Fading, SimFlash};
use k7fs_tests::geometry::{Case, buffer_for, mount_options};
use k7fs_tests::parallel;
use k7fs_tests::seed::seed;

const NAMES: [&str; 5] = ["nor-128-2k", "nor-256-4k", "nor-1024-8k", "nand-2048-64", "nor-256-4k-keyed"];
/// Blocks besides the least that a volume needs.
const SPARE_BLOCKS: u32 = 24;
const FILES: u32 = 10;
/// Years that content is promised to stay, and the share of wrong bits then, in parts of those that are safe on a page.
const YEARS: f64 = 10.0;
const SAFE_SHARE: f64 = 0.8;
const ERASES: u32 = 1000;

fn content(file: u32) -> Vec<u8> {
    (0..900 + file * 170).map(|at| (at * 11 + file * 37 + at / 251) as u8).collect()
}

/// A volume with files on a worn chip, whose pages have [`SAFE_SHARE`] of the wrong bits that are safe after [`YEARS`].
fn filled(name: &str) -> SimFlash {
    let mut flash = Case::named(name).formatted(SPARE_BLOCKS, seed());
    let geometry = flash.geometry();
    let layout = k7fs_core::ecc::Layout::for_page(geometry.page_size, geometry.spare_size).expect("has a code");
    let share = SAFE_SHARE * f64::from(layout.safe_bits()) / (geometry.raw_page_size() * 8) as f64;
    let mut buffer = buffer_for(&flash);
    let options = mount_options(&flash);
    let mut volume = Volume::mount(&mut flash, &mut buffer, options).expect("mounts");
    for file in 0..FILES {
        volume.write(&format!("/{file}"), &content(file)).expect("fits");
    }
    volume.unmount().expect("stops");
    let chip = flash.chip_mut();
    chip.wear(ERASES);
    chip.faults_mut().fading =
        Some(Fading { endurance: ERASES, years: YEARS, bit_flip_rate: share, read_disturb: 0.0, reads_per_year: 0.0 });
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

/// A whole pass, and the pages that each step has looked at.
fn pass(volume: &mut Volume<'_, &mut SimFlash>, budget: u32) -> Result<Scrubbed, Error> {
    let mut all = Scrubbed::default();
    while !all.is_complete {
        let step = volume.scrub(budget)?;
        all.pages += step.pages;
        all.weak_blocks += step.weak_blocks;
        all.unreadable_pages += step.unreadable_pages;
        all.is_complete = step.is_complete;
    }
    Ok(all)
}

fn verify<F: Flash>(volume: &mut Volume<'_, F>, name: &str) {
    for file in 0..FILES {
        let expected = content(file);
        let mut read = vec![0; expected.len() + 1];
        assert_eq!(volume.read(&format!("/{file}"), &mut read), Ok(expected.len()), "{name}: /{file}");
        assert_eq!(read[..expected.len()], expected, "{name}: /{file}");
    }
}

#[test]
fn what_is_scrubbed_stays_and_what_is_not_is_lost() {
    parallel::run(&NAMES, |name| {
        let fresh = filled(name);
        let mut kept = fresh.clone();
        let mut moved = 0;
        for _ in 0..24 {
            kept.chip_mut().wait(YEARS / 4.0);
            let found = with_volume(&mut kept, |volume| pass(volume, 50).expect("scrubs"));
            assert_eq!(found.unreadable_pages, 0, "{name}");
            moved += found.weak_blocks;
        }
        assert!(moved > 0, "{name}: nothing has moved in all those years");
        with_volume(&mut kept, |volume| verify(volume, name));
        assert_eq!(kept.chip().counters().first_violation(), None, "{name}");
        let mut left = fresh;
        left.chip_mut().wait(YEARS * 20.0);
        let mut buffer = buffer_for(&left);
        let options = mount_options(&left);
        let lost = match Volume::mount(&mut left, &mut buffer, options) {
            Ok(mut volume) => (0..FILES).any(|file| volume.read(&format!("/{file}"), &mut vec![0; 8000]).is_err()),
            Err(_) => true,
        };
        assert!(lost, "{name}: the years have done nothing");
    });
}

#[test]
fn a_cut_in_a_pass_loses_nothing() {
    parallel::run(&NAMES, |name| {
        let mut faded = filled(name);
        faded.chip_mut().wait(YEARS);
        let mut whole = faded.clone();
        let before = whole.chip().counters().programs + whole.chip().counters().erases;
        with_volume(&mut whole, |volume| pass(volume, 9).expect("scrubs"));
        let operations = whole.chip().counters().programs + whole.chip().counters().erases - before;
        assert!(operations > 40, "{name}: hardly anything moves");
        for operation in (0..operations).step_by((operations as usize / 150).max(1)) {
            let mut flash = faded.clone();
            let kind = CutKind::LADDER[operation as usize % CutKind::LADDER.len()];
            flash.chip_mut().faults_mut().cut = Some(Cut { operation, kind });
            let mut buffer = buffer_for(&flash);
            let options = mount_options(&flash);
            if let Ok(mut volume) = Volume::mount(&mut flash, &mut buffer, options) {
                let _ = pass(&mut volume, 9);
                let _ = volume.abandon();
            }
            flash.chip_mut().faults_mut().cut = None;
            flash.chip_mut().power_on();
            with_volume(&mut flash, |volume| {
                verify(volume, name);
                assert!(pass(volume, 100).is_ok(), "{name}, cut at {operation} ({kind:?})");
                verify(volume, name);
            });
        }
    });
}

#[test]
fn a_pass_goes_on_after_a_stop() {
    for name in NAMES {
        let mut flash = filled(name);
        let whole = with_volume(&mut flash, |volume| pass(volume, 1).expect("scrubs")).pages;
        let mut looked = 0;
        let mut stops = 0;
        loop {
            let step = with_volume(&mut flash, |volume| volume.scrub(8).expect("scrubs"));
            (looked, stops) = (looked + step.pages, stops + 1);
            if step.is_complete {
                break;
            }
            assert!(stops < 2 * whole, "{name}: the pass does not end");
        }
        // Each stop writes something.
        assert!(looked < 3 * whole + 200, "{name}: {looked} pages instead of {whole}");
    }
}

#[test]
fn a_pass_that_is_always_cut_ends() {
    for name in NAMES.into_iter().filter(|name| name.starts_with("nor")) {
        let mut flash = filled(name);
        let geometry = flash.geometry();
        // A part of the volume and some more.
        let most = geometry.pages_per_block * (geometry.block_count / 8 + 2);
        for cut in 0.. {
            assert!(cut < 12, "{name}: the pass does not end");
            let mut buffer = buffer_for(&flash);
            let options = mount_options(&flash);
            let mut volume = Volume::mount(&mut flash, &mut buffer, options).expect("mounts");
            let mut looked = 0;
            let mut is_complete = false;
            while looked < most && !is_complete {
                let step = volume.scrub(1).expect("scrubs");
                (looked, is_complete) = (looked + step.pages, step.is_complete);
            }
            let _ = volume.abandon();
            if is_complete {
                assert!(cut > 0, "{name}: nothing was cut");
                break;
            }
        }
    }
}

#[test]
fn a_weak_page_that_a_read_meets_is_maintenance_due() {
    for name in ["nor-256-4k", "nand-2048-64"] {
        let mut flash = filled(name);
        flash.chip_mut().wait(YEARS);
        with_volume(&mut flash, |volume| {
            while volume.maintain(100).expect("works ahead") > 0 {}
            for _ in 0..100 {
                verify(volume, name);
                if volume.maintenance_due() == 0 {
                    return;
                }
                while volume.maintain(100).expect("works ahead") > 0 {}
            }
            panic!("{name}: weak pages for ever");
        });
        with_volume(&mut flash, |volume| verify(volume, name));
    }
}

#[test]
fn a_budget_of_nothing_is_refused_and_so_is_scrubbing_within_a_transaction() {
    let mut flash = filled("nor-256-4k");
    with_volume(&mut flash, |volume| {
        assert_eq!(volume.scrub(0), Err(Error::InvalidOption));
        assert_eq!(volume.transaction(|volume| Ok(volume.scrub(1))), Ok(Err(Error::Busy)));
    });
}

#[test]
fn nothing_is_weak_on_a_sound_chip() {
    for name in NAMES {
        let mut flash = filled(name);
        let found = with_volume(&mut flash, |volume| pass(volume, 100).expect("scrubs"));
        let expected = Scrubbed { pages: found.pages, is_complete: true, ..Scrubbed::default() };
        assert_eq!(found, expected, "{name}");
    }
}
