//! What the board firmwares share.
//!
//! A firmware brings a NOR driver and says how its board restarts and ends; [`scenario::run`] does the rest:
//! it formats, stores files, is cut in the middle of a write, restarts, verifies every committed byte, and goes on.
//! What was committed is known from a [`journal`] that lives outside the chip under test.
#![no_std]

pub mod cut;
mod driver_check;
pub mod journal;
pub mod model;
pub mod scenario;
pub mod stack;

use defmt_semihosting as _;

/// How a board restarts and ends.
pub trait Board {
    /// Starts the processor again; nothing but the flash and the host's files is remembered.
    fn restart() -> !;
    /// Ends the run; the journal holds the verdict.
    fn finish() -> !;
}

/// Requests a reset of the processor through the system control block.
pub fn system_reset() -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}

/// Ends the emulation with exit code 0, for boards whose flash does not live in a file of the emulator.
pub fn exit() -> ! {
    semihosting::process::exit(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Neither message nor place: either would keep the strings of every panic in flash.
    defmt::error!("panic");
    semihosting::process::exit(101)
}

/// A fault ends the run at once instead of hanging until the timeout.
#[cortex_m_rt::exception]
unsafe fn HardFault(_frame: &cortex_m_rt::ExceptionFrame) -> ! {
    defmt::error!("hard fault");
    semihosting::process::exit(102)
}
