//! The chips that sequences run on: real parts with as few blocks as a volume can live on.

use crate::chip::{Chip, ChipSpec, SimFlash};
use crate::codec::HostCodecs;
use k7fs_core::flash::Flash;
use k7fs_core::{CodecId, Error, FormatOptions, HashId, Key, MountOptions, Volume, buffer_bytes, cache_bytes};

/// A chip and how a volume cuts it into pages and blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// For messages.
    pub name: &'static str,
    /// The part, see [`ChipSpec::named`].
    pub chip: &'static str,
    /// Bytes of a page; 0 for the part's own.
    pub page_size: u32,
    /// Bytes of a block, spare excluded; 0 for the part's own.
    pub block_size: u32,
    /// How content is stored.
    pub packing: Packing,
    /// The key of authenticated volumes.
    pub key: Option<Key>,
}

/// How a volume stores content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// With hashes.
    pub verified: bool,
    /// Compressed.
    pub codec: CodecId,
    /// What hashes are made with.
    pub hash: HashId,
    /// Bytes of a logical block.
    pub logical_block_size: u32,
}

const PLAIN: Packing =
    Packing { verified: false, codec: CodecId::Store, hash: HashId::Blake3x256, logical_block_size: 4096 };

const fn case(name: &'static str, chip: &'static str, page_size: u32, block_size: u32) -> Case {
    Case { name, chip, page_size, block_size, packing: PLAIN, key: None }
}

const fn packed(case: Case, name: &'static str, verified: bool, codec: CodecId, hash: HashId) -> Case {
    Case { name, packing: Packing { verified, codec, hash, ..PLAIN }, ..case }
}

/// The key of every authenticated volume of the tests.
pub const KEY: Key = Key::new(*b"the tests' key of 32 bytes in it");

const fn keyed(case: Case, name: &'static str) -> Case {
    Case { name, key: Some(KEY), ..case }
}

/// Authenticated volumes.
pub const KEYED: [Case; 4] = [
    keyed(CASES[2], "nor-256-4k-keyed"),
    keyed(PACKED[1], "nor-256-4k-zstd-keyed"),
    keyed(CASES[4], "nor-1024-8k-keyed"),
    keyed(CASES[6], "nand-2048-64-keyed"),
];

/// The longest logical block of these.
pub const LOGICAL_BLOCK_MAX: u32 = 16_384;

const fn large(case: Case) -> Case {
    Case { packing: Packing { logical_block_size: LOGICAL_BLOCK_MAX, ..case.packing }, ..case }
}

/// Volumes with packed records. On large pages a block must be larger, or compressing it never saves one.
pub const PACKED: [Case; 6] = [
    packed(CASES[2], "nor-256-4k-verified", true, CodecId::Store, HashId::Blake3x256),
    packed(CASES[2], "nor-256-4k-zstd", false, CodecId::Zstd, HashId::Xxh3x64),
    packed(CASES[3], "nor-512-4k-verified-lzma2", true, CodecId::Lzma2, HashId::Blake3x128),
    packed(CASES[0], "nor-128-2k-verified", true, CodecId::Store, HashId::Xxh3x64),
    packed(CASES[6], "nand-2048-64-verified-zstd", true, CodecId::Zstd, HashId::Blake3x256),
    large(packed(CASES[8], "nand-4096-224-lzma2", false, CodecId::Lzma2, HashId::Blake3x128)),
];

/// Every kind of geometry that the format knows, small ones first.
pub const CASES: [Case; 9] = [
    case("nor-128-2k", "nRF51822", 128, 2048),
    case("nor-128-4k", "nRF51822", 128, 4096),
    case("nor-256-4k", "W25Q80BL", 256, 4096),
    case("nor-512-4k", "W25Q16JV", 512, 4096),
    case("nor-1024-8k", "nRF52840", 1024, 8192),
    case("nor-256-stm32h7", "STM32H7", 256, 131_072),
    case("nand-2048-64", "W25N01GV", 0, 0),
    case("nand-2048-128", "MT29F1G01ABAFD", 0, 0),
    case("nand-4096-224", "GENERIC-4096-224", 0, 0),
];

/// Two small ones for campaigns over every block; the NAND part has blocks of eight pages.
pub const SMALL: [Case; 2] = [CASES[2], case("nand-2048-64-16k", "W25N01GV", 0, 16_384)];

/// Pages in memory beyond those of the smallest buffer: some sets of the cache.
const CACHE_PAGES: usize = 20;

/// The volume id of every test: a constant, so that equal work gives equal chips.
pub const VOLUME_ID: [u8; 16] = *b"k7fs test volume";

/// Options for `format` in tests.
pub fn format_options() -> FormatOptions {
    FormatOptions { volume_id: VOLUME_ID, ..FormatOptions::default() }
}

