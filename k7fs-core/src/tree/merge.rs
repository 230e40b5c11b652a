//! Merging the table into the tree, level by level.
//!
//! Every leaf that a row concerns is written anew; its new place becomes a row one level up; the same again there, up to
//! the root. Nothing that a checkpoint refers to is touched on the way.

use super::node::{Content, Entry, LEVELS_MAX, NodeReader, NodeWriter};
use super::{Found, INLINE_BYTES_MAX, KIND_EXTENT, Tree};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::hash::pointer_hash;
use crate::log::{Age, HeadId, ItemKind, Key, Log, Place, Row};

/// Old nodes read in one go: the one concerned and, where little is left in it, its right neighbour.
const SOURCES_MAX: usize = 2;
/// Rows that writing a node anew may add: the pointers that go, and those to what becomes of entries that no row concerns.
const NODE_ROWS: usize = 4;

/// Merges old entries with rows.
struct Merge {
    level: u8,
    age: Age,
    sources: [Option<Found>; SOURCES_MAX],
    source: usize,
    reader: Option<NodeReader>,
    peeked: Entry,
    has_peeked: bool,
    /// What children that come from rows are given as their last change.
    change: u64,
    from: Key,
    /// Where the range of the nodes read ends.
    high: Key,
}

/// One step of a merge.
struct Step {
    /// What the key stands for from now on, if it stays.
    entry: Entry,
    stays: bool,
    /// Bytes elsewhere that a row has taken the place of.
    replaced: Option<Place>,
    from_row: bool,
    /// For a child: the last transaction that may have changed something below it.
    change: u64,
}

impl Step {
    const EMPTY: Self = Self { entry: Entry::EMPTY, stays: false, replaced: None, from_row: false, change: 0 };
}

impl Merge {
    fn new(level: u8, age: Age, change: u64, found: Option<Found>) -> Self {
        let high = found.as_ref().map_or(Key::MAX, |found| found.high);
        let (peeked, from) = (Entry::EMPTY, Key::MIN);
        let sources = [found, None];
        Self { level, age, sources, source: 0, reader: None, peeked, has_peeked: false, change, from, high }
    }

    /// Where the right neighbour starts, if it has the same parent.
    fn neighbour_at(&self) -> Option<Key> {
        self.sources[0].as_ref().filter(|found| found.high != found.parent_high).map(|found| found.high)
    }

    /// Takes the right neighbour in, before the merge has begun.
    fn set_neighbour(&mut self, neighbour: Option<Found>) {
        self.high = neighbour.as_ref().map_or(self.high, |neighbour| neighbour.high);
        self.sources[1] = neighbour;
    }

    fn start_over(&mut self) {
        (self.source, self.reader, self.has_peeked, self.from) = (0, None, false, Key::MIN);
    }

    /// Where the range of the nodes read starts.
    fn low(&self) -> Key {
        self.sources[0].as_ref().map_or(Key::MIN, |found| found.low)
    }

    /// Reads the next old entry, unless it is there already; none is left where there is none afterwards.
    #[inline(never)]
    fn peek<F: Flash>(&mut self, log: &mut Log<'_, F>) -> Result<(), Error> {
        while !self.has_peeked {
            if let Some(reader) = &mut self.reader {
                self.has_peeked = reader.next(log, &mut self.peeked)?;
                if self.has_peeked {
                    break;
                }
            }
            let Some(Some(found)) = self.sources.get(self.source) else { break };
            self.reader = Some(NodeReader::open(log, &found.place, self.level)?);
            self.source += 1;
        }
        Ok(())
    }

