//! Codewords of low weight, which give a page code an error floor.
//!
//! When half of the bits of a light codeword are wrong, the other half explains the failed checks as well, and no decoder
//! can tell which it was without the checksum. A code of few parity bits may have such words in spite of few short cycles:
//! [`find_words`] shows whether it has.

use std::collections::{BTreeSet, HashSet};

use crate::ecc_search::{Edge, Found, Plan, data_edges, parity_edges};

/// Block rows of the largest code that can be searched.
const ROWS_MAX: usize = 16;
/// Bits of a circulant.
const SIZE: u32 = 32;
/// Bits in the heaviest words that are found.
pub const WORD_MAX: usize = 6;

/// Violated checks, row by row.
type Sums = [u32; ROWS_MAX];

/// A codeword: block column and bit of every one, ascending.
pub type Word = Vec<(usize, u32)>;

/// All columns of a code and the columns that meet each row.
struct Matrix {
    columns: Vec<Vec<Edge>>,
    rows: Vec<Vec<(usize, u32)>>,
}

impl Matrix {
    /// The matrix without columns heavier than `weight_max`.
    fn new(plan: &Plan, found: &Found, weight_max: usize) -> Self {
        let data = found.data_seeds.iter().enumerate().map(|(column, seed)| data_edges(plan, column, *seed));
        let parity = found.parity_seeds.iter().enumerate().map(|(index, seed)| parity_edges(plan, index, *seed));
        let columns: Vec<Vec<Edge>> = data.chain(parity).collect();
        let mut rows = vec![Vec::new(); plan.parity_words];
        for (column, edges) in columns.iter().enumerate().filter(|(_, edges)| edges.len() <= weight_max) {
            edges.iter().for_each(|(row, shift)| rows[*row].push((column, *shift)));
        }
        Self { columns, rows }
    }

    /// `sums` with bit `place` of `column` flipped.
    fn flipped(&self, sums: &Sums, column: usize, place: u32) -> Sums {
        let mut sums = *sums;
        for (row, shift) in &self.columns[column] {
            sums[*row % ROWS_MAX] ^= (1u32 << place).rotate_right(*shift);
        }
        sums
    }
}

/// The row and place of the first violated check.
fn first_violated(sums: &Sums) -> Option<(usize, u32)> {
    let row = sums.iter().position(|word| *word != 0)?;
    Some((row, sums[row].trailing_zeros()))
}

fn violated(sums: &Sums) -> u32 {
    sums.iter().map(|word| word.count_ones()).sum()
}

/// A hash of the sums after a rotation of all circulants, which brings check `place` to place 0.
fn key(sums: &Sums, place: u32) -> u64 {
    sums.iter().fold(0u64, |key, word| {
        let mixed = (key ^ u64::from(word.rotate_right(place))).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ mixed >> 29
    })
}

/// The sums of all single bits and of all pairs, up to a rotation.
struct Pairs {
    keys: HashSet<u64, Plain>,
    /// One bit for each value of some of the key's bits: nearly all that is not there is excluded by it.
    filter: Vec<u64>,
    /// The most checks that a pair violates.
    heaviest: u32,
}

/// The keys are hashes already.
#[derive(Clone, Default)]
struct Plain;

impl std::hash::BuildHasher for Plain {
    type Hasher = PlainHasher;

    fn build_hasher(&self) -> PlainHasher {
        PlainHasher(0)
    }
}

struct PlainHasher(u64);

impl std::hash::Hasher for PlainHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

const FILTER_BITS: u32 = 28;

impl Pairs {
    fn new(matrix: &Matrix, weight_max: usize) -> Self {
        let light: Vec<usize> = (0..matrix.columns.len()).filter(|c| matrix.columns[*c].len() <= weight_max).collect();
        let mut pairs = Self { keys: HashSet::default(), filter: vec![0; 1 << (FILTER_BITS - 6)], heaviest: 0 };
        pairs.keys.reserve(light.len() * light.len() * 24);
        for (index, &a) in light.iter().enumerate() {
            let sums = matrix.flipped(&[0; ROWS_MAX], a, 0);
            pairs.add(&sums);
            for &b in &light[..=index] {
                for place in u32::from(a == b)..SIZE {
                    pairs.add(&matrix.flipped(&sums, b, place));
                }
            }
        }
        pairs
    }

