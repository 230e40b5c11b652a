//! Lists what a mounted volume holds.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, Kind, Metadata, NAME_BYTES_MAX, Volume};

use super::error::HostError;

/// One object of a volume, by one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path from the root, beginning with `/`.
    pub path: String,
    /// What is known about the object.
    pub metadata: Metadata,
}

/// The path of `name` in the directory at `directory`.
pub fn join(directory: &str, name: &str) -> String {
    if directory.ends_with('/') { format!("{directory}{name}") } else { format!("{directory}/{name}") }
}

/// A path as a user writes it, from the root: `a//b/` means `/a/b`.
///
/// # Errors
/// `Object` with `NameEmpty` for an empty path.
pub fn absolute(path: &str) -> Result<String, HostError> {
    if path.is_empty() {
        return Err(HostError::Object { path: path.to_owned(), error: Error::NameEmpty });
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    Ok(format!("/{}", parts.join("/")))
}

/// The names in a directory with their metadata, sorted by name.
///
/// # Errors
/// `Object` with the path that the volume refused.
pub fn list<F: Flash>(volume: &mut Volume<'_, F>, directory: &str) -> Result<Vec<Entry>, HostError> {
    let names = names(volume, directory).map_err(HostError::object(directory))?;
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        let path = join(directory, &name);
        let metadata = volume.metadata(&path).map_err(HostError::object(&path))?;
        entries.push(Entry { path, metadata });
    }
    Ok(entries)
}

fn names<F: Flash>(volume: &mut Volume<'_, F>, directory: &str) -> Result<Vec<String>, Error> {
    let mut cursor = volume.read_dir(directory)?;
    let mut name = [0; NAME_BYTES_MAX];
    let mut names = Vec::new();
    while let Some(entry) = volume.next_entry(&mut cursor, &mut name)? {
        names.push(entry.name.to_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// Everything below a directory, each directory before what it holds, names in order. The directory itself is left
/// out.
///
/// # Errors
/// `Object` with the path that the volume refused. `PathTooDeep` ends a walk that does not end by itself.
pub fn walk<F: Flash>(volume: &mut Volume<'_, F>, directory: &str) -> Result<Vec<Entry>, HostError> {
    let mut found = Vec::new();
    let mut pending = list(volume, directory)?;
    pending.reverse();
    while let Some(entry) = pending.pop() {
        if entry.metadata.kind == Kind::Directory {
            if entry.path.len() > k7fs_core::PATH_BYTES_MAX {
                return Err(HostError::object(&entry.path)(Error::PathTooLong));
            }
            let mut below = list(volume, &entry.path)?;
            below.reverse();
            pending.append(&mut below);
        }
        found.push(entry);
    }
    Ok(found)
}
