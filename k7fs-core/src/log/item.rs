//! Items: what the payload of pages is made of.
//!
//! ```text
//! type: u8 | key (types below 0x40): kind u8, object ULEB, position ULEB, index ULEB | length: ULEB | body
//! ```
//!
//! Type 0 ends a page. A header never crosses a page; a body may run on through the pages of its block. The body
//! of a value, a record or a node is found again by its key: every reference to it lies in the key range that
//! starts there, so the cleaner needs no other index.

use core::cmp::Ordering;

use crate::varint::{Reader, Writer, uleb_len};

/// Bytes of the longest item header.
pub(crate) const ITEM_HEADER_BYTES_MAX: usize = 36;

/// Keys of the tree, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// What kind of thing; see FORMAT.md for all of them.
    pub(crate) kind: u8,
    /// The object.
    pub(crate) object: u64,
    /// Offset, or name hash and tie.
    pub(crate) position: u64,
    /// The index (snapshot, subvolume) that wrote it: versions of a key lie side by side, the newest first.
    pub(crate) index: u32,
}

/// Bytes of a key in its fixed form, whose byte order is the order of keys.
pub(crate) const KEY_BYTES: usize = 21;

impl Ord for Key {
    #[inline(never)]
    fn cmp(&self, other: &Self) -> Ordering {
        let fields = |key: &Self| (key.kind, key.object, key.position, !key.index);
        fields(self).cmp(&fields(other))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Key {
    pub(crate) const MIN: Key = Key { kind: 0, object: 0, position: 0, index: u32::MAX };
    pub(crate) const MAX: Key = Key { kind: u8::MAX, object: u64::MAX, position: u64::MAX, index: 0 };

    pub(crate) fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        let mut writer = Writer::new(&mut bytes);
        writer.byte(self.kind);
        writer.bytes(&self.object.to_be_bytes());
        writer.bytes(&self.position.to_be_bytes());
        writer.bytes(&(!self.index).to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut reader = Reader::new(bytes);
        Self {
            kind: reader.byte(),
            object: u64::from_be_bytes(reader.array()),
            position: u64::from_be_bytes(reader.array()),
            index: !u32::from_be_bytes(reader.array()),
        }
    }

    /// Whether both keys are of one kind and one object.
    pub(crate) fn is_beside(&self, other: &Key) -> bool {
        self.kind == other.kind && self.object == other.object
    }

    /// Whether the key comes before the end of a range; a range that ends with the greatest key has no end.
    pub(crate) fn is_before(&self, end: &Key) -> bool {
        self < end || *end == Key::MAX
    }

    /// Whether both keys are versions of one key.
    pub(crate) fn is_version_of(&self, other: &Key) -> bool {
        self.is_beside(other) && self.position == other.position
    }

    /// The next key in order, saturating: an older version of this key, or the newest of the next one.
    pub(crate) fn successor(self) -> Key {
        match self.index.checked_sub(1) {
            Some(index) => Key { index, ..self },
            None => self.next_position(),
        }
    }

    /// The first key behind all versions of this one, saturating.
    pub(crate) fn next_position(self) -> Key {
        let mut next = Key { index: u32::MAX, ..self };
        let (position, carry) = next.position.overflowing_add(1);
        next.position = position;
        if carry {
            let (object, carry) = next.object.overflowing_add(1);
            next.object = object;
            if carry {
                match next.kind.checked_add(1) {
                    Some(kind) => next.kind = kind,
                    None => return Key::MAX,
                }
            }
        }
        next
    }
}

/// The types of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemKind {
    /// A key gets the body as its value.
    Value,
    /// A key gets bytes that are somewhere already: address and length.
    Reference,
    /// A key has no value any more.
    Delete,
    /// Content without a change of keys: what the cleaner moved.
    Record,
    /// A tree node: level, then entries. The key is the first one of its range.
    Node,
    /// A packed record; a key gets its whole content as its value.
    Packed,
    /// A packed record without a change of keys: what was moved.
    PackedRecord,
    /// The first item of a block.
    BlockHeader,
    /// Ends a transaction.
    Commit,
    /// The state of everything, in a checkpoint block.
    Checkpoint,
    /// Where the checkpoint blocks are, in the fixed set.
    Anchor,
    /// A part of the allocation table.
    Allocation,
    /// A copy of the signature, in a checkpoint block.
    Signature,
    /// From a later feature level: skipped.
    Unknown(u8),
}

const KEYLESS: u8 = 0x40;

impl ItemKind {
    fn code(self) -> u8 {
        match self {
            ItemKind::Value => 0x01,
            ItemKind::Reference => 0x02,
            ItemKind::Delete => 0x03,
            ItemKind::Record => 0x04,
            ItemKind::Node => 0x05,
            ItemKind::Packed => 0x06,
            ItemKind::PackedRecord => 0x07,
            ItemKind::BlockHeader => 0x40,
            ItemKind::Commit => 0x41,
            ItemKind::Checkpoint => 0x42,
            ItemKind::Anchor => 0x43,
            ItemKind::Allocation => 0x44,
            ItemKind::Signature => 0x45,
            ItemKind::Unknown(code) => code,
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            0x01 => ItemKind::Value,
            0x02 => ItemKind::Reference,
            0x03 => ItemKind::Delete,
            0x04 => ItemKind::Record,
            0x05 => ItemKind::Node,
            0x06 => ItemKind::Packed,
            0x07 => ItemKind::PackedRecord,
            0x40 => ItemKind::BlockHeader,
            0x41 => ItemKind::Commit,
            0x42 => ItemKind::Checkpoint,
            0x43 => ItemKind::Anchor,
            0x44 => ItemKind::Allocation,
            0x45 => ItemKind::Signature,
            code => ItemKind::Unknown(code),
        }
    }

