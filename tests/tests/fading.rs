//! The page that was being programmed when the power failed may read well for now, and never again some day.
//!
//! The power fails behind every program of a workload, which has reached the chip whole. The volume is mounted, shows what it
//! shows, and some more is written; then the struck page is lost. What was shown must not go back.

use std::collections::BTreeMap;
use std::sync::Arc;

use k7fs_core::flash::{Flash, FlashError, Geometry};
use k7fs_core::{Error, MountOptions, Volume};
use k7fs_sim::model::{Content, Random};
use k7fs_tests::geometry::{buffer_for, format};
use k7fs_tests::parallel;
use k7fs_tests::ram::RamFlash;
use k7fs_tests::seed::{mix, replay, seed};

const FILES: u64 = 12;
/// Writes before the first one that may be struck: checkpoints and blocks that come back are under way.
const WRITES_BEFORE: u32 = 150;
/// Programs at which the power fails, one after the other.
const STRIKES: u64 = 300;
/// Writes between the mount and the loss.
const WRITES_BETWEEN: [u32; 5] = [0, 2, 9, 18, 30];
const WRITES_MAX: u32 = 1000;

const fn nor(page_size: u32, pages_per_block: u32) -> Geometry {
    Geometry { page_size, spare_size: 0, pages_per_block, block_count: 0, bad_blocks_max: 0 }
}

/// Each with as few blocks as a volume can live on: what a checkpoint lets go of is soon written over.
const GEOMETRIES: [(&str, Geometry); 4] = [
    ("nor-128-2k", nor(128, 16)),
    ("nor-256-4k", nor(256, 16)),
    ("nor-1024-8k", nor(1024, 8)),
    (
        "nand-2048-64",
        Geometry { page_size: 2048, spare_size: 64, pages_per_block: 8, block_count: 0, bad_blocks_max: 1 },
    ),
];

/// The smallest volume with pages and blocks like these.
fn smallest(geometry: Geometry) -> RamFlash {
    let mut blocks = 8;
    loop {
        let geometry = Geometry { block_count: blocks, ..geometry };
        let image = vec![0xFF; geometry.raw_page_size() * geometry.page_count() as usize];
        let mut chip = RamFlash::new(geometry, Arc::from(image));
        match format(&mut chip) {
            Ok(()) => return chip,
            Err(Error::VolumeTooSmall { blocks_min }) => blocks = blocks_min.max(blocks + 1),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A chip whose power fails behind a program.
struct Struck<'c> {
    chip: &'c mut RamFlash,
    programs_left: u64,
    struck: Option<u32>,
}

impl Struck<'_> {
    fn powered(&mut self) -> Result<&mut RamFlash, FlashError> {
        if self.struck.is_some() { Err(FlashError::Other) } else { Ok(self.chip) }
    }
}

impl Flash for Struck<'_> {
    fn geometry(&self) -> Geometry {
        self.chip.geometry()
    }
    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.powered()?.read(page, column, bytes)
    }
    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.powered()?.program(page, bytes)?;
        if self.programs_left == 0 {
            self.struck = Some(page);
            return Err(FlashError::Other);
        }
        self.programs_left -= 1;
        Ok(())
    }
    fn erase(&mut self, block: u32) -> Result<(), FlashError> {
        self.powered()?.erase(block)
    }
    fn is_bad(&mut self, block: u32) -> Result<bool, FlashError> {
        self.powered()?.is_bad(block)
    }
    fn mark_bad(&mut self, block: u32) -> Result<(), FlashError> {
        self.powered()?.mark_bad(block)
    }
    fn verifies_by_reading(&self) -> bool {
        self.chip.verifies_by_reading()
    }
}

type Shown = BTreeMap<String, Vec<u8>>;

/// Writes one file, and says which and what.
fn write(volume: &mut Volume<'_, impl Flash>, random: &mut Random) -> (String, Vec<u8>, Result<(), Error>) {
    let path = format!("/{}", random.below(FILES));
    let length = if random.percent(20) { 900 } else { 1 + random.below(90) as u32 };
    let bytes = Content::seeded(random.next_u64(), length).bytes();
    let result = volume.write(&path, &bytes);
    (path, bytes, result)
}

