//! The table: changes that no checkpoint has merged into the tree yet.
//!
//! Rows of fixed size, sorted by level, key and age. Level 0 holds changes of keys; higher levels hold new places of
//! tree nodes while a merge is under way. A younger row hides the older ones of its key:
//!
//! ```text
//! frozen ──> being merged into the tree    active ──> committed since    pending ──> of the running transaction
//!
//! level 1 | key 21 | age 1 | form 1 | address 5 | length 4 | copy 5 | hash 8
//! ```
//!
//! The form tells what the last two fields are: a packed record's skip and stored length lie in place of a node's hash.

use super::alloc::Alloc;
use super::item::{KEY_BYTES, Key};
use crate::hash::POINTER_HASH_BYTES;
use crate::page::{Address, Space};

const LEVEL_AT: usize = 0;
const KEY_AT: usize = 1;
const AGE_AT: usize = KEY_AT + KEY_BYTES;
const FORM_AT: usize = AGE_AT + 1;
const ADDRESS_AT: usize = FORM_AT + 1;
const ADDRESS_BYTES: usize = 5;
const LEN_AT: usize = ADDRESS_AT + ADDRESS_BYTES;
const COPY_AT: usize = LEN_AT + 4;
const HASH_AT: usize = COPY_AT + ADDRESS_BYTES;
/// Bytes of a row.
pub(crate) const ROW_BYTES: usize = HASH_AT + POINTER_HASH_BYTES;
/// What rows are sorted by.
const SORT_BYTES: usize = FORM_AT;
/// No second copy.
const NO_COPY: [u8; ADDRESS_BYTES] = [u8::MAX; ADDRESS_BYTES];
/// Forms of a row: a deletion, and what lies beside a place.
const FORM_DELETED: u8 = 0;
const FORM_BYTES: u8 = 1;
const FORM_NODE: u8 = 2;
const FORM_PACKED: u8 = 3;
/// Bits of the offset in a row's addresses: pages have at most 4 KiB of payload.
const OFFSET_BITS: u32 = 13;

/// Bytes on flash that a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: Address,
    /// Bytes that it stands for.
    pub(crate) len: u32,
    pub(crate) beside: Beside,
}

/// What belongs to a place beside where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// The bytes are there as they are.
    Nothing,
    /// A node: where an inner one lies a second time, and its hash.
    Node { copy: Option<Address>, hash: [u8; POINTER_HASH_BYTES] },
    /// Part of the content of a packed record, whose body starts at the address.
    Packed(Packed),
}

/// Which part of a packed record's content a place stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Where the part starts in the plain content.
    pub(crate) skip: u32,
    /// Bytes of the record's whole body on flash.
    pub(crate) stored: u32,
}

impl Place {
    /// No bytes at all: the value of a whiteout.
    pub(crate) const NOTHING: Self = Self { address: Address { page: 0, offset: 0 }, len: 0, beside: Beside::Nothing };

    /// A value: nothing beside its bytes.
    pub(crate) fn value(address: Address, len: u32) -> Self {
        Self { address, len, beside: Beside::Nothing }
    }

    /// A node and its second copy.
    pub(crate) fn node(address: Address, len: u32, copy: Option<Address>, hash: [u8; POINTER_HASH_BYTES]) -> Self {
        Self { address, len, beside: Beside::Node { copy, hash } }
    }

    /// A part of a packed record's content.
    pub(crate) fn packed(address: Address, len: u32, packed: Packed) -> Self {
        Self { address, len, beside: Beside::Packed(packed) }
    }

    /// Where a node lies a second time.
    pub(crate) fn copy(&self) -> Option<Address> {
        match self.beside {
            Beside::Node { copy, .. } => copy,
            _ => None,
        }
    }

    /// The hash of a node.
    pub(crate) fn hash(&self) -> Option<[u8; POINTER_HASH_BYTES]> {
        match self.beside {
            Beside::Node { hash, .. } => Some(hash),
            _ => None,
        }
    }

    /// Which part of a packed record it is.
    pub(crate) fn part(&self) -> Option<Packed> {
        match self.beside {
            Beside::Packed(packed) => Some(packed),
            _ => None,
        }
    }

