//! `import` and `export`: whole directory trees.

use std::path::{Path, PathBuf};

use clap::Args;
use k7fs_core::CodecId;
use k7fs_sim::host::{self, Access, ExportReport, ImportOptions, OpenImage, Times, Tree};

use super::CliError;
use super::content::parse_codec;
use super::dedup::DedupOptions;
use super::image::{IndexOption, OpeningOptions};
use super::output::message;
use super::progress::Bar;

/// Make a volume equal to a directory tree
///
/// Adds, changes and removes; each file is one transaction. Keeps names, contents, holes, symbolic and hard links,
/// FIFOs, sockets, device nodes, modes, owners, modification times (to 100 ns) and extended attributes: those of
/// `user.` always, others as far as this process may read them. A tree that does not fit is refused before
/// anything is written, unless it is compressed or compared with what is there on the way.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// Keep what the volume has and DIR has not
    #[arg(long)]
    merge: bool,
    /// Keep the times of last access and change too; what has only been read since is then written again
    #[arg(long)]
    all_times: bool,
    /// Compress what is written with this instead of the volume's own codec: store, zstd or lzma2
    #[arg(long, value_name = "CODEC", value_parser = parse_codec)]
    codec: Option<CodecId>,
    #[command(flatten)]
    dedup: DedupOptions,
    #[command(flatten)]
    opening: OpeningOptions,
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
        let times = if self.all_times { Times::All } else { Times::Modified };
        let tree = Tree::scan(&self.directory, Some(&self.image), times)?;
        for skipped in &tree.skipped {
            let path: &Path = &skipped.path;
            message(&format!("warning: {}: skipped, {}", path.display().to_string().escape_debug(), skipped.what));
        }
        let mut image = OpenImage::open(&self.image, Access::Write, &self.opening.get()?)?;
        image.choose_index(self.index.name.as_deref());
        let mut bar = Bar::new("import");
        let options = ImportOptions { merge: self.merge, codec: self.codec, dedup: self.dedup.policy()? };
        image.with(|volume| host::import(volume, &tree, options, &mut bar))?;
        Ok(())
    }
}

/// Make a directory tree out of a volume
///
/// Brings back what `import` keeps. Run by root, owners and devices too. Run by anybody else, everything belongs to who
/// runs it, set-user and set-group bits are left out where that is another owner, devices are skipped, and of the
/// attributes only those are set that the system allows; one warning says how many.
#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    opening: OpeningOptions,
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
        let mut image = OpenImage::open(&self.image, Access::Read, &self.opening.get()?)?;
        image.choose_index(self.index.name.as_deref());
        let mut bar = Bar::new("export");
        let report = image.with(|volume| host::export(volume, &self.directory, &mut bar))?;
        if let Some(warning) = lost(&report) {
            message(&warning);
        }
        Ok(())
    }
}

/// What could not be brought back, in one line.
fn lost(report: &ExportReport) -> Option<String> {
    let counted = |count: u64, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {many}")),
    };
    let parts = [
        counted(report.owners_skipped, "owner", "owners"),
        counted(report.special_skipped, "special file", "special files"),
        counted(report.attributes_skipped, "object's attributes", "objects' attributes"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return None;
    }
    Some(format!("warning: not restored, for lack of rights or support: {}", parts.join(", ")))
}
