//! Sequences for proptest: every operation, in a namespace so tiny that they meet all the time.

use k7fs_core::{CodecId, Device, Kind, Timestamp};
use k7fs_sim::chip::CutKind;
use k7fs_sim::model::{Content, OpenMode, Operation, SLOT_COUNT};
use proptest::prelude::*;

use crate::sequence::Step;

/// Names in a directory. The long one makes nodes overflow.
const NAMES: [&str; 4] = ["a", "b", "Ω-ß", "a-name-of-sixty-bytes-that-fills-the-nodes-of-small-pages-xy"];

/// A sequence of up to `length_max` steps whose writes have up to `bytes_max` bytes.
pub fn steps(length_max: usize, bytes_max: u32) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(bytes_max), 1..=length_max)
}

fn step(bytes_max: u32) -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => operation(bytes_max).prop_map(Step::Do),
        1 => Just(Step::Do(Operation::Remount)),
        1 => Just(Step::Do(Operation::Restart)),
        2 => cut(),
    ]
}

fn cut() -> impl Strategy<Value = Step> {
    (0_u64..24, prop::sample::select(&CutKind::LADDER[..])).prop_map(|(after, kind)| Step::Cut { after, kind })
}

/// One operation, transactions included.
pub fn operation(bytes_max: u32) -> impl Strategy<Value = Operation> {
    let inner = prop_oneof![16 => changing(bytes_max), 4 => through_slot(bytes_max), 1 => indexes()];
    let transaction = (prop::collection::vec(inner, 1..5), prop::bool::weighted(0.7))
        .prop_map(|(operations, commit)| Operation::Transaction { operations, commit });
    prop_oneof![
        8 => changing(bytes_max),
        5 => slot(bytes_max),
        2 => reading(),
        1 => transaction,
        1 => Just(Operation::Sync),
        2 => indexes(),
    ]
}

/// Few names, so that there are few indexes: on the smallest chips what snapshots hold on to is soon everything.
fn indexes() -> impl Strategy<Value = Operation> {
    prop_oneof![
        5 => index().prop_map(|name| Operation::CreateSnapshot { name }),
        2 => (index(), index()).prop_map(|(from, name)| Operation::CreateBranch { from, name }),
        1 => index().prop_map(|name| Operation::CreateSubvolume { name }),
        3 => index().prop_map(|name| Operation::SelectIndex { name }),
        2 => index().prop_map(|to| Operation::RollBack { to }),
        4 => index().prop_map(|name| Operation::TrimIndex { name }),
        1 => (index(), index()).prop_map(|(from, to)| Operation::RenameIndex { from, to }),
        1 => index().prop_map(|name| Operation::SetDefaultIndex { name }),
    ]
}

fn index() -> impl Strategy<Value = String> {
    let names = prop_oneof![
        6 => Just("main"),
        8 => Just("s"),
        6 => Just("t"),
        4 => Just("b"),
        2 => Just("c"),
        1 => Just("a/b"),
        1 => Just(""),
    ];
    names.prop_map(str::to_owned)
}

fn changing(bytes_max: u32) -> impl Strategy<Value = Operation> {
    prop_oneof![
        5 => (path(), content(bytes_max)).prop_map(|(path, content)| Operation::Write { path, content }),
        3 => (path(), offset(bytes_max), content(bytes_max))
            .prop_map(|(path, offset, content)| Operation::Update { path, offset, content }),
        2 => (path(), content(bytes_max)).prop_map(|(path, content)| Operation::Append { path, content }),
        2 => (path(), offset(bytes_max)).prop_map(|(path, length)| Operation::Resize { path, length }),
        1 => path().prop_map(|path| Operation::Create { path }),
        3 => path().prop_map(|path| Operation::CreateDirectory { path }),
        1 => path().prop_map(|path| Operation::RemoveDirectory { path }),
        1 => path().prop_map(|path| Operation::RemoveTree { path }),
        2 => path().prop_map(|path| Operation::RemoveFile { path }),
        4 => (path(), path()).prop_map(|(from, to)| Operation::Rename { from, to }),
        1 => (path(), path()).prop_map(|(target, path)| Operation::Symlink { target, path }),
        1 => (path(), path()).prop_map(|(existing, new)| Operation::HardLink { existing, new }),
        5 => extra(bytes_max),
        2 => (path(), path()).prop_map(|(from, to)| Operation::Copy { from, to }),
        1 => (path(), path()).prop_map(|(first, second)| Operation::Deduplicate { first, second }),
        2 => (path(), 0..2u64, prop_oneof![Just(200), Just(bytes_max.min(5000))])
            .prop_map(|(path, seed, length)| Operation::AppendChunk { path, content: Content::seeded(seed, length) }),
    ]
}

