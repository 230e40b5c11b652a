//! Asks a volume for everything that must be there, and takes note of what it cannot tell.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, Kind, NAME_BYTES_MAX, Volume};

use crate::model::{Tree, TreeEntry, Violation, observe_extra};

/// What a volume could not tell, with what it should have told.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Objects of which all but the content is there.
    pub(super) content: Vec<(String, TreeEntry)>,
    /// Objects of which an attribute is missing.
    pub(super) attributes: Vec<(String, TreeEntry)>,
    /// Directories that cannot be listed, and objects of which nothing is known.
    pub(super) names: Vec<String>,
    /// The tree lacks a leaf, whether anything of it was asked for or not.
    pub(super) has_lost_leaf: bool,
    /// Objects have more links than names: a tree that is being removed has the others, and cannot be read to its end.
    pub(super) has_more_links: bool,
}

impl Survey {
    /// Whether nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.content.is_empty() && self.attributes.is_empty() && self.names.is_empty()
    }
}

/// Compares everything with a tree.
///
/// # Errors
/// The first answer that is wrong, and the first error that is not excused.
pub(super) fn survey<F: Flash>(
    volume: &mut Volume<'_, F>, tree: &Tree, is_excused: &dyn Fn(Error) -> bool,
) -> Result<Survey, Violation> {
    let mut asking = Asking { volume, tree, is_excused, found: Survey::default() };
    asking.list("/")?;
    for (path, entry) in &tree.entries {
        asking.ask(path, entry)?;
    }
    Ok(asking.found)
}

struct Asking<'a, 'v, F: Flash> {
    volume: &'a mut Volume<'v, F>,
    tree: &'a Tree,
    is_excused: &'a dyn Fn(Error) -> bool,
    found: Survey,
}

impl<F: Flash> Asking<'_, '_, F> {
    /// What was answered; `None` where that is excused.
    fn answer<T>(&self, path: &str, result: Result<T, Error>) -> Result<Option<T>, Violation> {
        match result {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if (self.is_excused)(error) => Ok(None),
            Err(error) => Err(Violation::caused_by(format!("{path}: {error:?}"), error)),
        }
    }

    fn ask(&mut self, path: &str, entry: &TreeEntry) -> Result<(), Violation> {
        let metadata = self.volume.metadata(path);
        let Some(metadata) = self.answer(path, metadata)? else {
            self.found.names.push(path.to_owned());
            return Ok(());
        };
        let is_directory = entry.kind == Kind::Directory;
        let size_differs = !is_directory && metadata.size != entry.content.len() as u64;
        self.found.has_more_links |= metadata.links > entry.links;
        if metadata.kind != entry.kind || metadata.links < entry.links || size_differs {
            return Err(Violation::new(format!("{path} is {metadata:?}, expected {entry:?}")));
        }
        if is_directory {
            self.list(path)?;
        }
        self.ask_content(path, entry)?;
        let extra = observe_extra(self.volume, path, entry.kind);
        match self.answer(path, extra)? {
            None => self.found.attributes.push((path.to_owned(), entry.clone())),
            Some(extra) if extra == entry.extra => {}
            Some(extra) => return Err(Violation::new(format!("{path} has {extra:?}, expected {:?}", entry.extra))),
        }
        Ok(())
    }

    fn ask_content(&mut self, path: &str, entry: &TreeEntry) -> Result<(), Violation> {
        let mut bytes = vec![0; entry.content.len()];
        let length = match entry.kind {
            Kind::File => self.volume.read(path, &mut bytes),
            Kind::Symlink => self.volume.read_link(path, &mut bytes).map(str::len),
            _ => return Ok(()),
        };
        match self.answer(path, length)? {
            None => self.found.content.push((path.to_owned(), entry.clone())),
            Some(length) if length == bytes.len() && bytes == *entry.content => {}
            Some(_) => return Err(Violation::new(format!("{path} has other content"))),
        }
        Ok(())
    }

    /// A directory shows no name that it does not have, and all where it comes to its end.
    fn list(&mut self, path: &str) -> Result<(), Violation> {
        let cursor = self.volume.read_dir(path);
        let Some(mut cursor) = self.answer(path, cursor)? else {
            self.found.names.push(path.to_owned());
            return Ok(());
        };
        let directory = path.trim_end_matches('/');
        let mut name = [0; NAME_BYTES_MAX];
        let mut shown = Vec::new();
        loop {
            let entry = self.volume.next_entry(&mut cursor, &mut name);
            let entry = entry.map(|entry| entry.map(|entry| (format!("{directory}/{}", entry.name), entry.kind)));
            let Some(entry) = self.answer(path, entry)? else {
                self.found.names.push(path.to_owned());
                return Ok(());
            };
            let Some((child, kind)) = entry else { break };
            if self.tree.entries.get(&child).is_none_or(|known| known.kind != kind) || shown.contains(&child) {
                return Err(Violation::new(format!("{path} shows {child}, {kind:?}")));
            }
            shown.push(child);
        }
        let is_below = |child: &&String| child.rsplit_once('/').is_some_and(|(above, _)| above == directory);
        let expected = self.tree.entries.keys().filter(is_below);
        match expected.into_iter().find(|child| !shown.contains(child)) {
            Some(missing) => Err(Violation::new(format!("{missing} is missing"))),
            None => Ok(()),
        }
    }
}
