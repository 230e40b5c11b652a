//! Tests of the chips, by topic.

mod behaviour;
mod cuts;
mod faults;
mod rules;
mod timing;

use super::*;

pub(super) fn spec(name: &str) -> ChipSpec {
    ChipSpec::named(name).unwrap().clone()
}

/// A small chip of a part, without factory-bad blocks.
pub(super) fn small(name: &str) -> Chip {
    Chip::with_factory_bad(&spec(name).scaled(16), 42, 0)
}

/// Bytes of about as many ones as zeros, different for every salt.
pub(super) fn noise(salt: u64, length: usize) -> Vec<u8> {
    let mut draw = Draw::new(salt, Purpose::Content, &[]);
    (0..length).map(|_| draw.next() as u8).collect()
}

/// Programs a page of any chip with noise, the mark byte left alone.
pub(super) fn program_page(chip: &mut Chip, page: u32, salt: u64) -> Result<Vec<u8>, ChipError> {
    let mut raw = noise(salt, chip.spec().page_bytes() as usize);
    match &chip.spec().kind.clone() {
        ChipKind::Nor(nor) => chip.program_nor(page * nor.program_size, &raw)?,
        ChipKind::Nand(nand) => {
            raw[nand.geometry.page_size as usize] = 0xFF;
            let (data, spare) = raw.split_at(nand.geometry.page_size as usize);
            chip.program_nand(page, data, spare)?;
        }
    }
    Ok(raw)
}

/// Erases one block of any chip.
pub(super) fn erase_block(chip: &mut Chip, block: u32) -> Result<(), ChipError> {
    match &chip.spec().kind.clone() {
        ChipKind::Nor(nor) => chip.erase_nor(block * nor.erase_size, (block + 1) * nor.erase_size),
        ChipKind::Nand(_) => chip.erase_nand(block),
    }
}

/// Reads a whole page of any chip.
pub(super) fn read_page(chip: &mut Chip, page: u32) -> Vec<u8> {
    let mut raw = vec![0; chip.spec().page_bytes() as usize];
    match &chip.spec().kind.clone() {
        ChipKind::Nor(nor) => chip.read_nor(page * nor.program_size, &mut raw).unwrap(),
        ChipKind::Nand(_) => {
            // Another page first, so that this one is loaded anew.
            chip.read_nand(page ^ 1, 0, &mut [0]).unwrap();
            chip.read_nand(page, 0, &mut raw).unwrap();
        }
    }
    raw
}

pub(super) fn bits_differing(a: &[u8], b: &[u8]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}
