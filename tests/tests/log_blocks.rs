//! What the loss of a block of the log costs, or of its first page, at every moment of a run: its header has nothing that its neighbours do
//! not tell, no mount takes a block that was lost for one that was never used, and one that may goes back to a state that was (promises P1
//! and P3).

use std::ops::Range;

use k7fs_core::flash::Flash;
use k7fs_core::{Error, MountOptions, Volume};
use k7fs_sim::chip::{BlockFault, BlockFaultKind, CutKind, Fork, Operation, SimFlash};
use k7fs_sim::model::Random;
use k7fs_tests::geometry::{Case, SMALL, buffer_for, mount_options};
use k7fs_tests::seed::seed;
use k7fs_tests::sequence::{check, look};
use k7fs_tests::sessions::{
    BLOCKS_MORE, FILES, KIND_CHECKPOINT, KIND_MASK, LOG_KINDS, NEXT_ERASED, WRITES, content, go_on, is_log, mount,
    pages, path, programmed, recover, shown, states, without, without_page,
};

#[test]
fn a_lost_header_of_a_block_of_the_log_costs_nothing() {
    for case in ["nor-128-2k", "nor-256-4k", "nor-1024-8k"].map(Case::named).into_iter().chain([SMALL[1]]) {
        let mut mounts = 0;
        for (sound, last) in states(&case) {
            let (geometry, image) = (sound.geometry(), sound.chip().to_bytes());
            let expected = shown(&sound, "undamaged");
            for block in (0..geometry.block_count).filter(|block| is_log(&geometry, &image, *block)) {
                let what = format!("{}, after write {last}, block {block}", case.name);
                let mut flash = without(&sound, &image, pages(&geometry, block).take(1));
                flash.chip_mut().record_forks();
                let mut buffer = buffer_for(&flash);
                let mut volume =
                    mount(&mut flash, &mut buffer).unwrap_or_else(|error| panic!("{what}: mount: {error}"));
                assert_eq!(look(&mut volume), Ok(expected.clone()), "{what}");
                assert_eq!(check(&mut volume), Ok(()), "{what}");
                let _ = volume.abandon();
                let forks = flash.chip_mut().take_forks();
                mounts += 1;
                // A cut somewhere in what the mount has written.
                let struck = (last + block) as usize;
                if let Some(fork) = forks.get(struck % forks.len().max(1)) {
                    let kind = CutKind::LADDER[struck % CutKind::LADDER.len()];
                    let cut = flash.with_chip(fork.cut(kind));
                    assert_eq!(shown(&cut, &format!("{what}, cut")), expected, "{what}, cut");
                }
                let mut volume = mount(&mut flash, &mut buffer).unwrap_or_else(|error| panic!("{what}: {error}"));
                for write in last + 1..last + 40 {
                    volume.write(&path(write), &content(write)).unwrap_or_else(|error| panic!("{what}: {error}"));
                }
                let _ = volume.abandon();
                let after = shown(&flash, &what);
                assert_eq!(*after.entries[&path(last + 39)].content, content(last + 39), "{what}");
            }
        }
        assert!(mounts >= 40, "{}: {mounts} headers were lost", case.name);
    }
}

/// What may have been committed in a file up to a write, newest first.
fn contents(file: u32, last: u32) -> impl Iterator<Item = Vec<u8>> {
    (0..=last).rev().filter(move |write| path(*write) == path(file)).map(content)
}

