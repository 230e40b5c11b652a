//! What can go wrong, each limit by its own name.

use crate::codec::CodecId;
use crate::flash::FlashError;

/// Why a call was refused or failed. A refused call has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// The chip refused or failed an operation, and no retry helped.
    Flash(FlashError),
    /// A page holds more errors than its code corrects; only what lies on it is lost.
    Uncorrectable {
        /// The page, counted through the volume.
        page: u32,
        /// A larger decoder may still correct it: one whose buffer has
        /// [`buffer_bytes_with`](crate::buffer_bytes_with) the full tier, such as the one that `k7fs fsck` and `k7fs export`
        /// use on an image of the chip.
        larger_decoder: bool,
    },
    /// A structure is readable but makes no sense: never produced by a sound writer.
    Corrupt {
        /// The page where it was found, counted through the volume.
        page: u32,
    },
    /// Content does not match the hash that it was stored with, although its pages read well: only this file is concerned.
    HashMismatch {
        /// The page where its record starts, counted through the volume.
        page: u32,
    },
    /// A page of an authenticated volume reads well, but nobody who had the key put it there: it was changed, moved, or brought
    /// back from an earlier time.
    Forged {
        /// The page, counted through the volume.
        page: u32,
    },
    /// The volume is an authenticated one: mounting it takes its key.
    KeyNeeded,
    /// The key is not the volume's, or somebody without it has changed the signature.
    WrongKey,
    /// A key was given for a volume that was made without one: anybody may have written what it holds.
    NotAuthenticated,
    /// The volume's last commit is older than [`MountOptions::commit_min`](crate::MountOptions::commit_min) asks for.
    RolledBack {
        /// The number of the last commit found.
        commit: u64,
    },
    /// Content is compressed with a codec that this build, or this mount, does not have.
    MissingCodec {
        /// The codec.
        codec: CodecId,
    },
    /// The volume's content hash is one that this build does not have: nothing verified can be written.
    MissingHash,
    /// Nothing but a build with this feature writes to what the path or handle leads to. It stays as it is.
    MissingFeature {
        /// The feature.
        feature: Feature,
    },
    /// The content hash finds accidents only: [`FormatOptions::force`](crate::FormatOptions::force) says that this is meant.
    WeakHash,
    /// A logical block is not a power of two from 4 KiB to 32 MiB.
    InvalidBlockSize {
        /// The size that was asked for.
        bytes: u32,
    },
    /// Sizes of chunks out of their bounds or their order: see [`ChunkSizes`](crate::ChunkSizes).
    InvalidChunkSizes {
        /// The shortest.
        min: u32,
        /// What is aimed at.
        average: u32,
        /// The longest.
        max: u32,
    },
    /// No signature of a K7FS volume was found in the chip's first blocks.
    NotAVolume,
    /// A signature is there, but damaged beyond correction.
    DamagedSignature,
    /// The volume needs features that this build does not know.
    UnknownFeature {
        /// The unknown bits of the incompatible feature set.
        bits: u64,
    },
    /// The volume was made for a chip of another shape.
    WrongGeometry {
        /// Which value differs.
        field: GeometryField,
        /// The value in the volume's signature.
        volume: u32,
        /// The value of the chip.
        chip: u32,
    },
    /// The shape of this chip cannot hold a volume.
    UnsupportedGeometry {
        /// Which value is outside the limits.
        field: GeometryField,
        /// The value of the chip.
        chip: u32,
    },
    /// The buffer given to `format` or `mount` is too small.
    BufferTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The chip is too small for a volume.
    VolumeTooSmall {
        /// Blocks needed.
        blocks_min: u32,
    },
    /// A chip that is to be formatted has no spare blocks left: as many are marked bad as the maker allows, or more.
    TooManyBadBlocks {
        /// Blocks marked bad.
        bad: u32,
        /// Blocks that may be, by the geometry.
        bad_max: u32,
    },
    /// What the volume holds does not fit so few blocks.
    ResizeTooSmall {
        /// The fewest blocks that it fits.
        blocks_min: u32,
    },
    /// The chip does not have so many blocks.
    ResizeTooLarge {
        /// Blocks of the chip.
        blocks_max: u32,
    },
    /// A name has no bytes, or a path is empty.
    NameEmpty,
    /// A name is longer than 255 bytes.
    NameTooLong,
    /// A name contains `/` or NUL, or is `.` or `..`.
    NameInvalid,
    /// A path is longer than [`crate::PATH_BYTES_MAX`].
    PathTooLong,
    /// A directory would lie deeper than [`crate::DEPTH_MAX`].
    PathTooDeep,
    /// No object has this path.
    NotFound,
    /// An object with this path exists already.
    AlreadyExists,
    /// A part of the path, or the object, is not a directory.
    NotADirectory,
    /// The object is a directory.
    IsADirectory,
    /// The object is a symbolic link, which the core does not follow.
    IsASymlink,
    /// The object is not a symbolic link.
    NotASymlink,
    /// The object is a FIFO, a socket or a device, which has no content.
    IsSpecial,
    /// The object is not a device.
    NotADevice,
    /// The object has no attribute of this name.
    NoSuchAttribute,
    /// An attribute's name has no bytes.
    AttributeNameEmpty,
    /// An attribute's name is longer than [`crate::ATTRIBUTE_NAME_BYTES_MAX`].
    AttributeNameTooLong,
    /// An attribute's value is longer than [`crate::ATTRIBUTE_BYTES_MAX`].
    AttributeTooLarge,
    /// The attribute's name begins with `k7fs.`: such attributes are written by calls of their own.
    ReservedAttribute,
    /// The directory still has entries.
    DirectoryNotEmpty,
    /// A directory cannot be moved below itself.
    RenameIntoItself,
    /// Offset plus length exceeds 64 bits, or a seek goes below zero.
    OffsetOverflow,
    /// The file would exceed [`crate::FILE_SIZE_MAX`].
    FileTooLarge,
    /// The object has [`crate::LINKS_MAX`] names already.
    TooManyLinks,
    /// The directory has as many entries as one may have.
    DirectoryFull {
        /// Entries of a directory, at most: [`crate::ENTRIES_MAX`].
        entries_max: u32,
    },
    /// The caller's buffer cannot hold the whole result.
    ResultTooLarge {
        /// Bytes needed.
        needed: u64,
    },
    /// The volume, or the handle, is open for reading only.
    ReadOnly,
    /// The handle was opened for writing only.
    WriteOnly,
    /// The volume is full. Nothing was changed; deleting works.
    NoSpace,
    /// [`crate::OPEN_FILES_MAX`] files are open.
    TooManyOpenFiles,
    /// The object is in use by an open handle or a running transaction.
    Busy,
    /// The handle was closed, or its file was created by a transaction that was rolled back.
    StaleHandle,
    /// The chip has run out of good blocks; the volume is read-only from now on.
    WornOut,
    /// A counter of the format has reached its end.
    Exhausted,
    /// An earlier failure left the state in memory unsure; the state on flash is sound. Mount again.
    NeedsRemount,
    /// An option's value is outside its bounds.
    InvalidOption,
    /// No index has this name; it may have been trimmed.
    IndexNotFound,
    /// An index with this name exists already.
    IndexExists,
    /// The index is the one that is worked on, or the one that a mount begins with.
    IndexInUse,
    /// The index may be written to; only a snapshot stays as it is.
    IndexIsWritable,
    /// More branches have left the index's line of descent than this build keeps in mind.
    TooManyIndexes,
}

