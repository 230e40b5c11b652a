//! The file system in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k7fs_core::{Device, Error, FILE_SIZE_MAX, Kind, STREAM_ATTRIBUTES};

use super::extra::Stored;
use super::indexes::Indexes;
use super::operation::{OpenMode, Operation, Outcome, Shown};
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

/// The operations.
impl Model {
    fn run(&mut self, operation: &Operation, between: &mut Vec<Model>) -> Result<Outcome, Error> {
        if operation.writes_files() {
            self.expect_writable()?;
        }
        match operation {
            operation if operation.is_about_indexes() => self.run_index(operation)?,
            Operation::Write { path, content } => self.write(path, &content.bytes())?,
            Operation::Update { path, offset, content } => {
                let node = self.open(path, OpenMode::ReadWrite)?;
                between.push(self.clone());
                self.write_node(node, *offset, &content.bytes(), between)?;
            }
            Operation::Append { path, content } => {
                let node = self.open(path, OpenMode::Append)?;
                between.push(self.clone());
                let end = self.content(node).len() as u64;
                self.write_node(node, end, &content.bytes(), between)?;
            }
            Operation::Resize { path, length } => {
                let node = self.file(path)?;
                self.set_length(node, *length)?;
            }
            Operation::Create { path } => {
                self.open(path, OpenMode::CreateNew)?;
            }
            Operation::CreateDirectory { path } => self.create_directory(path)?,
            Operation::RemoveDirectory { path } => self.remove_directory(path)?,
            Operation::RemoveFile { path } => self.remove_file(path)?,
            Operation::RemoveTree { path } => self.remove_tree(path)?,
            Operation::Rename { from, to } => self.rename(from, to)?,
            Operation::Symlink { target, path } => self.symlink(target, path)?,
            Operation::HardLink { existing, new } => self.hard_link(existing, new)?,
            Operation::CreateSpecial { path, kind, device } => {
                let place = self.free_place(path)?;
                self.insert(place, Node::Special { kind: *kind, device: *device, links: 1 })?;
            }
            Operation::SetAttribute { .. }
            | Operation::RemoveAttribute { .. }
            | Operation::SetStream { .. }
            | Operation::SetPosix { .. }
            | Operation::SetNt { .. }
            | Operation::SetShortName { .. } => self.run_extra(operation)?,
            Operation::ListRemoving { path } => return self.list_removing(path, between),
            Operation::Transaction { operations, commit } => return Ok(self.transaction(operations, *commit)),
            Operation::Sync | Operation::Defragment => {}
            Operation::LeaveBlocks { .. } | Operation::EraseAhead { .. } => {}
            Operation::Remount | Operation::Restart => *self = self.clone().after_mount(),
            Operation::Open { .. }
            | Operation::WriteAt { .. }
            | Operation::ReadAt { .. }
            | Operation::SetLength { .. }
            | Operation::FileMetadata { .. }
            | Operation::Close { .. } => return self.run_slot(operation, between),
            Operation::Read { .. }
            | Operation::ReadLink { .. }
            | Operation::Metadata { .. }
            | Operation::Attribute { .. }
            | Operation::Attributes { .. }
            | Operation::List { .. } => return self.run_reading(operation),
            _ => unreachable!("these are about indexes"),
        }
        Ok(Outcome::Done)
    }

    fn run_extra(&mut self, operation: &Operation) -> Result<(), Error> {
        match operation {
            Operation::SetAttribute { path, name, content } => {
                let node = self.find(path)?;
                self.stored_mut(node).attributes.insert(name.clone(), Arc::new(content.bytes()));
            }
            Operation::SetStream { path, stream, content } => {
                let node = self.find(path)?;
                let name = format!("{STREAM_ATTRIBUTES}{stream}");
                self.stored_mut(node).attributes.insert(name, Arc::new(content.bytes()));
            }
            Operation::RemoveAttribute { path, name } => {
                let node = self.find(path)?;
                self.stored_mut(node).attributes.remove(name).ok_or(Error::NoSuchAttribute)?;
            }
            Operation::SetPosix { path, mode, uid, gid, accessed } => {
                let node = self.find(path)?;
                // Only now, since what is set is what was found, changed.
                self.expect_writable()?;
                let stored = self.stored_mut(node);
                (stored.uid, stored.gid, stored.accessed) = (*uid, *gid, *accessed);
                stored.mode = Some(*mode);
            }
            Operation::SetNt { path, attributes } => {
                let node = self.find(path)?;
                self.expect_writable()?;
                self.stored_mut(node).nt = Some(*attributes);
            }
            Operation::SetShortName { path, name } => {
                let node = self.find(path)?;
                self.stored_mut(node).short_name.clone_from(name);
            }
            _ => {}
        }
        Ok(())
    }

