//! The command line: what can be asked, and how a run ends.
//!
//! Data goes to standard output, messages to standard error. Exit codes: 0 done, 1 failed, 2 asked for something
//! impossible (for `fsck` also: the volume cannot be opened). A reader that closes the pipe ends a command
//! successfully.

mod attributes;
mod bench;
mod chips;
mod content;
mod dedup;
mod ecc;
mod ecc_report;
mod error;
mod files;
mod health;
mod image;
mod latency;
mod matrix;
mod output;
mod progress;
mod report;
mod retention;
mod snap;
mod space;
mod torture;
mod tree;
mod wear;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

pub(crate) use error::CliError;
pub(crate) use output::Output;

/// Images of K7FS volumes on raw flash, and simulated chips to torture them on.
///
/// An image is the raw content of a chip: the bytes of a NOR part, or each page of a NAND part followed by its spare
/// area. The chip's shape is read from the volume's signature.
#[derive(Debug, Parser)]
#[command(name = "k7fs", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Torture(torture::Torture),
    Matrix(matrix::MatrixCommand),
    Bench(bench::Bench),
    Wear(wear::WearCommand),
    Latency(latency::Latency),
    Retention(retention::RetentionCommand),
    Chips(chips::Chips),
    Ecc(ecc::Ecc),
    Mkfs(image::Mkfs),
    Import(tree::Import),
    Export(tree::Export),
    Ls(files::Ls),
    Cat(files::Cat),
    Put(files::Put),
    Rm(files::Rm),
    Mkdir(files::Mkdir),
    Mv(files::Mv),
    Cp(dedup::Cp),
    Attr(attributes::Attr),
    Info(image::Info),
    Health(health::HealthCommand),
    Status(content::Status),
    Codec(content::Codec),
    Recompress(content::Recompress),
    Dedup(dedup::Dedup),
    Fsck(image::Fsck),
    Snap(snap::Snap),
    Defragment(space::Defragment),
    Scrub(space::Scrub),
    Resize(space::Resize),
}

/// Runs the command with the process's arguments.
pub(crate) fn run() -> ExitCode {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let mut output = Output::stdout();
    let result = cli.command.run(&mut output).and_then(|()| output.flush());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // What was found out before the failure is still worth reading.
            let _ = output.flush();
            output::message(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

impl Command {
    fn run(self, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::Torture(command) => command.run(output),
            Self::Matrix(command) => command.run(output),
            Self::Bench(command) => command.run(output),
            Self::Wear(command) => command.run(output),
            Self::Latency(command) => command.run(output),
            Self::Retention(command) => command.run(output),
            Self::Chips(command) => command.run(output),
            Self::Ecc(command) => command.run(output),
            Self::Mkfs(command) => command.run(),
            Self::Import(command) => command.run(),
            Self::Export(command) => command.run(),
            Self::Ls(command) => command.run(output),
            Self::Cat(command) => command.run(output),
            Self::Put(command) => command.run(),
            Self::Rm(command) => command.run(),
            Self::Mkdir(command) => command.run(),
            Self::Mv(command) => command.run(),
            Self::Cp(command) => command.run(),
            Self::Attr(command) => command.run(output),
            Self::Info(command) => command.run(output),
            Self::Health(command) => command.run(output),
            Self::Status(command) => command.run(output),
            Self::Codec(command) => command.run(output),
            Self::Recompress(command) => command.run(output),
            Self::Dedup(command) => command.run(output),
            Self::Fsck(command) => command.run(output),
            Self::Snap(command) => command.run(output),
            Self::Defragment(command) => command.run(output),
            Self::Scrub(command) => command.run(output),
            Self::Resize(command) => command.run(output),
        }
    }
}

/// Parses the arguments. Help and version end the run well, anything else with one line and code 2.
fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Cli, ExitCode> {
    Cli::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // The only failure is a closed pipe.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::message("no command given; `k7fs --help` lists them");
            ExitCode::from(2)
        }
        _ => {
            output::message(&one_line(&error));
            ExitCode::from(2)
        }
    })
}

/// What is wrong, without the usage that clap adds on further lines.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let what = text.split("\n\n").next().unwrap_or(&text);
    let words: Vec<&str> = what.split_whitespace().collect();
    let what = words.join(" ");
    what.strip_prefix("error: ").unwrap_or(&what).to_owned()
}

/// The shape check of the command line itself, which clap only does in tests.
#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_well_formed() {
        super::Cli::command().debug_assert();
    }
}
