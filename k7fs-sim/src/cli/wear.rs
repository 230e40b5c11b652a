//! `k7fs wear`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use k7fs_sim::wear::{self, MEAN_WANTED, Options, Wear, Workload};

use super::image::chip;
use super::output::JsonOption;
use super::{CliError, Output};

/// Wear a simulated chip by a workload, and tell how evenly its blocks were erased
///
/// Runs until blocks have been erased 50 times in the mean, or with --endurance until the chip is worn out; then reads back
/// everything that was written, before and after a restart. Of several chips it tells sums of bytes and the worst of the rest.
#[derive(Debug, Args)]
pub(super) struct WearCommand {
    /// The chip
    #[arg(long, value_name = "NAME")]
    chip: String,
    /// What is written: w8 replaces small files, random overwrites 4 KiB anywhere, append adds 64 bytes to a file; all with a
    /// sync after each, beside files that never change
    #[arg(long, value_name = "NAME", value_enum, ignore_case = true, default_value_t = WorkloadName::W8)]
    workload: WorkloadName,
    /// How much of the volume is filled before, in per cent; 60, or 50 for random
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=95))]
    fill: Option<u32>,
    /// The seed of everything random; of the first chip, where there are several
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Let the chip age: blocks fail after about so many erases, each at a time of its own, and bits go wrong more often the
    /// more a block was erased. The run ends when the volume takes no more
    #[arg(long, value_name = "ERASES", value_parser = clap::value_parser!(u32).range(1..))]
    endurance: Option<u32>,
    /// How many chips, each with a seed of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    chips: u64,
    /// Keep what each chip gave in a file, a line each, and do not repeat what is there
    #[arg(long, value_name = "FILE")]
    campaign: Option<PathBuf>,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WorkloadName {
    W8,
    Random,
    Append,
}

impl WorkloadName {
    const fn workload(self) -> Workload {
        match self {
            Self::W8 => Workload::W8,
            Self::Random => Workload::Random,
            Self::Append => Workload::Append,
        }
    }
}

impl WearCommand {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let workload = self.workload.workload();
        let fill_percent = self.fill.unwrap_or(workload.default_fill());
        let spec = chip(&self.chip)?;
        self.json.refuse_unwritable()?;
        let seeds = self.seed..self.seed.saturating_add(self.chips);
        let all = seeds.map(|seed| Options { spec, workload, seed, fill_percent, endurance: self.endurance }).collect();
        let kept = self.campaign.as_deref().map_or_else(|| Ok(Vec::new()), recorded)?;
        let chips = run_all(all, kept, self.campaign.as_deref())?;
        let Some(wear) = Wear::of_all(&chips) else { return Err(CliError::Wear("no chip".to_owned())) };
        if output.json(self.json.target(), &wear)? {
            for line in lines(&wear) {
                output.line(&line)?;
            }
        }
        if wear.wrong_reads + wear.lost_commits == 0 {
            return Ok(());
        }
        let faulty = chips.iter().filter(|chip| chip.wrong_reads + chip.lost_commits > 0);
        let seeds: Vec<String> = faulty.map(|chip| chip.seed.to_string()).collect();
        Err(CliError::Wear(format!("data was lost with --seed {}", seeds.join(", "))))
    }
}

/// What a campaign has already.
fn recorded(path: &Path) -> Result<Vec<Wear>, CliError> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|error| CliError::Wear(format!("{}: {error}", path.display())))?,
    };
    let line = |(number, line)| {
        serde_json::from_str(line)
            .map_err(|error| CliError::Wear(format!("{}: line {}: {error}", path.display(), number + 1)))
    };
    text.lines().enumerate().map(line).collect()
}

/// Runs on all cores what was not kept, and keeps it.
fn run_all(all: Vec<Options>, kept: Vec<Wear>, keep: Option<&Path>) -> Result<Vec<Wear>, CliError> {
    let bar = ProgressBar::new(all.iter().map(|options| u64::from(options.endurance.unwrap_or(MEAN_WANTED))).sum());
    let (known, todo): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|options| kept.iter().any(|wear| wear.is_of(options)));
    let kept = kept.into_iter().filter(|wear| known.iter().any(|options| wear.is_of(options)));
    let done: Mutex<Vec<Result<Wear, CliError>>> = Mutex::new(kept.map(Ok).collect());
    let next = AtomicU64::new(0);
    let work = || {
        while let Some(options) = todo.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let mut before = 0;
            let wear = wear::run(options, |mean| {
                bar.inc((mean as u64).saturating_sub(before));
                before = mean as u64;
            });
            let wear = wear
                .map_err(|error| CliError::Wear(format!("{}, --seed {}: {error}", options.spec.name, options.seed)));
            let Ok(mut done) = done.lock() else { return };
            let wear = wear.and_then(|wear| append(keep, &wear).map(|()| wear));
            done.push(wear);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from).min(todo.len()) {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    let mut chips = done.into_inner().unwrap_or_default().into_iter().collect::<Result<Vec<_>, _>>()?;
    chips.sort_by_key(|chip| chip.seed);
    Ok(chips)
}

fn append(keep: Option<&Path>, wear: &Wear) -> Result<(), CliError> {
    let Some(path) = keep else { return Ok(()) };
    let failed = |error: &dyn std::fmt::Display| CliError::Wear(format!("{}: {error}", path.display()));
    let line = serde_json::to_string(wear).map_err(|error| failed(&error))?;
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| failed(&error))?;
    writeln!(file, "{line}").map_err(|error| failed(&error))
}

fn lines(wear: &Wear) -> Vec<String> {
    let mut lines = vec![
        format!("{}, {} at {} % full: {}", wear.chip, wear.workload, wear.fill_percent, wear.ended),
        format!(
            "erases of a block   {} least, {:.1} mean, {} most: level {:.3}",
            wear.erase_min, wear.erase_mean, wear.erase_max, wear.level
        ),
        format!(
            "programmed          {:.2} bytes for each of the {} that were asked for",
            wear.write_amplification, wear.user_bytes
        ),
    ];
    if let Some(life) = wear.life_used {
        lines.push(format!(
            "life used           {life:.3} of the bytes that a chip could take, of {} chips; {} blocks failed",
            wear.lifetimes, wear.failed_blocks
        ));
    }
    lines.push(format!("read back           {} wrong, {} lost", wear.wrong_reads, wear.lost_commits));
    lines
}
