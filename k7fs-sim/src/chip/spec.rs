//! What a chip is: its shape, rules, timing and rated life, each with the source of the figures.

use k7fs_core::flash::nand::NandGeometry;

use super::presets::PRESETS;
use super::timing::{NandTiming, NorTiming};

/// Where a part's figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    /// Size, pages, erase units.
    pub geometry: &'static str,
    /// Write-once units, programs per page, guaranteed good blocks, bad blocks at most.
    pub rules: &'static str,
    /// Reading.
    pub read: &'static str,
    /// Programming.
    pub program: &'static str,
    /// Erasing.
    pub erase: &'static str,
    /// Rated cycles.
    pub endurance: &'static str,
    /// Bit errors at the end of the rated life.
    pub bit_errors: &'static str,
}

/// A chip: a preset by its real name, or one of your own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChipSpec {
    /// The part's name.
    pub name: &'static str,
    /// Shape, rules and timing.
    pub kind: ChipKind,
    /// Erase cycles that the maker rates each block for.
    pub endurance: u32,
    /// Wrong bits among 10^12 read, before any correction, at the end of the rated life.
    pub rated_bit_errors_e12: u64,
    /// Where the figures come from.
    pub source: Sources,
}

/// NOR or NAND, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChipKind {
    /// Byte-addressed flash.
    Nor(NorSpec),
    /// Page-addressed flash with a spare area.
    Nand(NandSpec),
}

/// A NOR part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NorSpec {
    /// Bytes of the chip.
    pub size: u32,
    /// Smallest write in bytes. Each such unit is programmed once between erases; with on-chip error correction a
    /// second program breaks it.
    pub write_size: u32,
    /// Most bytes that one program operation takes; a longer write is several.
    pub program_size: u32,
    /// Bytes of the smallest erase.
    pub erase_size: u32,
    /// Larger aligned erases that are one operation.
    pub large_erases: &'static [LargeErase],
    /// Whether the part lets bits of a programmed byte be cleared later.
    pub multiwrite: bool,
    /// Whether the part checks each write unit by its own error correction, so that reading a spoilt one is an error.
    pub on_chip_ecc: bool,
    /// Default logical page of a volume in bytes.
    pub page_size: u32,
    /// Default block of a volume in bytes.
    pub block_size: u32,
    /// Timing.
    pub timing: NorTiming,
}

/// An erase of more than one erase unit in one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeErase {
    /// Bytes, and the alignment that it needs.
    pub size: u32,
    /// How long it takes.
    pub erase_ns: u64,
}

/// A NAND part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NandSpec {
    /// The shape, as a driver tells it.
    pub geometry: NandGeometry,
    /// Blocks from the first on that leave the factory good.
    pub good_blocks: u32,
    /// Whether the part can read a page above and below the usual threshold.
    pub read_retry: bool,
    /// Timing.
    pub timing: NandTiming,
}

