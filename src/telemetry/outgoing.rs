//! What leaves the venue by itself: traces, errors, DogStatsD. Each is there when its setting names where
//! it goes, each has threads and a bounded queue of its own, and none is waited for but at the end.

use std::fmt;
use std::thread::JoinHandle;
use std::time::Instant;

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::dogstatsd::{self, DogStatsd};
use super::errors::Errors;
use super::traces::Traces;
use super::{Exposition, FLUSH, Registry, Source};
use crate::metric_names as names;

/// Where things go.
#[derive(Clone)]
pub struct Destinations<'a> {
    /// `ENV`: what all of it is tagged with.
    pub environment: String,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub otlp: Option<&'a str>,
    /// `SENTRY_DSN`.
    pub sentry: Option<&'a str>,
    /// `DOGSTATSD_ADDRESS`.
    pub dogstatsd: Option<&'a (String, u16)>,
}

impl fmt::Debug for Destinations<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destinations").finish_non_exhaustive()
    }
}

/// What goes there. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    traces: Option<Traces>,
    errors: Option<Errors>,
    dogstatsd: Option<DogStatsd>,
}

impl Outgoing {
    /// Starts what has somewhere to go, with the metrics of `registry`, and shows there what it does.
    ///
    /// # Errors
    /// Which setting cannot be used, and why.
    pub fn start(to: Destinations<'_>, registry: &Registry) -> Result<Self, String> {
        let environment = to.environment.as_str();
        let traces = to.otlp.map(|endpoint| {
            Traces::start(endpoint, environment)
                .map_err(|error| format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}"))
        });
        let errors = to.sentry.map(|dsn| {
            Errors::start(dsn, environment).map_err(|error| format!("SENTRY_DSN: {error}"))
        });
        let dogstatsd = to.dogstatsd.map(|agent| {
            DogStatsd::start(
                registry.clone(),
                agent.clone(),
                environment,
                dogstatsd::EVERY,
            )
            .map_err(|error| format!("DOGSTATSD_ADDRESS: {error}"))
        });
        let outgoing = Self {
            traces: traces.transpose()?,
            errors: errors.transpose()?,
            dogstatsd: dogstatsd.transpose()?,
        };
        registry.register(outgoing.clone());
        Ok(outgoing)
    }

    /// What of the log goes there.
    pub fn layers<S>(&self) -> Vec<Box<dyn Layer<S> + Send + Sync>>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let traces = self.traces.iter().map(Traces::layer);
        let errors = self.errors.iter().map(Errors::layer);
        traces.chain(errors).collect()
    }

    /// Sends what waits; all of it takes [`FLUSH`] at most.
    pub fn finish(&self) {
        std::thread::scope(|scope| {
            if let Some(traces) = &self.traces {
                scope.spawn(|| traces.finish());
            }
            if let Some(errors) = &self.errors {
                scope.spawn(|| errors.finish());
            }
            if let Some(dogstatsd) = &self.dogstatsd {
                scope.spawn(|| dogstatsd.finish());
            }
        });
    }
}

impl Source for Outgoing {
    fn render(&self, out: &mut Exposition) {
        let none: [([&str; 1], u64); 0] = [];
        out.series(&names::TELEMETRY_SENT, none);
        out.series(&names::TELEMETRY_DROPPED, none);
        out.series(&names::TELEMETRY_FAILURES, none);
        let traces = self.traces.iter().map(|it| it as &dyn Source);
        let errors = self.errors.iter().map(|it| it as &dyn Source);
        let dogstatsd = self.dogstatsd.iter().map(|it| it as &dyn Source);
        for sink in traces.chain(errors).chain(dogstatsd) {
            sink.render(out);
        }
    }
}

/// Waits for a thread that was told to end, for [`FLUSH`] at most: one that hangs on the network ends
/// with the process.
pub(super) fn join_soon(thread: JoinHandle<()>) {
    let until = Instant::now() + FLUSH;
    while !thread.is_finished() && Instant::now() < until {
        std::thread::park_timeout(FLUSH / 400);
    }
    if thread.is_finished() {
        let _ = thread.join();
    }
}
