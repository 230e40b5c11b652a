//! A volume with another number of blocks than its signature says: the checkpoint states it, and what is beyond stays untouched.

use core::ops::Range;

use super::alloc::BadReason;
use super::heads::Doubt;
use super::mount::BLOCKS_MIN;
use super::{BlockState, HeadId, Log};
use crate::error::GeometryField;
use crate::error::inner::Error;
use crate::flash::Flash;

impl<F: Flash> Log<'_, F> {
    /// What a checkpoint says of the number of blocks.
    pub(super) fn stated_blocks(&self) -> u32 {
        let blocks = self.pages.space.block_count;
        if blocks == self.signature.geometry.block_count { 0 } else { blocks }
    }

    /// Takes the volume's number of blocks from the checkpoint that a mount has found, or has looked for in vain: perhaps
    /// because the chip ends before it.
    #[inline(never)]
    pub(super) fn adopt_size(&mut self, found: Result<bool, Error>) -> Result<bool, crate::Error> {
        let chip = self.pages.flash.geometry().block_count;
        let signed = self.signature.geometry.block_count;
        let volume = match (found.is_ok(), self.checkpoint.blocks) {
            (true, blocks) if blocks != 0 => blocks,
            _ => signed,
        };
        let is_missing = matches!(found, Ok(_) | Err(Error::DamagedSignature | Error::Corrupt { .. }));
        if volume > chip && is_missing {
            return Err(crate::Error::WrongGeometry { field: GeometryField::BlockCount, volume, chip });
        }
        let tail_checkpoint = found?;
        let beyond = self.anchors.checkpoints.iter().flatten().any(|anchor| anchor.block >= volume);
        if volume < BLOCKS_MIN || beyond {
            return Err(crate::Error::Corrupt { page: 0 });
        }
        self.set_block_count(volume);
        Ok(tail_checkpoint)
    }

    fn set_block_count(&mut self, blocks: u32) {
        self.pages.space.block_count = blocks;
        let space = self.pages.space;
        self.alloc.set_blocks(&space);
    }

    /// The volume has so many blocks from the next checkpoint on. New ones are free unless they are marked bad.
    pub(crate) fn resize(&mut self, blocks: u32) -> Result<(), Error> {
        let before = self.alloc.blocks();
        self.set_block_count(blocks);
        for block in before..blocks {
            if self.pages.flash.is_bad(block)? {
                self.alloc.set_bad(block, BadReason::Marked);
            }
        }
        self.erased.retain(|block| u32::from(*block) < blocks);
        Ok(())
    }

    /// A block from `end` on that is in use, or may be.
    pub(crate) fn occupied_from(&self, end: u32) -> Option<u32> {
        let in_use =
            |block: &u32| !matches!(self.alloc.state(*block), BlockState::Free | BlockState::Suspect | BlockState::Bad);
        (end..self.alloc.blocks()).find(in_use)
    }

    /// Heads and checkpoint blocks leave what lies in some blocks. `true` where there was something to leave: then a checkpoint must
    /// follow. Nothing may be behind the last one. What is in the fixed set stays there, written anew.
    pub(crate) fn leave_blocks(&mut self, blocks: Range<u32>) -> Result<bool, Error> {
        let inside = |block: Option<u32>| block.is_some_and(|block| blocks.contains(&block));
        let mut leaves = false;
        if inside(self.moved.block) {
            self.flush_partial(HeadId::Moved)?;
            self.moved.close();
            leaves = true;
        }
        if inside(self.front.block) || inside(self.front.next) {
            self.flush_partial(HeadId::Front)?;
            self.leave_chain();
            leaves = true;
        }
        let full = self.pages.space.pages_per_block;
        for anchor in self.anchors.checkpoints.iter_mut().flatten().filter(|anchor| inside(Some(anchor.block))) {
            (anchor.next_page, anchor.doubt) = (full, Doubt::None);
            leaves = true;
        }
        let mut is_fixed = false;
        for anchor in self.anchors.fixed.iter_mut().flatten().filter(|anchor| inside(Some(anchor.block))) {
            (anchor.next_page, anchor.doubt) = (full, Doubt::None);
            is_fixed = true;
        }
        if is_fixed {
            // A full one is erased before it is written; the other is whole meanwhile.
            self.write_fixed()?;
        }
        Ok(leaves)
    }

    /// Whether a block follows in the log's chain and has not been opened yet.
    pub(crate) fn is_planned(&self, block: u32) -> bool {
        self.front.next == Some(block)
    }

    /// A chain of its own begins: the checkpoint that must follow leads to it.
    pub(super) fn leave_chain(&mut self) {
        self.front.close();
        self.front.first_sequence = 0;
        self.is_apart = true;
        self.alloc.touch_all();
    }
}
