//! Spreads independent jobs over the cores; what each gives does not depend on which core runs it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs every job once and gives the results in the jobs' order.
///
/// # Panics
/// Where a job panics.
pub fn run<T: Send, J: Sync>(jobs: &[J], work: impl Fn(&J) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len().max(1));
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<T>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, job)) = take(jobs, &next) {
                    let result = work(job);
                    results.lock().expect("no job panics with the lock held")[index] = Some(result);
                }
            });
        }
    });
    let results = results.into_inner().expect("no job panics with the lock held");
    results.into_iter().map(|result| result.expect("every job was run")).collect()
}

fn take<'j, J>(jobs: &'j [J], next: &AtomicUsize) -> Option<(usize, &'j J)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    jobs.get(index).map(|job| (index, job))
}
