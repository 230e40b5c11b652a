//! Content: extents of a file, in records.
//!
//! An extent's key is where it starts in the file; its value is the bytes themselves, on flash, or a part of a packed
//! record's content (see `packed`). Extents never overlap and never cross a logical block; what no extent covers reads as zeros.

use heapless::Vec;

use super::{SHARING, Volume};
use crate::codec::{CodecId, Codecs, PACKED};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::log::{Beside, HeadId, Key, Packed, Place};
use crate::page::{Address, Space};
use crate::tree::{Content, Entry, KIND_EXTENT};

/// Extents in a logical block before the small ones are merged.
const FRAGMENTS_MAX: usize = 16;
/// Extents that one look at a logical block takes in.
pub(super) const FRAGMENTS_SEEN: usize = FRAGMENTS_MAX + 4;
/// Extents are joined with what is appended to them up to this part of a page.
const JOINED_PART: u64 = 4;
/// The smallest window: 4 KiB.
const WINDOW_MIN_LOG2: u32 = 12;
/// Records of the longest kind that a larger window takes.
const RECORDS_PER_WINDOW: u64 = 4;
/// Extents that merging a run of neighbours saves, at least, where it is worth the while.
const SAVED_MIN: usize = 2;
/// Rows that writing one piece needs besides those for extents it deletes: what it cuts, its own, the inode.
const PIECE_ROWS_MIN: usize = 6;
/// Rows that writing one piece may need; the smallest table takes 28.
pub(super) const PIECE_ROWS_MAX: usize = FRAGMENTS_SEEN + PIECE_ROWS_MIN;

/// Bytes of a file on flash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) address: Address,
    pub(super) len: u32,
    /// The part of a packed record that it is.
    pub(super) packed: Option<Packed>,
    /// No other index sees it: it was written by this one.
    pub(super) is_own: bool,
}

/// How a piece of a file is written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Piece {
    /// Leaves as few extents in the logical block as before: on a full volume, what is overwritten in pieces may not grow by
    /// the pieces' bookkeeping.
    pub(super) whole: bool,
    /// The file ends with it.
    pub(super) is_last: bool,
    /// The codec that was chosen for the file.
    pub(super) codec: Option<CodecId>,
}

/// The extents around a range of a file.
struct Around {
    /// The last one that begins before it.
    before: Option<Extent>,
    /// How many lie within it, or reach into it.
    hidden: usize,
    /// How many begin in its window.
    count: usize,
}

impl Extent {
    #[inline(never)]
    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.len.into())
    }

    /// All of it.
    pub(super) fn whole(&self) -> Place {
        let beside = self.packed.map_or(Beside::Nothing, Beside::Packed);
        Place { address: self.address, len: self.len, beside }
    }

    /// The part from `skip` on, of `len` bytes.
    fn part(&self, space: &Space, skip: u32, len: u32) -> Place {
        match self.packed {
            None => Place::value(space.advance(self.address, skip), len),
            Some(packed) => {
                let skip = packed.skip.saturating_add(skip);
                Place::packed(self.address, len, Packed { skip, ..packed })
            }
        }
    }
}

pub(super) fn extent_key(object: u64, start: u64) -> Key {
    Key { kind: KIND_EXTENT, object, position: start, index: 0 }
}

