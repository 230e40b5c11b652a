//! K7FS: a file system for raw flash.
#![no_std]
#![forbid(unsafe_code)]

pub mod ecc;
mod error;
pub mod flash;
mod volume;

pub use error::{Error, GeometryField};
pub use volume::{
    CheckSummary, DEPTH_MAX, DirCursor, DirEntry, FILE_SIZE_MAX, Fault, FaultKind, File, FileIo, FormatOptions, Kind,
    LINKS_MAX, Metadata, MountOptions, NAME_BYTES_MAX, OPEN_FILES_MAX, OpenOptions, PATH_BYTES_MAX, Timestamp, Usage,
    Volume, buffer_bytes,
};
