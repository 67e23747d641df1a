//! Which trading day it is. The core knows no calendar: the venue's start and its side thread ask
//! here, and sequence a `DayRoll` when the answer is another one than the core's.

use trading_engine_protocol::types::UtcNanos;

/// When trading days begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TradingDayStart {
    /// Minutes after midnight UTC.
    minutes: u64,
}

impl TradingDayStart {
    /// From `HH:MM`.
    pub fn parse(text: &str) -> Option<Self> {
        minute_of_day(text).map(|minutes| Self { minutes })
    }

    /// The trading day at a time, YYYYMMDD: the date on which it began.
    pub fn day_at(self, now: UtcNanos) -> u32 {
        let begun = now.0.saturating_sub(self.minutes * 60 * UtcNanos::SECOND);
        let (year, month, day) = UtcNanos(begun).date();
        year * 10_000 + month * 100 + day
    }
}

/// Minutes after midnight from `HH:MM`.
pub fn minute_of_day(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, below: u64| -> Option<u64> {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number < below)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_when_it_is_said_to() {
        let at = |day, hour: u64, minute: u64| {
            UtcNanos(
                UtcNanos::from_date(2026, 3, day).0 + (hour * 60 + minute) * 60 * UtcNanos::SECOND,
            )
        };
        let midnight = TradingDayStart::parse("00:00").unwrap();
        assert_eq!(midnight.day_at(at(1, 0, 0)), 20_260_301);
        assert_eq!(midnight.day_at(at(1, 23, 59)), 20_260_301);
        let evening = TradingDayStart::parse("17:30").unwrap();
        assert_eq!(evening.day_at(at(1, 17, 29)), 20_260_228);
        assert_eq!(evening.day_at(at(1, 17, 30)), 20_260_301);
        for wrong in [
            "", "24:00", "1:00", "12:60", "12", "aa:bb", "+1:00", "12:00:00",
        ] {
            assert_eq!(TradingDayStart::parse(wrong), None, "{wrong}");
        }
    }
}
