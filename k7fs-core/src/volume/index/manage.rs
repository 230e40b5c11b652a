//! Making and changing indexes. Each of these is one commit.

use super::list::check_index_name;
use super::{BY_POLICY, HEADER_BYTES_MAX, Header, RECORD_BYTES_MAX, Record, TRIMMED, WRITABLE, index_key};
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::log::Key;
use crate::tree::{Demand, Entry, KIND_JOB};
use crate::volume::file::BOOKKEEPING_BYTES;
use crate::volume::inode::{Inode, NamePlace, ROOT};
use crate::volume::types::{Kind, Timestamp};
use crate::volume::{OPEN_FILES_MAX, Volume};

/// Rows that a change of indexes needs: three records and the header, a job, a root directory.
const INDEX_ROWS: usize = 6;
/// The same for the jobs of open files, where there are any.
const JOB_ROWS: usize = 2 * OPEN_FILES_MAX;

impl<F: Flash> Volume<'_, F> {
    /// Takes a snapshot of the index that is worked on, under a name of its own: a state that stays as it is.
    ///
    /// Three small records in one commit, whatever the volume holds. Files may be open; what was written to them before is in
    /// it. Durable on return.
    ///
    /// # Errors
    /// `Busy` within a transaction, `IndexExists`, `ReadOnly` where the index that is worked on is a snapshot itself,
    /// `TooManyIndexes`, `NoSpace`, those of the name.
    pub fn create_snapshot(&mut self, name: &str) -> Result<(), Error> {
        self.writable()?;
        self.take_snapshot(name, self.now(), false)
    }

    pub(super) fn take_snapshot(&mut self, name: &str, time: Timestamp, by_policy: bool) -> Result<(), Error> {
        let header = self.begin_new_index(name)?;
        self.make_index_room(BOOKKEEPING_BYTES)?;
        let live = self.index_record(self.tree.view.id())?;
        let is_gap = self.next_index_record(live.parent.saturating_add(1))?.is_some_and(|next| next.id < live.id);
        let mut view = self.tree.view.clone();
        if !view.descend(header.next, is_gap) {
            return Err(Error::TooManyIndexes);
        }
        let mut snapshot = Record { flags: if by_policy { BY_POLICY } else { 0 }, created: time, ..live };
        snapshot.set_name(name);
        let next = Record { id: header.next, parent: live.id, since: self.tree.log.transaction(), ..live };
        let mut header = header.after(next.id);
        if header.default == live.id {
            header.default = next.id;
        }
        self.change(|volume| {
            volume.put_index(&snapshot)?;
            volume.put_index(&next)?;
            volume.put_index_header(&header)?;
            volume.copy_jobs(live.id, next.id)
        })?;
        self.commit()?;
        self.tree.view = view;
        Ok(())
    }

    /// Makes a writable index that begins as a snapshot is: a branch. Durable on return.
    ///
    /// # Errors
    /// As [`create_snapshot`](Self::create_snapshot); `IndexNotFound`, `IndexIsWritable` where `from` is no snapshot.
    pub fn create_branch(&mut self, from: &str, name: &str) -> Result<(), Error> {
        let header = self.begin_new_index(name)?;
        let from = self.existing_index(from)?;
        if from.is_writable() {
            return Err(Error::IndexIsWritable);
        }
        self.make_index_room(BOOKKEEPING_BYTES)?;
        self.create_index(&header, name, from.id, |volume| volume.copy_jobs(from.id, header.next))
    }

    /// Makes a writable index without files: a subvolume. Durable on return.
    ///
    /// # Errors
    /// As [`create_snapshot`](Self::create_snapshot).
    pub fn create_subvolume(&mut self, name: &str) -> Result<(), Error> {
        let header = self.begin_new_index(name)?;
        self.make_index_room(BOOKKEEPING_BYTES)?;
        let root = Inode::new(Kind::Directory, self.now(), NamePlace::new(ROOT, 0));
        self.create_index(&header, name, 0, |volume| volume.put_inode(ROOT, &root))
    }

    fn create_index(
        &mut self, header: &Header, name: &str, parent: u32, fill: impl FnOnce(&mut Self) -> Result<(), inner::Error>,
    ) -> Result<(), Error> {
        let (id, since) = (header.next, self.tree.log.transaction());
        let mut record = Record { id, parent, flags: WRITABLE, since, created: self.now(), ..Record::first() };
        record.set_name(name);
        self.change(|volume| {
            volume.put_first_index()?;
            volume.put_index(&record)?;
            volume.put_index_header(&(*header).after(id))?;
            volume.as_index(id, fill)
        })?;
        Ok(self.commit()?)
    }

    /// Goes back to a snapshot: the index that is worked on is given up as it is, and goes on as the snapshot was. The snapshot
    /// stays, and so do those taken later.
    ///
    /// One commit; after a power cut the volume is at the snapshot or where it was. The space of what is given up comes
    /// back in steps, before this returns or with the next mount.
    ///
    /// # Errors
    /// `Busy` within a transaction or while files are open, `IndexNotFound`, `IndexIsWritable` where `to` is no snapshot, `ReadOnly`,
    /// `NoSpace`, those of the name.
    pub fn roll_back_to(&mut self, to: &str) -> Result<(), Error> {
        self.writable()?;
        self.refuse_open_files()?;
        let header = self.begin_indexes()?;
        let to = self.existing_index(to)?;
        if to.is_writable() {
            return Err(Error::IndexIsWritable);
        }
        if header.next == u32::MAX {
            return Err(Error::Exhausted);
        }
        self.make_index_room(0)?;
        let live = self.index_record(self.tree.view.id())?;
        let next = Record { id: header.next, parent: to.id, since: self.tree.log.transaction(), ..live };
        let mut header = header.after(next.id);
        if header.default == live.id {
            header.default = next.id;
        }
        self.change(|volume| {
            volume.put_index(&next)?;
            volume.put_index_header(&header)?;
            volume.copy_jobs(to.id, next.id)?;
            volume.give_up_index(&live)
        })?;
        self.commit()?;
        self.enter_index(next.id)?;
        Ok(self.run_jobs_that_fit()?)
    }

    /// Gives up an index. What no other one sees is deleted, in steps, before this returns or with the next mount.
    ///
    /// Works on a full volume. Files of the index that is worked on may be open.
    ///
    /// # Errors
    /// `IndexInUse` for the index that is worked on and the default one, `IndexNotFound`, `Busy` within a transaction, `ReadOnly`,
    /// those of the name.
    pub fn trim_index(&mut self, name: &str) -> Result<(), Error> {
        let header = self.begin_indexes()?;
        let record = self.existing_index(name)?;
        if record.id == header.default || record.id == self.tree.view.id() {
            return Err(Error::IndexInUse);
        }
        self.make_index_room(0)?;
        self.change(|volume| volume.give_up_index(&record))?;
        self.commit()?;
        Ok(self.run_jobs()?)
    }

    /// Gives an index another name. Durable on return.
    ///
    /// # Errors
    /// `IndexNotFound`, `IndexExists`, `Busy` within a transaction, `ReadOnly`, `NoSpace`, those of the names.
    pub fn rename_index(&mut self, from: &str, to: &str) -> Result<(), Error> {
        if from == to {
            return self.existing_index(from).map(drop);
        }
        let header = self.begin_new_index(to)?;
        let mut record = self.existing_index(from)?;
        record.set_name(to);
        self.make_index_room(BOOKKEEPING_BYTES)?;
        self.change(|volume| {
            volume.put_index_header(&header)?;
            volume.put_index(&record)
        })?;
        Ok(self.commit()?)
    }

    /// Makes an index the one that a mount begins with. Durable on return.
    ///
    /// # Errors
    /// `IndexNotFound`, `Busy` within a transaction, `ReadOnly`, those of the name.
    pub fn set_default_index(&mut self, name: &str) -> Result<(), Error> {
        let header = self.begin_indexes()?;
        let record = self.existing_index(name)?;
        self.make_index_room(0)?;
        self.change(|volume| {
            volume.put_first_index()?;
            volume.put_index_header(&Header { default: record.id, ..header })
        })?;
        Ok(self.commit()?)
    }

    /// A change of indexes commits by itself: everything before it becomes durable first.
    pub(super) fn begin_indexes(&mut self) -> Result<Header, Error> {
        self.writable_volume()?;
        if self.in_transaction {
            return Err(Error::Busy);
        }
        self.commit()?;
        self.run_jobs_that_fit()?;
        Ok(self.index_header()?)
    }

    /// As [`Self::begin_indexes`], for one more name.
    fn begin_new_index(&mut self, name: &str) -> Result<Header, Error> {
        check_index_name(name)?;
        let header = self.begin_indexes()?;
        // Only those of open files are left then: few enough to be copied.
        self.run_jobs()?;
        if self.find_index(name)?.is_some() {
            return Err(Error::IndexExists);
        }
        if header.next == u32::MAX { Err(Error::Exhausted) } else { Ok(header) }
    }

    /// Room for a change of indexes, once nothing else speaks against it. A volume without room for growth still takes changes
    /// without it.
    pub(super) fn make_index_room(&mut self, growth: u64) -> Result<(), Error> {
        let rows = INDEX_ROWS + if self.tree.log.may_have.jobs { JOB_ROWS } else { 0 };
        Ok(self.make_room(&Demand { bytes: BOOKKEEPING_BYTES, growth, rows })?)
    }

    pub(super) fn put_index(&mut self, record: &Record) -> Result<(), inner::Error> {
        let mut bytes = [0u8; RECORD_BYTES_MAX];
        self.tree.put(index_key(record.id), record.encode(&mut bytes).ok_or(inner::Error::Exhausted)?)
    }

    pub(super) fn put_index_header(&mut self, header: &Header) -> Result<(), inner::Error> {
        let mut bytes = [0u8; HEADER_BYTES_MAX];
        self.tree.put(index_key(0), header.encode(&mut bytes).ok_or(inner::Error::Exhausted)?)
    }

    /// The index that a volume begins with gets its record when there is a second one.
    pub(super) fn put_first_index(&mut self) -> Result<(), inner::Error> {
        if self.tree.has(&index_key(0))? { Ok(()) } else { self.put_index(&Record::first()) }
    }

    /// Takes an index's name, and leaves a job that deletes what only it sees.
    fn give_up_index(&mut self, record: &Record) -> Result<(), inner::Error> {
        let mut trimmed = Record { flags: TRIMMED, ..*record };
        trimmed.set_name("");
        self.put_index(&trimmed)?;
        self.put_trim_job(record.id, 0)
    }

    /// What a snapshot has left to be done is done in what goes on from it: files that were open without a name.
    fn copy_jobs(&mut self, from: u32, to: u32) -> Result<(), inner::Error> {
        let mut at = Key { kind: KIND_JOB, object: 1, position: 0, index: u32::MAX };
        let mut entry = Entry::EMPTY;
        while self.tree.log.may_have.jobs && self.tree.next_version(&at, &mut entry)? && entry.key.kind == KIND_JOB {
            at = entry.key.successor();
            if entry.key.index == from {
                self.tree.put_version(Key { index: to, ..entry.key }, &entry.content)?;
            }
        }
        Ok(())
    }
}

impl Header {
    /// After an index was made.
    fn after(self, id: u32) -> Self {
        Self { next: id + 1, ..self }
    }
}
