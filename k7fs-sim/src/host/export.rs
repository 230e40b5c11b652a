//! Makes a directory tree of the host out of a volume.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use filetime::FileTime;
use k7fs_core::flash::Flash;
use k7fs_core::{Kind, OpenOptions, PATH_BYTES_MAX, Posix, Timestamp, Volume};

use super::error::HostError;
use super::facts::attributes;
use super::native::{Owner, create_special, set_attribute, set_mode, set_owner};
use super::progress::Progress;
use super::store::read_full;
use super::walk::{Entry, walk};

/// Bytes moved at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Zeros of this length at such an offset become a hole.
const HOLE_BYTES: usize = 4096;

/// What an export did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Names created.
    pub objects: u64,
    /// Bytes of content written.
    pub content_bytes: u64,
    /// Objects that belong to this process instead of their owner: only root may give files away.
    pub owners_skipped: u64,
    /// FIFOs, sockets and devices that could not be created.
    pub special_skipped: u64,
    /// Objects with attributes that the host did not take.
    pub attributes_skipped: u64,
}

/// Writes everything on the volume into `directory`, which is created or must be empty: names, contents, links,
/// modification times, modes, and as far as the host and this process's rights allow it owners, attributes, FIFOs, sockets
/// and devices. What could not be set is counted in the report.
///
/// # Errors
/// `NotEmpty` before anything is written; `Io`, `Object` and `UnsafeName` for what failed later.
pub fn export<F: Flash>(
    volume: &mut Volume<'_, F>, directory: &Path, progress: &mut dyn Progress,
) -> Result<ExportReport, HostError> {
    let entries = walk(volume, "/")?;
    prepare(directory)?;
    progress.total(total_bytes(&entries));
    let mut report = ExportReport::default();
    let mut by_object: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for entry in &entries {
        let host = directory.join(host_name(&entry.path)?);
        match entry.metadata.kind {
            // Its mode may not let this process write: that comes last.
            Kind::Directory => fs::create_dir(&host).map_err(HostError::io(&host))?,
            Kind::Symlink => make_symlink(volume, entry, &host, &mut report)?,
            kind => match by_object.get(&entry.metadata.object) {
                Some(first) => fs::hard_link(first, &host).map_err(HostError::io(&host))?,
                None if kind == Kind::File => {
                    report.content_bytes += write_file(volume, entry, &host, progress)?;
                    set_facts(volume, &entry.path, kind, &host, &mut report)?;
                    by_object.insert(entry.metadata.object, host);
                }
                None if make_special(volume, entry, &host)? => {
                    set_facts(volume, &entry.path, kind, &host, &mut report)?;
                    by_object.insert(entry.metadata.object, host);
                }
                None => {
                    report.special_skipped += 1;
                    continue;
                }
            },
        }
        report.objects += 1;
    }
    // Last, and from the leaves up, since every file created gave its directory a new time.
    for entry in entries.iter().rev().filter(|entry| entry.metadata.kind == Kind::Directory) {
        let host = directory.join(host_name(&entry.path)?);
        set_facts(volume, &entry.path, Kind::Directory, &host, &mut report)?;
    }
    set_facts(volume, "/", Kind::Directory, directory, &mut report)?;
    Ok(report)
}

/// Sets everything but the content: the owner first, which takes rights and set-user bits away, the mode behind what it may
/// forbid, and the time last.
fn set_facts<F: Flash>(
    volume: &mut Volume<'_, F>, path: &str, kind: Kind, host: &Path, report: &mut ExportReport,
) -> Result<(), HostError> {
    let Posix { mode, uid, gid, modified, accessed, .. } = volume.posix(path).map_err(HostError::object(path))?;
    let owned = set_owner(host, Owner { mode, uid, gid }).map_err(HostError::io(host))?;
    report.owners_skipped += u64::from(!owned);
    let (attributes, reserved) = attributes(volume, path).map_err(HostError::object(path))?;
    let mut skipped = reserved;
    for (name, value) in &attributes {
        skipped |= !set_attribute(host, name, value).map_err(HostError::io(host))?;
    }
    report.attributes_skipped += u64::from(skipped);
    let (read, written) = (file_time(accessed.unwrap_or(modified)), file_time(modified));
    if kind == Kind::Symlink {
        return filetime::set_symlink_file_times(host, read, written).map_err(HostError::io(host));
    }
    // To the owner that it has instead, set-user and set-group bits would give rights that nobody meant.
    let mode = if owned { mode } else { mode & 0o1777 };
    set_mode(host, mode).map_err(HostError::io(host))?;
    match kind {
        // By name: to open a FIFO or a device is to use it, and a file's mode may forbid it.
        Kind::Directory | Kind::File if accessed.is_none() => filetime::set_file_mtime(host, written),
        Kind::Directory | Kind::File => filetime::set_file_times(host, read, written),
        _ => filetime::set_symlink_file_times(host, read, written),
    }
    .map_err(HostError::io(host))
}

