//! Heads: the two places where pages are appended.
//!
//! The front head's blocks form a chain: the header of each names its successor, chosen when the block is opened.
//! What happens when a block fails under a head is in `relocate`.

use core::ops::Range;

use super::alloc::BadReason;
use super::checkpoint::Reached;
use super::item::{ITEM_HEADER_BYTES_MAX, ItemHeader, ItemKind, Key, keyless_item};
use super::{BlockState, HeadId, Log};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::page::{Address, HEADER_BYTES, Header, PageKind, ProgramError};
use crate::sabotage::{Step, is_off};
use crate::varint::{Reader, Writer};

/// Blocks that may fail in a row before the chip counts as worn out.
pub(super) const RETRIES_MAX: u32 = 16;
/// Pages in a row that may look unprogrammed between programmed ones.
const GAP_PAGES_MAX: u32 = 1;
const BLOCK_MAGIC: [u8; 4] = *b"K7FS";
/// Bytes of the longest block header.
const BLOCK_HEADER_BYTES_MAX: usize = 45;

/// What is known of the next page to be programmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is erased.
    None,
    /// A cut may have left traces on it: it is looked at first.
    MayShow,
    /// As before; and with no traces to see it is passed over, because a program may just have begun there.
    MayHide,
}

/// Where a stream of pages goes on.
#[derive(Debug)]
pub(super) struct Head<'b> {
    kind: PageKind,
    /// The raw page under construction.
    buffer: &'b mut [u8],
    pub(super) block: Option<u32>,
    /// The block's first page.
    pub(super) first_page: u32,
    /// The page under construction, within the block; the block's end where the block is full.
    pub(super) page: u32,
    /// Payload bytes in it.
    fill: u32,
    first_item: Option<u32>,
    /// The page from which on a mount would search for the last one (front only).
    pub(super) search_from: u32,
    /// The sequence number of the block's first page: its successor names it.
    pub(super) first_sequence: u64,
    /// The page behind the last one that was programmed, within the block: its successor names it.
    pub(super) end: u32,
    /// The successor named in the block's header (front only).
    pub(super) next: Option<u32>,
    commit: bool,
    /// What is appended says again what a cut may have torn (front only).
    pub(super) again: bool,
    /// The newest page on flash may say that the successor is erased (front only).
    pub(super) may_say_erased: bool,
    /// What a mount does not know of the pages from here on.
    pub(super) doubt: Doubt,
    /// Where the body of the item being appended starts: page within the block, offset.
    body: (u32, u32),
}

impl<'b> Head<'b> {
    pub(super) fn new(kind: PageKind, buffer: &'b mut [u8]) -> Self {
        Self {
            kind,
            buffer,
            block: None,
            first_page: 0,
            page: 0,
            fill: 0,
            first_item: None,
            search_from: 0,
            first_sequence: 0,
            end: 0,
            next: None,
            commit: false,
            again: false,
            may_say_erased: false,
            doubt: Doubt::None,
            body: (0, 0),
        }
    }

    /// Puts the head on a page of a block that exists.
    pub(super) fn place(&mut self, block: u32, first_page: u32, page: u32) {
        self.block = Some(block);
        self.first_page = first_page;
        self.page = page;
        self.end = page;
        self.may_say_erased = false;
        self.clear_page();
    }

    /// Leaves the block; what was not programmed is gone.
    pub(super) fn close(&mut self) {
        self.block = None;
        self.next = None;
        self.again = false;
        self.doubt = Doubt::None;
        self.clear_page();
    }

    pub(super) fn clear_page(&mut self) {
        self.fill = 0;
        self.first_item = None;
        self.commit = false;
        self.buffer.fill(0);
    }

    /// The payload of the page under construction, if it is this one.
    pub(super) fn unwritten(&self, page: u32) -> Option<&[u8]> {
        if self.fill == 0 || self.block.is_none() || page != self.first_page.saturating_add(self.page) {
            return None;
        }
        self.buffer.get(HEADER_BYTES..)
    }
}

