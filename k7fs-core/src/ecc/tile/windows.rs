//! A column added to several rows: for processors that do one thing at a time.
//!
//! A word and its hash are loaded once for all of these rows. The windows overlap, hence cells.

use core::cell::Cell;

use super::super::graph::{FEW_SUM_WORDS, SUM_WORDS};
use super::{Columns, LOADS_ANYWHERE, SHIFT_BITS, Word};

/// Adds columns to up to six rows, whose rotations are in the hash words.
pub(super) fn spread<T: Word>(columns: &Columns<'_, T>, offsets: &[u8], sums: &mut [u32]) {
    let sums = Cell::from_mut(sums).as_slice_of_cells();
    // With sizes that the compiler knows no window needs a check.
    if let Ok(sums) = <&[_; FEW_SUM_WORDS]>::try_from(sums) {
        spread_in(columns, offsets, sums);
    } else if let Ok(sums) = <&[_; SUM_WORDS]>::try_from(sums) {
        spread_in(columns, offsets, sums);
    }
}

#[inline(always)]
fn spread_in<T: Word, const SUMS: usize>(columns: &Columns<'_, T>, offsets: &[u8], sums: &[Cell<u32>; SUMS]) {
    match offsets.len() {
        1 => spread_rows::<1, _, _>(columns, offsets, sums),
        2 => spread_rows::<2, _, _>(columns, offsets, sums),
        3 => spread_rows::<3, _, _>(columns, offsets, sums),
        4 => spread_rows::<4, _, _>(columns, offsets, sums),
        5 => spread_rows::<5, _, _>(columns, offsets, sums),
        6 => spread_rows::<6, _, _>(columns, offsets, sums),
        _ => {}
    }
}

/// Adds columns to the sums of so many rows each.
///
/// Never inlined: among other loops there would not be registers for all windows.
#[inline(never)]
fn spread_rows<const ROWS: usize, T: Word, const SUMS: usize>(
    columns: &Columns<'_, T>, offsets: &[u8], sums: &[Cell<u32>; SUMS],
) {
    // A window of half the sums, from anywhere in the other half, needs no check.
    let count = columns.words.len().min(SUMS / 2);
    let (Some(words), Some(hashes)) = (columns.words.get(..count), columns.hashes.get(..count)) else { return };
    let Some(offsets) = offsets.first_chunk::<ROWS>() else { return };
    let starts = offsets.map(|offset| columns.start(offset) % (SUMS / 2));
    for index in 0..count {
        let (Some(word), Some(bits)) = (words.get(index), hashes.get(index)) else { return };
        let (word, mut bits) = (word.value(), *bits);
        for start in starts {
            let sum = &sums[start + index % (SUMS / 2)];
            sum.set(sum.get() ^ word.rotate_right(bits & 31));
            bits >>= SHIFT_BITS;
        }
        // Two columns at a time would take one addition more for each row and column, as addresses have no room for both an
        // index and a constant; ARMv6-M has other worries.
        if LOADS_ANYWHERE {
            core::hint::black_box(());
        }
    }
}
