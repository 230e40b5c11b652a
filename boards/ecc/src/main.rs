//! Counts what the page code costs, by the processor's own timer under an emulator that advances it with each
//! instruction. `boards/ecc-cost` runs it and makes sense of the lines:
//!
//! ```text
//! loop TICKS                                          1000 turns of a loop of two instructions
//! LAYOUT encode|syndrome|checksum BYTES TICKS         one page
//! LAYOUT edges COUNT                                  ones of the check matrix
//! LAYOUT decode TIER ERRORS RUNG ITERATIONS TICKS     one page with that many wrong bits
//! LAYOUT skipped BYTES                                a page that the board's memory does not hold
//! ```
#![no_std]
#![no_main]

mod ticks;

use cortex_m_rt::entry;
use crc::{CRC_32_ISCSI, Crc, Table};
use k7fs_core::ecc::{Layout, Tier, decode, encode, syndrome_weight};
use semihosting::println;

use ticks::ticks;

/// Pages, twice, and the decoder's scratch.
const MEMORY_BYTES: usize = if cfg!(target_arch = "arm") && cfg!(feature = "full") { 256 * 1024 } else { 10 * 1024 };
/// Pages decoded with each number of wrong bits.
const FRAMES: u32 = 6;
/// Wrong bits, in sixteenths of one for every sixteen bits of parity: from few to what only belief propagation mends.
const LOADS: &[usize] = if cfg!(feature = "full") { &[0, 4, 8, 10, 12, 14, 16] } else { &[0, 4, 8, 12] };
/// More of them for small pages, which are fast even where they fail.
const MORE_LOADS: &[usize] = if cfg!(feature = "full") { &[18, 20] } else { &[] };
const SMALL_PAGE_BYTES: usize = 512;
/// The table that firmware for parts of this kind has.
const CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; MEMORY_BYTES] = [0; MEMORY_BYTES];
    let memory: &mut [u8; MEMORY_BYTES] = MEMORY;
    ticks::start();
    println!("loop {}", ticks(ticks::known_loop));
    for layout in Layout::ALL {
        measure(*layout, memory);
    }
    semihosting::process::exit(0)
}

fn measure(layout: Layout, memory: &mut [u8]) {
    let bytes = layout.codeword_bytes();
    let Some((page, rest)) = memory.split_at_mut_checked(bytes).filter(|(_, rest)| rest.len() > bytes) else {
        println!("{} skipped {}", layout.name(), 2 * bytes);
        return;
    };
    let mut random = Random(u32::from(layout.id()) + 1);
    page.iter_mut().for_each(|byte| *byte = random.next() as u8);
    println!("{} encode {} {}", layout.name(), bytes, ticks(|| encode(&layout, page)));
    let mut weight = 0;
    println!("{} syndrome {} {}", layout.name(), bytes, ticks(|| weight = syndrome_weight(&layout, page)));
    if weight != 0 {
        println!("{} failed", layout.name());
    }
    let sealed = page.get(..bytes - layout.parity_bytes()).unwrap_or_default();
    let mut checksum = 0;
    println!("{} checksum {} {}", layout.name(), sealed.len(), ticks(|| checksum = CRC.checksum(sealed)));
    core::hint::black_box(checksum);
    println!("{} edges {}", layout.name(), edges(layout));
    let (good, scratch) = rest.split_at_mut(bytes);
    good.copy_from_slice(page);
    for tier in Tier::ALL {
        if tier == Tier::Small || cfg!(feature = "full") {
            decode_some(layout, tier, [page, good, scratch], &mut random);
        }
    }
}

fn decode_some(layout: Layout, tier: Tier, [page, good, scratch]: [&mut [u8]; 3], random: &mut Random) {
    let needed = layout.scratch_bytes(tier);
    let Some(scratch) = scratch.get_mut(..needed) else {
        println!("{} skipped {}", layout.name(), 2 * page.len() + needed);
        return;
    };
    let more = if page.len() <= SMALL_PAGE_BYTES { MORE_LOADS } else { &[] };
    for load in LOADS.iter().chain(more) {
        let errors = (layout.parity_bits() * load / 256).max(1);
        for _ in 0..FRAMES {
            spoil(page, layout.mark_byte(), errors, random);
            let mut result = None;
            // The checksum's cost is its own line: here the decoder's word is taken.
            let ticks = ticks(|| result = decode(&layout, page, scratch, &mut |_| true).ok());
            match result.filter(|_| is_same(page, good, layout.mark_byte())) {
                Some(c) => {
                    let (name, rung) = (layout.name(), c.rung.name());
                    println!("{name} decode {} {errors} {rung} {} {ticks}", tier.name(), c.iterations);
                }
                None => {
                    println!("{} decode {} {errors} none 0 {ticks}", layout.name(), tier.name());
                    page.copy_from_slice(good);
                }
            }
        }
    }
}

/// Flips that many bits of the page, the factory mark's excepted.
fn spoil(page: &mut [u8], mark: Option<usize>, errors: usize, random: &mut Random) {
    for _ in 0..errors {
        // Now and then a bit is hit twice and right again, which changes no average that matters.
        let bit = random.next() as usize % (page.len() * 8);
        let in_mark = mark.is_some_and(|mark| (mark..mark + 2).contains(&(bit / 8)));
        if let Some(byte) = page.get_mut(bit / 8).filter(|_| !in_mark) {
            *byte ^= 1 << (bit % 8);
        }
    }
}

fn is_same(a: &[u8], b: &[u8], mark: Option<usize>) -> bool {
    let outside = |index: &usize| mark.is_none_or(|mark| !(mark..mark + 2).contains(index));
    (0..a.len()).filter(outside).all(|index| a.get(index) == b.get(index))
}

/// Ones of the check matrix: 32 for each circulant.
fn edges(layout: Layout) -> usize {
    let code = layout.code();
    (0..usize::from(code.shape.words)).map(|column| code.edges_at(column).as_slice().len() * 32).sum()
}

/// Marsaglia's xorshift.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0.wrapping_mul(0x9E37_79B9) >> 7
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    println!("{info}");
    semihosting::process::exit(101)
}
