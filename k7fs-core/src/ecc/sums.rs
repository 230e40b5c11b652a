//! The check sums of a page, and the parity that makes them zero: all arithmetic of encoder and syndrome check.
//!
//! Nothing here branches on what the page holds.

use core::cell::Cell;

use super::graph::{Code, GAP, SPARE, SUM_WORDS};
#[cfg(not(feature = "full-decoder"))]
use super::source::data_hash;
use super::source::{PARITY_WEIGHT, mix_next};

/// Columns whose hash words are worked out before they are spread over the sums; an even number. Eight bytes each on
/// the stack, of which small parts have little.
const TILE: usize = if cfg!(feature = "full-decoder") { SPARE } else { 16 };
/// Rotations in a hash word.
const SHIFTS: usize = 6;
/// Bits of a rotation.
const SHIFT_BITS: u32 = 5;

impl Code {
    /// Adds the check sums of the data columns to `sums`, whose first `parity_words` words hold them afterwards.
    ///
    /// The mark bytes count as ones, whatever the page holds.
    pub fn add_data(&self, page: &[u8], sums: &mut [u32; SUM_WORDS]) {
        let rows = usize::from(self.parity_words).max(1);
        let data = page.as_chunks::<4>().0.get(..self.data_words()).unwrap_or_default();
        let mut tile = Tile::EMPTY;
        let mut weights = self.weights.iter().cycle();
        let mut offsets = self.offsets;
        let mut column = 0;
        for group in data.chunks(rows) {
            let weight = weights.next().map_or(0, |weight| usize::from(*weight));
            let (own, rest) = offsets.split_at_checked(weight).unwrap_or_default();
            offsets = rest;
            for (index, words) in group.chunks(TILE).enumerate() {
                tile.add(self, column, words, Rows { offsets: own, place: index * TILE, count: rows }, sums);
                column += words.len();
            }
        }
        // Offset and place were added without wrapping: fold the upper half onto the rows.
        for row in 0..rows {
            let upper = sums[(row + rows) % SUM_WORDS];
            sums[row % SUM_WORDS] ^= upper;
            sums[(row + rows) % SUM_WORDS] = 0;
        }
        self.complete_mark(page, sums);
    }

    /// The mark was added as stored: adds what it lacks.
    fn complete_mark(&self, page: &[u8], sums: &mut [u32; SUM_WORDS]) {
        let mark = usize::from(self.mark_word);
        if let Some(bytes) = page.as_chunks::<4>().0.get(mark) {
            let missing = !u32::from_le_bytes(*bytes) & 0xFFFF;
            for edge in self.edges_at(mark).as_slice() {
                sums[usize::from(edge.row) % SUM_WORDS] ^= missing.rotate_right(u32::from(edge.shift));
            }
        }
    }

    /// Adds the check sums of the stored parity to `sums`.
    pub fn add_parity(&self, page: &[u8], sums: &mut [u32; SUM_WORDS]) {
        let words = page.as_chunks::<4>().0.get(self.data_words()..).unwrap_or_default();
        let diagonal = usize::from(self.parity_words).saturating_sub(GAP);
        for (sum, bytes) in sums.iter_mut().zip(words.iter().take(diagonal)) {
            *sum ^= u32::from_le_bytes(*bytes);
        }
        let [lower, _] = sums.as_chunks_mut::<SPARE>().0 else { return };
        let (threes, last) = self.parity.as_chunks();
        for (edges, bytes) in threes.iter().zip(words) {
            add_edges::<PARITY_WEIGHT>(edges, u32::from_le_bytes(*bytes), lower);
        }
        // The last column has one edge more.
        if let ([edge], [.., bytes]) = (last, words) {
            add_edges(&[*edge], u32::from_le_bytes(*bytes), lower);
        }
    }

    /// Replaces the sums of the data columns by the parity words that cancel them.
    pub fn solve_parity(&self, sums: &mut [u32; SUM_WORDS]) {
        let first_gap = usize::from(self.parity_words).saturating_sub(GAP);
        let (threes, last) = self.parity.as_chunks();
        let (triangle, gap_edges) = threes.split_at_checked(first_gap).unwrap_or_default();
        let [sums, trial] = sums.as_chunks_mut::<SPARE>().0 else { return };
        // What would be left in the last rows, were the gap's words zero, tells those words.
        *trial = *sums;
        substitute(triangle, trial);
        let mut gap = [0u32; GAP];
        let [a, b, c, d, e, f, g, h, i] = self.gap_inverse;
        for (index, factors) in [[a, d, g], [b, e, h], [c, f, i]].into_iter().enumerate() {
            add_products(factors, trial[(first_gap + index) % SPARE], &mut gap);
        }
        for (edges, word) in gap_edges.iter().zip(gap) {
            add_edges::<PARITY_WEIGHT>(edges, word, sums);
        }
        if let [edge] = last {
            add_edges(&[*edge], gap[GAP - 1], sums);
        }
        substitute(triangle, sums);
        for (index, word) in gap.iter().enumerate() {
            sums[(first_gap + index) % SPARE] = *word;
        }
    }
}

