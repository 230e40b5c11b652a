//! A reader of the format that shares nothing with the core but the tables of the page code.
//!
//! It is written from `k7fs-core/FORMAT.md` and takes an image as bytes: on NAND each page with its spare behind it.
//! It reads everything into memory, and checks what it meets: page code, checksum, hashes, order, counts. Where the
//! document and the core differ, one of the two is wrong.

mod bytes;
mod extra;
mod files;
mod find;
mod indexes;
mod log;
mod packed;
mod page;
mod tree;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use k7fs_core::flash::Geometry;
use k7fs_core::{Kind, Timestamp};
use k7fs_sim::model::Extra;

use find::{Checkpoint, Signature};
use page::Pages;

/// What is wrong, in words.
type Result<T> = std::result::Result<T, String>;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The object's number.
    pub object: u64,
    /// What it is.
    pub kind: Kind,
    /// How many names it has.
    pub links: u32,
    /// Bytes of content, names in a directory.
    pub size: u64,
    /// When it was created.
    pub created: Timestamp,
    /// When its content last changed.
    pub modified: Timestamp,
    /// A file's bytes, a link's target, nothing for directories.
    pub content: Vec<u8>,
    /// Attributes and metadata.
    pub extra: Extra,
}

/// What a reading went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether the checkpoint says that the volume was stopped cleanly, which the log behind it may belie.
    pub clean: bool,
    /// Commits behind the checkpoint.
    pub commits: u32,
    /// Of these, ones that replace a page.
    pub replaced: u32,
    /// Commits that say again everything since the checkpoint.
    pub reaching: u32,
    /// Jumps of the checkpoint.
    pub jumps: u32,
    /// Pages that had to be mended.
    pub mended: u32,
    /// References to packed records, of which so many are compressed.
    pub packed: u32,
    /// Those to compressed ones.
    pub compressed: u32,
    /// Nodes of the tree.
    pub nodes: u32,
    /// Level of its root.
    pub root_level: u32,
}

/// A node that has a second copy. Each lies on its first page, and on those behind it that it runs on to, of which the last may have
/// nothing of it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twice {
    /// The pages of the first copy.
    pub pages: RangeInclusive<u32>,
    /// The pages of the second.
    pub copy: RangeInclusive<u32>,
}

/// What one index shows: every path with what it names, `/` included.
pub type Files = BTreeMap<String, Entry>;

/// What a volume shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes {
    /// The name of the index that a mount begins with.
    pub default: String,
    /// Every index by its name.
    pub files: BTreeMap<String, Files>,
}

/// The nodes of the checkpoint's tree that have a second copy, the root first.
///
/// # Errors
/// What is wrong with the image, in words.
pub fn second_copies(image: &[u8], geometry: Geometry) -> Result<Vec<Twice>> {
    let signature = Signature::find(image, geometry)?.ok_or("there is no signature")?;
    let pages = Pages::new(image, geometry, &signature.volume_id, signature.salt)?;
    let blocks = find::anchor(&pages, signature.fixed_blocks)?.ok_or("there is no anchor")?;
    let checkpoint = Checkpoint::find(&pages, &blocks)?;
    tree::second_copies(&pages, &signature, &checkpoint)
}

/// Reads a whole image.
///
/// # Errors
/// What is wrong with the image, in words.
pub fn read(image: &[u8], geometry: Geometry) -> Result<(Indexes, Seen)> {
    let signature = Signature::find(image, geometry)?.ok_or("there is no signature")?;
    let pages = Pages::new(image, geometry, &signature.volume_id, signature.salt)?;
    let blocks = find::anchor(&pages, signature.fixed_blocks)?.ok_or("there is no anchor")?;
    let checkpoint = Checkpoint::find(&pages, &blocks)?;
    find::erase_counts(&pages, checkpoint.blocks.unwrap_or(signature.blocks), &checkpoint)?;
    let mut seen = Seen { clean: checkpoint.clean, jumps: checkpoint.jumps.len() as u32, ..Seen::default() };
    let mut values = tree::walk(&pages, &signature, &checkpoint, &mut seen)?;
    for (key, value) in log::Log::new(&pages, &checkpoint, &signature).replay(&mut seen)? {
        match value {
            Some(value) => values.insert(key, value),
            None => values.remove(&key),
        };
    }
    seen.mended = pages.mended();
    Ok((indexes::indexes(&values, &signature)?, seen))
}
