//! Content that a volume has already is referred to instead of written again.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use fastcdc::v2020::{Error as CutError, StreamCDC};
use k7fs_core::flash::Flash;
use k7fs_core::{ContentHash, DedupPolicy, Error, File, HashId, Kind, OpenOptions, Volume};

use super::error::HostError;
use super::store::{Content, read_full};
use super::walk::walk;

/// Bytes of a file that is hashed at a time.
const STEP_BYTES: usize = 64 * 1024;

/// What merging files did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Files looked at.
    pub files: u64,
    /// Of these, files that share the content of an earlier one now.
    pub merged: u64,
    /// Bytes of their content.
    pub bytes: u64,
}

/// What a volume has, by hashes: looked up for each file of an import.
#[derive(Debug)]
pub(super) struct Deduplicator {
    policy: DedupPolicy,
    hash: HashId,
    /// The number of each chunk and its length.
    chunks: HashMap<[u8; 32], (u64, u64)>,
    /// Files by length, and by hash as far as that was needed.
    files: BTreeMap<u64, Files>,
    /// Under which length and hash a path is in there.
    hashed: HashMap<String, (u64, [u8; 32])>,
}

/// Files of one length.
#[derive(Debug, Default)]
struct Files {
    unread: Vec<String>,
    by_hash: HashMap<[u8; 32], String>,
}

impl Deduplicator {
    /// Reads the hashes of a volume's chunks, or lists its files.
    pub(super) fn new<F: Flash>(volume: &mut Volume<'_, F>, policy: DedupPolicy) -> Result<Self, HostError> {
        let hash = volume.info().hash;
        let mut known = Self { policy, hash, chunks: HashMap::new(), files: BTreeMap::new(), hashed: HashMap::new() };
        match policy {
            DedupPolicy::Off => {}
            DedupPolicy::File => {
                for entry in walk(volume, "/")? {
                    if entry.metadata.kind == Kind::File && entry.metadata.size > 0 {
                        known.files.entry(entry.metadata.size).or_default().unread.push(entry.path);
                    }
                }
            }
            DedupPolicy::Block | DedupPolicy::Chunk(_) => {
                let mut after = 0;
                while let Some(chunk) = volume.next_chunk(after).map_err(HostError::object("/"))? {
                    after = chunk.id;
                    known.chunks.insert(bytes_of(&chunk.hash), (chunk.id, chunk.len));
                }
            }
        }
        Ok(known)
    }

    /// Whether files are stored in chunks.
    pub(super) fn cuts(&self) -> bool {
        matches!(self.policy, DedupPolicy::Block | DedupPolicy::Chunk(_))
    }

    /// A file on the volume with the same content as this one on the host.
    pub(super) fn same_file<F: Flash>(
        &mut self, volume: &mut Volume<'_, F>, size: u64, source: &mut dyn Read,
    ) -> Result<Option<(String, [u8; 32])>, Content> {
        if self.policy != DedupPolicy::File || size == 0 {
            return Ok(None);
        }
        let files = self.files.entry(size).or_default();
        let mut hasher = blake3::Hasher::new();
        io::copy(source, &mut hasher).map_err(Content::Source)?;
        let wanted = *hasher.finalize().as_bytes();
        for path in std::mem::take(&mut files.unread) {
            // What has gone or changed meanwhile is no candidate.
            if let Some(hash) = hash_file(volume, &path, size)? {
                self.hashed.insert(path.clone(), (size, hash));
                files.by_hash.entry(hash).or_insert(path);
            }
        }
        Ok(Some((files.by_hash.get(&wanted).cloned().unwrap_or_default(), wanted)))
    }

    /// The content that a file had is no more.
    pub(super) fn forget_file(&mut self, path: &str) {
        if let Some((size, hash)) = self.hashed.remove(path)
            && let Some(files) = self.files.get_mut(&size)
            && files.by_hash.get(&hash).is_some_and(|held| held == path)
        {
            files.by_hash.remove(&hash);
        }
    }

    /// Notes a file that was written.
    pub(super) fn note_file(&mut self, size: u64, hash: [u8; 32], path: &str) {
        self.hashed.insert(path.to_owned(), (size, hash));
        self.files.entry(size).or_default().by_hash.insert(hash, path.to_owned());
    }

