//! Content that several files share: copies that cost nothing until they are written to, and chunks.
//!
//! A file's content is layers. On top are its own extents. Where they have a hole, a *part* may say which range of a *body* is
//! seen there: an object with extents, and perhaps parts, of its own, but without an inode, which nobody writes to any more. Below
//! that are zeros. A body counts the parts that refer to it and goes with the last one.
//!
//! ```text
//! part:    object, where it ends in the file -> body, where it starts in the body, bytes: ULEB
//! content: object -> 0 u8 | the inode that the content belongs to, depth: ULEB
//!          object -> 1 u8 | references, depth, bytes: ULEB | the hash of all of it, or nothing
//! ```
//!
//! A copy makes a body of what the file has: only numbers change hands, however large it is. Each index sees its own versions of
//! all three, as it does of inodes: a body is shared within an index, and indexes share it as they share everything.

#![cfg_attr(not(feature = "sharing"), allow(dead_code, reason = "without the feature, what is shared is only read"))]

use super::extents::Extent;
use super::file::BOOKKEEPING_BYTES;
use super::inode::Inode;
use super::{SHARING, Volume};
use crate::error::Feature;
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::hash::{CONTENT_HASH_BYTES_MAX, ContentHash};
use crate::log::Key;
use crate::tree::{Demand, Entry, KIND_CONTENT, KIND_PART};
use crate::varint::{Reader, ULEB_BYTES_MAX, Writer};

/// Bodies below each other: a copy of a copy of a copy, each written to in between.
pub(super) const DEPTH_MAX: u8 = 8;
/// Parts that are deleted within one change.
const PARTS_AT_ONCE: usize = 2;
/// Rows that deleting one takes: its own, the body's record, and a job.
const ROWS_PER_PART: usize = 3;
/// Bytes of the longest part.
const PART_BYTES_MAX: usize = 3 * ULEB_BYTES_MAX;
/// Bytes of the longest record of content.
const CONTENT_BYTES_MAX: usize = 1 + 3 * ULEB_BYTES_MAX + CONTENT_HASH_BYTES_MAX;
const OWNED: u8 = 0;
const SHARED: u8 = 1;

/// A range of a file that is a range of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) body: u64,
    /// Where it starts in the body.
    pub(super) skip: u64,
}

/// What is known about content that is not under its file's own number, or not only its file's.
#[derive(Clone, Copy, Debug)]
pub(super) enum ContentRecord {
    /// An inode writes to it.
    Owned { inode: u64, depth: u8 },
    /// Parts refer to it.
    Shared(Body),
}

/// Content that parts refer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    pub(super) references: u64,
    /// Bodies below it.
    pub(super) depth: u8,
    pub(super) len: u64,
    pub(super) hash: Option<ContentHash>,
}

/// One piece of what lies below a file's own extents.
struct Below {
    /// Where it is read; zeros where it is nowhere.
    extent: Option<(Extent, u32)>,
    len: u64,
}

pub(super) fn part_key(object: u64, end: u64) -> Key {
    Key { kind: KIND_PART, object, position: end, index: 0 }
}

pub(super) fn content_key(object: u64) -> Key {
    Key { kind: KIND_CONTENT, object, position: 0, index: 0 }
}

impl Part {
    pub(super) fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    fn decode(key: &Key, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (body, skip, len) = (reader.uleb(), reader.uleb(), reader.uleb());
        let start = key.position.checked_sub(len).filter(|_| len > 0)?;
        skip.checked_add(len)?;
        reader.finish(Self { start, end: key.position, body, skip })
    }
}

