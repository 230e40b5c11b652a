//! Neighbouring data columns of one group, added to the check sums: the inner loops of encoder and check.
//!
//! Column after column meets row after row, so the columns of a group are added to as many windows of the sums as each
//! of them has edges. There are two ways to do that, and which is faster depends on the processor's registers.

#[cfg(any(test, target_pointer_width = "64"))]
mod by_row;
#[cfg(any(test, not(target_pointer_width = "64")))]
mod windows;

#[cfg(target_pointer_width = "64")]
use by_row::spread;
#[cfg(not(target_pointer_width = "64"))]
use windows::spread;

use super::graph::{Code, SPARE, SUM_WORDS};
#[cfg(not(feature = "full-decoder"))]
use super::source::data_hash;
use super::source::mix_next;

/// Most columns that are added at once; an even number. Without the whole decoder eight bytes each on the stack, of which
/// small parts have little.
pub(super) const TILE: usize = if cfg!(feature = "full-decoder") { SPARE } else { 16 };
/// Rotations in a hash word.
const SHIFTS: usize = 6;
/// Bits of a rotation.
const SHIFT_BITS: u32 = 5;

/// The rows that neighbouring columns of one group meet.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// The rows of the group's first column.
    pub(super) offsets: &'a [u8],
    /// How far into the group the columns start.
    pub(super) place: usize,
    /// All rows of the code.
    pub(super) count: usize,
}

impl Rows<'_> {
    /// Where the window with this offset starts, in the lower half of the sums. It may run on into the upper half.
    #[inline(always)]
    fn start(&self, offset: u8) -> usize {
        let start = usize::from(offset) + self.place;
        // Where a tile holds any group, columns always start at its first place.
        (if TILE < SPARE && start >= self.count { start - self.count } else { start }) % SPARE
    }
}

/// What is worked out about columns.
pub(super) struct Tile {
    /// The page's words where they can be loaded at once: it may lie at any address.
    #[cfg(not(feature = "full-decoder"))]
    words: [u32; TILE],
    /// The words whose bits are the next rotations.
    hashes: [u32; TILE],
}

impl Tile {
    pub(super) const EMPTY: Self = Self {
        #[cfg(not(feature = "full-decoder"))]
        words: [0; TILE],
        hashes: [0; TILE],
    };

    /// Adds columns from `column` on, whose words are in `bytes`, to the sums of their rows.
    #[cfg(feature = "full-decoder")]
    pub(super) fn add(
        &mut self, code: &Code, column: usize, bytes: &[[u8; 4]], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS],
    ) {
        let stored = code.hashes.get(column..).and_then(|stored| stored.get(..bytes.len())).unwrap_or_default();
        let hashes = self.hashes.get_mut(..stored.len()).unwrap_or_default();
        let (six, more) = rows.offsets.split_at_checked(SHIFTS).unwrap_or((rows.offsets, &[]));
        spread(bytes, stored, Rows { offsets: six, ..rows }, sums);
        if !more.is_empty() {
            for (hash, stored) in hashes.iter_mut().zip(stored) {
                *hash = mix_next(*stored);
            }
            add_all(bytes, hashes, Rows { offsets: more, ..rows }, sums);
        }
    }

    /// Adds columns from `column` on, an even number, whose words are in `bytes`, to the sums of their rows.
    #[cfg(not(feature = "full-decoder"))]
    pub(super) fn add(
        &mut self, code: &Code, column: usize, bytes: &[[u8; 4]], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS],
    ) {
        let words = self.words.get_mut(..bytes.len()).unwrap_or_default();
        for (word, bytes) in words.iter_mut().zip(bytes) {
            *word = u32::from_le_bytes(*bytes);
        }
        let hashes = self.hashes.get_mut(..bytes.len()).unwrap_or_default();
        hash(code, column, hashes);
        add_all(words, hashes, rows, sums);
    }
}

/// Works out the first hash words of columns from `column` on, an even number.
#[cfg(not(feature = "full-decoder"))]
fn hash(code: &Code, column: usize, hashes: &mut [u32]) {
    // A seed byte serves two columns.
    let seeds = code.data_seeds.get(column / 2..).unwrap_or_default();
    for (index, (pair, seeds)) in hashes.as_chunks_mut::<2>().0.iter_mut().zip(seeds).enumerate() {
        let seeds = u32::from(*seeds);
        let column = column + 2 * index;
        *pair = [data_hash(code.shape.salt, column, seeds & 15), data_hash(code.shape.salt, column + 1, seeds >> 4)];
    }
}

/// Adds columns to any number of rows. The hash words end up as those of the last six.
#[inline(always)]
fn add_all<T: Word>(words: &[T], hashes: &mut [u32], rows: Rows<'_>, sums: &mut [u32; SUM_WORDS]) {
    for (index, offsets) in rows.offsets.chunks(SHIFTS).enumerate() {
        if index > 0 {
            hashes.iter_mut().for_each(|hash| *hash = mix_next(*hash));
        }
        spread(words, hashes, Rows { offsets, ..rows }, sums);
    }
}

/// A word of the page, where it is or copied to where it can be loaded at once.
trait Word: Copy {
    fn value(self) -> u32;
}

impl Word for u32 {
    #[inline(always)]
    fn value(self) -> u32 {
        self
    }
}

impl Word for [u8; 4] {
    #[inline(always)]
    fn value(self) -> u32 {
        u32::from_le_bytes(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_add_the_same() {
        let mut state = 1;
        let mut random = || {
            state = mix_next(state);
            state
        };
        for weight in 0..=SHIFTS {
            let words: [[u8; 4]; 16] = core::array::from_fn(|_| random().to_le_bytes());
            let hashes: [u32; 16] = core::array::from_fn(|_| random());
            let offsets: [u8; SHIFTS] = core::array::from_fn(|_| random() as u8 % 16);
            let rows = Rows { offsets: &offsets[..weight], place: 0, count: 16 };
            let mut expected = [0; SUM_WORDS];
            for (index, offset) in rows.offsets.iter().enumerate() {
                for column in 0..16 {
                    let word = u32::from_le_bytes(words[column]);
                    expected[usize::from(*offset) + column] ^= word.rotate_right(hashes[column] >> (5 * index) & 31);
                }
            }
            let (mut one, mut other) = ([0; SUM_WORDS], [0; SUM_WORDS]);
            by_row::spread(&words, &hashes, rows, &mut one);
            windows::spread(&words, &hashes, rows, &mut other);
            assert_eq!((one, other), (expected, expected), "{weight}");
        }
    }
}
