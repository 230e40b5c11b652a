//! Programming and erasing: rules, time, and whether the operation is done, fails or is cut.

use std::ops::Range;

use super::cells::{Page, is_erased};
use super::rng::{Draw, Purpose};
use super::{BlockFault, BlockFaultKind, Chip, ChipError, ChipKind, CutKind, Operation, TornOrder};

/// How an operation ends.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    Failed,
    /// Failed, and nobody is told.
    Unnoticed,
    Cut(CutKind),
}

/// Share of the bits, in 256ths, that a failed NAND program gets done.
const FAILED_NAND_PROGRAM: u8 = 128;
/// The same for NOR, which does not report it.
const FAILED_NOR_PROGRAM: u8 = 192;

impl Chip {
    /// Programs bytes of a NOR chip: one operation per program page touched.
    ///
    /// # Errors
    /// `Off`; `NotAligned` and `OutOfBounds` (violations); `WrongPart` on NAND.
    pub fn program_nor(&mut self, address: u32, bytes: &[u8]) -> Result<(), ChipError> {
        let ChipKind::Nor(nor) = &self.spec.kind else { return Err(ChipError::WrongPart) };
        let (size, unit, page_bytes) = (nor.size, nor.write_size, nor.program_size);
        self.check_power()?;
        let length = bytes.len();
        if !address.is_multiple_of(unit) || !length.is_multiple_of(unit as usize) {
            self.counters.violation(|| format!("program of {length} bytes at {address:#x} is not in units of {unit}"));
            return Err(ChipError::NotAligned);
        }
        if u64::from(address) + length as u64 > u64::from(size) {
            self.counters.violation(|| format!("program of {length} bytes at {address:#x} past the end"));
            return Err(ChipError::OutOfBounds);
        }
        let mut at = address;
        let mut rest = bytes;
        while !rest.is_empty() {
            let column = at % page_bytes;
            let (part, tail) = rest.split_at(rest.len().min((page_bytes - column) as usize));
            self.program(at / page_bytes, column, part)?;
            at += part.len() as u32;
            rest = tail;
        }
        Ok(())
    }

    /// Programs a page of a NAND chip.
    ///
    /// # Errors
    /// `Off`; `ProgramFailed` from the chip; `NotAligned` and `OutOfBounds` (violations); `WrongPart` on NOR.
    pub fn program_nand(&mut self, page: u32, data: &[u8], spare: &[u8]) -> Result<(), ChipError> {
        let ChipKind::Nand(nand) = &self.spec.kind else { return Err(ChipError::WrongPart) };
        let geometry = nand.geometry;
        self.check_power()?;
        if data.len() != geometry.page_size as usize || spare.len() != geometry.spare_size as usize {
            self.counters.violation(|| format!("program of {}+{} bytes is not a page", data.len(), spare.len()));
            return Err(ChipError::NotAligned);
        }
        if page >= geometry.pages_per_block.saturating_mul(geometry.block_count) {
            self.counters.violation(|| format!("program of page {page} past the end"));
            return Err(ChipError::OutOfBounds);
        }
        let mut raw = Vec::with_capacity(data.len() + spare.len());
        raw.extend_from_slice(data);
        raw.extend_from_slice(spare);
        self.program(page, 0, &raw)
    }

    /// Erases a range of a NOR chip by the largest aligned erases of the part, each one operation.
    ///
    /// # Errors
    /// `Off`; `NotAligned` and `OutOfBounds` (violations); `WrongPart` on NAND.
    pub fn erase_nor(&mut self, from: u32, to: u32) -> Result<(), ChipError> {
        let ChipKind::Nor(nor) = &self.spec.kind else { return Err(ChipError::WrongPart) };
        let (size, unit, large) = (nor.size, nor.erase_size, nor.large_erases);
        self.check_power()?;
        if !from.is_multiple_of(unit) || !to.is_multiple_of(unit) {
            self.counters.violation(|| format!("erase of {from:#x}..{to:#x} is not in units of {unit}"));
            return Err(ChipError::NotAligned);
        }
        if from > to || to > size {
            self.counters.violation(|| format!("erase of {from:#x}..{to:#x} past the end"));
            return Err(ChipError::OutOfBounds);
        }
        let mut at = from;
        while at < to {
            let fits = |length: u32| at.is_multiple_of(length) && length <= to - at;
            let length = large.iter().map(|e| e.size).filter(|s| fits(*s)).max().unwrap_or(unit);
            self.erase(at / unit, length / unit)?;
            at += length;
        }
        Ok(())
    }

