//! Keys as one index sees them: the newest version of its own or of an ancestor, unless that one says *deleted*.

use super::{Content, Entry, Tree};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::log::{Key, Place, Row};

impl<F: Flash> Tree<'_, F> {
    /// Whether a key has a value.
    pub(crate) fn has(&mut self, key: &Key) -> Result<bool, Error> {
        let mut entry = Entry::EMPTY;
        self.get(key, &mut entry)
    }

    /// Copies a key's value, as far as it fits; `NotFound` where it has none.
    pub(crate) fn load<'v>(&mut self, key: &Key, bytes: &'v mut [u8]) -> Result<&'v [u8], Error> {
        let mut entry = Entry::EMPTY;
        if !self.get(key, &mut entry)? {
            return Err(Error::NotFound);
        }
        let len = bytes.len().min(entry.content.len() as usize);
        let value = bytes.get_mut(..len).unwrap_or_default();
        self.read(&entry.content, 0, value)?;
        Ok(value)
    }

    /// Finds what a key stands for; `false` where it has no value.
    pub(crate) fn get(&mut self, key: &Key, entry: &mut Entry) -> Result<bool, Error> {
        let own = self.view.own(key);
        // The index's own version is the newest that it can see.
        match self.log.table.find(0, &own) {
            Some(Row { place: Some(place), .. }) => {
                entry.content = Content::At(place);
                Ok(place.len > 0)
            }
            Some(_) if self.view.is_unshared(key) => Ok(false),
            _ => self.next_seen(&own, &key.next_position(), entry),
        }
    }

    /// Finds the first key at or after `from` that has a value; `false` where there is none. The version in `from` does not count.
    pub(crate) fn next(&mut self, from: &Key, entry: &mut Entry) -> Result<bool, Error> {
        self.next_seen(&Key { index: u32::MAX, ..*from }, &Key::MAX, entry)
    }

    /// As [`Self::next`], of the same kind and object only: a walk to the end of them reads nothing behind it.
    pub(crate) fn next_beside(&mut self, from: &Key, entry: &mut Entry) -> Result<bool, Error> {
        let last = Key { position: u64::MAX, index: 0, ..*from };
        self.next_seen(&Key { index: u32::MAX, ..*from }, &last.next_position(), entry)
    }

    /// The first value that can be seen at or after a version, before an end.
    fn next_seen(&mut self, from: &Key, end: &Key, entry: &mut Entry) -> Result<bool, Error> {
        let mut from = *from;
        // Every round passes over at least one version; a loop without an end takes a tree without one.
        while self.next_version_before(&from, end, entry)? {
            if !self.view.sees(&entry.key) {
                from = self.view.pass_over(&entry.key);
            } else if entry.content.is_whiteout() {
                from = entry.key.next_position();
            } else {
                return Ok(true);
            }
            if from == Key::MAX {
                break;
            }
        }
        Ok(false)
    }

    /// Finds the first version of any key at or after `from`, whoever sees it; `false` where there is none.
    pub(crate) fn next_version(&mut self, from: &Key, entry: &mut Entry) -> Result<bool, Error> {
        self.next_version_before(from, &Key::MAX, entry)
    }

    /// As [`Self::next_version`], before an end; [`Key::MAX`] for none.
    pub(super) fn next_version_before(&mut self, from: &Key, end: &Key, entry: &mut Entry) -> Result<bool, Error> {
        let mut from = *from;
        // Every round passes over one deleted version of the table.
        for _ in 0..=self.log.table.capacity() {
            let merged = self.next_in_tree(&from, end, entry)?;
            let row = self.log.table.next(0, &from).filter(|row| row.key.is_before(end));
            let Some(row) = row else { return Ok(merged) };
            if merged && entry.key < row.key {
                return Ok(true);
            }
            if let Some(place) = row.place {
                *entry = Entry { key: row.key, content: Content::At(place) };
                return Ok(true);
            }
            from = row.key.successor();
        }
        Ok(false)
    }

    /// Whether an ancestor of the index has a value for a key.
    fn is_inherited(&mut self, own: &Key) -> Result<bool, Error> {
        if self.view.is_unshared(own) {
            return Ok(false);
        }
        let mut entry = Entry::EMPTY;
        self.next_seen(&own.successor(), &own.next_position(), &mut entry)
    }

    /// A key loses its value: its own version goes, and hides those of ancestors where there are any.
    pub(crate) fn delete(&mut self, key: Key) -> Result<(), Error> {
        let own = self.view.own(&key);
        if self.is_inherited(&own)? { self.log.put_whiteout(own) } else { self.log.put_delete(own) }
    }

    /// A key refers to bytes that are on flash already.
    pub(crate) fn put_reference(&mut self, key: Key, place: &Place) -> Result<(), Error> {
        self.log.put_reference(self.view.own(&key), place)
    }
}

/// One version at a time, whoever sees it.
#[cfg(feature = "indexes")]
impl<F: Flash> Tree<'_, F> {
    /// Whether there is this version of a key.
    pub(crate) fn has_version(&mut self, version: &Key) -> Result<bool, Error> {
        let mut entry = Entry::EMPTY;
        Ok(self.next_version(version, &mut entry)? && entry.key == *version)
    }

    /// A version gets a value that another one has.
    pub(crate) fn put_version(&mut self, version: Key, content: &Content) -> Result<(), Error> {
        match content {
            content if content.is_whiteout() => self.log.put_whiteout(version),
            Content::At(place) => self.log.put_reference(version, place),
            Content::Inline { len, bytes } => {
                self.put_bytes(version, bytes.get(..usize::from(*len)).unwrap_or_default())
            }
        }
    }

    /// A version goes.
    pub(crate) fn delete_version(&mut self, version: Key) -> Result<(), Error> {
        self.log.put_delete(version)
    }
}
