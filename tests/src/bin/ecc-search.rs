//! Regenerates every constant of the page codes.
//!
//! `cargo run --release -p k7fs-tests --bin ecc-search` prints the source text of the constants. `-- salts NAME COUNT`
//! lists salts by their cost, which is how those in the plans were picked.

use k7fs_tests::ecc_search::{plans, row_weights, search, source};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["salts", name, count] => salts(name, count.parse().unwrap_or(100)),
        _ => print_all(),
    }
}

fn print_all() {
    println!("//! The constants of every code, as printed by `cargo run -p k7fs-tests --bin ecc-search`.\n");
    println!("use super::graph::{{Code, NO_MARK}};");
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

fn salts(name: &str, count: u32) {
    for plan in plans().into_iter().filter(|plan| plan.name == name) {
        let mut costs: Vec<(u64, u32)> = (1..=count)
            .filter_map(|salt| {
                let mut plan = plan.clone();
                plan.salt = salt;
                search(&plan).map(|found| (found.cost, salt))
            })
            .collect();
        costs.sort_unstable();
        println!("{name}: {} of {count} salts work; best (cost, salt) {:?}", costs.len(), &costs[..costs.len().min(8)]);
    }
}
