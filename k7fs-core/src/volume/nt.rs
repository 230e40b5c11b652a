//! What only NT knows of an object: short name, security descriptor, reparse point, named streams.
//!
//! The short name lies in the packed attribute, the rest in reserved attributes of their own: `k7fs.nt.security` (the
//! descriptor), `k7fs.nt.reparse` (tag u32 little-endian, then the data), `k7fs.nt.stream.NAME` (the stream's bytes).

use super::metadata::SHORT_NAME_BYTES_MAX;
use super::{ATTRIBUTE_NAME_BYTES_MAX, STREAM_ATTRIBUTES, Volume};
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::varint::Writer;

const SECURITY: &str = "k7fs.nt.security";
const REPARSE: &str = "k7fs.nt.reparse";
/// Bytes of a reparse point's tag.
const TAG_BYTES: usize = 4;
/// UTF-16 units of a short name: 8.3.
const SHORT_NAME_UNITS_MAX: usize = 12;

/// The attribute that is a named stream.
fn stream_attribute<'n>(stream: &str, name: &'n mut [u8; ATTRIBUTE_NAME_BYTES_MAX]) -> Result<&'n str, inner::Error> {
    if stream.is_empty() {
        return Err(inner::Error::AttributeNameEmpty);
    }
    let mut writer = Writer::new(name);
    writer.bytes(STREAM_ATTRIBUTES.as_bytes());
    writer.bytes(stream.as_bytes());
    let name = writer.finish().ok_or(inner::Error::AttributeNameTooLong)?;
    core::str::from_utf8(name).map_err(|_| inner::Error::NameInvalid)
}

