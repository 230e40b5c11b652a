//! The allocation table: what every block is used for, how often it was erased, how much of it is alive.
//!
//! In memory a block takes four bytes: state 3 bits, live units 13 bits, erases above the common base 16 bits. A *live
//! unit* is a fixed number of bytes per volume; every reference counts its length rounded up, so adding and taking
//! away always match. On flash the table is cut into at most 16 segments, each written again only when it changed:
//!
//! ```text
//! segment: ULEB | per block: live units << 3 | state: 2 bytes, erase count: ULEB
//! ```
//!
//! The first number has always two bytes, so that a full volume's table is not longer, and slower to load, than an empty
//! one's.

use super::table::Place;
use crate::page::{Address, Space};
use crate::varint::{Reader, uleb_len};

/// Segments of the table, at most.
pub(crate) const SEGMENTS_MAX: usize = 16;
/// Bytes of memory per block.
pub(crate) const BLOCK_BYTES: usize = 4;
/// An item's header takes about this much, and is alive with its body.
const HEADER_ALLOWANCE: u32 = 12;
/// States of a block; there are at most 65,535 blocks.
const STATES: usize = 8;
const LIVE_BITS: u32 = 13;
const LIVE_MAX: u32 = (1 << LIVE_BITS) - 1;

/// What a block is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockState {
    /// Nothing in it is needed; it is erased before it is used.
    Free,
    /// Holds log or moved pages.
    Used,
    /// Must never be used again.
    Bad,
    /// Belongs to the fixed set or is a checkpoint block.
    Anchor,
    /// Failed to program; becomes bad when nothing in it is alive.
    Failing,
    /// Used since the last checkpoint: never cleaned, never free.
    Tail,
    /// Stays in the tail through the checkpoint that is being written.
    Kept,
    /// Free, but it held a weak page: tested before it is used again. Only memory knows; on flash it is free.
    Suspect,
}

impl BlockState {
    fn code(self) -> u32 {
        match self {
            BlockState::Free => 0,
            BlockState::Used => 1,
            BlockState::Bad => 2,
            BlockState::Anchor => 3,
            BlockState::Failing => 4,
            BlockState::Tail => 5,
            BlockState::Kept => 6,
            BlockState::Suspect => 7,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => BlockState::Free,
            1 => BlockState::Used,
            2 => BlockState::Bad,
            3 => BlockState::Anchor,
            4 => BlockState::Failing,
            5 => BlockState::Tail,
            6 => BlockState::Kept,
            7 => BlockState::Suspect,
            _ => return None,
        })
    }
}

/// Why a block is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BadReason {
    /// It was marked on the chip when the volume came to it: at the factory, or by an earlier volume.
    Marked,
    /// It failed to erase, or was not erased afterwards.
    Erase,
    /// It failed to program, or held something else afterwards.
    Program,
    /// It held weak pages, and had wrong bits right after it was programmed anew.
    Weak,
    /// Something that this version does not know.
    Other,
}

impl BadReason {
    /// What stands in the table for the live units that a bad block does not have.
    fn code(self) -> u32 {
        match self {
            BadReason::Marked => 0,
            BadReason::Erase => 1,
            BadReason::Program => 2,
            BadReason::Weak => 3,
            BadReason::Other => LIVE_MAX,
        }
    }

    fn from_code(code: u32) -> Self {
        match code {
            0 => BadReason::Marked,
            1 => BadReason::Erase,
            2 => BadReason::Program,
            3 => BadReason::Weak,
            _ => BadReason::Other,
        }
    }
}

/// How often blocks were erased.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wear {
    /// Of the block that was erased least; of all, together; of the one that was erased most.
    pub(crate) least: u32,
    pub(crate) total: u64,
    pub(crate) most: u32,
    /// How many blocks.
    pub(crate) blocks: u32,
}

impl Wear {
    pub(crate) fn mean(&self) -> u32 {
        self.total.checked_div(self.blocks.into()).unwrap_or(0) as u32
    }
}

/// Where a segment of the table was last written, in less memory than an option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    address: Address,
    /// 0 where the segment was never written.
    len: u32,
}

impl Segment {
    /// Never written.
    pub(crate) const NONE: Self = Self { address: Address { page: 0, offset: 0 }, len: 0 };

