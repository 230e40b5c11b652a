//! A driver for a raw SPI NAND chip, to copy and adapt.
//!
//! `cargo run -p k7fs-examples --bin nand_driver_skeleton`
//!
//! [`SpiNand`] is the driver: it knows the commands that all SPI NAND parts share and implements K7FS's `NandFlash`.
//! It talks to a [`Bus`], which on a board is an `embedded-hal` SPI device. Here it is [`FakeChip`], a few lines that
//! obey the same commands, so that the driver runs and can be stepped through on a host.
//!
//! What matters in a driver for K7FS:
//! - turn the chip's own error correction **off** (bit 4 of the configuration register): K7FS corrects more;
//! - wait for ready after each command and look at the fail bits: a failed program or erase must be an error;
//! - read the bad-block mark from the first spare byte of a block's first page, and never erase a marked block.

use k7fs_core::flash::Flash;
use k7fs_core::flash::Nand;
use k7fs_core::flash::nand::{ErrorType, NandErrorKind, NandFlash, NandGeometry, ReadStatus};
use k7fs_core::{FormatOptions, MountOptions, Volume, buffer_bytes};

/// A part like W25N01GV with fewer blocks, so that the fake fits into memory.
const GEOMETRY: NandGeometry = NandGeometry {
    page_size: 2048,
    spare_size: 64,
    pages_per_block: 64,
    block_count: 64,
    bad_blocks_max: 2,
    programs_per_page: 4,
    on_die_ecc: false,
};

const WRITE_ENABLE: u8 = 0x06;
const GET_FEATURE: u8 = 0x0F;
const SET_FEATURE: u8 = 0x1F;
const PAGE_READ: u8 = 0x13;
const READ_CACHE: u8 = 0x03;
const PROGRAM_LOAD: u8 = 0x02;
const PROGRAM_EXECUTE: u8 = 0x10;
const BLOCK_ERASE: u8 = 0xD8;

const PROTECTION_REGISTER: u8 = 0xA0;
const CONFIGURATION_REGISTER: u8 = 0xB0;
const STATUS_REGISTER: u8 = 0xC0;
const STATUS_BUSY: u8 = 0x01;
const STATUS_ERASE_FAILED: u8 = 0x04;
const STATUS_PROGRAM_FAILED: u8 = 0x08;

/// Polls of the status register before the driver gives up: far more than any operation takes.
const POLLS_MAX: u32 = 1_000_000;

/// The wires: one chip-select-framed transfer. Implement it with your SPI device.
trait Bus {
    /// Sends `command`, then `sent`, then receives into `received`.
    fn transfer(&mut self, command: &[u8], sent: &[u8], received: &mut [u8]) -> Result<(), NandErrorKind>;
}

/// The driver.
struct SpiNand<B> {
    bus: B,
}

impl<B: Bus> SpiNand<B> {
    fn new(mut bus: B) -> Result<Self, NandErrorKind> {
        // Nothing protected, own error correction off.
        bus.transfer(&[SET_FEATURE, PROTECTION_REGISTER, 0x00], &[], &mut [])?;
        bus.transfer(&[SET_FEATURE, CONFIGURATION_REGISTER, 0x08], &[], &mut [])?;
        Ok(Self { bus })
    }

    /// Waits until the chip is ready and gives its status.
    fn wait(&mut self) -> Result<u8, NandErrorKind> {
        let mut status = [0];
        for _ in 0..POLLS_MAX {
            self.bus.transfer(&[GET_FEATURE, STATUS_REGISTER], &[], &mut status)?;
            if status[0] & STATUS_BUSY == 0 {
                return Ok(status[0]);
            }
        }
        Err(NandErrorKind::Other)
    }

    /// A command with a row address, which is the page number.
    fn row_command(&mut self, command: u8, page: u32) -> Result<u8, NandErrorKind> {
        if page >= GEOMETRY.pages_per_block * GEOMETRY.block_count {
            return Err(NandErrorKind::OutOfBounds);
        }
        let [_, high, middle, low] = page.to_be_bytes();
        self.bus.transfer(&[command, high, middle, low], &[], &mut [])?;
        self.wait()
    }
}

impl<B> ErrorType for SpiNand<B> {
    type Error = NandErrorKind;
}

impl<B: Bus> NandFlash for SpiNand<B> {
    fn geometry(&self) -> NandGeometry {
        GEOMETRY
    }

    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<ReadStatus, NandErrorKind> {
        let raw_size = (GEOMETRY.page_size + GEOMETRY.spare_size) as usize;
        if column > raw_size || bytes.len() > raw_size - column {
            return Err(NandErrorKind::OutOfBounds);
        }
        self.row_command(PAGE_READ, page)?;
        let [high, low] = (column as u16).to_be_bytes();
        self.bus.transfer(&[READ_CACHE, high, low, 0], &[], bytes)?;
        Ok(ReadStatus::Clean)
    }

    fn program(&mut self, page: u32, data: &[u8], spare: &[u8]) -> Result<(), NandErrorKind> {
        if data.len() != GEOMETRY.page_size as usize || spare.len() != GEOMETRY.spare_size as usize {
            return Err(NandErrorKind::NotAligned);
        }
        self.bus.transfer(&[WRITE_ENABLE], &[], &mut [])?;
        let whole = [data, spare].concat();
        self.bus.transfer(&[PROGRAM_LOAD, 0, 0], &whole, &mut [])?;
        let status = self.row_command(PROGRAM_EXECUTE, page)?;
        if status & STATUS_PROGRAM_FAILED != 0 { Err(NandErrorKind::ProgramFailed) } else { Ok(()) }
    }

