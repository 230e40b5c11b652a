//! `k7fs ecc`.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use k7fs_core::ecc::{Layout, Tier};
use k7fs_sim::ecc::{Campaign, CampaignLock, Channel, GOALS, LayoutReport, Report, Session, curves, recorded};

use super::ecc_report::{Answer, Direct, lives, tables};
use super::output::JsonOption;
use super::{CliError, Output};

/// Seconds of a run without being asked.
const DEFAULT_SECONDS: u64 = 30;
/// The seed of a run without being asked.
const DEFAULT_SEED: u64 = 1;
/// Of the time, how much goes to direct measurement where `--rber` asks for it.
const DIRECT_PER_HUNDRED: u32 = 50;

/// Measure what the page code corrects, beside what any code could and what BCH does
///
/// For each number of wrong bits, random sealed pages are spoilt, decoded and judged by the real page checksum; the
/// binomial distribution turns the losses into page error rates. Each loss rate counts as its Clopper-Pearson upper
/// bound of confidence 0.5, so that N pages without a loss count as 0.69 losses. Losses are taken never to fall with
/// the number of wrong bits, and a number that was not measured counts as the next larger measured one. A figure that
/// would rest on pages not tried is left out.
#[derive(Debug, Args)]
pub(super) struct Ecc {
    /// The page layout, such as nor-256, 2048+64 or archive-12.5
    #[arg(long, value_name = "NAME", default_value = "all")]
    layout: String,
    /// Also spoil each bit with this probability, as a check of the method
    #[arg(long, value_name = "P", value_parser = probability, conflicts_with = "recorded")]
    rber: Option<f64>,
    /// The seed of everything random
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEED, conflicts_with = "recorded")]
    seed: u64,
    /// Seconds for all layouts together
    #[arg(long, value_name = "S", default_value_t = DEFAULT_SECONDS, conflicts_with = "recorded",
          value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Report the measurements that the project publishes, or those in the directory of --campaign; measure nothing
    #[arg(long)]
    recorded: bool,
    /// Keep the measurements in this directory, and continue those that are there
    #[arg(long, value_name = "DIR")]
    campaign: Option<PathBuf>,
    /// Instead of what tells most, measure pages with these numbers of wrong bits
    #[arg(long, value_name = "T,...", value_delimiter = ',', requires = "frames", conflicts_with = "recorded")]
    errors: Vec<usize>,
    /// Measure until there are this many pages of each number of wrong bits, or spoilt by --rber
    #[arg(long, value_name = "N", conflicts_with = "recorded", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Only this part of the decoder: what small parts have room for, or all of it
    #[arg(long, value_name = "TIER", value_enum, conflicts_with = "recorded")]
    tier: Option<TierName>,
    /// Threads; without it one for each core
    #[arg(long, value_name = "N", conflicts_with = "recorded")]
    threads: Option<NonZero<usize>>,
    /// Instead of single pages, run a volume on this chip, or on `all`, at 1, 3 and 10 times its rated bit error rate; with the
    /// small decoder unless --tier says otherwise
    #[arg(long, value_name = "CHIP", conflicts_with_all = ["recorded", "campaign", "errors", "rber", "curves", "layout"])]
    volume: Option<String>,
    /// Write a plot of each layout into this directory
    #[arg(long, value_name = "DIR")]
    curves: Option<PathBuf>,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TierName {
    Small,
    Full,
}

impl TierName {
    fn tier(self) -> Tier {
        match self {
            Self::Small => Tier::Small,
            Self::Full => Tier::Full,
        }
    }
}

