//! Regenerates every constant of the page codes.
//!
//! `cargo run --release -p k7fs-tests --bin ecc-search` prints the source text of the constants.
//! `-- NAME FIRST COUNT KEEP ERRORS PAGES` lists salts by how well their codes work, which is how those in the plans
//! were picked: it tries COUNT salts from FIRST, keeps the KEEP with the fewest short cycles, and counts failures among
//! PAGES pages with ERRORS wrong bits each. `-- NAME words BITS WEIGHT` lists the codewords of at most BITS ones in
//! columns no heavier than WEIGHT.

use k7fs_core::ecc::graph::{Code, NO_MARK, Shape, Source, mix};
use k7fs_core::ecc::{decode_with, encode_with};
use k7fs_tests::ecc_search::{Found, Plan, packed, plans, row_weights, search, source};
use k7fs_tests::ecc_words::find_words;

/// What stands before the constants.
const PREAMBLE: &str = "use super::source::{NO_MARK, Shape, Source};";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u32> = arguments.iter().skip(1).filter_map(|text| text.parse().ok()).collect();
    if let (Some("words"), [bits, weight]) = (arguments.get(1).map(String::as_str), numbers.as_slice()) {
        return list_words(&arguments[0], *bits as usize, *weight as usize);
    }
    match (arguments.first(), <[u32; 5]>::try_from(numbers)) {
        (None, _) => print_all(),
        (Some(name), Ok(numbers)) => trial(name, numbers),
        _ => {
            eprintln!("ecc-search [NAME FIRST COUNT KEEP ERRORS PAGES | NAME words BITS WEIGHT]");
            std::process::exit(2);
        }
    }
}

fn print_all() {
    println!("//! The constants of every code, as printed by `cargo run -p k7fs-tests --bin ecc-search`.\n");
    println!("{PREAMBLE}");
    for plan in plans() {
        match search(&plan) {
            Some(found) => {
                let rows = row_weights(&plan, &found);
                eprintln!("{}: cost {}, rows {:?}", plan.name, found.cost, rows);
                print!("\n{}", source(&plan, &found));
            }
            None => eprintln!("{}: nothing found with salt {}", plan.name, plan.salt),
        }
    }
}

/// Lists the light codewords of one plan's code.
fn list_words(name: &str, bits_max: usize, weight_max: usize) {
    for plan in plans().into_iter().filter(|plan| plan.name == name) {
        let Some(found) = search(&plan) else { continue };
        let words = find_words(&plan, &found, bits_max, weight_max);
        println!("{name}: {} words", words.len());
        words.iter().for_each(|word| println!("  {word:?}"));
    }
}

/// Lists the salts of one plan with the fewest short cycles.
fn cheapest(plan: &Plan, first: u32, count: u32) -> Vec<(u64, u32)> {
    let with = |salt| Plan { salt, ..plan.clone() };
    let found = (first..first + count).filter_map(|salt| search(&with(salt)).map(|found| (found.cost, salt)));
    let mut costs: Vec<(u64, u32)> = found.collect();
    costs.sort_unstable();
    costs
}

/// Of `count` salts, takes the `keep` cheapest and counts how often pages with `errors` wrong bits cannot be mended.
fn trial(name: &str, [first, count, keep, errors, frames]: [u32; 5]) {
    let mut results = Vec::new();
    for plan in plans().into_iter().filter(|plan| plan.name == name) {
        for (cost, salt) in cheapest(&plan, first, count).into_iter().take(keep as usize) {
            let plan = Plan { salt, ..plan.clone() };
            let Some(found) = search(&plan) else { continue };
            let failed = failures(&leaked_code(&plan, &found), errors as usize, frames as usize);
            results.push((failed, salt, cost));
        }
    }
    results.sort_unstable();
    println!("{name}, {errors} wrong bits, {frames} pages: (failed, salt, cost)");
    results.iter().take(12).for_each(|result| println!("  {result:?}"));
}

/// The code as the library wants it; the memory is never given back.
fn leaked_code(plan: &Plan, found: &Found) -> Code {
    let shape = Shape {
        words: plan.words as u16,
        parity_words: plan.parity_words as u8,
        row_weight_max: row_weights(plan, found).into_iter().max().unwrap_or(0) as u8,
        mark_word: plan.mark_word.map_or(NO_MARK, |word| word as u16),
        safe_bits: plan.safe_bits,
        chase_log2: plan.chase_log2,
        salt: plan.salt,
        weights: plan.weights.clone().leak(),
        gap_inverse: found.gap_inverse,
    };
    let (data_seeds, parity_seeds) = (packed(&found.data_seeds).leak(), found.parity_seeds.clone().leak());
    let source = Source { shape, data_seeds, parity_seeds };
    let mut offsets = vec![0; source.offset_count()];
    let mut hashes = vec![0; source.data_words()];
    let mut parity = vec![0; source.parity_edge_count()];
    source.put_offsets(&mut offsets);
    source.put_hashes(&mut hashes);
    source.put_parity_edges(&mut parity);
    source.code(offsets.leak(), hashes.leak(), parity.leak())
}

/// Random codewords with wrong bits that are not mended.
fn failures(code: &Code, errors: usize, frames: usize) -> usize {
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_add(0x9E37_79B9);
        mix(state)
    };
    let mut page = vec![0u8; usize::from(code.shape.words) * 4];
    let mut scratch = vec![0u8; 100_000];
    let mark = usize::from(code.shape.mark_word) * 4;
    let failed = (0..frames).filter(|_| {
        page.iter_mut().for_each(|byte| *byte = random() as u8);
        encode_with(code, &mut page);
        let good = page.clone();
        let mut flipped = 0;
        while flipped < errors {
            let bit = random() as usize % (page.len() * 8);
            if page[bit / 8] >> (bit % 8) & 1 == good[bit / 8] >> (bit % 8) & 1 && bit / 16 != mark / 2 {
                page[bit / 8] ^= 1 << (bit % 8);
                flipped += 1;
            }
        }
        decode_with(code, &mut page, &[], &mut scratch, &mut |page| page == good).is_err()
    });
    failed.count()
}
