//! The code of literals (RFC 8878, section 4.2).
//!
//! Codes of up to 8 bits, which nearly all literals have, are found in a table. Longer ones are told by their value: of codes that are
//! written out to the longest length, those of one length are a range, the longest codes come first.

use super::bits::Reversed;
use super::fse::{Frequencies, Table};

/// Bits of the longest code.
const CODE_BITS_MAX: u32 = 11;
/// Bits of the codes that are in the table.
const SHORT_BITS: u32 = 8;
/// States of a table for weights.
const WEIGHT_STATES: usize = 64;
/// Weights there may be: 0, and one for each length.
const WEIGHTS: usize = CODE_BITS_MAX as usize + 1;

/// A code, and the memory to read it.
#[derive(Debug)]
pub(super) struct Huffman {
    /// By the next bits: symbol, and above it the length of its code; 0 where that is longer than what the table is for.
    short: [u16; 1 << SHORT_BITS],
    /// Symbols by weight, then by value.
    sorted: [u8; 256],
    /// By weight: where codes of the next one begin, when written out.
    ends: [u16; WEIGHTS],
    /// By weight: what leads from a code to its place among the sorted.
    places: [u16; WEIGHTS],
    /// Bits of the longest code in use; 0 where there is none.
    bits: u32,
    weights: [u8; 256],
    states: Table<WEIGHT_STATES>,
}

impl Huffman {
    pub(super) const fn new() -> Self {
        Self {
            short: [0; 1 << SHORT_BITS],
            sorted: [0; 256],
            ends: [0; WEIGHTS],
            places: [0; WEIGHTS],
            bits: 0,
            weights: [0; 256],
            states: Table::new(),
        }
    }

    /// Forgets the code.
    pub(super) fn clear(&mut self) {
        self.bits = 0;
    }

    /// Whether there is a code.
    pub(super) fn is_built(&self) -> bool {
        self.bits > 0
    }

    /// Reads a description (section 4.2.1) and gives what follows it.
    pub(super) fn read<'d>(&mut self, bytes: &'d [u8]) -> Option<&'d [u8]> {
        self.bits = 0;
        let (&first, bytes) = bytes.split_first()?;
        let (count, rest) = match first.checked_sub(127) {
            Some(count) => {
                let (packed, rest) = bytes.split_at_checked(usize::from(count).div_ceil(2))?;
                for (pair, &byte) in self.weights.chunks_exact_mut(2).zip(packed) {
                    pair.copy_from_slice(&[byte >> 4, byte & 15]);
                }
                (count.into(), rest)
            }
            None => {
                let (packed, rest) = bytes.split_at_checked(first.into())?;
                (self.read_weights(packed)?, rest)
            }
        };
        self.build(count)?;
        Some(rest)
    }

    /// Weights by two states that take turns, until one finds no bits any more.
    fn read_weights(&mut self, packed: &[u8]) -> Option<usize> {
        let (frequencies, stream) = Frequencies::read(packed, WEIGHTS, WEIGHT_STATES.ilog2())?;
        self.states.build(&frequencies)?;
        let mut bits = Reversed::new(stream)?;
        let mut now = self.states.start(&mut bits)?;
        let mut other = self.states.start(&mut bits)?;
        if bits.is_overdrawn() {
            return None;
        }
        let mut count = 0;
        // The last symbol's weight is not written: 255 at most are.
        while !bits.is_overdrawn() {
            *self.weights.get_mut(..255)?.get_mut(count)? = now.symbol() as u8;
            count += 1;
            (now, other) = (other, self.states.next(now, &mut bits)?);
        }
        *self.weights.get_mut(..255)?.get_mut(count)? = now.symbol() as u8;
        Some(count + 1)
    }

    /// Builds the code from so many weights; the one more symbol's takes what they leave.
    fn build(&mut self, count: usize) -> Option<()> {
        let mut left = 0u32;
        let mut counts = [0u16; WEIGHTS];
        for &weight in self.weights.get(..count)? {
            *counts.get_mut(usize::from(weight))? += 1;
            left += 1 << weight >> 1;
        }
        let bits = left.checked_ilog2()? + 1;
        left = (1 << bits) - left;
        let last = left.checked_ilog2()? + 1;
        if bits > CODE_BITS_MAX || !left.is_power_of_two() {
            return None;
        }
        *self.weights.get_mut(count)? = last as u8;
        *counts.get_mut(last as usize)? += 1;
        // Some code is as long as the weights say that the longest is.
        let [_, longest, ..] = counts;
        if longest == 0 {
            return None;
        }
        // From here on the places of each weight's next symbol.
        let (mut place, mut code) = (0u16, 0u16);
        let tables = self.ends.iter_mut().zip(&mut self.places);
        for (weight, (counted, (end, from))) in counts.iter_mut().zip(tables).enumerate().skip(1) {
            *from = u16::wrapping_sub(place, code >> (weight - 1));
            code += *counted << (weight - 1);
            *end = code;
            (*counted, place) = (place, place + *counted);
        }
        for (symbol, &weight) in (0..=u8::MAX).zip(self.weights.get(..=count)?) {
            if let Some(place) = counts.get_mut(usize::from(weight)).filter(|_| weight > 0) {
                *self.sorted.get_mut(usize::from(*place))? = symbol;
                *place += 1;
            }
        }
        self.bits = bits;
        self.build_short();
        Some(())
    }

    fn build_short(&mut self) {
        for index in 0..self.short.len() {
            // The first and the last code that begin with these bits are one where no more bits are needed.
            let code = index << self.bits >> SHORT_BITS;
            let (symbol, length) = self.find(code);
            if let Some(short) = self.short.get_mut(index) {
                *short = if length <= SHORT_BITS { u16::from(symbol) | (length as u16) << 8 } else { 0 };
            }
        }
    }

    /// The symbol of a code that is followed by any bits, and its length.
    fn find(&self, code: usize) -> (u8, u32) {
        let weight = self.ends.iter().skip(1).take_while(|&&end| usize::from(end) <= code).count();
        let place = self.places.get(weight + 1).copied().unwrap_or(0);
        let place = place.wrapping_add((code >> weight) as u16);
        (self.sorted.get(usize::from(place)).copied().unwrap_or(0), self.bits.saturating_sub(weight as u32))
    }

    /// Decodes as many symbols as there is room for.
    pub(super) fn decode(&self, bits: &mut Reversed<'_>, symbols: &mut [u8]) {
        for symbol in symbols {
            bits.fill();
            let short = self.short.get(bits.peek(SHORT_BITS)).copied().unwrap_or(0);
            let (found, length) =
                if short != 0 { (short as u8, u32::from(short >> 8)) } else { self.find(bits.peek(self.bits)) };
            *symbol = found;
            bits.skip(length);
        }
    }
}
