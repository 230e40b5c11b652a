//! Defragmenting: content that lies in pieces, or here and there, is written again as few records in order.

use heapless::Vec;

use super::Volume;
use super::extents::{Extent, FRAGMENTS_SEEN, PIECE_ROWS_MAX, extent_key};
use super::file::BOOKKEEPING_BYTES;
use super::types::{DefragmentCursor, Kind};
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::log::Place;
use crate::tree::{Demand, Entry, KIND_EXTENT};

/// Bytes of a file that are looked at together, where logical blocks are smaller.
const STRETCH_BYTES: u64 = 32 << 10;
/// Extents so many pages behind each other are in order: commits and nodes may have come between them.
const NEAR_PAGES: u32 = 8;
/// Places in a stretch where the order breaks off without harm: a checkpoint may have been written there, a block may end.
const BREAKS_MAX: u32 = 2;
/// Extents of a stretch that are looked at.
const STRETCH_EXTENTS_MAX: usize = 256;

impl<F: Flash> Volume<'_, F> {
    /// A cursor for [`next_defragment`](Self::next_defragment) at the start of a file.
    ///
    /// # Errors
    /// `IsADirectory`, `IsSpecial`, `ReadOnly`, those of the path.
    pub fn defragment(&mut self, path: &str) -> Result<DefragmentCursor, Error> {
        self.writable()?;
        let (object, inode) = self.existing(path)?;
        match inode.kind {
            Kind::File | Kind::Symlink => {
                let object = inode.content(object);
                Ok(DefragmentCursor { object, offset: 0, until: 0, is_volume: false })
            }
            Kind::Directory => Err(Error::IsADirectory),
            _ => Err(Error::IsSpecial),
        }
    }

    /// A cursor for [`next_defragment`](Self::next_defragment) at the first file of the index that is worked on.
    ///
    /// # Errors
    /// `ReadOnly`.
    pub fn defragment_all(&mut self) -> Result<DefragmentCursor, Error> {
        self.writable()?;
        Ok(DefragmentCursor { object: 0, offset: 0, until: 0, is_volume: true })
    }

    /// One bounded step of defragmenting: at most a logical block is written again, in one commit, or a stretch of 32 KiB (a
    /// logical block where those are longer) is found to be in order. Tells how many bytes it has written; `None` at the end.
    ///
    /// Any other operation may come between two steps, and the cursor may be dropped at any of them. What another index shares stays
    /// where it is, and so does what is compressed or cannot be read. Takes no capacity, but free blocks for a moment.
    ///
    /// # Errors
    /// `Busy` within a transaction, `ReadOnly`, `NoSpace` (nothing has changed), or what the chip meets.
    pub fn next_defragment(&mut self, cursor: &mut DefragmentCursor) -> Result<Option<u64>, Error> {
        self.writable()?;
        if self.in_transaction {
            return Err(Error::Busy);
        }
        self.commit()?;
        Ok(self.defragment_step(cursor)?)
    }

    fn defragment_step(&mut self, cursor: &mut DefragmentCursor) -> Result<Option<u64>, inner::Error> {
        let from = extent_key(cursor.object, cursor.offset);
        let mut entry = Entry::EMPTY;
        let more = self.tree.next(&from, &mut entry)? && entry.key.kind == KIND_EXTENT;
        if !more || !(cursor.is_volume || entry.key.object == cursor.object) {
            return Ok(None);
        }
        let (object, start) = (entry.key.object, entry.key.position);
        if object != cursor.object {
            (cursor.object, cursor.until) = (object, 0);
        }
        if start >= cursor.until {
            let stretch = STRETCH_BYTES.max(self.logical_block());
            let end = (start / stretch).saturating_add(1).saturating_mul(stretch);
            if !self.is_fragmented(object, start, end)? {
                cursor.go_on(start, end);
                return Ok(Some(0));
            }
            cursor.until = end;
        }
        // Only now: where blocks are short, room is made by cleaning, which takes far longer than looking.
        let room = self.logical_block().min(self.record_max()) + BOOKKEEPING_BYTES;
        self.make_room(&Demand { bytes: room, growth: 0, rows: PIECE_ROWS_MAX })?;
        let run = self.run_from(object, start)?;
        // Another index may have come to share it since it was looked at.
        let end = run.last().map_or(start.saturating_add(entry.content.len().into()), Extent::end);
        let written = self.change(|volume| volume.write_in_order(object, &run));
        cursor.go_on(start, end);
        match written {
            // Whoever reads it hears of it.
            Err(error) if error.is_damage() => Ok(Some(0)),
            Err(error) => Err(error),
            Ok(()) => {
                self.commit()?;
                Ok(Some(end.saturating_sub(start)))
            }
        }
    }

    /// Whether a part of a file that this index alone has could be fewer extents, or lies out of order.
    fn is_fragmented(&mut self, object: u64, start: u64, end: u64) -> Result<bool, inner::Error> {
        let mut before: Option<Extent> = None;
        let mut from = start;
        let (mut found, mut breaks) = (false, 0);
        for _ in 0..STRETCH_EXTENTS_MAX {
            let Some(extent) = self.next_extent(object, from)?.filter(|extent| extent.start < end) else { break };
            if !extent.is_own || self.compressed(&extent)?.is_some() {
                return Ok(false);
            }
            if let Some(before) = before {
                found |= self.belong_together(&before, &extent);
                breaks += u32::from(!self.is_near(&before, &extent));
            }
            from = extent.start.saturating_add(1);
            before = Some(extent);
        }
        Ok(found || breaks > BREAKS_MAX)
    }

    /// Whether two neighbours could be one record.
    fn belong_together(&self, left: &Extent, right: &Extent) -> bool {
        left.end() == right.start && self.fits_one_record(left, right)
    }

    /// Whether one lies behind the other, or where a block begins.
    fn is_near(&self, left: &Extent, right: &Extent) -> bool {
        let space = &self.tree.log.pages.space;
        let end = space.page_of(space.advance(left.address, left.len.saturating_sub(1)));
        let start = space.page_of(right.address);
        let block = space.block_of_page(start);
        if block == space.block_of_page(end) {
            (end..=end.saturating_add(NEAR_PAGES)).contains(&start)
        } else {
            start - space.first_page(block) <= NEAR_PAGES
        }
    }

    /// The extent at a place and its neighbours, as many as one record takes. Only what this index alone has.
    fn run_from(&mut self, object: u64, start: u64) -> Result<Vec<Extent, FRAGMENTS_SEEN>, inner::Error> {
        let mut run: Vec<Extent, FRAGMENTS_SEEN> = Vec::new();
        let mut from = start;
        while let Some(extent) = self.next_extent(object, from)? {
            let fits = match (run.first(), run.last()) {
                (Some(first), Some(last)) => last.end() == extent.start && self.fits_one_record(first, &extent),
                _ => true,
            };
            if !fits || !extent.is_own || self.compressed(&extent)?.is_some() || run.push(extent).is_err() {
                break;
            }
            from = extent.start.saturating_add(1);
        }
        Ok(run)
    }

    /// Whether what lies from one extent to another is in one logical block and not too long.
    fn fits_one_record(&self, first: &Extent, last: &Extent) -> bool {
        let block = self.logical_block();
        let most = if self.is_verified() { self.stored_record_max().into() } else { self.record_max() };
        first.start / block == last.start / block && last.end().saturating_sub(first.start) <= most
    }

    fn write_in_order(&mut self, object: u64, run: &[Extent]) -> Result<(), inner::Error> {
        if self.is_verified() || run.iter().any(|extent| extent.packed.is_some()) {
            return self.rewrite_run(object, run);
        }
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let parts = run.iter().map(|extent| (Place::value(extent.address, extent.len), 0));
        self.tree.put_gathered(extent_key(object, first.start), (last.end() - first.start) as u32, parts)?;
        for extent in run.iter().skip(1) {
            self.tree.delete(extent_key(object, extent.start))?;
        }
        Ok(())
    }
}

impl DefragmentCursor {
    /// Goes on behind `end`, which lies behind `start` in any file that makes sense.
    fn go_on(&mut self, start: u64, end: u64) {
        if end > start && end < u64::MAX {
            self.offset = end;
        } else {
            // No content has the number 0: behind the last object there is nothing.
            (self.object, self.offset) = (self.object.wrapping_add(1), 0);
            self.is_volume &= self.object != 0;
        }
    }
}
