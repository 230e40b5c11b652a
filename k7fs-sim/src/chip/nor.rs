//! NOR chips behind `embedded-storage`.

use std::borrow::BorrowMut;

use embedded_storage::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, ReadNorFlash};

use super::{Chip, ChipError, ChipKind};

/// A NOR chip as a driver sees it. Owns the chip, or borrows it where `C` is `&mut Chip`.
///
/// An erase is done by the largest aligned erases of the part that fit, each one operation of the chip.
#[derive(Clone, Debug)]
pub struct SimNor<const WRITE: usize, const ERASE: usize, C = Chip> {
    chip: C,
}

impl<const WRITE: usize, const ERASE: usize, C: BorrowMut<Chip>> SimNor<WRITE, ERASE, C> {
    /// Takes a chip.
    ///
    /// # Errors
    /// `WrongPart` unless it is a NOR part whose write and erase units are `WRITE` and `ERASE`.
    pub fn new(chip: C) -> Result<Self, ChipError> {
        match &chip.borrow().spec().kind {
            ChipKind::Nor(nor) if nor.write_size as usize == WRITE && nor.erase_size as usize == ERASE => {}
            _ => return Err(ChipError::WrongPart),
        }
        Ok(Self { chip })
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

impl<const WRITE: usize, const ERASE: usize, C> ErrorType for SimNor<WRITE, ERASE, C> {
    type Error = ChipError;
}

impl<const WRITE: usize, const ERASE: usize, C: BorrowMut<Chip>> ReadNorFlash for SimNor<WRITE, ERASE, C> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), ChipError> {
        self.chip_mut().read_nor(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.chip().spec().data_size() as usize
    }
}

impl<const WRITE: usize, const ERASE: usize, C: BorrowMut<Chip>> NorFlash for SimNor<WRITE, ERASE, C> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), ChipError> {
        self.chip_mut().erase_nor(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), ChipError> {
        self.chip_mut().program_nor(offset, bytes)
    }
}

/// A NOR chip that lets bits of a written byte be cleared later, for parts where that is legal.
#[derive(Clone, Debug)]
pub struct SimMultiwriteNor<const WRITE: usize, const ERASE: usize, C = Chip> {
    driver: SimNor<WRITE, ERASE, C>,
}

impl<const WRITE: usize, const ERASE: usize, C: BorrowMut<Chip>> SimMultiwriteNor<WRITE, ERASE, C> {
    /// Takes a chip, and lifts its rule that each unit is written once.
    ///
    /// # Errors
    /// `WrongPart` as for [`SimNor::new`], and where the part does not allow it.
    pub fn new(chip: C) -> Result<Self, ChipError> {
        let mut driver = SimNor::new(chip)?;
        match &driver.chip().spec().kind {
            ChipKind::Nor(nor) if nor.multiwrite => driver.chip_mut().allow_multiwrite(true),
            _ => return Err(ChipError::WrongPart),
        }
        Ok(Self { driver })
    }

    /// The driver without this licence.
    pub fn driver_mut(&mut self) -> &mut SimNor<WRITE, ERASE, C> {
        &mut self.driver
    }

    /// Gives the chip back.
    pub fn into_chip(self) -> C {
        self.driver.into_chip()
    }
}

impl<const WRITE: usize, const ERASE: usize, C> ErrorType for SimMultiwriteNor<WRITE, ERASE, C> {
    type Error = ChipError;
}

impl<const WRITE: usize, const ERASE: usize, C: BorrowMut<Chip>> ReadNorFlash for SimMultiwriteNor<WRITE, ERASE, C> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), ChipError> {
        self.driver.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.driver.capacity()
    }
}

impl<const WRITE: usize, const ERASE: usize, C: BorrowMut<Chip>> NorFlash for SimMultiwriteNor<WRITE, ERASE, C> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), ChipError> {
        self.driver.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), ChipError> {
        self.driver.write(offset, bytes)
    }
}

impl<const WRITE: usize, const ERASE: usize, C: BorrowMut<Chip>> MultiwriteNorFlash
    for SimMultiwriteNor<WRITE, ERASE, C>
{
}
