//! A look at the driver itself before the first `format`, so that a fault of the driver is not taken for one of
//! the file system.

use embedded_storage::nor_flash::NorFlash;

/// Erase units that are tried.
const UNITS: u32 = 2;
/// Bytes of one transfer.
const PIECE_BYTES: usize = 64;

/// What a driver got wrong.
#[derive(Clone, Copy, Debug, defmt::Format)]
pub(crate) enum Fault {
    /// A call failed.
    Call,
    /// An erased byte is not 0xff.
    Erase,
    /// A programmed byte reads back differently.
    Program,
    /// A call outside the chip or its units was not refused.
    Bounds,
}

/// Erases, programs and reads back the units from `offset` on, and leaves them erased.
pub(crate) fn run<T: NorFlash>(driver: &mut T, offset: u32) -> Result<(), Fault> {
    let end = offset + UNITS * T::ERASE_SIZE as u32;
    driver.erase(offset, end).map_err(|_| Fault::Call)?;
    each(driver, offset, end, |_, byte| byte == 0xff).and_then(|same| same.then_some(()).ok_or(Fault::Erase))?;
    let mut bytes = [0; PIECE_BYTES];
    // The first and the last piece stay erased: a neighbour must not be touched.
    for place in (offset + PIECE_BYTES as u32..end - PIECE_BYTES as u32).step_by(PIECE_BYTES) {
        for (byte, address) in bytes.iter_mut().zip(place..) {
            *byte = pattern(address);
        }
        driver.write(place, &bytes).map_err(|_| Fault::Call)?;
    }
    let inner = offset + PIECE_BYTES as u32..end - PIECE_BYTES as u32;
    let same = each(driver, offset, end, |address, byte| {
        byte == if inner.contains(&address) { pattern(address) } else { 0xff }
    })?;
    same.then_some(()).ok_or(Fault::Program)?;
    let capacity = driver.capacity() as u32;
    let refused = driver.read(capacity, &mut bytes).is_err()
        && driver.write(capacity, &bytes).is_err()
        && driver.erase(offset, offset + 1).is_err();
    refused.then_some(()).ok_or(Fault::Bounds)?;
    driver.erase(offset, end).map_err(|_| Fault::Call)
}

fn each<T: NorFlash>(driver: &mut T, from: u32, to: u32, is_right: impl Fn(u32, u8) -> bool) -> Result<bool, Fault> {
    let mut bytes = [0; PIECE_BYTES];
    for place in (from..to).step_by(PIECE_BYTES) {
        driver.read(place, &mut bytes).map_err(|_| Fault::Call)?;
        if !bytes.iter().zip(place..).all(|(byte, address)| is_right(address, *byte)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn pattern(address: u32) -> u8 {
    (address.wrapping_mul(0x9e37_79b9) >> 24) as u8
}
