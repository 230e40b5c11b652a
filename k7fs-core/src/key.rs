//! Authenticated volumes: keyed hashes (BLAKE3) that nobody makes without the volume's key.
//!
//! Every page of such a volume ends its payload with the keyed hash of its place and content, and names how often its block had
//! been erased; the allocation table says how often that is now. So a page that was changed, moved, taken from another volume or
//! left over from an earlier life of its block is told from the one that belongs there. The signature has a keyed hash too.

#[cfg(not(feature = "fast-hash"))]
use crate::blake3;

/// Whether this build knows authenticated volumes.
pub(crate) const AUTHENTICATED: bool = cfg!(feature = "authenticated");

/// Bytes of a keyed hash: BLAKE3, truncated.
pub(crate) const MAC_BYTES: usize = 16;

/// A keyed hash.
pub(crate) type Mac = [u8; MAC_BYTES];

/// The secret of an authenticated volume: 32 bytes from a good source, the same for every mount.
///
/// Printing it with `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; Key::BYTES]);

impl Key {
    /// Bytes of a key.
    pub const BYTES: usize = 32;

    /// A key of these bytes.
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The key of a volume's pages: it is of no use for another volume with the same secret.
    #[cfg(feature = "authenticated")]
    pub(crate) fn of_pages(&self, volume_id: &[u8; 16], salt: u64) -> Self {
        let mut input = [0u8; 8 + 16 + 8];
        let mut writer = crate::varint::Writer::new(&mut input);
        writer.bytes(b"K7FSpage");
        writer.bytes(volume_id);
        writer.bytes(&salt.to_le_bytes());
        Self(self.hash(&input))
    }

    /// The keyed hash of some bytes.
    pub(crate) fn mac(&self, bytes: &[u8]) -> Mac {
        let mut mac = [0; MAC_BYTES];
        for (to, from) in mac.iter_mut().zip(self.hash(bytes)) {
            *to = from;
        }
        mac
    }

    fn hash(&self, bytes: &[u8]) -> [u8; Self::BYTES] {
        if AUTHENTICATED { *blake3::keyed_hash(&self.0, bytes).as_bytes() } else { [0; Self::BYTES] }
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// The keys that a mount has, if its volume is an authenticated one: the caller's secret, and the key of this volume's pages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys(Slot);

#[cfg(feature = "authenticated")]
type Slot = Option<(Key, Key)>;
/// A build that does not know such volumes keeps no room for keys.
#[cfg(not(feature = "authenticated"))]
type Slot = ();

#[cfg(feature = "authenticated")]
impl Keys {
    /// With the caller's secret.
    pub(crate) fn new(secret: Option<Key>) -> Self {
        Self(secret.map(|secret| (secret, secret)))
    }

    /// The caller's secret.
    pub(crate) fn secret(&self) -> Option<&Key> {
        self.0.as_ref().map(|(secret, _)| secret)
    }

    /// The key of this volume's pages.
    pub(crate) fn pages(&self) -> Option<&Key> {
        self.0.as_ref().map(|(_, pages)| pages)
    }

    /// From now on, pages belong to this volume.
    pub(crate) fn set_volume(&mut self, volume_id: &[u8; 16], salt: u64) {
        if let Some((secret, pages)) = &mut self.0 {
            *pages = secret.of_pages(volume_id, salt);
        }
    }
}

#[cfg(not(feature = "authenticated"))]
#[expect(clippy::unused_self, reason = "the same calls as with keys")]
impl Keys {
    pub(crate) fn new(_secret: Option<Key>) -> Self {
        Self(())
    }

    pub(crate) fn secret(&self) -> Option<&Key> {
        None
    }

    pub(crate) fn pages(&self) -> Option<&Key> {
        None
    }

    pub(crate) fn set_volume(&mut self, _volume_id: &[u8; 16], _salt: u64) {}
}
