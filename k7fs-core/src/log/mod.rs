//! The log floor: append-only transactions on blocks that come and go.
//!
//! Everything is appended as items to one of two streams of pages: the *front* head takes new data, nodes and commits,
//! the *moved* head takes what the cleaner moves and second copies. A commit makes all items since the last one
//! visible at once. A checkpoint sums up the state, so that a mount replays only the commits after it.
//!
//! Two heads, not three: with one more for new data, apart from nodes and commits, a synced write ends two pages instead of
//! one. Overwriting 4 KiB anywhere in a volume 80 % full then programs 2 % (16 MiB NOR), 24 % (1 MiB NOR) or 17 % (NAND) more,
//! and what cleaning gains by the separation does not make up for it; with a sync after every 16th write nothing is gained.
//!
//! ```text
//! fixed set ──> checkpoint blocks (two mirrors) ──> newest checkpoint ──> tree root, allocation table, log tail
//! ```

mod alloc;
mod anchor;
mod checkpoint;
mod commit;
mod heads;
mod item;
mod lives;
mod memory;
mod mount;
mod packed;
mod relocate;
mod replay;
mod resize;
mod signature;
mod stock;
mod table;
mod tail;
mod trial;

pub use alloc::BadReason;
pub(crate) use alloc::{Alloc, BlockState, Wear};
pub(crate) use checkpoint::{Checkpoint, JUMPS_MAX, MayHave};
pub(crate) use item::{ITEM_HEADER_BYTES_MAX, ItemHeader, ItemKind, KEY_BYTES, Key};
pub(crate) use memory::Memory;
pub(crate) use memory::buffer_bytes;
pub(crate) use mount::{BLOCKS_MIN, SPARE_SHARE_MAX, Terms};
pub(crate) use packed::{PACKED_HEAD_BYTES_MAX, PackedHead};
pub(crate) use signature::{SIGNATURE_BYTES, Signature};
pub(crate) use table::{Age, Beside, Packed, Place, Row, Table};
pub(crate) use trial::TEST_PAGES;

use crate::error::inner::Error;
use crate::flash::Flash;
use crate::page::{Address, Pages};
use crate::varint::{ULEB_BYTES_MAX, Writer};
use anchor::Anchors;
use heads::Head;
use relocate::{RELOCATIONS_MAX, Relocation};

/// Streams of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadId {
    /// New data, nodes, commits.
    Front,
    /// Moved data, second copies.
    Moved,
}

/// The log of a mounted volume.
#[derive(Debug)]
pub(crate) struct Log<'b, F> {
    pub(crate) pages: Pages<'b, F>,
    pub(crate) signature: Signature,
    front: Head<'b>,
    moved: Head<'b>,
    pub(crate) alloc: Alloc<'b>,
    pub(crate) table: Table<'b>,
    anchors: Anchors,
    /// The last durable checkpoint.
    pub(crate) checkpoint: Checkpoint,
    /// The next page's sequence number.
    sequence: u64,
    /// Blocks opened so far, modulo 2^32.
    generation: u32,
    /// The number of the last commit.
    transaction: u64,
    /// Where the running transaction's first page is, once it has one.
    transaction_start: Option<u32>,
    last_commit: Option<u32>,
    commit_tag: u32,
    /// The next object number.
    pub(crate) next_object: u64,
    /// What the tree may have, merged or not.
    pub(crate) may_have: MayHave,
    /// Where the tail of the checkpoint begins that is being written in steps.
    merge_start: Option<TailStart>,
    /// Blocks that failed under a head since the mount, the last few.
    relocations: heapless::Vec<Relocation, RELOCATIONS_MAX>,
    /// Blocks that this mount has erased ahead of their use: only it knows, so that an erase that was cut is repeated.
    erased: heapless::Vec<u16, ERASED_MAX>,
    /// What is being moved lay still for long, and goes to blocks that were erased often.
    pub(crate) moves_cold: bool,
    /// A block was opened since the wear was looked at.
    pub(crate) has_opened: bool,
    /// A block was erased since the call began that is under way.
    pub(crate) has_erased: bool,
    /// A block was opened since the mount: it goes on long enough to erase the next one ahead.
    pub(crate) is_lasting: bool,
    /// The front head has left the chain that the last checkpoint leads to.
    is_apart: bool,
    /// Commits and pages since the last checkpoint: what a mount would have to replay.
    pub(crate) commits_in_tail: u32,
    pub(crate) pages_in_tail: u32,
    /// The allocation table says how often each block was erased, so that pages of an earlier life are told apart.
    knows_lives: bool,
}