    /// Erases a block of a NAND chip.
    ///
    /// # Errors
    /// `Off`; `EraseFailed` from the chip; `OutOfBounds` (a violation); `WrongPart` on NOR.
    pub fn erase_nand(&mut self, block: u32) -> Result<(), ChipError> {
        if !self.spec.is_nand() {
            return Err(ChipError::WrongPart);
        }
        self.check_power()?;
        if block >= self.spec.block_count() {
            self.counters.violation(|| format!("erase of block {block} past the end"));
            return Err(ChipError::OutOfBounds);
        }
        self.erase(block, 1)
    }

    /// Writes a bad-block mark. Allowed at any time, and it takes on a block that no longer programs. Nothing on NOR.
    ///
    /// # Errors
    /// `Off`; `OutOfBounds` (a violation).
    pub fn mark(&mut self, block: u32) -> Result<(), ChipError> {
        let ChipKind::Nand(nand) = &self.spec.kind else { return Ok(()) };
        let (column, time) = (nand.geometry.page_size, nand.timing.program_ns + nand.timing.bus(1));
        self.check_power()?;
        if block >= self.spec.block_count() {
            self.counters.violation(|| format!("mark of block {block} past the end"));
            return Err(ChipError::OutOfBounds);
        }
        self.record(|| Operation::Mark { block });
        self.begin_block_fault();
        self.count_program(1, time);
        let cut = self.strike();
        if let Some(kind) = cut {
            let page = block * self.spec.pages_per_block();
            self.tear_program(page, column, &[0], kind);
            return Err(ChipError::Off);
        }
        self.counters.marked_blocks += u64::from(!self.is_marked(block));
        self.write_mark(block);
        Ok(())
    }

    /// Programs bytes within one page. The range lies within the chip.
    pub(super) fn program(&mut self, page: u32, column: u32, bytes: &[u8]) -> Result<(), ChipError> {
        self.check_power()?;
        self.record(|| Operation::Program { page, column, bytes: bytes.into() });
        self.begin_block_fault();
        let time = match &self.spec.kind {
            ChipKind::Nor(nor) => nor.timing.program(bytes.len()),
            ChipKind::Nand(nand) => nand.timing.bus(bytes.len()) + nand.timing.program_ns,
        };
        self.count_program(bytes.len(), time);
        if let Some(at) = self.programmed_at.get_mut(page as usize) {
            *at = self.years as f32;
        }
        let block = self.block_of(page);
        let marked = self.is_marked(block);
        self.check_program_rules(page, column, bytes);
        match self.fate(block..block + 1, Some((page, column))) {
            Fate::Cut(_) if marked => self.lose_power(false, |_| ()),
            Fate::Cut(kind) => self.tear_program(page, column, bytes, kind),
            _ if marked => return Err(ChipError::ProgramFailed),
            Fate::Failed => {
                self.counters.program_failures += 1;
                let nand = self.spec.is_nand();
                let fraction = if nand { FAILED_NAND_PROGRAM } else { FAILED_NOR_PROGRAM };
                self.program_partly(
                    page,
                    column,
                    bytes,
                    CutKind::Torn { fraction, order: TornOrder::Scattered },
                    false,
                );
                if !nand {
                    return Ok(());
                }
                self.failed.insert(block);
                return Err(ChipError::ProgramFailed);
            }
            Fate::Done | Fate::Unnoticed => {
                self.program_fully(page, column, bytes);
                return Ok(());
            }
        }
        Err(ChipError::Off)
    }

