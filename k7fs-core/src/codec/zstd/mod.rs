//! A decoder of Zstandard frames (RFC 8878) that needs no allocator: feature `zstd-noalloc`.
//!
//! It decodes what a packed record has: one frame with the content of one logical block, no dictionary, no checksum (the record has
//! a hash). The block's own memory is the window, literals are decoded to where they belong, and the tables are lent by
//! the caller: [`ZSTD_SCRATCH_BYTES`], whatever the block's size. Every bound is checked; what is damaged is an error.
//!
//! ```text
//! frame      head, blocks, the output and copies within it
//! literals   where they come from: plain, repeated, or coded streams        huffman   their code
//! sequences  literal lengths, matches and distances                         fse       their tables
//! bits       streams read backwards and forwards
//! ```

mod bits;
mod frame;
mod fse;
mod huffman;
mod literals;
mod sequences;

use super::{Codec, CodecError, CodecId};
use huffman::Huffman;
use sequences::Sequences;

/// Tables for decoding. They hold nothing between blocks: one may serve several volumes, one after the other.
#[derive(Debug)]
pub struct ZstdScratch {
    huffman: Huffman,
    sequences: Sequences,
}

/// Bytes that decoding takes beside the block itself, plain and packed, and less than a kilobyte of stack.
pub const ZSTD_SCRATCH_BYTES: usize = size_of::<ZstdScratch>();

impl ZstdScratch {
    /// Tables with nothing in them; may be a `static`.
    pub const fn new() -> Self {
        Self { huffman: Huffman::new(), sequences: Sequences::new() }
    }
}

impl Default for ZstdScratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Decodes zstd in memory of the caller's; compresses nothing, so that new content is stored as it is.
#[derive(Debug)]
pub struct ZstdCodec<'s> {
    scratch: &'s mut ZstdScratch,
}

impl<'s> ZstdCodec<'s> {
    /// A decoder that uses these tables.
    pub fn new(scratch: &'s mut ZstdScratch) -> Self {
        Self { scratch }
    }
}

impl Codec for ZstdCodec<'_> {
    fn decode(&mut self, codec: CodecId, packed: &[u8], plain: &mut [u8]) -> Result<(), CodecError> {
        if codec != CodecId::Zstd {
            return Err(CodecError::Missing);
        }
        frame::decode(packed, plain, self.scratch).ok_or(CodecError::Damaged)
    }

    fn decodes(&self, codec: CodecId) -> bool {
        codec == CodecId::Zstd
    }

    fn encode(&mut self, _codec: CodecId, _plain: &[u8], _packed: &mut [u8]) -> Option<usize> {
        None
    }
}
