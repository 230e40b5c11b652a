//! A volume at the end of a chip's life: what its pages suffer, what mends them, and whether anything is lost.
//!
//! The volume is formatted, filled, mounted again and again, read back and written on while every read flips bits at
//! the chip's rated end-of-life rate, or at a multiple of it. An observer between volume and chip looks at every raw
//! page that the volume reads.

use std::collections::BTreeMap;

use k7fs_core::ecc::{Layout, Rung, Tier, looks_erased};
use k7fs_core::flash::{Flash, FlashError, Geometry};
use k7fs_core::{Error, FormatOptions, MountOptions, ReadStatistics, Volume, buffer_bytes_with};
use serde::Serialize;

use crate::chip::{Chip, ChipSpec, SimFlash};
use crate::random::Random;

/// Multiples of the rated rate that are of interest.
pub const FACTORS: [u32; 3] = [1, 3, 10];
/// Pages that a life reads, at least.
const PAGES_MIN: u64 = 4000;
/// Bytes of each file.
const FILE_BYTES: usize = 6000;
/// Files, at most; and no more than fill half of the volume.
const FILES_MAX: u64 = 60;

/// What a volume went through. As JSON its keys are part of the command's contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Life {
    /// The part.
    pub chip: &'static str,
    /// The page layout.
    pub layout: &'static str,
    /// The part of the decoder that the volume has room for.
    pub tier: &'static str,
    /// Share of bits that read wrong at the end of the rated life.
    pub rated_rber: f64,
    /// The multiple of it.
    pub factor: u32,
    /// The share of bits that were read wrong.
    pub rber: f64,
    /// Programmed pages that the volume read whole.
    pub pages_read: u64,
    /// Those of them whose checksum was right at once.
    pub clean: u64,
    /// By rung, pages that it mended.
    pub corrected: BTreeMap<String, u64>,
    /// Pages that no rung mended; the volume reads them again, which draws new errors.
    pub uncorrected: u64,
    /// Wrong bits that the volume says it corrected.
    pub corrected_bits: u64,
    /// Files read back and compared.
    pub files_read: u64,
    /// Operations of the volume that failed, and files that came back wrong.
    pub lost: u64,
    /// What the first of them was.
    pub failure: Option<String>,
}

/// Runs a volume with the decoder of this tier on a new chip of this kind, with bits flipped at `factor` times the rated
/// rate.
pub fn live(spec: &ChipSpec, factor: u32, tier: Tier, seed: u64) -> Life {
    let rber = spec.rated_bit_error_rate() * f64::from(factor);
    let mut chip = Chip::new(spec, seed);
    chip.faults_mut().bit_flip_rate = rber;
    let mut watch = Watch::new(SimFlash::new(chip), tier);
    let mut life = Life {
        chip: spec.name,
        layout: watch.layout.map_or("", Layout::name),
        tier: tier.name(),
        rated_rber: spec.rated_bit_error_rate(),
        factor,
        rber,
        ..Life::default()
    };
    if let Err(error) = run(&mut watch, seed, &mut life) {
        life.lose(error.to_string());
    }
    life.pages_read = watch.pages_read;
    let troubled = life.corrected.values().sum::<u64>() + life.uncorrected;
    life.clean = life.pages_read.saturating_sub(troubled);
    life
}

impl Life {
    fn lose(&mut self, what: String) {
        self.lost += 1;
        self.failure.get_or_insert(what);
    }

    fn count(&mut self, seen: &ReadStatistics) {
        self.corrected_bits += seen.corrected_bits;
        self.uncorrected += u64::from(seen.retried_reads);
        for rung in Rung::ALL {
            let pages = u64::from(seen.mended_by(rung));
            if pages > 0 {
                *self.corrected.entry(rung.name().to_owned()).or_default() += pages;
            }
        }
    }
}

/// Formats and fills, then mounts, reads everything and writes one file anew, until enough pages have been read.
fn run(watch: &mut Watch, seed: u64, life: &mut Life) -> Result<(), Error> {
    let mut buffer = vec![0; buffer_bytes_with(&watch.geometry(), watch.tier)];
    Volume::format(&mut *watch, &mut buffer, &FormatOptions::default())?;
    let mut volume = Volume::mount(&mut *watch, &mut buffer, MountOptions::default())?;
    let files = (volume.usage()?.capacity_bytes / 2 / FILE_BYTES as u64).clamp(1, FILES_MAX);
    let mut versions = vec![0; files as usize];
    for file in 0..files {
        volume.write(&path(file), &content(seed, file, 0))?;
    }
    volume.unmount()?;
    let mut round = 0;
    while watch.pages_read < PAGES_MIN {
        let mut volume = Volume::mount(&mut *watch, &mut buffer, MountOptions::default())?;
        for file in 0..files {
            let mut bytes = vec![0; FILE_BYTES];
            life.files_read += 1;
            match volume.read(&path(file), &mut bytes) {
                Ok(FILE_BYTES) if bytes == content(seed, file, versions[file as usize]) => {}
                Ok(_) => life.lose(format!("{} came back wrong", path(file))),
                Err(error) => life.lose(format!("{}: {error}", path(file))),
            }
        }
        let file = round % files;
        let version = &mut versions[file as usize];
        *version += 1;
        let written = volume.write(&path(file), &content(seed, file, *version));
        life.count(&volume.read_statistics());
        written?;
        volume.unmount()?;
        round += 1;
    }
    Ok(())
}

