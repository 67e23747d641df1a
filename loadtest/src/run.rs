//! Open-loop load: every request has a time it is meant to leave at, and its latency counts from
//! there, so that a stall of the venue (or of this program) is in the figures of all requests that
//! were due meanwhile.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use clap::ValueEnum;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::client::{Answer, Client, Instrument, Order, Side, first_id};
use crate::credentials::{Login, Protocol};
use crate::echo::{Floor, Sizes};
use crate::random::Random;
use crate::report::{Bottleneck, Percentiles, Report, histogram};

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arrivals {
    /// The same time between any two.
    Even,
    /// Independent of each other, as those of many traders are.
    Poisson,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which door.
    pub protocol: Protocol,
    /// Where it is.
    pub address: SocketAddr,
    /// Who trades.
    pub logins: Vec<Login>,
    /// What.
    pub symbol: String,
    /// Requests a second, all sessions together.
    pub rate: f64,
    /// How they follow each other.
    pub arrivals: Arrivals,
    /// Not measured.
    pub warmup: Duration,
    /// Measured.
    pub duration: Duration,
    /// Of 100 requests, cancels.
    pub cancels: u64,
    /// Of 100 requests, replaces.
    pub replaces: u64,
    /// Price around which orders are entered, mantissa of 10^-8.
    pub middle: i64,
    /// Price step, mantissa of 10^-8.
    pub tick: i64,
    /// Quantity of one lot, mantissa of 10^-8.
    pub lot: i64,
    /// Repeats the same requests.
    pub seed: u64,
    /// Where to write the histogram log.
    pub hlog: Option<PathBuf>,
}

/// What is asked of the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Enter,
    Cancel,
    Replace,
}

const REQUESTS: [(Request, &str); 3] = [
    (Request::Enter, "new"),
    (Request::Cancel, "cancel"),
    (Request::Replace, "replace"),
];

struct Pending {
    intended_ns: u64,
    request: Request,
    measured: bool,
}

/// Open orders of one session beyond which it cancels rather than enters.
const OPEN_MAX: usize = 256;
/// Time the last answers may take.
pub(crate) const PATIENCE_NS: u64 = 10_000_000_000;
/// Below this, waiting for a time is done by looking at the clock: a sleep is no finer.
const SPIN_NS: u64 = 70_000;
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// A request that leaves so late was not open-loop any more.
const LAG_BOUND_NS: u64 = 1_000_000;

/// One session and what it has under way.
struct Flow {
    client: Client,
    instrument: Instrument,
    pending: HashMap<u64, Pending>,
    /// Id, side, price and quantity of resting orders.
    open: Vec<Order>,
}

struct Tallies {
    latency: Histogram<u64>,
    by_request: [Histogram<u64>; 3],
    lag: Histogram<u64>,
    second: Histogram<u64>,
    p50_by_second: Vec<u64>,
    answered: u64,
    refused: u64,
}

impl Flow {
    /// Draws the next request of this session and queues it.
    fn request(&mut self, settings: &Settings, random: &mut Random, id: u64) -> Request {
        let draw = random.below(100);
        let kind = if self.open.len() >= OPEN_MAX || draw < settings.cancels {
            Request::Cancel
        } else if draw < settings.cancels + settings.replaces {
            Request::Replace
        } else {
            Request::Enter
        };
        if kind == Request::Enter || self.open.is_empty() {
            let side = if random.below(2) == 0 {
                Side::Buy
            } else {
                Side::Sell
            };
            // A quarter reach over to the other side, the rest joins its own.
            let immediate = random.below(4) == 0;
            let away = 1 + random.below(10) as i64;
            let towards = if immediate { 1 } else { -1 };
            let sign = if side == Side::Buy { 1 } else { -1 };
            let order = Order {
                id,
                side,
                price: settings.middle + sign * towards * away * settings.tick,
                quantity: (1 + random.below(10) as i64) * settings.lot,
                immediate,
            };
            self.client.enter(&self.instrument, &order);
            if !immediate {
                self.open.push(order);
            }
            return Request::Enter;
        }
        let index = random.below(self.open.len() as u64) as usize;
        if kind == Request::Cancel {
            let order = self.open.swap_remove(index);
            self.client
                .cancel(&self.instrument, id, order.id, order.side);
            return Request::Cancel;
        }
        let order = &mut self.open[index];
        let original = order.id;
        order.id = id;
        order.quantity = (1 + random.below(10) as i64) * settings.lot;
        let order = *order;
        self.client.replace(&self.instrument, original, &order);
        Request::Replace
    }

