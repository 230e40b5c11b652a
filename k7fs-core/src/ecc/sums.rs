//! The check sums of a page, and the parity that makes them zero: all arithmetic of encoder and syndrome check.
//!
//! Nothing here branches on what the page holds.

use core::cell::Cell;

use super::graph::{Code, GAP, Offsets, SPARE, SUM_WORDS, mix, mix_next};

/// Columns whose words and hashes are gathered before they are spread over the sums; an even number. Eight bytes each
/// on the stack, of which small parts have little.
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
        let cells = Cell::from_mut(&mut sums[..]).as_slice_of_cells();
        let data = page.as_chunks::<4>().0.get(..self.data_words()).unwrap_or_default();
        let mut tile = [[0; 2]; TILE];
        let mut group = Group { index: 0, kind: 0, place: 0, offsets: Offsets::of_kind(self, 0, 0) };
        let mut first = 0;
        while let Some(bytes) = data.get(first..).filter(|bytes| !bytes.is_empty()) {
            // Whole groups, or of a large group as much as fits: every cut costs as much as several columns.
            let room = if rows <= TILE { TILE / rows * rows } else { TILE.min(rows - group.place) };
            let bytes = bytes.get(..room).unwrap_or(bytes);
            gather(self, first, bytes, &mut tile);
            let mut rest = tile.get_mut(..bytes.len()).unwrap_or_default();
            while !rest.is_empty() {
                let (columns, more) = rest.split_at_mut(rest.len().min(rows - group.place));
                spread(columns, group.offsets.as_slice(), cells.get(group.place..).unwrap_or_default());
                group.advance(self, columns.len());
                rest = more;
            }
            first += bytes.len();
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

/// A data column at work: its word, and the hash word whose bits are the next rotations.
type Column = [u32; 2];

/// Gathers columns from `first` on, an even number, whose words are in `bytes`.
#[inline]
fn gather(code: &Code, first: usize, bytes: &[[u8; 4]], tile: &mut [Column; TILE]) {
    let stored = code.hashes.get(first..).unwrap_or_default();
    if cfg!(feature = "full-decoder") && !stored.is_empty() {
        for ((column, bytes), hash) in tile.iter_mut().zip(bytes).zip(stored) {
            *column = [u32::from_le_bytes(*bytes), *hash];
        }
        return;
    }
    // A seed byte serves two columns.
    let seeds = code.data_seeds.get(first / 2..).unwrap_or_default();
    let pairs = tile.as_chunks_mut::<2>().0.iter_mut().zip(bytes.as_chunks::<2>().0);
    let mut start = code.salt ^ (first as u32) << 8;
    for (([left, right], bytes), seeds) in pairs.zip(seeds) {
        let [left_word, right_word] = bytes.map(u32::from_le_bytes);
        let seeds = u32::from(*seeds);
        *left = [left_word, mix(start ^ seeds & 15)];
        *right = [right_word, mix(start ^ 0x100 ^ seeds >> 4)];
        // The bits above are those of the column number, which the salt may have changed: hence the detour.
        start = code.salt ^ (start ^ code.salt).wrapping_add(0x200);
    }
}

/// Adds columns of one group to the sums of their rows: the offsets, counted from the start of `sums`, plus the place
/// among the columns.
#[inline]
fn spread(columns: &mut [Column], offsets: &[u8], sums: &[Cell<u32>]) {
    let count = columns.len();
    let mut rest = offsets;
    loop {
        let (six, more) = rest.split_at_checked(SHIFTS).unwrap_or((rest, &[]));
        // With more rows at once a word is fetched less often, but few processors have registers for more than four.
        let mut skip = 0;
        let mut left = six;
        if cfg!(feature = "full-decoder")
            && let [a, b, c, d] = *six
        {
            let Some(windows) = windows(sums, [a, b, c, d], count) else { return };
            spread_four(columns, windows);
            left = &[];
        }
        while let [a, b, c, after @ ..] = left {
            let Some(windows) = windows(sums, [*a, *b, *c], count) else { return };
            spread_three(columns, skip, windows);
            skip += 3 * SHIFT_BITS;
            left = after;
        }
        while let [a, after @ ..] = left {
            let Some([window]) = windows(sums, [*a], count) else { return };
            for ([word, hash], sum) in columns.iter().zip(window) {
                add_turned(sum, *word, hash >> skip);
            }
            skip += SHIFT_BITS;
            left = after;
        }
        if more.is_empty() {
            return;
        }
        rest = more;
        columns.iter_mut().for_each(|[_, hash]| *hash = mix_next(*hash));
    }
}

/// The sums from each of these offsets on, as many as there are columns.
#[cfg_attr(feature = "full-decoder", inline(always))]
fn windows<const ROWS: usize>(sums: &[Cell<u32>], offsets: [u8; ROWS], count: usize) -> Option<[&[Cell<u32>]; ROWS]> {
    let mut windows = [sums; ROWS];
    for (window, offset) in windows.iter_mut().zip(offsets) {
        *window = sums.get(usize::from(offset)..)?.get(..count)?;
    }
    Some(windows)
}

/// Adds columns to the sums of three rows each, whose rotations are in their hashes from bit `skip` on.
#[cfg_attr(feature = "full-decoder", inline(always))]
fn spread_three(columns: &[Column], skip: u32, [a, b, c]: [&[Cell<u32>]; 3]) {
    for ((([word, hash], a), b), c) in columns.iter().zip(a).zip(b).zip(c) {
        let bits = hash >> skip;
        add_turned(a, *word, bits);
        add_turned(b, *word, bits >> SHIFT_BITS);
        add_turned(c, *word, bits >> (2 * SHIFT_BITS));
    }
}

/// [`spread_three`] for four rows, from the first bit on.
#[inline(always)]
fn spread_four(columns: &[Column], [a, b, c, d]: [&[Cell<u32>]; 4]) {
    for (((([word, bits], a), b), c), d) in columns.iter().zip(a).zip(b).zip(c).zip(d) {
        add_turned(a, *word, *bits);
        add_turned(b, *word, bits >> SHIFT_BITS);
        add_turned(c, *word, bits >> (2 * SHIFT_BITS));
        add_turned(d, *word, bits >> (3 * SHIFT_BITS));
    }
}

/// Adds a word, rotated by the low bits of `bits`, to a sum. Windows on the sums overlap, hence the cells.
#[inline(always)]
fn add_turned(sum: &Cell<u32>, word: u32, bits: u32) {
    sum.set(sum.get() ^ word.rotate_right(bits & 31));
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