    fn erase(&mut self, block: u32) -> Result<(), NandErrorKind> {
        self.bus.transfer(&[WRITE_ENABLE], &[], &mut [])?;
        let page = block.checked_mul(GEOMETRY.pages_per_block).ok_or(NandErrorKind::OutOfBounds)?;
        let status = self.row_command(BLOCK_ERASE, page)?;
        if status & STATUS_ERASE_FAILED != 0 { Err(NandErrorKind::EraseFailed) } else { Ok(()) }
    }

    fn is_bad(&mut self, block: u32) -> Result<bool, NandErrorKind> {
        let mut mark = [0];
        let page = block.checked_mul(GEOMETRY.pages_per_block).ok_or(NandErrorKind::OutOfBounds)?;
        self.read(page, GEOMETRY.page_size as usize, &mut mark)?;
        // A single flipped bit is no mark.
        Ok(mark[0].count_ones() < 6)
    }

    fn mark_bad(&mut self, block: u32) -> Result<(), NandErrorKind> {
        let page = block.checked_mul(GEOMETRY.pages_per_block).ok_or(NandErrorKind::OutOfBounds)?;
        self.bus.transfer(&[WRITE_ENABLE], &[], &mut [])?;
        let [high, low] = (GEOMETRY.page_size as u16).to_be_bytes();
        self.bus.transfer(&[PROGRAM_LOAD, high, low], &[0x00], &mut [])?;
        // A bad block may refuse even this; K7FS keeps its own table, too.
        self.row_command(PROGRAM_EXECUTE, page).map(|_| ())
    }
}

/// Enough of a chip to run the driver: obeys the commands above, instantly.
struct FakeChip {
    pages: Vec<u8>,
    cache: Vec<u8>,
    /// A block whose programs fail, to see the driver report it.
    failing_block: u32,
    status: u8,
}

impl FakeChip {
    const RAW_SIZE: usize = (GEOMETRY.page_size + GEOMETRY.spare_size) as usize;

    fn new(failing_block: u32) -> Self {
        let pages = (GEOMETRY.pages_per_block * GEOMETRY.block_count) as usize;
        Self { pages: vec![0xFF; pages * Self::RAW_SIZE], cache: vec![0xFF; Self::RAW_SIZE], failing_block, status: 0 }
    }

    fn page_mut(&mut self, page: u32) -> &mut [u8] {
        &mut self.pages[page as usize * Self::RAW_SIZE..][..Self::RAW_SIZE]
    }
}

impl Bus for FakeChip {
    fn transfer(&mut self, command: &[u8], sent: &[u8], received: &mut [u8]) -> Result<(), NandErrorKind> {
        match *command {
            [WRITE_ENABLE] | [SET_FEATURE, ..] => {}
            [GET_FEATURE, STATUS_REGISTER] => received.fill(self.status),
            [PAGE_READ, high, middle, low] => {
                let page = u32::from_be_bytes([0, high, middle, low]);
                self.cache = self.page_mut(page).to_vec();
            }
            [READ_CACHE, high, low, _] => {
                let column = usize::from(u16::from_be_bytes([high, low]));
                received.copy_from_slice(&self.cache[column..][..received.len()]);
            }
            [PROGRAM_LOAD, high, low] => {
                let column = usize::from(u16::from_be_bytes([high, low]));
                self.cache.fill(0xFF);
                self.cache[column..][..sent.len()].copy_from_slice(sent);
            }
            [PROGRAM_EXECUTE, high, middle, low] => {
                let page = u32::from_be_bytes([0, high, middle, low]);
                let failed = page / GEOMETRY.pages_per_block == self.failing_block;
                self.status = if failed { STATUS_PROGRAM_FAILED } else { 0 };
                let cache = self.cache.clone();
                for (cell, byte) in self.page_mut(page).iter_mut().zip(cache) {
                    *cell &= byte;
                }
            }
            [BLOCK_ERASE, high, middle, low] => {
                let first = u32::from_be_bytes([0, high, middle, low]);
                self.status = 0;
                for page in first..first + GEOMETRY.pages_per_block {
                    self.page_mut(page).fill(0xFF);
                }
            }
            _ => return Err(NandErrorKind::Other),
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let driver = SpiNand::new(FakeChip::new(9)).map_err(|error| format!("no chip: {error:?}"))?;
    let mut flash = Nand::new(driver).map_err(|error| format!("no part: {error:?}"))?;
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    let options = FormatOptions { volume_id: *b"nand driver demo", ..FormatOptions::default() };
    Volume::format(&mut flash, &mut buffer, &options)?;

    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default())?;
    let picture: Vec<u8> = (0..200_000_u32).map(|index| (index * index >> 7) as u8).collect();
    for number in 0..20 {
        volume.write(&format!("/picture-{}", number % 5), &picture)?;
    }
    volume.unmount()?;

    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default())?;
    let mut read = vec![0; picture.len()];
    for number in 0..5 {
        assert_eq!(volume.read(&format!("/picture-{number}"), &mut read)?, picture.len());
        assert_eq!(read, picture, "what comes back is what went in");
    }
    let usage = volume.usage()?;
    println!("5 pictures of {} bytes came back identical", picture.len());
    println!(
        "{} bad block found in use, {} of {} bytes free",
        usage.bad_blocks, usage.free_bytes, usage.capacity_bytes
    );
    volume.unmount()?;
    Ok(())
}
