//! One board under QEMU, from the first start to the verdict.

use std::fs::File;
use std::io::{Read as _, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use defmt_decoder::{DecodeError, Table};

use crate::boards::Board;
use crate::paths;

/// A run takes seconds; one that takes this long hangs.
const RUN_SECONDS_MAX: u64 = 240;
/// The values of the journal that a firmware keeps in its working directory; `boards/common` describes it.
const JOURNAL_WORDS: usize = 8;
const VERDICT_PASSED: u32 = 1;

/// What a run ended with.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) passed: bool,
    pub(crate) stack_bytes: u32,
    pub(crate) buffer_bytes: u32,
}

/// Runs the firmware until it has a verdict. The whole log goes to a file, errors and the last line to `log` too.
pub(crate) fn run(board: &Board, elf: &Path, log: &mut dyn Write) -> Result<Outcome> {
    let work = board.work();
    // Leftovers of an earlier run would be taken for this one's.
    match std::fs::remove_dir_all(&work) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => std::fs::create_dir_all(&work)?,
    }
    if let Some((_, bytes)) = board.chip {
        std::fs::write(work.join("chip.img"), vec![0xff; bytes as usize])?;
    }
    let elf_bytes = std::fs::read(elf)?;
    let table = Table::parse(&elf_bytes)?.context("the firmware has no defmt section")?;
    let mut output = Output { board, file: File::create(work.join("log.txt"))?, log, last: String::new() };
    let deadline = Instant::now() + Duration::from_secs(RUN_SECONDS_MAX);
    let mut journal = [0; JOURNAL_WORDS];
    // A board whose chip is a file loses power with every reset: the emulator ends and a new one is started.
    loop {
        let ended = start(board, elf, &work, &table, deadline, &mut output)?;
        let before = journal;
        journal = read_journal(&work);
        let running = journal[1] == 0;
        if !ended || !running || journal == before || board.chip.is_none() {
            break;
        }
    }
    let mut passed = journal[1] == VERDICT_PASSED;
    if passed {
        writeln!(output.log, "{}: {}", board.name, output.last)?;
    } else {
        writeln!(output.log, "{}: FAILED, log in {}", board.name, work.join("log.txt").display())?;
    }
    if let (true, Some((chip, _))) = (passed, board.chip) {
        passed = inspect(board, chip, &work.join("chip.img"), output.log)?;
    }
    Ok(Outcome { passed, stack_bytes: journal[5], buffer_bytes: journal[6] })
}

/// Where decoded log lines go.
struct Output<'a> {
    board: &'a Board,
    file: File,
    log: &'a mut dyn Write,
    last: String,
}

/// One life of the emulator; whether it ended by itself.
fn start(
    board: &Board, elf: &Path, work: &Path, table: &Table, deadline: Instant, output: &mut Output<'_>,
) -> Result<bool> {
    let mut command = Command::new("qemu-system-arm");
    command.args(["-M", board.machine, "-display", "none", "-monitor", "none", "-serial", "none"]);
    command.args(["-semihosting-config", "enable=on,target=native"]).arg("-kernel").arg(elf);
    if board.chip.is_some() {
        command.args(["-no-reboot", "-drive", "if=mtd,format=raw,index=0,file=chip.img"]);
    }
    let errors = File::options().create(true).append(true).open(work.join("qemu.txt"))?;
    command.current_dir(work).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    let mut child = command.spawn().context("cannot start qemu-system-arm")?;
    let mut pipe = child.stdout.take().context("no pipe")?;
    let (send, receive) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut bytes) {
            if send.send(bytes.get(..count).unwrap_or_default().to_vec()).is_err() {
                break;
            }
        }
    });
    let mut decoder = table.new_stream_decoder();
    let ended = loop {
        match receive.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(bytes) => decoder.received(&bytes),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break wait(&mut child, deadline)?,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => break false,
        }
        decode(decoder.as_mut(), output)?;
    };
    if !ended {
        writeln!(output.log, "{}: no end after {RUN_SECONDS_MAX} s", board.name)?;
        child.kill()?;
        child.wait()?;
    }
    if reader.join().is_err() {
        bail!("the reader of the log failed");
    }
    Ok(ended)
}

fn wait(child: &mut Child, deadline: Instant) -> Result<bool> {
    while Instant::now() < deadline {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(false)
}

fn decode(decoder: &mut dyn defmt_decoder::StreamDecoder, output: &mut Output<'_>) -> Result<()> {
    loop {
        match decoder.decode() {
            Ok(frame) => {
                let message = frame.display_message().to_string();
                let name = frame.level().map_or("print", |level| level.as_str());
                writeln!(output.file, "{name:5} {message}")?;
                if ["warn", "error"].contains(&name) {
                    writeln!(output.log, "{}: {name}: {message}", output.board.name)?;
                }
                output.last = message;
            }
            Err(DecodeError::UnexpectedEof) => return Ok(()),
            Err(DecodeError::Malformed) => writeln!(output.file, "(a malformed frame)")?,
        }
    }
}

fn read_journal(work: &Path) -> [u32; JOURNAL_WORDS] {
    let bytes = std::fs::read(work.join("journal")).unwrap_or_default();
    let mut words = [0; JOURNAL_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// Lets the host's command look at the image that the firmware has written.
fn inspect(board: &Board, chip: &str, image: &Path, log: &mut dyn Write) -> Result<bool> {
    let mut build = paths::cargo(&paths::root(), "build");
    paths::succeed(build.args(["--quiet", "--package", "k7fs-sim", "--bin", "k7fs"]), "k7fs")?;
    let k7fs = paths::root().join("target/debug/k7fs");
    // The table file has 16 records of 100 bytes in every state.
    for (subcommand, path, bytes) in [("fsck", None, None), ("cat", Some("/table"), Some(1600))] {
        let mut command = Command::new(&k7fs);
        let output = command.arg(subcommand).arg(image).args(path).output().context("cannot start k7fs")?;
        if !output.status.success() || bytes.is_some_and(|bytes| bytes != output.stdout.len()) {
            let errors = String::from_utf8_lossy(&output.stderr);
            writeln!(log, "{}: k7fs {subcommand} of the {chip} image failed: {}", board.name, errors.trim())?;
            return Ok(false);
        }
    }
    writeln!(log, "{}: k7fs fsck and k7fs cat of the {chip} image agree", board.name)?;
    Ok(true)
}
