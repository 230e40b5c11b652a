//! What firmware may do in idle moments, so that writes do not wait for it.

use super::Volume;
use crate::error::Error;
use crate::flash::Flash;

impl<F: Flash> Volume<'_, F> {
    /// Works ahead: erases blocks, empties blocks that hold little, writes the checkpoint that will be due. Programs about `budget`
    /// pages, one step more at most, where an erase counts for eight; ends before where nothing is due. Tells what is still due
    /// then, as [`Self::maintenance_due`] does. What was written before is committed, as by [`sync`](Self::sync).
    ///
    /// A cut loses no more than the work: the erased blocks are erased again, the emptied ones still hold what they held.
    ///
    /// # Errors
    /// `InvalidOption` for a budget of 0, `Busy` within a transaction, `ReadOnly`, or what the chip meets.
    pub fn maintain(&mut self, budget: u32) -> Result<u32, Error> {
        self.writable_volume()?;
        if self.in_transaction {
            return Err(Error::Busy);
        }
        if budget == 0 {
            return Err(Error::InvalidOption);
        }
        self.commit()?;
        self.change(|volume| volume.tree.maintain(budget))?;
        Ok(self.maintenance_due())
    }

    /// Pages that [`Self::maintain`] would program now, about, with eight for each erase; 0 where nothing is due.
    pub fn maintenance_due(&self) -> u32 {
        if self.writable_volume().is_err() { 0 } else { self.tree.maintenance_due() }
    }
}
