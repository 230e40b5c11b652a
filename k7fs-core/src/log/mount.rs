//! Mount: from the fixed set to the log's last commit, and what an unclean stop makes necessary.

use core::mem::take;

use super::alloc::{Alloc, BadReason, Segment};
use super::anchor::{AnchorBlock, Anchors, CHECKPOINT_FIRST_PAGE, FoundCheckpoint, MIRRORS, Pointer, fixed_blocks};
use super::checkpoint::Checkpoint;
use super::heads::{Doubt, Head};
use super::memory::{Memory, node_bytes_max};
use super::signature::Signature;
use super::table::Table;
use super::tail::Tail;
use super::{BlockState, HeadId, Log};
use crate::ecc::{Layout, Tier};
use crate::error::GeometryField;
use crate::error::inner::Error;
use crate::flash::{Flash, Geometry};
use crate::key::{Key, Keys};
use crate::page::{PageKind, Pages};
use crate::sabotage::{Step, is_off};
use crate::varint::{Reader, ULEB_BYTES_MAX};

/// Blocks of the fixed area looked at when nothing is known of the volume yet.
const FIXED_BLOCKS_MAX: u32 = 8;
/// Blocks needed besides those for the user's data; see FORMAT.md for the terms.
pub(crate) const BLOCKS_MIN: u32 = 12;
/// Spare blocks, which the maker allows to go bad, are at most this part of a volume: one on a part of a chip has its share.
pub(crate) const SPARE_SHARE_MAX: u32 = 4;
/// Bytes of the smallest page of an authenticated volume: a checkpoint must fit one.
const AUTHENTICATED_PAGE_MIN: u32 = 256;
/// A cut may have left pages with higher sequence numbers than any that the mount has seen.
const SEQUENCE_GAP: u64 = 4096;

/// What a mount is content with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    /// The least number of the last commit.
    pub(crate) commit_min: u64,
    /// Where pages of the tail are lost, the newest state that can be read will do.
    pub(crate) may_go_back: bool,
}

/// What a mount has found.
pub(crate) struct Found {
    fixed: FixedSet,
    tail: Tail,
    tail_checkpoint: bool,
    /// The last stop was clean.
    pub(crate) clean: bool,
}

/// What the fixed set says of the checkpoint blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FixedSet {
    /// Nothing.
    Lost,
    /// Its mirrors disagree, or one has a page that cannot be read: one may be torn, whatever it says now.
    InDoubt,
    /// The same, twice.
    Whole,
}

/// The two newest blocks of those that were looked at: the mirrors in use. Older ones were given up.
#[derive(Default)]
struct Mirrors {
    anchors: [Option<AnchorBlock>; MIRRORS],
    sequences: [u64; MIRRORS],
}

impl Mirrors {
    #[inline(never)]
    fn offer(&mut self, anchor: AnchorBlock, sequence: u64) {
        let known = self.anchors.iter_mut().zip(&mut self.sequences);
        if let Some((place, newest)) = known.min_by_key(|(_, newest)| **newest)
            && sequence > *newest
        {
            (*place, *newest) = (Some(anchor), sequence);
        }
    }

    /// Whether both are as new as this.
    fn agree(&self, sequence: u64) -> bool {
        self.sequences.iter().all(|known| *known == sequence)
    }
}

/// Checks that this build can keep a volume on such a chip.
pub(crate) fn check_geometry(geometry: &Geometry) -> Result<Layout, crate::Error> {
    let unsupported = |field, chip| Err(crate::Error::UnsupportedGeometry { field, chip });
    let Some(layout) = Layout::for_page(geometry.page_size, geometry.spare_size) else {
        let spare = geometry.is_nand() && Layout::for_page(geometry.page_size, 64).is_some();
        let field = if spare { GeometryField::SpareSize } else { GeometryField::PageSize };
        return unsupported(field, if spare { geometry.spare_size } else { geometry.page_size });
    };
    let block_bytes = u64::from(geometry.page_size) * u64::from(geometry.pages_per_block);
    if !(4..=1024).contains(&geometry.pages_per_block) || !(2048..=1 << 20).contains(&block_bytes) {
        return unsupported(GeometryField::PagesPerBlock, geometry.pages_per_block);
    }
    if geometry.block_count > 65_535 || block_bytes * u64::from(geometry.block_count) > 1 << 39 {
        return unsupported(GeometryField::BlockCount, geometry.block_count);
    }
    if geometry.block_count < BLOCKS_MIN + geometry.bad_blocks_max.min(geometry.block_count / SPARE_SHARE_MAX) {
        return Err(crate::Error::VolumeTooSmall { blocks_min: BLOCKS_MIN });
    }
    Ok(layout)
}

