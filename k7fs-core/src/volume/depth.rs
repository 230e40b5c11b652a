//! Ways up and down the directories: without recursion, in little memory, and with an end on any image.

use super::inode::{NAME_VALUE_BYTES_MAX, Name, NamePlace, ROOT, name_key};
use super::types::Kind;
use super::{DEPTH_MAX, Volume};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::tree::Entry;

/// Bytes that a name takes at least, with the inode that it stands for.
const NAME_BYTES_MIN: u64 = 16;

impl<F: Flash> Volume<'_, F> {
    /// Refuses a directory with names on more than `levels` levels below it: `PathTooDeep`.
    ///
    /// Looks at every name below. The way back up is that of [`path_of`](Self::path_of).
    #[inline(never)]
    pub(super) fn refuse_deeper(&mut self, top: u64, levels: usize) -> Result<(), Error> {
        let corrupt = Error::Corrupt { page: 0 };
        let (mut directory, mut level, mut from) = (top, 0, 0);
        // Twice as many names as the volume can hold: directories that lead to each other end here.
        let space = self.tree.log.pages.space;
        let names_max = u64::from(space.page_count()) * u64::from(space.payload) / NAME_BYTES_MIN;
        for _ in 0..2 * names_max {
            match self.next_below(directory, from)? {
                Some(_) if level >= levels => return Err(Error::PathTooDeep),
                Some(name) if name.kind == Kind::Directory => {
                    if self.inode(name.object)?.place != NamePlace::new(directory, name.position) {
                        return Err(corrupt);
                    }
                    (directory, level, from) = (name.object, level + 1, 0);
                }
                Some(name) => from = name.position.saturating_add(1),
                None if level == 0 => return Ok(()),
                None => {
                    level -= 1;
                    let place = self.inode(directory)?.place;
                    let position = self.position_of(directory, place)?.ok_or(corrupt)?;
                    (directory, from) = (place.directory, position.saturating_add(1));
                }
            }
        }
        Err(corrupt)
    }

    /// Where exactly an object's name is.
    fn position_of(&mut self, object: u64, place: NamePlace) -> Result<Option<u64>, Error> {
        let mut from = place.from();
        while let Some(name) = self.next_below(place.directory, from)? {
            if NamePlace::new(place.directory, name.position) != place {
                break;
            }
            if name.object == object {
                return Ok(Some(name.position));
            }
            from = name.position.saturating_add(1);
        }
        Ok(None)
    }

    /// The first name in a directory from a place on.
    fn next_below(&mut self, directory: u64, from: u64) -> Result<Option<Name>, Error> {
        let from = name_key(directory, from);
        let mut entry = Entry::EMPTY;
        if !self.tree.next(&from, &mut entry)? || !entry.key.is_beside(&from) {
            return Ok(None);
        }
        self.read_target(entry.key.position, &entry.content).map(Some)
    }

    /// The path of an object, at the end of `bytes`: of a file with several names, the one that it knows.
    pub(super) fn find_path<'p>(&mut self, object: u64, bytes: &'p mut [u8]) -> Result<&'p str, Error> {
        let corrupt = Error::Corrupt { page: 0 };
        let mut name = [0u8; NAME_VALUE_BYTES_MAX];
        let mut entry = Entry::EMPTY;
        let (mut at, mut start) = (object, bytes.len());
        for _ in 0..DEPTH_MAX {
            if at == ROOT {
                break;
            }
            let place = self.inode(at)?.place;
            if place == NamePlace::UNKNOWN {
                return Err(Error::NotFound);
            }
            let position = self.position_of(at, place)?.ok_or(corrupt)?;
            if !self.tree.get(&name_key(place.directory, position), &mut entry)? {
                return Err(corrupt);
            }
            let (_, len) = self.read_name(position, &entry.content, &mut name)?;
            start = start.checked_sub(len + 1).ok_or(Error::PathTooLong)?;
            let part = bytes.get_mut(start..start + len + 1).and_then(<[u8]>::split_first_mut).ok_or(corrupt)?;
            *part.0 = b'/';
            for (to, from) in part.1.iter_mut().zip(&name) {
                *to = *from;
            }
            at = place.directory;
        }
        if at != ROOT {
            return Err(Error::PathTooDeep);
        }
        let path = bytes.get(start..).unwrap_or_default();
        core::str::from_utf8(if path.is_empty() { b"/" } else { path }).map_err(|_| corrupt)
    }
}
