//! `check`: fsck. Reads everything, changes nothing.

use super::attributes::{HEAD_BYTES_MAX, POSITION_MIN};
use super::file::content_job_key;
use super::inode::{NAME_VALUE_BYTES_MAX, NamePlace, ROOT, job_key};
use super::sharing::ContentRecord;
use super::types::{CheckSummary, Fault, FaultKind, Kind};
use super::{ATTRIBUTES, SHARING, Volume};
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::log::{Key, Place};
use crate::page::Address;
use crate::tree::{
    Entry, KIND_ATTRIBUTE, KIND_CONTENT, KIND_EXTENT, KIND_INODE, KIND_NAME, KIND_PART, NodeFault, Seen,
};

/// Packed records that are known to have been looked at.
const RECORDS_KNOWN: usize = 16;

/// What is known while the keys of an index go by in their order: inodes, then names by directory, then extents by file, then
/// attributes by object, then shared content and the parts that refer to it.
struct Check<'r> {
    report: &'r mut dyn FnMut(Fault),
    summary: CheckSummary,
    /// Content is compared with its hashes.
    deep: bool,
    /// The packed records that were looked at last: parts of one lie close to each other in the order of keys.
    records: [Option<Address>; RECORDS_KNOWN],
    /// The index that is looked at; 0 before the first.
    index: u32,
    /// It is a snapshot: what was open when it was taken may have no name, and content behind its end.
    is_snapshot: bool,
    /// Names that inodes claim, and names seen.
    links_claimed: u64,
    names: u64,
    /// Values of attributes outside their records: inodes of such, and records that name one.
    values_claimed: u64,
    values: u64,
    /// References that bodies claim, and parts seen.
    references_claimed: u64,
    references: u64,
    /// The object whose parts are going by, where the last one ends, and where the last one may end.
    part_owner: u64,
    part_end: u64,
    part_limit: u64,
    /// The object whose attributes are going by.
    owner: u64,
    /// The object whose names or extents are going by.
    object: u64,
    entries: u64,
    extent_end: u64,
    size: u64,
}

impl Check<'_> {
    #[inline(never)]
    fn fault(&mut self, kind: FaultKind, object: u64, page: u32) {
        self.summary.faults += 1;
        (self.report)(Fault { kind, index: self.index, object, page });
    }

    /// Reports what an error amounts to, on its own page or on this one; errors of the chip itself end the check.
    #[inline(never)]
    fn damage(&mut self, error: inner::Error, object: u64, page: u32) -> Result<(), inner::Error> {
        let kind = kind_of(error)?;
        if self.index != 0 && error.is_unreadable() {
            // All pages have been looked at before.
            return Ok(());
        }
        let found = match error {
            inner::Error::Uncorrectable { page }
            | inner::Error::BeyondSmallDecoder { page }
            | inner::Error::Corrupt { page }
            | inner::Error::HashMismatch { page }
            | inner::Error::Forged { page } => page,
            _ => 0,
        };
        self.fault(kind, object, found.max(page));
        Ok(())
    }

    /// Whether a record is none of those looked at last.
    fn is_new_record(&mut self, place: &Place) -> bool {
        let is_new = !self.records.contains(&Some(place.address));
        if is_new {
            let mut newest = Some(place.address);
            for record in &mut self.records {
                newest = core::mem::replace(record, newest);
            }
        }
        is_new
    }

    /// At the end of a directory's names: their number must be what the directory says.
    fn close_group(&mut self) {
        if self.entries > 0 && self.entries != self.size {
            self.fault(FaultKind::WrongCount, self.object, 0);
        }
        self.entries = 0;
    }
}

/// The fault that an error amounts to; errors of the chip itself end the check.
fn kind_of(error: inner::Error) -> Result<FaultKind, inner::Error> {
    match error {
        inner::Error::Uncorrectable { .. } | inner::Error::BeyondSmallDecoder { .. } => Ok(FaultKind::Uncorrectable),
        inner::Error::Corrupt { .. } | inner::Error::NotFound => Ok(FaultKind::Corrupt),
        inner::Error::HashMismatch { .. } => Ok(FaultKind::HashMismatch),
        inner::Error::Forged { .. } => Ok(FaultKind::Forged),
        error => Err(error),
    }
}