impl<'b, F: Flash> Log<'b, F> {
    /// Checks chip and buffer and makes what a log consists of.
    pub(crate) fn parts(
        flash: F, buffer: &'b mut [u8], key: Option<Key>,
    ) -> Result<(Pages<'b, F>, Memory<'b>), crate::Error> {
        let geometry = flash.geometry();
        let layout = check_geometry(&geometry)?;
        if key.is_some() && geometry.page_size < AUTHENTICATED_PAGE_MIN {
            return Err(crate::Error::UnsupportedGeometry { field: GeometryField::PageSize, chip: geometry.page_size });
        }
        let (needed, given) = (super::memory::buffer_bytes(&geometry, Tier::Small), buffer.len());
        let mut memory = Memory::split(buffer, &geometry).ok_or(crate::Error::BufferTooSmall { needed, given })?;
        let pages = Pages::new(flash, layout, take(&mut memory.cache), take(&mut memory.scratch), Keys::new(key));
        let (field, chip) = (GeometryField::PageSize, geometry.page_size);
        Ok((pages.ok_or(crate::Error::UnsupportedGeometry { field, chip })?, memory))
    }

    /// A log that knows nothing of the chip's content yet.
    ///
    /// Inlined, as everything that makes a volume out of its parts: it is built where it will be, not copied there.
    #[inline(always)]
    pub(crate) fn over(pages: Pages<'b, F>, memory: Memory<'b>) -> Self {
        Self {
            signature: Signature::new([0; 16], pages.flash.geometry()),
            front: Head::new(PageKind::Front, memory.front),
            moved: Head::new(PageKind::Moved, memory.moved),
            alloc: Alloc::new(memory.alloc, &pages.space),
            table: Table::new(memory.table),
            anchors: Anchors::default(),
            checkpoint: Checkpoint::new(),
            sequence: 0,
            generation: 0,
            transaction: 0,
            transaction_start: None,
            last_commit: None,
            commit_tag: 0,
            next_object: 0,
            may_have: super::MayHave::default(),
            merge_start: None,
            relocations: heapless::Vec::new(),
            erased: heapless::Vec::new(),
            moves_cold: false,
            has_opened: false,
            has_erased: false,
            is_lasting: false,
            is_apart: false,
            commits_in_tail: 0,
            pages_in_tail: 0,
            knows_lives: false,
            pages,
        }
    }

    /// Makes the chip an empty log. Nothing is durable before the first checkpoint.
    pub(crate) fn create(&mut self, mut signature: Signature) -> Result<(), Error> {
        let geometry = self.pages.flash.geometry();
        signature.fixed_blocks = fixed_blocks(geometry.block_count);
        // Before anything is erased: a chip that is refused keeps what it has.
        self.find_marked(&geometry, signature.fixed_blocks)?;
        // The same id may be used again, on purpose or for want of entropy: then another salt keeps old pages out.
        for block in 0..FIXED_BLOCKS_MAX.min(geometry.block_count) {
            let Ok(old) = self.read_signature(block) else { continue };
            signature.salt = signature.salt.max(old.salt.wrapping_add(1));
            // The old volume goes first: half overwritten, it must not be found again.
            if !self.pages.flash.is_bad(block)? {
                self.pages.erase(block)?;
            }
        }
        signature.node_bytes_max = node_bytes_max(&geometry);
        if let Some(secret) = self.pages.keys.secret() {
            signature.authenticate(secret).ok_or(Error::Exhausted)?;
        }
        self.signature = signature;
        self.pages.set_volume(&signature.volume_id, signature.salt);
        self.sequence = 0;
        self.generation = 0;
        self.knows_lives = true;
        Ok(())
    }

