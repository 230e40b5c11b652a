//! Names, objects and contents from keys and values (section 5).

use std::collections::{BTreeMap, BTreeSet};

use k7fs_core::{CodecId, Kind, Timestamp};

use super::bytes::{Cursor, hash};
use super::extra::{extra, owners};
use super::find::{Signature, key};
use super::tree::Values;
use super::{Entry, Result};

const ROOT: u64 = 1;

/// The kind of an inode whose content is the value of an attribute.
const ATTRIBUTE_VALUE: u8 = 8;

/// Bodies below each other, at most.
const DEPTH_MAX: u64 = 8;

/// What a key of kind 6 says.
#[derive(PartialEq)]
enum Record {
    Owned(u64),
    Shared { references: u64, length: u64 },
}

/// What an inode says, without what is below it.
struct Inode {
    code: u8,
    has_attributes: bool,
    entry: Entry,
    /// The directory of its name, and the upper 28 bits of the name's place there; 0 for both where that is not known.
    place: (u64, u32),
}

struct Files<'f> {
    values: &'f Values,
    signature: &'f Signature,
    /// Files that were open when it was taken may have lost their names, and what was to be cut off may still be there.
    is_snapshot: bool,
    entries: BTreeMap<String, Entry>,
    names: BTreeMap<u64, u32>,
    /// Names below directories that a job deletes, by object.
    to_go: BTreeMap<u64, u32>,
}

/// Every path with what it names, `/` included.
pub(super) fn files(values: &Values, signature: &Signature, is_snapshot: bool) -> Result<BTreeMap<String, Entry>> {
    let mut files = Files {
        values,
        signature,
        is_snapshot,
        entries: BTreeMap::new(),
        names: BTreeMap::new(),
        to_go: BTreeMap::new(),
    };
    let root = files.inode(ROOT)?;
    if root.entry.kind != Kind::Directory {
        return Err("the root is no directory".to_owned());
    }
    files.entries.insert("/".to_owned(), root.entry);
    files.directory(ROOT, "", &mut BTreeSet::from([ROOT]))?;
    files.find_names_to_go()?;
    for (path, entry) in &files.entries {
        let names =
            files.names.get(&entry.object).copied().unwrap_or(1) + files.to_go.get(&entry.object).copied().unwrap_or(0);
        if entry.links != names {
            return Err(format!("{path} has {names} names and {} links", entry.links));
        }
    }
    files.nothing_astray()?;
    files.references_counted()?;
    Ok(files.entries)
}

