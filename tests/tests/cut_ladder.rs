//! Power cuts at every place of small workloads, and at every place of the recovery after them.
//!
//! Random cuts find what is frequent. The failures that matter are rare: a page that reads good at the first mount and
//! bad at the second, an erase that looks finished, a cut inside the recovery from a cut. So here nothing is random but
//! the sample of the third cuts: every program and every erase is struck in every way the chips know. The suite must
//! see at least 100,000 different crashed chips, counted by content and weak bits at the mount. `tests/campaigns/cuts/run` goes
//! further and keeps what it has found.

use std::time::Instant;

use k7fs_sim::model::Violation;
use k7fs_tests::cuts::{Family, Job, Scope};
use k7fs_tests::ladder::Tally;
use k7fs_tests::parallel;
use k7fs_tests::seed::{replay, say, seed};

/// Different crashed chips that the run must see.
const DISTINCT_MIN: usize = 100_000;

/// The same over operations on indexes.
const DISTINCT_OVER_INDEXES_MIN: usize = 20_000;

/// The same over operations on shared content.
const DISTINCT_OVER_SHARING_MIN: usize = 10_000;

#[test]
fn every_cut_leaves_a_state_that_was_promised() {
    climb_all("cut ladder", Family::Files, DISTINCT_MIN);
}

#[test]
fn every_cut_of_operations_on_indexes_leaves_a_state_that_was_promised() {
    climb_all("cut ladder over indexes", Family::Indexes, DISTINCT_OVER_INDEXES_MIN);
}

#[test]
fn every_cut_of_operations_on_shared_content_leaves_a_state_that_was_promised() {
    climb_all("cut ladder over sharing", Family::Sharing, DISTINCT_OVER_SHARING_MIN);
}

fn climb_all(what: &str, family: Family, distinct_min: usize) {
    let seed = seed();
    let jobs = family.jobs(Scope::Sample, seed);
    let start = Instant::now();
    let results = parallel::run(&jobs, |job| run(job, seed));
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

fn run(job: &Job, seed: u64) -> Result<Tally, Violation> {
    let start = Instant::now();
    // At once: the other jobs may run for minutes.
    let tally = job.run(seed).inspect_err(|violation| say(&format!("{}: {violation}", job.case.name)))?;
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
