//! What `k7fs ecc` promises: its JSON, that a campaign continues and refuses what does not belong to it, that the
//! same seed gives the same frames on any number of threads, and that nonsense is refused by name.

mod common;

use std::fs;

use common::{Scratch, fails_saying, ok, s};
use serde_json::Value;

const KEYS: [&str; 16] = [
    "bch_1e4",
    "bch_1e6",
    "frames",
    "full_1e4",
    "full_1e6",
    "gate",
    "layout",
    "n_bits",
    "parity_bits",
    "ram_full_bytes",
    "ram_s_bytes",
    "sphere_packing_1e4",
    "sphere_packing_1e6",
    "table_bytes",
    "tier_s_1e4",
    "undetected",
];

const LAYOUTS: [&str; 11] = [
    "nor-128",
    "nor-256",
    "nor-512",
    "nor-1024",
    "2048+64",
    "2048+128",
    "4096+128",
    "4096+224",
    "4096+256",
    "archive-6.25",
    "archive-12.5",
];

fn json(arguments: &[&str]) -> Value {
    let mut all = vec!["ecc"];
    all.extend(arguments);
    all.extend(["--json", "-"]);
    serde_json::from_str(&ok(&all.iter().map(|argument| s(argument)).collect::<Vec<_>>())).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_recorded_campaign_tells_everything_about_every_layout() {
    let report = json(&["--recorded"]);
    assert_eq!(keys(&report), ["layouts", "seed"]);
    let layouts = report["layouts"].as_array().unwrap();
    let names: Vec<&str> = layouts.iter().map(|layout| layout["layout"].as_str().unwrap()).collect();
    for name in LAYOUTS {
        assert!(names.contains(&name), "{name}");
    }
    for layout in layouts {
        let name = layout["layout"].as_str().unwrap();
        assert_eq!(keys(layout), KEYS, "{name}");
        let rate = |key: &str| layout[key].as_f64();
        for (high, low) in [("sphere_packing_1e4", "bch_1e4"), ("sphere_packing_1e6", "bch_1e6")] {
            assert!(rate(high) > rate(low) && rate(low) > Some(0.0), "{name}");
        }
        // What was not measured is null; what was keeps to what is possible.
        for (key, bound) in [("tier_s_1e4", "1e4"), ("full_1e4", "1e4"), ("full_1e6", "1e6")] {
            let bound = rate(&format!("sphere_packing_{bound}"));
            assert!(layout[key].is_null() || rate(key) > Some(0.0) && rate(key) < bound, "{name} {key}");
        }
        assert_eq!(layout["undetected"], 0, "{name}");
        assert!(layout["ram_s_bytes"].as_u64() <= layout["ram_full_bytes"].as_u64(), "{name}");
        let large = layout["n_bits"].as_u64().unwrap() >= 2048;
        assert!(layout["gate"] == false || large, "{name}");
    }
}

#[test]
fn a_short_run_measures_something() {
    let report = json(&["--layout", "256", "--seconds", "2", "--seed", "5"]);
    assert_eq!(report["seed"], 5);
    let layouts = report["layouts"].as_array().unwrap();
    assert_eq!(layouts.len(), 1);
    assert_eq!((layouts[0]["layout"].as_str(), layouts[0]["n_bits"].as_u64()), (Some("nor-256"), Some(2048)));
    assert!(layouts[0]["frames"].as_u64().unwrap() > 0);
}

#[test]
fn direct_measurement_stands_beside_the_method() {
    let report = json(&["--layout", "nor-128", "--seconds", "2", "--rber", "0.001"]);
    assert_eq!(keys(&report), ["direct", "layouts", "seed"]);
    let direct = report["direct"].as_array().unwrap();
    assert_eq!(direct.len(), 2, "one for each tier");
    for one in direct {
        assert_eq!(one["layout"], "nor-128");
        assert_eq!(one["rber"], 0.001);
        assert!(one["frames"].as_u64() > Some(0));
        assert_eq!(one["undetected"], 0);
    }
}

#[test]
fn direct_measurement_ends_at_the_pages_asked_for() {
    let report = json(&["--layout", "nor-128", "--rber", "0.001", "--frames", "500", "--tier", "full"]);
    assert_eq!(report["direct"][0]["frames"], 500);
    assert_eq!(report["layouts"][0]["frames"], 500);
}

/// Measures 200 and then up to `frames` pages with 12 wrong bits; gives the campaign's file.
fn campaign(scratch: &Scratch, name: &str, threads: &str, frames: &[&str]) -> String {
    let directory = scratch.path(name);
    for frames in frames {
        let arguments = ["ecc", "--layout", "nor-256", "--errors", "12", "--tier", "small", "--seconds", "60"];
        let mut arguments: Vec<_> = arguments.iter().map(|argument| s(argument)).collect();
        arguments.extend([
            s("--frames"),
            s(frames),
            s("--threads"),
            s(threads),
            s("--campaign"),
            directory.as_os_str(),
        ]);
        ok(&arguments);
    }
    fs::read_to_string(directory.join("nor-256.jsonl")).unwrap()
}

#[test]
fn a_campaign_continues_and_depends_on_no_threads() {
    let scratch = Scratch::new();
    let whole = campaign(&scratch, "whole", "1", &["600"]);
    let parts = campaign(&scratch, "parts", "3", &["200", "201", "600", "100"]);
    assert_eq!(whole, parts);
    assert_eq!(whole.lines().count(), 1);
    let line: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!((line["errors"].as_u64(), line["first"].as_u64(), line["seed"].as_u64()), (Some(12), Some(0), Some(1)));
    assert_eq!(line["tally"]["frames"], 600);
    let directory = scratch.path("parts");
    let report: Value = serde_json::from_str(&ok(&[
        s("ecc"),
        s("--layout"),
        s("nor-256"),
        s("--recorded"),
        s("--campaign"),
        directory.as_os_str(),
        s("--json"),
        s("-"),
    ]))
    .unwrap();
    assert_eq!(report["layouts"][0]["frames"], 600);
    assert!(!directory.join("lock").exists());
}

#[test]
fn frames_of_another_code_are_refused() {
    let scratch = Scratch::new();
    let text = campaign(&scratch, "old", "1", &["10"]);
    let line: Value = serde_json::from_str(&text).unwrap();
    let path = scratch.path("old/nor-256.jsonl");
    let run = |arguments: &[&str], parts: &[&str]| {
        let directory = scratch.path("old");
        let mut all = vec![s("ecc"), s("--layout"), s("nor-256"), s("--campaign"), directory.as_os_str()];
        all.extend(arguments.iter().map(|argument| s(argument)));
        fails_saying(1, parts, &all);
    };
    fs::write(&path, text.replace(line["code"].as_str().unwrap(), "0000000000000000")).unwrap();
    for arguments in [["--seconds", "1"].as_slice(), &["--recorded"]] {
        run(arguments, &["nor-256.jsonl", "measured with code 0000000000000000", "not mixed"]);
    }
    fs::write(&path, format!("{text}{text}")).unwrap();
    run(&["--recorded"], &["the same frames twice"]);
    fs::write(&path, "nonsense\n").unwrap();
    run(&["--recorded"], &["nor-256.jsonl, line 1"]);
}

#[test]
fn curves_are_written_for_each_layout() {
    let scratch = Scratch::new();
    let curves = scratch.path("plots/of/codes");
    ok(&[s("ecc"), s("--recorded"), s("--curves"), curves.as_os_str()]);
    for name in LAYOUTS {
        let text = fs::read_to_string(curves.join(format!("{name}.svg"))).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{name}");
        for part in [name, "sphere packing", "BCH", "bit error rate", "pages lost"] {
            assert!(text.contains(part), "{name} lacks {part}");
        }
    }
}

#[test]
fn volumes_at_the_end_of_their_chips_lives_lose_nothing() {
    let report = json(&["--volume", "mt29f1g01abafd", "--seed", "3"]);
    assert_eq!(keys(&report), ["seed", "volumes"]);
    let volumes = report["volumes"].as_array().unwrap();
    assert_eq!(volumes.iter().map(|life| life["factor"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3, 10]);
    for life in volumes {
        assert_eq!((life["chip"].as_str(), life["layout"].as_str()), (Some("MT29F1G01ABAFD"), Some("2048+128")));
        assert_eq!((life["lost"].as_u64(), life["failure"].is_null()), (Some(0), true));
        let mended: u64 = life["corrected"].as_object().unwrap().values().map(|pages| pages.as_u64().unwrap()).sum();
        assert!(mended > 0 && life["corrected_bits"].as_u64() > Some(0));
        let read = life["clean"].as_u64().unwrap() + mended + life["uncorrected"].as_u64().unwrap();
        assert_eq!(life["pages_read"].as_u64(), Some(read));
    }
}

#[test]
fn nonsense_is_refused_by_name() {
    let refused = |arguments: &[&str], parts: &[&str]| {
        let mut all = vec![s("ecc")];
        all.extend(arguments.iter().map(|argument| s(argument)));
        fails_saying(2, parts, &all);
    };
    refused(&["--layout", "2048+65"], &["no layout \"2048+65\"", "2048+64", "archive-12.5"]);
    refused(&["--layout", ""], &["no layout"]);
    for rate in ["1.5", "-0.1", "NaN", "inf", "1.0000001"] {
        refused(&[&format!("--rber={rate}")], &["--rber", "from 0 to 1"]);
    }
    refused(&["--rber", "many"], &["--rber", "invalid float"]);
    refused(&["--seconds", "0"], &["--seconds"]);
    refused(&["--threads", "0"], &["--threads"]);
    refused(&["--recorded", "--seconds", "3"], &["--recorded"]);
    refused(&["--recorded", "--rber", "0.1"], &["--recorded"]);
    refused(&["--errors", "3"], &["--frames"]);
    refused(&["--frames", "3"], &["--frames", "--errors or --rber is missing"]);
    refused(&["--layout", "256", "--errors", "2049", "--frames", "1"], &["2049 wrong bits", "nor-256", "2048"]);
    refused(&["--tier", "medium"], &["medium"]);
    refused(&["--volume", "W25Q"], &["W25Q"]);
    refused(&["--volume", "all", "--layout", "256"], &["--volume", "--layout"]);
}

#[test]
fn places_that_cannot_be_used_are_named() {
    let scratch = Scratch::new();
    let file = scratch.path("file");
    fs::write(&file, "x").unwrap();
    let (path, missing) = (file.as_os_str(), scratch.path("missing"));
    fails_saying(1, &["file"], &[s("ecc"), s("--recorded"), s("--curves"), path]);
    fails_saying(1, &["file"], &[s("ecc"), s("--seconds"), s("1"), s("--campaign"), path]);
    fails_saying(
        1,
        &["missing", "no such directory"],
        &[s("ecc"), s("--recorded"), s("--campaign"), missing.as_os_str()],
    );
    let json = missing.join("report.json");
    fails_saying(1, &["report.json"], &[s("ecc"), s("--recorded"), s("--json"), json.as_os_str()]);
}
