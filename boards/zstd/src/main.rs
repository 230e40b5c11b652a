//! Decodes a block of text with the decoder that the features choose, or with none, and tells the ticks of the processor's timer.
//! `boards/zstd-cost` builds and runs it and makes sense of the lines:
//!
//! ```text
//! loop TICKS               1000 turns of a loop of two instructions
//! decode BYTES TICKS       one block
//! failed                   it came out wrong
//! ```
#![no_std]
#![no_main]

#[path = "../../ecc/src/ticks.rs"]
mod ticks;

use cortex_m_rt::entry;
use semihosting::println;

use ticks::ticks;

/// Bytes of the block.
const BLOCK_BYTES: usize = 4096;
/// The block, and a frame of it: level 19 of the C library, as records have it.
static TEXT: &[u8] = include_bytes!("../../../LICENSE-APACHE");
static FRAME: &[u8] = include_bytes!("../block.zst");

#[cfg(feature = "ruzstd")]
mod heap {
    #[global_allocator]
    static HEAP: embedded_alloc::LlffHeap = embedded_alloc::LlffHeap::empty();
    const HEAP_BYTES: usize = 256 << 10;

    pub(crate) fn start() {
        static mut MEMORY: [u8; HEAP_BYTES] = [0; HEAP_BYTES];
        // SAFETY: called once, and nothing else knows the memory.
        unsafe { HEAP.init(&raw mut MEMORY as usize, HEAP_BYTES) }
    }
}

#[entry]
fn main() -> ! {
    static mut PLAIN: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    let plain: &mut [u8; BLOCK_BYTES] = PLAIN;
    ticks::start();
    println!("loop {}", ticks(ticks::known_loop));
    let frame = core::hint::black_box(FRAME);
    let mut decoded = 0;
    println!("decode {} {}", BLOCK_BYTES, ticks(|| decoded = decode(frame, plain)));
    let is_same = core::hint::black_box(TEXT).get(..BLOCK_BYTES) == Some(&plain[..]);
    if decoded > 0 && !is_same {
        println!("failed");
    }
    core::hint::black_box(is_same);
    semihosting::process::exit(0)
}

#[cfg(feature = "noalloc")]
fn decode(frame: &[u8], plain: &mut [u8]) -> usize {
    use k7fs_core::codec::{ZstdCodec, ZstdScratch};
    use k7fs_core::{Codec, CodecId};
    static SCRATCH: cortex_m::interrupt::Mutex<core::cell::RefCell<ZstdScratch>> =
        cortex_m::interrupt::Mutex::new(core::cell::RefCell::new(ZstdScratch::new()));
    // Nothing else in this firmware takes it; the timer's interrupt is let through.
    // SAFETY: there is one core and one caller.
    let token = unsafe { cortex_m::interrupt::CriticalSection::new() };
    let Ok(mut scratch) = SCRATCH.borrow(&token).try_borrow_mut() else { return 0 };
    ZstdCodec::new(&mut scratch).decode(CodecId::Zstd, frame, plain).map_or(1, |()| plain.len())
}

#[cfg(all(feature = "ruzstd", not(feature = "noalloc")))]
fn decode(frame: &[u8], plain: &mut [u8]) -> usize {
    use k7fs_core::codec::BuiltInCodec;
    use k7fs_core::{Codec, CodecId};
    heap::start();
    BuiltInCodec::new().decode(CodecId::Zstd, frame, plain).map_or(1, |()| plain.len())
}

#[cfg(not(any(feature = "noalloc", feature = "ruzstd")))]
fn decode(frame: &[u8], plain: &mut [u8]) -> usize {
    core::hint::black_box((frame, plain));
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    semihosting::process::exit(101)
}