/// Forward substitution: turns all but the last sums into parity words.
///
/// The diagonal is not among the edges: it would cancel the sum in whose place the parity word then stays.
fn substitute(triangle: &[[u16; PARITY_WEIGHT]], sums: &mut [u32; SPARE]) {
    for (index, edges) in triangle.iter().enumerate() {
        add_edges(edges, sums[index % SPARE], sums);
    }
}

/// Adds a word to the sums that these edges, packed as in [`Code::parity`], lead to.
#[inline(always)]
fn add_edges<const COUNT: usize>(edges: &[u16; COUNT], word: u32, sums: &mut [u32; SPARE]) {
    for edge in edges {
        sums[usize::from(edge >> 8) % SPARE] ^= word.rotate_right(u32::from(edge & 31));
    }
}

/// The rows that neighbouring columns of one group meet.
#[derive(Clone, Copy)]
struct Rows<'a> {
    /// The rows of the group's first column.
    offsets: &'a [u8],
    /// How far into the group the columns start.
    place: usize,
    /// All rows of the code.
    count: usize,
}

/// Neighbouring data columns of one group: room for what is worked out about them.
struct Tile {
    /// The page's words where they can be loaded at once: it may lie at any address.
    #[cfg(not(feature = "full-decoder"))]
    words: [u32; TILE],
    hashes: [u32; TILE],
}

impl Tile {
    const EMPTY: Self = Self {
        #[cfg(not(feature = "full-decoder"))]
        words: [0; TILE],
        hashes: [0; TILE],
    };

    /// Adds columns from `column` on, whose words are in `bytes`, to the sums of their rows.
    #[cfg(feature = "full-decoder")]
    fn add(&mut self, code: &Code, column: usize, bytes: &[[u8; 4]], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS]) {
        let stored = code.hashes.get(column..).and_then(|stored| stored.get(..bytes.len())).unwrap_or_default();
        let (six, more) = rows.offsets.split_at_checked(SHIFTS).unwrap_or((rows.offsets, &[]));
        spread(bytes, stored, Rows { offsets: six, ..rows }, sums);
        if more.is_empty() {
            return;
        }
        let hashes = self.hashes.get_mut(..bytes.len()).unwrap_or_default();
        for (hash, stored) in hashes.iter_mut().zip(stored) {
            *hash = mix_next(*stored);
        }
        spread_on(bytes, hashes, Rows { offsets: more, ..rows }, sums);
    }

    /// Adds columns from `column` on, whose words are in `bytes`, to the sums of their rows.
    #[cfg(not(feature = "full-decoder"))]
    fn add(&mut self, code: &Code, column: usize, bytes: &[[u8; 4]], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS]) {
        let words = self.words.get_mut(..bytes.len()).unwrap_or_default();
        for (word, bytes) in words.iter_mut().zip(bytes) {
            *word = u32::from_le_bytes(*bytes);
        }
        let hashes = self.hashes.get_mut(..bytes.len()).unwrap_or_default();
        hash(code, column, hashes);
        spread_on(words, hashes, rows, sums);
    }
}

/// Works out the first hash words of columns from `column` on, an even number.
#[cfg(not(feature = "full-decoder"))]
fn hash(code: &Code, column: usize, hashes: &mut [u32]) {
    // A seed byte serves two columns.
    let seeds = code.data_seeds.get(column / 2..).unwrap_or_default();
    for (index, (pair, seeds)) in hashes.as_chunks_mut::<2>().0.iter_mut().zip(seeds).enumerate() {
        let seeds = u32::from(*seeds);
        let column = column + 2 * index;
        *pair = [data_hash(code.salt, column, seeds & 15), data_hash(code.salt, column + 1, seeds >> 4)];
    }
}

/// Adds columns to any number of rows. The hash words end up as those of the last six.
fn spread_on<T: Word>(words: &[T], hashes: &mut [u32], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS]) {
    let mut offsets = rows.offsets;
    while let Some((six, more)) = offsets.split_at_checked(SHIFTS).filter(|(_, more)| !more.is_empty()) {
        spread(words, hashes, Rows { offsets: six, ..rows }, sums);
        hashes.iter_mut().for_each(|hash| *hash = mix_next(*hash));
        offsets = more;
    }
    spread(words, hashes, Rows { offsets, ..rows }, sums);
}

/// A word of the page, where it is or copied to where it can be loaded at once.
trait Word: Copy {
    fn value(self) -> u32;
}

impl Word for u32 {
    #[inline(always)]
    fn value(self) -> u32 {
        self
    }
}

