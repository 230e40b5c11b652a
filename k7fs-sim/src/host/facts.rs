//! Times, owner, mode and attributes on their way into a volume and out of it.

use k7fs_core::flash::Flash;
use k7fs_core::{ATTRIBUTE_NAME_BYTES_MAX, Error, Posix, RESERVED_ATTRIBUTES, Volume};

use super::tree::Node;

/// Attributes with their values, sorted by name.
pub type Attributes = Vec<(String, Vec<u8>)>;

/// An object's attributes with their values, sorted by name, and whether there are reserved ones, which no host takes.
///
/// # Errors
/// Those of the volume.
pub fn attributes<F: Flash>(volume: &mut Volume<'_, F>, path: &str) -> Result<(Attributes, bool), Error> {
    let mut attributes = Vec::new();
    let mut reserved = false;
    let mut cursor = volume.list_attributes(path)?;
    let mut name = [0; ATTRIBUTE_NAME_BYTES_MAX];
    while let Some(entry) = volume.next_attribute(&mut cursor, &mut name)? {
        if entry.name.starts_with(RESERVED_ATTRIBUTES) {
            reserved = true;
            continue;
        }
        let (name, mut value) = (entry.name.to_owned(), vec![0; entry.size as usize]);
        volume.attribute(path, &name, &mut value)?;
        attributes.push((name, value));
    }
    attributes.sort();
    Ok((attributes, reserved))
}

/// What the volume should say of a node of which it says `held`.
fn wanted(held: Posix, node: &Node) -> Posix {
    let (accessed, changed) = (node.facts.accessed.or(held.accessed), node.facts.changed.or(held.changed));
    let mut posix = Posix { modified: node.modified, accessed, changed, ..held };
    if let Some(owner) = node.facts.owner {
        (posix.mode, posix.uid, posix.gid) = (owner.mode, owner.uid, owner.gid);
    }
    posix
}

/// Gives an object what the tree knows of it beside its content, as a part of a running transaction.
pub(super) fn apply<F: Flash>(volume: &mut Volume<'_, F>, node: &Node, is_new: bool) -> Result<(), Error> {
    let path = node.path.as_str();
    let held = volume.posix(path)?;
    let mut posix = wanted(held, node);
    if is_new {
        posix.created = node.facts.created.unwrap_or(posix.created);
    }
    volume.set_posix(path, &posix)?;
    let (held, _) = if is_new { (Vec::new(), false) } else { attributes(volume, path)? };
    for (name, _) in &held {
        if !node.facts.attributes.iter().any(|(wanted, _)| wanted == name) {
            volume.remove_attribute(path, name)?;
        }
    }
    for attribute in &node.facts.attributes {
        if !held.contains(attribute) {
            volume.set_attribute(path, &attribute.0, &attribute.1)?;
        }
    }
    Ok(())
}

/// Gives an object what it lacks of what the tree knows, in one transaction; where it lacks nothing, nothing is written.
pub(super) fn update<F: Flash>(volume: &mut Volume<'_, F>, node: &Node) -> Result<(), Error> {
    let held = volume.posix(&node.path)?;
    if wanted(held, node) == held && attributes(volume, &node.path)?.0 == node.facts.attributes {
        return Ok(());
    }
    volume.transaction(|volume| apply(volume, node, false))
}
