//! Many snapshots: hundreds at once, trimmed in any order under power cuts, and what they leave behind, which is nothing.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, MountOptions, Volume};
use k7fs_sim::chip::{Cut, CutKind, SimFlash};
use k7fs_sim::codec::HostCodecs;
use k7fs_sim::model::{Content, Finished, Operation, Oracle, Random, Session, Tree, TreeEntry, observe_some};
use k7fs_tests::geometry::{Case, LOGICAL_BLOCK_MAX, PACKED, buffer_for};
use k7fs_tests::parallel;
use k7fs_tests::seed::{mix, say, seed};
use k7fs_tests::sequence::{audit, check};
use k7fs_tests::workload::{branch, resize, select, snapshot, trim, unlink, write};

/// Snapshots of the changing tree.
const SNAPSHOTS: u64 = 200;
/// Files of the changing tree.
const FILES: u64 = 40;
/// Indexes that are looked at after a cut.
const SAMPLE: u64 = 5;
/// Of a hundred operations, how many are cut.
const CUTS_PER_HUNDRED: u64 = 20;
/// Programs and erases within which a cut strikes.
const CUT_OPERATIONS: u64 = 40;
/// Branches off one line of descent.
const BRANCHES: u64 = 100;
/// All indexes of the crowd, at least.
const CROWD_MIN: usize = 255;

/// A chip, what must be on it, and chance.
struct Bench {
    flash: SimFlash,
    buffer: Vec<u8>,
    codecs: HostCodecs,
    oracle: Oracle,
    random: Random,
    /// Indexes that are looked at after a cut.
    sample: u64,
    cuts: u64,
    looked_at: u64,
}

impl Bench {
    fn new(case: &str, spare_blocks: u32, seed: u64) -> Self {
        let flash = Case::named(case).formatted(spare_blocks, seed);
        let (buffer, codecs) = (buffer_for(&flash), HostCodecs::new(LOGICAL_BLOCK_MAX));
        let (oracle, random) = (Oracle::new(), Random::new(seed));
        Self { flash, buffer, codecs, oracle, random, sample: SAMPLE, cuts: 0, looked_at: 0 }
    }

    /// Runs operations; with `cuts`, the power goes now and then, and what a mount shows is the state from then on.
    fn run(&mut self, operations: &[Operation], cuts: bool) {
        let mut next = 0;
        while next < operations.len() {
            let mut codecs = self.codecs.lend();
            let options = MountOptions::default();
            let mounted = Volume::mount_with(&mut self.flash, &mut self.buffer, options, &mut codecs);
            let mut volume = match mounted {
                Ok(volume) => volume,
                Err(error) => {
                    assert!(self.flash.chip().is_off(), "mount: {error}");
                    self.flash.chip_mut().power_on();
                    continue;
                }
            };
            let random = &mut self.random;
            let share = self.sample * 100 / self.oracle.model().index_count().max(1) as u64;
            let shown = observe_some(&mut volume, "", |_| random.percent(share)).expect("a mounted volume can be read");
            self.looked_at += shown.indexes.values().filter(|index| index.files.is_some()).count() as u64;
            self.oracle.settle(&shown).expect("a mount shows a state that was promised");
            let mut session = Session::new();
            while let Some(operation) = operations.get(next) {
                if cuts && random.percent(CUTS_PER_HUNDRED) {
                    let kind = *random.pick(&CutKind::LADDER).expect("there are some");
                    let cut = Cut { operation: random.below(CUT_OPERATIONS), kind };
                    volume.flash_mut().chip_mut().faults_mut().cut = Some(cut);
                }
                next += 1;
                self.oracle.start(operation);
                let outcome = session.apply(&mut volume, operation);
                if volume.flash_mut().chip().is_off() {
                    if outcome.error().is_none() {
                        self.oracle.finish(operation, &outcome).expect("acknowledged before the power went");
                    }
                    break;
                }
                let finished = self.oracle.finish(operation, &outcome);
                let finished = finished.unwrap_or_else(|violation| panic!("{violation}"));
                assert_ne!(finished, Finished::Partial, "{operation:?}");
            }
            let _ = volume.abandon();
            self.cuts += u64::from(self.flash.chip().is_off());
            self.flash.chip_mut().faults_mut().cut = None;
            self.flash.chip_mut().power_on();
        }
        self.flash.chip_mut().faults_mut().cut = None;
    }

