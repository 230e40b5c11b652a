//! The suite must notice when a step of the protocol is missing.
//!
//! A test that passes proves nothing until it has failed for the right reason. Each step that protects against power
//! cuts or wrong pages is switched off in turn, and a campaign made for it must find a violation; with the step on, the
//! same campaign must find none. The switches are process-wide, so the tests take turns.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use k7fs_core::sabotage::{Step, set_off};
use k7fs_core::{Error, MountOptions, Volume};
use k7fs_sim::chip::{CutKind, Operation as ChipOperation, SimFlash};
use k7fs_sim::model::{Content, Random, Violation};
use k7fs_tests::geometry::{Case, buffer_for};
use k7fs_tests::hostile::Victim;
use k7fs_tests::ladder::{Ladder, Plan, Workload};
use k7fs_tests::seed::{mix, say, seed};
use k7fs_tests::splice::Album;
use k7fs_tests::workload::{named, write};

/// Reads, programs and erases that looking at one misdirected page may take.
const OPERATIONS_MAX: u64 = 50_000;

static TURN: Mutex<()> = Mutex::new(());

/// A campaign finds nothing, and finds something without the step.
fn notices(step: Step, campaign: impl Fn() -> Result<u64, Violation>) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    match campaign() {
        Ok(visited) => say(&format!("sabotage: with {step:?}: {visited} states, no violation")),
        Err(violation) => panic!("the campaign for {step:?} fails with nothing sabotaged: {violation}"),
    }
    set_off(step, true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(&campaign));
    set_off(step, false);
    match result {
        Ok(Ok(visited)) => panic!("nobody noticed in {visited} states that {step:?} is missing"),
        Ok(Err(violation)) => say(&format!("sabotage: without {step:?}: {violation}")),
        Err(_) => say(&format!("sabotage: without {step:?}: a panic")),
    }
}

/// A torn commit page reads good once and bad later.
#[test]
fn the_commit_that_is_not_said_again_is_missed() {
    notices(Step::Recommit, || {
        let mut formatted = Case::named("nor-256-4k").formatted(8, seed());
        // Near the limit of correction: a torn page then reads good now and bad the next time.
        formatted.chip_mut().faults_mut().unstable_density = 0.03;
        let mut visited = 0;
        for workload in named().iter().take(3) {
            visited += climb(&formatted, workload, 12)?;
        }
        Ok(visited)
    });
}

/// A commit must not come before what it names: the cleaner moves content and commits in one go.
#[test]
fn the_commit_before_its_content_is_noticed() {
    notices(Step::CommitOrder, || {
        let formatted = Case::named("nor-256-4k").formatted(4, seed());
        let (length, count) = (700, fill(&mut formatted.clone(), 700));
        let setup = (0..count).map(|index| write(&format!("/f{index}"), index, length)).collect();
        let measured = (0..8).map(|round| write(&format!("/f{}", round * 3), 1000 + round, length)).collect();
        climb(&formatted, &Workload { name: "full".to_owned(), setup, measured, unmount: false }, 0)
    });
}

/// A block whose erase was cut at its very end reads as erased, and does not keep what is programmed into it.
#[test]
fn the_block_that_is_not_erased_again_loses_data() {
    notices(Step::EraseAgain, || {
        // On NOR the pages that do not keep what is programmed are noticed at once, and good blocks are given up.
        cut_erases(&Case::named("nand-2048-64").formatted(8, seed()))
    });
}

/// A page that is a codeword, but not the one that belongs there: misdirected, or left over.
#[test]
fn the_page_that_is_not_its_own_is_noticed() {
    notices(Step::Checksum, || {
        let victim = Victim::new(&Case::named("nor-256-4k"), true, false);
        let mut random = Random::new(mix(seed(), 1));
        for round in 0..300_u64 {
            let (Some(page), Some(other)) = (random.pick(victim.written()), random.pick(victim.written())) else {
                break;
            };
            let mut flash = victim.flash().clone();
            let source = flash.page(*other).to_vec();
            flash.page_mut(*page).copy_from_slice(&source);
            flash.limit_operations(OPERATIONS_MAX);
            let look = || victim.examine(flash, false, round % 2 == 0);
            std::panic::catch_unwind(AssertUnwindSafe(look)).map_err(|_| {
                Violation::new(format!("page {page} with the content of page {other} is taken for its own"))
            })?;
        }
        Ok(300)
    });
}

