//! Every metric: name and help text, in one place.

/// A metric's name and help.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Prometheus name; counters end in `_total`, times are in seconds, sizes in bytes.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $name:literal, $help:literal;)+) => {
        $(#[doc = $help] pub const $constant: Metric = Metric { name: $name, help: $help };)+
        /// All of them.
        pub const ALL: &[Metric] = &[$($constant,)+];
    };
}

metrics! {
    COMMANDS = "trading_engine_commands_total", "Commands in the log.";
    EVENTS = "trading_engine_events_total", "Durable events, by kind.";
    REJECTS = "trading_engine_rejects_total", "Refused orders, requests and commands, by reason.";
    SESSIONS = "trading_engine_sessions", "Sessions logged on now, by protocol.";
    CONNECTIONS = "trading_engine_connections", "Connections open now.";
    CONNECTIONS_ACCEPTED = "trading_engine_connections_accepted_total", "Connections accepted.";
    CONNECTIONS_REFUSED = "trading_engine_connections_refused_total", "Connections refused at accept.";
    LOGONS_REFUSED = "trading_engine_logons_refused_total", "Logons refused, for credentials, form, number or too many of them.";
    SLOW_CONSUMERS = "trading_engine_slow_consumers_total", "Clients disconnected for not reading.";
    EVENTS_SENT = "trading_engine_events_sent_total", "Numbered events written to clients.";
    SEQUENCE = "trading_engine_sequence", "Last Sequence written to the log.";
    DURABLE_SEQUENCE = "trading_engine_durable_sequence", "Last durable Sequence.";
    JOURNAL_BYTES = "trading_engine_journal_bytes_total", "Bytes appended to the journal.";
    JOURNAL_SYNCS = "trading_engine_journal_syncs_total", "Syncs of journal files.";
    JOURNAL_FAILED = "trading_engine_journal_failed", "1 after a failed write or sync.";
    STAGE = "trading_engine_stage_seconds", "Time a report spent in each stage.";
    HISTORY_SEQUENCE = "trading_engine_history_sequence", "Last Sequence whose events are all in the database.";
    HISTORY_LAG_SEQUENCES = "trading_engine_history_lag_sequences", "Commands whose events are not in the database yet.";
    HISTORY_LAG = "trading_engine_history_lag_seconds", "How long the database has been behind the events, 0 when it is not.";
    HISTORY_UP = "trading_engine_history_up", "1 while events can be written to the database.";
    HISTORY_EVENTS = "trading_engine_history_events_total", "Events taken into the database since the start.";
    HISTORY_ROWS = "trading_engine_history_rows_total", "Rows added to the database since the start.";
    HISTORY_BATCHES = "trading_engine_history_batches_total", "Transactions of the projector since the start.";
    HISTORY_FAILURES = "trading_engine_history_failures_total", "Failures of the projector since the start; each is tried again.";
    UPTIME = "trading_engine_uptime_seconds", "Time since the start.";
    HTTP_REQUESTS = "trading_engine_http_requests_total", "Requests of the HTTP ports, by method, route and class of status.";
    HTTP_REQUESTS_AT_WORK = "trading_engine_http_requests_at_work", "Requests of the HTTP ports being answered now, by method and route.";
    HTTP_REQUEST_TIME = "trading_engine_http_request_seconds", "Time to answer requests of the HTTP ports, by method and route.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_the_common_form() {
        for (at, metric) in ALL.iter().enumerate() {
            assert!(
                metric.name.starts_with("trading_engine_"),
                "{}",
                metric.name
            );
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            assert!(ALL[..at].iter().all(|other| other.name != metric.name));
        }
    }
}
