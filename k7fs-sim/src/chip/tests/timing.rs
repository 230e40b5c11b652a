//! Device times follow the model that every measurement of the project uses.

use k7fs_core::flash::Flash;

use super::*;

fn time(flash: &mut SimFlash, run: impl FnOnce(&mut SimFlash)) -> u64 {
    let before = flash.chip().counters().device_time_ns;
    run(flash);
    flash.chip().counters().device_time_ns - before
}

#[test]
fn spi_nor_times() {
    let mut flash = SimFlash::new(Chip::new(&spec("W25Q128JV"), 1));
    assert_eq!(time(&mut flash, |f| f.read(0, 0, &mut [0; 256]).unwrap()), 1_000 + 256 * 20);
    assert_eq!(time(&mut flash, |f| f.read(0, 3, &mut [0; 1]).unwrap()), 1_020);
    assert_eq!(time(&mut flash, |f| f.program(0, &[0; 256]).unwrap()), 400_000);
    assert_eq!(time(&mut flash, |f| f.erase(0).unwrap()), 150_000_000, "one aligned 64 KiB erase");
    let chip = flash.chip_mut();
    let mut at = chip.counters().device_time_ns;
    let mut step = |chip: &mut Chip| {
        let spent = chip.counters().device_time_ns - at;
        at += spent;
        spent
    };
    chip.program_nor(0, &[0; 64]).unwrap();
    assert_eq!(step(chip), 190_000);
    chip.program_nor(128, &[0; 256]).unwrap();
    assert_eq!(step(chip), 2 * 350_000, "two program pages of 128 bytes each");
    chip.erase_nor(4096, 8192).unwrap();
    assert_eq!(step(chip), 45_000_000);
    chip.erase_nor(0x8000, 0x10000).unwrap();
    assert_eq!(step(chip), 120_000_000);
    // 4 KiB to reach 32 KiB alignment seven times, then 32 KiB, 64 KiB and 4 KiB.
    chip.erase_nor(0x1000, 0x21000).unwrap();
    assert_eq!(step(chip), 7 * 45_000_000 + 120_000_000 + 150_000_000 + 45_000_000);
}

#[test]
fn spi_nand_times() {
    let mut flash = SimFlash::new(Chip::with_factory_bad(&spec("W25N01GV"), 1, 0));
    let bus = |bytes: u64| bytes * 76_923 / 1000;
    assert_eq!(time(&mut flash, |f| f.read(5, 0, &mut [0; 1984]).unwrap()), 25_000 + bus(1984));
    assert_eq!(time(&mut flash, |f| f.read(5, 1984, &mut [0; 64]).unwrap()), bus(64), "still in the register");
    assert_eq!(time(&mut flash, |f| f.read(5, 0, &mut [0; 64]).unwrap()), 25_000 + bus(64), "read again");
    assert_eq!(time(&mut flash, |f| f.read(6, 0, &mut [0; 64]).unwrap()), 25_000 + bus(64));
    assert_eq!(time(&mut flash, |f| f.program(0, &[0xFF; 2112]).unwrap()), 250_000 + bus(2112));
    assert_eq!(time(&mut flash, |f| f.read(6, 0, &mut [0; 64]).unwrap()), 25_000 + bus(64), "programming uses it");
    assert_eq!(time(&mut flash, |f| f.erase(1).unwrap()), 2_000_000);
    assert_eq!(time(&mut flash, |f| f.read(6, 64, &mut [0; 64]).unwrap()), bus(64), "erasing another block does not");
}

#[test]
fn internal_flash_times_are_per_word() {
    let mut chip = Chip::new(&spec("nRF52840"), 1);
    chip.program_nor(0, &[0; 256]).unwrap();
    assert_eq!(chip.counters().device_time_ns, 64 * 41_000);
    let mut chip = Chip::new(&spec("STM32L4"), 1);
    chip.program_nor(0, &[0; 16]).unwrap();
    assert_eq!(chip.counters().device_time_ns, 2 * 82_000);
}

#[test]
fn counters_count() {
    let mut chip = small("W25Q16JV");
    chip.program_nor(0x1080, &[0; 256]).unwrap();
    chip.erase_nor(0x1000, 0x3000).unwrap();
    chip.read_nor(0, &mut [0; 10]).unwrap();
    let counters = chip.counters();
    assert_eq!((counters.programs, counters.erases, counters.reads, counters.operations), (2, 2, 1, 5));
    assert_eq!((counters.bytes_programmed, counters.bytes_erased, counters.bytes_read), (256, 8192, 10));
    assert_eq!(&counters.erases_per_block[..4], [0, 1, 1, 0]);
    assert_eq!(counters.longest_operation_ns, 45_000_000);
    assert_eq!(counters.cut_points(), 4);
    chip.reset_counters();
    assert_eq!(chip.counters().operations, 0);
}
