//! The side ports: health, books and the admin API on one, metrics on the other. Asks the venue through a
//! plain struct of closures and never holds anything the hot threads wait for.
//!
//! * `server`: connections, routes, what is around every request; `places`: whose connections there is room
//!   for; `proxies`: where they come from; `health`: what the venue leans on
//! * `metrics`: what requests, database, cache and feed count, as a scrape shows it
//! * `api`: the admin API; `auth`, `users`, `known_users`, `throttle`: who may use it, and how often
//! * `desk`: changes as audited commands, and their outcome; `mirror`: reference data to read

pub mod api;
pub mod auth;
mod console;
pub mod desk;
pub mod health;
pub mod known_users;
pub mod metrics;
pub mod mirror;
mod places;
pub mod proxies;
mod server;
pub mod throttle;
pub mod users;

pub use server::serve;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use api::RequestMetrics;
pub use places::RoomCounts;

use crate::market_data::feed::MarketData;
use crate::telemetry::Profiles;

/// What the ports may know. They answer from before the venue is recovered: until
/// [`AdminState::show`] they say that it is starting.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// Whether the venue takes sessions.
    pub readiness: Readiness,
    about: About,
    /// On the metrics port.
    profiles: Profiles,
    venue: Arc<OnceLock<View>>,
    /// Counts of requests.
    pub requests: RequestMetrics,
    /// Counts of connections that found no room.
    pub room: RoomCounts,
}

/// What is known of a venue before it runs.
#[derive(Clone, Debug)]
pub struct About {
    /// `ENV`.
    pub environment: String,
    /// `JOURNAL_POLICY`.
    pub journal_policy: String,
    /// `TOPOLOGY`.
    pub topology: String,
    /// `TRUSTED_PROXIES`.
    pub trusted_proxies: proxies::TrustedProxies,
    /// When the program started.
    pub started: Instant,
}

/// What the ports see of a running venue.
#[derive(Clone)]
pub struct View {
    /// Where the log stands, read on demand.
    pub log: Arc<dyn Fn() -> Log + Send + Sync>,
    /// Prometheus text, made on demand.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Books, trades and statistics.
    pub market_data: MarketData,
    /// The admin API; `None`: there is none.
    pub api: Option<Arc<api::Api>>,
    /// SQL.
    pub database: health::Ping,
    /// The cache.
    pub redis: health::Ping,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

/// Where the log stands.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Last Sequence written.
    pub sequence: u64,
    /// Last durable Sequence.
    pub durable_sequence: u64,
    /// Why nothing is acknowledged any more.
    pub failure: Option<String>,
}

impl AdminState {
    /// Of a venue that is starting.
    pub fn new(about: About, profiles: Profiles) -> Self {
        Self {
            readiness: Readiness::default(),
            about,
            profiles,
            venue: Arc::default(),
            requests: RequestMetrics::default(),
            room: RoomCounts::default(),
        }
    }

    /// The venue runs. Once.
    pub fn show(&self, venue: View) {
        let _ = self.venue.set(venue);
    }

    fn health(&self) -> Health {
        let log = self.venue.get().map_or_else(Log::default, |of| (of.log)());
        Health {
            status: match (&log.failure, self.readiness.check()) {
                (Some(_), _) => "failed",
                (None, Ok(())) => "ok",
                (None, Err(why)) => why,
            },
            version: env!("CARGO_PKG_VERSION"),
            environment: self.about.environment.clone(),
            sequence: log.sequence,
            durable_sequence: log.durable_sequence,
            journal_policy: self.about.journal_policy.clone(),
            topology: self.about.topology.clone(),
            uptime_seconds: self.about.started.elapsed().as_secs(),
            failure: log.failure,
            dependencies: None,
        }
    }
}

/// What `/health` says.
#[derive(Clone, Debug, serde::Serialize)]
struct Health {
    /// `ok`, `starting`, `draining` or `failed`.
    status: &'static str,
    version: &'static str,
    environment: String,
    sequence: u64,
    durable_sequence: u64,
    journal_policy: String,
    topology: String,
    uptime_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dependencies: Option<health::Dependencies>,
}

/// Ready while started, not draining and not failed.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    started: Arc<AtomicBool>,
    draining: Arc<AtomicBool>,
}

impl Readiness {
    /// Recovery is done and the ports take sessions.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// The venue is going away.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// `Ok`, or why not.
    ///
    /// # Errors
    /// The latch that is open.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.draining.load(Ordering::Acquire) {
            Err("draining")
        } else if self.started.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err("starting")
        }
    }
}
