//! The two small chips of the matrix.

use k7fs_core::flash::Flash;

use crate::chip::SimFlash;
use crate::model::Space;
use crate::rig::geometry::{Case, SMALL};

/// A small chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// For messages and arguments.
    pub name: &'static str,
    case: Case,
    /// Blocks of the volume; all that the chip has.
    pub blocks: u32,
}

/// All of them.
pub const GEOMETRIES: [Geometry; 2] =
    [Geometry { name: "nor", case: SMALL[0], blocks: 32 }, Geometry { name: "nand", case: SMALL[1], blocks: 28 }];

impl Geometry {
    /// The one of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        GEOMETRIES.iter().find(|geometry| geometry.name.eq_ignore_ascii_case(name))
    }

    /// The part that the chip is a small one of.
    pub const fn part(&self) -> &'static str {
        self.case.chip
    }

    /// An empty volume.
    pub(super) fn formatted(&self, seed: u64) -> SimFlash {
        let mut flash = self.case.flash(self.blocks, seed);
        // The chip is large enough: a test says so.
        let formatted = self.case.format(&mut flash);
        debug_assert!(formatted.is_ok(), "{}: {formatted:?}", self.name);
        flash
    }

    /// Few files, with so much content that blocks have to be cleaned again and again.
    pub(super) fn space(&self) -> Space {
        let geometry = self.case.flash(self.blocks, 0).geometry();
        let bytes = u64::from(geometry.page_size) * u64::from(geometry.page_count());
        Space { names: 12, depth: 3, length_max: (bytes / 20) as u32, bytes_max: bytes / 5, indexes_max: 0 }
    }
}
