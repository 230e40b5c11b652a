//! Nodes: sorted entries, keys compressed against the one before.
//!
//! ```text
//! level: u8 | entries
//! entry:  shared: u8 (bytes equal at the start << 3 | bytes equal at the end) | the key's bytes between | content
//! leaf:   length << 2 | form: ULEB, then by form: 0 the bytes, 1 their address: ULEB,
//!         3 the address of a packed record, where in its content they start, its stored length: ULEB each
//! inner:  address: ULEB, length: ULEB, copy + 1 or 0: ULEB, hash 8, highest change: ULEB
//! ```
//!
//! Keys are 21 bytes. The first entry is compressed against a key of zeros. Level 0 is a leaf; levels from 0x80 are
//! kinds that a later feature level may add.

use crate::error::inner::Error;
use crate::flash::Flash;
use crate::log::{KEY_BYTES, Key, Log, Packed, Place};
use crate::page::{Address, Space};
use crate::varint::{Reader, Writer};

/// Values up to this length stay in the leaf, extents excepted.
pub(crate) const INLINE_BYTES_MAX: usize = 48;
/// Levels of a tree, at most.
pub(crate) const LEVELS_MAX: u8 = 16;
/// Forms of a leaf's value: its bytes are in the leaf, elsewhere, or in a packed record.
const FORM_INLINE: u64 = 0;
const FORM_ELSEWHERE: u64 = 1;
const FORM_PACKED: u64 = 3;
const FORM_BITS: u32 = 2;
/// Bytes before the first entry.
const LEVEL_BYTES: usize = 1;
/// Bytes of the longest entry.
const ENTRY_BYTES_MAX: usize = 88;
/// Bytes that can be equal at a key's end.
const SHARED_END_MAX: usize = 7;

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Bytes in the leaf itself.
    Inline { len: u8, bytes: [u8; INLINE_BYTES_MAX] },
    /// Bytes elsewhere, or in an inner node a child.
    At(Place),
}

impl Content {
    /// Where the bytes are, if they are elsewhere.
    pub(crate) fn place(&self) -> Option<Place> {
        match self {
            Content::Inline { .. } => None,
            Content::At(place) => Some(*place),
        }
    }

    /// Whether it says that a key has no value, whatever an ancestor of its index has: values have at least a byte.
    pub(crate) fn is_whiteout(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the value.
    pub(crate) fn len(&self) -> u32 {
        match self {
            Content::Inline { len, .. } => (*len).into(),
            Content::At(place) => place.len,
        }
    }
}

/// A key and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) content: Content,
}

impl Entry {
    /// A place to read an entry into.
    pub(crate) const EMPTY: Self =
        Self { key: Key::MIN, content: Content::Inline { len: 0, bytes: [0; INLINE_BYTES_MAX] } };
}

/// Reads a node's entries in order.
#[derive(Clone, Debug)]
pub(crate) struct NodeReader {
    place: Place,
    level: u8,
    /// Where the next entry starts: in the node, and on flash.
    offset: u32,
    at: Address,
    key: [u8; KEY_BYTES],
    change: u64,
}

impl NodeReader {
    /// Opens a node that is meant to have this level. A place without bytes is a node without entries.
    pub(crate) fn open<F: Flash>(log: &mut Log<'_, F>, place: &Place, level: u8) -> Result<Self, Error> {
        let mut reader = Self { place: *place, level, offset: 0, at: place.address, key: [0; KEY_BYTES], change: 0 };
        if place.len == 0 {
            return Ok(reader);
        }
        let mut found = [0u8; 1];
        log.read_place(place, 0, &mut found)?;
        if found != [level] || level >= LEVELS_MAX {
            return Err(Error::Corrupt { page: log.pages.space.page_of(place.address) });
        }
        reader.step(&log.pages.space, 1);
        Ok(reader)
    }

    /// Goes on by so many bytes.
    fn step(&mut self, space: &Space, bytes: u32) {
        self.offset += bytes;
        self.at = space.advance(self.at, bytes);
    }

    /// Reads the next entry; `false` at the end. Keys must rise.
    pub(crate) fn next<F: Flash>(&mut self, log: &mut Log<'_, F>, entry: &mut Entry) -> Result<bool, Error> {
        let left = self.place.len.saturating_sub(self.offset) as usize;
        if left == 0 {
            return Ok(false);
        }
        let mut window = [0u8; ENTRY_BYTES_MAX];
        let window = window.get_mut(..left.min(ENTRY_BYTES_MAX)).unwrap_or_default();
        log.read_in_place(&self.place, self.offset, self.at, window)?;
        let space = &log.pages.space;
        let corrupt = Error::Corrupt { page: space.page_of(self.place.address) };
        let mut reader = Reader::new(window);
        let key = decode_key(&mut reader, &self.key).ok_or(corrupt)?;
        if self.offset > 1 && key <= self.key {
            return Err(corrupt);
        }
        if self.level == 0 {
            entry.content = decode_value(space, &mut reader).ok_or(corrupt)?;
        } else {
            (entry.content, self.change) = decode_child(space, &mut reader).ok_or(corrupt)?;
        }
        if let Content::At(place) = &entry.content
            && !space.contains(place.address, place.stored())
        {
            return Err(corrupt);
        }
        self.key = key;
        self.step(space, reader.position() as u32);
        entry.key = Key::from_bytes(&key);
        Ok(true)
    }

