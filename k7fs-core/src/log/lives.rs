//! Lives: how often the block of a page had been erased when the page was programmed.
//!
//! On an authenticated volume a page counts only in its block's life of now, so that nothing from an earlier one can be brought
//! back. The allocation table knows that life, except for blocks opened since it was written. Those of the checkpoint's own
//! writing are vouched for by a hash in the checkpoint, those of the log by the chain of their headers, and of others every
//! reference and commit says the life it means.

use super::alloc::Segment;
use super::checkpoint::LIVES_BYTES;
use super::{BlockState, Log};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::hash::pointer_hash;
use crate::page::Header;
use crate::sabotage::{Step, is_off};

/// Blocks that a checkpoint vouches for, at most: those of the segments, of the log's beginning and of the moved head.
const VOUCHED_MAX: usize = super::alloc::SEGMENTS_MAX + 2;

impl<F: Flash> Log<'_, F> {
    pub(super) fn is_keyed(&self) -> bool {
        self.pages.keys.pages().is_some()
    }

    /// On an authenticated volume, whether a page is from its block's life of now. Checkpoints are found by search and the newest
    /// one counts: whoever brings back an older one brings back the whole volume, or meets this check.
    pub(super) fn check_life(&mut self, page: u32) -> Result<(), Error> {
        if !self.is_keyed() || !self.knows_lives {
            return Ok(());
        }
        if self.alloc.state(self.pages.space.block_of_page(page)) == BlockState::Anchor {
            return Ok(());
        }
        let header = self.pages.header(page)?;
        self.check_life_of(page, &header)
    }

    /// The same for a page of the log's tail, during a mount.
    pub(super) fn check_life_of(&self, page: u32, header: &Header) -> Result<(), Error> {
        let now = self.alloc.erase_count(self.pages.space.block_of_page(page));
        let is_now = !self.is_keyed() || header.life == now || is_off(Step::Life);
        if is_now { Ok(()) } else { Err(Error::Forged { page }) }
    }

    /// Takes a block's life from one of its pages: the table may be older than its last opening.
    pub(super) fn learn_life(&mut self, page: u32, header: &Header) -> Result<(), Error> {
        let block = self.pages.space.block_of_page(page);
        let known = self.alloc.erase_count(block);
        // With nothing alive in it then, it may have become free with the checkpoint and have been erased: what is older says nothing.
        let is_sound = match self.alloc.live(block) {
            0 => header.life >= known && header.sequence > self.checkpoint.tail_sequence,
            _ => header.life == known,
        };
        if self.is_keyed() && !is_sound && !is_off(Step::Life) {
            return Err(Error::Forged { page });
        }
        self.alloc.set_erase_count(block, header.life);
        Ok(())
    }

    /// The life to be said of a page that is referred to; nothing where nobody asks.
    pub(super) fn life_said(&self, page: u32) -> Option<u32> {
        self.is_keyed().then(|| self.alloc.erase_count(self.pages.space.block_of_page(page)))
    }

    /// Takes a block's life from what a page of the log's tail says of one of its pages.
    pub(super) fn take_life(&mut self, page: u32, said: Option<u32>) -> Result<(), Error> {
        let block = self.pages.space.block_of_page(page);
        let known = self.alloc.erase_count(block);
        match said {
            Some(life) if life == known || is_off(Step::Life) => Ok(()),
            Some(life) if life > known && self.alloc.live(block) == 0 => {
                self.alloc.set_erase_count(block, life);
                Ok(())
            }
            Some(_) => Err(Error::Forged { page }),
            None => Ok(()),
        }
    }

    /// The life of a free block until now. On authenticated volumes its first page is looked at: a block that was opened before a cut
    /// without a trace must not live twice under one number.
    pub(super) fn life_before(&mut self, block: u32) -> Result<u32, Error> {
        let known = self.alloc.erase_count(block);
        if !self.is_keyed() {
            return Ok(known);
        }
        match self.pages.header(self.pages.space.first_page(block)) {
            Ok(header) => Ok(header.life.max(known)),
            Err(error) if error.is_useless() => Ok(known),
            Err(error) => Err(error),
        }
    }

    /// The pages whose blocks the checkpoint vouches for.
    fn vouched(&self) -> impl Iterator<Item = u32> + use<F> {
        let (space, checkpoint) = (self.pages.space, &self.checkpoint);
        let front = space.first_page(checkpoint.front_block);
        let moved = checkpoint.moved_page.and_then(|page| page.checked_sub(1));
        let segments = checkpoint.segments.into_iter().filter_map(Segment::get).map(|(address, _)| address.page);
        segments.chain([front]).chain(moved).take(VOUCHED_MAX)
    }

    /// The hash of the lives that the checkpoint vouches for, as `life` tells them.
    fn lives_tag(
        &mut self, mut life: impl FnMut(&mut Self, u32) -> Result<u32, Error>,
    ) -> Result<[u8; LIVES_BYTES], Error> {
        let mut lives = [0u8; 4 * VOUCHED_MAX];
        for (place, page) in lives.chunks_exact_mut(4).zip(self.vouched()) {
            place.copy_from_slice(&life(self, page)?.to_le_bytes());
        }
        let mut tag = [0; LIVES_BYTES];
        for (to, from) in tag.iter_mut().zip(pointer_hash(&lives)) {
            *to = from;
        }
        Ok(tag)
    }

    /// What the checkpoint says of lives when it is about to be written.
    pub(super) fn lives_now(&mut self) -> Result<Option<[u8; LIVES_BYTES]>, Error> {
        if !self.is_keyed() {
            return Ok(None);
        }
        let now = |log: &mut Self, page| Ok(log.alloc.erase_count(log.pages.space.block_of_page(page)));
        self.lives_tag(now).map(Some)
    }

    /// Takes the lives of the blocks that the checkpoint vouches for. The allocation table has been loaded, from some of them.
    pub(super) fn load_lives(&mut self) -> Result<(), Error> {
        if !self.is_keyed() {
            return Ok(());
        }
        let tag = self.lives_tag(|log, page| {
            let life = log.pages.header(page)?.life;
            let block = log.pages.space.block_of_page(page);
            log.alloc.set_erase_count(block, life);
            if log.alloc.state(block) == BlockState::Free {
                log.alloc.set_state(block, BlockState::Used);
            }
            Ok(life)
        })?;
        let page = self.pages.space.first_page(self.checkpoint.front_block);
        if Some(tag) == self.checkpoint.lives || is_off(Step::Life) { Ok(()) } else { Err(Error::Forged { page }) }
    }
}
