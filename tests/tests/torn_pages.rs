//! Torn pages that read well at one mount and not at another, in any order: pages that were the last ones when the power went. Whatever they
//! do, a mount shows what was committed (P1); and where none of them is in doubt, the loss of a block is never hidden by them.

use std::ops::Range;

use k7fs_core::Error;
use k7fs_core::flash::Flash;
use k7fs_sim::chip::{BlockFault, BlockFaultKind, CutKind, Fork, Operation, SimFlash};
use k7fs_sim::model::Random;
use k7fs_tests::geometry::{Case, SMALL, buffer_for};
use k7fs_tests::parallel;
use k7fs_tests::seed::{mix, replay, seed};
use k7fs_tests::sessions::{
    COMMIT, FILES, NEXT_ERASED, content, go_on, is_log, mount, pages, path, programmed, recover, shown, states,
    without, without_page,
};

/// Lives of a volume, of each kind.
const LIVES: u64 = 200;
/// Sessions of a life.
const SESSIONS: usize = 24;

/// What befalls a volume besides cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Nothing,
    /// One block fails to be programmed from some moment on.
    FailingBlock,
    /// After each session every block of the log is lost once, on a copy.
    LostBlocks,
}

/// A page that was torn, as it reads well.
struct Torn {
    page: u32,
    bytes: Vec<u8>,
}

impl Torn {
    /// Whether the page reads well; `None` where it holds something else by now.
    fn reads_well(&self, flash: &SimFlash) -> Option<bool> {
        let here = raw_page(flash, self.page);
        let noise = || raw_page(&without_page(flash, self.page), self.page);
        if here == self.bytes { Some(true) } else { (noise() == self.bytes).then_some(false) }
    }
}

fn raw_page(flash: &SimFlash, page: u32) -> Vec<u8> {
    let raw = flash.geometry().raw_page_size();
    flash.chip().to_bytes()[page as usize * raw..(page as usize + 1) * raw].to_vec()
}

/// A volume's life.
struct Life {
    random: Random,
    flash: SimFlash,
    torn: Vec<Torn>,
    /// The last write to each file that is known to be committed.
    committed: Vec<Option<u32>>,
    /// Writes that a cut may have kept from being committed, in order.
    in_flight: Vec<u32>,
    next: u32,
    /// What happened, for messages.
    log: Vec<String>,
}

impl Life {
    fn new(case: &Case, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let blocks_more = [4, 8, 24][random.below(3) as usize];
        let flash = case.formatted(blocks_more, seed);
        let committed = vec![None; FILES as usize];
        Self { random, flash, torn: Vec::new(), committed, in_flight: Vec::new(), next: 0, log: Vec::new() }
    }

    fn live(&mut self, trouble: Trouble) -> Result<(), String> {
        let fails_at = 4 + self.random.below(SESSIONS as u64 / 2) as usize;
        for session in 0..SESSIONS {
            if trouble == Trouble::FailingBlock && session == fails_at {
                self.let_a_block_fail();
            }
            self.session().map_err(|what| format!("session {session}: {what}; {:?}", self.log))?;
            self.toggle();
            if trouble == Trouble::LostBlocks && self.torn.iter().all(|torn| torn.reads_well(&self.flash) == Some(true))
            {
                self.lose_blocks().map_err(|what| format!("session {session}: {what}; {:?}", self.log))?;
            }
        }
        Ok(())
    }

    fn let_a_block_fail(&mut self) {
        let block = 4 + self.random.below(u64::from(self.flash.geometry().block_count) - 4) as u32;
        let operation = self.random.below(20);
        self.log.push(format!("block {block} fails after {operation} operations"));
        self.flash.chip_mut().faults_mut().block_fault =
            Some(BlockFault { block, operation, kind: BlockFaultKind::Program });
    }

    /// What a file may hold, newest first.
    fn may_hold(&self, file: u32) -> impl Iterator<Item = u32> {
        let in_flight = self.in_flight.iter().rev().copied().filter(move |write| write % FILES == file);
        in_flight.chain(self.committed[file as usize])
    }