    /// Takes the next step; `false` at the end.
    fn next<F: Flash>(&mut self, tree: &mut Tree<'_, F>, step: &mut Step) -> Result<bool, Error> {
        self.peek(&mut tree.log)?;
        let row = tree.log.table.next_in(self.level, &self.from, self.age);
        let comes_next = |row: &Row| row.key.is_before(&self.high) && !(self.has_peeked && self.peeked.key < row.key);
        let Some(row) = row.filter(comes_next) else {
            (step.entry, step.stays, step.from_row) = (self.peeked, true, false);
            step.change = self.reader.as_ref().map_or(0, NodeReader::change);
            return Ok(core::mem::replace(&mut self.has_peeked, false));
        };
        self.from = row.key.successor();
        step.replaced = None;
        if self.has_peeked && self.peeked.key == row.key {
            self.has_peeked = false;
            step.replaced = self.peeked.content.place();
        }
        (step.entry.key, step.stays, step.from_row) = (row.key, row.place.is_some(), true);
        step.change = self.change;
        if let Some(place) = row.place {
            step.entry.content = tree.content_of(&row, place)?;
        }
        Ok(true)
    }
}

/// How far a checkpoint has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// Nodes of a level are written anew, from a key on.
    Nodes { level: u8, from: Key },
    /// The tree is whole; parts of the allocation table are written, from this one on.
    Segments { next: usize },
}

