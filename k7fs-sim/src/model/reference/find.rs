//! Finding things.

use std::collections::BTreeMap;
use std::sync::Arc;

use k7fs_core::{Error, Kind};

use super::{Model, Node, Place, ROOT};
use crate::model::operation::Shown;

impl Model {
    pub(super) fn place(&self, path: &str) -> Result<Place, Error> {
        let (directories, name) = path.rsplit_once('/').ok_or(Error::NameInvalid)?;
        let mut directory = ROOT;
        for part in directories.split('/').filter(|part| !part.is_empty()) {
            directory = *self.directory(directory)?.get(part).ok_or(Error::NotFound)?;
        }
        self.directory(directory)?;
        Ok(Place { directory, name: name.to_owned() })
    }

    pub(super) fn free_place(&self, path: &str) -> Result<Place, Error> {
        let place = self.place(path)?;
        if self.directory(place.directory)?.contains_key(&place.name) {
            return Err(Error::AlreadyExists);
        }
        Ok(place)
    }

    pub(super) fn find(&self, path: &str) -> Result<u64, Error> {
        if path == "/" {
            return Ok(ROOT);
        }
        let place = self.place(path)?;
        self.directory(place.directory)?.get(&place.name).copied().ok_or(Error::NotFound)
    }

    pub(super) fn file(&self, path: &str) -> Result<u64, Error> {
        let node = self.find(path)?;
        self.expect_file(node)?;
        Ok(node)
    }

    pub(super) fn expect_file(&self, node: u64) -> Result<(), Error> {
        match self.nodes[&node].kind() {
            Kind::File => Ok(()),
            Kind::Directory => Err(Error::IsADirectory),
            Kind::Symlink => Err(Error::IsASymlink),
            _ => Err(Error::IsSpecial),
        }
    }

    pub(super) fn directory(&self, node: u64) -> Result<&BTreeMap<String, u64>, Error> {
        match &self.nodes[&node] {
            Node::Directory { entries } => Ok(entries),
            _ => Err(Error::NotADirectory),
        }
    }

    pub(super) fn is_below(&self, node: u64, ancestor: u64) -> bool {
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

    pub(super) fn shown(&self, node: u64) -> Shown {
        match &self.nodes[&node] {
            Node::File { content, links } => Shown { kind: Kind::File, size: content.len() as u64, links: *links },
            Node::Symlink { target, links } => Shown { kind: Kind::Symlink, size: target.len() as u64, links: *links },
            Node::Directory { entries } => Shown { kind: Kind::Directory, size: entries.len() as u64, links: 1 },
            Node::Special { kind, links, .. } => Shown { kind: *kind, size: 0, links: *links },
        }
    }

    pub(super) fn insert(&mut self, place: Place, node: Node) -> Result<u64, Error> {
        let id = self.next;
        self.next += 1;
        let codec = self.stored(place.directory).codec;
        if codec.is_some() && matches!(node.kind(), Kind::File | Kind::Directory) {
            self.stored_mut(id).codec = codec;
        }
        self.nodes.insert(id, node);
        self.entries_mut(place.directory).insert(place.name, id);
        Ok(id)
    }

    pub(super) fn content(&self, node: u64) -> &[u8] {
        match &self.nodes[&node] {
            Node::File { content, .. } => content,
            _ => unreachable!("only files are opened"),
        }
    }

    pub(super) fn content_mut(&mut self, node: u64) -> &mut Vec<u8> {
        match self.nodes.get_mut(&node) {
            Some(Node::File { content, .. }) => Arc::make_mut(content),
            _ => unreachable!("only files are opened"),
        }
    }

    pub(super) fn entries_mut(&mut self, node: u64) -> &mut BTreeMap<String, u64> {
        match self.nodes.get_mut(&node) {
            Some(Node::Directory { entries }) => entries,
            _ => unreachable!("places lie in directories"),
        }
    }

    pub(super) fn links_mut(&mut self, node: u64) -> &mut u32 {
        match self.nodes.get_mut(&node) {
            Some(Node::File { links, .. } | Node::Symlink { links, .. } | Node::Special { links, .. }) => links,
            _ => unreachable!("directories have one name"),
        }
    }

    pub(super) fn drop_unreferenced(&mut self) {
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
