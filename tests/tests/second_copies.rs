//! Roots and inner nodes are there twice (promise P3): where one copy cannot be read the other serves, and the next checkpoint that
//! changes something below makes both anew.

use k7fs_core::flash::Flash;
use k7fs_core::{MountOptions, Volume};
use k7fs_sim::chip::{Chip, SimFlash};
use k7fs_tests::geometry::{Case, buffer_for};
use k7fs_tests::reader::{self, Twice};
use k7fs_tests::seed::seed;
use k7fs_tests::sequence::{check, look};

const FILES: u32 = 120;

fn path(file: u32) -> String {
    format!("/a name that is long enough for nodes to be full soon {file}")
}

fn written(name: &str) -> SimFlash {
    let mut flash = Case::named(name).formatted(40, seed());
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
    for file in 0..FILES {
        volume.write(&path(file), &file.to_le_bytes()).expect("fits");
    }
    volume.unmount().expect("stops");
    flash
}

fn copies(flash: &SimFlash) -> Vec<Twice> {
    reader::second_copies(&flash.chip().to_bytes(), flash.geometry()).expect("both copies of all nodes can be read")
}

/// The chip with these pages beyond correction.
fn without(flash: &SimFlash, pages: impl Iterator<Item = u32>) -> SimFlash {
    let mut image = flash.chip().to_bytes();
    let raw = flash.geometry().raw_page_size();
    for page in pages {
        let at = page as usize * raw;
        // Every third byte, header and content alike.
        image[at..at + raw].iter_mut().step_by(3).for_each(|byte| *byte ^= 0x5A);
    }
    flash.with_chip(Chip::from_bytes(flash.chip().spec(), &image).expect("an image of this chip"))
}

#[test]
fn a_node_is_served_by_its_second_copy_and_made_anew() {
    for name in ["nor-128-2k", "nor-256-4k", "nand-2048-64"] {
        let sound = written(name);
        let nodes = copies(&sound);
        assert!(!nodes.is_empty(), "{name}");
        // A page may hold the end of a leaf beside the beginning of a node: only pages that are all the node's.
        let own = |pages: &std::ops::RangeInclusive<u32>| pages.start() + 1..*pages.end();
        let mut broken = 0;
        for (number, node) in nodes.iter().enumerate() {
            for pages in [&node.pages, &node.copy] {
                let own = own(pages);
                broken += own.len();
                let mut flash = without(&sound, own);
                let mut buffer = buffer_for(&flash);
                let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
                let shown = look(&mut volume).unwrap_or_else(|violation| panic!("{name}, node {number}: {violation}"));
                assert_eq!(shown.entries.len(), FILES as usize);
                check(&mut volume).unwrap_or_else(|violation| panic!("{name}, node {number}: {violation}"));
                for file in 0..FILES {
                    volume.write(&path(file), &(file + 1).to_le_bytes()).expect("takes writes");
                }
                volume.checkpoint().expect("merges");
                volume.unmount().expect("stops");
                assert!(!copies(&flash).is_empty(), "{name}, node {number}: the reader has read both copies of all");
            }
        }
        assert!(broken > 0 || name != "nor-128-2k", "{name}: no page is a node's alone");
    }
}