fn write_all(chip: &mut RamFlash, writes: u32, random: &mut Random, shown: &mut Shown) {
    let mut buffer = buffer_for(chip);
    let mut volume = Volume::mount(chip, &mut buffer, MountOptions::default()).expect("mounts");
    for _ in 0..writes {
        let (path, bytes, result) = write(&mut volume, random);
        match result {
            Ok(()) => _ = shown.insert(path, bytes),
            Err(Error::NoSpace) => {}
            Err(error) => panic!("{path}: {error}"),
        }
    }
    volume.abandon();
}

/// Mounts for writing and reads all files.
fn look(chip: &mut RamFlash) -> Result<Shown, Error> {
    let mut buffer = buffer_for(chip);
    let mut volume = Volume::mount(chip, &mut buffer, MountOptions::default())?;
    let mut shown = Shown::new();
    let mut bytes = vec![0; 1000];
    for file in 0..FILES {
        let path = format!("/{file}");
        match volume.read(&path, &mut bytes) {
            Ok(length) => _ = shown.insert(path, bytes[..length].to_vec()),
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(shown)
}

/// Writes until the power fails behind program `strike`; the struck page, and what must be shown: with or without the write
/// that was under way.
fn strike(chip: &mut RamFlash, strike: u64, random: &mut Random, shown: &Shown) -> Option<(u32, [Shown; 2])> {
    let mut buffer = buffer_for(chip);
    let mut flash = Struck { chip, programs_left: strike, struck: None };
    let mut before = shown.clone();
    let mut volume = match Volume::mount(&mut flash, &mut buffer, MountOptions::default()) {
        Ok(volume) => volume,
        Err(_) => return flash.struck.map(|page| (page, [before.clone(), before])),
    };
    for _ in 0..WRITES_MAX {
        let (path, bytes, result) = write(&mut volume, random);
        if result == Err(Error::NoSpace) {
            continue;
        }
        let mut after = before.clone();
        after.insert(path, bytes);
        if result.is_err() {
            drop(volume);
            return flash.struck.map(|page| (page, [before, after]));
        }
        before = after;
    }
    None
}

fn run(name: &str, geometry: Geometry, seed: u64) {
    let mut first = smallest(geometry);
    let mut random = Random::new(seed);
    let mut shown = Shown::new();
    write_all(&mut first, WRITES_BEFORE, &mut random, &mut shown);
    let mut lost = 0;
    for (program, writes) in (0..STRIKES).flat_map(|program| WRITES_BETWEEN.map(|writes| (program, writes))) {
        let mut chip = first.clone();
        let mut random = random.clone();
        let Some((page, promised)) = strike(&mut chip, program, &mut random, &shown) else {
            panic!("{name}: {WRITES_MAX} writes take fewer than {program} programs");
        };
        let erases = chip.erases_of(page);
        let mut now = look(&mut chip).unwrap_or_else(|error| panic!("{name}: program {program}: {error}"));
        assert!(promised.contains(&now), "{name}: program {program}: neither the state before nor after is shown");
        write_all(&mut chip, writes, &mut random, &mut now);
        // Its block may have been erased meanwhile.
        if chip.erases_of(page) == erases {
            chip.lose(page);
            lost += 1;
        }
        let later = look(&mut chip);
        let why = match &later {
            Err(error) => error.to_string(),
            Ok(later) => {
                format!("{:?}", later.iter().filter(|(path, bytes)| now.get(*path) != Some(*bytes)).collect::<Vec<_>>())
            }
        };
        assert!(later == Ok(now), "{name}: program {program}, {writes} writes, page {page} lost: {why}");
    }
    assert!(lost > STRIKES, "{name}: too few pages were lost");
}

#[test]
fn what_was_shown_stays_when_the_struck_page_is_lost() {
    let jobs: Vec<(usize, (&str, Geometry))> = GEOMETRIES.into_iter().enumerate().collect();
    let outcome = std::panic::catch_unwind(|| {
        parallel::run(&jobs, |(place, (name, geometry))| run(name, *geometry, mix(seed(), *place as u64)));
    });
    assert!(outcome.is_ok(), "replay: {}", replay("fading", "what_was_shown", seed()));
}
