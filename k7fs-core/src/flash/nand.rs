//! A blocking NAND trait in the style of `embedded-storage`, and the wrapper that makes a volume's chip of it.
//!
//! Self-contained on purpose: this module could be a crate of its own. Addresses are page and block numbers,
//! never one linear integer.

use super::{Flash, FlashError, Geometry};

/// The shape of a NAND chip. Runtime values, since parts are detected by their id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NandGeometry {
    /// Data bytes of a page.
    pub page_size: u32,
    /// Spare bytes of a page. The first two hold the factory's bad-block mark.
    pub spare_size: u32,
    /// Pages in a block.
    pub pages_per_block: u32,
    /// Blocks in the chip.
    pub block_count: u32,
    /// Blocks that may be or go bad within the rated life.
    pub bad_blocks_max: u32,
    /// How often a page may be programmed between erases.
    pub programs_per_page: u8,
    /// Whether the chip corrects errors itself.
    pub on_die_ecc: bool,
}

/// What kind of failure a NAND error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NandErrorKind {
    /// A page, block, column or length is outside the chip.
    OutOfBounds,
    /// A program was not a whole page.
    NotAligned,
    /// The status register reported a failed program.
    ProgramFailed,
    /// The status register reported a failed erase.
    EraseFailed,
    /// On-die correction gave up.
    Uncorrectable,
    /// The chip is write protected.
    WriteProtected,
    /// Anything else.
    Other,
}

/// A driver's error.
pub trait NandError: core::fmt::Debug {
    /// The generic kind of this error.
    fn kind(&self) -> NandErrorKind;
}

impl NandError for NandErrorKind {
    fn kind(&self) -> NandErrorKind {
        *self
    }
}

/// What a successful read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReadStatus {
    /// Nothing to report (always so without on-die correction).
    Clean,
    /// On-die correction mended the data; the count where the chip tells it.
    Corrected {
        /// Bits mended.
        bits: Option<u8>,
    },
    /// The data is good, but the page should be moved soon.
    RefreshSoon,
}

/// Names a driver's error type.
pub trait ErrorType {
    /// The driver's error.
    type Error: NandError;
}

/// A raw NAND chip.
///
/// Pages are numbered through the whole chip. Within a block they are programmed in ascending order, each at most
/// `programs_per_page` times between erases (K7FS programs each once).
///
/// Power loss: a cut during `program` leaves that page undefined, one during `erase` that block. Both may
/// read differently each time.
pub trait NandFlash: ErrorType {
    /// The chip's shape; constant.
    fn geometry(&self) -> NandGeometry;
    /// Reads `bytes.len()` bytes of a page, data then spare, starting at byte `column`.
    ///
    /// # Errors
    /// `OutOfBounds`, `Uncorrectable` (with on-die correction), `Other`. Corrected data is `Ok`.
    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<ReadStatus, Self::Error>;
    /// Programs a whole page; `data` and `spare` have the geometry's sizes. Returns when the chip has reported success.
    ///
    /// # Errors
    /// `ProgramFailed` from the status register, `NotAligned`, `OutOfBounds`, `WriteProtected`, `Other`.
    fn program(&mut self, page: u32, data: &[u8], spare: &[u8]) -> Result<(), Self::Error>;
    /// Erases a block.
    ///
    /// # Errors
    /// `EraseFailed` from the status register, `OutOfBounds`, `WriteProtected`, `Other`.
    fn erase(&mut self, block: u32) -> Result<(), Self::Error>;
    /// Whether the block carries a factory or grown mark.
    ///
    /// # Errors
    /// As for `read`.
    fn is_bad(&mut self, block: u32) -> Result<bool, Self::Error>;
    /// Writes a bad-block mark. Best effort on a block that no longer programs.
    ///
    /// # Errors
    /// As for `program`.
    fn mark_bad(&mut self, block: u32) -> Result<(), Self::Error>;
    /// Reads a page again, above and below the usual threshold, to tell which of its bits are near it.
    ///
    /// `weak` is as long as data and spare together and all zeros: bits that read differently become ones. `Ok(false)` where
    /// the chip has no read retry, as by default; then `weak` is left alone.
    ///
    /// # Errors
    /// As for `read`.
    fn read_weak(&mut self, page: u32, weak: &mut [u8]) -> Result<bool, Self::Error> {
        let _ = (page, weak);
        Ok(false)
    }
}

impl<T: ErrorType + ?Sized> ErrorType for &mut T {
    type Error = T::Error;
}

