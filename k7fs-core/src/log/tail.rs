//! The log's tail: the pages behind the checkpoint, found by following the chain of blocks.
//!
//! ```text
//! checkpoint ──> front block ──(header: next)──> block ──> ... ──> last block with more than its header
//! ```
//!
//! A block counts as the successor only if its header names the block before it, so that what it held earlier never joins.

use super::checkpoint::Checkpoint;
use super::heads::{BlockHeader, Doubt, LOG_FIRST_PAGE};
use super::{BlockState, Log};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::page::{Header, PageKind};

/// The log's tail as found.
pub(super) struct Tail {
    pub(super) block: u32,
    /// Where the next page may be programmed, within the block.
    pub(super) end: u32,
    /// The last page that was touched can be read: then the one behind it may be torn without a trace.
    pub(super) last_readable: bool,
    pub(super) newest_commit: Option<u32>,
    /// The header of the block that the checkpoint names cannot be read, and nothing was programmed behind the checkpoint: the log
    /// cannot go on here.
    pub(super) is_cut_off: bool,
}

impl Tail {
    /// Whether nothing was programmed behind the checkpoint. The header of a further block does not count: that block is
    /// erased again before use.
    pub(super) fn is_empty(&self, checkpoint: &Checkpoint) -> bool {
        self.block == checkpoint.front_block && self.end == checkpoint.front_page
    }
}

