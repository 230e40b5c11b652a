//! What other programs rely on: JSON keys, where output goes, that a run can be repeated.

mod common;

use std::fs;

use common::{Scratch, fails_saying, ok, run, s};
use serde_json::Value;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn chips_tells_everything_about_every_chip() {
    let chips: Value = serde_json::from_str(&ok(&[s("chips"), s("--json"), s("-")])).unwrap();
    let chips = chips.as_array().unwrap();
    let names: Vec<&str> = chips.iter().map(|chip| chip["name"].as_str().unwrap()).collect();
    for name in ["W25Q128JV", "W25Q16JV", "W25Q80BL", "nRF51822", "nRF52840", "STM32L4", "STM32H7", "W25N01GV"] {
        assert!(names.contains(&name), "{name}");
    }
    for chip in chips {
        assert_eq!(
            keys(chip),
            [
                "bad_blocks_max",
                "block_count",
                "data_bytes",
                "endurance",
                "erase_block_us",
                "erase_size",
                "image_bytes",
                "kind",
                "name",
                "page_size",
                "pages_per_block",
                "program_page_us",
                "read_page_us",
                "sources",
                "spare_size",
                "write_size",
            ]
        );
        assert!(chip["sources"].as_object().unwrap().values().all(|source| !source.as_str().unwrap().is_empty()));
    }
}

#[test]
fn wear_and_latency_keep_their_keys_and_refuse_what_makes_no_sense() {
    let asked = ["wear", "--chip", "W25Q80BL", "--workload", "append", "--endurance", "3", "--json", "-"].map(s);
    let wear: Value = serde_json::from_str(&ok(&asked)).unwrap();
    assert_eq!(
        keys(&wear),
        [
            "bytes_written",
            "chip",
            "ended",
            "endurance",
            "erase_max",
            "erase_mean",
            "erase_min",
            "failed_blocks",
            "fill_percent",
            "ideal_bytes",
            "level",
            "life_used",
            "lifetimes",
            "lost_commits",
            "seed",
            "user_bytes",
            "workload",
            "write_amplification",
            "wrong_reads",
        ]
    );
    let latency: Value = serde_json::from_str(&ok(&["latency", "--chip", "W25Q80BL", "--json", "-"].map(s))).unwrap();
    assert_eq!(keys(&latency), ["chip", "rows", "seed"]);
    let rows = latency["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 36, "six workloads at three fills, with and without idle time");
    assert_eq!(
        keys(&rows[0]),
        [
            "fill_percent",
            "maintained",
            "max_erases_per_call",
            "max_ms",
            "max_programs_per_call",
            "median_ms",
            "p999_ms",
            "workload",
        ]
    );
    let asked = ["retention", "--chip", "W25Q80BL", "--years", "2", "--json", "-"].map(s);
    let retention: Value = serde_json::from_str(&ok(&asked)).unwrap();
    assert_eq!(
        keys(&retention),
        [
            "bit_error_rate",
            "chip",
            "lost",
            "pages",
            "passes_per_year",
            "programmed",
            "reads_per_year",
            "seed",
            "weak_blocks",
            "wrong_files",
            "years",
        ]
    );
    fails_saying(2, &["0 is not in 1..=1000"], &["retention", "--chip", "W25Q80BL", "--years", "0"].map(s));
    fails_saying(2, &["a share from 0 to 0.03"], &["retention", "--chip", "W25Q80BL", "--rber", "0.5"].map(s));
    fails_saying(2, &["0 is not in 1.."], &["wear", "--chip", "W25Q80BL", "--endurance", "0"].map(s));
    fails_saying(2, &["W25Q80B"], &["wear", "--chip", "W25Q80B"].map(s));
}

#[test]
fn a_matrix_keeps_its_keys_repeats_and_refuses_what_makes_no_sense() {
    let asked = ["matrix", "--geometry", "nor", "--case", "5:700:program:3:half", "--json", "-"].map(s);
    let first = ok(&asked);
    assert_eq!(first, ok(&asked), "the same each time");
    let report: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        keys(&report),
        [
            "cases",
            "chips",
            "content_lost",
            "leaves_lost",
            "mounts_refused",
            "replay",
            "runs",
            "samples",
            "seed",
            "violations",
            "violations_by_class",
        ]
    );
    assert_eq!((&report["cases"], &report["violations"], &report["replay"]), (&1.into(), &0.into(), &Value::Null));
    assert_eq!(
        keys(&report["chips"][0]),
        [
            "blocks",
            "cases",
            "chip",
            "erases_mean",
            "geometry",
            "operations",
            "page_size",
            "pages_per_block",
            "runs",
            "violations",
        ]
    );
    let refused = |says: &str, arguments: &[&str]| {
        let arguments: Vec<_> = ["matrix"].iter().chain(arguments).map(|text| s(text)).collect();
        fails_saying(2, &[says], &arguments);
    };
    refused("0 is not in 1..=100000", &["--samples", "0"]);
    refused("one of nor, nand is needed", &["--geometry", "archive"]);
    refused("invalid digit", &["--seed", "1x"]);
    refused("--geometry", &["--case", "5:700:erase"]);
    refused("cannot be used with", &["--geometry", "nor", "--case", "5:700:erase", "--samples", "3"]);
    for (says, case) in [
        ("BLOCK:INDEX:KIND", "5:700"),
        ("there is no fault melt", "5:700:melt"),
        ("there is no cut twice", "5:700:erase:1:twice"),
        ("block x is not a number", "x:700:erase"),
        ("index -1 is not a number", "5:-1:erase"),
        ("distance far is not a number", "5:700:erase:far:half"),
        ("the chip has 32 blocks", "32:700:erase"),
        ("there is no case", "5:1000000:erase"),
    ] {
        refused(says, &["--geometry", "nor", "--case", case]);
    }
    let scratch = Scratch::new();
    let campaign = scratch.path("campaign.jsonl");
    fs::write(&campaign, "not a report\n").unwrap();
    fails_saying(1, &["campaign.jsonl", "line 1"], &[s("matrix"), s("--campaign"), campaign.as_os_str()]);
}