    /// Looks at everything, and tells the bytes in use.
    fn look_at_all(&mut self) -> (Tree, u64) {
        let mut codecs = self.codecs.lend();
        let options = MountOptions::default();
        let mounted = Volume::mount_with(&mut self.flash, &mut self.buffer, options, &mut codecs);
        let mut volume = mounted.expect("mounts");
        let shown = observe_some(&mut volume, "", |_| true).expect("everything can be read");
        self.oracle.settle(&shown).expect("everything is as the model says");
        check(&mut volume).expect("nothing is wrong");
        audit(&mut volume).expect("nothing is lost");
        let used = used(&mut volume);
        volume.unmount().expect("can be unmounted");
        (shown, used)
    }
}

fn used<F: Flash>(volume: &mut Volume<'_, F>) -> u64 {
    let usage = volume.usage().expect("a sound volume tells its usage");
    usage.capacity_bytes - usage.free_bytes
}

/// Bytes in use where the same files are written to a new volume.
fn used_afresh(case: &str, spare_blocks: u32, tree: &Tree) -> u64 {
    let mut flash = Case::named(case).formatted(spare_blocks, 0);
    let mut buffer = buffer_for(&flash);
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
    for (path, entry) in &tree.entries {
        volume.write(path, &entry.content).expect("there is room");
    }
    audit(&mut volume).expect("nothing is lost");
    used(&mut volume)
}

/// One change of the tree. The files of its first half are never gone, so that no hole comes to be: those would take no space.
fn change(random: &mut Random) -> Operation {
    let lasting = format!("/f{}", random.below(FILES / 2));
    let path = format!("/f{}", FILES / 2 + random.below(FILES / 2));
    let content = Content::seeded(random.next_u64() % 1000, 3000 + random.below(6000) as u32);
    match random.below(10) {
        0..2 => Operation::Write { path, content },
        2..4 => Operation::Write { path: lasting, content },
        4..8 => Operation::Update {
            path: lasting,
            offset: random.below(2700),
            content: Content::seeded(random.below(99), 300),
        },
        8 => Operation::RemoveFile { path },
        _ => Operation::Rename { from: path, to: format!("/f{}", FILES / 2 + random.below(FILES / 2)) },
    }
}

#[test]
fn two_hundred_snapshots_come_and_go_under_cuts() {
    let (case, spare_blocks) = ("nor-1024-8k", 600);
    let seed = seed();
    let mut bench = Bench::new(case, spare_blocks, seed);
    let mut random = Random::new(mix(seed, 7));
    let mut operations: Vec<Operation> = (0..FILES).map(|file| write(&format!("/f{file}"), file, 6000)).collect();
    for number in 0..SNAPSHOTS {
        operations.extend((0..4).map(|_| change(&mut random)));
        operations.push(snapshot(&format!("s{number}")));
    }
    bench.run(&operations, true);
    let (_, at_most) = bench.look_at_all();
    let mut left: Vec<u64> = (0..SNAPSHOTS).collect();
    let mut operations = Vec::new();
    while !left.is_empty() {
        let number = left.swap_remove(random.below(left.len() as u64) as usize);
        operations.push(trim(&format!("s{number}")));
        operations.push(change(&mut random));
    }
    for part in operations.chunks(100) {
        bench.run(part, true);
        bench.look_at_all();
    }
    // What a cut has undone is done now.
    let names: Vec<String> = bench.oracle.model().indexes().map(|(name, _)| name.clone()).collect();
    let rest: Vec<Operation> = names.iter().filter(|name| *name != "main").map(|name| trim(name)).collect();
    bench.run(&rest, false);
    // Overwriting pieces has left many extents. Where every file is whole again, nothing but indexes makes a difference.
    let (tree, _) = bench.look_at_all();
    let whole = |(path, entry): (&String, &TreeEntry)| Operation::Write {
        path: path.clone(),
        content: Content::Bytes(entry.content.as_slice().into()),
    };
    let whole: Vec<Operation> = tree.entries.iter().map(whole).collect();
    bench.run(&whole, false);
    let (tree, used) = bench.look_at_all();
    assert!(tree.indexes.is_empty());
    let afresh = used_afresh(case, spare_blocks, &tree);
    say(&format!(
        "snapshots: {} cuts, {} indexes looked at after them; {at_most} bytes with all, {used} in the end, {afresh} afresh, \
         {} of content",
        bench.cuts,
        bench.looked_at,
        tree.content_bytes()
    ));
    assert!(bench.cuts > 100, "{} cuts", bench.cuts);
    assert!(used * 100 <= afresh * 101, "{used} bytes in use, {afresh} where the same files are written anew");
}

