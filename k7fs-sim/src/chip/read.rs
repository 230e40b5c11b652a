//! Reading, with everything that makes a read wrong.

use std::ops::Range;

use super::rng::{Draw, Purpose, Selected};
use super::{Chip, ChipError, ChipKind, Fading, Register};

impl Chip {
    /// Reads bytes of a NOR chip.
    ///
    /// # Errors
    /// `Off`, `OutOfBounds` (a violation), `Uncorrectable` where the plan has `ecc_trap`, `WrongPart` on NAND.
    pub fn read_nor(&mut self, address: u32, bytes: &mut [u8]) -> Result<(), ChipError> {
        let ChipKind::Nor(nor) = &self.spec.kind else { return Err(ChipError::WrongPart) };
        let (size, page_bytes, time) = (nor.size, nor.program_size, nor.timing.read(bytes.len()));
        self.check_power()?;
        if u64::from(address) + bytes.len() as u64 > u64::from(size) {
            self.counters.violation(|| format!("read of {} bytes at {address:#x} past the end", bytes.len()));
            return Err(ChipError::OutOfBounds);
        }
        self.count_read(address / page_bytes, bytes.len(), time);
        self.check_spoilt(address, bytes.len())?;
        let mut at = address;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (page, column) = (at / page_bytes, at % page_bytes);
            let length = rest.len().min((page_bytes - column) as usize);
            let (part, tail) = rest.split_at_mut(length);
            self.copy_out(page, column as usize, part);
            let mut flipped = 0;
            self.for_each_flip(page, column * 8, length as u64 * 8, |bit| {
                let bit = bit - column * 8;
                part[(bit / 8) as usize] ^= 1 << (bit % 8);
                flipped += 1;
            });
            self.counters.bits_flipped += flipped;
            at += length as u32;
            rest = tail;
        }
        Ok(())
    }

    /// Reads bytes of a NAND page, data then spare. The page is loaded unless it is still in the register.
    ///
    /// # Errors
    /// `Off`, `OutOfBounds` (a violation), `WrongPart` on NOR.
    pub fn read_nand(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), ChipError> {
        let ChipKind::Nand(nand) = &self.spec.kind else { return Err(ChipError::WrongPart) };
        let (load, bus) = (nand.timing.load_ns, nand.timing.bus(bytes.len()));
        let page_bytes = self.spec.page_bytes() as usize;
        self.check_power()?;
        let pages = self.spec.pages_per_block() * self.spec.block_count();
        if page >= pages || column > page_bytes || bytes.len() > page_bytes - column {
            self.counters.violation(|| format!("read of {} bytes at column {column} of page {page}", bytes.len()));
            return Err(ChipError::OutOfBounds);
        }
        // Going on within the page is served by the register. Reading again what was read means: load it again, as a
        // driver does that reads in two calls; otherwise no second read could ever differ from the first.
        let goes_on = |register: &Register| register.page == page && column as u32 >= register.end;
        let loaded = self.register.as_ref().is_some_and(goes_on);
        if !loaded {
            let mut flipped = Vec::new();
            self.for_each_flip(page, 0, page_bytes as u64 * 8, |bit| flipped.push(bit));
            self.counters.page_loads += 1;
            self.counters.bits_flipped += flipped.len() as u64;
            self.register = Some(Register { page, flipped, end: 0 });
        }
        self.count_read(page, bytes.len(), if loaded { bus } else { load + bus });
        self.copy_out(page, column, bytes);
        if let Some(register) = &mut self.register {
            register.end = (column + bytes.len()) as u32;
            let end = ((column + bytes.len()) * 8) as u32;
            let first = register.flipped.partition_point(|bit| *bit < (column * 8) as u32);
            for bit in register.flipped[first..].iter().take_while(|bit| **bit < end) {
                bytes[(bit / 8) as usize - column] ^= 1 << (bit % 8);
            }
        }
        Ok(())
    }

    /// Reads a NAND page above and below the usual threshold: two loads. What reads differently is marked in `weak`, a whole
    /// page; `false` on parts without read retry.
    ///
    /// The bits that the last load got wrong are mostly among them, and all that an interrupted operation has left weak.
    ///
    /// # Errors
    /// As [`Self::read_nand`].
    pub fn read_weak_nand(&mut self, page: u32, weak: &mut [u8]) -> Result<bool, ChipError> {
        let ChipKind::Nand(nand) = &self.spec.kind else { return Err(ChipError::WrongPart) };
        let (has_retry, load, bus) = (nand.read_retry, nand.timing.load_ns, nand.timing.bus(weak.len()));
        if !has_retry {
            return Ok(false);
        }
        self.check_power()?;
        let pages = self.spec.pages_per_block() * self.spec.block_count();
        if page >= pages || weak.len() != self.spec.page_bytes() as usize {
            self.counters.violation(|| format!("weak bits of page {page} read into {} bytes", weak.len()));
            return Err(ChipError::OutOfBounds);
        }
        for _ in 0..2 {
            self.counters.page_loads += 1;
            self.count_read(page, weak.len(), load + bus);
        }
        let block = (page / self.spec.pages_per_block()) as usize;
        let read = self.reads[block];
        self.reads[block] = read.wrapping_add(1);
        let place = [u64::from(page), u64::from(self.generations[block]), u64::from(read)];
        let mut draw = Draw::new(self.seed, Purpose::WeakBits, &place);
        let mut mark = |bit: u32| weak[(bit / 8) as usize] |= 1 << (bit % 8);
        let loaded = self.register.take().filter(|register| register.page == page);
        for bit in loaded.map_or(Vec::new(), |register| register.flipped) {
            if draw.chance(self.faults.weak_share_of_wrong) {
                mark(bit);
            }
        }
        for bit in self.cells.page(page).map_or(&[][..], |cells| &cells.weak) {
            mark(bit.bit);
        }
        let rate = self.bit_flip_rate(page) * self.faults.weak_right_per_wrong;
        for bit in Selected::new(draw, rate, u64::from(self.spec.page_bytes()) * 8) {
            mark(bit as u32);
        }
        Ok(true)
    }

    /// Refuses to read spoilt units, where the plan says so.
    fn check_spoilt(&mut self, address: u32, length: usize) -> Result<(), ChipError> {
        let ChipKind::Nor(nor) = &self.spec.kind else { return Ok(()) };
        if !(nor.on_chip_ecc && self.faults.ecc_trap) || length == 0 {
            return Ok(());
        }
        let end = address + length as u32;
        let page_bytes = nor.program_size;
        let spoilt = |page: u32| {
            let first = address.max(page * page_bytes);
            let length = end.min((page + 1) * page_bytes) - first;
            let cells = self.cells.page(page);
            cells.is_some_and(|cells| cells.is_spoilt(nor.write_size, first % page_bytes, length as usize))
        };
        if (address / page_bytes..end.div_ceil(page_bytes)).any(spoilt) {
            self.counters.ecc_traps += 1;
            return Err(ChipError::Uncorrectable);
        }
        Ok(())
    }

    pub(super) const fn check_power(&self) -> Result<(), ChipError> {
        if self.off { Err(ChipError::Off) } else { Ok(()) }
    }

    /// Counts a read, for the block of its first page: longer ones are rare.
    fn count_read(&mut self, page: u32, bytes: usize, time_ns: u64) {
        let block = self.block_of(page) as usize;
        if let Some(reads) = self.counters.reads_per_block.get_mut(block) {
            *reads += 1;
        }
        self.counters.operations += 1;
        self.counters.reads += 1;
        self.counters.bytes_read += bytes as u64;
        self.counters.spend(time_ns);
    }

    /// Probability that a bit of the page reads flipped, whatever it holds.
    fn bit_flip_rate(&self, page: u32) -> f64 {
        let erases = self.generations[self.block_of(page) as usize];
        self.faults.bit_flip_rate + self.faults.ageing.map_or(0.0, |ageing| ageing.bit_flip_rate(erases))
    }

    /// The share of a page's bits that have faded. What is blank has nothing to lose.
    fn faded_share(&self, page: u32) -> f64 {
        let Some(fading) = self.faults.fading.filter(|_| self.cells.page(page).is_some()) else { return 0.0 };
        let block = self.block_of(page) as usize;
        let programmed_at = self.programmed_at.get(page as usize).copied().unwrap_or(0.0);
        let years = self.years - f64::from(programmed_at);
        fading.share(self.generations[block], years, self.reads_nearby(page))
    }

    /// How often other pages of the page's block were read since it was erased: what reading a page takes to apply to the others.
    fn reads_nearby(&self, page: u32) -> u32 {
        let block = self.reads_since_erase.get(self.pages_of(self.block_of(page))).unwrap_or_default();
        block.iter().sum::<u32>() - self.reads_since_erase.get(page as usize).copied().unwrap_or(0)
    }

    /// The pages of a block, as places in what is kept of each page.
    pub(super) fn pages_of(&self, block: u32) -> Range<usize> {
        let pages = self.spec.pages_per_block() as usize;
        let first = block as usize * pages;
        first..first + pages
    }

    fn copy_out(&self, page: u32, column: usize, bytes: &mut [u8]) {
        match self.cells.page(page) {
            Some(cells) => bytes.copy_from_slice(&cells.data[column..column + bytes.len()]),
            None => bytes.fill(0xFF),
        }
    }

    /// Calls `flip` once for each bit of `bit_count` from `first_bit` of the page that this read gets wrong, ascending.
    fn for_each_flip(&mut self, page: u32, first_bit: u32, bit_count: u64, mut flip: impl FnMut(u32)) {
        if self.faults.fading.is_some() {
            let pages = self.spec.block_count() * self.spec.pages_per_block();
            self.reads_since_erase.resize(pages as usize, 0);
            self.reads_since_erase[page as usize] += 1;
        }
        let cells = self.cells.page(page);
        let weak = cells.map_or(&[][..], |cells| &cells.weak);
        let rate = self.bit_flip_rate(page);
        let stuck = !self.faults.stuck.is_empty();
        let faded = self.faded_share(page);
        if weak.is_empty() && rate <= 0.0 && faded <= 0.0 && !stuck {
            return;
        }
        let block = (page / self.spec.pages_per_block()) as usize;
        let read = self.reads[block];
        self.reads[block] = read.wrapping_add(1);
        let place = [u64::from(page), u64::from(self.generations[block]), u64::from(read)];

        let mut wrong = Vec::new();
        let random = Selected::new(Draw::new(self.seed, Purpose::ReadFlip, &place), rate, bit_count);
        wrong.extend(random.map(|bit| first_bit + bit as u32));
        let end = u64::from(first_bit) + bit_count;
        let inside = |bit: u32| bit >= first_bit && u64::from(bit) < end;
        if faded > 0.0 {
            let bits = u64::from(self.spec.page_bytes()) * 8;
            wrong.extend(Fading::bits(faded, self.seed, &place[..2], bits).filter(|bit| inside(*bit)));
        }
        let start = weak.partition_point(|weak| weak.bit < first_bit);
        let mut draw = Draw::new(self.seed, Purpose::WeakRead, &place);
        for weak in weak[start..].iter().take_while(|weak| inside(weak.bit)) {
            if (draw.next() >> 32) < u64::from(weak.threshold) {
                wrong.push(weak.bit);
            }
        }
        if stuck {
            for bit in self.faults.stuck.iter().filter(|bit| bit.page == page && inside(bit.bit)) {
                let stored = cells.is_none_or(|c| c.data[(bit.bit / 8) as usize] >> (bit.bit % 8) & 1 == 1);
                wrong.retain(|other| *other != bit.bit);
                if stored != bit.value {
                    wrong.push(bit.bit);
                }
            }
        }
        wrong.sort_unstable();
        // A weak bit that also flipped at random is right again: keep what occurs an odd number of times.
        let mut index = 0;
        while index < wrong.len() {
            if wrong.get(index + 1) == Some(&wrong[index]) {
                index += 2;
            } else {
                flip(wrong[index]);
                index += 1;
            }
        }
    }
}
