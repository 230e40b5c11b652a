//! `ls`, `cat`, `put`, `rm`, `mkdir`, `mv`: single files on an image.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use k7fs_core::flash::Flash;
use k7fs_core::{Error, Kind, Metadata, OpenOptions, PATH_BYTES_MAX, Volume};
use k7fs_sim::host::{Access, Content, Entry, HostError, ImageFlash, absolute, join, list, now, store, utc, walk};

use super::image::ImageArgument;
use super::{CliError, Output};

/// Bytes moved at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// List a directory, names in order
#[derive(Debug, Args)]
pub(super) struct Ls {
    /// Show kind, links, size, modification time and a codec that was chosen
    #[arg(short, long)]
    long: bool,
    /// List everything below, by whole paths
    #[arg(short = 'R', long)]
    recursive: bool,
    #[command(flatten)]
    image: ImageArgument,
    /// A path on the volume
    #[arg(value_name = "PATH", default_value = "/")]
    path: String,
}

impl Ls {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let path = absolute(&self.path)?;
        let mut image = self.image.open(Access::Read)?;
        let lines = image.with(|volume| {
            let metadata = volume.metadata(&path).map_err(HostError::object(&path))?;
            let entries = match metadata.kind {
                Kind::Directory if self.recursive => walk(volume, &path)?,
                Kind::Directory => list(volume, &path)?,
                _ => vec![Entry { path: path.clone(), metadata }],
            };
            entries.iter().map(|entry| self.line(volume, entry)).collect::<Result<Vec<String>, _>>()
        })?;
        lines.iter().try_for_each(|line| output.line(line))
    }

    fn line<F: Flash>(&self, volume: &mut Volume<'_, F>, entry: &Entry) -> Result<String, HostError> {
        let shown = if self.recursive { entry.path.as_str() } else { last_name(&entry.path) };
        if !self.long {
            return Ok(shown.to_owned());
        }
        let Metadata { kind, size, links, modified, codec, .. } = entry.metadata;
        let letter = match kind {
            Kind::File => '-',
            Kind::Directory => 'd',
            Kind::Symlink => 'l',
            Kind::Fifo => 'p',
            Kind::Socket => 's',
            Kind::CharacterDevice => 'c',
            Kind::BlockDevice => 'b',
            _ => '?',
        };
        let target = match kind {
            Kind::Symlink => {
                let mut bytes = [0; PATH_BYTES_MAX];
                let target = volume.read_link(&entry.path, &mut bytes).map_err(HostError::object(&entry.path))?;
                format!(" -> {target}")
            }
            _ => String::new(),
        };
        let codec = codec.map_or(String::new(), |codec| format!(" [{}]", codec.name()));
        Ok(format!("{letter} {links:>3} {size:>12} {} {shown}{target}{codec}", utc(modified)))
    }
}

/// Write files to standard output
#[derive(Debug, Args)]
pub(super) struct Cat {
    #[command(flatten)]
    image: ImageArgument,
    /// Paths on the volume
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<String>,
}

impl Cat {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let mut image = self.image.open(Access::Read)?;
        for path in &self.paths {
            let path = absolute(path)?;
            // Failures of standard output pass through the volume's error type, which does not know them.
            let mut failed = None;
            image.with(|volume| {
                failed = copy_out(volume, &path, output).map_err(HostError::object(&path))?.err();
                Ok(())
            })?;
            failed.map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}

/// Copies a file to standard output. The inner result is standard output's.
fn copy_out<F: Flash>(
    volume: &mut Volume<'_, F>, path: &str, output: &mut Output,
) -> Result<Result<(), CliError>, Error> {
    let file = volume.open(path, OpenOptions::new().read(true))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    let mut written = Ok(());
    while written.is_ok() {
        let length = volume.read_at(&file, offset, &mut chunk)?;
        if length == 0 {
            break;
        }
        written = output.bytes(&chunk[..length]);
        offset += length as u64;
    }
    volume.close(file)?;
    Ok(written)
}

/// Store a file, replacing one of that name in one step
#[derive(Debug, Args)]
pub(super) struct Put {
    #[command(flatten)]
    image: ImageArgument,
    /// The file to store; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The path on the volume; a directory gets the file under its own name
    #[arg(value_name = "PATH", default_value = "/")]
    path: String,
}

impl Put {
    pub(super) fn run(self) -> Result<(), CliError> {
        let standard_input = self.file.as_os_str() == "-";
        let mut source: Box<dyn Read> =
            if standard_input { Box::new(io::stdin().lock()) } else { Box::new(self.open_source()?) };
        let modified = if standard_input { now() } else { self.modified()? };
        let mut image = self.image.open(Access::Write)?;
        image.with(|volume| {
            let path = self.target(volume)?;
            store(volume, &path, Some(modified), false, &mut source, &mut |_| ()).map_err(|error| match error {
                Content::Volume(error) => HostError::Object { path, error },
                Content::Source(error) => HostError::Io { path: self.file.clone(), error },
            })
        })?;
        Ok(())
    }

    fn open_source(&self) -> Result<File, HostError> {
        let file = File::open(&self.file).map_err(HostError::io(&self.file))?;
        let metadata = file.metadata().map_err(HostError::io(&self.file))?;
        if metadata.is_dir() {
            return Err(HostError::io(&self.file)(io::ErrorKind::IsADirectory.into()));
        }
        Ok(file)
    }

