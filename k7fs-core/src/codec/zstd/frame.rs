//! Frames and their blocks (RFC 8878, section 3.1.1).

use super::ZstdScratch;
use super::literals::Literals;

const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// The smallest window that a frame can state.
const WINDOW_MIN: usize = 1024;
/// No block has more content.
const BLOCK_BYTES_MAX: usize = 128 << 10;
/// Bytes of a block's head.
const BLOCK_HEAD_BYTES: usize = 3;

/// What was decoded, and room for the rest: all of it is there to be repeated.
pub(super) struct Output<'p> {
    plain: &'p mut [u8],
    done: usize,
    /// Where the block must have ended.
    end: usize,
    window: usize,
}

impl Output<'_> {
    /// The next bytes, to be filled in.
    #[inline]
    pub(super) fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        let from = self.done;
        self.done = from.checked_add(len).filter(|&done| done <= self.end)?;
        self.plain.get_mut(from..self.done)
    }

    /// Repeats what was decoded some way back.
    #[inline]
    pub(super) fn repeat(&mut self, distance: usize, len: usize) -> Option<()> {
        let from = self.done.checked_sub(distance).filter(|_| distance <= self.window)?;
        let mut left = len;
        self.room(len)?;
        // What overlaps itself is repeated in pieces, each as long as all before it.
        while left > 0 {
            let at = self.done - left;
            let (before, room) = self.plain.split_at_mut_checked(at)?;
            let now = left.min(at.checked_sub(from)?);
            room.get_mut(..now)?.copy_from_slice(before.get(from..)?.get(..now)?);
            left -= now;
        }
        Some(())
    }
}

/// Decodes one frame, which is all of `packed` and has as much content as `plain` takes.
pub(super) fn decode(packed: &[u8], plain: &mut [u8], scratch: &mut ZstdScratch) -> Option<()> {
    let (window, mut packed) = head(packed, plain.len())?;
    scratch.huffman.clear();
    scratch.sequences.clear();
    let mut output = Output { plain, done: 0, end: 0, window };
    let mut is_last = false;
    while !is_last {
        let (head, rest) = packed.split_first_chunk::<BLOCK_HEAD_BYTES>()?;
        let head = head.iter().rev().fold(0, |head, &byte| head << 8 | usize::from(byte));
        is_last = head & 1 == 1;
        output.end = output.plain.len().min(output.done.checked_add(window.min(BLOCK_BYTES_MAX))?);
        packed = block(head >> 1 & 3, head >> 3, rest, &mut output, scratch)?;
    }
    (packed.is_empty() && output.done == output.plain.len()).then_some(())
}

/// Decodes a block and gives what follows it.
fn block<'d>(
    kind: usize, size: usize, packed: &'d [u8], output: &mut Output<'_>, scratch: &mut ZstdScratch,
) -> Option<&'d [u8]> {
    let (body, rest) = packed.split_at_checked(if kind == 1 { 1 } else { size })?;
    match kind {
        0 => output.room(size)?.copy_from_slice(body),
        1 => output.room(size)?.fill(*body.first()?),
        2 => {
            let length_max = output.window.min(BLOCK_BYTES_MAX);
            let (mut literals, section) = Literals::read(body, length_max, &mut scratch.huffman)?;
            scratch.sequences.decode(section, &mut literals, &scratch.huffman, output)?;
        }
        _ => return None,
    }
    Some(rest)
}

/// Reads a frame's head: the window, and what follows it.
fn head(packed: &[u8], length: usize) -> Option<(usize, &[u8])> {
    let (&flags, rest) = packed.strip_prefix(&MAGIC)?.split_first()?;
    // A dictionary, a checksum, what is reserved: none of it belongs in a record.
    if flags & 0b1111 != 0 {
        return None;
    }
    let is_single = flags & 0b10_0000 != 0;
    let (window, rest) = if is_single {
        (None, rest)
    } else {
        let (&byte, rest) = rest.split_first()?;
        let base = 1u64 << (10 + (byte >> 3));
        (Some(base + (base >> 3) * u64::from(byte & 7)), rest)
    };
    let length_bytes = match flags >> 6 {
        0 => usize::from(is_single),
        log => 1 << log,
    };
    let (stated, rest) = rest.split_at_checked(length_bytes)?;
    let content = stated.iter().rev().fold(0, |content, &byte| content << 8 | u64::from(byte));
    let content = if length_bytes == 2 { content + 256 } else { content };
    if length_bytes > 0 && content != length as u64 {
        return None;
    }
    let window = usize::try_from(window.unwrap_or(length as u64)).ok()?;
    (window <= length.checked_next_power_of_two()?.max(WINDOW_MIN)).then_some((window, rest))
}
