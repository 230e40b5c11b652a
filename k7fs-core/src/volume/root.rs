//! The root hash: one number for everything that an index shows.

use super::Volume;
use super::inode::{Inode, kind_code};
use super::types::Kind;
use crate::error::{Error, inner};
use crate::flash::Flash;
use crate::hash::{ContentHasher, HashId};
use crate::tree::{Content, Entry, KIND_ATTRIBUTE, KIND_INODE, KIND_NAME};
use crate::{log::Key, varint::Writer};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256;
/// Bytes of what is said of one object before its content.
const FACTS_BYTES: usize = 2 + 8 * 8;

impl<F: Flash> Volume<'_, F> {
    /// BLAKE3 of everything that the index which is worked on shows: names, kinds, links, times, devices, attributes and all content.
    /// Two states with the same root hash are the same.
    ///
    /// It does not depend on where and how that is stored: moving, compressing, sharing or defragmenting does not change it. It is
    /// a volume's own all the same, because object numbers and the order of names are. What is still being removed may count. Reads all content,
    /// and compares it with its hashes where it has any; nothing is stored. FORMAT.md says what is hashed.
    ///
    /// # Errors
    /// Those of reading: what cannot be read has no hash.
    pub fn root_hash(&mut self) -> Result<[u8; 32], Error> {
        self.usable()?;
        let mut hasher = ContentHasher::new(HashId::Blake3x256);
        let mut entry = Entry::EMPTY;
        for kind in [KIND_INODE, KIND_NAME, KIND_ATTRIBUTE] {
            let mut from = Key { kind, ..Key::MIN };
            while self.tree.next(&from, &mut entry)? && entry.key.kind == kind {
                from = entry.key.next_position();
                if kind == KIND_INODE {
                    self.hash_object(entry.key.object, &mut hasher)?;
                } else {
                    self.hash_value(&entry, &mut hasher)?;
                }
            }
        }
        let mut root = [0; 32];
        root.copy_from_slice(hasher.finish().as_bytes().first_chunk::<32>().unwrap_or(&[0; 32]));
        Ok(root)
    }

    /// An object's facts and content. One that is only waiting to be deleted does not count.
    fn hash_object(&mut self, object: u64, hasher: &mut ContentHasher) -> Result<(), inner::Error> {
        let inode = self.inode(object)?;
        if inode.links == 0 && !inode.is_value {
            return Ok(());
        }
        hash_facts(object, &inode, hasher);
        if !matches!(inode.kind, Kind::File | Kind::Symlink) {
            return Ok(());
        }
        let mut chunk = [0u8; CHUNK_BYTES];
        let mut at = 0;
        while at < inode.size {
            let len = self.read_object(object, &inode, at, &mut chunk)?;
            if len == 0 {
                return Err(inner::Error::NeedsRemount);
            }
            hasher.update(chunk.get(..len).unwrap_or_default());
            at += len as u64;
        }
        Ok(())
    }

    /// A name or an attribute, as it stands in the tree.
    fn hash_value(&mut self, entry: &Entry, hasher: &mut ContentHasher) -> Result<(), inner::Error> {
        let mut head = [0u8; 1 + 3 * 8];
        let mut writer = Writer::new(&mut head);
        writer.byte(entry.key.kind);
        for number in [entry.key.object, entry.key.position, entry.content.len().into()] {
            writer.bytes(&number.to_be_bytes());
        }
        hasher.update(writer.finish().unwrap_or_default());
        self.hash_stored(&entry.content, hasher)
    }

    fn hash_stored(&mut self, content: &Content, hasher: &mut ContentHasher) -> Result<(), inner::Error> {
        let mut chunk = [0u8; CHUNK_BYTES];
        let mut at = 0;
        while at < content.len() {
            let len = (content.len() - at).min(CHUNK_BYTES as u32);
            let bytes = chunk.get_mut(..len as usize).unwrap_or_default();
            self.tree.read(content, at, bytes)?;
            hasher.update(bytes);
            at += len;
        }
        Ok(())
    }
}

fn hash_facts(object: u64, inode: &Inode, hasher: &mut ContentHasher) {
    let mut facts = [0u8; FACTS_BYTES];
    let mut writer = Writer::new(&mut facts);
    writer.byte(KIND_INODE);
    writer.byte(if inode.is_value { 0 } else { kind_code(inode.kind) });
    let (created, modified) = (inode.created, inode.modified);
    for number in [
        object,
        inode.links.into(),
        inode.size,
        created.seconds,
        created.ticks.into(),
        modified.seconds,
        modified.ticks.into(),
        inode.device,
    ] {
        writer.bytes(&number.to_be_bytes());
    }
    hasher.update(writer.finish().unwrap_or_default());
}
