//! The check sums of a page, and the parity that makes them zero: all arithmetic of encoder and syndrome check.
//!
//! Nothing here branches on what the page holds.

use super::graph::{Code, GAP};
use super::source::PARITY_WEIGHT;
use super::tile::{Group, Tile};

impl Code {
    /// Words of the array in which this code's check sums are gathered: twice the block rows.
    pub fn sum_words(&self) -> usize {
        2 * usize::from(self.shape.parity_words)
    }

    /// Adds the check sums of the data columns to `sums`, whose first `parity_words` words hold them afterwards. There are
    /// [`Self::sum_words`] of them at least, zero beyond those.
    ///
    /// The mark bytes count as ones, whatever the page holds.
    pub fn add_data(&self, page: &[u8], sums: &mut [u32]) {
        let rows = usize::from(self.shape.parity_words).max(1);
        let data = page.as_chunks::<4>().0.get(..self.data_words()).unwrap_or_default();
        let mut tile = Tile::EMPTY;
        let mut kind = 0;
        let mut offsets = self.offsets;
        let mut column = 0;
        let mut stored = self.hashes.chunks(rows);
        for group in data.chunks(rows) {
            let Some(weight) = self.shape.weights.get(kind) else { return };
            kind = if kind + 1 < self.shape.weights.len() { kind + 1 } else { 0 };
            let (own, rest) = offsets.split_at_checked(usize::from(*weight)).unwrap_or_default();
            offsets = rest;
            let group = Group { words: group, stored: stored.next().unwrap_or_default(), offsets: own };
            tile.add_group(self, column, &group, sums);
            column += rows;
        }
        // Offset and place were added without wrapping: fold the upper half onto the rows.
        let Some((lower, upper)) = sums.split_at_mut_checked(rows) else { return };
        for (sum, more) in lower.iter_mut().zip(upper) {
            *sum ^= core::mem::take(more);
        }
        self.complete_mark(page, lower);
    }

    /// The mark was added as stored: adds what it lacks.
    fn complete_mark(&self, page: &[u8], sums: &mut [u32]) {
        let mark = usize::from(self.shape.mark_word);
        if let Some(bytes) = page.as_chunks::<4>().0.get(mark) {
            let missing = !u32::from_le_bytes(*bytes) & 0xFFFF;
            for edge in self.edges_at(mark).as_slice() {
                add(sums, edge.row, missing.rotate_right(u32::from(edge.shift)));
            }
        }
    }

    /// Adds the check sums of the stored parity to `sums`.
    pub fn add_parity(&self, page: &[u8], sums: &mut [u32]) {
        let words = page.as_chunks::<4>().0.get(self.data_words()..).unwrap_or_default();
        let diagonal = usize::from(self.shape.parity_words).saturating_sub(GAP);
        for (sum, bytes) in sums.iter_mut().zip(words.iter().take(diagonal)) {
            *sum ^= u32::from_le_bytes(*bytes);
        }
        let (threes, last) = self.parity.as_chunks();
        for (edges, bytes) in threes.iter().zip(words) {
            add_edges::<PARITY_WEIGHT>(edges, u32::from_le_bytes(*bytes), sums);
        }
        // The last column has one edge more.
        if let ([edge], [.., bytes]) = (last, words) {
            add_edges(&[*edge], u32::from_le_bytes(*bytes), sums);
        }
    }

    /// Replaces the sums of the data columns by the parity words that cancel them.
    pub fn solve_parity(&self, sums: &mut [u32]) {
        let rows = usize::from(self.shape.parity_words);
        let first_gap = rows.saturating_sub(GAP);
        let (threes, last) = self.parity.as_chunks();
        let (triangle, gap_edges) = threes.split_at_checked(first_gap).unwrap_or_default();
        let Some((sums, trial)) = sums.split_at_mut_checked(rows) else { return };
        // What would be left in the last rows, were the gap's words zero, tells those words.
        let Some(trial) = trial.get_mut(..rows) else { return };
        trial.copy_from_slice(sums);
        substitute(triangle, trial);
        let mut gap = [0u32; GAP];
        let [a, b, c, d, e, f, g, h, i] = self.shape.gap_inverse;
        for (factors, left) in [[a, d, g], [b, e, h], [c, f, i]].into_iter().zip(trial.iter().skip(first_gap)) {
            add_products(factors, *left, &mut gap);
        }
        for (edges, word) in gap_edges.iter().zip(gap) {
            add_edges::<PARITY_WEIGHT>(edges, word, sums);
        }
        if let [edge] = last {
            add_edges(&[*edge], gap[GAP - 1], sums);
        }
        substitute(triangle, sums);
        for (sum, word) in sums.iter_mut().skip(first_gap).zip(gap) {
            *sum = word;
        }
    }
}

/// Forward substitution: turns all but the last sums into parity words.
///
/// The diagonal is not among the edges: it would cancel the sum in whose place the parity word then stays.
fn substitute(triangle: &[[u16; PARITY_WEIGHT]], sums: &mut [u32]) {
    for (index, edges) in triangle.iter().enumerate() {
        let Some(word) = sums.get(index) else { return };
        add_edges(edges, *word, sums);
    }
}

/// Adds a word to the sums that these edges, packed as in [`Code::parity`], lead to.
#[inline(always)]
fn add_edges<const COUNT: usize>(edges: &[u16; COUNT], word: u32, sums: &mut [u32]) {
    for edge in edges {
        add(sums, (edge >> 8) as u8, word.rotate_right(u32::from(edge & 31)));
    }
}

/// Adds to the sum of a row.
#[inline(always)]
fn add(sums: &mut [u32], row: u8, word: u32) {
    if let Some(sum) = sums.get_mut(usize::from(row)) {
        *sum ^= word;
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
