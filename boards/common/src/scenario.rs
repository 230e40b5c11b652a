//! Format, store, cut, restart, verify: the same on every board.

use embedded_storage::nor_flash::NorFlash;
use k7fs_core::flash::{Nor, NorConfig};
use k7fs_core::{DirCursor, Error, FormatOptions, MountOptions, OpenOptions, Volume};

use crate::cut::{Cut, Random};
use crate::journal::{Journal, Verdict};
use crate::model::{self, Content, Model, Operation, RECORD_BYTES};
use crate::{Board, driver_check};

const LOG: &str = "log";
const CONFIG: &str = "config";
const TABLE: &str = "table";
const DIRECTORY: &str = "data";
const DATA: [&str; model::SLOTS] = ["data/temperature", "data/pressure", "data/humidity", "data/wind"];

/// Bytes moved by one call where content is streamed.
const PIECE_BYTES: usize = 128;
/// Flash operations between two cuts, at most.
const OPERATIONS_BETWEEN_CUTS_MAX: u32 = 90;
/// Every fourth start is cut this early, so that recovery itself is.
const OPERATIONS_OF_RECOVERY_MAX: u32 = 6;
/// Calls of the last, uncut start.
const CALLS_AFTER_CUTS: u32 = 40;

/// What a board runs.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Where the volume lies on the chip.
    pub config: NorConfig,
    /// How often power is cut.
    pub cuts: u32,
}