    /// Looks at every block for the mark of a bad one: no other mount does. Refuses a chip that has no spare ones left.
    fn find_marked(&mut self, geometry: &Geometry, fixed_blocks: u32) -> Result<(), Error> {
        self.alloc.clear();
        for block in 0..geometry.block_count {
            if self.pages.flash.is_bad(block)? {
                self.alloc.set_bad(block, BadReason::Marked);
            } else if block < fixed_blocks {
                self.alloc.set_state(block, BlockState::Anchor);
            }
        }
        let (bad, bad_max) = (self.alloc.count(BlockState::Bad), geometry.bad_blocks_max);
        if bad > 0 && bad >= bad_max {
            let half = |blocks| u16::try_from(blocks).unwrap_or(u16::MAX);
            return Err(Error::TooManyBadBlocks { bad: half(bad), bad_max: half(bad_max) });
        }
        if geometry.block_count - bad < BLOCKS_MIN || self.alloc.count(BlockState::Anchor) == 0 {
            return Err(Error::VolumeTooSmall { blocks_min: BLOCKS_MIN });
        }
        Ok(())
    }

    /// Finds the last committed state; for writing, [`Self::make_writable`] must follow.
    pub(crate) fn mount(&mut self, terms: Terms) -> Result<Found, crate::Error> {
        self.forget();
        let fixed = self.find_signature()?;
        let found = self.find_checkpoint(fixed != FixedSet::Lost);
        let tail_checkpoint = self.adopt_size(found)?;
        self.load_alloc()?;
        // Before the tail claims its blocks: what the table calls an old checkpoint block may be in the tail by now.
        self.claim_blocks()?;
        let mut tail = self.find_tail(terms.may_go_back)?;
        self.place_front(&tail)?;
        self.place_moved(self.checkpoint.moved_page, None)?;
        match self.replay(tail.newest_commit) {
            Err(error) if error.is_damage() && terms.may_go_back => {
                // What lies behind the checkpoint is void: changes of which some are unknown are no state that ever was.
                tail = Tail::void(&self.checkpoint);
                self.replay(None)?;
            }
            result => result?,
        }
        let untouched = tail.newest_commit.is_none() && tail.is_empty(&self.checkpoint);
        let clean = self.checkpoint.clean && tail_checkpoint && untouched && !tail.is_cut_off;
        self.alloc.free_unused();
        self.sequence = self.sequence.max(self.checkpoint.sequence) + SEQUENCE_GAP;
        self.generation = self.generation.wrapping_add(1);
        self.knows_lives = true;
        if self.transaction < terms.commit_min {
            return Err(crate::Error::RolledBack { commit: self.transaction });
        }
        Ok(Found { fixed, tail, tail_checkpoint, clean })
    }

    /// Settles what an unclean stop left in doubt, and leaves a chain that cannot be read to its end. Nothing may be written before.
    pub(crate) fn make_writable(&mut self, found: &Found) -> Result<(), crate::Error> {
        // Recovery writes already, and must understand what it says again.
        if !self.signature.is_writable() {
            return Err(crate::Error::ReadOnly);
        }
        if found.fixed != FixedSet::Whole {
            self.write_fixed()?;
        }
        if !found.clean {
            self.doubt_everything(&found.tail);
            if self.checkpoint_move_blocks() > 0 {
                self.spare_begun()?;
            }
        }
        if found.tail.is_cut_off {
            let in_doubt = self.has_commit_behind(&found.tail) && !found.clean;
            self.start_chain(in_doubt && !is_off(Step::Recommit))?;
        } else if !found.clean {
            self.recover(&found.tail, found.tail_checkpoint)?;
        }
        Ok(())
    }

    /// After an unclean stop any page that was to be programmed next may have been touched.
    fn doubt_everything(&mut self, tail: &Tail) {
        for anchors in [&mut self.anchors.fixed, &mut self.anchors.checkpoints] {
            for anchor in anchors.iter_mut().flatten() {
                anchor.doubt = Doubt::MayHide;
            }
        }
        self.front.doubt = if tail.last_readable { Doubt::MayHide } else { Doubt::MayShow };
        self.moved.doubt = Doubt::MayHide;
    }

