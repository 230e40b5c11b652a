//! Power cuts at every place of small workloads, and at every place of the recovery after them.
//!
//! Random cuts find what is frequent. The failures that matter are rare: a page that reads good at the first mount and
//! bad at the second, an erase that looks finished, a cut inside the recovery from a cut. So here nothing is random but
//! the sample of the third cuts: every program and every erase is struck in every way the chips know. The suite must
//! see at least 100,000 different crashed chips, counted by content and weak bits at the mount.

use std::time::Instant;

use k7fs_sim::chip::SimFlash;
use k7fs_tests::geometry::Case;
use k7fs_tests::ladder::{Ladder, Plan, Tally, Workload};
use k7fs_tests::seed::{replay, say, seed};
use k7fs_tests::{parallel, workload};

/// Different crashed chips that the run must see.
const DISTINCT_MIN: usize = 100_000;

/// The same over operations on indexes.
const DISTINCT_OVER_INDEXES_MIN: usize = if cfg!(feature = "campaign") { 200_000 } else { 20_000 };

/// The same over operations on shared content.
const DISTINCT_OVER_SHARING_MIN: usize = if cfg!(feature = "campaign") { 100_000 } else { 10_000 };

/// Some workloads on one chip.
struct Job {
    case: Case,
    spare_blocks: u32,
    workloads: Vec<Workload>,
    plan: Plan,
}

/// Whether the run follows more of what lies within recovery.
const CAMPAIGN: bool = cfg!(feature = "campaign");

/// One in so many double cuts.
fn every(in_campaign: u64, otherwise: u64) -> u64 {
    if CAMPAIGN { in_campaign } else { otherwise }
}

impl Job {
    /// For workloads that need some room.
    fn with_spare(name: &str, workloads: Vec<Workload>, double_every: u64, seed: u64) -> Self {
        let plan = Plan { double_every, triple_every: if CAMPAIGN { 64 } else { 0 }, seed };
        Self { case: Case::named(name), spare_blocks: 14, workloads, plan }
    }
}

#[test]
fn every_cut_leaves_a_state_that_was_promised() {
    climb_all("cut ladder", &jobs(seed()), DISTINCT_MIN);
}

#[test]
fn every_cut_of_operations_on_indexes_leaves_a_state_that_was_promised() {
    climb_all("cut ladder over indexes", &index_jobs(seed()), DISTINCT_OVER_INDEXES_MIN);
}

#[test]
fn every_cut_of_operations_on_shared_content_leaves_a_state_that_was_promised() {
    climb_all("cut ladder over sharing", &sharing_jobs(seed()), DISTINCT_OVER_SHARING_MIN);
}

fn climb_all(what: &str, jobs: &[Job], distinct_min: usize) {
    let seed = seed();
    let start = Instant::now();
    let results = parallel::run(jobs, |job| run(job, seed));
    let mut total = Tally::default();
    for (job, result) in jobs.iter().zip(results) {
        match result {
            Ok(tally) => total.merge(tally),
            Err(violation) => {
                let command = replay("cut_ladder", "every_cut", seed);
                panic!("{}: {violation}\nreplay: {command}", job.case.name)
            }
        }
    }
    report(what, &total, start);
    assert!(total.distinct.len() >= distinct_min, "only {} distinct crash states", total.distinct.len());
}

/// The jobs over operations on shared content; with `--features campaign` longer, and with more double cuts.
fn sharing_jobs(seed: u64) -> Vec<Job> {
    let job = |name, workloads, double_every| Job::with_spare(name, workloads, double_every, seed);
    let mut jobs = Vec::new();
    for (name, few, many) in
        [("nor-256-4k", 2, 16), ("nor-128-2k", 8, 256), ("nor-256-4k-verified", 4, 64), ("nand-2048-64", 2, 16)]
    {
        jobs.extend(workload::sharing().into_iter().map(|workload| job(name, vec![workload], every(few, many))));
        jobs.push(job(name, workload::sharing_sequences(2), every(2, 64)));
    }
    if CAMPAIGN {
        let long = workload::sharing_sequences(3).into_iter().step_by(7);
        jobs.push(job("nor-256-4k", long.collect(), 16));
    }
    jobs
}

