//! The page header: the first [`HEADER_BYTES`] of every page.
//!
//! ```text
//! kind: u8 | sequence: ULEB | life: ULEB | first item: ULEB | last commit: ULEB | zeros up to 20 bytes
//! ```
//!
//! *sequence* rises with every page programmed in the volume, *life* is how often the block had been erased; *first item* is
//! where in the payload the first item starts (the payload's length where none does), *last commit* the page of the
//! newest commit before this page, plus one.

use crate::varint::{Reader, Writer};

/// Bytes reserved for the header.
pub(crate) const HEADER_BYTES: usize = 20;

/// Which stream a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageKind {
    /// The log: new data, nodes and commits.
    Front,
    /// What the cleaner moved, and second copies.
    Moved,
    /// The fixed set: where the checkpoint blocks are.
    Anchor,
    /// A checkpoint block.
    Checkpoint,
    /// The log, copied from a block that failed: void until a checkpoint says that the block took the other's place.
    Copied,
}

const COMMIT_FLAG: u8 = 0x80;
const NEXT_ERASED_FLAG: u8 = 0x40;
const AGAIN_FLAG: u8 = 0x20;

/// What a page says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: PageKind,
    /// Whether a commit is on the page.
    pub(crate) commit: bool,
    /// The block that follows in the log's chain has been erased for it: from now on it is programmed, and not erased again without a
    /// page that says so.
    pub(crate) next_erased: bool,
    /// The page says again what a cut may have torn. Until that is committed it proves nothing of the commit before it.
    pub(crate) again: bool,
    pub(crate) sequence: u64,
    /// How often its block had been erased.
    pub(crate) life: u32,
    /// Offset in the payload of the first item that starts on this page.
    pub(crate) first_item: u32,
    /// The newest page with a commit before this one.
    pub(crate) last_commit: Option<u32>,
}

impl Header {
    /// Whether the page is part of the log.
    pub(crate) fn is_log(&self) -> bool {
        matches!(self.kind, PageKind::Front | PageKind::Copied)
    }

    /// Writes the header; `false` where a counter has grown beyond the field.
    pub(crate) fn encode(&self, bytes: &mut [u8]) -> bool {
        bytes.fill(0);
        let kind = match self.kind {
            PageKind::Front => 1,
            PageKind::Moved => 2,
            PageKind::Anchor => 3,
            PageKind::Checkpoint => 4,
            PageKind::Copied => 5,
        };
        let mut writer = Writer::new(bytes);
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let flags = flag(self.next_erased, NEXT_ERASED_FLAG) | flag(self.again, AGAIN_FLAG);
        writer.byte(kind | flag(self.commit, COMMIT_FLAG) | flags);
        writer.uleb(self.sequence);
        writer.uleb(self.life.into());
        writer.uleb(self.first_item.into());
        writer.uleb_plus_one(self.last_commit);
        writer.finish().is_some()
    }

    /// Reads a header; `None` where it makes no sense.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let kind_byte = reader.byte();
        let kind = match kind_byte & !(COMMIT_FLAG | NEXT_ERASED_FLAG | AGAIN_FLAG) {
            1 => PageKind::Front,
            2 => PageKind::Moved,
            3 => PageKind::Anchor,
            4 => PageKind::Checkpoint,
            5 => PageKind::Copied,
            _ => return None,
        };
        let sequence = reader.uleb();
        let life = reader.uleb32();
        let first_item = reader.uleb32();
        let last_commit = reader.uleb_minus_one();
        let is_set = |flag| kind_byte & flag != 0;
        reader.finish(Self {
            kind,
            commit: is_set(COMMIT_FLAG),
            next_erased: is_set(NEXT_ERASED_FLAG),
            again: is_set(AGAIN_FLAG),
            sequence,
            life,
            first_item,
            last_commit,
        })
    }
}
