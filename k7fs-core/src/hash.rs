//! The hashes behind one small interface: CRC-32C seals pages, BLAKE3 vouches for nodes and spreads names.

use crc::{CRC_32_ISCSI, Crc, Table};

#[cfg(not(feature = "fast-hash"))]
use crate::blake3;
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
    truncate(short_hash(bytes).as_bytes())
}

/// The hash of a node or a name.
fn short_hash(bytes: &[u8]) -> blake3::Hash {
    // Nodes of NOR pages have at most 500 bytes.
    #[cfg(not(any(feature = "fast-hash", feature = "nand-codes")))]
    return blake3::hash_chunk(bytes);
    #[cfg(any(feature = "fast-hash", feature = "nand-codes"))]
    blake3::hash(bytes)
}

/// 48 bits of a name's hash, keyed by the volume so that nobody can prepare names that collide.
pub(crate) fn name_hash(volume_id: &[u8; 16], name: &[u8]) -> u64 {
    let mut input = [0u8; 16 + 255];
    let mut writer = crate::varint::Writer::new(&mut input);
    writer.bytes(volume_id);
    writer.bytes(name);
    let hash = short_hash(writer.finish().unwrap_or(volume_id));
    let hash = u64::from_le_bytes(truncate(hash.as_bytes())) >> 16;
    if is_off(Step::NameHash) { hash & COLLIDING } else { hash }
}

/// What the hash of content is made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HashId {
    /// BLAKE3, all 32 bytes.
    #[default]
    Blake3x256,
    /// BLAKE3, the first 16 bytes.
    Blake3x128,
    /// XXH3 of 64 bits with seed 0, little-endian. It finds accidents, not forgeries.
    Xxh3x64,
}

impl HashId {
    pub(crate) const fn code(self) -> u8 {
        match self {
            HashId::Blake3x256 => 0,
            HashId::Blake3x128 => 1,
            HashId::Xxh3x64 => 2,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(HashId::Blake3x256),
            1 => Some(HashId::Blake3x128),
            2 => Some(HashId::Xxh3x64),
            _ => None,
        }
    }

    /// Bytes of a hash.
    pub const fn len(self) -> usize {
        match self {
            HashId::Blake3x256 => 32,
            HashId::Blake3x128 => 16,
            HashId::Xxh3x64 => 8,
        }
    }

    /// Never: every hash has bytes.
    pub const fn is_empty(self) -> bool {
        false
    }

    /// The name, as in commands: `blake3-256`, `blake3-128`, `xxh3-64`.
    pub const fn name(self) -> &'static str {
        match self {
            HashId::Blake3x256 => "blake3-256",
            HashId::Blake3x128 => "blake3-128",
            HashId::Xxh3x64 => "xxh3-64",
        }
    }

    /// Whether this build computes it: XXH3 needs the feature `xxh3`.
    pub const fn is_known(self) -> bool {
        cfg!(feature = "xxh3") || !matches!(self, HashId::Xxh3x64)
    }
}

/// Bytes of the longest content hash.
pub(crate) const CONTENT_HASH_BYTES_MAX: usize = 32;

/// A hash of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ContentHash {
    bytes: [u8; CONTENT_HASH_BYTES_MAX],
    id: HashId,
}

impl ContentHash {
    /// Takes the bytes of a hash from the start of `bytes`, as far as they are there.
    pub(crate) fn read(id: HashId, bytes: &[u8]) -> Self {
        let mut hash = Self { bytes: [0; CONTENT_HASH_BYTES_MAX], id };
        for (to, from) in hash.bytes.iter_mut().zip(bytes).take(id.len()) {
            *to = *from;
        }
        hash
    }

    /// The hash of content; `None` where this build does not have it.
    pub fn of(id: HashId, bytes: &[u8]) -> Option<Self> {
        id.is_known().then(|| content_hash(id, bytes))
    }

    /// What it was made with.
    pub fn id(&self) -> HashId {
        self.id
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.id.len()).unwrap_or_default()
    }
}

/// The hash of content; of no use where this build does not know the hash.
pub(crate) fn content_hash(id: HashId, bytes: &[u8]) -> ContentHash {
    match id {
        HashId::Blake3x256 | HashId::Blake3x128 => ContentHash::read(id, blake3::hash(bytes).as_bytes()),
        #[cfg(feature = "xxh3")]
        HashId::Xxh3x64 => ContentHash::read(id, &xxhash_rust::xxh3::xxh3_64(bytes).to_le_bytes()),
        #[cfg(not(feature = "xxh3"))]
        HashId::Xxh3x64 => ContentHash::read(id, &[]),
    }
}

/// The hash of content that comes in pieces.
pub(crate) struct ContentHasher {
    id: HashId,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "the core has no heap")]
enum State {
    Blake3(blake3::Hasher),
    #[cfg(feature = "xxh3")]
    Xxh3(xxhash_rust::xxh3::Xxh3Default),
    #[cfg(not(feature = "xxh3"))]
    Unknown,
}

impl ContentHasher {
    pub(crate) fn new(id: HashId) -> Self {
        let state = match id {
            HashId::Blake3x256 | HashId::Blake3x128 => State::Blake3(blake3::Hasher::new()),
            #[cfg(feature = "xxh3")]
            HashId::Xxh3x64 => State::Xxh3(xxhash_rust::xxh3::Xxh3Default::new()),
            #[cfg(not(feature = "xxh3"))]
            HashId::Xxh3x64 => State::Unknown,
        };
        Self { id, state }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
            #[cfg(feature = "xxh3")]
            State::Xxh3(hasher) => hasher.update(bytes),
            #[cfg(not(feature = "xxh3"))]
            State::Unknown => {}
        }
    }

    pub(crate) fn finish(&self) -> ContentHash {
        match &self.state {
            State::Blake3(hasher) => ContentHash::read(self.id, hasher.finalize().as_bytes()),
            #[cfg(feature = "xxh3")]
            State::Xxh3(hasher) => ContentHash::read(self.id, &hasher.digest().to_le_bytes()),
            #[cfg(not(feature = "xxh3"))]
            State::Unknown => ContentHash::read(self.id, &[]),
        }
    }
}

fn truncate(hash: &[u8; 32]) -> [u8; POINTER_HASH_BYTES] {
    let mut short = [0; POINTER_HASH_BYTES];
    for (to, from) in short.iter_mut().zip(hash) {
        *to = *from;
    }
    short
}