/// On an authenticated volume, a page that was sealed without the key.
#[test]
fn the_page_without_the_key_is_noticed() {
    notices(Step::PageKey, || {
        let victim = Victim::new(&Case::named("nor-256-4k-keyed"), true, false);
        for input in 0..2_000_u64 {
            let (flash, sealed) = victim.mutated(&mut Random::new(mix(seed(), input)));
            let look = || victim.examine(flash, sealed, true);
            std::panic::catch_unwind(AssertUnwindSafe(look))
                .map_err(|_| Violation::new(format!("forged image {input} shows what never was")))?;
        }
        Ok(2_000)
    });
}

/// On an authenticated volume, a page of an earlier life of its block.
#[test]
fn the_page_of_an_earlier_life_is_noticed() {
    notices(Step::Life, || {
        let album = Album::new(&Case::named("nor-256-4k-keyed"), seed());
        album.attack(seed(), 2_000).map(|_| 2_000)
    });
}

fn climb(formatted: &SimFlash, workload: &Workload, double_every: u64) -> Result<u64, Violation> {
    let mut ladder = Ladder::new(formatted, Plan { double_every, triple_every: 0, seed: seed() });
    ladder.climb(formatted, workload)?;
    Ok(ladder.into_tally().visited)
}

/// Fills a volume and says how many files it took.
fn fill(flash: &mut SimFlash, length: u32) -> u64 {
    let mut buffer = buffer_for(flash);
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("a new volume mounts");
    let full = (0..).find(|index| {
        let result = volume.write(&format!("/f{index}"), &Content::seeded(*index, length).bytes());
        assert!(matches!(result, Ok(()) | Err(Error::NoSpace)), "file {index}: {result:?}");
        result.is_err()
    });
    full.unwrap_or(0)
}

/// Cuts erases at their end, goes on writing for a while, and reads everything back after one more mount.
fn cut_erases(formatted: &SimFlash) -> Result<u64, Violation> {
    let mut flash = formatted.clone();
    let mut buffer = buffer_for(&flash);
    let failed = |what: &'static str| move |error: Error| Violation::new(format!("{what}: {error}"));
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).map_err(failed("mount"))?;
    let geometry = k7fs_core::flash::Flash::geometry(volume.flash_mut());
    let length = geometry.page_size * 8;
    // Until every block has been used: a fresh chip reads as erased everywhere.
    let rounds = u64::from(geometry.page_count()) / 6;
    for round in 0..rounds {
        if round == rounds * 3 / 4 {
            volume.flash_mut().chip_mut().record_forks();
        }
        let bytes = Content::seeded(round, length).bytes();
        volume.write(&format!("/f{}", round % 7), &bytes).map_err(failed("write"))?;
    }
    let forks = volume.flash_mut().chip_mut().take_forks();
    let _ = volume.abandon();
    let erases = forks.iter().filter(|fork| matches!(fork.operation, ChipOperation::Erase { .. }));
    let mut visited = 0;
    for fork in erases.take(12) {
        visited += 1;
        let mut flash = formatted.with_chip(fork.cut(CutKind::Done));
        let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).map_err(failed("mount"))?;
        let bad_before = volume.usage().map_err(failed("usage"))?.bad_blocks;
        for round in 0..40_u64 {
            let bytes = Content::seeded(100 + round, length).bytes();
            volume.write(&format!("/g{}", round % 5), &bytes).map_err(failed("write after the cut"))?;
        }
        let bad = volume.usage().map_err(failed("usage"))?.bad_blocks;
        let _ = volume.abandon();
        if bad > bad_before {
            return Err(Violation::new(format!("{} good blocks were given up after a cut erase", bad - bad_before)));
        }
        let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).map_err(failed("mount"))?;
        let mut read = vec![0; length as usize];
        for file in 0..5_u64 {
            volume.read(&format!("/g{file}"), &mut read).map_err(failed("read back"))?;
            if read != Content::seeded(135 + file, length).bytes() {
                return Err(Violation::new(format!("/g{file} has changed")));
            }
        }
    }
    Ok(visited)
}
