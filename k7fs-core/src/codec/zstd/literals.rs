//! Literals of a block (RFC 8878, section 3.1.1.3.1): decoded where they are wanted, so that no memory holds them.

use super::bits::Reversed;
use super::huffman::Huffman;

/// Bytes of the table that tells where streams end.
const JUMPS_BYTES: usize = 6;

/// A block's literals that have not been taken yet.
pub(super) struct Literals<'d> {
    source: Source<'d>,
    /// How many.
    left: usize,
}

enum Source<'d> {
    Plain(&'d [u8]),
    Repeated(u8),
    Coded(Streams<'d>),
}

/// Up to four streams, each as long as the first, the last one with the rest.
struct Streams<'d> {
    bits: Reversed<'d>,
    /// Literals that are left in this stream, and those of the ones that follow.
    left: usize,
    each: usize,
    more: [&'d [u8]; 3],
}

impl<'d> Literals<'d> {
    /// Reads the section's head, and the code where there is one; gives what follows the section.
    pub(super) fn read(block: &'d [u8], length_max: usize, code: &mut Huffman) -> Option<(Self, &'d [u8])> {
        let at = |index| block.get(index).map(|&byte| usize::from(byte));
        let (kind, format) = (at(0)? & 3, at(0)? >> 2 & 3);
        if kind < 2 {
            let (head, left) = match format {
                1 => (2, at(0)? >> 4 | at(1)? << 4),
                3 => (3, at(0)? >> 4 | at(1)? << 4 | at(2)? << 12),
                _ => (1, at(0)? >> 3),
            };
            let (_, body) = block.split_at_checked(head)?;
            let (body, rest) = body.split_at_checked(if kind == 0 { left } else { 1 })?;
            let source = if kind == 0 { Source::Plain(body) } else { Source::Repeated(*body.first()?) };
            return (left <= length_max).then_some((Self { source, left }, rest));
        }
        let low = at(0)? >> 4 | at(1)? << 4 | at(2)? << 12;
        let (head, left, packed) = match format {
            2 => (4, low & 0x3FFF, low >> 14 | at(3)? << 6),
            3 => (5, low & 0x3_FFFF, low >> 18 | at(3)? << 2 | at(4)? << 10),
            _ => (3, low & 0x3FF, low >> 10),
        };
        let (_, body) = block.split_at_checked(head)?;
        let (body, rest) = body.split_at_checked(packed)?;
        let body = if kind == 2 { code.read(body)? } else { body };
        if !code.is_built() || left > length_max {
            return None;
        }
        let streams = if format == 0 { Streams::one(body, left) } else { Streams::four(body, left) };
        Some((Self { source: Source::Coded(streams?), left }, rest))
    }

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        self.left
    }

    /// Takes as many as there is room for.
    #[inline]
    pub(super) fn take(&mut self, room: &mut [u8], code: &Huffman) -> Option<()> {
        self.left = self.left.checked_sub(room.len())?;
        match &mut self.source {
            Source::Plain(bytes) => {
                let (now, rest) = bytes.split_at_checked(room.len())?;
                room.copy_from_slice(now);
                *bytes = rest;
                Some(())
            }
            Source::Repeated(byte) => {
                room.fill(*byte);
                Some(())
            }
            Source::Coded(streams) => streams.take(room, code),
        }
    }

    /// Whether the section was what it should be, all of it.
    pub(super) fn is_spent(&self) -> bool {
        let is_spent = match &self.source {
            Source::Plain(_) | Source::Repeated(_) => true,
            Source::Coded(streams) => streams.bits.is_spent() && streams.more.iter().all(|more| more.is_empty()),
        };
        is_spent && self.left == 0
    }
}

impl<'d> Streams<'d> {
    fn one(body: &'d [u8], left: usize) -> Option<Self> {
        Some(Self { bits: Reversed::new(body)?, left, each: 0, more: [&[]; 3] })
    }

    fn four(body: &'d [u8], left: usize) -> Option<Self> {
        let (jumps, mut body) = body.split_at_checked(JUMPS_BYTES)?;
        let mut streams: [&[u8]; 3] = [&[]; 3];
        for (stream, jump) in streams.iter_mut().zip(jumps.chunks_exact(2)) {
            let length = jump.iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
            (*stream, body) = body.split_at_checked(length)?;
        }
        let [first, second, third] = streams;
        let each = left.div_ceil(4);
        let is_sound = each * 3 <= left && ![second, third, body].iter().any(|stream| stream.is_empty());
        let bits = Reversed::new(first).filter(|_| is_sound)?;
        Some(Self { bits, left: each, each, more: [second, third, body] })
    }

    fn take(&mut self, mut room: &mut [u8], code: &Huffman) -> Option<()> {
        while !room.is_empty() {
            if self.left == 0 {
                self.open_next()?;
            }
            let (now, rest) = room.split_at_mut_checked(room.len().min(self.left))?;
            code.decode(&mut self.bits, now);
            self.left -= now.len();
            room = rest;
        }
        (!self.bits.is_overdrawn()).then_some(())
    }

    /// Goes on to the next stream. The last one may have fewer literals: nobody asks for more than the section says.
    fn open_next(&mut self) -> Option<()> {
        let [next, second, third] = self.more;
        let bits = Reversed::new(next).filter(|_| self.bits.is_spent())?;
        (self.bits, self.left, self.more) = (bits, self.each, [second, third, &[]]);
        Some(())
    }
}
