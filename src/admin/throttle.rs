//! How often the admin API may be asked, and how often a login may fail. Counted in `store::shared_limits`:
//! by all instances together where they share a Redis, else by this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::store::shared_limits::{Lockout, Rate, SharedLimits};

/// Five wrong passwords of a name from one address in five minutes lock that pair.
const OF_NAME: Lockout = Lockout {
    failures: 5,
    window: Duration::from_secs(300),
    locked: Duration::from_secs(60),
    locked_max: Duration::from_secs(900),
};
/// Whatever the names: an address that guesses is locked, too.
const OF_ADDRESS: Lockout = Lockout {
    failures: 30,
    window: Duration::from_secs(300),
    locked: Duration::from_secs(300),
    locked_max: Duration::from_secs(900),
};

/// Bounds of requests and logins.
#[derive(Clone, Debug)]
pub struct Throttle {
    limits: SharedLimits,
    rate: Rate,
    logins_refused: Arc<AtomicU64>,
}

impl Throttle {
    /// So many requests a minute for each user, and for each address without a valid token.
    pub fn new(limits: SharedLimits, per_minute: u32) -> Self {
        let rate = Rate {
            uses: per_minute.into(),
            window: Duration::from_secs(60),
        };
        Self {
            limits,
            rate,
            logins_refused: Arc::default(),
        }
    }

    /// One more request of this user or address. `Err`: not now, after so long again.
    ///
    /// # Errors
    /// There were too many.
    pub async fn take(&self, whose: &str) -> Result<(), Duration> {
        let allowance = self.limits.allow(whose, self.rate).await;
        if allowance.is_allowed {
            Ok(())
        } else {
            Err(allowance.resets_in)
        }
    }

    /// How long logins of a name from an address are not looked at.
    pub async fn locked(&self, address: &str, name: &str) -> Option<Duration> {
        let of_name = self.limits.locked(&pair(address, name)).await;
        let of_address = self.limits.locked(&alone(address)).await;
        of_name.max(of_address)
    }

    /// A login failed.
    pub async fn failed(&self, address: &str, name: &str) {
        self.logins_refused.fetch_add(1, Ordering::Relaxed);
        self.limits.failed(&pair(address, name), OF_NAME).await;
        self.limits.failed(&alone(address), OF_ADDRESS).await;
    }

    /// A login was right: what failed of this name from there before is forgotten.
    pub async fn succeeded(&self, address: &str, name: &str) {
        self.limits.succeeded(&pair(address, name)).await;
    }

    /// Logins that failed since the start.
    pub fn logins_refused(&self) -> u64 {
        self.logins_refused.load(Ordering::Relaxed)
    }

    /// Uses that were decided here because Redis did not answer.
    pub fn decided_alone(&self) -> u64 {
        self.limits.decided_alone()
    }
}

fn pair(address: &str, name: &str) -> String {
    format!("login:{address}:{name}")
}

fn alone(address: &str) -> String {
    format!("login:{address}")
}
