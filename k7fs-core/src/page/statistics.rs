//! What reads have seen since the mount.

use crate::ecc::{Correction, Rung};

/// Rungs of the decoder that a build has.
const RUNGS: usize = if cfg!(feature = "full-decoder") { 4 } else { 2 };

/// What reads have seen since the mount: how close the chip is to losing pages.
///
/// A page that was in memory was not read. An undamaged one costs no decoding and is not counted; nor is one of which only the
/// parity is damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReadStatistics {
    /// Bits that were wrong and have been corrected.
    pub corrected_bits: u64,
    /// Reads that no decoder could mend, and that were tried again; saturates.
    pub retried_reads: u32,
    /// The corrected page that came closest to being lost, of those whose blocks were not emptied for it.
    pub weakest: Option<WeakPage>,
    mended: [u32; RUNGS],
}

/// A page that decoding had trouble with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WeakPage {
    /// Its number within the volume.
    pub page: u32,
    /// How many more wrong bits the small decoder would still have mended; negative beyond that. See
    /// [`Correction::margin`](crate::ecc::Correction::margin).
    pub margin: i16,
}

impl ReadStatistics {
    /// Pages that this rung of the decoder has mended; saturates. 0 for [`Rung::Clean`], which is not counted.
    pub fn mended_by(&self, rung: Rung) -> u32 {
        place(rung).and_then(|place| self.mended.get(place)).copied().unwrap_or(0)
    }

    /// Takes one corrected page in.
    pub(super) fn add(&mut self, page: u32, correction: &Correction) {
        self.corrected_bits += u64::from(correction.bits);
        if let Some(count) = place(correction.rung).and_then(|place| self.mended.get_mut(place)) {
            *count = count.saturating_add(1);
        }
        if self.weakest.is_none_or(|weakest| correction.margin < weakest.margin) {
            self.weakest = Some(WeakPage { page, margin: correction.margin });
        }
    }
}

const fn place(rung: Rung) -> Option<usize> {
    match rung {
        Rung::Clean => None,
        Rung::Flip => Some(0),
        Rung::FlipChase => Some(1),
        Rung::Belief => Some(2),
        Rung::BeliefChase => Some(3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_page_is_the_one_with_the_least_margin() {
        let mut statistics = ReadStatistics::default();
        for (page, rung, bits, margin) in [(7, Rung::Flip, 2, 5), (9, Rung::FlipChase, 9, -2), (8, Rung::Flip, 3, 4)] {
            statistics.add(page, &Correction { bits, rung, iterations: 1, margin });
        }
        assert_eq!(statistics.corrected_bits, 14);
        assert_eq!((statistics.mended_by(Rung::Flip), statistics.mended_by(Rung::FlipChase)), (2, 1));
        assert_eq!(statistics.mended_by(Rung::Clean), 0);
        assert_eq!(statistics.weakest, Some(WeakPage { page: 9, margin: -2 }));
    }
}