    /// Erases blocks in one operation. The range lies within the chip.
    pub(super) fn erase(&mut self, block: u32, count: u32) -> Result<(), ChipError> {
        self.check_power()?;
        self.record(|| Operation::Erase { block, count });
        self.begin_block_fault();
        let blocks = block..block + count;
        let time = self.erase_time(count);
        let marked = self.is_marked(block);
        if self.is_surely_marked(block) {
            self.counters.violation(|| format!("erase of block {block}, which is marked bad"));
        }
        self.counters.operations += 1;
        self.counters.erases += 1;
        let block_bytes = u64::from(self.spec.page_bytes()) * u64::from(self.spec.pages_per_block());
        self.counters.bytes_erased += block_bytes * u64::from(count);
        self.counters.spend(time);
        for index in blocks.clone() {
            self.counters.erases_per_block[index as usize] += 1;
        }
        let fate = self.fate(blocks.clone(), None);
        if self.register.as_ref().is_some_and(|r| blocks.contains(&(r.page / self.spec.pages_per_block()))) {
            self.register = None;
        }
        for index in blocks.clone() {
            self.generations[index as usize] = self.generations[index as usize].wrapping_add(1);
            let pages = self.pages_of(index);
            if let Some(reads) = self.reads_since_erase.get_mut(pages) {
                reads.fill(0);
            }
        }
        match fate {
            Fate::Cut(_) if marked => self.lose_power(false, |_| ()),
            Fate::Cut(kind) => self.tear_erase(blocks, kind),
            _ if marked => return Err(ChipError::EraseFailed),
            Fate::Failed => {
                self.counters.erase_failures += 1;
                if self.spec.is_nand() {
                    // The cells keep what they held: the worst that a failure can do to a reader of stale pages.
                    return Err(ChipError::EraseFailed);
                }
                self.erase_badly(blocks);
                return Ok(());
            }
            Fate::Unnoticed => {
                self.counters.erase_failures += 1;
                self.erase_incompletely(blocks);
                return Ok(());
            }
            Fate::Done => {
                for index in blocks {
                    self.cells.clear(index);
                    self.failed.remove(&index);
                }
                return Ok(());
            }
        }
        Err(ChipError::Off)
    }

    fn erase_time(&self, count: u32) -> u64 {
        match &self.spec.kind {
            ChipKind::Nand(nand) => nand.timing.erase_ns,
            ChipKind::Nor(nor) => nor
                .large_erases
                .iter()
                .find(|large| large.size / nor.erase_size == count)
                .map_or(nor.timing.erase_ns * u64::from(count), |large| large.erase_ns),
        }
    }

    fn count_program(&mut self, bytes: usize, time_ns: u64) {
        self.counters.operations += 1;
        self.counters.programs += 1;
        self.counters.bytes_programmed += bytes as u64;
        self.counters.spend(time_ns);
        // Programming goes through the register and leaves nothing in it that reads like the array.
        self.register = None;
    }

    /// Counts the plan's fault of one block down, and begins it before this operation where its time has come.
    fn begin_block_fault(&mut self) {
        let Some(fault) = self.faults.block_fault.as_mut() else { return };
        if fault.operation > 0 {
            fault.operation -= 1;
            return;
        }
        let BlockFault { block, kind, .. } = *fault;
        self.faults.block_fault = None;
        let pages_per_block = self.spec.pages_per_block();
        match kind {
            BlockFaultKind::Program => {
                self.faults.program_fail.extend(block * pages_per_block..(block + 1) * pages_per_block);
            }
            BlockFaultKind::Erase => drop(self.faults.erase_fail.insert(block)),
            BlockFaultKind::SilentErase => drop(self.faults.silent_erase_fail.insert(block)),
            BlockFaultKind::Content => self.spoil(block),
        }
    }

