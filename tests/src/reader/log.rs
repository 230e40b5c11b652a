//! The log behind the checkpoint: its chain of blocks, its commits, and what they say (sections 3, 6, 7 and 10).

use std::collections::BTreeMap;
use std::rc::Rc;

use super::bytes::Cursor;
use super::find::{Checkpoint, Signature, body, items};
use super::packed::{Part, content, unpack};
use super::page::{Page, PageKind, Pages};
use super::{Result, Seen};

/// What the log says about a key, `None` for no value any more.
pub(super) type Changes = BTreeMap<[u8; 21], Option<Vec<u8>>>;

/// Section 6.
#[derive(Clone, Debug)]
struct Commit {
    page: u32,
    transaction: u64,
    first_page: u32,
    predecessor: Option<u32>,
    tag: [u8; 4],
    /// What pages of this transaction say: those that name this commit.
    names: Option<u32>,
    /// The first page of the transaction that it says again, and the page in whose place it stands.
    replaced: Option<(u32, u32)>,
    reach: Option<u64>,
}

/// What a log block's header says.
struct BlockHeader {
    sequence: u64,
    next: Option<u32>,
    before: u64,
    /// Pages of the block before up to the last that was programmed.
    before_pages: u32,
}

pub(super) struct Log<'l, 'i> {
    pages: &'l Pages<'i>,
    checkpoint: &'l Checkpoint,
    signature: &'l Signature,
}

impl<'l, 'i> Log<'l, 'i> {
    pub(super) fn new(pages: &'l Pages<'i>, checkpoint: &'l Checkpoint, signature: &'l Signature) -> Self {
        Self { pages, checkpoint, signature }
    }

    /// Everything that commits behind the checkpoint say, the newest word on each key.
    pub(super) fn replay(&self, seen: &mut Seen) -> Result<Changes> {
        let mut changes = Changes::new();
        for commit in self.commits()?.iter().rev() {
            seen.commits += 1;
            seen.replaced += u32::from(commit.replaced.is_some());
            self.apply(commit, &mut changes, seen)?;
            if commit.reach.is_some_and(|reach| commit.transaction - 1 - reach <= self.checkpoint.transaction) {
                seen.reaching += 1;
                self.check_reach(commit, &changes, seen)?;
            }
        }
        Ok(changes)
    }

    /// A commit that reaches back to the checkpoint says alone what all commits up to it say together.
    fn check_reach(&self, commit: &Commit, changes: &Changes, seen: &mut Seen) -> Result<()> {
        let mut alone = Changes::new();
        self.apply(commit, &mut alone, seen)?;
        let number = commit.transaction;
        if alone == *changes { Ok(()) } else { Err(format!("commit {number} does not reach as far as it says")) }
    }

    /// The page in whose place this one is read.
    fn jumped(&self, page: u32) -> u32 {
        let per_block = self.pages.geometry.pages_per_block;
        let mut block = page / per_block;
        for _ in 0..=self.checkpoint.jumps.len() {
            match self.checkpoint.jumps.iter().find(|(from, _)| *from == block) {
                Some((_, to)) => block = *to,
                None => break,
            }
        }
        block * per_block + page % per_block
    }

    /// The header of a log block, `None` where it has none.
    fn header(&self, block: u32) -> Result<Option<BlockHeader>> {
        let Some(page) = self.pages.try_get(self.pages.pages_of(block).start)? else { return Ok(None) };
        let is_replacement = self.checkpoint.jumps.iter().any(|(_, to)| *to == block);
        let named = block == self.checkpoint.front_block;
        if page.kind != PageKind::Front && !(page.kind == PageKind::Copied && (is_replacement || named)) {
            return Ok(None);
        }
        let Some(body) = body(&page, 0x40)? else { return Ok(None) };
        let mut cursor = Cursor::new(body, 0);
        if cursor.take(4)? != b"K7FS" || cursor.take(16)? != self.signature.volume_id {
            return Ok(None);
        }
        let _erase_count = cursor.number()?;
        let (next, before, before_pages) = (cursor.optional_small()?, cursor.number()?, cursor.small()?);
        Ok(Some(BlockHeader { sequence: page.sequence, next, before, before_pages }))
    }

    /// The block behind this one in the log.
    fn next_block(&self, block: u32) -> Result<Option<u32>> {
        let Some(header) = self.header(block)? else { return Ok(None) };
        let Some(next) = header.next else { return Ok(None) };
        let next = self.pages.block_of(self.jumped(self.pages.pages_of(next).start));
        let Some(following) = self.header(next)? else { return Ok(None) };
        let follows = following.sequence > header.sequence && following.before == header.sequence;
        Ok(follows.then_some(next))
    }

    /// The log's blocks behind the checkpoint: those of the chain with more than a header.
    fn blocks(&self) -> Result<Vec<u32>> {
        let mut block = self.pages.block_of(self.jumped(self.pages.pages_of(self.checkpoint.front_block).start));
        let mut blocks = vec![block];
        while let Some(next) = self.next_block(block)? {
            if self.header(next)?.is_none_or(|header| header.sequence <= self.checkpoint.tail_sequence) {
                break;
            }
            block = next;
            let mut behind = self.pages.pages_of(block).skip(1).take(2);
            if behind.any(|page| !self.pages.is_erased(page).unwrap_or(true)) {
                blocks.push(block);
            }
        }
        Ok(blocks)
    }

    /// The newest commit of all.
    fn newest(&self) -> Result<Option<u32>> {
        for block in self.blocks()?.into_iter().rev() {
            for number in self.pages.pages_of(block).rev() {
                let Some(page) = self.pages.try_get(number)? else { continue };
                // What a page says again may have been torn: it may be gone, and then never was.
                let counts = page.has_commit || !page.says_again;
                if page.kind.is_log() && page.sequence > self.checkpoint.tail_sequence && counts {
                    return Ok(if page.has_commit { Some(number) } else { page.last_commit });
                }
            }
        }
        Ok(self.checkpoint.last_commit)
    }

