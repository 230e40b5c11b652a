//! A chip that says what its time was spent on.
//!
//! Looks at the sealed pages that pass by: the first byte tells the stream, and the payload of a log page is a row of
//! items, of which each tells its type and length (see FORMAT.md). So every programmed byte and every read has an owner
//! without any help from the core.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Sub};

use k7fs_core::flash::{Flash, FlashError, Geometry};
use serde::Serialize;

use super::subject::{PAGE_HEADER_BYTES, page_bytes};
use crate::chip::{Counters, SimFlash};

const COMMIT_FLAG: u8 = 0x80;
/// The kind itself: above it are marks.
const KIND_MASK: u8 = 0x1F;

/// What a page is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageUse {
    Erased,
    /// The log's page with a commit on it.
    Commit,
    /// Another page of the log.
    Log,
    Moved,
    Checkpoint,
    /// Signature and pointers to the checkpoint blocks.
    Fixed,
    /// Not a use: a read that proves a program.
    Verify,
}

const PAGE_USES: [&str; 7] = ["erased", "commit", "log", "moved", "checkpoint", "fixed", "verify"];

/// What bytes of the log and of moved pages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByteUse {
    /// Page and block headers, checksum, parity.
    Page,
    /// Headers of items.
    Header,
    Value,
    /// References and deletions: keys without content.
    Key,
    Moved,
    Node,
    Commit,
    Allocation,
    /// Anything in checkpoint and fixed blocks.
    Anchor,
    Padding,
}

const BYTE_USES: [&str; 10] =
    ["page", "item_header", "value", "key", "moved", "node", "commit", "allocation", "anchor", "padding"];

/// What a chip did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Time the chip was busy.
    pub time_ns: u64,
    /// Of that, reading.
    pub read_ns: u64,
    /// Of that, programming.
    pub program_ns: u64,
    /// Of that, erasing.
    pub erase_ns: u64,
    /// Read calls.
    pub reads: u64,
    /// Pages read; several reads of one page in a row count once.
    pub pages_read: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Pages programmed.
    pub programs: u64,
    /// Bytes programmed, spare included.
    pub bytes_programmed: u64,
    /// Blocks erased.
    pub erases: u64,
    programs_by: [u64; PAGE_USES.len()],
    read_ns_by: [u64; PAGE_USES.len()],
    bytes_by: [u64; BYTE_USES.len()],
}

impl Work {
    /// Pages programmed, by what they are used for.
    pub fn programs_by_use(&self) -> BTreeMap<&'static str, u64> {
        named(&PAGE_USES, &self.programs_by)
    }

    /// Time spent reading, in nanoseconds, by what the pages are used for.
    pub fn read_ns_by_use(&self) -> BTreeMap<&'static str, u64> {
        named(&PAGE_USES, &self.read_ns_by)
    }

    /// Bytes programmed, by what they are.
    pub fn bytes_by_use(&self) -> BTreeMap<&'static str, u64> {
        named(&BYTE_USES, &self.bytes_by)
    }
}

fn named(names: &[&'static str], values: &[u64]) -> BTreeMap<&'static str, u64> {
    names.iter().copied().zip(values.iter().copied()).filter(|(_, value)| *value > 0).collect()
}

fn each<const N: usize>(a: [u64; N], b: [u64; N], apply: impl Fn(u64, u64) -> u64) -> [u64; N] {
    std::array::from_fn(|i| apply(a[i], b[i]))
}

impl Work {
    fn zip(self, other: Self, apply: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            time_ns: apply(self.time_ns, other.time_ns),
            read_ns: apply(self.read_ns, other.read_ns),
            program_ns: apply(self.program_ns, other.program_ns),
            erase_ns: apply(self.erase_ns, other.erase_ns),
            reads: apply(self.reads, other.reads),
            pages_read: apply(self.pages_read, other.pages_read),
            bytes_read: apply(self.bytes_read, other.bytes_read),
            programs: apply(self.programs, other.programs),
            bytes_programmed: apply(self.bytes_programmed, other.bytes_programmed),
            erases: apply(self.erases, other.erases),
            programs_by: each(self.programs_by, other.programs_by, &apply),
            read_ns_by: each(self.read_ns_by, other.read_ns_by, &apply),
            bytes_by: each(self.bytes_by, other.bytes_by, &apply),
        }
    }
}

impl Sub for Work {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        self.zip(before, |a, b| a - b)
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        *self = self.zip(other, |a, b| a + b);
    }
}

