//! `import` and `export`: whole directory trees.

use std::path::{Path, PathBuf};

use clap::Args;
use k7fs_sim::host::{self, Access, ImportOptions, OpenImage, Tree};

use super::CliError;
use super::image::{ChipOption, IndexOption};
use super::output::message;
use super::progress::Bar;

/// Make a volume equal to a directory tree
///
/// Adds, changes and removes; each file is one transaction. Keeps names, contents, symbolic links, hard links and
/// modification times. A tree that does not fit is refused before anything is written.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// Keep what the volume has and DIR has not
    #[arg(long)]
    merge: bool,
    #[command(flatten)]
    chip: ChipOption,
    #[command(flatten)]
    index: IndexOption,
    /// The directory to store
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The image file
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
}

impl Import {
    pub(super) fn run(self) -> Result<(), CliError> {
        let tree = Tree::scan(&self.directory, Some(&self.image))?;
        for skipped in &tree.skipped {
            let path: &Path = &skipped.path;
            message(&format!("warning: {}: skipped, {}", path.display().to_string().escape_debug(), skipped.what));
        }
        let mut image = OpenImage::open(&self.image, Access::Write, self.chip.spec()?)?;
        image.choose_index(self.index.name.as_deref());
        let mut bar = Bar::new("import");
        let options = ImportOptions { merge: self.merge };
        image.with(|volume| host::import(volume, &tree, options, &mut bar))?;
        Ok(())
    }
}

/// Make a directory tree out of a volume
#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    chip: ChipOption,
    #[command(flatten)]
    index: IndexOption,
    /// The image file
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The directory to create, or an empty one
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Export {
    pub(super) fn run(self) -> Result<(), CliError> {
        let mut image = OpenImage::open(&self.image, Access::Read, self.chip.spec()?)?;
        image.choose_index(self.index.name.as_deref());
        let mut bar = Bar::new("export");
        image.with(|volume| host::export(volume, &self.directory, &mut bar))?;
        Ok(())
    }
}
