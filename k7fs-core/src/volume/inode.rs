//! Objects and names as values of the tree.
//!
//! ```text
//! inode: kind u8 (0x80: may have attributes, 0x40: content apart, 0x20: codec chosen) | links, size, created seconds, ticks, modified seconds,
//!        ticks, parent (of an attribute's value: owner), place, device (devices), content (content apart), codec (codec chosen): ULEB
//! name:  kind u8 | object: ULEB | the name's bytes
//! ```
//!
//! Fields that a later feature level adds to an inode come behind and are kept out of harm by being ignored.

use super::types::{Kind, Metadata, Timestamp};
use super::{NAME_BYTES_MAX, Volume};
use crate::codec::CodecId;
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::hash::name_hash;
use crate::log::Key;
use crate::tree::{Content, Entry, KIND_ATTRIBUTE, KIND_INODE, KIND_JOB, KIND_NAME};
use crate::varint::{Reader, ULEB_BYTES_MAX, Writer};

/// The root directory's object number.
pub(super) const ROOT: u64 = 1;
/// Bytes of the longest inode this build writes.
const INODE_BYTES_MAX: usize = 83;
/// Bytes of the longest name value.
pub(super) const NAME_VALUE_BYTES_MAX: usize = NAME_BYTES_MAX + 11;

/// Where a name is: the directory, and the upper bits of its place there, which lead back to it past very few other names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NamePlace {
    /// 0 where it is not known: of several names the one was taken away that the object knew.
    pub(super) directory: u64,
    near: u32,
}

impl NamePlace {
    /// Upper bits of a position that an object keeps, of its 56.
    const NEAR_BITS: u32 = 28;
    const SHIFT: u32 = 56 - Self::NEAR_BITS;
    pub(super) const UNKNOWN: Self = Self { directory: 0, near: 0 };

    pub(super) fn new(directory: u64, position: u64) -> Self {
        Self { directory, near: (position >> Self::SHIFT) as u32 }
    }

    /// The first position that the name may be at.
    pub(super) fn from(self) -> u64 {
        u64::from(self.near) << Self::SHIFT
    }
}

/// An object's metadata and where its name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    pub(super) links: u32,
    pub(super) size: u64,
    pub(super) created: Timestamp,
    pub(super) modified: Timestamp,
    /// Its name, or one of them. The root directory's is nowhere, and its parent itself. An attribute's value has its owner
    /// for a directory.
    pub(super) place: NamePlace,
    /// A device's number.
    pub(super) device: u64,
    /// No object of its own but the value of an attribute.
    pub(super) is_value: bool,
    /// Whether it may have attributes: nobody looks for them where it is not set.
    pub(super) attributes: bool,
    /// The object that its content is under, where that is not its own number: what was under that is shared.
    pub(super) apart: u64,
    /// What new content is compressed with, of a directory's that of what is created in it; the volume's codec where none was chosen.
    pub(super) codec: Option<CodecId>,
}

/// In an inode's kind: it may have attributes.
const ATTRIBUTES_FLAG: u8 = 0x80;
/// In an inode's kind: its content is under another number.
const CONTENT_FLAG: u8 = 0x40;
/// In an inode's kind: a codec was chosen for it.
const CODEC_FLAG: u8 = 0x20;
/// The kind of an inode that holds an attribute's value. No name leads to it.
const ATTRIBUTE_VALUE: u8 = 8;

pub(super) fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::File => 1,
        Kind::Directory => 2,
        Kind::Symlink => 3,
        Kind::Fifo => 4,
        Kind::Socket => 5,
        Kind::CharacterDevice => 6,
        Kind::BlockDevice => 7,
    }
}

fn kind_from_code(code: u8) -> Option<Kind> {
    match code {
        1 => Some(Kind::File),
        2 => Some(Kind::Directory),
        3 => Some(Kind::Symlink),
        4 => Some(Kind::Fifo),
        5 => Some(Kind::Socket),
        6 => Some(Kind::CharacterDevice),
        7 => Some(Kind::BlockDevice),
        _ => None,
    }
}

