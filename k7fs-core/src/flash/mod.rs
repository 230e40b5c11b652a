//! The flash floor: chips as the layers above see them.
//!
//! A chip is a row of *blocks* (units of erasing) of *pages* (units of programming).
//! NOR drivers come in through [`embedded_storage::nor_flash::NorFlash`] wrapped in [`Nor`],
//! NAND drivers through [`nand::NandFlash`] wrapped in [`Nand`]. Both wrappers may be given a part of
//! a chip. Everything above talks to the [`Flash`] trait only.

pub mod nand;
mod nor;

pub use nand::Nand;
pub use nor::{Nor, NorConfig};

/// What a chip, or the part of it given to the volume, looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Geometry {
    /// Data bytes of a page, spare excluded.
    pub page_size: u32,
    /// Spare bytes behind each page's data; 0 on NOR.
    pub spare_size: u32,
    /// Pages in a block.
    pub pages_per_block: u32,
    /// Blocks in the volume, bad ones included.
    pub block_count: u32,
    /// How many blocks the maker allows to be or go bad within the rated life.
    pub bad_blocks_max: u32,
}

impl Geometry {
    /// Bytes that one page takes on the chip, spare included.
    pub const fn raw_page_size(&self) -> usize {
        (self.page_size + self.spare_size) as usize
    }
    /// Pages in the volume.
    pub const fn page_count(&self) -> u32 {
        self.pages_per_block * self.block_count
    }
    /// Whether the chip has a spare area, and with it NAND rules.
    pub const fn is_nand(&self) -> bool {
        self.spare_size > 0
    }
}

/// Why a chip refused or failed an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
// A word, like everything else that an error carries on its way up.
#[repr(u32)]
pub enum FlashError {
    /// An address or length is not a multiple of the unit that the operation works in.
    NotAligned,
    /// An address lies beyond the end of the chip or of the part given to the volume.
    OutOfBounds,
    /// The chip reported that programming a page failed.
    ProgramFailed,
    /// The chip reported that erasing a block failed.
    EraseFailed,
    /// The chip's own error correction gave up on a page.
    Uncorrectable,
    /// The chip is write protected.
    WriteProtected,
    /// Anything else, a bus error for example.
    Other,
}

/// A chip, or a part of one, as the page floor uses it.
///
/// Pages and blocks are numbered from 0 within the part. Implemented by [`Nor`] and [`Nand`].
///
/// Power-loss contract: a cut during `program` leaves that page undefined and a cut during `erase`
/// that block; everything else keeps its content.
pub trait Flash {
    /// The geometry; constant for the life of the value.
    fn geometry(&self) -> Geometry;
    /// Reads raw bytes of a page, data then spare, from byte `column`.
    ///
    /// # Errors
    /// `OutOfBounds` past the page or the chip, `Uncorrectable` from a chip with its own correction,
    /// or what the driver says.
    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError>;
    /// Programs a whole erased page, data then spare.
    ///
    /// # Errors
    /// `NotAligned` where `bytes` is not a whole page, `ProgramFailed`, or what the driver says.
    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError>;
    /// Erases a whole block in one call.
    ///
    /// # Errors
    /// `EraseFailed`, or what the driver says.
    fn erase(&mut self, block: u32) -> Result<(), FlashError>;
    /// Whether the block carries a bad-block mark. Always `false` on NOR.
    ///
    /// # Errors
    /// What the driver says.
    fn is_bad(&mut self, block: u32) -> Result<bool, FlashError>;
    /// Marks the block bad on the chip. Does nothing on NOR.
    ///
    /// # Errors
    /// What the driver says.
    fn mark_bad(&mut self, block: u32) -> Result<(), FlashError>;
    /// Whether a program is proven only by reading it back: NOR parts have no fail flag.
    fn verifies_by_reading(&self) -> bool;
    /// Reads a page again to tell which of its bits are near the threshold between 0 and 1.
    ///
    /// `weak` is as long as a raw page, data then spare, and all zeros: weak bits become ones. `Ok(false)` where the chip
    /// cannot tell, as by default; then `weak` is left alone. Called for pages that the quicker decoders could not mend.
    ///
    /// # Errors
    /// As for `read`.
    fn read_weak(&mut self, page: u32, weak: &mut [u8]) -> Result<bool, FlashError> {
        let _ = (page, weak);
        Ok(false)
    }
}

impl<T: Flash + ?Sized> Flash for &mut T {
    fn geometry(&self) -> Geometry {
        (**self).geometry()
    }
    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError> {
        (**self).read(page, column, bytes)
    }
    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError> {
        (**self).program(page, bytes)
    }
    fn erase(&mut self, block: u32) -> Result<(), FlashError> {
        (**self).erase(block)
    }
    fn is_bad(&mut self, block: u32) -> Result<bool, FlashError> {
        (**self).is_bad(block)
    }
    fn mark_bad(&mut self, block: u32) -> Result<(), FlashError> {
        (**self).mark_bad(block)
    }
    fn verifies_by_reading(&self) -> bool {
        (**self).verifies_by_reading()
    }
    fn read_weak(&mut self, page: u32, weak: &mut [u8]) -> Result<bool, FlashError> {
        (**self).read_weak(page, weak)
    }
}