/// The jobs over operations on indexes; with `--features campaign` on more chips, longer, and with more double cuts.
fn index_jobs(seed: u64) -> Vec<Job> {
    let job = |name, workloads, double_every| Job::with_spare(name, workloads, double_every, seed);
    let mut jobs = Vec::new();
    for (name, few, many) in
        [("nor-256-4k", 2, 16), ("nor-128-2k", 8, 256), ("nor-1024-8k", 4, 256), ("nand-2048-64", 2, 16)]
    {
        jobs.extend(workload::indexes().into_iter().map(|workload| job(name, vec![workload], every(few, many))));
    }
    jobs.push(job("nor-256-4k", workload::index_sequences(2), every(2, 16)));
    if CAMPAIGN {
        jobs.push(job("nor-512-4k", workload::index_sequences(2), 4));
        jobs.push(job("nand-2048-64", workload::index_sequences(2), 8));
        let long = workload::index_sequences(3).into_iter().step_by(7);
        jobs.push(job("nor-256-4k", long.collect(), 16));
    }
    jobs
}

/// The jobs of a run, each with one in so many of its double cuts; all of them with `--features campaign`.
fn jobs(seed: u64) -> Vec<Job> {
    let thinned = |every| if cfg!(feature = "campaign") { 1 } else { every };
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
        job("nor-256-4k", vec![workload::wearing(150, 60)], 2, some),
        job("nor-128-4k", vec![workload::wearing(150, 40)], 16, some),
        job("nor-256-4k", long.into_iter().step_by(5).collect(), 1, few),
    ];
    // A thousand bytes to a page make many kinds of tears, and few pages to a workload; pages of 128 bytes the contrary.
    let packed = [
        ("nor-256-4k-zstd", 4),
        ("nor-512-4k-verified-lzma2", 8),
        ("nor-128-2k-verified", 64),
        ("nand-2048-64-verified-zstd", 4),
    ];
    for (name, every) in packed {
        jobs.push(job(name, vec![workload::packed()], every, few));
        jobs.push(job(name, workload::named().into_iter().step_by(2).collect(), 2 * every, few));
    }
    // What a mount learns of blocks' lives after a cut.
    for (name, every) in [("nor-256-4k-keyed", 4), ("nor-1024-8k-keyed", 64), ("nand-2048-64-keyed", 4)] {
        jobs.push(job(name, workload::named(), every, some));
        jobs.push(job(name, vec![workload::wearing(80, 20)], 4 * every, few));
    }
    let geometries = [
        ("nor-256-4k", 1),
        ("nor-128-2k", 4),
        ("nor-512-4k", 2),
        ("nor-1024-8k", 8),
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

fn run(job: &Job, seed: u64) -> Result<Tally, k7fs_sim::model::Violation> {
    let formatted: SimFlash = job.case.formatted(job.spare_blocks, seed);
    let mut ladder = Ladder::new(&formatted, job.plan);
    let start = Instant::now();
    for workload in &job.workloads {
        if let Err(violation) = ladder.climb(&formatted, workload) {
            // At once: the other jobs may run for minutes.
            say(&format!("{}: {violation}", job.case.name));
            return Err(violation);
        }
    }
    let tally = ladder.into_tally();
    report(&format!("  {} x {} workloads", job.case.name, job.workloads.len()), &tally, start);
    Ok(tally)
}

fn report(what: &str, tally: &Tally, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    say(&format!(
        "{what}: {} distinct crash states of {} visited ({} repeated cuts, {} flash operations) in {seconds:.1} s, {:.0} per second",
        tally.distinct.len(),
        tally.visited,
        tally.repeated_cuts,
        tally.operations,
        tally.visited as f64 / seconds.max(0.001),
    ));
}
