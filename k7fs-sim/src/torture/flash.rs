//! A simulated chip that can also be cut at its next erase.

use k7fs_core::flash::{Flash, FlashError, Geometry};

use crate::chip::{Chip, Cut, CutKind, SimFlash};

/// A [`SimFlash`] with one fault more. Erases are rare between programs, so that counting operations would hardly ever
/// strike one.
#[derive(Clone, Debug)]
pub struct CutFlash {
    sim: SimFlash,
    /// What the next erase leaves behind; the power goes in it.
    pub erase_cut: Option<CutKind>,
}

impl CutFlash {
    /// Wraps a chip without a planned cut.
    pub fn new(sim: SimFlash) -> Self {
        Self { sim, erase_cut: None }
    }

    /// The chip.
    pub fn chip(&self) -> &Chip {
        self.sim.chip()
    }

    /// The chip, to plan faults or give the power back.
    pub fn chip_mut(&mut self) -> &mut Chip {
        self.sim.chip_mut()
    }

    /// Forgets all planned cuts.
    pub fn disarm(&mut self) {
        self.erase_cut = None;
        self.sim.chip_mut().faults_mut().cut = None;
    }
}

impl Flash for CutFlash {
    fn geometry(&self) -> Geometry {
        self.sim.geometry()
    }

    fn read(&mut self, page: u32, column: usize, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.sim.read(page, column, bytes)
    }

    fn program(&mut self, page: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.sim.program(page, bytes)
    }

    fn erase(&mut self, block: u32) -> Result<(), FlashError> {
        if let Some(kind) = self.erase_cut.take() {
            self.sim.chip_mut().faults_mut().cut = Some(Cut { operation: 0, kind });
        }
        self.sim.erase(block)
    }

    fn is_bad(&mut self, block: u32) -> Result<bool, FlashError> {
        self.sim.is_bad(block)
    }

    fn mark_bad(&mut self, block: u32) -> Result<(), FlashError> {
        self.sim.mark_bad(block)
    }

    fn verifies_by_reading(&self) -> bool {
        self.sim.verifies_by_reading()
    }

    fn read_weak(&mut self, page: u32, weak: &mut [u8]) -> Result<bool, FlashError> {
        self.sim.read_weak(page, weak)
    }
}
