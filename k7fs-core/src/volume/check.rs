//! `check`: fsck. Reads everything, changes nothing.

use super::Volume;
use super::inode::{NAME_VALUE_BYTES_MAX, ROOT, inode_key, job_key, name_key};
use super::types::{CheckSummary, Fault, FaultKind, Kind};
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::log::Key;
use crate::tree::{Content, Entry, KIND_EXTENT, KIND_INODE, KIND_NAME, NodeFault};

/// What is known while the keys go by in their order: inodes, then names by directory, then extents by file.
#[derive(Default)]
struct Progress {
    summary: CheckSummary,
    /// Names that inodes claim, and names seen.
    links_claimed: u64,
    names: u64,
    /// The object whose names or extents are going by.
    object: u64,
    entries: u64,
    extent_end: u64,
    size: u64,
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
        self.usable()?;
        let mut progress = Progress::default();
        self.check_tree(&mut progress, &mut report)?;
        let mut from = Key::MIN;
        loop {
            let entry = match self.tree.next(&from) {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    // The node was reported already; without it, nothing behind it can be found.
                    fault(&mut progress, &mut report, kind_of(error)?, 0, page_of(error));
                    break;
                }
            };
            from = entry.key.successor();
            self.check_entry(&entry, &mut progress, &mut report)?;
            if from == Key::MAX {
                break;
            }
        }
        self.close_group(&mut progress, &mut report)?;
        if progress.links_claimed != progress.names {
            fault(&mut progress, &mut report, FaultKind::WrongCount, 0, 0);
        }
        Ok(progress.summary)
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

    fn check_tree(&mut self, progress: &mut Progress, report: &mut dyn FnMut(Fault)) -> Result<(), inner::Error> {
        let space = self.tree.log.pages.space;
        let mut failed = None;
        self.tree.check_nodes(&mut |place, found| {
            progress.summary.nodes += 1;
            let kind = match found {
                None => return,
                Some(NodeFault::WrongHash) => Ok(FaultKind::HashMismatch),
                Some(NodeFault::KeyOrder) => Ok(FaultKind::KeyOrder),
                Some(NodeFault::Unreadable(error)) => kind_of(error),
            };
            match kind {
                Ok(kind) => fault(progress, report, kind, 0, space.page_of(place.address)),
                Err(error) => failed = Some(error),
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn check_entry(
        &mut self, entry: &Entry, progress: &mut Progress, report: &mut dyn FnMut(Fault),
    ) -> Result<(), inner::Error> {
        let key = entry.key;
        if let Err(error) = self.tree.check_value(&entry.content) {
            let page = match &entry.content {
                Content::At(place) => self.tree.log.pages.space.page_of(place.address),
                Content::Inline { .. } => 0,
            };
            fault(progress, report, kind_of(error)?, key.object, page_of(error).max(page));
            return Ok(());
        }
        match key.kind {
            KIND_INODE => self.check_inode(key.object, progress, report),
            KIND_NAME => self.check_name(entry, progress, report),
            KIND_EXTENT => self.check_extent(entry, progress, report),
            _ => Ok(()),
        }
    }

    fn check_inode(
        &mut self, object: u64, progress: &mut Progress, report: &mut dyn FnMut(Fault),
    ) -> Result<(), inner::Error> {
        progress.summary.objects += 1;
        let inode = match self.inode(object) {
            Ok(inode) => inode,
            Err(error) => {
                fault(progress, report, kind_of(error)?, object, page_of(error));
                return Ok(());
            }
        };
        if object != ROOT {
            progress.links_claimed += u64::from(inode.links);
        }
        if inode.links == 0 && self.tree.get(&job_key(object))?.is_none() {
            fault(progress, report, FaultKind::Orphan, object, 0);
        }
        if inode.kind == Kind::Directory && inode.size == 0 {
            let next = self.tree.next(&name_key(object, 0))?;
            if next.is_some_and(|entry| entry.key.kind == KIND_NAME && entry.key.object == object) {
                fault(progress, report, FaultKind::WrongCount, object, 0);
            }
        }
        Ok(())
    }

    fn check_name(
        &mut self, entry: &Entry, progress: &mut Progress, report: &mut dyn FnMut(Fault),
    ) -> Result<(), inner::Error> {
        let directory = entry.key.object;
        if progress.object != directory {
            self.close_group(progress, report)?;
            progress.object = directory;
            progress.size = self.inode(directory).map_or(0, |inode| inode.size);
        }
        progress.entries += 1;
        progress.names += 1;
        let mut bytes = [0u8; NAME_VALUE_BYTES_MAX];
        match self.read_name(entry.key.position, &entry.content, &mut bytes) {
            Ok((name, _)) => match self.inode(name.object) {
                Ok(inode) if inode.kind == name.kind => {}
                Ok(_) | Err(inner::Error::NotFound) => fault(progress, report, FaultKind::DanglingName, name.object, 0),
                Err(error) => fault(progress, report, kind_of(error)?, name.object, page_of(error)),
            },
            Err(error) => fault(progress, report, kind_of(error)?, directory, page_of(error)),
        }
        Ok(())
    }

    fn check_extent(
        &mut self, entry: &Entry, progress: &mut Progress, report: &mut dyn FnMut(Fault),
    ) -> Result<(), inner::Error> {
        let (object, start, len) = (entry.key.object, entry.key.position, u64::from(entry.content.len()));
        if progress.object != object || progress.entries > 0 {
            self.close_group(progress, report)?;
            progress.object = object;
            progress.extent_end = 0;
            progress.size = match self.tree.get(&inode_key(object))? {
                Some(_) => self.inode(object).map_or(u64::MAX, |inode| inode.size),
                None => {
                    fault(progress, report, FaultKind::Orphan, object, 0);
                    u64::MAX
                }
            };
            if self.tree.get(&job_key(object))?.is_some() {
                // Extents past the end are what the job still has to delete.
                progress.size = u64::MAX;
            }
        }
        progress.summary.content_bytes += len;
        let end = start.saturating_add(len);
        let block = self.logical_block();
        let crosses = start / block != end.saturating_sub(1) / block;
        if len == 0 || start < progress.extent_end || end > progress.size || crosses {
            fault(progress, report, FaultKind::Extents, object, 0);
        }
        progress.extent_end = end;
        Ok(())
    }

    /// At the end of a directory's names: their number must be what the directory says.
    fn close_group(&mut self, progress: &mut Progress, report: &mut dyn FnMut(Fault)) -> Result<(), inner::Error> {
        if progress.entries > 0 && progress.entries != progress.size {
            let object = progress.object;
            fault(progress, report, FaultKind::WrongCount, object, 0);
        }
        progress.entries = 0;
        Ok(())
    }
}

fn fault(progress: &mut Progress, report: &mut dyn FnMut(Fault), kind: FaultKind, object: u64, page: u32) {
    progress.summary.faults += 1;
    report(Fault { kind, object, page });
}

/// The fault that an error amounts to; errors of the chip itself end the check.
fn kind_of(error: inner::Error) -> Result<FaultKind, inner::Error> {
    match error {
        inner::Error::Uncorrectable { .. } => Ok(FaultKind::Uncorrectable),
        inner::Error::Corrupt { .. } | inner::Error::NotFound => Ok(FaultKind::Corrupt),
        error => Err(error),
    }
}

fn page_of(error: inner::Error) -> u32 {
    match error {
        inner::Error::Uncorrectable { page } | inner::Error::Corrupt { page } => page,
        _ => 0,
    }
}
