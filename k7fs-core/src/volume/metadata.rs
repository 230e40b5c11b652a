//! What POSIX and NT want to know of an object beside what its inode says.
//!
//! Each fact has one place: creation and modification times stand in the inode, the rest in one packed attribute without a
//! name, at position 0 of the object's attributes, so that it costs a small value and no hash.
//!
//! ```text
//! presence: ULEB | mode: ULEB | user: ULEB | group: ULEB | accessed: seconds, ticks | changed: seconds, ticks
//!                | NT attributes: ULEB | short name: length u8, bytes
//! ```
//!
//! A bit of the presence says that the field is there, from bit 0 on in this order. An object without any has no such
//! attribute. Both worlds share the times; what one of them lacks it leaves alone, so that a way through the other loses
//! nothing.

use super::Volume;
use super::inode::{Inode, NamePlace, attribute_key};
use super::namespace::NAME_ROWS;
use super::types::{Device, Kind, Timestamp};
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::tree::Entry;
use crate::varint::{Reader, Writer};

/// Where the packed attribute is.
const POSITION: u64 = 0;
/// Bytes of the longest packed attribute.
const PACKED_BYTES_MAX: usize = 96;
/// Bytes that one costs at most, with its header and its entry in a leaf.
const PACKED_COST_BYTES: u64 = 160;
/// Bytes of a short name: twelve UTF-16 units.
pub(super) const SHORT_NAME_BYTES_MAX: usize = 36;

const MODE: u64 = 1;
const USER: u64 = 1 << 1;
const GROUP: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 3;
const CHANGED: u64 = 1 << 4;
const NT_ATTRIBUTES: u64 = 1 << 5;
const SHORT_NAME: u64 = 1 << 6;

/// All bits of a mode: permissions, set-user, set-group and sticky.
const MODE_BITS: u16 = 0o7777;
/// NT's attributes of a directory, and of anything else, where none were set.
const NT_DIRECTORY: u32 = 0x10;
const NT_NORMAL: u32 = 0x80;

/// An object as POSIX sees it, beside kind, size and links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Posix {
    /// The lower 12 bits of `st_mode`; the type comes from the object's kind. Where none was set: 0755 for directories, 0777
    /// for symbolic links, else 0644.
    pub mode: u16,
    /// The owner; 0 where none was set.
    pub uid: u32,
    /// The group; 0 where none was set.
    pub gid: u32,
    /// When the object came to be: the same as NT's creation time.
    pub created: Timestamp,
    /// When its content last changed: the same as NT's last write time.
    pub modified: Timestamp,
    /// When its content was last read. The volume itself never sets it.
    pub accessed: Option<Timestamp>,
    /// When its metadata last changed: the same as NT's change time. The volume itself never sets it.
    pub changed: Option<Timestamp>,
}

/// An object as NT sees it, beside kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Nt {
    /// `FILE_ATTRIBUTE_*`. Where none were set: directory (0x10) or normal (0x80). Nothing follows from the mode nor the
    /// other way round: what follows is for whoever shows an object of one world to the other.
    pub attributes: u32,
    /// When the object was created.
    pub created: Timestamp,
    /// When its content was last written.
    pub modified: Timestamp,
    /// When it was last accessed. The volume itself never sets it.
    pub accessed: Option<Timestamp>,
    /// When anything of it last changed. The volume itself never sets it.
    pub changed: Option<Timestamp>,
}

/// The packed attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// `None` for what is usual for the kind.
    mode: Option<u16>,
    uid: u32,
    gid: u32,
    accessed: Option<Timestamp>,
    changed: Option<Timestamp>,
    nt: Option<u32>,
    pub(super) short_name: [u8; SHORT_NAME_BYTES_MAX],
    pub(super) short_name_len: u8,
}

impl Packed {
    const EMPTY: Self = Self {
        mode: None,
        uid: 0,
        gid: 0,
        accessed: None,
        changed: None,
        nt: None,
        short_name: [0; SHORT_NAME_BYTES_MAX],
        short_name_len: 0,
    };

    fn presence(&self) -> u64 {
        let bit = |mask, on: bool| if on { mask } else { 0 };
        bit(MODE, self.mode.is_some())
            | bit(USER, self.uid != 0)
            | bit(GROUP, self.gid != 0)
            | bit(ACCESSED, self.accessed.is_some())
            | bit(CHANGED, self.changed.is_some())
            | bit(NT_ATTRIBUTES, self.nt.is_some())
            | bit(SHORT_NAME, self.short_name_len != 0)
    }