    /// Of the child that was read last: no transaction with a higher number has changed anything below it.
    pub(crate) fn change(&self) -> u64 {
        self.change
    }
}

/// Copies bytes of the same length, or none where the reader had fewer.
fn copy(place: &mut [u8], bytes: &[u8]) {
    if place.len() == bytes.len() {
        place.copy_from_slice(bytes);
    }
}

fn decode_key(reader: &mut Reader<'_>, before: &[u8; KEY_BYTES]) -> Option<[u8; KEY_BYTES]> {
    let shared = reader.byte();
    let (start, end) = (usize::from(shared >> 3), usize::from(shared & 7));
    let middle = KEY_BYTES.checked_sub(start + end)?;
    let mut key = *before;
    copy(key.get_mut(start..start + middle)?, reader.bytes(middle));
    reader.finish(key)
}

fn decode_value(space: &Space, reader: &mut Reader<'_>) -> Option<Content> {
    let head = reader.uleb();
    let len = u32::try_from(head >> FORM_BITS).ok()?;
    let content = match head & ((1 << FORM_BITS) - 1) {
        FORM_INLINE => {
            let mut bytes = [0; INLINE_BYTES_MAX];
            copy(bytes.get_mut(..len as usize)?, reader.bytes(len as usize));
            Content::Inline { len: len as u8, bytes }
        }
        FORM_ELSEWHERE => Content::At(Place::value(space.at(reader.uleb()), len)),
        FORM_PACKED => {
            let address = space.at(reader.uleb());
            Content::At(Place::packed(address, len, Packed { skip: reader.uleb32(), stored: reader.uleb32() }))
        }
        _ => return None,
    };
    reader.finish(content)
}

/// A child, and the number of the last transaction that may have changed something below it.
fn decode_child(space: &Space, reader: &mut Reader<'_>) -> Option<(Content, u64)> {
    let address = space.at(reader.uleb());
    let len = reader.uleb32();
    let copy = space.at_minus_one(reader.uleb());
    let hash = reader.array();
    let change = reader.uleb();
    reader.finish((Content::At(Place::node(address, len, copy, hash)), change))
}

/// Builds a node in memory.
#[derive(Debug)]
pub(crate) struct NodeWriter {
    space: Space,
    level: u8,
    len: usize,
    key: [u8; KEY_BYTES],
}

impl NodeWriter {
    pub(crate) fn new(space: Space, level: u8) -> Self {
        Self { space, level, len: LEVEL_BYTES, key: [0; KEY_BYTES] }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == LEVEL_BYTES
    }

    /// The last entry's key.
    pub(crate) fn last(&self) -> Key {
        Key::from_bytes(&self.key)
    }

    /// Bytes of the node so far.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that one more entry takes.
    pub(crate) fn entry_len(&self, entry: &Entry, change: u64) -> usize {
        let mut bytes = [0u8; ENTRY_BYTES_MAX];
        self.encode(entry, change, &mut bytes).unwrap_or(ENTRY_BYTES_MAX)
    }

    /// Adds an entry whose key is higher than the last; `false` where it does not fit.
    pub(crate) fn push(&mut self, node: &mut [u8], entry: &Entry, change: u64) -> bool {
        if let Some(level) = node.first_mut() {
            *level = self.level;
        }
        let Some(rest) = node.get_mut(self.len..) else { return false };
        let Some(size) = self.encode(entry, change, rest) else { return false };
        self.note(entry, size);
        true
    }

    /// Counts an entry without writing it.
    pub(crate) fn measure(&mut self, entry: &Entry, change: u64) {
        let size = self.entry_len(entry, change);
        self.note(entry, size);
    }

    fn note(&mut self, entry: &Entry, size: usize) {
        self.len += size;
        self.key = entry.key.to_bytes();
    }

    fn encode(&self, entry: &Entry, change: u64, bytes: &mut [u8]) -> Option<usize> {
        let key = entry.key.to_bytes();
        let start = key.iter().zip(&self.key).take_while(|(a, b)| a == b).count();
        let end = key.iter().zip(&self.key).rev().take_while(|(a, b)| a == b).count();
        let end = end.min(SHARED_END_MAX).min(KEY_BYTES - start);
        let mut writer = Writer::new(bytes);
        writer.byte((start << 3 | end) as u8);
        writer.bytes(key.get(start..KEY_BYTES - end)?);
        match &entry.content {
            Content::Inline { len, bytes } => {
                writer.uleb(u64::from(*len) << FORM_BITS | FORM_INLINE);
                writer.bytes(bytes.get(..usize::from(*len))?);
            }
            Content::At(place) if self.level == 0 => {
                let form = if place.part().is_some() { FORM_PACKED } else { FORM_ELSEWHERE };
                writer.uleb(u64::from(place.len) << FORM_BITS | form);
                writer.uleb(self.space.number(place.address));
                if let Some(packed) = place.part() {
                    writer.uleb(packed.skip.into());
                    writer.uleb(packed.stored.into());
                }
            }
            Content::At(place) => {
                writer.uleb(self.space.number(place.address));
                writer.uleb(place.len.into());
                writer.uleb(self.space.number_plus_one(place.copy()));
                writer.bytes(&place.hash().unwrap_or_default());
                writer.uleb(change);
            }
        }
        writer.finish().map(<[u8]>::len)
    }
}
