//! The parity-check matrix of a page code, expanded from a few constants.
//!
//! Nothing here depends on the page's content. Section 12 of `FORMAT.md` states the same rules in prose.

/// Words of the array in which check sums are gathered: twice the largest number of parity words, rounded up to a
/// power of two so that an index can be masked instead of checked.
///
/// Archives have twice as many as NAND pages and those twice as many as NOR pages; no small part's stack holds them all.
pub const SUM_WORDS: usize = if cfg!(feature = "full-decoder") {
    256
} else if cfg!(feature = "nand-codes") {
    128
} else {
    64
};
/// Where the upper half of that array starts; no code has more parity words than this.
pub(super) const SPARE: usize = SUM_WORDS / 2;
/// Weight of the heaviest block column.
pub const WEIGHT_MAX: usize = 20;
/// Parity block columns that are solved together, through one inverse.
pub const GAP: usize = 3;
/// Value of [`Code::mark_word`] for codes without factory-mark bytes.
pub const NO_MARK: u16 = u16::MAX;

/// Fraction bits of [`Code::steps`].
const STEP_BITS: u32 = 16;

/// [`Code::steps`] for these weights.
pub const fn steps<const COUNT: usize>(parity_words: u8, weights: [u8; COUNT]) -> [u32; COUNT] {
    let mut steps = [0; COUNT];
    let mut index = 0;
    while index < COUNT {
        // The excess is so small that rounding down stays right for every multiple in use.
        steps[index] = ((parity_words as u32) << STEP_BITS) / weights[index] as u32 + 1;
        index += 1;
    }
    steps
}

/// Everything that defines one code.
#[derive(Debug)]
pub struct Code {
    /// 32-bit words of the raw page.
    pub words: u16,
    /// Words of parity, at the end of the page; also the number of block rows.
    pub parity_words: u8,
    /// Edges of the heaviest block row.
    pub row_weight_max: u8,
    /// The word whose low two bytes are the factory mark, or [`NO_MARK`].
    pub mark_word: u16,
    /// Wrong bits of which the small decoder leaves at most about one page in a million unmended.
    pub safe_bits: u16,
    /// Doubtful bits that Chase trials on belief propagation take for wrong, one at a time.
    pub chase_bits: u16,
    /// Start value of all hashes.
    pub salt: u32,
    /// Column weight of each group of `parity_words` data columns, repeated.
    pub weights: &'static [u8],
    /// For each weight, the rows of one span: `parity_words / weight`, as a fixed-point number rounded up.
    pub steps: &'static [u32],
    /// The first hash word of each data column, or nothing where that is worked out from its seed each time.
    pub hashes: &'static [u32],
    /// Four bits for each data column, low half first.
    pub data_seeds: &'static [u8],
    /// Eight bits for each parity column.
    pub parity_seeds: &'static [u8],
    /// Inverse of the gap: row by row, bit `s` stands for a rotation by `s`.
    pub gap_inverse: [u32; GAP * GAP],
}

/// One circulant: the word's bits, rotated right by `shift`, take part in the checks of block row `row`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// Block row.
    pub row: u8,
    /// Rotation, 0 to 31.
    pub shift: u8,
}

/// The edges of one block column.
#[derive(Clone, Copy, Debug)]
pub struct Edges {
    items: [Edge; WEIGHT_MAX],
    len: usize,
}

impl Edges {
    /// None yet.
    pub const EMPTY: Self = Self { items: [Edge { row: 0, shift: 0 }; WEIGHT_MAX], len: 0 };

    /// The edges as a slice.
    pub fn as_slice(&self) -> &[Edge] {
        self.items.get(..self.len).unwrap_or(&[])
    }

    fn push(&mut self, edge: Edge) {
        if let Some(slot) = self.items.get_mut(self.len) {
            *slot = edge;
            self.len += 1;
        }
    }
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
pub const fn mix_next(x: u32) -> u32 {
    mix(x ^ 0x9E37_79B9)
}

/// The row offsets of one group of data columns.
///
/// The rows are cut into as many spans as the columns have edges, and one row is drawn from each span. With more edges
/// than rows some spans are empty and their edge shares a cell with another.
#[derive(Clone, Copy, Debug)]
pub struct Offsets {
    rows: [u8; WEIGHT_MAX],
    len: usize,
}

impl Offsets {
    /// The offsets of group `group`.
    pub fn of(code: &Code, group: usize) -> Self {
        let kinds = code.weights.len().max(1);
        let kind = if group < kinds { group } else { group % kinds };
        Self::of_kind(code, group, kind)
    }

    /// The same where the group's place among the weights is known.
    pub(super) fn of_kind(code: &Code, group: usize, kind: usize) -> Self {
        let weight = code.weights.get(kind).copied().unwrap_or(0);
        let step = code.steps.get(kind).copied().unwrap_or(0);
        let mut out = Self { rows: [0; WEIGHT_MAX], len: usize::from(weight).min(WEIGHT_MAX) };
        let mut hash = mix(code.salt ^ 0x8000_0000 ^ group as u32);
        let (mut first, mut end) = (0, step);
        for four in out.rows.get_mut(..usize::from(weight)).unwrap_or_default().chunks_mut(4) {
            let mut bits = hash;
            for slot in four {
                let next = end >> STEP_BITS;
                *slot = (first + (((bits & 255) * (next - first)) >> 8)) as u8;
                (first, end) = (next, end + step);
                bits >>= 8;
            }
            hash = mix_next(hash);
        }
        out
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.rows.get(..self.len).unwrap_or(&[])
    }
}

impl Code {
    /// Where the factory mark's two bytes are.
    pub const fn mark_byte(&self) -> Option<usize> {
        if self.mark_word == NO_MARK { None } else { Some(self.mark_word as usize * 4) }
    }

