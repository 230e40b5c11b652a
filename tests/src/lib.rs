//! Shared parts of the tests that cross crates.
//!
//! [`geometry`] lists the chips, [`sequence`] runs operations with remounts and cuts against the reference model,
//! [`ladder`] cuts at every place of a workload, [`ram`] is a chip without rules for hostile images, and
//! [`strategy`] makes sequences for proptest. Every campaign starts from one printed seed, see [`seed`].

pub mod geometry;
pub mod ladder;
pub mod ram;
pub mod seed;
pub mod sequence;
pub mod strategy;