    pub(crate) fn new(address: Address, len: u32) -> Self {
        Self { address, len }
    }

    pub(crate) fn get(self) -> Option<(Address, u32)> {
        (self.len > 0).then_some((self.address, self.len))
    }
}

/// Units that a reference of `len` bytes counts for.
fn units(len: u32, unit_shift: u32) -> u32 {
    len.saturating_add(HEADER_ALLOWANCE).div_ceil(1 << unit_shift)
}

/// Units that a place counts for.
///
/// A packed record is never cut, so that so many of them leave the rest of a block unused: each counts as an equal share of
/// the block.
fn units_of(space: &Space, place: &Place, unit_shift: u32) -> u32 {
    let Some(packed) = place.part() else { return units(place.len, unit_shift) };
    let block = space.block_payload();
    let records = block.checked_div(packed.stored.saturating_add(HEADER_ALLOWANCE)).unwrap_or(0).max(1);
    block.div_ceil(records).div_ceil(1 << unit_shift)
}

/// The table in the caller's memory.
#[derive(Debug)]
pub(crate) struct Alloc<'b> {
    bytes: &'b mut [u8],
    blocks: u32,
    unit_shift: u32,
    erase_base: u32,
    segment_blocks: u32,
    /// Where each segment was last written.
    pub(crate) segments: [Segment; SEGMENTS_MAX],
    dirty: u16,
    /// Segments that could not be read.
    unknown: u16,
    live_total: u64,
    /// Free blocks from here on are not given out.
    end: u32,
    /// Blocks of each state, by its code; then free ones that are not given out.
    counts: [u16; STATES + 1],
}

impl<'b> Alloc<'b> {
    pub(crate) fn new(bytes: &'b mut [u8], space: &Space) -> Self {
        Self {
            bytes,
            blocks: space.block_count,
            unit_shift: Self::unit_shift(space),
            erase_base: 0,
            segment_blocks: Self::segment_blocks(space),
            segments: [Segment::NONE; SEGMENTS_MAX],
            dirty: u16::MAX,
            unknown: 0,
            live_total: 0,
            end: space.block_count,
            counts: [0; STATES + 1],
        }
    }

    /// Blocks of a segment: about a page each. Fewer would write more at a checkpoint, more would read more at a mount.
    fn segment_blocks(space: &Space) -> u32 {
        // A checkpoint, which names them all, fits a page.
        let most = match space.payload {
            0..128 => 4,
            128..192 => 8,
            _ => SEGMENTS_MAX as u32,
        };
        space.block_count.div_ceil(most).max(space.payload / 4).max(64)
    }

    /// The volume has another number of blocks. What is known of the others stays, but the segments are all to be written again.
    pub(crate) fn set_blocks(&mut self, space: &Space) {
        for (address, len) in self.segments.into_iter().filter_map(Segment::get) {
            self.subtract(space.block_of(address), len);
        }
        self.segments = [Segment::NONE; SEGMENTS_MAX];
        for block in self.blocks..space.block_count {
            self.set_word(block, 0);
        }
        self.blocks = space.block_count;
        self.segment_blocks = Self::segment_blocks(space);
        self.dirty = u16::MAX;
        self.set_end(self.blocks);
    }

    /// From now on blocks from `end` on are not given out.
    pub(crate) fn set_end(&mut self, end: u32) {
        self.end = end;
        self.counts = [0; STATES + 1];
        for block in 0..self.blocks {
            self.add_to_count(block, self.state(block), 1);
        }
    }

    /// All of the table is to be written again.
    pub(crate) fn touch_all(&mut self) {
        self.dirty = u16::MAX;
    }

    /// Everything free, as after a format.
    pub(crate) fn clear(&mut self) {
        self.bytes.fill(0);
        self.segments = [Segment::NONE; SEGMENTS_MAX];
        self.dirty = u16::MAX;
        self.unknown = 0;
        self.live_total = 0;
        self.erase_base = 0;
        self.set_end(self.blocks);
    }

    fn word(&self, block: u32) -> u32 {
        let at = block as usize * BLOCK_BYTES;
        self.bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .map_or(BlockState::Bad.code(), |w| u32::from_le_bytes(*w))
    }

    fn set_word(&mut self, block: u32, word: u32) {
        let at = block as usize * BLOCK_BYTES;
        if let Some(place) = self.bytes.get_mut(at..at + BLOCK_BYTES) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }

