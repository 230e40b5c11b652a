//! What an operation leaves behind that did not end well.

use std::ops::Range;
use std::sync::Arc;

use super::cells::{Page, WeakBit};
use super::operate::mark_written;
use super::rng::{Draw, Purpose, Selected};
use super::{Chip, CutKind, TornOrder};

/// Bytes of the first unit of a NAND program: a sector, as partial programs and error correction count them.
const NAND_FIRST_UNIT: usize = 512;
/// The first part of a NOR erase, in 256ths, programs all bits to 0.
const NOR_ERASE_PREPROGRAM: u32 = 64;
/// Share of the bits, in 256ths, that an unnoticed NOR erase failure gets erased.
const FAILED_NOR_ERASE: u32 = 224;
/// Share of the bits that are 0, in 256ths, that an erase gets erased which leaves some as they were.
const INCOMPLETE_ERASE: u32 = 224;

impl Chip {
    /// Takes the power away; `torn` counts the operation that was interrupted half way.
    pub(super) fn lose_power(&mut self, torn: bool, count: impl FnOnce(&mut super::Counters)) {
        self.counters.cuts += 1;
        if torn {
            count(&mut self.counters);
        }
        self.power_off();
    }

    /// Cuts a program.
    pub(super) fn tear_program(&mut self, page: u32, column: u32, bytes: &[u8], kind: CutKind) {
        match kind {
            CutKind::Before => {}
            CutKind::Done => self.program_fully(page, column, bytes),
            _ => self.program_partly(page, column, bytes, kind, true),
        }
        self.lose_power(is_torn(kind), |counters| counters.torn_programs += 1);
    }

    /// Does the part of a program that `kind` says. `unstable` lets the kinds that leave weak bits do so.
    pub(super) fn program_partly(&mut self, page: u32, column: u32, bytes: &[u8], kind: CutKind, unstable: bool) {
        let block = self.block_of(page);
        let generation = u64::from(self.generations[block as usize]);
        let programs = u64::from(self.cells.page(page).map_or(0, |cells| cells.programs));
        let place = [u64::from(page), u64::from(column), generation, programs];
        let mut draw = Draw::new(self.seed, Purpose::TornProgram, &place);
        let unit = self.write_unit();
        let first_unit = if unit == 0 { NAND_FIRST_UNIT } else { unit as usize };
        let start = column as usize;

        let erased = vec![0xFF; bytes.len()];
        let old = self.cells.page(page).map_or(&erased[..], |cells| &cells.data[start..start + bytes.len()]).to_vec();
        let in_transition: Vec<u8> = old.iter().zip(bytes).map(|(old, new)| old & !new).collect();
        let mut cleared = in_transition.clone();
        keep_done(&mut cleared, kind, first_unit, &mut draw);
        let weak = if unstable && leaves_weak_bits(kind) {
            let draw = Draw::new(self.seed, Purpose::UnstableBits, &place);
            self.weak_among(draw, column * 8, &in_transition)
        } else {
            Vec::new()
        };
        self.counters.unstable_bits += weak.len() as u64;

        // One pulse programs a whole page of SPI NOR; words of internal flash are programmed one after the other, and
        // those after the interrupted one were never touched.
        let reached = if unit <= 1 { bytes.len() } else { last_change(&cleared, &weak, column) };
        let ecc = self.has_on_chip_ecc();
        self.cells.edit(page, |cells| {
            for (cell, cleared) in cells.data[start..].iter_mut().zip(&cleared) {
                *cell &= !cleared;
            }
            cells.weaken(weak);
            if ecc {
                cells.spoil(unit, column, bytes.len(), |cells, at| {
                    let range = at.start - start..at.end - start;
                    let whole = cleared[range.clone()] == in_transition[range.clone()];
                    let untouched = cleared[range].iter().all(|byte| *byte == 0);
                    (whole || untouched) && !cells.has_weak(&at)
                });
            }
            mark_written(cells, column, reached, unit);
            cells.programs += 1;
            cells.torn = true;
        });
        self.raise_highest(page);
    }

