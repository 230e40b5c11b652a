//! Frames in numbers, on all cores.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use k7fs_core::ecc::{Layout, Tier};

use super::frame::{Bench, Channel};
use super::tally::Tally;

/// What to measure, and which frames of it.
#[derive(Clone, Debug)]
pub struct Task {
    /// The layout.
    pub layout: Layout,
    /// How far up the ladder the decoder goes.
    pub tier: Tier,
    /// How bits get wrong.
    pub channel: Channel,
    /// The seed of all frames.
    pub seed: u64,
    /// The numbers of the frames.
    pub frames: Range<u64>,
}

impl Task {
    /// Runs the frames on `threads` threads, at least one. The result does not depend on how many.
    ///
    /// After `deadline` no further frame is begun; the frames of the result are then the first ones.
    pub fn run(&self, threads: usize, deadline: Option<Instant>) -> Tally {
        let next = AtomicU64::new(self.frames.start);
        let total = Mutex::new(Tally::default());
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| self.work(&next, &total, deadline));
            }
            self.work(&next, &total, deadline);
        });
        total.into_inner().unwrap_or_default()
    }

    fn work(&self, next: &AtomicU64, total: &Mutex<Tally>, deadline: Option<Instant>) {
        let mut bench = Bench::new(self.layout, self.tier);
        let mut tally = Tally::default();
        // A thread finishes every frame that it has taken, so that those done are always the first ones.
        while deadline.is_none_or(|deadline| Instant::now() < deadline) {
            let frame = next.fetch_add(1, Ordering::Relaxed);
            if frame >= self.frames.end {
                break;
            }
            bench.run(self.channel, self.seed, frame, &mut tally);
        }
        // A poisoned lock means that another thread panicked, which ends the run anyway.
        if let Ok(mut total) = total.lock() {
            total.add(&tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_do_not_depend_on_the_number_of_threads_or_on_how_the_frames_are_split() {
        let task =
            |frames| Task { layout: Layout::Nor256, tier: Tier::Small, channel: Channel::Errors(12), seed: 7, frames };
        let whole = task(0..300).run(1, None);
        assert_eq!(whole.frames, 300);
        assert!(whole.is_consistent());
        assert_eq!(task(0..300).run(5, None), whole);
        let mut parts = task(0..101).run(2, None);
        parts.add(&task(101..300).run(3, None));
        assert_eq!(parts, whole);
        let late = task(0..300).run(4, Some(Instant::now()));
        assert_eq!(late, Tally::default());
        let soon = task(0..1_000_000).run(3, Some(Instant::now() + std::time::Duration::from_millis(50)));
        assert_eq!(task(0..soon.frames).run(1, None), soon);
    }
}
