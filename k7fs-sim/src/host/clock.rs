//! Time on the host.

use std::time::{SystemTime, UNIX_EPOCH};

use k7fs_core::Timestamp;

/// The host's clock, for the times of objects that a command creates.
pub fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_unix(seconds, since_1970.subsec_nanos()).unwrap_or_default()
}

/// A moment as `2024-02-29 12:34:56.7654321`, in UTC.
pub fn utc(time: Timestamp) -> String {
    let (year, month, day) = time.date();
    let second = time.seconds % 86_400;
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{:07}", time.ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_gregorian() {
        let text = |seconds, nanoseconds| utc(Timestamp::from_unix(seconds, nanoseconds).expect("after 1601"));
        assert_eq!(text(0, 0), "1970-01-01 00:00:00.0000000");
        assert_eq!(text(951_782_400, 123_456_700), "2000-02-29 00:00:00.1234567");
        assert_eq!(text(-11_644_473_600, 0), "1601-01-01 00:00:00.0000000");
        assert_eq!(text(4_107_542_399, 0), "2100-02-28 23:59:59.0000000");
        let mut before = (1600, 12, 31);
        for day in 0..400_000 {
            let next = Timestamp { seconds: day * 86_400, ticks: 0 }.date();
            assert!(next > before && next.1 <= 12 && next.2 <= 31, "{next:?} after {before:?}");
            before = next;
        }
    }
}
