//! The nRF51822's flash behind its non-volatile memory controller.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

const READY: *const u32 = 0x4001_E400 as *const u32;
const CONFIG: *mut u32 = 0x4001_E504 as *mut u32;
const ERASE_PAGE: *mut u32 = 0x4001_E508 as *mut u32;

const CONFIG_READ: u32 = 0;
const CONFIG_WRITE: u32 = 1;
const CONFIG_ERASE: u32 = 2;

const PAGE_BYTES: usize = 1024;
const FLASH_BYTES: usize = 256 * 1024;

/// The controller. There is one; whoever has this value drives it alone.
pub(crate) struct Nvmc(());

impl Nvmc {
    pub(crate) fn new() -> Self {
        Self(())
    }

    fn configure(&mut self, mode: u32) {
        // SAFETY: a register of the controller that this value owns.
        unsafe { CONFIG.write_volatile(mode) };
        self.wait();
    }

    fn wait(&self) {
        // SAFETY: a read-only register without side effects. The chip's data sheet bounds the wait: 21 ms for a page erase.
        while unsafe { READY.read_volatile() } & 1 == 0 {}
    }
}

impl ErrorType for Nvmc {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Nvmc {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        for (byte, address) in bytes.iter_mut().zip(offset..) {
            // SAFETY: the address was checked to lie within the flash, which is always readable. Volatile, because
            // its content changes behind the compiler's back.
            *byte = unsafe { (address as *const u8).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        FLASH_BYTES
    }
}

impl NorFlash for Nvmc {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE_BYTES;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        self.configure(CONFIG_ERASE);
        for page in (from..to).step_by(PAGE_BYTES) {
            // SAFETY: erasing a page of the flash that the caller owns; the program itself lies below the volume.
            unsafe { ERASE_PAGE.write_volatile(page) };
            self.wait();
        }
        self.configure(CONFIG_READ);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        self.configure(CONFIG_WRITE);
        for (word, address) in bytes.chunks_exact(4).zip((offset..).step_by(4)) {
            let mut value = [0; 4];
            value.copy_from_slice(word);
            // SAFETY: a word-aligned address within the flash, which the controller has opened for writing.
            unsafe { (address as *mut u32).write_volatile(u32::from_le_bytes(value)) };
            self.wait();
        }
        self.configure(CONFIG_READ);
        Ok(())
    }
}
