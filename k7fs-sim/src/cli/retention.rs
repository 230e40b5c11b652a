//! `k7fs retention`.

use clap::Args;
use indicatif::ProgressBar;
use k7fs_sim::retention::{self, Options, RATED_YEARS, Retention};

use super::image::chip;
use super::output::JsonOption;
use super::{CliError, Output};

/// Let years pass over a volume on a worn chip, and tell how many of its pages are lost
///
/// The chip's blocks have been erased as often as it endures. Content fades with the years, and with reads; what has faded stays wrong
/// until it is programmed anew.
#[derive(Debug, Args)]
pub(super) struct RetentionCommand {
    /// The chip
    #[arg(long, value_name = "NAME")]
    chip: String,
    /// Years that pass
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    years: u32,
    /// Do not scrub: the device is off all the time
    #[arg(long)]
    no_scrub: bool,
    /// Passes of scrubbing in a year
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=365))]
    passes: u32,
    /// Share of the bits that is wrong after ten years; what the chip's maker says of the end of its life, where this is not given
    #[arg(long, value_name = "P", value_parser = parse_rate)]
    rber: Option<f64>,
    /// How often every block is read in a year: each time disturbs one bit in 10^9
    #[arg(long, value_name = "N", default_value_t = 0)]
    reads: u64,
    /// The seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    json: JsonOption,
}

impl RetentionCommand {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let spec = chip(&self.chip)?;
        self.json.refuse_unwritable()?;
        let options = Options {
            spec,
            seed: self.seed,
            years: self.years,
            passes_per_year: if self.no_scrub { 0 } else { self.passes },
            bit_error_rate: self.rber.unwrap_or_else(|| spec.rated_bit_error_rate()),
            reads_per_year: self.reads as f64,
        };
        let bar = ProgressBar::new_spinner();
        let found = retention::run(&options, |years| {
            bar.set_message(format!("{years:.1} years"));
            bar.tick();
        });
        bar.finish_and_clear();
        let found = found.map_err(|error| CliError::Wear(format!("{}: {error}", spec.name)))?;
        if output.json(self.json.target(), &found)? {
            output.line(&line(&found))?;
        }
        Ok(())
    }
}

fn line(found: &Retention) -> String {
    let scrubbing = match found.passes_per_year {
        0 => "not scrubbed".to_owned(),
        passes => format!(
            "scrubbed {passes} times a year, {} weak blocks moved, {} pages programmed",
            found.weak_blocks, found.programmed
        ),
    };
    format!(
        "{}: {} years, {:.1e} of the bits wrong after {RATED_YEARS} years, {scrubbing}: {} of {} pages lost, {} wrong files",
        found.chip, found.years, found.bit_error_rate, found.lost, found.pages, found.wrong_files
    )
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "a number is needed".to_owned())?;
    if (0.0..=0.03).contains(&rate) { Ok(rate) } else { Err("a share from 0 to 0.03 is needed".to_owned()) }
}