    /// Whether the item belongs to a transaction: what a replay walks a transaction's pages for.
    pub(crate) fn is_transactional(self) -> bool {
        matches!(self, ItemKind::Value | ItemKind::Reference | ItemKind::Delete | ItemKind::Packed | ItemKind::Commit)
    }

    /// Whether the body may run on into further pages. Small ones stay whole so that a reader needs one page.
    pub(crate) fn runs_on(self) -> bool {
        matches!(
            self,
            ItemKind::Value
                | ItemKind::Record
                | ItemKind::Node
                | ItemKind::Packed
                | ItemKind::PackedRecord
                | ItemKind::Allocation
        )
    }
}

/// An item's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemHeader {
    pub(crate) kind: ItemKind,
    /// The zero key where the type has none.
    pub(crate) key: Key,
    /// Bytes of the body.
    pub(crate) len: u32,
}

impl ItemHeader {
    /// Writes the header.
    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        let code = self.kind.code();
        writer.byte(code);
        if code & KEYLESS == 0 {
            writer.byte(self.key.kind);
            writer.uleb(self.key.object);
            writer.uleb(self.key.position);
            writer.uleb(self.key.index.into());
        }
        writer.uleb(self.len.into());
    }

    /// Bytes of the encoded header.
    pub(crate) fn encoded_len(&self) -> u32 {
        let key = &self.key;
        let key_len = 1 + uleb_len(key.object) + uleb_len(key.position) + uleb_len(key.index.into());
        let has_key = self.kind.code() & KEYLESS == 0;
        let key_len = if has_key { key_len } else { 0 };
        (1 + key_len + uleb_len(self.len.into())) as u32
    }

    /// Reads a header and tells its length; `Ok(None)` at the end of a page's items, `Err` where it makes no sense.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, ()> {
        match bytes.first() {
            None | Some(0) => Ok(None),
            Some(_) => Self::decode_some(bytes).map(Some).ok_or(()),
        }
    }

    fn decode_some(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut reader = Reader::new(bytes);
        let code = reader.byte();
        let mut key = Key::MIN;
        if code & KEYLESS == 0 {
            key.kind = reader.byte();
            key.object = reader.uleb();
            key.position = reader.uleb();
            key.index = reader.uleb32();
        }
        let len = reader.uleb32();
        reader.finish((Self { kind: ItemKind::from_code(code), key, len }, reader.position()))
    }
}

/// Writes an item whose type has no key, with its body.
pub(super) fn keyless_item<'b>(kind: ItemKind, body: &[u8], bytes: &'b mut [u8]) -> Option<&'b [u8]> {
    let mut writer = Writer::new(bytes);
    ItemHeader { kind, key: Key::MIN, len: body.len() as u32 }.encode(&mut writer);
    writer.bytes(body);
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn key_bytes_sort_like_keys(a: (u8, u64, u64, u32), b: (u8, u64, u64, u32)) {
            let a = Key { kind: a.0, object: a.1, position: a.2, index: a.3 };
            let b = Key { kind: b.0, object: b.1, position: b.2, index: b.3 };
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert_eq!(Key::from_bytes(&a.to_bytes()), a);
            prop_assert!(a == Key::MAX || a.successor() > a);
        }

        #[test]
        fn headers_come_back(object: u64, position: u64, index: u32, len: u32) {
            let header = ItemHeader { kind: ItemKind::Value, key: Key { kind: 3, object, position, index }, len };
            let mut bytes = [0; ITEM_HEADER_BYTES_MAX];
            let mut writer = Writer::new(&mut bytes);
            header.encode(&mut writer);
            let written = writer.finish().unwrap();
            prop_assert_eq!(ItemHeader::decode(written), Ok(Some((header, written.len()))));
        }
    }
}
