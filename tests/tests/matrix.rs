//! A sample of the matrix of single bad blocks (promises P1 to P4): every block of two small chips fails in every way, with and
//! without a power cut soon after. `tests/campaigns/matrix/run` is the whole of it.

use k7fs_sim::matrix::{BlockReport, Case, GEOMETRIES, Geometry, Matrix, Report};
use k7fs_tests::parallel;
use k7fs_tests::seed::{mix, say, seed};

/// Moments of the whole matrix.
const SAMPLES: u64 = 200;
/// One in so many of a block's cases is run. Each moment has eight, one behind the other: a step of one more than a multiple of eight
/// meets every fault, with and without a cut, at moments spread over the run.
const STEP: usize = 201;
/// Cases that broke a promise once: geometry, seed, case. What happens at their moments changes with the core.
const ONCE_BROKEN: [(&str, u64, &str); 4] = [
    ("nor", 2, "20:881:erase:3:all-but-one-bit"),
    ("nand", 1, "22:192:content:0:before"),
    ("nand", 1, "18:1169:content:1:done-unstable"),
    ("nand", 4, "15:364:content"),
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
    let blocks: Vec<BlockReport> = parallel::run(&jobs, |(matrix, block)| {
        let first = mix(seed(), (*block).into()) as usize % STEP;
        let cases: Vec<Case> = matrix.cases(*block).into_iter().skip(first).step_by(STEP).collect();
        matrix.run(*block, &cases)
    });
    let report = Report::of(&matrices, &blocks);
    let (tally, what) = (report.tally, report.what.unwrap_or_default());
    say(&format!(
        "matrix: {} cases in {} runs; lost content cost content {} times, a leaf {} times, the mount {} times",
        tally.cases, tally.runs, tally.content_lost, tally.leaves_lost, tally.mounts_refused
    ));
    let replay = tally.replay.unwrap_or_default();
    let broken = &tally.violations_by_class;
    assert!(broken.is_empty(), "{broken:?}, the first violation: {what}\nreplay: {replay}");
}

#[test]
fn what_broke_a_promise_once_keeps_it() {
    let failures: Vec<Option<String>> = parallel::run(&ONCE_BROKEN, |(name, seed, case)| {
        let geometry = Geometry::named(name).expect("a geometry");
        let matrix = Matrix::new(geometry, *seed, SAMPLES).unwrap_or_else(|violation| panic!("{violation}"));
        let case: Case = case.parse().expect("a case");
        matrix.run_case(&case).err().map(|breach| format!("{}: {}", matrix.replay(&case), breach.what))
    });
    assert_eq!(failures.into_iter().flatten().collect::<Vec<_>>(), Vec::<String>::new());
}