    /// Bytes of this constant and what it refers to.
    pub const fn table_bytes(&self) -> usize {
        let seeds = self.data_seeds.len() + self.parity_seeds.len();
        size_of::<Self>() + self.weights.len() * 5 + self.hashes.len() * 4 + seeds
    }

    /// Block columns that hold data.
    pub fn data_words(&self) -> usize {
        usize::from(self.words).saturating_sub(usize::from(self.parity_words))
    }

    /// The first hash word of data column `column`, stored or not.
    #[inline]
    pub(super) fn first_hash(&self, column: usize) -> u32 {
        // Only builds with the whole decoder store any.
        if cfg!(feature = "full-decoder")
            && let Some(hash) = self.hashes.get(column)
        {
            return *hash;
        }
        let seeds = u32::from(self.data_seeds.get(column / 2).copied().unwrap_or(0));
        self.data_hash(column, seeds >> (column % 2 * 4) & 15)
    }

    /// The first hash word of data column `column`, from its seed.
    #[inline(always)]
    pub(super) const fn data_hash(&self, column: usize, seed: u32) -> u32 {
        mix(self.salt ^ (column as u32) << 8 ^ seed)
    }

    /// The edges of block column `column`, counted from the first data word.
    pub fn edges_at(&self, column: usize) -> Edges {
        let mut out = Edges::EMPTY;
        match column.checked_sub(self.data_words()) {
            Some(index) => self.parity_edges(index, &mut out),
            None => {
                let rows = usize::from(self.parity_words).max(1);
                self.data_edges(&Offsets::of(self, column / rows), column, column % rows, &mut out);
            }
        }
        out
    }

    /// Puts the edges of data column `column`, which lies `place` columns into a group with these offsets, into `out`.
    pub fn data_edges(&self, offsets: &Offsets, column: usize, place: usize, out: &mut Edges) {
        out.len = 0;
        let mut hash = self.first_hash(column);
        for six in offsets.as_slice().chunks(6) {
            let mut bits = hash;
            for &offset in six {
                let sum = offset + place as u8;
                let row = if sum >= self.parity_words { sum - self.parity_words } else { sum };
                out.push(Edge { row, shift: (bits & 31) as u8 });
                bits >>= 5;
            }
            hash = mix_next(hash);
        }
    }

    /// Visits the edges of block row `row`, column and rotation, in an order that never changes.
    pub fn each_in_row(&self, row: usize, mut visit: impl FnMut(u16, u8)) {
        let rows = usize::from(self.parity_words);
        let data_words = self.data_words();
        for (group, first) in (0..data_words).step_by(rows.max(1)).enumerate() {
            for (index, &offset) in Offsets::of(self, group).as_slice().iter().enumerate() {
                let offset = usize::from(offset);
                let column = first + if row >= offset { row - offset } else { row + rows - offset };
                if column >= data_words {
                    continue;
                }
                let mut hash = self.first_hash(column);
                for _ in 0..index / 6 {
                    hash = mix_next(hash);
                }
                visit(column as u16, (hash >> (index % 6 * 5) & 31) as u8);
            }
        }
        let mut edges = Edges::EMPTY;
        for index in 0..rows {
            self.parity_edges(index, &mut edges);
            for edge in edges.as_slice().iter().filter(|edge| usize::from(edge.row) == row) {
                visit((data_words + index) as u16, edge.shift);
            }
        }
    }

    /// Puts the edges of parity column `index`, counted from the first parity word, into `out`.
    ///
    /// All but the last three have their first edge on the diagonal, unrotated, and the others below it.
    pub fn parity_edges(&self, index: usize, out: &mut Edges) {
        out.len = 0;
        let rows = usize::from(self.parity_words);
        let places = self.parity_hash(index);
        let mut shifts = mix_next(places);
        let (first, weight) = self.parity_span(index);
        if first > 0 {
            out.push(Edge { row: index as u8, shift: 0 });
        }
        let span = rows.wrapping_sub(first) as u32;
        let mut bits = places;
        for _ in 0..weight {
            let row = first as u32 + (((bits & 255) * span) >> 8);
            out.push(Edge { row: row as u8, shift: (shifts & 31) as u8 });
            bits >>= 8;
            shifts >>= 5;
        }
    }

    /// The hash behind parity column `index`.
    pub(super) fn parity_hash(&self, index: usize) -> u32 {
        let seed = self.parity_seeds.get(index).copied().unwrap_or(0);
        mix(self.salt ^ 0x4000_0000 ^ (index as u32) << 8 ^ u32::from(seed))
    }

    /// The first row that parity column `index` may meet beside the diagonal, and in how many places; row 0 for the gap.
    pub(super) fn parity_span(&self, index: usize) -> (usize, u32) {
        match usize::from(self.parity_words).wrapping_sub(index) {
            // Two columns of odd weight: with even weights alone the matrix would be singular.
            2 | 3 => (0, 3),
            1 => (0, 4),
            _ => (index + 1, 3),
        }
    }
}
