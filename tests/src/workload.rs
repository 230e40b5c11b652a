//! Small workloads for the cut ladder.

use k7fs_core::CodecId;
use k7fs_sim::model::{Content, OpenMode, Operation};

use crate::ladder::Workload;

/// Hand-written workloads: one for each way in which something becomes durable.
pub fn named() -> Vec<Workload> {
    vec![
        workload("replace a small file", [write("/a", 1, 60)], [write("/a", 2, 64), write("/a", 3, 0)]),
        workload("replace a long file", [write("/a", 1, 5000)], [write("/a", 2, 4500)]),
        workload(
            "append and sync",
            [open(0, "/log", OpenMode::Append)],
            (0..4).flat_map(|index| [write_at(0, 0, index, 64), Operation::Sync]).collect::<Vec<_>>(),
        ),
        workload(
            "overwrite inside a file and sync",
            [write("/a", 1, 6000), open(0, "/a", OpenMode::ReadWrite)],
            [write_at(0, 1000, 2, 100), Operation::Sync, write_at(0, 4050, 3, 100), Operation::Close { slot: 0 }],
        ),
        workload(
            "names",
            [mkdir("/d"), write("/a", 1, 30), write("/b", 2, 40), write("/d/c", 3, 10)],
            [rename("/a", "/b"), rename("/b", "/d/b"), link("/d/b", "/e"), unlink("/d/b"), rename("/d", "/f")],
        ),
        workload(
            "a transaction over several files",
            [write("/a", 1, 100), write("/b", 2, 3000), mkdir("/d")],
            [Operation::Transaction {
                operations: vec![
                    write("/a", 5, 120),
                    rename("/b", "/d/b"),
                    write("/c", 6, 2000),
                    unlink("/a"),
                    Operation::Update { path: "/d/b".to_owned(), offset: 10, content: Content::seeded(7, 50) },
                ],
                commit: true,
            }],
        ),
        workload(
            "a transaction given up",
            [write("/a", 1, 100)],
            [
                Operation::Transaction { operations: vec![write("/a", 5, 3000), write("/b", 6, 10)], commit: false },
                write("/c", 7, 10),
            ],
        ),
        workload(
            "writes that wait for a commit",
            [write("/a", 1, 10), open(0, "/a", OpenMode::ReadWrite), open(1, "/b", OpenMode::CreateNew)],
            [write_at(0, 5, 2, 300), write_at(1, 0, 3, 80), truncate(0, 100), mkdir("/d"), write_at(1, 9000, 4, 5)],
        ),
        workload(
            "truncate and extend",
            [write("/a", 1, 9000)],
            [resize("/a", 4000), resize("/a", 12_000), resize("/a", 10), resize("/a", 0)],
        ),
        workload(
            "remove an open file",
            [write("/a", 1, 6000), open(0, "/a", OpenMode::ReadWrite), mkdir("/d")],
            [unlink("/a"), write("/b", 2, 20), Operation::Close { slot: 0 }, rmdir("/d")],
        ),
        workload(
            "walk and remove",
            (0..6).map(|index| write(&format!("/f{index}"), index, 50)).collect::<Vec<_>>(),
            [Operation::ListRemoving { path: "/".to_owned() }],
        ),
        workload(
            "attributes",
            [write("/a", 1, 30), attribute("/a", "kept", 2, 1500)],
            [
                attribute("/a", "note", 3, 20),
                attribute("/a", "note", 4, 1200),
                attribute("/a", "note", 5, 9),
                remove_attribute("/a", "kept"),
            ],
        ),
        workload(
            "attributes and metadata with content",
            [write("/a", 1, 30), mkdir("/d"), attribute("/a", "note", 3, 20)],
            [
                posix("/d", 0o1750),
                Operation::Transaction {
                    operations: vec![
                        write("/b", 7, 300),
                        attribute("/b", "note", 8, 40),
                        attribute("/b", "long", 9, 2000),
                        posix("/b", 0o444),
                        remove_attribute("/a", "note"),
                    ],
                    commit: true,
                },
                unlink("/b"),
                rmdir("/d"),
            ],
        ),
        workload(
            "remove an open file with many attributes",
            (0..7)
                .map(|index| attribute("/a", &format!("user.{index}"), index, 10 + index as u32 * 200))
                .fold(vec![write("/a", 1, 900)], |mut all, operation| {
                    all.push(operation);
                    all
                })
                .into_iter()
                .chain([open(0, "/a", OpenMode::ReadWrite), write("/c", 2, 40)])
                .collect::<Vec<_>>(),
            [rename("/c", "/a"), attribute("/a", "user.new", 3, 30), Operation::Close { slot: 0 }],
        ),
        workload(
            "codecs of single files",
            [mkdir("/d"), write("/d/a", 1, 300)],
            [
                choose("/d", Some(CodecId::Store)),
                write("/d/b", 2, 200),
                choose("/d/a", Some(CodecId::Store)),
                Operation::Transaction { operations: vec![choose("/d", None), mkdir("/d/e")], commit: true },
            ],
        ),
        workload(
            "symbolic links",
            [write("/a", 1, 1)],
            [Operation::Symlink { target: "/a".to_owned(), path: "/l".to_owned() }, rename("/l", "/m"), unlink("/m")],
        ),
    ]
}

