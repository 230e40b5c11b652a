//! Two columns at once, added to several rows each: for processors that do one thing at a time.
//!
//! A word and its hash are loaded once for all of these rows. The windows overlap, hence cells.

use core::cell::Cell;

#[cfg(feature = "full-decoder")]
use super::super::graph::SPARE;
use super::super::graph::SUM_WORDS;
use super::{Rows, SHIFT_BITS, Word};

/// Adds columns to up to six rows, whose rotations are in the hash words.
#[cfg(feature = "full-decoder")]
pub(super) fn spread<T: Word>(words: &[T], hashes: &[u32], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS]) {
    let start = |offset| rows.start(offset);
    let Some(sums) = Cell::from_mut(&mut sums[..]).as_slice_of_cells().first_chunk() else { return };
    match *rows.offsets {
        [a, b, c, d, e, f] => spread_rows(words, hashes, [a, b, c, d, e, f].map(start), sums),
        [a, b, c, d, e] => spread_rows(words, hashes, [a, b, c, d, e].map(start), sums),
        [a, b, c, d] => spread_rows(words, hashes, [a, b, c, d].map(start), sums),
        [a, b, c] => spread_rows(words, hashes, [a, b, c].map(start), sums),
        [a, b] => spread_rows(words, hashes, [a, b].map(start), sums),
        [a] => spread_rows(words, hashes, [a].map(start), sums),
        _ => {}
    }
}

/// Adds columns to up to six rows, whose rotations are in the hash words. Two rows at a time: small parts have neither
/// registers nor memory for more.
#[cfg(not(feature = "full-decoder"))]
pub(super) fn spread<T: Word>(words: &[T], hashes: &[u32], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS]) {
    let Some(sums) = Cell::from_mut(&mut sums[..]).as_slice_of_cells().first_chunk() else { return };
    let mut skip = 0;
    for pair in rows.offsets.chunks(2) {
        match *pair {
            [one, two] => spread_two(words, hashes, skip, [rows.start(one), rows.start(two)], sums),
            [one] => spread_one(words, hashes, skip, rows.start(one), sums),
            _ => {}
        }
        skip += 2 * SHIFT_BITS;
    }
}

/// Adds columns to the sums of two rows each, from these on, whose rotations are in the hash words from bit `skip` on. A plain
/// loop: such builds are often optimised for size, and nothing here has to be optimised away.
#[cfg(not(feature = "full-decoder"))]
#[inline(never)]
fn spread_two<T: Word>(words: &[T], hashes: &[u32], skip: u32, [one, two]: [usize; 2], sums: &[Cell<u32>; SUM_WORDS]) {
    for (index, (word, bits)) in words.iter().zip(hashes).enumerate() {
        let (word, bits) = (word.value(), bits >> skip);
        let (one, two) = (&sums[(one + index) % SUM_WORDS], &sums[(two + index) % SUM_WORDS]);
        // Both may be the same sum.
        one.set(one.get() ^ word.rotate_right(bits & 31));
        two.set(two.get() ^ word.rotate_right(bits >> SHIFT_BITS & 31));
    }
}

/// The same with one row, the last.
#[cfg(not(feature = "full-decoder"))]
#[inline(never)]
fn spread_one<T: Word>(words: &[T], hashes: &[u32], skip: u32, start: usize, sums: &[Cell<u32>; SUM_WORDS]) {
    for (index, (word, bits)) in words.iter().zip(hashes).enumerate() {
        let sum = &sums[(start + index) % SUM_WORDS];
        sum.set(sum.get() ^ word.value().rotate_right(bits >> skip & 31));
    }
}

/// Adds columns to the sums of so many rows each, from these on.
///
/// Never inlined: among other loops there would not be registers for all windows.
#[cfg(feature = "full-decoder")]
#[inline(never)]
fn spread_rows<const ROWS: usize, T: Word>(
    words: &[T], hashes: &[u32], starts: [usize; ROWS], sums: &[Cell<u32>; SUM_WORDS],
) {
    // The rest of the sums is no shorter than half of them, so with this bound no window needs a check.
    let count = (words.len() / 2).min(SPARE / 2);
    let (Some(words), Some(hashes)) = (words.as_chunks::<2>().0.get(..count), hashes.as_chunks::<2>().0.get(..count))
    else {
        return;
    };
    let mut windows = [&[] as &[[Cell<u32>; 2]]; ROWS];
    for (window, start) in windows.iter_mut().zip(starts) {
        let Some(rows) = sums[start % SPARE..].as_chunks::<2>().0.get(..count) else { return };
        *window = rows;
    }
    for index in 0..count {
        let (Some([first, second]), Some(bits)) = (words.get(index), hashes.get(index)) else { return };
        let [mut first_bits, mut second_bits] = *bits;
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
