//! Judges a volume of which a block's content is lost.
//!
//! A run is strict up to the first answer that names a page of the block. Then whoever uses the volume looks: it is mounted again and
//! asked for everything that must be there. What it answers must be right; what it does not answer must have lain in the block, and be
//! something that has one copy. After lost content was written again nothing is missing, and the rest of the sequence is run as
//! strictly as before.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, FaultKind, Kind, Volume};
use serde::{Deserialize, Serialize};

use super::breach::{Breach, Class};
use super::pages::{Held, held_by, newest_log_block, tail};
use super::survey::{Survey, survey};
use crate::chip::SimFlash;
use crate::model::{Content, Finished, Operation, Oracle, Session, TreeEntry, Violation};
use crate::rig::{Rig, Step, look};

/// What a loss has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cost {
    /// Nothing: what was lost was not needed, or had a second copy.
    Nothing,
    /// Content, which was written again.
    Content,
    /// A leaf, with what its keys say and the keys that would belong there; or a part of a tree that is being removed, which is not
    /// finished then; or what an attribute said of where its value is, which stays behind when it is written again.
    Leaf,
    /// The mount: what was committed since the newest checkpoint has one copy, and no mount goes back before it.
    Mount,
}

/// The block whose content is lost.
pub(super) struct Lost {
    block: u32,
    first_page: u32,
    held: Vec<Held>,
    /// The log was being written there.
    is_newest: bool,
}

/// What a check finds of a loss.
struct Faults {
    /// What the pages held that cannot be read.
    held: Vec<Held>,
    /// Values of attributes that no attribute names.
    has_loose_values: bool,
}

impl Lost {
    /// `before` is the chip just before the loss.
    pub(super) fn new(before: &mut SimFlash, block: u32) -> Self {
        let first_page = block * before.geometry().pages_per_block;
        let is_newest = newest_log_block(before) == Some(block);
        Self { block, first_page, held: held_by(before, block), is_newest }
    }

    fn pages_per_block(&self) -> u32 {
        self.held.len() as u32
    }

    /// Whether pages of it could still be programmed.
    fn has_blank(&self) -> bool {
        self.held.iter().any(|held| held.sequence == 0)
    }

    /// Whether nothing was programmed in it but a header.
    fn was_blank(&self) -> bool {
        self.held.iter().skip(1).all(|held| held.sequence == 0)
    }

    /// What the page held that an error names; `None` where the error does not come from the loss.
    fn cause(&self, error: Error) -> Option<Held> {
        let Error::Uncorrectable { page, .. } = error else { return None };
        self.held.get(page.checked_sub(self.first_page)? as usize).copied()
    }

    /// Whether a read of something that has one copy may fail so.
    pub(super) fn excuses(&self, error: Error) -> bool {
        self.cause(error).is_some_and(|held| held.content || held.leaf)
    }

    /// Judges a run that has ended with a violation.
    pub(super) fn judge(&self, rig: &mut Rig, steps: &[Step], violation: Violation) -> Result<Cost, Breach> {
        // A volume that has come up shows what it can: what it does not is for the survey to judge.
        let is_judged = match violation.error {
            Some(error) => self.cause(error).is_some(),
            None => rig.is_crashed() || violation.is_state,
        };
        if !is_judged {
            return Err(Breach::of(violation));
        }
        rig.settle();
        let cost = match self.look(rig) {
            Err(mounting) => self.judge_refusal(rig, mounting)?,
            Ok(cost) => {
                cost.map_err(|breach| Breach { what: format!("after {violation}: {}", breach.what), ..breach })?
            }
        };
        rig.settle();
        if matches!(cost, Cost::Nothing | Cost::Content) {
            let rest = rig.go_on(steps, &mut |_| ());
            rest.map_err(|rest| Breach::of(rest.within(&format!("with all written again after {violation}"))))?;
        }
        Ok(cost)
    }

