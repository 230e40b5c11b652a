//! Random sequences of every operation, with remounts and power cuts, against a file system in plain memory.
//!
//! Each answer is compared, errors included, and the whole tree every few operations: a file system that is only
//! tested with what succeeds hides what it does when it refuses. The sequences come from proptest, which shortens what
//! fails, and from a generator that knows the state and so gets deep into it.

use k7fs_core::flash::Flash;
use k7fs_sim::model::Space;
use k7fs_tests::geometry::Case;
use k7fs_tests::seed::{mix, replay, say, seed};
use k7fs_tests::sequence::{Rig, Statistics, Step, random_steps, shrink};
use k7fs_tests::strategy::steps;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// An environment variable that replaces the rate of bit flips, to tell their part in a failure.
const FLIPS_VARIABLE: &str = "K7FS_FLIPS";
/// Steps of one proptest sequence, at most.
const STEPS_MAX: usize = 50;

fn shrinking(name: &str, cases: u32) {
    let seed = seed();
    let case = Case::named(name);
    let formatted = case.formatted(12, seed);
    let mut bytes = [0; 32];
    for (index, chunk) in bytes.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&mix(seed, index as u64).to_le_bytes());
    }
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let result = runner.run(&steps(STEPS_MAX, 6000), |steps| {
        let mut rig = Rig::new(formatted.clone());
        rig.run(&steps).map(|_| ()).map_err(|violation| TestCaseError::fail(violation.to_string()))
    });
    if let Err(error) = result {
        panic!("{error}\nreplay: {}", replay("model", &name.replace('-', "_"), seed));
    }
}

/// Long sequences with flips in every read; `flips` per bit read.
fn long(name: &str, rounds: u64, operations: usize, flips: f64) {
    let seed = seed();
    let flips = std::env::var(FLIPS_VARIABLE).map_or(flips, |text| text.parse().expect("a rate"));
    let case = Case::named(name);
    let mut total = Statistics::default();
    for round in 0..rounds {
        let formatted = case.formatted(16, seed);
        let geometry = formatted.geometry();
        let capacity = u64::from(geometry.page_size) * u64::from(geometry.page_count());
        let fresh = || {
            let mut rig = Rig::new(formatted.clone());
            rig.flash_mut().chip_mut().faults_mut().bit_flip_rate = flips;
            rig
        };
        let steps = generate(mix(seed, round), operations, capacity / 6);
        match fresh().run(&steps) {
            Ok(statistics) => {
                total.operations += statistics.operations;
                total.cuts += statistics.cuts;
                total.refused += statistics.refused;
            }
            Err(violation) => {
                let command = replay("model", &format!("{}_long", name.replace('-', "_")), seed);
                // At once: making it shorter takes minutes.
                say(&format!("{name}, round {round}: {violation}"));
                let (short, reason) = shrink(&fresh, &steps, violation);
                panic!("{name}, round {round}: {reason}\nafter {short:#?}\nreplay: {command}")
            }
        }
    }
    say(&format!("{name}: {} operations, {} cuts, {} refused", total.operations, total.cuts, total.refused));
}

/// Few files with long contents, in several indexes.
fn generate(seed: u64, operations: usize, bytes_max: u64) -> Vec<Step> {
    let space = Space { names: 12, depth: 3, length_max: 9000.min(bytes_max as u32 / 3), bytes_max, indexes_max: 5 };
    random_steps(seed, space, operations)
}

macro_rules! geometries {
    ($($test:ident, $long:ident: $name:literal, $cases:literal, $rounds:literal, $flips:literal;)*) => {$(
        #[test]
        fn $test() {
            shrinking($name, $cases);
        }

        #[test]
        fn $long() {
            long($name, $rounds, 800, $flips);
        }
    )*};
}

geometries! {
    nor_128_2k, nor_128_2k_long: "nor-128-2k", 64, 2, 1e-5;
    nor_128_4k, nor_128_4k_long: "nor-128-4k", 64, 2, 1e-5;
    nor_256_4k, nor_256_4k_long: "nor-256-4k", 96, 3, 1e-5;
    nor_512_4k, nor_512_4k_long: "nor-512-4k", 64, 2, 1e-5;
    nor_1024_8k, nor_1024_8k_long: "nor-1024-8k", 64, 2, 1e-5;
    nor_256_stm32h7, nor_256_stm32h7_long: "nor-256-stm32h7", 32, 1, 1e-5;
    nand_2048_64, nand_2048_64_long: "nand-2048-64", 32, 2, 1e-4;
    nand_2048_128, nand_2048_128_long: "nand-2048-128", 32, 1, 1e-4;
    nand_4096_224, nand_4096_224_long: "nand-4096-224", 32, 1, 1e-4;
    packed_nor_256_verified, packed_nor_256_verified_long: "nor-256-4k-verified", 48, 2, 1e-5;
    packed_nor_256_zstd, packed_nor_256_zstd_long: "nor-256-4k-zstd", 48, 2, 1e-5;
    packed_nor_512_lzma2, packed_nor_512_lzma2_long: "nor-512-4k-verified-lzma2", 48, 2, 1e-5;
    packed_nor_128_verified, packed_nor_128_verified_long: "nor-128-2k-verified", 32, 1, 1e-5;
    packed_nand_2048_zstd, packed_nand_2048_zstd_long: "nand-2048-64-verified-zstd", 16, 1, 1e-4;
    keyed_nor_256, keyed_nor_256_long: "nor-256-4k-keyed", 64, 3, 1e-5;
    keyed_nor_256_zstd, keyed_nor_256_zstd_long: "nor-256-4k-zstd-keyed", 32, 2, 1e-5;
    keyed_nor_1024, keyed_nor_1024_long: "nor-1024-8k-keyed", 32, 2, 1e-5;
    keyed_nand_2048, keyed_nand_2048_long: "nand-2048-64-keyed", 16, 2, 1e-4;
    packed_nand_4096_lzma2, packed_nand_4096_lzma2_long: "nand-4096-224-lzma2", 16, 1, 1e-4;
}