    /// Cuts an erase.
    pub(super) fn tear_erase(&mut self, blocks: Range<u32>, kind: CutKind) {
        if kind != CutKind::Before {
            self.erase_partly(blocks, kind);
        }
        self.lose_power(is_torn(kind), |counters| counters.torn_erases += 1);
    }

    fn erase_partly(&mut self, blocks: Range<u32>, kind: CutKind) {
        let nor = !self.spec.is_nand();
        let page_bytes = self.spec.page_bytes() as usize;
        let pages_per_block = self.spec.pages_per_block();
        let first_page = blocks.start * pages_per_block;
        let page_count = (blocks.end - blocks.start) * pages_per_block;
        let generation = u64::from(self.generations[blocks.start as usize]);
        let place = [u64::from(blocks.start), generation];
        let mut draw = Draw::new(self.seed, Purpose::TornErase, &place);
        let odd_bit = self.choose_bit(first_page, page_count, kind, &mut draw);

        for block in blocks {
            let old = self.cells.block(block).map_or_else(Vec::new, |block| block.pages.clone());
            self.cells.clear(block);
            self.cells.block_mut(block).weak_erase = true;
            for in_block in 0..pages_per_block {
                let page = block * pages_per_block + in_block;
                let index = page - first_page;
                let before = old.get(in_block as usize).and_then(Option::as_ref);
                let mut data = before.map_or_else(|| vec![0xFF; page_bytes], |page| page.data.clone());
                // A NOR erase moves every bit, a NAND erase only those that are 0.
                let in_transition: Vec<u8> = data.iter().map(|byte| if nor { 0xFF } else { !byte }).collect();
                match kind {
                    CutKind::FirstUnit if index == 0 => data.fill(if nor { 0 } else { 0xFF }),
                    CutKind::Torn { fraction, order } => {
                        let span = Span { first: index as usize * page_bytes, total: page_count as usize * page_bytes };
                        erase_phase(&mut data, nor, u32::from(fraction), order, span, &mut draw);
                    }
                    CutKind::AllButOneBit | CutKind::DoneUnstable | CutKind::Done => data.fill(0xFF),
                    CutKind::Before | CutKind::FirstUnit | CutKind::OneBit => {}
                }
                if let Some((_, bit)) = odd_bit.filter(|(odd_page, _)| *odd_page == page) {
                    data[(bit / 8) as usize] ^= 1 << (bit % 8);
                }
                let weak = if leaves_weak_bits(kind) {
                    let place = [u64::from(page), generation];
                    self.weak_among(Draw::new(self.seed, Purpose::UnstableBits, &place), 0, &in_transition)
                } else {
                    Vec::new()
                };
                self.counters.unstable_bits += weak.len() as u64;
                self.put_page(page, data, weak, before);
            }
        }
    }

    /// Stores what an interrupted erase left of a page.
    fn put_page(&mut self, page: u32, data: Vec<u8>, weak: Vec<WeakBit>, before: Option<&Arc<Page>>) {
        if before.is_none() && weak.is_empty() && super::cells::is_erased(&data) {
            return;
        }
        let (ecc, unit) = (self.has_on_chip_ecc(), self.write_unit());
        self.cells.edit(page, |cells| {
            cells.data = data;
            cells.weak = weak;
            if ecc {
                // Check bits stay right where nothing moved, and are erased with the data.
                cells.spoil(unit, 0, cells.data.len(), |cells, at| {
                    let same = before.is_some_and(|page| page.data[at.clone()] == cells.data[at.clone()]);
                    (same || super::cells::is_erased(&cells.data[at.clone()])) && !cells.has_weak(&at)
                });
            }
        });
        self.cells.drop_pristine(page);
    }

