//! What can go wrong between a host's files and a volume, each case with the path it concerns.

use std::io;
use std::path::{Path, PathBuf};

use k7fs_core::Error;

/// Why a host operation failed. Prints as one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostError {
    /// The host refused an operation on one of its own files.
    Io {
        /// The file or directory on the host.
        path: PathBuf,
        /// What the host said.
        error: io::Error,
    },
    /// The volume as a whole refused or failed.
    Volume {
        /// The image file, or a word for a volume that has none.
        image: PathBuf,
        /// What the volume said.
        error: Error,
    },
    /// The volume refused or failed an operation on one of its objects.
    Object {
        /// The path on the volume.
        path: String,
        /// What the volume said.
        error: Error,
    },
    /// The volume refused or failed an operation on one of its indexes.
    Index {
        /// The index's name.
        name: String,
        /// What the volume said.
        error: Error,
    },
    /// Another process writes the image, or reads it while this one wants to write.
    Locked {
        /// The image file.
        image: PathBuf,
    },
    /// A key file holds something else.
    NotAKey {
        /// The file.
        file: PathBuf,
    },
    /// The image is neither a file nor a device.
    NotAFile {
        /// What was given as an image.
        image: PathBuf,
    },
    /// The image ends before the volume does.
    Truncated {
        /// The image file.
        image: PathBuf,
        /// Bytes of the image from the volume's start.
        bytes: u64,
        /// Bytes that the signature asks for.
        needed: u64,
    },
    /// The image has another size than the chip named.
    WrongChipSize {
        /// The image file.
        image: PathBuf,
        /// The chip's name.
        chip: &'static str,
        /// Bytes of the image.
        bytes: u64,
        /// Bytes of the chip, spare areas included.
        chip_bytes: u64,
    },
    /// The volume was made for pages or blocks that the chip named does not have.
    WrongChipShape {
        /// The image file.
        image: PathBuf,
        /// The chip's name.
        chip: &'static str,
        /// What the signature says.
        volume: String,
        /// What the chip has.
        shape: String,
    },
    /// No chip has this name.
    UnknownChip {
        /// The name asked for.
        name: String,
    },
    /// `mkfs` met a volume and was not told to replace it.
    VolumeExists {
        /// The image file.
        image: PathBuf,
    },
    /// `mkfs` met a file that is neither blank nor a volume and was not told to replace it.
    DataExists {
        /// The image file.
        image: PathBuf,
    },
    /// A volume cannot grow over what lies behind it in the image.
    DataBehind {
        /// The image file.
        image: PathBuf,
    },
    /// A name on the host is not UTF-8, which a volume's names must be.
    NotUtf8 {
        /// The file on the host.
        path: PathBuf,
    },
    /// The target of a symbolic link on the host is not UTF-8.
    TargetNotUtf8 {
        /// The link on the host.
        path: PathBuf,
    },
    /// A path on the host exceeds a limit of the volume.
    PathRefused {
        /// The file on the host.
        path: PathBuf,
        /// The limit.
        error: Error,
    },
    /// A tree does not fit the volume; nothing was written.
    DoesNotFit {
        /// Bytes that the tree takes on the volume, bookkeeping included.
        tree_bytes: u64,
        /// Bytes that the volume offers to it.
        volume_bytes: u64,
    },
    /// `import --merge` met an object of one kind where the tree has another.
    KindConflict {
        /// The path on the volume.
        path: String,
    },
    /// The directory to export to has entries.
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A name read from the volume could leave the directory exported to.
    UnsafeName {
        /// The path on the volume.
        path: String,
    },
    /// The host has no symbolic links.
    NoSymlinks {
        /// The path on the volume.
        path: String,
    },
}

