//! What the threads of the venue's core count: gateways, rings, journal, snapshots, history. The
//! wiring hands over the handles; a look reads them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::business::Business;
use super::histogram::Counts;
use super::{Exposition, Histogram, Source};
use crate::gateway::GatewayStats;
use crate::journal::snapshots::SnapshotStats;
use crate::journal::writer;
use crate::metric_names as names;
use crate::ring::{Cursor, Gauge};

/// Stages of a report's life, in order.
pub const STAGES: [&str; 4] = [
    "received_to_sequenced",
    "sequenced_to_applied",
    "applied_to_durable",
    "durable_to_sent",
];

/// What is seen of one gateway thread from outside.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    /// Whether all its connections are closed since a drain began.
    pub drained: Arc<AtomicBool>,
    /// Its counts.
    pub stats: Arc<GatewayStats>,
    /// Times of the reports it sent, by stage.
    pub stages: Arc<[Histogram; 4]>,
}

/// A ring with the names of its readers.
#[derive(Clone, Debug)]
pub struct Ring {
    /// What it carries, and whose.
    pub name: String,
    /// How full it is.
    pub gauge: Gauge,
    /// Who reads it, in the order it was made with.
    pub readers: Vec<String>,
}

/// Handles of everything that counts.
#[derive(Clone)]
pub struct VenueMetrics {
    /// When the venue started.
    pub started: Instant,
    /// `TOPOLOGY`.
    pub topology: String,
    /// Every gateway thread.
    pub edges: Vec<Edge>,
    /// Every ring.
    pub rings: Vec<Ring>,
    /// Last Sequence applied.
    pub applied: Cursor,
    /// The journal.
    pub journal: Arc<writer::Shared>,
    /// Times of its syncs.
    pub syncs: Arc<Histogram>,
    /// Snapshots.
    pub snapshots: Arc<SnapshotStats>,
    /// Whether the event log failed.
    pub event_log_failed: Arc<AtomicBool>,
    /// The ring of events, and which of its readers is the history thread.
    pub to_history: (Gauge, usize),
    /// What it counted.
    pub business: Business,
}

impl fmt::Debug for VenueMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VenueMetrics").finish_non_exhaustive()
    }
}

impl VenueMetrics {
    /// How long reports took since the start, by stage, over all gateway threads.
    pub fn stages(&self) -> [Counts; 4] {
        std::array::from_fn(|at| {
            let mut all = Counts::default();
            for edge in &self.edges {
                all.add(&edge.stages[at].counts());
            }
            all
        })
    }

    fn gateways(&self, out: &mut Exposition) {
        let sum = |of: fn(&GatewayStats) -> &AtomicU64| -> u64 {
            let all = self.edges.iter();
            all.map(|edge| of(&edge.stats).load(Ordering::Relaxed))
                .sum()
        };
        out.series(
            &names::SESSIONS,
            [
                (["binary"], sum(|of| &of.binary_sessions)),
                (["fix"], sum(|of| &of.fix_sessions)),
            ],
        );
        out.value(&names::CONNECTIONS, sum(|of| &of.connections));
        out.value(&names::CONNECTIONS_ACCEPTED, sum(|of| &of.accepted));
        out.value(&names::CONNECTIONS_REFUSED, sum(|of| &of.refused));
        out.value(&names::LOGONS_REFUSED, sum(|of| &of.logons_refused));
        out.value(&names::SLOW_CONSUMERS, sum(|of| &of.slow_consumers));
        out.value(&names::EVENTS_SENT, sum(|of| &of.events_sent));
        out.series(
            &names::STAGE,
            STAGES
                .into_iter()
                .zip(self.stages())
                .map(|(stage, all)| ([stage], all)),
        );
    }

    fn rings(&self, out: &mut Exposition) {
        for ring in &self.rings {
            let name = ring.name.as_str();
            out.series(&names::RING_CAPACITY, [([name], ring.gauge.capacity())]);
            out.series(&names::RING_PUBLISHED, [([name], ring.gauge.published())]);
            let readers = ring.readers.iter().enumerate();
            out.series(
                &names::RING_WAITING,
                readers.map(|(at, reader)| ([name, reader], ring.gauge.waiting(at))),
            );
        }
    }

    fn journal(&self, out: &mut Exposition) {
        // The durable one first: it is never ahead of a written one that is read after it.
        let durable = self.journal.durable().get();
        let written = self.journal.written().get();
        let (bytes, syncs) = self.journal.totals();
        out.value(&names::COMMANDS, written);
        out.value(&names::SEQUENCE, written);
        out.value(&names::DURABLE_SEQUENCE, durable);
        out.value(&names::APPLIED_SEQUENCE, self.applied.get());
        out.value(&names::JOURNAL_BYTES, bytes);
        out.value(&names::JOURNAL_SYNCS, syncs);
        out.value(&names::JOURNAL_SYNC, &*self.syncs);
        out.value(&names::JOURNAL_SEGMENT, u64::from(self.journal.segment()));
        out.value(&names::JOURNAL_LAG, written.saturating_sub(durable));
        out.value(&names::JOURNAL_FAILED, self.journal.has_failed());
    }

    fn derived(&self, out: &mut Exposition) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let snapshots = &self.snapshots;
        out.value(&names::SNAPSHOT_SEQUENCE, read(&snapshots.sequence));
        let took = read(&snapshots.took_ns) as f64 / 1e9;
        out.value(&names::SNAPSHOT_DURATION, took);
        out.series(
            &names::SNAPSHOTS,
            [
                (["made"], read(&snapshots.made)),
                (["failed"], read(&snapshots.failed)),
            ],
        );
        let seen = self.business.sequence();
        let durable = self.journal.durable().get();
        // The last commands may have had no events: with none waiting nobody is behind.
        let (ring, reader) = &self.to_history;
        let lag = if ring.waiting(*reader) == 0 {
            0
        } else {
            durable.saturating_sub(seen)
        };
        out.value(&names::HISTORY_SEQUENCE, seen);
        out.value(&names::HISTORY_LAG, lag);
        out.value(&names::EVENT_LOG_BYTES, self.business.bytes());
        let failed = self.event_log_failed.load(Ordering::Relaxed);
        out.value(&names::EVENT_LOG_FAILED, failed);
    }
}

impl Source for VenueMetrics {
    fn render(&self, out: &mut Exposition) {
        let policy = self.journal.policy().to_string();
        let labels = [env!("CARGO_PKG_VERSION"), &self.topology, &policy];
        out.series(&names::BUILD, [(labels, true)]);
        out.value(&names::UPTIME, self.started.elapsed().as_secs_f64());
        self.gateways(out);
        self.business.render(out);
        self.journal(out);
        self.derived(out);
        self.rings(out);
    }
}
