//! Every refusal has its own name.
//!
//! An engineer who reads "invalid argument" starts a debugger; one who reads "the buffer has 1023 bytes, 1024 are
//! needed" fixes a constant. Each kind of bad input is given here, and the precise error is expected, with nothing
//! changed on the volume.

use std::sync::Arc;

use k7fs_core::flash::{Flash, Geometry, Nor, NorConfig};
use k7fs_core::{
    ATTRIBUTE_BYTES_MAX, ATTRIBUTE_NAME_BYTES_MAX, DEPTH_MAX, Device, Error, FILE_SIZE_MAX, FormatOptions,
    GeometryField, Kind, MountOptions, Nt, OPEN_FILES_MAX, OpenOptions, PATH_BYTES_MAX, Posix, Timestamp, Volume,
    buffer_bytes,
};
use k7fs_sim::chip::{Chip, ChipSpec, SimFlash, SimNor};
use k7fs_sim::model::Content;
use k7fs_tests::geometry::{CASES, Case, VOLUME_ID, buffer_for, format, format_options};
use k7fs_tests::ram::RamFlash;
use k7fs_tests::seal::{SIGNATURE_BYTES, Sealer, is_signature, seal_signature};
use k7fs_tests::seed::seed;
use k7fs_tests::sequence::{check, look};

