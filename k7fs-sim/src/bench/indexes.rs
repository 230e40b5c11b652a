//! Snapshots on a volume with many files.

use k7fs_core::{Error, IndexChange, PATH_BYTES_MAX};

use super::files::on_fresh_volume;
use super::meter::{Flow, Meter, Mounted, Phase};
use super::subject::{Random, Subject};

/// Files where the volume takes them, in directories of so many.
const FILES: usize = 20_000;
const FILES_PER_DIRECTORY: usize = 500;
const FILE_BYTES: usize = 200;
/// Part of the volume's capacity that they may take.
const FILL_PERCENT: u64 = 60;
/// Rounds of changes, each with a snapshot before it.
const ROUNDS: usize = 20;
/// Files rewritten between two snapshots.
const CHANGES: usize = 10;

/// Makes as many files as there is room for, and tells how many.
fn fill(volume: &mut Mounted<'_>, random: &mut Random) -> Result<usize, Error> {
    for index in 0..FILES {
        if index % FILES_PER_DIRECTORY == 0 {
            let usage = volume.usage()?;
            let used = usage.capacity_bytes - usage.free_bytes;
            if used * 100 > usage.capacity_bytes * FILL_PERCENT {
                return Ok(index);
            }
            volume.create_dir(&format!("/d{}", index / FILES_PER_DIRECTORY))?;
        }
        volume.write(&path(index), &random.bytes(FILE_BYTES))?;
    }
    Ok(FILES)
}

fn path(index: usize) -> String {
    format!("/d{}/file{index}", index / FILES_PER_DIRECTORY)
}

/// Snapshots of a volume with many files, the differences of two, trimming them in any order, and rolling back.
pub(super) fn snapshots(subject: &Subject, seed: u64) -> Result<Vec<Phase>, Error> {
    on_fresh_volume(subject, seed, |volume, random| {
        let files = fill(volume, random)?;
        let (mut creating, mut comparing, mut trimming, mut going_back) =
            (Meter::default(), Meter::default(), Meter::default(), Meter::default());
        let mut names: Vec<String> = Vec::new();
        for round in 0..ROUNDS {
            let name = format!("s{round}");
            // What the merge of earlier changes costs is not the snapshot's.
            volume.sync()?;
            creating.measure(volume, 0, |volume| volume.create_snapshot(&name));
            for _ in 0..CHANGES {
                volume.write(&path(random.below(files)), &random.bytes(FILE_BYTES))?;
            }
            let mut text = [0; PATH_BYTES_MAX];
            let mut changes = 0;
            comparing.measure(volume, 0, |volume| {
                volume.diff(&name, "main", &mut text, &mut |_: &IndexChange<'_>| changes += 1)
            });
            if changes == 0 || changes > CHANGES {
                comparing.fail(format!("{changes} differences after {CHANGES} changes"));
            }
            names.push(name);
        }
        let last = names.pop().unwrap_or_default();
        going_back.measure(volume, 0, |volume| volume.roll_back_to(&last));
        random.shuffle(&mut names);
        for name in &names {
            trimming.measure(volume, 0, |volume| volume.trim_index(name));
        }
        let of = format!("of {files} files");
        Ok(vec![
            creating.phase(subject, "snap", format!("create {of}"), Flow::None),
            comparing.phase(subject, "snap", format!("diff {CHANGES} {of}"), Flow::None),
            going_back.phase(subject, "snap", format!("back {of}"), Flow::None),
            trimming.phase(subject, "snap", format!("trim {CHANGES} {of}"), Flow::None),
        ])
    })
}
