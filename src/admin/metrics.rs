//! What the side ports and what they lean on count, as sources of metrics: requests, the database and the
//! projector into it, Redis, the market-data agent. A look reads counters and waits for nobody.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::RoomCounts;
use super::api::{CLASSES, RequestMetrics, Streams};
use super::known_users::KnownUsers;
use super::throttle::Throttle;
use crate::market_data::feed::MarketData;
use crate::metric_names as names;
use crate::store::Store;
use crate::store::projector;
use crate::store::queries::Kind;
use crate::store::redis::Redis;
use crate::telemetry::{Exposition, Source};

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Requests.
#[derive(Debug)]
pub struct Http {
    /// By route.
    pub requests: RequestMetrics,
    /// Connections that found no room.
    pub room: RoomCounts,
    /// What counts wrong logins.
    pub throttle: Throttle,
    /// Who follows.
    pub streams: Arc<Streams>,
}

impl Source for Http {
    fn render(&self, out: &mut Exposition) {
        let all = self.requests.all();
        for ((method, route), counts) in &all {
            let classes = CLASSES.iter().zip(&counts.classes);
            out.series(
                &names::HTTP_REQUESTS,
                classes.map(|(class, count)| ([method.as_str(), route, class], read(count))),
            );
        }
        out.series(
            &names::HTTP_TIME,
            all.iter()
                .map(|((method, route), counts)| ([method.as_str(), route], &counts.times)),
        );
        let at_work: u64 = all.iter().map(|(_, counts)| read(&counts.at_work)).sum();
        out.value(&names::HTTP_IN_FLIGHT, at_work);
        out.value(&names::HTTP_STREAMS, self.streams.count());
        out.value(&names::HTTP_DISPLACED, read(&self.room.displaced));
        out.value(&names::HTTP_REFUSED, read(&self.room.refused));
        let limited = read(&self.requests.rate_limited);
        out.value(&names::HTTP_RATE_LIMITED, limited);
        let refused = self.throttle.logins_refused();
        out.value(&names::HTTP_LOGINS_REFUSED, refused);
    }
}

/// The database: its pool, and how far history is.
#[derive(Debug)]
pub struct Database {
    /// Whose pool.
    pub store: Store,
    /// Console users.
    pub people: Arc<KnownUsers>,
    /// The projector.
    pub history: projector::Status,
}

impl Source for Database {
    fn render(&self, out: &mut Exposition) {
        let pool = self.store.pool_state();
        let idle = u64::from(pool.idle);
        let used = u64::from(pool.connections).saturating_sub(idle);
        out.series(
            &names::DATABASE_CONNECTIONS,
            [(["idle"], idle), (["used"], used)],
        );
        let (store, history) = (self.store.queries(), self.history.queries());
        let kinds = || {
            let of_store = Kind::OF_STORE.map(|kind| (kind, store));
            of_store
                .into_iter()
                .chain(Kind::OF_PROJECTOR.map(|kind| (kind, history)))
        };
        out.series(
            &names::DATABASE_TIME,
            kinds().map(|(kind, of)| ([kind.name()], of.times(kind))),
        );
        out.series(
            &names::DATABASE_ERRORS,
            kinds().map(|(kind, of)| ([kind.name()], of.errors(kind))),
        );
        out.value(&names::USERS_FROM_COPY, self.people.from_copy());
        let age = self.people.age().map(|age| ([""; 0], age.as_secs_f64()));
        out.series(&names::USERS_COPY_AGE, age);
        let figures = self.history.figures();
        let is_up = self.history.state() == projector::State::Running;
        out.value(&names::PROJECTOR_UP, is_up);
        out.value(&names::PROJECTOR_SEQUENCE, figures.sequence);
        out.value(&names::PROJECTOR_LAG, figures.lag_sequences);
        out.value(&names::PROJECTOR_LAG_TIME, figures.lag_seconds);
        out.value(&names::PROJECTOR_EVENTS, figures.events);
        out.value(&names::PROJECTOR_ROWS, figures.rows);
        out.value(&names::PROJECTOR_BATCHES, figures.batches);
        out.value(&names::PROJECTOR_RETRIES, figures.failures);
    }
}

/// Redis, where there is one.
#[derive(Debug)]
pub struct Cache {
    /// The connection.
    pub redis: Redis,
    /// Whose limits are shared through it.
    pub throttle: Throttle,
}

impl Source for Cache {
    fn render(&self, out: &mut Exposition) {
        let Some(counters) = self.redis.counters() else {
            return;
        };
        out.value(&names::REDIS_UP, self.redis.is_connected());
        out.value(&names::REDIS_SEQUENCE, read(&counters.sequence));
        out.value(&names::REDIS_UPDATES, read(&counters.updates));
        out.value(&names::REDIS_TRADES, read(&counters.trades));
        out.value(&names::REDIS_MISSED, read(&counters.trades_missed));
        out.value(&names::REDIS_SESSIONS, read(&counters.sessions));
        out.value(&names::REDIS_ERRORS, read(&counters.failures));
        let alone = self.throttle.decided_alone();
        out.value(&names::REDIS_LIMITS_ALONE, alone);
    }
}

/// The market-data agent.
pub struct Feed {
    /// What it publishes.
    pub market_data: MarketData,
    /// Last durable Sequence.
    pub durable: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl Source for Feed {
    fn render(&self, out: &mut Exposition) {
        let of = &self.market_data;
        let sequence = of.sequence();
        out.value(&names::MARKET_DATA_SEQUENCE, sequence);
        let lag = (self.durable)().saturating_sub(sequence);
        out.value(&names::MARKET_DATA_LAG, lag);
        out.value(&names::MARKET_DATA_EVENTS, of.events());
        out.value(&names::MARKET_DATA_PUBLICATIONS, of.publications());
        out.value(&names::MARKET_DATA_TRADES, of.tape_records());
    }
}
