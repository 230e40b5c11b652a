//! An SPI NOR chip on chip select 0 of the AST1030's firmware memory controller, driven byte by byte in user mode.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

const CONF: *mut u32 = 0x7E62_0000 as *mut u32;
const CTRL: *mut u32 = 0x7E62_0010 as *mut u32;
const WINDOW: *mut u8 = 0x8000_0000 as *mut u8;

/// Lets chip select 0 be written to.
const CONF_WRITE_ENABLE: u32 = 1 << 16;
const CTRL_USER_SELECTED: u32 = 0x3;
const CTRL_USER_RELEASED: u32 = 0x7;

const PAGE_PROGRAM: u8 = 0x02;
const READ: u8 = 0x03;
const READ_STATUS: u8 = 0x05;
const WRITE_ENABLE: u8 = 0x06;
const ERASE_4K: u8 = 0x20;
const READ_ID: u8 = 0x9f;
const ERASE_64K: u8 = 0xd8;

const STATUS_BUSY: u8 = 1;
/// Status reads until the chip counts as dead: more than the longest 64 KiB erase, 2 s, takes.
const STATUS_READS_MAX: u32 = 4_000_000;

const PROGRAM_BYTES: u32 = 256;
const SMALL_ERASE_BYTES: u32 = 4096;
const LARGE_ERASE_BYTES: u32 = 65_536;
const CHIP_BYTES: usize = 1 << 20;

/// The chip. There is one; whoever has this value drives the controller alone.
pub(crate) struct SpiNor(());

impl SpiNor {
    pub(crate) fn new() -> Self {
        // SAFETY: registers of the controller that this value owns.
        unsafe {
            CONF.write_volatile(CONF.read_volatile() | CONF_WRITE_ENABLE);
            CTRL.write_volatile(CTRL_USER_RELEASED);
        }
        Self(())
    }

    /// Maker, kind and size of the chip.
    pub(crate) fn read_id(&mut self) -> [u8; 3] {
        let mut id = [0; 3];
        self.command(&[READ_ID], &[], &mut id);
        id
    }

    /// One transfer: selects the chip, sends `head` and `data`, receives `answer`, releases the chip.
    fn command(&mut self, head: &[u8], data: &[u8], answer: &mut [u8]) {
        // SAFETY: registers and the window of the controller that this value owns; in user mode every byte written
        // to the window is shifted out and every byte read from it is shifted in.
        unsafe {
            CTRL.write_volatile(CTRL_USER_SELECTED);
            for byte in head.iter().chain(data) {
                WINDOW.write_volatile(*byte);
            }
            for byte in answer {
                *byte = WINDOW.read_volatile();
            }
            CTRL.write_volatile(CTRL_USER_RELEASED);
        }
    }

    fn wait(&mut self) -> Result<(), NorFlashErrorKind> {
        for _ in 0..STATUS_READS_MAX {
            let mut status = [0];
            self.command(&[READ_STATUS], &[], &mut status);
            if status[0] & STATUS_BUSY == 0 {
                return Ok(());
            }
        }
        Err(NorFlashErrorKind::Other)
    }

    /// Sends a command that changes the chip, and waits until it is done.
    fn change(&mut self, code: u8, address: u32, data: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.command(&[WRITE_ENABLE], &[], &mut []);
        self.command(&head(code, address), data, &mut []);
        self.wait()
    }
}

fn head(code: u8, address: u32) -> [u8; 4] {
    let [_, high, middle, low] = address.to_be_bytes();
    [code, high, middle, low]
}

impl ErrorType for SpiNor {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for SpiNor {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        self.command(&head(READ, offset), &[], bytes);
        Ok(())
    }

    fn capacity(&self) -> usize {
        CHIP_BYTES
    }
}

impl NorFlash for SpiNor {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = SMALL_ERASE_BYTES as usize;

    /// Aligned 64 KiB go in one command, about five times cheaper per byte than 4 KiB each.
    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(&*self, from, to)?;
        let mut address = from;
        while address < to {
            let large = address.is_multiple_of(LARGE_ERASE_BYTES) && to - address >= LARGE_ERASE_BYTES;
            let (code, bytes) = if large { (ERASE_64K, LARGE_ERASE_BYTES) } else { (ERASE_4K, SMALL_ERASE_BYTES) };
            self.change(code, address, &[])?;
            address += bytes;
        }
        Ok(())
    }

    /// Split at 256 bytes: the chip's page program wraps there.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(&*self, offset, bytes.len())?;
        let mut address = offset;
        let mut left = bytes;
        while !left.is_empty() {
            let room = (PROGRAM_BYTES - address % PROGRAM_BYTES) as usize;
            let (piece, rest) = left.split_at(room.min(left.len()));
            self.change(PAGE_PROGRAM, address, piece)?;
            address += piece.len() as u32;
            left = rest;
        }
        Ok(())
    }
}
