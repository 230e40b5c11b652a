//! Which snapshots are taken and kept by themselves: a policy that lies on the volume, applied by whoever knows the time.

use heapless::Vec;

use super::{Record, RetentionPolicy};
use crate::error::Error;
use crate::flash::Flash;
use crate::volume::Volume;
use crate::volume::types::Timestamp;

/// Snapshots by the policy that are looked at, at most: the newest.
pub const POLICY_SNAPSHOTS_MAX: usize = 255;
const SECONDS_PER_DAY: u64 = 86_400;
/// Letters of a snapshot's name: `auto-2026-11-21T15:04:05Z`.
const NAME_BYTES: usize = 25;

/// What applying the policy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PolicyOutcome {
    /// Whether a snapshot was taken.
    pub taken: bool,
    /// Snapshots that were trimmed.
    pub trimmed: u32,
}

/// A snapshot of the policy.
#[derive(Clone, Copy)]
struct Kept {
    id: u32,
    created: u64,
}

impl RetentionPolicy {
    /// Which of the snapshots, oldest first, goes first.
    fn outdated(&self, snapshots: &[Kept], now: u64) -> Option<u32> {
        if self.daily == 0 && self.weekly == 0 && self.monthly == 0 {
            return None;
        }
        let is_kept = |at: usize, kept: &Kept| {
            let newer = snapshots.get(at + 1..).unwrap_or_default();
            now.saturating_sub(kept.created) < self.keep_seconds
                || newer.is_empty()
                || is_among(kept, newer, self.daily, day)
                || is_among(kept, newer, self.weekly, |seconds| day(seconds) / 7)
                || is_among(kept, newer, self.monthly, month)
        };
        snapshots.iter().enumerate().find(|(at, kept)| !is_kept(*at, kept)).map(|(_, kept)| kept.id)
    }
}

/// Whether a snapshot is the newest of its period, and that one of the last so many that have any.
fn is_among(kept: &Kept, newer: &[Kept], periods: u16, period: impl Fn(u64) -> u64) -> bool {
    let mut last = period(kept.created);
    let mut count = 0;
    for other in newer {
        let next = period(other.created);
        if next == period(kept.created) {
            return false;
        }
        count += u32::from(next != last);
        last = next;
    }
    count < periods.into()
}

/// Days since 1601-01-01, a Monday.
fn day(seconds: u64) -> u64 {
    seconds / SECONDS_PER_DAY
}

/// Months since January 1601.
fn month(seconds: u64) -> u64 {
    let (year, month, _) = Timestamp { seconds, ticks: 0 }.date();
    (year - 1601) * 12 + month - 1
}

