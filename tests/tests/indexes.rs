//! Indexes: what each shows, whatever happens to the others.
//!
//! A small world of files with several snapshots, branches and subvolumes, against maps in plain memory.

use std::collections::{BTreeMap, BTreeSet};

use k7fs_core::flash::Flash;
use k7fs_core::{Error, IndexChange, MountOptions, NAME_BYTES_MAX, PATH_BYTES_MAX, Volume};
use k7fs_sim::chip::SimFlash;
use k7fs_sim::model::{Random, observe};
use k7fs_tests::geometry::{Case, buffer_for};
use k7fs_tests::reader;
use k7fs_tests::seed::{mix, replay, say, seed};

/// Path to file.
type Files = BTreeMap<String, File>;

#[derive(Clone, Debug)]
struct File {
    /// Files with one object number have one of these.
    object: u64,
    /// Changes whenever the content may have.
    stamp: u64,
    content: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Index {
    files: Files,
    writable: bool,
}

/// Everything that a volume should show.
#[derive(Clone, Debug)]
struct World {
    indexes: BTreeMap<String, Index>,
    current: String,
    default: String,
}

impl World {
    fn new() -> Self {
        let main = Index { files: Files::new(), writable: true };
        Self {
            indexes: BTreeMap::from([("main".to_owned(), main)]),
            current: "main".to_owned(),
            default: "main".to_owned(),
        }
    }

    fn here(&mut self) -> &mut Index {
        self.indexes.get_mut(&self.current).expect("the current index is there")
    }

