//! Somebody who writes to a volume, and knows what must be there.

use std::collections::BTreeMap;

use k7fs_core::flash::Flash;
use k7fs_core::{Error, File, OpenOptions, Volume};

use super::Workload;
use crate::random::Random;

/// Small files that W8 writes again and again, and their bytes.
const SMALL_FILES: u64 = 50;
const SMALL_BYTES: usize = 64;
/// What random overwrites replace, a piece at a time.
const PIECE_BYTES: usize = 4096;
/// Bytes of a file that is never written again.
const COLD_BYTES: usize = 64 << 10;
/// Bytes of the file that appends go to before it is begun anew.
const LOG_BYTES: usize = 64 << 10;

/// What somebody wrote, and goes on to write. The volume is lent for each step: it may be another mount of the same chip.
pub(super) struct User {
    random: Random,
    /// What was committed.
    files: BTreeMap<String, Vec<u8>>,
    /// What the operation under way makes of one of them, or `None` where it removes it.
    pending: Option<(String, Option<Vec<u8>>)>,
    log: Option<File>,
    /// Bytes asked to be written since the volume was filled.
    pub(super) written: u64,
}

/// Files that are not as they must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Whose content is another than what was committed.
    pub(super) wrong: u64,
    /// That cannot be read.
    pub(super) lost: u64,
}

impl User {
    pub(super) const fn new(random: Random) -> Self {
        Self { random, files: BTreeMap::new(), pending: None, log: None, written: 0 }
    }

    /// How many files there are.
    pub(super) fn files(&self) -> u64 {
        self.files.len() as u64
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.random.fill(&mut bytes);
        bytes
    }

    /// Files that never change, or that random overwrites change.
    pub(super) fn fill<F: Flash>(&mut self, volume: &mut Volume<'_, F>, percent: u32) -> Result<(), Error> {
        loop {
            let usage = volume.usage()?;
            let goal = usage.capacity_bytes * u64::from(percent) / 100;
            let left = goal.saturating_sub(usage.capacity_bytes - usage.free_bytes);
            if left < 2 * PIECE_BYTES as u64 {
                return volume.sync();
            }
            let len = COLD_BYTES.min(left as usize) / PIECE_BYTES * PIECE_BYTES;
            let (path, content) = (format!("/cold{}", self.files.len()), self.bytes(len));
            volume.write(&path, &content)?;
            self.files.insert(path, content);
        }
    }

    /// One operation and a sync. Where it fails, its file is as it was or as it would have been.
    pub(super) fn step<F: Flash>(&mut self, volume: &mut Volume<'_, F>, workload: Workload) -> Result<(), Error> {
        match workload {
            Workload::W8 => self.replace(volume)?,
            Workload::Random => self.overwrite(volume)?,
            Workload::Append => self.append(volume)?,
        }
        volume.sync()?;
        self.settle();
        Ok(())
    }

    /// What was under way is committed.
    fn settle(&mut self) {
        match self.pending.take() {
            Some((path, Some(content))) => drop(self.files.insert(path, content)),
            Some((path, None)) => drop(self.files.remove(&path)),
            None => {}
        }
    }

    fn replace<F: Flash>(&mut self, volume: &mut Volume<'_, F>) -> Result<(), Error> {
        let (path, content) = (format!("/f{}", self.random.below(SMALL_FILES)), self.bytes(SMALL_BYTES));
        self.pending = Some((path.clone(), Some(content.clone())));
        volume.write(&path, &content)?;
        self.written += SMALL_BYTES as u64;
        Ok(())
    }

    fn overwrite<F: Flash>(&mut self, volume: &mut Volume<'_, F>) -> Result<(), Error> {
        let piece = self.bytes(PIECE_BYTES);
        let pick = self.random.below(self.files.len() as u64) as usize;
        let Some((path, content)) = self.files.iter().nth(pick) else { return Err(Error::NotFound) };
        let (path, mut content) = (path.clone(), content.clone());
        let at = self.random.below((content.len() / PIECE_BYTES) as u64) as usize * PIECE_BYTES;
        let file = volume.open(&path, OpenOptions::new().write(true))?;
        content[at..at + PIECE_BYTES].copy_from_slice(&piece);
        self.pending = Some((path, Some(content)));
        let written = volume.write_at(&file, at as u64, &piece);
        volume.close(file)?;
        written?;
        self.written += PIECE_BYTES as u64;
        Ok(())
    }

    fn append<F: Flash>(&mut self, volume: &mut Volume<'_, F>) -> Result<(), Error> {
        const LOG: &str = "/log";
        let mut content = self.files.get(LOG).cloned().unwrap_or_default();
        if content.len() >= LOG_BYTES {
            if let Some(file) = self.log.take() {
                volume.close(file)?;
            }
            self.pending = Some((LOG.to_owned(), None));
            volume.remove_file(LOG)?;
            volume.sync()?;
            self.settle();
            content.clear();
        }
        let file = match self.log.take() {
            Some(file) => file,
            None => volume.open(LOG, OpenOptions::new().write(true).create(true))?,
        };
        let (end, piece) = (content.len() as u64, self.bytes(SMALL_BYTES));
        content.extend(&piece);
        self.pending = Some((LOG.to_owned(), Some(content)));
        let written = volume.write_at(&file, end, &piece);
        self.log = Some(file);
        written?;
        self.written += SMALL_BYTES as u64;
        Ok(())
    }

    /// Reads every file.
    pub(super) fn verify<F: Flash>(&self, volume: &mut Volume<'_, F>) -> Faults {
        let mut faults = Faults::default();
        for (path, content) in &self.files {
            let pending = self.pending.as_ref().filter(|(pending, _)| pending == path).map(|(_, content)| content);
            let mut read = vec![0; content.len() + SMALL_BYTES + 1];
            match volume.read(path, &mut read) {
                Ok(len) => {
                    let is = |content: &Vec<u8>| read.get(..len) == Some(&content[..]);
                    let is_pending = pending.is_some_and(|pending| pending.as_ref().is_some_and(is));
                    faults.wrong += u64::from(!is(content) && !is_pending);
                }
                Err(Error::NotFound) if pending == Some(&None) => {}
                Err(_) => faults.lost += 1,
            }
        }
        faults
    }
}
