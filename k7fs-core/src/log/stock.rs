//! The stock of blocks that were erased ahead of their use.

use super::alloc::BadReason;
use super::heads::Head;
use super::{BlockState, ERASED_MAX, Log};
use crate::error::inner::Error;
use crate::flash::Flash;

/// A head's block is about to end where only one page in so many is left.
const ENDS_SHARE: u32 = 4;

impl<F: Flash> Log<'_, F> {
    /// Blocks that should be erased ahead and are not: enough of them for what is written between two idle moments, as far as there
    /// are free ones.
    pub(crate) fn erased_lacking(&self) -> u32 {
        let erased = self.erased.len() as u32;
        (ERASED_MAX as u32 - erased).min(self.alloc.count(BlockState::Free).saturating_sub(erased))
    }

    /// Erases a block that will be needed; `false` where none is left to erase, or enough are erased.
    pub(crate) fn erase_ahead(&mut self) -> Result<bool, Error> {
        if self.front.next.is_some_and(|next| self.front.may_say_erased && self.is_unerased(next)) {
            self.take_back_statement()?;
        }
        if self.erase_next()? {
            return Ok(true);
        }
        while !self.erased.is_full()
            && let Some(block) = self.alloc.least_worn_free(|block| self.is_unerased(block))
        {
            if self.erase_into_stock(block)? {
                return Ok(true);
            }
            self.retire(block, BadReason::Erase);
        }
        Ok(false)
    }

    /// Erases the block planned as the front head's next, so that pages say so: then a mount tells one that was lost from one whose erase
    /// was cut. `false` where there is nothing to erase, or it failed: it does so once more when it is opened, and is replaced then.
    pub(super) fn erase_next(&mut self) -> Result<bool, Error> {
        match self.next_to_erase() {
            Some(next) => self.erase_into_stock(next),
            None => Ok(false),
        }
    }

    /// Whether the planned successor is in stock.
    pub(super) fn is_next_erased(&self) -> bool {
        self.front.next.is_some_and(|next| !self.is_unerased(next))
    }

    /// The planned successor, if it may be erased: not while a page may say that it is, before this mount.
    fn next_to_erase(&self) -> Option<u32> {
        self.front.next.filter(|next| self.is_unerased(*next) && !self.front.may_say_erased)
    }

    /// Whether this mount has not erased a block yet, or used it since.
    pub(super) fn is_unerased(&self, block: u32) -> bool {
        !self.erased.iter().any(|erased| u32::from(*erased) == block)
    }

    /// `false` where the erase failed, or enough are erased.
    fn erase_into_stock(&mut self, block: u32) -> Result<bool, Error> {
        Ok(!self.erased.is_full() && self.erase_counted(block)? && self.erased.push(block as u16).is_ok())
    }

    /// Erases a block that will be opened before long, unless this call has erased one already: so that none has to wait for two.
    /// Not long before it is needed, and not before a block was opened: what is in stock at a stop is erased again, at worst after every
    /// start of a device that writes a little and stops.
    pub(crate) fn erase_soon(&mut self) -> Result<(), Error> {
        let front = self.ends_soon(&self.front) && self.next_to_erase().is_some();
        let wanted = u32::from(self.ends_soon(&self.moved)) + self.checkpoint_move_blocks();
        let stock = self.erased.iter().filter(|block| self.alloc.is_free((**block).into())).count() as u32;
        // Where the planned block fails another is erased in its place, once.
        let lacks = stock < wanted || front && stock == wanted;
        if lacks && self.is_lasting && !self.has_erased {
            self.erase_ahead()?;
        }
        Ok(())
    }

    fn ends_soon(&self, head: &Head<'_>) -> bool {
        let pages = self.pages.space.pages_per_block;
        head.block.is_some() && pages.saturating_sub(head.page) <= pages / ENDS_SHARE
    }
}
