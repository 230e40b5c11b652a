//! Arithmetic on 32 small numbers at once, held as bit planes.
//!
//! Plane `i` is a word with bit `i` of all 32 numbers, so one AND or XOR works on all of them, on any 32-bit core and
//! without tables. A number of a bit and its neighbours never meet: what would be a carry between digits of one word is
//! a step from one plane to the next.

/// The planes of two words, stored as bytes so that any scratch will do.
pub(super) fn load<const PLANES: usize, const BYTES: usize>(bytes: &[u8; BYTES]) -> [u32; PLANES] {
    let mut planes = [0; PLANES];
    for (plane, word) in planes.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *plane = u32::from_le_bytes(*word);
    }
    planes
}

/// The reverse of [`load`].
pub(super) fn store<const PLANES: usize, const BYTES: usize>(bytes: &mut [u8; BYTES], planes: &[u32; PLANES]) {
    for (word, plane) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(planes) {
        *word = plane.to_le_bytes();
    }
}

/// All 32 numbers set to one value.
pub(super) fn constant<const PLANES: usize>(value: u32) -> [u32; PLANES] {
    core::array::from_fn(|plane| mask(value, plane))
}

/// All ones if bit `plane` of `value` is set.
pub(super) fn mask(value: u32, plane: usize) -> u32 {
    (value >> plane & 1).wrapping_neg()
}

/// `a + b`, or `a - b` where `minus` is set; wraps.
#[inline(always)]
pub(super) fn add_signed<const PLANES: usize, const SMALL: usize>(
    a: &[u32; PLANES], b: &[u32; SMALL], minus: u32,
) -> [u32; PLANES] {
    let mut sum = [0; PLANES];
    let mut carry = minus;
    for (index, (sum, a)) in sum.iter_mut().zip(a).enumerate() {
        let b = b.get(index).copied().unwrap_or(0) ^ minus;
        let half = a ^ b;
        *sum = half ^ carry;
        carry = a & b | half & carry;
    }
    sum
}

/// Adds to unsigned numbers; returns where that overflows.
#[inline(always)]
pub(super) fn add_to<const PLANES: usize>(sum: &mut [u32; PLANES], more: &[u32; PLANES]) -> u32 {
    let mut carry = 0;
    for (sum, more) in sum.iter_mut().zip(more) {
        let half = *sum ^ more;
        let out = *sum & more | half & carry;
        *sum = half ^ carry;
        carry = out;
    }
    carry
}

/// Where `a < b`, both unsigned.
#[inline(always)]
pub(super) fn is_less<const PLANES: usize>(a: &[u32; PLANES], b: &[u32; PLANES]) -> u32 {
    a.iter().zip(b).fold(0, |less, (a, b)| !a & b | !(a ^ b) & less)
}

/// `a` where `choice` is set, else `b`.
#[inline(always)]
pub(super) fn choose<const PLANES: usize>(choice: u32, a: &[u32; PLANES], b: &[u32; PLANES]) -> [u32; PLANES] {
    let mut out = *b;
    for (out, a) in out.iter_mut().zip(a) {
        *out ^= (*out ^ a) & choice;
    }
    out
}