/// What this crate can be built without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Feature {
    /// Content that several files have.
    Sharing,
}

impl Feature {
    /// Its name in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Feature::Sharing => "sharing",
        }
    }
}

/// A value of a chip's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum GeometryField {
    /// Data bytes of a page.
    PageSize,
    /// Spare bytes of a page.
    SpareSize,
    /// Pages in a block.
    PagesPerBlock,
    /// Blocks in the volume.
    BlockCount,
}

/// The same among the floors themselves.
pub(crate) mod inner {
    use super::Feature;
    use crate::codec::CodecId;
    use crate::flash::FlashError;

    /// As [`super::Error`], without those that have more to tell than one number.
    ///
    /// A variant's content is one word or nothing, so that a result without a value comes back in two registers: passing
    /// errors on is what the floors do most.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Error {
        Flash(FlashError),
        Uncorrectable {
            page: u32,
        },
        /// As `Uncorrectable`, for this decoder.
        BeyondSmallDecoder {
            page: u32,
        },
        Corrupt {
            page: u32,
        },
        HashMismatch {
            page: u32,
        },
        Forged {
            page: u32,
        },
        MissingCodec {
            codec: CodecId,
        },
        MissingHash,
        MissingFeature {
            feature: Feature,
        },
        DamagedSignature,
        VolumeTooSmall {
            blocks_min: u32,
        },
        /// Numbers of blocks, which half a word holds.
        TooManyBadBlocks {
            bad: u16,
            bad_max: u16,
        },
        NameEmpty,
        NameTooLong,
        NameInvalid,
        PathTooLong,
        PathTooDeep,
        NotFound,
        AlreadyExists,
        NotADirectory,
        IsADirectory,
        IsASymlink,
        IsSpecial,
        NoSuchAttribute,
        AttributeNameEmpty,
        AttributeNameTooLong,
        AttributeTooLarge,
        DirectoryFull,
        RenameIntoItself,
        OffsetOverflow,
        FileTooLarge,
        ReadOnly,
        NoSpace,
        /// Space ran out half way: what is in memory may differ from what is on the chip.
        Stuck,
        Busy,
        StaleHandle,
        WornOut,
        Exhausted,
        NeedsRemount,
        InvalidOption,
        TooManyIndexes,
    }

    const _: () = assert!(size_of::<Result<(), Error>>() == 8);

    impl Error {
        /// Whether it says that something on the chip cannot be read: other things still may.
        pub(crate) fn is_damage(self) -> bool {
            self.is_unreadable() || matches!(self, Error::Corrupt { .. } | Error::HashMismatch { .. })
        }

        /// Whether a page tells nothing: it is damaged, or not what it should be by now.
        pub(crate) fn is_useless(self) -> bool {
            self.is_damage() || matches!(self, Error::Forged { .. })
        }

        /// Whether a page holds more errors than were corrected.
        pub(crate) fn is_unreadable(self) -> bool {
            matches!(self, Error::Uncorrectable { .. } | Error::BeyondSmallDecoder { .. })
        }
    }

    impl From<FlashError> for Error {
        fn from(error: FlashError) -> Self {
            Error::Flash(error)
        }
    }
}

