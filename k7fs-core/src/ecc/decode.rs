//! The ladder of decoders: each rung costs more than the one before it and mends what that has left.
//!
//! ```text
//! Tier::Small   bit flipping: 4 attempts      Chase on bit flipping: 32 doubtful bits
//! Tier::Full    bit flipping: a short one     belief propagation by both rules     Chase on that: 128 or 512 doubtful bits by each rule
//! ```
//!
//! Between belief propagation and Chase, a volume with room for [`Tier::Full`] reads the page once more: where the chip can
//! tell which bits are near its threshold, or some read otherwise the second time, that helps more than any search.
//!
//! A code cannot tell its own codewords apart, so every one that a rung arrives at is put before the caller's judge. The
//! checksum of a page comes before all this, in `page`: what is undamaged costs no decoding.

#[cfg(feature = "full-decoder")]
use super::belief::{self, Attempt, Rule};
use super::graph::{Code, SUM_WORDS};
use super::{Correction, Layout, Rung, Tier, Uncorrectable, flip, syndrome, weight};

/// Share of violated checks above which a page is not worth a search.
const HOPELESS_PERCENT: usize = 42;
/// Share above which no Chase trial has been seen to help.
const CHASE_PERCENT: usize = 38;
/// Bits of the factory mark, which count as ones.
const MARK_BITS: usize = 16;
/// Bytes for a doubtful bit.
#[cfg(feature = "full-decoder")]
const DOUBT_BYTES: usize = 4;

/// Scratch bytes that a code's decoder needs.
pub(super) const fn scratch_bytes(code: &Code, tier: Tier) -> usize {
    let small = flip::scratch_bytes(code);
    #[cfg(feature = "full-decoder")]
    if matches!(tier, Tier::Full) {
        let full = belief::scratch_bytes(code) + (DOUBT_BYTES << code.shape.chase_log2);
        return if full > small { full } else { small };
    }
    let _ = tier;
    small
}

