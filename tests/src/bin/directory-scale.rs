//! One directory with very many names: made, asked for, listed, thinned out under a cursor, removed with its tree.
//!
//! `cargo run --release -p k7fs-tests --bin directory-scale -- W25Q128JV 20000` tells device time and pages from the chip's
//! model. `-- host 1000000` takes a 512 MiB volume of NAND pages in memory, where the time is the host's.

use std::time::Instant;

use k7fs_core::flash::{Flash, Geometry};
use k7fs_core::{Error, MountOptions, NAME_BYTES_MAX, Volume};
use k7fs_sim::chip::{Chip, ChipSpec, Counters, SimFlash};
use k7fs_tests::geometry::{buffer_for, format_options};
use k7fs_tests::ram::RamFlash;

const HOST: Geometry =
    Geometry { page_size: 2048, spare_size: 64, pages_per_block: 64, block_count: 4096, bad_blocks_max: 0 };
/// One in so many names is removed while the walk goes on.
const THINNED_EVERY: u64 = 10;

/// What a chip can say of what it did.
trait Metered: Flash {
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

impl Metered for RamFlash {}

impl Metered for SimFlash {
    fn counters(&self) -> Counters {
        self.chip().counters().clone()
    }
}

struct Run<'b, F> {
    volume: Volume<'b, F>,
    count: u64,
}

impl<F: Metered> Run<'_, F> {
    /// Does something and prints what it took.
    fn phase<R>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<R, Error>) -> Result<R, Error> {
        let before = self.volume.flash_mut().counters();
        let start = Instant::now();
        let result = work(self)?;
        let seconds = start.elapsed().as_secs_f64();
        let after = self.volume.flash_mut().counters();
        println!(
            "{name:<32} host {seconds:>8.2} s  device {:>10.1} ms  programs {:>7}  reads {:>8}  erases {:>5}",
            (after.device_time_ns - before.device_time_ns) as f64 / 1e6,
            after.programs - before.programs,
            (after.page_loads - before.page_loads).max(if after.page_loads == 0 {
                after.reads - before.reads
            } else {
                0
            }),
            after.erases - before.erases,
        );
        Ok(result)
    }

    fn create(&mut self) -> Result<(), Error> {
        self.volume.create_dir("/d")?;
        (0..self.count).try_for_each(|index| self.volume.write(&path(index), &[]))
    }

    fn stat(&mut self) -> Result<(), Error> {
        (0..self.count).try_for_each(|index| self.volume.metadata(&path(index)).map(drop))
    }

    /// Lists the directory; every so many names one is removed, the one just met.
    fn walk(&mut self, thinned: bool) -> Result<u64, Error> {
        let mut cursor = self.volume.read_dir("/d")?;
        let mut name = [0; NAME_BYTES_MAX];
        let mut seen = 0;
        while let Some(entry) = self.volume.next_entry(&mut cursor, &mut name)? {
            seen += 1;
            if thinned && seen % THINNED_EVERY == 0 {
                let path = format!("/d/{}", entry.name);
                self.volume.remove_file(&path)?;
            }
        }
        Ok(seen)
    }

    fn all(mut self) -> Result<(), Error> {
        let free = self.volume.usage()?.free_bytes;
        self.phase("create", Self::create)?;
        self.phase("stat each", Self::stat)?;
        let seen = self.phase("list", |run| run.walk(false))?;
        assert_eq!(seen, self.count, "every name once");
        let seen = self.phase("list, removing one in ten", |run| run.walk(true))?;
        assert_eq!(seen, self.count, "every name once, whatever goes meanwhile");
        assert_eq!(self.volume.metadata("/d")?.size, self.count - self.count / THINNED_EVERY);
        self.phase("remove_tree", |run| run.volume.remove_tree("/d"))?;
        self.volume.sync()?;
        println!("bytes free: {free} before, {} after", self.volume.usage()?.free_bytes);
        assert_eq!(self.volume.check(|fault| println!("{fault:?}"))?.faults, 0);
        Ok(())
    }
}

fn path(index: u64) -> String {
    format!("/d/name{index:07}")
}

fn run<F: Metered>(mut flash: F, count: u64) -> Result<(), Error> {
    let mut buffer = buffer_for(&flash);
    Volume::format(&mut flash, &mut buffer, &format_options())?;
    let volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
    Run { volume, count }.all()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.as_slice() {
        [chip, count] => count.parse().ok().and_then(|count| {
            if chip == "host" {
                let image = vec![0xFF; HOST.page_count() as usize * HOST.raw_page_size()];
                return Some(run(RamFlash::new(HOST, image.into()), count));
            }
            ChipSpec::named(chip).map(|spec| run(SimFlash::new(Chip::new(spec, 1)), count))
        }),
        _ => None,
    };
    match result {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            eprintln!("directory-scale: {error}");
            std::process::exit(1);
        }
        None => {
            eprintln!("directory-scale CHIP|host COUNT");
            std::process::exit(2);
        }
    }
}
