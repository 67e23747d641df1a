//! The only place that asks the machine for the time.
//!
//! Monotonic nanoseconds come from the CPU's counter (`quanta`); UTC is that counter anchored to
//! the system clock and slewed towards it, so that it never steps back and a jump of the system
//! clock is reported instead of followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use trading_engine_protocol::types::UtcNanos;

/// A jump of the system clock beyond this is reported.
pub const JUMP_NS: u64 = 250_000_000;
/// Slew at most 1 part in 2,000 (500 ppm), as the kernel's own discipline does.
const SLEW_DIVISOR: u64 = 2_000;

/// Reads the time. Each thread has its own; clones of a manual clock share one time.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    /// UTC minus monotonic, slewed; wraps around zero only before 1970.
    offset_ns: u64,
    /// Monotonic time of the last discipline.
    disciplined_at: u64,
}

#[derive(Clone, Debug)]
enum Source {
    Machine {
        counter: quanta::Clock,
        origin: quanta::Instant,
    },
    Manual(Arc<AtomicU64>),
}

/// What [`Clock::discipline`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// System UTC minus ours, ns, before slewing.
    pub ahead_ns: i64,
    /// Whether that is a jump.
    pub jumped: bool,
}

impl Clock {
    /// The machine's clock, anchored to the system's UTC now.
    pub fn machine() -> Self {
        let counter = quanta::Clock::new();
        let origin = counter.now();
        let mut clock = Self {
            source: Source::Machine { counter, origin },
            offset_ns: 0,
            disciplined_at: 0,
        };
        clock.offset_ns = system_utc().wrapping_sub(clock.monotonic_ns());
        clock.disciplined_at = clock.monotonic_ns();
        clock
    }

    /// A clock that stands still until [`ManualTime::advance`] moves it.
    pub fn manual(utc: UtcNanos) -> (Self, ManualTime) {
        let time = Arc::new(AtomicU64::new(0));
        let clock = Self {
            source: Source::Manual(Arc::clone(&time)),
            offset_ns: utc.0,
            disciplined_at: 0,
        };
        (clock, ManualTime(time))
    }

    /// Nanoseconds since this process's clock was made.
    #[inline]
    pub fn monotonic_ns(&self) -> u64 {
        match &self.source {
            #[allow(clippy::cast_possible_truncation, reason = "2^64 ns are 584 years")]
            Source::Machine { counter, origin } => {
                counter.now().saturating_duration_since(*origin).as_nanos() as u64
            }
            Source::Manual(time) => time.load(Ordering::Acquire),
        }
    }

    /// UTC now.
    #[inline]
    pub fn utc_now(&self) -> UtcNanos {
        self.utc_at(self.monotonic_ns())
    }

    /// UTC of a monotonic time read a moment ago.
    #[inline]
    pub fn utc_at(&self, monotonic_ns: u64) -> UtcNanos {
        UtcNanos(monotonic_ns.wrapping_add(self.offset_ns))
    }

    /// Housekeeping, about once a second: moves the offset towards the system clock by at most
    /// 500 ppm of the time since the last call.
    pub fn discipline(&mut self) -> Offset {
        match self.source {
            Source::Machine { .. } => self.discipline_to(system_utc()),
            Source::Manual(_) => Offset {
                ahead_ns: 0,
                jumped: false,
            },
        }
    }

    fn discipline_to(&mut self, system: u64) -> Offset {
        let now = self.monotonic_ns();
        let ahead_ns = system.wrapping_sub(self.utc_at(now).0).cast_signed();
        let most = (now - self.disciplined_at) / SLEW_DIVISOR;
        let step = ahead_ns.unsigned_abs().min(most);
        self.offset_ns = if ahead_ns < 0 {
            self.offset_ns.wrapping_sub(step)
        } else {
            self.offset_ns.wrapping_add(step)
        };
        self.disciplined_at = now;
        Offset {
            ahead_ns,
            jumped: ahead_ns.unsigned_abs() > JUMP_NS,
        }
    }
}

/// Moves a manual clock.
#[derive(Clone, Debug)]
pub struct ManualTime(Arc<AtomicU64>);

impl ManualTime {
    /// Lets `ns` nanoseconds pass.
    pub fn advance(&self, ns: u64) {
        self.0.fetch_add(ns, Ordering::AcqRel);
    }
}

fn system_utc() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_reported_and_slewed_never_followed() {
        let start = 1_000_000_000_000;
        let (mut clock, time) = Clock::manual(UtcNanos(start));
        time.advance(1_000_000_000);
        let before = clock.utc_now();
        let offset = clock.discipline_to(before.0 - 5_000_000_000);
        assert_eq!(
            offset,
            Offset {
                ahead_ns: -5_000_000_000,
                jumped: true
            }
        );
        // One second allows half a millisecond of slew; over the next second time still grows.
        time.advance(1_000_000_000);
        assert_eq!(clock.utc_now().0, before.0 + 1_000_000_000 - 500_000);
        let offset = clock.discipline_to(clock.utc_now().0 + 100);
        assert_eq!(
            offset,
            Offset {
                ahead_ns: 100,
                jumped: false
            }
        );
    }

    #[test]
    fn machine_time_grows_and_is_near_the_system() {
        let clock = Clock::machine();
        let first = clock.utc_now();
        assert!(clock.utc_now() >= first);
        assert!(first.0.abs_diff(system_utc()) < JUMP_NS);
    }
}
