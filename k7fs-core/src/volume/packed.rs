//! Packed records: content that carries its hash, compressed where that saves pages.
//!
//! A record's content is at most one logical block. Extents refer to parts of it, so that cutting one needs no codec. A
//! compressed record is decoded as a whole, into memory that the mount was lent, and stays there: reading on in small pieces
//! decodes once.

use super::Volume;
use super::extents::{Extent, extent_key};
use crate::codec::{Cached, Codec, CodecError, CodecId, Codecs, PACKED};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::hash::{CONTENT_HASH_BYTES_MAX, ContentHash, ContentHasher, content_hash};
use crate::log::{HeadId, Key, PACKED_HEAD_BYTES_MAX, Packed, PackedHead, Place};
use crate::page::Address;

/// Bytes of content moved at a time where there is no other memory for it.
const CHUNK_BYTES: u32 = 64;
/// Of the longest records that are stored as they are, so many fill a block behind its header's page: records are never cut,
/// and what the next one does not fit into stays unused.
const RECORDS_PER_BLOCK: u32 = 4;
/// The same for tiny blocks, where heads and hashes would be too large a part.
const RECORDS_PER_TINY_BLOCK: u32 = 2;
/// Bytes of payload that are no tiny block any more.
const TINY_BLOCK_BYTES: u32 = 2048;

/// What is done with a run's content, piece by piece.
type Take<'t, V> = &'t mut dyn FnMut(&mut V, &[u8]) -> Result<(), Error>;

