//! Modes, owners, attributes, devices and holes go in and come back; and what happens where they may not.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use common::{Scratch, fails_saying, ok, run, s};

/// An owner that is neither root nor, most likely, anybody.
const STRANGER: u32 = 54_321;
/// Where a file's data lies between its holes.
const ISLANDS: [u64; 3] = [200_000, 1 << 20, 5 << 20];

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn import(tree: &Path, image: &Path) {
    ok(&[s("import"), tree.as_os_str(), image.as_os_str()]);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Whether this file system takes attributes of users.
fn set_attribute(path: &Path, name: &str, value: &[u8]) -> bool {
    xattr::set(path, name, value).is_ok()
}

fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let names = xattr::list(path).map(Iterator::collect).unwrap_or_else(|_| Vec::new());
    let named = names.into_iter().filter(|name: &std::ffi::OsString| name.to_string_lossy().starts_with("user."));
    let mut all: Vec<(String, Vec<u8>)> =
        named.map(|name| (name.to_str().unwrap().to_owned(), xattr::get(path, &name).unwrap().unwrap())).collect();
    all.sort();
    all
}

/// Files of every kind and mode below a new directory.
fn sample(scratch: &Scratch) -> std::path::PathBuf {
    let tree = scratch.tree("tree", &[("plain", b"p"), ("tool", b"#!"), ("dir/inside", b"i"), ("readonly", b"r")]);
    symlink("plain", tree.join("link")).unwrap();
    make_fifo(&tree.join("fifo"));
    fs::hard_link(tree.join("fifo"), tree.join("dir/fifo again")).unwrap();
    let short = std::env::temp_dir().join(format!("k7fs-m{}", std::process::id()));
    let _ = fs::remove_file(&short);
    let _ = std::os::unix::net::UnixListener::bind(&short).unwrap();
    if fs::rename(&short, tree.join("socket")).is_err() {
        fs::remove_file(&short).unwrap();
    }
    set_attribute(&tree.join("plain"), "user.note", b"a note");
    set_attribute(&tree.join("plain"), "user.empty", b"");
    set_attribute(&tree.join("dir"), "user.long", &[7; 3000]);
    if is_root() {
        for name in ["plain", "dir", "link", "fifo"] {
            lchown(tree.join(name), Some(1234), Some(567)).unwrap();
        }
        let made = |kind: &str, name: &str, major: &str, minor: &str| {
            Command::new("mknod").arg(tree.join(name)).args([kind, major, minor]).status().unwrap().success()
        };
        let _ = made("c", "null", "1", "3") && made("b", "disk", "259", "70000");
    }
    for (name, mode) in [("plain", 0o600), ("tool", 0o4755), ("readonly", 0o400), ("fifo", 0o622), ("dir", 0o1777)] {
        set_mode(&tree.join(name), mode);
    }
    set_mode(&tree, 0o750);
    tree
}

/// Pages of an image of a NOR chip that differ from what they were.
fn changed_pages(before: &[u8], image: &Path) -> usize {
    let after = fs::read(image).unwrap();
    before.chunks(256).zip(after.chunks(256)).filter(|(before, after)| before != after).count()
}

/// What is shown of a path.
#[derive(Debug, PartialEq)]
struct Shown {
    mode: u32,
    owner: (u32, u32),
    device: u64,
    /// Seconds and ticks.
    modified: (i64, i64),
    attributes: Vec<(String, Vec<u8>)>,
}

fn shown(path: &Path) -> Shown {
    let metadata = fs::symlink_metadata(path).unwrap();
    Shown {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        device: metadata.rdev(),
        modified: (metadata.mtime(), metadata.mtime_nsec() / 100),
        attributes: attributes(path),
    }
}

#[test]
fn everything_of_posix_comes_back() {
    let scratch = Scratch::new();
    let tree = sample(&scratch);
    let image = scratch.image("W25Q16JV");
    import(&tree, &image);
    let back = scratch.path("back");
    ok(&[s("export"), image.as_os_str(), back.as_os_str()]);
    let names = ["plain", "tool", "dir", "dir/inside", "readonly", "link", "fifo", "socket", "null", "disk", "."];
    for name in names.into_iter().filter(|name| fs::symlink_metadata(tree.join(name)).is_ok()) {
        assert_eq!(shown(&tree.join(name)), shown(&back.join(name)), "{name}");
    }
    assert!(fs::symlink_metadata(back.join("fifo")).unwrap().file_type().is_fifo());
    let inode = |name: &str| fs::symlink_metadata(back.join(name)).unwrap().ino();
    assert_eq!(inode("fifo"), inode("dir/fifo again"));
    assert!(ok(&[s("fsck"), image.as_os_str()]).starts_with("clean"));
}

