//! Belief propagation: the rung for pages that bit flipping cannot mend.
//!
//! Every bit holds a *belief*, a small signed number: positive while it thinks that it was read right, larger the surer
//! it is. A check whose sum is wrong tells each of its bits: "if all the others are right, you are wrong", one whose sum
//! is right the opposite, and with the less force the less sure the others are. What all its checks say, added to
//! what the channel said, is a bit's new belief. Checks speak one after the other, block row by block row, and each
//! hears what those before it have brought about (a *layered* schedule, which takes half the rounds).
//!
//! A bit must not hear its own echo: before a check speaks again, what it said last time is taken back. Storing that for
//! every edge would take most of the memory, but a check says only two different things: one to its least sure bit, and
//! one to all others. So a row keeps two magnitudes, which bit was the least sure, and the signs.
//!
//! How forcefully a check speaks has two rules, and the pages that one of them cannot mend the other often can:
//! - [`Rule::Least`]: like the least sure of the other bits, less 2 (*offset min-sum*). Never nothing unless that bit knows
//!   nothing, or messages would lock at zero.
//! - [`Rule::Sum`]: the probability that an odd number of the others is wrong. In units of ln 2 a bit with magnitude `m`
//!   contributes `2^-m`, so a sum of powers of two says it all, and its logarithm is the place of its highest bit
//!   (*A-min\**). This goes closer to the limit; min-sum is safer far from it.
//!
//! Ties matter, as the numbers are small: a belief of zero counts as "read right". That is why the decoder works on which
//! bits are wrong, not on what they are.
//!
//! All 32 bits of a word are worked on at once, see `sliced`.

use super::graph::{Code, SUM_WORDS};
use super::sliced::{add_signed, add_to, choose, constant, is_less, load, mask, store};
use super::{open_bits, syndrome, weight};

/// Planes of a belief: two's complement, kept from -48 to 47.
const BELIEF: usize = 7;
const BELIEF_BYTES: usize = BELIEF * 4;
/// Planes of a message's magnitude, up to 7.
const FORCE: usize = 3;
/// Planes of a place in a row.
const PLACE: usize = 8;
/// Planes of how sure a bit is, as far as it matters.
const SURE: usize = 4;
/// Planes of a row's sum of doubts.
const DOUBT: usize = 12;
/// Words kept for each block row: two magnitudes, the place of the least sure bit, whether the sum was wrong.
const ROW_BYTES: usize = (2 * FORCE + PLACE + 1) * 4;
/// Bytes of an edge in the list of a row: column and rotation.
const STEP_BYTES: usize = 4;

/// How forcefully a check speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Like the least sure of the others, with an offset.
    Least,
    /// As the sum of the others' doubts says.
    Sum,
}

/// What one attempt does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'w> {
    pub(super) rule: Rule,
    /// Belief in a bit as read, and in one that is known to be weak.
    pub(super) trust: [u32; 2],
    pub(super) iterations_max: u16,
    /// Rows from last to first.
    pub(super) reversed: bool,
    /// A bit that is taken for wrong to begin with.
    pub(super) assumed: Option<u16>,
    /// Marks of weak bits, as long as the page, or nothing.
    pub(super) weak: &'w [u8],
}

/// Bytes of scratch for a code.
pub(super) const fn scratch_bytes(code: &Code) -> usize {
    let (words, rows, edges) =
        (code.shape.words as usize, code.shape.parity_words as usize, code.shape.row_weight_max as usize);
    words * BELIEF_BYTES + rows * (ROW_BYTES + edges * 4) + edges * STEP_BYTES
}

/// What a row said last.
struct Row {
    /// To all but the least sure bit.
    common: [u32; FORCE],
    /// To the least sure bit, as what differs from `common`.
    change: [u32; FORCE],
    place: [u32; PLACE],
    wrong: u32,
}

impl Row {
    fn load(bytes: &[u8; ROW_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, wrong] = load(bytes);
        Self { common: [a, b, c], change: [d, e, f], place: [g, h, i, j, k, l, m, n], wrong }
    }

    fn store(&self, bytes: &mut [u8; ROW_BYTES]) {
        let ([a, b, c], [d, e, f]) = (self.common, self.change);
        let [g, h, i, j, k, l, m, n] = self.place;
        store(bytes, &[a, b, c, d, e, f, g, h, i, j, k, l, m, n, self.wrong]);
    }

