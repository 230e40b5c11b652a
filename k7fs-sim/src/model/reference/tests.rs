//! What the model says of itself.

use k7fs_core::Error;

use super::*;
use crate::model::{Content, Generator, Oracle, Space};

fn write(path: &str, length: u32) -> Operation {
    Operation::Write { path: path.to_owned(), content: Content::seeded(1, length) }
}

#[test]
fn hard_links_share_content_and_count() {
    let mut model = Model::new();
    model.apply(&write("/a", 10));
    model.apply(&Operation::HardLink { existing: "/a".to_owned(), new: "/b".to_owned() });
    model.apply(&write("/b", 20));
    let tree = model.tree();
    assert_eq!((tree.entries["/a"].links, tree.entries["/a"].content.len()), (2, 20));
    assert_eq!(tree.entries["/b"].first_name, "/a");
}

#[test]
fn a_removed_open_file_lives_until_it_is_closed() {
    let mut model = Model::new();
    model.apply(&Operation::Open { slot: 0, path: "/a".to_owned(), mode: OpenMode::CreateNew });
    model.apply(&Operation::RemoveFile { path: "/a".to_owned() });
    model.apply(&Operation::WriteAt { slot: 0, offset: 0, content: Content::seeded(1, 5) });
    assert_eq!(model.content_bytes(), 5);
    assert!(model.tree().entries.is_empty());
    model.apply(&Operation::Close { slot: 0 });
    assert_eq!(model.content_bytes(), 0);
}

#[test]
fn pending_writes_are_a_prefix_after_a_cut() {
    let mut oracle = Oracle::new();
    let run = |oracle: &mut Oracle, operation: Operation| {
        oracle.start(&operation);
        let outcome = oracle.model().clone().apply(&operation);
        oracle.finish(&operation, &outcome).map(|_| ()).expect("the model agrees with itself");
    };
    run(&mut oracle, Operation::Open { slot: 0, path: "/a".to_owned(), mode: OpenMode::CreateNew });
    run(&mut oracle, Operation::Sync);
    for place in 0..3 {
        run(&mut oracle, Operation::WriteAt { slot: 0, offset: place, content: Content::seeded(place, 1) });
    }
    let lengths: Vec<usize> = oracle.candidates().iter().map(|tree| tree.entries["/a"].content.len()).collect();
    assert_eq!(lengths, [0, 1, 2, 3]);
    run(&mut oracle, write("/b", 1));
    assert_eq!(oracle.candidates().len(), 1);
}

#[test]
fn a_long_write_may_stop_at_a_logical_block() {
    let mut oracle = Oracle::new();
    let open = Operation::Open { slot: 0, path: "/a".to_owned(), mode: OpenMode::CreateNew };
    oracle.start(&open);
    oracle.finish(&open, &Outcome::Done).map(|_| ()).expect("agrees");
    oracle.start(&Operation::WriteAt { slot: 0, offset: 4000, content: Content::seeded(1, 5000) });
    let lengths: Vec<usize> =
        oracle.candidates().iter().map(|tree| tree.entries.get("/a").map_or(0, |entry| entry.content.len())).collect();
    assert_eq!(lengths, [0, 0, 4096, 8192, 9000], "before the open, after it, and at each boundary");
}

#[test]
fn a_transaction_given_up_leaves_nothing() {
    let mut model = Model::new();
    model.apply(&write("/a", 3));
    let before = model.tree();
    let operations = vec![write("/a", 9), Operation::CreateDirectory { path: "/d".to_owned() }];
    let outcome = model.apply(&Operation::Transaction { operations, commit: false });
    assert_eq!(outcome.error(), Some(Operation::GIVEN_UP));
    assert_eq!(model.tree(), before);
}

#[test]
fn indexes_are_states_of_their_own() {
    let mut model = Model::new();
    let name = |name: &str| name.to_owned();
    model.apply(&write("/a", 10));
    assert!(model.tree().indexes.is_empty(), "one index shows nothing");
    assert_eq!(model.apply(&Operation::CreateSnapshot { name: name("s") }), Outcome::Done);
    model.apply(&write("/a", 20));
    assert_eq!(model.apply(&Operation::CreateBranch { from: name("s"), name: name("b") }), Outcome::Done);
    assert_eq!(model.apply(&Operation::SelectIndex { name: name("b") }), Outcome::Done);
    assert_eq!(model.tree().entries["/a"].content.len(), 10);
    model.apply(&write("/b", 1));
    assert_eq!(model.apply(&Operation::RollBack { to: name("s") }), Outcome::Done);
    assert!(!model.tree().entries.contains_key("/b"));
    let model = model.after_mount();
    assert_eq!((model.current_index(), model.tree().entries["/a"].content.len()), ("main", 20));
}

#[test]
fn open_files_and_snapshots_refuse() {
    let mut model = Model::new();
    model.apply(&Operation::CreateSnapshot { name: "s".to_owned() });
    model.apply(&Operation::Open { slot: 0, path: "/a".to_owned(), mode: OpenMode::CreateNew });
    let select = Operation::SelectIndex { name: "s".to_owned() };
    assert_eq!(model.apply(&select), Outcome::Failed(Error::Busy));
    model.apply(&Operation::Close { slot: 0 });
    assert_eq!(model.apply(&select), Outcome::Done);
    assert_eq!(model.apply(&write("/a", 1)), Outcome::Failed(Error::ReadOnly));
    assert_eq!(model.apply(&Operation::TrimIndex { name: "s".to_owned() }), Outcome::Failed(Error::IndexInUse));
}

#[test]
fn generated_operations_keep_the_model_sound() {
    let space = Space { names: 8, depth: 3, length_max: 5000, bytes_max: 60_000, indexes_max: 5 };
    let mut generator = Generator::new(7, space);
    let mut model = Model::new();
    let mut succeeded = 0;
    for _ in 0..3000 {
        let operation = generator.next_operation(&model);
        succeeded += u32::from(model.apply(&operation).error().is_none());
    }
    assert!(succeeded > 1500, "only {succeeded} of 3000 made sense");
    let tree = model.tree();
    for (path, entry) in &tree.entries {
        let names = tree.entries.values().filter(|other| other.first_name == entry.first_name).count();
        assert_eq!(entry.links as usize, names, "{path}");
    }
}
