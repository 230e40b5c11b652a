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

    #[inline(never)]
    pub(crate) fn byte(&mut self, value: u8) {
        match self.bytes.get_mut(self.len) {
            Some(place) => {
                *place = value;
                self.len += 1;
            }
            None => self.overflow = true,
        }
    }

    #[inline(never)]
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

    /// A page or block that there may be, plus one; 0 for none.
    pub(crate) fn uleb_plus_one(&mut self, value: Option<u32>) {
        self.uleb(value.map_or(0, |value| u64::from(value) + 1));
    }

    /// What was written, or `None` where it did not fit.
    pub(crate) fn finish(self) -> Option<&'a [u8]> {
        let bytes: &'a [u8] = self.bytes;
        if self.overflow { None } else { bytes.get(..self.len) }
    }
}

/// Reads from a slice; running past its end or into an integer that is not canonical is remembered, not an error at
/// each call. Such a read yields zeros.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    failed: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, failed: false }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Whether everything read so far was there.
    pub(crate) fn is_sound(&self) -> bool {
        !self.failed
    }

    /// `value`, unless a read that it was made from has failed.
    pub(crate) fn finish<T>(&self, value: T) -> Option<T> {
        self.is_sound().then_some(value)
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) fn byte(&mut self) -> u8 {
        let [value] = self.array();
        value
    }

    /// The next `len` bytes; none where there are fewer.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        match self.bytes.get(self.position..).and_then(|rest| rest.get(..len)) {
            Some(value) => {
                self.position += len;
                value
            }
            None => {
                self.failed = true;
                &[]
            }
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N).try_into().unwrap_or([0; N])
    }

    pub(crate) fn uleb(&mut self) -> u64 {
        let mut value = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte();
            let bits = u64::from(byte & 0x7F);
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let is_longer = byte == 0 && shift > 0;
                let is_too_large = bits << shift >> shift != bits;
                if !is_longer && !is_too_large {
                    return value;
                }
                break;
            }
        }
        self.failed = true;
        0
    }

    pub(crate) fn uleb32(&mut self) -> u32 {
        let value = self.uleb();
        self.narrow(value)
    }

    fn narrow(&mut self, value: u64) -> u32 {
        let narrow = u32::try_from(value);
        self.failed |= narrow.is_err();
        narrow.unwrap_or(0)
    }

    /// A page or block as [`Writer::uleb_plus_one`] writes it.
    pub(crate) fn uleb_minus_one(&mut self) -> Option<u32> {
        let value = self.uleb().checked_sub(1)?;
        Some(self.narrow(value))
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
            let written = writer.finish().unwrap();
            prop_assert_eq!(written.len(), uleb_len(value));
            let mut reader = Reader::new(written);
            prop_assert_eq!(reader.uleb(), value);
            prop_assert!(reader.is_sound());
        }

        #[test]
        fn what_decodes_is_canonical(bytes: [u8; 11]) {
            let mut reader = Reader::new(&bytes);
            let value = reader.uleb();
            if reader.is_sound() {
                let mut again = [0; ULEB_BYTES_MAX];
                let mut writer = Writer::new(&mut again);
                writer.uleb(value);
                prop_assert_eq!(writer.finish().unwrap(), &bytes[..reader.position()]);
            }
        }
    }
}