/// A mount that may go back shows an earlier state, and the volume goes on from there.
fn go_back(flash: &mut SimFlash, last: u32, what: &str) {
    let mut buffer = buffer_for(&*flash);
    let options = MountOptions { may_go_back: true, ..mount_options(&*flash) };
    let mounted = Volume::mount(&mut *flash, &mut buffer, options);
    let mut volume = mounted.unwrap_or_else(|error| panic!("{what}: going back: {error}"));
    let mut bytes = vec![0; 4096];
    for file in 0..FILES {
        match volume.read(&path(file), &mut bytes) {
            Ok(length) => {
                assert!(contents(file, last).any(|content| bytes[..length] == content), "{what}: file {file}")
            }
            Err(Error::NotFound | Error::Uncorrectable { .. }) => {}
            Err(error) => panic!("{what}: file {file}: {error}"),
        }
    }
    let mut written = Vec::new();
    for write in last + 1..last + 40 {
        match volume.write(&path(write), &content(write)) {
            Ok(()) => written.push(write),
            // A lost leaf is in the way.
            Err(Error::Uncorrectable { .. }) => {}
            Err(error) => panic!("{what}: write {write}: {error}"),
        }
    }
    let _ = volume.abandon();
    let mut volume = mount(flash, &mut buffer).unwrap_or_else(|error| panic!("{what}: after going back: {error}"));
    for file in 0..FILES {
        let Some(write) = written.iter().rev().find(|write| path(**write) == path(file)) else { continue };
        let length = volume.read(&path(file), &mut bytes);
        assert_eq!(length.map(|length| bytes[..length] == content(*write)), Ok(true), "{what}: write {write}");
    }
}

/// The chip after a power cut in what follows a session, idle time and some writes to other files, and in every step of it that opens a block
/// of the log; with the number of the session's last write.
fn cut_states(case: &Case) -> Vec<(SimFlash, u32)> {
    let (mut random, mut cuts) = (Random::new(seed()), Vec::new());
    for (sound, last) in states(case) {
        let mut flash = sound.clone();
        let forks = go_on(&mut flash, last, &mut || random.below(2) == 0);
        let pages_per_block = flash.geometry().pages_per_block;
        for fork in &forks {
            let opens = programmed(fork)
                .is_some_and(|(page, kind)| page % pages_per_block == 0 && LOG_KINDS.contains(&(kind & KIND_MASK)));
            if opens || random.below(12) == 0 {
                let kind = CutKind::LADDER[random.below(CutKind::LADDER.len() as u64) as usize];
                cuts.push((sound.with_chip(fork.cut(kind)), last));
            }
        }
    }
    cuts
}

/// All pages of a block are lost: it is refused or read without, and never is an earlier state shown for the newest. Whether it was refused.
fn lose_block(sound: &SimFlash, last: u32, block: u32, what: &str) -> bool {
    let (geometry, image) = (sound.geometry(), sound.chip().to_bytes());
    let is_programmed = |page: &Range<usize>| image[page.clone()].iter().any(|byte| *byte != 0xFF);
    let mut flash = without(sound, &image, pages(&geometry, block).filter(is_programmed));
    let before = flash.chip().to_bytes();
    let mut buffer = buffer_for(&flash);
    let mut volume = match mount(&mut flash, &mut buffer) {
        Ok(volume) => volume,
        Err(Error::Uncorrectable { .. }) => {
            assert!(flash.chip().to_bytes() == before, "{what}: a refused mount has written");
            go_back(&mut flash, last + 5, what);
            return true;
        }
        Err(error) => panic!("{what}: mount: {error}"),
    };
    let mut bytes = vec![0; 4096];
    match volume.read(&path(last), &mut bytes) {
        Ok(length) => assert!(bytes[..length] == content(last), "{what} went back"),
        Err(Error::Uncorrectable { .. }) => {}
        Err(error) => panic!("{what}: {error}"),
    }
    false
}

#[test]
fn a_lost_block_is_never_taken_for_an_unused_one() {
    let mut refused = 0;
    for case in ["nor-128-2k", "nor-256-4k", "nor-1024-8k"].map(Case::named).into_iter().chain([SMALL[1]]) {
        for (at, (sound, last)) in states(&case).into_iter().chain(cut_states(&case).into_iter().step_by(2)).enumerate()
        {
            let (geometry, image) = (sound.geometry(), sound.chip().to_bytes());
            let _ = shown(&sound, &format!("{}, state {at}, after write {last}", case.name));
            for block in (0..geometry.block_count).filter(|block| is_log(&geometry, &image, *block)) {
                let what = format!("{}, state {at}, after write {last}, block {block}", case.name);
                refused += u32::from(lose_block(&sound, last, block, &what));
            }
        }
    }
    assert!(refused >= 20, "{refused} mounts were refused");
}

