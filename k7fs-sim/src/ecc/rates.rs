//! From failures at exact numbers of wrong bits to error rates.
//!
//! The measurement gives, for some counts t of wrong bits, how many of how many frames were lost. Let F(t) be the
//! probability behind that. Then the frame error rate at bit error rate p is the sum of F(t) times the binomial
//! probability of t wrong bits: few frames tell about rates far below what could be seen directly.
//!
//! The rule for what is not known, the same everywhere in the project:
//! - Each F(t) counts as its one-sided Clopper-Pearson upper bound. Published figures take confidence 0.5
//!   ([`MEDIAN`]: no failure among N counts as 0.69 / N, and 100 failures as 100.7), and stand beside those of
//!   confidence 0.95 ([`BOUND`]: 3 / N).
//! - F does not fall with t. So counts without a failure are pooled with those above them up to the first that failed,
//!   and an unmeasured count takes the bound of the next measured one above it.
//! - Above the largest measured count, F is 1. F(0) is 0.
//! - A rate is given only if at most half of the frame error rate there comes from counts without a failure, and at
//!   most half from above the largest measured count. Otherwise it would tell about frames that were not run.

use std::collections::BTreeMap;

use super::bounds::{Binomial, rate_at};
use super::confidence::upper_bound;
use super::tally::Tally;

/// The confidence of published figures: as likely too high as too low.
pub const MEDIAN: f64 = 0.5;
/// The confidence of bounds.
pub const BOUND: f64 = 0.95;

/// Frames and losses by number of wrong bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    counts: BTreeMap<usize, Count>,
}

/// Frames with the same number of wrong bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Frames tried.
    pub frames: u64,
    /// Frames that did not come out right.
    pub lost: u64,
}

/// F(t) for every t, under the rule above.
#[derive(Clone, Debug)]
pub struct Curve {
    /// From no wrong bit to the largest measured count.
    rates: Vec<f64>,
    /// Counts below this one have had no failure.
    first_failing: usize,
}

impl Losses {
    /// Adds frames with `errors` wrong bits each.
    pub fn add(&mut self, errors: usize, tally: &Tally) {
        let count = self.counts.entry(errors).or_default();
        count.frames += tally.frames;
        count.lost += tally.lost();
    }

    /// What was measured, in ascending order of the number of wrong bits.
    pub fn counts(&self) -> impl DoubleEndedIterator<Item = (usize, Count)> + '_ {
        self.counts.iter().map(|(errors, count)| (*errors, *count))
    }

    /// The frames with this number of wrong bits.
    pub fn count(&self, errors: usize) -> Count {
        self.counts.get(&errors).copied().unwrap_or_default()
    }

    /// F(t) with each count at its upper bound of this confidence.
    pub fn curve(&self, confidence: f64) -> Curve {
        let length = self.counts.keys().last().map_or(1, |errors| errors + 1);
        let mut rates = vec![1.0; length];
        let first_failing = self.counts().find(|(_, count)| count.lost > 0).map_or(length, |(errors, _)| errors);
        // From the top down: each count knows the least bound above it, and the frames it may pool.
        let (mut least, mut pooled, mut above) = (1.0_f64, 0, length);
        for (errors, count) in self.counts().rev() {
            rates[errors + 1..above].fill(least);
            pooled = if count.lost == 0 { pooled + count.frames } else { 0 };
            let frames = if count.lost == 0 { pooled } else { count.frames };
            least = least.min(upper_bound(count.lost, frames, confidence));
            rates[errors] = least;
            above = errors;
        }
        rates[..above].fill(least);
        rates[0] = 0.0;
        Curve { rates, first_failing }
    }
}

impl Curve {
    /// F of this number of wrong bits.
    pub fn rate_of(&self, errors: usize) -> f64 {
        self.rates.get(errors).copied().unwrap_or(1.0)
    }

    /// The frame error rate at bit error rate `rate`.
    pub fn frame_error_rate(&self, binomial: &Binomial, rate: f64) -> f64 {
        binomial.expect(rate, |errors| self.rate_of(errors))
    }

    /// The bit error rate up to which the frame error rate stays within `limit`, whether or not enough was measured.
    pub fn rate_within(&self, binomial: &Binomial, limit: f64) -> f64 {
        rate_at(limit, |rate| self.frame_error_rate(binomial, rate))
    }

