//! Forks: the chip as it was before an operation, ready to be cut there.
//!
//! Re-running a workload for every place where the power may go costs its square. Instead one run records a fork at
//! each program and erase; every fork then gives the state after any kind of cut of that operation.

use std::sync::Arc;

use super::{Chip, Cut, CutKind};

/// A program or erase, as the chip saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Programs bytes of one page.
    Program {
        /// Page of the chip.
        page: u32,
        /// First byte within the page.
        column: u32,
        /// What to program.
        bytes: Arc<[u8]>,
    },
    /// Erases blocks in one operation.
    Erase {
        /// First block of the chip.
        block: u32,
        /// How many.
        count: u32,
    },
    /// Marks a block bad.
    Mark {
        /// Block of the chip.
        block: u32,
    },
}

/// A chip just before an operation.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The chip before the operation.
    pub chip: Chip,
    /// The operation.
    pub operation: Operation,
}

impl Fork {
    /// The chip after the power went during the operation and came back.
    #[must_use]
    pub fn cut(&self, kind: CutKind) -> Chip {
        let mut chip = self.chip.clone();
        chip.faults.cut = Some(Cut { operation: 0, kind });
        // The error is the cut that was asked for.
        let _ = match &self.operation {
            Operation::Program { page, column, bytes } => chip.program(*page, *column, bytes),
            Operation::Erase { block, count } => chip.erase(*block, *count),
            Operation::Mark { block } => chip.mark(*block),
        };
        chip.power_on();
        chip
    }
}

impl Chip {
    /// Records a fork at every program and erase from now on.
    pub fn record_forks(&mut self) {
        self.forks = Some(Vec::new());
    }

    /// Forks recorded so far.
    pub fn fork_count(&self) -> usize {
        self.forks.as_ref().map_or(0, Vec::len)
    }

    /// Stops recording and hands over what was recorded, oldest first.
    pub fn take_forks(&mut self) -> Vec<Fork> {
        self.forks.take().unwrap_or_default()
    }

    pub(super) fn record(&mut self, operation: impl FnOnce() -> Operation) {
        if let Some(mut forks) = self.forks.take() {
            forks.push(Fork { chip: self.clone(), operation: operation() });
            self.forks = Some(forks);
        }
    }
}
