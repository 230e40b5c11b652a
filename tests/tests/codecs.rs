//! The decoders for firmware against the host's encoders: what they decode, what they refuse, and the memory they take.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use k7fs_core::codec::BuiltInCodec;
use k7fs_core::{Codec, CodecId};
use k7fs_sim::codec::HostCodec;
use k7fs_sim::model::{Content, Random};
use k7fs_tests::seed::{mix, say, seed};

/// Bytes in use, and the most there were.
static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counted;

// SAFETY: everything is the system's allocator; counting touches no memory of its callers.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Ordering::SeqCst) + layout.size();
        PEAK.fetch_max(used, Ordering::SeqCst);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Memory that decoding a block may take beside the block itself.
const ZSTD_BYTES_MAX: usize = 512 << 10;
const LZMA2_BYTES_MAX: usize = 64 << 10;

#[test]
fn firmware_decodes_what_the_host_encodes() {
    let mut host = HostCodec::default();
    let mut random = Random::new(seed());
    for round in 0..40 {
        let length = [1, 100, 4096, 4097, 16_384, 65_536, 262_144][round as usize % 7];
        let plain = Content::seeded(mix(seed(), round) | 1, length).bytes();
        for codec in [CodecId::Zstd, CodecId::Lzma2] {
            let mut packed = vec![0; plain.len() + 1024];
            let size = host.encode(codec, &plain, &mut packed).expect("compresses");
            let mut again = vec![0; plain.len()];
            let before = USED.load(Ordering::SeqCst);
            PEAK.store(before, Ordering::SeqCst);
            let mut builtin = BuiltInCodec::new();
            assert_eq!(builtin.decode(codec, &packed[..size], &mut again), Ok(()), "{codec:?} of {length}");
            let used = PEAK.load(Ordering::SeqCst) - before;
            assert!(again == plain);
            if round < 7 {
                say(&format!("{}: {length} bytes, {size} packed: {used} bytes from the allocator", codec.name()));
            }
            let most = if codec == CodecId::Zstd { ZSTD_BYTES_MAX } else { LZMA2_BYTES_MAX };
            assert!(used <= most + 2 * plain.len(), "{codec:?} of {length}: {used}");
            // Whatever else is there is an error or the length that was asked for, never a panic.
            for _ in 0..20 {
                let mut damaged = packed[..size].to_vec();
                let at = random.below(size as u64) as usize;
                damaged[at] ^= 1 << random.below(8);
                let _ = builtin.decode(codec, &damaged, &mut again);
                let _ = builtin.decode(codec, &damaged[..at], &mut again);
            }
            assert!(builtin.decode(codec, &packed[..size], &mut vec![0; plain.len() + 1]).is_err());
        }
    }
}
