//! K7FS: a file system for raw flash.
#![no_std]
#![forbid(unsafe_code)]

pub mod ecc;
mod error;
pub mod flash;
mod hash;
mod identify;
mod log;
mod page;
#[cfg(feature = "sabotage")]
pub mod sabotage;
mod tree;
mod varint;
mod volume;

pub use error::{Error, GeometryField};
pub use identify::{IDENTIFY_BYTES, identify};
pub use volume::{
    CheckSummary, DEPTH_MAX, DirCursor, DirEntry, FILE_SIZE_MAX, Fault, FaultKind, File, FileIo, FormatOptions, Kind,
    LINKS_MAX, Metadata, MountOptions, NAME_BYTES_MAX, OPEN_FILES_MAX, OpenOptions, PATH_BYTES_MAX, Timestamp, Usage,
    Volume, VolumeInfo, buffer_bytes,
};
