//! What decoding zstd costs on a microcontroller, by the decoder that is linked.

use anyhow::{Context as _, Result, ensure};

use crate::code;
use crate::ecc::{CORES, Core, LOOP_INSTRUCTIONS, PROFILES};

const PACKAGE: &str = "k7fs-board-zstd";
/// Decoders, by the features that link them. The second needs more memory than the smallest board has.
const DECODERS: [(&str, &str); 2] = [("zstd-noalloc", "noalloc"), ("ruzstd", "ruzstd")];
const SMALL_MACHINE: &str = "microbit";

/// Measures everything; whether all blocks came out right.
pub(crate) fn run() -> Result<bool> {
    let mut passed = true;
    println!("{:<10} opt {:<12} {:>10} {:>22}", "core", "decoder", "code bytes", "instructions per byte");
    for core in &CORES {
        for (profile, level) in PROFILES {
            let without = code::measure(&core.build(PACKAGE, profile, &[])?)?.text_bytes;
            for (name, feature) in DECODERS {
                if core.machine == SMALL_MACHINE && feature == "ruzstd" {
                    println!("{:<10} {level:<3} {name:<12} {:>10}", core.name, "no room");
                    continue;
                }
                let elf = core.build(PACKAGE, profile, &["--features", feature])?;
                let bytes = code::measure(&elf)?.text_bytes.saturating_sub(without);
                let text = core.run_elf(&elf)?;
                passed &= !text.lines().any(|line| line == "failed");
                let cost = per_byte(core, &text)?;
                println!("{:<10} {level:<3} {name:<12} {bytes:>10} {cost:>22.1}", core.name);
            }
        }
    }
    Ok(passed)
}

fn per_byte(core: &Core, text: &str) -> Result<f64> {
    let mut cost = None;
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["loop", ticks] => {
                let ratio = core.instructions(ticks)? / LOOP_INSTRUCTIONS;
                ensure!((ratio - 1.0).abs() < 1e-3, "{}: the timer counts {ratio} per instruction", core.name);
            }
            ["decode", bytes, ticks] => cost = Some(core.instructions(ticks)? / bytes.parse::<f64>()?),
            _ => {}
        }
    }
    cost.context("the firmware said nothing")
}
