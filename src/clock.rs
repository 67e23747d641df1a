//! The only place that asks the machine for the time.
//!
//! Monotonic nanoseconds come from the CPU's counter (`quanta`); UTC is that counter anchored to
//! the system clock and slewed towards it, so that it never steps back and a jump of the system
//! clock is reported instead of followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::SystemTime;

use trading_engine_protocol::types::UtcNanos;

/// A jump of the system clock beyond this is reported.
pub const JUMP_NS: u64 = 250_000_000;
/// Slew at most 1 part in 2^11 (488 ppm), about what the kernel's own discipline allows itself.
const SLEW_SHIFT: u32 = 11;

/// Reads the time. Clones share one time line, whichever thread they are on: the stamps of all
/// stages of a report can be compared.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    line: Arc<Line>,
}

#[derive(Clone, Debug)]
enum Source {
    Machine { counter: quanta::Clock, origin: u64 },
    Manual(Arc<AtomicU64>),
}

/// What makes UTC of monotonic time: an offset, and a correction that is still being worked in.
///
/// Several words that belong together, read without a lock: whoever disciplines makes the version
/// odd, changes them, and makes it even again; a reader that met a change looks again.
#[derive(Debug)]
struct Line {
    version: AtomicU64,
    /// UTC minus monotonic at `since_ns`.
    offset_ns: AtomicU64,
    /// Monotonic time of the last discipline.
    since_ns: AtomicU64,
    /// What the system clock was ahead of us then (two's complement); worked in since.
    ahead_ns: AtomicU64,
}

/// One consistent view of a [`Line`].
#[derive(Clone, Copy)]
struct Correction {
    offset_ns: u64,
    since_ns: u64,
    ahead_ns: i64,
}

impl Correction {
    /// The offset at a monotonic time: it moves towards the system clock at the slew rate, not
    /// beyond it. UTC therefore always grows with monotonic time.
    #[inline]
    fn offset_at(self, monotonic_ns: u64) -> u64 {
        let most = monotonic_ns.saturating_sub(self.since_ns) >> SLEW_SHIFT;
        let step = self.ahead_ns.unsigned_abs().min(most);
        if self.ahead_ns < 0 {
            self.offset_ns.wrapping_sub(step)
        } else {
            self.offset_ns.wrapping_add(step)
        }
    }
}

impl Line {
    fn new(offset_ns: u64) -> Self {
        Self {
            version: AtomicU64::new(0),
            offset_ns: AtomicU64::new(offset_ns),
            since_ns: AtomicU64::new(0),
            ahead_ns: AtomicU64::new(0),
        }
    }

    #[inline]
    fn read(&self) -> Correction {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let correction = self.words();
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                return correction;
            }
            std::hint::spin_loop();
        }
    }

    #[inline]
    fn words(&self) -> Correction {
        Correction {
            offset_ns: self.offset_ns.load(Ordering::Relaxed),
            since_ns: self.since_ns.load(Ordering::Relaxed),
            ahead_ns: self.ahead_ns.load(Ordering::Relaxed).cast_signed(),
        }
    }

    /// Starts a new correction at a monotonic time; `None` when another thread is just doing so.
    /// `system` tells the system's UTC, given nothing else changes the line meanwhile.
    fn correct(&self, now_ns: u64, system: u64) -> Option<(Correction, Correction)> {
        let before = self.version.load(Ordering::Relaxed);
        if before % 2 == 1
            || self
                .version
                .compare_exchange(before, before + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            return None;
        }
        fence(Ordering::Release);
        let old = self.words();
        // Another thread may have disciplined behind our reading of the clock.
        let since_ns = now_ns.max(old.since_ns);
        let offset_ns = old.offset_at(since_ns);
        let new = Correction {
            offset_ns,
            since_ns,
            ahead_ns: system
                .wrapping_sub(now_ns.wrapping_add(offset_ns))
                .cast_signed(),
        };
        self.offset_ns.store(new.offset_ns, Ordering::Relaxed);
        self.since_ns.store(new.since_ns, Ordering::Relaxed);
        self.ahead_ns
            .store(new.ahead_ns.cast_unsigned(), Ordering::Relaxed);
        self.version.store(before + 2, Ordering::Release);
        Some((old, new))
    }
}

/// What [`Clock::discipline`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// System UTC minus ours, ns, before slewing.
    pub ahead_ns: i64,
    /// Whether that is a jump.
    pub jumped: bool,
}

impl Offset {
    fn of(ahead_ns: i64) -> Self {
        Self {
            ahead_ns,
            jumped: ahead_ns.unsigned_abs() > JUMP_NS,
        }
    }
}

impl Clock {
    /// The machine's clock, anchored to the system's UTC now.
    pub fn machine() -> Self {
        let counter = quanta::Clock::new();
        let origin = counter.raw();
        let mut clock = Self {
            source: Source::Machine { counter, origin },
            line: Arc::new(Line::new(0)),
        };
        clock.line = Arc::new(Line::new(system_utc().wrapping_sub(clock.monotonic_ns())));
        clock
    }

    /// A clock that stands still until [`ManualTime::advance`] moves it.
    pub fn manual(utc: UtcNanos) -> (Self, ManualTime) {
        let time = Arc::new(AtomicU64::new(0));
        let clock = Self {
            source: Source::Manual(Arc::clone(&time)),
            line: Arc::new(Line::new(utc.0)),
        };
        (clock, ManualTime(time))
    }