impl HostError {
    /// For `map_err` on a host operation.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| Self::Io { path: path.to_path_buf(), error }
    }

    /// For `map_err` on an operation on the object at `path` of a volume.
    pub fn object(path: &str) -> impl FnOnce(Error) -> Self + '_ {
        move |error| Self::Object { path: path.to_owned(), error }
    }

    /// For `map_err` on an operation on an index.
    pub fn index(name: &str) -> impl FnOnce(Error) -> Self + '_ {
        move |error| Self::Index { name: name.to_owned(), error }
    }

    /// For `map_err` on an operation on a whole volume.
    pub fn volume(image: &Path) -> impl FnOnce(Error) -> Self + '_ {
        move |error| Self::Volume { image: image.to_path_buf(), error }
    }
}

/// Makes a name printable on one line: control characters are escaped.
fn line(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { printable.extend(c.escape_default()) } else { printable.push(c) }
    }
    printable
}

impl core::fmt::Display for HostError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let host = |path: &Path| line(&path.display().to_string());
        match self {
            Self::Io { path, error } => write!(f, "{}: {}", host(path), io_text(error)),
            Self::Volume { image, error } => write!(f, "{}: {error}", host(image)),
            Self::Index { name, error } => write!(f, "index {:?}: {error}", line(name)),
            Self::Object { path, error } if path.is_empty() => write!(f, "{error}"),
            Self::Object { path, error } => write!(f, "{}: {error}", line(path)),
            Self::Locked { image } => write!(f, "{}: in use by another process", host(image)),
            Self::NotAKey { file } => {
                write!(f, "{}: not a key: 32 bytes or 64 hexadecimal digits are needed", host(file))
            }
            Self::NotAFile { image } => write!(f, "{}: not an image file", host(image)),
            Self::Truncated { image, bytes, needed } => {
                write!(f, "{}: truncated: {bytes} bytes, the volume needs {needed}", host(image))
            }
            Self::WrongChipSize { image, chip, bytes, chip_bytes } => {
                write!(f, "{}: {bytes} bytes, but a {chip} has {chip_bytes}", host(image))
            }
            Self::WrongChipShape { image, chip, volume, shape } => {
                write!(f, "{}: the volume has {volume}, but a {chip} has {shape}", host(image))
            }
            Self::UnknownChip { name } => write!(f, "{}: no such chip; `k7fs chips` lists them", line(name)),
            Self::VolumeExists { image } => {
                write!(f, "{}: holds a K7FS volume; --force replaces it", host(image))
            }
            Self::DataBehind { image } => write!(f, "{}: holds data behind the volume", host(image)),
            Self::DataExists { image } => write!(f, "{}: holds data; --force replaces it", host(image)),
            Self::NotUtf8 { path } => write!(f, "{}: the name is not UTF-8", escaped(path)),
            Self::TargetNotUtf8 { path } => write!(f, "{}: the link's target is not UTF-8", host(path)),
            Self::PathRefused { path, error } => write!(f, "{}: {error}", host(path)),
            Self::DoesNotFit { tree_bytes, volume_bytes } => {
                write!(f, "the tree needs {tree_bytes} bytes, the volume has {volume_bytes}; nothing was written")
            }
            Self::KindConflict { path } => {
                write!(
                    f,
                    "{}: the volume and the tree have objects of different kinds; --merge keeps both or none",
                    line(path)
                )
            }
            Self::NotEmpty { path } => write!(f, "{}: the directory is not empty", host(path)),
            Self::UnsafeName { path } => write!(f, "{}: not a name to create on a host", line(path)),
            Self::NoSymlinks { path } => write!(f, "{}: this host has no symbolic links", line(path)),
        }
    }
}

impl std::error::Error for HostError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::Volume { error, .. }
            | Self::Object { error, .. }
            | Self::Index { error, .. }
            | Self::PathRefused { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// The host's message without the number that `std` adds.
fn io_text(error: &io::Error) -> String {
    let text = line(&error.to_string());
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// A path whose bytes are not UTF-8, so that it can still be found: such bytes as `\xNN`.
fn escaped(path: &Path) -> String {
    path.as_os_str().as_encoded_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.push_str(&line(chunk.valid()));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
        text
    })
}
