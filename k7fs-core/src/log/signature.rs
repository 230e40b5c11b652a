//! The signature: what the volume is, readable before anything about it is known.
//!
//! 256 bytes at the start of a block of the fixed set, always in the code of a 256-byte NOR page, whatever the
//! volume's own pages are:
//!
//! ```text
//! magic 4B 37 46 53 | ULEB fields | zeros up to 220 | CRC-32C 4 | LDPC parity 32
//! ```

use crate::codec::{CodecId, PACKED};
use crate::ecc::{self, Layout};
use crate::error::{Error, inner};
use crate::flash::Geometry;
use crate::hash::{HashId, crc32};
use crate::key::{AUTHENTICATED, Key, MAC_BYTES, Mac};
use crate::varint::{Reader, Writer};
use crate::volume::DedupPolicy;

/// Bytes of the signature with its code.
pub(crate) const SIGNATURE_BYTES: usize = 256;
/// Bytes before the checksum.
const BODY_BYTES: usize = 220;
const MAGIC: [u8; 4] = *b"K7FS";
/// What this build writes.
const FEATURE_LEVEL: u64 = 1;
/// Incompatible feature: pages and signature carry keyed hashes.
const AUTHENTICATED_BIT: u64 = 1 << 6;
/// Incompatible features that this build knows.
const INCOMPAT_KNOWN: u64 = if AUTHENTICATED { AUTHENTICATED_BIT } else { 0 };
/// Features that a reader may ignore but a writer must know.
const RO_COMPAT_KNOWN: u64 = 0;
const ULEB_BYTES: u64 = 10;
const SECOND_COPIES_FLAG: u64 = 1;
const VERIFIED_FLAG: u64 = 2;

const NO_GEOMETRY: Geometry =
    Geometry { page_size: 0, spare_size: 0, pages_per_block: 0, block_count: 0, bad_blocks_max: 0 };

/// What the volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) feature_level: u64,
    pub(crate) ro_compat: u64,
    pub(crate) volume_id: [u8; 16],
    pub(crate) geometry: Geometry,
    pub(crate) hash: HashId,
    pub(crate) logical_block_log2: u8,
    /// Codecs that packed records may have, a bit each.
    pub(crate) codecs: u8,
    /// What new content is packed with.
    pub(crate) codec: CodecId,
    /// All content carries its hash.
    pub(crate) verified: bool,
    /// Blocks at the start that only the fixed set uses.
    pub(crate) fixed_blocks: u32,
    pub(crate) node_bytes_max: u32,
    pub(crate) second_copies: bool,
    /// Rises when a chip is formatted again under the same id: pages of the volume before do not count.
    pub(crate) salt: u64,
    /// For those that write whole trees.
    pub(crate) dedup: DedupPolicy,
    /// The keyed hash of all this, on authenticated volumes.
    pub(crate) mac: Option<Mac>,
}

impl Signature {
    /// A new volume's signature.
    pub(crate) fn new(volume_id: [u8; 16], geometry: Geometry) -> Self {
        Self {
            feature_level: FEATURE_LEVEL,
            ro_compat: 0,
            volume_id,
            geometry,
            hash: HashId::Blake3x256,
            logical_block_log2: 12,
            codecs: CodecId::Store.bit(),
            codec: CodecId::Store,
            verified: false,
            fixed_blocks: 0,
            node_bytes_max: 0,
            second_copies: true,
            salt: 0,
            dedup: DedupPolicy::Off,
            mac: None,
        }
    }

    /// Whether a writer of this build understands everything the volume uses.
    pub(crate) fn is_writable(&self) -> bool {
        let is_plain = !self.verified && self.codecs == CodecId::Store.bit();
        self.ro_compat & !RO_COMPAT_KNOWN == 0 && (PACKED || is_plain)
    }

    /// Gives the signature its keyed hash.
    pub(crate) fn authenticate(&mut self, key: &Key) -> Option<()> {
        self.mac = Some(self.expected_mac(key)?);
        Some(())
    }

    /// Whether somebody who had this key wrote it.
    pub(crate) fn is_authentic(&self, key: &Key) -> bool {
        self.mac.is_some() && self.mac == self.expected_mac(key)
    }

    /// The keyed hash of `K7FSsign` and the fields, zeros in the hash's place.
    fn expected_mac(&self, key: &Key) -> Option<Mac> {
        let mut bytes = [0u8; 8 + BODY_BYTES];
        let (domain, body) = bytes.split_at_mut_checked(8)?;
        domain.copy_from_slice(b"K7FSsign");
        let len = Self { mac: Some([0; MAC_BYTES]), ..*self }.encode_body(body)?.len();
        Some(key.mac(bytes.get(..8 + len)?))
    }

