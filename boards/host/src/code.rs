//! How much of a firmware is the file system.
//!
//! Link-time optimisation inlines across crates, so symbols alone do not say whose code a byte is. Every instruction
//! is looked up in the debug data instead: the innermost function that is not the standard library's owns it. Code that
//! is only the standard library's or the compiler's (`memcpy`, division) counts as the core's, and so do constants
//! that bear no name; the core's share is therefore an upper bound.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind};

use crate::paths;

/// Instructions are looked up at this distance, the shortest one's size.
const STEP_BYTES: usize = 2;

/// What a firmware takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    /// Everything in flash: vectors, code, constants, initial values.
    pub(crate) text_bytes: u64,
    /// The core's and its dependencies' part of that.
    pub(crate) core_text_bytes: u64,
    /// Statics in RAM, the volume's buffer among them.
    pub(crate) static_bytes: u64,
}

/// Whose code or data it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Core,
    Firmware,
}

/// Measures an ELF file.
pub(crate) fn measure(elf: &Path) -> Result<Sizes> {
    let bytes = std::fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let file = object::File::parse(&*bytes)?;
    let context = debug_data(&file)?;
    let crates = core_crates()?;
    let mut sizes = Sizes::default();
    let mut firmware = 0;
    for section in file.sections() {
        let (stored, in_ram) = match section.kind() {
            SectionKind::Text | SectionKind::ReadOnlyData | SectionKind::ReadOnlyString => (true, false),
            SectionKind::Data => (true, true),
            SectionKind::UninitializedData => (false, true),
            _ => continue,
        };
        if in_ram {
            sizes.static_bytes += section.size();
        }
        if stored {
            sizes.text_bytes += section.size();
            let is_vectors = section.name()? == ".vector_table";
            firmware += if is_vectors { section.size() } else { firmware_bytes(&file, &section, &context, &crates)? };
        }
    }
    sizes.core_text_bytes = sizes.text_bytes - firmware;
    Ok(sizes)
}

/// Looks up functions and lines by address.
pub(crate) type Context<'a> = addr2line::Context<gimli::EndianSlice<'a, gimli::LittleEndian>>;

/// The debug data of an ELF file that keeps it uncompressed, as Rust's does.
pub(crate) fn debug_data<'a>(file: &object::File<'a>) -> Result<Context<'a>> {
    let load = |id: gimli::SectionId| -> Result<_, gimli::Error> {
        let bytes = file.section_by_name(id.name()).and_then(|section| section.data().ok()).unwrap_or_default();
        Ok(gimli::EndianSlice::new(bytes, gimli::LittleEndian))
    };
    Ok(addr2line::Context::from_dwarf(gimli::Dwarf::load(load)?)?)
}

/// Bytes of a section that are known not to be the core's.
fn firmware_bytes<'a>(
    file: &object::File<'a>, section: &object::Section<'a, '_>, context: &Context<'a>, crates: &BTreeSet<String>,
) -> Result<u64> {
    let range = section.address()..section.address() + section.size();
    let mut bytes = 0;
    let mut seen = BTreeSet::new();
    for symbol in file.symbols() {
        // Bit 0 of a function's address says Thumb.
        let start = symbol.address() & !u64::from(symbol.kind() == SymbolKind::Text);
        if !range.contains(&start) || symbol.size() == 0 || !seen.insert(start) {
            continue;
        }
        let name = rustc_demangle::demangle(symbol.name()?).to_string();
        if symbol.kind() == SymbolKind::Text {
            for address in (start..start + symbol.size()).step_by(STEP_BYTES) {
                if owner_of_code(address, &name, context, crates)? == Owner::Firmware {
                    bytes += STEP_BYTES as u64;
                }
            }
        } else if symbol.kind() == SymbolKind::Data && owner_of_name(&name, crates) == Owner::Firmware {
            bytes += symbol.size();
        }
    }
    Ok(bytes)
}