    /// Counts the plan's cut down, and says what it does to this operation.
    fn strike(&mut self) -> Option<CutKind> {
        let cut = self.faults.cut.as_mut()?;
        if cut.operation > 0 {
            cut.operation -= 1;
            return None;
        }
        self.faults.cut.take().map(|cut| cut.kind)
    }

    fn fate(&mut self, blocks: Range<u32>, program: Option<(u32, u32)>) -> Fate {
        match self.faults.grown_bad {
            // A block that is bad already cannot go bad: the next good one does.
            Some(0) if self.grown_bad.contains(&blocks.start) || self.is_marked(blocks.start) => {}
            Some(0) => {
                self.faults.grown_bad = None;
                self.grow_bad(blocks.start);
            }
            Some(left) => self.faults.grown_bad = Some(left - 1),
            None => {}
        }
        if let Some(kind) = self.strike() {
            return Fate::Cut(kind);
        }
        let generation = u64::from(self.generations[blocks.start as usize]);
        let plan = &self.faults;
        let failed = match program {
            Some((page, column)) => {
                let place = [u64::from(page), u64::from(column), generation];
                plan.program_fail.contains(&page)
                    || Draw::new(self.seed, Purpose::ProgramFailure, &place).chance(plan.program_fail_rate)
            }
            None => {
                let place = [u64::from(blocks.start), generation];
                plan.erase_fail.range(blocks.clone()).next().is_some()
                    || Draw::new(self.seed, Purpose::EraseFailure, &place).chance(plan.erase_fail_rate)
            }
        };
        self.wear_out(blocks.clone(), program.map(|(page, _)| page));
        let unnoticed = program.is_none() && self.faults.silent_erase_fail.range(blocks.clone()).next().is_some();
        if failed || self.grown_bad.range(blocks).next().is_some() {
            Fate::Failed
        } else if unnoticed {
            Fate::Unnoticed
        } else {
            Fate::Done
        }
    }

    /// Lets those blocks go bad whose end has come: in this erase, or in this program.
    fn wear_out(&mut self, blocks: Range<u32>, page: Option<u32>) {
        let Some(ageing) = self.faults.ageing else { return };
        let pages_per_block = self.spec.pages_per_block();
        for block in blocks {
            // Erases are counted after this.
            let erases = self.generations[block as usize].saturating_add(page.is_none().into());
            let end = ageing.end(self.seed, block, pages_per_block);
            if end.has_come(erases, page.map(|page| page % pages_per_block)) {
                self.grow_bad(block);
            }
        }
    }

    fn check_program_rules(&mut self, page: u32, column: u32, bytes: &[u8]) {
        let block = self.block_of(page);
        let in_block = page % self.spec.pages_per_block();
        let broken = match &self.spec.kind {
            ChipKind::Nor(nor) => {
                let cells = self.cells.page(page);
                cells.and_then(|cells| broken_nor_rule(cells, column, bytes, nor.write_size, self.multiwrite))
            }
            ChipKind::Nand(nand) => {
                let geometry = &nand.geometry;
                let cells = self.cells.page(page);
                let highest = self.cells.block(block).and_then(|block| block.highest);
                if self.is_surely_marked(block) {
                    Some("its block is marked bad")
                } else if self.failed.contains(&block) {
                    Some("its block failed a program and was not erased since")
                } else if highest.is_some_and(|highest| in_block < highest) {
                    Some("a later page of its block is programmed already")
                } else if in_block == 0 && bytes[geometry.page_size as usize] != 0xFF {
                    Some("it overwrites the place of the bad-block mark")
                } else if self.faults.silent_erase_fail.contains(&block) {
                    // The chip has said that it is erased.
                    None
                } else {
                    cells.and_then(|cells| broken_nand_rule(cells, bytes, u32::from(geometry.programs_per_page)))
                }
            }
        };
        if let Some(why) = broken {
            self.counters.violation(|| format!("program of page {page} (block {block}), column {column}: {why}"));
        }
    }

