//! Indexes: snapshots, branches and subvolumes, each a state of all files under a name of its own.
//!
//! Every index has a number, and descends from the one it was taken of. What is written belongs to the index that is worked on;
//! an index sees its own versions of keys and those of its ancestors ([`View`]). Taking a snapshot writes three small records: the
//! number so far becomes the snapshot, and the volume goes on under a new one. A record without a name belongs to a trimmed
//! index: its number stays for as long as others descend from it.
//!
//! ```text
//! (7, number): flags u8 | parent's number or 0, since: transaction, created seconds, ticks: ULEB | name
//! (7, 0):      next number, default index: ULEB | policy: interval, daily, weekly, monthly, keep: ULEB
//! ```

#![cfg_attr(
    not(feature = "indexes"),
    allow(dead_code, reason = "a build that only follows the default index makes no records")
)]

#[cfg(feature = "indexes")]
mod diff;
#[cfg(feature = "indexes")]
mod list;
#[cfg(feature = "indexes")]
mod manage;
#[cfg(feature = "indexes")]
mod policy;
#[cfg(feature = "indexes")]
mod trim;

#[cfg(feature = "indexes")]
pub use diff::{ChangeKind, IndexChange};
#[cfg(feature = "indexes")]
pub use list::{IndexCursor, IndexInfo};
#[cfg(feature = "indexes")]
pub use policy::{POLICY_SNAPSHOTS_MAX, PolicyOutcome};

use super::types::Timestamp;
use super::{NAME_BYTES_MAX, Volume};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::log::Key;
use crate::tree::{Entry, INDEX_FIRST, KIND_INDEX, View};
use crate::varint::{Reader, Writer};

/// The name of the index that a volume begins with.
pub const INDEX_NAME_FIRST: &str = "main";
/// It may be written to; else it is a snapshot.
const WRITABLE: u8 = 1;
/// It has no name any more.
const TRIMMED: u8 = 2;
/// The volume's policy took it.
const BY_POLICY: u8 = 4;
/// Bytes of the longest record.
const RECORD_BYTES_MAX: usize = NAME_BYTES_MAX + 40;
/// Bytes of the longest first record.
const HEADER_BYTES_MAX: usize = 64;

/// What is known about an index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) id: u32,
    /// The index it descends from; 0 for none.
    pub(super) parent: u32,
    flags: u8,
    /// No key of it was written by this transaction or one before.
    pub(super) since: u64,
    pub(super) created: Timestamp,
    name: [u8; NAME_BYTES_MAX],
    name_len: u8,
}

impl Record {
    /// The index of a volume that has never had another.
    fn first() -> Self {
        let mut record = Self {
            id: INDEX_FIRST,
            parent: 0,
            flags: WRITABLE,
            since: 0,
            created: Timestamp::default(),
            name: [0; NAME_BYTES_MAX],
            name_len: 0,
        };
        record.set_name(INDEX_NAME_FIRST);
        record
    }

    pub(super) fn is_writable(&self) -> bool {
        self.flags & WRITABLE != 0
    }

    pub(super) fn is_trimmed(&self) -> bool {
        self.flags & TRIMMED != 0
    }

    fn is_by_policy(&self) -> bool {
        self.flags & BY_POLICY != 0
    }

    pub(super) fn name(&self) -> &[u8] {
        self.name.get(..self.name_len.into()).unwrap_or_default()
    }

    fn set_name(&mut self, name: &str) {
        for (to, from) in self.name.iter_mut().zip(name.as_bytes()) {
            *to = *from;
        }
        self.name_len = name.len().min(NAME_BYTES_MAX) as u8;
    }

    fn encode<'b>(&self, bytes: &'b mut [u8; RECORD_BYTES_MAX]) -> Option<&'b [u8]> {
        let mut writer = Writer::new(bytes);
        writer.byte(self.flags);
        writer.uleb(self.parent.into());
        writer.uleb(self.since);
        writer.uleb(self.created.seconds);
        writer.uleb(self.created.ticks.into());
        writer.bytes(self.name());
        writer.finish()
    }

    fn decode(id: u32, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let flags = reader.byte();
        let (parent, since) = (reader.uleb32(), reader.uleb());
        let created = Timestamp { seconds: reader.uleb(), ticks: reader.uleb32() };
        let rest = bytes.get(reader.position()..)?;
        let mut record = Self { id, parent, flags, since, created, name: [0; NAME_BYTES_MAX], name_len: 0 };
        record.set_name(core::str::from_utf8(rest).ok()?);
        // Ancestors have lower numbers: a line of descent has an end.
        reader.finish(record).filter(|record| record.parent < record.id && rest.len() <= NAME_BYTES_MAX)
    }
}

/// When snapshots are taken, and for how long they are kept.
///
/// A snapshot is kept where it is the newest of its day, week or month, for so many of the last days, weeks and months that have
/// one; and in any case as long as it is younger than `keep_seconds`. With no days, weeks and months every snapshot is kept.
/// Snapshots made by name are not touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RetentionPolicy {
    /// Seconds between two snapshots; 0 takes none.
    pub interval_seconds: u64,
    /// Days of which the newest snapshot is kept.
    pub daily: u16,
    /// Weeks, from Monday on.
    pub weekly: u16,
    /// Months of the calendar.
    pub monthly: u16,
    /// No snapshot is trimmed before it is so old.
    pub keep_seconds: u64,
}

