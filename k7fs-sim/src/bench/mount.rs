//! W6 and the cost of mounting: volumes at 10, 50 and 90 % full.
//!
//! What a mount costs also depends on where log and checkpoints happen to stand in their blocks. So each cost is taken at
//! several positions and reported as median and maximum: the median tells what the fill does, the maximum what a block
//! that happens to end costs.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, File, MountOptions, OpenOptions, Volume};
use serde::Serialize;

use super::files::{formatted, inspect};
use super::meter::{Flow, Meter, Phase, ms};
use super::probe::{Probe, Work};
use super::subject::{Random, Subject};

const KIB: u64 = 1024;
const FILLS: [u32; 3] = [10, 50, 90];
/// Synced writes before a cut: a few, and many of them behind each other.
const WRITES_BEFORE_CUT: [u32; 2] = [5, 200];
/// Positions of the log that a cost is taken at, and the synced writes from one to the next.
const POSITIONS: u32 = 16;
const WRITES_PER_POSITION: u32 = 13;
/// Clean mounts must not take longer.
const CLEAN_TARGET_MS: f64 = 3.0;

/// Where a mount finds the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MountPoint {
    /// After a clean stop.
    Clean,
    /// After a cut in the middle of synced writes: at least so many of them were done since the last clean stop, and less
    /// than twice as many.
    Cut {
        /// Synced writes before the cut, at least.
        synced_writes: u32,
    },
}

/// What mounting costs.
#[derive(Clone, Debug, Serialize)]
pub struct MountCost {
    /// The part.
    pub chip: &'static str,
    /// Bytes of the volume's blocks.
    pub block_size: u32,
    /// How much of the user's capacity was filled.
    pub percent_full: u32,
    /// How the volume was left.
    pub after: MountPoint,
    /// Mounts that this is taken from, at different positions of the log.
    pub positions: usize,
    /// Pages read, in the median; several reads of one page in a row count once.
    pub pages_read: u64,
    /// Pages programmed, in the median.
    pub programs: u64,
    /// Blocks erased, in the median.
    pub erases: u64,
    /// Device time, in the median.
    pub ms: f64,
    /// Device time of the slowest.
    pub ms_max: f64,
    /// The most the slowest may take.
    pub target_ms: Option<f64>,
    /// What went wrong.
    pub failure: Option<String>,
}

/// Volumes of this chip, cleanly stopped, at each of the levels.
fn filled(subject: &Subject, seed: u64) -> Result<Vec<(u32, Probe)>, Error> {
    let (mut flash, mut buffer) = formatted(subject, seed)?;
    let mut random = Random::new(seed);
    let file_bytes = if subject.spec.data_size() >= 4 << 20 { 64 * KIB } else { 8 * KIB };
    let mut files = 0;
    let mut stages = Vec::new();
    for percent in FILLS {
        let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
        loop {
            let usage = volume.usage()?;
            let goal = usage.capacity_bytes * u64::from(percent) / 100;
            let used = usage.capacity_bytes - usage.free_bytes;
            let size = goal.saturating_sub(used).min(file_bytes);
            // Bookkeeping takes its part, too: the last bytes are not worth a file.
            if size < KIB {
                break;
            }
            volume.write(&format!("/fill{files}"), &random.bytes(size as usize))?;
            files += 1;
        }
        flash = volume.unmount()?;
        stages.push((percent, flash.clone()));
    }
    Ok(stages)
}

/// Mounts at different positions of the log.
struct Sample {
    percent_full: u32,
    after: MountPoint,
    mounts: Vec<Work>,
    failure: Option<String>,
}

impl Sample {
    /// Mounts a chip and adds what that cost, or a failure where it did not work or the volume is wrong.
    fn add(&mut self, subject: &Subject, flash: Probe) {
        let before = flash.work();
        let mut buffer = subject.buffer(&flash.geometry());
        match Volume::mount(flash, &mut buffer, MountOptions::default()) {
            Ok(mut volume) => {
                self.mounts.push(volume.flash_mut().work() - before);
                self.failure = self.failure.take().or(inspect(volume));
            }
            Err(error) => self.failure = Some(format!("mount: {error}")),
        }
    }

    fn cost(self, subject: &Subject) -> MountCost {
        let median = |count: fn(&Work) -> u64| {
            let mut counts: Vec<u64> = self.mounts.iter().map(count).collect();
            counts.sort_unstable();
            counts.get(counts.len() / 2).copied().unwrap_or(0)
        };
        MountCost {
            chip: subject.spec.name,
            block_size: subject.block_size,
            percent_full: self.percent_full,
            after: self.after,
            positions: self.mounts.len(),
            pages_read: median(|work| work.pages_read),
            programs: median(|work| work.programs),
            erases: median(|work| work.erases),
            ms: ms(median(|work| work.time_ns)),
            ms_max: ms(self.mounts.iter().map(|work| work.time_ns).max().unwrap_or(0)),
            target_ms: (self.after == MountPoint::Clean).then_some(CLEAN_TARGET_MS),
            failure: self.failure,
        }
    }
}

