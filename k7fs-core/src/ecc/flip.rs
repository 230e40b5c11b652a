//! Gradient-descent bit flipping with momentum, and Chase trials on it: the rung that every part has room for.
//!
//! In each sweep every bit gets a score: how many of its checks are violated, less how many are satisfied, plus a term
//! that holds it to the value it was read with, less a penalty if it has just been flipped. The bits with the highest
//! score are flipped, each with probability 7/8 so that the decoder does not run in circles. That ends when no check
//! is violated. If it does not end, everything is taken back and tried again with other random numbers, and at last
//! with one doubtful bit assumed wrong from the start.
//!
//! Only bits that were flipped at some time need memory, so the scratch holds a short sorted list of those instead of
//! a copy of the page, and failure takes back exactly the flips on that list. The scores of 32 bits are computed at
//! once: the counts of violated checks are kept as bit planes and added with word-wide half adders.

use super::graph::{Code, Edges, SUM_WORDS};
use super::{open_bits, weight};

/// Bits that one sweep may flip.
const CANDIDATES_MAX: usize = 64;
/// Bits that Chase trials take for wrong, one at a time.
const DOUBTS_MAX: usize = 32;
/// Sweeps of an attempt.
const SWEEPS_MAX: u8 = 100;
/// Sweeps of the only attempt where belief propagation comes after it.
const SHORT_SWEEPS_MAX: u8 = 30;
/// Sweeps of a Chase trial, which starts closer to the goal.
const CHASE_SWEEPS_MAX: u8 = 100;
/// Attempts with different random numbers before Chase trials.
const ATTEMPTS: u32 = 4;
/// Bit planes that hold a count of up to 31.
const PLANES: usize = 5;
/// Worse than any score.
const SCORE_NONE: i8 = i8::MIN;

/// Bytes of scratch for a code.
pub(super) const fn scratch_bytes(code: &Code) -> usize {
    CANDIDATES_MAX * 2 + DOUBTS_MAX * 4 + touched_max(code) * 4
}

/// Entries of the list of touched bits. Random errors that can be corrected leave fewer than this touched.
const fn touched_max(code: &Code) -> usize {
    let wanted = 64 + code.shape.parity_words as usize * 8;
    if wanted > 256 { 256 } else { wanted }
}

/// How long to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// One short attempt: something better comes after.
    Short,
    /// All attempts.
    Attempts,
    /// All attempts, then Chase trials.
    Chase,
}

/// What a search has found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flipped {
    pub(super) bits: u32,
    pub(super) by_chase: bool,
}

/// Searches for a codeword near `page`, whose check sums are `sums`. Leaves the page mended and says how many bits were
/// flipped, or leaves page and sums as they were. Counts `sweeps`.
pub(super) fn mend(
    code: &Code, page: &mut [u8], sums: &mut [u32; SUM_WORDS], scratch: &mut [u8], effort: Effort,
    accept: &mut dyn FnMut(&[u8]) -> bool, sweeps: &mut u16,
) -> Option<Flipped> {
    let (candidates, rest) = scratch.split_at_mut_checked(CANDIDATES_MAX * 2)?;
    let (doubts, touched) = rest.split_at_mut_checked(DOUBTS_MAX * 4)?;
    let touched = touched.get_mut(..touched_max(code) * 4)?;
    let mut search = Search {
        code,
        page,
        sums,
        candidates: List { slots: candidates.as_chunks_mut().0, len: 0 },
        touched: List { slots: touched.as_chunks_mut().0, len: 0 },
        random: 0,
        sweeps,
    };
    let (attempts, sweeps_max) = if effort == Effort::Short { (1, SHORT_SWEEPS_MAX) } else { (ATTEMPTS, SWEEPS_MAX) };
    for attempt in 1..=attempts {
        if search.attempt(attempt, None, sweeps_max) && accept(search.page) {
            return Some(search.flipped(false));
        }
        search.take_back();
    }
    if effort != Effort::Chase {
        return None;
    }
    let doubts = Doubts::rank(code, search.sums, doubts);
    for position in doubts.iter() {
        if search.attempt(ATTEMPTS + 1, Some(position), CHASE_SWEEPS_MAX) && accept(search.page) {
            return Some(search.flipped(true));
        }
        search.take_back();
    }
    None
}