    fn take(&mut self, answer: &Answer, now_ns: u64, tallies: &mut Tallies) -> bool {
        let (id, refused) = match *answer {
            Answer::Accepted { id, .. } => (id, false),
            Answer::Rejected { id, .. } => {
                self.open.retain(|order| order.id != id);
                (id, true)
            }
            Answer::Replaced { id, leaves, .. } => {
                if leaves == 0 {
                    self.open.retain(|order| order.id != id);
                }
                (id, false)
            }
            // The order may have traded away while the request was under way.
            Answer::Refused { id } => {
                self.open.retain(|order| order.id != id);
                (id, true)
            }
            Answer::Canceled { request, original } => {
                self.open.retain(|order| order.id != original);
                match request {
                    Some(id) => (id, false),
                    None => return false,
                }
            }
            Answer::Fill { id, leaves, .. } => {
                if leaves == 0 {
                    self.open.retain(|order| order.id != id);
                }
                return false;
            }
            // Nobody quotes here.
            _ => return false,
        };
        let Some(pending) = self.pending.remove(&id) else {
            return false;
        };
        if pending.measured {
            let latency = now_ns.saturating_sub(pending.intended_ns);
            tallies.answered += 1;
            tallies.refused += u64::from(refused);
            tallies.latency.saturating_record(latency);
            tallies.second.saturating_record(latency);
            for ((request, _), histogram) in REQUESTS.iter().zip(&mut tallies.by_request) {
                if *request == pending.request {
                    histogram.saturating_record(latency);
                }
            }
        }
        true
    }
}

/// A bar on a terminal, a line every few seconds elsewhere.
pub struct Progress {
    bar: ProgressBar,
    plain: bool,
    next: Instant,
}

impl Progress {
    /// `length` steps of something.
    pub fn new(length: u64, what: &str) -> Self {
        let plain = !io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            Some(length),
            if plain {
                ProgressDrawTarget::hidden()
            } else {
                ProgressDrawTarget::stderr_with_hz(5)
            },
        );
        let style = format!("{{bar:32}} {{pos}}/{{len}} {what} {{per_sec}} eta {{eta}} {{msg}}");
        if let Ok(style) = ProgressStyle::with_template(&style) {
            bar.set_style(style);
        }
        Self {
            bar,
            plain,
            next: Instant::now() + Duration::from_secs(5),
        }
    }

    /// So far.
    pub fn set(&mut self, position: u64) {
        self.bar.set_position(position);
        if self.plain && Instant::now() >= self.next {
            self.next += Duration::from_secs(5);
            let length = self.bar.length().unwrap_or(0);
            eprintln!("{position}/{length}");
        }
    }

    /// Done.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Pings the floor beside the load, a hundred times a second.
fn floor(sizes: Sizes, stop: Arc<AtomicBool>) -> io::Result<Histogram<u64>> {
    let mut floor = Floor::start(sizes, None)?;
    let mut histogram = histogram();
    while !stop.load(Ordering::Relaxed) {
        histogram.saturating_record(floor.ping()?.as_nanos() as u64);
        std::thread::park_timeout(Duration::from_millis(10));
    }
    Ok(histogram)
}

