//! What a volume's content amounts to, and hashes of it on demand.

use super::Volume;
use super::types::Kind;
use crate::codec::CodecId;
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::hash::{ContentHash, ContentHasher};
use crate::log::Key;
use crate::page::Address;
use crate::tree::{Content, Entry, KIND_EXTENT, KIND_INODE};

/// Records that parts of one logical block refer to, told apart up to this number.
const RECORDS_MAX: usize = 24;
/// Bytes read at a time where there is no other memory.
const CHUNK_BYTES: usize = 256;

/// How much content a volume has, and what it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ContentStatus {
    /// Bytes of all files and links of all indexes, holes included.
    pub logical_bytes: u64,
    /// Bytes of content that are stored, before compression: once, whoever shares it. Where indexes have different parts of one record,
    /// what they have in common may be counted for each.
    pub plain_bytes: u64,
    /// The same after it, without heads and hashes, before pages are filled up.
    pub stored_bytes: u64,
    /// Logical blocks of all files and links of all indexes.
    pub blocks: u64,
    /// Logical blocks with content that is stored.
    pub unique_blocks: u64,
    /// Of these, with a compressed record.
    pub compressed_blocks: u64,
    /// Everything in use, bookkeeping and rounding included.
    pub physical_bytes: u64,
}

/// What was seen of a logical block.
#[derive(Default)]
struct Block {
    at: Option<(u64, u64)>,
    compressed: bool,
    records: heapless::Vec<Address, RECORDS_MAX>,
}

impl<F: Flash> Volume<'_, F> {
    /// Counts the content of all indexes by a walk over every inode that one of them sees, and over all extents once.
    ///
    /// # Errors
    /// Those of reading.
    pub fn content_status(&mut self) -> Result<ContentStatus, Error> {
        self.usable()?;
        let mut status = ContentStatus { physical_bytes: self.tree.used_bytes(), ..ContentStatus::default() };
        let mut next = 0;
        while let Some(record) = self.next_index_record(next)? {
            next = record.id.saturating_add(1);
            if !record.is_trimmed() {
                self.as_index(record.id, |volume| volume.count_files(&mut status))?;
            }
        }
        let mut block = Block::default();
        let mut from = Key { kind: KIND_EXTENT, index: u32::MAX, ..Key::MIN };
        let mut entry = Entry::EMPTY;
        while self.tree.next_version(&from, &mut entry)? && entry.key.kind == KIND_EXTENT {
            from = entry.key.successor();
            self.count_extent(&entry, &mut status, &mut block)?;
        }
        Ok(status)
    }

    /// Counts what an index shows, whoever has it too.
    fn count_files(&mut self, status: &mut ContentStatus) -> Result<(), inner::Error> {
        let mut from = Key { kind: KIND_INODE, ..Key::MIN };
        let mut entry = Entry::EMPTY;
        while self.tree.next(&from, &mut entry)? && entry.key.kind == KIND_INODE {
            from = entry.key.next_position();
            let inode = self.inode(entry.key.object)?;
            if inode.kind != Kind::Directory {
                status.logical_bytes += inode.size;
                status.blocks += inode.size.div_ceil(self.logical_block());
            }
        }
        Ok(())
    }

    fn count_extent(
        &mut self, entry: &Entry, status: &mut ContentStatus, block: &mut Block,
    ) -> Result<(), inner::Error> {
        let Content::At(place) = entry.content else { return Ok(()) };
        let at = Some((entry.key.object, entry.key.position / self.logical_block()));
        if block.at != at {
            *block = Block { at, ..Block::default() };
            status.unique_blocks += 1;
        }
        let Some(packed) = place.part() else {
            status.plain_bytes += u64::from(place.len);
            status.stored_bytes += u64::from(place.len);
            return Ok(());
        };
        if block.records.contains(&place.address) {
            // Another part of a record that was counted whole.
            return Ok(());
        }
        let _ = block.records.push(place.address);
        let head = self.tree.log.packed_head(place.address, packed.stored)?;
        let before_payload = head.len() + self.tree.log.signature.hash.len() as u32;
        status.plain_bytes += u64::from(head.plain);
        status.stored_bytes += u64::from(packed.stored.saturating_sub(before_payload));
        if head.codec != CodecId::Store && !core::mem::replace(&mut block.compressed, true) {
            status.compressed_blocks += 1;
        }
        Ok(())
    }

    /// The hash of a whole file's content, by the volume's hash. Nothing is stored.
    ///
    /// # Errors
    /// `MissingHash`, `IsADirectory`, those of the path and of reading.
    pub fn content_hash(&mut self, path: &str) -> Result<ContentHash, Error> {
        let (object, inode) = self.existing(path)?;
        let id = self.tree.log.signature.hash;
        if inode.kind == Kind::Directory {
            return Err(Error::IsADirectory);
        }
        if !id.is_known() {
            return Err(Error::MissingHash);
        }
        let mut hasher = ContentHasher::new(id);
        let mut chunk = [0u8; CHUNK_BYTES];
        let mut at = 0;
        while at < inode.size {
            let len = self.read_object(object, &inode, at, &mut chunk)?;
            hasher.update(chunk.get(..len).unwrap_or_default());
            at += len as u64;
        }
        Ok(hasher.finish())
    }

    /// Makes everything durable and merges it into the tree: the next mount has little to replay, and space that was given up is
    /// free again.
    ///
    /// # Errors
    /// `Busy` within a transaction, `ReadOnly`, those of committing.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        self.writable_volume()?;
        if self.in_transaction {
            return Err(Error::Busy);
        }
        self.commit()?;
        Ok(self.tree.checkpoint()?)
    }
}
