//! Names and attributes whose hashes collide.
//!
//! 48 bits of a keyed hash hardly ever collide, so that the code for it would never run. Here all names fall on four
//! hashes. The switch is process-wide: nothing else is tested in this file, and one test comes after the other.

use std::sync::{Mutex, PoisonError};

use k7fs_core::sabotage::{Step as Switch, set_off};
use k7fs_core::{ENTRIES_MAX, Error, MountOptions, Volume};
use k7fs_sim::model::Space;
use k7fs_tests::geometry::{Case, buffer_for};
use k7fs_tests::seed::{mix, replay, say, seed};
use k7fs_tests::sequence::{Rig, check, random_steps};

/// Positions that one hash has: its ties.
const TIES: usize = 256;
/// Hashes that are left.
const HASHES: usize = 4;

/// Many small files in few directories.
const SPACE: Space = Space { names: 60, depth: 2, length_max: 1200, bytes_max: 30_000, indexes_max: 1 };

static TURN: Mutex<()> = Mutex::new(());

fn colliding<R>(work: impl FnOnce() -> R) -> R {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    set_off(Switch::NameHash, true);
    work()
}

#[test]
fn the_model_does_not_notice() {
    colliding(|| {
        for (round, case) in ["nor-256-4k", "nor-1024-8k"].into_iter().enumerate() {
            let mut rig = Rig::new(Case::named(case).formatted(20, seed()));
            match rig.run(&random_steps(mix(seed(), round as u64), SPACE, 1500)) {
                Ok(statistics) => say(&format!("collisions: {case}: {statistics:?}")),
                Err(violation) => panic!("{case}: {violation}\nreplay: {}", replay("collisions", "the_model", seed())),
            }
        }
    });
}

#[test]
fn a_hash_takes_as_many_names_as_there_are_ties() {
    colliding(|| {
        let mut flash = Case::named("nor-256-4k").formatted(64, seed());
        let mut buffer = buffer_for(&flash);
        let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
        volume.write("/file", b"content").expect("writes");
        let (mut names, mut attributes) = (Vec::new(), Vec::new());
        for index in 0..HASHES * TIES + HASHES {
            match volume.write(&format!("/n{index}"), &[]) {
                Ok(()) => names.push(index),
                Err(error) => assert_eq!(error, Error::Exhausted),
            }
            match volume.set_attribute("/file", &format!("user.{index}"), &[index as u8]) {
                Ok(()) => attributes.push(index),
                Err(error) => assert_eq!(error, Error::Exhausted),
            }
        }
        // Some hash has run full by now; the hashes 0 and 1 of attributes are one.
        assert!(names.len() > TIES && names.len() < HASHES * TIES + HASHES, "{}", names.len());
        assert!(attributes.len() > TIES && attributes.len() <= (HASHES - 1) * TIES, "{}", attributes.len());
        for index in &names {
            assert_eq!(volume.metadata(&format!("/n{index}")).expect("is found").size, 0);
        }
        for index in &attributes {
            let mut value = [0];
            assert_eq!(volume.attribute("/file", &format!("user.{index}"), &mut value), Ok(&[*index as u8][..]));
        }
        // A place that comes free is taken again.
        let freed = names[names.len() / 2];
        volume.remove_file(&format!("/n{freed}")).expect("removes");
        volume.write(&format!("/n{freed}"), b"again").expect("there is a place");
        let freed = attributes[attributes.len() / 2];
        volume.remove_attribute("/file", &format!("user.{freed}")).expect("removes");
        volume.set_attribute("/file", &format!("user.{freed}"), b"again").expect("there is a place");
        check(&mut volume).expect("no faults");
        volume.remove_file("/file").expect("removes all of them");
        check(&mut volume).expect("no faults");
    });
}

#[test]
fn a_directory_takes_so_many_entries_and_no_more() {
    colliding(|| {
        // Sixteen million entries take hours to make: here eight are the most.
        set_off(Switch::Entries, true);
        let mut flash = Case::named("nor-256-4k").formatted(20, seed());
        let mut buffer = buffer_for(&flash);
        let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
        let full = Error::DirectoryFull { entries_max: ENTRIES_MAX };
        volume.create_dir("/d").expect("creates");
        volume.write("/file", b"content").expect("writes");
        for index in 0..8 {
            volume.write(&format!("/d/{index}"), &[]).expect("there is room");
        }
        assert_eq!(volume.write("/d/more", &[]), Err(full));
        assert_eq!(volume.create_dir("/d/more"), Err(full));
        assert_eq!(volume.symlink("/file", "/d/more"), Err(full));
        assert_eq!(volume.hard_link("/file", "/d/more"), Err(full));
        assert_eq!(volume.rename("/file", "/d/more"), Err(full));
        assert!(full.to_string().contains("16777215"), "{full}");
        // A refusal ends nothing, not even a transaction.
        let done = volume.transaction(|volume| {
            assert_eq!(volume.write("/d/more", &[]), Err(full));
            volume.write("/d/0", b"replaced")?;
            volume.rename("/file", "/d/1")?;
            volume.rename("/d/2", "/d/still eight")
        });
        assert_eq!(done, Ok(()));
        assert_eq!(volume.metadata("/d").expect("is there").size, 8);
        volume.remove_file("/d/0").expect("removes");
        assert_eq!(volume.write("/d/more", &[]), Ok(()));
        check(&mut volume).expect("no faults");
        set_off(Switch::Entries, false);
    });
}
