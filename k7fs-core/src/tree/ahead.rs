//! Work ahead: what writes would otherwise wait for, in small steps along with them or in idle time.
//!
//! A write that finds fewer free blocks than [`Tree::low_water`] owes pages for those that it takes: as many as have to be moved out
//! of the block that holds least to gain as much, and more the fewer blocks there are, so that the pool fills up again. What it owes
//! it pays at once as far as a call may, [`Tree::pages_of_call`], but not in less than [`BATCH_PAGES`]: each time costs a commit. When
//! blocks are empty a checkpoint is begun, whose steps go along with writes too and which frees them. No block is emptied meanwhile:
//! what is owed for that time is paid later. And the block that a head will open next is erased a little before.

use super::Tree;
use super::space::{SPARE_BLOCKS, half_way};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::log::{BlockState, TEST_PAGES};

/// Pages programmed by one step of cleaning in idle time, about.
pub(super) const STEP_PAGES: u32 = 4;
/// Pages that are moved at once along with a write, at least.
const BATCH_PAGES: u32 = 2 * STEP_PAGES;
/// Pages that may be owed; what is beyond is left for when it must.
const DEBT_MAX: u16 = 512;
/// What an erase counts for, in pages: about the time it takes on NAND.
const ERASE_PAGES: u32 = 8;
/// Blocks kept free at most beyond what the next operations need.
const POOL_MAX: u32 = 18;

