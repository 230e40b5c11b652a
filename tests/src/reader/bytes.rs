//! Integers and checksums of the format.

use super::Result;

/// Takes fields off the front of a structure.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    pub(super) fn new(bytes: &'b [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'b [u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let taken = &self.bytes[self.at.min(self.bytes.len())..end.ok_or("a structure ends too early")?];
        self.at += length;
        Ok(taken)
    }

    pub(super) fn rest(&mut self) -> &'b [u8] {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        self.at = self.bytes.len();
        rest
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as long as it was asked for"))
    }

    /// A canonical ULEB128.
    pub(super) fn number(&mut self) -> Result<u64> {
        let mut value = 0_u128;
        for place in 0..10 {
            let byte = self.byte()?;
            value |= u128::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                if byte == 0 && place > 0 {
                    return Err("an integer is longer than it needs to be".to_owned());
                }
                return u64::try_from(value).map_err(|_| "an integer is too large".to_owned());
            }
        }
        Err("an integer does not end".to_owned())
    }

    pub(super) fn small(&mut self) -> Result<u32> {
        u32::try_from(self.number()?).map_err(|_| "a number is too large for its field".to_owned())
    }

    /// A field that is 0 for none.
    pub(super) fn optional(&mut self) -> Result<Option<u64>> {
        Ok(self.number()?.checked_sub(1))
    }

    pub(super) fn optional_small(&mut self) -> Result<Option<u32>> {
        Ok(self.small()?.checked_sub(1))
    }
}

/// CRC-32C by the bit: the register starts with the initial value in reversed order of bits, see section 2.
#[derive(Clone, Debug)]
pub(super) struct Crc(u32);

impl Crc {
    pub(super) fn new(initial: u32) -> Self {
        Self(initial.reverse_bits())
    }

    pub(super) fn update(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.0 ^= u32::from(*byte);
            for _ in 0..8 {
                self.0 = if self.0 & 1 == 1 { self.0 >> 1 ^ 0x82F6_3B78 } else { self.0 >> 1 };
            }
        }
        self
    }

    pub(super) fn finish(self) -> u32 {
        !self.0
    }
}

/// The first eight bytes of BLAKE3 over some parts.
pub(super) fn hash(parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().as_bytes()[..8].try_into().expect("a hash has 32 bytes")
}
