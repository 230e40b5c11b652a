//! Scrubbing, in steps.

use super::Volume;
use crate::error::Error;
use crate::flash::Flash;
use crate::tree::Scrubbed;

impl<F: Flash> Volume<'_, F> {
    /// Goes on with reading every page in use, to move what is in a block with a weak page before the page is lost. A step reads
    /// and programs about `budget` pages, more only where the block that is being written to is weak itself. Pages are read from the
    /// chip even where they are in memory, their parity included. What was written before is committed, as by
    /// [`sync`](Self::sync).
    ///
    /// A pass goes on after a clean stop where it was, and after a cut at most an eighth of the volume before that. A cut loses no
    /// more than the work.
    ///
    /// # Errors
    /// `InvalidOption` for a budget of 0, `Busy` within a transaction, `ReadOnly`, or what the chip meets.
    pub fn scrub(&mut self, budget: u32) -> Result<Scrubbed, Error> {
        self.writable_volume()?;
        if self.in_transaction {
            return Err(Error::Busy);
        }
        if budget == 0 {
            return Err(Error::InvalidOption);
        }
        self.commit()?;
        Ok(self.change(|volume| volume.tree.scrub(budget))?)
    }
}
