//! NOR chips behind [`embedded_storage::nor_flash::NorFlash`].

use embedded_storage::nor_flash::{NorFlash, NorFlashError, NorFlashErrorKind};

use super::{Flash, FlashError, Geometry};

/// How a NOR chip is cut into pages and blocks, and which part of it the volume owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NorConfig {
    /// First byte of the volume; a multiple of `block_size`.
    pub offset: u32,
    /// Bytes of the volume; a multiple of `block_size`.
    pub length: u32,
    /// Logical page in bytes: 128, 256, 512 or 1024. 256 is the usual program unit of SPI NOR.
    pub page_size: u32,
    /// Bytes erased in one call: a multiple of the driver's `ERASE_SIZE`. More than one erase unit pays only
    /// where the driver merges them into one large erase of the chip.
    pub block_size: u32,
}

/// A part of a NOR chip, cut into pages and blocks.
#[derive(Debug)]
pub struct Nor<T> {
    driver: T,
    config: NorConfig,
}

impl<T: NorFlash> Nor<T> {
    /// Wraps a driver.
    ///
    /// # Errors
    /// `OutOfBounds` where the part does not lie within the chip or is empty, `NotAligned` where page, block,
    /// offset or length do not fit each other or the driver's units.
    pub fn new(driver: T, config: NorConfig) -> Result<Self, FlashError> {
        let end = config.offset.checked_add(config.length).ok_or(FlashError::OutOfBounds)?;
        if end as usize > driver.capacity() || config.length == 0 {
            return Err(FlashError::OutOfBounds);
        }
        let aligned = config.page_size.is_power_of_two()
            && (128..=1024).contains(&config.page_size)
            && (config.page_size as usize).is_multiple_of(T::WRITE_SIZE)
            && (config.page_size as usize).is_multiple_of(T::READ_SIZE)
            && config.block_size >= config.page_size
            && config.block_size.is_multiple_of(config.page_size)
            && (config.block_size as usize).is_multiple_of(T::ERASE_SIZE)
            && config.offset.is_multiple_of(config.block_size)
            && config.length.is_multiple_of(config.block_size);
        if !aligned {
            return Err(FlashError::NotAligned);
        }
        Ok(Self { driver, config })
    }

    /// Gives the driver back.
    pub fn into_inner(self) -> T {
        self.driver
    }

    /// The driver.
    pub fn driver_mut(&mut self) -> &mut T {
        &mut self.driver
    }

    fn address(&self, page: u32) -> Result<u32, FlashError> {
        if page >= self.geometry().page_count() {
            return Err(FlashError::OutOfBounds);
        }
        Ok(self.config.offset + page * self.config.page_size)
    }
}

impl<T: NorFlash> Flash for Nor<T> {
    fn geometry(&self) -> Geometry {
        Geometry {
            page_size: self.config.page_size,
            spare_size: 0,
            pages_per_block: self.config.block_size.checked_div(self.config.page_size).unwrap_or(0),
            block_count: self.config.length.checked_div(self.config.block_size).unwrap_or(0),
            bad_blocks_max: 0,
        }
    }

    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError> {
        let start = self.address(page)?;
        let page_size = self.config.page_size as usize;
        if column > page_size || bytes.len() > page_size - column {
            return Err(FlashError::OutOfBounds);
        }
        // READ_SIZE is 1 on every part in use; where it is not, callers read whole pages.
        self.driver.read(start + column as u32, bytes).map_err(from_nor)
    }

    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError> {
        if bytes.len() != self.config.page_size as usize {
            return Err(FlashError::NotAligned);
        }
        let start = self.address(page)?;
        self.driver.write(start, bytes).map_err(from_nor)
    }

    fn erase(&mut self, block: u32) -> Result<(), FlashError> {
        let start = self.address(block.saturating_mul(self.geometry().pages_per_block))?;
        self.driver.erase(start, start + self.config.block_size).map_err(from_nor)
    }

    fn is_bad(&mut self, _block: u32) -> Result<bool, FlashError> {
        Ok(false)
    }

    fn mark_bad(&mut self, _block: u32) -> Result<(), FlashError> {
        Ok(())
    }

    fn verifies_by_reading(&self) -> bool {
        true
    }
}

fn from_nor<E: NorFlashError>(error: E) -> FlashError {
    match error.kind() {
        NorFlashErrorKind::NotAligned => FlashError::NotAligned,
        NorFlashErrorKind::OutOfBounds => FlashError::OutOfBounds,
        _ => FlashError::Other,
    }
}
