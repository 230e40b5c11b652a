//! Everything that a volume shows, as one comparable value.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k7fs_core::flash::Flash;
use k7fs_core::{DEPTH_MAX, Error, Kind, NAME_BYTES_MAX, Volume};

use super::extra::{Extra, observe_extra};

/// Objects that [`observe`] walks before it gives up: more than any volume in a test can hold.
const OBJECTS_MAX: usize = 200_000;
/// Bytes of one file that [`observe`] takes into memory.
const CONTENT_BYTES_MAX: u64 = 64 << 20;

/// One name.
#[derive(Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// What it names.
    pub kind: Kind,
    /// A file's bytes, a link's target, nothing for directories.
    pub content: Arc<Vec<u8>>,
    /// How many names the object has; 1 for directories.
    pub links: u32,
    /// The first of the object's names in order of paths: equal for all its hard links.
    pub first_name: String,
    /// Attributes and metadata.
    pub extra: Extra,
}

impl fmt::Debug for TreeEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = &self.content[..self.content.len().min(8)];
        write!(f, "{:?} of {} bytes {start:02x?}", self.kind, self.content.len())?;
        write!(f, ", {} links, first {}, {:?}", self.links, self.first_name, self.extra)
    }
}

/// All names below the root by their absolute path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Path to entry; the root itself is left out.
    pub entries: BTreeMap<String, TreeEntry>,
}

impl Tree {
    /// The first difference to another tree, in words; `None` where they are equal.
    pub fn difference(&self, other: &Tree) -> Option<String> {
        for (path, entry) in &self.entries {
            match other.entries.get(path) {
                None => return Some(format!("{path} is missing (expected {entry:?})")),
                Some(found) if found == entry => {}
                Some(found) => return Some(describe(path, entry, found)),
            }
        }
        let extra = other.entries.iter().find(|(path, _)| !self.entries.contains_key(*path));
        extra.map(|(path, entry)| format!("{path} should not exist ({entry:?})"))
    }

    /// Bytes in all files and links.
    pub fn content_bytes(&self) -> u64 {
        self.entries.values().map(|entry| entry.content.len() as u64).sum()
    }
}

fn describe(path: &str, expected: &TreeEntry, found: &TreeEntry) -> String {
    if expected.kind == found.kind && expected.content.len() == found.content.len() {
        let mut pairs = expected.content.iter().zip(found.content.iter());
        if let Some(place) = pairs.position(|(left, right)| left != right) {
            return format!("{path} differs from byte {place} of {}", expected.content.len());
        }
    }
    format!("{path} is {found:?}, expected {expected:?}")
}

/// Why a volume could not be walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObserveError {
    /// The volume gave an error at this path.
    Volume {
        /// Where.
        path: String,
        /// What.
        error: Error,
    },
    /// The volume shows more than it can hold, or is deeper than paths go: a loop.
    Endless {
        /// Where the walk stopped.
        path: String,
    },
    /// A file is larger than a test makes it.
    TooLarge {
        /// Which.
        path: String,
        /// Bytes it claims to have.
        size: u64,
    },
    /// Two calls tell different things about one object.
    Inconsistent {
        /// Which.
        path: String,
        /// What differs.
        what: &'static str,
    },
}

impl ObserveError {
    /// The volume's own error, where that is what stopped the walk.
    pub fn volume_error(&self) -> Option<Error> {
        match self {
            ObserveError::Volume { error, .. } => Some(*error),
            _ => None,
        }
    }
}

/// Walks a volume and reads all of it.
///
/// # Errors
/// The first thing that went wrong, see [`ObserveError`]. The number of calls is bounded whatever the volume says.
pub fn observe<F: Flash>(volume: &mut Volume<'_, F>) -> Result<Tree, ObserveError> {
    observe_beside(volume, "")
}

/// As [`observe`], as if the directory at path `hidden` with all below it did not exist.
///
/// # Errors
/// As [`observe`].
pub fn observe_beside<F: Flash>(volume: &mut Volume<'_, F>, hidden: &str) -> Result<Tree, ObserveError> {
    let mut tree = Tree::default();
    let mut first_names: BTreeMap<u64, String> = BTreeMap::new();
    let mut objects: BTreeMap<String, u64> = BTreeMap::new();
    let mut directories = vec![(String::new(), 0_u32)];
    while let Some((directory, depth)) = directories.pop() {
        for (name, object, kind) in entries(volume, &directory)? {
            let path = format!("{directory}/{name}");
            if objects.len() >= OBJECTS_MAX || depth > DEPTH_MAX {
                return Err(ObserveError::Endless { path });
            }
            if path == hidden {
                continue;
            }
            let entry = entry(volume, &path, object, kind)?;
            if kind == Kind::Directory {
                directories.push((path.clone(), depth + 1));
            }
            let first = first_names.entry(object).or_insert_with(|| path.clone());
            if path < *first {
                first.clone_from(&path);
            }
            objects.insert(path.clone(), object);
            if tree.entries.insert(path.clone(), entry).is_some() {
                return Err(ObserveError::Inconsistent { path, what: "listed twice" });
            }
        }
    }
    for (path, entry) in &mut tree.entries {
        if let Some(first) = objects.get(path).and_then(|object| first_names.get(object)) {
            entry.first_name.clone_from(first);
        }
    }
    Ok(tree)
}

fn entries<F: Flash>(volume: &mut Volume<'_, F>, directory: &str) -> Result<Vec<(String, u64, Kind)>, ObserveError> {
    let shown = if directory.is_empty() { "/" } else { directory };
    let fail = |error| ObserveError::Volume { path: shown.to_owned(), error };
    let expected = volume.metadata(shown).map_err(fail)?.size;
    let mut cursor = volume.read_dir(shown).map_err(fail)?;
    let mut name = [0; NAME_BYTES_MAX];
    let mut found = Vec::new();
    while let Some(entry) = volume.next_entry(&mut cursor, &mut name).map_err(fail)? {
        found.push((entry.name.to_owned(), entry.object, entry.kind));
        if found.len() > OBJECTS_MAX {
            return Err(ObserveError::Endless { path: shown.to_owned() });
        }
    }
    if found.len() as u64 != expected {
        return Err(ObserveError::Inconsistent { path: shown.to_owned(), what: "entry count" });
    }
    found.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(found)
}

fn entry<F: Flash>(volume: &mut Volume<'_, F>, path: &str, object: u64, kind: Kind) -> Result<TreeEntry, ObserveError> {
    let fail = |error| ObserveError::Volume { path: path.to_owned(), error };
    let metadata = volume.metadata(path).map_err(fail)?;
    if metadata.object != object || metadata.kind != kind {
        return Err(ObserveError::Inconsistent { path: path.to_owned(), what: "object or kind" });
    }
    let mut content = Vec::new();
    if matches!(kind, Kind::File | Kind::Symlink) {
        if metadata.size > CONTENT_BYTES_MAX {
            return Err(ObserveError::TooLarge { path: path.to_owned(), size: metadata.size });
        }
        content.resize(metadata.size as usize, 0);
        let length = match kind {
            Kind::Symlink => volume.read_link(path, &mut content).map_err(fail)?.len(),
            _ => volume.read(path, &mut content).map_err(fail)?,
        };
        if length != content.len() {
            return Err(ObserveError::Inconsistent { path: path.to_owned(), what: "size" });
        }
    }
    let extra = observe_extra(volume, path, kind).map_err(fail)?;
    Ok(TreeEntry { kind, content: Arc::new(content), links: metadata.links, first_name: String::new(), extra })
}
