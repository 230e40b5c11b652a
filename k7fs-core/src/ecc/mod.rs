//! The page code: a quasi-cyclic LDPC code per page layout.

/// The code of one page layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    codeword_bytes: u16,
    parity_bytes: u16,
}

/// More errors than the decoder could mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncorrectable;
