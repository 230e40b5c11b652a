//! A host's side of volumes: image files, and directory trees that go in and come out.

mod clock;
mod dedup;
mod error;
mod export;
mod facts;
mod image;
mod import;
mod indexes;
mod native;
mod plan;
mod positioned;
mod progress;
mod signature;
mod source;
mod store;
mod tree;
mod volume;
mod walk;

pub use clock::{now, utc};
pub use dedup::{Merged, merge_files};
pub use error::HostError;
pub use export::{ExportReport, export};
pub use facts::{Attributes, attributes};
pub use image::{Access, Image, ImageFlash, volume_bytes};
pub use import::{ImportOptions, ImportReport, import};
pub use indexes::{IndexReport, indexes};
pub use native::{Facts, Owner, Times};
pub use progress::{Progress, Silent};
pub use signature::{Found, find};
pub use source::{Plain, Source, Sparse};
pub use store::{Content, compare, store, store_with};
pub use tree::{Node, NodeKind, Skipped, Tree};
pub use volume::{OpenImage, Opening, format_image, locate};
pub use walk::{Entry, absolute, join, list, walk};
