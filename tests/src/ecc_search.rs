//! The search behind the constants of the page codes.
//!
//! Written from the rules in the format description, not from the library's source, so that the two check each other.

use std::fmt::Write;

/// What is chosen by hand for one code; everything else is searched.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the constant.
    pub name: &'static str,
    /// Words of the raw page.
    pub words: usize,
    /// Parity words.
    pub parity_words: usize,
    /// The word that holds the factory mark.
    pub mark_word: Option<usize>,
    /// Column weights by group, repeated.
    pub weights: Vec<u8>,
    /// Start value of the hashes.
    pub salt: u32,
    /// Wrong bits that the small decoder mends in all but about one page of a million; measured, not searched.
    pub safe_bits: u8,
    /// The full decoder's Chase trials take two to this power doubtful bits for wrong; measured, not searched.
    pub chase_log2: u8,
}

/// What the search finds.
#[derive(Clone, Debug)]
pub struct Found {
    /// A seed of four bits for each data column.
    pub data_seeds: Vec<u8>,
    /// A seed of eight bits for each parity column.
    pub parity_seeds: Vec<u8>,
    /// The inverse of the gap.
    pub gap_inverse: [u32; 9],
    /// Weighted count of cycles of length 4.
    pub cost: u64,
}

/// A cell of the matrix: row and rotation.
pub type Edge = (usize, u32);

fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7FEB_352D);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

fn mix_next(x: u32) -> u32 {
    mix(x ^ 0x9E37_79B9)
}

/// The edges of data column `column` with this seed.
pub fn data_edges(plan: &Plan, column: usize, seed: u8) -> Vec<Edge> {
    let rows = plan.parity_words;
    let (group, place) = (column / rows, column % rows);
    let weight = usize::from(plan.weights[group % plan.weights.len()]);
    let mut place_hash = mix(plan.salt ^ 0x8000_0000 ^ group as u32);
    let mut shift_hash = mix(plan.salt ^ (column << 8) as u32 ^ u32::from(seed));
    (0..weight)
        .map(|k| {
            let (from, to) = (k * rows / weight, (k + 1) * rows / weight);
            if k > 0 && k % 4 == 0 {
                place_hash = mix_next(place_hash);
            }
            let offset = from + ((place_hash >> (8 * (k % 4)) & 255) as usize * (to - from)) / 256;
            if k > 0 && k % 6 == 0 {
                shift_hash = mix_next(shift_hash);
            }
            ((offset + place) % rows, shift_hash >> (5 * (k % 6)) & 31)
        })
        .collect()
}

/// The edges of parity column `index` with this seed.
pub fn parity_edges(plan: &Plan, index: usize, seed: u8) -> Vec<Edge> {
    let rows = plan.parity_words;
    let places = mix(plan.salt ^ 0x4000_0000 ^ (index << 8) as u32 ^ u32::from(seed));
    let shifts = mix_next(places);
    let (mut edges, first, drawn) = match rows - index {
        1 => (vec![], 0, 4),
        2 | 3 => (vec![], 0, 3),
        _ => (vec![(index, 0)], index + 1, 3),
    };
    for k in 0..drawn {
        let row = first + ((places >> (8 * k) & 255) as usize * (rows - first)) / 256;
        edges.push((row, shifts >> (5 * k) & 31));
    }
    edges
}

/// How often each pair of rows meets at each distance, weighted by how much a 4-cycle there would hurt.
#[derive(Clone)]
struct Pairs {
    rows: usize,
    weights: Vec<u32>,
}

impl Pairs {
    fn new(rows: usize) -> Self {
        Self { rows, weights: vec![0; rows * rows * 32] }
    }

    fn slots(&self, edges: &[Edge]) -> Vec<usize> {
        let mut slots = Vec::with_capacity(edges.len() * edges.len() / 2);
        for (i, &(row_a, shift_a)) in edges.iter().enumerate() {
            for &(row_b, shift_b) in &edges[..i] {
                let ((row_a, shift_a), (row_b, shift_b)) = if row_a < row_b {
                    ((row_a, shift_a), (row_b, shift_b))
                } else {
                    ((row_b, shift_b), (row_a, shift_a))
                };
                let mut difference = (shift_a.wrapping_sub(shift_b) & 31) as usize;
                if row_a == row_b {
                    difference = difference.min(32 - difference);
                }
                slots.push((row_a * self.rows + row_b) * 32 + difference);
            }
        }
        slots
    }

