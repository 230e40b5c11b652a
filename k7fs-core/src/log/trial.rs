//! The trial of a block that held a weak page: years or reads nearby may have been to blame, or the block itself.

use super::{BadReason, BlockState, Log, SPARE_SHARE_MAX};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::page::ProgramError;

/// Pages of the block that are programmed and read, at most, evenly spread.
pub(crate) const TEST_PAGES: u32 = 16;
/// What is programmed: of every two neighbours one bit is programmed and one is not.
const PATTERN: u8 = 0x55;

impl<F: Flash> Log<'_, F> {
    /// Erases a suspect block, programs some of its pages and reads them again. It is free afterwards, to be erased once more before
    /// it is used, or bad if anything failed; also if too many bits were wrong, as long as there are blocks to spare.
    ///
    /// After a cut in between the block is free, and its test forgotten.
    pub(crate) fn test_block(&mut self, block: u32) -> Result<(), Error> {
        match self.fault_of(block)? {
            // More than were set aside would go at the price of what the user may fill.
            Some(BadReason::Weak) if !self.has_spare() => self.alloc.set_state(block, BlockState::Free),
            Some(reason) => self.retire(block, reason),
            None => self.alloc.set_state(block, BlockState::Free),
        }
        Ok(())
    }

    /// Whether fewer blocks are bad than were set aside for it.
    fn has_spare(&self) -> bool {
        let spare = self.signature.geometry.bad_blocks_max.min(self.alloc.blocks() / SPARE_SHARE_MAX);
        self.alloc.count(BlockState::Bad) + self.alloc.count(BlockState::Failing) < spare
    }

    fn fault_of(&mut self, block: u32) -> Result<Option<BadReason>, Error> {
        if !self.erase_counted(block)? {
            return Ok(Some(BadReason::Erase));
        }
        let len = self.pages.space.payload as usize;
        for page in self.test_pages(block) {
            match self.pages.program_pattern(page, PATTERN, len) {
                Ok(()) => {}
                Err(ProgramError::Failed) => return Ok(Some(BadReason::Program)),
                Err(ProgramError::Other(error)) => return Err(error),
            }
        }
        for page in self.test_pages(block) {
            let bits = self.pages.wrong_bits(page, PATTERN, len)?;
            if self.pages.is_worn(bits) {
                return Ok(Some(BadReason::Weak));
            }
        }
        Ok(None)
    }

    fn test_pages(&self, block: u32) -> impl Iterator<Item = u32> + use<F> {
        let space = self.pages.space;
        let step = space.pages_per_block.div_ceil(TEST_PAGES).max(1);
        (space.first_page(block)..space.first_page(block + 1)).step_by(step as usize)
    }
}
