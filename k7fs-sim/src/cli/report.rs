//! What `info` and `fsck` tell, for people and as JSON. The keys are part of the command's contract.

use std::path::Path;

use k7fs_core::flash::Flash;
use k7fs_core::{Fault, FaultKind, Health, Usage};
use k7fs_sim::host::{OpenImage, volume_bytes};
use serde::Serialize;

use super::image::Checked;

/// What `info` tells.
#[derive(Debug, Serialize)]
pub(super) struct InfoReport {
    image: String,
    image_bytes: u64,
    volume_id: Option<String>,
    feature_level: Option<u64>,
    hash: Option<String>,
    logical_block_size: Option<u64>,
    second_copies: Option<bool>,
    authenticated: Option<bool>,
    last_commit: u64,
    page_size: u32,
    spare_size: u32,
    pages_per_block: u32,
    block_count: u32,
    volume_bytes: u64,
    capacity_bytes: u64,
    free_bytes: u64,
    bad_blocks: u32,
    free_blocks: u32,
    erase_count_min: u32,
    erase_count_mean: u32,
    erase_count_max: u32,
    spare_blocks: u32,
    clean: bool,
    unsettled: bool,
    corrected_bits: u64,
    retried_reads: u64,
}

impl InfoReport {
    pub(super) fn new(path: &Path, image: &OpenImage, usage: &Usage, health: &Health, last_commit: u64) -> Self {
        let geometry = image.flash().geometry();
        let info = image.info();
        Self {
            image: path.display().to_string(),
            image_bytes: image.flash().image().bytes(),
            volume_id: info.map(|info| hexadecimal(&info.volume_id)),
            feature_level: info.map(|info| info.feature_level),
            hash: info.map(|info| info.hash.name().to_uppercase()),
            logical_block_size: info.map(|info| u64::from(info.logical_block_size)),
            second_copies: info.map(|info| info.second_copies),
            authenticated: info.map(|info| info.authenticated),
            last_commit,
            page_size: geometry.page_size,
            spare_size: geometry.spare_size,
            pages_per_block: geometry.pages_per_block,
            block_count: geometry.block_count,
            volume_bytes: volume_bytes(&geometry),
            capacity_bytes: usage.capacity_bytes,
            free_bytes: usage.free_bytes,
            bad_blocks: usage.bad_blocks,
            free_blocks: usage.free_blocks,
            erase_count_min: health.erase_count_min,
            erase_count_mean: health.erase_count_mean,
            erase_count_max: health.erase_count_max,
            spare_blocks: health.spare_blocks,
            clean: usage.clean,
            unsettled: usage.unsettled,
            corrected_bits: usage.corrected_bits,
            retried_reads: usage.retried_reads,
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let unknown = || "unreadable".to_owned();
        let used = self.capacity_bytes.saturating_sub(self.free_bytes);
        let per_cent = used.saturating_mul(100).checked_div(self.capacity_bytes).unwrap_or(0);
        let stop = match (self.clean, self.unsettled) {
            (true, _) => "clean",
            (false, true) => "not clean: the last operation may still go back",
            (false, false) => "not clean",
        };
        vec![
            format!("volume         {}", self.volume_id.clone().unwrap_or_else(unknown)),
            format!(
                "shape          {} blocks of {} pages of {}+{} bytes, {} in all",
                self.block_count, self.pages_per_block, self.page_size, self.spare_size, self.volume_bytes
            ),
            format!("feature level  {}", self.feature_level.map_or_else(unknown, |level| level.to_string())),
            format!("hash           {}", self.hash.clone().unwrap_or_else(unknown)),
            format!(
                "authenticated  {}",
                self.authenticated.map_or_else(unknown, |is| if is { "yes" } else { "no" }.to_owned())
            ),
            format!("logical block  {}", self.logical_block_size.map_or_else(unknown, |size| format!("{size} bytes"))),
            format!(
                "capacity       {} bytes, {used} used ({per_cent} %), {} free",
                self.capacity_bytes, self.free_bytes
            ),
            format!(
                "blocks         {} bad, {} more may go bad, {} free",
                self.bad_blocks, self.spare_blocks, self.free_blocks
            ),
            format!(
                "erases         {} least, {} mean, {} most",
                self.erase_count_min, self.erase_count_mean, self.erase_count_max
            ),
            format!("last stop      {stop}, after commit {}", self.last_commit),
            format!("this mount     {} bits corrected, {} reads retried", self.corrected_bits, self.retried_reads),
        ]
    }
}

/// What `fsck` tells.
#[derive(Debug, Serialize)]
pub(super) struct CheckReport {
    image: String,
    clean: bool,
    faults: Vec<FaultReport>,
    objects: u64,
    nodes: u64,
    content_bytes: u64,
    unverified: u64,
    corrected_bits: u64,
    retried_reads: u64,
    unsettled: bool,
    root_hash: Option<String>,
}

#[derive(Debug, Serialize)]
struct FaultReport {
    kind: &'static str,
    index: u32,
    object: u64,
    page: u32,
}

impl CheckReport {
    pub(super) fn new(path: &Path, checked: &Checked) -> Self {
        let Checked { faults, summary, usage, root_hash } = checked;
        let report = |fault: &Fault| FaultReport {
            kind: name(fault.kind),
            index: fault.index,
            object: fault.object,
            page: fault.page,
        };
        Self {
            image: path.display().to_string(),
            clean: faults.is_empty() && summary.faults == 0,
            faults: faults.iter().map(report).collect(),
            objects: summary.objects,
            nodes: summary.nodes,
            content_bytes: summary.content_bytes,
            unverified: summary.unverified,
            corrected_bits: usage.corrected_bits,
            retried_reads: usage.retried_reads,
            unsettled: usage.unsettled,
            root_hash: root_hash.as_ref().map(|hash| hexadecimal(hash)),
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.clean
    }

    pub(super) fn fault_count(&self) -> u64 {
        self.faults.len() as u64
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let place = |fault: &FaultReport| match (fault.object, fault.page) {
            (0, 0) => String::new(),
            (0, page) => format!(", page {page}"),
            (object, 0) => format!(", object {object}"),
            (object, page) => format!(", object {object}, page {page}"),
        };
        let faults = self.faults.iter().map(|fault| format!("fault: {}{}", fault.kind, place(fault)));
        let verdict = if self.clean { "clean" } else { "damaged" };
        let summary = format!(
            "{verdict}: {} objects, {} nodes, {} bytes of content read, {} bits corrected",
            self.objects, self.nodes, self.content_bytes, self.corrected_bits
        );
        let root_hash = self.root_hash.iter().map(|hash| format!("root hash {hash}"));
        faults.chain(root_hash).chain([summary]).collect()
    }
}

/// The name of a fault in JSON and in the report.
fn name(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Uncorrectable => "uncorrectable",
        FaultKind::Corrupt => "corrupt",
        FaultKind::Forged => "forged",
        FaultKind::HashMismatch => "hash_mismatch",
        FaultKind::KeyOrder => "key_order",
        FaultKind::Extents => "extents",
        FaultKind::DanglingName => "dangling_name",
        FaultKind::Orphan => "orphan",
        FaultKind::WrongCount => "wrong_count",
        FaultKind::WrongPlace => "wrong_place",
        FaultKind::Attribute => "attribute",
        FaultKind::LiveCount => "live_count",
        _ => "other",
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