    /// The 4-cycles that a column with these edges would close. A light column is hurt more.
    fn cost(&self, edges: &[Edge]) -> u64 {
        let mut slots = self.slots(edges);
        let met: u64 = slots.iter().map(|slot| u64::from(self.weights[*slot])).sum();
        slots.sort_unstable();
        let own = slots.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
        (met + own * 1000) * u64::from(harm(edges.len()))
    }

    fn add(&mut self, edges: &[Edge]) {
        for slot in self.slots(edges) {
            self.weights[slot] += harm(edges.len());
        }
    }
}

fn harm(weight: usize) -> u32 {
    match weight {
        0..=3 => 24,
        4 => 16,
        5 => 9,
        6..=8 => 4,
        _ => 1,
    }
}

/// Whether each row has an odd number of edges.
fn parity_of(rows: usize, columns: &[Vec<Edge>]) -> Vec<bool> {
    let mut odd = vec![false; rows];
    for (row, _) in columns.iter().flatten() {
        odd[*row] ^= true;
    }
    odd
}

/// Two edges of a column in the same cell with the same rotation would cancel.
fn cancels(edges: &[Edge]) -> bool {
    (1..edges.len()).any(|i| edges[..i].contains(&edges[i]))
}

/// Two edges of a column in the same row.
fn doubles(edges: &[Edge]) -> bool {
    (1..edges.len()).any(|i| edges[..i].iter().any(|edge| edge.0 == edges[i].0))
}

/// Searches the constants of one code: greedily, column by column, for the fewest short cycles.
pub fn search(plan: &Plan) -> Option<Found> {
    let rows = plan.parity_words;
    let data_columns = plan.words - rows;
    let mut pairs = Pairs::new(rows);
    let mut cost = 0;
    let mut data_seeds = Vec::new();
    let mut columns = Vec::new();
    for column in 0..data_columns {
        let (price, seed) = (0..16u8)
            .filter(|seed| !cancels(&data_edges(plan, column, *seed)))
            .map(|seed| (pairs.cost(&data_edges(plan, column, seed)), seed))
            .min()?;
        cost += price;
        data_seeds.push(seed);
        let edges = data_edges(plan, column, seed);
        pairs.add(&edges);
        columns.push(edges);
    }
    let odd = parity_of(rows, &columns);
    let best = (0..400).filter_map(|trial| search_parity(plan, &pairs, &odd, trial)).min_by_key(|found| found.0)?;
    Some(Found { data_seeds, parity_seeds: best.1, gap_inverse: best.2, cost: cost + best.0 })
}