    /// A mount may be refused for what the log's tail held.
    fn judge_refusal(&self, rig: &mut Rig, error: Error) -> Result<Cost, Breach> {
        let flash = rig.flash_mut();
        let tail = tail(flash);
        let held = self.cause(error);
        let is_excused = match (error, tail) {
            (Error::Uncorrectable { page, .. }, Some(tail)) if held.is_some() => {
                self.held.iter().any(|held| tail.needs(held))
                    || tail.may_need(page, self.pages_per_block())
                    // What was programmed there after the loss fell on noise.
                    || self.has_blank() && self.is_newest
                    || self.was_blank() && tail.goes_on_in(flash, self.block)
            }
            _ => false,
        };
        if !is_excused {
            let what = format!("mount: {error}; the page held {held:?}, the tail is {tail:?}");
            return Err(Breach { class: Class::Mount, what });
        }
        self.judge_going_back(rig).map(|()| Cost::Mount)
    }

    /// A mount that may go back comes up and shows an earlier state, but for what lay in the block.
    fn judge_going_back(&self, rig: &mut Rig) -> Result<(), Breach> {
        let (mut volume, oracle) = rig
            .mount_going_back()
            .map_err(|error| Breach { class: Class::Mount, what: format!("going back: {error}") })?;
        match look(&mut volume) {
            Ok(shown) if oracle.went_back(&shown) || oracle.candidates().contains(&shown) => Ok(()),
            Ok(_) => Err(Breach { class: Class::Wrong, what: "going back shows a state that never was".to_owned() }),
            Err(violation) if violation.error.is_some_and(|error| self.excuses(error)) => Ok(()),
            Err(violation) => Err(Breach::of(violation.within("going back"))),
        }
    }

    /// Looks at everything and writes again what is lost; the outer error is that of the mount.
    fn look(&self, rig: &mut Rig) -> Result<Result<Cost, Breach>, Error> {
        let (mut volume, oracle) = rig.mount()?;
        let survey = match self.survey(&mut volume, oracle) {
            Ok(survey) => survey,
            Err(violation) => return Ok(Err(Breach::of(violation))),
        };
        if survey.has_lost_leaf || survey.has_more_links || !survey.names.is_empty() {
            // What has once failed fails alone, also after a restart.
            let _ = volume.abandon();
            let (mut volume, oracle) = rig.mount()?;
            let again = self.survey(&mut volume, oracle);
            let written = again.and_then(|survey| self.write_beside(&mut volume, survey.has_lost_leaf));
            return Ok(written.map(|()| Cost::Leaf).map_err(Breach::of));
        }
        let mended = mend(&mut volume, oracle, &survey).map_err(|violation| Breach::new(Class::Stuck, violation));
        if let Err(breach) = mended {
            return Ok(Err(breach));
        }
        match self.faults(&mut volume) {
            Err(violation) => Ok(Err(Breach::of(violation))),
            Ok(faults) if faults.held.is_empty() && (!faults.has_loose_values || survey.attributes.is_empty()) => {
                let cost = if survey.is_whole() { Cost::Nothing } else { Cost::Content };
                Ok(stop(volume, oracle).map(|()| cost).map_err(Breach::of))
            }
            Ok(_) => Ok(self.write_beside(&mut volume, false).map(|()| Cost::Leaf).map_err(Breach::of)),
        }
    }

    /// Finds the newest state that a mount may show and that everything which can be read belongs to.
    fn survey(&self, volume: &mut Volume<'_, &mut SimFlash>, oracle: &mut Oracle) -> Result<Survey, Violation> {
        let mut differences = Vec::new();
        for tree in oracle.candidates().iter().rev() {
            match survey(volume, tree, &|error| self.excuses(error)) {
                Ok(mut survey) => {
                    survey.has_lost_leaf = self.faults(volume)?.held.iter().any(|held| held.leaf);
                    return oracle.settle(tree).map(|()| survey);
                }
                Err(violation) => differences.push(violation.what),
            }
        }
        Err(Violation::new(format!("none of the states that a mount may show: {}", differences.join("; "))))
    }

