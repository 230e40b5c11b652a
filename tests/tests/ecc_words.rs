//! The search for light codewords finds them where there are some, and nothing else.

use k7fs_tests::ecc_search::{Plan, data_edges, parity_edges, search};
use k7fs_tests::ecc_words::{Word, find_words};

/// A code so poor that it has words of six bits: each data bit is in three of 128 checks.
fn poor(salt: u32) -> Plan {
    Plan {
        name: "POOR",
        words: 36,
        parity_words: 4,
        mark_word: None,
        weights: vec![3],
        salt,
        safe_bits: 0,
        chase_log2: 7,
    }
}

#[test]
fn every_word_found_satisfies_every_check() {
    let with = |salt| search(&poor(salt)).map(|found| (poor(salt), found));
    let (plan, found) = (1..200).find_map(with).expect("some salt gives a parity part that can be inverted");
    let words = find_words(&plan, &found, 6, 20);
    assert!(!words.is_empty());
    let edges = |column: usize| match column.checked_sub(found.data_seeds.len()) {
        None => data_edges(&plan, column, found.data_seeds[column]),
        Some(index) => parity_edges(&plan, index, found.parity_seeds[index]),
    };
    let violated = |word: &Word| {
        let mut sums = [0u32; 4];
        for (column, place) in word {
            edges(*column).iter().for_each(|(row, shift)| sums[*row] ^= (1u32 << place).rotate_right(*shift));
        }
        sums.iter().map(|sum| sum.count_ones()).sum::<u32>()
    };
    assert!(words.iter().all(|word| violated(word) == 0));
    // Without one of its bits none is a word.
    assert!(words.iter().all(|word| violated(&word[1..].to_vec()) > 0));
}