/// What a block says of itself, in its first item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHeader {
    pub(super) volume_id: [u8; 16],
    pub(super) erase_count: u32,
    /// The block that follows in the log's chain.
    pub(super) next: Option<u32>,
    /// The sequence number of the first page of the block before it in the chain; 0 for none. What a block held before it
    /// became the successor names another, even if a mount that was cut has given the same numbers once already.
    pub(super) before: u64,
    /// Pages of that block up to the last one that was programmed. What lies behind them was left because an item did not fit;
    /// anything else that cannot be read there is a loss.
    pub(super) before_pages: u32,
}

impl BlockHeader {
    /// Writes item and body.
    pub(super) fn encode<'b>(&self, bytes: &'b mut [u8]) -> Option<&'b [u8]> {
        let mut body = [0u8; BLOCK_HEADER_BYTES_MAX];
        let mut writer = Writer::new(&mut body);
        writer.bytes(&BLOCK_MAGIC);
        writer.bytes(&self.volume_id);
        writer.uleb(self.erase_count.into());
        writer.uleb_plus_one(self.next);
        writer.uleb(self.before);
        writer.uleb(self.before_pages.into());
        keyless_item(ItemKind::BlockHeader, writer.finish()?, bytes)
    }

    /// Reads item and body from the start of a block's first payload.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let (header, size) = ItemHeader::decode(payload).ok()??;
        if header.kind != ItemKind::BlockHeader {
            return None;
        }
        let mut reader = Reader::new(payload.get(size..)?.get(..header.len as usize)?);
        if reader.array() != BLOCK_MAGIC {
            return None;
        }
        let header = Self {
            volume_id: reader.array(),
            erase_count: reader.uleb32(),
            next: reader.uleb_minus_one(),
            before: reader.uleb(),
            before_pages: reader.uleb32(),
        };
        reader.finish(header)
    }
}

/// The first page of a log block behind its header.
pub(super) const LOG_FIRST_PAGE: u32 = 1;
/// Bytes of payload that hold a whole block header item.
pub(super) const BLOCK_HEADER_ITEM_BYTES: usize = 48;

