//! The whole cut ladder, in parts, with its results kept: `tests/campaigns/cuts/run SECONDS` calls it.
//!
//! `cut-campaign FILE VERSION SECONDS [FAMILY]` goes on with the parts, of one family or of all, of which FILE has no line yet for
//! this version of the core and this seed, until the time is up, and sums up what there is. A line has, between tabs: version,
//! seed, family, part, chip, workloads, flash operations cut, crashed chips mounted, different ones among them, cuts of cuts, and
//! `kept` or the promise that was broken. Different chips are counted by content and weak bits at the mount, within each part.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use k7fs_tests::cuts::{Family, Job, Scope};
use k7fs_tests::ladder::Tally;
use k7fs_tests::parallel;
use k7fs_tests::seed::seed;

/// Workloads of a part, at most: a few minutes of work.
const WORKLOADS_MAX: usize = 4;
const KEPT: &str = "kept";
const COLUMNS: usize = 11;

/// A piece of work, named by its place in the list.
struct Part {
    family: Family,
    number: usize,
    job: Job,
}

impl Part {
    /// The columns that say which it is.
    fn name(&self, version: &str, seed: u64) -> String {
        format!("{version}\t{seed:#x}\t{:?}\t{}", self.family, self.number)
    }

    fn line(&self, name: &str, result: Result<Tally, String>) -> String {
        let (tally, verdict) = match result {
            Ok(tally) => (tally, KEPT.to_owned()),
            Err(violation) => (Tally::default(), violation.replace(['\t', '\n'], " ")),
        };
        let Tally { visited, repeated_cuts, distinct, operations } = tally;
        let workloads = self.job.workloads.len();
        let distinct = distinct.len();
        let chip = self.job.case.name;
        format!("{name}\t{chip}\t{workloads}\t{operations}\t{visited}\t{distinct}\t{repeated_cuts}\t{verdict}\n")
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (file, version, seconds, family) = match &arguments[..] {
        [file, version, seconds] => (file, version, seconds, None),
        [file, version, seconds, family] => (file, version, seconds, Some(family)),
        _ => {
            eprintln!("usage: cut-campaign FILE VERSION SECONDS [FAMILY]");
            return ExitCode::from(2);
        }
    };
    let is_meant = |known: &Family| family.is_none_or(|family| format!("{known:?}") == *family);
    if !Family::ALL.iter().any(is_meant) {
        eprintln!("cut-campaign: there are the families {:?}", Family::ALL);
        return ExitCode::from(2);
    }
    let Ok(seconds) = seconds.parse() else {
        eprintln!("cut-campaign: {seconds}: not a number of seconds");
        return ExitCode::from(2);
    };
    match run(file, version, Duration::from_secs(seconds), is_meant) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cut-campaign: {file}: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every promise was kept.
fn run(file: &str, version: &str, time: Duration, is_meant: impl Fn(&Family) -> bool) -> std::io::Result<bool> {
    let (seed, start) = (seed(), Instant::now());
    let known = std::fs::read_to_string(file).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(String::new()),
        _ => Err(error),
    })?;
    let parts = parts(seed);
    let meant = parts.iter().filter(|part| is_meant(&part.family));
    let left: Vec<&Part> = meant.filter(|part| !known.contains(&format!("{}\t", part.name(version, seed)))).collect();
    let results = Mutex::new(OpenOptions::new().append(true).create(true).open(file)?);
    let written = parallel::run(&left, |part| {
        if start.elapsed() >= time {
            return Ok(());
        }
        let line = part.line(&part.name(version, seed), part.job.run(seed).map_err(|violation| violation.to_string()));
        let mut results = results.lock().expect("nobody panics with the lock held");
        results.write_all(line.as_bytes()).and_then(|()| results.flush())
    });
    written.into_iter().collect::<std::io::Result<()>>()?;
    Ok(sum_up(&std::fs::read_to_string(file)?, version, seed, &parts))
}

fn parts(seed: u64) -> Vec<Part> {
    let parts = |family: Family| {
        let jobs = family.jobs(Scope::Campaign, seed);
        let parts: Vec<Job> = jobs.iter().flat_map(|job| job.parts(WORKLOADS_MAX).collect::<Vec<_>>()).collect();
        parts.into_iter().enumerate().map(move |(number, job)| Part { family, number, job })
    };
    Family::ALL.into_iter().flat_map(parts).collect()
}

/// Prints what is there by family; whether every promise was kept.
fn sum_up(results: &str, version: &str, seed: u64, parts: &[Part]) -> bool {
    let mut sums: BTreeMap<&str, [u64; 5]> = BTreeMap::new();
    let seed = format!("{seed:#x}");
    let mut kept = true;
    for line in results.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        if columns.len() != COLUMNS || columns[0] != version || columns[1] != seed {
            continue;
        }
        let sum = sums.entry(columns[2]).or_default();
        sum[0] += 1;
        for (sum, column) in sum[1..].iter_mut().zip(&columns[6..10]) {
            *sum += column.parse::<u64>().unwrap_or(0);
        }
        if columns[10] != KEPT {
            kept = false;
            println!("broken: {} part {} on {}: {}", columns[2], columns[3], columns[4], columns[10]);
        }
    }
    for family in Family::ALL {
        let of = parts.iter().filter(|part| part.family == family).count();
        let [done, operations, visited, distinct, repeated] =
            sums.get(format!("{family:?}").as_str()).copied().unwrap_or_default();
        println!(
            "{family:?}: {done} of {of} parts, {operations} flash operations cut, {visited} crashed chips mounted, \
             {distinct} different, {repeated} cuts of cuts"
        );
        if done == of as u64 && distinct < family.distinct_min() {
            kept = false;
            println!("too few: {family:?} must see {}", family.distinct_min());
        }
    }
    println!("{}", if kept { "every promise was kept" } else { "promises were broken" });
    kept
}
