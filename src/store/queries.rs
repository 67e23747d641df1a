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
    /// How long it took, answered, failed or given up.
    pub fn times(&self, kind: Kind) -> &Histogram {
        &self.times[kind as usize]
    }

    /// How often it failed, or was given up.
    pub fn errors(&self, kind: Kind) -> u64 {
        self.errors[kind as usize].load(Ordering::Relaxed)
    }

    /// Waits for an answer, and counts it; one that is waited for no longer counts as failed.
    pub(super) async fn timed<T>(
        &self,
        kind: Kind,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut question = Question {
            queries: self,
            kind,
            begun: Instant::now(),
            failed: true,
        };
        let answer = asked.await;
        question.failed = answer.is_err();
        answer
    }
}

/// Counted at its end, also when nobody waits for the answer any more.
struct Question<'a> {
    queries: &'a Queries,
    kind: Kind,
    begun: Instant,
    failed: bool,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let took = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.queries.times[self.kind as usize].record_shared(took);
        if self.failed {
            self.queries.errors[self.kind as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}
