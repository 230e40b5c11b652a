//! What an import will do, decided before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use k7fs_core::flash::Flash;
use k7fs_core::{Kind, Metadata, Volume};

use super::error::HostError;
use super::tree::{Node, NodeKind, Tree};
use super::walk::walk;

/// What a file, directory or link costs beside its content: inode, name, and their share of tree nodes and headers.
const OBJECT_BYTES: u64 = 96;
/// What each stored piece of a file costs beside its content.
const PIECE_OVERHEAD_BYTES: u64 = 40;
/// Content is stored in pieces of at most this size on the smallest logical block.
const PIECE_BYTES: u64 = 4096;

/// What is on the volume and what of it must go.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the volume holds, by path.
    pub(super) existing: BTreeMap<String, Metadata>,
    /// What is to be removed, entries of a directory before the directory.
    pub(super) removals: Vec<(String, Kind)>,
}

impl Plan {
    /// Compares volume and tree by names and kinds, and refuses what cannot end well.
    pub(super) fn new<F: Flash>(volume: &mut Volume<'_, F>, tree: &Tree, merge: bool) -> Result<Self, HostError> {
        let entries = walk(volume, "/")?;
        let wanted: BTreeMap<&str, Kind> =
            tree.nodes.iter().map(|node| (node.path.as_str(), volume_kind(&node.kind))).collect();
        let mut removals = Vec::new();
        let mut kept_bytes = 0;
        for entry in entries.iter().rev() {
            let kind = entry.metadata.kind;
            match wanted.get(entry.path.as_str()) {
                Some(&wanted) if wanted == kind => {}
                Some(_) if merge => return Err(HostError::KindConflict { path: entry.path.clone() }),
                None if merge => kept_bytes += object_bytes(&entry.path, entry.metadata.size),
                _ => removals.push((entry.path.clone(), kind)),
            }
        }
        check_fit(volume, tree, kept_bytes)?;
        let existing = entries.into_iter().map(|entry| (entry.path, entry.metadata)).collect();
        Ok(Self { existing, removals })
    }
}

pub(super) fn volume_kind(kind: &NodeKind) -> Kind {
    match kind {
        NodeKind::Directory => Kind::Directory,
        NodeKind::File { .. } => Kind::File,
        NodeKind::Symlink { .. } => Kind::Symlink,
    }
}

fn check_fit<F: Flash>(volume: &mut Volume<'_, F>, tree: &Tree, kept_bytes: u64) -> Result<(), HostError> {
    let usage = volume.usage().map_err(HostError::object("/"))?;
    let mut seen = BTreeSet::new();
    let tree_bytes = tree.nodes.iter().map(|node| node_bytes(node, &mut seen)).sum::<u64>();
    let volume_bytes = usage.capacity_bytes.saturating_sub(kept_bytes);
    if tree_bytes > volume_bytes {
        return Err(HostError::DoesNotFit { tree_bytes, volume_bytes });
    }
    Ok(())
}

fn node_bytes(node: &Node, seen: &mut BTreeSet<(u64, u64)>) -> u64 {
    match &node.kind {
        NodeKind::Directory => object_bytes(&node.path, 0),
        NodeKind::Symlink { target } => object_bytes(&node.path, target.len() as u64),
        NodeKind::File { allocated, shared, .. } => {
            let first = shared.is_none_or(|id| seen.insert(id));
            object_bytes(&node.path, if first { *allocated } else { 0 })
        }
    }
}

fn object_bytes(path: &str, content_bytes: u64) -> u64 {
    let name_bytes = path.rsplit('/').next().unwrap_or(path).len() as u64;
    OBJECT_BYTES + name_bytes + content_bytes + content_bytes.div_ceil(PIECE_BYTES) * PIECE_OVERHEAD_BYTES
}
