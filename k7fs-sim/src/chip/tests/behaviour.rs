//! A chip is a value: forks, images, hashes and traces.

use k7fs_core::flash::{Flash, FlashError};

use super::*;

#[test]
fn a_clone_is_independent() {
    for name in ["W25Q128JV", "W25N01GV"] {
        let mut chip = small(name);
        let first = program_page(&mut chip, 0, 1).unwrap();
        let (hash, counters) = (chip.state_hash(), chip.counters().clone());
        let mut other = chip.clone();
        program_page(&mut other, 1, 2).unwrap();
        erase_block(&mut other, 0).unwrap();
        other.power_off();
        assert!(!chip.is_off());
        assert_eq!((chip.state_hash(), chip.counters()), (hash, &counters));
        assert_eq!(read_page(&mut chip, 0), first);
        other.power_on();
        assert!(read_page(&mut other, 0).iter().all(|byte| *byte == 0xFF));
    }
}

#[test]
fn the_hash_is_of_content_and_weak_bits_only() {
    let mut chip = small("W25Q128JV");
    assert_eq!(chip.state_hash(), 0);
    let empty = chip.state_hash();
    program_page(&mut chip, 0, 1).unwrap();
    let written = chip.state_hash();
    program_page(&mut chip, 1, 1).unwrap();
    assert_ne!(chip.state_hash(), written, "the same bytes at another place are another state");
    erase_block(&mut chip, 0).unwrap();
    assert_eq!(chip.state_hash(), empty);
    chip.program_nor(0, &[0xFF; 256]).unwrap();
    assert_eq!(chip.state_hash(), empty, "ones change nothing");
    let image = Chip::from_bytes(chip.spec(), &chip.to_bytes()).unwrap();
    assert_eq!(image.state_hash(), chip.state_hash());
}

/// Some work under all kinds of faults; what it left.
fn trace(name: &str, seed: u64) -> (u64, Counters, u64) {
    let mut chip = Chip::with_factory_bad(&spec(name).scaled(16), seed, 1);
    chip.faults_mut().bit_flip_rate = 1e-4;
    chip.faults_mut().program_fail_rate = 0.01;
    chip.faults_mut().erase_fail_rate = 0.01;
    let mut read = 0;
    let pages = chip.spec().pages_per_block();
    for step in 0..400_u32 {
        if step % 23 == 11 {
            chip.faults_mut().cut = Some(Cut { operation: 3, kind: CutKind::LADDER[step as usize / 23 % 7] });
        }
        let block = step * 7 % 16;
        let _ = if step % 5 == 4 {
            erase_block(&mut chip, block)
        } else {
            program_page(&mut chip, block * pages + step / 20 % pages, u64::from(step)).map(|_| ())
        };
        if chip.is_off() {
            chip.power_on();
        }
        read = read_page(&mut chip, step * 11 % (16 * pages))
            .iter()
            .fold(read, |sum: u64, byte| sum.rotate_left(5) ^ u64::from(*byte));
    }
    (chip.state_hash(), chip.counters().clone(), read)
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for name in ["W25Q128JV", "W25N01GV"] {
        assert_eq!(trace(name, 1), trace(name, 1));
        assert_ne!(trace(name, 1), trace(name, 2));
    }
}

#[test]
fn traces_are_the_same_on_every_platform() {
    // Pinned: a replay token printed on one machine must mean the same on another.
    let pinned: Vec<(u64, u64, u64)> =
        ["W25Q128JV", "W25N01GV"].iter().map(|name| trace(name, 1)).map(|t| (t.0, t.1.bits_flipped, t.2)).collect();
    assert_eq!(pinned, PINNED);
}

const PINNED: [(u64, u64, u64); 2] = [
    (7_252_551_923_156_614_529, 1314, 18_392_661_097_932_283_914),
    (1_163_544_314_472_480_765, 2926, 12_352_347_991_100_156_215),
];

