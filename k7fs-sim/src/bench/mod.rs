//! Workloads in device time, and what the time goes to.
//!
//! ```text
//! claims   what another file system states of itself
//! files    W1 to W5: whole workloads on a fresh volume
//! indexes  snapshots of a volume with many files
//! mount    W6 and the cost of mounting, at 10, 50 and 90 % full
//! meter    operations added up to a phase of the report
//! probe    the chip under observation: every page and byte has an owner
//! ```
//!
//! All times are the simulated chip's: the host's speed does not matter, and the same seed gives the same report.

mod claims;
mod files;
mod indexes;
mod meter;
mod mount;
mod probe;
mod subject;

use k7fs_core::Error;
use serde::Serialize;

pub use meter::Phase;
pub use mount::{MountCost, MountPoint};
pub use probe::Effort;
pub use subject::Subject;

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Write a 512 KiB file in 4 KiB writes, read it back.
    W1,
    /// 500 overwrites of 4 KiB (a) or 100 bytes (b) in a 512 KiB file, a sync after each.
    W2,
    /// Append 64 bytes and sync, 2000 times.
    W3,
    /// 50 files of 64 bytes, 2000 whole-file rewrites.
    W4,
    /// Create 1000 files of 200 bytes in one directory, look at all of them, delete them.
    W5,
    /// Mount and the first 4 KiB file, at 10, 50 and 90 % full.
    W6,
    /// Mounting alone, after a clean stop and after a cut, at 10, 50 and 90 % full.
    Mount,
    /// Snapshots of up to 20,000 files: taking, comparing, going back, trimming.
    Snap,
    /// Format, mount, create, read, write, snapshot, beside what NexFS states.
    Claims,
}

impl Workload {
    /// Every workload, in order.
    pub const ALL: [Self; 9] =
        [Self::W1, Self::W2, Self::W3, Self::W4, Self::W5, Self::W6, Self::Mount, Self::Snap, Self::Claims];
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Chips and layouts.
    pub subjects: Vec<Subject>,
    /// Workloads, in the order wanted.
    pub workloads: Vec<Workload>,
    /// Seed of chips, contents and orders.
    pub seed: u64,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The seed of everything random.
    pub seed: u64,
    /// Operations, added up.
    pub phases: Vec<Phase>,
    /// Mounts, one by one.
    pub mounts: Vec<MountCost>,
}

impl Report {
    /// Whether every phase and mount ended well, whatever its times.
    pub fn is_whole(&self) -> bool {
        self.phases.iter().all(|phase| phase.failure.is_none())
            && self.mounts.iter().all(|mount| mount.failure.is_none())
    }
}

/// Why nothing could be measured. What goes wrong within a workload is told in its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BenchError {
    /// The part.
    pub chip: &'static str,
    /// Bytes of the volume's blocks.
    pub block_size: u32,
    /// What the volume says.
    pub error: Error,
}

impl std::fmt::Display for BenchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in blocks of {} bytes: {}", self.chip, self.block_size, self.error)
    }
}

impl std::error::Error for BenchError {}

/// Runs workloads on chips. `started` is told before each what comes next.
///
/// # Errors
/// A volume that cannot be made or filled on one of the chips.
pub fn run(options: &Options, mut started: impl FnMut(&Subject, Workload)) -> Result<Report, BenchError> {
    let mut report = Report { seed: options.seed, phases: Vec::new(), mounts: Vec::new() };
    for subject in &options.subjects {
        for workload in &options.workloads {
            started(subject, *workload);
            run_one(subject, *workload, options.seed, &mut report).map_err(|error| BenchError {
                chip: subject.spec.name,
                block_size: subject.block_size,
                error,
            })?;
        }
    }
    Ok(report)
}

fn run_one(subject: &Subject, workload: Workload, seed: u64, report: &mut Report) -> Result<(), Error> {
    match workload {
        Workload::W1 => report.phases.extend(files::sequential(subject, seed)?),
        Workload::W2 => report.phases.extend(files::overwrite(subject, seed)?),
        Workload::W3 => report.phases.extend(files::append(subject, seed)?),
        Workload::W4 => report.phases.extend(files::rewrite(subject, seed)?),
        Workload::W5 => report.phases.extend(files::many(subject, seed)?),
        Workload::W6 => report.phases.extend(mount::first_writes(subject, seed)?),
        Workload::Snap => report.phases.extend(indexes::snapshots(subject, seed)?),
        Workload::Claims => report.phases.extend(claims::claims(subject, seed)?),
        Workload::Mount => report.mounts.extend(mount::mounts(subject, seed)?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::ChipSpec;

    /// Figures that change from run to run, or bytes without an owner, would make every comparison worthless.
    #[test]
    fn reports_repeat_and_account_for_every_byte() {
        let subjects = vec![Subject::default_of(ChipSpec::named("W25N01GV").unwrap())];
        let options = Options { subjects, workloads: vec![Workload::W2, Workload::W4], seed: 7 };
        let report = run(&options, |_, _| ()).unwrap();
        let again = run(&options, |_, _| ()).unwrap();
        assert_eq!(serde_json::to_string(&report).unwrap(), serde_json::to_string(&again).unwrap());
        assert!(report.is_whole(), "{report:?}");
        for phase in &report.phases {
            assert_eq!(phase.bytes_by_use.values().sum::<u64>(), phase.programmed_bytes, "{}", phase.workload);
            assert_eq!(phase.programs_by_use.values().sum::<u64>(), phase.programs, "{}", phase.workload);
            let parts = phase.read_ms + phase.program_ms + phase.erase_ms;
            assert!((parts - phase.total_ms).abs() < 1e-6, "{}", phase.workload);
        }
    }
}
