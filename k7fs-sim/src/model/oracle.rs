//! What a volume may show, power cuts included.
//!
//! Path operations are durable when they return. What goes through an open file becomes durable with the next commit
//! of anything; until then a cut leaves a prefix of it. So the oracle keeps the last committed state and every
//! state since, in order, and a mount after a cut must show one of them. What it has shown is committed: from then on
//! nothing else will do.

use std::fmt;
use std::sync::Arc;

use k7fs_core::Error;

use super::operation::{Operation, Outcome};
use super::reference::Model;
use super::tree::Tree;

/// A broken promise, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What was expected and what was found.
    pub what: String,
    /// The error that the volume gave where it should have given none, or another.
    pub error: Option<Error>,
    /// It is not an answer that is wrong, but what the whole volume shows: whoever looks again sees it again.
    pub is_state: bool,
}

impl Violation {
    /// A violation described by `what`.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), error: None, is_state: false }
    }

    /// A violation that is an error of the volume.
    pub fn caused_by(what: impl Into<String>, error: Error) -> Self {
        Self { what: what.into(), error: Some(error), is_state: false }
    }

    /// The same, with where it happened.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        Self { what: format!("{place}: {}", self.what), ..self }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Violation {}

/// An operation that has started: where it may leave the volume, and what it must answer.
#[derive(Clone, Debug)]
struct Started {
    between: Vec<Model>,
    after: Model,
    outcome: Outcome,
    commits: bool,
}

/// What a finished operation means for the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The answer was the model's.
    Matched,
    /// The volume refused for lack of space, and has changed nothing.
    Refused,
    /// The volume ran out of space between two steps of one [`Operation`]: [`Oracle::resume`] with what it shows.
    Partial,
}

/// Every state that a volume may show now or after a power cut.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// The last committed state, then every state since; the last one is what a running volume shows.
    states: Vec<Model>,
    started: Option<Started>,
    /// Every state that there was, oldest first, where that is wanted.
    history: Option<Vec<Arc<Model>>>,
}

impl Default for Oracle {
    fn default() -> Self {
        Self::new()
    }
}

impl Oracle {
    /// An empty volume, committed.
    pub fn new() -> Self {
        Self { states: vec![Model::new()], started: None, history: None }
    }

    /// Remembers every state from now on, so that [`went_back`](Self::went_back) can tell.
    pub fn keep_history(&mut self) {
        self.history = Some(self.states.iter().cloned().map(Arc::new).collect());
    }

    /// Whether this is a state that there was, since they are remembered.
    pub fn went_back(&self, shown: &Tree) -> bool {
        let history = self.history.iter().flatten().rev();
        history.map(|model| Model::clone(model).after_mount().tree()).any(|tree| tree == *shown)
    }

    fn remember(&mut self, first: usize) {
        if let Some(history) = &mut self.history {
            history.extend(self.states.iter().skip(first).cloned().map(Arc::new));
        }
    }

    /// What a running volume shows.
    pub fn model(&self) -> &Model {
        &self.states[self.states.len() - 1]
    }

    /// Announces an operation. Until [`finish`](Self::finish), a cut may leave any of its steps.
    pub fn start(&mut self, operation: &Operation) {
        let mut after = self.model().clone();
        let mut between = Vec::new();
        let closing = matches!(operation, Operation::Close { slot } if after.close_commits(*slot));
        let outcome = after.apply_traced(operation, &mut between);
        let commits = outcome.error().is_none() && (closing || self.commits(operation, &after));
        self.started = Some(Started { between, after, outcome, commits });
    }

    /// Compares the volume's answer with the model's.
    ///
    /// # Errors
    /// Where they differ, unless the volume says that it is full or worn out, which the model cannot know.
    pub fn finish(&mut self, operation: &Operation, outcome: &Outcome) -> Result<Finished, Violation> {
        let Some(started) = self.started.take() else { return Err(Violation::new("no operation was started")) };
        if *outcome == started.outcome {
            let first = self.states.len();
            self.states.extend(started.between);
            self.states.push(started.after);
            self.remember(first);
            if started.commits {
                self.commit();
            }
            return Ok(Finished::Matched);
        }
        let full = matches!(outcome.error(), Some(Error::NoSpace | Error::WornOut));
        // A transaction to be given up may end earlier; nothing of it stays either way.
        let expected_error = started.outcome.error().filter(|error| *error != Operation::GIVEN_UP);
        if full && expected_error.is_none() && !self.never_needs_room(operation, &started.after) {
            if started.between.is_empty() {
                return Ok(Finished::Refused);
            }
            self.started = Some(started);
            return Ok(Finished::Partial);
        }
        let what = format!("{operation:?} gave {outcome:?}, expected {:?}", started.outcome);
        // Who asks for the states that a mount may show now still gets those of this operation.
        self.started = Some(started);
        Err(Violation { error: outcome.error(), ..Violation::new(what) })
    }

