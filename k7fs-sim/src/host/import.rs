//! Makes a volume equal to a directory tree of the host.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Seek;

use k7fs_core::flash::Flash;
use k7fs_core::{CodecId, DedupPolicy, Device, Error, Kind, Metadata, Volume};

use super::dedup::Deduplicator;
use super::error::HostError;
use super::facts::{apply, update};
use super::plan::Plan;
use super::progress::Progress;
use super::source::{Plain, Source, Sparse};
use super::store::{Content, compare, fill_with, store_with};
use super::tree::{Node, NodeKind, Tree};

/// How to import.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions {
    /// Keeps what the volume has and the tree has not.
    pub merge: bool,
    /// What content is compressed with; the volume's own codec where it is `None`.
    pub codec: Option<CodecId>,
    /// What new content is compared with; the volume's own policy where it is `None`.
    pub dedup: Option<DedupPolicy>,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Objects of the tree, each name counted.
    pub objects: u64,
    /// Names added or whose object was written anew.
    pub written: u64,
    /// Names removed.
    pub removed: u64,
    /// Bytes of content written.
    pub content_bytes: u64,
}

/// Adds, changes and removes until the volume's root equals the tree. Each file is one transaction, so that a power
/// cut leaves every file either as it was or as the tree has it.
///
/// # Errors
/// `DoesNotFit`, `KindConflict` before anything is written; `Io` and `Object` for what failed later.
pub fn import<F: Flash>(
    volume: &mut Volume<'_, F>, tree: &Tree, options: ImportOptions, progress: &mut dyn Progress,
) -> Result<ImportReport, HostError> {
    let codec = options.codec.unwrap_or(volume.info().codec);
    volume.set_codec(codec).map_err(HostError::object("/"))?;
    let policy = options.dedup.unwrap_or(volume.info().dedup);
    // What is there already, only looking tells.
    let sizes_known = codec == CodecId::Store && policy == DedupPolicy::Off;
    let plan = Plan::new(volume, tree, options.merge, sizes_known)?;
    progress.total(tree.content_bytes());
    let mut report = ImportReport { objects: tree.nodes.len() as u64, ..ImportReport::default() };
    for (path, kind) in &plan.removals {
        remove(volume, path, *kind)?;
        report.removed += 1;
    }
    let dedup = Deduplicator::new(volume, policy)?;
    let mut existing = plan.existing;
    for (path, _) in &plan.removals {
        existing.remove(path);
    }
    let mut importer = Importer {
        volume,
        existing,
        by_inode: BTreeMap::new(),
        claimed: BTreeMap::new(),
        progress,
        report,
        options,
        dedup,
    };
    for node in &tree.nodes {
        importer.put(node)?;
    }
    importer.directories(tree)?;
    let report = importer.report;
    volume.sync().map_err(HostError::object("/"))?;
    Ok(report)
}

fn remove<F: Flash>(volume: &mut Volume<'_, F>, path: &str, kind: Kind) -> Result<(), HostError> {
    let removed = if kind == Kind::Directory { volume.remove_dir(path) } else { volume.remove_file(path) };
    removed.map_err(HostError::object(path))
}

struct Importer<'i, 'b, F> {
    volume: &'i mut Volume<'b, F>,
    existing: BTreeMap<String, Metadata>,
    /// The first name on the volume, and its object, of each file of the tree that has several names.
    by_inode: BTreeMap<(u64, u64), (String, u64)>,
    /// Which objects of the volume already stand for a file of the tree.
    claimed: BTreeMap<u64, Option<(u64, u64)>>,
    progress: &'i mut dyn Progress,
    report: ImportReport,
    options: ImportOptions,
    dedup: Deduplicator,
}

impl<F: Flash> Importer<'_, '_, F> {
    fn put(&mut self, node: &Node) -> Result<(), HostError> {
        match &node.kind {
            NodeKind::Directory => self.put_directory(node),
            NodeKind::Symlink { target } => self.put_symlink(node, target),
            NodeKind::File { size, allocated, shared } => self.put_file(node, *size, *allocated < *size, *shared),
            NodeKind::Special { kind, device, shared } => self.put_special(node, *kind, *device, *shared),
        }
    }

