//! Runs a sequence of operations, remounts and cuts on a simulated chip, and compares every answer with the model.

use k7fs_core::{CodecId, ContentCursor, Error, MountOptions, Recompressed, Volume};
use k7fs_sim::chip::{Cut, CutKind, SimFlash};
use k7fs_sim::codec::HostCodecs;
use k7fs_sim::model::{Finished, Generator, Model, Operation, Oracle, Random, Session, Space, Violation, observe};

use crate::geometry::{LOGICAL_BLOCK_MAX, buffer_for, mount_options};
use crate::seed::{mix, say};

/// Runs that shortening a failing sequence may take.
const SHRINK_RUNS_MAX: u32 = 4000;
/// An environment variable that prints every operation and its outcome, for use with one failing test.
const TRACE_VARIABLE: &str = "K7FS_TRACE";

/// Mounts that one step may need: a cut strikes once, so that the second one stands.
const MOUNTS_PER_CUT: u32 = 2;
/// Operations between two times that some content is packed anew, on volumes that compress.
const REPACK_EVERY: usize = 5;
/// Logical blocks of one time.
const REPACKED: usize = 4;
/// Operations between two comparisons of the whole tree.
const COMPARE_EVERY: usize = 8;

/// One step of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// An operation, [`Operation::Remount`] and [`Operation::Restart`] included.
    Do(Operation),
    /// The power goes at the n-th program or erase from here.
    Cut {
        /// Programs and erases that still succeed.
        after: u64,
        /// What the struck one leaves.
        kind: CutKind,
    },
}

/// Steps for a volume that starts empty: operations with stops and cuts between them. Cuts make the real state differ from the one
/// that the generator sees, which only makes the operations a little less sensible.
pub fn random_steps(seed: u64, space: Space, count: usize) -> Vec<Step> {
    let (mut generator, mut random, mut model) = (Generator::new(seed, space), Random::new(mix(seed, 1)), Model::new());
    let mut step = || match random.below(40) {
        0 => Step::Do(Operation::Remount),
        1 => Step::Do(Operation::Restart),
        2 => {
            let kinds = CutKind::LADDER;
            let kind = kinds[random.below(kinds.len() as u64) as usize];
            Step::Cut { after: random.below(60), kind }
        }
        _ => {
            let operation = generator.next_operation(&model);
            model.apply(&operation);
            Step::Do(operation)
        }
    };
    (0..count).map(|_| step()).collect()
}

/// What a sequence went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Operations answered.
    pub operations: u64,
    /// Operations refused because the volume was full.
    pub refused: u64,
    /// Cuts that struck.
    pub cuts: u64,
    /// Mounts.
    pub mounts: u64,
}

/// A chip with a volume, and what must be on it.
#[derive(Debug)]
pub struct Rig {
    flash: SimFlash,
    options: MountOptions,
    buffer: Vec<u8>,
    codecs: HostCodecs,
    oracle: Oracle,
    statistics: Statistics,
}

/// Why the volume was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// The steps are over.
    End,
    /// It was unmounted; a mount shows the same.
    Unmounted,
    /// The power went.
    Crashed,
}

impl Rig {
    /// Takes a freshly formatted chip.
    pub fn new(flash: SimFlash) -> Self {
        let codecs = HostCodecs::new(LOGICAL_BLOCK_MAX);
        Self {
            options: mount_options(&flash),
            buffer: buffer_for(&flash),
            flash,
            codecs,
            oracle: Oracle::new(),
            statistics: Statistics::default(),
        }
    }

    /// The chip.
    pub fn flash_mut(&mut self) -> &mut SimFlash {
        &mut self.flash
    }