impl ChipSpec {
    /// All presets.
    pub fn all() -> &'static [ChipSpec] {
        &PRESETS
    }

    /// The preset of that name, whatever its case.
    pub fn named(name: &str) -> Option<&'static ChipSpec> {
        PRESETS.iter().find(|spec| spec.name.eq_ignore_ascii_case(name))
    }

    /// Whether the part is NAND.
    pub const fn is_nand(&self) -> bool {
        matches!(self.kind, ChipKind::Nand(_))
    }

    /// Share of the bits that read wrong, before any correction, at the end of the rated life.
    pub fn rated_bit_error_rate(&self) -> f64 {
        self.rated_bit_errors_e12 as f64 / 1e12
    }

    /// Default logical page of a volume in bytes: data only.
    pub const fn volume_page_size(&self) -> u32 {
        match &self.kind {
            ChipKind::Nor(nor) => nor.page_size,
            ChipKind::Nand(nand) => nand.geometry.page_size,
        }
    }

    /// Default block of a volume in bytes: data only. On NOR 64 KiB, where the part erases that at once and has at
    /// least 64 of them, and otherwise as many erase units as make 16 pages.
    pub const fn volume_block_size(&self) -> u32 {
        match &self.kind {
            ChipKind::Nor(nor) => nor.block_size,
            ChipKind::Nand(nand) => nand.geometry.page_size * nand.geometry.pages_per_block,
        }
    }

    /// Blocks of a volume that fills the chip with the default layout.
    pub const fn volume_block_count(&self) -> u32 {
        match &self.kind {
            ChipKind::Nor(nor) => nor.size / nor.block_size,
            ChipKind::Nand(nand) => nand.geometry.block_count,
        }
    }

    /// Bytes of the chip's data, spare excluded.
    pub const fn data_size(&self) -> u64 {
        self.volume_block_size() as u64 * self.volume_block_count() as u64
    }

    /// Bytes of an image of the chip: spare included.
    pub const fn image_size(&self) -> u64 {
        self.page_bytes() as u64 * self.pages_per_block() as u64 * self.block_count() as u64
    }

    /// Bytes of one page of the simulated array, spare included.
    pub(super) const fn page_bytes(&self) -> u32 {
        match &self.kind {
            ChipKind::Nor(nor) => nor.program_size,
            ChipKind::Nand(nand) => nand.geometry.page_size + nand.geometry.spare_size,
        }
    }

    /// Pages of the simulated array in one erase unit.
    pub const fn pages_per_block(&self) -> u32 {
        match &self.kind {
            ChipKind::Nor(nor) => nor.erase_size / nor.program_size,
            ChipKind::Nand(nand) => nand.geometry.pages_per_block,
        }
    }

    /// Erase units of the chip: what its counters and fault plan call blocks.
    pub const fn block_count(&self) -> u32 {
        match &self.kind {
            ChipKind::Nor(nor) => nor.size / nor.erase_size,
            ChipKind::Nand(nand) => nand.geometry.block_count,
        }
    }

    /// Blocks that may be or go bad within the rated life; 0 on NOR.
    pub const fn bad_blocks_max(&self) -> u32 {
        match &self.kind {
            ChipKind::Nor(_) => 0,
            ChipKind::Nand(nand) => nand.geometry.bad_blocks_max,
        }
    }

    /// The same part with only `block_count` blocks, for exhaustive tests. On NOR a block is then as many erase units
    /// as make 16 pages; on NAND the bad blocks shrink in proportion, but not below one.
    #[must_use]
    pub fn scaled(&self, block_count: u32) -> ChipSpec {
        let mut spec = self.clone();
        match &mut spec.kind {
            ChipKind::Nor(nor) => {
                nor.block_size = small_block_size(nor.erase_size, nor.page_size);
                nor.size = nor.block_size * block_count;
            }
            ChipKind::Nand(nand) => {
                let share = u64::from(nand.geometry.bad_blocks_max) * u64::from(block_count);
                nand.geometry.bad_blocks_max = share.div_ceil(u64::from(nand.geometry.block_count)).max(1) as u32;
                nand.geometry.block_count = block_count;
                nand.good_blocks = nand.good_blocks.min(block_count);
            }
        }
        spec
    }

    /// The same NAND part with so many pages in a block; a NOR part stays as it is.
    #[must_use]
    pub fn with_pages_per_block(mut self, pages: u32) -> ChipSpec {
        if let ChipKind::Nand(nand) = &mut self.kind {
            nand.geometry.pages_per_block = pages;
        }
        self
    }

    /// Another name for [`scaled`](Self::scaled).
    #[must_use]
    pub fn small(&self, block_count: u32) -> ChipSpec {
        self.scaled(block_count)
    }
}

/// As many erase units as make 16 pages.
pub(super) const fn small_block_size(erase_size: u32, page_size: u32) -> u32 {
    (page_size * 16).next_multiple_of(erase_size)
}

/// The default block of a part: see [`ChipSpec::volume_block_size`].
pub(super) const fn default_block_size(size: u32, erase_size: u32, page_size: u32, large_erases: &[LargeErase]) -> u32 {
    let mut index = 0;
    while index < large_erases.len() {
        let large = large_erases[index].size;
        if large == 64 * 1024 && size / large >= 64 {
            return large;
        }
        index += 1;
    }
    small_block_size(erase_size, page_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_whatever_their_case() {
        for spec in ChipSpec::all() {
            assert_eq!(ChipSpec::named(&spec.name.to_lowercase()), Some(spec));
        }
        assert_eq!(ChipSpec::named("W25Q"), None);
    }

    #[test]
    fn default_blocks_follow_the_rule() {
        let sizes: Vec<_> =
            ChipSpec::all().iter().map(|s| (s.name, s.volume_block_size(), s.volume_block_count())).collect();
        assert_eq!(
            sizes,
            [
                ("W25Q128JV", 65536, 256),
                ("W25Q16JV", 4096, 512),
                ("W25Q80BL", 4096, 256),
                ("nRF51822", 4096, 64),
                ("nRF52840", 4096, 256),
                ("STM32L4", 4096, 256),
                ("STM32H7", 131_072, 16),
                ("W25N01GV", 131_072, 1024),
                ("MT29F1G01ABAFD", 131_072, 1024),
                ("MT29F2G08", 131_072, 2048),
                ("GENERIC-4096-224", 262_144, 1024),
            ]
        );
    }

    #[test]
    fn scaling_gives_exactly_the_blocks_asked_for() {
        for spec in ChipSpec::all() {
            let small = spec.scaled(16);
            assert_eq!(small.volume_block_count(), 16, "{}", spec.name);
            assert_eq!(small.is_nand(), small.bad_blocks_max() == 1, "{}", spec.name);
        }
    }

    #[test]
    fn every_figure_names_its_source() {
        for spec in ChipSpec::all() {
            let s = spec.source;
            for text in [s.geometry, s.rules, s.read, s.program, s.erase, s.endurance, s.bit_errors] {
                assert!(text.len() > 10, "{}", spec.name);
            }
        }
    }
}
