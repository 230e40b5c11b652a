//! Each kind of cut leaves what it says, and nothing else changes.

use super::*;

const PAGE: u32 = 3;

/// A chip cut while programming a page, with power back; what the page should have got.
fn cut_program(name: &str, kind: CutKind) -> (Chip, Vec<u8>) {
    let mut chip = small(name);
    let wanted = program_page(&mut chip.clone(), PAGE, 7).unwrap();
    chip.faults_mut().cut = Some(Cut { operation: 0, kind });
    assert_eq!(program_page(&mut chip, PAGE, 7), Err(ChipError::Off));
    assert!(chip.is_off());
    assert_eq!(chip.counters().cuts, 1);
    chip.power_on();
    (chip, wanted)
}

fn stored(chip: &Chip, page: u32) -> Vec<u8> {
    chip.cells.page(page).map_or_else(|| vec![0xFF; chip.spec().page_bytes() as usize], |page| page.data.clone())
}

fn weak_count(chip: &Chip, page: u32) -> usize {
    chip.cells.page(page).map_or(0, |page| page.weak.len())
}

#[test]
fn a_program_is_torn_as_asked() {
    for (name, unit) in [("W25Q128JV", 1), ("STM32H7", 32), ("MT29F1G01ABAFD", 512)] {
        let bits = |kind| {
            let (chip, wanted) = cut_program(name, kind);
            let torn = stored(&chip, PAGE);
            let zeros: u32 = wanted.iter().map(|byte| byte.count_zeros()).sum();
            assert!(torn.iter().zip(&wanted).all(|(torn, wanted)| !torn & wanted == 0), "only wanted bits are cleared");
            (zeros, bits_differing(&torn, &vec![0xFF; torn.len()]), weak_count(&chip, PAGE), torn, wanted)
        };
        let (_, done, weak, ..) = bits(CutKind::Before);
        assert_eq!((done, weak), (0, 0));
        let (_, _, weak, torn, wanted) = bits(CutKind::FirstUnit);
        assert_eq!((&torn[..unit], weak), (&wanted[..unit], 0));
        assert!(torn[unit..].iter().all(|byte| *byte == 0xFF));
        let (_, done, weak, ..) = bits(CutKind::OneBit);
        assert_eq!((done, weak), (1, 0));
        let (zeros, done, weak, ..) = bits(CutKind::HALF);
        assert!(done > zeros / 3 && done < zeros * 2 / 3, "{done} of {zeros}");
        assert!(weak > zeros as usize / 12 && weak < zeros as usize / 6, "{weak} of {zeros}");
        let (zeros, done, weak, ..) = bits(CutKind::AllButOneBit);
        assert_eq!((done, weak), (zeros - 1, 0));
        let (zeros, done, weak, ..) = bits(CutKind::DoneUnstable);
        assert_eq!(done, zeros);
        assert!(weak > zeros as usize / 12 && weak < zeros as usize / 6, "{weak} of {zeros}");
        let (zeros, done, weak, ..) = bits(CutKind::Done);
        assert_eq!((done, weak), (zeros, 0));
    }
}

#[test]
fn torn_orders() {
    let kind = |order| CutKind::Torn { fraction: 64, order };
    let (chip, wanted) = cut_program("W25Q128JV", kind(TornOrder::Ascending));
    let torn = stored(&chip, PAGE);
    assert_eq!(torn[..64], wanted[..64]);
    assert!(torn[64..].iter().all(|byte| *byte == 0xFF));
    let (chip, wanted) = cut_program("W25Q128JV", kind(TornOrder::Descending));
    let torn = stored(&chip, PAGE);
    assert_eq!(torn[192..], wanted[192..]);
    assert!(torn[..192].iter().all(|byte| *byte == 0xFF));
}

#[test]
fn unstable_bits_differ_between_reads_and_only_they() {
    let (mut chip, wanted) = cut_program("W25Q128JV", CutKind::DoneUnstable);
    let weak = weak_count(&chip, PAGE) as u32;
    assert_eq!(chip.counters().unstable_bits, u64::from(weak));
    let first = read_page(&mut chip, PAGE);
    let second = read_page(&mut chip, PAGE);
    assert_ne!(first, second);
    let flipped = bits_differing(&first, &wanted);
    assert!(flipped > weak / 4 && flipped < weak * 3 / 4, "{flipped} of {weak}");
    assert_eq!(chip.counters().bits_flipped, u64::from(flipped + bits_differing(&second, &wanted)));
    let hash = chip.state_hash();
    read_page(&mut chip, PAGE);
    assert_eq!(chip.state_hash(), hash, "reading changes nothing");
}

#[test]
fn density_and_probability_are_settable() {
    let mut chip = small("W25Q128JV");
    chip.faults_mut().unstable_density = 1.0;
    chip.faults_mut().unstable_probability = 1.0;
    chip.faults_mut().cut = Some(Cut { operation: 0, kind: CutKind::DoneUnstable });
    program_page(&mut chip, 0, 7).unwrap_err();
    chip.power_on();
    assert!(read_page(&mut chip, 0).iter().all(|byte| *byte == 0xFF), "every programmed bit reads flipped");

    let mut chip = small("W25Q128JV");
    chip.faults_mut().unstable_density = 0.0;
    chip.faults_mut().cut = Some(Cut { operation: 0, kind: CutKind::HALF });
    program_page(&mut chip, 0, 7).unwrap_err();
    assert_eq!(chip.counters().unstable_bits, 0);
}

