//! Streams of bits that are read from their end, as all of a frame's entropy coding is.

/// Bits of the word that holds what comes next.
const WORD_BITS: u32 = usize::BITS;
/// What is loaded at once.
const HALF_BYTES: usize = size_of::<usize>() / 2;
const HALF_BITS: i32 = WORD_BITS as i32 / 2;
/// Bits of the longest [`Reversed::read`], on every machine.
const READ_BITS_MAX: u32 = 16;

/// Bits from the last to the first. What is read beyond the first one is zero, and counted.
#[derive(Debug)]
pub(super) struct Reversed<'d> {
    /// Bytes that are not in the word yet.
    bytes: &'d [u8],
    /// The next bits, the very next topmost.
    word: usize,
    /// How many the word has; below zero where more was read than there was.
    held: i32,
}

impl<'d> Reversed<'d> {
    /// A stream: the highest bit that is set in its last byte is not part of it any more. `None` where there is no such.
    pub(super) fn new(bytes: &'d [u8]) -> Option<Self> {
        let (&last, bytes) = bytes.split_last()?;
        let held = last.checked_ilog2()?;
        Some(Self { bytes, word: usize::from(last) << 1 << (WORD_BITS - 1 - held), held: held as i32 })
    }

    /// Whether all of it was read, and no more.
    pub(super) fn is_spent(&self) -> bool {
        self.held == 0 && self.bytes.is_empty()
    }

    /// Whether more was read than there was.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.held < 0
    }

    /// Makes the next 16 bits available, as far as there are any.
    #[inline]
    pub(super) fn fill(&mut self) {
        if self.held <= HALF_BITS {
            self.load();
        }
    }

    #[inline]
    fn load(&mut self) {
        if let Some((rest, half)) = self.bytes.split_last_chunk::<HALF_BYTES>() {
            let half = half.iter().rev().fold(0, |half, &byte| half << 8 | usize::from(byte));
            self.word |= half << (HALF_BITS - self.held);
            self.held += HALF_BITS;
            self.bytes = rest;
        } else {
            self.load_rest();
        }
    }

    /// The stream's first bytes, fewer than are loaded at once.
    #[inline(never)]
    fn load_rest(&mut self) {
        while let Some((&byte, rest)) = self.bytes.split_last() {
            self.word |= usize::from(byte) << (WORD_BITS as i32 - 8 - self.held);
            self.held += 8;
            self.bytes = rest;
        }
    }

    /// The next bits, 16 at most, of those that [`Self::fill`] has made available.
    #[inline]
    pub(super) fn peek(&self, bits: u32) -> usize {
        self.word >> 1 >> (WORD_BITS - 1 - bits)
    }

    /// Goes on by 16 bits at most.
    #[inline]
    pub(super) fn skip(&mut self, bits: u32) {
        self.word <<= bits;
        self.held -= bits as i32;
    }

    /// Reads 16 bits at most.
    #[inline]
    pub(super) fn read(&mut self, bits: u32) -> usize {
        self.fill();
        let value = self.peek(bits);
        self.skip(bits);
        value
    }

    /// Reads 32 bits at most.
    #[inline]
    pub(super) fn read_long(&mut self, bits: u32) -> usize {
        let upper = bits.saturating_sub(READ_BITS_MAX);
        let value = if upper > 0 { self.read(upper) } else { 0 };
        value << (bits - upper) | self.read(bits - upper)
    }
}

/// Bits from the first to the last, the lowest of each byte first.
#[derive(Debug)]
pub(super) struct Forward<'d> {
    bytes: &'d [u8],
    position: usize,
}

impl<'d> Forward<'d> {
    pub(super) fn new(bytes: &'d [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The next bits, 16 at most; zeros behind the end.
    pub(super) fn peek(&self, bits: u32) -> u32 {
        let at = |index| u32::from(self.bytes.get(self.position / 8 + index).copied().unwrap_or(0));
        let word = at(0) | at(1) << 8 | at(2) << 16;
        (word >> (self.position % 8)) & ((1 << bits) - 1)
    }

    pub(super) fn skip(&mut self, bits: u32) {
        self.position += bits as usize;
    }

    pub(super) fn read(&mut self, bits: u32) -> u32 {
        let value = self.peek(bits);
        self.skip(bits);
        value
    }

    /// What follows the byte that the last bit was in. `None` where more was read than there was.
    pub(super) fn rest(self) -> Option<&'d [u8]> {
        self.bytes.get(self.position.div_ceil(8)..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_from_the_end() {
        // 1 marks the end, then 011, then 0xA5, then 0x3C.
        let mut bits = Reversed::new(&[0x3C, 0xA5, 0b1011]).expect("a stream");
        assert_eq!((bits.read(3), bits.read(4), bits.read(8)), (0b011, 0xA, 0x53));
        assert!(!bits.is_spent());
        assert_eq!(bits.read(4), 0xC);
        assert!(bits.is_spent() && !bits.is_overdrawn());
        assert_eq!(bits.read(9), 0);
        assert!(bits.is_overdrawn() && !bits.is_spent());
        assert!(Reversed::new(&[]).is_none() && Reversed::new(&[1, 0]).is_none());
        assert!(Reversed::new(&[1]).expect("an empty stream").is_spent());
    }

    #[test]
    fn any_split_reads_the_same() {
        let bytes: [u8; 37] = core::array::from_fn(|index| (index * 73 + 41) as u8 | 1);
        for width in 1..=25 {
            let mut long = Reversed::new(&bytes).expect("a stream");
            let mut single = Reversed::new(&bytes).expect("a stream");
            while !long.is_overdrawn() {
                let bits = (0..width).fold(0, |value, _| value << 1 | single.read(1));
                assert_eq!(long.read_long(width), bits);
            }
        }
    }

    #[test]
    fn forward_bits_come_from_the_start() {
        let mut bits = Forward::new(&[0b1010_0110, 0x5C, 7]);
        assert_eq!((bits.read(3), bits.read(9), bits.peek(4)), (6, 0b1100_10100, 5));
        assert_eq!(bits.rest(), Some(&[7][..]));
        let mut bits = Forward::new(&[1]);
        bits.skip(9);
        assert_eq!(bits.rest(), None);
    }
}
