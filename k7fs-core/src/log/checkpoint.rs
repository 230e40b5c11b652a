//! The checkpoint: everything a mount needs to know, in one item of a checkpoint block.
//!
//! ```text
//! flags, tail sequence, root level, root place (address+1 or 0, length, copy+1 or 0, hash 8), front block, front page, last commit+1,
//! commit tag 4 bytes, transaction, moved page+1, next object, leaves, scrubbed, segment count, {address, length} each,
//! jump count, {from, to} each, reached if a flag says so, blocks where the volume has another number of them than its signature says or 0,
//! hash 8 of lives on authenticated volumes
//! ```
//!
//! All integers are ULEB128. Fields that a later feature level adds come behind and are ignored here.

use super::alloc::{SEGMENTS_MAX, Segment};
use super::item::Key;
use super::table::Place;
use crate::key::AUTHENTICATED;
use crate::page::Space;
use crate::tree::{KIND_CONTENT, KIND_INDEX, KIND_JOB, KIND_PART};
use crate::varint::{Reader, Writer};

/// Replaced log blocks that one checkpoint remembers, at most.
pub(crate) const JUMPS_MAX: usize = 4;
/// Bytes of the longest checkpoint body.
pub(crate) const CHECKPOINT_BYTES_MAX: usize = 320;

/// Bytes of the hash of lives; a build that does not know authenticated volumes needs no room for it.
pub(super) const LIVES_BYTES: usize = if AUTHENTICATED { crate::hash::POINTER_HASH_BYTES } else { 0 };

const CLEAN_FLAG: u64 = 1;
const JOBS_FLAG: u64 = 2;
const INDEXES_FLAG: u64 = 4;
const SHARING_FLAG: u64 = 8;
const REACHED_FLAG: u64 = 16;
const NEXT_ERASED_FLAG: u64 = 32;
const NEXT_UNERASED_FLAG: u64 = 64;

/// Replaced log blocks, each with the block that took its place. Copied as it is, unlike a `heapless::Vec`; a block's number fits half a word.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Jumps {
    list: [(u16, u16); JUMPS_MAX],
    len: u8,
}

impl Jumps {
    /// Appends one; an error where there is no room, or no such block.
    pub(crate) fn push(&mut self, (from, to): (u32, u32)) -> Result<(), ()> {
        let half = |block| u16::try_from(block).map_err(|_| ());
        *self.list.get_mut(usize::from(self.len)).ok_or(())? = (half(from)?, half(to)?);
        self.len += 1;
        Ok(())
    }

    /// All, in the order in which they came.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, u32)> {
        self.list.get(..self.len()).unwrap_or_default().iter().map(|(from, to)| ((*from).into(), (*to).into()))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len.into()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The one that leads to a block from the one that is named in its place, if there is one.
    pub(crate) fn towards(&self, block: u32) -> Self {
        let mut from = block;
        for (replaced, to) in self.iter().rev() {
            if to == from {
                from = replaced;
            }
        }
        let mut jumps = Self::default();
        if from != block {
            // There is room for one.
            let _ = jumps.push((from, block));
        }
        jumps
    }

    /// Whether a block took the place of another.
    pub(crate) fn leads_to(&self, block: u32) -> bool {
        self.iter().any(|(_, to)| to == block)
    }
}

/// How far the log had got when the checkpoint was written. A block before that one has been left for its successor, which must have been in
/// use, whether it can be read or not. Pages from there on overrule it. They are told by their place: numbers are given again where what has
/// one could not be read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reached {
    /// The sequence number of the first page of the block that was written to; 0 where the tail begins there and nothing else is said.
    pub(super) first_sequence: u64,
    /// The next page of that block to be programmed.
    pub(super) page: u32,
    /// Whether that block's successor was erased for its use, or is about to be.
    pub(super) next_erased: Option<bool>,
}

impl Reached {
    pub(super) const NONE: Self = Self { first_sequence: 0, page: 0, next_erased: None };

    /// What it says of the successor of the block whose first page has this number, if anything.
    pub(super) fn of_next(self, first_sequence: u64) -> Option<bool> {
        self.next_erased.filter(|_| self.first_sequence == first_sequence)
    }
}

