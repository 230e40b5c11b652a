//! Neighbouring data columns of one group, added to the check sums: the inner loops of encoder and check.
//!
//! Column after column meets row after row, so the columns of a group are added to as many windows of the sums as each
//! of them has edges. There are several ways to do that, and which is fastest depends on the processor's registers.

#[cfg(any(test, target_pointer_width = "64"))]
mod by_row;
#[cfg(any(test, not(any(target_pointer_width = "64", feature = "fast-codes"))))]
mod in_twos;
#[cfg(any(test, all(feature = "fast-codes", not(target_pointer_width = "64"))))]
mod windows;

#[cfg(target_pointer_width = "64")]
use by_row::spread;
#[cfg(not(any(target_pointer_width = "64", feature = "fast-codes")))]
use in_twos::spread;
#[cfg(all(feature = "fast-codes", not(target_pointer_width = "64")))]
use windows::spread;

use super::graph::Code;
#[cfg(not(feature = "fast-codes"))]
use super::source::data_hash;
use super::source::mix_next;

/// Most columns that are added at once; an even number. Up to eight bytes each on the stack, of which small parts have little.
const TILE: usize = if cfg!(feature = "fast-codes") { 32 } else { 16 };
/// Rotations in a hash word.
const SHIFTS: usize = 6;
/// Bits of a rotation.
const SHIFT_BITS: u32 = 5;
/// Whether a word is loaded at once wherever it lies. Others take four loads and as many shifts, once for all rows.
/// ARMv6-M, which cannot, is told by its lack of atomics.
const LOADS_ANYWHERE: bool =
    cfg!(any(target_pointer_width = "64", all(target_arch = "arm", target_has_atomic = "ptr")));
/// Columns whose words are copied.
const COPIED: usize = if LOADS_ANYWHERE { 0 } else { TILE };

/// Neighbouring columns of one group.
#[derive(Clone, Copy)]
struct Columns<'a, T> {
    words: &'a [T],
    /// A word for each of them, whose bits are the rotations.
    hashes: &'a [u32],
    /// How far into the group they start.
    place: usize,
}

impl<T> Columns<'_, T> {
    /// Where the window of the row with this offset starts. It may run on into the upper half of the sums.
    #[inline(always)]
    fn start(&self, offset: u8) -> usize {
        usize::from(offset) + self.place
    }
}

/// Columns that meet rows in the same order.
pub(super) struct Group<'a> {
    /// Their words as they are in the page.
    pub(super) words: &'a [[u8; 4]],
    /// Their first hash words, or nothing where those are worked out.
    pub(super) stored: &'a [u32],
    /// The rows of the first column; with each column after it they move on by one.
    pub(super) offsets: &'a [u8],
}

/// What is worked out about columns.
pub(super) struct Tile {
    /// The page's words where they can be loaded at once.
    words: [u32; COPIED],
    /// The words whose bits are the next rotations.
    hashes: [u32; TILE],
}

impl Tile {
    pub(super) const EMPTY: Self = Self { words: [0; COPIED], hashes: [0; TILE] };

    /// Adds the columns of a group, which start with `column`, to the sums of their rows.
    #[inline(always)]
    pub(super) fn add_group(&mut self, code: &Code, column: usize, group: &Group<'_>, sums: &mut [u32]) {
        if LOADS_ANYWHERE {
            let columns = Columns { words: group.words, hashes: group.stored, place: 0 };
            return add(code, column, &columns, &mut self.hashes, group.offsets, sums);
        }
        let mut stored = group.stored.chunks(TILE);
        for (index, bytes) in group.words.chunks(TILE).enumerate() {
            let words = self.words.get_mut(..bytes.len()).unwrap_or_default();
            copy(bytes, words);
            let place = index * TILE;
            let columns = Columns { words, hashes: stored.next().unwrap_or_default(), place };
            add(code, column + place, &columns, &mut self.hashes, group.offsets, sums);
        }
    }
}

/// Not inlined: on its own the compiler sees that this is a copy.
#[inline(never)]
fn copy(bytes: &[[u8; 4]], words: &mut [u32]) {
    for (word, bytes) in words.iter_mut().zip(bytes) {
        *word = u32::from_le_bytes(*bytes);
    }
}

