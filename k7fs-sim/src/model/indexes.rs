//! Snapshots, branches and subvolumes in memory: each a whole state of its own, under its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use k7fs_core::{Error, INDEX_NAME_FIRST, NAME_BYTES_MAX};

use super::operation::Operation;
use super::reference::{Extras, Model, Nodes};
use super::tree::{Entries, TreeIndex};

/// All indexes of a model.
#[derive(Clone, Debug)]
pub(super) struct Indexes {
    all: BTreeMap<String, Index>,
    current: String,
    default: String,
}

#[derive(Clone, Debug)]
struct Index {
    writable: bool,
    /// Its state while another is worked on; that of the current one is the model's own.
    parked: Parked,
}

#[derive(Clone, Debug, Default)]
struct Parked {
    nodes: Arc<Nodes>,
    stored: Arc<Extras>,
    /// What the nodes show.
    files: Arc<Entries>,
}

impl Indexes {
    /// Those of an empty volume.
    pub(super) fn new() -> Self {
        let name = INDEX_NAME_FIRST.to_owned();
        let main = Index { writable: true, parked: Parked::default() };
        Self { all: BTreeMap::from([(name.clone(), main)]), current: name.clone(), default: name }
    }

    fn find(&self, name: &str) -> Result<&Index, Error> {
        check_name(name)?;
        self.all.get(name).ok_or(Error::IndexNotFound)
    }

    fn expect_free(&self, name: &str) -> Result<(), Error> {
        if self.all.contains_key(name) { Err(Error::IndexExists) } else { Ok(()) }
    }

    /// The writable indexes, or the snapshots.
    fn names(&self, writable: bool) -> impl Iterator<Item = &String> {
        self.all.iter().filter(move |(_, index)| index.writable == writable).map(|(name, _)| name)
    }

    fn shown(&self) -> BTreeMap<String, TreeIndex> {
        if self.all.len() == 1 && self.all.contains_key(INDEX_NAME_FIRST) {
            return BTreeMap::new();
        }
        let shown = |(name, index): (&String, &Index)| {
            let is_current = *name == self.current;
            let files = (!is_current).then(|| Arc::clone(&index.parked.files));
            let index = TreeIndex { writable: index.writable, is_default: *name == self.default, is_current, files };
            (name.clone(), index)
        };
        self.all.iter().map(shown).collect()
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    match name {
        "" => Err(Error::NameEmpty),
        name if name.len() > NAME_BYTES_MAX => Err(Error::NameTooLong),
        name if name.contains(['\0', '/']) => Err(Error::NameInvalid),
        _ => Ok(()),
    }
}

/// What a test may ask.
impl Model {
    /// How many indexes there are.
    pub fn index_count(&self) -> usize {
        self.indexes.all.len()
    }

    /// All indexes in the order of their names, and whether each is writable.
    pub fn indexes(&self) -> impl Iterator<Item = (&String, bool)> {
        self.indexes.all.iter().map(|(name, index)| (name, index.writable))
    }

    /// The index that is worked on.
    pub fn current_index(&self) -> &str {
        &self.indexes.current
    }

    /// The index that a mount begins with.
    pub fn default_index(&self) -> &str {
        &self.indexes.default
    }

    /// Whether the index that is worked on may be changed.
    pub fn is_writable(&self) -> bool {
        self.indexes.all[&self.indexes.current].writable
    }

    pub(super) fn shown_indexes(&self) -> BTreeMap<String, TreeIndex> {
        self.indexes.shown()
    }
}

/// The operations, with the checks in the volume's order.
impl Model {
    pub(super) fn run_index(&mut self, operation: &Operation) -> Result<(), Error> {
        match operation {
            Operation::CreateSnapshot { name } => self.create_snapshot(name),
            Operation::CreateBranch { from, name } => self.create_branch(from, name),
            Operation::CreateSubvolume { name } => {
                self.begin_new_index(name)?;
                self.park_as(name, true, Parked { nodes: Arc::new(Model::root_alone()), ..Parked::default() });
                Ok(())
            }
            Operation::SelectIndex { name } => {
                self.indexes.find(name)?;
                self.refuse_open_files()?;
                self.enter_index(name);
                Ok(())
            }
            Operation::RollBack { to } => self.roll_back_to(to),
            Operation::TrimIndex { name } => {
                self.begin_indexes()?;
                self.indexes.find(name)?;
                if *name == self.indexes.current || *name == self.indexes.default {
                    return Err(Error::IndexInUse);
                }
                self.indexes.all.remove(name);
                Ok(())
            }
            Operation::RenameIndex { from, to } => self.rename_index(from, to),
            Operation::SetDefaultIndex { name } => {
                self.begin_indexes()?;
                self.indexes.find(name)?;
                self.indexes.default.clone_from(name);
                Ok(())
            }
            _ => unreachable!("the other operations are about files"),
        }
    }

