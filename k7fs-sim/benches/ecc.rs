//! Throughput of the page code on this host, as ratios to `labrador-ldpc` in the same run.
//!
//! ```text
//! cargo bench -p k7fs-sim --bench ecc                    ratios
//! cargo bench -p k7fs-sim --bench ecc -- --absolute      GB/s as well, which only say something about this machine
//! ```
//!
//! `labrador-ldpc` stops at rate 4/5, has a dense generator for its encoder and no separate syndrome check; the codes
//! compared are its two of that rate, through the widest words that it takes. There is no maintained BCH crate to
//! compare with: `bchlib` binds a C library and has not changed since 2019.

use std::hint::black_box;
use std::time::{Duration, Instant};

use k7fs_core::ecc::{Layout, encode, syndrome_weight};
use labrador_ldpc::LDPCCode;

/// How long one measurement runs, and how many there are; the fastest counts, since others only slow it down.
const RUN: Duration = Duration::from_millis(30);
const RUNS: usize = 7;
/// What the project promises of the encoder.
const RATIO_MIN: f64 = 20.0;

fn main() {
    let absolute = std::env::args().any(|argument| argument == "--absolute");
    let others = [("TM1280", other(LDPCCode::TM1280)), ("TM5120", other(LDPCCode::TM5120))];
    let fastest = others.iter().map(|(_, speed)| *speed).fold(0.0, f64::max);
    println!("layout        encode : TM1280 : TM5120   syndrome : TM5120's encoder");
    let mut slowest = f64::INFINITY;
    for layout in Layout::ALL.iter().copied() {
        let (encoding, checking) = ours(layout);
        slowest = slowest.min(encoding / fastest);
        let [one, five] = others.map(|(_, speed)| encoding / speed);
        print!("{:<13} {one:>15.1} {five:>8.1} {:>28.1}", layout.name(), checking / others[1].1);
        println!("{}", if absolute { format!("   {encoding:.2} GB/s, {checking:.2} GB/s") } else { String::new() });
    }
    if absolute {
        for (name, speed) in others {
            println!("{name:<13} {speed:.3} GB/s");
        }
    }
    println!("slowest encoder against their faster one: {slowest:.1} times (to reach: {RATIO_MIN})");
}

/// Encoder and syndrome check in GB of page per second.
fn ours(layout: Layout) -> (f64, f64) {
    let mut page = vec![0; layout.codeword_bytes()];
    random(&mut page);
    let encoding = fastest(page.len(), || encode(&layout, black_box(&mut page)));
    let checking = fastest(page.len(), || {
        black_box(syndrome_weight(&layout, black_box(&page)));
    });
    assert_eq!(syndrome_weight(&layout, &page), 0);
    (encoding, checking)
}

/// Their encoder in GB of codeword per second, through the words that suit it best.
fn other(code: LDPCCode) -> f64 {
    let mut bytes = vec![0_u8; code.n() / 8];
    random(&mut bytes);
    let mut words = vec![0x5AA5_0FF1_u32; code.n() / 32];
    let mut wide = vec![0x5AA5_0FF1_0123_4567_u64; code.n() / 64];
    let size = bytes.len();
    let by_bytes = fastest(size, || {
        code.encode(black_box(&mut bytes[..]));
    });
    let by_words = fastest(size, || {
        code.encode(black_box(&mut words[..]));
    });
    let by_wide = fastest(size, || {
        code.encode(black_box(&mut wide[..]));
    });
    by_bytes.max(by_words).max(by_wide)
}

/// GB per second of the fastest run.
fn fastest(bytes: usize, mut work: impl FnMut()) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..RUNS {
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed() < RUN {
            // Looking at the clock costs as much as a small page.
            (0..16).for_each(|_| work());
            count += 16;
        }
        best = best.max((bytes * count) as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}

fn random(bytes: &mut [u8]) {
    let mut state = 1_u32;
    for byte in bytes {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *byte = state as u8;
    }
}