#[test]
fn a_crowd_of_indexes_with_branches_off_one_line() {
    let seed = seed();
    let mut bench = Bench::new("nor-1024-8k", 300, seed);
    let mut random = Random::new(mix(seed, 8));
    let mut operations = Vec::new();
    for number in 0..BRANCHES {
        operations.push(write(&format!("/f{}", number % 7), number, 30 + number as u32));
        operations.push(snapshot(&format!("s{number}")));
        operations.push(branch(&format!("s{number}"), &format!("b{number}")));
        if number % 9 == 3 {
            operations.push(unlink(&format!("/f{}", number % 7)));
        }
        if number % 5 == 2 {
            operations.extend([
                select(&format!("b{number}")),
                write("/own", number, 20),
                unlink("/f0"),
                select("main"),
            ]);
        }
    }
    for number in 0..60 {
        let name = format!("v{number}");
        operations.push(Operation::CreateSubvolume { name: name.clone() });
        operations.extend([select(&name), write("/v", number, 33), select("main")]);
    }
    bench.run(&operations, false);
    let (tree, _) = bench.look_at_all();
    assert!(tree.indexes.len() >= CROWD_MIN, "{} indexes", tree.indexes.len());
    let mut names: Vec<&String> = tree.indexes.keys().filter(|name| *name != "main").collect();
    let mut trims = Vec::new();
    while names.len() > 20 {
        let name = names.swap_remove(random.below(names.len() as u64) as usize);
        trims.push(trim(name));
    }
    for part in trims.chunks(60) {
        bench.run(part, true);
        bench.look_at_all();
    }
}

/// Every block that is in use is needed.
fn expect_no_waste(flash: &mut SimFlash, buffer: &mut [u8]) {
    let mut volume = Volume::mount(flash, buffer, MountOptions::default()).expect("mounts");
    audit(&mut volume).expect("nothing is lost");
    assert_eq!(volume.wasted_block(), Ok(None), "a block that holds nothing is not free");
    volume.unmount().expect("can be unmounted");
}

/// Fills a volume until the cleaner has nothing left to gain, and deletes all of it.
fn fill_and_empty(flash: &mut SimFlash, buffer: &mut [u8]) {
    let mut volume = Volume::mount(flash, buffer, MountOptions::default()).expect("mounts");
    let mut there = Vec::new();
    let mut next = 0;
    // The second time only what lies between other files is free.
    for _ in 0..2 {
        loop {
            match volume.write(&format!("/fill{next}"), &[next as u8; 4096]) {
                Ok(()) => there.push(next),
                Err(Error::NoSpace) => break,
                Err(error) => panic!("{error}"),
            }
            next += 1;
        }
        let (kept, gone): (Vec<u32>, Vec<u32>) = there.iter().partition(|number| *number % 2 == 0);
        for number in gone {
            volume.remove_file(&format!("/fill{number}")).expect("deleting works on a full volume");
        }
        there = kept;
    }
    for number in there {
        volume.remove_file(&format!("/fill{number}")).expect("deleting works on a full volume");
    }
    volume.unmount().expect("can be unmounted");
}

/// Where each of many indexes refers to other parts of the same extents, their blocks have more references than are counted:
/// they must come back all the same.
fn blocks_with_many_references_come_back(case: &str, spare_blocks: u32, length: u32, snapshots: u64) {
    let mut bench = Bench::new(case, spare_blocks, seed());
    let mut buffer = buffer_for(&bench.flash);
    let mut operations = vec![write("/long", 1, length)];
    for number in 0..snapshots {
        operations.push(snapshot(&format!("s{number}")));
        let update = |block: u64| {
            let offset = block * 4096 + 100 + number * 3500 / snapshots;
            Operation::Update { path: "/long".to_owned(), offset, content: Content::seeded(number, 4) }
        };
        operations.extend((0..u64::from(length) / 4096).map(update));
    }
    bench.run(&operations, false);
    bench.look_at_all();
    let mut trims: Vec<Operation> = (0..snapshots).map(|number| trim(&format!("s{number}"))).collect();
    trims.push(unlink("/long"));
    bench.run(&trims, false);
    fill_and_empty(&mut bench.flash, &mut buffer);
    bench.look_at_all();
    expect_no_waste(&mut bench.flash, &mut buffer);
}

#[test]
fn large_blocks_with_many_references_come_back() {
    blocks_with_many_references_come_back("nor-256-stm32h7", 16, 131_072, 10);
}

