//! What is stored: a real directory tree, held in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::WalkBuilder;
use k7fs_core::flash::Flash;
use k7fs_core::{Error, FormatOptions, MountOptions, Timestamp, Volume, buffer_bytes};

use super::generated;
use crate::chip::{Chip, ChipSpec, SimFlash};
use crate::host::{HostError, Node, NodeKind, Times, Tree};

/// Bytes of the default tree, at most.
const DEFAULT_BYTES_MAX: u64 = 8 << 20;
/// What an object is taken to cost beside its content.
const OBJECT_BYTES: u64 = 512;
/// The directory of the volume that the tree is stored in. No random operation uses this name.
pub(super) const ROOT: &str = "/tree";

/// One object to store.
#[derive(Clone, Debug)]
pub struct TreeNode {
    /// Its path on the volume.
    pub path: String,
    /// What it is.
    pub content: NodeContent,
    /// When it was last changed.
    pub modified: Timestamp,
}

/// What an object is made of.
#[derive(Clone, Debug)]
pub enum NodeContent {
    /// A directory.
    Directory,
    /// A file.
    File(Arc<Vec<u8>>),
    /// A symbolic link with its target.
    Symlink(String),
    /// Another name of the file that is stored under this path.
    HardLink(String),
}

/// A directory tree in memory, each directory before what it holds.
#[derive(Clone, Debug)]
pub struct RealTree {
    /// The objects.
    pub nodes: Vec<TreeNode>,
    /// Where it comes from, in words.
    pub origin: String,
    /// The directory that was asked for, which must fit whole.
    explicit: Option<PathBuf>,
}

/// Bytes that an empty volume on such a chip holds.
fn capacity_bytes(chip: &ChipSpec) -> Result<u64, Error> {
    let mut flash = SimFlash::new(Chip::new(chip, 0));
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    Volume::format(&mut flash, &mut buffer, &FormatOptions::default())?;
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default())?;
    Ok(volume.usage()?.capacity_bytes)
}

impl RealTree {
    /// The tree of this directory, whole.
    ///
    /// # Errors
    /// As [`Tree::scan`], `Io` for a file that cannot be read, `DoesNotFit` for what no chip holds.
    pub fn of_directory(directory: &Path) -> Result<Self, HostError> {
        let tree = Tree::scan(directory, None, Times::Modified)?;
        // Refused before it is read into memory; what fits the chip at hand is asked later.
        let volume_bytes = ChipSpec::all().iter().map(ChipSpec::data_size).max().unwrap_or(0);
        let tree_bytes = tree.content_bytes();
        if tree_bytes > volume_bytes {
            return Err(HostError::DoesNotFit { tree_bytes, volume_bytes });
        }
        let mut nodes = Vec::new();
        let mut first_names = BTreeMap::new();
        for node in &tree.nodes {
            nodes.extend(load(node, &mut first_names)?);
        }
        let origin = directory.display().to_string();
        Ok(Self { nodes, origin, explicit: Some(directory.to_path_buf()) })
    }

    /// The tree of the current directory without `.git`, `target`, ignored and unreadable files and names that are
    /// not UTF-8, at most 8 MiB of it; a generated one where there is none.
    pub fn default_tree(seed: u64) -> Self {
        let nodes = current_directory();
        if nodes.iter().any(|node| matches!(node.content, NodeContent::File(_))) {
            return Self { nodes, origin: "the current directory".to_owned(), explicit: None };
        }
        Self::generated(seed)
    }

    /// A tree that depends only on the seed.
    pub fn generated(seed: u64) -> Self {
        Self { nodes: generated::nodes(seed), origin: "a generated tree".to_owned(), explicit: None }
    }

    /// The directory that was asked for.
    pub fn directory(&self) -> Option<&Path> {
        self.explicit.as_deref()
    }

