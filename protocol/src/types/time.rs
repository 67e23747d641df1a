//! UTC time as the venue counts it, and its FIX text.

use std::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Nanoseconds since 1970-01-01T00:00:00 UTC. 0 = none.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
)]
#[repr(transparent)]
pub struct UtcNanos(pub u64);

impl UtcNanos {
    /// Nanoseconds in a second.
    pub const SECOND: u64 = 1_000_000_000;
    /// Nanoseconds in a day.
    pub const DAY: u64 = 86_400 * Self::SECOND;

    /// The date (UTC), YYYYMMDD.
    #[inline]
    pub const fn date_number(self) -> u32 {
        let (year, month, day) = self.date();
        year * 10_000 + month * 100 + day
    }

    /// The month (UTC) that it is in, its first nanosecond and the next one's.
    pub const fn month(self) -> Range<u64> {
        let (year, month, _) = self.date();
        let (next_year, next) = if month == 12 {
            (year + 1, 1)
        } else {
            (year, month + 1)
        };
        Self::from_date(year, month, 1).0..Self::from_date(next_year, next, 1).0
    }

    /// The plain number.
    #[inline(always)]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Year, month 1..=12, day 1..=31 of the proleptic Gregorian calendar.
    #[inline]
    pub const fn date(self) -> (u32, u32, u32) {
        // Days to civil date, era by era of 400 years (146,097 days), March-based years.
        let days = self.0 / Self::DAY + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + (month <= 2) as u64;
        (year as u32, month as u32, day as u32)
    }

    /// Days of a month 1..=12.
    #[inline]
    pub const fn days_in_month(year: u32, month: u32) -> u32 {
        match month {
            2 if year.is_multiple_of(4)
                && (!year.is_multiple_of(100) || year.is_multiple_of(400)) =>
            {
                29
            }
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Midnight UTC of a calendar date from 1970 on.
    #[inline]
    pub const fn from_date(year: u32, month: u32, day: u32) -> Self {
        let year = year as u64 - (month <= 2) as u64;
        let era = year / 400;
        let year_of_era = year % 400;
        let shifted_month = ((month + 9) % 12) as u64;
        let day_of_year = (153 * shifted_month + 2) / 5 + day as u64 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self((era * 146_097 + day_of_era - 719_468) * Self::DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_both_ways() {
        for (year, month, day) in [
            (1970, 1, 1),
            (2000, 2, 29),
            (2012, 6, 21),
            (2026, 12, 31),
            (2100, 3, 1),
        ] {
            assert_eq!(
                UtcNanos::from_date(year, month, day).date(),
                (year, month, day)
            );
        }
        assert_eq!(
            UtcNanos::from_date(2012, 6, 21).0,
            1_340_236_800 * UtcNanos::SECOND
        );
    }
}
