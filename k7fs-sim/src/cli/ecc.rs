//! `k7fs ecc`.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use k7fs_core::ecc::{Layout, Tier};
use k7fs_sim::chip::ChipSpec;
use k7fs_sim::ecc::{
    Campaign, CampaignLock, Channel, Count, Curve, FACTORS, GOALS, LayoutReport, Life, MEDIAN, Report, Session, Share,
    Tally, bounds::Binomial, curves, live, recorded, shares, shares_of, tier_name,
};
use serde::Serialize;

use super::image::chip;
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
    /// Only this part of the decoder
    #[arg(long, value_name = "TIER", value_enum, conflicts_with = "recorded")]
    tier: Option<TierName>,
    /// Threads; without it one for each core
    #[arg(long, value_name = "N", conflicts_with = "recorded")]
    threads: Option<NonZero<usize>>,
    /// Instead of single pages, run a volume on this chip, or on `all`, at 1, 3 and 10 times its rated bit error rate
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

/// The report with what only `--rber` asks for.
#[derive(Debug, Serialize)]
struct Answer<'r> {
    #[serde(flatten)]
    report: &'r Report,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    direct: Vec<Direct>,
}

/// Pages whose every bit was spoilt with the same probability.
#[derive(Debug, Serialize)]
struct Direct {
    layout: &'static str,
    tier: &'static str,
    rber: f64,
    frames: u64,
    lost: u64,
    undetected: u64,
    /// What the losses by number of wrong bits say of this rate.
    expected: Option<f64>,
    #[serde(skip)]
    tally: Tally,
}

impl Ecc {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        if let Some(name) = &self.volume {
            return lives(name, self.seed, &self.json, output);
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
        let answer = Answer { report: &report, direct: self.direct(&campaigns) };
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
            Some(TierName::Small) => vec![Tier::Small],
            Some(TierName::Full) => vec![Tier::Full],
        }
    }

    fn threads(&self) -> usize {
        self.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get)
    }

    fn direct(&self, campaigns: &[Campaign]) -> Vec<Direct> {
        let Some(rber) = self.rber else { return Vec::new() };
        let all = campaigns.iter().flat_map(|campaign| self.tiers().into_iter().map(move |tier| (campaign, tier)));
        all.map(|(campaign, tier)| {
            let tally = campaign.tally(Some((tier, Channel::Rate(rber))));
            let binomial = Binomial::new(campaign.layout().codeword_bits());
            Direct {
                layout: campaign.layout().name(),
                tier: tier_name(tier),
                rber,
                frames: tally.frames,
                lost: tally.lost(),
                undetected: tally.undetected,
                expected: curve(campaign, tier).known_frame_error_rate(&binomial, rber),
                tally,
            }
        })
        .collect()
    }
}

/// Volumes at the end of their chips' lives.
#[derive(Debug, Serialize)]
struct Lives {
    seed: u64,
    volumes: Vec<Life>,
}

fn lives(name: &str, seed: u64, json: &JsonOption, output: &mut Output) -> Result<(), CliError> {
    let chips: Vec<&ChipSpec> =
        if name.eq_ignore_ascii_case("all") { ChipSpec::all().iter().collect() } else { vec![chip(name)?] };
    json.refuse_unwritable()?;
    let all = chips.iter().flat_map(|chip| FACTORS.map(|factor| live(chip, factor, seed)));
    let lives = Lives { seed, volumes: all.collect() };
    if output.json(json.target(), &lives)? {
        output
            .line("chip              layout     rated x     bits wrong  pages read    clean  mended by rung  lost")?;
        for life in &lives.volumes {
            output.line(&life_line(life))?;
        }
    }
    let lost = lives.volumes.iter().filter(|life| life.factor == 1 && life.lost > 0);
    match lost.map(|life| (life.chip, life.failure.as_deref().unwrap_or_default())).next() {
        None => Ok(()),
        Some((chip, what)) => Err(CliError::Violations(format!("{chip} at its rated bit error rate: {what}"))),
    }
}