    /// What the volume's own check finds of the loss. Pages that cannot be read and held anything but content and leaves are a broken promise.
    fn faults(&self, volume: &mut Volume<'_, &mut SimFlash>) -> Result<Faults, Violation> {
        let mut all = Vec::new();
        let checked = volume.check(|fault| all.push(fault));
        let summary = checked.map_err(|error| Violation::caused_by(format!("check fails: {error}"), error))?;
        if summary.nodes == 1 && summary.objects == 0 {
            // Nothing below it was found, and the root directory is always there.
            return Err(Violation::new("both copies of the root are lost with one block"));
        }
        // What else it finds follows from these, where it finds these at all: the end of the run tells.
        let unreadable = all.iter().filter(|fault| fault.kind == FaultKind::Uncorrectable);
        let held = unreadable.map(|fault| {
            let held = self.cause(Error::Uncorrectable { page: fault.page, larger_decoder: false });
            let excused = held.filter(|held| held.content || held.leaf);
            excused.ok_or_else(|| Violation::new(format!("check finds {fault:?}, the page held {held:?}")))
        });
        let has_loose_values = all.iter().any(|fault| fault.kind == FaultKind::Orphan && fault.object == 0);
        Ok(Faults { held: held.collect::<Result<_, _>>()?, has_loose_values })
    }

    /// The volume takes writes, unless a lost leaf is in the way.
    fn write_beside(&self, volume: &mut Volume<'_, &mut SimFlash>, has_lost_leaf: bool) -> Result<(), Violation> {
        const PROBE: &str = "/written after the loss";
        if volume.metadata("/").is_err_and(|error| self.excuses(error)) {
            // The directory itself is what is lost: no name can be put into it.
            return Ok(());
        }
        match volume.write(PROBE, b"probe").and_then(|()| volume.remove_file(PROBE)) {
            Ok(()) | Err(Error::NoSpace) => Ok(()),
            Err(error) if has_lost_leaf && self.excuses(error) => Ok(()),
            Err(error) => Err(Violation::caused_by(format!("a write beside the loss: {error}"), error)),
        }
    }
}

/// Writes lost content again, or removes its file.
fn mend(volume: &mut Volume<'_, &mut SimFlash>, oracle: &mut Oracle, survey: &Survey) -> Result<(), Violation> {
    for (path, entry) in &survey.content {
        let path = path.clone();
        if entry.kind == Kind::Symlink {
            let target = String::from_utf8_lossy(&entry.content).into_owned();
            apply(volume, oracle, &Operation::RemoveFile { path: path.clone() })?;
            apply(volume, oracle, &Operation::Symlink { target, path })?;
            continue;
        }
        let content = Content::Bytes(entry.content.as_slice().into());
        if !apply(volume, oracle, &Operation::Write { path: path.clone(), content })? {
            apply(volume, oracle, &Operation::RemoveFile { path })?;
        }
    }
    for (path, entry) in &survey.attributes {
        mend_attributes(volume, oracle, path, entry)?;
    }
    Ok(())
}

fn mend_attributes(
    volume: &mut Volume<'_, &mut SimFlash>, oracle: &mut Oracle, path: &str, entry: &TreeEntry,
) -> Result<(), Violation> {
    for (name, value) in &entry.extra.attributes {
        let (path, content) = (path.to_owned(), Content::Bytes(value.as_slice().into()));
        let operation = match name.strip_prefix(k7fs_core::STREAM_ATTRIBUTES) {
            Some(stream) => Operation::SetStream { path, stream: stream.to_owned(), content },
            None => Operation::SetAttribute { path, name: name.clone(), content },
        };
        apply(volume, oracle, &operation)?;
    }
    Ok(())
}

/// Whether there was room for it.
fn apply(
    volume: &mut Volume<'_, &mut SimFlash>, oracle: &mut Oracle, operation: &Operation,
) -> Result<bool, Violation> {
    oracle.start(operation);
    let outcome = Session::new().apply(volume, operation);
    let finished = oracle.finish(operation, &outcome).map_err(|violation| violation.within("mending"))?;
    Ok(finished == Finished::Matched)
}

/// Stops the volume cleanly.
fn stop(volume: Volume<'_, &mut SimFlash>, oracle: &mut Oracle) -> Result<(), Violation> {
    oracle.start(&Operation::Remount);
    let result = volume.unmount().map(|_| ());
    oracle.finish(&Operation::Remount, &result.into()).map(|_| ())
}
