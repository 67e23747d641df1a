//! Which phase instruments are to be in at a time of day. The core knows no schedule: the venue's
//! start and its side thread ask here, and sequence a `SetPhase` when a time has come. A halt or an
//! interruption in between stays until the next time.

use trading_engine_protocol::types::{TradingPhase, UtcNanos};

use crate::trading_day::minute_of_day;

const DAY_MINUTES: u64 = 24 * 60;
const MINUTE: u64 = 60 * UtcNanos::SECOND;
/// Names as `TRADING_SCHEDULE` has them.
const NAMES: [(&str, TradingPhase); 7] = [
    ("continuous", TradingPhase::Continuous),
    ("closed", TradingPhase::Closed),
    ("pre-open", TradingPhase::PreOpen),
    ("opening-auction", TradingPhase::OpeningAuction),
    ("halted", TradingPhase::Halted),
    ("volatility-auction", TradingPhase::VolatilityAuction),
    ("closing-auction", TradingPhase::ClosingAuction),
];

/// What `TRADING_SCHEDULE` may be.
pub const ALLOWED: &str = "empty, or times with phases, ascending, like 08:00 pre-open, 08:50 \
                           opening-auction, 09:00 continuous, 16:30 closing-auction, 16:35 closed \
                           (UTC, every day)";

/// Phases of every day, each from a minute after midnight UTC on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    times: Vec<(u64, TradingPhase)>,
}

impl Schedule {
    /// From text like [`ALLOWED`].
    pub fn parse(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self::default());
        }
        let times: Option<Vec<_>> = text.split(',').map(entry).collect();
        let times = times?;
        times
            .is_sorted_by(|one, other| one.0 < other.0)
            .then_some(Self { times })
    }

    /// The phase of a time, and since when; `None` = there is no schedule.
    pub fn at(&self, now: UtcNanos) -> Option<(UtcNanos, TradingPhase)> {
        let minutes = now.0 / MINUTE;
        let today = minutes - minutes % DAY_MINUTES;
        let begun = |day: u64, &(minute, phase): &(u64, TradingPhase)| {
            (UtcNanos((day + minute) * MINUTE), phase)
        };
        let passed = self
            .times
            .iter()
            .rev()
            .find(|(minute, _)| today + minute <= minutes);
        passed.map(|time| begun(today, time)).or_else(|| {
            let last = self.times.last()?;
            Some(begun(today.checked_sub(DAY_MINUTES)?, last))
        })
    }
}

/// `HH:MM phase`.
fn entry(text: &str) -> Option<(u64, TradingPhase)> {
    let (time, phase) = text.trim().split_once(' ')?;
    let minute = minute_of_day(time)?;
    let known = NAMES.iter().find(|(name, _)| *name == phase.trim());
    known.map(|(_, phase)| (minute, *phase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u64, minute: u64) -> UtcNanos {
        UtcNanos(UtcNanos::from_date(2026, 3, 2).0 + (hour * 60 + minute) * MINUTE)
    }

    #[test]
    fn a_phase_holds_until_the_next_and_over_midnight() {
        let schedule =
            Schedule::parse("08:00 pre-open, 09:00 continuous,16:35  closed").expect("valid");
        let phase = |hour, minute| schedule.at(at(hour, minute)).map(|(_, phase)| phase);
        assert_eq!(phase(7, 59), Some(TradingPhase::Closed));
        assert_eq!(phase(8, 0), Some(TradingPhase::PreOpen));
        assert_eq!(phase(9, 0), Some(TradingPhase::Continuous));
        assert_eq!(phase(23, 59), Some(TradingPhase::Closed));
        let (since, _) = schedule.at(at(10, 30)).expect("there is one");
        assert_eq!(since, at(9, 0));
        let (since, _) = schedule.at(at(0, 0)).expect("there is one");
        assert_eq!(since.0, at(16, 35).0 - DAY_MINUTES * MINUTE);
        assert_eq!(Schedule::parse("").expect("valid").at(at(9, 0)), None);
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for wrong in [
            "09:00",
            "9:00 closed",
            "24:00 closed",
            "09:60 closed",
            "09:00 open",
            "09:00 closed, 08:00 continuous",
            "09:00 closed,",
            "09:00 closed, 09:00 halted",
        ] {
            assert_eq!(Schedule::parse(wrong), None, "{wrong}");
        }
    }
}
