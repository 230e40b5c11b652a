//! The page floor: sealed pages, and the only code that touches flash.
//!
//! ```text
//! NOR   header 20 | payload | keyed hash 0 or 16 | CRC-32C 4 | LDPC parity
//! NAND  header 20 | payload | keyed hash 0 or 16 | factory mark 2 | zeros | CRC-32C 4 | LDPC parity
//! ```
//!
//! The checksum lies inside the codeword and is seeded with volume id, page address and layout: a decoder that
//! converged to a wrong codeword, a read from the wrong place and a page of another volume all fail it. What somebody has made
//! on purpose passes it; on authenticated volumes it fails the keyed hash.

mod cache;
mod header;
mod space;
mod statistics;

pub(crate) use cache::SLOT_BYTES;
pub(crate) use header::{HEADER_BYTES, Header, PageKind};
pub(crate) use space::{Address, Space};
pub use statistics::{ReadStatistics, WeakPage};

#[cfg(feature = "nand-codes")]
use core::num::NonZeroU32;

use crate::ecc::{self, Correction, Layout, Tier, Uncorrectable};
use crate::error::inner::Error;
use crate::flash::{Flash, FlashError, Geometry};
use crate::hash::crc32;
use crate::key::{Keys, MAC_BYTES, Mac};
use crate::log::{SIGNATURE_BYTES, Signature};
use crate::sabotage::{Step, is_off};
use cache::Cache;

/// Bytes of the checksum.
const CRC_BYTES: usize = 4;
/// Bytes of the factory's bad-block mark, at the start of the spare area.
const MARK_BYTES: usize = 2;
/// How often a page is read again before it counts as uncorrectable.
const READ_RETRIES_MAX: u32 = 3;
/// A programmed page has far more zero bits than this in its header; an erased one only flips.
const PROBE_ZERO_BITS_MAX: u32 = 8;
/// Pages of a block that are looked at after an erase which the chip says is done.
const ERASE_LOOKS: u32 = 4;
const LOOK_BYTES: usize = 64;
/// One zero in so many bytes may be a cell that is stuck, and is corrected.
const BYTES_PER_STUCK_ZERO: usize = 256;

/// Payload bytes of a page, or `None` where no code exists for this page.
pub(crate) const fn payload_bytes(geometry: &Geometry) -> Option<u32> {
    let Some(layout) = Layout::for_page(geometry.page_size, geometry.spare_size) else { return None };
    let end = if geometry.is_nand() {
        geometry.page_size
    } else {
        geometry.page_size - layout.parity_bytes() as u32 - CRC_BYTES as u32
    };
    Some(end - HEADER_BYTES as u32)
}

/// Why a page was not programmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramError {
    /// The page failed, and with it its block: the content must go elsewhere.
    Failed,
    /// Anything else ends the operation.
    Other(Error),
}

impl From<Error> for ProgramError {
    fn from(error: Error) -> Self {
        ProgramError::Other(error)
    }
}

/// One read in so many is a sample, on NAND. Blocks stand some 100,000 reads of their pages between two erases before bits flip.
#[cfg(feature = "nand-codes")]
const SAMPLE_READS: u32 = 2048;

/// Sealed pages over a chip, with a read cache.
#[derive(Debug)]
pub(crate) struct Pages<'b, F> {
    pub(crate) flash: F,
    pub(crate) space: Space,
    layout: Layout,
    raw_size: usize,
    crc_at: usize,
    page_size: usize,
    seed: u32,
    pub(crate) keys: Keys,
    cache: Cache<'b>,
    scratch: &'b mut [u8],
    pub(crate) statistics: ReadStatistics,
    /// Pages read so far, modulo 2^32.
    reads: u32,
    /// The last of every [`SAMPLE_READS`], until it is asked for.
    #[cfg(feature = "nand-codes")]
    sample: Option<NonZeroU32>,
}