/// Trees and blocks that go, and content that is put together again: many operations each, with many places to cut.
pub fn space() -> Vec<Workload> {
    vec![
        workload("remove a tree", some_tree(), [rmtree("/d"), write("/a", 9, 30)]),
        workload(
            "remove a tree in a transaction",
            some_tree(),
            [
                Operation::Transaction {
                    operations: vec![rename("/d/e", "/e"), rmtree("/d"), mkdir("/d")],
                    commit: true,
                },
                Operation::Transaction { operations: vec![rmtree("/e"), write("/a", 3, 9)], commit: false },
                rmtree("/e"),
            ],
        ),
        workload(
            "remove a tree with open files",
            [some_tree(), vec![open(0, "/d/long", OpenMode::ReadWrite), open(1, "/d/e/a", OpenMode::ReadWrite)]]
                .concat(),
            [rmtree("/d"), write_at(1, 10, 3, 20), Operation::Close { slot: 0 }, Operation::Close { slot: 1 }],
        ),
        workload(
            "fewer blocks and more",
            [some_tree(), (0..30).map(|index| write("/a", index, 700)).collect(), vec![unlink("/a")]].concat(),
            [
                Operation::LeaveBlocks { count: 4 },
                Operation::EraseAhead { count: 3 },
                write("/a", 9, 800),
                Operation::LeaveBlocks { count: 0 },
            ],
        ),
        workload(
            "idle time",
            [some_tree(), (0..70).map(|round| write("/a", round, 700 + round as u32)).collect()].concat(),
            [
                Operation::Maintain { budget: 3 },
                update("/a", 100, 3, 300),
                Operation::Maintain { budget: 60 },
                write("/b", 1, 500),
                Operation::Maintain { budget: 200 },
                Operation::Scrub { budget: 40 },
                unlink("/a"),
                Operation::Scrub { budget: 1000 },
            ],
        ),
        workload(
            "defragment",
            (0..14)
                .map(|part| update("/a", part * 500 % 3000, part, 200))
                .chain((0..5).map(|part| update("/b", (4 - part) * 4096, part, 4096)))
                .collect::<Vec<_>>(),
            [Operation::Defragment, update("/a", 100, 3, 50), Operation::Defragment],
        ),
    ]
}

/// Content that is worth compressing: written, overwritten in its middle, cut, packed anew.
pub fn packed() -> Workload {
    let rewrite = |seed| write("/a", seed, 9000);
    let moved = (0..60).map(|index| write("/hot", 103 + 2 * index, 4096));
    let setup: Vec<Operation> = [rewrite(101), open(0, "/a", OpenMode::ReadWrite)].into_iter().chain(moved).collect();
    workload(
        "packed content",
        setup,
        [
            write_at(0, 1000, 2, 700),
            Operation::Sync,
            write_at(0, 4096, 105, 4096),
            truncate(0, 5000),
            write("/b", 107, 4096),
            choose("/a", Some(CodecId::Store)),
            rewrite(109),
            Operation::Close { slot: 0 },
        ],
    )
}

