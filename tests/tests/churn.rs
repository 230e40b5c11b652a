//! Random overwrites far beyond the volume's size, near its capacity.
//!
//! One file takes nearly everything, and is overwritten in whole logical blocks and in small pieces until each of its
//! bytes was replaced more than twice. The cleaner must find room all the time, and what it moves must stay what it is.

use k7fs_core::{Error, File, MountOptions, OpenOptions, Volume};
use k7fs_sim::chip::{ChipSpec, SimFlash};
use k7fs_sim::model::{Content, Random};
use k7fs_tests::geometry::{buffer_for, formatted_chip};
use k7fs_tests::seed::{mix, seed};
use k7fs_tests::sequence::check;

/// Bytes of a large write: a logical block.
const BLOCK_BYTES: usize = 4096;
/// Bytes of a small write, which may lie anywhere.
const PIECE_BYTES: usize = 100;
/// One write in so many is a small one.
const PIECE_EVERY: usize = 3;
/// Writes for each logical block of the file.
const ROUNDS: usize = 4;
/// Writes from one sync to the next.
const SYNC_EVERY: usize = 5;
/// Writes from one audit of the allocation table to the next.
const AUDIT_EVERY: usize = 200;

/// How much of the volume the file takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    /// So many percent of the capacity.
    Percent(u64),
    /// All that there is, in logical blocks.
    UntilRefused,
}

/// A file as large as the volume allows, and what it must hold.
struct Churn<'b> {
    volume: Volume<'b, SimFlash>,
    file: File,
    expected: Vec<u8>,
    random: Random,
}

impl<'b> Churn<'b> {
    fn new(flash: SimFlash, buffer: &'b mut [u8]) -> Self {
        let mut volume = Volume::mount(flash, buffer, MountOptions::default()).expect("a new volume mounts");
        let options = OpenOptions::new().read(true).write(true).create(true);
        let file = volume.open("/big", options).expect("opens");
        Self { volume, file, expected: Vec::new(), random: Random::new(mix(seed(), 1)) }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        Content::seeded(self.random.next_u64(), length as u32).bytes()
    }

    fn fill(&mut self, fill: Fill) {
        let capacity = self.volume.usage().expect("usage is always known").capacity_bytes;
        let is_enough = |length: usize| match fill {
            Fill::Percent(percent) => length as u64 * 100 >= capacity * percent,
            Fill::UntilRefused => false,
        };
        while !is_enough(self.expected.len()) {
            let bytes = self.bytes(BLOCK_BYTES);
            match self.volume.write_at(&self.file, self.expected.len() as u64, &bytes) {
                Ok(()) => self.expected.extend(bytes),
                Err(Error::NoSpace) if fill == Fill::UntilRefused => break,
                Err(error) => panic!("{error} with {} bytes of {capacity}", self.expected.len()),
            }
        }
        self.volume.sync().expect("a full volume syncs");
    }

    fn overwrite(&mut self) {
        let blocks = self.expected.len() / BLOCK_BYTES;
        for round in 0..blocks * ROUNDS {
            let (at, length) = if round % PIECE_EVERY == 0 {
                (self.random.below((self.expected.len() - PIECE_BYTES) as u64) as usize, PIECE_BYTES)
            } else {
                (self.random.below(blocks as u64) as usize * BLOCK_BYTES, BLOCK_BYTES)
            };
            let bytes = self.bytes(length);
            let result = self.volume.write_at(&self.file, at as u64, &bytes);
            assert_eq!(result, Ok(()), "write {round} at {at}, {:?}", self.volume.usage());
            self.expected[at..at + length].copy_from_slice(&bytes);
            if round % SYNC_EVERY == 0 {
                assert_eq!(self.volume.sync(), Ok(()), "sync after write {round}");
            }
            if round % AUDIT_EVERY == 0 {
                assert_eq!(self.volume.audit(), Ok(None), "a live count is too low after write {round}");
            }
        }
    }

    fn expect_content(&mut self) {
        let mut read = vec![0; self.expected.len()];
        assert_eq!(self.volume.read_at(&self.file, 0, &mut read), Ok(read.len()));
        assert!(read == self.expected, "the file has other content");
    }

    /// Removes the file and stops.
    fn end(mut self) {
        self.volume.close(self.file).expect("closes");
        self.volume.remove_file("/big").expect("a full volume deletes");
        assert_eq!(self.volume.audit(), Ok(None), "a live count is too low");
        self.volume.usage().expect("usage is always known");
        check(&mut self.volume).expect("no faults");
        let flash = self.volume.unmount().expect("unmounts");
        let counters = flash.chip().counters();
        assert_eq!(counters.violations, 0, "the chip's rules were broken: {:?}", counters.violation_texts);
    }
}

fn churn(chip: &str, blocks: u32, fill: Fill) {
    let spec = ChipSpec::named(chip).expect("a preset").scaled(blocks);
    let flash = formatted_chip(&spec, seed());
    let mut buffer = buffer_for(&flash);
    let mut churn = Churn::new(flash, &mut buffer);
    churn.fill(fill);
    churn.overwrite();
    churn.expect_content();
    churn.end();
}

#[test]
fn nor_of_32_blocks_filled_to_the_last_block() {
    churn("W25Q128JV", 32, Fill::UntilRefused);
}

#[test]
fn nor_of_64_blocks_at_80_percent() {
    churn("W25Q80BL", 64, Fill::Percent(80));
}

#[test]
fn nor_of_256_blocks_at_80_percent() {
    churn("W25Q80BL", 256, Fill::Percent(80));
}

#[test]
fn nor_of_256_blocks_at_90_percent() {
    churn("W25Q80BL", 256, Fill::Percent(90));
}

#[test]
fn nor_of_256_blocks_filled_to_the_last_block() {
    churn("W25Q80BL", 256, Fill::UntilRefused);
}

#[test]
fn nor_of_16_large_blocks_at_90_percent() {
    churn("STM32H7", 16, Fill::Percent(90));
}

#[test]
fn nand_of_64_blocks_at_90_percent() {
    churn("W25N01GV", 64, Fill::Percent(90));
}