/// Rare things that are in the tree or not: looking for them in vain would cost every mount some pages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MayHave {
    /// Work that a commit has left to be done.
    pub(crate) jobs: bool,
    /// Records of indexes: without one there is a single index.
    pub(crate) indexes: bool,
    /// Content that files share.
    pub(crate) sharing: bool,
}

impl MayHave {
    /// A key was written.
    pub(crate) fn note(&mut self, key: &Key) {
        self.jobs |= key.kind == KIND_JOB;
        self.indexes |= key.kind == KIND_INDEX;
        self.sharing |= matches!(key.kind, KIND_CONTENT | KIND_PART);
    }
}

/// The state of the volume at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkpoint {
    /// Sequence number of the page it is on: pages with a higher one are newer.
    pub(crate) sequence: u64,
    /// Sequence number from which on pages of the front head belong to the tail. Its own, unless it repeats an older checkpoint.
    pub(crate) tail_sequence: u64,
    /// Written by a clean stop.
    pub(crate) clean: bool,
    /// What a mount looks for in the tree.
    pub(crate) may_have: MayHave,
    /// Level of the root node; 0 is a leaf.
    pub(crate) root_level: u8,
    /// The root node; none while the tree is empty.
    pub(crate) root: Option<Place>,
    /// Where the log goes on: its next page; the block's end where the block is full.
    pub(crate) front_block: u32,
    pub(crate) front_page: u32,
    /// The newest commit before it.
    pub(crate) last_commit: Option<u32>,
    /// The checksum of that commit's page.
    pub(crate) commit_tag: u32,
    /// The number of that commit.
    pub(crate) transaction: u64,
    /// The next page of the moved head.
    pub(crate) moved_page: Option<u32>,
    /// The next object number.
    pub(crate) next_object: u64,
    /// Leaves of the tree.
    pub(crate) leaves: u32,
    /// The page that scrubbing goes on with; newer than the rest of it where a pass is under way.
    pub(crate) scrubbed: u32,
    /// Where the allocation table's segments are.
    pub(crate) segments: [Segment; SEGMENTS_MAX],
    /// Blocks of the log that failed, each with the block that took its place in the chain.
    pub(crate) jumps: Jumps,
    /// How far the log had got.
    pub(super) reached: Reached,
    /// Blocks of the volume; 0 for as many as the signature says.
    pub(crate) blocks: u32,
    /// The hash of what [`lives`](super::lives) needs to know, on authenticated volumes.
    pub(super) lives: Option<[u8; LIVES_BYTES]>,
}

impl Checkpoint {
    pub(crate) fn new() -> Self {
        Self {
            sequence: 0,
            tail_sequence: 0,
            clean: false,
            may_have: MayHave::default(),
            root_level: 0,
            root: None,
            front_block: 0,
            front_page: 0,
            last_commit: None,
            commit_tag: 0,
            transaction: 0,
            moved_page: None,
            next_object: 0,
            leaves: 0,
            scrubbed: 0,
            segments: [Segment::NONE; SEGMENTS_MAX],
            jumps: Jumps::default(),
            reached: Reached::NONE,
            blocks: 0,
            lives: None,
        }
    }

