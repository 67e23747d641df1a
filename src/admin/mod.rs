//! The side ports: health and books on one, metrics on the other. Asks the venue through a plain
//! struct of closures and never holds anything the hot threads wait for.

mod server;

pub use server::serve;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::market_data::depth::SharedDepth;

/// What the ports may know.
#[derive(Clone)]
pub struct AdminState {
    /// Whether the venue takes sessions.
    pub readiness: Readiness,
    /// Health facts, read on demand.
    pub health: Arc<dyn Fn() -> Health + Send + Sync>,
    /// Prometheus text, made on demand.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The books.
    pub depth: SharedDepth,
}

/// What `/health` says.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Health {
    /// `ok`, `starting`, `draining` or `failed`.
    pub status: &'static str,
    /// Crate version.
    pub version: &'static str,
    /// `ENV`.
    pub environment: String,
    /// Last Sequence written.
    pub sequence: u64,
    /// Last durable Sequence.
    pub durable_sequence: u64,
    /// `JOURNAL_POLICY`.
    pub journal_policy: String,
    /// `TOPOLOGY`.
    pub topology: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Why nothing is acknowledged any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
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
