//! Panics and errors of the log, reported to Sentry when `SENTRY_DSN` names one.
//!
//! Whoever logs an error or panics puts it into a bounded queue and goes on; a thread of its own
//! takes out secrets, hands it to Sentry's client and sends what that makes of it, so that what was taken
//! there and what was not is known. What does not fit, or is not taken, is dropped and counted.

use std::fmt;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use sentry::protocol::{Event, Exception, Level, Stacktrace, Value};
use sentry::types::Dsn;
use tracing::field::{Field, Visit};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::outgoing::join_soon;
use super::scrub::{SCRUBBED, is_private, scrub};
use super::{Exposition, FLUSH, Source};
use crate::metric_names as names;

/// Reports that wait at most.
const QUEUE: usize = 64;
/// Longest time that Sentry may ask to be left alone for.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// One thing that went wrong.
struct Report {
    at: SystemTime,
    thread: String,
    /// Where in the program.
    place: String,
    text: String,
    fields: Vec<(&'static str, String)>,
    /// Of a panic.
    stack: Option<Stacktrace>,
    is_panic: bool,
}

/// Where reports are put.
#[derive(Clone)]
struct Desk {
    queue: Sender<Report>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
    /// Requests that were not taken.
    failures: AtomicU64,
}

impl Desk {
    fn put(&self, report: Report) {
        if self.queue.try_send(report).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What reports errors.
#[derive(Clone)]
pub struct Errors {
    desk: Desk,
    end: Sender<()>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl fmt::Debug for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errors").finish_non_exhaustive()
    }
}

impl Errors {
    /// Reports to this DSN in the name of an environment, panics of all threads included.
    ///
    /// # Errors
    /// When the DSN is none, or no thread can be had.
    pub fn start(dsn: &str, environment: &str) -> std::io::Result<Self> {
        let dsn: Dsn = dsn.parse().map_err(std::io::Error::other)?;
        let mut options = sentry::ClientOptions::default();
        options.release = Some(concat!("trading-engine@", env!("CARGO_PKG_VERSION")).into());
        options.environment = Some(environment.to_owned().into());
        options.send_default_pii = false;
        options.default_integrations = false;
        options.shutdown_timeout = FLUSH;
        let (queue, reports) = bounded(QUEUE);
        let (end, ended) = bounded(1);
        let counts: Arc<Counts> = Arc::default();
        options.transport = Some(Arc::new(Arc::new(Post::new(&dsn, Arc::clone(&counts)))));
        options.dsn = Some(dsn);
        let thread = std::thread::Builder::new()
            .name("errors".into())
            .spawn(move || run(options, &reports, &ended))?;
        let errors = Self {
            desk: Desk { queue, counts },
            end,
            thread: Arc::new(Mutex::new(Some(thread))),
        };
        let desk = errors.desk.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            desk.put(panicked(info));
        }));
        Ok(errors)
    }

    /// What reports the errors of the log.
    pub fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        ErrorLayer(self.desk.clone())
            .with_filter(filter_fn(|of: &Metadata<'_>| {
                of.is_event() && *of.level() == tracing::Level::ERROR
            }))
            .boxed()
    }

    /// Sends what waits, for [`FLUSH`] at most.
    pub fn finish(&self) {
        let _ = self.end.try_send(());
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            join_soon(thread);
        }
    }
}

impl Source for Errors {
    fn render(&self, out: &mut Exposition) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.desk.counts;
        out.series(&names::TELEMETRY_SENT, [(["sentry"], read(&counts.sent))]);
        out.series(
            &names::TELEMETRY_DROPPED,
            [(["sentry"], read(&counts.dropped))],
        );
        out.series(
            &names::TELEMETRY_FAILURES,
            [(["sentry"], read(&counts.failures))],
        );
    }
}

fn run(options: sentry::ClientOptions, reports: &Receiver<Report>, ended: &Receiver<()>) {
    let client = sentry::Client::from_config(sentry::apply_defaults(options));
    let send = |report: Report| {
        client.capture_event(event(report), None);
    };
    loop {
        crossbeam_channel::select! {
            recv(reports) -> report => match report {
                Ok(report) => send(report),
                Err(_) => break,
            },
            recv(ended) -> _ => break,
        }
    }
    reports.try_iter().for_each(send);
    client.close(Some(FLUSH));
}

