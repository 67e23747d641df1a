//! Rate limits and lockouts that instances share through a real Redis, and what each does alone
//! while it is away.

mod support;

use std::time::{Duration, Instant};

use support::market::Floor;
use support::redis::Redis as Server;
use support::resp::{Reply, Resp};
use trading_engine::store::redis::{RedisThread, RedisUrl};
use trading_engine::store::shared_limits::{Lockout, Rate, SharedLimits};

const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
const RATE: Rate = Rate {
    uses: 10,
    window: HOUR,
};
const RULE: Lockout = Lockout {
    failures: 5,
    window: HOUR,
    locked: HOUR,
    locked_max: HOUR.saturating_mul(3),
};

/// One process of the API.
struct Instance {
    limits: SharedLimits,
    thread: RedisThread,
    /// Its venue.
    _floor: Floor,
}

impl Instance {
    fn start(url: &str, prefix: &str) -> Self {
        let floor = Floor::new(1);
        let url = RedisUrl::parse(url).unwrap();
        let market_data = floor.rig.market_data.clone();
        let thread = RedisThread::start(&url, prefix, market_data).unwrap();
        let instance = Self {
            limits: SharedLimits::new(thread.redis()),
            thread,
            _floor: floor,
        };
        instance.wait(true);
        instance
    }

