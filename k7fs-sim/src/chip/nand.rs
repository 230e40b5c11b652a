//! NAND chips behind K7FS's own driver trait.

use std::borrow::BorrowMut;

use k7fs_core::flash::nand::{ErrorType, NandFlash, NandGeometry, ReadStatus};

use super::{Chip, ChipError, ChipKind};

/// A NAND chip as a driver sees it. Owns the chip, or borrows it where `C` is `&mut Chip`.
#[derive(Clone, Debug)]
pub struct SimNand<C = Chip> {
    chip: C,
    geometry: NandGeometry,
}

impl<C: BorrowMut<Chip>> SimNand<C> {
    /// Takes a chip.
    ///
    /// # Errors
    /// `WrongPart` on NOR.
    pub fn new(chip: C) -> Result<Self, ChipError> {
        let ChipKind::Nand(nand) = &chip.borrow().spec().kind else { return Err(ChipError::WrongPart) };
        let geometry = nand.geometry;
        Ok(Self { chip, geometry })
    }

    /// The chip.
    pub fn chip(&self) -> &Chip {
        self.chip.borrow()
    }

    /// The chip, to plan faults or give the power back.
    pub fn chip_mut(&mut self) -> &mut Chip {
        self.chip.borrow_mut()
    }

    /// Gives the chip back.
    pub fn into_chip(self) -> C {
        self.chip
    }
}

impl<C> ErrorType for SimNand<C> {
    type Error = ChipError;
}

impl<C: BorrowMut<Chip>> NandFlash for SimNand<C> {
    fn geometry(&self) -> NandGeometry {
        self.geometry
    }

    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<ReadStatus, ChipError> {
        self.chip_mut().read_nand(page, column, bytes).map(|()| ReadStatus::Clean)
    }

    fn program(&mut self, page: u32, data: &[u8], spare: &[u8]) -> Result<(), ChipError> {
        self.chip_mut().program_nand(page, data, spare)
    }

    fn erase(&mut self, block: u32) -> Result<(), ChipError> {
        self.chip_mut().erase_nand(block)
    }

    /// Reads the mark byte. As drivers do, takes a block for bad only where most bits of it are 0, so that a flipped
    /// bit does not condemn a good one.
    fn is_bad(&mut self, block: u32) -> Result<bool, ChipError> {
        let page = block.checked_mul(self.geometry.pages_per_block).ok_or(ChipError::OutOfBounds)?;
        let mut mark = [0];
        let column = self.geometry.page_size as usize;
        self.chip_mut().read_nand(page, column, &mut mark)?;
        Ok(mark[0].count_zeros() >= 4)
    }

    fn mark_bad(&mut self, block: u32) -> Result<(), ChipError> {
        self.chip_mut().mark(block)
    }

    fn read_weak(&mut self, page: u32, weak: &mut [u8]) -> Result<bool, ChipError> {
        self.chip_mut().read_weak_nand(page, weak)
    }
}
