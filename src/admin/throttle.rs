//! How often the admin API may be asked, and how often a login may fail.
//!
//! Behind one small trait, because several instances may share it through a cache. Here it is this
//! process's own memory, which is also what holds while the cache is down.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::clock::Clock;

/// Failures of a key in [`FAILURES_TIME`] after which it is locked.
const FAILURES_MAX: u32 = 5;
const FAILURES_TIME: Duration = Duration::from_secs(300);
/// The first lock; each further failure doubles it.
const LOCK_TIME: Duration = Duration::from_secs(15);
const LOCK_TIME_MAX: Duration = Duration::from_secs(900);
/// Keys remembered; at the bound those that matter least are forgotten.
const KEYS_MAX: usize = 16_384;

/// Counts requests and failed logins by key.
pub trait Throttle: Send + Sync {
    /// Takes one of `per_minute` requests of a key. `false`: there are none left now.
    fn take<'a>(&'a self, key: &'a str, per_minute: u32) -> BoxFuture<'a, bool>;
    /// How long a key is locked still.
    fn locked_for<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<Duration>>;
    /// A login of this key failed.
    fn failed<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()>;
    /// A login of this key was right: what failed before is forgotten.
    fn succeeded<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()>;
}

#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    /// ns.
    first_at: u64,
    /// ns.
    locked_until: u64,
}

#[derive(Debug, Default)]
struct Known {
    /// When the bucket of a key is empty again, ns.
    buckets: HashMap<String, u64>,
    failures: HashMap<String, Failures>,
}

/// In this process's memory.
#[derive(Debug)]
pub struct MemoryThrottle {
    clock: Clock,
    known: Mutex<Known>,
}

impl MemoryThrottle {
    /// Nothing is counted yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            known: Mutex::default(),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known, u64) -> T) -> T {
        let now = self.clock.monotonic_ns();
        work(
            &mut self.known.lock().unwrap_or_else(PoisonError::into_inner),
            now,
        )
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes room for one more key: first what is over, then, if that is not enough, all.
fn make_room<T>(keys: &mut HashMap<String, T>, is_over: impl Fn(&T) -> bool) {
    if keys.len() >= KEYS_MAX {
        keys.retain(|_, value| !is_over(value));
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
    }
}

impl Throttle for MemoryThrottle {
    fn take<'a>(&'a self, key: &'a str, per_minute: u32) -> BoxFuture<'a, bool> {
        let taken = self.with(|known, now| {
            make_room(&mut known.buckets, |until| *until <= now);
            let each = 60_000_000_000 / u64::from(per_minute.max(1));
            // A quarter of a minute's requests may come at once.
            let full = each * u64::from((per_minute / 4).max(1));
            let until = known.buckets.get(key).copied().unwrap_or(0).max(now);
            let taken = until - now <= full - each;
            if taken {
                known.buckets.insert(key.to_owned(), until + each);
            }
            taken
        });
        Box::pin(std::future::ready(taken))
    }

    fn locked_for<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<Duration>> {
        let locked = self.with(|known, now| {
            let until = known.failures.get(key)?.locked_until;
            (until > now).then(|| Duration::from_nanos(until - now))
        });
        Box::pin(std::future::ready(locked))
    }

    fn failed<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()> {
        self.with(|known, now| {
            let is_over = |failures: &Failures| {
                let end = failures.first_at.saturating_add(ns(FAILURES_TIME));
                failures.locked_until.max(end) <= now
            };
            make_room(&mut known.failures, is_over);
            let failures = known.failures.entry(key.to_owned()).or_default();
            if failures.count == 0 || is_over(failures) {
                *failures = Failures {
                    first_at: now,
                    ..Failures::default()
                };
            }
            failures.count += 1;
            if let Some(beyond) = failures.count.checked_sub(FAILURES_MAX) {
                let doubled = ns(LOCK_TIME).saturating_mul(1 << beyond.min(10));
                failures.locked_until = now + doubled.min(ns(LOCK_TIME_MAX));
            }
        });
        Box::pin(std::future::ready(()))
    }

    fn succeeded<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()> {
        self.with(|known, _| known.failures.remove(key));
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trading_engine_protocol::types::UtcNanos;

    /// These futures are ready as they are made.
    fn now<T>(future: BoxFuture<'_, T>) -> T {
        futures_util::FutureExt::now_or_never(future).expect("memory does not wait")
    }

    #[test]
    fn five_failures_lock_for_longer_and_longer_and_a_right_login_forgets_them() {
        let (clock, time) = Clock::manual(UtcNanos(0));
        let throttle = MemoryThrottle::new(clock);
        for _ in 0..4 {
            now(throttle.failed("a"));
            assert_eq!(now(throttle.locked_for("a")), None);
        }
        now(throttle.failed("a"));
        assert_eq!(now(throttle.locked_for("a")), Some(LOCK_TIME));
        assert_eq!(now(throttle.locked_for("b")), None, "of another key");
        time.advance(ns(LOCK_TIME));
        assert_eq!(now(throttle.locked_for("a")), None);
        now(throttle.failed("a"));
        assert_eq!(now(throttle.locked_for("a")), Some(LOCK_TIME * 2));
        for _ in 0..20 {
            now(throttle.failed("a"));
        }
        assert_eq!(now(throttle.locked_for("a")), Some(LOCK_TIME_MAX));
        now(throttle.succeeded("a"));
        assert_eq!(now(throttle.locked_for("a")), None);
    }

    #[test]
    fn a_minute_has_as_many_requests_as_it_should() {
        let (clock, time) = Clock::manual(UtcNanos(0));
        let throttle = MemoryThrottle::new(clock);
        let burst = (0..100).filter(|_| now(throttle.take("a", 120))).count();
        assert_eq!(burst, 30);
        assert!(now(throttle.take("b", 120)), "another key has its own");
        time.advance(1_000_000_000);
        let more = (0..100).filter(|_| now(throttle.take("a", 120))).count();
        assert_eq!(more, 2);
    }
}
