//! What became of frames, counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts of frames and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Frames tried.
    pub frames: u64,
    /// Frames that the decoder gave up.
    pub failures: u64,
    /// Frames that came out wrong with a right checksum: the one thing that must never happen.
    pub undetected: u64,
    /// Wrong codewords that the checksum refused; a frame may have several.
    pub rejected: u64,
    /// By rung of the ladder, the frames that it mended.
    pub rungs: BTreeMap<String, RungTally>,
}

/// The frames that one rung mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungTally {
    /// Their number.
    pub frames: u64,
    /// Sweeps and iterations that they took together, those on lower rungs included.
    pub iterations: u64,
}

impl Tally {
    /// Counts a frame as mended by `rung` after `iterations`. The caller counts it as tried.
    pub fn count(&mut self, rung: &str, iterations: u64) {
        // Almost every call finds the rung: no string is made then.
        match self.rungs.get_mut(rung) {
            Some(tally) => tally.add(RungTally { frames: 1, iterations }),
            None => {
                self.rungs.insert(rung.to_owned(), RungTally { frames: 1, iterations });
            }
        }
    }

    /// Adds the counts of other frames.
    pub fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.failures += other.failures;
        self.undetected += other.undetected;
        self.rejected += other.rejected;
        for (rung, tally) in &other.rungs {
            self.rungs.entry(rung.clone()).or_default().add(*tally);
        }
    }

    /// Whether the numbers can be those of one run: every frame had exactly one end.
    pub fn is_consistent(&self) -> bool {
        let mended = self.rungs.values().try_fold(0_u64, |sum, rung| sum.checked_add(rung.frames));
        let all = mended.and_then(|sum| sum.checked_add(self.failures)?.checked_add(self.undetected));
        all == Some(self.frames)
    }

    /// Frames that did not come out right.
    pub fn lost(&self) -> u64 {
        self.failures + self.undetected
    }
}

impl RungTally {
    fn add(&mut self, other: Self) {
        self.frames += other.frames;
        self.iterations += other.iterations;
    }
}