impl<F: Flash> Volume<'_, F> {
    fn hash_bytes(&self) -> u32 {
        self.tree.log.signature.hash.len() as u32
    }

    pub(super) fn is_verified(&self) -> bool {
        PACKED && self.tree.log.signature.verified
    }

    /// Whether content may be compressed.
    pub(super) fn may_be_compressed(&self) -> bool {
        PACKED && self.tree.log.signature.codecs != CodecId::Store.bit()
    }

    /// What new content is compressed with where this was chosen for its file. Only a damaged volume has a choice that it was not
    /// made for.
    pub(super) fn codec_for(&self, chosen: Option<CodecId>) -> CodecId {
        chosen.filter(|codec| self.tree.log.signature.codecs & codec.bit() != 0).unwrap_or(self.codec)
    }

    /// Whether new content of such a file is compressed.
    pub(super) fn compresses(&self, chosen: Option<CodecId>) -> bool {
        PACKED && self.codecs.is_some() && self.codec_for(chosen) != CodecId::Store
    }

    /// Bytes of content of the longest record that is stored as it is.
    pub(super) fn stored_record_max(&self) -> u32 {
        let space = &self.tree.log.pages.space;
        let tiny = space.block_payload() < TINY_BLOCK_BYTES;
        let records = if tiny { RECORDS_PER_TINY_BLOCK } else { RECORDS_PER_BLOCK };
        let share = space.block_payload().saturating_sub(space.payload) / records;
        let head = PACKED_HEAD_BYTES_MAX as u32 + self.hash_bytes() + crate::log::ITEM_HEADER_BYTES_MAX as u32;
        share.saturating_sub(head).max(64)
    }

    /// Rows that content needs because it takes several records, or may.
    pub(super) fn record_rows(&self, len: u64) -> usize {
        if self.is_verified() { len.checked_div(self.stored_record_max().into()).unwrap_or(0) as usize } else { 0 }
    }

    /// Bytes that heads and hashes add to content that is written.
    pub(super) fn packing_bytes(&self, len: u64) -> u64 {
        if self.is_verified() {
            let head = PACKED_HEAD_BYTES_MAX as u64 + u64::from(self.hash_bytes()) + 64;
            (len.checked_div(self.stored_record_max().into()).unwrap_or(0) + 1) * head
        } else {
            0
        }
    }

    /// Reads from an extent's content.
    pub(super) fn read_extent(&mut self, extent: &Extent, skip: u32, bytes: &mut [u8]) -> Result<(), Error> {
        let space = self.tree.log.pages.space;
        match extent.packed {
            None => self.tree.log.read(space.advance(extent.address, skip), bytes),
            Some(packed) => self.read_packed(extent.address, &packed, packed.skip.saturating_add(skip), bytes),
        }
    }

    /// The head of a record, where it makes sense for an extent that ends at `end` in the content.
    fn head_of(&mut self, address: Address, packed: &Packed, end: u64) -> Result<PackedHead, Error> {
        let head = self.tree.log.packed_head(address, packed.stored)?;
        let before_payload = head.len() + self.hash_bytes();
        let payload = packed.stored.checked_sub(before_payload);
        let sound = match head.codec {
            CodecId::Store => payload == Some(head.plain),
            _ => payload.is_some(),
        };
        let fits = end <= head.plain.into() && u64::from(head.plain) <= self.logical_block();
        if sound && fits { Ok(head) } else { Err(Error::Corrupt { page: address.page }) }
    }

    #[inline(never)]
    fn read_packed(&mut self, address: Address, packed: &Packed, skip: u32, bytes: &mut [u8]) -> Result<(), Error> {
        let end = u64::from(skip) + bytes.len() as u64;
        let head = self.head_of(address, packed, end)?;
        if head.codec != CodecId::Store && !PACKED {
            return Err(Error::MissingCodec { codec: head.codec });
        }
        if head.codec != CodecId::Store {
            self.unpack(address, packed, &head)?;
            let plain = self.codecs.as_deref().and_then(|codecs| codecs.plain.get(skip as usize..)?.get(..bytes.len()));
            bytes.copy_from_slice(plain.ok_or(Error::Corrupt { page: address.page })?);
            return Ok(());
        }
        let payload = self.tree.log.pages.space.advance(address, head.len() + self.hash_bytes());
        self.tree.log.read(self.tree.log.pages.space.advance(payload, skip), bytes)?;
        if bytes.len() == head.plain as usize { self.compare_hash(address, &head, bytes) } else { Ok(()) }
    }

    /// The hash that a record was stored with.
    fn stored_hash(&mut self, address: Address, head: &PackedHead) -> Result<ContentHash, Error> {
        let id = self.tree.log.signature.hash;
        let mut bytes = [0u8; CONTENT_HASH_BYTES_MAX];
        let bytes = bytes.get_mut(..id.len()).unwrap_or_default();
        self.tree.log.read(self.tree.log.pages.space.advance(address, head.len()), bytes)?;
        Ok(ContentHash::read(id, bytes))
    }

    fn compare_hash(&mut self, address: Address, head: &PackedHead, plain: &[u8]) -> Result<(), Error> {
        let id = self.tree.log.signature.hash;
        // A build without the hash rests on the checksums of pages.
        if PACKED && id.is_known() && self.stored_hash(address, head)? != content_hash(id, plain) {
            return Err(Error::HashMismatch { page: address.page });
        }
        Ok(())
    }

    /// The record that an extent is part of, where it is compressed.
    pub(super) fn compressed(&mut self, extent: &Extent) -> Result<Option<(Packed, PackedHead)>, Error> {
        let Some(packed) = extent.packed else { return Ok(None) };
        let end = u64::from(packed.skip) + u64::from(extent.len);
        let head = self.head_of(extent.address, &packed, end)?;
        Ok((head.codec != CodecId::Store).then_some((packed, head)))
    }

    /// Decodes a compressed record into the memory for that, unless it is there already, and compares its hash.
    fn unpack(&mut self, address: Address, packed: &Packed, head: &PackedHead) -> Result<(), Error> {
        let codecs = self.codecs.take().ok_or(Error::MissingCodec { codec: head.codec })?;
        let result = self.unpack_into(codecs, address, packed, head);
        self.codecs = Some(codecs);
        result
    }

    /// The same, with the codec at hand.
    #[inline(never)]
    pub(super) fn unpack_into(
        &mut self, codecs: &mut Codecs<'_>, address: Address, packed: &Packed, head: &PackedHead,
    ) -> Result<(), Error> {
        let corrupt = Error::Corrupt { page: address.page };
        let missing = Error::MissingCodec { codec: head.codec };
        let record = Cached { address, generation: self.tree.log.generation() };
        let payload = head.len() + self.hash_bytes();
        let id = self.tree.log.signature.hash;
        if codecs.cached == Some(record) {
            return Ok(());
        }
        codecs.cached = None;
        let stored_hash = self.stored_hash(address, head)?;
        let len = packed.stored.checked_sub(payload).ok_or(corrupt)? as usize;
        let body = codecs.packed.get_mut(..len).ok_or(corrupt)?;
        self.tree.log.read(self.tree.log.pages.space.advance(address, payload), body)?;
        let plain = codecs.plain.get_mut(..head.plain as usize).ok_or(corrupt)?;
        match codecs.codec.decode(head.codec, body, plain) {
            Ok(()) => {}
            Err(CodecError::Missing) => return Err(missing),
            Err(CodecError::Damaged) => return Err(corrupt),
        }
        if id.is_known() && stored_hash != content_hash(id, plain) {
            return Err(Error::HashMismatch { page: address.page });
        }
        codecs.cached = Some(record);
        Ok(())
    }

    /// What was decoded may not be what is on the chip any more.
    pub(super) fn forget_decoded(&mut self) {
        if let Some(codecs) = self.codecs.as_deref_mut() {
            codecs.cached = None;
        }
    }

    /// Writes a logical block compressed, if that saves a page. `false` where it does not.
    #[inline(never)]
    pub(super) fn write_compressed(
        &mut self, object: u64, offset: u64, bytes: &[u8], chosen: Option<CodecId>,
    ) -> Result<bool, Error> {
        let codec = self.codec_for(chosen);
        let Some(codecs) = self.codecs.take_if(|_| PACKED && codec != CodecId::Store) else { return Ok(false) };
        codecs.cached = None;
        let encoded = self.encode(codecs.codec, codec, bytes, codecs.packed);
        let payload = encoded.and_then(|(len, _)| codecs.packed.get(..len));
        let result = payload.map_or(Ok(false), |payload| {
            self.cut(object, offset, offset + bytes.len() as u64, true)?;
            self.put_content_record(extent_key(object, offset), codec, bytes, payload).map(|()| true)
        });
        self.codecs = Some(codecs);
        result
    }

    /// Compresses content and tells the length and what a record of it counts for; `None` where it does not save a page.
    pub(super) fn encode(
        &self, encoder: &mut dyn Codec, codec: CodecId, bytes: &[u8], packed: &mut [u8],
    ) -> Option<(usize, u64)> {
        let (space, head) = (self.tree.log.pages.space, self.head_bytes(codec, bytes.len() as u32));
        let most = self.record_max().saturating_sub(head.into());
        let room = packed.len().min(most as usize);
        let known = codec != CodecId::Store && self.tree.log.signature.hash.is_known();
        let len = encoder.encode(codec, bytes, packed.get_mut(..room).filter(|_| known)?)?;
        let stored = head.checked_add(u32::try_from(len).ok()?)?;
        let place = Place::packed(Address { page: 0, offset: 0 }, 0, Packed { skip: 0, stored });
        let alloc = &self.tree.log.alloc;
        let cost = alloc.cost_of(&space, &place);
        (cost + u64::from(space.payload) <= alloc.cost(bytes.len() as u32)).then_some((len, cost))
    }

    /// Bytes of a record before its payload.
    fn head_bytes(&self, codec: CodecId, plain: u32) -> u32 {
        PackedHead { codec, plain }.len() + self.hash_bytes()
    }

    fn begin_record(
        &mut self, key: Key, codec: CodecId, hash: &ContentHash, plain: u32, len: u32,
    ) -> Result<u32, Error> {
        if !hash.id().is_known() {
            return Err(Error::MissingHash);
        }
        let stored = self.head_bytes(codec, plain).checked_add(len).ok_or(Error::FileTooLarge)?;
        self.tree.begin_packed(key, stored)?;
        let mut bytes = [0u8; PACKED_HEAD_BYTES_MAX];
        self.tree.log.push(HeadId::Front, PackedHead { codec, plain }.encode(&mut bytes))?;
        self.tree.log.push(HeadId::Front, hash.as_bytes())?;
        Ok(stored)
    }

    /// Writes content as one record with this payload.
    pub(super) fn put_content_record(
        &mut self, key: Key, codec: CodecId, plain: &[u8], payload: &[u8],
    ) -> Result<(), Error> {
        let hash = content_hash(self.tree.log.signature.hash, plain);
        let stored = self.begin_record(key, codec, &hash, plain.len() as u32, payload.len() as u32)?;
        self.tree.log.push(HeadId::Front, payload)?;
        self.tree.end_packed(key, plain.len() as u32, stored)
    }

    /// Writes content as it is, with its hash. Tells how much of it went into this record.
    pub(super) fn put_stored(&mut self, key: Key, bytes: &[u8]) -> Result<usize, Error> {
        let most = self.stored_record_max() as usize;
        let (now, _) = bytes.split_at_checked(bytes.len().min(most)).ok_or(Error::NeedsRemount)?;
        self.put_content_record(key, CodecId::Store, now, now)?;
        Ok(now.len())
    }

    /// Writes the content of some extents, which follow each other or leave holes between them, anew, with what is seen through the holes: with hashes where
    /// the volume wants them.
    #[inline(never)]
    pub(super) fn rewrite_run(&mut self, object: u64, run: &[Extent]) -> Result<(), Error> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let end = last.end();
        let mut at = first.start;
        while at < end {
            let key = extent_key(object, at);
            let len = if self.is_verified() {
                let len = (end - at).min(self.stored_record_max().into()) as u32;
                let mut hasher = ContentHasher::new(self.tree.log.signature.hash);
                self.read_run(object, run, at, len, &mut |_, bytes| {
                    hasher.update(bytes);
                    Ok(())
                })?;
                let hash = hasher.finish();
                let stored = self.begin_record(key, CodecId::Store, &hash, len, len)?;
                self.push_run(object, run, at, len)?;
                self.tree.end_packed(key, len, stored)?;
                len
            } else {
                let len = (end - at).min(self.tree.log.room(HeadId::Front)?.into()) as u32;
                // What cannot be read ends this before an item is begun: one without its bytes would hide what follows it.
                self.read_run(object, run, at, len, &mut |_, _| Ok(()))?;
                self.tree.begin_value(key, len)?;
                self.push_run(object, run, at, len)?;
                self.tree.end_value(key, len)?;
                len
            };
            let inside = at + 1..at + u64::from(len);
            for extent in run.iter().filter(|extent| inside.contains(&extent.start)) {
                self.tree.delete(extent_key(object, extent.start))?;
            }
            at = inside.end;
        }
        Ok(())
    }

    /// Appends `len` bytes of a run to the item that was begun. Where they cannot be read the item is filled with zeros before the
    /// error is returned: what follows it stays readable.
    fn push_run(&mut self, object: u64, run: &[Extent], from: u64, len: u32) -> Result<(), Error> {
        let mut left = len;
        let result = self.read_run(object, run, from, len, &mut |volume, bytes| {
            left = left.saturating_sub(bytes.len() as u32);
            volume.tree.log.push(HeadId::Front, bytes)
        });
        while result.is_err_and(Error::is_damage) && left > 0 {
            self.tree.log.push(HeadId::Front, &[0])?;
            left -= 1;
        }
        result
    }

    /// Reads `len` bytes of a run from an offset in the file, piece by piece.
    fn read_run(
        &mut self, object: u64, run: &[Extent], from: u64, len: u32, take: Take<'_, Self>,
    ) -> Result<(), Error> {
        let end = from + u64::from(len);
        let mut chunk = [0u8; CHUNK_BYTES as usize];
        let mut at = from;
        while at < end {
            let extent = run.iter().find(|extent| extent.end() > at);
            let start = extent.map_or(end, |extent| extent.start);
            let (here, is_hole) = match extent {
                Some(extent) if extent.start <= at => (extent.end() - at, false),
                _ => (start.min(end) - at, true),
            };
            let here = here.min(end - at).min(CHUNK_BYTES.into());
            let bytes = chunk.get_mut(..here as usize).unwrap_or_default();
            match extent {
                Some(extent) if !is_hole => self.read_extent(extent, (at - extent.start) as u32, bytes)?,
                _ => self.read_below(object, at, bytes)?,
            }
            take(self, bytes)?;
            at += here;
        }
        Ok(())
    }

    /// The codec that an extent's content needs and this mount does not have.
    pub(super) fn missing_codec(&mut self, extent: &Extent) -> Result<Option<CodecId>, Error> {
        let Some(packed) = extent.packed else { return Ok(None) };
        let codec = self.tree.log.packed_head(extent.address, packed.stored)?.codec;
        let decodes =
            codec == CodecId::Store || self.codecs.as_deref().is_some_and(|codecs| codecs.codec.decodes(codec));
        Ok((!decodes).then_some(codec))
    }

    /// Looks at a record's head.
    pub(super) fn check_head(&mut self, place: &Place) -> Result<(), Error> {
        let Some(packed) = place.part() else { return Ok(()) };
        self.head_of(place.address, &packed, u64::from(packed.skip) + u64::from(place.len)).map(drop)
    }

    /// Compares a record's content, all of it, with its hash. `false` where this build or mount cannot.
    pub(super) fn verify_record(&mut self, place: &Place) -> Result<bool, Error> {
        let Some(packed) = place.part() else { return Ok(true) };
        let head = self.head_of(place.address, &packed, u64::from(packed.skip) + u64::from(place.len))?;
        let id = self.tree.log.signature.hash;
        if !PACKED {
            return Ok(false);
        }
        if head.codec != CodecId::Store {
            return match self.unpack(place.address, &packed, &head) {
                Err(Error::MissingCodec { .. }) => Ok(false),
                result => result.map(|()| id.is_known()),
            };
        }
        let payload = self.tree.log.pages.space.advance(place.address, head.len() + self.hash_bytes());
        let mut hasher = ContentHasher::new(id);
        let mut chunk = [0u8; CHUNK_BYTES as usize];
        let mut done = 0;
        while done < head.plain {
            let len = (head.plain - done).min(CHUNK_BYTES);
            let bytes = chunk.get_mut(..len as usize).unwrap_or_default();
            self.tree.log.read(self.tree.log.pages.space.advance(payload, done), bytes)?;
            hasher.update(bytes);
            done += len;
        }
        if !id.is_known() {
            return Ok(false);
        }
        let matches = self.stored_hash(place.address, &head)? == hasher.finish();
        if matches { Ok(true) } else { Err(Error::HashMismatch { page: place.address.page }) }
    }
}
