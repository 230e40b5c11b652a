//! What a host knows of a file beside its content: reading it, and setting it again.
//!
//! On hosts without owners and modes there is nothing to read, and nothing is set but times.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use k7fs_core::{ATTRIBUTE_BYTES_MAX, ATTRIBUTE_NAME_BYTES_MAX, RESERVED_ATTRIBUTES, Timestamp};
#[cfg(unix)]
use k7fs_core::{Device, Kind};

use super::facts::Attributes;

/// Mode and owner of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The lower 12 bits of the mode.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// What is known of a file beside its content and its modification time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Mode and owner, on hosts that have them.
    pub owner: Option<Owner>,
    /// When the file was created, on hosts that know.
    pub created: Option<Timestamp>,
    /// When it was last read; `None` where nobody asks, as looking at a tree changes it.
    pub accessed: Option<Timestamp>,
    /// When anything of it was last changed, on hosts that know; `None` where nobody asks.
    pub changed: Option<Timestamp>,
    /// Extended attributes, sorted by name.
    pub attributes: Attributes,
    /// Whether there are attributes that a volume cannot hold.
    pub lost_attributes: bool,
}

/// Which times of a file are wanted, beside that of its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// When its content was last modified.
    #[default]
    Modified,
    /// When it was last read or changed in any way, too.
    All,
}

impl Facts {
    /// Reads them. Attributes that this process may not read are left out.
    pub(super) fn read(host: &Path, metadata: &Metadata, times: Times) -> Self {
        let system = |time: io::Result<std::time::SystemTime>| {
            let time = filetime::FileTime::from_system_time(time.ok()?);
            Timestamp::from_unix(time.unix_seconds(), time.nanoseconds())
        };
        let mut facts = Self { owner: owner(metadata), created: system(metadata.created()), ..Self::default() };
        if times == Times::All {
            (facts.accessed, facts.changed) = (system(metadata.accessed()), changed(metadata));
        }
        for (name, value) in attributes(host) {
            let fits = name
                .as_ref()
                .is_some_and(|name| name.len() <= ATTRIBUTE_NAME_BYTES_MAX && !name.starts_with(RESERVED_ATTRIBUTES));
            match name {
                Some(name) if fits && value.len() <= ATTRIBUTE_BYTES_MAX => facts.attributes.push((name, value)),
                _ => facts.lost_attributes = true,
            }
        }
        facts.attributes.sort();
        facts
    }
}

#[cfg(unix)]
fn owner(metadata: &Metadata) -> Option<Owner> {
    use std::os::unix::fs::MetadataExt;
    Some(Owner { mode: (metadata.mode() & 0o7777) as u16, uid: metadata.uid(), gid: metadata.gid() })
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<Timestamp> {
    use std::os::unix::fs::MetadataExt;
    Timestamp::from_unix(metadata.ctime(), u32::try_from(metadata.ctime_nsec()).ok()?)
}

#[cfg(not(unix))]
fn changed(_metadata: &Metadata) -> Option<Timestamp> {
    None
}

#[cfg(not(unix))]
fn owner(_metadata: &Metadata) -> Option<Owner> {
    None
}

/// Attributes with their names, `None` for a name that is not UTF-8. A file system without any gives none.
#[cfg(unix)]
fn attributes(host: &Path) -> Vec<(Option<String>, Vec<u8>)> {
    let Ok(names) = xattr::list(host) else { return Vec::new() };
    let values = names.map(|name| {
        let value = xattr::get(host, &name).ok().flatten();
        value.map(|value| (name.into_string().ok(), value))
    });
    values.flatten().collect()
}

#[cfg(not(unix))]
fn attributes(_host: &Path) -> Vec<(Option<String>, Vec<u8>)> {
    Vec::new()
}

/// Gives a file of this process its owner. Others than root may only do so where nothing changes.
#[cfg(unix)]
pub(super) fn set_owner(host: &Path, owner: Owner) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let held = host.symlink_metadata()?;
    if (held.uid(), held.gid()) == (owner.uid, owner.gid) {
        return Ok(true);
    }
    match std::os::unix::fs::lchown(host, Some(owner.uid), Some(owner.gid)) {
        Ok(()) => Ok(true),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
pub(super) fn set_owner(_host: &Path, _owner: Owner) -> io::Result<bool> {
    Ok(true)
}

/// Sets a mode. Symbolic links have none of their own.
#[cfg(unix)]
pub(super) fn set_mode(host: &Path, mode: u16) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(host, std::fs::Permissions::from_mode(mode.into()))
}

#[cfg(not(unix))]
pub(super) fn set_mode(_host: &Path, _mode: u16) -> io::Result<()> {
    Ok(())
}

/// Sets an attribute; `false` where this host, its file system or its rights do not allow it.
#[cfg(unix)]
pub(super) fn set_attribute(host: &Path, name: &str, value: &[u8]) -> io::Result<bool> {
    match xattr::set(host, name, value) {
        Ok(()) => Ok(true),
        Err(error) if is_refusal(&error) || is_unsupported(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
pub(super) fn set_attribute(_host: &Path, _name: &str, _value: &[u8]) -> io::Result<bool> {
    Ok(false)
}

#[cfg(unix)]
fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// A file system without attributes, a kind of file without any, a name or a length that this one does not take.
#[cfg(unix)]
fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let unsupported = [Errno::NOTSUP, Errno::OPNOTSUPP, Errno::INVAL, Errno::RANGE, Errno::TOOBIG, Errno::NOSPC];
    Errno::from_io_error(error).is_some_and(|errno| unsupported.contains(&errno))
}

/// The kind and number of what is neither file nor directory nor link.
#[cfg(unix)]
pub(super) fn special(metadata: &Metadata) -> Option<(Kind, Device)> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let number = metadata.rdev();
    let device = Device { major: rustix::fs::major(number), minor: rustix::fs::minor(number) };
    let kind = metadata.file_type();
    if kind.is_socket() {
        Some((Kind::Socket, Device::default()))
    } else if kind.is_fifo() {
        Some((Kind::Fifo, Device::default()))
    } else if kind.is_char_device() {
        Some((Kind::CharacterDevice, device))
    } else if kind.is_block_device() {
        Some((Kind::BlockDevice, device))
    } else {
        None
    }
}

/// Creates a FIFO, a socket or a device, readable by its owner only until its mode is set; `false` where this host or its
/// rights do not allow it.
#[cfg(target_os = "linux")]
pub(super) fn create_special(host: &Path, kind: Kind, device: Device) -> io::Result<bool> {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let kind = match kind {
        Kind::Fifo => FileType::Fifo,
        Kind::Socket => FileType::Socket,
        Kind::CharacterDevice => FileType::CharacterDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        _ => return Ok(false),
    };
    match mknodat(CWD, host, kind, Mode::RUSR | Mode::WUSR, makedev(device.major, device.minor)) {
        Ok(()) => Ok(true),
        Err(error) if is_refusal(&error.into()) || is_unsupported(&error.into()) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn create_special(_host: &Path, _kind: k7fs_core::Kind, _device: k7fs_core::Device) -> io::Result<bool> {
    Ok(false)
}