#[test]
fn info_and_fsck_keep_their_keys() {
    let scratch = Scratch::new();
    let image = scratch.image("W25N01GV");
    let json = scratch.path("info.json");
    fs::write(&json, "x".repeat(100_000)).unwrap();
    let scrub: Value = serde_json::from_str(&ok(&[s("scrub"), image.as_os_str(), s("--json"), s("-")])).unwrap();
    assert_eq!(keys(&scrub), ["corrected_bits", "pages", "unreadable_pages", "weak_blocks"]);
    let text = ok(&[s("info"), image.as_os_str(), s("--json"), json.as_os_str()]);
    assert!(text.contains("capacity"), "the text goes to standard output beside the file");
    let info: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(
        keys(&info),
        [
            "authenticated",
            "bad_blocks",
            "block_count",
            "capacity_bytes",
            "clean",
            "corrected_bits",
            "erase_count_max",
            "erase_count_mean",
            "erase_count_min",
            "feature_level",
            "free_blocks",
            "free_bytes",
            "hash",
            "image",
            "image_bytes",
            "last_commit",
            "logical_block_size",
            "page_size",
            "pages_per_block",
            "retried_reads",
            "second_copies",
            "spare_blocks",
            "spare_size",
            "unsettled",
            "volume_bytes",
            "volume_id",
        ]
    );
    assert_eq!(info["page_size"], 2048);
    assert_eq!(info["clean"], true);
    let asked = [s("health"), image.as_os_str(), s("--endurance"), s("1000"), s("--json"), s("-")];
    let health: Value = serde_json::from_str(&ok(&asked)).unwrap();
    assert_eq!(
        keys(&health),
        [
            "bad_blocks",
            "bytes_left",
            "corrected_bits",
            "erase_count_max",
            "erase_count_mean",
            "erase_count_min",
            "good_blocks",
            "image",
            "retried_reads",
            "spare_blocks",
        ]
    );
    assert!(
        health["bytes_left"].as_u64().unwrap() > (900 * 128) << 20,
        "a new chip has nearly all of its life before it"
    );
    let fsck: Value = serde_json::from_str(&ok(&[s("fsck"), image.as_os_str(), s("--json"), s("-")])).unwrap();
    assert_eq!(
        keys(&fsck),
        [
            "clean",
            "content_bytes",
            "corrected_bits",
            "faults",
            "image",
            "nodes",
            "objects",
            "retried_reads",
            "root_hash",
            "unsettled",
            "unverified"
        ]
    );
}

