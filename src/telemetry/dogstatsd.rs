//! The same metrics to a Datadog agent, when one is named: a thread looks at the registry every ten
//! seconds and sends what it sees as DogStatsD datagrams. It never waits for the network: what the
//! socket does not take at once is dropped and counted.
//!
//! Counters are sent as what they grew by, gauges as they are, histograms as counters of their number
//! and sum, with the 50th, 99th and 99.9th percentile of the last ten seconds as gauges.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io;
use std::net::{ToSocketAddrs as _, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::exposition::{Sample, Value};
use super::outgoing::join_soon;
use super::{Exposition, Registry, Source};
use crate::metric_names::{self as names, Kind, Metric};

/// How often.
pub const EVERY: Duration = Duration::from_secs(10);
/// A datagram that no network of 1500 bytes splits.
const DATAGRAM_BYTES: usize = 1432;
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)];

/// What sends metrics.
#[derive(Clone)]
pub struct DogStatsd {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl fmt::Debug for DogStatsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DogStatsd").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl DogStatsd {
    /// Sends what `registry` sees to host and port, in the name of an environment: now and then every
    /// `every`.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(
        registry: Registry,
        agent: (String, u16),
        environment: &str,
        every: Duration,
    ) -> io::Result<Self> {
        let counts: Arc<Counts> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let (told, stopped) = (Arc::clone(&counts), Arc::clone(&stop));
        let version = env!("CARGO_PKG_VERSION");
        let tags = format!("service:trading-engine,env:{environment},version:{version}");
        let thread = std::thread::Builder::new()
            .name("dogstatsd".into())
            .spawn(move || {
                let mut sending = Sending {
                    agent,
                    socket: None,
                    encoder: Encoder::new(tags),
                    counts: told,
                };
                while !stopped.load(Ordering::Acquire) {
                    sending.send(&registry.look());
                    let until = Instant::now() + every;
                    while !stopped.load(Ordering::Acquire) && Instant::now() < until {
                        std::thread::park_timeout(until - Instant::now());
                    }
                }
                sending.send(&registry.look());
            })?;
        Ok(Self {
            counts,
            stop,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }

    /// Sends what there is and ends.
    pub fn finish(&self) {
        self.stop.store(true, Ordering::Release);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            thread.thread().unpark();
            join_soon(thread);
        }
    }
}

impl Source for DogStatsd {
    fn render(&self, out: &mut Exposition) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (sent, dropped) = (read(&self.counts.sent), read(&self.counts.dropped));
        out.series(&names::TELEMETRY_SENT, [(["dogstatsd"], sent)]);
        out.series(&names::TELEMETRY_DROPPED, [(["dogstatsd"], dropped)]);
    }
}

struct Sending {
    agent: (String, u16),
    socket: Option<UdpSocket>,
    encoder: Encoder,
    counts: Arc<Counts>,
}

impl Sending {
    fn send(&mut self, look: &Exposition) {
        if self.socket.is_none() {
            self.socket = connect(&self.agent)
                .inspect_err(|error| tracing::debug!(%error, "no DogStatsD agent"))
                .ok();
        }
        let mut is_gone = false;
        for datagram in self.encoder.datagrams(look) {
            let socket = self.socket.as_ref();
            let sent = socket.map(|socket| socket.send(&datagram));
            let count = match &sent {
                Some(Ok(_)) => &self.counts.sent,
                Some(Err(_)) | None => &self.counts.dropped,
            };
            count.fetch_add(1, Ordering::Relaxed);
            let refused = |error: &io::Error| error.kind() != io::ErrorKind::WouldBlock;
            is_gone |= sent.is_some_and(|sent| sent.as_ref().is_err_and(refused));
        }
        if is_gone {
            // The agent may be at another address by the next time.
            self.socket = None;
        }
    }
}

fn connect(agent: &(String, u16)) -> io::Result<UdpSocket> {
    let mut addresses = (agent.0.as_str(), agent.1).to_socket_addrs()?;
    let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
    let socket = UdpSocket::bind(if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    })?;
    socket.set_nonblocking(true)?;
    socket.connect(address)?;
    Ok(socket)
}

/// Makes datagrams of looks, and remembers the last one.
struct Encoder {
    /// On everything.
    tags: String,
    last: HashMap<(&'static str, Vec<String>), Value>,
}

impl Encoder {
    fn new(tags: String) -> Self {
        Self {
            tags,
            last: HashMap::new(),
        }
    }

    fn datagrams(&mut self, look: &Exposition) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut datagram = Vec::new();
        for family in look.families() {
            for sample in &family.samples {
                for line in self.lines(family.metric, sample) {
                    if !datagram.is_empty() && datagram.len() + line.len() + 1 > DATAGRAM_BYTES {
                        all.push(std::mem::take(&mut datagram));
                    }
                    if !datagram.is_empty() {
                        datagram.push(b'\n');
                    }
                    datagram.extend_from_slice(line.as_bytes());
                }
            }
        }
        all.extend((!datagram.is_empty()).then_some(datagram));
        all
    }

