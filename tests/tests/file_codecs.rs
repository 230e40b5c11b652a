//! The codec of single files: chosen, inherited, kept, and honoured wherever content is written.

use k7fs_core::codec::{ZstdCodec, ZstdScratch};
use k7fs_core::flash::Flash;
use k7fs_core::{
    CodecId, Codecs, ContentCursor, Error, FormatOptions, Kind, MountOptions, OpenOptions, Recompressed, Volume,
};
use k7fs_sim::chip::SimFlash;
use k7fs_sim::model::Content;
use k7fs_tests::geometry::{Case, buffer_for, format_options, with_codecs};

const BLOCK: u32 = 4096;
const STORE: Option<CodecId> = Some(CodecId::Store);
const ZSTD: Option<CodecId> = Some(CodecId::Zstd);
const LZMA2: Option<CodecId> = Some(CodecId::Lzma2);

/// Content that compresses well.
fn text(seed: u64, blocks: u32) -> Vec<u8> {
    Content::seeded(101 + 2 * seed, blocks * BLOCK).bytes()
}

fn formatted(codec: CodecId) -> SimFlash {
    let mut flash = Case::named("nor-256-4k").flash(80, 1);
    let mut buffer = buffer_for(&flash);
    let options = FormatOptions { codec, all_codecs: true, ..format_options() };
    Volume::format(&mut flash, &mut buffer, &options).expect("formats");
    flash
}

fn with<R>(flash: &mut SimFlash, work: impl FnOnce(&mut Volume<'_, &mut SimFlash>) -> R) -> R {
    with_codecs(flash, |volume| {
        let result = work(volume);
        let summary = volume.check_deep(|fault| panic!("{fault:?}")).expect("checks");
        assert_eq!(summary.unverified, 0);
        result
    })
}

fn codec<F: Flash>(volume: &mut Volume<'_, F>, path: &str) -> Option<CodecId> {
    volume.metadata(path).expect("is there").codec
}

/// Blocks that compressing has made since it was asked last.
fn compressed<F: Flash>(volume: &mut Volume<'_, F>, before: &mut u64) -> u64 {
    let now = volume.content_status().expect("counts").compressed_blocks;
    now - std::mem::replace(before, now)
}

#[test]
fn choices_are_inherited_and_kept() {
    let mut flash = formatted(CodecId::Store);
    with(&mut flash, |volume| {
        volume.create_dir("/d").expect("creates");
        volume.write("/d/before", b"1").expect("writes");
        volume.choose_codec("/d", ZSTD).expect("chooses");
        volume.write("/d/after", b"2").expect("writes");
        volume.create_dir("/d/e").expect("creates");
        volume.write("/d/e/f", b"3").expect("writes");
        volume.symlink("f", "/d/e/link").expect("links");
        volume.create_special("/d/fifo", Kind::Fifo, k7fs_core::Device::default()).expect("creates");
        volume.choose_codec("/d/e/f", LZMA2).expect("chooses");
        volume.choose_codec("/d/after", None).expect("chooses");
        volume.hard_link("/d/e/f", "/hard").expect("links");
        volume.rename("/d/e", "/e").expect("renames");
        volume.copy("/e/f", "/copy").expect("copies");
        volume.copy("/hard", "/d/copy").expect("copies");
        volume.set_attribute("/hard", "user.note", b"kept").expect("sets");
        volume.set_modified("/hard", k7fs_core::Timestamp::from_nt(7)).expect("sets");
        volume.write("/e/f", b"replaced").expect("writes");
    });
    with(&mut flash, |volume| {
        let found =
            ["/", "/d", "/d/before", "/d/after", "/e", "/e/f", "/hard", "/copy", "/d/copy", "/e/link", "/d/fifo"];
        let expected = [None, ZSTD, None, None, ZSTD, LZMA2, LZMA2, None, ZSTD, None, None];
        assert_eq!(found.map(|path| codec(volume, path)), expected);
        assert_eq!(volume.choose_codec("/e/link", STORE), Err(Error::IsASymlink));
        assert_eq!(volume.choose_codec("/d/fifo", STORE), Err(Error::IsSpecial));
        assert_eq!(volume.choose_codec("/none", STORE), Err(Error::NotFound));
        let result = volume.transaction(|volume| {
            volume.choose_codec("/", STORE)?;
            volume.write("/new", b"4")?;
            assert_eq!(codec(volume, "/new"), STORE);
            Err::<(), _>(Error::Busy)
        });
        assert_eq!((result, codec(volume, "/")), (Err(Error::Busy), None));
    });
    let mut plain = Case::named("nor-256-4k").formatted(20, 1);
    with(&mut plain, |volume| {
        volume.write("/a", b"1").expect("writes");
        assert_eq!(volume.choose_codec("/a", ZSTD), Err(Error::InvalidOption));
        assert_eq!((volume.choose_codec("/a", STORE), codec(volume, "/a")), (Ok(()), STORE));
    });
}

#[test]
fn every_way_of_writing_keeps_to_the_choice() {
    for (of_volume, chosen, compresses) in [
        (CodecId::Zstd, STORE, false),
        (CodecId::Store, ZSTD, true),
        (CodecId::Lzma2, ZSTD, true),
        (CodecId::Zstd, None, true),
    ] {
        let mut flash = formatted(of_volume);
        with(&mut flash, |volume| {
            let mut count = 0;
            let expected = |blocks| if compresses { blocks } else { 0 };
            volume.create_dir("/d").expect("creates");
            volume.choose_codec("/d", chosen).expect("chooses");
            volume.write("/d/new", &text(1, 1)).expect("writes");
            assert_eq!(compressed(volume, &mut count), expected(1), "a new file of one block");
            volume.write("/d/long", &text(2, 3)).expect("writes");
            assert_eq!(compressed(volume, &mut count), expected(3), "a new file of three");
            volume.write("/d/new", &text(3, 1)).expect("writes");
            assert_eq!(compressed(volume, &mut count), 0, "replaced, as it was");
            let file = volume.open("/d/long", OpenOptions::new().append(true)).expect("opens");
            volume.write_at(&file, 3 * u64::from(BLOCK), &text(4, 2)).expect("writes");
            let chunk = volume.append_chunk(&file, &text(5, 1)).expect("writes");
            volume.close(file).expect("closes");
            assert_eq!(compressed(volume, &mut count), expected(3), "appended, and a chunk");
            // A copy shares what there is; what is written to it follows its own choice.
            volume.copy("/d/new", "/d/copy").expect("copies");
            assert_eq!((compressed(volume, &mut count), codec(volume, "/d/copy")), (0, chosen));
            volume.write("/d/copy", &text(6, 1)).expect("writes");
            assert_eq!(compressed(volume, &mut count), expected(1), "the copy");
            let other = volume.open("/d/shared", OpenOptions::new().append(true).create(true)).expect("opens");
            volume.append_shared(&other, chunk).expect("shares");
            volume.close(other).expect("closes");
            let mut bytes = vec![0; 3 * BLOCK as usize];
            assert_eq!(volume.read("/d/shared", &mut bytes), Ok(BLOCK as usize));
            assert!(bytes.starts_with(&text(5, 1)));
        });
    }
}

#[test]
fn packing_anew_keeps_to_the_choice() {
    let mut flash = formatted(CodecId::Store);
    with(&mut flash, |volume| {
        for (path, chosen) in [("/store", STORE), ("/zstd", ZSTD), ("/free", None)] {
            volume.write(path, &text(1, 2)).expect("writes");
            volume.choose_codec(path, chosen).expect("chooses");
        }
        let walk = |volume: &mut Volume<'_, _>, codec| {
            let (mut cursor, mut done) = (ContentCursor::default(), Recompressed::default());
            while volume.recompress_step(&mut cursor, codec, &mut done).expect("packs") {}
            (done.blocks, done.rewritten)
        };
        assert_eq!(walk(volume, CodecId::Lzma2), (6, 4));
        // Everything but what was chosen to be compressed.
        assert_eq!(walk(volume, CodecId::Store), (6, 2));
        assert_eq!(volume.content_status().expect("counts").compressed_blocks, 2);
        // A file that is named gets what is asked for.
        assert_eq!(volume.recompress("/store", CodecId::Zstd).expect("packs").rewritten, 2);
        assert_eq!(codec(volume, "/store"), STORE);
        assert_eq!(walk(volume, CodecId::Zstd), (6, 4));
    });
}

