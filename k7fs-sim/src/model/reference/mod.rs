//! The file system in memory.

mod find;
mod operations;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k7fs_core::{Device, Kind};

use super::extra::Stored;
use super::indexes::Indexes;
use super::operation::{OpenMode, Operation, Outcome};
use super::tree::{Entries, Tree, TreeEntry};

/// Where a long write may be split by a commit.
pub const LOGICAL_BLOCK_SIZE: u64 = 4096;

/// Files that [`Operation::ListRemoving`] removes, at most.
const REMOVED_MAX: usize = 3;

const ROOT: u64 = 1;

/// Every object of one index.
pub(super) type Nodes = BTreeMap<u64, Node>;
/// What was set of nodes beside their content.
pub(super) type Extras = BTreeMap<u64, Arc<Stored>>;

#[derive(Clone, Debug)]
pub(super) enum Node {
    File { content: Arc<Vec<u8>>, links: u32 },
    Symlink { target: Arc<Vec<u8>>, links: u32 },
    Directory { entries: BTreeMap<String, u64> },
    Special { kind: Kind, device: Device, links: u32 },
}

impl Node {
    fn kind(&self) -> Kind {
        match self {
            Node::File { .. } => Kind::File,
            Node::Symlink { .. } => Kind::Symlink,
            Node::Directory { .. } => Kind::Directory,
            Node::Special { kind, .. } => *kind,
        }
    }

    fn device(&self) -> Device {
        match self {
            Node::Special { device, .. } => *device,
            _ => Device::default(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Handle {
    node: u64,
    mode: OpenMode,
}

/// A path taken apart: the directory it lies in, and its last name.
struct Place {
    directory: u64,
    name: String,
}

/// The state of the reference file system.
#[derive(Clone, Debug)]
pub struct Model {
    /// The objects of the index that is worked on.
    pub(super) nodes: Nodes,
    /// What was set of them beside their content.
    pub(super) stored: Extras,
    pub(super) indexes: Indexes,
    pub(super) in_transaction: bool,
    handles: BTreeMap<usize, Handle>,
    /// Files written through a slot since the last commit.
    unsettled: BTreeSet<u64>,
    next: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// An empty volume.
    pub fn new() -> Self {
        Self {
            nodes: Self::root_alone(),
            stored: Extras::new(),
            indexes: Indexes::new(),
            in_transaction: false,
            handles: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            next: ROOT + 1,
        }
    }

    /// The objects of an index without files.
    pub(super) fn root_alone() -> Nodes {
        BTreeMap::from([(ROOT, Node::Directory { entries: BTreeMap::new() })])
    }

    /// Does an operation and says what a volume must answer.
    pub fn apply(&mut self, operation: &Operation) -> Outcome {
        self.apply_traced(operation, &mut Vec::new())
    }

    /// As [`apply`](Self::apply), and collects the states between, which a power cut may leave: before the last one,
    /// in order. States that only differ in what is unknown beforehand (which of several files a walk met first) are
    /// all collected.
    pub fn apply_traced(&mut self, operation: &Operation, between: &mut Vec<Model>) -> Outcome {
        match self.run(operation, between) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(error),
        }
    }

    /// Everything that the volume shows.
    pub fn tree(&self) -> Tree {
        Tree { entries: self.entries(), indexes: self.shown_indexes() }
    }

    /// Everything that the index that is worked on shows.
    pub(super) fn entries(&self) -> Entries {
        let mut tree = Entries::new();
        let mut first_names: BTreeMap<u64, String> = BTreeMap::new();
        let mut directories = vec![(String::new(), ROOT)];
        let mut nodes = Vec::new();
        while let Some((directory, id)) = directories.pop() {
            let Some(Node::Directory { entries }) = self.nodes.get(&id) else { continue };
            for (name, child) in entries {
                let path = format!("{directory}/{name}");
                let first = first_names.entry(*child).or_insert_with(|| path.clone());
                if path < *first {
                    first.clone_from(&path);
                }
                let entry = match &self.nodes[child] {
                    Node::File { content, links } => self.entry(*child, content, *links),
                    Node::Symlink { target, links } => self.entry(*child, target, *links),
                    Node::Special { links, .. } => self.entry(*child, &Arc::default(), *links),
                    Node::Directory { .. } => {
                        directories.push((path.clone(), *child));
                        self.entry(*child, &Arc::default(), 1)
                    }
                };
                nodes.push((path.clone(), *child));
                tree.insert(path, entry);
            }
        }
        for (path, node) in nodes {
            if let Some(entry) = tree.get_mut(&path) {
                entry.first_name.clone_from(&first_names[&node]);
            }
        }
        tree
    }

    /// What a mount finds: no file is open, and open files without a name are gone.
    pub fn after_mount(mut self) -> Self {
        self.handles.clear();
        self.unsettled.clear();
        self.drop_unreferenced();
        self.enter_default_index();
        self
    }

    /// Whether any slot holds an open file.
    pub(super) fn has_open_files(&self) -> bool {
        !self.handles.is_empty()
    }

    /// Whether a slot holds an open file.
    pub fn is_open(&self, slot: usize) -> bool {
        self.handles.contains_key(&slot)
    }

    /// Notes that everything is durable.
    pub(super) fn settle(&mut self) {
        self.unsettled.clear();
    }

    /// Whether closing this slot commits something of its file.
    pub(super) fn close_commits(&self, slot: usize) -> bool {
        self.handles.get(&slot).is_some_and(|handle| self.unsettled.contains(&handle.node))
    }

    /// Bytes in all files, links and attributes, each once.
    pub fn content_bytes(&self) -> u64 {
        let bytes = |node: &Node| match node {
            Node::File { content: bytes, .. } | Node::Symlink { target: bytes, .. } => bytes.len() as u64,
            Node::Directory { .. } | Node::Special { .. } => 0,
        };
        let attributes = self.stored.values().map(|stored| stored.bytes()).sum::<u64>();
        self.nodes.values().map(bytes).sum::<u64>() + attributes
    }

    fn entry(&self, node: u64, content: &Arc<Vec<u8>>, links: u32) -> TreeEntry {
        let (kind, device) = (self.nodes[&node].kind(), self.nodes[&node].device());
        let extra = self.stored(node).shown(kind, device);
        TreeEntry { kind, content: Arc::clone(content), links, first_name: String::new(), extra }
    }

    fn stored(&self, node: u64) -> Arc<Stored> {
        self.stored.get(&node).cloned().unwrap_or_default()
    }

    fn stored_mut(&mut self, node: u64) -> &mut Stored {
        Arc::make_mut(self.stored.entry(node).or_default())
    }
}
