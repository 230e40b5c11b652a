//! The parity-check matrix of a page code, expanded from a few constants.
//!
//! Nothing here depends on the page's content. Section 12 of `FORMAT.md` states the same rules in prose.

/// Words of the array in which check sums are gathered: twice the largest number of parity words, rounded up to a
/// power of two so that an index can be masked instead of checked.
///
/// Archives have twice as many as flash pages, and no small part's stack holds them.
pub const SUM_WORDS: usize = if cfg!(feature = "full-decoder") { 256 } else { 128 };
/// Where the upper half of that array starts; no code has more parity words than this.
const SPARE: usize = SUM_WORDS / 2;
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
    /// Start value of all hashes.
    pub salt: u32,
    /// Column weight of each group of `parity_words` data columns, repeated.
    pub weights: &'static [u8],
    /// For each weight, the rows of one span: `parity_words / weight`, as a fixed-point number rounded up.
    pub steps: &'static [u32],
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
    fn of_kind(code: &Code, group: usize, kind: usize) -> Self {
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

    fn as_slice(&self) -> &[u8] {
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
        size_of::<Self>() + self.weights.len() * 5 + self.data_seeds.len() + self.parity_seeds.len()
    }

    /// Block columns that hold data.
    pub fn data_words(&self) -> usize {
        usize::from(self.words).saturating_sub(usize::from(self.parity_words))
    }

    /// The first hash word of data column `column`.
    fn data_hash(&self, column: usize, seed: u32) -> u32 {
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
        let seeds = u32::from(self.data_seeds.get(column / 2).copied().unwrap_or(0));
        let mut hash = self.data_hash(column, seeds >> (column % 2 * 4) & 15);
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
                let seeds = u32::from(self.data_seeds.get(column / 2).copied().unwrap_or(0));
                let mut hash = self.data_hash(column, seeds >> (column % 2 * 4) & 15);
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

    /// Adds the check sums of the data columns to `sums`, whose first `parity_words` words hold them afterwards.
    ///
    /// The mark bytes count as ones, whatever the page holds.
    pub fn add_data(&self, page: &[u8], sums: &mut [u32; SUM_WORDS]) {
        let rows = usize::from(self.parity_words);
        let mut kind = 0;
        let pairs = (rows / 2).max(1);
        let groups = page.as_chunks::<8>().0.chunks(pairs).zip(self.data_seeds.chunks(pairs));
        // A seed byte serves two columns, and a group has an even number of them.
        for (group, (pairs, seeds)) in groups.enumerate() {
            let offsets = Offsets::of_kind(self, group, kind);
            let offsets = offsets.as_slice();
            for (index, (words, seeds)) in pairs.iter().zip(seeds).enumerate() {
                let [a, b, c, d, e, f, g, h] = *words;
                let column = self.salt ^ ((group * rows + index * 2) as u32) << 8;
                let seeds = u32::from(*seeds);
                let hashes = [mix(column ^ seeds & 15), mix(column ^ 0x100 ^ seeds >> 4)];
                let words = [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])];
                spread(words, hashes, offsets, index * 2, sums);
            }
            kind = if kind + 1 < self.weights.len() { kind + 1 } else { 0 };
        }
        // Offset and place were added without wrapping: fold the upper half onto the rows.
        for row in 0..rows {
            let upper = sums[(row + rows) % SUM_WORDS];
            sums[row % SUM_WORDS] ^= upper;
            sums[(row + rows) % SUM_WORDS] = 0;
        }
        // The mark was added as stored: add what it lacks.
        let mark = usize::from(self.mark_word);
        if let Some(bytes) = page.as_chunks::<4>().0.get(mark) {
            let missing = !u32::from_le_bytes(*bytes) & 0xFFFF;
            for edge in self.edges_at(mark).as_slice() {
                sums[usize::from(edge.row) % SUM_WORDS] ^= missing.rotate_right(u32::from(edge.shift));
            }
        }
    }

    /// Adds the check sums of the stored parity to `sums`.
    pub fn add_parity(&self, page: &[u8], sums: &mut [u32; SUM_WORDS]) {
        let parity = page.as_chunks::<4>().0.iter().skip(self.data_words());
        for (index, bytes) in parity.take(usize::from(self.parity_words)).enumerate() {
            self.add_parity_word(index, u32::from_le_bytes(*bytes), sums, 0);
        }
    }

    /// Adds one word in parity column `index` to the sums from `base` on: [`Self::parity_edges`] without a list.
    #[inline(always)]
    fn add_parity_word(&self, index: usize, word: u32, sums: &mut [u32; SUM_WORDS], base: usize) {
        let hash = self.parity_hash(index);
        let mut places = hash;
        let mut shifts = mix_next(hash);
        let (first, weight) = self.parity_span(index);
        if first > 0 {
            sums[(base + index) % SUM_WORDS] ^= word;
        }
        let span = usize::from(self.parity_words).wrapping_sub(first) as u32;
        for _ in 0..weight {
            let row = first + (((places & 255) * span) >> 8) as usize;
            sums[(base + row) % SUM_WORDS] ^= word.rotate_right(shifts & 31);
            places >>= 8;
            shifts >>= 5;
        }
    }

    /// The hash behind parity column `index`.
    fn parity_hash(&self, index: usize) -> u32 {
        let seed = self.parity_seeds.get(index).copied().unwrap_or(0);
        mix(self.salt ^ 0x4000_0000 ^ (index as u32) << 8 ^ u32::from(seed))
    }

    /// The first row that parity column `index` may meet beside the diagonal, and in how many places; row 0 for the gap.
    fn parity_span(&self, index: usize) -> (usize, u32) {
        match usize::from(self.parity_words).wrapping_sub(index) {
            // Two columns of odd weight: with even weights alone the matrix would be singular.
            2 | 3 => (0, 3),
            1 => (0, 4),
            _ => (index + 1, 3),
        }
    }

    /// Replaces the sums of the data columns by the parity words that cancel them. The upper half must be zero.
    pub fn solve_parity(&self, sums: &mut [u32; SUM_WORDS]) {
        let rows = usize::from(self.parity_words);
        let first_gap = rows.saturating_sub(GAP);
        // What is left in the last rows, were the gap's words zero, tells those words.
        self.substitute(sums, 0);
        let left = [0, 1, 2].map(|index| sums[(first_gap + index) % SUM_WORDS]);
        let mut gap = [0u32; GAP];
        for (word, inverse) in gap.iter_mut().zip(self.gap_inverse.as_chunks::<GAP>().0) {
            for (factor, value) in inverse.iter().zip(left) {
                *word ^= multiply(*factor, value);
            }
        }
        // What the gap's words change in the others is worked out apart and added.
        for (index, word) in gap.iter().enumerate() {
            self.add_parity_word(first_gap + index, *word, sums, SPARE);
        }
        self.substitute(sums, SPARE);
        for index in 0..first_gap {
            let change = sums[(SPARE + index) % SUM_WORDS];
            sums[index % SUM_WORDS] ^= change;
        }
        for (index, word) in gap.iter().enumerate() {
            sums[(first_gap + index) % SUM_WORDS] = *word;
        }
    }

    /// Forward substitution: turns all but the last three sums from `base` on into parity words.
    fn substitute(&self, sums: &mut [u32; SUM_WORDS], base: usize) {
        let rows = usize::from(self.parity_words);
        for index in 0..rows.saturating_sub(GAP) {
            let word = sums[(base + index) % SUM_WORDS];
            self.add_parity_word(index, word, sums, base);
            // The diagonal has just cancelled the sum; its place now holds the parity word.
            sums[(base + index) % SUM_WORDS] = word;
        }
    }
}

/// Adds the words of two neighbouring data columns to the sums of their rows: `offsets` plus `place`, and one more.
#[inline(always)]
fn spread([left, right]: [u32; 2], mut hashes: [u32; 2], offsets: &[u8], place: usize, sums: &mut [u32; SUM_WORDS]) {
    let mut rest = offsets;
    loop {
        let (six, more) = rest.split_at_checked(6).unwrap_or((rest, &[]));
        let [mut left_bits, mut right_bits] = hashes;
        for &offset in six {
            let row = place + usize::from(offset);
            sums[row % SUM_WORDS] ^= left.rotate_right(left_bits & 31);
            sums[(row + 1) % SUM_WORDS] ^= right.rotate_right(right_bits & 31);
            left_bits >>= 5;
            right_bits >>= 5;
        }
        if more.is_empty() {
            return;
        }
        rest = more;
        hashes = hashes.map(mix_next);
    }
}

/// The product of a circulant (bit `s` of `factor`: a rotation by `s`) and a word.
fn multiply(mut factor: u32, mut word: u32) -> u32 {
    let mut sum = 0;
    while factor != 0 {
        sum ^= word & (factor & 1).wrapping_neg();
        factor >>= 1;
        word = word.rotate_right(1);
    }
    sum
}
