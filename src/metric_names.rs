//! Every metric there is: name, kind, unit, labels and help text, in one place. What `/metrics` shows,
//! what DogStatsD is sent and what `METRICS.md` lists is this table.

use std::fmt;
use std::fmt::Write as _;

/// What a metric's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Is what it is now.
    Gauge,
    /// Durations by upper bound, with their sum and number.
    Histogram(Buckets),
}

/// How finely a histogram is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buckets {
    /// Four to each doubling, 250 ns to 8.4 s: a percentile read off them is at most a fifth off.
    Fine,
    /// One to each doubling, 0.5 ms to 8.4 s: where labels make many of them.
    Coarse,
}

/// What is counted or measured, in base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, named by the help text.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A number between two numbers.
    Ratio,
    /// 0 or 1.
    Flag,
    /// Position in the log.
    Sequence,
}

/// What a metric is about, and who shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Clients, sessions, the log as a whole.
    Venue,
    /// Orders, quotes and trades, by instrument and firm.
    Business,
    /// Journal, snapshots, event log.
    Log,
    /// Between the threads.
    Rings,
    /// The operating system's view.
    Process,
    /// Memory by the allocator's view, and the side ports' runtime.
    Runtime,
    /// What leaves by itself: traces, errors, DogStatsD.
    Telemetry,
    /// Requests on the side ports.
    Http,
    /// The SQL database and the projector into it.
    Database,
    /// Redis.
    Redis,
    /// The market-data agent.
    MarketData,
}

impl Group {
    /// Every group, in the order of the reference page.
    pub const ALL: [Self; 11] = [
        Self::Venue,
        Self::Business,
        Self::Log,
        Self::Rings,
        Self::Process,
        Self::Runtime,
        Self::Telemetry,
        Self::Http,
        Self::Database,
        Self::Redis,
        Self::MarketData,
    ];

    /// Its heading, and when it is there.
    pub fn heading(self) -> (&'static str, &'static str) {
        match self {
            Self::Venue => ("Venue", ""),
            Self::Business => (
                "Business",
                "Counted since the start of the process, when durable. At most 512 pairs of instrument and \
                 firm and 256 instruments have series of their own; whoever trades first has one, the rest \
                 together are `other`.",
            ),
            Self::Log => ("Journal, snapshots, event log", ""),
            Self::Rings => (
                "Rings",
                "A full ring stops its writer: these say who is behind.",
            ),
            Self::Process => (
                "Process",
                "From `/proc`; not there on other systems than Linux.",
            ),
            Self::Runtime => (
                "Memory and runtime",
                "jemalloc's own figures, and the threads that serve the side ports.",
            ),
            Self::Telemetry => ("Telemetry", ""),
            Self::Http => (
                "HTTP",
                "Requests on `PORT` and `METRICS_PORT`, by the templates of their paths.",
            ),
            Self::Database => (
                "Database",
                "The pool that the admin API asks through, and the projector of history.",
            ),
            Self::Redis => ("Redis", "There when `REDIS_URL` is set."),
            Self::MarketData => ("Market data", ""),
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Prometheus name; counters end in `_total`, times are in seconds, sizes in bytes.
    pub name: &'static str,
    /// What it is about.
    pub group: Group,
    /// What its numbers are.
    pub kind: Kind,
    /// What they count.
    pub unit: Unit,
    /// Names of its labels, in the order of their values.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($group:ident {
        $($constant:ident = $name:literal, $kind:expr, $unit:ident, [$($label:literal),*], $help:literal;)+
    })+) => {
        $($(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                group: Group::$group,
                kind: $kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                help: $help,
            };
        )+)+
        /// All of them.
        pub const ALL: &[Metric] = &[$($($constant,)+)+];
    };
}

const COUNTER: Kind = Kind::Counter;
const GAUGE: Kind = Kind::Gauge;
const FINE: Kind = Kind::Histogram(Buckets::Fine);
const COARSE: Kind = Kind::Histogram(Buckets::Coarse);

