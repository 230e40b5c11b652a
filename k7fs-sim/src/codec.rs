//! The host's codecs: zstd by the C library, LZMA2 by a port of the reference implementation.

use std::io::Read;
use std::io::Write;

use k7fs_core::{Codec, CodecError, CodecId, Codecs};
use lzma_rust2::{Lzma2Options, Lzma2Reader, Lzma2Writer, LzmaOptions};
use zstd::bulk::{Compressor, Decompressor};

/// The highest level of zstd that needs no more memory to decode than others: blocks are small, and decoding costs the same.
const ZSTD_LEVEL: i32 = 19;
/// The reference implementation's default.
const LZMA2_PRESET: u32 = 6;
/// The smallest dictionary that LZMA2 knows.
const LZMA2_DICTIONARY_MIN: usize = 4096;

/// All codecs.
#[derive(Default)]
pub struct HostCodec {
    compressor: Option<Compressor<'static>>,
    decompressor: Option<Decompressor<'static>>,
}

impl HostCodec {
    fn zstd(&mut self, plain: &[u8], packed: &mut [u8]) -> std::io::Result<usize> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => {
                let mut compressor = Compressor::new(ZSTD_LEVEL)?;
                // The record has both.
                compressor.include_checksum(false)?;
                compressor.include_contentsize(false)?;
                none.insert(compressor)
            }
        };
        compressor.compress_to_buffer(plain, packed)
    }

    fn unzstd(&mut self, packed: &[u8], plain: &mut [u8]) -> std::io::Result<usize> {
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::new()?),
        };
        decompressor.decompress_to_buffer(packed, plain)
    }
}

fn dictionary(plain: &[u8]) -> u32 {
    u32::try_from(plain.len().max(LZMA2_DICTIONARY_MIN)).unwrap_or(u32::MAX)
}

fn lzma2(plain: &[u8], packed: &mut [u8]) -> std::io::Result<usize> {
    let mut lzma_options = LzmaOptions::with_preset(LZMA2_PRESET);
    lzma_options.dict_size = dictionary(plain);
    let options = Lzma2Options { lzma_options, ..Lzma2Options::default() };
    let mut writer = Lzma2Writer::new(Vec::new(), options);
    writer.write_all(plain)?;
    let bytes = writer.finish()?;
    let target = packed.get_mut(..bytes.len()).ok_or(std::io::ErrorKind::WriteZero)?;
    target.copy_from_slice(&bytes);
    Ok(bytes.len())
}

fn unlzma2(packed: &[u8], plain: &mut [u8]) -> std::io::Result<usize> {
    let mut reader = Lzma2Reader::new(packed, dictionary(plain), None);
    reader.read_exact(plain)?;
    let mut more = [0];
    if reader.read(&mut more)? == 0 { Ok(plain.len()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

impl Codec for HostCodec {
    fn decode(&mut self, codec: CodecId, packed: &[u8], plain: &mut [u8]) -> Result<(), CodecError> {
        let length = match codec {
            CodecId::Store => return Err(CodecError::Missing),
            CodecId::Zstd => self.unzstd(packed, plain),
            CodecId::Lzma2 => unlzma2(packed, plain),
        };
        if length.is_ok_and(|length| length == plain.len()) { Ok(()) } else { Err(CodecError::Damaged) }
    }

    fn encode(&mut self, codec: CodecId, plain: &[u8], packed: &mut [u8]) -> Option<usize> {
        match codec {
            CodecId::Store => None,
            CodecId::Zstd => self.zstd(plain, packed).ok(),
            CodecId::Lzma2 => lzma2(plain, packed).ok(),
        }
    }
}

impl std::fmt::Debug for HostCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostCodec").finish_non_exhaustive()
    }
}

/// The host's codecs with memory for a volume's logical block.
#[derive(Debug, Default)]
pub struct HostCodecs {
    codec: HostCodec,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl HostCodecs {
    /// For logical blocks of so many bytes.
    pub fn new(logical_block_size: u32) -> Self {
        let memory = vec![0; logical_block_size as usize];
        Self { codec: HostCodec::default(), plain: memory.clone(), packed: memory }
    }

    /// What a mount takes.
    pub fn lend(&mut self) -> Codecs<'_> {
        Codecs::new(&mut self.codec, &mut self.plain, &mut self.packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back() {
        let mut codec = HostCodec::default();
        for length in [1, 4096, 70_000, 1 << 20] {
            let plain: Vec<u8> = (0..length).map(|index| (index / 7 % 251) as u8).collect();
            for id in [CodecId::Zstd, CodecId::Lzma2] {
                let mut packed = vec![0; length + 64];
                let size = codec.encode(id, &plain, &mut packed).expect("compresses");
                let mut again = vec![0; length];
                assert_eq!(codec.decode(id, &packed[..size], &mut again), Ok(()));
                assert!(again == plain && (length < 4096 || size < length));
                assert_eq!(codec.decode(id, &packed[..size], &mut vec![0; length + 1]), Err(CodecError::Damaged));
                assert!(length < 2 || codec.decode(id, &packed[..size], &mut vec![0; length - 1]).is_err());
                assert!(codec.decode(id, &packed[..size / 2], &mut again).is_err());
            }
        }
    }
}
