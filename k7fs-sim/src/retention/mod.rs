//! What the years do to a volume on a worn chip, with and without scrubbing.

use std::collections::BTreeSet;

use k7fs_core::flash::Flash;
use k7fs_core::{Error, FaultKind, FormatOptions, MountOptions, Volume, buffer_bytes};
use serde::Serialize;

use crate::chip::{Chip, ChipSpec, Fading, SimFlash};
use crate::random::Random;

/// Years that a chip is taken to be promised to keep content in blocks erased as often as it endures: what data sheets of SLC NAND
/// say; those of NOR say 20.
pub const RATED_YEARS: f64 = 10.0;
/// Share of the bits that one read of a block disturbs: MLC after 2,000 cycles (Cai 2015), more than SLC has.
pub const READ_DISTURB: f64 = 1e-9;
/// How full the volume is, in per cent.
const FILL_PERCENT: u64 = 60;
const FILE_BYTES: usize = 64 << 10;
/// Pages of one step of scrubbing.
const STEP_PAGES: u32 = 256;

/// What happens to the chip.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The part; its blocks are erased as often as it endures.
    pub spec: &'static ChipSpec,
    /// The seed.
    pub seed: u64,
    /// Years that pass.
    pub years: u32,
    /// Passes of scrubbing in a year; 0 for none, and then the volume is not mounted before the end.
    pub passes_per_year: u32,
    /// Share of the bits that is wrong after [`RATED_YEARS`].
    pub bit_error_rate: f64,
    /// How often every block is read in a year.
    pub reads_per_year: f64,
}

/// What became of the volume. As JSON its keys are part of the command's contract.
#[derive(Clone, Debug, Serialize)]
pub struct Retention {
    /// The part.
    pub chip: &'static str,
    /// The seed.
    pub seed: u64,
    /// Years that passed.
    pub years: u32,
    /// Passes of scrubbing in a year.
    pub passes_per_year: u32,
    /// Share of the bits that is wrong after [`RATED_YEARS`].
    pub bit_error_rate: f64,
    /// How often every block was read in a year.
    pub reads_per_year: f64,
    /// Pages that the volume's content took.
    pub pages: u64,
    /// Pages of it that could not be read at the end; all where the volume could not be mounted.
    pub lost: u64,
    /// Files that were shown with other content, without an error.
    pub wrong_files: u64,
    /// Blocks that scrubbing found weak.
    pub weak_blocks: u64,
    /// Pages that it programmed.
    pub programmed: u64,
}

/// Lets the years pass, and looks at everything at the end. `progress` is told the years that have passed.
///
/// # Errors
/// What the volume says where it cannot be made, filled or scrubbed.
pub fn run(options: &Options, mut progress: impl FnMut(f64)) -> Result<Retention, Error> {
    let mut chip = Chip::new(options.spec, options.seed);
    chip.wear(options.spec.endurance);
    chip.faults_mut().fading = Some(Fading {
        endurance: options.spec.endurance,
        years: RATED_YEARS,
        bit_flip_rate: options.bit_error_rate,
        read_disturb: READ_DISTURB,
        reads_per_year: options.reads_per_year,
    });
    let (mut flash, files) = filled(SimFlash::new(chip), options.seed)?;
    let raw_page = flash.geometry().raw_page_size() as u64;
    let filled = flash.chip().counters().bytes_programmed / raw_page;
    let steps = options.passes_per_year.max(1);
    let mut weak_blocks = 0;
    for step in 0..options.years * steps {
        flash.chip_mut().wait(1.0 / f64::from(steps));
        progress(f64::from(step + 1) / f64::from(steps));
        if options.passes_per_year > 0 {
            (flash, weak_blocks) = scrubbed(flash, weak_blocks)?;
        }
    }
    let programmed = flash.chip().counters().bytes_programmed / raw_page - filled;
    let (lost, wrong_files) = look(flash, options.seed, files).unwrap_or((filled, 0));
    Ok(Retention {
        chip: options.spec.name,
        seed: options.seed,
        years: options.years,
        passes_per_year: options.passes_per_year,
        bit_error_rate: options.bit_error_rate,
        reads_per_year: options.reads_per_year,
        pages: filled,
        lost,
        wrong_files,
        weak_blocks,
        programmed,
    })
}

fn content(seed: u64, file: u64) -> Vec<u8> {
    let mut bytes = vec![0; FILE_BYTES];
    Random::of(&[seed, file]).fill(&mut bytes);
    bytes
}

fn filled(mut flash: SimFlash, seed: u64) -> Result<(SimFlash, u64), Error> {
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    Volume::format(&mut flash, &mut buffer, &FormatOptions { volume_id: [0x2E; 16], ..FormatOptions::default() })?;
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
    let files = volume.usage()?.capacity_bytes * FILL_PERCENT / 100 / FILE_BYTES as u64;
    for file in 0..files {
        volume.write(&format!("/{file}"), &content(seed, file))?;
    }
    Ok((volume.unmount()?, files))
}

/// A whole pass on a device that is switched on for it.
fn scrubbed(flash: SimFlash, mut weak_blocks: u64) -> Result<(SimFlash, u64), Error> {
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
    loop {
        let step = volume.scrub(STEP_PAGES)?;
        weak_blocks += u64::from(step.weak_blocks);
        if step.is_complete {
            return Ok((volume.unmount()?, weak_blocks));
        }
    }
}

/// Pages that cannot be read, and files that show something else.
fn look(flash: SimFlash, seed: u64, files: u64) -> Result<(u64, u64), Error> {
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions { read_only: true, ..MountOptions::default() })?;
    let mut lost = BTreeSet::new();
    volume.check(|fault| {
        if fault.kind == FaultKind::Uncorrectable {
            lost.insert(fault.page);
        }
    })?;
    let mut wrong = 0;
    let mut read = vec![0; FILE_BYTES + 1];
    for file in 0..files {
        let expected = content(seed, file);
        let shown = volume.read(&format!("/{file}"), &mut read);
        wrong += u64::from(shown.is_ok_and(|length| read[..length] != expected[..]));
    }
    Ok((lost.len() as u64, wrong))
}
