//! Looks at a whole volume.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, FaultKind, Volume};

use crate::model::{Tree, Violation, observe};

/// Walks the volume; an error is a broken promise.
///
/// # Errors
/// What went wrong, in words.
pub fn look<F: Flash>(volume: &mut Volume<'_, F>) -> Result<Tree, Violation> {
    observe(volume).map_err(|error| {
        let what = format!("cannot be walked: {error:?}");
        match error.volume_error() {
            Some(cause) => Violation::caused_by(what, cause),
            None => Violation::new(what),
        }
    })
}

/// fsck; a fault is a broken promise.
///
/// # Errors
/// The first fault.
pub fn check<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Violation> {
    let mut first = None;
    let summary = volume.check_deep(|fault| first = first.or(Some(fault)));
    match (summary, first) {
        (_, Some(fault)) if fault.kind == FaultKind::Uncorrectable => {
            let error = Error::Uncorrectable { page: fault.page, larger_decoder: false };
            Err(Violation::caused_by(format!("check finds {fault:?}"), error))
        }
        (_, Some(fault)) => Err(Violation::new(format!("check finds {fault:?}"))),
        (Err(error), None) => Err(Violation::caused_by(format!("check fails: {error}"), error)),
        (Ok(_), None) => Ok(()),
    }
}

/// Merges everything, and counts what each block holds; too little on the books is a broken promise. Without the feature `audit` it only
/// merges, so that the chip meets the same operations.
///
/// # Errors
/// The first such block.
pub fn audit<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Violation> {
    match counted(volume) {
        // A full volume has no room to merge what is not merged yet.
        Ok(None) | Err(Error::NoSpace) => Ok(()),
        Ok(Some(block)) => Err(Violation::new(format!("block {block} holds more than is counted"))),
        Err(error) => Err(Violation::caused_by(format!("audit: {error}"), error)),
    }
}

#[cfg(feature = "audit")]
fn counted<F: Flash>(volume: &mut Volume<'_, F>) -> Result<Option<u32>, Error> {
    volume.audit()
}

#[cfg(not(feature = "audit"))]
fn counted<F: Flash>(volume: &mut Volume<'_, F>) -> Result<Option<u32>, Error> {
    volume.checkpoint().map(|()| None)
}
