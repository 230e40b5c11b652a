//! Every bad input to the command has its own message, names what it is about, and changes nothing. A user who mistypes
//! a path must never lose an image to it.

mod common;

use std::fs::{self, File};
use std::path::Path;

use common::{Scratch, fails, fails_saying, k7fs, ok, run, s};

#[test]
fn a_file_that_is_no_volume_is_refused_by_every_command() {
    let scratch = Scratch::new();
    let image = scratch.path("noise");
    fs::write(
        &image,
        (0..300_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes()).collect::<Vec<u8>>(),
    )
    .unwrap();
    let image = image.as_os_str();
    for command in ["ls", "info"] {
        fails_saying(1, &["noise", "not a K7FS volume"], &[s(command), image]);
    }
    fails_saying(2, &["noise", "not a K7FS volume"], &[s("fsck"), image]);
    fails_saying(1, &["not a K7FS volume"], &[s("cat"), image, s("/a")]);
    let empty = scratch.path("empty");
    File::create(&empty).unwrap();
    fails_saying(1, &["empty", "not a K7FS volume"], &[s("info"), empty.as_os_str()]);
}

#[test]
fn a_missing_image_is_named() {
    fails_saying(1, &["no-such.img", "No such file"], &[s("info"), s("no-such.img")]);
    fails_saying(2, &["no-such.img", "No such file"], &[s("fsck"), s("no-such.img")]);
}

#[test]
fn a_directory_is_not_an_image() {
    let scratch = Scratch::new();
    let directory = scratch.tree("directory", &[]);
    fails_saying(1, &["directory", "not an image"], &[s("ls"), directory.as_os_str()]);
}

#[test]
fn a_truncated_image_tells_both_sizes() {
    let scratch = Scratch::new();
    for (chip, bytes) in [("W25Q80BL", 1 << 20), ("W25N01GV", 1024 * 64 * 2112)] {
        let image = scratch.image(chip);
        File::options().write(true).open(&image).unwrap().set_len(bytes - 1).unwrap();
        let parts = ["truncated", &(bytes - 1).to_string(), &bytes.to_string()];
        fails_saying(1, &parts, &[s("ls"), image.as_os_str()]);
        fails_saying(2, &parts, &[s("fsck"), image.as_os_str()]);
    }
}

#[test]
fn the_wrong_chip_is_refused() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    fails_saying(
        1,
        &["1048576 bytes", "W25Q16JV has 2097152"],
        &[s("ls"), s("--chip"), s("W25Q16JV"), image.as_os_str()],
    );
    fails_saying(2, &["no such chip", "k7fs chips"], &[s("ls"), s("--chip"), s("W25Q"), image.as_os_str()]);
    ok(&[s("ls"), s("--chip"), s("w25q80bl"), image.as_os_str()]);
    // As large as the volume's chip, but a part whose erase unit is no divisor of the volume's blocks.
    let image = scratch.image("W25Q16JV");
    fails_saying(1, &["16 pages", "STM32H7", "512 pages"], &[s("info"), s("--chip"), s("STM32H7"), image.as_os_str()]);
}

#[test]
fn mkfs_spares_what_is_there() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    ok(&[s("mkdir"), image.as_os_str(), s("/precious")]);
    let before = fs::read(&image).unwrap();
    fails_saying(1, &["holds a K7FS volume", "--force"], &[s("mkfs"), s("--chip"), s("W25Q80BL"), image.as_os_str()]);
    assert_eq!(before, fs::read(&image).unwrap());
    ok(&[s("mkfs"), s("--force"), s("--chip"), s("W25Q80BL"), image.as_os_str()]);
    assert_eq!(ok(&[s("ls"), image.as_os_str()]), "");
    let letter = scratch.path("letter.txt");
    fs::write(&letter, "to my mother").unwrap();
    fails_saying(
        1,
        &["letter.txt", "holds data", "--force"],
        &[s("mkfs"), s("--chip"), s("W25Q80BL"), letter.as_os_str()],
    );
    assert_eq!(fs::read(&letter).unwrap(), b"to my mother");
}

