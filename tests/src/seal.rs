//! Seals pages from outside: what a hostile image needs to get past the checksum and the page code.
//!
//! Written from the format's description and not from the core's code, so that the two also check each other.
//!
//! ```text
//! NOR   header 20 | payload | CRC-32C 4 | LDPC parity
//! NAND  header 20 | payload to the end of the data area | factory mark 2 | zeros | CRC-32C 4 | LDPC parity
//! ```

use crc::{CRC_32_ISCSI, Crc};
use k7fs_core::ecc::{self, Layout};
use k7fs_core::flash::Geometry;

/// Bytes of the page header.
pub const HEADER_BYTES: usize = 20;
/// Bytes of the signature at the start of a block.
pub const SIGNATURE_BYTES: usize = 256;
const SIGNATURE_BODY_BYTES: usize = 220;
const MAGIC: [u8; 4] = *b"K7FS";
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// Times that a test formats one chip under one id, at most.
const SALT_MAX: u64 = 64;

/// Seals pages of one volume.
#[derive(Clone, Debug)]
pub struct Sealer {
    layout: Layout,
    geometry: Geometry,
    seed: u32,
}

impl Sealer {
    /// For a volume of this shape and id, found out with the help of any page of it. `None` where no page is sealed as
    /// the format says.
    pub fn new<'p>(
        geometry: Geometry, volume_id: [u8; 16], pages: impl Iterator<Item = (u32, &'p [u8])> + Clone,
    ) -> Option<Self> {
        let layout = Layout::for_page(geometry.page_size, geometry.spare_size)?;
        (0..SALT_MAX).find_map(|salt| {
            let mut digest = CRC.digest_with_initial(0);
            digest.update(&volume_id);
            digest.update(&salt.to_le_bytes());
            digest.update(&[layout.id()]);
            let sealer = Self { layout, geometry, seed: digest.finalize() };
            pages.clone().any(|(page, raw)| sealer.is_sealed(page, raw)).then_some(sealer)
        })
    }

    /// The bytes of a page that hold header and payload.
    pub fn content_bytes(&self) -> usize {
        if self.geometry.is_nand() { self.geometry.page_size as usize } else { self.checksum_at() }
    }

    /// Whether the checksum of a page is right.
    pub fn is_sealed(&self, page: u32, raw: &[u8]) -> bool {
        raw[self.checksum_at()..][..4] == self.checksum(page, raw).to_le_bytes()
    }

    /// Makes checksum and parity right.
    pub fn seal(&self, page: u32, raw: &mut [u8]) {
        let checksum = self.checksum(page, raw).to_le_bytes();
        raw[self.checksum_at()..][..4].copy_from_slice(&checksum);
        ecc::encode(&self.layout, raw);
    }

    fn checksum_at(&self) -> usize {
        self.geometry.raw_page_size() - self.layout.parity_bytes() - 4
    }

    fn checksum(&self, page: u32, raw: &[u8]) -> u32 {
        let mut digest = CRC.digest_with_initial(self.seed);
        digest.update(&page.to_le_bytes());
        let end = self.checksum_at();
        if self.geometry.is_nand() {
            let mark = self.geometry.page_size as usize;
            digest.update(&raw[..mark]);
            digest.update(&raw[mark + 2..end]);
        } else {
            digest.update(&raw[..end]);
        }
        digest.finalize()
    }
}

/// Whether bytes start with an intact signature.
pub fn is_signature(codeword: &[u8]) -> bool {
    codeword.starts_with(&MAGIC)
        && codeword.len() >= SIGNATURE_BYTES
        && codeword[SIGNATURE_BODY_BYTES..][..4] == signature_checksum(codeword)
}

/// Makes a changed signature's checksum and parity right.
pub fn seal_signature(codeword: &mut [u8]) {
    let checksum = signature_checksum(codeword);
    codeword[SIGNATURE_BODY_BYTES..][..4].copy_from_slice(&checksum);
    ecc::encode(&Layout::Nor256, &mut codeword[..SIGNATURE_BYTES]);
}

fn signature_checksum(codeword: &[u8]) -> [u8; 4] {
    let mut digest = CRC.digest_with_initial(u32::from_le_bytes(MAGIC));
    digest.update(&codeword[..SIGNATURE_BODY_BYTES]);
    digest.finalize().to_le_bytes()
}
