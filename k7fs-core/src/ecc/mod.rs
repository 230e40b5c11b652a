//! The page code: a quasi-cyclic LDPC code per page layout, and its decoder.
//!
//! # For those who know XOR but not LDPC
//! A RAID stripe has one check: the XOR of everything is zero. It can tell that something is wrong, not what. Give a
//! page of 2048 bits 256 such checks instead, each over its own odd selection of some 40 bits, so that every bit is in
//! 4 to 8 of them, and two bits hardly ever share more than one. Now a wrong bit betrays itself: nearly all of its
//! checks fail, while for a right bit most of them hold. That is a low-density parity-check code.
//!
//! - **Encoding** chooses the last 256 bits, the parity, so that every check is zero.
//! - **The syndrome** is the list of checks; its *weight* the number that fail. Zero means: a page as written.
//! - **Decoding** flips the bits that most of their checks accuse, looks again, and goes on until no check fails.
//!   A wrong flip makes other checks fail, which is how the next sweep finds it out.
//!
//! # A worked example
//! Seven bits and three checks, each over the bits marked in its row:
//!
//! ```text
//!            data      parity
//!            a b c d   p q r
//! check 1    1 1 0 1   1 . .
//! check 2    1 0 1 1   . 1 .
//! check 3    0 1 1 1   . . 1
//! ```
//!
//! - **Encode** 1 0 1 1: check 1 sees 1 ^ 0 ^ 1 = 0, so p = 0; check 2 sees 1 ^ 1 ^ 1 = 1, so q = 1; check 3 sees
//!   0 ^ 1 ^ 1 = 0, so r = 0. The codeword is 1 0 1 1 0 1 0.
//! - **Read** it with `c` wrong: 1 0 0 1 0 1 0. Check 1 holds, checks 2 and 3 fail: the syndrome is 0 1 1, its weight 2.
//! - **Accuse**: failed and good checks of each bit are a 1:1, b 1:1, c 2:0, d 2:1, p 0:1, q 1:0, r 1:0. All checks of `c`
//!   fail and it has the most of them: flip it, and every check holds.
//!
//! Had `p` and `q` been wrong instead, checks 1 and 2 would fail, and flipping `a` alone would mend both: a codeword, but not
//! the one that was written. That is what the checksum is for. Here every bit shares checks with every other; in the codes of
//! pages the checks are so sparse that wrong bits rarely meet, and each can be seen on its own.
//!
//! Where wrong bits do meet, their failures cancel or pile up on innocent bits. Then *belief propagation* helps: instead of
//! deciding, each bit keeps a number that says how sure it is, checks tell their bits what they think given how sure
//! the others are, and after some rounds of this the wrong bits stand out. It needs memory for those numbers, which is
//! why the decoder is a ladder: see [`decode`] and [`Tier`].
//!
//! # Why words and rotations
//! Which bit is in which check could be any table, but tables are big. Here bits come in 32s. The page is a row of
//! little-endian words, the checks are a column of words, and where word `c` meets check word `r` all 32 bits take part
//! at once: the word, rotated by a constant, is XORed into the check word. So the code is a list of triples (word,
//! check word, rotation), and encoding and checking are rotations and XORs without branches on data.
//!
//! ```text
//!          data words                        parity words
//!        +---------------------------------+-----------+---+
//!  check | each column: 4 to 20 rotations  | 0         | . |
//!  words | in different rows               | . 0       | . |   0: unrotated, on the diagonal
//!        |                                 | . . 0     | . |   .: rotations anywhere
//!        |                                 | . . . 0   | . |
//!        +---------------------------------+-----------+---+
//!                                            solved from  three columns through
//!                                            top to bottom one stored inverse
//! ```
//!
//! The triples are not stored either: a hash of a per-code salt, the column and a four-bit seed gives the rotations.
//! The seeds come from a search (`tests/src/ecc_search.rs`) that avoids pairs of bits that share two checks. The compiler
//! expands what is short: the rows of each group of columns, and the triples of the parity words. Builds with `fast-codes`
//! have the first hash word of every data column as well, in place of its seed: four bytes are six rotations of
//! five bits. The rest of a heavy column is hashed from that word.
//!
//! What makes encoder and check fast is their order. Neighbouring columns of a group meet neighbouring rows, so they are
//! added to windows of the sums, each as long as the group: one comparison replaces those of every row. On 32-bit
//! processors several windows take a column at once, so that a word and its hash are loaded once; the windows overlap,
//! hence cells. Others add row by row, several columns to a vector; builds for small parts take two rows at a time. Rows are
//! not wrapped at the last one but run on into a second half, which is folded back.
//!
//! # Three things the rest of the file system relies on
//! - A code cannot tell its own codewords apart: with enough errors the decoder may arrive at a wrong one. A checksum
//!   inside the codeword must judge every result, see [`decode`].
//! - Every check covers an odd number of bits. So an erased page, all ones, fails every check, see [`looks_erased`].
//! - On NAND the first two spare bytes belong to the factory's bad-block mark. Inside the codeword they count as 0xFF
//!   0xFF, whatever the chip holds.
//!
//! `codes` are the constants that the search has found, `source` the rules by which they stand for a code, `tables` what the
//! compiler makes of them, and `graph` looks edges up in that; `sums` encodes and checks, with its inner loops in `tile`;
//! `decode` is the ladder of decoders, `flip` and `belief` are its rungs.

