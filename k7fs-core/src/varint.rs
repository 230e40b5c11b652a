//! ULEB128 integers and the small readers and writers of every structure on flash.
//!
//! Integers are canonical: no byte sequence longer than needed is accepted, so that every value has one encoding.

/// Bytes of the longest encoding.
pub(crate) const ULEB_BYTES_MAX: usize = 10;

/// Bytes that `value` takes.
pub(crate) fn uleb_len(value: u64) -> usize {
    let bits = (u64::BITS - (value | 1).leading_zeros()) as usize;
    bits.div_ceil(7)
}

/// Writes into a slice; running over its end is remembered, not an error at each call.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    bytes: &'a mut [u8],
    len: usize,
    overflow: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0, overflow: false }
    }

    pub(crate) fn byte(&mut self, value: u8) {
        match self.bytes.get_mut(self.len) {
            Some(place) => {
                *place = value;
                self.len += 1;
            }
            None => self.overflow = true,
        }
    }

    pub(crate) fn bytes(&mut self, values: &[u8]) {
        match self.bytes.get_mut(self.len..).and_then(|rest| rest.get_mut(..values.len())) {
            Some(place) => {
                place.copy_from_slice(values);
                self.len += values.len();
            }
            None => self.overflow = true,
        }
    }

    pub(crate) fn uleb(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// How much was written, or `None` where it did not fit.
    pub(crate) fn finish(self) -> Option<usize> {
        (!self.overflow).then_some(self.len)
    }
}

/// Reads from a slice; `None` past its end or at a non-canonical integer.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let value = *self.bytes.get(self.position)?;
        self.position += 1;
        Some(value)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let value = self.bytes.get(self.position..)?.get(..len)?;
        self.position += len;
        Some(value)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn uleb(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for i in 0..ULEB_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            // The tenth byte holds the 64th bit only.
            if i == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * i);
            if byte & 0x80 == 0 {
                return (i == 0 || byte != 0).then_some(value);
            }
        }
        None
    }

    pub(crate) fn uleb32(&mut self) -> Option<u32> {
        u32::try_from(self.uleb()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_value_comes_back(value: u64) {
            let mut bytes = [0; ULEB_BYTES_MAX];
            let mut writer = Writer::new(&mut bytes);
            writer.uleb(value);
            let len = writer.finish().unwrap();
            prop_assert_eq!(len, uleb_len(value));
            prop_assert_eq!(Reader::new(&bytes[..len]).uleb(), Some(value));
        }

        #[test]
        fn what_decodes_is_canonical(bytes: [u8; 11]) {
            let mut reader = Reader::new(&bytes);
            if let Some(value) = reader.uleb() {
                let mut again = [0; ULEB_BYTES_MAX];
                let mut writer = Writer::new(&mut again);
                writer.uleb(value);
                let len = writer.finish().unwrap();
                prop_assert_eq!(&again[..len], &bytes[..reader.position()]);
            }
        }
    }
}