    /// The magnitude of what was said to the edge at `place`.
    #[inline(always)]
    fn force(&self, place: u32) -> [u32; FORCE] {
        let mut is_other = 0;
        for (plane, bits) in self.place.iter().enumerate() {
            is_other |= bits ^ mask(place, plane);
        }
        let mut force = self.common;
        for (force, change) in force.iter_mut().zip(self.change) {
            *force ^= change & !is_other;
        }
        force
    }
}

/// What a row gathers from its bits.
struct Gathered {
    least: [u32; SURE],
    second: [u32; SURE],
    place: [u32; PLACE],
    doubts: [u32; DOUBT],
    overflow: u32,
    wrong: u32,
}

impl Gathered {
    fn new(wrong: u32) -> Self {
        Self {
            least: [u32::MAX; SURE],
            second: [u32::MAX; SURE],
            place: [u32::MAX; PLACE],
            doubts: [0; DOUBT],
            overflow: 0,
            wrong,
        }
    }

    #[inline(always)]
    fn add<const IS_SUM: bool>(&mut self, belief: &[u32; BELIEF], place: u32) {
        let sure = how_sure(belief);
        let is_least = is_less(&sure, &self.least);
        if IS_SUM {
            self.overflow |= add_to(&mut self.doubts, &doubt(&sure));
        } else {
            // Whatever gives way to a new least is the second; anything else may be.
            let loser = choose(is_least, &self.least, &sure);
            self.second = choose(is_less(&loser, &self.second), &loser, &self.second);
        }
        self.least = choose(is_least, &sure, &self.least);
        for (plane, bits) in self.place.iter_mut().enumerate() {
            *bits = *bits & !is_least | mask(place, plane) & is_least;
        }
        self.wrong ^= belief[BELIEF - 1];
    }

    fn speak(&self, rule: Rule) -> Row {
        let (common, special) = match rule {
            Rule::Least => (force_of_least(&self.least), force_of_least(&self.second)),
            Rule::Sum => {
                let others = add_signed(&self.doubts, &doubt(&self.least), u32::MAX);
                (force_of_doubts(&self.doubts, self.overflow), force_of_doubts(&others, self.overflow))
            }
        };
        let mut change = special;
        for (change, common) in change.iter_mut().zip(common) {
            *change ^= common;
        }
        Row { common, change, place: self.place, wrong: self.wrong }
    }
}

/// The magnitude of a belief, where 15 stands for all from there on.
#[inline(always)]
fn how_sure(belief: &[u32; BELIEF]) -> [u32; SURE] {
    let sign = belief[BELIEF - 1];
    let mut carry = sign;
    let mut size = [0; BELIEF - 1];
    for (size, plane) in size.iter_mut().zip(belief) {
        let flipped = plane ^ sign;
        *size = flipped ^ carry;
        carry &= flipped;
    }
    let [a, b, c, d, e, f] = size;
    let large = e | f;
    [a | large, b | large, c | large, d | large]
}

/// Two to the power of `12 - sure`: plane 0 for 12, plane 11 for 1 and 0, none beyond 12.
#[inline(always)]
fn doubt(sure: &[u32; SURE]) -> [u32; DOUBT] {
    let [a, b, c, d] = *sure;
    let low = [!a & !b, a & !b, !a & b, a & b];
    let high = [!c & !d, c & !d, !c & d, c & d];
    let is = |value: usize| low[value & 3] & high[value >> 2];
    let mut planes = [0; DOUBT];
    for (plane, value) in planes.iter_mut().zip((1..=12).rev()) {
        *plane = is(value);
    }
    planes[DOUBT - 1] |= is(0);
    planes
}

/// `sure - 2`, but at least 1 unless `sure` is 0, and at most 7.
fn force_of_least(sure: &[u32; SURE]) -> [u32; FORCE] {
    let [a, b, c, d] = *sure;
    [a | d & (b | c) | b & !c & !d, c & !b | d, c & b | d]
}

/// The logarithm to the base of 2 of `2^12 / doubts`, rounded, 1 to 7.
fn force_of_doubts(doubts: &[u32; DOUBT], overflow: u32) -> [u32; FORCE] {
    // Plane `k` of `beyond`: doubts of at least 1.5 times 2^(k + 5), each of which takes one off 7.
    let mut higher = overflow | doubts[DOUBT - 1];
    let mut beyond = [0; 6];
    for (index, beyond) in beyond.iter_mut().enumerate().rev() {
        let (this, below) = (doubts[index + 5], doubts[index + 4]);
        *beyond = higher | this & below;
        higher |= this;
    }
    let [a, b, c, d, e, f] = beyond;
    [!(a & !b | c & !d | e & !f), !(b & !d | f), !d]
}

