//! Packed records from outside: policy, missing codecs, hashes that do not match, packing anew.

use std::cell::Cell;
use std::sync::Arc;

use k7fs_core::flash::Flash;
use k7fs_core::{
    Codec, CodecError, CodecId, Codecs, ContentCursor, Error, FaultKind, FormatOptions, HashId, MountOptions,
    OpenOptions, Recompressed, Volume,
};
use k7fs_sim::chip::SimFlash;
use k7fs_sim::codec::{HostCodec, HostCodecs};
use k7fs_sim::model::{Content, Random};
use k7fs_tests::geometry::{Case, LOGICAL_BLOCK_MAX, VOLUME_ID, buffer_for, format_options, with_codecs};
use k7fs_tests::ram::RamFlash;
use k7fs_tests::seal::Sealer;
use k7fs_tests::seed::seed;

const BLOCK: usize = 4096;

/// Content that compresses well.
fn text(seed: u64, length: u32) -> Vec<u8> {
    Content::seeded(101 + 2 * seed, length).bytes()
}

fn options(codec: CodecId) -> FormatOptions {
    FormatOptions { codec, all_codecs: true, ..format_options() }
}

fn formatted(options: &FormatOptions) -> SimFlash {
    let mut flash = Case::named("nor-256-4k").flash(60, 1);
    let mut buffer = buffer_for(&flash);
    Volume::format(&mut flash, &mut buffer, options).expect("formats");
    flash
}