#[test]
fn off_means_off_until_power_comes() {
    for name in ["W25Q128JV", "W25N01GV"] {
        let mut chip = small(name);
        program_page(&mut chip, 0, 1).unwrap();
        let hash = chip.state_hash();
        chip.faults_mut().cut = Some(Cut { operation: 2, kind: CutKind::Before });
        program_page(&mut chip, 1, 1).unwrap();
        erase_block(&mut chip, 0).unwrap();
        assert_eq!(program_page(&mut chip, 0, 1), Err(ChipError::Off));
        let operations = chip.counters().operations;
        assert_eq!(program_page(&mut chip, 0, 1), Err(ChipError::Off));
        assert_eq!(erase_block(&mut chip, 0), Err(ChipError::Off));
        assert_eq!(chip.mark(0).err(), chip.spec().is_nand().then_some(ChipError::Off));
        let mut byte = [0];
        let read = if chip.spec().is_nand() { chip.read_nand(0, 0, &mut byte) } else { chip.read_nor(0, &mut byte) };
        assert_eq!(read, Err(ChipError::Off));
        assert_eq!(chip.counters().operations, operations);
        chip.power_on();
        program_page(&mut chip, 0, 1).unwrap();
        assert_eq!(chip.state_hash(), hash);
        assert_eq!(chip.counters().violations, 0, "what never began does not count as programmed");
        assert_eq!((chip.counters().cuts, chip.counters().torn_programs), (1, 0));
    }
}

/// A chip whose block 0, half full, was cut while being erased; power is back.
fn cut_erase(name: &str, kind: CutKind) -> Chip {
    let mut chip = small(name);
    for page in 0..chip.spec().pages_per_block() / 2 {
        program_page(&mut chip, page, 50 + u64::from(page)).unwrap();
    }
    chip.faults_mut().cut = Some(Cut { operation: 0, kind });
    assert_eq!(erase_block(&mut chip, 0), Err(ChipError::Off));
    chip.power_on();
    chip
}

fn block_bytes(chip: &Chip) -> Vec<u8> {
    (0..chip.spec().pages_per_block()).flat_map(|page| stored(chip, page)).collect()
}

#[test]
fn an_erase_is_torn_as_asked() {
    for (name, nor) in [("W25Q128JV", true), ("W25N01GV", false)] {
        let before = block_bytes(&cut_erase(name, CutKind::Before));
        let after = |kind| block_bytes(&cut_erase(name, kind));
        assert_eq!(bits_differing(&after(CutKind::OneBit), &before), 1);
        let blank = vec![0xFF; before.len()];
        assert_eq!(bits_differing(&after(CutKind::AllButOneBit), &blank), 1);
        assert_eq!(after(CutKind::Done), blank);
        assert_eq!(after(CutKind::DoneUnstable), blank);
        let half = after(CutKind::HALF);
        assert_ne!((&half, &half), (&before, &blank));
        // The half that was never programmed: NOR programs it to 0 first, NAND lets it be.
        assert_eq!(half[half.len() / 2..].iter().all(|byte| *byte == 0xFF), !nor);
        let early = after(CutKind::Torn { fraction: 16, order: TornOrder::Ascending });
        let quarter = early.len() / 4;
        assert!(early[..quarter].iter().all(|byte| *byte == 0) == nor);
        assert_eq!(early[quarter..], before[quarter..]);
        let counters = cut_erase(name, CutKind::HALF).counters().clone();
        assert_eq!((counters.cuts, counters.torn_erases, counters.torn_programs), (1, 1, 0));
        assert!(counters.unstable_bits > 0);
    }
}

#[test]
fn a_large_erase_is_torn_over_all_its_blocks() {
    let mut chip = Chip::new(&spec("W25Q128JV"), 5);
    for page in 0..256 {
        program_page(&mut chip, page, 9).unwrap();
    }
    chip.faults_mut().cut = Some(Cut { operation: 0, kind: CutKind::HALF });
    chip.erase_nor(0, 65536).unwrap_err();
    assert_eq!(chip.counters().erases, 1);
    for block in 0..16 {
        assert!(chip.cells.block(block).unwrap().weak_erase);
        assert!(!cells::is_erased(&stored(&chip, block * 16 + 15)));
    }
    assert!(chip.cells.block(16).is_none());
}

