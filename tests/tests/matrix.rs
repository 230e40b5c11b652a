//! A sample of the matrix of single bad blocks (promises P1 to P4): every block of two small chips fails in every way, with and
//! without a power cut soon after. `tests/campaigns/matrix/run` is the whole of it.

use k7fs_sim::matrix::{BlockReport, GEOMETRIES, Matrix, Report};
use k7fs_tests::parallel;
use k7fs_tests::seed::{say, seed};

/// Moments at which each fault begins.
const SAMPLES: u64 = 2;
/// Promises that are not kept yet, by the kind of fault and of promise.
const NOT_KEPT: [&str; 8] = [
    // The allocation table has one copy, without which no volume mounts.
    "content/mount",
    // A log whose last block cannot be read ends before it, as if that had been cut while it was erased.
    "content/went-back",
    // What cannot be read of a tree that is being removed fails every write from then on.
    "content/lost",
    // An attribute that cannot be read can neither be set nor removed.
    "content/stuck",
    // NAND blocks are not read after an erase: what is programmed over bits that are left is lost.
    "silent-erase/lost",
    "silent-erase/mount",
    "silent-erase/went-back",
    "silent-erase/wrong",
];

fn matrices(seed: u64) -> Vec<Matrix> {
    let matrix = |geometry| Matrix::new(geometry, seed, SAMPLES).unwrap_or_else(|violation| panic!("{violation}"));
    GEOMETRIES.iter().map(matrix).collect()
}

#[test]
fn the_undisturbed_run_does_everything() {
    for matrix in matrices(seed()) {
        let name = matrix.geometry().name;
        assert!(matrix.operations() >= 1000, "{name}: {} programs and erases", matrix.operations());
        let erased_again = matrix.erases().iter().filter(|erases| **erases >= 3).count() as u32;
        assert!(erased_again * 4 >= matrix.geometry().blocks * 3, "{name}: erases {:?}", matrix.erases());
    }
}

#[test]
fn a_single_bad_block_breaks_no_promise() {
    let matrices = matrices(seed());
    let jobs: Vec<(&Matrix, u32)> =
        matrices.iter().flat_map(|matrix| (0..matrix.geometry().blocks).map(move |block| (matrix, block))).collect();
    let blocks: Vec<BlockReport> = parallel::run(&jobs, |(matrix, block)| matrix.run(*block, &matrix.cases(*block)));
    let report = Report::of(&matrices, &blocks);
    say(&format!(
        "matrix: {} cases in {} runs; lost content cost content {} times, a leaf {} times, the mount {} times",
        report.cases, report.runs, report.content_lost, report.leaves_lost, report.mounts_refused
    ));
    let what = report.what.unwrap_or_default();
    let replay = report.replay.unwrap_or_default();
    let broken: Vec<&String> =
        report.violations_by_class.keys().filter(|class| !NOT_KEPT.contains(&class.as_str())).collect();
    assert!(broken.is_empty(), "{broken:?}, the first violation of any kind: {what}\nreplay: {replay}");
    let unreported = |block: &&BlockReport| {
        let silent = block.violations_by_class.keys().any(|class| class.starts_with("silent-erase"));
        silent && block.geometry == "nor"
    };
    assert_eq!(blocks.iter().find(unreported), None, "NOR blocks are read after an erase");
}