/// The bits with the highest scores, best first.
pub(super) struct Doubts<'a>(List<'a, 4>);

impl<'a> Doubts<'a> {
    /// Ranks the bits of a page with these check sums, as many as `memory` holds at four bytes each.
    pub(super) fn rank(code: &Code, sums: &[u32; SUM_WORDS], memory: &'a mut [u8]) -> Self {
        let mut list = List::<4> { slots: memory.as_chunks_mut().0, len: 0 };
        let size = list.slots.len();
        let mut columns = Columns::new(code);
        while let Some(column) = columns.advance() {
            let counts = Counts::of(&columns.edges, sums);
            let weight = columns.edges.as_slice().len() as i8;
            let mut mask = open_bits(code, column);
            while mask != 0 {
                let place = mask.trailing_zeros();
                mask &= mask - 1;
                let rank = (64 + 2 * counts.of_bit(place) - weight) as u8;
                let full = list.len == size;
                if full && size.checked_sub(1).and_then(|last| list.get(last)).is_none_or(|last| last.stamp >= rank) {
                    continue;
                }
                let before = (0..list.len).take_while(|index| list.get(*index).is_some_and(|d| d.stamp >= rank));
                let index = before.count();
                list.len -= usize::from(full);
                list.insert(index, Bit { position: column << 5 | place as u16, stamp: rank, flags: 0 });
            }
        }
        Self(list)
    }

    /// Their positions, best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.0.len).filter_map(|index| self.0.get(index)).map(|bit| bit.position)
    }
}

/// A list in borrowed memory, as bytes so that any scratch will do.
struct List<'a, const SIZE: usize> {
    slots: &'a mut [[u8; SIZE]],
    len: usize,
}

/// A bit of the page and what the decoder knows about it.
#[derive(Clone, Copy)]
struct Bit {
    position: u16,
    /// The sweep of the last flip; for doubts, the score with an offset.
    stamp: u8,
    /// [`FLIPPED`] and [`ASSUMED`].
    flags: u8,
}

/// The bit differs from the page as read.
const FLIPPED: u8 = 1;
/// A Chase trial takes the bit as read for wrong.
const ASSUMED: u8 = 2;

impl List<'_, 4> {
    fn get(&self, index: usize) -> Option<Bit> {
        let [low, high, stamp, flags] = *self.slots.get(..self.len)?.get(index)?;
        Some(Bit { position: u16::from_le_bytes([low, high]), stamp, flags })
    }

    fn set(&mut self, index: usize, bit: Bit) {
        if let Some(slot) = self.slots.get_mut(index) {
            let [low, high] = bit.position.to_le_bytes();
            *slot = [low, high, bit.stamp, bit.flags];
        }
    }

    /// Puts `bit` before entry `index`; false if the list is full.
    fn insert(&mut self, index: usize, bit: Bit) -> bool {
        let Some(room) = self.slots.get_mut(index..=self.len) else { return false };
        let [low, high] = bit.position.to_le_bytes();
        let mut moved = [low, high, bit.stamp, bit.flags];
        for slot in room {
            moved = core::mem::replace(slot, moved);
        }
        self.len += 1;
        true
    }
}

impl List<'_, 2> {
    fn push(&mut self, position: u16) {
        if let Some(slot) = self.slots.get_mut(self.len) {
            *slot = position.to_le_bytes();
            self.len += 1;
        }
    }

    fn get(&self, index: usize) -> Option<u16> {
        self.slots.get(..self.len)?.get(index).map(|bytes| u16::from_le_bytes(*bytes))
    }
}

