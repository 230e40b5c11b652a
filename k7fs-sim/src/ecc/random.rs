//! Random numbers that every platform draws alike.

/// SplitMix64, started from several numbers.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    /// The stream that belongs to these numbers; their order matters.
    pub(super) fn of(numbers: &[u64]) -> Self {
        Self(numbers.iter().fold(0, |key, number| scramble((key ^ number).wrapping_add(STEP))))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        scramble(self.0)
    }

    /// A number below `bound`. Some are more likely than others by `bound` in 2^64, which no measurement can tell.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

const fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_pinned() {
        // These must never change: recorded frames could not be made again.
        let mut random = Random::of(&[1, 2, 3]);
        assert_eq!([random.next(), random.below(1000)], PINNED);
        assert_ne!(Random::of(&[1, 2]).next(), Random::of(&[2, 1]).next());
        assert_ne!(Random::of(&[0]).next(), Random::of(&[0, 0]).next());
    }

    const PINNED: [u64; 2] = [1_321_962_074_176_129_191, 863];
}