/// Times of last access come back where they were asked for; those of the last change are the host's own, but the volume has them.
#[test]
fn all_times_are_kept_where_they_are_asked_for() {
    let scratch = Scratch::new();
    let tree = scratch.tree("tree", &[("plain", b"p"), ("dir/inside", b"i")]);
    symlink("plain", tree.join("link")).unwrap();
    let old = filetime::FileTime::from_unix_time(1_000_000_000, 123_456_700);
    for name in ["plain", "dir/inside", "link", "dir", "."] {
        let modified = filetime::FileTime::from_unix_time(1_100_000_000, 700);
        filetime::set_symlink_file_times(tree.join(name), old, modified).unwrap();
    }
    let accessed = |path: &Path| {
        let metadata = fs::symlink_metadata(path).unwrap();
        (metadata.atime(), metadata.atime_nsec())
    };
    let image = scratch.image("W25Q16JV");
    ok(&[s("import"), s("--all-times"), tree.as_os_str(), image.as_os_str()]);
    let (back, plain_back) = (scratch.path("back"), scratch.path("plain-back"));
    ok(&[s("export"), image.as_os_str(), back.as_os_str()]);
    for name in ["plain", "dir/inside", "link"] {
        assert_eq!(accessed(&back.join(name)), (1_000_000_000, 123_456_700), "{name}");
        assert_eq!(shown(&tree.join(name)), shown(&back.join(name)), "{name}");
    }
    // What was not asked for stays as the volume has it, or unknown.
    let other = scratch.image("W25Q80BL");
    import(&tree, &other);
    ok(&[s("export"), other.as_os_str(), plain_back.as_os_str()]);
    assert_ne!(accessed(&plain_back.join("plain")).0, 1_000_000_000);
    assert!(ok(&[s("fsck"), image.as_os_str()]).starts_with("clean"));
}

#[test]
fn an_unchanged_tree_is_imported_without_a_write() {
    let scratch = Scratch::new();
    let tree = sample(&scratch);
    let image = scratch.image("W25Q16JV");
    import(&tree, &image);
    import(&tree, &image);
    let before = fs::read(&image).unwrap();
    import(&tree, &image);
    // The record of a clean stop, in both checkpoint blocks, is all that differs.
    assert!(changed_pages(&before, &image) <= 2, "an import of what is there has written");
    // What has changed is changed, and nothing else.
    set_mode(&tree.join("plain"), 0o640);
    let has_attributes = set_attribute(&tree.join("plain"), "user.new", b"new");
    let _ = xattr::remove(tree.join("plain"), "user.note");
    fs::remove_file(tree.join("fifo")).unwrap();
    fs::write(tree.join("fifo"), "no longer one").unwrap();
    import(&tree, &image);
    let back = scratch.path("back");
    ok(&[s("export"), image.as_os_str(), back.as_os_str()]);
    for name in ["plain", "dir", "fifo", "dir/fifo again", "tool"] {
        assert_eq!(shown(&tree.join(name)), shown(&back.join(name)), "{name}");
    }
    if has_attributes {
        let listed = ok(&[s("attr"), image.as_os_str(), s("/plain")]);
        assert_eq!(listed, "    0 user.empty\n    3 user.new\n");
    }
}

