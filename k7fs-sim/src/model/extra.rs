//! What an object has beside its content: attributes and the metadata of both worlds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k7fs_core::flash::Flash;
use k7fs_core::{ATTRIBUTE_NAME_BYTES_MAX, CodecId, Device, Error, Kind, Timestamp, Volume};

/// Bytes of the longest short name, and some to spare.
const SHORT_NAME_BYTES: usize = 64;

/// What a volume shows of an object beside content and links. Modification and creation times are the clock's business.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Extra {
    /// Attributes by name, reserved ones among them.
    pub attributes: BTreeMap<String, Arc<Vec<u8>>>,
    /// The lower 12 bits of the mode.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The access time.
    pub accessed: Option<Timestamp>,
    /// The time of the last change of anything.
    pub changed: Option<Timestamp>,
    /// NT's attributes.
    pub nt: u32,
    /// NT's short name, empty for none.
    pub short_name: String,
    /// The number of a device.
    pub device: Device,
    /// The codec that was chosen.
    pub codec: Option<CodecId>,
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:o} of {}:{}, NT {:#x}", self.mode, self.uid, self.gid, self.nt)?;
        write!(
            f,
            " \"{}\", accessed {:?}, changed {:?}, {:?}, codec {:?} ",
            self.short_name, self.accessed, self.changed, self.device, self.codec
        )?;
        let attributes = self.attributes.iter().map(|(name, value)| (name, value.len()));
        f.debug_map().entries(attributes).finish()
    }
}

/// What was ever set of an object; the rest follows from its kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) attributes: BTreeMap<String, Arc<Vec<u8>>>,
    pub(super) mode: Option<u16>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) accessed: Option<Timestamp>,
    pub(super) nt: Option<u32>,
    pub(super) short_name: String,
    pub(super) codec: Option<CodecId>,
}

impl Stored {
    fn mode(&self, kind: Kind) -> u16 {
        self.mode.unwrap_or(match kind {
            Kind::Directory => 0o755,
            Kind::Symlink => 0o777,
            _ => 0o644,
        })
    }

    fn nt(&self, kind: Kind) -> u32 {
        self.nt.unwrap_or(if kind == Kind::Directory { 0x10 } else { 0x80 })
    }

    pub(super) fn shown(&self, kind: Kind, device: Device) -> Extra {
        Extra {
            attributes: self.attributes.clone(),
            mode: self.mode(kind),
            uid: self.uid,
            gid: self.gid,
            accessed: self.accessed,
            changed: None,
            nt: self.nt(kind),
            short_name: self.short_name.clone(),
            device,
            codec: self.codec,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.attributes.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
    }
}

impl Extra {
    /// What an object shows of which nothing was ever set.
    pub fn of_new(kind: Kind) -> Self {
        Stored::default().shown(kind, Device::default())
    }
}

/// An object's attributes with their values. The number of calls is bounded whatever the volume says.
pub(super) fn attributes<F: Flash>(
    volume: &mut Volume<'_, F>, path: &str,
) -> Result<BTreeMap<String, Arc<Vec<u8>>>, Error> {
    let mut attributes = BTreeMap::new();
    for (name, size) in attribute_names(volume, path)? {
        let mut value = vec![0; size as usize];
        let length = volume.attribute(path, &name, &mut value)?.len();
        value.truncate(length);
        attributes.insert(name, Arc::new(value));
    }
    Ok(attributes)
}

/// The names of an object's attributes, sorted, and the lengths of their values.
pub(super) fn attribute_names<F: Flash>(volume: &mut Volume<'_, F>, path: &str) -> Result<Vec<(String, u32)>, Error> {
    let mut cursor = volume.list_attributes(path)?;
    let mut name = [0; ATTRIBUTE_NAME_BYTES_MAX];
    let mut names = Vec::new();
    while let Some(entry) = volume.next_attribute(&mut cursor, &mut name)? {
        names.push((entry.name.to_owned(), entry.size));
    }
    names.sort();
    Ok(names)
}

/// Everything of an object that [`Extra`] holds.
///
/// # Errors
/// What the volume's calls give, and `Corrupt` where its two views of the times differ.
pub fn observe_extra<F: Flash>(volume: &mut Volume<'_, F>, path: &str, kind: Kind) -> Result<Extra, Error> {
    let (posix, nt) = (volume.posix(path)?, volume.nt(path)?);
    let times = (nt.created, nt.modified, nt.accessed, nt.changed);
    if times != (posix.created, posix.modified, posix.accessed, posix.changed) {
        return Err(Error::Corrupt { page: 0 });
    }
    let mut short_name = [0; SHORT_NAME_BYTES];
    let short_name = volume.short_name(path, &mut short_name)?.to_owned();
    let device = match kind {
        Kind::CharacterDevice | Kind::BlockDevice => volume.device(path)?,
        _ => Device::default(),
    };
    Ok(Extra {
        attributes: attributes(volume, path)?,
        mode: posix.mode,
        uid: posix.uid,
        gid: posix.gid,
        accessed: posix.accessed,
        changed: posix.changed,
        nt: nt.attributes,
        short_name,
        device,
        codec: volume.metadata(path)?.codec,
    })
}
