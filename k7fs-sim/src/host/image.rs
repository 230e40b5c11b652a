//! Image files: the raw content of a chip, used in place as a volume's flash.
//!
//! NOR images are the chip's bytes; NAND images each page's data followed by its spare area, in order. Nothing lies
//! beside them. A command works on the image itself, page by page, as firmware works on the chip: a command that is
//! killed leaves what a power cut leaves, and the next mount recovers it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use k7fs_core::flash::{Flash, FlashError, Geometry};

use super::error::HostError;
use super::positioned::{read_at, write_at};

/// Bytes of the factory's bad-block mark, at the start of the spare area of a block's first page.
const MARK_BYTES: usize = 2;
/// A mark with fewer zero bits than this in its first byte is a flipped bit, not a mark.
const MARK_ZERO_BITS_MIN: u32 = 4;

/// What a command wants to do with an image; decides the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads; others may read at the same time.
    Read,
    /// Reads and writes; nobody else may use the image meanwhile.
    Write,
}

/// An image file that is open and locked until it is dropped.
#[derive(Debug)]
pub struct Image {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl Image {
    /// Opens and locks an image.
    ///
    /// # Errors
    /// `Io` where the host refuses, `Locked` where another process is in the way, `NotAFile` for directories and the
    /// like.
    pub fn open(path: &Path, access: Access) -> Result<Self, HostError> {
        let metadata = path.metadata().map_err(HostError::io(path))?;
        if metadata.is_dir() {
            return Err(HostError::NotAFile { image: path.to_path_buf() });
        }
        let write = access == Access::Write;
        let file = OpenOptions::new().read(true).write(write).open(path).map_err(HostError::io(path))?;
        Self::lock(file, path, access)
    }

    /// Opens and locks an image for writing; makes an empty one where there is none.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open_or_create(path: &Path) -> Result<Self, HostError> {
        if path.is_dir() {
            return Err(HostError::NotAFile { image: path.to_path_buf() });
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(HostError::io(path))?;
        Self::lock(file, path, Access::Write)
    }

    fn lock(file: File, path: &Path, access: Access) -> Result<Self, HostError> {
        let locked = match access {
            Access::Read => file.try_lock_shared(),
            Access::Write => file.try_lock(),
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(HostError::Locked { image: path.to_path_buf() }),
            // A host or file system without locks still has readable images.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(HostError::io(path)(error)),
        }
        let metadata = file.metadata().map_err(HostError::io(path))?;
        let bytes =
            if metadata.is_file() { metadata.len() } else { device_bytes(&file).map_err(HostError::io(path))? };
        Ok(Self { file, path: path.to_path_buf(), bytes })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the image.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether `bytes` from the start are all `value`.
    ///
    /// # Errors
    /// `Io`.
    pub fn is_filled_with(&self, value: u8) -> Result<bool, HostError> {
        self.is_filled(0, value)
    }

    fn is_filled(&self, start: u64, value: u8) -> Result<bool, HostError> {
        let mut chunk = vec![0; 1 << 20];
        let mut offset = start;
        while offset < self.bytes {
            let length = usize::try_from(self.bytes - offset).unwrap_or(usize::MAX).min(chunk.len());
            read_at(&self.file, offset, &mut chunk[..length]).map_err(HostError::io(&self.path))?;
            if chunk[..length].iter().any(|&byte| byte != value) {
                return Ok(false);
            }
            offset += length as u64;
        }
        Ok(true)
    }

    /// Whether all bytes from one on are erased.
    ///
    /// # Errors
    /// `Io`.
    pub fn is_erased_from(&self, start: u64) -> Result<bool, HostError> {
        self.is_filled(start, 0xff)
    }

    /// Makes the image an erased chip of `bytes` bytes.
    ///
    /// # Errors
    /// `Io`.
    pub fn erase_all(&mut self, bytes: u64) -> Result<(), HostError> {
        self.file.set_len(bytes).map_err(HostError::io(&self.path))?;
        self.bytes = bytes;
        let chunk = vec![0xff; 1 << 20];
        let mut offset = 0;
        while offset < bytes {
            let length = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(chunk.len());
            write_at(&self.file, offset, &chunk[..length]).map_err(HostError::io(&self.path))?;
            offset += length as u64;
        }
        Ok(())
    }

    /// Cuts the image off, or makes it longer by erased bytes.
    ///
    /// # Errors
    /// `Io`.
    pub fn set_bytes(&mut self, bytes: u64) -> Result<(), HostError> {
        let erased = vec![0xff; 1 << 20];
        let mut offset = self.bytes;
        while offset < bytes {
            let length = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(erased.len());
            write_at(&self.file, offset, &erased[..length]).map_err(HostError::io(&self.path))?;
            offset += length as u64;
        }
        self.file.set_len(bytes).map_err(HostError::io(&self.path))?;
        self.bytes = bytes;
        Ok(())
    }

    /// Waits until everything written is on the host's disk.
    ///
    /// # Errors
    /// `Io`.
    pub fn sync(&self) -> Result<(), HostError> {
        self.file.sync_all().map_err(HostError::io(&self.path))
    }
}

/// Bytes of a block device, whose metadata does not tell.
fn device_bytes(file: &File) -> io::Result<u64> {
    use std::io::{Seek, SeekFrom};
    let mut file = file;
    file.seek(SeekFrom::End(0))
}

/// The part of an image that holds a volume, as the core's flash.
#[derive(Debug)]
pub struct ImageFlash {
    image: Image,
    offset: u64,
    geometry: Geometry,
    /// The host's own error behind the last `FlashError::Other`, which has no place for it.
    host_error: Option<io::Error>,
}

impl ImageFlash {
    /// Takes `geometry`'s bytes from `offset` of the image, or the whole blocks that there are.
    pub fn shortened(image: Image, offset: u64, geometry: Geometry) -> Self {
        let mut flash = Self { image, offset, geometry, host_error: None };
        flash.set_blocks(geometry.block_count);
        flash
    }

