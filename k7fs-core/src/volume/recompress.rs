//! Packing content anew, long after it was written: block by block, each in a commit of its own.

use super::Volume;
use super::extents::{Extent, Piece, extent_key};
use super::file::BOOKKEEPING_BYTES;
use super::types::Kind;
use crate::codec::{CodecId, Codecs};
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::log::Key;
use crate::tree::{Demand, Entry, KIND_EXTENT};

/// Extents of a logical block that are replaced at once, at most: what the smallest table takes.
const EXTENTS_MAX: usize = 24;
/// Rows that replacing them needs besides.
const ROWS_MORE: usize = 4;
/// Records of a window, and what may be cut at its ends.
const ROWS_PER_WINDOW: usize = 6;

/// Where a walk through a volume's content stands: see [`Volume::recompress_step`]. It survives any change of the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ContentCursor {
    object: u64,
    offset: u64,
}

/// What recompressing has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Recompressed {
    /// Logical blocks looked at.
    pub blocks: u64,
    /// Of these, written anew.
    pub rewritten: u64,
    /// Left as they are because they are in too many pieces, or a codec for them is missing.
    pub skipped: u64,
}

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Left,
    Rewritten,
    Skipped,
}

/// What lies in a logical block.
struct Held {
    extents: heapless::Vec<Extent, EXTENTS_MAX>,
    /// The codec of its compressed record, where it has one.
    codec: Option<CodecId>,
    /// What those of its extents count for that no other index keeps.
    cost: u64,
}

