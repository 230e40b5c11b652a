//! What a search has found for one code, and the rules by which it stands for a parity-check matrix.
//!
//! Everything here runs in the compiler, or in the search. Section 12 of `FORMAT.md` states the same rules in prose.

use super::graph::{Code, GAP};

/// Value of [`Shape::mark_word`] for codes without factory-mark bytes.
pub const NO_MARK: u16 = u16::MAX;
/// Edges of a parity column beside the diagonal; the very last has one more.
pub(super) const PARITY_WEIGHT: usize = 3;

/// What of a code stays as it is when it is expanded.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// 32-bit words of the raw page.
    pub words: u16,
    /// Words of parity, at the end of the page; also the number of block rows.
    pub parity_words: u8,
    /// Edges of the heaviest block row.
    pub row_weight_max: u8,
    /// The word whose low two bytes are the factory mark, or [`NO_MARK`].
    pub mark_word: u16,
    /// Wrong bits of which the small decoder leaves at most about one page in a million unmended.
    pub safe_bits: u8,
    /// Chase trials on belief propagation take two to this power doubtful bits for wrong, one at a time.
    pub chase_log2: u8,
    /// Start value of all hashes.
    pub salt: u32,
    /// Column weight of each group of `parity_words` data columns, repeated.
    pub weights: &'static [u8],
    /// Inverse of the gap: row by row, bit `s` stands for a rotation by `s`.
    pub gap_inverse: [u32; GAP * GAP],
}

/// The constants that define one code.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// What the expanded code has as well.
    pub shape: Shape,
    /// Four bits for each data column, low half first.
    pub data_seeds: &'static [u8],
    /// Eight bits for each parity column.
    pub parity_seeds: &'static [u8],
}

/// A bijection of 32-bit words that leaves no visible pattern.
pub const fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7FEB_352D);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

/// The word of hash bits after `x`, for columns that need more than 30 bits.
pub(super) const fn mix_next(x: u32) -> u32 {
    mix(x ^ 0x9E37_79B9)
}

/// The first hash word of data column `column`.
#[inline(always)]
pub(super) const fn data_hash(salt: u32, column: usize, seed: u32) -> u32 {
    mix(salt ^ (column as u32) << 8 ^ seed)
}

impl Source {
    /// Block columns that hold data.
    pub const fn data_words(&self) -> usize {
        (self.shape.words - self.shape.parity_words as u16) as usize
    }

    /// The code with its tables, which are those that the other functions work out; `hashes` may be empty.
    pub const fn code(&self, offsets: &'static [u8], hashes: &'static [u32], parity: &'static [u16]) -> Code {
        Code {
            shape: self.shape,
            offsets,
            hashes,
            data_seeds: if hashes.is_empty() { self.data_seeds } else { &[] },
            parity,
        }
    }

    /// The weights of all groups of data columns together.
    pub const fn offset_count(&self) -> usize {
        let groups = self.data_words().div_ceil(self.shape.parity_words as usize);
        let (mut count, mut group) = (0, 0);
        while group < groups {
            count += self.shape.weights[group % self.shape.weights.len()] as usize;
            group += 1;
        }
        count
    }

    /// The rows of the first column of each group, group by group; `COUNT` is [`Self::offset_count`].
    ///
    /// The rows are cut into as many spans as the columns have edges, and one row is drawn from each span. With more
    /// edges than rows some spans are empty and their edge shares a cell with another.
    pub const fn offsets<const COUNT: usize>(&self) -> [u8; COUNT] {
        let mut offsets = [0; COUNT];
        self.put_offsets(&mut offsets);
        offsets
    }

    /// [`Self::offsets`] for a number that is not known at compile time.
    pub const fn put_offsets(&self, out: &mut [u8]) {
        let (mut group, mut done) = (0, 0);
        while done < out.len() {
            let weight = self.shape.weights[group % self.shape.weights.len()] as usize;
            let mut hash = mix(self.shape.salt ^ 0x8000_0000 ^ group as u32);
            let mut edge = 0;
            while edge < weight {
                let rows = self.shape.parity_words as usize;
                let (first, end) = (rows * edge / weight, rows * (edge + 1) / weight);
                let bits = (hash >> (edge % 4 * 8) & 255) as usize;
                out[done + edge] = (first + ((bits * (end - first)) >> 8)) as u8;
                edge += 1;
                if edge % 4 == 0 {
                    hash = mix_next(hash);
                }
            }
            done += weight;
            group += 1;
        }
    }

    /// The first hash words of the first `COUNT` data columns.
    pub const fn hashes<const COUNT: usize>(&self) -> [u32; COUNT] {
        let mut hashes = [0; COUNT];
        self.put_hashes(&mut hashes);
        hashes
    }

    /// [`Self::hashes`] for a number that is not known at compile time.
    pub const fn put_hashes(&self, out: &mut [u32]) {
        let mut column = 0;
        while column < out.len() {
            let seed = self.data_seeds[column / 2] as u32 >> (column % 2 * 4) & 15;
            out[column] = data_hash(self.shape.salt, column, seed);
            column += 1;
        }
    }

    /// Edges of the parity columns beside the diagonal.
    pub const fn parity_edge_count(&self) -> usize {
        self.shape.parity_words as usize * PARITY_WEIGHT + 1
    }

    /// The edges of the parity columns beside the diagonal, the row above the eight bits of the rotation; `COUNT` is
    /// [`Self::parity_edge_count`].
    pub const fn parity_edges<const COUNT: usize>(&self) -> [u16; COUNT] {
        let mut edges = [0; COUNT];
        self.put_parity_edges(&mut edges);
        edges
    }

    /// [`Self::parity_edges`] for a number that is not known at compile time.
    pub const fn put_parity_edges(&self, out: &mut [u16]) {
        let rows = self.shape.parity_words as usize;
        let mut index = 0;
        while index < rows {
            let gap = index + GAP >= rows;
            // All but the gap's are below the diagonal.
            let first = if gap { 0 } else { index + 1 };
            // Two columns of odd weight: with even weights alone the matrix would be singular.
            let weight = if index + 1 == rows { PARITY_WEIGHT + 1 } else { PARITY_WEIGHT };
            let places = mix(self.shape.salt ^ 0x4000_0000 ^ (index as u32) << 8 ^ self.parity_seeds[index] as u32);
            let shifts = mix_next(places);
            let mut edge = 0;
            while edge < weight {
                let row = first + (((places >> (edge * 8) & 255) as usize * (rows - first)) >> 8);
                out[index * PARITY_WEIGHT + edge] = (row << 8) as u16 | (shifts >> (edge * 5) & 31) as u16;
                edge += 1;
            }
            index += 1;
        }
    }
}
