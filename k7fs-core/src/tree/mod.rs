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
use crate::log::{Age, Key, Log, Memory, Place, Row};
use crate::page::Pages;
use merge::Stage;
use node::{LEVELS_MAX, NodeReader};

/// Metadata of an object.
pub(crate) const KIND_INODE: u8 = 1;
/// A name in a directory.
pub(crate) const KIND_NAME: u8 = 2;
/// Content of a file.
pub(crate) const KIND_EXTENT: u8 = 3;
/// An attribute of an object.
pub(crate) const KIND_ATTRIBUTE: u8 = 4;
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
    /// How far a checkpoint has come that is written in steps.
    stage: Option<Stage>,
    /// Rows and bytes of values that it takes.
    frozen_rows: usize,
    frozen_bytes: u64,
    /// Rows in use when it was advanced last.
    rows_before: usize,
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
    answer: Entry,
    has_answer: bool,
}

impl Hint {
    /// Reads on to the first entry at or after `from`.
    #[inline(never)]
    fn advance<F: Flash>(&mut self, log: &mut Log<'_, F>, from: &Key) -> Result<(), Error> {
        loop {
            self.has_answer = self.reader.next(log, &mut self.answer)?;
            if !self.has_answer || self.answer.key >= *from {
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
    /// The key of its pointer.
    low: Key,
    /// The first key that leads here: at the left edge all lower ones do.
    from: Key,
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
            stage: None,
            frozen_rows: 0,
            frozen_bytes: 0,
            rows_before: 0,
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
        self.stage = None;
        self.frozen_rows = 0;
        self.spilled = false;
        let sound = self.root.is_none_or(|root| self.log.pages.space.contains(root.address, root.len));
        if sound && self.root_level < LEVELS_MAX { Ok(()) } else { Err(Error::Corrupt { page: 0 }) }
    }

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
    fn get(&mut self, key: &Key, entry: &mut Entry) -> Result<bool, Error> {
        match self.log.table.find(0, key) {
            None => Ok(self.next_in_tree(key, entry)? && entry.key == *key),
            Some(Row { place: Some(place), .. }) => {
                entry.content = Content::At(place);
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }

    /// Finds the first key at or after `from`; `false` where there is none.
    pub(crate) fn next(&mut self, from: &Key, entry: &mut Entry) -> Result<bool, Error> {
        let mut from = *from;
        // Every round passes over one deleted key of the table.
        for _ in 0..=self.log.table.capacity() {
            let merged = self.next_in_tree(&from, entry)?;
            let Some(row) = self.log.table.next(0, &from) else { return Ok(merged) };
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

    /// As [`Self::next`], in the tree alone.
    fn next_in_tree(&mut self, from: &Key, entry: &mut Entry) -> Result<bool, Error> {
        let mut from = *from;
        // A leaf without a higher key leads to its right neighbour, which has one unless a merge has just emptied it.
        for _ in 0..=self.log.table.capacity() {
            if !self.seek(&from)? {
                break;
            }
            let Some(hint) = &mut self.hint else { break };
            let known = (!hint.has_answer || from <= hint.answer.key) && from >= hint.asked;
            if !known && let Err(error) = hint.advance(&mut self.log, &from) {
                self.hint = None;
                return Err(error);
            }
            if hint.has_answer {
                *entry = hint.answer;
                return Ok(true);
            }
            if hint.high == Key::MAX {
                break;
            }
            from = hint.high;
        }
        Ok(false)
    }

    /// Puts the hint on the leaf for a key, read up to a place before the key's; `false` for an empty tree.
    #[inline(never)]
    fn seek(&mut self, from: &Key) -> Result<bool, Error> {
        let in_leaf = |hint: &&mut Hint| hint.low <= *from && from.is_before(&hint.high);
        if let Some(hint) = self.hint.as_mut().filter(in_leaf) {
            if *from < hint.asked {
                hint.reader = NodeReader::open(&mut self.log, &hint.leaf, 0)?;
                (hint.asked, hint.has_answer) = (Key::MAX, false);
            }
            return Ok(true);
        }
        self.hint = None;
        let Some(found) = self.find_node(0, from)? else { return Ok(false) };
        let reader = NodeReader::open(&mut self.log, &found.place, 0)?;
        let Found { place: leaf, low, high, .. } = found;
        self.hint = Some(Hint { leaf, low, high, reader, asked: Key::MAX, answer: Entry::EMPTY, has_answer: false });
        Ok(true)
    }

    /// The node of a level that a key leads to; `None` where the tree is not that high.
    fn find_node(&mut self, level: u8, key: &Key) -> Result<Option<Found>, Error> {
        let Some(root) = self.root.filter(|_| level <= self.root_level) else { return Ok(None) };
        let (from, high) = (Key::MIN, Key::MAX);
        let mut found = Found { place: root, low: from, from, high, parent_high: high };
        for at in (level + 1..=self.root_level).rev() {
            found = self.child(at, &found, key)?;
        }
        Ok(Some(found))
    }

    /// The child of a node that a key leads to, seen through the rows that say new places: the last one whose key is not
    /// above it, else the first. One without bytes where a merge has emptied the node.
    fn child(&mut self, level: u8, parent: &Found, key: &Key) -> Result<Found, Error> {
        let Found { place, from, high, .. } = *parent;
        let in_range = |row: &Row| row.key.is_before(&high);
        let mut reader = NodeReader::open(&mut self.log, &place, level)?;
        let mut row = self.log.table.next_in(level, &from, Age::Frozen).filter(in_range);
        let mut found = Found { place: Place::value(place.address, 0), parent_high: high, ..*parent };
        let mut entry = Entry::EMPTY;
        let mut has_entry = reader.next(&mut self.log, &mut entry)?;
        while has_entry || row.is_some() {
            let (child_key, child) = match row {
                Some(new) if !has_entry || new.key <= entry.key => (new.key, new.place),
                _ => (entry.key, Some(entry.content.place().ok_or(Error::Corrupt { page: place.address.page })?)),
            };
            if found.place.len > 0 && child_key > *key && child.is_some() {
                found.high = child_key;
                break;
            }
            if let Some(child) = child {
                found.from = if found.place.len > 0 { child_key } else { from };
                (found.place, found.low) = (child, child_key);
            }
            if has_entry && entry.key == child_key {
                has_entry = reader.next(&mut self.log, &mut entry)?;
            }
            if let Some(new) = row.filter(|new| new.key == child_key) {
                row = self.log.table.next_in(level, &new.key.successor(), Age::Frozen).filter(in_range);
            }
        }
        Ok(found)
    }
}
