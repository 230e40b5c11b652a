//! Frames for the zstd decoder without an allocator: `cargo +nightly fuzz run zstd` in `tests/`.
//!
//! The input is the block's length in 16 bits, then the frame without its magic. What ruzstd accepts as well must be the same.
#![no_main]

use k7fs_core::codec::{BuiltInCodec, ZstdCodec, ZstdScratch};
use k7fs_core::{Codec, CodecId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((length, frame)) = input.split_first_chunk() else { return };
    let packed = [&[0x28, 0xB5, 0x2F, 0xFD], frame].concat();
    let mut plain = vec![1; usize::from(u16::from_le_bytes(*length))];
    let mut scratch = ZstdScratch::new();
    if ZstdCodec::new(&mut scratch).decode(CodecId::Zstd, &packed, &mut plain).is_ok() {
        let mut other = vec![2; plain.len()];
        if BuiltInCodec::new().decode(CodecId::Zstd, &packed, &mut other).is_ok() {
            assert!(plain == other);
        }
    }
});
