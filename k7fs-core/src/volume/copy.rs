//! Copies without copying, merging equal files, and files of chunks.

use super::file::BOOKKEEPING_BYTES;
use super::inode::{Inode, NamePlace};
use super::namespace::{NAME_ROWS, Target};
use super::sharing::{Body, ContentRecord, Part, content_key};
use super::types::{File, Kind};
use super::{FILE_SIZE_MAX, Volume};
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::hash::{ContentHash, content_hash};
use crate::log::Key;
use crate::tree::{Entry, KIND_CONTENT};

/// Bytes that are compared or copied at a time.
const STEP_BYTES: usize = 256;
/// Rows that sharing content needs: both inodes, the part and the record of each, the body's, a job.
const SHARE_ROWS: usize = 8;

/// Content that files may share in any number: see [`Volume::append_chunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The number of the chunk, as long as anything refers to it.
    pub id: u64,
    /// Bytes.
    pub len: u64,
    /// Ranges of files that are this chunk, in the index that is worked on.
    pub references: u64,
    /// The hash of its content, by the volume's hash.
    pub hash: ContentHash,
}

impl<F: Flash> Volume<'_, F> {
    /// Makes a file a copy of another: a new one, or an existing one, whose content is replaced.
    ///
    /// The content is shared until one of both is written to, and then what is not written to stays shared: the cost does not
    /// depend on its length. Only after eight copies of copies, each written to in between, the content is copied byte by byte.
    /// Attributes, metadata and the choice of a codec are not copied. Durable on return, outside a transaction; after a power cut the file has the old
    /// content or the new, or does not exist.
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`, `IsASymlink`, `IsSpecial`, `ReadOnly`, `NoSpace` (nothing has changed), those of the paths.
    pub fn copy(&mut self, from: &str, to: &str) -> Result<(), Error> {
        self.writable()?;
        let (source, inode) = self.existing_file(from)?;
        match self.resolve(to)? {
            Target::Root => Err(Error::IsADirectory),
            Target::Missing { directory, position, name } => {
                Ok(self.copy_to_new(source, inode, NamePlace::new(directory, position), position, name)?)
            }
            Target::Found { name, .. } => match name.kind {
                Kind::Directory => Err(Error::IsADirectory),
                Kind::Symlink => Err(Error::IsASymlink),
                Kind::File if name.object == source => Ok(()),
                Kind::File => Ok(self.copy_over(source, inode, name.object)?),
                _ => Err(Error::IsSpecial),
            },
        }
    }

    /// Makes two files with the same content share it; `false` where they differ, which is all the same to both. The content is
    /// compared byte by byte. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn deduplicate(&mut self, first: &str, second: &str) -> Result<bool, Error> {
        self.writable()?;
        let (source, from) = self.existing_file(first)?;
        let (target, to) = self.existing_file(second)?;
        if source == target || from.size != to.size {
            return Ok(false);
        }
        if self.share_already(&from, source, &to, target)? {
            return Ok(true);
        }
        let (mut left, mut right) = ([0u8; STEP_BYTES], [0u8; STEP_BYTES]);
        let mut at = 0;
        while at < from.size {
            let len = self.read_object(source, &from, at, &mut left)?;
            self.read_object(target, &to, at, &mut right)?;
            if left.get(..len) != right.get(..len) {
                return Ok(false);
            }
            at += len as u64;
        }
        let modified = to.modified;
        self.copy_over(source, from, target)?;
        // It is the same content as before.
        let inode = Inode { modified, ..self.inode(target)? };
        self.begin_names(0, NAME_ROWS)?;
        self.change(|volume| volume.put_inode(target, &inode))?;
        self.commit_unless_running()?;
        Ok(true)
    }

    fn share_already(&mut self, from: &Inode, source: u64, to: &Inode, target: u64) -> Result<bool, inner::Error> {
        let first = self.only_part(from.content(source), from.size)?;
        let second = self.only_part(to.content(target), to.size)?;
        Ok(first.is_some() && first == second)
    }

    /// Appends content to a file as a chunk of its own, which other files may refer to with [`append_shared`](Self::append_shared).
    ///
    /// Durable on return, outside a transaction; after a power cut it is there whole or not at all. Tells the chunk's number.
    ///
    /// # Errors
    /// `ReadOnly`, `StaleHandle`, `FileTooLarge`, `InvalidOption` for an empty chunk, `MissingHash` where this build lacks the volume's
    /// hash, `NoSpace`.
    pub fn append_chunk(&mut self, file: &File, bytes: &[u8]) -> Result<u64, Error> {
        let inode = self.appendable(file, bytes.len() as u64)?;
        let id = self.tree.log.signature.hash;
        if !id.is_known() {
            return Err(Error::MissingHash);
        }
        let (len, hash) = (bytes.len() as u64, Some(content_hash(id, bytes)));
        Ok(self.atomically(len, |volume| {
            volume.begin_names(0, NAME_ROWS)?;
            let chunk = volume.free_object()?;
            // Whatever fails from here on leaves a body without parts: then all of the transaction goes.
            volume.change(|volume| {
                volume.tree.log.next_object = chunk + 1;
                volume.put_content(chunk, &ContentRecord::Shared(Body { references: 0, depth: 0, len, hash }))?;
                volume.write_stream(chunk, bytes, inode.codec)?;
                volume.begin_names(0, NAME_ROWS)?;
                volume.append_part(file.object, inode, chunk, len)
            })?;
            Ok(chunk)
        })?)
    }

    /// Appends a chunk that is there already to a file: nothing of it is read or written.
    ///
    /// Durable with the next commit of anything.
    ///
    /// # Errors
    /// `ReadOnly`, `StaleHandle`, `FileTooLarge`, `NotFound` where there is no such chunk, `NoSpace`.
    pub fn append_shared(&mut self, file: &File, chunk: u64) -> Result<(), Error> {
        let len = match self.content_record(chunk)? {
            Some(ContentRecord::Shared(Body { len, hash: Some(_), .. })) => len,
            _ => return Err(Error::NotFound),
        };
        let inode = self.appendable(file, len)?;
        let demand = crate::tree::Demand { bytes: BOOKKEEPING_BYTES, growth: 64, rows: NAME_ROWS };
        self.make_room(&demand)?;
        Ok(self.change(|volume| volume.append_part(file.object, inode, chunk, len))?)
    }

    /// The first chunk with a number above `after` (0 to begin with) that anything in the index that is worked on refers to.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next_chunk(&mut self, after: u64) -> Result<Option<Chunk>, Error> {
        self.usable()?;
        let mut from = Key { kind: KIND_CONTENT, object: after.saturating_add(1), position: 0, index: 0 };
        let mut entry = Entry::EMPTY;
        while self.tree.log.may_have.sharing && self.tree.next(&from, &mut entry)? && entry.key.kind == KIND_CONTENT {
            let id = entry.key.object;
            if let Some(ContentRecord::Shared(Body { references, len, hash: Some(hash), .. })) =
                self.content_record(id)?
            {
                return Ok(Some(Chunk { id, len, references, hash }));
            }
            from = entry.key.next_position();
        }
        Ok(None)
    }

    /// Reads from a chunk's content, and tells how much; 0 at or past its end.
    ///
    /// # Errors
    /// `NotFound` where there is no such chunk, those of reading.
    pub fn read_chunk(&mut self, chunk: u64, offset: u64, bytes: &mut [u8]) -> Result<usize, Error> {
        self.usable()?;
        let Some(ContentRecord::Shared(body)) = self.content_record(chunk)? else { return Err(Error::NotFound) };
        let left = usize::try_from(body.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = bytes.len().min(left);
        self.read_content(chunk, offset, bytes.get_mut(..len).unwrap_or_default())?;
        Ok(len)
    }

    /// A handle's inode, where so many bytes more may be appended.
    fn appendable(&mut self, file: &File, len: u64) -> Result<Inode, inner::Error> {
        self.writable()?;
        let inode = self.handle_inode(file)?;
        if !file.writable {
            return Err(inner::Error::ReadOnly);
        }
        if len == 0 {
            return Err(inner::Error::InvalidOption);
        }
        if inode.size.saturating_add(len) > FILE_SIZE_MAX {
            return Err(inner::Error::FileTooLarge);
        }
        Ok(inode)
    }

    /// Lets a file end with a chunk.
    fn append_part(&mut self, object: u64, inode: Inode, chunk: u64, len: u64) -> Result<(), inner::Error> {
        let body = self.body(chunk)?;
        let (start, end) = (inode.size, inode.size + len);
        self.put_content(chunk, &ContentRecord::Shared(Body { references: body.references + 1, ..body }))?;
        self.put_part(inode.content(object), &Part { start, end, body: chunk, skip: 0 })?;
        let modified = self.now();
        self.put_inode(object, &Inode { size: end, modified, ..inode })
    }

    fn existing_file(&mut self, path: &str) -> Result<(u64, Inode), inner::Error> {
        let (object, inode) = self.existing(path)?;
        match inode.kind {
            Kind::Directory => Err(inner::Error::IsADirectory),
            Kind::Symlink => Err(inner::Error::IsASymlink),
            Kind::File => Ok((object, inode)),
            _ => Err(inner::Error::IsSpecial),
        }
    }

    fn copy_to_new(
        &mut self, source: u64, mut inode: Inode, place: NamePlace, position: u64, name: &str,
    ) -> Result<(), inner::Error> {
        let (directory, mut new) = (place.directory, Inode::new(Kind::File, self.now(), place));
        if inode.size == 0 {
            return self.create_with(directory, position, name, new, &[]).map(drop);
        }
        self.begin_names(name.len() as u64 + 512, NAME_ROWS + SHARE_ROWS)?;
        new.size = inode.size;
        let copied = self.change(|volume| {
            let Some((part, depth)) = volume.share(source, &mut inode)? else { return Ok(false) };
            let (object, _) = volume.enter_object(directory, position, name, new)?;
            volume.put_part(object, &part)?;
            volume.put_content(object, &ContentRecord::Owned { inode: object, depth })?;
            Ok(true)
        })?;
        if copied {
            return self.commit_unless_running();
        }
        self.atomically(inode.size, |volume| {
            let target = volume.create_with(directory, position, name, Inode { size: 0, ..new }, &[])?;
            volume.copy_bytes(source, &inode, target)
        })
    }

    /// Gives a file the content of another.
    fn copy_over(&mut self, source: u64, mut inode: Inode, target: u64) -> Result<(), inner::Error> {
        let mut to = self.inode(target)?;
        let old = to.content(target);
        self.begin_names(512, NAME_ROWS + SHARE_ROWS)?;
        (to.size, to.modified) = (inode.size, self.now());
        let copied = self.change(|volume| {
            let shared = match inode.size {
                0 => None,
                _ => match volume.share(source, &mut inode)? {
                    None => return Ok(false),
                    shared => shared,
                },
            };
            let apart = volume.free_object()?;
            volume.tree.log.next_object = apart + 1;
            if volume.content_record(old)?.is_some() {
                volume.tree.delete(content_key(old))?;
            }
            volume.put_content_job(old)?;
            let depth = shared.map_or(0, |(_, depth)| depth);
            volume.put_content(apart, &ContentRecord::Owned { inode: target, depth })?;
            if let Some((part, _)) = shared {
                volume.put_part(apart, &part)?;
            }
            volume.put_inode(target, &to.with_content(apart))?;
            Ok(true)
        })?;
        if copied {
            self.commit_unless_running()?;
            return self.run_released();
        }
        self.atomically(inode.size, |volume| {
            let empty = Inode { size: 0, ..volume.inode(target)? };
            volume.shorten(target, old, &empty, true)?;
            volume.copy_bytes(source, &inode, target)
        })
    }

    /// Copies content as a writer does.
    fn copy_bytes(&mut self, source: u64, from: &Inode, target: u64) -> Result<(), inner::Error> {
        let mut bytes = [0u8; STEP_BYTES];
        let mut at = 0;
        while at < from.size {
            let len = self.read_object(source, from, at, &mut bytes)?;
            let inode = self.inode(target)?;
            self.write_object(target, inode, at, bytes.get(..len).unwrap_or_default(), false)?;
            at += len.max(1) as u64;
        }
        Ok(())
    }
}
