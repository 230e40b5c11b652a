//! W6 and the cost of mounting: volumes at 10, 50 and 90 % full.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, MountOptions, OpenOptions, Volume, buffer_bytes};
use serde::Serialize;

use super::files::{formatted, inspect};
use super::meter::{Flow, Meter, Phase, ms};
use super::probe::{Effort, Probe};
use super::subject::{Random, Subject};

const KIB: u64 = 1024;
const FILLS: [u32; 3] = [10, 50, 90];
/// Synced writes before a cut: a few, and many of them behind each other.
const WRITES_BEFORE_CUT: [u32; 2] = [5, 200];
/// Clean mounts must not take longer.
const CLEAN_TARGET_MS: f64 = 3.0;

/// Where a mount finds the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MountPoint {
    /// After a clean stop.
    Clean,
    /// After a cut in the middle of synced writes: so many of them were done since the last clean stop.
    Cut {
        /// Synced writes before the cut.
        synced_writes: u32,
    },
}

/// What one mount cost.
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
    /// Pages read; several reads of one page in a row count once.
    pub pages_read: u64,
    /// Pages programmed.
    pub programs: u64,
    /// Blocks erased.
    pub erases: u64,
    /// Device time.
    pub ms: f64,
    /// The most it may be.
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

/// Mounts a chip and tells what that cost, with a failure where it did not work or the volume is wrong.
fn mount_cost(subject: &Subject, percent_full: u32, after: MountPoint, flash: Probe) -> MountCost {
    let before = flash.work();
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    let mut cost = MountCost {
        chip: subject.spec.name,
        block_size: subject.block_size,
        percent_full,
        after,
        pages_read: 0,
        programs: 0,
        erases: 0,
        ms: 0.0,
        target_ms: (after == MountPoint::Clean).then_some(CLEAN_TARGET_MS),
        failure: None,
    };
    match Volume::mount(flash, &mut buffer, MountOptions::default()) {
        Ok(mut volume) => {
            let work = volume.flash_mut().work() - before;
            let effort = Effort::from(work);
            cost.pages_read = effort.pages_read;
            cost.programs = effort.programs;
            cost.erases = effort.erases;
            cost.ms = ms(work.time_ns);
            cost.failure = inspect(volume);
        }
        Err(error) => cost.failure = Some(format!("mount: {error}")),
    }
    cost
}

/// Leaves a volume as a cut does in the middle of synced writes of 100 bytes.
fn cut(flash: Probe, synced_writes: u32, random: &mut Random) -> Result<Probe, Error> {
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
    let file = volume.open("/fill0", OpenOptions::new().write(true))?;
    for write in 0..=synced_writes {
        let at = random.below(7 * KIB as usize);
        volume.write_at(&file, at as u64, &random.bytes(100))?;
        if write < synced_writes {
            volume.sync()?;
        }
    }
    Ok(volume.abandon())
}

/// The cost of mounting at each level, after a clean stop and after cuts.
pub(super) fn mounts(subject: &Subject, seed: u64) -> Result<Vec<MountCost>, Error> {
    let mut costs = Vec::new();
    let stages = filled(subject, seed)?;
    for (percent, flash) in &stages {
        costs.push(mount_cost(subject, *percent, MountPoint::Clean, flash.clone()));
    }
    for synced_writes in WRITES_BEFORE_CUT {
        for (percent, flash) in &stages {
            let flash = cut(flash.clone(), synced_writes, &mut Random::new(seed))?;
            costs.push(mount_cost(subject, *percent, MountPoint::Cut { synced_writes }, flash));
        }
    }
    Ok(costs)
}

/// W6: mount, the first file of 4 KiB, and more of them for comparison.
pub(super) fn first_writes(subject: &Subject, seed: u64) -> Result<Vec<Phase>, Error> {
    const STEADY_WRITES: u32 = 50;
    let mut phases = Vec::new();
    for (percent, flash) in filled(subject, seed)? {
        let mut random = Random::new(seed);
        let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
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
