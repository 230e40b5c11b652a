//! `snap`: the indexes of a volume.

use clap::{Args, Subcommand};
use k7fs_core::{ChangeKind, Error, IndexChange, Kind, PATH_BYTES_MAX, PolicyOutcome, RetentionPolicy, Volume};
use k7fs_sim::host::{Access, HostError, ImageFlash, IndexReport, indexes, now};
use serde::Serialize;

use super::image::ImageArgument;
use super::output::JsonOption;
use super::{CliError, Output};

/// Snapshots, branches and subvolumes
///
/// An index is a state of all files under a name. A snapshot stays as it is; a branch begins as a snapshot and may be
/// written to; a subvolume begins empty. Other commands work on one with `--index NAME`.
#[derive(Debug, Args)]
pub(super) struct Snap {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Keep the state of the default index, or of the one that `--index` names, as it is now
    Create(Named),
    /// Make a writable index that begins as a snapshot is
    Branch {
        #[command(flatten)]
        image: ImageArgument,
        /// The snapshot
        #[arg(value_name = "SNAPSHOT")]
        from: String,
        /// The new index
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Make a writable index without files
    Subvolume(Named),
    /// List all indexes
    List {
        #[command(flatten)]
        image: ImageArgument,
        #[command(flatten)]
        json: JsonOption,
    },
    /// Tell what differs between two indexes
    Diff {
        #[command(flatten)]
        image: ImageArgument,
        /// The first index
        #[arg(value_name = "A")]
        first: String,
        /// The second index
        #[arg(value_name = "B")]
        second: String,
        #[command(flatten)]
        json: JsonOption,
    },
    /// Go back to a snapshot; what was written since is given up
    Rollback(Named),
    /// Give up an index; the space that only it takes comes back
    Trim(Named),
    /// Give an index another name
    Rename {
        #[command(flatten)]
        image: ImageArgument,
        /// The index
        #[arg(value_name = "NAME")]
        from: String,
        /// Its new name
        #[arg(value_name = "NEW")]
        to: String,
    },
    /// Choose the index that a mount begins with
    Default(Named),
    /// Show, change or apply the policy by which snapshots are taken and kept
    Policy(Policy),
}

#[derive(Debug, Args)]
struct Named {
    #[command(flatten)]
    image: ImageArgument,
    /// The index
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
struct Policy {
    #[command(flatten)]
    image: ImageArgument,
    /// Seconds between two snapshots; 0 takes none
    #[arg(long, value_name = "SECONDS")]
    interval: Option<u64>,
    /// Days of which the newest snapshot is kept
    #[arg(long, value_name = "COUNT")]
    daily: Option<u16>,
    /// Weeks of which the newest snapshot is kept
    #[arg(long, value_name = "COUNT")]
    weekly: Option<u16>,
    /// Months of which the newest snapshot is kept
    #[arg(long, value_name = "COUNT")]
    monthly: Option<u16>,
    /// Seconds for which every snapshot is kept
    #[arg(long, value_name = "SECONDS")]
    keep: Option<u64>,
    /// Take the snapshot that is due and trim those that need not be kept
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    json: JsonOption,
}

impl Snap {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        match self.action {
            Action::Create(named) => named.change(|volume, name| volume.create_snapshot(name)),
            Action::Subvolume(named) => named.change(|volume, name| volume.create_subvolume(name)),
            Action::Rollback(named) => named.change(|volume, name| volume.roll_back_to(name)),
            Action::Trim(named) => named.change(|volume, name| volume.trim_index(name)),
            Action::Default(named) => named.change(|volume, name| volume.set_default_index(name)),
            Action::Branch { image, from, name } => {
                Named { image, name }.change(|volume, name| volume.create_branch(&from, name))
            }
            Action::Rename { image, from, to } => {
                Named { image, name: from }.change(|volume, name| volume.rename_index(name, &to))
            }
            Action::List { image, json } => list(&image, &json, output),
            Action::Diff { image, first, second, json } => diff(&image, (&first, &second), &json, output),
            Action::Policy(policy) => policy.run(output),
        }
    }
}

impl Named {
    fn change(
        self, change: impl FnOnce(&mut Volume<'_, &mut ImageFlash>, &str) -> Result<(), Error>,
    ) -> Result<(), CliError> {
        let mut image = self.image.open(Access::Write)?;
        Ok(image.with(|volume| change(volume, &self.name).map_err(HostError::index(&self.name)))?)
    }
}

/// What `snap list` tells.
#[derive(Debug, Serialize)]
struct ListReport {
    image: String,
    indexes: Vec<IndexReport>,
}

fn all(volume: &mut Volume<'_, &mut ImageFlash>) -> Result<Vec<IndexReport>, HostError> {
    indexes(volume)
}

fn list(image: &ImageArgument, json: &JsonOption, output: &mut Output) -> Result<(), CliError> {
    json.refuse_image(&image.image)?;
    let indexes = image.open(Access::Read)?.with(all)?;
    let report = ListReport { image: image.image.display().to_string(), indexes };
    if output.json(json.target(), &report)? {
        for index in &report.indexes {
            let kind = if index.writable { "writable" } else { "snapshot" };
            let default = if index.default { ", default" } else { "" };
            let (created, bytes) = (&index.created, index.exclusive_bytes);
            output.line(&format!("{created} {bytes:>12} bytes {kind} {}{default}", index.name))?;
        }
    }
    Ok(())
}

/// One line of `snap diff`.
#[derive(Debug, Serialize)]
struct ChangeReport {
    change: &'static str,
    path: String,
    object: u64,
    kind: &'static str,
    size_before: u64,
    size_after: u64,
}

/// What `snap diff` tells.
#[derive(Debug, Serialize)]
struct DiffReport {
    image: String,
    first: String,
    second: String,
    changes: Vec<ChangeReport>,
}

impl ChangeReport {
    fn new(change: &IndexChange<'_>) -> Self {
        Self {
            change: match change.change {
                ChangeKind::Added => "added",
                ChangeKind::Removed => "removed",
                ChangeKind::Changed => "changed",
            },
            path: change.path.to_owned(),
            object: change.object,
            kind: match change.kind {
                Kind::File => "file",
                Kind::Directory => "directory",
                Kind::Symlink => "symlink",
                Kind::Fifo => "fifo",
                Kind::Socket => "socket",
                Kind::CharacterDevice => "character_device",
                Kind::BlockDevice => "block_device",
                _ => "other",
            },
            size_before: change.size_before,
            size_after: change.size_after,
        }
    }

