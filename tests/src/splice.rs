//! Splices: an image of an authenticated volume with parts of earlier images of the same volume.
//!
//! Everything in such an image was written by somebody who had the key, in that very place; only the time is wrong. What the volume
//! shows must be what it held last, or an error. Without asking for the last commit an earlier state may be shown, but only as
//! a whole: that is what a power cut could have left.

use std::sync::Arc;

use k7fs_core::flash::{Flash, Geometry};
use k7fs_core::{MountOptions, Volume};
use k7fs_sim::codec::HostCodecs;
use k7fs_sim::model::{Finished, Operation, Oracle, Random, Session, Space, Tree, Violation, observe};

use crate::geometry::{Case, LOGICAL_BLOCK_MAX, buffer_for};
use crate::ram::RamFlash;
use crate::sequence::{Step, random_steps};

/// Images taken of one volume.
const MOMENTS: usize = 12;
/// Steps from one to the next.
const STEPS: usize = 24;
/// Blocks beyond the smallest volume: few, so that all of them are used again and again.
const SPARE_BLOCKS: u32 = 8;
/// Flash operations that looking at one image may take.
const OPERATIONS_MAX: u64 = 100_000;

/// A volume at several moments of its life.
#[derive(Clone, Debug)]
pub struct Album {
    options: MountOptions,
    geometry: Geometry,
    images: Vec<Arc<[u8]>>,
    /// Every tree that was ever committed.
    history: Vec<Tree>,
}

/// What looking at spliced images gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The mount was refused.
    pub refused: u64,
    /// It mounted, and something could not be read.
    pub partly: u64,
    /// It showed the last state.
    pub last: u64,
    /// It showed an earlier one, where that was allowed.
    pub earlier: u64,
}

impl Album {
    /// Works on a volume of this kind and takes images.
    ///
    /// # Panics
    /// Where a sound volume does not work.
    pub fn new(case: &Case, seed: u64) -> Self {
        let mut flash = case.formatted(SPARE_BLOCKS, seed);
        let geometry = flash.geometry();
        let bytes = geometry.raw_page_size() * geometry.page_count() as usize;
        let mut buffer = buffer_for(&flash);
        let mut codecs = HostCodecs::new(LOGICAL_BLOCK_MAX);
        let mut options = MountOptions { key: case.key, ..MountOptions::default() };
        let mut oracle = Oracle::new();
        let mut history = vec![Tree::default()];
        let mut images = Vec::new();
        let room = u64::from(geometry.page_size) * u64::from(geometry.page_count());
        let space =
            Space { names: 10, depth: 2, length_max: 4000.min(room as u32 / 20), bytes_max: room / 6, indexes_max: 0 };
        let steps = random_steps(seed, space, MOMENTS * STEPS);
        let mut lent = codecs.lend();
        let mounted = Volume::mount_with(&mut flash, &mut buffer, options, &mut lent);
        let mut volume = mounted.expect("a sound volume mounts");
        let mut session = Session::new();
        for moment in steps.chunks(STEPS) {
            for step in moment {
                let Step::Do(operation) = step else { continue };
                // While a tree is being removed, link counts of what has names outside of it fall one by one: earlier states would have
                // to be known in between.
                if matches!(operation, Operation::Remount | Operation::Restart | Operation::RemoveTree { .. }) {
                    continue;
                }
                for operation in [operation, &closing(operation)] {
                    oracle.start(operation);
                    history.extend(oracle.candidates());
                    let outcome = session.apply(&mut volume, operation);
                    let finished =
                        oracle.finish(operation, &outcome).expect("a sound volume answers as the model does");
                    if finished != Finished::Partial {
                        break;
                    }
                    let shown = observe(&mut volume).expect("a sound volume can be read");
                    oracle.resume(&shown).expect("it stopped between two steps of the operation");
                }
                history.dedup();
            }
            volume.sync().expect("a sound volume commits");
            history.push(observe(&mut volume).expect("a sound volume can be read"));
            options.commit_min = volume.last_commit();
            images.push(volume.flash_mut().chip().to_bytes()[..bytes].into());
        }
        let _ = volume.abandon();
        Self { options, geometry, images, history }
    }

