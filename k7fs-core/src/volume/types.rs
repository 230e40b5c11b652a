//! The values that go in and out of the public API.

use super::dedup::DedupPolicy;
use crate::codec::CodecId;
use crate::flash::Geometry;
use crate::hash::HashId;
use crate::key::Key;
use crate::log::Signature;

/// Seconds and 100-nanosecond ticks since the start of 1601, UTC: the time of NT, which K7FS stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Timestamp {
    /// Whole seconds since 1601-01-01T00:00:00Z.
    pub seconds: u64,
    /// Ticks of 100 ns within the second, 0 to 9,999,999.
    pub ticks: u32,
}

/// Seconds from the NT epoch (1601) to the UNIX epoch (1970): 369 years with 89 leap days.
const UNIX_EPOCH_SECONDS: i64 = 11_644_473_600;

/// Ticks of 100 ns in a second.
const TICKS_PER_SECOND: u64 = 10_000_000;

impl Timestamp {
    /// Converts from UNIX time; `None` before 1601. Exact to 100 ns, finer digits are cut off.
    pub fn from_unix(seconds: i64, nanoseconds: u32) -> Option<Self> {
        let seconds = u64::try_from(seconds.checked_add(UNIX_EPOCH_SECONDS)?).ok()?;
        (nanoseconds < 1_000_000_000).then_some(Self { seconds, ticks: nanoseconds / 100 })
    }

    /// Year, month and day, by the Gregorian calendar.
    ///
    /// Years are counted from March on, so that the leap day is a year's last, in eras of 400 years with 146,097 days.
    pub fn date(self) -> (u64, u64, u64) {
        /// From 1600-03-01 to 1601-01-01.
        const SINCE_MARCH: u64 = 306;
        let day = self.seconds / 86_400 + SINCE_MARCH;
        let (era, day_of_era) = (day / 146_097, day % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        (1600 + era * 400 + year_of_era + u64::from(month <= 2), month, day_of_month)
    }

    /// Converts from the time of NT's own calls: ticks of 100 ns since the start of 1601.
    pub fn from_nt(ticks: u64) -> Self {
        Self { seconds: ticks / TICKS_PER_SECOND, ticks: (ticks % TICKS_PER_SECOND) as u32 }
    }

    /// Ticks of 100 ns since the start of 1601; `None` past the year 60055, where 64 bits end.
    pub fn to_nt(self) -> Option<u64> {
        self.seconds.checked_mul(TICKS_PER_SECOND)?.checked_add(self.ticks.into())
    }

    /// Whether the ticks are less than a second.
    #[cfg(feature = "attributes")]
    pub(super) fn is_sound(self) -> bool {
        u64::from(self.ticks) < TICKS_PER_SECOND
    }

    /// Seconds since 1970, negative before it, and nanoseconds.
    pub fn to_unix(self) -> (i64, u32) {
        (self.seconds.cast_signed().saturating_sub(UNIX_EPOCH_SECONDS), self.ticks.saturating_mul(100))
    }
}

/// What `format` needs to know.
#[derive(Clone, Copy, Debug)]
pub struct FormatOptions {
    /// Random bytes from the caller: they tell this volume from every other, and key its checksums and name hashes.
    pub volume_id: [u8; 16],
    /// Bytes of a file's logical block: a power of two from 4 KiB to 32 MiB; the longest record.
    pub logical_block_size: u32,
    /// What content hashes are made with.
    pub hash: HashId,
    /// Allows a hash that finds accidents only.
    pub force: bool,
    /// Every byte of content carries a hash. Costs its bytes for every record, and the time to compute it.
    pub verified: bool,
    /// What new content is compressed with where a mount has a codec and it saves pages.
    pub codec: CodecId,
    /// Whether content may be compressed later with other codecs than that.
    pub all_codecs: bool,
    /// What those that import trees are to compare new content with.
    pub dedup: DedupPolicy,
    /// Makes the volume an authenticated one: without this key it cannot be mounted, and what is changed without it is refused.
    /// Costs 16 bytes of every page, and hashing each page that is read or programmed. Pages have 256 bytes at least.
    pub key: Option<Key>,
    /// Whether roots and inner tree nodes are kept twice, in different blocks. On by default.
    pub second_copies: bool,
    /// The time of the root directory.
    pub time: Timestamp,
}

impl Default for FormatOptions {
    fn default() -> Self {
        Self {
            volume_id: [0; 16],
            logical_block_size: 4096,
            hash: HashId::default(),
            force: false,
            verified: false,
            codec: CodecId::Store,
            all_codecs: false,
            dedup: DedupPolicy::Off,
            key: None,
            second_copies: true,
            time: Timestamp::default(),
        }
    }
}

/// How to mount.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountOptions {
    /// Write nothing. After an unclean stop such a mount is [`Usage::unsettled`].
    pub read_only: bool,
    /// Where new times come from; without it objects keep the time zero.
    pub clock: Option<fn() -> Timestamp>,
    /// The key of an authenticated volume.
    pub key: Option<Key>,
    /// The least number that the last commit may have. Whoever keeps [`Volume::last_commit`](crate::Volume::last_commit) in a
    /// counter that only rises, after a `sync`, has an older state refused with it: also that of an authenticated volume
    /// which was put back as a whole.
    pub commit_min: u64,
    /// Where pages of the last commits cannot be read, so that nobody knows what they changed, take the newest state that can be read
    /// instead of refusing to mount. A writable mount makes that the volume's state; what was committed since is gone.
    ///
    /// A mount without it fails with [`Error::Uncorrectable`](crate::Error::Uncorrectable) then, and changes nothing.
    pub may_go_back: bool,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A FIFO: a name for processes of a host to meet at.
    Fifo,
    /// A socket of a host.
    Socket,
    /// A character device of a host.
    CharacterDevice,
    /// A block device of a host.
    BlockDevice,
}