/// The same as [`Work`], short: what one operation needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Effort {
    /// Pages read.
    pub pages_read: u64,
    /// Pages programmed.
    pub programs: u64,
    /// Blocks erased.
    pub erases: u64,
}

impl From<Work> for Effort {
    fn from(work: Work) -> Self {
        Self { pages_read: work.pages_read, programs: work.programs, erases: work.erases }
    }
}

/// A simulated chip under observation.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    flash: SimFlash,
    uses: Vec<PageUse>,
    /// What a body that runs on from page to page is, and how much of it is left: for the log and for moved pages.
    running: [(ByteUse, usize); 2],
    last_read: Option<u32>,
    /// A page just programmed, and how much of it was read back.
    proving: Option<(u32, usize)>,
    work: Work,
}

impl Probe {
    pub(super) fn new(flash: SimFlash) -> Self {
        let geometry = flash.geometry();
        let pages = geometry.pages_per_block as usize * geometry.block_count as usize;
        Self {
            flash,
            uses: vec![PageUse::Erased; pages],
            running: [(ByteUse::Padding, 0); 2],
            last_read: None,
            proving: None,
            work: Work::default(),
        }
    }

    pub(super) const fn flash(&self) -> &SimFlash {
        &self.flash
    }

    /// What was done since the chip came under observation.
    pub(super) const fn work(&self) -> Work {
        self.work
    }

    fn counters(&self) -> &Counters {
        self.flash.chip().counters()
    }

    /// Takes over what the chip's counters say of an operation; returns its time.
    fn observe(&mut self, time_before: u64, bytes_before: (u64, u64), erases_before: u64) -> u64 {
        let counters = self.flash.chip().counters();
        let time = counters.device_time_ns - time_before;
        let bytes_read = counters.bytes_read - bytes_before.0;
        let bytes_programmed = counters.bytes_programmed - bytes_before.1;
        let erases = counters.erases - erases_before;
        self.work.time_ns += time;
        self.work.bytes_read += bytes_read;
        self.work.bytes_programmed += bytes_programmed;
        self.work.erases += erases;
        time
    }

    fn before(&self) -> (u64, (u64, u64), u64) {
        let counters = self.counters();
        (counters.device_time_ns, (counters.bytes_read, counters.bytes_programmed), counters.erases)
    }

    fn use_of(&self, page: u32) -> PageUse {
        self.uses.get(page as usize).copied().unwrap_or(PageUse::Erased)
    }

    /// Finds out what a page is that is about to be programmed.
    fn classify(&mut self, raw: &[u8]) -> PageUse {
        let kind = raw.first().copied().unwrap_or(0);
        match kind & KIND_MASK {
            1 | 2 => {
                let moved = kind & KIND_MASK == 2;
                self.attribute(raw, usize::from(moved));
                match kind {
                    _ if moved => PageUse::Moved,
                    _ if kind & COMMIT_FLAG != 0 => PageUse::Commit,
                    _ => PageUse::Log,
                }
            }
            other => {
                self.count(ByteUse::Anchor, raw.len());
                if other == 4 { PageUse::Checkpoint } else { PageUse::Fixed }
            }
        }
    }

    fn count(&mut self, of: ByteUse, bytes: usize) {
        self.work.bytes_by[of as usize] += bytes as u64;
    }

    /// Goes through the items of a log page.
    fn attribute(&mut self, raw: &[u8], stream: usize) {
        let (_, payload_bytes) = page_bytes(self.flash.chip().spec());
        let payload = raw.get(PAGE_HEADER_BYTES..PAGE_HEADER_BYTES + payload_bytes).unwrap_or_default();
        self.count(ByteUse::Page, raw.len() - payload.len());
        let (running, left) = self.running[stream];
        let mut at = left.min(payload.len());
        self.count(running, at);
        self.running[stream] = (running, left - at);
        while at < payload.len() {
            let Some((body_use, header, body)) = item(&payload[at..]) else {
                self.count(ByteUse::Padding, payload.len() - at);
                return;
            };
            self.count(ByteUse::Header, header);
            at += header;
            let here = body.min(payload.len() - at);
            self.count(body_use, here);
            at += here;
            self.running[stream] = (body_use, body - here);
        }
    }
}

