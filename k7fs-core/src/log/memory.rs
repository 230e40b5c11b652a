//! The caller's buffer and what it is cut into.

use super::alloc::BLOCK_BYTES;
use super::table::ROW_BYTES;
use crate::ecc::{Layout, Tier};
use crate::flash::Geometry;
use crate::page::{SLOT_BYTES, payload_bytes};

/// The parts of the caller's buffer.
pub(crate) struct Memory<'b> {
    pub(crate) cache: &'b mut [u8],
    /// Its size decides how far the decoder goes.
    pub(crate) scratch: &'b mut [u8],
    pub(crate) front: &'b mut [u8],
    pub(crate) moved: &'b mut [u8],
    pub(crate) alloc: &'b mut [u8],
    pub(crate) table: &'b mut [u8],
    pub(crate) node: &'b mut [u8],
}

/// Pages in the read cache of the smallest buffer.
const fn cache_pages(geometry: &Geometry) -> usize {
    let bytes = geometry.page_size as u64 * geometry.page_count() as u64;
    if bytes <= 1 << 20 {
        3
    } else if geometry.is_nand() {
        6
    } else if bytes <= 4 << 20 {
        4
    } else {
        8
    }
}

/// Rows of the table: more of them make checkpoints rarer, and grow with what the chip can hold.
pub(crate) const fn table_rows(geometry: &Geometry) -> usize {
    let bytes = geometry.page_size as u64 * geometry.page_count() as u64;
    if bytes <= 1 << 20 {
        64
    } else if bytes <= 4 << 20 {
        128
    } else {
        256
    }
}

/// Bytes of the longest node: half a KiB on small pages, where a change writes a node but reads cost little; a page's payload
/// on NAND, where a node costs a page load whatever its size; less where blocks are tiny.
pub(crate) const fn node_bytes_max(geometry: &Geometry) -> u32 {
    let Some(payload) = payload_bytes(geometry) else { return 0 };
    let most = if payload > 1100 { payload - 64 } else { 500 };
    let most = if most > 2000 { 2000 } else { most };
    let block = payload * geometry.pages_per_block;
    if block < most + 128 { block.saturating_sub(128) } else { most }
}

const fn scratch_bytes(geometry: &Geometry, tier: Tier) -> usize {
    let signature = Layout::Nor256.scratch_bytes(tier);
    let page = match Layout::for_page(geometry.page_size, geometry.spare_size) {
        Some(layout) => layout.scratch_bytes(tier),
        None => 0,
    };
    // The whole ladder has room for the page's weak bits as well.
    let weak = if cfg!(feature = "full-decoder") && matches!(tier, Tier::Full) { geometry.raw_page_size() } else { 0 };
    (if page > signature { page } else { signature }) + weak
}

const fn sizes(geometry: &Geometry) -> [usize; 6] {
    let raw = geometry.raw_page_size();
    [
        (raw + SLOT_BYTES) * cache_pages(geometry),
        raw,
        raw,
        geometry.block_count as usize * BLOCK_BYTES,
        table_rows(geometry) * ROW_BYTES,
        node_bytes_max(geometry) as usize,
    ]
}

/// Bytes of buffer that a volume with this geometry needs for a decoder of this tier.
pub(crate) const fn buffer_bytes(geometry: &Geometry, tier: Tier) -> usize {
    let sizes = sizes(geometry);
    sizes[0] + sizes[1] + sizes[2] + sizes[3] + sizes[4] + sizes[5] + scratch_bytes(geometry, tier)
}

impl<'b> Memory<'b> {
    /// Cuts the buffer up; `None` where it is too small. What no decoder has a use for makes the cache larger.
    pub(crate) fn split(buffer: &'b mut [u8], geometry: &Geometry) -> Option<Self> {
        let is_full = buffer.len() >= buffer_bytes(geometry, Tier::Full);
        let tier = if is_full { Tier::Full } else { Tier::Small };
        let spare = buffer.len().checked_sub(buffer_bytes(geometry, tier))?;
        let [cache, front, moved, alloc, table, node] = sizes(geometry);
        let (cache, rest) = buffer.split_at_mut_checked(cache + spare)?;
        let (front, rest) = rest.split_at_mut_checked(front)?;
        let (moved, rest) = rest.split_at_mut_checked(moved)?;
        let (alloc, rest) = rest.split_at_mut_checked(alloc)?;
        let (table, rest) = rest.split_at_mut_checked(table)?;
        let (node, scratch) = rest.split_at_mut_checked(node)?;
        Some(Self { cache, scratch, front, moved, alloc, table, node })
    }
}
