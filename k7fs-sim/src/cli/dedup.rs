//! `dedup` and `cp`: content that is there once.

use clap::Args;
use k7fs_core::{ChunkSizes, DedupPolicy};
use k7fs_sim::host::{Access, merge_files};

use super::files::FromTo;
use super::image::ImageArgument;
use super::{CliError, Output};

/// What new content is compared with.
#[derive(Debug, Args)]
pub(super) struct DedupOptions {
    /// Refer to content that is there already instead of writing it: off, file, block or chunk
    #[arg(long, value_name = "POLICY", value_parser = ["off", "file", "block", "chunk"])]
    dedup: Option<String>,
    /// The shortest, average and longest chunk in bytes, instead of 16384,65536,262144
    #[arg(long, value_name = "MIN,AVERAGE,MAX", value_parser = parse_sizes, requires = "dedup")]
    chunk_sizes: Option<ChunkSizes>,
}

fn parse_sizes(text: &str) -> Result<ChunkSizes, String> {
    let sizes: Vec<u32> =
        text.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| "three numbers are needed")?;
    let [min, average, max] = sizes[..] else { return Err("three numbers are needed".to_owned()) };
    let sizes = ChunkSizes { min, average, max };
    sizes.check().map_err(|error| error.to_string())?;
    Ok(sizes)
}

impl DedupOptions {
    pub(super) fn policy(&self) -> Result<Option<DedupPolicy>, CliError> {
        let sizes = self.chunk_sizes.unwrap_or_default();
        let policy = self.dedup.as_deref().map(|name| match name {
            "file" => DedupPolicy::File,
            "block" => DedupPolicy::Block,
            "chunk" => DedupPolicy::Chunk(sizes),
            _ => DedupPolicy::Off,
        });
        if self.chunk_sizes.is_some() && !matches!(policy, Some(DedupPolicy::Chunk(_))) {
            return Err(CliError::Usage("--chunk-sizes goes with --dedup chunk".to_owned()));
        }
        Ok(policy)
    }
}

/// Let files with the same content share it
///
/// Each file is a commit of its own: what was done stays done when this is stopped.
#[derive(Debug, Args)]
pub(super) struct Dedup {
    #[command(flatten)]
    image: ImageArgument,
}

impl Dedup {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let mut image = self.image.open(Access::Write)?;
        #[expect(clippy::redundant_closure, reason = "the function alone is not general enough in its lifetimes")]
        let done = image.with(|volume| merge_files(volume))?;
        output.line(&format!("{} of {} files share content now, {} bytes", done.merged, done.files, done.bytes))
    }
}

/// Make a copy of a file that costs nothing until one of both is written to
#[derive(Debug, Args)]
pub(super) struct Cp {
    #[command(flatten)]
    paths: FromTo,
}

impl Cp {
    pub(super) fn run(self) -> Result<(), CliError> {
        self.paths.apply(|volume, from, to| volume.copy(from, to))
    }
}
