//! The stack's high-water mark, from the paint that `cortex-m-rt` lays down at reset.

unsafe extern "C" {
    static mut _stack_start: u32;
    static mut _stack_end: u32;
}

/// Bytes of stack used so far since the reset, at most; `None` where the paint is gone to its last word, so that
/// the stack may have run over.
pub fn used_bytes() -> Option<u32> {
    let top = &raw const _stack_start;
    let bottom = &raw const _stack_end;
    let mut word = bottom;
    while word < top {
        // SAFETY: the linker script places both symbols, word-aligned, around RAM that belongs to the stack; the
        // read is volatile because the region is no Rust object.
        if unsafe { word.read_volatile() } != cortex_m_rt::STACK_PAINT_VALUE {
            break;
        }
        word = word.wrapping_add(1);
    }
    (word > bottom).then_some((top as usize - word as usize) as u32)
}
