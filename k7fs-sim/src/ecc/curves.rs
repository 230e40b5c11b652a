//! Plots of the frame error rate over the bit error rate.

use std::path::Path;

use k7fs_core::ecc::Tier;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::bounds::{Bch, Binomial, SpherePacking};
use super::campaign::Campaign;
use super::frame::Channel;
use super::rates::MEDIAN;

const SIZE: (u32, u32) = (900, 640);
/// Frame error rates shown.
const LOST: (f64, f64) = (1e-8, 1.0);
/// Bit error rates are shown in thousandths.
const SCALE: f64 = 1e3;
/// Points of a line.
const POINTS: usize = 160;

/// Why a plot cannot be written.
#[derive(Debug)]
pub struct CurveError(String);

impl std::fmt::Display for CurveError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CurveError {}

/// A line of the plot.
struct Line {
    name: &'static str,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

/// Writes the plot of one layout as SVG: both tiers as far as they were measured, direct measurements as dots, the
/// sphere-packing bound, and BCH with the same parity.
///
/// # Errors
/// [`CurveError`] where the file cannot be written.
pub fn write(campaign: &Campaign, path: &Path) -> Result<(), CurveError> {
    // The file is written in one go: the plotting library tells write errors only as a panic at the very end.
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
    draw(campaign, &area).map_err(|error| CurveError(format!("{}: {error}", path.display())))?;
    drop(area);
    std::fs::write(path, text).map_err(|error| CurveError(format!("{}: {error}", path.display())))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw(campaign: &Campaign, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let layout = campaign.layout();
    let (bits, parity) = (layout.codeword_bits(), layout.parity_bits());
    let packing = SpherePacking::new(bits, parity);
    let bch = Bch::whole_page(bits, parity);
    let (low, high) = (bch.rate(LOST.0) * 0.8, packing.rate(0.5) * 1.1);
    let rates: Vec<f64> = (0..=POINTS).map(|index| low * (high / low).powf(index as f64 / POINTS as f64)).collect();
    let lines = lines(campaign, &packing, &bch, &rates);
    area.fill(&WHITE)?;
    let title = format!("{}: {bits} bits, {parity} of them parity", layout.name());
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(title, ("sans-serif", 20))
        .x_label_area_size(42)
        .y_label_area_size(66)
        .build_cartesian_2d(low * SCALE..high * SCALE, (LOST.0..LOST.1).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("bit error rate in 1e-3")
        .y_desc("pages lost")
        .x_labels(12)
        .x_label_formatter(&|rate| format!("{rate:.1}"))
        .y_label_formatter(&|lost| format!("{lost:.0e}"))
        .draw()?;
    for line in lines {
        let color = line.color;
        chart
            .draw_series(LineSeries::new(line.points.into_iter().map(scaled), color.stroke_width(2)))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], color.stroke_width(2)));
    }
    let dots = direct(campaign).into_iter().filter(|(rate, lost)| (low..high).contains(rate) && *lost > LOST.0);
    chart.draw_series(dots.map(|point| Circle::new(scaled(point), 4, BLACK.filled())))?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    area.present()?;
    Ok(())
}

fn scaled((rate, lost): (f64, f64)) -> (f64, f64) {
    (rate * SCALE, lost)
}

fn lines(campaign: &Campaign, packing: &SpherePacking, bch: &Bch, rates: &[f64]) -> Vec<Line> {
    let binomial = Binomial::new(campaign.layout().codeword_bits());
    let visible = |point: &(f64, f64)| point.1 >= LOST.0 && point.1 <= LOST.1;
    let along = |lost: &dyn Fn(f64) -> f64| rates.iter().map(|rate| (*rate, lost(*rate))).filter(visible).collect();
    let tier = |tier| {
        let curve = campaign.losses(tier).curve(MEDIAN);
        let point = |rate: &f64| Some((*rate, curve.known_frame_error_rate(&binomial, *rate)?));
        rates.iter().filter_map(point).filter(visible).collect()
    };
    vec![
        Line { name: "sphere packing", color: BLACK, points: along(&|rate| packing.frame_error_rate(rate)) },
        Line { name: "full ladder", color: RGBColor(0, 90, 181), points: tier(Tier::Full) },
        Line { name: "tier S", color: RGBColor(0, 158, 115), points: tier(Tier::Small) },
        Line {
            name: "BCH, same parity",
            color: RGBColor(213, 94, 0),
            points: along(&|rate| bch.frame_error_rate(rate)),
        },
    ]
}

/// Frame error rates that were measured at a bit error rate.
fn direct(campaign: &Campaign) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for stretch in campaign.stretches() {
        if let Channel::Rate(rate) = stretch.channel {
            points.push((rate, stretch.tally.lost() as f64 / stretch.tally.frames.max(1) as f64));
        }
    }
    points
}
