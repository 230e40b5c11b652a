//! The cleaner: picks a victim block, appends what is alive in it elsewhere, and lets it go.
//!
//! Reclaiming space, evacuating a failing block and levelling wear are the same thing with another victim. Values move within a
//! transaction of their own, whose rows say the new places. Nodes are copied as they are; their new places are rows above
//! level 0 that only the next checkpoint makes durable. The victim becomes free at that checkpoint, never before.
//!
//! Wear is levelled from both sides. The block erased least is taken whenever one is needed, which levels those that are written
//! often. What is never written again would keep its blocks from that for ever: the one erased least is emptied once it lags by
//! [`LAG_MIN`] erases or by one in [`LAG_SHARE`] behind the average, into the free block erased most, which then rests. With a
//! lag of L and a part c of the volume cold, a cold block stays for D = (L + 1) / (1 - c / 2) erases of the others, which are
//! c D / 2 above the average. For c = 0.6 that is 2 erases at first and one in 37 of the average later; one block in 12 that is
//! opened serves levelling at first, and ever fewer later.

use super::node::{Content, Entry};
use super::space::half_way;
use super::{KIND_EXTENT, Tree};
use crate::codec::PACKED;
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::log::{Age, Beside, BlockState, HeadId, Item, ItemHeader, ItemKind, Key, Place, Row};
use crate::page::Address;
use crate::sabotage::{self, is_off};

/// Rows that moving one place may need: an extent is cut where a block ends.
const ROWS_PER_PLACE: usize = 4;
/// Erases by which a block may lag behind the average: so many, or one in so many.
const LAG_MIN: u32 = 3;
const LAG_SHARE: u32 = 16;
/// Pages that a step reads for each that it programs, about: items that are dead cost lookups all the same.
const READS_PER_PAGE: u32 = 6;
/// The last class of items.
const CLASS_LAST: u32 = u32::BITS - 1;
/// The smallest piece of an extent that is cut, as a part of a block.
const PIECE_SHARE: u32 = 4;
/// Eighths of a block that may be alive where it is cleaned ahead of the need.
const GAINFUL_EIGHTHS: u64 = 7;
/// Blocks cleaned between two checkpoints, at most.
const VICTIMS_MAX: usize = super::CLEANED_MAX;

/// A block that is emptied in steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Emptying {
    pub(super) block: u16,
    /// Where to go on.
    pub(super) page: u16,
    pub(super) why: Why,
}

/// Why a block is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It holds little.
    Gain,
    /// It was erased seldom: what it holds lay still for long.
    Level,
    /// A page of it is weak.
    Weak,
}

impl Emptying {
    /// Nobody waits for it, and what it holds goes to blocks that were erased often.
    pub(super) fn is_cold(&self) -> bool {
        self.why != Why::Gain
    }
}

/// A step of emptying a block, that programs about so many pages.
struct Step {
    pages: u32,
    written_before: u64,
    reads_before: u32,
}

impl Step {
    /// What has been written when it is done.
    fn end(&self) -> u64 {
        self.written_before.saturating_add(self.pages.into())
    }
}

