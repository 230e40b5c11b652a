//! The log's tail: the pages behind the checkpoint, found by following the chain of blocks.
//!
//! ```text
//! checkpoint ──> front block ──(header: next)──> block ──> ... ──> last block with more than its header
//! ```
//!
//! A block counts as the successor only if its header names the block before it, so that what it held earlier never joins. Where a
//! header is lost the same says what follows: the block that names a page older than those which can still be read.

use core::ops::Range;

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
    /// A header of the chain cannot be read: the log goes on in another one.
    pub(super) is_cut_off: bool,
}

/// What leads from a block of the chain to the next.
#[derive(Clone, Copy, Debug)]
struct Link {
    next: Option<u32>,
    /// The sequence number of the block's first page, which the next one names.
    before: u64,
}

/// What there is of a block that may be the next one of the chain.
enum Successor {
    /// It was not opened as that yet.
    None,
    /// Its header cannot be read, but pages behind it can.
    Headless(Header),
    /// Its header.
    Whole(Header, BlockHeader),
}

impl Tail {
    /// None at all, whatever was programmed behind the checkpoint: the log goes on in another chain.
    pub(super) fn void(checkpoint: &Checkpoint) -> Self {
        let (block, end) = (checkpoint.front_block, checkpoint.front_page);
        Self { block, end, last_readable: true, newest_commit: None, is_cut_off: true }
    }

    /// Whether nothing was programmed behind the checkpoint. The header of a further block does not count: that block is
    /// erased again before use.
    pub(super) fn is_empty(&self, checkpoint: &Checkpoint) -> bool {
        self.block == checkpoint.front_block && self.end == checkpoint.front_page
    }
}

