//! The volume floor: files, directories and transactions, the public API.

mod types;

pub use types::{
    CheckSummary, DirCursor, DirEntry, Fault, FaultKind, File, FormatOptions, Kind, Metadata, MountOptions,
    OpenOptions, Timestamp, Usage,
};

use crate::error::Error;
use crate::flash::{Flash, Geometry};

/// Bytes of a name, at most.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of a path, at most.
pub const PATH_BYTES_MAX: usize = 4096;
/// Directories below the root on the way to an object, at most.
pub const DEPTH_MAX: u32 = 128;
/// Bytes of a file, at most.
pub const FILE_SIZE_MAX: u64 = 1 << 48;
/// Names of a file, at most.
pub const LINKS_MAX: u32 = 65_535;
/// Files open at once, at most.
pub const OPEN_FILES_MAX: usize = 8;

/// A mounted volume.
#[derive(Debug)]
pub struct Volume<'b, F> {
    flash: F,
    buffer: &'b mut [u8],
}

/// Bytes of buffer that a volume with this geometry needs.
pub const fn buffer_bytes(geometry: &Geometry) -> usize {
    geometry.raw_page_size()
}

#[allow(unused_variables, missing_docs, clippy::missing_errors_doc)]
impl<'b, F: Flash> Volume<'b, F> {
    /// Makes an empty volume; whatever was on the chip is gone.
    pub fn format(flash: &mut F, buffer: &mut [u8], options: &FormatOptions) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    pub fn mount(flash: F, buffer: &'b mut [u8], options: MountOptions) -> Result<Self, Error> {
        Err(Error::InvalidOption)
    }
    /// Commits, leaves a clean stop record, gives the chip back.
    pub fn unmount(self) -> Result<F, Error> {
        Err(Error::InvalidOption)
    }
    /// Gives the chip back as it is, like a power cut.
    pub fn abandon(self) -> F {
        self.flash
    }
    pub fn flash_mut(&mut self) -> &mut F {
        &mut self.flash
    }
    /// Makes everything done so far durable.
    pub fn sync(&mut self) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    pub fn transaction<R>(&mut self, run: impl FnOnce(&mut Self) -> Result<R, Error>) -> Result<R, Error> {
        Err(Error::InvalidOption)
    }
    pub fn open(&mut self, path: &str, options: OpenOptions) -> Result<File, Error> {
        Err(Error::InvalidOption)
    }
    pub fn close(&mut self, file: File) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    /// Whole file into `bytes`; `ResultTooLarge` where it does not fit. Returns its length.
    pub fn read(&mut self, path: &str, bytes: &mut [u8]) -> Result<usize, Error> {
        Err(Error::InvalidOption)
    }
    /// Replaces or creates a whole file atomically; durable on return (outside a transaction).
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    /// Reads up to `bytes.len()` bytes; 0 at or past the end.
    pub fn read_at(&mut self, file: &File, offset: u64, bytes: &mut [u8]) -> Result<usize, Error> {
        Err(Error::InvalidOption)
    }
    /// Writes all of `bytes`; extends the file, with a hole where `offset` is past its end. Not durable before a commit.
    pub fn write_at(&mut self, file: &File, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    /// Truncates, or extends with a hole.
    pub fn set_len(&mut self, file: &File, length: u64) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    pub fn file_metadata(&mut self, file: &File) -> Result<Metadata, Error> {
        Err(Error::InvalidOption)
    }
    /// Lends an `embedded-io` `Read + Write + Seek` adapter; `flush` is `sync`.
    pub fn io<'v>(&'v mut self, file: &'v mut File) -> FileIo<'v, 'b, F> {
        FileIo { volume: self, file }
    }
    pub fn metadata(&mut self, path: &str) -> Result<Metadata, Error> {
        Err(Error::InvalidOption)
    }
    pub fn set_modified(&mut self, path: &str, time: Timestamp) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    pub fn create_dir(&mut self, path: &str) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    /// Removes an empty directory.
    pub fn remove_dir(&mut self, path: &str) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    /// Removes a name of a file or symlink. An open file lives on until it is closed.
    pub fn remove_file(&mut self, path: &str) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    /// Atomic; replaces a file by a file or symlink, an empty directory by a directory.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    pub fn symlink(&mut self, target: &str, path: &str) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    /// The target of a symlink, in `bytes`.
    pub fn read_link<'n>(&mut self, path: &str, bytes: &'n mut [u8]) -> Result<&'n str, Error> {
        Err(Error::InvalidOption)
    }
    pub fn hard_link(&mut self, existing: &str, new: &str) -> Result<(), Error> {
        Err(Error::InvalidOption)
    }
    /// A cursor at the first entry of a directory.
    pub fn read_dir(&mut self, path: &str) -> Result<DirCursor, Error> {
        Err(Error::InvalidOption)
    }
    /// The next entry, its name in `name` (255 bytes hold every name); `None` at the end. Order: name hash.
    pub fn next_entry<'n>(
        &mut self, cursor: &mut DirCursor, name: &'n mut [u8],
    ) -> Result<Option<DirEntry<'n>>, Error> {
        Err(Error::InvalidOption)
    }
    pub fn usage(&mut self) -> Result<Usage, Error> {
        Err(Error::InvalidOption)
    }
    /// fsck: reads everything, changes nothing, reports every fault with its place.
    pub fn check(&mut self, report: impl FnMut(Fault)) -> Result<CheckSummary, Error> {
        Err(Error::InvalidOption)
    }
}

/// An open file as an `embedded-io` stream.
#[derive(Debug)]
pub struct FileIo<'v, 'b, F> {
    #[allow(dead_code)]
    volume: &'v mut Volume<'b, F>,
    #[allow(dead_code)]
    file: &'v mut File,
}