impl<F: Flash> Volume<'_, F> {
    pub(super) fn logical_block(&self) -> u64 {
        1 << self.tree.log.signature.logical_block_log2
    }

    /// The first extent of an object that starts at or after `from`.
    pub(super) fn next_extent(&mut self, object: u64, from: u64) -> Result<Option<Extent>, Error> {
        let from = extent_key(object, from);
        let mut entry = Entry::EMPTY;
        if !self.tree.next_beside(&from, &mut entry)? {
            return Ok(None);
        }
        match entry.content {
            Content::At(place) if place.len > 0 => {
                let (start, is_own) = (entry.key.position, entry.key.index == self.tree.view.id());
                let (address, len, packed) = (place.address, place.len, place.part());
                Ok(Some(Extent { start, address, len, packed, is_own }))
            }
            _ => Err(Error::Corrupt { page: 0 }),
        }
    }

    /// The first extent that reaches beyond `offset`.
    pub(super) fn extent_at(&mut self, object: u64, offset: u64) -> Result<Option<Extent>, Error> {
        let mut from = offset - offset % self.logical_block();
        // Extents do not cross logical blocks, and there is at least one byte in each.
        for _ in 0..=self.logical_block() {
            match self.next_extent(object, from)? {
                Some(extent) if extent.end() <= offset => from = extent.start + 1,
                found => return Ok(found),
            }
        }
        Ok(None)
    }

    /// Reads content; what no extent covers is zero. The caller has cut the range at the file's end.
    pub(super) fn read_content(&mut self, object: u64, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let extent = self.extent_at(object, at)?;
            let gap = extent.map_or(u64::MAX, |extent| extent.start.saturating_sub(at));
            let zeros = usize::try_from(gap).unwrap_or(usize::MAX).min(rest.len());
            let (hole, later) = rest.split_at_mut_checked(zeros).ok_or(Error::NeedsRemount)?;
            self.read_below(object, at, hole)?;
            rest = later;
            at += zeros as u64;
            let Some(extent) = extent.filter(|_| !rest.is_empty()) else { continue };
            let skip = at.saturating_sub(extent.start) as u32;
            let here = (extent.len.saturating_sub(skip) as usize).min(rest.len());
            let (now, later) = rest.split_at_mut_checked(here).ok_or(Error::NeedsRemount)?;
            self.read_extent(&extent, skip, now)?;
            rest = later;
            at += here as u64;
        }
        Ok(())
    }

    /// Bytes of a range that extents of this index alone cover already: what an overwrite does not add.
    pub(super) fn covered(&mut self, object: u64, offset: u64, len: u64) -> Result<u64, Error> {
        let end = offset.saturating_add(len);
        let mut covered = 0;
        let mut at = offset;
        while let Some(extent) = self.extent_at(object, at)? {
            if extent.start >= end {
                break;
            }
            covered += match extent.packed {
                _ if !extent.is_own => 0,
                // A compressed record goes as a whole or not at all.
                Some(packed) if self.may_be_compressed() => {
                    let goes = extent.start >= offset && extent.end() <= end && packed.skip == 0;
                    if goes { extent.len.min(packed.stored).into() } else { 0 }
                }
                _ => extent.end().min(end) - extent.start.max(offset),
            };
            at = extent.end();
            if at >= end {
                break;
            }
        }
        Ok(covered)
    }

    /// Looks at the extents around a range that is about to be written, within one window.
    fn look_around(&mut self, object: u64, offset: u64, len: u64) -> Result<Around, Error> {
        let mut around = Around { before: None, hidden: 0, count: 0 };
        let window = offset - offset % self.window();
        let end = window + self.window();
        // One that begins in a window before this one may reach into it.
        let mut from = offset - offset % self.logical_block();
        while let Some(extent) = self.next_extent(object, from)?.filter(|extent| extent.start < end) {
            around.count += usize::from(extent.start >= window);
            around.hidden += usize::from(extent.end() > offset && extent.start < offset + len);
            if extent.start < offset {
                around.before = Some(extent);
            }
            from = extent.start + 1;
        }
        Ok(around)
    }

    /// Rows that writing a piece needs, looked up: all extents of its window where they have to be merged, else those
    /// within its range.
    pub(super) fn piece_rows(&mut self, object: u64, offset: u64, len: u64) -> Result<usize, Error> {
        let Around { hidden, count, .. } = self.look_around(object, offset, len)?;
        // Cutting an extent in two makes one more, and the piece is one.
        let dropped = if count + 2 > self.fragments_max() { count.min(FRAGMENTS_SEEN) } else { hidden };
        Ok(dropped + PIECE_ROWS_MIN + self.record_rows(len))
    }

    /// Takes a range out of the extents, within one logical block. The extent that starts at `offset` stays for the caller to
    /// overwrite when `keep_first` is set.
    pub(super) fn cut(&mut self, object: u64, offset: u64, end: u64, keep_first: bool) -> Result<(), Error> {
        let mut next = self.extent_at(object, offset)?;
        while let Some(extent) = next.filter(|extent| extent.start < end) {
            if extent.end() > end {
                let skip = (end - extent.start) as u32;
                let rest = extent.part(&self.tree.log.pages.space, skip, (extent.end() - end) as u32);
                self.tree.put_reference(extent_key(object, end), &rest)?;
            }
            if extent.start < offset {
                self.keep_start(object, &extent, offset)?;
            } else if extent.start > offset || !keep_first {
                self.tree.delete(extent_key(object, extent.start))?;
            }
            next = self.next_extent(object, extent.end())?;
        }
        Ok(())
    }

    /// Cuts the extent that reaches over an offset down to it.
    pub(super) fn shorten_extent(&mut self, object: u64, offset: u64) -> Result<(), Error> {
        match self.extent_at(object, offset)? {
            Some(extent) if extent.start < offset => self.keep_start(object, &extent, offset),
            _ => Ok(()),
        }
    }

    /// Ends an extent at an offset in the file.
    fn keep_start(&mut self, object: u64, extent: &Extent, end: u64) -> Result<(), Error> {
        let start = Place { len: (end - extent.start) as u32, ..extent.whole() };
        self.tree.put_reference(extent_key(object, extent.start), &start)
    }

    /// Writes all of a file's content; the caller has made sure that it takes few pieces.
    pub(super) fn write_pieces(
        &mut self, object: u64, bytes: &[u8], codec: Option<CodecId>, whole: bool,
    ) -> Result<(), Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = (bytes.len() - rest.len()) as u64;
            let done = self.write_piece(object, at, rest, Piece { whole, is_last: true, codec })?;
            rest = rest.get(done..).ok_or(Error::NeedsRemount)?;
        }
        Ok(())
    }

    /// Writes bytes that lie within one logical block, and tells how many: all where they are compressed, which a whole block or
    /// all of a file's last one may be; otherwise those of the first window.
    pub(super) fn write_piece(&mut self, object: u64, offset: u64, bytes: &[u8], piece: Piece) -> Result<usize, Error> {
        let block = self.logical_block();
        let is_block = offset.is_multiple_of(block) && (bytes.len() as u64 == block || piece.is_last);
        if is_block && self.write_compressed(object, offset, bytes, piece.codec)? {
            return Ok(bytes.len());
        }
        let in_window = self.window() - offset % self.window();
        let bytes = bytes.get(..bytes.len().min(in_window as usize)).unwrap_or_default();
        let around = self.look_around(object, offset, bytes.len() as u64)?;
        let small_before = around.before.filter(|before| self.is_joined_with(before, offset, bytes.len()));
        if around.hidden > 0 {
            self.cut(object, offset, offset + bytes.len() as u64, small_before.is_none())?;
        }
        if let Some(before) = small_before {
            self.tree.put_joined(extent_key(object, before.start), &before.whole(), bytes)?;
            return Ok(bytes.len());
        }
        // What is cut in two is one more.
        let mut count = around.count + 1;
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            count += 1;
            let key = extent_key(object, at);
            let done = if self.is_verified() {
                self.put_stored(key, rest)?
            } else {
                let room = self.tree.log.room(HeadId::Front)? as usize;
                let now = rest.get(..rest.len().min(room)).ok_or(Error::NeedsRemount)?;
                self.tree.put(key, now)?;
                now.len()
            };
            at += done as u64;
            rest = rest.get(done..).ok_or(Error::NeedsRemount)?;
        }
        if piece.whole || count > self.fragments_max() {
            self.merge_fragments(object, offset, piece.whole)?;
        }
        Ok(bytes.len())
    }

    /// Whether an extent ends at `offset` and is at hand, and it and `len` bytes more take only a small part of a page: on
    /// large pages it costs nothing to write both as one, and appends of a few bytes make few extents.
    fn is_joined_with(&self, before: &Extent, offset: u64, len: usize) -> bool {
        let most = u64::from(self.tree.log.pages.space.payload) / JOINED_PART;
        u64::from(before.len) + len as u64 <= most
            && before.end() == offset
            && before.packed.is_none()
            && !offset.is_multiple_of(self.logical_block())
            && !self.is_verified()
            && self.tree.log.is_at_hand(&before.whole())
    }

    /// Keeps the number of extents in a logical block bounded.
    #[inline(never)]
    fn merge_fragments(&mut self, object: u64, offset: u64, whole: bool) -> Result<(), Error> {
        let block = self.window();
        let start = offset - offset % block;
        let mut extents: Vec<Extent, FRAGMENTS_SEEN> = Vec::new();
        let mut from = start;
        while let Some(extent) = self.next_extent(object, from)? {
            if extent.start >= start + block || extents.push(extent).is_err() {
                break;
            }
            from = extent.start + 1;
        }
        if whole {
            let run = run_around(&extents, offset, self.record_max());
            return self.merge_run(object, extents.get(run).unwrap_or_default());
        }
        if extents.len() <= self.fragments_max() {
            return Ok(());
        }
        let run = self.run_to_merge(&extents);
        self.merge_run(object, extents.get(run).unwrap_or_default())
    }

    /// The neighbours to merge: few pages where some are small enough, because somebody waits; else as many as one record takes.
    fn run_to_merge(&self, extents: &[Extent]) -> core::ops::Range<usize> {
        let most = self.record_max();
        let mut small = 2 * u64::from(self.tree.log.pages.space.payload);
        while small < most {
            let run = longest_run(extents, small, false);
            if run.len() > self.record_rows(small) + SAVED_MIN {
                return run;
            }
            small *= 2;
        }
        longest_run(extents, most, true)
    }

    /// Bytes of a record that fits a block, whatever its size.
    pub(super) fn record_max(&self) -> u64 {
        let space = self.tree.log.pages.space;
        u64::from(space.block_payload().saturating_sub(2 * space.payload.min(256)))
    }

    /// Writes neighbours, and the holes between them, as one extent.
    fn merge_run(&mut self, object: u64, run: &[Extent]) -> Result<(), Error> {
        let most = self.record_max();
        let Some(first) = run.first() else { return Ok(()) };
        let run_len = run.iter().take_while(|extent| extent.end() - first.start <= most).count();
        let run = run.get(..run_len).unwrap_or_default();
        let (Some(last), true) = (run.last(), run.len() > 1) else { return Ok(()) };
        let is_packed = self.is_verified() || PACKED && run.iter().any(|extent| extent.packed.is_some());
        if is_packed || SHARING && self.has_parts(object, 0)? {
            return self.merge_packed_run(object, run);
        }
        let parts = run.iter().scan(first.start, |at, extent| {
            let zeros_before = (extent.start - *at) as u32;
            *at = extent.end();
            Some((Place::value(extent.address, extent.len), zeros_before))
        });
        self.tree.put_gathered(extent_key(object, first.start), (last.end() - first.start) as u32, parts)?;
        for extent in run.iter().skip(1) {
            self.tree.delete(extent_key(object, extent.start))?;
        }
        Ok(())
    }
}

