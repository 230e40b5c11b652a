//! Sequences of operations on a volume on a simulated chip, with stops and cuts, compared with the model at every step.
//!
//! [`Rig`] runs [`Step`]s: each answer must be the model's, the whole tree is compared now and then, and at the end everything is looked
//! at: compared, checked and counted, before and after one more mount. [`geometry`] lists the chips.

pub mod geometry;
mod inspect;
mod run;

pub use inspect::{audit, check, look};
pub use run::{Rig, Statistics, Step};
