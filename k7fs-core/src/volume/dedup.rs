//! What a volume's writers are to look for in new content that is there already.

use crate::error::Error;
use crate::varint::{Reader, Writer};

/// How new content is compared with what a volume has. The core writes content as it comes: this is for those that import whole
/// trees, and the volume remembers it for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DedupPolicy {
    /// Not at all.
    #[default]
    Off,
    /// Whole files.
    File,
    /// Logical blocks.
    Block,
    /// Chunks that content itself bounds, so that they are found again behind an insertion.
    Chunk(ChunkSizes),
}

/// Bounds of chunks, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ChunkSizes {
    /// The shortest but for the last of a file: 64 bytes to 1 MiB.
    pub min: u32,
    /// What is aimed at: 256 bytes to 4 MiB.
    pub average: u32,
    /// The longest: 1 KiB to 16 MiB.
    pub max: u32,
}

impl Default for ChunkSizes {
    fn default() -> Self {
        Self { min: 16 << 10, average: 64 << 10, max: 256 << 10 }
    }
}

impl ChunkSizes {
    /// Whether these can be used.
    ///
    /// # Errors
    /// `InvalidChunkSizes`.
    pub fn check(&self) -> Result<(), Error> {
        let Self { min, average, max } = *self;
        let in_bounds = (64..=1 << 20).contains(&min)
            && (256..=4 << 20).contains(&average)
            && (1 << 10..=16 << 20).contains(&max)
            && min <= average
            && average <= max;
        if in_bounds { Ok(()) } else { Err(Error::InvalidChunkSizes { min, average, max }) }
    }
}

impl DedupPolicy {
    /// The name, as in commands: `off`, `file`, `block`, `chunk`.
    pub const fn name(self) -> &'static str {
        match self {
            DedupPolicy::Off => "off",
            DedupPolicy::File => "file",
            DedupPolicy::Block => "block",
            DedupPolicy::Chunk(_) => "chunk",
        }
    }

    pub(crate) fn encode(self, writer: &mut Writer<'_>) {
        match self {
            DedupPolicy::Off => writer.byte(0),
            DedupPolicy::File => writer.byte(1),
            DedupPolicy::Block => writer.byte(2),
            DedupPolicy::Chunk(sizes) => {
                writer.byte(3);
                for size in [sizes.min, sizes.average, sizes.max] {
                    writer.uleb(size.into());
                }
            }
        }
    }

    /// A policy that this build does not know is none.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Self {
        match reader.byte() {
            1 => DedupPolicy::File,
            2 => DedupPolicy::Block,
            3 => {
                let (min, average, max) = (reader.uleb32(), reader.uleb32(), reader.uleb32());
                DedupPolicy::Chunk(ChunkSizes { min, average, max })
            }
            _ => DedupPolicy::Off,
        }
    }
}
