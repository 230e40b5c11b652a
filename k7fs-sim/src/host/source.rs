//! Content on its way into a volume, with its holes.

use std::fs::File;
use std::io::{self, Read};

/// Something that content is read from.
pub trait Source: Read {
    /// How many bytes from `offset` on are a hole, which is then passed over. Asked for once before each read.
    ///
    /// # Errors
    /// Those of the host.
    fn pass_hole(&mut self, offset: u64) -> io::Result<u64> {
        let _ = offset;
        Ok(0)
    }

    /// How many bytes from `offset` on can be read before the next hole, at most `bytes_max`.
    ///
    /// # Errors
    /// Those of the host.
    fn data_bytes(&mut self, offset: u64, bytes_max: u64) -> io::Result<u64> {
        let _ = offset;
        Ok(bytes_max)
    }
}

/// Content without known holes.
#[derive(Debug)]
pub struct Plain<R>(pub R);

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl<R: Read> Source for Plain<R> {}

/// A file of the host that may have holes.
#[derive(Debug)]
pub struct Sparse {
    file: File,
    /// Where the data ends that is being read; asking again before that tells nothing new.
    data_end: u64,
}

impl Sparse {
    /// The file, from its start.
    pub fn new(file: File) -> Self {
        Self { file, data_end: 0 }
    }
}

impl Read for Sparse {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read(bytes)
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
impl Source for Sparse {
    fn pass_hole(&mut self, offset: u64) -> io::Result<u64> {
        use rustix::fs::{SeekFrom, seek};
        use rustix::io::Errno;
        if offset < self.data_end {
            return Ok(0);
        }
        let size = self.file.metadata()?.len();
        let start = match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => size.max(offset),
            // A file system that knows of no holes.
            Err(_) => offset,
        };
        self.data_end = match seek(&self.file, SeekFrom::Hole(start)) {
            Ok(end) if end > start => end,
            _ => u64::MAX,
        };
        seek(&self.file, SeekFrom::Start(start))?;
        Ok(start - offset)
    }

    fn data_bytes(&mut self, offset: u64, bytes_max: u64) -> io::Result<u64> {
        Ok(self.data_end.saturating_sub(offset).min(bytes_max))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
impl Source for Sparse {}
