//! The volume floor: files, directories and transactions, the public API.

mod attributes;
mod check;
mod choice;
#[cfg(feature = "sharing")]
mod copy;
mod dedup;
mod defragment;
mod depth;
mod extents;
mod file;
mod handles;
mod health;
mod index;
mod inode;
mod io;
mod maintain;
#[cfg(feature = "attributes")]
mod metadata;
mod namespace;
#[cfg(feature = "attributes")]
mod nt;
mod packed;
mod recompress;
mod resize;
mod root;
mod sharing;
mod status;
mod types;

pub use crate::tree::Scrubbed;
#[cfg(feature = "sharing")]
pub use copy::Chunk;
pub use dedup::{ChunkSizes, DedupPolicy};
pub use health::{BadBlock, Health};
#[cfg(feature = "indexes")]
pub use index::{ChangeKind, IndexChange, IndexCursor, IndexInfo, POLICY_SNAPSHOTS_MAX, PolicyOutcome};
pub use index::{INDEX_NAME_FIRST, RetentionPolicy};
pub use io::FileIo;
#[cfg(feature = "attributes")]
pub use metadata::{Nt, Posix};
pub use recompress::{ContentCursor, Recompressed};
pub use status::ContentStatus;
pub use types::{
    AttributeCursor, AttributeEntry, CheckSummary, DefragmentCursor, Device, DirCursor, DirEntry, Fault, FaultKind,
    File, FormatOptions, Kind, Metadata, MountOptions, OpenOptions, Timestamp, Usage, VolumeInfo,
};

use crate::codec::{CodecId, Codecs, PACKED};
use crate::ecc::Tier;
use crate::error::{Error, inner};
use crate::flash::{Flash, Geometry};
use crate::hash::HashId;
use crate::key::AUTHENTICATED;
use crate::log::{BlockState, Log, Signature, Terms};
use crate::page::ReadStatistics;
use crate::tree::{Demand, Tree};
use handles::OpenFiles;
use inode::{Inode, NamePlace, ROOT};

// What a build without a feature meets on a volume stays as it is, or is left to a build that has it.
const SHARING: bool = cfg!(feature = "sharing");
const ATTRIBUTES: bool = cfg!(feature = "attributes");
const REMOVE_TREE: bool = cfg!(feature = "remove-tree");
const INDEXES: bool = cfg!(feature = "indexes");

/// Bytes of a name, at most.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of a path, at most.
pub const PATH_BYTES_MAX: usize = 4096;
/// Components of a path, at most.
pub const DEPTH_MAX: u32 = 128;
/// Bytes of a file, at most.
pub const FILE_SIZE_MAX: u64 = 1 << 48;
/// Entries of a directory, at most.
pub const ENTRIES_MAX: u32 = (1 << 24) - 1;
/// Names of a file, at most.
pub const LINKS_MAX: u32 = 65_535;
/// Bytes of an attribute's name, at most.
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 255;
/// Bytes of an attribute's value, at most.
pub const ATTRIBUTE_BYTES_MAX: usize = 1 << 16;
/// How the names of attributes begin that are written by calls of their own.
pub const RESERVED_ATTRIBUTES: &str = "k7fs.";
/// How the names of attributes begin that are NT's named streams.
pub const STREAM_ATTRIBUTES: &str = "k7fs.nt.stream.";
/// Files open at once, at most.
pub const OPEN_FILES_MAX: usize = 8;

/// A mounted volume.
///
/// Operations on names and whole files are durable when they return; [`write_at`](Self::write_at) and
/// [`set_len`](Self::set_len) are durable with the next commit of anything, at the latest with [`sync`](Self::sync) or
/// [`close`](Self::close). After a power cut the volume shows the last commit, or the one that was in flight, whole.
#[derive(Debug)]
pub struct Volume<'b, F> {
    tree: Tree<'b, F>,
    open: OpenFiles,
    read_only: bool,
    clock: Option<fn() -> Timestamp>,
    /// What compresses and decompresses, where the mount was given it.
    codecs: Option<&'b mut Codecs<'b>>,
    /// What new content is compressed with.
    codec: CodecId,
    in_transaction: bool,
    /// The index that is worked on is one that stays as it is.
    is_snapshot: bool,
    /// An operation of the running transaction failed half way: only undoing everything is sound.
    broken: Option<inner::Error>,
    clean: bool,
    /// Memory and chip may differ: what counts is on the chip, and is read again where a change is undone.
    in_doubt: bool,
    /// Memory and chip differ, and the chip could not be read again.
    poisoned: bool,
    worn_out: bool,
}