impl<F: Flash> Tree<'_, F> {
    /// Cleans some blocks and writes a checkpoint, so that they are free. `false` where nothing was moved.
    ///
    /// A victim that holds more than the table takes is emptied by several calls. No transaction may be running.
    pub(super) fn clean(&mut self, free_wanted: u32) -> Result<bool, Error> {
        // Nodes that move while others are merged would be lost on the way.
        self.end_checkpoint()?;
        let before = self.free_blocks();
        let mut moved = false;
        for emptied in 0..VICTIMS_MAX as u32 {
            // The checkpoint that follows needs its blocks too.
            if before + emptied >= free_wanted || self.free_blocks() < self.checkpoint_blocks_now() + 2 {
                break;
            }
            let Some(victim) = self.victim() else { break };
            let emptied = self.evacuate(victim)?;
            // What has moved so far counts, also where it was not all.
            moved |= emptied || self.log.table.len() > 0;
            if !emptied {
                break;
            }
        }
        self.checkpoint()?;
        #[cfg(feature = "indexes")]
        if self.recount_if_due()? {
            // The next checkpoint frees what is empty.
            moved = true;
        }
        Ok(moved || self.free_blocks() > before)
    }

    /// The block with the least in it; failing ones first.
    #[inline(never)]
    fn victim(&self) -> Option<u32> {
        let alloc = &self.log.alloc;
        let candidates = (0..alloc.blocks()).filter(|block| self.is_candidate(*block));
        candidates.min_by_key(|block| (alloc.state(*block) != BlockState::Failing, alloc.live(*block)))
    }

    /// Wear is levelled from here on: the blocks that a mount opens do not count, so that starts one after the other move nothing
    /// and the first write costs what any does.
    pub(crate) fn begin_levelling(&mut self) {
        (self.log.has_opened, self.log.is_lasting) = (false, false);
    }

    /// Once for each block that is opened, chooses the block that lags most to be emptied next, where there are blocks to spare: nothing
    /// waits for it.
    pub(super) fn choose_laggard(&mut self) {
        let is_busy =
            self.emptying.is_some() || self.cleaned.is_full() || self.free_blocks() < self.comfortable_blocks();
        if is_busy || !core::mem::take(&mut self.log.has_opened) {
            return;
        }
        self.emptying = self.laggard().map(|block| Emptying { block: block as u16, page: 0, why: Why::Level });
    }

    /// The block in use that was erased least, if it lags.
    fn laggard(&self) -> Option<u32> {
        let alloc = &self.log.alloc;
        let mean = alloc.wear().mean();
        let lag = (mean / LAG_SHARE).max(LAG_MIN);
        let candidates = (0..alloc.blocks()).filter(|block| self.is_candidate(*block));
        let least = candidates.min_by_key(|block| alloc.erase_count(*block))?;
        (alloc.erase_count(least).saturating_add(lag) <= mean).then_some(least)
    }

    /// Whether there is anything to move out of a block, and nothing against it.
    pub(super) fn is_candidate(&self, block: u32) -> bool {
        let alloc = &self.log.alloc;
        alloc.live(block) > 0
            && !self.cleaned.iter().any(|cleaned| u32::from(*cleaned) == block)
            && matches!(alloc.state(block), BlockState::Used | BlockState::Failing)
    }

    /// The block with the least in it, where something is gained.
    pub(super) fn gainful_victim(&self) -> Option<u32> {
        let alloc = &self.log.alloc;
        let most = u64::from(self.log.pages.space.block_payload()) * GAINFUL_EIGHTHS / 8;
        self.victim().filter(|victim| alloc.live_bytes_of(*victim) <= most)
    }

    /// Moves about so many pages out of the block that is being emptied, or begins with the one with the least in it. Not in a
    /// transaction.
    pub(super) fn clean_step(&mut self, pages: u32) -> Result<(), Error> {
        let begun = self.emptying.filter(|emptying| self.is_candidate(emptying.block.into()));
        let fresh = || Some(Emptying { block: self.gainful_victim()? as u16, page: 0, why: Why::Gain });
        let Some(emptying) = begun.or_else(fresh) else {
            self.emptying = None;
            return Ok(());
        };
        self.commit()?;
        self.log.moves_cold = emptying.is_cold();
        let left = self.evacuate_some(emptying.block.into(), emptying.page.into(), pages);
        self.log.moves_cold = false;
        self.emptying = left.map_err(half_way)?.map(|page| Emptying { page: page as u16, ..emptying });
        Ok(())
    }

    /// Moves everything that is alive out of a block; `false` where the table has no more room.
    pub(super) fn evacuate(&mut self, victim: u32) -> Result<bool, Error> {
        let left = self.evacuate_some(victim, 0, u32::MAX)?;
        Ok(left.is_none())
    }

    /// Moves what is alive in a block from one of its pages on, until about so many pages are programmed for it; tells the page to
    /// go on with, if there is one. Whatever was moved is committed.
    fn evacuate_some(&mut self, victim: u32, page: u32, pages: u32) -> Result<Option<u32>, Error> {
        let left = self.move_items(victim, page, pages)?;
        self.refer_to_moved()?;
        self.log_commit()?;
        if left.is_some() {
            return Ok(left);
        }
        let is_weak =
            self.emptying.is_some_and(|emptying| u32::from(emptying.block) == victim && emptying.why == Why::Weak);
        if is_weak {
            self.weak |= 1u16.checked_shl(self.cleaned.len() as u32).unwrap_or(0);
        }
        // An empty one is not looked at again before the checkpoint that frees it.
        if self.cleaned.push(victim as u16).is_ok() { Ok(None) } else { Ok(Some(0)) }
    }

    /// Appends the references to what was moved. Only now are the bytes on flash, where their places are final.
    fn refer_to_moved(&mut self) -> Result<(), Error> {
        if !is_off(sabotage::Step::CommitOrder) {
            self.log.flush_partial(HeadId::Moved)?;
        }
        let mut from = Key::MIN;
        while let Some(row) = self.log.table.next_in(0, &from, Age::Pending) {
            from = row.key.successor();
            if let Some(place) = &row.place {
                self.log.append_reference(row.key, place)?;
            }
        }
        Ok(())
    }

    /// Moves the items that begin on a block's pages from one on; tells the page where it stopped: where the step has done enough, or
    /// where the table has no more room.
    #[inline(never)]
    fn move_items(&mut self, victim: u32, from: u32, pages: u32) -> Result<Option<u32>, Error> {
        let space = self.log.pages.space;
        let first_page = space.first_page(victim);
        let step = Step { pages, written_before: self.log.pages_written(), reads_before: self.log.pages.reads() };
        for page in from..space.pages_per_block {
            if self.is_enough(&step) || !self.move_page(first_page + page, &step)? {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    fn is_enough(&self, step: &Step) -> bool {
        let reads = self.log.pages.reads().wrapping_sub(step.reads_before);
        let is_done = self.log.pages_written() >= step.end() || reads >= step.pages.saturating_mul(READS_PER_PAGE);
        step.pages < u32::MAX && (is_done || self.is_checkpoint_due(0))
    }

    /// Moves the items that begin on a page, `false` where some are left. Those with keys of one kind go one after another: they lead
    /// to the same nodes, which need not be read again and again.
    fn move_page(&mut self, page: u32, step: &Step) -> Result<bool, Error> {
        let header = match self.log.pages.header(page) {
            // What is lost here is lost already; the rest of the block still moves.
            Err(error) if error.is_damage() => return Ok(true),
            header => header?,
        };
        let first = self.log.pages.space.address(page, header.first_item);
        let mut classes = 0u32;
        let mut address = first;
        while let Some(item) = self.item_on(page, address) {
            classes |= 1 << class_of(&item.header);
            address = item.next;
        }
        while classes > 0 {
            if !self.move_class(page, first, classes.trailing_zeros(), step)? {
                return Ok(false);
            }
            classes &= classes - 1;
        }
        Ok(true)
    }

    fn move_class(&mut self, page: u32, first: Address, class: u32, step: &Step) -> Result<bool, Error> {
        let payload = self.log.pages.space.payload.max(1);
        let mut address = first;
        while let Some(item) = self.item_on(page, address) {
            address = item.next;
            if class_of(&item.header) != class {
                continue;
            }
            // A long item is moved at once: where something has moved, it waits for the next step.
            let written = self.log.pages_written();
            let end = written.saturating_add((item.header.len / payload).into());
            if end > step.end() && written > step.written_before || !self.move_item(&item)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The item at an address, if that is on this page. A damaged one hides the rest of its page, not of the block.
    fn item_on(&mut self, page: u32, address: Address) -> Option<Item> {
        let is_here = self.log.pages.space.page_of(address) == page;
        if is_here { self.log.item_at(address).ok().flatten() } else { None }
    }

    #[inline(never)]
    fn move_item(&mut self, item: &Item) -> Result<bool, Error> {
        match item.header.kind {
            ItemKind::Value | ItemKind::Record => self.move_value(item),
            ItemKind::Packed | ItemKind::PackedRecord if PACKED => self.move_packed(item),
            ItemKind::Node if self.has_rows() => self.move_node(item).map(|()| true),
            ItemKind::Node => Ok(false),
            ItemKind::Allocation => {
                self.log.alloc.touch_segment_at(item.body);
                Ok(true)
            }
            _ => Ok(true),
        }
    }

    /// Whether the table takes one place more.
    fn has_rows(&self) -> bool {
        self.log.table.len() + ROWS_PER_PLACE <= self.rows_max()
    }

    /// Moves what still refers to a value's bytes: for an extent any part of it, for anything else all of it. `false`
    /// where the table has no more room: what has moved until then stays there.
    fn move_value(&mut self, item: &Item) -> Result<bool, Error> {
        let key = item.header.key;
        let space = self.log.pages.space;
        let last = match key.kind {
            KIND_EXTENT => key.position.saturating_add(item.header.len.into()),
            _ => key.position,
        };
        let mut from = Key { index: u32::MAX, ..key };
        let mut entry = Entry::EMPTY;
        while self.next_version(&from, &mut entry)? && entry.key.position <= last && entry.key.is_beside(&key) {
            from = entry.key.successor();
            let Content::At(place) = entry.content else { continue };
            let inside = place.address >= item.body && place.address < space.advance(item.body, item.header.len);
            if inside && place.len > 0 && place.part().is_none() {
                if !self.has_rows() {
                    return Ok(false);
                }
                self.move_place(entry.key, place)?;
            }
        }
        Ok(true)
    }

    /// Moves a packed record as it is, with every version that refers to a part of its content. `false` where the table has no more
    /// room: what still refers to the old one then keeps it until the next round.
    fn move_packed(&mut self, item: &Item) -> Result<bool, Error> {
        let key = item.header.key;
        let head = match self.log.packed_head(item.body, item.header.len) {
            // Nobody can read it: a transaction that was cut, or a loss that whoever needs it hears of.
            Err(error) if error.is_damage() => return Ok(true),
            head => head?,
        };
        let last = key.position.saturating_add(head.plain.into());
        let mut moved = None;
        let mut from = Key { index: u32::MAX, ..key };
        let mut entry = Entry::EMPTY;
        while self.next_version(&from, &mut entry)? && entry.key.position <= last && entry.key.is_beside(&key) {
            from = entry.key.successor();
            let Content::At(place) = entry.content else { continue };
            if place.address != item.body || place.part().is_none_or(|packed| packed.stored != item.header.len) {
                continue;
            }
            if !self.has_rows() {
                return Ok(false);
            }
            let address = match moved {
                Some(address) => address,
                None => match self.log.copy_packed(HeadId::Moved, key, &place) {
                    Err(error) if error.is_damage() => return Ok(true),
                    address => address?,
                },
            };
            moved = Some(address);
            self.log.put_row(entry.key, Some(Place { address, ..place }))?;
        }
        Ok(true)
    }

    /// Appends a value's bytes to the moved head; the references follow, see [`Self::refer_to_moved`].
    /// An extent may end where a block does and go on in the next under another key.
    fn move_place(&mut self, key: Key, place: Place) -> Result<(), Error> {
        let space = self.log.pages.space;
        let mut done = 0;
        while done < place.len {
            let room = self.log.room(HeadId::Moved)?;
            let rest = place.len - done;
            let at = Key { position: key.position + u64::from(done), ..key };
            let first = first_piece(rest, room, space.block_payload());
            let len = if first < rest && self.may_be_cut(&at, first)? { first } else { rest };
            let part = Place::value(space.advance(place.address, done), len);
            self.log.begin(HeadId::Moved, ItemKind::Record, at, len)?;
            if let Err(error) = self.log.push_copy(HeadId::Moved, &part) {
                // It stays where it is, and its block with it: whoever needs it hears of the damage. What went before it has the
                // key of the whole now, so that the rest needs one of its own: without that it would read as zeros.
                return match error.is_damage() {
                    true if done > 0 => {
                        let rest = Place::value(space.advance(place.address, done), rest);
                        self.log.put_row(at, Some(rest))
                    }
                    true => Ok(()),
                    false => Err(error),
                };
            }
            let address = self.log.finish(HeadId::Moved);
            self.log.put_row(at, Some(Place::value(address, len)))?;
            done += len;
        }
        Ok(())
    }

    /// Whether a version of an extent may become two, with so many bytes in the first.
    ///
    /// A younger index that has a version of the first of both keys of its own would see the second, which it does not hide; one
    /// that has a version of the second would lack it.
    fn may_be_cut(&mut self, extent: &Key, len: u32) -> Result<bool, Error> {
        if extent.kind != KIND_EXTENT {
            return Ok(false);
        }
        let second = Key { position: extent.position + u64::from(len), ..*extent };
        for key in [*extent, second] {
            let mut entry = Entry::EMPTY;
            // The newest version comes first.
            let newest = Key { index: u32::MAX, ..key };
            if self.next_version(&newest, &mut entry)? && entry.key.is_version_of(&key) && entry.key.index > key.index {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies a node or its second copy, if the tree still has it there.
    fn move_node(&mut self, item: &Item) -> Result<(), Error> {
        let key = item.header.key;
        let mut level = [0u8; 1];
        match self.log.read(item.body, &mut level) {
            // A node of a transaction that was cut, or one that is read from its second copy.
            Err(error) if error.is_damage() => return Ok(()),
            result => result?,
        }
        let [level] = level;
        let Some(found) = self.find_node(level, &key)? else { return Ok(()) };
        let mut place = found.place;
        let old = place;
        let head = match place {
            Place { address, .. } if address == item.body => HeadId::Front,
            place if place.copy() == Some(item.body) => HeadId::Moved,
            _ => return Ok(()),
        };
        // From whichever of both can be read.
        let mut copy = match self.copy_node(head, key, &old) {
            Err(error) if error.is_damage() => return Ok(()),
            address => Place::value(address?, old.len),
        };
        if level == self.root_level {
            // Unlike a row, the root is not told when a block fails under its last page.
            copy = self.log.make_durable(&copy)?;
        }
        match head {
            HeadId::Front => place.address = copy.address,
            HeadId::Moved => {
                if let Beside::Node { copy: second, .. } = &mut place.beside {
                    *second = Some(copy.address);
                }
            }
        }
        let space = self.log.pages.space;
        self.log.alloc.subtract_place(&space, &old);
        self.log.alloc.add_place(&space, &place);
        if level == self.root_level {
            self.root = Some(place);
            self.hint = None;
            return Ok(());
        }
        let row = Row { level: level + 1, key: found.low, age: Age::Frozen, place: Some(place) };
        if self.log.table.put(&row) { Ok(()) } else { Err(Error::NeedsRemount) }
    }

    fn copy_node(&mut self, head: HeadId, key: Key, source: &Place) -> Result<Address, Error> {
        self.log.begin(head, ItemKind::Node, key, source.len)?;
        self.log.push_copy(head, source)?;
        Ok(self.log.finish(head))
    }
}

/// Items of a page are moved class by class: by what kind their key is, and those without a key of their own last.
fn class_of(header: &ItemHeader) -> u32 {
    match header.kind {
        ItemKind::Value | ItemKind::Record | ItemKind::Packed | ItemKind::PackedRecord => {
            u32::from(header.key.kind).min(CLASS_LAST - 1)
        }
        _ => CLASS_LAST,
    }
}

/// How much of an extent that does not fit what is left of a block goes there: nothing less than a piece worth its key, and
/// nothing less is left over. Otherwise what is moved again and again would end as dust.
fn first_piece(rest: u32, room: u32, block: u32) -> u32 {
    let least = block / PIECE_SHARE;
    let first = room.min(rest.saturating_sub(least));
    if rest <= room || first < least { rest } else { first }
}
