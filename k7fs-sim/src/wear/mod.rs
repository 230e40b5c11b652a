//! What a workload does to the chip over a long time: how evenly blocks are erased, what is programmed for what is asked, and how
//! much of a chip's life is used before the volume ends.
//!
//! The chip's own counters tell: what the volume believes of its blocks plays no part.

mod user;

use k7fs_core::flash::Flash;
use k7fs_core::{Error, FormatOptions, MountOptions, Volume, buffer_bytes};
use serde::{Deserialize, Serialize};

use crate::chip::{Ageing, Chip, ChipSpec, SimFlash};
use crate::random::Random;
use user::{Faults, User};

/// The mean erase count at which a run on a chip that does not age is over.
pub const MEAN_WANTED: u32 = 50;
/// Operations from one look at the erase counts to the next.
const LOOK_EVERY: u64 = 64;

/// What wears the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Workload {
    /// Small files are replaced as a whole, over and over, beside files that never change.
    W8,
    /// 4 KiB anywhere in files that were written once, a sync after each.
    Random,
    /// 64 bytes at the end of a file and a sync, the file begun anew now and then, beside files that never change.
    Append,
}

impl Workload {
    /// Every workload.
    pub const ALL: [Self; 3] = [Self::W8, Self::Random, Self::Append];

    /// How much of the user's capacity is filled before it begins, where nobody says otherwise.
    pub const fn default_fill(self) -> u32 {
        match self {
            Self::W8 | Self::Append => 60,
            Self::Random => 50,
        }
    }
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The part.
    pub spec: &'static ChipSpec,
    /// The workload.
    pub workload: Workload,
    /// Seed of chip, contents and order.
    pub seed: u64,
    /// Per cent of the user's capacity that is filled before.
    pub fill_percent: u32,
    /// Erases that blocks live for, about, the bits wrong in between as the part's; the run goes on until the volume ends.
    /// Without it nothing ages, and the run is over at [`MEAN_WANTED`].
    pub endurance: Option<u32>,
}

/// What it did to the chip. As JSON its keys are part of the command's contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wear {
    /// The part.
    pub chip: String,
    /// The workload.
    pub workload: String,
    /// The seed.
    pub seed: u64,
    /// Per cent of the user's capacity that were filled before.
    pub fill_percent: u32,
    /// Erases that blocks lived for, where the chip aged.
    pub endurance: Option<u32>,
    /// Erases of the block that was erased least, of those not marked bad.
    pub erase_min: u32,
    /// Erases of a block in the mean.
    pub erase_mean: f64,
    /// Erases of the block that was erased most.
    pub erase_max: u32,
    /// Mean by maximum.
    pub level: f64,
    /// Bytes programmed, spare areas included, for each byte of the user's, both after the volume was filled.
    pub write_amplification: f64,
    /// Bytes programmed, spare areas included, the filling as well.
    pub bytes_written: u64,
    /// Bytes that the user asked to write, without the filling.
    pub user_bytes: u64,
    /// Bytes that could have been programmed had every block been erased as often as the part allows.
    pub ideal_bytes: u64,
    /// Bytes programmed by those, where the run went on to the end of the chip's life.
    pub life_used: Option<f64>,
    /// Chips that were worn out.
    pub lifetimes: u32,
    /// Blocks that failed in use.
    pub failed_blocks: u64,
    /// Commits that were there and then were not.
    pub lost_commits: u64,
    /// Reads that delivered something else than was written.
    pub wrong_reads: u64,
    /// Why the run ended.
    pub ended: String,
}

impl Wear {
    /// Whether this is what a run of these options gives.
    pub fn is_of(&self, options: &Options) -> bool {
        let asked = (options.spec.name, options.seed, options.fill_percent, options.endurance);
        (self.chip.as_str(), self.seed, self.fill_percent, self.endurance) == asked
            && self.workload == format!("{:?}", options.workload)
    }

    /// Several chips of one kind: sums of bytes, blocks and faults, the mean of the mean erase counts, and the worst of the rest.
    /// `None` for no chip.
    pub fn of_all(chips: &[Self]) -> Option<Self> {
        let (first, others) = chips.split_first()?;
        let mut all = first.clone();
        let (mut amplified, mut ends) =
            (first.write_amplification * first.user_bytes as f64, vec![first.ended.clone()]);
        for chip in others {
            all.erase_min = all.erase_min.min(chip.erase_min);
            all.erase_mean += chip.erase_mean;
            all.erase_max = all.erase_max.max(chip.erase_max);
            all.level = all.level.min(chip.level);
            all.bytes_written += chip.bytes_written;
            all.user_bytes += chip.user_bytes;
            all.ideal_bytes += chip.ideal_bytes;
            all.life_used = all.life_used.zip(chip.life_used).map(|(a, b)| a.min(b));
            all.lifetimes += chip.lifetimes;
            all.failed_blocks += chip.failed_blocks;
            all.lost_commits += chip.lost_commits;
            all.wrong_reads += chip.wrong_reads;
            amplified += chip.write_amplification * chip.user_bytes as f64;
            if !ends.contains(&chip.ended) {
                ends.push(chip.ended.clone());
            }
        }
        all.erase_mean /= chips.len() as f64;
        all.write_amplification = amplified / all.user_bytes.max(1) as f64;
        all.ended = ends.join("; ");
        Some(all)
    }
}