/// The memory of the decoder, cut from the scratch.
struct Memory<'a> {
    beliefs: &'a mut [[u8; BELIEF_BYTES]],
    rows: &'a mut [[u8; ROW_BYTES]],
    /// For each row, the sign of what each edge's bit believed without it.
    signs: &'a mut [[u8; 4]],
    /// The edges of the row at work: column and rotation.
    steps: &'a mut [[u8; STEP_BYTES]],
}

impl<'a> Memory<'a> {
    fn split(code: &Code, scratch: &'a mut [u8]) -> Option<Self> {
        let (words, rows) = (usize::from(code.shape.words), usize::from(code.shape.parity_words));
        let edges = usize::from(code.shape.row_weight_max);
        let (beliefs, rest) = scratch.split_at_mut_checked(words * BELIEF_BYTES)?;
        let (row_part, rest) = rest.split_at_mut_checked(rows * ROW_BYTES)?;
        let (signs, rest) = rest.split_at_mut_checked(rows * edges * 4)?;
        let (steps, _) = rest.split_at_mut_checked(edges * STEP_BYTES)?;
        Some(Self {
            beliefs: beliefs.as_chunks_mut().0,
            rows: row_part.as_chunks_mut().0,
            signs: signs.as_chunks_mut().0,
            steps: steps.as_chunks_mut().0,
        })
    }
}

/// Tries to find what is wrong with `page`, whose check sums are `sums`. Leaves the page mended and returns the number of
/// flipped bits, or leaves it as it was. Counts `iterations`.
pub(super) fn attempt(
    code: &Code, page: &mut [u8], sums: &[u32; SUM_WORDS], scratch: &mut [u8], attempt: &Attempt<'_>,
    accept: &mut dyn FnMut(&[u8]) -> bool, iterations: &mut u16,
) -> Option<u32> {
    let mut memory = Memory::split(code, scratch)?;
    start(code, attempt, &mut memory);
    let rows = usize::from(code.shape.parity_words);
    for _ in 0..attempt.iterations_max {
        *iterations = iterations.saturating_add(1);
        for index in 0..rows {
            let row = if attempt.reversed { rows - 1 - index } else { index };
            let wrong = sums.get(row).copied().unwrap_or(0);
            match attempt.rule {
                Rule::Least => visit_row::<false>(code, row, wrong, &mut memory),
                Rule::Sum => visit_row::<true>(code, row, wrong, &mut memory),
            }
        }
        let bits = apply(code, page, memory.beliefs);
        let mut after = [0; SUM_WORDS];
        syndrome(code, page, &mut after);
        let is_codeword = weight(code, &after) == 0;
        if is_codeword && accept(page) {
            return Some(bits);
        }
        apply(code, page, memory.beliefs);
        if is_codeword {
            return None;
        }
    }
    None
}

/// What the channel says, and nothing from the checks.
fn start(code: &Code, attempt: &Attempt<'_>, memory: &mut Memory<'_>) {
    let [trust, weak_trust] = attempt.trust.map(constant::<BELIEF>);
    let mut weak = attempt.weak.as_chunks::<4>().0.iter();
    for (column, belief) in memory.beliefs.iter_mut().enumerate() {
        let weak = weak.next().map_or(0, |word| u32::from_le_bytes(*word));
        let mut planes = choose(weak, &weak_trust, &trust);
        if column == usize::from(code.shape.mark_word) {
            planes = choose(0xFFFF, &constant(BELIEF_MAX), &planes);
        }
        if let Some(bit) = attempt.assumed.filter(|bit| usize::from(bit >> 5) == column) {
            let negative = add_signed(&[0; BELIEF], &planes, u32::MAX);
            planes = choose(1 << (bit & 31), &negative, &planes);
        }
        store(belief, &planes);
    }
    memory.rows.as_flattened_mut().fill(0);
    memory.signs.as_flattened_mut().fill(0);
}