/// What concerns all indexes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// The next index's number.
    pub(super) next: u32,
    /// The index that a mount begins with.
    pub(super) default: u32,
    policy: RetentionPolicy,
}

impl Header {
    fn encode<'b>(&self, bytes: &'b mut [u8; HEADER_BYTES_MAX]) -> Option<&'b [u8]> {
        let mut writer = Writer::new(bytes);
        writer.uleb(self.next.into());
        writer.uleb(self.default.into());
        let RetentionPolicy { interval_seconds, daily, weekly, monthly, keep_seconds } = self.policy;
        for value in [interval_seconds, daily.into(), weekly.into(), monthly.into(), keep_seconds] {
            writer.uleb(value);
        }
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (next, default, interval_seconds) = (reader.uleb32(), reader.uleb32(), reader.uleb());
        let mut count = || u16::try_from(reader.uleb32()).unwrap_or(u16::MAX);
        let (daily, weekly, monthly) = (count(), count(), count());
        let policy = RetentionPolicy { interval_seconds, daily, weekly, monthly, keep_seconds: reader.uleb() };
        reader.finish(Self { next, default, policy })
    }
}

pub(super) fn index_key(id: u32) -> Key {
    Key { kind: KIND_INDEX, object: id.into(), position: 0, index: 0 }
}

impl<F: Flash> Volume<'_, F> {
    /// What concerns all indexes.
    pub(super) fn index_header(&mut self) -> Result<Header, Error> {
        let first = Header { next: INDEX_FIRST + 1, default: INDEX_FIRST, policy: RetentionPolicy::default() };
        if !self.tree.log.may_have.indexes {
            return Ok(first);
        }
        let mut bytes = [0u8; HEADER_BYTES_MAX];
        match self.tree.load(&index_key(0), &mut bytes) {
            Err(Error::NotFound) => Ok(first),
            bytes => Header::decode(bytes?).ok_or(Error::Corrupt { page: 0 }),
        }
    }

    /// An index by its number; `Corrupt` where there is none.
    pub(super) fn index_record(&mut self, id: u32) -> Result<Record, Error> {
        self.next_index_record(id)?.filter(|record| record.id == id).ok_or(Error::Corrupt { page: 0 })
    }

    /// The first index with this number or a higher one.
    pub(super) fn next_index_record(&mut self, id: u32) -> Result<Option<Record>, Error> {
        let from = index_key(id.max(1));
        let mut entry = Entry::EMPTY;
        let found = self.tree.log.may_have.indexes && self.tree.next(&from, &mut entry)?;
        if !found || entry.key.kind != KIND_INDEX {
            // Records are written when there is a second index.
            let none = id > INDEX_FIRST || (self.tree.log.may_have.indexes && self.tree.has(&index_key(0))?);
            return Ok((!none).then(Record::first));
        }
        let corrupt = Error::Corrupt { page: 0 };
        let mut bytes = [0u8; RECORD_BYTES_MAX];
        let value = bytes.get_mut(..entry.content.len() as usize).ok_or(corrupt)?;
        self.tree.read(&entry.content, 0, value)?;
        let id = u32::try_from(entry.key.object).map_err(|_| corrupt)?;
        Record::decode(id, value).map(Some).ok_or(corrupt)
    }

    /// What an index sees.
    pub(super) fn view_of(&mut self, id: u32) -> Result<View, Error> {
        let mut view = View::alone(id);
        let mut record = self.index_record(id)?;
        while record.parent != 0 {
            let next = record.parent.saturating_add(1);
            let is_gap =
                next < record.id && self.next_index_record(next)?.is_some_and(|between| between.id < record.id);
            if !view.push_ancestor(record.parent, is_gap) {
                return Err(Error::TooManyIndexes);
            }
            record = self.index_record(record.parent)?;
        }
        Ok(view)
    }

    /// Works on an index from now on.
    pub(super) fn enter_index(&mut self, id: u32) -> Result<(), Error> {
        self.tree.view = self.view_of(id)?;
        self.is_snapshot = !self.index_record(id)?.is_writable();
        Ok(())
    }

    /// After a mount: works on the default index.
    pub(super) fn enter_default_index(&mut self) -> Result<(), Error> {
        if self.tree.log.may_have.indexes {
            let header = self.index_header()?;
            self.enter_index(header.default)?;
        }
        Ok(())
    }

    /// Does something as another index would.
    pub(super) fn as_index<R>(&mut self, id: u32, run: impl FnOnce(&mut Self) -> Result<R, Error>) -> Result<R, Error> {
        let other = self.view_of(id)?;
        let own = core::mem::replace(&mut self.tree.view, other);
        let result = run(self);
        self.tree.view = own;
        result
    }
}
