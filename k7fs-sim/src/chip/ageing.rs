//! How cells age: more wrong bits with every erase, and blocks that fail at the end of a life of their own.

use super::rng::{Draw, Purpose};

/// How a chip ages, where it does.
///
/// Blocks differ: each has a life drawn once from a normal distribution, of which one in 50 is shorter than the erases that the
/// maker promises. That is how data sheets of NAND put it: so many cycles, with at most 2 % of the blocks bad. At its end a block
/// fails for good, half of them in an erase and half in a program; what was programmed before stays readable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ageing {
    /// Erases that the maker promises of a block.
    pub endurance: u32,
    /// Probability that a bit of a block erased that often reads flipped. Less before, more after, with the square of the
    /// erases (the power law of Mielke 2008, its exponent assumed).
    pub bit_flip_rate: f64,
    /// Standard deviation of the lives of blocks, as a share of the endurance.
    pub spread: f64,
}

/// Standard deviations below the mean at which one in 50 of a normal distribution lies.
const ONE_IN_50: f64 = 2.054;
/// The spread where nobody says otherwise: assumed.
pub const SPREAD: f64 = 0.1;

impl Ageing {
    /// A chip that lives as long as promised, with so many wrong bits at the end.
    pub const fn new(endurance: u32, bit_flip_rate: f64) -> Self {
        Self { endurance, bit_flip_rate, spread: SPREAD }
    }

    /// Probability that a bit reads flipped in a block erased so often.
    pub(super) fn bit_flip_rate(&self, erases: u32) -> f64 {
        let age = f64::from(erases) / f64::from(self.endurance.max(1));
        (self.bit_flip_rate * age * age).min(0.5)
    }

    /// How the chip of this seed ends one of its blocks.
    pub(super) fn end(&self, seed: u64, block: u32, pages_per_block: u32) -> End {
        let mut draw = Draw::new(seed, Purpose::Life, &[block.into()]);
        // Twelve uniform draws less six: nearly normal, by exact operations only.
        let sum: u64 = (0..12).map(|_| draw.next() >> 32).sum();
        let normal = sum as f64 / 4_294_967_296.0 - 6.0;
        let life = f64::from(self.endurance) * (1.0 + self.spread * (normal + ONE_IN_50));
        let page = (draw.below(2) == 0).then(|| draw.below(pages_per_block.into()) as u32);
        End { erases: life.max(1.0) as u32, page }
    }
}

/// The end of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Erases that still succeed.
    erases: u32,
    /// After the last of them, the first page whose program fails; without one the next erase does.
    page: Option<u32>,
}

impl End {
    /// Whether a block erased so often, this time included, fails: in an erase, or in a program of this page of it.
    pub(super) fn has_come(&self, erases: u32, program: Option<u32>) -> bool {
        match (self.page, program) {
            (Some(end), Some(page)) => erases > self.erases || erases == self.erases && page >= end,
            (None, Some(_)) => false,
            (_, None) => erases > self.erases,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_in_50_does_not_live_as_long_as_promised() {
        let ageing = Ageing::new(10_000, 1e-6);
        let lives: Vec<u32> = (0..50_000).map(|block| ageing.end(7, block, 64).erases).collect();
        let short = lives.iter().filter(|life| **life < 10_000).count();
        assert!((900..1100).contains(&short), "{short} of 50,000 live shorter than promised");
        let mean = lives.iter().map(|life| f64::from(*life)).sum::<f64>() / 50_000.0;
        assert!((12_000.0..12_110.0).contains(&mean), "a block lives {mean} erases");
    }

    #[test]
    fn half_of_the_blocks_end_in_a_program_and_none_twice() {
        let ageing = Ageing::new(100, 1e-6);
        let ends: Vec<End> = (0..1000).map(|block| ageing.end(3, block, 64)).collect();
        let programs = ends.iter().filter(|end| end.page.is_some()).count();
        assert!((450..550).contains(&programs), "{programs} of 1000 end in a program");
        for end in ends {
            let life = end.erases;
            assert!(!end.has_come(life, None) && end.has_come(life + 1, None));
            assert!((0..64).all(|page| !end.has_come(life - 1, Some(page))));
            assert_eq!((0..64).find(|page| end.has_come(life, Some(*page))), end.page);
        }
    }

    #[test]
    fn wrong_bits_grow_with_the_square_of_the_erases() {
        let ageing = Ageing::new(1000, 1e-4);
        assert_eq!(ageing.bit_flip_rate(0), 0.0);
        assert!((ageing.bit_flip_rate(500) - 0.25e-4).abs() < 1e-12);
        assert!((ageing.bit_flip_rate(2000) - 4e-4).abs() < 1e-12);
    }
}