/// Runs `work` on a fresh volume with a file `/file`, a directory `/dir` with `/dir/inner`, and a link `/link`.
fn on_a_volume(work: impl FnOnce(&mut Volume<'_, &mut SimFlash>)) {
    let mut flash = Case::named("nor-256-4k").formatted(14, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
    volume.write("/file", b"content").expect("writes");
    volume.create_dir("/dir").expect("creates");
    volume.write("/dir/inner", b"more").expect("writes");
    volume.symlink("/file", "/link").expect("links");
    let before = look(&mut volume).expect("readable");
    work(&mut volume);
    let after = look(&mut volume).expect("readable");
    assert_eq!(before.difference(&after), None, "a refused call has changed something");
}

fn writing() -> OpenOptions {
    OpenOptions::new().read(true).write(true)
}

fn mount_error<F: Flash>(flash: F, buffer: &mut [u8]) -> Error {
    Volume::mount(flash, buffer, MountOptions::default()).err().expect("the mount is refused")
}

/// A sound image of the smallest 256-byte NOR volume, to be damaged.
fn image() -> RamFlash {
    let mut flash = Case::named("nor-256-4k").formatted(14, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
    volume.write("/file", b"content").expect("writes");
    volume.unmount().expect("unmounts");
    let geometry = flash.geometry();
    let bytes = geometry.raw_page_size() * geometry.page_count() as usize;
    RamFlash::new(geometry, flash.chip().to_bytes()[..bytes].into())
}

/// Pages of the fixed set: the signature is the page's start, in its own code.
fn signature_pages(flash: &RamFlash) -> Vec<u32> {
    let pages: Vec<u32> = flash.written_pages().into_iter().filter(|page| is_signature(flash.page(*page))).collect();
    assert!(!pages.is_empty(), "no signature is where the format says");
    pages
}

/// Every copy of the signature's fields: page, and where its magic starts. Those of the checkpoint blocks are items.
fn signature_copies(flash: &RamFlash) -> Vec<(u32, usize)> {
    let mut pattern = b"K7FS\x01\0\0\0\x0A\0".to_vec();
    pattern.extend(VOLUME_ID);
    let find = |page: &u32| flash.page(*page).windows(pattern.len()).position(|window| window == pattern);
    let copies = flash.written_pages().into_iter().filter_map(|page| find(&page).map(|at| (page, at)));
    copies.collect()
}

/// Changes one byte of every copy of the signature, and makes all checksums right again.
fn change_signatures(flash: &mut RamFlash, field: usize, value: u8) {
    let copies = signature_copies(flash);
    let pages: Vec<(u32, Vec<u8>)> = copies.iter().map(|(page, _)| (*page, flash.page(*page).to_vec())).collect();
    let sealer = Sealer::new(flash.geometry(), VOLUME_ID, pages.iter().map(|(page, raw)| (*page, &raw[..])))
        .expect("a checkpoint block holds a copy in a sealed page");
    let mut fixed = 0;
    for (page, at) in copies {
        let raw = flash.page_mut(page);
        assert_eq!(raw[at + field], 0, "no such feature yet");
        raw[at + field] = value;
        if at == 0 {
            fixed += 1;
            seal_signature(&mut raw[..SIGNATURE_BYTES]);
        } else {
            sealer.seal(page, raw);
        }
    }
    assert_eq!(fixed, signature_pages(flash).len(), "the fixed set has been changed");
}

#[test]
fn a_buffer_one_byte_too_small_names_the_size() {
    for case in CASES {
        let mut flash = case.formatted(1, seed());
        let needed = buffer_bytes(&flash.geometry());
        let expected = Error::BufferTooSmall { needed, given: needed - 1 };
        let mut buffer = vec![0; needed - 1];
        assert_eq!(mount_error(&mut flash, &mut buffer), expected, "{}", case.name);
        assert_eq!(Volume::format(&mut flash, &mut buffer, &format_options()), Err(expected), "{}", case.name);
        assert_eq!(
            mount_error(&mut flash, &mut []),
            Error::BufferTooSmall { needed, given: 0 },
            "{}: an empty buffer",
            case.name
        );
        assert!(expected.to_string().contains(&needed.to_string()));
        // The chip is untouched by the refused format.
        let mut buffer = vec![0; needed];
        assert!(Volume::mount(&mut flash, &mut buffer, MountOptions::default()).is_ok(), "{}", case.name);
    }
}

#[test]
fn a_geometry_that_does_not_fit_is_named() {
    let base = Geometry { page_size: 256, spare_size: 0, pages_per_block: 16, block_count: 64, bad_blocks_max: 0 };
    let unsupported = [
        (Geometry { page_size: 64, ..base }, GeometryField::PageSize, 64),
        (Geometry { page_size: 300, ..base }, GeometryField::PageSize, 300),
        (Geometry { page_size: 0, ..base }, GeometryField::PageSize, 0),
        (Geometry { page_size: 2048, spare_size: 32, ..base }, GeometryField::SpareSize, 32),
        (Geometry { pages_per_block: 0, ..base }, GeometryField::PagesPerBlock, 0),
        (Geometry { pages_per_block: 1, ..base }, GeometryField::PagesPerBlock, 1),
    ];
    for (geometry, field, chip) in unsupported {
        let bytes = geometry.raw_page_size() * geometry.page_count() as usize;
        let mut flash = RamFlash::new(geometry, vec![0xFF; bytes].into());
        let mut buffer = vec![0; 1 << 20];
        let expected = Error::UnsupportedGeometry { field, chip };
        assert_eq!(Volume::format(&mut flash, &mut buffer, &format_options()), Err(expected), "{geometry:?}");
        assert_eq!(mount_error(&mut flash, &mut buffer), expected, "{geometry:?}");
    }
}

#[test]
fn a_chip_too_small_for_a_volume_tells_the_minimum() {
    for case in CASES {
        let blocks_min = case.blocks_min();
        let refused = format(&mut case.flash(blocks_min - 1, 0));
        assert_eq!(refused, Err(Error::VolumeTooSmall { blocks_min }), "{}", case.name);
        assert_eq!(format(&mut case.flash(blocks_min, 0)), Ok(()), "{}", case.name);
    }
}

#[test]
fn a_volume_of_another_shape_is_refused_by_the_value_that_differs() {
    let image = image();
    let own = image.geometry();
    let others = [
        (Geometry { page_size: 512, pages_per_block: 8, ..own }, GeometryField::PageSize, 256, 512),
        (Geometry { pages_per_block: 8, block_count: own.block_count * 2, ..own }, GeometryField::PagesPerBlock, 16, 8),
        (
            Geometry { block_count: own.block_count - 1, ..own },
            GeometryField::BlockCount,
            own.block_count,
            own.block_count - 1,
        ),
    ];
    for (geometry, field, volume, chip) in others {
        let pages = (0..own.page_count()).flat_map(|page| image.page(page).to_vec());
        let bytes: Arc<[u8]> = pages.collect();
        let flash = RamFlash::new(geometry, bytes);
        let mut buffer = buffer_for(&flash);
        assert_eq!(mount_error(flash, &mut buffer), Error::WrongGeometry { field, volume, chip });
    }
}

#[test]
fn what_is_not_a_volume_is_called_so() {
    for case in CASES {
        let mut flash = case.flash(case.blocks_min(), seed());
        let mut buffer = buffer_for(&flash);
        assert_eq!(mount_error(&mut flash, &mut buffer), Error::NotAVolume, "{}: erased", case.name);
    }
    let geometry = image().geometry();
    let bytes = geometry.raw_page_size() * geometry.page_count() as usize;
    for noise in [Content::seeded(1, bytes as u32).bytes(), vec![0; bytes]] {
        let flash = RamFlash::new(geometry, noise.into());
        let mut buffer = buffer_for(&flash);
        assert_eq!(mount_error(flash, &mut buffer), Error::NotAVolume);
    }
}

#[test]
fn a_damaged_signature_is_found_elsewhere_or_named() {
    let mut flash = image();
    let damage = |flash: &mut RamFlash, page: u32| {
        // Beyond correction, but the magic is still there.
        for byte in flash.page_mut(page)[30..180].iter_mut().step_by(2) {
            *byte ^= 0x55;
        }
    };
    let copies = signature_copies(&flash);
    for page in signature_pages(&flash) {
        damage(&mut flash, page);
    }
    let mut buffer = buffer_for(&flash);
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let mut volume = Volume::mount(&mut flash, &mut buffer, options).expect("the checkpoint blocks have copies");
    assert_eq!(volume.read("/file", &mut [0; 16]), Ok(7));
    let _ = volume.abandon();
    for (page, at) in copies {
        if at > 0 {
            damage(&mut flash, page);
        }
    }
    assert_eq!(mount_error(flash, &mut buffer), Error::DamagedSignature);
}

/// Places in the signature: magic, feature level, compatible, read-only compatible, incompatible.
const READ_ONLY_COMPATIBLE: usize = 6;
const INCOMPATIBLE: usize = 7;

#[test]
fn a_foreign_feature_bit_is_shown() {
    let mut flash = image();
    change_signatures(&mut flash, INCOMPATIBLE, 0x20);
    let mut buffer = buffer_for(&flash);
    assert_eq!(mount_error(flash, &mut buffer), Error::UnknownFeature { bits: 0x20 });
}

#[test]
fn a_feature_that_only_writers_must_know_allows_reading() {
    let mut flash = image();
    change_signatures(&mut flash, READ_ONLY_COMPATIBLE, 0x01);
    let mut buffer = buffer_for(&flash);
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let mut volume = Volume::mount(&mut flash, &mut buffer, options).expect("readable");
    assert_eq!(volume.read("/file", &mut [0; 16]), Ok(7));
    let _ = volume.abandon();
    assert_eq!(mount_error(&mut flash, &mut buffer), Error::ReadOnly, "it cannot be mounted for writing");
}

#[test]
fn options_outside_their_bounds_are_refused() {
    let mut flash = Case::named("nor-256-4k").formatted(14, seed());
    let mut buffer = buffer_for(&flash);
    for logical_block_size in [0, 1, 2048, 4097, 5000, 64 << 20] {
        let options = FormatOptions { logical_block_size, volume_id: VOLUME_ID, ..FormatOptions::default() };
        let refused = Volume::format(&mut flash, &mut buffer, &options);
        assert_eq!(refused, Err(Error::InvalidBlockSize { bytes: logical_block_size }));
    }
    on_a_volume(|volume| {
        for options in [
            OpenOptions::new(),
            OpenOptions::new().create(true),
            OpenOptions::new().read(true).create(true),
            OpenOptions::new().read(true).create_new(true),
            OpenOptions::new().read(true).truncate(true),
            OpenOptions::new().append(true).truncate(true),
        ] {
            assert_eq!(volume.open("/file", options).err(), Some(Error::InvalidOption), "{options:?}");
        }
    });
}

#[test]
fn a_part_outside_the_chip_is_refused() {
    let spec = ChipSpec::named("W25Q80BL").expect("a preset").scaled(8);
    let new = |offset, length, page_size, block_size| {
        let driver = SimNor::<1, 4096, _>::new(Chip::new(&spec, 0)).expect("the part's own units");
        Nor::new(driver, NorConfig { offset, length, page_size, block_size }).map(|_| ()).err()
    };
    use k7fs_core::flash::FlashError::{NotAligned, OutOfBounds};
    assert_eq!(new(0, 8 * 4096, 256, 4096), None);
    assert_eq!(new(4096, 8 * 4096, 256, 4096), Some(OutOfBounds));
    assert_eq!(new(u32::MAX - 4095, 8192, 256, 4096), Some(OutOfBounds));
    assert_eq!(new(0, 0, 256, 4096), Some(OutOfBounds));
    assert_eq!(new(100, 4096, 256, 4096), Some(NotAligned));
    assert_eq!(new(0, 5000, 256, 4096), Some(NotAligned));
    assert_eq!(new(0, 8192, 200, 4096), Some(NotAligned));
    assert_eq!(new(0, 8192, 256, 2048), Some(NotAligned));
    assert_eq!(new(0, 8192, 256, 0), Some(NotAligned));
}

#[test]
fn names_are_checked() {
    on_a_volume(|volume| {
        let long = format!("/{}", "n".repeat(256));
        let multibyte = format!("/{}é", "n".repeat(254));
        let bad = [
            ("", Error::NameEmpty),
            (&long, Error::NameTooLong),
            (&multibyte, Error::NameTooLong),
            ("/a\0b", Error::NameInvalid),
            ("/.", Error::NameInvalid),
            ("/dir/..", Error::NameInvalid),
            ("/dir/../x", Error::NameInvalid),
        ];
        for (path, error) in bad {
            assert_eq!(volume.write(path, b"x"), Err(error), "write {path:?}");
            assert_eq!(volume.create_dir(path), Err(error), "create_dir {path:?}");
            assert_eq!(volume.rename("/file", path), Err(error), "rename to {path:?}");
            assert_eq!(volume.symlink("/file", path), Err(error), "symlink {path:?}");
            assert_eq!(volume.hard_link("/file", path), Err(error), "hard_link {path:?}");
            assert_eq!(volume.open(path, writing().create(true)).err(), Some(error), "open {path:?}");
        }
    });
    // 255 bytes are fine, and so is anything else in UTF-8.
    let mut flash = Case::named("nor-256-4k").formatted(14, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
    for name in ["n".repeat(255), " ".to_owned(), "ф\u{301}🦀\n".to_owned(), "...".to_owned()] {
        volume.write(&format!("/{name}"), name.as_bytes()).unwrap_or_else(|error| panic!("{name:?}: {error}"));
    }
    assert_eq!(look(&mut volume).expect("readable").entries.len(), 4);
}

#[test]
fn a_name_with_a_slash_cannot_exist() {
    // A path is the only way to name an object, and a slash in it always separates.
    on_a_volume(|volume| {
        assert_eq!(volume.write("/no-such-dir/x", b"x"), Err(Error::NotFound));
        assert_eq!(volume.write("/file/x", b"x"), Err(Error::NotADirectory));
    });
}

#[test]
fn paths_have_a_length_and_a_depth() {
    on_a_volume(|volume| {
        let long = "/x".repeat(PATH_BYTES_MAX / 2 + 1);
        assert_eq!(volume.write(&long, b"x"), Err(Error::PathTooLong));
        assert_eq!(volume.metadata(&long).err(), Some(Error::PathTooLong));
    });
    let mut flash = Case::named("nor-256-4k").formatted(20, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
    let mut path = String::new();
    for depth in 1..=DEPTH_MAX {
        path.push_str("/d");
        volume.create_dir(&path).unwrap_or_else(|error| panic!("depth {depth}: {error}"));
    }
    assert_eq!(volume.create_dir(&format!("{path}/d")), Err(Error::PathTooDeep));
    volume.create_dir("/x").expect("creates");
    for index in 0..20 {
        volume.create_dir(&format!("/x/{index}")).expect("creates");
        volume.write(&format!("/x/{index}/file"), b"").expect("creates");
    }
    let above = |levels: usize| &path[..path.len() - 2 * levels];
    for levels in [0, 1, 2] {
        let result = volume.rename("/x", &format!("{}/x", above(levels)));
        assert_eq!(result, Err(Error::PathTooDeep), "with what is below it, {levels} levels from the bottom");
    }
    assert_eq!(volume.rename("/x", &format!("{}/x", above(3))), Ok(()));
    assert_eq!(volume.metadata(&format!("{}/x/7/file", above(3))).map(|file| file.size), Ok(0));
    assert_eq!(volume.rename(&format!("{}/x/7", above(3)), &format!("{}/y", above(1))), Err(Error::PathTooDeep));
    volume.remove_file(&format!("{}/x/7/file", above(3))).expect("it is there");
    assert_eq!(volume.rename(&format!("{}/x/7", above(3)), &format!("{}/y", above(1))), Ok(()));
    assert_eq!(volume.rename("/d/d", "/e"), Ok(()), "upwards nothing can become too deep");
    check(&mut volume).expect("no faults");
}

#[test]
fn offsets_and_sizes_are_checked() {
    on_a_volume(|volume| {
        let file = volume.open("/file", writing()).expect("opens");
        assert_eq!(volume.write_at(&file, u64::MAX, b"xy"), Err(Error::OffsetOverflow));
        assert_eq!(volume.write_at(&file, u64::MAX - 1, b"xyz"), Err(Error::OffsetOverflow));
        assert_eq!(volume.write_at(&file, FILE_SIZE_MAX, b"x"), Err(Error::FileTooLarge));
        assert_eq!(volume.write_at(&file, FILE_SIZE_MAX - 1, b"xy"), Err(Error::FileTooLarge));
        assert_eq!(volume.set_len(&file, FILE_SIZE_MAX + 1), Err(Error::FileTooLarge));
        assert_eq!(volume.set_len(&file, u64::MAX), Err(Error::FileTooLarge));
        assert_eq!(volume.read_at(&file, u64::MAX, &mut [0; 4]), Ok(0), "reading past the end is no error");
        volume.close(file).expect("closes");
    });
}

#[test]
fn the_largest_sparse_file_is_allowed() {
    let mut flash = Case::named("nor-256-4k").formatted(14, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
    let file = volume.open("/huge", writing().create(true)).expect("opens");
    volume.set_len(&file, FILE_SIZE_MAX).expect("a hole costs nothing");
    volume.write_at(&file, FILE_SIZE_MAX - 3, b"end").expect("one record");
    let mut bytes = [1; 8];
    assert_eq!(volume.read_at(&file, FILE_SIZE_MAX - 5, &mut bytes), Ok(5));
    assert_eq!(bytes[..5], *b"\0\0end");
    assert_eq!(volume.read("/huge", &mut bytes), Err(Error::ResultTooLarge { needed: FILE_SIZE_MAX }));
    volume.set_len(&file, 0).expect("truncates");
    volume.close(file).expect("closes");
}

#[test]
fn a_result_that_does_not_fit_names_its_size() {
    on_a_volume(|volume| {
        assert_eq!(volume.read("/file", &mut [0; 6]), Err(Error::ResultTooLarge { needed: 7 }));
        assert_eq!(volume.read_link("/link", &mut [0; 4]).err(), Some(Error::ResultTooLarge { needed: 5 }));
        let mut cursor = volume.read_dir("/dir").expect("a directory");
        let result = volume.next_entry(&mut cursor, &mut [0; 4]).err();
        assert_eq!(result, Some(Error::ResultTooLarge { needed: 5 }));
        let mut name = [0; 5];
        let entry = volume.next_entry(&mut cursor, &mut name).expect("the cursor has not moved");
        assert_eq!(entry.map(|entry| entry.name), Some("inner"));
    });
}

#[test]
fn a_read_only_volume_refuses_every_change() {
    let mut flash = Case::named("nor-256-4k").formatted(14, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
    volume.write("/file", b"content").expect("writes");
    volume.create_dir("/dir").expect("creates");
    volume.unmount().expect("unmounts");
    let hash = flash.chip().state_hash();
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let mut volume = Volume::mount(&mut flash, &mut buffer, options).expect("mounts");
    let refused = Err(Error::ReadOnly);
    assert_eq!(volume.write("/file", b"x"), refused);
    assert_eq!(volume.write("/new", b"x"), refused);
    assert_eq!(volume.create_dir("/new"), refused);
    assert_eq!(volume.remove_dir("/dir"), refused);
    assert_eq!(volume.remove_file("/file"), refused);
    assert_eq!(volume.rename("/file", "/new"), refused);
    assert_eq!(volume.symlink("/file", "/new"), refused);
    assert_eq!(volume.hard_link("/file", "/new"), refused);
    assert_eq!(volume.set_modified("/file", k7fs_core::Timestamp::default()), refused);
    assert_eq!(volume.set_attribute("/file", "user.x", b"x"), refused);
    assert_eq!(volume.remove_attribute("/file", "user.x"), refused);
    assert_eq!(volume.set_stream("/file", "s", b"x"), refused);
    assert_eq!(volume.set_short_name("/file", "FILE~1"), refused);
    assert_eq!(volume.create_special("/new", Kind::Fifo, Device::default()), refused);
    let posix = volume.posix("/file").expect("reads");
    assert_eq!(volume.set_posix("/file", &Posix { uid: 1, ..posix }), refused);
    let nt = volume.nt("/file").expect("reads");
    assert_eq!(volume.set_nt("/file", &Nt { attributes: 2, ..nt }), refused);
    assert_eq!(volume.open("/file", writing()).err(), Some(Error::ReadOnly));
    assert_eq!(volume.open("/new", writing().create(true)).err(), Some(Error::ReadOnly));
    assert_eq!(volume.transaction(|volume| volume.write("/file", b"x")), refused);
    let mut bytes = [0; 7];
    assert_eq!(volume.read("/file", &mut bytes), Ok(7));
    volume.unmount().expect("unmounts");
    assert_eq!(flash.chip().state_hash(), hash, "a read-only mount has written");
}

#[test]
fn handles_allow_what_they_were_opened_for() {
    on_a_volume(|volume| {
        let reader = volume.open("/file", OpenOptions::new().read(true)).expect("opens");
        assert_eq!(volume.write_at(&reader, 0, b"x"), Err(Error::ReadOnly));
        assert_eq!(volume.set_len(&reader, 0), Err(Error::ReadOnly));
        volume.close(reader).expect("closes");
        let writer = volume.open("/file", OpenOptions::new().write(true)).expect("opens");
        assert_eq!(volume.read_at(&writer, 0, &mut [0; 4]), Err(Error::WriteOnly));
        volume.close(writer).expect("closes");
        let files: Vec<_> =
            (0..OPEN_FILES_MAX).map(|_| volume.open("/file", writing()).expect("a free slot")).collect();
        assert_eq!(volume.open("/file", writing()).err(), Some(Error::TooManyOpenFiles));
        for file in files {
            volume.close(file).expect("closes");
        }
    });
}

#[test]
fn a_handle_of_a_rolled_back_file_is_stale() {
    on_a_volume(|volume| {
        let mut kept = None;
        let result: Result<(), Error> = volume.transaction(|volume| {
            kept = Some(volume.open("/new", writing().create(true))?);
            Err(Error::Busy)
        });
        assert_eq!(result, Err(Error::Busy));
        let file = kept.expect("was opened");
        assert_eq!(volume.read_at(&file, 0, &mut [0; 4]), Err(Error::StaleHandle));
        assert_eq!(volume.write_at(&file, 0, b"x"), Err(Error::StaleHandle));
        // Giving it back frees its slot, whatever it says.
        let _ = volume.close(file);
        let files: Vec<_> =
            (0..OPEN_FILES_MAX).map(|_| volume.open("/file", writing()).expect("a free slot")).collect();
        for file in files {
            volume.close(file).expect("closes");
        }
    });
}

#[test]
fn kinds_are_not_mixed_up() {
    on_a_volume(|volume| {
        assert_eq!(volume.read("/dir", &mut [0; 4]), Err(Error::IsADirectory));
        assert_eq!(volume.write("/dir", b"x"), Err(Error::IsADirectory));
        assert_eq!(volume.open("/dir", writing()).err(), Some(Error::IsADirectory));
        assert_eq!(volume.remove_file("/dir"), Err(Error::IsADirectory));
        assert_eq!(volume.hard_link("/dir", "/new"), Err(Error::IsADirectory));
        assert_eq!(volume.rename("/file", "/dir"), Err(Error::IsADirectory));
        assert_eq!(volume.remove_dir("/file"), Err(Error::NotADirectory));
        assert_eq!(volume.read_dir("/file").err(), Some(Error::NotADirectory));
        assert_eq!(volume.rename("/dir", "/file"), Err(Error::NotADirectory));
        assert_eq!(volume.read("/link", &mut [0; 9]), Err(Error::IsASymlink));
        assert_eq!(volume.open("/link", writing()).err(), Some(Error::IsASymlink));
        assert_eq!(volume.read_link("/file", &mut [0; 9]).err(), Some(Error::NotASymlink));
        assert_eq!(volume.create_dir("/file"), Err(Error::AlreadyExists));
        assert_eq!(volume.symlink("/x", "/file"), Err(Error::AlreadyExists));
        assert_eq!(volume.hard_link("/file", "/dir"), Err(Error::AlreadyExists));
        let options = writing().create_new(true);
        assert_eq!(volume.open("/file", options).err(), Some(Error::AlreadyExists));
        assert_eq!(volume.read("/none", &mut [0; 4]), Err(Error::NotFound));
        assert_eq!(volume.remove_file("/none"), Err(Error::NotFound));
        assert_eq!(volume.rename("/none", "/new"), Err(Error::NotFound));
    });
}

#[test]
fn a_directory_that_is_not_empty_stays() {
    on_a_volume(|volume| {
        assert_eq!(volume.remove_dir("/dir"), Err(Error::DirectoryNotEmpty));
        volume.create_dir("/other").expect("creates");
        assert_eq!(volume.rename("/other", "/dir"), Err(Error::DirectoryNotEmpty));
        volume.remove_dir("/other").expect("removes an empty one");
    });
}

#[test]
fn a_directory_cannot_be_moved_into_itself() {
    on_a_volume(|volume| {
        assert_eq!(volume.rename("/dir", "/dir/sub"), Err(Error::RenameIntoItself));
        volume.create_dir("/dir/a").expect("creates");
        volume.create_dir("/dir/a/b").expect("creates");
        assert_eq!(volume.rename("/dir", "/dir/a/b/c"), Err(Error::RenameIntoItself));
        assert_eq!(volume.rename("/dir/a", "/dir/a/b"), Err(Error::RenameIntoItself));
        volume.remove_dir("/dir/a/b").expect("removes");
        volume.remove_dir("/dir/a").expect("removes");
    });
}

#[test]
fn the_root_cannot_be_removed_or_renamed() {
    on_a_volume(|volume| {
        assert!(volume.remove_dir("/").is_err());
        assert!(volume.remove_file("/").is_err());
        assert!(volume.rename("/", "/new").is_err());
        assert!(volume.rename("/dir", "/").is_err());
        assert!(volume.create_dir("/").is_err());
        assert!(volume.write("/", b"x").is_err());
    });
}

#[test]
fn attributes_have_names_and_bounds() {
    on_a_volume(|volume| {
        let long = "n".repeat(ATTRIBUTE_NAME_BYTES_MAX + 1);
        let mut bytes = [0; 8];
        for (name, error) in [("", Error::AttributeNameEmpty), (long.as_str(), Error::AttributeNameTooLong)] {
            assert_eq!(volume.set_attribute("/file", name, b"x"), Err(error));
            assert_eq!(volume.remove_attribute("/file", name), Err(error));
            assert_eq!(volume.attribute("/file", name, &mut bytes), Err(error));
        }
        let large = vec![0; ATTRIBUTE_BYTES_MAX + 1];
        assert_eq!(volume.set_attribute("/file", "user.x", &large), Err(Error::AttributeTooLarge));
        for name in ["k7fs.", "k7fs.posix", "k7fs.nt.security"] {
            assert_eq!(volume.set_attribute("/file", name, b"x"), Err(Error::ReservedAttribute));
            assert_eq!(volume.remove_attribute("/file", name), Err(Error::ReservedAttribute));
        }
        let missing = Err(Error::NoSuchAttribute);
        assert_eq!(volume.remove_attribute("/file", "user.x"), missing);
        assert_eq!(volume.attribute("/file", "user.x", &mut bytes).map(|_| ()), missing);
        assert_eq!(volume.set_attribute("/none", "user.x", b"x"), Err(Error::NotFound));
        assert_eq!(volume.list_attributes("/none").err(), Some(Error::NotFound));
        // The bound of everything outside a record: on a volume this small, space.
        let most = volume.set_attribute("/file", "user.x", &large[1..]);
        assert_eq!(most, Err(Error::NoSpace));
    });
}

#[test]
fn metadata_outside_its_bounds_is_refused() {
    on_a_volume(|volume| {
        let posix = volume.posix("/file").expect("is there");
        let endless = Timestamp { seconds: 1, ticks: 10_000_000 };
        let refused = Err(Error::InvalidOption);
        assert_eq!(volume.set_posix("/file", &Posix { mode: 0o10000, ..posix }), refused);
        assert_eq!(volume.set_posix("/file", &Posix { modified: endless, ..posix }), refused);
        assert_eq!(volume.set_posix("/file", &Posix { accessed: Some(endless), ..posix }), refused);
        let nt = volume.nt("/file").expect("is there");
        assert_eq!(volume.set_nt("/file", &Nt { created: endless, ..nt }), refused);
        assert_eq!(volume.set_nt("/file", &Nt { changed: Some(endless), ..nt }), refused);
        assert_eq!(volume.set_short_name("/file", "THIRTEEN~.TXT"), Err(Error::NameTooLong));
        assert_eq!(volume.set_short_name("/file", "A/B"), Err(Error::NameInvalid));
        let large = vec![0; ATTRIBUTE_BYTES_MAX + 1];
        assert_eq!(volume.set_stream("/file", "s", &large), Err(Error::AttributeTooLarge));
        assert_eq!(volume.set_stream("/file", "", b"x"), Err(Error::AttributeNameEmpty));
        assert_eq!(volume.set_stream("/file", &"s".repeat(241), b"x"), Err(Error::AttributeNameTooLong));
        assert_eq!(volume.remove_stream("/file", "s"), Err(Error::NoSuchAttribute));
        assert_eq!(volume.set_reparse_point("/file", 1, &large[5..]), Err(Error::NoSpace));
        assert_eq!(volume.set_reparse_point("/file", 1, &large[4..]), Err(Error::AttributeTooLarge));
        assert_eq!(volume.set_security_descriptor("/file", &large), Err(Error::AttributeTooLarge));
    });
}

#[test]
fn what_has_no_content_is_not_opened() {
    on_a_volume(|volume| {
        let none = Device::default();
        let refused = Err(Error::InvalidOption);
        for kind in [Kind::File, Kind::Directory, Kind::Symlink] {
            assert_eq!(volume.create_special("/new", kind, none), refused);
        }
        for kind in [Kind::Fifo, Kind::Socket] {
            assert_eq!(volume.create_special("/new", kind, Device { major: 0, minor: 1 }), refused);
        }
        assert_eq!(volume.create_special("/file", Kind::Fifo, none), Err(Error::AlreadyExists));
        assert_eq!(volume.device("/file"), Err(Error::NotADevice));
        volume.create_special("/fifo", Kind::Fifo, none).expect("creates");
        assert_eq!(volume.open("/fifo", writing()).err(), Some(Error::IsSpecial));
        assert_eq!(volume.read("/fifo", &mut [0; 4]), Err(Error::IsSpecial));
        assert_eq!(volume.write("/fifo", b"x"), Err(Error::IsSpecial));
        assert_eq!(volume.read_dir("/fifo").err(), Some(Error::NotADirectory));
        assert_eq!(volume.read_link("/fifo", &mut [0; 4]).err(), Some(Error::NotASymlink));
        volume.remove_file("/fifo").expect("removes");
    });
}
