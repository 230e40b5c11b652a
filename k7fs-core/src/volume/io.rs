//! An open file as an `embedded-io` stream.

use embedded_io::{ErrorType, Read, Seek, SeekFrom, Write};

use super::Volume;
use super::types::File;
use crate::error::Error;
use crate::flash::Flash;

/// An open file as an `embedded-io` stream; see [`Volume::io`].
#[derive(Debug)]
pub struct FileIo<'v, 'b, F> {
    volume: &'v mut Volume<'b, F>,
    file: &'v mut File,
}

impl<'b, F: Flash> Volume<'b, F> {
    /// Lends an open file as an `embedded-io` `Read + Write + Seek` stream at the handle's position.
    ///
    /// `flush` is [`Self::sync`]. A handle opened for appending writes at the file's end wherever it stands.
    pub fn io<'v>(&'v mut self, file: &'v mut File) -> FileIo<'v, 'b, F> {
        FileIo { volume: self, file }
    }
}

impl<F> ErrorType for FileIo<'_, '_, F> {
    type Error = Error;
}

impl<F: Flash> Read for FileIo<'_, '_, F> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Error> {
        let len = self.volume.read_at(self.file, self.file.position, bytes)?;
        self.file.position += len as u64;
        Ok(len)
    }
}

impl<F: Flash> Write for FileIo<'_, '_, F> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let at = if self.file.append { self.volume.file_metadata(self.file)?.size } else { self.file.position };
        self.volume.write_at(self.file, at, bytes)?;
        self.file.position = at + bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.volume.sync()
    }
}

impl<F: Flash> Seek for FileIo<'_, '_, F> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Error> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(delta) => self.file.position.checked_add_signed(delta),
            SeekFrom::End(delta) => self.volume.file_metadata(self.file)?.size.checked_add_signed(delta),
        };
        self.file.position = position.ok_or(Error::OffsetOverflow)?;
        Ok(self.file.position)
    }
}
