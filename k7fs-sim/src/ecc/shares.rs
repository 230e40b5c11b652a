//! Which rung of the ladder mends how many frames at a bit error rate.

use std::collections::BTreeMap;

use k7fs_core::ecc::Tier;

use super::bounds::Binomial;
use super::campaign::Campaign;
use super::frame::Channel;
use super::tally::Tally;

/// A rung's part in the frames of some bit error rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// The share of all frames that it mends.
    pub frames: f64,
    /// Sweeps and iterations that such a frame takes on average, those on lower rungs included.
    pub iterations: f64,
}

/// Shares by rung at bit error rate `rate`: each number of wrong bits stands for itself, or for the nearest measured
/// one. Empty where nothing was measured.
pub fn shares(campaign: &Campaign, tier: Tier, rate: f64) -> BTreeMap<String, Share> {
    let binomial = Binomial::new(campaign.layout().codeword_bits());
    let mut tallies: BTreeMap<usize, Tally> = BTreeMap::new();
    for stretch in campaign.stretches().iter().filter(|stretch| stretch.tier == tier) {
        if let Channel::Errors(errors) = stretch.channel {
            tallies.entry(errors).or_default().add(&stretch.tally);
        }
    }
    let mut weights: BTreeMap<usize, f64> = BTreeMap::new();
    for errors in 0..=binomial.bits() {
        let nearest = tallies.keys().min_by_key(|measured| measured.abs_diff(errors));
        let weight = binomial.probability(errors, rate);
        if let Some(nearest) = nearest.filter(|_| weight > 1e-12) {
            *weights.entry(*nearest).or_default() += weight;
        }
    }
    let mut shares: BTreeMap<String, Share> = BTreeMap::new();
    for (tally, weight) in weights.iter().filter_map(|(errors, weight)| Some((tallies.get(errors)?, weight))) {
        for (rung, frames, iterations) in parts(tally) {
            let share = shares.entry(rung.to_owned()).or_default();
            share.frames += weight * frames;
            share.iterations += weight * iterations;
        }
    }
    shares.values_mut().for_each(|share| share.iterations /= share.frames.max(f64::MIN_POSITIVE));
    shares
}

/// Shares by rung of frames that were measured directly.
pub fn shares_of(tally: &Tally) -> BTreeMap<String, Share> {
    let share = |(rung, frames, iterations): (&str, f64, f64)| {
        (rung.to_owned(), Share { frames, iterations: iterations / frames.max(f64::MIN_POSITIVE) })
    };
    parts(tally).map(share).collect()
}

/// Each rung with its share of the frames and its iterations per frame tried.
fn parts(tally: &Tally) -> impl Iterator<Item = (&str, f64, f64)> {
    let all = tally.frames.max(1) as f64;
    tally.rungs.iter().map(move |(rung, part)| (rung.as_str(), part.frames as f64 / all, part.iterations as f64 / all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecc::campaign::Stretch;
    use k7fs_core::ecc::Layout;

    #[test]
    fn shares_follow_the_binomial() {
        let mut campaign = Campaign::in_memory(Layout::Nor256);
        let mut add = |errors, rung: &str, iterations| {
            let mut tally = Tally { frames: 10, ..Tally::default() };
            (0..10).for_each(|_| tally.count(rung, iterations));
            let channel = Channel::Errors(errors);
            campaign.add(Stretch { tier: Tier::Full, channel, seed: 1, first: 0, tally });
        };
        add(0, "clean", 0);
        add(1, "flip", 3);
        let shares = shares(&campaign, Tier::Full, 1e-3);
        let clean = 0.999_f64.powi(2048);
        assert!((shares["clean"].frames - clean).abs() < 1e-9);
        assert!((shares["flip"].frames - (1.0 - clean)).abs() < 1e-9);
        assert!((shares["flip"].iterations - 3.0).abs() < 1e-9);
        assert!(super::shares(&campaign, Tier::Small, 1e-3).is_empty());
    }
}
