//! `k7fs torture`.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{MultiProgress, ProgressBar};
use k7fs_sim::chip::ChipSpec;
use k7fs_sim::torture::{Faults, RealTree, Report, Stop, torture};

use super::image::chip;
use super::output::JsonOption;
use super::progress::style;
use super::{CliError, Output};

/// Tortured without being asked for: one chip of each kind.
const DEFAULT_CHIPS: [&str; 2] = ["W25N01GV", "W25Q128JV"];
/// Seconds of a run without being asked.
const DEFAULT_SECONDS: u64 = 30;
/// Of the time, how much belongs to the operations; the rest is for the last look at everything.
const OPERATING_PER_HUNDRED: u32 = 85;

/// Store a real directory tree on simulated chips under power cuts, bit flips and bad blocks, and verify it
///
/// Prints what was injected, corrected, retried and verified. Exit code 1 where a promise was broken.
#[derive(Debug, Args)]
pub(super) struct Torture {
    /// The chip, or `all`; without it W25N01GV and W25Q128JV
    #[arg(long, value_name = "NAME")]
    chip: Option<String>,
    /// The seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Seconds for all chips together [default: 30]
    #[arg(long, value_name = "S", conflicts_with = "operations", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Operations per chip instead of a time: the same run each time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    operations: Option<u64>,
    /// The tree to store; without it the current directory without `.git`, `target` and ignored files, at most 8 MiB
    /// of it, or a generated tree where there is none
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    #[command(flatten)]
    json: JsonOption,
}

impl Torture {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let chips = self.chips()?;
        self.json.refuse_unwritable()?;
        let tree = match &self.tree {
            Some(directory) => RealTree::of_directory(directory)?,
            None => RealTree::default_tree(self.seed),
        };
        let trees = chips.iter().map(|chip| tree.for_chip(chip)).collect::<Result<Vec<RealTree>, _>>()?;
        let reports = self.torture_all(&chips, &trees);
        if output.json(self.json.target(), &reports)? {
            for (report, tree) in reports.iter().zip(&trees) {
                for line in lines(report, tree) {
                    output.line(&line)?;
                }
            }
        }
        verdict(&reports)
    }

    fn chips(&self) -> Result<Vec<&'static ChipSpec>, CliError> {
        match self.chip.as_deref() {
            None => DEFAULT_CHIPS.iter().map(|name| chip(name)).collect(),
            Some(name) if name.eq_ignore_ascii_case("all") => Ok(ChipSpec::all().iter().collect()),
            Some(name) => Ok(vec![chip(name)?]),
        }
    }

    /// Runs the chips, as many at once as the host has processors. Which runs where changes nothing in a run.
    fn torture_all(&self, chips: &[&'static ChipSpec], trees: &[RealTree]) -> Vec<Report> {
        let workers = thread::available_parallelism().map_or(1, NonZero::get).min(chips.len());
        let rounds = u32::try_from(chips.len().div_ceil(workers)).unwrap_or(u32::MAX);
        let budget = Duration::from_secs(self.seconds.unwrap_or(DEFAULT_SECONDS)) / rounds;
        let bars = MultiProgress::new();
        let next = AtomicUsize::new(0);
        let reports: Mutex<Vec<Option<Report>>> = Mutex::new(vec![None; chips.len()]);
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(chip) = chips.get(index) else { break };
                        let mut limit = Limit::new(self, budget, bars.add(ProgressBar::new(0)), chip.name);
                        let mut report = torture(chip, self.seed, &trees[index], Faults::all(chip), &mut limit);
                        report.replay = Some(self.replay(&report));
                        if let Ok(mut reports) = reports.lock() {
                            reports[index] = Some(report);
                        }
                    }
                });
            }
        });
        reports.into_inner().unwrap_or_default().into_iter().flatten().collect()
    }

    /// The command that repeats a run.
    fn replay(&self, report: &Report) -> String {
        let mut command =
            format!("k7fs torture --chip {} --seed {} --operations {}", report.chip, report.seed, report.limit.max(1));
        if let Some(tree) = &self.tree {
            command.push_str(" --tree ");
            command.push_str(&quoted(&tree.display().to_string()));
        }
        command
    }
}