    /// Forgets everything about the chip's content, for a mount of a log that was in use.
    fn forget(&mut self) {
        for head in [&mut self.front, &mut self.moved] {
            head.close();
        }
        self.anchors = Anchors::default();
        self.checkpoint = Checkpoint::new();
        self.relocations.clear();
        self.erased.clear();
        // How many of them are the volume's, its checkpoint will tell.
        self.pages.space.block_count = self.pages.flash.geometry().block_count;
        self.knows_lives = false;
        self.is_apart = false;
        self.merge_start = None;
        self.transaction_start = None;
        self.commits_in_tail = 0;
        self.pages_in_tail = 0;
    }

    /// Reads the signature and the newest pointers.
    #[inline(never)]
    fn find_signature(&mut self) -> Result<FixedSet, crate::Error> {
        let geometry = self.pages.flash.geometry();
        let mut first_error = crate::Error::NotAVolume;
        let mut fixed_blocks: Option<u32> = None;
        let mut newest: Option<Pointer> = None;
        let mut mirrors = Mirrors::default();
        let mut torn = false;
        let mut guess = 0;
        for block in 0..FIXED_BLOCKS_MAX.min(geometry.block_count) {
            let whole = !torn && newest.is_some_and(|newest| mirrors.agree(newest.sequence));
            if whole || fixed_blocks.is_some_and(|fixed_blocks| block >= fixed_blocks) {
                break;
            }
            let signature = match self.read_signature(block) {
                Ok(signature) => signature,
                Err(error) => {
                    if !matches!(error, crate::Error::NotAVolume) {
                        first_error = error;
                    }
                    continue;
                }
            };
            if fixed_blocks.is_none() {
                self.adopt(&signature)?;
                fixed_blocks = Some(signature.fixed_blocks);
            }
            if self.pages.flash.is_bad(block)? {
                continue;
            }
            let (anchor, pointer) = self.read_fixed(block, guess)?;
            guess = anchor.next_page;
            let Some(pointer) = pointer else { continue };
            torn |= !pointer.last;
            mirrors.offer(anchor, pointer.sequence);
            if newest.is_none_or(|newest| pointer.sequence > newest.sequence) {
                newest = Some(pointer);
            }
        }
        if fixed_blocks.is_none() && !self.scan_for_signature()? {
            return Err(first_error);
        }
        self.anchors.fixed = mirrors.anchors;
        let Some(newest) = newest else { return Ok(FixedSet::Lost) };
        self.sequence = self.sequence.max(newest.sequence);
        for (place, block) in self.anchors.checkpoints.iter_mut().zip(newest.checkpoints) {
            let block = block.filter(|block| *block < geometry.block_count);
            *place = block.map(|block| AnchorBlock { block, next_page: 0, doubt: Doubt::MayShow });
        }
        Ok(if mirrors.agree(newest.sequence) && !torn { FixedSet::Whole } else { FixedSet::InDoubt })
    }

