//! What it costs an order to be watched: the real venue, closed loop, with nobody looking and with
//! scrapes of `/metrics` and traced requests every 20 ms and a DogStatsD agent.
//!
//! * `instructions`: those of the core thread for each order, as callgrind counts them, and of them those
//!   in functions of the matching core and of the protocols, which no idle round runs;
//! * `calls`: system calls of the core thread for each order, as strace counts them;
//! * `time`: round trips as the client sees them, nothing traced.
//!
//! Runs without and with watchers take turns. What two runs of one kind differ by is the noise that a
//! difference between the kinds has to be seen beside; the idle rounds of the core's loop, whose
//! number depends on when its clients get to run, are most of it.
//!
//! `cargo bench --bench watchers [-- instructions|calls|time] [RUNS]`

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::server::{self, Server};
use support::talk::BinaryTalk;
use trading_engine_protocol::binary::message::{Fill, OrderAccepted};

const EVERY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, PartialEq)]
enum Measure {
    Instructions,
    Calls,
    Time,
}

impl Measure {
    const ALL: [(&str, Self); 3] = [
        ("instructions", Self::Instructions),
        ("calls", Self::Calls),
        ("time", Self::Time),
    ];

    /// Pairs of orders in a run: valgrind takes fifty times as long.
    fn trades(self) -> u64 {
        match self {
            Self::Instructions | Self::Calls => 2_000,
            Self::Time => 20_000,
        }
    }

    /// A tracer that becomes the venue, its output in `folder`.
    fn tracer(self, folder: &Path) -> Option<Command> {
        match self {
            Self::Instructions => {
                let mut command = Command::new("valgrind");
                let out = folder.join("callgrind");
                command
                    .args([
                        "--tool=callgrind",
                        "--separate-threads=yes",
                        "--fair-sched=yes",
                        "-q",
                    ])
                    .arg(format!("--callgrind-out-file={}", out.display()));
                Some(command)
            }
            Self::Calls => {
                let mut command = Command::new("strace");
                command
                    .args(["-D", "-f", "-q", "-o"])
                    .arg(folder.join("calls"));
                Some(command)
            }
            Self::Time => None,
        }
    }
}

/// Looks at the venue until told to stop; counts the looks.
struct Watchers {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Watchers {
    fn start(server: &Server) -> Self {
        let (stop, looks): (Arc<AtomicBool>, Arc<AtomicU64>) = Default::default();
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&looks));
        let (http, metrics) = (server.http, server.metrics);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                assert_eq!(server::get(metrics, "/metrics").0, 200);
                assert_eq!(server::get(http, "/book/TEST-A").0, 200);
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::park_timeout(EVERY);
            }
        });
        Self {
            stop,
            looks,
            thread,
        }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watchers got answers");
        self.looks.load(Ordering::Relaxed)
    }
}

/// Takes what is sent to it and answers 200.
fn collector() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut bytes = [0; 64 << 10];
                while socket.read(&mut bytes).is_ok_and(|read| read > 0) {
                    let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                }
            });
        }
    });
    format!("http://{address}")
}

/// One run: what an order took, in the measure's unit; for `time` the 50th, 99th and 99.9th
/// percentile in microseconds.
fn run(measure: Measure, watched: bool) -> (Vec<f64>, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let agent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let agent = agent.local_addr().expect("an address").to_string();
    let endpoint = collector();
    let mut settings = vec![
        ("TOPOLOGY", "compact"),
        ("IDLE", "park"),
        ("MAX_ORDERS", "1024"),
        ("MAX_CLIENT_ORDER_IDS", "65536"),
        ("JOURNAL_POLICY", "os"),
        ("JOURNAL_SEGMENT_BYTES", "67108864"),
    ];
    if watched {
        settings.push(("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint));
        settings.push(("DOGSTATSD_ADDRESS", &agent));
    }
    let server = match measure.tracer(folder.path()) {
        Some(tracer) => Server::start_traced(tracer, &data, &settings),
        None => Server::start(&data, &settings),
    };
    let core = core_thread(&server);
    let credentials = server.credentials();
    let mut buyer = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    let mut seller = BinaryTalk::logged_on(server.binary, &credentials.binary[1], 30_000);
    let watchers = watched.then(|| Watchers::start(&server));
    let mut times = Vec::new();
    for number in 1..=measure.trades() {
        let started = Instant::now();
        buyer.send(&buyer.order(number, 1, 5, 100));
        let _: OrderAccepted = buyer.expect_a();
        times.push(started.elapsed().as_nanos() as f64 / 1e3);
        seller.send(&seller.order(number, 2, 5, 100));
        let _: OrderAccepted = seller.expect_a();
        let _: Fill = seller.expect_a();
        let _: Fill = buyer.expect_a();
    }
    let looks = watchers.map_or(0, Watchers::stop);
    // A drain with nobody there: what it takes is no order's.
    drop((buyer, seller));
    server_without_clients(&server);
    assert_eq!(server.terminate(), Some(0));
    let orders = 2.0 * measure.trades() as f64;
    let values = match measure {
        Measure::Instructions => instructions(folder.path()).map(|all| all / orders).to_vec(),
        Measure::Calls => vec![calls(&folder.path().join("calls"), core) / orders],
        Measure::Time => {
            times.sort_by(f64::total_cmp);
            let at = |quantile: f64| times[(times.len() as f64 * quantile) as usize];
            vec![at(0.5), at(0.99), at(0.999)]
        }
    };
    (values, looks)
}

/// Returns when the venue saw its clients go.
fn server_without_clients(server: &Server) {
    let gone = "trading_engine_connections 0";
    while !server::get(server.metrics, "/metrics").1.contains(gone) {
        std::thread::yield_now();
    }
}

fn core_thread(server: &Server) -> u32 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("the venue runs");
    for task in tasks.flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.trim() == "core" {
            return task.file_name().to_string_lossy().parse().unwrap_or(0);
        }
    }
    0
}

