//! Which frames tell most.
//!
//! The frame error rate is a sum over numbers of wrong bits, and so is the distance between its bound and its estimate.
//! The count whose next second of frames takes most off that distance comes next. A count without a failure speaks for
//! all counts below it, so that frames go to the highest of those; as soon as one fails, the one below takes over.

use k7fs_core::ecc::{Layout, Tier};

use super::bounds::{Binomial, SpherePacking};
use super::campaign::Campaign;
use super::confidence::upper_bound;
use super::rates::{BOUND, Losses, MEDIAN};

/// A figure to find: the bit error rate at which a tier loses this share of the frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// How far up the ladder the decoder goes.
    pub tier: Tier,
    /// The frame error rate.
    pub limit: f64,
}

/// The figures of a report, in the order in which they are worked at.
pub const GOALS: [Goal; 3] = [
    Goal { tier: Tier::Full, limit: 1e-4 },
    Goal { tier: Tier::Small, limit: 1e-4 },
    Goal { tier: Tier::Full, limit: 1e-6 },
];

/// How close bound and figure must be to go on to the next goal: first roughly at all goals, at last as good as reached.
const CLOSE: [f64; 3] = [0.8, 0.93, 0.98];
/// A count that fails so often counts as always failing, and so do those above it.
const HOPELESS: f64 = 0.95;
/// Frames that a count about which nothing is known is taken to need.
const FIRST_FRAMES: f64 = 16.0;
/// Of the standard deviation of the number of wrong bits, the share that measured counts may be apart: what lies
/// between takes the bound of the next larger one, and fewer counts have more frames each.
const STEP: f64 = 0.35;
/// In search of where decoding fails, the count grows by one part in so many.
const CLIMB: usize = 10;
/// The confidence for guesses: what was not seen to fail does not.
const HOPEFUL: f64 = 0.0;
/// Where the search starts, as a share of the sphere-packing bound.
const START: f64 = 0.5;

/// Plans the measurement of one layout.
#[derive(Debug)]
pub struct Planner {
    binomial: Binomial,
    packing: SpherePacking,
}

impl Planner {
    /// A planner for this layout.
    pub fn new(layout: Layout) -> Self {
        Self {
            binomial: Binomial::new(layout.codeword_bits()),
            packing: SpherePacking::new(layout.codeword_bits(), layout.parity_bits()),
        }
    }

    /// How close the bound is to the figure, from 0 to 1.
    pub fn closeness(&self, losses: &Losses, goal: Goal) -> f64 {
        let figure = losses.curve(MEDIAN).rate(&self.binomial, goal.limit);
        let bound = losses.curve(BOUND).rate(&self.binomial, goal.limit);
        figure.zip(bound).map_or(0.0, |(figure, bound)| bound / figure)
    }

    /// The goal to work at, and the number of wrong bits to measure for it. `cost` tells the seconds that a frame of a
    /// tier takes with this many wrong bits.
    pub fn next(&self, campaign: &Campaign, goals: &[Goal], cost: impl Fn(Tier, usize) -> f64) -> (Goal, usize) {
        let closeness = |goal: &Goal| self.closeness(&campaign.losses(goal.tier), *goal);
        let all: Vec<(Goal, f64)> = goals.iter().map(|goal| (*goal, closeness(goal))).collect();
        let first = |enough: f64| all.iter().find(|(_, close)| *close < enough).map(|(goal, _)| *goal);
        let goal = CLOSE.into_iter().find_map(first).or_else(|| goals.last().copied()).unwrap_or(GOALS[0]);
        (goal, self.errors(&campaign.losses(goal.tier), goal, |errors| cost(goal.tier, errors)))
    }