impl Ecc {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        if let Some(name) = &self.volume {
            let tier = self.tier.map_or(Tier::Small, TierName::tier);
            return lives(name, tier, self.seed, &self.json, output);
        }
        let layouts = layouts(&self.layout)?;
        self.refuse_impossible(&layouts)?;
        self.json.refuse_unwritable()?;
        if let Some(directory) = &self.curves {
            std::fs::create_dir_all(directory)
                .map_err(|error| CliError::Bench(format!("{}: {error}", directory.display())))?;
        }
        let campaigns = if self.recorded { self.read(&layouts)? } else { self.measure(&layouts)? };
        let seed = recorded_seed(&campaigns).filter(|_| self.recorded).unwrap_or(self.seed);
        let report = Report { seed, layouts: campaigns.iter().map(LayoutReport::new).collect() };
        let direct = self.direct(&campaigns);
        let answer = Answer { report: &report, direct, is_asked_for: self.rber.is_some() };
        if output.json(self.json.target(), &answer)? {
            tables(&answer, &campaigns, output)?;
        }
        if let Some(directory) = &self.curves {
            for campaign in &campaigns {
                let path = directory.join(format!("{}.svg", campaign.layout().name()));
                curves::write(campaign, &path).map_err(|error| CliError::Bench(error.to_string()))?;
            }
        }
        match report.layouts.iter().map(|layout| layout.undetected).sum::<u64>() {
            0 => Ok(()),
            count => Err(CliError::Violations(format!("{count} pages came out wrong with a right checksum"))),
        }
    }

    /// A number of pages of nothing, and numbers of wrong bits that a page does not have.
    fn refuse_impossible(&self, layouts: &[Layout]) -> Result<(), CliError> {
        if self.frames.is_some() && self.errors.is_empty() && self.rber.is_none() {
            return Err(CliError::Usage(
                "--frames says how many, but not of what: --errors or --rber is missing".to_owned(),
            ));
        }
        for (errors, layout) in self.errors.iter().flat_map(|errors| layouts.iter().map(move |layout| (errors, layout)))
        {
            if *errors > layout.codeword_bits() {
                let (name, bits) = (layout.name(), layout.codeword_bits());
                return Err(CliError::Usage(format!("{errors} wrong bits in a page of {name}, which has {bits}")));
            }
        }
        Ok(())
    }

    fn read(&self, layouts: &[Layout]) -> Result<Vec<Campaign>, CliError> {
        let read = |layout: &Layout| match &self.campaign {
            // A directory without data would be reported as one where nothing was measured.
            Some(directory) if !directory.is_dir() => {
                Err(CliError::Bench(format!("{}: no such directory", directory.display())))
            }
            Some(directory) => Campaign::load(directory, *layout).map_err(failed),
            None => recorded(*layout).map_err(failed),
        };
        layouts.iter().map(read).collect()
    }

    /// Measures one layout after the other, each for its share of the time.
    fn measure(&self, layouts: &[Layout]) -> Result<Vec<Campaign>, CliError> {
        let _lock = match &self.campaign {
            Some(directory) => Some(lock(directory)?),
            None => None,
        };
        let bar = ProgressBar::new_spinner();
        let start = Instant::now();
        let mut campaigns = Vec::new();
        for (index, layout) in layouts.iter().enumerate() {
            // What one layout leaves over, the others get.
            let left = Duration::from_secs(self.seconds).saturating_sub(start.elapsed());
            let deadline = Instant::now() + left / u32::try_from(layouts.len() - index).unwrap_or(1);
            let mut campaign = match &self.campaign {
                Some(directory) => Campaign::open(directory, *layout).map_err(failed)?,
                None => Campaign::in_memory(*layout),
            };
            self.measure_one(&mut campaign, deadline, &bar)?;
            campaigns.push(campaign);
        }
        bar.finish_and_clear();
        Ok(campaigns)
    }

    fn measure_one(&self, campaign: &mut Campaign, deadline: Instant, bar: &ProgressBar) -> Result<(), CliError> {
        let name = campaign.layout().name();
        let mut progress = |frames: u64| {
            bar.set_message(format!("{name}: {frames} pages"));
            bar.tick();
        };
        let mut session = Session::new(campaign, self.seed, self.threads());
        let tiers = self.tiers();
        if let Some(rate) = self.rber {
            // Where nothing else is to be done, all of the time.
            let share = if self.frames.is_some() { 100 } else { DIRECT_PER_HUNDRED };
            let left = deadline.saturating_duration_since(Instant::now()) * share / 100;
            for tier in &tiers {
                let until = Instant::now() + left / u32::try_from(tiers.len()).unwrap_or(1);
                let frames = self.frames.unwrap_or(u64::MAX);
                session.complete(*tier, Channel::Rate(rate), frames, until, &mut progress).map_err(failed)?;
            }
        }
        let Some(frames) = self.frames else {
            let goals: Vec<_> = GOALS.into_iter().filter(|goal| tiers.contains(&goal.tier)).collect();
            return session.pursue(&goals, deadline, &mut progress).map_err(failed);
        };
        for (errors, tier) in self.errors.iter().flat_map(|errors| tiers.iter().map(move |tier| (errors, tier))) {
            session.complete(*tier, Channel::Errors(*errors), frames, deadline, &mut progress).map_err(failed)?;
        }
        Ok(())
    }

    fn tiers(&self) -> Vec<Tier> {
        match self.tier {
            None => Tier::ALL.to_vec(),
            Some(name) => vec![name.tier()],
        }
    }

    fn threads(&self) -> usize {
        self.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get)
    }

    /// What was measured directly: at the rate asked for, or at every rate that was recorded.
    fn direct(&self, campaigns: &[Campaign]) -> Vec<Direct> {
        let wanted = |rate: f64| self.rber.map_or(self.recorded, |rber| rber == rate);
        let mut all: Vec<Direct> = Vec::new();
        for campaign in campaigns {
            let mut kinds: Vec<(Tier, f64)> = Vec::new();
            for stretch in campaign.stretches() {
                match stretch.channel {
                    // Several seeds make several stretches of one kind, next to each other or not.
                    Channel::Rate(rate) if wanted(rate) && !kinds.contains(&(stretch.tier, rate)) => {
                        kinds.push((stretch.tier, rate));
                    }
                    _ => {}
                }
            }
            all.extend(kinds.into_iter().map(|(tier, rate)| Direct::new(campaign, tier, rate)));
        }
        all
    }
}

