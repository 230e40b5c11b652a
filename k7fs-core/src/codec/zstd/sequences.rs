//! Sequences of a block (RFC 8878, section 3.1.1.3.2): so many literals, then a copy of what lies so far back.

use super::bits::Reversed;
use super::frame::Output;
use super::fse::{Frequencies, Table};
use super::huffman::Huffman;
use super::literals::Literals;

/// Literal lengths below this are their own code.
const PLAIN_LENGTHS: usize = 16;
/// Bits behind the codes of literal lengths from there on.
const LENGTH_BITS: [u8; 20] = [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const LENGTHS: [u32; 20] = bases(16, &LENGTH_BITS);
/// The shortest match, and how many lengths from there on are their own code.
const MATCH_MIN: usize = 3;
const PLAIN_MATCHES: usize = 32;
/// Bits behind the codes of match lengths from there on.
const MATCH_BITS: [u8; 21] = [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const MATCHES: [u32; 21] = bases(35, &MATCH_BITS);
/// Bits of the longest offset that can lie within a block.
const OFFSET_BITS_MAX: usize = 25;
/// Offsets that are known when a frame begins.
const OFFSETS: [usize; 3] = [1, 4, 8];

/// How frequent codes are where nothing is said of it (section 3.1.1.3.2.2).
const USUAL_LENGTHS: [i8; 36] =
    [4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1];
const USUAL_OFFSETS: [i8; 29] =
    [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1];
const USUAL_MATCHES: [i8; 53] = [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];

/// The shortest length of each code: each begins where the one before ends.
const fn bases<const CODES: usize>(first: u32, bits: &[u8; CODES]) -> [u32; CODES] {
    let mut bases = [first; CODES];
    let mut code = 1;
    while code < CODES {
        bases[code] = bases[code - 1] + (1 << bits[code - 1]);
        code += 1;
    }
    bases
}

/// One of the three alphabets.
struct Alphabet {
    usual: &'static [i8],
    usual_log: u32,
    symbols: usize,
}

const LENGTH_CODES: Alphabet = Alphabet { usual: &USUAL_LENGTHS, usual_log: 6, symbols: 36 };
const OFFSET_CODES: Alphabet = Alphabet { usual: &USUAL_OFFSETS, usual_log: 5, symbols: 32 };
const MATCH_CODES: Alphabet = Alphabet { usual: &USUAL_MATCHES, usual_log: 6, symbols: 53 };

/// The tables that sequences are read by, and the last three offsets: they stay from block to block.
#[derive(Debug)]
pub(super) struct Sequences {
    lengths: Table<512>,
    offsets: Table<256>,
    matches: Table<512>,
    recent: [usize; 3],
}

impl Sequences {
    /// All zeros, so that a `static` takes no room in flash.
    pub(super) const fn new() -> Self {
        Self { lengths: Table::new(), offsets: Table::new(), matches: Table::new(), recent: [0; 3] }
    }

    /// Begins a frame.
    pub(super) fn clear(&mut self) {
        self.lengths.clear();
        self.offsets.clear();
        self.matches.clear();
        self.recent = OFFSETS;
    }

    /// Decodes a block's sequences and all its literals.
    pub(super) fn decode(
        &mut self, section: &[u8], literals: &mut Literals<'_>, code: &Huffman, output: &mut Output<'_>,
    ) -> Option<()> {
        let (count, section) = count(section)?;
        if count > 0 {
            let (&modes, rest) = section.split_first()?;
            let rest = read_table(&mut self.lengths, &LENGTH_CODES, modes >> 6, rest)?;
            let rest = read_table(&mut self.offsets, &OFFSET_CODES, modes >> 4 & 3, rest)?;
            let rest = read_table(&mut self.matches, &MATCH_CODES, modes >> 2 & 3, rest)?;
            let bits = Reversed::new(rest).filter(|_| modes & 3 == 0)?;
            self.execute(count, bits, literals, code, output)?;
        } else if !section.is_empty() {
            return None;
        }
        literals.take(output.room(literals.len())?, code)?;
        literals.is_spent().then_some(())
    }

    fn execute(
        &mut self, count: usize, mut bits: Reversed<'_>, literals: &mut Literals<'_>, code: &Huffman,
        output: &mut Output<'_>,
    ) -> Option<()> {
        let mut length = self.lengths.start(&mut bits)?;
        let mut offset = self.offsets.start(&mut bits)?;
        let mut matched = self.matches.start(&mut bits)?;
        for left in (0..count).rev() {
            let offset_code = offset.symbol();
            if offset_code > OFFSET_BITS_MAX {
                return None;
            }
            let distance = (1 << offset_code) + bits.read_long(offset_code as u32);
            let match_length = match matched.symbol().checked_sub(PLAIN_MATCHES) {
                None => matched.symbol() + MATCH_MIN,
                Some(code) => *MATCHES.get(code)? as usize + bits.read((*MATCH_BITS.get(code)?).into()),
            };
            let literal_length = match length.symbol().checked_sub(PLAIN_LENGTHS) {
                None => length.symbol(),
                Some(code) => *LENGTHS.get(code)? as usize + bits.read((*LENGTH_BITS.get(code)?).into()),
            };
            if left > 0 {
                length = self.lengths.next(length, &mut bits)?;
                matched = self.matches.next(matched, &mut bits)?;
                offset = self.offsets.next(offset, &mut bits)?;
            }
            if bits.is_overdrawn() {
                return None;
            }
            let distance = self.distance(distance, literal_length)?;
            literals.take(output.room(literal_length)?, code)?;
            output.repeat(distance, match_length)?;
        }
        bits.is_spent().then_some(())
    }

    /// The distance that a value stands for: one of the last three, or a new one (section 3.1.1.5).
    #[inline]
    fn distance(&mut self, value: usize, literal_length: usize) -> Option<usize> {
        let [first, second, third] = self.recent;
        let is_later = usize::from(literal_length == 0);
        self.recent = match value.checked_sub(4) {
            Some(distance) => [distance + 1, first, second],
            None => match value - 1 + is_later {
                0 => [first, second, third],
                1 => [second, first, third],
                2 => [third, first, second],
                _ => [first.checked_sub(1).filter(|&distance| distance > 0)?, first, second],
            },
        };
        let [distance, ..] = self.recent;
        Some(distance)
    }
}

/// How many sequences there are, and what follows that.
fn count(section: &[u8]) -> Option<(usize, &[u8])> {
    match *section {
        [low @ 0..128, ref rest @ ..] => Some((low.into(), rest)),
        [255, low, high, ref rest @ ..] => Some((usize::from(low) + (usize::from(high) << 8) + 0x7F00, rest)),
        [high @ 128..=254, low, ref rest @ ..] => Some((usize::from(high - 128) << 8 | usize::from(low), rest)),
        _ => None,
    }
}

/// Makes one of the tables and gives what follows its description.
fn read_table<'d, const STATES: usize>(
    table: &mut Table<STATES>, alphabet: &Alphabet, mode: u8, section: &'d [u8],
) -> Option<&'d [u8]> {
    match mode {
        0 => table.build(&Frequencies::listed(alphabet.usual, alphabet.usual_log)).map(|()| section),
        1 => {
            let (&symbol, rest) = section.split_first()?;
            table.set_only(symbol).filter(|()| usize::from(symbol) < alphabet.symbols).map(|()| rest)
        }
        2 => {
            let (frequencies, rest) = Frequencies::read(section, alphabet.symbols, Table::<STATES>::LOG_MAX)?;
            table.build(&frequencies).map(|()| rest)
        }
        _ => table.is_built().then_some(section),
    }
}
