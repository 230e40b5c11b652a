//! A power cut in the middle of a flash operation, made with the real chip.
//!
//! [`Cut`] passes everything through until the chosen program or erase. That one is left half done, as a cut leaves it
//! (some words programmed, one with part of its bits, or some erase units erased and one with noise in it), and
//! then control never comes back: the board restarts.

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

use crate::Board;
use crate::journal::Journal;

/// Programs of the largest page come in pieces of this size while one is being torn.
const PIECE_BYTES: usize = 32;

/// A NOR driver whose power fails.
pub struct Cut<T, B> {
    driver: T,
    /// Programs and erases still to be done whole; `None` for a steady supply.
    left: Option<u32>,
    random: Random,
    board: core::marker::PhantomData<B>,
}

impl<T: NorFlash, B: Board> Cut<T, B> {
    /// Lets `left` programs and erases succeed and cuts the next one; `None` never cuts.
    pub fn new(driver: T, left: Option<u32>, seed: u32) -> Self {
        Self { driver, left, random: Random::new(seed), board: core::marker::PhantomData }
    }

    /// Whether power is still going to fail.
    pub fn is_cut_ahead(&self) -> bool {
        self.left.is_some()
    }

    /// The driver behind the power supply.
    pub fn steady(&mut self) -> &mut T {
        &mut self.driver
    }

    /// Counts an operation and says whether it is the one to be torn.
    fn is_torn(&mut self) -> bool {
        match &mut self.left {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    fn tear_erase(&mut self, from: u32, to: u32) -> Result<(), T::Error> {
        let unit = T::ERASE_SIZE as u32;
        let whole = self.random.below((to - from) / unit + 1);
        if whole > 0 {
            self.driver.erase(from, from + whole * unit)?;
        }
        let weak = from + whole * unit;
        if weak < to && self.random.below(2) == 1 {
            // A unit in the middle of its erase reads as anything: erase it, then leave noise in some places.
            self.driver.erase(weak, weak + unit)?;
            for _ in 0..self.random.below(8) {
                let place = self.random.below(unit / PIECE_BYTES as u32) * PIECE_BYTES as u32;
                self.program_noise(weak + place, &[0; PIECE_BYTES])?;
            }
        }
        Ok(())
    }

    fn tear_write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), T::Error> {
        let words = (bytes.len() / T::WRITE_SIZE) as u32;
        let whole = self.random.below(words + 1) as usize * T::WRITE_SIZE;
        self.driver.write(offset, &bytes[..whole])?;
        let torn = bytes[whole..].len().min(PIECE_BYTES) / T::WRITE_SIZE * T::WRITE_SIZE;
        self.program_noise(offset + whole as u32, &bytes[whole..whole + torn])
    }

    /// Clears only some of the bits that `bytes` would clear.
    fn program_noise(&mut self, offset: u32, bytes: &[u8]) -> Result<(), T::Error> {
        let mut torn = [0xff; PIECE_BYTES];
        let mut old = [0xff; PIECE_BYTES];
        self.driver.read(offset, &mut old[..bytes.len()])?;
        for ((torn, byte), old) in torn.iter_mut().zip(bytes).zip(old) {
            *torn = old & (byte | self.random.next() as u8);
        }
        self.driver.write(offset, &torn[..bytes.len()])
    }

    fn power_fails(&mut self) -> ! {
        let mut journal = Journal::load();
        journal.cuts += 1;
        journal.measure_stack();
        journal.store();
        B::restart()
    }
}

impl<T: ErrorType, B> ErrorType for Cut<T, B> {
    type Error = T::Error;
}

impl<T: ReadNorFlash, B> ReadNorFlash for Cut<T, B> {
    const READ_SIZE: usize = T::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), T::Error> {
        self.driver.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.driver.capacity()
    }
}

impl<T: NorFlash, B: Board> NorFlash for Cut<T, B> {
    const WRITE_SIZE: usize = T::WRITE_SIZE;
    const ERASE_SIZE: usize = T::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), T::Error> {
        if self.is_torn() {
            self.tear_erase(from, to)?;
            self.power_fails()
        }
        self.driver.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), T::Error> {
        if self.is_torn() {
            self.tear_write(offset, bytes)?;
            self.power_fails()
        }
        self.driver.write(offset, bytes)
    }
}

/// A small generator (xorshift32); the same seed gives the same run on every board.
#[derive(Clone, Debug)]
pub struct Random(u32);

impl Random {
    /// Starts from `seed`.
    pub fn new(seed: u32) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9) | 1);
        // Close seeds give alike first values; a few steps part them.
        for _ in 0..8 {
            random.next();
        }
        random
    }

    /// 32 random bits.
    #[expect(clippy::should_implement_trait, reason = "an endless generator needs no Option")]
    pub fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// A value from 0 to `bound` - 1; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.next().checked_rem(bound).unwrap_or(0)
    }
}