    /// Appends all of a source to an empty file in chunks. Runs of zeros become holes.
    pub(super) fn append_all<F: Flash>(
        &mut self, volume: &mut Volume<'_, F>, file: &File, source: &mut dyn Read, moved: &mut dyn FnMut(u64),
    ) -> Result<(), Content> {
        match self.policy {
            DedupPolicy::Chunk(sizes) => {
                let cut = StreamCDC::new(source, sizes.min, sizes.average, sizes.max);
                for chunk in cut {
                    let chunk = chunk.map_err(|error| Content::Source(source_error(error)))?;
                    self.append(volume, file, &chunk.data)?;
                    moved(chunk.length as u64);
                }
            }
            _ => {
                let mut block = Vec::new();
                let size = u64::from(volume.info().logical_block_size);
                while (&mut *source).take(size).read_to_end(&mut block).map_err(Content::Source)? > 0 {
                    self.append(volume, file, &block)?;
                    moved(block.len() as u64);
                    block.clear();
                }
            }
        }
        Ok(())
    }

    fn append<F: Flash>(&mut self, volume: &mut Volume<'_, F>, file: &File, bytes: &[u8]) -> Result<(), Error> {
        if bytes.iter().all(|&byte| byte == 0) {
            let end = volume.file_metadata(file)?.size + bytes.len() as u64;
            return volume.set_len(file, end);
        }
        let hash = bytes_of(&ContentHash::of(self.hash, bytes).ok_or(Error::MissingHash)?);
        if let Some((id, len)) = self.chunks.get(&hash).copied()
            && len == bytes.len() as u64
            && self.is_same(volume, id, bytes)?
        {
            return volume.append_shared(file, id);
        }
        let id = volume.append_chunk(file, bytes)?;
        self.chunks.insert(hash, (id, bytes.len() as u64));
        Ok(())
    }

    /// Whether a chunk with the same hash is the same: a weak hash does not say so.
    fn is_same<F: Flash>(&self, volume: &mut Volume<'_, F>, id: u64, bytes: &[u8]) -> Result<bool, Error> {
        if self.hash != HashId::Xxh3x64 {
            return Ok(true);
        }
        let mut held = vec![0; bytes.len()];
        let mut done = 0;
        while done < held.len() {
            match volume.read_chunk(id, done as u64, &mut held[done..])? {
                0 => return Ok(false),
                len => done += len,
            }
        }
        Ok(held == bytes)
    }
}

fn source_error(error: CutError) -> io::Error {
    match error {
        CutError::IoError(error) => error,
        error => io::Error::other(error.to_string()),
    }
}

fn bytes_of(hash: &ContentHash) -> [u8; 32] {
    let mut bytes = [0; 32];
    let held = hash.as_bytes();
    bytes[..held.len()].copy_from_slice(held);
    bytes
}

/// The hash of a file on the volume; `None` where it is not there any more, or of another length.
fn hash_file<F: Flash>(volume: &mut Volume<'_, F>, path: &str, size: u64) -> Result<Option<[u8; 32]>, Error> {
    match volume.metadata(path) {
        Ok(metadata) if metadata.kind == Kind::File && metadata.size == size => {}
        Ok(_) | Err(Error::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    }
    let file = volume.open(path, OpenOptions::new().read(true))?;
    let mut hasher = blake3::Hasher::new();
    let mut bytes = vec![0; STEP_BYTES];
    let mut at = 0;
    let result = loop {
        match read_full(volume, &file, at, &mut bytes) {
            Ok(0) => break Ok(Some(*hasher.finalize().as_bytes())),
            Ok(len) => {
                hasher.update(&bytes[..len]);
                at += len as u64;
            }
            Err(error) => break Err(error),
        }
    };
    volume.close(file)?;
    result
}

/// Makes all files of a volume that have the same content share it. Each is a commit of its own.
///
/// # Errors
/// What the volume says.
pub fn merge_files<F: Flash>(volume: &mut Volume<'_, F>) -> Result<Merged, HostError> {
    let mut done = Merged::default();
    let mut sizes: BTreeMap<u64, Vec<(String, u64)>> = BTreeMap::new();
    for entry in walk(volume, "/")? {
        if entry.metadata.kind == Kind::File {
            done.files += 1;
            sizes.entry(entry.metadata.size).or_default().push((entry.path, entry.metadata.object));
        }
    }
    for (size, files) in sizes {
        if size == 0 || files.len() < 2 {
            continue;
        }
        let mut by_hash: HashMap<[u8; 32], (String, u64)> = HashMap::new();
        for (path, object) in files {
            let Some(hash) = hash_file(volume, &path, size).map_err(HostError::object(&path))? else { continue };
            match by_hash.get(&hash) {
                None => {
                    by_hash.insert(hash, (path, object));
                }
                // Names of one file.
                Some((_, first)) if *first == object => {}
                Some((first, _)) => {
                    if volume.deduplicate(first, &path).map_err(HostError::object(&path))? {
                        done.merged += 1;
                        done.bytes += size;
                    }
                }
            }
        }
    }
    volume.sync().map_err(HostError::object("/"))?;
    Ok(done)
}