impl<F: Flash> Volume<'_, F> {
    /// As [`Self::merge_run`], of extents that cannot be copied as they lie there.
    fn merge_packed_run(&mut self, object: u64, run: &[Extent]) -> Result<(), Error> {
        for extent in run {
            if self.missing_codec(extent)?.is_some() {
                return Ok(());
            }
        }
        self.rewrite_run(object, run)
    }

    /// Extents in a window before the small ones are merged: fewer where what replaces them takes several records.
    fn fragments_max(&self) -> usize {
        if self.is_verified() { FRAGMENTS_MAX * 3 / 4 } else { FRAGMENTS_MAX }
    }

    /// Bytes of a file within which extents are kept few: a logical block, or less where that takes many records.
    ///
    /// Inlined, so that a remainder of it is seen to need no division.
    #[inline(always)]
    pub(super) fn window(&self) -> u64 {
        1 << self.window_log2()
    }

    #[inline(never)]
    fn window_log2(&self) -> u32 {
        let record = if self.is_verified() { self.stored_record_max().into() } else { self.record_max() };
        let most = (RECORDS_PER_WINDOW * record).checked_ilog2().unwrap_or(0).max(WINDOW_MIN_LOG2);
        most.min(self.tree.log.signature.logical_block_log2.into())
    }

    /// Refuses a write that would need a feature, a hash, or one day a codec, that is missing: extents that are compressed cannot be
    /// merged with others then.
    pub(super) fn check_mergeable(&mut self, object: u64, offset: u64) -> Result<(), Error> {
        self.refuse_shared(object)?;
        if self.is_verified() && !self.tree.log.signature.hash.is_known() {
            return Err(Error::MissingHash);
        }
        let decodes = |codecs: &Codecs<'_>| CodecId::ALL.iter().skip(1).all(|codec| codecs.codec.decodes(*codec));
        if !self.may_be_compressed() || self.codecs.as_deref().is_some_and(decodes) {
            return Ok(());
        }
        let window = self.window();
        let start = offset - offset % window;
        let (mut from, mut count) = (start, 0);
        let mut missing = None;
        while let Some(extent) = self.next_extent(object, from)?.filter(|extent| extent.start < start + window) {
            missing = missing.or(self.missing_codec(&extent)?);
            from = extent.start + 1;
            count += 1;
            if let Some(codec) = missing.filter(|_| count + 2 > self.fragments_max()) {
                return Err(Error::MissingCodec { codec });
            }
        }
        Ok(())
    }
}

