//! Shared parts of the examples; and the README's example, which is compiled and run as a doc test.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
