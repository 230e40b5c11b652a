//! Names: paths, directories, links.

use super::attributes::ATTRIBUTES_AT_ONCE;
use super::file::{BOOKKEEPING_BYTES, EXTENTS_AT_ONCE};
use super::inode::{Inode, NAME_VALUE_BYTES_MAX, Name, NamePlace, ROOT, name_key};
use super::types::{DirCursor, DirEntry, Kind, Metadata, Timestamp};
use super::{DEPTH_MAX, ENTRIES_MAX, LINKS_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX, Volume};
use crate::codec::CodecId;
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::log::ITEM_HEADER_BYTES_MAX;
use crate::sabotage::{Step, is_off};
use crate::tree::{Demand, Entry};

/// Rows that a new name needs at most: name, inode, directory, two of content, one more directory.
pub(super) const NAME_ROWS: usize = 6;
/// Rows that taking a name away needs at most: name, inode, directory, a job or the object's extents and
/// attributes.
pub(super) const UNLINK_ROWS: usize = 6 + EXTENTS_AT_ONCE + ATTRIBUTES_AT_ONCE;

/// Rows that one step of emptying a directory fills, where the table is large.
const DROPPED_ROWS: usize = 48;
/// Bytes that deleting a key appends at most, as a row.
const DROPPED_ROW_BYTES: u64 = ITEM_HEADER_BYTES_MAX as u64;

/// Where a path leads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'p> {
    /// The root directory.
    Root,
    /// An object.
    Found { directory: u64, name: Name },
    /// A free place in an existing directory.
    Missing { directory: u64, position: u64, name: &'p str },
}

