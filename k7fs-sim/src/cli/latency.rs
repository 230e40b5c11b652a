//! `k7fs latency`.

use clap::Args;
use indicatif::ProgressBar;
use k7fs_sim::latency::{self, Report};

use super::image::chip;
use super::output::JsonOption;
use super::{CliError, Output};

/// Tell how long single calls take on a volume that has been in use, in the chip's time
///
/// Workloads W2 to W5 at 50 and 90 % full, with and without `maintain` in idle time. A sync is a call of its own.
#[derive(Debug, Args)]
pub(super) struct Latency {
    /// The chip
    #[arg(long, value_name = "NAME", default_value = "W25Q128JV")]
    chip: String,
    /// The seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    json: JsonOption,
}

impl Latency {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let spec = chip(&self.chip)?;
        self.json.refuse_unwritable()?;
        let bar = ProgressBar::new_spinner();
        let report = latency::run(spec, self.seed, |workload, fill| {
            bar.set_message(format!("{workload} at {fill} %"));
            bar.tick();
        });
        bar.finish_and_clear();
        let report = report.map_err(|error| CliError::Bench(format!("{}: {error}", spec.name)))?;
        if output.json(self.json.target(), &report)? {
            for line in lines(&report) {
                output.line(&line)?;
            }
        }
        Ok(())
    }
}

fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![
        format!("{}: device time of a call in ms, and the most erases and further pages that one took", report.chip),
        "workload     full  idle time    median    99.9 %   longest  erases  pages".to_owned(),
    ];
    lines.extend(report.rows.iter().map(|row| {
        format!(
            "{:<11} {:>3} %  {:<9} {:>9.3} {:>9.2} {:>9.2} {:>7} {:>6}",
            row.workload,
            row.fill_percent,
            if row.maintained { "used" } else { "none" },
            row.median_ms,
            row.p999_ms,
            row.max_ms,
            row.max_erases_per_call,
            row.max_programs_per_call
        )
    }));
    lines
}
