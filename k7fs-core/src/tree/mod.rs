//! The tree floor: one copy-on-write B+tree over versioned keys, seen through the table of changes not merged yet.

mod check;
mod cleaner;
mod merge;
mod node;
mod space;

pub(crate) use check::NodeFault;
pub(crate) use node::{Content, Entry, INLINE_BYTES_MAX};
pub(crate) use space::Demand;

use crate::error::inner::Error;
use crate::flash::Flash;
use crate::log::{Key, Log, Memory, Place};
use crate::page::Pages;
use node::{LEVELS_MAX, NodeReader};

/// Metadata of an object.
pub(crate) const KIND_INODE: u8 = 1;
/// A name in a directory.
pub(crate) const KIND_NAME: u8 = 2;
/// Content of a file.
pub(crate) const KIND_EXTENT: u8 = 3;
/// Work that a commit left to be done.
pub(crate) const KIND_JOB: u8 = 5;

/// The tree of a mounted volume.
#[derive(Debug)]
pub(crate) struct Tree<'b, F> {
    pub(crate) log: Log<'b, F>,
    root: Option<Place>,
    root_level: u8,
    /// Where nodes are built.
    node: &'b mut [u8],
    /// Where the last lookup ended.
    hint: Option<Hint>,
    /// The running transaction outgrew the table: its changes are in a tree that no checkpoint knows.
    spilled: bool,
    /// Bytes of values since the last checkpoint: committed, and in the running transaction.
    committed_bytes: u64,
    pending_bytes: u64,
    /// Blocks that the cleaner has emptied since the last checkpoint; there are at most 65,535.
    cleaned: heapless::Vec<u16, CLEANED_MAX>,
}

/// Blocks that the cleaner may empty between two checkpoints.
const CLEANED_MAX: usize = 32;

/// The leaf of the last lookup, and what it found.
#[derive(Debug)]
struct Hint {
    leaf: Place,
    low: Key,
    /// As in [`Found`].
    high: Key,
    reader: NodeReader,
    /// What was looked for: the leaf has nothing between this and the answer.
    asked: Key,
    /// The entry before the reader's place; none at the leaf's end.
    answer: Option<Entry>,
}

impl Hint {
    /// Reads on to the first entry at or after `from`.
    #[inline(never)]
    fn advance<F: Flash>(&mut self, log: &mut Log<'_, F>, from: &Key) -> Result<(), Error> {
        loop {
            self.answer = self.reader.next(log)?;
            if self.answer.as_ref().is_none_or(|entry| entry.key >= *from) {
                self.asked = *from;
                return Ok(());
            }
        }
    }
}

/// A node on the way down, with the range of keys that lead to it.
#[derive(Clone, Copy, Debug)]
struct Found {
    place: Place,
    low: Key,
    /// The first key that no longer leads here; the greatest at the right edge.
    high: Key,
    /// The same for its parent: a neighbour behind it has another parent.
    parent_high: Key,
}

impl<'b, F: Flash> Tree<'b, F> {
    #[inline(always)]
    pub(crate) fn over(pages: Pages<'b, F>, mut memory: Memory<'b>) -> Self {
        let node = core::mem::take(&mut memory.node);
        Self {
            log: Log::over(pages, memory),
            root: None,
            root_level: 0,
            node,
            hint: None,
            spilled: false,
            committed_bytes: 0,
            pending_bytes: 0,
            cleaned: heapless::Vec::new(),
        }
    }

    /// Takes the root of the log's checkpoint.
    pub(crate) fn adopt_root(&mut self) -> Result<(), Error> {
        self.root = self.log.checkpoint.root;
        self.root_level = self.log.checkpoint.root_level;
        self.hint = None;
        self.spilled = false;
        let sound = self.root.is_none_or(|root| self.log.pages.space.contains(root.address, root.len));
        if sound && self.root_level < LEVELS_MAX { Ok(()) } else { Err(Error::Corrupt { page: 0 }) }
    }

    /// Whether a key has a value.
    pub(crate) fn has(&mut self, key: &Key) -> Result<bool, Error> {
        Ok(self.get(key)?.is_some())
    }