impl<F: Flash> Volume<'_, F> {
    /// The first part that reaches beyond an offset.
    #[inline(never)]
    pub(super) fn next_part(&mut self, object: u64, offset: u64) -> Result<Option<Part>, Error> {
        if !self.tree.log.may_have.sharing {
            return Ok(None);
        }
        let from = part_key(object, offset.saturating_add(1));
        let mut entry = Entry::EMPTY;
        if !self.tree.next_beside(&from, &mut entry)? {
            return Ok(None);
        }
        self.read_part(&entry).map(Some)
    }

    pub(super) fn read_part(&mut self, entry: &Entry) -> Result<Part, Error> {
        let mut bytes = [0u8; PART_BYTES_MAX];
        let bytes = bytes.get_mut(..entry.content.len() as usize).ok_or(Error::Corrupt { page: 0 })?;
        self.tree.read(&entry.content, 0, bytes)?;
        Part::decode(&entry.key, bytes).ok_or(Error::Corrupt { page: 0 })
    }

    #[inline(never)]
    pub(super) fn put_part(&mut self, object: u64, part: &Part) -> Result<(), Error> {
        let mut bytes = [0u8; PART_BYTES_MAX];
        let mut writer = Writer::new(&mut bytes);
        for value in [part.body, part.skip, part.len()] {
            writer.uleb(value);
        }
        self.tree.put(part_key(object, part.end), writer.finish().ok_or(Error::Exhausted)?)
    }

    /// What is known about an object's content beside what its inode says; `None` where nothing is.
    #[inline(never)]
    pub(super) fn content_record(&mut self, object: u64) -> Result<Option<ContentRecord>, Error> {
        let mut entry = Entry::EMPTY;
        if !self.tree.log.may_have.sharing || !self.tree.get(&content_key(object), &mut entry)? {
            return Ok(None);
        }
        let corrupt = Error::Corrupt { page: 0 };
        let mut bytes = [0u8; CONTENT_BYTES_MAX];
        let bytes = bytes.get_mut(..entry.content.len() as usize).ok_or(corrupt)?;
        self.tree.read(&entry.content, 0, bytes)?;
        let mut reader = Reader::new(bytes);
        let kind = reader.byte();
        let (first, depth) = (reader.uleb(), reader.uleb());
        let depth = u8::try_from(depth).ok().filter(|depth| *depth <= DEPTH_MAX).ok_or(corrupt)?;
        if kind == OWNED {
            return reader.finish(Some(ContentRecord::Owned { inode: first, depth })).ok_or(corrupt);
        }
        let len = reader.uleb();
        reader.finish(()).filter(|()| kind == SHARED).ok_or(corrupt)?;
        let rest = bytes.get(reader.position()..).unwrap_or_default();
        let id = self.tree.log.signature.hash;
        let hash = (rest.len() == id.len()).then(|| ContentHash::read(id, rest));
        Ok(Some(ContentRecord::Shared(Body { references: first, depth, len, hash })))
    }

    #[inline(never)]
    pub(super) fn put_content(&mut self, object: u64, record: &ContentRecord) -> Result<(), Error> {
        let mut bytes = [0u8; CONTENT_BYTES_MAX];
        let mut writer = Writer::new(&mut bytes);
        match record {
            ContentRecord::Owned { inode, depth } => {
                writer.byte(OWNED);
                writer.uleb(*inode);
                writer.uleb((*depth).into());
            }
            ContentRecord::Shared(body) => {
                writer.byte(SHARED);
                writer.uleb(body.references);
                writer.uleb(body.depth.into());
                writer.uleb(body.len);
                writer.bytes(body.hash.as_ref().map_or(&[], ContentHash::as_bytes));
            }
        }
        self.tree.put(content_key(object), writer.finish().ok_or(Error::Exhausted)?)
    }

    /// The body with this number.
    pub(super) fn body(&mut self, object: u64) -> Result<Body, Error> {
        match self.content_record(object)? {
            Some(ContentRecord::Shared(body)) => Ok(body),
            _ => Err(Error::Corrupt { page: 0 }),
        }
    }

    /// How long the content under a number is, and whose it is: an inode's, or 0 for a body. `NotFound` where it is nobody's.
    pub(super) fn owner_of(&mut self, object: u64) -> Result<(u64, u64), Error> {
        let inode = match self.content_record(object)? {
            Some(ContentRecord::Shared(body)) => return Ok((0, body.len)),
            Some(ContentRecord::Owned { inode, .. }) => inode,
            None => object,
        };
        let owner = self.inode(inode)?;
        if owner.content(inode) == object { Ok((inode, owner.size)) } else { Err(Error::NotFound) }
    }

    /// Finds what is seen at an offset below the extents of an object, for up to `len` bytes.
    #[inline(never)]
    fn find_below(&mut self, object: u64, offset: u64, len: u64) -> Result<Below, Error> {
        let (mut object, mut at, mut len) = (object, offset, len);
        for _ in 0..=DEPTH_MAX {
            let Some(part) = self.next_part(object, at)? else { break };
            if part.start > at {
                return Ok(Below { extent: None, len: len.min(part.start - at) });
            }
            len = len.min(part.end - at);
            at = part.skip.saturating_add(at - part.start);
            object = part.body;
            let Some(extent) = self.extent_at(object, at)? else { continue };
            if extent.start <= at {
                let len = len.min(extent.end() - at);
                return Ok(Below { extent: Some((extent, (at - extent.start) as u32)), len });
            }
            len = len.min(extent.start - at);
        }
        Ok(Below { extent: None, len })
    }

    /// Reads what is seen through a hole in an object's extents: shared content, or zeros.
    #[inline(never)]
    pub(super) fn read_below(&mut self, object: u64, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        if !self.tree.log.may_have.sharing {
            bytes.fill(0);
            return Ok(());
        }
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let below = self.find_below(object, at, rest.len() as u64)?;
            let (now, later) = rest.split_at_mut_checked(below.len as usize).ok_or(Error::NeedsRemount)?;
            match below.extent {
                Some((extent, skip)) => self.read_extent(&extent, skip, now)?,
                None => now.fill(0),
            }
            at += below.len.max(1);
            rest = later;
        }
        Ok(())
    }

    /// Whether there may be something else than zeros in the holes between an object's extents from an offset on.
    pub(super) fn has_parts(&mut self, object: u64, offset: u64) -> Result<bool, Error> {
        Ok(self.next_part(object, offset)?.is_some())
    }

    /// A build without the feature does not write to content that has parts: it could neither keep what they say nor give it up.
    pub(super) fn refuse_shared(&mut self, object: u64) -> Result<(), Error> {
        let refused = !SHARING && self.has_parts(object, 0)?;
        if refused { Err(Error::MissingFeature { feature: Feature::Sharing }) } else { Ok(()) }
    }

    /// Makes a file's content a body that one part more may refer to, and the file a copy of that. Tells the part and the depth of
    /// what has it, or `None` where it would be too deep. Within a change; the inode is written where it changes.
    pub(super) fn share(&mut self, object: u64, inode: &mut Inode) -> Result<Option<(Part, u8)>, Error> {
        let content = inode.content(object);
        if let Some(part) = self.only_part(content, inode.size)? {
            let body = self.body(part.body)?;
            self.put_content(part.body, &ContentRecord::Shared(Body { references: body.references + 1, ..body }))?;
            return Ok(Some((part, body.depth + 1)));
        }
        let depth = self.depth_of(content)?;
        if depth >= DEPTH_MAX {
            return Ok(None);
        }
        let (len, apart) = (inode.size, self.free_object()?);
        self.tree.log.next_object = apart + 1;
        self.put_content(content, &ContentRecord::Shared(Body { references: 2, depth, len, hash: None }))?;
        let part = Part { start: 0, end: len, body: content, skip: 0 };
        self.put_part(apart, &part)?;
        self.put_content(apart, &ContentRecord::Owned { inode: object, depth: depth + 1 })?;
        *inode = inode.with_content(apart);
        self.put_inode(object, inode)?;
        Ok(Some((part, depth + 1)))
    }

    /// The part that is all of an object's content: a copy that nothing was written to.
    pub(super) fn only_part(&mut self, object: u64, size: u64) -> Result<Option<Part>, Error> {
        let part = self.next_part(object, 0)?.filter(|part| part.start == 0 && part.end == size);
        Ok(if part.is_some() && self.next_extent(object, 0)?.is_none() { part } else { None })
    }

    /// Bodies below each other under an object's extents.
    pub(super) fn depth_of(&mut self, object: u64) -> Result<u8, Error> {
        Ok(match self.content_record(object)? {
            Some(ContentRecord::Owned { depth, .. } | ContentRecord::Shared(Body { depth, .. })) => depth,
            // Chunks alone, which have none below them.
            None => u8::from(self.has_parts(object, 0)?),
        })
    }

    /// Deletes a part, and leaves a job to delete the body where it was the last one.
    fn delete_part(&mut self, object: u64, part: &Part) -> Result<(), Error> {
        self.tree.delete(part_key(object, part.end))?;
        // Only a damaged volume has parts of something else.
        let Some(ContentRecord::Shared(body)) = self.content_record(part.body)? else { return Ok(()) };
        if body.references > 1 {
            let references = body.references - 1;
            return self.put_content(part.body, &ContentRecord::Shared(Body { references, ..body }));
        }
        self.tree.delete(content_key(part.body))?;
        self.put_content_job(part.body)
    }

    /// Ends the part that reaches over an offset there.
    pub(super) fn shorten_part(&mut self, object: u64, offset: u64) -> Result<(), Error> {
        match self.next_part(object, offset)? {
            Some(part) if part.start < offset => {
                self.put_part(object, &Part { end: offset, ..part })?;
                self.tree.delete(part_key(object, part.end))
            }
            _ => Ok(()),
        }
    }

    /// Deletes some parts from an offset on; `false` where none are left.
    #[inline(never)]
    pub(super) fn drop_parts(&mut self, object: u64, offset: u64) -> Result<bool, Error> {
        self.shorten_part(object, offset)?;
        for _ in 0..PARTS_AT_ONCE {
            match self.next_part(object, offset)? {
                Some(part) => self.delete_part(object, &part)?,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Deletes the parts that a range of own extents hides. It is space that is not needed: where there is none to write that down,
    /// they stay.
    #[inline(never)]
    pub(super) fn drop_hidden_parts(&mut self, object: u64, start: u64, end: u64) -> Result<(), Error> {
        let mut at = start;
        while let Some(part) = self.next_part(object, at)?.filter(|part| part.end <= end) {
            if part.start >= start {
                let demand = Demand { bytes: BOOKKEEPING_BYTES, growth: 0, rows: ROWS_PER_PART + 1 };
                match self.make_room(&demand) {
                    Err(Error::NoSpace) => return Ok(()),
                    result => result?,
                }
                self.change(|volume| volume.delete_part(object, &part))?;
            }
            at = part.end;
        }
        Ok(())
    }

    /// Bodies that lost their last part are deleted in steps, once that is durable.
    pub(super) fn run_released(&mut self) -> Result<(), Error> {
        let due = SHARING && self.tree.log.may_have.sharing && self.tree.log.may_have.jobs && !self.in_transaction;
        if due { self.run_jobs() } else { Ok(()) }
    }
}
