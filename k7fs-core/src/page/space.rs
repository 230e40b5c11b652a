//! Addresses: where a byte of payload lies.

use crate::flash::Geometry;

/// The place of a payload byte: its page, and its offset in the page's payload.
///
/// The byte after the last one of a page's payload is the first one of the next page: bodies of items run on
/// from page to page within a block. On flash it is one number, see [`Space::number`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) page: u32,
    pub(crate) offset: u32,
}

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
        Address { page, offset }
    }

    pub(crate) fn page_of(&self, address: Address) -> u32 {
        address.page
    }

    pub(crate) fn offset_of(&self, address: Address) -> u32 {
        address.offset
    }

    /// An address as it stands on flash: the page, shifted left by the page size, and the offset.
    pub(crate) fn number(&self, address: Address) -> u64 {
        u64::from(address.page) << self.shift | u64::from(address.offset)
    }

    /// Undoes [`Self::number`], for any number.
    pub(crate) fn at(&self, number: u64) -> Address {
        // An address beyond 32 bits of pages is beyond every volume; saturating makes it fail the bounds check.
        let page = u32::try_from(number >> self.shift).unwrap_or(u32::MAX);
        Address { page, offset: number as u32 & ((1 << self.shift) - 1) }
    }

    /// As [`Self::number`], plus one; 0 for none.
    pub(crate) fn number_plus_one(&self, address: Option<Address>) -> u64 {
        address.map_or(0, |address| self.number(address) + 1)
    }

    /// Undoes [`Self::number_plus_one`].
    pub(crate) fn at_minus_one(&self, number: u64) -> Option<Address> {
        number.checked_sub(1).map(|number| self.at(number))
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
    #[inline(never)]
    pub(crate) fn advance(&self, address: Address, distance: u32) -> Address {
        let total = address.offset.saturating_add(distance);
        // Mostly it is the same page, and divisions are dear on small parts.
        if total < self.payload {
            return Address { offset: total, ..address };
        }
        let pages = total.checked_div(self.payload).unwrap_or(0);
        Address { page: address.page.saturating_add(pages), offset: total - pages * self.payload }
    }

    /// Whether `len` bytes from `address` lie within one block of the volume.
    pub(crate) fn contains(&self, address: Address, len: u32) -> bool {
        if address.page >= self.page_count() || address.offset >= self.payload {
            return false;
        }
        // As in `advance`.
        if len <= self.payload - address.offset {
            return true;
        }
        let in_block = address.page - self.first_page(self.block_of_page(address.page));
        len <= self.block_payload() - (in_block * self.payload + address.offset)
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
        let index = address.page - self.first_page(self.block_of_page(address.page));
        Address { page: self.first_page(block) + index, ..address }
    }
}
