//! What differs between two indexes. Only the parts of the tree that have changed since both were one are read.

use super::Record;
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::log::Key;
use crate::tree::{Entry, KIND_ATTRIBUTE, KIND_EXTENT, KIND_INODE, KIND_NAME, KIND_PART, View};
use crate::volume::inode::Inode;
use crate::volume::types::Kind;
use crate::volume::{PATH_BYTES_MAX, Volume};

/// How a path differs between two indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ChangeKind {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Content, times or attributes differ.
    Changed,
}

/// One difference between two indexes. A path that names another object than before is removed and added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IndexChange<'p> {
    /// How it differs.
    pub change: ChangeKind,
    /// The path. Empty where it is not known: a file with several names lost the one that it knew, and has changed.
    pub path: &'p str,
    /// The object's number.
    pub object: u64,
    /// What the object is.
    pub kind: Kind,
    /// Bytes, or a directory's entries, in the first index; 0 where it is not there.
    pub size_before: u64,
    /// The same in the second.
    pub size_after: u64,
}

/// Both sides of a comparison.
struct Sides {
    first: View,
    second: View,
    /// No transaction up to this one has made a difference.
    since: u64,
}

impl Sides {
    /// Whether a version makes a difference: only one side sees it.
    fn differ_by(&self, key: &Key) -> bool {
        self.first.sees(key) != self.second.sees(key)
    }
}

