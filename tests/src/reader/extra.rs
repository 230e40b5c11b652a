//! Attributes and metadata (section 5).

use std::collections::BTreeMap;
use std::sync::Arc;

use k7fs_core::{Device, Kind, Timestamp};
use k7fs_sim::model::Extra;

use super::Result;
use super::bytes::{Cursor, hash};
use super::find::{Signature, key};
use super::tree::Values;

/// Positions below this one have no names.
const NAMED: u64 = 256;

/// An attribute's value that is not in its record.
pub(super) struct Outside {
    pub(super) name: String,
    pub(super) object: u64,
    pub(super) length: u64,
}

/// The packed fields as they are there.
#[derive(Default)]
struct Packed {
    mode: Option<u16>,
    nt: Option<u32>,
}

fn time(cursor: &mut Cursor<'_>) -> Result<Timestamp> {
    Ok(Timestamp { seconds: cursor.number()?, ticks: cursor.small()? })
}

fn packed(value: &[u8], extra: &mut Extra) -> Result<Packed> {
    let mut cursor = Cursor::new(value, 0);
    let presence = cursor.number()?;
    let has = |bit: u32| presence >> bit & 1 == 1;
    if presence == 0 || presence >> 7 != 0 {
        return Err("packed metadata of nothing or of unknown fields".to_owned());
    }
    let mut found = Packed::default();
    if has(0) {
        found.mode = Some(u16::try_from(cursor.number()?).map_err(|_| "a mode is too large")?);
    }
    extra.uid = if has(1) { cursor.small()? } else { 0 };
    extra.gid = if has(2) { cursor.small()? } else { 0 };
    extra.accessed = if has(3) { Some(time(&mut cursor)?) } else { None };
    extra.changed = if has(4) { Some(time(&mut cursor)?) } else { None };
    found.nt = if has(5) { Some(cursor.small()?) } else { None };
    if has(6) {
        let length = cursor.byte()?.into();
        extra.short_name = String::from_utf8(cursor.take(length)?.to_vec()).map_err(|_| "a short name")?;
    }
    if cursor.is_empty() { Ok(found) } else { Err("packed metadata is too long".to_owned()) }
}

/// What an object has beside its content, and the values that are outside their records.
pub(super) fn extra(
    values: &Values, signature: &Signature, object: u64, kind: Kind, device: u64,
) -> Result<(Extra, Vec<Outside>)> {
    let device = Device { major: (device >> 32) as u32, minor: device as u32 };
    let mut extra = Extra { device, ..Extra::default() };
    let (mut fields, mut outside) = (Packed::default(), Vec::new());
    for (at, value) in values.range(key(4, object, 0, u32::MAX)..key(4, object + 1, 0, u32::MAX)) {
        let position = u64::from_be_bytes(at[9..17].try_into().expect("eight bytes"));
        if position < NAMED {
            if position != 0 {
                return Err(format!("object {object} has an attribute at {position}"));
            }
            fields = packed(value, &mut extra)?;
            continue;
        }
        let mut cursor = Cursor::new(value, 0);
        let (form, length) = (cursor.byte()?, cursor.byte()?);
        let name = cursor.take(length.into())?;
        let hashed = u64::from_le_bytes(hash(&[&signature.volume_id, name])) >> 16;
        if position >> 8 != hashed.max(1) {
            return Err(format!("an attribute of object {object} lies at the wrong key"));
        }
        let name = String::from_utf8(name.to_vec()).map_err(|_| "an attribute's name is not UTF-8")?;
        match form {
            1 => drop(extra.attributes.insert(name, Arc::new(cursor.rest().to_vec()))),
            2 => outside.push(Outside { name, object: cursor.number()?, length: cursor.number()? }),
            _ => return Err(format!("an attribute of object {object} has the form {form}")),
        }
    }
    extra.mode = fields.mode.unwrap_or(match kind {
        Kind::Directory => 0o755,
        Kind::Symlink => 0o777,
        _ => 0o644,
    });
    extra.nt = fields.nt.unwrap_or(if kind == Kind::Directory { 0x10 } else { 0x80 });
    Ok((extra, outside))
}

/// Objects that have attributes.
pub(super) fn owners(values: &Values) -> BTreeMap<u64, u32> {
    let mut owners = BTreeMap::new();
    for (at, _) in values.range(key(4, 0, 0, u32::MAX)..key(5, 0, 0, u32::MAX)) {
        *owners.entry(u64::from_be_bytes(at[1..9].try_into().expect("eight bytes"))).or_default() += 1;
    }
    owners
}
