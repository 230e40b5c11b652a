//! The check sums of a page, and the parity that makes them zero: all arithmetic of encoder and syndrome check.
//!
//! Nothing here branches on what the page holds.

use core::cell::Cell;

use super::graph::{Code, GAP, Offsets, SPARE, SUM_WORDS, mix_next};

/// Columns whose words and hashes are gathered before they are spread over the sums.
const TILE: usize = 32;
/// Words that one step works on: a vector where the processor rotates its lanes one by one, else a word.
const LANES: usize = if cfg!(target_feature = "avx2") { 8 } else { 1 };
/// Rotations in a hash word.
const SHIFTS: usize = 6;
/// Bits of a rotation.
const SHIFT_BITS: usize = 5;

impl Code {
    /// Adds the check sums of the data columns to `sums`, whose first `parity_words` words hold them afterwards.
    ///
    /// The mark bytes count as ones, whatever the page holds.
    pub fn add_data(&self, page: &[u8], sums: &mut [u32; SUM_WORDS]) {
        let rows = usize::from(self.parity_words).max(1);
        let cells = Cell::from_mut(&mut sums[..]).as_slice_of_cells();
        let data = page.as_chunks::<4>().0.get(..self.data_words()).unwrap_or_default();
        let mut tile = Tile { words: [0; TILE], hashes: [0; TILE] };
        let mut group = Group { index: 0, kind: 0, place: 0, offsets: Offsets::of_kind(self, 0, 0) };
        for (index, words) in data.chunks(TILE).enumerate() {
            tile.load(self, index * TILE, words);
            let mut first = 0;
            while first < words.len() {
                let count = (rows - group.place).min(words.len() - first);
                tile.spread(
                    first..first + count,
                    group.offsets.as_slice(),
                    cells.get(group.place..).unwrap_or_default(),
                );
                first += count;
                group.advance(self, count);
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

    /// Adds one word in parity column `index` to the sums from `base` on: [`Self::parity_edges`] without a list.
    #[inline(always)]
    fn add_parity_word(&self, index: usize, word: u32, sums: &mut [u32; SUM_WORDS], base: usize) {
        let hash = self.parity_hash(index);
        let mut places = hash;
        let mut shifts = mix_next(hash);
        let (first, weight) = self.parity_span(index);
        if first > 0 {
            sums[(base + index) % SUM_WORDS] ^= word;
        }
        let span = usize::from(self.parity_words).wrapping_sub(first) as u32;
        for _ in 0..weight {
            let row = first + (((places & 255) * span) >> 8) as usize;
            sums[(base + row) % SUM_WORDS] ^= word.rotate_right(shifts & 31);
            places >>= 8;
            shifts >>= 5;
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

/// Where a walk through the data columns is.
struct Group {
    index: usize,
    /// The group's place among the weights.
    kind: usize,
    /// Columns of the group that are done.
    place: usize,
    offsets: Offsets,
}

impl Group {
    fn advance(&mut self, code: &Code, count: usize) {
        self.place += count;
        if self.place >= usize::from(code.parity_words) {
            self.place = 0;
            self.index += 1;
            self.kind = if self.kind + 1 < code.weights.len() { self.kind + 1 } else { 0 };
            self.offsets = Offsets::of_kind(code, self.index, self.kind);
        }
    }
}

/// Some consecutive data columns.
struct Tile {
    words: [u32; TILE],
    /// For each of them, the hash word whose bits are the next rotations.
    hashes: [u32; TILE],
}

impl Tile {
    /// Gathers columns from `column` on, an even number, whose words are in `bytes`.
    #[inline(always)]
    fn load(&mut self, code: &Code, column: usize, bytes: &[[u8; 4]]) {
        for (word, bytes) in self.words.iter_mut().zip(bytes) {
            *word = u32::from_le_bytes(*bytes);
        }
        if let Some(stored) = code.hashes.get(column..).filter(|stored| !stored.is_empty()) {
            self.hashes.iter_mut().zip(stored).for_each(|(hash, stored)| *hash = *stored);
            return;
        }
        // A seed byte serves two columns.
        let seeds = code.data_seeds.get(column / 2..).unwrap_or_default();
        for (index, (pair, seeds)) in self.hashes.as_chunks_mut::<2>().0.iter_mut().zip(seeds).enumerate() {
            let (column, seeds) = (column + 2 * index, u32::from(*seeds));
            *pair = [code.data_hash(column, seeds & 15), code.data_hash(column + 1, seeds >> 4)];
        }
    }

    /// Adds the columns of `range`, which are in one group, to the sums of their rows: the offsets, counted from the
    /// start of `sums`, plus the place in the range.
    #[inline(always)]
    fn spread(&mut self, range: core::ops::Range<usize>, offsets: &[u8], sums: &[Cell<u32>]) {
        let Some(words) = self.words.get(range.clone()) else { return };
        let Some(hashes) = self.hashes.get_mut(range) else { return };
        let mut rest = offsets;
        loop {
            let (six, more) = rest.split_at_checked(SHIFTS).unwrap_or((rest, &[]));
            spread_six(words, hashes, six, sums);
            if more.is_empty() {
                return;
            }
            rest = more;
            hashes.iter_mut().for_each(|hash| *hash = mix_next(*hash));
        }
    }
}

/// Adds words to the sums of up to six rows each, whose rotations are in one hash word.
#[inline(always)]
fn spread_six(words: &[u32], hashes: &[u32], offsets: &[u8], sums: &[Cell<u32>]) {
    // With more rows at once a word is fetched less often, and the more so the more registers there are.
    if cfg!(feature = "full-decoder") {
        if let Ok(offsets) = <&[u8; 6]>::try_from(offsets) {
            return spread_rows(words, hashes, 0, offsets, sums);
        }
        if let Ok(offsets) = <&[u8; 5]>::try_from(offsets) {
            return spread_rows(words, hashes, 0, offsets, sums);
        }
        if let Ok(offsets) = <&[u8; 4]>::try_from(offsets) {
            return spread_rows(words, hashes, 0, offsets, sums);
        }
    }
    let (pairs, last) = offsets.as_chunks::<2>();
    for (index, pair) in pairs.iter().enumerate() {
        spread_rows(words, hashes, 2 * index * SHIFT_BITS, pair, sums);
    }
    if let [last] = last {
        spread_rows(words, hashes, pairs.len() * 2 * SHIFT_BITS, &[*last], sums);
    }
}

/// Adds words to the sums of `ROWS` rows each, whose rotations are in their hashes from bit `skip` on.
#[inline(never)]
fn spread_rows<const ROWS: usize>(
    words: &[u32], hashes: &[u32], skip: usize, offsets: &[u8; ROWS], sums: &[Cell<u32>],
) {
    let count = words.len();
    let mut windows = [sums; ROWS];
    for (window, offset) in windows.iter_mut().zip(offsets) {
        let Some(part) = window.get(usize::from(*offset)..).and_then(|sums| sums.get(..count)) else { return };
        *window = part;
    }
    let Some(hashes) = hashes.get(..count) else { return };
    let whole = if LANES > 1 { count / LANES * LANES } else { 0 };
    for first in (0..whole).step_by(LANES) {
        spread_lanes::<ROWS, LANES>(words, hashes, skip, &windows, first);
    }
    for first in whole..count {
        spread_lanes::<ROWS, 1>(words, hashes, skip, &windows, first);
    }
}

/// [`spread_rows`] for `LANES` columns from `first` on. The windows overlap, hence the cells.
#[inline(always)]
fn spread_lanes<const ROWS: usize, const LANES: usize>(
    words: &[u32], hashes: &[u32], skip: usize, windows: &[&[Cell<u32>]; ROWS], first: usize,
) {
    let Some(words) = words.get(first..).and_then(|words| words.first_chunk::<LANES>()) else { return };
    let Some(hashes) = hashes.get(first..).and_then(|hashes| hashes.first_chunk::<LANES>()) else { return };
    let mut bits = hashes.map(|hash| hash >> skip);
    for window in windows {
        let Some(sums) = window.get(first..).and_then(|sums| sums.first_chunk::<LANES>()) else { return };
        let mut added = [0; LANES];
        for (((added, sum), word), bits) in added.iter_mut().zip(sums).zip(words).zip(&mut bits) {
            *added = sum.get() ^ word.rotate_right(*bits & 31);
            *bits >>= SHIFT_BITS;
        }
        sums.iter().zip(added).for_each(|(sum, added)| sum.set(added));
    }
}

/// Adds the products of circulants (bit `s` of a factor: a rotation by `s`) and one word to `products`.
///
/// Four bits of a factor at a time, through the sums of the word's first four rotations.
fn add_products(factors: [u32; GAP], word: u32, products: &mut [u32; GAP]) {
    let mut sums = [0; 16];
    for bit in 0..4 {
        let turned = word.rotate_right(bit);
        for low in 0..1 << bit {
            sums[low | 1 << bit] = sums[low] ^ turned;
        }
    }
    for (product, factor) in products.iter_mut().zip(factors) {
        let mut sum = 0u32;
        let mut left = factor;
        for _ in 0..8 {
            left = left.rotate_left(4);
            sum = sum.rotate_right(4) ^ sums[(left & 15) as usize];
        }
        *product ^= sum;
    }
}
