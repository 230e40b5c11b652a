//! What a volume takes in RAM, known when the firmware is compiled.
//!
//! `buffer_bytes` is a `const fn`: the buffer can be a `static` of exactly the size that the geometry asks for, and a chip
//! that does not fit is found by the compiler or the linker, not in the field.

use k7fs_core::flash::Geometry;
use k7fs_core::{Volume, buffer_bytes};
use k7fs_sim::chip::SimFlash;

const fn nor(erase_size: u32, kib: u32) -> Geometry {
    let page_size = 256;
    let (pages_per_block, block_count) = (erase_size / page_size, kib * 1024 / erase_size);
    Geometry { page_size, spare_size: 0, pages_per_block, block_count, bad_blocks_max: 0 }
}

const W25N01GV: Geometry =
    Geometry { page_size: 2048, spare_size: 64, pages_per_block: 64, block_count: 1024, bad_blocks_max: 20 };

const REFERENCES: [(&str, Geometry); 4] = [
    ("NOR 4096/256, 1 MiB", nor(4096, 1024)),
    ("NOR 4096/256, 4 MiB", nor(4096, 4096)),
    ("NOR 2048/256, 512 KiB", nor(2048, 512)),
    ("NAND W25N01GV, 128 MiB", W25N01GV),
];

/// As firmware would have it.
static BUFFER: [u8; buffer_bytes(&REFERENCES[0].1)] = [0; buffer_bytes(&REFERENCES[0].1)];

fn main() {
    // The volume keeps the driver; here it is left out.
    let volume = size_of::<Volume<'_, SimFlash>>() - size_of::<SimFlash>();
    println!("geometry                  buffer   volume    both");
    for (name, geometry) in &REFERENCES {
        let buffer = buffer_bytes(geometry);
        println!("{name:<24}  {buffer:>6}   {volume:>6}  {:>6}", buffer + volume);
    }
    println!("Bytes; the volume as on this machine, less on one of 32 bits. A static buffer: {} bytes.", BUFFER.len());
}
