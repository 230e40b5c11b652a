//! Where things are, and how cargo is called for them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The `boards` folder.
pub(crate) fn boards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The project's root.
pub(crate) fn root() -> PathBuf {
    boards().parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A cargo call for the workspace at `workspace`.
pub(crate) fn cargo(workspace: &Path, subcommand: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The toolchain follows the folder that cargo is called in.
    command.arg(subcommand).current_dir(workspace);
    // What a caller has set for hosts must not change what is measured.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    command
}

/// Builds a program of this workspace as firmware is built; where its ELF file is.
pub(crate) fn build(package: &str, target: &str, features: &str, target_dir: &str) -> Result<PathBuf> {
    let target_dir = boards().join(target_dir);
    let mut command = cargo(&boards(), "build");
    command.args(["--release", "--quiet", "--package", package, "--target", target, "--features", features]);
    command.arg("--target-dir").arg(&target_dir).env("DEFMT_LOG", "info");
    succeed(&mut command, package)?;
    Ok(target_dir.join(target).join("release").join(package))
}

/// Runs a command whose output matters only where it fails.
pub(crate) fn succeed(command: &mut Command, what: &str) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    // Warnings come first and are nobody's concern here.
    let errors = errors.find("\nerror").map_or(&*errors, |start| &errors[start..]).trim();
    ensure!(output.status.success(), "{what} failed:\n{errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