/// Does something with the echo running beside it.
pub(crate) fn beside_floor<T>(
    sizes: Sizes,
    act: impl FnOnce() -> io::Result<T>,
) -> io::Result<(T, Percentiles)> {
    let stop: Arc<AtomicBool> = Arc::default();
    let stopping = Arc::clone(&stop);
    let floor = std::thread::Builder::new()
        .name("floor".into())
        .spawn(move || floor(sizes, stopping))?;
    let outcome = act();
    stop.store(true, Ordering::Relaxed);
    floor.thread().unpark();
    let floor = floor
        .join()
        .map_err(|_| io::Error::other("the echo thread ended in a panic"))??;
    Ok((outcome?, Percentiles::of(&floor)))
}

/// Runs.
///
/// # Errors
/// The network's, a refused logon, a connection that broke.
pub fn run(settings: &Settings) -> io::Result<Report> {
    let mut flows = Vec::new();
    for login in &settings.logins {
        let client = Client::logon(settings.address, login)?;
        client.set_nonblocking()?;
        let instrument = client.instrument(&settings.symbol)?;
        flows.push(Flow {
            client,
            instrument,
            pending: HashMap::new(),
            open: Vec::new(),
        });
    }
    let sizes = match settings.protocol {
        Protocol::Binary => Sizes::BINARY,
        Protocol::Fix => fix_sizes(&mut flows, settings)?,
    };
    let (outcome, floor) = beside_floor(sizes, || drive(settings, &mut flows))?;
    let (mut report, tallies) = outcome;
    report.floor_ns = floor;
    if let Some(path) = &settings.hlog {
        write_log(path, settings, &tallies.latency)?;
    }
    for flow in flows {
        flow.client.logout()?;
    }
    Ok(report)
}

/// Sizes of a FIX order and its acknowledgement, as they are here.
fn fix_sizes(flows: &mut [Flow], settings: &Settings) -> io::Result<Sizes> {
    let id = first_id();
    let Some(flow) = flows.first_mut() else {
        return Err(io::Error::other("a run needs a session"));
    };
    let order = Order {
        id,
        side: Side::Buy,
        price: settings.middle - 20 * settings.tick,
        quantity: settings.lot,
        immediate: false,
    };
    flow.client.enter(&flow.instrument, &order);
    let request = flow.client.unwritten();
    let before = flow.client.received;
    let until = Instant::now() + Duration::from_secs(5);
    wait_for(
        flow,
        until,
        |answer| matches!(answer, Answer::Accepted { id: it, .. } | Answer::Rejected { id: it, .. } if *it == id),
    )?;
    let answer = (flow.client.received - before) as usize;
    flow.client.cancel(&flow.instrument, id + 1, id, order.side);
    wait_for(flow, until, |answer| {
        matches!(answer, Answer::Canceled { .. } | Answer::Refused { .. })
    })?;
    Ok(Sizes { request, answer })
}

fn wait_for(
    flow: &mut Flow,
    until: Instant,
    mut is_it: impl FnMut(&Answer) -> bool,
) -> io::Result<()> {
    while Instant::now() < until {
        flow.client.flush()?;
        flow.client.fill()?;
        while let Some(answer) = flow.client.answer()? {
            if is_it(&answer) {
                return Ok(());
            }
        }
        std::thread::yield_now();
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "the venue does not answer",
    ))
}