    /// What of the tree is stored on this chip: a tree that was asked for whole, of another as much as two fifths of
    /// an empty volume hold, so that there is room for what else happens.
    ///
    /// # Errors
    /// `DoesNotFit` where the tree was asked for; those of making a volume on such a chip.
    pub fn for_chip(&self, chip: &ChipSpec) -> Result<Self, HostError> {
        let cost = |node: &TreeNode| OBJECT_BYTES + node.bytes();
        let mut tree = self.clone();
        let capacity = capacity_bytes(chip).map_err(HostError::object("/"))?;
        if self.explicit.is_some() {
            let tree_bytes = self.nodes.iter().map(cost).sum();
            let volume_bytes = capacity / 10 * 6;
            if tree_bytes > volume_bytes {
                return Err(HostError::DoesNotFit { tree_bytes, volume_bytes });
            }
            return Ok(tree);
        }
        let mut left = DEFAULT_BYTES_MAX.min(capacity / 5 * 2);
        tree.nodes.retain(|node| match left.checked_sub(cost(node)) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        });
        tree.drop_dangling();
        Ok(tree)
    }

    /// Leaves out what lies in a directory, or is a link to a file, that was left out.
    fn drop_dangling(&mut self) {
        let mut kept = std::collections::BTreeSet::new();
        self.nodes.retain(|node| {
            let parent = node.path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let first = match &node.content {
                NodeContent::HardLink(first) => kept.contains(first),
                _ => true,
            };
            let keep = first && (parent == ROOT || kept.contains(parent));
            if keep {
                kept.insert(node.path.clone());
            }
            keep
        });
    }
}

impl TreeNode {
    /// Bytes of content.
    pub fn bytes(&self) -> u64 {
        match &self.content {
            NodeContent::File(content) => content.len() as u64,
            NodeContent::Symlink(target) => target.len() as u64,
            NodeContent::Directory | NodeContent::HardLink(_) => 0,
        }
    }
}

/// A node with its content; `None` for what has none.
fn load(node: &Node, first_names: &mut BTreeMap<(u64, u64), String>) -> Result<Option<TreeNode>, HostError> {
    let path = format!("{ROOT}{}", node.path);
    let content = match &node.kind {
        NodeKind::Directory => NodeContent::Directory,
        NodeKind::Symlink { target } => NodeContent::Symlink(target.clone()),
        NodeKind::Special { .. } => return Ok(None),
        NodeKind::File { shared, .. } => match shared.and_then(|id| first_names.get(&id)) {
            Some(first) => NodeContent::HardLink(first.clone()),
            None => {
                if let Some(id) = shared {
                    first_names.insert(*id, path.clone());
                }
                NodeContent::File(Arc::new(fs::read(&node.host).map_err(HostError::io(&node.host))?))
            }
        },
    };
    Ok(Some(TreeNode { path, content, modified: node.modified }))
}

fn current_directory() -> Vec<TreeNode> {
    let mut walk = WalkBuilder::new(".");
    walk.hidden(false).require_git(false).git_global(false).follow_links(false);
    walk.sort_by_file_path(Path::cmp);
    walk.filter_entry(|entry| {
        let is_directory = entry.file_type().is_some_and(|kind| kind.is_dir());
        !(entry.file_name() == ".git" || (is_directory && entry.file_name() == "target"))
    });
    let mut nodes = Vec::new();
    let mut left = DEFAULT_BYTES_MAX;
    for entry in walk.build().filter_map(Result::ok).filter(|entry| entry.depth() > 0) {
        let Some(node) = read_entry(&entry, left) else { continue };
        left -= node.bytes();
        nodes.push(node);
    }
    nodes
}

/// An object of the current directory; `None` for what is left out.
fn read_entry(entry: &ignore::DirEntry, left: u64) -> Option<TreeNode> {
    let relative = entry.path().strip_prefix(".").ok()?.to_str()?;
    let metadata = entry.path().symlink_metadata().ok()?;
    let time = filetime::FileTime::from_last_modification_time(&metadata);
    let modified = Timestamp::from_unix(time.unix_seconds(), time.nanoseconds()).unwrap_or_default();
    let content = if metadata.is_dir() {
        NodeContent::Directory
    } else if metadata.is_symlink() {
        NodeContent::Symlink(fs::read_link(entry.path()).ok()?.to_str()?.to_owned())
    } else if metadata.is_file() && metadata.len() <= left {
        NodeContent::File(Arc::new(fs::read(entry.path()).ok()?))
    } else {
        return None;
    };
    let separators_unified = relative.replace(std::path::MAIN_SEPARATOR, "/");
    Some(TreeNode { path: format!("{ROOT}/{separators_unified}"), content, modified })
        .filter(|node| node.bytes() <= left)
}