    /// Looks at so many spliced images.
    ///
    /// # Errors
    /// The first that shows what it must not.
    pub fn attack(&self, seed: u64, count: u64) -> Result<Tally, Violation> {
        let mut tally = Tally::default();
        for number in 0..count {
            let mut random = Random::new(crate::seed::mix(seed, number));
            let asks = random.percent(70);
            let mut flash = self.spliced(&mut random);
            self.look(&mut flash, asks, random.percent(50), &mut tally)
                .map_err(|violation| Violation::new(format!("splice {number}: {violation}")))?;
        }
        Ok(tally)
    }

    /// The last image with pages, blocks or all but some blocks of an earlier one.
    fn spliced(&self, random: &mut Random) -> RamFlash {
        let newest = self.images.len() - 1;
        let old = random.below(newest as u64) as usize;
        let pages_per_block = self.geometry.pages_per_block;
        let (from, to) = if random.percent(25) { (newest, old) } else { (old, newest) };
        let mut flash = RamFlash::new(self.geometry, Arc::clone(&self.images[to]));
        let source = RamFlash::new(self.geometry, Arc::clone(&self.images[from]));
        let differs = |page: &u32| flash.page(*page) != source.page(*page);
        let differing: Vec<u32> = (0..self.geometry.page_count()).filter(differs).collect();
        let Some(page) = random.pick(&differing).copied() else { return flash };
        let block = page / pages_per_block;
        let pages = match random.below(4) {
            0 => page..page + 1,
            1 => page..(block + 1) * pages_per_block,
            2 => block * pages_per_block..(block + 1) * pages_per_block,
            _ => block * pages_per_block..(block + 1 + random.below(3) as u32) * pages_per_block,
        };
        for page in pages.filter(|page| *page < self.geometry.page_count()) {
            let bytes = source.page(page).to_vec();
            flash.page_mut(page).copy_from_slice(&bytes);
        }
        flash.limit_operations(OPERATIONS_MAX);
        flash
    }

    fn look(&self, flash: &mut RamFlash, asks: bool, read_only: bool, tally: &mut Tally) -> Result<(), Violation> {
        let mut buffer = buffer_for(flash);
        let mut codecs = HostCodecs::new(LOGICAL_BLOCK_MAX);
        let mut lent = codecs.lend();
        let commit_min = if asks { self.options.commit_min } else { 0 };
        let options = MountOptions { read_only, commit_min, ..self.options };
        let Ok(mut volume) = Volume::mount_with(&mut *flash, &mut buffer, options, &mut lent) else {
            tally.refused += 1;
            return Ok(());
        };
        // Whatever it says of faults: reading goes on as before.
        let _ = volume.check_deep(|_| {});
        let Ok(tree) = observe(&mut volume) else {
            tally.partly += 1;
            return Ok(());
        };
        let last = self.history.last();
        let is_known = if asks { last == Some(&tree) } else { self.history.contains(&tree) };
        if !is_known {
            let difference = last.and_then(|last| last.difference(&tree)).unwrap_or_default();
            let when = if asks { "what is not the last state" } else { "what never was" };
            return Err(Violation::new(format!("a spliced image shows {when}: {difference}")));
        }
        *if last == Some(&tree) { &mut tally.last } else { &mut tally.earlier } += 1;
        Ok(())
    }
}

/// What follows an operation that went half way: how much of it a file without a name has taken, nobody can see.
fn closing(operation: &Operation) -> Operation {
    match operation {
        Operation::WriteAt { slot, .. } | Operation::SetLength { slot, .. } => Operation::Close { slot: *slot },
        _ => Operation::Sync,
    }
}