    /// Mounts, looks at everything, does something, and stops or loses its power on the way.
    fn session(&mut self) -> Result<(), String> {
        let before = self.flash.clone();
        let mut flash = self.flash.clone();
        flash.chip_mut().record_forks();
        let mut buffer = buffer_for(&flash);
        let mut volume = mount(&mut flash, &mut buffer).map_err(|error| format!("mount: {error}"))?;
        let mounted = volume.flash_mut().chip().fork_count();
        let mut shown = vec![None; FILES as usize];
        let mut bytes = vec![0; 4096];
        for file in 0..FILES {
            match volume.read(&path(file), &mut bytes) {
                Ok(length) => {
                    let held = self.may_hold(file).find(|write| content(*write) == bytes[..length]);
                    shown[file as usize] = Some(held.ok_or_else(|| format!("file {file} holds something else"))?);
                }
                Err(Error::NotFound) if self.committed[file as usize].is_none() => {}
                Err(error) => return Err(format!("file {file}: {error}")),
            }
        }
        // Each write, and the operations up to its end.
        let mut writes: Vec<(u32, usize)> = Vec::new();
        for _ in 0..self.random.below(14) {
            match self.random.below(9) {
                0 => drop(volume.erase_ahead(1 + self.random.below(3) as u32).map_err(|error| error.to_string())?),
                1 => drop(volume.maintain(1 + self.random.below(60) as u32).map_err(|error| error.to_string())?),
                _ => {
                    volume.write(&path(self.next), &content(self.next)).map_err(|error| format!("write: {error}"))?;
                    writes.push((self.next, volume.flash_mut().chip().fork_count()));
                    self.next += 1;
                }
            }
        }
        if self.random.below(3) == 0 {
            volume.unmount().map_err(|error| format!("stop: {error}"))?;
        } else {
            let _ = volume.abandon();
        }
        let forks = flash.chip_mut().take_forks();
        self.log.push(format!("{} writes", writes.len()));
        let cut = if forks.is_empty() || self.random.below(4) == 0 {
            self.flash = flash;
            forks.len()
        } else {
            // A mount has few operations, which matter most.
            let within = if self.random.below(2) == 0 && mounted > 0 { mounted } else { forks.len() };
            let at = self.random.below(within as u64) as usize;
            self.cut(&before, &forks[at]);
            at
        };
        if cut >= mounted {
            (self.committed, self.in_flight) = (shown, Vec::new());
        }
        for (write, end) in writes {
            if end <= cut {
                self.committed[(write % FILES) as usize] = Some(write);
            } else if cut >= mounted {
                self.in_flight.push(write);
                break;
            }
        }
        Ok(())
    }

    /// The power goes at an operation. A page that is programmed then may be whole, and be read or not from then on.
    fn cut(&mut self, before: &SimFlash, fork: &Fork) {
        let page = programmed(fork).map(|(page, _)| page);
        let is_whole = page.is_some() && self.random.below(4) != 0;
        let rung = self.random.below(CutKind::LADDER.len() as u64) as usize;
        let kind = if is_whole { CutKind::Done } else { CutKind::LADDER[rung] };
        self.flash = before.with_chip(fork.cut(kind));
        match (&fork.operation, page) {
            (Operation::Erase { block, .. }, _) => self.log.push(format!("cut: erase of {block}, {kind:?}")),
            (_, page) => self.log.push(format!("cut: page {page:?}, {kind:?}")),
        }
        if let Some(page) = page.filter(|_| is_whole) {
            self.torn.retain(|torn| torn.page != page);
            self.torn.push(Torn { page, bytes: raw_page(&self.flash, page) });
        }
    }

    /// Every torn page that is still there may change its mind.
    fn toggle(&mut self) {
        self.torn.retain(|torn| torn.reads_well(&self.flash).is_some());
        for torn in &self.torn {
            if self.random.below(2) == 0 {
                self.flash = without_page(&self.flash, torn.page);
                self.log.push(format!("page {} {:?}", torn.page, torn.reads_well(&self.flash)));
            }
        }
    }

