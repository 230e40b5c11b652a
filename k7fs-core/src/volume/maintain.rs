//! What firmware may do in idle moments: work ahead, so that writes do not wait for it, and scrubbing.

use super::Volume;
use crate::error::Error;
use crate::flash::Flash;
use crate::tree::Scrubbed;

impl<F: Flash> Volume<'_, F> {
    /// Works ahead: erases blocks, empties blocks that hold little, writes the checkpoint that will be due. Programs about `budget`
    /// pages, one step more at most, where an erase counts for eight; ends before where nothing is due. Tells what is still due
    /// then, as [`Self::maintenance_due`] does. Where a weak page lies in a block that is being written to, two whole checkpoints come on
    /// top. What was written before is committed, as by [`sync`](Self::sync).
    ///
    /// A cut loses no more than the work: the erased blocks are erased again, the emptied ones still hold what they held.
    ///
    /// # Errors
    /// `InvalidOption` for a budget of 0, `Busy` within a transaction, `ReadOnly`, or what the chip meets.
    pub fn maintain(&mut self, budget: u32) -> Result<u32, Error> {
        self.begin_idle(budget)?;
        self.change(|volume| volume.tree.maintain(budget))?;
        Ok(self.maintenance_due())
    }

    /// Pages that [`Self::maintain`] would program now, about, with eight for each erase; 0 where nothing is due.
    pub fn maintenance_due(&self) -> u32 {
        if self.writable_volume().is_err() { 0 } else { self.tree.maintenance_due() }
    }

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
        self.begin_idle(budget)?;
        Ok(self.change(|volume| volume.tree.scrub(budget))?)
    }

    /// What comes before either: everything is committed.
    fn begin_idle(&mut self, budget: u32) -> Result<(), Error> {
        self.writable_volume()?;
        if self.in_transaction {
            return Err(Error::Busy);
        }
        if budget == 0 {
            return Err(Error::InvalidOption);
        }
        Ok(self.commit()?)
    }
}
