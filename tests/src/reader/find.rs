//! Signature, anchor, checkpoint and allocation table: where a volume begins (sections 3, 4, 7 and 8).

use k7fs_core::ecc::Layout;
use k7fs_core::flash::Geometry;

use super::Result;
use super::bytes::{Crc, Cursor};
use super::page::{Page, PageCode, PageKind, Pages};

const MAGIC: [u8; 4] = [0x4B, 0x37, 0x46, 0x53];
const SIGNATURE_BYTES: usize = 256;
const SIGNATURE_BODY: usize = 220;
/// Blocks at the start that may hold a signature.
const SIGNATURE_BLOCKS: u32 = 8;

/// An item that starts on a page.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) kind: u8,
    /// Kind, object, position, index.
    pub(super) key: Option<[u8; 21]>,
    /// Where the body begins in the payload.
    pub(super) body_at: usize,
    pub(super) length: usize,
}

/// A key in the order of section 5: newer versions first.
pub(super) fn key(kind: u8, object: u64, position: u64, index: u32) -> [u8; 21] {
    let mut key = [0; 21];
    key[0] = kind;
    key[1..9].copy_from_slice(&object.to_be_bytes());
    key[9..17].copy_from_slice(&position.to_be_bytes());
    key[17..].copy_from_slice(&(!index).to_be_bytes());
    key
}

/// All items that start on a page.
pub(super) fn items(page: &Page) -> Result<Vec<Item>> {
    let mut found = Vec::new();
    let mut at = page.first_item;
    while at < page.payload.len() && page.payload[at] != 0 {
        let mut cursor = Cursor::new(&page.payload, at);
        let kind = cursor.byte()?;
        let key = if kind < 0x40 {
            Some(key(cursor.byte()?, cursor.number()?, cursor.number()?, cursor.small()?))
        } else {
            None
        };
        let length = cursor.small()? as usize;
        found.push(Item { kind, key, body_at: cursor.at(), length });
        at = cursor.at() + length;
    }
    Ok(found)
}

/// The body of the only item of a type, which lies whole on its page.
pub(super) fn body(page: &Page, kind: u8) -> Result<Option<&[u8]>> {
    let item = items(page)?.into_iter().find(|item| item.kind == kind);
    let Some(item) = item else { return Ok(None) };
    let body = page.payload.get(item.body_at..item.body_at + item.length);
    body.map(Some).ok_or_else(|| format!("item {kind:#x} runs over its page"))
}

/// Section 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) volume_id: [u8; 16],
    pub(super) blocks: u32,
    pub(super) hash_id: u64,
    /// Every byte of content carries a hash.
    pub(super) verified: bool,
    pub(super) logical_block_log2: u64,
    pub(super) longest_node: u64,
    pub(super) longest_name: u64,
    pub(super) fixed_blocks: u32,
    pub(super) second_copies: bool,
    pub(super) salt: u64,
}

impl Signature {
    fn parse(bytes: &[u8], geometry: Geometry) -> Result<Self> {
        let mut cursor = Cursor::new(bytes, 0);
        if cursor.array()? != MAGIC {
            return Err("no magic".to_owned());
        }
        let _level = cursor.number()?;
        let (_compatible, _read_only, incompatible) = (cursor.number()?, cursor.number()?, cursor.number()?);
        let (longest, _mode) = (cursor.number()?, cursor.number()?);
        let volume_id = cursor.array()?;
        let medium = cursor.number()?;
        let shape = Geometry {
            page_size: cursor.small()?,
            spare_size: cursor.small()?,
            pages_per_block: cursor.small()?,
            block_count: cursor.small()?,
            bad_blocks_max: cursor.small()?,
        };
        // How many blocks it has now, the checkpoint says.
        let blocks = shape.block_count;
        let shape = Geometry { block_count: geometry.block_count, ..shape };
        if incompatible != 0 || longest != 10 || medium != u64::from(geometry.is_nand()) || shape != geometry {
            return Err(format!("the signature is for another chip or reader: {shape:?}"));
        }
        let hash_id = cursor.number()?;
        if cursor.number()? != 8 {
            return Err("pointer hashes of another length".to_owned());
        }
        let logical_block_log2 = cursor.number()?;
        let (codecs, codec) = (cursor.number()?, cursor.number()?);
        if hash_id > 2 || codecs & 1 == 0 || codecs >> codec & 1 == 0 {
            return Err(format!("hash {hash_id}, codecs {codecs:#b}, new content with {codec}"));
        }
        let (longest_node, longest_name) = (cursor.number()?, cursor.number()?);
        let (fixed_blocks, options, salt) = (cursor.small()?, cursor.number()?, cursor.number()?);
        let second_copies = options & 1 == 1;
        Ok(Self {
            volume_id,
            blocks,
            hash_id,
            verified: options & 2 != 0,
            logical_block_log2,
            longest_node,
            longest_name,
            fixed_blocks,
            second_copies,
            salt,
        })
    }

    /// The signature of the fixed set, the newest format's where several are there.
    pub(super) fn find(image: &[u8], geometry: Geometry) -> Result<Option<Self>> {
        let code = PageCode::new(Layout::Nor256);
        let mut newest: Option<Self> = None;
        for block in 0..SIGNATURE_BLOCKS.min(geometry.block_count) {
            let at = block as usize * geometry.pages_per_block as usize * geometry.raw_page_size();
            let raw = if geometry.page_size as usize >= SIGNATURE_BYTES || geometry.spare_size == 0 {
                &image[at..at + SIGNATURE_BYTES]
            } else {
                return Err("pages too small for a signature".to_owned());
            };
            let Some((word, _)) = code.correct(raw) else { continue };
            let crc = Crc::new(u32::from_le_bytes(MAGIC)).update(&word[..SIGNATURE_BODY]);
            if crc.finish().to_le_bytes() != word[SIGNATURE_BODY..SIGNATURE_BODY + 4] {
                continue;
            }
            let found = Self::parse(&word[..SIGNATURE_BODY], geometry)?;
            if newest.as_ref().is_none_or(|newest| newest.salt < found.salt) {
                newest = Some(found);
            }
        }
        Ok(newest)
    }
}

