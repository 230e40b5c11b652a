//! Transactions over the tree, and the room they need: rows in the table, blocks on the chip, bytes of capacity.

use super::Tree;
use super::ahead::STEP_PAGES;
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::log::{Age, BlockState, HeadId, ItemKind, JUMPS_MAX, Key, Packed, Place, SPARE_SHARE_MAX, Terms};

/// Commits that a mount may have to replay, at most.
const TAIL_COMMITS_MAX: u32 = 256;
/// The log's tail takes at most this part of the volume.
const TAIL_FRACTION: u32 = 8;
/// The moved head and a pair of checkpoint blocks, and one to spare.
pub(super) const SPARE_BLOCKS: u32 = 4;
/// A checkpoint is begun when the log's tail has reached so many quarters of its limit, or the table so many eighths: a few pages
/// with each call must end it before the table is full.
const BEGIN_QUARTERS: u32 = 3;
const BEGIN_EIGHTHS: usize = 6;
/// Pages programmed for it by one call, about; as many as the call's own where those are more.
const CHECKPOINT_PAGES: u32 = STEP_PAGES + 1;
/// It is late with it where the table takes only so many rows more, as a part of all.
const LATE_SHARE: usize = 16;
/// How often a mount starts over because a page read good and then did not.
const MOUNT_RETRIES_MAX: u32 = 8;
/// Rounds of cleaning that one call may take before it gives up.
const CLEANING_ROUNDS_MAX: u32 = 64;
/// Of these, rounds one after another that gain nothing.
const ROUNDS_IN_VAIN_MAX: u32 = 8;

/// What an operation is about to need.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    /// Bytes it appends.
    pub(crate) bytes: u64,
    /// Bytes by which the volume's content grows: 0 where it overwrites or deletes.
    pub(crate) growth: u64,
    /// Rows of the table.
    pub(crate) rows: usize,
}

