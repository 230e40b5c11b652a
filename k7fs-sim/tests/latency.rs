//! What a single call may cost on a volume that has been in use: P6.

use k7fs_sim::chip::ChipSpec;
use k7fs_sim::latency::{Report, Row, run};

const SEED: u64 = 1;

fn report(chip: &str) -> Report {
    let spec = ChipSpec::named(chip).expect("a chip of that name");
    run(spec, SEED, |_, _| ()).expect("the workloads run")
}

/// With idle time in between: no erase, no cleaning, and 64 bytes appended and committed within so many milliseconds of device time.
fn check_maintained(report: &Report, append_ms: f64) {
    let maintained: Vec<&Row> = report.rows.iter().filter(|row| row.maintained).collect();
    assert_eq!(maintained.len(), 18);
    for row in maintained {
        assert_eq!(row.max_erases_per_call, 0, "{row:?}");
        assert!(row.max_programs_per_call <= 8, "{row:?}");
        assert!(row.workload != "W3" || row.max_ms <= append_ms, "{row:?}");
    }
}

/// Without: one erase, and so many pages where the volume is half full, twice as many where it is fuller.
fn check_busy(report: &Report, pages: u64) {
    for row in report.rows.iter().filter(|row| !row.maintained) {
        let most = if row.fill_percent == 50 { pages } else { 2 * pages };
        assert!(row.max_programs_per_call <= most && row.max_erases_per_call <= 1, "{row:?}");
    }
}

#[test]
fn no_call_waits_long_on_nor() {
    let report = report("W25Q128JV");
    check_maintained(&report, 2.0);
    // A block that is cleaned at once takes up to 256, and a checkpoint as many again.
    check_busy(&report, 48);
}

#[test]
fn no_call_waits_long_on_nand() {
    let report = report("W25N01GV");
    check_maintained(&report, 1.5);
    // A block that is cleaned at once takes up to 64.
    check_busy(&report, 20);
}