    /// Takes what a running volume shows after [`Finished::Partial`].
    ///
    /// # Errors
    /// Where that is no state within the operation.
    pub fn resume(&mut self, shown: &Tree) -> Result<(), Violation> {
        let started = self.started.take();
        let between = started.into_iter().flat_map(|started| started.between);
        let mut states = std::iter::once(self.model().clone()).chain(between);
        let Some(state) = states.find(|state| state.tree() == *shown) else {
            return Err(Violation::new("a refused operation left a state that it never goes through"));
        };
        self.states.push(state);
        self.remember(self.states.len() - 1);
        Ok(())
    }

    /// All trees that a mount after a cut right now may show, the running operation's steps included. The last one is
    /// the newest.
    pub fn candidates(&self) -> Vec<Tree> {
        let mut trees = Vec::new();
        for model in self.possible() {
            let tree = model.clone().after_mount().tree();
            if trees.last() != Some(&tree) {
                trees.push(tree);
            }
        }
        trees
    }

    /// Takes what a mount after a cut or a restart shows as the committed state.
    ///
    /// # Errors
    /// Where that is none of the [`candidates`](Self::candidates).
    pub fn settle(&mut self, shown: &Tree) -> Result<(), Violation> {
        let possible: Vec<Model> = self.possible().cloned().collect();
        let mut models = possible.into_iter().rev().map(Model::after_mount);
        let Some(model) = models.find(|model| model.tree() == *shown) else {
            return Err(Violation::new(mismatch(&self.candidates(), shown)));
        };
        self.states = vec![model];
        self.started = None;
        Ok(())
    }

    /// Compares a running volume with the model.
    ///
    /// # Errors
    /// Where they differ.
    pub fn compare(&self, shown: &Tree) -> Result<(), Violation> {
        match self.model().tree().difference(shown) {
            None => Ok(()),
            Some(difference) => Err(Violation { is_state: true, ..Violation::new(difference) }),
        }
    }

    /// Deleting, truncating and making durable work on a full volume; trimming whatever there is, the others where no
    /// other index holds on to what goes.
    fn never_needs_room(&self, operation: &Operation, after: &Model) -> bool {
        let shares = self.model().index_count() > 1;
        match operation {
            Operation::TrimIndex { .. }
            | Operation::SelectIndex { .. }
            | Operation::SetDefaultIndex { .. }
            | Operation::Close { .. }
            | Operation::Sync
            | Operation::Remount => true,
            _ if shares => false,
            Operation::RemoveFile { .. }
            | Operation::RemoveDirectory { .. }
            | Operation::RemoveTree { .. }
            | Operation::RemoveAttribute { .. }
            | Operation::ListRemoving { .. } => true,
            Operation::Resize { .. } | Operation::SetLength { .. } => {
                after.content_bytes() <= self.model().content_bytes()
            }
            _ => false,
        }
    }

    fn possible(&self) -> impl Iterator<Item = &Model> {
        let started = self.started.iter();
        let running = started.flat_map(|started| started.between.iter().chain(std::iter::once(&started.after)));
        self.states.iter().chain(running)
    }

    fn commit(&mut self) {
        if let Some(mut state) = self.states.pop() {
            state.settle();
            self.states = vec![state];
        }
    }

    /// Whether the operation leaves nothing pending. Where that is a matter of taste (a rename onto itself), no.
    fn commits(&self, operation: &Operation, after: &Model) -> bool {
        match operation {
            Operation::Defragment
            | Operation::LeaveBlocks { .. }
            | Operation::Maintain { .. }
            | Operation::Scrub { .. }
            | Operation::Sync
            | Operation::Remount => true,
            // Each commits what was written before, but for a name that stays as it is.
            Operation::RenameIndex { from, to } => from != to,
            operation if operation.is_about_indexes() => true,
            Operation::Update { .. }
            | Operation::Append { .. }
            | Operation::AppendChunk { .. }
            | Operation::Copy { .. }
            | Operation::Deduplicate { .. }
            | Operation::Resize { .. }
            | Operation::Rename { .. }
            | Operation::SetPosix { .. }
            | Operation::SetNt { .. }
            | Operation::SetShortName { .. }
            | Operation::ChooseCodec { .. }
            | Operation::ListRemoving { .. }
            | Operation::Transaction { .. } => self.model().tree() != after.tree(),
            operation => operation.writes_files(),
        }
    }
}

/// The difference to the newest candidate tells most.
fn mismatch(candidates: &[Tree], shown: &Tree) -> String {
    let newest = candidates.last().and_then(|tree| tree.difference(shown)).unwrap_or_default();
    let oldest = candidates.first().and_then(|tree| tree.difference(shown)).unwrap_or_default();
    format!(
        "a mount shows none of {} possible states; against the newest: {newest}; against the committed: {oldest}",
        candidates.len()
    )
}
