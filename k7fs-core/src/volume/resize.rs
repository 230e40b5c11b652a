//! The volume as a whole: how many blocks it has, and which of them are erased ahead.

use super::Volume;
use crate::error::Error;
use crate::flash::Flash;

impl<F: Flash> Volume<'_, F> {
    /// Gives the volume another number of blocks, from its first one on.
    ///
    /// More blocks must be there on the chip: its driver says how many there are, and a mount takes a chip with more blocks than the
    /// volume has. Fewer are enough for the chip from when this returns. What lies beyond the new end is moved before, in
    /// many commits; a power cut on the way leaves the old number of blocks, or the new one. Takes long, in proportion to what is
    /// moved.
    ///
    /// # Errors
    /// `ResizeTooSmall` with the fewest blocks that hold what there is, `ResizeTooLarge` with the blocks of the chip, `Busy` within a
    /// transaction, `ReadOnly`; `NoSpace` where blocks run out on the way, `Uncorrectable` where something beyond the new end cannot be
    /// read and so not be moved. Nothing is lost then, and the volume has the blocks it had.
    pub fn resize(&mut self, blocks: u32) -> Result<(), Error> {
        self.writable_volume()?;
        if self.in_transaction {
            return Err(Error::Busy);
        }
        let chip = self.tree.log.pages.flash.geometry().block_count;
        if blocks > chip {
            return Err(Error::ResizeTooLarge { blocks_max: chip });
        }
        self.commit()?;
        let before = self.tree.log.alloc.blocks();
        if blocks < before {
            let blocks_min = self.change(|volume| volume.tree.blocks_least())?;
            if blocks < blocks_min {
                return Err(Error::ResizeTooSmall { blocks_min });
            }
        }
        let resized = self.change(|volume| match blocks.cmp(&before) {
            core::cmp::Ordering::Less => volume.tree.shrink(blocks),
            core::cmp::Ordering::Equal => Ok(()),
            core::cmp::Ordering::Greater => volume.tree.grow(blocks),
        });
        Ok(resized?)
    }

    /// Erases up to so many free blocks ahead of their use, and tells how many.
    ///
    /// Eight are kept erased at most. A write that needs a fresh block takes one of them and so does not wait for an erase. Meant for
    /// idle moments; each block takes as long as one erase. The next mount knows nothing of it.
    ///
    /// # Errors
    /// `ReadOnly`, or what the chip meets.
    pub fn erase_ahead(&mut self, blocks: u32) -> Result<u32, Error> {
        self.writable_volume()?;
        let mut erased = 0;
        while erased < blocks {
            if !self.change(|volume| volume.tree.log.erase_ahead())? {
                break;
            }
            erased += 1;
        }
        Ok(erased)
    }
}
