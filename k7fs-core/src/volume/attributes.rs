//! Attributes: named values of an object, beside its content.
//!
//! ```text
//! form u8 (1 inline) | name length u8 | name | value
//! form u8 (2 outside) | name length u8 | name | object: ULEB | length: ULEB
//! ```
//!
//! The key's position is the name's hash with a tie, as in directories. A value that is too long for a record is the content
//! of an object of its own, which no name leads to and whose inode names the owner. Positions below [`POSITION_MIN`]
//! belong to the volume: see [`metadata`](super::metadata).

#![cfg_attr(
    not(feature = "attributes"),
    allow(dead_code, unused_imports, reason = "without the feature, attributes stay where they are")
)]

use super::file::{BOOKKEEPING_BYTES, EXTENTS_AT_ONCE};
use super::inode::{Inode, NamePlace, attribute_key, inode_key};
use super::namespace::NAME_ROWS;
use super::types::{AttributeCursor, AttributeEntry, Kind, Timestamp};
use super::{ATTRIBUTE_BYTES_MAX, ATTRIBUTE_NAME_BYTES_MAX, RESERVED_ATTRIBUTES, Volume};
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::hash::name_hash;
use crate::tree::{Content, Demand, Entry};
use crate::varint::{Reader, ULEB_BYTES_MAX, Writer};

/// Attributes that are deleted together with an object; more are left to a job.
pub(super) const ATTRIBUTES_AT_ONCE: usize = 4;
/// Bytes of a record, at most. A longer value costs less outside, where it takes an inode and an extent more, than in a
/// buffer of this length.
const RECORD_BYTES_MAX: usize = 512;
/// A record takes at most this part of a block's payload: what does not fit the rest of a block leaves it unused.
const BLOCK_PART: u32 = 8;
/// Bytes of a record before an inline value, at most, or of a record with its value outside.
pub(super) const HEAD_BYTES_MAX: usize = 2 + ATTRIBUTE_NAME_BYTES_MAX + 2 * ULEB_BYTES_MAX;
/// Rows of a change of one attribute: the record, the inode, and those for deleting a value outside.
const ATTRIBUTE_ROWS: usize = NAME_ROWS + EXTENTS_AT_ONCE;
/// The first position of named attributes: the hash 0 counts as 1.
pub(super) const POSITION_MIN: u64 = 1 << 8;
/// Bytes that a record costs beside its own: its header, its entry in a leaf.
const RECORD_COST_BYTES: u64 = 48;

const INLINE: u8 = 1;
const OUTSIDE: u8 = 2;

/// An attribute's record, without the name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    position: u64,
    pub(super) name_len: usize,
    /// The object that holds the value; 0 where the record does.
    pub(super) object: u64,
    /// Where the value starts in the record.
    at: u32,
    /// Bytes of the value.
    pub(super) len: u32,
}

/// Refuses what cannot be an attribute's name.
fn check_attribute_name(name: &str) -> Result<(), inner::Error> {
    match name.len() {
        0 => Err(inner::Error::AttributeNameEmpty),
        1..=ATTRIBUTE_NAME_BYTES_MAX => Ok(()),
        _ => Err(inner::Error::AttributeNameTooLong),
    }
}

