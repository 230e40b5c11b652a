//! One run on one chip.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, FormatOptions, MountOptions, Volume, buffer_bytes};

use super::cuts::{self, Ahead};
use super::flash::CutFlash;
use super::report::Report;
use super::state::{Faults, State};
use super::tree::{NodeContent, ROOT, RealTree, TreeNode};
use super::verify::{look, look_at_all, observe_work};
use crate::chip::{Chip, ChipSpec, SimFlash};
use crate::host::{Content, store};
use crate::model::{Finished, Operation, Outcome, Session, Violation};

/// Of a hundred operations, how many are preceded by a clean unmount and mount.
const REMOUNT_PER_HUNDRED: u64 = 2;
/// Of a hundred operations while the tree is not stored, how many store a part of it.
const STORE_PER_HUNDRED: u64 = 60;
/// Operations from one block going bad to the next, about.
const BAD_INTERVAL: u64 = 400;
/// Mounts in a row that may fail because the power goes again. More would be a loop.
const FAILED_MOUNTS_MAX: u32 = 64;

/// What decides when a run ends. Asked before each operation; nothing else in a run knows the time.
pub trait Stop {
    /// Whether to end, after so many operations, cuts and grown bad blocks; the tree is stored.
    fn is_over(&mut self, operations: u64, report: &Report) -> bool;
    /// Whether to end although the tree is not stored yet.
    fn is_over_early(&mut self, operations: u64) -> bool;
    /// Hears of each operation.
    fn tick(&mut self, _operations: u64, _stored: usize, _nodes: usize) {}
}

/// How a mount ended.
enum Ended {
    /// The power went.
    Cut,
    /// Stopped, cleanly or not; mount again.
    Stopped,
    /// The run is over.
    Over,
}

/// Which look a mounted volume gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Verify, then stop and verify again.
    First,
    /// Verify again, then go on.
    Second,
    /// Verify everything for the last time.
    Last,
}

/// Tortures one chip: the same arguments give the same run, whatever the machine.
///
/// The tree must be the one that [`RealTree::for_chip`] gave.
pub fn torture(spec: &ChipSpec, seed: u64, tree: &RealTree, faults: Faults, stop: &mut dyn Stop) -> Report {
    let mut chip = Chip::new(spec, seed);
    let factory_bad_blocks = chip.marked_blocks().count() as u64;
    chip.faults_mut().bit_flip_rate = faults.flip_rate;
    let mut flash = CutFlash::new(SimFlash::new(chip));
    let mut state = State::new(spec, seed, tree, faults);
    let result = Runner { flash: &mut flash, state: &mut state, stop }.run();
    let mut violation_texts: Vec<String> = result.err().map(|violation| violation.what).into_iter().collect();
    let counters = flash.chip().counters();
    violation_texts.extend(counters.violation_texts.iter().map(|text| format!("chip rule broken: {text}")));
    Report {
        chip: spec.name.to_owned(),
        seed,
        power_cuts: counters.cuts,
        torn_programs: counters.torn_programs,
        torn_erases: counters.torn_erases,
        unstable_bits: counters.unstable_bits,
        bit_flips: counters.bits_flipped,
        bad_blocks: counters.grown_bad_blocks,
        violations: counters.violations + violation_texts.len() as u64 - counters.violation_texts.len() as u64,
        violation_texts,
        flip_rate: faults.flip_rate,
        factory_bad_blocks,
        device_time_ns: counters.device_time_ns,
        ..state.report()
    }
}

struct Runner<'r> {
    flash: &'r mut CutFlash,
    state: &'r mut State,
    stop: &'r mut dyn Stop,
}