impl Inode {
    pub(super) fn new(kind: Kind, time: Timestamp, place: NamePlace) -> Self {
        let (created, modified) = (time, time);
        let (is_value, attributes) = (false, false);
        let codec = None;
        Self { kind, links: 1, size: 0, created, modified, place, device: 0, is_value, attributes, apart: 0, codec }
    }

    /// The object whose keys hold the content; `object` is the inode's own number.
    pub(super) fn content(&self, object: u64) -> u64 {
        if self.apart == 0 { object } else { self.apart }
    }

    /// The same with its content under another number.
    pub(super) fn with_content(self, content: u64) -> Self {
        Self { apart: content, ..self }
    }

    fn is_device(kind: Kind) -> bool {
        matches!(kind, Kind::CharacterDevice | Kind::BlockDevice)
    }

    fn encode<'b>(&self, bytes: &'b mut [u8]) -> Option<&'b [u8]> {
        let mut writer = Writer::new(bytes);
        let kind = if self.is_value { ATTRIBUTE_VALUE } else { kind_code(self.kind) };
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let kind = kind | flag(self.attributes, ATTRIBUTES_FLAG) | flag(self.apart != 0, CONTENT_FLAG);
        writer.byte(kind | flag(self.codec.is_some(), CODEC_FLAG));
        writer.uleb(self.links.into());
        writer.uleb(self.size);
        for time in [self.created, self.modified] {
            writer.uleb(time.seconds);
            writer.uleb(time.ticks.into());
        }
        writer.uleb(self.place.directory);
        writer.uleb(self.place.near.into());
        if Self::is_device(self.kind) {
            writer.uleb(self.device);
        }
        if self.apart != 0 {
            writer.uleb(self.apart);
        }
        if let Some(codec) = self.codec {
            writer.byte(codec.code());
        }
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let code = reader.byte();
        let (attributes, is_apart) = (code & ATTRIBUTES_FLAG != 0, code & CONTENT_FLAG != 0);
        let has_codec = code & CODEC_FLAG != 0;
        let code = code & !(ATTRIBUTES_FLAG | CONTENT_FLAG | CODEC_FLAG);
        let kind = if code == ATTRIBUTE_VALUE { Kind::File } else { kind_from_code(code)? };
        let links = reader.uleb32();
        let size = reader.uleb();
        let created = Timestamp { seconds: reader.uleb(), ticks: reader.uleb32() };
        let modified = Timestamp { seconds: reader.uleb(), ticks: reader.uleb32() };
        let place = NamePlace { directory: reader.uleb(), near: reader.uleb32() };
        let device = if Self::is_device(kind) { reader.uleb() } else { 0 };
        let apart = if is_apart { reader.uleb() } else { 0 };
        let codec = if has_codec { Some(CodecId::from_code(reader.byte())?) } else { None };
        let is_value = code == ATTRIBUTE_VALUE;
        reader.finish(Self { kind, links, size, created, modified, place, device, is_value, attributes, apart, codec })
    }

    pub(super) fn metadata(&self, object: u64) -> Metadata {
        Metadata {
            object,
            kind: self.kind,
            size: self.size,
            links: self.links,
            created: self.created,
            modified: self.modified,
            codec: self.codec,
        }
    }
}

/// A name as found in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Where it is in the directory: hash and tie.
    pub(super) position: u64,
    pub(super) object: u64,
    pub(super) kind: Kind,
}

pub(super) fn inode_key(object: u64) -> Key {
    Key { kind: KIND_INODE, object, position: 0, index: 0 }
}

pub(super) fn name_key(directory: u64, position: u64) -> Key {
    Key { kind: KIND_NAME, object: directory, position, index: 0 }
}

pub(super) fn attribute_key(object: u64, position: u64) -> Key {
    Key { kind: KIND_ATTRIBUTE, object, position, index: 0 }
}

pub(super) fn job_key(object: u64) -> Key {
    Key { kind: KIND_JOB, object, position: 0, index: 0 }
}

