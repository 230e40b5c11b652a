//! The same operations, put to a real volume.

use embedded_io::Write;
use k7fs_core::flash::Flash;
use k7fs_core::{ATTRIBUTE_BYTES_MAX, Error, File, Kind, NAME_BYTES_MAX, Nt, OpenOptions, Posix, Volume};

use super::extra::attribute_names;
use super::operation::{OpenMode, Operation, Outcome, Shown};
use super::reference::Model;

/// Files that a session holds open, at most: fewer than a volume allows, since some operations open one for a moment.
pub const SLOT_COUNT: usize = 4;

/// The files that a test holds open on a mounted volume. Lives exactly as long as the mount.
#[derive(Debug, Default)]
pub struct Session {
    slots: [Option<File>; SLOT_COUNT],
}

impl Session {
    /// Nothing open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an operation to a volume. [`Operation::Remount`] and [`Operation::Restart`] are skipped: they need the
    /// chip's owner.
    pub fn apply<F: Flash>(&mut self, volume: &mut Volume<'_, F>, operation: &Operation) -> Outcome {
        match self.run(volume, operation) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(error),
        }
    }

    fn run<F: Flash>(&mut self, volume: &mut Volume<'_, F>, operation: &Operation) -> Result<Outcome, Error> {
        let result = match operation {
            Operation::Write { path, content } => volume.write(path, &content.bytes()),
            Operation::Update { path, offset, content } => {
                let file = volume.open(path, options(OpenMode::ReadWrite))?;
                let written = volume.write_at(&file, *offset, &content.bytes());
                written.and(volume.close(file))
            }
            Operation::Append { path, content } => {
                let mut file = volume.open(path, options(OpenMode::Append))?;
                let written = volume.io(&mut file).write_all(&content.bytes());
                written.and(volume.close(file))
            }
            Operation::AppendChunk { path, content } => {
                let file = volume.open(path, options(OpenMode::Append))?;
                let written = append_chunk(volume, &file, &content.bytes());
                written.and(volume.close(file))
            }
            Operation::Copy { from, to } => volume.copy(from, to),
            Operation::Deduplicate { first, second } => volume.deduplicate(first, second).map(drop),
            Operation::Resize { path, length } => {
                let file = volume.open(path, OpenOptions::new().write(true))?;
                let resized = volume.set_len(&file, *length);
                resized.and(volume.close(file))
            }
            Operation::Create { path } => {
                let file = volume.open(path, options(OpenMode::CreateNew))?;
                volume.close(file)
            }
            Operation::CreateDirectory { path } => volume.create_dir(path),
            Operation::RemoveDirectory { path } => volume.remove_dir(path),
            Operation::RemoveFile { path } => volume.remove_file(path),
            Operation::RemoveTree { path } => volume.remove_tree(path),
            Operation::Rename { from, to } => volume.rename(from, to),
            Operation::Symlink { target, path } => volume.symlink(target, path),
            Operation::HardLink { existing, new } => volume.hard_link(existing, new),
            Operation::CreateSpecial { path, kind, device } => volume.create_special(path, *kind, *device),
            Operation::SetAttribute { path, name, content } => volume.set_attribute(path, name, &content.bytes()),
            Operation::RemoveAttribute { path, name } => volume.remove_attribute(path, name),
            Operation::SetStream { path, stream, content } => volume.set_stream(path, stream, &content.bytes()),
            Operation::SetShortName { path, name } => volume.set_short_name(path, name),
            Operation::ChooseCodec { path, codec } => volume.choose_codec(path, *codec),
            Operation::SetPosix { path, mode, uid, gid, accessed } => {
                let held = volume.posix(path)?;
                volume.set_posix(path, &Posix { mode: *mode, uid: *uid, gid: *gid, accessed: *accessed, ..held })
            }
            Operation::SetNt { path, attributes } => {
                let held = volume.nt(path)?;
                volume.set_nt(path, &Nt { attributes: *attributes, ..held })
            }
            Operation::CreateSnapshot { name } => volume.create_snapshot(name),
            Operation::CreateBranch { from, name } => volume.create_branch(from, name),
            Operation::CreateSubvolume { name } => volume.create_subvolume(name),
            Operation::SelectIndex { name } => volume.select_index(name),
            Operation::RollBack { to } => volume.roll_back_to(to),
            Operation::TrimIndex { name } => volume.trim_index(name),
            Operation::RenameIndex { from, to } => volume.rename_index(from, to),
            Operation::SetDefaultIndex { name } => volume.set_default_index(name),
            Operation::Sync => volume.sync(),
            Operation::LeaveBlocks { count } => leave_blocks(volume, *count),
            Operation::EraseAhead { count } => volume.erase_ahead(*count).map(drop),
            Operation::Maintain { budget } => volume.maintain(*budget).map(drop),
            Operation::Scrub { budget } => volume.scrub(*budget).map(drop),
            Operation::Defragment => defragment(volume),
            Operation::Transaction { operations, commit } => return Ok(self.transaction(volume, operations, *commit)),
            Operation::Remount | Operation::Restart => return Ok(Outcome::Skipped),
            Operation::Open { .. }
            | Operation::WriteAt { .. }
            | Operation::ReadAt { .. }
            | Operation::SetLength { .. }
            | Operation::FileMetadata { .. }
            | Operation::Close { .. } => return self.run_slot(volume, operation),
            Operation::Read { .. }
            | Operation::ReadLink { .. }
            | Operation::Metadata { .. }
            | Operation::Attribute { .. }
            | Operation::Attributes { .. }
            | Operation::List { .. }
            | Operation::ListRemoving { .. } => return run_reading(volume, operation),
        };
        result.map(|()| Outcome::Done)
    }

    fn run_slot<F: Flash>(&mut self, volume: &mut Volume<'_, F>, operation: &Operation) -> Result<Outcome, Error> {
        if let Operation::Open { slot, path, mode } = operation {
            if self.slots[*slot].is_none() {
                self.slots[*slot] = Some(volume.open(path, options(*mode))?);
                return Ok(Outcome::Done);
            }
            return Ok(Outcome::Skipped);
        }
        let (Operation::WriteAt { slot, .. }
        | Operation::ReadAt { slot, .. }
        | Operation::SetLength { slot, .. }
        | Operation::FileMetadata { slot }
        | Operation::Close { slot }) = operation
        else {
            return Ok(Outcome::Skipped);
        };
        let Some(file) = &self.slots[*slot] else { return Ok(Outcome::Skipped) };
        match operation {
            Operation::WriteAt { offset, content, .. } => volume.write_at(file, *offset, &content.bytes())?,
            Operation::SetLength { length, .. } => volume.set_len(file, *length)?,
            Operation::ReadAt { offset, length, .. } => {
                return read_at(volume, file, *offset, *length).map(Outcome::Bytes);
            }
            Operation::FileMetadata { .. } => {
                let metadata = volume.file_metadata(file)?;
                return Ok(Outcome::Metadata(Shown {
                    kind: metadata.kind,
                    size: metadata.size,
                    links: metadata.links,
                }));
            }
            _ => {
                if let Some(file) = self.slots[*slot].take() {
                    volume.close(file)?;
                }
            }
        }
        Ok(Outcome::Done)
    }

    fn transaction<F: Flash>(&mut self, volume: &mut Volume<'_, F>, operations: &[Operation], commit: bool) -> Outcome {
        let mut inner = Vec::new();
        let result = volume.transaction(|volume| {
            for operation in operations {
                let outcome = self.apply(volume, operation);
                let error = outcome.error();
                inner.push(outcome);
                // What the model expects to fail goes on; what it cannot know ends the transaction.
                let is_unexpected = |error: &Error| {
                    use Error::{Flash, NeedsRemount, NoSpace, Uncorrectable, WornOut};
                    matches!(error, NoSpace | Flash(_) | NeedsRemount | WornOut | Uncorrectable { .. })
                };
                if let Some(error) = error.filter(is_unexpected) {
                    return Err(error);
                }
            }
            if commit { Ok(()) } else { Err(Operation::GIVEN_UP) }
        });
        Outcome::Transaction(inner, result)
    }
}