    /// Writes the body.
    pub(crate) fn encode<'b>(&self, space: &Space, bytes: &'b mut [u8]) -> Option<&'b [u8]> {
        let mut writer = Writer::new(bytes);
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        writer.uleb(
            flag(self.clean, CLEAN_FLAG)
                | flag(self.reached.first_sequence != 0, REACHED_FLAG)
                | flag(self.reached.next_erased == Some(true), NEXT_ERASED_FLAG)
                | flag(self.reached.next_erased == Some(false), NEXT_UNERASED_FLAG)
                | flag(self.may_have.jobs, JOBS_FLAG)
                | flag(self.may_have.indexes, INDEXES_FLAG)
                | flag(self.may_have.sharing, SHARING_FLAG),
        );
        writer.uleb(self.tail_sequence);
        writer.uleb(self.root_level.into());
        match self.root {
            None => writer.uleb(0),
            Some(root) => {
                writer.uleb(space.number_plus_one(Some(root.address)));
                writer.uleb(root.len.into());
                writer.uleb(space.number_plus_one(root.copy()));
                writer.bytes(&root.hash().unwrap_or_default());
            }
        }
        writer.uleb(self.front_block.into());
        writer.uleb(self.front_page.into());
        writer.uleb_plus_one(self.last_commit);
        writer.bytes(&self.commit_tag.to_le_bytes());
        writer.uleb(self.transaction);
        writer.uleb_plus_one(self.moved_page);
        writer.uleb(self.next_object);
        writer.uleb(self.leaves.into());
        writer.uleb(self.scrubbed.into());
        writer.uleb(self.segments.into_iter().filter_map(Segment::get).count() as u64);
        for (address, len) in self.segments.into_iter().filter_map(Segment::get) {
            writer.uleb(space.number(address));
            writer.uleb(len.into());
        }
        writer.uleb(self.jumps.len() as u64);
        for (from, to) in self.jumps.iter() {
            writer.uleb(from.into());
            writer.uleb(to.into());
        }
        if self.reached.first_sequence != 0 {
            writer.uleb(self.reached.first_sequence);
            writer.uleb(self.reached.page.into());
        }
        if self.blocks != 0 || self.lives.is_some() {
            writer.uleb(self.blocks.into());
        }
        if let Some(lives) = &self.lives {
            writer.bytes(lives);
        }
        writer.finish()
    }

    /// Reads a body found on the page with this sequence number into `self`, which means nothing where that fails.
    ///
    /// In place, because a checkpoint is the largest value there is and copies of it would be most of a mount's stack.
    pub(crate) fn decode(&mut self, space: &Space, bytes: &[u8], sequence: u64) -> Option<()> {
        let mut reader = Reader::new(bytes);
        *self = Self::new();
        let checkpoint = self;
        checkpoint.sequence = sequence;
        let flags = reader.uleb();
        checkpoint.clean = flags & CLEAN_FLAG != 0;
        let is_set = |flag| flags & flag != 0;
        checkpoint.may_have =
            MayHave { jobs: is_set(JOBS_FLAG), indexes: is_set(INDEXES_FLAG), sharing: is_set(SHARING_FLAG) };
        checkpoint.tail_sequence = reader.uleb();
        checkpoint.root_level = u8::try_from(reader.uleb()).ok()?;
        checkpoint.root = space
            .at_minus_one(reader.uleb())
            .map(|address| Place::node(address, reader.uleb32(), space.at_minus_one(reader.uleb()), reader.array()));
        checkpoint.front_block = reader.uleb32();
        checkpoint.front_page = reader.uleb32();
        checkpoint.last_commit = reader.uleb_minus_one();
        checkpoint.commit_tag = u32::from_le_bytes(reader.array());
        checkpoint.transaction = reader.uleb();
        checkpoint.moved_page = reader.uleb_minus_one();
        checkpoint.next_object = reader.uleb();
        checkpoint.leaves = reader.uleb32();
        checkpoint.scrubbed = reader.uleb32();
        let segments = usize::try_from(reader.uleb()).ok()?;
        for place in checkpoint.segments.get_mut(..segments)? {
            *place = Segment::new(space.at(reader.uleb()), reader.uleb32());
        }
        let jumps = reader.uleb();
        for _ in 0..jumps.min(JUMPS_MAX as u64 + 1) {
            checkpoint.jumps.push((reader.uleb32(), reader.uleb32())).ok()?;
        }
        if is_set(REACHED_FLAG) {
            let is_known = is_set(NEXT_ERASED_FLAG) || is_set(NEXT_UNERASED_FLAG);
            let next_erased = is_known.then_some(is_set(NEXT_ERASED_FLAG));
            checkpoint.reached = Reached { first_sequence: reader.uleb(), page: reader.uleb32(), next_erased };
        }
        if reader.position() < bytes.len() {
            checkpoint.blocks = reader.uleb32();
        }
        if reader.position() < bytes.len() {
            checkpoint.lives = Some(reader.array());
        }
        reader.finish(())
    }

    /// The block that stands in the chain where `block` is named.
    pub(crate) fn jump(&self, block: u32) -> u32 {
        let mut block = block;
        // A replaced block may have been replaced again, at most once per entry.
        for _ in 0..JUMPS_MAX {
            match self.jumps.iter().find(|(from, _)| *from == block) {
                Some((_, to)) => block = to,
                None => break,
            }
        }
        block
    }
}