impl<F: Flash> Volume<'_, F> {
    /// An object's short name, in `bytes`; empty where it has none.
    ///
    /// # Errors
    /// `ResultTooLarge` with the bytes needed, those of the path.
    pub fn short_name<'n>(&mut self, path: &str, bytes: &'n mut [u8]) -> Result<&'n str, Error> {
        let (object, inode) = self.existing(path)?;
        let packed = self.packed(object, &inode)?;
        let len = usize::from(packed.short_name_len);
        let place = bytes.get_mut(..len).ok_or(Error::ResultTooLarge { needed: len as u64 })?;
        for (to, from) in place.iter_mut().zip(packed.short_name) {
            *to = from;
        }
        core::str::from_utf8(place).map_err(|_| Error::Corrupt { page: 0 })
    }

    /// Gives an object a short name of at most 12 UTF-16 units, or with an empty one takes it away. Nothing looks for an
    /// object by it. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// `NameTooLong`, `NameInvalid` for `/` and NUL, `NoSpace`, those of the path.
    pub fn set_short_name(&mut self, path: &str, name: &str) -> Result<(), Error> {
        self.writable()?;
        let (object, inode) = self.existing(path)?;
        if name.chars().map(char::len_utf16).sum::<usize>() > SHORT_NAME_UNITS_MAX {
            return Err(Error::NameTooLong);
        }
        if name.bytes().any(|byte| byte == 0 || byte == b'/') {
            return Err(Error::NameInvalid);
        }
        let held = self.packed(object, &inode)?;
        let mut packed = held;
        packed.short_name = [0; SHORT_NAME_BYTES_MAX];
        packed.short_name_len = name.len() as u8;
        for (to, from) in packed.short_name.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        Ok(self.put_packed(object, &inode, inode, &held, &packed)?)
    }

    /// An object's security descriptor in its self-relative form, in `bytes`.
    ///
    /// # Errors
    /// `NoSuchAttribute`, `ResultTooLarge` with the bytes needed, those of the path.
    pub fn security_descriptor<'v>(&mut self, path: &str, bytes: &'v mut [u8]) -> Result<&'v [u8], Error> {
        self.attribute(path, SECURITY, bytes)
    }

    /// Sets an object's security descriptor, or with no bytes removes it. Durable on return, outside a transaction. The volume
    /// keeps the bytes and never looks into them.
    ///
    /// # Errors
    /// `AttributeTooLarge`, `NoSpace`, those of the path.
    pub fn set_security_descriptor(&mut self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            self.remove_reserved(path, SECURITY)
        } else {
            self.set_reserved(path, SECURITY, &[], bytes)
        }
    }

    /// The tag and the data of an object's reparse point, the data in `bytes`.
    ///
    /// # Errors
    /// `NoSuchAttribute`, `ResultTooLarge` with the bytes needed, those of the path.
    pub fn reparse_point<'v>(&mut self, path: &str, bytes: &'v mut [u8]) -> Result<(u32, &'v [u8]), Error> {
        let (object, inode) = self.existing(path)?;
        let data = self.attribute_part(object, &inode, REPARSE, TAG_BYTES as u32, bytes)?;
        let tag = self.attribute_start(object, &inode, REPARSE)?;
        Ok((u32::from_le_bytes(tag), data))
    }

    /// Makes an object a reparse point. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// `AttributeTooLarge`, `NoSpace`, those of the path.
    pub fn set_reparse_point(&mut self, path: &str, tag: u32, data: &[u8]) -> Result<(), Error> {
        self.set_reserved(path, REPARSE, &tag.to_le_bytes(), data)
    }

    /// Makes an object a plain one again that was a reparse point, or leaves it one. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// Those of the path.
    pub fn remove_reparse_point(&mut self, path: &str) -> Result<(), Error> {
        self.remove_reserved(path, REPARSE)
    }

    /// The content of an object's named stream (of an *alternate data stream*), in `bytes`.
    ///
    /// [`list_attributes`](Self::list_attributes) lists them among the others, as
    /// [`STREAM_ATTRIBUTES`](crate::STREAM_ATTRIBUTES) and their name.
    ///
    /// # Errors
    /// `NoSuchAttribute`, `ResultTooLarge` with the bytes needed, `AttributeNameEmpty`, `AttributeNameTooLong` over 240 bytes,
    /// those of the path.
    pub fn stream<'v>(&mut self, path: &str, stream: &str, bytes: &'v mut [u8]) -> Result<&'v [u8], Error> {
        let mut name = [0; ATTRIBUTE_NAME_BYTES_MAX];
        self.attribute(path, stream_attribute(stream, &mut name)?, bytes)
    }

    /// Replaces or creates a named stream of at most 64 KiB. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// `AttributeTooLarge`, `AttributeNameEmpty`, `AttributeNameTooLong` over 240 bytes, `NoSpace`, those of the path.
    pub fn set_stream(&mut self, path: &str, stream: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut name = [0; ATTRIBUTE_NAME_BYTES_MAX];
        self.set_reserved(path, stream_attribute(stream, &mut name)?, &[], bytes)
    }

    /// Removes a named stream. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// `NoSuchAttribute`, `AttributeNameEmpty`, `AttributeNameTooLong` over 240 bytes, those of the path.
    pub fn remove_stream(&mut self, path: &str, stream: &str) -> Result<(), Error> {
        self.writable()?;
        let mut name = [0; ATTRIBUTE_NAME_BYTES_MAX];
        let (object, inode) = self.existing(path)?;
        Ok(self.delete_attribute(object, &inode, stream_attribute(stream, &mut name)?)?)
    }

    fn set_reserved(&mut self, path: &str, name: &str, first: &[u8], rest: &[u8]) -> Result<(), Error> {
        self.writable()?;
        let (object, inode) = self.existing(path)?;
        Ok(self.put_attribute(object, inode, name, first, rest)?)
    }

    /// Removes a reserved attribute, if it is there.
    fn remove_reserved(&mut self, path: &str, name: &str) -> Result<(), Error> {
        self.writable()?;
        let (object, inode) = self.existing(path)?;
        match self.delete_attribute(object, &inode, name) {
            Err(inner::Error::NoSuchAttribute) => Ok(()),
            result => Ok(result?),
        }
    }
}
