//! Changes of a valid image, chosen by the fuzzer: `cargo +nightly fuzz run hostile_image` in `tests/`.
//!
//! The input is a list of edits (page, place, value), each sealed again so that it gets past checksum and page code.
//! The test `hostile` makes similar changes from a seed; here coverage guides them.
#![no_main]

use std::sync::OnceLock;

use k7fs_tests::geometry::Case;
use k7fs_tests::hostile::Victim;
use libfuzzer_sys::fuzz_target;

static VICTIM: OnceLock<Victim> = OnceLock::new();

fuzz_target!(|input: &[u8]| {
    let victim = VICTIM.get_or_init(|| Victim::new(&Case::named("nor-256-4k"), false, true));
    let Some((options, edits)) = input.split_first() else { return };
    let flash = victim.edited(edits);
    victim.examine(flash, true, options & 1 == 1);
});