#[test]
fn removing_an_operation_leaves_the_faults_of_other_blocks_alone() {
    let run = |extra: bool| {
        let mut chip = small("W25N01GV");
        program_page(&mut chip, 64, 1).unwrap();
        chip.faults_mut().bit_flip_rate = 1e-3;
        if extra {
            program_page(&mut chip, 0, 1).unwrap();
            chip.read_nand(0, 0, &mut [0; 64]).unwrap();
        }
        let mut raw = [0; 2112];
        chip.read_nand(64, 0, &mut raw).unwrap();
        raw
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn forks_stand_before_each_operation() {
    let mut chip = small("W25N01GV");
    chip.record_forks();
    program_page(&mut chip, 0, 1).unwrap();
    program_page(&mut chip, 1, 2).unwrap();
    erase_block(&mut chip, 0).unwrap();
    chip.mark(3).unwrap();
    read_page(&mut chip, 0);
    let last = chip.state_hash();
    assert_eq!(chip.fork_count(), 4);
    let forks = chip.take_forks();
    for (index, fork) in forks.iter().enumerate() {
        assert_eq!(fork.cut(CutKind::Before).state_hash(), fork.chip.state_hash());
        let after = forks.get(index + 1).map_or(last, |next| next.chip.state_hash());
        let cut = fork.cut(CutKind::Done);
        assert_eq!(cut.state_hash(), after);
        assert!(!cut.is_off());
        assert_eq!((cut.fork_count(), fork.chip.fork_count()), (0, 0));
    }
    assert!(matches!(forks[2].operation, Operation::Erase { block: 0, count: 1 }));
    assert_eq!(chip.take_forks().len(), 0);
}

#[test]
fn every_preset_works_through_the_real_wrappers() {
    for part in ChipSpec::all() {
        let mut flash = SimFlash::new(Chip::with_factory_bad(part, 1, 0));
        let geometry = flash.geometry();
        assert_eq!(flash.checked_geometry(), Ok(geometry), "{}", part.name);
        let raw = {
            let mut raw = noise(1, geometry.raw_page_size());
            if geometry.is_nand() {
                raw[geometry.page_size as usize..][..2].fill(0xFF);
            }
            raw
        };
        let last = geometry.page_count() - 1;
        for page in [0, 1, geometry.pages_per_block, last] {
            flash.program(page, &raw).unwrap();
            let mut read = vec![0; raw.len() - 5];
            flash.read(page, 5, &mut read).unwrap();
            assert_eq!(read, raw[5..], "{}", part.name);
        }
        flash.erase(0).unwrap();
        let mut read = vec![0; raw.len()];
        flash.read(1, 0, &mut read).unwrap();
        assert!(read.iter().all(|byte| *byte == 0xFF));
        assert_eq!(flash.program(last + 1, &raw), Err(FlashError::OutOfBounds));
        assert_eq!(flash.program(2, &raw[1..]), Err(FlashError::NotAligned));
        assert_eq!(flash.is_bad(0), Ok(false));
        flash.mark_bad(0).unwrap();
        assert_eq!(flash.is_bad(0), Ok(geometry.is_nand()));
        assert_eq!(flash.verifies_by_reading(), !geometry.is_nand());
        assert_eq!(flash.chip().counters().violations, 0, "{}", part.name);
    }
}

#[test]
fn layouts_are_checked() {
    let chip = || Chip::new(&spec("W25Q16JV"), 1);
    let flash = SimFlash::with_layout(chip(), 512, 65536).unwrap();
    assert_eq!((flash.geometry().pages_per_block, flash.geometry().block_count), (128, 32));
    assert_eq!(SimFlash::with_layout(chip(), 100, 4096).err(), Some(FlashError::NotAligned));
    assert_eq!(SimFlash::with_layout(chip(), 256, 2048).err(), Some(FlashError::NotAligned));
    assert_eq!(SimFlash::with_layout(chip(), 256, 0).err(), Some(FlashError::NotAligned));
    assert_eq!(SimFlash::part(chip(), 256, 4096, 500..513).err(), Some(FlashError::OutOfBounds));
    let nand = || Chip::new(&spec("W25N01GV"), 1);
    assert_eq!(SimFlash::with_layout(nand(), 256, 4096).err(), Some(FlashError::NotAligned));
    let mut part = SimFlash::part(nand(), 2048, 131_072, 10..20).unwrap();
    assert_eq!(part.geometry().block_count, 10);
    part.chip_mut().mark(12).unwrap();
    assert_eq!(part.is_bad(2), Ok(true));
    assert_eq!(part.is_bad(10), Err(FlashError::OutOfBounds));
}

#[test]
fn images_round_trip_and_sizes_are_checked() {
    for name in ["nRF51822", "W25N01GV"] {
        let mut chip = small(name);
        let first = program_page(&mut chip, 0, 1).unwrap();
        chip.mark(5).unwrap();
        let path = std::env::temp_dir().join(format!("k7fs-sim-image-{}-{name}", std::process::id()));
        chip.save_image(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), chip.spec().image_size());
        let mut loaded = Chip::load_image(chip.spec(), &path).unwrap();
        assert_eq!(loaded.state_hash(), chip.state_hash());
        assert_eq!(read_page(&mut loaded, 0), first);
        assert_eq!(loaded.is_marked(5), chip.spec().is_nand());
        program_page(&mut loaded, 0, 2).unwrap();
        assert_eq!(loaded.counters().violations, 1, "what the image holds is programmed");

        let mut image = std::fs::read(&path).unwrap();
        image.pop();
        std::fs::write(&path, &image).unwrap();
        let error = Chip::load_image(chip.spec(), &path).unwrap_err().to_string();
        assert!(error.contains("truncated") && error.contains(&path.display().to_string()), "{error}");
        image.extend([0; 2]);
        let error = Chip::from_bytes(chip.spec(), &image).unwrap_err().to_string();
        assert!(error.contains("too long") && error.contains(&image.len().to_string()), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Chip::load_image(chip.spec(), &path), Err(ImageError::Io { .. })));
    }
}
