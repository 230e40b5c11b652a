//! The tree of the checkpoint (section 9).

use std::collections::BTreeMap;

use super::bytes::{Cursor, hash};
use super::find::{Checkpoint, Pointer, Signature, key};
use super::packed::{Part, content};
use super::page::Pages;
use super::{Result, Seen, Twice};

/// Every key with its value.
pub(super) type Values = BTreeMap<[u8; 21], Vec<u8>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeKind {
    Leaf,
    RootLeaf,
    Inner,
}

struct Walk<'w, 'i> {
    pages: &'w Pages<'i>,
    signature: &'w Signature,
    seen: &'w mut Seen,
    highest_transaction: u64,
    values: Values,
    twice: Vec<Twice>,
}

/// All values that the checkpoint's tree has.
pub(super) fn walk(
    pages: &Pages<'_>, signature: &Signature, checkpoint: &Checkpoint, seen: &mut Seen,
) -> Result<Values> {
    Walk::whole(pages, signature, checkpoint, seen).map(|walk| walk.values)
}

/// All nodes that have a second copy, the root first.
pub(super) fn second_copies(pages: &Pages<'_>, signature: &Signature, checkpoint: &Checkpoint) -> Result<Vec<Twice>> {
    Walk::whole(pages, signature, checkpoint, &mut Seen::default()).map(|walk| walk.twice)
}

impl<'w, 'i> Walk<'w, 'i> {
    fn whole(
        pages: &'w Pages<'i>, signature: &'w Signature, checkpoint: &Checkpoint, seen: &'w mut Seen,
    ) -> Result<Self> {
        // Nodes are written as part of the transaction that comes next.
        let highest_transaction = checkpoint.transaction + 1;
        let mut walk = Walk { pages, signature, seen, highest_transaction, values: Values::new(), twice: Vec::new() };
        if let Some((level, root)) = checkpoint.root {
            walk.seen.root_level = u32::from(level);
            walk.node(level, true, &root, ([0; 21], None))?;
        }
        Ok(walk)
    }

    /// The body of a node, from both places where it has two.
    fn body(&mut self, kind: NodeKind, pointer: &Pointer) -> Result<Vec<u8>> {
        self.seen.nodes += 1;
        if pointer.length as u64 > self.signature.longest_node {
            return Err(format!("a node of {} bytes", pointer.length));
        }
        let twice = kind != NodeKind::Leaf && self.signature.second_copies;
        if pointer.copy.is_some() != twice {
            let wrong = if twice { "lacks its second copy" } else { "has a second copy" };
            let page = self.page_of(pointer.address);
            return Err(format!("the {kind:?} node at {}, page {page}, {wrong}: {pointer:?}", pointer.address));
        }
        let body = self.pages.bytes(pointer.address, pointer.length)?;
        if hash(&[&body]) != pointer.hash {
            return Err(format!("the node at {} has another hash", pointer.address));
        }
        if let Some(copy) = pointer.copy {
            let block = |address| self.pages.block_of(self.page_of(address));
            let pages = |address: u64| self.page_of(address)..=self.page_of(address + pointer.length as u64);
            let twice = Twice { pages: pages(pointer.address), copy: pages(copy) };
            if self.pages.bytes(copy, pointer.length)? != body || block(copy) == block(pointer.address) {
                return Err(format!("the copies of the node at {} are not two of one", pointer.address));
            }
            self.twice.push(twice);
        }
        Ok(body)
    }

    fn page_of(&self, address: u64) -> u32 {
        (address / u64::from(self.pages.geometry.page_size)) as u32
    }

    /// One node and all below it. Its keys lie from `bounds.0` to below `bounds.1`.
    fn node(&mut self, level: u8, root: bool, pointer: &Pointer, bounds: ([u8; 21], Option<[u8; 21]>)) -> Result<()> {
        let kind = match (level, root) {
            (0, true) => NodeKind::RootLeaf,
            (0, false) => NodeKind::Leaf,
            _ => NodeKind::Inner,
        };
        let body = self.body(kind, pointer)?;
        let mut cursor = Cursor::new(&body, 0);
        if cursor.byte()? != level {
            return Err(format!("the node at {} is of another level", pointer.address));
        }
        let mut children: Vec<([u8; 21], Pointer)> = Vec::new();
        let mut before = [0; 21];
        let mut is_first = true;
        while !cursor.is_empty() {
            let shared = cursor.byte()?;
            let (start, end) = (usize::from(shared >> 3), usize::from(shared & 7));
            let middle = 21_usize.checked_sub(start + end).ok_or("a key of more than 21 bytes")?;
            let mut key = before;
            key[start..start + middle].copy_from_slice(cursor.take(middle)?);
            if !is_first && key <= before || level == 0 && (key < bounds.0 || bounds.1.is_some_and(|end| key >= end)) {
                return Err(format!("the node at {} has its keys in disorder", pointer.address));
            }
            (before, is_first) = (key, false);
            if level == 0 {
                let value = self.leaf_value(key, &mut cursor)?;
                self.values.insert(key, value);
                continue;
            }
            let (address, length) = (cursor.number()?, cursor.small()? as usize);
            let child = Pointer { address, length, copy: cursor.optional()?, hash: cursor.array()? };
            if cursor.number()? > self.highest_transaction {
                return Err("a child from after the checkpoint".to_owned());
            }
            children.push((key, child));
        }
        for (index, (key, child)) in children.iter().enumerate() {
            let from = if index == 0 { bounds.0 } else { *key };
            let end = children.get(index + 1).map(|(key, _)| *key).or(bounds.1);
            self.node(level - 1, false, child, (from, end))?;
        }
        Ok(())
    }

    fn leaf_value(&mut self, of: [u8; 21], cursor: &mut Cursor<'_>) -> Result<Vec<u8>> {
        let length = cursor.number()?;
        let (length, form) = ((length >> 2) as usize, length & 3);
        let is_reference = form & 1 == 1;
        let is_extent = of > key(3, 0, 0, u32::MAX) && of < key(4, 0, 0, u32::MAX);
        // A short value is a reference where it could not be read when it was to be put here.
        let is_apart = length > 48 || (is_extent && length > 0);
        if is_apart && !is_reference || is_reference && length == 0 {
            return Err(format!("a value of {length} bytes is in the wrong place"));
        }
        if form == 2 || form == 3 && !is_extent {
            return Err(format!("a value of form {form}"));
        }
        if form == 3 {
            let address = cursor.number()?;
            let part = Part { skip: cursor.small()? as usize, stored: cursor.small()? as usize };
            return content(self.pages, self.signature, address, length, &part, self.seen);
        }
        if is_extent && length > 0 && self.signature.verified {
            return Err("content without a hash on a volume that has them".to_owned());
        }
        if is_reference { self.pages.bytes(cursor.number()?, length) } else { Ok(cursor.take(length)?.to_vec()) }
    }
}
