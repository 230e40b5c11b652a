//! The two copies of the newest checkpoint: one is enough, none is too few.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, Volume};
use k7fs_tests::geometry::{Case, buffer_for, mount_options};
use k7fs_tests::ram::RamFlash;
use k7fs_tests::seed::seed;

/// Pages with the newest checkpoint: one in each mirror.
fn newest_checkpoints(flash: &RamFlash) -> Vec<u32> {
    let mut newest = (0, Vec::new());
    for number in 0..flash.geometry().page_count() {
        let page = flash.page(number);
        if page[0] & 0x1F != 4 {
            continue;
        }
        let length = 1 + page[1..].iter().position(|byte| *byte < 0x80).unwrap_or(0);
        let sequence = page[1..=length].iter().rev().fold(0_u64, |value, byte| value << 7 | u64::from(byte & 0x7F));
        match sequence.cmp(&newest.0) {
            std::cmp::Ordering::Greater => newest = (sequence, vec![number]),
            std::cmp::Ordering::Equal => newest.1.push(number),
            std::cmp::Ordering::Less => {}
        }
    }
    newest.1
}

/// The one before may lead to blocks that have been used again since.
#[test]
fn a_volume_that_has_lost_both_copies_of_its_newest_checkpoint_is_not_mounted() {
    for name in ["nor-256-4k", "nor-1024-8k", "nand-2048-64"] {
        let mut flash = Case::named(name).formatted(16, seed());
        let geometry = flash.geometry();
        let mut buffer = buffer_for(&flash);
        let options = mount_options(&flash);
        for round in 0..3 {
            let mut volume = Volume::mount(&mut flash, &mut buffer, options).expect("mounts");
            volume.write("/file", &[round; 3000]).expect("fits");
            volume.unmount().expect("stops");
        }
        let bytes = geometry.raw_page_size() * geometry.page_count() as usize;
        let sound = RamFlash::new(geometry, flash.chip().to_bytes()[..bytes].into());
        let pages = newest_checkpoints(&sound);
        assert_eq!(pages.len(), 2, "{name}");
        let lose = |lost: &[u32]| {
            let mut flash = sound.clone();
            lost.iter().for_each(|page| flash.page_mut(*page).fill(0x5A));
            let mut buffer = buffer_for(&flash);
            let mut volume = Volume::mount(flash, &mut buffer, options)?;
            let mut read = vec![0; 4000];
            volume.read("/file", &mut read).map(|length| read[..length].to_vec())
        };
        for page in &pages {
            assert_eq!(lose(&[*page]), Ok(vec![2; 3000]), "{name}: page {page} alone");
        }
        assert!(matches!(lose(&pages), Err(Error::Uncorrectable { .. })), "{name}: {pages:?}");
    }
}

/// What is said again after a cut takes no rows that a running volume may have used.
#[test]
fn a_cut_behind_any_call_leaves_a_volume_that_mounts() {
    for name in ["nor-128-2k", "nor-256-4k", "nor-1024-8k", "nand-2048-64", "nand-2048-64-keyed"] {
        let mut flash = Case::named(name).formatted(96, seed());
        let mut buffer = buffer_for(&flash);
        let options = mount_options(&flash);
        let mut volume = Volume::mount(&mut flash, &mut buffer, options).expect("mounts");
        for call in 0..300u32 {
            // Names all over the directory: hardly two changes of one leaf.
            let path = format!("/{:08x}", (call ^ seed() as u32).wrapping_mul(0x9E37_79B9));
            volume.write(&path, &[call as u8; 20]).expect("fits");
            let mut cut = volume.flash_mut().clone();
            let mut buffer = buffer_for(&cut);
            let options = mount_options(&cut);
            let mut again = Volume::mount(&mut cut, &mut buffer, options)
                .unwrap_or_else(|error| panic!("{name}, after call {call}: {error}"));
            let mut read = [0; 20];
            assert_eq!(again.read(&path, &mut read), Ok(20), "{name}, after call {call}");
            assert_eq!(read, [call as u8; 20], "{name}, after call {call}");
        }
    }
}
