//! Telling what an unknown image is.

use crate::ecc::{Layout, Tier};
use crate::error::Error;
use crate::log::{SIGNATURE_BYTES, Signature};
use crate::volume::VolumeInfo;

/// Bytes that [`identify`] looks at.
pub const IDENTIFY_BYTES: usize = SIGNATURE_BYTES;

/// Reads a signature from the first bytes of a block of the fixed set, correcting errors; nothing else need be known.
///
/// A host that looks for a volume in an unknown image tries every offset where a block may start.
///
/// # Errors
/// `NotAVolume`, `DamagedSignature`, `UnknownFeature`.
pub fn identify(bytes: &[u8; IDENTIFY_BYTES]) -> Result<VolumeInfo, Error> {
    const SCRATCH_BYTES: usize = Layout::Nor256.scratch_bytes(Tier::Small);
    let mut codeword = *bytes;
    let mut scratch = [0u8; SCRATCH_BYTES];
    Signature::open(&mut codeword, &mut scratch).map(|signature| VolumeInfo::of(&signature))
}
