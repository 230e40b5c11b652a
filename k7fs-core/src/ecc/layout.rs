//! The layouts of pages, and what each of them takes.

use super::codes;
use super::decode;
use super::graph::Code;
use super::source::Source;
use super::tables;

/// The code of one page layout.
///
/// The discriminants are stored on flash (they are [`Layout::id`]) and never change. The archive layouts come with the
/// feature `full-decoder`: their sums would only cost small parts stack. Those of NAND chips come with the feature `nand-codes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[repr(u8)]
pub enum Layout {
    /// NOR, 128-byte pages, 16 bytes of parity.
    Nor128 = 1,
    /// NOR, 256-byte pages, 32 bytes of parity.
    Nor256 = 2,
    /// NOR, 512-byte pages, 64 bytes of parity.
    Nor512 = 3,
    /// NOR, 1024-byte pages, 128 bytes of parity.
    Nor1024 = 4,
    /// NAND, 2048 + 64 bytes, 56 of them parity.
    #[cfg(feature = "nand-codes")]
    Nand2048Plus64 = 5,
    /// NAND, 2048 + 128 bytes, 112 of them parity.
    #[cfg(feature = "nand-codes")]
    Nand2048Plus128 = 6,
    /// NAND, 4096 + 224 bytes, 208 of them parity.
    #[cfg(feature = "nand-codes")]
    Nand4096Plus224 = 7,
    /// NAND, 4096 + 128 bytes, 112 of them parity.
    #[cfg(feature = "nand-codes")]
    Nand4096Plus128 = 8,
    /// NAND, 4096 + 256 bytes, 240 of them parity.
    #[cfg(feature = "nand-codes")]
    Nand4096Plus256 = 9,
    /// Archive files, 4096 bytes, 256 of them parity (6.25 %).
    #[cfg(feature = "full-decoder")]
    Archive4096Parity256 = 10,
    /// Archive files, 4096 bytes, 512 of them parity (12.5 %).
    #[cfg(feature = "full-decoder")]
    Archive4096Parity512 = 11,
}

/// How far up the ladder of [`decode`](super::decode()) goes: what its scratch decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Tier {
    /// Bit flipping and Chase trials on it: for parts with 16 KiB of RAM.
    Small,
    /// All of it, belief propagation included. Takes the feature `full-decoder`.
    Full,
}

impl Tier {
    /// Every tier, in ascending order.
    pub const ALL: [Self; 2] = [Self::Small, Self::Full];

    /// The name in reports and campaign files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Full => "full",
        }
    }
}