impl<F: Flash> Volume<'_, F> {
    /// Reports what the second index has added to, removed from or changed in the first.
    ///
    /// The pages read follow the difference, not what the volume holds. `path` takes the paths: [`PATH_BYTES_MAX`] bytes hold
    /// every one. The volume is worked on as before afterwards, and files may be open.
    ///
    /// # Errors
    /// `IndexNotFound`, `ResultTooLarge` where `path` is too small, what reading meets.
    pub fn diff(
        &mut self, first: &str, second: &str, path: &mut [u8], report: &mut dyn FnMut(&IndexChange<'_>),
    ) -> Result<(), Error> {
        let (first, second) = (self.existing_index(first)?, self.existing_index(second)?);
        if path.len() < PATH_BYTES_MAX {
            return Err(Error::ResultTooLarge { needed: PATH_BYTES_MAX as u64 });
        }
        let sides = Sides {
            since: self.common_transaction(&first, &second)?,
            first: self.view_of(first.id)?,
            second: self.view_of(second.id)?,
        };
        let own = self.tree.view.clone();
        let result = self.compare(&sides, path, report);
        self.tree.view = own;
        Ok(result?)
    }

    /// The last transaction before which both indexes were one.
    fn common_transaction(&mut self, first: &Record, second: &Record) -> Result<u64, inner::Error> {
        let (mut first, mut second, mut since) = (*first, *second, u64::MAX);
        // A parent's number is lower: the higher one of two that differ is no common ancestor.
        while first.id != second.id {
            let higher = if first.id > second.id { &mut first } else { &mut second };
            since = since.min(higher.since);
            if higher.parent == 0 {
                return Ok(0);
            }
            *higher = self.index_record(higher.parent)?;
        }
        Ok(since)
    }

    fn compare(
        &mut self, sides: &Sides, path: &mut [u8], report: &mut dyn FnMut(&IndexChange<'_>),
    ) -> Result<(), inner::Error> {
        let mut from = Key { kind: KIND_INODE, ..Key::MIN };
        let mut entry = Entry::EMPTY;
        let mut reported = 0;
        while self.tree.next_changed(&from, sides.since, &mut entry)? && entry.key.kind <= KIND_ATTRIBUTE {
            let key = entry.key;
            from = key.successor();
            if !sides.differ_by(&key) {
                continue;
            }
            from = key.next_position();
            match key.kind {
                KIND_NAME => self.compare_name(sides, &key, path, report)?,
                // A file's inode changes with its content.
                KIND_EXTENT => from = Key { kind: KIND_ATTRIBUTE, ..Key::MIN },
                KIND_ATTRIBUTE if key.object == reported => {}
                KIND_INODE => self.compare_object(sides, key.object, path, report)?,
                _ => {
                    reported = key.object;
                    if !self.has_changed_inode(sides, key.object)? {
                        self.compare_object(sides, key.object, path, report)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks as one side does.
    fn look_as<R>(
        &mut self, side: &View, look: impl FnOnce(&mut Self) -> Result<R, inner::Error>,
    ) -> Result<R, inner::Error> {
        self.tree.view.clone_from(side);
        look(self)
    }

    fn inode_as(&mut self, side: &View, object: u64) -> Result<Option<Inode>, inner::Error> {
        match self.look_as(side, |volume| volume.inode(object)) {
            Err(inner::Error::NotFound) => Ok(None),
            inode => inode.map(Some),
        }
    }

    /// Reports an object that both sides have and that is not the same.
    fn compare_object(
        &mut self, sides: &Sides, object: u64, path: &mut [u8], report: &mut dyn FnMut(&IndexChange<'_>),
    ) -> Result<(), inner::Error> {
        let before = self.inode_as(&sides.first, object)?;
        let after = self.inode_as(&sides.second, object)?;
        let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
        // What a directory holds is told by its names; a name may change without what it names.
        let is_directory = after.kind == Kind::Directory;
        let same = is_directory
            || (before.size, before.created, before.modified) == (after.size, after.created, after.modified);
        let nameless = before.links == 0 || after.links == 0;
        let is_changed = !same
            || (!is_directory && self.has_changed_content(sides, before.content(object), after.content(object))?)
            || self.has_changed_part(sides, KIND_ATTRIBUTE, object)?;
        if nameless || !is_changed {
            return Ok(());
        }
        let end = path.len();
        let start = match self.look_as(&sides.second, |volume| volume.prepend_path(object, path, end)) {
            Err(inner::Error::NotFound) => end,
            start => start?,
        };
        let (change, kind) = (ChangeKind::Changed, after.kind);
        let path = text(path, start)?;
        report(&IndexChange { change, path, object, kind, size_before: before.size, size_after: after.size });
        Ok(())
    }

    /// Whether a file's own extents differ, or what is shared below them.
    fn has_changed_content(&mut self, sides: &Sides, before: u64, after: u64) -> Result<bool, inner::Error> {
        if self.has_changed_part(sides, KIND_EXTENT, after)? {
            return Ok(true);
        }
        if before == after {
            return self.has_changed_part(sides, KIND_PART, after);
        }
        // A copy was made: what the file had is below what it has got since.
        let part = self.look_as(&sides.second, |volume| volume.next_part(after, 0))?;
        Ok(!part.is_some_and(|part| part.body == before && part.start == 0 && part.skip == 0))
    }

    /// Whether an extent or attribute of an object differs.
    fn has_changed_part(&mut self, sides: &Sides, kind: u8, object: u64) -> Result<bool, inner::Error> {
        let mut from = Key { kind, object, ..Key::MIN };
        let mut entry = Entry::EMPTY;
        while self.tree.next_changed(&from, sides.since, &mut entry)? && entry.key.is_beside(&from) {
            if sides.differ_by(&entry.key) {
                return Ok(true);
            }
            from = entry.key.successor();
        }
        Ok(false)
    }

    /// Whether the walk has come by an object's inode already.
    fn has_changed_inode(&mut self, sides: &Sides, object: u64) -> Result<bool, inner::Error> {
        self.has_changed_part(sides, KIND_INODE, object)
    }

    /// Reports a name that only one side has, or that names something else on the other.
    fn compare_name(
        &mut self, sides: &Sides, key: &Key, path: &mut [u8], report: &mut dyn FnMut(&IndexChange<'_>),
    ) -> Result<(), inner::Error> {
        let (mut before, mut after) = (Entry::EMPTY, Entry::EMPTY);
        let had = self.look_as(&sides.first, |volume| volume.named(key, &mut before))?;
        let has = self.look_as(&sides.second, |volume| volume.named(key, &mut after))?;
        if had == has && had.is_some() {
            return Ok(());
        }
        if let Some(object) = had {
            self.tree.view.clone_from(&sides.first);
            self.report_name(ChangeKind::Removed, &before, object, path, report)?;
        }
        if let Some(object) = has {
            self.tree.view.clone_from(&sides.second);
            self.report_name(ChangeKind::Added, &after, object, path, report)?;
        }
        Ok(())
    }

    /// The object that a name stands for, if it is there.
    fn named(&mut self, key: &Key, entry: &mut Entry) -> Result<Option<u64>, inner::Error> {
        if !self.tree.get(key, entry)? {
            return Ok(None);
        }
        entry.key = *key;
        self.read_target(key.position, &entry.content).map(|name| Some(name.object))
    }

    fn report_name(
        &mut self, change: ChangeKind, entry: &Entry, object: u64, path: &mut [u8],
        report: &mut dyn FnMut(&IndexChange<'_>),
    ) -> Result<(), inner::Error> {
        let end = path.len();
        let start = self.prepend_name(entry, path, end)?;
        let start = self.prepend_path(entry.key.object, path, start)?;
        let inode = self.inode(object)?;
        let (size_before, size_after) = if change == ChangeKind::Added { (0, inode.size) } else { (inode.size, 0) };
        report(&IndexChange { change, path: text(path, start)?, object, kind: inode.kind, size_before, size_after });
        Ok(())
    }

    /// Bytes of content and bookkeeping that would come back if an index were trimmed: what it has and no other sees, at
    /// least. Reads what has been written since the index began.
    ///
    /// # Errors
    /// `IndexNotFound`, those of the name, what reading meets.
    pub fn exclusive_bytes(&mut self, name: &str) -> Result<u64, Error> {
        let record = self.existing_index(name)?;
        let (heirs, more) = self.heirs(record.id)?;
        let mut from = Key { kind: KIND_INODE, ..Key::MIN };
        let mut entry = Entry::EMPTY;
        let mut bytes = 0;
        while self.tree.next_changed(&from, record.since, &mut entry)? && entry.key.kind <= KIND_ATTRIBUTE {
            let key = entry.key;
            from = key.successor();
            if key.index == record.id && !more && self.is_hidden_by(&key, &heirs)? {
                bytes += u64::from(entry.content.len());
            }
        }
        Ok(bytes)
    }

    /// Whether all of these indexes have a version of a key of their own.
    pub(super) fn is_hidden_by(&mut self, key: &Key, heirs: &[u32]) -> Result<bool, inner::Error> {
        for index in heirs {
            if !self.tree.has_version(&Key { index: *index, ..*key })? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn text(path: &[u8], start: usize) -> Result<&str, inner::Error> {
    core::str::from_utf8(path.get(start..).unwrap_or_default()).map_err(|_| inner::Error::Corrupt { page: 0 })
}
