//! Scrubbing: every page in use is read in turn, and what is in a block with a weak page moves before the page can no longer be read.
//!
//! A weak page that an ordinary read came upon is looked at once more in idle time; the block moves if it is still weak. What is read
//! often disturbs its neighbours, which nobody may read: one read in some thousand is a sample, around which the pages of its block are
//! looked at in idle time. So a block is looked at as often as it is read, without a counter for each. A block that held a weak page
//! is tested before it is used again, and given up where it is to blame itself.

use super::Tree;
use super::ahead::STEP_PAGES;
use super::cleaner::{Emptying, Why};
use super::space::{Demand, half_way};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::log::{BlockState, TEST_PAGES};

/// The volume is gone through in so many parts, and a checkpoint says that one is done.
const PARTS: u32 = 8;
/// Pages that are looked at together where reads may have disturbed them.
const PAGES_AROUND: u32 = 64;

/// What a step of scrubbing has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Scrubbed {
    /// Pages looked at.
    pub pages: u32,
    /// Bits of them that were wrong and could be mended; saturates.
    pub corrected_bits: u32,
    /// Blocks with a page of which three quarters of the wrong bits have come that the small decoder mends: what they hold moves.
    pub weak_blocks: u32,
    /// Pages that could not be read. What a power cut has torn is among them, in which nothing is alive: [`Volume::check`](crate::Volume::check) tells
    /// whether anything is lost.
    pub unreadable_pages: u32,
    /// The end of the volume was reached: the next step begins a new pass.
    pub is_complete: bool,
}

