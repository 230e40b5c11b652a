//! Work ahead: what writes would otherwise wait for, in small steps along with them or in idle time.
//!
//! A write that finds fewer free blocks than [`Tree::low_water`] moves some pages out of the block that holds least, as long as that
//! gains as much as it costs; when blocks are empty a checkpoint is begun, whose steps go along with writes too and which frees
//! them. Where blocks are fuller, a write cleans only when it must, many blocks at once: later is cheaper then, because more of
//! what they hold is gone. Idle time is spent on all of it, and on erasing blocks.

use super::Tree;
use super::cleaner::Emptying;
use super::space::half_way;
use crate::error::inner::Error;
use crate::flash::Flash;

/// Pages programmed by one step of cleaning, about.
pub(super) const STEP_PAGES: u32 = 4;
/// What an erase counts for, in pages: about the time it takes on NAND.
const ERASE_PAGES: u32 = 8;

impl<F: Flash> Tree<'_, F> {
    /// Blocks kept free beyond what the next operations need.
    pub(super) fn pool_blocks(&self) -> u32 {
        2 + self.log.alloc.blocks() / 32
    }

    /// Free blocks under which it is time to clean.
    fn low_water(&self) -> u32 {
        self.blocks_to_begin() + self.checkpoint_blocks() + self.pool_blocks()
    }

    /// Blocks that are free, and those that the next checkpoint frees.
    fn free_soon(&self) -> u32 {
        self.free_blocks() + self.cleaned.len() as u32
    }

    /// Whether the table needs its other half for what is written until the next checkpoint has ended: what is moved takes none of it.
    pub(super) fn is_table_half_full(&self) -> bool {
        self.rows_to_replay() >= self.rows_max() / 2
    }

    /// Whether a step of emptying a block is due: of the one begun, or of one that gains something where blocks are few.
    fn may_clean(&self) -> bool {
        if self.is_table_half_full() || self.cleaned.is_full() {
            return false;
        }
        match self.emptying {
            Some(Emptying { is_cold: true, .. }) => self.free_blocks() >= self.comfortable_blocks(),
            Some(_) => true,
            None => self.free_soon() < self.low_water() && self.gainful_victim().is_some(),
        }
    }

    /// Whether emptying a block gains as much as it moves, so that a write pays for it before it must.
    fn gains_half(&self) -> bool {
        let half = u64::from(self.log.pages.space.block_payload()) / 2;
        self.emptying.is_some()
            || self.gainful_victim().is_some_and(|victim| self.log.alloc.live_bytes_of(victim) <= half)
    }

    /// Pages to move for so many bytes that are written, so that as much is gained as they take.
    fn pages_owed(&self, bytes: u64) -> u32 {
        let space = &self.log.pages.space;
        let block = u64::from(space.block_payload());
        let live = self.emptying.map_or(0, |emptying| self.log.alloc.live_bytes_of(emptying.block.into()));
        let owed = (bytes * live.min(block / 2)).checked_div(block - live.min(block / 2)).unwrap_or(0);
        STEP_PAGES + owed.div_ceil(u64::from(space.payload.max(1))) as u32
    }

    /// Whether blocks are few enough that a checkpoint is worth its pages, which frees the emptied ones; with room to spare for another.
    fn may_begin(&self) -> bool {
        let free = self.free_blocks();
        let is_low = free < self.low_water() - self.pool_blocks() / 2;
        !self.cleaned.is_empty() && is_low && free >= self.blocks_to_begin()
    }

    /// Pays for a write of so many bytes with some cleaning, where it is due. Not in a transaction.
    pub(super) fn clean_ahead(&mut self, bytes: u64) -> Result<(), Error> {
        self.choose_laggard();
        if self.stage.is_some() || self.spilled {
            return Ok(());
        }
        if self.may_clean() && self.gains_half() {
            return self.clean_step(self.pages_owed(bytes));
        }
        if self.may_begin() {
            self.commit()?;
            self.begin_checkpoint();
        }
        Ok(())
    }

    /// Takes steps ahead of writes until about so many pages are programmed, an erase counted as [`ERASE_PAGES`], or nothing is
    /// due. Not in a transaction; commits.
    pub(crate) fn maintain(&mut self, budget: u32) -> Result<(), Error> {
        self.commit()?;
        let mut spent = 0;
        while spent < budget {
            let before = self.log.pages_written();
            if self.stage.is_some() {
                self.step_checkpoint().map_err(half_way)?;
            } else if self.log.erased_lacking() > 0 {
                self.log.erase_ahead()?;
                spent += ERASE_PAGES;
            } else if self.may_clean() {
                self.clean_step(STEP_PAGES)?;
            } else if self.may_begin_idle() {
                self.begin_checkpoint();
            } else {
                self.choose_weak()?;
                self.choose_laggard();
                if !self.may_clean() {
                    break;
                }
            }
            spent += (self.log.pages_written() - before) as u32;
        }
        Ok(())
    }

    /// Whether a checkpoint is worth its pages while nobody waits: it frees blocks, or it will be due before long.
    fn may_begin_idle(&self) -> bool {
        let free = self.free_blocks();
        let is_late = self.is_table_half_full() || self.is_tail_full(2);
        let frees = !self.cleaned.is_empty() && free < self.low_water();
        (is_late || frees) && free >= self.checkpoint_blocks_now() + 2
    }

    /// Pages that [`Self::maintain`] would program, about.
    pub(crate) fn maintenance_due(&self) -> u32 {
        let space = &self.log.pages.space;
        let mut due = self.log.erased_lacking() * ERASE_PAGES;
        if self.stage.is_some() || self.may_begin_idle() {
            let node_pages = self.log.signature.node_bytes_max.div_ceil(space.payload.max(1));
            due += (self.log.table.len() as u32 + 2) * node_pages;
        }
        if self.log.pages.weakest().is_some() {
            due += space.pages_per_block;
        }
        if self.may_clean() {
            let blocks = self.low_water().saturating_sub(self.free_soon()).max(1);
            due = due.saturating_add(blocks.saturating_mul(space.pages_per_block));
        }
        due
    }
}
