//! Everything that a volume shows, as one comparable value.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k7fs_core::flash::Flash;
use k7fs_core::{DEPTH_MAX, Error, INDEX_NAME_FIRST, Kind, NAME_BYTES_MAX, Volume};

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

/// All names below the root by their absolute path; the root itself is left out.
pub type Entries = BTreeMap<String, TreeEntry>;

/// One index as a volume lists it.
#[derive(Clone, Debug)]
pub struct TreeIndex {
    /// Whether it is no snapshot.
    pub writable: bool,
    /// Whether a mount begins with it.
    pub is_default: bool,
    /// Whether it is the one that is worked on.
    pub is_current: bool,
    /// What it shows; `None` for the one that is worked on, and where it was not looked at: files that are open keep a
    /// volume on its index.
    pub files: Option<Arc<Entries>>,
}

impl PartialEq for TreeIndex {
    /// Content that was not looked at on one side does not count.
    fn eq(&self, other: &Self) -> bool {
        let flags = |index: &Self| (index.writable, index.is_default, index.is_current);
        let differ =
            self.files.iter().zip(&other.files).any(|(left, right)| !Arc::ptr_eq(left, right) && left != right);
        flags(self) == flags(other) && !differ
    }
}

/// All names below the root by their absolute path, and the other indexes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// What the index that is worked on shows.
    pub entries: Entries,
    /// All indexes by name; none where there is only the one that a volume begins with.
    pub indexes: BTreeMap<String, TreeIndex>,
}

impl Tree {
    /// The first difference to another tree, in words; `None` where they are equal.
    pub fn difference(&self, other: &Tree) -> Option<String> {
        difference(&self.entries, &other.entries).or_else(|| self.index_difference(other))
    }

    fn index_difference(&self, other: &Tree) -> Option<String> {
        for (name, index) in &self.indexes {
            match other.indexes.get(name) {
                None => return Some(format!("index {name} is missing")),
                Some(found) if found == index => {}
                Some(found) => {
                    let (Some(files), Some(shown)) = (&index.files, &found.files) else {
                        return Some(format!("index {name} is {found:?}, expected {index:?}"));
                    };
                    let what = difference(files, shown).unwrap_or_else(|| "another kind or place".to_owned());
                    return Some(format!("index {name}: {what}"));
                }
            }
        }
        let extra = other.indexes.keys().find(|name| !self.indexes.contains_key(*name));
        extra.map(|name| format!("index {name} should not exist"))
    }

    /// The same, where objects with more links than names have as many as names: a tree that is being removed counts until
    /// a writable mount has gone on with it.
    pub fn with_names_for_links(mut self) -> Tree {
        limit_links(&mut self.entries);
        for files in self.indexes.values_mut().filter_map(|index| index.files.as_mut()) {
            limit_links(Arc::make_mut(files));
        }
        self
    }

    /// Bytes in all files and links.
    pub fn content_bytes(&self) -> u64 {
        self.entries.values().map(|entry| entry.content.len() as u64).sum()
    }
}

fn difference(expected: &Entries, shown: &Entries) -> Option<String> {
    for (path, entry) in expected {
        match shown.get(path) {
            None => return Some(format!("{path} is missing (expected {entry:?})")),
            Some(found) if found == entry => {}
            Some(found) => return Some(describe(path, entry, found)),
        }
    }
    let extra = shown.iter().find(|(path, _)| !expected.contains_key(*path));
    extra.map(|(path, entry)| format!("{path} should not exist ({entry:?})"))
}

fn limit_links(entries: &mut Entries) {
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    for entry in entries.values() {
        *names.entry(entry.first_name.clone()).or_default() += 1;
    }
    for entry in entries.values_mut() {
        entry.links = entry.links.min(names[&entry.first_name]);
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

/// Walks a volume and reads all of it, the other indexes too where no file is open.
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
    observe_some(volume, hidden, |_| true)
}

/// As [`observe_beside`], but of the other indexes only those that are wanted: where there are hundreds, looking at all costs
/// minutes.
///
/// # Errors
/// As [`observe`].
pub fn observe_some<F: Flash>(
    volume: &mut Volume<'_, F>, hidden: &str, mut is_wanted: impl FnMut(&str) -> bool,
) -> Result<Tree, ObserveError> {
    let entries = all_entries(volume, hidden)?;
    let mut indexes = list_indexes(volume)?;
    let current = indexes.iter().find(|(_, index)| index.is_current).map(|(name, _)| name.clone());
    for (name, index) in indexes.iter_mut().filter(|(name, index)| !index.is_current && is_wanted(name)) {
        match volume.select_index(name) {
            Ok(()) => index.files = Some(Arc::new(all_entries(volume, hidden)?)),
            Err(Error::Busy) => break,
            Err(error) => return Err(ObserveError::Volume { path: format!("index {name}"), error }),
        }
    }
    if let Some(name) = current.filter(|_| indexes.values().any(|index| index.files.is_some())) {
        let back = volume.select_index(&name);
        back.map_err(|error| ObserveError::Volume { path: format!("index {name}"), error })?;
    }
    Ok(Tree { entries, indexes })
}

/// The indexes, not looked into; none where there is only the one that a volume begins with.
fn list_indexes<F: Flash>(volume: &mut Volume<'_, F>) -> Result<BTreeMap<String, TreeIndex>, ObserveError> {
    let fail = |error| ObserveError::Volume { path: "indexes".to_owned(), error };
    let mut indexes = BTreeMap::new();
    let mut cursor = volume.indexes();
    let mut name = [0; NAME_BYTES_MAX];
    while let Some(found) = volume.next_index(&mut cursor, &mut name).map_err(fail)? {
        let (writable, is_default, is_current) = (found.writable, found.is_default, found.is_current);
        let index = TreeIndex { writable, is_default, is_current, files: None };
        if indexes.insert(found.name.to_owned(), index).is_some() {
            return Err(ObserveError::Inconsistent { path: found.name.to_owned(), what: "index listed twice" });
        }
        if indexes.len() > OBJECTS_MAX {
            return Err(ObserveError::Endless { path: "indexes".to_owned() });
        }
    }
    if !indexes.values().any(|index| index.is_current) {
        return Err(ObserveError::Inconsistent { path: "indexes".to_owned(), what: "current index" });
    }
    let is_first = indexes.len() == 1 && indexes.get(INDEX_NAME_FIRST).is_some_and(|index| index.is_default);
    Ok(if is_first { BTreeMap::new() } else { indexes })
}

/// Everything in the index that is worked on.
fn all_entries<F: Flash>(volume: &mut Volume<'_, F>, hidden: &str) -> Result<Entries, ObserveError> {
    let mut tree = Entries::new();
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
            if tree.insert(path.clone(), entry).is_some() {
                return Err(ObserveError::Inconsistent { path, what: "listed twice" });
            }
        }
    }
    for (path, entry) in &mut tree {
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
