//! Packed records: content with its hash, perhaps compressed (section 9).

use std::io::Read;

use super::bytes::Cursor;
use super::find::Signature;
use super::page::Pages;
use super::{Result, Seen};

/// Which part of a record's content a reference means.
pub(super) struct Part {
    pub(super) skip: usize,
    pub(super) stored: usize,
}

/// The content that a reference to a packed record means.
pub(super) fn content(
    pages: &Pages<'_>, signature: &Signature, address: u64, length: usize, part: &Part, seen: &mut Seen,
) -> Result<Vec<u8>> {
    let whole = unpack(&pages.bytes(address, part.stored)?, signature, seen)?;
    let here = whole.get(part.skip..).and_then(|rest| rest.get(..length));
    Ok(here.ok_or_else(|| format!("a reference behind the content of the record at {address}"))?.to_vec())
}

/// The content of a record.
pub(super) fn unpack(body: &[u8], signature: &Signature, seen: &mut Seen) -> Result<Vec<u8>> {
    seen.packed += 1;
    let mut cursor = Cursor::new(body, 0);
    let (codec, length) = (cursor.byte()?, cursor.small()? as usize);
    if length as u64 > 1 << signature.logical_block_log2 {
        return Err(format!("a record of {length} bytes"));
    }
    let hash = cursor.take([32, 16, 8][signature.hash_id as usize])?;
    let payload = cursor.rest();
    seen.compressed += u32::from(codec > 0);
    let plain = match codec {
        0 => payload.to_vec(),
        1 => zstd::bulk::decompress(payload, length).map_err(|error| format!("a zstd frame: {error}"))?,
        2 => {
            let mut plain = Vec::new();
            let mut reader = lzma_rust2::Lzma2Reader::new(payload, (length as u32).max(4096), None);
            reader.read_to_end(&mut plain).map_err(|error| format!("an LZMA2 stream: {error}"))?;
            plain
        }
        _ => return Err(format!("a record with codec {codec}")),
    };
    let computed = match signature.hash_id {
        0 | 1 => blake3::hash(&plain).as_bytes().to_vec(),
        _ => xxhash_rust::xxh3::xxh3_64(&plain).to_le_bytes().to_vec(),
    };
    if plain.len() != length || computed[..hash.len()] != *hash {
        return Err(format!("a record of {length} bytes has other content than its hash says"));
    }
    Ok(plain)
}
