//! The array of a chip: bytes, and a sparse overlay of weak bits.
//!
//! Blocks and pages sit behind `Arc` and are copied when written, so that a clone of a chip costs little more than one
//! pointer per block. An erased block needs no memory.

use std::ops::Range;
use std::sync::Arc;

use super::rng::{fold, scramble};

/// A bit that reads flipped from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WeakBit {
    /// Bit within the page: byte * 8 + bit, the lowest first.
    pub(super) bit: u32,
    /// Probability of reading flipped, in 2^-32.
    pub(super) threshold: u32,
}

/// One page of the array, spare included.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) data: Vec<u8>,
    /// Ascending by bit, each bit at most once.
    pub(super) weak: Vec<WeakBit>,
    /// One bit per write unit: programmed since the last erase. Empty on NAND.
    pub(super) written: Vec<u64>,
    /// One bit per write unit: its check bits do not fit its data. Empty unless the part has on-chip correction.
    pub(super) spoilt: Vec<u64>,
    /// Programs since the last erase.
    pub(super) programs: u32,
    /// Whether a program was interrupted since the last erase.
    pub(super) torn: bool,
    /// This page's share in the hash of the array.
    share: u64,
}

impl Page {
    fn erased(bytes: usize) -> Self {
        Self {
            data: vec![0xFF; bytes],
            weak: Vec::new(),
            written: Vec::new(),
            spoilt: Vec::new(),
            programs: 0,
            torn: false,
            share: 0,
        }
    }

    /// Whether the cells are as a complete erase leaves them.
    pub(super) fn is_pristine(&self) -> bool {
        self.weak.is_empty() && is_erased(&self.data)
    }

    /// Whether a write unit was programmed since the last erase.
    pub(super) fn is_written(&self, unit_index: u32) -> bool {
        self.written.get((unit_index / 64) as usize).is_some_and(|word| word >> (unit_index % 64) & 1 == 1)
    }

    /// Notes as spoilt the units of `unit` bytes in `column..column + length` that `sound` does not vouch for. It is
    /// given the unit's bytes' range within the page.
    pub(super) fn spoil(&mut self, unit: u32, column: u32, length: usize, sound: impl Fn(&Self, Range<usize>) -> bool) {
        let units = (self.data.len() as u32).div_ceil(unit);
        for index in column / unit..(column + length as u32).div_ceil(unit) {
            let bytes = (index * unit) as usize..((index + 1) * unit) as usize;
            if !sound(self, bytes) {
                self.spoilt.resize(units.div_ceil(64) as usize, 0);
                self.spoilt[(index / 64) as usize] |= 1 << (index % 64);
            }
        }
    }

    /// Whether a unit that the bytes touch is spoilt.
    pub(super) fn is_spoilt(&self, unit: u32, column: u32, length: usize) -> bool {
        let mut units = column / unit..(column + length as u32).div_ceil(unit);
        units.any(|index| self.spoilt.get((index / 64) as usize).is_some_and(|word| word >> (index % 64) & 1 == 1))
    }

    /// Whether there are weak bits among these bytes.
    pub(super) fn has_weak(&self, bytes: &Range<usize>) -> bool {
        self.weak.iter().any(|weak| bytes.contains(&((weak.bit / 8) as usize)))
    }

    /// Adds weak bits that are not there yet; `added` ascends.
    pub(super) fn weaken(&mut self, added: Vec<WeakBit>) {
        if self.weak.is_empty() {
            self.weak = added;
        } else {
            self.weak.extend(added);
            self.weak.sort_unstable();
            self.weak.dedup_by_key(|weak| weak.bit);
        }
    }
}

/// Whether all bytes are 0xFF.
pub(super) fn is_erased(bytes: &[u8]) -> bool {
    // Chunks, so that the compiler compares many bytes at once and most programmed pages end the search early.
    bytes.chunks(64).all(|chunk| chunk.iter().fold(0xFF, |all, byte| all & byte) == 0xFF)
}

/// One erase unit that is not simply erased.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) pages: Vec<Option<Arc<Page>>>,
    /// Whether the last erase was interrupted.
    pub(super) weak_erase: bool,
    /// The highest page programmed since the last erase.
    pub(super) highest: Option<u32>,
}