/// Type, header length and body length of the item at the start of some bytes; none at the end of a page's items.
fn item(bytes: &[u8]) -> Option<(ByteUse, usize, usize)> {
    let code = *bytes.first()?;
    let body_use = match code {
        0x01 => ByteUse::Value,
        0x02 | 0x03 => ByteUse::Key,
        0x04 => ByteUse::Moved,
        0x05 => ByteUse::Node,
        0x40 => ByteUse::Page,
        0x41 => ByteUse::Commit,
        0x44 => ByteUse::Allocation,
        _ => return None,
    };
    let mut at = 1;
    if code & 0x40 == 0 {
        at += 1;
        for _ in 0..3 {
            at += uleb(bytes.get(at..)?)?.1;
        }
    }
    let (body, size) = uleb(bytes.get(at..)?)?;
    Some((body_use, at + size, body as usize))
}

fn uleb(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

impl Flash for Probe {
    fn geometry(&self) -> Geometry {
        self.flash.geometry()
    }

    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError> {
        let (time, counts, erases) = self.before();
        let result = self.flash.read(page, column, bytes);
        let time = self.observe(time, counts, erases);
        let raw = self.flash.geometry().raw_page_size();
        let proves = self.proving.filter(|(proven, read)| *proven == page && *read == column && column < raw);
        self.proving = proves.map(|(page, read)| (page, read + bytes.len()));
        let page_use = if proves.is_some() { PageUse::Verify } else { self.use_of(page) };
        self.work.reads += 1;
        self.work.read_ns += time;
        self.work.read_ns_by[page_use as usize] += time;
        self.work.pages_read += u64::from(self.last_read != Some(page));
        self.last_read = Some(page);
        result
    }

    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let page_use = self.classify(bytes);
        let (time, counts, erases) = self.before();
        let result = self.flash.program(page, bytes);
        self.work.program_ns += self.observe(time, counts, erases);
        self.work.programs += 1;
        self.work.programs_by[page_use as usize] += 1;
        if let Some(place) = self.uses.get_mut(page as usize) {
            *place = page_use;
        }
        self.last_read = None;
        self.proving = self.flash.verifies_by_reading().then_some((page, 0));
        result
    }

    fn erase(&mut self, block: u32) -> Result<(), FlashError> {
        let (time, counts, erases) = self.before();
        let result = self.flash.erase(block);
        self.work.erase_ns += self.observe(time, counts, erases);
        let pages = self.flash.geometry().pages_per_block as usize;
        let first = block as usize * pages;
        if let Some(uses) = self.uses.get_mut(first..first + pages) {
            uses.fill(PageUse::Erased);
        }
        self.last_read = None;
        self.proving = None;
        result
    }

    fn is_bad(&mut self, block: u32) -> Result<bool, FlashError> {
        let (time, counts, erases) = self.before();
        let result = self.flash.is_bad(block);
        self.work.read_ns += self.observe(time, counts, erases);
        self.work.reads += 1;
        self.work.pages_read += 1;
        self.last_read = None;
        result
    }

    fn mark_bad(&mut self, block: u32) -> Result<(), FlashError> {
        let (time, counts, erases) = self.before();
        let result = self.flash.mark_bad(block);
        self.work.program_ns += self.observe(time, counts, erases);
        result
    }

    fn verifies_by_reading(&self) -> bool {
        self.flash.verifies_by_reading()
    }

    fn read_weak(&mut self, page: u32, weak: &mut [u8]) -> Result<bool, FlashError> {
        let (time, counts, erases) = self.before();
        let result = self.flash.read_weak(page, weak);
        self.work.read_ns += self.observe(time, counts, erases);
        self.last_read = None;
        result
    }
}
