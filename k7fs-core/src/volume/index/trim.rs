//! Deleting what no index sees any more, in steps that a power cut may come between.
//!
//! A trimmed index that no other one descends from loses its versions. One that a single index descends from takes that one's
//! place: the versions of both become one, newer ones over older ones, under the lower number. That costs what was written since the
//! younger of both began, however much is older. One that several descend from stays, without what they all hide.

use heapless::Vec;

use super::{Header, Record, index_key};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::log::Key;
use crate::tree::{Demand, Entry, KIND_INODE, KIND_JOB, KIND_PART};
use crate::varint::{Reader, Writer};
use crate::volume::Volume;
use crate::volume::file::{BOOKKEEPING_BYTES, JOB_BYTES_MAX};

/// Versions that one step deletes or moves where the table is small, and where it is large.
const STEP_VERSIONS: [usize; 2] = [8, 64];
/// Rows that a version may need: its new place, the end of its old one.
const ROWS_PER_VERSION: usize = 2;
/// Bytes that a version may take: a value that lies in the leaf, and headers.
const BYTES_PER_VERSION: u64 = 112;
/// Descendants that are looked at for what they all hide.
const HEIRS_MAX: usize = 16;
const JOB_TRIM: u8 = 3;

/// What becomes of a version that a pass comes by.
#[derive(Clone, Copy)]
enum Pass<'p> {
    /// It goes.
    Drop,
    /// It becomes the version of the index that is worked on as.
    Move,
    /// The version of another index goes where all of these have one of their own.
    DropHidden { of: u32, heirs: &'p [u32] },
}

fn trim_key(id: u32) -> Key {
    Key { kind: KIND_JOB, object: 0, position: id.into(), index: 0 }
}

