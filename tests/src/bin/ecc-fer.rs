//! Measures how often a page with a given number of wrong bits cannot be mended.
//!
//! `ecc-fer NAME FRAMES T...` takes random codewords with exactly T wrong bits each and counts failures. Multiplying
//! by the binomial distribution gives the frame error rate at any bit error rate.

use k7fs_core::ecc::{Layout, Tier, decode, encode};

struct Random(u64);

impl Random {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, frames, errors @ ..] = &arguments[..] else {
        eprintln!("ecc-fer NAME FRAMES T...");
        std::process::exit(2);
    };
    let frames: u64 = frames.parse().unwrap_or(1000);
    for layout in Layout::ALL.iter().copied().filter(|layout| layout.name() == name) {
        for errors in errors.iter().filter_map(|text| text.parse().ok()) {
            let (tried, failed) = measure(layout, errors, frames);
            println!(
                "{name} t {errors} p {:.3e} F {:.2e} ({failed}/{tried})",
                errors as f64 / layout.codeword_bytes() as f64 / 8.0,
                failed as f64 / tried as f64
            );
        }
    }
}

/// Frames tried and failed. Stops at 100 failures.
fn measure(layout: Layout, errors: usize, frames: u64) -> (u64, u64) {
    let mut random = Random(errors as u64);
    let mut page = vec![0u8; layout.codeword_bytes()];
    let mut scratch = vec![0u8; layout.scratch_bytes(Tier::Full)];
    let mut failed = 0;
    for frame in 0..frames {
        page.chunks_mut(8).for_each(|bytes| bytes.copy_from_slice(&random.next().to_le_bytes()[..bytes.len()]));
        encode(&layout, &mut page);
        let good = page.clone();
        let mut wrong = std::collections::BTreeSet::new();
        while wrong.len() < errors {
            wrong.insert((random.next() % (page.len() as u64 * 8)) as usize);
        }
        wrong.iter().for_each(|bit| page[bit / 8] ^= 1 << (bit % 8));
        let mark = layout.mark_byte().map_or(0..0, |mark| mark..mark + 2);
        let same = |page: &[u8]| (0..page.len()).all(|i| mark.contains(&i) || page[i] == good[i]);
        failed += u64::from(decode(&layout, &mut page, &mut scratch, &mut |page| same(page)).is_err());
        if failed == 100 {
            return (frame + 1, failed);
        }
    }
    (frames, failed)
}
