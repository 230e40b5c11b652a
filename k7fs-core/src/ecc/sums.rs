//! The check sums of a page, and the parity that makes them zero: all arithmetic of encoder and syndrome check.
//!
//! Nothing here branches on what the page holds.

use super::graph::{Code, GAP, SPARE, SUM_WORDS};
use super::source::PARITY_WEIGHT;
use super::tile::{Rows, TILE, Tile};

impl Code {
    /// Adds the check sums of the data columns to `sums`, whose first `parity_words` words hold them afterwards.
    ///
    /// The mark bytes count as ones, whatever the page holds.
    pub fn add_data(&self, page: &[u8], sums: &mut [u32; SUM_WORDS]) {
        let rows = usize::from(self.shape.parity_words).max(1);
        let data = page.as_chunks::<4>().0.get(..self.data_words()).unwrap_or_default();
        let mut tile = Tile::EMPTY;
        let mut weights = self.shape.weights.iter().cycle();
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
        let mark = usize::from(self.shape.mark_word);
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
        let diagonal = usize::from(self.shape.parity_words).saturating_sub(GAP);
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
        let first_gap = usize::from(self.shape.parity_words).saturating_sub(GAP);
        let (threes, last) = self.parity.as_chunks();
        let (triangle, gap_edges) = threes.split_at_checked(first_gap).unwrap_or_default();
        let [sums, trial] = sums.as_chunks_mut::<SPARE>().0 else { return };
        // What would be left in the last rows, were the gap's words zero, tells those words.
        *trial = *sums;
        substitute(triangle, trial);
        let mut gap = [0u32; GAP];
        let [a, b, c, d, e, f, g, h, i] = self.shape.gap_inverse;
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
