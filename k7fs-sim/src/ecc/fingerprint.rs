//! Which code and decoder a measurement belongs to.

use std::sync::OnceLock;

use k7fs_core::ecc::{Layout, Tier, encode};

use super::frame::{Bench, Channel};
use super::tally::Tally;
use crate::random::Random;

/// Random pages whose parity goes in.
const PAGES: u64 = 64;
/// Frames decoded by each tier at each number of wrong bits.
const FRAMES: u64 = 6;
/// Wrong bits in those frames, in hundredths of one for every sixteen bits of parity: from what every rung mends to what
/// only the upper ones do. Integers, so that every platform takes the same.
const LOADS: [usize; 4] = [20, 40, 60, 80];

/// The layout whose hard frames stand for the ladder's upper rungs, which are the same for all: they would take minutes
/// with large pages.
const HARD_LAYOUT: Layout = Layout::Nor256;
/// Of them, and their wrong bits: a few are lost, more are only mended by the last rung.
const HARD_FRAMES: u64 = 16;
const HARD_ERRORS: usize = 22;

/// Sixteen hexadecimal digits that change when the code's matrix or the decoder's behaviour does.
///
/// It comes from behaviour and not from source text: from the parity of random pages, which every entry of the matrix
/// takes part in, and from how each tier decodes a fixed set of frames.
pub fn fingerprint(layout: Layout) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(layout.name().as_bytes());
    let mut page = vec![0; layout.codeword_bytes()];
    let mut random = Random::of(&[u64::from(layout.id())]);
    for _ in 0..PAGES {
        random.fill(&mut page);
        encode(&layout, &mut page);
        hasher.update(&page[page.len() - layout.parity_bytes()..]);
    }
    for load in LOADS {
        outcomes(layout, layout.parity_bits() * load / 1600, FRAMES, &mut hasher);
    }
    hasher.update(upper_rungs());
    hasher.finalize().to_hex()[..16].to_owned()
}

/// How the hard frames come out: the same for every layout, and worked out once.
fn upper_rungs() -> &'static [u8; 32] {
    static HASH: OnceLock<[u8; 32]> = OnceLock::new();
    HASH.get_or_init(|| {
        let mut hasher = blake3::Hasher::new();
        outcomes(HARD_LAYOUT, HARD_ERRORS, HARD_FRAMES, &mut hasher);
        hasher.finalize().into()
    })
}

/// Hashes what becomes of the first frames with so many wrong bits on either tier.
fn outcomes(layout: Layout, errors: usize, frames: u64, hasher: &mut blake3::Hasher) {
    for tier in Tier::ALL {
        let mut bench = Bench::new(layout, tier);
        for frame in 0..frames {
            let mut tally = Tally::default();
            bench.run(Channel::Errors(errors), 0, frame, &mut tally);
            // The debug form has every field.
            hasher.update(format!("{tally:?}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_stable_and_differ() {
        let all: Vec<String> = Layout::ALL.iter().map(|layout| fingerprint(*layout)).collect();
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(fingerprint(Layout::ALL[0]), all[0]);
        assert!(all.iter().all(|text| text.len() == 16));
    }
}