/// Runs a workload until blocks have been erased [`MEAN_WANTED`] times in the mean, or until the volume ends if the chip ages, and
/// looks at all that was written: as it stands, and after a restart. `progress` is told the mean erase count now and then.
///
/// # Errors
/// What the volume says where it cannot be made, filled or read.
pub fn run(options: &Options, progress: impl FnMut(f64)) -> Result<Wear, Error> {
    let Options { spec, workload, seed, fill_percent, endurance } = *options;
    let mut flash = SimFlash::new(Chip::new(spec, seed));
    flash.chip_mut().faults_mut().ageing = endurance.map(|erases| Ageing::new(erases, spec.rated_bit_error_rate()));
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    let mut volume_id = [0x57; 16];
    volume_id[..8].copy_from_slice(&seed.to_le_bytes());
    Volume::format(&mut flash, &mut buffer, &FormatOptions { volume_id, ..FormatOptions::default() })?;
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
    let mut user = User::new(Random::of(&[seed]));
    user.fill(&mut volume, fill_percent)?;
    let filled = volume.flash_mut().chip().counters().bytes_programmed;

    let end = wear_out(&mut volume, &mut user, options, progress);
    let counters = volume.flash_mut().chip().counters().clone();
    let erases = Erases::of(volume.flash_mut().chip());
    let standing = user.verify(&mut volume);
    let restarted = verify_again(volume.abandon(), &user);
    let ideal_bytes = spec.image_size() * u64::from(endurance.unwrap_or(spec.endurance));
    Ok(Wear {
        chip: spec.name.to_owned(),
        workload: format!("{workload:?}"),
        seed,
        fill_percent,
        endurance,
        erase_min: erases.min,
        erase_mean: erases.mean,
        erase_max: erases.max,
        level: erases.mean / f64::from(erases.max.max(1)),
        write_amplification: (counters.bytes_programmed - filled) as f64 / user.written.max(1) as f64,
        bytes_written: counters.bytes_programmed,
        user_bytes: user.written,
        ideal_bytes,
        life_used: endurance.map(|_| counters.bytes_programmed as f64 / ideal_bytes as f64),
        lifetimes: endurance.is_some().into(),
        failed_blocks: counters.grown_bad_blocks,
        lost_commits: standing.lost.max(restarted.lost),
        wrong_reads: standing.wrong.max(restarted.wrong),
        ended: match end {
            Some(error) => format!("the volume said: {error}"),
            None => format!("blocks were erased {MEAN_WANTED} times in the mean"),
        },
    })
}

/// Runs the workload to its end: `None` where it was stopped, else what the volume said.
fn wear_out(
    volume: &mut Volume<'_, SimFlash>, user: &mut User, options: &Options, mut progress: impl FnMut(f64),
) -> Option<Error> {
    loop {
        for _ in 0..LOOK_EVERY {
            if let Err(error) = user.step(volume, options.workload) {
                return Some(error);
            }
        }
        let mean = Erases::of(volume.flash_mut().chip()).mean;
        progress(mean);
        if options.endurance.is_none() && mean >= f64::from(MEAN_WANTED) {
            return None;
        }
    }
}

/// Mounts the chip as after a loss of power, for reading only where it does not take writes any more, and reads every file.
fn verify_again(flash: SimFlash, user: &User) -> Faults {
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    for read_only in [false, true] {
        let options = MountOptions { read_only, ..MountOptions::default() };
        if let Ok(mut volume) = Volume::mount(flash.clone(), &mut buffer, options) {
            return user.verify(&mut volume);
        }
    }
    Faults { wrong: 0, lost: user.files() }
}

/// Erase counts of a chip's blocks that are not marked bad.
struct Erases {
    min: u32,
    mean: f64,
    max: u32,
}

impl Erases {
    fn of(chip: &Chip) -> Self {
        let marked: Vec<u32> = chip.marked_blocks().collect();
        let counts = chip.counters().erases_per_block.iter().zip(0u32..).filter(|(_, block)| !marked.contains(block));
        let (mut min, mut max, mut total, mut blocks) = (u32::MAX, 0, 0u64, 0u32);
        for (count, _) in counts {
            (min, max) = (min.min(*count), max.max(*count));
            total += u64::from(*count);
            blocks += 1;
        }
        Self { min, mean: total as f64 / f64::from(blocks.max(1)), max }
    }
}
