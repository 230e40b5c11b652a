//! Replay: the commits after the checkpoint become rows of the table again; and the recommit after an unclean stop.
//!
//! Commits are followed backwards, newest first: a commit that was torn and later became readable again is not
//! in that chain, so it never comes back.

use super::checkpoint::Checkpoint;
use super::commit::{Commit, Replaced};
use super::heads::LOG_FIRST_PAGE;
use super::item::{ItemKind, Key};
use super::table::{Age, Packed, Place, Row};
use super::{BlockState, HeadId, Item, Log};
use crate::codec::PACKED;
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::page::PageKind;
use crate::tree::KIND_EXTENT;
use crate::varint::{Reader, uleb_len};

/// Bytes moved at a time when content is copied.
const CHUNK_BYTES: usize = 64;
/// Free blocks that a mount needs when it begins a chain: for that, checkpoints, moved data.
const FREE_MIN: u32 = 6;
/// Bytes of the longest body of a reference: a life, an address of 39 bits and three lengths of 32.
const REFERENCE_BYTES_MAX: usize = 29;

/// The pages of one transaction, or of a part of it.
#[derive(Clone, Copy, Debug)]
struct Span {
    first_page: u32,
    last_page: u32,
    /// What the headers of its pages name as the commit before: pages of abandoned transactions name another.
    last_commit: Option<u32>,
    /// Whether items on the last page count.
    with_last: bool,
}

