//! Faults other than cuts.

use k7fs_core::flash::{Flash, FlashError};

use super::*;

#[test]
fn bits_flip_at_the_rate_asked_for_and_do_not_stay() {
    for (name, rate) in [("W25Q128JV", 1e-3), ("W25N01GV", 1e-4)] {
        let mut chip = small(name);
        let wanted = program_page(&mut chip, 0, 1).unwrap();
        chip.faults_mut().bit_flip_rate = rate;
        let rounds = 2000;
        let mut flips = 0;
        for _ in 0..rounds {
            flips += bits_differing(&read_page(&mut chip, 0), &wanted);
        }
        let expected = f64::from(rounds) * wanted.len() as f64 * 8.0 * rate;
        assert!((f64::from(flips) - expected).abs() < expected * 0.1, "{flips} of {expected}");
        assert!(chip.counters().bits_flipped >= u64::from(flips));
        chip.faults_mut().bit_flip_rate = 0.0;
        assert_eq!(read_page(&mut chip, 0), wanted);
    }
}

#[test]
fn going_on_within_a_page_reads_what_was_loaded() {
    let mut chip = small("W25N01GV");
    let wanted = program_page(&mut chip, 0, 1).unwrap();
    chip.faults_mut().bit_flip_rate = 1e-2;
    let mut whole = vec![0; 2112];
    let (first, rest) = whole.split_at_mut(1001);
    chip.read_nand(0, 0, first).unwrap();
    chip.read_nand(0, 1001, rest).unwrap();
    assert_ne!(whole, wanted);
    assert_ne!(read_page(&mut chip, 0), whole, "loaded anew");
}

#[test]
fn nand_program_failure_is_reported() {
    let mut chip = small("W25N01GV");
    chip.faults_mut().program_fail.insert(1);
    let kept = program_page(&mut chip, 0, 1).unwrap();
    assert_eq!(program_page(&mut chip, 1, 2), Err(ChipError::ProgramFailed));
    assert_eq!(chip.counters().program_failures, 1);
    assert_eq!(read_page(&mut chip, 0), kept);
    assert_ne!(read_page(&mut chip, 1), noise(2, 2112));
}

#[test]
fn nor_program_failure_is_only_seen_by_reading() {
    let mut chip = small("W25Q128JV");
    chip.faults_mut().program_fail.insert(1);
    let wanted = program_page(&mut chip, 1, 2).unwrap();
    assert_eq!(chip.counters().program_failures, 1);
    let read = read_page(&mut chip, 1);
    assert_ne!(read, wanted);
    assert_eq!(read, read_page(&mut chip, 1), "wrong, but stable");
}

#[test]
fn erase_failures() {
    let mut chip = small("W25N01GV");
    let kept = program_page(&mut chip, 64, 1).unwrap();
    chip.faults_mut().erase_fail.insert(1);
    assert_eq!(erase_block(&mut chip, 1), Err(ChipError::EraseFailed));
    assert_eq!(read_page(&mut chip, 64), kept);
    erase_block(&mut chip, 2).unwrap();

    let mut chip = small("W25Q128JV");
    chip.faults_mut().erase_fail.insert(1);
    erase_block(&mut chip, 1).unwrap();
    assert_ne!(read_page(&mut chip, 17), vec![0xFF; 256]);
    assert_eq!(chip.counters().erase_failures, 1);
}

#[test]
fn failures_at_a_rate() {
    let mut chip = small("W25N01GV");
    chip.faults_mut().program_fail_rate = 0.05;
    chip.faults_mut().erase_fail_rate = 0.05;
    let failed = (0..1024).filter(|page| program_page(&mut chip, *page, 1).is_err()).count();
    assert!((25..90).contains(&failed), "{failed}");
    let failed = (0..1024).filter(|at| erase_block(&mut chip, at % 16).is_err()).count();
    assert!((25..90).contains(&failed), "{failed}");
}

#[test]
fn a_block_goes_bad_at_the_operation_asked_for() {
    let mut chip = small("W25N01GV");
    chip.faults_mut().grown_bad = Some(2);
    let kept = program_page(&mut chip, 128, 1).unwrap();
    program_page(&mut chip, 0, 1).unwrap();
    assert_eq!(program_page(&mut chip, 129, 1), Err(ChipError::ProgramFailed));
    assert_eq!(chip.grown_bad_blocks().collect::<Vec<_>>(), [2]);
    assert_eq!(chip.counters().grown_bad_blocks, 1);
    assert_eq!(read_page(&mut chip, 128), kept, "what it held stays readable");
    chip.power_on();
    assert_eq!(erase_block(&mut chip, 2), Err(ChipError::EraseFailed));
    program_page(&mut chip, 1, 1).unwrap();
    chip.mark(2).unwrap();
    assert!(chip.is_marked(2));
    assert_eq!(chip.counters().violations, 0);
}

