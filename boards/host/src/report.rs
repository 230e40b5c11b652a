//! What a run of the boards says, for people and as JSON.

use std::io::Write;

use anyhow::Result;

use crate::boards::Board;
use crate::code::Sizes;
use crate::emulator::Outcome;

/// One board's result.
#[derive(Debug)]
pub(crate) struct Report {
    board: &'static str,
    core: &'static str,
    sizes: Sizes,
    buffer_bytes: u32,
    stack_bytes: u32,
    pub(crate) passed: bool,
}

impl Report {
    pub(crate) fn new(board: &'static Board, sizes: &Sizes, outcome: &Outcome) -> Self {
        Self {
            board: board.name,
            core: board.core,
            sizes: *sizes,
            buffer_bytes: outcome.buffer_bytes,
            stack_bytes: outcome.stack_bytes,
            passed: outcome.passed,
        }
    }
}

/// A table for people.
pub(crate) fn print(reports: &[Report], log: &mut dyn Write) -> Result<()> {
    let head = ["board", "core", "text", "core text", "static RAM", "buffer", "stack", "result"];
    let row = |cells: [String; 8]| {
        let [board, core, text, core_text, statics, buffer, stack, result] = cells;
        format!("{board:12} {core:11} {text:>8} {core_text:>9} {statics:>10} {buffer:>7} {stack:>7} {result}")
    };
    writeln!(log, "{}", row(head.map(str::to_owned)))?;
    for report in reports {
        let cells = [
            report.board.to_owned(),
            report.core.to_owned(),
            report.sizes.text_bytes.to_string(),
            report.sizes.core_text_bytes.to_string(),
            report.static_ram_bytes().to_string(),
            report.buffer_bytes.to_string(),
            report.stack_bytes.to_string(),
            if report.passed { "passed" } else { "FAILED" }.to_owned(),
        ];
        writeln!(log, "{}", row(cells))?;
    }
    Ok(())
}

impl Report {
    fn static_ram_bytes(&self) -> u64 {
        self.sizes.static_bytes.saturating_sub(self.buffer_bytes.into())
    }
}

/// The list for programs.
pub(crate) fn json(reports: &[Report]) -> Result<String> {
    let list: Vec<serde_json::Value> = reports
        .iter()
        .map(|report| {
            serde_json::json!({
                "board": report.board,
                "core": report.core,
                "text_bytes": report.sizes.text_bytes,
                "core_text_bytes": report.sizes.core_text_bytes,
                "static_ram_bytes": report.static_ram_bytes(),
                "buffer_bytes": report.buffer_bytes,
                "stack_bytes": report.stack_bytes,
                "passed": report.passed,
            })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&list)? + "\n")
}
