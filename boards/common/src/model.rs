//! What the volume must hold after a number of operations.
//!
//! Every operation follows from its number alone, so the state after *n* of them can be computed again
//! after each restart, in a few bytes of RAM.

use crate::cut::Random;

/// Records in the table file.
pub const RECORDS: usize = 16;
/// Bytes of a record in the table file.
pub const RECORD_BYTES: u32 = 100;
/// Bytes appended to the log file at a time.
pub const APPEND_BYTES: u32 = 64;
/// The log file is emptied when it has reached this size.
pub const LOG_BYTES_MAX: u32 = 2048;
/// Names that data files may have.
pub const SLOTS: usize = 4;
/// Bytes of a data file, at most.
pub const DATA_BYTES_MAX: u32 = 1400;
/// Bytes of the configuration file, at most.
pub const CONFIG_BYTES_MAX: u32 = 200;

/// A content: `length` bytes that follow from `seed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// What the bytes follow from.
    pub seed: u32,
    /// How many there are.
    pub length: u32,
}

impl Content {
    /// Writes the bytes from `offset` on into `bytes`.
    pub fn fill(&self, offset: u32, bytes: &mut [u8]) {
        for (byte, place) in bytes.iter_mut().zip(offset..) {
            let mixed = (self.seed ^ place.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0xc2b2_ae35);
            *byte = (mixed >> 24) as u8;
        }
    }
}

/// One operation on the volume, each of them all or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum Operation {
    /// Makes the directory, the table and an empty log: always the first after `format`.
    Create,
    /// Appends to the log file.
    Append,
    /// Empties the log file.
    EmptyLog,
    /// Replaces the configuration file.
    Configure,
    /// Overwrites a record in the middle of the table file.
    Update {
        /// The record's number.
        record: u8,
    },
    /// Overwrites a record and replaces the configuration file in one transaction.
    UpdateBoth {
        /// The record's number.
        record: u8,
    },
    /// Writes a data file in pieces.
    Store {
        /// The file's slot.
        slot: u8,
    },
    /// Removes a data file.
    Remove {
        /// The file's slot.
        slot: u8,
    },
    /// Renames a data file, replacing the one that has the new name.
    Rename {
        /// The old name's slot.
        from: u8,
        /// The new name's slot.
        to: u8,
    },
}

/// What is in the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Whether the first operation is done; nothing exists before it.
    pub created: bool,
    /// The log file.
    pub log: Content,
    /// The configuration file.
    pub config: Option<Content>,
    /// The seed of each record of the table file.
    pub records: [u32; RECORDS],
    /// The data files.
    pub data: [Option<Content>; SLOTS],
}

impl Model {
    /// The state after `count` operations, of which the first was `format`.
    pub fn after(count: u32) -> Self {
        let mut model = Self::default();
        for number in 1..count {
            let operation = model.operation(number);
            model.apply(number, operation);
        }
        model
    }

    /// The operation with this number, given the state before it.
    pub fn operation(&self, number: u32) -> Operation {
        if !self.created {
            return Operation::Create;
        }
        let mut random = Random::new(number);
        let record = random.below(RECORDS as u32) as u8;
        let slot = random.below(SLOTS as u32) as u8;
        let other = (slot + 1 + random.below(SLOTS as u32 - 1) as u8) % SLOTS as u8;
        let taken = self.data.get(slot as usize).is_some_and(Option::is_some);
        match random.below(10) {
            0..=2 if self.log.length >= LOG_BYTES_MAX => Operation::EmptyLog,
            0..=2 => Operation::Append,
            3 | 4 => Operation::Configure,
            5 => Operation::Update { record },
            6 => Operation::UpdateBoth { record },
            7 if taken => Operation::Remove { slot },
            8 if taken => Operation::Rename { from: slot, to: other },
            _ => Operation::Store { slot },
        }
    }

    /// Applies an operation; its number seeds what it writes.
    pub fn apply(&mut self, number: u32, operation: Operation) {
        match operation {
            Operation::Create => {
                self.created = true;
                self.log.seed = number;
            }
            Operation::Append => self.log.length += APPEND_BYTES,
            Operation::EmptyLog => self.log = Content { seed: number, length: 0 },
            Operation::Configure => self.config = Some(config(number)),
            Operation::Update { record } => self.set_record(record, number),
            Operation::UpdateBoth { record } => {
                self.set_record(record, number);
                self.config = Some(config(number));
            }
            Operation::Store { slot } => self.set_data(slot, Some(data(number))),
            Operation::Remove { slot } => self.set_data(slot, None),
            Operation::Rename { from, to } => {
                let moved = self.data.get(from as usize).copied().flatten();
                self.set_data(from, None);
                self.set_data(to, moved);
            }
        }
    }

    fn set_record(&mut self, record: u8, seed: u32) {
        if let Some(place) = self.records.get_mut(record as usize) {
            *place = seed;
        }
    }

    fn set_data(&mut self, slot: u8, content: Option<Content>) {
        if let Some(place) = self.data.get_mut(slot as usize) {
            *place = content;
        }
    }
}

/// The configuration that operation `number` writes.
pub fn config(number: u32) -> Content {
    Content { seed: number, length: Random::new(number ^ 0x5555).below(CONFIG_BYTES_MAX + 1) }
}

/// The data file that operation `number` writes.
pub fn data(number: u32) -> Content {
    Content { seed: number, length: Random::new(number ^ 0xaaaa).below(DATA_BYTES_MAX + 1) }
}

/// The content of one record of the table file.
pub fn record(seed: u32) -> Content {
    Content { seed, length: RECORD_BYTES }
}
