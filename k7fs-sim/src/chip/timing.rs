//! How long the operations of a chip take.
//!
//! One model for every measurement of the project: times are typical values, in nanoseconds of device time. The CPU
//! and, on NOR, the program command's transfer are inside the figures.

/// The timing of a NOR part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NorTiming {
    /// Fixed cost of a read call.
    pub read_ns: u64,
    /// Cost of each byte read, in picoseconds.
    pub read_byte_ps: u64,
    /// Fixed cost of a program operation.
    pub program_ns: u64,
    /// Cost of each byte programmed.
    pub program_byte_ns: u64,
    /// The most that one program operation takes, however many bytes it has.
    pub program_max_ns: u64,
    /// Cost of erasing one erase unit; the larger erases have their own figure.
    pub erase_ns: u64,
}

impl NorTiming {
    /// Device time of reading `bytes` in one call.
    pub const fn read(&self, bytes: usize) -> u64 {
        self.read_ns + bytes as u64 * self.read_byte_ps / 1000
    }

    /// Device time of one program operation of `bytes`.
    pub const fn program(&self, bytes: usize) -> u64 {
        let time = self.program_ns + bytes as u64 * self.program_byte_ns;
        if time < self.program_max_ns { time } else { self.program_max_ns }
    }
}

/// The timing of a NAND part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NandTiming {
    /// Loading a page from the array into the chip's register.
    pub load_ns: u64,
    /// Moving one byte between the register and the host, in picoseconds.
    pub bus_byte_ps: u64,
    /// Programming a page from the register, bus excluded.
    pub program_ns: u64,
    /// Erasing a block.
    pub erase_ns: u64,
}

impl NandTiming {
    /// Device time of moving `bytes` over the bus.
    pub const fn bus(&self, bytes: usize) -> u64 {
        bytes as u64 * self.bus_byte_ps / 1000
    }
}