/// The number of a device, in its two parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Device {
    /// The driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

/// What is known about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Metadata {
    /// The object's number: unique in the volume, never reused.
    pub object: u64,
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file or of a link's target, entries of a directory.
    pub size: u64,
    /// How many names a file has; 1 for directories.
    pub links: u32,
    /// When it was created.
    pub created: Timestamp,
    /// When its content last changed.
    pub modified: Timestamp,
    /// The codec that was chosen for it, see [`Volume::choose_codec`](crate::Volume::choose_codec).
    pub codec: Option<CodecId>,
}

/// How to open a file. Without `write` or `append` the handle only reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) append: bool,
    pub(crate) create: bool,
    pub(crate) create_new: bool,
    pub(crate) truncate: bool,
}

impl OpenOptions {
    /// Everything off.
    pub const fn new() -> Self {
        Self { read: false, write: false, append: false, create: false, create_new: false, truncate: false }
    }
    /// Allows reading.
    pub const fn read(mut self, on: bool) -> Self {
        self.read = on;
        self
    }
    /// Allows writing.
    pub const fn write(mut self, on: bool) -> Self {
        self.write = on;
        self
    }
    /// Every write goes to the end of the file.
    pub const fn append(mut self, on: bool) -> Self {
        self.append = on;
        self
    }
    /// Creates the file where it is missing; needs write or append.
    pub const fn create(mut self, on: bool) -> Self {
        self.create = on;
        self
    }
    /// Creates the file and fails with `AlreadyExists` where it is there; needs write or append.
    pub const fn create_new(mut self, on: bool) -> Self {
        self.create_new = on;
        self
    }
    /// Empties the file when it is opened; needs write.
    pub const fn truncate(mut self, on: bool) -> Self {
        self.truncate = on;
        self
    }
}

/// An open file: a plain token, without a borrow of the volume.
///
/// Dropping it without [`close`](crate::Volume::close) loses no data, but keeps one of the
/// [`OPEN_FILES_MAX`](crate::OPEN_FILES_MAX) slots taken until the volume is mounted again; if the file has lost its last
/// name, its space comes back then.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct File {
    pub(crate) object: u64,
    pub(crate) slot: u8,
    pub(crate) serial: u32,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) append: bool,
    pub(crate) position: u64,
}

impl File {
    /// Where the next read or write through [`io`](crate::Volume::io) happens.
    pub fn position(&self) -> u64 {
        self.position
    }
}

/// Where a walk through a directory stands. Survives deletes, inserts and commits: every entry that is there
/// from start to end is seen exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DirCursor {
    pub(crate) directory: u64,
    /// The next name hash and tie to look at; `None` at the end.
    pub(crate) next: Option<u64>,
}

/// One name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DirEntry<'n> {
    /// The name, in the caller's buffer.
    pub name: &'n str,
    /// The object's number.
    pub object: u64,
    /// What the object is.
    pub kind: Kind,
}

