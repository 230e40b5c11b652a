//! The tree floor: one copy-on-write B+tree over versioned keys, seen through the table of changes not merged yet.

mod ahead;
#[cfg(feature = "indexes")]
mod changes;
mod check;
mod cleaner;
mod merge;
mod node;
mod resize;
mod scrub;
mod space;
mod versions;
mod view;

pub(crate) use check::{NodeFault, Seen};
use cleaner::Emptying;
pub(crate) use node::{Content, Entry, INLINE_BYTES_MAX};
pub use scrub::Scrubbed;
pub(crate) use space::Demand;
pub(crate) use view::View;

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
/// Who content belongs to that is not under its file's own number.
pub(crate) const KIND_CONTENT: u8 = 6;
/// What indexes there are.
pub(crate) const KIND_INDEX: u8 = 7;
/// A range of a file that is shared content.
pub(crate) const KIND_PART: u8 = 10;
/// The index that a volume begins with.
pub(crate) const INDEX_FIRST: u32 = 1;

/// The tree of a mounted volume.
#[derive(Debug)]
pub(crate) struct Tree<'b, F> {
    pub(crate) log: Log<'b, F>,
    /// What the index that is worked on sees.
    pub(crate) view: View,
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
    /// Pages that the cleaner should have moved and has not; pages programmed when that was counted last.
    debt: u16,
    pages_seen: u16,
    /// The running transaction outgrew the table: its changes are in a tree that no checkpoint knows.
    spilled: bool,
    /// Bytes of values since the last checkpoint: committed, and in the running transaction.
    committed_bytes: u64,
    pending_bytes: u64,
    /// Blocks that the cleaner has emptied since the last checkpoint; there are at most 65,535.
    cleaned: heapless::Vec<u16, CLEANED_MAX>,
    /// Which of the first sixteen of them held a weak page, bit by bit.
    weak: u16,
    /// How many of them, the first, hold something that cannot be read, so that they did not become free.
    unreadable: u8,
    /// The block that the cleaner is emptying.
    emptying: Option<Emptying>,
    /// Blocks whose counts have reached their end may have lost references since they were counted last.
    #[cfg(feature = "indexes")]
    pub(crate) recount_due: bool,
}

/// Blocks that the cleaner may empty between two checkpoints. Where there is no NAND there are fewer blocks, and less memory.
const CLEANED_MAX: usize = if cfg!(feature = "nand-codes") { 24 } else { 14 };

/// The leaf of the last lookup, and what it found.
#[derive(Debug)]
struct Hint {
    leaf: Place,
    low: Key,
    /// As in [`Found`].
    high: Key,
    #[cfg_attr(not(feature = "indexes"), expect(dead_code, reason = "only comparing indexes asks for it"))]
    change: u64,
    reader: NodeReader,
    /// What was looked for: the leaf has nothing between this and the answer.
    asked: Key,
    /// The entry before the reader's place; none at the leaf's end.
    answer: Entry,
    has_answer: bool,
}

impl Hint {
    /// At the start of a leaf.
    fn at(found: &Found, reader: NodeReader) -> Self {
        let Found { place: leaf, low, high, change, .. } = *found;
        Self { leaf, low, high, change, reader, asked: Key::MAX, answer: Entry::EMPTY, has_answer: false }
    }

    /// Starts over where `from` lies before what was looked for last.
    fn go_back<F: Flash>(&mut self, log: &mut Log<'_, F>, from: &Key) -> Result<(), Error> {
        if *from < self.asked {
            self.reader = NodeReader::open(log, &self.leaf, 0)?;
            (self.asked, self.has_answer) = (Key::MAX, false);
        }
        Ok(())
    }

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
    /// No transaction with a higher number has changed anything below it.
    change: u64,
}

/// A child of an inner node, seen through the rows that say new places.
#[derive(Clone, Copy, Debug)]
struct Child {
    key: Key,
    place: Place,
    change: u64,
}

/// Goes through the children of an inner node.
struct Children {
    reader: NodeReader,
    entry: Entry,
    has_entry: bool,
    row: Option<Row>,
    /// Of the node itself.
    level: u8,
    high: Key,
    page: u32,
}

impl Children {
    fn open<F: Flash>(log: &mut Log<'_, F>, level: u8, node: &Found) -> Result<Self, Error> {
        let Found { place, from, high, .. } = *node;
        let reader = NodeReader::open(log, &place, level)?;
        let (entry, page) = (Entry::EMPTY, place.address.page);
        let mut children = Self { reader, entry, has_entry: false, row: None, level, high, page };
        children.has_entry = children.reader.next(log, &mut children.entry)?;
        children.row = children.row_from(log, &from);
        Ok(children)
    }

    fn row_from<F: Flash>(&self, log: &Log<'_, F>, from: &Key) -> Option<Row> {
        log.table.next_in(self.level, from, Age::Frozen).filter(|row| row.key.is_before(&self.high))
    }

    /// The next child that is not empty.
    #[inline(never)]
    fn next<F: Flash>(&mut self, log: &mut Log<'_, F>) -> Result<Option<Child>, Error> {
        while self.has_entry || self.row.is_some() {
            let (key, place, change) = match self.row {
                Some(new) if !self.has_entry || new.key <= self.entry.key => (new.key, new.place, u64::MAX),
                _ => {
                    let place = self.entry.content.place().ok_or(Error::Corrupt { page: self.page })?;
                    (self.entry.key, Some(place), self.reader.change())
                }
            };
            if self.has_entry && self.entry.key == key {
                self.has_entry = self.reader.next(log, &mut self.entry)?;
            }
            if self.row.is_some_and(|new| new.key == key) {
                self.row = self.row_from(log, &key.successor());
            }
            if let Some(place) = place {
                return Ok(Some(Child { key, place, change }));
            }
        }
        Ok(None)
    }
}

