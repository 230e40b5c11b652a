//! The anchor: from the fixed set at the chip's start to the newest checkpoint.
//!
//! Two blocks of the fixed set mirror each other: the signature, then one page for every time the checkpoint blocks
//! moved. Two checkpoint blocks, anywhere, mirror each other: block header, signature, then one page per
//! checkpoint. The fixed set is therefore written once per filled checkpoint block, and wears less than the average.

use super::alloc::BadReason;
use super::checkpoint::{CHECKPOINT_BYTES_MAX, Checkpoint, Reached};
use super::heads::{BLOCK_HEADER_ITEM_BYTES, BlockHeader, Doubt, RETRIES_MAX};
use super::item::{ITEM_HEADER_BYTES_MAX, ItemHeader, ItemKind, keyless_item};
use super::signature::{SIGNATURE_BYTES, Signature};
use super::{BlockState, Log};
use crate::ecc::{Correction, Layout};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::page::{Header, PageKind, ProgramError, Space};
use crate::varint::{Reader, Writer};

/// Copies of everything in the anchor.
pub(super) const MIRRORS: usize = 2;
/// Pages of a checkpoint block before its first checkpoint: block header and signature.
pub(super) const CHECKPOINT_FIRST_PAGE: u32 = 2;
/// Bytes of the largest item written here, header included.
const ITEM_BYTES_MAX: usize = ITEM_HEADER_BYTES_MAX + CHECKPOINT_BYTES_MAX;

/// A block of the anchor and its next page to program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnchorBlock {
    pub(super) block: u32,
    pub(super) next_page: u32,
    pub(super) doubt: Doubt,
}

/// The newest readable page of a fixed block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointer {
    pub(super) sequence: u64,
    pub(super) checkpoints: [Option<u32>; MIRRORS],
    /// Nothing unreadable lies behind it.
    pub(super) last: bool,
}

/// Where the anchor is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Anchors {
    pub(super) fixed: [Option<AnchorBlock>; MIRRORS],
    pub(super) checkpoints: [Option<AnchorBlock>; MIRRORS],
}

/// Blocks kept for the fixed set.
pub(crate) const fn fixed_blocks(block_count: u32) -> u32 {
    if block_count >= 1024 {
        6
    } else if block_count >= 64 {
        4
    } else if block_count >= 32 {
        3
    } else {
        2
    }
}

/// Pages that the signature takes at the start of a fixed block.
pub(super) const fn signature_pages(page_size: u32) -> u32 {
    if page_size == 0 { 1 } else { (SIGNATURE_BYTES as u32).div_ceil(page_size) }
}

/// A checkpoint that a mount has come across.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundCheckpoint {
    pub(super) sequence: u64,
    pub(super) page: u32,
    /// It is on the last page of its block.
    pub(super) last: bool,
}

/// Writes a checkpoint as an item of one page.
#[inline(never)]
fn checkpoint_item<'b>(space: &Space, checkpoint: &Checkpoint, bytes: &'b mut [u8]) -> Option<&'b [u8]> {
    let mut body = [0u8; CHECKPOINT_BYTES_MAX];
    let item = keyless_item(ItemKind::Checkpoint, checkpoint.encode(space, &mut body)?, bytes)?;
    (item.len() <= space.payload as usize).then_some(item)
}