/// One trial at the parity columns: cost, seeds and inverse.
fn search_parity(plan: &Plan, pairs: &Pairs, odd: &[bool], trial: u32) -> Option<(u64, Vec<u8>, [u32; 9])> {
    let rows = plan.parity_words;
    let mut pairs = pairs.clone();
    let mut odd = odd.to_vec();
    let mut seeds = vec![0u8; rows];
    let mut random = mix(plan.salt ^ trial.wrapping_mul(0x0100_0193));
    let mut cost = 0;
    let mut place = |index: usize, seed: u8, odd: &mut Vec<bool>, pairs: &mut Pairs| {
        let edges = parity_edges(plan, index, seed);
        cost += pairs.cost(&edges) + if doubles(&edges) { 2000 } else { 0 };
        pairs.add(&edges);
        edges.iter().for_each(|edge| odd[edge.0] ^= true);
        seeds[index] = seed;
    };
    for index in rows - 3..rows {
        let seed = loop {
            random = mix_next(random);
            let edges = parity_edges(plan, index, random as u8);
            if !cancels(&edges) && (rows < 8 || !doubles(&edges)) {
                break random as u8;
            }
        };
        place(index, seed, &mut odd, &mut pairs);
    }
    // The diagonal of column 0 is the last edge of row 0; from then on column j settles row j + 1.
    if odd[0] {
        return None;
    }
    for index in 0..rows - 3 {
        let seed = (0..=255u8)
            .filter_map(|seed| {
                let edges = parity_edges(plan, index, seed);
                let settled = |row: usize| odd[row] ^ (edges.iter().filter(|edge| edge.0 == row).count() % 2 == 1);
                // The next row still gets its diagonal, unless the diagonal has ended.
                let last = index + 4 == rows;
                let fits = if last { (index + 1..rows).all(settled) } else { !settled(index + 1) };
                let price = pairs.cost(&edges) + if doubles(&edges) { 2000 } else { 0 };
                (fits && !cancels(&edges)).then_some((price, seed))
            })
            .min()?
            .1;
        place(index, seed, &mut odd, &mut pairs);
    }
    let inverse = invert_gap(plan, &seeds)?;
    Some((cost, seeds, inverse))
}

/// The product of two circulants, each a mask of rotations.
fn product(a: u32, b: u32) -> u32 {
    (0..32).filter(|shift| a >> shift & 1 == 1).fold(0, |sum, shift| sum ^ b.rotate_left(shift))
}

/// The inverse of a circulant: over this ring every unit to the power of 32 is one.
fn inverse(a: u32) -> Option<u32> {
    (a.count_ones() % 2 == 1).then(|| (0..31).fold(1, |power, _| product(power, a)))
}

/// The inverse of what remains of the last three rows and columns after the others have been eliminated.
fn invert_gap(plan: &Plan, seeds: &[u8]) -> Option<[u32; 9]> {
    let rows = plan.parity_words;
    let mut gap = [[0u32; 3]; 3];
    for column in 0..3 {
        let mut sums = vec![0u32; rows];
        for (row, shift) in parity_edges(plan, rows - 3 + column, seeds[rows - 3 + column]) {
            sums[row] ^= 1 << shift;
        }
        for index in 0..rows - 3 {
            let value = sums[index];
            for (row, shift) in parity_edges(plan, index, seeds[index]) {
                sums[row] ^= value.rotate_left(shift);
            }
        }
        for row in 0..3 {
            gap[row][column] = sums[rows - 3 + row];
        }
    }
    let minor = |r0: usize, r1: usize, c0: usize, c1: usize| {
        product(gap[r0][c0], gap[r1][c1]) ^ product(gap[r0][c1], gap[r1][c0])
    };
    let others = [(1, 2), (0, 2), (0, 1)];
    let determinant = (0..3).fold(0, |sum, c| sum ^ product(gap[0][c], minor(1, 2, others[c].0, others[c].1)));
    let scale = inverse(determinant)?;
    let mut out = [0; 9];
    for row in 0..3 {
        for column in 0..3 {
            // The adjugate is the transposed matrix of minors; signs do not exist here.
            let (r, c) = (others[column], others[row]);
            out[row * 3 + column] = product(scale, minor(r.0, r.1, c.0, c.1));
        }
    }
    Some(out)
}

/// All row weights, the parity part included.
pub fn row_weights(plan: &Plan, found: &Found) -> Vec<usize> {
    let mut weights = vec![0; plan.parity_words];
    let data = found.data_seeds.iter().enumerate().map(|(column, seed)| data_edges(plan, column, *seed));
    let parity = found.parity_seeds.iter().enumerate().map(|(index, seed)| parity_edges(plan, index, *seed));
    for (row, _) in data.chain(parity).flatten() {
        weights[row] += 1;
    }
    weights
}

/// The seeds of the data columns as they are stored, two to a byte.
pub fn packed(seeds: &[u8]) -> Vec<u8> {
    seeds.chunks(2).map(|pair| pair[0] | pair.get(1).copied().unwrap_or(0) << 4).collect()
}

