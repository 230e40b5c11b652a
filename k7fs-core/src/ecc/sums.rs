//! The check sums of a page, and the parity that makes them zero: all arithmetic of encoder and syndrome check.
//!
//! Nothing here branches on what the page holds.

use core::cell::Cell;

use super::graph::{Code, GAP, SPARE, SUM_WORDS};
use super::source::{data_hash, mix_next};

/// Columns whose hash words are worked out before they are spread over the sums; an even number. Eight bytes each on
/// the stack, of which small parts have little.
const TILE: usize = if cfg!(feature = "full-decoder") { 64 } else { 16 };
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
        let mut tile = Tile { words: [0; TILE], hashes: [0; TILE] };
        let mut weights = self.weights.iter().cycle();
        let mut offsets = self.offsets;
        let mut column = 0;
        for group in data.chunks(rows) {
            let weight = weights.next().map_or(0, |weight| usize::from(*weight));
            let (own, rest) = offsets.split_at_checked(weight).unwrap_or_default();
            offsets = rest;
            let mut place = 0;
            for words in group.chunks(TILE) {
                tile.add(self, column, words, own, sums.get_mut(place..).unwrap_or_default());
                column += words.len();
                place += words.len();
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
        let parity = page.as_chunks::<4>().0.iter().skip(self.data_words());
        for (index, bytes) in parity.take(usize::from(self.parity_words)).enumerate() {
            self.add_parity_word(index, u32::from_le_bytes(*bytes), sums, 0);
        }
    }

    /// Adds one word in parity column `index` to the sums from `base` on.
    #[inline(always)]
    fn add_parity_word(&self, index: usize, word: u32, sums: &mut [u32; SUM_WORDS], base: usize) {
        if index + GAP < usize::from(self.parity_words) {
            sums[(base + index) % SUM_WORDS] ^= word;
        }
        for edge in self.parity_at(index) {
            sums[(base + usize::from(edge >> 8)) % SUM_WORDS] ^= word.rotate_right(u32::from(edge & 31));
        }
    }

    /// Replaces the sums of the data columns by the parity words that cancel them. The upper half must be zero.
    pub fn solve_parity(&self, sums: &mut [u32; SUM_WORDS]) {
        let rows = usize::from(self.parity_words);
        let first_gap = rows.saturating_sub(GAP);
        // What is left in the last rows, were the gap's words zero, tells those words.
        self.substitute(sums, 0);
        let left = [0, 1, 2].map(|index| sums[(first_gap + index) % SUM_WORDS]);
        let mut gap = [0u32; GAP];
        let [a, b, c, d, e, f, g, h, i] = self.gap_inverse;
        for (factors, word) in [[a, d, g], [b, e, h], [c, f, i]].into_iter().zip(left) {
            add_products(factors, word, &mut gap);
        }
        // What the gap's words change in the others is worked out apart and added.
        for (index, word) in gap.iter().enumerate() {
            self.add_parity_word(first_gap + index, *word, sums, SPARE);
        }
        self.substitute(sums, SPARE);
        for index in 0..first_gap {
            let change = sums[(SPARE + index) % SUM_WORDS];
            sums[index % SUM_WORDS] ^= change;
        }
        for (index, word) in gap.iter().enumerate() {
            sums[(first_gap + index) % SUM_WORDS] = *word;
        }
    }

    /// Forward substitution: turns all but the last three sums from `base` on into parity words.
    fn substitute(&self, sums: &mut [u32; SUM_WORDS], base: usize) {
        let rows = usize::from(self.parity_words);
        for index in 0..rows.saturating_sub(GAP) {
            let word = sums[(base + index) % SUM_WORDS];
            self.add_parity_word(index, word, sums, base);
            // The diagonal has just cancelled the sum; its place now holds the parity word.
            sums[(base + index) % SUM_WORDS] = word;
        }
    }
}

/// Neighbouring data columns of one group: room for what is worked out about them.
struct Tile {
    words: [u32; TILE],
    hashes: [u32; TILE],
}

impl Tile {
    /// Adds columns from `column` on, whose words are in `bytes`, to the sums of their rows: the offsets, counted from
    /// the start of `sums`, plus the place among the columns.
    fn add(&mut self, code: &Code, column: usize, bytes: &[[u8; 4]], offsets: &[u8], sums: &mut [u32]) {
        let words = self.words.get_mut(..bytes.len()).unwrap_or_default();
        let hashes = self.hashes.get_mut(..bytes.len()).unwrap_or_default();
        let stored = code.hashes.get(column..).and_then(|stored| stored.get(..bytes.len())).unwrap_or_default();
        let (six, more) = offsets.split_at_checked(SHIFTS).unwrap_or((offsets, &[]));
        if cfg!(feature = "full-decoder") && !stored.is_empty() {
            spread(bytes, stored, six, sums);
            if !more.is_empty() {
                hashes.copy_from_slice(stored);
                spread_more(bytes, hashes, more, sums);
            }
            return;
        }
        hash(code, column, hashes);
        for (word, bytes) in words.iter_mut().zip(bytes) {
            *word = u32::from_le_bytes(*bytes);
        }
        spread(words, hashes, six, sums);
        spread_more(words, hashes, more, sums);
    }
}