/// Shared content: each way in which it comes about, is written to, cut, and goes.
pub fn sharing() -> Vec<Workload> {
    let slot = || open(0, "/b", OpenMode::ReadWrite);
    vec![
        workload(
            "copies of copies",
            [write("/a", 1, 5000)],
            [
                copy("/a", "/b"),
                update("/b", 1000, 2, 700),
                copy("/b", "/c"),
                update("/b", 1200, 3, 60),
                unlink("/a"),
                resize("/c", 1500),
                resize("/c", 3000),
                unlink("/b"),
                unlink("/c"),
            ],
        ),
        workload(
            "chunks",
            [write("/c", 1, 100)],
            [
                chunk("/a", 1, 3000),
                chunk("/b", 1, 3000),
                chunk("/a", 2, 700),
                chunk("/b", 2, 700),
                update("/a", 0, 3, 3500),
                resize("/b", 1500),
                write("/a", 4, 50),
                unlink("/b"),
            ],
        ),
        workload(
            "equal files and open ones",
            [write("/a", 1, 4500), write("/b", 1, 4500), slot(), write_at(0, 4400, 2, 10), write_at(0, 4400, 1, 0)],
            [
                merge("/a", "/b"),
                copy("/a", "/b"),
                write_at(0, 10, 3, 300),
                merge("/a", "/b"),
                unlink("/b"),
                copy("/a", "/a"),
                Operation::Close { slot: 0 },
            ],
        ),
        workload(
            "shared content and snapshots",
            [write("/a", 1, 4000), copy("/a", "/b"), chunk("/b", 2, 300)],
            [
                snapshot("s"),
                unlink("/a"),
                update("/b", 100, 3, 200),
                copy("/b", "/c"),
                snapshot("t"),
                unlink("/b"),
                trim("s"),
                unlink("/c"),
                back("t"),
                trim("t"),
            ],
        ),
        workload(
            "shared content in transactions",
            [write("/a", 1, 3000), copy("/a", "/b")],
            [
                Operation::Transaction {
                    operations: vec![copy("/a", "/c"), unlink("/a"), update("/b", 0, 2, 50), chunk("/b", 3, 600)],
                    commit: true,
                },
                Operation::Transaction { operations: vec![unlink("/b"), write("/c", 4, 9)], commit: false },
                Operation::Transaction { operations: vec![unlink("/b"), copy("/c", "/d"), unlink("/c")], commit: true },
            ],
        ),
    ]
}

/// All sequences of so many operations on content that files share.
pub fn sharing_sequences(length: u32) -> Vec<Workload> {
    let alphabet = [
        copy("/a", "/b"),
        copy("/b", "/a"),
        chunk("/a", 1, 600),
        chunk("/b", 1, 600),
        update("/a", 200, 5, 100),
        resize("/b", 300),
        merge("/a", "/b"),
        unlink("/a"),
        unlink("/b"),
        snapshot("s"),
    ];
    let setup = [write("/a", 1, 700), copy("/a", "/b"), chunk("/b", 1, 600)];
    let count = alphabet.len();
    let sequence = |number: usize| {
        let digits = (0..length).map(|place| number / count.pow(place) % count);
        let mut operations: Vec<Operation> = digits.map(|digit| alphabet[digit].clone()).collect();
        let measured = operations.pop().into_iter().collect();
        let setup = [setup.to_vec(), operations].concat();
        Workload { name: format!("sharing sequence {number} of length {length}"), setup, measured, unmount: false }
    };
    (0..count.pow(length)).map(sequence).collect()
}

/// A directory `/d` with everything that removing it must deal with: content in one piece and in many, attributes, directories
/// with and without names, and a file that has a name outside.
fn some_tree() -> Vec<Operation> {
    [
        vec![
            mkdir("/e"),
            mkdir("/d"),
            rename("/e", "/d/e"),
            mkdir("/d/e/f"),
            mkdir("/d/g"),
            write("/d/e/a", 1, 60),
            write("/d/e/f/b", 2, 9),
        ],
        vec![
            write("/out", 4, 40),
            link("/out", "/d/e/in"),
            attribute("/d/e", "note", 5, 900),
            write("/d/long", 6, 3000),
        ],
        (0..9).map(|part| update("/d/long", part * 5000, part, 20)).collect(),
        (0..4).map(|index| write(&format!("/d/g/{index}"), index, 12)).collect(),
    ]
    .concat()
}