fn path(file: u64) -> String {
    format!("/file{file}")
}

fn content(seed: u64, file: u64, version: u64) -> Vec<u8> {
    let mut bytes = vec![0; FILE_BYTES];
    Random::of(&[seed, file, version]).fill(&mut bytes);
    bytes
}

/// Counts the programmed pages that the volume reads.
struct Watch {
    flash: SimFlash,
    tier: Tier,
    layout: Option<Layout>,
    pages_read: u64,
}

impl Watch {
    fn new(flash: SimFlash, tier: Tier) -> Self {
        let geometry = flash.geometry();
        let layout = Layout::for_page(geometry.page_size, geometry.spare_size);
        Self { flash, tier, layout, pages_read: 0 }
    }

    fn is_programmed(&self, raw: &[u8]) -> bool {
        let layout = self.layout.filter(|layout| layout.codeword_bytes() == raw.len());
        layout.is_some_and(|layout| !looks_erased(&layout, raw))
    }
}

impl Flash for Watch {
    fn geometry(&self) -> Geometry {
        self.flash.geometry()
    }

    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.flash.read(page, column, bytes)?;
        self.pages_read += u64::from(column == 0 && self.is_programmed(bytes));
        Ok(())
    }

    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.flash.program(page, bytes)
    }

    fn erase(&mut self, block: u32) -> Result<(), FlashError> {
        self.flash.erase(block)
    }

    fn is_bad(&mut self, block: u32) -> Result<bool, FlashError> {
        self.flash.is_bad(block)
    }

    fn mark_bad(&mut self, block: u32) -> Result<(), FlashError> {
        self.flash.mark_bad(block)
    }

    fn verifies_by_reading(&self) -> bool {
        self.flash.verifies_by_reading()
    }

    fn read_weak(&mut self, page: u32, weak: &mut [u8]) -> Result<bool, FlashError> {
        self.flash.read_weak(page, weak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecc::bounds::Bch;

    #[test]
    fn rated_rates_are_what_the_required_correction_bears() {
        for (chip, corrected) in [("MT29F2G08", 4), ("MT29F1G01ABAFD", 8), ("GENERIC-4096-224", 8)] {
            let rated = ChipSpec::named(chip).unwrap().rated_bit_error_rate();
            // A sector is 512 bytes and the code's parity, 13 bits for each error; one bit in 10^15 is lost.
            let bears = Bch::sectored(4096 + 13 * corrected, 1, corrected).rate(4096.0 * 1e-15);
            assert!((rated / bears - 1.0).abs() < 2e-3, "{chip}: {rated:e} for {bears:e}");
        }
    }

    #[test]
    fn nothing_is_lost_at_the_rated_end_of_life() {
        for spec in ChipSpec::all() {
            let life = live(spec, 1, Tier::Small, 1);
            assert_eq!((life.lost, &life.failure), (0, &None), "{}", spec.name);
            assert!(life.pages_read >= PAGES_MIN, "{}", spec.name);
            let corrected: u64 = life.corrected.values().sum();
            assert_eq!(life.clean + corrected + life.uncorrected, life.pages_read);
        }
    }

    #[test]
    fn losses_are_seen() {
        let mut spec = ChipSpec::named("W25N01GV").unwrap().scaled(64);
        spec.rated_bit_errors_e12 = 2_000_000_000;
        let life = live(&spec, 1, Tier::Small, 1);
        assert!(life.lost > 0 && life.failure.is_some());
        // What the small decoder cannot mend, the full one does not give up.
        let mut spec = ChipSpec::named("W25N01GV").unwrap().scaled(64);
        spec.rated_bit_errors_e12 = 780_000_000;
        let [small, full] = [Tier::Small, Tier::Full].map(|tier| live(&spec, 1, tier, 1));
        assert!(full.lost == 0 && full.corrected.contains_key("belief"), "{full:?}");
        assert!(small.uncorrected > full.uncorrected, "{small:?}");
    }
}
