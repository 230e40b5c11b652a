//! `defragment`, `scrub` and `resize`: where on a chip things are.

use clap::Args;
use k7fs_sim::host::{Access, HostError, absolute};
use serde::Serialize;

use super::image::ImageArgument;
use super::output::JsonOption;
use super::{CliError, Output};

/// Put files together again that lie in pieces
///
/// Steps are commits of their own: a command that is killed leaves every file as it was. What snapshots share stays where
/// it is.
#[derive(Debug, Args)]
pub(super) struct Defragment {
    #[command(flatten)]
    image: ImageArgument,
    /// A file on the volume; without it all files
    #[arg(value_name = "PATH")]
    path: Option<String>,
}

impl Defragment {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let path = self.path.as_deref().map(absolute).transpose()?;
        let mut image = self.image.open(Access::Write)?;
        let written = image.with(|volume| {
            let shown = path.as_deref().unwrap_or("/");
            let cursor = match &path {
                Some(path) => volume.defragment(path),
                None => volume.defragment_all(),
            };
            let mut cursor = cursor.map_err(HostError::object(shown))?;
            let mut written = 0;
            while let Some(bytes) = volume.next_defragment(&mut cursor).map_err(HostError::object(shown))? {
                written += bytes;
            }
            Ok(written)
        })?;
        output.line(&format!("{written} bytes written again"))
    }
}

/// Read every page in use, and move what is in a block with a page that will soon be lost
///
/// For images of raw chips that have wrong bits. A command that is killed leaves every file as it was.
#[derive(Debug, Args)]
pub(super) struct Scrub {
    #[command(flatten)]
    image: ImageArgument,
    #[command(flatten)]
    json: JsonOption,
}

/// What a pass has found. The keys are part of the command's contract.
#[derive(Debug, Default, Serialize)]
struct ScrubReport {
    pages: u64,
    corrected_bits: u64,
    weak_blocks: u64,
    unreadable_pages: u64,
}

/// Pages of one step of scrubbing.
const SCRUB_PAGES: u32 = 1024;

impl Scrub {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        self.json.refuse_image(&self.image.image)?;
        let mut image = self.image.open(Access::Write)?;
        let report = image.with(|volume| {
            let mut report = ScrubReport::default();
            loop {
                let step = volume.scrub(SCRUB_PAGES).map_err(HostError::object("/"))?;
                report.pages += u64::from(step.pages);
                report.corrected_bits += u64::from(step.corrected_bits);
                report.weak_blocks += u64::from(step.weak_blocks);
                report.unreadable_pages += u64::from(step.unreadable_pages);
                if step.is_complete {
                    return Ok(report);
                }
            }
        })?;
        if output.json(self.json.target(), &report)? {
            output.line(&format!(
                "{} pages read, {} bits corrected, {} weak blocks moved, {} pages unreadable",
                report.pages, report.corrected_bits, report.weak_blocks, report.unreadable_pages
            ))?;
        }
        Ok(())
    }
}

/// Give a volume more blocks, or fewer, and its image with them
///
/// A command that is killed leaves the old size or the new.
#[derive(Debug, Args)]
pub(super) struct Resize {
    #[command(flatten)]
    image: ImageArgument,
    /// Bytes of the image, spare areas included, rounded down to whole blocks; K, M or G may follow
    #[arg(value_name = "SIZE", value_parser = parse_size)]
    size: u64,
}

impl Resize {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let blocks = self.image.open(Access::Write)?.resize(self.size)?;
        output.line(&format!("{blocks} blocks"))
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "a number of bytes is needed".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is too large".to_owned())
}
