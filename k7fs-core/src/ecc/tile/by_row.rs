//! Row by row: for processors with vectors, which do the same to several columns at once.

use super::{Columns, SHIFT_BITS, Word};

/// Adds columns to up to six rows, whose rotations are in the hash words.
pub(super) fn spread<T: Word>(columns: &Columns<'_, T>, offsets: &[u8], sums: &mut [u32]) {
    let (words, hashes) = (columns.words.as_chunks::<2>().0, columns.hashes.as_chunks::<2>().0);
    let mut skip = 0;
    for offset in offsets {
        let window = sums.get_mut(columns.start(*offset)..).unwrap_or_default().as_chunks_mut::<2>().0;
        for (([first, second], [first_bits, second_bits]), sums) in words.iter().zip(hashes).zip(window) {
            sums[0] ^= first.value().rotate_right((first_bits >> skip) & 31);
            sums[1] ^= second.value().rotate_right((second_bits >> skip) & 31);
        }
        skip += SHIFT_BITS;
    }
}
