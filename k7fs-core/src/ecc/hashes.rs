//! The first hash word of every data column of the larger codes, worked out at compile time from the seeds.
//!
//! With them a column's first six rotations cost one load. Four bytes a column are too much for the smallest pages,
//! whose tables would double, and for parts with little memory for code: those hash each time.

use super::codes;
use super::graph::Code;

/// The hash words of `COUNT` columns, all that the code has.
const fn expand<const COUNT: usize>(code: &Code) -> [u32; COUNT] {
    assert!(COUNT == (code.words - code.parity_words as u16) as usize);
    let mut hashes = [0; COUNT];
    let mut column = 0;
    while column < COUNT {
        let seed = code.data_seeds[column / 2] as u32 >> (column % 2 * 4) & 15;
        hashes[column] = code.data_hash(column, seed);
        column += 1;
    }
    hashes
}

pub(super) static NOR_1024: [u32; 256 - 32] = expand(&codes::NOR_1024);
#[cfg(feature = "nand-codes")]
pub(super) static NAND_2048_64: [u32; 528 - 14] = expand(&codes::NAND_2048_64);
#[cfg(feature = "nand-codes")]
pub(super) static NAND_2048_128: [u32; 544 - 28] = expand(&codes::NAND_2048_128);
#[cfg(feature = "nand-codes")]
pub(super) static NAND_4096_224: [u32; 1080 - 52] = expand(&codes::NAND_4096_224);
#[cfg(feature = "nand-codes")]
pub(super) static NAND_4096_128: [u32; 1056 - 28] = expand(&codes::NAND_4096_128);
#[cfg(feature = "nand-codes")]
pub(super) static NAND_4096_256: [u32; 1088 - 60] = expand(&codes::NAND_4096_256);
pub(super) static ARCHIVE_4096_256: [u32; 1024 - 64] = expand(&codes::ARCHIVE_4096_256);
pub(super) static ARCHIVE_4096_512: [u32; 1024 - 128] = expand(&codes::ARCHIVE_4096_512);