/// When a run ends.
struct Limit {
    operations: Option<u64>,
    deadline: Instant,
    minimum: bool,
    bar: ProgressBar,
}

impl Limit {
    fn new(torture: &Torture, budget: Duration, bar: ProgressBar, name: &'static str) -> Self {
        bar.set_style(style("{prefix:18} {bar:30} {pos}/{len} stored, {msg} operations"));
        bar.set_prefix(name);
        let deadline = Instant::now() + budget * OPERATING_PER_HUNDRED / 100;
        let minimum = torture.seconds.unwrap_or(DEFAULT_SECONDS) >= DEFAULT_SECONDS;
        Self { operations: torture.operations, deadline, minimum, bar }
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Stop for Limit {
    fn is_over(&mut self, operations: u64, so_far: &Report) -> bool {
        if let Some(limit) = self.operations {
            return operations >= limit;
        }
        // A run of the default length shows every fault, also on a slow host.
        let all_seen = so_far.power_cuts >= 100
            && so_far.torn_programs > 0
            && so_far.torn_erases > 0
            && so_far.unstable_bits > 0
            && so_far.bad_blocks > 0;
        self.is_late() && (all_seen || !self.minimum)
    }

    fn is_over_early(&mut self, operations: u64) -> bool {
        match self.operations {
            Some(limit) => operations >= limit,
            None => self.is_late() && !self.minimum,
        }
    }

    fn tick(&mut self, operations: u64, stored: usize, nodes: usize) {
        if !self.bar.is_hidden() {
            self.bar.set_length(nodes as u64);
            self.bar.set_position(stored as u64);
            self.bar.set_message(operations.to_string());
        }
    }
}

fn lines(report: &Report, tree: &RealTree) -> Vec<String> {
    let verdict = match report.violations {
        0 => "all promises kept".to_owned(),
        count => format!("{count} VIOLATIONS"),
    };
    let mut lines = vec![
        format!("{}: {verdict}", report.chip),
        format!("  stored     {} files, {} bytes of {}", report.files, report.bytes, tree.origin),
        format!(
            "  ran        {} operations with seed {}, {:.1} s of device time",
            report.operations,
            report.seed,
            report.device_time_ns as f64 / 1e9
        ),
        format!(
            "  injected   {} power cuts ({} torn programs, {} torn erases, {} unstable bits), {} bit flips",
            report.power_cuts, report.torn_programs, report.torn_erases, report.unstable_bits, report.bit_flips
        ),
        format!(
            "             flips at {:e} per bit read, {} blocks gone bad beside {} from the factory",
            report.flip_rate, report.bad_blocks, report.factory_bad_blocks
        ),
        format!("  corrected  {} bits, {} reads retried", report.corrected_bits, report.retried),
        format!(
            "  verified   {} files byte for byte, {} states after {} crashes ({} distinct)",
            report.verified_files, report.comparisons, report.crash_states, report.distinct_crash_states
        ),
    ];
    lines.extend(report.violation_texts.iter().map(|text| format!("  VIOLATION  {text}")));
    lines.extend(report.replay.iter().map(|replay| format!("  replay     {replay}")));
    lines
}

fn verdict(reports: &[Report]) -> Result<(), CliError> {
    let violations: u64 = reports.iter().map(|report| report.violations).sum();
    let Some(first) = reports.iter().find(|report| report.violations > 0) else { return Ok(()) };
    let what = first.violation_texts.first().map_or("", String::as_str);
    let replay = first.replay.as_deref().unwrap_or_default();
    Err(CliError::Violations(format!("{violations} violations; {}: {what}; repeat with `{replay}`", first.chip)))
}

/// An argument as a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
