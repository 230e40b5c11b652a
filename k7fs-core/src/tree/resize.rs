//! More blocks for a volume, or fewer: what lies beyond the new end moves first, and one checkpoint states the new number.

use super::Tree;
use super::space::{Demand, half_way};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::log::{BLOCKS_MIN, BlockState};

/// Rounds of moving that may gain nothing, one after another.
const ROUNDS_IN_VAIN_MAX: u32 = 8;

impl<F: Flash> Tree<'_, F> {
    /// Takes blocks in. Everything is committed.
    pub(crate) fn grow(&mut self, blocks: u32) -> Result<(), Error> {
        self.make_room(&Demand::default(), false)?;
        self.checkpoint().map_err(half_way)?;
        let before = self.log.alloc.blocks();
        self.log.resize(blocks).map_err(half_way)?;
        // What the checkpoint before does not know of is not used before the new one is there; unless the larger table
        // does not fit otherwise.
        self.log.alloc.set_end(before);
        if self.free_blocks() < self.checkpoint_blocks_now() + 2 {
            self.log.alloc.set_end(blocks);
        }
        self.checkpoint().map_err(half_way)?;
        self.log.alloc.set_end(blocks);
        Ok(())
    }

    /// Gives blocks up. A cut before the last step leaves the old number of blocks. Everything is committed.
    pub(crate) fn shrink(&mut self, blocks: u32) -> Result<(), Error> {
        self.log.alloc.set_end(blocks);
        if let Err(error) = self.empty_from(blocks) {
            self.log.alloc.set_end(self.log.alloc.blocks());
            return Err(error);
        }
        self.log.resize(blocks).map_err(half_way)?;
        self.checkpoint().map_err(half_way)
    }

    /// The fewest blocks that hold what the volume holds.
    pub(crate) fn blocks_least(&mut self) -> Result<u32, Error> {
        // What is not merged yet counts as more than it takes.
        self.checkpoint().map_err(half_way)?;
        let alloc = &self.log.alloc;
        let is_out = |block| matches!(alloc.state(block), BlockState::Bad | BlockState::Failing);
        let mut bad = (0..BLOCKS_MIN).filter(|block| is_out(*block)).count() as u32;
        for blocks in BLOCKS_MIN..alloc.blocks() {
            let capacity = self.capacity_of(blocks, bad);
            if capacity >= self.used_of(blocks) && capacity >= self.capacity_min().into() {
                return Ok(blocks);
            }
            bad += u32::from(is_out(blocks));
        }
        Ok(alloc.blocks())
    }

    /// Moves everything out of the blocks from `end` on.
    fn empty_from(&mut self, end: u32) -> Result<(), Error> {
        let (mut least, mut in_vain) = (u64::MAX, 0);
        loop {
            self.make_room(&Demand::default(), false)?;
            self.checkpoint().map_err(half_way)?;
            if self.log.leave_blocks(end..u32::MAX).map_err(half_way)? {
                self.checkpoint().map_err(half_way)?;
            }
            let Some(first) = self.log.occupied_from(end) else { return Ok(()) };
            let alloc = &self.log.alloc;
            let left = (end..alloc.blocks()).map(|block| 1 + u64::from(alloc.live(block))).sum();
            in_vain = if left < least { 0 } else { in_vain + 1 };
            least = least.min(left);
            if in_vain > ROUNDS_IN_VAIN_MAX {
                // What cannot be read cannot be moved.
                return Err(Error::Uncorrectable { page: self.log.pages.space.first_page(first) });
            }
            self.move_from(end).map_err(half_way)?;
        }
    }

    /// Moves as much as the table and the free blocks take.
    fn move_from(&mut self, end: u32) -> Result<(), Error> {
        for block in end..self.log.alloc.blocks() {
            let holds = self.log.alloc.live(block) > 0
                && matches!(self.log.alloc.state(block), BlockState::Used | BlockState::Failing);
            if !holds {
                continue;
            }
            if self.free_blocks() < self.checkpoint_blocks_now() + 2 || !self.evacuate(block)? {
                break;
            }
        }
        self.checkpoint()?;
        #[cfg(feature = "indexes")]
        self.recount()?;
        self.cleaned.clear();
        (self.weak, self.unreadable) = (0, 0);
        Ok(())
    }
}
