//! BLAKE3 in little code: what a build without the feature `fast-hash` computes its hashes with.
//!
//! Portable and one chunk at a time, as the paper's reference implementation does it
//! (<https://github.com/BLAKE3-team/BLAKE3-specs>, sections 2.1 to 2.6): a fifth of the size of the crate `blake3`, and slower.

/// Bytes of a hash and of a key.
pub(crate) const OUT_LEN: usize = 32;
const BLOCK_BYTES: usize = 64;
const CHUNK_BYTES: usize = 1024;
/// Levels of the tree over 2^64 bytes.
const LEVELS: usize = 54;

const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 2;
const PARENT: u32 = 4;
const ROOT: u32 = 8;
const KEYED: u32 = 16;

const IV: Words =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];
const ROUNDS: usize = 7;
/// Where each word of a message comes from in the next round.
const PERMUTATION: [u8; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];

/// A chaining value.
type Words = [u32; 8];

/// A hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash([u8; OUT_LEN]);

impl Hash {
    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8; OUT_LEN] {
        &self.0
    }
}

/// The hash of some bytes.
pub(crate) fn hash(bytes: &[u8]) -> Hash {
    hash_as(&PLAIN, bytes)
}

/// The hash of some bytes with a key.
pub(crate) fn keyed_hash(key: &[u8; OUT_LEN], bytes: &[u8]) -> Hash {
    let mut start = IV;
    for (word, bytes) in start.iter_mut().zip(key.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    hash_as(&Mode { start, flags: KEYED }, bytes)
}

/// The hash of at most 1024 bytes, for a build that has no other ones: without the tree above chunks.
#[cfg(not(any(feature = "fast-hash", feature = "nand-codes")))]
pub(crate) fn hash_chunk(bytes: &[u8]) -> Hash {
    chunk_as(&PLAIN, bytes)
}

#[inline(never)]
fn hash_as(mode: &Mode, bytes: &[u8]) -> Hash {
    if bytes.len() > CHUNK_BYTES { hash_long(mode, bytes) } else { chunk_as(mode, bytes) }
}

#[inline(never)]
fn chunk_as(mode: &Mode, bytes: &[u8]) -> Hash {
    let mut chunk = Chunk::new(mode, 0);
    chunk.update(bytes);
    chunk.output().root()
}

/// Apart, for the tree's sake: it takes much of the stack.
#[inline(never)]
fn hash_long(mode: &Mode, bytes: &[u8]) -> Hash {
    let mut hasher = Hasher::with(*mode);
    hasher.update(bytes);
    hasher.finalize()
}

/// With a key or without.
#[derive(Clone, Copy)]
struct Mode {
    /// What every chunk and parent begins with.
    start: Words,
    flags: u32,
}

const PLAIN: Mode = Mode { start: IV, flags: 0 };

/// The last compression of a chunk or a parent, which is done otherwise at the root.
#[derive(Clone, Copy)]
struct Output {
    chaining: Words,
    block: [u8; BLOCK_BYTES],
    len: u32,
    chunk: u64,
    flags: u32,
}

impl Output {
    fn parent(mode: &Mode, left: &Words, right: &Words) -> Self {
        let mut block = [0; BLOCK_BYTES];
        put_words(left.iter().chain(right), &mut block);
        Self { chaining: mode.start, block, len: BLOCK_BYTES as u32, chunk: 0, flags: PARENT | mode.flags }
    }

    fn value(&self) -> Words {
        let mut value = self.chaining;
        compress(&mut value, &self.block, self.chunk, self.len, self.flags);
        value
    }

    #[inline(never)]
    fn root(&self) -> Hash {
        let value = Self { chunk: 0, flags: self.flags | ROOT, ..*self }.value();
        let mut bytes = [0; OUT_LEN];
        put_words(value.iter(), &mut bytes);
        Hash(bytes)
    }
}

/// A chunk that is being taken in. Its last block waits for the end.
#[derive(Clone)]
struct Chunk(Output, usize);

impl Chunk {
    fn new(mode: &Mode, chunk: u64) -> Self {
        let flags = CHUNK_START | mode.flags;
        Self(Output { chaining: mode.start, block: [0; BLOCK_BYTES], len: 0, chunk, flags }, 0)
    }

    /// Takes some bytes, which the chunk has room for.
    fn update(&mut self, bytes: &[u8]) {
        let Self(output, len) = self;
        for byte in bytes {
            if output.len as usize == BLOCK_BYTES {
                output.chaining = output.value();
                (output.block, output.len) = ([0; BLOCK_BYTES], 0);
                output.flags &= !CHUNK_START;
            }
            if let Some(place) = output.block.get_mut(output.len as usize) {
                *place = *byte;
            }
            output.len += 1;
        }
        *len += bytes.len();
    }

    fn output(&self) -> Output {
        Output { flags: self.0.flags | CHUNK_END, ..self.0 }
    }
}

/// Takes bytes in pieces.
#[derive(Clone)]
pub(crate) struct Hasher {
    mode: Mode,
    chunk: Chunk,
    /// The whole subtrees so far, the largest first: one for each one in the number of chunks.
    subtrees: [Words; LEVELS],
    len: usize,
}

impl Hasher {
    /// Nothing taken yet.
    pub(crate) fn new() -> Self {
        Self::with(PLAIN)
    }

    fn with(mode: Mode) -> Self {
        Self { mode, chunk: Chunk::new(&mode, 0), subtrees: [IV; LEVELS], len: 0 }
    }

    /// Takes some bytes.
    #[inline(never)]
    pub(crate) fn update(&mut self, bytes: &[u8]) -> &mut Self {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.chunk.1 == CHUNK_BYTES {
                // What follows says that this chunk is not the root.
                let chunks = self.chunk.0.chunk + 1;
                self.push(self.chunk.output().value(), chunks);
                self.chunk = Chunk::new(&self.mode, chunks);
            }
            let room = CHUNK_BYTES.saturating_sub(self.chunk.1);
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.chunk.update(now);
            rest = later;
        }
        self
    }

    /// Adds a chunk's value, and joins every two subtrees that are of one size then.
    fn push(&mut self, value: Words, chunks: u64) {
        let mut value = value;
        for _ in 0..chunks.trailing_zeros() {
            self.len = self.len.saturating_sub(1);
            if let Some(left) = self.subtrees.get(self.len) {
                value = Output::parent(&self.mode, left, &value).value();
            }
        }
        if let Some(place) = self.subtrees.get_mut(self.len) {
            *place = value;
        }
        self.len += 1;
    }

    /// The hash of everything taken.
    #[inline(never)]
    pub(crate) fn finalize(&self) -> Hash {
        let mut output = self.chunk.output();
        for left in self.subtrees.iter().take(self.len).rev() {
            output = Output::parent(&self.mode, left, &output.value());
        }
        output.root()
    }
}