    /// What must be on the volume.
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// Runs all steps, unmounts, and looks at everything once more.
    ///
    /// # Errors
    /// The first broken promise, with the number of the step.
    pub fn run(&mut self, steps: &[Step]) -> Result<Statistics, Violation> {
        let mut next = 0;
        let mut crashed = false;
        let mut crashes_in_a_row = 0;
        loop {
            let started_at = next;
            let left = self.mounted(steps, &mut next, crashed).map_err(|violation| at(next, steps, &violation))?;
            crashed = left == Left::Crashed;
            crashes_in_a_row = if crashed && next == started_at { crashes_in_a_row + 1 } else { 0 };
            if crashes_in_a_row > MOUNTS_PER_CUT {
                return Err(at(next, steps, &Violation::new("the volume does not come up after a cut")));
            }
            if left == Left::End {
                break;
            }
        }
        self.flash.chip_mut().faults_mut().cut = None;
        self.mounted(&[], &mut 0, false).map_err(|violation| at(next, steps, &violation))?;
        match self.flash.chip().counters().first_violation() {
            Some(text) => Err(Violation::new(format!("the chip's rules were broken: {text}"))),
            None => Ok(self.statistics),
        }
    }

    /// From a mount to the end of the mount.
    fn mounted(&mut self, steps: &[Step], next: &mut usize, crashed: bool) -> Result<Left, Violation> {
        self.statistics.mounts += 1;
        let mut codecs = self.codecs.lend();
        let mounted = Volume::mount_with(&mut self.flash, &mut self.buffer, self.options, &mut codecs);
        let mut volume = match mounted {
            Ok(volume) => volume,
            Err(error) => {
                if self.flash.chip().is_off() {
                    self.power_cycle();
                    return Ok(Left::Crashed);
                }
                return Err(Violation::new(format!("mount: {error}")));
            }
        };
        let oracle = &mut self.oracle;
        let shown = look(&mut volume)?;
        if crashed {
            oracle.settle(&shown)?;
        } else {
            oracle.compare(&shown)?;
        }
        let mut session = Session::new();
        while let Some(step) = steps.get(*next) {
            *next += 1;
            let operation = match step {
                Step::Cut { after, kind } => {
                    let chip = volume.flash_mut().chip_mut();
                    chip.faults_mut().cut = Some(Cut { operation: *after, kind: *kind });
                    continue;
                }
                Step::Do(operation) => operation,
            };
            oracle.start(operation);
            match operation {
                Operation::Restart => {
                    let _ = volume.abandon();
                    self.power_cycle();
                    return Ok(Left::Crashed);
                }
                Operation::Remount => {
                    let result = volume.unmount().map(|_| ());
                    return self.after_unmount(operation, result);
                }
                _ => {}
            }
            let outcome = session.apply(&mut volume, operation);
            if std::env::var_os(TRACE_VARIABLE).is_some() {
                say(&format!("{next}: {operation:?} -> {outcome:?}"));
            }
            if volume.flash_mut().chip().is_off() {
                if outcome.error().is_none() {
                    // It was acknowledged before the power went, by work that came after it.
                    oracle.finish(operation, &outcome)?;
                }
                let _ = volume.abandon();
                self.power_cycle();
                return Ok(Left::Crashed);
            }
            self.statistics.operations += 1;
            match oracle.finish(operation, &outcome)? {
                Finished::Matched => {}
                Finished::Refused => self.statistics.refused += 1,
                Finished::Partial => oracle.resume(&look(&mut volume)?)?,
            }
            if next.is_multiple_of(REPACK_EVERY) && !repack(&mut volume, *next / REPACK_EVERY)? {
                let _ = volume.abandon();
                self.power_cycle();
                return Ok(Left::Crashed);
            }
            if next.is_multiple_of(COMPARE_EVERY) {
                oracle.compare(&look(&mut volume)?)?;
            }
        }
        oracle.compare(&look(&mut volume)?)?;
        let checked = check(&mut volume).and_then(|()| audit(&mut volume));
        if volume.flash_mut().chip().is_off() {
            // Counting merges what is not merged yet, which a cut may strike.
            let _ = volume.abandon();
            self.power_cycle();
            return Ok(Left::Crashed);
        }
        checked?;
        oracle.start(&Operation::Remount);
        let result = volume.unmount().map(|_| ());
        match self.after_unmount(&Operation::Remount, result)? {
            Left::Crashed => Ok(Left::Crashed),
            _ => Ok(Left::End),
        }
    }

