//! What pages of a block hold, by the format description alone: what a loss of them may cost depends on it.

use k7fs_core::ecc::{Layout, is_codeword};
use k7fs_core::flash::{Flash, Geometry};

use crate::chip::SimFlash;

const HEADER_BYTES: usize = 20;
const CHECKSUM_BYTES: usize = 4;
/// Bytes of the longest integer.
const INTEGER_BYTES_MAX: usize = 10;

/// Kinds of a page, in its header.
const KIND_FIXED: u8 = 3;
const KIND_CHECKPOINT: u8 = 4;
/// The kind itself: above it are marks.
const KIND_MASK: u8 = 0x1F;

/// Bytes of a block header before its first integer: magic, volume id.
const BLOCK_HEADER_START_BYTES: usize = 4 + 16;
/// Bytes of a node's hash in what points to it.
const POINTER_HASH_BYTES: usize = 8;

const ITEM_VALUE: u8 = 0x01;
const ITEM_RECORD: u8 = 0x04;
const ITEM_NODE: u8 = 0x05;
const ITEM_PACKED: u8 = 0x06;
const ITEM_PACKED_RECORD: u8 = 0x07;
const ITEM_BLOCK_HEADER: u8 = 0x40;
const ITEM_CHECKPOINT: u8 = 0x42;
const ITEM_ANCHOR: u8 = 0x43;
/// Items from here on have no key.
const ITEM_KEYLESS: u8 = 0x40;

/// What lies on a page, whether anything refers to it or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The page's place in the order of all programs; 0 where it is not programmed.
    pub(super) sequence: u64,
    /// It is one of the log's, a copied one included.
    pub(super) is_log: bool,
    /// The page of the newest commit before it, plus one.
    pub(super) commit_before: u64,
    /// Content, or a value too long for a leaf.
    pub(super) content: bool,
    /// A leaf of the tree, or a part of one.
    pub(super) leaf: bool,
    /// An inner node, or a part of one.
    pub(super) inner: bool,
    /// Something else.
    pub(super) other: bool,
}

/// A page's header and payload.
struct Page {
    number: u32,
    kind: u8,
    sequence: u64,
    first_item: usize,
    commit_before: u64,
    payload: Vec<u8>,
}

impl Page {
    /// A page of the log, a copied one included.
    fn is_log(&self) -> bool {
        matches!(self.kind, 1 | 5)
    }
}

/// Reads integers.
struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Cursor<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for place in 0..INTEGER_BYTES_MAX {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F).checked_shl(7 * place as u32)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

fn payload_bytes(geometry: &Geometry, layout: Layout) -> usize {
    let after = if geometry.is_nand() { 0 } else { CHECKSUM_BYTES + layout.parity_bytes() };
    geometry.page_size as usize - HEADER_BYTES - after
}

/// A page as it reads; `None` where it is erased or not a whole page of a volume.
fn page(flash: &mut SimFlash, number: u32) -> Option<Page> {
    let geometry = flash.geometry();
    let layout = Layout::for_page(geometry.page_size, geometry.spare_size)?;
    let mut raw = vec![0; geometry.raw_page_size()];
    flash.read(number, 0, &mut raw).ok()?;
    if !is_codeword(&layout, &raw) {
        return None;
    }
    let mut header = Cursor { bytes: raw.get(..HEADER_BYTES)?, at: 0 };
    let kind = header.byte()? & KIND_MASK;
    let (sequence, _life, first_item) = (header.number()?, header.number()?, header.number()?);
    let commit_before = header.number()?;
    let payload = raw.get(HEADER_BYTES..HEADER_BYTES + payload_bytes(&geometry, layout))?.to_vec();
    Some(Page { number, kind, sequence, first_item: first_item as usize, commit_before, payload })
}

/// What the pages of a block hold.
pub(super) fn held_by(flash: &mut SimFlash, block: u32) -> Vec<Held> {
    let geometry = flash.geometry();
    let first = block * geometry.pages_per_block;
    let pages: Vec<Option<Page>> = (first..first + geometry.pages_per_block).map(|at| page(flash, at)).collect();
    let mut held = vec![Held::default(); pages.len()];
    for (index, page) in pages.iter().enumerate() {
        let Some(page) = page else { continue };
        held[index].sequence = page.sequence;
        held[index].is_log = page.is_log();
        held[index].commit_before = page.commit_before;
        let mut at = page.first_item;
        while let Some(item) = item_at(page, at) {
            let level = || pages.iter().skip(index).flatten().flat_map(|page| &page.payload).nth(item.body).copied();
            let mut end = item.body + item.length;
            // It lies on this page, and on those behind it that it runs on to.
            for (index, here) in (index..).zip(pages.iter().skip(index)) {
                note(&mut held[index], item.kind, if item.kind == ITEM_NODE { level() } else { None });
                let Some(rest) = here.as_ref().and_then(|here| end.checked_sub(here.payload.len())) else { break };
                if rest == 0 {
                    break;
                }
                end = rest;
            }
            at = item.body + item.length;
        }
    }
    held
}