    /// Copies a key's value, as far as it fits; `NotFound` where it has none.
    pub(crate) fn load<'v>(&mut self, key: &Key, bytes: &'v mut [u8]) -> Result<&'v [u8], Error> {
        let content = self.get(key)?.ok_or(Error::NotFound)?;
        let len = bytes.len().min(content.len() as usize);
        let value = bytes.get_mut(..len).unwrap_or_default();
        self.read(&content, 0, value)?;
        Ok(value)
    }

    /// What a key stands for.
    #[inline(never)]
    fn get(&mut self, key: &Key) -> Result<Option<Content>, Error> {
        if let Some(row) = self.log.table.find(0, key) {
            return Ok(row.place.map(Content::At));
        }
        let entry = self.next_in_tree(key)?;
        Ok(entry.filter(|entry| entry.key == *key).map(|entry| entry.content))
    }

    /// The first key at or after `from`.
    pub(crate) fn next(&mut self, from: &Key) -> Result<Option<Entry>, Error> {
        let mut from = *from;
        // Every round passes over one deleted key of the table.
        for _ in 0..=self.log.table.capacity() {
            let merged = self.next_in_tree(&from)?;
            let Some(row) = self.log.table.next(0, &from) else { return Ok(merged) };
            if let Some(entry) = merged.filter(|entry| entry.key < row.key) {
                return Ok(Some(entry));
            }
            match row.place {
                Some(place) => return Ok(Some(Entry { key: row.key, content: Content::At(place) })),
                None => from = row.key.successor(),
            }
        }
        Ok(None)
    }

    /// Copies a value's bytes from `offset`.
    pub(crate) fn read(&mut self, content: &Content, offset: u32, bytes: &mut [u8]) -> Result<(), Error> {
        match content {
            Content::Inline { len, bytes: all } => {
                let all = all.get(..usize::from(*len)).unwrap_or_default();
                let part = all.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
                bytes.copy_from_slice(part.ok_or(Error::Corrupt { page: 0 })?);
                Ok(())
            }
            Content::At(place) => self.log.read_place(place, offset, bytes),
        }
    }

    /// The first key at or after `from` in the tree alone.
    fn next_in_tree(&mut self, from: &Key) -> Result<Option<Entry>, Error> {
        let mut from = *from;
        // A leaf without a higher key leads to its right neighbour, which has one.
        for _ in 0..4 {
            if !self.seek(&from)? {
                return Ok(None);
            }
            let Some(hint) = &mut self.hint else { return Ok(None) };
            let known = hint.answer.as_ref().is_none_or(|answer| from <= answer.key) && from >= hint.asked;
            if !known && let Err(error) = hint.advance(&mut self.log, &from) {
                self.hint = None;
                return Err(error);
            }
            if hint.answer.is_some() || hint.high == Key::MAX {
                return Ok(hint.answer);
            }
            from = hint.high;
        }
        Ok(None)
    }

    /// Puts the hint on the leaf for a key, read up to a place before the key's; `false` for an empty tree.
    #[inline(never)]
    fn seek(&mut self, from: &Key) -> Result<bool, Error> {
        let in_leaf = |hint: &&mut Hint| hint.low <= *from && from.is_before(&hint.high);
        if let Some(hint) = self.hint.as_mut().filter(in_leaf) {
            if *from < hint.asked {
                hint.reader = NodeReader::open(&mut self.log, &hint.leaf, 0)?;
                (hint.asked, hint.answer) = (Key::MAX, None);
            }
            return Ok(true);
        }
        self.hint = None;
        let Some(found) = self.find_node(0, from)? else { return Ok(false) };
        let reader = NodeReader::open(&mut self.log, &found.place, 0)?;
        let Found { place: leaf, low, high, .. } = found;
        self.hint = Some(Hint { leaf, low, high, reader, asked: Key::MAX, answer: None });
        Ok(true)
    }

    /// The node of a level that a key leads to; `None` where the tree is not that high.
    fn find_node(&mut self, level: u8, key: &Key) -> Result<Option<Found>, Error> {
        let Some(root) = self.root.filter(|_| level <= self.root_level) else { return Ok(None) };
        let mut found = Found { place: root, low: Key::MIN, high: Key::MAX, parent_high: Key::MAX };
        for at in (level + 1..=self.root_level).rev() {
            let mut reader = NodeReader::open(&mut self.log, &found.place, at)?;
            let mut child: Option<Entry> = None;
            found.parent_high = found.high;
            while let Some(entry) = reader.next(&mut self.log)? {
                if child.is_some() && entry.key > *key {
                    found.high = entry.key;
                    break;
                }
                child = Some(entry);
            }
            let page = self.log.pages.space.page_of(found.place.address);
            let Some(Entry { key: low, content: Content::At(place) }) = child else {
                return Err(Error::Corrupt { page });
            };
            found.place = place;
            found.low = low;
        }
        Ok(Some(found))
    }
}