    fn encode<'b>(&self, bytes: &'b mut [u8]) -> Option<&'b [u8]> {
        let mut writer = Writer::new(bytes);
        writer.uleb(self.presence());
        let owner = |id: u32| (id != 0).then_some(id);
        for number in [self.mode.map(u32::from), owner(self.uid), owner(self.gid)].into_iter().flatten() {
            writer.uleb(number.into());
        }
        for time in [self.accessed, self.changed].into_iter().flatten() {
            writer.uleb(time.seconds);
            writer.uleb(time.ticks.into());
        }
        if let Some(attributes) = self.nt {
            writer.uleb(attributes.into());
        }
        if self.short_name_len != 0 {
            writer.byte(self.short_name_len);
            writer.bytes(self.short_name.get(..usize::from(self.short_name_len))?);
        }
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let presence = reader.uleb();
        let has = |mask| presence & mask != 0;
        let mut packed = Self::EMPTY;
        if has(MODE) {
            packed.mode = Some(reader.uleb32() as u16 & MODE_BITS);
        }
        if has(USER) {
            packed.uid = reader.uleb32();
        }
        if has(GROUP) {
            packed.gid = reader.uleb32();
        }
        if has(ACCESSED) {
            packed.accessed = Some(Timestamp { seconds: reader.uleb(), ticks: reader.uleb32() });
        }
        if has(CHANGED) {
            packed.changed = Some(Timestamp { seconds: reader.uleb(), ticks: reader.uleb32() });
        }
        if has(NT_ATTRIBUTES) {
            packed.nt = Some(reader.uleb32());
        }
        if has(SHORT_NAME) {
            packed.short_name_len = reader.byte();
            let name = reader.bytes(packed.short_name_len.into());
            packed.short_name.get_mut(..name.len())?.copy_from_slice(name);
        }
        reader.finish(packed)
    }
}

fn usual_mode(kind: Kind) -> u16 {
    match kind {
        Kind::Directory => 0o755,
        Kind::Symlink => 0o777,
        _ => 0o644,
    }
}

fn usual_nt(kind: Kind) -> u32 {
    if kind == Kind::Directory { NT_DIRECTORY } else { NT_NORMAL }
}

/// Refuses times whose ticks are a second or more.
fn check_times(times: &[Option<Timestamp>]) -> Result<(), inner::Error> {
    if times.iter().flatten().all(|time| time.is_sound()) { Ok(()) } else { Err(inner::Error::InvalidOption) }
}

