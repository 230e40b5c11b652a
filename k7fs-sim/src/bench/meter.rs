//! Turning what a chip did into the figures of a report.

use std::collections::BTreeMap;

use k7fs_core::{Error, Volume};
use serde::Serialize;

use super::probe::{Effort, Probe, Work};
use super::subject::Subject;

pub(super) type Mounted<'b> = Volume<'b, Probe>;

/// One kind of operation, many times, on one chip. Times are device time in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// The part.
    pub chip: &'static str,
    /// Bytes of the volume's blocks.
    pub block_size: u32,
    /// The workload's name: W1 to W6, `snap` or `claims`.
    pub workload: &'static str,
    /// What one operation is.
    pub operation: String,
    /// How many were done.
    pub operations: u64,
    /// Mean time of one.
    pub mean_ms: f64,
    /// Time of the longest.
    pub max_ms: f64,
    /// Time of all.
    pub total_ms: f64,
    /// The most that this may be: mean time, or all of it for the phases of W1.
    pub target_ms: Option<f64>,
    /// Bytes of content that the operations wrote or read.
    pub user_bytes: u64,
    /// Bytes programmed, spare included, per byte of content written.
    pub write_amplification: Option<f64>,
    /// Time of reading against moving the same content over the bus alone.
    pub bus_ratio: Option<f64>,
    /// Bytes programmed, spare included.
    pub programmed_bytes: u64,
    /// Pages read; several reads of one page in a row count once.
    pub pages_read: u64,
    /// Pages programmed.
    pub programs: u64,
    /// Blocks erased.
    pub erases: u64,
    /// Of the time, reading.
    pub read_ms: f64,
    /// Of the time, programming.
    pub program_ms: f64,
    /// Of the time, erasing.
    pub erase_ms: f64,
    /// What the longest operation did.
    pub longest: Effort,
    /// Pages programmed, by what they are used for.
    pub programs_by_use: BTreeMap<&'static str, u64>,
    /// Bytes programmed, by what they are.
    pub bytes_by_use: BTreeMap<&'static str, u64>,
    /// Time spent reading, by what the pages are used for.
    pub read_ms_by_use: BTreeMap<&'static str, f64>,
    /// Why it ended early, or what was wrong at its end.
    pub failure: Option<String>,
}

impl Phase {
    /// Whether it is as quick as it should be; `None` where no figure is asked for.
    pub fn meets_target(&self) -> Option<bool> {
        self.target_ms.map(|target| self.compared_ms() <= target)
    }

    /// The time that is compared with the target.
    pub fn compared_ms(&self) -> f64 {
        if self.workload == "W1" { self.total_ms } else { self.mean_ms }
    }
}

/// Which way content goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Write,
    Read,
    /// No content: names only.
    None,
}

/// Adds up operations.
#[derive(Debug, Default)]
pub(super) struct Meter {
    work: Work,
    operations: u64,
    longest_ns: u64,
    longest: Effort,
    user_bytes: u64,
    failure: Option<String>,
}

impl Meter {
    /// Measures one operation; `false` where it failed, which ends the phase.
    pub(super) fn measure(
        &mut self, volume: &mut Mounted<'_>, user_bytes: usize, run: impl FnOnce(&mut Mounted<'_>) -> Result<(), Error>,
    ) -> bool {
        let before = volume.flash_mut().work();
        let result = run(volume);
        let work = volume.flash_mut().work() - before;
        if let Err(error) = result {
            self.fail(format!("operation {}: {error}", self.operations));
            return false;
        }
        self.add(work, user_bytes);
        true
    }

    /// Adds an operation that was measured elsewhere.
    pub(super) fn add(&mut self, work: Work, user_bytes: usize) {
        if work.time_ns > self.longest_ns {
            self.longest_ns = work.time_ns;
            self.longest = work.into();
        }
        self.work += work;
        self.operations += 1;
        self.user_bytes += user_bytes as u64;
    }

    /// Keeps the first thing that went wrong.
    pub(super) fn fail(&mut self, failure: String) {
        self.failure.get_or_insert(failure);
    }

    pub(super) fn phase(
        self, subject: &Subject, workload: &'static str, operation: impl Into<String>, flow: Flow,
    ) -> Phase {
        let work = self.work;
        let ratio = |of: u64, to: u64| (to > 0).then(|| of as f64 / to as f64);
        let bus_ns = subject.bus_ns(self.user_bytes);
        Phase {
            chip: subject.spec.name,
            block_size: subject.block_size,
            workload,
            operation: operation.into(),
            operations: self.operations,
            mean_ms: ms(work.time_ns) / self.operations.max(1) as f64,
            max_ms: ms(self.longest_ns),
            total_ms: ms(work.time_ns),
            target_ms: None,
            user_bytes: self.user_bytes,
            write_amplification: ratio(work.bytes_programmed, self.user_bytes).filter(|_| flow == Flow::Write),
            bus_ratio: ratio(work.time_ns, bus_ns).filter(|_| flow == Flow::Read),
            programmed_bytes: work.bytes_programmed,
            pages_read: work.pages_read,
            programs: work.programs,
            erases: work.erases,
            read_ms: ms(work.read_ns),
            program_ms: ms(work.program_ns),
            erase_ms: ms(work.erase_ns),
            longest: self.longest,
            programs_by_use: work.programs_by_use(),
            bytes_by_use: work.bytes_by_use(),
            read_ms_by_use: work.read_ns_by_use().into_iter().map(|(name, time)| (name, ms(time))).collect(),
            failure: self.failure,
        }
    }
}

pub(super) fn ms(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}
