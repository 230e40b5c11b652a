//! How a case breaks a promise.

use k7fs_core::Error;

use crate::model::Violation;

/// What kind of promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The volume does not mount.
    Mount,
    /// It shows what it showed earlier, and not what was committed since.
    WentBack,
    /// Something cannot be read that must be there.
    Lost,
    /// What is lost can neither be written again nor removed.
    Stuck,
    /// Anything else: wrong data, wrong answers, broken structure, a panic.
    Wrong,
}

impl Class {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::WentBack => "went-back",
            Self::Lost => "lost",
            Self::Stuck => "stuck",
            Self::Wrong => "wrong",
        }
    }
}

/// A broken promise of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// What kind of promise.
    pub class: Class,
    /// What was expected and what was found.
    pub what: String,
}

impl Breach {
    pub(super) fn new(class: Class, violation: Violation) -> Self {
        Self { class, what: violation.what }
    }

    /// The class that the volume's own error says, if there is one.
    pub(super) fn of(violation: Violation) -> Self {
        let class = match violation.error {
            Some(Error::Uncorrectable { .. }) => Class::Lost,
            _ => Class::Wrong,
        };
        Self::new(class, violation)
    }
}
