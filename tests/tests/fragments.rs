//! Files that grow and change in small pieces: the extents of a logical block stay few, whatever the length of the pieces, so that
//! replacing all of them fits the table.

use k7fs_core::{OpenOptions, Volume};
use k7fs_sim::model::{Content, Random};
use k7fs_tests::geometry::{Case, Packing, buffer_for, mount_options};
use k7fs_tests::seed::{mix, seed};

/// Blocks besides the least that a volume needs.
const SPARE_BLOCKS: u32 = 40;
/// Bytes appended at once.
const STEPS: [usize; 9] = [24, 60, 100, 134, 140, 200, 333, 1000, 1500];
/// Rows that other changes take before a logical block is replaced.
const OTHERS: usize = 12;

/// Chips and logical blocks: on small pages a window holds more than a record takes.
fn cases() -> Vec<Case> {
    let with = |name: &str, logical_block_size| {
        let case = Case::named(name);
        Case { packing: Packing { logical_block_size, ..case.packing }, ..case }
    };
    vec![
        Case::named("nor-128-2k"),
        Case::named("nor-256-4k"),
        with("nor-256-4k", 8192),
        Case::named("nor-1024-8k"),
        Case::named("nand-2048-64"),
        with("nand-2048-64", 65_536),
        Case::named("nor-128-2k-verified"),
        Case::named("nor-256-4k-verified"),
    ]
}

#[test]
fn small_pieces_leave_few_extents() {
    for (case, step) in cases().into_iter().flat_map(|case| STEPS.map(|step| (case, step))) {
        let what = format!("{} with blocks of {}, {step} bytes at once", case.name, case.packing.logical_block_size);
        let flash = case.formatted(SPARE_BLOCKS, seed());
        let mut buffer = buffer_for(&flash);
        let options = mount_options(&flash);
        let mut volume = Volume::mount(flash, &mut buffer, options).expect("a new volume mounts");
        let file = volume.open("/f", OpenOptions::new().read(true).write(true).create(true)).expect("opens");
        let len = (case.packing.logical_block_size as usize + 3 * step).min(12_000);
        let mut random = Random::new(mix(seed(), step as u64));
        let mut expected: Vec<u8> = Vec::new();
        for round in 0..OTHERS {
            while expected.len() < len {
                let piece = Content::seeded(random.next_u64(), step as u32).bytes();
                volume.write_at(&file, expected.len() as u64, &piece).unwrap_or_else(|error| panic!("{what}: {error}"));
                volume.sync().unwrap_or_else(|error| panic!("{what}: {error}"));
                expected.extend(&piece);
            }
            // With as many rows taken as it may be, another number each time.
            for other in 0..round {
                volume.write(&format!("/other{other}"), &[round as u8]).expect("writes");
            }
            let block = 4096.min(expected.len());
            let bytes = Content::seeded(random.next_u64(), block as u32).bytes();
            volume.write_at(&file, 0, &bytes).unwrap_or_else(|error| panic!("{what}, replaced: {error}"));
            expected[..block].copy_from_slice(&bytes);
            let mut found = vec![0; expected.len()];
            assert_eq!(volume.read_at(&file, 0, &mut found), Ok(expected.len()), "{what}");
            assert!(found == expected, "{what}: other content");
            volume.set_len(&file, 0).expect("shortens");
            expected.clear();
        }
        volume.close(file).expect("closes");
    }
}