fn check_name(name: &str) -> Result<(), inner::Error> {
    if name.is_empty() {
        return Err(inner::Error::NameEmpty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(inner::Error::NameTooLong);
    }
    if name == "." || name == ".." || name.bytes().any(|byte| byte == 0 || byte == b'/') {
        return Err(inner::Error::NameInvalid);
    }
    Ok(())
}

/// Entries of a directory, at most.
fn entries_max() -> u64 {
    if is_off(Step::Entries) { 8 } else { ENTRIES_MAX.into() }
}

/// In a directory that nothing leads to any more, an object that is missing is no harm.
fn unless_missing(result: Result<(), inner::Error>) -> Result<(), inner::Error> {
    if result == Err(inner::Error::NotFound) { Ok(()) } else { result }
}

/// The names in a path; empty ones are passed over. By hand, because the panic paths of `str::split` stay linked.
fn components(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    let parts = core::iter::from_fn(move || {
        let end = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
        let (name, behind) = rest.split_at_checked(end).filter(|_| !rest.is_empty())?;
        rest = behind.get(1..).unwrap_or_default();
        Some(name)
    });
    parts.filter(|name| !name.is_empty())
}

impl<F: Flash> Volume<'_, F> {
    /// Follows a path from the root. Empty components are passed over; symbolic links are not followed.
    pub(super) fn resolve<'p>(&mut self, path: &'p str) -> Result<Target<'p>, inner::Error> {
        self.usable()?;
        if path.is_empty() {
            return Err(inner::Error::NameEmpty);
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(inner::Error::PathTooLong);
        }
        let mut target = Target::Root;
        let mut directory = ROOT;
        let mut depth = 0;
        for name in components(path) {
            check_name(name)?;
            match target {
                Target::Root => {}
                Target::Missing { .. } => return Err(inner::Error::NotFound),
                Target::Found { name: found, .. } if found.kind != Kind::Directory => {
                    return Err(inner::Error::NotADirectory);
                }
                Target::Found { name: found, .. } => directory = found.object,
            }
            depth += 1;
            if depth > DEPTH_MAX {
                return Err(inner::Error::PathTooDeep);
            }
            target = match self.find_name(directory, name)? {
                Ok(found) => Target::Found { directory, name: found },
                Err(position) => Target::Missing { directory, position, name },
            };
        }
        Ok(target)
    }

    /// The object that a path leads to.
    pub(super) fn existing(&mut self, path: &str) -> Result<(u64, Inode), inner::Error> {
        let object = match self.resolve(path)? {
            Target::Root => ROOT,
            Target::Found { name, .. } => name.object,
            Target::Missing { .. } => return Err(inner::Error::NotFound),
        };
        // A name always leads to an object: if it does not, the volume is damaged.
        let inode = self.inode(object);
        Ok((
            object,
            inode.map_err(
                |error| if error == inner::Error::NotFound { inner::Error::Corrupt { page: 0 } } else { error },
            )?,
        ))
    }

    pub(super) fn free_place<'p>(&mut self, path: &'p str) -> Result<(u64, u64, &'p str), inner::Error> {
        match self.resolve(path)? {
            Target::Root | Target::Found { .. } => Err(inner::Error::AlreadyExists),
            Target::Missing { directory, position, name } => Ok((directory, position, name)),
        }
    }

    /// Room for an operation on names, which commits by itself: everything before it becomes durable first.
    pub(super) fn begin_names(&mut self, growth: u64, rows: usize) -> Result<(), inner::Error> {
        self.writable()?;
        if !self.in_transaction {
            self.commit()?;
        }
        let demand = Demand { bytes: growth + BOOKKEEPING_BYTES, growth, rows };
        self.make_room(&demand)
    }

    /// Refuses one more entry in a directory that has as many as it may.
    fn refuse_full(&mut self, directory: u64) -> Result<(), inner::Error> {
        if self.inode(directory)?.size < entries_max() { Ok(()) } else { Err(inner::Error::DirectoryFull) }
    }

    /// Counts an entry in or out of a directory.
    fn count_entry(&mut self, directory: u64, delta: i64) -> Result<(), inner::Error> {
        let mut inode = self.inode(directory)?;
        inode.size = inode.size.saturating_add_signed(delta);
        inode.modified = self.now();
        self.put_inode(directory, &inode)
    }

    /// Creates an object with its first content, in one commit.
    pub(super) fn create_object(
        &mut self, directory: u64, position: u64, name: &str, kind: Kind, content: &[u8],
    ) -> Result<u64, inner::Error> {
        let inode = Inode::new(kind, self.now(), NamePlace::new(directory, position));
        self.create_with(directory, position, name, inode, content)
    }

    /// As [`Self::create_object`], for an inode of any kind.
    pub(super) fn create_with(
        &mut self, directory: u64, position: u64, name: &str, mut inode: Inode, content: &[u8],
    ) -> Result<u64, inner::Error> {
        self.refuse_full(directory)?;
        let len = content.len() as u64;
        let growth = len + self.packing_bytes(len) + name.len() as u64 + 128;
        self.begin_names(growth, NAME_ROWS + self.record_rows(len))?;
        inode.size = len;
        let object = self.change(|volume| {
            let (object, codec) = volume.enter_object(directory, position, name, inode)?;
            if !content.is_empty() {
                volume.write_pieces(object, content, codec, false)?;
            }
            Ok(object)
        })?;
        self.commit_unless_running()?;
        Ok(object)
    }

    /// Gives an inode a number, a name and the codec chosen for the directory, within a change. Tells the number and that codec.
    pub(super) fn enter_object(
        &mut self, directory: u64, position: u64, name: &str, mut inode: Inode,
    ) -> Result<(u64, Option<CodecId>), inner::Error> {
        let object = self.free_object()?;
        self.tree.log.next_object = object + 1;
        self.put_name(directory, position, object, inode.kind, name)?;
        if matches!(inode.kind, Kind::File | Kind::Directory) {
            inode.codec = self.inode(directory)?.codec;
        }
        self.put_inode(object, &inode)?;
        self.count_entry(directory, 1)?;
        Ok((object, inode.codec))
    }

    /// The number that the next object gets.
    pub(super) fn free_object(&self) -> Result<u64, inner::Error> {
        let object = self.tree.log.next_object;
        if object == u64::MAX { Err(inner::Error::Exhausted) } else { Ok(object) }
    }

    /// What is known about an object. Symbolic links are not followed.
    ///
    /// # Errors
    /// `NotFound` and those of the path.
    pub fn metadata(&mut self, path: &str) -> Result<Metadata, Error> {
        let (object, inode) = self.existing(path)?;
        Ok(inode.metadata(object))
    }

    /// Sets when an object's content last changed. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// `NotFound`, `ReadOnly`, `NoSpace`, those of the path.
    pub fn set_modified(&mut self, path: &str, time: Timestamp) -> Result<(), Error> {
        let (object, mut inode) = self.existing(path)?;
        self.begin_names(0, NAME_ROWS)?;
        inode.modified = time;
        self.change(|volume| volume.put_inode(object, &inode))?;
        Ok(self.commit_unless_running()?)
    }

    /// Creates an empty directory. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` and `NotADirectory` for its parent, `DirectoryFull`, `PathTooDeep`, `NoSpace`, those of the path.
    pub fn create_dir(&mut self, path: &str) -> Result<(), Error> {
        self.writable()?;
        let (directory, position, name) = self.free_place(path)?;
        self.create_object(directory, position, name, Kind::Directory, &[])?;
        Ok(())
    }

    /// Creates a symbolic link. The target is stored as it is, at most 4,096 bytes. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// `AlreadyExists`, `PathTooLong` for the target, `NameEmpty` for an empty target, those of the path.
    pub fn symlink(&mut self, target: &str, path: &str) -> Result<(), Error> {
        self.writable()?;
        if target.is_empty() {
            return Err(Error::NameEmpty);
        }
        if target.len() > PATH_BYTES_MAX {
            return Err(Error::PathTooLong);
        }
        let (directory, position, name) = self.free_place(path)?;
        self.create_object(directory, position, name, Kind::Symlink, target.as_bytes())?;
        Ok(())
    }

    /// The target of a symbolic link, in `bytes`.
    ///
    /// # Errors
    /// `NotASymlink`, `ResultTooLarge` with the bytes needed, those of the path.
    pub fn read_link<'n>(&mut self, path: &str, bytes: &'n mut [u8]) -> Result<&'n str, Error> {
        let (object, inode) = self.existing(path)?;
        if inode.kind != Kind::Symlink {
            return Err(Error::NotASymlink);
        }
        let needed = inode.size;
        let target = usize::try_from(needed).ok().and_then(|len| bytes.get_mut(..len));
        let target = target.ok_or(Error::ResultTooLarge { needed })?;
        self.read_content(object, 0, target)?;
        core::str::from_utf8(target).map_err(|_| Error::Corrupt { page: 0 })
    }

    /// Gives a file or symbolic link one more name. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// `IsADirectory`, `AlreadyExists`, `TooManyLinks`, `DirectoryFull`, `NoSpace`, those of the paths.
    pub fn hard_link(&mut self, existing: &str, new: &str) -> Result<(), Error> {
        self.writable()?;
        let (object, mut inode) = self.existing(existing)?;
        if inode.kind == Kind::Directory {
            return Err(Error::IsADirectory);
        }
        let (directory, position, name) = self.free_place(new)?;
        if inode.links >= LINKS_MAX {
            return Err(Error::TooManyLinks);
        }
        self.refuse_full(directory)?;
        self.begin_names(name.len() as u64 + 64, NAME_ROWS)?;
        inode.links += 1;
        if inode.place == NamePlace::UNKNOWN {
            inode.place = NamePlace::new(directory, position);
        }
        self.change(|volume| {
            volume.put_name(directory, position, object, inode.kind, name)?;
            volume.put_inode(object, &inode)?;
            volume.count_entry(directory, 1)
        })?;
        Ok(self.commit_unless_running()?)
    }

    /// Removes an empty directory. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// `DirectoryNotEmpty`, `NotADirectory`, `Busy` for the root, those of the path.
    pub fn remove_dir(&mut self, path: &str) -> Result<(), Error> {
        self.writable()?;
        let (directory, name) = self.removable_directory(path)?;
        if !self.is_empty(name.object)? {
            return Err(Error::DirectoryNotEmpty);
        }
        Ok(self.remove_name(directory, name)?)
    }

    /// A directory that may be taken away, and the one that it is in.
    fn removable_directory(&mut self, path: &str) -> Result<(u64, Name), inner::Error> {
        match self.resolve(path)? {
            Target::Root => Err(inner::Error::Busy),
            Target::Missing { .. } => Err(inner::Error::NotFound),
            Target::Found { name, .. } if name.kind != Kind::Directory => Err(inner::Error::NotADirectory),
            Target::Found { directory, name } => Ok((directory, name)),
        }
    }

    /// Removes a name of a file or symbolic link. With its last name the object goes, or, while it is open, with its last
    /// handle. Durable on return, outside a transaction; works on a full volume.
    ///
    /// # Errors
    /// `IsADirectory`, `NotFound`, those of the path.
    pub fn remove_file(&mut self, path: &str) -> Result<(), Error> {
        self.writable()?;
        match self.resolve(path)? {
            Target::Root => Err(Error::IsADirectory),
            Target::Missing { .. } => Err(Error::NotFound),
            Target::Found { name, .. } if name.kind == Kind::Directory => Err(Error::IsADirectory),
            Target::Found { directory, name } => Ok(self.remove_name(directory, name)?),
        }
    }

    /// Removes a directory with everything below it; works on a full volume.
    ///
    /// One commit takes the directory away and leaves a job, which is worked off in bounded steps before this returns; after a
    /// power cut a writable mount goes on with it (before one has, files that have names elsewhere may count more names than they have).
    /// Files that have names elsewhere keep those, files that are open stay until they
    /// are closed. In a transaction the steps follow its commit: until then files that have a name elsewhere count all of their names.
    ///
    /// # Errors
    /// `NotADirectory`, `NotFound`, `Busy` for the root, those of the path. `NoSpace` where other indexes hold on to what
    /// goes and not even the first commit fits; where space runs out later the tree is gone, and what is left of it
    /// is deleted with the next transaction or mount that finds room.
    pub fn remove_tree(&mut self, path: &str) -> Result<(), Error> {
        self.writable()?;
        let (directory, name) = self.removable_directory(path)?;
        self.take_name(directory, name)?;
        if self.in_transaction { Ok(()) } else { Ok(self.run_jobs_that_fit()?) }
    }

    fn remove_name(&mut self, directory: u64, name: Name) -> Result<(), inner::Error> {
        self.take_name(directory, name)?;
        self.finish_unlinked(name.object)
    }

    /// One commit that takes a name away, and with the last one the object, or leaves a job for that.
    fn take_name(&mut self, directory: u64, name: Name) -> Result<(), inner::Error> {
        self.begin_names(0, UNLINK_ROWS)?;
        self.change(|volume| {
            volume.tree.delete(name_key(directory, name.position))?;
            volume.unlink(directory, &name)?;
            volume.count_entry(directory, -1)
        })?;
        self.commit_unless_running()
    }

    /// Takes some of the names at or after a position from a directory that has none itself, and tells where to go on. What that
    /// leaves without a name goes too; what is large, open or a directory with names leaves a job.
    pub(super) fn drop_some_names(&mut self, directory: u64, from: u64) -> Result<Option<u64>, inner::Error> {
        let rows = if self.tree.has_room_for(4 * DROPPED_ROWS) { DROPPED_ROWS } else { 1 };
        let bytes = (rows + UNLINK_ROWS) as u64 * DROPPED_ROW_BYTES + BOOKKEEPING_BYTES;
        let demand = Demand { bytes, growth: 0, rows: rows + UNLINK_ROWS };
        self.make_room(&demand)?;
        self.change(|volume| volume.drop_names(directory, from, rows))
    }

    /// As many names as fill so many rows, and one that may fill more.
    fn drop_names(&mut self, directory: u64, from: u64, rows: usize) -> Result<Option<u64>, inner::Error> {
        let mut from = Some(name_key(directory, from));
        let mut entry = Entry::EMPTY;
        let (rows_before, mut taken) = (self.tree.log.table.len(), 0);
        while let Some(at) = from {
            let is_enough = taken > 0 && (taken >= rows || self.tree.log.table.len() >= rows_before + rows);
            if is_enough {
                break;
            }
            if !self.tree.next_beside(&at, &mut entry)? {
                from = None;
                break;
            }
            let name = self.read_target(entry.key.position, &entry.content)?;
            self.tree.delete(name_key(directory, name.position))?;
            unless_missing(self.unlink(directory, &name))?;
            taken += 1;
            from = entry.key.position.checked_add(1).map(|next| name_key(directory, next));
        }
        if taken > 0 {
            unless_missing(self.count_entry(directory, -(taken as i64)))?;
        }
        Ok(from.map(|next| next.position))
    }

    /// Takes one name from an object, and the object with its last one.
    fn unlink(&mut self, directory: u64, name: &Name) -> Result<(), inner::Error> {
        let mut inode = self.inode(name.object)?;
        inode.links = inode.links.saturating_sub(1);
        if inode.place == NamePlace::new(directory, name.position) {
            inode.place = NamePlace::UNKNOWN;
        }
        if inode.links > 0 { self.put_inode(name.object, &inode) } else { self.drop_object(name.object, inode) }
    }

    /// A large object that nothing refers to any more is deleted in steps after the commit that took its name.
    pub(super) fn finish_unlinked(&mut self, object: u64) -> Result<(), inner::Error> {
        if self.in_transaction || self.is_open(object) {
            return Ok(());
        }
        self.run_job(object)?;
        self.run_released()
    }

    /// Whether a directory has no names.
    pub(super) fn is_empty(&mut self, directory: u64) -> Result<bool, inner::Error> {
        let from = name_key(directory, 0);
        let mut entry = Entry::EMPTY;
        Ok(!self.tree.next_beside(&from, &mut entry)?)
    }

    /// Moves an object to another name, atomically. An existing file or symbolic link there is replaced by one of those, an
    /// existing empty directory by a directory. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// `RenameIntoItself` where a directory would end up below itself, `DirectoryNotEmpty`, `IsADirectory`, `NotADirectory`,
    /// `PathTooDeep` (also for what is below a directory; finding out looks at all of it, where a directory moves down),
    /// `NoSpace` where the new name is longer, `DirectoryFull`, `Busy` for the root, those of the paths.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Error> {
        self.writable()?;
        let (from_directory, source) = match self.resolve(from)? {
            Target::Root => return Err(Error::Busy),
            Target::Missing { .. } => return Err(Error::NotFound),
            Target::Found { directory, name } => (directory, name),
        };
        let new_name = components(to).last().unwrap_or_default();
        let (to_directory, position, replaced) = match self.resolve(to)? {
            Target::Root => return Err(Error::Busy),
            Target::Missing { directory, position, .. } => (directory, position, None),
            Target::Found { directory, name } => (directory, name.position, Some(name)),
        };
        if source.kind == Kind::Directory {
            self.refuse_cycle(source.object, to_directory)?;
        }
        if let Some(replaced) = replaced {
            if replaced.object == source.object {
                // Two names of one file, or the same name: nothing to do, as in POSIX.
                return Ok(());
            }
            match (source.kind, replaced.kind) {
                (Kind::Directory, Kind::Directory) if !self.is_empty(replaced.object)? => {
                    return Err(Error::DirectoryNotEmpty);
                }
                (Kind::Directory, Kind::Directory) => {}
                (Kind::Directory, _) => return Err(Error::NotADirectory),
                (_, Kind::Directory) => return Err(Error::IsADirectory),
                _ => {}
            }
        }
        let (old_depth, depth) = (components(from).count(), components(to).count());
        if source.kind == Kind::Directory && depth > old_depth {
            // What is below it moves down with it.
            self.refuse_deeper(source.object, (DEPTH_MAX as usize).saturating_sub(depth))?;
        }
        if from_directory != to_directory && replaced.is_none() {
            self.refuse_full(to_directory)?;
        }
        // A longer name is growth; any other rename works on a full volume.
        let old_len = components(from).last().map_or(0, str::len);
        self.begin_names(new_name.len().saturating_sub(old_len) as u64, NAME_ROWS + UNLINK_ROWS)?;
        self.change(|volume| {
            volume.tree.delete(name_key(from_directory, source.position))?;
            if let Some(replaced) = &replaced {
                volume.unlink(to_directory, replaced)?;
            }
            volume.put_name(to_directory, position, source.object, source.kind, new_name)?;
            if from_directory != to_directory || replaced.is_some() {
                volume.count_entry(from_directory, -1)?;
            }
            if from_directory != to_directory && replaced.is_none() {
                volume.count_entry(to_directory, 1)?;
            }
            let mut inode = volume.inode(source.object)?;
            if inode.place == NamePlace::new(from_directory, source.position) {
                inode.place = NamePlace::new(to_directory, position);
                volume.put_inode(source.object, &inode)?;
            }
            Ok(())
        })?;
        self.commit_unless_running()?;
        if let Some(replaced) = replaced {
            self.finish_unlinked(replaced.object)?;
        }
        Ok(())
    }

    /// Refuses to put a directory below itself, or too deep.
    fn refuse_cycle(&mut self, moved: u64, into: u64) -> Result<(), inner::Error> {
        let mut at = into;
        for _ in 0..DEPTH_MAX {
            if at == moved {
                return Err(inner::Error::RenameIntoItself);
            }
            if at == ROOT {
                return Ok(());
            }
            at = self.inode(at)?.place.directory;
        }
        Err(inner::Error::PathTooDeep)
    }

    /// A cursor at the first entry of a directory.
    ///
    /// # Errors
    /// `NotADirectory`, those of the path.
    pub fn read_dir(&mut self, path: &str) -> Result<DirCursor, Error> {
        let (directory, inode) = self.existing(path)?;
        if inode.kind != Kind::Directory {
            return Err(Error::NotADirectory);
        }
        Ok(DirCursor { directory, next: Some(0) })
    }

    /// The next entry, its name in `name`; `None` at the end. 255 bytes hold every name. The order is that of a hash.
    ///
    /// # Errors
    /// `ResultTooLarge` with the bytes needed (the cursor stays), or what reading meets.
    pub fn next_entry<'n>(
        &mut self, cursor: &mut DirCursor, name: &'n mut [u8],
    ) -> Result<Option<DirEntry<'n>>, Error> {
        self.usable()?;
        let Some(from) = cursor.next else { return Ok(None) };
        let from = name_key(cursor.directory, from);
        let mut entry = Entry::EMPTY;
        if !self.tree.next_beside(&from, &mut entry)? {
            cursor.next = None;
            return Ok(None);
        }
        let mut bytes = [0u8; NAME_VALUE_BYTES_MAX];
        let (found, len) = self.read_name(entry.key.position, &entry.content, &mut bytes)?;
        let place = name.get_mut(..len).ok_or(Error::ResultTooLarge { needed: len as u64 })?;
        for (to, from) in place.iter_mut().zip(&bytes) {
            *to = *from;
        }
        cursor.next = entry.key.position.checked_add(1);
        let name = core::str::from_utf8(place).map_err(|_| Error::Corrupt { page: 0 })?;
        Ok(Some(DirEntry { name, object: found.object, kind: found.kind }))
    }
}