impl Layout {
    /// Every layout, in the order of their identities.
    pub const ALL: &'static [Self] = &[
        Self::Nor128,
        Self::Nor256,
        Self::Nor512,
        Self::Nor1024,
        #[cfg(feature = "nand-codes")]
        Self::Nand2048Plus64,
        #[cfg(feature = "nand-codes")]
        Self::Nand2048Plus128,
        #[cfg(feature = "nand-codes")]
        Self::Nand4096Plus224,
        #[cfg(feature = "nand-codes")]
        Self::Nand4096Plus128,
        #[cfg(feature = "nand-codes")]
        Self::Nand4096Plus256,
        #[cfg(feature = "full-decoder")]
        Self::Archive4096Parity256,
        #[cfg(feature = "full-decoder")]
        Self::Archive4096Parity512,
    ];

    /// The layout of pages with `page_size` data and `spare_size` spare bytes (0 on NOR), if there is a code for it.
    pub const fn for_page(page_size: u32, spare_size: u32) -> Option<Self> {
        match (page_size, spare_size) {
            (128, 0) => Some(Self::Nor128),
            (256, 0) => Some(Self::Nor256),
            (512, 0) => Some(Self::Nor512),
            (1024, 0) => Some(Self::Nor1024),
            #[cfg(feature = "nand-codes")]
            (2048, 64) => Some(Self::Nand2048Plus64),
            #[cfg(feature = "nand-codes")]
            (2048, 128) => Some(Self::Nand2048Plus128),
            #[cfg(feature = "nand-codes")]
            (4096, 224) => Some(Self::Nand4096Plus224),
            #[cfg(feature = "nand-codes")]
            (4096, 128) => Some(Self::Nand4096Plus128),
            #[cfg(feature = "nand-codes")]
            (4096, 256) => Some(Self::Nand4096Plus256),
            _ => None,
        }
    }

    /// The layout with this [`id`](Self::id).
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            1 => Some(Self::Nor128),
            2 => Some(Self::Nor256),
            3 => Some(Self::Nor512),
            4 => Some(Self::Nor1024),
            #[cfg(feature = "nand-codes")]
            5 => Some(Self::Nand2048Plus64),
            #[cfg(feature = "nand-codes")]
            6 => Some(Self::Nand2048Plus128),
            #[cfg(feature = "nand-codes")]
            7 => Some(Self::Nand4096Plus224),
            #[cfg(feature = "nand-codes")]
            8 => Some(Self::Nand4096Plus128),
            #[cfg(feature = "nand-codes")]
            9 => Some(Self::Nand4096Plus256),
            #[cfg(feature = "full-decoder")]
            10 => Some(Self::Archive4096Parity256),
            #[cfg(feature = "full-decoder")]
            11 => Some(Self::Archive4096Parity512),
            _ => None,
        }
    }

    /// The layout with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|layout| layout.name() == name)
    }

    /// The code's identity on flash. Changes whenever a single bit of parity would.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// What people call it: `nor-256`, `2048+64`, `archive-12.5`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nor128 => "nor-128",
            Self::Nor256 => "nor-256",
            Self::Nor512 => "nor-512",
            Self::Nor1024 => "nor-1024",
            #[cfg(feature = "nand-codes")]
            Self::Nand2048Plus64 => "2048+64",
            #[cfg(feature = "nand-codes")]
            Self::Nand2048Plus128 => "2048+128",
            #[cfg(feature = "nand-codes")]
            Self::Nand4096Plus224 => "4096+224",
            #[cfg(feature = "nand-codes")]
            Self::Nand4096Plus128 => "4096+128",
            #[cfg(feature = "nand-codes")]
            Self::Nand4096Plus256 => "4096+256",
            #[cfg(feature = "full-decoder")]
            Self::Archive4096Parity256 => "archive-6.25",
            #[cfg(feature = "full-decoder")]
            Self::Archive4096Parity512 => "archive-12.5",
        }
    }

    /// Bytes of a codeword: the raw page with its spare area, factory mark included.
    pub const fn codeword_bytes(self) -> usize {
        self.code().shape.words as usize * 4
    }

    /// Bits that can be wrong: those of the codeword less the factory mark.
    pub const fn codeword_bits(self) -> usize {
        self.codeword_bytes() * 8 - if self.code().mark_byte().is_some() { 16 } else { 0 }
    }

    /// Bytes of parity, the last of the codeword.
    pub const fn parity_bytes(self) -> usize {
        self.code().shape.parity_words as usize * 4
    }

    /// Bits of parity, which is the largest [`syndrome_weight`](super::syndrome_weight).
    pub const fn parity_bits(self) -> usize {
        self.parity_bytes() * 8
    }

    /// Where the two bytes of the factory mark are, on NAND.
    pub const fn mark_byte(self) -> Option<usize> {
        self.code().mark_byte()
    }

    /// Wrong bits of which the small tier leaves at most about one page in a million unmended, as measured.
    pub const fn safe_bits(self) -> u32 {
        self.code().shape.safe_bits as u32
    }

    /// Bytes of scratch memory that [`decode`](super::decode()) needs beside the page to get this far.
    pub const fn scratch_bytes(self, tier: Tier) -> usize {
        decode::scratch_bytes(self.code(), tier)
    }

    /// Bytes of read-only tables behind this code, as on a 32-bit processor.
    pub const fn table_bytes(self) -> usize {
        self.code().table_bytes()
    }

    /// The code of this layout.
    #[doc(hidden)]
    pub const fn code(self) -> &'static Code {
        match self {
            Self::Nor128 => &tables::NOR_128,
            Self::Nor256 => &tables::NOR_256,
            Self::Nor512 => &tables::NOR_512,
            Self::Nor1024 => &tables::NOR_1024,
            #[cfg(feature = "nand-codes")]
            Self::Nand2048Plus64 => &tables::NAND_2048_64,
            #[cfg(feature = "nand-codes")]
            Self::Nand2048Plus128 => &tables::NAND_2048_128,
            #[cfg(feature = "nand-codes")]
            Self::Nand4096Plus224 => &tables::NAND_4096_224,
            #[cfg(feature = "nand-codes")]
            Self::Nand4096Plus128 => &tables::NAND_4096_128,
            #[cfg(feature = "nand-codes")]
            Self::Nand4096Plus256 => &tables::NAND_4096_256,
            #[cfg(feature = "full-decoder")]
            Self::Archive4096Parity256 => &tables::ARCHIVE_4096_256,
            #[cfg(feature = "full-decoder")]
            Self::Archive4096Parity512 => &tables::ARCHIVE_4096_512,
        }
    }

    /// What the search has found for this layout: what [`Self::code`] is worked out from.
    #[doc(hidden)]
    pub const fn source(self) -> Source {
        match self {
            Self::Nor128 => codes::NOR_128,
            Self::Nor256 => codes::NOR_256,
            Self::Nor512 => codes::NOR_512,
            Self::Nor1024 => codes::NOR_1024,
            #[cfg(feature = "nand-codes")]
            Self::Nand2048Plus64 => codes::NAND_2048_64,
            #[cfg(feature = "nand-codes")]
            Self::Nand2048Plus128 => codes::NAND_2048_128,
            #[cfg(feature = "nand-codes")]
            Self::Nand4096Plus224 => codes::NAND_4096_224,
            #[cfg(feature = "nand-codes")]
            Self::Nand4096Plus128 => codes::NAND_4096_128,
            #[cfg(feature = "nand-codes")]
            Self::Nand4096Plus256 => codes::NAND_4096_256,
            #[cfg(feature = "full-decoder")]
            Self::Archive4096Parity256 => codes::ARCHIVE_4096_256,
            #[cfg(feature = "full-decoder")]
            Self::Archive4096Parity512 => codes::ARCHIVE_4096_512,
        }
    }
}
