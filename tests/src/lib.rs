//! Shared parts of the tests that cross crates.
//!
//! [`geometry`] lists the chips, [`sequence`] makes operations with remounts and cuts,
//! [`ladder`] cuts at every place of a workload, [`ram`] is a chip without rules for hostile images, [`reader`]
//! reads images by the format description alone, and [`strategy`] makes sequences for proptest. Every campaign starts
//! from one printed seed, see [`seed`].

pub mod cuts;
pub mod ecc_search;
pub mod ecc_words;
pub mod hostile;
pub mod ladder;
pub mod ram;
pub mod reader;
pub mod seal;
pub mod seed;
pub mod sequence;
pub mod sessions;
pub mod splice;
pub mod strategy;
pub mod workload;

pub use k7fs_sim::parallel;
pub use k7fs_sim::rig::geometry;