impl<F: Flash> Log<'_, F> {
    /// Makes a checkpoint durable, and leaves the one before in its place. On return a mount finds it, and what only the one before needed
    /// may be erased; where that fails the one before is still the last.
    ///
    /// `fresh` says that the log's tail begins with it; else it begins where the checkpoint says.
    pub(super) fn write_checkpoint(&mut self, checkpoint: &mut Checkpoint, fresh: bool) -> Result<(), Error> {
        core::mem::swap(&mut self.checkpoint, checkpoint);
        let written = self.say_checkpoint(fresh);
        match written {
            Ok(()) => self.is_apart = false,
            Err(_) => core::mem::swap(&mut self.checkpoint, checkpoint),
        }
        written
    }

    /// Writes the last checkpoint once more, without a copy of it on the stack: this happens deep below any call.
    pub(super) fn repeat_checkpoint(&mut self) -> Result<(), Error> {
        self.checkpoint.clean = false;
        // The checkpoint that leads to the log will say all of this; the last one leads elsewhere.
        if self.is_apart { Ok(()) } else { self.say_checkpoint(false) }
    }

    #[inline(never)]
    fn say_checkpoint(&mut self, fresh: bool) -> Result<(), Error> {
        self.checkpoint.moved_page = self.moved_page();
        self.checkpoint.reached = self.reached();
        self.checkpoint.lives = self.lives_now()?;
        for _ in 0..RETRIES_MAX {
            let sequence = self.next_sequence();
            self.checkpoint.sequence = sequence;
            if fresh {
                self.checkpoint.tail_sequence = sequence;
            }
            let mut item = [0u8; ITEM_BYTES_MAX];
            let item = checkpoint_item(&self.pages.space, &self.checkpoint, &mut item).ok_or(Error::Exhausted)?;
            if self.append_checkpoint(sequence, item)? || self.move_checkpoints(sequence, item)? {
                return Ok(());
            }
        }
        Err(Error::WornOut)
    }

    /// How far the log has got.
    fn reached(&self) -> Reached {
        let next_erased = self.stated_next();
        if next_erased.is_none() && self.front.block == Some(self.checkpoint.front_block) {
            return Reached::NONE;
        }
        Reached { first_sequence: self.front.first_sequence, page: self.front.end, next_erased }
    }

    /// Free blocks that the next checkpoints may need because the checkpoint blocks are nearly full.
    pub(crate) fn checkpoint_move_blocks(&self) -> u32 {
        let nearly_full = self.pages.space.pages_per_block.saturating_sub(2);
        let tight = |anchor: &Option<AnchorBlock>| anchor.is_none_or(|anchor| anchor.next_page >= nearly_full);
        if self.anchors.checkpoints.iter().any(tight) { MIRRORS as u32 } else { 0 }
    }

    /// Programs a page in both checkpoint blocks; `false` where they are full or one failed.
    #[inline(never)]
    fn append_checkpoint(&mut self, sequence: u64, item: &[u8]) -> Result<bool, Error> {
        for mirror in 0..MIRRORS {
            let anchor = self.anchors.checkpoints.get(mirror).copied().flatten();
            let settled = self.settle_anchor(anchor, CHECKPOINT_FIRST_PAGE)?;
            if let Some(place) = self.anchors.checkpoints.get_mut(mirror) {
                *place = settled;
            }
        }
        let pages_per_block = self.pages.space.pages_per_block;
        let usable = |anchor: &Option<AnchorBlock>| anchor.is_some_and(|anchor| anchor.next_page < pages_per_block);
        if !self.anchors.checkpoints.iter().all(usable) {
            return Ok(false);
        }
        for mirror in 0..MIRRORS {
            let Some(Some(anchor)) = self.anchors.checkpoints.get_mut(mirror) else { return Ok(false) };
            let page = self.pages.space.first_page(anchor.block) + anchor.next_page;
            anchor.next_page += 1;
            if !self.program_item(page, PageKind::Checkpoint, sequence, item)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether both checkpoint blocks end with the newest checkpoint. The second one's page is programmed when the first
    /// one's is known to be good: of two readable ones a cut can have touched only one.
    pub(super) fn is_checkpoint_mirrored(&mut self) -> Result<bool, Error> {
        for anchor in self.anchors.checkpoints {
            let Some(last) = anchor.and_then(|anchor| anchor.next_page.checked_sub(1)) else { return Ok(false) };
            let first_page = self.pages.space.first_page(anchor.map_or(0, |anchor| anchor.block));
            match self.pages.header(first_page + last) {
                Ok(header) if header.sequence == self.checkpoint.sequence => {}
                Err(error) if !error.is_damage() => return Err(error),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Goes past pages that a cut has touched, or may have.
    fn settle_anchor(&mut self, anchor: Option<AnchorBlock>, from: u32) -> Result<Option<AnchorBlock>, Error> {
        let Some(anchor) = anchor.filter(|anchor| anchor.doubt != Doubt::None) else { return Ok(anchor) };
        let first_page = self.pages.space.first_page(anchor.block);
        let next_page = self.clean_page(first_page, from, anchor.next_page, anchor.doubt)?;
        Ok(Some(AnchorBlock { next_page, doubt: Doubt::None, ..anchor }))
    }

    /// Programs a page with one item; `false` where the block failed.
    fn program_item(&mut self, page: u32, kind: PageKind, sequence: u64, item: &[u8]) -> Result<bool, Error> {
        let header = Header {
            kind,
            commit: false,
            next_erased: false,
            again: false,
            sequence,
            life: self.alloc.erase_count(self.pages.space.block_of_page(page)),
            first_item: 0,
            last_commit: self.last_commit,
        };
        programmed(self.pages.program_payload(page, &header, item))
    }

    /// Writes the checkpoint to two fresh blocks and points the fixed set to them.
    fn move_checkpoints(&mut self, sequence: u64, item: &[u8]) -> Result<bool, Error> {
        let old = self.anchors.checkpoints;
        let mut fresh = [None; MIRRORS];
        for place in &mut fresh {
            *place = self.fresh_checkpoint_block(sequence, item)?;
            if place.is_none() {
                return Ok(false);
            }
        }
        self.anchors.checkpoints = fresh;
        self.write_fixed()?;
        for anchor in old.iter().flatten() {
            self.alloc.set_state(anchor.block, BlockState::Free);
        }
        Ok(true)
    }

    #[inline(never)]
    fn fresh_checkpoint_block(&mut self, sequence: u64, item: &[u8]) -> Result<Option<AnchorBlock>, Error> {
        for _ in 0..RETRIES_MAX {
            let block = self.take_free()?;
            self.alloc.set_state(block, BlockState::Anchor);
            self.generation = self.generation.wrapping_add(1);
            let first_page = self.pages.space.first_page(block);
            let mut bytes = [0u8; ITEM_BYTES_MAX];
            let header = BlockHeader {
                volume_id: self.signature.volume_id,
                erase_count: self.alloc.erase_count(block),
                next: None,
                before: 0,
                before_pages: 0,
            };
            let header_item = header.encode(&mut bytes).ok_or(Error::Exhausted)?;
            if !self.program_item(first_page, PageKind::Checkpoint, sequence, header_item)? {
                self.retire(block, BadReason::Program);
                continue;
            }
            let mut body = [0u8; SIGNATURE_BYTES];
            let body = self.signature.encode_body(&mut body).ok_or(Error::Exhausted)?;
            let signature = keyless_item(ItemKind::Signature, body, &mut bytes).ok_or(Error::Exhausted)?;
            if !self.program_item(first_page + 1, PageKind::Checkpoint, sequence, signature)?
                || !self.program_item(first_page + CHECKPOINT_FIRST_PAGE, PageKind::Checkpoint, sequence, item)?
            {
                self.retire(block, BadReason::Program);
                continue;
            }
            return Ok(Some(AnchorBlock { block, next_page: CHECKPOINT_FIRST_PAGE + 1, doubt: Doubt::None }));
        }
        Ok(None)
    }

    /// Points both fixed blocks to the checkpoint blocks; one is always whole.
    #[inline(never)]
    pub(super) fn write_fixed(&mut self) -> Result<(), Error> {
        let sequence = self.next_sequence();
        let mut body = [0u8; 16];
        let mut writer = Writer::new(&mut body);
        for anchor in self.anchors.checkpoints {
            writer.uleb_plus_one(anchor.map(|anchor| anchor.block));
        }
        let body = writer.finish().ok_or(Error::Exhausted)?;
        let mut item = [0u8; ITEM_HEADER_BYTES_MAX + 16];
        let item = keyless_item(ItemKind::Anchor, body, &mut item).ok_or(Error::Exhausted)?;
        let mut written = 0;
        for mirror in 0..MIRRORS {
            written += usize::from(self.write_fixed_mirror(mirror, sequence, item)?);
        }
        if written == 0 { Err(Error::WornOut) } else { Ok(()) }
    }

    fn write_fixed_mirror(&mut self, mirror: usize, sequence: u64, item: &[u8]) -> Result<bool, Error> {
        for _ in 0..RETRIES_MAX {
            let current = self.anchors.fixed.get(mirror).copied().flatten();
            let current = self.settle_anchor(current, signature_pages(self.signature.geometry.page_size))?;
            let anchor = match current {
                Some(anchor) if anchor.next_page < self.pages.space.pages_per_block => Some(anchor),
                Some(anchor) => self.format_fixed(anchor.block)?,
                None => match self.spare_fixed() {
                    Some(block) => self.format_fixed(block)?,
                    // The fixed area is used up: the other mirror carries on alone.
                    None => return Ok(false),
                },
            };
            let Some(place) = self.anchors.fixed.get_mut(mirror) else { return Ok(false) };
            let Some(anchor) = anchor else {
                *place = None;
                continue;
            };
            *place = Some(AnchorBlock { next_page: anchor.next_page + 1, ..anchor });
            let page = self.pages.space.first_page(anchor.block) + anchor.next_page;
            if self.program_item(page, PageKind::Anchor, sequence, item)? {
                return Ok(true);
            }
            self.retire(anchor.block, BadReason::Program);
            if let Some(place) = self.anchors.fixed.get_mut(mirror) {
                *place = None;
            }
        }
        Ok(false)
    }

    /// A block of the fixed area that is neither bad nor in use as a mirror.
    fn spare_fixed(&self) -> Option<u32> {
        (0..self.signature.fixed_blocks).find(|block| {
            let used = self.anchors.fixed.iter().flatten().any(|anchor| anchor.block == *block);
            !used && self.alloc.state(*block) == BlockState::Anchor
        })
    }

    /// Erases a fixed block and writes the signature; `None` where the block failed and is bad now.
    fn format_fixed(&mut self, block: u32) -> Result<Option<AnchorBlock>, Error> {
        self.alloc.set_erase_count(block, self.alloc.erase_count(block).saturating_add(1));
        let pages = signature_pages(self.signature.geometry.page_size);
        if !self.pages.erase(block)? {
            self.retire(block, BadReason::Erase);
            return Ok(None);
        }
        if !self.program_signature(block)? {
            self.retire(block, BadReason::Program);
            return Ok(None);
        }
        self.alloc.set_state(block, BlockState::Anchor);
        Ok(Some(AnchorBlock { block, next_page: pages, doubt: Doubt::None }))
    }

    #[inline(never)]
    fn program_signature(&mut self, block: u32) -> Result<bool, Error> {
        let mut codeword = [0u8; SIGNATURE_BYTES];
        self.signature.seal(&mut codeword)?;
        let page_size = self.signature.geometry.page_size as usize;
        let first_page = self.pages.space.first_page(block);
        for (index, part) in codeword.chunks(page_size.max(1)).enumerate() {
            if !programmed(self.pages.program_raw(first_page + index as u32, part))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is wrong with a page, read afresh; `None` where nothing is, or nothing is on it.
    pub(crate) fn inspect(&mut self, page: u32) -> Result<Option<Correction>, Error> {
        let space = self.pages.space;
        let block = space.block_of_page(page);
        let index = page - space.first_page(block);
        if block < self.signature.fixed_blocks && index < signature_pages(self.signature.geometry.page_size) {
            return if index == 0 { self.inspect_signature(page) } else { Ok(None) };
        }
        if self.is_outdated(block, index) || !self.pages.probe(page)? {
            return Ok(None);
        }
        self.pages.inspect(page)
    }

    /// Whether a block is one of the mirrors.
    pub(crate) fn is_anchor(&self, block: u32) -> bool {
        let Anchors { fixed, checkpoints } = &self.anchors;
        fixed.iter().chain(checkpoints).flatten().any(|anchor| anchor.block == block)
    }

    /// Whether a page of an anchor has others of its kind behind it.
    fn is_outdated(&self, block: u32, index: u32) -> bool {
        let [fixed, checkpoints] = [(&self.anchors.fixed, 0), (&self.anchors.checkpoints, CHECKPOINT_FIRST_PAGE)];
        [fixed, checkpoints].into_iter().any(|(anchors, first)| {
            let anchor = anchors.iter().flatten().find(|anchor| anchor.block == block);
            anchor.is_some_and(|anchor| index >= first && index + 1 < anchor.next_page)
        })
    }

    /// The same for the signature that begins on a page.
    #[inline(never)]
    fn inspect_signature(&mut self, page: u32) -> Result<Option<Correction>, Error> {
        let mut codeword = [0u8; SIGNATURE_BYTES];
        self.signature.seal(&mut codeword)?;
        let bits = self.pages.differing_bits(page, &codeword)?;
        let margin = Layout::Nor256.safe_bits() as i16 - bits.min(i16::MAX as u32) as i16;
        Ok((bits > 0).then_some(Correction { bits, margin, ..Correction::default() }))
    }

    /// Finds the newest pointer in a fixed block: the checkpoint blocks' numbers and the page's sequence number.
    ///
    /// `guess` says where the other mirror's pages end: mostly at the same place. Few pages are ever programmed here.
    pub(super) fn read_fixed(&mut self, block: u32, guess: u32) -> Result<(AnchorBlock, Option<Pointer>), Error> {
        let from = signature_pages(self.signature.geometry.page_size);
        let next_page = self.end_of_pages(block, from, Some(guess))?;
        let mut found = None;
        let first_page = self.pages.space.first_page(block);
        for index in (from..next_page).rev() {
            let Ok(header) = self.pages.header(first_page + index) else { continue };
            if header.kind != PageKind::Anchor {
                continue;
            }
            let Ok(Some(item)) = self.item_at(self.pages.space.address(first_page + index, 0)) else { continue };
            let mut body = [0u8; 16];
            let len = (item.header.len as usize).min(body.len());
            let body = body.get_mut(..len).unwrap_or_default();
            self.read(item.body, body)?;
            let mut reader = Reader::new(body);
            let mut checkpoints = [None; MIRRORS];
            for block in &mut checkpoints {
                *block = reader.uleb_minus_one();
            }
            found = Some(Pointer { sequence: header.sequence, checkpoints, last: index + 1 == next_page });
            break;
        }
        Ok((AnchorBlock { block, next_page, doubt: Doubt::MayShow }, found))
    }

    /// Finds the newest checkpoint in a checkpoint block, and whether it is the block's last page.
    ///
    /// What was decoded last stays in `self.checkpoint`; [`Self::load_checkpoint`] brings back the one that is chosen.
    /// `guess` says where the other mirror's pages end: mostly at the same place.
    pub(super) fn read_checkpoints(
        &mut self, block: u32, guess: Option<u32>,
    ) -> Result<(AnchorBlock, Option<FoundCheckpoint>), Error> {
        let next_page = self.end_of_pages(block, CHECKPOINT_FIRST_PAGE, guess)?;
        let first_page = self.pages.space.first_page(block);
        let mut found = None;
        for index in (CHECKPOINT_FIRST_PAGE..next_page).rev() {
            let page = first_page + index;
            if let Some(sequence) = self.load_checkpoint(page)? {
                found = Some(FoundCheckpoint { sequence, page, last: index + 1 == next_page });
                break;
            }
        }
        Ok((AnchorBlock { block, next_page, doubt: Doubt::MayShow }, found))
    }

    /// Reads the checkpoint on a page into `self.checkpoint` and tells its sequence number; `None` where there is none.
    #[inline(never)]
    pub(super) fn load_checkpoint(&mut self, page: u32) -> Result<Option<u64>, Error> {
        let header = match self.pages.header(page) {
            Ok(header) if header.kind == PageKind::Checkpoint => header,
            Ok(_) => return Ok(None),
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(Some(item)) = self.item_at(self.pages.space.address(page, 0)) else { return Ok(None) };
        let mut body = [0u8; CHECKPOINT_BYTES_MAX];
        let Some(body) = body.get_mut(..item.header.len as usize) else { return Ok(None) };
        if item.header.kind != ItemKind::Checkpoint {
            return Ok(None);
        }
        self.read(item.body, body)?;
        Ok(self.checkpoint.decode(&self.pages.space, body, header.sequence).map(|()| header.sequence))
    }

    /// Where the pages of a block end that were programmed in order from `from`, all but single gaps: pages skipped because
    /// they may have been torn.
    ///
    /// With a guess at the answer the search looks there first and takes growing steps up from it.
    pub(super) fn end_of_pages(&mut self, block: u32, from: u32, guess: Option<u32>) -> Result<u32, Error> {
        let first_page = self.pages.space.first_page(block);
        let pages_per_block = self.pages.space.pages_per_block;
        let mut end = self.first_blank(block, from, guess)?;
        // A torn page may look erased in its first bytes: whoever programs the next page looks at it first.
        while end + 1 < pages_per_block && self.pages.probe(first_page + end + 1)? {
            end = self.first_blank(block, end + 2, Some(end + 2))?;
        }
        Ok(end)
    }

    /// A blank page of a block behind programmed ones, or the block's end: the first, or one that was skipped.
    fn first_blank(&mut self, block: u32, from: u32, guess: Option<u32>) -> Result<u32, Error> {
        let first_page = self.pages.space.first_page(block);
        let (mut low, mut high) = (from, self.pages.space.pages_per_block);
        if let Some(guess) = guess {
            let mut at = guess.saturating_sub(1).max(from);
            let mut step = 1;
            while at < high {
                if self.pages.probe(first_page + at)? {
                    low = at + 1;
                    at += step;
                    step *= 2;
                } else {
                    high = at;
                }
            }
        }
        while low < high {
            let middle = low.midpoint(high);
            if self.pages.probe(first_page + middle)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// What the first page of a block says: its page header and block header. `None` where it cannot be read.
    pub(super) fn block_header(&mut self, block: u32) -> Result<Option<(Header, BlockHeader)>, Error> {
        let page = self.pages.space.first_page(block);
        let header = match self.pages.header(page) {
            Ok(header) => header,
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut payload = [0u8; BLOCK_HEADER_ITEM_BYTES];
        self.pages.read_payload(page, 0, &mut payload)?;
        Ok(BlockHeader::decode(&payload).map(|block_header| (header, block_header)))
    }

    /// As [`Self::block_header`] of a block whose life is known: no other one counts.
    pub(super) fn chain_header(&mut self, block: u32) -> Result<Option<(Header, BlockHeader)>, Error> {
        let found = self.block_header(block)?;
        if let Some((header, _)) = &found {
            self.check_life_of(self.pages.space.first_page(block), header)?;
        }
        Ok(found)
    }

    /// The signature's copy in a checkpoint block, of a volume that nothing is known of yet.
    pub(super) fn signature_in(&mut self, block: u32) -> Result<Option<Signature>, Error> {
        let first_page = self.pages.space.first_page(block);
        let mut bytes = [0u8; SIGNATURE_BYTES];
        let len = bytes.len().min(self.pages.space.payload as usize);
        let payload = bytes.get_mut(..len).unwrap_or_default();
        self.pages.read_unverified(first_page + 1, payload)?;
        let Ok(Some((header, size))) = ItemHeader::decode(payload) else { return Ok(None) };
        let body = payload.get(size..).and_then(|rest| rest.get(..header.len as usize));
        let (ItemKind::Signature, Some(body)) = (header.kind, body) else { return Ok(None) };
        let Ok(signature) = Signature::decode_body(body) else { return Ok(None) };
        // Now that the volume is known, the page must prove itself.
        self.pages.set_volume(&signature.volume_id, signature.salt);
        let proven = self.pages.header(first_page + 1).is_ok_and(|header| header.kind == PageKind::Checkpoint);
        Ok(proven.then_some(signature))
    }

    /// Reads and corrects the signature of a fixed block.
    pub(super) fn read_signature(&mut self, block: u32) -> Result<Signature, crate::Error> {
        let mut codeword = [0u8; SIGNATURE_BYTES];
        let first_page = self.pages.space.first_page(block);
        self.pages.read_signature(first_page, &mut codeword)
    }
}

fn programmed(result: Result<(), ProgramError>) -> Result<bool, Error> {
    match result {
        Ok(()) => Ok(true),
        Err(ProgramError::Failed) => Ok(false),
        Err(ProgramError::Other(error)) => Err(error),
    }
}