    fn wait(&self, connected: bool) {
        let begun = Instant::now();
        while self.thread.redis().is_connected() != connected {
            assert!(begun.elapsed() < PATIENCE);
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

fn prefix() -> String {
    format!("te:{{limits-{}}}:", std::process::id())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

#[test]
fn instances_count_together() {
    let server = Server::start();
    let prefix = format!("{}together:", prefix());
    let one = Instance::start(&server.url, &prefix);
    let other = Instance::start(&server.url, &prefix);
    block_on(async {
        for used in 1..=RATE.uses {
            let limits = if used % 2 == 0 { &one } else { &other };
            let allowance = limits.limits.allow("10.0.0.1", RATE).await;
            assert!(allowance.is_allowed);
            assert_eq!(allowance.remaining, RATE.uses - used);
            assert!(allowance.resets_in <= HOUR && allowance.resets_in > HOUR / 2);
        }
        for instance in [&one, &other] {
            let allowance = instance.limits.allow("10.0.0.1", RATE).await;
            assert!(!allowance.is_allowed);
            // Others are not concerned.
            assert!(instance.limits.allow("10.0.0.2", RATE).await.is_allowed);
        }
        // Any name is a key, and none is long.
        let long = "x".repeat(1 << 20);
        assert!(one.limits.allow(&long, RATE).await.is_allowed);
        assert!(one.limits.allow("a\r\nb c\0", RATE).await.is_allowed);
        assert_eq!(one.limits.decided_alone() + other.limits.decided_alone(), 0);
    });
}

#[test]
fn a_lockout_holds_everywhere_and_success_forgets() {
    let server = Server::start();
    let prefix = format!("{}lockout:", prefix());
    let one = Instance::start(&server.url, &prefix);
    let other = Instance::start(&server.url, &prefix);
    block_on(async {
        for _ in 0..2 {
            for failure in 1..RULE.failures {
                let limits = if failure % 2 == 0 { &one } else { &other };
                assert_eq!(limits.limits.failed("mallory", RULE).await, None);
                assert_eq!(one.limits.locked("mallory").await, None);
            }
            // What an instance itself counted is forgotten only where the login succeeded; the
            // common count is what is asked first.
            one.limits.succeeded("mallory").await;
            other.limits.succeeded("mallory").await;
        }
        for _ in 0..RULE.failures {
            one.limits.failed("mallory", RULE).await;
        }
        // A password that was typed as a name is in no key.
        let keys = Resp::connect(&server.url).ask(&["KEYS", &format!("{prefix}*")]);
        let keys: Vec<&str> = keys.list().iter().map(Reply::text).collect();
        let counted = |kind: &str| {
            let begins = format!("{prefix}{kind}:");
            keys.iter().filter(|key| key.starts_with(&begins)).count()
        };
        assert_eq!((counted("failures"), counted("lock")), (1, 1), "{keys:?}");
        assert!(!keys.iter().any(|key| key.contains("mallory")), "{keys:?}");
        for instance in [&one, &other] {
            let locked = instance.limits.locked("mallory").await;
            assert!(locked.is_some_and(|left| left > HOUR / 2), "{locked:?}");
            assert_eq!(instance.limits.locked("alice").await, None);
        }
        // Each further failure doubles the lock, wherever it is.
        assert_eq!(other.limits.failed("mallory", RULE).await, Some(HOUR * 2));
        assert_eq!(one.limits.failed("mallory", RULE).await, Some(HOUR * 3));
        assert!(other.limits.locked("mallory").await > Some(HOUR * 2));
    });
}

#[test]
fn while_redis_is_away_each_counts_alone_and_a_lock_stays() {
    let server = Server::start_own();
    let prefix = prefix();
    let one = Instance::start(&server.url, &prefix);
    let other = Instance::start(&server.url, &prefix);
    block_on(async {
        for _ in 0..RATE.uses {
            assert!(one.limits.allow("10.0.0.1", RATE).await.is_allowed);
        }
        for _ in 0..RULE.failures {
            one.limits.failed("mallory", RULE).await;
        }
    });
    server.down();
    one.wait(false);
    other.wait(false);
    block_on(async {
        let begun = Instant::now();
        assert!(!one.limits.allow("10.0.0.1", RATE).await.is_allowed);
        assert!(one.limits.locked("mallory").await.is_some());
        // The other one has not seen any of it.
        for _ in 0..RATE.uses {
            assert!(other.limits.allow("10.0.0.1", RATE).await.is_allowed);
        }
        assert!(!other.limits.allow("10.0.0.1", RATE).await.is_allowed);
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "nobody waits for a server that is away: {:?}",
            begun.elapsed()
        );
        assert!(one.limits.decided_alone() > 0);
    });
    server.up();
    one.wait(true);
    let begun = Instant::now();
    // It is asked again after a moment, and what it forgot is still known here.
    block_on(async {
        loop {
            let alone = one.limits.decided_alone();
            let locked = one.limits.locked("mallory").await;
            assert!(locked.is_some());
            if one.limits.decided_alone() == alone {
                break;
            }
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn without_redis_windows_end() {
    let limits = SharedLimits::alone();
    let rate = Rate {
        uses: 1,
        window: Duration::from_millis(100),
    };
    block_on(async {
        assert!(limits.allow("a", rate).await.is_allowed);
        let refused = limits.allow("a", rate).await;
        // A machine that is very slow is in the next window already.
        if !refused.is_allowed {
            tokio::time::sleep(refused.resets_in + Duration::from_millis(1)).await;
        }
        let begun = Instant::now();
        while !limits.allow("a", rate).await.is_allowed {
            assert!(begun.elapsed() < PATIENCE);
        }
        assert_eq!(limits.decided_alone(), 0);
    });
}

/// More names than there is room for share one count instead of growing memory.
#[test]
fn a_flood_of_names_limits_itself() {
    let limits = SharedLimits::alone();
    block_on(async {
        let mut refused = 0;
        for name in 0..70_000 {
            let allowance = limits.allow(&format!("name-{name}"), RATE).await;
            refused += u32::from(!allowance.is_allowed);
        }
        let beyond = 70_000 - (1 << 16);
        // The shared count is a key itself.
        assert!((beyond - 20..beyond).contains(&refused), "{refused}");
        assert!(!limits.allow("one more", RATE).await.is_allowed);
        assert!(limits.allow("name-1", RATE).await.is_allowed, "it is known");
    });
}
