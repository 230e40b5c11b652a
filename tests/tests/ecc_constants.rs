//! The constants of the page codes must be what the search finds, and the code what its description says.
//!
//! The parity of every page ever written hangs on a few hundred bytes of constants. This test derives them again with
//! a second implementation of the rules, so that neither a slip of the hand nor a change of the rules goes unnoticed.

use std::sync::OnceLock;

use k7fs_core::ecc::{Layout, encode, syndrome_weight};
use k7fs_tests::ecc_search::{Edge, Found, Plan, data_edges, packed, parity_edges, plans, row_weights, search};

/// Every layout with what the search finds for it. Searched once for all tests.
fn all() -> &'static [(Layout, Plan, Found)] {
    static ALL: OnceLock<Vec<(Layout, Plan, Found)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let found = plans().into_iter().map(|plan| {
            let found = search(&plan).expect("the plan's salt gives a code");
            (plan, found)
        });
        Layout::ALL.iter().copied().zip(found).map(|(layout, (plan, found))| (layout, plan, found)).collect()
    })
}

/// The edges of every column.
fn columns(plan: &Plan, found: &Found) -> Vec<Vec<Edge>> {
    let data = found.data_seeds.iter().enumerate().map(|(column, seed)| data_edges(plan, column, *seed));
    let parity = found.parity_seeds.iter().enumerate().map(|(index, seed)| parity_edges(plan, index, *seed));
    data.chain(parity).collect()
}

/// The number of violated checks, worked out bit by bit.
fn violated(plan: &Plan, columns: &[Vec<Edge>], page: &[u8]) -> usize {
    let mut checks = vec![false; plan.parity_words * 32];
    for bit in 0..page.len() * 8 {
        let (column, place) = (bit / 32, (bit % 32) as u32);
        let marked = Some(column) == plan.mark_word && place < 16;
        if marked || page[bit / 8] >> (bit % 8) & 1 == 1 {
            for (row, shift) in &columns[column] {
                checks[row * 32 + (place.wrapping_sub(*shift) & 31) as usize] ^= true;
            }
        }
    }
    checks.iter().filter(|check| **check).count()
}

#[test]
fn the_search_finds_the_constants() {
    for (layout, plan, found) in all() {
        let code = layout.code();
        assert_eq!(usize::from(code.shape.words), plan.words);
        assert_eq!(usize::from(code.shape.parity_words), plan.parity_words);
        assert_eq!(code.shape.mark_word, plan.mark_word.map_or(u16::MAX, |word| word as u16));
        assert_eq!(code.shape.salt, plan.salt);
        assert_eq!(code.shape.weights, plan.weights);
        assert_eq!(code.shape.safe_bits, plan.safe_bits);
        assert_eq!(code.shape.chase_log2, plan.chase_log2);
        let heaviest = row_weights(plan, found).into_iter().max();
        assert_eq!(Some(usize::from(code.shape.row_weight_max)), heaviest, "{layout:?}");
        let source = layout.source();
        assert_eq!(source.data_seeds, packed(&found.data_seeds), "{layout:?}");
        assert_eq!(source.parity_seeds, found.parity_seeds, "{layout:?}");
        assert_eq!(code.shape.gap_inverse, found.gap_inverse, "{layout:?}");
    }
}

#[test]
fn the_library_expands_the_same_matrix() {
    // From tables here, since the whole decoder is built in, and from seeds where it is not: the edges are those of the rules.
    for (layout, plan, found) in all() {
        let code = layout.code();
        assert_eq!(code.hashes.len(), plan.words - plan.parity_words, "{layout:?}");
        assert!(code.data_seeds.is_empty(), "{layout:?}");
        for (column, expected) in columns(plan, found).iter().enumerate() {
            let edges = code.edges_at(column);
            let edges: Vec<_> = edges.as_slice().iter().map(|e| (usize::from(e.row), u32::from(e.shift))).collect();
            assert_eq!(&edges, expected, "{layout:?} column {column}");
            if let Some(hash) = code.hashes.get(column) {
                let shifts = expected.iter().take(6).enumerate();
                let packed = shifts.fold(0, |packed, (index, (_, shift))| packed | shift << (5 * index));
                let mask = (1 << (5 * expected.len().min(6))) - 1;
                assert_eq!(hash & mask, packed, "{layout:?} column {column}");
            }
        }
    }
}

#[test]
fn tables_are_as_small_as_promised() {
    for (layout, plan, _) in all() {
        // The smallest codes have more than they were to, for their hash words: the same as all others, for the same reason.
        let most = match plan.words {
            0..=64 => 410,
            65..=128 => 690,
            129..=256 => 1228,
            257..=544 => 2560,
            _ => 5120,
        };
        let bytes = layout.table_bytes();
        assert!(bytes <= most, "{layout:?}: {bytes}");
        let code = layout.code();
        assert!(bytes > code.hashes.len() * 4 + code.offsets.len() + code.parity.len() * 2);
    }
}

#[test]
fn short_cycles_are_as_few_as_recorded() {
    // Weighted by the harm to light columns: a search that has become worse shows here first.
    const COSTS: [u64; 11] = [10656, 6016, 2608, 2398, 241_320, 43_183, 18_981, 184_086, 10_980, 9972, 2665];
    let costs: Vec<u64> = all().iter().map(|(_, _, found)| found.cost).collect();
    assert_eq!(costs, COSTS);
}

#[test]
fn rows_are_odd_and_not_too_heavy() {
    for (layout, plan, found) in all() {
        for weight in row_weights(plan, found) {
            assert!(weight % 2 == 1 && weight <= 255, "{layout:?}: {weight}");
        }
    }
}

#[test]
fn the_parity_part_is_invertible_and_columns_differ() {
    for (layout, plan, found) in all() {
        let columns = columns(plan, found);
        // Circulants of size 32 over two elements are invertible together when their weights modulo 2 are.
        let mut rows = vec![0u128; plan.parity_words];
        for (index, edges) in columns[plan.words - plan.parity_words..].iter().enumerate() {
            edges.iter().for_each(|(row, _)| rows[*row] ^= 1 << index);
        }
        for index in 0..plan.parity_words {
            let pivot = (index..plan.parity_words).find(|row| rows[*row] >> index & 1 == 1);
            let pivot = pivot.unwrap_or_else(|| panic!("{layout:?} is singular"));
            rows.swap(index, pivot);
            for row in index + 1..plan.parity_words {
                if rows[row] >> index & 1 == 1 {
                    rows[row] ^= rows[index];
                }
            }
        }
        for (index, edges) in columns.iter().enumerate() {
            let distinct: std::collections::BTreeSet<_> = edges.iter().collect();
            assert_eq!(distinct.len(), edges.len(), "{layout:?} column {index} cancels itself");
            assert!(edges.len() >= 3);
        }
    }
}

#[test]
fn the_library_agrees_with_the_description() {
    for (layout, plan, found) in all() {
        let columns = columns(plan, found);
        let mut page: Vec<u8> = (0..layout.codeword_bytes()).map(|i| (i * i * 7 + i / 3) as u8).collect();
        assert_eq!(syndrome_weight(layout, &page), violated(plan, &columns, &page), "{layout:?}");
        encode(layout, &mut page);
        assert_eq!(violated(plan, &columns, &page), 0, "{layout:?}");
        page[5] ^= 0x10;
        assert_eq!(syndrome_weight(layout, &page), columns[1].len());
        assert_eq!(violated(plan, &columns, &page), columns[1].len());
    }
}