/// Works out the first hash words of columns from `column` on, an even number.
fn hash(code: &Code, column: usize, hashes: &mut [u32]) {
    // A seed byte serves two columns.
    let seeds = code.data_seeds.get(column / 2..).unwrap_or_default();
    for (index, (pair, seeds)) in hashes.as_chunks_mut::<2>().0.iter_mut().zip(seeds).enumerate() {
        let seeds = u32::from(*seeds);
        let column = column + 2 * index;
        *pair = [data_hash(code.salt, column, seeds & 15), data_hash(code.salt, column + 1, seeds >> 4)];
    }
}

/// Adds columns to the rows after their sixth.
fn spread_more<T: Word>(words: &[T], hashes: &mut [u32], offsets: &[u8], sums: &mut [u32]) {
    for six in offsets.chunks(SHIFTS) {
        hashes.iter_mut().for_each(|hash| *hash = mix_next(*hash));
        spread(words, hashes, six, sums);
    }
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
fn spread<T: Word>(words: &[T], hashes: &[u32], offsets: &[u8], sums: &mut [u32]) {
    if cfg!(target_pointer_width = "64") {
        return spread_wide(words, hashes, offsets, sums);
    }
    let sums = Cell::from_mut(sums).as_slice_of_cells();
    if cfg!(feature = "full-decoder") {
        match *offsets {
            [a, b, c, d, e, f] => spread_rows(words, hashes, 0, [a, b, c, d, e, f], sums),
            [a, b, c, d, e] => spread_rows(words, hashes, 0, [a, b, c, d, e], sums),
            [a, b, c, d] => spread_rows(words, hashes, 0, [a, b, c, d], sums),
            [a, b, c] => spread_rows(words, hashes, 0, [a, b, c], sums),
            [a, b] => spread_rows(words, hashes, 0, [a, b], sums),
            [a] => spread_rows(words, hashes, 0, [a], sums),
            _ => {}
        }
        return;
    }
    let (pairs, last) = offsets.as_chunks::<2>();
    let mut skip = 0;
    for pair in pairs {
        spread_rows(words, hashes, skip, *pair, sums);
        skip += 2 * SHIFT_BITS;
    }
    if let [last] = last {
        spread_rows(words, hashes, skip, [*last], sums);
    }
}

/// Row by row, for processors that do the same to several columns at once.
#[inline(always)]
fn spread_wide<T: Word>(words: &[T], hashes: &[u32], offsets: &[u8], sums: &mut [u32]) {
    let mut skip = 0;
    for offset in offsets {
        let window = sums.get_mut(usize::from(*offset)..).unwrap_or_default();
        for ((word, hash), sum) in words.iter().zip(hashes).zip(window) {
            *sum ^= word.value().rotate_right((hash >> skip) & 31);
        }
        skip += SHIFT_BITS;
    }
}

/// Adds columns to the sums of so many rows each, whose rotations are in the hash words from bit `skip` on.
#[inline(never)]
fn spread_rows<const ROWS: usize, T: Word>(
    words: &[T], hashes: &[u32], skip: u32, offsets: [u8; ROWS], sums: &[Cell<u32>],
) {
    let words = words.as_chunks::<2>().0;
    let count = words.len();
    let Some(hashes) = hashes.as_chunks::<2>().0.get(..count) else { return };
    let mut windows = [&[] as &[[Cell<u32>; 2]]; ROWS];
    for (window, offset) in windows.iter_mut().zip(offsets) {
        let rows = sums.get(usize::from(offset)..).unwrap_or_default().as_chunks::<2>().0;
        let Some(rows) = rows.get(..count) else { return };
        *window = rows;
    }
    for (index, [first, second]) in words.iter().enumerate() {
        let Some(&[mut first_bits, mut second_bits]) = hashes.get(index) else { return };
        first_bits >>= skip;
        second_bits >>= skip;
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
    for (bits, sum) in sums.iter_mut().enumerate() {
        for place in 0..4 {
            *sum ^= word.rotate_right(place) & (bits as u32 >> place & 1).wrapping_neg();
        }
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
