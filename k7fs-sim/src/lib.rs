//! Simulated flash chips for tests, and what the `k7fs` command is made of.

pub mod bench;
pub mod chip;
pub mod codec;
pub mod ecc;
pub mod host;
pub mod latency;
pub mod matrix;
pub mod model;
pub mod parallel;
mod random;
pub mod retention;
pub mod rig;
pub mod torture;
pub mod wear;
