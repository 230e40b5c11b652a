//! Ways up and down the directories: without recursion, in little memory, and with an end on any image.

#[cfg(feature = "indexes")]
use super::DEPTH_MAX;
use super::Volume;
#[cfg(feature = "indexes")]
use super::inode::{NAME_VALUE_BYTES_MAX, ROOT};
use super::inode::{Name, NamePlace, name_key};
use super::types::Kind;
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::tree::Entry;

/// Bytes that a name takes at least, with the inode that it stands for.
const NAME_BYTES_MIN: u64 = 16;

impl<F: Flash> Volume<'_, F> {
    /// Refuses a directory with names on more than `levels` levels below it: `PathTooDeep`.
    ///
    /// Looks at every name below. The way back up is where each directory says that its name is.
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
        if !self.tree.next_beside(&from, &mut entry)? {
            return Ok(None);
        }
        self.read_target(entry.key.position, &entry.content).map(Some)
    }

    /// Puts the path of an object before `end` in `bytes` and tells where it starts; nothing for the root. Of a file with several
    /// names it is the one that the file knows: `NotFound` where that was taken away.
    #[cfg(feature = "indexes")]
    pub(super) fn prepend_path(&mut self, object: u64, bytes: &mut [u8], end: usize) -> Result<usize, Error> {
        let corrupt = Error::Corrupt { page: 0 };
        let (mut at, mut start) = (object, end);
        for _ in 0..DEPTH_MAX {
            if at == ROOT {
                return Ok(start);
            }
            let place = self.inode(at)?.place;
            if place == NamePlace::UNKNOWN {
                return Err(Error::NotFound);
            }
            let position = self.position_of(at, place)?.ok_or(corrupt)?;
            let mut entry = Entry::EMPTY;
            if !self.tree.get(&name_key(place.directory, position), &mut entry)? {
                return Err(corrupt);
            }
            start = self.prepend_name(&entry, bytes, start)?;
            at = place.directory;
        }
        Err(Error::PathTooDeep)
    }

    /// Puts a slash and the name that an entry has before `end` in `bytes` and tells where they start.
    #[cfg(feature = "indexes")]
    pub(super) fn prepend_name(&mut self, entry: &Entry, bytes: &mut [u8], end: usize) -> Result<usize, Error> {
        let mut name = [0u8; NAME_VALUE_BYTES_MAX];
        let (_, len) = self.read_name(entry.key.position, &entry.content, &mut name)?;
        let start = end.checked_sub(len + 1).ok_or(Error::PathTooLong)?;
        let part = bytes.get_mut(start..end).and_then(<[u8]>::split_first_mut).ok_or(Error::PathTooLong)?;
        *part.0 = b'/';
        for (to, from) in part.1.iter_mut().zip(&name) {
            *to = *from;
        }
        Ok(start)
    }
}
