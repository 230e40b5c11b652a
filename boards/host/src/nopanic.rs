//! Looks for panic paths in the program of `boards/nopanic`.
//!
//! 1. Without the crate blake3 and with a panic handler that calls nothing that exists, the program must link.
//! 2. With a panic path planted, it must not: the check itself works.
//! 3. With that crate, every place that can panic is listed and must be excused in `excused.txt`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionKind, SymbolKind};

use crate::code::{crate_of, debug_data};
use crate::paths;

const TARGET: &str = "thumbv7em-none-eabi";
const PROGRAM: &str = "k7fs-board-nopanic";
/// The function that the panic handler calls and that does not exist.
const MISSING: &str = "a_panic_path_is_linked";
/// The panic handler's symbol.
const HANDLER: &str = "rust_begin_unwind";

/// A place in the source from which a panic can come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Site {
    /// Function, demangled, without its hash.
    function: String,
    /// File and line.
    place: String,
    /// What is called there.
    panic: String,
}

/// Runs the check; whether it passed.
pub(crate) fn run() -> Result<bool> {
    let mut passed = true;
    if links(&[])? {
        println!("nopanic: the core links without a panic path on {TARGET}");
    } else {
        passed = false;
        let sites = sites(&report(&[])?)?;
        println!("nopanic: FAILED, {} places of the core or its dependencies can panic:", sites.len());
        print(&sites);
    }
    if links(&["planted"])? {
        println!("nopanic: FAILED, a planted panic path was not noticed");
        passed = false;
    }
    Ok(check_excuses(sites(&report(&["fast-hash"])?)?)? && passed)
}

/// A build of the program.
fn build(features: &[&str]) -> (Command, PathBuf) {
    let target = paths::boards().join("target/nopanic");
    let mut command = paths::cargo(&paths::boards(), "build");
    command.args(["--release", "--quiet", "--package", PROGRAM, "--target", TARGET]);
    // Size-optimised like the firmwares, but not so far that the standard library's checks stay in functions of their own.
    command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s");
    command.arg("--target-dir").arg(&target).args(["--features", "more", "--features", &features.join(",")]);
    (command, target.join(TARGET).join("release").join(PROGRAM))
}

/// Whether the program links with the handler that cannot be resolved.
fn links(features: &[&str]) -> Result<bool> {
    let (mut command, _) = build(features);
    let output = command.output().context("cannot start cargo")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() || errors.contains(MISSING), "{PROGRAM} does not build:\n{errors}");
    Ok(output.status.success())
}

/// Builds the program with a handler that exists and with relocations kept.
fn report(features: &[&str]) -> Result<PathBuf> {
    let (mut command, program) = build(&[features, &["report"]].concat());
    // Merged ends of functions would lose the line that each panic comes from.
    let flags = "-Clink-arg=--emit-relocs -Cllvm-args=-enable-tail-merge=0";
    paths::succeed(command.env("RUSTFLAGS", flags), PROGRAM)?;
    Ok(program)
}

fn print(sites: &BTreeSet<Site>) {
    for site in sites {
        println!("  {}: {} in {}", site.place, site.panic, site.function);
    }
}

/// Lists the places with the reason why each is no concern; whether all have one and every reason is needed.
fn check_excuses(mut left: BTreeSet<Site>) -> Result<bool> {
    let text = std::fs::read_to_string(paths::boards().join("nopanic/excused.txt"))?;
    let mut passed = true;
    // The core's own places are the first step's concern.
    left.retain(|site| !site.place.starts_with("k7fs-core/"));
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (start, reason) = line.split_once(" | ").with_context(|| format!("excused.txt: no reason in: {line}"))?;
        let before = left.len();
        left.retain(|site| !site.function.starts_with(start));
        if left.len() == before {
            println!("nopanic: FAILED, nothing needs the excuse for {start}");
            passed = false;
        } else {
            println!("nopanic: excused {} places in {start}: {reason}", before - left.len());
        }
    }
    if !left.is_empty() {
        println!("nopanic: FAILED, {} places in dependencies without an excuse:", left.len());
        print(&left);
        passed = false;
    }
    Ok(passed)
}

/// Every place outside the standard library that calls something which can only panic.
///
/// The standard library's own functions that lead to a panic are followed to their callers.
fn sites(program: &Path) -> Result<BTreeSet<Site>> {
    let bytes = std::fs::read(program)?;
    let file = object::File::parse(&*bytes)?;
    let context = debug_data(&file)?;
    let functions = Functions::new(&file)?;
    let calls = calls(&file)?;
    let mut panicking: BTreeMap<u64, String> = BTreeMap::new();
    let mut open: Vec<u64> = functions.by_name(HANDLER).collect();
    ensure!(!open.is_empty(), "{} has no panic handler", program.display());
    let mut sites = BTreeSet::new();
    while let Some(callee) = open.pop() {
        let name = functions.name(callee);
        if panicking.insert(callee, name.clone()).is_some() {
            continue;
        }
        for &(address, _) in calls.iter().filter(|(_, target)| *target == callee) {
            match place(&context, address)? {
                Some((function, place)) => {
                    sites.insert(Site { function, place, panic: name.clone() });
                }
                None => open.extend(functions.containing(address)),
            }
        }
    }
    Ok(sites)
}

/// Addresses of calls and jumps in code, each with the function it goes to.
fn calls(file: &object::File<'_>) -> Result<Vec<(u64, u64)>> {
    let mut calls = Vec::new();
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            // In a linked file the offset is an address already; bit 0 of a function's address says Thumb.
            calls.push((offset, file.symbol_by_index(index)?.address() & !1));
        }
    }
    Ok(calls)
}

/// The innermost function outside the standard library at this address, and the line; `None` where there is none.
fn place(context: &crate::code::Context<'_>, address: u64) -> Result<Option<(String, String)>> {
    let mut frames = context.find_frames(address).skip_all_loads()?;
    while let Some(frame) = frames.next()? {
        let Some(location) = frame.location else { continue };
        let Some(file) = location.file else { continue };
        if crate_of(file).is_none() {
            continue;
        }
        let function = match &frame.function {
            Some(function) => format!("{:#}", rustc_demangle::demangle(&function.raw_name()?)),
            None => "(unknown)".to_owned(),
        };
        let root = paths::root().display().to_string() + "/";
        let file = file.split("/registry/src/").last().unwrap_or(file).replace(&root, "");
        return Ok(Some((function, format!("{file}:{}", location.line.unwrap_or(0)))));
    }
    Ok(None)
}

/// The functions of a program.
struct Functions(Vec<(u64, u64, String)>);

impl Functions {
    fn new(file: &object::File<'_>) -> Result<Self> {
        let mut list = Vec::new();
        for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name()?));
            list.push((symbol.address() & !1, symbol.size(), name));
        }
        Ok(Self(list))
    }

    fn by_name<'a>(&'a self, part: &'a str) -> impl Iterator<Item = u64> + 'a {
        self.0.iter().filter(move |(_, _, name)| name.contains(part)).map(|(address, ..)| *address)
    }

    fn containing(&self, address: u64) -> impl Iterator<Item = u64> {
        self.0
            .iter()
            .filter(move |(start, size, _)| (*start..*start + *size).contains(&address))
            .map(|(start, ..)| *start)
    }

    fn name(&self, address: u64) -> String {
        self.0.iter().find(|(start, ..)| *start == address).map(|(.., name)| name.clone()).unwrap_or_default()
    }
}
