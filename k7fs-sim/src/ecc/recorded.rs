//! The measurements that the project publishes, built into the program.

use std::path::Path;

use k7fs_core::ecc::Layout;

use super::campaign::{Campaign, CampaignError};

/// Where the project keeps them.
pub const DIRECTORY: &str = "tests/campaigns/ecc";

macro_rules! recorded {
    ($($name:literal),* $(,)?) => {
        /// The campaign file of each layout, by its name.
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../tests/campaigns/ecc/", $name, ".jsonl")))),*];
    };
}

recorded!(
    "nor-128",
    "nor-256",
    "nor-512",
    "nor-1024",
    "2048+64",
    "2048+128",
    "4096+224",
    "4096+128",
    "4096+256",
    "archive-6.25",
    "archive-12.5",
);

/// The published campaign of a layout; an empty one where there is none.
///
/// # Errors
/// [`CampaignError`] where it was measured with another code: then this program was built from files that do not
/// belong together.
pub fn recorded(layout: Layout) -> Result<Campaign, CampaignError> {
    let text = FILES.iter().find(|(name, _)| *name == layout.name()).map_or("", |(_, text)| text);
    let path = Path::new(DIRECTORY).join(format!("{}.jsonl", layout.name()));
    Campaign::parse(layout, text, &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_has_a_file_and_every_file_belongs_to_this_code() {
        for layout in Layout::ALL.iter().copied() {
            assert!(FILES.iter().any(|(name, _)| *name == layout.name()), "{layout:?}");
            let campaign = recorded(layout).unwrap();
            // The one promise that no measurement may break.
            assert_eq!(campaign.tally(None).undetected, 0, "{layout:?}");
        }
        assert_eq!(FILES.len(), Layout::ALL.len());
    }
}
