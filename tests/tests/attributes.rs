//! Attributes and metadata: lengths around every limit, space that comes back, full volumes, both worlds' views.

use std::collections::BTreeSet;

use k7fs_core::{
    ATTRIBUTE_BYTES_MAX, ATTRIBUTE_NAME_BYTES_MAX, Device, Error, Kind, MountOptions, Nt, OpenOptions, Posix,
    STREAM_ATTRIBUTES, Timestamp, Volume,
};
use k7fs_sim::chip::SimFlash;
use k7fs_sim::model::Content;
use k7fs_tests::geometry::{CASES, Case, buffer_for};
use k7fs_tests::parallel;
use k7fs_tests::seed::seed;
use k7fs_tests::sequence::check;
use proptest::prelude::*;

type Mounted<'b, 'f> = Volume<'b, &'f mut SimFlash>;

fn on_a_volume<R>(case: &Case, blocks: u32, work: impl FnOnce(&mut Mounted<'_, '_>) -> R) -> R {
    let mut flash = case.formatted(blocks, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
    let result = work(&mut volume);
    check(&mut volume).expect("no faults");
    volume.unmount().expect("unmounts");
    assert_eq!(flash.chip().counters().first_violation(), None);
    result
}

fn value(seed: u64, length: usize) -> Vec<u8> {
    Content::seeded(seed, length as u32).bytes()
}

/// Bytes in use once everything is merged.
fn used(volume: &mut Mounted<'_, '_>) -> u64 {
    assert_eq!(volume.audit(), Ok(None));
    let usage = volume.usage().expect("usage is always known");
    usage.capacity_bytes - usage.free_bytes
}

fn names(volume: &mut Mounted<'_, '_>, path: &str) -> BTreeSet<String> {
    let mut cursor = volume.list_attributes(path).expect("is there");
    let mut name = [0; ATTRIBUTE_NAME_BYTES_MAX];
    let mut names = BTreeSet::new();
    while let Some(entry) = volume.next_attribute(&mut cursor, &mut name).expect("readable") {
        assert!(names.insert(entry.name.to_owned()), "{} is listed twice", entry.name);
    }
    names
}

#[test]
fn values_of_every_length_come_back_and_their_space_too() {
    parallel::run(&CASES, |case| {
        on_a_volume(case, 80, |volume| {
            volume.write("/file", b"content").expect("writes");
            volume.set_attribute("/file", "user.kept", b"kept").expect("sets");
            let long_name = "n".repeat(ATTRIBUTE_NAME_BYTES_MAX);
            let mut bytes = vec![0; ATTRIBUTE_BYTES_MAX];
            let before = used(volume);
            let lengths = [0, 1, 40, 100, 170, 250, 256, 380, 500, 512, 600, 4096, 4097, 20_000, ATTRIBUTE_BYTES_MAX];
            // Two values, and while one is replaced, three.
            let most = volume.usage().expect("usage is always known").free_bytes as usize / 4;
            let lengths = lengths.map(|length| length.min(most));
            for (index, length) in lengths.into_iter().chain(lengths.into_iter().rev()).enumerate() {
                for name in ["x", long_name.as_str()] {
                    let value = value(index as u64, length);
                    volume.set_attribute("/file", name, &value).expect("fits");
                    assert_eq!(volume.attribute("/file", name, &mut bytes), Ok(&value[..]), "{} {length}", case.name);
                    let short = volume.attribute("/file", name, &mut bytes[..length.saturating_sub(1)]).err();
                    let expected = (length > 0).then_some(Error::ResultTooLarge { needed: length as u64 });
                    assert_eq!(short, expected, "{} {length}", case.name);
                }
            }
            check(volume).expect("no faults");
            volume.remove_attribute("/file", "x").expect("removes");
            volume.remove_attribute("/file", &long_name).expect("removes");
            assert_eq!(names(volume, "/file"), BTreeSet::from(["user.kept".to_owned()]));
            // A node may have split; nothing larger stays.
            let after = used(volume);
            assert!(after <= before + 600, "{}: {before} bytes were in use, {after} are", case.name);
        });
    });
}

#[test]
fn an_object_takes_its_attributes_along() {
    parallel::run(&CASES, |case| {
        on_a_volume(case, 80, |volume| {
            volume.create_dir("/kept").expect("creates");
            let before = used(volume);
            for round in 0..3 {
                let path = if round == 0 { "/dir" } else { "/file" };
                if round == 0 { volume.create_dir(path) } else { volume.write(path, &value(9, 9000)) }.expect("fits");
                for index in 0..12_usize {
                    let value = value(index as u64, index * index * 60);
                    volume.set_attribute(path, &format!("user.{index}"), &value).expect("fits");
                }
                volume.set_short_name(path, "FILE~1").expect("sets");
                let file = (round == 2).then(|| volume.open(path, OpenOptions::new().read(true)).expect("opens"));
                if round == 0 { volume.remove_dir(path) } else { volume.remove_file(path) }.expect("removes");
                check(volume).expect("no faults");
                if let Some(file) = file {
                    volume.close(file).expect("closes");
                }
                let after = used(volume);
                assert!(after <= before + 600, "{}, {round}: {before} bytes were in use, {after} are", case.name);
            }
        });
    });
}

#[test]
fn a_full_volume_gives_up_attributes_and_what_has_them() {
    parallel::run(&CASES, |case| {
        on_a_volume(case, 16, |volume| {
            let usage = volume.usage().expect("usage is always known");
            let length = (usage.capacity_bytes / 200).clamp(60, 20_000) as usize;
            for round in 0..2 {
                let mut count = 0;
                loop {
                    let path = format!("/f{count}");
                    let result = volume.transaction(|volume| {
                        volume.write(&path, &value(count, length / 4))?;
                        volume.set_attribute(&path, "user.value", &value(count + 1, length))
                    });
                    match result {
                        Ok(()) => count += 1,
                        Err(Error::NoSpace) => break,
                        Err(error) => panic!("{}: file {count}: {error}", case.name),
                    }
                }
                assert!(count > 10, "{}: only {count}", case.name);
                let same = volume.set_attribute("/f0", "user.value", &value(7, length));
                assert!(matches!(same, Ok(()) | Err(Error::NoSpace)), "{same:?}");
                for index in 0..count {
                    let path = format!("/f{index}");
                    if (index + round) % 2 == 0 {
                        volume.remove_attribute(&path, "user.value").expect("works on a full volume");
                    }
                    volume.remove_file(&path).expect("works on a full volume");
                }
            }
        });
    });
}

#[test]
fn a_transaction_sets_content_and_attributes_or_neither() {
    on_a_volume(&Case::named("nor-256-4k"), 40, |volume| {
        volume.write("/file", b"old").expect("writes");
        volume.set_attribute("/file", "user.version", b"1").expect("sets");
        let given_up = volume.transaction(|volume| {
            volume.write("/file", b"new")?;
            volume.set_attribute("/file", "user.version", b"2")?;
            volume.set_attribute("/file", "user.long", &value(1, 5000))?;
            Err::<(), _>(Error::Busy)
        });
        assert_eq!(given_up, Err(Error::Busy));
        let mut bytes = [0; 8];
        assert_eq!(volume.attribute("/file", "user.version", &mut bytes), Ok(&b"1"[..]));
        assert_eq!(volume.attribute("/file", "user.long", &mut bytes), Err(Error::NoSuchAttribute));
        let done = volume.transaction(|volume| {
            volume.write("/file", b"new")?;
            volume.set_attribute("/file", "user.version", b"2")?;
            volume.set_attribute("/file", "user.long", &value(1, 5000))?;
            volume.remove_attribute("/file", "user.long")
        });
        assert_eq!(done, Ok(()));
        assert_eq!(volume.attribute("/file", "user.version", &mut bytes), Ok(&b"2"[..]));
        assert_eq!(names(volume, "/file").len(), 1);
    });
}

#[test]
fn a_walk_survives_changes() {
    on_a_volume(&Case::named("nor-256-4k"), 40, |volume| {
        volume.create_dir("/d").expect("creates");
        let all: Vec<String> = (0..40).map(|index| format!("user.{index}")).collect();
        for name in &all {
            volume.set_attribute("/d", name, name.as_bytes()).expect("sets");
        }
        let mut cursor = volume.list_attributes("/d").expect("is there");
        let mut seen = BTreeSet::new();
        let mut bytes = [0; ATTRIBUTE_NAME_BYTES_MAX];
        let refused = volume.next_attribute(&mut cursor, &mut bytes[..3]).err();
        assert!(matches!(refused, Some(Error::ResultTooLarge { needed: 6 | 7 })), "{refused:?}");
        while let Some(entry) = volume.next_attribute(&mut cursor, &mut bytes).expect("readable") {
            let name = entry.name.to_owned();
            assert_eq!(entry.size as usize, name.len());
            volume.remove_attribute("/d", &name).expect("removes");
            seen.insert(name);
        }
        assert_eq!(seen, all.into_iter().collect());
        assert!(names(volume, "/d").is_empty());
    });
}

#[test]
fn what_only_nt_has_comes_back() {
    on_a_volume(&Case::named("nor-256-4k"), 60, |volume| {
        volume.write("/file", b"content").expect("writes");
        let mut bytes = vec![0; ATTRIBUTE_BYTES_MAX];
        assert_eq!(volume.short_name("/file", &mut bytes), Ok(""));
        assert_eq!(volume.security_descriptor("/file", &mut bytes), Err(Error::NoSuchAttribute));
        assert_eq!(volume.reparse_point("/file", &mut bytes), Err(Error::NoSuchAttribute));
        volume.set_short_name("/file", "ファイル~1.ΩΩ").expect("twelve units at most");
        let descriptor = value(1, 148);
        volume.set_security_descriptor("/file", &descriptor).expect("sets");
        for length in [0, 30, 2000] {
            let data = value(2, length);
            volume.set_reparse_point("/file", 0xA000_000C, &data).expect("sets");
            assert_eq!(volume.reparse_point("/file", &mut bytes), Ok((0xA000_000C, &data[..])));
        }
        let stream = value(3, ATTRIBUTE_BYTES_MAX);
        volume.set_stream("/file", "Zone.Identifier", &stream).expect("sets");
        volume.set_stream("/file", "Ω", b"").expect("sets");
        assert_eq!(volume.short_name("/file", &mut bytes), Ok("ファイル~1.ΩΩ"));
        assert_eq!(volume.security_descriptor("/file", &mut bytes), Ok(&descriptor[..]));
        assert_eq!(volume.stream("/file", "Zone.Identifier", &mut bytes), Ok(&stream[..]));
        let listed = names(volume, "/file");
        assert!(listed.contains(&format!("{STREAM_ATTRIBUTES}Ω")) && listed.len() == 4, "{listed:?}");
        volume.remove_stream("/file", "Zone.Identifier").expect("removes");
        volume.remove_stream("/file", "Ω").expect("removes");
        volume.set_security_descriptor("/file", &[]).expect("removes");
        volume.remove_reparse_point("/file").expect("removes");
        volume.remove_reparse_point("/file").expect("there is none any more");
        volume.set_short_name("/file", "").expect("removes");
        assert!(names(volume, "/file").is_empty());
    });
}

#[test]
fn devices_are_names_with_a_number() {
    on_a_volume(&Case::named("nor-256-4k"), 20, |volume| {
        let number = Device { major: 0x1234_5678, minor: 0x9ABC_DEF0 };
        volume.create_special("/disk", Kind::BlockDevice, number).expect("creates");
        volume.create_special("/fifo", Kind::Fifo, Device::default()).expect("creates");
        volume.hard_link("/disk", "/again").expect("links");
        volume.rename("/again", "/moved").expect("renames");
        volume.set_attribute("/disk", "user.note", b"1").expect("sets");
        assert_eq!(volume.device("/moved"), Ok(number));
        assert_eq!(volume.device("/fifo"), Err(Error::NotADevice));
        let metadata = volume.metadata("/disk").expect("is there");
        assert_eq!((metadata.kind, metadata.size, metadata.links), (Kind::BlockDevice, 0, 2));
        volume.remove_file("/disk").expect("removes");
        volume.remove_file("/moved").expect("removes");
    });
}

fn time() -> impl Strategy<Value = Timestamp> {
    // Before 1970, before 1601 as near as it gets, and far away.
    prop_oneof![
        (any::<u64>()).prop_map(Timestamp::from_nt),
        (0..1_u64 << 40, 0..10_000_000_u32).prop_map(|(seconds, ticks)| Timestamp { seconds, ticks }),
        Just(Timestamp::default()),
    ]
}

fn posix() -> impl Strategy<Value = Posix> {
    let owner = prop_oneof![Just(0), Just(1000), any::<u32>()];
    let mode = prop_oneof![Just(0o644), Just(0o444), 0..0o10000_u16];
    (mode, owner.clone(), owner, time(), time(), prop::option::of(time()), prop::option::of(time())).prop_map(
        |(mode, uid, gid, created, modified, accessed, changed)| Posix {
            mode,
            uid,
            gid,
            created,
            modified,
            accessed,
            changed,
        },
    )
}

fn nt() -> impl Strategy<Value = Nt> {
    let attributes = prop_oneof![Just(0), Just(1), Just(0x80), any::<u32>()];
    (attributes, time(), time(), prop::option::of(time()), prop::option::of(time())).prop_map(
        |(attributes, created, modified, accessed, changed)| Nt { attributes, created, modified, accessed, changed },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// What one world has set goes through the other and comes back, and what the other had set is still there.
    #[test]
    fn a_way_through_the_other_world_loses_nothing(
        steps in prop::collection::vec((0..3_usize, posix(), nt()), 1..12),
    ) {
        on_a_volume(&Case::named("nor-1024-8k"), 20, |volume| -> Result<(), TestCaseError> {
            let paths = ["/file", "/dir", "/link"];
            volume.write("/file", b"content").expect("writes");
            volume.create_dir("/dir").expect("creates");
            volume.symlink("/file", "/link").expect("links");
            for (index, posix, nt) in &steps {
                let path = paths[*index];
                let held = volume.nt(path).expect("reads").attributes;
                volume.set_posix(path, posix).expect("sets");
                prop_assert_eq!(volume.posix(path), Ok(*posix));
                // What only NT knows is still there; all of POSIX goes through NT and back.
                let seen = volume.nt(path).expect("reads");
                prop_assert_eq!(seen.attributes, held);
                volume.set_nt(path, &seen).expect("sets");
                prop_assert_eq!(volume.posix(path), Ok(*posix));
                // The same the other way round.
                volume.set_nt(path, nt).expect("sets");
                prop_assert_eq!(volume.nt(path), Ok(*nt));
                let seen = volume.posix(path).expect("reads");
                prop_assert_eq!((seen.mode, seen.uid, seen.gid), (posix.mode, posix.uid, posix.gid));
                volume.set_posix(path, &seen).expect("sets");
                prop_assert_eq!(volume.nt(path), Ok(*nt));
            }
            Ok(())
        })?;
    }

    /// A moment of UNIX is exact to 100 ns, of NT to the tick.
    #[test]
    fn times_convert_exactly(seconds in -11_644_473_600_i64..1 << 50, ticks in 0..10_000_000_u32, nt: u64) {
        let time = Timestamp::from_unix(seconds, ticks * 100).expect("not before 1601");
        prop_assert_eq!(time.to_unix(), (seconds, ticks * 100));
        prop_assert_eq!(Timestamp::from_nt(nt).to_nt(), Some(nt));
        prop_assert_eq!(Timestamp::from_unix(-11_644_473_601, 0), None);
    }
}