#[test]
fn content_is_packed_as_asked() {
    let scratch = Scratch::new();
    let text = b"the same words again and again. ".repeat(2000);
    let tree = scratch.tree("tree", &[("text", &text), ("d/text", &text[..9000])]);
    let image = scratch.path("a.img");
    let mkfs = "mkfs --chip W25N01GV --block-size 16384 --codec zstd --hash blake3-128 --verified";
    let mkfs: Vec<&std::ffi::OsStr> = mkfs.split(' ').map(s).chain([image.as_os_str()]).collect();
    ok(&mkfs);
    ok(&[s("import"), tree.as_os_str(), image.as_os_str()]);
    let status =
        || -> Value { serde_json::from_str(&ok(&[s("status"), image.as_os_str(), s("--json"), s("-")])).unwrap() };
    let packed = status();
    assert_eq!(
        keys(&packed),
        [
            "blocks",
            "codec",
            "compressed_blocks",
            "compression_ratio",
            "dedup",
            "dedup_ratio",
            "hash",
            "indexes",
            "logical_bytes",
            "physical_bytes",
            "stored_bytes",
            "unique_blocks",
            "verified"
        ]
    );
    assert_eq!((&packed["hash"], &packed["verified"]), (&"blake3-128".into(), &true.into()));
    assert_eq!(packed["logical_bytes"], text.len() as u64 + 9000);
    assert!(packed["compression_ratio"].as_f64().unwrap() > 10.0, "{packed}");
    let recompress = |codec: &str, path: &str| {
        ok(&[s("recompress"), s("--codec"), s(codec), image.as_os_str(), s(path)]);
        ok(&[s("fsck"), s("--deep"), image.as_os_str()]);
    };
    recompress("store", "/");
    let stored = status();
    assert_eq!((&stored["compressed_blocks"], stored["compression_ratio"].as_f64()), (&0.into(), Some(1.0)));
    recompress("lzma2", "/d/text");
    assert_eq!(status()["compressed_blocks"], 1);
    let out = scratch.path("out");
    ok(&[s("export"), image.as_os_str(), out.as_os_str()]);
    assert!(fs::read(out.join("text")).unwrap() == text && fs::read(out.join("d/text")).unwrap() == text[..9000]);
}

#[test]
fn a_file_has_a_codec_of_its_own() {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    let text = "what repeats ".repeat(1000).into_bytes();
    let tree = scratch.tree("tree", &[("a", &text), ("d/b", &text)]);
    ok(&[s("mkfs"), s("--chip"), s("W25Q80BL"), s("--codec"), s("zstd"), image.as_os_str()]);
    ok(&[s("mkdir"), image.as_os_str(), s("/d")]);
    let codec = |path: &str| ok(&[s("codec"), image.as_os_str(), s(path)]);
    let choose = |path: &str, name: &str| assert_eq!(ok(&[s("codec"), image.as_os_str(), s(path), s(name)]), "");
    let compressed = || {
        let status: Value = serde_json::from_str(&ok(&[s("status"), image.as_os_str(), s("--json"), s("-")])).unwrap();
        status["compressed_blocks"].as_u64().unwrap()
    };
    choose("/d", "store");
    ok(&[s("import"), s("--merge"), tree.as_os_str(), image.as_os_str()]);
    assert_eq!((codec("/d"), codec("/d/b"), codec("/a")), ("store\n".into(), "store\n".into(), "default\n".into()));
    let of_one = compressed();
    assert!(of_one > 0);
    ok(&[s("recompress"), s("--codec"), s("zstd"), image.as_os_str()]);
    assert_eq!(compressed(), of_one, "what was chosen stays as it is");
    let long = ok(&[s("ls"), s("-l"), s("-R"), image.as_os_str()]);
    assert_eq!(long.matches(" [store]").count(), 2, "{long}");
    choose("/d/b", "default");
    ok(&[s("recompress"), s("--codec"), s("zstd"), image.as_os_str()]);
    assert_eq!(compressed(), 2 * of_one);
    fails_saying(1, &["/none"], &[s("codec"), image.as_os_str(), s("/none"), s("store")]);
    fails_saying(2, &["store, zstd, lzma2, default"], &[s("codec"), image.as_os_str(), s("/a"), s("gzip")]);
    ok(&[s("fsck"), s("--deep"), image.as_os_str()]);
}

