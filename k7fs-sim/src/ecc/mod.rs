//! The page code against its limits.
pub mod bounds;