/// What a part without an allocator does with a volume that a host has packed.
#[test]
fn a_mount_without_an_allocator_reads_zstd() {
    let mut flash = formatted(CodecId::Zstd);
    with(&mut flash, |volume| {
        volume.write("/zstd", &text(1, 2)).expect("writes");
        volume.write("/lzma2", b"").expect("writes");
        volume.choose_codec("/lzma2", LZMA2).expect("chooses");
        volume.write("/lzma2", &text(2, 1)).expect("writes");
    });
    let mut buffer = buffer_for(&flash);
    let mut scratch = ZstdScratch::new();
    let mut codec = ZstdCodec::new(&mut scratch);
    let (mut plain, mut packed) = ([0; BLOCK as usize], [0; BLOCK as usize]);
    let mut codecs = Codecs::new(&mut codec, &mut plain, &mut packed);
    let mounted = Volume::mount_with(&mut flash, &mut buffer, MountOptions::default(), &mut codecs);
    let mut volume = mounted.expect("mounts");
    let mut bytes = vec![0; 2 * BLOCK as usize];
    assert_eq!(volume.read("/zstd", &mut bytes), Ok(bytes.len()));
    assert!(bytes == text(1, 2));
    assert_eq!(volume.read("/lzma2", &mut bytes), Err(Error::MissingCodec { codec: CodecId::Lzma2 }));
    // What it writes is stored as it is, and the choice stays.
    volume.write("/lzma2", &text(3, 1)).expect("writes");
    assert_eq!(volume.metadata("/lzma2").expect("is there").codec, LZMA2);
    assert_eq!(volume.read("/lzma2", &mut bytes), Ok(BLOCK as usize));
}