/// Content of which the second half is the first again, behind an insertion.
fn repeated() -> Vec<u8> {
    let mut value = 1_u32;
    let mut noise = || {
        value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (value >> 24) as u8
    };
    let half: Vec<u8> = (0..100_000).map(|_| noise()).collect();
    [&half[..], b"inserted", &half[..]].concat()
}

#[test]
fn content_that_is_there_is_referred_to() {
    let scratch = Scratch::new();
    let long = repeated();
    let tree = scratch.tree("tree", &[("a", &long), ("b", &long), ("c", b"small"), ("z", &[0; 40_000])]);
    let image = scratch.image("W25Q16JV");
    let status =
        || -> Value { serde_json::from_str(&ok(&[s("status"), image.as_os_str(), s("--json"), s("-")])).unwrap() };
    // How often what is there is shown, for each policy: the second file, and with chunks half of the first.
    for (policy, at_least, at_most) in [("off", 0.9, 1.3), ("file", 1.9, 2.4), ("block", 1.9, 2.5), ("chunk", 2.8, 4.9)]
    {
        for hash in ["blake3-256", "xxh3-64"] {
            let mkfs = format!("mkfs --chip W25Q16JV --force --hash {hash} --dedup {policy}");
            let sizes = (policy == "chunk").then_some(["--chunk-sizes", "1024,4096,16384"]).into_iter().flatten();
            let mkfs: Vec<&std::ffi::OsStr> = mkfs.split(' ').chain(sizes).map(s).chain([image.as_os_str()]).collect();
            ok(&mkfs);
            ok(&[s("import"), tree.as_os_str(), image.as_os_str()]);
            let ratio = status()["dedup_ratio"].as_f64().unwrap();
            assert!((at_least..at_most).contains(&ratio), "{policy}: {ratio}");
            ok(&[s("fsck"), s("--deep"), image.as_os_str()]);
            let out = scratch.path(&format!("out-{policy}-{hash}"));
            ok(&[s("export"), image.as_os_str(), out.as_os_str()]);
            for name in ["a", "b", "c", "z"] {
                assert!(fs::read(out.join(name)).unwrap() == fs::read(tree.join(name)).unwrap(), "{policy}: {name}");
            }
        }
    }
}

#[test]
fn equal_files_are_merged_and_copies_share() {
    let scratch = Scratch::new();
    let long = repeated();
    let tree = scratch.tree("tree", &[("a", &long), ("d/b", &long), ("c", b"small")]);
    let image = scratch.image("W25Q16JV");
    let used = || -> u64 {
        let info: Value = serde_json::from_str(&ok(&[s("status"), image.as_os_str(), s("--json"), s("-")])).unwrap();
        info["physical_bytes"].as_u64().unwrap()
    };
    ok(&[s("import"), tree.as_os_str(), image.as_os_str()]);
    let apart = used();
    assert!(ok(&[s("dedup"), image.as_os_str()]).starts_with("1 of 3 files share content now, 200008 bytes"));
    ok(&[s("cp"), image.as_os_str(), s("/a"), s("/d/copy")]);
    let shared = used();
    assert!(shared < apart * 6 / 10, "{apart} bytes, then {shared}");
    ok(&[s("put"), image.as_os_str(), tree.join("c").as_os_str(), s("/a")]);
    ok(&[s("rm"), image.as_os_str(), s("/d/b")]);
    assert_eq!(common::k7fs().args([s("cat"), image.as_os_str(), s("/d/copy")]).output().unwrap().stdout, long);
    ok(&[s("fsck"), image.as_os_str()]);
    ok(&[s("rm"), image.as_os_str(), s("/d/copy")]);
    assert!(used() < apart / 4, "what nobody refers to any more is gone");
    ok(&[s("fsck"), image.as_os_str()]);
}