/// Moves log and checkpoints on, as use does, and stops cleanly.
fn advanced(subject: &Subject, flash: Probe, synced_writes: u32, random: &mut Random) -> Result<Probe, Error> {
    let mut buffer = subject.buffer(&flash.geometry());
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
    let file = volume.open("/fill0", OpenOptions::new().write(true))?;
    write_synced(&mut volume, &file, synced_writes, random)?;
    volume.close(file)?;
    volume.unmount()
}

/// Writes 100 bytes anywhere in a file and makes them durable, so many times.
fn write_synced(volume: &mut Volume<'_, Probe>, file: &File, times: u32, random: &mut Random) -> Result<(), Error> {
    for _ in 0..times {
        write_anywhere(volume, file, random)?;
        volume.sync()?;
    }
    Ok(())
}

fn write_anywhere(volume: &mut Volume<'_, Probe>, file: &File, random: &mut Random) -> Result<(), Error> {
    let at = random.below(7 * KIB as usize);
    volume.write_at(file, at as u64, &random.bytes(100))
}

/// Leaves a volume as a cut does in the middle of synced writes of 100 bytes.
fn cut(subject: &Subject, flash: Probe, synced_writes: u32, random: &mut Random) -> Result<Probe, Error> {
    let mut buffer = subject.buffer(&flash.geometry());
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
    let file = volume.open("/fill0", OpenOptions::new().write(true))?;
    write_synced(&mut volume, &file, synced_writes, random)?;
    write_anywhere(&mut volume, &file, random)?;
    Ok(volume.abandon())
}

/// The cost of mounting at each level, after a clean stop and after cuts.
pub(super) fn mounts(subject: &Subject, seed: u64) -> Result<Vec<MountCost>, Error> {
    let cuts = WRITES_BEFORE_CUT.map(|synced_writes| MountPoint::Cut { synced_writes });
    let points = [[MountPoint::Clean].as_slice(), &cuts].concat();
    let mut costs = Vec::new();
    for (percent, flash) in filled(subject, seed)? {
        let new = |after: &MountPoint| Sample { percent_full: percent, after: *after, mounts: vec![], failure: None };
        let mut level: Vec<Sample> = points.iter().map(new).collect();
        let mut random = Random::new(seed);
        let mut flash = flash;
        for position in 0..POSITIONS {
            flash = advanced(subject, flash, WRITES_PER_POSITION, &mut random)?;
            for sample in &mut level {
                let left = match sample.after {
                    MountPoint::Clean => flash.clone(),
                    MountPoint::Cut { synced_writes } => {
                        // From so many to twice as many: checkpoints come at any distance before the cut.
                        let writes = synced_writes + synced_writes * position / POSITIONS;
                        cut(subject, flash.clone(), writes, &mut random)?
                    }
                };
                sample.add(subject, left);
            }
        }
        costs.extend(level.into_iter().map(|sample| sample.cost(subject)));
    }
    // What belongs side by side: the levels of one point.
    costs.sort_by_key(|cost| points.iter().position(|point| *point == cost.after));
    Ok(costs)
}

/// W6: mount, the first file of 4 KiB, and more of them for comparison.
pub(super) fn first_writes(subject: &Subject, seed: u64) -> Result<Vec<Phase>, Error> {
    const STEADY_WRITES: u32 = 50;
    let mut phases = Vec::new();
    for (percent, flash) in filled(subject, seed)? {
        let mut random = Random::new(seed);
        let mut buffer = subject.buffer(&flash.geometry());
        let before = flash.work();
        let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
        let mut mounting = Meter::default();
        mounting.add(volume.flash_mut().work() - before, 0);
        let content = random.bytes(4 * KIB as usize);
        let mut first = Meter::default();
        first.measure(&mut volume, content.len(), |volume| volume.write("/first", &content));
        let mut steady = Meter::default();
        for index in 0..STEADY_WRITES {
            // A volume at 90 % has room for few of them: they take turns.
            let path = format!("/steady{}", index % 4);
            let content = random.bytes(4 * KIB as usize);
            if !steady.measure(&mut volume, content.len(), |volume| volume.write(&path, &content)) {
                break;
            }
        }
        if let Some(wrong) = inspect(volume) {
            steady.fail(wrong);
        }
        let mut mounted = mounting.phase(subject, "W6", format!("mount at {percent} %"), Flow::None);
        mounted.target_ms = Some(CLEAN_TARGET_MS);
        phases.push(mounted);
        phases.push(first.phase(subject, "W6", format!("first 4 KiB file at {percent} %"), Flow::Write));
        phases.push(steady.phase(subject, "W6", format!("next 4 KiB files at {percent} %"), Flow::Write));
    }
    Ok(phases)
}
