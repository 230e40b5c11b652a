//! K7FS on an ASPEED AST1030 evaluation board: Cortex-M4, the volume on a W25Q80BL behind the flash controller.
#![no_std]
#![no_main]

mod spi_nor;

use cortex_m_rt::entry;
use k7fs_board_common::Board;
use k7fs_board_common::scenario::{self, Plan};
use k7fs_core::flash::{Geometry, NorConfig};
#[cfg(not(feature = "full"))]
use k7fs_core::{File, Volume, flash::Nor};

use spi_nor::SpiNor;

/// The volume takes the whole chip, so that the host's command can read the image as it is.
const CONFIG: NorConfig = NorConfig { offset: 0, length: 0x10_0000, page_size: 256, block_size: 4096 };
const GEOMETRY: Geometry = Geometry {
    page_size: CONFIG.page_size,
    spare_size: 0,
    pages_per_block: CONFIG.block_size / CONFIG.page_size,
    block_count: CONFIG.length / CONFIG.block_size,
    bad_blocks_max: 0,
};
const BUFFER_BYTES: usize = k7fs_core::buffer_bytes(&GEOMETRY);
/// What a volume of this size with one open file may take, statics and stack apart.
#[cfg(not(feature = "full"))]
const RAM_MAX: usize = 8448;
#[cfg(not(feature = "full"))]
const _: () = assert!(BUFFER_BYTES + size_of::<Volume<'_, Nor<SpiNor>>>() + size_of::<File>() <= RAM_MAX);
/// Power cuts in one run.
const CUTS: u32 = 24;
/// W25Q80BL: Winbond, SPI NOR, 2^20 bytes.
const CHIP_ID: [u8; 3] = [0xef, 0x40, 0x14];

struct Ast1030;

impl Board for Ast1030 {
    fn restart() -> ! {
        k7fs_board_common::system_reset()
    }

    /// The emulator, told not to reboot, ends on a reset with every byte of the chip in its file. A semihosting
    /// exit loses the last ones.
    fn finish() -> ! {
        k7fs_board_common::system_reset()
    }
}

#[entry]
fn main() -> ! {
    static mut BUFFER: [u8; BUFFER_BYTES] = [0; BUFFER_BYTES];
    let mut chip = SpiNor::new();
    let id = chip.read_id();
    if id != CHIP_ID {
        defmt::error!("another chip: {=[u8; 3]:02x}", id);
        k7fs_board_common::exit()
    }
    scenario::run::<_, Ast1030>(chip, &Plan { config: CONFIG, cuts: CUTS }, BUFFER)
}
