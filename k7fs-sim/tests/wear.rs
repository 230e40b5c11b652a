//! Chips that are written to for a long time: blocks are erased evenly, and a chip that is worn out keeps what it has.

use k7fs_sim::chip::ChipSpec;
use k7fs_sim::wear::{Options, Wear, Workload, run};

const SEED: u64 = 1;

fn worn(workload: Workload, endurance: Option<u32>, seed: u64) -> Wear {
    let spec = ChipSpec::named("W25Q80BL").expect("a chip of that name");
    let options = Options { spec, workload, seed, fill_percent: workload.default_fill(), endurance };
    let wear = run(&options, |_| ()).expect("the volume can be made and filled");
    let endurance = endurance.map_or(String::new(), |erases| format!(" --endurance {erases}"));
    let replay = format!("replay: k7fs wear --chip W25Q80BL --workload {workload:?} --seed {seed}{endurance}");
    assert_eq!((wear.wrong_reads, wear.lost_commits), (0, 0), "{replay}");
    wear
}

#[test]
fn blocks_are_erased_evenly_though_most_of_the_volume_never_changes() {
    let wear = worn(Workload::W8, None, SEED);
    assert!(wear.level >= 0.9, "level {} with {wear:?}", wear.level);
    assert_eq!(wear.life_used, None);
    // The first blocks hold the anchor.
    assert!(f64::from(wear.erase_min) < wear.erase_mean, "the anchor wears less than the average");
}

#[test]
fn a_worn_out_chip_keeps_all_that_was_committed() {
    for workload in Workload::ALL {
        let wear = worn(workload, Some(30), SEED);
        let life = wear.life_used.unwrap_or_default();
        assert!(life >= 0.85, "{workload:?}: {life:.3} of the chip's life was used: {}", wear.ended);
        assert!(wear.failed_blocks > 0, "{workload:?}: no block failed");
    }
}

#[test]
fn nothing_is_lost_where_most_blocks_fail_at_once() {
    for workload in Workload::ALL {
        for seed in SEED..SEED + 8 {
            let wear = worn(workload, Some(5), seed);
            assert!(wear.failed_blocks > 0, "{workload:?}, seed {seed}: no block failed");
        }
    }
}

#[test]
fn the_same_seed_wears_a_chip_in_the_same_way() {
    assert_eq!(worn(Workload::Append, Some(5), SEED), worn(Workload::Append, Some(5), SEED));
    assert_ne!(worn(Workload::Append, Some(5), SEED), worn(Workload::Append, Some(5), SEED + 1));
}
