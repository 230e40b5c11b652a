//! One page, spoilt and mended: what the measurement repeats millions of times.
//!
//! Everything about a frame follows from the seed, the layout, the channel and the frame's number. Tiers see the same
//! frames, and nothing depends on which thread runs a frame or after which other one.

use crc::{CRC_32_ISCSI, Crc, Table};
use k7fs_core::ecc::{Layout, Tier, decode, encode};

use super::tally::Tally;
use crate::random::Random;

const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
/// Bytes of the checksum inside the codeword.
const CRC_BYTES: usize = 4;
/// Bytes of the factory's bad-block mark.
const MARK_BYTES: usize = 2;

/// How bits get wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Channel {
    /// Exactly this many bits, all choices of which are equally likely.
    Errors(usize),
    /// Each bit with this probability, independently.
    Rate(f64),
}

/// The checksum that judges what the decoder finds, as the format has it for real pages.
///
/// `seed` is the checksum of the volume's id, its salt and the layout; see FORMAT.md.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    layout: Layout,
    seed: u32,
    page: u32,
}

impl Judge {
    /// The judge of the page with this number.
    pub const fn new(layout: Layout, seed: u32, page: u32) -> Self {
        Self { layout, seed, page }
    }

    /// Writes the checksum into a page whose content is in place.
    pub fn seal(&self, raw: &mut [u8]) {
        let checksum = self.checksum(raw).to_le_bytes();
        raw[self.checksum_at()..][..CRC_BYTES].copy_from_slice(&checksum);
    }

    /// Whether the checksum is right.
    pub fn accepts(&self, raw: &[u8]) -> bool {
        raw[self.checksum_at()..][..CRC_BYTES] == self.checksum(raw).to_le_bytes()
    }

    fn checksum_at(&self) -> usize {
        self.layout.codeword_bytes() - self.layout.parity_bytes() - CRC_BYTES
    }

    fn checksum(&self, raw: &[u8]) -> u32 {
        let mut digest = CRC.digest_with_initial(self.seed);
        digest.update(&self.page.to_le_bytes());
        let sealed = &raw[..self.checksum_at()];
        match self.layout.mark_byte() {
            Some(mark) => {
                digest.update(&sealed[..mark]);
                digest.update(&sealed[mark + MARK_BYTES..]);
            }
            None => digest.update(sealed),
        }
        digest.finalize()
    }
}

/// The memory for frames of one layout, decoded by one tier.
#[derive(Debug)]
pub struct Bench {
    layout: Layout,
    good: Vec<u8>,
    page: Vec<u8>,
    wrong: Vec<u8>,
    scratch: Vec<u8>,
}

impl Bench {
    /// Prepares for frames of `layout` decoded by `tier`.
    pub fn new(layout: Layout, tier: Tier) -> Self {
        let bytes = layout.codeword_bytes();
        let page = vec![0; bytes];
        Self { layout, good: page.clone(), wrong: page.clone(), page, scratch: vec![0; layout.scratch_bytes(tier)] }
    }

    /// Makes frame number `frame`, spoils it, has it mended and adds the outcome to `tally`.
    pub fn run(&mut self, channel: Channel, seed: u64, frame: u64, tally: &mut Tally) {
        let mut random = Random::of(&[seed, u64::from(self.layout.id()), channel.key(), frame]);
        let judge = self.make(&mut random);
        self.spoil(channel, &mut random);
        let good = &self.good;
        let sealed = judge.checksum_at() + CRC_BYTES;
        let mark = self.layout.mark_byte();
        let same = |page: &[u8]| is_same(&page[..sealed], &good[..sealed], mark);
        let mut rejected = 0;
        let accept = &mut |page: &[u8]| {
            let accepted = judge.accepts(page);
            rejected += u64::from(!accepted);
            accepted
        };
        let result = decode(&self.layout, &mut self.page, &mut self.scratch, accept);
        tally.frames += 1;
        tally.rejected += rejected;
        match result {
            Ok(correction) if same(&self.page) => {
                tally.count(correction.rung.name(), u64::from(correction.iterations));
            }
            Ok(_) => tally.undetected += 1,
            Err(_) => tally.failures += 1,
        }
    }

    /// A page with random content, sealed as the volume would, as a codeword.
    fn make(&mut self, random: &mut Random) -> Judge {
        let judge = Judge::new(self.layout, random.next_u64() as u32, random.next_u64() as u32);
        random.fill(&mut self.good);
        if let Some(mark) = self.layout.mark_byte() {
            self.good[mark..mark + MARK_BYTES].fill(0xFF);
            self.good[mark + MARK_BYTES..judge.checksum_at()].fill(0);
        }
        judge.seal(&mut self.good);
        encode(&self.layout, &mut self.good);
        judge
    }

    fn spoil(&mut self, channel: Channel, random: &mut Random) {
        let bits = self.layout.codeword_bits();
        // The factory mark's bits are no part of the codeword: places behind it are moved over it.
        let mark = self.layout.mark_byte().map_or(usize::MAX, |mark| mark * 8);
        let place = |index: usize| if index < mark { index } else { index + MARK_BYTES * 8 };
        self.wrong.fill(0);
        match channel {
            Channel::Errors(errors) => {
                let mut left = errors.min(bits);
                while left > 0 {
                    let bit = place(random.below(bits as u64) as usize);
                    let mask = 1 << (bit % 8);
                    left -= usize::from(self.wrong[bit / 8] & mask == 0);
                    self.wrong[bit / 8] |= mask;
                }
            }
            Channel::Rate(rate) => {
                // Rates of 1 saturate: there all bits but one in 2^64 are wrong.
                let threshold = (rate * 2f64.powi(64)) as u64;
                for index in 0..bits {
                    let bit = place(index);
                    self.wrong[bit / 8] |= u8::from(random.next_u64() < threshold) << (bit % 8);
                }
            }
        }
        for ((page, good), wrong) in self.page.iter_mut().zip(&self.good).zip(&self.wrong) {
            *page = good ^ wrong;
        }
    }
}

