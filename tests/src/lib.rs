//! Shared parts of the tests that cross crates.

pub mod ecc_search;