/// Why a run failed.
#[derive(Clone, Copy, Debug, defmt::Format)]
enum Failure {
    /// A call that must succeed did not.
    Call(Error),
    /// The volume shows neither the last committed state nor the one in flight.
    Content,
    /// The stack has reached the statics below it.
    Stack,
    /// The board's driver does not work.
    Driver(driver_check::Fault),
    /// `check` found this many faults.
    Faults(u64),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

/// Runs from wherever the journal says the board was cut, to the next cut or to the end.
pub fn run<T: NorFlash, B: Board>(driver: T, plan: &Plan, buffer: &mut [u8]) -> ! {
    let mut journal = Journal::load();
    journal.buffer_bytes = buffer.len() as u32;
    let left = (journal.cuts < plan.cuts).then(|| {
        let early = journal.cuts % 4 == 3;
        let bound = if early { OPERATIONS_OF_RECOVERY_MAX } else { OPERATIONS_BETWEEN_CUTS_MAX };
        Random::new(journal.cuts ^ 0x4b37).below(bound)
    });
    let flash = Nor::new(Cut::<T, B>::new(driver, left, journal.cuts), plan.config).map_err(Error::from);
    let result =
        flash.map_err(Failure::from).and_then(|flash| session(flash, plan.config.offset, &mut journal, buffer));
    finish(result, &mut journal);
    B::finish()
}

/// Leaves the verdict in the journal.
#[inline(never)]
fn finish(result: Result<(), Failure>, journal: &mut Journal) {
    journal.measure_stack();
    let result = result.and(if journal.stack_bytes == u32::MAX { Err(Failure::Stack) } else { Ok(()) });
    journal.verdict = match result {
        Ok(()) => Verdict::Passed,
        Err(failure) => {
            defmt::error!("start {=u32}, operation {=u32}: {}", journal.cuts, journal.started, failure);
            Verdict::Failed
        }
    };
    if let Verdict::Passed = journal.verdict {
        defmt::info!(
            "passed: {=u32} cuts, {=u32} operations, {=u32} of those in flight complete, stack {=u32} B",
            journal.cuts,
            journal.committed,
            journal.in_doubt_new,
            journal.stack_bytes
        );
    }
    journal.store();
}

fn session<T: NorFlash, B: Board>(
    mut flash: Nor<Cut<T, B>>, offset: u32, journal: &mut Journal, buffer: &mut [u8],
) -> Result<(), Failure> {
    if journal.committed == 0 {
        journal.started = 1;
        journal.store();
        if journal.cuts == 0 {
            driver_check::run(flash.driver_mut().steady(), offset).map_err(Failure::Driver)?;
            defmt::info!("the driver erases, programs and reads back");
        }
        format(&mut flash, buffer)?;
        journal.committed = 1;
        journal.store();
        defmt::info!("formatted, {=usize} B of buffer", buffer.len());
    }
    let model = work(&mut flash, journal, buffer)?;
    stop(&mut flash, buffer)?;
    verify_read_only(&mut flash, buffer, &model)
}

// Each part has a frame of its own, so that the stack holds one mounted volume at a time. All of them lend the chip
// out: `format` does, and with one type of chip the core's code is there once.

#[inline(never)]
fn format<T: NorFlash, B: Board>(flash: &mut Nor<Cut<T, B>>, buffer: &mut [u8]) -> Result<(), Failure> {
    let options = FormatOptions { volume_id: *b"K7FS on a board!", ..FormatOptions::default() };
    Ok(Volume::format(flash, buffer, &options)?)
}

/// Verifies what is there, goes on until the next cut or, at the last start, for a while.
#[inline(never)]
fn work<T: NorFlash, B: Board>(
    flash: &mut Nor<Cut<T, B>>, journal: &mut Journal, buffer: &mut [u8],
) -> Result<Model, Failure> {
    // Worked on where `mount` has put it: a volume is large, and `?` would copy it.
    let mut mounted = Volume::mount(flash, buffer, MountOptions::default());
    let volume = mounted.as_mut().map_err(|error| *error)?;
    let mut model = verify_after_start(volume, journal)?;
    defmt::info!("start {=u32}: {=u32} operations verified", journal.cuts, journal.committed);
    let mut calls = 0;
    // Every start but the last one ends in here, by a cut.
    while calls < CALLS_AFTER_CUTS || volume.flash_mut().driver_mut().is_cut_ahead() {
        let number = journal.committed;
        let operation = model.operation(number);
        journal.started = number + 1;
        journal.store();
        perform(volume, &model, number, operation)?;
        model.apply(number, operation);
        journal.committed = number + 1;
        journal.store();
        calls += 1;
    }
    expect(verify(volume, &model)?)?;
    check(volume)?;
    Ok(model)
}

#[inline(never)]
fn check<F: k7fs_core::flash::Flash>(volume: &mut Volume<'_, F>) -> Result<(), Failure> {
    match volume.check(|fault| defmt::error!("{}", fault))?.faults {
        0 => Ok(()),
        faults => Err(Failure::Faults(faults)),
    }
}

/// A clean stop, of a volume that was just left as by a cut. Apart, because `unmount` takes the volume by value.
#[inline(never)]
fn stop<T: NorFlash, B: Board>(flash: &mut Nor<Cut<T, B>>, buffer: &mut [u8]) -> Result<(), Failure> {
    unmount(Volume::mount(flash, buffer, MountOptions::default()))
}

#[inline(never)]
fn unmount<F: k7fs_core::flash::Flash>(mounted: Result<Volume<'_, F>, Error>) -> Result<(), Failure> {
    mounted?.unmount()?;
    Ok(())
}

#[inline(never)]
fn verify_read_only<T: NorFlash, B: Board>(
    flash: &mut Nor<Cut<T, B>>, buffer: &mut [u8], model: &Model,
) -> Result<(), Failure> {
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let mut mounted = Volume::mount(flash, buffer, options);
    expect(verify(mounted.as_mut().map_err(|error| *error)?, model)?)
}

fn expect(condition: bool) -> Result<(), Failure> {
    if condition { Ok(()) } else { Err(Failure::Content) }
}

#[inline(never)]
/// Finds out which of the two allowed states the volume shows, and settles the journal on it.
fn verify_after_start<F: k7fs_core::flash::Flash>(
    volume: &mut Volume<'_, F>, journal: &mut Journal,
) -> Result<Model, Failure> {
    let model = Model::after(journal.committed);
    if verify(volume, &model)? {
        return Ok(model);
    }
    expect(journal.started > journal.committed)?;
    let model = Model::after(journal.started);
    expect(verify(volume, &model)?)?;
    // What a mount has shown never goes back.
    journal.committed = journal.started;
    journal.in_doubt_new += 1;
    journal.store();
    Ok(model)
}

#[inline(never)]
fn perform<F: k7fs_core::flash::Flash>(
    volume: &mut Volume<'_, F>, model: &Model, number: u32, operation: Operation,
) -> Result<(), Error> {
    match operation {
        Operation::Create => volume.transaction(|t| {
            t.create_dir(DIRECTORY)?;
            let log = t.open(LOG, OpenOptions::new().write(true).create_new(true))?;
            t.close(log)?;
            let table = t.open(TABLE, OpenOptions::new().write(true).create_new(true))?;
            for record in 0..model.records.len() as u32 {
                write_content(t, &table, record * RECORD_BYTES, model::record(0))?;
            }
            t.close(table)
        })?,
        Operation::Append => {
            let log = volume.open(LOG, OpenOptions::new().append(true))?;
            let mut bytes = [0; model::APPEND_BYTES as usize];
            model.log.fill(model.log.length, &mut bytes);
            volume.write_at(&log, model.log.length.into(), &bytes)?;
            volume.close(log)?;
        }
        Operation::EmptyLog => {
            let log = volume.open(LOG, OpenOptions::new().write(true))?;
            volume.set_len(&log, 0)?;
            volume.close(log)?;
        }
        Operation::Configure => write_config(volume, number)?,
        Operation::Update { record } => write_record(volume, record, number)?,
        Operation::UpdateBoth { record } => volume.transaction(|t| {
            write_record(t, record, number)?;
            write_config(t, number)
        })?,
        Operation::Store { slot } => volume.transaction(|t| {
            let options = OpenOptions::new().write(true).create(true).truncate(true);
            let file = t.open(data_path(slot), options)?;
            write_content(t, &file, 0, model::data(number))?;
            t.close(file)
        })?,
        Operation::Remove { slot } => volume.remove_file(data_path(slot))?,
        Operation::Rename { from, to } => volume.rename(data_path(from), data_path(to))?,
    }
    volume.sync()
}

fn data_path(slot: u8) -> &'static str {
    DATA.get(slot as usize).copied().unwrap_or(DATA[0])
}