metrics! {
    Venue {
        BUILD = "trading_engine_build_info", GAUGE, Flag, ["version", "topology", "journal_policy"], "1, with what runs as labels.";
        UPTIME = "trading_engine_uptime_seconds", GAUGE, Seconds, [], "Time since the start.";
        COMMANDS = "trading_engine_commands_total", COUNTER, Count, [], "Commands in the log, since its first day.";
        SEQUENCE = "trading_engine_sequence", GAUGE, Sequence, [], "Last Sequence written to the log.";
        DURABLE_SEQUENCE = "trading_engine_durable_sequence", GAUGE, Sequence, [], "Last durable Sequence.";
        APPLIED_SEQUENCE = "trading_engine_applied_sequence", GAUGE, Sequence, [], "Last Sequence the matching core has applied.";
        STAGE = "trading_engine_stage_seconds", FINE, Seconds, ["stage"], "Time a report spent in each stage.";
        EVENTS = "trading_engine_events_total", COUNTER, Count, ["kind"], "Durable events, by kind.";
        REJECTS = "trading_engine_rejects_total", COUNTER, Count, ["reason"], "Refused orders, requests and commands, by reason.";
        SESSIONS = "trading_engine_sessions", GAUGE, Count, ["protocol"], "Sessions logged on now, by protocol.";
        CONNECTIONS = "trading_engine_connections", GAUGE, Count, [], "Connections open now.";
        CONNECTIONS_ACCEPTED = "trading_engine_connections_accepted_total", COUNTER, Count, [], "Connections accepted.";
        CONNECTIONS_REFUSED = "trading_engine_connections_refused_total", COUNTER, Count, [], "Connections refused at accept.";
        LOGONS_REFUSED = "trading_engine_logons_refused_total", COUNTER, Count, [], "Logons refused, for credentials, form, number or too many of them.";
        SLOW_CONSUMERS = "trading_engine_slow_consumers_total", COUNTER, Count, [], "Clients disconnected for not reading.";
        EVENTS_SENT = "trading_engine_events_sent_total", COUNTER, Count, [], "Numbered events written to clients.";
    }
    Business {
        ORDERS = "trading_engine_orders_total", COUNTER, Count, ["instrument", "firm"], "Orders accepted.";
        ORDER_CHANGES = "trading_engine_order_changes_total", COUNTER, Count, ["instrument", "firm"], "Orders replaced, and orders canceled because their session asked.";
        QUOTES = "trading_engine_quotes_total", COUNTER, Count, ["instrument", "firm"], "Sides of quotes entered, changed or removed by mass quotes.";
        FILLS = "trading_engine_fills_total", COUNTER, Count, ["instrument", "firm"], "Sides of trades; a trade between two firms is one for each.";
        FILLED_QUANTITY = "trading_engine_filled_quantity_total", COUNTER, Count, ["instrument", "firm"], "Quantity of the fills, in units of the instrument.";
        FILLED_NOTIONAL = "trading_engine_filled_notional_total", COUNTER, Count, ["instrument", "firm"], "Price times quantity of the fills, in the instrument's currency.";
        ORDER_TO_TRADE = "trading_engine_order_to_trade_ratio", GAUGE, Ratio, ["instrument", "firm"], "Orders, order changes and quotes for each fill; not there before the first fill.";
        TRADES = "trading_engine_trades_total", COUNTER, Count, ["instrument"], "Trades.";
        TRADED_QUANTITY = "trading_engine_traded_quantity_total", COUNTER, Count, ["instrument"], "Quantity traded, in units of the instrument.";
        TRADED_NOTIONAL = "trading_engine_traded_notional_total", COUNTER, Count, ["instrument"], "Price times quantity traded, in the instrument's currency.";
        TRADES_AMENDED = "trading_engine_trades_amended_total", COUNTER, Count, ["instrument"], "Busts and corrections of trades, which stay in the other counts.";
    }
    Log {
        JOURNAL_BYTES = "trading_engine_journal_bytes_total", COUNTER, Bytes, [], "Bytes appended to the journal.";
        JOURNAL_SYNCS = "trading_engine_journal_syncs_total", COUNTER, Count, [], "Syncs of journal files.";
        JOURNAL_SYNC = "trading_engine_journal_sync_seconds", FINE, Seconds, [], "Time of each sync of a journal file.";
        JOURNAL_SEGMENT = "trading_engine_journal_segment", GAUGE, Count, [], "Number of the segment being appended to.";
        JOURNAL_LAG = "trading_engine_journal_lag_commands", GAUGE, Count, [], "Commands written and not yet durable.";
        JOURNAL_FAILED = "trading_engine_journal_failed", GAUGE, Flag, [], "1 after a failed write or sync.";
        SNAPSHOT_SEQUENCE = "trading_engine_snapshot_sequence", GAUGE, Sequence, [], "Sequence of the newest snapshot made or started from, 0 = none.";
        SNAPSHOT_DURATION = "trading_engine_snapshot_duration_seconds", GAUGE, Seconds, [], "Time the newest snapshot took to make.";
        SNAPSHOTS = "trading_engine_snapshots_total", COUNTER, Count, ["result"], "Snapshots made and failed.";
        HISTORY_SEQUENCE = "trading_engine_history_sequence", GAUGE, Sequence, [], "Sequence of the last event in the event log.";
        HISTORY_LAG = "trading_engine_history_lag_commands", GAUGE, Count, [], "Durable commands whose events the history thread has not seen.";
        EVENT_LOG_BYTES = "trading_engine_event_log_bytes_total", COUNTER, Bytes, [], "Bytes of events seen by the history thread.";
        EVENT_LOG_FAILED = "trading_engine_event_log_failed", GAUGE, Flag, [], "1 after the event log failed: resends are not served any more.";
    }
    Rings {
        RING_WAITING = "trading_engine_ring_waiting_bytes", GAUGE, Bytes, ["ring", "reader"], "Bytes published and not yet released by this reader.";
        RING_CAPACITY = "trading_engine_ring_capacity_bytes", GAUGE, Bytes, ["ring"], "Size of the ring.";
        RING_PUBLISHED = "trading_engine_ring_published_bytes_total", COUNTER, Bytes, ["ring"], "Bytes published, headers and padding included.";
    }
    Process {
        PROCESS_CPU = "process_cpu_seconds_total", COUNTER, Seconds, [], "User and system time of all threads.";
        PROCESS_START = "process_start_time_seconds", GAUGE, Seconds, [], "When the process started, since 1970.";
        PROCESS_RESIDENT = "process_resident_memory_bytes", GAUGE, Bytes, [], "Memory in RAM.";
        PROCESS_VIRTUAL = "process_virtual_memory_bytes", GAUGE, Bytes, [], "Memory mapped.";
        PROCESS_FDS = "process_open_fds", GAUGE, Count, [], "Open descriptors.";
        PROCESS_FDS_MAX = "process_max_fds", GAUGE, Count, [], "Descriptors there may be.";
        PROCESS_THREADS = "process_threads", GAUGE, Count, [], "Threads.";
        PROCESS_SWITCHES = "process_context_switches_total", COUNTER, Count, ["kind"], "Times a thread gave up its core, or had it taken.";
        PROCESS_FAULTS = "process_page_faults_total", COUNTER, Count, ["kind"], "Page faults without and with the disk.";
        THREAD_CPU = "trading_engine_thread_cpu_seconds_total", COUNTER, Seconds, ["thread"], "User and system time, by thread.";
    }
    Runtime {
        ALLOCATED = "trading_engine_allocator_allocated_bytes", GAUGE, Bytes, [], "Bytes the program asked for and has.";
        ACTIVE = "trading_engine_allocator_active_bytes", GAUGE, Bytes, [], "Bytes in pages that hold some of them.";
        RESIDENT = "trading_engine_allocator_resident_bytes", GAUGE, Bytes, [], "Bytes of RAM the allocator holds, its own included.";
        MAPPED = "trading_engine_allocator_mapped_bytes", GAUGE, Bytes, [], "Bytes of address space in use.";
        RETAINED = "trading_engine_allocator_retained_bytes", GAUGE, Bytes, [], "Bytes of address space kept for later.";
        RUNTIME_WORKERS = "trading_engine_runtime_workers", GAUGE, Count, [], "Threads of the side ports' runtime.";
        RUNTIME_TASKS = "trading_engine_runtime_tasks", GAUGE, Count, [], "Tasks alive.";
        RUNTIME_QUEUE = "trading_engine_runtime_queued_tasks", GAUGE, Count, [], "Tasks ready and waiting for a thread.";
        RUNTIME_BUSY = "trading_engine_runtime_busy_seconds_total", COUNTER, Seconds, [], "Time the threads were at work.";
        RUNTIME_PARKS = "trading_engine_runtime_parks_total", COUNTER, Count, [], "Times a thread had nothing to do.";
    }
    Telemetry {
        TELEMETRY_SENT = "trading_engine_telemetry_sent_total", COUNTER, Count, ["sink"], "Spans and errors that were taken, and datagrams sent, by where they go.";
        TELEMETRY_DROPPED = "trading_engine_telemetry_dropped_total", COUNTER, Count, ["sink"], "Spans, errors and datagrams dropped: the queue was full, or nobody took them.";
        TELEMETRY_FAILURES = "trading_engine_telemetry_export_failures_total", COUNTER, Count, ["sink"], "Batches of spans, and reports of errors, that were not taken; they are among the dropped.";
        PROFILES = "trading_engine_profiles_total", COUNTER, Count, ["kind"], "Profiles taken.";
        LOG_LINES_LOST = "trading_engine_log_lines_lost_total", COUNTER, Count, [], "Log lines lost because nobody took them in time.";
    }
    Http {
        HTTP_REQUESTS = "trading_engine_http_requests_total", COUNTER, Count, ["method", "route", "status"], "Requests, by class of the status they were answered with; 499: nobody was there to be answered any more, the client left or its place was taken.";
        HTTP_TIME = "trading_engine_http_request_seconds", COARSE, Seconds, ["method", "route"], "Time to answer.";
        HTTP_IN_FLIGHT = "trading_engine_http_requests_in_flight", GAUGE, Count, [], "Requests being answered, the scrape included.";
        HTTP_STREAMS = "trading_engine_http_streams", GAUGE, Count, [], "Event streams open now.";
        HTTP_DISPLACED = "trading_engine_http_connections_displaced_total", COUNTER, Count, [], "Idle connections of the side ports closed because others came.";
        HTTP_REFUSED = "trading_engine_http_connections_refused_total", COUNTER, Count, [], "Requests, and connections, of the side ports that found no room.";
        HTTP_RATE_LIMITED = "trading_engine_http_rate_limited_total", COUNTER, Count, [], "Requests refused for their rate, and logins while they are locked.";
        HTTP_LOGINS_REFUSED = "trading_engine_http_logins_refused_total", COUNTER, Count, [], "Logins with a wrong name or password.";
    }
    Database {
        DATABASE_CONNECTIONS = "trading_engine_database_pool_connections", GAUGE, Count, ["state"], "Connections of the admin API's pool, idle and used.";
        DATABASE_TIME = "trading_engine_database_query_seconds", COARSE, Seconds, ["kind"], "Time for a question of the admin API, its wait for a connection included; for the projector's tables, the rows of a batch, and its commit.";
        DATABASE_ERRORS = "trading_engine_database_query_errors_total", COUNTER, Count, ["kind"], "Of them, those that failed, or were not waited for.";
        USERS_FROM_COPY = "trading_engine_users_from_copy_total", COUNTER, Count, [], "Logins, refreshes and tokens that were looked at by the venue's copy of the console users, because the database did not answer.";
        USERS_COPY_AGE = "trading_engine_users_copy_age_seconds", GAUGE, Seconds, [], "How long ago that copy was read whole; absent while it never was.";
        PROJECTOR_UP = "trading_engine_projector_up", GAUGE, Flag, [], "1 while events can be written to the database.";
        PROJECTOR_SEQUENCE = "trading_engine_projector_sequence", GAUGE, Sequence, [], "Last Sequence whose events are all in the database.";
        PROJECTOR_LAG = "trading_engine_projector_lag_commands", GAUGE, Count, [], "Commands whose events are not in the database yet.";
        PROJECTOR_LAG_TIME = "trading_engine_projector_lag_seconds", GAUGE, Seconds, [], "How long the database has been behind the events, 0 when it is not.";
        PROJECTOR_EVENTS = "trading_engine_projector_events_total", COUNTER, Count, [], "Events taken into the database.";
        PROJECTOR_ROWS = "trading_engine_projector_rows_total", COUNTER, Count, [], "Rows added.";
        PROJECTOR_BATCHES = "trading_engine_projector_batches_total", COUNTER, Count, [], "Transactions.";
        PROJECTOR_RETRIES = "trading_engine_projector_retries_total", COUNTER, Count, [], "Failures; each is tried again.";
    }
    Redis {
        REDIS_UP = "trading_engine_redis_up", GAUGE, Flag, [], "1 while there is a connection.";
        REDIS_SEQUENCE = "trading_engine_redis_sequence", GAUGE, Sequence, [], "Last Sequence whose market data is in Redis.";
        REDIS_UPDATES = "trading_engine_redis_updates_total", COUNTER, Count, [], "Updates of the feed that were written.";
        REDIS_TRADES = "trading_engine_redis_trades_total", COUNTER, Count, [], "Trades written to the stream.";
        REDIS_MISSED = "trading_engine_redis_missed_trades_total", COUNTER, Count, [], "Trades, busts and corrections the stream will never have: forgotten before Redis was back.";
        REDIS_SESSIONS = "trading_engine_redis_sessions_total", COUNTER, Count, [], "Times writing began, the first included.";
        REDIS_ERRORS = "trading_engine_redis_errors_total", COUNTER, Count, [], "Times writing ended in an error.";
        REDIS_LIMITS_ALONE = "trading_engine_redis_limits_alone_total", COUNTER, Count, [], "Uses of a shared limit decided by this process alone, because Redis did not answer.";
    }
    MarketData {
        MARKET_DATA_SEQUENCE = "trading_engine_market_data_sequence", GAUGE, Sequence, [], "Last Sequence whose events are in the books.";
        MARKET_DATA_LAG = "trading_engine_market_data_lag_commands", GAUGE, Count, [], "Durable commands whose events are not.";
        MARKET_DATA_EVENTS = "trading_engine_market_data_events_total", COUNTER, Count, [], "Events seen by the agent.";
        MARKET_DATA_PUBLICATIONS = "trading_engine_market_data_publications_total", COUNTER, Count, [], "Times something was published to the readers of the feed.";
        MARKET_DATA_TRADES = "trading_engine_market_data_trades_total", COUNTER, Count, [], "Trades, and amendments of some, put on the tape.";
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Count => "count",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
            Self::Flag => "0 or 1",
            Self::Sequence => "Sequence",
        })
    }
}

