//! Hands the linker the memory map of the board that goes with the target, and the script of `cortex-m-rt`. Also for `zstd` beside.

use std::path::PathBuf;

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let target = std::env::var("TARGET").unwrap_or_default();
    let map = if target.starts_with("thumbv6m") { "../ecc/microbit.x" } else { "../ecc/mps2.x" };
    if let Err(error) = std::fs::copy(map, out.join("memory.x")) {
        println!("cargo::error={map}: {error}");
    }
    println!("cargo::rerun-if-changed={map}");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
}