fn owner_of_code(address: u64, symbol: &str, context: &Context<'_>, crates: &BTreeSet<String>) -> Result<Owner> {
    let mut frames = context.find_frames(address).skip_all_loads()?;
    let mut known = false;
    while let Some(frame) = frames.next()? {
        let Some(file) = frame.location.and_then(|location| location.file) else { continue };
        known = true;
        match crate_of(file) {
            Some(name) if crates.contains(name) => return Ok(Owner::Core),
            Some(_) => return Ok(Owner::Firmware),
            None => {}
        }
    }
    Ok(if known { Owner::Core } else { owner_of_name(symbol, crates) })
}

/// The crate that a source file belongs to; `None` for the standard library.
pub(crate) fn crate_of(file: &str) -> Option<&str> {
    if let Some((_, rest)) = file.split_once("/registry/src/") {
        let folder = rest.split('/').nth(1)?;
        return folder.rsplit_once('-').map(|(name, _)| name);
    }
    if file.contains("/rustc/") || file.contains("/library/") {
        return None;
    }
    let before_src = file.split("/src/").next()?;
    before_src.rsplit('/').next()
}

/// By the first crate in a demangled name. The standard library's and the compiler's belong to the core's share.
fn owner_of_name(name: &str, crates: &BTreeSet<String>) -> Owner {
    let first = name.split("::").next().unwrap_or(name).trim_start_matches(['<', '&', '*', '(', '[', '_']);
    let first = first.rsplit([' ', '<', '&']).next().unwrap_or(first).split('[').next().unwrap_or(first);
    let is_runtime = name.contains("aeabi") || name.starts_with("mem") || name.starts_with("__");
    let is_std = ["core", "alloc", "compiler_builtins"].contains(&first);
    if is_runtime || is_std || crates.iter().any(|known| known.replace('-', "_") == first) {
        Owner::Core
    } else {
        Owner::Firmware
    }
}

/// The core and every crate that it may pull in.
fn core_crates() -> Result<BTreeSet<String>> {
    let mut tree = paths::cargo(&paths::root(), "tree");
    tree.args([
        "--package",
        "k7fs-core",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--features",
        "full-alloc",
    ]);
    let list = paths::succeed(&mut tree, "cargo tree")?;
    Ok(list.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_files_are_told_apart() {
        assert_eq!(crate_of("/home/me/.cargo/registry/src/index-1/blake3-1.8.7/src/lib.rs"), Some("blake3"));
        assert_eq!(crate_of("/home/me/.cargo/registry/src/index-1/crc-catalog-2.5.0/src/lib.rs"), Some("crc-catalog"));
        assert_eq!(crate_of("/home/me/k7fs/k7fs-core/src/flash/nor.rs"), Some("k7fs-core"));
        assert_eq!(crate_of("/home/me/k7fs/boards/microbit/src/main.rs"), Some("microbit"));
        assert_eq!(crate_of("/rustc/5980761/library/core/src/slice/mod.rs"), None);
        assert_eq!(crate_of("/home/me/lib/rustlib/src/rust/library/core/src/slice/mod.rs"), None);
    }

    #[test]
    fn symbols_are_told_apart() {
        let crates = BTreeSet::from(["k7fs-core".to_owned(), "blake3".to_owned()]);
        let core = ["k7fs_core::log::mount", "<&k7fs_core::Error as core::fmt::Debug>::fmt", "core::str::from_utf8"];
        let firmware = ["microbit::nvmc::Nvmc::wait", "<microbit::Nvmc as embedded_storage::Flash>::read", "Reset"];
        assert!(core.iter().all(|name| owner_of_name(name, &crates) == Owner::Core));
        assert!(firmware.iter().all(|name| owner_of_name(name, &crates) == Owner::Firmware));
        assert_eq!(owner_of_name("__aeabi_memcpy", &crates), Owner::Core);
        assert_eq!(owner_of_name("memmove", &crates), Owner::Core);
    }
}
