//! How long single calls take on a volume that has been written to for a while, with and without idle time between them.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, FormatOptions, MountOptions, OpenOptions, Volume, buffer_bytes};
use serde::Serialize;

use crate::chip::{Chip, ChipSpec, SimFlash};
use crate::random::Random;

/// How full the volume is, in per cent, that each workload is measured on.
pub const FILLS: [u32; 3] = [50, 80, 90];
/// The file that W2 overwrites, and what it overwrites at once.
const FILE_BYTES_MAX: u64 = 512 << 10;
const PIECE_BYTES: usize = 4096;
const SMALL_PIECE_BYTES: usize = 100;
const OVERWRITES: u32 = 2000;
/// W3.
const APPENDS: u32 = 2000;
const APPEND_BYTES: usize = 64;
/// W4.
const FILES: u64 = 50;
const REWRITES: u32 = 2000;
/// W5.
const MANY: u32 = 1000;
const MANY_BYTES: usize = 200;
/// Bytes of the files that only fill the volume.
const FILLER_BYTES: usize = 64 << 10;
/// Pages that one idle moment is given.
const IDLE_PAGES: u32 = 64;
/// Idle moments after a call, at most.
const IDLE_MAX: u32 = 1000;

/// The calls of a workload, measured one by one.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The workload.
    pub workload: &'static str,
    /// How full the volume was.
    pub fill_percent: u32,
    /// Whether `maintain` was called after each operation until nothing was due.
    pub maintained: bool,
    /// Device time of a call: the median, one in 1000 takes longer, the longest.
    pub median_ms: f64,
    /// One in 1000 takes longer.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Erases of the call with the most.
    pub max_erases_per_call: u64,
    /// Pages programmed by the call with the most, beyond those that the caller's own bytes fill.
    pub max_programs_per_call: u64,
}

/// What was measured on a chip. As JSON its keys are part of the command's contract.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The part.
    pub chip: &'static str,
    /// The seed.
    pub seed: u64,
    /// Every workload at every fill, without and with idle time.
    pub rows: Vec<Row>,
}

/// A workload, by what one step of it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workload {
    Overwrite { piece: usize },
    Append,
    Rewrite,
    Create,
    Delete,
}

const WORKLOADS: [(&str, Workload, u32); 6] = [
    ("W2a", Workload::Overwrite { piece: PIECE_BYTES }, OVERWRITES),
    ("W2b", Workload::Overwrite { piece: SMALL_PIECE_BYTES }, OVERWRITES),
    ("W3", Workload::Append, APPENDS),
    ("W4", Workload::Rewrite, REWRITES),
    ("W5 create", Workload::Create, MANY),
    ("W5 delete", Workload::Delete, MANY),
];

/// Measures every workload on a chip. `started` is told what comes next.
///
/// # Errors
/// What the volume says where it cannot be made or filled, or a workload not be run.
pub fn run(spec: &'static ChipSpec, seed: u64, mut started: impl FnMut(&str, u32)) -> Result<Report, Error> {
    let mut rows = Vec::new();
    for fill_percent in FILLS {
        let aged = aged(spec, seed, fill_percent)?;
        for maintained in [false, true] {
            // What W5 creates it deletes again: one follows the other on the same volume.
            let mut flash = aged.clone();
            for (name, workload, steps) in WORKLOADS {
                started(name, fill_percent);
                let start = if workload == Workload::Delete { flash } else { aged.clone() };
                let (calls, after) = measure(start, seed, workload, steps, maintained)?;
                rows.push(calls.row(name, fill_percent, maintained));
                flash = after;
            }
        }
    }
    Ok(Report { chip: spec.name, seed, rows })
}

/// Bytes of the file that W2 overwrites: a third of a small chip's capacity.
fn file_bytes(volume: &mut Volume<'_, SimFlash>) -> Result<u64, Error> {
    let piece = PIECE_BYTES as u64;
    Ok((volume.usage()?.capacity_bytes / 3 / piece * piece).min(FILE_BYTES_MAX))
}

/// A chip with a volume filled so far, on which as many bytes were written again as the chip has.
fn aged(spec: &'static ChipSpec, seed: u64, fill_percent: u32) -> Result<SimFlash, Error> {
    let mut flash = SimFlash::new(Chip::new(spec, seed));
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    Volume::format(&mut flash, &mut buffer, &FormatOptions { volume_id: [0x1A; 16], ..FormatOptions::default() })?;
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
    let file_bytes = file_bytes(&mut volume)?;
    let mut random = Random::of(&[seed, 1]);
    let mut bytes = vec![0; file_bytes as usize];
    random.fill(&mut bytes);
    volume.write("/file", &bytes)?;
    for file in 0..FILES {
        volume.write(&format!("/f{file}"), &bytes[..APPEND_BYTES])?;
    }
    let mut fillers = 0;
    loop {
        let usage = volume.usage()?;
        let goal = usage.capacity_bytes * u64::from(fill_percent) / 100;
        // Appends and new files take some of the rest.
        if usage.capacity_bytes - usage.free_bytes + FILLER_BYTES as u64 > goal {
            break;
        }
        volume.write(&format!("/filler{fillers}"), &bytes[..FILLER_BYTES])?;
        fillers += 1;
    }
    let end = volume.flash_mut().chip().counters().bytes_programmed + spec.image_size();
    while fillers > 0 && volume.flash_mut().chip().counters().bytes_programmed < end {
        let path = format!("/filler{}", random.below(fillers));
        let file = volume.open(&path, OpenOptions::new().write(true))?;
        let at = random.below((FILLER_BYTES / PIECE_BYTES) as u64) * PIECE_BYTES as u64;
        volume.write_at(&file, at, &bytes[..PIECE_BYTES])?;
        volume.close(file)?;
    }
    volume.unmount()
}

