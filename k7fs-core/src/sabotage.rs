//! Switches that break single protocol steps, so that a test can see that the suite notices. Without the feature `sabotage`
//! every step is on, and the compiler drops the questions.

#[cfg(feature = "sabotage")]
use core::sync::atomic::{AtomicU8, Ordering};

#[cfg(feature = "sabotage")]
static OFF: AtomicU8 = AtomicU8::new(0);

/// A step of the protocol that can be left out.
#[cfg_attr(not(feature = "sabotage"), allow(unreachable_pub, reason = "public with the feature only"))]
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
    /// Spreading names over their directory: without it most of them collide, which must do no harm.
    NameHash,
    /// Room for more than eight entries in a directory.
    Entries,
    /// The keyed hash of a page.
    PageKey,
    /// Comparing how often a page's block had been erased with how often it is now.
    Life,
}

/// Switches a step off, or on again, for the whole process.
#[cfg(feature = "sabotage")]
pub fn set_off(step: Step, off: bool) {
    let bit = 1 << step as u8;
    if off {
        OFF.fetch_or(bit, Ordering::SeqCst);
    } else {
        OFF.fetch_and(!bit, Ordering::SeqCst);
    }
}

#[cfg(feature = "sabotage")]
pub(crate) fn is_off(step: Step) -> bool {
    OFF.load(Ordering::SeqCst) & (1 << step as u8) != 0
}

#[cfg(not(feature = "sabotage"))]
pub(crate) const fn is_off(_step: Step) -> bool {
    false
}