fn life_line(life: &Life) -> String {
    let rungs: Vec<String> = life.corrected.iter().map(|(rung, pages)| format!("{rung} {pages}")).collect();
    let rungs = if rungs.is_empty() { "-".to_owned() } else { rungs.join(", ") };
    let failure = life.failure.as_ref().map_or(String::new(), |what| format!(": {what}"));
    format!(
        "{:<16}  {:<9} {:.1e} x{:<3} {:>10}  {:>10}  {:>7}  {rungs}, read again {}  {}{failure}",
        life.chip,
        life.layout,
        life.rated_rber,
        life.factor,
        life.corrected_bits,
        life.pages_read,
        life.clean,
        life.uncorrected,
        life.lost,
    )
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

fn curve(campaign: &Campaign, tier: Tier) -> Curve {
    campaign.losses(tier).curve(MEDIAN)
}

fn tables(answer: &Answer<'_>, campaigns: &[Campaign], output: &mut Output) -> Result<(), CliError> {
    output
        .line("bit error rates in 1e-3 at which one page of 10^4 / of 10^6 is lost; [..] holds with 95 % confidence")?;
    output.line(
        "layout          bits  parity  sphere packing  BCH            tier S           full ladder                     \
         of bound     of BCH",
    )?;
    for layout in &answer.report.layouts {
        output.line(&rates_line(layout))?;
    }
    let missing = |layout: &LayoutReport| [layout.tier_s_1e4, layout.full_1e4, layout.full_1e6].contains(&None);
    if answer.report.layouts.iter().any(missing) {
        output.line("- was not measured: the figure would rest on pages not tried; more --seconds would tell")?;
    }
    output.line("")?;
    output.line("layout        scratch S / full  tables  pages tried  wrong codewords refused  undetected  gate")?;
    for layout in &answer.report.layouts {
        output.line(&format!(
            "{:<13} {:>9} / {:<6} {:>6}  {:>11}  {:>23}  {:>10}  {}",
            layout.layout,
            layout.ram_s_bytes,
            layout.ram_full_bytes,
            layout.table_bytes,
            layout.frames,
            layout.rejected,
            layout.undetected,
            if layout.gate { "yes" } else { "no" }
        ))?;
    }
    output.line("")?;
    rung_lines(answer, campaigns, output)?;
    for direct in &answer.direct {
        output.line(&direct_line(direct))?;
    }
    Ok(())
}

fn rates_line(layout: &LayoutReport) -> String {
    let pair = |a: Option<f64>, b: Option<f64>| format!("{} / {}", thousandths(a), thousandths(b));
    let over = |a: Option<f64>, b: f64| a.map_or("-".to_owned(), |a| format!("{:.2}", a / b));
    let ratios =
        |at_1e4: f64, at_1e6: f64| format!("{} / {}", over(layout.full_1e4, at_1e4), over(layout.full_1e6, at_1e6));
    format!(
        "{:<13} {:>6}  {:>6}  {:<14}  {:<13}  {:<15}  {:<30}  {:<11}  {}",
        layout.layout,
        layout.n_bits,
        layout.parity_bits,
        pair(Some(layout.sphere_packing_1e4), Some(layout.sphere_packing_1e6)),
        pair(Some(layout.bch_1e4), Some(layout.bch_1e6)),
        format!("{} [{}]", thousandths(layout.tier_s_1e4), thousandths(layout.bounds.tier_s_1e4)),
        format!(
            "{} [{}]",
            pair(layout.full_1e4, layout.full_1e6),
            pair(layout.bounds.full_1e4, layout.bounds.full_1e6)
        ),
        ratios(layout.sphere_packing_1e4, layout.sphere_packing_1e6),
        ratios(layout.bch_1e4, layout.bch_1e6),
    )
}

/// Which rung mends how much where one page in 10^4 is lost, and how often it was tried.
fn rung_lines(answer: &Answer<'_>, campaigns: &[Campaign], output: &mut Output) -> Result<(), CliError> {
    for (campaign, report) in campaigns.iter().zip(&answer.report.layouts) {
        let points = [(Tier::Small, report.tier_s_1e4), (Tier::Full, report.full_1e4)];
        for (tier, rate) in points.into_iter().filter_map(|(tier, rate)| Some((tier, rate?))) {
            let parts = shares(campaign, tier, rate);
            let text = rung_text(parts.iter());
            output.line(&format!("{} {} at {rate:.2e}: {text}", report.layout, tier_name(tier)))?;
        }
    }
    Ok(())
}

fn rung_text<'s>(parts: impl Iterator<Item = (&'s String, &'s Share)>) -> String {
    let part = |(rung, share): (&String, &Share)| {
        format!("{rung} {:.2} % ({:.1} iterations)", share.frames * 100.0, share.iterations)
    };
    parts.map(part).collect::<Vec<_>>().join(", ")
}

fn direct_line(direct: &Direct) -> String {
    let count = Count { frames: direct.frames, lost: direct.lost };
    let expected = direct.expected.map_or("not known".to_owned(), |rate| format!("{rate:.2e}"));
    format!(
        "{} {} directly at {:e}: {} of {} pages lost, {:.2e}; by number of wrong bits {expected}; {}",
        direct.layout,
        direct.tier,
        direct.rber,
        count.lost,
        count.frames,
        count.lost as f64 / count.frames.max(1) as f64,
        rung_text(shares_of(&direct.tally).iter())
    )
}

fn thousandths(rate: Option<f64>) -> String {
    rate.map_or("-".to_owned(), |rate| format!("{:.3}", rate * 1e3).chars().take(5).collect())
}

/// The directory is part of the help's promise.
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