    /// Takes `geometry`'s bytes from `offset` of the image.
    ///
    /// # Errors
    /// `Truncated` where the image ends before.
    pub fn new(image: Image, offset: u64, geometry: Geometry) -> Result<Self, HostError> {
        let needed = volume_bytes(&geometry);
        let bytes = image.bytes.saturating_sub(offset);
        if bytes < needed {
            return Err(HostError::Truncated { image: image.path.clone(), bytes, needed });
        }
        Ok(Self { image, offset, geometry, host_error: None })
    }

    /// The image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The image, to make it longer or shorter.
    pub fn image_mut(&mut self) -> &mut Image {
        &mut self.image
    }

    /// The byte of the image where the volume begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whole blocks from there to the end of the image.
    pub fn blocks_in_image(&self) -> u32 {
        let one = volume_bytes(&Geometry { block_count: 1, ..self.geometry }).max(1);
        u32::try_from(self.image.bytes.saturating_sub(self.offset) / one).unwrap_or(u32::MAX)
    }

    /// Shows so many blocks, at most those in the image.
    pub fn set_blocks(&mut self, blocks: u32) {
        self.geometry.block_count = blocks.min(self.blocks_in_image());
    }

    /// The host's error behind the last failure, if the host caused it.
    pub fn take_host_error(&mut self) -> Option<io::Error> {
        self.host_error.take()
    }

    fn place(&self, page: u32, column: usize, length: usize) -> Result<u64, FlashError> {
        let raw = self.geometry.raw_page_size();
        if page >= self.geometry.page_count() || column > raw || length > raw - column {
            return Err(FlashError::OutOfBounds);
        }
        Ok(self.offset + u64::from(page) * raw as u64 + column as u64)
    }

    fn keep(&mut self, result: io::Result<()>) -> Result<(), FlashError> {
        result.map_err(|error| {
            self.host_error = Some(error);
            FlashError::Other
        })
    }
}

impl Flash for ImageFlash {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError> {
        let place = self.place(page, column, bytes.len())?;
        let result = read_at(&self.image.file, place, bytes);
        self.keep(result)
    }

    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError> {
        if bytes.len() != self.geometry.raw_page_size() {
            return Err(FlashError::NotAligned);
        }
        let place = self.place(page, 0, bytes.len())?;
        let result = write_at(&self.image.file, place, bytes);
        self.keep(result)
    }

    fn erase(&mut self, block: u32) -> Result<(), FlashError> {
        let page = block.checked_mul(self.geometry.pages_per_block).ok_or(FlashError::OutOfBounds)?;
        let place = self.place(page, 0, 0)?;
        let erased = vec![0xff; self.geometry.raw_page_size() * self.geometry.pages_per_block as usize];
        let result = write_at(&self.image.file, place, &erased);
        self.keep(result)
    }

    fn is_bad(&mut self, block: u32) -> Result<bool, FlashError> {
        if !self.geometry.is_nand() {
            return Ok(false);
        }
        let page = block.checked_mul(self.geometry.pages_per_block).ok_or(FlashError::OutOfBounds)?;
        let mut mark = [0xff];
        self.read(page, self.geometry.page_size as usize, &mut mark)?;
        Ok(mark[0].count_zeros() >= MARK_ZERO_BITS_MIN)
    }

    fn mark_bad(&mut self, block: u32) -> Result<(), FlashError> {
        if !self.geometry.is_nand() {
            return Ok(());
        }
        let page = block.checked_mul(self.geometry.pages_per_block).ok_or(FlashError::OutOfBounds)?;
        let place = self.place(page, self.geometry.page_size as usize, MARK_BYTES)?;
        let result = write_at(&self.image.file, place, &[0; MARK_BYTES]);
        self.keep(result)
    }

    fn verifies_by_reading(&self) -> bool {
        !self.geometry.is_nand()
    }
}

/// Bytes of an image that holds a volume of this shape, spare areas included.
pub fn volume_bytes(geometry: &Geometry) -> u64 {
    u64::from(geometry.block_count) * u64::from(geometry.pages_per_block) * geometry.raw_page_size() as u64
}