/// The newest pair of checkpoint blocks that the fixed set names.
pub(super) fn anchor(pages: &Pages<'_>, fixed_blocks: u32) -> Result<Option<Vec<u32>>> {
    let mut newest: Option<(u64, Vec<u32>)> = None;
    for number in (0..fixed_blocks).flat_map(|block| pages.pages_of(block)) {
        let Some(page) = pages.try_get(number)? else { continue };
        if page.kind != PageKind::Anchor || newest.as_ref().is_some_and(|(sequence, _)| *sequence >= page.sequence) {
            continue;
        }
        let body = body(&page, 0x43)?.ok_or("an anchor page without an anchor")?;
        let mut cursor = Cursor::new(body, 0);
        let blocks = [cursor.optional_small()?, cursor.optional_small()?];
        newest = Some((page.sequence, blocks.into_iter().flatten().collect()));
    }
    Ok(newest.map(|(_, blocks)| blocks))
}

/// Where a node is, and its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointer {
    pub(super) address: u64,
    pub(super) length: usize,
    pub(super) copy: Option<u64>,
    pub(super) hash: [u8; 8],
}

/// Section 7.
#[derive(Clone, Debug)]
pub(super) struct Checkpoint {
    pub(super) clean: bool,
    pub(super) tail_sequence: u64,
    pub(super) root: Option<(u8, Pointer)>,
    pub(super) front_block: u32,
    pub(super) last_commit: Option<u32>,
    pub(super) tag: [u8; 4],
    pub(super) transaction: u64,
    pub(super) segments: Vec<(u64, usize)>,
    pub(super) jumps: Vec<(u32, u32)>,
    /// Blocks of the volume, where the signature says another number.
    pub(super) blocks: Option<u32>,
}

impl Checkpoint {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes, 0);
        let flags = cursor.number()?;
        let clean = flags & 1 == 1;
        let tail_sequence = cursor.number()?;
        let level = cursor.byte()?;
        let root = match cursor.optional()? {
            None => None,
            Some(address) => {
                let (length, copy) = (cursor.small()? as usize, cursor.optional()?);
                Some((level, Pointer { address, length, copy, hash: cursor.array()? }))
            }
        };
        let (front_block, _front_page) = (cursor.small()?, cursor.small()?);
        let (last_commit, tag, transaction) = (cursor.optional_small()?, cursor.array()?, cursor.number()?);
        let (_moved, _next_object) = (cursor.number()?, cursor.number()?);
        let (_leaves, _scrubbed) = (cursor.number()?, cursor.number()?);
        let segments = (0..cursor.number()?).map(|_| Ok((cursor.number()?, cursor.small()? as usize)));
        let segments = segments.collect::<Result<_>>()?;
        let jumps = (0..cursor.number()?).map(|_| Ok((cursor.small()?, cursor.small()?)));
        let jumps = jumps.collect::<Result<_>>()?;
        if flags & 16 != 0 {
            let (_reached, _page) = (cursor.number()?, cursor.number()?);
        }
        let blocks = if cursor.at() < bytes.len() { Some(cursor.small()?) } else { None };
        Ok(Self { clean, tail_sequence, root, front_block, last_commit, tag, transaction, segments, jumps, blocks })
    }

    /// The newest of some checkpoint blocks.
    pub(super) fn find(pages: &Pages<'_>, blocks: &[u32]) -> Result<Self> {
        let mut newest: Option<(u64, Self)> = None;
        for number in blocks.iter().flat_map(|block| pages.pages_of(*block)) {
            let Some(page) = pages.try_get(number)? else { continue };
            if page.kind != PageKind::Checkpoint || newest.as_ref().is_some_and(|(newest, _)| *newest >= page.sequence)
            {
                continue;
            }
            if let Some(body) = body(&page, 0x42)? {
                newest = Some((page.sequence, Self::parse(body)?));
            }
        }
        Ok(newest.ok_or("there is no checkpoint")?.1)
    }
}

/// The erase count of every block, from the allocation table.
pub(super) fn erase_counts(pages: &Pages<'_>, blocks: u32, checkpoint: &Checkpoint) -> Result<Vec<u64>> {
    let payload = pages.payload_bytes() as u32;
    if blocks > pages.geometry.block_count {
        return Err(format!("the volume has {blocks} blocks, the chip fewer"));
    }
    let per_segment = 64.max(payload / 4).max(blocks.div_ceil(if payload < 128 { 4 } else { 16 }));
    let mut counts = Vec::new();
    for (index, (address, length)) in checkpoint.segments.iter().enumerate() {
        let bytes = pages.bytes(*address, *length)?;
        let mut cursor = Cursor::new(&bytes, 0);
        if cursor.number()? != index as u64 {
            return Err(format!("segment {index} of the table is another one"));
        }
        for _ in 0..per_segment.min(blocks - counts.len() as u32) {
            if u16::from_le_bytes(cursor.array()?) & 7 > 6 {
                return Err("a block of an unknown state".to_owned());
            }
            counts.push(cursor.number()?);
        }
        if cursor.rest().iter().any(|byte| *byte != 0) {
            return Err(format!("segment {index} of the table is too long"));
        }
    }
    if counts.len() == blocks as usize { Ok(counts) } else { Err("the table has too few segments".to_owned()) }
}