    fn commit(&self, number: u32, page: &Page) -> Result<Commit> {
        let body = body(page, 0x41)?.ok_or_else(|| format!("page {number} has no commit"))?;
        let mut cursor = Cursor::new(body, 0);
        let (transaction, first_page) = (cursor.number()?, cursor.small()?);
        let (predecessor, tag) = (cursor.optional_small()?, cursor.array()?);
        let (_moved, _next_object) = (cursor.number()?, cursor.number()?);
        let replaced = match cursor.optional_small()? {
            Some(first_page) => Some((first_page, cursor.small()?)),
            None => None,
        };
        let (reach, names) = (cursor.optional()?, page.last_commit);
        if reach.is_some_and(|reach| reach >= transaction) {
            return Err(format!("the commit on page {number} reaches back beyond the first one"));
        }
        Ok(Commit { page: number, transaction, first_page, predecessor, tag, names, replaced, reach })
    }

    /// Commits behind the checkpoint, newest first.
    fn commits(&self) -> Result<Vec<Commit>> {
        let mut found: Vec<Commit> = Vec::new();
        let mut next = self.newest()?;
        // The checkpoint's own commit may be erased by now, and its page in use again.
        let (mut tag, mut transaction) = (None, 0);
        while next != self.checkpoint.last_commit || next.is_some_and(|page| self.is_in_tail(page)) {
            let number = next.ok_or("the chain of commits does not reach the checkpoint")?;
            // A commit is read where it is named, even in a block that failed since.
            let page = self.pages.get(number)?;
            let commit = self.commit(number, &page)?;
            if tag.is_some_and(|tag| tag != self.pages.checksum(&page, number).to_le_bytes()) {
                return Err(format!("commit {} at page {number} has another tag", commit.transaction));
            }
            if tag.is_some() && commit.transaction != transaction {
                return Err(format!("commit {} at page {number} should be {transaction}", commit.transaction));
            }
            (next, tag, transaction) = (commit.predecessor, Some(commit.tag), commit.transaction - 1);
            found.push(commit);
            if transaction <= self.checkpoint.transaction {
                break;
            }
        }
        let end = (next, tag.unwrap_or(self.checkpoint.tag), transaction);
        let checkpoint = (self.checkpoint.last_commit, self.checkpoint.tag, self.checkpoint.transaction);
        if !found.is_empty() && end != checkpoint {
            return Err(format!("the chain of commits ends at {end:?}, not at the checkpoint's {checkpoint:?}"));
        }
        Ok(found)
    }

    fn is_in_tail(&self, number: u32) -> bool {
        let page = self.pages.try_get(number).ok().flatten();
        page.is_some_and(|page| page.sequence > self.checkpoint.tail_sequence)
    }

    /// The pages from one to another that name a commit as the one before.
    fn span(&self, first: u32, last: u32, names: Option<u32>) -> Result<Vec<(u32, Rc<Page>)>> {
        let mut span = Vec::new();
        let (mut number, end) = (self.jumped(first), self.jumped(last));
        loop {
            if let Some(page) = self.pages.try_get(number)? {
                if page.kind.is_log() && page.last_commit == names {
                    span.push((number, page));
                }
            } else if number != end && !self.is_left(number)? {
                return Err(format!("page {number} in the span from {first} to {last} cannot be read"));
            }
            if number == end {
                return Ok(span);
            }
            number += 1;
            let block = self.pages.block_of(number - 1);
            if !self.pages.pages_of(block).contains(&number) {
                let next = self.next_block(block)?.ok_or("the log ends inside a transaction")?;
                number = self.pages.pages_of(next).start;
            }
        }
    }

    /// Whether a page is in the rest of a block that was left because an item did not fit.
    fn is_left(&self, number: u32) -> Result<bool> {
        let block = self.pages.block_of(number);
        let Some(next) = self.next_block(block)? else { return Ok(false) };
        let index = number - self.pages.pages_of(block).start;
        Ok(self.header(next)?.is_some_and(|header| index >= header.before_pages))
    }

    fn apply(&self, commit: &Commit, changes: &mut Changes, seen: &mut Seen) -> Result<()> {
        let mut span = Vec::new();
        if let Some((first, replaced)) = commit.replaced {
            span = self.span(first, replaced, commit.predecessor)?;
            // The replaced page is in doubt, whatever it reads.
            span.retain(|(number, _)| *number != self.jumped(replaced));
        }
        span.extend(self.span(commit.first_page, commit.page, commit.names)?);
        for (number, page) in span {
            for item in items(&page)? {
                let read = || self.pages.bytes_from(number, item.body_at, item.length, |page| self.pages.get(page));
                let value = match item.kind {
                    1 => Some(read()?),
                    2 => {
                        let body = read()?;
                        let mut cursor = Cursor::new(&body, 0);
                        let (address, length) = (cursor.number()?, cursor.small()? as usize);
                        if cursor.is_empty() {
                            Some(self.pages.bytes(address, length)?)
                        } else {
                            let part = Part { skip: cursor.small()? as usize, stored: cursor.small()? as usize };
                            Some(content(self.pages, self.signature, address, length, &part, seen)?)
                        }
                    }
                    3 => None,
                    6 => Some(unpack(&read()?, self.signature, seen)?),
                    _ => continue,
                };
                changes.insert(item.key.ok_or("a change without a key")?, value);
            }
        }
        Ok(())
    }
}