/// The source text of one constant.
pub fn source(plan: &Plan, found: &Found) -> String {
    let mut text = String::new();
    let mark = plan.mark_word.map_or("NO_MARK".to_owned(), |word| word.to_string());
    let feature = match plan.name.split('_').next() {
        Some("ARCHIVE") => "#[cfg(feature = \"full-decoder\")]\n",
        Some("NAND") => "#[cfg(feature = \"nand-codes\")]\n",
        _ => "",
    };
    text.push_str(feature);
    let _ = writeln!(text, "#[rustfmt::skip]\npub(super) const {}: Source = Source {{", plan.name);
    let _ = writeln!(text, "    shape: Shape {{");
    let _ = writeln!(text, "        words: {},\n        parity_words: {},", plan.words, plan.parity_words);
    let row_weight_max = row_weights(plan, found).into_iter().max().unwrap_or(0);
    let _ = writeln!(text, "        row_weight_max: {row_weight_max},\n        safe_bits: {},", plan.safe_bits);
    let _ = writeln!(text, "        chase_log2: {},\n        mark_word: {mark},", plan.chase_log2);
    let _ = writeln!(text, "        salt: {:#010x},\n        weights: &{:?},", plan.salt, plan.weights);
    let inverse: Vec<String> = found.gap_inverse.iter().map(|word| format!("{word:#010x}")).collect();
    let _ = writeln!(text, "        gap_inverse: [");
    for row in inverse.chunks(3) {
        let _ = writeln!(text, "            {},", row.join(", "));
    }
    let _ = writeln!(text, "        ],\n    }},");
    bytes(&mut text, "data_seeds", &packed(&found.data_seeds));
    bytes(&mut text, "parity_seeds", &found.parity_seeds);
    text.push_str("};\n");
    text
}

fn bytes(text: &mut String, name: &str, bytes: &[u8]) {
    let _ = writeln!(text, "    {name}: &[");
    for line in bytes.chunks(24) {
        let line: Vec<String> = line.iter().map(|byte| byte.to_string()).collect();
        let _ = writeln!(text, "        {},", line.join(", "));
    }
    let _ = writeln!(text, "    ],");
}

/// The hand-made choices for every layout, with the salts that the long search has settled on.
pub fn plans() -> Vec<Plan> {
    let plan = |name, words: usize, parity_words, mark: Option<usize>, weights: &[u8], salt, safe_bits| Plan {
        name,
        words,
        parity_words,
        mark_word: mark.map(|page_size| page_size / 4),
        weights: weights.to_vec(),
        salt,
        safe_bits,
        // It has the fewest checks for its bits: of the pages with 27 wrong ones that 128 trials lose, 512 mend two of three.
        // With the others, that would cost more time and scratch than it is worth.
        chase_log2: if name == "NAND_2048_64" { 9 } else { 7 },
    };
    vec![
        plan("NOR_128", 32, 4, None, &[4], 130, 1),
        plan("NOR_256", 64, 8, None, &[4, 4, 4, 4, 4, 8, 8], 3, 7),
        plan("NOR_512", 128, 16, None, &[4, 4, 4, 4, 4, 12, 12], 24, 16),
        plan("NOR_1024", 256, 32, None, &[4, 4, 4, 4, 4, 4, 16], 5, 36),
        plan("NAND_2048_64", 528, 14, Some(2048), &[5, 5, 5, 12], 4, 12),
        plan("NAND_2048_128", 544, 28, Some(2048), &[4, 5, 5, 16], 25, 28),
        plan("NAND_4096_224", 1080, 52, Some(4096), &[4, 4, 4, 14], 8, 50),
        plan("NAND_4096_128", 1056, 28, Some(4096), &[4, 4, 5, 14], 2, 20),
        plan("NAND_4096_256", 1088, 60, Some(4096), &[4, 4, 4, 14], 1, 60),
        plan("ARCHIVE_4096_256", 1024, 64, None, &[4, 4, 4, 16], 1, 60),
        plan("ARCHIVE_4096_512", 1024, 128, None, &[4, 4, 4, 4, 4, 4, 20], 1, 150),
    ]
}
