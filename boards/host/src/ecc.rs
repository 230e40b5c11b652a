//! What the page code costs: builds its firmware, runs it under an emulator whose timer counts instructions, and works
//! out costs per byte, sweep and iteration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::paths;

/// QEMU's time of one instruction: 2^6 ns.
const INSTRUCTION_PS: u64 = 64_000;
/// Turns of the loop that the firmware measures first, times its instructions.
pub(crate) const LOOP_INSTRUCTIONS: f64 = 200_000.0;

/// A core, and the machine that has it.
pub(crate) struct Core {
    pub(crate) name: &'static str,
    pub(crate) machine: &'static str,
    target: &'static str,
    features: &'static [&'static str],
    /// Time of one tick of the timer.
    tick_ps: u64,
}

pub(crate) const CORES: [Core; 2] = [
    Core {
        name: "Cortex-M0",
        machine: "microbit",
        target: "thumbv6m-none-eabi",
        features: &["--features", "fast"],
        tick_ps: 62_500,
    },
    Core {
        name: "Cortex-M4",
        machine: "mps2-an386",
        target: "thumbv7em-none-eabi",
        features: &["--features", "full"],
        tick_ps: 40_000,
    },
];

/// Cargo profiles with their optimisation levels: for speed, and as the board firmwares are built.
pub(crate) const PROFILES: [(&str, &str); 2] = [("speed", "3"), ("release", "z")];

/// What the firmware said of one layout, in instructions.
#[derive(Debug, Default)]
struct Layout {
    /// By operation: bytes and instructions.
    pages: BTreeMap<String, (f64, f64)>,
    edges: Option<f64>,
    decodes: Vec<Decode>,
}

/// One page decoded.
#[derive(Debug)]
struct Decode {
    tier: String,
    errors: u32,
    rung: String,
    iterations: f64,
    instructions: f64,
}

/// Measures everything; whether all pages came out right.
pub(crate) fn run(json: Option<&str>) -> Result<bool> {
    let mut rows = Vec::new();
    let mut passed = true;
    for core in &CORES {
        for (profile, level) in PROFILES {
            let text = core.run_elf(&core.build("k7fs-board-ecc", profile, core.features)?)?;
            passed &= !text.lines().any(|line| line.ends_with("failed"));
            for (name, layout) in parse(core, &text)? {
                rows.push(layout.row(core.name, level, &name));
            }
        }
    }
    if json != Some("-") {
        print(&rows);
    }
    let text = serde_json::to_string_pretty(&rows)? + "\n";
    match json {
        None => {}
        Some("-") => print!("{text}"),
        Some(file) => std::fs::write(file, text).with_context(|| format!("cannot write {file}"))?,
    }
    Ok(passed)
}

impl Core {
    /// Builds one of the firmwares.
    pub(crate) fn build(&self, package: &str, profile: &str, features: &[&str]) -> Result<PathBuf> {
        let mut build = paths::cargo(&paths::boards(), "build");
        build.args(["--quiet", "--package", package, "--profile", profile, "--target", self.target]);
        paths::succeed(build.args(features), package)?;
        Ok(paths::boards().join("target").join(self.target).join(profile).join(package))
    }

    /// What a firmware prints.
    pub(crate) fn run_elf(&self, elf: &Path) -> Result<String> {
        let mut command = Command::new("qemu-system-arm");
        command.args(["-M", self.machine, "-display", "none", "-monitor", "none", "-serial", "none"]);
        command.args(["-icount", "shift=6,sleep=off", "-semihosting-config", "enable=on,target=native"]);
        paths::succeed(command.arg("-kernel").arg(elf).stdin(Stdio::null()), "the firmware")
    }

    pub(crate) fn instructions(&self, ticks: &str) -> Result<f64> {
        let ticks: u64 = ticks.parse().with_context(|| format!("{ticks:?} is no number of ticks"))?;
        Ok((ticks * self.tick_ps) as f64 / INSTRUCTION_PS as f64)
    }
}

fn parse(core: &Core, text: &str) -> Result<BTreeMap<String, Layout>> {
    let mut layouts: BTreeMap<String, Layout> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["loop", ticks] => {
                let ratio = core.instructions(ticks)? / LOOP_INSTRUCTIONS;
                ensure!((ratio - 1.0).abs() < 1e-3, "{}: the timer counts {ratio} per instruction", core.name);
            }
            [name, "edges", count] => layouts.entry((*name).to_owned()).or_default().edges = Some(count.parse()?),
            [name, "decode", tier, errors, rung, iterations, ticks] => {
                layouts.entry((*name).to_owned()).or_default().decodes.push(Decode {
                    tier: (*tier).to_owned(),
                    errors: errors.parse()?,
                    rung: (*rung).to_owned(),
                    iterations: iterations.parse()?,
                    instructions: core.instructions(ticks)?,
                });
            }
            [name, operation, bytes, ticks] => {
                let cost = (bytes.parse()?, core.instructions(ticks)?);
                layouts.entry((*name).to_owned()).or_default().pages.insert((*operation).to_owned(), cost);
            }
            _ => {}
        }
    }
    Ok(layouts)
}