fn drive(settings: &Settings, flows: &mut [Flow]) -> io::Result<(Report, Tallies)> {
    let mut random = Random::new(settings.seed);
    // A stream of its own: the schedule does not depend on what the venue answered.
    let mut schedule = Random::new(!settings.seed);
    let mut tallies = Tallies {
        latency: histogram(),
        by_request: std::array::from_fn(|_| histogram()),
        lag: histogram(),
        second: histogram(),
        p50_by_second: Vec::new(),
        answered: 0,
        refused: 0,
    };
    let warmup_ns = settings.warmup.as_nanos() as u64;
    let end_ns = warmup_ns + settings.duration.as_nanos() as u64;
    let mean_ns = 1e9 / settings.rate;
    let total = (end_ns as f64 / mean_ns) as u64;
    let mut progress = Progress::new(total, "requests");
    let mut next_id = first_id();
    let mut requests = 0u64;
    let mut sent = 0u64;
    let mut due = 0.0f64;
    let mut pending = 0u64;
    let mut last_sent_ns = warmup_ns;
    let mut second_ends = warmup_ns + SECOND_NS;
    let mut turn = 0;
    let mut housekeeping_ns = 0;
    let begun = Instant::now();
    loop {
        let now_ns = begun.elapsed().as_nanos() as u64;
        // Everything that is due leaves, each session's in one write.
        while due as u64 <= now_ns && (due as u64) < end_ns {
            let intended_ns = due as u64;
            let flow = &mut flows[turn];
            turn = (turn + 1) % settings.logins.len();
            let request = flow.request(settings, &mut random, next_id);
            let measured = intended_ns >= warmup_ns;
            flow.pending.insert(
                next_id,
                Pending {
                    intended_ns,
                    request,
                    measured,
                },
            );
            next_id += 1;
            requests += 1;
            pending += 1;
            if measured {
                sent += 1;
                last_sent_ns = now_ns;
                tallies.lag.saturating_record(now_ns - intended_ns);
            }
            due += match settings.arrivals {
                Arrivals::Even => mean_ns,
                Arrivals::Poisson => -schedule.unit().ln() * mean_ns,
            };
        }
        let mut busy = false;
        for flow in flows.iter_mut() {
            flow.client.flush()?;
        }
        let done_sending = due as u64 >= end_ns;
        for flow in flows.iter_mut() {
            if flow.pending.is_empty() && !done_sending && flow.client.unwritten() == 0 {
                continue;
            }
            if flow.client.fill()? {
                busy = true;
                let now_ns = begun.elapsed().as_nanos() as u64;
                while let Some(answer) = flow.client.answer()? {
                    pending -= u64::from(flow.take(&answer, now_ns, &mut tallies));
                }
            }
        }
        let now_ns = begun.elapsed().as_nanos() as u64;
        if now_ns >= second_ends {
            if !tallies.second.is_empty() {
                tallies
                    .p50_by_second
                    .push(tallies.second.value_at_quantile(0.5));
                tallies.second.reset();
            }
            second_ends += SECOND_NS;
        }
        if now_ns >= housekeeping_ns {
            housekeeping_ns = now_ns + SECOND_NS / 10;
            progress.set(requests);
            for flow in flows.iter_mut() {
                // What trades while a session asks nothing is read here.
                if flow.client.fill()? {
                    while let Some(answer) = flow.client.answer()? {
                        pending -= u64::from(flow.take(&answer, now_ns, &mut tallies));
                    }
                }
                flow.client.keep_alive();
            }
        }
        if done_sending && (pending == 0 || now_ns > end_ns + PATIENCE_NS) {
            break;
        }
        if !busy {
            let until = if done_sending {
                now_ns + SECOND_NS / 100
            } else {
                (due as u64).min(housekeeping_ns)
            };
            wait(
                flows.iter().map(|flow| &flow.client),
                until.saturating_sub(now_ns),
            )?;
        }
    }
    progress.finish();
    if !tallies.second.is_empty() {
        tallies
            .p50_by_second
            .push(tallies.second.value_at_quantile(0.5));
    }
    let unanswered = pending;
    clean_up(flows, &mut next_id)?;
    // The schedule is sent to its end, however late: a rate that was not kept shows as more time.
    let planned = settings.duration.as_secs_f64();
    let seconds = planned.max(last_sent_ns.saturating_sub(warmup_ns) as f64 / 1e9);
    let achieved_rate = sent as f64 / seconds;
    let lag = Percentiles::of(&tallies.lag);
    let latency = Percentiles::of(&tallies.latency);
    let report = Report {
        schema: 1,
        scenario: Report::ORDERS.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: settings.protocol.name().into(),
        sessions: settings.logins.len(),
        intended_rate: settings.rate,
        achieved_rate,
        seconds,
        sent,
        answered: tallies.answered,
        refused: tallies.refused,
        unanswered,
        latency_ns: latency,
        by_request_ns: REQUESTS
            .iter()
            .zip(&tallies.by_request)
            .map(|((_, name), histogram)| ((*name).to_owned(), Percentiles::of(histogram)))
            .collect(),
        send_lag_ns: lag,
        floor_ns: Percentiles::default(),
        p50_by_second_ns: tallies.p50_by_second.clone(),
        bottleneck: bottleneck(lag, latency, seconds, planned),
        makers: None,
    };
    Ok((report, tallies))
}

