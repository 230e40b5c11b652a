//! One case: which block fails how and when, and whether the power goes soon after.

use std::fmt;
use std::str::FromStr;

use crate::chip::{BlockFaultKind, CutKind};

/// Every kind of fault, with its name.
pub const KINDS: [(BlockFaultKind, &str); 4] = [
    (BlockFaultKind::Program, "program"),
    (BlockFaultKind::Erase, "erase"),
    (BlockFaultKind::Content, "content"),
    (BlockFaultKind::SilentErase, "silent-erase"),
];
/// Names of the cuts of [`CutKind::LADDER`].
const CUTS: [&str; 7] = ["before", "first-unit", "one-bit", "half", "all-but-one-bit", "done-unstable", "done"];

/// A power cut after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CutAfter {
    /// Programs and erases between the first that the fault has an effect on, or its beginning where it has none, and the one cut.
    pub distance: u64,
    /// What the struck one leaves.
    pub kind: CutKind,
}

/// One block, one kind of fault, one beginning, with or without a cut. As text: `BLOCK:INDEX:KIND` or `BLOCK:INDEX:KIND:DISTANCE:CUT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    /// The block of the chip.
    pub block: u32,
    /// Programs and erases of the chip from the beginning of the sequence to that of the fault.
    pub index: u64,
    /// What happens to the block.
    pub kind: BlockFaultKind,
    /// The cut, where there is one.
    pub cut: Option<CutAfter>,
}

/// The name of a kind of fault.
pub fn kind_name(kind: BlockFaultKind) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("", |(_, name)| name)
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.block, self.index, kind_name(self.kind))?;
        let Some(cut) = self.cut else { return Ok(()) };
        let rung = CutKind::LADDER.iter().position(|kind| *kind == cut.kind);
        write!(f, ":{}:{}", cut.distance, rung.and_then(|rung| CUTS.get(rung)).unwrap_or(&"other"))
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let (block, index, kind, cut) = match parts[..] {
            [block, index, kind] => (block, index, kind, None),
            [block, index, kind, distance, cut] => (block, index, kind, Some((distance, cut))),
            _ => return Err("BLOCK:INDEX:KIND or BLOCK:INDEX:KIND:DISTANCE:CUT is needed".to_owned()),
        };
        let known = KINDS.iter().find(|(_, name)| *name == kind);
        let (kind, _) = known.ok_or_else(|| {
            let names = KINDS.map(|(_, name)| name).join(", ");
            format!("there is no fault {kind}: one of {names} is needed")
        })?;
        let cut = cut.map(|(distance, cut)| cut_after(distance, cut)).transpose()?;
        let block = block.parse().map_err(|_| format!("block {block} is not a number"))?;
        let index = index.parse().map_err(|_| format!("index {index} is not a number"))?;
        Ok(Self { block, index, kind: *kind, cut })
    }
}

fn cut_after(distance: &str, cut: &str) -> Result<CutAfter, String> {
    let rung = CUTS.iter().position(|name| *name == cut);
    let rung = rung.ok_or_else(|| format!("there is no cut {cut}: one of {} is needed", CUTS.join(", ")))?;
    let distance = distance.parse().map_err(|_| format!("distance {distance} is not a number"))?;
    Ok(CutAfter { distance, kind: CutKind::LADDER[rung] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_come_back_from_their_text() {
        for (kind, _) in KINDS {
            let bare = Case { block: 7, index: 1234, kind, cut: None };
            assert_eq!(bare.to_string().parse(), Ok(bare));
            for cut in CutKind::LADDER {
                let cut = Case { cut: Some(CutAfter { distance: 5, kind: cut }), ..bare };
                assert_eq!(cut.to_string().parse(), Ok(cut));
            }
        }
        for wrong in
            ["", "1:2", "1:2:none", "1:2:erase:3", "1:2:erase:3:none", "x:2:erase", "1:-2:erase", "1:2:erase:x:half"]
        {
            assert!(wrong.parse::<Case>().is_err(), "{wrong}");
        }
    }
}
