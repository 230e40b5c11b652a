//! Finite state entropy (RFC 8878, section 4.1): states whose symbols are as frequent as the symbols themselves.

use super::bits::{Forward, Reversed};

/// Symbols of the longest alphabet, that of match lengths.
pub(super) const SYMBOLS_MAX: usize = 53;
/// The smallest logarithm of a table's size that can be described.
const LOG_MIN: u32 = 5;
/// Bits of a cell that are the symbol; the others are the state's number among those of its symbol.
const SYMBOL_BITS: u32 = 6;

/// How frequent symbols are, in parts of a table's size; -1 is less than one part.
pub(super) struct Frequencies {
    parts: [i16; SYMBOLS_MAX],
    log: u32,
}

impl Frequencies {
    /// Those of a list that adds up to a table's size.
    pub(super) fn listed(list: &[i8], log: u32) -> Self {
        let mut parts = [0; SYMBOLS_MAX];
        for (part, &listed) in parts.iter_mut().zip(list) {
            *part = listed.into();
        }
        Self { parts, log }
    }

    /// Reads a description (section 4.1.1) for an alphabet and a table that are no larger than this, and gives what follows it.
    #[inline(never)]
    pub(super) fn read(bytes: &[u8], symbols_max: usize, log_max: u32) -> Option<(Self, &[u8])> {
        let mut bits = Forward::new(bytes);
        let log = bits.read(4) + LOG_MIN;
        if log > log_max {
            return None;
        }
        let mut parts = [0i16; SYMBOLS_MAX];
        let (mut left, mut symbol) = (1u32 << log, 0);
        while left > 0 {
            // Any value up to `most`: those below `short` take a bit less.
            let most = left + 1;
            let width = most.checked_ilog2()? + 1;
            let short = (1 << width) - 1 - most;
            let low = bits.peek(width - 1);
            let value = if low < short { low } else { bits.peek(width) };
            bits.skip(if low < short { width - 1 } else { width });
            let value = if value >> (width - 1) == 0 { value } else { value - short };
            *parts.get_mut(..symbols_max)?.get_mut(symbol)? = value as i16 - 1;
            left = left.checked_sub(value.abs_diff(1))?;
            symbol += 1;
            // After a symbol that does not occur it is told how many more do not, up to three at a time.
            let mut repeat = if value == 1 { 3 } else { 0 };
            while repeat == 3 {
                repeat = bits.read(2);
                symbol += repeat as usize;
                if symbol > symbols_max {
                    return None;
                }
            }
        }
        Some((Self { parts, log }, bits.rest()?))
    }
}

/// A table of states: 2 bytes for each.
#[derive(Debug)]
pub(super) struct Table<const STATES: usize> {
    cells: [u16; STATES],
    log: u32,
    is_built: bool,
}

impl<const STATES: usize> Table<STATES> {
    /// The logarithm of the largest size.
    pub(super) const LOG_MAX: u32 = STATES.ilog2();

    pub(super) const fn new() -> Self {
        Self { cells: [0; STATES], log: 0, is_built: false }
    }

    /// Forgets what was built.
    pub(super) fn clear(&mut self) {
        self.is_built = false;
    }

    /// Whether it can be used.
    pub(super) fn is_built(&self) -> bool {
        self.is_built
    }

    /// A table of one state, for one symbol that takes no bits.
    pub(super) fn set_only(&mut self, symbol: u8) -> Option<()> {
        *self.cells.first_mut()? = u16::from(symbol) | 1 << SYMBOL_BITS;
        (self.log, self.is_built) = (0, true);
        Some(())
    }

    /// Builds it. `None` where the frequencies do not fill it.
    pub(super) fn build(&mut self, frequencies: &Frequencies) -> Option<()> {
        self.is_built = false;
        deal(self.cells.get_mut(..1 << frequencies.log)?, &frequencies.parts)?;
        (self.log, self.is_built) = (frequencies.log, true);
        Some(())
    }

    /// The first state of a stream.
    #[inline]
    pub(super) fn start(&self, bits: &mut Reversed<'_>) -> Option<State> {
        self.state(bits.read(self.log))
    }

    #[inline]
    fn state(&self, index: usize) -> Option<State> {
        self.cells.get(index).map(|&cell| State { cell })
    }

    /// The state that follows.
    #[inline]
    pub(super) fn next(&self, state: State, bits: &mut Reversed<'_>) -> Option<State> {
        let number = u32::from(state.cell >> SYMBOL_BITS);
        let width = self.log.saturating_sub(number.checked_ilog2()?);
        let base = ((number as usize) << width).checked_sub(1 << self.log)?;
        self.state(base + bits.read(width))
    }
}

/// Deals the states of a table to the symbols, then numbers them among those of their symbol (section 4.1.1).
#[inline(never)]
fn deal(cells: &mut [u16], parts: &[i16; SYMBOLS_MAX]) -> Option<()> {
    let size = cells.len();
    let mut numbers = [0u16; SYMBOLS_MAX];
    let mut end = size;
    for ((symbol, &parts), number) in (0u16..).zip(parts).zip(&mut numbers) {
        *number = parts.unsigned_abs();
        if parts < 0 {
            end = end.checked_sub(1)?;
            *cells.get_mut(end)? = symbol;
        }
    }
    let step = (size >> 1) + (size >> 3) + 3;
    let mut at = 0;
    for (symbol, &parts) in (0u16..).zip(parts) {
        for _ in 0..parts {
            *cells.get_mut(at)? = symbol;
            at = (at + step) & (size - 1);
            // The step has no factor in common with the size: all cells are met, and those below the end are some.
            while at >= end && end > 0 {
                at = (at + step) & (size - 1);
            }
        }
    }
    if at != 0 {
        return None;
    }
    for cell in cells {
        let number = numbers.get_mut(usize::from(*cell))?;
        *cell |= *number << SYMBOL_BITS;
        *number += 1;
    }
    Some(())
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    cell: u16,
}

impl State {
    /// The symbol that it stands for.
    #[inline]
    pub(super) fn symbol(self) -> usize {
        usize::from(self.cell & ((1 << SYMBOL_BITS) - 1))
    }
}