/// Sends at once, on the thread that asks, which may block: others put what they have into its queue.
struct Post {
    agent: ureq::Agent,
    url: String,
    auth: String,
    counts: Arc<Counts>,
    /// Until when Sentry wants nothing more.
    not_before: Mutex<Option<Instant>>,
}

impl Post {
    fn new(dsn: &Dsn, counts: Arc<Counts>) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(FLUSH))
            .http_status_as_error(false)
            .build();
        let agent = concat!("trading-engine/", env!("CARGO_PKG_VERSION"));
        Self {
            agent: config.new_agent(),
            url: dsn.envelope_api_url().to_string(),
            auth: dsn.to_auth(Some(agent)).to_string(),
            counts,
            not_before: Mutex::default(),
        }
    }

    /// Whether it was taken.
    fn send(&self, body: &[u8]) -> bool {
        let mut not_before = self
            .not_before
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if not_before.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        let request = self.agent.post(&self.url);
        let request = request.header("X-Sentry-Auth", &self.auth);
        let answer = request.send(body);
        let is_taken = answer
            .as_ref()
            .is_ok_and(|answer| answer.status().is_success());
        if is_taken {
            return true;
        }
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        if let Ok(answer) = answer
            && answer.status().as_u16() == 429
        {
            let stated = answer.headers().get("retry-after");
            let stated = stated.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let pause = Duration::from_secs(stated.unwrap_or(60)).min(PAUSE_MAX);
            *not_before = Some(Instant::now() + pause);
        }
        false
    }
}

impl sentry::Transport for Post {
    fn send_envelope(&self, envelope: sentry::Envelope) {
        let mut body = Vec::new();
        let is_written = envelope.to_writer(&mut body).is_ok();
        let is_report = envelope.event().is_some();
        let is_taken = is_written && self.send(&body);
        let counter = if is_taken {
            &self.counts.sent
        } else {
            &self.counts.dropped
        };
        counter.fetch_add(u64::from(is_report), Ordering::Relaxed);
    }
}

fn event(report: Report) -> Event<'static> {
    let text = scrub(&report.text);
    let mut event = Event {
        timestamp: report.at,
        level: if report.is_panic {
            Level::Fatal
        } else {
            Level::Error
        },
        logger: Some(report.place),
        ..Event::default()
    };
    event.tags.insert("thread".into(), report.thread);
    for (name, value) in report.fields {
        let value = if is_private(name) {
            SCRUBBED.into()
        } else {
            scrub(&value)
        };
        event.extra.insert(name.into(), Value::String(value));
    }
    if report.is_panic {
        event.exception.values.push(Exception {
            ty: "panic".into(),
            value: Some(text),
            stacktrace: report.stack,
            ..Exception::default()
        });
    } else {
        event.message = Some(text);
    }
    event
}

fn thread_name() -> String {
    std::thread::current()
        .name()
        .unwrap_or("unnamed")
        .to_owned()
}

fn panicked(info: &PanicHookInfo<'_>) -> Report {
    let place = info.location().map(ToString::to_string);
    Report {
        at: SystemTime::now(),
        thread: thread_name(),
        place: place.unwrap_or_default(),
        text: info.payload_as_str().unwrap_or("no text").to_owned(),
        fields: Vec::new(),
        stack: sentry::integrations::backtrace::current_stacktrace(),
        is_panic: true,
    }
}

struct ErrorLayer(Desk);

impl<S: Subscriber> Layer<S> for ErrorLayer {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        self.0.put(Report {
            at: SystemTime::now(),
            thread: thread_name(),
            place: event.metadata().target().to_owned(),
            text: words.message,
            fields: words.fields,
            stack: None,
            is_panic: false,
        });
    }
}

/// An event's fields as text.
#[derive(Default)]
struct Words {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Words {
    fn take(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.push((field.name(), value));
        }
    }
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}
