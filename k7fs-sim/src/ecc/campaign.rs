//! Measurements kept as files: one line of JSON for each stretch of frames.
//!
//! A directory has one file per layout. A run continues where the file ends, so that hours of measuring may come in
//! parts and on different machines. Each line says by which code it was measured; lines of another code are refused,
//! since frames of different decoders must never be added up.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use k7fs_core::ecc::{Layout, Tier};
use serde::{Deserialize, Serialize};

use super::fingerprint::fingerprint;
use super::frame::Channel;
use super::rates::Losses;
use super::tally::Tally;

/// One stretch of frames. As JSON its keys are the format of the campaign files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The layout's name.
    layout: String,
    /// The tier's name.
    tier: String,
    /// Wrong bits in each frame; `null` where `rber` says how bits get wrong.
    errors: Option<usize>,
    /// Bit error rate.
    rber: Option<f64>,
    /// The seed of the frames.
    seed: u64,
    /// The number of the first frame; the others follow it.
    first: u64,
    /// What became of them.
    tally: Tally,
    /// The fingerprint of the code and decoder.
    code: String,
}

/// What was measured of one layout.
#[derive(Clone, Debug)]
pub struct Campaign {
    layout: Layout,
    /// Where it is kept, unless only in memory.
    path: Option<PathBuf>,
    /// Ascending by tier, channel, seed and first frame; stretches that touch are one.
    stretches: Vec<Stretch>,
}

/// A stretch of frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// The tier that decoded them.
    pub tier: Tier,
    /// How bits got wrong.
    pub channel: Channel,
    /// Their seed.
    pub seed: u64,
    /// The number of the first.
    pub first: u64,
    /// What became of them.
    pub tally: Tally,
}

/// Why a campaign cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum CampaignError {
    /// The file or its directory.
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A line is not what a campaign writes.
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// Measured with another code or decoder.
    OtherCode {
        /// The file.
        path: PathBuf,
        /// The fingerprint in the file.
        recorded: String,
        /// The fingerprint of this program's code.
        current: String,
    },
    /// The same frames twice: adding them up would count them twice.
    Overlap {
        /// The file.
        path: PathBuf,
        /// Which frames.
        what: String,
    },
}

impl std::fmt::Display for CampaignError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Line { path, line, what } => write!(f, "{}, line {line}: {what}", path.display()),
            Self::OtherCode { path, recorded, current } => write!(
                f,
                "{}: measured with code {recorded}, this is {current}; frames of different codes are not mixed",
                path.display()
            ),
            Self::Overlap { path, what } => write!(f, "{}: the same frames twice: {what}", path.display()),
        }
    }
}

impl std::error::Error for CampaignError {}

impl Campaign {
    /// A campaign that is kept in memory only.
    pub fn in_memory(layout: Layout) -> Self {
        Self { layout, path: None, stretches: Vec::new() }
    }

    /// The campaign of `layout` in `directory`, which is made where it is missing.
    ///
    /// # Errors
    /// [`CampaignError`] where the file cannot be read or does not belong to this code.
    pub fn open(directory: &Path, layout: Layout) -> Result<Self, CampaignError> {
        let failed = |path: &Path, error| CampaignError::Io { path: path.to_path_buf(), error };
        std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
        Self::load(directory, layout)
    }