    /// The number of wrong bits whose frames tell most about `goal`.
    pub fn errors(&self, losses: &Losses, goal: Goal, cost: impl Fn(usize) -> f64) -> usize {
        let highest = losses.counts().next_back().map(|(errors, _)| errors);
        let Some(highest) = highest else {
            let start = self.packing.rate(goal.limit) * START * self.binomial.bits() as f64;
            return start.round().max(1.0) as usize;
        };
        // First up to where it fails: below that, every count would only say that it does not.
        let has_edge = losses.counts().any(|(_, count)| count.lost * 2 >= count.frames);
        if !has_edge && highest < self.binomial.bits() / 2 {
            return highest + 1 + highest / CLIMB;
        }
        let hopeless = losses.counts().find(|(_, count)| count.lost as f64 > count.frames as f64 * HOPELESS);
        let end = hopeless.map_or(highest + 1 + highest / 8, |(errors, _)| errors);
        // Where the figure will be in the end: bounds from few frames would lead far below it.
        let rate = losses.curve(HOPEFUL).rate_within(&self.binomial, goal.limit);
        let step = ((self.binomial.bits() as f64 * rate).sqrt() * STEP).max(1.0) as usize;
        let gains = self.gains(losses, rate, end);
        let on_grid = |errors: &usize| errors.is_multiple_of(step) || losses.count(*errors).frames > 0;
        let value = |errors: usize| (gains[errors] / cost(errors).max(1e-9), errors);
        let best = (1..=end).filter(on_grid).map(value).fold((0.0, highest), |a, b| if b.0 > a.0 { b } else { a });
        best.1
    }

    /// By number of wrong bits up to `end`, what the next frame takes off the distance between bound and estimate of
    /// the frame error rate at bit error rate `rate`.
    fn gains(&self, losses: &Losses, rate: f64, end: usize) -> Vec<f64> {
        let bound = losses.curve(BOUND);
        // Frames without a failure at each count and above it, up to the first that failed.
        let mut pools = vec![0.0; end + 1];
        let mut above = 0.0;
        for (errors, pool) in pools.iter_mut().enumerate().rev() {
            let count = losses.count(errors);
            above = if count.lost > 0 { 0.0 } else { above + count.frames as f64 };
            *pool = above;
        }
        let mut gains = Vec::with_capacity(end + 1);
        // What the counts below that have no failure, or that lie in a gap, gain from a frame at this one.
        let (mut unfailed, mut gap) = (0.0, 0.0);
        for (errors, pool) in pools.iter().enumerate() {
            let weight = self.binomial.probability(errors, rate);
            let count = losses.count(errors);
            let distance = weight * bound.rate_of(errors);
            if count.lost > 0 {
                // Its own bound, whatever the counts above it say: those change with their frames.
                let frames = count.frames as f64;
                let own = upper_bound(count.lost, count.frames, BOUND) - count.lost as f64 / frames;
                gains.push((weight * own + gap) / (2.0 * frames));
                (unfailed, gap) = (0.0, 0.0);
            } else if count.frames > 0 {
                unfailed += (gap + distance) / pool;
                gap = 0.0;
                gains.push(unfailed);
            } else {
                gap += distance;
                gains.push(gap / FIRST_FRAMES + unfailed);
            }
        }
        gains
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecc::tally::Tally;

    /// A decoder that fails with this probability, measured by the plan; the frames that it took.
    fn frames_until(close: f64, failing: impl Fn(usize) -> f64) -> (u64, Losses) {
        let planner = Planner::new(Layout::Nor256);
        let goal = Goal { tier: Tier::Full, limit: 1e-4 };
        let (mut losses, mut frames) = (Losses::default(), 0);
        let mut expected = vec![0.0; 200];
        for _ in 0..5000 {
            if planner.closeness(&losses, goal) > close {
                break;
            }
            let errors = planner.errors(&losses, goal, |_| 1e-4);
            let batch = (losses.count(errors).frames / 4).max(16);
            frames += batch;
            // As many failures as are expected, without chance.
            expected[errors] += batch as f64 * failing(errors);
            let failures = expected[errors] as u64 - losses.count(errors).lost;
            losses.add(errors, &Tally { frames: batch, failures, ..Tally::default() });
        }
        (frames, losses)
    }

    #[test]
    fn the_plan_finds_the_rate_of_a_known_decoder() {
        let failing = |errors: usize| (10.0_f64.powf((errors as f64 - 22.0) / 2.5)).min(1.0);
        let (frames, losses) = frames_until(0.95, failing);
        let binomial = Binomial::new(2048);
        let truth = crate::ecc::bounds::rate_at(1e-4, |rate| binomial.expect(rate, failing));
        let found = losses.curve(MEDIAN).rate(&binomial, 1e-4).unwrap();
        assert!((found / truth - 1.0).abs() < 0.03, "{found:e} for {truth:e}");
        assert!(frames < 500_000, "{frames} frames");
    }

    #[test]
    fn a_layout_without_data_starts_between_nothing_and_the_bound() {
        let planner = Planner::new(Layout::Nor256);
        for goal in GOALS {
            let errors = planner.errors(&Losses::default(), goal, |_| 1.0);
            assert!((4..12).contains(&errors), "{errors}");
        }
    }
}
