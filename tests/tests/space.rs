//! The volume's space: fewer blocks and more, content put together again, blocks erased ahead.
//!
//! What a power cut leaves of the files is the cut ladder's business; here it is the number of blocks.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, MountOptions, OpenOptions, Volume};
use k7fs_sim::chip::{Chip, CutKind, SimFlash};
use k7fs_sim::model::{Random, Tree, observe};
use k7fs_tests::geometry::{Case, buffer_for, format};
use k7fs_tests::seed::{mix, seed};
use k7fs_tests::sequence::check;

const CASES: [&str; 4] = ["nor-256-4k", "nor-128-2k", "nor-1024-8k", "nand-2048-64"];

/// So many blocks of a chip.
fn part(chip: Chip, like: &SimFlash, blocks: u32) -> SimFlash {
    let geometry = like.geometry();
    let block_size = geometry.page_size * geometry.pages_per_block;
    SimFlash::part(chip, geometry.page_size, block_size, 0..blocks).expect("the chip has as many")
}

/// A chip with a volume on its first `blocks` blocks and more behind them.
fn formatted_part(case: &str, blocks: u32, more: u32) -> SimFlash {
    let whole = Case::named(case).flash(Case::named(case).blocks_min() + blocks + more, seed());
    let blocks = whole.geometry().block_count - more;
    let mut flash = part(whole.clone().into_chip(), &whole, blocks);
    format(&mut flash).expect("is large enough");
    flash
}

/// Writes, overwrites and deletes until blocks everywhere are in use.
fn fill<F: Flash>(volume: &mut Volume<'_, F>, files: u64) {
    let mut random = Random::new(mix(seed(), 7));
    let geometry = volume.info().geometry;
    let block_bytes = u64::from(geometry.page_size * geometry.pages_per_block);
    let mut written = 0;
    while written < block_bytes * u64::from(geometry.block_count) {
        for index in 0..files {
            let length = 100 + random.below(block_bytes / 3);
            volume.write(&format!("/f{index}"), &vec![(index + written) as u8; length as usize]).expect("fits");
            written += length;
        }
    }
    for index in (0..files).step_by(3) {
        volume.remove_file(&format!("/f{index}")).expect("removes");
    }
}

fn shown<F: Flash>(volume: &mut Volume<'_, F>) -> Tree {
    check(volume).expect("no faults");
    observe(volume).expect("can be walked")
}

#[test]
fn a_volume_shrinks_to_what_it_holds_and_no_further() {
    for case in CASES {
        let flash = Case::named(case).formatted(30, seed());
        let like = flash.clone();
        let blocks = flash.geometry().block_count;
        let mut buffer = buffer_for(&flash);
        let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("mounts");
        fill(&mut volume, 12);
        let before = shown(&mut volume);
        let Err(Error::ResizeTooSmall { blocks_min }) = volume.resize(3) else {
            panic!("{case}: too few for anything")
        };
        assert!(blocks_min > 12 && blocks_min < blocks, "{case}: {blocks_min} of {blocks}");
        assert_eq!(volume.resize(blocks_min - 1), Err(Error::ResizeTooSmall { blocks_min }), "{case}");
        assert_eq!(volume.resize(blocks + 1), Err(Error::ResizeTooLarge { blocks_max: blocks }), "{case}");
        assert_eq!(volume.info().geometry.block_count, blocks);
        assert_eq!(shown(&mut volume), before, "{case}: refusals change nothing");
        assert_eq!(volume.transaction(|volume| volume.resize(blocks_min)), Err(Error::Busy));
        assert_eq!(volume.resize(blocks_min), Ok(()), "{case}: from {blocks} to {blocks_min}");
        assert_eq!(volume.info().geometry.block_count, blocks_min);
        assert_eq!(shown(&mut volume), before, "{case}");
        // A power cut later, on a chip that ends there.
        let mut small = part(volume.abandon().into_chip(), &like, blocks_min);
        let mut buffer = buffer_for(&small);
        let mut volume =
            Volume::mount(&mut small, &mut buffer, MountOptions::default()).expect("fits the smaller chip");
        assert_eq!(shown(&mut volume), before, "{case}");
        volume.write("/f1", b"still takes writes").expect("replaces a file");
        volume.unmount().expect("unmounts");
        // A chip that ends before that does not hold it.
        let mut smaller = part(small.into_chip(), &like, blocks_min - 1);
        let mut buffer = buffer_for(&smaller);
        let refused = Volume::mount(&mut smaller, &mut buffer, MountOptions::default()).map(drop);
        assert!(
            matches!(refused, Err(Error::WrongGeometry { volume, .. }) if volume == blocks_min),
            "{case}: {refused:?}"
        );
    }
}

