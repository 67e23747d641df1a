//! Where log lines go: a bounded queue, and a thread that writes it to standard error. Whoever reads that
//! slowly, or not at all, costs lines and no time: a line that finds the queue full is counted and gone.

use std::sync::OnceLock;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines waiting to be written.
const LINES_MAX: usize = 8_192;

static LOST: OnceLock<ErrorCounter> = OnceLock::new();

/// Keeps the writing thread. Dropping it writes what waits, for a second at most.
#[must_use = "the log ends with it"]
#[derive(Debug)]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// A writer that never waits for standard error.
pub(super) fn standard_error() -> (NonBlocking, LogGuard) {
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("log")
        .finish(std::io::stderr());
    // A second start in one process (tests) keeps the first.
    let _ = LOST.set(writer.error_counter());
    (writer, LogGuard { _worker: worker })
}

/// Log lines that were lost since the start, because nobody took them in time.
pub fn log_lines_lost() -> u64 {
    LOST.get().map_or(0, |lost| lost.dropped_lines() as u64)
}