impl<'b, F: Flash> Pages<'b, F> {
    /// `cache` holds raw pages with [`SLOT_BYTES`] each, `scratch` what the decoder needs.
    pub(crate) fn new(
        flash: F, layout: Layout, cache: &'b mut [u8], scratch: &'b mut [u8], keys: Keys,
    ) -> Option<Self> {
        let geometry = flash.geometry();
        let payload = payload_bytes(&geometry)? - if keys.pages().is_some() { MAC_BYTES as u32 } else { 0 };
        let raw_size = geometry.raw_page_size();
        Some(Self {
            space: Space::new(&geometry, payload),
            layout,
            raw_size,
            crc_at: raw_size.checked_sub(layout.parity_bytes() + CRC_BYTES)?,
            page_size: geometry.page_size as usize,
            seed: 0,
            keys,
            cache: Cache::new(cache, raw_size),
            scratch,
            statistics: ReadStatistics::default(),
            reads: 0,
            #[cfg(feature = "nand-codes")]
            sample: None,
            flash,
        })
    }

    /// From now on, pages belong to this volume.
    pub(crate) fn set_volume(&mut self, volume_id: &[u8; 16], salt: u64) {
        self.seed = crc32(0, &[volume_id, &salt.to_le_bytes(), &[self.layout.id()]]);
        self.keys.set_volume(volume_id, salt);
        self.cache.clear();
    }

    /// Seals a raw page whose payload is in place.
    pub(crate) fn seal(&self, page: u32, header: &Header, raw: &mut [u8]) -> Result<(), Error> {
        let fits = raw.get_mut(..HEADER_BYTES).is_some_and(|bytes| header.encode(bytes));
        if !fits {
            return Err(Error::Exhausted);
        }
        if let Some(mark) = self.mark_range().and_then(|range| raw.get_mut(range)) {
            mark.fill(0xFF);
        }
        if self.crc_at > self.page_size
            && let Some(rest) = raw.get_mut(self.page_size + MARK_BYTES..self.crc_at)
        {
            rest.fill(0);
        }
        if let Some(mac) = self.mac(page, raw)
            && let Some(place) = raw.get_mut(self.mac_range())
        {
            place.copy_from_slice(&mac);
        }
        let crc = self.checksum(page, raw);
        if let Some(place) = raw.get_mut(self.crc_at..).and_then(|rest| rest.get_mut(..CRC_BYTES)) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        ecc::encode(&self.layout, raw);
        Ok(())
    }

    /// The checksum of a sealed page: what the next commit says of this one.
    pub(crate) fn tag(&self, raw: &[u8]) -> u32 {
        raw.get(self.crc_at..).and_then(|rest| rest.first_chunk()).map_or(0, |tag| u32::from_le_bytes(*tag))
    }

    /// The checksum of a page on flash.
    pub(crate) fn tag_of(&mut self, page: u32) -> Result<u32, Error> {
        let slot = self.load(page)?;
        Ok(self.tag(self.cache.raw(slot)))
    }

    /// Programs a sealed page and proves it: by reading back on NOR, by the chip's status on NAND.
    pub(crate) fn program(&mut self, page: u32, raw: &[u8]) -> Result<(), ProgramError> {
        self.cache.forget(page);
        match self.flash.program(page, raw) {
            Ok(()) => {}
            Err(FlashError::ProgramFailed) => return Err(ProgramError::Failed),
            Err(error) => return Err(ProgramError::Other(error.into())),
        }
        if !self.flash.verifies_by_reading() {
            self.cache.remember(page, raw);
            return Ok(());
        }
        let mut chunk = [0u8; 64];
        for (i, expected) in raw.chunks(chunk.len()).enumerate() {
            let Some(read) = chunk.get_mut(..expected.len()) else { continue };
            // A bit that flips for one read is no failed program: only what stays wrong is.
            let mut proven = false;
            for _ in 0..=READ_RETRIES_MAX {
                proven = self.read_raw(page, i * 64, read).map_err(ProgramError::Other)? && read == expected;
                if proven {
                    break;
                }
            }
            if !proven {
                return Err(ProgramError::Failed);
            }
        }
        self.cache.remember(page, raw);
        Ok(())
    }

