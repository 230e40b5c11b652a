//! W1 to W5.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, File, FormatOptions, MountOptions, OpenOptions, Volume};

use super::meter::{Flow, Meter, Mounted, Phase};
use super::probe::Probe;
use super::subject::{Random, Subject};

const KIB: usize = 1024;
/// The file of W1 and W2.
const LARGE_BYTES: usize = 512 * KIB;
const PIECE_BYTES: usize = 4 * KIB;

/// A fresh volume's chip and the buffer for it.
pub(super) fn formatted(subject: &Subject, seed: u64) -> Result<(Probe, Vec<u8>), Error> {
    let mut flash = Probe::new(subject.flash(seed)?);
    let mut buffer = subject.buffer(&flash.geometry());
    let mut volume_id = [0x5A; 16];
    volume_id[..8].copy_from_slice(&seed.to_le_bytes());
    Volume::format(&mut flash, &mut buffer, &FormatOptions { volume_id, ..FormatOptions::default() })?;
    Ok((flash, buffer))
}

/// Runs a workload on a fresh volume and looks at the volume afterwards: what is wrong is the last phase's failure.
pub(super) fn on_fresh_volume(
    subject: &Subject, seed: u64, run: impl FnOnce(&mut Mounted<'_>, &mut Random) -> Result<Vec<Phase>, Error>,
) -> Result<Vec<Phase>, Error> {
    let (flash, mut buffer) = formatted(subject, seed)?;
    let mut volume = Volume::mount(flash, &mut buffer, MountOptions::default())?;
    let mut phases = run(&mut volume, &mut Random::new(seed))?;
    if let Some(wrong) = inspect(volume)
        && let Some(last) = phases.last_mut()
    {
        last.failure.get_or_insert(wrong);
    }
    Ok(phases)
}

/// What is wrong with a volume: faults that its own check finds, and rules of the chip that were broken.
pub(super) fn inspect(mut volume: Mounted<'_>) -> Option<String> {
    let mut first = None;
    let summary = match volume.check(|fault| _ = first.get_or_insert(fault)) {
        Ok(summary) => summary,
        Err(error) => return Some(format!("check: {error}")),
    };
    if let Some(fault) = first {
        return Some(format!("check: {} faults, the first {fault:?}", summary.faults));
    }
    let counters = volume.flash_mut().flash().chip().counters();
    counters.first_violation().map(|violation| format!("{} violations, the first: {violation}", counters.violations))
}

/// A new file, open for reading and writing.
fn create(volume: &mut Mounted<'_>, path: &str) -> Result<File, Error> {
    volume.open(path, OpenOptions::new().read(true).write(true).create(true))
}

/// A file with content, written in pieces of 4 KiB and synced.
fn create_filled(volume: &mut Mounted<'_>, path: &str, content: &[u8]) -> Result<File, Error> {
    let file = create(volume, path)?;
    for (index, piece) in content.chunks(PIECE_BYTES).enumerate() {
        volume.write_at(&file, (index * PIECE_BYTES) as u64, piece)?;
    }
    volume.sync()?;
    Ok(file)
}

fn target(phase: Phase, nor_ms: Option<f64>, nand_ms: Option<f64>, subject: &Subject) -> Phase {
    // NOR figures are for parts of 16 MiB in 64 KiB blocks.
    let counts = subject.spec.data_size() >= 16 << 20 && subject.block_size == 64 << 10;
    let target_ms = if subject.spec.is_nand() { nand_ms } else { nor_ms.filter(|_| counts) };
    Phase { target_ms, ..phase }
}

/// W1: a file of 512 KiB in writes of 4 KiB and one sync, then read back.
pub(super) fn sequential(subject: &Subject, seed: u64) -> Result<Vec<Phase>, Error> {
    on_fresh_volume(subject, seed, |volume, random| {
        let content = random.bytes(LARGE_BYTES);
        let file = create(volume, "/large")?;
        let mut writing = Meter::default();
        for (index, piece) in content.chunks(PIECE_BYTES).enumerate() {
            let at = (index * PIECE_BYTES) as u64;
            if !writing.measure(volume, piece.len(), |volume| volume.write_at(&file, at, piece)) {
                break;
            }
        }
        writing.measure(volume, 0, |volume| volume.sync());
        let mut reading = Meter::default();
        let mut buffer = vec![0; PIECE_BYTES];
        for (index, piece) in content.chunks(PIECE_BYTES).enumerate() {
            let at = (index * PIECE_BYTES) as u64;
            let read = |volume: &mut Mounted<'_>| volume.read_at(&file, at, &mut buffer).map(drop);
            if !reading.measure(volume, piece.len(), read) {
                break;
            }
            if buffer != piece {
                reading.fail(format!("wrong content at {at}"));
            }
        }
        let mut small = Meter::default();
        let mut buffer = [0; 64];
        for _ in 0..500 {
            let at = random.below(LARGE_BYTES - buffer.len());
            let read = |volume: &mut Mounted<'_>| volume.read_at(&file, at as u64, &mut buffer).map(drop);
            if !small.measure(volume, 64, read) {
                break;
            }
            if buffer[..] != content[at..at + 64] {
                small.fail(format!("wrong content at {at}"));
            }
        }
        volume.close(file)?;
        // The bus has to carry headers and parity, too.
        let bus_ms = super::meter::ms(subject.bus_ns(subject.sealed_bytes(LARGE_BYTES as u64))) * 1.25;
        Ok(vec![
            target(writing.phase(subject, "W1", "write 4 KiB", Flow::Write), Some(2800.0), None, subject),
            target(reading.phase(subject, "W1", "read 4 KiB", Flow::Read), Some(bus_ms), Some(bus_ms), subject),
            small.phase(subject, "W1", "read 64 B", Flow::Read),
        ])
    })
}

/// W2: 500 overwrites in a file of 512 KiB, a sync after each; aligned 4 KiB, then 100 bytes anywhere on a fresh volume.
pub(super) fn overwrite(subject: &Subject, seed: u64) -> Result<Vec<Phase>, Error> {
    let mut phases = overwrite_by(subject, seed, "W2a", PIECE_BYTES, PIECE_BYTES)?;
    phases.extend(overwrite_by(subject, seed, "W2b", 100, 1)?);
    Ok(phases)
}

fn overwrite_by(
    subject: &Subject, seed: u64, workload: &'static str, bytes: usize, align: usize,
) -> Result<Vec<Phase>, Error> {
    const OVERWRITES: usize = 500;
    on_fresh_volume(subject, seed, |volume, random| {
        let mut content = random.bytes(LARGE_BYTES);
        let mut meter = Meter::default();
        let file = match create_filled(volume, "/large", &content) {
            Ok(file) => file,
            Err(error) => {
                meter.fail(format!("before the first operation: {error}"));
                return Ok(vec![meter.phase(subject, workload, "overwrite + sync", Flow::Write)]);
            }
        };
        for _ in 0..OVERWRITES {
            let at = random.below((LARGE_BYTES - bytes) / align + 1) * align;
            let piece = random.bytes(bytes);
            let write =
                |volume: &mut Mounted<'_>| volume.write_at(&file, at as u64, &piece).and_then(|()| volume.sync());
            if !meter.measure(volume, bytes, write) {
                break;
            }
            content[at..at + bytes].copy_from_slice(&piece);
        }
        let mut read = vec![0; LARGE_BYTES];
        volume.read_at(&file, 0, &mut read)?;
        if read != content {
            meter.fail("wrong content at the end".to_owned());
        }
        let (nor_ms, nand_ms) = if bytes == PIECE_BYTES { (20.0, 2.0) } else { (4.0, 1.5) };
        let phase = meter.phase(subject, workload, format!("overwrite {bytes} B + sync"), Flow::Write);
        Ok(vec![target(phase, Some(nor_ms), Some(nand_ms), subject)])
    })
}

/// W3: 64 bytes at the end of an open file and a sync, 2000 times.
pub(super) fn append(subject: &Subject, seed: u64) -> Result<Vec<Phase>, Error> {
    const APPENDS: usize = 2000;
    on_fresh_volume(subject, seed, |volume, random| {
        let file = create(volume, "/log")?;
        let mut content = Vec::new();
        let mut meter = Meter::default();
        for _ in 0..APPENDS {
            let at = content.len() as u64;
            let piece = random.bytes(64);
            let write = |volume: &mut Mounted<'_>| volume.write_at(&file, at, &piece).and_then(|()| volume.sync());
            if !meter.measure(volume, piece.len(), write) {
                break;
            }
            content.extend_from_slice(&piece);
        }
        let mut read = vec![0; content.len() + 1];
        let len = volume.read_at(&file, 0, &mut read)?;
        if read[..len] != content {
            meter.fail("wrong content at the end".to_owned());
        }
        let phase = meter.phase(subject, "W3", "append 64 B + sync", Flow::Write);
        Ok(vec![target(phase, Some(1.5), Some(0.6), subject)])
    })
}

/// W4: 50 files of 64 bytes, 2000 times one of them is replaced as a whole.
pub(super) fn rewrite(subject: &Subject, seed: u64) -> Result<Vec<Phase>, Error> {
    const FILES: usize = 50;
    const REWRITES: usize = 2000;
    on_fresh_volume(subject, seed, |volume, random| {
        let mut contents = Vec::new();
        for index in 0..FILES {
            contents.push(random.bytes(64));
            volume.write(&format!("/f{index}"), &contents[index])?;
        }
        let mut meter = Meter::default();
        for _ in 0..REWRITES {
            let index = random.below(FILES);
            let content = random.bytes(64);
            let path = format!("/f{index}");
            if !meter.measure(volume, content.len(), |volume| volume.write(&path, &content)) {
                break;
            }
            contents[index] = content;
        }
        for (index, content) in contents.iter().enumerate() {
            let mut read = [0; 65];
            let len = volume.read(&format!("/f{index}"), &mut read)?;
            if read[..len] != content[..] {
                meter.fail(format!("wrong content of file {index}"));
            }
        }
        let phase = meter.phase(subject, "W4", "rewrite 64 B file", Flow::Write);
        Ok(vec![target(phase, Some(1.1), Some(0.6), subject)])
    })
}

/// W5: 1000 files of 200 bytes in one directory, looked at in random order, and deleted in another.
pub(super) fn many(subject: &Subject, seed: u64) -> Result<Vec<Phase>, Error> {
    const FILES: usize = 1000;
    on_fresh_volume(subject, seed, |volume, random| {
        volume.create_dir("/d")?;
        let mut creating = Meter::default();
        let mut paths = Vec::new();
        for index in 0..FILES {
            let path = format!("/d/file{index:04}");
            let content = random.bytes(200);
            if !creating.measure(volume, content.len(), |volume| volume.write(&path, &content)) {
                break;
            }
            paths.push(path);
        }
        let mut looking = Meter::default();
        random.shuffle(&mut paths);
        for path in &paths {
            let look = |volume: &mut Mounted<'_>| {
                let size = volume.metadata(path)?.size;
                if size == 200 { Ok(()) } else { Err(Error::Corrupt { page: 0 }) }
            };
            if !looking.measure(volume, 0, look) {
                break;
            }
        }
        let mut deleting = Meter::default();
        random.shuffle(&mut paths);
        for path in &paths {
            if !deleting.measure(volume, 0, |volume| volume.remove_file(path)) {
                break;
            }
        }
        let creating = creating.phase(subject, "W5", "create 200 B file", Flow::Write);
        let looking = looking.phase(subject, "W5", "stat", Flow::None);
        let deleting = deleting.phase(subject, "W5", "delete", Flow::None);
        // These figures are for NOR: one page of NAND takes longer to load than a stat may take there.
        Ok(vec![
            target(creating, Some(3.0), None, subject),
            target(looking, Some(0.1), None, subject),
            target(deleting, Some(1.5), None, subject),
        ])
    })
}
