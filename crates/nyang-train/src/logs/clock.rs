//! The clock, in one place: logs have time stamps, and layers can be timed. No other file of the libraries asks what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The seconds since 1970, in UTC.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// A watch that starts now.
    pub fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Year, month, day, hour, minute and second of a moment, in UTC.
///
/// Days are counted from 1 March of the year 0, so that the leap day is a year's last; 400 years are 146,097 days.
pub(crate) fn calendar(seconds: f64) -> [u64; 6] {
    let seconds = seconds.max(0.0) as u64;
    let days = seconds / 86_400 + 719_468; // from 0000-03-01 to 1970-01-01
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // from March
    let (date, january) = (day - (153 * month + 2) / 5 + 1, month >= 10);
    let month = if january { month - 9 } else { month + 3 };
    [era * 400 + year + u64::from(january), month, date, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60]
}

#[cfg(test)]
mod tests {
    use super::*;

    // `date -u -d @SECONDS` of GNU coreutils
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0.0, [1970, 1, 1, 0, 0, 0]),
            (951_782_399.9, [2000, 2, 28, 23, 59, 59]),
            (951_782_400.0, [2000, 2, 29, 0, 0, 0]),
            (951_868_800.0, [2000, 3, 1, 0, 0, 0]),
            (1_795_653_296.0, [2026, 11, 26, 0, 34, 56]),
            (4_107_542_400.0, [2100, 3, 1, 0, 0, 0]),
            (1_735_689_599.0, [2024, 12, 31, 23, 59, 59]),
        ] {
            assert_eq!(calendar(seconds), date, "{seconds}");
        }
    }

    #[test]
    fn time_passes() {
        let watch = Stopwatch::start();
        assert!(now() > 1_700_000_000.0 && watch.elapsed() <= watch.elapsed());
    }
}
