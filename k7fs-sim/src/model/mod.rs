//! The reference: a file system in plain memory that says what a volume must answer.
//!
//! [`Operation`] is one call, [`Model`] answers it from maps in memory, [`Session`] puts it to a real
//! [`Volume`](k7fs_core::Volume), and both give an [`Outcome`] that must be equal, errors included. [`Oracle`] adds
//! power cuts: it knows every state that a volume may show after one. [`Tree`] is what both sides compare, and
//! [`Generator`] makes operations from a seed.
//!
//! The model is deliberately naive: every state is a handful of maps that are cloned whole, so that it is obvious
//! rather than fast. File contents are shared between clones.

mod extra;
mod generator;
mod indexes;
mod operation;
mod oracle;
mod reference;
mod session;
mod tree;

pub use crate::random::Random;
pub use extra::{Extra, observe_extra};
pub use generator::{Generator, Space};
pub use operation::{Content, OpenMode, Operation, Outcome, Shown};
pub use oracle::{Finished, Oracle, Violation};
pub use reference::{LOGICAL_BLOCK_SIZE, Model};
pub use session::{SLOT_COUNT, Session};
pub use tree::{Entries, ObserveError, Tree, TreeEntry, TreeIndex, observe, observe_beside, observe_some};