impl Case {
    /// The case of that name.
    ///
    /// # Panics
    /// Where there is none: the test itself is wrong.
    pub fn named(name: &str) -> Case {
        *CASES
            .iter()
            .chain(&PACKED)
            .chain(&KEYED)
            .chain(&SMALL)
            .find(|case| case.name == name)
            .unwrap_or_else(|| panic!("no geometry {name}"))
    }

    /// A chip of this kind with so many blocks of the volume, factory-bad ones included where the part has any.
    ///
    /// # Panics
    /// Where the table above is wrong.
    pub fn flash(&self, blocks: u32, seed: u64) -> SimFlash {
        let spec = ChipSpec::named(self.chip).unwrap_or_else(|| panic!("no chip {}", self.chip));
        let small = spec.scaled(blocks);
        if self.page_size == 0 {
            let pages = self.block_size / small.volume_page_size();
            let small = if pages == 0 { small } else { small.with_pages_per_block(pages) };
            return SimFlash::new(Chip::new(&small, seed));
        }
        // Scaling counts blocks of 16 pages or one erase unit; ours may be smaller or larger.
        let units = (blocks * self.block_size).div_ceil(small.volume_block_size());
        let chip = Chip::new(&spec.scaled(units), seed);
        let part = SimFlash::part(chip, self.page_size, self.block_size, 0..blocks);
        part.unwrap_or_else(|error| panic!("{}: {error:?}", self.name))
    }

    /// A formatted chip with `spare_blocks` more than the smallest volume.
    ///
    /// # Panics
    /// Where `format` fails for another reason than size.
    pub fn formatted(&self, spare_blocks: u32, seed: u64) -> SimFlash {
        let mut flash = self.flash(self.blocks_min() + spare_blocks, seed);
        self.format(&mut flash).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        flash
    }

    /// Formats a chip of this kind.
    ///
    /// # Errors
    /// What `format` says.
    pub fn format(&self, flash: &mut impl Flash) -> Result<(), Error> {
        let Packing { verified, codec, hash, logical_block_size } = self.packing;
        let key = self.key;
        let options = FormatOptions { verified, codec, hash, logical_block_size, key, force: true, ..format_options() };
        let mut buffer = buffer_for(flash);
        Volume::format(flash, &mut buffer, &options)
    }

    /// Blocks of the smallest volume, as `format` tells it.
    ///
    /// # Panics
    /// Where `format` names a number that it then refuses.
    pub fn blocks_min(&self) -> u32 {
        let mut blocks = 4;
        for _ in 0..64 {
            match self.format(&mut self.flash(blocks, 0)) {
                Ok(()) => return blocks,
                Err(Error::VolumeTooSmall { blocks_min }) => blocks = blocks_min.max(blocks + 1),
                Err(error) => panic!("{} with {blocks} blocks: {error}", self.name),
            }
        }
        panic!("{}: format refuses the sizes that it asks for", self.name)
    }
}

/// Works on a volume with the host's codecs and stops it.
///
/// # Panics
/// Where a sound volume neither mounts nor unmounts.
pub fn with_codecs<R>(flash: &mut SimFlash, work: impl FnOnce(&mut Volume<'_, &mut SimFlash>) -> R) -> R {
    let mut buffer = buffer_for(flash);
    let mut codecs = HostCodecs::new(LOGICAL_BLOCK_MAX);
    let mut codecs = codecs.lend();
    let mounted = Volume::mount_with(flash, &mut buffer, MountOptions::default(), &mut codecs);
    let mut volume = mounted.expect("mounts");
    let result = work(&mut volume);
    volume.unmount().expect("unmounts");
    result
}

/// How to mount what is on a chip: with the tests' key where it takes one.
pub fn mount_options(flash: &SimFlash) -> MountOptions {
    let mut buffer = buffer_for(flash);
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let key = Volume::mount(flash.clone(), &mut buffer, options).is_err_and(|error| error == Error::KeyNeeded);
    MountOptions { key: key.then_some(KEY), ..MountOptions::default() }
}

/// A buffer for this chip: the smallest, but for pages of two sizes, which have one with more pages in memory.
pub fn buffer_for(flash: &impl Flash) -> Vec<u8> {
    let geometry = flash.geometry();
    let more = if matches!(geometry.page_size, 512 | 4096) { cache_bytes(&geometry, CACHE_PAGES) } else { 0 };
    vec![0; buffer_bytes(&geometry) + more]
}

/// A formatted chip of this part, with the part's own pages and blocks.
///
/// # Panics
/// Where `format` fails: the tests' chips are large enough.
pub fn formatted_chip(spec: &ChipSpec, seed: u64) -> SimFlash {
    let mut flash = SimFlash::new(Chip::new(spec, seed));
    format(&mut flash).unwrap_or_else(|error| panic!("{}: {error}", spec.name));
    flash
}

/// Formats with the tests' options.
///
/// # Errors
/// What `format` says.
pub fn format(flash: &mut impl Flash) -> Result<(), Error> {
    let mut buffer = buffer_for(flash);
    Volume::format(flash, &mut buffer, &format_options())
}