    fn put_directory(&mut self, node: &Node) -> Result<(), HostError> {
        if !self.existing.contains_key(&node.path) {
            self.volume.create_dir(&node.path).map_err(HostError::object(&node.path))?;
            self.report.written += 1;
        }
        Ok(())
    }

    fn put_symlink(&mut self, node: &Node, target: &str) -> Result<(), HostError> {
        let path = node.path.as_str();
        let existing = self.existing.get(path).copied();
        if let Some(metadata) = existing {
            let mut bytes = [0; k7fs_core::PATH_BYTES_MAX];
            let same = metadata.size == target.len() as u64
                && self.volume.read_link(path, &mut bytes).map_err(HostError::object(path))? == target;
            if same {
                return self.update(node);
            }
        }
        let stored = self.volume.transaction(|volume| {
            if existing.is_some() {
                volume.remove_file(path)?;
            }
            volume.symlink(target, path)?;
            apply(volume, node, true)
        });
        self.report.written += 1;
        stored.map_err(HostError::object(path))
    }

    fn put_special(
        &mut self, node: &Node, kind: Kind, device: Device, shared: Option<(u64, u64)>,
    ) -> Result<(), HostError> {
        let path = node.path.as_str();
        let existing = self.existing.get(path).copied();
        if let Some((first, object)) = shared.and_then(|id| self.by_inode.get(&id).cloned()) {
            return self.put_link(path, &first, object, existing);
        }
        let is_device = matches!(kind, Kind::CharacterDevice | Kind::BlockDevice);
        let same = match existing {
            Some(metadata) if !self.is_foreign(&metadata) => {
                !is_device || self.volume.device(path).map_err(HostError::object(path))? == device
            }
            _ => false,
        };
        if same {
            self.update(node)?;
        } else {
            let stored = self.volume.transaction(|volume| {
                if existing.is_some() {
                    volume.remove_file(path)?;
                }
                volume.create_special(path, kind, device)?;
                apply(volume, node, true)
            });
            stored.map_err(HostError::object(path))?;
            self.report.written += 1;
        }
        self.claim(path, shared)
    }

    /// Whether an object already stands for another file, or a name outside the tree keeps it.
    fn is_foreign(&self, metadata: &Metadata) -> bool {
        self.claimed.contains_key(&metadata.object) || (self.options.merge && metadata.links > 1)
    }

    /// Notes which object of the volume a name of the tree stands for.
    fn claim(&mut self, path: &str, shared: Option<(u64, u64)>) -> Result<(), HostError> {
        let object = self.volume.metadata(path).map_err(HostError::object(path))?.object;
        self.claimed.insert(object, shared);
        if let Some(id) = shared {
            self.by_inode.insert(id, (path.to_owned(), object));
        }
        Ok(())
    }

    fn put_file(
        &mut self, node: &Node, size: u64, has_holes: bool, shared: Option<(u64, u64)>,
    ) -> Result<(), HostError> {
        let path = node.path.as_str();
        let existing = self.existing.get(path).copied();
        if let Some((first, object)) = shared.and_then(|id| self.by_inode.get(&id).cloned()) {
            self.progress.done(path, 0);
            return self.put_link(path, &first, object, existing);
        }
        let foreign = existing.is_some_and(|metadata| self.is_foreign(&metadata));
        let same = match existing {
            Some(metadata) if !foreign && metadata.size == size => {
                let mut source = File::open(&node.host).map_err(HostError::io(&node.host))?;
                compare(self.volume, path, &mut source).map_err(content_error(node))?
            }
            _ => false,
        };
        if same {
            self.update(node)?;
            self.progress.done(path, size);
        } else {
            self.write_file(node, size, has_holes, foreign, existing.is_none() || foreign)?;
        }
        if existing.is_none() && shared.is_none() {
            // A new object has a number of its own; no name that is still to come stands for it.
            return Ok(());
        }
        self.claim(path, shared)
    }

