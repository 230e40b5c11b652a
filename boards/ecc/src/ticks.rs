//! The processor's timer as a counter of instructions.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::SYST;
use cortex_m_rt::exception;

/// The timer counts down from this, over and over.
const RELOAD: u32 = 0x00FF_FFFF;
/// Times that it has started over.
static WRAPS: AtomicU32 = AtomicU32::new(0);

/// Starts the timer.
pub(crate) fn start() {
    // SAFETY: nothing else in this firmware uses the timer, and it is started once, before anything is measured.
    let timer = unsafe { &*SYST::PTR };
    // SAFETY: any value may be written; 7 is run, interrupt at zero, processor clock.
    unsafe {
        timer.rvr.write(RELOAD);
        timer.cvr.write(0);
        timer.csr.write(7);
    }
}

#[exception]
fn SysTick() {
    // A load and a store, since a Cortex-M0 has no atomic addition. Nothing else writes.
    WRAPS.store(WRAPS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Ticks since the start.
fn now() -> u64 {
    loop {
        let before = WRAPS.load(Ordering::SeqCst);
        let left = SYST::get_current();
        if before == WRAPS.load(Ordering::SeqCst) {
            return u64::from(before) * (u64::from(RELOAD) + 1) + u64::from(RELOAD - left);
        }
    }
}

/// Ticks that `work` takes.
#[inline(never)]
pub(crate) fn ticks(work: impl FnOnce()) -> u64 {
    let start = now();
    work();
    let end = now();
    end - start
}

/// 100,000 turns of two instructions: what the others are calibrated by.
#[inline(never)]
pub(crate) fn known_loop() {
    // SAFETY: the assembly changes nothing but the register that it declares.
    unsafe {
        core::arch::asm!("2:", "subs {0}, #1", "bne 2b", inout(reg) 100_000u32 => _);
    }
}
