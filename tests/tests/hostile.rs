//! Two hundred thousand damaged and forged images.
//!
//! An image may come from a dying chip or from an attacker. Whatever is on it, the core must come back with an error or
//! with data that was there: no panic, no loop, no file with somebody else's bytes. The fuzz target beside these tests
//! makes the same changes under the guidance of coverage; here they come from one seed, so that every run is the same.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use k7fs_sim::model::Random;
use k7fs_tests::geometry::Case;
use k7fs_tests::hostile::{Verdict, Victim};
use k7fs_tests::parallel;
use k7fs_tests::seed::{VARIABLE, mix, say, seed};

/// Images of the whole run.
const INPUTS: u64 = 200_000;
/// Images that one job makes.
const BATCH: u64 = 1_000;
/// An environment variable that runs only this input.
const INPUT_VARIABLE: &str = "K7FS_INPUT";

/// What becomes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// Beyond correction, as the chip says.
    Lost,
    /// All bytes are this one.
    Filled(u8),
}

const DAMAGES: [Damage; 4] = [Damage::Lost, Damage::Filled(0xFF), Damage::Filled(0x00), Damage::Filled(0x5A)];

#[test]
fn hostile_images_give_an_error_or_the_right_data() {
    let seed = seed();
    let start = Instant::now();
    let victims = victims();
    if let Ok(text) = std::env::var(INPUT_VARIABLE) {
        let input = text.parse().expect("the number of an input");
        say(&format!("input {input}: {:?}", examine(&victims, seed, input)));
        return;
    }
    let batches: Vec<u64> = (0..INPUTS / BATCH).collect();
    let results = parallel::run(&batches, |batch| {
        let mut verdicts = BTreeMap::new();
        for input in batch * BATCH..(batch + 1) * BATCH {
            let result = std::panic::catch_unwind(AssertUnwindSafe(|| examine(&victims, seed, input)));
            match result {
                Ok(verdict) => *verdicts.entry(verdict).or_insert(0_u64) += 1,
                Err(_) => return Err(input),
            }
        }
        Ok(verdicts)
    });
    let mut total: BTreeMap<Verdict, u64> = BTreeMap::new();
    let mut failed = Vec::new();
    for result in results {
        match result {
            Ok(verdicts) => {
                for (verdict, count) in verdicts {
                    *total.entry(verdict).or_insert(0) += count;
                }
            }
            Err(input) => failed.push(input),
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    say(&format!("hostile images: {INPUTS} in {seconds:.1} s, {total:?}"));
    assert!(
        failed.is_empty(),
        "inputs {failed:?} failed\nreplay: {INPUT_VARIABLE}={} {VARIABLE}={seed:#x} cargo test -p k7fs-tests --test hostile",
        failed[0]
    );
}

#[test]
fn the_undamaged_images_are_whole() {
    for victim in victims() {
        for read_only in [false, true] {
            assert_eq!(victim.examine(victim.flash().clone(), false, read_only), Verdict::Whole);
        }
    }
}

/// A part of the pages, another one for each seed; all of them with the feature `campaign`.
#[test]
fn every_single_page_may_be_lost() {
    let victims: Vec<(Victim, usize)> =
        victims().into_iter().flat_map(|victim| (0..2).map(move |half| (victim.clone(), half))).collect();
    parallel::run(&victims, |(victim, half)| {
        // Looking into several indexes takes ten times as long.
        let parts = if victim.is_rich() { 4 } else { 1 };
        let (parts, part) = if cfg!(feature = "campaign") { (1, 0) } else { (parts, seed() as usize % parts) };
        let pages = victim.written().iter().enumerate().filter(|(at, _)| at % parts == part && at / parts % 2 == *half);
        for (_, page) in pages {
            for damage in DAMAGES {
                let mut flash = victim.flash().clone();
                match damage {
                    Damage::Lost => flash.lose(*page),
                    Damage::Filled(byte) => flash.page_mut(*page).fill(byte),
                }
                let result = std::panic::catch_unwind(AssertUnwindSafe(|| victim.examine(flash, false, false)));
                assert!(result.is_ok(), "page {page}: {damage:?}");
            }
        }
    });
}

fn victims() -> Vec<Victim> {
    let cases = [
        ("nor-256-4k", true, false),
        ("nor-256-4k", false, false),
        ("nor-128-2k", true, false),
        ("nor-256-4k", false, true),
        ("nor-128-2k", true, true),
        ("nor-256-4k-zstd", false, false),
        ("nor-512-4k-verified-lzma2", true, false),
        ("nand-2048-64", false, false),
        ("nor-256-4k-keyed", true, false),
        ("nor-256-4k-keyed", false, true),
        ("nor-256-4k-zstd", true, true),
    ];
    cases.iter().map(|(name, clean, rich)| Victim::new(&Case::named(name), *clean, *rich)).collect()
}

fn examine(victims: &[Victim], seed: u64, input: u64) -> Verdict {
    let mut random = Random::new(mix(seed, input));
    // The NAND images cost a hundred times as much and differ in few structures; those with several indexes ten times. Codecs take
    // most of the time of an image that has them.
    let index = match random.below(400) {
        0 | 1 => 7,
        2..10 => 3 + random.below(2) as usize,
        10..26 => 5 + random.below(2) as usize,
        26..29 => 9,
        29..49 => 8,
        49..51 => 10,
        _ => random.below(3) as usize,
    };
    let victim = &victims[index];
    let (flash, sealed) = victim.mutated(&mut random);
    victim.examine(flash, sealed, random.percent(40))
}