    /// The same without making anything: where there is no file, nothing was measured.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn load(directory: &Path, layout: Layout) -> Result<Self, CampaignError> {
        let path = directory.join(format!("{}.jsonl", layout.name()));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(CampaignError::Io { path, error }),
        };
        let mut campaign = Self::parse(layout, &text, &path)?;
        campaign.path = Some(path);
        Ok(campaign)
    }

    /// A campaign from the text of its file; `path` is for messages.
    ///
    /// # Errors
    /// [`CampaignError`] where the text does not belong to this layout and code.
    pub fn parse(layout: Layout, text: &str, path: &Path) -> Result<Self, CampaignError> {
        let mut campaign = Self::in_memory(layout);
        let code = if text.is_empty() { String::new() } else { fingerprint(layout) };
        for (index, line) in text.lines().enumerate() {
            let wrong = |what| CampaignError::Line { path: path.to_path_buf(), line: index + 1, what };
            let record: Record = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            if record.code != code {
                let (recorded, current) = (record.code, code);
                return Err(CampaignError::OtherCode { path: path.to_path_buf(), recorded, current });
            }
            campaign.stretches.push(record.stretch(layout).map_err(wrong)?);
        }
        match campaign.tidy() {
            Ok(()) => Ok(campaign),
            Err(what) => Err(CampaignError::Overlap { path: path.to_path_buf(), what }),
        }
    }

    /// The layout.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Everything measured.
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// Where the next frames of this kind start.
    pub fn next_frame(&self, tier: Tier, channel: Channel, seed: u64) -> u64 {
        let same = |stretch: &&Stretch| (stretch.tier, stretch.channel, stretch.seed) == (tier, channel, seed);
        let ends = self.stretches.iter().filter(same).map(|stretch| stretch.first + stretch.tally.frames);
        ends.max().unwrap_or(0)
    }

    /// Adds frames that start at [`next_frame`](Self::next_frame).
    pub fn add(&mut self, stretch: Stretch) {
        self.stretches.push(stretch);
        // Frames that follow the last ones cannot overlap.
        let _ = self.tidy();
    }

    /// Losses by number of wrong bits.
    pub fn losses(&self, tier: Tier) -> Losses {
        let mut losses = Losses::default();
        for stretch in self.stretches.iter().filter(|stretch| stretch.tier == tier) {
            if let Channel::Errors(errors) = stretch.channel {
                losses.add(errors, &stretch.tally);
            }
        }
        losses
    }

    /// What became of all frames of one tier and channel, or of all where `None`.
    pub fn tally(&self, of: Option<(Tier, Channel)>) -> Tally {
        let mut tally = Tally::default();
        for stretch in &self.stretches {
            if of.is_none_or(|of| of == (stretch.tier, stretch.channel)) {
                tally.add(&stretch.tally);
            }
        }
        tally
    }

    /// Writes the file anew, in one step: whoever reads it sees all of the old or all of the new.
    ///
    /// # Errors
    /// [`CampaignError::Io`]; the old file is then still there.
    pub fn save(&self) -> Result<(), CampaignError> {
        let Some(path) = &self.path else { return Ok(()) };
        let failed = |error| CampaignError::Io { path: path.clone(), error };
        let mut text = String::new();
        let code = fingerprint(self.layout);
        for stretch in &self.stretches {
            let record = Record::new(self.layout, &code, stretch);
            text.push_str(&serde_json::to_string(&record).map_err(|error| failed(error.into()))?);
            text.push('\n');
        }
        let new = path.with_extension("jsonl.new");
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path)).map_err(failed)
    }

    /// Sorts, and joins stretches that touch. Says which overlap.
    fn tidy(&mut self) -> Result<(), String> {
        self.stretches.sort_by_key(|stretch| (stretch.tier, sort_key(stretch.channel), stretch.seed, stretch.first));
        let mut joined: Vec<Stretch> = Vec::new();
        for stretch in self.stretches.drain(..) {
            match joined.last_mut() {
                Some(last) if (last.tier, last.channel, last.seed) == (stretch.tier, stretch.channel, stretch.seed) => {
                    let end = last.first + last.tally.frames;
                    if end > stretch.first {
                        return Err(format!(
                            "{:?} with seed {}, frame {}",
                            stretch.channel, stretch.seed, stretch.first
                        ));
                    }
                    if end == stretch.first {
                        last.tally.add(&stretch.tally);
                    } else {
                        joined.push(stretch);
                    }
                }
                _ => joined.push(stretch),
            }
        }
        self.stretches = joined;
        Ok(())
    }
}

/// Held while a campaign is added to, so that two runs do not measure the same frames and lose each other's.
#[derive(Debug)]
pub struct CampaignLock {
    path: PathBuf,
    _file: File,
}

impl CampaignLock {
    /// Takes the lock of a directory, which is made where it is missing; `None` where another run holds it.
    ///
    /// # Errors
    /// [`CampaignError::Io`].
    pub fn take(directory: &Path) -> Result<Option<Self>, CampaignError> {
        let path = directory.join("lock");
        let failed = |error| CampaignError::Io { path: path.clone(), error };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path, _file: file })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

