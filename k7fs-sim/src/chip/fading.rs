//! How content fades: cells lose charge with the years and take some from reads nearby, and worn ones faster.

use super::rng::{Draw, Purpose, Selected};

/// How a chip's content fades, where it does. What has faded stays wrong until the block is erased: reading again does not help.
///
/// The share of wrong bits grows linearly with the time since the page was programmed and with the square of its block's erases
/// (the power laws of Mielke 2008, both exponents assumed).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fading {
    /// Erases that the maker promises of a block.
    pub endurance: u32,
    /// Years that content is promised to stay in a block erased that often.
    pub years: f64,
    /// Share of the bits that is wrong then.
    pub bit_flip_rate: f64,
    /// The same for one read of another page of the block.
    pub read_disturb: f64,
    /// How often a block is read in a year, beside the reads of the run.
    pub reads_per_year: f64,
}

/// More than this share of a page's bits never fades.
const SHARE_MAX: f64 = 1.0 / 32.0;

impl Fading {
    /// The share of wrong bits on a page of a block erased so often, so many years after it was programmed, where this run has read its
    /// neighbours so many times since: those come on top of the ones that every year brings.
    pub(super) fn share(&self, erases: u32, years: f64, reads: u32) -> f64 {
        let age = f64::from(erases) / f64::from(self.endurance.max(1));
        let lost = self.bit_flip_rate * age * age * years / self.years.max(f64::MIN_POSITIVE);
        (lost + self.read_disturb * (self.reads_per_year * years + f64::from(reads))).clamp(0.0, SHARE_MAX)
    }

    /// The wrong bits of a page, ascending: those of a smaller share are among those of a larger one.
    pub(super) fn bits(share: f64, seed: u64, place: &[u64], bits: u64) -> impl Iterator<Item = u32> {
        let chosen = Selected::new(Draw::new(seed, Purpose::Faded, place), SHARE_MAX, bits);
        let mut order = Draw::new(seed, Purpose::FadedOrder, place);
        chosen.filter(move |_| order.chance(share / SHARE_MAX)).map(|bit| bit as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FADING: Fading =
        Fading { endurance: 1000, years: 10.0, bit_flip_rate: 1e-3, read_disturb: 1e-9, reads_per_year: 1e5 };

    #[test]
    fn the_share_is_the_promised_one_when_the_promise_ends() {
        let quiet = Fading { reads_per_year: 0.0, ..FADING };
        assert!((quiet.share(1000, 10.0, 0) - 1e-3).abs() < 1e-12);
        assert!((quiet.share(500, 20.0, 0) - 0.5e-3).abs() < 1e-12);
        assert!((FADING.share(0, 10.0, 0) - 1e-3).abs() < 1e-12);
        assert!((FADING.share(0, 0.0, 1_000_000) - 1e-3).abs() < 1e-12);
        assert_eq!(FADING.share(1000, 0.0, 0), 0.0);
    }

    #[test]
    fn what_has_faded_stays_so() {
        let bits = |share| Fading::bits(share, 3, &[7, 1], 1 << 20).collect::<Vec<u32>>();
        let (few, many) = (bits(1e-4), bits(1e-3));
        assert!((60..150).contains(&few.len()) && (900..1200).contains(&many.len()), "{} {}", few.len(), many.len());
        assert!(few.iter().all(|bit| many.contains(bit)) && many.is_sorted());
    }
}