/// Bytes of buffer that a volume with this geometry needs.
///
/// A page with more wrong bits than the small decoder in it mends is an error that says so
/// ([`Error::Uncorrectable`]); [`buffer_bytes_with`] tells the size that leads further. A larger buffer keeps more pages in
/// memory: see [`cache_bytes`].
pub const fn buffer_bytes(geometry: &Geometry) -> usize {
    crate::log::buffer_bytes(geometry, Tier::Small)
}

/// Bytes of buffer with room for a decoder of this tier: see [`ecc`](crate::ecc).
///
/// For [`Tier::Full`] the feature `full-decoder` must be on, or the room is not made use of.
pub const fn buffer_bytes_with(geometry: &Geometry, tier: Tier) -> usize {
    crate::log::buffer_bytes(geometry, tier)
}

/// Bytes to add to a buffer, of either size, for keeping so many more pages in memory: fewer are read again.
///
/// More than eight pages in all are kept in sets of eight, so that up to seven may find no room.
pub const fn cache_bytes(geometry: &Geometry, pages: usize) -> usize {
    pages * (geometry.raw_page_size() + crate::page::SLOT_BYTES)
}

impl<'b, F: Flash> Volume<'b, F> {
    /// Makes an empty volume; whatever was on the chip is gone.
    ///
    /// A cut during this leaves no volume, or the new one.
    ///
    /// # Errors
    /// `UnsupportedGeometry`, `VolumeTooSmall`, `BufferTooSmall`, `InvalidBlockSize`, `InvalidChunkSizes`, `WeakHash` for XXH3 without
    /// [`FormatOptions::force`], `MissingHash` where this build does not have it, or what the chip meets.
    pub fn format(flash: &mut F, buffer: &mut [u8], options: &FormatOptions) -> Result<(), Error> {
        let block = options.logical_block_size;
        if !block.is_power_of_two() || !(4096..=32 << 20).contains(&block) {
            return Err(Error::InvalidBlockSize { bytes: block });
        }
        if options.hash == HashId::Xxh3x64 && !options.force {
            return Err(Error::WeakHash);
        }
        if !options.hash.is_known() {
            return Err(Error::MissingHash);
        }
        if options.key.is_some() && !AUTHENTICATED {
            return Err(Error::InvalidOption);
        }
        if !PACKED && (options.verified || options.all_codecs || options.codec != CodecId::Store) {
            return Err(Error::InvalidOption);
        }
        if let DedupPolicy::Chunk(sizes) = options.dedup {
            sizes.check()?;
        }
        let geometry = flash.geometry();
        let mut signature = Signature::new(options.volume_id, geometry);
        signature.logical_block_log2 = block.trailing_zeros() as u8;
        signature.second_copies = options.second_copies;
        signature.hash = options.hash;
        signature.verified = options.verified;
        signature.dedup = options.dedup;
        signature.codec = options.codec;
        let all = if options.all_codecs { CodecId::ALL.iter().fold(0, |set, codec| set | codec.bit()) } else { 0 };
        signature.codecs |= options.codec.bit() | all;
        let mut blank = Volume::blank(flash, buffer, &MountOptions { key: options.key, ..MountOptions::default() });
        let volume = blank.as_mut().map_err(|error| *error)?;
        volume.tree.log.create(signature)?;
        if !volume.tree.is_large_enough() {
            return Err(Error::VolumeTooSmall { blocks_min: volume.tree.blocks_min() });
        }
        volume.tree.log.next_object = ROOT + 1;
        volume.put_inode(ROOT, &Inode::new(Kind::Directory, options.time, NamePlace::new(ROOT, 0)))?;
        volume.tree.commit()?;
        volume.tree.checkpoint()?;
        Ok(volume.tree.stop()?)
    }

