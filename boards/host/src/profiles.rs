//! What the code of each profile of the core takes.
//!
//! Once in the boards' firmware, which opens, reads, writes, renames, removes, lists and checks; once in the program of `boards/nopanic`,
//! which calls every public function of its profile and of which the compiler can foresee nothing.

use anyhow::{Context as _, Result};

use crate::boards::BOARDS;
use crate::{code, paths};

const PROFILES: [&str; 3] = ["core", "full", "full-alloc"];
/// Apart from what is run.
const TARGET_DIR: &str = "target/profiles";

/// Builds, measures and prints all; whether that worked.
pub(crate) fn run(json: Option<&str>) -> Result<bool> {
    let mut list = Vec::new();
    for board in &BOARDS {
        for profile in PROFILES {
            // `full` does not fit the micro:bit beside its volume, and no firmware has the allocator that codecs ask for.
            let has_firmware = profile == "core" || profile == "full" && board.chip.is_some();
            let own = if profile == "core" { "" } else { profile };
            let firmware = if has_firmware {
                Some(code::measure(&board.build_with(own, TARGET_DIR)?)?.core_text_bytes)
            } else {
                None
            };
            let features = format!("report,one-chip,{own}");
            let program = paths::build("k7fs-board-nopanic", board.target, &features, TARGET_DIR)?;
            let whole = code::measure(&program)?.core_text_bytes;
            let shown = firmware.map_or("-".to_owned(), |bytes| bytes.to_string());
            if json != Some("-") {
                println!("{:11} {profile:10} core text {shown:>7}, with every public function {whole:>7}", board.core);
            }
            list.push(serde_json::json!({
                "core": board.core,
                "profile": profile,
                "core_text_bytes": firmware,
                "api_text_bytes": whole,
            }));
        }
    }
    let text = serde_json::to_string_pretty(&list)? + "\n";
    match json {
        None => {}
        Some("-") => print!("{text}"),
        Some(file) => std::fs::write(file, text).with_context(|| format!("cannot write {file}"))?,
    }
    Ok(true)
}
