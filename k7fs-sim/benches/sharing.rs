//! What sharing content costs the host's CPU.
//!
//! ```text
//! cargo bench -p k7fs-sim --bench sharing                    the ratio of cutting to hashing
//! cargo bench -p k7fs-sim --bench sharing -- --absolute      times as well, which only say something about this machine
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use fastcdc::v2020::FastCDC;
use k7fs_core::flash::{Flash, FlashError, Geometry};
use k7fs_core::{ChunkSizes, FormatOptions, MountOptions, OpenOptions, Volume, buffer_bytes};
use k7fs_sim::chip::{Chip, ChipSpec, SimFlash};
use k7fs_sim::model::Random;

/// Bytes that are cut and hashed.
const BYTES: usize = 64 << 20;
/// Runs; the fastest counts, since others only slow it down.
const RUNS: usize = 7;
/// Operations of which the mean is taken.
const OPERATIONS: u32 = 200;
/// Snapshots at either end of these whose mean is taken apart.
const FEW: usize = 10;
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
    let (hit, [first, last]) = calls();
    if absolute {
        let speed = |time: Duration| BYTES as f64 / time.as_secs_f64() / 1e9;
        println!("cutting {:.2} GB/s, hashing {:.2} GB/s", speed(cut), speed(hash));
        println!("on plain memory in the shape of a W25Q128JV:");
        println!("a reference to a chunk that is there {hit:.2?}");
        println!("a snapshot, the mean of the first {FEW} {first:.2?}, of the last of {OPERATIONS} {last:.2?}");
    }
}

/// The shape of a chip without its time, faults and rules: what is left is the volume's own work.
struct Memory {
    geometry: Geometry,
    bytes: Vec<u8>,
}

impl Memory {
    fn like(name: &str) -> Self {
        let geometry = SimFlash::new(Chip::new(ChipSpec::named(name).expect("there is one"), 1)).geometry();
        Self { geometry, bytes: vec![0xFF; geometry.raw_page_size() * geometry.page_count() as usize] }
    }

    fn at(&mut self, page: u32, column: usize, len: usize) -> &mut [u8] {
        &mut self.bytes[page as usize * self.geometry.raw_page_size() + column..][..len]
    }
}

impl Flash for Memory {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError> {
        bytes.copy_from_slice(self.at(page, column, bytes.len()));
        Ok(())
    }

    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.at(page, 0, bytes.len()).copy_from_slice(bytes);
        Ok(())
    }

    fn erase(&mut self, block: u32) -> Result<(), FlashError> {
        let pages = self.geometry.pages_per_block;
        let len = pages as usize * self.geometry.raw_page_size();
        self.at(block * pages, 0, len).fill(0xFF);
        Ok(())
    }

    fn is_bad(&mut self, _block: u32) -> Result<bool, FlashError> {
        Ok(false)
    }

    fn mark_bad(&mut self, _block: u32) -> Result<(), FlashError> {
        Ok(())
    }

    fn verifies_by_reading(&self) -> bool {
        true
    }
}

/// The mean time of a reference to a chunk, of the first snapshots, and of the last: each looks at the names of all others.
fn calls() -> (Duration, [Duration; 2]) {
    let mut flash = Memory::like("W25Q128JV");
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
    let times: Vec<Duration> = (0..OPERATIONS)
        .map(|number| {
            volume.sync().expect("syncs");
            let name = format!("s{number}");
            let start = Instant::now();
            volume.create_snapshot(&name).expect("fits");
            start.elapsed()
        })
        .collect();
    let mean = |times: &[Duration]| times.iter().sum::<Duration>() / times.len() as u32;
    (hit, [mean(&times[..FEW]), mean(&times[times.len() - FEW..])])
}

fn fastest<R>(mut run: impl FnMut() -> R) -> Duration {
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed()
    });
    times.min().unwrap_or_default()
}
