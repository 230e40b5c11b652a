//! How fast the core's zstd decoder is beside ruzstd and the C library, in one run over the same blocks.
//!
//! ```text
//! cargo bench -p k7fs-sim --bench zstd
//! ```

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use k7fs_core::codec::{BuiltInCodec, ZSTD_SCRATCH_BYTES, ZstdCodec, ZstdScratch};
use k7fs_core::{Codec, CodecId};
use k7fs_sim::codec::HostCodec;

const BLOCK_SIZES: [usize; 3] = [4096, 65_536, 262_144];
/// Runs; the fastest counts, since others only slow it down.
const RUNS: usize = 25;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut content = Vec::new();
    for part in ["k7fs-core", "k7fs-sim", "tests/src", "tests/tests", "README.md", "Cargo.lock"] {
        gather(root.join(part), &mut content);
    }
    println!("{} bytes of sources; {ZSTD_SCRATCH_BYTES} bytes of tables", content.len());
    println!("block    speed : ruzstd   : C library");
    let mut scratch = ZstdScratch::new();
    for size in BLOCK_SIZES {
        let mut host = HostCodec::default();
        let mut frames = Vec::new();
        for block in content.chunks(size) {
            let mut packed = vec![0; block.len() + 64];
            let length = host.encode(CodecId::Zstd, block, &mut packed).expect("compresses");
            packed.truncate(length);
            frames.push((packed, block.len()));
        }
        let (mut own, mut ruzstd, mut library) = (Duration::MAX, Duration::MAX, Duration::MAX);
        // In turns: what else the machine does meets them all.
        for _ in 0..RUNS {
            own = own.min(time(&mut ZstdCodec::new(&mut scratch), &frames, size));
            ruzstd = ruzstd.min(time(&mut BuiltInCodec::new(), &frames, size));
            library = library.min(time(&mut host, &frames, size));
        }
        let ratio = |other: Duration| other.as_secs_f64() / own.as_secs_f64();
        println!("{size:<8} {:>14.2} {:>13.2}", ratio(ruzstd), ratio(library));
    }
}

fn gather(path: PathBuf, content: &mut Vec<u8>) {
    if !path.is_dir() {
        return content.extend(std::fs::read(path).expect("can be read"));
    }
    let entries = std::fs::read_dir(path).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().for_each(|path| gather(path, content));
}

/// The time for all frames.
fn time(codec: &mut dyn Codec, frames: &[(Vec<u8>, usize)], size: usize) -> Duration {
    let mut plain = vec![0; size];
    let start = Instant::now();
    for (packed, length) in frames {
        codec.decode(CodecId::Zstd, packed, &mut plain[..*length]).expect("decodes");
        black_box(&plain);
    }
    start.elapsed()
}