    /// Writes the fields.
    pub(crate) fn encode_body<'b>(&self, bytes: &'b mut [u8]) -> Option<&'b [u8]> {
        let mut writer = Writer::new(bytes);
        writer.bytes(&MAGIC);
        writer.uleb(self.feature_level);
        // Compatible, read-only compatible and incompatible features.
        writer.uleb(0);
        writer.uleb(self.ro_compat);
        writer.uleb(if self.mac.is_some() { AUTHENTICATED_BIT } else { 0 });
        writer.uleb(ULEB_BYTES);
        // Mode: read-write.
        writer.uleb(0);
        writer.bytes(&self.volume_id);
        // Medium: 0 NOR, 1 NAND, 2 an archive file.
        writer.uleb(self.geometry.is_nand().into());
        writer.uleb(self.geometry.page_size.into());
        writer.uleb(self.geometry.spare_size.into());
        writer.uleb(self.geometry.pages_per_block.into());
        writer.uleb(self.geometry.block_count.into());
        writer.uleb(self.geometry.bad_blocks_max.into());
        writer.uleb(self.hash.code().into());
        writer.uleb(crate::hash::POINTER_HASH_BYTES as u64);
        writer.uleb(self.logical_block_log2.into());
        writer.uleb(self.codecs.into());
        writer.uleb(self.codec.code().into());
        writer.uleb(self.node_bytes_max.into());
        writer.uleb(crate::NAME_BYTES_MAX as u64);
        writer.uleb(self.fixed_blocks.into());
        let second_copies = if self.second_copies { SECOND_COPIES_FLAG } else { 0 };
        writer.uleb(second_copies | if self.verified { VERIFIED_FLAG } else { 0 });
        writer.uleb(self.salt);
        self.dedup.encode(&mut writer);
        if let Some(mac) = &self.mac {
            writer.bytes(mac);
        }
        writer.finish()
    }

    /// Reads the fields.
    pub(crate) fn decode_body(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        if reader.array() != MAGIC {
            return Err(Error::NotAVolume);
        }
        let mut signature = Self::new([0; 16], NO_GEOMETRY);
        signature.feature_level = reader.uleb();
        let _compat = reader.uleb();
        signature.ro_compat = reader.uleb();
        let incompat = reader.uleb();
        let unknown = incompat & !INCOMPAT_KNOWN;
        if unknown != 0 && reader.is_sound() {
            return Err(Error::UnknownFeature { bits: unknown });
        }
        signature.mac = (incompat & AUTHENTICATED_BIT != 0).then_some([0; MAC_BYTES]);
        signature.decode_rest(&mut reader).ok_or(Error::DamagedSignature)?;
        Ok(signature)
    }

    /// What a later incompatible feature may have changed.
    fn decode_rest(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let _uleb_bytes = reader.uleb();
        let _mode = reader.uleb();
        self.volume_id = reader.array();
        let _medium = reader.uleb();
        self.geometry = Geometry {
            page_size: reader.uleb32(),
            spare_size: reader.uleb32(),
            pages_per_block: reader.uleb32(),
            block_count: reader.uleb32(),
            bad_blocks_max: reader.uleb32(),
        };
        self.hash = HashId::from_code(u8::try_from(reader.uleb()).ok()?)?;
        let _pointer_hash_bytes = reader.uleb();
        self.logical_block_log2 = u8::try_from(reader.uleb()).ok().filter(|log2| (12..=25).contains(log2))?;
        self.codecs = u8::try_from(reader.uleb()).ok()?;
        self.codec = CodecId::from_code(reader.byte())?;
        self.node_bytes_max = reader.uleb32();
        let _name_bytes = reader.uleb();
        self.fixed_blocks = reader.uleb32();
        let options = reader.uleb();
        self.second_copies = options & SECOND_COPIES_FLAG != 0;
        self.verified = options & VERIFIED_FLAG != 0;
        self.salt = reader.uleb();
        self.dedup = DedupPolicy::decode(reader);
        if self.mac.is_some() {
            self.mac = Some(reader.array());
        }
        reader.finish(())
    }

    /// Writes the whole codeword.
    pub(crate) fn seal(&self, codeword: &mut [u8; SIGNATURE_BYTES]) -> Result<(), inner::Error> {
        codeword.fill(0);
        self.encode_body(codeword.get_mut(..BODY_BYTES).unwrap_or_default()).ok_or(inner::Error::Exhausted)?;
        let crc = checksum(codeword);
        if let Some(place) = codeword.get_mut(BODY_BYTES..BODY_BYTES + 4) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        ecc::encode(&Layout::Nor256, codeword);
        Ok(())
    }

    /// Reads a codeword, correcting it in place. `scratch` is for the decoder.
    pub(crate) fn open(codeword: &mut [u8; SIGNATURE_BYTES], scratch: &mut [u8]) -> Result<Self, Error> {
        if !is_sealed(codeword) {
            let magic_bits: u32 = codeword.iter().zip(&MAGIC).map(|(a, b)| (a ^ b).count_ones()).sum();
            let decoded = ecc::decode(&Layout::Nor256, codeword, scratch, &mut is_sealed_slice);
            if decoded.is_err() {
                // A few flips in the magic still show what this was.
                return Err(if magic_bits <= 4 { Error::DamagedSignature } else { Error::NotAVolume });
            }
        }
        Self::decode_body(codeword.get(..BODY_BYTES).unwrap_or_default())
    }
}

fn checksum(codeword: &[u8]) -> u32 {
    crc32(u32::from_le_bytes(MAGIC), &[codeword.get(..BODY_BYTES).unwrap_or_default()])
}

fn is_sealed(codeword: &[u8; SIGNATURE_BYTES]) -> bool {
    is_sealed_slice(codeword)
}

fn is_sealed_slice(codeword: &[u8]) -> bool {
    let stored = codeword.get(BODY_BYTES..).and_then(|rest| rest.first_chunk());
    stored.is_some_and(|stored| u32::from_le_bytes(*stored) == checksum(codeword))
}