    fn run_reading(&self, operation: &Operation) -> Result<Outcome, Error> {
        match operation {
            Operation::Read { path } => Ok(Outcome::Bytes(self.content(self.file(path)?).to_vec())),
            Operation::ReadLink { path } => match &self.nodes[&self.find(path)?] {
                Node::Symlink { target, .. } => Ok(Outcome::Bytes(target.to_vec())),
                _ => Err(Error::NotASymlink),
            },
            Operation::Metadata { path } => Ok(Outcome::Metadata(self.shown(self.find(path)?))),
            Operation::Attribute { path, name } => {
                let stored = self.stored(self.find(path)?);
                let value = stored.attributes.get(name).ok_or(Error::NoSuchAttribute)?;
                Ok(Outcome::Bytes(value.to_vec()))
            }
            Operation::Attributes { path } => {
                let stored = self.stored(self.find(path)?);
                let names = stored.attributes.iter().map(|(name, value)| (name.clone(), value.len() as u32));
                Ok(Outcome::Attributes(names.collect()))
            }
            Operation::List { path } => {
                let entries = self.directory(self.find(path)?)?;
                let names = entries.iter().map(|(name, node)| (name.clone(), self.nodes[node].kind()));
                Ok(Outcome::Names(names.collect()))
            }
            _ => Ok(Outcome::Skipped),
        }
    }

    fn run_slot(&mut self, operation: &Operation, between: &mut Vec<Model>) -> Result<Outcome, Error> {
        if let Operation::Open { slot, path, mode } = operation {
            if self.is_open(*slot) {
                return Ok(Outcome::Skipped);
            }
            if *mode != OpenMode::Read {
                self.expect_writable()?;
            }
            let node = self.open(path, *mode)?;
            self.handles.insert(*slot, Handle { node, mode: *mode });
            return Ok(Outcome::Done);
        }
        let (Operation::WriteAt { slot, .. }
        | Operation::ReadAt { slot, .. }
        | Operation::SetLength { slot, .. }
        | Operation::FileMetadata { slot }
        | Operation::Close { slot }) = operation
        else {
            return Ok(Outcome::Skipped);
        };
        let Some(handle) = self.handles.get(slot).copied() else { return Ok(Outcome::Skipped) };
        let writable = handle.mode != OpenMode::Read;
        match operation {
            Operation::WriteAt { .. } | Operation::SetLength { .. } if !writable => Err(Error::ReadOnly),
            Operation::WriteAt { offset, content, .. } => {
                self.write_node(handle.node, *offset, &content.bytes(), between)?;
                self.unsettled.insert(handle.node);
                Ok(Outcome::Done)
            }
            Operation::SetLength { length, .. } => {
                self.set_length(handle.node, *length)?;
                self.unsettled.insert(handle.node);
                Ok(Outcome::Done)
            }
            Operation::ReadAt { .. } if handle.mode == OpenMode::Append => Err(Error::WriteOnly),
            Operation::ReadAt { offset, length, .. } => {
                let content = self.content(handle.node);
                let start = (*offset).min(content.len() as u64) as usize;
                let end = content.len().min(start + *length as usize);
                Ok(Outcome::Bytes(content[start..end].to_vec()))
            }
            Operation::FileMetadata { .. } => Ok(Outcome::Metadata(self.shown(handle.node))),
            _ => {
                self.handles.remove(slot);
                self.drop_unreferenced();
                Ok(Outcome::Done)
            }
        }
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        let node = self.open(path, OpenMode::ReadWrite)?;
        *self.content_mut(node) = bytes.to_vec();
        Ok(())
    }

    fn open(&mut self, path: &str, mode: OpenMode) -> Result<u64, Error> {
        let place = self.place(path)?;
        let existing = self.directory(place.directory)?.get(&place.name).copied();
        match existing {
            Some(_) if mode == OpenMode::CreateNew => Err(Error::AlreadyExists),
            Some(node) => {
                self.expect_file(node)?;
                if mode == OpenMode::Truncate {
                    self.content_mut(node).clear();
                }
                Ok(node)
            }
            None if mode == OpenMode::Read => Err(Error::NotFound),
            None => self.insert(place, Node::File { content: Arc::default(), links: 1 }),
        }
    }

