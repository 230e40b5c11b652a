//! Makes a directory tree of the host out of a volume.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use filetime::FileTime;
use k7fs_core::flash::Flash;
use k7fs_core::{Kind, OpenOptions, PATH_BYTES_MAX, Timestamp, Volume};

use super::error::HostError;
use super::progress::Progress;
use super::store::read_full;
use super::walk::{Entry, walk};

/// Bytes moved at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What an export did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Names created.
    pub objects: u64,
    /// Bytes of content written.
    pub content_bytes: u64,
}

/// Writes everything on the volume into `directory`, which is created or must be empty: names, contents, links and
/// modification times.
///
/// # Errors
/// `NotEmpty` before anything is written; `Io`, `Object` and `UnsafeName` for what failed later.
pub fn export<F: Flash>(
    volume: &mut Volume<'_, F>, directory: &Path, progress: &mut dyn Progress,
) -> Result<ExportReport, HostError> {
    let entries = walk(volume, "/")?;
    let root = volume.metadata("/").map_err(HostError::object("/"))?;
    prepare(directory)?;
    progress.total(total_bytes(&entries));
    let mut report = ExportReport::default();
    let mut by_object: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for entry in &entries {
        let host = directory.join(host_name(&entry.path)?);
        match entry.metadata.kind {
            Kind::Directory => fs::create_dir(&host).map_err(HostError::io(&host))?,
            Kind::Symlink => make_symlink(volume, entry, &host)?,
            Kind::File => match by_object.get(&entry.metadata.object) {
                Some(first) => fs::hard_link(first, &host).map_err(HostError::io(&host))?,
                None => {
                    report.content_bytes += write_file(volume, entry, &host, progress)?;
                    by_object.insert(entry.metadata.object, host);
                }
            },
            _ => {}
        }
        report.objects += 1;
    }
    // Last, and from the leaves up, since every file created gave its directory a new time.
    for entry in entries.iter().rev().filter(|entry| entry.metadata.kind == Kind::Directory) {
        set_modified(&directory.join(host_name(&entry.path)?), entry.metadata.modified)?;
    }
    set_modified(directory, root.modified)?;
    Ok(report)
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
        // A run of zeros stays a hole.
        let written = if chunk[..length].iter().all(|&byte| byte == 0) {
            target.seek(SeekFrom::Current(length as i64)).map(|_| ())
        } else {
            target.write_all(&chunk[..length])
        };
        written.map_err(HostError::io(host))?;
        offset += length as u64;
        progress.done(path, length as u64);
    }
    volume.close(file).map_err(HostError::object(path))?;
    target.set_len(offset).map_err(HostError::io(host))?;
    let time = file_time(entry.metadata.modified);
    filetime::set_file_handle_times(&target, None, Some(time)).map_err(HostError::io(host))?;
    Ok(offset)
}

fn make_symlink<F: Flash>(volume: &mut Volume<'_, F>, entry: &Entry, host: &Path) -> Result<(), HostError> {
    let mut bytes = [0; PATH_BYTES_MAX];
    let target = volume.read_link(&entry.path, &mut bytes).map_err(HostError::object(&entry.path))?;
    symlink(target, host, &entry.path)?;
    let time = file_time(entry.metadata.modified);
    filetime::set_symlink_file_times(host, time, time).map_err(HostError::io(host))
}

#[cfg(unix)]
fn symlink(target: &str, host: &Path, _path: &str) -> Result<(), HostError> {
    std::os::unix::fs::symlink(target, host).map_err(HostError::io(host))
}

#[cfg(not(unix))]
fn symlink(_target: &str, _host: &Path, path: &str) -> Result<(), HostError> {
    Err(HostError::NoSymlinks { path: path.to_owned() })
}

fn set_modified(host: &Path, time: Timestamp) -> Result<(), HostError> {
    filetime::set_file_mtime(host, file_time(time)).map_err(HostError::io(host))
}

fn file_time(time: Timestamp) -> FileTime {
    let (seconds, nanoseconds) = time.to_unix();
    FileTime::from_unix_time(seconds, nanoseconds)
}
