//! Looking at indexes, and choosing the one to work on.

use super::Record;
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::volume::types::Timestamp;
use crate::volume::{NAME_BYTES_MAX, Volume};

/// Where a walk through the indexes stands. Survives changes: every index that is there from start to end is seen exactly once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IndexCursor {
    next: u32,
}

/// One index of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IndexInfo<'n> {
    /// Its name, in the caller's buffer.
    pub name: &'n str,
    /// Its number: never used again. It may change when an index that this one descends from is trimmed.
    pub id: u32,
    /// The number of the index that it descends from; 0 for none.
    pub parent: u32,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it may be written to: a branch or a subvolume, no snapshot.
    pub writable: bool,
    /// Whether a mount begins with it.
    pub is_default: bool,
    /// Whether it is the one that is worked on.
    pub is_current: bool,
}

pub(super) fn check_index_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::NameEmpty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::NameTooLong);
    }
    if name.bytes().any(|byte| byte == 0 || byte == b'/') {
        return Err(Error::NameInvalid);
    }
    Ok(())
}

impl<F: Flash> Volume<'_, F> {
    /// A cursor at the first index.
    pub fn indexes(&self) -> IndexCursor {
        IndexCursor::default()
    }

    /// The next index in the order of their numbers, its name in `name`; `None` at the end. 255 bytes hold every name.
    ///
    /// # Errors
    /// `ResultTooLarge` with the bytes needed (the cursor stays), or what reading meets.
    pub fn next_index<'n>(
        &mut self, cursor: &mut IndexCursor, name: &'n mut [u8],
    ) -> Result<Option<IndexInfo<'n>>, Error> {
        self.usable()?;
        let default = self.index_header()?.default;
        let Some(record) = self.next_named_index(cursor.next)? else { return Ok(None) };
        let place = name.get_mut(..record.name().len());
        let place = place.ok_or(Error::ResultTooLarge { needed: record.name().len() as u64 })?;
        for (to, from) in place.iter_mut().zip(record.name()) {
            *to = *from;
        }
        cursor.next = record.id.saturating_add(1);
        Ok(Some(IndexInfo {
            name: core::str::from_utf8(place).map_err(|_| Error::Corrupt { page: 0 })?,
            id: record.id,
            parent: record.parent,
            created: record.created,
            writable: record.is_writable(),
            is_default: record.id == default,
            is_current: record.id == self.tree.view.id(),
        }))
    }

    /// The first index with this number or a higher one that has not been trimmed.
    pub(in crate::volume) fn next_named_index(&mut self, id: u32) -> Result<Option<Record>, inner::Error> {
        let mut next = id;
        // Numbers rise at every step.
        while let Some(record) = self.next_index_record(next)? {
            if !record.is_trimmed() {
                return Ok(Some(record));
            }
            match record.id.checked_add(1) {
                Some(id) => next = id,
                None => break,
            }
        }
        Ok(None)
    }

    /// An index by its name.
    pub(super) fn find_index(&mut self, name: &str) -> Result<Option<Record>, inner::Error> {
        let mut next = 0;
        while let Some(record) = self.next_named_index(next)? {
            if record.name() == name.as_bytes() {
                return Ok(Some(record));
            }
            next = record.id.saturating_add(1);
        }
        Ok(None)
    }

    pub(super) fn existing_index(&mut self, name: &str) -> Result<Record, Error> {
        self.usable()?;
        check_index_name(name)?;
        self.find_index(name)?.ok_or(Error::IndexNotFound)
    }

    /// Works on another index from now on: paths lead to its files. A snapshot can only be read.
    ///
    /// The choice ends with the mount: [`set_default_index`](Self::set_default_index) tells the next one.
    ///
    /// # Errors
    /// `Busy` within a transaction or while files are open, `IndexNotFound`, `TooManyIndexes` where this build cannot keep the line of
    /// descent in mind, those of the name and of committing what was written before.
    pub fn select_index(&mut self, name: &str) -> Result<(), Error> {
        let record = self.existing_index(name)?;
        self.refuse_open_files()?;
        if !self.read_only {
            self.commit()?;
        }
        Ok(self.enter_index(record.id)?)
    }

    /// Refuses what would change the files under open handles.
    pub(super) fn refuse_open_files(&self) -> Result<(), Error> {
        if self.in_transaction || self.has_open_files() { Err(Error::Busy) } else { Ok(()) }
    }
}