    /// A mount without a block of the log refuses, or shows nothing older than what was committed.
    fn lose_blocks(&self) -> Result<(), String> {
        let (geometry, image) = (self.flash.geometry(), self.flash.chip().to_bytes());
        let is_programmed = |page: &Range<usize>| image[page.clone()].iter().any(|byte| *byte != 0xFF);
        for block in (0..geometry.block_count).filter(|block| is_log(&geometry, &image, *block)) {
            let mut lost = without(&self.flash, &image, pages(&geometry, block).filter(is_programmed));
            let mut buffer = buffer_for(&lost);
            let mut volume = match mount(&mut lost, &mut buffer) {
                Ok(volume) => volume,
                Err(Error::Uncorrectable { .. }) => continue,
                Err(error) => return Err(format!("without block {block}: mount: {error}")),
            };
            let mut bytes = vec![0; 4096];
            for file in (0..FILES).filter(|file| self.committed[*file as usize].is_some()) {
                match volume.read(&path(file), &mut bytes) {
                    Ok(length) if self.may_hold(file).any(|write| content(write) == bytes[..length]) => {}
                    Err(Error::Uncorrectable { .. } | Error::Corrupt { .. }) => {}
                    other => return Err(format!("without block {block}: file {file}: {other:?}")),
                }
            }
        }
        Ok(())
    }
}

fn lives(trouble: Trouble, test: &str) {
    let numbers: Vec<u64> = (0..LIVES).collect();
    let failures: Vec<Option<String>> = parallel::run(&numbers, |number| {
        let case = [Case::named("nor-256-4k"), SMALL[1]][(number % 2) as usize];
        let result = Life::new(&case, mix(seed(), *number)).live(trouble);
        result.err().map(|what| format!("{}, life {number}: {what}", case.name))
    });
    let failures: Vec<String> = failures.into_iter().flatten().collect();
    assert!(
        failures.is_empty(),
        "{} failed, the first: {}\nreplay: {}",
        failures.len(),
        failures[0],
        replay("torn_pages", test, seed())
    );
}

#[test]
fn what_was_committed_is_shown_whatever_torn_pages_do() {
    lives(Trouble::Nothing, "what_was_committed_is_shown");
}

#[test]
fn what_was_committed_is_shown_though_a_block_fails() {
    lives(Trouble::FailingBlock, "though_a_block_fails");
}

#[test]
fn torn_pages_do_not_hide_a_lost_block() {
    lives(Trouble::LostBlocks, "torn_pages_do_not_hide");
}

/// Pages of a log block say that the next one is erased. A mount after a cut says the last commit again behind them, which takes that back, on
/// a page that is torn: the next mount reads it and erases the next block, the one after that does not read it any more.
#[test]
fn a_page_that_is_not_read_later_refuses_no_mount() {
    let mut tried = 0;
    for case in [Case::named("nor-256-4k"), SMALL[1]] {
        for (sound, last) in states(&case) {
            for fork in go_on(&mut sound.clone(), last, &mut || true) {
                let is_said = programmed(&fork).filter(|(_, kind)| kind & NEXT_ERASED != 0);
                let Some((page, _)) = is_said else { continue };
                for again in recover(&mut sound.with_chip(fork.cut(CutKind::Done))) {
                    let Some((taken_back, kind)) = programmed(&again) else { continue };
                    let pages_per_block = sound.geometry().pages_per_block;
                    if kind & NEXT_ERASED != 0 || taken_back / pages_per_block != page / pages_per_block {
                        continue;
                    }
                    for erase in recover(&mut sound.with_chip(again.cut(CutKind::Done))) {
                        let Operation::Erase { .. } = erase.operation else { continue };
                        for kind in CutKind::LADDER {
                            let cut = without_page(&sound.with_chip(erase.cut(kind)), taken_back);
                            shown(&cut, &format!("{}, page {taken_back}, {kind:?}", case.name));
                            tried += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(tried >= 20, "{tried} erases were cut");
}

/// A commit that a mount says again takes two pages. The power goes between them, and the page that was said again is not read any more.
#[test]
fn what_was_begun_to_be_said_again_refuses_no_mount() {
    let mut tried = 0;
    for case in [Case::named("nor-256-4k"), SMALL[1]] {
        for (sound, last) in states(&case) {
            for fork in go_on(&mut sound.clone(), last, &mut || false) {
                let Some((page, kind)) = programmed(&fork) else { continue };
                if kind & COMMIT == 0 {
                    continue;
                }
                for again in recover(&mut sound.with_chip(fork.cut(CutKind::Done))) {
                    let cut = without_page(&sound.with_chip(again.cut(CutKind::Before)), page);
                    shown(&cut, &format!("{}, page {page}", case.name));
                    tried += 1;
                }
            }
        }
    }
    assert!(tried >= 100, "{tried} commits were said again");
}
