//! What `k7fs ecc` prints.

use k7fs_core::ecc::Tier;
use k7fs_sim::chip::ChipSpec;
use k7fs_sim::ecc::{
    BOUND, Campaign, Channel, Count, FACTORS, LayoutReport, Life, MEDIAN, Report, Share, Tally, bounds::Binomial, live,
    shares, shares_of, upper_bound,
};
use serde::Serialize;
use serde::ser::SerializeStruct;

use super::image::chip;
use super::output::JsonOption;
use super::{CliError, Output};

/// The report, and what was measured directly.
#[derive(Debug)]
pub(super) struct Answer<'r> {
    pub(super) report: &'r Report,
    pub(super) direct: Vec<Direct>,
    /// Whether the direct measurement was asked for: only then it is part of the JSON.
    pub(super) is_asked_for: bool,
}

impl Serialize for Answer<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Answer", 3)?;
        fields.serialize_field("seed", &self.report.seed)?;
        fields.serialize_field("layouts", &self.report.layouts)?;
        if self.is_asked_for {
            fields.serialize_field("direct", &self.direct)?;
        }
        fields.end()
    }
}

/// Pages whose every bit was spoilt with the same probability.
#[derive(Debug, Serialize)]
pub(super) struct Direct {
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

impl Direct {
    /// What the campaign has of this kind.
    pub(super) fn new(campaign: &Campaign, tier: Tier, rber: f64) -> Self {
        let tally = campaign.tally(Some((tier, Channel::Rate(rber))));
        let binomial = Binomial::new(campaign.layout().codeword_bits());
        Self {
            layout: campaign.layout().name(),
            tier: tier.name(),
            rber,
            frames: tally.frames,
            lost: tally.lost(),
            undetected: tally.undetected,
            expected: campaign.losses(tier).curve(MEDIAN).known_frame_error_rate(&binomial, rber),
            tally,
        }
    }
}

/// Volumes at the end of their chips' lives.
#[derive(Debug, Serialize)]
struct Lives {
    seed: u64,
    volumes: Vec<Life>,
}

pub(super) fn lives(name: &str, tier: Tier, seed: u64, json: &JsonOption, output: &mut Output) -> Result<(), CliError> {
    let chips: Vec<&ChipSpec> =
        if name.eq_ignore_ascii_case("all") { ChipSpec::all().iter().collect() } else { vec![chip(name)?] };
    json.refuse_unwritable()?;
    let all = chips.iter().flat_map(|chip| FACTORS.map(|factor| live(chip, factor, tier, seed)));
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

/// The answer as tables for people.
pub(super) fn tables(answer: &Answer<'_>, campaigns: &[Campaign], output: &mut Output) -> Result<(), CliError> {
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
    output.line(&undetected_line(&answer.report.layouts))?;
    output.line("")?;
    rung_lines(answer, campaigns, output)?;
    for direct in &answer.direct {
        output.line(&direct_line(direct))?;
    }
    Ok(())
}

/// What follows from the wrong pages seen, or not seen, in all layouts together.
fn undetected_line(layouts: &[LayoutReport]) -> String {
    let sum = |of: fn(&LayoutReport) -> u64| layouts.iter().map(of).sum::<u64>();
    let (undetected, frames, rejected) = (sum(|of| of.undetected), sum(|of| of.frames), sum(|of| of.rejected));
    if frames == 0 {
        return "no page was tried".to_owned();
    }
    format!(
        "{undetected} of {frames} pages came out wrong: fewer than one in {:.0} with 95 % confidence. The checksum refused \
         {rejected} wrong codewords; it lets one in 2^32 pass, which makes fewer than {:.0e} of the pages tried",
        1.0 / upper_bound(undetected, frames, BOUND),
        upper_bound(rejected, frames, BOUND) / 2f64.powi(32),
    )
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
            output.line(&format!("{} {} at {rate:.2e}: {text}", report.layout, tier.name()))?;
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