/// Corrects `page`, a whole raw page, in place.
///
/// `accept` is shown every codeword found and says whether it is the right one, usually by its checksum; a page that
/// is a codeword as read is shown, too. `scratch` holds at least [`Layout::scratch_bytes`] of [`Tier::Small`]; its content
/// does not matter, its size decides how far the ladder goes. The result depends on nothing but the page, that decision
/// and the answers of `accept`. On NAND the factory-mark bytes are ignored and never changed.
///
/// The work is bounded: a page in which almost half the checks fail is given up at once, any other after at most
/// 3600 sweeps, with full scratch 30 sweeps and 10,360 iterations, or 41,080 on pages of 2048+64 bytes.
///
/// # Errors
/// [`Uncorrectable`] says which: no accepted codeword was found, with or without hope in a larger scratch; the page has
/// the wrong length; the scratch is too small. The page is then unchanged.
pub fn decode(
    layout: &Layout, page: &mut [u8], scratch: &mut [u8], accept: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Correction, Uncorrectable> {
    decode_with(layout.code(), page, &[], scratch, accept)
}

/// [`decode`] without Chase trials where [`Tier::Full`] has better to offer: for a page that can be read again.
pub(crate) fn decode_briefly(
    layout: &Layout, page: &mut [u8], scratch: &mut [u8], accept: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Correction, Uncorrectable> {
    decode_as_far(layout.code(), page, &[], scratch, accept, false)
}

/// [`decode`] for a page of which some bits are known to be weak.
///
/// `weak` is as long as the page; a one marks a bit that read differently at another time or near the threshold between
/// 0 and 1. With an empty slice, no bit is weak. Only [`Tier::Full`] makes use of it.
///
/// # Errors
/// As [`decode`]; `PageLength` also where `weak` has neither length.
pub fn decode_soft(
    layout: &Layout, page: &mut [u8], weak: &[u8], scratch: &mut [u8], accept: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Correction, Uncorrectable> {
    decode_with(layout.code(), page, weak, scratch, accept)
}

/// [`decode_soft`] for a code that is not one of the layouts; for the search that finds codes.
#[doc(hidden)]
pub fn decode_with(
    code: &Code, page: &mut [u8], weak: &[u8], scratch: &mut [u8], accept: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Correction, Uncorrectable> {
    decode_as_far(code, page, weak, scratch, accept, true)
}

/// The whole ladder, or without its Chase trials.
fn decode_as_far(
    code: &Code, page: &mut [u8], weak: &[u8], scratch: &mut [u8], accept: &mut dyn FnMut(&[u8]) -> bool,
    with_chase: bool,
) -> Result<Correction, Uncorrectable> {
    let needed = usize::from(code.shape.words) * 4;
    if page.len() != needed || !(weak.is_empty() || weak.len() == needed) {
        let given = if page.len() == needed { weak.len() } else { page.len() };
        return Err(Uncorrectable::PageLength { needed, given });
    }
    let (needed, given) = (scratch_bytes(code, Tier::Small), scratch.len());
    if given < needed {
        return Err(Uncorrectable::ScratchTooSmall { needed, given });
    }
    let sums = &mut [0; SUM_WORDS];
    syndrome(code, page, sums);
    let violated = weight(code, sums);
    if violated == 0 {
        return if accept(page) { Ok(correction(code, Rung::Clean, 0, 0)) } else { Err(Uncorrectable::Beyond) };
    }
    // Beyond correction every check is a coin toss; torn pages must not cost a full search.
    if violated * 100 > usize::from(code.shape.parity_words) * 32 * HOPELESS_PERCENT {
        return Err(Uncorrectable::Beyond);
    }
    // Nearly all zeros, as blocks that are bad from the factory read: the codeword of zeros is near, and a long search
    // would find it again and again. Other codewords have more ones: their parity alone.
    let ones: usize = page.iter().map(|byte| byte.count_ones() as usize).sum();
    let is_near_zero = ones <= usize::from(code.shape.parity_words) * 2 + MARK_BITS;
    let has_chase =
        with_chase && !is_near_zero && violated * 100 <= usize::from(code.shape.parity_words) * 32 * CHASE_PERCENT;
    Ladder { code, page, sums, weak, has_chase, steps: 0 }.climb(scratch, accept)
}

/// A page on its way up.
struct Ladder<'a> {
    code: &'a Code,
    page: &'a mut [u8],
    sums: &'a mut [u32; SUM_WORDS],
    /// Only the full decoder looks at it.
    #[cfg_attr(not(feature = "full-decoder"), allow(dead_code))]
    weak: &'a [u8],
    has_chase: bool,
    steps: u16,
}

impl Ladder<'_> {
    fn climb(mut self, scratch: &mut [u8], accept: &mut dyn FnMut(&[u8]) -> bool) -> Result<Correction, Uncorrectable> {
        let scratch_bytes = scratch_bytes(self.code, Tier::Full);
        let is_full = cfg!(feature = "full-decoder") && scratch.len() >= scratch_bytes;
        let effort = match (is_full, self.has_chase) {
            (true, _) => flip::Effort::Short,
            (_, false) => flip::Effort::Attempts,
            (_, true) => flip::Effort::Chase,
        };
        if let Some(found) = flip::mend(self.code, self.page, self.sums, scratch, effort, accept, &mut self.steps) {
            let rung = if found.by_chase { Rung::FlipChase } else { Rung::Flip };
            return Ok(correction(self.code, rung, found.bits, self.steps));
        }
        #[cfg(feature = "full-decoder")]
        if is_full {
            return self.believe(scratch, accept).ok_or(Uncorrectable::Beyond);
        }
        Err(Uncorrectable::LargerDecoder { scratch_bytes })
    }

    /// Belief propagation, then the same with doubtful bits taken for wrong.
    #[cfg(feature = "full-decoder")]
    fn believe(&mut self, scratch: &mut [u8], accept: &mut dyn FnMut(&[u8]) -> bool) -> Option<Correction> {
        for attempt in &ATTEMPTS {
            let attempt = Attempt { weak: self.weak, ..*attempt };
            if let Some(bits) = self.attempt(scratch, &attempt, accept) {
                return Some(correction(self.code, Rung::Belief, bits, self.steps));
            }
        }
        if !self.has_chase {
            return None;
        }
        let (scratch, doubts) = scratch.split_at_mut_checked(belief::scratch_bytes(self.code))?;
        let (doubts, _) = doubts.get_mut(..DOUBT_BYTES << self.code.shape.chase_log2)?.as_chunks_mut();
        // Those that belief propagation was least sure of, then those that the checks as read accuse most.
        let unsure = belief::list_unsure(self.code, scratch, doubts);
        let found = self.chase(scratch, doubts.get(..unsure)?, &CHASE[0], accept);
        if found.is_some() {
            return found;
        }
        flip::Doubts::rank(self.code, self.sums, doubts.as_flattened_mut());
        self.chase(scratch, doubts, &CHASE[1], accept)
    }

    /// One trial for each doubtful bit.
    #[cfg(feature = "full-decoder")]
    fn chase(
        &mut self, scratch: &mut [u8], doubts: &[[u8; 4]], attempt: &Attempt<'_>, accept: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Option<Correction> {
        for &[low, high, ..] in doubts {
            let assumed = Some(u16::from_le_bytes([low, high]));
            let attempt = Attempt { weak: self.weak, assumed, ..*attempt };
            if let Some(bits) = self.attempt(scratch, &attempt, accept) {
                return Some(correction(self.code, Rung::BeliefChase, bits, self.steps));
            }
        }
        None
    }

    #[cfg(feature = "full-decoder")]
    fn attempt(
        &mut self, scratch: &mut [u8], attempt: &Attempt<'_>, accept: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Option<u32> {
        belief::attempt(self.code, self.page, self.sums, scratch, attempt, accept, &mut self.steps)
    }
}

/// Attempts in their order. Measured: the second rule mends half of what the first leaves.
#[cfg(feature = "full-decoder")]
const ATTEMPTS: [Attempt<'static>; 3] = [
    Attempt { rule: Rule::Least, trust: [8, 2], iterations_max: 30, reversed: false, assumed: None, weak: &[] },
    Attempt { rule: Rule::Least, trust: [8, 2], iterations_max: 60, reversed: true, assumed: None, weak: &[] },
    Attempt { rule: Rule::Sum, trust: [10, 2], iterations_max: 30, reversed: false, assumed: None, weak: &[] },
];
/// Trials of Chase, one for each doubtful bit.
#[cfg(feature = "full-decoder")]
const CHASE: [Attempt<'static>; 2] = [
    Attempt { rule: Rule::Sum, trust: [10, 2], iterations_max: 40, reversed: false, assumed: None, weak: &[] },
    Attempt { rule: Rule::Least, trust: [8, 2], iterations_max: 40, reversed: false, assumed: None, weak: &[] },
];

/// What has been done.
fn correction(code: &Code, rung: Rung, bits: u32, iterations: u16) -> Correction {
    let margin = i32::from(code.shape.safe_bits).saturating_sub_unsigned(bits) as i16;
    Correction { bits, rung, iterations, margin }
}
