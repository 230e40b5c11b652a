//! The root hash: the same for as long as nothing changes that anybody can see, and another as soon as something does.

use k7fs_core::flash::Flash;
use k7fs_core::{ContentCursor, Error, OpenOptions, Posix, Recompressed, Timestamp, Volume};
use k7fs_sim::codec::HostCodecs;
use k7fs_tests::geometry::{Case, LOGICAL_BLOCK_MAX, buffer_for, mount_options};
use k7fs_tests::parallel;

/// Chips and ways to store content: what is seen is the same on all of them.
const KINDS: [&str; 6] = [
    "nor-256-4k",
    "nor-256-4k-verified",
    "nor-256-4k-zstd",
    "nor-1024-8k-keyed",
    "nand-2048-64-verified-zstd",
    "nand-4096-224-lzma2",
];

fn with<R>(name: &str, work: impl FnOnce(&mut Volume<'_, k7fs_sim::chip::SimFlash>) -> R) -> R {
    let flash = Case::named(name).formatted(60, 0);
    let mut buffer = buffer_for(&flash);
    let options = mount_options(&flash);
    let mut codecs = HostCodecs::new(LOGICAL_BLOCK_MAX);
    let mut lent = codecs.lend();
    let mut volume = Volume::mount_with(flash, &mut buffer, options, &mut lent).expect("mounts");
    work(&mut volume)
}

fn fill<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    volume.create_dir("/d")?;
    volume.write("/d/small", b"a few bytes")?;
    volume.write("/d/even", &[0x42; 20_000])?;
    volume.write("/d/same", &[0x42; 20_000])?;
    let uneven: Vec<u8> = (0..20_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    volume.write("/uneven", &uneven[..30_000])?;
    volume.hard_link("/uneven", "/d/link")?;
    volume.symlink("d/small", "/link")?;
    volume.set_attribute("/d", "user.colour", b"green")?;
    let posix = volume.posix("/d/small")?;
    volume.set_posix("/d/small", &Posix { mode: 0o640, ..posix })?;
    let file = volume.open("/sparse", OpenOptions::new().write(true).create(true))?;
    volume.write_at(&file, 9000, b"behind a hole")?;
    for at in [100, 5000, 9006, 200, 4000] {
        volume.write_at(&file, at, b"piece")?;
    }
    volume.close(file)?;
    volume.sync()
}

#[test]
fn how_it_is_stored_does_not_matter() {
    let hashes = parallel::run(&KINDS, |name| {
        with(name, |volume| {
            fill(volume).expect("fits");
            let root = volume.root_hash().expect("reads");
            let is_same = |what: &str, volume: &mut Volume<'_, _>| {
                assert_eq!(volume.root_hash(), Ok(root), "{name}: {what} has changed the root hash");
                assert_eq!(volume.check(|fault| panic!("{name}: {what}: {fault:?}")).map(|found| found.faults), Ok(0));
            };
            volume.checkpoint().expect("merges");
            is_same("a checkpoint", volume);
            assert_eq!(volume.deduplicate("/d/even", "/d/same"), Ok(true));
            is_same("sharing content", volume);
            let mut cursor = volume.defragment_all().expect("begins");
            while volume.next_defragment(&mut cursor).expect("defragments").is_some() {}
            is_same("defragmenting", volume);
            let codec = volume.info().codec;
            let mut cursor = ContentCursor::default();
            let mut done = Recompressed::default();
            while volume.recompress_step(&mut cursor, codec, &mut done).expect("compresses") {}
            is_same("compressing", volume);
            // What comes and goes elsewhere moves everything.
            volume.create_snapshot("before").expect("fits");
            for round in 0..200_u32 {
                volume.write("/passing", &vec![round as u8; 9000]).expect("fits");
            }
            volume.remove_file("/passing").expect("goes");
            volume.trim_index("before").expect("goes");
            root
        })
    });
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{hashes:x?}");
}

type Change = (&'static str, fn(&mut Volume<'_, k7fs_sim::chip::SimFlash>) -> Result<(), Error>);

const CHANGES: [Change; 12] = [
    ("one byte of content", |volume| {
        let file = volume.open("/uneven", OpenOptions::new().write(true))?;
        volume.write_at(&file, 29_999, &[0x77])?;
        volume.close(file)
    }),
    ("a longer file", |volume| {
        let file = volume.open("/sparse", OpenOptions::new().write(true))?;
        volume.set_len(&file, 10_000)?;
        volume.close(file)
    }),
    ("a new file", |volume| volume.write("/new", b"")),
    ("a missing file", |volume| volume.remove_file("/d/same")),
    ("another name", |volume| volume.rename("/uneven", "/uneven2")),
    ("one name more", |volume| volume.hard_link("/d/small", "/again")),
    ("another directory", |volume| volume.rename("/uneven", "/d/uneven")),
    ("a changed attribute", |volume| volume.set_attribute("/d", "user.colour", b"greet")),
    ("a missing attribute", |volume| volume.remove_attribute("/d", "user.colour")),
    ("other rights", |volume| {
        let posix = volume.posix("/d/small")?;
        volume.set_posix("/d/small", &Posix { mode: 0o600, ..posix })
    }),
    ("another time", |volume| {
        let time = Timestamp { seconds: 12_345, ticks: 1 };
        volume.set_modified("/d/even", time)
    }),
    ("another owner", |volume| {
        let posix = volume.posix("/uneven")?;
        volume.set_posix("/uneven", &Posix { uid: 7, ..posix })
    }),
];

#[test]
fn whatever_is_seen_to_change_changes_it() {
    for (what, change) in CHANGES {
        with("nor-256-4k", |volume| {
            fill(volume).expect("fits");
            let before = volume.root_hash().expect("reads");
            volume.create_snapshot("before").expect("fits");
            assert_eq!(volume.root_hash(), Ok(before), "a snapshot changes nothing");
            change(volume).unwrap_or_else(|error| panic!("{what}: {error}"));
            let after = volume.root_hash().expect("reads");
            assert_ne!(before, after, "{what} does not change the root hash");
            // The snapshot is as it was.
            volume.select_index("before").expect("is there");
            assert_eq!(volume.root_hash(), Ok(before), "{what} in one index changes another");
        });
    }
}
