//! The codes as they are linked, with what the compiler works out from the constants in `codes`.
//!
//! Edges of parity columns and rows of groups are tables everywhere: they take the place of the seeds and of the code
//! that would expand them. Builds with `fast-codes` have the first hash word of every data column as well, in
//! place of its seed: four bytes are six rotations of five bits.

use super::codes;
use super::graph::Code;
use super::source::Source;

/// Data columns whose first hash words are stored.
const fn stored(source: &Source) -> usize {
    if cfg!(feature = "fast-codes") { source.data_words() } else { 0 }
}

macro_rules! linked {
    ($($(#[$feature:meta])? $name:ident;)*) => {$(
        $(#[$feature])?
        pub(super) static $name: Code = {
            const SOURCE: Source = codes::$name;
            static OFFSETS: [u8; SOURCE.offset_count()] = SOURCE.offsets();
            static HASHES: [u32; stored(&SOURCE)] = SOURCE.hashes();
            static PARITY: [u16; SOURCE.parity_edge_count()] = SOURCE.parity_edges();
            SOURCE.code(&OFFSETS, &HASHES, &PARITY)
        };
    )*};
}

linked! {
    NOR_128;
    NOR_256;
    NOR_512;
    NOR_1024;
    #[cfg(feature = "nand-codes")] NAND_2048_64;
    #[cfg(feature = "nand-codes")] NAND_2048_128;
    #[cfg(feature = "nand-codes")] NAND_4096_224;
    #[cfg(feature = "nand-codes")] NAND_4096_128;
    #[cfg(feature = "nand-codes")] NAND_4096_256;
    #[cfg(feature = "full-decoder")] ARCHIVE_4096_256;
    #[cfg(feature = "full-decoder")] ARCHIVE_4096_512;
}