impl<'b, F: Flash> Tree<'b, F> {
    #[inline(always)]
    pub(crate) fn over(pages: Pages<'b, F>, mut memory: Memory<'b>) -> Self {
        let node = core::mem::take(&mut memory.node);
        Self {
            log: Log::over(pages, memory),
            view: View::alone(INDEX_FIRST),
            root: None,
            root_level: 0,
            node,
            hint: None,
            stage: None,
            frozen_rows: 0,
            frozen_bytes: 0,
            rows_before: 0,
            debt: 0,
            pages_seen: 0,
            spilled: false,
            committed_bytes: 0,
            pending_bytes: 0,
            cleaned: heapless::Vec::new(),
            weak: 0,
            unreadable: 0,
            emptying: None,
            #[cfg(feature = "indexes")]
            recount_due: true,
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

    /// Copies a value's bytes from `offset`.
    pub(crate) fn read(&mut self, content: &Content, offset: u32, bytes: &mut [u8]) -> Result<(), Error> {
        match content {
            Content::Inline { len, bytes: all } => {
                let all = all.get(..usize::from(*len)).unwrap_or_default();
                let part = all.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
                bytes.copy_from_slice(part.ok_or(Error::Corrupt { page: 0 })?);
                Ok(())
            }
            // Only extents lie in packed records.
            Content::At(place) if place.part().is_some() => Err(Error::Corrupt { page: place.address.page }),
            Content::At(place) => self.log.read_place(place, offset, bytes),
        }
    }

    /// As [`Self::next_version_before`], in the tree alone.
    fn next_in_tree(&mut self, from: &Key, end: &Key, entry: &mut Entry) -> Result<bool, Error> {
        let asked = *from;
        let mut from = asked;
        // A leaf without a higher key leads to its right neighbour, which has one unless a merge has just emptied it.
        for _ in 0..=self.log.table.capacity() {
            if !self.seek(&from)? {
                break;
            }
            if self.answer_in_leaf(&from, entry)? {
                // What is asked for next, in the gap between two leaves, does not lead to the first of them again.
                if let Some(hint) = self.hint.as_mut().filter(|hint| asked < hint.low) {
                    (hint.low, hint.asked) = (asked, asked);
                }
                return Ok(entry.key.is_before(end));
            }
            match &self.hint {
                Some(hint) if hint.high < *end => from = hint.high,
                _ => break,
            }
        }
        Ok(false)
    }

    /// Finds the first key at or after `from` in the leaf of the hint; `false` where there is none.
    fn answer_in_leaf(&mut self, from: &Key, entry: &mut Entry) -> Result<bool, Error> {
        let Some(hint) = &mut self.hint else { return Ok(false) };
        let known = (!hint.has_answer || *from <= hint.answer.key) && *from >= hint.asked;
        if !known && let Err(error) = hint.advance(&mut self.log, from) {
            self.hint = None;
            return Err(error);
        }
        if hint.has_answer {
            *entry = hint.answer;
        }
        Ok(hint.has_answer)
    }

    /// Puts the hint on the leaf for a key, read up to a place before the key's; `false` for an empty tree.
    #[inline(never)]
    fn seek(&mut self, from: &Key) -> Result<bool, Error> {
        let in_leaf = |hint: &&mut Hint| hint.low <= *from && from.is_before(&hint.high);
        if let Some(hint) = self.hint.as_mut().filter(in_leaf) {
            hint.go_back(&mut self.log, from)?;
            return Ok(true);
        }
        self.hint = None;
        let Some(found) = self.find_node(0, from)? else { return Ok(false) };
        let reader = NodeReader::open(&mut self.log, &found.place, 0)?;
        self.hint = Some(Hint::at(&found, reader));
        Ok(true)
    }

    /// The root and the range of all keys.
    fn top(&self) -> Option<Found> {
        let (from, high) = (Key::MIN, Key::MAX);
        self.root.map(|place| Found { place, low: from, from, high, parent_high: high, change: u64::MAX })
    }

    /// The node of a level that a key leads to; `None` where the tree is not that high.
    fn find_node(&mut self, level: u8, key: &Key) -> Result<Option<Found>, Error> {
        let Some(mut found) = self.top().filter(|_| level <= self.root_level) else { return Ok(None) };
        for at in (level + 1..=self.root_level).rev() {
            found = self.child(at, &found, key)?;
        }
        Ok(Some(found))
    }

    /// The child of a node that a key leads to: the last one whose key is not above it, else the first. One without bytes where
    /// a merge has emptied the node.
    fn child(&mut self, level: u8, parent: &Found, key: &Key) -> Result<Found, Error> {
        let mut children = Children::open(&mut self.log, level, parent)?;
        let place = Place::value(parent.place.address, 0);
        let mut found = Found { place, parent_high: parent.high, ..*parent };
        while let Some(child) = children.next(&mut self.log)? {
            let is_first = found.place.len == 0;
            if !is_first && child.key > *key {
                found.high = child.key;
                break;
            }
            found.from = if is_first { parent.from } else { child.key };
            (found.place, found.low, found.change) = (child.place, child.key, child.change);
        }
        Ok(found)
    }
}