impl<F: Flash> Volume<'_, F> {
    /// Checks the whole volume and reports every fault with its place. Changes nothing.
    ///
    /// Every node's hash, every key's order, every name's object, every byte of content is looked at. A damaged
    /// part is reported and passed over.
    ///
    /// # Errors
    /// Only where the chip itself fails, or the volume is not usable.
    pub fn check(&mut self, mut report: impl FnMut(Fault)) -> Result<CheckSummary, Error> {
        Ok(self.check_all(&mut report, false)?)
    }

    /// As [`Self::check`], and compares all content that has a hash with it.
    ///
    /// What needs a codec or hash that is missing is counted in [`CheckSummary::unverified`].
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_deep(&mut self, mut report: impl FnMut(Fault)) -> Result<CheckSummary, Error> {
        Ok(self.check_all(&mut report, true)?)
    }

    #[inline(never)]
    fn check_all(&mut self, report: &mut dyn FnMut(Fault), deep: bool) -> Result<CheckSummary, inner::Error> {
        self.usable()?;
        let mut check = Check {
            report,
            summary: CheckSummary::default(),
            deep,
            records: [None; RECORDS_KNOWN],
            index: 0,
            is_snapshot: false,
            links_claimed: 0,
            names: 0,
            values_claimed: 0,
            values: 0,
            references_claimed: 0,
            references: 0,
            part_owner: 0,
            part_end: 0,
            part_limit: 0,
            owner: 0,
            object: 0,
            entries: 0,
            extent_end: 0,
            size: 0,
        };
        self.check_tree(&mut check)?;
        self.check_values(&mut check)?;
        self.check_indexes(&mut check)?;
        Ok(check.summary)
    }

    /// A build without indexes looks at the default one.
    #[cfg(not(feature = "indexes"))]
    fn check_indexes(&mut self, check: &mut Check<'_>) -> Result<(), inner::Error> {
        (check.index, check.is_snapshot) = (self.tree.view.id(), self.is_snapshot);
        self.check_index(check)
    }

    #[cfg(feature = "indexes")]
    fn check_indexes(&mut self, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let mut next = 0;
        loop {
            let record = match self.next_index_record(next) {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => {
                    check.damage(error, 0, 0)?;
                    break;
                }
            };
            next = record.id.saturating_add(1);
            if !record.is_trimmed() {
                (check.index, check.is_snapshot) = (record.id, !record.is_writable());
                let checked = self.as_index(record.id, |volume| volume.check_index(check));
                checked.or_else(|error| check.damage(error, 0, 0))?;
            }
        }
        Ok(())
    }

    /// Reads every value once, whoever sees it.
    fn check_values(&mut self, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let mut from = Key::MIN;
        let mut entry = Entry::EMPTY;
        while from != Key::MAX {
            match self.tree.next_version(&from, &mut entry) {
                Ok(true) => {}
                Ok(false) => break,
                // The node was reported already; without it, nothing behind it can be found.
                Err(error) => return check.damage(error, 0, 0),
            }
            from = entry.key.successor();
            if entry.key.kind == KIND_EXTENT {
                check.summary.content_bytes += u64::from(entry.content.len());
            }
            if let Err(error) = self.check_bytes(&entry, check) {
                let page = entry.content.place().map_or(0, |place| place.address.page);
                check.damage(error, entry.key.object, page)?;
            }
        }
        Ok(())
    }

    /// Reads a version's bytes: a packed record once, however many versions are parts of it.
    fn check_bytes(&mut self, entry: &Entry, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let Some(place) = entry.content.place().filter(|place| place.part().is_some()) else {
            return self.tree.check_value(&entry.content);
        };
        self.check_head(&place)?;
        if !check.is_new_record(&place) {
            return Ok(());
        }
        self.tree.check_value(&entry.content)?;
        if check.deep && !self.verify_record(&place)? {
            check.summary.unverified += 1;
        }
        Ok(())
    }

    /// Checks what an index shows.
    fn check_index(&mut self, check: &mut Check<'_>) -> Result<(), inner::Error> {
        (check.links_claimed, check.names) = (0, 0);
        (check.values_claimed, check.values) = (0, 0);
        (check.references_claimed, check.references) = (0, 0);
        check.part_owner = 0;
        let mut from = Key::MIN;
        let mut entry = Entry::EMPTY;
        while from != Key::MAX {
            match self.tree.next(&from, &mut entry) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    check.damage(error, 0, 0)?;
                    break;
                }
            }
            from = entry.key.next_position();
            match entry.key.kind {
                KIND_INODE => self.check_inode(entry.key.object, check)?,
                KIND_NAME => self.check_name(&entry, check)?,
                KIND_EXTENT => self.check_extent(&entry, check)?,
                KIND_ATTRIBUTE if ATTRIBUTES => self.check_attribute(&entry, check)?,
                KIND_CONTENT if SHARING => self.check_content(&entry, check)?,
                KIND_PART if SHARING => self.check_part(&entry, check)?,
                _ => {}
            }
        }
        check.close_group();
        (check.object, check.owner) = (0, 0);
        if check.links_claimed != check.names || check.references_claimed != check.references {
            check.fault(FaultKind::WrongCount, 0, 0);
        }
        if ATTRIBUTES && check.values_claimed != check.values {
            check.fault(FaultKind::Orphan, 0, 0);
        }
        Ok(())
    }

    /// Merges what is not merged yet and tells a block whose live count is too low, if there is one. For tests.
    ///
    /// # Errors
    /// Those of committing and reading.
    #[cfg(feature = "sabotage")]
    pub fn audit(&mut self) -> Result<Option<u32>, Error> {
        self.commit()?;
        self.tree.checkpoint()?;
        Ok(self.tree.audit()?)
    }

    /// Merges what is not merged yet and tells a block in use with nothing in it that is needed, if there is one. For tests.
    ///
    /// # Errors
    /// Those of committing and reading.
    #[cfg(feature = "sabotage")]
    pub fn wasted_block(&mut self) -> Result<Option<u32>, Error> {
        self.commit()?;
        self.tree.checkpoint()?;
        Ok(self.tree.wasted_block()?)
    }

    /// A block of the log's tail that may be cleaned or used again, if there is one: a mount would lose its way there. For tests.
    ///
    /// # Errors
    /// Those of reading.
    #[cfg(feature = "sabotage")]
    pub fn loose_in_tail(&mut self) -> Result<Option<u32>, Error> {
        Ok(self.tree.log.loose_in_tail()?)
    }

    fn check_tree(&mut self, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let mut failed = Ok(());
        self.tree.check_nodes(&mut |_, place, seen| {
            check.summary.nodes += u64::from(seen != Seen::Value);
            let page = place.address.page;
            let kind = match seen {
                Seen::Node | Seen::Value => return,
                Seen::Faulty(NodeFault::WrongHash) => Ok(FaultKind::HashMismatch),
                Seen::Faulty(NodeFault::KeyOrder) => Ok(FaultKind::KeyOrder),
                Seen::Faulty(NodeFault::Unreadable(error)) => kind_of(error),
            };
            match kind {
                Ok(kind) => check.fault(kind, 0, page),
                Err(error) => failed = Err(error),
            }
        })?;
        failed
    }

    fn check_inode(&mut self, object: u64, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let inode = match self.inode(object) {
            Ok(inode) => inode,
            Err(error) => {
                check.summary.objects += 1;
                return check.damage(error, object, 0);
            }
        };
        if inode.is_value {
            check.values_claimed += u64::from(inode.links);
        } else {
            check.summary.objects += 1;
        }
        if object != ROOT && !inode.is_value {
            check.links_claimed += u64::from(inode.links);
        }
        if inode.links == 0 && !check.is_snapshot && !self.tree.has(&job_key(object))? {
            check.fault(FaultKind::Orphan, object, 0);
        }
        if inode.kind == Kind::Directory && inode.size == 0 && !self.is_empty(object)? {
            check.fault(FaultKind::WrongCount, object, 0);
        }
        Ok(())
    }

    fn check_name(&mut self, entry: &Entry, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let directory = entry.key.object;
        if check.object != directory {
            check.close_group();
            check.object = directory;
            check.size = self.inode(directory).map_or(0, |inode| inode.size);
        }
        check.entries += 1;
        check.names += 1;
        let mut bytes = [0u8; NAME_VALUE_BYTES_MAX];
        let name = match self.read_name(entry.key.position, &entry.content, &mut bytes) {
            Ok((name, _)) => name,
            Err(error) => return check.damage(error, directory, 0),
        };
        match self.inode(name.object) {
            Ok(inode) if inode.kind == name.kind && !inode.is_value => {
                let place = NamePlace::new(directory, name.position);
                if inode.links == 1 && inode.place != place && inode.place != NamePlace::UNKNOWN {
                    check.fault(FaultKind::WrongPlace, name.object, 0);
                }
            }
            Ok(_) | Err(inner::Error::NotFound) => check.fault(FaultKind::DanglingName, name.object, 0),
            Err(error) => return check.damage(error, name.object, 0),
        }
        Ok(())
    }

    fn check_attribute(&mut self, entry: &Entry, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let owner = entry.key.object;
        if check.owner != owner {
            check.owner = owner;
            match self.inode(owner) {
                Ok(inode) if inode.attributes => {}
                Ok(_) => check.fault(FaultKind::Attribute, owner, 0),
                Err(inner::Error::NotFound) => check.fault(FaultKind::Orphan, owner, 0),
                Err(error) => return check.damage(error, owner, 0),
            }
        }
        if entry.key.position < POSITION_MIN {
            #[cfg(feature = "attributes")]
            return match self.check_packed(entry) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    check.fault(FaultKind::Attribute, owner, 0);
                    Ok(())
                }
                Err(error) => check.damage(error, owner, 0),
            };
        }
        let mut bytes = [0u8; HEAD_BYTES_MAX];
        let found = match self.read_record(entry, &mut bytes) {
            Ok(found) => found,
            Err(error) => return check.damage(error, owner, 0),
        };
        let name = bytes.get(2..2 + found.name_len).unwrap_or_default();
        let belongs = self.attribute_hash(name) >> 8 == entry.key.position >> 8;
        let mut whole = true;
        if found.object != 0 {
            check.values += 1;
            whole = match self.value_inode(owner, found.object) {
                Ok(inode) => inode.is_some_and(|inode| inode.size == found.len.into()),
                Err(error) => return check.damage(error, found.object, 0),
            };
        }
        if !belongs || !whole || core::str::from_utf8(name).is_err() {
            check.fault(FaultKind::Attribute, owner, 0);
        }
        Ok(())
    }

    /// Where content has to end. What a job still has to delete, or had when a snapshot was taken, may lie anywhere.
    fn content_size(&mut self, object: u64, check: &mut Check<'_>) -> Result<u64, inner::Error> {
        if check.is_snapshot || self.tree.has(&content_job_key(object))? {
            return Ok(u64::MAX);
        }
        let owner = if SHARING {
            self.owner_of(object)
        } else if self.tree.log.may_have.sharing {
            // Whose it is stands in records that only a build with the feature understands.
            return Ok(u64::MAX);
        } else {
            self.inode(object).map(|inode| (object, inode.size))
        };
        match owner {
            Ok((owner, size)) => Ok(if self.tree.has(&job_key(owner))? { u64::MAX } else { size }),
            Err(inner::Error::NotFound) => {
                check.fault(FaultKind::Orphan, object, 0);
                Ok(u64::MAX)
            }
            Err(error) => check.damage(error, object, 0).map(|()| u64::MAX),
        }
    }

    /// Checks what is known of content apart from inodes.
    fn check_content(&mut self, entry: &Entry, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let object = entry.key.object;
        match self.content_record(object) {
            Ok(Some(ContentRecord::Shared(body))) => check.references_claimed += body.references,
            Ok(_) => match self.owner_of(object) {
                Ok(_) => {}
                Err(inner::Error::NotFound) => check.fault(FaultKind::Orphan, object, 0),
                Err(error) => check.damage(error, object, 0)?,
            },
            Err(error) => check.damage(error, object, 0)?,
        }
        Ok(())
    }

    /// Checks that a part is within its file, behind the one before it, and within its body.
    fn check_part(&mut self, entry: &Entry, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let object = entry.key.object;
        check.references += 1;
        if check.part_owner != object {
            (check.part_owner, check.part_end) = (object, 0);
            check.part_limit = self.content_size(object, check)?;
        }
        let part = match self.read_part(entry) {
            Ok(part) => part,
            Err(error) => return check.damage(error, object, 0),
        };
        let reaches = match self.content_record(part.body) {
            Ok(Some(ContentRecord::Shared(body))) => {
                part.skip.checked_add(part.len()).is_some_and(|end| end <= body.len)
            }
            Ok(_) => false,
            Err(error) => return check.damage(error, part.body, 0),
        };
        if !reaches || part.start < check.part_end || part.end > check.part_limit {
            check.fault(FaultKind::Extents, object, 0);
        }
        check.part_end = part.end;
        Ok(())
    }

    fn check_extent(&mut self, entry: &Entry, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let (object, start, len) = (entry.key.object, entry.key.position, u64::from(entry.content.len()));
        if check.object != object || check.entries > 0 {
            check.close_group();
            check.object = object;
            check.extent_end = 0;
            check.size = self.content_size(object, check)?;
        }
        let end = start.saturating_add(len);
        let block = self.logical_block();
        let crosses = start / block != end.saturating_sub(1) / block;
        if len == 0 || start < check.extent_end || end > check.size || crosses {
            check.fault(FaultKind::Extents, object, 0);
        }
        check.extent_end = end;
        Ok(())
    }
}