#[test]
fn a_block_fault_begins_at_the_operation_asked_for() {
    for name in ["W25N01GV", "W25Q128JV"] {
        let per_block = small(name).spec().pages_per_block();
        let nand = small(name).spec().is_nand();
        let with = |kind, operation| {
            let mut chip = small(name);
            let kept = program_page(&mut chip, per_block, 1).unwrap();
            chip.faults_mut().block_fault = Some(BlockFault { block: 1, operation, kind });
            (chip, kept)
        };
        let (mut chip, kept) = with(BlockFaultKind::Program, 1);
        let before = program_page(&mut chip, per_block + 1, 2).unwrap();
        assert_eq!(program_page(&mut chip, per_block + 2, 3).is_err(), nand);
        assert_eq!(chip.counters().program_failures, 1);
        assert_eq!((read_page(&mut chip, per_block), read_page(&mut chip, per_block + 1)), (kept, before), "{name}");
        erase_block(&mut chip, 1).unwrap();
        assert_eq!(chip.counters().erase_failures, 0, "erases are another fault");
        program_page(&mut chip, 0, 1).unwrap();

        let (mut chip, _) = with(BlockFaultKind::Erase, 1);
        program_page(&mut chip, 0, 1).unwrap();
        assert_eq!(erase_block(&mut chip, 1).is_err(), nand);
        assert_eq!(chip.counters().erase_failures, 1);

        let (mut chip, kept) = with(BlockFaultKind::SilentErase, 0);
        erase_block(&mut chip, 1).unwrap();
        let left = read_page(&mut chip, per_block);
        assert!(left.iter().zip(&kept).all(|(left, kept)| left & kept == *kept), "{name}: a bit was programmed");
        let ones = |bytes: &[u8]| bytes.iter().map(|byte| byte.count_ones() as usize).sum::<usize>();
        assert!(ones(&left) < left.len() * 8 && ones(&left) > left.len() * 7, "{name}: {} ones", ones(&left));
        assert_eq!(read_page(&mut chip, per_block + 1), vec![0xFF; kept.len()]);
        assert_eq!(chip.counters().violations, 0);
    }
}

#[test]
fn lost_content_is_back_with_an_erase_only() {
    for name in ["W25N01GV", "W25Q128JV"] {
        let mut chip = small(name);
        let per_block = chip.spec().pages_per_block();
        let kept = program_page(&mut chip, per_block, 1).unwrap();
        let beside = program_page(&mut chip, 0, 2).unwrap();
        chip.faults_mut().block_fault = Some(BlockFault { block: 1, operation: 0, kind: BlockFaultKind::Content });
        let after = program_page(&mut chip, per_block + 1, 3).unwrap();
        let lost = read_page(&mut chip, per_block);
        let wrong = bits_differing(&lost, &kept) as usize;
        assert!((kept.len() * 3..kept.len() * 5).contains(&wrong), "{name}: {wrong} bits are wrong");
        assert_eq!(read_page(&mut chip, per_block), lost, "{name}: lost for good");
        assert!(!chip.is_marked(1), "{name}: taken for a bad block");
        assert_eq!(read_page(&mut chip, 0), beside);
        assert_eq!(read_page(&mut chip, per_block + 1), after, "what is written later is not lost");
        erase_block(&mut chip, 1).unwrap();
        assert_eq!(program_page(&mut chip, per_block, 4).unwrap(), read_page(&mut chip, per_block));
    }
}

#[test]
fn factory_bad_blocks_come_from_the_seed() {
    let part = spec("MT29F1G01ABAFD");
    let bad = |seed, count| Chip::with_factory_bad(&part, seed, count).marked_blocks().collect::<Vec<_>>();
    assert_eq!(bad(1, 20).len(), 20);
    assert_eq!(bad(1, 20), bad(1, 20));
    assert_ne!(bad(1, 20), bad(2, 20));
    assert!(bad(3, 5000).len() == 1024 - 8 && bad(3, 5000)[0] == 8, "blocks 0 to 7 are guaranteed");
    for seed in 0..50 {
        assert!(Chip::new(&part, seed).marked_blocks().count() <= 10);
    }
    let mut flash = SimFlash::new(Chip::with_factory_bad(&part, 1, 20));
    let found: Vec<u32> = (0..1024).filter(|block| flash.is_bad(*block).unwrap()).collect();
    assert_eq!(found, bad(1, 20));
    assert_eq!(flash.erase(found[0]), Err(FlashError::EraseFailed));
}

#[test]
fn flipped_bits_do_not_condemn_a_block() {
    let mut flash = SimFlash::new(Chip::with_factory_bad(&spec("W25N01GV").scaled(64), 1, 2));
    flash.chip_mut().faults_mut().bit_flip_rate = 1e-3;
    let marked: Vec<u32> = flash.chip().marked_blocks().collect();
    for _ in 0..20 {
        assert_eq!((0..64).filter(|block| flash.is_bad(*block).unwrap()).collect::<Vec<_>>(), marked);
    }
}

#[test]
fn stuck_bits_stay() {
    let mut chip = small("W25Q128JV");
    chip.faults_mut().stuck.insert(StuckBit { page: 0, bit: 9, value: false });
    chip.faults_mut().stuck.insert(StuckBit { page: 2, bit: 8, value: true });
    let mut byte = [0; 2];
    chip.read_nor(0, &mut byte).unwrap();
    assert_eq!(byte, [0xFF, 0xFD]);
    chip.program_nor(512, &[0, 0]).unwrap();
    chip.read_nor(513, &mut byte[..1]).unwrap();
    assert_eq!(byte[0], 1);
}