/// Adds columns, whose hash words are stored, to the sums of their rows.
#[cfg(feature = "fast-codes")]
#[inline(always)]
fn add<T: Word>(
    _: &Code, _: usize, columns: &Columns<'_, T>, hashes: &mut [u32; TILE], offsets: &[u8], sums: &mut [u32],
) {
    match offsets.split_at_checked(SHIFTS) {
        None => spread(columns, offsets, sums),
        Some((first, more)) => {
            spread(columns, first, sums);
            add_more(columns, hashes, more, sums);
        }
    }
}

/// Adds columns to the rows beyond the first six.
#[cfg(feature = "fast-codes")]
#[inline(never)]
fn add_more<T: Word>(columns: &Columns<'_, T>, hashes: &mut [u32; TILE], offsets: &[u8], sums: &mut [u32]) {
    for (index, (words, stored)) in columns.words.chunks(TILE).zip(columns.hashes.chunks(TILE)).enumerate() {
        let place = columns.place + index * TILE;
        let hashes = hashes.get_mut(..stored.len()).unwrap_or_default();
        hashes.copy_from_slice(stored);
        for six in offsets.chunks(SHIFTS) {
            hashes.iter_mut().for_each(|hash| *hash = mix_next(*hash));
            spread(&Columns { words, hashes, place }, six, sums);
        }
    }
}

/// Adds columns from `column` on, an even number, to the sums of their rows. Their hash words are worked out.
#[cfg(not(feature = "fast-codes"))]
#[inline(always)]
fn add<T: Word>(
    code: &Code, column: usize, columns: &Columns<'_, T>, hashes: &mut [u32; TILE], offsets: &[u8], sums: &mut [u32],
) {
    let hashes = hashes.get_mut(..columns.words.len()).unwrap_or_default();
    hash(code, column, hashes);
    for (index, six) in offsets.chunks(SHIFTS).enumerate() {
        if index > 0 {
            hashes.iter_mut().for_each(|hash| *hash = mix_next(*hash));
        }
        spread(&Columns { hashes, ..*columns }, six, sums);
    }
}

/// Works out the first hash words of columns from `column` on, an even number.
#[cfg(not(feature = "fast-codes"))]
fn hash(code: &Code, column: usize, hashes: &mut [u32]) {
    // A seed byte serves two columns.
    let seeds = code.data_seeds.get(column / 2..).unwrap_or_default();
    for (index, (pair, seeds)) in hashes.as_chunks_mut::<2>().0.iter_mut().zip(seeds).enumerate() {
        let seeds = u32::from(*seeds);
        let column = column + 2 * index;
        *pair = [data_hash(code.shape.salt, column, seeds & 15), data_hash(code.shape.salt, column + 1, seeds >> 4)];
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
    use super::super::graph::SUM_WORDS;
    use super::*;

    #[test]
    fn all_ways_add_the_same() {
        let mut state = 1;
        let mut random = || {
            state = mix_next(state);
            state
        };
        for weight in 0..=SHIFTS {
            let words: [[u8; 4]; 16] = core::array::from_fn(|_| random().to_le_bytes());
            let hashes: [u32; 16] = core::array::from_fn(|_| random());
            let offsets: [u8; SHIFTS] = core::array::from_fn(|_| random() as u8 % 16);
            let (columns, offsets) = (Columns { words: &words, hashes: &hashes, place: 4 }, &offsets[..weight]);
            let mut expected = [0; SUM_WORDS];
            for (index, offset) in offsets.iter().enumerate() {
                for column in 0..16 {
                    let word = u32::from_le_bytes(words[column]);
                    expected[4 + usize::from(*offset) + column] ^=
                        word.rotate_right(hashes[column] >> (5 * index) & 31);
                }
            }
            let mut sums = [[0; SUM_WORDS]; 3];
            let [one, two, three] = &mut sums;
            by_row::spread(&columns, offsets, one);
            in_twos::spread(&columns, offsets, two);
            windows::spread(&columns, offsets, three);
            assert_eq!(sums, [expected; 3], "{weight}");
        }
    }
}