    /// The bit that alone is, or alone is not, in its final state.
    fn choose_bit(&self, first_page: u32, page_count: u32, kind: CutKind, draw: &mut Draw) -> Option<(u32, u32)> {
        let nor = !self.spec.is_nand();
        if !matches!(kind, CutKind::OneBit | CutKind::AllButOneBit) {
            return None;
        }
        let bits = u64::from(self.spec.page_bytes()) * 8;
        // On NAND only a bit that is 0 can be it; a bounded search finds one in any block that holds something.
        for _ in 0..256 {
            let at = draw.below(bits * u64::from(page_count));
            let (page, bit) = (first_page + (at / bits) as u32, (at % bits) as u32);
            let zero = self.cells.page(page).is_some_and(|cells| cells.data[(bit / 8) as usize] >> (bit % 8) & 1 == 0);
            if zero || nor {
                return Some((page, bit));
            }
        }
        None
    }

    /// Erases NOR blocks so that some bits stay 0.
    pub(super) fn erase_badly(&mut self, blocks: Range<u32>) {
        let page_bytes = self.spec.page_bytes() as usize;
        let pages_per_block = self.spec.pages_per_block();
        for block in blocks {
            let place = [u64::from(block), u64::from(self.generations[block as usize])];
            let mut draw = Draw::new(self.seed, Purpose::Content, &place);
            self.cells.clear(block);
            for page in block * pages_per_block..(block + 1) * pages_per_block {
                let mut data = vec![0; page_bytes];
                draw.fill(&mut data, FAILED_NOR_ERASE);
                self.put_page(page, data, Vec::new(), None);
            }
        }
    }

    /// Erases blocks so that some bits that were 0 stay so.
    pub(super) fn erase_incompletely(&mut self, blocks: Range<u32>) {
        let pages_per_block = self.spec.pages_per_block();
        for block in blocks {
            let old = self.cells.block(block).map_or_else(Vec::new, |block| block.pages.clone());
            self.cells.clear(block);
            self.failed.remove(&block);
            for (page, before) in (block * pages_per_block..).zip(old) {
                let Some(before) = before else { continue };
                let place = [u64::from(page), u64::from(self.generations[block as usize])];
                let mut erased = vec![0; before.data.len()];
                Draw::new(self.seed, Purpose::Unerased, &place).fill(&mut erased, INCOMPLETE_ERASE);
                let data = before.data.iter().zip(&erased).map(|(old, erased)| old | erased).collect();
                self.put_page(page, data, Vec::new(), None);
            }
        }
    }

    /// Weak bits among those set in `mask`, which lies at `first_bit` of its page.
    fn weak_among(&self, mut draw: Draw, first_bit: u32, mask: &[u8]) -> Vec<WeakBit> {
        let threshold = threshold_of(self.faults.unstable_probability);
        if threshold == 0 {
            return Vec::new();
        }
        let of_256 = self.faults.unstable_density * 256.0;
        if of_256 <= 0.0 || of_256 > 256.0 || of_256 % 1.0 != 0.0 {
            let within = |bit: &u64| mask[(bit / 8) as usize] >> (bit % 8) & 1 == 1;
            let chosen = Selected::new(draw, self.faults.unstable_density, mask.len() as u64 * 8).filter(within);
            return chosen.map(|bit| WeakBit { bit: first_bit + bit as u32, threshold }).collect();
        }
        // A multiple of 1/256, as the default is: whole words of bits at once.
        let mut weak = Vec::new();
        for (index, chunk) in mask.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let mut chosen = u64::from_le_bytes(word) & draw.bits(of_256 as u32);
            while chosen != 0 {
                weak.push(WeakBit { bit: first_bit + index as u32 * 64 + chosen.trailing_zeros(), threshold });
                chosen &= chosen - 1;
            }
        }
        weak
    }

    /// The bits that stay 1 but weak when a program follows an interrupted erase.
    pub(super) fn weak_after_weak_erase(&self, page: u32, column: u32, bytes: &[u8]) -> Vec<WeakBit> {
        let block = self.block_of(page) as usize;
        let place = [u64::from(page), u64::from(column), u64::from(self.generations[block])];
        let start = column as usize;
        let ones: Vec<u8> = match self.cells.page(page) {
            Some(cells) => cells.data[start..].iter().zip(bytes).map(|(old, new)| old & new).collect(),
            None => bytes.to_vec(),
        };
        self.weak_among(Draw::new(self.seed, Purpose::WeakErase, &place), column * 8, &ones)
    }
}

