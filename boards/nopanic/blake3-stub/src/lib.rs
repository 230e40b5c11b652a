//! A stand-in with blake3's interface, as far as the core uses it, and no panic path. It hashes nothing well.
#![no_std]

/// Bytes of a hash.
pub const OUT_LEN: usize = 32;

/// A hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash([u8; OUT_LEN]);

impl Hash {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; OUT_LEN] {
        &self.0
    }
}

/// Some value that depends on every byte.
#[inline(never)]
pub fn hash(input: &[u8]) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(input);
    hasher.finalize()
}

/// Takes the input in pieces.
#[derive(Clone, Debug, Default)]
pub struct Hasher(u64);

impl Hasher {
    /// Nothing taken yet.
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes some bytes.
    #[inline(never)]
    pub fn update(&mut self, input: &[u8]) -> &mut Self {
        for byte in input {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self
    }

    /// The hash of everything taken.
    #[inline(never)]
    pub fn finalize(&self) -> Hash {
        let mut bytes = [0; OUT_LEN];
        let mut state = self.0;
        for byte in &mut bytes {
            *byte = (state >> 56) as u8;
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        }
        Hash(bytes)
    }
}
