//! Moves one file's content between a host and a volume.

use std::io::{self, Read};

use k7fs_core::flash::Flash;
use k7fs_core::{Error, OpenOptions, Timestamp, Volume};

use super::source::{Plain, Source};

/// Bytes moved at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why a file was not stored: the volume or the source of its content.
#[derive(Debug)]
pub enum Content {
    /// The volume refused or failed.
    Volume(Error),
    /// The content could not be read.
    Source(io::Error),
}

impl From<Error> for Content {
    fn from(error: Error) -> Self {
        Self::Volume(error)
    }
}

/// Stores all of `source` as the file at `path`, in one transaction: after a power cut the file is as it was before or
/// as it is meant to be. Runs of zeros become holes. With `fresh` the name gets an object of its own, where it shared
/// one with other names before. Calls `moved` with the count of bytes after each chunk.
///
/// # Errors
/// `Volume` and `Source`; nothing has changed then.
pub fn store<F: Flash>(
    volume: &mut Volume<'_, F>, path: &str, modified: Option<Timestamp>, fresh: bool, source: &mut dyn Read,
    moved: &mut dyn FnMut(u64),
) -> Result<(), Content> {
    let finish = |volume: &mut Volume<'_, F>| modified.map_or(Ok(()), |time| volume.set_modified(path, time));
    store_with(volume, path, fresh, &mut Plain(source), moved, finish)
}

/// As [`store`], from a source that may know of holes; `finish` is a part of the transaction.
///
/// # Errors
/// As [`store`], and those of `finish`.
pub fn store_with<F: Flash>(
    volume: &mut Volume<'_, F>, path: &str, fresh: bool, source: &mut dyn Source, moved: &mut dyn FnMut(u64),
    finish: impl FnOnce(&mut Volume<'_, F>) -> Result<(), Error>,
) -> Result<(), Content> {
    let copy = |volume: &mut Volume<'_, F>, file: &k7fs_core::File, failed: &mut _| {
        copy_in(volume, file, source, moved, failed)
    };
    fill_with(volume, path, fresh, copy, finish)
}

/// Makes the file at `path` what `copy` writes to it, in one transaction with `finish`. A failure of the source is left in the last
/// argument of `copy`, which then fails in any way.
///
/// # Errors
/// As [`store`], and those of `finish`.
pub(super) fn fill_with<F: Flash>(
    volume: &mut Volume<'_, F>, path: &str, fresh: bool,
    copy: impl FnOnce(&mut Volume<'_, F>, &k7fs_core::File, &mut Option<io::Error>) -> Result<(), Error>,
    finish: impl FnOnce(&mut Volume<'_, F>) -> Result<(), Error>,
) -> Result<(), Content> {
    let mut failed = None;
    let result = volume.transaction(|volume| {
        if fresh {
            volume.remove_file(path)?;
        }
        let file = volume.open(path, OpenOptions::new().write(true).create(true).truncate(true))?;
        let copied = copy(volume, &file, &mut failed);
        let closed = volume.close(file);
        copied?;
        closed?;
        finish(volume)
    });
    match (failed, result) {
        (Some(error), _) => Err(Content::Source(error)),
        (None, result) => Ok(result?),
    }
}

fn copy_in<F: Flash>(
    volume: &mut Volume<'_, F>, file: &k7fs_core::File, source: &mut dyn Source, moved: &mut dyn FnMut(u64),
    failed: &mut Option<io::Error>,
) -> Result<(), Error> {
    // Whole logical blocks, which may be compressed.
    let chunk_bytes = CHUNK_BYTES.max(volume.info().logical_block_size as usize);
    let mut chunk = Vec::with_capacity(chunk_bytes);
    let mut offset: u64 = 0;
    let mut end_is_hole = false;
    loop {
        chunk.clear();
        let length = match next_chunk(source, offset, chunk_bytes, &mut chunk) {
            Ok((0, 0)) => break,
            Ok((hole, length)) => {
                end_is_hole |= hole > 0;
                offset = offset.checked_add(hole).ok_or(Error::OffsetOverflow)?;
                moved(hole);
                length
            }
            Err(error) => {
                *failed = Some(error);
                // Any error rolls the transaction back; the caller reports the one that was kept.
                return Err(Error::Busy);
            }
        };
        if length == 0 {
            break;
        }
        end_is_hole = chunk.iter().all(|&byte| byte == 0);
        if !end_is_hole {
            volume.write_at(file, offset, &chunk)?;
        }
        offset = offset.checked_add(length as u64).ok_or(Error::OffsetOverflow)?;
        moved(length as u64);
    }
    if end_is_hole { volume.set_len(file, offset) } else { Ok(()) }
}

/// Passes over a hole, then reads what follows: the bytes of both, both 0 at the end.
fn next_chunk(source: &mut dyn Source, offset: u64, most: usize, chunk: &mut Vec<u8>) -> io::Result<(u64, usize)> {
    let hole = source.pass_hole(offset)?;
    let bytes = source.data_bytes(offset.saturating_add(hole), most as u64)?;
    Ok((hole, (&mut *source).take(bytes).read_to_end(chunk)?))
}

/// Whether the file at `path` has exactly the content of `source`.
///
/// # Errors
/// `Volume` and `Source`.
pub fn compare<F: Flash>(volume: &mut Volume<'_, F>, path: &str, source: &mut dyn Read) -> Result<bool, Content> {
    let file = volume.open(path, OpenOptions::new().read(true))?;
    let compared = compare_open(volume, &file, source);
    let closed = volume.close(file);
    let same = compared?;
    closed?;
    Ok(same)
}

fn compare_open<F: Flash>(
    volume: &mut Volume<'_, F>, file: &k7fs_core::File, source: &mut dyn Read,
) -> Result<bool, Content> {
    let mut theirs = vec![0; CHUNK_BYTES];
    let mut ours = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    loop {
        let length = fill(source, &mut theirs).map_err(Content::Source)?;
        // One byte more than the source has left shows a longer file.
        let wanted = if length < CHUNK_BYTES { length + 1 } else { length };
        let read = read_full(volume, file, offset, &mut ours[..wanted])?;
        if read != length || ours[..length] != theirs[..length] {
            return Ok(false);
        }
        if length < CHUNK_BYTES {
            return Ok(true);
        }
        offset += length as u64;
    }
}

/// Reads until `bytes` is full or the file ends.
pub(super) fn read_full<F: Flash>(
    volume: &mut Volume<'_, F>, file: &k7fs_core::File, offset: u64, bytes: &mut [u8],
) -> Result<usize, Error> {
    let mut filled = 0;
    while filled < bytes.len() {
        let read = volume.read_at(file, offset + filled as u64, &mut bytes[filled..])?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    Ok(filled)
}

/// Reads until `bytes` is full or the source ends.
fn fill(source: &mut dyn Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match source.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
