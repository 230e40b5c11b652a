//! Walking the whole tree: what `check` rests on.

use super::Tree;
use super::node::{Content, Entry, LEVELS_MAX, NodeReader};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::hash::pointer_hash;
#[cfg(any(feature = "indexes", feature = "sabotage"))]
use crate::log::Alloc;
#[cfg(feature = "sabotage")]
use crate::log::BlockState;
use crate::log::{Key, Log, Place};

/// Blocks that one walk counts anew.
#[cfg(feature = "indexes")]
const RECOUNTED_MAX: usize = 16;

/// Something wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeFault {
    Unreadable(Error),
    WrongHash,
    KeyOrder,
}

/// What a walk over all nodes meets at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Node,
    /// What is below a node that cannot be read is left out.
    Faulty(NodeFault),
    /// What a leaf refers to.
    Value,
}

type See<'s, 'b, F> = &'s mut dyn FnMut(&mut Log<'b, F>, Place, Seen);

impl<'b, F: Flash> Tree<'b, F> {
    /// Visits every node of the merged tree, and what its leaves refer to: reads each node whole, compares its hash, looks at the order
    /// of its keys.
    pub(crate) fn check_nodes(&mut self, see: See<'_, 'b, F>) -> Result<(), Error> {
        let Some(root) = self.root else { return Ok(()) };
        let level = self.root_level;
        self.check_node(&root, level, &Key::MAX, see)
    }