/// The same without codecs.
fn without<R>(flash: &mut SimFlash, work: impl FnOnce(&mut Volume<'_, &mut SimFlash>) -> R) -> R {
    let mut buffer = buffer_for(flash);
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("mounts");
    let result = work(&mut volume);
    volume.unmount().expect("unmounts");
    result
}

fn content<F: Flash>(volume: &mut Volume<'_, F>, path: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; 1 << 17];
    let length = volume.read(path, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

#[test]
fn options_are_refused_each_by_its_own_error() {
    let mut flash = Case::named("nor-256-4k").flash(60, 1);
    let mut buffer = buffer_for(&flash);
    let mut format = |options: FormatOptions| Volume::format(&mut flash, &mut buffer, &options);
    let weak = FormatOptions { hash: HashId::Xxh3x64, ..format_options() };
    assert_eq!(format(weak), Err(Error::WeakHash));
    assert_eq!(format(FormatOptions { force: true, ..weak }), Ok(()));
    for bytes in [0, 1, 2048, 4097, 1 << 26] {
        let options = FormatOptions { logical_block_size: bytes, ..format_options() };
        assert_eq!(format(options), Err(Error::InvalidBlockSize { bytes }));
    }
    let mut flash = formatted(&format_options());
    with_codecs(&mut flash, |volume| {
        assert_eq!(volume.set_codec(CodecId::Zstd), Err(Error::InvalidOption));
        volume.write("/a", &text(1, 4096)).expect("writes");
        assert_eq!(volume.recompress("/a", CodecId::Lzma2), Err(Error::InvalidOption));
    });
    let mut memory = [0; 100];
    let (plain, packed) = memory.split_at_mut(50);
    let mut codec = HostCodec::default();
    let mut codecs = Codecs::new(&mut codec, plain, packed);
    let mut buffer = buffer_for(&flash);
    let mounted = Volume::mount_with(&mut flash, &mut buffer, MountOptions::default(), &mut codecs);
    assert_eq!(mounted.err(), Some(Error::BufferTooSmall { needed: BLOCK, given: 50 }));
}

#[test]
fn a_missing_codec_is_named_and_the_rest_works() {
    for codec in [CodecId::Zstd, CodecId::Lzma2] {
        let mut flash = formatted(&options(codec));
        let noise = Content::seeded(2, 5000).bytes();
        with_codecs(&mut flash, |volume| {
            volume.write("/packed", &text(1, 9000)).expect("writes");
            volume.write("/noise", &noise).expect("writes");
            assert!(volume.content_status().expect("counts").compressed_blocks >= 2);
        });
        without(&mut flash, |volume| {
            assert_eq!(content(volume, "/packed"), Err(Error::MissingCodec { codec }));
            assert_eq!(content(volume, "/noise").as_ref(), Ok(&noise));
            assert_eq!(volume.recompress("/packed", codec), Err(Error::MissingCodec { codec }));
            let summary = volume.check_deep(|fault| panic!("{fault:?}")).expect("checks");
            assert!(summary.unverified >= 2);
            // Cutting needs no codec, nor does writing, until extents would have to be merged.
            let file = volume.open("/packed", OpenOptions::new().read(true).write(true)).expect("opens");
            let mut refused = None;
            let mut written = 0;
            for at in (10..4000).step_by(100) {
                match volume.write_at(&file, at, b"12345") {
                    Ok(()) => written += 1,
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
            assert_eq!(refused, Some(Error::MissingCodec { codec }));
            assert!(written >= 5, "{written} writes");
            let mut bytes = [0; 5];
            assert_eq!(volume.read_at(&file, 10, &mut bytes), Ok(5));
            assert_eq!(&bytes, b"12345");
            volume.set_len(&file, 8500).expect("cuts");
            volume.close(file).expect("closes");
        });
        with_codecs(&mut flash, |volume| {
            let bytes = content(volume, "/packed").expect("reads");
            let mut expected = text(1, 9000);
            expected.truncate(8500);
            assert_eq!(bytes.len(), 8500);
            let differing: Vec<usize> = (0..8500).filter(|at| bytes[*at] != expected[*at]).collect();
            assert!(differing.iter().all(|at| *at < 4000 && (at - 10) % 100 < 5), "{differing:?}");
            volume.check_deep(|fault| panic!("{fault:?}")).expect("checks");
        });
    }
}

/// Counts blocks that are decoded.
#[derive(Default)]
struct Counting {
    codec: HostCodec,
    decoded: Cell<u32>,
}

impl Codec for Counting {
    fn decode(&mut self, codec: CodecId, packed: &[u8], plain: &mut [u8]) -> Result<(), CodecError> {
        self.decoded.set(self.decoded.get() + 1);
        self.codec.decode(codec, packed, plain)
    }

    fn encode(&mut self, codec: CodecId, plain: &[u8], packed: &mut [u8]) -> Option<usize> {
        self.codec.encode(codec, plain, packed)
    }
}

#[test]
fn reading_decodes_one_block_once() {
    let mut flash = formatted(&options(CodecId::Zstd));
    let bytes = text(3, 10 * BLOCK as u32);
    with_codecs(&mut flash, |volume| volume.write("/a", &bytes).expect("writes"));
    let (mut plain, mut packed) = (vec![0; BLOCK], vec![0; BLOCK]);
    for (reads, expected) in [(vec![(30_000, 10)], 1), ((0..256).map(|at| (at * 16, 16)).collect(), 1)] {
        let mut counting = Counting::default();
        let mut codecs = Codecs::new(&mut counting, &mut plain, &mut packed);
        let mut buffer = buffer_for(&flash);
        let read_only = MountOptions { read_only: true, ..MountOptions::default() };
        let mut volume = Volume::mount_with(&mut flash, &mut buffer, read_only, &mut codecs).expect("mounts");
        let file = volume.open("/a", OpenOptions::new().read(true)).expect("opens");
        for (at, length) in reads {
            let mut part = vec![0; length];
            volume.read_at(&file, at as u64, &mut part).expect("reads");
            assert_eq!(part, bytes[at..at + length]);
        }
        drop(volume);
        assert_eq!(counting.decoded.get(), expected);
    }
}

#[test]
fn packing_anew_changes_nothing_but_the_space() {
    for verified in [false, true] {
        let mut flash = formatted(&FormatOptions { verified, ..options(CodecId::Store) });
        let files: Vec<(String, Vec<u8>)> =
            (0..6).map(|index| (format!("/f{index}"), text(index, 3000 + 2500 * index as u32))).collect();
        with_codecs(&mut flash, |volume| {
            for (path, bytes) in &files {
                volume.write(path, bytes).expect("writes");
            }
            volume.write("/noise", &Content::seeded(2, 9000).bytes()).expect("writes");
            let plain = volume.content_status().expect("counts");
            assert_eq!((plain.plain_bytes, plain.compressed_blocks), (plain.stored_bytes, 0));
            for codec in [CodecId::Zstd, CodecId::Lzma2, CodecId::Zstd, CodecId::Store] {
                let (mut cursor, mut done) = (ContentCursor::default(), Recompressed::default());
                while volume.recompress_step(&mut cursor, codec, &mut done).expect("recompresses") {}
                let now = volume.content_status().expect("counts");
                assert_eq!((now.logical_bytes, now.plain_bytes), (plain.logical_bytes, plain.plain_bytes));
                assert_eq!((done.blocks, done.skipped), (now.blocks, 0));
                match codec {
                    CodecId::Store => assert_eq!((now.compressed_blocks, now.stored_bytes), (0, now.plain_bytes)),
                    _ => assert!(now.stored_bytes * 2 < now.plain_bytes, "{now:?}"),
                }
                for (path, bytes) in &files {
                    assert!(content(volume, path).expect("reads") == *bytes, "{path} with {codec:?}");
                }
                volume.check_deep(|fault| panic!("{codec:?}: {fault:?}")).expect("checks");
            }
        });
    }
}

/// The same chip with a bit changed in these bytes, which lie on one page, and that page sealed again.
fn forged(flash: &SimFlash, bytes: &[u8]) -> RamFlash {
    let geometry = flash.geometry();
    let length = geometry.raw_page_size() * geometry.page_count() as usize;
    let image: Arc<[u8]> = flash.chip().to_bytes()[..length].into();
    let mut forged = RamFlash::new(geometry, image);
    let written = forged.written_pages();
    let sealer = Sealer::new(geometry, VOLUME_ID, written.iter().map(|page| (*page, forged.page(*page))));
    let sealer = sealer.expect("sealed as the format says");
    let mut changed = 0;
    for page in written {
        let at = forged.page(page).windows(bytes.len()).position(|window| window == bytes);
        if let Some(at) = at {
            forged.page_mut(page)[at] ^= 1;
            sealer.seal(page, forged.page_mut(page));
            changed += 1;
        }
    }
    assert_eq!(changed, 1);
    forged
}

#[test]
fn a_wrong_hash_fails_only_its_file() {
    for hash in [HashId::Blake3x256, HashId::Blake3x128, HashId::Xxh3x64] {
        let mut flash = formatted(&FormatOptions { verified: true, hash, force: true, ..format_options() });
        let mut marked = vec![b'.'; 500];
        marked[240..250].copy_from_slice(b"MARK-MARK-");
        with_codecs(&mut flash, |volume| {
            volume.write("/bad", &marked).expect("writes");
            volume.write("/good", &[7; 500]).expect("writes");
            let hash = volume.content_hash("/bad").expect("hashes");
            if hash.id() != HashId::Xxh3x64 {
                assert!(blake3::hash(&marked).as_bytes().starts_with(hash.as_bytes()));
            }
        });
        let forged = forged(&flash, b"MARK-MARK-");
        let mut buffer = buffer_for(&forged);
        let mut volume = Volume::mount(forged, &mut buffer, MountOptions::default()).expect("mounts");
        assert!(matches!(content(&mut volume, "/bad"), Err(Error::HashMismatch { .. })));
        assert_eq!(content(&mut volume, "/good"), Ok(vec![7; 500]));
        assert_eq!(volume.check(|fault| panic!("{fault:?}")).map(|summary| summary.faults), Ok(0));
        let mut kinds = Vec::new();
        volume.check_deep(|fault| kinds.push(fault.kind)).expect("checks");
        assert_eq!(kinds, [FaultKind::HashMismatch]);
    }
}

#[test]
fn a_wrong_hash_of_compressed_content_is_noticed() {
    for codec in [CodecId::Zstd, CodecId::Lzma2] {
        let mut flash = formatted(&options(codec));
        let bytes = text(1, 3000);
        with_codecs(&mut flash, |volume| {
            volume.write("/bad", &bytes).expect("writes");
            volume.write("/good", &text(2, 3000)).expect("writes");
            assert_eq!(volume.content_status().expect("counts").compressed_blocks, 2);
        });
        let mut forged = forged(&flash, &blake3::hash(&bytes).as_bytes()[..16]);
        let mut buffer = buffer_for(&forged);
        let mut codecs = HostCodecs::new(LOGICAL_BLOCK_MAX);
        let mut codecs = codecs.lend();
        let mounted = Volume::mount_with(&mut forged, &mut buffer, MountOptions::default(), &mut codecs);
        let mut volume = mounted.expect("mounts");
        // Each time it is read, and whatever part of it.
        for _ in 0..2 {
            assert!(matches!(content(&mut volume, "/bad"), Err(Error::HashMismatch { .. })));
            let file = volume.open("/bad", OpenOptions::new().read(true)).expect("opens");
            assert!(matches!(volume.read_at(&file, 1000, &mut [0; 5]), Err(Error::HashMismatch { .. })));
            volume.close(file).expect("closes");
            assert_eq!(content(&mut volume, "/good"), Ok(text(2, 3000)));
        }
        let mut kinds = Vec::new();
        volume.check_deep(|fault| kinds.push(fault.kind)).expect("checks");
        assert_eq!(kinds, [FaultKind::HashMismatch]);
    }
}

/// Has one codec only.
struct Only(CodecId, HostCodec);

impl Codec for Only {
    fn decode(&mut self, codec: CodecId, packed: &[u8], plain: &mut [u8]) -> Result<(), CodecError> {
        if codec == self.0 { self.1.decode(codec, packed, plain) } else { Err(CodecError::Missing) }
    }

    fn decodes(&self, codec: CodecId) -> bool {
        codec == self.0
    }

    fn encode(&mut self, codec: CodecId, plain: &[u8], packed: &mut [u8]) -> Option<usize> {
        if codec == self.0 { self.1.encode(codec, plain, packed) } else { None }
    }
}

#[test]
fn a_codec_that_knows_another_one_is_not_enough() {
    let mut flash = formatted(&options(CodecId::Zstd));
    with_codecs(&mut flash, |volume| {
        volume.write("/zstd", &text(1, 4000)).expect("writes");
        volume.set_codec(CodecId::Lzma2).expect("has it");
        volume.write("/lzma2", &text(2, 4000)).expect("writes");
        assert_eq!(volume.content_status().expect("counts").compressed_blocks, 2);
    });
    for (codec, other) in [(CodecId::Zstd, CodecId::Lzma2), (CodecId::Lzma2, CodecId::Zstd)] {
        let (mut plain, mut packed) = (vec![0; BLOCK], vec![0; BLOCK]);
        let mut only = Only(codec, HostCodec::default());
        let mut codecs = Codecs::new(&mut only, &mut plain, &mut packed);
        let mut buffer = buffer_for(&flash);
        let mounted = Volume::mount_with(&mut flash, &mut buffer, MountOptions::default(), &mut codecs);
        let mut volume = mounted.expect("mounts");
        assert!(content(&mut volume, &format!("/{}", codec.name())).is_ok());
        let missing = Err(Error::MissingCodec { codec: other });
        assert_eq!(content(&mut volume, &format!("/{}", other.name())), missing);
        assert_eq!(volume.check_deep(|fault| panic!("{fault:?}")).map(|summary| summary.unverified), Ok(1));
        volume.unmount().expect("unmounts");
    }
}

/// Room for a block that is packed anew is made by cleaning, which moves what the block holds: it is looked for again.
#[test]
fn packing_anew_finds_what_cleaning_has_moved() {
    let mut flash = formatted(&options(CodecId::Store));
    with_codecs(&mut flash, |volume| {
        let mut random = Random::new(seed());
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        while volume.usage().expect("counts").free_bytes > 7_000 {
            let index = files.len() as u64;
            let bytes =
                if index.is_multiple_of(2) { text(index, 6000) } else { Content::seeded(2 * index, 6000).bytes() };
            let path = format!("/f{index}");
            volume.write(&path, &bytes).expect("writes");
            files.push((path, bytes));
        }
        for round in 0..40u32 {
            for _ in 0..25 {
                let at = random.below(files.len() as u64) as usize;
                let (path, bytes) = &mut files[at];
                // Within a logical block: a write that is cut by its end may fail half way.
                let offset = random.below(3000) as usize;
                let piece = text(random.below(1000), 1 + random.below(999) as u32);
                let file = volume.open(path, OpenOptions::new().write(true)).expect("opens");
                match volume.write_at(&file, offset as u64, &piece) {
                    Ok(_) => bytes[offset..offset + piece.len()].copy_from_slice(&piece),
                    // A part of a compressed block takes more than it frees.
                    Err(error) => assert_eq!(error, Error::NoSpace, "round {round}"),
                }
                volume.close(file).expect("closes");
            }
            let codec = if round.is_multiple_of(2) { CodecId::Zstd } else { CodecId::Store };
            let (mut cursor, mut done) = (ContentCursor::default(), Recompressed::default());
            loop {
                match volume.recompress_step(&mut cursor, codec, &mut done) {
                    Ok(true) => {}
                    Ok(false) | Err(Error::NoSpace) => break,
                    Err(error) => panic!("round {round}: {error}"),
                }
            }
            for (path, bytes) in &files {
                assert!(content(volume, path).expect("reads") == *bytes, "round {round}: {path}");
            }
        }
    });
}
