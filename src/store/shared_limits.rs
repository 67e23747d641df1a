//! Rate limits and login lockouts that all instances of the venue's API share: counted in Redis
//! when there is one and it answers, and always in this process, which goes on alone, with what it
//! knows, while Redis is away.
//!
//! Windows are fixed: they begin with a key's first use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::config::Options;
use fred::types::{Expiration, SetOptions, Value};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::redis::Redis;

/// Keys counted in this process. Full: what ended is forgotten; what is still new is counted
/// together under one key, so a flood of names limits itself.
const KEYS_MAX: usize = 1 << 16;
/// Longest wait for Redis.
const ANSWER_TIME: Duration = Duration::from_millis(250);
/// After a wait in vain Redis is not asked for so long.
const PAUSE: Duration = Duration::from_secs(1);
/// What is counted together when there is no room.
const OVERFLOW: &str = "overflow";

/// How many uses in how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Uses in a window.
    pub uses: u64,
    /// How long it is.
    pub window: Duration,
}

/// After how many failures something is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// Failures that lock; each further one doubles the lock.
    pub failures: u64,
    /// How long failures are remembered, from the first one, and from the end of a lock.
    pub window: Duration,
    /// The first lock.
    pub locked: Duration,
    /// No lock is longer.
    pub locked_max: Duration,
}

impl Lockout {
    fn lock(&self, failures: u64) -> Option<Duration> {
        let beyond = failures.checked_sub(self.failures)?;
        let doubled = self.locked.saturating_mul(1 << beyond.min(20));
        Some(doubled.min(self.locked_max))
    }
}

/// Whether a use is within its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// It is.
    pub is_allowed: bool,
    /// Uses left in the window.
    pub remaining: u64,
    /// When the next window can begin.
    pub resets_in: Duration,
}

/// A key's window in this process.
#[derive(Clone, Copy)]
struct Window {
    count: u64,
    ends: Instant,
}

/// See the top of the file. Clones are the same.
#[derive(Clone, Debug)]
pub struct SharedLimits {
    redis: Option<Redis>,
    local: Arc<Local>,
}

struct Local {
    began: Instant,
    windows: Mutex<HashMap<String, Window>>,
    /// Milliseconds since `began` until which Redis is not asked.
    not_before: AtomicU64,
    /// Answers that came from this process alone though there is a Redis.
    alone: AtomicU64,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

impl SharedLimits {
    /// Shared through `redis`.
    pub fn new(redis: Redis) -> Self {
        Self::with(Some(redis))
    }

    /// Of this process alone.
    pub fn alone() -> Self {
        Self::with(None)
    }

    fn with(redis: Option<Redis>) -> Self {
        Self {
            redis,
            local: Arc::new(Local {
                began: Instant::now(),
                windows: Mutex::default(),
                not_before: AtomicU64::new(0),
                alone: AtomicU64::new(0),
            }),
        }
    }

    /// How often this process decided alone though there is a Redis.
    pub fn decided_alone(&self) -> u64 {
        self.local.alone.load(Ordering::Relaxed)
    }

    /// Counts a use of `name` and says whether it is within `rate`.
    pub async fn allow(&self, name: &str, rate: Rate) -> Allowance {
        let key = key("rate", name);
        let here = self.local.count(&key, rate.window);
        let (count, ends_in) = match self.count_there(&key, rate.window).await {
            Some(there) => there,
            None => here,
        };
        Allowance {
            is_allowed: count <= rate.uses,
            remaining: rate.uses.saturating_sub(count),
            resets_in: ends_in,
        }
    }

    /// For how long `name` is locked still, `None` = it is not.
    pub async fn locked(&self, name: &str) -> Option<Duration> {
        let key = key("lock", name);
        // A lock that this process set while Redis was away holds here.
        let here = self.local.look(&key);
        here.max(self.look_there(&key).await)
    }

    /// A login as `name` failed: for how long it is locked now, `None` = it is not.
    pub async fn failed(&self, name: &str, rule: Lockout) -> Option<Duration> {
        let failures = key("failures", name);
        let here = self.local.count(&failures, rule.window).0;
        let there = self.count_there(&failures, rule.window).await;
        let count = there.map_or(here, |there| there.0.max(here));
        let locked = rule.lock(count)?;
        let lock = key("lock", name);
        let remembered = rule.window.max(locked.saturating_add(rule.window));
        self.local.extend(&failures, count, remembered);
        self.local.extend(&lock, 1, locked);
        self.lock_there(&failures, remembered, &lock, locked).await;
        Some(locked)
    }

    /// A login as `name` succeeded: its failures are forgotten.
    pub async fn succeeded(&self, name: &str) {
        let keys = [key("failures", name), key("lock", name)];
        keys.iter().for_each(|key| self.local.forget(key));
        let [failures, lock] = keys;
        let (Some((client, failures)), Some((_, lock))) =
            (self.there(&failures), self.there(&lock))
        else {
            return;
        };
        let asked = client.del::<(), _>(vec![failures, lock]);
        let done = timeout(ANSWER_TIME, asked).await;
        self.judge(done.map(|done| done.is_ok()));
    }

