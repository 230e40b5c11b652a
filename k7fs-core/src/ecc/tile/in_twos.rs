//! Two rows at a time, in plain loops: small parts have neither registers nor memory for more, and such builds are often
//! optimised for size, so nothing here has to be optimised away.

use core::cell::Cell;

use super::{Columns, SHIFT_BITS, Word};

/// Adds columns to up to six rows, whose rotations are in the hash words.
pub(super) fn spread<T: Word>(columns: &Columns<'_, T>, offsets: &[u8], sums: &mut [u32]) {
    let sums = Cell::from_mut(sums).as_slice_of_cells();
    let window = |offset| sums.get(columns.start(offset)..).unwrap_or_default();
    let mut skip = 0;
    for pair in offsets.chunks(2) {
        match *pair {
            [one, two] => spread_two(columns, skip, window(one), window(two)),
            [one] => spread_one(columns, skip, window(one)),
            _ => {}
        }
        skip += 2 * SHIFT_BITS;
    }
}

/// Adds columns to the sums of two rows each, whose rotations are in the hash words from bit `skip` on. The windows overlap,
/// hence cells.
#[inline(never)]
fn spread_two<T: Word>(columns: &Columns<'_, T>, skip: u32, one: &[Cell<u32>], two: &[Cell<u32>]) {
    for (index, word) in columns.words.iter().enumerate() {
        let (Some(bits), Some(one), Some(two)) = (columns.hashes.get(index), one.get(index), two.get(index)) else {
            return;
        };
        let (word, bits) = (word.value(), bits >> skip);
        // Both may be the same sum.
        one.set(one.get() ^ word.rotate_right(bits & 31));
        two.set(two.get() ^ word.rotate_right(bits >> SHIFT_BITS & 31));
    }
}

/// The same with one row, the last.
#[inline(never)]
fn spread_one<T: Word>(columns: &Columns<'_, T>, skip: u32, sums: &[Cell<u32>]) {
    for (index, word) in columns.words.iter().enumerate() {
        let (Some(bits), Some(sum)) = (columns.hashes.get(index), sums.get(index)) else { return };
        sum.set(sum.get() ^ word.value().rotate_right(bits >> skip & 31));
    }
}