/// One row listens to its bits and speaks to them.
fn visit_row<const IS_SUM: bool>(code: &Code, row: usize, wrong: u32, memory: &mut Memory<'_>) {
    let edges = usize::from(code.shape.row_weight_max);
    let steps = list_steps(code, row, memory.steps);
    let Some(signs) = memory.signs.get_mut(row * edges..(row + 1) * edges) else { return };
    let Some(place) = memory.rows.get_mut(row) else { return };
    let before = Row::load(place);
    let mut gathered = Gathered::new(wrong);
    for (index, (step, sign)) in steps.iter().zip(signs.iter_mut()).enumerate() {
        let (column, shift) = column_and_shift(*step);
        let Some(stored) = memory.beliefs.get_mut(column) else { continue };
        let belief = load::<BELIEF, BELIEF_BYTES>(stored).map(|plane| plane.rotate_right(shift));
        // Taking back what was said: adding it where it was negative.
        let was_negative = u32::from_le_bytes(*sign) ^ before.wrong;
        let belief = add_signed(&belief, &before.force(index as u32), !was_negative);
        gathered.add::<IS_SUM>(&belief, index as u32);
        *sign = belief[BELIEF - 1].to_le_bytes();
        store(stored, &belief.map(|plane| plane.rotate_left(shift)));
    }
    let now = gathered.speak(if IS_SUM { Rule::Sum } else { Rule::Least });
    for (index, (step, sign)) in steps.iter().zip(signs.iter()).enumerate() {
        let (column, shift) = column_and_shift(*step);
        let Some(stored) = memory.beliefs.get_mut(column) else { continue };
        let belief = load::<BELIEF, BELIEF_BYTES>(stored).map(|plane| plane.rotate_right(shift));
        let is_negative = u32::from_le_bytes(*sign) ^ now.wrong;
        let belief = keep_small(add_signed(&belief, &now.force(index as u32), is_negative));
        store(stored, &belief.map(|plane| plane.rotate_left(shift)));
    }
    now.store(place);
}

/// The largest belief.
const BELIEF_MAX: u32 = 47;

/// Brings what is beyond -48 or 47 back to there.
#[inline(always)]
fn keep_small(belief: [u32; BELIEF]) -> [u32; BELIEF] {
    let [a, b, c, d, e, f, sign] = belief;
    let beyond = (f ^ sign) & (e ^ sign);
    let low = [a, b, c, d].map(|plane| plane ^ beyond & (plane ^ !sign));
    let [a, b, c, d] = low;
    [a, b, c, d, e ^ beyond, f, sign]
}

/// Lists the edges of a row.
fn list_steps<'s>(code: &Code, row: usize, steps: &'s mut [[u8; STEP_BYTES]]) -> &'s [[u8; STEP_BYTES]] {
    let mut len = 0;
    code.each_in_row(row, |column, shift| {
        if let Some(step) = steps.get_mut(len) {
            let [low, high] = column.to_le_bytes();
            *step = [low, high, shift, 0];
            len += 1;
        }
    });
    steps.get(..len).unwrap_or_default()
}

#[inline(always)]
fn column_and_shift([low, high, shift, _]: [u8; STEP_BYTES]) -> (usize, u32) {
    (usize::from(u16::from_le_bytes([low, high])), u32::from(shift))
}

/// Flips the bits that are believed wrong; returns how many. Doing it again takes it back.
fn apply(code: &Code, page: &mut [u8], beliefs: &[[u8; BELIEF_BYTES]]) -> u32 {
    let mut bits = 0;
    for (column, (bytes, belief)) in page.as_chunks_mut::<4>().0.iter_mut().zip(beliefs).enumerate() {
        let [.., sign] = load::<BELIEF, BELIEF_BYTES>(belief);
        let wrong = sign & open_bits(code, column as u16);
        bits += wrong.count_ones();
        *bytes = (u32::from_le_bytes(*bytes) ^ wrong).to_le_bytes();
    }
    bits
}

/// Lists the least sure bits after a failed attempt, least sure first, as many as there are places; returns how many.
pub(super) fn list_unsure(code: &Code, scratch: &[u8], places: &mut [[u8; 4]]) -> usize {
    let mut len = 0;
    for (column, belief) in scratch.as_chunks::<BELIEF_BYTES>().0.iter().take(usize::from(code.shape.words)).enumerate()
    {
        let sure = how_sure(&load(belief));
        // The least sure of all; 15 stands for many bits.
        let mut open = open_bits(code, column as u16) & !(sure[0] & sure[1] & sure[2] & sure[3]);
        while open != 0 {
            let bit = open.trailing_zeros();
            open &= open - 1;
            let rank = sure.iter().rev().fold(0, |rank, plane| rank << 1 | (plane >> bit & 1) as u8);
            let index = places.iter().take(len).take_while(|place| place[2] <= rank).count();
            let Some(room) = places.get_mut(index..) else { continue };
            let [low, high] = ((column as u16) << 5 | bit as u16).to_le_bytes();
            let mut moved = [low, high, rank, 0];
            for place in room.iter_mut().take(len + 1 - index) {
                moved = core::mem::replace(place, moved);
            }
            len = (len + 1).min(places.len());
        }
    }
    len
}