/// Blocks erased ahead, at most.
pub(crate) const ERASED_MAX: usize = 8;

/// Where the log's tail begins, and what was committed before.
#[derive(Clone, Copy, Debug)]
struct TailStart {
    sequence: u64,
    front_block: u32,
    front_page: u32,
    last_commit: Option<u32>,
    commit_tag: u32,
    transaction: u64,
    /// What the tail that ends here had.
    commits: u32,
    pages: u32,
}

impl Checkpoint {
    /// The log's tail begins there.
    fn begin_tail(&mut self, start: &TailStart) {
        self.tail_sequence = start.sequence;
        self.front_block = start.front_block;
        self.front_page = start.front_page;
        self.last_commit = start.last_commit;
        self.commit_tag = start.commit_tag;
        self.transaction = start.transaction;
    }
}

/// An item and where its body is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) header: ItemHeader,
    pub(crate) body: Address,
    /// Where the next item may start.
    pub(crate) next: Address,
}

impl<F: Flash> Log<'_, F> {
    /// Reads payload bytes, which may run over pages and may still be in a head's memory.
    pub(crate) fn read(&mut self, address: Address, bytes: &mut [u8]) -> Result<(), Error> {
        let space = self.pages.space;
        let mut page = space.page_of(address);
        let mut offset = space.offset_of(address) as usize;
        if !space.contains(address, bytes.len() as u32) {
            return Err(Error::Corrupt { page });
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let here = rest.len().min((space.payload as usize).saturating_sub(offset));
            let Some((now, later)) = rest.split_at_mut_checked(here) else { return Err(Error::Corrupt { page }) };
            self.read_in_page(page, offset, now)?;
            rest = later;
            page += 1;
            offset = 0;
        }
        Ok(())
    }

    /// As [`Self::read`], from the second copy where the first is damaged.
    pub(crate) fn read_place(&mut self, place: &Place, offset: u32, bytes: &mut [u8]) -> Result<(), Error> {
        let at = self.pages.space.advance(place.address, offset);
        self.read_in_place(place, offset, at, bytes)
    }

    /// As [`Self::read_place`], for who knows already where in the place the offset leads.
    pub(crate) fn read_in_place(
        &mut self, place: &Place, offset: u32, at: Address, bytes: &mut [u8],
    ) -> Result<(), Error> {
        match self.read(at, bytes) {
            Err(error) if error.is_unreadable() && place.copy().is_some() => {
                let copy = place.copy().unwrap_or(place.address);
                self.read(self.pages.space.advance(copy, offset), bytes)
            }
            result => result,
        }
    }

    /// Whether reading a place takes no flash operation.
    pub(crate) fn is_at_hand(&self, place: &Place) -> bool {
        let space = self.pages.space;
        let last = space.advance(place.address, place.stored().saturating_sub(1));
        let at_hand = |page: u32| {
            let page = self.relocated(page);
            self.front.unwritten(page).is_some() || self.pages.is_cached(page)
        };
        (space.page_of(place.address)..=space.page_of(last)).all(at_hand)
    }

    fn read_in_page(&mut self, page: u32, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let page = self.relocated(page);
        for head in [&self.front, &self.moved] {
            if let Some(source) = head.unwritten(page) {
                let from = source.get(offset..).and_then(|rest| rest.get(..bytes.len()));
                bytes.copy_from_slice(from.ok_or(Error::Corrupt { page })?);
                return Ok(());
            }
        }
        self.check_life(page)?;
        self.pages.read_payload(page, offset, bytes)
    }

    /// The item whose header starts at an address; `None` at the end of a page's items.
    pub(crate) fn item_at(&mut self, address: Address) -> Result<Option<Item>, Error> {
        let space = self.pages.space;
        let page = space.page_of(address);
        let offset = space.offset_of(address);
        let room = space.payload.saturating_sub(offset) as usize;
        let mut bytes = [0u8; ITEM_HEADER_BYTES_MAX];
        let len = room.min(bytes.len());
        let Some(bytes) = bytes.get_mut(..len) else { return Ok(None) };
        self.read_in_page(page, offset as usize, bytes)?;
        let Some((header, size)) = ItemHeader::decode(bytes).map_err(|()| Error::Corrupt { page })? else {
            return Ok(None);
        };
        let body = space.advance(address, size as u32);
        if !space.contains(address, header.len.saturating_add(size as u32)) {
            return Err(Error::Corrupt { page });
        }
        Ok(Some(Item { header, body, next: space.advance(body, header.len) }))
    }

    /// After a checkpoint is durable: blocks that nothing needs any more become free.
    fn settle(&mut self, start: &TailStart) -> Result<(), Error> {
        for block in [self.front.block, self.front.next, self.moved.block].into_iter().flatten() {
            self.alloc.keep(block);
        }
        // A block that was replaced must not come back into the chain that names it.
        for (replaced, _) in self.checkpoint.jumps.iter() {
            self.alloc.keep(replaced);
        }
        self.keep_rows();
        self.keep_chain(start.front_block)?;
        if let Some(page) = self.transaction_start {
            // The running transaction's pages are needed until the checkpoint after its commit.
            self.keep_chain(self.pages.space.block_of_page(page))?;
        }
        self.alloc.settle();
        self.commits_in_tail = self.commits_in_tail.saturating_sub(start.commits);
        self.pages_in_tail = self.pages_in_tail.saturating_sub(start.pages);
        Ok(())
    }

    /// What the table's rows name stays where it is until the checkpoint that takes them.
    fn keep_rows(&mut self) {
        let space = self.pages.space;
        let mut index = 0;
        while let Some(row) = self.table.row(index) {
            if let Some(place) = row.place.filter(|place| place.len > 0) {
                self.alloc.keep(space.block_of(place.address));
            }
            index += 1;
        }
    }

    /// Keeps the blocks of the log from one on.
    fn keep_chain(&mut self, first: u32) -> Result<(), Error> {
        let mut next = Some(first);
        for _ in 0..self.pages.space.block_count {
            let Some(block) = next else { break };
            self.alloc.keep(block);
            next = self.next_in_chain(block)?;
        }
        Ok(())
    }

    /// The block behind one of the log's; none behind the front head's.
    fn next_in_chain(&mut self, block: u32) -> Result<Option<u32>, Error> {
        if self.front.block == Some(block) { Ok(None) } else { self.successor(block) }
    }

    /// A block of the tail that may be cleaned or used again.
    #[cfg(feature = "sabotage")]
    pub(crate) fn loose_in_tail(&mut self) -> Result<Option<u32>, Error> {
        let mut next = Some(self.checkpoint.front_block);
        for _ in 0..self.pages.space.block_count {
            let Some(block) = next else { break };
            if matches!(self.alloc.state(block), BlockState::Free | BlockState::Used) {
                return Ok(Some(block));
            }
            next = self.next_in_chain(block)?;
        }
        Ok(None)
    }

    /// A merge begins: it takes what is committed until now, and the tail of its checkpoint begins here.
    pub(crate) fn begin_merge(&mut self) {
        self.table.freeze();
        self.merge_start = Some(self.tail_start());
    }

    fn tail_start(&self) -> TailStart {
        TailStart {
            sequence: self.sequence,
            front_block: self.front.block.unwrap_or(0),
            front_page: self.front.page,
            last_commit: self.last_commit,
            commit_tag: self.commit_tag,
            transaction: self.transaction,
            commits: self.commits_in_tail,
            pages: self.pages_in_tail,
        }
    }

    /// Writes the first changed part of the allocation table from a segment on; the next segment, or `None` at the end.
    #[inline(never)]
    pub(crate) fn write_next_segment(&mut self, from: usize) -> Result<Option<usize>, Error> {
        for segment in from..self.alloc.segment_count() {
            if self.alloc.is_dirty(segment) {
                self.write_segment(segment)?;
                return Ok(Some(segment + 1));
            }
        }
        Ok(None)
    }

    /// Writes a checkpoint with this root, and lets go of what only the last one needed.
    #[inline(never)]
    pub(crate) fn finish_merge(&mut self, root: Option<Place>, root_level: u8) -> Result<(), Error> {
        self.flush_partial(HeadId::Moved)?;
        self.flush_partial(HeadId::Front)?;
        let now = self.tail_start();
        // Without a commit on the way the merge itself need not be in the tail.
        let start = self.merge_start.take().filter(|start| start.transaction != now.transaction).unwrap_or(now);
        let behind = start.transaction != now.transaction;
        let mut checkpoint = Checkpoint {
            may_have: self.may_have,
            root,
            root_level,
            next_object: self.next_object,
            leaves: self.checkpoint.leaves,
            scrubbed: self.checkpoint.scrubbed,
            segments: self.alloc.segments,
            reached: self.checkpoint.reached,
            blocks: self.stated_blocks(),
            ..Checkpoint::new()
        };
        checkpoint.begin_tail(&start);
        if behind || self.transaction_start.is_some() {
            // The pages behind it are walked one day, perhaps from a block before the replaced ones.
            checkpoint.jumps = self.checkpoint.jumps;
        } else if let Some(next) = self.front.next {
            // After a cut the log goes on before a block that had taken another's place already.
            checkpoint.jumps = self.checkpoint.jumps.towards(next);
        }
        self.write_checkpoint(&mut checkpoint, !behind)?;
        self.settle(&start)
    }

    /// A number that rises by one with every page.
    pub(crate) fn pages_written(&self) -> u64 {
        self.sequence
    }

    /// Blocks opened so far, modulo 2^32.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// The number of the last commit.
    pub(crate) fn transaction(&self) -> u64 {
        self.transaction
    }

    /// The number of the last commit that a merge takes.
    pub(crate) fn merged_transaction(&self) -> u64 {
        self.merge_start.map_or(self.transaction, |start| start.transaction)
    }

    /// A checkpoint commits the running transaction: it takes a number, and its pages are nobody's start any more.
    pub(crate) fn count_transaction(&mut self) {
        self.transaction += 1;
        self.table.commit_pending();
        self.transaction_start = None;
    }

    /// Drops the running transaction. What it has appended stays behind, outside every transaction.
    pub(crate) fn abandon_transaction(&mut self) -> Result<(), Error> {
        self.table.roll_back_pending();
        self.flush_partial(HeadId::Front)?;
        self.transaction_start = None;
        Ok(())
    }

    /// Writes the last checkpoint once more, as a clean stop: the one before is settled then.
    pub(crate) fn write_clean_stop(&mut self) -> Result<(), Error> {
        let mut checkpoint = self.checkpoint;
        checkpoint.clean = true;
        checkpoint.may_have = self.may_have;
        self.write_checkpoint(&mut checkpoint, true)
    }

    fn write_segment(&mut self, segment: usize) -> Result<(), Error> {
        // Writing may open or replace a block and so change a number: zeros behind the numbers leave room for that.
        const SLACK: u32 = 8;
        let space = self.pages.space;
        self.alloc.set_clean(segment);
        let len = self.alloc.segment_len(&space, segment) as u32 + SLACK;
        self.begin(HeadId::Front, ItemKind::Allocation, Key::MIN, len)?;
        let mut rest = len as usize;
        let mut bytes = [0u8; 2 * ULEB_BYTES_MAX];
        let mut writer = Writer::new(&mut bytes);
        writer.uleb(segment as u64);
        let mut piece = writer.finish().unwrap_or_default();
        for block in self.alloc.segment_range(segment) {
            rest = rest.checked_sub(piece.len()).ok_or(Error::NeedsRemount)?;
            self.push(HeadId::Front, piece)?;
            let (word, erases) = self.alloc.stored(&space, block);
            let mut writer = Writer::new(&mut bytes);
            writer.bytes(&word);
            writer.uleb(erases);
            piece = writer.finish().unwrap_or_default();
        }
        rest = rest.checked_sub(piece.len()).ok_or(Error::NeedsRemount)?;
        self.push(HeadId::Front, piece)?;
        while rest > 0 {
            self.push(HeadId::Front, &[0])?;
            rest -= 1;
        }
        let address = self.finish(HeadId::Front);
        self.alloc.move_segment(&space, segment, address, len);
        Ok(())
    }
}