impl<F: Flash> Log<'_, F> {
    /// Fills the table from the commits after the checkpoint. `newest` is the page of the last one.
    #[inline(never)]
    pub(super) fn replay(&mut self, newest: Option<u32>) -> Result<(), Error> {
        self.table.clear();
        self.commits_in_tail = 0;
        self.last_commit = self.checkpoint.last_commit;
        self.commit_tag = self.checkpoint.commit_tag;
        self.transaction = self.checkpoint.transaction;
        self.next_object = self.checkpoint.next_object;
        self.may_have = self.checkpoint.may_have;
        let Some(newest) = newest else { return Ok(()) };
        let mut page = newest;
        let mut expected: Option<(u64, u32)> = None;
        // Transaction numbers fall by one at every step.
        for _ in 0..self.pages.space.page_count() {
            let commit = self.commit_on(page)?;
            let tag = self.pages.tag_of(page)?;
            // First of all: what was there before must not end the chain.
            if expected.is_some_and(|expected| expected != (commit.transaction, tag)) {
                return Err(Error::Corrupt { page });
            }
            if commit.transaction <= self.checkpoint.transaction {
                break;
            }
            if expected.is_none() {
                self.last_commit = Some(page);
                self.commit_tag = tag;
                self.transaction = commit.transaction;
                self.next_object = commit.next_object;
                if self.pages.header(page)?.sequence > self.checkpoint.sequence {
                    self.place_moved(commit.moved_page, commit.moved_life)?;
                }
            }
            self.replay_commit(page, &commit)?;
            self.commits_in_tail += 1;
            if commit.reaches(self.checkpoint.transaction) {
                break;
            }
            let before = commit.transaction - 1;
            let Some(predecessor) = commit.predecessor.filter(|_| before > self.checkpoint.transaction) else { break };
            expected = Some((before, commit.predecessor_tag));
            page = predecessor;
        }
        Ok(())
    }

    fn replay_commit(&mut self, page: u32, commit: &Commit) -> Result<(), Error> {
        // Where a block was replaced, its pages are walked in the block that took its place in the chain.
        let own = Span {
            first_page: self.replacement(commit.first_page),
            last_page: self.replacement(page),
            last_commit: self.pages.header(page)?.last_commit,
            with_last: true,
        };
        self.replay_span(&own)?;
        // One that says all changes again says those, too.
        if let Some(replaced) = commit.replaced.filter(|_| commit.reach.is_none()) {
            let rest = Span {
                first_page: self.replacement(replaced.first_page),
                last_page: self.replacement(replaced.page),
                last_commit: commit.predecessor,
                with_last: false,
            };
            self.replay_span(&rest)?;
        }
        Ok(())
    }

    /// Takes the key changes of some pages: the later one wins within them, and what the table has already over both.
    fn replay_span(&mut self, span: &Span) -> Result<(), Error> {
        let mut failed = None;
        self.walk(span, &mut |log, item| {
            if let Err(error) = log.replay_item(item) {
                failed = Some(error);
            }
        })?;
        self.table.commit_pending();
        failed.map_or(Ok(()), Err)
    }

    fn replay_item(&mut self, item: &Item) -> Result<(), Error> {
        let page = self.pages.space.page_of(item.body);
        let mut life = None;
        let place = match item.header.kind {
            ItemKind::Value => Some(Place::value(item.body, item.header.len)),
            ItemKind::Reference => Some(self.reference(item, &mut life)?),
            ItemKind::Packed => Some(self.packed_item(item)?),
            ItemKind::Delete => None,
            _ => return Ok(()),
        };
        if let Some(place) = place.filter(|place| place.len > 0) {
            if !self.pages.space.contains(place.address, place.stored()) {
                return Err(Error::Corrupt { page });
            }
            let block = self.pages.space.block_of(place.address);
            if matches!(self.alloc.state(block), BlockState::Free | BlockState::Used) {
                self.take_life(self.pages.space.page_of(place.address), life)?;
                self.alloc.set_state(block, BlockState::Tail);
            }
        }
        let key = item.header.key;
        if self.table.find(0, &key).is_some_and(|row| row.age != Age::Pending) {
            return Ok(());
        }
        self.put_row(key, place).map_err(|_| Error::Corrupt { page })
    }

    /// Reads the body of a reference, and the life that it says of its block.
    fn reference(&mut self, item: &Item, life: &mut Option<u32>) -> Result<Place, Error> {
        let page = self.pages.space.page_of(item.body);
        let mut body = [0u8; REFERENCE_BYTES_MAX];
        let body = body.get_mut(..item.header.len as usize).ok_or(Error::Corrupt { page })?;
        self.read(item.body, body)?;
        let mut reader = Reader::new(body);
        *life = self.is_keyed().then(|| reader.uleb32());
        let mut place = Place::value(self.pages.space.at(reader.uleb()), reader.uleb32());
        if reader.position() < body.len() {
            place = Place::packed(place.address, place.len, Packed { skip: reader.uleb32(), stored: reader.uleb32() });
        }
        reader.finish(place).ok_or(Error::Corrupt { page })
    }

    /// Calls `visit` for every item of a span. Pages of an abandoned transaction are passed over; one that cannot be read
    /// is an error, since half a transaction must never be shown.
    fn walk(&mut self, span: &Span, visit: &mut dyn FnMut(&mut Self, &Item)) -> Result<(), Error> {
        let space = self.pages.space;
        let mut page = span.first_page;
        let mut offset: Option<u32> = None;
        for _ in 0..=space.page_count() {
            let is_last = page == span.last_page;
            if is_last && !span.with_last {
                return Ok(());
            }
            let header = match self.pages.header(page) {
                Ok(header) => Some(header),
                // The rest of a block that an item did not fit into. Anything else that cannot be read is a loss.
                Err(error)
                    if error.is_unreadable() && space.block_of_page(page) != space.block_of_page(span.last_page) =>
                {
                    let Some(next) = self.successor(space.block_of_page(page))? else { return Err(error) };
                    let index = page - space.first_page(space.block_of_page(page));
                    let left = match self.chain_header(next)? {
                        Some((_, header)) => header.before_pages,
                        // Nobody says any more where that block was left.
                        None => self.end_of_pages(space.block_of_page(page), index, Some(index))?,
                    };
                    if index < left {
                        return Err(error);
                    }
                    (page, offset) = (space.first_page(next) + LOG_FIRST_PAGE, None);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let ours = header.filter(|h| h.is_log() && h.last_commit == span.last_commit);
            let mut next = None;
            if let Some(header) = &header {
                self.check_life_of(page, header)?;
            }
            if let Some(header) = ours {
                let mut address = space.address(page, offset.unwrap_or(header.first_item));
                for _ in 0..space.payload {
                    let Some(item) = self.item_at(address)? else { break };
                    visit(self, &item);
                    address = item.next;
                    if space.page_of(item.next) != page {
                        next = Some(item.next);
                        break;
                    }
                }
            }
            if is_last {
                return Ok(());
            }
            // A body that runs on leads to its end, unless that lies in the next block or past the span.
            let follow = next.filter(|next| {
                space.block_of(*next) == space.block_of_page(page)
                    && (space.block_of_page(span.last_page) != space.block_of_page(page)
                        || space.page_of(*next) <= span.last_page)
            });
            (page, offset) = match follow {
                Some(next) => (space.page_of(next), Some(space.offset_of(next))),
                None => (self.page_after(page)?, None),
            };
        }
        Err(Error::Corrupt { page: span.first_page })
    }

    /// The copy of a page in the block that replaced its block, or the page itself.
    fn replacement(&self, page: u32) -> u32 {
        let space = self.pages.space;
        let block = space.block_of_page(page);
        space.page_in_block(page, block, self.checkpoint.jump(block))
    }

    /// The page after this one in the log's chain, headers of blocks passed over: they have pages of their own.
    fn page_after(&mut self, page: u32) -> Result<u32, Error> {
        let space = self.pages.space;
        let block = space.block_of_page(page);
        if page + 1 < space.first_page(block) + space.pages_per_block {
            return Ok(page + 1);
        }
        match self.successor(block)? {
            Some(next) => Ok(space.first_page(next) + LOG_FIRST_PAGE),
            // A header that can be read names one.
            None => Err(self.pages.header(space.first_page(block)).err().unwrap_or(Error::Corrupt { page })),
        }
    }

    /// Says the last commit's page again on a fresh page, because it may have been torn.
    pub(super) fn recommit(&mut self) -> Result<(), Error> {
        let Some(page) = self.last_commit else { return Ok(()) };
        self.front.again = true;
        let commit = self.commit_on(page)?;
        let replaced = commit.replaced.unwrap_or(Replaced { first_page: commit.first_page, page });
        let span = self.span_in_doubt(page, &commit)?;
        let mut again = Commit { replaced: Some(replaced), next_object: self.next_object, reach: None, ..commit };
        self.repeat_bodies(&span)?;
        again.reach = self.repeat_changes(&again)?;
        if again.reach.is_none() {
            self.repeat_items(&span)?;
        }
        self.append_commit(again)?;
        self.front.again = false;
        self.table.commit_pending();
        Ok(())
    }

    /// What a cut may have torn of the transaction whose commit is on a page: a recommit whole, of an ordinary one the last page.
    fn span_in_doubt(&mut self, page: u32, commit: &Commit) -> Result<Span, Error> {
        let first_page = self.replacement(if commit.replaced.is_some() { commit.first_page } else { page });
        let last_commit = self.pages.header(page)?.last_commit;
        Ok(Span { first_page, last_page: self.replacement(page), last_commit, with_last: true })
    }

    /// Says everything behind the checkpoint again in a chain of its own, and has a checkpoint lead there, which differs from the last one
    /// in nothing else: the chain has a header that cannot be read. Until that is durable mounts find the old one.
    #[inline(never)]
    pub(super) fn start_chain(&mut self, in_doubt: bool) -> Result<(), Error> {
        self.leave_chain();
        self.spare_begun()?;
        self.ready(HeadId::Front)?;
        let mut start = self.tail_start();
        if let Some(page) = self.last_commit.filter(|_| in_doubt) {
            let commit = self.commit_on(page)?;
            let span = self.span_in_doubt(page, &commit)?;
            self.repeat_bodies(&span)?;
        }
        self.say_changes()?;
        let commit = self.next_commit();
        self.append_commit(commit)?;
        self.table.commit_pending();
        let mut checkpoint = Checkpoint { clean: false, ..self.checkpoint };
        // Its first block may have failed since.
        start.front_block = checkpoint.jump(start.front_block);
        checkpoint.begin_tail(&start);
        self.write_checkpoint(&mut checkpoint, false)
    }

    /// Leaves blocks alone that were begun before a cut, as far as there are other ones: a torn page that refers to them, or a checkpoint that
    /// leads there, may be read later.
    pub(super) fn spare_begun(&mut self) -> Result<(), Error> {
        for block in 0..self.pages.space.block_count {
            if self.alloc.is_free(block)
                && self.alloc.count(BlockState::Free) > FREE_MIN
                && let Some((page, _)) = self.block_header(block)?
                && (page.is_log() || page.kind == PageKind::Moved)
                && page.sequence > self.checkpoint.sequence
            {
                self.mark_tail(block);
            }
        }
        Ok(())
    }

    /// Says the items of a span again as changes of their keys, but for those whose bytes were moved.
    fn repeat_items(&mut self, span: &Span) -> Result<(), Error> {
        let mut failed = None;
        self.walk(span, &mut |log, item| {
            if let Err(error) = log.repeat_item(item) {
                failed = Some(error);
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Says one item again. The table has its row already.
    fn repeat_item(&mut self, item: &Item) -> Result<(), Error> {
        if !item.header.kind.is_transactional() || item.header.kind == ItemKind::Commit {
            return Ok(());
        }
        let key = item.header.key;
        match self.table.find(0, &key) {
            Some(Row { age: Age::Active, place: Some(place), .. }) => self.append_reference(key, &place),
            Some(Row { age: Age::Active, place: None, .. }) => self.begin(HeadId::Front, ItemKind::Delete, key, 0),
            _ => Ok(()),
        }
    }

    /// Moves the bytes of every row that lie on the span's pages.
    fn repeat_bodies(&mut self, span: &Span) -> Result<(), Error> {
        let mut from = Key::MIN;
        // Every row is looked at once; new rows are pending and have other places.
        while let Some(row) = self.table.next_in(0, &from, Age::Active) {
            from = row.key.successor();
            let newest = self.table.find(0, &row.key);
            if let Some(place) = row.place.filter(|_| newest.is_some_and(|newest| newest.age != Age::Pending)) {
                let moved = self.part_in(&place, span);
                if moved > 0 {
                    self.repeat_body(row.key, &place, place.stored() - moved)?;
                    // The table may be as full as a running volume left it: no row for both.
                    self.table.remove_row(0, &row.key, Age::Active);
                }
            }
        }
        Ok(())
    }

    /// How many bytes at the end of a place lie on the span's pages or behind them.
    fn part_in(&self, place: &Place, span: &Span) -> u32 {
        let space = self.pages.space;
        let block = space.block_of(place.address);
        let len = place.stored();
        if len == 0 || block != space.block_of_page(span.last_page) {
            return 0;
        }
        let first =
            if space.block_of_page(span.first_page) == block { span.first_page } else { space.first_page(block) };
        let end = space.page_of(space.advance(place.address, len - 1));
        if end < first || space.page_of(place.address) > span.last_page {
            return 0;
        }
        let start_page = space.page_of(place.address);
        if start_page >= first {
            return len;
        }
        // Extents may be cut in two; anything else is moved whole.
        let before = (first - start_page) * space.payload - space.offset_of(place.address);
        len.saturating_sub(before)
    }

    /// Appends a value again: extents keep the part that is safe where it is.
    fn repeat_body(&mut self, key: Key, place: &Place, keep: u32) -> Result<(), Error> {
        if PACKED && place.part().is_some() {
            return self.repeat_packed(key, place);
        }
        let space = self.pages.space;
        let divisible = key.kind == KIND_EXTENT;
        let keep = if divisible { keep } else { 0 };
        if keep > 0 {
            self.put_reference(key, &Place::value(place.address, keep))?;
        }
        let rest = Place::value(space.advance(place.address, keep), place.len - keep);
        let key = Key { position: key.position + u64::from(keep), ..key };
        self.put_copy(key, &rest)
    }

    /// Appends bytes that are on flash as a value of a key.
    pub(crate) fn put_copy(&mut self, key: Key, place: &Place) -> Result<(), Error> {
        self.begin(HeadId::Front, ItemKind::Value, key, place.len)?;
        self.push_copy(HeadId::Front, place)?;
        let address = self.finish(HeadId::Front);
        self.put_row(key, Some(Place::value(address, place.len)))
    }

    /// Appends bytes that were appended before to the item that was begun. Where they cannot be read the item is filled with
    /// zeros before the error is returned: what follows it stays readable.
    pub(crate) fn push_copy(&mut self, head: HeadId, place: &Place) -> Result<(), Error> {
        let mut chunk = [0u8; CHUNK_BYTES];
        let mut done = 0u32;
        let mut result = Ok(());
        while done < place.len {
            let len = (place.len - done).min(CHUNK_BYTES as u32);
            let bytes = chunk.get_mut(..len as usize).unwrap_or_default();
            if result.is_ok() {
                result = self.read_place(place, done, bytes);
            }
            if result.is_err() {
                bytes.fill(0);
            }
            self.push(head, bytes)?;
            done += len;
        }
        result
    }

    /// A key refers to bytes that were appended before.
    pub(crate) fn put_reference(&mut self, key: Key, place: &Place) -> Result<(), Error> {
        let place = self.make_durable(place)?;
        self.append_reference(key, &place)?;
        self.put_row(key, Some(place))
    }

    /// Bytes of a reference's body.
    pub(super) fn reference_len(&self, place: &Place) -> u32 {
        let space = &self.pages.space;
        let life = self.life_said(space.page_of(place.address)).map_or(0, |life| uleb_len(life.into()));
        let packed = place.part().map_or(0, |packed| uleb_len(packed.skip.into()) + uleb_len(packed.stored.into()));
        (life + uleb_len(space.number(place.address)) + uleb_len(place.len.into()) + packed) as u32
    }

    /// Appends a reference to bytes that are on flash; the table is not told.
    pub(crate) fn append_reference(&mut self, key: Key, place: &Place) -> Result<(), Error> {
        let mut body = [0u8; REFERENCE_BYTES_MAX];
        let mut writer = crate::varint::Writer::new(&mut body);
        if let Some(life) = self.life_said(self.pages.space.page_of(place.address)) {
            writer.uleb(life.into());
        }
        writer.uleb(self.pages.space.number(place.address));
        writer.uleb(place.len.into());
        if let Some(packed) = place.part() {
            writer.uleb(packed.skip.into());
            writer.uleb(packed.stored.into());
        }
        let body = writer.finish().ok_or(Error::Exhausted)?;
        self.begin(HeadId::Front, ItemKind::Reference, key, body.len() as u32)?;
        self.push(HeadId::Front, body)
    }

    /// A key has no value any more.
    pub(crate) fn put_delete(&mut self, key: Key) -> Result<(), Error> {
        self.begin(HeadId::Front, ItemKind::Delete, key, 0)?;
        self.put_row(key, None)
    }

    /// A key has no value, whatever an ancestor of its index has.
    pub(crate) fn put_whiteout(&mut self, key: Key) -> Result<(), Error> {
        self.begin(HeadId::Front, ItemKind::Value, key, 0)?;
        let address = self.finish(HeadId::Front);
        self.put_row(key, Some(Place::value(address, 0)))
    }

    /// A pending change of a key.
    pub(crate) fn put_row(&mut self, key: Key, place: Option<Place>) -> Result<(), Error> {
        self.may_have.note(&key);
        // Nothing has no place: where its item ends may be another block.
        let place = place.map(|place| if place.len > 0 { place } else { Place::NOTHING });
        let taken = self.table.put(&Row { level: 0, key, age: Age::Pending, place });
        if taken { Ok(()) } else { Err(Error::NeedsRemount) }
    }
}