impl<F: Flash> Tree<'_, F> {
    pub(super) fn free_blocks(&self) -> u32 {
        self.log.alloc.count(BlockState::Free)
    }

    /// Blocks that the next checkpoint may take in the worst case.
    pub(super) fn checkpoint_blocks(&self) -> u32 {
        let rows = self.rows_max() as u32;
        let leaves = rows.min(self.log.checkpoint.leaves + 1 + rows / 16);
        self.blocks_for_nodes(leaves, self.root_level, self.log.alloc.blocks())
    }

    /// Whether a checkpoint in steps may be begun: it has its blocks, and calls have some to go on with until it ends.
    pub(super) fn has_blocks_to_begin(&self) -> bool {
        self.free_blocks() > self.checkpoint_blocks_now() + SPARE_BLOCKS + 1
    }

    /// Free blocks with which two checkpoints may follow each other.
    pub(super) fn blocks_for_two(&self) -> u32 {
        2 * self.checkpoint_blocks() + SPARE_BLOCKS
    }

    /// Blocks for the checkpoint that is begun now, or has been, and for the next one, but for those that the first one frees.
    pub(super) fn blocks_to_end(&self) -> u32 {
        self.checkpoint_blocks_now() + self.checkpoint_blocks().saturating_sub(self.blocks_emptied())
    }

    /// Free blocks with which nothing has to be cleaned, whatever comes next.
    pub(super) fn comfortable_blocks(&self) -> u32 {
        self.checkpoint_blocks() + SPARE_BLOCKS + 1
    }

    /// Blocks for so many leaves, the inner nodes above them, twice, and the allocation table of so many blocks.
    fn blocks_for_nodes(&self, leaves: u32, root_level: u8, blocks: u32) -> u32 {
        let space = self.log.pages.space;
        let node = self.log.signature.node_bytes_max;
        // Inner nodes fan out at least sixteen-fold; a root that is a leaf is written twice as well.
        let inner = leaves.div_ceil(16) + u32::from(root_level);
        // What a hostile checkpoint says of leaves and nodes may be anything.
        let nodes = leaves.saturating_add(inner.saturating_mul(2)).saturating_mul(node.saturating_add(48));
        let bytes = nodes.saturating_add(blocks * 4 + 256);
        // Whole nodes leave a rest at the end of each block.
        let usable = space.block_payload().saturating_sub(node / 4 + 64).max(node).max(1);
        bytes.div_ceil(usable) + 1
    }

    /// Blocks that are never the user's, of so many: for the worst checkpoint, the heads, the cleaner, the checkpoint blocks'
    /// move.
    fn reserve_blocks(&self, blocks: u32) -> u32 {
        // Small blocks: several are under way at once before one comes back.
        let small = self.log.pages.space.block_payload() < 16 << 10;
        let under_way = if small { 2 + blocks / 64 } else { 0 };
        // One level above the leaves, whatever the tree is now: what the user may fill does not change with its shape.
        self.blocks_for_nodes(self.leaves_expected(blocks), 1, blocks) + 7 + under_way
    }

    /// Bytes of capacity that make a volume worth the name.
    pub(super) fn capacity_min(&self) -> u32 {
        let block_payload = self.log.pages.space.block_payload();
        block_payload * if block_payload < 16 << 10 { 6 } else { 2 }
    }

    /// Whether so many blocks leave the user anything worth the name.
    pub(crate) fn is_large_enough(&self) -> bool {
        self.capacity_bytes() >= self.capacity_min().into()
    }

    /// Blocks that a volume on such a chip should have at least: what this one has, and what it lacks.
    pub(crate) fn blocks_min(&self) -> u32 {
        let bad = self.log.alloc.count(BlockState::Bad);
        let enough = |blocks: &u32| self.capacity_of(*blocks, bad) >= self.capacity_min().into();
        (self.log.alloc.blocks() + 1..=u16::MAX.into()).find(enough).unwrap_or(u16::MAX.into())
    }

    /// Bytes that the user may fill.
    pub(crate) fn capacity_bytes(&self) -> u64 {
        let alloc = &self.log.alloc;
        let bad = alloc.count(BlockState::Bad) + alloc.count(BlockState::Failing);
        self.capacity_of(alloc.blocks(), bad)
    }

    /// The same for so many blocks, of which some are bad. Blocks that the maker allows to go bad are nobody's from the start: what
    /// the user may fill is the same until more have.
    pub(super) fn capacity_of(&self, blocks: u32, bad: u32) -> u64 {
        let spare = self.log.signature.geometry.bad_blocks_max.min(blocks / SPARE_SHARE_MAX);
        let out = self.log.alloc.count(BlockState::Anchor) + bad.max(spare);
        let usable = blocks.saturating_sub(out).saturating_sub(self.reserve_blocks(blocks));
        // Headers, padding and what the cleaner cannot gain any more: with few blocks it moves few at a time, and must gain
        // more from each to pay for the checkpoint.
        let sixteenths = if blocks < 128 { 11 } else { 13 };
        u64::from(usable) * u64::from(self.log.pages.space.block_payload()) * sixteenths / 16
    }

    /// Bytes in use, changes not merged yet included.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_of(self.log.alloc.blocks())
    }

    /// The same if the volume had so many blocks.
    pub(super) fn used_of(&self, blocks: u32) -> u64 {
        self.log.alloc.live_bytes() + self.leaf_room(blocks) + self.committed_bytes + self.pending_bytes
    }

    /// Room for writing leaves again. The reserve has it for the leaves that a volume of middling files has; many small
    /// files make more of them, and every one takes its place twice: where it lies, and at the next checkpoint.
    fn leaf_room(&self, blocks: u32) -> u64 {
        let more = self.log.checkpoint.leaves.saturating_sub(self.leaves_expected(blocks));
        u64::from(more) * self.log.alloc.cost(self.log.signature.node_bytes_max)
    }

    /// About so many leaves a volume of this size has when it is full.
    fn leaves_expected(&self, blocks: u32) -> u32 {
        let rows = self.log.table.capacity() as u32;
        (blocks * (self.log.pages.space.block_payload() / 2048).max(1) / 24 + 2).min(rows * 3 / 4)
    }

    /// Makes sure that an operation finds what it needs, cleaning and merging as necessary.
    ///
    /// In a transaction nothing may be committed: the table is emptied by spilling, and a lack of blocks is `NoSpace`.
    pub(crate) fn make_room(&mut self, demand: &Demand, in_transaction: bool) -> Result<(), Error> {
        let begun = self.log.pages_written();
        if demand.bytes > 0 && !in_transaction {
            self.clean_ahead()?;
        }
        // Who writes much pays as much.
        let pages = (demand.bytes / u64::from(self.log.pages.space.payload.max(1))).max(CHECKPOINT_PAGES.into());
        self.make_rows(demand.rows, begun + pages, in_transaction)?;
        if demand.growth > 0 && self.used_bytes() + demand.growth > self.capacity_bytes() {
            // The count of changes not merged yet is an upper bound: look again when it is exact.
            self.settle_changes(in_transaction)?;
            #[cfg(feature = "indexes")]
            if self.used_bytes() + demand.growth > self.capacity_bytes() && !in_transaction {
                self.recount_if_due()?;
            }
            if self.used_bytes() + demand.growth > self.capacity_bytes() {
                return Err(Error::NoSpace);
            }
        }
        self.make_blocks(demand, in_transaction)
    }

    /// Makes sure that the table takes so many rows, and that the log's tail stays short.
    ///
    /// A checkpoint is begun before either is needed and then advanced with every call, so that mostly none has to wait for
    /// a whole one: as long as the count of programmed pages stays below `enough`.
    #[inline(never)]
    fn make_rows(&mut self, rows: usize, enough: u64, in_transaction: bool) -> Result<(), Error> {
        if !self.spilled && rows > 0 {
            self.advance_checkpoint(rows, enough, in_transaction)?;
        }
        let many_jumps = self.has_many_jumps() && !in_transaction;
        if !many_jumps && !self.is_tail_full(4) && self.has_room_for(rows) {
            return Ok(());
        }
        self.settle_changes(in_transaction)?;
        if !self.has_room_for(rows) && in_transaction {
            self.spill()?;
        }
        // A table that cannot take one operation is a buffer that is too small for the geometry.
        if self.has_room_for(rows) { Ok(()) } else { Err(Error::NeedsRemount) }
    }

    /// Begins a checkpoint when it is time, or takes some steps of the one that was begun: until enough pages are programmed, or as
    /// many as end it before the table is full.
    fn advance_checkpoint(&mut self, rows: usize, enough: u64, in_transaction: bool) -> Result<(), Error> {
        let used = self.rows_to_replay() + rows;
        let come = used.saturating_sub(core::mem::replace(&mut self.rows_before, used));
        if self.stage.is_none() {
            if !self.is_checkpoint_due(rows) {
                return Ok(());
            }
            // With blocks to spare only: what a checkpoint frees comes back at its end.
            if !self.has_blocks_to_begin() {
                return Ok(());
            }
            if !in_transaction {
                self.commit()?;
            }
            self.begin_checkpoint();
        }
        let rows_left = self.rows_left().saturating_sub(rows);
        let steps_left =
            self.log.table.count(Age::Frozen) + usize::from(self.root_level) + self.log.alloc.segment_count() + 2;
        let is_late = rows_left < self.rows_max() / LATE_SHARE;
        let due = if is_late { steps_left.div_ceil(rows_left.max(1)) * come.max(1) } else { 0 };
        let mut taken = 0;
        while self.stage.is_some() && (taken < due || self.log.pages_written() < enough) {
            self.step_checkpoint().map_err(half_way)?;
            taken += 1;
        }
        Ok(())
    }

    /// Whether the table takes so many rows now.
    pub(crate) fn has_room_for(&self, rows: usize) -> bool {
        rows <= self.rows_left()
    }

    /// Rows that the table takes on top of those it has.
    fn rows_left(&self) -> usize {
        // What a merge has made of its rows may be more than they were.
        let used = self.rows_to_replay().max(self.log.table.len());
        self.rows_max().saturating_sub(used)
    }

    /// Rows that a mount would bring back now: those that a merge has taken since it was begun count as well.
    pub(super) fn rows_to_replay(&self) -> usize {
        let table = &self.log.table;
        if self.stage.is_none() { table.len() } else { self.frozen_rows + table.len() - table.count(Age::Frozen) }
    }

    /// Whether with so many rows more it is time for a checkpoint.
    pub(super) fn is_checkpoint_due(&self, rows: usize) -> bool {
        self.rows_to_replay() + rows > self.rows_max() * BEGIN_EIGHTHS / 8 || self.is_tail_full(BEGIN_QUARTERS)
    }

    /// Whether the log's tail has reached so many quarters of what it may take.
    pub(super) fn is_tail_full(&self, quarters: u32) -> bool {
        let pages_max = self.log.pages.space.page_count() / TAIL_FRACTION;
        self.log.commits_in_tail >= TAIL_COMMITS_MAX * quarters / 4
            || self.log.pages_in_tail >= pages_max * quarters / 4
    }

    /// Merges what may be merged now.
    fn settle_changes(&mut self, in_transaction: bool) -> Result<(), Error> {
        if self.spilled {
            return Ok(());
        }
        if !in_transaction {
            self.commit()?;
        }
        if self.stage.is_some() {
            self.end_checkpoint().map_err(half_way)?;
            if self.log.table.count(Age::Active) == 0 && !self.has_many_jumps() {
                return Ok(());
            }
        }
        self.checkpoint().map_err(half_way)
    }

    /// Whether jumps have to go: a checkpoint without commits behind it needs none.
    fn has_many_jumps(&self) -> bool {
        self.log.checkpoint.jumps.len() > JUMPS_MAX / 2
    }

    #[inline(never)]
    fn make_blocks(&mut self, demand: &Demand, in_transaction: bool) -> Result<(), Error> {
        // No operation appends more than a logical block or a path, which fit 32 bits.
        let bytes = u32::try_from(demand.bytes).map_err(|_| Error::NoSpace)?;
        let own = bytes / (self.log.pages.space.block_payload() * 3 / 4).max(1) + 1;
        let mut most_free = 0;
        let mut in_vain = 0;
        for round in 0..CLEANING_ROUNDS_MAX {
            let begun = if self.stage.is_some() { self.blocks_to_end() } else { self.checkpoint_blocks() };
            let needed = begun + own + SPARE_BLOCKS;
            if self.free_blocks() >= needed {
                return Ok(());
            }
            self.log.alloc.free_suspects();
            if self.spilled {
                break;
            }
            if round == 0 {
                self.settle_changes(in_transaction)?;
                continue;
            }
            // A running transaction may not be committed on the way: what there is has to do.
            if in_transaction && self.log.table.count(Age::Pending) > 0 {
                break;
            }
            // A round may lose blocks that the next ones gain: what it writes makes others empty.
            in_vain = if self.free_blocks() > most_free { 0 } else { in_vain + 1 };
            most_free = most_free.max(self.free_blocks());
            if in_vain > ROUNDS_IN_VAIN_MAX || !self.clean_counted(needed)? {
                break;
            }
        }
        // Short of comfort; but as long as this operation and a checkpoint fit, it goes on.
        // Growth leaves some more, so that there is always room to delete.
        let kept = if demand.growth > 0 { 3 + self.log.alloc.blocks() / 32 } else { 0 };
        let opened = self.blocks_to_open(bytes).min(self.checkpoint_blocks_now() + own);
        let hard = opened + 1 + kept + self.log.checkpoint_move_blocks();
        if self.free_blocks() >= hard { Ok(()) } else { Err(Error::NoSpace) }
    }

    /// Blocks that the heads will open while so many bytes and a checkpoint of the present table are written: what is left of
    /// the ones they stand in counts, which is much where blocks are large. Where they are small, whole blocks tell better.
    fn blocks_to_open(&self, bytes: u32) -> u32 {
        let space = self.log.pages.space;
        let node = self.log.signature.node_bytes_max + 48;
        let rows = self.log.table.len() as u32 + 2;
        let leaves = rows.min(self.log.checkpoint.leaves + 1);
        let inner = leaves.div_ceil(16) + u32::from(self.root_level) + 1;
        // Commits and the ends of levels leave pages that are not full.
        let padding = 8 * space.payload;
        let front = bytes + bytes / 3 + (leaves + inner) * node + self.log.alloc.blocks() * 4 + padding;
        let moved = inner * node + padding;
        // A header at the start, and a node that does not fit at the end.
        let usable = space.block_payload().saturating_sub(space.payload + node).max(node).max(1);
        let beyond = |need: u32, head| need.saturating_sub(self.log.room_in_block(head)).div_ceil(usable);
        beyond(front, HeadId::Front) + beyond(moved, HeadId::Moved)
    }

    /// Blocks that a checkpoint of the present table would take.
    pub(super) fn checkpoint_blocks_now(&self) -> u32 {
        let rows = self.log.table.len() as u32 + 2;
        self.blocks_for_nodes(rows.min(self.log.checkpoint.leaves + 1), self.root_level, self.log.alloc.blocks())
    }

    #[inline(never)]
    fn clean_counted(&mut self, free_wanted: u32) -> Result<bool, Error> {
        // A little ahead of the need: a checkpoint per cleaned block would cost more than the cleaning.
        self.clean(free_wanted + self.pool_blocks()).map_err(half_way)
    }

    /// A key gets a value. Values other than extents must fit a block.
    pub(crate) fn put(&mut self, key: Key, bytes: &[u8]) -> Result<(), Error> {
        self.put_bytes(self.view.own(&key), bytes)
    }

    /// One version of a key gets a value.
    pub(crate) fn put_bytes(&mut self, key: Key, bytes: &[u8]) -> Result<(), Error> {
        let len = bytes.len() as u32;
        self.log.begin(HeadId::Front, ItemKind::Value, key, len)?;
        self.log.push(HeadId::Front, bytes)?;
        self.finish_value(key, len)
    }

    /// A key gets a copy of bytes that were appended before, and more bytes behind them.
    pub(crate) fn put_joined(&mut self, key: Key, place: &Place, bytes: &[u8]) -> Result<(), Error> {
        let key = self.view.own(&key);
        let len = place.len.saturating_add(bytes.len() as u32);
        self.log.begin(HeadId::Front, ItemKind::Value, key, len)?;
        self.log.push_copy(HeadId::Front, place)?;
        self.log.push(HeadId::Front, bytes)?;
        self.finish_value(key, len)
    }

    /// A key gets a copy of bytes that are on flash: one value made of several places.
    pub(crate) fn put_gathered(
        &mut self, key: Key, len: u32, parts: impl Iterator<Item = (Place, u32)>,
    ) -> Result<(), Error> {
        let key = self.view.own(&key);
        self.log.begin(HeadId::Front, ItemKind::Value, key, len)?;
        for (place, zeros_before) in parts {
            for _ in 0..zeros_before {
                self.log.push(HeadId::Front, &[0])?;
            }
            self.log.push_copy(HeadId::Front, &place)?;
        }
        self.finish_value(key, len)
    }

    /// Begins a value that several calls of the log append, then [`Self::end_value`].
    pub(crate) fn begin_value(&mut self, key: Key, len: u32) -> Result<(), Error> {
        self.log.begin(HeadId::Front, ItemKind::Value, self.view.own(&key), len)
    }

    /// Ends a value of so many bytes.
    pub(crate) fn end_value(&mut self, key: Key, len: u32) -> Result<(), Error> {
        self.finish_value(self.view.own(&key), len)
    }

    /// The value that was just appended is the key's.
    fn finish_value(&mut self, key: Key, len: u32) -> Result<(), Error> {
        let place = Place::value(self.log.finish(HeadId::Front), len);
        self.count_pending(&place);
        self.log.put_row(key, Some(place))
    }

    fn count_pending(&mut self, place: &Place) {
        self.pending_bytes += self.log.alloc.cost_of(&self.log.pages.space, place);
    }

    /// Begins a packed record whose content becomes a key's value; head, hash and payload follow through the log, `stored` bytes
    /// in all, then [`Self::end_packed`].
    pub(crate) fn begin_packed(&mut self, key: Key, stored: u32) -> Result<(), Error> {
        self.log.begin(HeadId::Front, ItemKind::Packed, self.view.own(&key), stored)
    }

    /// Ends a packed record with so many bytes of content.
    pub(crate) fn end_packed(&mut self, key: Key, plain: u32, stored: u32) -> Result<(), Error> {
        let place = Place::packed(self.log.finish(HeadId::Front), plain, Packed { skip: 0, stored });
        self.count_pending(&place);
        self.log.put_row(self.view.own(&key), Some(place))
    }

    /// Makes everything since the last commit durable and visible.
    pub(crate) fn commit(&mut self) -> Result<(), Error> {
        if self.spilled {
            self.checkpoint_spilled().map_err(half_way)?;
            self.spilled = false;
        } else if self.log.table.count(Age::Pending) > 0 {
            self.log_commit()?;
            self.committed_bytes += self.pending_bytes;
        }
        self.pending_bytes = 0;
        Ok(())
    }

    /// Commits the log's pending rows, if any.
    pub(super) fn log_commit(&mut self) -> Result<(), Error> {
        if self.log.table.count(Age::Pending) > 0 { self.log.commit().map_err(half_way) } else { Ok(()) }
    }

    /// Merges the running transaction into a private tree, because the table is full.
    #[inline(never)]
    fn spill(&mut self) -> Result<(), Error> {
        if !self.spilled {
            // From here on, the checkpoint is the state to go back to.
            self.checkpoint().map_err(half_way)?;
            self.spilled = true;
        }
        let needed = self.checkpoint_blocks() + 3;
        if self.free_blocks() < needed {
            self.log.alloc.free_suspects();
        }
        if self.free_blocks() < needed {
            return Err(Error::NoSpace);
        }
        self.merge_pending().map_err(half_way)?;
        self.pending_bytes = 0;
        Ok(())
    }

    /// Forgets everything since the last commit.
    pub(crate) fn roll_back(&mut self) -> Result<(), Error> {
        self.pending_bytes = 0;
        self.hint = None;
        if self.spilled {
            // Live counts have moved on with the private tree: start from the chip's state, as after a power cut.
            return self.remount(true);
        }
        self.log.abandon_transaction()
    }

    /// Reads the state from the chip again.
    pub(crate) fn remount(&mut self, writable: bool) -> Result<(), Error> {
        self.mount(writable, Terms::default()).map(drop).map_err(|error| match error {
            crate::Error::Flash(error) => Error::Flash(error),
            crate::Error::Uncorrectable { page, larger_decoder: false } => Error::Uncorrectable { page },
            crate::Error::Uncorrectable { page, larger_decoder: true } => Error::BeyondSmallDecoder { page },
            crate::Error::Corrupt { page } => Error::Corrupt { page },
            crate::Error::WornOut => Error::WornOut,
            // Nothing else can be wrong with a volume that was mounted a moment ago but that it has changed meanwhile.
            _ => Error::NeedsRemount,
        })
    }

    /// Mounts the log and takes its tree; tells whether the last stop was clean.
    pub(crate) fn mount(&mut self, writable: bool, terms: Terms) -> Result<bool, crate::Error> {
        self.committed_bytes = 0;
        self.pending_bytes = 0;
        self.cleaned.clear();
        (self.weak, self.unreadable) = (0, 0);
        self.emptying = None;
        let is_clean = self.mount_log(writable, terms)?;
        self.adopt_root()?;
        // Rows that replay brought back count as if they had just been written; but nobody has to pay for them at once.
        self.rows_before = self.rows_to_replay();
        (self.debt, self.pages_seen) = (0, self.log.pages_written() as u16);
        self.committed_bytes = u64::from(self.log.pages_in_tail) * u64::from(self.log.pages.space.payload);
        Ok(is_clean)
    }

    /// A torn page may read good once and never again: then the log is looked at anew, without it.
    fn mount_log(&mut self, writable: bool, terms: Terms) -> Result<bool, crate::Error> {
        let strictly = Terms { may_go_back: false, ..terms };
        let mut result = self.mount_once(writable, strictly);
        for _ in 0..MOUNT_RETRIES_MAX {
            match result {
                Err(crate::Error::Uncorrectable { .. }) => result = self.mount_once(writable, strictly),
                _ => break,
            }
        }
        match result {
            Err(crate::Error::Uncorrectable { .. }) if terms.may_go_back => self.mount_once(writable, terms),
            result => result,
        }
    }

    fn mount_once(&mut self, writable: bool, terms: Terms) -> Result<bool, crate::Error> {
        let found = self.log.mount(terms)?;
        if self.log.alloc.has_unknown() {
            // Before anything is written: nobody knows yet which blocks are free.
            self.adopt_root()?;
            self.count_unknown()?;
        }
        if writable {
            self.log.make_writable(&found)?;
        }
        Ok(found.clean)
    }

    /// Ends in an orderly way: the next mount has nothing to replay and nothing in doubt.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        self.commit()?;
        if self.log.commits_in_tail > 0 || self.log.table.len() > 0 || self.log.pages_in_tail > 0 {
            self.checkpoint().map_err(half_way)?;
        }
        self.log.write_clean_stop().map_err(half_way)
    }
}

/// A failure in the middle of a change of state: memory and chip no longer agree, the chip is right.
pub(super) fn half_way(error: Error) -> Error {
    match error {
        Error::NoSpace => Error::Stuck,
        error => error,
    }
}
