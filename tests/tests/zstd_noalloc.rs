//! The zstd decoder without an allocator, beside those that others have written: the C library, which makes the frames, and ruzstd.

use std::path::Path;
use std::sync::OnceLock;

use k7fs_core::codec::{ZSTD_SCRATCH_BYTES, ZstdCodec, ZstdScratch};
use k7fs_core::{Codec, CodecError, CodecId};
use k7fs_sim::model::Random;
use k7fs_tests::parallel;
use k7fs_tests::seed::{mix, say, seed};
use proptest::prelude::*;
use ruzstd::decoding::FrameDecoder;
use zstd::bulk::Compressor;

/// The longest block that is tried.
const BLOCK_BYTES_MAX: usize = 256 << 10;
/// Levels of the C library that are tried.
const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;
/// Damaged frames of one run.
const HOSTILE_INPUTS: u64 = 200_000;
/// Memory for tables that firmware is told of.
const SCRATCH_BYTES_STATED: usize = 4096;

/// Decodes with whatever an earlier block has left in the tables.
fn decode(scratch: &mut ZstdScratch, packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut plain = vec![0xA5; length];
    match ZstdCodec::new(scratch).decode(CodecId::Zstd, packed, &mut plain) {
        Ok(()) => Some(plain),
        Err(error) => {
            assert_eq!(error, CodecError::Damaged);
            None
        }
    }
}

fn ruzstd_decode(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut plain = vec![0x5A; length];
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(length.next_power_of_two().max(1024) as u64);
    (decoder.decode_all(packed, &mut plain).ok()? == length).then_some(plain)
}

fn encode(plain: &[u8], level: i32, with_size: bool) -> Vec<u8> {
    let mut compressor = Compressor::new(level).expect("a level");
    compressor.include_checksum(false).expect("an option");
    compressor.include_contentsize(with_size).expect("an option");
    compressor.compress(plain).expect("compresses")
}

fn comes_back(scratch: &mut ZstdScratch, plain: &[u8], level: i32) {
    for with_size in [false, true] {
        let packed = encode(plain, level, with_size);
        let length = plain.len();
        assert!(
            decode(scratch, &packed, length).is_some_and(|again| again == plain),
            "{length} bytes at level {level}"
        );
        assert!(decode(scratch, &packed, length + 1).is_none());
        assert!(length == 0 || decode(scratch, &packed, length - 1).is_none());
    }
}

/// Content of many kinds: from text that repeats to noise.
fn content(random: &mut Random, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    let (kind, symbols) = (random.below(6), 1 + random.below(256));
    while bytes.len() < length {
        match if kind == 5 { random.below(5) } else { kind } {
            0 => bytes.push(random.below(symbols) as u8),
            // Frequencies that fall fast: codes of all lengths.
            1 => bytes.push((random.next_u64().trailing_zeros() as u8).wrapping_mul(37)),
            2 => bytes.extend(std::iter::repeat_n(random.below(4) as u8, random.below(3000) as usize)),
            3 if !bytes.is_empty() => {
                let from = random.below(bytes.len() as u64) as usize;
                let bits = random.below(12);
                let to = bytes.len().min(from + random.below(1 << bits) as usize);
                bytes.extend_from_within(from..to);
                bytes.push(random.below(symbols) as u8);
            }
            3 => bytes.push(0),
            _ => bytes.extend(format!("{} is {}; ", random.below(50), random.below(symbols)).into_bytes()),
        }
    }
    bytes.truncate(length);
    bytes
}

/// Files of this tree, up to the longest block of each.
fn files() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut open: Vec<_> =
            ["k7fs-core", "k7fs-sim", "tests/src", "tests/campaigns"].map(|part| root.join(part)).into();
        let mut files = vec![std::fs::read(std::env::current_exe().expect("a program")).expect("can be read")];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => open.push(path),
                    false => files.push(std::fs::read(path).expect("can be read")),
                }
            }
        }
        files.sort();
        let blocks = files.iter().map(|file| file.get(..BLOCK_BYTES_MAX).unwrap_or(file).to_vec());
        blocks.filter(|block| !block.is_empty()).collect()
    })
}

#[test]
fn every_level_of_every_size_comes_back() {
    let levels: Vec<i32> = LEVELS.collect();
    parallel::run(&levels, |&level| {
        let mut scratch = ZstdScratch::new();
        let mut random = Random::new(mix(seed(), level as u64));
        for length in [0, 1, 2, 7, 63, 64, 255, 256, 257, 1023, 4096, 4097, 16_384, 65_536, 131_072, 131_073, 262_144] {
            for _ in 0..6 {
                comes_back(&mut scratch, &content(&mut random, length), level);
            }
        }
    });
    let tables = size_of::<ZstdScratch>();
    say(&format!("zstd without an allocator: {tables} bytes of tables"));
    assert!(tables == ZSTD_SCRATCH_BYTES && tables <= SCRATCH_BYTES_STATED);
}

#[test]
fn files_of_this_tree_come_back() {
    let levels: Vec<i32> = LEVELS.collect();
    parallel::run(&levels, |&level| {
        let mut scratch = ZstdScratch::new();
        for (index, file) in files().iter().enumerate() {
            // The highest levels take a while for what they gain: every file meets some of them.
            if level < 6 || (index + level as usize).is_multiple_of(5) {
                comes_back(&mut scratch, file, level);
            }
        }
    });
}