/// The checkpoint that leads to another chain is on one mirror only, reads well at the next mount, and never again.
#[test]
fn what_was_committed_in_another_chain_stays_where_the_checkpoint_that_leads_there_was_torn() {
    let mut tried = 0;
    for case in [Case::named("nor-256-4k"), SMALL[1]] {
        for (sound, last) in states(&case) {
            let (geometry, image) = (sound.geometry(), sound.chip().to_bytes());
            for block in (0..geometry.block_count).filter(|block| is_log(&geometry, &image, *block)) {
                let what = format!("{}, after write {last}, block {block}", case.name);
                let mut lost = without_page(&sound, block * geometry.pages_per_block);
                lost.chip_mut().record_forks();
                let mut buffer = buffer_for(&lost);
                let _ = mount(&mut lost, &mut buffer).unwrap_or_else(|error| panic!("{what}: {error}")).abandon();
                let forks = lost.chip_mut().take_forks();
                let kinds = |fork: &Fork| programmed(fork).map(|(page, kind)| (page, kind & KIND_MASK));
                let at = forks.iter().position(|fork| kinds(fork).is_some_and(|(_, kind)| kind == KIND_CHECKPOINT));
                let begins = |fork: &Fork| {
                    kinds(fork).is_some_and(|(page, kind)| kind == LOG_KINDS[0] && page % geometry.pages_per_block == 0)
                };
                let Some(at) = at.filter(|at| forks[..*at].iter().any(begins)) else { continue };
                let mut torn = lost.with_chip(forks[at].cut(CutKind::Done));
                let mut volume = mount(&mut torn, &mut buffer).unwrap_or_else(|error| panic!("{what}: {error}"));
                for write in last + 1..last + 4 {
                    volume.write(&path(write), &content(write)).unwrap_or_else(|error| panic!("{what}: {error}"));
                }
                let _ = volume.abandon();
                let (page, _) = programmed(&forks[at]).expect("a page is programmed");
                assert_eq!(shown(&without_page(&torn, page), &what), shown(&torn, &what), "{what}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 10, "{tried} chains were begun");
}

/// A log block's last page, the only one to say that the next block is erased, is torn: one mount does not read it, the next one does.
#[test]
fn a_page_that_is_read_later_refuses_no_mount() {
    let mut tried = 0;
    for case in [Case::named("nor-256-4k"), SMALL[1]] {
        let mut flash = case.formatted(BLOCKS_MORE, seed());
        let last_of_block = flash.geometry().pages_per_block - 1;
        for first in (0..6 * WRITES).step_by(50) {
            let mut buffer = buffer_for(&flash);
            flash.chip_mut().record_forks();
            let mut volume = mount(&mut flash, &mut buffer).expect("mounts");
            for write in first..first + 50 {
                volume.write(&path(write), &content(write)).expect("fits");
            }
            let _ = volume.abandon();
            let forks = flash.chip_mut().take_forks();
            let pages: Vec<(&Fork, u32, u8)> =
                forks.iter().filter_map(|fork| programmed(fork).map(|(page, kind)| (fork, page, kind))).collect();
            for (fork, page, kind) in &pages {
                let says = |kind: u8| kind & KIND_MASK == LOG_KINDS[0] && kind & NEXT_ERASED != 0;
                let said_before = pages.iter().any(|(_, other, kind)| *other + 1 == *page && says(*kind));
                if !says(*kind) || page % (last_of_block + 1) != last_of_block || said_before {
                    continue;
                }
                let mut unread = without_page(&flash.with_chip(fork.cut(CutKind::Done)), *page);
                unread.chip_mut().record_forks();
                let _ = mount(&mut unread, &mut buffer).expect("mounts").abandon();
                let forks = unread.chip_mut().take_forks();
                for fork in forks.iter().filter(|fork| matches!(fork.operation, Operation::Erase { .. })) {
                    for kind in CutKind::LADDER {
                        let read_again = without_page(&unread.with_chip(fork.cut(kind)), *page);
                        shown(&read_again, &format!("{}, page {page}, {kind:?}", case.name));
                        tried += 1;
                    }
                }
            }
        }
    }
    assert!(tried >= 20, "{tried} erases were cut");
}

/// A block of the log fails at its second page. The power goes when the checkpoint says what has taken its place, which holds nothing but a
/// header, and again while that is erased once more.
#[test]
fn a_replacement_that_was_not_begun_refuses_no_mount() {
    let mut tried = 0;
    for case in [Case::named("nor-256-4k"), SMALL[1]] {
        let mut never = || false;
        for (sound, last) in states(&case) {
            let pages_per_block = sound.geometry().pages_per_block;
            let forks = go_on(&mut sound.clone(), last, &mut never);
            let pages: Vec<(u32, u8)> = forks.iter().map(|fork| programmed(fork).unwrap_or((0, 0))).collect();
            let begins = |(page, kind): &(u32, u8)| page % pages_per_block == 1 && kind & KIND_MASK == LOG_KINDS[0];
            let Some(at) = pages.iter().position(begins) else { continue };
            let block = pages[at].0 / pages_per_block;
            let mut failing = sound.clone();
            failing.chip_mut().faults_mut().block_fault =
                Some(BlockFault { block, operation: at as u64, kind: BlockFaultKind::Program });
            let forks = go_on(&mut failing, last, &mut never);
            let is_checkpoint =
                |fork: &Fork| programmed(fork).is_some_and(|(_, kind)| kind & KIND_MASK == KIND_CHECKPOINT);
            let replaced = forks[at..].windows(2).find(|pair| is_checkpoint(&pair[0]) && !is_checkpoint(&pair[1]));
            let Some([_, then]) = replaced else { panic!("{}, after write {last}: no replacement", case.name) };
            let mut cut = sound.with_chip(then.cut(CutKind::Before));
            for fork in go_on(&mut cut, last, &mut never) {
                if matches!(fork.operation, Operation::Erase { .. }) {
                    for kind in CutKind::LADDER {
                        shown(&sound.with_chip(fork.cut(kind)), &format!("{}, after {last}, {kind:?}", case.name));
                        tried += 1;
                    }
                }
            }
        }
    }
    assert!(tried >= 20, "{tried} erases were cut");
}

/// A header is lost, and a block fails while a mount begins another chain because of that.
#[test]
fn a_block_that_fails_while_a_chain_begins_costs_nothing() {
    let mut tried = 0;
    for case in [Case::named("nor-256-4k"), SMALL[1]] {
        for (sound, last) in states(&case) {
            let (geometry, image) = (sound.geometry(), sound.chip().to_bytes());
            let expected = shown(&sound, "undamaged");
            for block in (0..geometry.block_count).filter(|block| is_log(&geometry, &image, *block)) {
                let lost = without(&sound, &image, pages(&geometry, block).take(1));
                for (at, fork) in recover(&mut lost.clone()).iter().enumerate() {
                    let Some((page, kind)) = programmed(fork) else { continue };
                    if kind & KIND_MASK != LOG_KINDS[0] {
                        continue;
                    }
                    let mut failing = lost.clone();
                    let block = page / geometry.pages_per_block;
                    failing.chip_mut().faults_mut().block_fault =
                        Some(BlockFault { block, operation: at as u64, kind: BlockFaultKind::Program });
                    let what = format!("{}, after write {last}, page {page} fails", case.name);
                    let _ = recover(&mut failing);
                    assert_eq!(shown(&failing, &what), expected, "{what}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried >= 100, "{tried} pages failed");
}
