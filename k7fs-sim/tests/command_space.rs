//! Directories removed whole, files put together again, images of another size.

mod common;

use std::fs;
use std::path::Path;

use common::{Scratch, fails_saying, ok, s};

/// Chips with the bytes of one of their blocks in an image.
const CHIPS: [(&str, u64); 3] = [("W25Q80BL", 4096), ("W25Q128JV", 65_536), ("W25N01GV", 64 * 2112)];

fn listing(image: &Path) -> String {
    ok(&[s("fsck"), image.as_os_str()]);
    ok(&[s("ls"), s("-R"), s("-l"), image.as_os_str()])
}

fn filled(scratch: &Scratch, chip: &str) -> std::path::PathBuf {
    let image = scratch.image(chip);
    let tree = scratch.tree("tree", &[("a", &[1; 9000]), ("d/b", &[2; 300]), ("d/e/c", &[3; 20_000])]);
    ok(&[s("import"), tree.as_os_str(), image.as_os_str()]);
    image
}

#[test]
fn a_directory_goes_with_all_it_holds() {
    let scratch = Scratch::new();
    let image = filled(&scratch, "W25Q80BL");
    fails_saying(1, &["directory"], &[s("rm"), image.as_os_str(), s("/d")]);
    ok(&[s("rm"), s("-r"), image.as_os_str(), s("/d")]);
    assert!(!listing(&image).contains("/d"));
    ok(&[s("rm"), s("-r"), image.as_os_str(), s("/")]);
    assert_eq!(listing(&image), "");
}

#[test]
fn an_image_becomes_smaller_and_larger() {
    for (chip, block) in CHIPS {
        let scratch = Scratch::new();
        let image = filled(&scratch, chip);
        let (before, bytes) = (listing(&image), fs::metadata(&image).unwrap().len());
        let size = |blocks: u64| (blocks * block).to_string();
        let blocks = bytes / block;
        fails_saying(1, &["at least", "blocks"], &[s("resize"), image.as_os_str(), s("4K")]);
        assert_eq!(fs::metadata(&image).unwrap().len(), bytes, "a refusal changes nothing");
        for other in [blocks - blocks / 4, blocks, blocks + 10, blocks + 5] {
            ok(&[s("resize"), image.as_os_str(), s(&size(other))]);
            assert_eq!(fs::metadata(&image).unwrap().len(), other * block, "{chip}: {other} blocks");
            assert_eq!(listing(&image), before, "{chip}: {other} blocks");
            let info = ok(&[s("info"), s("--json"), s("-"), image.as_os_str()]);
            assert!(info.contains(&format!("\"block_count\": {other}")), "{chip}: {info}");
            ok(&[s("put"), image.as_os_str(), s("/dev/null"), s("/a")]);
            let tree = scratch.path("tree");
            ok(&[s("import"), tree.as_os_str(), image.as_os_str()]);
        }
        // Cut off, it is truncated, not smaller.
        fs::File::options().write(true).open(&image).unwrap().set_len((blocks + 4) * block).unwrap();
        fails_saying(1, &["truncated"], &[s("ls"), image.as_os_str()]);
    }
}

#[test]
fn what_lies_behind_a_volume_is_not_overwritten() {
    let scratch = Scratch::new();
    let image = filled(&scratch, "W25Q80BL");
    let mut bytes = fs::read(&image).unwrap();
    bytes.extend([0x55; 8192]);
    fs::write(&image, &bytes).unwrap();
    fails_saying(1, &["holds data behind"], &[s("resize"), image.as_os_str(), s("2M")]);
    assert_eq!(fs::read(&image).unwrap().len(), bytes.len());
}

#[test]
fn files_are_put_together() {
    let scratch = Scratch::new();
    let image = filled(&scratch, "W25Q80BL");
    let before = listing(&image);
    assert!(ok(&[s("defragment"), image.as_os_str()]).contains("bytes written again"));
    assert!(ok(&[s("defragment"), image.as_os_str(), s("/a")]).contains("0 bytes"));
    assert_eq!(listing(&image), before);
    fails_saying(1, &["directory"], &[s("defragment"), image.as_os_str(), s("/d")]);
    fails_saying(1, &["not found"], &[s("defragment"), image.as_os_str(), s("/none")]);
}

#[test]
fn an_image_whose_last_commits_are_lost_goes_back_where_that_is_asked_for() {
    const BLOCK: usize = 4096;
    let scratch = Scratch::new();
    let image = filled(&scratch, "W25Q80BL");
    let sound = fs::read(&image).unwrap();
    let mut refused = 0;
    for block in
        (0..sound.len() / BLOCK).filter(|block| sound[block * BLOCK..][..BLOCK].iter().any(|byte| *byte != 0xFF))
    {
        let mut bytes = sound.clone();
        bytes[block * BLOCK..][..BLOCK].iter_mut().step_by(3).for_each(|byte| *byte ^= 0x5A);
        fs::write(&image, bytes).unwrap();
        let listed = common::run(&[s("ls"), image.as_os_str()]);
        if listed.status.success() {
            continue;
        }
        refused += 1;
        fails_saying(1, &["damaged beyond correction"], &[s("ls"), image.as_os_str()]);
        ok(&[s("ls"), s("--go-back"), image.as_os_str()]);
        fails_saying(1, &["damaged"], &[s("put"), image.as_os_str(), s("/dev/null"), s("/new")]);
        ok(&[s("put"), s("--go-back"), image.as_os_str(), s("/dev/null"), s("/new")]);
        assert!(ok(&[s("ls"), image.as_os_str()]).contains("new"), "block {block}");
    }
    assert!(refused > 0, "no block was needed for what was committed last");
}
