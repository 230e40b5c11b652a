//! What the cut ladder climbs: workloads on chips, in families.
//!
//! The test run takes a sample of the double cuts; the campaign (`tests/campaigns/cuts/run`) all or most of them, and longer
//! sequences.

use k7fs_sim::chip::SimFlash;
use k7fs_sim::model::Violation;

use crate::geometry::Case;
use crate::ladder::{Ladder, Plan, Tally, Workload};
use crate::workload;

/// How far a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A sample, for every run of the tests.
    Sample,
    /// Everything.
    Campaign,
}

impl Scope {
    /// One in so many double cuts.
    fn every(self, in_campaign: u64, otherwise: u64) -> u64 {
        match self {
            Scope::Sample => otherwise,
            Scope::Campaign => in_campaign,
        }
    }
}

/// What workloads are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Files, directories, packed content, keys, space.
    Files,
    /// Snapshots, branches, trimming.
    Indexes,
    /// Copies, deduplication, chunks.
    Sharing,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 3] = [Family::Files, Family::Indexes, Family::Sharing];

    /// Different crashed chips that its whole campaign must see.
    pub fn distinct_min(self) -> u64 {
        match self {
            Family::Files | Family::Sharing => 100_000,
            Family::Indexes => 200_000,
        }
    }

    /// Its jobs.
    pub fn jobs(self, scope: Scope, seed: u64) -> Vec<Job> {
        match self {
            Family::Files => file_jobs(scope, seed),
            Family::Indexes => index_jobs(scope, seed),
            Family::Sharing => sharing_jobs(scope, seed),
        }
    }
}

/// Some workloads on one chip.
#[derive(Clone, Debug)]
pub struct Job {
    /// The chip.
    pub case: Case,
    /// Blocks besides the least that a volume needs.
    pub spare_blocks: u32,
    /// What is cut.
    pub workloads: Vec<Workload>,
    /// Which cuts of cuts are followed.
    pub plan: Plan,
}

impl Job {
    /// For workloads that need some room.
    fn with_spare(scope: Scope, name: &str, workloads: Vec<Workload>, double_every: u64, seed: u64) -> Self {
        let plan = Plan { double_every, triple_every: scope.every(64, 0), seed };
        Self { case: Case::named(name), spare_blocks: 14, workloads, plan }
    }

    /// The same work in parts of so many workloads at most.
    pub fn parts(&self, workloads: usize) -> impl Iterator<Item = Job> {
        self.workloads.chunks(workloads).map(|part| Job { workloads: part.to_vec(), ..self.clone() })
    }

    /// Climbs.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn run(&self, seed: u64) -> Result<Tally, Violation> {
        let formatted: SimFlash = self.case.formatted(self.spare_blocks, seed);
        let mut ladder = Ladder::new(&formatted, self.plan);
        for workload in &self.workloads {
            ladder.climb(&formatted, workload)?;
        }
        Ok(ladder.into_tally())
    }
}

/// The jobs over operations on shared content.
fn sharing_jobs(scope: Scope, seed: u64) -> Vec<Job> {
    let job = |name, workloads, double_every| Job::with_spare(scope, name, workloads, double_every, seed);
    let mut jobs = Vec::new();
    for (name, few, many) in
        [("nor-256-4k", 2, 16), ("nor-128-2k", 8, 256), ("nor-256-4k-verified", 4, 64), ("nand-2048-64", 2, 16)]
    {
        jobs.extend(workload::sharing().into_iter().map(|workload| job(name, vec![workload], scope.every(few, many))));
        jobs.push(job(name, workload::sharing_sequences(2), scope.every(2, 64)));
    }
    if scope == Scope::Campaign {
        let long = workload::sharing_sequences(3).into_iter().step_by(7);
        jobs.push(job("nor-256-4k", long.collect(), 16));
    }
    jobs
}

/// The jobs over operations on indexes.
fn index_jobs(scope: Scope, seed: u64) -> Vec<Job> {
    let job = |name, workloads, double_every| Job::with_spare(scope, name, workloads, double_every, seed);
    let mut jobs = Vec::new();
    for (name, few, many) in
        [("nor-256-4k", 2, 256), ("nor-128-2k", 8, 1024), ("nor-1024-8k", 4, 4096), ("nand-2048-64", 2, 128)]
    {
        jobs.extend(workload::indexes().into_iter().map(|workload| job(name, vec![workload], scope.every(few, many))));
    }
    jobs.push(job("nor-256-4k", workload::index_sequences(2), scope.every(2, 8)));
    if scope == Scope::Campaign {
        jobs.push(job("nor-512-4k", workload::index_sequences(2), 4));
        jobs.push(job("nand-2048-64", workload::index_sequences(2), 8));
        let long = workload::index_sequences(3).into_iter().step_by(7);
        jobs.push(job("nor-256-4k", long.collect(), 16));
    }
    jobs
}

/// The jobs over everything else; a sample has one in so many of their double cuts.
fn file_jobs(scope: Scope, seed: u64) -> Vec<Job> {
    let thinned = |every| scope.every(1, every);
    let job = |name, workloads, every, plan: Plan| {
        let double_every = plan.double_every * thinned(every);
        Job { case: Case::named(name), spare_blocks: 6, workloads, plan: Plan { double_every, ..plan } }
    };
    let all = Plan { double_every: 1, triple_every: 0, seed };
    let some = Plan { double_every: 2, triple_every: 64, seed };
    let few = Plan { double_every: 4, triple_every: 128, seed };
    let sequences = workload::sequences(2);
    let long = workload::sequences(3).split_off(sequences.len());
    let first = || vec![workload::named().swap_remove(0)];
    let mut jobs = vec![
        job("nor-256-4k", first(), 1, all),
        job("nor-128-2k", first(), 1, all),
        job("nand-2048-64", first(), 1, all),
        job("nor-256-4k", vec![workload::wearing(150, 60)], 32, some),
        job("nor-128-4k", vec![workload::wearing(150, 40)], 256, some),
        job("nor-256-4k", long.into_iter().step_by(5).collect(), 1, few),
    ];
    // A thousand bytes to a page make many kinds of tears, and few pages to a workload; pages of 128 bytes the contrary.
    let packed = [
        ("nor-256-4k-zstd", 4),
        ("nor-512-4k-verified-lzma2", 8),
        ("nor-128-2k-verified", 256),
        ("nand-2048-64-verified-zstd", 4),
    ];
    for (name, every) in packed {
        jobs.push(job(name, vec![workload::packed()], every, few));
        jobs.push(job(name, workload::named().into_iter().step_by(2).collect(), 2 * every, few));
    }
    // What a mount learns of blocks' lives after a cut.
    for (name, every) in [("nor-256-4k-keyed", 8), ("nor-1024-8k-keyed", 128), ("nand-2048-64-keyed", 8)] {
        jobs.push(job(name, workload::named(), every, some));
        jobs.push(job(name, vec![workload::wearing(80, 20)], 4 * every, few));
    }
    let geometries = [
        ("nor-256-4k", 2),
        ("nor-128-2k", 16),
        ("nor-512-4k", 8),
        ("nor-1024-8k", 32),
        ("nand-2048-64", 1),
        ("nand-4096-224", 1),
    ];
    for (name, every) in geometries {
        jobs.push(job(name, workload::named(), every, some));
        jobs.push(job(name, workload::space(), 64 * every, some));
        jobs.push(job(name, sequences.clone(), every, few));
    }
    jobs
}
