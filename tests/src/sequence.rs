//! Random sequences of operations, remounts and cuts, and shorter ones that still fail.

use k7fs_sim::chip::CutKind;
use k7fs_sim::model::{Generator, Model, Operation, Random, Space, Violation};

pub use k7fs_sim::rig::{Rig, Statistics, Step, audit, check, look};

use crate::seed::mix;

/// Runs that shortening a failing sequence may take.
const SHRINK_RUNS_MAX: u32 = 4000;

/// Steps for a volume that starts empty: operations with stops and cuts between them. Cuts make the real state differ from the one
/// that the generator sees, which only makes the operations a little less sensible.
pub fn random_steps(seed: u64, space: Space, count: usize) -> Vec<Step> {
    let (mut generator, mut random, mut model) = (Generator::new(seed, space), Random::new(mix(seed, 1)), Model::new());
    let mut step = || match random.below(40) {
        0 => Step::Do(Operation::Remount),
        1 => Step::Do(Operation::Restart),
        2 => {
            let kinds = CutKind::LADDER;
            let kind = kinds[random.below(kinds.len() as u64) as usize];
            Step::Cut { after: random.below(60), kind }
        }
        _ => {
            let operation = generator.next_operation(&model);
            model.apply(&operation);
            Step::Do(operation)
        }
    };
    (0..count).map(|_| step()).collect()
}

/// Removes steps from a failing sequence as long as it still fails, and gives what is left with its failure. Runs it a
/// few thousand times at most.
pub fn shrink(fresh: &dyn Fn() -> Rig, steps: &[Step], violation: Violation) -> (Vec<Step>, Violation) {
    let mut best = steps.to_vec();
    let mut violation = violation;
    let mut runs = 0;
    let mut length = best.len() / 2;
    while length > 0 && runs < SHRINK_RUNS_MAX {
        let mut start = 0;
        let before = best.len();
        while start < best.len() && runs < SHRINK_RUNS_MAX {
            let mut shorter = best.clone();
            shorter.drain(start..(start + length).min(best.len()));
            runs += 1;
            match fresh().run(&shorter) {
                Ok(_) => start += length,
                Err(still) => (best, violation) = (shorter, still),
            }
        }
        if length > 1 || best.len() == before {
            length /= 2;
        }
    }
    (best, violation)
}