#[test]
fn another_encoder_is_understood() {
    let mut scratch = ZstdScratch::new();
    for file in files() {
        let packed = ruzstd::encoding::compress_to_vec(&file[..], ruzstd::encoding::CompressionLevel::Fastest);
        // It has a window of its own idea, and leaves out what this decoder refuses.
        if let Some(again) = decode(&mut scratch, &packed, file.len()) {
            assert!(again == *file);
        }
    }
}

#[test]
fn what_records_do_not_have_is_refused() {
    let plain = b"a checksum, a dictionary, a second frame".repeat(9);
    let mut scratch = ZstdScratch::new();
    let mut compressor = Compressor::new(3).expect("a level");
    compressor.include_checksum(true).expect("an option");
    let with_checksum = compressor.compress(&plain).expect("compresses");
    assert!(decode(&mut scratch, &with_checksum, plain.len()).is_none());
    let sound = encode(&plain, 3, true);
    assert!(decode(&mut scratch, &sound, plain.len()).is_some());
    assert!(decode(&mut scratch, &[sound.clone(), sound.clone()].concat(), 2 * plain.len()).is_none());
    assert!(decode(&mut scratch, &[&sound[..], &[0]].concat(), plain.len()).is_none());
    // A skippable frame, and a dictionary's number.
    let skipped = [&[0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 9][..], &sound].concat();
    assert!(decode(&mut scratch, &skipped, plain.len()).is_none());
    let dictionary = [&sound[..4], &[sound[4] | 1], &sound[5..6], &[7], &sound[6..]].concat();
    assert!(decode(&mut scratch, &dictionary, plain.len()).is_none());
    let mut codec = ZstdCodec::new(&mut scratch);
    assert!(codec.decodes(CodecId::Zstd) && !codec.decodes(CodecId::Lzma2) && !codec.decodes(CodecId::Store));
    assert_eq!(codec.decode(CodecId::Lzma2, &sound, &mut [0; 8]), Err(CodecError::Missing));
    assert_eq!(codec.encode(CodecId::Zstd, &plain, &mut [0; 4096]), None);
}

#[test]
fn damaged_frames_are_refused_or_decoded_as_others_do() {
    let batches: Vec<u64> = (0..200).collect();
    let counts = parallel::run(&batches, |&batch| {
        let mut random = Random::new(mix(seed(), batch));
        let mut scratch = ZstdScratch::new();
        let (mut accepted, mut both) = (0u64, 0u64);
        for index in 0..HOSTILE_INPUTS / 200 {
            if index % 50 == 0 {
                scratch = ZstdScratch::new();
            }
            let (bits, level) = (4 + random.below(10), 1 + random.below(19) as i32);
            let length = 1 + random.below(1 << bits);
            let plain = content(&mut random, length as usize);
            let mut packed = encode(&plain, level, random.percent(50));
            damage(&mut packed, &mut random);
            let length = if random.percent(90) { plain.len() } else { plain.len() + random.below(9) as usize };
            let Some(again) = decode(&mut scratch, &packed, length) else { continue };
            accepted += 1;
            if let Some(other) = ruzstd_decode(&packed, length) {
                assert!(again == other, "K7FS_SEED={:#x}: input {index} of {batch}", seed());
                both += 1;
            }
            let other = zstd::bulk::decompress(&packed, length);
            assert!(other.is_ok_and(|other| other == again), "the C library: input {index} of {batch}");
        }
        (accepted, both)
    });
    let (accepted, both) = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    say(&format!(
        "damaged frames: {accepted} of {HOSTILE_INPUTS} accepted, {both} by ruzstd too, all with the same content"
    ));
    assert!(both > HOSTILE_INPUTS / 100);
}

/// Changes a few bytes, most of them where the tables are described.
fn damage(packed: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(3) {
        let reach = if random.percent(60) { packed.len().min(40) } else { packed.len() };
        let at = random.below(reach.max(1) as u64) as usize;
        match random.below(8) {
            0 => packed.truncate(at),
            1 => packed.insert(at, random.below(256) as u8),
            2 if at < packed.len() => drop(packed.remove(at)),
            3 => packed[at..].iter_mut().take(1 + random.below(4) as usize).for_each(|byte| *byte = 0xFF),
            4 => packed[at..].iter_mut().take(1 + random.below(4) as usize).for_each(|byte| *byte = 0),
            _ => {
                if let Some(byte) = packed.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_content_comes_back(pieces in prop::collection::vec((any::<u8>(), 1usize..400, 0usize..3), 0..200), level in LEVELS) {
        let mut plain = Vec::new();
        for (byte, length, kind) in pieces {
            match kind {
                0 => plain.extend(std::iter::repeat_n(byte, length)),
                1 => plain.extend((0..length).map(|index| byte.wrapping_mul(index as u8))),
                _ => plain.extend_from_within(plain.len() - length.min(plain.len())..),
            }
        }
        comes_back(&mut ZstdScratch::new(), &plain, level);
    }

    #[test]
    fn any_bytes_are_an_error_or_content(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0usize..5000) {
        let framed = [&[0x28, 0xB5, 0x2F, 0xFD, 0, 0][..], &bytes].concat();
        for packed in [&bytes, &framed] {
            let again = decode(&mut ZstdScratch::new(), packed, length);
            if let (Some(again), Some(other)) = (again, ruzstd_decode(packed, length)) {
                prop_assert_eq!(again, other);
            }
        }
    }
}
