//! The exhaustive cut ladder.
//!
//! A workload runs once and records a fork of the chip at every program and erase. Each fork is cut in every way that
//! [`CutKind::LADDER`] knows, and each crashed chip must mount, show a state that the oracle allows, show the same when
//! read again, take a write, and show the same after one more mount. The mount's own programs and those of the write
//! are forked and cut in turn (double cuts), and a sample of those once more.
//!
//! States are counted by the hash of the chip's content and weak bits at the mount, and by nothing else.

use std::collections::HashSet;

use k7fs_core::{Error, MountOptions, Volume};
use k7fs_sim::chip::{Chip, CutKind, Fork, SimFlash};
use k7fs_sim::codec::HostCodecs;
use k7fs_sim::model::{Extra, Finished, Operation, Oracle, Session, Tree, TreeEntry, Violation};

use crate::geometry::{LOGICAL_BLOCK_MAX, buffer_for, mount_options};
use crate::seed::mix;
use crate::sequence::{check, look};

/// The file that shows that a volume still takes writes after a cut.
const PROBE_PATH: &str = "/probe";
const PROBE_BYTES: &[u8] = b"written after the cut";

/// What is done before the cuts begin, and what is cut.
#[derive(Clone, Debug)]
pub struct Workload {
    /// For messages.
    pub name: String,
    /// Runs undisturbed.
    pub setup: Vec<Operation>,
    /// Every program and erase of these is cut.
    pub measured: Vec<Operation>,
    /// Whether the final unmount is cut as well.
    pub unmount: bool,
}

/// How many of the cuts within recovery are followed: one in so many, 0 for none.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Of the cuts during the mount after a cut, and the first write after that.
    pub double_every: u64,
    /// Of the same after those.
    pub triple_every: u64,
    /// Chooses which.
    pub seed: u64,
}

/// What a campaign went through.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Crashed chips mounted.
    pub visited: u64,
    /// Of these, ones with two or more cuts.
    pub repeated_cuts: u64,
    /// Different chips among them.
    pub distinct: HashSet<u64>,
    /// Programs and erases of the workloads.
    pub operations: u64,
}

impl Tally {
    /// Adds what another campaign on other chips went through.
    pub fn merge(&mut self, other: Tally) {
        self.visited += other.visited;
        self.repeated_cuts += other.repeated_cuts;
        self.operations += other.operations;
        self.distinct.extend(other.distinct);
    }
}

/// One campaign on one chip.
#[derive(Debug)]
pub struct Ladder {
    layout: SimFlash,
    options: MountOptions,
    buffer: Vec<u8>,
    plan: Plan,
    tally: Tally,
    /// Chips already examined against the same expectation.
    seen: HashSet<(u64, u64)>,
}

/// What a crashed chip may show.
#[derive(Clone, Copy)]
struct Expected<'t> {
    trees: &'t [Tree],
    /// Names the expectation, so that equal chips are examined once for each.
    epoch: u64,
    /// Cuts so far.
    depth: u32,
}

impl Ladder {
    /// A campaign on chips with this layout.
    pub fn new(layout: &SimFlash, plan: Plan) -> Self {
        Self {
            layout: layout.clone(),
            options: mount_options(layout),
            buffer: buffer_for(layout),
            plan,
            tally: Tally::default(),
            seen: HashSet::new(),
        }
    }

    /// What the campaign went through.
    pub fn into_tally(self) -> Tally {
        self.tally
    }

    /// Cuts a workload at every place. `formatted` holds an empty volume.
    ///
    /// # Errors
    /// The first broken promise, with the way to it.
    pub fn climb(&mut self, formatted: &SimFlash, workload: &Workload) -> Result<(), Violation> {
        self.climb_from(formatted, workload).map_err(|violation| {
            let blocks = k7fs_core::flash::Flash::geometry(formatted);
            Violation::new(format!("workload {} on {blocks:?}: {violation}", workload.name))
        })
    }

    fn climb_from(&mut self, formatted: &SimFlash, workload: &Workload) -> Result<(), Violation> {
        let mut flash = formatted.clone();
        let mut buffer = buffer_for(&flash);
        let mut oracle = Oracle::new();
        let mut session = Session::new();
        let mut codecs = HostCodecs::new(LOGICAL_BLOCK_MAX);
        let mut codecs = codecs.lend();
        let mounted = Volume::mount_with(&mut flash, &mut buffer, self.options, &mut codecs);
        let mut volume = mounted.map_err(failed("mount"))?;
        self.seen.clear();
        for operation in &workload.setup {
            step(&mut volume, &mut session, &mut oracle, operation)?;
        }
        for (index, operation) in workload.measured.iter().enumerate() {
            volume.flash_mut().chip_mut().record_forks();
            oracle.start(operation);
            let trees = oracle.candidates();
            let outcome = session.apply(&mut volume, operation);
            let forks = volume.flash_mut().chip_mut().take_forks();
            let expected = Expected { trees: &trees, epoch: index as u64, depth: 1 };
            self.cut_all(&forks, expected).map_err(|violation| within(operation, &violation))?;
            settle(&mut volume, &mut oracle, operation, &outcome)?;
        }
        if workload.unmount {
            let trees = oracle.candidates();
            volume.flash_mut().chip_mut().record_forks();
            volume.unmount().map_err(failed("unmount"))?;
            let expected = Expected { trees: &trees, epoch: workload.measured.len() as u64, depth: 1 };
            self.cut_all(&flash.chip_mut().take_forks(), expected)
                .map_err(|violation| Violation::new(format!("in unmount: {violation}")))?;
        }
        match flash.chip().counters().first_violation() {
            Some(text) => Err(Violation::new(format!("the chip's rules were broken: {text}"))),
            None => Ok(()),
        }
    }

