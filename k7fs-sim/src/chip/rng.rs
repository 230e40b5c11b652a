//! Counter-based random numbers.
//!
//! Every draw is a pure function of the chip's seed, what the draw is for, where on the chip it happens and how often
//! that has happened before. Removing one operation from a run therefore does not reshuffle the faults of the others,
//! and the same seed gives the same trace on every platform: only integer arithmetic and the exactly rounded
//! operations of `f64` are used.

/// What a draw is for; keeps the streams of different faults apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    FactoryBad = 1,
    ReadFlip,
    WeakRead,
    TornProgram,
    TornErase,
    UnstableBits,
    WeakErase,
    ProgramFailure,
    EraseFailure,
    Content,
    WeakBits,
    Life,
    Faded,
    FadedOrder,
    Spoilt,
    Unerased,
}

/// Scrambles one word so that neighbouring inputs give unrelated outputs (the finaliser of SplitMix64).
pub(super) const fn scramble(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Multiplies to 128 bits and folds the halves together.
pub(super) const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// One stream of numbers, belonging to one purpose at one place and time.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    key: u64,
    count: u64,
}

impl Draw {
    pub(super) fn new(seed: u64, purpose: Purpose, place: &[u64]) -> Self {
        let start = scramble(seed ^ scramble(purpose as u64));
        let key = place.iter().fold(start, |key, word| scramble(key ^ word.wrapping_mul(0xD6E8_FEB8_6659_FD93)));
        Self { key, count: 0 }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.count = self.count.wrapping_add(1);
        scramble(self.key.wrapping_add(self.count.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True with probability `rate`.
    pub(super) fn chance(&mut self, rate: f64) -> bool {
        // The second half draws from 0 to 2^53 - 1, which f64 holds exactly.
        rate > 0.0 && ((self.next() >> 11) as f64) < rate * TWO_53
    }

    /// 64 bits, each set with probability `of_256 / 256`; `of_256` is at most 256.
    pub(super) fn bits(&mut self, of_256: u32) -> u64 {
        if of_256 >= 256 {
            return u64::MAX;
        }
        // From the lowest set bit of the probability up, each step halves it and adds a half where its bit is set.
        let mut bits = 0;
        for step in of_256.trailing_zeros().min(8)..8 {
            let random = self.next();
            bits = if of_256 >> step & 1 == 1 { bits | random } else { bits & random };
        }
        bits
    }

    /// Sets each bit of `bytes` with probability `of_256 / 256` and clears the others.
    pub(super) fn fill(&mut self, bytes: &mut [u8], of_256: u32) {
        for chunk in bytes.chunks_mut(8) {
            let bits = self.bits(of_256).to_le_bytes();
            chunk.copy_from_slice(&bits[..chunk.len()]);
        }
    }
}

const TWO_53: f64 = 9_007_199_254_740_992.0;

/// Positions below a total, each selected with the same probability, found by jumping from one to the next so that
/// the cost depends on how many there are.
#[derive(Debug)]
pub(super) struct Selected {
    draw: Draw,
    next: u64,
    total: u64,
    /// ln(1 - rate): negative; 0 selects nothing.
    log_miss: f64,
    every: bool,
}

impl Selected {
    pub(super) fn new(draw: Draw, rate: f64, total: u64) -> Self {
        let every = rate >= 1.0;
        let log_miss = if every || rate <= 0.0 { 0.0 } else { log(1.0 - rate) };
        Self { draw, next: 0, total, log_miss, every }
    }
}

impl Iterator for Selected {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if !self.every {
            if self.log_miss == 0.0 {
                return None;
            }
            let uniform = ((self.draw.next() >> 11) + 1) as f64 / TWO_53;
            let skip = log(uniform) / self.log_miss;
            // Compared as a float first: a tiny rate skips further than an integer holds.
            if skip >= (self.total.saturating_sub(self.next)) as f64 {
                self.next = self.total;
                return None;
            }
            self.next += skip as u64;
        }
        if self.next >= self.total {
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

/// The natural logarithm of a normal number above 0, from exactly rounded operations only: the one of the platform's
/// library may differ in the last bit from platform to platform.
fn log(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7FF) as i32 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000F_FFFF_FFFF_FFFF) | 0x3FF0_0000_0000_0000);
    if mantissa > core::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    // 2 * (s + s^3/3 + s^5/5 + ...): with |s| < 0.172 nine terms reach the precision of f64.
    let mut sum = 0.0;
    for odd in [17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * square + 1.0 / odd;
    }
    2.0 * s * sum + f64::from(exponent) * core::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_is_close_to_the_library_one() {
        for x in [1e-300, 1e-9, 0.3, 0.5, 0.707, 0.999_999, 1.0, 1.5, 2.0, 1e17] {
            assert!((log(x) - f64::ln(x)).abs() <= 1e-13 * f64::ln(x).abs().max(1.0), "{x}");
        }
    }

    #[test]
    fn streams_are_pinned() {
        // These numbers must never change: every replay token ever printed depends on them.
        let mut draw = Draw::new(7, Purpose::ReadFlip, &[1, 2, 3]);
        let drawn = [draw.next(), draw.next(), draw.below(1000)];
        assert_eq!(drawn, PINNED);
        let picked: Vec<u64> = Selected::new(Draw::new(7, Purpose::WeakRead, &[]), 0.01, 500).collect();
        assert_eq!(picked, PINNED_PICKS);
    }

    const PINNED: [u64; 3] = [7_102_875_406_266_072_929, 16_957_792_684_044_639_715, 393];
    const PINNED_PICKS: [u64; 4] = [108, 240, 333, 493];

    #[test]
    fn bits_have_the_asked_rate() {
        for of_256 in [0, 1, 32, 100, 128, 255, 256] {
            let mut draw = Draw::new(3, Purpose::TornErase, &[]);
            let set: u32 = (0..4000).map(|_| draw.bits(of_256).count_ones()).sum();
            assert!(set.abs_diff(1000 * of_256) <= 1500, "{of_256}: {set}");
        }
        let mut bytes = [1; 11];
        Draw::new(3, Purpose::TornErase, &[]).fill(&mut bytes, 0);
        assert_eq!(bytes, [0; 11]);
    }

    #[test]
    fn selection_has_the_asked_rate() {
        for (rate, total) in [(0.5, 20_000_u64), (0.125, 80_000), (1e-3, 10_000_000), (1e-5, 1_000_000_000)] {
            let found = Selected::new(Draw::new(1, Purpose::ReadFlip, &[9]), rate, total).count() as f64;
            let expected = rate * total as f64;
            assert!((found - expected).abs() < expected * 0.05, "{rate}: {found} of {expected}");
        }
        assert_eq!(Selected::new(Draw::new(1, Purpose::ReadFlip, &[]), 1.0, 77).count(), 77);
        assert_eq!(Selected::new(Draw::new(1, Purpose::ReadFlip, &[]), 0.0, 77).count(), 0);
    }
}
