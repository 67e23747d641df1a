//! What the snapshots of the core cost who trades meanwhile: the real venue with many resting orders, its journal in
//! the smallest segments there are, so that one snapshot follows the other, and the same venue without snapshots.
//!
//! Latency is from the intended time of sending to the answer, open loop, as `loadtest run` measures it, journal synced
//! by group. Rounds take turns: without, with, without again. What the two without differ by is the noise that the
//! difference has to be seen beside. The venue, its snapshots and the clients share the machine's cores, which is the
//! way in which a snapshot can delay a command at all: the bench says how many there are, and what part of the time
//! snapshots were at work.
//!
//! `cargo bench --bench snapshots [-- ROUNDS [RESTING]]`

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use loadtest::client::{Answer, Client, Order, Side, first_id};
use loadtest::credentials::{Credentials, Protocol};
use loadtest::run::{self, Arrivals};
use support::server::{self, Server};

/// Open loop: requests a second.
const RATE: f64 = 1_000.0;
const SECONDS: u64 = 8;
/// Orders under way while the book is filled.
const AHEAD: u64 = 1_024;
/// Prices and quantities are mantissas of 10^-8.
const UNIT: i64 = 100_000_000;

/// What a run came to, microseconds; of snapshots made meanwhile the number and the share of the time.
#[derive(Clone, Copy, Default)]
struct Figures {
    latency: [f64; 5],
    made: f64,
    at_work: f64,
}

const NAMES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "slowest"];

/// A figure of `/metrics`.
fn metric(server: &Server, name: &str) -> f64 {
    let text = server::get(server.metrics, "/metrics").1;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.trim().parse().ok())
        .unwrap_or(0.0)
}

fn made(server: &Server) -> f64 {
    metric(server, "trading_engine_snapshots_total{result=\"made\"}")
}

/// So many orders rest, away from where the load trades.
fn fill(server: &Server, credentials: &Credentials, resting: u64) -> Client {
    let login = credentials.login(Protocol::Binary, "load-16");
    let login = login.expect("a session of the demo");
    let mut client = Client::logon(server.binary, &login).expect("a logon");
    let instrument = client.instrument("TEST-A").expect("the demo's instrument");
    let first = first_id();
    let (mut sent, mut accepted) = (0, 0);
    while accepted < resting {
        while sent < resting && sent - accepted < AHEAD {
            let (side, from) = if sent % 2 == 0 {
                (Side::Buy, 50)
            } else {
                (Side::Sell, 150)
            };
            let order = Order {
                id: first + sent,
                side,
                price: (from + (sent / 2 % 8) as i64) * UNIT,
                quantity: UNIT,
                immediate: false,
            };
            client.enter(&instrument, &order);
            sent += 1;
        }
        client.flush().expect("a connection");
        client.fill().expect("a connection");
        while let Some(answer) = client.answer().expect("an answer") {
            assert!(matches!(answer, Answer::Accepted { .. }), "{answer:?}");
            accepted += 1;
        }
    }
    client
}

/// One venue from its start to its end.
fn run_once(snapshots: bool, resting: u64) -> Figures {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let settings = [
        ("TOPOLOGY", "compact"),
        ("MAX_ORDERS", "262144"),
        ("MAX_CLIENT_ORDER_IDS", "1048576"),
        ("JOURNAL_SEGMENT_BYTES", "65536"),
        ("SNAPSHOTS", if snapshots { "true" } else { "false" }),
    ];
    let server = Server::start(&data, &settings);
    let credentials = Credentials::load(&server.data.join("demo").join("credentials.toml"));
    let credentials = credentials.expect("the venue wrote its demo's");
    let filler = fill(&server, &credentials, resting);
    let settings = run::Settings {
        protocol: Protocol::Binary,
        address: server.binary,
        logins: credentials
            .logins(Protocol::Binary, "load", 4)
            .expect("four sessions"),
        symbol: "TEST-A".into(),
        rate: RATE,
        arrivals: Arrivals::Poisson,
        // What was made of the filling is over by then.
        warmup: Duration::from_secs(3),
        duration: Duration::from_secs(SECONDS),
        cancels: 35,
        replaces: 10,
        middle: 100 * UNIT,
        tick: UNIT / 100,
        lot: UNIT,
        seed: 1,
        hlog: None,
    };
    let (before, begun) = (made(&server), Instant::now());
    let report = run::run(&settings).expect("a run");
    let (after, took) = (made(&server), begun.elapsed().as_secs_f64());
    assert_eq!(report.unanswered, 0, "every request is answered");
    let each = metric(&server, "trading_engine_snapshot_duration_seconds");
    drop(filler);
    assert_eq!(server.terminate(), Some(0));
    let l = report.latency_ns;
    Figures {
        latency: [l.p50, l.p90, l.p99, l.p99_9, l.max].map(|ns| ns as f64 / 1e3),
        made: after - before,
        at_work: (after - before) * each / took,
    }
}

fn main() {
    let words: Vec<u64> = std::env::args()
        .filter_map(|word| word.parse().ok())
        .collect();
    let rounds = words.first().copied().unwrap_or(7);
    let resting = words.get(1).copied().unwrap_or(50_000);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{rounds} rounds of {SECONDS} s, {RATE}/s, {resting} resting orders, {cores} cores");
    let kinds = [false, true, false];
    let mut all: [Vec<Figures>; 3] = Default::default();
    for _ in 0..rounds {
        for (figures, snapshots) in all.iter_mut().zip(kinds) {
            figures.push(run_once(snapshots, resting));
        }
    }
    let middle = |kind: usize, of: &dyn Fn(&Figures) -> f64| {
        let mut values: Vec<f64> = all[kind].iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "{:<10} {:>10} {:>10} {:>10}  {:>10} {:>10}",
        "us", "without", "with", "without", "with", "A/A"
    );
    for (at, name) in NAMES.iter().enumerate() {
        let of = |figures: &Figures| figures.latency[at];
        let [one, with, other] = [0, 1, 2].map(|kind| middle(kind, &of));
        let without = f64::midpoint(one, other);
        println!(
            "{name:<10} {one:>10.1} {with:>10.1} {other:>10.1}  {:>+10.1} {:>+10.1}",
            with - without,
            other - one
        );
    }
    println!(
        "snapshots: {:.0} made in a run, at work {:.0} % of the time",
        middle(1, &|figures| figures.made),
        middle(1, &|figures| figures.at_work) * 100.0
    );
}