    fn modified(&self) -> Result<k7fs_core::Timestamp, HostError> {
        let metadata = self.file.metadata().map_err(HostError::io(&self.file))?;
        let time = filetime::FileTime::from_last_modification_time(&metadata);
        Ok(k7fs_core::Timestamp::from_unix(time.unix_seconds(), time.nanoseconds()).unwrap_or_default())
    }

    /// A directory takes the file under the name it has on the host.
    fn target<F: Flash>(&self, volume: &mut Volume<'_, F>) -> Result<String, HostError> {
        let path = absolute(&self.path)?;
        let is_directory = match volume.metadata(&path) {
            Ok(metadata) => metadata.kind == Kind::Directory,
            Err(Error::NotFound) => false,
            Err(error) => return Err(HostError::Object { path, error }),
        };
        if !is_directory {
            return Ok(path);
        }
        match self.file.file_name().map(|name| name.to_str()) {
            Some(Some(name)) if name != "-" => Ok(join(&path, name)),
            Some(None) => Err(HostError::NotUtf8 { path: self.file.clone() }),
            _ => Err(HostError::Object { path, error: Error::IsADirectory }),
        }
    }
}

/// Remove files and links
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// Remove directories with all they hold
    #[arg(short, long)]
    recursive: bool,
    #[command(flatten)]
    image: ImageArgument,
    /// Paths on the volume
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<String>,
}

impl Rm {
    pub(super) fn run(self) -> Result<(), CliError> {
        let mut image = self.image.open(Access::Write)?;
        image.with(|volume| self.paths.iter().try_for_each(|path| self.remove(volume, &absolute(path)?)))?;
        Ok(())
    }

    fn remove<F: Flash>(&self, volume: &mut Volume<'_, F>, path: &str) -> Result<(), HostError> {
        let kind = volume.metadata(path).map_err(HostError::object(path))?.kind;
        if kind != Kind::Directory {
            return volume.remove_file(path).map_err(HostError::object(path));
        }
        if !self.recursive {
            return Err(HostError::Object { path: path.to_owned(), error: Error::IsADirectory });
        }
        if path != "/" {
            return volume.remove_tree(path).map_err(HostError::object(path));
        }
        // The root itself stays.
        for entry in list(volume, path)? {
            let removed = match entry.metadata.kind {
                Kind::Directory => volume.remove_tree(&entry.path),
                _ => volume.remove_file(&entry.path),
            };
            removed.map_err(HostError::object(&entry.path))?;
        }
        Ok(())
    }
}

/// Create directories
#[derive(Debug, Args)]
pub(super) struct Mkdir {
    /// Create the directories above too, and do not mind existing ones
    #[arg(short, long)]
    parents: bool,
    #[command(flatten)]
    image: ImageArgument,
    /// Paths on the volume
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<String>,
}

impl Mkdir {
    pub(super) fn run(self) -> Result<(), CliError> {
        let mut image = self.image.open(Access::Write)?;
        image.with(|volume| self.paths.iter().try_for_each(|path| self.create(volume, &absolute(path)?)))?;
        Ok(())
    }

    fn create<F: Flash>(&self, volume: &mut Volume<'_, F>, path: &str) -> Result<(), HostError> {
        if !self.parents {
            return volume.create_dir(path).map_err(HostError::object(path));
        }
        let mut parent = String::from("/");
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let directory = join(&parent, name);
            match volume.create_dir(&directory) {
                Err(Error::AlreadyExists) => {
                    let kind = volume.metadata(&directory).map_err(HostError::object(&directory))?.kind;
                    if kind != Kind::Directory {
                        return Err(HostError::Object { path: directory, error: Error::NotADirectory });
                    }
                }
                created => created.map_err(HostError::object(&directory))?,
            }
            parent = directory;
        }
        Ok(())
    }
}

/// Two paths, of which the second is made from the first
#[derive(Debug, Args)]
pub(super) struct FromTo {
    #[command(flatten)]
    image: ImageArgument,
    /// The path now
    #[arg(value_name = "FROM")]
    from: String,
    /// The path to be; a directory takes FROM in under its own name
    #[arg(value_name = "TO")]
    to: String,
}

impl FromTo {
    /// Calls the volume with both, whole.
    pub(super) fn apply(
        self, call: impl FnOnce(&mut Volume<'_, &mut ImageFlash>, &str, &str) -> Result<(), Error>,
    ) -> Result<(), CliError> {
        let mut image = self.image.open(Access::Write)?;
        let (from, to) = (absolute(&self.from)?, absolute(&self.to)?);
        image.with(|volume| {
            let to = destination(volume, &from, to);
            call(volume, &from, &to).map_err(|error| HostError::Object { path: format!("{from} to {to}"), error })
        })?;
        Ok(())
    }
}

/// Rename, replacing a file of the new name in one step
#[derive(Debug, Args)]
pub(super) struct Mv {
    #[command(flatten)]
    paths: FromTo,
}

impl Mv {
    pub(super) fn run(self) -> Result<(), CliError> {
        self.paths.apply(|volume, from, to| volume.rename(from, to))
    }
}

/// Where a file goes: a directory takes it in under its own name.
fn destination<F: Flash>(volume: &mut Volume<'_, F>, from: &str, to: String) -> String {
    let into = volume.metadata(&to).is_ok_and(|metadata| metadata.kind == Kind::Directory);
    if into { join(&to, last_name(from)) } else { to }
}

fn last_name(path: &str) -> &str {
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}
