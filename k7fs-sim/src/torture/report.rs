//! What a torture run did.

use serde::Serialize;

/// One chip's run. As JSON its keys are part of the command's contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The chip's name.
    pub chip: String,
    /// The seed of everything random.
    pub seed: u64,
    /// Operations begun: parts of the tree stored, and random ones.
    pub operations: u64,
    /// Files of the tree that were stored.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files of the tree that were read back byte for byte at the end.
    pub verified_files: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Programs interrupted half way.
    pub torn_programs: u64,
    /// Erases interrupted half way.
    pub torn_erases: u64,
    /// Weak bits that the cuts left behind.
    pub unstable_bits: u64,
    /// Bits that reads delivered wrong.
    pub bit_flips: u64,
    /// Bits that the file system corrected.
    pub corrected_bits: u64,
    /// Blocks that went bad during the run.
    pub bad_blocks: u64,
    /// Reads that were tried again.
    pub retried: u64,
    /// Mounts after a cut.
    pub crash_states: u64,
    /// Different chip contents, weak bits included, among them.
    pub distinct_crash_states: u64,
    /// Broken promises.
    pub violations: u64,
    /// The command that repeats the run.
    pub replay: Option<String>,
    /// What the broken promises were.
    #[serde(skip)]
    pub violation_texts: Vec<String>,
    /// Random flips per bit read.
    #[serde(skip)]
    pub flip_rate: f64,
    /// Bad blocks that the chip came with.
    #[serde(skip)]
    pub factory_bad_blocks: u64,
    /// Device time that the chip was busy, in nanoseconds.
    #[serde(skip)]
    pub device_time_ns: u64,
    /// The limit of operations that repeats the run: one more than were begun where it failed before it was over.
    #[serde(skip)]
    pub limit: u64,
    /// Times that the state was compared with what it must be.
    #[serde(skip)]
    pub comparisons: u64,
}