impl Block {
    /// A hash of what content and weak bits do not show; 0 where that is what a complete erase leaves.
    pub(super) fn hidden_share(&self, block: u32) -> u64 {
        let mut hash = u64::from(self.weak_erase);
        for (index, page) in self.pages.iter().enumerate() {
            let Some(page) = page else { continue };
            let state = u64::from(page.programs) << 1 | u64::from(page.torn);
            let bits = page.written.iter().chain(&page.spoilt).fold(state, |hash, word| scramble(hash ^ word));
            if bits != 0 {
                hash ^= scramble(bits ^ scramble(index as u64 + 1));
            }
        }
        if hash == 0 { 0 } else { scramble(hash ^ scramble(u64::from(block))) }
    }
}

/// The array.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    blocks: Vec<Option<Arc<Block>>>,
    pages_per_block: u32,
    page_bytes: usize,
    hash: u64,
}

impl Cells {
    pub(super) fn new(block_count: u32, pages_per_block: u32, page_bytes: u32) -> Self {
        Self { blocks: vec![None; block_count as usize], pages_per_block, page_bytes: page_bytes as usize, hash: 0 }
    }

    /// Hash of content and weak bits. Kept up to date by every change, so asking costs nothing.
    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn block(&self, block: u32) -> Option<&Block> {
        self.blocks.get(block as usize)?.as_deref()
    }

    /// The page, or `None` where it is erased.
    pub(super) fn page(&self, page: u32) -> Option<&Page> {
        self.block(page / self.pages_per_block)?.pages.get((page % self.pages_per_block) as usize)?.as_deref()
    }

    pub(super) fn block_mut(&mut self, block: u32) -> &mut Block {
        let pages = self.pages_per_block as usize;
        let slot = &mut self.blocks[block as usize];
        Arc::make_mut(
            slot.get_or_insert_with(|| Arc::new(Block { pages: vec![None; pages], weak_erase: false, highest: None })),
        )
    }

    /// Changes a page and keeps the hash right.
    pub(super) fn edit<R>(&mut self, page: u32, change: impl FnOnce(&mut Page) -> R) -> R {
        let bytes = self.page_bytes;
        let slot = &mut self.block_mut(page / self.pages_per_block).pages[0..];
        let position = (page as usize) % slot.len();
        let target = Arc::make_mut(slot[position].get_or_insert_with(|| Arc::new(Page::erased(bytes))));
        let before = target.share;
        let result = change(target);
        target.share = share_of(page, target);
        let after = target.share;
        self.hash ^= before ^ after;
        result
    }

    /// Forgets what a block held: it is erased, completely.
    pub(super) fn clear(&mut self, block: u32) {
        if let Some(old) = self.blocks[block as usize].take() {
            self.hash = old.pages.iter().flatten().fold(self.hash, |hash, page| hash ^ page.share);
        }
    }

    /// Frees a page that an interrupted erase left pristine.
    pub(super) fn drop_pristine(&mut self, page: u32) {
        if self.page(page).is_some_and(Page::is_pristine) {
            let position = (page % self.pages_per_block) as usize;
            self.block_mut(page / self.pages_per_block).pages[position] = None;
        }
    }
}

/// A page's share in the hash of the array: depends on where it is, on its bytes and on its weak bits; 0 where it is
/// pristine, so that erased and never touched are the same.
fn share_of(page: u32, target: &Page) -> u64 {
    let mut hash = scramble(u64::from(page) ^ 0x6B37_6673_0000_0000);
    if !is_erased(&target.data) {
        hash = hash_bytes(hash, &target.data);
    } else if target.weak.is_empty() {
        return 0;
    }
    for weak in &target.weak {
        hash = scramble(hash ^ (u64::from(weak.bit) << 32 | u64::from(weak.threshold)));
    }
    hash
}

/// Two lanes of multiply and fold, 16 bytes at a time.
fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    const A: u64 = 0xA076_1D64_78BD_642F;
    const B: u64 = 0xE703_7ED1_A0B4_28DB;
    let mut hash = seed;
    let mut chunks = bytes.chunks_exact(16);
    for chunk in &mut chunks {
        let mut low = [0; 8];
        let mut high = [0; 8];
        low.copy_from_slice(&chunk[..8]);
        high.copy_from_slice(&chunk[8..]);
        hash = fold(u64::from_le_bytes(low) ^ A ^ hash, u64::from_le_bytes(high) ^ B ^ hash.rotate_left(32));
    }
    let mut tail = [0; 16];
    tail[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    let word = u128::from_le_bytes(tail);
    scramble(fold(word as u64 ^ A ^ hash, (word >> 64) as u64 ^ B ^ bytes.len() as u64) ^ hash)
}