/// The name of a snapshot that the policy takes.
fn name(time: Timestamp) -> [u8; NAME_BYTES] {
    let (year, month, day) = time.date();
    let second = time.seconds % SECONDS_PER_DAY;
    let mut name = *b"auto-0000-00-00T00:00:00Z";
    let fields = [
        (5, 4, year),
        (10, 2, month),
        (13, 2, day),
        (16, 2, second / 3600),
        (19, 2, second / 60 % 60),
        (22, 2, second % 60),
    ];
    for (at, digits, value) in fields {
        let mut rest = value;
        for place in name.get_mut(at..at + digits).unwrap_or_default().iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    name
}

impl<F: Flash> Volume<'_, F> {
    /// The policy that the volume has; the default one takes nothing and keeps everything.
    ///
    /// # Errors
    /// What reading meets.
    pub fn retention_policy(&mut self) -> Result<RetentionPolicy, Error> {
        self.usable()?;
        Ok(self.index_header()?.policy)
    }

    /// Gives the volume another policy. Durable on return.
    ///
    /// # Errors
    /// `Busy` within a transaction, `ReadOnly`, `NoSpace`.
    pub fn set_retention_policy(&mut self, policy: RetentionPolicy) -> Result<(), Error> {
        let header = self.begin_indexes()?;
        self.make_index_room(0)?;
        self.change(|volume| {
            volume.put_first_index()?;
            volume.put_index_header(&super::Header { policy, ..header })
        })?;
        Ok(self.commit()?)
    }

    /// Takes a snapshot if one is due at this time, and trims those that need not be kept any more.
    ///
    /// A snapshot is of the index that is worked on, which must be writable. Each step is a commit of its own.
    ///
    /// # Errors
    /// As [`create_snapshot`](Self::create_snapshot) and [`trim_index`](Self::trim_index).
    pub fn apply_retention_policy(&mut self, now: Timestamp) -> Result<PolicyOutcome, Error> {
        self.writable()?;
        let policy = self.retention_policy()?;
        let mut outcome = PolicyOutcome::default();
        let newest = self.policy_snapshots()?.last().map(|kept| kept.created);
        let is_due = newest.is_none_or(|created| now.seconds.saturating_sub(created) >= policy.interval_seconds);
        if policy.interval_seconds > 0 && is_due {
            let name = name(now);
            self.take_snapshot(core::str::from_utf8(&name).unwrap_or_default(), now, true)?;
            outcome.taken = true;
        }
        // Trimming one may change the numbers of others.
        while let Some(id) = policy.outdated(&self.policy_snapshots()?, now.seconds) {
            let record = self.index_record(id)?;
            let name = core::str::from_utf8(record.name()).map_err(|_| Error::Corrupt { page: 0 })?;
            self.trim_index(name)?;
            outcome.trimmed += 1;
        }
        Ok(outcome)
    }

    /// The snapshots that the policy took, oldest first: a later one has a higher number.
    fn policy_snapshots(&mut self) -> Result<Vec<Kept, POLICY_SNAPSHOTS_MAX>, Error> {
        let mut snapshots: Vec<Kept, POLICY_SNAPSHOTS_MAX> = Vec::new();
        let mut next = 0;
        while let Some(record) = self.next_named_index(next)? {
            next = record.id.saturating_add(1);
            if Record::is_by_policy(&record) {
                if snapshots.is_full() {
                    snapshots.remove(0);
                }
                let _ = snapshots.push(Kept { id: record.id, created: record.created.seconds });
            }
        }
        Ok(snapshots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec as List;

    const DAY: u64 = SECONDS_PER_DAY;

    #[test]
    fn names_tell_the_time() {
        // 1970-01-01 is day 134,774.
        let time = Timestamp { seconds: (134_774 + 20_778) * DAY + 3600 * 15 + 60 * 4 + 5, ticks: 0 };
        assert_eq!(&name(time), b"auto-2026-11-21T15:04:05Z");
    }

    /// A snapshot every six hours for two years, trimmed each time.
    #[test]
    fn days_weeks_and_months_are_kept() {
        let policy = RetentionPolicy { interval_seconds: DAY / 4, daily: 7, weekly: 4, monthly: 12, keep_seconds: DAY };
        let mut snapshots: List<Kept> = List::new();
        for step in 0..4 * 730 {
            let now = 155_000 * DAY + step * DAY / 4;
            snapshots.push(Kept { id: step as u32 + 1, created: now });
            while let Some(id) = policy.outdated(&snapshots, now) {
                snapshots.retain(|kept| kept.id != id);
            }
            let at_least_a_day = snapshots.iter().filter(|kept| now - kept.created < DAY).count();
            assert_eq!(at_least_a_day as u64, (step + 1).min(4));
        }
        let periods = |period: &dyn Fn(u64) -> u64| {
            let mut found: List<u64> = snapshots.iter().map(|kept| period(kept.created)).collect();
            found.dedup();
            found.len()
        };
        assert!(periods(&day) >= 7 && periods(&|seconds| day(seconds) / 7) >= 4);
        assert_eq!(periods(&month), 12);
        // Four of the last day, six more days, three more weeks, at most eleven more months.
        assert!(snapshots.len() <= 4 + 6 + 4 + 12, "{}", snapshots.len());
    }
}