impl<T: NandFlash + ?Sized> NandFlash for &mut T {
    fn geometry(&self) -> NandGeometry {
        (**self).geometry()
    }
    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<ReadStatus, Self::Error> {
        (**self).read(page, column, bytes)
    }
    fn program(&mut self, page: u32, data: &[u8], spare: &[u8]) -> Result<(), Self::Error> {
        (**self).program(page, data, spare)
    }
    fn erase(&mut self, block: u32) -> Result<(), Self::Error> {
        (**self).erase(block)
    }
    fn is_bad(&mut self, block: u32) -> Result<bool, Self::Error> {
        (**self).is_bad(block)
    }
    fn mark_bad(&mut self, block: u32) -> Result<(), Self::Error> {
        (**self).mark_bad(block)
    }
    fn read_weak(&mut self, page: u32, weak: &mut [u8]) -> Result<bool, Self::Error> {
        (**self).read_weak(page, weak)
    }
}

/// A part of a NAND chip as a volume's flash.
#[derive(Debug)]
pub struct Nand<T> {
    driver: T,
    first_block: u32,
    block_count: u32,
}

impl<T: NandFlash> Nand<T> {
    /// Takes the whole chip.
    ///
    /// # Errors
    /// As [`Nand::part`].
    pub fn new(driver: T) -> Result<Self, FlashError> {
        let block_count = driver.geometry().block_count;
        Self::part(driver, 0, block_count)
    }

    /// Takes `block_count` blocks from `first_block`.
    ///
    /// # Errors
    /// `OutOfBounds` where the part does not lie within the chip or is empty.
    pub fn part(driver: T, first_block: u32, block_count: u32) -> Result<Self, FlashError> {
        let end = first_block.checked_add(block_count).ok_or(FlashError::OutOfBounds)?;
        if end > driver.geometry().block_count || block_count == 0 {
            return Err(FlashError::OutOfBounds);
        }
        Ok(Self { driver, first_block, block_count })
    }

    /// Gives the driver back.
    pub fn into_inner(self) -> T {
        self.driver
    }

    /// The driver.
    pub fn driver_mut(&mut self) -> &mut T {
        &mut self.driver
    }

    fn chip_block(&self, block: u32) -> Result<u32, FlashError> {
        if block >= self.block_count {
            return Err(FlashError::OutOfBounds);
        }
        Ok(self.first_block + block)
    }

    fn chip_page(&self, page: u32) -> Result<u32, FlashError> {
        let pages_per_block = self.driver.geometry().pages_per_block;
        let (Some(block), Some(index)) = (page.checked_div(pages_per_block), page.checked_rem(pages_per_block)) else {
            return Err(FlashError::OutOfBounds);
        };
        Ok(self.chip_block(block)? * pages_per_block + index)
    }
}

impl<T: NandFlash> Flash for Nand<T> {
    fn geometry(&self) -> Geometry {
        let chip = self.driver.geometry();
        Geometry {
            page_size: chip.page_size,
            spare_size: chip.spare_size,
            pages_per_block: chip.pages_per_block,
            block_count: self.block_count,
            bad_blocks_max: chip.bad_blocks_max.min(self.block_count),
        }
    }

    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError> {
        let page = self.chip_page(page)?;
        self.driver.read(page, column, bytes).map(|_| ()).map_err(from_nand)
    }

    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let geometry = self.driver.geometry();
        if bytes.len() != (geometry.page_size + geometry.spare_size) as usize {
            return Err(FlashError::NotAligned);
        }
        let page = self.chip_page(page)?;
        let parts = bytes.split_at_checked(geometry.page_size as usize);
        let (data, spare) = parts.ok_or(FlashError::NotAligned)?;
        self.driver.program(page, data, spare).map_err(from_nand)
    }

    fn erase(&mut self, block: u32) -> Result<(), FlashError> {
        let block = self.chip_block(block)?;
        self.driver.erase(block).map_err(from_nand)
    }

    fn is_bad(&mut self, block: u32) -> Result<bool, FlashError> {
        let block = self.chip_block(block)?;
        self.driver.is_bad(block).map_err(from_nand)
    }

    fn mark_bad(&mut self, block: u32) -> Result<(), FlashError> {
        let block = self.chip_block(block)?;
        self.driver.mark_bad(block).map_err(from_nand)
    }

    fn verifies_by_reading(&self) -> bool {
        false
    }

    fn read_weak(&mut self, page: u32, weak: &mut [u8]) -> Result<bool, FlashError> {
        let page = self.chip_page(page)?;
        self.driver.read_weak(page, weak).map_err(from_nand)
    }
}

fn from_nand<E: NandError>(error: E) -> FlashError {
    match error.kind() {
        NandErrorKind::OutOfBounds => FlashError::OutOfBounds,
        NandErrorKind::NotAligned => FlashError::NotAligned,
        NandErrorKind::ProgramFailed => FlashError::ProgramFailed,
        NandErrorKind::EraseFailed => FlashError::EraseFailed,
        NandErrorKind::Uncorrectable => FlashError::Uncorrectable,
        NandErrorKind::WriteProtected => FlashError::WriteProtected,
        NandErrorKind::Other => FlashError::Other,
    }
}
