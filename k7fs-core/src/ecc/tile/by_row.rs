//! Row by row: for processors with vectors, which do the same to several columns at once.

use super::super::graph::SUM_WORDS;
use super::{Rows, SHIFT_BITS, Word};

/// Adds columns to up to six rows, whose rotations are in the hash words.
pub(super) fn spread<T: Word>(words: &[T], hashes: &[u32], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS]) {
    let (words, hashes) = (words.as_chunks::<2>().0, hashes.as_chunks::<2>().0);
    let mut skip = 0;
    for offset in rows.offsets {
        let window = sums[rows.start(*offset)..].as_chunks_mut::<2>().0;
        for (([first, second], [first_bits, second_bits]), sums) in words.iter().zip(hashes).zip(window) {
            sums[0] ^= first.value().rotate_right((first_bits >> skip) & 31);
            sums[1] ^= second.value().rotate_right((second_bits >> skip) & 31);
        }
        skip += SHIFT_BITS;
    }
}
