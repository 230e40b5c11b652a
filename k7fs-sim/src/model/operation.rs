//! What can be asked of a volume, and what it may answer.

use std::fmt;
use std::sync::Arc;

use k7fs_core::{CodecId, Device, Error, Kind, Timestamp};

use super::Random;

/// Every second seed from here on gives content that repeats itself, which codecs make something of.
const REPETITIVE_FROM: u64 = 100;
/// How often it does.
const REPEATS: u64 = 12;

/// Bytes to write, named so briefly that a failing sequence can be read and replayed.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// `length` bytes that depend only on `seed`.
    Seeded {
        /// Two contents of the same length differ where their seeds do.
        seed: u64,
        /// Bytes.
        length: u32,
    },
    /// These bytes.
    Bytes(Arc<[u8]>),
}

impl Content {
    /// `length` bytes that depend only on `seed`.
    pub fn seeded(seed: u64, length: u32) -> Self {
        Content::Seeded { seed, length }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        match self {
            Content::Seeded { length, .. } => *length as usize,
            Content::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes themselves.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Content::Seeded { seed, length } => {
                let mut random = Random::new(seed ^ 0x6b37_6673_6461_7461);
                let mut bytes = vec![0; *length as usize];
                let repeats = *seed >= REPETITIVE_FROM && seed % 2 == 1;
                let mut value = random.next_u64().to_le_bytes();
                for (index, chunk) in bytes.chunks_mut(8).enumerate() {
                    if index > 0 && (!repeats || random.below(REPEATS) == 0) {
                        value = random.next_u64().to_le_bytes();
                    }
                    chunk.copy_from_slice(&value[..chunk.len()]);
                }
                bytes
            }
            Content::Bytes(bytes) => bytes.to_vec(),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Seeded { seed, length } => write!(f, "Content::seeded({seed}, {length})"),
            Content::Bytes(bytes) => write!(f, "<{} bytes>", bytes.len()),
        }
    }
}

/// How a slot's file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Reading an existing file.
    Read,
    /// Reading and writing, created where missing.
    ReadWrite,
    /// Reading and writing, emptied or created.
    Truncate,
    /// Reading and writing, and it must not exist.
    CreateNew,
    /// Writing at the end only, created where missing.
    Append,
}

/// One request. Paths are absolute; slots are the test's own numbers for open files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the arguments of the volume's calls of the same name")]
pub enum Operation {
    /// Replaces or creates a whole file.
    Write {
        path: String,
        content: Content,
    },
    /// Reads a whole file.
    Read {
        path: String,
    },
    /// Opens (creating), writes at an offset, closes.
    Update {
        path: String,
        offset: u64,
        content: Content,
    },
    /// Opens for appending (creating), writes through `embedded-io`, closes.
    Append {
        path: String,
        content: Content,
    },
    /// Opens for appending (creating), appends the content as a chunk, or refers to one that has it already, closes.
    AppendChunk {
        path: String,
        content: Content,
    },
    /// Makes a file a copy of another.
    Copy {
        from: String,
        to: String,
    },
    /// Makes two files with the same content share it.
    Deduplicate {
        first: String,
        second: String,
    },
    /// Opens, cuts off or extends with a hole, closes.
    Resize {
        path: String,
        length: u64,
    },
    /// Creates an empty file that must not exist.
    Create {
        path: String,
    },
    /// Opens a file into a slot; skipped where the slot is taken.
    Open {
        slot: usize,
        path: String,
        mode: OpenMode,
    },
    /// Writes through a slot; skipped where it is free, as for all that follow.
    WriteAt {
        slot: usize,
        offset: u64,
        content: Content,
    },
    /// Reads through a slot.
    ReadAt {
        slot: usize,
        offset: u64,
        length: u32,
    },
    /// Cuts off or extends through a slot.
    SetLength {
        slot: usize,
        length: u64,
    },
    /// Size and link count through a slot.
    FileMetadata {
        slot: usize,
    },
    /// Closes a slot.
    Close {
        slot: usize,
    },
    CreateDirectory {
        path: String,
    },
    RemoveDirectory {
        path: String,
    },
    RemoveFile {
        path: String,
    },
    /// Removes a directory with everything below it.
    RemoveTree {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Symlink {
        target: String,
        path: String,
    },
    ReadLink {
        path: String,
    },
    HardLink {
        existing: String,
        new: String,
    },
    Metadata {
        path: String,
    },
    /// Creates a FIFO, a socket or a device.
    CreateSpecial {
        path: String,
        kind: Kind,
        device: Device,
    },
    SetAttribute {
        path: String,
        name: String,
        content: Content,
    },
    RemoveAttribute {
        path: String,
        name: String,
    },
    /// Reads an attribute.
    Attribute {
        path: String,
        name: String,
    },
    /// Lists an object's attributes.
    Attributes {
        path: String,
    },
    /// Sets an object's named stream.
    SetStream {
        path: String,
        stream: String,
        content: Content,
    },
    /// Changes what POSIX sees of an object, but for its other times.
    SetPosix {
        path: String,
        mode: u16,
        uid: u32,
        gid: u32,
        accessed: Option<Timestamp>,
    },
    /// Changes NT's attributes of an object.
    SetNt {
        path: String,
        attributes: u32,
    },
    SetShortName {
        path: String,
        name: String,
    },
    /// Chooses an object's codec.
    ChooseCodec {
        path: String,
        codec: Option<CodecId>,
    },
    /// Lists a directory.
    List {
        path: String,
    },
    /// Lists a directory and removes up to three of its files the moment the walk meets them.
    ListRemoving {
        path: String,
    },
    /// Several path operations, writes and resizes in one transaction; without `commit` it is given up at the end.
    Transaction {
        operations: Vec<Operation>,
        commit: bool,
    },
    CreateSnapshot {
        name: String,
    },
    CreateBranch {
        from: String,
        name: String,
    },
    CreateSubvolume {
        name: String,
    },
    SelectIndex {
        name: String,
    },
    /// Goes back to a snapshot.
    RollBack {
        to: String,
    },
    TrimIndex {
        name: String,
    },
    RenameIndex {
        from: String,
        to: String,
    },
    SetDefaultIndex {
        name: String,
    },
    /// Defragments all files of the index that is worked on.
    Defragment,
    /// Gives the volume all blocks of the chip but for so many.
    LeaveBlocks {
        count: u32,
    },
    /// Erases free blocks ahead.
    EraseAhead {
        count: u32,
    },
    /// Works ahead with so many pages.
    Maintain {
        budget: u32,
    },
    /// Reads on for wrong bits, with so many pages.
    Scrub {
        budget: u32,
    },
    /// Makes everything durable.
    Sync,
    /// Unmounts and mounts: done by whoever owns the chip, a no-operation to the model but for open files.
    Remount,
    /// Loses power between two operations and mounts: done by whoever owns the chip.
    Restart,
}

/// What is comparable of a volume's metadata: object numbers and times are its own business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What the object is.
    pub kind: Kind,
    /// Bytes, or a directory's entries.
    pub size: u64,
    /// How many names it has.
    pub links: u32,
}

