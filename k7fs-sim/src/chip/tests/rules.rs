//! Each rule of a part, broken once, is one violation that says what happened.

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use k7fs_core::flash::nand::NandFlash;

use super::*;

fn expect_violation(chip: &Chip, text: &str) {
    let counters = chip.counters();
    assert_eq!(counters.violations, 1, "{:?}", counters.violation_texts);
    assert!(counters.first_violation().unwrap().contains(text), "{:?}", counters.violation_texts);
}

#[test]
fn nor_byte_is_programmed_once() {
    let mut chip = small("W25Q128JV");
    chip.program_nor(16, &[0xF0; 4]).unwrap();
    chip.program_nor(20, &[0xF0; 4]).unwrap();
    assert_eq!(chip.counters().violations, 0, "its neighbour is another byte");
    chip.program_nor(18, &[0x3C; 1]).unwrap();
    expect_violation(&chip, "not erased");
    let mut byte = [0];
    chip.read_nor(18, &mut byte).unwrap();
    assert_eq!(byte, [0x30], "the cells do what physics says");
}

#[test]
fn programming_ones_uses_the_word_up() {
    for (name, unit) in [("W25Q128JV", 1), ("nRF52840", 4), ("STM32L4", 8), ("STM32H7", 32)] {
        let mut chip = small(name);
        chip.program_nor(0, &vec![0xFF; unit]).unwrap();
        chip.program_nor(unit as u32, &vec![0; unit]).unwrap();
        assert_eq!(chip.counters().violations, 0);
        chip.program_nor(0, &vec![0; unit]).unwrap();
        expect_violation(&chip, "programmed since the last erase");
        erase_block(&mut chip, 0).unwrap();
        chip.program_nor(0, &vec![0; unit]).unwrap();
        assert_eq!(chip.counters().violations, 1);
    }
}

#[test]
fn nor_alignment_and_bounds() {
    let mut chip = small("STM32L4");
    assert_eq!(chip.program_nor(4, &[0; 8]), Err(ChipError::NotAligned));
    assert_eq!(chip.program_nor(8, &[0; 4]), Err(ChipError::NotAligned));
    assert_eq!(chip.program_nor(64 * 1024, &[0; 8]), Err(ChipError::OutOfBounds));
    assert_eq!(chip.erase_nor(0, 1024), Err(ChipError::NotAligned));
    assert_eq!(chip.erase_nor(4096, 0), Err(ChipError::OutOfBounds));
    assert_eq!(chip.erase_nor(0, 66 * 1024), Err(ChipError::OutOfBounds));
    assert_eq!(chip.read_nor(64 * 1024 - 1, &mut [0; 2]), Err(ChipError::OutOfBounds));
    assert_eq!(chip.read_nor(u32::MAX, &mut [0; 2]), Err(ChipError::OutOfBounds));
    assert_eq!(chip.counters().violations, 8);
    assert_eq!(chip.counters().operations, 0, "what is refused costs nothing");
}

#[test]
fn nand_pages_ascend() {
    let mut chip = small("W25N01GV");
    program_page(&mut chip, 5, 1).unwrap();
    program_page(&mut chip, 64, 1).unwrap();
    program_page(&mut chip, 7, 1).unwrap();
    assert_eq!(chip.counters().violations, 0, "gaps and other blocks are fine");
    program_page(&mut chip, 6, 1).unwrap();
    expect_violation(&chip, "later page");
}

#[test]
fn nand_page_is_not_programmed_over_nor_too_often() {
    let mut chip = small("W25N01GV");
    program_page(&mut chip, 0, 1).unwrap();
    program_page(&mut chip, 0, 2).unwrap();
    expect_violation(&chip, "not erased");

    let mut chip = small("W25N01GV");
    for part in 0..5 {
        let mut data = [0xFF; 2048];
        data[part * 400] = 0;
        chip.program_nand(3, &data, &[0xFF; 64]).unwrap();
        assert_eq!(chip.counters().violations, u64::from(part == 4));
    }
    expect_violation(&chip, "as often as the part allows");
}