impl From<inner::Error> for Error {
    #[inline(never)]
    fn from(error: inner::Error) -> Self {
        match error {
            inner::Error::Flash(error) => Error::Flash(error),
            inner::Error::Uncorrectable { page } => Error::Uncorrectable { page, larger_decoder: false },
            inner::Error::BeyondSmallDecoder { page } => Error::Uncorrectable { page, larger_decoder: true },
            inner::Error::Corrupt { page } => Error::Corrupt { page },
            inner::Error::HashMismatch { page } => Error::HashMismatch { page },
            inner::Error::Forged { page } => Error::Forged { page },
            inner::Error::MissingCodec { codec } => Error::MissingCodec { codec },
            inner::Error::MissingHash => Error::MissingHash,
            inner::Error::MissingFeature { feature } => Error::MissingFeature { feature },
            inner::Error::DamagedSignature => Error::DamagedSignature,
            inner::Error::VolumeTooSmall { blocks_min } => Error::VolumeTooSmall { blocks_min },
            inner::Error::TooManyBadBlocks { bad, bad_max } => {
                Error::TooManyBadBlocks { bad: bad.into(), bad_max: bad_max.into() }
            }
            inner::Error::NameEmpty => Error::NameEmpty,
            inner::Error::NameTooLong => Error::NameTooLong,
            inner::Error::NameInvalid => Error::NameInvalid,
            inner::Error::PathTooLong => Error::PathTooLong,
            inner::Error::PathTooDeep => Error::PathTooDeep,
            inner::Error::NotFound => Error::NotFound,
            inner::Error::AlreadyExists => Error::AlreadyExists,
            inner::Error::NotADirectory => Error::NotADirectory,
            inner::Error::IsADirectory => Error::IsADirectory,
            inner::Error::IsASymlink => Error::IsASymlink,
            inner::Error::IsSpecial => Error::IsSpecial,
            inner::Error::NoSuchAttribute => Error::NoSuchAttribute,
            inner::Error::AttributeNameEmpty => Error::AttributeNameEmpty,
            inner::Error::AttributeNameTooLong => Error::AttributeNameTooLong,
            inner::Error::AttributeTooLarge => Error::AttributeTooLarge,
            inner::Error::DirectoryFull => Error::DirectoryFull { entries_max: crate::ENTRIES_MAX },
            inner::Error::RenameIntoItself => Error::RenameIntoItself,
            inner::Error::OffsetOverflow => Error::OffsetOverflow,
            inner::Error::FileTooLarge => Error::FileTooLarge,
            inner::Error::ReadOnly => Error::ReadOnly,
            inner::Error::NoSpace | inner::Error::Stuck => Error::NoSpace,
            inner::Error::Busy => Error::Busy,
            inner::Error::StaleHandle => Error::StaleHandle,
            inner::Error::WornOut => Error::WornOut,
            inner::Error::Exhausted => Error::Exhausted,
            inner::Error::NeedsRemount => Error::NeedsRemount,
            inner::Error::InvalidOption => Error::InvalidOption,
            inner::Error::TooManyIndexes => Error::TooManyIndexes,
        }
    }
}

