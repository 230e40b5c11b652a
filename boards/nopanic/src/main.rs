//! Uses the whole public API of the core over a NOR and a NAND chip, so that all of it is linked.
//!
//! The panic handler calls a function that exists nowhere: the program links only if no panic path is left in it.
//! It is never run. Every value comes from an address that the compiler knows nothing about, so that it cannot
//! conclude that some path is not taken.
#![no_std]
#![no_main]

mod chips;
#[cfg(feature = "full")]
mod full;
#[cfg(feature = "more")]
mod more;

use core::hint::black_box;

use embedded_io::{Read as _, Seek as _, SeekFrom, Write as _};
#[cfg(not(feature = "one-chip"))]
use k7fs_core::flash::Nand;
use k7fs_core::flash::{Flash, Geometry, Nor, NorConfig};
use k7fs_core::{
    ChunkSizes, Codec, CodecError, CodecId, Codecs, ContentCursor, DedupPolicy, Error, FormatOptions, HashId, Key,
    MountOptions, OpenOptions, Recompressed, Timestamp, Volume, buffer_bytes,
};

#[cfg(not(feature = "one-chip"))]
use chips::NandChip;
use chips::{NorChip, anything};

#[panic_handler]
#[cfg(not(feature = "report"))]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn a_panic_path_is_linked() -> !;
    }
    a_panic_path_is_linked()
}

#[panic_handler]
#[cfg(feature = "report")]
#[inline(never)]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        black_box(());
    }
}

/// Where the linker begins to look for what is used.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    static mut BUFFER: [u8; 65_536] = [0; 65_536];
    loop {
        // SAFETY: the program is never run; were it, this would be the only use of the buffer.
        let buffer = unsafe { (&raw mut BUFFER).as_mut() }.and_then(|buffer| buffer.get_mut(..anything()));
        let _ = black_box(use_chips(buffer.unwrap_or_default()));
        if cfg!(feature = "planted") {
            black_box(*[1, 2, 3].get(anything::<usize>()).expect("a planted panic path"));
        }
    }
}

fn use_chips(buffer: &mut [u8]) -> Result<(), Error> {
    let config = NorConfig { offset: anything(), length: anything(), page_size: anything(), block_size: anything() };
    let mut nor = Nor::new(NorChip, config)?;
    black_box(nor.driver_mut());
    use_volume(nor, buffer)?;
    #[cfg(not(feature = "one-chip"))]
    use_nand(buffer)?;
    Ok(())
}

#[cfg(not(feature = "one-chip"))]
fn use_nand(buffer: &mut [u8]) -> Result<(), Error> {
    let mut nand = Nand::part(NandChip, anything(), anything())?;
    black_box(nand.driver_mut());
    use_volume(nand, buffer)?;
    use_volume(Nand::new(NandChip)?, buffer)
}

fn use_volume<F: Flash>(mut flash: F, buffer: &mut [u8]) -> Result<(), Error> {
    let geometry: Geometry = flash.geometry();
    black_box(buffer_bytes(&geometry));
    let mut id = [0; 16];
    id.fill_with(anything);
    let options = FormatOptions {
        volume_id: id,
        logical_block_size: anything(),
        hash: if anything::<u8>() == 0 { HashId::Blake3x256 } else { HashId::Blake3x128 },
        force: anything::<u8>() != 0,
        verified: anything::<u8>() != 0,
        codec: if anything::<u8>() == 0 { CodecId::Store } else { CodecId::Zstd },
        all_codecs: anything::<u8>() != 0,
        dedup: DedupPolicy::Chunk(ChunkSizes { min: anything(), average: anything(), max: anything() }),
        key: (anything::<u8>() != 0).then_some(Key::new([anything(); Key::BYTES])),
        second_copies: anything::<u8>() != 0,
        time: time(),
    };
    Volume::format(&mut flash, buffer, &options)?;
    let clock = (anything::<u8>() != 0).then_some(time as fn() -> Timestamp);
    let key = (anything::<u8>() != 0).then_some(Key::new([anything(); Key::BYTES]));
    let options = MountOptions {
        read_only: anything::<u8>() != 0,
        clock,
        key,
        commit_min: anything(),
        may_go_back: anything::<u8>() != 0,
    };
    #[cfg(not(feature = "full-alloc"))]
    let mut codec = AnyCodec;
    #[cfg(feature = "full-alloc")]
    let mut codec = k7fs_core::codec::BuiltInCodec::new();
    let (mut plain, mut packed) = ([0; 4096], [0; 4096]);
    let mut codecs = Codecs::new(&mut codec, &mut plain, &mut packed);
    let mut volume = if anything::<u8>() == 0 {
        Volume::mount(flash, buffer, options)?
    } else {
        Volume::mount_with(flash, buffer, options, &mut codecs)?
    };
    black_box(volume.flash_mut());
    let _ = black_box(use_content(&mut volume));
    // A failed call must not keep the next one from being linked.
    let _ = black_box(use_files(&mut volume));
    let _ = black_box(use_stream(&mut volume));
    let _ = black_box(use_names(&mut volume));
    let _ = black_box(use_directories(&mut volume));
    let _ = black_box(use_space(&mut volume));
    #[cfg(feature = "more")]
    let _ = black_box(more::use_all(&mut volume));
    #[cfg(feature = "full")]
    let _ = black_box(full::use_indexes(&mut volume));
    let _ = black_box(volume.transaction(|volume| use_files(volume)));
    let _ = black_box(volume.transaction(|volume| use_names(volume)));
    let _ = black_box(volume.usage());
    let _ = black_box(volume.check(|fault| {
        black_box(fault);
    }));
    volume.sync()?;
    if anything::<u8>() != 0 {
        black_box(volume.abandon().geometry());
        return Ok(());
    }
    volume.unmount().map(|flash| {
        black_box(flash.geometry());
    })
}