#[test]
fn mkfs_that_fails_leaves_no_file() {
    let scratch = Scratch::new();
    let image = scratch.path("new.img");
    let arguments = [s("mkfs"), s("--chip"), s("W25Q80BL"), s("--logical-block-size"), s("5000"), image.as_os_str()];
    fails_saying(1, &["power of two"], &arguments);
    assert!(!image.exists());
    fails_saying(2, &["no such chip"], &[s("mkfs"), s("--chip"), s("W25Q128"), image.as_os_str()]);
    assert!(!image.exists());
}

#[test]
fn usage_errors_are_one_line_and_code_2() {
    for arguments in [
        &[][..],
        &[s("frobnicate")],
        &[s("mkfs")],
        &[s("ls")],
        &[s("info"), s("--frob"), s("x")],
        &[s("torture"), s("--seconds"), s("1"), s("--operations"), s("1")],
        &[s("torture"), s("--chip"), s("nothing")],
        &[s("mkfs"), s("--volume-id"), s("xyz"), s("--chip"), s("W25Q80BL"), s("x")],
    ] {
        fails(2, arguments);
    }
}

#[test]
fn bad_names_and_paths_on_the_volume_are_refused() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let image = image.as_os_str();
    ok(&[s("mkdir"), image, s("/d")]);
    ok(&[s("mkdir"), image, s("/d/e")]);
    fails_saying(1, &["empty"], &[s("mkdir"), image, s("")]);
    fails_saying(1, &["longer than 255"], &[s("mkdir"), image, s(&"x".repeat(256))]);
    ok(&[s("mkdir"), image, s(&"x".repeat(255))]);
    fails_saying(1, &["/d/..", "'..'"], &[s("mkdir"), image, s("/d/..")]);
    fails_saying(1, &["too long"], &[s("mkdir"), image, s(&"/x".repeat(2100))]);
    fails_saying(1, &["too deep"], &[s("mkdir"), s("-p"), image, s(&"/x".repeat(200))]);
    fails_saying(1, &["/d", "exists already"], &[s("mkdir"), image, s("/d")]);
    fails_saying(1, &["/no/where", "not found"], &[s("mkdir"), image, s("/no/where")]);
    fails_saying(1, &["/d", "is a directory"], &[s("rm"), image, s("/d")]);
    fails_saying(1, &["/d", "is a directory"], &[s("cat"), image, s("/d")]);
    fails_saying(1, &["/nothing", "not found"], &[s("cat"), image, s("/nothing")]);
    fails_saying(1, &["below itself"], &[s("mv"), image, s("/d"), s("/d/e/f")]);
    fails_saying(1, &["not found"], &[s("mv"), image, s("/nothing"), s("/other")]);
}

#[test]
fn a_directory_with_entries_is_not_replaced() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let image = image.as_os_str();
    // `mv` moves into a directory that exists; there a directory of the same name is in the way.
    for path in ["/a", "/b", "/b/a", "/b/a/c"] {
        ok(&[s("mkdir"), image, s(path)]);
    }
    fails_saying(1, &["not empty"], &[s("mv"), image, s("/a"), s("/b")]);
}

#[test]
fn a_full_volume_refuses_and_goes_on() {
    let scratch = Scratch::new();
    let image = scratch.image("nRF51822");
    let image = image.as_os_str();
    let small = scratch.path("small");
    fs::write(&small, "small").unwrap();
    let large = scratch.path("large");
    fs::write(&large, vec![7; 250_000]).unwrap();
    ok(&[s("put"), image, small.as_os_str(), s("/kept")]);
    fails_saying(1, &["/large", "no space"], &[s("put"), image, large.as_os_str(), s("/large")]);
    assert_eq!(ok(&[s("ls"), image]), "kept\n");
    assert_eq!(ok(&[s("cat"), image, s("/kept")]), "small");
    ok(&[s("rm"), image, s("/kept")]);
    ok(&[s("put"), image, small.as_os_str(), s("/again")]);
    ok(&[s("fsck"), image]);
}