#[cfg(feature = "full-decoder")]
mod belief;
mod codes;
mod decode;
mod flip;
#[doc(hidden)]
pub mod graph;
mod layout;
#[cfg(feature = "full-decoder")]
mod sliced;
mod source;
mod sums;
mod tables;
mod tile;

use graph::{Code, FEW_SUM_WORDS, SUM_WORDS};

pub(crate) use decode::decode_briefly;
#[doc(hidden)]
pub use decode::decode_with;
pub use decode::{decode, decode_soft};
pub use layout::{Layout, Tier};

/// Which part of the [`decode`] ladder did it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Rung {
    /// Nothing was wrong.
    #[default]
    Clean,
    /// Gradient-descent bit flipping.
    Flip,
    /// Bit flipping with one doubtful bit taken for wrong.
    FlipChase,
    /// Belief propagation.
    Belief,
    /// Belief propagation with doubtful bits taken for wrong.
    BeliefChase,
}

impl Rung {
    /// All rungs, from the bottom up.
    pub const ALL: [Self; 5] = [Self::Clean, Self::Flip, Self::FlipChase, Self::Belief, Self::BeliefChase];

    /// The name in reports and campaign files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Flip => "flip",
            Self::FlipChase => "flip-chase",
            Self::Belief => "belief",
            Self::BeliefChase => "belief-chase",
        }
    }
}

/// What a successful [`decode`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Correction {
    /// Bits of the page that were wrong and have been flipped.
    pub bits: u32,
    /// What found them.
    pub rung: Rung,
    /// Sweeps and iterations that it took, those of failed attempts included; saturates.
    pub iterations: u16,
    /// How many more wrong bits the small tier would still mend in all but one page of a million ([`Layout::safe_bits`]);
    /// negative where the page was beyond that. What scrubbing goes by.
    pub margin: i16,
}

/// Why a page was not mended. It is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Uncorrectable {
    /// Every rung has been tried.
    Beyond,
    /// More wrong bits than this scratch, or a build without the feature `full-decoder`, can mend; a decoder with
    /// [`Tier::Full`] scratch may.
    LargerDecoder {
        /// Bytes of scratch that lead to the end of the ladder.
        scratch_bytes: usize,
    },
    /// Not a page of this layout.
    PageLength {
        /// [`Layout::codeword_bytes`].
        needed: usize,
        /// The length of what was given.
        given: usize,
    },
    /// The scratch is too small for any rung.
    ScratchTooSmall {
        /// Bytes that [`Tier::Small`] needs.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
}

impl core::fmt::Display for Uncorrectable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Beyond => f.write_str("more wrong bits than the page code can mend"),
            Self::LargerDecoder { scratch_bytes } => {
                write!(f, "more wrong bits than this decoder can mend; one with {scratch_bytes} bytes of scratch may")
            }
            Self::PageLength { needed, given } => write!(f, "a page of this layout has {needed} bytes, not {given}"),
            Self::ScratchTooSmall { needed, given } => {
                write!(f, "the smallest decoder needs {needed} bytes of scratch, {given} were given")
            }
        }
    }
}