    /// Bytes on flash from the address on that are needed for it.
    pub(crate) fn stored(&self) -> u32 {
        self.part().map_or(self.len, |packed| packed.stored)
    }

    /// The bytes on flash that are needed for it.
    pub(crate) fn bytes(&self) -> Self {
        Self::value(self.address, self.stored())
    }
}

// Places are what the table, nodes and the walk down a tree are full of.
const _: () = assert!(size_of::<Place>() == 32);

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Age {
    /// The merge that is under way takes it into the tree. New places of nodes are never anything else.
    Frozen,
    /// Committed; the next merge takes it.
    Active,
    /// Of the running transaction.
    Pending,
}

impl Age {
    fn code(self) -> u8 {
        match self {
            Age::Frozen => 0,
            Age::Active => 1,
            Age::Pending => 2,
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            0 => Age::Frozen,
            1 => Age::Active,
            _ => Age::Pending,
        }
    }
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) level: u8,
    pub(crate) key: Key,
    pub(crate) age: Age,
    /// `None` deletes the key.
    pub(crate) place: Option<Place>,
}

/// Sorted rows in the caller's memory.
#[derive(Debug)]
pub(crate) struct Table<'b> {
    bytes: &'b mut [u8],
    len: usize,
}

impl<'b> Table<'b> {
    pub(crate) fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len() / ROW_BYTES
    }

    /// Rows that it takes on top of those it has.
    pub(crate) fn room(&self) -> usize {
        self.capacity().saturating_sub(self.len)
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    fn raw(&self, index: usize) -> Option<&[u8; ROW_BYTES]> {
        if index >= self.len {
            return None;
        }
        self.bytes.get(index * ROW_BYTES..)?.first_chunk()
    }

    /// The row at a position in the order.
    pub(crate) fn row(&self, index: usize) -> Option<Row> {
        self.raw(index).map(decode)
    }

    fn sort_key(level: u8, key: &Key, age: Age) -> [u8; SORT_BYTES] {
        let mut bytes = [0; SORT_BYTES];
        let mut writer = crate::varint::Writer::new(&mut bytes);
        writer.byte(level);
        writer.bytes(&key.to_bytes());
        writer.byte(age.code());
        bytes
    }

    /// How many rows sort before this one.
    fn lower_bound(&self, level: u8, key: &Key, age: Age) -> usize {
        let wanted = Self::sort_key(level, key, age);
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            let before = self.raw(middle).and_then(|raw| raw.get(..SORT_BYTES)).is_some_and(|have| have < &wanted[..]);
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The first key of a level at or after `from`, in its newest version.
    pub(crate) fn next(&self, level: u8, from: &Key) -> Option<Row> {
        let mut index = self.lower_bound(level, from, Age::Frozen);
        let mut row = self.row(index).filter(|row| row.level == level)?;
        while self.is_hidden(index) {
            index += 1;
            row = self.row(index)?;
        }
        Some(row)
    }

    /// Whether the row at a position has a younger one of the same key.
    pub(crate) fn is_hidden(&self, index: usize) -> bool {
        let key = |index: usize| self.raw(index).and_then(|raw| raw.get(..AGE_AT));
        key(index).is_some() && key(index) == key(index + 1)
    }

    /// The newest version of a key.
    pub(crate) fn find(&self, level: u8, key: &Key) -> Option<Row> {
        self.next(level, key).filter(|row| row.key == *key)
    }

    /// The first row of a level and age at or after `from`.
    pub(crate) fn next_in(&self, level: u8, from: &Key, age: Age) -> Option<Row> {
        let mut index = self.lower_bound(level, from, Age::Frozen);
        loop {
            let row = self.row(index).filter(|row| row.level == level)?;
            if row.age == age {
                return Some(row);
            }
            index += 1;
        }
    }

    /// Puts a row in its place, over the one of the same level, key and age. `false` where the table is full.
    pub(crate) fn put(&mut self, row: &Row) -> bool {
        let index = self.lower_bound(row.level, &row.key, row.age);
        let same = self.row(index).is_some_and(|old| (old.level, old.key, old.age) == (row.level, row.key, row.age));
        let at = index * ROW_BYTES;
        if !same {
            if self.len >= self.capacity() {
                return false;
            }
            let end = self.len * ROW_BYTES;
            let Some(part) = self.bytes.get_mut(at..end + ROW_BYTES) else { return false };
            // Every row takes the place of the next one; the last place was unused.
            let mut moved = [0; ROW_BYTES];
            for place in part.as_chunks_mut().0 {
                moved = core::mem::replace(place, moved);
            }
            self.len += 1;
        }
        if let Some(place) = self.bytes.get_mut(at..at + ROW_BYTES) {
            encode(row, place);
        }
        true
    }

    /// Removes the row at a position.
    pub(crate) fn remove(&mut self, index: usize) {
        let Some(part) = self.bytes.get_mut(index * ROW_BYTES..self.len * ROW_BYTES).filter(|part| !part.is_empty())
        else {
            return;
        };
        let mut moved = [0; ROW_BYTES];
        for place in part.as_chunks_mut().0.iter_mut().rev() {
            moved = core::mem::replace(place, moved);
        }
        self.len -= 1;
    }

    /// Removes the row of this level, key and age.
    pub(crate) fn remove_row(&mut self, level: u8, key: &Key, age: Age) {
        let index = self.lower_bound(level, key, age);
        if self.row(index).is_some_and(|row| (row.level, row.key, row.age) == (level, *key, age)) {
            self.remove(index);
        }
    }

    /// How many rows have an age.
    pub(crate) fn count(&self, age: Age) -> usize {
        (0..self.len).filter(|index| self.age(*index) == Some(age)).count()
    }

    fn age(&self, index: usize) -> Option<Age> {
        self.raw(index).and_then(|raw| raw.get(AGE_AT)).map(|code| Age::from_code(*code))
    }

    fn set_age(&mut self, index: usize, age: Age) {
        if let Some(place) = self.bytes.get_mut(index * ROW_BYTES + AGE_AT) {
            *place = age.code();
        }
    }

    /// Makes pending rows active; the active ones they hid go.
    pub(crate) fn commit_pending(&mut self) {
        self.advance(Age::Pending, Age::Active);
    }

    /// Makes active rows frozen, for a merge.
    pub(crate) fn freeze(&mut self) {
        self.advance(Age::Active, Age::Frozen);
    }

    /// Makes all rows of an age one step older; what they hid at that age goes.
    fn advance(&mut self, from: Age, to: Age) {
        let mut index = 0;
        while let Some(age) = self.age(index) {
            if age == from {
                let before = index.wrapping_sub(1);
                if self.age(before) == Some(to) && self.is_hidden(before) {
                    self.remove(before);
                    index = before;
                }
                self.set_age(index, to);
            }
            index += 1;
        }
    }

    /// Drops pending rows.
    pub(crate) fn roll_back_pending(&mut self) {
        let mut index = 0;
        while let Some(age) = self.age(index) {
            if age == Age::Pending {
                self.remove(index);
            } else {
                index += 1;
            }
        }
    }

    /// Everything in block `from` is in block `to` now, at the same place. Nodes take their live counts along.
    pub(crate) fn rename_block(&mut self, space: &Space, alloc: &mut Alloc<'_>, from: u32, to: u32) {
        for index in 0..self.len {
            let Some(mut row) = self.row(index) else { continue };
            let Some(place) = &mut row.place else { continue };
            let old = *place;
            if space.block_of(place.address) == from {
                place.address = space.in_block(place.address, to);
            }
            if let Beside::Node { copy: Some(copy), .. } = &mut place.beside
                && space.block_of(*copy) == from
            {
                *copy = space.in_block(*copy, to);
            }
            if *place == old {
                continue;
            }
            if row.level > 0 {
                alloc.subtract_place(space, &old);
                alloc.add_place(space, place);
            }
            if let Some(bytes) = self.bytes.get_mut(index * ROW_BYTES..(index + 1) * ROW_BYTES) {
                encode(&row, bytes);
            }
        }
    }
}

fn encode(row: &Row, bytes: &mut [u8]) {
    let mut writer = crate::varint::Writer::new(bytes);
    writer.byte(row.level);
    writer.bytes(&row.key.to_bytes());
    writer.byte(row.age.code());
    let place = row.place.unwrap_or(Place::value(Address { page: 0, offset: 0 }, 0));
    writer.byte(match place.beside {
        _ if row.place.is_none() => FORM_DELETED,
        Beside::Nothing => FORM_BYTES,
        Beside::Node { .. } => FORM_NODE,
        Beside::Packed(_) => FORM_PACKED,
    });
    writer.bytes(&address_bytes(place.address));
    writer.bytes(&place.len.to_le_bytes());
    writer.bytes(&place.copy().map_or(NO_COPY, address_bytes));
    match place.beside {
        Beside::Nothing => writer.bytes(&[0; POINTER_HASH_BYTES]),
        Beside::Node { hash, .. } => writer.bytes(&hash),
        Beside::Packed(packed) => {
            writer.bytes(&packed.skip.to_le_bytes());
            writer.bytes(&packed.stored.to_le_bytes());
        }
    }
}

fn decode(bytes: &[u8; ROW_BYTES]) -> Row {
    let mut reader = crate::varint::Reader::new(bytes);
    let level = reader.byte();
    let key = Key::from_bytes(&reader.array());
    let age = Age::from_code(reader.byte());
    let form = reader.byte();
    let address = read_address(reader.array());
    let len = u32::from_le_bytes(reader.array());
    let copy = reader.array();
    let copy = (copy != NO_COPY).then(|| read_address(copy));
    let place = match form {
        FORM_DELETED => None,
        FORM_NODE => Some(Place::node(address, len, copy, reader.array())),
        FORM_PACKED => {
            let (skip, stored) = (u32::from_le_bytes(reader.array()), u32::from_le_bytes(reader.array()));
            Some(Place::packed(address, len, Packed { skip, stored }))
        }
        _ => Some(Place::value(address, len)),
    };
    Row { level, key, age, place }
}

/// A volume has less than 2^27 pages.
fn address_bytes(address: Address) -> [u8; ADDRESS_BYTES] {
    let [a, b, c, d] = (address.page << OFFSET_BITS | address.offset).to_le_bytes();
    [a, b, c, d, (address.page >> (u32::BITS - OFFSET_BITS)) as u8]
}

fn read_address([a, b, c, d, e]: [u8; ADDRESS_BYTES]) -> Address {
    let low = u32::from_le_bytes([a, b, c, d]);
    let page = low >> OFFSET_BITS | u32::from(e) << (u32::BITS - OFFSET_BITS);
    Address { page, offset: low & ((1 << OFFSET_BITS) - 1) }
}

const _: () = assert!(LEVEL_AT == 0 && ROW_BYTES == 46);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::collections::BTreeMap;

    fn key(object: u8) -> Key {
        Key { kind: 1, object: object.into(), position: 0, index: 1 }
    }

    proptest! {
        /// The table behaves like three maps, one hidden behind the other.
        #[test]
        fn younger_rows_hide_older_ones(steps in proptest::collection::vec((0u8..6, 0u8..12, any::<u16>()), 0..60)) {
            let mut bytes = [0; ROW_BYTES * 36];
            let mut table = Table::new(&mut bytes);
            let (mut frozen, mut active, mut pending) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
            for (step, object, len) in steps {
                match step {
                    0 | 1 => {
                        let place = (step == 0).then(|| Place::value(Address { page: object.into(), offset: 7 }, len.into()));
                        let row = Row { level: 0, key: key(object), age: Age::Pending, place };
                        prop_assert!(table.put(&row));
                        pending.insert(object, place);
                    }
                    2 => { table.commit_pending(); active.append(&mut pending); }
                    3 => { table.roll_back_pending(); pending.clear(); }
                    4 => { table.freeze(); frozen.append(&mut active); }
                    _ => {
                        let want = pending.get(&object).or(active.get(&object)).or(frozen.get(&object));
                        prop_assert_eq!(table.find(0, &key(object)).map(|row| row.place), want.copied());
                    }
                }
                prop_assert_eq!(table.len(), frozen.len() + active.len() + pending.len());
                for (age, map) in [(Age::Frozen, &frozen), (Age::Active, &active), (Age::Pending, &pending)] {
                    prop_assert_eq!(table.count(age), map.len());
                    let first = table.next_in(0, &Key::MIN, age).map(|row| row.place);
                    prop_assert_eq!(first, map.values().next().copied());
                }
            }
        }
    }
}
