//! Authenticated volumes: without the key nothing is mounted, and nothing is changed that goes unnoticed.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, FormatOptions, GeometryField, Key, MountOptions, Volume};
use k7fs_tests::geometry::{Case, KEY, KEYED, buffer_for, format_options, mount_options};
use k7fs_tests::parallel;
use k7fs_tests::ram::RamFlash;
use k7fs_tests::seed::{VARIABLE, say, seed};
use k7fs_tests::splice::Album;

/// Spliced images of one volume; ten times as many with the feature `campaign`.
const SPLICES: u64 = if cfg!(feature = "campaign") { 20_000 } else { 2_000 };

/// Parts of the image as it was before, in the same place: everything is genuine but its time.
#[test]
fn what_was_there_before_is_not_taken_for_what_is_there_now() {
    let seed = seed();
    let results = parallel::run(&KEYED, |case| (case.name, Album::new(case, seed).attack(seed, SPLICES)));
    for (name, result) in results {
        match result {
            Ok(tally) => {
                say(&format!("spliced images of {name}: {tally:?}"));
                assert!(tally.refused + tally.partly > 0 && tally.last > 0, "{name}: the attack attacks nothing");
            }
            Err(violation) => {
                panic!(
                    "{name}: {violation}\nreplay: {VARIABLE}={seed:#x} cargo test -p k7fs-tests --test authenticated"
                )
            }
        }
    }
}

#[test]
fn the_key_is_needed_and_must_be_the_volumes_own() {
    for case in KEYED {
        let mut flash = case.formatted(8, 0);
        let mut buffer = buffer_for(&flash);
        let mut mount = |key| {
            let options = MountOptions { key, ..MountOptions::default() };
            Volume::mount(&mut flash, &mut buffer, options).map(|volume| volume.info().authenticated)
        };
        assert_eq!(mount(None), Err(Error::KeyNeeded), "{}", case.name);
        assert_eq!(mount(Some(Key::new([7; 32]))), Err(Error::WrongKey), "{}", case.name);
        assert_eq!(mount(Some(KEY)), Ok(true), "{}", case.name);
        let mut plain = Case { key: None, ..case }.formatted(8, 0);
        let refused =
            Volume::mount(&mut plain, &mut buffer, MountOptions { key: Some(KEY), ..MountOptions::default() });
        assert_eq!(refused.map(drop), Err(Error::NotAuthenticated), "{}", case.name);
    }
    assert!(!format!("{KEY:?}").contains("tests"), "a key is not printed");
}

#[test]
fn pages_of_128_bytes_have_no_room_for_it() {
    let case = Case::named("nor-128-2k");
    let mut flash = case.flash(64, 0);
    let mut buffer = buffer_for(&flash);
    let options = FormatOptions { key: Some(KEY), ..format_options() };
    let refused = Volume::format(&mut flash, &mut buffer, &options);
    assert_eq!(refused, Err(Error::UnsupportedGeometry { field: GeometryField::PageSize, chip: 128 }));
}

#[test]
fn an_older_image_as_a_whole_is_refused_by_the_number_of_its_last_commit() {
    for name in ["nor-256-4k", "nor-256-4k-keyed", "nand-2048-64-keyed"] {
        let mut flash = Case::named(name).formatted(8, 0);
        let mut buffer = buffer_for(&flash);
        let options = mount_options(&flash);
        let mut volume = Volume::mount(&mut flash, &mut buffer, options).expect("mounts");
        volume.write("/a", b"old").expect("fits");
        volume.sync().expect("commits");
        let old = volume.flash_mut().clone();
        volume.write("/a", b"new").expect("fits");
        volume.sync().expect("commits");
        let commit_min = volume.last_commit();
        let _ = volume.abandon();
        let options = MountOptions { commit_min, ..options };
        let mut rolled_back = old.clone();
        let refused = Volume::mount(&mut rolled_back, &mut buffer, options).map(drop);
        assert_eq!(refused, Err(Error::RolledBack { commit: commit_min - 1 }), "{name}");
        assert_eq!(
            rolled_back.chip().state_hash(),
            old.chip().state_hash(),
            "{name}: a refused mount has changed the chip"
        );
        // After every restart the number is the same or higher.
        for _ in 0..3 {
            let volume = Volume::mount(&mut flash, &mut buffer, options).expect("mounts");
            assert!(volume.last_commit() >= commit_min, "{name}");
            let _ = volume.abandon();
        }
    }
}

/// Pages of another volume with the same secret, made in the same way at the same time.
#[test]
fn pages_of_another_volume_are_not_this_ones() {
    let case = Case::named("nor-256-4k-keyed");
    let mut images = [*b"the one volume!!", *b"the other volume"].map(|volume_id| {
        let mut flash = case.flash(48, 0);
        let mut buffer = buffer_for(&flash);
        let options = FormatOptions { key: case.key, volume_id, ..format_options() };
        Volume::format(&mut flash, &mut buffer, &options).expect("formats");
        let options = MountOptions { key: case.key, ..MountOptions::default() };
        let mut volume = Volume::mount(&mut flash, &mut buffer, options).expect("mounts");
        volume.write("/a", &volume_id.repeat(100)).expect("fits");
        volume.unmount().expect("unmounts");
        let bytes = flash.geometry().raw_page_size() * flash.geometry().page_count() as usize;
        RamFlash::new(flash.geometry(), flash.chip().to_bytes()[..bytes].into())
    });
    let [one, other] = &mut images;
    // All but the signatures.
    for page in other.written_pages().into_iter().filter(|page| page % 16 != 0) {
        let bytes = other.page(page).to_vec();
        one.page_mut(page).copy_from_slice(&bytes);
    }
    let mut buffer = buffer_for(one);
    let mounted = Volume::mount(one, &mut buffer, MountOptions { key: case.key, ..MountOptions::default() });
    assert!(mounted.is_err(), "a mixture of two volumes mounts");
}
