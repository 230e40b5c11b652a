//! Packed records: content with its hash, compressed or as it is.
//!
//! ```text
//! codec: u8 | plain length: ULEB | hash of the plain content | payload
//! ```
//!
//! This floor only knows how long the content is and moves records whole; what is in them is the volume's business.

use super::item::{ItemKind, Key};
use super::table::{Packed, Place};
use super::{HeadId, Item, Log};
use crate::codec::CodecId;
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::page::Address;
use crate::varint::{Reader, Writer};

/// Bytes of the longest head: codec and length.
pub(crate) const PACKED_HEAD_BYTES_MAX: usize = 6;

/// What a packed record says of itself before its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackedHead {
    pub(crate) codec: CodecId,
    /// Bytes of the content.
    pub(crate) plain: u32,
}

impl PackedHead {
    /// Writes the head.
    pub(crate) fn encode<'b>(&self, bytes: &'b mut [u8; PACKED_HEAD_BYTES_MAX]) -> &'b [u8] {
        let mut writer = Writer::new(bytes);
        writer.byte(self.codec.code());
        writer.uleb(self.plain.into());
        writer.finish().unwrap_or_default()
    }

    /// Bytes of the head.
    pub(crate) fn len(&self) -> u32 {
        (1 + crate::varint::uleb_len(self.plain.into())) as u32
    }
}

impl<F: Flash> Log<'_, F> {
    /// Reads the head of a packed record's body.
    pub(crate) fn packed_head(&mut self, body: Address, stored: u32) -> Result<PackedHead, Error> {
        let corrupt = Error::Corrupt { page: self.pages.space.page_of(body) };
        let mut bytes = [0u8; PACKED_HEAD_BYTES_MAX];
        let len = bytes.len().min(stored as usize);
        let bytes = bytes.get_mut(..len).unwrap_or_default();
        self.read(body, bytes)?;
        let mut reader = Reader::new(bytes);
        let codec = CodecId::from_code(reader.byte()).ok_or(corrupt)?;
        let plain = reader.uleb32();
        reader.finish(PackedHead { codec, plain }).ok_or(corrupt)
    }

    /// What a packed item gives its key: the whole content.
    pub(super) fn packed_item(&mut self, item: &Item) -> Result<Place, Error> {
        let head = self.packed_head(item.body, item.header.len)?;
        Ok(Place::packed(item.body, head.plain, Packed { skip: 0, stored: item.header.len }))
    }

    /// Copies the record that a place is part of, and tells where it is now. `key` is the record's own.
    pub(crate) fn copy_packed(&mut self, id: HeadId, key: Key, place: &Place) -> Result<Address, Error> {
        self.begin(id, ItemKind::PackedRecord, key, place.stored())?;
        self.push_copy(id, &place.bytes())?;
        Ok(self.finish(id))
    }

    /// Appends the record again that a key's value is a part of, because it may have been torn, and refers to the copy.
    pub(super) fn repeat_packed(&mut self, key: Key, place: &Place) -> Result<(), Error> {
        let skip = place.part().map_or(0, |packed| packed.skip);
        let record_key = Key { position: key.position.saturating_sub(skip.into()), ..key };
        let address = self.copy_packed(HeadId::Front, record_key, place)?;
        self.put_reference(key, &Place { address, ..*place })
    }
}
