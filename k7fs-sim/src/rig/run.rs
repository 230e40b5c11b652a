//! Runs a sequence of operations, remounts and cuts, and compares every answer.

use k7fs_core::{CodecId, ContentCursor, Error, MountOptions, Recompressed, Volume};

use super::geometry::{LOGICAL_BLOCK_MAX, buffer_for, mount_options};
use super::inspect::{audit, check, look};
use crate::chip::{Cut, CutKind, SimFlash};
use crate::codec::HostCodecs;
use crate::model::{Finished, Operation, Oracle, Session, Violation};

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
    compare_every: usize,
    next: usize,
    crashed: bool,
}

impl Clone for Rig {
    /// A rig in the same state, with memory of its own.
    fn clone(&self) -> Self {
        Self {
            flash: self.flash.clone(),
            options: self.options,
            buffer: vec![0; self.buffer.len()],
            codecs: HostCodecs::new(LOGICAL_BLOCK_MAX),
            oracle: self.oracle.clone(),
            statistics: self.statistics,
            compare_every: self.compare_every,
            next: self.next,
            crashed: self.crashed,
        }
    }
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
            compare_every: COMPARE_EVERY,
            next: 0,
            crashed: false,
        }
    }

    /// Compares the whole tree after so many operations only; what each gives is always compared.
    pub const fn set_compare_every(&mut self, operations: usize) {
        self.compare_every = operations;
    }

    /// The chip.
    pub const fn flash(&self) -> &SimFlash {
        &self.flash
    }

    /// The chip, to plan faults.
    pub fn flash_mut(&mut self) -> &mut SimFlash {
        &mut self.flash
    }

    /// What must be on the volume.
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// The number of steps that were begun.
    pub const fn steps_begun(&self) -> usize {
        self.next
    }

    /// Mounts the volume as it stands, with what must be on it. Content must not be packed.
    ///
    /// # Errors
    /// What the mount says.
    pub fn mount(&mut self) -> Result<(Volume<'_, &mut SimFlash>, &mut Oracle), Error> {
        let volume = Volume::mount(&mut self.flash, &mut self.buffer, self.options)?;
        Ok((volume, &mut self.oracle))
    }

    /// As [`Self::mount`], of a volume that may go back.
    ///
    /// # Errors
    /// What the mount says.
    pub fn mount_going_back(&mut self) -> Result<(Volume<'_, &mut SimFlash>, &mut Oracle), Error> {
        let options = MountOptions { may_go_back: true, ..self.options };
        let volume = Volume::mount(&mut self.flash, &mut self.buffer, options)?;
        Ok((volume, &mut self.oracle))
    }

    /// Runs all steps, unmounts, and looks at everything once more.
    ///
    /// # Errors
    /// The first broken promise, with the number of the step.
    pub fn run(&mut self, steps: &[Step]) -> Result<Statistics, Violation> {
        (self.next, self.crashed) = (0, false);
        self.go_on(steps, &mut |_| ())
    }

    /// As [`run`](Self::run), from the step that is next. `mounting` sees the rig before each mount.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn go_on(&mut self, steps: &[Step], mounting: &mut dyn FnMut(&Self)) -> Result<Statistics, Violation> {
        let mut next = self.next;
        let mut crashes_in_a_row = 0;
        loop {
            let started_at = next;
            self.next = next;
            mounting(self);
            let crashed = self.crashed;
            let left = self.mounted(steps, &mut next, crashed);
            self.next = next;
            let left = left.map_err(|violation| at(next, steps, violation))?;
            self.crashed = left == Left::Crashed;
            crashes_in_a_row = if self.crashed && next == started_at { crashes_in_a_row + 1 } else { 0 };
            if crashes_in_a_row > MOUNTS_PER_CUT {
                return Err(at(next, steps, Violation::new("the volume does not come up after a cut")));
            }
            if left == Left::End {
                break;
            }
        }
        self.flash.chip_mut().faults_mut().cut = None;
        self.mounted(&[], &mut 0, false).map_err(|violation| at(next, steps, violation))?;
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
                return Err(Violation::caused_by(format!("mount: {error}"), error));
            }
        };
        let oracle = &mut self.oracle;
        let shown = look(&mut volume);
        if volume.flash_mut().chip().is_off() {
            // In the mount, which could do without what was cut: a mark of a bad block.
            let _ = volume.abandon();
            self.power_cycle();
            return Ok(Left::Crashed);
        }
        let shown = shown?;
        if crashed {
            oracle.settle(&shown)?;
            self.crashed = false;
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
                eprintln!("{next}: {operation:?} -> {outcome:?}");
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
            if next.is_multiple_of(self.compare_every) {
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

    /// Remembers every state, see [`Oracle::keep_history`].
    pub fn keep_history(&mut self) {
        self.oracle.keep_history();
    }

    /// Whether what is wrong was seen by the first look after the power had gone.
    pub const fn is_crashed(&self) -> bool {
        self.crashed
    }

    /// Gives the power back, and takes what the oracle says for what a mount after a clean stop shows.
    pub fn settle(&mut self) {
        self.flash.chip_mut().faults_mut().cut = None;
        self.flash.chip_mut().power_on();
        self.crashed = false;
    }

    fn power_cycle(&mut self) {
        if self.flash.chip().is_off() {
            self.statistics.cuts += 1;
        }
        self.flash.chip_mut().power_on();
    }
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
            Err(error) => return Err(Violation::caused_by(format!("packing anew with {codec:?}: {error}"), error)),
        }
    }
    Ok(!volume.flash_mut().chip().is_off())
}

fn at(next: usize, steps: &[Step], violation: Violation) -> Violation {
    let step = next.checked_sub(1).and_then(|index| steps.get(index));
    violation.within(&format!("step {next} of {}, {step:?}", steps.len()))
}
