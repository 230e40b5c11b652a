//! Compares a volume with what it must hold.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, Kind, Volume};

use super::state::State;
use super::tree::{NodeContent, ROOT, TreeNode};
use crate::host::{Content, compare, walk};
use crate::model::{Tree, Violation, observe_beside};

/// Nodes of the tree looked at after each cut.
const SAMPLE_NODES: usize = 24;
/// Bytes of the tree read after each cut.
const SAMPLE_BYTES: u64 = 128 << 10;

/// What the random operations made, everything but the tree.
pub(super) fn observe_work<F: Flash>(volume: &mut Volume<'_, F>) -> Result<Tree, Violation> {
    observe_beside(volume, ROOT).map_err(|error| Violation::new(format!("the volume cannot be walked: {error:?}")))
}

/// Looks at a volume after a mount: the node in flight is whole or absent, a part of the tree is as it was stored, and
/// the rest is a state that the model allows, which is the committed one from then on.
pub(super) fn look<F: Flash>(state: &mut State, volume: &mut Volume<'_, F>) -> Result<(), Violation> {
    if state.in_flight {
        let node = state.nodes[state.stored].clone();
        if node_is_there(volume, &node)? {
            state.node_stored()?;
        }
        state.in_flight = false;
    }
    look_at_sample(state, volume)?;
    let shown = observe_work(volume)?;
    state.comparisons += 1;
    state.oracle.settle(&shown)
}

fn look_at_sample<F: Flash>(state: &mut State, volume: &mut Volume<'_, F>) -> Result<(), Violation> {
    let mut bytes = 0;
    for _ in 0..SAMPLE_NODES.min(state.stored) {
        state.sample = (state.sample + 1) % state.stored;
        let node = &state.nodes[state.sample];
        check_node(volume, node)?;
        bytes += node.bytes();
        if bytes > SAMPLE_BYTES {
            break;
        }
    }
    Ok(())
}

/// Compares the whole tree and the whole rest. Returns how many files of the tree were read.
pub(super) fn look_at_all<F: Flash>(state: &mut State, volume: &mut Volume<'_, F>) -> Result<u64, Violation> {
    let mut files = 0;
    for node in &state.nodes[..state.stored] {
        check_node(volume, node)?;
        files += u64::from(matches!(node.content, NodeContent::File(_) | NodeContent::HardLink(_)));
    }
    if state.stored > 0 {
        let mut found: Vec<String> = match walk(volume, ROOT) {
            Ok(entries) => entries.into_iter().map(|entry| entry.path).collect(),
            Err(error) => return Err(Violation::new(format!("the tree cannot be walked: {error}"))),
        };
        let mut expected: Vec<&str> = state.nodes[1..state.stored].iter().map(|node| node.path.as_str()).collect();
        found.sort_unstable();
        expected.sort_unstable();
        if found != expected {
            return Err(Violation::new("the tree has other names than were stored"));
        }
    }
    let shown = observe_work(volume)?;
    state.comparisons += 1;
    state.oracle.settle(&shown)?;
    Ok(files)
}

/// Whether a node whose storing was cut is there; where it is, it must be whole.
fn node_is_there<F: Flash>(volume: &mut Volume<'_, F>, node: &TreeNode) -> Result<bool, Violation> {
    match volume.metadata(&node.path) {
        Err(Error::NotFound) => Ok(false),
        Err(error) => Err(wrong(node, &format!("gives \"{error}\" after a cut"))),
        Ok(_) => check_node(volume, node).map(|()| true),
    }
}

/// Compares one object of the tree with what was stored.
fn check_node<F: Flash>(volume: &mut Volume<'_, F>, node: &TreeNode) -> Result<(), Violation> {
    let metadata = volume.metadata(&node.path).map_err(|error| wrong(node, &format!("gives \"{error}\"")))?;
    let expected = match node.content {
        NodeContent::Directory => Kind::Directory,
        NodeContent::File(_) | NodeContent::HardLink(_) => Kind::File,
        NodeContent::Symlink(_) => Kind::Symlink,
    };
    if metadata.kind != expected {
        return Err(wrong(node, "is of another kind"));
    }
    match &node.content {
        NodeContent::Directory => return Ok(()),
        NodeContent::HardLink(first) => {
            let same = volume.metadata(first).is_ok_and(|other| other.object == metadata.object);
            return if same { Ok(()) } else { Err(wrong(node, "is no longer a link to its first name")) };
        }
        NodeContent::Symlink(target) => {
            let mut bytes = vec![0; k7fs_core::PATH_BYTES_MAX];
            let found = volume.read_link(&node.path, &mut bytes);
            if found.is_ok_and(|found| found == target) {
                check_time(node, metadata.modified)?;
                return Ok(());
            }
            return Err(wrong(node, "points elsewhere"));
        }
        NodeContent::File(content) => match compare(volume, &node.path, &mut content.as_slice()) {
            Ok(true) => {}
            Ok(false) => return Err(wrong(node, "has other content")),
            Err(Content::Volume(error)) => return Err(wrong(node, &format!("cannot be read: {error}"))),
            Err(Content::Source(error)) => return Err(wrong(node, &error.to_string())),
        },
    }
    check_time(node, metadata.modified)
}

fn check_time(node: &TreeNode, modified: k7fs_core::Timestamp) -> Result<(), Violation> {
    if modified == node.modified { Ok(()) } else { Err(wrong(node, "has another modification time")) }
}

fn wrong(node: &TreeNode, what: &str) -> Violation {
    Violation::new(format!("{}: {what}", node.path))
}
