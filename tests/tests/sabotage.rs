//! The suite must notice when a step of the protocol is missing.
//!
//! A test that passes proves nothing until it has failed for the right reason. Each step that protects against power
//! cuts is switched off in turn, and the cut ladder must find a violation; with all steps on it must find none. The
//! switches are process-wide, so that everything happens in one test.

use k7fs_core::sabotage::{Step, set_off};
use k7fs_sim::chip::CutKind;
use k7fs_sim::model::Violation;
use k7fs_tests::geometry::Case;
use k7fs_tests::ladder::{Ladder, Plan, Workload};
use k7fs_tests::seed::{mix, say, seed};
use k7fs_tests::sequence::{Rig, Step as Do};
use k7fs_tests::workload;

/// Rounds of rewriting in the campaign that wears blocks out.
const WEARING: (u64, u64) = (150, 50);

#[test]
fn every_missing_step_is_noticed() {
    assert_eq!(campaign(), Ok(()), "the campaign fails with nothing sabotaged");
    for step in [Step::Recommit, Step::Checksum, Step::CommitOrder] {
        set_off(step, true);
        let result = std::panic::catch_unwind(campaign);
        set_off(step, false);
        match result {
            Ok(Ok(())) => panic!("nobody noticed that {step:?} is missing"),
            Ok(Err(violation)) => say(&format!("sabotage: without {step:?}: {violation}")),
            Err(_) => say(&format!("sabotage: without {step:?}: a panic")),
        }
    }
}

fn campaign() -> Result<(), Violation> {
    let plan = Plan { double_every: 4, triple_every: 0, seed: seed() };
    for name in ["nor-256-4k", "nand-2048-64"] {
        let formatted = Case::named(name).formatted(8, seed());
        let mut workloads: Vec<Workload> = workload::named();
        workloads.truncate(6);
        if !formatted.chip().spec().is_nand() {
            workloads.push(workload::wearing(WEARING.0, WEARING.1));
        }
        for workload in workloads {
            Ladder::new(&formatted, plan).climb(&formatted, &workload)?;
        }
    }
    noisy()
}

/// Reads with more flips than the code corrects: without the checksum, some are mended to the wrong page.
fn noisy() -> Result<(), Violation> {
    for round in 0..40 {
        let mut rig = Rig::new(Case::named("nor-256-4k").formatted(8, mix(seed(), round)));
        rig.flash_mut().chip_mut().faults_mut().bit_flip_rate = 2e-4;
        let mut steps: Vec<Do> = workload::wearing(30, 0).setup.into_iter().map(Do::Do).collect();
        steps.insert(10, Do::Cut { after: round, kind: CutKind::HALF });
        rig.run(&steps)?;
    }
    Ok(())
}