    /// Cuts every fork in every way.
    fn cut_all(&mut self, forks: &[Fork], expected: Expected<'_>) -> Result<(), Violation> {
        self.tally.operations += forks.len() as u64;
        for (index, fork) in forks.iter().enumerate() {
            for kind in CutKind::LADDER {
                self.examine(fork.cut(kind), expected).map_err(|violation| {
                    let operation = describe(fork);
                    Violation::new(format!("cut {kind:?} of operation {index} ({operation}): {violation}"))
                })?;
            }
        }
        Ok(())
    }

    /// Cuts a sample of the forks that recovery made.
    fn cut_some(&mut self, forks: &[Fork], expected: Expected<'_>) -> Result<(), Violation> {
        let every = if expected.depth == 2 { self.plan.double_every } else { self.plan.triple_every };
        if every == 0 {
            return Ok(());
        }
        for (index, fork) in forks.iter().enumerate() {
            for (rung, kind) in CutKind::LADDER.into_iter().enumerate() {
                let place = fork.chip.state_hash() ^ (rung as u64) << 48 ^ index as u64;
                if !mix(self.plan.seed, place).is_multiple_of(every) {
                    continue;
                }
                self.tally.repeated_cuts += 1;
                self.examine(fork.cut(kind), expected).map_err(|violation| {
                    let operation = describe(fork);
                    Violation::new(format!("then cut {kind:?} of operation {index} ({operation}): {violation}"))
                })?;
            }
        }
        Ok(())
    }

    fn examine(&mut self, chip: Chip, expected: Expected<'_>) -> Result<(), Violation> {
        let hash = chip.state_hash();
        self.tally.visited += 1;
        self.tally.distinct.insert(hash);
        if !self.seen.insert((hash, expected.epoch)) {
            return Ok(());
        }
        let every = if expected.depth == 1 { self.plan.double_every } else { self.plan.triple_every };
        let forking = expected.depth < 3 && every > 0;
        let mut flash = self.layout.with_chip(chip);
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = recover(&mut flash, &mut buffer, self.options, expected.trees, forking);
        self.buffer = buffer;
        let recovered = result?;
        let deeper = Expected { depth: expected.depth + 1, ..expected };
        self.cut_some(&recovered.mount_forks, deeper)?;
        let epoch = mix(expected.epoch, 1 + recovered.index as u64);
        self.cut_some(&recovered.probe_forks, Expected { trees: &recovered.probed, epoch, depth: deeper.depth })
    }
}

/// What examining a crashed chip gave.
struct Recovered {
    /// Which of the allowed trees it showed.
    index: usize,
    mount_forks: Vec<Fork>,
    probe_forks: Vec<Fork>,
    /// What a cut during the probe may show.
    probed: Vec<Tree>,
}

/// Mounts a crashed chip, looks twice, writes, loses power or unmounts, and looks again.
fn recover(
    flash: &mut SimFlash, buffer: &mut [u8], options: MountOptions, trees: &[Tree], forking: bool,
) -> Result<Recovered, Violation> {
    let flash_hash = flash.chip().state_hash();
    let clean = flash_hash.is_multiple_of(4);
    if flash_hash.is_multiple_of(3) {
        look_only(flash, buffer, options, trees)?;
    }
    if forking {
        flash.chip_mut().record_forks();
    }
    let mut codecs = HostCodecs::new(LOGICAL_BLOCK_MAX);
    let mut lent = codecs.lend();
    let mounted = Volume::mount_with(&mut *flash, &mut *buffer, options, &mut lent);
    let mut volume = mounted.map_err(failed("mount"))?;
    let mount_forks = volume.flash_mut().chip_mut().take_forks();
    let shown = look(&mut volume)?;
    let Some(index) = trees.iter().position(|tree| *tree == shown) else {
        return Err(Violation::new(unexpected(trees, &shown)));
    };
    check(&mut volume)?;
    expect(&shown, &look(&mut volume)?, "read again")?;
    if forking {
        volume.flash_mut().chip_mut().record_forks();
    }
    let written = match volume.write(PROBE_PATH, PROBE_BYTES) {
        Ok(()) => true,
        // The default index may be a snapshot.
        Err(Error::NoSpace | Error::ReadOnly) => false,
        Err(error) => return Err(failed("write after the cut")(error)),
    };
    let probe_forks = volume.flash_mut().chip_mut().take_forks();
    let mut after = shown.clone();
    if written {
        add_probe(&mut after);
    }
    if clean {
        volume.unmount().map_err(failed("unmount after the cut"))?;
    } else {
        let _ = volume.abandon();
    }
    let mut lent = codecs.lend();
    let mut volume =
        Volume::mount_with(&mut *flash, &mut *buffer, options, &mut lent).map_err(failed("second mount"))?;
    expect(&after, &look(&mut volume)?, "mounted again")?;
    let _ = volume.abandon();
    match flash.chip().counters().first_violation() {
        Some(text) => Err(Violation::new(format!("the chip's rules were broken: {text}"))),
        None => Ok(Recovered { index, mount_forks, probe_forks, probed: vec![shown, after] }),
    }
}

