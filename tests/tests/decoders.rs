//! What a volume makes of a page that its decoder cannot mend, and of chips that can tell which bits are weak.

use std::sync::Arc;

use k7fs_core::ecc::{Rung, Tier};
use k7fs_core::flash::{Flash, FlashError, Geometry};
use k7fs_core::{Error, MountOptions, Volume, buffer_bytes_with};
use k7fs_sim::model::Random;
use k7fs_tests::geometry::format;
use k7fs_tests::ram::RamFlash;
use k7fs_tests::seed::{mix, seed};

const GEOMETRY: Geometry =
    Geometry { page_size: 256, spare_size: 0, pages_per_block: 16, block_count: 64, bad_blocks_max: 0 };
const CONTENT: &[u8; 120] = &[0xA7; 120];
/// Wrong bits that the whole ladder mostly leaves without help.
const ERRORS_BEYOND_ALL: usize = 30;
/// Wrong bits that bit flipping often leaves, and belief propagation mends.
const ERRORS_BEYOND_SMALL: usize = 19;
const TRIES: u64 = 200;
const SOFT_TRIES: u64 = 6;

/// A chip that may be able to read a page above and below the threshold.
struct Retry {
    ram: RamFlash,
    weak: Option<(u32, Vec<u8>)>,
}

impl Flash for Retry {
    fn geometry(&self) -> Geometry {
        self.ram.geometry()
    }
    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.ram.read(page, column, bytes)
    }
    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.ram.program(page, bytes)
    }
    fn erase(&mut self, block: u32) -> Result<(), FlashError> {
        self.ram.erase(block)
    }
    fn is_bad(&mut self, block: u32) -> Result<bool, FlashError> {
        self.ram.is_bad(block)
    }
    fn mark_bad(&mut self, block: u32) -> Result<(), FlashError> {
        self.ram.mark_bad(block)
    }
    fn verifies_by_reading(&self) -> bool {
        self.ram.verifies_by_reading()
    }
    fn read_weak(&mut self, page: u32, weak: &mut [u8]) -> Result<bool, FlashError> {
        let Some((marked, bits)) = &self.weak else { return Ok(false) };
        if *marked == page {
            weak.copy_from_slice(bits);
        }
        Ok(true)
    }
}

/// A volume with one file, and the page that its content is on.
fn volume_with_file() -> (RamFlash, u32) {
    let image = vec![0xFF; GEOMETRY.raw_page_size() * GEOMETRY.page_count() as usize];
    let mut flash = RamFlash::new(GEOMETRY, Arc::from(image));
    format(&mut flash).expect("formats");
    let mut buffer = vec![0; buffer_bytes_with(&GEOMETRY, Tier::Small)];
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
    volume.write("/file", CONTENT).expect("writes");
    volume.unmount().expect("stops");
    let page = (0..GEOMETRY.page_count())
        .find(|page| flash.page(*page).windows(CONTENT.len()).any(|bytes| bytes == CONTENT))
        .expect("content is stored as it is");
    (flash, page)
}

/// Flips bits of a page for good, and gives them.
fn spoil(flash: &mut RamFlash, page: u32, errors: usize, random: &mut Random) -> Vec<u8> {
    let mut wrong = vec![0u8; GEOMETRY.raw_page_size()];
    let mut flipped = 0;
    while flipped < errors {
        let bit = random.below(wrong.len() as u64 * 8) as usize;
        flipped += usize::from(wrong[bit / 8] >> (bit % 8) & 1 == 0);
        wrong[bit / 8] |= 1 << (bit % 8);
    }
    flash.page_mut(page).iter_mut().zip(&wrong).for_each(|(byte, wrong)| *byte ^= wrong);
    wrong
}

/// Reads the file with this decoder; on success, the rung that mended most.
fn read(flash: impl Flash, tier: Tier) -> Result<Rung, Error> {
    let mut buffer = vec![0; buffer_bytes_with(&GEOMETRY, tier)];
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions { read_only: true, ..MountOptions::default() })?;
    let mut bytes = [0; CONTENT.len()];
    let read = volume.read("/file", &mut bytes)?;
    assert!(read == bytes.len() && bytes == *CONTENT, "wrong data was read");
    let statistics = volume.read_statistics();
    assert!(statistics.weakest.is_some_and(|weakest| weakest.margin < 0));
    let rung = Rung::ALL.into_iter().max_by_key(|rung| statistics.mended_by(*rung));
    Ok(rung.unwrap_or_default())
}

#[test]
fn what_the_small_decoder_leaves_the_full_one_mends() {
    let (flash, page) = volume_with_file();
    let mut random = Random::new(mix(seed(), 1));
    let mut found = 0;
    for _ in 0..TRIES {
        let mut flash = flash.clone();
        spoil(&mut flash, page, ERRORS_BEYOND_SMALL, &mut random);
        match read(&mut flash, Tier::Small) {
            Ok(rung) => assert!(rung <= Rung::FlipChase),
            Err(error) => {
                assert_eq!(error, Error::Uncorrectable { page, larger_decoder: true });
                assert!(read(&mut flash, Tier::Full).is_ok_and(|rung| rung >= Rung::Belief));
                found += 1;
            }
        }
    }
    assert!(found > 0, "{TRIES} pages with {ERRORS_BEYOND_SMALL} wrong bits were no trouble");
}

#[test]
fn weak_bits_mend_what_no_decoder_could() {
    let (flash, page) = volume_with_file();
    let mut random = Random::new(mix(seed(), 2));
    let mut found = 0;
    for _ in 0..SOFT_TRIES {
        let mut flash = flash.clone();
        let mut weak = spoil(&mut flash, page, ERRORS_BEYOND_ALL, &mut random);
        match read(&mut flash, Tier::Full) {
            Ok(rung) => assert!(rung >= Rung::Belief),
            Err(error) => {
                assert_eq!(error, Error::Uncorrectable { page, larger_decoder: false });
                // As many right bits are marked.
                for _ in 0..ERRORS_BEYOND_ALL {
                    let bit = random.below(weak.len() as u64 * 8) as usize;
                    weak[bit / 8] |= 1 << (bit % 8);
                }
                let chip = Retry { ram: flash, weak: Some((page, weak)) };
                assert!(read(chip, Tier::Full).is_ok_and(|rung| rung >= Rung::Belief));
                found += 1;
            }
        }
    }
    assert!(found > 0, "{SOFT_TRIES} pages with {ERRORS_BEYOND_ALL} wrong bits were no trouble");
}
