//! What a simulated chip counts.

/// How many violations keep their text.
const VIOLATION_TEXTS_MAX: usize = 8;

/// Everything that happened to a chip since it was made, or since the last [`reset`](super::Chip::reset_counters).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads, programs and erases, those cut or failed included. A NOR write call is as many programs as program
    /// pages it touches, a NOR erase call as many erases as erase commands it needs.
    pub operations: u64,
    /// Read calls.
    pub reads: u64,
    /// NAND page loads into the chip's register.
    pub page_loads: u64,
    /// Program operations.
    pub programs: u64,
    /// Erase operations.
    pub erases: u64,
    /// Bytes handed out by reads.
    pub bytes_read: u64,
    /// Bytes given to programs, spare included.
    pub bytes_programmed: u64,
    /// Bytes erased, spare included.
    pub bytes_erased: u64,
    /// How often each erase unit of the chip was erased, or an erase of it was begun.
    pub erases_per_block: Vec<u32>,
    /// How often each erase unit of the chip was read.
    pub reads_per_block: Vec<u64>,
    /// Time that the chip was busy.
    pub device_time_ns: u64,
    /// The longest that one operation kept the chip busy.
    pub longest_operation_ns: u64,
    /// Bits that reads delivered wrong: random flips, weak bits and stuck bits.
    pub bits_flipped: u64,
    /// Power cuts that fired.
    pub cuts: u64,
    /// Programs interrupted half way.
    pub torn_programs: u64,
    /// Erases interrupted half way.
    pub torn_erases: u64,
    /// Weak bits that interrupted operations left behind.
    pub unstable_bits: u64,
    /// Programs that failed, silently on NOR.
    pub program_failures: u64,
    /// Erases that failed, silently on NOR.
    pub erase_failures: u64,
    /// Reads that on-chip error correction refused.
    pub ecc_traps: u64,
    /// Blocks that went bad in use.
    pub grown_bad_blocks: u64,
    /// Blocks marked by `mark_bad`.
    pub marked_blocks: u64,
    /// Broken rules. Any is a bug of the software that drives the chip.
    pub violations: u64,
    /// What the first few violations were.
    pub violation_texts: Vec<String>,
}

impl Counters {
    pub(super) fn new(block_count: u32) -> Self {
        let blocks = block_count as usize;
        Self { erases_per_block: vec![0; blocks], reads_per_block: vec![0; blocks], ..Self::default() }
    }

    /// Programs and erases: the operations at which a power cut can strike.
    pub const fn cut_points(&self) -> u64 {
        self.programs + self.erases
    }

    /// The first violation's text.
    pub fn first_violation(&self) -> Option<&str> {
        self.violation_texts.first().map(String::as_str)
    }

    pub(super) fn spend(&mut self, time_ns: u64) {
        self.device_time_ns += time_ns;
        self.longest_operation_ns = self.longest_operation_ns.max(time_ns);
    }

    pub(super) fn violation(&mut self, text: impl FnOnce() -> String) {
        self.violations += 1;
        if self.violation_texts.len() < VIOLATION_TEXTS_MAX {
            self.violation_texts.push(text());
        }
    }
}
