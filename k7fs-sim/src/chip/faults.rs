//! What goes wrong on a chip, and when.

use std::collections::BTreeSet;

use super::{Ageing, Fading};

/// The faults of a chip. The default plan has none; every field may be changed at any time.
///
/// Pages and blocks are those of the chip: on NOR, pages of the program size and erase units.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    /// Probability that a bit reads flipped once. Drawn anew for every read, on NAND for every load of a page.
    pub bit_flip_rate: f64,
    /// What erasing does to the chip, beside all the rest.
    pub ageing: Option<Ageing>,
    /// What the years do, which [`Chip::wait`](super::Chip::wait) lets pass.
    pub fading: Option<Fading>,
    /// Share of the bits that the last load of a page got wrong which a read above and below the threshold marks as weak.
    pub weak_share_of_wrong: f64,
    /// Right bits that it marks as weak, for each bit that reads wrong.
    pub weak_right_per_wrong: f64,
    /// The next power cut.
    pub cut: Option<Cut>,
    /// Share of the bits in transition that an interrupted operation leaves weak, where its kind leaves any.
    pub unstable_density: f64,
    /// Probability that such a weak bit reads flipped.
    pub unstable_probability: f64,
    /// Whether a block whose erase was interrupted stays unreliable until it is erased again: each program then leaves
    /// `unstable_density` of the bits that stay 1 weak.
    pub weak_erase: bool,
    /// Pages whose every program fails. NAND reports it; on NOR the content is wrong.
    pub program_fail: BTreeSet<u32>,
    /// Probability that a program fails, drawn once per place and erase cycle.
    pub program_fail_rate: f64,
    /// Blocks whose every erase fails. NAND reports it; on NOR the content is wrong.
    pub erase_fail: BTreeSet<u32>,
    /// Probability that an erase fails.
    pub erase_fail_rate: f64,
    /// Blocks whose every erase leaves some bits as they were, which no part reports: NAND neither.
    pub silent_erase_fail: BTreeSet<u32>,
    /// What befalls one block from some operation on.
    pub block_fault: Option<BlockFault>,
    /// Counts programs and erases from now (0 is the next one): the block that this one works on goes bad. It and every
    /// later program and erase of the block fails; what was programmed before stays readable.
    pub grown_bad: Option<u64>,
    /// Whether a part with on-chip error correction refuses to read a write unit that was programmed twice, or whose
    /// program or erase was interrupted half way.
    pub ecc_trap: bool,
    /// Bits that always read the same.
    pub stuck: BTreeSet<StuckBit>,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self {
            bit_flip_rate: 0.0,
            ageing: None,
            fading: None,
            // Cells of two levels with Gaussian noise, of which one in 1000 reads wrong, read again at 15 % of the distance
            // from the threshold to a level: Q(1.15 x) / Q(x) = 0.19 and Q(0.85 x) / Q(x) - 1 = 3.3 for Q(x) = 10^-3.
            weak_share_of_wrong: 0.81,
            weak_right_per_wrong: 3.3,
            cut: None,
            unstable_density: 0.125,
            unstable_probability: 0.5,
            weak_erase: true,
            program_fail: BTreeSet::new(),
            program_fail_rate: 0.0,
            erase_fail: BTreeSet::new(),
            erase_fail_rate: 0.0,
            silent_erase_fail: BTreeSet::new(),
            block_fault: None,
            grown_bad: None,
            ecc_trap: false,
            stuck: BTreeSet::new(),
        }
    }
}

/// A fault of one block that begins later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockFault {
    /// The block of the chip.
    pub block: u32,
    /// Programs and erases, of whatever block, that come before it; 0 begins it with the next one.
    pub operation: u64,
    /// What happens.
    pub kind: BlockFaultKind,
}

/// What may befall a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockFaultKind {
    /// Every program fails, see [`FaultPlan::program_fail`].
    Program,
    /// Every erase fails, see [`FaultPlan::erase_fail`].
    Erase,
    /// What it holds is lost, see [`Chip::spoil`](super::Chip::spoil).
    Content,
    /// Every erase fails unnoticed, see [`FaultPlan::silent_erase_fail`].
    SilentErase,
}

/// A bit that no program and no erase changes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StuckBit {
    /// Page of the chip.
    pub page: u32,
    /// Bit within the page: byte * 8 + bit, the lowest first.
    pub bit: u32,
    /// What it reads as.
    pub value: bool,
}

/// A power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cut {
    /// Programs and erases that still succeed; 0 strikes the next one.
    pub operation: u64,
    /// What the struck operation leaves behind.
    pub kind: CutKind,
}

/// What an interrupted operation leaves behind.
///
/// The bits in transition are those that a program turns from 1 to 0 and an erase from 0 to 1. A NOR erase first
/// programs all bits of the block to 0 (the first quarter of its time here), so there all bits are in transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CutKind {
    /// Nothing: the power went before the operation began.
    Before,
    /// Only the first unit is done: the first write unit of a NOR program, 512 bytes of a NAND program, one page of an
    /// erase. Stable.
    FirstUnit,
    /// Only one bit, chosen by the seed, is done. Stable.
    OneBit,
    /// A part is done, and some of all the bits in transition read differently from time to time.
    Torn {
        /// How much, in 256ths.
        fraction: u8,
        /// Which part.
        order: TornOrder,
    },
    /// All but one bit is done. Stable; a block erased so is weak.
    AllButOneBit,
    /// All is done, but some of the bits that were in transition read differently from time to time.
    DoneUnstable,
    /// All is done and reads stable, only nobody was told; a block erased so is weak.
    Done,
}

impl CutKind {
    /// Half of the operation done, spread over all of it.
    pub const HALF: Self = Self::Torn { fraction: 128, order: TornOrder::Scattered };

    /// The rungs of the exhaustive cut ladder.
    pub const LADDER: [Self; 7] =
        [Self::Before, Self::FirstUnit, Self::OneBit, Self::HALF, Self::AllButOneBit, Self::DoneUnstable, Self::Done];
}

/// Which part of a torn operation is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TornOrder {
    /// The first bytes.
    Ascending,
    /// The last bytes.
    Descending,
    /// Bits anywhere, each by its own draw: what a page programmed in parallel looks like.
    Scattered,
}
