//! The undisturbed run: where each case begins, and which cases are one and the same.

use crate::chip::{BlockFault, BlockFaultKind, Chip, Cut, Fork, Operation as ChipOperation, SimFlash};
use crate::model::{Generator, Model, Operation, Space, Violation};
use crate::random::Random;
use crate::rig::{Rig, Step};

use super::case::Case;
use super::geometry::Geometry;

/// Operations of the sequence.
const OPERATIONS: usize = 420;
/// Of a hundred steps, how many stop the volume and mount it.
const REMOUNT_PER_HUNDRED: u64 = 4;
/// Of a hundred steps, how many lose power between two operations.
const RESTART_PER_HUNDRED: u64 = 2;
/// Operations between two comparisons of everything.
const COMPARE_EVERY: usize = 40;

/// A mount of the undisturbed run, from which a case can go on.
struct Start {
    /// Programs and erases before it.
    operation: u64,
    rig: Rig,
}

/// A sequence and its undisturbed run.
pub(super) struct Course {
    steps: Vec<Step>,
    starts: Vec<Start>,
    /// The chip before each program and erase.
    forks: Vec<Fork>,
    /// The chip at the end.
    end: SimFlash,
}

impl Course {
    /// Makes a sequence and runs it once.
    pub(super) fn new(geometry: &Geometry, seed: u64) -> Result<Self, Violation> {
        let mut rig = Rig::new(geometry.formatted(seed));
        rig.set_compare_every(COMPARE_EVERY);
        rig.keep_history();
        let steps = steps(geometry.space(), seed);
        let before = rig.flash().chip().counters().cut_points();
        rig.flash_mut().chip_mut().record_forks();
        let mut starts = Vec::new();
        rig.go_on(&steps, &mut |rig| {
            let mut start = rig.clone();
            start.flash_mut().chip_mut().take_forks();
            let operation = rig.flash().chip().counters().cut_points() - before;
            starts.push(Start { operation, rig: start });
        })?;
        let forks = rig.flash_mut().chip_mut().take_forks();
        Ok(Self { steps, starts, forks, end: rig.flash().clone() })
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Programs and erases of the run.
    pub(super) fn operations(&self) -> u64 {
        self.forks.len() as u64
    }

    /// The chip before a program or erase.
    pub(super) fn chip_before(&self, operation: u64) -> Option<&Chip> {
        self.forks.get(operation as usize).map(|fork| &fork.chip)
    }

    /// The chip at the end.
    pub(super) fn end(&self) -> &Chip {
        self.end.chip()
    }

    /// The same as flash.
    pub(super) fn flash(&self) -> &SimFlash {
        &self.end
    }

    /// The last operation before which the fault of a case may begin with the same outcome: up to there nothing touches its block in a way
    /// that it would change. `None` where nothing does to the end.
    pub(super) fn effect(&self, case: &Case) -> Option<u64> {
        (case.index..self.operations()).find(|operation| self.is_met(*operation as usize, case))
    }

    /// Whether the fault of a case changes this operation, or a read between it and the next one.
    fn is_met(&self, operation: usize, case: &Case) -> bool {
        let fork = &self.forks[operation];
        let pages_per_block = fork.chip.spec().pages_per_block();
        let (is_erase, touched) = match &fork.operation {
            ChipOperation::Program { page, .. } => (false, page / pages_per_block == case.block),
            ChipOperation::Erase { block, count } => (true, (*block..block + count).contains(&case.block)),
            ChipOperation::Mark { block } => (false, *block == case.block),
        };
        match case.kind {
            BlockFaultKind::Program => touched && !is_erase,
            BlockFaultKind::Erase | BlockFaultKind::SilentErase => touched && is_erase,
            BlockFaultKind::Content => {
                let after = self.forks.get(operation + 1).map_or(self.end(), |fork| &fork.chip);
                let reads = |chip: &Chip| chip.counters().reads_per_block[case.block as usize];
                touched || reads(after) != reads(&fork.chip)
            }
        }
    }

    /// A rig at the last mount before the case's fault has an effect, with the fault planned, and the cut if there is one.
    pub(super) fn rig(&self, case: &Case) -> Rig {
        let begins = self.effect(case).unwrap_or(case.index);
        let index = self.starts.partition_point(|start| start.operation <= begins);
        let start = &self.starts[index.saturating_sub(1)];
        let mut rig = start.rig.clone();
        let operation = begins - start.operation;
        let faults = rig.flash_mut().chip_mut().faults_mut();
        faults.block_fault = Some(BlockFault { block: case.block, operation, kind: case.kind });
        faults.cut = case.cut.map(|cut| Cut { operation: operation + cut.distance, kind: cut.kind });
        rig
    }

    /// Indexes spread evenly over the run, each moved a little by the seed.
    pub(super) fn indexes(&self, samples: u64, seed: u64) -> Vec<u64> {
        let total = self.operations();
        let mut random = Random::of(&[seed, samples]);
        let samples = samples.min(total);
        let from = |sample: u64| sample * total / samples.max(1);
        (0..samples).map(|sample| from(sample) + random.below(from(sample + 1) - from(sample))).collect()
    }
}

/// Operations with stops between them. The power goes by cases only.
fn steps(space: Space, seed: u64) -> Vec<Step> {
    let (mut generator, mut random, mut model) = (Generator::new(seed, space), Random::of(&[seed]), Model::new());
    let mut step = || {
        let chance = random.below(100);
        if chance < REMOUNT_PER_HUNDRED {
            return Step::Do(Operation::Remount);
        }
        if chance < REMOUNT_PER_HUNDRED + RESTART_PER_HUNDRED {
            return Step::Do(Operation::Restart);
        }
        let operation = generator.next_operation(&model);
        model.apply(&operation);
        Step::Do(operation)
    };
    (0..OPERATIONS).map(|_| step()).collect()
}
