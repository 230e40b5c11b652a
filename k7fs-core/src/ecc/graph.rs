//! The parity-check matrix of a page code.
//!
//! Nothing here depends on the page's content.

pub use super::source::{NO_MARK, Shape, Source, mix};
use super::source::{PARITY_WEIGHT, data_hash, mix_next};

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
/// As many of them as small pages need. Without tables there is one size for all, which makes for less code.
pub(super) const FEW_SUM_WORDS: usize = if cfg!(feature = "fast-codes") { 32 } else { SUM_WORDS };
/// Weight of the heaviest block column.
pub const WEIGHT_MAX: usize = 20;
/// Parity block columns that are solved together, through one inverse.
pub const GAP: usize = 3;

/// Everything that makes up one code: its [`Source`], expanded.
#[derive(Debug)]
pub struct Code {
    /// Sizes, weights and the like.
    pub shape: Shape,
    /// The rows of each group's first column, group by group; with each column after it they move on by one.
    pub offsets: &'static [u8],
    /// The first hash word of each data column, or nothing where that is worked out from its seed each time.
    pub hashes: &'static [u32],
    /// Four bits for each data column, low half first; nothing where there are hash words.
    pub data_seeds: &'static [u8],
    /// The edges of the parity columns beside the diagonal, three for each and a fourth for the last: the row above the
    /// eight bits of the rotation.
    pub parity: &'static [u16],
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

impl Code {
    /// Where the factory mark's two bytes are.
    pub const fn mark_byte(&self) -> Option<usize> {
        if self.shape.mark_word == NO_MARK { None } else { Some(self.shape.mark_word as usize * 4) }
    }

    /// Bytes of this constant and what it refers to, as on a 32-bit processor.
    pub const fn table_bytes(&self) -> usize {
        let bytes = self.shape.weights.len() + self.offsets.len() + self.data_seeds.len();
        // Five slices, of two words each.
        let itself = size_of::<Self>() - 10 * (size_of::<usize>() - 4);
        itself + bytes + self.parity.len() * 2 + self.hashes.len() * 4
    }

    /// Block columns that hold data.
    pub fn data_words(&self) -> usize {
        usize::from(self.shape.words).saturating_sub(usize::from(self.shape.parity_words))
    }

    /// The first hash word of data column `column`, stored or not.
    #[inline]
    pub(super) fn first_hash(&self, column: usize) -> u32 {
        // Only such builds store any.
        if cfg!(feature = "fast-codes")
            && let Some(hash) = self.hashes.get(column)
        {
            return *hash;
        }
        let seeds = u32::from(self.data_seeds.get(column / 2).copied().unwrap_or(0));
        data_hash(self.shape.salt, column, seeds >> (column % 2 * 4) & 15)
    }

    /// The row offsets of group `group`.
    pub fn offsets_of(&self, group: usize) -> &'static [u8] {
        let kinds = self.shape.weights.len().max(1);
        let sum = |weights: &[u8]| weights.iter().map(|weight| usize::from(*weight)).sum::<usize>();
        let (round, kind) = (group / kinds, group % kinds);
        let first = round * sum(self.shape.weights) + sum(self.shape.weights.get(..kind).unwrap_or_default());
        let weight = usize::from(self.shape.weights.get(kind).copied().unwrap_or(0));
        self.offsets.get(first..).and_then(|rest| rest.get(..weight)).unwrap_or_default()
    }

    /// The edges of block column `column`, counted from the first data word.
    pub fn edges_at(&self, column: usize) -> Edges {
        let mut out = Edges::EMPTY;
        match column.checked_sub(self.data_words()) {
            Some(index) => self.parity_edges(index, &mut out),
            None => {
                let rows = usize::from(self.shape.parity_words).max(1);
                self.data_edges(self.offsets_of(column / rows), column, column % rows, &mut out);
            }
        }
        out
    }

    /// Puts the edges of data column `column`, which lies `place` columns into a group with these offsets, into `out`.
    pub fn data_edges(&self, offsets: &[u8], column: usize, place: usize, out: &mut Edges) {
        out.len = 0;
        let mut hash = self.first_hash(column);
        for six in offsets.chunks(6) {
            let mut bits = hash;
            for &offset in six {
                let sum = offset + place as u8;
                let row = if sum >= self.shape.parity_words { sum - self.shape.parity_words } else { sum };
                out.push(Edge { row, shift: (bits & 31) as u8 });
                bits >>= 5;
            }
            hash = mix_next(hash);
        }
    }

    /// Visits the edges of block row `row`, column and rotation, in an order that never changes.
    pub fn each_in_row(&self, row: usize, mut visit: impl FnMut(u16, u8)) {
        let rows = usize::from(self.shape.parity_words);
        let data_words = self.data_words();
        for (group, first) in (0..data_words).step_by(rows.max(1)).enumerate() {
            for (index, &offset) in self.offsets_of(group).iter().enumerate() {
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
        let rows = usize::from(self.shape.parity_words);
        if index + GAP < rows {
            out.push(Edge { row: index as u8, shift: 0 });
        }
        for edge in self.parity_at(index) {
            out.push(Edge { row: (edge >> 8) as u8, shift: (edge & 31) as u8 });
        }
    }

    /// The edges of parity column `index` beside the diagonal, as in [`Self::parity`].
    #[inline(always)]
    pub(super) fn parity_at(&self, index: usize) -> &'static [u16] {
        let rest = self.parity.get(index * PARITY_WEIGHT..).unwrap_or_default();
        // The last column has all that is left.
        let weight = if rest.len() == PARITY_WEIGHT + 1 { rest.len() } else { PARITY_WEIGHT };
        rest.get(..weight).unwrap_or_default()
    }
}