    fn line(&self) -> String {
        let name = if self.path.is_empty() { format!("object {}", self.object) } else { self.path.clone() };
        match self.change {
            "added" => format!("+ {name} ({})", self.size_after),
            "removed" => format!("- {name} ({})", self.size_before),
            _ => format!("~ {name} ({} -> {})", self.size_before, self.size_after),
        }
    }
}

fn diff(
    image: &ImageArgument, (first, second): (&str, &str), json: &JsonOption, output: &mut Output,
) -> Result<(), CliError> {
    json.refuse_image(&image.image)?;
    let mut changes = Vec::new();
    image.open(Access::Read)?.with(|volume| {
        let mut path = [0; PATH_BYTES_MAX];
        let mut note = |change: &IndexChange<'_>| changes.push(ChangeReport::new(change));
        let compared = volume.diff(first, second, &mut path, &mut note);
        compared.map_err(|error| HostError::Index { name: format!("{first}, {second}"), error })
    })?;
    changes.sort_by(|left, right| (&left.path, left.change).cmp(&(&right.path, right.change)).reverse());
    changes.reverse();
    let report = DiffReport {
        image: image.image.display().to_string(),
        first: first.to_owned(),
        second: second.to_owned(),
        changes,
    };
    if output.json(json.target(), &report)? {
        for change in &report.changes {
            output.line(&change.line())?;
        }
    }
    Ok(())
}

/// What `snap policy` tells.
#[derive(Debug, Serialize)]
struct PolicyReport {
    image: String,
    interval_seconds: u64,
    daily: u16,
    weekly: u16,
    monthly: u16,
    keep_seconds: u64,
    taken: bool,
    trimmed: u32,
}

impl Policy {
    fn run(self, output: &mut Output) -> Result<(), CliError> {
        self.json.refuse_image(&self.image.image)?;
        let changes = self.interval.is_some()
            || self.daily.is_some()
            || self.weekly.is_some()
            || self.monthly.is_some()
            || self.keep.is_some();
        let access = if changes || self.apply { Access::Write } else { Access::Read };
        let failed = || HostError::volume(&self.image.image);
        let (policy, outcome) = self.image.open(access)?.with(|volume| {
            let old = volume.retention_policy().map_err(failed())?;
            let policy = RetentionPolicy {
                interval_seconds: self.interval.unwrap_or(old.interval_seconds),
                daily: self.daily.unwrap_or(old.daily),
                weekly: self.weekly.unwrap_or(old.weekly),
                monthly: self.monthly.unwrap_or(old.monthly),
                keep_seconds: self.keep.unwrap_or(old.keep_seconds),
            };
            if changes {
                volume.set_retention_policy(policy).map_err(failed())?;
            }
            let mut outcome = PolicyOutcome::default();
            if self.apply {
                outcome = volume.apply_retention_policy(now()).map_err(failed())?;
            }
            Ok((policy, outcome))
        })?;
        let report = PolicyReport {
            image: self.image.image.display().to_string(),
            interval_seconds: policy.interval_seconds,
            daily: policy.daily,
            weekly: policy.weekly,
            monthly: policy.monthly,
            keep_seconds: policy.keep_seconds,
            taken: outcome.taken,
            trimmed: outcome.trimmed,
        };
        if output.json(self.json.target(), &report)? {
            output.line(&format!(
                "every {} s; kept: {} days, {} weeks, {} months, and all for {} s",
                report.interval_seconds, report.daily, report.weekly, report.monthly, report.keep_seconds
            ))?;
            if self.apply {
                let taken = if report.taken { "one snapshot taken" } else { "none taken" };
                output.line(&format!("{taken}, {} trimmed", report.trimmed))?;
            }
        }
        Ok(())
    }
}