    /// Recursion is bounded by the level, which falls by one at each step.
    fn check_node(&mut self, place: &Place, level: u8, high: &Key, see: See<'_, 'b, F>) -> Result<(), Error> {
        if level >= LEVELS_MAX {
            return Ok(());
        }
        match self.hash_of(place) {
            Ok(hash) if Some(hash) == place.hash() => see(&mut self.log, *place, Seen::Node),
            Ok(_) => see(&mut self.log, *place, Seen::Faulty(NodeFault::WrongHash)),
            Err(error) => {
                see(&mut self.log, *place, Seen::Faulty(NodeFault::Unreadable(error)));
                return Ok(());
            }
        }
        let mut reader = match NodeReader::open(&mut self.log, place, level) {
            Ok(reader) => reader,
            Err(error) => {
                see(&mut self.log, *place, Seen::Faulty(NodeFault::Unreadable(error)));
                return Ok(());
            }
        };
        let mut entry = Entry::EMPTY;
        loop {
            match reader.next(&mut self.log, &mut entry) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    see(&mut self.log, *place, Seen::Faulty(NodeFault::Unreadable(error)));
                    return Ok(());
                }
            };
            if !entry.key.is_before(high) {
                see(&mut self.log, *place, Seen::Faulty(NodeFault::KeyOrder));
            }
            let Content::At(child) = entry.content else { continue };
            if level == 0 {
                see(&mut self.log, child, Seen::Value);
            } else {
                let mut next = Entry::EMPTY;
                let is_last = !reader.clone().next(&mut self.log, &mut next).unwrap_or(false);
                self.check_node(&child, level - 1, if is_last { high } else { &next.key }, see)?;
            }
        }
    }

    fn hash_of(&mut self, place: &Place) -> Result<[u8; crate::hash::POINTER_HASH_BYTES], Error> {
        let node = core::mem::take(&mut self.node);
        let result = match node.get_mut(..place.len as usize) {
            Some(bytes) => self.log.read_place(place, 0, bytes).map(|()| pointer_hash(bytes)),
            None => Err(Error::Corrupt { page: self.log.pages.space.page_of(place.address) }),
        };
        self.node = node;
        result
    }

    /// As [`Self::recount`], where blocks may have lost references since.
    #[cfg(feature = "indexes")]
    pub(super) fn recount_if_due(&mut self) -> Result<bool, Error> {
        Ok(core::mem::take(&mut self.recount_due) && self.recount()?)
    }

    /// Counts anew what the merged tree refers to in blocks whose count has reached its end, some at a time: where many indexes
    /// refer to parts of the same bytes, nothing else would ever tell that such a block is empty. `true` where one has less in
    /// it than was thought.
    ///
    /// Reads the whole tree. Nothing may be left to be merged.
    #[cfg(feature = "indexes")]
    pub(crate) fn recount(&mut self) -> Result<bool, Error> {
        let saturated = (0..self.log.alloc.blocks()).filter(|block| self.log.alloc.is_saturated(*block));
        let mut counts: heapless::Vec<(u32, u32), RECOUNTED_MAX> =
            saturated.take(RECOUNTED_MAX).map(|block| (block, 0)).collect();
        if counts.is_empty() || self.log.table.len() > 0 {
            return Ok(false);
        }
        let space = self.log.pages.space;
        let mut is_sound = true;
        self.check_nodes(&mut |_, place, seen| {
            is_sound &= !matches!(seen, Seen::Faulty(_));
            for (block, units) in &mut counts {
                *units = units.saturating_add(Alloc::units_in(&space, &place, *block));
            }
        })?;
        let mut gained = false;
        for (block, units) in counts.into_iter().filter(|_| is_sound) {
            let units = units.saturating_add(self.log.alloc.units_of_segments(&space, block));
            self.log.alloc.recount(block, units);
            gained |= !self.log.alloc.is_saturated(block);
        }
        Ok(gained)
    }

    /// Counts what the merged tree refers to in blocks of which nothing is known, because a part of the allocation table cannot be read.
    /// What only a node refers to that cannot be read itself is lost, and takes no room; the node does, as long as something refers to it.
    #[inline(never)]
    pub(super) fn count_unknown(&mut self) -> Result<(), Error> {
        let space = self.log.pages.space;
        self.log.alloc.begin_count(&space);
        let mut failed = Ok(());
        self.check_nodes(&mut |log, place, seen| match seen {
            Seen::Faulty(NodeFault::KeyOrder) => {}
            Seen::Faulty(NodeFault::Unreadable(error)) if !error.is_damage() => failed = Err(error),
            Seen::Node | Seen::Value | Seen::Faulty(_) => log.alloc.count_place(&space, &place),
        })?;
        self.log.alloc.end_count();
        failed
    }

    /// Reads every byte of a value.
    pub(crate) fn check_value(&mut self, content: &Content) -> Result<(), Error> {
        // A packed record is read as it lies there.
        let content = &match content {
            Content::At(place) => Content::At(place.bytes()),
            Content::Inline { .. } => *content,
        };
        let mut chunk = [0u8; 64];
        let mut done = 0;
        while done < content.len() {
            let len = (content.len() - done).min(chunk.len() as u32);
            self.read(content, done, chunk.get_mut(..len as usize).unwrap_or_default())?;
            done += len;
        }
        Ok(())
    }

    /// Counts what the merged tree refers to, block by block, and tells the first block whose live count is lower:
    /// such a block could be erased while it is needed. One walk per block: for tests.
    #[cfg(feature = "sabotage")]
    pub(crate) fn audit(&mut self) -> Result<Option<u32>, Error> {
        for block in 0..self.log.alloc.blocks() {
            let (counted, needed) = (self.log.alloc.live(block), self.needed_in(block)?);
            let state = self.log.alloc.state(block);
            let free = matches!(state, BlockState::Free | BlockState::Suspect | BlockState::Bad);
            if (needed > counted && !self.log.alloc.is_saturated(block)) || (free && needed > 0) {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// The first block that counts as in use though nothing in it is needed, if there is one: nothing would ever clean it.
    /// One walk per block: for tests.
    #[cfg(feature = "sabotage")]
    pub(crate) fn wasted_block(&mut self) -> Result<Option<u32>, Error> {
        for block in 0..self.log.alloc.blocks() {
            if self.log.alloc.live(block) > 0 && self.needed_in(block)? == 0 {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// Units of a block that the merged tree and the allocation table need.
    #[cfg(feature = "sabotage")]
    fn needed_in(&mut self, block: u32) -> Result<u32, Error> {
        let mut needed = self.log.alloc.units_of_segments(&self.log.pages.space, block);
        if let Some(root) = self.root {
            self.count_live(&root, self.root_level, block, &mut needed)?;
        }
        Ok(needed)
    }

    #[cfg(feature = "sabotage")]
    fn count_live(&mut self, place: &Place, level: u8, block: u32, needed: &mut u32) -> Result<(), Error> {
        *needed += Alloc::units_in(&self.log.pages.space, place, block);
        let mut reader = NodeReader::open(&mut self.log, place, level)?;
        let mut entry = Entry::EMPTY;
        while reader.next(&mut self.log, &mut entry)? {
            match entry.content {
                Content::At(place) if level == 0 => *needed += Alloc::units_in(&self.log.pages.space, &place, block),
                Content::At(place) => self.count_live(&place, level - 1, block, needed)?,
                Content::Inline { .. } => {}
            }
        }
        Ok(())
    }
}