/// What an operation gave.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done, without a result.
    Done,
    /// Nothing was to be done: the slot is taken or free.
    Skipped,
    /// Refused or failed.
    Failed(Error),
    /// Content, or a link's target.
    Bytes(Vec<u8>),
    /// A directory's entries, sorted by name.
    Names(Vec<(String, Kind)>),
    /// An object's attributes and the lengths of their values, sorted by name.
    Attributes(Vec<(String, u32)>),
    /// An object's metadata.
    Metadata(Shown),
    /// Each operation of a transaction, and the transaction itself.
    Transaction(Vec<Outcome>, Result<(), Error>),
}

impl Operation {
    /// The error with which a transaction without `commit` ends.
    pub const GIVEN_UP: Error = Error::Busy;

    /// Whether it changes files, so that a snapshot refuses it before it looks at anything else.
    pub fn writes_files(&self) -> bool {
        matches!(
            self,
            Operation::Write { .. }
                | Operation::Update { .. }
                | Operation::Append { .. }
                | Operation::AppendChunk { .. }
                | Operation::Copy { .. }
                | Operation::Deduplicate { .. }
                | Operation::Resize { .. }
                | Operation::Create { .. }
                | Operation::CreateDirectory { .. }
                | Operation::RemoveDirectory { .. }
                | Operation::RemoveFile { .. }
                | Operation::RemoveTree { .. }
                | Operation::Rename { .. }
                | Operation::Symlink { .. }
                | Operation::HardLink { .. }
                | Operation::CreateSpecial { .. }
                | Operation::SetAttribute { .. }
                | Operation::RemoveAttribute { .. }
                | Operation::SetStream { .. }
                | Operation::SetShortName { .. }
                | Operation::ChooseCodec { .. }
                | Operation::Defragment
        )
    }

    /// Whether it is about indexes and not about files.
    pub fn is_about_indexes(&self) -> bool {
        matches!(
            self,
            Operation::CreateSnapshot { .. }
                | Operation::CreateBranch { .. }
                | Operation::CreateSubvolume { .. }
                | Operation::SelectIndex { .. }
                | Operation::RollBack { .. }
                | Operation::TrimIndex { .. }
                | Operation::RenameIndex { .. }
                | Operation::SetDefaultIndex { .. }
        )
    }
}

impl Outcome {
    /// The error of the operation as a whole.
    pub fn error(&self) -> Option<Error> {
        match self {
            Outcome::Failed(error) | Outcome::Transaction(_, Err(error)) => Some(*error),
            _ => None,
        }
    }
}

impl From<Result<(), Error>> for Outcome {
    fn from(result: Result<(), Error>) -> Self {
        match result {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Failed(error),
        }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("Done"),
            Outcome::Skipped => f.write_str("Skipped"),
            Outcome::Failed(error) => write!(f, "Failed({error:?})"),
            // Kilobytes of random content in a failure message hide what went wrong.
            Outcome::Bytes(bytes) => {
                write!(f, "Bytes({} bytes, starting {:02x?})", bytes.len(), &bytes[..bytes.len().min(16)])
            }
            Outcome::Names(names) => f.debug_tuple("Names").field(names).finish(),
            Outcome::Attributes(names) => f.debug_tuple("Attributes").field(names).finish(),
            Outcome::Metadata(shown) => f.debug_tuple("Metadata").field(shown).finish(),
            Outcome::Transaction(inner, result) => f.debug_tuple("Transaction").field(inner).field(result).finish(),
        }
    }
}
