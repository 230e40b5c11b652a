//! The figures of a layout beside its limits.

use k7fs_core::ecc::{Layout, Tier};
use serde::Serialize;

use super::bounds::{Bch, Binomial, SpherePacking};
use super::campaign::Campaign;
use super::rates::{BOUND, MEDIAN};

/// Smaller pages are reported, but nothing is promised of them.
const GATE_BYTES: usize = 256;

/// Everything that `k7fs ecc` found out. As JSON its keys are part of the command's contract.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The seed of the frames.
    pub seed: u64,
    /// One by one.
    pub layouts: Vec<LayoutReport>,
}

/// One layout. Rates are bit error rates as plain probabilities; `None` is what was not measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayoutReport {
    /// Its name.
    pub layout: &'static str,
    /// Bits of the codeword.
    pub n_bits: usize,
    /// Those of them that are parity.
    pub parity_bits: usize,
    /// No code of this size loses fewer than one page in 10^4 at a larger rate.
    pub sphere_packing_1e4: f64,
    /// No code of this size loses fewer than one page in 10^6 at a larger rate.
    pub sphere_packing_1e6: f64,
    /// One BCH codeword with the same parity loses one page in 10^4.
    pub bch_1e4: f64,
    /// One BCH codeword with the same parity loses one page in 10^6.
    pub bch_1e6: f64,
    /// The small tier loses one page in 10^4.
    pub tier_s_1e4: Option<f64>,
    /// The full ladder loses one page in 10^4.
    pub full_1e4: Option<f64>,
    /// The full ladder loses one page in 10^6.
    pub full_1e6: Option<f64>,
    /// Frames of the measurement, all tiers and rates together.
    pub frames: u64,
    /// Those that came out wrong with a right checksum.
    pub undetected: u64,
    /// Scratch of the small tier, beside the page.
    pub ram_s_bytes: usize,
    /// Scratch of the full ladder, beside the page.
    pub ram_full_bytes: usize,
    /// Read-only tables.
    pub table_bytes: usize,
    /// Whether the project promises to beat BCH here.
    pub gate: bool,
    /// The figures again with confidence 0.95 instead of 0.5.
    #[serde(skip)]
    pub bounds: Bounds,
    /// Wrong codewords that the checksum refused.
    #[serde(skip)]
    pub rejected: u64,
}

/// Rates that hold with confidence 0.95.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Of [`LayoutReport::tier_s_1e4`].
    pub tier_s_1e4: Option<f64>,
    /// Of [`LayoutReport::full_1e4`].
    pub full_1e4: Option<f64>,
    /// Of [`LayoutReport::full_1e6`].
    pub full_1e6: Option<f64>,
}

impl LayoutReport {
    /// What the campaign says.
    pub fn new(campaign: &Campaign) -> Self {
        let layout = campaign.layout();
        let (n_bits, parity_bits) = (layout.codeword_bits(), layout.parity_bits());
        let packing = SpherePacking::new(n_bits, parity_bits);
        let bch = Bch::whole_page(n_bits, parity_bits);
        let binomial = Binomial::new(n_bits);
        let rate =
            |tier: Tier, limit: f64, confidence: f64| campaign.losses(tier).curve(confidence).rate(&binomial, limit);
        let all = campaign.tally(None);
        Self {
            layout: layout.name(),
            n_bits,
            parity_bits,
            sphere_packing_1e4: packing.rate(1e-4),
            sphere_packing_1e6: packing.rate(1e-6),
            bch_1e4: bch.rate(1e-4),
            bch_1e6: bch.rate(1e-6),
            tier_s_1e4: rate(Tier::Small, 1e-4, MEDIAN),
            full_1e4: rate(Tier::Full, 1e-4, MEDIAN),
            full_1e6: rate(Tier::Full, 1e-6, MEDIAN),
            frames: all.frames,
            undetected: all.undetected,
            ram_s_bytes: layout.scratch_bytes(Tier::Small),
            ram_full_bytes: layout.scratch_bytes(Tier::Full),
            table_bytes: layout.table_bytes(),
            gate: is_gated(layout),
            bounds: Bounds {
                tier_s_1e4: rate(Tier::Small, 1e-4, BOUND),
                full_1e4: rate(Tier::Full, 1e-4, BOUND),
                full_1e6: rate(Tier::Full, 1e-6, BOUND),
            },
            rejected: all.rejected,
        }
    }
}

/// Whether the project promises to beat BCH with this layout.
pub fn is_gated(layout: Layout) -> bool {
    layout.codeword_bytes() >= GATE_BYTES
}