    /// The fixed set is lost: any checkpoint block has a copy of the signature.
    #[inline(never)]
    fn scan_for_signature(&mut self) -> Result<bool, crate::Error> {
        for block in 0..self.pages.space.block_count {
            let Some(signature) = self.signature_in(block)? else { continue };
            self.adopt(&signature)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// This is the volume, if it was made for a chip of this shape.
    #[inline(never)]
    fn adopt(&mut self, signature: &Signature) -> Result<(), crate::Error> {
        check_same_geometry(signature, &self.pages.flash.geometry())?;
        check_key(signature, self.pages.keys.secret())?;
        self.signature = *signature;
        self.pages.set_volume(&signature.volume_id, signature.salt);
        Ok(())
    }

    /// Finds the newest checkpoint; tells whether nothing unreadable lies behind it.
    #[inline(never)]
    fn find_checkpoint(&mut self, fixed_known: bool) -> Result<bool, Error> {
        let mut best: Option<FoundCheckpoint> = None;
        let mut guess = None;
        for mirror in 0..MIRRORS {
            let Some(Some(anchor)) = self.anchors.checkpoints.get(mirror).copied() else { continue };
            let whole = best.is_some_and(|best: FoundCheckpoint| best.last);
            let (anchor, found) = if whole {
                // Every checkpoint is written to the first mirror first: the second has nothing newer.
                let next_page = self.end_of_pages(anchor.block, CHECKPOINT_FIRST_PAGE, guess)?;
                (AnchorBlock { next_page, ..anchor }, None)
            } else {
                self.read_checkpoints(anchor.block, guess)?
            };
            guess = Some(anchor.next_page);
            if let Some(place) = self.anchors.checkpoints.get_mut(mirror) {
                *place = Some(anchor);
            }
            if let (Some(one), Some(other)) = (best, found)
                && one.sequence == other.sequence
                && !one.last
                && !other.last
            {
                // The second mirror is written when the first is whole: no cut leaves both unreadable behind the same checkpoint. Both
                // copies of a newer one are lost, and blocks that this one refers to may have been used again.
                return Err(Error::Uncorrectable { page: one.page + 1 });
            }
            best = newer(best, found);
        }
        if best.is_none() || !fixed_known {
            best = self.scan_for_checkpoint()?.or(best);
        }
        let best = best.ok_or(Error::DamagedSignature)?;
        self.load_checkpoint(best.page)?.ok_or(Error::Corrupt { page: best.page })?;
        Ok(best.last)
    }

    /// Looks through the whole volume for checkpoint blocks and keeps the two with the newest checkpoints.
    #[inline(never)]
    fn scan_for_checkpoint(&mut self) -> Result<Option<FoundCheckpoint>, Error> {
        let mut best: Option<FoundCheckpoint> = None;
        let mut mirrors = Mirrors::default();
        for block in 0..self.pages.space.block_count {
            let header = self.block_header(block)?;
            if !header.is_some_and(|(header, _)| header.kind == PageKind::Checkpoint) {
                continue;
            }
            let (anchor, found) = self.read_checkpoints(block, None)?;
            let Some(found) = found else { continue };
            mirrors.offer(anchor, found.sequence);
            best = newer(best, Some(found));
        }
        self.anchors.checkpoints = mirrors.anchors;
        Ok(best)
    }

    #[inline(never)]
    fn load_alloc(&mut self) -> Result<(), Error> {
        self.alloc.clear();
        let space = self.pages.space;
        self.alloc.segments = self.checkpoint.segments;
        for segment in 0..self.alloc.segment_count() {
            match self.load_segment(segment) {
                Ok(()) => self.alloc.set_clean(segment),
                // The pages of an authenticated volume are nothing without it: it says which lives they are of.
                Err(error) if error.is_unreadable() && !self.is_keyed() => self.guess_segment(segment)?,
                Err(error) => return Err(error),
            }
        }
        for (address, len) in self.checkpoint.segments.into_iter().filter_map(Segment::get) {
            if !space.contains(address, len) {
                return Err(Error::Corrupt { page: space.page_of(address) });
            }
        }
        self.load_lives()?;
        self.alloc.count_segments(&space);
        Ok(())
    }

    fn load_segment(&mut self, segment: usize) -> Result<(), Error> {
        let space = self.pages.space;
        let (address, len) = self.alloc.segment(segment).ok_or(Error::Corrupt { page: 0 })?;
        let page = space.page_of(address);
        let mut offset = 0u32;
        let mut window = [0u8; 2 * ULEB_BYTES_MAX];
        for block in self.alloc.segment_range(segment) {
            let here = (len.saturating_sub(offset) as usize).min(window.len());
            let bytes = window.get_mut(..here).unwrap_or_default();
            self.read(space.advance(address, offset), bytes)?;
            let mut reader = Reader::new(bytes);
            if offset == 0 && reader.uleb() != segment as u64 {
                return Err(Error::Corrupt { page });
            }
            // The segment's number takes one byte: there are at most 16.
            self.alloc.load(block, &mut reader).ok_or(Error::Corrupt { page })?;
            offset += reader.position() as u32;
        }
        Ok(())
    }

    /// In place of a segment that cannot be read: the blocks' own headers say how often they were erased, marks which are bad; what they
    /// hold has to be counted.
    #[inline(never)]
    fn guess_segment(&mut self, segment: usize) -> Result<(), Error> {
        self.alloc.lose_segment(segment);
        for block in self.alloc.segment_range(segment) {
            let life = self.life_before(block)?;
            self.alloc.set_erase_count(block, life);
            if self.pages.flash.is_bad(block)? {
                self.alloc.set_bad(block, BadReason::Other);
            } else if block < self.signature.fixed_blocks {
                // Nothing in the tree refers to these.
                self.alloc.set_state(block, BlockState::Anchor);
            }
        }
        Ok(())
    }

    /// Makes the states of blocks agree with what was found on the chip.
    fn claim_blocks(&mut self) -> Result<(), Error> {
        let fixed_blocks = self.signature.fixed_blocks;
        let current = self.anchors.checkpoints;
        for block in 0..self.alloc.blocks() {
            let in_use = current.iter().flatten().any(|anchor| anchor.block == block);
            match self.alloc.state(block) {
                BlockState::Bad => {}
                BlockState::Anchor if block >= fixed_blocks && !in_use => self.alloc.set_state(block, BlockState::Free),
                _ if in_use => self.alloc.set_state(block, BlockState::Anchor),
                _ => {}
            }
        }
        let jumps = self.checkpoint.jumps;
        for (replaced, _) in jumps.iter() {
            // It must not come back into the chain that names it. If it is bad, it will fail again; what it shows may be from before
            // an erase that failed.
            let first_page = self.pages.space.first_page(replaced);
            match self.pages.header(first_page).and_then(|header| self.learn_life(first_page, &header)) {
                Err(error) if !error.is_useless() => return Err(error),
                _ => {}
            }
            self.mark_tail(replaced);
        }
        Ok(())
    }

    fn has_commit_behind(&self, tail: &Tail) -> bool {
        tail.newest_commit.is_some() && self.transaction != self.checkpoint.transaction
    }

    /// After an unclean stop: what may have been torn is said again before anyone sees it.
    #[inline(never)]
    fn recover(&mut self, tail: &Tail, tail_checkpoint: bool) -> Result<(), Error> {
        if is_off(Step::Recommit) {
            return Ok(());
        }
        let has_commit = self.has_commit_behind(tail);
        if has_commit && !(tail_checkpoint && self.checkpoint.jumps.is_empty() && self.is_checkpoint_mirrored()?) {
            // A checkpoint that repeats the last one, for the sake of a jump or of another chain, is younger than the commits: it
            // may be torn too. One that cannot be read now may be read later: it must never be the newest. Nor may one that says a
            // block was reached which holds nothing but its header: that is erased once more.
            self.repeat_checkpoint()?;
        }
        if has_commit {
            return self.recommit();
        }
        // No commit since the checkpoint: what follows it in the log is void from now on. A commit without changes says so
        // with one page.
        if tail_checkpoint && self.checkpoint.jumps.is_empty() && self.is_checkpoint_mirrored()? {
            return self.commit();
        }
        // The checkpoint itself may be torn.
        let mut checkpoint = self.checkpoint;
        checkpoint.clean = false;
        self.settle_doubt(HeadId::Front)?;
        checkpoint.front_block = self.front.block.unwrap_or(checkpoint.front_block);
        checkpoint.front_page = self.front.page;
        self.write_checkpoint(&mut checkpoint, true)
    }
}

fn newer(a: Option<FoundCheckpoint>, b: Option<FoundCheckpoint>) -> Option<FoundCheckpoint> {
    match (a, b) {
        (Some(a), Some(b)) if b.sequence > a.sequence => Some(b),
        (Some(a), _) => Some(a),
        (None, b) => b,
    }
}

/// Checks that there is a key exactly where one is needed, and that it is the volume's.
fn check_key(signature: &Signature, secret: Option<&Key>) -> Result<(), crate::Error> {
    match (secret, signature.mac) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(crate::Error::KeyNeeded),
        (Some(_), None) => Err(crate::Error::NotAuthenticated),
        (Some(secret), Some(_)) if signature.is_authentic(secret) => Ok(()),
        (Some(_), Some(_)) => Err(crate::Error::WrongKey),
    }
}

fn check_same_geometry(signature: &Signature, chip: &Geometry) -> Result<(), crate::Error> {
    let volume = &signature.geometry;
    for (field, volume, chip) in [
        (GeometryField::PageSize, volume.page_size, chip.page_size),
        (GeometryField::SpareSize, volume.spare_size, chip.spare_size),
        (GeometryField::PagesPerBlock, volume.pages_per_block, chip.pages_per_block),
    ] {
        if volume != chip {
            return Err(crate::Error::WrongGeometry { field, volume, chip });
        }
    }
    Ok(())
}
