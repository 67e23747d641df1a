//! What is seen of a running venue from outside: metrics, logs, profiles, traces, errors. Hot threads
//! own plain counters and histograms with one writer each; everything here runs on side threads and
//! reads them. Nothing here is waited for by a thread that an order passes through.

pub mod business;
pub mod dogstatsd;
mod errors;
pub mod exposition;
pub mod histogram;
mod log_writer;
mod logs;
mod outgoing;
mod process;
pub mod profiles;
mod runtime;
mod scrub;
pub mod traces;
mod venue;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

pub use exposition::Exposition;
pub use histogram::{Counts, Histogram};
pub use log_writer::{LogGuard, log_lines_lost};
pub use logs::{Logs, start_logging};
pub use outgoing::{Destinations, Outgoing};
pub use process::Process;
pub use profiles::Profiles;
pub use runtime::Runtime;
pub use venue::{Edge, Ring, STAGES, VenueMetrics};

/// The longest that the end of the process waits for what is still to be sent.
pub const FLUSH: Duration = Duration::from_secs(2);

/// Somebody who has metrics to show. Asked on side threads, at each scrape; it reads what is there
/// and waits for nobody.
pub trait Source: Send + Sync {
    /// Adds what it has. Every metric is one of `metric_names`.
    fn render(&self, out: &mut Exposition);
}

/// All sources. Cloning shares it.
#[derive(Clone, Default)]
pub struct Registry(Arc<RwLock<Vec<Arc<dyn Source>>>>);

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// From now on this is asked as well.
    pub fn register(&self, source: impl Source + 'static) {
        let mut sources = self.0.write().unwrap_or_else(PoisonError::into_inner);
        sources.push(Arc::new(source));
    }

    /// What all have to show now.
    pub fn look(&self) -> Exposition {
        let sources = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut out = Exposition::default();
        for source in sources.iter() {
            source.render(&mut out);
        }
        out
    }

    /// The same as Prometheus text.
    pub fn text(&self) -> String {
        self.look().to_text()
    }
}