/// Counts of violated checks of the 32 bits of a column, bit plane by bit plane.
struct Counts([u32; PLANES]);

impl Counts {
    fn of(edges: &Edges, sums: &[u32; SUM_WORDS]) -> Self {
        let mut planes = [0u32; PLANES];
        for edge in edges.as_slice() {
            let mut carry = sums[usize::from(edge.row) % SUM_WORDS].rotate_left(u32::from(edge.shift));
            for plane in &mut planes {
                // Mostly there is nothing to carry, or nothing at all.
                if carry == 0 {
                    break;
                }
                let both = *plane & carry;
                *plane ^= carry;
                carry = both;
            }
        }
        Self(planes)
    }

    /// The count of one bit.
    fn of_bit(&self, bit: u32) -> i8 {
        self.0.iter().rev().fold(0, |count, plane| count << 1 | (plane >> bit & 1) as i8)
    }

    /// The highest count among the bits of `mask`, and which of them have it.
    fn highest(&self, mut mask: u32) -> (i8, u32) {
        let mut count = 0;
        for plane in self.0.iter().rev() {
            count <<= 1;
            if mask & plane != 0 {
                mask &= plane;
                count |= 1;
            }
        }
        (count, mask)
    }
}

/// Walks the block columns in order, keeping the group's offsets.
struct Columns<'a> {
    code: &'a Code,
    offsets: &'static [u8],
    column: usize,
    group: usize,
    place: usize,
    /// Those of the column that was last returned.
    edges: Edges,
}

impl<'a> Columns<'a> {
    fn new(code: &'a Code) -> Self {
        Self { code, offsets: code.offsets_of(0), column: 0, group: 0, place: 0, edges: Edges::EMPTY }
    }

    /// The next column; its edges are in place. No iterator, as copies of the edges would take longer than the count.
    fn advance(&mut self) -> Option<u16> {
        let column = self.column;
        if column >= usize::from(self.code.shape.words) {
            return None;
        }
        self.column += 1;
        let data_words = self.code.data_words();
        if column >= data_words {
            self.code.parity_edges(column - data_words, &mut self.edges);
            return Some(column as u16);
        }
        if self.place == usize::from(self.code.shape.parity_words) {
            self.place = 0;
            self.group += 1;
            self.offsets = self.code.offsets_of(self.group);
        }
        self.code.data_edges(self.offsets, column, self.place, &mut self.edges);
        self.place += 1;
        Some(column as u16)
    }
}

/// The state of a search for a codeword near the page.
struct Search<'a> {
    code: &'a Code,
    page: &'a mut [u8],
    sums: &'a mut [u32; SUM_WORDS],
    candidates: List<'a, 2>,
    /// Bits flipped or assumed in this attempt, in ascending order.
    touched: List<'a, 4>,
    random: u32,
    sweeps: &'a mut u16,
}

