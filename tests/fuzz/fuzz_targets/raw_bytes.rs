//! Damage without forged checksums: `cargo +nightly fuzz run raw_bytes` in `tests/`.
//!
//! The input drives the same generator as the test `hostile`; what is still shown must be right.
#![no_main]

use std::sync::OnceLock;

use k7fs_tests::geometry::Case;
use k7fs_tests::hostile::Victim;
use libfuzzer_sys::fuzz_target;

static VICTIM: OnceLock<Victim> = OnceLock::new();

fuzz_target!(|input: [u8; 8]| {
    let victim = VICTIM.get_or_init(|| Victim::new(&Case::named("nor-128-2k"), true, true));
    let mut random = k7fs_tests::hostile::random(u64::from_le_bytes(input));
    let (flash, sealed) = victim.mutated(&mut random);
    victim.examine(flash, sealed, input[0] & 1 == 1);
});
