//! The indexes of a volume, all at once.

use k7fs_core::flash::Flash;
use k7fs_core::{NAME_BYTES_MAX, Volume};
use serde::Serialize;

use super::clock::utc;
use super::error::HostError;

/// What a host tells about an index. The keys are part of the command's contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexReport {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u32,
    /// The number of the index that it descends from; 0 for none.
    pub parent: u32,
    /// When it was created, as [`utc`] tells it.
    pub created: String,
    /// Whether it may be written to.
    pub writable: bool,
    /// Whether a mount begins with it.
    pub default: bool,
    /// Bytes that no other index sees.
    pub exclusive_bytes: u64,
}

/// All indexes of a volume, in the order of their numbers.
///
/// # Errors
/// What the volume says.
pub fn indexes<F: Flash>(volume: &mut Volume<'_, F>) -> Result<Vec<IndexReport>, HostError> {
    let mut reports = Vec::new();
    let mut cursor = volume.indexes();
    let mut name = [0; NAME_BYTES_MAX];
    while let Some(index) = volume.next_index(&mut cursor, &mut name).map_err(HostError::index(""))? {
        reports.push(IndexReport {
            name: index.name.to_owned(),
            id: index.id,
            parent: index.parent,
            created: utc(index.created),
            writable: index.writable,
            default: index.is_default,
            exclusive_bytes: 0,
        });
    }
    for report in &mut reports {
        report.exclusive_bytes = volume.exclusive_bytes(&report.name).map_err(HostError::index(&report.name))?;
    }
    Ok(reports)
}