/// Appends content as a chunk that may be there already.
fn append_chunk<F: Flash>(volume: &mut Volume<'_, F>, file: &File, bytes: &[u8]) -> Result<(), Error> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut after = 0;
    while let Some(chunk) = volume.next_chunk(after)? {
        after = chunk.id;
        let mut held = vec![0; chunk.len as usize];
        let same = chunk.len == bytes.len() as u64 && volume.read_chunk(chunk.id, 0, &mut held)? == held.len();
        if same && held == bytes {
            return volume.append_shared(file, chunk.id);
        }
    }
    volume.append_chunk(file, bytes).map(drop)
}

fn run_reading<F: Flash>(volume: &mut Volume<'_, F>, operation: &Operation) -> Result<Outcome, Error> {
    match operation {
        Operation::Read { path } => {
            let size = volume.metadata(path)?.size;
            let mut bytes = vec![0; size as usize];
            let length = volume.read(path, &mut bytes)?;
            bytes.truncate(length);
            Ok(Outcome::Bytes(bytes))
        }
        Operation::ReadLink { path } => {
            let mut bytes = [0; k7fs_core::PATH_BYTES_MAX];
            Ok(Outcome::Bytes(volume.read_link(path, &mut bytes)?.as_bytes().to_vec()))
        }
        Operation::Metadata { path } => {
            let metadata = volume.metadata(path)?;
            Ok(Outcome::Metadata(Shown { kind: metadata.kind, size: metadata.size, links: metadata.links }))
        }
        Operation::Attribute { path, name } => {
            let mut bytes = vec![0; ATTRIBUTE_BYTES_MAX];
            Ok(Outcome::Bytes(volume.attribute(path, name, &mut bytes)?.to_vec()))
        }
        Operation::Attributes { path } => attribute_names(volume, path).map(Outcome::Attributes),
        Operation::List { path } => walk(volume, path, &[]).map(Outcome::Names),
        Operation::ListRemoving { path } => {
            let names = walk(volume, path, &[])?;
            let removed = Model::removed_by_walk(path, &names);
            walk(volume, path, &removed).map(Outcome::Names)
        }
        _ => Ok(Outcome::Skipped),
    }
}