/// The client, if it was late beyond doubt, or late enough to be a good part of what was measured.
pub(crate) fn bottleneck(
    lag: Percentiles,
    latency: Percentiles,
    seconds: f64,
    planned: f64,
) -> Bottleneck {
    if lag.p99 > LAG_BOUND_NS || lag.p50 * 2 > latency.p50 || seconds > planned * 1.02 {
        Bottleneck::Client
    } else {
        Bottleneck::Venue
    }
}

/// Waits for a socket or for the time, whichever is first.
pub(crate) fn wait<'a>(clients: impl Iterator<Item = &'a Client>, ns: u64) -> io::Result<()> {
    if ns < SPIN_NS {
        std::hint::spin_loop();
        return Ok(());
    }
    let mut sockets: Vec<PollFd<'_>> = clients
        .map(|client| {
            let flags = if client.unwritten() > 0 {
                PollFlags::IN | PollFlags::OUT
            } else {
                PollFlags::IN
            };
            PollFd::from_borrowed_fd(client.fd(), flags)
        })
        .collect();
    let ns = ns - SPIN_NS;
    let timeout = Timespec {
        tv_sec: (ns / SECOND_NS) as i64,
        tv_nsec: (ns % SECOND_NS) as i64,
    };
    match poll(&mut sockets, Some(&timeout)) {
        Ok(_) => Ok(()),
        Err(error) if error == rustix::io::Errno::INTR => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Leaves the book as it was found.
fn clean_up(flows: &mut [Flow], next_id: &mut u64) -> io::Result<()> {
    for flow in flows.iter_mut() {
        for order in std::mem::take(&mut flow.open) {
            flow.client
                .cancel(&flow.instrument, *next_id, order.id, order.side);
            flow.pending.insert(
                *next_id,
                Pending {
                    intended_ns: 0,
                    request: Request::Cancel,
                    measured: false,
                },
            );
            *next_id += 1;
        }
    }
    let until = Instant::now() + Duration::from_secs(5);
    let mut tallies = Tallies {
        latency: histogram(),
        by_request: std::array::from_fn(|_| histogram()),
        lag: histogram(),
        second: histogram(),
        p50_by_second: Vec::new(),
        answered: 0,
        refused: 0,
    };
    for flow in flows.iter_mut() {
        while !flow.pending.is_empty() && Instant::now() < until {
            flow.client.flush()?;
            if !flow.client.fill()? {
                std::thread::yield_now();
            }
            while let Some(answer) = flow.client.answer()? {
                flow.take(&answer, 0, &mut tallies);
            }
        }
    }
    Ok(())
}

/// The HdrHistogram interval log of the run: one interval.
pub(crate) fn write_log(
    path: &std::path::Path,
    settings: &Settings,
    latency: &Histogram<u64>,
) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    let mut serializer = V2DeflateSerializer::new();
    let failed = |error: &dyn std::fmt::Debug| {
        io::Error::other(format!("histogram log {}: {error:?}", path.display()))
    };
    let mut writer = IntervalLogWriterBuilder::new()
        .with_start_time(SystemTime::now())
        .with_max_value_divisor(1_000.0)
        .begin_log_with(&mut file, &mut serializer)
        .map_err(|error| failed(&error))?;
    writer
        .write_histogram(
            latency,
            settings.warmup,
            settings.duration,
            Tag::new(settings.protocol.name()),
        )
        .map_err(|error| failed(&error))
}
