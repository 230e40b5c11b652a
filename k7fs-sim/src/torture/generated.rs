//! A tree for where there is no real one.

use std::sync::Arc;

use k7fs_core::Timestamp;

use super::tree::{NodeContent, ROOT, TreeNode};
use crate::model::Random;

/// Directories of the tree, three deep.
const DIRECTORIES: u64 = 12;
/// Files of the tree.
const FILES: u64 = 240;

/// Directories, files of all sizes from none to 400 KB, compressible and not, with holes, odd names, links.
pub(super) fn nodes(seed: u64) -> Vec<TreeNode> {
    let mut random = Random::new(seed ^ 0x7472_6565);
    let mut directories = vec![ROOT.to_owned()];
    let mut nodes = Vec::new();
    for number in 0..DIRECTORIES {
        let shallow: Vec<&String> = directories.iter().filter(|path| path.matches('/').count() <= 3).collect();
        let parent = random.pick(&shallow).map_or(ROOT, |path| path.as_str());
        let path = format!("{parent}/directory {number}");
        directories.push(path.clone());
        nodes.push(node(path, NodeContent::Directory, &mut random));
    }
    let mut files: Vec<String> = Vec::new();
    for number in 0..FILES {
        let parent = random.pick(&directories).map_or(ROOT, String::as_str);
        let path = format!("{parent}/{}", name(number));
        let earlier = random.pick(&files).cloned();
        let content = match (random.below(20), earlier) {
            (0, Some(first)) => NodeContent::HardLink(first),
            (1, Some(target)) => NodeContent::Symlink(target),
            _ => {
                files.push(path.clone());
                NodeContent::File(Arc::new(content(&mut random)))
            }
        };
        nodes.push(node(path, content, &mut random));
    }
    nodes
}

fn node(path: String, content: NodeContent, random: &mut Random) -> TreeNode {
    // Some moment between 1970 and 2033, to the tick.
    let modified = Timestamp::from_unix(random.below(2_000_000_000) as i64, random.below(10_000_000) as u32 * 100);
    TreeNode { path, content, modified: modified.unwrap_or_default() }
}

fn name(number: u64) -> String {
    match number % 8 {
        0 => format!("Прошивка-{number}.bin"),
        1 => format!("{number} {}", "long".repeat(50)),
        2 => format!(".hidden{number}"),
        _ => format!("file{number}.dat"),
    }
}

fn content(random: &mut Random) -> Vec<u8> {
    let length = match random.below(16) {
        0 => 0,
        1..6 => random.below(200),
        6..12 => random.below(8_000),
        12..15 => random.below(60_000),
        _ => random.below(400_000),
    };
    let text = random.percent(50);
    let mut bytes = Vec::with_capacity(length as usize);
    while (bytes.len() as u64) < length {
        let word = random.next_u64();
        if text {
            bytes.extend_from_slice(format!("{:x} ", word % 4096).as_bytes());
        } else if word.is_multiple_of(997) {
            bytes.resize(bytes.len() + 9_000, 0);
        } else {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }
    bytes.truncate(length as usize);
    bytes
}