impl<F: Flash> Volume<'_, F> {
    /// An object as POSIX sees it. Symbolic links are not followed.
    ///
    /// # Errors
    /// Those of the path and of reading.
    pub fn posix(&mut self, path: &str) -> Result<Posix, Error> {
        let (object, inode) = self.existing(path)?;
        let packed = self.packed(object, &inode)?;
        Ok(Posix {
            mode: packed.mode.unwrap_or(usual_mode(inode.kind)),
            uid: packed.uid,
            gid: packed.gid,
            created: inode.created,
            modified: inode.modified,
            accessed: packed.accessed,
            changed: packed.changed,
        })
    }

    /// Sets what POSIX knows of an object; what only NT knows stays. Writes nothing where nothing differs. Durable on
    /// return, outside a transaction.
    ///
    /// # Errors
    /// `InvalidOption` for a mode of more than 12 bits or a time with 10,000,000 ticks or more, `NoSpace`, those of the path.
    pub fn set_posix(&mut self, path: &str, posix: &Posix) -> Result<(), Error> {
        self.writable()?;
        let (object, mut inode) = self.existing(path)?;
        if posix.mode & !MODE_BITS != 0 {
            return Err(Error::InvalidOption);
        }
        check_times(&[Some(posix.created), Some(posix.modified), posix.accessed, posix.changed])?;
        let (before, held) = (inode, self.packed(object, &inode)?);
        let mut packed = held;
        (packed.uid, packed.gid) = (posix.uid, posix.gid);
        packed.mode = Some(posix.mode).filter(|mode| *mode != usual_mode(inode.kind));
        (packed.accessed, packed.changed) = (posix.accessed, posix.changed);
        (inode.created, inode.modified) = (posix.created, posix.modified);
        Ok(self.put_packed(object, &before, inode, &held, &packed)?)
    }

    /// An object as NT sees it. Symbolic links are not followed.
    ///
    /// # Errors
    /// Those of the path and of reading.
    pub fn nt(&mut self, path: &str) -> Result<Nt, Error> {
        let (object, inode) = self.existing(path)?;
        let packed = self.packed(object, &inode)?;
        Ok(Nt {
            attributes: packed.nt.unwrap_or(usual_nt(inode.kind)),
            created: inode.created,
            modified: inode.modified,
            accessed: packed.accessed,
            changed: packed.changed,
        })
    }

    /// Sets what NT knows of an object; what only POSIX knows stays. Writes nothing where nothing differs. Durable on
    /// return, outside a transaction.
    ///
    /// # Errors
    /// `InvalidOption` for a time with 10,000,000 ticks or more, `NoSpace`, those of the path.
    pub fn set_nt(&mut self, path: &str, nt: &Nt) -> Result<(), Error> {
        self.writable()?;
        let (object, mut inode) = self.existing(path)?;
        check_times(&[Some(nt.created), Some(nt.modified), nt.accessed, nt.changed])?;
        let (before, held) = (inode, self.packed(object, &inode)?);
        let mut packed = held;
        packed.nt = Some(nt.attributes).filter(|attributes| *attributes != usual_nt(inode.kind));
        (packed.accessed, packed.changed) = (nt.accessed, nt.changed);
        (inode.created, inode.modified) = (nt.created, nt.modified);
        Ok(self.put_packed(object, &before, inode, &held, &packed)?)
    }

    /// Creates a FIFO, a socket or a device, which is a name and nothing behind it: a volume keeps it for a host. Durable on
    /// return, outside a transaction.
    ///
    /// # Errors
    /// `InvalidOption` for another kind, or a device number other than 0 for what is no device; `AlreadyExists`, `NoSpace`,
    /// those of the path.
    pub fn create_special(&mut self, path: &str, kind: Kind, device: Device) -> Result<(), Error> {
        self.writable()?;
        let fits = match kind {
            Kind::Fifo | Kind::Socket => device == Device::default(),
            Kind::CharacterDevice | Kind::BlockDevice => true,
            _ => false,
        };
        if !fits {
            return Err(Error::InvalidOption);
        }
        let (directory, position, name) = self.free_place(path)?;
        let number = u64::from(device.major) << 32 | u64::from(device.minor);
        let mut inode = Inode::new(kind, self.now(), NamePlace::new(directory, position));
        inode.device = number;
        self.create_with(directory, position, name, inode, &[])?;
        Ok(())
    }

    /// The number of a device.
    ///
    /// # Errors
    /// `NotADevice`, those of the path.
    pub fn device(&mut self, path: &str) -> Result<Device, Error> {
        let (_, inode) = self.existing(path)?;
        match inode.kind {
            Kind::CharacterDevice | Kind::BlockDevice => {
                Ok(Device { major: (inode.device >> 32) as u32, minor: inode.device as u32 })
            }
            _ => Err(Error::NotADevice),
        }
    }

    /// An object's packed attribute; one without fields where there is none.
    pub(super) fn packed(&mut self, object: u64, inode: &Inode) -> Result<Packed, inner::Error> {
        if !inode.attributes {
            return Ok(Packed::EMPTY);
        }
        let mut bytes = [0u8; PACKED_BYTES_MAX];
        match self.tree.load(&attribute_key(object, POSITION), &mut bytes) {
            Err(inner::Error::NotFound) => Ok(Packed::EMPTY),
            value => Packed::decode(value?).ok_or(inner::Error::Corrupt { page: 0 }),
        }
    }

    /// Whether an attribute without a name is the packed one, as written by a sound writer.
    pub(super) fn check_packed(&mut self, entry: &Entry) -> Result<bool, inner::Error> {
        let mut bytes = [0u8; PACKED_BYTES_MAX];
        let Some(bytes) = bytes.get_mut(..entry.content.len() as usize) else { return Ok(false) };
        self.tree.read(&entry.content, 0, bytes)?;
        let packed = Packed::decode(bytes);
        Ok(entry.key.position == POSITION && packed.is_some_and(|packed| packed.presence() != 0))
    }

    /// Puts an inode and a packed attribute where they differ from what is held.
    #[inline(never)]
    pub(super) fn put_packed(
        &mut self, object: u64, before: &Inode, mut inode: Inode, held: &Packed, packed: &Packed,
    ) -> Result<(), inner::Error> {
        let repacked = packed != held;
        inode.attributes |= packed.presence() != 0;
        if inode == *before && !repacked {
            return Ok(());
        }
        let grows = packed.presence() & !held.presence() != 0;
        self.begin_names(if grows { PACKED_COST_BYTES } else { 0 }, NAME_ROWS)?;
        self.change(|volume| {
            if repacked && packed.presence() == 0 {
                volume.tree.delete(attribute_key(object, POSITION))?;
            } else if repacked {
                let mut bytes = [0u8; PACKED_BYTES_MAX];
                let value = packed.encode(&mut bytes).ok_or(inner::Error::Exhausted)?;
                volume.tree.put(attribute_key(object, POSITION), value)?;
            }
            if inode == *before { Ok(()) } else { volume.put_inode(object, &inode) }
        })?;
        self.commit_unless_running()
    }
}
