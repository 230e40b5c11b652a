//! What is measured: a chip by name and how the volume divides it, and the random numbers of a workload.

use k7fs_core::ecc::Layout;
use k7fs_core::flash::{FlashError, Geometry};
use k7fs_core::{buffer_bytes, cache_bytes};

use crate::chip::{Chip, ChipKind, ChipSpec, SimFlash};

const KIB: u32 = 1024;

/// A chip and the block size of the volume on it.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The part.
    pub spec: &'static ChipSpec,
    /// Bytes of the volume's blocks.
    pub block_size: u32,
    /// Pages in memory beyond those of the smallest buffer.
    pub cache_pages: usize,
}

impl Subject {
    /// A part with its default block size.
    pub fn default_of(spec: &'static ChipSpec) -> Self {
        Self { spec, block_size: spec.volume_block_size(), cache_pages: 0 }
    }

    /// The layouts of one part that are worth comparing: 64 KiB and 4 KiB blocks where the part has both.
    pub fn layouts_of(spec: &'static ChipSpec) -> Vec<Self> {
        let default = Self::default_of(spec);
        let small = Self { block_size: 4 * KIB, ..default };
        if !spec.is_nand() && default.block_size == 64 * KIB && small.flash(0).is_ok() {
            vec![default, small]
        } else {
            vec![default]
        }
    }

    /// The reference chips: 16 MiB NOR in two layouts, 1 MiB NOR, 128 MiB NAND.
    pub fn reference() -> Vec<Self> {
        let names = ["W25Q128JV", "W25Q80BL", "W25N01GV"];
        names.iter().filter_map(|name| ChipSpec::named(name)).flat_map(Self::layouts_of).collect()
    }

    /// The volume's buffer.
    pub(super) fn buffer(&self, geometry: &Geometry) -> Vec<u8> {
        vec![0; buffer_bytes(geometry) + cache_bytes(geometry, self.cache_pages)]
    }

    /// A fresh chip as it leaves the factory.
    ///
    /// # Errors
    /// `NotAligned` or `OutOfBounds` where the block size does not fit the chip.
    pub fn flash(&self, seed: u64) -> Result<SimFlash, FlashError> {
        SimFlash::with_layout(Chip::new(self.spec, seed), self.spec.volume_page_size(), self.block_size)
    }

    /// Bytes of the pages that hold so much content, headers, checksums and parity included.
    pub(super) fn sealed_bytes(&self, content: u64) -> u64 {
        let (raw, payload) = page_bytes(self.spec);
        content * raw as u64 / payload.max(1) as u64
    }

    /// Time of moving so many bytes over the chip's bus, and nothing else.
    pub(super) fn bus_ns(&self, bytes: u64) -> u64 {
        let byte_ps = match &self.spec.kind {
            ChipKind::Nor(nor) => nor.timing.read_byte_ps,
            ChipKind::Nand(nand) => nand.timing.bus_byte_ps,
        };
        bytes * byte_ps / 1000
    }
}

/// Bytes of a page: all of it, spare included, and what of it holds items.
pub(super) fn page_bytes(spec: &ChipSpec) -> (usize, usize) {
    let data = spec.volume_page_size() as usize;
    let (spare, seal) = match &spec.kind {
        ChipKind::Nand(nand) => (nand.geometry.spare_size, 0),
        ChipKind::Nor(_) => (0, Layout::for_page(data as u32, 0).map_or(0, Layout::parity_bytes) + CRC_BYTES),
    };
    (data + spare as usize, data.saturating_sub(seal + PAGE_HEADER_BYTES))
}

/// Bytes of a page's header, before its payload.
pub(super) const PAGE_HEADER_BYTES: usize = 20;
/// Bytes of its checksum; on NOR it ends the payload together with the parity.
const CRC_BYTES: usize = 4;

/// SplitMix64: the same numbers on every platform.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0 and far below 2^32: the bias does not show.
    pub(super) const fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Bytes that no codec makes shorter.
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for part in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
        bytes
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
