//! `check`: fsck. Reads everything, changes nothing.

use super::Volume;
use super::attributes::{HEAD_BYTES_MAX, POSITION_MIN};
use super::inode::{NAME_VALUE_BYTES_MAX, ROOT, job_key};
use super::types::{CheckSummary, Fault, FaultKind, Kind};
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::log::Key;
use crate::tree::{Content, Entry, KIND_ATTRIBUTE, KIND_EXTENT, KIND_INODE, KIND_NAME, NodeFault};

/// What is known while the keys go by in their order: inodes, then names by directory, then extents by file, then attributes
/// by object.
struct Check<'r> {
    report: &'r mut dyn FnMut(Fault),
    summary: CheckSummary,
    /// Names that inodes claim, and names seen.
    links_claimed: u64,
    names: u64,
    /// Values of attributes outside their records: inodes of such, and records that name one.
    values_claimed: u64,
    values: u64,
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
        (self.report)(Fault { kind, object, page });
    }

    /// Reports what an error amounts to, on its own page or on this one; errors of the chip itself end the check.
    #[inline(never)]
    fn damage(&mut self, error: inner::Error, object: u64, page: u32) -> Result<(), inner::Error> {
        let kind = kind_of(error)?;
        let found = match error {
            inner::Error::Uncorrectable { page }
            | inner::Error::BeyondSmallDecoder { page }
            | inner::Error::Corrupt { page } => page,
            _ => 0,
        };
        self.fault(kind, object, found.max(page));
        Ok(())
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
        Ok(self.check_all(&mut report)?)
    }

    #[inline(never)]
    fn check_all(&mut self, report: &mut dyn FnMut(Fault)) -> Result<CheckSummary, inner::Error> {
        self.usable()?;
        let mut check = Check {
            report,
            summary: CheckSummary::default(),
            links_claimed: 0,
            names: 0,
            values_claimed: 0,
            values: 0,
            owner: 0,
            object: 0,
            entries: 0,
            extent_end: 0,
            size: 0,
        };
        self.check_tree(&mut check)?;
        let mut from = Key::MIN;
        let mut entry = Entry::EMPTY;
        while from != Key::MAX {
            match self.tree.next(&from, &mut entry) {
                Ok(true) => {
                    from = entry.key.successor();
                    self.check_entry(&entry, &mut check)?;
                }
                Ok(false) => break,
                Err(error) => {
                    // The node was reported already; without it, nothing behind it can be found.
                    check.damage(error, 0, 0)?;
                    break;
                }
            }
        }
        check.close_group();
        if check.links_claimed != check.names {
            check.fault(FaultKind::WrongCount, 0, 0);
        }
        if check.values_claimed != check.values {
            check.fault(FaultKind::Orphan, 0, 0);
        }
        Ok(check.summary)
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
        self.tree.check_nodes(&mut |place, found| {
            check.summary.nodes += 1;
            let page = place.address.page;
            let kind = match found {
                None => return,
                Some(NodeFault::WrongHash) => Ok(FaultKind::HashMismatch),
                Some(NodeFault::KeyOrder) => Ok(FaultKind::KeyOrder),
                Some(NodeFault::Unreadable(error)) => kind_of(error),
            };
            match kind {
                Ok(kind) => check.fault(kind, 0, page),
                Err(error) => failed = Err(error),
            }
        })?;
        failed
    }

    fn check_entry(&mut self, entry: &Entry, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let key = entry.key;
        if let Err(error) = self.tree.check_value(&entry.content) {
            let page = match &entry.content {
                Content::At(place) => place.address.page,
                Content::Inline { .. } => 0,
            };
            return check.damage(error, key.object, page);
        }
        match key.kind {
            KIND_INODE => self.check_inode(key.object, check),
            KIND_NAME => self.check_name(entry, check),
            KIND_EXTENT => self.check_extent(entry, check),
            KIND_ATTRIBUTE => self.check_attribute(entry, check),
            _ => Ok(()),
        }
    }

    fn check_inode(&mut self, object: u64, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let inode = match self.inode(object) {
            Ok(inode) => inode,
            Err(error) => {
                check.summary.objects += 1;
                return check.damage(error, object, 0);
            }
        };
        if inode.is_attribute_value() {
            check.values_claimed += u64::from(inode.links);
        } else {
            check.summary.objects += 1;
        }
        if object != ROOT && !inode.is_attribute_value() {
            check.links_claimed += u64::from(inode.links);
        }
        if inode.links == 0 && !self.tree.has(&job_key(object))? {
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
            Ok(inode) if inode.kind == name.kind && !inode.is_attribute_value() => {}
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

    fn check_extent(&mut self, entry: &Entry, check: &mut Check<'_>) -> Result<(), inner::Error> {
        let (object, start, len) = (entry.key.object, entry.key.position, u64::from(entry.content.len()));
        if check.object != object || check.entries > 0 {
            check.close_group();
            check.object = object;
            check.extent_end = 0;
            check.size = match self.inode(object) {
                Ok(inode) => inode.size,
                Err(inner::Error::NotFound) => {
                    check.fault(FaultKind::Orphan, object, 0);
                    u64::MAX
                }
                Err(_) => u64::MAX,
            };
            if self.tree.has(&job_key(object))? {
                // Extents past the end are what the job still has to delete.
                check.size = u64::MAX;
            }
        }
        check.summary.content_bytes += len;
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