impl Search<'_> {
    /// Sweeps until no check is violated (true) or the attempt has used up its sweeps or its list.
    fn attempt(&mut self, seed: u32, assumed: Option<u16>, sweeps_max: u8) -> bool {
        self.random = seed.wrapping_mul(0x9E37_79B9) | 1;
        if let Some(position) = assumed {
            self.touched.insert(0, Bit { position, stamp: 0, flags: ASSUMED });
            self.flip(position, 0);
        }
        // The stamp of an untouched bit is long ago, hence the start beyond the reach of the penalty.
        for sweep in 8..8 + sweeps_max {
            *self.sweeps = self.sweeps.saturating_add(1);
            if !self.sweep(sweep) {
                return false;
            }
            if weight(self.code, self.sums) == 0 {
                return true;
            }
        }
        false
    }

    /// Flips most of the bits with the highest score. False if the list of touched bits is full.
    fn sweep(&mut self, sweep: u8) -> bool {
        self.find_candidates(sweep);
        for index in 0..self.candidates.len {
            let Some(position) = self.candidates.get(index) else { break };
            if self.next_random() & 7 != 0 && !self.flip(position, sweep) {
                return false;
            }
        }
        true
    }

    /// Lists the bits with the highest score.
    fn find_candidates(&mut self, sweep: u8) {
        let mut best = SCORE_NONE;
        let mut next_touched = 0;
        self.candidates.len = 0;
        let mut columns = Columns::new(self.code);
        while let Some(column) = columns.advance() {
            let counts = Counts::of(&columns.edges, self.sums);
            let weight = columns.edges.as_slice().len() as i8;
            let mut open = open_bits(self.code, column);
            while let Some(bit) = self.touched.get(next_touched).filter(|bit| bit.position >> 5 == column) {
                next_touched += 1;
                let place = u32::from(bit.position & 31);
                open &= !(1 << place);
                let score = 2 * counts.of_bit(place) - weight + pull(bit) - penalty(sweep.wrapping_sub(bit.stamp));
                if score > best {
                    best = score;
                    self.candidates.len = 0;
                }
                if score == best {
                    self.candidates.push(bit.position);
                }
            }
            let (count, mut mask) = counts.highest(open);
            let score = 2 * count - weight - 2;
            if mask == 0 || score < best {
                continue;
            }
            if score > best {
                best = score;
                self.candidates.len = 0;
            }
            while mask != 0 {
                self.candidates.push(column << 5 | mask.trailing_zeros() as u16);
                mask &= mask - 1;
            }
        }
    }

    /// Flips one bit of the page, the sums with it, and notes it. False if the list of touched bits is full.
    fn flip(&mut self, position: u16, sweep: u8) -> bool {
        let mut index = 0;
        let known = loop {
            match self.touched.get(index) {
                Some(bit) if bit.position < position => index += 1,
                Some(bit) if bit.position == position => break Some(bit),
                _ => break None,
            }
        };
        match known {
            Some(bit) => self.touched.set(index, Bit { stamp: sweep, flags: bit.flags ^ FLIPPED, ..bit }),
            None => {
                if !self.touched.insert(index, Bit { position, stamp: sweep, flags: FLIPPED }) {
                    return false;
                }
            }
        }
        self.toggle(position);
        true
    }

    /// Toggles one bit of the page and its checks.
    fn toggle(&mut self, position: u16) {
        let place = position & 31;
        let byte = usize::from(position >> 3);
        if let Some(byte) = self.page.get_mut(byte) {
            *byte ^= 1 << (place & 7);
        }
        let edges = self.code.edges_at(usize::from(position >> 5));
        for edge in edges.as_slice() {
            self.sums[usize::from(edge.row) % SUM_WORDS] ^= (1u32 << place).rotate_right(u32::from(edge.shift));
        }
    }

    /// Takes back all flips of an attempt.
    fn take_back(&mut self) {
        for index in 0..self.touched.len {
            if let Some(bit) = self.touched.get(index).filter(|bit| bit.flags & FLIPPED != 0) {
                self.toggle(bit.position);
            }
        }
        self.touched.len = 0;
    }

    /// What the flips of the attempt amount to.
    fn flipped(&self, by_chase: bool) -> Flipped {
        let touched = (0..self.touched.len).filter_map(|index| self.touched.get(index));
        Flipped { bits: touched.filter(|bit| bit.flags & FLIPPED != 0).count() as u32, by_chase }
    }

    /// Marsaglia's xorshift: quality hardly matters, repeatability does.
    fn next_random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random >> 16
    }
}

/// How the value read pulls: against leaving it, for going back to it.
fn pull(bit: Bit) -> i8 {
    if (bit.flags & FLIPPED != 0) == (bit.flags & ASSUMED != 0) { -2 } else { 2 }
}

/// What keeps a bit from being flipped again at once, by sweeps since its last flip.
fn penalty(age: u8) -> i8 {
    match age {
        0..=3 => 2,
        4..=6 => 1,
        _ => 0,
    }
}