/// Attributes, metadata, what has no content.
fn extra(bytes_max: u32) -> impl Strategy<Value = Operation> {
    let special = prop_oneof![
        Just((Kind::Fifo, Device::default())),
        Just((Kind::Socket, Device::default())),
        any::<(u32, u32)>().prop_map(|(major, minor)| (Kind::BlockDevice, Device { major, minor })),
        any::<(u8, u8)>().prop_map(|(a, b)| (Kind::CharacterDevice, Device { major: a.into(), minor: b.into() })),
    ];
    prop_oneof![
        4 => (path(), name(), content(bytes_max)).prop_map(|(path, name, content)| Operation::SetAttribute {
            path,
            name: name.to_owned(),
            content,
        }),
        2 => (path(), name()).prop_map(|(path, name)| Operation::RemoveAttribute { path, name: name.to_owned() }),
        1 => (path(), name(), content(bytes_max)).prop_map(|(path, name, content)| Operation::SetStream {
            path,
            stream: name.to_owned(),
            content,
        }),
        1 => (path(), 0..=0o7777_u16, 0..2_u32, any::<u32>(), prop::option::of(0..1_u64 << 60)).prop_map(
            |(path, mode, uid, gid, accessed)| Operation::SetPosix {
                path,
                mode,
                uid,
                gid,
                accessed: accessed.map(Timestamp::from_nt),
            }
        ),
        1 => (path(), any::<u32>()).prop_map(|(path, attributes)| Operation::SetNt { path, attributes }),
        1 => (path(), prop_oneof!["", "[A-Z]{1,8}~1"]).prop_map(|(path, name)| Operation::SetShortName { path, name }),
        1 => (path(), prop::option::of(Just(CodecId::Store)))
            .prop_map(|(path, codec)| Operation::ChooseCodec { path, codec }),
        1 => (path(), special)
            .prop_map(|(path, (kind, device))| Operation::CreateSpecial { path, kind, device }),
    ]
}

fn through_slot(bytes_max: u32) -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (0..SLOT_COUNT, offset(bytes_max), content(bytes_max))
            .prop_map(|(slot, offset, content)| Operation::WriteAt { slot, offset, content }),
        1 => (0..SLOT_COUNT, offset(bytes_max)).prop_map(|(slot, length)| Operation::SetLength { slot, length }),
    ]
}

fn slot(bytes_max: u32) -> impl Strategy<Value = Operation> {
    let mode = prop::sample::select(vec![
        OpenMode::Read,
        OpenMode::ReadWrite,
        OpenMode::ReadWrite,
        OpenMode::Truncate,
        OpenMode::CreateNew,
        OpenMode::Append,
    ]);
    prop_oneof![
        4 => (0..SLOT_COUNT, path(), mode).prop_map(|(slot, path, mode)| Operation::Open { slot, path, mode }),
        6 => through_slot(bytes_max),
        2 => (0..SLOT_COUNT, offset(bytes_max), 0..bytes_max)
            .prop_map(|(slot, offset, length)| Operation::ReadAt { slot, offset, length }),
        1 => (0..SLOT_COUNT).prop_map(|slot| Operation::FileMetadata { slot }),
        2 => (0..SLOT_COUNT).prop_map(|slot| Operation::Close { slot }),
    ]
}

fn reading() -> impl Strategy<Value = Operation> {
    prop_oneof![
        path().prop_map(|path| Operation::Read { path }),
        path().prop_map(|path| Operation::ReadLink { path }),
        path().prop_map(|path| Operation::Metadata { path }),
        (path(), name()).prop_map(|(path, name)| Operation::Attribute { path, name: name.to_owned() }),
        path().prop_map(|path| Operation::Attributes { path }),
        directory().prop_map(|path| Operation::List { path }),
        directory().prop_map(|path| Operation::ListRemoving { path }),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(NAMES[0]), 4 => Just(NAMES[1]), 1 => Just(NAMES[2]), 1 => Just(NAMES[3])]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(name(), 1..=3).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn directory() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), path()]
}

/// Lengths around the limits of inline values, pages and logical blocks.
fn length(bytes_max: u32) -> impl Strategy<Value = u32> {
    let limits =
        prop::sample::select(vec![0, 1, 16, 63, 64, 65, 127, 128, 200, 255, 256, 257, 512, 1024, 4095, 4096, 4097]);
    prop_oneof![3 => limits, 2 => 0..300_u32, 2 => 0..=bytes_max].prop_map(move |length| length.min(bytes_max))
}

fn offset(bytes_max: u32) -> impl Strategy<Value = u64> {
    length(bytes_max).prop_map(u64::from)
}

fn content(bytes_max: u32) -> impl Strategy<Value = Content> {
    (0_u64..1000, length(bytes_max)).prop_map(|(seed, length)| Content::seeded(seed, length))
}
