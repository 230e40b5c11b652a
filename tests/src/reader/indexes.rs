//! Which versions of keys an index sees (section 5).

use std::collections::{BTreeMap, BTreeSet};

use super::bytes::Cursor;
use super::files::files;
use super::find::{Signature, key};
use super::tree::Values;
use super::{Indexes, Result};

const WRITABLE: u8 = 1;
const TRIMMED: u8 = 2;

struct Index {
    parent: u32,
    flags: u8,
    name: String,
}

/// All indexes with their files.
pub(super) fn indexes(values: &Values, signature: &Signature) -> Result<Indexes> {
    let (default, indexes) = records(values)?;
    if let Some(unknown) = values.keys().find(|key| !matches!(key[0], 1..=7 | 10)) {
        return Err(format!("a key of a kind that is not in use: {unknown:?}"));
    }
    let mut found = Indexes::default();
    let mut needed = BTreeSet::<u32>::new();
    for (id, index) in &indexes {
        let mut line = BTreeSet::from([*id]);
        let mut parent = index.parent;
        while parent != 0 {
            line.insert(parent);
            parent =
                indexes.get(&parent).ok_or_else(|| format!("index {id} descends from one that is missing"))?.parent;
        }
        needed.extend(&line);
        if index.flags & TRIMMED == 0 {
            let is_snapshot = index.flags & WRITABLE == 0;
            let files = files(&visible(values, *id, &line), signature, is_snapshot)?;
            if found.files.insert(index.name.clone(), files).is_some() {
                return Err(format!("two indexes are called {}", index.name));
            }
        }
        if *id == default {
            found.default.clone_from(&index.name);
        }
    }
    if let Some(lost) = values.keys().find(|key| key[0] != 7 && key[1..9] != [0; 8] && !needed.contains(&index_of(key)))
    {
        return Err(format!("a version of an index that is gone: {lost:?}"));
    }
    Ok(found)
}

fn index_of(key: &[u8; 21]) -> u32 {
    !u32::from_be_bytes([key[17], key[18], key[19], key[20]])
}

/// The default index, and all of them by their numbers.
fn records(values: &Values) -> Result<(u32, BTreeMap<u32, Index>)> {
    let Some(header) = values.get(&key(7, 0, 0, 0)) else {
        return Ok((1, BTreeMap::from([(1, Index { parent: 0, flags: WRITABLE, name: "main".to_owned() })])));
    };
    let mut cursor = Cursor::new(header, 0);
    let (next, default) = (cursor.small()?, cursor.small()?);
    let mut indexes = BTreeMap::new();
    for (at, value) in values.range(key(7, 1, 0, 0)..key(8, 0, 0, u32::MAX)) {
        let id = u32::from_be_bytes([at[5], at[6], at[7], at[8]]);
        let mut cursor = Cursor::new(value, 0);
        let (flags, parent) = (cursor.byte()?, cursor.small()?);
        let _since = cursor.number()?;
        let _created = (cursor.number()?, cursor.small()?);
        let name = String::from_utf8(cursor.rest().to_vec()).map_err(|_| "an index's name is not UTF-8")?;
        if parent >= id || id >= next || (flags & TRIMMED != 0) != name.is_empty() {
            return Err(format!("index {id} makes no sense"));
        }
        indexes.insert(id, Index { parent, flags, name });
    }
    if indexes.get(&default).is_none_or(|index| index.flags & TRIMMED != 0) {
        return Err("the default index is missing".to_owned());
    }
    Ok((default, indexes))
}

/// What an index sees, as if it were the only one.
fn visible(values: &Values, id: u32, line: &BTreeSet<u32>) -> Values {
    let mut visible = Values::new();
    let mut before = None;
    for (at, value) in values {
        let index = index_of(at);
        let seen = match at[0] {
            1..=4 | 6 | 10 => line.contains(&index),
            5 => index == id,
            _ => false,
        };
        // Newer versions come first.
        if seen && before != Some(&at[..17]) {
            before = Some(&at[..17]);
            if !value.is_empty() {
                let mut key = *at;
                key[17..].copy_from_slice(&(!1u32).to_be_bytes());
                visible.insert(key, value.clone());
            }
        }
    }
    visible
}