impl<F: Flash> Tree<'_, F> {
    /// Blocks kept free beyond what the next operations need.
    pub(super) fn pool_blocks(&self) -> u32 {
        (2 + self.log.alloc.blocks() / 32).min(POOL_MAX)
    }

    /// Free blocks under which it is time to clean.
    fn low_water(&self) -> u32 {
        self.blocks_for_two() + self.checkpoint_blocks() + self.pool_blocks()
    }

    /// Whether blocks are so few that before long a write must wait for some.
    fn is_low(&self, free: u32) -> bool {
        free < self.low_water() - self.pool_blocks() / 2
    }

    /// Blocks that are free, and those that the next checkpoint frees.
    fn free_soon(&self) -> u32 {
        self.free_blocks() + self.blocks_emptied()
    }

    /// Blocks that were emptied since the last checkpoint, which the next one frees.
    pub(super) fn blocks_emptied(&self) -> u32 {
        (self.cleaned.len() as u32).saturating_sub(self.unreadable.into())
    }

    /// Blocks that are missing from [`Self::low_water`].
    fn blocks_lacking(&self) -> u32 {
        self.low_water().saturating_sub(self.free_soon())
    }

    /// Whether the table is so full that a checkpoint is worth its pages while nobody waits.
    pub(super) fn is_table_half_full(&self) -> bool {
        self.rows_to_replay() >= self.rows_max() / 2
    }

    /// Whether a step of emptying a block is due: of the one begun, or of one that gains something where blocks are few.
    fn may_clean(&self) -> bool {
        // The checkpoint that frees what is emptied needs blocks itself.
        if self.is_checkpoint_due(0) || self.cleaned.is_full() || self.free_blocks() < self.checkpoint_blocks() + 3 {
            return false;
        }
        match self.emptying {
            Some(emptying) => !emptying.is_cold() || self.free_blocks() >= self.comfortable_blocks(),
            None => self.blocks_lacking() > 0 && self.gainful_victim().is_some(),
        }
    }

    /// Whether emptying a block gains as much as it moves, so that a write pays for it before it must.
    fn gains_half(&self) -> bool {
        let half = u64::from(self.log.pages.space.block_payload()) / 2;
        self.emptying.is_some()
            || self.is_low(self.free_soon())
            || self.gainful_victim().is_some_and(|victim| self.log.alloc.live_bytes_of(victim) <= half)
    }

    /// Notes what was programmed since it was asked last, while no block could be emptied too; tells how many pages to move now: none
    /// until they are worth a commit.
    fn pages_owed(&mut self) -> u32 {
        let block = u64::from(self.log.pages.space.block_payload());
        let victim = self.emptying.map(|emptying| emptying.block.into()).or_else(|| self.gainful_victim());
        let live = victim.map_or(0, |block| self.log.alloc.live_bytes_of(block)).min(block * 3 / 4);
        let taken = u64::from((self.log.pages_written() as u16).wrapping_sub(self.pages_seen));
        let even = (taken * live).div_ceil((block - live).max(1));
        let (lacking, low) = (u64::from(self.blocks_lacking()), u64::from(self.low_water().max(1)));
        // Where the block holds next to nothing the pool fills up all the same.
        let least = if victim.is_some() { taken * lacking / low } else { 0 };
        let owed = (even + even * 2 * lacking / low).max(least);
        self.debt = self.debt.saturating_add(owed.min(DEBT_MAX.into()) as u16).min(DEBT_MAX);
        let debt = u32::from(self.debt);
        if debt < BATCH_PAGES { 0 } else { debt.min(self.pages_of_call(owed as u32)) }
    }

    /// Pages that a call moves at most for others, which has come to owe so many itself: half as many again up to a quarter of a block,
    /// and a part of what is owed that grows to a quarter as blocks become few.
    fn pages_of_call(&self, owed: u32) -> u32 {
        let own = (owed * 3 / 2).min(self.log.pages.space.pages_per_block / 4);
        let late = u32::from(self.debt) * self.blocks_lacking() / self.low_water().max(1) / 4;
        own.max(late).max(BATCH_PAGES)
    }

    /// Whether blocks are few enough that a checkpoint is worth its pages, which frees as many emptied ones at least as it takes.
    fn may_begin(&self) -> bool {
        let is_worth_it = self.blocks_emptied() >= self.checkpoint_blocks_now().max(1);
        is_worth_it && self.is_low(self.free_blocks()) && self.has_blocks_to_begin()
    }

    /// Whether a checkpoint must begin now, so that no call has to wait for all of it.
    fn must_begin(&self) -> bool {
        self.may_begin() && self.free_blocks() <= self.blocks_to_end() + SPARE_BLOCKS + 2
    }

    /// Pays for what is written with some cleaning, where it is due. Not in a transaction.
    pub(super) fn clean_ahead(&mut self) -> Result<(), Error> {
        self.log.has_erased = false;
        self.choose_laggard();
        if self.spilled || self.emptying.is_none() && self.blocks_lacking() == 0 {
            self.debt = 0;
        } else {
            let pages = self.pages_owed();
            if self.stage.is_none() && pages > 0 {
                self.pay(pages)?;
            }
        }
        self.log.erase_soon()?;
        self.pages_seen = self.log.pages_written() as u16;
        Ok(())
    }

    /// Moves so many pages, or begins the checkpoint that frees what was emptied.
    fn pay(&mut self, pages: u32) -> Result<(), Error> {
        if self.may_clean() && self.gains_half() && !self.must_begin() {
            let before = self.log.pages_written();
            self.clean_step(pages)?;
            self.debt = self.debt.saturating_sub((self.log.pages_written() - before) as u16);
        } else if self.may_begin() {
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
            } else if self.test_suspect()? {
                spent += ERASE_PAGES + TEST_PAGES;
            } else if self.may_clean() {
                self.clean_step(STEP_PAGES)?;
            } else if self.may_begin_idle() {
                self.begin_checkpoint();
            } else {
                self.choose_weak()?;
                self.choose_disturbed()?;
                self.choose_laggard();
                if !self.may_clean() {
                    break;
                }
            }
            spent += (self.log.pages_written() - before) as u32;
        }
        self.pages_seen = self.log.pages_written() as u16;
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
        let suspects = self.log.alloc.count(BlockState::Suspect);
        let mut due = self.log.erased_lacking() * ERASE_PAGES + suspects * (ERASE_PAGES + TEST_PAGES);
        if self.stage.is_some() || self.may_begin_idle() {
            let node_pages = self.log.signature.node_bytes_max.div_ceil(space.payload.max(1));
            due += (self.log.table.len() as u32 + 2) * node_pages;
        }
        let may_choose = self.emptying.is_none() && !self.cleaned.is_full();
        if may_choose && self.log.pages.sample().is_some() {
            due += 1;
        }
        if may_choose && self.log.pages.weakest().is_some() {
            due += space.pages_per_block;
        }
        if self.may_clean() {
            let blocks = self.blocks_lacking().max(1);
            due = due.saturating_add(blocks.saturating_mul(space.pages_per_block));
        }
        due
    }
}