impl Layout {
    fn row(&self, core: &str, level: &str, name: &str) -> Value {
        let per_byte = |operation: &str| self.pages.get(operation).map(|(bytes, cost)| cost / bytes);
        let one_error = self.decodes.iter().filter(|decode| decode.errors == 1 && decode.rung == "flip");
        let one_error: Vec<f64> = one_error.map(|decode| decode.instructions).collect();
        let few = self.few();
        let belief = self.slope("full", "belief");
        json!({
            "core": core,
            "opt_level": level,
            "layout": name,
            "page_bytes": self.pages.get("encode").map(|(bytes, _)| *bytes as u64),
            "edges": self.edges.map(|edges| edges as u64),
            "encode_per_byte": per_byte("encode").map(tenths),
            "syndrome_per_byte": per_byte("syndrome").map(tenths),
            "checksum_per_byte": per_byte("checksum").map(tenths),
            "flip_one_error": mean(&one_error).map(f64::round),
            "few_errors": few,
            "flip_few_errors_max": few.and_then(|errors| self.dearest(errors)).map(f64::round),
            "flip_per_sweep": self.slope("small", "flip").map(f64::round),
            "belief_per_iteration": belief.map(f64::round),
            "belief_per_edge": belief.zip(self.edges).map(|(cost, edges)| tenths(cost / edges)),
        })
    }

    /// The second smallest number of wrong bits that was tried, which is a quarter of what the code is for.
    fn few(&self) -> Option<u32> {
        let all: BTreeSet<u32> = self.decodes.iter().map(|decode| decode.errors).collect();
        all.into_iter().nth(1)
    }

    /// The most that a page with so many wrong bits took; `None` where not all were mended by bit flipping.
    fn dearest(&self, errors: u32) -> Option<f64> {
        let costs = self.decodes.iter().filter(|decode| decode.errors == errors);
        costs
            .map(|decode| (decode.rung == "flip").then_some(decode.instructions))
            .try_fold(0.0, |a, b| Some(f64::max(a, b?)))
    }

    /// Instructions per iteration of the pages that this rung mended: the slope of the line through them, by least
    /// squares. `None` where all took the same number of iterations.
    fn slope(&self, tier: &str, rung: &str) -> Option<f64> {
        let of_rung = |decode: &&Decode| decode.tier == tier && decode.rung == rung;
        let points: Vec<(f64, f64)> =
            self.decodes.iter().filter(of_rung).map(|decode| (decode.iterations, decode.instructions)).collect();
        let (xs, ys): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        let (x, y) = (mean(&xs)?, mean(&ys)?);
        let spread: f64 = xs.iter().map(|value| (value - x) * (value - x)).sum();
        let common: f64 = points.iter().map(|(a, b)| (a - x) * (b - y)).sum();
        (spread > 0.0).then(|| common / spread)
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn print(rows: &[Value]) {
    let columns = [
        ("core", "core"),
        ("opt_level", "opt"),
        ("layout", "layout"),
        ("encode_per_byte", "encode/B"),
        ("syndrome_per_byte", "syndrome/B"),
        ("checksum_per_byte", "checksum/B"),
        ("flip_one_error", "one error"),
        ("few_errors", "few"),
        ("flip_few_errors_max", "few errors"),
        ("flip_per_sweep", "per sweep"),
        ("belief_per_iteration", "per iteration"),
        ("belief_per_edge", "per edge"),
    ];
    let line = |cells: Vec<String>| {
        let padded: Vec<String> = cells.iter().map(|cell| format!("{cell:>13}")).collect();
        println!("{}", padded.concat());
    };
    line(columns.iter().map(|(_, title)| (*title).to_owned()).collect());
    for row in rows {
        let cell = |key: &str| match &row[key] {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        line(columns.iter().map(|(key, _)| cell(key)).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_costs() {
        let text = "loop 320021\n\
            nor-256 encode 256 4096\n\
            nor-256 edges 1000\n\
            nor-256 decode small 1 flip 2 1600\n\
            nor-256 decode small 4 flip 4 3200\n\
            nor-256 decode full 9 none 0 99999\n\
            2048+64 skipped 4224\n";
        let layouts = parse(&CORES[1], text).unwrap();
        let row = layouts["nor-256"].row("Cortex-M4", "3", "nor-256");
        assert_eq!(row["encode_per_byte"], 10.0);
        assert_eq!(row["flip_one_error"], 1000.0);
        assert_eq!((&row["few_errors"], &row["flip_few_errors_max"]), (&json!(4), &json!(2000.0)));
        assert_eq!(row["flip_per_sweep"], 500.0);
        assert_eq!(row["belief_per_edge"], Value::Null);
        assert_eq!(layouts.len(), 1);
    }

    #[test]
    fn a_timer_that_counts_something_else_is_noticed() {
        assert!(parse(&CORES[0], "loop 320021").is_err());
    }
}