/// A codec of which nothing is known.
#[cfg_attr(feature = "full-alloc", expect(dead_code, reason = "there is a real one"))]
struct AnyCodec;

impl Codec for AnyCodec {
    fn decode(&mut self, _codec: CodecId, packed: &[u8], plain: &mut [u8]) -> Result<(), CodecError> {
        black_box((packed, plain));
        if anything::<u8>() == 0 { Ok(()) } else { Err(CodecError::Damaged) }
    }

    fn encode(&mut self, _codec: CodecId, plain: &[u8], packed: &mut [u8]) -> Option<usize> {
        black_box((plain, packed));
        (anything::<u8>() == 0).then(anything)
    }
}

fn use_content<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    let codec = if anything::<u8>() == 0 { CodecId::Store } else { CodecId::Lzma2 };
    volume.set_codec(codec)?;
    let _ = black_box(volume.choose_codec(path(), (anything::<u8>() != 0).then_some(codec)));
    black_box(volume.check_deep(|fault| {
        black_box(fault);
    })?);
    black_box(volume.content_status()?);
    black_box(volume.content_hash("/a")?.as_bytes());
    black_box(volume.root_hash()?);
    volume.checkpoint()?;
    black_box(volume.last_commit());
    black_box(volume.recompress("/a", codec)?);
    let (mut cursor, mut done) = (ContentCursor::default(), Recompressed::default());
    while volume.recompress_step(&mut cursor, codec, &mut done)? {}
    Ok(())
}

fn use_files<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    let mut space = [0; 512];
    let bytes = space.get_mut(..anything()).unwrap_or_default();
    volume.read(path(), bytes)?;
    volume.write(path(), bytes)?;
    let file = volume.open(path(), options())?;
    let _ = black_box(volume.read_at(&file, anything(), bytes));
    let _ = black_box(volume.write_at(&file, anything(), bytes));
    let _ = black_box(volume.set_len(&file, anything()));
    let _ = black_box(volume.file_metadata(&file));
    black_box(file.position());
    volume.close(file)
}

fn use_stream<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    let mut space = [0; 512];
    let bytes = space.get_mut(..anything()).unwrap_or_default();
    let mut file = volume.open(path(), options())?;
    let mut io = volume.io(&mut file);
    let _ = black_box(io.read(bytes));
    let _ = black_box(io.write(bytes));
    let _ = black_box(io.flush());
    let _ = black_box(io.seek(SeekFrom::Start(anything())));
    let _ = black_box(io.seek(SeekFrom::Current(anything())));
    let _ = black_box(io.seek(SeekFrom::End(anything())));
    volume.close(file)
}

fn use_names<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    let _ = black_box(volume.remove_file(path()));
    let _ = black_box(volume.rename(path(), path()));
    let _ = black_box(volume.symlink(path(), path()));
    let _ = black_box(volume.hard_link(path(), path()));
    let _ = black_box(volume.set_modified(path(), time()));
    let _ = black_box(volume.metadata(path()));
    let mut space = [0; 255];
    let bytes = space.get_mut(..anything()).unwrap_or_default();
    black_box(volume.read_link(path(), bytes)?);
    Ok(())
}

fn use_directories<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    let _ = black_box(volume.create_dir(path()));
    let _ = black_box(volume.remove_dir(path()));
    let mut cursor = volume.read_dir(path())?;
    let mut space = [0; 255];
    let name = space.get_mut(..anything()).unwrap_or_default();
    while let Some(entry) = volume.next_entry(&mut cursor, name)? {
        black_box(entry);
    }
    Ok(())
}

fn use_space<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    let _ = black_box(volume.erase_ahead(anything()));
    let _ = black_box(volume.maintain(anything()));
    let _ = black_box(volume.scrub(anything()));
    let _ = black_box((
        volume.maintenance_due(),
        volume.health()?.bytes_left(anything()),
        volume.next_bad_block(anything()),
    ));
    let _ = black_box(volume.resize(anything()));
    let mut cursor = if anything::<u8>() == 0 { volume.defragment(path())? } else { volume.defragment_all()? };
    while let Some(bytes) = volume.next_defragment(&mut cursor)? {
        black_box(bytes);
    }
    Ok(())
}

fn options() -> OpenOptions {
    OpenOptions::new()
        .read(anything::<u8>() != 0)
        .write(anything::<u8>() != 0)
        .append(anything::<u8>() != 0)
        .create(anything::<u8>() != 0)
        .create_new(anything::<u8>() != 0)
        .truncate(anything::<u8>() != 0)
}

fn time() -> Timestamp {
    let time = Timestamp::from_unix(anything(), anything()).unwrap_or_default();
    black_box(time.to_unix());
    black_box(Timestamp::from_nt(anything()).to_nt());
    Timestamp { seconds: anything(), ticks: anything() }
}

fn path() -> &'static str {
    black_box("some/path")
}
