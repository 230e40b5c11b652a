//! `k7fs health`.

use std::path::Path;

use clap::Args;
use k7fs_core::{BadBlock, BadReason, Health};
use k7fs_sim::host::{Access, HostError};
use serde::Serialize;

use super::image::ImageArgument;
use super::output::JsonOption;
use super::{CliError, Output};

/// Tell how worn a volume's chip is: erase counts, bad blocks with the reason, what is left
///
/// Counts are the volume's own, from its format on.
#[derive(Debug, Args)]
pub(super) struct HealthCommand {
    /// Erases that the data sheet promises of a block: tells how many bytes can still be programmed
    #[arg(long, value_name = "ERASES", value_parser = clap::value_parser!(u32).range(1..))]
    endurance: Option<u32>,
    #[command(flatten)]
    image: ImageArgument,
    #[command(flatten)]
    json: JsonOption,
}

/// What `health` tells. The keys are part of the command's contract.
#[derive(Debug, Serialize)]
struct HealthReport {
    image: String,
    erase_count_min: u32,
    erase_count_mean: u32,
    erase_count_max: u32,
    good_blocks: u32,
    bad_blocks: Vec<BadBlockReport>,
    spare_blocks: u32,
    corrected_bits: u64,
    retried_reads: u64,
    /// `None` where nobody says what the chip endures.
    bytes_left: Option<u64>,
}

#[derive(Debug, Serialize)]
struct BadBlockReport {
    block: u32,
    reason: &'static str,
}

impl HealthCommand {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        self.json.refuse_image(&self.image.image)?;
        let mut image = self.image.open(Access::Read)?;
        let (health, bad) = image.with(|volume| {
            let health = volume.health().map_err(HostError::object("/"))?;
            let mut bad = Vec::new();
            let mut from = 0;
            while let Some(found) = volume.next_bad_block(from) {
                from = found.block.saturating_add(1);
                bad.push(found);
            }
            Ok((health, bad))
        })?;
        let report = HealthReport::new(&self.image.image, &health, &bad, self.endurance);
        if output.json(self.json.target(), &report)? {
            for line in report.lines() {
                output.line(&line)?;
            }
        }
        Ok(())
    }
}

impl HealthReport {
    fn new(image: &Path, health: &Health, bad: &[BadBlock], endurance: Option<u32>) -> Self {
        Self {
            image: image.display().to_string(),
            erase_count_min: health.erase_count_min,
            erase_count_mean: health.erase_count_mean,
            erase_count_max: health.erase_count_max,
            good_blocks: health.good_blocks,
            bad_blocks: bad.iter().map(|bad| BadBlockReport { block: bad.block, reason: name(bad.reason) }).collect(),
            spare_blocks: health.spare_blocks,
            corrected_bits: health.corrected_bits,
            retried_reads: health.retried_reads,
            bytes_left: endurance.map(|erases| health.bytes_left(erases)),
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "erases      {} least, {} mean, {} most, of {} good blocks",
                self.erase_count_min, self.erase_count_mean, self.erase_count_max, self.good_blocks
            ),
            format!("bad blocks  {}; {} more may go bad", self.bad_blocks.len(), self.spare_blocks),
        ];
        lines.extend(self.bad_blocks.iter().map(|bad| format!("            {}: {}", bad.block, bad.reason)));
        lines.push(format!("this mount  {} bits corrected, {} reads retried", self.corrected_bits, self.retried_reads));
        lines.extend(self.bytes_left.map(|bytes| format!("left        {bytes} bytes that can still be programmed")));
        lines
    }
}

fn name(reason: BadReason) -> &'static str {
    match reason {
        BadReason::Marked => "marked before the format",
        BadReason::Erase => "failed to erase",
        BadReason::Program => "failed to program",
        BadReason::Weak => "wrong bits right after it was programmed",
        _ => "reason unknown",
    }
}