    fn touch(&mut self, block: u32) {
        let segment = block.checked_div(self.segment_blocks).unwrap_or(0);
        self.dirty |= 1u16.checked_shl(segment).unwrap_or(0);
    }

    pub(crate) fn blocks(&self) -> u32 {
        self.blocks
    }

    pub(crate) fn state(&self, block: u32) -> BlockState {
        BlockState::from_code(self.word(block) & 7).unwrap_or(BlockState::Bad)
    }

    pub(crate) fn set_state(&mut self, block: u32, state: BlockState) {
        if block < self.blocks {
            // Modulo 2^16, one less is so many more.
            self.add_to_count(block, self.state(block), u16::MAX);
            self.add_to_count(block, state, 1);
        }
        let before = self.word(block);
        // What a bad block has there is no count.
        let kept = if self.state(block) == BlockState::Bad { before & !0xFFFF } else { before & !7 };
        self.set_word(block, kept | state.code());
        self.touch(block);
    }

    /// A block must never be used again.
    pub(crate) fn set_bad(&mut self, block: u32, reason: BadReason) {
        self.set_live(block, 0);
        self.set_state(block, BlockState::Bad);
        self.set_word(block, self.word(block) & !(LIVE_MAX << 3) | reason.code() << 3);
    }

    /// Why a block is bad, or will be as soon as nothing in it is alive; `None` for one that is not.
    pub(crate) fn bad_reason(&self, block: u32) -> Option<BadReason> {
        match self.state(block) {
            BlockState::Bad => Some(BadReason::from_code(self.word(block) >> 3 & LIVE_MAX)),
            BlockState::Failing => Some(BadReason::Program),
            _ => None,
        }
    }

    pub(crate) fn erase_count(&self, block: u32) -> u32 {
        self.erase_base + (self.word(block) >> 16)
    }

    pub(crate) fn set_erase_count(&mut self, block: u32, count: u32) {
        let above = count.saturating_sub(self.erase_base).min(0xFFFF);
        self.set_word(block, self.word(block) & 0xFFFF | above << 16);
        self.touch(block);
        if above == 0xFFFF {
            self.raise_base();
        }
    }

    /// Moves the common base up to the least worn block, so that the others fit again.
    fn raise_base(&mut self) {
        let usable = (0..self.blocks).filter(|block| self.state(*block) != BlockState::Bad);
        let least = usable.map(|block| self.word(block) >> 16).min().unwrap_or(0);
        for block in 0..self.blocks {
            let word = self.word(block);
            self.set_word(block, word & 0xFFFF | (word >> 16).saturating_sub(least) << 16);
        }
        self.erase_base += least;
    }

    /// Live units of a block.
    pub(crate) fn live(&self, block: u32) -> u32 {
        // In a bad block nothing is alive: the reason stands there.
        if self.state(block) == BlockState::Bad { 0 } else { self.word(block) >> 3 & LIVE_MAX }
    }

    /// Bytes that are alive in a block, as [`Self::live_bytes`].
    pub(crate) fn live_bytes_of(&self, block: u32) -> u64 {
        u64::from(self.live(block)) << self.unit_shift
    }

