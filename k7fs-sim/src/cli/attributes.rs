//! `attr`: the attributes of objects on an image.

use clap::Args;
use k7fs_core::{ATTRIBUTE_BYTES_MAX, ATTRIBUTE_NAME_BYTES_MAX, Error};
use k7fs_sim::host::{Access, HostError, absolute};

use super::image::ImageArgument;
use super::{CliError, Output};

/// List the attributes of an object, or write one to standard output, set it or remove it
#[derive(Debug, Args)]
pub(super) struct Attr {
    /// Set the attribute to this text
    #[arg(long, value_name = "VALUE", requires = "attribute", conflicts_with = "remove")]
    set: Option<String>,
    /// Remove the attribute
    #[arg(long, requires = "attribute")]
    remove: bool,
    #[command(flatten)]
    image: ImageArgument,
    /// A path on the volume
    #[arg(value_name = "PATH")]
    path: String,
    /// The attribute; without one, all names and the lengths of their values are listed
    #[arg(value_name = "NAME")]
    attribute: Option<String>,
}

impl Attr {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let path = absolute(&self.path)?;
        let Some(name) = &self.attribute else { return self.list(&path, output) };
        let shown = format!("{path}: {name}");
        if self.set.is_some() || self.remove {
            let mut image = self.image.open(Access::Write)?;
            image.with(|volume| {
                let changed = match &self.set {
                    Some(value) => volume.set_attribute(&path, name, value.as_bytes()),
                    None => volume.remove_attribute(&path, name),
                };
                changed.map_err(HostError::object(&shown))
            })?;
            return Ok(());
        }
        let mut image = self.image.open(Access::Read)?;
        let value = image.with(|volume| {
            let mut bytes = vec![0; ATTRIBUTE_BYTES_MAX];
            let length = volume.attribute(&path, name, &mut bytes).map_err(HostError::object(&shown))?.len();
            bytes.truncate(length);
            Ok(bytes)
        })?;
        output.bytes(&value)
    }

    fn list(&self, path: &str, output: &mut Output) -> Result<(), CliError> {
        let mut image = self.image.open(Access::Read)?;
        let mut lines = image.with(|volume| {
            let mut lines = Vec::new();
            let mut walk = || -> Result<(), Error> {
                let mut cursor = volume.list_attributes(path)?;
                let mut name = [0; ATTRIBUTE_NAME_BYTES_MAX];
                while let Some(entry) = volume.next_attribute(&mut cursor, &mut name)? {
                    lines.push((entry.name.to_owned(), entry.size));
                }
                Ok(())
            };
            walk().map_err(HostError::object(path))?;
            Ok(lines)
        })?;
        lines.sort();
        lines.iter().try_for_each(|(name, size)| output.line(&format!("{size:>5} {}", name.escape_debug())))
    }
}