    /// Finds the last committed state of a volume.
    ///
    /// The number of pages read is bounded, whatever the volume holds. After an unclean stop, a writable mount makes that state
    /// certain before it returns: what it shows never goes back.
    ///
    /// # Errors
    /// `NotAVolume`, `DamagedSignature`, `UnknownFeature`, `WrongGeometry`, `BufferTooSmall`, or damage that leaves no state to show.
    pub fn mount(flash: F, buffer: &'b mut [u8], options: MountOptions) -> Result<Self, Error> {
        // A volume is large: it is built, worked on and returned in one place instead of being copied.
        let mut volume = Self::blank(flash, buffer, &options);
        if let Ok(blank) = &mut volume
            && let Err(error) = blank.start(&options)
        {
            volume = Err(error);
        }
        volume
    }

    /// As [`Self::mount`], with what compressed content needs.
    ///
    /// New content is compressed with the codec that the volume was made for; see [`Self::set_codec`].
    ///
    /// # Errors
    /// Those of [`Self::mount`], `BufferTooSmall` where the codec's memory is shorter than a logical block.
    pub fn mount_with(
        flash: F, buffer: &'b mut [u8], options: MountOptions, codecs: &'b mut Codecs<'b>,
    ) -> Result<Self, Error> {
        let mut volume = Self::blank(flash, buffer, &options);
        if let Ok(blank) = &mut volume {
            codecs.cached = None;
            blank.codecs = Some(codecs);
            if let Err(error) = blank.start(&options) {
                volume = Err(error);
            }
        }
        volume
    }

    /// What new content is compressed with from now on, until the volume is mounted again. Without a codec lent to the mount
    /// it is stored as it is. Files with a [choice](Self::choose_codec) of their own keep to that.
    ///
    /// # Errors
    /// `InvalidOption` where the volume was made without this codec.
    pub fn set_codec(&mut self, codec: CodecId) -> Result<(), Error> {
        if self.tree.log.signature.codecs & codec.bit() == 0 {
            return Err(Error::InvalidOption);
        }
        self.codec = codec;
        Ok(())
    }

    #[inline(never)]
    fn start(&mut self, options: &MountOptions) -> Result<(), Error> {
        let terms = Terms { commit_min: options.commit_min, may_go_back: options.may_go_back };
        self.clean = self.tree.mount(!self.read_only, terms)?;
        self.enter_default_index()?;
        self.codec = self.tree.log.signature.codec;
        let needed = 1 << self.tree.log.signature.logical_block_log2;
        if let Some(given) = self.codecs.as_deref().map(Codecs::block_bytes).filter(|given| *given < needed) {
            return Err(Error::BufferTooSmall { needed, given });
        }
        if !self.read_only {
            match self.run_jobs_that_fit() {
                // What cannot be read stays where it is, like the rest of its object.
                Err(error) if error.is_damage() => {}
                result => result?,
            }
            // A device that never unmounts must not let the log's tail grow from start to start.
            match self.make_room(&Demand::default()) {
                Ok(()) | Err(inner::Error::NoSpace | inner::Error::Stuck | inner::Error::WornOut) => {}
                // A lost leaf keeps the rest from being merged, and from being written to before long; not from being read.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error.into()),
            }
            self.tree.begin_levelling();
        }
        Ok(())
    }

    /// A volume that knows nothing of the chip's content yet.
    #[inline(never)]
    fn blank(flash: F, buffer: &'b mut [u8], options: &MountOptions) -> Result<Self, Error> {
        let (pages, memory) = Log::parts(flash, buffer, options.key)?;
        Ok(Self {
            tree: Tree::over(pages, memory),
            open: OpenFiles::default(),
            read_only: options.read_only,
            clock: options.clock,
            codecs: None,
            codec: CodecId::Store,
            in_transaction: false,
            is_snapshot: false,
            broken: None,
            clean: false,
            in_doubt: false,
            poisoned: false,
            worn_out: false,
        })
    }

    /// Commits, leaves the record of a clean stop and gives the chip back.
    ///
    /// # Errors
    /// Those of committing. The volume is gone then as after a power cut: the last commit is safe.
    pub fn unmount(mut self) -> Result<F, Error> {
        if !self.read_only && !self.poisoned && !self.worn_out {
            self.tree.stop()?;
        }
        Ok(self.tree.log.pages.flash)
    }

    /// Gives the chip back as it is, like a power cut.
    pub fn abandon(self) -> F {
        self.tree.log.pages.flash
    }