/// Hand-written workloads over indexes: each way in which one becomes another's parent, and each in which one goes.
pub fn indexes() -> Vec<Workload> {
    vec![
        workload(
            "snapshots of what changes",
            [mkdir("/d"), write("/a", 1, 60), write("/b", 2, 1500)],
            [snapshot("s"), write("/a", 3, 70), unlink("/b"), snapshot("t"), rename("/a", "/d/a"), write("/b", 4, 20)],
        ),
        workload(
            "branches and subvolumes",
            [write("/a", 1, 60), snapshot("s")],
            [
                branch("s", "b"),
                subvolume("v"),
                select("b"),
                write("/a", 2, 50),
                rename_index("b", "c"),
                default("c"),
                unlink("/a"),
                rename_index("s", "t"),
                select("v"),
                default("v"),
                write("/v", 3, 9),
            ],
        ),
        workload(
            "trim one that none descends from",
            [lives(0), vec![snapshot("s"), branch("s", "b"), select("b")], lives(1), vec![select("main")]].concat(),
            [trim("b")],
        ),
        workload(
            "trim one that a single index descends from",
            [lives(0), vec![snapshot("s")], lives(1), vec![snapshot("t")], lives(2)].concat(),
            [trim("s"), write("/a", 9, 30), trim("t")],
        ),
        workload(
            "trim one that a snapshot and a branch descend from",
            [
                lives(0),
                vec![snapshot("s"), branch("s", "b"), select("b")],
                lives(1),
                vec![snapshot("t"), select("main")],
                lives(2),
            ]
            .concat(),
            [trim("s"), trim("t"), trim("b")],
        ),
        workload(
            "trim one of three heirs after the other",
            [
                lives(0),
                vec![snapshot("s"), branch("s", "b"), branch("s", "c"), select("b")],
                lives(1),
                vec![select("c")],
                lives(3),
                vec![default("c"), select("main")],
                lives(2),
            ]
            .concat(),
            [trim("s"), trim("b"), select("c"), trim("main")],
        ),
        workload(
            "go back and forth",
            [lives(0), vec![snapshot("s")], lives(1), vec![snapshot("t")], lives(2)].concat(),
            [back("s"), write("/a", 9, 30), back("t"), trim("s"), trim("t")],
        ),
        workload(
            "snapshots of open files",
            [write("/a", 1, 5000), open(0, "/a", OpenMode::ReadWrite), open(1, "/log", OpenMode::Append)],
            [
                write_at(0, 100, 2, 50),
                snapshot("s"),
                unlink("/a"),
                write_at(1, 0, 3, 30),
                snapshot("t"),
                branch("t", "b"),
                Operation::Close { slot: 0 },
                Operation::Close { slot: 1 },
                trim("t"),
                back("s"),
                trim("b"),
            ],
        ),
        workload(
            "remove a tree that a snapshot has",
            [some_tree(), vec![snapshot("s"), write("/d/e/new", 7, 30)]].concat(),
            [rmtree("/d"), snapshot("t"), back("s"), rmtree("/d/e"), trim("t"), trim("s")],
        ),
        workload(
            "more versions than one step takes",
            [
                (0..24).map(|index| write(&format!("/f{index}"), index, 40)).collect::<Vec<_>>(),
                vec![snapshot("s")],
                (0..24).step_by(2).map(|index| write(&format!("/f{index}"), index + 50, 45)).collect(),
                (1..24).step_by(4).map(|index| unlink(&format!("/f{index}"))).collect(),
            ]
            .concat(),
            [trim("s"), snapshot("t"), unlink("/f0"), back("t")],
        ),
    ]
}

/// A part of a small file system's life: each overwrites, deletes and makes something that the others know.
fn lives(part: u64) -> Vec<Operation> {
    match part {
        0 => vec![mkdir("/d"), write("/a", 1, 60), write("/b", 2, 700), write("/c", 3, 5000), write("/d/e", 4, 10)],
        1 => vec![
            unlink("/a"),
            Operation::Update { path: "/c".to_owned(), offset: 4000, content: Content::seeded(5, 200) },
        ],
        2 => vec![write("/a", 6, 61), unlink("/c"), rename("/d/e", "/e"), write("/b", 7, 20)],
        _ => vec![rename("/d", "/g"), resize("/c", 100), write("/b", 8, 800), link("/b", "/h")],
    }
}