fn note(held: &mut Held, kind: u8, level: Option<u8>) {
    match (kind, level) {
        (ITEM_VALUE | ITEM_RECORD | ITEM_PACKED | ITEM_PACKED_RECORD, _) => held.content = true,
        (ITEM_NODE, Some(0)) => held.leaf = true,
        (ITEM_NODE, _) => held.inner = true,
        _ => held.other = true,
    }
}

/// An item of a page.
struct Item {
    kind: u8,
    /// Where its body begins in the payload, and how long it is.
    body: usize,
    length: usize,
}

fn item_at(page: &Page, at: usize) -> Option<Item> {
    let mut cursor = Cursor { bytes: &page.payload, at };
    let kind = cursor.byte()?;
    if kind == 0 {
        return None;
    }
    if kind < ITEM_KEYLESS {
        cursor.byte()?;
        for _ in 0..3 {
            cursor.number()?;
        }
    }
    let length = cursor.number()? as usize;
    Some(Item { kind, body: cursor.at, length })
}

/// Where the log's tail begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// Pages of the log with a higher sequence belong to it.
    sequence: u64,
    /// The first page that may be programmed behind the checkpoint.
    first_page: u32,
    /// The page of the checkpoint's last commit, plus one.
    last_commit: u64,
}

impl Tail {
    /// Whether what is committed behind the checkpoint needs a page: one behind it, or one of the transaction that was under way then.
    pub(super) fn needs(&self, held: &Held) -> bool {
        held.is_log && (held.sequence > self.sequence || held.commit_before == self.last_commit)
    }

    /// Whether a block that the tail reaches names this one as the next.
    pub(super) fn goes_on_in(&self, flash: &mut SimFlash, block: u32) -> bool {
        let pages_per_block = flash.geometry().pages_per_block;
        let is_of_tail = |page: &Page| {
            page.sequence > self.sequence || page.number / pages_per_block == self.first_page / pages_per_block
        };
        all_pages(flash).any(|page| page.is_log() && is_of_tail(&page) && next_block(&page) == Some(block))
    }

    /// Whether a page is of the block in which the log goes on, behind the checkpoint: nobody can tell whether one that is lost had anything.
    pub(super) fn may_need(&self, page: u32, pages_per_block: u32) -> bool {
        page >= self.first_page && page / pages_per_block == self.first_page / pages_per_block
    }
}

/// All pages of the volume that can be read.
fn all_pages(flash: &mut SimFlash) -> impl Iterator<Item = Page> + use<'_> {
    (0..flash.geometry().page_count()).filter_map(|number| page(flash, number))
}

/// The block in which the newest page of the log lies.
pub(super) fn newest_log_block(flash: &mut SimFlash) -> Option<u32> {
    let pages_per_block = flash.geometry().pages_per_block;
    let newest = all_pages(flash).filter(Page::is_log).max_by_key(|page| page.sequence)?;
    Some(newest.number / pages_per_block)
}

/// The block that a page's block header names as the next one.
fn next_block(page: &Page) -> Option<u32> {
    let item = item_at(page, page.first_item).filter(|item| item.kind == ITEM_BLOCK_HEADER)?;
    let mut body = Cursor { bytes: &page.payload, at: item.body + BLOCK_HEADER_START_BYTES };
    let _erases = body.number()?;
    u32::try_from(body.number()?.checked_sub(1)?).ok()
}

/// The blocks of the checkpoints, by the newest page of the fixed set that can be read.
fn checkpoint_blocks(flash: &mut SimFlash) -> Option<[Option<u32>; 2]> {
    let newest = all_pages(flash).filter(|page| page.kind == KIND_FIXED).max_by_key(|page| page.sequence)?;
    let item = item_at(&newest, newest.first_item).filter(|item| item.kind == ITEM_ANCHOR)?;
    let mut body = Cursor { bytes: &newest.payload, at: item.body };
    let mut block = || Some(body.number()?.checked_sub(1).map(|block| block as u32));
    Some([block()?, block()?])
}

/// Where the log's tail begins, by the newest checkpoint that a mount finds.
pub(super) fn tail(flash: &mut SimFlash) -> Option<Tail> {
    let geometry = flash.geometry();
    let blocks = checkpoint_blocks(flash)?;
    let checkpoints = all_pages(flash).filter(|page| page.kind == KIND_CHECKPOINT).filter_map(|page| {
        let item = item_at(&page, page.first_item).filter(|item| item.kind == ITEM_CHECKPOINT)?;
        blocks.contains(&Some(page.number / geometry.pages_per_block)).then_some((page, item))
    });
    let (newest, item) = checkpoints.max_by_key(|(page, _)| page.sequence)?;
    let mut body = Cursor { bytes: &newest.payload, at: item.body };
    let _flags = body.number()?;
    let sequence = body.number()?;
    let _level = body.number()?;
    if body.number()? > 0 {
        let (_length, _copy) = (body.number()?, body.number()?);
        body.at += POINTER_HASH_BYTES;
    }
    let (block, index) = (body.number()? as u32, body.number()? as u32);
    let first_page = block * geometry.pages_per_block + index;
    Some(Tail { sequence, first_page, last_commit: body.number()? })
}
