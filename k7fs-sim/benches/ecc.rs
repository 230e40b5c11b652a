//! Throughput of the page code on this host, as ratios to `labrador-ldpc` in the same run.
//!
//! ```text
//! cargo bench -p k7fs-sim --bench ecc                    ratios
//! cargo bench -p k7fs-sim --bench ecc -- --absolute      GB/s as well, which only say something about this machine
//! cargo bench -p k7fs-sim --bench ecc -- --callgrind     instructions per byte, counted by valgrind
//! ```
//!
//! `labrador-ldpc` stops at rate 4/5, has a dense generator for its encoder and no separate syndrome check; the codes
//! compared are its two of that rate, through the widest words that it takes. There is no maintained BCH crate to
//! compare with: `bchlib` binds a C library and has not changed since 2019.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use k7fs_core::ecc::{Layout, encode, syndrome_weight};
use labrador_ldpc::LDPCCode;

/// How long one measurement runs, and how many there are; the fastest counts, since others only slow it down.
const RUN: Duration = Duration::from_millis(30);
const RUNS: usize = 7;
/// Runs under callgrind do so many pages.
const REPETITIONS: (u32, u32) = (8, 72);
/// Makes this program its own subject under callgrind.
const REPEAT: &str = "--repeat";
/// What the project promises of the encoder.
const RATIO_MIN: f64 = 20.0;

fn main() {
    // Cargo adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => ratios(false),
        ["--absolute"] => ratios(true),
        ["--callgrind"] => counts(),
        [REPEAT, layout, operation, count] => repeat(layout, operation, count),
        _ => {
            eprintln!("arguments: none, --absolute or --callgrind");
            std::process::exit(2);
        }
    }
}

fn ratios(absolute: bool) {
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

/// Instructions per byte of a page. The same program runs under callgrind with few and with many repetitions; the
/// difference is theirs alone.
fn counts() {
    println!("layout        encode  syndrome   instructions per byte");
    for layout in Layout::ALL.iter().copied() {
        let per_byte = |operation| {
            let [few, many] = [REPETITIONS.0, REPETITIONS.1].map(|count| collected(layout, operation, count));
            let pages = (REPETITIONS.1 - REPETITIONS.0) as f64;
            many.zip(few).map(|(many, few)| (many - few) / pages / layout.codeword_bytes() as f64)
        };
        let text = |cost: Option<f64>| cost.map_or("-".to_owned(), |cost| format!("{cost:.2}"));
        println!("{:<13} {:>6}  {:>8}", layout.name(), text(per_byte("encode")), text(per_byte("syndrome")));
    }
}

/// The instructions of one run; `None`, with a message, where valgrind does not run.
fn collected(layout: Layout, operation: &str, count: u32) -> Option<f64> {
    let program = std::env::current_exe().ok()?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let output = command.args([REPEAT, layout.name(), operation, &count.to_string()]).output();
    let text = match output {
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => {
            eprintln!("valgrind: {error}");
            return None;
        }
    };
    text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

fn repeat(layout: &str, operation: &str, count: &str) {
    let (Some(layout), Ok(count)) = (Layout::from_name(layout), count.parse::<u32>()) else { return };
    let mut page = vec![0; layout.codeword_bytes()];
    random(&mut page);
    for _ in 0..count {
        match operation {
            "encode" => encode(&layout, black_box(&mut page)),
            _ => {
                black_box(syndrome_weight(&layout, black_box(&page)));
            }
        }
    }
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
