//! Switches that break single protocol steps, so that a test can see that the suite notices. Test builds only.

use core::sync::atomic::{AtomicU8, Ordering};

static OFF: AtomicU8 = AtomicU8::new(0);

/// A step of the protocol that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Committing the log's tail again after an unclean stop.
    Recommit,
    /// Erasing a block again before it is used after an unclean stop.
    EraseAgain,
    /// The checksum inside every page.
    Checksum,
    /// Programming everything that a commit names before the commit.
    CommitOrder,
}

/// Switches a step off, or on again, for the whole process.
pub fn set_off(step: Step, off: bool) {
    let bit = 1 << step as u8;
    if off {
        OFF.fetch_or(bit, Ordering::SeqCst);
    } else {
        OFF.fetch_and(!bit, Ordering::SeqCst);
    }
}

pub(crate) fn is_off(step: Step) -> bool {
    OFF.load(Ordering::SeqCst) & (1 << step as u8) != 0
}
