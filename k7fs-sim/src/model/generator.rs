//! Operations from a seed.

use k7fs_core::{CodecId, Device, Kind, Timestamp};

use super::operation::{Content, OpenMode, Operation};
use super::reference::Model;
use super::session::SLOT_COUNT;
use super::tree::Tree;
use crate::random::Random;

/// How large the world of a generated sequence is.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Different names in a directory.
    pub names: u64,
    /// Directories below the root, one in the other.
    pub depth: u32,
    /// Bytes of one write, at most.
    pub length_max: u32,
    /// Bytes of all files together, above which more is removed than written.
    pub bytes_max: u64,
    /// Indexes above which more are trimmed than made; 0 leaves operations on indexes out.
    pub indexes_max: usize,
}

/// Of a hundred operations, how many are about indexes.
const INDEX_PER_HUNDRED: u64 = 8;
/// Of a hundred operations on a snapshot, how many leave it: it refuses most of the others.
const LEAVE_SNAPSHOT_PER_HUNDRED: u64 = 40;
/// Different names of indexes.
const INDEX_NAMES: u64 = 10;

/// Makes operations that are mostly sensible in the state they meet, and sometimes not at all.
#[derive(Clone, Debug)]
pub struct Generator {
    random: Random,
    space: Space,
}

impl Generator {
    /// A generator whose output depends only on its arguments and on the models it sees.
    pub fn new(seed: u64, space: Space) -> Self {
        Self { random: Random::new(seed), space }
    }

    /// The next operation for a volume in this state. Never [`Operation::Remount`] nor [`Operation::Restart`].
    pub fn next_operation(&mut self, model: &Model) -> Operation {
        let tree = model.tree();
        if !model.is_writable() && self.random.percent(LEAVE_SNAPSHOT_PER_HUNDRED) {
            return self.leave_snapshot(model);
        }
        if model.content_bytes() > self.space.bytes_max && self.random.percent(75) {
            return self.shrinking(&tree);
        }
        if self.space.indexes_max > 0 && self.random.percent(INDEX_PER_HUNDRED) {
            return self.index_operation(model);
        }
        match self.random.below(100) {
            0..30 => self.slot_operation(&tree, model),
            30..36 => self.transaction(&tree, model),
            36..44 => self.reading(&tree),
            44 if self.random.percent(30) => Operation::LeaveBlocks { count: self.random.below(6) as u32 },
            45 if self.random.percent(30) => Operation::EraseAhead { count: self.random.below(12) as u32 },
            44..46 if self.random.percent(30) => Operation::Maintain { budget: 1 + self.random.below(40) as u32 },
            44 if self.random.percent(30) => Operation::Scrub { budget: 1 + self.random.below(200) as u32 },
            44..46 => Operation::Sync,
            46 if self.random.percent(50) => Operation::Defragment,
            46..48 => Operation::ListRemoving { path: self.directory(&tree) },
            _ => self.changing(&tree),
        }
    }

    fn changing(&mut self, tree: &Tree) -> Operation {
        match self.random.below(132) {
            120.. => self.sharing(tree),
            0..24 => Operation::Write { path: self.file_or_new(tree), content: self.content() },
            24..36 => {
                Operation::Update { path: self.file_or_new(tree), offset: self.offset(), content: self.content() }
            }
            36..46 => Operation::Append { path: self.file_or_new(tree), content: self.content() },
            46..52 => Operation::Resize { path: self.existing(tree, Kind::File), length: self.offset() },
            52..56 => Operation::Create { path: self.any_path(tree) },
            56..64 => Operation::CreateDirectory { path: self.any_path(tree) },
            64..66 => Operation::RemoveDirectory { path: self.existing(tree, Kind::Directory) },
            66..68 => Operation::RemoveTree { path: self.existing(tree, Kind::Directory) },
            68..76 => Operation::RemoveFile { path: self.existing(tree, Kind::File) },
            76..90 => Operation::Rename { from: self.anything(tree), to: self.any_path(tree) },
            90..94 => Operation::Symlink { target: self.any_path(tree), path: self.any_path(tree) },
            94..100 => Operation::HardLink { existing: self.existing(tree, Kind::File), new: self.any_path(tree) },
            _ => self.changing_extra(tree),
        }
    }

