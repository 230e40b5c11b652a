//! The boards there are.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::paths;

/// A board: its firmware and how QEMU emulates it.
#[derive(Debug)]
pub(crate) struct Board {
    /// QEMU's name of the machine, and ours.
    pub(crate) name: &'static str,
    /// The folder in `boards`.
    folder: &'static str,
    pub(crate) core: &'static str,
    pub(crate) target: &'static str,
    /// The machine and its options for QEMU.
    pub(crate) machine: &'static str,
    /// The chip whose image is a file, with its size; `None` where the flash lives and dies with the emulator.
    pub(crate) chip: Option<(&'static str, u64)>,
}

pub(crate) static BOARDS: [Board; 2] = [
    Board {
        name: "microbit",
        folder: "microbit",
        core: "Cortex-M0",
        target: "thumbv6m-none-eabi",
        machine: "microbit",
        chip: None,
    },
    Board {
        name: "ast1030-evb",
        folder: "ast1030",
        core: "Cortex-M4F",
        target: "thumbv7em-none-eabihf",
        machine: "ast1030-evb,fmc-model=w25q80bl",
        chip: Some(("W25Q80BL", 1 << 20)),
    },
];

impl Board {
    /// The board with this name; the folder's name does as well.
    pub(crate) fn by_name(name: &str) -> Result<&'static Self> {
        match BOARDS.iter().find(|board| board.name == name || board.folder == name) {
            Some(board) => Ok(board),
            None => bail!("no board {name}; there are: {}", BOARDS.each_ref().map(|board| board.name).join(", ")),
        }
    }

    /// Builds the firmware; where its ELF file is.
    pub(crate) fn build(&self) -> Result<PathBuf> {
        paths::build(&format!("k7fs-board-{}", self.folder), self.target, "", "target")
    }

    /// The same with another profile of the core. It is not meant to be run: memory may be short.
    pub(crate) fn build_with(&self, features: &str, target_dir: &str) -> Result<PathBuf> {
        paths::build(&format!("k7fs-board-{}", self.folder), self.target, features, target_dir)
    }

    /// Where a run keeps its image, journal and log.
    pub(crate) fn work(&self) -> PathBuf {
        paths::boards().join("target/runs").join(self.name)
    }
}
