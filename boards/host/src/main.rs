//! Runs the board firmwares under QEMU and measures them. Called by `boards/run` and `tests/run`.
//!
//! ```text
//! k7fs-board-host run [NAME...] [--json FILE]    build, run and measure; all boards without a name
//! k7fs-board-host profiles [--json FILE]         what the code of each profile of the core takes
//! k7fs-board-host ecc [--json FILE]              count the instructions of the page code
//! k7fs-board-host zstd                           what decoding zstd costs, by the decoder
//! k7fs-board-host nopanic                        look for panic paths in the core
//! ```

mod boards;
mod code;
mod ecc;
mod emulator;
mod nopanic;
mod paths;
mod profiles;
mod report;
mod zstd;

use anyhow::{Context as _, Result, bail};

use boards::{BOARDS, Board};
use report::Report;

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["run", rest @ ..] => parse(rest).and_then(|(boards, json)| run(&boards, json)),
        ["profiles"] => profiles::run(None),
        ["profiles", "--json", file] => profiles::run(Some(file)),
        ["ecc"] => ecc::run(None),
        ["ecc", "--json", file] => ecc::run(Some(file)),
        ["zstd"] => zstd::run(),
        ["nopanic"] => nopanic::run(),
        _ => Err(anyhow::anyhow!(
            "usage: run [NAME...] [--json FILE] | profiles [--json FILE] | ecc [--json FILE] | zstd | nopanic"
        )),
    };
    match result {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::from(2)
        }
    }
}

fn parse<'a>(arguments: &[&'a str]) -> Result<(Vec<&'static Board>, Option<&'a str>)> {
    let mut boards = Vec::new();
    let mut json = None;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if *argument == "--json" {
            json = Some(*arguments.next().context("--json needs a file")?);
        } else if let Some(file) = argument.strip_prefix("--json=") {
            json = Some(file);
        } else if argument.starts_with('-') {
            bail!("unknown option {argument}");
        } else {
            boards.push(Board::by_name(argument)?);
        }
    }
    if boards.is_empty() {
        boards.extend(&BOARDS);
    }
    Ok((boards, json))
}

/// Runs the boards one after the other; whether all passed.
fn run(boards: &[&'static Board], json: Option<&str>) -> Result<bool> {
    // With the list on standard output, nothing else goes there.
    let mut log: Box<dyn std::io::Write> =
        if json == Some("-") { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
    let mut reports = Vec::new();
    for board in boards {
        let elf = board.build()?;
        let sizes = code::measure(&elf)?;
        let outcome = emulator::run(board, &elf, &mut log)?;
        reports.push(Report::new(board, &sizes, &outcome));
    }
    report::print(&reports, &mut log)?;
    match json {
        None => {}
        Some("-") => print!("{}", report::json(&reports)?),
        Some(file) => std::fs::write(file, report::json(&reports)?).with_context(|| format!("cannot write {file}"))?,
    }
    Ok(reports.iter().all(|report| report.passed))
}