/// Whether the kind interrupts an operation half way.
const fn is_torn(kind: CutKind) -> bool {
    !matches!(kind, CutKind::Before | CutKind::Done)
}

const fn leaves_weak_bits(kind: CutKind) -> bool {
    matches!(kind, CutKind::Torn { .. } | CutKind::DoneUnstable)
}

/// A probability in 2^-32.
fn threshold_of(probability: f64) -> u32 {
    // Saturates at both ends.
    (probability * 4_294_967_296.0) as u32
}

/// Which bytes of an operation a slice is.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    total: usize,
}

/// The bits of a slice of an operation that are done, where `of_256` of the whole operation is.
fn done_bits(length: usize, order: TornOrder, of_256: u32, span: Span, draw: &mut Draw) -> Vec<u8> {
    let within = |position: usize| position as u64 * 256 < u64::from(of_256) * span.total as u64;
    let whole = |done: bool| if done { 0xFF } else { 0 };
    match order {
        TornOrder::Ascending => (0..length).map(|index| whole(within(span.first + index))).collect(),
        TornOrder::Descending => (0..length).map(|index| whole(within(span.total - 1 - span.first - index))).collect(),
        TornOrder::Scattered => {
            let mut done = vec![0; length];
            draw.fill(&mut done, of_256);
            done
        }
    }
}

/// Keeps of the bits that a program clears those that are cleared when it is cut.
fn keep_done(cleared: &mut [u8], kind: CutKind, first_unit: usize, draw: &mut Draw) {
    let total = cleared.len();
    match kind {
        CutKind::Before => cleared.fill(0),
        CutKind::FirstUnit => cleared[first_unit.min(total)..].fill(0),
        CutKind::OneBit | CutKind::AllButOneBit => {
            let bits: u64 = cleared.iter().map(|byte| u64::from(byte.count_ones())).sum();
            let chosen = nth_set_bit(cleared, draw.below(bits));
            if kind == CutKind::OneBit {
                cleared.fill(0);
            }
            if let Some((byte, bit)) = chosen {
                cleared[byte] ^= bit;
            }
        }
        CutKind::Torn { fraction, order } => {
            let done = done_bits(total, order, u32::from(fraction), Span { first: 0, total }, draw);
            for (byte, done) in cleared.iter_mut().zip(done) {
                *byte &= done;
            }
        }
        CutKind::DoneUnstable | CutKind::Done => {}
    }
}

/// The set bit number `n`, as its byte and a mask.
fn nth_set_bit(bytes: &[u8], n: u64) -> Option<(usize, u8)> {
    let mut left = n;
    for (index, byte) in bytes.iter().enumerate() {
        let here = u64::from(byte.count_ones());
        if left < here {
            return (0..8).map(|bit| 1 << bit).filter(|mask| byte & mask != 0).nth(left as usize).map(|m| (index, m));
        }
        left -= here;
    }
    None
}

/// How many bytes from the first on an interrupted program may have touched.
fn last_change(cleared: &[u8], weak: &[WeakBit], column: u32) -> usize {
    let cleared_end = cleared.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let weak_end = weak.last().map_or(0, |weak| (weak.bit / 8 - column) as usize + 1);
    cleared_end.max(weak_end)
}

/// Brings a page to the state at `of_256` of an erase.
fn erase_phase(data: &mut [u8], nor: bool, of_256: u32, order: TornOrder, span: Span, draw: &mut Draw) {
    let preprogram = nor && of_256 < NOR_ERASE_PREPROGRAM;
    let share = if preprogram {
        of_256 * 256 / NOR_ERASE_PREPROGRAM
    } else if nor {
        (of_256 - NOR_ERASE_PREPROGRAM) * 256 / (256 - NOR_ERASE_PREPROGRAM)
    } else {
        of_256
    };
    let done = done_bits(data.len(), order, share, span, draw);
    for (byte, done) in data.iter_mut().zip(done) {
        *byte = match (preprogram, nor) {
            (true, _) => *byte & !done,
            (false, true) => done,
            (false, false) => *byte | done,
        };
    }
}
