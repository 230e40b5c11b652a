//! Addresses: where a byte of payload lies.

use crate::flash::Geometry;

/// The place of a payload byte: its page, shifted left, and its offset in the page's payload.
///
/// The byte after the last one of a page's payload is the first one of the next page: bodies of items run on
/// from page to page within a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address(pub(crate) u64);

/// The arithmetic of addresses for one geometry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    shift: u32,
    /// Payload bytes of a page.
    pub(crate) payload: u32,
    pub(crate) pages_per_block: u32,
    pub(crate) block_count: u32,
}

impl Space {
    pub(crate) const fn new(geometry: &Geometry, payload: u32) -> Self {
        Self {
            shift: match geometry.page_size.checked_ilog2() {
                Some(shift) => shift,
                None => 0,
            },
            payload,
            // At least 1, so that divisions are defined for any geometry; limits are checked at mount.
            pages_per_block: if geometry.pages_per_block == 0 { 1 } else { geometry.pages_per_block },
            block_count: geometry.block_count,
        }
    }

    pub(crate) const fn page_count(&self) -> u32 {
        self.pages_per_block.saturating_mul(self.block_count)
    }

    pub(crate) const fn block_payload(&self) -> u32 {
        self.payload * self.pages_per_block
    }

    pub(crate) fn address(&self, page: u32, offset: u32) -> Address {
        Address(u64::from(page) << self.shift | u64::from(offset))
    }

    pub(crate) fn page_of(&self, address: Address) -> u32 {
        // An address beyond 32 bits of pages is beyond every volume; saturating makes it fail the bounds check.
        u32::try_from(address.0 >> self.shift).unwrap_or(u32::MAX)
    }

    pub(crate) fn offset_of(&self, address: Address) -> u32 {
        (address.0 & ((1 << self.shift) - 1)) as u32
    }

    pub(crate) fn block_of_page(&self, page: u32) -> u32 {
        page.checked_div(self.pages_per_block).unwrap_or(0)
    }

    pub(crate) fn block_of(&self, address: Address) -> u32 {
        self.block_of_page(self.page_of(address))
    }

    pub(crate) fn first_page(&self, block: u32) -> u32 {
        block.wrapping_mul(self.pages_per_block)
    }

    /// The address `distance` payload bytes further on.
    pub(crate) fn advance(&self, address: Address, distance: u64) -> Address {
        let total = u64::from(self.offset_of(address)).saturating_add(distance);
        let payload = u64::from(self.payload);
        // Most steps stay on their page: spare small cores the 64-bit division.
        if total < payload {
            return self.address(self.page_of(address), total as u32);
        }
        let pages = total.checked_div(payload).unwrap_or(0);
        let offset = total - pages.saturating_mul(payload);
        let page = u64::from(self.page_of(address)).saturating_add(pages);
        Address(page.saturating_mul(1 << self.shift).saturating_add(offset))
    }

    /// Whether `len` bytes from `address` lie within one block of the volume.
    pub(crate) fn contains(&self, address: Address, len: u64) -> bool {
        let page = self.page_of(address);
        if page >= self.page_count() || self.offset_of(address) >= self.payload {
            return false;
        }
        let in_block = u64::from(page - self.first_page(self.block_of_page(page)));
        let start = in_block * u64::from(self.payload) + u64::from(self.offset_of(address));
        start.checked_add(len).is_some_and(|end| end <= u64::from(self.block_payload()))
    }

    /// A page of block `from` at its place in block `to`; other pages stay where they are.
    pub(crate) fn page_in_block(&self, page: u32, from: u32, to: u32) -> u32 {
        if self.block_of_page(page) != from {
            return page;
        }
        self.first_page(to).wrapping_add(page.wrapping_sub(self.first_page(from)))
    }

    /// The same place in another block.
    pub(crate) fn in_block(&self, address: Address, block: u32) -> Address {
        let page = self.page_of(address);
        let index = page - self.first_page(self.block_of_page(page));
        self.address(self.first_page(block) + index, self.offset_of(address))
    }
}