impl Word for [u8; 4] {
    #[inline(always)]
    fn value(self) -> u32 {
        u32::from_le_bytes(self)
    }
}

/// Adds columns to up to six rows, whose rotations are in the hash words.
fn spread<T: Word>(words: &[T], hashes: &[u32], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS]) {
    let Rows { offsets, place, count } = rows;
    if cfg!(target_pointer_width = "64") {
        return spread_wide(words, hashes, rows, sums);
    }
    let sums = Cell::from_mut(sums).as_array_of_cells();
    // Windows may run on into the upper half, but start in the lower.
    let start = |offset: u8| {
        let start = usize::from(offset) + place;
        if place > 0 && start >= count { start - count } else { start }
    };
    if cfg!(feature = "full-decoder") {
        match *offsets {
            [a, b, c, d, e, f] => spread_rows(words, hashes, 0, [a, b, c, d, e, f].map(start), sums),
            [a, b, c, d, e] => spread_rows(words, hashes, 0, [a, b, c, d, e].map(start), sums),
            [a, b, c, d] => spread_rows(words, hashes, 0, [a, b, c, d].map(start), sums),
            [a, b, c] => spread_rows(words, hashes, 0, [a, b, c].map(start), sums),
            [a, b] => spread_rows(words, hashes, 0, [a, b].map(start), sums),
            [a] => spread_rows(words, hashes, 0, [a].map(start), sums),
            _ => {}
        }
        return;
    }
    let (pairs, last) = offsets.as_chunks::<2>();
    let mut skip = 0;
    for pair in pairs {
        spread_rows(words, hashes, skip, pair.map(start), sums);
        skip += 2 * SHIFT_BITS;
    }
    if let [last] = last {
        spread_rows(words, hashes, skip, [start(*last)], sums);
    }
}

/// Row by row, for processors that do the same to several columns at once.
#[inline(always)]
fn spread_wide<T: Word>(words: &[T], hashes: &[u32], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS]) {
    let mut skip = 0;
    for offset in rows.offsets {
        let window = sums.get_mut(usize::from(*offset) + rows.place..).unwrap_or_default();
        for ((word, hash), sum) in words.iter().zip(hashes).zip(window) {
            *sum ^= word.value().rotate_right((hash >> skip) & 31);
        }
        skip += SHIFT_BITS;
    }
}

/// Adds columns to the sums of so many rows each, from these on, whose rotations are in the hash words from bit `skip` on.
///
/// Never inlined: among other loops there would not be registers for all windows.
#[inline(never)]
fn spread_rows<const ROWS: usize, T: Word>(
    words: &[T], hashes: &[u32], skip: u32, starts: [usize; ROWS], sums: &[Cell<u32>; SUM_WORDS],
) {
    let words = words.as_chunks::<2>().0;
    let count = words.len().min(SPARE / 2);
    let words = words.get(..count).unwrap_or_default();
    let Some(hashes) = hashes.as_chunks::<2>().0.get(..count) else { return };
    let mut windows = [&[] as &[[Cell<u32>; 2]]; ROWS];
    for (window, start) in windows.iter_mut().zip(starts) {
        let Some(rows) = sums[start % SPARE..].as_chunks::<2>().0.get(..count) else { return };
        *window = rows;
    }
    for index in 0..count {
        let (Some([first, second]), Some(bits)) = (words.get(index), hashes.get(index)) else { return };
        let [mut first_bits, mut second_bits] = bits.map(|bits| bits >> skip);
        for window in windows {
            let Some([one, two]) = window.get(index) else { return };
            let sums = [one.get(), two.get()];
            one.set(sums[0] ^ first.value().rotate_right(first_bits & 31));
            two.set(sums[1] ^ second.value().rotate_right(second_bits & 31));
            first_bits >>= SHIFT_BITS;
            second_bits >>= SHIFT_BITS;
        }
    }
}

/// Adds the products of circulants (bit `s` of a factor: a rotation by `s`) and one word to `products`.
///
/// Four bits of a factor at a time, through the sums of the word's first four rotations.
fn add_products(factors: [u32; GAP], word: u32, products: &mut [u32; GAP]) {
    let mut sums = [0; 16];
    let mut known = 1;
    while known < 16 {
        // Those with one more bit are the ones before them and the word, rotated.
        let (before, after) = sums.split_at_mut(known);
        let turned = word.rotate_right(known.trailing_zeros());
        after.iter_mut().zip(before).for_each(|(sum, before)| *sum = *before ^ turned);
        known *= 2;
    }
    for (product, factor) in products.iter_mut().zip(factors) {
        let mut sum = 0u32;
        let mut left = factor;
        for _ in 0..8 {
            left = left.rotate_left(4);
            sum = sum.rotate_right(4) ^ sums[left as usize % 16];
        }
        *product ^= sum;
    }
}
