//! Chips whose every answer is unknown to the compiler.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use k7fs_core::flash::nand::{self, NandErrorKind, NandFlash, NandGeometry, ReadStatus};

/// A type that may have any bits.
pub(crate) trait Bits: Copy {}
impl Bits for u8 {}
impl Bits for u16 {}
impl Bits for u32 {}
impl Bits for u64 {}
impl Bits for i64 {}
impl Bits for usize {}

/// Some value.
pub(crate) fn anything<T: Bits>() -> T {
    static PLACE: u64 = 0;
    // SAFETY: the place is as large and as aligned as the largest of the types, all of which may have any bits.
    unsafe { core::hint::black_box((&raw const PLACE).cast::<T>()).read_volatile() }
}

fn outcome<E>(error: E) -> Result<(), E> {
    if anything::<u8>() == 0 { Ok(()) } else { Err(error) }
}

/// A NOR chip.
pub(crate) struct NorChip;

impl ErrorType for NorChip {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for NorChip {
    const READ_SIZE: usize = 1;
    #[inline(never)]
    fn read(&mut self, _offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        bytes.fill_with(anything);
        outcome(NorFlashErrorKind::Other)
    }
    #[inline(never)]
    fn capacity(&self) -> usize {
        anything()
    }
}

impl NorFlash for NorChip {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;
    #[inline(never)]
    fn erase(&mut self, _from: u32, _to: u32) -> Result<(), NorFlashErrorKind> {
        outcome(NorFlashErrorKind::Other)
    }
    #[inline(never)]
    fn write(&mut self, _offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        core::hint::black_box(bytes);
        outcome(NorFlashErrorKind::Other)
    }
}

/// A NAND chip.
#[cfg_attr(feature = "one-chip", expect(dead_code, reason = "the one is the other"))]
pub(crate) struct NandChip;

impl nand::ErrorType for NandChip {
    type Error = NandErrorKind;
}

impl NandFlash for NandChip {
    #[inline(never)]
    fn geometry(&self) -> NandGeometry {
        NandGeometry {
            page_size: anything(),
            spare_size: anything(),
            pages_per_block: anything(),
            block_count: anything(),
            bad_blocks_max: anything(),
            programs_per_page: anything(),
            on_die_ecc: anything::<u8>() != 0,
        }
    }
    #[inline(never)]
    fn read(&mut self, _page: u32, _column: usize, bytes: &mut [u8]) -> Result<ReadStatus, NandErrorKind> {
        bytes.fill_with(anything);
        outcome(NandErrorKind::Uncorrectable).map(|()| ReadStatus::Clean)
    }
    #[inline(never)]
    fn program(&mut self, _page: u32, data: &[u8], spare: &[u8]) -> Result<(), NandErrorKind> {
        core::hint::black_box((data, spare));
        outcome(NandErrorKind::ProgramFailed)
    }
    #[inline(never)]
    fn erase(&mut self, _block: u32) -> Result<(), NandErrorKind> {
        outcome(NandErrorKind::EraseFailed)
    }
    #[inline(never)]
    fn is_bad(&mut self, _block: u32) -> Result<bool, NandErrorKind> {
        outcome(NandErrorKind::Other).map(|()| anything::<u8>() != 0)
    }
    #[inline(never)]
    fn mark_bad(&mut self, _block: u32) -> Result<(), NandErrorKind> {
        outcome(NandErrorKind::Other)
    }
}