    /// The same, if it rests on failures that were seen: see the module's last rule.
    pub fn rate(&self, binomial: &Binomial, limit: f64) -> Option<f64> {
        let rate = self.rate_within(binomial, limit);
        (rate > 0.0 && self.rests_on_failures(binomial, rate, limit)).then_some(rate)
    }

    /// The frame error rate at bit error rate `rate`, if it rests on failures that were seen.
    pub fn known_frame_error_rate(&self, binomial: &Binomial, rate: f64) -> Option<f64> {
        let lost = self.frame_error_rate(binomial, rate);
        self.rests_on_failures(binomial, rate, lost).then_some(lost)
    }

    fn rests_on_failures(&self, binomial: &Binomial, rate: f64, lost: f64) -> bool {
        let unseen = |errors: usize| if errors < self.first_failing { self.rate_of(errors) } else { 0.0 };
        let guessed = |errors: usize| if errors < self.rates.len() { 0.0 } else { 1.0 };
        binomial.expect(rate, unseen) <= lost / 2.0 && binomial.expect(rate, guessed) <= lost / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(counts: &[(usize, u64, u64)]) -> Losses {
        let mut losses = Losses::default();
        for (errors, frames, failures) in counts {
            losses.add(*errors, &Tally { frames: *frames, failures: *failures, ..Tally::default() });
        }
        losses
    }

    #[test]
    fn what_was_not_measured_is_taken_from_above() {
        let counts = losses(&[(3, 1000, 0), (5, 1000, 0), (7, 100_000, 5000), (9, 100, 100)]);
        let curve = counts.curve(BOUND);
        assert_eq!(curve.rate_of(0), 0.0);
        // Both counts without a failure speak for the lower one.
        assert!((curve.rate_of(3) - 2.9957 / 2000.0).abs() < 2e-6);
        assert_eq!((curve.rate_of(1), curve.rate_of(2)), (curve.rate_of(3), curve.rate_of(3)));
        assert!((curve.rate_of(5) - 2.9957 / 1000.0).abs() < 5e-6);
        assert_eq!(curve.rate_of(4), curve.rate_of(5));
        assert!((curve.rate_of(7) - 0.0511).abs() < 1e-4);
        assert_eq!((curve.rate_of(8), curve.rate_of(9), curve.rate_of(10)), (1.0, 1.0, 1.0));
        // Seven failed more rarely than the few frames at five can exclude.
        let curve = losses(&[(5, 1000, 0), (7, 100_000, 50)]).curve(BOUND);
        assert_eq!(curve.rate_of(5), curve.rate_of(7));
        assert_eq!(Losses::default().curve(BOUND).rate_of(1), 1.0);
        assert_eq!(Losses::default().curve(BOUND).rate_of(0), 0.0);
    }

    #[test]
    fn a_sharp_decoder_gives_the_binomial_tail() {
        // Corrects five errors always, six never.
        let losses = losses(&[(5, 1_000_000_000_000, 0), (6, 1000, 1000)]);
        let binomial = Binomial::new(1000);
        let curve = losses.curve(BOUND);
        let (found, expected) = (curve.frame_error_rate(&binomial, 1e-3), binomial.tail(5, 1e-3));
        assert!((found / expected - 1.0).abs() < 1e-6);
        let rate = curve.rate(&binomial, 1e-4).unwrap();
        assert!((rate / rate_at(1e-4, |rate| binomial.tail(5, rate)) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn too_few_frames_give_no_rate() {
        let binomial = Binomial::new(1000);
        // A thousand frames without a failure say nothing about one in a million.
        let few = losses(&[(5, 1000, 0), (6, 1000, 1000)]);
        assert_eq!(few.curve(MEDIAN).rate(&binomial, 1e-6), None);
        assert!(few.curve(MEDIAN).rate(&binomial, 1e-2).is_some());
        // Nothing above the largest count is known.
        let low = losses(&[(2, 1_000_000_000, 1000)]);
        assert_eq!(low.curve(MEDIAN).rate(&binomial, 1e-3), None);
        assert_eq!(Losses::default().curve(MEDIAN).rate(&binomial, 1e-3), None);
    }
}