impl<F: Flash> Volume<'_, F> {
    /// An object's inode; `NotFound` where there is none.
    pub(super) fn inode(&mut self, object: u64) -> Result<Inode, Error> {
        let mut bytes = [0u8; INODE_BYTES_MAX];
        Inode::decode(self.tree.load(&inode_key(object), &mut bytes)?).ok_or(Error::Corrupt { page: 0 })
    }

    pub(super) fn put_inode(&mut self, object: u64, inode: &Inode) -> Result<(), Error> {
        let mut bytes = [0u8; INODE_BYTES_MAX];
        self.tree.put(inode_key(object), inode.encode(&mut bytes).ok_or(Error::Exhausted)?)
    }

    /// Reads a name value: the name's bytes come first in `bytes`; its length is returned with what it names.
    pub(super) fn read_name(
        &mut self, position: u64, content: &Content, bytes: &mut [u8; NAME_VALUE_BYTES_MAX],
    ) -> Result<(Name, usize), Error> {
        let corrupt = Error::Corrupt { page: 0 };
        let len = content.len() as usize;
        let value = bytes.get_mut(..len).ok_or(corrupt)?;
        self.tree.read(content, 0, value)?;
        let mut reader = Reader::new(value);
        let kind = kind_from_code(reader.byte()).ok_or(corrupt)?;
        let object = reader.uleb();
        reader.finish(()).ok_or(corrupt)?;
        let at = reader.position();
        let name_len = len.checked_sub(at).ok_or(corrupt)?;
        for index in 0..name_len {
            let byte = bytes.get(at + index).copied().unwrap_or(0);
            if let Some(place) = bytes.get_mut(index) {
                *place = byte;
            }
        }
        Ok((Name { position, object, kind }, name_len))
    }

    /// What a name stands for, without the name itself.
    pub(super) fn read_target(&mut self, position: u64, content: &Content) -> Result<Name, Error> {
        let corrupt = Error::Corrupt { page: 0 };
        let mut bytes = [0u8; 1 + ULEB_BYTES_MAX];
        let len = (content.len() as usize).min(bytes.len());
        let bytes = bytes.get_mut(..len).ok_or(corrupt)?;
        self.tree.read(content, 0, bytes)?;
        let mut reader = Reader::new(bytes);
        let kind = kind_from_code(reader.byte()).ok_or(corrupt)?;
        let object = reader.uleb();
        reader.finish(()).ok_or(corrupt)?;
        Ok(Name { position, object, kind })
    }

    pub(super) fn put_name(
        &mut self, directory: u64, position: u64, object: u64, kind: Kind, name: &str,
    ) -> Result<(), Error> {
        let mut bytes = [0u8; NAME_VALUE_BYTES_MAX];
        let mut writer = Writer::new(&mut bytes);
        writer.byte(kind_code(kind));
        writer.uleb(object);
        writer.bytes(name.as_bytes());
        self.tree.put(name_key(directory, position), writer.finish().ok_or(Error::NameTooLong)?)
    }

    /// Finds a name in a directory; if it is not there, the position where it would go.
    pub(super) fn find_name(&mut self, directory: u64, name: &str) -> Result<Result<Name, u64>, Error> {
        let hash = name_hash(&self.tree.log.signature.volume_id, name.as_bytes()) << 8;
        let mut free = None;
        let mut expected = hash;
        let mut from = name_key(directory, hash);
        let mut entry = Entry::EMPTY;
        let mut bytes = [0u8; NAME_VALUE_BYTES_MAX];
        // Names whose hashes collide lie side by side, told apart by the last byte of the position.
        for _ in 0..=u8::MAX {
            if !self.tree.next_beside(&from, &mut entry)? || entry.key.position >> 8 != hash >> 8 {
                break;
            }
            let key = entry.key;
            let (found, len) = self.read_name(key.position, &entry.content, &mut bytes)?;
            if bytes.get(..len) == Some(name.as_bytes()) {
                return Ok(Ok(found));
            }
            if key.position != expected {
                free.get_or_insert(expected);
            }
            expected = key.position + 1;
            from = key.next_position();
        }
        let position = free.unwrap_or(expected);
        if position >> 8 == hash >> 8 { Ok(Err(position)) } else { Err(Error::Exhausted) }
    }
}
