//! Two columns at once, added to several rows each: for processors that do one thing at a time.
//!
//! A word and its hash are loaded once for all of these rows. The windows overlap, hence cells.

use core::cell::Cell;

use super::super::graph::{SPARE, SUM_WORDS};
use super::{Rows, SHIFT_BITS, Word};

/// Adds columns to up to six rows, whose rotations are in the hash words.
#[cfg(feature = "full-decoder")]
pub(super) fn spread<T: Word>(words: &[T], hashes: &[u32], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS]) {
    let start = |offset| rows.start(offset);
    let Some(sums) = Cell::from_mut(&mut sums[..]).as_slice_of_cells().first_chunk() else { return };
    match *rows.offsets {
        [a, b, c, d, e, f] => spread_rows(words, hashes, 0, [a, b, c, d, e, f].map(start), sums),
        [a, b, c, d, e] => spread_rows(words, hashes, 0, [a, b, c, d, e].map(start), sums),
        [a, b, c, d] => spread_rows(words, hashes, 0, [a, b, c, d].map(start), sums),
        [a, b, c] => spread_rows(words, hashes, 0, [a, b, c].map(start), sums),
        [a, b] => spread_rows(words, hashes, 0, [a, b].map(start), sums),
        [a] => spread_rows(words, hashes, 0, [a].map(start), sums),
        _ => {}
    }
}

/// Adds columns to up to six rows, whose rotations are in the hash words. Two rows at a time: small parts have neither
/// registers nor memory for more.
#[cfg(not(feature = "full-decoder"))]
pub(super) fn spread<T: Word>(words: &[T], hashes: &[u32], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS]) {
    let Some(sums) = Cell::from_mut(&mut sums[..]).as_slice_of_cells().first_chunk() else { return };
    let (pairs, last) = rows.offsets.as_chunks::<2>();
    let mut skip = 0;
    for pair in pairs {
        spread_rows(words, hashes, skip, pair.map(|offset| rows.start(offset)), sums);
        skip += 2 * SHIFT_BITS;
    }
    if let [last] = last {
        spread_rows(words, hashes, skip, [rows.start(*last)], sums);
    }
}

/// Adds columns to the sums of so many rows each, from these on, whose rotations are in the hash words from bit `skip` on.
///
/// Never inlined: among other loops there would not be registers for all windows.
#[inline(never)]
fn spread_rows<const ROWS: usize, T: Word>(
    words: &[T], hashes: &[u32], skip: u32, starts: [usize; ROWS], sums: &[Cell<u32>; SUM_WORDS],
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
