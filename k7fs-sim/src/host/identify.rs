//! Stands in for `k7fs_core::identify` until the core has it.

use k7fs_core::Error;
use k7fs_core::flash::Geometry;

/// What a signature says.
#[derive(Clone, Copy, Debug)]
pub struct VolumeInfo {
    /// The volume's shape.
    pub geometry: Geometry,
    /// The volume's random id.
    pub volume_id: [u8; 16],
    /// The feature level.
    pub feature_level: u32,
    /// Bytes of a logical block.
    pub logical_block_size: u32,
    /// The hash id.
    pub hash_id: u32,
}

/// Always fails.
///
/// # Errors
/// `NotAVolume`.
pub(super) fn identify(_bytes: &[u8]) -> Result<VolumeInfo, Error> {
    Err(Error::NotAVolume)
}