impl Files<'_> {
    /// Every attribute has an object that knows of it, and every value outside has an attribute.
    fn nothing_astray(&self) -> Result<()> {
        let finished = |object: &u64| !self.is_snapshot && !self.values.contains_key(&key(5, *object, 0, 1));
        let mut named = BTreeSet::new();
        for owner in owners(self.values).into_keys() {
            if !self.inode(owner)?.has_attributes {
                return Err(format!("object {owner} does not know that it has attributes"));
            }
            let (_, outside) = extra(self.values, self.signature, owner, Kind::File, 0)?;
            named.extend(outside.into_iter().map(|outside| outside.object));
        }
        for (at, value) in self.values.range(key(1, 0, 0, u32::MAX)..key(2, 0, 0, u32::MAX)) {
            let object = u64::from_be_bytes(at[1..9].try_into().expect("eight bytes"));
            if value[0] & 0x3F == ATTRIBUTE_VALUE && finished(&object) && !named.contains(&object) {
                return Err(format!("object {object} is the value of no attribute"));
            }
        }
        Ok(())
    }

    /// Names in directories that no path leads to must be below one that a job deletes.
    fn find_names_to_go(&mut self) -> Result<()> {
        let shown: BTreeSet<u64> = self.entries.values().map(|entry| entry.object).collect();
        let mut parents = BTreeMap::new();
        for (at, value) in self.values.range(key(2, 0, 0, u32::MAX)..key(3, 0, 0, u32::MAX)) {
            let directory = u64::from_be_bytes(at[1..9].try_into().expect("eight bytes"));
            if !shown.contains(&directory) {
                let child = Cursor::new(&value[1..], 0).number()?;
                *self.to_go.entry(child).or_default() += 1;
                parents.insert(child, directory);
                self.inode(directory)?;
            }
        }
        for directory in parents.values() {
            let above = std::iter::successors(Some(directory), |at| parents.get(at)).last().expect("there is one");
            if !self.is_snapshot && !self.values.contains_key(&key(5, *above, 0, 1)) {
                return Err(format!("nothing leads to directory {above}, and no job deletes it"));
            }
        }
        Ok(())
    }

    fn directory(&mut self, object: u64, path: &str, above: &mut BTreeSet<u64>) -> Result<()> {
        let names = self.values.range(key(2, object, 0, u32::MAX)..key(2, object + 1, 0, u32::MAX));
        let mut count = 0;
        for (at, value) in names {
            count += 1;
            let mut cursor = Cursor::new(value, 0);
            let (kind, child, name) = (cursor.byte()?, cursor.number()?, cursor.rest());
            let position = u64::from_be_bytes(at[9..17].try_into().expect("eight bytes"));
            let hashed = u64::from_le_bytes(hash(&[&self.signature.volume_id, name]));
            if position >> 8 != hashed >> 16 || name.len() as u64 > self.signature.longest_name {
                return Err(format!("a name in {path}/ lies at the wrong key"));
            }
            let name = std::str::from_utf8(name).map_err(|_| format!("a name in {path}/ is not UTF-8"))?;
            let path = format!("{path}/{name}");
            let inode = self.inode(child)?;
            if inode.entry.kind != kind_of(kind)? || inode.code == ATTRIBUTE_VALUE {
                return Err(format!("{path} is of two kinds"));
            }
            *self.names.entry(child).or_default() += 1;
            let (is_directory, links) = (inode.entry.kind == Kind::Directory, inode.entry.links);
            self.entries.insert(path.clone(), inode.entry);
            let here = inode.place == (object, (position >> 28) as u32);
            if !here && (is_directory || (links == 1 && inode.place != (0, 0))) {
                return Err(format!("{path} is not where its inode says"));
            }
            if is_directory {
                if !above.insert(child) {
                    return Err(format!("{path} is above itself"));
                }
                self.directory(child, &path, above)?;
            }
        }
        let shown = if path.is_empty() { "/" } else { path };
        if self.entries[shown].size != count {
            return Err(format!("{shown} has {count} names and another size"));
        }
        Ok(())
    }

    fn inode(&self, object: u64) -> Result<Inode> {
        let value = self.values.get(&key(1, object, 0, 1)).ok_or_else(|| format!("object {object} is missing"))?;
        let mut cursor = Cursor::new(value, 0);
        let code = cursor.byte()?;
        let (has_attributes, is_apart, has_codec) = (code & 0x80 != 0, code & 0x40 != 0, code & 0x20 != 0);
        let code = code & 0x1F;
        let kind = if code == ATTRIBUTE_VALUE { Kind::File } else { kind_of(code)? };
        let (links, size) = (cursor.small()?, cursor.number()?);
        let created = Timestamp { seconds: cursor.number()?, ticks: cursor.small()? };
        let modified = Timestamp { seconds: cursor.number()?, ticks: cursor.small()? };
        let place = (cursor.number()?, cursor.small()?);
        let device = if matches!(code, 6 | 7) { cursor.number()? } else { 0 };
        let number = if is_apart { cursor.number()? } else { object };
        let codec = if has_codec { Some(codec_of(cursor.byte()?)?) } else { None };
        if has_codec && !matches!(code, 1 | 2) {
            return Err(format!("object {object} has a codec and no content"));
        }
        if is_apart && self.record(number)? != Some(Record::Owned(object)) {
            return Err(format!("the content of object {object} is not its own"));
        }
        // What a truncation has not cut off yet is still there.
        let unfinished = self.is_snapshot || self.values.contains_key(&key(5, object, 0, 1));
        let content = match kind {
            Kind::File | Kind::Symlink => self.content(number, size, unfinished, DEPTH_MAX + 1)?,
            _ => Vec::new(),
        };
        let (mut extra, outside) = extra(self.values, self.signature, object, kind, device)?;
        extra.codec = codec;
        for value in outside {
            let inode = self.value(object, value.object, value.length)?;
            extra.attributes.insert(value.name, inode.into());
        }
        let entry = Entry { object, kind, links, size, created, modified, content, extra };
        Ok(Inode { code, has_attributes, entry, place })
    }

    /// The value of an attribute from the object that holds it.
    fn value(&self, owner: u64, object: u64, length: u64) -> Result<Vec<u8>> {
        let inode = self.inode(object)?;
        if inode.code != ATTRIBUTE_VALUE || inode.place != (owner, 0) || inode.entry.size != length {
            return Err(format!("object {object} is not the value of an attribute of object {owner}"));
        }
        Ok(inode.entry.content)
    }

    /// What is known of content beside what an inode says.
    fn record(&self, object: u64) -> Result<Option<Record>> {
        let Some(value) = self.values.get(&key(6, object, 0, 1)) else { return Ok(None) };
        let mut cursor = Cursor::new(value, 0);
        let (kind, first, depth) = (cursor.byte()?, cursor.number()?, cursor.number()?);
        if kind > 1 || depth > DEPTH_MAX {
            return Err(format!("the record of content {object} makes no sense"));
        }
        if kind == 0 {
            return Ok(Some(Record::Owned(first)));
        }
        let length = cursor.number()?;
        let hash = cursor.rest().to_vec();
        if !hash.is_empty() {
            let held = self.content(object, length, false, DEPTH_MAX)?;
            let whole = *blake3::hash(&held).as_bytes();
            if self.signature.hash_id < 2 && hash != whole[..hash.len()] {
                return Err(format!("chunk {object} has another hash"));
            }
        }
        Ok(Some(Record::Shared { references: first, length }))
    }

    /// The layers of content, from the lowest up.
    fn content(&self, object: u64, size: u64, unfinished: bool, depth: u64) -> Result<Vec<u8>> {
        let mut content = vec![0; usize::try_from(size).map_err(|_| "a file is too large")?];
        let depth = depth.checked_sub(1).ok_or("bodies lie too deep")?;
        let mut place = |start: u64, bytes: &[u8]| {
            let end = start + bytes.len() as u64;
            if end > size && !unfinished {
                return Err(format!("content {object} reaches behind its end"));
            }
            let end = end.min(size) as usize;
            if let Some(part) = content.get_mut(start as usize..end) {
                part.copy_from_slice(&bytes[..part.len()]);
            }
            Ok(())
        };
        let range = |kind| key(kind, object, 0, u32::MAX)..key(kind, object + 1, 0, u32::MAX);
        let position = |at: &[u8; 21]| u64::from_be_bytes(at[9..17].try_into().expect("eight bytes"));
        let mut covered_to = 0;
        for (at, value) in self.values.range(range(10)) {
            let mut cursor = Cursor::new(value, 0);
            let (body, skip, length) = (cursor.number()?, cursor.number()?, cursor.number()?);
            let Some(Record::Shared { length: whole, .. }) = self.record(body)? else {
                return Err(format!("content {object} has a part of what is not shared"));
            };
            let end = position(at);
            let start = end.checked_sub(length).filter(|start| *start >= covered_to).ok_or("parts overlap")?;
            let bytes = self.content(body, whole, self.is_snapshot, depth)?;
            let bytes = bytes.get(skip as usize..(skip + length) as usize).ok_or("a part reaches behind its body")?;
            place(start, bytes)?;
            covered_to = end;
        }
        covered_to = 0;
        for (at, bytes) in self.values.range(range(3)) {
            let start = position(at);
            let end = start + bytes.len() as u64;
            let block = |offset| offset >> self.signature.logical_block_log2;
            if start < covered_to || bytes.is_empty() || block(start) != block(end - 1) {
                return Err(format!("extents of content {object} overlap or cross a logical block"));
            }
            covered_to = end;
            place(start, bytes)?;
        }
        Ok(content)
    }

    /// Every body has as many parts that refer to it as it says.
    fn references_counted(&self) -> Result<()> {
        let mut parts = BTreeMap::<u64, u64>::new();
        for value in self.values.range(key(10, 0, 0, u32::MAX)..key(11, 0, 0, u32::MAX)).map(|(_, value)| value) {
            *parts.entry(Cursor::new(value, 0).number()?).or_default() += 1;
        }
        for at in self.values.range(key(6, 0, 0, u32::MAX)..key(7, 0, 0, u32::MAX)).map(|(at, _)| at) {
            let object = u64::from_be_bytes(at[1..9].try_into().expect("eight bytes"));
            if let Some(Record::Shared { references, .. }) = self.record(object)?
                && parts.remove(&object) != Some(references)
            {
                return Err(format!("body {object} claims {references} parts"));
            }
        }
        if parts.is_empty() { Ok(()) } else { Err(format!("parts of bodies that are missing: {parts:?}")) }
    }
}

fn codec_of(code: u8) -> Result<CodecId> {
    match code {
        0 => Ok(CodecId::Store),
        1 => Ok(CodecId::Zstd),
        2 => Ok(CodecId::Lzma2),
        _ => Err(format!("a codec {code}")),
    }
}

fn kind_of(kind: u8) -> Result<Kind> {
    match kind {
        1 => Ok(Kind::File),
        2 => Ok(Kind::Directory),
        3 => Ok(Kind::Symlink),
        4 => Ok(Kind::Fifo),
        5 => Ok(Kind::Socket),
        6 => Ok(Kind::CharacterDevice),
        7 => Ok(Kind::BlockDevice),
        _ => Err(format!("an object of kind {kind}")),
    }
}