    fn write_node(&mut self, node: u64, offset: u64, bytes: &[u8], between: &mut Vec<Model>) -> Result<(), Error> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(Error::OffsetOverflow)?;
        if end > FILE_SIZE_MAX {
            return Err(Error::FileTooLarge);
        }
        let mut done = 0;
        while done < bytes.len() {
            if done > 0 {
                between.push(self.clone());
            }
            let place = offset + done as u64;
            let until = (place / LOGICAL_BLOCK_SIZE + 1) * LOGICAL_BLOCK_SIZE;
            let length = (bytes.len() - done).min((until - place) as usize);
            let content = self.content_mut(node);
            let start = place as usize;
            if content.len() < start + length {
                content.resize(start + length, 0);
            }
            content[start..start + length].copy_from_slice(&bytes[done..done + length]);
            done += length;
        }
        Ok(())
    }

    fn set_length(&mut self, node: u64, length: u64) -> Result<(), Error> {
        if length > FILE_SIZE_MAX {
            return Err(Error::FileTooLarge);
        }
        self.content_mut(node).resize(length as usize, 0);
        Ok(())
    }

    fn create_directory(&mut self, path: &str) -> Result<(), Error> {
        let place = self.free_place(path)?;
        self.insert(place, Node::Directory { entries: BTreeMap::new() }).map(|_| ())
    }

    fn remove_directory(&mut self, path: &str) -> Result<(), Error> {
        let place = self.place(path)?;
        let node = self.find(path)?;
        if !self.directory(node)?.is_empty() {
            return Err(Error::DirectoryNotEmpty);
        }
        self.entries_mut(place.directory).remove(&place.name);
        self.nodes.remove(&node);
        self.stored.remove(&node);
        Ok(())
    }

    fn remove_file(&mut self, path: &str) -> Result<(), Error> {
        let place = self.place(path)?;
        let node = self.find(path)?;
        if self.nodes[&node].kind() == Kind::Directory {
            return Err(Error::IsADirectory);
        }
        self.entries_mut(place.directory).remove(&place.name);
        *self.links_mut(node) -= 1;
        self.drop_unreferenced();
        Ok(())
    }

    fn remove_tree(&mut self, path: &str) -> Result<(), Error> {
        let place = self.place(path)?;
        let node = self.find(path)?;
        self.directory(node)?;
        self.entries_mut(place.directory).remove(&place.name);
        let mut directories = vec![node];
        while let Some(directory) = directories.pop() {
            let Some(Node::Directory { entries }) = self.nodes.remove(&directory) else { continue };
            for node in entries.into_values() {
                match self.nodes[&node].kind() {
                    Kind::Directory => directories.push(node),
                    _ => *self.links_mut(node) -= 1,
                }
            }
        }
        self.drop_unreferenced();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Error> {
        let source = self.place(from)?;
        let node = self.find(from)?;
        let target = self.place(to)?;
        let directory = self.nodes[&node].kind() == Kind::Directory;
        if directory && self.is_below(target.directory, node) {
            return Err(Error::RenameIntoItself);
        }
        let replaced = self.directory(target.directory)?.get(&target.name).copied();
        if let Some(replaced) = replaced {
            if replaced == node {
                return Ok(());
            }
            match (directory, &self.nodes[&replaced]) {
                (true, Node::Directory { entries }) if !entries.is_empty() => return Err(Error::DirectoryNotEmpty),
                (true, Node::Directory { .. }) => {}
                (true, _) => return Err(Error::NotADirectory),
                (false, Node::Directory { .. }) => return Err(Error::IsADirectory),
                (false, _) => {}
            }
        }
        self.entries_mut(source.directory).remove(&source.name);
        self.entries_mut(target.directory).insert(target.name, node);
        if let Some(replaced) = replaced {
            if directory {
                self.nodes.remove(&replaced);
                self.stored.remove(&replaced);
            } else {
                *self.links_mut(replaced) -= 1;
            }
            self.drop_unreferenced();
        }
        Ok(())
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<(), Error> {
        let place = self.free_place(path)?;
        let target = Arc::new(target.as_bytes().to_vec());
        self.insert(place, Node::Symlink { target, links: 1 }).map(|_| ())
    }

    fn hard_link(&mut self, existing: &str, new: &str) -> Result<(), Error> {
        let node = self.find(existing)?;
        if self.nodes[&node].kind() == Kind::Directory {
            return Err(Error::IsADirectory);
        }
        let place = self.free_place(new)?;
        self.entries_mut(place.directory).insert(place.name, node);
        *self.links_mut(node) += 1;
        Ok(())
    }

    fn list_removing(&mut self, path: &str, between: &mut Vec<Model>) -> Result<Outcome, Error> {
        let outcome = self.run_reading(&Operation::List { path: path.to_owned() })?;
        let Outcome::Names(names) = &outcome else { return Ok(outcome) };
        let removed = Model::removed_by_walk(path, names);
        if !removed.is_empty() {
            self.expect_writable()?;
        }
        // The walk meets them in the order of name hashes, which is the volume's own business.
        for subset in 1..(1_usize << removed.len()).saturating_sub(1) {
            let mut state = self.clone();
            for (_, path) in removed.iter().enumerate().filter(|(index, _)| subset >> index & 1 == 1) {
                state.remove_file(path)?;
            }
            between.push(state);
        }
        for path in &removed {
            self.remove_file(path)?;
        }
        Ok(outcome)
    }

    /// The paths that [`Operation::ListRemoving`] removes from a directory with these entries.
    pub(super) fn removed_by_walk(directory: &str, names: &[(String, Kind)]) -> Vec<String> {
        let directory = directory.trim_end_matches('/');
        let files = names.iter().filter(|(_, kind)| *kind != Kind::Directory);
        files.step_by(2).take(REMOVED_MAX).map(|(name, _)| format!("{directory}/{name}")).collect()
    }

    fn transaction(&mut self, operations: &[Operation], commit: bool) -> Outcome {
        if let Err(error) = self.expect_writable() {
            return Outcome::Transaction(Vec::new(), Err(error));
        }
        let before = self.clone();
        self.in_transaction = true;
        let inner = operations.iter().map(|operation| self.apply(operation)).collect();
        self.in_transaction = false;
        if commit {
            return Outcome::Transaction(inner, Ok(()));
        }
        *self = before;
        Outcome::Transaction(inner, Err(Operation::GIVEN_UP))
    }
}

impl Operation {
    /// The error with which a transaction without `commit` ends.
    pub const GIVEN_UP: Error = Error::Busy;

    /// Whether a snapshot refuses it before it looks at anything else.
    fn writes_files(&self) -> bool {
        matches!(
            self,
            Operation::Write { .. }
                | Operation::Update { .. }
                | Operation::Append { .. }
                | Operation::Resize { .. }
                | Operation::Create { .. }
                | Operation::CreateDirectory { .. }
                | Operation::RemoveDirectory { .. }
                | Operation::RemoveFile { .. }
                | Operation::RemoveTree { .. }
                | Operation::Rename { .. }
                | Operation::Symlink { .. }
                | Operation::HardLink { .. }
                | Operation::CreateSpecial { .. }
                | Operation::SetAttribute { .. }
                | Operation::RemoveAttribute { .. }
                | Operation::SetStream { .. }
                | Operation::SetShortName { .. }
                | Operation::Defragment
        )
    }
}

/// Finding things.
impl Model {
    fn place(&self, path: &str) -> Result<Place, Error> {
        let (directories, name) = path.rsplit_once('/').ok_or(Error::NameInvalid)?;
        let mut directory = ROOT;
        for part in directories.split('/').filter(|part| !part.is_empty()) {
            directory = *self.directory(directory)?.get(part).ok_or(Error::NotFound)?;
        }
        self.directory(directory)?;
        Ok(Place { directory, name: name.to_owned() })
    }

    fn free_place(&self, path: &str) -> Result<Place, Error> {
        let place = self.place(path)?;
        if self.directory(place.directory)?.contains_key(&place.name) {
            return Err(Error::AlreadyExists);
        }
        Ok(place)
    }

    fn find(&self, path: &str) -> Result<u64, Error> {
        if path == "/" {
            return Ok(ROOT);
        }
        let place = self.place(path)?;
        self.directory(place.directory)?.get(&place.name).copied().ok_or(Error::NotFound)
    }

    fn file(&self, path: &str) -> Result<u64, Error> {
        let node = self.find(path)?;
        self.expect_file(node)?;
        Ok(node)
    }

    fn expect_file(&self, node: u64) -> Result<(), Error> {
        match self.nodes[&node].kind() {
            Kind::File => Ok(()),
            Kind::Directory => Err(Error::IsADirectory),
            Kind::Symlink => Err(Error::IsASymlink),
            _ => Err(Error::IsSpecial),
        }
    }

    fn directory(&self, node: u64) -> Result<&BTreeMap<String, u64>, Error> {
        match &self.nodes[&node] {
            Node::Directory { entries } => Ok(entries),
            _ => Err(Error::NotADirectory),
        }
    }

    fn is_below(&self, node: u64, ancestor: u64) -> bool {
        let mut pending = vec![ancestor];
        while let Some(id) = pending.pop() {
            if id == node {
                return true;
            }
            if let Some(Node::Directory { entries }) = self.nodes.get(&id) {
                pending.extend(entries.values());
            }
        }
        false
    }

    fn shown(&self, node: u64) -> Shown {
        match &self.nodes[&node] {
            Node::File { content, links } => Shown { kind: Kind::File, size: content.len() as u64, links: *links },
            Node::Symlink { target, links } => Shown { kind: Kind::Symlink, size: target.len() as u64, links: *links },
            Node::Directory { entries } => Shown { kind: Kind::Directory, size: entries.len() as u64, links: 1 },
            Node::Special { kind, links, .. } => Shown { kind: *kind, size: 0, links: *links },
        }
    }

    fn insert(&mut self, place: Place, node: Node) -> Result<u64, Error> {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        self.entries_mut(place.directory).insert(place.name, id);
        Ok(id)
    }

    fn content(&self, node: u64) -> &[u8] {
        match &self.nodes[&node] {
            Node::File { content, .. } => content,
            _ => unreachable!("only files are opened"),
        }
    }

    fn content_mut(&mut self, node: u64) -> &mut Vec<u8> {
        match self.nodes.get_mut(&node) {
            Some(Node::File { content, .. }) => Arc::make_mut(content),
            _ => unreachable!("only files are opened"),
        }
    }

    fn entries_mut(&mut self, node: u64) -> &mut BTreeMap<String, u64> {
        match self.nodes.get_mut(&node) {
            Some(Node::Directory { entries }) => entries,
            _ => unreachable!("places lie in directories"),
        }
    }

    fn links_mut(&mut self, node: u64) -> &mut u32 {
        match self.nodes.get_mut(&node) {
            Some(Node::File { links, .. } | Node::Symlink { links, .. } | Node::Special { links, .. }) => links,
            _ => unreachable!("directories have one name"),
        }
    }

    fn drop_unreferenced(&mut self) {
        let open: Vec<u64> = self.handles.values().map(|handle| handle.node).collect();
        self.nodes.retain(|id, node| match node {
            Node::File { links, .. } | Node::Symlink { links, .. } | Node::Special { links, .. } => {
                *links > 0 || open.contains(id)
            }
            Node::Directory { .. } => true,
        });
        let nodes = &self.nodes;
        self.stored.retain(|id, _| nodes.contains_key(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Content, Generator, Oracle, Space};

    fn write(path: &str, length: u32) -> Operation {
        Operation::Write { path: path.to_owned(), content: Content::seeded(1, length) }
    }

    #[test]
    fn hard_links_share_content_and_count() {
        let mut model = Model::new();
        model.apply(&write("/a", 10));
        model.apply(&Operation::HardLink { existing: "/a".to_owned(), new: "/b".to_owned() });
        model.apply(&write("/b", 20));
        let tree = model.tree();
        assert_eq!((tree.entries["/a"].links, tree.entries["/a"].content.len()), (2, 20));
        assert_eq!(tree.entries["/b"].first_name, "/a");
    }

    #[test]
    fn a_removed_open_file_lives_until_it_is_closed() {
        let mut model = Model::new();
        model.apply(&Operation::Open { slot: 0, path: "/a".to_owned(), mode: OpenMode::CreateNew });
        model.apply(&Operation::RemoveFile { path: "/a".to_owned() });
        model.apply(&Operation::WriteAt { slot: 0, offset: 0, content: Content::seeded(1, 5) });
        assert_eq!(model.content_bytes(), 5);
        assert!(model.tree().entries.is_empty());
        model.apply(&Operation::Close { slot: 0 });
        assert_eq!(model.content_bytes(), 0);
    }

    #[test]
    fn pending_writes_are_a_prefix_after_a_cut() {
        let mut oracle = Oracle::new();
        let run = |oracle: &mut Oracle, operation: Operation| {
            oracle.start(&operation);
            let outcome = oracle.model().clone().apply(&operation);
            oracle.finish(&operation, &outcome).map(|_| ()).expect("the model agrees with itself");
        };
        run(&mut oracle, Operation::Open { slot: 0, path: "/a".to_owned(), mode: OpenMode::CreateNew });
        run(&mut oracle, Operation::Sync);
        for place in 0..3 {
            run(&mut oracle, Operation::WriteAt { slot: 0, offset: place, content: Content::seeded(place, 1) });
        }
        let lengths: Vec<usize> = oracle.candidates().iter().map(|tree| tree.entries["/a"].content.len()).collect();
        assert_eq!(lengths, [0, 1, 2, 3]);
        run(&mut oracle, write("/b", 1));
        assert_eq!(oracle.candidates().len(), 1);
    }

    #[test]
    fn a_long_write_may_stop_at_a_logical_block() {
        let mut oracle = Oracle::new();
        let open = Operation::Open { slot: 0, path: "/a".to_owned(), mode: OpenMode::CreateNew };
        oracle.start(&open);
        oracle.finish(&open, &Outcome::Done).map(|_| ()).expect("agrees");
        oracle.start(&Operation::WriteAt { slot: 0, offset: 4000, content: Content::seeded(1, 5000) });
        let lengths: Vec<usize> = oracle
            .candidates()
            .iter()
            .map(|tree| tree.entries.get("/a").map_or(0, |entry| entry.content.len()))
            .collect();
        assert_eq!(lengths, [0, 0, 4096, 8192, 9000], "before the open, after it, and at each boundary");
    }

    #[test]
    fn a_transaction_given_up_leaves_nothing() {
        let mut model = Model::new();
        model.apply(&write("/a", 3));
        let before = model.tree();
        let operations = vec![write("/a", 9), Operation::CreateDirectory { path: "/d".to_owned() }];
        let outcome = model.apply(&Operation::Transaction { operations, commit: false });
        assert_eq!(outcome.error(), Some(Operation::GIVEN_UP));
        assert_eq!(model.tree(), before);
    }

    #[test]
    fn indexes_are_states_of_their_own() {
        let mut model = Model::new();
        let name = |name: &str| name.to_owned();
        model.apply(&write("/a", 10));
        assert!(model.tree().indexes.is_empty(), "one index shows nothing");
        assert_eq!(model.apply(&Operation::CreateSnapshot { name: name("s") }), Outcome::Done);
        model.apply(&write("/a", 20));
        assert_eq!(model.apply(&Operation::CreateBranch { from: name("s"), name: name("b") }), Outcome::Done);
        assert_eq!(model.apply(&Operation::SelectIndex { name: name("b") }), Outcome::Done);
        assert_eq!(model.tree().entries["/a"].content.len(), 10);
        model.apply(&write("/b", 1));
        assert_eq!(model.apply(&Operation::RollBack { to: name("s") }), Outcome::Done);
        assert!(!model.tree().entries.contains_key("/b"));
        let model = model.after_mount();
        assert_eq!((model.current_index(), model.tree().entries["/a"].content.len()), ("main", 20));
    }

    #[test]
    fn open_files_and_snapshots_refuse() {
        let mut model = Model::new();
        model.apply(&Operation::CreateSnapshot { name: "s".to_owned() });
        model.apply(&Operation::Open { slot: 0, path: "/a".to_owned(), mode: OpenMode::CreateNew });
        let select = Operation::SelectIndex { name: "s".to_owned() };
        assert_eq!(model.apply(&select), Outcome::Failed(Error::Busy));
        model.apply(&Operation::Close { slot: 0 });
        assert_eq!(model.apply(&select), Outcome::Done);
        assert_eq!(model.apply(&write("/a", 1)), Outcome::Failed(Error::ReadOnly));
        assert_eq!(model.apply(&Operation::TrimIndex { name: "s".to_owned() }), Outcome::Failed(Error::IndexInUse));
    }

    #[test]
    fn generated_operations_keep_the_model_sound() {
        let space = Space { names: 8, depth: 3, length_max: 5000, bytes_max: 60_000, indexes_max: 5 };
        let mut generator = Generator::new(7, space);
        let mut model = Model::new();
        let mut succeeded = 0;
        for _ in 0..3000 {
            let operation = generator.next_operation(&model);
            succeeded += u32::from(model.apply(&operation).error().is_none());
        }
        assert!(succeeded > 1500, "only {succeeded} of 3000 made sense");
        let tree = model.tree();
        for (path, entry) in &tree.entries {
            let names = tree.entries.values().filter(|other| other.first_name == entry.first_name).count();
            assert_eq!(entry.links as usize, names, "{path}");
        }
    }
}
