//! When the power goes, and how.

use crate::chip::{Chip, Cut, CutKind, TornOrder};
use crate::model::Random;

use super::flash::CutFlash;

/// Of a hundred operations that store a part of the tree, how many are cut.
const STORE_PER_HUNDRED: u64 = 25;
/// Of a hundred random operations, how many are cut.
const OPERATION_PER_HUNDRED: u64 = 30;
/// Of a hundred operations, how many wish for a cut at the next erase.
const ERASE_PER_HUNDRED: u64 = 8;
/// Of a hundred mounts after a cut, how many are cut again.
const RECOVERY_PER_HUNDRED: u64 = 25;
/// Programs and erases within which a recovery is cut.
const RECOVERY_OPERATIONS: u64 = 10;

/// What the operation ahead is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ahead {
    /// Stores a part of the tree that takes about this many page programs.
    Store { programs: u64 },
    /// A random operation.
    Operation,
}

/// Plans a cut for the operation ahead, or none. A plan that does not come true stays.
pub(super) fn plan(flash: &mut CutFlash, random: &mut Random, ahead: Ahead) {
    let (per_hundred, range) = match ahead {
        // A little further than the operation reaches, so that its end is struck too.
        Ahead::Store { programs } => (STORE_PER_HUNDRED, programs + programs / 4 + 8),
        Ahead::Operation => (OPERATION_PER_HUNDRED, 16),
    };
    if random.percent(per_hundred) {
        let cut = Cut { operation: random.below(range), kind: kind(random) };
        flash.chip_mut().faults_mut().cut = Some(cut);
    }
    if random.percent(ERASE_PER_HUNDRED) {
        flash.erase_cut = Some(kind(random));
    }
}

/// Gives the power back, and perhaps plans a cut of the recovery.
pub(super) fn power_on(flash: &mut CutFlash, random: &mut Random) {
    let recovery = random.percent(RECOVERY_PER_HUNDRED);
    let cut = Cut { operation: random.below(RECOVERY_OPERATIONS), kind: kind(random) };
    let chip: &mut Chip = flash.chip_mut();
    chip.power_on();
    chip.faults_mut().cut = recovery.then_some(cut);
}

/// Any kind of cut; most often a torn one, which leaves unstable bits.
fn kind(random: &mut Random) -> CutKind {
    let orders = [TornOrder::Ascending, TornOrder::Descending, TornOrder::Scattered];
    let order = random.pick(&orders).copied().unwrap_or(TornOrder::Scattered);
    let fraction = random.below(256) as u8;
    match random.below(10) {
        0 => CutKind::Before,
        1 => CutKind::FirstUnit,
        2 => CutKind::OneBit,
        3 => CutKind::AllButOneBit,
        4 | 5 => CutKind::DoneUnstable,
        6 => CutKind::Done,
        _ => CutKind::Torn { fraction, order },
    }
}
