//! K7FS on a BBC micro:bit: Cortex-M0, 16 KiB of RAM, the volume in the chip's own flash.
#![no_std]
#![no_main]

mod nvmc;

use cortex_m_rt::entry;
use k7fs_board_common::Board;
use k7fs_board_common::scenario::{self, Plan};
use k7fs_core::flash::{Geometry, NorConfig};

use nvmc::Nvmc;

/// The volume: the flash above the program's. Blocks of two erase units: of 96 KiB in larger blocks, too many
/// would be the reserve that the file system keeps in whole blocks.
const CONFIG: NorConfig = NorConfig { offset: 0x2_8000, length: 0x1_8000, page_size: 256, block_size: 2048 };
const GEOMETRY: Geometry = Geometry {
    page_size: CONFIG.page_size,
    spare_size: 0,
    pages_per_block: CONFIG.block_size / CONFIG.page_size,
    block_count: CONFIG.length / CONFIG.block_size,
    bad_blocks_max: 0,
};
const BUFFER_BYTES: usize = k7fs_core::buffer_bytes(&GEOMETRY);
/// Power cuts in one run.
const CUTS: u32 = 24;

struct Microbit;

impl Board for Microbit {
    fn restart() -> ! {
        k7fs_board_common::system_reset()
    }

    fn finish() -> ! {
        k7fs_board_common::exit()
    }
}

#[entry]
fn main() -> ! {
    static mut BUFFER: [u8; BUFFER_BYTES] = [0; BUFFER_BYTES];
    scenario::run::<_, Microbit>(Nvmc::new(), &Plan { config: CONFIG, cuts: CUTS }, BUFFER)
}
