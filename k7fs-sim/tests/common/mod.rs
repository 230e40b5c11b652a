//! Runs the `k7fs` command as a user does.
#![allow(dead_code, reason = "each test file uses a part")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static DIRECTORIES: AtomicU32 = AtomicU32::new(0);

/// A directory of its own for each test, removed at its end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        let name = format!("k7fs-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// An empty volume on a chip.
    pub fn image(&self, chip: &str) -> PathBuf {
        let image = self.path(&format!("{chip}.img"));
        ok(&[s("mkfs"), s("--chip"), s(chip), image.as_os_str()]);
        image
    }

    /// A directory with files, given by path and content.
    pub fn tree(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let root = self.path(name);
        std::fs::create_dir_all(&root).unwrap();
        for (path, content) in files {
            let file = root.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        root
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An argument.
pub fn s(text: &str) -> &OsStr {
    OsStr::new(text)
}

pub fn k7fs() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_k7fs"));
    command.stdin(Stdio::null());
    command
}

pub fn run(arguments: &[&OsStr]) -> Output {
    k7fs().args(arguments).output().unwrap()
}

/// Runs what must succeed without a word on standard error; gives standard output.
#[track_caller]
pub fn ok(arguments: &[&OsStr]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && errors.is_empty(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs what must fail with this code, silent on standard output; gives the one line on standard error.
#[track_caller]
pub fn fails(code: i32, arguments: &[&OsStr]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    assert_eq!(errors.lines().count(), 1, "one line: {errors}");
    assert!(errors.ends_with('\n') && errors.starts_with("k7fs: "), "{errors}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    errors
}

/// `fails`, and the message contains all of these.
#[track_caller]
pub fn fails_saying(code: i32, parts: &[&str], arguments: &[&OsStr]) {
    let message = fails(code, arguments);
    for part in parts {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
}
