//! `mkfs`, `info` and `fsck`: what concerns a volume as a whole.

use std::path::PathBuf;

use clap::Args;
use k7fs_core::{CheckSummary, CodecId, FormatOptions, HashId, Key, Usage};
use k7fs_sim::chip::ChipSpec;
use k7fs_sim::host::{Access, HostError, OpenImage, Opening, format_image, now};

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
    pub(super) opening: OpeningOptions,
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

/// How an image is opened.
#[derive(Debug, Args)]
pub(super) struct OpeningOptions {
    /// The chip that the image is of; must match the volume, whose signature tells it otherwise
    #[arg(id = "chip", long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    key: KeyOption,
    /// Refuse the volume where its last commit has a lower number; `k7fs info` tells it
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    commit_min: u64,
    /// Where what was committed last cannot be read, open the newest state that can; a command that writes makes it the volume's
    #[arg(long)]
    go_back: bool,
}

impl OpeningOptions {
    pub(super) fn get(&self) -> Result<Opening<'static>, CliError> {
        let chip = self.name.as_deref().map(chip).transpose()?;
        Ok(Opening { chip, key: self.key.read()?, commit_min: self.commit_min, may_go_back: self.go_back })
    }
}

/// The key of an authenticated volume.
#[derive(Debug, Args)]
pub(super) struct KeyOption {
    /// The file with the key of an authenticated volume: 32 bytes, or 64 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl KeyOption {
    fn read(&self) -> Result<Option<Key>, CliError> {
        let Some(path) = &self.key_file else { return Ok(None) };
        let bytes = std::fs::read(path).map_err(HostError::io(path))?;
        let key = <[u8; Key::BYTES]>::try_from(&bytes[..]).ok();
        let key = key.or_else(|| parse_hexadecimal(str::from_utf8(&bytes).ok()?.trim_end()));
        match key {
            Some(key) => Ok(Some(Key::new(key))),
            None => Err(HostError::NotAKey { file: path.clone() }.into()),
        }
    }
}

/// Bytes of twice as many hexadecimal digits.
fn parse_hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

impl ImageArgument {
    pub(super) fn open(&self, access: Access) -> Result<OpenImage, CliError> {
        let mut image = OpenImage::open(&self.image, access, &self.opening.get()?)?;
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
    /// Make the volume an authenticated one: whoever changes it without this key is found out
    #[command(flatten)]
    key: KeyOption,
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
    parse_hexadecimal(text).map(VolumeId).ok_or_else(|| "32 hexadecimal digits are needed".to_owned())
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
            key: self.key.read()?,
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
        let (usage, health, last_commit) = image.with(|volume| {
            let usage = volume.usage().map_err(HostError::object("/"))?;
            Ok((usage, volume.health().map_err(HostError::object("/"))?, volume.last_commit()))
        })?;
        let report = InfoReport::new(&self.image.image, &image, &usage, &health, last_commit);
        if output.json(self.json.target(), &report)? {
            for line in report.lines() {
                output.line(&line)?;
            }
        }
        Ok(())
    }
}

/// What a check has found.
pub(super) struct Checked {
    pub(super) faults: Vec<k7fs_core::Fault>,
    pub(super) summary: CheckSummary,
    pub(super) usage: Usage,
    /// Of the index worked on, where all of it could be read.
    pub(super) root_hash: Option<[u8; 32]>,
}

/// Check a volume: read everything, change nothing
///
/// Exit code 0: clean; 1: faults found, each on a line of standard output; 2: the volume cannot be opened.
#[derive(Debug, Args)]
pub(super) struct Fsck {
    /// Compare all content with its hashes, and tell the root hash of the index
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
        let checked = self.check()?;
        let report = CheckReport::new(&self.image.image, &checked);
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
    fn check(&self) -> Result<Checked, CliError> {
        let opening = self.image.opening.get()?;
        let checked = OpenImage::open(&self.image.image, Access::Read, &opening).and_then(|mut image| {
            image.choose_index(self.image.index.name.as_deref());
            image.with(|volume| {
                let mut faults = Vec::new();
                let failed = HostError::volume(&self.image.image);
                let mut note = |fault| faults.push(fault);
                let summary = if self.deep { volume.check_deep(&mut note) } else { volume.check(&mut note) };
                let summary = summary.map_err(failed)?;
                let usage = volume.usage().map_err(HostError::volume(&self.image.image))?;
                // What cannot be read is among the faults already.
                let root_hash = if self.deep { volume.root_hash().ok() } else { None };
                Ok(Checked { faults, summary, usage, root_hash })
            })
        });
        checked.map_err(CliError::CannotOpen)
    }
}
