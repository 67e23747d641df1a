//! The admin API's throttle over all instances of the venue, when there is a Redis. Rates are counted by
//! the minute of a key's first request; locks are as `throttle`'s are.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::throttle::{FAILURES_MAX, FAILURES_TIME, LOCK_TIME, LOCK_TIME_MAX, Throttle};
use crate::store::shared_limits::{Lockout, Rate, SharedLimits};

const MINUTE: Duration = Duration::from_secs(60);
const RULE: Lockout = Lockout {
    failures: FAILURES_MAX as u64,
    window: FAILURES_TIME,
    locked: LOCK_TIME,
    locked_max: LOCK_TIME_MAX,
};

impl Throttle for SharedLimits {
    fn take<'a>(&'a self, key: &'a str, per_minute: u32) -> BoxFuture<'a, bool> {
        let rate = Rate {
            uses: per_minute.into(),
            window: MINUTE,
        };
        Box::pin(async move { self.allow(key, rate).await.is_allowed })
    }

    fn locked_for<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<Duration>> {
        Box::pin(self.locked(key))
    }

    fn failed<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            Self::failed(self, key, RULE).await;
        })
    }

    fn succeeded<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(Self::succeeded(self, key))
    }
}