    /// Content that several files have.
    fn sharing(&mut self, tree: &Tree) -> Operation {
        match self.random.below(12) {
            0..6 => Operation::Copy { from: self.existing(tree, Kind::File), to: self.file_or_new(tree) },
            6 => Operation::Deduplicate {
                first: self.existing(tree, Kind::File),
                second: self.existing(tree, Kind::File),
            },
            _ => {
                // Few different ones, so that some are there already.
                let length = [100, 700, 3000, 5000][self.random.below(4) as usize].min(self.space.length_max);
                let content = Content::seeded(self.random.below(3), length);
                Operation::AppendChunk { path: self.file_or_new(tree), content }
            }
        }
    }

    fn changing_extra(&mut self, tree: &Tree) -> Operation {
        let path = self.anything(tree);
        match self.random.below(22) {
            20.. => {
                // What every volume has; on those that compress it is the other one.
                let codec = self.random.percent(60).then_some(CodecId::Store);
                // The root's own choice shows in no tree: after a cut nobody could tell whether it was made.
                let codec = codec.filter(|_| !self.random.percent(10));
                Operation::ChooseCodec { path, codec }
            }
            0..8 => Operation::SetAttribute { path, name: self.attribute(), content: self.content() },
            8..11 => Operation::RemoveAttribute { path, name: self.attribute() },
            11 => Operation::SetStream { path, stream: "data".to_owned(), content: self.content() },
            12..15 => Operation::SetPosix {
                path,
                mode: (self.random.below(1 << 12) as u16) & if self.random.percent(50) { 0o7555 } else { 0o7777 },
                uid: self.random.below(3) as u32 * 1000,
                gid: self.random.below(2) as u32 * u32::MAX,
                accessed: self.random.percent(50).then(|| Timestamp::from_nt(self.random.next_u64() >> 4)),
            },
            15 | 16 => Operation::SetNt { path, attributes: self.random.below(1 << 8) as u32 },
            17 => {
                let name = ["", "LONGNA~1.TXT", "Ω~1"];
                Operation::SetShortName { path, name: (*self.random.pick(&name).unwrap_or(&"")).to_owned() }
            }
            _ => self.special(tree),
        }
    }

    fn special(&mut self, tree: &Tree) -> Operation {
        let path = self.any_path(tree);
        let number = |random: &mut Random| Device { major: random.below(300) as u32, minor: random.next_u64() as u32 };
        let (kind, device) = match self.random.below(4) {
            0 => (Kind::Fifo, Device::default()),
            1 => (Kind::Socket, Device::default()),
            2 => (Kind::CharacterDevice, number(&mut self.random)),
            _ => (Kind::BlockDevice, number(&mut self.random)),
        };
        Operation::CreateSpecial { path, kind, device }
    }

    fn attribute(&mut self) -> String {
        match self.random.below(6) {
            5 => format!("user.{:0>200}", 5),
            number => format!("user.{number}"),
        }
    }

    fn index_operation(&mut self, model: &Model) -> Operation {
        if model.index_count() > self.space.indexes_max && self.random.percent(90) {
            return Operation::TrimIndex { name: self.dispensable_index(model) };
        }
        match self.random.below(100) {
            0..40 => Operation::CreateSnapshot { name: self.index_name() },
            40..52 => Operation::CreateBranch { from: self.snapshot(model), name: self.index_name() },
            52..55 => Operation::CreateSubvolume { name: self.index_name() },
            55..67 => self.unless_open(model, |generator| Operation::SelectIndex { name: generator.index(model) }),
            67..75 => self.unless_open(model, |generator| Operation::RollBack { to: generator.snapshot(model) }),
            75..92 => Operation::TrimIndex { name: self.dispensable_index(model) },
            92..96 => Operation::RenameIndex { from: self.index(model), to: self.index_name() },
            _ => Operation::SetDefaultIndex { name: self.index(model) },
        }
    }