/// All sequences of so many operations on indexes and of the files that they differ in, after a setup that leaves two
/// snapshots and a branch.
pub fn index_sequences(length: u32) -> Vec<Workload> {
    let alphabet = [
        snapshot("u"),
        branch("s", "v"),
        trim("s"),
        trim("t"),
        trim("b"),
        back("s"),
        back("t"),
        select("b"),
        default("b"),
        write("/a", 9, 40),
        unlink("/a"),
    ];
    let setup = [
        vec![
            write("/a", 1, 50),
            snapshot("s"),
            write("/a", 2, 60),
            write("/b", 3, 300),
            snapshot("t"),
            branch("s", "b"),
        ],
        vec![select("b"), write("/c", 4, 20), select("main"), unlink("/b")],
    ]
    .concat();
    let count = alphabet.len();
    let sequence = |number: usize| {
        let digits = (0..length).map(|place| number / count.pow(place) % count);
        let mut operations: Vec<Operation> = digits.map(|digit| alphabet[digit].clone()).collect();
        let measured = operations.pop().into_iter().collect();
        let setup = [setup.clone(), operations].concat();
        Workload { name: format!("index sequence {number} of length {length}"), setup, measured, unmount: false }
    };
    (0..count.pow(length)).map(sequence).collect()
}

/// Rewrites small and long files until blocks are cleaned and erased: `rounds` undisturbed, then `measured`.
pub fn wearing(rounds: u64, measured: u64) -> Workload {
    let round = |index: u64| match index % 5 {
        0 => write("/long", index, 4000),
        1 => write("/cold", 7, 700),
        2 => write(&format!("/s{}", index % 20), index, 90),
        3 => Operation::Update { path: "/long".to_owned(), offset: index % 3000, content: Content::seeded(index, 200) },
        _ => write("/s", index, 60),
    };
    let mut workload = workload(
        "rewrite until blocks are erased",
        (0..rounds).map(round).collect::<Vec<_>>(),
        (rounds..rounds + measured).map(round).collect::<Vec<_>>(),
    );
    workload.name = format!("{} ({rounds} rounds)", workload.name);
    workload
}

/// The alphabet of [`sequences`]: operations on a namespace so tiny that they meet.
fn alphabet() -> Vec<Operation> {
    vec![
        write("/a", 1, 50),
        write("/b", 2, 1500),
        rename("/a", "/b"),
        rename("/b", "/d/a"),
        link("/a", "/d/a"),
        unlink("/a"),
        mkdir("/d"),
        open(0, "/a", OpenMode::ReadWrite),
        write_at(0, 30, 3, 70),
        Operation::Sync,
        Operation::Transaction { operations: vec![write("/a", 4, 20), mkdir("/d"), rename("/b", "/c")], commit: true },
        attribute("/a", "note", 5, 700),
    ]
}

/// All sequences of one, two and three operations over a tiny namespace. Only the last operation of each is cut: the
/// ones before it are the last of a shorter one.
pub fn sequences(length_max: u32) -> Vec<Workload> {
    let alphabet = alphabet();
    let count = alphabet.len();
    let mut workloads = Vec::new();
    for length in 1..=length_max {
        for number in 0..count.pow(length) {
            let digits = (0..length).map(|place| number / count.pow(place) % count);
            let mut operations: Vec<Operation> = digits.map(|digit| alphabet[digit].clone()).collect();
            let last = operations.pop().into_iter().collect();
            let name = format!("sequence {number} of length {length}");
            workloads.push(Workload { name, setup: operations, measured: last, unmount: false });
        }
    }
    workloads
}

fn workload(name: &str, setup: impl Into<Vec<Operation>>, measured: impl Into<Vec<Operation>>) -> Workload {
    Workload { name: name.to_owned(), setup: setup.into(), measured: measured.into(), unmount: true }
}