#[test]
fn a_full_volume_grows_onto_added_blocks() {
    for case in CASES {
        let flash = formatted_part(case, 6, 20);
        let blocks = flash.geometry().block_count;
        let like = flash.clone();
        let mut large = part(flash.into_chip(), &like, blocks + 20);
        let mut buffer = buffer_for(&large);
        let mut volume =
            Volume::mount(&mut large, &mut buffer, MountOptions::default()).expect("a larger chip will do");
        assert_eq!(volume.info().geometry.block_count, blocks, "{case}");
        let mut count = 0;
        while volume.write(&format!("/{count}"), &[count as u8; 900]).is_ok() {
            count += 1;
        }
        let (capacity, before) = (volume.usage().expect("usable").capacity_bytes, shown(&mut volume));
        assert_eq!(volume.resize(blocks + 20), Ok(()), "{case}");
        assert!(volume.usage().expect("usable").capacity_bytes > capacity, "{case}");
        assert_eq!(shown(&mut volume), before, "{case}");
        for index in count..count + 10 {
            volume.write(&format!("/{index}"), &[index as u8; 900]).unwrap_or_else(|error| panic!("{case}: {error}"));
        }
        let before = shown(&mut volume);
        volume.abandon();
        let mut volume = Volume::mount(&mut large, &mut buffer, MountOptions::default()).expect("mounts");
        assert_eq!(volume.info().geometry.block_count, blocks + 20, "{case}");
        assert_eq!(shown(&mut volume), before, "{case}");
    }
}

#[test]
fn a_cut_while_resizing_leaves_the_old_size_or_the_new() {
    for case in CASES {
        let flash = Case::named(case).formatted(30, seed());
        let like = flash.clone();
        let blocks = flash.geometry().block_count;
        let mut buffer = buffer_for(&flash);
        let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("mounts");
        fill(&mut volume, 8);
        let expected = shown(&mut volume);
        for (from, to) in [(blocks, blocks - 12), (blocks - 12, blocks - 2)] {
            volume.flash_mut().chip_mut().record_forks();
            volume.resize(to).unwrap_or_else(|error| panic!("{case}: from {from} to {to}: {error}"));
            let forks = volume.flash_mut().chip_mut().take_forks();
            let mut sizes = [0, 0];
            let step = forks.len().div_ceil(150);
            for (index, fork) in
                forks.iter().enumerate().filter(|(index, _)| index % step == 0 || forks.len() - index < 30)
            {
                let mut flash = like.with_chip(fork.cut(CutKind::LADDER[index % CutKind::LADDER.len()]));
                let mut buffer = buffer_for(&flash);
                let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
                let size = volume.info().geometry.block_count;
                assert!(size == from || size == to, "{case}: {size} blocks between {from} and {to}");
                sizes[usize::from(size == to)] += 1;
                assert_eq!(expected.difference(&shown(&mut volume)), None, "{case}: operation {index}");
                volume.write("/after", b"the cut").expect("takes a write");
                volume.abandon();
                // What the mount has shown is certain: a chip of that size is enough.
                let mut flash = part(flash.into_chip(), &like, size);
                let mut buffer = buffer_for(&flash);
                let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts again");
                check(&mut volume).expect("no faults");
            }
            assert!(sizes[0] > 0 && sizes[1] > 0, "{case}: {sizes:?} cuts before and after the new size");
        }
    }
}

/// Wherever the log, its next block and the checkpoints happen to be: few pages are written in each round, so that none of
/// them leaves a large block by itself.
#[test]
fn log_and_checkpoints_leave_what_is_given_up() {
    for case in ["nand-2048-64", "nor-256-stm32h7", "nor-256-4k"] {
        let flash = Case::named(case).formatted(16, seed());
        let blocks = flash.geometry().block_count;
        let mut buffer = buffer_for(&flash);
        let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("mounts");
        for round in 0..60_u32 {
            volume.write("/a", &round.to_le_bytes()).expect("fits");
            let less = 1 + round % 5;
            assert_eq!(volume.resize(blocks - less), Ok(()), "{case}: {less} blocks less in round {round}");
            assert_eq!(volume.resize(blocks), Ok(()), "{case}: round {round}");
            // On through the blocks, by one or two of them.
            let filler = vec![round as u8; volume.info().geometry.page_size as usize];
            for index in 0..volume.info().geometry.pages_per_block {
                volume.write(&format!("/{}", index % 3), &filler).expect("fits");
            }
        }
        check(&mut volume).expect("no faults");
        let mut bytes = [0; 4];
        volume.read("/a", &mut bytes).expect("reads");
        assert_eq!(u32::from_le_bytes(bytes), 59);
    }
}

