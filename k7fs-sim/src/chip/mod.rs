//! Simulated flash chips.
//!
//! ```text
//! SimFlash      k7fs_core::flash::Flash for any part, through the real Nor and Nand wrappers
//! SimNor SimNand    the driver traits: embedded_storage's NorFlash, k7fs_core's NandFlash
//! Chip          one chip: rules, faults, power, time, counters
//! cells         bytes and weak bits, copy on write
//! ChipSpec      shape, rules, timing and life of a part, by its real name
//! ```
//!
//! A chip is content (bytes and a sparse overlay of weak bits, which read flipped from time to time), a [`FaultPlan`]
//! and [`Counters`]. It is a value: a clone is an independent chip in the same state, and costs about one pointer per
//! erase unit. Nothing depends on a clock, on the order of a hash map or on the platform: the same seed and the same
//! calls give the same trace everywhere.
//!
//! ```
//! use k7fs_core::flash::Flash;
//! use k7fs_sim::chip::{Chip, ChipSpec, Cut, CutKind, SimFlash};
//!
//! let spec = ChipSpec::named("W25Q80BL").ok_or("no such chip")?;
//! let mut flash = SimFlash::new(Chip::new(spec, 1));
//! flash.chip_mut().faults_mut().cut = Some(Cut { operation: 1, kind: CutKind::HALF });
//! assert!(flash.program(0, &[0x5A; 256]).is_ok());
//! assert!(flash.program(1, &[0x5A; 256]).is_err(), "the power went");
//! flash.chip_mut().power_on();
//! assert_eq!(flash.chip().counters().torn_programs, 1);
//! # Ok::<(), &str>(())
//! ```

mod ageing;
mod cells;
mod counters;
mod fading;
mod faults;
mod flash;
mod fork;
mod image;
mod nand;
mod nor;
mod operate;
mod presets;
mod read;
mod rng;
mod spec;
mod tear;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use embedded_storage::nor_flash::{NorFlashError, NorFlashErrorKind};
use k7fs_core::flash::nand::{NandError, NandErrorKind};

pub use ageing::{Ageing, SPREAD};
use cells::Cells;
pub use counters::Counters;
pub use fading::Fading;
pub use faults::{BlockFault, BlockFaultKind, Cut, CutKind, FaultPlan, StuckBit, TornOrder};
pub use flash::SimFlash;
pub use fork::{Fork, Operation};
pub use image::ImageError;
pub use nand::SimNand;
pub use nor::{SimMultiwriteNor, SimNor};
use rng::{Draw, Purpose, scramble};
pub use spec::{ChipKind, ChipSpec, LargeErase, NandSpec, NorSpec, Sources};
pub use timing::{NandTiming, NorTiming};

/// How many bits of a bad-block mark must be 0 for the rules to count it; drivers decide at half of them.
const MARK_ZEROS_MIN: u32 = 6;

/// One simulated chip.
#[derive(Clone, Debug)]
pub struct Chip {
    spec: Arc<ChipSpec>,
    seed: u64,
    cells: Cells,
    /// Erases begun per block; part of the key of every random draw.
    generations: Vec<u32>,
    /// Reads per block; likewise.
    reads: Vec<u32>,
    /// How often each page was read since its block was erased; none are kept before content fades.
    reads_since_erase: Vec<u32>,
    /// Years that have passed, and of each page those that had passed when it was programmed; none are kept before the first pass.
    years: f64,
    programmed_at: Vec<f32>,
    faults: FaultPlan,
    counters: Counters,
    /// The NAND page in the chip's register.
    register: Option<Register>,
    /// Blocks that went bad in use.
    grown_bad: BTreeSet<u32>,
    /// Blocks whose failed program was reported since the power came.
    failed: BTreeSet<u32>,
    /// Whether bytes may be programmed more than once.
    multiwrite: bool,
    off: bool,
    forks: Option<Vec<Fork>>,
}

/// What the register of a NAND chip holds: a page, as it was read.
#[derive(Clone, Debug)]
struct Register {
    page: u32,
    /// Where the last read of it ended.
    end: u32,
    /// Bits that the load got wrong, ascending.
    flipped: Vec<u32>,
}

impl Chip {
    /// A chip as it leaves the factory. A NAND part has bad blocks, chosen by the seed: at most half of those that the
    /// maker allows, so that the rest may go bad in use.
    pub fn new(spec: &ChipSpec, seed: u64) -> Self {
        let bound = u64::from(spec.bad_blocks_max() / 2) + 1;
        let count = Draw::new(seed, Purpose::FactoryBad, &[0]).below(bound) as u32;
        Self::with_factory_bad(spec, seed, count)
    }

