//! A host's side of volumes: image files, and directory trees that go in and come out.

mod clock;
mod error;
mod export;
mod image;
mod import;
mod indexes;
mod plan;
mod positioned;
mod progress;
mod signature;
mod store;
mod tree;
mod volume;
mod walk;

pub use clock::{now, utc};
pub use error::HostError;
pub use export::{ExportReport, export};
pub use image::{Access, Image, ImageFlash, volume_bytes};
pub use import::{ImportOptions, ImportReport, import};
pub use indexes::{IndexReport, indexes};
pub use progress::{Progress, Silent};
pub use signature::{Found, find};
pub use store::{Content, compare, store};
pub use tree::{Node, NodeKind, Skipped, Tree};
pub use volume::{OpenImage, format_image, locate};
pub use walk::{Entry, absolute, join, list, walk};
