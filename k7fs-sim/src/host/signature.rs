//! Finds the volume in an image of unknown shape.
//!
//! Nothing is known about an unknown image, not even its page size. But every block header starts a block with the
//! magic bytes, and the signature behind them has one fixed code that is read before any parameter is known. So every
//! place where a block could start is tried, nearest first.

use std::fs::File;
use std::io;

use k7fs_core::Error;

use super::identify::{VolumeInfo, identify};
use super::positioned::read_at;

/// How far into an image a volume's first readable signature may lie.
const SEARCH_BYTES: u64 = 2 * 1024 * 1024;
/// Blocks start at multiples of this: it divides every raw page size in use, spare areas included.
const STEP_BYTES: usize = 64;
/// What `identify` needs to see.
const WINDOW_BYTES: usize = 256;
/// The magic may itself carry flipped bits. More than this many is not worth decoding.
const MAGIC_FLIPS_MAX: u32 = 4;
/// The first bytes of every block header.
const MAGIC: [u8; 4] = *b"K7FS";

/// A signature and the byte of the image where it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// What the signature says.
    pub info: VolumeInfo,
    /// First byte of the block that it was found in.
    pub position: u64,
}

/// Looks for a signature in the first bytes of an image.
///
/// # Errors
/// The outer one is the host's. The inner one is `NotAVolume` where nothing looks like a signature, or what is wrong
/// with the best candidate: `UnknownFeature`, `DamagedSignature`.
pub fn find(file: &File, bytes: u64) -> io::Result<Result<Found, Error>> {
    let searched = bytes.min(SEARCH_BYTES + WINDOW_BYTES as u64);
    let mut head = vec![0; usize::try_from(searched).unwrap_or(0)];
    read_at(file, 0, &mut head)?;
    let mut refusal = Error::NotAVolume;
    let mut start = 0;
    while start + WINDOW_BYTES <= head.len() {
        let window = &head[start..start + WINDOW_BYTES];
        if magic_flips(window) <= MAGIC_FLIPS_MAX {
            match identify(window) {
                Ok(info) => return Ok(Ok(Found { info, position: start as u64 })),
                Err(error) => refusal = graver(refusal, error),
            }
        }
        start += STEP_BYTES;
    }
    Ok(Err(refusal))
}

fn magic_flips(window: &[u8]) -> u32 {
    MAGIC.iter().zip(window).map(|(expected, found)| (expected ^ found).count_ones()).sum()
}

/// The refusal that tells the user more: a foreign volume over a damaged one over none.
fn graver(held: Error, new: Error) -> Error {
    let rank = |error: Error| match error {
        Error::NotAVolume => 0,
        Error::DamagedSignature => 1,
        _ => 2,
    };
    if rank(new) > rank(held) { new } else { held }
}
