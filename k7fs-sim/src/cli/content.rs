//! `status` and `recompress`: how content is stored.

use clap::Args;
use k7fs_core::{CodecId, ContentCursor, HashId, Kind, Recompressed};
use k7fs_sim::host::{Access, HostError, IndexReport, absolute, indexes, walk};
use serde::Serialize;

use super::image::ImageArgument;
use super::output::JsonOption;
use super::{CliError, Output};

/// A codec by its name.
pub(super) fn parse_codec(text: &str) -> Result<CodecId, String> {
    let found = CodecId::ALL.into_iter().find(|codec| codec.name() == text);
    found.ok_or_else(|| "not one of store, zstd, lzma2".to_owned())
}

/// A codec by its name, or the volume's.
fn parse_choice(text: &str) -> Result<Choice, String> {
    match text {
        "default" => Ok(Choice(None)),
        _ => parse_codec(text).map(|codec| Choice(Some(codec))).map_err(|error| format!("{error}, default")),
    }
}

/// What is chosen for an object; `None` for what the volume has.
#[derive(Clone, Copy, Debug)]
struct Choice(Option<CodecId>);

/// A content hash by its name.
pub(super) fn parse_hash(text: &str) -> Result<HashId, String> {
    let all = [HashId::Blake3x256, HashId::Blake3x128, HashId::Xxh3x64];
    let found = all.into_iter().find(|hash| hash.name() == text);
    found.ok_or_else(|| "not one of blake3-256, blake3-128, xxh3-64".to_owned())
}

/// Tell how much content a volume has and what it takes
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    image: ImageArgument,
    #[command(flatten)]
    json: JsonOption,
}

/// The keys are part of the command's contract.
#[derive(Debug, Serialize)]
struct StatusReport {
    logical_bytes: u64,
    physical_bytes: u64,
    unique_blocks: u64,
    blocks: u64,
    dedup_ratio: f64,
    compressed_blocks: u64,
    stored_bytes: u64,
    compression_ratio: f64,
    hash: &'static str,
    verified: bool,
    codec: &'static str,
    dedup: &'static str,
    indexes: Vec<IndexReport>,
}

/// Of two sums of bytes, to three places.
fn ratio(of: u64, to: u64) -> f64 {
    let ratio = if to == 0 { 1.0 } else { of as f64 / to as f64 };
    (ratio * 1000.0).round() / 1000.0
}

impl Status {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        self.json.refuse_image(&self.image.image)?;
        let mut image = self.image.open(Access::Read)?;
        let report = image.with(|volume| {
            let status = volume.content_status().map_err(HostError::object("/"))?;
            let info = volume.info();
            Ok(StatusReport {
                logical_bytes: status.logical_bytes,
                physical_bytes: status.physical_bytes,
                unique_blocks: status.unique_blocks,
                blocks: status.blocks,
                dedup_ratio: ratio(status.logical_bytes, status.plain_bytes),
                compressed_blocks: status.compressed_blocks,
                stored_bytes: status.stored_bytes,
                compression_ratio: ratio(status.plain_bytes, status.stored_bytes),
                hash: info.hash.name(),
                verified: info.verified,
                codec: info.codec.name(),
                dedup: info.dedup.name(),
                indexes: indexes(volume)?,
            })
        })?;
        if output.json(self.json.target(), &report)? {
            report.print(output)?;
        }
        Ok(())
    }
}

impl StatusReport {
    fn print(&self, output: &mut Output) -> Result<(), CliError> {
        output.line(&format!("logical      {} bytes in {} blocks", self.logical_bytes, self.blocks))?;
        output.line(&format!("physical     {} bytes", self.physical_bytes))?;
        let shared = format!("{} ({} blocks stored, {})", self.dedup_ratio, self.unique_blocks, self.dedup);
        output.line(&format!("dedup        {shared}"))?;
        let packed = format!("{} ({} blocks, {})", self.compression_ratio, self.compressed_blocks, self.codec);
        output.line(&format!("compression  {packed}"))?;
        let verified = if self.verified { "all content" } else { "compressed content and chunks" };
        output.line(&format!("hash         {}, of {verified}", self.hash))?;
        for index in &self.indexes {
            output.line(&format!("index        {}: {} bytes that no other has", index.name, index.exclusive_bytes))?;
        }
        Ok(())
    }
}

/// Pack content anew with a codec, wherever that takes less space
///
/// Each logical block is a commit of its own: what was done stays done when this is stopped.
#[derive(Debug, Args)]
pub(super) struct Recompress {
    /// store, zstd or lzma2
    #[arg(long, value_name = "CODEC", value_parser = parse_codec)]
    codec: CodecId,
    #[command(flatten)]
    image: ImageArgument,
    /// A file, or a directory with all below it; everything without one. A codec chosen for a file wins over the one given here,
    /// unless the file itself is named
    #[arg(value_name = "PATH")]
    path: Option<String>,
}

impl Recompress {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let path = self.path.as_deref().map(absolute).transpose()?;
        let mut image = self.image.open(Access::Write)?;
        let done = image.with(|volume| {
            let mut done = Recompressed::default();
            let Some(path) = path else {
                let mut cursor = ContentCursor::default();
                while volume.recompress_step(&mut cursor, self.codec, &mut done).map_err(HostError::object("/"))? {}
                return Ok(done);
            };
            let metadata = volume.metadata(&path).map_err(HostError::object(&path))?;
            let files = if metadata.kind == Kind::Directory {
                let entries = walk(volume, &path)?.into_iter();
                let files = entries.filter(|entry| entry.metadata.kind == Kind::File);
                files.map(|entry| (entry.path, entry.metadata.codec.unwrap_or(self.codec))).collect()
            } else {
                vec![(path, self.codec)]
            };
            for (file, codec) in files {
                let one = volume.recompress(&file, codec).map_err(HostError::object(&file))?;
                done.blocks += one.blocks;
                done.rewritten += one.rewritten;
                done.skipped += one.skipped;
            }
            Ok(done)
        })?;
        output.line(&format!("{} of {} blocks packed anew, {} skipped", done.rewritten, done.blocks, done.skipped))
    }
}

/// Tell what a file's new content is compressed with, or choose it
///
/// A directory's choice is that of what is created in it from then on. What is there already is left for `recompress`.
#[derive(Debug, Args)]
pub(super) struct Codec {
    #[command(flatten)]
    image: ImageArgument,
    /// A file or directory on the volume
    #[arg(value_name = "PATH")]
    path: String,
    /// store, zstd or lzma2; default for what the volume has
    #[arg(value_name = "CODEC", value_parser = parse_choice)]
    codec: Option<Choice>,
}

impl Codec {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let path = absolute(&self.path)?;
        let access = if self.codec.is_some() { Access::Write } else { Access::Read };
        let mut image = self.image.open(access)?;
        let found = image.with(|volume| {
            if let Some(Choice(codec)) = self.codec {
                volume.choose_codec(&path, codec).map_err(HostError::object(&path))?;
            }
            volume.metadata(&path).map_err(HostError::object(&path))
        })?;
        if self.codec.is_some() {
            return Ok(());
        }
        output.line(found.codec.map_or("default", CodecId::name))
    }
}