#[test]
fn a_block_erased_half_way_is_weak_until_erased_again() {
    for name in ["W25Q128JV", "W25N01GV"] {
        let mut chip = cut_erase(name, CutKind::Done);
        assert!(block_bytes(&chip).iter().all(|byte| *byte == 0xFF));
        assert_eq!(weak_count(&chip, 0), 0);
        let wanted = program_page(&mut chip, 0, 3).unwrap();
        assert_eq!(chip.counters().violations, 0, "nobody can see it");
        assert!(weak_count(&chip, 0) > 0);
        let read = read_page(&mut chip, 0);
        assert!(bits_differing(&read, &wanted) > 0);
        assert!(read.iter().zip(&wanted).all(|(read, wanted)| read & !wanted == 0), "programmed bits are firm");

        erase_block(&mut chip, 0).unwrap();
        let wanted = program_page(&mut chip, 0, 3).unwrap();
        assert_eq!(read_page(&mut chip, 0), wanted);

        let mut chip = cut_erase(name, CutKind::Done);
        chip.faults_mut().weak_erase = false;
        let wanted = program_page(&mut chip, 0, 3).unwrap();
        assert_eq!(read_page(&mut chip, 0), wanted);
    }
}

#[test]
fn a_torn_page_must_not_be_programmed_again() {
    for name in ["W25Q128JV", "W25N01GV"] {
        let (mut chip, _) = cut_program(name, CutKind::OneBit);
        program_page(&mut chip, PAGE, 7).unwrap();
        assert_eq!(chip.counters().violations, 1, "{name}");
        let (mut chip, _) = cut_program(name, CutKind::HALF);
        erase_block(&mut chip, 0).unwrap();
        program_page(&mut chip, PAGE, 7).unwrap();
        assert_eq!(chip.counters().violations, 0, "{name}");
    }
}

#[test]
fn words_after_a_torn_one_are_untouched_in_internal_flash() {
    let mut chip = small("nRF52840");
    chip.faults_mut().cut = Some(Cut { operation: 0, kind: CutKind::FirstUnit });
    chip.program_nor(0, &[0; 256]).unwrap_err();
    chip.power_on();
    chip.program_nor(4, &[0; 252]).unwrap();
    assert_eq!(chip.counters().violations, 0);
    chip.program_nor(0, &[0; 4]).unwrap();
    assert_eq!(chip.counters().violations, 1);
}

#[test]
fn the_rungs_of_the_ladder_are_different_states() {
    for name in ["W25Q128JV", "W25N01GV", "STM32H7"] {
        let mut hashes: Vec<u64> = CutKind::LADDER.iter().map(|kind| cut_program(name, *kind).0.state_hash()).collect();
        hashes.extend(CutKind::LADDER.iter().map(|kind| cut_erase(name, *kind).state_hash()));
        hashes.sort_unstable();
        hashes.dedup();
        // A program not begun and an erase done both leave an erased chip.
        assert_eq!(hashes.len(), 2 * CutKind::LADDER.len() - 1, "{name}");
    }
}

#[test]
fn on_chip_correction_refuses_what_was_torn_or_programmed_twice() {
    for (name, unit) in [("STM32L4", 8), ("STM32H7", 32)] {
        let (mut chip, wanted) = cut_program(name, CutKind::OneBit);
        let mut raw = [0; 256];
        chip.read_nor(PAGE * 256, &mut raw).unwrap();
        chip.faults_mut().ecc_trap = true;
        assert_eq!(chip.read_nor(PAGE * 256, &mut raw), Err(ChipError::Uncorrectable));
        assert_eq!(chip.counters().ecc_traps, 1);
        let refused = |chip: &mut Chip, at: u32| chip.read_nor(at, &mut [0]).is_err();
        let units = (0..256 / unit).filter(|index| refused(&mut chip, PAGE * 256 + index * unit)).count();
        assert_eq!(units, 1, "only the unit of the torn bit");

        let (mut chip, _) = cut_program(name, CutKind::Done);
        chip.faults_mut().ecc_trap = true;
        assert_eq!(read_page(&mut chip, PAGE), wanted);
        chip.program_nor(PAGE * 256, &vec![0; unit as usize]).unwrap();
        assert!(refused(&mut chip, PAGE * 256) && !refused(&mut chip, PAGE * 256 + unit));
        erase_block(&mut chip, 0).unwrap();
        read_page(&mut chip, PAGE);

        let mut chip = cut_erase(name, CutKind::HALF);
        chip.faults_mut().ecc_trap = true;
        assert!(refused(&mut chip, 0));
        let mut chip = cut_erase(name, CutKind::FirstUnit);
        chip.faults_mut().ecc_trap = true;
        assert!(refused(&mut chip, 0) && !refused(&mut chip, 256));
    }
    let (mut chip, _) = cut_program("W25Q128JV", CutKind::HALF);
    chip.faults_mut().ecc_trap = true;
    read_page(&mut chip, PAGE);
}

#[test]
fn an_interrupted_erase_is_another_condition_though_it_reads_the_same() {
    for name in ["W25Q128JV", "W25N01GV"] {
        let mut chip = cut_erase(name, CutKind::Done);
        let clean = small(name);
        assert_eq!(chip.state_hash(), clean.state_hash());
        assert_ne!(chip.condition_hash(), clean.condition_hash());
        erase_block(&mut chip, 0).unwrap();
        assert_eq!(chip.condition_hash(), clean.condition_hash());
        let fork = chip.clone();
        chip.grow_bad(3);
        assert_ne!(chip.condition_hash(), fork.condition_hash());
    }
}
