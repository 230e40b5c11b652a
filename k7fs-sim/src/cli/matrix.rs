//! `k7fs matrix`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::Args;
use indicatif::ProgressBar;
use k7fs_sim::matrix::{BlockReport, Case, GEOMETRIES, Geometry, Matrix, Report};
use k7fs_sim::parallel;

use super::output::JsonOption;
use super::progress::style;
use super::{CliError, Output};

/// Let every block of two small chips fail, one at a time, at moments spread over a run, and judge the volume
///
/// Each block fails in every way: its programs, its erases, its erases unnoticed, or what it holds becomes unreadable; with and
/// without a power cut soon after. Exit code 1 where a promise was broken.
#[derive(Debug, Args)]
pub(super) struct MatrixCommand {
    /// The chip: nor or nand; without it both
    #[arg(long, value_name = "NAME", value_parser = parse_geometry)]
    geometry: Option<&'static Geometry>,
    /// The seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Moments at which each fault begins
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    samples: u64,
    /// Run one case only: BLOCK:INDEX:KIND, or BLOCK:INDEX:KIND:DISTANCE:CUT with a cut
    #[arg(long, value_name = "CASE", requires = "geometry", conflicts_with_all = ["samples", "campaign"])]
    case: Option<Case>,
    /// Keep what each block gave in a file, a line each, and do not repeat what is there
    #[arg(long, value_name = "FILE")]
    campaign: Option<PathBuf>,
    #[command(flatten)]
    json: JsonOption,
}

impl MatrixCommand {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        self.json.refuse_unwritable()?;
        let kept = self.campaign.as_deref().map_or_else(|| Ok(Vec::new()), recorded)?;
        let chips = GEOMETRIES.iter().filter(|chip| self.geometry.is_none_or(|geometry| geometry == *chip));
        let matrices: Vec<Matrix> = chips.map(|chip| self.matrix(chip)).collect::<Result<_, _>>()?;
        let blocks = match &self.case {
            Some(case) => vec![run_one(&matrices, case)?],
            None => run_all(&matrices, kept, self.campaign.as_deref())?,
        };
        let report = Report::of(&matrices, &blocks);
        if output.json(self.json.target(), &report)? {
            for line in lines(&report) {
                output.line(&line)?;
            }
        }
        let (Some(replay), Some(what)) = (&report.tally.replay, &report.what) else { return Ok(()) };
        Err(CliError::Violations(format!("{} violations; {what}; repeat with `{replay}`", report.tally.violations)))
    }

    fn matrix(&self, chip: &'static Geometry) -> Result<Matrix, CliError> {
        let matrix = Matrix::new(chip, self.seed, self.samples);
        matrix.map_err(|violation| CliError::Violations(format!("{}, undisturbed: {violation}", chip.name)))
    }
}

fn parse_geometry(name: &str) -> Result<&'static Geometry, String> {
    Geometry::named(name).ok_or_else(|| {
        let names: Vec<&str> = GEOMETRIES.iter().map(|geometry| geometry.name).collect();
        format!("one of {} is needed", names.join(", "))
    })
}

fn run_one(matrices: &[Matrix], case: &Case) -> Result<BlockReport, CliError> {
    let matrix = matrices.iter().find(|matrix| matrix.has(case)).ok_or_else(|| {
        let most = matrices.first().map_or((0, 0), |matrix| (matrix.geometry().blocks, matrix.operations()));
        CliError::Usage(format!("there is no case {case}: the chip has {} blocks, the run {} indexes", most.0, most.1))
    })?;
    Ok(matrix.run(case.block, &[*case]))
}

/// What a campaign has already.
fn recorded(path: &Path) -> Result<Vec<BlockReport>, CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::Bench(format!("{}: {error}", path.display()));
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|error| failed(&error))?,
    };
    let line = |(number, line)| {
        serde_json::from_str(line).map_err(|error| failed(&format_args!("line {}: {error}", number + 1)))
    };
    text.lines().enumerate().map(line).collect()
}

/// Runs on all cores what was not kept, and keeps it.
fn run_all(matrices: &[Matrix], kept: Vec<BlockReport>, keep: Option<&Path>) -> Result<Vec<BlockReport>, CliError> {
    let of = |matrix: &Matrix, block: u32| kept.iter().find(|kept| kept.is_of(matrix, block)).cloned();
    let jobs: Vec<(&Matrix, u32)> =
        matrices.iter().flat_map(|matrix| (0..matrix.geometry().blocks).map(move |block| (matrix, block))).collect();
    let bar = ProgressBar::new(jobs.len() as u64);
    bar.set_style(style("{bar:30} {pos}/{len} blocks, {msg} violations"));
    let violations = Mutex::new(0);
    let blocks = parallel::run(&jobs, |(matrix, block)| {
        let report = match of(matrix, *block) {
            Some(kept) => kept,
            None => {
                let report = matrix.run(*block, &matrix.cases(*block));
                append(keep, &violations, &report)?;
                report
            }
        };
        bar.inc(1);
        if let Ok(mut violations) = violations.lock() {
            *violations += report.tally.violations;
            bar.set_message(violations.to_string());
        }
        Ok(report)
    });
    bar.finish_and_clear();
    blocks.into_iter().collect()
}

/// Adds a line to what is kept; the lock keeps lines apart.
fn append(keep: Option<&Path>, lock: &Mutex<u64>, report: &BlockReport) -> Result<(), CliError> {
    let Some(path) = keep else { return Ok(()) };
    let failed = |error: &dyn std::fmt::Display| CliError::Bench(format!("{}: {error}", path.display()));
    let line = serde_json::to_string(report).map_err(|error| failed(&error))?;
    let _lock = lock.lock();
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| failed(&error))?;
    writeln!(file, "{line}").map_err(|error| failed(&error))
}

fn lines(report: &Report) -> Vec<String> {
    let mut lines: Vec<String> = report
        .chips
        .iter()
        .map(|chip| {
            format!(
                "{}: {} blocks of {} pages of {} bytes of {}, {} programs and erases: {} cases in {} runs, {} violations",
                chip.geometry,
                chip.blocks,
                chip.pages_per_block,
                chip.page_size,
                chip.chip,
                chip.operations,
                chip.cases,
                chip.runs,
                chip.violations
            )
        })
        .collect();
    lines.push(format!(
        "lost content    {} times content, {} times a leaf, {} times the mount",
        report.tally.content_lost, report.tally.leaves_lost, report.tally.mounts_refused
    ));
    lines.extend(
        report.tally.violations_by_class.iter().map(|(class, count)| format!("VIOLATIONS      {class}: {count}")),
    );
    lines
}