    fn pick(&self, random: &mut Random, wanted: impl Fn(&str, &Index) -> bool) -> Option<String> {
        let names: Vec<&String> =
            self.indexes.iter().filter(|(name, index)| wanted(name, index)).map(|(name, _)| name).collect();
        random.pick(&names).map(|name| (*name).clone())
    }
}

/// One step in the volume and in the world; what the volume refuses for lack of space has no effect on either.
fn step<F: Flash>(volume: &mut Volume<'_, F>, world: &mut World, random: &mut Random) -> Result<String, Error> {
    let name = format!("i{}", random.below(9));
    let is_free = !world.indexes.contains_key(&name);
    match random.below(100) {
        0..60 => {
            let path = format!("/f{}", random.below(12));
            if !world.here().writable {
                assert_eq!(volume.write(&path, b"no"), Err(Error::ReadOnly));
                return Ok("write to a snapshot".to_owned());
            }
            change_file(volume, world.here(), &path, random)
        }
        60..72 if is_free && world.here().writable => {
            volume.create_snapshot(&name)?;
            let index = Index { writable: false, ..world.here().clone() };
            world.indexes.insert(name.clone(), index);
            Ok(format!("snapshot {name}"))
        }
        72..76 if is_free => {
            let Some(from) = world.pick(random, |_, index| !index.writable) else { return Ok(String::new()) };
            volume.create_branch(&from, &name)?;
            let index = Index { writable: true, ..world.indexes[&from].clone() };
            world.indexes.insert(name.clone(), index);
            Ok(format!("branch {name} from {from}"))
        }
        76..78 if is_free => {
            volume.create_subvolume(&name)?;
            world.indexes.insert(name.clone(), Index { files: Files::new(), writable: true });
            Ok(format!("subvolume {name}"))
        }
        78..84 => {
            let Some(name) = world.pick(random, |_, _| true) else { return Ok(String::new()) };
            volume.select_index(&name)?;
            world.current.clone_from(&name);
            Ok(format!("select {name}"))
        }
        84..86 => {
            let Some(name) = world.pick(random, |_, _| true) else { return Ok(String::new()) };
            volume.set_default_index(&name)?;
            world.default.clone_from(&name);
            Ok(format!("default {name}"))
        }
        86..88 if is_free => {
            let Some(old) = world.pick(random, |_, _| true) else { return Ok(String::new()) };
            volume.rename_index(&old, &name)?;
            let index = world.indexes.remove(&old).expect("it was picked");
            world.indexes.insert(name.clone(), index);
            for known in [&mut world.current, &mut world.default] {
                if *known == old {
                    known.clone_from(&name);
                }
            }
            Ok(format!("rename {old} to {name}"))
        }
        88..91 if world.here().writable => {
            let Some(to) = world.pick(random, |_, index| !index.writable) else { return Ok(String::new()) };
            volume.roll_back_to(&to)?;
            world.here().files = world.indexes[&to].files.clone();
            Ok(format!("back to {to}"))
        }
        _ => {
            let (current, default) = (world.current.clone(), world.default.clone());
            let Some(name) = world.pick(random, |name, _| name != current && name != default) else {
                assert_eq!(volume.trim_index(&default), Err(Error::IndexInUse));
                return Ok(String::new());
            };
            // Whatever the volume is full of.
            assert_eq!(volume.trim_index(&name), Ok(()));
            world.indexes.remove(&name);
            assert_eq!(volume.select_index(&name), Err(Error::IndexNotFound));
            Ok(format!("trim {name}"))
        }
    }
}

fn change_file<F: Flash>(
    volume: &mut Volume<'_, F>, index: &mut Index, path: &str, random: &mut Random,
) -> Result<String, Error> {
    let length = [30, 300, 5000][random.below(3) as usize];
    let bytes: Vec<u8> = (0..random.below(length)).map(|_| random.next_u64() as u8).collect();
    let stamp = random.next_u64();
    match index.files.get_mut(path) {
        Some(_) if random.percent(25) => {
            volume.remove_file(path)?;
            index.files.remove(path);
            Ok(format!("remove {path}"))
        }
        Some(File { content, stamp: old, .. }) if random.percent(60) => {
            if !bytes.is_empty() {
                *old = stamp;
            }
            let offset = random.below(content.len() as u64 + 1) as usize;
            // Within one logical block a write is refused as a whole or not at all.
            let bytes = &bytes[..bytes.len().min(4096 - offset % 4096)];
            let file = volume.open(path, k7fs_core::OpenOptions::new().write(true))?;
            let written = volume.write_at(&file, offset as u64, bytes);
            volume.close(file)?;
            written?;
            content.resize(content.len().max(offset + bytes.len()), 0);
            content[offset..offset + bytes.len()].copy_from_slice(bytes);
            Ok(format!("overwrite {path} {offset} {}", bytes.len()))
        }
        _ => {
            volume.write(path, &bytes)?;
            let old = index.files.remove(path);
            let object = old.as_ref().map_or(stamp, |file| file.object);
            let unchanged = old.filter(|file| file.content.is_empty() && bytes.is_empty());
            let stamp = unchanged.map_or(stamp, |file| file.stamp);
            index.files.insert(path.to_owned(), File { object, stamp, content: bytes });
            Ok(format!("write {path}"))
        }
    }
}

/// Compares everything that the volume shows, and comes back to where it was.
fn compare<F: Flash>(volume: &mut Volume<'_, F>, world: &World) {
    let mut names = Vec::new();
    let mut cursor = volume.indexes();
    let mut name = [0; NAME_BYTES_MAX];
    while let Some(index) = volume.next_index(&mut cursor, &mut name).expect("indexes can be listed") {
        assert_eq!(index.is_default, index.name == world.default);
        assert_eq!(index.is_current, index.name == world.current);
        assert_eq!(index.writable, world.indexes[index.name].writable, "{}", index.name);
        names.push(index.name.to_owned());
    }
    names.sort();
    assert!(names.iter().eq(world.indexes.keys()), "{names:?}, expected {:?}", world.indexes.keys());
    for (name, index) in &world.indexes {
        volume.select_index(name).expect("every index can be selected");
        let shown = observe(volume).expect("every index can be read");
        for path in shown.entries.keys().chain(index.files.keys()) {
            let shown = shown.entries.get(path).map(|entry| &*entry.content);
            let expected = index.files.get(path).map(|file| &file.content);
            let lengths = (shown.map(Vec::len), expected.map(Vec::len));
            assert!(shown == expected, "{path} in {name} differs, lengths {lengths:?}");
        }
    }
    volume.select_index(&world.current).expect("back to where it was");
    let mut faults = Vec::new();
    volume.check(|fault| faults.push(fault)).expect("can be checked");
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(volume.audit().expect("can be audited"), None);
}

/// What the volume says that two indexes differ by, and what the world says.
fn compare_differences<F: Flash>(volume: &mut Volume<'_, F>, world: &World, random: &mut Random) {
    let pick = |random: &mut Random| world.pick(random, |_, _| true).expect("there is an index");
    let (first, second) = (pick(random), pick(random));
    let mut found = BTreeSet::new();
    let mut path = [0; PATH_BYTES_MAX];
    let mut note = |change: &IndexChange<'_>| {
        let sizes = (change.size_before, change.size_after);
        assert!(found.insert((change.path.to_owned(), format!("{:?} {sizes:?}", change.change))), "{change:?} twice");
    };
    volume.diff(&first, &second, &mut path, &mut note).expect("can be compared");
    let (before, after) = (&world.indexes[&first].files, &world.indexes[&second].files);
    let mut expected = BTreeSet::new();
    for path in before.keys().chain(after.keys()) {
        let mut note = |what: &str, sizes: (usize, usize)| expected.insert((path.clone(), format!("{what} {sizes:?}")));
        match (before.get(path), after.get(path)) {
            (Some(old), Some(new)) if old.object == new.object && old.stamp == new.stamp => {}
            (Some(old), Some(new)) if old.object == new.object => {
                note("Changed", (old.content.len(), new.content.len()));
            }
            (old, new) => {
                if let Some(old) = old {
                    note("Removed", (old.content.len(), 0));
                }
                if let Some(new) = new {
                    note("Added", (0, new.content.len()));
                }
            }
        }
    }
    assert_eq!(found, expected, "from {first} to {second}");
}