impl<F: Flash> Volume<'_, F> {
    /// An attribute's value, in `value`.
    ///
    /// # Errors
    /// `NoSuchAttribute`, `ResultTooLarge` with the bytes needed, `AttributeNameEmpty`, `AttributeNameTooLong`, those of the
    /// path.
    #[cfg(feature = "attributes")]
    pub fn attribute<'v>(&mut self, path: &str, name: &str, value: &'v mut [u8]) -> Result<&'v [u8], Error> {
        let (object, inode) = self.existing(path)?;
        self.attribute_part(object, &inode, name, 0, value)
    }

    /// Sets an attribute, whether it is there or not: after a power cut it has the old value or the new. Durable on return,
    /// outside a transaction; in one it goes together with whatever else that does.
    ///
    /// # Errors
    /// `AttributeTooLarge` over 64 KiB, `ReservedAttribute` for names that begin with `k7fs.`, `AttributeNameEmpty`,
    /// `AttributeNameTooLong`, `NoSpace` (nothing has changed), those of the path.
    #[cfg(feature = "attributes")]
    pub fn set_attribute(&mut self, path: &str, name: &str, value: &[u8]) -> Result<(), Error> {
        self.writable()?;
        refuse_reserved(name)?;
        let (object, inode) = self.existing(path)?;
        Ok(self.put_attribute(object, inode, name, &[], value)?)
    }

    /// Removes an attribute. Durable on return, outside a transaction; works on a full volume.
    ///
    /// # Errors
    /// `NoSuchAttribute`, `ReservedAttribute`, `AttributeNameEmpty`, `AttributeNameTooLong`, those of the path.
    #[cfg(feature = "attributes")]
    pub fn remove_attribute(&mut self, path: &str, name: &str) -> Result<(), Error> {
        self.writable()?;
        refuse_reserved(name)?;
        let (object, inode) = self.existing(path)?;
        Ok(self.delete_attribute(object, &inode, name)?)
    }

    /// A cursor at the first attribute of an object.
    ///
    /// # Errors
    /// Those of the path.
    #[cfg(feature = "attributes")]
    pub fn list_attributes(&mut self, path: &str) -> Result<AttributeCursor, Error> {
        let (object, inode) = self.existing(path)?;
        Ok(AttributeCursor { object, next: inode.attributes.then_some(POSITION_MIN) })
    }

    /// The next attribute, its name in `name`; `None` at the end. 255 bytes hold every name. The order is that of a hash.
    /// Reserved attributes are among them, as far as they have names.
    ///
    /// # Errors
    /// `ResultTooLarge` with the bytes needed (the cursor stays), or what reading meets.
    #[cfg(feature = "attributes")]
    pub fn next_attribute<'n>(
        &mut self, cursor: &mut AttributeCursor, name: &'n mut [u8],
    ) -> Result<Option<AttributeEntry<'n>>, Error> {
        self.usable()?;
        let Some(from) = cursor.next else { return Ok(None) };
        let mut entry = Entry::EMPTY;
        if !self.next_record(cursor.object, from, &mut entry)? {
            cursor.next = None;
            return Ok(None);
        }
        let mut bytes = [0u8; HEAD_BYTES_MAX];
        let found = self.read_record(&entry, &mut bytes)?;
        let place = name.get_mut(..found.name_len).ok_or(Error::ResultTooLarge { needed: found.name_len as u64 })?;
        for (to, from) in place.iter_mut().zip(bytes.iter().skip(2)) {
            *to = *from;
        }
        cursor.next = entry.key.position.checked_add(1);
        let name = core::str::from_utf8(place).map_err(|_| Error::Corrupt { page: 0 })?;
        Ok(Some(AttributeEntry { name, size: found.len }))
    }

    /// An attribute's value without its first `skip` bytes.
    pub(super) fn attribute_part<'v>(
        &mut self, object: u64, inode: &Inode, name: &str, skip: u32, value: &'v mut [u8],
    ) -> Result<&'v [u8], Error> {
        let mut entry = Entry::EMPTY;
        let found = self.find_attribute(object, inode, name, &mut entry)?.map_err(|_| Error::NoSuchAttribute)?;
        let len = found.len.saturating_sub(skip) as usize;
        let place = value.get_mut(..len).ok_or(Error::ResultTooLarge { needed: len as u64 })?;
        self.read_attribute(object, &found, &entry.content, skip, place)?;
        Ok(place)
    }

    /// The first bytes of a value that has at least so many.
    pub(super) fn attribute_start<const N: usize>(
        &mut self, object: u64, inode: &Inode, name: &str,
    ) -> Result<[u8; N], inner::Error> {
        let mut entry = Entry::EMPTY;
        let found = self.find_attribute(object, inode, name, &mut entry)?;
        let found = found.ok().filter(|found| found.len as usize >= N).ok_or(inner::Error::Corrupt { page: 0 })?;
        let mut start = [0; N];
        self.read_attribute(object, &found, &entry.content, 0, &mut start)?;
        Ok(start)
    }

    /// Reads a part of a value.
    fn read_attribute(
        &mut self, owner: u64, found: &Attribute, content: &Content, skip: u32, place: &mut [u8],
    ) -> Result<(), inner::Error> {
        if found.object == 0 {
            return self.tree.read(content, found.at + skip.min(found.len), place);
        }
        let inode = self.value_inode(owner, found.object)?.filter(|inode| inode.size == found.len.into());
        if inode.is_none() {
            return Err(inner::Error::Corrupt { page: 0 });
        }
        self.read_content(found.object, skip.into(), place)
    }

    /// The inode of an attribute's value, if that is what the object is.
    pub(super) fn value_inode(&mut self, owner: u64, object: u64) -> Result<Option<Inode>, inner::Error> {
        match self.inode(object) {
            Ok(inode) => Ok(Some(inode).filter(|inode| inode.is_value && inode.place.directory == owner)),
            Err(inner::Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first record at or after a position.
    pub(super) fn next_record(&mut self, object: u64, from: u64, entry: &mut Entry) -> Result<bool, inner::Error> {
        let from = attribute_key(object, from);
        self.tree.next_beside(&from, entry)
    }

    /// Takes a record apart; the name lies in `bytes` from the third on.
    pub(super) fn read_record(
        &mut self, entry: &Entry, bytes: &mut [u8; HEAD_BYTES_MAX],
    ) -> Result<Attribute, inner::Error> {
        let corrupt = inner::Error::Corrupt { page: 0 };
        let record_len = entry.content.len();
        let bytes = bytes.get_mut(..(record_len as usize).min(HEAD_BYTES_MAX)).ok_or(corrupt)?;
        self.tree.read(&entry.content, 0, bytes)?;
        let mut reader = Reader::new(bytes);
        let form = reader.byte();
        let name_len = usize::from(reader.byte());
        reader.bytes(name_len);
        let at = reader.position() as u32;
        let (object, len) = match form {
            INLINE => (0, record_len.saturating_sub(at)),
            OUTSIDE => (reader.uleb(), reader.uleb32()),
            _ => return Err(corrupt),
        };
        let sound = name_len > 0 && len as usize <= ATTRIBUTE_BYTES_MAX && (form == INLINE || object != 0);
        reader
            .finish(Attribute { position: entry.key.position, name_len, object, at, len })
            .filter(|_| sound)
            .ok_or(corrupt)
    }

    /// The hash of an attribute's name, where its positions begin.
    pub(super) fn attribute_hash(&self, name: &[u8]) -> u64 {
        (name_hash(&self.tree.log.signature.volume_id, name) << 8).max(POSITION_MIN)
    }

    /// As [`Self::find_attribute`], of one that goes: a record that cannot be read, where this name's would be, is taken for it.
    fn find_replaced(
        &mut self, object: u64, inode: &Inode, name: &str, entry: &mut Entry,
    ) -> Result<Result<Attribute, u64>, inner::Error> {
        *entry = Entry::EMPTY;
        match self.find_attribute(object, inode, name, entry) {
            Err(error) if error.is_damage() => {
                let key = entry.key;
                let hash = self.attribute_hash(name.as_bytes());
                let is_its = key.is_beside(&attribute_key(object, 0)) && key.position >> 8 == hash >> 8;
                let lost = Attribute { position: key.position, name_len: 0, object: 0, at: 0, len: 0 };
                if is_its && self.read_record(entry, &mut [0; HEAD_BYTES_MAX]).is_err() {
                    Ok(Ok(lost))
                } else {
                    Err(error)
                }
            }
            found => found,
        }
    }

    /// Finds an attribute, its record in `entry`; if it is not there, the position where it would go.
    fn find_attribute(
        &mut self, object: u64, inode: &Inode, name: &str, entry: &mut Entry,
    ) -> Result<Result<Attribute, u64>, inner::Error> {
        check_attribute_name(name)?;
        let hash = self.attribute_hash(name.as_bytes());
        if !inode.attributes {
            return Ok(Err(hash));
        }
        let mut free = None;
        let mut expected = hash;
        let mut from = hash;
        let mut bytes = [0u8; HEAD_BYTES_MAX];
        // As with the names of a directory, those whose hashes collide lie side by side.
        for _ in 0..=u8::MAX {
            if !self.next_record(object, from, entry)? || entry.key.position >> 8 != hash >> 8 {
                break;
            }
            let found = self.read_record(entry, &mut bytes)?;
            if bytes.get(2..2 + found.name_len) == Some(name.as_bytes()) {
                return Ok(Ok(found));
            }
            if found.position != expected {
                free.get_or_insert(expected);
            }
            expected = found.position + 1;
            from = expected;
        }
        let position = free.unwrap_or(expected);
        if position >> 8 == hash >> 8 { Ok(Err(position)) } else { Err(inner::Error::Exhausted) }
    }

    /// Bytes of the longest record that holds its value itself.
    fn record_bytes_max(&self) -> usize {
        RECORD_BYTES_MAX.min((self.tree.log.pages.space.block_payload() / BLOCK_PART) as usize)
    }

    /// Gives an attribute the value `first | rest`, reserved or not.
    #[inline(never)]
    pub(super) fn put_attribute(
        &mut self, object: u64, mut inode: Inode, name: &str, first: &[u8], rest: &[u8],
    ) -> Result<(), inner::Error> {
        let len = first.len() + rest.len();
        if len > ATTRIBUTE_BYTES_MAX {
            return Err(inner::Error::AttributeTooLarge);
        }
        let mut entry = Entry::EMPTY;
        let (position, old) = match self.find_replaced(object, &inode, name, &mut entry)? {
            Ok(old) => (old.position, Some(old)),
            Err(position) => (position, None),
        };
        // The inode says it once that there are any.
        let inode = (!core::mem::replace(&mut inode.attributes, true)).then_some(inode);
        let mut record = [0u8; RECORD_BYTES_MAX];
        let mut writer = Writer::new(&mut record);
        let outside = 2 + name.len() + len > self.record_bytes_max();
        writer.byte(if outside { OUTSIDE } else { INLINE });
        writer.byte(name.len() as u8);
        writer.bytes(name.as_bytes());
        if outside {
            return self.put_outside(object, inode, position, old, writer, [first, rest]);
        }
        writer.bytes(first);
        writer.bytes(rest);
        let record = writer.finish().ok_or(inner::Error::AttributeTooLarge)?;
        // Over an old value only the difference counts, so that a full volume takes one of the same length.
        let held =
            old.map_or(0, |old| if old.object == 0 { RECORD_COST_BYTES + u64::from(old.at + old.len) } else { 0 });
        let growth = (RECORD_COST_BYTES + record.len() as u64).saturating_sub(held);
        self.begin_names(growth, ATTRIBUTE_ROWS)?;
        self.change(|volume| volume.put_record(object, inode, position, old, record))?;
        self.commit_unless_running()?;
        self.finish_value(old)
    }

    /// Puts a record in the place of an old one, whose value goes, and the inode where that changes.
    fn put_record(
        &mut self, object: u64, inode: Option<Inode>, position: u64, old: Option<Attribute>, record: &[u8],
    ) -> Result<(), inner::Error> {
        self.drop_value(object, old)?;
        self.tree.put(attribute_key(object, position), record)?;
        inode.map_or(Ok(()), |inode| self.put_inode(object, &inode))
    }

    /// Writes a value into an object of its own, and the record that names it, as one.
    fn put_outside(
        &mut self, owner: u64, inode: Option<Inode>, position: u64, old: Option<Attribute>, mut record: Writer<'_>,
        parts: [&[u8]; 2],
    ) -> Result<(), inner::Error> {
        let len = parts.iter().map(|part| part.len() as u64).sum::<u64>();
        self.atomically(len, |volume| {
            // Whatever fails within leaves a value without an attribute: then all of the transaction goes.
            volume.change(|volume| {
                volume.begin_names(RECORD_BYTES_MAX as u64, ATTRIBUTE_ROWS)?;
                let object = volume.free_object()?;
                volume.tree.log.next_object = object + 1;
                let mut value = Inode::new(Kind::File, Timestamp::default(), NamePlace::new(owner, 0));
                value.is_value = true;
                volume.put_inode(object, &value)?;
                for part in parts {
                    volume.write_object(object, value, value.size, part, false)?;
                    value.size += part.len() as u64;
                }
                record.uleb(object);
                record.uleb(len);
                volume.begin_names(0, ATTRIBUTE_ROWS)?;
                let record = record.finish().ok_or(inner::Error::AttributeTooLarge)?;
                volume.put_record(owner, inode, position, old, record)
            })
        })?;
        self.finish_value(old)
    }

    /// Removes an attribute, reserved or not.
    #[inline(never)]
    pub(super) fn delete_attribute(&mut self, object: u64, inode: &Inode, name: &str) -> Result<(), inner::Error> {
        let mut entry = Entry::EMPTY;
        let found = self.find_replaced(object, inode, name, &mut entry)?;
        let found = found.map_err(|_| inner::Error::NoSuchAttribute)?;
        self.begin_names(0, ATTRIBUTE_ROWS)?;
        self.change(|volume| {
            volume.drop_value(object, Some(found))?;
            volume.tree.delete(attribute_key(object, found.position))
        })?;
        self.commit_unless_running()?;
        self.finish_value(Some(found))
    }

    /// Deletes the object that holds an attribute's value, if there is one: now, or by a job.
    fn drop_value(&mut self, owner: u64, old: Option<Attribute>) -> Result<(), inner::Error> {
        let Some(object) = old.map(|old| old.object).filter(|object| *object != 0) else { return Ok(()) };
        match self.value_inode(owner, object)? {
            Some(inode) => self.drop_object(object, inode),
            // Only a damaged volume has one that leads elsewhere; what is there is not ours to delete.
            None => Ok(()),
        }
    }

    fn finish_value(&mut self, old: Option<Attribute>) -> Result<(), inner::Error> {
        match old {
            Some(old) if old.object != 0 => self.finish_unlinked(old.object),
            _ => Ok(()),
        }
    }

    /// Where the first attribute of an object is, and the object that holds its value, or 0. What cannot be read has none:
    /// it can be deleted all the same.
    fn next_value(&mut self, object: u64, from: u64) -> Result<Option<(u64, u64)>, inner::Error> {
        let mut entry = Entry::EMPTY;
        if !self.next_record(object, from, &mut entry)? {
            return Ok(None);
        }
        let mut bytes = [0u8; HEAD_BYTES_MAX];
        let value = if entry.key.position < POSITION_MIN {
            0
        } else {
            match self.read_record(&entry, &mut bytes) {
                Ok(found) => found.object,
                Err(error) if error.is_damage() => 0,
                Err(error) => return Err(error),
            }
        };
        Ok(Some((entry.key.position, value)))
    }

    /// Whether an object's attributes can be deleted within one change.
    pub(super) fn few_attributes(&mut self, object: u64) -> Result<bool, inner::Error> {
        let mut from = 0;
        for _ in 0..=ATTRIBUTES_AT_ONCE {
            match self.next_value(object, from)? {
                None => return Ok(true),
                Some((_, value)) if value != 0 => return Ok(false),
                Some((position, _)) => from = position.saturating_add(1),
            }
        }
        Ok(false)
    }

    /// Deletes an object's few attributes, within one change.
    pub(super) fn drop_attributes(&mut self, object: u64) -> Result<(), inner::Error> {
        for _ in 0..ATTRIBUTES_AT_ONCE {
            let Some((position, _)) = self.next_value(object, 0)? else { break };
            self.tree.delete(attribute_key(object, position))?;
        }
        Ok(())
    }

    /// Deletes all attributes of an object that nothing refers to any more, in bounded steps.
    #[inline(never)]
    pub(super) fn drop_all_attributes(&mut self, object: u64) -> Result<(), inner::Error> {
        // Always onwards: on a hostile image a record may stay where it is.
        let mut from = 0;
        while let Some((position, value)) = self.next_value(object, from)? {
            from = position.saturating_add(1);
            if position == u64::MAX {
                break;
            }
            let value = if value != 0 && self.value_inode(object, value)?.is_some() { value } else { 0 };
            while value != 0 && self.drop_some_extents(value, 0)? {
                self.commit_unless_running()?;
            }
            self.make_room(&Demand { bytes: BOOKKEEPING_BYTES, growth: 0, rows: 4 })?;
            self.change(|volume| {
                if value != 0 {
                    volume.tree.delete(inode_key(value))?;
                }
                volume.tree.delete(attribute_key(object, position))
            })?;
        }
        Ok(())
    }
}

fn refuse_reserved(name: &str) -> Result<(), Error> {
    if name.starts_with(RESERVED_ATTRIBUTES) { Err(Error::ReservedAttribute) } else { Ok(()) }
}