/// Writes a whole file of seeded content.
pub fn write(path: &str, seed: u64, length: u32) -> Operation {
    Operation::Write { path: path.to_owned(), content: Content::seeded(seed, length) }
}

/// Opens a slot.
pub fn open(slot: usize, path: &str, mode: OpenMode) -> Operation {
    Operation::Open { slot, path: path.to_owned(), mode }
}

/// Writes seeded content through a slot.
pub fn write_at(slot: usize, offset: u64, seed: u64, length: u32) -> Operation {
    Operation::WriteAt { slot, offset, content: Content::seeded(seed, length) }
}

fn truncate(slot: usize, length: u64) -> Operation {
    Operation::SetLength { slot, length }
}

/// Cuts off or extends a file.
pub fn resize(path: &str, length: u64) -> Operation {
    Operation::Resize { path: path.to_owned(), length }
}

/// Creates a directory.
pub fn mkdir(path: &str) -> Operation {
    Operation::CreateDirectory { path: path.to_owned() }
}

fn rmdir(path: &str) -> Operation {
    Operation::RemoveDirectory { path: path.to_owned() }
}

/// Removes a file.
pub fn unlink(path: &str) -> Operation {
    Operation::RemoveFile { path: path.to_owned() }
}

/// Removes a directory with everything below it.
pub fn rmtree(path: &str) -> Operation {
    Operation::RemoveTree { path: path.to_owned() }
}

fn update(path: &str, offset: u64, seed: u64, length: u32) -> Operation {
    Operation::Update { path: path.to_owned(), offset, content: Content::seeded(seed, length) }
}

/// Sets an attribute.
pub fn attribute(path: &str, name: &str, seed: u64, length: u32) -> Operation {
    Operation::SetAttribute { path: path.to_owned(), name: name.to_owned(), content: Content::seeded(seed, length) }
}

/// Removes an attribute.
pub fn remove_attribute(path: &str, name: &str) -> Operation {
    Operation::RemoveAttribute { path: path.to_owned(), name: name.to_owned() }
}

fn posix(path: &str, mode: u16) -> Operation {
    Operation::SetPosix { path: path.to_owned(), mode, uid: 1000, gid: 100, accessed: None }
}

fn choose(path: &str, codec: Option<CodecId>) -> Operation {
    Operation::ChooseCodec { path: path.to_owned(), codec }
}

/// Renames.
pub fn rename(from: &str, to: &str) -> Operation {
    Operation::Rename { from: from.to_owned(), to: to.to_owned() }
}

fn link(existing: &str, new: &str) -> Operation {
    Operation::HardLink { existing: existing.to_owned(), new: new.to_owned() }
}

/// Makes a copy.
pub fn copy(from: &str, to: &str) -> Operation {
    Operation::Copy { from: from.to_owned(), to: to.to_owned() }
}

/// Appends seeded content as a chunk.
pub fn chunk(path: &str, seed: u64, length: u32) -> Operation {
    Operation::AppendChunk { path: path.to_owned(), content: Content::seeded(seed, length) }
}

fn merge(first: &str, second: &str) -> Operation {
    Operation::Deduplicate { first: first.to_owned(), second: second.to_owned() }
}

/// Takes a snapshot.
pub fn snapshot(name: &str) -> Operation {
    Operation::CreateSnapshot { name: name.to_owned() }
}

/// Makes a branch.
pub fn branch(from: &str, name: &str) -> Operation {
    Operation::CreateBranch { from: from.to_owned(), name: name.to_owned() }
}

fn subvolume(name: &str) -> Operation {
    Operation::CreateSubvolume { name: name.to_owned() }
}

/// Works on another index.
pub fn select(name: &str) -> Operation {
    Operation::SelectIndex { name: name.to_owned() }
}

/// Trims an index.
pub fn trim(name: &str) -> Operation {
    Operation::TrimIndex { name: name.to_owned() }
}

fn back(to: &str) -> Operation {
    Operation::RollBack { to: to.to_owned() }
}

fn rename_index(from: &str, to: &str) -> Operation {
    Operation::RenameIndex { from: from.to_owned(), to: to.to_owned() }
}

fn default(name: &str) -> Operation {
    Operation::SetDefaultIndex { name: name.to_owned() }
}
