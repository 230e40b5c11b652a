//! Codecs: what packed records are compressed with, behind one small interface.
//!
//! The core itself stores and reads content as it is. Whoever mounts a volume may lend it a [`Codec`] and memory for one logical
//! block, plain and packed; then content is compressed on its way down and compressed content can be read. Without that a
//! volume still mounts, and what is compressed is an error that names the codec.
//!
//! Decoders for firmware: `ZstdCodec` (feature `zstd-noalloc`), which needs no allocator, and `BuiltInCodec` (features `zstd`, by
//! ruzstd, and `lzma2`), which does.

#[cfg(any(feature = "zstd", feature = "lzma2"))]
mod builtin;
#[cfg(feature = "zstd-noalloc")]
mod zstd;

#[cfg(any(feature = "zstd", feature = "lzma2"))]
pub use builtin::BuiltInCodec;
#[cfg(feature = "zstd-noalloc")]
pub use zstd::{ZSTD_SCRATCH_BYTES, ZstdCodec, ZstdScratch};

use crate::page::Address;

/// Whether this build writes packed records and decodes them.
pub(crate) const PACKED: bool = cfg!(feature = "packed");

/// How a packed record's content is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CodecId {
    /// As it is.
    #[default]
    Store,
    /// A Zstandard frame.
    Zstd,
    /// An LZMA2 stream: chunks up to the end marker, without a header. Its dictionary is as long as the content, or 4 KiB.
    Lzma2,
}

impl CodecId {
    /// All of them.
    pub const ALL: [CodecId; 3] = [CodecId::Store, CodecId::Zstd, CodecId::Lzma2];

    pub(crate) const fn code(self) -> u8 {
        match self {
            CodecId::Store => 0,
            CodecId::Zstd => 1,
            CodecId::Lzma2 => 2,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(CodecId::Store),
            1 => Some(CodecId::Zstd),
            2 => Some(CodecId::Lzma2),
            _ => None,
        }
    }

    /// Its bit in a set of codecs.
    pub(crate) const fn bit(self) -> u8 {
        1 << self.code()
    }

    /// The name, as in commands: `store`, `zstd`, `lzma2`.
    pub const fn name(self) -> &'static str {
        match self {
            CodecId::Store => "store",
            CodecId::Zstd => "zstd",
            CodecId::Lzma2 => "lzma2",
        }
    }
}

/// Why a record was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CodecError {
    /// This build does not have the codec.
    Missing,
    /// The bytes are not what the codec makes, or their content has another length.
    Damaged,
}

/// Compresses and decompresses single blocks; each is a stream of its own.
pub trait Codec {
    /// Fills `plain`, which is exactly as long as the content, from the whole of `packed`.
    ///
    /// # Errors
    /// [`CodecError::Missing`] where there is no such codec, `Damaged` for anything that it did not make. `packed` may hold
    /// anything at all.
    fn decode(&mut self, codec: CodecId, packed: &[u8], plain: &mut [u8]) -> Result<(), CodecError>;

    /// Whether it decodes this codec at all; it may be asked often. [`CodecId::Store`] is none of its business.
    fn decodes(&self, codec: CodecId) -> bool {
        let _ = codec;
        true
    }

    /// Compresses `plain` into `packed` and tells the length; `None` where it does not fit or cannot be done, so that the block
    /// is stored as it is.
    fn encode(&mut self, codec: CodecId, plain: &[u8], packed: &mut [u8]) -> Option<usize>;
}

/// A codec and the memory that a volume needs for it: lent to [`Volume::mount_with`](crate::Volume::mount_with).
pub struct Codecs<'b> {
    pub(crate) codec: &'b mut dyn Codec,
    /// The content of one record.
    pub(crate) plain: &'b mut [u8],
    /// What is stored of it.
    pub(crate) packed: &'b mut [u8],
    /// The record whose content is in `plain`.
    pub(crate) cached: Option<Cached>,
}

/// Tells a record from whatever else is ever stored in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    pub(crate) address: Address,
    /// Blocks opened until then: none was used again in between.
    pub(crate) generation: u32,
}

impl<'b> Codecs<'b> {
    /// A codec, and two pieces of memory: each as long as the volume's logical block.
    pub fn new(codec: &'b mut dyn Codec, plain: &'b mut [u8], packed: &'b mut [u8]) -> Self {
        Self { codec, plain, packed, cached: None }
    }

    /// The longest record that this memory takes.
    pub(crate) fn block_bytes(&self) -> usize {
        self.plain.len().min(self.packed.len())
    }
}

impl core::fmt::Debug for Codecs<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Codecs").field("cached", &self.cached).finish_non_exhaustive()
    }
}