/// Callgrind writes a file for each thread; the core's is the one that has the engine's agent. All
/// instructions of the thread, and those in functions of the matching core and of the protocols.
fn instructions(folder: &Path) -> [f64; 2] {
    let files = std::fs::read_dir(folder)
        .expect("callgrind wrote")
        .flatten();
    for file in files {
        if !file.file_name().to_string_lossy().starts_with("callgrind") {
            continue;
        }
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        if text.contains("EngineAgent as") {
            let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
            let total = total.and_then(|total| total.trim().parse().ok());
            return [total.unwrap_or(f64::NAN), of_orders(&text)];
        }
    }
    [f64::NAN; 2]
}

/// Names stand in full where they come first, later as their number in parentheses; behind `calls=`
/// comes a line with what the callee took.
fn of_orders(text: &str) -> f64 {
    let mut is_counted = std::collections::HashMap::new();
    let (mut counts, mut skip, mut sum) = (false, false, 0.0);
    for line in text.lines() {
        let name = ["fn=", "cfn="]
            .iter()
            .find_map(|key| line.strip_prefix(key));
        if let Some((number, rest)) = name.and_then(|name| name.split_once(')')) {
            if !rest.is_empty() {
                let of = |part| rest.contains(part);
                let of = of("trading_engine::engine::") || of("trading_engine_protocol::");
                is_counted.insert(number.to_owned(), of);
            }
            if line.starts_with("fn=") {
                counts = is_counted.get(number).copied().unwrap_or(false);
            }
        } else if line.starts_with("calls=") {
            skip = true;
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            let cost = line
                .split(' ')
                .next_back()
                .and_then(|cost| cost.parse::<f64>().ok());
            if counts && !skip {
                sum += cost.unwrap_or(0.0);
            }
            skip = false;
        }
    }
    sum
}

fn calls(file: &Path, core: u32) -> f64 {
    let text = std::fs::read_to_string(file).expect("strace wrote");
    let core = core.to_string();
    let of_core = text
        .lines()
        .filter(|line| line.split(' ').next() == Some(&core));
    // A call that was interrupted by another thread's line is two.
    of_core.filter(|line| !line.contains("<... ")).count() as f64
}

fn report(measure: Measure, runs: usize) {
    let name = Measure::ALL
        .iter()
        .find(|(_, of)| *of == measure)
        .map_or("", |(name, _)| name);
    let mut all: [Vec<Vec<f64>>; 2] = Default::default();
    let mut seen = 0;
    for _ in 0..runs {
        for (of, watched) in [false, true].into_iter().enumerate() {
            let (values, looks) = run(measure, watched);
            all[of].push(values);
            seen += looks;
        }
    }
    let columns = all[0][0].len();
    for column in 0..columns {
        let label = match measure {
            Measure::Instructions => ["thread", "core code"][column],
            Measure::Calls => "thread",
            Measure::Time => ["p50 us", "p99 us", "p99.9 us"][column],
        };
        let mut lines = all.iter().map(|runs| {
            let mut values: Vec<f64> = runs.iter().map(|run| run[column]).collect();
            values.sort_by(f64::total_cmp);
            values
        });
        let (without, with) = (
            lines.next().unwrap_or_default(),
            lines.next().unwrap_or_default(),
        );
        let middle = |values: &[f64]| values[values.len() / 2];
        let spread = |values: &[f64]| (values[values.len() - 1] / values[0] - 1.0) * 100.0;
        println!(
            "{name:<13} {label:<9} without {:>10.2} (runs differ by {:.2} %)  with {:>10.2} ({:.2} %)  \
             difference {:+.2} %",
            middle(&without),
            spread(&without),
            middle(&with),
            spread(&with),
            (middle(&with) / middle(&without) - 1.0) * 100.0
        );
    }
    println!("{name:<13} looks in {runs} watched runs: {seen}");
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runs = words.iter().find_map(|word| word.parse().ok()).unwrap_or(5);
    let chosen = |name: &str| words.iter().any(|word| word == name);
    let any = Measure::ALL.iter().any(|(name, _)| chosen(name));
    for (name, measure) in Measure::ALL {
        if !any || chosen(name) {
            report(measure, runs);
        }
    }
}