#[test]
fn nand_sizes_bounds_and_the_mark() {
    let mut chip = small("W25N01GV");
    assert_eq!(chip.program_nand(0, &[0; 2048], &[0; 63]), Err(ChipError::NotAligned));
    assert_eq!(chip.program_nand(1024, &[0; 2048], &[0; 64]), Err(ChipError::OutOfBounds));
    assert_eq!(chip.read_nand(0, 2112, &mut [0]), Err(ChipError::OutOfBounds));
    assert_eq!(chip.read_nand(1024, 0, &mut [0]), Err(ChipError::OutOfBounds));
    assert_eq!(chip.erase_nand(16), Err(ChipError::OutOfBounds));
    assert_eq!(chip.mark(16), Err(ChipError::OutOfBounds));
    assert_eq!(chip.counters().violations, 6);
    chip.reset_counters();
    chip.program_nand(0, &[0; 2048], &[0; 64]).unwrap();
    expect_violation(&chip, "bad-block mark");
}

#[test]
fn a_marked_block_is_left_alone() {
    let mut chip = Chip::with_factory_bad(&spec("W25N01GV").scaled(16), 3, 1);
    let bad = chip.marked_blocks().next().unwrap();
    assert_eq!(chip.erase_nand(bad), Err(ChipError::EraseFailed));
    expect_violation(&chip, "marked bad");
    assert!(chip.is_marked(bad), "the mark survives");
    chip.reset_counters();
    assert_eq!(program_page(&mut chip, bad * 64 + 1, 1), Err(ChipError::ProgramFailed));
    expect_violation(&chip, "marked bad");

    let mut driver = SimNand::new(small("W25N01GV")).unwrap();
    driver.chip_mut().erase_nand(4).unwrap();
    program_page(driver.chip_mut(), 4 * 64 + 9, 1).unwrap();
    driver.mark_bad(4).unwrap();
    assert_eq!((driver.is_bad(4), driver.is_bad(5)), (Ok(true), Ok(false)));
    assert_eq!(driver.chip().counters().violations, 0, "a mark may be written at any time");
    assert_eq!(driver.erase(4), Err(ChipError::EraseFailed));
    expect_violation(driver.chip(), "marked bad");
}

#[test]
fn a_failed_block_is_not_programmed_on() {
    let mut chip = small("W25N01GV");
    chip.faults_mut().program_fail.insert(65);
    program_page(&mut chip, 64, 1).unwrap();
    assert_eq!(program_page(&mut chip, 65, 1), Err(ChipError::ProgramFailed));
    assert_eq!(chip.counters().violations, 0);
    program_page(&mut chip, 66, 1).unwrap();
    expect_violation(&chip, "failed a program");
}

#[test]
fn drivers_refuse_the_wrong_part() {
    assert_eq!(SimNor::<4, 4096>::new(small("W25Q128JV")).err(), Some(ChipError::WrongPart));
    assert_eq!(SimNor::<1, 4096>::new(small("W25N01GV")).err(), Some(ChipError::WrongPart));
    assert_eq!(SimNand::new(small("W25Q128JV")).err(), Some(ChipError::WrongPart));
    assert_eq!(SimMultiwriteNor::<8, 2048>::new(small("STM32L4")).err(), Some(ChipError::WrongPart));
    assert_eq!(small("W25N01GV").read_nor(0, &mut []), Err(ChipError::WrongPart));
    assert_eq!(small("W25Q128JV").erase_nand(0), Err(ChipError::WrongPart));
}

#[test]
fn multiwrite_clears_bits_but_does_not_set_them() {
    let mut driver = SimMultiwriteNor::<1, 4096>::new(small("W25Q128JV")).unwrap();
    driver.write(0, &[0xF0]).unwrap();
    driver.write(0, &[0x30]).unwrap();
    let mut byte = [0];
    driver.read(0, &mut byte).unwrap();
    assert_eq!(byte, [0x30]);
    assert_eq!(driver.driver_mut().chip().counters().violations, 0);
    driver.write(0, &[0xFF]).unwrap();
    expect_violation(driver.driver_mut().chip(), "from 0 to 1");
}