#[test]
fn a_tree_that_does_not_fit_is_refused_before_writing() {
    let scratch = Scratch::new();
    let image = scratch.image("nRF51822");
    let tree = scratch.tree("tree", &[("a", b"first"), ("large", &[9; 300_000])]);
    let message = fails(1, &[s("import"), tree.as_os_str(), image.as_os_str()]);
    let numbers = message.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok());
    let numbers: Vec<u64> = numbers.filter(|number| *number > 10_000).collect();
    assert!(numbers.len() == 2 && numbers[0] >= 300_005 && numbers[1] < 262_144, "both sizes: {message}");
    assert_eq!(ok(&[s("ls"), image.as_os_str()]), "");
}

#[test]
fn an_unreadable_import_directory_is_named_and_nothing_changes() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    ok(&[s("mkdir"), image.as_os_str(), s("/kept")]);
    let before = fs::read(&image).unwrap();
    let missing = scratch.path("missing");
    fails_saying(1, &["missing", "No such file"], &[s("import"), missing.as_os_str(), image.as_os_str()]);
    let file = scratch.path("file");
    fs::write(&file, "no directory").unwrap();
    fails_saying(1, &["file", "Not a directory"], &[s("import"), file.as_os_str(), image.as_os_str()]);
    assert_eq!(before, fs::read(&image).unwrap());
}

#[cfg(unix)]
#[test]
fn a_closed_directory_in_the_tree_is_named_and_nothing_changes() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let tree = scratch.tree("tree", &[("closed/secret", b"s"), ("open", b"o")]);
    let closed = tree.join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let is_root = fs::read_dir(&closed).is_ok();
    let arguments = [s("import"), tree.as_os_str(), image.as_os_str()];
    if is_root {
        // Nothing is closed to root; then the import works.
        ok(&arguments);
    } else {
        fails_saying(1, &["closed", "denied"], &arguments);
        assert_eq!(ok(&[s("ls"), image.as_os_str()]), "");
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf8_are_refused_by_path() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let tree = scratch.tree("tree", &[("a", b"a")]);
    fs::create_dir(tree.join("sub")).unwrap();
    fs::write(tree.join("sub").join(OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
    fails_saying(1, &["sub/caf\\xe9", "not UTF-8"], &[s("import"), tree.as_os_str(), image.as_os_str()]);
    assert_eq!(ok(&[s("ls"), image.as_os_str()]), "");
}

#[test]
fn an_image_in_use_is_refused() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let held = File::options().read(true).write(true).open(&image).unwrap();
    held.lock().unwrap();
    fails_saying(1, &["in use"], &[s("mkdir"), image.as_os_str(), s("/a")]);
    fails_saying(1, &["in use"], &[s("ls"), image.as_os_str()]);
    fails_saying(2, &["in use"], &[s("fsck"), image.as_os_str()]);
    held.unlock().unwrap();
    held.lock_shared().unwrap();
    ok(&[s("ls"), image.as_os_str()]);
    fails_saying(1, &["in use"], &[s("mkdir"), image.as_os_str(), s("/a")]);
}

#[test]
fn export_does_not_touch_a_directory_with_entries() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let full = scratch.tree("full", &[("mine", b"m")]);
    fails_saying(1, &["full", "not empty"], &[s("export"), image.as_os_str(), full.as_os_str()]);
    let nowhere = scratch.path("no/where");
    fails_saying(1, &["where", "No such file"], &[s("export"), image.as_os_str(), nowhere.as_os_str()]);
    let file = full.join("mine");
    fails_saying(1, &["mine", "Not a directory"], &[s("export"), image.as_os_str(), file.as_os_str()]);
}

#[test]
fn a_result_never_overwrites_the_image() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let before = fs::read(&image).unwrap();
    fails_saying(1, &["the image itself"], &[s("info"), image.as_os_str(), s("--json"), image.as_os_str()]);
    fails_saying(1, &["the image itself"], &[s("fsck"), image.as_os_str(), s("--json"), image.as_os_str()]);
    assert_eq!(before, fs::read(&image).unwrap());
    let unwritable = scratch.path("no/where.json");
    let output = run(&[s("torture"), s("--json"), unwritable.as_os_str()]);
    assert_eq!(output.status.code(), Some(1), "refused before the long work");
}

