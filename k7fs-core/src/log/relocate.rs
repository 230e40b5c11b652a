//! What happens when a program fails: the head's block is replaced under its feet.
//!
//! The pages of the failing block so far are copied to a fresh block at the same places within it, so that the addresses of
//! everything recent change their block and nothing else; bodies that run over pages stay in one piece. What the
//! tree refers to in the failing block stays readable there until the cleaner has moved it.

use super::alloc::{BadReason, Segment};
use super::heads::RETRIES_MAX;
use super::table::Place;
use super::{BlockState, HeadId, Log};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::page::{Header, PageKind, ProgramError};

/// Relocations remembered: an operation may hold addresses of before for as long as it runs.
pub(super) const RELOCATIONS_MAX: usize = 4;

/// A head's block that failed, from which page on it has nothing, and the block that has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relocation {
    failed_page: u32,
    old: u32,
    new: u32,
}

impl<F: Flash> Log<'_, F> {
    /// Where a page is that was under construction when its block failed.
    pub(super) fn relocated(&self, page: u32) -> u32 {
        let space = self.pages.space;
        let mut page = page;
        // In the order of the failures: a block's replacement may have failed after it.
        for relocation in &self.relocations {
            if space.block_of_page(page) == relocation.old && page >= relocation.failed_page {
                page = space.page_in_block(page, relocation.old, relocation.new);
            }
        }
        page
    }

    /// Puts bytes that are still in a head's memory on flash, so that what is written elsewhere may name their place, and
    /// tells that place: the block may fail on the way.
    pub(crate) fn make_durable(&mut self, place: &Place) -> Result<Place, Error> {
        let space = self.pages.space;
        let last = |place: &Place| space.page_of(space.advance(place.address, place.stored().max(1) - 1));
        for id in [HeadId::Front, HeadId::Moved] {
            if self.head(id).unwritten(self.relocated(last(place))).is_some() {
                self.flush(id)?;
            }
        }
        let mut place = *place;
        let end = last(&place);
        let block = space.block_of_page(self.relocated(end));
        if block != space.block_of_page(end) {
            place.address = space.in_block(place.address, block);
        }
        Ok(place)
    }

    /// Moves a head to a fresh block after programming its current page failed.
    pub(super) fn relocate(&mut self, id: HeadId) -> Result<(), Error> {
        let old = self.head(id).block.ok_or(Error::NeedsRemount)?;
        let failed_page = self.head(id).first_page + self.head(id).page;
        self.alloc.set_state(old, BlockState::Failing);
        for _ in 0..RETRIES_MAX {
            let new = self.take_free()?;
            self.generation = self.generation.wrapping_add(1);
            if self.copy_pages(id, old, new)? {
                if let Err(mut newest) = self.relocations.push(Relocation { failed_page, old, new }) {
                    // Every one takes the place of the one before; the oldest is forgotten.
                    for place in self.relocations.iter_mut().rev() {
                        newest = core::mem::replace(place, newest);
                    }
                }
                return self.replace_block(id, old, new);
            }
            self.retire(new, BadReason::Program);
        }
        Err(Error::WornOut)
    }

    /// Copies the head's pages so far; `false` where the new block fails as well.
    fn copy_pages(&mut self, id: HeadId, old: u32, new: u32) -> Result<bool, Error> {
        let space = self.pages.space;
        let life = self.alloc.erase_count(new);
        for index in 0..self.head(id).page {
            let sequence = self.next_sequence();
            let (from, to) = (space.first_page(old) + index, space.first_page(new) + index);
            let copied = self.pages.copy_page(from, to, |header| {
                // Commits keep their places: the failing block stays readable for as long as the log needs it.
                header.kind = copied_kind(id);
                header.sequence = sequence;
                header.life = life;
            });
            let result = match copied {
                // A page that a power cut tore, or that was skipped, has nothing to copy. But the new block has no traces of
                // it either, and a search for the last page would end at a row of such pages.
                Err(ProgramError::Other(error)) if error.is_damage() => {
                    // It may have been the one that said of the next block that it is erased.
                    self.head_mut(id).may_say_erased = false;
                    self.program_filler(id, to, sequence)
                }
                result => result,
            };
            match result {
                Ok(()) => {}
                Err(ProgramError::Failed) => return Ok(false),
                Err(ProgramError::Other(error)) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Programs a page without items.
    fn program_filler(&mut self, id: HeadId, page: u32, sequence: u64) -> Result<(), ProgramError> {
        let header = Header {
            kind: copied_kind(id),
            commit: false,
            next_erased: false,
            again: false,
            sequence,
            life: self.alloc.erase_count(self.pages.space.block_of_page(page)),
            first_item: self.pages.space.payload,
            last_commit: self.last_commit,
        };
        self.pages.program_payload(page, &header, &[])
    }

    /// Makes everything in memory that speaks of the old block speak of the new one.
    fn replace_block(&mut self, id: HeadId, old: u32, new: u32) -> Result<(), Error> {
        let space = self.pages.space;
        self.table.rename_block(&space, &mut self.alloc, old, new);
        self.rename_segments(old, new);
        let rename = |page: u32| space.page_in_block(page, old, new);
        let head = self.head_mut(id);
        head.block = Some(new);
        head.first_page = space.first_page(new);
        if id == HeadId::Moved {
            return Ok(());
        }
        let stated = if self.front.page > 0 {
            let (old, new) = (self.front.first_sequence, self.pages.header(space.first_page(new))?.sequence);
            self.front.first_sequence = new;
            self.checkpoint.reached.of_next(old)
        } else {
            // It was the planned successor of the block before, and is erased.
            Some(true)
        };
        self.note_next(stated);
        self.transaction_start = self.transaction_start.map(rename);
        let begins =
            [Some(&mut self.checkpoint.front_block), self.merge_start.as_mut().map(|start| &mut start.front_block)];
        for block in begins.into_iter().flatten().filter(|block| **block == old) {
            *block = new;
        }
        self.add_jump(old, new)
    }

    /// Segments of the allocation table that were just written may have run into the failing page.
    fn rename_segments(&mut self, old: u32, new: u32) {
        let space = self.pages.space;
        for index in 0..self.alloc.segments.len() {
            let Some((address, len)) = self.alloc.segment(index) else { continue };
            if space.block_of(address) == old {
                self.alloc.subtract(old, len);
                self.alloc.add(new, len);
                if let Some(segment) = self.alloc.segments.get_mut(index) {
                    *segment = Segment::new(space.in_block(address, new), len);
                }
            }
        }
    }
}

/// Copies of the log's pages must not pass for the log where the copying was cut; nobody looks for those of moved data.
fn copied_kind(id: HeadId) -> PageKind {
    match id {
        HeadId::Front => PageKind::Copied,
        HeadId::Moved => PageKind::Moved,
    }
}
