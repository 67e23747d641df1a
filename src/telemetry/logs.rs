//! Logs to standard error, and what else listens to them.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

use super::log_writer::{self, LogGuard, log_lines_lost};
use super::{Exposition, Source, traces};
use crate::metric_names as names;

/// Starts logging to standard error, in colour for people: not into files, and not where `NO_COLOR`
/// is set. No line waits for whoever reads it; the log ends with the guard. `more` listens to whatever it
/// wants, of any level.
pub fn start_logging(
    level: tracing::Level,
    json: bool,
    more: Vec<Box<dyn Layer<Registry> + Send + Sync>>,
) -> LogGuard {
    let (writer, guard) = log_writer::standard_error();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false);
    let lines = if json {
        lines.json().boxed()
    } else {
        lines.boxed()
    };
    let lines = lines
        .with_filter(LevelFilter::from_level(level))
        // Spans of requests are for a collector; who wants them in the log has an access log.
        .with_filter(filter_fn(|of| of.target() != traces::TARGET));
    let mut all = more;
    all.push(lines.boxed());
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(all).try_init();
    guard
}

/// What became of the lines.
#[derive(Clone, Copy, Debug)]
pub struct Logs;

impl Source for Logs {
    fn render(&self, out: &mut Exposition) {
        out.value(&names::LOG_LINES_LOST, log_lines_lost());
    }
}
