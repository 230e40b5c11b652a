//! A real tree goes in and comes back the same: names, contents, links, times. This is what an image is for.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Scratch, fails_saying, ok, run, s};
use filetime::FileTime;

/// Chips of every shape that the command must handle: small and large NOR pages and blocks, three kinds of NAND.
const CHIPS: [&str; 6] = ["W25Q80BL", "STM32L4", "W25Q128JV", "W25N01GV", "MT29F1G01ABAFD", "GENERIC-4096-224"];

fn import(tree: &Path, image: &Path) {
    ok(&[s("import"), tree.as_os_str(), image.as_os_str()]);
}

fn export(image: &Path, tree: &Path) {
    ok(&[s("export"), image.as_os_str(), tree.as_os_str()]);
}

#[track_caller]
fn assert_same(left: &Path, right: &Path) {
    let output = Command::new("diff").arg("-r").arg("--no-dereference").arg(left).arg(right).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Content that is neither compressible nor constant.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn sample(scratch: &Scratch) -> std::path::PathBuf {
    let tree = scratch.tree(
        "tree",
        &[
            ("empty", b""),
            ("small", b"a few bytes"),
            ("inline/edge", &noise(4096, 1)),
            ("deep/er/and/deeper/file", &noise(70_000, 2)),
            ("large", &noise(300_001, 3)),
            ("Имя с пробелом и ütf", b"unicode"),
        ],
    );
    fs::create_dir(tree.join("nothing here")).unwrap();
    let holes = fs::File::create(tree.join("holes")).unwrap();
    holes.set_len(500_000).unwrap();
    for number in 0..50 {
        fs::write(tree.join("inline").join(format!("file{number}")), noise(number * 13, number as u32)).unwrap();
    }
    tree
}

#[test]
fn a_tree_survives_the_way_through_every_kind_of_chip() {
    let scratch = Scratch::new();
    let tree = sample(&scratch);
    for chip in CHIPS {
        let image = scratch.image(chip);
        import(&tree, &image);
        let back = scratch.path(&format!("{chip}-back"));
        export(&image, &back);
        assert_same(&tree, &back);
        assert!(ok(&[s("fsck"), image.as_os_str()]).starts_with("clean"));
        fs::remove_file(image).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn links_and_times_are_kept() {
    use std::os::unix::fs::{MetadataExt, symlink};
    let scratch = Scratch::new();
    let tree = sample(&scratch);
    symlink("small", tree.join("link")).unwrap();
    symlink("no/such/place", tree.join("deep/dangling")).unwrap();
    fs::hard_link(tree.join("large"), tree.join("deep/second name")).unwrap();
    let moments =
        [(1, "small", 981_173_106, 789_123_400), (2, "deep", -1_000_000, 100), (3, "large", 4_000_000_000, 0)];
    for (_, name, seconds, nanoseconds) in moments {
        filetime::set_file_mtime(tree.join(name), FileTime::from_unix_time(seconds, nanoseconds)).unwrap();
    }
    let image = scratch.image("W25Q16JV");
    import(&tree, &image);
    let back = scratch.path("back");
    export(&image, &back);
    assert_same(&tree, &back);
    let inode = |path: &str| fs::metadata(back.join(path)).unwrap().ino();
    assert_eq!(inode("large"), inode("deep/second name"));
    assert_ne!(inode("large"), inode("small"));
    assert_eq!(fs::read_link(back.join("deep/dangling")).unwrap(), Path::new("no/such/place"));
    for name in ["small", "deep", "large", "link", "empty", "inline/file7", "."] {
        let time = |root: &Path| {
            let metadata = fs::symlink_metadata(root.join(name)).unwrap();
            // A tick of a volume is 100 ns.
            (metadata.mtime(), metadata.mtime_nsec() / 100)
        };
        assert_eq!(time(&tree), time(&back), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_second_import_adds_changes_and_removes() {
    use std::os::unix::fs::symlink;
    let scratch = Scratch::new();
    let tree = sample(&scratch);
    symlink("small", tree.join("link")).unwrap();
    fs::hard_link(tree.join("large"), tree.join("twin")).unwrap();
    let image = scratch.image("W25Q16JV");
    import(&tree, &image);
    fs::remove_dir_all(tree.join("deep")).unwrap();
    fs::write(tree.join("deep"), "a file where a directory was").unwrap();
    fs::remove_file(tree.join("small")).unwrap();
    fs::create_dir(tree.join("small")).unwrap();
    fs::write(tree.join("small/inside"), "a directory where a file was").unwrap();
    fs::write(tree.join("inline/file3"), "shorter").unwrap();
    fs::write(tree.join("new"), noise(9000, 9)).unwrap();
    fs::remove_file(tree.join("link")).unwrap();
    symlink("elsewhere", tree.join("link")).unwrap();
    // The twin becomes a file of its own, and another file a twin.
    fs::remove_file(tree.join("twin")).unwrap();
    fs::write(tree.join("twin"), "no longer the same").unwrap();
    fs::hard_link(tree.join("new"), tree.join("inline/new twin")).unwrap();
    import(&tree, &image);
    let back = scratch.path("back");
    export(&image, &back);
    assert_same(&tree, &back);
    assert!(ok(&[s("fsck"), image.as_os_str()]).starts_with("clean"));
    // An import of what is there already writes nothing but the clean stop.
    let listing = ok(&[s("ls"), s("-lR"), image.as_os_str()]);
    import(&tree, &image);
    assert_eq!(listing, ok(&[s("ls"), s("-lR"), image.as_os_str()]));
}

#[test]
fn merge_keeps_what_the_directory_lacks() {
    let scratch = Scratch::new();
    let first = scratch.tree("first", &[("a", b"old a"), ("d/b", b"b")]);
    let second = scratch.tree("second", &[("a", b"new a"), ("d/c", b"c")]);
    let image = scratch.image("W25Q80BL");
    import(&first, &image);
    ok(&[s("import"), s("--merge"), second.as_os_str(), image.as_os_str()]);
    assert_eq!(ok(&[s("ls"), s("-R"), image.as_os_str()]), "/a\n/d\n/d/b\n/d/c\n");
    assert_eq!(ok(&[s("cat"), image.as_os_str(), s("/a")]), "new a");
    let clash = scratch.tree("clash", &[("d", b"a file")]);
    fails_saying(1, &["/d", "different kinds"], &[s("import"), s("--merge"), clash.as_os_str(), image.as_os_str()]);
    assert_eq!(ok(&[s("cat"), image.as_os_str(), s("/d/b")]), "b");
    // Without it the volume equals the directory.
    import(&second, &image);
    assert_eq!(ok(&[s("ls"), s("-R"), image.as_os_str()]), "/a\n/d\n/d/c\n");
}

#[test]
fn an_image_in_the_tree_does_not_swallow_itself() {
    let scratch = Scratch::new();
    let tree = scratch.tree("tree", &[("file", b"f")]);
    let image = tree.join("own.img");
    ok(&[s("mkfs"), s("--chip"), s("W25Q80BL"), image.as_os_str()]);
    let output = run(&[s("import"), tree.as_os_str(), image.as_os_str()]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("own.img: skipped, the image itself"));
    assert_eq!(ok(&[s("ls"), image.as_os_str()]), "file\n");
}

#[test]
fn single_files_go_in_and_out() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let file = scratch.path("letter.txt");
    fs::write(&file, "first").unwrap();
    let (image, file) = (image.as_os_str(), file.as_os_str());
    ok(&[s("put"), image, file]);
    ok(&[s("mkdir"), s("-p"), image, s("a/b/c")]);
    ok(&[s("put"), image, file, s("a/b")]);
    ok(&[s("put"), image, file, s("/a/other name")]);
    assert_eq!(ok(&[s("ls"), s("-R"), image]), "/a\n/a/b\n/a/b/c\n/a/b/letter.txt\n/a/other name\n/letter.txt\n");
    assert_eq!(ok(&[s("ls"), image, s("a/b/letter.txt")]), "letter.txt\n");
    ok(&[s("mv"), image, s("/letter.txt"), s("/a/other name")]);
    ok(&[s("mv"), image, s("/a/other name"), s("/a/b/c")]);
    assert_eq!(ok(&[s("cat"), image, s("/a/b/c/other name"), s("/a/b/letter.txt")]), "firstfirst");
    ok(&[s("rm"), image, s("/a/b/letter.txt")]);
    ok(&[s("rm"), s("-r"), image, s("/a")]);
    assert_eq!(ok(&[s("ls"), image]), "");
    assert!(ok(&[s("fsck"), image]).starts_with("clean"));
}

#[test]
fn standard_input_can_be_stored() {
    use std::io::Write;
    use std::process::Stdio;
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let mut command = common::k7fs();
    let mut child = command.arg("put").arg(&image).args(["-", "/from/pipe"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    assert!(!child.wait().unwrap().success(), "the directory is missing");
    let mut command = common::k7fs();
    let mut child = command.arg("put").arg(&image).args(["-", "/pipe"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&[65; 100_000]).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(ok(&[s("cat"), image.as_os_str(), s("/pipe")]), "A".repeat(100_000));
}

#[test]
fn a_volume_that_is_a_part_of_an_image_is_found() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    ok(&[s("mkdir"), image.as_os_str(), s("/inside")]);
    let mut chip = vec![0x55; 64 << 10];
    chip.extend(fs::read(&image).unwrap());
    chip.extend(vec![0xaa; 32 << 10]);
    let whole = scratch.path("whole.img");
    fs::write(&whole, &chip).unwrap();
    assert_eq!(ok(&[s("ls"), whole.as_os_str()]), "inside\n");
    ok(&[s("mkdir"), whole.as_os_str(), s("/more")]);
    let after = fs::read(&whole).unwrap();
    assert!(after[..64 << 10].iter().all(|byte| *byte == 0x55) && after.len() == chip.len());
    assert!(after[(64 << 10) + (1 << 20)..].iter().all(|byte| *byte == 0xaa), "what lies beside is not touched");
}

#[test]
fn flipped_bits_in_an_image_do_not_matter() {
    let scratch = Scratch::new();
    let tree = sample(&scratch);
    for chip in ["W25Q16JV", "W25N01GV"] {
        let image = scratch.image(chip);
        import(&tree, &image);
        let mut bytes = fs::read(&image).unwrap();
        // One bit in every 8 KiB, also in magic bytes and erased pages.
        for (number, chunk) in bytes.chunks_mut(8192).enumerate() {
            let place = number * 7919 % chunk.len();
            chunk[place] ^= 1 << (number % 8);
        }
        bytes[1] ^= 4;
        fs::write(&image, bytes).unwrap();
        let back = scratch.path(&format!("{chip}-back"));
        export(&image, &back);
        assert_same(&tree, &back);
        let report = ok(&[s("fsck"), image.as_os_str()]);
        assert!(report.starts_with("clean") && !report.contains(" 0 bits corrected"), "{report}");
    }
}