    /// Mostly closes a file where one is open: that keeps a volume on its index.
    fn unless_open(&mut self, model: &Model, make: impl FnOnce(&mut Self) -> Operation) -> Operation {
        let open = (0..SLOT_COUNT).find(|slot| model.is_open(*slot));
        match open.filter(|_| self.random.percent(80)) {
            Some(slot) => Operation::Close { slot },
            None => make(self),
        }
    }

    fn leave_snapshot(&mut self, model: &Model) -> Operation {
        let name = match self.random.pick(&model.writable_names()) {
            Some(name) => (*name).clone(),
            // All are snapshots: none of them but a branch leads on.
            None => return Operation::CreateBranch { from: self.snapshot(model), name: self.index_name() },
        };
        match self.random.percent(30) {
            true => Operation::SetDefaultIndex { name },
            false => self.unless_open(model, |_| Operation::SelectIndex { name }),
        }
    }

    fn index_name(&mut self) -> String {
        match self.random.below(INDEX_NAMES) {
            // A long name, and now and then none at all.
            0 if self.random.percent(20) => String::new(),
            0 => format!("{:->100}", "index"),
            number => format!("i{number}"),
        }
    }

    fn index(&mut self, model: &Model) -> String {
        let names: Vec<&String> = model.indexes().map(|(name, _)| name).collect();
        self.known_index(&names)
    }

    fn snapshot(&mut self, model: &Model) -> String {
        self.known_index(&model.snapshot_names())
    }

    /// One that may be trimmed.
    fn dispensable_index(&mut self, model: &Model) -> String {
        let kept = [model.current_index(), model.default_index()];
        let names = model.indexes().map(|(name, _)| name).filter(|name| !kept.contains(&name.as_str()));
        let names: Vec<&String> = names.collect();
        self.known_index(&names)
    }

    fn known_index(&mut self, names: &[&String]) -> String {
        match self.random.pick(names) {
            Some(name) if self.random.percent(95) => (*name).clone(),
            _ => self.index_name(),
        }
    }

    fn shrinking(&mut self, tree: &Tree) -> Operation {
        match self.random.below(5) {
            0 => Operation::Resize { path: self.existing(tree, Kind::File), length: self.random.below(64) },
            4 => self.dropping_attribute(tree),
            1 => Operation::Close { slot: self.slot() },
            2 if self.random.percent(20) => Operation::RemoveTree { path: self.existing(tree, Kind::Directory) },
            _ => Operation::RemoveFile { path: self.existing(tree, Kind::File) },
        }
    }

    /// Removes an attribute that is there, where there is one.
    fn dropping_attribute(&mut self, tree: &Tree) -> Operation {
        let named = |name: &&String| !name.starts_with(k7fs_core::RESERVED_ATTRIBUTES);
        let all = tree.entries.iter();
        let all =
            all.flat_map(|(path, entry)| entry.extra.attributes.keys().filter(named).map(move |name| (path, name)));
        let all: Vec<(&String, &String)> = all.collect();
        match self.random.pick(&all) {
            Some((path, name)) => Operation::RemoveAttribute { path: (*path).clone(), name: (*name).clone() },
            None => Operation::RemoveAttribute { path: self.anything(tree), name: self.attribute() },
        }
    }

    fn reading(&mut self, tree: &Tree) -> Operation {
        match self.random.below(6) {
            4 => Operation::Attribute { path: self.anything(tree), name: self.attribute() },
            5 => Operation::Attributes { path: self.anything(tree) },
            0 => Operation::Read { path: self.anything(tree) },
            1 => Operation::ReadLink { path: self.existing(tree, Kind::Symlink) },
            2 => Operation::Metadata { path: self.anything(tree) },
            _ => Operation::List { path: self.directory(tree) },
        }
    }

    fn transaction(&mut self, tree: &Tree, model: &Model) -> Operation {
        let count = 1 + self.random.below(4);
        let mut operations = Vec::new();
        for _ in 0..count {
            operations.push(match self.random.below(100) {
                0..2 if self.space.indexes_max > 0 => match self.index_operation(model) {
                    // A handle that is closed in a transaction stays closed where that is given up.
                    Operation::Close { .. } => Operation::CreateSnapshot { name: self.index_name() },
                    operation => operation,
                },
                0..20 => Operation::WriteAt { slot: self.slot(), offset: self.offset(), content: self.content() },
                _ => self.changing(tree),
            });
        }
        Operation::Transaction { operations, commit: self.random.percent(70) }
    }