    /// A chip with exactly `count` factory-bad blocks, chosen by the seed among those that the maker does not guarantee
    /// good (all of those, where `count` is larger). NOR parts have none.
    pub fn with_factory_bad(spec: &ChipSpec, seed: u64, count: u32) -> Self {
        let mut chip = Self::blank(spec, seed);
        if let ChipKind::Nand(nand) = &spec.kind {
            let mut candidates: Vec<u32> = (nand.good_blocks..nand.geometry.block_count).collect();
            let mut draw = Draw::new(seed, Purpose::FactoryBad, &[1]);
            for _ in 0..count.min(candidates.len() as u32) {
                let block = candidates.swap_remove(draw.below(candidates.len() as u64) as usize);
                chip.write_mark(block);
            }
        }
        chip
    }

    /// A chip without any bad block.
    fn blank(spec: &ChipSpec, seed: u64) -> Self {
        let blocks = spec.block_count();
        Self {
            spec: Arc::new(spec.clone()),
            seed,
            cells: Cells::new(blocks, spec.pages_per_block(), spec.page_bytes()),
            generations: vec![0; blocks as usize],
            reads: vec![0; blocks as usize],
            reads_since_erase: Vec::new(),
            years: 0.0,
            programmed_at: Vec::new(),
            faults: FaultPlan::default(),
            counters: Counters::new(blocks),
            register: None,
            grown_bad: BTreeSet::new(),
            failed: BTreeSet::new(),
            multiwrite: false,
            off: false,
            forks: None,
        }
    }

    /// What the chip is.
    pub fn spec(&self) -> &ChipSpec {
        &self.spec
    }

    /// The seed of all its faults.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Changes the seed of all faults to come, so that forks of one chip may meet different ones.
    pub const fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Lets years pass.
    pub fn wait(&mut self, years: f64) {
        self.programmed_at.resize((self.spec.block_count() * self.spec.pages_per_block()) as usize, 0.0);
        self.years += years;
        self.register = None;
    }

    /// Every block has been erased so often by now; its content is not touched.
    pub fn wear(&mut self, erases: u32) {
        self.generations.fill(erases);
    }

    /// The faults to come.
    pub const fn faults(&self) -> &FaultPlan {
        &self.faults
    }

    /// The faults to come, to change them.
    pub const fn faults_mut(&mut self) -> &mut FaultPlan {
        &mut self.faults
    }

    /// What happened so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counts from zero again. Faults to come do not change.
    pub fn reset_counters(&mut self) {
        self.counters = Counters::new(self.spec.block_count());
    }

    /// Hash of the content and the weak bits, and of nothing else. Free: it is kept up to date by every change.
    pub const fn state_hash(&self) -> u64 {
        self.cells.hash()
    }

    /// Hash of all that decides how the chip behaves from here, faults to come and randomness left out: what
    /// [`state_hash`](Self::state_hash) covers, and what no read shows, such as a block that reads erased but whose
    /// erase was interrupted. A campaign that skips what it has already seen must compare this one.
    pub fn condition_hash(&self) -> u64 {
        let blocks = (0..self.spec.block_count()).filter_map(|block| Some((block, self.cells.block(block)?)));
        let hidden = blocks.fold(self.cells.hash(), |hash, (block, cells)| hash ^ cells.hidden_share(block));
        self.grown_bad.iter().fold(hidden, |hash, block| scramble(hash ^ u64::from(*block)))
    }

    /// Whether a cut took the power away. Every operation then fails until [`power_on`](Self::power_on).
    pub const fn is_off(&self) -> bool {
        self.off
    }

    /// Takes the power away between two operations.
    pub fn power_off(&mut self) {
        self.off = true;
        self.register = None;
    }

    /// Gives the power back. The content stays as it is; a NAND chip's register is empty.
    pub fn power_on(&mut self) {
        self.off = false;
        self.register = None;
        self.failed.clear();
    }

    /// Lets a block go bad now: every later program and erase of it fails; what it holds stays readable.
    pub fn grow_bad(&mut self, block: u32) {
        if block < self.spec.block_count() && self.grown_bad.insert(block) {
            self.counters.grown_bad_blocks += 1;
        }
    }

