//! One seed for everything, printed, and given back by an environment variable.

use std::io::Write;

/// The environment variable that replaces the built-in seed: decimal, or hexadecimal after `0x`.
pub const VARIABLE: &str = "K7FS_SEED";

/// The seed of a normal run.
pub const DEFAULT: u64 = 0x6b37_6673;

/// The seed of this run.
///
/// # Panics
/// Where the variable is set to something that is not a number: a replay with another seed would mislead.
pub fn seed() -> u64 {
    let Ok(text) = std::env::var(VARIABLE) else { return DEFAULT };
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("{VARIABLE}={text} is not a number"))
}

/// The command that runs one test of one file again.
pub fn replay(file: &str, test: &str, seed: u64) -> String {
    format!("{VARIABLE}={seed:#x} cargo test -p k7fs-tests --test {file} {test}")
}

/// Prints a line past the test harness, which would keep it for failures only.
pub fn say(line: &str) {
    // A closed standard error is no reason to fail a test.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A well-mixed number from a seed and a place.
pub fn mix(seed: u64, place: u64) -> u64 {
    k7fs_sim::model::Random::new(seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15)).next_u64()
}
