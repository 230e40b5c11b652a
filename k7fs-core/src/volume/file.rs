//! Files: handles, reading, writing, truncating.

use super::extents::{PIECE_ROWS_MAX, Piece, extent_key};
use super::inode::{Inode, ROOT, inode_key, job_key};
use super::namespace::Target;
use super::sharing::content_key;
use super::types::{File, Kind, Metadata, OpenOptions};
use super::{ATTRIBUTES, FILE_SIZE_MAX, INDEXES, REMOVE_TREE, SHARING, Volume};
use crate::codec::CodecId;
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::log::Key;
use crate::tree::{Demand, Entry, KIND_JOB};
use crate::varint::{Reader, Writer};

/// Extents that are deleted together with an object; more are left to a job.
pub(super) const EXTENTS_AT_ONCE: usize = 8;
/// Bytes that the bookkeeping of an operation appends at most.
pub(super) const BOOKKEEPING_BYTES: u64 = 1024;

impl<F: Flash> Volume<'_, F> {
    /// Opens a file.
    ///
    /// Creating or truncating is durable on return, outside a transaction.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` (create_new), `IsADirectory`, `IsASymlink`, `TooManyOpenFiles`, `InvalidOption` where
    /// creating or truncating is asked for without writing, and those of the path and of writing.
    pub fn open(&mut self, path: &str, options: OpenOptions) -> Result<File, Error> {
        self.usable()?;
        let writable = options.write || options.append;
        let creates = options.create || options.create_new;
        let sound =
            if writable { options.write || !options.truncate } else { options.read && !creates && !options.truncate };
        if !sound {
            return Err(Error::InvalidOption);
        }
        if writable {
            self.writable()?;
        }
        let slot = self.open.free_slot().ok_or(Error::TooManyOpenFiles)?;
        let target = self.resolve(path)?;
        let object = match target {
            Target::Found { .. } if options.create_new => return Err(Error::AlreadyExists),
            Target::Found { name, .. } => match name.kind {
                Kind::Directory => return Err(Error::IsADirectory),
                Kind::Symlink => return Err(Error::IsASymlink),
                Kind::File => name.object,
                _ => return Err(Error::IsSpecial),
            },
            Target::Root => return Err(Error::IsADirectory),
            Target::Missing { .. } if !creates => return Err(Error::NotFound),
            Target::Missing { directory, position, name } => {
                self.create_object(directory, position, name, Kind::File, &[])?
            }
        };
        let file = File {
            object,
            slot: slot as u8,
            serial: self.open.take(slot, object),
            readable: options.read,
            writable,
            append: options.append,
            position: 0,
        };
        if options.truncate
            && let Err(error) = self.set_len(&file, 0).and_then(|()| Ok(self.commit_unless_running()?))
        {
            self.open.free(&file);
            return Err(error);
        }
        Ok(file)
    }

    /// Closes a file; what was written to it is durable on return, outside a transaction, whichever handle wrote it. A file that has lost its last
    /// name while it was open is deleted now.
    ///
    /// # Errors
    /// `StaleHandle`, and those of committing; the handle is closed all the same.
    pub fn close(&mut self, file: File) -> Result<(), Error> {
        self.handle(&file)?;
        self.open.free(&file);
        if self.usable().is_err() || self.read_only {
            return Ok(());
        }
        if !self.is_open(file.object) && self.tree.has(&job_key(file.object))? {
            self.commit_unless_running()?;
            if !self.in_transaction {
                return Ok(self.finish_unlinked(file.object)?);
            }
        }
        // Whoever wrote to the file: through this handle or another.
        Ok(self.commit_unless_running()?)
    }

    /// Whether a handle holds the object.
    pub(super) fn is_open(&self, object: u64) -> bool {
        self.open.holds(object)
    }

    /// Whether any handle is open.
    #[cfg(feature = "indexes")]
    pub(super) fn has_open_files(&self) -> bool {
        self.open.is_any()
    }

    /// Checks that a handle is one of ours.
    fn handle(&self, file: &File) -> Result<(), inner::Error> {
        if self.open.knows(file) { Ok(()) } else { Err(inner::Error::StaleHandle) }
    }

    pub(super) fn handle_inode(&mut self, file: &File) -> Result<Inode, inner::Error> {
        self.usable()?;
        self.handle(file)?;
        self.inode(file.object)
            .map_err(|error| if error == inner::Error::NotFound { inner::Error::StaleHandle } else { error })
    }

    /// An open file's metadata.
    ///
    /// # Errors
    /// `StaleHandle`, or what reading meets.
    pub fn file_metadata(&mut self, file: &File) -> Result<Metadata, Error> {
        Ok(self.handle_inode(file)?.metadata(file.object))
    }

    /// Reads up to `bytes.len()` bytes from `offset`; fewer at the file's end, 0 at or past it.
    ///
    /// # Errors
    /// `WriteOnly`, `StaleHandle`, `Uncorrectable` where the content is damaged beyond correction.
    pub fn read_at(&mut self, file: &File, offset: u64, bytes: &mut [u8]) -> Result<usize, Error> {
        if !file.readable {
            return Err(Error::WriteOnly);
        }
        let inode = self.handle_inode(file)?;
        Ok(self.read_object(file.object, &inode, offset, bytes)?)
    }

    pub(super) fn read_object(
        &mut self, object: u64, inode: &Inode, offset: u64, bytes: &mut [u8],
    ) -> Result<usize, inner::Error> {
        let left = inode.size.saturating_sub(offset);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.read_content(inode.content(object), offset, bytes.get_mut(..len).unwrap_or_default())?;
        Ok(len)
    }

    /// Writes all of `bytes` at `offset`, with a hole before them where the file is shorter.
    ///
    /// Durable with the next commit of anything. Outside a transaction a call that is longer than a logical block
    /// may become durable in parts, in order, at the boundaries of logical blocks; of parts of these, of 4 KiB or more, where one
    /// takes many records because the chip's blocks are small.
    ///
    /// # Errors
    /// `ReadOnly`, `StaleHandle`, `OffsetOverflow`, `FileTooLarge`; `NoSpace`, where parts before it may have been written.
    pub fn write_at(&mut self, file: &File, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.writable()?;
        if !file.writable {
            return Err(Error::ReadOnly);
        }
        let inode = self.handle_inode(file)?;
        Ok(self.write_object(file.object, inode, offset, bytes, false)?)
    }

    /// Writes all of the content under a number that no inode has, for a file with this choice.
    #[cfg(feature = "sharing")]
    pub(super) fn write_stream(
        &mut self, content: u64, bytes: &[u8], codec: Option<CodecId>,
    ) -> Result<(), inner::Error> {
        let mut at = 0;
        while at < bytes.len() as u64 {
            let rest = bytes.get(at as usize..).ok_or(inner::Error::NeedsRemount)?;
            let here = self.piece_len(at, rest.len(), bytes.len() as u64, codec);
            let now = rest.get(..here).ok_or(inner::Error::NeedsRemount)?;
            let whole = self.make_room_for(content, at, now.len() as u64)?;
            let piece = Piece { whole, is_last: here == rest.len(), codec };
            at += self.change(|volume| volume.write_piece(content, at, now, piece))? as u64;
        }
        Ok(())
    }

    /// Writes content; `ends_file` says that what lies behind it will be cut off.
    pub(super) fn write_object(
        &mut self, object: u64, mut inode: Inode, offset: u64, bytes: &[u8], ends_file: bool,
    ) -> Result<(), inner::Error> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(inner::Error::OffsetOverflow)?;
        if end > FILE_SIZE_MAX {
            return Err(inner::Error::FileTooLarge);
        }
        let content = inode.content(object);
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let file_end = if ends_file { end } else { end.max(inode.size) };
            let here = self.piece_len(at, rest.len(), file_end, inode.codec);
            let now = rest.get(..here).ok_or(inner::Error::NeedsRemount)?;
            let whole = self.make_room_for(content, at, now.len() as u64)?;
            self.check_mergeable(content, at)?;
            inode.modified = self.now();
            let modified = inode;
            let piece = Piece { whole, is_last: at + here as u64 == file_end, codec: inode.codec };
            let done = self.change(|volume| {
                let done = volume.write_piece(content, at, now, piece)?;
                let size = modified.size.max(at + done as u64);
                volume.put_inode(object, &Inode { size, ..modified })?;
                Ok(done)
            })?;
            at += done as u64;
            inode.size = inode.size.max(at);
            rest = rest.get(done..).ok_or(inner::Error::NeedsRemount)?;
        }
        if SHARING && self.tree.log.may_have.sharing && !bytes.is_empty() {
            self.drop_hidden_parts(content, offset, at)?;
        }
        Ok(())
    }

    /// Bytes that are written as one piece: a window's, or a whole logical block's where they may be compressed.
    fn piece_len(&self, at: u64, len: usize, file_end: u64, codec: Option<CodecId>) -> usize {
        let (block, window) = (self.logical_block(), self.window());
        let in_block = (block - at % block).min(len as u64);
        let is_whole = at.is_multiple_of(block) && (in_block == block || at + in_block == file_end);
        let piece = if is_whole && self.compresses(codec) { in_block } else { in_block.min(window - at % window) };
        piece as usize
    }

    /// Room for writing a piece: only what it adds to the file counts against the capacity. Tells whether space is short,
    /// so that the piece has to be joined with its neighbours.
    fn make_room_for(&mut self, object: u64, offset: u64, len: u64) -> Result<bool, inner::Error> {
        // Looking up how many rows it takes is only worth the while where the table is nearly full.
        let rows = if self.tree.has_room_for(2 * PIECE_ROWS_MAX) {
            PIECE_ROWS_MAX
        } else {
            self.piece_rows(object, offset, len)?
        };
        let packing = self.packing_bytes(len);
        let mut demand = Demand { bytes: len + packing + BOOKKEEPING_BYTES, growth: len + packing + 64, rows };
        match self.make_room(&demand) {
            Err(inner::Error::NoSpace) => {}
            result => return result.map(|()| false),
        }
        // Short of space: what it overwrites does not count.
        demand.growth = len - self.covered(object, offset, len)?.min(len);
        if demand.growth >= len && len > 0 {
            return Err(inner::Error::NoSpace);
        }
        demand.bytes += self.logical_block().min(self.record_max());
        demand.rows = PIECE_ROWS_MAX;
        self.make_room(&demand).map(|()| true)
    }

    /// Truncates a file, or extends it with a hole.
    ///
    /// Durable with the next commit of anything; cutting off much is durable at once, outside a transaction.
    ///
    /// # Errors
    /// `ReadOnly`, `StaleHandle`, `FileTooLarge`, or those of writing.
    pub fn set_len(&mut self, file: &File, length: u64) -> Result<(), Error> {
        self.writable()?;
        if !file.writable {
            return Err(Error::ReadOnly);
        }
        if length > FILE_SIZE_MAX {
            return Err(Error::FileTooLarge);
        }
        let mut inode = self.handle_inode(file)?;
        if length == inode.size {
            return Ok(());
        }
        let shrinks = length < inode.size;
        inode.size = length;
        inode.modified = self.now();
        let content = inode.content(file.object);
        self.refuse_shared(content)?;
        Ok(self.shorten(file.object, content, &inode, shrinks)?)
    }

    /// Puts an inode whose content ends where its size says. What lies behind that, where it `shrinks`, is deleted at once where it is
    /// little or a transaction is running, else by a job that the same commit leaves.
    #[inline(never)]
    pub(super) fn shorten(
        &mut self, object: u64, content: u64, inode: &Inode, shrinks: bool,
    ) -> Result<(), inner::Error> {
        let length = inode.size;
        let demand = Demand { bytes: BOOKKEEPING_BYTES, growth: 0, rows: EXTENTS_AT_ONCE + 8 };
        self.make_room(&demand)?;
        let few = !shrinks || self.few_extents(content, length)?;
        // A file without a name has a job already, to be deleted when it is closed: another would take its place.
        let by_job = !few && !self.in_transaction && inode.links > 0;
        self.change(|volume| {
            volume.put_inode(object, inode)?;
            if by_job {
                volume.put_job(object, Some(length))?;
            } else if shrinks && few {
                volume.drop_extents(content, length)?;
            }
            Ok(())
        })?;
        if by_job {
            self.run_job(object)?;
            return self.run_released();
        }
        // In a transaction the table may spill between the parts.
        while !few && self.drop_some_extents(content, length)? {}
        Ok(())
    }

    fn few_extents(&mut self, object: u64, length: u64) -> Result<bool, inner::Error> {
        if self.has_parts(object, length)? {
            return Ok(false);
        }
        let mut from = length;
        for _ in 0..EXTENTS_AT_ONCE {
            match self.next_extent(object, from)? {
                Some(extent) => from = extent.start + 1,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Deletes some extents from `length` on, within one change; `false` when none are left.
    fn drop_extents(&mut self, object: u64, length: u64) -> Result<bool, inner::Error> {
        self.shorten_extent(object, length)?;
        for dropped in 0..EXTENTS_AT_ONCE {
            match self.next_extent(object, length)? {
                Some(extent) => self.tree.delete(extent_key(object, extent.start))?,
                None if SHARING && dropped == 0 => return self.drop_parts(object, length),
                None => return Ok(SHARING && self.has_parts(object, length)?),
            }
        }
        Ok(true)
    }

    pub(super) fn drop_some_extents(&mut self, object: u64, length: u64) -> Result<bool, inner::Error> {
        let demand = Demand { bytes: BOOKKEEPING_BYTES, growth: 0, rows: EXTENTS_AT_ONCE + 2 };
        self.make_room(&demand)?;
        self.change(|volume| volume.drop_extents(object, length))
    }

    /// Deletes an object that has no name any more: now, or when its last handle is closed.
    pub(super) fn drop_object(&mut self, object: u64, inode: Inode) -> Result<(), inner::Error> {
        let content = inode.content(object);
        let few = self.few_extents(content, 0)? && (!inode.attributes || ATTRIBUTES && self.few_attributes(object)?);
        let has_names = REMOVE_TREE && inode.kind == Kind::Directory && !self.is_empty(object)?;
        if self.is_open(object) || !few || has_names {
            self.put_inode(object, &Inode { links: 0, ..inode })?;
            return self.put_job(object, None);
        }
        self.drop_extents(content, 0)?;
        self.drop_content_record(content)?;
        if ATTRIBUTES && inode.attributes {
            self.drop_attributes(object)?;
        }
        self.tree.delete(inode_key(object))
    }

    /// Leaves work to be done: cut the object at a length, or delete it.
    fn put_job(&mut self, object: u64, length: Option<u64>) -> Result<(), inner::Error> {
        self.put_job_at(job_key(object), if length.is_some() { JOB_TRUNCATE } else { JOB_DELETE }, length.unwrap_or(0))
    }

    /// Leaves all of the content under a number to be deleted, which nobody refers to any more.
    pub(super) fn put_content_job(&mut self, object: u64) -> Result<(), inner::Error> {
        self.put_job_at(content_job_key(object), JOB_CONTENT, 0)
    }

    fn put_job_at(&mut self, key: Key, kind: u8, length: u64) -> Result<(), inner::Error> {
        let mut bytes = [0u8; JOB_BYTES_MAX];
        let mut writer = Writer::new(&mut bytes);
        writer.byte(kind);
        writer.uleb(length);
        self.tree.put(key, writer.finish().unwrap_or_default())
    }

    /// Works off an object's job, in bounded steps; nothing else may see the object half done.
    pub(super) fn run_job(&mut self, object: u64) -> Result<(), inner::Error> {
        self.run_job_at(job_key(object)).map(drop)
    }

    /// Works off a job, if there is one; `false` where it needs a feature that this build does not have, and stays.
    #[inline(never)]
    fn run_job_at(&mut self, key: Key) -> Result<bool, inner::Error> {
        if !self.tree.log.may_have.jobs {
            return Ok(true);
        }
        let object = key.object;
        let Some(Job { kind, length, content, can_run }) = self.read_job(&key)? else { return Ok(true) };
        if !can_run {
            return Ok(false);
        }
        while self.drop_some_extents(content, length)? {
            self.commit_unless_running()?;
        }
        if kind == JOB_DELETE {
            // Those of a directory that was removed with what is below it.
            let mut names = REMOVE_TREE.then_some(0);
            while let Some(from) = names {
                names = self.drop_some_names(object, from)?;
                self.commit_unless_running()?;
            }
            if ATTRIBUTES {
                self.drop_all_attributes(object)?;
            }
        }
        self.make_room(&Demand { bytes: BOOKKEEPING_BYTES, growth: 0, rows: 5 })?;
        self.forget_job(key, (kind == JOB_DELETE).then_some(content))?;
        self.commit_unless_running()?;
        Ok(true)
    }

    /// Reads a job. Apart from what works it off, because the stack is deep there.
    #[inline(never)]
    fn read_job(&mut self, key: &Key) -> Result<Option<Job>, inner::Error> {
        let mut bytes = [0u8; JOB_BYTES_MAX];
        let mut reader = match self.tree.load(key, &mut bytes) {
            Err(inner::Error::NotFound) => return Ok(None),
            value => Reader::new(value?),
        };
        let job = (reader.byte(), reader.uleb());
        let (kind, length) = reader.finish(job).ok_or(inner::Error::Corrupt { page: 0 })?;
        let object = key.object;
        let inode = if kind == JOB_CONTENT { None } else { self.inode(object).ok() };
        let content = inode.map_or(object, |inode| inode.content(object));
        let mut can_run = SHARING || !self.has_parts(content, length)?;
        if let Some(inode) = inode.filter(|_| kind == JOB_DELETE) {
            can_run &= ATTRIBUTES || !inode.attributes;
            can_run &= REMOVE_TREE || inode.kind != Kind::Directory || self.is_empty(object)?;
        }
        Ok(Some(Job { kind, length, content, can_run }))
    }

    /// Deletes a job that is done, and the object whose content this was.
    #[inline(never)]
    fn forget_job(&mut self, key: Key, deleted: Option<u64>) -> Result<(), inner::Error> {
        self.change(|volume| {
            if let Some(content) = deleted {
                volume.drop_content_record(content)?;
                volume.tree.delete(inode_key(key.object))?;
            }
            volume.tree.delete(key)
        })
    }

    /// Forgets that content belongs to an object that is deleted.
    fn drop_content_record(&mut self, content: u64) -> Result<(), inner::Error> {
        let has_record = self.tree.log.may_have.sharing && self.tree.has(&content_key(content))?;
        if has_record { self.tree.delete(content_key(content)) } else { Ok(()) }
    }

    /// As [`Self::run_jobs`], but what there is no space for waits for the next time.
    pub(super) fn run_jobs_that_fit(&mut self) -> Result<(), inner::Error> {
        match self.run_jobs() {
            Err(inner::Error::NoSpace) => Ok(()),
            result => result,
        }
    }

    /// Works off what earlier commits left to be done, but for objects that are open.
    pub(super) fn run_jobs(&mut self) -> Result<(), inner::Error> {
        // The job of a directory or of shared content leaves others, for what is below it.
        while self.tree.log.may_have.jobs && self.run_all_jobs()? {}
        Ok(())
    }

    /// Goes through the jobs there are; tells whether one was worked off.
    fn run_all_jobs(&mut self) -> Result<bool, inner::Error> {
        let mut from = Key { index: u32::MAX, ..job_key(0) };
        let (mut has_jobs, mut any_done) = (false, false);
        while let Some((key, is_resting)) = self.next_job(&from)? {
            from = key.successor();
            let is_here = key.index == self.tree.view.id();
            let is_done = if is_resting || is_here && key.position == 0 && self.is_open(key.object) {
                Ok(false)
            } else if is_here {
                self.run_job_at(key)
            } else {
                self.run_job_elsewhere(key)
            };
            let is_done = match is_done {
                // What cannot be read keeps its job for ever; nothing else waits for it.
                Err(error) if error.is_damage() => false,
                is_done => is_done?,
            };
            has_jobs |= !is_done;
            any_done |= is_done;
        }
        if !any_done {
            self.tree.log.may_have.jobs = has_jobs;
        }
        Ok(any_done)
    }

    /// Works off a job of another index, or one that is for an index.
    #[cfg(feature = "indexes")]
    #[inline(never)]
    fn run_job_elsewhere(&mut self, key: Key) -> Result<bool, inner::Error> {
        if key.object == TRIMMED_INDEX {
            let trimmed = u32::try_from(key.position).map_err(|_| inner::Error::Corrupt { page: 0 })?;
            return self.run_trim(trimmed).map(|()| true);
        }
        self.as_index(key.index, |volume| volume.run_job_at(key))
    }

    #[cfg(not(feature = "indexes"))]
    fn run_job_elsewhere(&mut self, _key: Key) -> Result<bool, inner::Error> {
        Ok(false)
    }

    /// The first job at or after a key, and whether it rests: a snapshot stays as it is, and what goes on from it has the same job.
    #[inline(never)]
    fn next_job(&mut self, from: &Key) -> Result<Option<(Key, bool)>, inner::Error> {
        let mut entry = Entry::EMPTY;
        if !self.tree.next_version(from, &mut entry)? || entry.key.kind != KIND_JOB {
            return Ok(None);
        }
        let key = entry.key;
        let rests = if INDEXES {
            key.object != TRIMMED_INDEX && !self.index_record(key.index)?.is_writable()
        } else {
            self.is_snapshot
        };
        Ok(Some((key, rests)))
    }

    /// Reads a whole file into `bytes` and tells its length.
    ///
    /// # Errors
    /// `ResultTooLarge` with the file's length where it does not fit, `IsADirectory`, `IsASymlink`, those of the path.
    pub fn read(&mut self, path: &str, bytes: &mut [u8]) -> Result<usize, Error> {
        let (object, inode) = self.existing(path)?;
        match inode.kind {
            Kind::Directory => return Err(Error::IsADirectory),
            Kind::Symlink => return Err(Error::IsASymlink),
            Kind::File => {}
            _ => return Err(Error::IsSpecial),
        }
        if inode.size > bytes.len() as u64 {
            return Err(Error::ResultTooLarge { needed: inode.size });
        }
        Ok(self.read_object(object, &inode, 0, bytes)?)
    }

    /// Replaces or creates a whole file, atomically: after a power cut it has the old content or the new.
    ///
    /// Durable on return, outside a transaction. Open handles of the file see the new content.
    ///
    /// # Errors
    /// `IsADirectory`, `IsASymlink`, `FileTooLarge`, `NoSpace` (nothing has changed), those of the path.
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        self.writable()?;
        Ok(self.write_whole(path, bytes)?)
    }

    fn write_whole(&mut self, path: &str, bytes: &[u8]) -> Result<(), inner::Error> {
        let target = self.resolve(path)?;
        let is_small = bytes.len() as u64 <= self.window();
        match target {
            Target::Root => return Err(inner::Error::IsADirectory),
            Target::Missing { directory, position, name } if is_small => {
                return self.create_object(directory, position, name, Kind::File, bytes).map(drop);
            }
            Target::Missing { .. } => {}
            Target::Found { name, .. } => match name.kind {
                Kind::Directory => return Err(inner::Error::IsADirectory),
                Kind::Symlink => return Err(inner::Error::IsASymlink),
                Kind::File if is_small && self.replace_small(name.object, bytes)? => return Ok(()),
                Kind::File => {}
                _ => return Err(inner::Error::IsSpecial),
            },
        }
        self.atomically(bytes.len() as u64, |volume| {
            let object = match target {
                Target::Missing { directory, position, name } => {
                    volume.create_object(directory, position, name, Kind::File, &[])?
                }
                Target::Found { name, .. } => name.object,
                Target::Root => ROOT,
            };
            volume.replace_content(object, bytes)
        })?;
        self.run_released()
    }

    /// Replaces a file's content, within a transaction.
    fn replace_content(&mut self, object: u64, bytes: &[u8]) -> Result<(), inner::Error> {
        let mut inode = self.inode(object)?;
        let content = inode.content(object);
        if SHARING && self.has_parts(content, 0)? {
            // What it shares is given up, and so is not overwritten.
            inode.size = 0;
            self.shorten(object, content, &inode, true)?;
        }
        // First over the old content, so that only what is added counts as growth; then the rest is cut off.
        self.write_object(object, inode, 0, bytes, true)?;
        let size = bytes.len() as u64;
        if inode.size > size {
            (inode.size, inode.modified) = (size, self.now());
            self.shorten(object, content, &inode, true)?;
        }
        Ok(())
    }

    /// Replaces the content of a small file by another such, in one commit; `false` where it is not that simple.
    fn replace_small(&mut self, object: u64, bytes: &[u8]) -> Result<bool, inner::Error> {
        let mut inode = self.inode(object)?;
        let size = bytes.len() as u64;
        let content = inode.content(object);
        self.refuse_shared(content)?;
        if inode.size > self.window() || SHARING && self.has_parts(content, 0)? {
            return Ok(false);
        }
        if !self.in_transaction {
            self.commit()?;
        }
        let whole = self.make_room_for(content, 0, size)?;
        self.check_mergeable(content, 0)?;
        let block = self.logical_block();
        inode.size = size;
        inode.modified = self.now();
        self.change(|volume| {
            volume.cut(content, size, block, false)?;
            if !bytes.is_empty() {
                volume.write_pieces(content, bytes, inode.codec, whole)?;
            }
            volume.put_inode(object, &inode)
        })?;
        self.commit_unless_running()?;
        Ok(true)
    }
}

/// Work that a commit has left.
struct Job {
    kind: u8,
    /// Content goes from here on.
    length: u64,
    /// The number that it is under.
    content: u64,
    /// This build has the features that it takes.
    can_run: bool,
}

/// Bytes of the longest job.
pub(super) const JOB_BYTES_MAX: usize = 12;
/// The object in the keys of jobs for indexes.
const TRIMMED_INDEX: u64 = 0;
const JOB_TRUNCATE: u8 = 1;
const JOB_DELETE: u8 = 2;
/// Of content without an inode.
const JOB_CONTENT: u8 = 3;

/// The job of content without an inode. An inode of the same number may have one of its own.
pub(super) fn content_job_key(object: u64) -> Key {
    Key { position: 1, ..job_key(object) }
}
