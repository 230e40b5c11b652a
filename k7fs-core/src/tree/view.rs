//! Which versions of a key an index sees: its own and those of the indexes it descends from.
//!
//! ```text
//!        1 ─── 3 ─── 4        index 4 sees versions 4, 3 and 1; the newest of them is the key's.
//!         └─── 2              Index 2 sees 2 and 1. A child's number is always above its parent's.
//! ```

use heapless::Vec;

use super::{KIND_ATTRIBUTE, KIND_CONTENT, KIND_INODE, KIND_JOB, KIND_PART};
use crate::log::Key;

/// Runs of numbers that one line of descent may fall into: one more for each branch off it that lives on.
const RUNS_MAX: usize = if cfg!(feature = "indexes") { 256 } else { 8 };

/// A run of index numbers, both ends included. Numbers in it that no index has any more do no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

/// What one index sees.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The index itself: what is written belongs to it.
    id: u32,
    /// The line of descent, from the index up, without its own number.
    ancestors: Vec<Run, RUNS_MAX>,
}

/// Whether keys of a kind have a version for each index.
fn is_versioned(kind: u8) -> bool {
    matches!(kind, KIND_INODE..=KIND_ATTRIBUTE | KIND_CONTENT | KIND_PART)
}

impl View {
    /// An index without ancestors.
    pub(crate) const fn alone(id: u32) -> Self {
        Self { id, ancestors: Vec::new() }
    }

    /// The index whose view this is.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Whether the index descends from another.
    pub(crate) fn has_ancestors(&self) -> bool {
        !self.ancestors.is_empty()
    }

    /// Adds the next ancestor further up: its number is below all there are. `false` where the view cannot take it.
    ///
    /// `is_gap` tells whether a number between it and the one before belongs to an index that is no ancestor.
    pub(crate) fn push_ancestor(&mut self, id: u32, is_gap: bool) -> bool {
        match self.ancestors.last_mut() {
            Some(run) if !is_gap => {
                run.first = id;
                true
            }
            _ => self.ancestors.push(Run { first: id, last: id }).is_ok(),
        }
    }

    /// Goes on as a new index that descends from this one. `false` where the view cannot take it.
    ///
    /// `is_gap` tells whether a number between this index and its parent belongs to one that is no ancestor.
    #[cfg(feature = "indexes")]
    pub(crate) fn descend(&mut self, id: u32, is_gap: bool) -> bool {
        let parent = core::mem::replace(&mut self.id, id);
        match self.ancestors.first_mut() {
            Some(run) if !is_gap => {
                run.last = parent;
                true
            }
            _ => self.ancestors.insert(0, Run { first: parent, last: parent }).is_ok(),
        }
    }

    /// Whether a version is the index's own or an ancestor's.
    pub(crate) fn sees(&self, key: &Key) -> bool {
        if key.index == self.id {
            return true;
        }
        match key.kind {
            // What one index has left to be done is no business of another.
            KIND_JOB => false,
            kind if is_versioned(kind) => self.descends_from(key.index),
            _ => true,
        }
    }

    /// Where to go on from a version that the index does not see: at the newest older one that it may see, else behind all of the
    /// key's versions.
    pub(crate) fn pass_over(&self, key: &Key) -> Key {
        let ancestor = || {
            let older = self.ancestors.iter().find(|run| is_versioned(key.kind) && run.first < key.index);
            older.map(|run| run.last.min(key.index - 1))
        };
        let older = if self.id < key.index { Some(self.id) } else { ancestor() };
        older.map_or(key.next_position(), |index| Key { index, ..*key })
    }

    /// Whether an index is one of the ancestors.
    pub(crate) fn descends_from(&self, id: u32) -> bool {
        self.ancestors.iter().any(|run| (run.first..=run.last).contains(&id))
    }

    /// The index's own version of a key.
    pub(crate) fn own(&self, key: &Key) -> Key {
        let own = is_versioned(key.kind) || key.kind == KIND_JOB;
        Key { index: if own { self.id } else { 0 }, ..*key }
    }

    /// Whether a key's own version is the only one that it can see.
    pub(crate) fn is_unshared(&self, key: &Key) -> bool {
        !self.has_ancestors() || !is_versioned(key.kind)
    }
}
