//! What a single call may cost on a volume that has been in use: P6.

use k7fs_sim::chip::ChipSpec;
use k7fs_sim::latency::{Report, Row, run};

const SEED: u64 = 1;

fn report(chip: &str) -> Report {
    let spec = ChipSpec::named(chip).expect("a chip of that name");
    run(spec, SEED, |_, _| ()).expect("the workloads run")
}

#[test]
fn with_idle_time_no_call_waits_for_an_erase_or_for_cleaning() {
    let report = report("W25Q128JV");
    let maintained: Vec<&Row> = report.rows.iter().filter(|row| row.maintained).collect();
    assert_eq!(maintained.len(), 18);
    for row in maintained {
        assert_eq!(row.max_erases_per_call, 0, "{row:?}");
        assert!(row.max_programs_per_call <= 8, "{row:?}");
    }
}

#[test]
fn without_it_cleaning_goes_along_with_writes() {
    let report = report("W25Q128JV");
    for row in report.rows.iter().filter(|row| !row.maintained) {
        // A block of 64 KiB that is cleaned at once takes up to 256, and a checkpoint as many again.
        let most = if row.fill_percent == 50 { 48 } else { 96 };
        assert!(row.max_programs_per_call <= most && row.max_erases_per_call <= 2, "{row:?}");
    }
}