impl core::error::Error for Uncorrectable {}

/// Writes the parity into the last [`Layout::parity_bytes`] of `page`, a whole raw page.
///
/// Takes the same time whatever the page holds. On NAND the two factory-mark bytes are neither read nor written; they
/// count as 0xFF. A page of the wrong length is left alone, which the caller's own checks must exclude.
pub fn encode(layout: &Layout, page: &mut [u8]) {
    encode_with(layout.code(), page);
}

/// How many of the [`Layout::parity_bits`] checks `page` violates; 0 means that it is a codeword.
///
/// A page of the wrong length violates all of them.
pub fn syndrome_weight(layout: &Layout, page: &[u8]) -> usize {
    let code = layout.code();
    if page.len() != layout.codeword_bytes() {
        return layout.parity_bits();
    }
    with_sums(code, |sums| {
        syndrome(code, page, sums);
        weight(code, sums)
    })
}

/// Whether `page` satisfies every check.
pub fn is_codeword(layout: &Layout, page: &[u8]) -> bool {
    syndrome_weight(layout, page) == 0
}

/// Whether `page` was read from a place that has been erased and not programmed since.
///
/// Every check covers an odd number of bits, so a page of ones violates all of them, and a page with a few zeros still
/// most of them; a programmed page, even one far beyond correction, violates about half. Up to one zero bit for every
/// sixteen of parity is taken for a flipped cell. A page that a power cut left with fewer programmed bits than that is
/// called erased, too.
pub fn looks_erased(layout: &Layout, page: &[u8]) -> bool {
    let code = layout.code();
    if page.len() != layout.codeword_bytes() {
        return false;
    }
    let mark = usize::from(code.shape.mark_word);
    let words = page.as_chunks::<4>().0.iter().enumerate();
    let zeros: usize = words
        .map(|(index, bytes)| {
            (u32::from_le_bytes(*bytes) | if index == mark { 0xFFFF } else { 0 }).count_zeros() as usize
        })
        .sum();
    zeros <= layout.parity_bits() / 16 && syndrome_weight(layout, page) * 100 > layout.parity_bits() * 53
}

/// [`encode`] for a code that is not one of the layouts; for the search that finds codes.
#[doc(hidden)]
pub fn encode_with(code: &Code, page: &mut [u8]) {
    if page.len() != usize::from(code.shape.words) * 4 {
        return;
    }
    with_sums(code, |sums| {
        code.add_data(page, sums);
        code.solve_parity(sums);
        for (bytes, word) in page.as_chunks_mut::<4>().0.iter_mut().skip(code.data_words()).zip(sums) {
            *bytes = word.to_le_bytes();
        }
    });
}

/// Calls `work` with sums that are all zero, enough of them for this code. Clearing what only large pages need would take a
/// tenth of the time of a small one.
fn with_sums<T>(code: &Code, work: impl FnOnce(&mut [u32]) -> T) -> T {
    if FEW_SUM_WORDS < SUM_WORDS && code.sum_words() <= FEW_SUM_WORDS {
        return work(&mut [0; FEW_SUM_WORDS]);
    }
    work(&mut [0; SUM_WORDS])
}

/// Puts the check sums of a page of the right length into `sums`, which must be zero.
fn syndrome(code: &Code, page: &[u8], sums: &mut [u32]) {
    code.add_data(page, sums);
    code.add_parity(page, sums);
}

/// The bits of a column that may be flipped: all but the factory mark.
fn open_bits(code: &Code, column: u16) -> u32 {
    if column == code.shape.mark_word { 0xFFFF_0000 } else { u32::MAX }
}

/// The number of ones among the code's sums.
fn weight(code: &Code, sums: &[u32]) -> usize {
    sums.iter().take(usize::from(code.shape.parity_words)).map(|word| word.count_ones() as usize).sum()
}

// They go through all layouts and rungs.
#[cfg(all(test, feature = "full-decoder", feature = "nand-codes"))]
mod tests;
