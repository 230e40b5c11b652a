//! The `k7fs` command.

fn main() {}
