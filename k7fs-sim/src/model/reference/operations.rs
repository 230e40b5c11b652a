//! The operations.

use std::collections::BTreeMap;
use std::sync::Arc;

use k7fs_core::{Error, FILE_SIZE_MAX, Kind, STREAM_ATTRIBUTES};

use super::{Handle, LOGICAL_BLOCK_SIZE, Model, Node, REMOVED_MAX};
use crate::model::operation::{OpenMode, Operation, Outcome};

impl Model {
    pub(super) fn run(&mut self, operation: &Operation, between: &mut Vec<Model>) -> Result<Outcome, Error> {
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
            Operation::AppendChunk { path, content } => {
                let node = self.open(path, OpenMode::Append)?;
                between.push(self.clone());
                self.content_mut(node).extend(content.bytes());
            }
            Operation::Copy { from, to } => self.copy(from, to)?,
            Operation::Deduplicate { first, second } => {
                self.file(first)?;
                self.file(second)?;
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
            | Operation::ChooseCodec { .. }
            | Operation::SetShortName { .. } => self.run_extra(operation)?,
            Operation::ListRemoving { path } => return self.list_removing(path, between),
            Operation::Transaction { operations, commit } => return Ok(self.transaction(operations, *commit)),
            Operation::Sync | Operation::Maintain { .. } | Operation::Scrub { .. } | Operation::Defragment => {}
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
            Operation::ChooseCodec { path, codec } => {
                let node = self.find(path)?;
                if self.nodes[&node].kind() != Kind::Directory {
                    self.expect_file(node)?;
                }
                self.stored_mut(node).codec = *codec;
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

    fn copy(&mut self, from: &str, to: &str) -> Result<(), Error> {
        let source = self.file(from)?;
        let bytes = self.content(source).to_vec();
        let target = self.open(to, OpenMode::ReadWrite)?;
        *self.content_mut(target) = bytes;
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
    pub(in crate::model) fn removed_by_walk(directory: &str, names: &[(String, Kind)]) -> Vec<String> {
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