    fn write_file(
        &mut self, node: &Node, size: u64, has_holes: bool, fresh: bool, is_new: bool,
    ) -> Result<(), HostError> {
        let path = node.path.as_str();
        let mut file = File::open(&node.host).map_err(HostError::io(&node.host))?;
        if self.dedup.cuts() {
            return self.write_chunks(node, &mut file, fresh, is_new);
        }
        self.dedup.forget_file(path);
        let found = self.dedup.same_file(self.volume, size, &mut file).map_err(content_error(node))?;
        if let Some((same, hash)) = found {
            if !same.is_empty() && same != path {
                return self.copy_file(node, &same, size, fresh, is_new);
            }
            file.rewind().map_err(HostError::io(&node.host))?;
            self.dedup.note_file(size, hash, path);
        }
        let mut source: Box<dyn Source> = if has_holes { Box::new(Sparse::new(file)) } else { Box::new(Plain(file)) };
        let mut bytes = 0;
        let progress = &mut *self.progress;
        let mut moved = |count| {
            bytes += count;
            progress.done(path, count);
        };
        let finish = |volume: &mut Volume<'_, F>| apply(volume, node, is_new);
        store_with(self.volume, path, fresh, &mut *source, &mut moved, finish).map_err(content_error(node))?;
        self.report.content_bytes += bytes;
        self.report.written += 1;
        Ok(())
    }

    /// Refers to the content of a file that is there already.
    fn copy_file(&mut self, node: &Node, same: &str, size: u64, fresh: bool, is_new: bool) -> Result<(), HostError> {
        let path = node.path.as_str();
        let copied = self.volume.transaction(|volume| {
            if fresh {
                volume.remove_file(path)?;
            }
            volume.copy(same, path)?;
            apply(volume, node, is_new)
        });
        copied.map_err(HostError::object(path))?;
        self.progress.done(path, size);
        self.report.written += 1;
        Ok(())
    }

    /// Stores a file in chunks, those that are new.
    fn write_chunks(&mut self, node: &Node, file: &mut File, fresh: bool, is_new: bool) -> Result<(), HostError> {
        let path = node.path.as_str();
        let mut bytes = 0;
        let (progress, dedup) = (&mut *self.progress, &mut self.dedup);
        let mut moved = |count| {
            bytes += count;
            progress.done(path, count);
        };
        let copy = |volume: &mut Volume<'_, F>, to: &k7fs_core::File, failed: &mut Option<_>| {
            dedup.append_all(volume, to, file, &mut moved).map_err(|error| match error {
                Content::Volume(error) => error,
                Content::Source(error) => {
                    *failed = Some(error);
                    Error::Busy
                }
            })
        };
        let finish = |volume: &mut Volume<'_, F>| apply(volume, node, is_new);
        fill_with(self.volume, path, fresh, copy, finish).map_err(content_error(node))?;
        self.report.content_bytes += bytes;
        self.report.written += 1;
        Ok(())
    }

    fn put_link(&mut self, path: &str, first: &str, object: u64, existing: Option<Metadata>) -> Result<(), HostError> {
        if existing.is_some_and(|metadata| metadata.object == object) {
            return Ok(());
        }
        let linked = self.volume.transaction(|volume| {
            if existing.is_some() {
                volume.remove_file(path)?;
            }
            volume.hard_link(first, path)
        });
        self.report.written += 1;
        linked.map_err(HostError::object(path))
    }

    fn update(&mut self, node: &Node) -> Result<(), HostError> {
        update(self.volume, node).map_err(HostError::object(&node.path))
    }

    /// Directories get their times last, since every change in a directory gives it a new one, and all else with them.
    fn directories(&mut self, tree: &Tree) -> Result<(), HostError> {
        for node in tree.nodes.iter().rev().filter(|node| node.kind == NodeKind::Directory) {
            self.update(node)?;
        }
        if self.options.merge { Ok(()) } else { self.update(&tree.root) }
    }
}

fn content_error(node: &Node) -> impl FnOnce(Content) -> HostError + '_ {
    move |error| match error {
        Content::Volume(error) => HostError::Object { path: node.path.clone(), error },
        Content::Source(error) => HostError::Io { path: node.host.clone(), error },
    }
}
