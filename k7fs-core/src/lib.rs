//! K7FS: a file system for raw NOR and NAND flash, without an allocator and without a controller.
//!
//! Each floor knows only the one below it; data goes down once when it is written and comes up once when it is read:
//!
//! ```text
//! volume   files, directories, links, transactions: the public API, all of it on Volume
//! tree     one copy-on-write B+tree: every name, extent and object is a key in it; the cleaner
//! log      append-only transactions: heads, commits, checkpoints, the anchor, mount, bad blocks
//! page     sealed pages: header, payload, checksum, parity; the only floor that touches flash
//! flash    NOR through embedded-storage, NAND through a trait of its own; geometry
//!
//! ecc      the LDPC code of a page    hash    BLAKE3    varint    canonical ULEB128
//! ```
//!
//! Start at [`Volume::format`] and [`Volume::mount`]; [`buffer_bytes`] tells the size of the one buffer they need.
//! `FORMAT.md` beside this crate's manifest describes every byte on the chip.
//!
//! # Profiles
//!
//! The format is one; features say how much of it a build makes use of. All are on by default (`full`). Without any (`core`) a volume
//! is read and written all the same, whatever it holds: what another build made of it stays, and the little that this one
//! cannot do is refused by a name.
//!
//! | without | what is on a volume |
//! |---|---|
//! | `indexes` | the default index is read and written, others stay; jobs left in others stay |
//! | `packed` | the volume is mounted for reading only, if it may have packed records; hashes are not looked at, what is compressed is `MissingCodec` |
//! | `sharing` | files that share content are read, renamed and removed; writing to one is [`Error::MissingFeature`] |
//! | `attributes` | stay with their objects; those of removed ones are a job for another build |
//! | `remove-tree` | what is left of a tree that was being removed stays so |
//! | `authenticated` | a volume with a key is refused: `UnknownFeature` |
//! | `xxh3` | content with that hash is read without looking at it |
//!
//! What is left to another build is freed by the first one that mounts the volume for writing and has the feature.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, not(feature = "fast-hash")))]
mod blake3;
pub mod codec;
pub mod ecc;
mod error;
pub mod flash;
mod hash;
mod identify;
mod key;
mod log;
mod page;
#[cfg(feature = "sabotage")]
pub mod sabotage;
#[cfg(not(feature = "sabotage"))]
mod sabotage;
mod tree;
mod varint;
mod volume;

pub use codec::{Codec, CodecError, CodecId, Codecs};
pub use error::{Error, Feature, GeometryField};
pub use hash::{ContentHash, HashId};
pub use identify::{IDENTIFY_BYTES, identify};
pub use key::Key;
pub use log::BadReason;
pub use page::{ReadStatistics, WeakPage};
#[cfg(feature = "sharing")]
pub use volume::Chunk;
pub use volume::{
    ATTRIBUTE_BYTES_MAX, ATTRIBUTE_NAME_BYTES_MAX, AttributeCursor, AttributeEntry, BadBlock, CheckSummary, ChunkSizes,
    ContentCursor, ContentStatus, DEPTH_MAX, DedupPolicy, DefragmentCursor, Device, DirCursor, DirEntry, ENTRIES_MAX,
    FILE_SIZE_MAX, Fault, FaultKind, File, FileIo, FormatOptions, Health, INDEX_NAME_FIRST, Kind, LINKS_MAX, Metadata,
    MountOptions, NAME_BYTES_MAX, OPEN_FILES_MAX, OpenOptions, PATH_BYTES_MAX, RESERVED_ATTRIBUTES, Recompressed,
    RetentionPolicy, STREAM_ATTRIBUTES, Scrubbed, Timestamp, Usage, Volume, VolumeInfo, buffer_bytes,
    buffer_bytes_with, cache_bytes,
};
#[cfg(feature = "indexes")]
pub use volume::{ChangeKind, IndexChange, IndexCursor, IndexInfo, POLICY_SNAPSHOTS_MAX, PolicyOutcome};
#[cfg(feature = "attributes")]
pub use volume::{Nt, Posix};
