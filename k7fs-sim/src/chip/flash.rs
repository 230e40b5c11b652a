//! Any preset as a volume's flash.

use k7fs_core::flash::{Flash, FlashError, Geometry, Nand, Nor, NorConfig};

use super::{Chip, ChipKind, SimNand, SimNor};

/// A chip of any kind as [`Flash`], through the wrappers that firmware uses.
#[derive(Clone, Debug)]
pub struct SimFlash {
    chip: Chip,
    page_size: u32,
    block_size: u32,
    first_block: u32,
    block_count: u32,
}

/// Calls a method of the wrapper that fits the chip.
macro_rules! dispatch {
    ($self:ident, $flash:ident => $call:expr) => {
        match &$self.chip.spec().kind {
            ChipKind::Nor(nor) => match (nor.write_size, nor.erase_size) {
                (1, 4096) => dispatch!(@nor $self, 1, 4096, $flash => $call),
                (4, 1024) => dispatch!(@nor $self, 4, 1024, $flash => $call),
                (4, 4096) => dispatch!(@nor $self, 4, 4096, $flash => $call),
                (8, 2048) => dispatch!(@nor $self, 8, 2048, $flash => $call),
                (32, 131_072) => dispatch!(@nor $self, 32, 131_072, $flash => $call),
                _ => Err(FlashError::NotAligned),
            },
            ChipKind::Nand(_) => {
                let (first, count) = ($self.first_block, $self.block_count);
                let driver = SimNand::new(&mut $self.chip).map_err(|_| FlashError::Other)?;
                let mut wrapper = Nand::part(driver, first, count)?;
                let $flash = &mut wrapper;
                $call
            }
        }
    };
    (@nor $self:ident, $write:literal, $erase:literal, $flash:ident => $call:expr) => {{
        let config = $self.nor_config()?;
        let driver = SimNor::<$write, $erase, _>::new(&mut $self.chip).map_err(|_| FlashError::Other)?;
        let mut wrapper = Nor::new(driver, config)?;
        let $flash = &mut wrapper;
        $call
    }};
}

impl SimFlash {
    /// The whole chip with the part's default page and block size.
    pub fn new(chip: Chip) -> Self {
        let spec = chip.spec();
        Self {
            page_size: spec.volume_page_size(),
            block_size: spec.volume_block_size(),
            first_block: 0,
            block_count: spec.volume_block_count(),
            chip,
        }
    }

    /// The whole chip with pages and blocks of these sizes in bytes, spare excluded. NAND has only its own.
    ///
    /// # Errors
    /// `NotAligned` or `OutOfBounds` where they do not fit the chip.
    pub fn with_layout(chip: Chip, page_size: u32, block_size: u32) -> Result<Self, FlashError> {
        let block_count = chip.spec().data_size().checked_div(u64::from(block_size)).ok_or(FlashError::NotAligned)?;
        Self::part(chip, page_size, block_size, 0..block_count as u32)
    }

    /// A part of the chip: pages and blocks as for [`with_layout`](Self::with_layout), and which of these blocks.
    ///
    /// # Errors
    /// `NotAligned` or `OutOfBounds` where they do not fit the chip.
    pub fn part(chip: Chip, page_size: u32, block_size: u32, blocks: std::ops::Range<u32>) -> Result<Self, FlashError> {
        let spec = chip.spec();
        if spec.is_nand() && (page_size, block_size) != (spec.volume_page_size(), spec.volume_block_size()) {
            return Err(FlashError::NotAligned);
        }
        let block_count = blocks.end.checked_sub(blocks.start).ok_or(FlashError::OutOfBounds)?;
        let mut flash = Self { chip, page_size, block_size, first_block: blocks.start, block_count };
        flash.checked_geometry()?;
        Ok(flash)
    }

    /// The chip.
    pub const fn chip(&self) -> &Chip {
        &self.chip
    }

    /// The chip, to plan faults or give the power back.
    pub const fn chip_mut(&mut self) -> &mut Chip {
        &mut self.chip
    }

    /// Gives the chip back.
    pub fn into_chip(self) -> Chip {
        self.chip
    }

    /// The same layout over another chip of the same part: a fork, for example.
    #[must_use]
    pub fn with_chip(&self, chip: Chip) -> Self {
        Self { chip, ..*self }
    }

    fn nor_config(&self) -> Result<NorConfig, FlashError> {
        let offset = self.first_block.checked_mul(self.block_size).ok_or(FlashError::OutOfBounds)?;
        let length = self.block_count.checked_mul(self.block_size).ok_or(FlashError::OutOfBounds)?;
        Ok(NorConfig { offset, length, page_size: self.page_size, block_size: self.block_size })
    }

    pub(super) fn checked_geometry(&mut self) -> Result<Geometry, FlashError> {
        dispatch!(self, flash => Ok(flash.geometry()))
    }
}

impl Flash for SimFlash {
    fn geometry(&self) -> Geometry {
        let (spare_size, bad_blocks_max) = match &self.chip.spec().kind {
            ChipKind::Nor(_) => (0, 0),
            ChipKind::Nand(nand) => (nand.geometry.spare_size, nand.geometry.bad_blocks_max.min(self.block_count)),
        };
        Geometry {
            page_size: self.page_size,
            spare_size,
            pages_per_block: self.block_size / self.page_size,
            block_count: self.block_count,
            bad_blocks_max,
        }
    }

    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError> {
        dispatch!(self, flash => flash.read(page, column, bytes))
    }

    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError> {
        dispatch!(self, flash => flash.program(page, bytes))
    }

    fn erase(&mut self, block: u32) -> Result<(), FlashError> {
        dispatch!(self, flash => flash.erase(block))
    }

    fn is_bad(&mut self, block: u32) -> Result<bool, FlashError> {
        dispatch!(self, flash => flash.is_bad(block))
    }

    fn mark_bad(&mut self, block: u32) -> Result<(), FlashError> {
        dispatch!(self, flash => flash.mark_bad(block))
    }

    fn verifies_by_reading(&self) -> bool {
        !self.chip.spec().is_nand()
    }

    fn read_weak(&mut self, page: u32, weak: &mut [u8]) -> Result<bool, FlashError> {
        dispatch!(self, flash => flash.read_weak(page, weak))
    }
}