fn write_config<F: k7fs_core::flash::Flash>(volume: &mut Volume<'_, F>, number: u32) -> Result<(), Error> {
    let content = model::config(number);
    let mut bytes = [0; model::CONFIG_BYTES_MAX as usize];
    let bytes = bytes.get_mut(..content.length as usize).unwrap_or_default();
    content.fill(0, bytes);
    volume.write(CONFIG, bytes)
}

fn write_record<F: k7fs_core::flash::Flash>(volume: &mut Volume<'_, F>, record: u8, seed: u32) -> Result<(), Error> {
    let table = volume.open(TABLE, OpenOptions::new().write(true))?;
    write_content(volume, &table, u32::from(record) * RECORD_BYTES, model::record(seed))?;
    volume.close(table)
}

fn write_content<F: k7fs_core::flash::Flash>(
    volume: &mut Volume<'_, F>, file: &k7fs_core::File, start: u32, content: Content,
) -> Result<(), Error> {
    let mut bytes = [0; PIECE_BYTES];
    let mut done = 0;
    while done < content.length {
        let count = (content.length - done).min(PIECE_BYTES as u32);
        let piece = bytes.get_mut(..count as usize).unwrap_or_default();
        content.fill(done, piece);
        volume.write_at(file, u64::from(start + done), piece)?;
        done += count;
    }
    Ok(())
}

/// Whether the volume holds exactly what the model says: every name, every length, every byte.
fn verify<F: k7fs_core::flash::Flash>(volume: &mut Volume<'_, F>, model: &Model) -> Result<bool, Error> {
    if !model.created {
        return Ok(count_entries(volume, "/")? == 0);
    }
    let names = 3 + u32::from(model.config.is_some());
    let files = model.data.iter().flatten().count() as u32;
    if count_entries(volume, "/")? != names || count_entries(volume, DIRECTORY)? != files {
        return Ok(false);
    }
    if !holds(volume, LOG, Some(model.log))? || !holds(volume, CONFIG, model.config)? {
        return Ok(false);
    }
    for (path, content) in DATA.into_iter().zip(model.data) {
        if !holds(volume, path, content)? {
            return Ok(false);
        }
    }
    let table = volume.open(TABLE, OpenOptions::new().read(true))?;
    let mut same = volume.file_metadata(&table)?.size == u64::from(RECORD_BYTES) * model.records.len() as u64;
    for (record, seed) in model.records.into_iter().enumerate() {
        same = same && matches(volume, &table, record as u32 * RECORD_BYTES, model::record(seed))?;
    }
    volume.close(table)?;
    Ok(same)
}

fn count_entries<F: k7fs_core::flash::Flash>(volume: &mut Volume<'_, F>, path: &str) -> Result<u32, Error> {
    let mut cursor: DirCursor = volume.read_dir(path)?;
    let mut name = [0; 32];
    let mut count = 0;
    while volume.next_entry(&mut cursor, &mut name)?.is_some() {
        count += 1;
    }
    Ok(count)
}

fn holds<F: k7fs_core::flash::Flash>(
    volume: &mut Volume<'_, F>, path: &str, content: Option<Content>,
) -> Result<bool, Error> {
    let file = match volume.open(path, OpenOptions::new().read(true)) {
        Err(Error::NotFound) => return Ok(content.is_none()),
        file => file?,
    };
    let mut same = false;
    if let Some(content) = content {
        same = volume.file_metadata(&file)?.size == u64::from(content.length) && matches(volume, &file, 0, content)?;
    }
    volume.close(file)?;
    Ok(same)
}

fn matches<F: k7fs_core::flash::Flash>(
    volume: &mut Volume<'_, F>, file: &k7fs_core::File, start: u32, content: Content,
) -> Result<bool, Error> {
    let mut read = [0; PIECE_BYTES];
    let mut wanted = [0; PIECE_BYTES];
    let mut done = 0;
    while done < content.length {
        let count = (content.length - done).min(PIECE_BYTES as u32) as usize;
        let read = read.get_mut(..count).unwrap_or_default();
        let wanted = wanted.get_mut(..count).unwrap_or_default();
        content.fill(done, wanted);
        if volume.read_at(file, u64::from(start + done), read)? != count || read != wanted {
            return Ok(false);
        }
        done += count as u32;
    }
    Ok(true)
}
