//! How worn the chip is, and how long it will last.

use super::Volume;
use crate::error::Error;
use crate::flash::Flash;
use crate::log::{BadReason, BlockState, Wear};

/// How worn the chip under a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Health {
    /// Erases of the block that was erased least, of those that are not bad. Counted since the format.
    pub erase_count_min: u32,
    /// Erases of a block in the mean, rounded down.
    pub erase_count_mean: u32,
    /// Erases of the block that was erased most.
    pub erase_count_max: u32,
    /// Blocks that are not bad.
    pub good_blocks: u32,
    /// Blocks never used again, those included that still hold something alive: see [`Volume::next_bad_block`].
    pub bad_blocks: u32,
    /// Blocks that may still go bad before the capacity shrinks: those that the maker allows for, less the bad ones.
    pub spare_blocks: u32,
    /// Bytes of a block's pages, spare areas included.
    pub block_bytes: u32,
    /// Wrong bits that reads corrected since the mount.
    pub corrected_bits: u64,
    /// Reads that were tried again since the mount.
    pub retried_reads: u64,
    /// Whether the chip took no more writes: the volume is read-only until it is mounted again.
    pub worn_out: bool,
}

impl Health {
    /// Bytes that can still be programmed before a block has been erased as often as the data sheet promises, in the mean: what the
    /// user can write is this by the write amplification of the workload. 0 where that is past.
    pub const fn bytes_left(&self, endurance: u32) -> u64 {
        let erases = endurance.saturating_sub(self.erase_count_mean) as u64;
        erases.saturating_mul(self.good_blocks as u64).saturating_mul(self.block_bytes as u64)
    }
}

/// A block that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BadBlock {
    /// The block.
    pub block: u32,
    /// Why.
    pub reason: BadReason,
}

impl<F: Flash> Volume<'_, F> {
    /// How worn the chip is. Reads nothing.
    ///
    /// # Errors
    /// `NeedsRemount`.
    pub fn health(&self) -> Result<Health, Error> {
        self.usable()?;
        let (log, geometry) = (&self.tree.log, self.tree.log.pages.flash.geometry());
        let wear: Wear = log.alloc.wear();
        let bad_blocks = log.alloc.count(BlockState::Bad) + log.alloc.count(BlockState::Failing);
        let raw_page = geometry.page_size.saturating_add(geometry.spare_size);
        Ok(Health {
            erase_count_min: wear.least,
            erase_count_mean: wear.mean(),
            erase_count_max: wear.most,
            good_blocks: log.alloc.blocks().saturating_sub(bad_blocks),
            bad_blocks,
            spare_blocks: log.signature.geometry.bad_blocks_max.saturating_sub(bad_blocks),
            block_bytes: raw_page.saturating_mul(geometry.pages_per_block),
            corrected_bits: log.pages.statistics.corrected_bits,
            retried_reads: log.pages.statistics.retried_reads.into(),
            worn_out: self.worn_out,
        })
    }

    /// The first bad block from `from` on: a cursor over all of them. Reads nothing.
    pub fn next_bad_block(&self, from: u32) -> Option<BadBlock> {
        let alloc = &self.tree.log.alloc;
        (from..alloc.blocks()).find_map(|block| Some(BadBlock { block, reason: alloc.bad_reason(block)? }))
    }
}
