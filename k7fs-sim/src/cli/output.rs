//! Standard output for data, standard error for messages, and the file that `--json` names.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::CliError;

/// Standard output.
pub(crate) struct Output {
    stdout: BufWriter<Stdout>,
}

impl Output {
    pub(crate) fn stdout() -> Self {
        Self { stdout: BufWriter::with_capacity(1 << 16, io::stdout()) }
    }

    /// One line of data.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), CliError> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Raw data.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.stdout.write_all(bytes).map_err(CliError::Output)
    }

    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        self.stdout.flush().map_err(CliError::Output)
    }

    /// Writes a result as JSON where `target` says, if it says so. Returns whether the text for people is still
    /// wanted: with `-` nothing but the JSON goes to standard output.
    pub(crate) fn json(&mut self, target: Option<&Path>, value: &impl Serialize) -> Result<bool, CliError> {
        let Some(target) = target else { return Ok(true) };
        let mut text = serde_json::to_string_pretty(value).map_err(|error| CliError::Output(error.into()))?;
        text.push('\n');
        if target.as_os_str() == "-" {
            self.bytes(text.as_bytes())?;
            return Ok(false);
        }
        let failed = |error| CliError::Json { path: target.to_path_buf(), error };
        let mut file = File::create(target).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        Ok(true)
    }
}

/// One line on standard error. There is nobody to tell where that fails.
pub(crate) fn message(text: &str) {
    let _ = writeln!(io::stderr(), "k7fs: {text}");
}

/// Where `--json` writes; shared by all commands that have it.
#[derive(Debug, clap::Args)]
pub(crate) struct JsonOption {
    /// Write the result as JSON to FILE; `-` is standard output, and then nothing else goes there
    #[arg(long = "json", value_name = "FILE")]
    target: Option<PathBuf>,
}

impl JsonOption {
    pub(crate) fn target(&self) -> Option<&Path> {
        self.target.as_deref()
    }

    /// Refuses to write over the image that the command is about.
    pub(crate) fn refuse_image(&self, image: &Path) -> Result<(), CliError> {
        let Some(target) = self.file() else { return Ok(()) };
        match (image.canonicalize(), target.canonicalize()) {
            (Ok(a), Ok(b)) if a == b => Err(CliError::JsonIsImage { path: target.to_path_buf() }),
            _ => Ok(()),
        }
    }

    /// Refuses a file that cannot be written before long work is done for it.
    pub(crate) fn refuse_unwritable(&self) -> Result<(), CliError> {
        let Some(target) = self.file() else { return Ok(()) };
        let opened = File::options().append(true).create(true).open(target);
        opened.map(|_| ()).map_err(|error| CliError::Json { path: target.to_path_buf(), error })
    }

    fn file(&self) -> Option<&Path> {
        self.target().filter(|_| !self.is_stdout())
    }

    pub(crate) fn is_stdout(&self) -> bool {
        self.target().is_some_and(|target| target.as_os_str() == "-")
    }
}
