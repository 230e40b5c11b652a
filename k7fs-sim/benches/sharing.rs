//! What sharing content costs the host's CPU.
//!
//! ```text
//! cargo bench -p k7fs-sim --bench sharing                    the ratio of cutting to hashing
//! cargo bench -p k7fs-sim --bench sharing -- --absolute      times as well, which only say something about this machine
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use fastcdc::v2020::FastCDC;
use k7fs_core::flash::Flash;
use k7fs_core::{ChunkSizes, FormatOptions, MountOptions, OpenOptions, Volume, buffer_bytes};
use k7fs_sim::chip::{Chip, ChipSpec, SimFlash};
use k7fs_sim::model::Random;

/// Bytes that are cut and hashed.
const BYTES: usize = 64 << 20;
/// Runs; the fastest counts, since others only slow it down.
const RUNS: usize = 7;
/// Operations of which the mean is taken.
const OPERATIONS: u32 = 200;
/// What cutting is to reach of hashing's speed.
const RATIO_MIN: f64 = 0.5;

fn main() {
    let absolute = std::env::args().any(|argument| argument == "--absolute");
    let mut random = Random::new(1);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.next_u64().to_le_bytes()).take(BYTES / 8).flatten().collect();
    let ChunkSizes { min, average, max } = ChunkSizes::default();
    let cut = fastest(|| FastCDC::new(&bytes, min, average, max).count());
    let hash = fastest(|| blake3::hash(&bytes));
    let ratio = hash.as_secs_f64() / cut.as_secs_f64();
    let verdict = if ratio >= RATIO_MIN { "reached" } else { "missed" };
    println!("cutting chunks : BLAKE3 of the same bytes in memory  {ratio:.2} ({RATIO_MIN} {verdict})");
    let (hit, snapshot) = calls();
    if absolute {
        let speed = |time: Duration| BYTES as f64 / time.as_secs_f64() / 1e9;
        println!("cutting {:.2} GB/s, hashing {:.2} GB/s", speed(cut), speed(hash));
        println!("a reference to a chunk that is there {hit:.2?}, a snapshot {snapshot:.2?}: chip model included");
    }
}

/// The mean time of a reference to a chunk, and of a snapshot.
fn calls() -> (Duration, Duration) {
    let mut flash = SimFlash::new(Chip::new(ChipSpec::named("W25Q128JV").expect("there is one"), 1));
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    let options = FormatOptions { volume_id: *b"what sharing is!", ..FormatOptions::default() };
    Volume::format(&mut flash, &mut buffer, &options).expect("formats");
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default()).expect("mounts");
    let file = volume.open("/file", OpenOptions::new().write(true).create(true)).expect("opens");
    let chunk = volume.append_chunk(&file, &[7; 4096]).expect("fits");
    let start = Instant::now();
    for _ in 0..OPERATIONS {
        volume.append_shared(&file, chunk).expect("fits");
    }
    let hit = start.elapsed() / OPERATIONS;
    volume.close(file).expect("closes");
    let mut snapshot = Duration::ZERO;
    for number in 0..OPERATIONS {
        volume.sync().expect("syncs");
        let start = Instant::now();
        volume.create_snapshot(&format!("s{number}")).expect("fits");
        snapshot += start.elapsed();
    }
    (hit, snapshot / OPERATIONS)
}

fn fastest<R>(mut run: impl FnMut() -> R) -> Duration {
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed()
    });
    times.min().unwrap_or_default()
}
