//! What an import will do, decided before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use k7fs_core::flash::Flash;
use k7fs_core::{Kind, Metadata, Volume};

use super::error::HostError;
use super::tree::{Node, NodeKind, Tree};
use super::walk::walk;

/// What a file, directory or link costs beside its content: inode, name, and their share of tree nodes and headers.
/// Measured, like the following.
const OBJECT_BYTES: u64 = 80;
/// What each stored piece of a file costs beside its content.
const PIECE_OVERHEAD_BYTES: u64 = 40;
/// The same where a block is so small that most pieces are split between two.
const SPLIT_PIECE_OVERHEAD_BYTES: u64 = 84;
/// What an attribute costs beside its name and value, and what owner and mode cost where they are not the usual ones.
const ATTRIBUTE_OVERHEAD_BYTES: u64 = 40;
/// Data bytes of a block that is so small.
const SPLIT_BLOCK_BYTES_MAX: u32 = 16 * 1024;
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
    pub(super) fn new<F: Flash>(
        volume: &mut Volume<'_, F>, tree: &Tree, merge: bool, sizes_known: bool,
    ) -> Result<Self, HostError> {
        let costs = Costs::of(volume);
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
                None if merge => kept_bytes += costs.object_bytes(&entry.path, entry.metadata.size),
                _ => removals.push((entry.path.clone(), kind)),
            }
        }
        // What will be left of content that is compressed or shared, only doing it tells.
        if sizes_known {
            check_fit(volume, tree, costs, kept_bytes)?;
        }
        let existing = entries.into_iter().map(|entry| (entry.path, entry.metadata)).collect();
        Ok(Self { existing, removals })
    }
}

pub(super) fn volume_kind(kind: &NodeKind) -> Kind {
    match kind {
        NodeKind::Directory => Kind::Directory,
        NodeKind::File { .. } => Kind::File,
        NodeKind::Symlink { .. } => Kind::Symlink,
        NodeKind::Special { kind, .. } => *kind,
    }
}

fn check_fit<F: Flash>(
    volume: &mut Volume<'_, F>, tree: &Tree, costs: Costs, kept_bytes: u64,
) -> Result<(), HostError> {
    let usage = volume.usage().map_err(HostError::object("/"))?;
    let mut seen = BTreeSet::new();
    let tree_bytes = tree.nodes.iter().map(|node| costs.node_bytes(node, &mut seen)).sum::<u64>();
    let volume_bytes = usage.capacity_bytes.saturating_sub(kept_bytes);
    if tree_bytes > volume_bytes {
        return Err(HostError::DoesNotFit { tree_bytes, volume_bytes });
    }
    Ok(())
}

/// What objects cost on a volume, about.
#[derive(Clone, Copy, Debug)]
struct Costs {
    piece_overhead_bytes: u64,
    piece_bytes: u64,
}

impl Costs {
    fn of<F: Flash>(volume: &Volume<'_, F>) -> Self {
        let geometry = volume.info().geometry;
        let block_bytes = geometry.page_size.saturating_mul(geometry.pages_per_block);
        let split = block_bytes <= SPLIT_BLOCK_BYTES_MAX;
        let overhead = if split { SPLIT_PIECE_OVERHEAD_BYTES } else { PIECE_OVERHEAD_BYTES };
        let info = volume.info();
        if !info.verified {
            return Self { piece_overhead_bytes: overhead, piece_bytes: PIECE_BYTES };
        }
        // Records with hashes take at most a quarter of a block.
        let piece_bytes = u64::from(block_bytes / 5).clamp(1, PIECE_BYTES);
        Self { piece_overhead_bytes: overhead + info.hash.len() as u64, piece_bytes }
    }

    fn node_bytes(self, node: &Node, seen: &mut BTreeSet<(u64, u64)>) -> u64 {
        let object = match &node.kind {
            NodeKind::Directory => self.object_bytes(&node.path, 0),
            NodeKind::Symlink { target } => self.object_bytes(&node.path, target.len() as u64),
            NodeKind::File { allocated, shared, .. } => {
                let first = shared.is_none_or(|id| seen.insert(id));
                self.object_bytes(&node.path, if first { *allocated } else { 0 })
            }
            NodeKind::Special { .. } => self.object_bytes(&node.path, 0),
        };
        object + extra_bytes(node)
    }

    fn object_bytes(self, path: &str, content_bytes: u64) -> u64 {
        let name_bytes = path.rsplit('/').next().unwrap_or(path).len() as u64;
        let pieces = content_bytes / self.piece_bytes;
        OBJECT_BYTES + name_bytes + content_bytes + pieces * self.piece_overhead_bytes
    }
}

/// What a node's owner, mode and attributes cost, about.
fn extra_bytes(node: &Node) -> u64 {
    let attributes = node.facts.attributes.iter();
    let named: u64 = attributes.map(|(name, value)| (name.len() + value.len()) as u64 + ATTRIBUTE_OVERHEAD_BYTES).sum();
    let usual = node.facts.owner.is_none_or(|owner| (owner.uid, owner.gid) == (0, 0));
    named + if usual { 0 } else { ATTRIBUTE_OVERHEAD_BYTES }
}
