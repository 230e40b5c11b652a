//! `k7fs bench`.

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use k7fs_sim::bench::{self, MountCost, MountPoint, Options, Phase, Report, Subject, Workload};

use super::image::chip;
use super::output::JsonOption;
use super::{CliError, Output};

/// Measure workloads in device time on simulated chips, and what the time goes to
///
/// Device time is the chip's own, by one timing model: the host's speed does not matter, and a seed gives the same
/// figures everywhere.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// The chip, or `all` for every preset; without it the reference chips
    #[arg(long, value_name = "NAME")]
    chip: Option<String>,
    /// The workload
    #[arg(long, value_name = "NAME", value_enum, ignore_case = true, default_value_t = WorkloadName::All)]
    workload: WorkloadName,
    /// The seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Pages kept in memory, beyond those of the smallest buffer
    #[arg(long, value_name = "PAGES", default_value_t = 0)]
    cache: u16,
    /// Say for each workload what bytes, programs and reads were for
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WorkloadName {
    W1,
    W2,
    W3,
    W4,
    W5,
    W6,
    Mount,
    Snap,
    Claims,
    All,
}

impl WorkloadName {
    fn workloads(self) -> Vec<Workload> {
        match self {
            Self::W1 => vec![Workload::W1],
            Self::W2 => vec![Workload::W2],
            Self::W3 => vec![Workload::W3],
            Self::W4 => vec![Workload::W4],
            Self::W5 => vec![Workload::W5],
            Self::W6 => vec![Workload::W6],
            Self::Mount => vec![Workload::Mount],
            Self::Snap => vec![Workload::Snap],
            Self::Claims => vec![Workload::Claims],
            Self::All => Workload::ALL.to_vec(),
        }
    }
}

impl Bench {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let mut subjects = match self.chip.as_deref() {
            None => Subject::reference(),
            Some(name) if name.eq_ignore_ascii_case("all") => {
                k7fs_sim::chip::ChipSpec::all().iter().flat_map(Subject::layouts_of).collect()
            }
            Some(name) => Subject::layouts_of(chip(name)?),
        };
        self.json.refuse_unwritable()?;
        for subject in &mut subjects {
            subject.cache_pages = self.cache.into();
        }
        let options = Options { subjects, workloads: self.workload.workloads(), seed: self.seed };
        let bar = ProgressBar::new_spinner();
        let report = bench::run(&options, |subject, workload| {
            bar.set_message(format!("{} {workload:?}", subject.spec.name));
            bar.tick();
        });
        bar.finish_and_clear();
        let report = report.map_err(|error| CliError::Bench(error.to_string()))?;
        if output.json(self.json.target(), &report)? {
            tables(&report, self.profile, output)?;
        }
        if report.is_whole() { Ok(()) } else { Err(CliError::Bench("a workload did not end well".to_owned())) }
    }
}

fn tables(report: &Report, profile: bool, output: &mut Output) -> Result<(), CliError> {
    if !report.phases.is_empty() {
        output.line(
            "chip       block  workload                       mean ms    max ms   total ms  target   WA/bus   \
             reads  programs  erases  read/program/erase ms",
        )?;
    }
    for phase in &report.phases {
        output.line(&phase_line(phase))?;
        if profile {
            profile_lines(phase, output)?;
        }
        if let Some(failure) = &phase.failure {
            output.line(&format!("    FAILED {failure}"))?;
        }
    }
    if !report.mounts.is_empty() {
        output.line(
            "chip       block  mount              % full       ms   max ms  target  pages read  programs  erases",
        )?;
    }
    for mount in &report.mounts {
        output.line(&mount_line(mount))?;
        if let Some(failure) = &mount.failure {
            output.line(&format!("    FAILED {failure}"))?;
        }
    }
    Ok(())
}

fn phase_line(phase: &Phase) -> String {
    let target = match (phase.target_ms, phase.meets_target()) {
        (Some(target), Some(true)) => format!("{target:.1} ok"),
        (Some(target), _) => format!("{target:.1} NO"),
        (None, _) => "-".to_owned(),
    };
    let ratio = phase.write_amplification.or(phase.bus_ratio).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
    format!(
        "{:<10} {:>3}K  {:<4} {:<24} {:>9.4} {:>9.3} {:>10.1}  {:>8} {:>7} {:>7}  {:>8}  {:>6}  {:.1}/{:.1}/{:.1}",
        phase.chip,
        phase.block_size / 1024,
        phase.workload,
        phase.operation,
        phase.mean_ms,
        phase.max_ms,
        phase.total_ms,
        target,
        ratio,
        phase.pages_read,
        phase.programs,
        phase.erases,
        phase.read_ms,
        phase.program_ms,
        phase.erase_ms,
    )
}

fn profile_lines(phase: &Phase, output: &mut Output) -> Result<(), CliError> {
    let list = |items: Vec<String>| items.join(", ");
    let programs = list(phase.programs_by_use.iter().map(|(name, count)| format!("{name} {count}")).collect());
    let bytes = list(phase.bytes_by_use.iter().map(|(name, count)| format!("{name} {count}")).collect());
    let reads = list(phase.read_ms_by_use.iter().map(|(name, time)| format!("{name} {time:.2}")).collect());
    output.line(&format!("    programs: {programs}"))?;
    output.line(&format!("    bytes: {bytes}"))?;
    output.line(&format!("    read ms: {reads}"))?;
    let longest = phase.longest;
    output.line(&format!(
        "    longest: {} pages read, {} programs, {} erases",
        longest.pages_read, longest.programs, longest.erases
    ))
}

fn mount_line(mount: &MountCost) -> String {
    let after = match mount.after {
        MountPoint::Clean => "clean".to_owned(),
        MountPoint::Cut { synced_writes } => format!("cut, {synced_writes}+ syncs"),
    };
    let target = mount
        .target_ms
        .map_or("-".to_owned(), |target| format!("{target:.1} {}", if mount.ms_max <= target { "ok" } else { "NO" }));
    format!(
        "{:<10} {:>3}K  {:<17} {:>6}  {:>7.3}  {:>7.3}  {:>6}  {:>10}  {:>8}  {:>6}",
        mount.chip,
        mount.block_size / 1024,
        after,
        mount.percent_full,
        mount.ms,
        mount.ms_max,
        target,
        mount.pages_read,
        mount.programs,
        mount.erases,
    )
}