#[test]
fn a_damaged_signature_is_told_from_none() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let mut bytes = fs::read(&image).unwrap();
    // Every block keeps its magic and loses the rest of its first page, far beyond what any code mends.
    for block in bytes.chunks_mut(4096).filter(|block| block.starts_with(b"K7FS")) {
        block[4..256].iter_mut().for_each(|byte| *byte ^= 0x5a);
    }
    fs::write(&image, &bytes).unwrap();
    fails_saying(1, &["signature is damaged"], &[s("info"), image.as_os_str()]);
    fails_saying(2, &["signature is damaged"], &[s("fsck"), image.as_os_str()]);
}

#[test]
fn faults_make_fsck_report_and_fail() {
    let scratch = Scratch::new();
    let image = scratch.image("W25Q80BL");
    let tree = scratch.tree("tree", &[("a", &[3; 9000]), ("b", &[4; 30_000])]);
    ok(&[s("import"), tree.as_os_str(), image.as_os_str()]);
    damage_content(&image, 4);
    let output = run(&[s("fsck"), image.as_os_str()]);
    let (report, summary) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{report} {summary}");
    assert!(report.contains("fault: uncorrectable") && report.contains("damaged"), "{report}");
    assert!(summary.lines().count() == 1 && summary.contains("found"), "{summary}");
}

/// Ruins a few pages that hold file content of this byte.
fn damage_content(image: &Path, byte: u8) {
    let mut bytes = fs::read(image).unwrap();
    let holds = |page: &[u8]| page.iter().filter(|found| **found == byte).count() > 150;
    let pages: Vec<&mut [u8]> = bytes.chunks_mut(256).filter(|page| holds(page)).take(5).collect();
    assert!(!pages.is_empty(), "content is stored plainly");
    for page in pages {
        page[30..200].fill(0x33);
    }
    fs::write(image, bytes).unwrap();
}

#[test]
fn help_is_useful_and_version_works() {
    let version = ok(&[s("--version")]);
    assert_eq!(version, format!("k7fs {}\n", env!("CARGO_PKG_VERSION")));
    let help = ok(&[s("--help")]);
    let commands = [
        "torture", "chips", "mkfs", "import", "export", "ls", "cat", "put", "rm", "mkdir", "mv", "attr", "info", "fsck",
    ];
    for command in commands {
        assert!(help.contains(command), "{command}");
        assert!(ok(&[s(command), s("--help")]).contains("Usage:"));
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_success() {
    use std::process::Stdio;
    let mut child =
        k7fs().args(["chips", "--json", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(output.stderr.is_empty());
}

#[test]
fn packing_options_outside_their_bounds_are_refused() {
    let scratch = Scratch::new();
    let image = scratch.path("a.img");
    let mkfs = |more: &[&str], code: i32, parts: &[&str]| {
        let arguments = ["mkfs", "--chip", "W25Q80BL"].iter().chain(more).map(|word| s(word));
        let arguments: Vec<&std::ffi::OsStr> = arguments.chain([image.as_os_str()]).collect();
        fails_saying(code, parts, &arguments);
        assert!(!image.exists());
    };
    mkfs(&["--hash", "xxh3-64"], 1, &["xxh3-64", "forced"]);
    mkfs(&["--hash", "md5"], 2, &["blake3-256, blake3-128, xxh3-64"]);
    mkfs(&["--dedup", "all"], 2, &["off, file, block, chunk"]);
    mkfs(&["--dedup", "chunk", "--chunk-sizes", "65536,16384,262144"], 2, &["65536", "MIN <= AVERAGE"]);
    mkfs(&["--dedup", "file", "--chunk-sizes", "1024,4096,16384"], 2, &["--dedup chunk"]);
    mkfs(&["--codec", "gzip"], 2, &["store, zstd, lzma2"]);
    mkfs(&["--block-size", "2048"], 1, &["2048", "power of two from 4 KiB to 32 MiB"]);
    mkfs(&["--block-size", "12288"], 1, &["12288", "power of two"]);
}