/// Neighbours of the extent at `offset` without holes between them, from at most `most` bytes before its end.
fn run_around(extents: &[Extent], offset: u64, most: u64) -> core::ops::Range<usize> {
    let Some(at) = extents.iter().position(|extent| extent.start <= offset && offset < extent.end()) else {
        return 0..0;
    };
    let end = extents.get(at).map_or(0, Extent::end);
    let touches = |index: &usize| match (extents.get(*index), extents.get(index + 1)) {
        (Some(left), Some(right)) => left.end() == right.start,
        _ => false,
    };
    let fits = |index: &usize| extents.get(*index).is_some_and(|extent| end.saturating_sub(extent.start) <= most);
    let before = (0..at).rev().take_while(|index| touches(index) && fits(index)).count();
    let behind = (at..extents.len()).take_while(touches).count();
    at - before..at + behind + 1
}

/// The run of most extents that are not longer than this together, holes between them counted or not allowed.
fn longest_run(extents: &[Extent], most: u64, with_holes: bool) -> core::ops::Range<usize> {
    let mut best = 0..0;
    let mut start = 0;
    let mut end_before = None;
    for (index, extent) in extents.iter().enumerate() {
        if end_before != Some(extent.start) && !with_holes {
            start = index;
        }
        end_before = Some(extent.end());
        let is_too_long = |first: &Extent| extent.end() - first.start > most;
        while start <= index && extents.get(start).is_some_and(is_too_long) {
            start += 1;
        }
        if index + 1 - start > best.len() {
            best = start..index + 1;
        }
    }
    best
}