impl From<FlashError> for Error {
    fn from(error: FlashError) -> Self {
        Error::Flash(error)
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Error::Flash(error) => write!(f, "the chip failed: {error:?}"),
            Error::Uncorrectable { page, larger_decoder: false } => {
                write!(f, "page {page} is damaged beyond correction")
            }
            Error::Uncorrectable { page, larger_decoder: true } => {
                write!(f, "page {page} is damaged beyond what this decoder corrects; a larger one may")
            }
            Error::Corrupt { page } => write!(f, "page {page} holds an impossible structure"),
            Error::HashMismatch { page } => write!(f, "the content stored from page {page} on does not match its hash"),
            Error::Forged { page } => {
                write!(f, "page {page} is not what was written there with the volume's key, or is from an earlier time")
            }
            Error::KeyNeeded => f.write_str("the volume is an authenticated one: its key is needed"),
            Error::WrongKey => f.write_str("the key is not the volume's, or the signature was changed without it"),
            Error::NotAuthenticated => f.write_str("a key was given, but the volume was made without one"),
            Error::RolledBack { commit } => {
                write!(f, "the volume's last commit is number {commit}, older than the least one asked for")
            }
            Error::MissingCodec { codec } => write!(f, "the codec {} is missing in this build", codec.name()),
            Error::MissingHash => f.write_str("the volume's content hash is missing in this build"),
            Error::MissingFeature { feature } => write!(f, "the feature {} is missing in this build", feature.name()),
            Error::WeakHash => f.write_str("the content hash xxh3-64 finds accidents only; it has to be forced"),
            Error::InvalidBlockSize { bytes } => {
                write!(f, "a logical block of {bytes} bytes is not a power of two from 4 KiB to 32 MiB")
            }
            Error::InvalidChunkSizes { min, average, max } => {
                write!(
                    f,
                    "chunks of {min} to {max} bytes, {average} on average: 64 <= MIN <= AVERAGE <= MAX <= 16777216 is needed, \
                     MIN at most 1048576, AVERAGE from 256 to 4194304, MAX at least 1024"
                )
            }
            Error::NotAVolume => f.write_str("not a K7FS volume"),
            Error::DamagedSignature => f.write_str("the volume's signature is damaged"),
            Error::UnknownFeature { bits } => write!(f, "the volume needs unknown features {bits:#x}"),
            Error::WrongGeometry { field, volume, chip } => {
                write!(f, "the volume has {field:?} {volume}, the chip {chip}")
            }
            Error::UnsupportedGeometry { field, chip } => write!(f, "{field:?} {chip} is not supported"),
            Error::BufferTooSmall { needed, given } => write!(f, "the buffer has {given} bytes, {needed} are needed"),
            Error::VolumeTooSmall { blocks_min } => write!(f, "a volume needs at least {blocks_min} blocks"),
            Error::TooManyBadBlocks { bad, bad_max } => {
                write!(f, "{bad} blocks are marked bad, of {bad_max} that may go bad in all: none is left to spare")
            }
            Error::ResizeTooSmall { blocks_min } => {
                write!(f, "what the volume holds takes at least {blocks_min} blocks")
            }
            Error::ResizeTooLarge { blocks_max } => write!(f, "the chip has only {blocks_max} blocks"),
            Error::NameEmpty => f.write_str("the name is empty"),
            Error::NameTooLong => f.write_str("the name is longer than 255 bytes"),
            Error::NameInvalid => f.write_str("the name contains '/' or NUL, or is '.' or '..'"),
            Error::PathTooLong => f.write_str("the path is too long"),
            Error::PathTooDeep => f.write_str("the path is too deep"),
            Error::NotFound => f.write_str("not found"),
            Error::AlreadyExists => f.write_str("exists already"),
            Error::NotADirectory => f.write_str("not a directory"),
            Error::IsADirectory => f.write_str("is a directory"),
            Error::IsASymlink => f.write_str("is a symbolic link"),
            Error::NotASymlink => f.write_str("not a symbolic link"),
            Error::IsSpecial => f.write_str("is a FIFO, a socket or a device"),
            Error::NotADevice => f.write_str("not a device"),
            Error::NoSuchAttribute => f.write_str("no such attribute"),
            Error::AttributeNameEmpty => f.write_str("the attribute's name is empty"),
            Error::AttributeNameTooLong => f.write_str("the attribute's name is longer than 255 bytes"),
            Error::AttributeTooLarge => f.write_str("the attribute's value is longer than 64 KiB"),
            Error::ReservedAttribute => f.write_str("attributes whose names begin with k7fs. are reserved"),
            Error::DirectoryNotEmpty => f.write_str("the directory is not empty"),
            Error::RenameIntoItself => f.write_str("a directory cannot be moved below itself"),
            Error::OffsetOverflow => f.write_str("the offset is out of range"),
            Error::FileTooLarge => f.write_str("the file is too large"),
            Error::TooManyLinks => f.write_str("too many links"),
            Error::DirectoryFull { entries_max } => {
                write!(f, "the directory has {entries_max} entries, which is the most")
            }
            Error::ResultTooLarge { needed } => write!(f, "the result needs {needed} bytes"),
            Error::ReadOnly => f.write_str("read-only"),
            Error::WriteOnly => f.write_str("the handle is write-only"),
            Error::NoSpace => f.write_str("no space left on the volume"),
            Error::TooManyOpenFiles => f.write_str("too many open files"),
            Error::Busy => f.write_str("busy"),
            Error::StaleHandle => f.write_str("the handle is stale"),
            Error::WornOut => f.write_str("the chip is worn out; the volume is read-only"),
            Error::Exhausted => f.write_str("a counter of the format has reached its end"),
            Error::NeedsRemount => f.write_str("the volume must be mounted again"),
            Error::InvalidOption => f.write_str("an option is outside its bounds"),
            Error::IndexNotFound => f.write_str("no such index; it may have been trimmed"),
            Error::IndexExists => f.write_str("an index has this name already"),
            Error::IndexInUse => f.write_str("the index is the current or the default one"),
            Error::IndexIsWritable => f.write_str("the index may be written to: only a snapshot stays as it is"),
            Error::TooManyIndexes => {
                f.write_str("more branches have left the line of descent than this build keeps in mind")
            }
        }
    }
}

impl core::error::Error for Error {}

impl embedded_io::Error for Error {
    fn kind(&self) -> embedded_io::ErrorKind {
        use embedded_io::ErrorKind;
        match self {
            Error::NotFound | Error::NoSuchAttribute => ErrorKind::NotFound,
            Error::AlreadyExists => ErrorKind::AlreadyExists,
            Error::ReadOnly | Error::WriteOnly | Error::KeyNeeded | Error::WrongKey => ErrorKind::PermissionDenied,
            Error::NoSpace => ErrorKind::OutOfMemory,
            Error::OffsetOverflow
            | Error::InvalidOption
            | Error::WeakHash
            | Error::InvalidBlockSize { .. }
            | Error::InvalidChunkSizes { .. } => ErrorKind::InvalidInput,
            Error::Uncorrectable { .. }
            | Error::Corrupt { .. }
            | Error::HashMismatch { .. }
            | Error::Forged { .. }
            | Error::RolledBack { .. } => ErrorKind::InvalidData,
            Error::MissingCodec { .. } | Error::MissingHash | Error::MissingFeature { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Other,
        }
    }
}