    fn slot_operation(&mut self, tree: &Tree, model: &Model) -> Operation {
        let slot = self.slot();
        if !model.is_open(slot) {
            let modes = [
                OpenMode::Read,
                OpenMode::ReadWrite,
                OpenMode::ReadWrite,
                OpenMode::Truncate,
                OpenMode::CreateNew,
                OpenMode::Append,
            ];
            let mode = self.random.pick(&modes).copied().unwrap_or(OpenMode::ReadWrite);
            return Operation::Open { slot, path: self.file_or_new(tree), mode };
        }
        match self.random.below(10) {
            0..4 => Operation::WriteAt { slot, offset: self.offset(), content: self.content() },
            4 => Operation::SetLength { slot, length: self.offset() },
            5 | 6 => Operation::ReadAt { slot, offset: self.offset(), length: self.length() },
            7 => Operation::FileMetadata { slot },
            _ => Operation::Close { slot },
        }
    }

    fn slot(&mut self) -> usize {
        self.random.below(SLOT_COUNT as u64) as usize
    }

    fn content(&mut self) -> Content {
        Content::seeded(self.random.below(1 << 16), self.length())
    }

    /// Lengths around what matters: nothing, inline, a page, a logical block, and the largest.
    fn length(&mut self) -> u32 {
        let length = match self.random.below(10) {
            0 => 0,
            1..4 => self.random.below(64) as u32,
            4..6 => self.random.below(600) as u32,
            6 => 4090 + self.random.below(12) as u32,
            7 => self.random.below(3000) as u32,
            _ => self.random.below(u64::from(self.space.length_max) + 1) as u32,
        };
        length.min(self.space.length_max)
    }

    fn offset(&mut self) -> u64 {
        let offset = u64::from(self.length());
        if self.random.percent(10) { offset * 2 } else { offset }
    }

    fn name(&mut self) -> String {
        let number = self.random.below(self.space.names);
        match number % 4 {
            // Long names fill nodes and split them.
            3 => format!("{number:0>90}"),
            _ => format!("n{number}"),
        }
    }

    fn directory(&mut self, tree: &Tree) -> String {
        if self.random.percent(40) {
            return "/".to_owned();
        }
        self.existing(tree, Kind::Directory)
    }

    fn any_path(&mut self, tree: &Tree) -> String {
        let paths: Vec<&String> = directories(tree, self.space.depth);
        let directory = match self.random.percent(60) {
            true => self.random.pick(&paths).map_or(String::new(), |path| (*path).clone()),
            false => String::new(),
        };
        format!("{directory}/{}", self.name())
    }

    fn file_or_new(&mut self, tree: &Tree) -> String {
        if self.random.percent(60) { self.existing(tree, Kind::File) } else { self.any_path(tree) }
    }

    fn anything(&mut self, tree: &Tree) -> String {
        let paths: Vec<&String> = tree.entries.keys().collect();
        match self.random.pick(&paths) {
            Some(path) if self.random.percent(95) => (*path).clone(),
            _ => self.any_path(tree),
        }
    }

    fn existing(&mut self, tree: &Tree, kind: Kind) -> String {
        let entries = tree.entries.iter().filter(|(_, entry)| entry.kind == kind);
        let paths: Vec<&String> = entries.map(|(path, _)| path).collect();
        match self.random.pick(&paths) {
            Some(path) if self.random.percent(95) => (*path).clone(),
            _ => self.any_path(tree),
        }
    }
}

/// Directories that may still hold others.
fn directories(tree: &Tree, depth: u32) -> Vec<&String> {
    let entries = tree.entries.iter().filter(|(_, entry)| entry.kind == Kind::Directory);
    entries.map(|(path, _)| path).filter(|path| path.matches('/').count() <= depth as usize).collect()
}