impl Runner<'_> {
    fn run(self) -> Result<(), Violation> {
        let mut buffer = vec![0; buffer_bytes(&self.flash.geometry())];
        let mut volume_id = [0; 16];
        volume_id[..8].copy_from_slice(&self.state.random.next_u64().to_le_bytes());
        let options = FormatOptions { volume_id, ..FormatOptions::default() };
        Volume::format(self.flash, &mut buffer, &options).map_err(|error| failed("format", error))?;
        let mut next = Look::Second;
        let mut failed_mounts = 0;
        loop {
            let mounted = match Volume::mount(&mut *self.flash, &mut buffer, MountOptions::default()) {
                Ok(volume) => Ok(session(self.state, self.stop, volume, &mut next)?),
                Err(error) => Err(error),
            };
            failed_mounts = if mounted.is_ok() { 0 } else { failed_mounts + 1 };
            let ended = match mounted {
                Ok(ended) => ended,
                Err(_) if self.flash.chip().is_off() && failed_mounts < FAILED_MOUNTS_MAX => Ended::Cut,
                Err(error) => return Err(failed("mount", error)),
            };
            match ended {
                Ended::Over => return Ok(()),
                Ended::Stopped => {}
                Ended::Cut if !self.flash.chip().is_off() => {
                    return Err(Violation::new("unmount failed although the power was on"));
                }
                Ended::Cut => {
                    cuts::power_on(self.flash, &mut self.state.random);
                    self.state.crash_states += 1;
                    self.state.distinct.insert(self.flash.chip().state_hash());
                    if next != Look::Last {
                        next = Look::First;
                    }
                }
            }
        }
    }
}

/// Everything that happens in one mount.
fn session(
    state: &mut State, stop: &mut dyn Stop, mut volume: Volume<'_, &mut CutFlash>, next: &mut Look,
) -> Result<Ended, Violation> {
    state.seen = None;
    if *next == Look::Last {
        return last_look(state, volume);
    }
    let looked = look(state, &mut volume);
    if is_off(&mut volume) {
        return end_cut(state, volume);
    }
    looked?;
    if *next == Look::First {
        *next = Look::Second;
        return end(state, volume, None);
    }
    let mut session = Session::new();
    loop {
        if state.asked != Some(state.operations) && is_over(state, stop, &mut volume) {
            state.over = true;
            *next = Look::Last;
            volume.flash_mut().disarm();
            return end(state, volume, Some(true));
        }
        state.asked = Some(state.operations);
        if state.random.percent(REMOUNT_PER_HUNDRED) {
            return end(state, volume, Some(true));
        }
        // A cut takes what the volume has counted with it.
        state.seen = volume.usage().ok();
        state.operations += 1;
        stop.tick(state.operations, state.stored, state.nodes.len());
        grow_bad(state, volume.flash_mut());
        let storing = state.stored < state.nodes.len() && state.random.percent(STORE_PER_HUNDRED);
        let result = if storing { store_node(state, &mut volume) } else { operate(state, &mut session, &mut volume) };
        if is_off(&mut volume) {
            result.or_else(|violation| if storing { Ok(()) } else { Err(violation) })?;
            return end_cut(state, volume);
        }
        result?;
    }
}

fn is_over(state: &State, stop: &mut dyn Stop, volume: &mut Volume<'_, &mut CutFlash>) -> bool {
    if state.stored < state.nodes.len() {
        return stop.is_over_early(state.operations);
    }
    let counters = volume.flash_mut().chip().counters();
    let so_far = Report {
        power_cuts: counters.cuts,
        torn_programs: counters.torn_programs,
        torn_erases: counters.torn_erases,
        unstable_bits: counters.unstable_bits,
        bad_blocks: counters.grown_bad_blocks,
        ..Report::default()
    };
    stop.is_over(state.operations, &so_far)
}

/// Lets a block go bad at some operation from now, where it is time.
fn grow_bad(state: &mut State, flash: &mut CutFlash) {
    if state.bad_left > 0 && state.operations >= state.next_bad {
        state.bad_left -= 1;
        state.next_bad = state.operations + BAD_INTERVAL / 2 + state.random.below(BAD_INTERVAL);
        let operation = state.random.below(64);
        flash.chip_mut().faults_mut().grown_bad = Some(operation);
    }
}

/// Stores the next part of the tree in one transaction.
fn store_node(state: &mut State, volume: &mut Volume<'_, &mut CutFlash>) -> Result<(), Violation> {
    let node = state.nodes[state.stored].clone();
    let page_size = u64::from(volume.flash_mut().geometry().page_size);
    let programs = 4 + node.bytes() / page_size;
    state.plan_cut(volume.flash_mut(), Ahead::Store { programs });
    state.in_flight = true;
    put(volume, &node).map_err(|error| failed(&format!("storing {}", node.path), error))?;
    state.node_stored()
}

