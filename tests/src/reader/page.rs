//! Pages: the page code, the checksum, the header (sections 2 and 12).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use k7fs_core::ecc::Layout;
use k7fs_core::flash::Geometry;

use super::Result;
use super::bytes::{Crc, Cursor};
use crate::ecc_search::{Edge, data_edges, parity_edges, plans};

const HEADER_BYTES: usize = 20;
/// Bits that the reader mends in a page, at most. The core's decoder mends more; a test does not break so many.
const FLIPS_MAX: usize = 64;

/// A page code by section 12, with the constants of the library's tables.
#[derive(Debug)]
pub(super) struct PageCode {
    pub(super) id: u8,
    rows: usize,
    mark_word: Option<usize>,
    columns: Vec<Vec<Edge>>,
}

impl PageCode {
    pub(super) fn new(layout: Layout) -> Self {
        let plan = plans().swap_remove(usize::from(layout.id()) - 1);
        let seeds = layout.source();
        let data = (0..plan.words - plan.parity_words).map(|column| {
            let seed = seeds.data_seeds[column / 2] >> (4 * (column % 2)) & 15;
            data_edges(&plan, column, seed)
        });
        let parity = (0..plan.parity_words).map(|index| parity_edges(&plan, index, seeds.parity_seeds[index]));
        let columns = data.chain(parity).collect();
        Self { id: layout.id(), rows: plan.parity_words, mark_word: plan.mark_word, columns }
    }

    pub(super) fn parity_bytes(&self) -> usize {
        self.rows * 4
    }

    fn sums(&self, words: &[u32]) -> Vec<u32> {
        let mut sums = vec![0; self.rows];
        for (word, edges) in words.iter().zip(&self.columns) {
            for (row, shift) in edges {
                sums[*row] ^= word.rotate_right(*shift);
            }
        }
        sums
    }

    /// The nearest codeword with how many bits were mended, where plain bit flipping finds one.
    pub(super) fn correct(&self, raw: &[u8]) -> Option<(Vec<u8>, usize)> {
        let words = raw.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let mut words: Vec<u32> = words.collect();
        if let Some(mark) = self.mark_word {
            words[mark] |= 0xFFFF;
        }
        for flips in 0..FLIPS_MAX {
            let sums = self.sums(&words);
            let violated: u32 = sums.iter().map(|sum| sum.count_ones()).sum();
            if violated == 0 {
                return Some((words.iter().flat_map(|word| word.to_le_bytes()).collect(), flips));
            }
            if violated as usize * 100 > self.rows * 32 * 42 {
                return None;
            }
            let (score, column, bit) = self.worst(&sums);
            if score <= 0 {
                return None;
            }
            words[column] ^= 1 << bit;
        }
        None
    }

    /// The bit with the most violated checks beyond half of its checks.
    fn worst(&self, sums: &[u32]) -> (i32, usize, u32) {
        let mut worst = (i32::MIN, 0, 0);
        for (column, edges) in self.columns.iter().enumerate() {
            for bit in 0..32 {
                if Some(column) == self.mark_word && bit < 16 {
                    continue;
                }
                let violated: u32 = edges.iter().map(|(row, shift)| sums[*row].rotate_left(*shift) >> bit & 1).sum();
                let score = 2 * violated as i32 - edges.len() as i32;
                if score > worst.0 {
                    worst = (score, column, bit);
                }
            }
        }
        worst
    }
}

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageKind {
    Front,
    Moved,
    Anchor,
    Checkpoint,
    Copied,
}

impl PageKind {
    /// Whether pages of this kind belong to the log.
    pub(super) fn is_log(self) -> bool {
        matches!(self, PageKind::Front | PageKind::Copied)
    }
}

/// A page that reads good.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) kind: PageKind,
    pub(super) has_commit: bool,
    /// It says again what a cut may have torn.
    pub(super) says_again: bool,
    pub(super) sequence: u64,
    pub(super) first_item: usize,
    /// The page of the newest commit before this page.
    pub(super) last_commit: Option<u32>,
    pub(super) payload: Vec<u8>,
    /// Header and what else the checksum covers.
    covered: Vec<u8>,
}

/// The image as pages of one volume.
#[derive(Debug)]
pub(super) struct Pages<'i> {
    image: &'i [u8],
    pub(super) geometry: Geometry,
    code: PageCode,
    checksum_seed: u32,
    seen: RefCell<BTreeMap<u32, Option<Rc<Page>>>>,
    mended: Cell<u32>,
}

impl<'i> Pages<'i> {
    pub(super) fn new(image: &'i [u8], geometry: Geometry, volume_id: &[u8; 16], salt: u64) -> Result<Self> {
        let layout = Layout::for_page(geometry.page_size, geometry.spare_size).ok_or("no layout for such pages")?;
        let code = PageCode::new(layout);
        let crc = Crc::new(0).update(volume_id).update(&salt.to_le_bytes()).update(&[code.id]);
        let checksum_seed = crc.finish();
        Ok(Self { image, geometry, code, checksum_seed, seen: RefCell::default(), mended: Cell::new(0) })
    }