/// The reference page, `METRICS.md`.
pub fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         On `METRICS_PORT`: `GET /metrics`, Prometheus text. Made by `trading-engine metrics-reference` from \
         `src/metric_names.rs`; a test compares the two, and both with what a running venue shows.\n\n\
         Histograms have buckets of 250 ns to 8.4 s, four to each doubling (fine), or of 0.5 ms to 8.4 s, one to \
         each doubling (coarse).\n",
    );
    for group in Group::ALL {
        let (heading, note) = group.heading();
        let _ = write!(page, "\n## {heading}\n\n");
        if !note.is_empty() {
            let _ = write!(page, "{note}\n\n");
        }
        page.push_str("| name | kind | unit | labels | meaning |\n|---|---|---|---|---|\n");
        for metric in ALL.iter().filter(|metric| metric.group == group) {
            let kind = match metric.kind {
                Kind::Histogram(Buckets::Fine) => "histogram, fine".into(),
                Kind::Histogram(Buckets::Coarse) => "histogram, coarse".into(),
                Kind::Counter | Kind::Gauge => metric.kind.to_string(),
            };
            let labels: Vec<String> = metric
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            let _ = writeln!(
                page,
                "| `{}` | {kind} | {} | {} | {} |",
                metric.name,
                metric.unit,
                labels.join(", "),
                metric.help
            );
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_the_common_form() {
        for (at, metric) in ALL.iter().enumerate() {
            let name = metric.name;
            assert!(
                name.starts_with("trading_engine_") || name.starts_with("process_"),
                "{name}"
            );
            assert!(metric.help.ends_with('.'), "{name}");
            assert!(ALL[..at].iter().all(|other| other.name != name), "{name}");
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{name}"
            );
            let stem = name.trim_end_matches("_total");
            match metric.unit {
                Unit::Seconds => assert!(stem.ends_with("_seconds"), "{name}"),
                Unit::Bytes => assert!(stem.ends_with("_bytes"), "{name}"),
                Unit::Ratio => assert!(stem.ends_with("_ratio"), "{name}"),
                Unit::Count | Unit::Flag | Unit::Sequence => {}
            }
            if matches!(metric.kind, Kind::Histogram(_)) {
                assert_eq!(metric.unit, Unit::Seconds, "{name}");
            }
        }
    }

    #[test]
    fn the_reference_page_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/METRICS.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == reference(),
            "METRICS.md is not the table; make it again: trading-engine metrics-reference > METRICS.md"
        );
    }
}
