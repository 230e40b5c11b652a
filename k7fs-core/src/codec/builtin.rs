//! Decoders that firmware may have, where it has an allocator: features `zstd` and `lzma2`.

use super::{Codec, CodecError, CodecId};

/// Decodes what the features of this build know; compresses nothing, so that new content is stored as it is.
///
/// Memory from the allocator while it decodes, beside the block itself, measured on a 64-bit host by `cargo test -p k7fs-tests
/// --test codecs`: zstd 17 KB for a block of 4 KiB, 130 KB for 64 KiB, kept for the next block; LZMA2 16 KB and 78 KB.
#[derive(Default)]
pub struct BuiltInCodec {
    #[cfg(feature = "zstd")]
    zstd: ruzstd::decoding::FrameDecoder,
}

impl BuiltInCodec {
    /// One that has allocated nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl core::fmt::Debug for BuiltInCodec {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BuiltInCodec").finish_non_exhaustive()
    }
}

impl Codec for BuiltInCodec {
    fn decode(&mut self, codec: CodecId, packed: &[u8], plain: &mut [u8]) -> Result<(), CodecError> {
        match codec {
            #[cfg(feature = "zstd")]
            CodecId::Zstd => {
                let window = plain.len().next_power_of_two().max(ZSTD_WINDOW_MIN);
                self.zstd.set_max_window_size(window as u64);
                match self.zstd.decode_all(packed, plain) {
                    Ok(length) if length == plain.len() => Ok(()),
                    _ => Err(CodecError::Damaged),
                }
            }
            #[cfg(feature = "lzma2")]
            CodecId::Lzma2 => unlzma2(packed, plain),
            _ => {
                let _ = (packed, plain);
                Err(CodecError::Missing)
            }
        }
    }

    fn decodes(&self, codec: CodecId) -> bool {
        match codec {
            CodecId::Store => false,
            CodecId::Zstd => cfg!(feature = "zstd"),
            CodecId::Lzma2 => cfg!(feature = "lzma2"),
        }
    }

    fn encode(&mut self, _codec: CodecId, _plain: &[u8], _packed: &mut [u8]) -> Option<usize> {
        None
    }
}

/// The smallest window of a frame.
#[cfg(feature = "zstd")]
const ZSTD_WINDOW_MIN: usize = 1024;
/// The smallest dictionary that LZMA2 knows.
#[cfg(feature = "lzma2")]
const LZMA2_DICTIONARY_MIN: usize = 4096;

#[cfg(feature = "lzma2")]
fn unlzma2(packed: &[u8], plain: &mut [u8]) -> Result<(), CodecError> {
    use lzma_rust2::{Action, Lzma2Stream, Status};
    let dictionary = u32::try_from(plain.len().max(LZMA2_DICTIONARY_MIN)).map_err(|_| CodecError::Damaged)?;
    let mut stream = Lzma2Stream::new(dictionary);
    let (mut read, mut written) = (0, 0);
    // A call that makes no progress ends it; every other one takes a byte at least, or gives one.
    for _ in 0..=packed.len() + plain.len() {
        let (input, output) = (packed.get(read..).unwrap_or_default(), plain.get_mut(written..).unwrap_or_default());
        let result = stream.process(input, output, Action::Finish).map_err(|_| CodecError::Damaged)?;
        read += result.bytes_consumed;
        written += result.bytes_produced;
        if result.status == Status::StreamEnd {
            return if written == plain.len() { Ok(()) } else { Err(CodecError::Damaged) };
        }
        if result.bytes_consumed == 0 && result.bytes_produced == 0 {
            break;
        }
    }
    Err(CodecError::Damaged)
}
