//! How long the database takes for what it is asked, and how often it fails, by kind: for metrics. Written by
//! whoever asked, read by a scrape.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::StoreError;
use crate::telemetry::Histogram;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// History, by the admin API; the wait for a connection of the pool included, as for the next two.
    Read,
    /// Console users.
    Users,
    /// Whether the database is there.
    Ping,
    /// The tables, at the projector's start.
    Migrate,
    /// The rows of a batch of the projector, its progress included.
    Rows,
    /// The end of such a batch.
    Commit,
}

impl Kind {
    /// What a [`super::Store`] asks.
    pub const OF_STORE: [Self; 3] = [Self::Read, Self::Users, Self::Ping];
    /// What the projector asks.
    pub const OF_PROJECTOR: [Self; 3] = [Self::Migrate, Self::Rows, Self::Commit];

    /// As labels have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Users => "users",
            Self::Ping => "ping",
            Self::Migrate => "migrate",
            Self::Rows => "rows",
            Self::Commit => "commit",
        }
    }
}

const KINDS: usize = Kind::OF_STORE.len() + Kind::OF_PROJECTOR.len();

/// Times and failures by kind.
#[derive(Debug, Default)]
pub struct Queries {
    times: [Histogram; KINDS],
    errors: [AtomicU64; KINDS],
}

impl Queries {
    /// How long it took, answered or failed.
    pub fn times(&self, kind: Kind) -> &Histogram {
        &self.times[kind as usize]
    }

    /// How often it failed.
    pub fn errors(&self, kind: Kind) -> u64 {
        self.errors[kind as usize].load(Ordering::Relaxed)
    }

    /// Waits for an answer, and counts it.
    pub(super) async fn timed<T>(
        &self,
        kind: Kind,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let answer = asked.await;
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.times[kind as usize].record_shared(took);
        if answer.is_err() {
            self.errors[kind as usize].fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}
