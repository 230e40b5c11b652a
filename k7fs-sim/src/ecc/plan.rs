//! Which frames tell most.
//!
//! The frame error rate is a sum over numbers of wrong bits. Its uncertainty is smallest for a given time if the frames
//! of each count are in proportion to how much that count weighs, times the root of its failure rate over the time of
//! a frame (Neyman's allocation). So the count that falls shortest of this comes next.

use k7fs_core::ecc::{Layout, Tier};

use super::bounds::{Binomial, SpherePacking};
use super::campaign::Campaign;
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
/// Counts that add less than this share of the goal's frame error rate are left alone.
const WORTH: f64 = 1e-3;
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
        let curve = losses.curve(MEDIAN);
        let highest = losses.counts().next_back().map(|(errors, _)| errors);
        let start = self.packing.rate(goal.limit) * START;
        let Some(highest) = highest else {
            return (start * self.binomial.bits() as f64).round().max(1.0) as usize;
        };
        let hopeless = losses.counts().find(|(_, count)| count.lost as f64 > count.frames as f64 * HOPELESS);
        let end = hopeless.map_or(highest + 1 + highest / 8, |(errors, _)| errors);
        let rate = curve.rate_within(&self.binomial, goal.limit);
        let value = |errors: usize| {
            let weight = self.binomial.probability(errors, rate);
            let failing = curve.rate_of(errors);
            if weight * failing < goal.limit * WORTH {
                return 0.0;
            }
            weight * (failing / cost(errors).max(1e-9)).sqrt() / losses.count(errors).frames.max(1) as f64
        };
        let best = (1..=end).map(|errors| (value(errors), errors)).fold((0.0, 0), |a, b| if b.0 > a.0 { b } else { a });
        if best.1 == 0 { highest } else { best.1 }
    }
}