fn measure(
    flash: SimFlash, seed: u64, workload: Workload, steps: u32, maintained: bool,
) -> Result<(Calls, SimFlash), Error> {
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    let page_bytes = u64::from(flash.geometry().page_size);
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
    let file_bytes = file_bytes(&mut volume)?;
    let mut random = Random::of(&[seed, 2]);
    let mut calls = Calls { page_bytes, all: Vec::new() };
    let mut bytes = [0; PIECE_BYTES];
    random.fill(&mut bytes);
    let file = match workload {
        Workload::Append => Some(volume.open("/log", OpenOptions::new().write(true).create(true))?),
        Workload::Overwrite { .. } => Some(volume.open("/file", OpenOptions::new().write(true))?),
        _ => None,
    };
    for step in 0..steps {
        if maintained {
            idle(&mut volume)?;
        }
        match (workload, &file) {
            (Workload::Overwrite { piece }, Some(file)) => {
                let at = random.below(file_bytes / PIECE_BYTES as u64) * PIECE_BYTES as u64;
                calls.time(&mut volume, piece, |volume| volume.write_at(file, at, &bytes[..piece]))?;
                calls.time(&mut volume, 0, Volume::sync)?;
            }
            (Workload::Append, Some(file)) => {
                let at = u64::from(step) * APPEND_BYTES as u64;
                match calls.time(&mut volume, APPEND_BYTES, |volume| volume.write_at(file, at, &bytes[..APPEND_BYTES]))
                {
                    // A small chip takes fewer.
                    Err(Error::NoSpace) if step > 0 => break,
                    written => written?,
                }
                calls.time(&mut volume, 0, Volume::sync)?;
            }
            (Workload::Rewrite, _) => {
                let path = format!("/f{}", random.below(FILES));
                calls.time(&mut volume, APPEND_BYTES, |volume| volume.write(&path, &bytes[..APPEND_BYTES]))?;
            }
            (Workload::Create, _) => {
                let path = format!("/new{step}");
                match calls.time(&mut volume, MANY_BYTES, |volume| volume.write(&path, &bytes[..MANY_BYTES])) {
                    Err(Error::NoSpace) if step > 0 => break,
                    created => created?,
                }
            }
            _ => match calls.time(&mut volume, 0, |volume| volume.remove_file(&format!("/new{step}"))) {
                Err(Error::NotFound) if step > 0 => break,
                removed => removed?,
            },
        }
    }
    if let Some(file) = file {
        volume.close(file)?;
    }
    Ok((calls, volume.unmount()?))
}

/// Nothing is asked for a while.
fn idle(volume: &mut Volume<'_, SimFlash>) -> Result<(), Error> {
    for _ in 0..IDLE_MAX {
        if volume.maintain(IDLE_PAGES)? == 0 {
            break;
        }
    }
    Ok(())
}

/// What one call cost.
struct Call {
    time_ns: u64,
    erases: u64,
    programs: u64,
}

struct Calls {
    page_bytes: u64,
    all: Vec<Call>,
}

impl Calls {
    /// Runs a call that is given so many bytes.
    fn time<'b>(
        &mut self, volume: &mut Volume<'b, SimFlash>, own: usize,
        call: impl FnOnce(&mut Volume<'b, SimFlash>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let counts = |volume: &mut Volume<'b, SimFlash>| {
            let counters = volume.flash_mut().chip().counters();
            (counters.device_time_ns, counters.erases, counters.bytes_programmed)
        };
        let raw_page = volume.flash_mut().geometry().raw_page_size() as u64;
        let before = counts(volume);
        call(volume)?;
        let after = counts(volume);
        let pages = (after.2 - before.2).div_ceil(raw_page);
        self.all.push(Call {
            time_ns: after.0 - before.0,
            erases: after.1 - before.1,
            programs: pages.saturating_sub((own as u64).div_ceil(self.page_bytes)),
        });
        Ok(())
    }

    fn row(&self, workload: &'static str, fill_percent: u32, maintained: bool) -> Row {
        let mut times: Vec<u64> = self.all.iter().map(|call| call.time_ns).collect();
        times.sort_unstable();
        let at = |share: f64| {
            let index = (times.len() as f64 * share) as usize;
            times.get(index.min(times.len().saturating_sub(1))).map_or(0.0, |time| *time as f64 / 1e6)
        };
        Row {
            workload,
            fill_percent,
            maintained,
            median_ms: at(0.5),
            p999_ms: at(0.999),
            max_ms: at(1.0),
            max_erases_per_call: self.all.iter().map(|call| call.erases).max().unwrap_or(0),
            max_programs_per_call: self.all.iter().map(|call| call.programs).max().unwrap_or(0),
        }
    }
}