impl<F: Flash> Volume<'_, F> {
    /// Leaves the work to delete what only a trimmed index sees; or to go on with the one index that descends from it.
    pub(super) fn put_trim_job(&mut self, id: u32, heir: u32) -> Result<(), Error> {
        let mut bytes = [0u8; JOB_BYTES_MAX];
        let mut writer = Writer::new(&mut bytes);
        writer.byte(JOB_TRIM);
        writer.uleb(heir.into());
        self.tree.put_bytes(trim_key(id), writer.finish().unwrap_or_default())
    }

    /// Works off what a trimmed index has left.
    pub(in crate::volume) fn run_trim(&mut self, id: u32) -> Result<(), Error> {
        let mut next = Some(id);
        // Every step leaves fewer indexes, or one step less to do.
        while let Some(id) = next {
            next = self.step_trim(id)?;
        }
        self.tree.recount_due = true;
        Ok(())
    }

    /// One step of that; tells which index comes next.
    fn step_trim(&mut self, id: u32) -> Result<Option<u32>, Error> {
        let record = self.index_record(id)?;
        let heir = self.heir_in_job(id)?;
        if heir != 0 {
            return self.become_heir(&record, heir);
        }
        let (heirs, more) = self.heirs(id)?;
        match (heirs.as_slice(), more) {
            ([], _) => {
                self.pass(id, record.since, Pass::Drop)?;
                self.forget_index(&record)
            }
            ([heir], false) => {
                self.step(|volume| volume.put_trim_job(id, *heir))?;
                Ok(Some(id))
            }
            (heirs, more) => {
                if let (Some(last), false) = (heirs.last(), more) {
                    let since = self.index_record(*last)?.since;
                    self.pass(*last, since, Pass::DropHidden { of: id, heirs })?;
                }
                self.step(|volume| volume.tree.delete_version(trim_key(id)))?;
                Ok(None)
            }
        }
    }

    /// The index that a job has begun to go on with; 0 before that.
    fn heir_in_job(&mut self, id: u32) -> Result<u32, Error> {
        let mut bytes = [0u8; JOB_BYTES_MAX];
        let mut entry = Entry::EMPTY;
        let corrupt = Error::Corrupt { page: 0 };
        if !self.tree.next_version(&trim_key(id), &mut entry)? || entry.key != trim_key(id) {
            return Err(corrupt);
        }
        let value = bytes.get_mut(..entry.content.len() as usize).ok_or(corrupt)?;
        self.tree.read(&entry.content, 0, value)?;
        let mut reader = Reader::new(value);
        let job = (reader.byte(), reader.uleb32());
        reader.finish(job).filter(|(kind, _)| *kind == JOB_TRIM).map(|(_, heir)| heir).ok_or(corrupt)
    }

    /// The indexes that descend from one directly, and whether there are more.
    pub(super) fn heirs(&mut self, id: u32) -> Result<(Vec<u32, HEIRS_MAX>, bool), Error> {
        let mut heirs = Vec::new();
        let mut next = id;
        while let Some(record) = self.next_index_record(next)? {
            next = record.id.saturating_add(1);
            if record.parent == id && heirs.push(record.id).is_err() {
                return Ok((heirs, true));
            }
        }
        Ok((heirs, false))
    }

    /// One commit of a job.
    fn step(&mut self, change: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.make_room(&Demand { bytes: BOOKKEEPING_BYTES, growth: 0, rows: 6 })?;
        self.change(change)?;
        self.commit()
    }

    /// An index that none descends from is gone. Where its parent is trimmed, that one may come next.
    fn forget_index(&mut self, record: &Record) -> Result<Option<u32>, Error> {
        let parent = match record.parent {
            0 => None,
            parent => Some(self.index_record(parent)?).filter(Record::is_trimmed),
        };
        self.step(|volume| {
            volume.tree.delete_version(index_key(record.id))?;
            volume.tree.delete_version(trim_key(record.id))?;
            parent.map_or(Ok(()), |parent| volume.put_trim_job(parent.id, 0))
        })?;
        Ok(parent.map(|parent| parent.id))
    }

    /// An index takes the place of the only one that descends from it.
    fn become_heir(&mut self, record: &Record, heir: u32) -> Result<Option<u32>, Error> {
        let id = record.id;
        let current = self.tree.view.id();
        let gone = self.index_record(heir)?;
        // As the index below would do it: what it writes is its own version, and hides its ancestors'.
        self.as_index(id, |volume| volume.pass(heir, gone.since, Pass::Move))?;
        // All versions are one index's now: it makes no difference from which of the two another descends.
        let mut next = heir;
        while let Some(mut other) = self.next_index_record(next)? {
            next = other.id.saturating_add(1);
            if other.parent == heir {
                other.parent = id;
                self.step(|volume| volume.put_index(&other))?;
            }
        }
        let header = self.index_header()?;
        let default = if header.default == heir { id } else { header.default };
        let heir_record = Record { id, parent: record.parent, since: record.since, ..gone };
        self.step(|volume| {
            volume.put_index(&heir_record)?;
            volume.put_index_header(&Header { default, ..header })?;
            volume.tree.delete_version(index_key(heir))?;
            volume.tree.delete_version(trim_key(heir))?;
            if gone.is_trimmed() { volume.put_trim_job(id, 0) } else { volume.tree.delete_version(trim_key(id)) }
        })?;
        self.enter_index(if current == heir { id } else { current })?;
        Ok(gone.is_trimmed().then_some(id))
    }

    /// Goes through the versions of an index, some in each commit.
    fn pass(&mut self, of: u32, since: u64, what: Pass<'_>) -> Result<(), Error> {
        let mut from = Some(Key { kind: KIND_INODE, ..Key::MIN });
        while let Some(at) = from {
            let [few, many] = STEP_VERSIONS;
            let most = if self.tree.has_room_for(4 * many * ROWS_PER_VERSION) { many } else { few };
            let bytes = most as u64 * BYTES_PER_VERSION + BOOKKEEPING_BYTES;
            self.make_room(&Demand { bytes, growth: 0, rows: most * ROWS_PER_VERSION + 2 })?;
            from = self.change(|volume| volume.pass_some(of, since, what, at, most))?;
            self.commit()?;
        }
        Ok(())
    }

    /// Some of them; tells where to go on.
    fn pass_some(&mut self, of: u32, since: u64, what: Pass<'_>, from: Key, most: usize) -> Result<Option<Key>, Error> {
        let mut from = from;
        let mut entry = Entry::EMPTY;
        let mut done = 0;
        while done < most {
            if !self.tree.next_changed(&from, since, &mut entry)? || entry.key.kind > KIND_PART {
                return Ok(None);
            }
            from = entry.key.successor();
            if entry.key.index == of {
                self.pass_one(&entry, what)?;
                done += 1;
            }
        }
        Ok(Some(from))
    }

    fn pass_one(&mut self, entry: &Entry, what: Pass<'_>) -> Result<(), Error> {
        let key = entry.key;
        match what {
            Pass::Drop => self.tree.delete_version(key),
            Pass::Move if entry.content.is_whiteout() => {
                self.tree.delete(key)?;
                self.tree.delete_version(key)
            }
            Pass::Move => {
                let own = self.tree.view.own(&key);
                self.tree.put_version(own, &entry.content)?;
                self.tree.delete_version(key)
            }
            Pass::DropHidden { of, heirs } if key.kind != KIND_JOB => self.drop_hidden(Key { index: of, ..key }, heirs),
            Pass::DropHidden { .. } => Ok(()),
        }
    }

    /// Deletes a version where all of these indexes have one of their own.
    fn drop_hidden(&mut self, hidden: Key, heirs: &[u32]) -> Result<(), Error> {
        let gone = self.is_hidden_by(&hidden, heirs)? && self.tree.has_version(&hidden)?;
        if gone { self.tree.delete_version(hidden) } else { Ok(()) }
    }
}
