//! A directory tree on the host, as it is to be imported.
//!
//! Everything that could refuse an import is looked at here, before the volume is touched: names, path lengths,
//! whether directories and files can be read.

use std::fs::{self, DirEntry, File, Metadata};
use std::path::{Path, PathBuf};

use filetime::FileTime;
use k7fs_core::{DEPTH_MAX, Device, Error, FILE_SIZE_MAX, Kind, NAME_BYTES_MAX, PATH_BYTES_MAX, Timestamp};

use super::error::HostError;
use super::native::{Facts, Times};
use super::walk::join;

/// A file, directory or link of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it goes on the volume, beginning with `/`.
    pub path: String,
    /// Where it is on the host.
    pub host: PathBuf,
    /// What it is.
    pub kind: NodeKind,
    /// When it was last changed.
    pub modified: Timestamp,
    /// Owner, mode and attributes.
    pub facts: Facts,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Bytes of content.
        size: u64,
        /// Bytes of content that are not holes.
        allocated: u64,
        /// Device and inode where the file has several names.
        shared: Option<(u64, u64)>,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: String,
    },
    /// A FIFO, a socket or a device.
    Special {
        /// Which of them.
        kind: Kind,
        /// A device's number.
        device: Device,
        /// Device and inode where it has several names.
        shared: Option<(u64, u64)>,
    },
}

/// An object of the host that volumes cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub what: &'static str,
}

/// A directory tree of the host.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Everything below the root, each directory before what it holds, names in order.
    pub nodes: Vec<Node>,
    /// The root itself.
    pub root: Node,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

impl Tree {
    /// Reads the names, sizes and these times of everything below `root`. Leaves out the file `except`: an image that lies
    /// in the tree that it is made of.
    ///
    /// # Errors
    /// `Io` for what cannot be read, `NotUtf8`, `TargetNotUtf8`, `PathRefused`.
    pub fn scan(root: &Path, except: Option<&Path>, times: Times) -> Result<Self, HostError> {
        let metadata = fs::metadata(root).map_err(HostError::io(root))?;
        let except = except.and_then(|path| path.canonicalize().ok());
        let facts = Facts::read(root, &metadata, times);
        let path = "/".to_owned();
        let host = root.to_path_buf();
        let root_node = Node { path, host, kind: NodeKind::Directory, modified: modified(&metadata), facts };
        let mut tree = Self { nodes: Vec::new(), root: root_node, skipped: Vec::new() };
        let mut pending = children(root, "/")?;
        while let Some((host, path)) = pending.pop() {
            if except.as_deref().is_some_and(|image| is_same(&host, image)) {
                tree.skipped.push(Skipped { path: host, what: "the image itself" });
                continue;
            }
            check_limits(&host, &path)?;
            let metadata = fs::symlink_metadata(&host).map_err(HostError::io(&host))?;
            let kind = match kind(&host, &metadata)? {
                Ok(kind) => kind,
                Err(what) => {
                    tree.skipped.push(Skipped { path: host, what });
                    continue;
                }
            };
            if kind == NodeKind::Directory {
                pending.append(&mut children(&host, &path)?);
            }
            let facts = Facts::read(&host, &metadata, times);
            if facts.lost_attributes {
                tree.skipped.push(Skipped { path: host.clone(), what: "an attribute that volumes cannot hold" });
            }
            tree.nodes.push(Node { path, host, kind, modified: modified(&metadata), facts });
        }
        Ok(tree)
    }

    /// Bytes of all files, each counted once.
    pub fn content_bytes(&self) -> u64 {
        let mut seen = std::collections::BTreeSet::new();
        let sizes = self.nodes.iter().map(|node| match node.kind {
            NodeKind::File { size, shared, .. } if shared.is_none_or(|id| seen.insert(id)) => size,
            _ => 0,
        });
        sizes.sum()
    }
}

/// The entries of a directory, last name first, as host path and volume path.
fn children(directory: &Path, path: &str) -> Result<Vec<(PathBuf, String)>, HostError> {
    let entries = fs::read_dir(directory).map_err(HostError::io(directory))?;
    let mut children = Vec::new();
    for entry in entries {
        let entry: DirEntry = entry.map_err(HostError::io(directory))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { return Err(HostError::NotUtf8 { path: entry.path() }) };
        if name.len() > NAME_BYTES_MAX {
            return Err(HostError::PathRefused { path: entry.path(), error: Error::NameTooLong });
        }
        children.push((entry.path(), join(path, name)));
    }
    children.sort_unstable_by(|a, b| b.1.cmp(&a.1));
    Ok(children)
}

fn check_limits(host: &Path, path: &str) -> Result<(), HostError> {
    let refused = |error| Err(HostError::PathRefused { path: host.to_path_buf(), error });
    if path.len() > PATH_BYTES_MAX {
        return refused(Error::PathTooLong);
    }
    let depth = path.bytes().filter(|&byte| byte == b'/').count();
    if depth > DEPTH_MAX as usize {
        return refused(Error::PathTooDeep);
    }
    Ok(())
}

/// What an object is, or a word for what a volume cannot hold.
fn kind(host: &Path, metadata: &Metadata) -> Result<Result<NodeKind, &'static str>, HostError> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Ok(Ok(NodeKind::Directory));
    }
    if kind.is_symlink() {
        let target = fs::read_link(host).map_err(HostError::io(host))?;
        let Some(target) = target.to_str() else { return Err(HostError::TargetNotUtf8 { path: host.to_path_buf() }) };
        return Ok(Ok(NodeKind::Symlink { target: target.to_owned() }));
    }
    if !kind.is_file() {
        return Ok(special(metadata).ok_or("neither a file nor a directory"));
    }
    if metadata.len() > FILE_SIZE_MAX {
        return Err(HostError::PathRefused { path: host.to_path_buf(), error: Error::FileTooLarge });
    }
    File::open(host).map_err(HostError::io(host))?;
    Ok(Ok(NodeKind::File { size: metadata.len(), allocated: allocated(metadata), shared: shared(metadata) }))
}

fn modified(metadata: &Metadata) -> Timestamp {
    let time = FileTime::from_last_modification_time(metadata);
    // Before 1601 there is no time to store; the first moment is the nearest.
    Timestamp::from_unix(time.unix_seconds(), time.nanoseconds()).unwrap_or_default()
}

#[cfg(unix)]
fn shared(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    (metadata.nlink() > 1).then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(unix)]
fn allocated(metadata: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // Some host file systems count no blocks for small files that they keep elsewhere.
    if metadata.len() > 1 << 16 { metadata.len().min(metadata.blocks().saturating_mul(512)) } else { metadata.len() }
}

#[cfg(unix)]
fn special(metadata: &Metadata) -> Option<NodeKind> {
    let (kind, device) = super::native::special(metadata)?;
    Some(NodeKind::Special { kind, device, shared: shared(metadata) })
}

#[cfg(unix)]
fn is_same(host: &Path, image: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(a), Ok(b)) = (fs::symlink_metadata(host), fs::metadata(image)) else { return false };
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn shared(_metadata: &Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(not(unix))]
fn allocated(metadata: &Metadata) -> u64 {
    metadata.len()
}

#[cfg(not(unix))]
fn special(_metadata: &Metadata) -> Option<NodeKind> {
    None
}

#[cfg(not(unix))]
fn is_same(host: &Path, image: &Path) -> bool {
    host.canonicalize().is_ok_and(|host| host == image)
}