#[test]
fn holes_stay_holes() {
    let scratch = Scratch::new();
    let tree = scratch.tree("tree", &[("plain", b"p")]);
    let file = fs::File::create(tree.join("sparse")).unwrap();
    for place in ISLANDS {
        file.write_all_at(&[9; 5000], place).unwrap();
    }
    // Far more than the chip holds.
    file.set_len(40 << 20).unwrap();
    let image = scratch.image("W25Q80BL");
    import(&tree, &image);
    let back = scratch.path("back");
    ok(&[s("export"), image.as_os_str(), back.as_os_str()]);
    assert!(fs::read(tree.join("sparse")).unwrap() == fs::read(back.join("sparse")).unwrap());
    let blocks = |root: &Path| fs::metadata(root.join("sparse")).unwrap().blocks();
    if blocks(&tree) * 512 < 1 << 20 {
        assert!(blocks(&back) <= blocks(&tree) + 64, "{} blocks, {} before", blocks(&back), blocks(&tree));
    }
}

#[test]
fn who_is_not_root_is_told_what_stays_behind() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let tree = sample(&scratch);
    let image = scratch.image("W25Q16JV");
    import(&tree, &image);
    let shared = std::env::temp_dir().join(format!("k7fs-s{}", std::process::id()));
    fs::create_dir(&shared).unwrap();
    set_mode(&shared, 0o777);
    let copy = shared.join("copy.img");
    fs::copy(&image, &copy).unwrap();
    set_mode(&copy, 0o666);
    let binary = shared.join("k7fs");
    fs::copy(env!("CARGO_BIN_EXE_k7fs"), &binary).unwrap();
    set_mode(&binary, 0o755);
    let back = shared.join("back");
    let mut command = Command::new(&binary);
    command.arg("export").arg(&copy).arg(&back).uid(STRANGER).gid(STRANGER);
    let output = command.output().unwrap();
    let warning = String::from_utf8(output.stderr).unwrap();
    let tool = fs::symlink_metadata(back.join("tool"));
    let plain = fs::read(back.join("plain"));
    let fifo = fs::symlink_metadata(back.join("fifo"));
    fs::remove_dir_all(&shared).unwrap();
    assert!(output.status.success(), "{warning}");
    assert_eq!(warning.lines().count(), 1, "{warning}");
    assert!(warning.contains("not restored") && warning.contains("owners"), "{warning}");
    let tool = tool.unwrap();
    // A set-user bit of root's must not become one of somebody else.
    assert_eq!((tool.uid(), tool.mode() & 0o7777), (STRANGER, 0o755));
    assert_eq!(plain.unwrap(), b"p");
    assert!(fifo.unwrap().file_type().is_fifo());
}

#[test]
fn attributes_are_listed_set_and_removed() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let image = image.as_os_str();
    ok(&[s("mkdir"), image, s("/d")]);
    assert_eq!(ok(&[s("attr"), image, s("/d")]), "");
    ok(&[s("attr"), s("--set"), s("some value"), image, s("/d"), s("user.b")]);
    ok(&[s("attr"), s("--set"), s(""), image, s("/d"), s("user.a")]);
    assert_eq!(ok(&[s("attr"), image, s("d")]), "    0 user.a\n   10 user.b\n");
    assert_eq!(ok(&[s("attr"), image, s("/d"), s("user.b")]), "some value");
    ok(&[s("attr"), s("--remove"), image, s("/d"), s("user.b")]);
    fails_saying(1, &["/d: user.b", "no such attribute"], &[s("attr"), image, s("/d"), s("user.b")]);
    assert_eq!(ok(&[s("attr"), image, s("/d")]), "    0 user.a\n");
}

#[test]
fn bad_attributes_are_refused() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let path = image.as_os_str();
    let set = |value: &str, name: &str, part: &str| {
        fails_saying(1, &[part], &[s("attr"), s("--set"), s(value), path, s("/"), s(name)]);
    };
    set("x", "k7fs.nt.security", "reserved");
    set("x", "", "name is empty");
    set("x", &"n".repeat(256), "longer than 255 bytes");
    set(&"v".repeat(65_537), "user.x", "longer than 64 KiB");
    fails_saying(1, &["no such attribute"], &[s("attr"), s("--remove"), path, s("/"), s("user.x")]);
    fails_saying(1, &["not found"], &[s("attr"), path, s("/none")]);
    fails_saying(2, &["--remove"], &[s("attr"), s("--remove"), s("--set"), s("x"), path, s("/"), s("user.x")]);
    assert_eq!(ok(&[s("attr"), path, s("/")]), "", "a refused call has changed something");
    assert!(run(&[s("attr"), path]).status.code() == Some(2), "the path is missing");
}
