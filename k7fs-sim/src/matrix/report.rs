//! What cases gave, by block and in sum.

use std::collections::BTreeMap;

use k7fs_core::flash::Flash;
use serde::{Deserialize, Serialize};

use super::Matrix;
use super::breach::Breach;
use super::case::{Case, kind_name};
use super::lost::Cost;

/// What some cases gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Cases.
    pub cases: u64,
    /// Runs made for them: the others are the same as one of these, or as the undisturbed run.
    pub runs: u64,
    /// Cases of lost content that cost content, which was written again.
    pub content_lost: u64,
    /// Cases of lost content that cost a leaf of the tree.
    pub leaves_lost: u64,
    /// Cases of lost content after which the volume could not be mounted, for a reason that the format names.
    pub mounts_refused: u64,
    /// Cases in which a promise was broken.
    pub violations: u64,
    /// The same by the kind of fault and the class of the promise: `KIND/CLASS`.
    pub violations_by_class: BTreeMap<String, u64>,
    /// The command that runs the first of these again.
    pub replay: Option<String>,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.runs += other.runs;
        self.content_lost += other.content_lost;
        self.leaves_lost += other.leaves_lost;
        self.mounts_refused += other.mounts_refused;
        self.violations += other.violations;
        for (class, count) in &other.violations_by_class {
            *self.violations_by_class.entry(class.clone()).or_default() += count;
        }
        if self.replay.is_none() {
            self.replay.clone_from(&other.replay);
        }
    }
}

/// What the cases of one block gave. As JSON its keys are what campaigns keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockReport {
    /// The name of the chip.
    pub geometry: String,
    /// The seed.
    pub seed: u64,
    /// Beginnings of a fault.
    pub samples: u64,
    /// The block.
    pub block: u32,
    /// What its cases gave.
    #[serde(flatten)]
    pub tally: Tally,
    /// What was wrong with the first violation.
    pub what: Option<String>,
}

impl BlockReport {
    pub(super) fn new(geometry: &str, seed: u64, samples: u64, block: u32) -> Self {
        Self { geometry: geometry.to_owned(), seed, samples, block, ..Self::default() }
    }

    /// Whether it is what a matrix gives for a block.
    pub fn is_of(&self, matrix: &Matrix, block: u32) -> bool {
        let asked = (matrix.geometry().name, matrix.seed(), matrix.samples(), block);
        (self.geometry.as_str(), self.seed, self.samples, self.block) == asked
    }

    pub(super) fn add(&mut self, case: &Case, result: &Result<Cost, Breach>, replay: impl FnOnce() -> String) {
        let tally = &mut self.tally;
        tally.cases += 1;
        match result {
            Ok(Cost::Nothing) => {}
            Ok(Cost::Content) => tally.content_lost += 1,
            Ok(Cost::Leaf) => tally.leaves_lost += 1,
            Ok(Cost::Mount) => tally.mounts_refused += 1,
            Err(breach) => {
                tally.violations += 1;
                let class = format!("{}/{}", kind_name(case.kind), breach.class.name());
                *tally.violations_by_class.entry(class).or_default() += 1;
                if tally.replay.is_none() {
                    (tally.replay, self.what) = (Some(replay()), Some(breach.what.clone()));
                }
            }
        }
    }
}

/// What the cases of one chip gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChipReport {
    /// The name of the chip.
    pub geometry: String,
    /// The part that it is a small one of.
    pub chip: String,
    /// Blocks.
    pub blocks: u32,
    /// Bytes of a page, spare excluded.
    pub page_size: u32,
    /// Pages of a block.
    pub pages_per_block: u32,
    /// Programs and erases of the undisturbed run.
    pub operations: u64,
    /// How often a block is erased in it, in the mean.
    pub erases_mean: f64,
    /// Cases.
    pub cases: u64,
    /// Runs made for them.
    pub runs: u64,
    /// Cases in which a promise was broken.
    pub violations: u64,
}

/// What all cases gave. As JSON its keys are part of the command's contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Beginnings of a fault, for each block.
    pub samples: u64,
    /// What they gave together.
    #[serde(flatten)]
    pub tally: Tally,
    /// Each chip.
    pub chips: Vec<ChipReport>,
    /// What was wrong with the first violation.
    #[serde(skip)]
    pub what: Option<String>,
}

impl Report {
    /// Sums up the blocks of some matrices of one seed.
    pub fn of(matrices: &[Matrix], blocks: &[BlockReport]) -> Self {
        let mut report = Self::default();
        for matrix in matrices {
            (report.seed, report.samples) = (matrix.seed(), matrix.samples());
            let mut chip = matrix.chip_report();
            for block in blocks.iter().filter(|block| block.geometry == chip.geometry) {
                chip.cases += block.tally.cases;
                chip.runs += block.tally.runs;
                chip.violations += block.tally.violations;
            }
            report.chips.push(chip);
        }
        for block in blocks {
            report.tally.add(&block.tally);
            if report.what.is_none() {
                report.what.clone_from(&block.what);
            }
        }
        report
    }
}

impl Matrix {
    /// The seed.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Beginnings of a fault.
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// What is known of the chip before any case is run.
    fn chip_report(&self) -> ChipReport {
        let geometry = self.course.flash().geometry();
        let erases = self.erases();
        let total: u64 = erases.iter().map(|erases| u64::from(*erases)).sum();
        ChipReport {
            geometry: self.geometry.name.to_owned(),
            chip: self.geometry.part().to_owned(),
            blocks: geometry.block_count,
            page_size: geometry.page_size,
            pages_per_block: geometry.pages_per_block,
            operations: self.operations(),
            erases_mean: total as f64 / erases.len().max(1) as f64,
            ..ChipReport::default()
        }
    }
}