impl<'b, F: Flash> Log<'b, F> {
    pub(super) fn head(&self, id: HeadId) -> &Head<'b> {
        match id {
            HeadId::Front => &self.front,
            HeadId::Moved => &self.moved,
        }
    }

    pub(super) fn head_mut(&mut self, id: HeadId) -> &mut Head<'b> {
        match id {
            HeadId::Front => &mut self.front,
            HeadId::Moved => &mut self.moved,
        }
    }

    /// Starts an item; its body follows with [`Self::push`].
    ///
    /// The whole item lies in one block. Fails with `NoSpace` where no block is free.
    pub(crate) fn begin(&mut self, id: HeadId, kind: ItemKind, key: Key, len: u32) -> Result<(), Error> {
        let header = ItemHeader { kind, key, len };
        let mut bytes = [0u8; ITEM_HEADER_BYTES_MAX];
        let mut writer = Writer::new(&mut bytes);
        header.encode(&mut writer);
        let bytes = writer.finish().unwrap_or_default();
        let size = bytes.len() as u32;
        let in_page = size + if kind.runs_on() { 0 } else { len };
        let payload = self.pages.space.payload;
        if in_page > payload {
            return Err(Error::InvalidOption);
        }
        // A page to pad, a block to leave, a fresh block: three rounds decide.
        for _ in 0..4 {
            self.ready(id)?;
            let head = self.head(id);
            let pages_left = self.pages.space.pages_per_block.saturating_sub(head.page);
            let block_room = u64::from(pages_left) * u64::from(payload) - u64::from(head.fill);
            if u64::from(size) + u64::from(len) > block_room {
                self.leave_block(id)?;
            } else if in_page > payload - head.fill {
                self.flush(id)?;
            } else {
                break;
            }
        }
        let head = self.head_mut(id);
        let page = head.first_page.saturating_add(head.page);
        head.first_item.get_or_insert(head.fill);
        if id == HeadId::Front && kind.is_transactional() {
            self.transaction_start.get_or_insert(page);
        }
        self.push(id, bytes)?;
        // A header that ends its page leaves the body's start to the next one.
        let head = self.head_mut(id);
        head.body = (head.page, head.fill);
        Ok(())
    }

    /// Appends bytes of the item's body.
    pub(crate) fn push(&mut self, id: HeadId, bytes: &[u8]) -> Result<(), Error> {
        let payload = self.pages.space.payload;
        let mut rest = bytes;
        while !rest.is_empty() {
            let head = self.head_mut(id);
            let here = rest.len().min(payload.saturating_sub(head.fill) as usize);
            let (now, later) = rest.split_at_checked(here).ok_or(Error::NeedsRemount)?;
            let at = HEADER_BYTES + head.fill as usize;
            let place = head.buffer.get_mut(at..at + here).ok_or(Error::NeedsRemount)?;
            place.copy_from_slice(now);
            head.fill += here as u32;
            rest = later;
            if head.fill >= payload {
                self.flush(id)?;
            }
        }
        Ok(())
    }

    /// Where the body of the item just appended lies.
    pub(crate) fn finish(&self, id: HeadId) -> Address {
        let head = self.head(id);
        self.pages.space.address(head.first_page.saturating_add(head.body.0), head.body.1)
    }

    /// Body bytes that fit behind an item header in the head's block; a fresh block's where little is left.
    pub(crate) fn room(&mut self, id: HeadId) -> Result<u32, Error> {
        const ROOM_MIN: u32 = 64;
        for _ in 0..2 {
            self.ready(id)?;
            let head = self.head(id);
            let pages_left = self.pages.space.pages_per_block.saturating_sub(head.page);
            let in_block = (pages_left * self.pages.space.payload).saturating_sub(head.fill);
            // A header may have to skip to the next page first.
            let room = in_block.saturating_sub(2 * ITEM_HEADER_BYTES_MAX as u32);
            if room >= ROOM_MIN {
                return Ok(room);
            }
            self.leave_block(id)?;
        }
        Err(Error::InvalidOption)
    }

    /// Bytes that a head can append before it opens a block, but for what the last item may leave unused.
    pub(crate) fn room_in_block(&self, id: HeadId) -> u32 {
        let head = self.head(id);
        let pages = if head.block.is_some() { self.pages.space.pages_per_block.saturating_sub(head.page) } else { 0 };
        let unused = self.signature.node_bytes_max + ITEM_HEADER_BYTES_MAX as u32;
        (pages * self.pages.space.payload).saturating_sub(head.fill + unused)
    }

    /// Bytes of payload left in the page under construction, or in the one that will be.
    pub(super) fn room_in_page(&self, id: HeadId) -> u32 {
        self.pages.space.payload.saturating_sub(self.head(id).fill)
    }

    /// Makes sure that the head stands on a page that can be programmed.
    pub(super) fn ready(&mut self, id: HeadId) -> Result<(), Error> {
        self.settle_doubt(id)?;
        let head = self.head(id);
        if head.block.is_none() || head.page >= self.pages.space.pages_per_block {
            self.open_block(id)?;
        }
        Ok(())
    }

    /// Goes past pages that a cut has touched, or may have.
    pub(super) fn settle_doubt(&mut self, id: HeadId) -> Result<(), Error> {
        let head = self.head(id);
        let (doubt, first_page, page) = (head.doubt, head.first_page, head.page);
        if doubt != Doubt::None {
            let from = match id {
                HeadId::Front => head.search_from,
                // Commits say where this head is: nobody searches for its last page.
                HeadId::Moved => page,
            };
            let page = self.clean_page(first_page, from, page, doubt)?;
            let head = self.head_mut(id);
            head.page = page;
            head.doubt = Doubt::None;
        }
        Ok(())
    }

    /// The first page from `page` on, within the block at `first_page`, that can be programmed. A search for the last page
    /// begins at `from`.
    pub(super) fn clean_page(&mut self, first_page: u32, from: u32, page: u32, doubt: Doubt) -> Result<u32, Error> {
        let end = self.pages.space.pages_per_block;
        let mut clean = page;
        // Pages given up by earlier mounts may lie between; behind the window nothing can have been touched.
        let mut index = page;
        while index < end && index <= clean + GAP_PAGES_MAX + 1 {
            if !self.pages.is_erased(first_page + index)? {
                clean = index + 1;
            }
            index += 1;
        }
        if clean == page && doubt == Doubt::MayHide {
            // Traces would have ended the doubt: only one page was being programmed when the power failed.
            clean += 1;
        }
        // The search bridges a gap of one page. A longer one, after cuts during recovery, ends the block. Only pages that can
        // be read end a gap: what a torn one shows now may be gone when somebody searches.
        let mut readable = page;
        while readable > from && !self.is_readable(first_page + readable - 1)? {
            readable -= 1;
        }
        Ok(if clean > readable + GAP_PAGES_MAX { end } else { clean.min(end) })
    }

    fn is_readable(&mut self, page: u32) -> Result<bool, Error> {
        match self.pages.header(page) {
            Ok(_) => Ok(true),
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Leaves the rest of the block erased.
    fn leave_block(&mut self, id: HeadId) -> Result<(), Error> {
        if id == HeadId::Front {
            self.say_next_erased()?;
        }
        self.flush_partial(id)?;
        let pages_per_block = self.pages.space.pages_per_block;
        self.head_mut(id).page = pages_per_block;
        Ok(())
    }

    /// Has the front head's block say that its successor is erased, on a page without items if need be.
    fn say_next_erased(&mut self) -> Result<(), Error> {
        self.erase_next_in_time()?;
        let is_full = self.front.page >= self.pages.space.pages_per_block;
        if is_full || self.front.may_say_erased || !self.is_next_erased() { Ok(()) } else { self.flush(HeadId::Front) }
    }

    /// Erases the planned successor while there is a page left that can say so; not where a start may come before it is used, and erase it
    /// again.
    fn erase_next_in_time(&mut self) -> Result<(), Error> {
        if self.is_lasting {
            self.erase_next()?;
        }
        Ok(())
    }

    /// Programs the page under construction, padded, if there is anything in it.
    pub(crate) fn flush_partial(&mut self, id: HeadId) -> Result<(), Error> {
        if self.head(id).fill > 0 { self.flush(id) } else { Ok(()) }
    }

    /// Marks the front page under construction as carrying a commit.
    pub(super) fn mark_commit(&mut self) {
        self.front.commit = true;
    }

    /// Programs the page under construction; a failing block is replaced.
    pub(super) fn flush(&mut self, id: HeadId) -> Result<(), Error> {
        for _ in 0..RETRIES_MAX {
            if id == HeadId::Front && self.front.page + 1 == self.pages.space.pages_per_block {
                self.erase_next_in_time()?;
            }
            let sequence = self.next_sequence();
            let last_commit = self.last_commit;
            let next_erased = id == HeadId::Front && self.is_next_erased();
            let payload = self.pages.space.payload;
            let life = self.head(id).block.map_or(0, |block| self.alloc.erase_count(block));
            let head = self.head_mut(id);
            let page = head.first_page.saturating_add(head.page);
            let header = Header {
                kind: head.kind,
                commit: head.commit,
                next_erased,
                again: head.again,
                sequence,
                life,
                first_item: head.first_item.unwrap_or(payload),
                last_commit,
            };
            let buffer = core::mem::take(&mut head.buffer);
            let sealed = self.pages.seal(page, &header, buffer).map_err(ProgramError::Other);
            let result = sealed.and_then(|()| self.pages.program(page, buffer));
            let tag = self.pages.tag(buffer);
            self.head_mut(id).buffer = buffer;
            match result {
                Ok(()) => {
                    self.flushed(id, page, &header, tag);
                    return Ok(());
                }
                Err(ProgramError::Failed) => self.relocate(id)?,
                Err(ProgramError::Other(error)) => return Err(error),
            }
        }
        Err(Error::WornOut)
    }

    fn flushed(&mut self, id: HeadId, page: u32, header: &Header, tag: u32) {
        if id == HeadId::Front {
            self.pages_in_tail = self.pages_in_tail.saturating_add(1);
        }
        if header.commit {
            self.last_commit = Some(page);
            self.commit_tag = tag;
            self.transaction_start = None;
        }
        let head = self.head_mut(id);
        if head.page == 0 {
            head.first_sequence = header.sequence;
        }
        head.page += 1;
        head.end = head.page;
        head.may_say_erased = header.next_erased;
        head.clear_page();
        if id == HeadId::Front {
            // From now on this page says it.
            self.checkpoint.reached = Reached::NONE;
        }
    }

    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Takes a free block and erases it. Blocks that fail are marked and the next one is tried.
    pub(super) fn take_free(&mut self) -> Result<u32, Error> {
        self.take(None)
    }

    /// As [`Self::take_free`], this one first if there is one.
    fn take(&mut self, mut first: Option<u32>) -> Result<u32, Error> {
        for _ in 0..RETRIES_MAX {
            let block = first.take().map_or_else(|| self.next_free(), Ok)?;
            if self.erase_for_use(block)? {
                return Ok(block);
            }
        }
        Err(Error::WornOut)
    }

    /// The free block that is taken next: one that was erased ahead, else the one that was erased least.
    fn next_free(&self) -> Result<u32, Error> {
        let ahead = self.erased.iter().map(|block| u32::from(*block)).find(|block| self.alloc.is_free(*block));
        let free = ahead.or_else(|| self.alloc.least_worn_free(|_| true));
        free.or_else(|| self.alloc.suspect()).ok_or(Error::NoSpace)
    }

    /// Erases a block and counts it, if it was not erased ahead; `false` where it failed and is bad from now on.
    fn erase_for_use(&mut self, block: u32) -> Result<bool, Error> {
        if let Some(at) = self.erased.iter().position(|erased| u32::from(*erased) == block) {
            self.erased.swap_remove(at);
            self.alloc.set_state(block, BlockState::Tail);
            return Ok(true);
        }
        if self.erase_counted(block)? {
            self.alloc.set_state(block, BlockState::Tail);
            return Ok(true);
        }
        self.retire(block, BadReason::Erase);
        Ok(false)
    }

    /// As [`Self::erase_for_use`], of the block that was planned as the front head's next. Pages say that it is erased, or a checkpoint does:
    /// so that a mount tells one that was lost from one whose erase was cut.
    fn take_planned(&mut self, block: u32) -> Result<bool, Error> {
        if !self.is_unerased(block) {
            // Erased in idle time, with no page left to say it.
            if !self.front.may_say_erased && self.stated_next() != Some(true) {
                self.state_next(true)?;
            }
            return self.erase_for_use(block);
        }
        self.take_back_statement()?;
        let is_erased = self.erase_for_use(block)?;
        if is_erased {
            self.state_next(true)?;
        }
        Ok(is_erased)
    }

    /// Before the planned successor is erased once more: what an earlier mount has left on a block that it had erased is not known. A
    /// checkpoint that says so already may be torn.
    pub(super) fn take_back_statement(&mut self) -> Result<(), Error> {
        if self.stated_next().is_some() || self.does_say_erased()? {
            self.state_next(false)?;
        }
        self.front.may_say_erased = false;
        Ok(())
    }

    /// What the last checkpoint says of the planned successor.
    pub(super) fn stated_next(&self) -> Option<bool> {
        self.checkpoint.reached.of_next(self.front.first_sequence)
    }

    /// Repeats the last checkpoint with what holds of the planned successor.
    fn state_next(&mut self, is_erased: bool) -> Result<(), Error> {
        self.note_next(Some(is_erased));
        self.repeat_checkpoint()
    }

    /// What the next checkpoint says of the planned successor.
    pub(super) fn note_next(&mut self, next_erased: Option<bool>) {
        let (first_sequence, page) = (self.front.first_sequence, self.front.end);
        self.checkpoint.reached = Reached { first_sequence, page, next_erased };
    }

    /// Whether a page of the front head's block says that its successor is erased, or may: one that cannot be read now may be read later, and
    /// newer ones that do not say so may not be read then.
    fn does_say_erased(&mut self) -> Result<bool, Error> {
        if !self.front.may_say_erased {
            return Ok(false);
        }
        for page in (self.front.first_page..self.front.first_page + self.front.page).rev() {
            match self.pages.header(page) {
                Ok(header) if !header.next_erased => {}
                Ok(_) => return Ok(true),
                Err(error) if error.is_damage() && !self.pages.probe(page)? => {}
                Err(error) if error.is_damage() => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// The last page that can be read, of some in a block, and its header.
    pub(super) fn newest_page(&mut self, block: u32, pages: Range<u32>) -> Result<Option<(u32, Header)>, Error> {
        let first_page = self.pages.space.first_page(block);
        for index in pages.rev() {
            match self.pages.header(first_page + index) {
                Ok(header) => return Ok(Some((index, header))),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Erases a block and counts it; `false` where it failed.
    pub(super) fn erase_counted(&mut self, block: u32) -> Result<bool, Error> {
        let life = self.life_before(block)?;
        self.alloc.set_erase_count(block, life.saturating_add(1));
        self.has_erased = true;
        // A block that reads as erased is erased all the same: an erase that was cut may look finished and be weak.
        Ok((is_off(Step::EraseAgain) && self.pages.is_block_erased(block)?) || self.pages.erase(block)?)
    }

    /// A block is bad from now on. The mark on the chip is best effort: the table remembers it too.
    pub(super) fn retire(&mut self, block: u32, reason: BadReason) {
        self.alloc.set_bad(block, reason);
        let _ = self.pages.flash.mark_bad(block);
    }

    /// Opens the next block of a head.
    fn open_block(&mut self, id: HeadId) -> Result<(), Error> {
        let planned = if id == HeadId::Front { self.front.next } else { None };
        let block = match planned {
            None if id == HeadId::Moved && self.moves_cold => self.take(self.alloc.worn_free())?,
            None => self.take_free()?,
            Some(block) if self.take_planned(block)? => block,
            Some(failed) => {
                let other = self.take_free()?;
                self.front.next = None;
                self.note_next(Some(true));
                self.add_jump(failed, other)?;
                other
            }
        };
        let next = match id {
            HeadId::Front => {
                let next = self.next_free();
                if let Ok(next) = next {
                    self.alloc.set_state(next, BlockState::Tail);
                } else {
                    // Nothing was written yet: the block stays the planned successor, and erased.
                    self.front.next = Some(block);
                    let _ = self.erased.push(block as u16);
                }
                Some(next?)
            }
            HeadId::Moved => None,
        };
        self.generation = self.generation.wrapping_add(1);
        self.has_opened = true;
        self.is_lasting = true;
        let (before, before_pages) = match id {
            HeadId::Front => (self.front.first_sequence, self.front.end),
            HeadId::Moved => (0, 0),
        };
        let header = BlockHeader {
            volume_id: self.signature.volume_id,
            erase_count: self.alloc.erase_count(block),
            next,
            before,
            before_pages,
        };
        let first_page = self.pages.space.first_page(block);
        let head = self.head_mut(id);
        head.place(block, first_page, 0);
        head.next = next;
        head.doubt = Doubt::None;
        head.first_item = Some(0);
        let written = header.encode(head.buffer.get_mut(HEADER_BYTES..).unwrap_or_default());
        head.fill = written.map_or(0, |written| written.len() as u32);
        match id {
            // A page of its own: whatever is programmed behind it, the header was complete before, and a block that holds
            // nothing else is not part of the chain yet.
            HeadId::Front => self.flush(id),
            HeadId::Moved => Ok(()),
        }
    }

    /// Remembers that `to` stands in the chain where `from` is named, durably.
    pub(super) fn add_jump(&mut self, from: u32, to: u32) -> Result<(), Error> {
        self.checkpoint.jumps.push((from, to)).map_err(|()| Error::WornOut)?;
        self.repeat_checkpoint()
    }
}
