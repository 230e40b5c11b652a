//! How far down a directory reaches: without recursion, in little memory, and with an end on any image.

use super::inode::{Name, name_key};
use super::types::Kind;
use super::{DEPTH_MAX, Volume};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::tree::Entry;

/// Bits of a position: a hash of 48 and a tie of 8.
const POSITION_BITS: u32 = 56;
/// Bytes that a name takes at least, with the inode that it stands for.
const NAME_BYTES_MIN: u64 = 16;

impl<F: Flash> Volume<'_, F> {
    /// Refuses a directory with names on more than `levels` levels below it: `PathTooDeep`.
    ///
    /// Looks at every name below. Of each level on the way down only the upper bits of the place are kept: they lead back
    /// to it past very few other names.
    #[inline(never)]
    pub(super) fn refuse_deeper(&mut self, top: u64, levels: usize) -> Result<(), Error> {
        let corrupt = Error::Corrupt { page: 0 };
        let mut trail = [0u16; DEPTH_MAX as usize];
        let (mut directory, mut level, mut from) = (top, 0, 0);
        // Twice as many names as the volume can hold: directories that lead to each other end here.
        let space = self.tree.log.pages.space;
        let names_max = u64::from(space.page_count()) * u64::from(space.payload) / NAME_BYTES_MIN;
        for _ in 0..2 * names_max {
            match self.next_below(directory, from)? {
                Some(_) if level >= levels => return Err(Error::PathTooDeep),
                Some(name) if name.kind == Kind::Directory => {
                    if self.inode(name.object)?.parent != directory {
                        return Err(corrupt);
                    }
                    *trail.get_mut(level).ok_or(Error::PathTooDeep)? = (name.position >> (POSITION_BITS - 16)) as u16;
                    (directory, level, from) = (name.object, level + 1, 0);
                }
                Some(name) => from = name.position.saturating_add(1),
                None if level == 0 => return Ok(()),
                None => {
                    level -= 1;
                    let near = trail.get(level).copied().unwrap_or(0);
                    let parent = self.inode(directory)?.parent;
                    from = self.behind(parent, u64::from(near) << (POSITION_BITS - 16), directory)?;
                    directory = parent;
                }
            }
        }
        Err(corrupt)
    }

    /// The place behind an object's name, which is at `near` or a little further on.
    fn behind(&mut self, directory: u64, near: u64, object: u64) -> Result<u64, Error> {
        let mut from = near;
        while let Some(name) = self.next_below(directory, from)? {
            from = name.position.saturating_add(1);
            if name.object == object {
                return Ok(from);
            }
        }
        Err(Error::Corrupt { page: 0 })
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
}