    fn lines(&mut self, metric: &'static Metric, sample: &Sample) -> Vec<String> {
        let name = name(metric);
        let tags = self.tags_of(metric, sample);
        let key = (metric.name, sample.labels.clone());
        let last = match metric.kind {
            Kind::Gauge => None,
            Kind::Counter | Kind::Histogram(_) => self.last.insert(key, sample.value.clone()),
        };
        match (metric.kind, &sample.value, last) {
            (Kind::Gauge, Value::Whole(now), _) => vec![format!("{name}:{now}|g|#{tags}")],
            (Kind::Gauge, Value::Real(now), _) => vec![format!("{name}:{now}|g|#{tags}")],
            (_, Value::Whole(now), last) => {
                let before = if let Some(Value::Whole(before)) = last {
                    before
                } else {
                    0
                };
                count(&name, now.saturating_sub(before) as f64, &tags)
            }
            (_, Value::Real(now), last) => {
                let before = if let Some(Value::Real(before)) = last {
                    before
                } else {
                    0.0
                };
                count(&name, now - before, &tags)
            }
            (_, Value::Durations(now), last) => {
                let before = match last {
                    Some(Value::Durations(before)) => before,
                    _ => Default::default(),
                };
                let since = now.since(&before);
                let mut lines = count(&format!("{name}.count"), since.count() as f64, &tags);
                lines.extend(count(&format!("{name}.sum"), since.sum_seconds(), &tags));
                lines.extend(PERCENTILES.iter().filter_map(|(percentile, quantile)| {
                    let seconds = since.quantile_seconds(*quantile)?;
                    Some(format!("{name}.{percentile}:{seconds}|g|#{tags}"))
                }));
                lines
            }
        }
    }

    fn tags_of(&self, metric: &Metric, sample: &Sample) -> String {
        let mut tags = self.tags.clone();
        for (label, value) in metric.labels.iter().zip(&sample.labels) {
            // These would end the value or the line.
            let value = value.replace([',', '|', '\n', '\r', '#'], "_");
            let _ = write!(tags, ",{label}:{value}");
        }
        tags
    }
}

/// Datadog's form: `trading_engine.orders`; the kind of a metric is not part of its name.
fn name(metric: &Metric) -> String {
    let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
    match name.strip_prefix("trading_engine_") {
        Some(rest) => format!("trading_engine.{rest}"),
        None => format!("trading_engine.{name}"),
    }
}

/// Nothing, where nothing was counted.
fn count(name: &str, more: f64, tags: &str) -> Vec<String> {
    if more > 0.0 {
        vec![format!("{name}:{more}|c|#{tags}")]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Histogram;

    fn look(orders: u64, recorded: &Histogram) -> Exposition {
        let mut out = Exposition::default();
        out.series(&names::ORDERS, [(["A|B", "x"], orders)]);
        out.value(&names::CONNECTIONS, 3u64);
        out.value(&names::JOURNAL_SYNC, recorded);
        out
    }

    fn text(datagrams: Vec<Vec<u8>>) -> String {
        let lines: Vec<String> = datagrams
            .into_iter()
            .map(|datagram| String::from_utf8(datagram).unwrap())
            .collect();
        lines.join("\n")
    }

    #[test]
    fn counters_are_sent_as_growth_and_histograms_as_percentiles_since_the_last_time() {
        let mut encoder = Encoder::new("env:test".into());
        let syncs = Histogram::default();
        syncs.record_many(1_024_000, 100);
        assert_eq!(
            text(encoder.datagrams(&look(5, &syncs))),
            "trading_engine.orders:5|c|#env:test,instrument:A_B,firm:x\n\
             trading_engine.connections:3|g|#env:test\n\
             trading_engine.journal_sync_seconds.count:100|c|#env:test\n\
             trading_engine.journal_sync_seconds.sum:0.1024|c|#env:test\n\
             trading_engine.journal_sync_seconds.p50:0.001024|g|#env:test\n\
             trading_engine.journal_sync_seconds.p99:0.001024|g|#env:test\n\
             trading_engine.journal_sync_seconds.p999:0.001024|g|#env:test"
        );
        assert_eq!(
            text(encoder.datagrams(&look(5, &syncs))),
            "trading_engine.connections:3|g|#env:test"
        );
        let again = text(encoder.datagrams(&look(7, &syncs)));
        assert!(again.starts_with("trading_engine.orders:2|c|"), "{again}");
    }

    /// A name is looked up anew: where it leads to cannot be changed here, but a new socket can be seen.
    #[test]
    fn an_agent_that_refuses_is_looked_up_again() {
        let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = agent.local_addr().unwrap().port();
        let mut sending = Sending {
            agent: ("127.0.0.1".into(), port),
            socket: None,
            encoder: Encoder::new("env:test".into()),
            counts: Arc::default(),
        };
        let counts = Arc::clone(&sending.counts);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let syncs = Histogram::default();
        sending.send(&look(1, &syncs));
        assert_eq!((read(&counts.sent), read(&counts.dropped)), (1, 0));
        let first = agent.recv_from(&mut [0; DATAGRAM_BYTES]).unwrap().1;
        drop(agent);
        // The refusal of one datagram is told with the next.
        sending.send(&look(2, &syncs));
        sending.send(&look(3, &syncs));
        assert_eq!((read(&counts.sent), read(&counts.dropped)), (2, 1));
        assert!(sending.socket.is_none());
        let agent = UdpSocket::bind(("127.0.0.1", port)).unwrap();
        sending.send(&look(4, &syncs));
        assert_eq!(read(&counts.sent), 3);
        let second = agent.recv_from(&mut [0; DATAGRAM_BYTES]).unwrap().1;
        assert_ne!(first.port(), second.port());
    }

    #[test]
    fn datagrams_are_bounded() {
        let mut encoder = Encoder::new("env:test".into());
        let mut out = Exposition::default();
        let rows = (0..200).map(|n| ([format!("I{n}"), "firm".to_owned()], n + 1));
        out.series(
            &names::ORDERS,
            rows.map(|(labels, n): (_, u64)| (labels, n)),
        );
        let datagrams = encoder.datagrams(&out);
        assert!(datagrams.len() > 5);
        assert!(
            datagrams
                .iter()
                .all(|datagram| datagram.len() <= DATAGRAM_BYTES)
        );
        assert_eq!(text(datagrams).lines().count(), 200);
    }
}