    /// Nanoseconds since this process's clock was made.
    #[inline]
    pub fn monotonic_ns(&self) -> u64 {
        match &self.source {
            Source::Machine { counter, origin } => counter.delta_as_nanos(*origin, counter.raw()),
            Source::Manual(time) => time.load(Ordering::Acquire),
        }
    }

    /// UTC now. It grows; only two threads asking at the same moment may get the same or, by the
    /// skew of their cores' counters, swapped times.
    #[inline]
    pub fn utc_now(&self) -> UtcNanos {
        self.utc_at(self.monotonic_ns())
    }

    /// UTC of a monotonic time read a moment ago.
    #[inline]
    pub fn utc_at(&self, monotonic_ns: u64) -> UtcNanos {
        let offset = self.line.read().offset_at(monotonic_ns);
        UtcNanos(monotonic_ns.wrapping_add(offset))
    }

    /// Housekeeping, at least once a second, on any thread: measures how far the system clock is
    /// ahead and works that in at the slew rate from now on. A jump is logged when it is first
    /// seen, and again when it is over.
    pub fn discipline(&self) -> Offset {
        match self.source {
            Source::Machine { .. } => self.discipline_to(system_utc()),
            Source::Manual(_) => self.offset(),
        }
    }

    /// How far the system clock was ahead at the last discipline, for the metrics.
    pub fn offset(&self) -> Offset {
        Offset::of(self.line.read().ahead_ns)
    }

    fn discipline_to(&self, system: u64) -> Offset {
        let Some((old, new)) = self.line.correct(self.monotonic_ns(), system) else {
            return self.offset();
        };
        let (before, now) = (Offset::of(old.ahead_ns), Offset::of(new.ahead_ns));
        if now.jumped && !before.jumped {
            let ahead_ms = now.ahead_ns / 1_000_000;
            tracing::warn!(
                ahead_ms,
                "the system clock jumped; it is slewed to, not followed"
            );
        } else if before.jumped && !now.jumped {
            tracing::info!("the system clock and ours agree again");
        }
        now
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

    const START: u64 = 1_000_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_jump_is_reported_and_slewed_never_followed() {
        let (clock, time) = Clock::manual(UtcNanos(START));
        time.advance(SECOND);
        let before = clock.utc_now();
        let offset = clock.discipline_to(before.0 - 5 * SECOND);
        assert_eq!(
            offset,
            Offset {
                ahead_ns: -5_000_000_000,
                jumped: true
            }
        );
        // The jump itself moves nothing; a second later the clock is late by its slew.
        assert_eq!(clock.utc_now(), before);
        time.advance(SECOND);
        assert_eq!(
            clock.utc_now().0,
            before.0 + SECOND - (SECOND >> SLEW_SHIFT)
        );
        let offset = clock.discipline_to(clock.utc_now().0 + 100);
        assert_eq!(
            offset,
            Offset {
                ahead_ns: 100,
                jumped: false
            }
        );
        assert_eq!(clock.offset(), offset);
    }

    #[test]
    fn a_correction_is_worked_in_and_ends_at_the_system_clock() {
        let (clock, time) = Clock::manual(UtcNanos(START));
        for ahead in [1_000i64, -1_000] {
            let target = clock.utc_now().0.wrapping_add_signed(ahead);
            clock.discipline_to(target);
            time.advance(1 << SLEW_SHIFT);
            let one_later = target.wrapping_add_signed(-ahead + ahead.signum());
            assert_eq!(clock.utc_now().0, one_later + (1 << SLEW_SHIFT));
            time.advance(SECOND);
            assert_eq!(clock.utc_now().0, target + (1 << SLEW_SHIFT) + SECOND);
        }
    }

    #[test]
    fn time_grows_through_any_series_of_corrections() {
        let (clock, time) = Clock::manual(UtcNanos(START));
        let mut seed = 11u64;
        let mut last = clock.utc_now();
        for _ in 0..100_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let wrong = (seed >> 40).cast_signed() - (1 << 23);
            if seed.is_multiple_of(3) {
                clock.discipline_to(clock.utc_now().0.wrapping_add_signed(wrong));
                assert!(clock.utc_now() >= last, "a correction moved the time back");
            }
            time.advance(seed >> 44);
            let now = clock.utc_now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn clones_on_other_threads_share_the_time_line() {
        let (clock, time) = Clock::manual(UtcNanos(START));
        let others: Vec<_> = (0..3)
            .map(|_| {
                let clock = clock.clone();
                std::thread::spawn(move || {
                    let mut last = clock.utc_now();
                    for _ in 0..20_000 {
                        let now = clock.utc_now();
                        assert!(now >= last, "{now:?} behind {last:?}");
                        last = now;
                        clock.discipline_to(now.0 + 1_000);
                    }
                })
            })
            .collect();
        for _ in 0..20_000 {
            time.advance(1_000);
            clock.discipline_to(clock.utc_now().0 - 1_000);
        }
        for other in others {
            other.join().unwrap();
        }
        let before = clock.utc_now();
        let other = clock.clone();
        clock.discipline_to(before.0 + SECOND);
        time.advance(1 << SLEW_SHIFT);
        assert_eq!(other.utc_now(), clock.utc_now());
        assert_eq!(other.utc_now().0, before.0 + (1 << SLEW_SHIFT) + 1);
    }

    #[test]
    fn machine_time_grows_and_is_near_the_system() {
        let clock = Clock::machine();
        let mut last = clock.utc_now();
        for _ in 0..10_000 {
            let now = clock.utc_now();
            assert!(now >= last);
            last = now;
        }
        assert!(last.0.abs_diff(system_utc()) < JUMP_NS);
        assert!(!clock.discipline().jumped);
    }
}