    pub(super) fn payload_bytes(&self) -> usize {
        let geometry = self.geometry;
        let behind = if geometry.is_nand() { 0 } else { 4 + self.code.parity_bytes() };
        geometry.page_size as usize - HEADER_BYTES - behind
    }

    /// Pages that were mended.
    pub(super) fn mended(&self) -> u32 {
        self.mended.get()
    }

    pub(super) fn block_of(&self, page: u32) -> u32 {
        page / self.geometry.pages_per_block
    }

    pub(super) fn pages_of(&self, block: u32) -> std::ops::Range<u32> {
        let first = block * self.geometry.pages_per_block;
        first..first + self.geometry.pages_per_block
    }

    fn raw(&self, page: u32) -> Result<&'i [u8]> {
        let size = self.geometry.raw_page_size();
        let raw = self.image.get(page as usize * size..).and_then(|rest| rest.get(..size));
        raw.filter(|_| page < self.geometry.page_count()).ok_or_else(|| format!("there is no page {page}"))
    }

    pub(super) fn is_erased(&self, page: u32) -> Result<bool> {
        Ok(self.raw(page)?.iter().all(|byte| *byte == 0xFF))
    }

    /// The page, `None` where it does not read good: erased, torn, or of another volume.
    pub(super) fn try_get(&self, page: u32) -> Result<Option<Rc<Page>>> {
        if let Some(seen) = self.seen.borrow().get(&page) {
            return Ok(seen.clone());
        }
        let raw = self.raw(page)?;
        let read = if raw.iter().all(|byte| *byte == 0xFF) { None } else { self.decode(page, raw)?.map(Rc::new) };
        self.seen.borrow_mut().insert(page, read.clone());
        Ok(read)
    }

    pub(super) fn get(&self, page: u32) -> Result<Rc<Page>> {
        self.try_get(page)?.ok_or_else(|| format!("page {page} cannot be read"))
    }

    /// The checksum that this page has, or would have at another place.
    pub(super) fn checksum(&self, page: &Page, number: u32) -> u32 {
        Crc::new(self.checksum_seed).update(&number.to_le_bytes()).update(&page.covered).finish()
    }

    fn decode(&self, number: u32, raw: &[u8]) -> Result<Option<Page>> {
        let Some((word, flips)) = self.code.correct(raw) else { return Ok(None) };
        let checksum_at = word.len() - self.code.parity_bytes() - 4;
        let mut covered = word[..checksum_at].to_vec();
        let mut payload_end = checksum_at;
        if self.geometry.is_nand() {
            payload_end = self.geometry.page_size as usize;
            covered.drain(payload_end..payload_end + 2);
            if covered[payload_end..].iter().any(|byte| *byte != 0) {
                return Ok(None);
            }
        }
        let mut header = Cursor::new(&word[..HEADER_BYTES], 0);
        let kind = header.byte()?;
        let mut page = Page {
            kind: PageKind::Front,
            has_commit: kind & 0x80 != 0,
            says_again: kind & 0x20 != 0,
            sequence: 0,
            first_item: 0,
            last_commit: None,
            payload: word[HEADER_BYTES..payload_end].to_vec(),
            covered,
        };
        if word[checksum_at..][..4] != self.checksum(&page, number).to_le_bytes() {
            return Ok(None);
        }
        if flips > 0 {
            self.mended.set(self.mended.get() + 1);
        }
        page.kind = match kind & 0x1F {
            1 => PageKind::Front,
            2 => PageKind::Moved,
            3 => PageKind::Anchor,
            4 => PageKind::Checkpoint,
            5 => PageKind::Copied,
            other => return Err(format!("page {number} is of kind {other}")),
        };
        page.sequence = header.number()?;
        let _life = header.number()?;
        page.first_item = header.small()? as usize;
        page.last_commit = header.optional_small()?;
        if page.first_item > page.payload.len() || header.rest().iter().any(|byte| *byte != 0) {
            return Err(format!("page {number} has a wrong header"));
        }
        Ok(Some(page))
    }

    /// The bytes behind an address: they run on from page to page within a block.
    pub(super) fn bytes(&self, address: u64, length: usize) -> Result<Vec<u8>> {
        let page_size = u64::from(self.geometry.page_size);
        let first = u32::try_from(address / page_size).map_err(|_| format!("address {address} is too high"))?;
        self.bytes_from(first, (address % page_size) as usize, length, |page| self.get(page))
    }

    /// The same, with a way to read pages.
    pub(super) fn bytes_from(
        &self, first: u32, offset: usize, length: usize, read: impl Fn(u32) -> Result<Rc<Page>>,
    ) -> Result<Vec<u8>> {
        let (mut number, mut offset, mut bytes) = (first, offset, Vec::with_capacity(length.min(1 << 20)));
        while bytes.len() < length {
            if self.block_of(number) != self.block_of(first) {
                return Err(format!("a body at page {first} runs out of its block"));
            }
            let page = read(number)?;
            let rest = page.payload.get(offset..).ok_or("an address points behind the payload")?;
            bytes.extend_from_slice(&rest[..rest.len().min(length - bytes.len())]);
            (number, offset) = (number + 1, 0);
        }
        Ok(bytes)
    }
}