    /// Every check of the first row may be the one that a search looks at first.
    fn add(&mut self, sums: &Sums) {
        self.heaviest = self.heaviest.max(violated(sums));
        let Some((row, _)) = first_violated(sums) else { return };
        let mut places = sums[row];
        while places != 0 {
            let key = key(sums, places.trailing_zeros());
            places &= places - 1;
            self.keys.insert(key);
            let bit = key >> (64 - FILTER_BITS);
            self.filter[(bit >> 6) as usize] |= 1 << (bit & 63);
        }
    }

    fn has(&self, sums: &Sums) -> bool {
        let Some((_, place)) = first_violated(sums) else { return false };
        if violated(sums) > self.heaviest {
            return false;
        }
        let key = key(sums, place);
        let bit = key >> (64 - FILTER_BITS);
        self.filter[(bit >> 6) as usize] >> (bit & 63) & 1 == 1 && self.keys.contains(&key)
    }
}

/// All codewords of up to `bits_max` (at most [`WORD_MAX`]) ones in columns no heavier than `weight_max`, one of each 32
/// that are rotations of each other.
///
/// Exhaustive: a first bit, then in turn all bits that mend the first violated check, until the rest is the sum of two.
pub fn find_words(plan: &Plan, found: &Found, bits_max: usize, weight_max: usize) -> BTreeSet<Word> {
    let matrix = Matrix::new(plan, found, weight_max);
    let pairs = Pairs::new(&matrix, weight_max);
    let mut search =
        Search { matrix: &matrix, pairs: &pairs, bits_max: bits_max.min(WORD_MAX), words: BTreeSet::new() };
    for column in (0..matrix.columns.len()).filter(|column| matrix.columns[*column].len() <= weight_max) {
        let sums = matrix.flipped(&[0; ROWS_MAX], column, 0);
        search.extend(&sums, &mut vec![(column, 0)]);
    }
    search.words
}

struct Search<'a> {
    matrix: &'a Matrix,
    pairs: &'a Pairs,
    bits_max: usize,
    words: BTreeSet<Word>,
}

impl Search<'_> {
    /// Tries all bits at the first violated check, in columns not before the first bit's.
    fn extend(&mut self, sums: &Sums, bits: &mut Word) {
        if bits.len() > 2 && self.pairs.has(sums) {
            self.complete(sums, bits);
        }
        if bits.len() + 2 >= self.bits_max {
            return;
        }
        let matrix = self.matrix;
        let (Some((row, check)), Some(&(first, _))) = (first_violated(sums), bits.first()) else { return };
        for &(column, shift) in matrix.rows[row].iter().filter(|step| step.0 >= first) {
            let place = (check + shift) % SIZE;
            if bits.contains(&(column, place)) {
                continue;
            }
            let next = matrix.flipped(sums, column, place);
            bits.push((column, place));
            self.extend(&next, bits);
            bits.pop();
        }
    }

    /// Adds the words that these bits and two others make.
    fn complete(&mut self, sums: &Sums, bits: &Word) {
        let Some((row, check)) = first_violated(sums) else { return };
        for &(column, shift) in &self.matrix.rows[row] {
            let place = (check + shift) % SIZE;
            let one = self.matrix.flipped(sums, column, place);
            let Some((row, check)) = first_violated(&one) else {
                self.words.extend(canonical(bits.iter().copied().chain([(column, place)]).collect()));
                continue;
            };
            for &(last, shift) in &self.matrix.rows[row] {
                let end = (check + shift) % SIZE;
                if violated(&self.matrix.flipped(&one, last, end)) == 0 {
                    let mut word = bits.clone();
                    word.extend([(column, place), (last, end)]);
                    self.words.extend(canonical(word));
                }
            }
        }
    }
}

/// The least of the word's rotations, without bits that cancel; nothing if all do.
fn canonical(mut word: Word) -> Option<Word> {
    word.sort_unstable();
    let mut left = Word::new();
    for bit in word {
        if left.last() == Some(&bit) {
            left.pop();
        } else {
            left.push(bit);
        }
    }
    let rotated = |turn: u32| {
        let mut word: Word = left.iter().map(|(column, place)| (*column, (place + turn) % SIZE)).collect();
        word.sort_unstable();
        word
    };
    (0..SIZE).map(rotated).min().filter(|word| !word.is_empty())
}
