//! Seeded torture runs: a directory tree and random operations under every fault at once.
//!
//! The other campaigns change one thing at a time. Here cuts strike stores, random operations, erases and recoveries
//! while bits flip and a block goes bad, as `k7fs torture` does for as long as one likes. The runs are short and many:
//! what reveals a broken step of the protocol is a certain meeting of faults, and each seed deals them anew.

use std::panic::{AssertUnwindSafe, catch_unwind};

use k7fs_sim::chip::ChipSpec;
use k7fs_sim::torture::{Faults, RealTree, Report, Stop, torture};
use k7fs_tests::parallel;
use k7fs_tests::seed::{say, seed};

/// Internal flash of 1 MiB: words of 4 bytes with one erase unit to a block, and words of 8 bytes with two.
const CHIPS: [&str; 2] = ["nRF52840", "STM32L4"];
/// Runs on each chip, with seeds in a row.
const RUNS_PER_CHIP: u64 = 240;
/// Operations of a run: parts of the tree stored, and random ones.
const OPERATIONS: u64 = 150;
/// Different crashed chips that a run leaves on average, at least; half of what it does.
const CRASH_STATES_PER_RUN_MIN: u64 = 20;
/// Failures that are told in full.
const FAILURES_SHOWN_MAX: usize = 5;

/// Ends a run after [`OPERATIONS`], whether the tree is stored by then or not.
struct AfterOperations;

impl Stop for AfterOperations {
    fn is_over(&mut self, operations: u64, _so_far: &Report) -> bool {
        operations >= OPERATIONS
    }

    fn is_over_early(&mut self, operations: u64) -> bool {
        operations >= OPERATIONS
    }
}

/// One run.
struct Job {
    chip: &'static ChipSpec,
    seed: u64,
}

impl Job {
    /// What the run went through, or what went wrong and how to see it again.
    fn run(&self) -> Result<Report, String> {
        // The tree that the command generates where the current directory is empty, so that it repeats the run.
        let tree = RealTree::generated(self.seed).for_chip(self.chip).expect("the chip holds a volume");
        let faults = Faults::all(self.chip);
        let run = || torture(self.chip, self.seed, &tree, faults, &mut AfterOperations);
        // A panic must tell its seed, too; its own text is printed where it happens.
        let report = catch_unwind(AssertUnwindSafe(run)).map_err(|_| self.failure("a panic, see above", OPERATIONS))?;
        match report.violation_texts.first() {
            Some(text) => Err(self.failure(text, report.limit)),
            None if report.violations > 0 => Err(self.failure("a violation without a text", report.limit)),
            None => Ok(report),
        }
    }

    fn failure(&self, what: &str, operations: u64) -> String {
        let (chip, seed) = (self.chip.name, self.seed);
        let operations = operations.max(1);
        let replay = format!("k7fs torture --chip {chip} --seed {seed} --operations {operations}");
        format!("{chip}, seed {seed}: {what}\nreplay: (cd \"$(mktemp -d)\" && {replay})")
    }
}

/// The runs of all chips. Those of one seed follow each other, so that the processors end together.
fn jobs() -> Vec<Job> {
    let chips = CHIPS.map(|name| ChipSpec::named(name).expect("a preset"));
    let seeds = (0..RUNS_PER_CHIP).map(|run| seed().wrapping_add(run));
    seeds.flat_map(|seed| chips.map(|chip| Job { chip, seed })).collect()
}

/// Panics with the first failures, if there are any.
fn expect_no_failures(failures: &[String], runs: usize) {
    if !failures.is_empty() {
        let shown = failures[..failures.len().min(FAILURES_SHOWN_MAX)].join("\n");
        panic!("{} of {runs} runs failed, the first of them:\n{shown}", failures.len());
    }
}

/// A campaign that met no faults would prove nothing.
fn expect_every_fault(chip: &str, reports: &[Report]) {
    let sum = |count: fn(&Report) -> u64| reports.iter().filter(|report| report.chip == chip).map(count).sum::<u64>();
    let (cuts, states) = (sum(|report| report.power_cuts), sum(|report| report.distinct_crash_states));
    let (programs, erases) = (sum(|report| report.torn_programs), sum(|report| report.torn_erases));
    let (bad, corrected) = (sum(|report| report.bad_blocks), sum(|report| report.corrected_bits));
    let (files, operations) = (sum(|report| report.verified_files), sum(|report| report.operations));
    say(&format!(
        "torture: {chip}: {operations} operations, {cuts} cuts ({programs} torn programs, {erases} torn erases), \
         {states} distinct crash states, {bad} bad blocks, {corrected} bits corrected, {files} files verified"
    ));
    assert_eq!(operations, RUNS_PER_CHIP * OPERATIONS, "{chip}: a run ended early");
    assert!(states >= RUNS_PER_CHIP * CRASH_STATES_PER_RUN_MIN, "{chip}: {states} different crashed chips");
    assert!(programs > 0 && erases > 0 && bad > 0 && corrected > 0 && files > 0, "{chip}: a fault was never met");
}

#[test]
fn every_seed_keeps_every_promise() {
    let jobs = jobs();
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for result in parallel::run(&jobs, Job::run) {
        match result {
            Ok(report) => reports.push(report),
            Err(failure) => failures.push(failure),
        }
    }
    expect_no_failures(&failures, jobs.len());
    for chip in CHIPS {
        expect_every_fault(chip, &reports);
    }
}
