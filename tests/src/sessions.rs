//! Runs of short sessions on a small volume, and its chip with pages or whole blocks of the log beyond correction.

use std::ops::Range;

use k7fs_core::flash::{Flash, Geometry};
use k7fs_core::{Error, Volume};
use k7fs_sim::chip::{Chip, Fork, Operation, SimFlash};
use k7fs_sim::model::{Random, Tree};
use k7fs_sim::rig::geometry::{Case, buffer_for, mount_options};

use crate::seed::seed;
use crate::sequence::look;

/// Blocks of a chip beyond those of the smallest volume.
pub const BLOCKS_MORE: u32 = 24;
/// Writes of a run, each durable on return.
pub const WRITES: u32 = 260;
/// Calls in a session, in the mean.
const EVERY: u64 = 7;
/// Names that are written to in turn.
pub const FILES: u32 = 17;
/// The kind in a page's first byte; above it are marks.
pub const KIND_MASK: u8 = 0x1F;
/// Set in the kind of a page that says that the next block is erased.
pub const NEXT_ERASED: u8 = 0x40;
/// Set in the kind of a page that carries a commit.
pub const COMMIT: u8 = 0x80;
/// The kind of a checkpoint's page.
pub const KIND_CHECKPOINT: u8 = 4;
/// A page of the log, or one copied to a block that took another's place.
pub const LOG_KINDS: [u8; 2] = [1, 5];

/// The file that a write goes to.
pub fn path(write: u32) -> String {
    format!("/file {}", write % FILES)
}

/// What it writes: lengths from some bytes to more than a page.
pub fn content(write: u32) -> Vec<u8> {
    let length = [12, 300, 45, 2500, 7][write as usize % 5];
    (0..length).map(|at: u32| (write * 31 + at) as u8).collect()
}

/// A volume on a chip.
///
/// # Errors
/// What the mount says.
pub fn mount<'v>(flash: &'v mut SimFlash, buffer: &'v mut [u8]) -> Result<Volume<'v, &'v mut SimFlash>, Error> {
    let options = mount_options(flash);
    Volume::mount(flash, buffer, options)
}

/// A chip between two sessions, and the number of the last write, after every session of a run: some writes, some idle time, and a stop
/// or none.
///
/// # Panics
/// Where a sound volume does not work; as all of this.
pub fn states(case: &Case) -> Vec<(SimFlash, u32)> {
    let mut flash = case.formatted(BLOCKS_MORE, seed());
    let (mut random, mut states, mut next) = (Random::new(seed()), Vec::new(), 0);
    while next < WRITES {
        let mut buffer = buffer_for(&flash);
        let mut volume = mount(&mut flash, &mut buffer).expect("mounts");
        for _ in 0..1 + random.below(2 * EVERY) {
            match random.below(8) {
                0 => drop(volume.erase_ahead(1 + random.below(3) as u32).expect("erases")),
                1 => drop(volume.maintain(1 + random.below(40) as u32).expect("maintains")),
                _ => {
                    volume.write(&path(next), &content(next)).expect("fits");
                    next += 1;
                }
            }
        }
        if random.below(3) == 0 {
            volume.unmount().expect("stops");
        } else {
            let _ = volume.abandon();
        }
        if next > 0 {
            states.push((flash.clone(), next - 1));
        }
    }
    states
}

/// The raw pages of a block, each with its place in the image.
pub fn pages(geometry: &Geometry, block: u32) -> impl Iterator<Item = Range<usize>> + use<> {
    let raw = geometry.raw_page_size();
    let first = block * geometry.pages_per_block;
    (first..first + geometry.pages_per_block).map(move |page| page as usize * raw..(page as usize + 1) * raw)
}

/// The chip with these parts of its image beyond correction.
pub fn without(flash: &SimFlash, image: &[u8], parts: impl Iterator<Item = Range<usize>>) -> SimFlash {
    let mut image = image.to_vec();
    for part in parts {
        image[part].iter_mut().step_by(3).for_each(|byte| *byte ^= 0x5A);
    }
    flash.with_chip(Chip::from_bytes(flash.chip().spec(), &image).expect("an image of this chip"))
}

/// Everything that a mount shows, which must come up.
pub fn shown(flash: &SimFlash, what: &str) -> Tree {
    let (mut flash, mut buffer) = (flash.clone(), buffer_for(flash));
    let mut volume = mount(&mut flash, &mut buffer).unwrap_or_else(|error| panic!("{what}: mount: {error}"));
    look(&mut volume).unwrap_or_else(|violation| panic!("{what}: {violation}"))
}

/// Whether a block of an image is one of the log's, in use or left.
pub fn is_log(geometry: &Geometry, image: &[u8], block: u32) -> bool {
    let first = pages(geometry, block).next().expect("a block has pages");
    LOG_KINDS.contains(&(image[first.start] & KIND_MASK))
}

/// Writes to some more files, with idle time before some of them: every program and erase of that.
pub fn go_on(flash: &mut SimFlash, last: u32, is_idle: &mut dyn FnMut() -> bool) -> Vec<Fork> {
    flash.chip_mut().record_forks();
    let mut buffer = buffer_for(flash);
    let mut volume = mount(flash, &mut buffer).expect("mounts");
    for write in last + 1..last + 6 {
        if is_idle() {
            let _ = volume.erase_ahead(1).expect("erases");
        }
        volume.write(&path(write), &content(write)).expect("fits");
    }
    let _ = volume.abandon();
    flash.chip_mut().take_forks()
}

/// A page that is programmed, and the kind that it says to be of.
pub fn programmed(fork: &Fork) -> Option<(u32, u8)> {
    match &fork.operation {
        Operation::Program { page, column: 0, bytes } => Some((*page, bytes[0])),
        _ => None,
    }
}

/// The chip with a page beyond correction: one that was torn, and read well before.
pub fn without_page(flash: &SimFlash, page: u32) -> SimFlash {
    let raw = flash.geometry().raw_page_size();
    without(flash, &flash.chip().to_bytes(), std::iter::once(page as usize * raw..(page as usize + 1) * raw))
}

/// A mount, and all that it programs and erases.
pub fn recover(flash: &mut SimFlash) -> Vec<Fork> {
    flash.chip_mut().record_forks();
    let mut buffer = buffer_for(flash);
    let _ = mount(flash, &mut buffer).expect("mounts").abandon();
    flash.chip_mut().take_forks()
}