#[test]
fn small_blocks_with_many_references_come_back() {
    blocks_with_many_references_come_back("nor-256-4k", 1000, 16_384, 100);
}

/// Snapshots and branches of the changing packed files, at once.
const PACKED_SNAPSHOTS: usize = 6;
/// Bytes for them beside the smallest volume.
const PACKED_ROOM: u32 = 400_000;
/// Rounds, at least, and where it takes many until blocks are cleaned.
const PACKED_ROUNDS: u32 = 30;
const PACKED_ROUNDS_MAX: u32 = 200;
/// Packed files: few, so that their blocks are cleaned again and again.
const PACKED_FILES: u64 = 5;

/// Content that compresses, of one or two logical blocks, or some that does not.
fn packed_content(random: &mut Random, length: u64) -> Content {
    let seed = if random.percent(80) { 101 + 2 * random.below(500) } else { random.below(100) };
    Content::seeded(seed, 1 + random.below(length) as u32)
}

/// One change of packed files: whole ones, parts of records, cut records, holes.
fn packed_change(random: &mut Random, block: u64) -> Operation {
    let path = format!("/p{}", random.below(PACKED_FILES));
    let content = packed_content(random, 2 * block);
    match random.below(10) {
        0..5 => Operation::Write { path, content },
        5..8 => Operation::Update { path, offset: random.below(2 * block), content: packed_content(random, block / 4) },
        8 => resize(&path, random.below(2 * block)),
        _ => Operation::RemoveFile { path },
    }
}

/// Packed records that several indexes refer to, whole and in parts, move, are cut, and go: each index shows what it should all
/// the while, with every hash compared, and nothing of them stays.
fn packed_snapshots_come_and_go(case: Case, seed: u64) {
    let block = u64::from(case.packing.logical_block_size);
    let erase_unit = case.flash(4, 0).geometry();
    let erase_unit = erase_unit.page_size * erase_unit.pages_per_block;
    let mut bench = Bench::new(case.name, PACKED_ROOM / erase_unit + 2, seed);
    // All of them: a cut may strike in any.
    bench.sample = 1000;
    let mut random = Random::new(mix(seed, 9));
    let mut there: Vec<String> = Vec::new();
    let erases_min = 2 * u64::from(bench.flash.geometry().block_count);
    for round in 0..PACKED_ROUNDS_MAX {
        if round >= PACKED_ROUNDS && bench.flash.chip().counters().erases > erases_min {
            break;
        }
        let mut operations = Vec::new();
        for step in 0..6 {
            operations.extend((0..3).map(|_| packed_change(&mut random, block)));
            let name = format!("s{round}-{step}");
            while there.len() >= PACKED_SNAPSHOTS {
                let at = random.below(there.len() as u64) as usize;
                operations.push(trim(&there.swap_remove(at)));
            }
            operations.push(match random.pick(&there).filter(|_| step == 5) {
                // What it has of its own hides records of the snapshot, or parts of them.
                Some(from) => branch(from, &name),
                None => snapshot(&name),
            });
            if step == 5 {
                operations.push(select(&name));
                operations.extend((0..3).map(|_| packed_change(&mut random, block)));
                operations.push(select("main"));
            }
            there.push(name);
        }
        bench.run(&operations, round % 2 == 0);
        bench.look_at_all();
        let names = bench.oracle.model().indexes().map(|(name, _)| name.clone());
        there = names.filter(|name| name != "main").collect();
    }
    let erases = bench.flash.chip().counters().erases;
    bench.run(&there.iter().map(|name| trim(name)).collect::<Vec<_>>(), false);
    let (tree, used) = bench.look_at_all();
    assert!(tree.indexes.is_empty());
    say(&format!("{}: {} cuts, {erases} erases, {used} bytes in the end", case.name, bench.cuts));
    assert!(bench.cuts > 10, "{} cuts", bench.cuts);
    assert!(erases > erases_min, "{erases} erases");
}

#[test]
fn snapshots_of_packed_content_come_and_go_under_cuts_and_cleaning() {
    for case in PACKED {
        packed_snapshots_come_and_go(case, seed());
    }
}

/// An index was trimmed while a checkpoint was under way that had written leaves anew, which the root did not say yet: what it hid
/// came back.
#[test]
fn an_index_is_trimmed_while_a_checkpoint_is_under_way() {
    let seeds: Vec<u64> = vec![20, 31, 37];
    parallel::run(&seeds, |seed| packed_snapshots_come_and_go(PACKED[0], *seed));
}