/// A mount for reading shows an allowed state and leaves the chip as it is.
fn look_only(flash: &mut SimFlash, buffer: &mut [u8], options: MountOptions, trees: &[Tree]) -> Result<(), Violation> {
    let before = flash.chip().state_hash();
    let options = MountOptions { read_only: true, ..options };
    let mut codecs = HostCodecs::new(LOGICAL_BLOCK_MAX);
    let mut codecs = codecs.lend();
    let mounted = Volume::mount_with(&mut *flash, &mut *buffer, options, &mut codecs);
    let mut volume = mounted.map_err(failed("read-only mount"))?;
    // It cannot settle what is in doubt: a torn page may read good at the mount and then not. That is an error, never
    // wrong data, and the volume says that it is unsettled.
    let unsettled = volume.usage().is_ok_and(|usage| usage.unsettled);
    let shown = match look(&mut volume) {
        Err(_) if unsettled => return Ok(()),
        shown => shown?,
    };
    let _ = volume.abandon();
    // Nor does it go on with removing a tree, whose names still count for files that have others.
    let is_allowed = trees.contains(&shown) || unsettled && trees.contains(&shown.clone().with_names_for_links());
    if !is_allowed {
        return Err(Violation::new(format!("a read-only mount {}", unexpected(trees, &shown))));
    }
    if flash.chip().state_hash() != before {
        return Err(Violation::new("a read-only mount has written"));
    }
    Ok(())
}

fn add_probe(tree: &mut Tree) {
    let entry = TreeEntry {
        kind: k7fs_core::Kind::File,
        content: PROBE_BYTES.to_vec().into(),
        links: 1,
        first_name: PROBE_PATH.to_owned(),
        extra: Extra::of_new(k7fs_core::Kind::File),
    };
    tree.entries.insert(PROBE_PATH.to_owned(), entry);
}

fn step(
    volume: &mut Volume<'_, &mut SimFlash>, session: &mut Session, oracle: &mut Oracle, operation: &Operation,
) -> Result<(), Violation> {
    oracle.start(operation);
    let outcome = session.apply(volume, operation);
    settle(volume, oracle, operation, &outcome)
}

fn settle(
    volume: &mut Volume<'_, &mut SimFlash>, oracle: &mut Oracle, operation: &Operation,
    outcome: &k7fs_sim::model::Outcome,
) -> Result<(), Violation> {
    match oracle.finish(operation, outcome)? {
        Finished::Partial => oracle.resume(&look(volume)?),
        Finished::Matched | Finished::Refused => Ok(()),
    }
}

fn expect(expected: &Tree, shown: &Tree, when: &str) -> Result<(), Violation> {
    match expected.difference(shown) {
        None => Ok(()),
        Some(difference) => Err(Violation::new(format!("{when}: {difference}"))),
    }
}

fn unexpected(trees: &[Tree], shown: &Tree) -> String {
    let differences = [trees.first(), trees.last()].map(|tree| tree.and_then(|tree| tree.difference(shown)));
    format!("shows none of {} allowed states (oldest, newest): {differences:?}", trees.len())
}

fn describe(fork: &Fork) -> String {
    match &fork.operation {
        k7fs_sim::chip::Operation::Program { page, column, bytes } => {
            format!("program of {} bytes at chip page {page}+{column}", bytes.len())
        }
        k7fs_sim::chip::Operation::Erase { block, count } => format!("erase of chip blocks {block}+{count}"),
        k7fs_sim::chip::Operation::Mark { block } => format!("mark of chip block {block}"),
    }
}

fn within(operation: &Operation, violation: &Violation) -> Violation {
    Violation::new(format!("in {operation:?}: {violation}"))
}

fn failed(what: &'static str) -> impl Fn(Error) -> Violation {
    move |error| Violation::new(format!("{what}: {error} ({error:?})"))
}