/// Whether a reader gets the same from both: the factory mark is nothing that is read.
fn is_same(a: &[u8], b: &[u8], mark: Option<usize>) -> bool {
    match mark {
        Some(mark) => a[..mark] == b[..mark] && a[mark + MARK_BYTES..] == b[mark + MARK_BYTES..],
        None => a == b,
    }
}

impl Channel {
    /// Keeps the frames of different channels apart.
    const fn key(self) -> u64 {
        match self {
            Self::Errors(errors) => errors as u64,
            Self::Rate(rate) => rate.to_bits(),
        }
    }
}

#[cfg(test)]
mod tests {
    use k7fs_core::flash::Flash;
    use k7fs_core::{FormatOptions, MountOptions, Volume, buffer_bytes};

    use super::*;
    use crate::chip::{Chip, ChipSpec, SimFlash};

    #[test]
    fn few_errors_are_mended_and_many_are_not() {
        for layout in Layout::ALL.iter().copied() {
            let mut bench = Bench::new(layout, Tier::Small);
            let mut tally = Tally::default();
            (0..20).for_each(|frame| bench.run(Channel::Errors(2), 1, frame, &mut tally));
            assert_eq!((tally.frames, tally.failures, tally.undetected), (20, 0, 0), "{layout:?}");
            let mut tally = Tally::default();
            (0..5).for_each(|frame| bench.run(Channel::Rate(0.25), 1, frame, &mut tally));
            assert_eq!((tally.frames, tally.failures), (5, 5), "{layout:?}");
        }
    }

    #[test]
    fn channels_spoil_as_many_bits_as_they_say() {
        for layout in Layout::ALL.iter().copied() {
            let mut bench = Bench::new(layout, Tier::Small);
            let ones = |bench: &Bench| bench.wrong.iter().map(|byte| byte.count_ones()).sum::<u32>() as usize;
            let bits = layout.codeword_bits();
            for errors in [0, 1, 50, bits / 2, bits] {
                bench.spoil(Channel::Errors(errors), &mut Random::of(&[errors as u64]));
                assert_eq!(ones(&bench), errors, "{layout:?}");
            }
            if let Some(mark) = layout.mark_byte() {
                assert_eq!(bench.wrong[mark..mark + 2], [0, 0]);
            }
            let mut sum = 0;
            for frame in 0..50 {
                bench.spoil(Channel::Rate(0.01), &mut Random::of(&[frame]));
                sum += ones(&bench);
            }
            let mean = bits as f64 * 0.01;
            assert!((sum as f64 / 50.0 - mean).abs() < 5.0 * (mean / 50.0).sqrt(), "{layout:?}: {sum}");
        }
    }

    #[test]
    fn the_judge_sees_every_sealed_bit_and_no_mark() {
        for layout in Layout::ALL.iter().copied() {
            let mut bench = Bench::new(layout, Tier::Small);
            let judge = bench.make(&mut Random::of(&[1]));
            assert!(judge.accepts(&bench.good));
            let parity = layout.codeword_bytes() - layout.parity_bytes();
            for byte in (0..layout.codeword_bytes()).step_by(7) {
                let unseen = byte >= parity || layout.mark_byte().is_some_and(|mark| (mark..mark + 2).contains(&byte));
                bench.good[byte] ^= 0x10;
                assert_eq!(judge.accepts(&bench.good), unseen, "{layout:?} byte {byte}");
                bench.good[byte] ^= 0x10;
            }
        }
    }

    /// The seed of a volume's page checksums, as FORMAT.md has it.
    fn seed_of(volume_id: &[u8; 16], salt: u64, layout: Layout) -> u32 {
        let mut digest = CRC.digest_with_initial(0);
        digest.update(volume_id);
        digest.update(&salt.to_le_bytes());
        digest.update(&[layout.id()]);
        digest.finalize()
    }

    #[test]
    fn the_judge_is_the_one_of_real_volumes() {
        for name in ["W25Q16JV", "W25N01GV", "MT29F1G01ABAFD", "GENERIC-4096-224"] {
            let spec = ChipSpec::named(name).unwrap();
            let mut flash = SimFlash::new(Chip::new(spec, 1));
            let geometry = flash.geometry();
            let layout = Layout::for_page(geometry.page_size, geometry.spare_size).unwrap();
            let mut buffer = vec![0; buffer_bytes(&geometry)];
            Volume::format(&mut flash, &mut buffer, &FormatOptions::default()).unwrap();
            let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).unwrap();
            volume.write("/file", &[7; 5000]).unwrap();
            let volume_id = volume.info().volume_id;
            volume.unmount().unwrap();
            // The salt is part of the signature; it is small for a volume's first format.
            let seeds: Vec<u32> = (0..64).map(|salt| seed_of(&volume_id, salt, layout)).collect();
            let mut raw = vec![0; layout.codeword_bytes()];
            let mut accepted = 0;
            for page in 0..geometry.pages_per_block * 8 {
                flash.read(page, 0, &mut raw).unwrap();
                let judge = |seed: &u32| Judge::new(layout, *seed, page).accepts(&raw);
                accepted += u32::from(seeds.iter().any(judge));
                assert!(!seeds.iter().any(|seed| Judge::new(layout, *seed, page + 1).accepts(&raw)), "{name} {page}");
            }
            assert!(accepted >= 3, "{name}: {accepted}");
        }
    }
}