impl<F: Flash> Volume<'_, F> {
    /// Packs a file's content anew with a codec, wherever that takes less space than now; with [`CodecId::Store`] it is unpacked.
    ///
    /// What an index has from another stays as it is where it would be compressed: the other one would keep it all the same.
    ///
    /// Every logical block is a commit of its own, unless a transaction is running: what was done stays done if this is cut short.
    ///
    /// # Errors
    /// `InvalidOption` where the volume was made without this codec, `MissingCodec` where the mount has none, `IsADirectory`, those
    /// of the path, of reading and of writing.
    pub fn recompress(&mut self, path: &str, codec: CodecId) -> Result<Recompressed, Error> {
        let (object, inode) = self.existing(path)?;
        if inode.kind == Kind::Directory {
            return Err(Error::IsADirectory);
        }
        let mut done = Recompressed::default();
        let mut cursor = ContentCursor { object, offset: 0 };
        while cursor.object == object && self.step_recompress(&mut cursor, object, codec, &mut done)? {}
        Ok(done)
    }

    /// As [`Self::recompress`] for one logical block of the volume, the next one from the cursor on. `false` once there is none.
    /// Files with a [choice](Self::choose_codec) of their own are packed with that codec instead.
    ///
    /// # Errors
    /// As [`Self::recompress`]. The cursor stands behind a block that cannot be read or written.
    pub fn recompress_step(
        &mut self, cursor: &mut ContentCursor, codec: CodecId, done: &mut Recompressed,
    ) -> Result<bool, Error> {
        Ok(self.step_recompress(cursor, u64::MAX, codec, done)?)
    }

    fn step_recompress(
        &mut self, cursor: &mut ContentCursor, last: u64, codec: CodecId, done: &mut Recompressed,
    ) -> Result<bool, inner::Error> {
        self.writable()?;
        if self.tree.log.signature.codecs & codec.bit() == 0 {
            return Err(inner::Error::InvalidOption);
        }
        if self.codecs.is_none() {
            return Err(inner::Error::MissingCodec { codec });
        }
        let from = extent_key(cursor.object, cursor.offset);
        let mut entry = Entry::EMPTY;
        let Key { kind, object, position, .. } = if self.tree.next(&from, &mut entry)? { entry.key } else { Key::MAX };
        if kind != KIND_EXTENT || object > last {
            return Ok(false);
        }
        let block = self.logical_block();
        let start = position - position % block;
        *cursor = ContentCursor { object, offset: start.saturating_add(block) };
        done.blocks += 1;
        match self.repack(object, start, codec, last == u64::MAX)? {
            Outcome::Left => {}
            Outcome::Rewritten => done.rewritten += 1,
            Outcome::Skipped => done.skipped += 1,
        }
        Ok(true)
    }

    /// Packs a block with a codec, or, where choices count, with the one chosen for its file.
    fn repack(
        &mut self, object: u64, start: u64, mut codec: CodecId, choices_count: bool,
    ) -> Result<Outcome, inner::Error> {
        let (owner, size) = match self.owner_of(object) {
            Ok(owner) => owner,
            Err(inner::Error::NotFound) => return Ok(Outcome::Left),
            Err(error) => return Err(error),
        };
        if choices_count && owner != 0 {
            let chosen = self.inode(owner)?.codec;
            codec = chosen.filter(|codec| self.tree.log.signature.codecs & codec.bit() != 0).unwrap_or(codec);
        }
        if self.has_parts(object, 0)? {
            // Shared content is seen between its extents.
            return Ok(Outcome::Skipped);
        }
        let end = (start + self.logical_block()).min(size);
        let Some(held) = self.held(object, start)? else { return Ok(Outcome::Skipped) };
        let is_packed_so = match (held.codec, codec) {
            (Some(now), codec) => now == codec && held.extents.len() == 1,
            (None, codec) => codec == CodecId::Store,
        };
        if is_packed_so || end <= start {
            return Ok(Outcome::Left);
        }
        let len = end - start;
        // Compressed content is only written where it takes less than before.
        let unpacks = codec == CodecId::Store;
        let records = if unpacks { (len / self.window() + 1) as usize * ROWS_PER_WINDOW } else { 1 };
        let rows = held.extents.len() + records + ROWS_MORE;
        if rows > self.tree.rows_max() {
            return Ok(Outcome::Skipped);
        }
        let bytes = len + self.packing_bytes(len);
        let growth = if unpacks { bytes } else { 0 };
        self.make_room(&Demand { bytes: bytes + BOOKKEEPING_BYTES, growth, rows })?;
        // Cleaning moves extents, and may have cut some in two.
        let most = held.extents.len();
        let Some(held) = self.held(object, start)?.filter(|held| held.extents.len() <= most) else {
            return Ok(Outcome::Skipped);
        };
        let Some(codecs) = self.codecs.take() else { return Ok(Outcome::Skipped) };
        let result = self.repack_with(codecs, object, start..end, codec, &held);
        codecs.cached = None;
        self.codecs = Some(codecs);
        let outcome = result?;
        self.commit_unless_running()?;
        Ok(outcome)
    }

    /// What a logical block holds; `None` where that is too much to be replaced at once.
    fn held(&mut self, object: u64, start: u64) -> Result<Option<Held>, inner::Error> {
        let space = self.tree.log.pages.space;
        let mut held = Held { extents: heapless::Vec::new(), codec: None, cost: 0 };
        let end = start + self.logical_block();
        let mut from = start;
        while let Some(extent) = self.next_extent(object, from)?.filter(|extent| extent.start < end) {
            if let Some(packed) = extent.packed {
                let head = self.tree.log.packed_head(extent.address, packed.stored)?;
                // Where a compressed record is decoded it lies at its place in the block already.
                let in_place = extent.start.checked_sub(packed.skip.into()) == Some(start);
                match head.codec {
                    CodecId::Store => {}
                    codec if in_place => held.codec = Some(codec),
                    _ => return Ok(None),
                }
            }
            if extent.is_own {
                held.cost += self.tree.log.alloc.cost_of(&space, &extent.whole());
            }
            from = extent.start + 1;
            if held.extents.push(extent).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(held))
    }

    fn repack_with(
        &mut self, codecs: &mut Codecs<'_>, object: u64, range: core::ops::Range<u64>, codec: CodecId, held: &Held,
    ) -> Result<Outcome, inner::Error> {
        let len = (range.end - range.start) as usize;
        self.gather_block(codecs, range.start, len, held)?;
        let Codecs { codec: encoder, plain, packed, .. } = codecs;
        let plain = plain.get(..len).ok_or(inner::Error::NeedsRemount)?;
        let key = extent_key(object, range.start);
        if let Some((len, cost)) = self.encode(&mut **encoder, codec, plain, packed) {
            if cost >= held.cost {
                return Ok(Outcome::Left);
            }
            let payload = packed.get(..len).ok_or(inner::Error::NeedsRemount)?;
            self.change(|volume| {
                volume.cut(object, range.start, range.end, true)?;
                volume.put_content_record(key, codec, plain, payload)
            })?;
            return Ok(Outcome::Rewritten);
        }
        if codec != CodecId::Store {
            return Ok(Outcome::Left);
        }
        self.change(|volume| {
            let mut at = range.start;
            while at < range.end {
                let rest = plain.get((at - range.start) as usize..).ok_or(inner::Error::NeedsRemount)?;
                at += volume.write_piece(object, at, rest, Piece::default())? as u64;
            }
            Ok(())
        })?;
        Ok(Outcome::Rewritten)
    }

    /// Puts a block's content together in the memory for it.
    fn gather_block(
        &mut self, codecs: &mut Codecs<'_>, start: u64, len: usize, held: &Held,
    ) -> Result<(), inner::Error> {
        for extent in &held.extents {
            if let Some((packed, head)) = self.compressed(extent)? {
                self.unpack_into(codecs, extent.address, &packed, &head)?;
            }
        }
        let plain = codecs.plain.get_mut(..len).ok_or(inner::Error::NeedsRemount)?;
        let mut at = 0;
        for extent in &held.extents {
            let from = ((extent.start - start) as usize).min(len);
            let to = from.saturating_add(extent.len as usize).min(len);
            plain.get_mut(at..from).unwrap_or_default().fill(0);
            let bytes = plain.get_mut(from..to).unwrap_or_default();
            if self.compressed(extent)?.is_none() {
                self.read_extent(extent, 0, bytes)?;
            }
            at = to;
        }
        plain.get_mut(at..).unwrap_or_default().fill(0);
        Ok(())
    }
}