impl<F: Flash> Tree<'_, F> {
    /// Merges all committed rows, writes a checkpoint and frees what only the last one needed.
    ///
    /// A running transaction's rows stay as they are.
    pub(crate) fn checkpoint(&mut self) -> Result<(), Error> {
        self.end_checkpoint()?;
        self.begin_checkpoint();
        self.end_checkpoint()
    }

    /// Begins a checkpoint of everything that is committed now; steps do the rest.
    pub(super) fn begin_checkpoint(&mut self) {
        self.log.begin_merge();
        (self.frozen_rows, self.frozen_bytes) = (self.log.table.count(Age::Frozen), self.committed_bytes);
        self.stage = Some(Stage::Nodes { level: 0, from: Key::MIN });
    }

    /// Takes the rest of the steps of a checkpoint that was begun.
    pub(super) fn end_checkpoint(&mut self) -> Result<(), Error> {
        while self.stage.is_some() {
            self.step_checkpoint()?;
        }
        Ok(())
    }

    /// Takes one step of a checkpoint that was begun: a node or a part of the allocation table is written, or, at the end, the
    /// checkpoint. What only the last one needed becomes free with that.
    #[inline(never)]
    pub(super) fn step_checkpoint(&mut self) -> Result<(), Error> {
        self.stage = match self.stage {
            None => None,
            Some(Stage::Nodes { level, from }) => match self.merge_next(Age::Frozen, level, &from)? {
                Some((level, from)) => Some(Stage::Nodes { level, from }),
                None => Some(Stage::Segments { next: 0 }),
            },
            Some(Stage::Segments { next }) => match self.log.write_next_segment(next)? {
                Some(next) => Some(Stage::Segments { next }),
                None => {
                    self.log.finish_merge(self.root, self.root_level)?;
                    self.committed_bytes = self.committed_bytes.saturating_sub(self.frozen_bytes);
                    self.frozen_rows = 0;
                    self.suspect_weak();
                    // What is still alive in an emptied block cannot be read: no use to try again before the next mount.
                    let alloc = &self.log.alloc;
                    self.cleaned.retain(|block| alloc.live((*block).into()) > 0);
                    self.unreadable = self.cleaned.len() as u8;
                    // What is free now is soon another's.
                    self.emptying = self.emptying.filter(|emptying| self.is_candidate(emptying.block.into()));
                    None
                }
            },
        };
        Ok(())
    }

    /// Merges the running transaction into a new tree and makes that the state of the volume.
    pub(super) fn checkpoint_spilled(&mut self) -> Result<(), Error> {
        self.merge_pending()?;
        self.log.count_transaction();
        self.frozen_bytes = self.committed_bytes;
        self.stage = Some(Stage::Segments { next: 0 });
        self.end_checkpoint()
    }

    /// Rows that the table may hold, so that a merge has some for what it makes of them.
    pub(crate) fn rows_max(&self) -> usize {
        self.log.table.capacity().saturating_sub(self.rows_for_merge(0))
    }

    /// Rows that are free where a node of a level may be written anew: for what becomes of it and of those above it.
    fn rows_for_merge(&self, level: u8) -> usize {
        // The tree may grow by a level meanwhile.
        NODE_ROWS * usize::from((self.root_level + 3).saturating_sub(level))
    }

    /// Merges the running transaction's rows into a tree that no checkpoint knows.
    pub(super) fn merge_pending(&mut self) -> Result<(), Error> {
        // The leaves name what the transaction wrote: a block that fails under its last page must not take that along from there.
        self.log.flush_partial(HeadId::Front)?;
        self.log.flush_partial(HeadId::Moved)?;
        let mut at = Some((0, Key::MIN));
        while let Some((level, from)) = at {
            at = self.merge_next(Age::Pending, level, &from)?;
        }
        Ok(())
    }

    /// Writes one node anew, the first that rows of a level concern from a key on; tells where to go on, `None` once the tree is
    /// whole. In between the tree is read through the rows that say new places.
    ///
    /// Where nodes that become several leave the table too few rows, those above them are written early, up to the root, and the
    /// rest after that, from the lowest level on where some is left.
    fn merge_next(&mut self, leaf_age: Age, level: u8, from: &Key) -> Result<Option<(u8, Key)>, Error> {
        self.hint = None;
        // New places of nodes are frozen, whatever the rows that made them.
        let age = if level == 0 { leaf_age } else { Age::Frozen };
        // The first of a level always goes: the one below has left its rows.
        let may_rewrite = *from == Key::MIN || self.log.table.room() >= self.rows_for_merge(level);
        if may_rewrite && let Some(row) = self.log.table.next_in(level, from, age) {
            let high = self.rewrite(level, age, &row.key)?;
            if high != Key::MAX && self.log.table.next_in(level, &high, age).is_some() {
                return Ok(Some((level, high)));
            }
        }
        for level in level..LEVELS_MAX - 1 {
            // The nodes above name these: a block that fails under the last page must not take it along from there.
            self.log.flush_partial(HeadId::Front)?;
            self.log.flush_partial(HeadId::Moved)?;
            if level < self.root_level && self.root.is_some() {
                return Ok(Some((level + 1, Key::MIN)));
            }
            if self.take_root(level)? {
                let left = self.lowest_level_with_rows(leaf_age);
                if left.is_none() {
                    self.collapse_root()?;
                }
                return Ok(left.map(|level| (level, Key::MIN)));
            }
            // Several nodes where the root was: one above them, at once, since nobody finds anything without a root.
            self.rewrite(level + 1, Age::Frozen, &Key::MIN)?;
        }
        Err(Error::Exhausted)
    }

    /// Where a merge that went up early goes on.
    fn lowest_level_with_rows(&self, leaf_age: Age) -> Option<u8> {
        let age = |level| if level == 0 { leaf_age } else { Age::Frozen };
        (0..=self.root_level).find(|level| self.log.table.next_in(*level, &Key::MIN, age(*level)).is_some())
    }

    /// After the root's level: the nodes there are one, and the root, or need a root above them.
    #[inline(never)]
    fn take_root(&mut self, level: u8) -> Result<bool, Error> {
        let above = level + 1;
        let Some(first) = self.log.table.next_in(above, &Key::MIN, Age::Frozen) else { return Ok(true) };
        let mut live: Option<Row> = None;
        let mut next = Some(first);
        while let Some(row) = next {
            if row.place.is_some() {
                if live.is_some() {
                    // At least two nodes: merge them into a root one level up, over nothing.
                    self.root = None;
                    self.root_level = above;
                    return Ok(false);
                }
                live = Some(row);
            }
            next = self.log.table.next_in(above, &row.key.successor(), Age::Frozen);
        }
        self.root = live.and_then(|row| row.place);
        self.root_level = if self.root.is_some() { level } else { 0 };
        self.remove_rows(above, Age::Frozen, &Key::MAX);
        Ok(true)
    }

    /// A root with one child gives way to it, as long as the child has a second copy of its own.
    #[inline(never)]
    fn collapse_root(&mut self) -> Result<(), Error> {
        let space = self.log.pages.space;
        while self.root_level > 0 {
            let Some(root) = self.root else { break };
            let mut reader = NodeReader::open(&mut self.log, &root, self.root_level)?;
            let (mut first, mut second) = (Entry::EMPTY, Entry::EMPTY);
            if !reader.next(&mut self.log, &mut first)? || reader.next(&mut self.log, &mut second)? {
                break;
            }
            let Content::At(child) = first.content else { break };
            if child.copy().is_none() && self.log.signature.second_copies {
                break;
            }
            self.log.alloc.subtract_place(&space, &root);
            self.root = Some(child);
            self.root_level -= 1;
        }
        Ok(())
    }

    /// Writes one node anew with the rows that concern it. Tells where its range ends.
    #[inline(never)]
    fn rewrite(&mut self, level: u8, age: Age, key: &Key) -> Result<Key, Error> {
        let change = self.log.merged_transaction() + 1;
        let most = self.node.len();
        let mut merge = Merge::new(level, age, change, self.find_node(level, key)?);
        let mut total = self.measure(&mut merge)?;
        if total < most / 4
            && let Some(high) = merge.neighbour_at()
        {
            // Only a neighbour under the same parent: keys are sent to one or the other by that parent alone.
            merge.set_neighbour(self.find_node(level, &high)?);
            total = self.measure(&mut merge)?;
        }
        let high = merge.high;
        // Even parts leave room in each; at the right edge keys mostly arrive in order, and full nodes are best.
        let at_edge = high == Key::MAX && level == 0;
        let room = if at_edge { most } else { most.saturating_sub(32) };
        let nodes = total.div_ceil(room.max(1)).max(1);
        let target = if at_edge { most } else { total.div_ceil(nodes) + 32 };
        self.drop_sources(level, &merge.sources)?;
        let is_root = self.root.is_none() || (self.root_level == level && nodes == 1);
        self.write_nodes(&mut merge, target, is_root)?;
        self.remove_rows(level, age, &high);
        Ok(high)
    }

    /// Writes everything that a merge yields in nodes of at most `target` bytes.
    #[inline(never)]
    fn write_nodes(&mut self, merge: &mut Merge, target: usize, is_root: bool) -> Result<(), Error> {
        let (level, age) = (merge.level, merge.age);
        let mut writer = NodeWriter::new(self.log.pages.space, level);
        let mut separator = merge.low();
        let mut step = Step::EMPTY;
        while merge.next(self, &mut step)? {
            self.account(level, &step);
            if !step.stays {
                continue;
            }
            let (entry, change) = (&step.entry, step.change);
            let full = writer.len() + writer.entry_len(entry, change) > target && !writer.is_empty();
            if writer.is_empty() && entry.key < separator {
                // A node that lost its first child takes in keys below its separator.
                separator = entry.key;
            }
            if full || !writer.push(self.node, entry, change) {
                self.write_node(level, age, &writer, separator, is_root)?;
                writer = NodeWriter::new(self.log.pages.space, level);
                separator = entry.key;
                if !writer.push(self.node, entry, change) {
                    return Err(Error::Exhausted);
                }
            }
        }
        if writer.is_empty() { Ok(()) } else { self.write_node(level, age, &writer, separator, is_root) }
    }

    /// Bytes that all entries would take in one node. The merge starts over afterwards.
    #[inline(never)]
    fn measure(&mut self, merge: &mut Merge) -> Result<usize, Error> {
        let mut writer = NodeWriter::new(self.log.pages.space, merge.level);
        let mut step = Step::EMPTY;
        while merge.next(self, &mut step)? {
            if step.stays {
                writer.measure(&step.entry, step.change);
            }
        }
        merge.start_over();
        Ok(writer.len())
    }

    /// The old nodes are dead with the new tree; their pointers go, unless a new node takes their key.
    fn drop_sources(&mut self, level: u8, sources: &[Option<Found>; SOURCES_MAX]) -> Result<(), Error> {
        let space = self.log.pages.space;
        for found in sources.iter().flatten().filter(|found| found.place.len > 0) {
            self.log.alloc.subtract_place(&space, &found.place);
            self.put_pointer(level, found.low, None)?;
            if level == 0 {
                self.log.checkpoint.leaves = self.log.checkpoint.leaves.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Keeps the live counts of what leaves hold by reference.
    fn account(&mut self, level: u8, step: &Step) {
        if level > 0 || !step.from_row {
            return;
        }
        let space = self.log.pages.space;
        if let Some(old) = &step.replaced {
            self.log.alloc.subtract_place(&space, old);
        }
        if let Some(new) = step.entry.content.place().filter(|_| step.stays) {
            self.log.alloc.add_place(&space, &new);
        }
    }

    /// What an entry holds for a row's value: short values, and whiteouts, move into the leaf, extents stay where they are.
    fn content_of(&mut self, row: &Row, place: Place) -> Result<Content, Error> {
        let len = place.len as usize;
        let is_apart = row.key.kind == KIND_EXTENT || place.part().is_some();
        if row.level > 0 || (is_apart && len > 0) || len > INLINE_BYTES_MAX {
            return Ok(Content::At(place));
        }
        let mut bytes = [0; INLINE_BYTES_MAX];
        match self.log.read_place(&place, 0, bytes.get_mut(..len).unwrap_or_default()) {
            Ok(()) => Ok(Content::Inline { len: len as u8, bytes }),
            // One that is lost is no reason to keep all others from being merged.
            Err(error) if error.is_unreadable() => Ok(Content::At(place)),
            Err(error) => Err(error),
        }
    }

    /// Appends the node that was built, and a second copy of roots and inner nodes.
    fn write_node(
        &mut self, level: u8, age: Age, writer: &NodeWriter, separator: Key, is_root: bool,
    ) -> Result<(), Error> {
        // The node names the places as the rows have them now: a block that fails while it is written must not have them counted
        // elsewhere. Taking the rows out first also makes room for the pointer.
        self.remove_rows(level, age, &writer.last().successor());
        let len = writer.len();
        let node = core::mem::take(&mut self.node);
        let body = node.get(..len).unwrap_or_default();
        let place = self.append_node(separator, body, level > 0 || is_root);
        self.node = node;
        if level == 0 {
            self.log.checkpoint.leaves = self.log.checkpoint.leaves.saturating_add(1);
        }
        self.put_pointer(level, separator, Some(place?))
    }

    #[inline(never)]
    fn append_node(&mut self, key: Key, body: &[u8], twice: bool) -> Result<Place, Error> {
        let space = self.log.pages.space;
        let address = self.append_body(HeadId::Front, key, body)?;
        let copy = if twice && self.log.signature.second_copies {
            Some(self.append_body(HeadId::Moved, key, body)?)
        } else {
            None
        };
        let place = Place::node(address, body.len() as u32, copy, pointer_hash(body));
        self.log.alloc.add_place(&space, &place);
        Ok(place)
    }

    fn append_body(&mut self, head: HeadId, key: Key, body: &[u8]) -> Result<crate::page::Address, Error> {
        self.log.begin(head, ItemKind::Node, key, body.len() as u32)?;
        self.log.push(head, body)?;
        Ok(self.log.finish(head))
    }

    fn put_pointer(&mut self, level: u8, key: Key, place: Option<Place>) -> Result<(), Error> {
        let taken = self.log.table.put(&Row { level: level + 1, key, age: Age::Frozen, place });
        if taken { Ok(()) } else { Err(Error::NeedsRemount) }
    }

    /// Removes the rows of a level below a key.
    fn remove_rows(&mut self, level: u8, age: Age, high: &Key) {
        while let Some(row) = self.log.table.next_in(level, &Key::MIN, age) {
            if !row.key.is_before(high) {
                break;
            }
            self.log.table.remove_row(level, &row.key, age);
        }
    }
}
