//! Keys of the parts of the tree that have changed since a transaction: comparing two indexes costs what differs.

use super::node::NodeReader;
use super::{Children, Content, Entry, Found, Hint, Tree};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::log::{Age, Key, Row};

impl<F: Flash> Tree<'_, F> {
    /// As [`next_version`](Self::next_version), but passes over leaves that no transaction after `since` has changed.
    pub(crate) fn next_changed(&mut self, from: &Key, since: u64, entry: &mut Entry) -> Result<bool, Error> {
        let mut from = *from;
        // Every round passes over one deleted version of the table.
        for _ in 0..=self.log.table.capacity() {
            let merged = self.next_changed_in_tree(&from, since, entry)?;
            let Some(row) = self.log.table.next(0, &from) else { return Ok(merged) };
            if merged && entry.key < row.key {
                return Ok(true);
            }
            if let Row { key, place: Some(place), .. } = row {
                *entry = Entry { key, content: Content::At(place) };
                return Ok(true);
            }
            from = row.key.successor();
        }
        Ok(false)
    }

    /// As [`Self::next_changed`], in the tree alone.
    fn next_changed_in_tree(&mut self, from: &Key, since: u64, entry: &mut Entry) -> Result<bool, Error> {
        let mut from = *from;
        // Every round leads to a leaf further to the right.
        loop {
            let at_hand = |hint: &&mut Hint| hint.low <= from && from.is_before(&hint.high) && hint.change > since;
            match self.hint.as_mut().filter(at_hand) {
                Some(hint) => hint.go_back(&mut self.log, &from)?,
                None => {
                    let Some(found) = self.next_changed_leaf(&from, since)? else { return Ok(false) };
                    from = from.max(found.from);
                    let reader = NodeReader::open(&mut self.log, &found.place, 0)?;
                    self.hint = Some(Hint::at(&found, reader));
                }
            }
            if self.answer_in_leaf(&from, entry)? {
                return Ok(true);
            }
            match &self.hint {
                Some(hint) if hint.high != Key::MAX => from = hint.high,
                _ => return Ok(false),
            }
        }
    }

    /// The first leaf that leads on from a key and has changed.
    fn next_changed_leaf(&mut self, from: &Key, since: u64) -> Result<Option<Found>, Error> {
        let mut from = *from;
        // Every round passes over a node without such a leaf.
        'from_the_top: while let Some(mut found) = self.top() {
            for level in (1..=self.root_level).rev() {
                match self.changed_child(level, &found, &from, since)? {
                    Some(child) => found = child,
                    None if found.high == Key::MAX => return Ok(None),
                    None => {
                        from = found.high;
                        continue 'from_the_top;
                    }
                }
            }
            return Ok(Some(found));
        }
        Ok(None)
    }

    /// Whether a merge that is under way has written nodes anew below a child of a node, which the node does not say yet.
    fn has_new_below(&self, level: u8, from: &Key, high: &Key) -> bool {
        let is_new =
            |level| self.log.table.next_in(level, from, Age::Frozen).is_some_and(|row| row.key.is_before(high));
        (1..level).any(is_new)
    }

    /// The first child of a node that leads on from a key and has changed.
    fn changed_child(&mut self, level: u8, parent: &Found, from: &Key, since: u64) -> Result<Option<Found>, Error> {
        let mut children = Children::open(&mut self.log, level, parent)?;
        let mut before: Option<Found> = None;
        loop {
            let child = children.next(&mut self.log)?;
            let high = child.map_or(parent.high, |child| child.key);
            if let Some(found) = before.filter(|_| from.is_before(&high))
                && (found.change > since || self.has_new_below(level, &found.from, &high))
            {
                return Ok(Some(Found { high, ..found }));
            }
            let Some(child) = child else { return Ok(None) };
            let first_key = if before.is_none() { parent.from } else { child.key };
            let (place, low, change) = (child.place, child.key, child.change);
            before = Some(Found { place, low, from: first_key, high, parent_high: parent.high, change });
        }
    }
}
