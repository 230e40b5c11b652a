//! Images of authenticated volumes: nothing without the key, everything with it.

mod common;

use std::fs;

use common::{Scratch, fails_saying, ok, s};

#[test]
fn a_volume_with_a_key_takes_it_for_every_command() {
    let scratch = Scratch::new();
    let (image, key, other) = (scratch.path("image"), scratch.path("key"), scratch.path("other-key"));
    let (image, key, other) = (image.as_os_str(), key.as_os_str(), other.as_os_str());
    fs::write(key, [0x5a; 32]).unwrap();
    fs::write(other, format!("{}\n", "5b".repeat(32))).unwrap();
    let tree = scratch.tree("tree", &[("a", b"content of a"), ("d/b", &[7; 9000])]);
    let tree = tree.as_os_str();
    ok(&[s("mkfs"), s("--chip"), s("W25Q80BL"), s("--key-file"), key, image]);
    ok(&[s("import"), s("--key-file"), key, tree, image]);
    assert_eq!(ok(&[s("cat"), s("--key-file"), key, image, s("/a")]), "content of a");
    ok(&[s("fsck"), s("--key-file"), key, image]);
    let info = ok(&[s("info"), s("--key-file"), key, s("--json"), s("-"), image]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["authenticated"], true);
    let last_commit = info["last_commit"].as_u64().unwrap();

    let before = fs::read(image).unwrap();
    fails_saying(1, &["image", "its key is needed"], &[s("ls"), image]);
    fails_saying(2, &["image", "its key is needed"], &[s("fsck"), image]);
    fails_saying(1, &["image", "its key is needed"], &[s("rm"), image, s("/a")]);
    fails_saying(1, &["image", "the key is not the volume's"], &[s("ls"), s("--key-file"), other, image]);
    let newer = (last_commit + 1).to_string();
    let parts = ["image", &format!("number {last_commit}"), "older"];
    fails_saying(1, &parts, &[s("put"), s("--key-file"), key, s("--commit-min"), s(&newer), image, key, s("/k")]);
    fails_saying(1, &["tree", "Is a directory"], &[s("ls"), s("--key-file"), tree, image]);
    fails_saying(
        1,
        &["tree/a", "not a key", "64 hexadecimal digits"],
        &[s("ls"), s("--key-file"), scratch.path("tree/a").as_os_str(), image],
    );
    assert!(fs::read(image).unwrap() == before, "a refused command has changed the image");

    // With what was asked for, all is well.
    ok(&[s("ls"), s("--key-file"), key, s("--commit-min"), s(&last_commit.to_string()), image]);
}

#[test]
fn a_key_for_a_volume_without_one_is_refused() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let key = scratch.path("key");
    fs::write(&key, [0x5a; 32]).unwrap();
    fails_saying(1, &["made without one"], &[s("ls"), s("--key-file"), key.as_os_str(), image.as_os_str()]);
}

/// A block as it was earlier is found out, or taken for a log that a power cut has ended earlier: then a whole earlier state is
/// shown, which nothing but a counter outside of the image can tell from the last one.
#[test]
fn an_image_that_was_changed_is_found_out() {
    let scratch = Scratch::new();
    let (image, key) = (scratch.path("image"), scratch.path("key"));
    fs::write(&key, [0x5a; 32]).unwrap();
    let (image, key) = (image.as_os_str(), key.as_os_str());
    ok(&[s("mkfs"), s("--chip"), s("W25Q80BL"), s("--key-file"), key, image]);
    let file = scratch.path("file");
    let contents: Vec<Vec<u8>> = (0..6).map(|round| vec![round; 300_000]).collect();
    let mut images: Vec<Vec<u8>> = Vec::new();
    for content in &contents {
        // A third of the volume each time: its blocks are used again.
        fs::write(&file, content).unwrap();
        ok(&[s("put"), s("--key-file"), key, image, file.as_os_str(), s("/f")]);
        images.push(fs::read(image).unwrap());
    }
    let info = ok(&[s("info"), s("--key-file"), key, s("--json"), s("-"), image]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let counter = info["last_commit"].as_u64().unwrap().to_string();

    let (last, earlier) = images.split_last().unwrap();
    let mut found_out = 0;
    for block in (4096..last.len()).step_by(7 * 4096) {
        let Some(old) = earlier.iter().rev().find(|old| old[block..block + 4096] != last[block..block + 4096]) else {
            continue;
        };
        let mut spliced = last.clone();
        spliced[block..block + 4096].copy_from_slice(&old[block..block + 4096]);
        fs::write(image, &spliced).unwrap();
        let cat = |more: &[&str]| {
            let arguments: Vec<_> = ["cat"].iter().chain(more).map(|argument| s(argument)).collect();
            common::run(&[&arguments, &[s("--key-file"), key, image, s("/f")][..]].concat())
        };
        let with_counter = cat(&["--commit-min", &counter]);
        if with_counter.status.success() {
            assert!(with_counter.stdout == contents[5], "block {block}: not the last content, in spite of the counter");
        } else {
            found_out += 1;
        }
        let without = cat(&[]);
        if without.status.success() {
            assert!(contents.contains(&without.stdout), "block {block}: content that never was");
        }
    }
    assert!(found_out > 5, "only {found_out} changed images were found out");
}