    /// Bytes that are alive in the whole volume, headers included, rounded up to units.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_total << self.unit_shift
    }

    /// Units that a reference of `len` bytes counts for.
    fn units(&self, len: u32) -> u32 {
        units(len, self.unit_shift)
    }

    /// Bytes that a reference of `len` bytes counts for.
    pub(crate) fn cost(&self, len: u32) -> u64 {
        u64::from(self.units(len)) << self.unit_shift
    }

    /// Bytes that a place counts for.
    pub(crate) fn cost_of(&self, space: &Space, place: &Place) -> u64 {
        u64::from(units_of(space, place, self.unit_shift)) << self.unit_shift
    }

    /// Units that a place and its copy count for in a block, for counting anew.
    #[cfg(any(feature = "indexes", feature = "sabotage"))]
    pub(crate) fn units_in(space: &Space, place: &Place, block: u32) -> u32 {
        let copies = [Some(place.address), place.copy()].into_iter().flatten();
        let unit_shift = Self::unit_shift(space);
        copies.filter(|at| space.block_of(*at) == block).map(|_| units_of(space, place, unit_shift)).sum()
    }

    /// Units small enough to tell blocks apart, large enough that a block of the smallest records still fits.
    fn unit_shift(space: &Space) -> u32 {
        (space.block_payload() / 4096).next_power_of_two().checked_ilog2().unwrap_or(0).max(5)
    }

    /// Units of the table's own segments in a block.
    #[cfg(any(feature = "indexes", feature = "sabotage"))]
    pub(crate) fn units_of_segments(&self, space: &Space, block: u32) -> u32 {
        let own =
            self.segments.into_iter().filter_map(Segment::get).filter(|(address, _)| space.block_of(*address) == block);
        own.map(|(_, len)| self.units(len)).sum()
    }

    /// The one way to change a block's count, so that the total is always the sum of all of them.
    fn set_live(&mut self, block: u32, live: u32) {
        if self.state(block) == BlockState::Bad {
            return;
        }
        let live = live.min(LIVE_MAX);
        self.live_total = self.live_total.saturating_sub(self.live(block).into()) + u64::from(live);
        self.set_word(block, self.word(block) & !(LIVE_MAX << 3) | live << 3);
    }

    /// Whether a block's count has reached its end: it is an upper bound then, until it is counted again.
    pub(crate) fn is_saturated(&self, block: u32) -> bool {
        self.live(block) == LIVE_MAX
    }

    /// Takes what was counted anew: the units of every reference to the block.
    #[cfg(feature = "indexes")]
    pub(crate) fn recount(&mut self, block: u32, units: u32) {
        self.set_live(block, units);
        self.touch(block);
    }

    /// A reference to `len` bytes in a block has come to be.
    pub(crate) fn add(&mut self, block: u32, len: u32) {
        self.add_units(block, self.units(len));
    }

    fn add_units(&mut self, block: u32, units: u32) {
        // A count that has reached its end stays there: an upper bound, until the cleaner counts again.
        self.set_live(block, self.live(block).saturating_add(units));
        self.touch(block);
    }

    /// A reference to `len` bytes in a block is gone.
    pub(crate) fn subtract(&mut self, block: u32, len: u32) {
        self.subtract_units(block, self.units(len));
    }

    fn subtract_units(&mut self, block: u32, units: u32) {
        if !self.is_saturated(block) {
            self.set_live(block, self.live(block).saturating_sub(units));
        }
        self.touch(block);
    }

    /// A segment of the table itself has moved. Not a change of the table: see [`Self::stored`].
    pub(crate) fn move_segment(&mut self, space: &Space, segment: usize, address: Address, len: u32) {
        let dirty = self.dirty;
        if let Some((old, old_len)) = self.segment(segment) {
            self.subtract(space.block_of(old), old_len);
        }
        self.add(space.block_of(address), len);
        if let Some(place) = self.segments.get_mut(segment) {
            *place = Segment::new(address, len);
        }
        self.dirty = dirty;
    }

    /// The segment at this place must be written again.
    pub(crate) fn touch_segment_at(&mut self, place: Address) {
        let found = self.segments.iter().position(|segment| segment.get().is_some_and(|(address, _)| address == place));
        self.dirty |= found.and_then(|segment| 1u16.checked_shl(segment as u32)).unwrap_or(0);
    }

    /// Counts the segments themselves, which the stored numbers leave out. The block of one may have been free when
    /// the table was written.
    pub(crate) fn count_segments(&mut self, space: &Space) {
        let dirty = self.dirty;
        for (address, len) in self.segments.into_iter().filter_map(Segment::get) {
            let block = space.block_of(address);
            self.add(block, len);
            if self.state(block) == BlockState::Free {
                self.set_state(block, BlockState::Used);
            }
        }
        self.dirty = dirty;
    }

    /// As [`Self::add`] for what a place stands for, a node's copy included.
    pub(crate) fn add_place(&mut self, space: &Space, place: &Place) {
        let units = units_of(space, place, self.unit_shift);
        self.add_units(space.block_of(place.address), units);
        if let Some(copy) = place.copy() {
            self.add_units(space.block_of(copy), units);
        }
    }

    /// As [`Self::subtract`] for what a place stands for, a node's copy included.
    pub(crate) fn subtract_place(&mut self, space: &Space, place: &Place) {
        let units = units_of(space, place, self.unit_shift);
        self.subtract_units(space.block_of(place.address), units);
        if let Some(copy) = place.copy() {
            self.subtract_units(space.block_of(copy), units);
        }
    }

    /// The free block that was erased least, of those that are wanted.
    pub(crate) fn least_worn_free(&self, wanted: impl Fn(u32) -> bool) -> Option<u32> {
        let free = (0..self.end.min(self.blocks)).filter(|block| self.is_free(*block) && wanted(*block));
        free.min_by_key(|block| self.word(*block) >> 16)
    }

    /// The free block that was erased most, for what stays long; but none that would become the most worn of all.
    pub(crate) fn worn_free(&self) -> Option<u32> {
        let most = self.wear().most;
        let free =
            (0..self.end.min(self.blocks)).filter(|block| self.is_free(*block) && self.erase_count(*block) < most);
        free.max_by_key(|block| self.word(*block) >> 16)
    }

    /// How often the blocks were erased that are not bad.
    pub(crate) fn wear(&self) -> Wear {
        let mut wear = Wear { least: u32::MAX, most: 0, total: 0, blocks: 0 };
        for block in (0..self.blocks).filter(|block| self.state(*block) != BlockState::Bad) {
            let count = self.erase_count(block);
            wear.least = wear.least.min(count);
            wear.most = wear.most.max(count);
            wear.total += u64::from(count);
            wear.blocks += 1;
        }
        wear
    }

    pub(crate) fn count(&self, state: BlockState) -> u32 {
        self.counts.get(state.code() as usize).copied().unwrap_or(0).into()
    }

    /// A block that is to be tested.
    pub(crate) fn suspect(&self) -> Option<u32> {
        let mut suspects = (0..self.end.min(self.blocks)).filter(|block| self.state(*block) == BlockState::Suspect);
        if self.count(BlockState::Suspect) > 0 { suspects.next() } else { None }
    }

    /// Free blocks are few: those that are to be tested are used as they are.
    pub(crate) fn free_suspects(&mut self) {
        while let Some(block) = self.suspect() {
            self.set_state(block, BlockState::Free);
        }
    }

    /// Whether a block may be taken.
    pub(crate) fn is_free(&self, block: u32) -> bool {
        block < self.end && self.state(block) == BlockState::Free
    }

    fn add_to_count(&mut self, block: u32, state: BlockState, blocks: u16) {
        let kept_back = state == BlockState::Free && block >= self.end;
        if let Some(count) = self.counts.get_mut(if kept_back { STATES } else { state.code() as usize }) {
            *count = count.wrapping_add(blocks);
        }
    }

    pub(crate) fn segment_count(&self) -> usize {
        (self.blocks.div_ceil(self.segment_blocks.max(1)) as usize).min(SEGMENTS_MAX)
    }

    pub(crate) fn is_dirty(&self, segment: usize) -> bool {
        self.dirty & 1u16.checked_shl(segment as u32).unwrap_or(0) != 0 || self.segment(segment).is_none()
    }

    pub(crate) fn set_clean(&mut self, segment: usize) {
        self.dirty &= !1u16.checked_shl(segment as u32).unwrap_or(0);
    }

    pub(crate) fn segment(&self, segment: usize) -> Option<(Address, u32)> {
        self.segments.get(segment).copied().and_then(Segment::get)
    }

    /// The blocks of a segment.
    pub(crate) fn segment_range(&self, segment: usize) -> core::ops::Range<u32> {
        let first = self.segment_blocks.saturating_mul(segment as u32);
        first..self.blocks.min(first.saturating_add(self.segment_blocks))
    }

    /// Live units without those of the segments themselves: they are counted when the table is loaded, so that
    /// writing the table does not change it.
    fn live_without_segments(&self, space: &Space, block: u32) -> u32 {
        let own =
            self.segments.into_iter().filter_map(Segment::get).filter(|(address, _)| space.block_of(*address) == block);
        let units: u32 = own.map(|(_, len)| self.units(len)).sum();
        let live = self.live(block);
        if live == LIVE_MAX { live } else { live.saturating_sub(units) }
    }

    /// What is stored for a block: live units and state, and its erase count.
    pub(crate) fn stored(&self, space: &Space, block: u32) -> ([u8; 2], u64) {
        let live = match self.bad_reason(block) {
            Some(reason) if self.state(block) == BlockState::Bad => reason.code(),
            _ => self.live_without_segments(space, block),
        };
        let state = match self.state(block) {
            BlockState::Suspect => BlockState::Free,
            state => state,
        };
        let [low, high, ..] = (live << 3 | state.code()).to_le_bytes();
        ([low, high], self.erase_count(block).into())
    }

    /// Bytes of a segment's body.
    pub(crate) fn segment_len(&self, space: &Space, segment: usize) -> usize {
        let len = |block| {
            let (word, erases) = self.stored(space, block);
            word.len() + uleb_len(erases)
        };
        uleb_len(segment as u64) + self.segment_range(segment).map(len).sum::<usize>()
    }

    /// Takes a block's two stored numbers; `None` where they make no sense.
    pub(crate) fn load(&mut self, block: u32, reader: &mut Reader<'_>) -> Option<()> {
        let word = u32::from(u16::from_le_bytes(reader.array()));
        let erases = reader.uleb32();
        let state = reader.finish(BlockState::from_code(word & 7))??;
        if state == BlockState::Suspect {
            return None;
        }
        let live = word >> 3;
        // What was the log's tail then is in use now; whether it still is the tail, replay will say.
        let state = if matches!(state, BlockState::Tail | BlockState::Kept) { BlockState::Used } else { state };
        if state == BlockState::Bad {
            self.set_bad(block, BadReason::from_code(live));
        } else {
            self.set_state(block, state);
            self.set_live(block, live);
        }
        self.set_erase_count(block, erases);
        Some(())
    }

    /// Nothing is known of a segment's blocks: each is taken for full until it is counted.
    pub(crate) fn lose_segment(&mut self, segment: usize) {
        self.unknown |= 1u16.checked_shl(segment as u32).unwrap_or(0);
        for block in self.segment_range(segment) {
            self.set_state(block, BlockState::Used);
            self.set_live(block, LIVE_MAX);
        }
    }

    /// Whether there are blocks of which nothing is known.
    pub(crate) fn has_unknown(&self) -> bool {
        self.unknown != 0
    }

    pub(super) fn is_unknown(&self, block: u32) -> bool {
        let segment = block.checked_div(self.segment_blocks).unwrap_or(0);
        self.unknown & 1u16.checked_shl(segment).unwrap_or(0) != 0
    }

    /// Begins to count what is alive in the blocks of which nothing is known.
    pub(crate) fn begin_count(&mut self, space: &Space) {
        for block in 0..self.blocks {
            if self.is_unknown(block) {
                self.set_live(block, 0);
            }
        }
        for (address, len) in self.segments.into_iter().filter_map(Segment::get) {
            self.count_place(space, &Place::value(address, len));
        }
    }

    /// A reference, to be counted where nothing is known of its block.
    pub(crate) fn count_place(&mut self, space: &Space, place: &Place) {
        let units = units_of(space, place, self.unit_shift);
        for address in [Some(place.address), place.copy()].into_iter().flatten() {
            let block = space.block_of(address);
            if self.is_unknown(block) {
                self.add_units(block, units);
            }
        }
    }

    /// Everything is counted: what nothing refers to is free.
    pub(crate) fn end_count(&mut self) {
        self.unknown = 0;
        self.free_unused();
    }

    /// Keeps a block in the tail through the next [`Self::settle`].
    pub(crate) fn keep(&mut self, block: u32) {
        if matches!(self.state(block), BlockState::Tail | BlockState::Used) {
            self.set_state(block, BlockState::Kept);
        }
    }

    /// After a checkpoint: only what was kept is still the tail.
    pub(crate) fn settle(&mut self) {
        for block in 0..self.blocks {
            match self.state(block) {
                BlockState::Tail => self.set_state(block, BlockState::Used),
                BlockState::Kept => self.set_state(block, BlockState::Tail),
                _ => {}
            }
        }
        self.free_unused();
    }

    /// What nothing refers to is free, what failed and is empty is bad.
    pub(crate) fn free_unused(&mut self) {
        for block in 0..self.blocks {
            match self.state(block) {
                BlockState::Used if self.live(block) == 0 => self.set_state(block, BlockState::Free),
                BlockState::Failing if self.live(block) == 0 => self.set_bad(block, BadReason::Program),
                _ => {}
            }
        }
    }
}
