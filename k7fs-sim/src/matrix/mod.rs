//! The matrix of single bad blocks: every block of a small chip, at moments spread over a run, fails in every way, with and without a power
//! cut soon after.
//!
//! A sequence of operations runs once undisturbed, long enough for blocks to be cleaned and levelled and for anchors to move. A case
//! gives one block one fault, from one program or erase of that run on:
//!
//! - *program*: every program of it fails. NAND reports that; on NOR the page holds something else.
//! - *erase*: every erase of it fails. NAND reports that and keeps the content; on NOR some bits stay 0.
//! - *content*: what it holds at that moment turns into noise, which no code corrects; it is erased and written as before.
//! - *silent-erase*: every erase of it leaves one in eight of its zeros and reports success, on NAND too.
//!
//! Each is run without a cut, and once more with a cut up to seven operations after the first that the fault has an effect on, the kind
//! of the cut and the distance drawn from the seed. A case goes on from the last mount of the undisturbed run before the
//! fault to the end of the sequence.
//!
//! **Counting.** Up to the first program, erase or read that a fault changes, its run is the undisturbed one, so that all beginnings up to
//! there are one and the same: the run is made once and counts for each. Where nothing ever touches the block in a way that
//! matters and there is no cut, it is the undisturbed run itself. `runs` counts the runs that were made.
//!
//! **Judgement.** *program*, *erase*, *silent-erase*: every answer is the model's, nothing that was committed is lost or changed, the volume
//! is sound when it is checked and counted, before and after one more mount (P1, P2, P3); it may be full earlier, as P4 allows.
//! *content*: nothing wrong is ever shown. Where nothing is answered the error names a page of the block that held content or a
//! leaf, which have one copy; roots, inner nodes and all else is served. The volume mounts, unless the error names a page that what was
//! committed behind the newest checkpoint needs, or one of which nobody can tell whether it was: behind the checkpoint in the block
//! where the log went on, or in a block that the log was about to go on in or had only begun, in which it may have gone on. Those have one copy as well, and a
//! mount that went on without them might go back (P1). One that may go back comes up, with a state that was.
//! It takes writes, unless the root directory's own inode is lost or a leaf is in the way; what is lost is written again, and from there on the rest of the sequence is judged as strictly as before. What losses have
//! cost is counted apart from violations.

mod breach;
mod case;
mod course;
mod geometry;
mod lost;
mod pages;
mod report;
mod survey;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use breach::{Breach, Class};
pub use case::{Case, CutAfter, KINDS, kind_name};
use course::Course;
pub use geometry::{GEOMETRIES, Geometry};
pub use lost::Cost;
use lost::Lost;
pub use report::{BlockReport, ChipReport, Report, Tally};

use crate::chip::{BlockFaultKind, CutKind};
use crate::model::Violation;
use crate::random::Random;
use crate::rig::{Rig, look};

/// A cut strikes so many operations after a fault's first effect, or fewer.
const DISTANCES: u64 = 8;

/// The cases of one chip.
pub struct Matrix {
    geometry: &'static Geometry,
    seed: u64,
    samples: u64,
    course: Course,
}

impl Matrix {
    /// Makes the sequence and runs it undisturbed.
    ///
    /// # Errors
    /// Where that run breaks a promise.
    pub fn new(geometry: &'static Geometry, seed: u64, samples: u64) -> Result<Self, Violation> {
        Ok(Self { geometry, seed, samples, course: Course::new(geometry, seed)? })
    }

    /// Whether there is such a case.
    pub fn has(&self, case: &Case) -> bool {
        case.block < self.geometry.blocks && case.index < self.operations()
    }

    /// The chip.
    pub const fn geometry(&self) -> &'static Geometry {
        self.geometry
    }

    /// Programs and erases of the undisturbed run.
    pub fn operations(&self) -> u64 {
        self.course.operations()
    }

    /// How often each block is erased in it.
    pub fn erases(&self) -> &[u32] {
        &self.course.end().counters().erases_per_block
    }

    /// All cases of a block.
    pub fn cases(&self, block: u32) -> Vec<Case> {
        let mut cases = Vec::new();
        for index in self.course.indexes(self.samples, self.seed) {
            for (place, (kind, _)) in (0..).zip(KINDS) {
                let mut random = Random::of(&[self.seed, block.into(), index, place]);
                let rung = random.below(CutKind::LADDER.len() as u64) as usize;
                let cut = CutAfter { distance: random.below(DISTANCES), kind: CutKind::LADDER[rung] };
                cases.extend([None, Some(cut)].map(|cut| Case { block, index, kind, cut }));
            }
        }
        cases
    }

    /// Runs cases of a block.
    pub fn run(&self, block: u32, cases: &[Case]) -> BlockReport {
        let mut report = BlockReport::new(self.geometry.name, self.seed, self.samples, block);
        let mut known: HashMap<Case, Result<Cost, Breach>> = HashMap::new();
        for case in cases {
            let effect = self.course.effect(case);
            if effect.is_none() && case.cut.is_none() {
                report.add(case, &Ok(Cost::Nothing), || self.replay(case));
                continue;
            }
            let same = Case { index: effect.unwrap_or(case.index), ..*case };
            let result = known.entry(same).or_insert_with(|| {
                report.tally.runs += 1;
                self.run_case(case)
            });
            report.add(case, result, || self.replay(case));
        }
        report
    }

    /// The command that runs a case again.
    pub fn replay(&self, case: &Case) -> String {
        format!("k7fs matrix --geometry {} --seed {} --case {case}", self.geometry.name, self.seed)
    }

    /// Runs one case.
    ///
    /// # Errors
    /// The broken promise.
    pub fn run_case(&self, case: &Case) -> Result<Cost, Breach> {
        // A panic is a broken promise too; its own text is printed where it happens.
        let run = catch_unwind(AssertUnwindSafe(|| self.judge(case)));
        run.unwrap_or_else(|_| Err(Breach::of(Violation::new("a panic"))))
    }

    fn judge(&self, case: &Case) -> Result<Cost, Breach> {
        let mut rig = self.course.rig(case);
        let result = rig.go_on(self.course.steps(), &mut |_| ());
        let Err(violation) = result else { return Ok(Cost::Nothing) };
        let judged = match case.kind {
            BlockFaultKind::Content => self.lost(case, &rig).judge(&mut rig, self.course.steps(), violation),
            _ => Err(Breach::of(violation)),
        };
        judged.map_err(|breach| self.classified(breach, &mut rig))
    }

    /// What the block of a case held when it was lost.
    fn lost(&self, case: &Case, rig: &Rig) -> Lost {
        let begins = self.course.effect(case).unwrap_or(case.index);
        let before = self.course.chip_before(begins).unwrap_or(self.course.end());
        Lost::new(&mut rig.flash().with_chip(before.clone()), case.block)
    }

    /// Tells a volume that shows an earlier state from one that shows anything else.
    fn classified(&self, breach: Breach, rig: &mut Rig) -> Breach {
        rig.settle();
        let (shown, oracle) = match rig.mount() {
            Ok((mut volume, oracle)) => (look(&mut volume), oracle),
            Err(error) => return Breach { class: Class::Mount, what: format!("{}; then: {error}", breach.what) },
        };
        let is_apart = breach.class != Class::Stuck;
        match shown {
            Ok(shown) if is_apart && !oracle.candidates().contains(&shown) && oracle.went_back(&shown) => {
                Breach { class: Class::WentBack, ..breach }
            }
            _ => breach,
        }
    }
}