    /// The chip. Writing to it behind the volume's back destroys the volume.
    pub fn flash_mut(&mut self) -> &mut F {
        &mut self.tree.log.pages.flash
    }

    /// Makes everything done so far durable.
    ///
    /// # Errors
    /// `Busy` within a transaction, `ReadOnly`, or what the chip meets.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.usable()?;
        if self.in_transaction {
            return Err(Error::Busy);
        }
        if self.read_only { Ok(()) } else { Ok(self.commit()?) }
    }

    /// Runs several operations as one: after a power cut all of them have happened, or none.
    ///
    /// Where `run` fails, everything it did is undone and its error returned. What was written before becomes
    /// durable first. Handles opened inside a transaction that is undone are stale.
    ///
    /// # Errors
    /// `Busy` inside another transaction, `NoSpace` where the whole does not fit, those of `run`.
    pub fn transaction<R>(&mut self, run: impl FnOnce(&mut Self) -> Result<R, Error>) -> Result<R, Error> {
        self.run_transaction(run)
    }

    /// As [`Self::transaction`], but part of a running one. `bytes` of content will be written.
    fn atomically<R>(
        &mut self, bytes: u64, run: impl FnOnce(&mut Self) -> Result<R, inner::Error>,
    ) -> Result<R, inner::Error> {
        if self.in_transaction {
            return run(self);
        }
        self.make_room_ahead(bytes)?;
        self.run_transaction(run)
    }

    /// Nothing can be cleaned once a transaction runs. Whether it all fits is seen piece by piece.
    #[inline(never)]
    fn make_room_ahead(&mut self, bytes: u64) -> Result<(), inner::Error> {
        self.writable()?;
        self.commit()?;
        match self.make_room(&Demand { bytes, ..Demand::default() }) {
            Err(inner::Error::NoSpace) => Ok(()),
            result => result,
        }
    }

    fn run_transaction<R, E: From<inner::Error>>(
        &mut self, run: impl FnOnce(&mut Self) -> Result<R, E>,
    ) -> Result<R, E> {
        let next_object = self.begin_transaction()?;
        let result = run(self);
        self.end_transaction(next_object, result.is_ok())?;
        result
    }

    /// Starts a transaction and tells the object number to go back to where it fails.
    #[inline(never)]
    fn begin_transaction(&mut self) -> Result<u64, inner::Error> {
        self.writable()?;
        if self.in_transaction {
            return Err(inner::Error::Busy);
        }
        self.commit()?;
        self.make_room(&Demand::default())?;
        self.in_transaction = true;
        self.broken = None;
        Ok(self.tree.log.next_object)
    }

    /// Commits a transaction that has gone well, and undoes any other.
    #[inline(never)]
    fn end_transaction(&mut self, next_object: u64, went_well: bool) -> Result<(), inner::Error> {
        self.in_transaction = false;
        let result = match self.broken.take() {
            // Even where the caller has swallowed it, such an error cannot be committed over.
            Some(error) => Err(error),
            None if went_well => self.commit(),
            None => Ok(()),
        };
        if went_well && result.is_ok() {
            return self.run_jobs();
        }
        if !self.poisoned {
            self.undo()?;
            self.tree.log.next_object = self.tree.log.next_object.max(next_object);
        }
        result
    }

    /// How full the volume is, and what was seen since the mount.
    ///
    /// # Errors
    /// `NeedsRemount`.
    pub fn usage(&mut self) -> Result<Usage, Error> {
        self.usable()?;
        let alloc = &self.tree.log.alloc;
        let (capacity, used) = (self.tree.capacity_bytes(), self.tree.used_bytes());
        let statistics = self.tree.log.pages.statistics;
        Ok(Usage {
            capacity_bytes: capacity,
            free_bytes: capacity.saturating_sub(used),
            bad_blocks: alloc.count(BlockState::Bad) + alloc.count(BlockState::Failing),
            free_blocks: alloc.count(BlockState::Free),
            corrected_bits: statistics.corrected_bits,
            retried_reads: statistics.retried_reads.into(),
            unsettled: self.read_only && !self.clean,
            clean: self.clean,
        })
    }

    /// What reads have seen since the mount: by which decoder pages were mended, and which came closest to being lost.
    pub fn read_statistics(&self) -> ReadStatistics {
        self.tree.log.pages.statistics
    }

    /// The number of the last commit: it rises by one with each. See [`MountOptions::commit_min`].
    pub fn last_commit(&self) -> u64 {
        self.tree.log.transaction()
    }

    /// What the volume was made for.
    pub fn info(&self) -> VolumeInfo {
        let mut info = VolumeInfo::of(&self.tree.log.signature);
        info.geometry.block_count = self.tree.log.pages.space.block_count;
        info
    }

    fn now(&self) -> Timestamp {
        self.clock.map_or(Timestamp::default(), |clock| clock())
    }

    fn usable(&self) -> Result<(), inner::Error> {
        if self.poisoned { Err(inner::Error::NeedsRemount) } else { Ok(()) }
    }

    /// Whether the files of the index that is worked on may be changed.
    fn writable(&self) -> Result<(), inner::Error> {
        if self.is_snapshot { Err(inner::Error::ReadOnly) } else { self.writable_volume() }
    }

    /// Whether anything may be changed.
    fn writable_volume(&self) -> Result<(), inner::Error> {
        self.usable()?;
        if self.read_only {
            return Err(inner::Error::ReadOnly);
        }
        if self.worn_out { Err(inner::Error::WornOut) } else { Ok(()) }
    }

    /// Runs changes of the tree. Where they fail half way, everything since the last commit is undone: that is
    /// the only state known to be sound.
    fn change<R>(&mut self, run: impl FnOnce(&mut Self) -> Result<R, inner::Error>) -> Result<R, inner::Error> {
        run(self).map_err(|error| self.give_up_change(error))
    }

    /// Undoes a change that failed, and tells what its caller hears of.
    #[cold]
    #[inline(never)]
    fn give_up_change(&mut self, error: inner::Error) -> inner::Error {
        self.note(error);
        if self.in_transaction {
            self.broken.get_or_insert(error);
            return error;
        }
        let undone = if self.poisoned { Ok(()) } else { self.undo() };
        undone.err().unwrap_or(error)
    }

    /// Goes back to the last commit.
    fn undo(&mut self) -> Result<(), inner::Error> {
        self.forget_decoded();
        let in_doubt = core::mem::take(&mut self.in_doubt);
        let rolled_back = if in_doubt { Err(inner::Error::Stuck) } else { self.tree.roll_back() };
        let result = match rolled_back {
            Err(inner::Error::Flash(error)) => Err(inner::Error::Flash(error)),
            Err(_) => self.read_again(),
            Ok(()) => Ok(()),
        };
        self.poisoned |= result.is_err();
        result
    }

    /// Reads the last commit from the chip, where it is not sure to be in memory. A chip that does not take what a start writes is
    /// only read from then on.
    fn read_again(&mut self) -> Result<(), inner::Error> {
        if !self.worn_out {
            match self.tree.remount(true) {
                Ok(()) => return Ok(()),
                Err(error @ inner::Error::Flash(_)) => return Err(error),
                Err(_) => self.worn_out = true,
            }
        }
        self.tree.remount(false)
    }

    /// Makes room in the tree. A lack of it changes nothing; any other failure may come in the middle of something.
    fn make_room(&mut self, demand: &Demand) -> Result<(), inner::Error> {
        match self.tree.make_room(demand, self.in_transaction) {
            Err(error) if error != inner::Error::NoSpace => {
                self.in_doubt = true;
                Err(self.give_up_change(error))
            }
            result => result,
        }
    }

    /// Remembers what an error means for everything that follows.
    fn note(&mut self, error: inner::Error) {
        match error {
            inner::Error::WornOut => (self.worn_out, self.in_doubt) = (true, true),
            inner::Error::Stuck => self.in_doubt = true,
            inner::Error::NeedsRemount | inner::Error::Flash(_) => self.poisoned = true,
            _ => {}
        }
    }

    fn commit(&mut self) -> Result<(), inner::Error> {
        self.tree.commit().map_err(|error| {
            // A commit that failed may or may not be on the chip.
            self.in_doubt = true;
            self.give_up_change(error)
        })
    }

    fn commit_unless_running(&mut self) -> Result<(), inner::Error> {
        if self.in_transaction { Ok(()) } else { self.commit() }
    }
}
