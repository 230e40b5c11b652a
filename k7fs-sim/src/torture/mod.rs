//! Torture: a real directory tree and a stream of random operations on a simulated chip, under every fault at once.
//!
//! ```text
//! RealTree   what is stored: files of the host or generated ones
//! Run        formats, stores, operates, is cut, mounts, verifies; all from one seed
//! CutFlash   a chip whose power also goes at the next erase, whenever that is
//! Report     what was injected, corrected, retried and verified
//! ```
//!
//! The tree lives in one directory of the volume and must come back byte for byte. Beside it the reference model of
//! [`crate::model`] is followed through random operations: after every cut the volume must show a state that the model
//! allows, and show it again after another mount.

mod cuts;
mod flash;
mod generated;
mod report;
mod run;
mod state;
mod tree;
mod verify;

pub use flash::CutFlash;
pub use report::Report;
pub use run::{Stop, torture};
pub use tree::{NodeContent, RealTree, TreeNode};

/// Probability of a flip per bit read on NOR.
pub const NOR_FLIP_RATE: f64 = 2e-5;
/// Probability of a flip per bit read on NAND.
pub const NAND_FLIP_RATE: f64 = 2e-4;