    /// Erases a block; `Ok(false)` where the chip reports that it failed, or has done so before: a mark outlives what the
    /// allocation table says.
    pub(crate) fn erase(&mut self, block: u32) -> Result<bool, Error> {
        if self.flash.is_bad(block)? {
            return Ok(false);
        }
        self.cache.forget_block(&self.space, block);
        match self.flash.erase(block) {
            Ok(()) if self.flash.verifies_by_reading() => self.is_block_erased(block),
            Ok(()) => self.looks_erased(block),
            Err(FlashError::EraseFailed) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether some pages of a block hold no more zeros than are corrected: a chip may report an erase that it has not done. The first
    /// page is one of them, which was programmed in every block that was used.
    fn looks_erased(&mut self, block: u32) -> Result<bool, Error> {
        let first_page = self.space.first_page(block);
        let pages = first_page..first_page + self.space.pages_per_block;
        for page in pages.step_by((self.space.pages_per_block / ERASE_LOOKS).max(1) as usize) {
            let mut zeros = 0;
            for column in (0..self.raw_size).step_by(LOOK_BYTES) {
                let (mut first, mut second) = ([0u8; LOOK_BYTES], [u8::MAX; LOOK_BYTES]);
                let here = (self.raw_size - column).min(LOOK_BYTES);
                let (Some(first), Some(second)) = (first.get_mut(..here), second.get_mut(..here)) else { break };
                let is_read = self.read_raw(page, column, first)?;
                // What flips for a moment is no bit that was left.
                if !is_read || first.iter().any(|byte| *byte != 0xFF) && !self.read_raw(page, column, second)? {
                    return Ok(false);
                }
                zeros += first.iter().zip(second).map(|(a, b)| (*a | *b).count_zeros() as usize).sum::<usize>();
            }
            if zeros > self.raw_size / BYTES_PER_STUCK_ZERO {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn is_block_erased(&mut self, block: u32) -> Result<bool, Error> {
        let first_page = self.space.first_page(block);
        for page in first_page..first_page + self.space.pages_per_block {
            if !self.is_erased(page)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a page's header area looks programmed. Cheap: a handful of bytes is read.
    pub(crate) fn probe(&mut self, page: u32) -> Result<bool, Error> {
        let mut head = [0u8; HEADER_BYTES];
        let is_read = self.read_raw(page, 0, &mut head)?;
        let zeros: u32 = head.iter().map(|byte| byte.count_zeros()).sum();
        Ok(!is_read || zeros > PROBE_ZERO_BITS_MAX)
    }

    /// Reads raw bytes; `false` where the chip's own correction gave up on them, which no erased page makes it do.
    fn read_raw(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<bool, Error> {
        match self.flash.read(page, column, bytes) {
            Ok(()) => Ok(true),
            Err(FlashError::Uncorrectable) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a whole page reads as erased. Every bit is read twice: one that flips for a moment does not count,
    /// one that a torn program has changed does.
    pub(crate) fn is_erased(&mut self, page: u32) -> Result<bool, Error> {
        let mut first = [0u8; 64];
        let mut second = [0u8; 64];
        let mut column = 0;
        while column < self.raw_size {
            let len = (self.raw_size - column).min(first.len());
            let (Some(first), Some(second)) = (first.get_mut(..len), second.get_mut(..len)) else { break };
            if !self.read_raw(page, column, first)? {
                return Ok(false);
            }
            if first.iter().any(|byte| *byte != 0xFF) {
                let is_read = self.read_raw(page, column, second)?;
                if !is_read || first.iter().zip(second.iter()).any(|(a, b)| a | b != 0xFF) {
                    return Ok(false);
                }
            }
            column += len;
        }
        Ok(true)
    }

    /// The header of a page.
    pub(crate) fn header(&mut self, page: u32) -> Result<Header, Error> {
        let slot = self.load(page)?;
        let raw = self.cache.raw(slot);
        raw.get(..HEADER_BYTES).and_then(Header::decode).ok_or(Error::Corrupt { page })
    }

    /// Copies payload bytes of one page. One that is read as a whole is content on its way through: it gives way first, so that
    /// a long read does not push out the tree's nodes.
    pub(crate) fn read_payload(&mut self, page: u32, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let slot = self.load(page)?;
        let source = self.cache.raw(slot).get(HEADER_BYTES + offset..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(source.ok_or(Error::Corrupt { page })?);
        if bytes.len() >= self.space.payload as usize {
            self.cache.make_oldest(slot);
        }
        Ok(())
    }

    /// Builds a page from a payload, seals and programs it.
    pub(crate) fn program_payload(&mut self, page: u32, header: &Header, payload: &[u8]) -> Result<(), ProgramError> {
        let slot = self.cache.borrow(page);
        self.with_slot(slot, |pages, raw| {
            raw.fill(0);
            if let Some(place) = raw.get_mut(HEADER_BYTES..).and_then(|rest| rest.get_mut(..payload.len())) {
                place.copy_from_slice(payload);
            }
            pages.seal(page, header, raw)?;
            pages.program(page, raw)
        })
    }

    /// Lends the memory of a slot to something that needs the rest as well.
    fn with_slot<E: From<Error>>(
        &mut self, slot: usize, work: impl FnOnce(&mut Self, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let pages = self.cache.take();
        let result = match pages.get_mut(slot * self.raw_size..(slot + 1) * self.raw_size) {
            Some(raw) => work(self, raw),
            None => Err(Error::NeedsRemount.into()),
        };
        self.cache.give_back(pages);
        result
    }

    /// Reads payload bytes that nothing vouches for.
    pub(crate) fn read_unverified(&mut self, page: u32, bytes: &mut [u8]) -> Result<(), Error> {
        Ok(self.flash.read(page, HEADER_BYTES, bytes)?)
    }

    /// Programs bytes as they are at the start of a page; the rest stays as erased.
    pub(crate) fn program_raw(&mut self, page: u32, bytes: &[u8]) -> Result<(), ProgramError> {
        let slot = self.cache.borrow(page);
        self.with_slot(slot, |pages, raw| {
            raw.fill(0xFF);
            if let Some(place) = raw.get_mut(..bytes.len()) {
                place.copy_from_slice(bytes);
            }
            pages.program(page, raw)
        })
    }

    /// Reads the signature that starts on a page, corrected.
    pub(crate) fn read_signature(
        &mut self, page: u32, codeword: &mut [u8; SIGNATURE_BYTES],
    ) -> Result<Signature, crate::Error> {
        let mut result = Err(crate::Error::NotAVolume);
        for _ in 0..=READ_RETRIES_MAX {
            for (index, part) in codeword.chunks_mut(self.page_size.max(1)).enumerate() {
                self.flash.read(page + index as u32, 0, part)?;
            }
            result = Signature::open(codeword, self.scratch);
            if !matches!(result, Err(crate::Error::DamagedSignature)) {
                break;
            }
        }
        result
    }

    /// Programs page `to` with the corrected content of page `from` under another header.
    pub(crate) fn copy_page(
        &mut self, from: u32, to: u32, change: impl FnOnce(&mut Header),
    ) -> Result<(), ProgramError> {
        let slot = self.load(from)?;
        let mut header = self.header(from)?;
        change(&mut header);
        self.cache.forget(from);
        self.with_slot(slot, |pages, raw| {
            pages.seal(to, &header, raw)?;
            pages.program(to, raw)
        })
    }

    /// Pages read so far, modulo 2^32; those that were in memory do not count.
    pub(crate) fn reads(&self) -> u32 {
        self.reads
    }

    fn count_read(&mut self, _page: u32) {
        self.reads = self.reads.wrapping_add(1);
        #[cfg(feature = "nand-codes")]
        if self.raw_size > self.page_size && self.reads.is_multiple_of(SAMPLE_READS) {
            // Page 0 holds the signature, which is read some other way.
            self.sample = NonZeroU32::new(_page);
        }
    }

    /// A page that stands for those that were read often: a block's come up as often as they are read.
    #[cfg(feature = "nand-codes")]
    pub(crate) fn sample(&self) -> Option<u32> {
        self.sample.map(NonZeroU32::get)
    }

    /// The page has been seen to.
    #[cfg(feature = "nand-codes")]
    pub(crate) fn clear_sample(&mut self) {
        self.sample = None;
    }

    #[cfg(not(feature = "nand-codes"))]
    pub(crate) fn sample(&self) -> Option<u32> {
        None
    }

    #[cfg(not(feature = "nand-codes"))]
    pub(crate) fn clear_sample(&mut self) {}

    /// Whether a page can be had without reading it.
    pub(crate) fn is_cached(&self, page: u32) -> bool {
        self.cache.find(page).is_some()
    }

    fn mark_range(&self) -> Option<core::ops::Range<usize>> {
        (self.raw_size > self.page_size).then_some(self.page_size..self.page_size + MARK_BYTES)
    }

    fn checksum(&self, page: u32, raw: &[u8]) -> u32 {
        let sealed = raw.get(..self.crc_at).unwrap_or_default();
        let place = page.to_le_bytes();
        match self.mark_range() {
            Some(mark) => {
                let data = sealed.get(..mark.start).unwrap_or_default();
                let rest = sealed.get(mark.end..).unwrap_or_default();
                crc32(self.seed, &[&place, data, rest])
            }
            None => crc32(self.seed, &[&place, sealed]),
        }
    }

    /// Where the keyed hash is: behind the payload.
    fn mac_range(&self) -> core::ops::Range<usize> {
        let start = HEADER_BYTES + self.space.payload as usize;
        start..start + MAC_BYTES
    }

    /// The keyed hash of a page's header and payload; none where the volume has no key. The page's number takes the hash's place
    /// meanwhile.
    fn mac(&self, page: u32, raw: &mut [u8]) -> Option<Mac> {
        let key = self.keys.pages()?;
        let range = self.mac_range();
        let mut place = page.to_le_bytes().into_iter();
        raw.get_mut(range.clone())?.fill_with(|| place.next().unwrap_or(0));
        Some(key.mac(raw.get(..range.end)?))
    }

    /// Whether somebody who had the key has made this page for this place. Its block may have been erased since.
    fn authenticate(&self, page: u32, raw: &mut [u8]) -> Result<(), Error> {
        let stored: Option<Mac> = raw.get(self.mac_range()).and_then(|mac| mac.try_into().ok());
        match self.mac(page, raw) {
            None => Ok(()),
            Some(mac) if Some(mac) == stored || is_off(Step::PageKey) => Ok(()),
            Some(_) => Err(Error::Forged { page }),
        }
    }

    fn is_sealed(&self, page: u32, raw: &[u8]) -> bool {
        let stored = raw.get(self.crc_at..).and_then(|rest| rest.first_chunk::<CRC_BYTES>());
        if is_off(Step::Checksum) {
            return ecc::syndrome_weight(&self.layout, raw) == 0;
        }
        stored.is_some_and(|stored| u32::from_le_bytes(*stored) == self.checksum(page, raw))
    }

    /// Brings a page into the cache, corrected and checked. One that was given up just now is not tried again.
    fn load(&mut self, page: u32) -> Result<usize, Error> {
        if page >= self.space.page_count() {
            return Err(Error::Corrupt { page });
        }
        if let Some(slot) = self.cache.touch(page) {
            return Ok(slot);
        }
        match self.cache.is_lost(page) {
            Some(true) => return Err(Error::BeyondSmallDecoder { page }),
            Some(false) => return Err(Error::Uncorrectable { page }),
            None => {}
        }
        self.count_read(page);
        let slot = self.cache.borrow(page);
        match self.with_slot(slot, |pages, raw| pages.read_corrected(page, raw).map(drop)) {
            Ok(()) => self.cache.keep(slot, page),
            Err(error) => {
                if error.is_unreadable() {
                    self.cache.note_lost(page, matches!(error, Error::BeyondSmallDecoder { .. }));
                }
                return Err(error);
            }
        }
        Ok(slot)
    }

    /// Bits that differ between the chip, from a page on, and what is said.
    pub(crate) fn differing_bits(&mut self, page: u32, expected: &[u8]) -> Result<u32, Error> {
        let mut bits = 0;
        for (index, part) in expected.chunks(self.page_size.max(1)).enumerate() {
            for (piece, column) in part.chunks(HEADER_BYTES).zip((0..).step_by(HEADER_BYTES)) {
                let mut read = [0u8; HEADER_BYTES];
                let Some(read) = read.get_mut(..piece.len()) else { continue };
                let is_read = self.read_raw(page + index as u32, column, read)?;
                bits += match is_read {
                    true => read.iter().zip(piece).map(|(a, b)| (a ^ b).count_ones()).sum(),
                    // The chip's own correction gave up: nothing of it is sure.
                    false => piece.len() as u32 * 8,
                };
            }
        }
        Ok(bits)
    }

    /// Programs the first bytes of a page with the same value; the rest stays as erased.
    pub(crate) fn program_pattern(&mut self, page: u32, pattern: u8, len: usize) -> Result<(), ProgramError> {
        let slot = self.cache.borrow(page);
        self.with_slot(slot, |pages, raw| {
            raw.fill(0xFF);
            raw.get_mut(..len).unwrap_or_default().fill(pattern);
            pages.program(page, raw)
        })
    }

    /// Bits of such a page that read wrong twice: what flips for a moment is not counted.
    pub(crate) fn wrong_bits(&mut self, page: u32, pattern: u8, len: usize) -> Result<u32, Error> {
        let mut bits = 0;
        for column in (0..len).step_by(LOOK_BYTES) {
            let (mut first, mut second) = ([pattern; LOOK_BYTES], [pattern; LOOK_BYTES]);
            let here = (len - column).min(LOOK_BYTES);
            let (Some(first), Some(second)) = (first.get_mut(..here), second.get_mut(..here)) else { break };
            let is_read = self.read_raw(page, column, first)?;
            if !is_read || first.iter().any(|byte| *byte != pattern) && !self.read_raw(page, column, second)? {
                return Ok(u32::MAX);
            }
            bits += first.iter().zip(second).map(|(a, b)| ((*a ^ pattern) & (*b ^ pattern)).count_ones()).sum::<u32>();
        }
        Ok(bits)
    }

    /// Reads a page afresh, keeps nothing of it, and tells what was wrong with it, the parity included; `None` where nothing was.
    pub(crate) fn inspect(&mut self, page: u32) -> Result<Option<Correction>, Error> {
        self.cache.forget(page);
        let slot = self.cache.borrow(page);
        let mut found = None;
        self.with_slot(slot, |pages, raw| {
            found = pages.read_corrected(page, raw)?;
            // Looking at the keyed hash has changed the page.
            if found.is_none() && pages.keys.pages().is_some() && !pages.read_raw(page, 0, raw)? {
                return Ok(());
            }
            if found.is_none() && ecc::syndrome_weight(&pages.layout, raw) > 0 {
                found = Some(pages.mend_parity(page, raw));
            }
            Ok::<(), Error>(())
        })?;
        Ok(found)
    }

    /// What is wrong with the parity of a page whose content is sound.
    fn mend_parity(&mut self, page: u32, raw: &mut [u8]) -> Correction {
        let scratch = core::mem::take(&mut self.scratch);
        let mended = ecc::decode_briefly(&self.layout, raw, scratch, &mut |candidate| self.is_sealed(page, candidate));
        self.scratch = scratch;
        mended.unwrap_or(Correction { margin: -1, ..Correction::default() })
    }

    /// The weakest page that reads have met, if it is weak.
    pub(crate) fn weakest(&self) -> Option<u32> {
        self.statistics.weakest.filter(|weakest| self.is_weak(weakest.margin)).map(|weakest| weakest.page)
    }

    /// Whether a page with this margin should be programmed anew: three quarters of the wrong bits that are safe have come. Linux
    /// does the same with its raw NAND (`bitflip_threshold`).
    pub(crate) fn is_weak(&self, margin: i16) -> bool {
        i32::from(margin) * 4 <= self.layout.safe_bits() as i32
    }

    /// Whether a page that has so many wrong bits right after it was programmed is not worth another use: a quarter of those that
    /// are safe leaves too little for what the years add.
    pub(crate) fn is_worn(&self, wrong_bits: u32) -> bool {
        wrong_bits.saturating_mul(4) > self.layout.safe_bits()
    }

    /// Checksum first: an undamaged page costs no decoding. Then the decoder, then the same again with a fresh read. Tells what was
    /// mended.
    fn read_corrected(&mut self, page: u32, raw: &mut [u8]) -> Result<Option<Correction>, Error> {
        let scratch = core::mem::take(&mut self.scratch);
        let result = self.read_with(page, raw, scratch);
        self.scratch = scratch;
        result
    }

    fn read_with(&mut self, page: u32, raw: &mut [u8], scratch: &mut [u8]) -> Result<Option<Correction>, Error> {
        let (scratch, weak) = self.split_scratch(scratch);
        let mut failure = Error::Uncorrectable { page };
        let mut given_up = None;
        for attempt in 0..=READ_RETRIES_MAX {
            if !self.read_raw(page, 0, raw)? {
                continue;
            }
            if self.is_sealed(page, raw) {
                return self.authenticate(page, raw).map(|()| None);
            }
            let is_again = attempt > 0;
            if is_again && !weak.is_empty() {
                self.read_weak(page, raw, weak)?;
            }
            // What reads as before would be searched in vain once more, and that is what takes long after a cut.
            if is_again && given_up == Some(crc32(0, &[raw, weak])) {
                self.statistics.retried_reads = self.statistics.retried_reads.saturating_add(1);
                continue;
            }
            let mut accept = |candidate: &[u8]| self.is_sealed(page, candidate);
            let decoded = if is_again || weak.is_empty() {
                ecc::decode_soft(&self.layout, raw, weak, scratch, &mut accept)
            } else {
                // Reading once more costs less than the end of the ladder, and tells more.
                ecc::decode_briefly(&self.layout, raw, scratch, &mut accept)
            };
            match decoded {
                Ok(correction) => {
                    self.statistics.add(page, &correction);
                    return self.authenticate(page, raw).map(|()| Some(correction));
                }
                Err(Uncorrectable::LargerDecoder { .. }) => failure = Error::BeyondSmallDecoder { page },
                Err(_) => {}
            }
            // The decoder has left the page as it was read.
            given_up = Some(crc32(0, &[raw, if is_again { weak } else { &[] }]));
            // Nothing that was ever programmed looks like this: reading it again would not help.
            if attempt == 0 && self.is_erased(page)? {
                break;
            }
            self.statistics.retried_reads = self.statistics.retried_reads.saturating_add(1);
        }
        Err(failure)
    }

    /// The decoder's scratch, and room for a page's weak bits where the whole ladder has its own.
    fn split_scratch<'s>(&self, scratch: &'s mut [u8]) -> (&'s mut [u8], &'s mut [u8]) {
        let full = self.layout.scratch_bytes(Tier::Full);
        let weak_end = full + self.raw_size;
        if !cfg!(feature = "full-decoder") || scratch.len() < weak_end {
            return (scratch, &mut []);
        }
        let whole = scratch.get_mut(..weak_end).unwrap_or_default();
        whole.split_at_mut_checked(full).unwrap_or_default()
    }

    /// Marks the bits of a page that has just been read as `raw` which may as well have read otherwise. Where the chip cannot
    /// tell, those that read otherwise a second time.
    fn read_weak(&mut self, page: u32, raw: &[u8], weak: &mut [u8]) -> Result<(), Error> {
        weak.fill(0);
        if self.flash.read_weak(page, weak)? {
            return Ok(());
        }
        if self.read_raw(page, 0, weak)? {
            weak.iter_mut().zip(raw).for_each(|(weak, raw)| *weak ^= raw);
        } else {
            weak.fill(0);
        }
        Ok(())
    }
}
