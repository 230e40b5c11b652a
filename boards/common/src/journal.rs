//! What must be known across a restart, kept on the host and not on the chip under test.
//!
//! The journal is a file of little-endian words in the emulator's working directory, reached by semihosting. It is the
//! oracle: it says how many operations were durable before the cut. The host's runner reads its verdict too.
//!
//! ```text
//! word 0       1        2     3          4        5            6             7
//!      magic   verdict  cuts  committed  started  stack_bytes  buffer_bytes  in_doubt_new
//! ```

use semihosting::fd::AsFd as _;
use semihosting::sys::arm_compat::{OpenMode, sys_open};

const PATH: &core::ffi::CStr = c"journal";
const MAGIC: u32 = 0x4a37_464b;
const WORDS: usize = 8;

/// How the run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not ended.
    #[default]
    Running,
    /// Everything committed was found again after every cut.
    Passed,
    /// Something was lost, or a call failed.
    Failed,
}

/// The journal's values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Journal {
    /// How the run stands.
    pub verdict: Verdict,
    /// Power cuts so far.
    pub cuts: u32,
    /// Operations known to be durable. Operation 0 is `format`.
    pub committed: u32,
    /// Operations begun; at most one more than `committed`.
    pub started: u32,
    /// The stack's high-water mark over all starts, in bytes.
    pub stack_bytes: u32,
    /// Bytes of the buffer given to the volume.
    pub buffer_bytes: u32,
    /// How often the operation in flight at a cut was found complete afterwards.
    pub in_doubt_new: u32,
}

impl Journal {
    /// Reads the journal; a fresh one where there is none.
    pub fn load() -> Self {
        let mut bytes = [0; WORDS * 4];
        let read =
            sys_open(PATH, OpenMode::RDONLY_BINARY).and_then(|file| semihosting::sys::read(file.as_fd(), &mut bytes));
        if !read.is_ok_and(|count| count == bytes.len()) {
            return Self::default();
        }
        let word = |index: usize| {
            let mut value = [0; 4];
            for (byte, read) in value.iter_mut().zip(bytes.iter().skip(index * 4)) {
                *byte = *read;
            }
            u32::from_le_bytes(value)
        };
        if word(0) != MAGIC {
            return Self::default();
        }
        let verdict = match word(1) {
            0 => Verdict::Running,
            1 => Verdict::Passed,
            _ => Verdict::Failed,
        };
        Self {
            verdict,
            cuts: word(2),
            committed: word(3),
            started: word(4),
            stack_bytes: word(5),
            buffer_bytes: word(6),
            in_doubt_new: word(7),
        }
    }

    /// Writes the journal. A host that cannot be written to ends the run: without it nothing could be verified.
    pub fn store(&self) {
        let words = [
            MAGIC,
            self.verdict as u32,
            self.cuts,
            self.committed,
            self.started,
            self.stack_bytes,
            self.buffer_bytes,
            self.in_doubt_new,
        ];
        let mut bytes = [0; WORDS * 4];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let stored = sys_open(PATH, OpenMode::WRONLY_TRUNC_BINARY)
            .and_then(|file| semihosting::sys::write(file.as_fd(), &bytes))
            .is_ok_and(|count| count == bytes.len());
        if !stored {
            defmt::error!("the journal cannot be written");
            semihosting::process::exit(103)
        }
    }

    /// Takes the stack's high-water mark of this start into account; an overrun is told by the largest value.
    pub fn measure_stack(&mut self) {
        self.stack_bytes = self.stack_bytes.max(crate::stack::used_bytes().unwrap_or(u32::MAX));
    }
}
