//! What a torture run knows: how far the tree is, what the model expects, what was counted.

use std::collections::BTreeSet;

use k7fs_core::Usage;

use crate::chip::ChipSpec;
use crate::model::{Generator, Operation, Oracle, Outcome, Random, Space, Violation};

use super::cuts::{self, Ahead};
use super::flash::CutFlash;
use super::report::Report;
use super::tree::{NodeContent, ROOT, RealTree, TreeNode};

/// Probability of a flip per bit read on NOR.
const NOR_FLIP_RATE: f64 = 1.1e-5;
/// Probability of a flip per bit read on NAND.
const NAND_FLIP_RATE: f64 = 1.1e-4;

/// Which faults a run injects. The command injects all; leaving some out tells what a failure needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Probability that a bit reads flipped.
    pub flip_rate: f64,
    /// Whether the power goes.
    pub cuts: bool,
    /// Blocks that go bad in use, at most.
    pub grown_bad_blocks: u64,
}

impl Faults {
    /// Everything that this chip must survive.
    pub fn all(spec: &ChipSpec) -> Self {
        let (flip_rate, grown_bad_blocks) = if spec.is_nand() {
            (NAND_FLIP_RATE, u64::from(spec.bad_blocks_max() / 4).clamp(1, 4))
        } else {
            (NOR_FLIP_RATE, 1)
        };
        Self { flip_rate, cuts: true, grown_bad_blocks }
    }
}

/// The state of a run, without the chip.
#[derive(Debug)]
pub(super) struct State {
    pub(super) faults: Faults,
    /// The tree's own directory, then the tree.
    pub(super) nodes: Vec<TreeNode>,
    /// Nodes stored and committed.
    pub(super) stored: usize,
    /// A node that was being stored when the power went.
    pub(super) in_flight: bool,
    /// Which node is looked at next after a cut.
    pub(super) sample: usize,
    pub(super) oracle: Oracle,
    pub(super) generator: Generator,
    pub(super) random: Random,
    pub(super) operations: u64,
    /// The number of operations at which the end was last asked for: once for each, so that a limit of operations ends a run
    /// where a clock has ended it.
    pub(super) asked: Option<u64>,
    /// The run is over, but for the last look.
    pub(super) over: bool,
    pub(super) crash_states: u64,
    pub(super) distinct: BTreeSet<u64>,
    pub(super) corrected_bits: u64,
    pub(super) retried: u64,
    /// What the mount of now had counted before the operation of now.
    pub(super) seen: Option<Usage>,
    pub(super) comparisons: u64,
    pub(super) verified_files: u64,
    /// Operations after which the next block goes bad.
    pub(super) next_bad: u64,
    /// Blocks that may still go bad.
    pub(super) bad_left: u64,
}

impl State {
    pub(super) fn new(spec: &ChipSpec, seed: u64, tree: &RealTree, faults: Faults) -> Self {
        let root = TreeNode {
            path: ROOT.to_owned(),
            content: NodeContent::Directory,
            modified: k7fs_core::Timestamp::default(),
        };
        let mut nodes = vec![root];
        nodes.extend(tree.nodes.iter().cloned());
        let bytes_max = (spec.data_size() / 32).min(64 << 10);
        let length_max = (bytes_max / 8).min(20_000) as u32;
        let space = Space { names: 16, depth: 3, length_max, bytes_max, indexes_max: 4 };
        // Chips of the same shape would otherwise go through the same run.
        let name = spec.name.bytes().fold(0_u64, |mixed, byte| mixed.wrapping_mul(257).wrapping_add(byte.into()));
        let mut random = Random::new(seed ^ name);
        let generator = Generator::new(random.next_u64(), space);
        // The first block goes bad while the tree is being stored, the others in the random operations.
        let next_bad = 1 + random.below(nodes.len() as u64 / 2 + 1);
        Self {
            faults,
            nodes,
            stored: 0,
            in_flight: false,
            sample: 0,
            oracle: Oracle::new(),
            generator,
            random,
            operations: 0,
            asked: None,
            over: false,
            crash_states: 0,
            distinct: BTreeSet::new(),
            corrected_bits: 0,
            retried: 0,
            seen: None,
            comparisons: 0,
            verified_files: 0,
            next_bad,
            bad_left: faults.grown_bad_blocks,
        }
    }

    /// Plans a cut for the operation ahead, perhaps.
    pub(super) fn plan_cut(&mut self, flash: &mut CutFlash, ahead: Ahead) {
        if self.faults.cuts {
            cuts::plan(flash, &mut self.random, ahead);
        }
    }

    /// Adds what one mount has corrected.
    pub(super) fn count_reads(&mut self, usage: &Usage) {
        self.corrected_bits += usage.corrected_bits;
        self.retried += usage.retried_reads;
    }

    /// A part of the tree has been committed, and with it everything before.
    pub(super) fn node_stored(&mut self) -> Result<(), Violation> {
        self.stored += 1;
        self.in_flight = false;
        self.everything_durable()
    }

    /// Whatever was done so far is committed.
    pub(super) fn everything_durable(&mut self) -> Result<(), Violation> {
        self.oracle.start(&Operation::Sync);
        self.oracle.finish(&Operation::Sync, &Outcome::Done).map(|_| ())
    }

    /// Files of the tree that are stored, and their bytes.
    pub(super) fn stored_files(&self) -> (u64, u64) {
        let files = self.nodes[..self.stored].iter();
        files.fold((0, 0), |(count, bytes), node| match &node.content {
            NodeContent::File(content) => (count + 1, bytes + content.len() as u64),
            NodeContent::HardLink(_) => (count + 1, bytes),
            _ => (count, bytes),
        })
    }

    /// The report, but for what the chip counted.
    pub(super) fn report(&self) -> Report {
        let (files, bytes) = self.stored_files();
        Report {
            operations: self.operations,
            limit: self.operations + u64::from(!self.over),
            files,
            bytes,
            verified_files: self.verified_files,
            corrected_bits: self.corrected_bits,
            retried: self.retried,
            crash_states: self.crash_states,
            distinct_crash_states: self.distinct.len() as u64,
            comparisons: self.comparisons,
            ..Report::default()
        }
    }
}