    fn there(
        &self,
        key: &str,
    ) -> Option<(fred::clients::WithOptions<fred::clients::Client>, String)> {
        let (client, prefix) = self.redis.as_ref()?.client()?;
        let now = self.local.began.elapsed().as_millis();
        if now < u128::from(self.local.not_before.load(Ordering::Relaxed)) {
            self.local.alone.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some((client.with_options(&options()), format!("{prefix}{key}")))
    }

    /// Notes whether Redis answered: `Err` = not in time.
    fn judge<E>(&self, answered: Result<bool, E>) -> bool {
        if matches!(answered, Ok(true)) {
            return true;
        }
        self.local.alone.fetch_add(1, Ordering::Relaxed);
        let until = (self.local.began.elapsed() + PAUSE).as_millis();
        let until = u64::try_from(until).unwrap_or(u64::MAX);
        self.local.not_before.store(until, Ordering::Relaxed);
        false
    }

    async fn count_there(&self, key: &str, window: Duration) -> Option<(u64, Duration)> {
        let (client, key) = self.there(key)?;
        let asked = async {
            let pipeline = client.pipeline().with_options(&options());
            let begins = Some(Expiration::PX(milliseconds(window)));
            let () = pipeline
                .set(&key, 0, begins, Some(SetOptions::NX), false)
                .await?;
            let () = pipeline.incr(&key).await?;
            let () = pipeline.pttl(&key).await?;
            // The first answer is OK or nothing.
            let (_, count, left): (Value, i64, i64) = pipeline.all().await?;
            if left < 0 {
                // It ended between the two, and began anew without an end.
                let () = client.pexpire(&key, milliseconds(window), None).await?;
            }
            let left = u64::try_from(left).map_or(window, Duration::from_millis);
            Ok::<_, fred::error::Error>((u64::try_from(count).unwrap_or(0), left))
        };
        let answer = timeout(ANSWER_TIME, asked).await;
        self.judge(answer.as_ref().map(Result::is_ok));
        answer.ok()?.ok()
    }

    async fn look_there(&self, key: &str) -> Option<Duration> {
        let (client, key) = self.there(key)?;
        let answer = timeout(ANSWER_TIME, client.pttl::<i64, _>(&key)).await;
        self.judge(answer.as_ref().map(Result::is_ok));
        // Less than nothing: there is no such key.
        let left = u64::try_from(answer.ok()?.ok()?).ok()?;
        Some(Duration::from_millis(left))
    }

    async fn lock_there(&self, failures: &str, remembered: Duration, lock: &str, locked: Duration) {
        let (Some((client, failures)), Some((_, lock))) = (self.there(failures), self.there(lock))
        else {
            return;
        };
        let asked = async {
            let pipeline = client.pipeline().with_options(&options());
            let () = pipeline
                .pexpire(&failures, milliseconds(remembered), None)
                .await?;
            let ends = Some(Expiration::PX(milliseconds(locked)));
            let () = pipeline.set(&lock, 1, ends, None, false).await?;
            pipeline.all::<Value>().await
        };
        let done = timeout(ANSWER_TIME, asked).await;
        self.judge(done.map(|done| done.is_ok()));
    }
}

fn options() -> Options {
    Options {
        max_attempts: Some(1),
        timeout: Some(ANSWER_TIME),
        fail_fast: true,
        ..Options::default()
    }
}

fn milliseconds(of: Duration) -> i64 {
    i64::try_from(of.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// Names come from strangers, and one may be a password that was typed into the wrong field: a key is short,
/// and shows none of them.
fn key(kind: &str, name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}:{hex}")
}

impl Local {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, Window>, Instant) -> T) -> T {
        let now = Instant::now();
        work(
            &mut self.windows.lock().unwrap_or_else(PoisonError::into_inner),
            now,
        )
    }

    fn count(&self, key: &str, window: Duration) -> (u64, Duration) {
        self.with(|windows, now| {
            if windows.len() >= KEYS_MAX && !windows.contains_key(key) {
                windows.retain(|_, window| window.ends > now);
            }
            let full = windows.len() >= KEYS_MAX && !windows.contains_key(key);
            let key = if full { OVERFLOW } else { key };
            let new = Window {
                count: 0,
                ends: now + window,
            };
            let known = windows.entry(key.to_owned()).or_insert(new);
            if known.ends <= now {
                *known = new;
            }
            known.count += 1;
            (known.count, known.ends - now)
        })
    }

    /// How long a key lasts still.
    fn look(&self, key: &str) -> Option<Duration> {
        self.with(|windows, now| {
            let known = windows.get(key).filter(|window| window.ends > now);
            known.map(|window| window.ends - now)
        })
    }

    /// A key has this count, and lasts for so long from now on.
    fn extend(&self, key: &str, count: u64, by: Duration) {
        self.with(|windows, now| {
            if windows.len() < KEYS_MAX || windows.contains_key(key) {
                let ends = now + by;
                windows.insert(key.to_owned(), Window { count, ends });
            }
        });
    }

    fn forget(&self, key: &str) {
        self.with(|windows, _| windows.remove(key));
    }
}
