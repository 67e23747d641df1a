//! Traces of requests on `PORT`, sent to an OpenTelemetry collector when one is named.
//!
//! A request is one span; a `traceparent` that it brings makes it part of its caller's trace. Spans
//! wait in a bounded queue for a thread that sends them in batches (OTLP, protobuf over HTTP); what
//! does not fit is dropped, and counted like what the collector did not take. Nothing else of the
//! venue is traced, and without a collector no span is made.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{MatchedPath, Request};
use axum::http;
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData,
    SpanExporter as ExportSpans, SpanProcessor,
};
use tracing::{Instrument as _, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::{Exposition, FLUSH, Source};
use crate::metric_names as names;

/// Of the spans that are traces; logs leave them out.
pub const TARGET: &str = "trading_engine::request";

/// Spans that wait or are being sent, at most.
const QUEUE: usize = 2048;
const BATCH: usize = 512;
const EVERY: Duration = Duration::from_secs(1);

/// What carries spans to the collector.
#[derive(Clone, Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    sent: Arc<Sent>,
}

#[derive(Debug, Default)]
struct Sent {
    spans: AtomicU64,
    lost: AtomicU64,
    /// Batches that the collector did not take.
    failures: AtomicU64,
    /// Spans that wait or are being sent. Counted up by whoever ends one, down by the exporter's thread.
    waiting: AtomicUsize,
}

impl Traces {
    /// Sends to the collector at `endpoint` (`/v1/traces` is appended), in the name of an environment.
    ///
    /// # Errors
    /// When the endpoint is none.
    pub fn start(endpoint: &str, environment: &str) -> Result<Self, impl fmt::Display> {
        let sent: Arc<Sent> = Arc::default();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::default())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(FLUSH)
            .build()?;
        let counted = Counted {
            exporter,
            sent: Arc::clone(&sent),
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(EVERY)
            .build();
        let processor = Bounded {
            batches: BatchSpanProcessor::builder(counted)
                .with_batch_config(batches)
                .build(),
            sent: Arc::clone(&sent),
        };
        let resource = Resource::builder()
            .with_service_name("trading-engine")
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("deployment.environment.name", environment.to_owned()),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_resource(resource)
            .build();
        Ok::<_, opentelemetry_otlp::ExporterBuildError>(Self { provider, sent })
    }

    /// What makes traces of the spans of [`TARGET`].
    pub fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("trading-engine"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|of| of.is_span() && of.target() == TARGET))
            .boxed()
    }

    /// Sends what waits, for [`FLUSH`] at most.
    pub fn finish(&self) {
        let _ = self.provider.shutdown_with_timeout(FLUSH);
    }
}

impl Source for Traces {
    fn render(&self, out: &mut Exposition) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        out.series(&names::TELEMETRY_SENT, [(["otlp"], read(&self.sent.spans))]);
        out.series(
            &names::TELEMETRY_DROPPED,
            [(["otlp"], read(&self.sent.lost))],
        );
        out.series(
            &names::TELEMETRY_FAILURES,
            [(["otlp"], read(&self.sent.failures))],
        );
    }
}

/// The SDK's batches behind a bound of our own: theirs drops without telling anybody how many.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    sent: Arc<Sent>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        // What is being sent has left the SDK's queue but not our count, so theirs is never full.
        let room = |waiting| (waiting < QUEUE).then_some(waiting + 1);
        let place = self
            .sent
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        match place {
            Ok(_) => self.batches.on_end(span),
            Err(_) => {
                self.sent.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// The exporter with counts.
#[derive(Debug)]
struct Counted {
    exporter: SpanExporter,
    sent: Arc<Sent>,
}

impl ExportSpans for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let spans = count as u64;
        let result = self.exporter.export(batch).await;
        self.sent.waiting.fetch_sub(count, Ordering::Relaxed);
        let count = match &result {
            Ok(()) => &self.sent.spans,
            Err(error) => {
                tracing::debug!(%error, spans, "the collector did not take spans");
                self.sent.failures.fetch_add(1, Ordering::Relaxed);
                &self.sent.lost
            }
        };
        count.fetch_add(spans, Ordering::Relaxed);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Blocks the exporter's own thread, which does nothing else.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Default for Client {
    fn default() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(FLUSH))
            .http_status_as_error(false)
            .build();
        Self(config.new_agent())
    }
}

type Answer<'a> =
    Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(&'a self, request: http::Request<Bytes>) -> Answer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let request = http::Request::from_parts(head, &body[..]);
            let (head, mut body) = self.0.run(request)?.into_parts();
            let bytes = body.read_to_vec()?;
            Ok(http::Response::from_parts(head, bytes.into()))
        })
    }
}

/// Around every request on `PORT`: its span, if traces are made.
pub async fn trace(request: Request, next: Next) -> Response {
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = tracing::field::Empty,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = %request.method(),
        http.route = tracing::field::Empty,
        http.response.status_code = tracing::field::Empty,
    );
    if span.is_disabled() {
        return next.run(request).await;
    }
    // The route, not the path: paths have names in them.
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str);
    let name = format!("{} {route}", request.method());
    span.record("otel.name", name.trim_end());
    span.record("http.route", route);
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
    let _ = span.set_parent(parent);
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}