/// The layout with this name, or all of them. Case, spaces and a missing `nor-` are forgiven.
fn layouts(name: &str) -> Result<Vec<Layout>, CliError> {
    let plain =
        |text: &str| text.to_lowercase().replace([' ', '_', '-', '%'], "").replace("nor", "").replace("nand", "");
    if name.eq_ignore_ascii_case("all") {
        return Ok(Layout::ALL.to_vec());
    }
    match Layout::ALL.iter().find(|layout| plain(layout.name()) == plain(name)) {
        Some(layout) => Ok(vec![*layout]),
        None => {
            let names: Vec<&str> = Layout::ALL.iter().map(|layout| layout.name()).collect();
            Err(CliError::Usage(format!("no layout {name:?}; there are: {}", names.join(", "))))
        }
    }
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        Ok(_) => Err("an error rate is a probability, from 0 to 1".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn failed(error: k7fs_sim::ecc::CampaignError) -> CliError {
    CliError::Bench(error.to_string())
}

fn lock(directory: &Path) -> Result<CampaignLock, CliError> {
    match CampaignLock::take(directory).map_err(failed)? {
        Some(lock) => Ok(lock),
        None => Err(CliError::Bench(format!("{}: another run is adding to this campaign", directory.display()))),
    }
}

/// The seed of what was recorded.
fn recorded_seed(campaigns: &[Campaign]) -> Option<u64> {
    campaigns.iter().flat_map(Campaign::stretches).map(|stretch| stretch.seed).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_forgiven() {
        let one = |name: &str| layouts(name).map(|found| found[0]).ok();
        for name in ["nor-256", "256", "NOR 256", "Nor256"] {
            assert_eq!(one(name), Some(Layout::Nor256), "{name}");
        }
        assert_eq!(one("NAND 2048+64"), Some(Layout::Nand2048Plus64));
        assert_eq!(one("archive 12.5 %"), one("archive-12.5"));
        assert!(one("archive-12.5").is_some());
        assert_eq!(one("2048"), None);
        assert_eq!(one(""), None);
        assert_eq!(layouts("ALL").unwrap().len(), Layout::ALL.len());
    }
}
