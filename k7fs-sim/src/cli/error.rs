//! How a command fails.

use std::io;
use std::path::PathBuf;

use k7fs_sim::host::HostError;

/// Why a command failed; prints as one line.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The host or the volume.
    Host(HostError),
    /// Standard output.
    Output(io::Error),
    /// The file that `--json` names.
    Json { path: PathBuf, error: io::Error },
    /// `--json` names the image itself.
    JsonIsImage { path: PathBuf },
    /// A volume that `fsck` cannot open.
    CannotOpen(HostError),
    /// `fsck` found faults.
    Faults { image: PathBuf, count: u64 },
    /// The torture run broke a promise.
    Violations(String),
    /// A measurement failed.
    Bench(String),
    /// A run of wear that could not be made, or lost data.
    Wear(String),
    /// Asked for something impossible.
    Usage(String),
}

impl CliError {
    /// Whether the reader of standard output has gone, which is its right.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::CannotOpen(_) | Self::Usage(_) | Self::Host(HostError::UnknownChip { .. }) => 2,
            _ => 1,
        }
    }
}

impl From<HostError> for CliError {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

impl std::fmt::Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(error) | Self::CannotOpen(error) => error.fmt(f),
            Self::Output(error) => write!(f, "standard output: {error}"),
            Self::Json { path, error } => write!(f, "{}: {error}", path.display()),
            Self::JsonIsImage { path } => write!(f, "{}: --json names the image itself", path.display()),
            Self::Faults { image, count } => {
                let plural = if *count == 1 { "fault" } else { "faults" };
                write!(f, "{}: {count} {plural} found", image.display())
            }
            Self::Violations(text) | Self::Bench(text) | Self::Wear(text) | Self::Usage(text) => f.write_str(text),
        }
    }
}