fn put(volume: &mut Volume<'_, &mut CutFlash>, node: &TreeNode) -> Result<(), Error> {
    let path = node.path.as_str();
    match &node.content {
        NodeContent::Directory => volume.create_dir(path),
        NodeContent::HardLink(first) => volume.hard_link(first, path),
        NodeContent::Symlink(target) => volume.transaction(|volume| {
            volume.symlink(target, path)?;
            volume.set_modified(path, node.modified)
        }),
        NodeContent::File(content) => {
            let mut source = content.as_slice();
            store(volume, path, Some(node.modified), false, &mut source, &mut |_| ()).map_err(|error| match error {
                Content::Volume(error) => error,
                // A slice in memory can always be read.
                Content::Source(_) => Error::InvalidOption,
            })
        }
    }
}

/// One random operation, compared with the model.
fn operate(state: &mut State, session: &mut Session, volume: &mut Volume<'_, &mut CutFlash>) -> Result<(), Violation> {
    let operation = beside_tree(state.generator.next_operation(state.oracle.model()));
    state.plan_cut(volume.flash_mut(), Ahead::Operation);
    state.oracle.start(&operation);
    let mut outcome = session.apply(volume, &operation);
    hide_tree(&operation, &mut outcome);
    // With the power away an error is the cut; an answer without one counts as given.
    if is_off(volume) && outcome.error().is_some() {
        return Ok(());
    }
    match state.oracle.finish(&operation, &outcome)? {
        Finished::Matched | Finished::Refused => Ok(()),
        Finished::Partial => {
            let shown = observe_work(volume)?;
            state.oracle.resume(&shown)
        }
    }
}

/// The tree is stored in the index that a volume begins with: what would leave that for another takes a snapshot instead.
fn beside_tree(operation: Operation) -> Operation {
    match operation {
        Operation::SelectIndex { name } | Operation::RollBack { to: name } | Operation::SetDefaultIndex { name } => {
            Operation::CreateSnapshot { name: format!("of {name}") }
        }
        operation => operation,
    }
}

/// The model does not know the directory of the tree.
fn hide_tree(operation: &Operation, outcome: &mut Outcome) {
    let at_root = matches!(operation, Operation::List { path } | Operation::ListRemoving { path } if path == "/");
    if let (true, Outcome::Names(names)) = (at_root, outcome) {
        names.retain(|(name, _)| name.as_str() != &ROOT[1..]);
    }
}

fn last_look(state: &mut State, mut volume: Volume<'_, &mut CutFlash>) -> Result<Ended, Violation> {
    state.verified_files = look_at_all(state, &mut volume)?;
    let mut faults = Vec::new();
    let checked = volume.check(|fault| faults.push(fault));
    checked.map_err(|error| failed("check", error))?;
    if let Some(fault) = faults.first() {
        return Err(Violation::new(format!("check found {} faults, the first {fault:?}", faults.len())));
    }
    end(state, volume, Some(true))?;
    Ok(Ended::Over)
}

/// Ends a mount, cleanly or by taking the power away between two operations; by chance where nothing is asked for.
fn end(state: &mut State, mut volume: Volume<'_, &mut CutFlash>, clean: Option<bool>) -> Result<Ended, Violation> {
    let clean = clean.unwrap_or_else(|| state.random.percent(50));
    let usage = volume.usage().map_err(|error| failed("usage", error))?;
    state.count_reads(&usage);
    if !clean {
        volume.abandon();
        return Ok(Ended::Stopped);
    }
    // The chip comes back only from a clean stop; after a cut within it, the caller's own reference shows it.
    match volume.unmount() {
        Ok(_) => state.everything_durable().map(|()| Ended::Stopped),
        Err(Error::Flash(_)) => Ok(Ended::Cut),
        Err(error) => Err(failed("unmount", error)),
    }
}

fn end_cut(state: &mut State, mut volume: Volume<'_, &mut CutFlash>) -> Result<Ended, Violation> {
    if let Some(usage) = volume.usage().ok().or(state.seen.take()) {
        state.count_reads(&usage);
    }
    volume.abandon();
    Ok(Ended::Cut)
}

fn is_off(volume: &mut Volume<'_, &mut CutFlash>) -> bool {
    volume.flash_mut().chip().is_off()
}

fn failed(what: &str, error: Error) -> Violation {
    Violation::new(format!("{what} failed: {error}"))
}
