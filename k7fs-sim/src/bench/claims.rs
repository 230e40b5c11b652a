//! What another flash file system states of itself, measured the same way here.
//!
//! NexFS names the typical times of six operations. The targets are the upper ends of its ranges; a snapshot may take one commit.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, FormatOptions, MountOptions, OpenOptions, Volume};

use super::files::inspect;
use super::meter::{Flow, Meter, Mounted, Phase};
use super::probe::Probe;
use super::subject::{Random, Subject};

const PIECE_BYTES: usize = 4096;
/// Operations of each kind.
const ROUNDS: usize = 100;
const FORMAT_MS: f64 = 500.0;
const MOUNT_MS: f64 = 10.0;
const CREATE_MS: f64 = 20.0;
const READ_MS: f64 = 5.0;
const WRITE_MS: f64 = 30.0;

/// Formats and mounts, then creates, writes and reads files and takes snapshots in turns, as on a volume in use.
pub(super) fn claims(subject: &Subject, seed: u64) -> Result<Vec<Phase>, Error> {
    let mut flash = Probe::new(subject.flash(seed)?);
    let mut buffer = subject.buffer(&flash.geometry());
    let options = FormatOptions { volume_id: *b"claims of others", ..FormatOptions::default() };
    let mut formatting = Meter::default();
    Volume::format(&mut flash, &mut buffer, &options)?;
    let formatted = flash.work();
    formatting.add(formatted, 0);
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
    let mut mounting = Meter::default();
    mounting.add(volume.flash_mut().work() - formatted, 0);
    let mut meters = run(&mut volume, &mut Random::new(seed))?;
    if let Some(wrong) = inspect(volume) {
        meters.snapshots.fail(wrong);
    }
    let phase = |meter: Meter, operation: &str, flow, target_ms| {
        let phase = meter.phase(subject, "claims", operation, flow);
        Phase { target_ms, ..phase }
    };
    Ok(vec![
        phase(formatting, "format", Flow::None, Some(FORMAT_MS)),
        phase(mounting, "mount", Flow::None, Some(MOUNT_MS)),
        phase(meters.creates, "create a file", Flow::None, Some(CREATE_MS)),
        phase(meters.reads, "read 4 KiB", Flow::Read, Some(READ_MS)),
        phase(meters.writes, "write 4 KiB, sync", Flow::Write, Some(WRITE_MS)),
        phase(meters.snapshots, "take a snapshot", Flow::None, None),
    ])
}

#[derive(Default)]
struct Meters {
    creates: Meter,
    reads: Meter,
    writes: Meter,
    snapshots: Meter,
}

fn run(volume: &mut Mounted<'_>, random: &mut Random) -> Result<Meters, Error> {
    let mut meters = Meters::default();
    for round in 0..ROUNDS {
        let path = format!("/file{round}");
        let options = OpenOptions::new().read(true).write(true).create_new(true);
        let mut created = None;
        meters.creates.measure(volume, 0, |volume| {
            created = Some(volume.open(&path, options)?);
            Ok(())
        });
        let Some(file) = created else { break };
        let content = random.bytes(PIECE_BYTES);
        meters.writes.measure(volume, PIECE_BYTES, |volume| {
            volume.write_at(&file, 0, &content)?;
            volume.sync()
        });
        let mut bytes = vec![0; PIECE_BYTES];
        meters.reads.measure(volume, PIECE_BYTES, |volume| volume.read_at(&file, 0, &mut bytes).map(drop));
        if bytes != content {
            meters.reads.fail(format!("wrong content of {path}"));
        }
        volume.close(file)?;
        meters.snapshots.measure(volume, 0, |volume| volume.create_snapshot(&format!("s{round}")));
        if round % 2 == 1 {
            volume.trim_index(&format!("s{}", round - 1))?;
        }
    }
    Ok(meters)
}