impl<F: Flash> Log<'_, F> {
    /// Follows the log's chain from the checkpoint to its last page.
    #[inline(never)]
    pub(super) fn find_tail(&mut self) -> Result<Tail, Error> {
        let space = self.pages.space;
        let (mut block, mut from) = (self.checkpoint.front_block, self.checkpoint.front_page);
        if block >= space.block_count || from > space.pages_per_block {
            return Err(Error::Corrupt { page: 0 });
        }
        let mut last_commit = None;
        let mut pages = 0;
        self.mark_tail(block);
        if self.chain_header(block)?.is_none() && from < space.pages_per_block {
            let end = self.end_of_pages(block, from, Some(from))?;
            if end > from {
                return Err(Error::Uncorrectable { page: space.first_page(block) + from });
            }
            self.pages_in_tail = 0;
            return Ok(Tail { block, end, last_readable: true, newest_commit: None, is_cut_off: true });
        }
        // Where the checkpoint's last commit was there may be another one now.
        let known_block = self.checkpoint.last_commit.map(|page| space.block_of_page(page));
        let (front_block, front_page) = (block, from);
        let pages_of = |block: u32, end: u32| {
            let first = space.first_page(block);
            first + if block == front_block { front_page } else { 0 }..first.saturating_add(end)
        };
        let mut known_pages = 0..0;
        let mut previous = block;
        let mut next = self.successor(block)?;
        let mut before = self.chain_header(block)?.map_or(0, |(page, _)| page.sequence);
        for _ in 0..space.block_count {
            let Some(candidate) = next else { break };
            let Some((page, header)) = self.successor_header(candidate, before)? else { break };
            before = page.sequence;
            if Some(previous) == known_block {
                known_pages = pages_of(previous, header.before_pages);
            }
            previous = candidate;
            // A block that holds only its header is no part of the chain: it is erased again before use, so that nothing
            // in doubt ever speaks for a block. But where the next one was begun, this one must have been in use.
            if self.is_begun(candidate)? {
                last_commit = page.last_commit;
                self.sequence = self.sequence.max(page.sequence);
                self.learn_life(space.first_page(candidate), &page)?;
                self.mark_tail(candidate);
                pages += space.pages_per_block - from;
                (block, from) = (candidate, LOG_FIRST_PAGE);
            }
            next = header.next.filter(|next| *next < space.block_count).map(|next| self.checkpoint.jump(next));
        }
        let end = self.end_of_pages(block, from, Some(from))?;
        if Some(block) == known_block {
            known_pages = pages_of(block, end);
        }
        self.pages_in_tail = pages + end - from;
        let mut tail = Tail { block, end, last_readable: end == from, newest_commit: last_commit, is_cut_off: false };
        for index in (from..end).rev() {
            let page = space.first_page(block) + index;
            let header = match self.pages.header(page) {
                Ok(header) => header,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            if !header.is_log() || header.sequence <= self.checkpoint.tail_sequence {
                continue;
            }
            self.sequence = self.sequence.max(header.sequence);
            tail.last_readable = index + 1 == end;
            tail.newest_commit = if header.commit { Some(page) } else { header.last_commit };
            break;
        }
        if let Some(page) = tail.newest_commit.filter(|page| Some(*page) == self.checkpoint.last_commit)
            && !(known_pages.contains(&page) && self.is_in_tail(page)?)
        {
            tail.newest_commit = None;
        }
        Ok(tail)
    }

    /// Whether a page of the tail has a commit behind the checkpoint.
    fn is_in_tail(&mut self, page: u32) -> Result<bool, Error> {
        let header = self.pages.header(page)?;
        Ok(header.is_log() && header.commit && header.sequence > self.checkpoint.tail_sequence)
    }

    /// The header of the successor of the block whose first page has the number `before`; `None` where the block was not
    /// opened as that yet.
    ///
    /// A block whose header cannot be read is only believed to be unused if the next pages say nothing else, and nothing refers to it:
    /// forgetting commits silently would be worse than refusing to mount.
    fn successor_header(&mut self, block: u32, before: u64) -> Result<Option<(Header, BlockHeader)>, Error> {
        let newer_than = self.checkpoint.tail_sequence.max(before);
        let is_replacement = self.checkpoint.jumps.leads_to(block);
        let follows = |page: &Header| {
            let is_log = if is_replacement { page.is_log() } else { page.kind == PageKind::Front };
            is_log && page.sequence > newer_than
        };
        let first_page = self.pages.space.first_page(block);
        // A look at some bytes first: mostly the block is blank.
        if !self.pages.probe(first_page)? {
            return Ok(None);
        }
        if let Some(found) = self.block_header(block)? {
            return Ok(Some(found).filter(|(page, header)| follows(page) && header.before == before));
        }
        for page in first_page + LOG_FIRST_PAGE..first_page + self.pages.space.pages_per_block.min(3) {
            if self.pages.probe(page)? && self.pages.header(page).is_ok_and(|page| follows(&page)) {
                return Err(Error::Uncorrectable { page: first_page });
            }
        }
        // The checkpoint itself may have gone on there.
        if self.alloc.live(block) > 0 { Err(Error::Uncorrectable { page: first_page }) } else { Ok(None) }
    }

    /// Whether a log block holds more than its header.
    fn is_begun(&mut self, block: u32) -> Result<bool, Error> {
        let page = self.pages.space.first_page(block) + LOG_FIRST_PAGE;
        // The first page behind the header may have been passed over.
        Ok(self.pages.probe(page)? || self.pages.probe(page + 1)?)
    }

    /// Keeps a block from being cleaned or used again before the next checkpoint.
    pub(super) fn mark_tail(&mut self, block: u32) {
        if matches!(self.alloc.state(block), BlockState::Free | BlockState::Used) {
            self.alloc.set_state(block, BlockState::Tail);
        }
    }

    /// Puts the front head behind the last page found.
    pub(super) fn place_front(&mut self, tail: &Tail) -> Result<(), Error> {
        if tail.is_cut_off {
            self.leave_chain();
            return Ok(());
        }
        let space = self.pages.space;
        let header = self.chain_header(tail.block)?;
        let first_page = space.first_page(tail.block);
        let Some((header, block_header)) = header else {
            return Err(Error::Uncorrectable { page: first_page });
        };
        let next = block_header.next.filter(|next| *next < space.block_count);
        let next = next.ok_or(Error::Corrupt { page: first_page })?;
        let next = self.checkpoint.jump(next);
        self.front.place(tail.block, first_page, tail.end);
        let named = tail.block == self.checkpoint.front_block;
        self.front.search_from = if named { self.checkpoint.front_page } else { LOG_FIRST_PAGE };
        self.front.first_sequence = header.sequence;
        self.front.doubt = Doubt::MayShow;
        self.front.next = Some(next);
        self.mark_tail(next);
        Ok(())
    }

    /// Puts the moved head where the checkpoint or the newest commit says, which says its block's life too unless that is known. What
    /// lies there may have been touched since.
    pub(super) fn place_moved(&mut self, page: Option<u32>, life: Option<u32>) -> Result<(), Error> {
        let space = self.pages.space;
        let Some(page) = page.filter(|page| *page <= space.page_count()) else { return Ok(()) };
        // A full block's next page is the first one of the block behind it.
        let block = space.block_of_page(page.saturating_sub(1));
        let first_page = space.first_page(block);
        if !matches!(self.alloc.state(block), BlockState::Free | BlockState::Used | BlockState::Tail) {
            return Ok(());
        }
        if self.alloc.state(block) != BlockState::Tail {
            self.take_life(page.saturating_sub(1), life)?;
        }
        self.mark_tail(block);
        self.moved.place(block, first_page, page - first_page);
        self.moved.doubt = Doubt::MayShow;
        Ok(())
    }
}