/// Where a walk through an object's attributes stands. Survives changes as a [`DirCursor`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AttributeCursor {
    pub(crate) object: u64,
    /// The next name hash and tie to look at; `None` at the end.
    pub(crate) next: Option<u64>,
}

/// One attribute of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AttributeEntry<'n> {
    /// The attribute's name, in the caller's buffer.
    pub name: &'n str,
    /// Bytes of its value.
    pub size: u32,
}

/// How far defragmenting has come. Survives any change, like a [`DirCursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DefragmentCursor {
    pub(crate) object: u64,
    /// The next byte to look at.
    pub(crate) offset: u64,
    /// What lies before this was found to be fragmented.
    pub(crate) until: u64,
    /// Whether other objects follow.
    pub(crate) is_volume: bool,
}

/// How full the volume is, and what the mount saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Usage {
    /// Bytes that files and their bookkeeping may fill.
    pub capacity_bytes: u64,
    /// Bytes still free of them.
    pub free_bytes: u64,
    /// Blocks known to be bad.
    pub bad_blocks: u32,
    /// Blocks erased or ready to be erased.
    pub free_blocks: u32,
    /// Bits corrected by reads since the mount.
    pub corrected_bits: u64,
    /// Read retries since the mount.
    pub retried_reads: u64,
    /// A read-only mount after an unclean stop: what it shows may still go back to the commit before.
    pub unsettled: bool,
    /// Whether the last stop was clean.
    pub clean: bool,
}

/// What a volume was made for, from its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct VolumeInfo {
    /// The shape of the chip.
    pub geometry: Geometry,
    /// The volume's random id.
    pub volume_id: [u8; 16],
    /// The newest features that the volume may use.
    pub feature_level: u64,
    /// Bytes of a file's logical block.
    pub logical_block_size: u32,
    /// What content hashes are made with.
    pub hash: HashId,
    /// Whether all content carries its hash.
    pub verified: bool,
    /// What new content is compressed with.
    pub codec: CodecId,
    /// What those that import trees compare new content with.
    pub dedup: DedupPolicy,
    /// Whether roots and inner tree nodes are kept twice.
    pub second_copies: bool,
    /// Whether it takes a key to mount it.
    pub authenticated: bool,
}

impl VolumeInfo {
    pub(crate) fn of(signature: &Signature) -> Self {
        Self {
            geometry: signature.geometry,
            volume_id: signature.volume_id,
            feature_level: signature.feature_level,
            logical_block_size: 1 << signature.logical_block_log2,
            hash: signature.hash,
            verified: signature.verified,
            codec: signature.codec,
            dedup: signature.dedup,
            second_copies: signature.second_copies,
            authenticated: signature.mac.is_some(),
        }
    }
}

/// A fault found by `check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The number of the index concerned, 0 where none or more than one is.
    pub index: u32,
    /// The object concerned, 0 where none is.
    pub object: u64,
    /// The page concerned, counted through the volume; 0 where none is.
    pub page: u32,
}

/// What `check` can find wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FaultKind {
    /// A page in use cannot be corrected.
    Uncorrectable,
    /// A tree node or record does not parse.
    Corrupt,
    /// On an authenticated volume, a page that nobody who had the key put there.
    Forged,
    /// A node does not match the hash in its parent, or content the hash that it was stored with.
    HashMismatch,
    /// Keys are out of order or outside the range their parent gives.
    KeyOrder,
    /// Two extents of a file overlap, or one reaches past the file's end.
    Extents,
    /// A name points to an object that does not exist.
    DanglingName,
    /// An object has no name and no job will delete it.
    Orphan,
    /// An object's link or entry count is wrong.
    WrongCount,
    /// An object's inode tells another place of its name than where it is.
    WrongPlace,
    /// An attribute is not where its name belongs, or its object or its value does not know of it.
    Attribute,
    /// A block's live bytes are counted too low, so that it could be erased while in use.
    LiveCount,
}

/// What `check` went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CheckSummary {
    /// Faults reported.
    pub faults: u64,
    /// Files, directories and links seen, in each index anew.
    /// Files, directories, links, FIFOs, sockets and devices seen.
    pub objects: u64,
    /// Tree nodes read.
    pub nodes: u64,
    /// Bytes of content read.
    pub content_bytes: u64,
    /// Extents whose content could not be looked at for want of their codec or hash.
    pub unverified: u64,
}