/// Programs and reads of some work.
fn effort<R>(volume: &mut Volume<'_, SimFlash>, work: impl FnOnce(&mut Volume<'_, SimFlash>) -> R) -> (u64, u64, R) {
    let count = |volume: &mut Volume<'_, SimFlash>| {
        let counters = volume.flash_mut().chip().counters();
        (counters.programs, counters.bytes_read + counters.page_loads * 2048)
    };
    let before = count(volume);
    let result = work(volume);
    let after = count(volume);
    (after.0 - before.0, after.1 - before.1, result)
}

#[test]
fn what_lies_in_pieces_is_put_together() {
    for case in CASES {
        const BYTES: u64 = 40_000;
        let flash = Case::named(case).formatted(60, seed());
        let mut buffer = buffer_for(&flash);
        let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("mounts");
        let mut content = vec![1; BYTES as usize];
        volume.write("/a", &content).expect("fits");
        let file = volume.open("/a", OpenOptions::new().read(true).write(true)).expect("opens");
        let mut random = Random::new(mix(seed(), 9));
        for round in 0..200 {
            let at = random.below(BYTES - 60);
            volume.write_at(&file, at, &[round as u8; 60]).expect("fits");
            content[at as usize..][..60].fill(round as u8);
            volume.write("/other", &[round as u8; 90]).expect("fits");
        }
        let read = |volume: &mut Volume<'_, SimFlash>| {
            let mut bytes = vec![0; BYTES as usize];
            volume.read("/a", &mut bytes).expect("reads");
            bytes
        };
        let (_, before, _) = effort(&mut volume, read);
        let mut cursor = volume.defragment("/a").expect("is a file");
        let (mut steps, mut written) = (0, 0);
        while let Some(bytes) = volume.next_defragment(&mut cursor).expect("there is room") {
            steps += 1;
            written += bytes;
            assert!(bytes <= 4096, "{case}: {bytes} bytes in one step");
            // Anything may come between.
            volume.write("/other", &[steps as u8; 90]).expect("fits");
        }
        assert!(written > BYTES / 2 && steps > 8, "{case}: {written} bytes in {steps} steps");
        assert_eq!(read(&mut volume), content, "{case}");
        let (_, after, _) = effort(&mut volume, read);
        assert!(after * 10 < before * 9, "{case}: reading moves {after} bytes, before {before}");
        check(&mut volume).expect("no faults");
        // Once more there is nothing to do.
        let mut cursor = volume.defragment_all().expect("may be written");
        let mut again = 0;
        while let Some(bytes) = volume.next_defragment(&mut cursor).expect("there is room") {
            again += bytes;
        }
        assert!(again <= BYTES / 4, "{case}: {again} bytes are written again");
        volume.close(file).expect("closes");
        assert_eq!(volume.defragment("/").map(drop), Err(Error::IsADirectory));
        assert_eq!(volume.defragment("/nothing").map(drop), Err(Error::NotFound));
    }
}

#[test]
fn what_a_snapshot_shares_stays_where_it_is() {
    let flash = Case::named("nor-256-4k").formatted(30, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("mounts");
    for part in 0..12 {
        let file = volume.open("/a", OpenOptions::new().write(true).create(true)).expect("opens");
        volume.write_at(&file, (11 - part) * 300, &[part as u8; 300]).expect("fits");
        volume.close(file).expect("closes");
    }
    volume.create_snapshot("s").expect("fits");
    let mut cursor = volume.defragment_all().expect("may be written");
    while let Some(bytes) = volume.next_defragment(&mut cursor).expect("there is room") {
        assert_eq!(bytes, 0, "shared content is not written again");
    }
    volume.select_index("s").expect("is there");
    assert_eq!(volume.defragment("/a").map(drop), Err(Error::ReadOnly));
}

#[test]
fn blocks_erased_ahead_save_writes_the_erase() {
    for case in CASES {
        let flash = Case::named(case).formatted(60, seed());
        let block = u64::from(flash.geometry().page_size * flash.geometry().pages_per_block);
        let mut buffer = buffer_for(&flash);
        let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("mounts");
        let erases = |volume: &mut Volume<'_, SimFlash>| volume.flash_mut().chip().counters().erases;
        assert_eq!(volume.erase_ahead(0), Ok(0));
        assert_eq!(volume.erase_ahead(100), Ok(8), "{case}: so many are kept");
        assert_eq!(volume.erase_ahead(100), Ok(0), "{case}: none comes on top");
        let before = erases(&mut volume);
        let mut written = 0;
        while written < 3 * block {
            volume.write(&format!("/{written}"), &vec![7; 3000.min(block as usize / 2)]).expect("fits");
            written += 3000.min(block / 2);
        }
        assert_eq!(erases(&mut volume), before, "{case}: {written} bytes written without an erase");
        assert!(volume.erase_ahead(100).is_ok_and(|erased| erased > 0), "{case}");
        check(&mut volume).expect("no faults");
        let mut flash = volume.abandon();
        let mut buffer = buffer_for(&flash);
        let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
        check(&mut volume).expect("no faults");
    }
}