/// The reader that knows the format alone sees the same, and no trace of indexes that are gone.
fn compare_with_stranger(flash: &SimFlash, world: &World) {
    let geometry = flash.geometry();
    let mut image = flash.chip().to_bytes();
    image.truncate(geometry.page_count() as usize * geometry.raw_page_size());
    let (found, _) = reader::read(&image, geometry).expect("the image follows the format");
    assert_eq!(found.default, world.default);
    let names = |files: &reader::Files| files.keys().filter(|path| *path != "/").cloned().collect::<Vec<_>>();
    for (name, index) in &world.indexes {
        assert!(names(&found.files[name]).iter().eq(index.files.keys()), "{name}");
        for (path, file) in &index.files {
            assert!(found.files[name][path].content == file.content, "{path} in {name}");
        }
    }
}

fn live(name: &str, rounds: u64, steps: u32) {
    let seed = seed();
    let case = Case::named(name);
    let (mut done, mut refused) = (0, 0);
    for round in 0..rounds {
        let seed = mix(seed, round);
        let mut random = Random::new(seed);
        // From volumes that are always full to such that are never cleaned.
        let mut flash: SimFlash = case.formatted(2 + 5 * round as u32, seed);
        let mut world = World::new();
        let mut buffer = buffer_for(&flash);
        for _ in 0..steps / 40 {
            let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default()).expect("mounts");
            world.current.clone_from(&world.default);
            for _ in 0..40 {
                let mut after = world.clone();
                match step(&mut volume, &mut after, &mut random) {
                    Ok(what) => {
                        if std::env::var_os("K7FS_VERBOSE").is_some() {
                            println!("{what}");
                        }
                        world = after;
                        done += 1;
                    }
                    // What an interrupted write has left is not known here.
                    Err(Error::NoSpace) => refused += 1,
                    Err(error) => panic!("{error}\nreplay: {}", replay("indexes", name, seed)),
                }
            }
            compare(&mut volume, &world);
            compare_differences(&mut volume, &world, &mut random);
            flash_back(volume, random.percent(50));
            compare_with_stranger(&flash, &world);
        }
    }
    say(&format!("{name}: {done} steps, {refused} refused"));
}

fn flash_back<F: Flash>(volume: Volume<'_, F>, orderly: bool) {
    if orderly {
        volume.unmount().expect("can be unmounted");
    } else {
        volume.abandon();
    }
}

#[test]
fn nor_256_4k() {
    live("nor-256-4k", 8, 1600);
}

#[test]
fn nor_128_2k() {
    live("nor-128-2k", 8, 1600);
}

#[test]
fn nor_1024_8k() {
    live("nor-1024-8k", 4, 1600);
}

#[test]
fn nand_2048_64() {
    live("nand-2048-64", 4, 800);
}