fn leave_blocks<F: Flash>(volume: &mut Volume<'_, F>, count: u32) -> Result<(), Error> {
    let blocks = volume.flash_mut().geometry().block_count;
    match volume.resize(blocks.saturating_sub(count)) {
        // How much a volume takes is its own business.
        Err(Error::ResizeTooSmall { .. }) => Err(Error::NoSpace),
        result => result,
    }
}

fn defragment<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    let mut cursor = volume.defragment_all()?;
    while volume.next_defragment(&mut cursor)?.is_some() {}
    Ok(())
}

/// Lists a directory, sorted, and removes the files in `removed` as soon as it meets them.
fn walk<F: Flash>(volume: &mut Volume<'_, F>, path: &str, removed: &[String]) -> Result<Vec<(String, Kind)>, Error> {
    let mut names = Vec::new();
    let mut cursor = volume.read_dir(path)?;
    let mut name = [0; NAME_BYTES_MAX];
    while let Some(entry) = volume.next_entry(&mut cursor, &mut name)? {
        let full = format!("{}/{}", path.trim_end_matches('/'), entry.name);
        names.push((entry.name.to_owned(), entry.kind));
        if removed.contains(&full) {
            volume.remove_file(&full)?;
        }
    }
    names.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(names)
}

fn read_at<F: Flash>(volume: &mut Volume<'_, F>, file: &File, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; length as usize];
    let mut done = 0;
    // "Up to" allows short reads before the end; each must make progress, so this ends. A read of nothing still asks
    // whether the handle may read.
    loop {
        let count = volume.read_at(file, offset + done as u64, &mut bytes[done..])?;
        done += count;
        if count == 0 || done == bytes.len() {
            break;
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

fn options(mode: OpenMode) -> OpenOptions {
    let options = OpenOptions::new();
    match mode {
        OpenMode::Read => options.read(true),
        OpenMode::ReadWrite => options.read(true).write(true).create(true),
        OpenMode::Truncate => options.read(true).write(true).create(true).truncate(true),
        OpenMode::CreateNew => options.read(true).write(true).create_new(true),
        OpenMode::Append => options.append(true).create(true),
    }
}
