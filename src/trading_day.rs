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
        UtcNanos(begun).date_number()
    }
}

/// Which days to begin while the venue runs, and what to say of it: a day has begun when the log has it.
#[derive(Debug)]
pub struct Days {
    /// The newest day of the clock that was dealt with.
    seen: u32,
    /// When it was asked for, if the log does not have it yet.
    asked_at: Option<UtcNanos>,
}

/// How long a day that was asked for has to get into the log before it is asked for again.
const ASK_AGAIN_NS: u64 = 10 * UtcNanos::SECOND;

/// What is to be done about a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for it, and say so by [`Days::asked`].
    Ask(u32),
    /// It was asked for a while ago and did not begin: ask once more. A day that the log has by then is refused there.
    AskAgain(u32),
    /// It was asked for, and began.
    Began(u32),
    /// The log has a later one, so it does not begin.
    Later {
        /// By the clock.
        day: u32,
        /// The log's.
        log: u32,
    },
}

impl Days {
    /// Goes on from the day at which the venue starts.
    pub fn new(today: u32) -> Self {
        Self {
            seen: today,
            asked_at: None,
        }
    }

    /// What to do now: `day` by the clock, with the log at `log`.
    pub fn next(&mut self, now: UtcNanos, day: u32, log: u32) -> Option<Step> {
        let day = day.max(self.seen);
        let is_new = day > self.seen;
        if log < day {
            if is_new {
                return Some(Step::Ask(day));
            }
            let waits = self.asked_at.map(|at| now.0.saturating_sub(at.0));
            if waits.is_some_and(|waits| waits >= ASK_AGAIN_NS) {
                self.asked_at = Some(now);
                return Some(Step::AskAgain(day));
            }
            return None;
        }
        let asked = self.asked_at.take().is_some();
        self.seen = day;
        if log > day {
            return (is_new || asked).then_some(Step::Later { day, log });
        }
        asked.then_some(Step::Began(day))
    }

    /// A day was asked for.
    pub fn asked(&mut self, now: UtcNanos, day: u32) {
        self.seen = day;
        self.asked_at = Some(now);
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

    const NOW: UtcNanos = UtcNanos(1_000 * UtcNanos::SECOND);

    #[test]
    fn a_day_that_does_not_get_into_the_log_is_asked_for_again() {
        let mut days = Days::new(20_260_102);
        let at = |ns: u64| UtcNanos(NOW.0 + ns);
        let mut next = |ns, log| days.next(at(ns), 20_260_103, log);
        assert_eq!(next(0, 20_260_102), Some(Step::Ask(20_260_103)));
        days.asked(NOW, 20_260_103);
        let mut next = |ns, log| days.next(at(ns), 20_260_103, log);
        assert_eq!(next(ASK_AGAIN_NS - 1, 20_260_102), None);
        let again = Some(Step::AskAgain(20_260_103));
        assert_eq!(next(ASK_AGAIN_NS, 20_260_102), again);
        // Not without end.
        assert_eq!(next(ASK_AGAIN_NS + 1, 20_260_102), None);
        assert_eq!(next(2 * ASK_AGAIN_NS, 20_260_102), again);
        assert_eq!(
            next(2 * ASK_AGAIN_NS + 1, 20_260_103),
            Some(Step::Began(20_260_103))
        );
        assert_eq!(next(9 * ASK_AGAIN_NS, 20_260_103), None);
    }

    #[test]
    fn a_day_is_said_to_begin_when_the_log_has_it() {
        let mut days = Days::new(20_260_102);
        assert_eq!(days.next(NOW, 20_260_102, 20_260_102), None);
        assert_eq!(
            days.next(NOW, 20_260_103, 20_260_102),
            Some(Step::Ask(20_260_103))
        );
        // There was no room for it.
        assert_eq!(
            days.next(NOW, 20_260_103, 20_260_102),
            Some(Step::Ask(20_260_103))
        );
        days.asked(NOW, 20_260_103);
        assert_eq!(days.next(NOW, 20_260_103, 20_260_102), None);
        assert_eq!(
            days.next(NOW, 20_260_103, 20_260_103),
            Some(Step::Began(20_260_103))
        );
        assert_eq!(days.next(NOW, 20_260_103, 20_260_103), None);
        // Somebody began the next one by hand: nothing is left to do.
        assert_eq!(days.next(NOW, 20_260_103, 20_260_104), None);
        assert_eq!(days.next(NOW, 20_260_104, 20_260_104), None);
    }

    #[test]
    fn a_day_before_that_of_the_log_does_not_begin_and_it_is_said_once() {
        let mut days = Days::new(20_260_102);
        let later = Step::Later {
            day: 20_260_103,
            log: 20_260_109,
        };
        assert_eq!(days.next(NOW, 20_260_103, 20_260_109), Some(later));
        assert_eq!(days.next(NOW, 20_260_103, 20_260_109), None);
        // Also when it came between the question and the answer.
        let mut days = Days::new(20_260_102);
        assert_eq!(
            days.next(NOW, 20_260_103, 20_260_102),
            Some(Step::Ask(20_260_103))
        );
        days.asked(NOW, 20_260_103);
        assert_eq!(days.next(NOW, 20_260_103, 20_260_109), Some(later));
        assert_eq!(days.next(NOW, 20_260_103, 20_260_109), None);
    }

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