#[test]
fn a_volume_id_makes_an_image_reproducible() {
    let scratch = Scratch::new();
    let image = scratch.path("a.img");
    let id = "000102030405060708090a0b0c0d0e0f";
    ok(&[s("mkfs"), s("--chip"), s("W25Q80BL"), s("--volume-id"), s(id), image.as_os_str()]);
    let info: Value = serde_json::from_str(&ok(&[s("info"), image.as_os_str(), s("--json"), s("-")])).unwrap();
    assert_eq!(info["volume_id"], id);
}

#[test]
fn a_torture_run_keeps_its_keys_and_repeats() {
    let scratch = Scratch::new();
    let tree = scratch.tree("tree", &[("a", &[1; 5000]), ("d/b", b"b"), ("d/c", &[2; 40_000])]);
    let arguments =
        [s("torture"), s("--chip"), s("W25Q80BL"), s("--operations"), s("60"), s("--tree"), tree.as_os_str()];
    let arguments = [&arguments[..], &[s("--json"), s("-")]].concat();
    let first = ok(&arguments);
    assert_eq!(first, ok(&arguments), "the same each time");
    let reports: Value = serde_json::from_str(&first).unwrap();
    let report = &reports.as_array().unwrap()[0];
    assert_eq!(
        keys(report),
        [
            "bad_blocks",
            "bit_flips",
            "bytes",
            "chip",
            "corrected_bits",
            "crash_states",
            "distinct_crash_states",
            "files",
            "operations",
            "power_cuts",
            "replay",
            "retried",
            "seed",
            "torn_erases",
            "torn_programs",
            "unstable_bits",
            "verified_files",
            "violations",
        ]
    );
    assert_eq!((&report["files"], &report["verified_files"]), (&3.into(), &3.into()));
    assert_eq!(report["operations"], 60);
    let replay = report["replay"].as_str().unwrap();
    let words: Vec<&str> = replay.split_whitespace().collect();
    assert_eq!(words[..2], ["k7fs", "torture"]);
    let words: Vec<_> = words[1..].iter().copied().chain(["--json", "-"]).map(s).collect();
    assert_eq!(first, ok(&words), "{replay}");
}

#[test]
fn a_timed_torture_run_can_be_repeated_by_its_replay() {
    let scratch = Scratch::new();
    let directory = scratch.tree("nothing", &[]);
    let torture = |arguments: &[&str]| {
        let output = common::k7fs().arg("torture").args(arguments).current_dir(&directory).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let first = torture(&["--chip", "W25Q80BL", "--seed", "7", "--seconds", "1", "--json", "-"]);
    let reports: Value = serde_json::from_str(&first).unwrap();
    let replay = reports[0]["replay"].as_str().unwrap().to_owned();
    let words: Vec<&str> = replay.split_whitespace().skip(2).chain(["--json", "-"]).collect();
    assert_eq!(first, torture(&words), "{replay}");
}

#[test]
fn a_tree_too_large_for_the_chip_is_refused_by_torture() {
    let scratch = Scratch::new();
    let tree = scratch.tree("tree", &[("large", &[1; 400_000])]);
    let output = run(&[s("torture"), s("--chip"), s("nRF51822"), s("--tree"), tree.as_os_str()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("400512 bytes"));
}
