//! A chip without rules, faults or time: bytes in memory with an overlay of changed pages.
//!
//! Hostile images are mounted by the hundred thousand. The simulated chips check rules that a hostile image breaks
//! anyway; here a mutation is one changed page over a shared image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k7fs_core::flash::{Flash, FlashError, Geometry};

/// An image and what was changed in it.
#[derive(Clone, Debug)]
pub struct RamFlash {
    geometry: Geometry,
    base: Arc<[u8]>,
    changed: BTreeMap<u32, Vec<u8>>,
    lost: BTreeSet<u32>,
    erases: BTreeMap<u32, u32>,
    operations: u64,
    operations_max: u64,
}

impl RamFlash {
    /// An image of a chip: pages one after the other, each with its spare.
    pub fn new(geometry: Geometry, image: Arc<[u8]>) -> Self {
        Self {
            geometry,
            base: image,
            changed: BTreeMap::new(),
            lost: BTreeSet::new(),
            erases: BTreeMap::new(),
            operations: 0,
            operations_max: u64::MAX,
        }
    }

    /// Every operation after so many fails: a loop over a hostile structure ends as an error that the test sees.
    pub fn limit_operations(&mut self, operations_max: u64) {
        self.operations_max = operations_max;
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Whether that limit was met.
    pub fn is_exhausted(&self) -> bool {
        self.operations > self.operations_max
    }

    /// The bytes of a page, spare included.
    pub fn page(&self, page: u32) -> &[u8] {
        let size = self.geometry.raw_page_size();
        match self.changed.get(&page) {
            Some(bytes) => bytes,
            None => &self.base[page as usize * size..][..size],
        }
    }

    /// The same, to change them.
    pub fn page_mut(&mut self, page: u32) -> &mut Vec<u8> {
        let size = self.geometry.raw_page_size();
        let base = &self.base;
        self.changed.entry(page).or_insert_with(|| base[page as usize * size..][..size].to_vec())
    }

    /// A page is beyond correction until its block is erased.
    pub fn lose(&mut self, page: u32) {
        self.lost.insert(page);
    }

    /// How often the block with this page was erased.
    pub fn erases_of(&self, page: u32) -> u32 {
        self.erases.get(&(page / self.geometry.pages_per_block)).copied().unwrap_or(0)
    }

    /// Pages that are not all ones, ascending.
    pub fn written_pages(&self) -> Vec<u32> {
        (0..self.geometry.page_count()).filter(|page| self.page(*page).iter().any(|byte| *byte != 0xFF)).collect()
    }

    fn count(&mut self, page: u32) -> Result<(), FlashError> {
        self.bounded(page)?;
        self.operations += 1;
        if self.is_exhausted() { Err(FlashError::Other) } else { Ok(()) }
    }

    fn bounded(&self, page: u32) -> Result<(), FlashError> {
        if page < self.geometry.page_count() { Ok(()) } else { Err(FlashError::OutOfBounds) }
    }
}

impl Flash for RamFlash {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.count(page)?;
        if self.lost.contains(&page) {
            return Err(FlashError::Uncorrectable);
        }
        let source = self.page(page).get(column..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(source.ok_or(FlashError::OutOfBounds)?);
        Ok(())
    }

    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.count(page)?;
        if bytes.len() != self.geometry.raw_page_size() {
            return Err(FlashError::NotAligned);
        }
        for (cell, byte) in self.page_mut(page).iter_mut().zip(bytes) {
            *cell &= byte;
        }
        Ok(())
    }

    fn erase(&mut self, block: u32) -> Result<(), FlashError> {
        let first = block.checked_mul(self.geometry.pages_per_block).ok_or(FlashError::OutOfBounds)?;
        self.count(first)?;
        *self.erases.entry(block).or_default() += 1;
        for page in first..first + self.geometry.pages_per_block {
            self.page_mut(page).fill(0xFF);
            self.lost.remove(&page);
        }
        Ok(())
    }

    fn is_bad(&mut self, block: u32) -> Result<bool, FlashError> {
        let page = block.checked_mul(self.geometry.pages_per_block).ok_or(FlashError::OutOfBounds)?;
        self.bounded(page)?;
        Ok(self.geometry.is_nand() && self.page(page)[self.geometry.page_size as usize] != 0xFF)
    }

    fn mark_bad(&mut self, block: u32) -> Result<(), FlashError> {
        let page = block.checked_mul(self.geometry.pages_per_block).ok_or(FlashError::OutOfBounds)?;
        self.bounded(page)?;
        if self.geometry.is_nand() {
            let mark = self.geometry.page_size as usize;
            self.page_mut(page)[mark] = 0;
        }
        Ok(())
    }

    fn verifies_by_reading(&self) -> bool {
        !self.geometry.is_nand()
    }
}