impl<F: Flash> Tree<'_, F> {
    /// Goes on with the pass, for about so many pages read or programmed, or until its end. Not in a transaction; commits.
    pub(crate) fn scrub(&mut self, budget: u32) -> Result<Scrubbed, Error> {
        self.commit()?;
        let mut looked = Scrubbed::default();
        let mut spent = 0;
        while spent < budget && !looked.is_complete {
            let before = self.log.pages_written();
            if self.stage.is_some() {
                self.step_checkpoint().map_err(half_way)?;
            } else if let Some(emptying) = self.emptying {
                self.refresh(emptying)?;
            } else if self.test_suspect()? {
                spent += TEST_PAGES;
            } else {
                spent += 1;
                self.look_further(&mut looked)?;
            }
            spent += (self.log.pages_written() - before) as u32;
        }
        Ok(looked)
    }

    /// Moves on with a weak block; gives it up until the next pass where there is no room.
    fn refresh(&mut self, emptying: Emptying) -> Result<(), Error> {
        let is_needed = self.is_candidate(emptying.block.into());
        let may_begin = self.free_blocks() >= self.checkpoint_blocks_now() + 2;
        if is_needed && self.free_blocks() >= self.comfortable_blocks() {
            if !self.is_table_half_full() && !self.is_checkpoint_due(0) && !self.cleaned.is_full() {
                return self.clean_step(STEP_PAGES);
            }
            if may_begin {
                self.begin_checkpoint();
                return Ok(());
            }
        } else if is_needed && may_begin && !self.cleaned.is_empty() {
            self.begin_checkpoint();
            return Ok(());
        }
        self.emptying = None;
        Ok(())
    }

    /// Looks at the next page, or passes over a block that holds nothing.
    fn look_further(&mut self, scrubbed: &mut Scrubbed) -> Result<(), Error> {
        let space = self.log.pages.space;
        let page = self.log.checkpoint.scrubbed;
        if page >= space.page_count() {
            self.log.checkpoint.scrubbed = 0;
            scrubbed.is_complete = true;
            return Ok(());
        }
        let block = space.block_of_page(page);
        let next_block = space.first_page(block + 1);
        if !self.holds_something(block) {
            self.go_on(next_block);
            return Ok(());
        }
        scrubbed.pages += 1;
        match self.log.inspect(page) {
            Ok(None) => self.go_on(page + 1),
            Ok(Some(correction)) => {
                scrubbed.corrected_bits = scrubbed.corrected_bits.saturating_add(correction.bits);
                if !self.log.pages.is_weak(correction.margin) {
                    self.go_on(page + 1);
                    return Ok(());
                }
                scrubbed.weak_blocks += 1;
                self.log.checkpoint.scrubbed = next_block;
                self.empty_weak(block)?;
            }
            Err(error) if error.is_useless() => {
                scrubbed.unreadable_pages += 1;
                self.go_on(page + 1);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The pass goes on with this page. Where a part is done a checkpoint says so, from which it goes on after a cut.
    fn go_on(&mut self, page: u32) {
        self.log.checkpoint.scrubbed = page;
        let space = self.log.pages.space;
        let part = (space.block_count / PARTS).max(1) * space.pages_per_block;
        if page.is_multiple_of(part) && page < space.page_count() && self.free_blocks() >= self.blocks_for_two() {
            self.begin_checkpoint();
        }
    }

    fn holds_something(&self, block: u32) -> bool {
        let alloc = &self.log.alloc;
        match alloc.state(block) {
            BlockState::Used | BlockState::Failing => alloc.live(block) > 0,
            BlockState::Free | BlockState::Suspect | BlockState::Bad => false,
            // Spare ones of the fixed set are blank.
            BlockState::Anchor => self.log.is_anchor(block),
            // What the planned successor holds is of an earlier life.
            BlockState::Tail | BlockState::Kept => !self.log.is_planned(block),
        }
    }

    /// A block with a weak page is emptied next. One that is being written to is left first, and an anchor is written anew, at the
    /// price of two checkpoints.
    fn empty_weak(&mut self, block: u32) -> Result<(), Error> {
        if !self.is_candidate(block) {
            self.make_room(&Demand::default(), false)?;
            self.checkpoint().map_err(half_way)?;
            if self.log.leave_blocks(block..block + 1).map_err(half_way)? {
                self.checkpoint().map_err(half_way)?;
            }
        }
        if self.is_candidate(block) {
            self.emptying = Some(Emptying { block: block as u16, page: 0, why: Why::Weak });
        }
        Ok(())
    }

    /// Of the blocks that a checkpoint has just freed, those that held weak pages are to be tested.
    pub(super) fn suspect_weak(&mut self) {
        let weak = core::mem::take(&mut self.weak);
        for (place, block) in (0..u16::BITS).zip(self.cleaned.iter()) {
            let block = u32::from(*block);
            if weak >> place & 1 == 1 && self.log.alloc.state(block) == BlockState::Free {
                self.log.alloc.set_state(block, BlockState::Suspect);
            }
        }
    }

    /// Tests a block that held a weak page; `false` where there is none.
    pub(super) fn test_suspect(&mut self) -> Result<bool, Error> {
        let Some(block) = self.log.alloc.suspect() else { return Ok(false) };
        self.log.test_block(block)?;
        Ok(true)
    }

    /// Looks at the pages around one that stands for those that were read often, and chooses their block if one is weak.
    pub(super) fn choose_disturbed(&mut self) -> Result<(), Error> {
        if self.emptying.is_some() || self.cleaned.is_full() {
            return Ok(());
        }
        let Some(page) = self.log.pages.sample() else { return Ok(()) };
        self.log.pages.clear_sample();
        let block = self.log.pages.space.block_of_page(page);
        let first = page - page % PAGES_AROUND;
        for page in first..first + PAGES_AROUND {
            if self.log.pages.space.block_of_page(page) != block || !self.holds_something(block) {
                continue;
            }
            match self.log.inspect(page) {
                Ok(Some(correction)) if self.log.pages.is_weak(correction.margin) => return self.empty_weak(block),
                Err(error) if !error.is_useless() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Chooses the block with the weakest page that reads have met to be emptied next, if it is weak still.
    pub(super) fn choose_weak(&mut self) -> Result<(), Error> {
        if self.emptying.is_some() || self.cleaned.is_full() {
            return Ok(());
        }
        let Some(page) = self.log.pages.weakest() else { return Ok(()) };
        let block = self.log.pages.space.block_of_page(page);
        let found = self.log.inspect(page);
        self.log.pages.statistics.weakest = None;
        match found {
            Ok(Some(correction)) if self.log.pages.is_weak(correction.margin) && self.holds_something(block) => {
                self.empty_weak(block)
            }
            Err(error) if !error.is_useless() => Err(error),
            _ => Ok(()),
        }
    }
}