    fn create_snapshot(&mut self, name: &str) -> Result<(), Error> {
        self.expect_writable()?;
        self.begin_new_index(name)?;
        let parked = self.here();
        self.park_as(name, false, parked);
        Ok(())
    }

    fn create_branch(&mut self, from: &str, name: &str) -> Result<(), Error> {
        self.begin_new_index(name)?;
        let parked = self.snapshot(from)?;
        self.park_as(name, true, parked);
        Ok(())
    }

    fn roll_back_to(&mut self, to: &str) -> Result<(), Error> {
        self.expect_writable()?;
        self.refuse_open_files()?;
        let parked = self.snapshot(to)?;
        self.unpark(&parked);
        Ok(())
    }

    fn rename_index(&mut self, from: &str, to: &str) -> Result<(), Error> {
        if from == to {
            return self.indexes.find(from).map(|_| ());
        }
        self.begin_new_index(to)?;
        let index = self.indexes.find(from)?.clone();
        self.indexes.all.remove(from);
        self.indexes.all.insert(to.to_owned(), index);
        for known in [&mut self.indexes.current, &mut self.indexes.default] {
            if *known == from {
                to.clone_into(known);
            }
        }
        Ok(())
    }

    fn begin_indexes(&self) -> Result<(), Error> {
        if self.in_transaction { Err(Error::Busy) } else { Ok(()) }
    }

    fn begin_new_index(&self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        self.begin_indexes()?;
        self.indexes.expect_free(name)
    }

    fn refuse_open_files(&self) -> Result<(), Error> {
        if self.in_transaction || self.has_open_files() { Err(Error::Busy) } else { Ok(()) }
    }

    pub(super) fn expect_writable(&self) -> Result<(), Error> {
        if self.is_writable() { Ok(()) } else { Err(Error::ReadOnly) }
    }

    /// The state of a snapshot, which may be the index that is worked on.
    fn snapshot(&self, name: &str) -> Result<Parked, Error> {
        let index = self.indexes.find(name)?;
        if index.writable {
            return Err(Error::IndexIsWritable);
        }
        Ok(if name == self.indexes.current { self.here() } else { index.parked.clone() })
    }

    /// The state of the index that is worked on.
    fn here(&self) -> Parked {
        Parked {
            nodes: Arc::new(self.nodes.clone()),
            stored: Arc::new(self.stored.clone()),
            files: Arc::new(self.entries()),
        }
    }

    fn unpark(&mut self, parked: &Parked) {
        self.nodes.clone_from(&parked.nodes);
        self.stored.clone_from(&parked.stored);
    }

    fn park_as(&mut self, name: &str, writable: bool, parked: Parked) {
        self.indexes.all.insert(name.to_owned(), Index { writable, parked });
    }

    fn enter_index(&mut self, name: &str) {
        if name == self.indexes.current {
            return;
        }
        let here = self.here();
        let current = std::mem::replace(&mut self.indexes.current, name.to_owned());
        if let Some(left) = self.indexes.all.get_mut(&current) {
            left.parked = here;
        }
        if let Some(entered) = self.indexes.all.get_mut(name) {
            let parked = std::mem::take(&mut entered.parked);
            self.unpark(&parked);
        }
    }

    /// A mount begins with the default index.
    pub(super) fn enter_default_index(&mut self) {
        let default = self.indexes.default.clone();
        self.enter_index(&default);
    }

    /// The names of the snapshots.
    pub(super) fn snapshot_names(&self) -> Vec<&String> {
        self.indexes.names(false).collect()
    }

    /// The names of the writable indexes.
    pub(super) fn writable_names(&self) -> Vec<&String> {
        self.indexes.names(true).collect()
    }
}
