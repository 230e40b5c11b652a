//! A run of measurements on one layout: what to do next, for how long, and when to save.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k7fs_core::ecc::Tier;

use super::campaign::{Campaign, CampaignError, Stretch};
use super::frame::Channel;
use super::measure::Task;
use super::plan::{Goal, Planner};

/// Seconds of frames between decisions.
const BATCH_SECONDS: f64 = 1.0;
/// Seconds between saves: what a killed run loses.
const SAVE_SECONDS: u64 = 20;
/// Frames at a count about which nothing is known, and the seconds that they may take.
const FIRST_FRAMES: (u64, u64) = (2, 16);
const FIRST_SECONDS: f64 = 0.2;
/// Seconds of a frame of which nothing is known.
const FRAME_SECONDS: f64 = 1e-2;

/// A run on one layout.
#[derive(Debug)]
pub struct Session<'c> {
    campaign: &'c mut Campaign,
    planner: Planner,
    seed: u64,
    threads: usize,
    /// Seconds and frames so far, by tier and number of wrong bits.
    costs: BTreeMap<(Tier, usize), (f64, u64)>,
    saved: Instant,
}

impl<'c> Session<'c> {
    /// Adds frames of this seed to the campaign, on this many threads.
    pub fn new(campaign: &'c mut Campaign, seed: u64, threads: usize) -> Self {
        let planner = Planner::new(campaign.layout());
        Self { campaign, planner, seed, threads, costs: BTreeMap::new(), saved: Instant::now() }
    }

    /// Works at `goals` until `deadline`. After each step `progress` is told the frames so far.
    ///
    /// # Errors
    /// [`CampaignError`] where the campaign cannot be saved.
    pub fn pursue(
        &mut self, goals: &[Goal], deadline: Instant, progress: &mut dyn FnMut(u64),
    ) -> Result<(), CampaignError> {
        while Instant::now() < deadline {
            let costs = &self.costs;
            let (goal, errors) = self.planner.next(self.campaign, goals, |tier, errors| cost(costs, tier, errors));
            // Not more at once than there are already: the first few may show that others tell more.
            let done = self.campaign.losses(goal.tier).count(errors).frames;
            let each = cost(&self.costs, goal.tier, errors) / self.threads as f64;
            let first = ((FIRST_SECONDS / each) as u64).clamp(FIRST_FRAMES.0, FIRST_FRAMES.1);
            let frames = ((BATCH_SECONDS / each) as u64).min(done).max(first);
            self.batch(goal.tier, Channel::Errors(errors), frames, deadline)?;
            progress(self.campaign.tally(None).frames);
        }
        self.campaign.save()
    }

    /// Measures until there are `frames` frames of this kind, or until `deadline`.
    ///
    /// # Errors
    /// [`CampaignError`] where the campaign cannot be saved.
    pub fn complete(
        &mut self, tier: Tier, channel: Channel, frames: u64, deadline: Instant, progress: &mut dyn FnMut(u64),
    ) -> Result<(), CampaignError> {
        loop {
            let done = self.campaign.next_frame(tier, channel, self.seed);
            if done >= frames || Instant::now() >= deadline {
                return self.campaign.save();
            }
            let soon = deadline.min(Instant::now() + Duration::from_secs(SAVE_SECONDS / 4));
            self.batch(tier, channel, frames - done, soon)?;
            progress(self.campaign.tally(None).frames);
        }
    }

    fn batch(&mut self, tier: Tier, channel: Channel, frames: u64, deadline: Instant) -> Result<(), CampaignError> {
        let first = self.campaign.next_frame(tier, channel, self.seed);
        let task =
            Task { layout: self.campaign.layout(), tier, channel, seed: self.seed, frames: first..first + frames };
        let start = Instant::now();
        let tally = task.run(self.threads, Some(deadline));
        if let Channel::Errors(errors) = channel {
            let (seconds, frames) = self.costs.entry((tier, errors)).or_default();
            *seconds += start.elapsed().as_secs_f64() * self.threads as f64;
            *frames += tally.frames;
        }
        if tally.frames > 0 {
            self.campaign.add(Stretch { tier, channel, seed: self.seed, first, tally });
        }
        if self.saved.elapsed().as_secs() >= SAVE_SECONDS {
            self.campaign.save()?;
            self.saved = Instant::now();
        }
        Ok(())
    }
}

/// Seconds that one thread takes for a frame: as measured at the closest number of wrong bits.
fn cost(costs: &BTreeMap<(Tier, usize), (f64, u64)>, tier: Tier, errors: usize) -> f64 {
    let of_tier = costs.iter().filter(|((of, _), (_, frames))| *of == tier && *frames > 0);
    let closest = of_tier.min_by_key(|((_, at), _)| at.abs_diff(errors));
    closest.map_or(FRAME_SECONDS, |(_, (seconds, frames))| seconds / *frames as f64)
}
