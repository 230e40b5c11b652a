//! The hashes behind one small interface: CRC-32C seals pages, BLAKE3 vouches for nodes and spreads names.

use crc::{CRC_32_ISCSI, Crc, Table};

use crate::sabotage::{Step, is_off};

/// Lookup tables of 1 KiB each: one where memory is short, sixteen on machines that have plenty and check gigabytes.
#[cfg(not(target_pointer_width = "64"))]
type Tables = Table<1>;
#[cfg(target_pointer_width = "64")]
type Tables = Table<16>;

const CRC: Crc<u32, Tables> = Crc::<u32, Tables>::new(&CRC_32_ISCSI);

/// What is left of a name's hash where a test wants names to collide.
const COLLIDING: u64 = 3;

/// Bytes of a hash in a tree pointer: BLAKE3, truncated (the signature records the width).
pub(crate) const POINTER_HASH_BYTES: usize = 8;

/// CRC-32C of `parts`, one after the other, continuing from `seed`.
pub(crate) fn crc32(seed: u32, parts: &[&[u8]]) -> u32 {
    let mut digest = CRC.digest_with_initial(seed);
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

/// The hash of a node in its parent's pointer.
pub(crate) fn pointer_hash(bytes: &[u8]) -> [u8; POINTER_HASH_BYTES] {
    truncate(blake3::hash(bytes).as_bytes())
}

/// 48 bits of a name's hash, keyed by the volume so that nobody can prepare names that collide.
pub(crate) fn name_hash(volume_id: &[u8; 16], name: &[u8]) -> u64 {
    let mut input = [0u8; 16 + 255];
    let mut writer = crate::varint::Writer::new(&mut input);
    writer.bytes(volume_id);
    writer.bytes(name);
    let hash = blake3::hash(writer.finish().unwrap_or(volume_id));
    let hash = u64::from_le_bytes(truncate(hash.as_bytes())) >> 16;
    if is_off(Step::NameHash) { hash & COLLIDING } else { hash }
}

fn truncate(hash: &[u8; 32]) -> [u8; POINTER_HASH_BYTES] {
    let mut short = [0; POINTER_HASH_BYTES];
    for (to, from) in short.iter_mut().zip(hash) {
        *to = *from;
    }
    short
}
