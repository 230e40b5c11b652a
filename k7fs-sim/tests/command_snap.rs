//! `k7fs snap`: indexes on an image, from the command line.

mod common;

use std::fs;
use std::path::Path;

use common::{Scratch, fails_saying, ok, s};
use serde_json::Value;

fn snap(action: &str, image: &Path, more: &[&str]) {
    let mut arguments = vec![s("snap"), s(action), image.as_os_str()];
    arguments.extend(more.iter().map(|text| s(text)));
    ok(&arguments);
}

fn json(arguments: &[&str]) -> Value {
    let mut arguments: Vec<_> = arguments.iter().map(|text| s(text)).collect();
    arguments.extend([s("--json"), s("-")]);
    serde_json::from_str(&ok(&arguments)).expect("the output is JSON")
}

fn put(image: &Path, scratch: &Scratch, path: &str, content: &str) {
    let file = scratch.path("content");
    fs::write(&file, content).unwrap();
    ok(&[s("put"), image.as_os_str(), file.as_os_str(), s(path)]);
}

fn cat(image: &Path, index: &str, path: &str) -> String {
    ok(&[s("cat"), s("--index"), s(index), image.as_os_str(), s(path)])
}

fn names(image: &Path) -> Vec<String> {
    let report = json(&["snap", "list", image.to_str().unwrap()]);
    let indexes = report["indexes"].as_array().unwrap();
    indexes.iter().map(|index| index["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn indexes_are_made_compared_and_dropped() {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    ok(&[s("mkfs"), s("--chip"), s("W25Q16JV"), image.as_os_str()]);
    put(&image, &scratch, "/a", "one");
    assert_eq!(names(&image), ["main"]);
    snap("create", &image, &["first"]);
    put(&image, &scratch, "/a", "changed");
    put(&image, &scratch, "/b", "new");
    snap("branch", &image, &["first", "other"]);
    let file = scratch.path("content");
    ok(&[s("put"), s("--index"), s("other"), image.as_os_str(), file.as_os_str(), s("/c")]);
    assert_eq!(cat(&image, "first", "/a"), "one");
    assert_eq!(cat(&image, "main", "/a"), "changed");
    assert_eq!(cat(&image, "other", "/c"), "new");
    let report = json(&["snap", "diff", image.to_str().unwrap(), "first", "main"]);
    let changes: Vec<String> = report["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| format!("{} {} {}", change["change"], change["path"], change["size_after"]))
        .collect();
    assert_eq!(changes, [r#""changed" "/a" 7"#, r#""added" "/b" 3"#]);
    let list = json(&["snap", "list", image.to_str().unwrap()]);
    let exclusive = |name: &str| {
        let indexes = list["indexes"].as_array().unwrap();
        indexes.iter().find(|index| index["name"] == name).unwrap()["exclusive_bytes"].as_u64().unwrap()
    };
    assert!(exclusive("other") > 0 && exclusive("main") > 0);
    snap("rollback", &image, &["first"]);
    assert_eq!(cat(&image, "main", "/a"), "one");
    snap("rename", &image, &["other", "work"]);
    snap("default", &image, &["work"]);
    assert_eq!(ok(&[s("ls"), image.as_os_str()]), "a\nc\n");
    snap("trim", &image, &["first"]);
    snap("trim", &image, &["main"]);
    assert_eq!(names(&image), ["work"]);
    ok(&[s("fsck"), image.as_os_str()]);
    let out = scratch.path("out");
    ok(&[s("export"), s("--index"), s("work"), image.as_os_str(), out.as_os_str()]);
    assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "one");
}

#[test]
fn a_policy_takes_and_trims() {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    ok(&[s("mkfs"), s("--chip"), s("W25Q80BL"), image.as_os_str()]);
    let text = image.to_str().unwrap();
    let report =
        json(&["snap", "policy", text, "--interval", "3600", "--daily", "7", "--weekly", "4", "--monthly", "12"]);
    assert_eq!((&report["daily"], &report["taken"]), (&Value::from(7), &Value::from(false)));
    let report = json(&["snap", "policy", text, "--apply"]);
    assert_eq!((&report["taken"], &report["trimmed"]), (&Value::from(true), &Value::from(0)));
    let report = json(&["snap", "policy", text, "--apply"]);
    assert_eq!(report["taken"], Value::from(false));
    assert!(names(&image).iter().any(|name| name.starts_with("auto-")));
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    ok(&[s("mkfs"), s("--chip"), s("W25Q80BL"), image.as_os_str()]);
    snap("create", &image, &["one"]);
    let long = "n".repeat(256);
    for (action, names, what) in [
        ("create", &["one"][..], "an index has this name already"),
        ("create", &[""], "empty"),
        ("create", &[long.as_str()], "longer than 255"),
        ("rollback", &["gone"], "no such index"),
        ("rollback", &["main"], "only a snapshot"),
        ("trim", &["main"], "the current or the default one"),
        ("branch", &["main", "two"], "only a snapshot"),
        ("diff", &["one", "gone"], "no such index"),
    ] {
        let mut arguments = vec![s("snap"), s(action), image.as_os_str()];
        arguments.extend(names.iter().map(|text| s(text)));
        fails_saying(1, &[what], &arguments);
    }
    let file = scratch.path("content");
    fs::write(&file, "x").unwrap();
    let arguments = [s("put"), s("--index"), s("one"), image.as_os_str(), file.as_os_str(), s("/x")];
    fails_saying(1, &["read"], &arguments);
    assert_eq!(names(&image), ["one", "main"]);
}
