//! `mkfs`, `info` and `fsck`: what concerns a volume as a whole.

use std::path::PathBuf;

use clap::Args;
use k7fs_core::{CheckSummary, CodecId, FormatOptions, HashId, Usage};
use k7fs_sim::chip::ChipSpec;
use k7fs_sim::host::{Access, HostError, OpenImage, format_image, now};

use super::content::{parse_codec, parse_hash};
use super::dedup::DedupOptions;
use super::output::JsonOption;
use super::report::{CheckReport, InfoReport};
use super::{CliError, Output};

/// A chip by its name.
pub(super) fn chip(name: &str) -> Result<&'static ChipSpec, CliError> {
    ChipSpec::named(name).ok_or_else(|| HostError::UnknownChip { name: name.to_owned() }.into())
}

/// The image that a command works on.
#[derive(Debug, Args)]
pub(super) struct ImageArgument {
    /// The image file
    #[arg(value_name = "IMAGE")]
    pub(super) image: PathBuf,
    #[command(flatten)]
    pub(super) chip: ChipOption,
    #[command(flatten)]
    pub(super) index: IndexOption,
}

/// The index to work on.
#[derive(Debug, Args)]
pub(super) struct IndexOption {
    /// The index to work on, instead of the volume's default; `k7fs snap list` shows them
    #[arg(id = "index", long, value_name = "NAME")]
    pub(super) name: Option<String>,
}

/// The chip that an image is of.
#[derive(Debug, Args)]
pub(super) struct ChipOption {
    /// The chip that the image is of; must match the volume, whose signature tells it otherwise
    #[arg(id = "chip", long, value_name = "NAME")]
    name: Option<String>,
}

impl ChipOption {
    pub(super) fn spec(&self) -> Result<Option<&'static ChipSpec>, CliError> {
        self.name.as_deref().map(chip).transpose()
    }
}

impl ImageArgument {
    pub(super) fn open(&self, access: Access) -> Result<OpenImage, CliError> {
        let mut image = OpenImage::open(&self.image, access, self.chip.spec()?)?;
        image.choose_index(self.index.name.as_deref());
        Ok(image)
    }
}

/// Make an empty volume
///
/// An existing image of the same chip keeps its bad-block marks.
#[derive(Debug, Args)]
pub(super) struct Mkfs {
    /// The chip that the image is of; `k7fs chips` lists them
    #[arg(long, value_name = "NAME")]
    chip: String,
    /// Replace a volume or other data that the file holds, and allow a hash that finds accidents only
    #[arg(long)]
    force: bool,
    /// Bytes of a file's logical block: a power of two from 4 KiB to 32 MiB
    #[arg(long, value_name = "BYTES", alias = "logical-block-size")]
    block_size: Option<u32>,
    /// The hash of content: blake3-256, blake3-128, or xxh3-64, which needs --force
    #[arg(long, value_name = "HASH", value_parser = parse_hash, default_value = "blake3-256")]
    hash: HashId,
    /// Give all content a hash, which reads compare
    #[arg(long)]
    verified: bool,
    /// Compress content as it is written: store, zstd or lzma2
    #[arg(long, value_name = "CODEC", value_parser = parse_codec, default_value = "store")]
    codec: CodecId,
    #[command(flatten)]
    dedup: DedupOptions,
    /// The volume's id as 32 hexadecimal digits, instead of a random one
    #[arg(long, value_name = "HEX", value_parser = parse_volume_id)]
    volume_id: Option<VolumeId>,
    /// The image file
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
}

#[derive(Clone, Copy, Debug)]
struct VolumeId([u8; 16]);

fn parse_volume_id(text: &str) -> Result<VolumeId, String> {
    let mut id = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return Err("32 hexadecimal digits are needed".to_owned());
    }
    for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = str::from_utf8(digits).unwrap_or_default();
        *byte = u8::from_str_radix(digits, 16).map_err(|_| "not a hexadecimal digit".to_owned())?;
    }
    Ok(VolumeId(id))
}

impl Mkfs {
    pub(super) fn run(self) -> Result<(), CliError> {
        let chip = chip(&self.chip)?;
        let volume_id = match self.volume_id {
            Some(VolumeId(id)) => id,
            None => random_id()?,
        };
        let Self { hash, verified, codec, force, .. } = self;
        let mut options = FormatOptions {
            volume_id,
            time: now(),
            hash,
            verified,
            codec,
            force,
            all_codecs: true,
            dedup: self.dedup.policy()?.unwrap_or_default(),
            ..FormatOptions::default()
        };
        if let Some(size) = self.block_size {
            options.logical_block_size = size;
        }
        Ok(format_image(&self.image, chip, &options, self.force)?)
    }
}

fn random_id() -> Result<[u8; 16], CliError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| CliError::Usage(format!("no random numbers from this host: {error}")))?;
    Ok(id)
}

/// Tell what a volume is and how full it is
#[derive(Debug, Args)]
pub(super) struct Info {
    #[command(flatten)]
    image: ImageArgument,
    #[command(flatten)]
    json: JsonOption,
}

impl Info {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        self.json.refuse_image(&self.image.image)?;
        let mut image = self.image.open(Access::Read)?;
        let usage = image.with(|volume| volume.usage().map_err(HostError::object("/")))?;
        let report = InfoReport::new(&self.image.image, &image, &usage);
        if output.json(self.json.target(), &report)? {
            for line in report.lines() {
                output.line(&line)?;
            }
        }
        Ok(())
    }
}

/// Check a volume: read everything, change nothing
///
/// Exit code 0: clean; 1: faults found, each on a line of standard output; 2: the volume cannot be opened.
#[derive(Debug, Args)]
pub(super) struct Fsck {
    /// Compare all content with its hashes
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    image: ImageArgument,
    #[command(flatten)]
    json: JsonOption,
}

impl Fsck {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        self.json.refuse_image(&self.image.image)?;
        let (faults, summary, usage) = self.check()?;
        let report = CheckReport::new(&self.image.image, &faults, summary, &usage);
        if output.json(self.json.target(), &report)? {
            for line in report.lines() {
                output.line(&line)?;
            }
        }
        if report.is_clean() {
            return Ok(());
        }
        Err(CliError::Faults { image: self.image.image, count: report.fault_count() })
    }

    /// Everything that keeps the check from running is a reason for exit code 2.
    fn check(&self) -> Result<(Vec<k7fs_core::Fault>, CheckSummary, Usage), CliError> {
        let spec = self.image.chip.spec()?;
        let checked = OpenImage::open(&self.image.image, Access::Read, spec).and_then(|mut image| {
            image.with(|volume| {
                let mut faults = Vec::new();
                let failed = HostError::volume(&self.image.image);
                let mut note = |fault| faults.push(fault);
                let summary = if self.deep { volume.check_deep(&mut note) } else { volume.check(&mut note) };
                let summary = summary.map_err(failed)?;
                let usage = volume.usage().map_err(HostError::volume(&self.image.image))?;
                Ok((faults, summary, usage))
            })
        });
        checked.map_err(CliError::CannotOpen)
    }
}
