//! Images: the raw chip as a file. NOR bytes; NAND page then spare, in order; nothing else.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::cells::is_erased;
use super::{Chip, ChipSpec};

/// Why an image could not be loaded or saved.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImageError {
    /// The image does not have the size of the chip.
    Size {
        /// The file; `None` where the image was not a file.
        path: Option<PathBuf>,
        /// The chip that it was taken for.
        chip: &'static str,
        /// Bytes of an image of that chip.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The file could not be read or written.
    Io {
        /// The file; `None` where the image was not a file.
        path: Option<PathBuf>,
        /// What the system said.
        error: io::Error,
    },
}

impl ImageError {
    fn at(self, place: &Path) -> Self {
        match self {
            Self::Size { chip, expected, found, .. } => Self::Size { path: Some(place.into()), chip, expected, found },
            Self::Io { error, .. } => Self::Io { path: Some(place.into()), error },
        }
    }
}

impl From<io::Error> for ImageError {
    fn from(error: io::Error) -> Self {
        Self::Io { path: None, error }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Size { path, .. } | Self::Io { path, .. }) = self;
        match path {
            Some(path) => write!(f, "image {}: ", path.display())?,
            None => f.write_str("image: ")?,
        }
        match self {
            Self::Size { chip, expected, found, .. } => {
                let verdict = if found < expected { "truncated" } else { "too long" };
                write!(f, "{verdict} for {chip}: {found} bytes instead of {expected}")
            }
            Self::Io { error, .. } => error.fmt(f),
        }
    }
}

impl std::error::Error for ImageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::Size { .. } => None,
        }
    }
}

impl Chip {
    /// A chip holding the image in memory.
    ///
    /// # Errors
    /// `Size` where the image is not exactly as large as the chip with its spare areas.
    pub fn from_bytes(spec: &ChipSpec, image: &[u8]) -> Result<Self, ImageError> {
        Self::read_image(spec, image, image.len() as u64)
    }

    /// A chip holding the image that `source` gives, which is `length` bytes long. Its seed is 0.
    ///
    /// # Errors
    /// `Size` as for [`from_bytes`](Self::from_bytes), `Io` from the source.
    pub fn read_image(spec: &ChipSpec, mut source: impl Read, length: u64) -> Result<Self, ImageError> {
        let expected = spec.image_size();
        if length != expected {
            return Err(ImageError::Size { path: None, chip: spec.name, expected, found: length });
        }
        let mut chip = Self::blank(spec, 0);
        let mut bytes = vec![0; spec.page_bytes() as usize];
        let pages_per_block = spec.pages_per_block();
        for page in 0..pages_per_block * spec.block_count() {
            source.read_exact(&mut bytes)?;
            if is_erased(&bytes) {
                continue;
            }
            chip.cells.edit(page, |cells| {
                cells.data.copy_from_slice(&bytes);
                cells.programs = 1;
            });
            chip.cells.block_mut(page / pages_per_block).highest = Some(page % pages_per_block);
        }
        Ok(chip)
    }

    /// A chip holding the image file. Its seed is 0.
    ///
    /// # Errors
    /// `Size` where the file is not exactly as large as the chip with its spare areas, `Io` where it cannot be read.
    pub fn load_image(spec: &ChipSpec, path: impl AsRef<Path>) -> Result<Self, ImageError> {
        let path = path.as_ref();
        let load = || {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            Self::read_image(spec, BufReader::with_capacity(1 << 20, file), length)
        };
        load().map_err(|error: ImageError| error.at(path))
    }

    /// Writes the image. Weak bits give the value that is stored.
    ///
    /// # Errors
    /// What `sink` says.
    pub fn write_image(&self, mut sink: impl Write) -> io::Result<()> {
        let erased = vec![0xFF; self.spec.page_bytes() as usize];
        for page in 0..self.spec.pages_per_block() * self.spec.block_count() {
            sink.write_all(self.cells.page(page).map_or(&erased, |cells| &cells.data))?;
        }
        sink.flush()
    }

    /// Writes the image file, over an existing one.
    ///
    /// # Errors
    /// `Io` where the file cannot be written.
    pub fn save_image(&self, path: impl AsRef<Path>) -> Result<(), ImageError> {
        let path = path.as_ref();
        let save = || self.write_image(BufWriter::with_capacity(1 << 20, File::create(path)?));
        save().map_err(|error| ImageError::from(error).at(path))
    }

    /// The image in memory.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut image = Vec::with_capacity(self.spec.image_size() as usize);
        // Writing to memory does not fail.
        let _ = self.write_image(&mut image);
        image
    }
}