impl Drop for CampaignLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Record {
    fn new(layout: Layout, code: &str, stretch: &Stretch) -> Self {
        let (errors, rber) = match stretch.channel {
            Channel::Errors(errors) => (Some(errors), None),
            Channel::Rate(rate) => (None, Some(rate)),
        };
        Self {
            layout: layout.name().to_owned(),
            tier: stretch.tier.name().to_owned(),
            errors,
            rber,
            seed: stretch.seed,
            first: stretch.first,
            tally: stretch.tally.clone(),
            code: code.to_owned(),
        }
    }

    fn stretch(self, layout: Layout) -> Result<Stretch, String> {
        if self.layout != layout.name() {
            return Err(format!("layout {} in the file of {}", self.layout, layout.name()));
        }
        let Some(tier) = Tier::ALL.into_iter().find(|tier| tier.name() == self.tier) else {
            return Err(format!("no tier {}", self.tier));
        };
        let channel = match (self.errors, self.rber) {
            (Some(errors), None) if errors <= layout.codeword_bits() => Channel::Errors(errors),
            (None, Some(rate)) if (0.0..=1.0).contains(&rate) => Channel::Rate(rate),
            _ => return Err("neither a number of wrong bits nor a rate".to_owned()),
        };
        if !self.tally.is_consistent() || self.first.checked_add(self.tally.frames).is_none() {
            return Err("the counts do not add up".to_owned());
        }
        Ok(Stretch { tier, channel, seed: self.seed, first: self.first, tally: self.tally })
    }
}

/// Positive floats sort like their bits.
fn sort_key(channel: Channel) -> (u8, u64) {
    match channel {
        Channel::Errors(errors) => (0, errors as u64),
        Channel::Rate(rate) => (1, rate.to_bits()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout::Nor256;

    fn stretch(first: u64, frames: u64) -> Stretch {
        let tally = Tally { frames, failures: frames, ..Tally::default() };
        Stretch { tier: Tier::Small, channel: Channel::Errors(9), seed: 1, first, tally }
    }

    fn text(stretches: &[Stretch]) -> String {
        let code = fingerprint(LAYOUT);
        let lines =
            stretches.iter().map(|stretch| serde_json::to_string(&Record::new(LAYOUT, &code, stretch)).unwrap());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_run_continues_where_the_file_ends() {
        let parsed = Campaign::parse(LAYOUT, &text(&[stretch(50, 10), stretch(0, 50)]), Path::new("x")).unwrap();
        assert_eq!(parsed.stretches(), [stretch(0, 60)]);
        assert_eq!(parsed.next_frame(Tier::Small, Channel::Errors(9), 1), 60);
        assert_eq!(parsed.next_frame(Tier::Small, Channel::Errors(9), 2), 0);
        assert_eq!(parsed.next_frame(Tier::Full, Channel::Errors(9), 1), 0);
        assert_eq!(parsed.losses(Tier::Small).count(9).lost, 60);
        assert_eq!(parsed.tally(None).frames, 60);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let parse = |text: &str| Campaign::parse(LAYOUT, text, Path::new("x")).unwrap_err().to_string();
        assert!(parse(&text(&[stretch(0, 50), stretch(49, 2)])).contains("same frames twice"));
        let other = text(&[stretch(0, 50)]).replace(&fingerprint(LAYOUT), "0123456789abcdef");
        assert!(parse(&other).contains("measured with code 0123456789abcdef"));
        assert!(parse("{}").contains("line 1"));
        let lines = text(&[stretch(0, 5)]);
        assert!(parse(&lines.replace("nor-256", "nor-512")).contains("layout nor-512 in the file of nor-256"));
        assert!(parse(&lines.replace("small", "huge")).contains("no tier huge"));
        assert!(parse(&lines.replace("\"failures\":5", "\"failures\":4")).contains("do not add up"));
        assert!(parse(&lines.replace("\"errors\":9", "\"errors\":null")).contains("neither"));
    }
}