    /// What a block holds is lost now: every programmed page turns into noise until the block is erased. Factory marks stay, and what is
    /// erased can be programmed as before.
    pub fn spoil(&mut self, block: u32) {
        let pages_per_block = self.spec.pages_per_block();
        let mark = match &self.spec.kind {
            ChipKind::Nor(_) => 0..0,
            ChipKind::Nand(nand) => nand.geometry.page_size as usize..nand.geometry.page_size as usize + 2,
        };
        let pages = block.saturating_mul(pages_per_block)..block.saturating_add(1).saturating_mul(pages_per_block);
        for page in pages {
            if self.cells.page(page).is_none_or(cells::Page::is_pristine) {
                continue;
            }
            let place = [u64::from(page), u64::from(self.generations[block as usize])];
            let mut draw = Draw::new(self.seed, Purpose::Spoilt, &place);
            self.cells.edit(page, |cells| {
                let kept = cells.data[mark.clone()].to_vec();
                draw.fill(&mut cells.data, 128);
                cells.data[mark.clone()].copy_from_slice(&kept);
            });
        }
        self.register = None;
    }

    /// Blocks that went bad in use, marked or not, ascending.
    pub fn grown_bad_blocks(&self) -> impl Iterator<Item = u32> + '_ {
        self.grown_bad.iter().copied()
    }

    /// Whether a NAND block carries a bad-block mark: the first spare byte of its first page is 0x00, or nearly.
    ///
    /// Looks at the cells, so that no read fault hides or feigns a mark. A mark of which an interruption left only a
    /// few bits is none: a driver could not be sure of it either.
    pub fn is_marked(&self, block: u32) -> bool {
        let ChipKind::Nand(nand) = &self.spec.kind else { return false };
        let first_page = block.saturating_mul(nand.geometry.pages_per_block);
        self.cells
            .page(first_page)
            .is_some_and(|page| page.data[nand.geometry.page_size as usize].count_zeros() >= MARK_ZEROS_MIN)
    }

    /// As [`Self::is_marked`], and no driver can doubt it: of a mark that an interruption has left some bits may read either way.
    fn is_surely_marked(&self, block: u32) -> bool {
        let first_page = block.saturating_mul(self.spec.pages_per_block());
        self.is_marked(block) && self.cells.page(first_page).is_some_and(|page| !page.torn)
    }

    /// Blocks that carry a bad-block mark, ascending.
    pub fn marked_blocks(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.spec.block_count()).filter(|block| self.is_marked(*block))
    }

    /// Whether bytes may be programmed more than once, clearing further bits. Off by default.
    pub const fn allow_multiwrite(&mut self, allowed: bool) {
        self.multiwrite = allowed;
    }

    fn write_mark(&mut self, block: u32) {
        if let ChipKind::Nand(nand) = &self.spec.kind {
            let geometry = nand.geometry;
            self.cells.edit(block * geometry.pages_per_block, |page| page.data[geometry.page_size as usize] = 0);
        }
    }

    fn block_of(&self, page: u32) -> u32 {
        page / self.spec.pages_per_block()
    }
}

/// Why a simulated chip refused or failed an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChipError {
    /// The power is away.
    Off,
    /// An address or length is not a multiple of its unit.
    NotAligned,
    /// An address lies beyond the chip.
    OutOfBounds,
    /// The chip reported a failed program.
    ProgramFailed,
    /// The chip reported a failed erase.
    EraseFailed,
    /// On-chip error correction gave up.
    Uncorrectable,
    /// The part is not of the kind or does not have the units that the driver was made for.
    WrongPart,
}

impl fmt::Display for ChipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "the power is away",
            Self::NotAligned => "address or length is not a multiple of its unit",
            Self::OutOfBounds => "address is beyond the chip",
            Self::ProgramFailed => "the chip reported a failed program",
            Self::EraseFailed => "the chip reported a failed erase",
            Self::Uncorrectable => "on-chip error correction gave up",
            Self::WrongPart => "the driver is not for this part",
        })
    }
}

impl std::error::Error for ChipError {}

impl NorFlashError for ChipError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            _ => NorFlashErrorKind::Other,
        }
    }
}

impl NandError for ChipError {
    fn kind(&self) -> NandErrorKind {
        match self {
            Self::NotAligned => NandErrorKind::NotAligned,
            Self::OutOfBounds => NandErrorKind::OutOfBounds,
            Self::ProgramFailed => NandErrorKind::ProgramFailed,
            Self::EraseFailed => NandErrorKind::EraseFailed,
            Self::Uncorrectable => NandErrorKind::Uncorrectable,
            Self::Off | Self::WrongPart => NandErrorKind::Other,
        }
    }
}