    /// Programs bytes, and leaves weak bits where the block's last erase was interrupted.
    pub(super) fn program_fully(&mut self, page: u32, column: u32, bytes: &[u8]) {
        let weak_block = self.cells.block(self.block_of(page)).is_some_and(|block| block.weak_erase);
        let weaken = weak_block && self.faults.weak_erase;
        let weak = if weaken { self.weak_after_weak_erase(page, column, bytes) } else { Vec::new() };
        self.counters.unstable_bits += weak.len() as u64;
        let unit = self.write_unit();
        let ecc = self.has_on_chip_ecc();
        self.cells.edit(page, |cells| {
            let start = column as usize;
            if ecc {
                // Check bits of a second program mix with those of the first.
                cells.spoil(unit, column, bytes.len(), |cells, at| !cells.is_written(at.start as u32 / unit));
            }
            for (cell, new) in cells.data[start..start + bytes.len()].iter_mut().zip(bytes) {
                *cell &= new;
            }
            // A bit programmed to 0 by a whole pulse is firm, whatever it was before.
            cells.weak.retain(|weak| programs_bit(column, bytes, weak.bit).is_none_or(|zero| !zero));
            if !weak.is_empty() {
                cells.weaken(weak);
            }
            mark_written(cells, column, bytes.len(), unit);
            cells.programs += 1;
        });
        self.raise_highest(page);
    }

    pub(super) fn raise_highest(&mut self, page: u32) {
        let in_block = page % self.spec.pages_per_block();
        let block = self.cells.block_mut(self.block_of(page));
        block.highest = block.highest.max(Some(in_block));
    }

    pub(super) fn has_on_chip_ecc(&self) -> bool {
        matches!(&self.spec.kind, ChipKind::Nor(nor) if nor.on_chip_ecc)
    }

    /// The write unit whose state is tracked; 0 on NAND, where whole pages count.
    pub(super) fn write_unit(&self) -> u32 {
        match &self.spec.kind {
            ChipKind::Nor(nor) => nor.write_size,
            ChipKind::Nand(_) => 0,
        }
    }
}

/// Whether programming `bytes` at `column` clears the page's bit; `None` where it does not reach it.
pub(super) fn programs_bit(column: u32, bytes: &[u8], bit: u32) -> Option<bool> {
    let byte = bytes.get((bit / 8).checked_sub(column)? as usize)?;
    Some(byte >> (bit % 8) & 1 == 0)
}

/// Notes that the units which the bytes touch are programmed.
pub(super) fn mark_written(cells: &mut Page, column: u32, length: usize, unit: u32) {
    if unit == 0 || length == 0 {
        return;
    }
    let units = (cells.data.len() as u32).div_ceil(unit);
    cells.written.resize(units.div_ceil(64) as usize, 0);
    for index in column / unit..(column + length as u32).div_ceil(unit) {
        cells.written[(index / 64) as usize] |= 1 << (index % 64);
    }
}

fn broken_nor_rule(cells: &Page, column: u32, bytes: &[u8], unit: u32, multiwrite: bool) -> Option<&'static str> {
    let old = &cells.data[column as usize..column as usize + bytes.len()];
    if multiwrite {
        let sets = old.iter().zip(bytes).any(|(old, new)| new & !old != 0);
        return sets.then_some("it needs bits to go from 0 to 1");
    }
    let units = column / unit..(column + bytes.len() as u32).div_ceil(unit);
    if !is_erased(old) {
        Some("it is not erased")
    } else if units.into_iter().any(|index| cells.is_written(index)) {
        Some("it reads erased but was programmed since the last erase")
    } else {
        None
    }
}

fn broken_nand_rule(cells: &Page, bytes: &[u8], programs_max: u32) -> Option<&'static str> {
    if cells.programs >= programs_max {
        Some("it was programmed as often as the part allows")
    } else if cells.torn {
        Some("an earlier program of it was interrupted")
    } else if cells.data.iter().zip(bytes).any(|(old, new)| *old != 0xFF && *new != 0xFF) {
        Some("it is not erased")
    } else {
        None
    }
}