    fn after_unmount(&mut self, operation: &Operation, result: Result<(), Error>) -> Result<Left, Violation> {
        if self.flash.chip().is_off() {
            self.power_cycle();
            return Ok(Left::Crashed);
        }
        // The session skips a remount and the model calls it done.
        self.oracle.finish(operation, &result.into())?;
        Ok(Left::Unmounted)
    }

    fn power_cycle(&mut self) {
        if self.flash.chip().is_off() {
            self.statistics.cuts += 1;
        }
        self.flash.chip_mut().power_on();
    }
}

/// Removes steps from a failing sequence as long as it still fails, and gives what is left with its failure. Runs it a
/// few thousand times at most.
pub fn shrink(fresh: &dyn Fn() -> Rig, steps: &[Step], violation: Violation) -> (Vec<Step>, Violation) {
    let mut best = steps.to_vec();
    let mut violation = violation;
    let mut runs = 0;
    let mut length = best.len() / 2;
    while length > 0 && runs < SHRINK_RUNS_MAX {
        let mut start = 0;
        let before = best.len();
        while start < best.len() && runs < SHRINK_RUNS_MAX {
            let mut shorter = best.clone();
            shorter.drain(start..(start + length).min(best.len()));
            runs += 1;
            match fresh().run(&shorter) {
                Ok(_) => start += length,
                Err(still) => (best, violation) = (shorter, still),
            }
        }
        if length > 1 || best.len() == before {
            length /= 2;
        }
    }
    (best, violation)
}

/// Packs some content anew, which changes nothing that shows; `false` where the power went.
fn repack(volume: &mut Volume<'_, &mut SimFlash>, round: usize) -> Result<bool, Violation> {
    let codec = volume.info().codec;
    if codec == CodecId::Store {
        return Ok(true);
    }
    let codec = if round.is_multiple_of(3) { CodecId::Store } else { codec };
    let (mut cursor, mut done) = (ContentCursor::default(), Recompressed::default());
    for _ in 0..REPACKED + round % 3 {
        match volume.recompress_step(&mut cursor, codec, &mut done) {
            Ok(true) => {}
            // The index may be a snapshot.
            Ok(false) | Err(Error::NoSpace | Error::ReadOnly) => break,
            Err(_) if volume.flash_mut().chip().is_off() => return Ok(false),
            Err(error) => return Err(Violation::new(format!("packing anew with {codec:?}: {error}"))),
        }
    }
    Ok(!volume.flash_mut().chip().is_off())
}

/// Walks the volume; an error is a broken promise.
///
/// # Errors
/// What went wrong, in words.
pub fn look<F: k7fs_core::flash::Flash>(volume: &mut Volume<'_, F>) -> Result<k7fs_sim::model::Tree, Violation> {
    observe(volume).map_err(|error| Violation::new(format!("cannot be walked: {error:?}")))
}

/// fsck; a fault is a broken promise.
///
/// # Errors
/// The first fault.
pub fn check<F: k7fs_core::flash::Flash>(volume: &mut Volume<'_, F>) -> Result<(), Violation> {
    let mut first = None;
    let summary = volume.check_deep(|fault| first = first.or(Some(fault)));
    match (summary, first) {
        (_, Some(fault)) => Err(Violation::new(format!("check finds {fault:?}"))),
        (Err(error), None) => Err(Violation::new(format!("check fails: {error}"))),
        (Ok(_), None) => Ok(()),
    }
}

/// Counts what each block holds; too little on the books is a broken promise.
///
/// # Errors
/// The first such block.
pub fn audit<F: k7fs_core::flash::Flash>(volume: &mut Volume<'_, F>) -> Result<(), Violation> {
    match volume.audit() {
        // A full volume has no room to merge what is not merged yet.
        Ok(None) | Err(Error::NoSpace) => Ok(()),
        Ok(Some(block)) => Err(Violation::new(format!("block {block} holds more than is counted"))),
        Err(error) => Err(Violation::new(format!("audit: {error}"))),
    }
}

fn at(next: usize, steps: &[Step], violation: &Violation) -> Violation {
    let step = next.checked_sub(1).and_then(|index| steps.get(index));
    Violation::new(format!("step {next} of {}, {step:?}: {violation}", steps.len()))
}