/// Creates a FIFO, a socket or a device; `false` where that is not possible here.
fn make_special<F: Flash>(volume: &mut Volume<'_, F>, entry: &Entry, host: &Path) -> Result<bool, HostError> {
    let device = match entry.metadata.kind {
        Kind::CharacterDevice | Kind::BlockDevice => {
            volume.device(&entry.path).map_err(HostError::object(&entry.path))?
        }
        _ => k7fs_core::Device::default(),
    };
    create_special(host, entry.metadata.kind, device).map_err(HostError::io(host))
}

fn total_bytes(entries: &[Entry]) -> u64 {
    let mut seen = std::collections::BTreeSet::new();
    let files = entries.iter().filter(|entry| entry.metadata.kind == Kind::File);
    files.filter(|entry| seen.insert(entry.metadata.object)).map(|entry| entry.metadata.size).sum()
}

fn prepare(directory: &Path) -> Result<(), HostError> {
    match fs::create_dir(directory) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(HostError::io(directory)(error)),
    }
    let mut entries = fs::read_dir(directory).map_err(HostError::io(directory))?;
    if entries.next().is_some() {
        return Err(HostError::NotEmpty { path: directory.to_path_buf() });
    }
    Ok(())
}

/// The path below the directory exported to. Refuses what a damaged or hostile volume could use to get out of it.
fn host_name(path: &str) -> Result<&Path, HostError> {
    let relative = path.strip_prefix('/').unwrap_or(path);
    let safe = |name: &str| {
        let foreign = if cfg!(windows) { name.contains(['\\', ':']) } else { false };
        !(name.is_empty() || name == "." || name == ".." || name.contains('\0') || foreign)
    };
    if !relative.split('/').all(safe) {
        return Err(HostError::UnsafeName { path: path.to_owned() });
    }
    Ok(Path::new(relative))
}

fn write_file<F: Flash>(
    volume: &mut Volume<'_, F>, entry: &Entry, host: &Path, progress: &mut dyn Progress,
) -> Result<u64, HostError> {
    let path = entry.path.as_str();
    let mut target = File::create_new(host).map_err(HostError::io(host))?;
    let file = volume.open(path, OpenOptions::new().read(true)).map_err(HostError::object(path))?;
    // Most files are much smaller than a chunk, and every question about one costs a search of the volume.
    let size = entry.metadata.size;
    let mut chunk = vec![0; usize::try_from(size).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES)];
    let mut offset = 0;
    while offset < size {
        let length = read_full(volume, &file, offset, &mut chunk).map_err(HostError::object(path))?;
        if length == 0 {
            break;
        }
        write_with_holes(&mut target, &chunk[..length]).map_err(HostError::io(host))?;
        offset += length as u64;
        progress.done(path, length as u64);
    }
    volume.close(file).map_err(HostError::object(path))?;
    target.set_len(offset).map_err(HostError::io(host))?;
    Ok(offset)
}

/// Writes bytes that start at a multiple of [`HOLE_BYTES`]; runs of zeros stay holes.
fn write_with_holes(target: &mut File, bytes: &[u8]) -> io::Result<()> {
    let is_hole = |piece: &[u8]| piece.iter().all(|&byte| byte == 0);
    let mut rest = bytes;
    while !rest.is_empty() {
        let hole = is_hole(&rest[..rest.len().min(HOLE_BYTES)]);
        let run: usize = rest.chunks(HOLE_BYTES).take_while(|piece| is_hole(piece) == hole).map(<[u8]>::len).sum();
        if hole {
            target.seek(SeekFrom::Current(run as i64))?;
        } else {
            target.write_all(&rest[..run])?;
        }
        rest = &rest[run..];
    }
    Ok(())
}

fn make_symlink<F: Flash>(
    volume: &mut Volume<'_, F>, entry: &Entry, host: &Path, report: &mut ExportReport,
) -> Result<(), HostError> {
    let mut bytes = [0; PATH_BYTES_MAX];
    let target = volume.read_link(&entry.path, &mut bytes).map_err(HostError::object(&entry.path))?;
    symlink(target, host, &entry.path)?;
    set_facts(volume, &entry.path, Kind::Symlink, host, report)
}

#[cfg(unix)]
fn symlink(target: &str, host: &Path, _path: &str) -> Result<(), HostError> {
    std::os::unix::fs::symlink(target, host).map_err(HostError::io(host))
}

#[cfg(not(unix))]
fn symlink(_target: &str, _host: &Path, path: &str) -> Result<(), HostError> {
    Err(HostError::NoSymlinks { path: path.to_owned() })
}

fn file_time(time: Timestamp) -> FileTime {
    let (seconds, nanoseconds) = time.to_unix();
    FileTime::from_unix_time(seconds, nanoseconds)
}