fn put_words<'w>(words: impl Iterator<Item = &'w u32>, bytes: &mut [u8]) {
    for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
}

/// The compression function, cut to a chaining value.
#[inline(never)]
fn compress(chaining: &mut Words, block: &[u8; BLOCK_BYTES], chunk: u64, len: u32, flags: u32) {
    let mut message = [0; 16];
    for (word, bytes) in message.iter_mut().zip(block.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let mut state = [0; 16];
    let rest = [IV[0], IV[1], IV[2], IV[3], chunk as u32, (chunk >> 32) as u32, len, flags];
    for (word, from) in state.iter_mut().zip(chaining.iter().chain(&rest)) {
        *word = *from;
    }
    for _ in 0..ROUNDS {
        for (mix, [x, y]) in message.as_chunks().0.iter().enumerate() {
            // Four columns, then four diagonals.
            let (lane, shift) = (mix % 4, mix / 4);
            let place = |row: usize| 4 * row + (lane + row * shift) % 4;
            quarter(&mut state, [place(0), place(1), place(2), place(3)], *x, *y);
        }
        let before = message;
        for (word, from) in message.iter_mut().zip(PERMUTATION) {
            *word = before[usize::from(from) % 16];
        }
    }
    let (upper, lower) = state.split_at(8);
    for ((word, a), b) in chaining.iter_mut().zip(upper).zip(lower) {
        *word = a ^ b;
    }
}

/// Mixes two words of the message into a column or diagonal.
fn quarter(state: &mut [u32; 16], places: [usize; 4], x: u32, y: u32) {
    let [mut a, mut b, mut c, mut d] = places.map(|place| state[place % 16]);
    for (word, turn_d, turn_b) in [(x, 16, 12), (y, 8, 7)] {
        a = a.wrapping_add(b).wrapping_add(word);
        d = (d ^ a).rotate_right(turn_d);
        c = c.wrapping_add(d);
        b = (b ^ c).rotate_right(turn_b);
    }
    for (place, word) in places.into_iter().zip([a, b, c, d]) {
        state[place % 16] = word;
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_BYTES, Hasher, OUT_LEN, hash, keyed_hash};
    extern crate std;
    use std::vec::Vec;

    /// The same as the crate's, for lengths on both sides of every bound, whole and in pieces.
    #[test]
    fn hashes_are_those_of_the_crate() {
        let bytes: Vec<u8> = (0..20 * CHUNK_BYTES).map(|at| (at % 251) as u8).collect();
        let around = |len: usize| [len.saturating_sub(1), len, len + 1];
        let lengths = [0, 16, 64, 128, 1024, 2048, 3072, 4096, 5120, 7168, 8192, 16384, 19456].map(around);
        for len in lengths.into_iter().flatten() {
            let bytes = &bytes[..len];
            assert_eq!(hash(bytes).as_bytes(), blake3::hash(bytes).as_bytes(), "{len}");
            let key = [len as u8; OUT_LEN];
            assert_eq!(
                keyed_hash(&key, bytes).as_bytes(),
                blake3::keyed_hash(&key, bytes).as_bytes(),
                "{len} with a key"
            );
            for piece in [1, 63, 100, 1024, 1500] {
                let mut hasher = Hasher::new();
                for part in bytes.chunks(piece) {
                    hasher.update(part);
                }
                assert_eq!(hasher.finalize().as_bytes(), blake3::hash(bytes).as_bytes(), "{len} in {piece}");
            }
        }
    }
}