impl<F: Flash> Log<'_, F> {
    /// Follows the log's chain from the checkpoint to its last page; with `may_go_back`, to the last block before one that is lost.
    #[inline(never)]
    pub(super) fn find_tail(&mut self, may_go_back: bool) -> Result<Tail, Error> {
        let space = self.pages.space;
        let (mut block, mut from) = (self.checkpoint.front_block, self.checkpoint.front_page);
        if block >= space.block_count || from > space.pages_per_block {
            return Err(Error::Corrupt { page: 0 });
        }
        let mut last_commit = None;
        let mut pages = 0;
        self.mark_tail(block);
        let (mut link, mut is_cut_off) = match self.front_link(block, from) {
            Err(error) if error.is_damage() && may_go_back => return Ok(Tail::void(&self.checkpoint)),
            result => result?,
        };
        // Where the checkpoint's last commit was there may be another one now.
        let known_block = self.checkpoint.last_commit.map(|page| space.block_of_page(page));
        let (front_block, front_page) = (block, from);
        let pages_of = |block: u32, end: u32| {
            let first = space.first_page(block);
            first + if block == front_block { front_page } else { 0 }..first.saturating_add(end)
        };
        let mut known_pages = 0..0;
        let mut previous = block;
        for _ in 0..space.block_count {
            let Some(candidate) = link.next else { break };
            let successor = match self.successor_header(previous, candidate, link.before) {
                Err(error) if error.is_damage() && may_go_back => {
                    is_cut_off = true;
                    break;
                }
                result => result?,
            };
            let page = match successor {
                Successor::None => break,
                Successor::Headless(page) => {
                    is_cut_off = true;
                    link = self.lost_link(candidate)?;
                    page
                }
                Successor::Whole(page, header) => {
                    if Some(previous) == known_block {
                        known_pages = pages_of(previous, header.before_pages);
                    }
                    link = self.link(&page, &header);
                    page
                }
            };
            previous = candidate;
            // A block that holds only its header is no part of the chain: it is erased again before use, so that nothing
            // in doubt ever speaks for a block. But where the next one was begun, this one must have been in use.
            if self.is_begun(candidate)? {
                // What it says again stands in the block before. Where that is lost, more than a torn page is.
                last_commit = if page.again && self.chain_header(block)?.is_some() {
                    self.newest_commit(block, from..space.pages_per_block, last_commit)?.0
                } else {
                    page.last_commit
                };
                self.sequence = self.sequence.max(page.sequence);
                self.learn_life(space.first_page(candidate), &page)?;
                self.mark_tail(candidate);
                pages += space.pages_per_block - from;
                (block, from) = (candidate, LOG_FIRST_PAGE);
            }
        }
        if let Some(next) = link.next.filter(|_| is_cut_off) {
            // Nothing else is put there before a checkpoint has left this chain.
            self.mark_tail(next);
        }
        let end = self.end_of_pages(block, from, Some(from))?;
        if Some(block) == known_block {
            known_pages = pages_of(block, end);
        }
        self.pages_in_tail = pages + end - from;
        let (newest_commit, last_readable) = self.newest_commit(block, from..end, last_commit)?;
        let mut tail = Tail { block, end, last_readable, newest_commit, is_cut_off };
        if let Some(page) = tail.newest_commit.filter(|page| Some(*page) == self.checkpoint.last_commit)
            && !(known_pages.contains(&page) && self.is_in_tail(page)?)
        {
            tail.newest_commit = None;
        }
        Ok(tail)
    }

    /// The page of the newest commit that some pages of a log block tell, from behind, and whether the last page can be read. Pages that say
    /// something again are passed over: what they replace may have been torn. Where none tells, it is `before`.
    fn newest_commit(
        &mut self, block: u32, pages: Range<u32>, before: Option<u32>,
    ) -> Result<(Option<u32>, bool), Error> {
        let end = pages.end;
        let mut last_read = None;
        for index in pages.clone().rev() {
            let page = self.pages.space.first_page(block) + index;
            let header = match self.pages.header(page) {
                Ok(header) => header,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            if !header.is_log() || header.sequence <= self.checkpoint.tail_sequence {
                continue;
            }
            self.sequence = self.sequence.max(header.sequence);
            let last_readable = *last_read.get_or_insert(index + 1) == end;
            if header.commit || !header.again {
                let newest = if header.commit { Some(page) } else { header.last_commit };
                return Ok((newest, last_readable));
            }
        }
        Ok((before, last_read.map_or(pages.is_empty(), |last| last == end)))
    }

    /// Whether a page of the tail has a commit behind the checkpoint.
    fn is_in_tail(&mut self, page: u32) -> Result<bool, Error> {
        let header = self.pages.header(page)?;
        Ok(header.is_log() && header.commit && header.sequence > self.checkpoint.tail_sequence)
    }

    /// What follows the block that the checkpoint names, and whether that block's header is lost. Then one of the pages from `from` on must be
    /// readable, if there are any, or a block behind them: replay knows which of them it needs.
    fn front_link(&mut self, block: u32, from: u32) -> Result<(Link, bool), Error> {
        if let Some((page, header)) = self.chain_header(block)? {
            return Ok((self.link(&page, &header), false));
        }
        let end = self.end_of_pages(block, from, Some(from))?;
        let first_page = self.pages.space.first_page(block);
        let link = self.lost_link(block)?;
        let mut is_known = end == from && !(self.is_keyed() && from == self.pages.space.pages_per_block);
        if let Some(next) = link.next {
            is_known |= self.is_begun(next)?;
        }
        for page in first_page + from..first_page + end {
            is_known |= self.tail_page(page, self.checkpoint.tail_sequence)?.is_some() && !self.is_keyed();
        }
        if is_known { Ok((link, true)) } else { Err(Error::Uncorrectable { page: first_page + from }) }
    }

    fn link(&self, page: &Header, header: &BlockHeader) -> Link {
        let next = header.next.filter(|next| *next < self.pages.space.block_count);
        Link { next: next.map(|next| self.checkpoint.jump(next)), before: page.sequence }
    }

    /// The block that follows in the log's chain.
    pub(super) fn successor(&mut self, block: u32) -> Result<Option<u32>, Error> {
        if self.front.block == Some(block) {
            return Ok(self.front.next);
        }
        match self.chain_header(block)? {
            Some((page, header)) => Ok(self.link(&page, &header).next),
            None => Ok(self.lost_link(block)?.next),
        }
    }

    /// What follows a block whose header is lost: all blocks are looked at for the one whose header names a first page that is older than the
    /// first which can be read here, and which is newer itself. Not on authenticated volumes, where every block has to be vouched for.
    #[inline(never)]
    fn lost_link(&mut self, block: u32) -> Result<Link, Error> {
        let mut known = None;
        for page in self.pages_behind_header(block) {
            known = known.or(self.tail_page(page, 0)?.map(|page| page.sequence));
        }
        let is_front = block == self.checkpoint.front_block;
        let known = known
            .or_else(|| is_front.then(|| self.checkpoint.tail_sequence.saturating_add(1)))
            .filter(|_| !self.is_keyed());
        for candidate in 0..self.pages.space.block_count {
            let Some(known) = known else { break };
            let Some((page, header)) = self.block_header(candidate)? else { continue };
            // A chain that a mount had begun when it was cut names nothing.
            let is_next =
                self.is_of_chain(candidate, &page) && (1..known).contains(&header.before) && page.sequence >= known;
            let next = self.checkpoint.jump(candidate);
            if is_next && next != block {
                return Ok(Link { next: Some(next), before: header.before });
            }
        }
        Ok(Link { next: None, before: 0 })
    }

    /// The pages of a block of which one must have been programmed if anything was behind the header: one may have been passed over.
    fn pages_behind_header(&self, block: u32) -> core::ops::Range<u32> {
        let first_page = self.pages.space.first_page(block);
        first_page + LOG_FIRST_PAGE..first_page + LOG_FIRST_PAGE + 2
    }

    /// The header of a page of the log, if it can be read and is newer than that.
    fn tail_page(&mut self, page: u32, newer_than: u64) -> Result<Option<Header>, Error> {
        if !self.pages.probe(page)? {
            return Ok(None);
        }
        match self.pages.header(page) {
            Ok(header) => Ok(Some(header).filter(|header| header.is_log() && header.sequence > newer_than)),
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a page of a block may be one of the chain's: copies count where a checkpoint says so.
    fn is_of_chain(&self, block: u32, page: &Header) -> bool {
        if self.checkpoint.jumps.leads_to(block) { page.is_log() } else { page.kind == PageKind::Front }
    }

    /// What there is of the successor of a block whose first page has the number `before`.
    ///
    /// A block that cannot be read was lost if it had been erased for its use, and more than one page has traces now: programming leaves
    /// one at most that is torn. Forgetting its commits silently would be worse than refusing to mount.
    fn successor_header(&mut self, previous: u32, block: u32, before: u64) -> Result<Successor, Error> {
        let newer_than = self.checkpoint.tail_sequence.max(before);
        let first_page = self.pages.space.first_page(block);
        // A look at some bytes first: mostly the block is blank.
        if !self.pages.probe(first_page)? {
            return Ok(Successor::None);
        }
        if let Some((page, header)) = self.block_header(block)? {
            let follows = self.is_of_chain(block, &page) && page.sequence > newer_than && header.before == before;
            return Ok(if follows { Successor::Whole(page, header) } else { Successor::None });
        }
        for page in self.pages_behind_header(block) {
            if let Some(header) = self.tail_page(page, newer_than)?.filter(|header| self.is_of_chain(block, header)) {
                return if self.is_keyed() {
                    Err(Error::Uncorrectable { page: first_page })
                } else {
                    Ok(Successor::Headless(header))
                };
            }
        }
        // The checkpoint itself may have gone on there.
        let is_alive = self.alloc.live(block) > 0 && !self.alloc.is_unknown(block);
        if is_alive || self.was_in_use(previous, block, before)? {
            return Err(Error::Uncorrectable { page: first_page + LOG_FIRST_PAGE });
        }
        Ok(Successor::None)
    }

    /// Whether a block that cannot be read was in use behind another one, whose first page has the number `before`: the checkpoint says that
    /// the log had got there, or that its erase was done; or the last page of the block before it does, if that is newer.
    fn was_in_use(&mut self, previous: u32, block: u32, before: u64) -> Result<bool, Error> {
        let is_front = previous == self.checkpoint.front_block;
        // A block that holds only its header is followed by none, whatever it says.
        if !self.is_begun(block)? || !is_front && !self.is_begun(previous)? {
            return Ok(false);
        }
        let reached = self.checkpoint.reached;
        if reached.first_sequence > before {
            return Ok(true);
        }
        let from = if is_front { self.checkpoint.front_page } else { LOG_FIRST_PAGE };
        let end = self.end_of_pages(previous, from, None)?;
        let stated = reached.of_next(before);
        Ok(match self.newest_page(previous, 0..end)? {
            Some((index, page)) if stated.is_none() || index >= reached.page => page.next_erased,
            _ => stated.unwrap_or(false),
        })
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
        self.front.may_say_erased = true;
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
