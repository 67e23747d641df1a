//! What it costs an order that everything looks on: the real venue with its embedded database and nobody
//! there, and with PostgreSQL, Redis, eight consoles, a scraper, traces and a DogStatsD agent
//! (`support/watched.rs`). Orders come from sessions of the load generator over TCP.
//!
//! * `instructions`: of the core thread for each request, as callgrind counts them, while the same script of
//!   requests runs closed loop. A thread that waits polls as often as there is time, which is nobody's cost, so
//!   each run looks first at what the thread does while nothing happens. Three figures: instructions that rounds
//!   which find nothing do not run, in the matching core and the protocols; all such instructions, which
//!   leaves out what rounds with and without work share (the loop, the polling); all of the thread.
//! * `calls`: system calls of the core thread for each request, as strace sees them, the script again: all, and
//!   without waits, what ends them, and reads that found nothing, which are of rounds rather than of requests.
//! * `time`: from the intended time of sending to the answer, open loop, as `loadtest run` measures it,
//!   nothing traced, with the venue's default way of waiting.
//!
//! Rounds take turns: without, with, without again. What the two without differ by is the noise that the
//! difference has to be seen beside. For `calls` and `time` the core thread has a processor of its own, as a
//! venue's has (`CORES`): watchers, databases, clients and the venue's other threads share the rest.
//! `shared` in the arguments leaves all processors to all.
//!
//! `cargo bench --bench watchers [-- instructions|calls|time] [shared] [ROUNDS]`

#[path = "support/callgrind.rs"]
mod callgrind;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "support/watched.rs"]
mod watched;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgrind::{Counts, Work};
use loadtest::client::{Answer, Client, Instrument, Order, Side, first_id};
use loadtest::credentials::{Credentials, Protocol};
use loadtest::run::{self, Arrivals};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use support::postgres::Postgres;
use support::server::{self, Server};
use trading_engine::ring;
use watched::{CONSOLES, SCRAPE, Seen, Services, Viewers};

/// Requests of the script, over and over; it ends with an empty book.
const SCRIPT: u64 = 5;
/// How long the thread is watched while nothing happens.
const IDLE: Duration = Duration::from_secs(2);
/// Open loop: requests a second.
const RATE: f64 = 2_000.0;
const PATIENCE: Duration = Duration::from_secs(60);
/// Prices and quantities are mantissas of 10^-8.
const UNIT: i64 = 100_000_000;

#[derive(Clone, Copy, PartialEq)]
enum Measure {
    Instructions,
    Calls,
    Time,
}

impl Measure {
    const ALL: [(&str, Self, usize); 3] = [
        ("instructions", Self::Instructions, 3),
        ("calls", Self::Calls, 3),
        ("time", Self::Time, 7),
    ];

    /// Turns of the script, or seconds of load.
    fn length(self) -> u64 {
        match self {
            Self::Instructions => 800,
            Self::Calls => 4_000,
            Self::Time => 4,
        }
    }
}

/// One column of a report, by name.
type Figures = BTreeMap<String, f64>;

struct Bench {
    /// The processor that is the core thread's own, and all that there are.
    own: Option<(String, String)>,
    postgres: Arc<Postgres>,
    seen: Vec<Seen>,
    /// Names of objects, by their number in profiles.
    objects: Vec<String>,
    /// What each run's core thread did while nothing happened, and while the script ran.
    profiles: Vec<[Counts; 2]>,
}

impl Bench {
    /// One venue from its start to its end.
    fn run(&mut self, measure: Measure, watched: bool) -> Figures {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let services = watched.then(|| Services::new(&self.postgres));
        let more = services.as_ref().map_or_else(Vec::new, Services::settings);
        let mut settings = vec![
            ("TOPOLOGY", "compact"),
            ("MAX_ORDERS", "4096"),
            ("MAX_CLIENT_ORDER_IDS", "65536"),
            ("JOURNAL_POLICY", "os"),
            ("JOURNAL_SEGMENT_BYTES", "67108864"),
        ];
        if measure != Measure::Time {
            // A round that finds nothing is then followed by a wait, not by twenty more of them.
            settings.push(("IDLE", "park"));
        }
        settings.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
        let server = match (measure, &self.own) {
            (Measure::Instructions, _) => {
                Server::start_traced(callgrind(folder.path()), &data, &settings)
            }
            (_, Some((core, all))) => {
                settings.push(("CORES", core));
                let mut taskset = Command::new("taskset");
                taskset.args(["--cpu-list", all]);
                Server::start_traced(taskset, &data, &settings)
            }
            (_, None) => Server::start(&data, &settings),
        };
        let viewers = watched.then(|| Viewers::start(&server));
        let figures = match measure {
            Measure::Instructions => {
                count(&server);
                let of = |dump| callgrind::core_thread(folder.path(), dump, &mut self.objects);
                self.profiles.push(["idle", "loaded"].map(of));
                Figures::new()
            }
            Measure::Calls => calls(&server, folder.path()),
            Measure::Time => times(&server),
        };
        self.seen.extend(viewers.map(Viewers::stop));
        // A drain with nobody there: what it takes is no request's.
        let gone = "trading_engine_connections 0";
        while !server::get(server.metrics, "/metrics").1.contains(gone) {
            std::thread::yield_now();
        }
        assert_eq!(server.terminate(), Some(0));
        figures
    }

    /// Of every run, what a request took.
    fn instructions(&self) -> Vec<Figures> {
        let idle = callgrind::of_idle_rounds(self.profiles.iter().map(|[idle, _]| idle));
        let requests = (Measure::Instructions.length() * SCRIPT) as f64;
        let figures = self.profiles.iter().map(|[_, loaded]| {
            let work = Work::of(&idle, loaded);
            [
                (
                    "1 that idle rounds do not run, core and protocols",
                    work.of_core,
                ),
                ("2 that idle rounds do not run", work.of_orders),
                ("3 all of the thread", work.all),
            ]
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count / requests))
            .collect()
        });
        figures.collect()
    }

    fn report(&mut self, measure: Measure, name: &str, rounds: usize) {
        let kinds = [false, true, false];
        let mut all: [Vec<Figures>; 3] = Default::default();
        for _ in 0..rounds {
            for (figures, watched) in all.iter_mut().zip(kinds) {
                figures.push(self.run(measure, watched));
            }
        }
        if measure == Measure::Instructions {
            let runs =
                (0..rounds).flat_map(|round| (0..kinds.len()).map(move |kind| (kind, round)));
            for ((kind, round), figures) in runs.zip(self.instructions()) {
                all[kind][round] = figures;
            }
        }
        let columns: Vec<String> = all
            .iter()
            .flatten()
            .flat_map(|figures| figures.keys().cloned())
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        println!(
            "{:<54} {:>10} {:>10} {:>10}  {:>8} {:>9}  {:>20}",
            format!("{name}, {rounds} rounds"),
            "nobody",
            "all",
            "nobody",
            "all",
            "A/A",
            "nobody, least-most"
        );
        for column in columns {
            let [one, with, other] = all.each_ref().map(|runs| {
                let of = |run: &Figures| run.get(&column).copied().unwrap_or(0.0);
                let mut values: Vec<f64> = runs.iter().map(of).collect();
                values.sort_by(f64::total_cmp);
                values
            });
            let middle = |values: &[f64]| values[values.len() / 2];
            let mut without: Vec<f64> = one.iter().chain(&other).copied().collect();
            without.sort_by(f64::total_cmp);
            let against = |a: f64, b: f64| if b == 0.0 { 0.0 } else { (a / b - 1.0) * 100.0 };
            println!(
                "{:<54} {:>10.3} {:>10.3} {:>10.3}  {:>+7.2}% {:>+8.2}%  {:>9.3} {:>10.3}",
                column,
                middle(&one),
                middle(&with),
                middle(&other),
                against(middle(&with), middle(&without)),
                against(middle(&other), middle(&one)),
                without[0],
                without[without.len() - 1],
            );
        }
    }
}

/// Becomes the venue; counts nothing before it is told to.
fn callgrind(folder: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--separate-threads=yes", "-q"])
        .args(["--fair-sched=yes", "--dump-instr=yes", "--instr-atstart=no"])
        .arg(format!(
            "--callgrind-out-file={}",
            folder.join("callgrind").display()
        ));
    command
}

/// Two sessions of the load generator that go through the same requests, one at a time.
struct Pair {
    buyer: Client,
    seller: Client,
    instrument: Instrument,
    id: u64,
}

impl Pair {
    fn new(server: &Server) -> Self {
        let credentials = Credentials::load(&server.data.join("demo").join("credentials.toml"));
        let credentials = credentials.expect("the venue wrote its demo's");
        let logins = credentials.logins(Protocol::Binary, "load", 2);
        let mut clients = logins.expect("two sessions").into_iter().map(|login| {
            let client = Client::logon(server.binary, &login).expect("a logon");
            client.set_nonblocking().expect("a socket");
            client
        });
        let buyer = clients.next().expect("two sessions");
        let seller = clients.next().expect("two sessions");
        let instrument = buyer.instrument("TEST-A").expect("the demo's instrument");
        Self {
            buyer,
            seller,
            instrument,
            id: first_id(),
        }
    }

    fn order(&mut self, side: Side, price: i64) -> Order {
        self.id += 1;
        Order {
            id: self.id,
            side,
            price: price * UNIT,
            quantity: 5 * UNIT,
            immediate: false,
        }
    }

    /// An order that rests, one that takes it, one that rests, its replacement, its end.
    fn turn(&mut self) {
        let resting = self.order(Side::Sell, 101);
        self.seller.enter(&self.instrument, &resting);
        wait(&mut self.seller, |answer| {
            matches!(answer, Answer::Accepted { .. })
        });
        let taking = self.order(Side::Buy, 101);
        self.buyer.enter(&self.instrument, &taking);
        wait(&mut self.buyer, |answer| {
            matches!(answer, Answer::Fill { .. })
        });
        wait(&mut self.seller, |answer| {
            matches!(answer, Answer::Fill { .. })
        });
        let resting = self.order(Side::Buy, 99);
        self.buyer.enter(&self.instrument, &resting);
        wait(&mut self.buyer, |answer| {
            matches!(answer, Answer::Accepted { .. })
        });
        let better = self.order(Side::Buy, 100);
        self.buyer.replace(&self.instrument, resting.id, &better);
        wait(&mut self.buyer, |answer| {
            matches!(answer, Answer::Replaced { .. })
        });
        self.id += 1;
        self.buyer
            .cancel(&self.instrument, self.id, better.id, Side::Buy);
        wait(&mut self.buyer, |answer| {
            matches!(answer, Answer::Canceled { .. })
        });
    }
}

fn wait(client: &mut Client, is_it: impl Fn(&Answer) -> bool) {
    let begun = Instant::now();
    loop {
        client.flush().expect("a connection");
        while let Some(answer) = client.answer().expect("an answer") {
            if is_it(&answer) {
                return;
            }
        }
        if !client.fill().expect("a connection") {
            let mut sockets = [PollFd::from_borrowed_fd(client.fd(), PollFlags::IN)];
            let second = Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            poll(&mut sockets, Some(&second)).expect("a socket");
        }
        assert!(begun.elapsed() < PATIENCE, "the venue does not answer");
    }
}

/// Dumps what the venue's threads do while nothing happens, and while the script runs.
fn count(server: &Server) {
    let mut pair = Pair::new(server);
    // What happens once is not what an order costs.
    pair.turn();
    callgrind::control(server.pid(), "start");
    std::thread::park_timeout(IDLE);
    callgrind::control(server.pid(), "idle");
    for _ in 0..Measure::Instructions.length() {
        pair.turn();
    }
    callgrind::control(server.pid(), "loaded");
}

fn calls(server: &Server, folder: &Path) -> Figures {
    let mut pair = Pair::new(server);
    pair.turn();
    let file = folder.join("calls");
    let mut strace = attach(core_thread(server), &file);
    for _ in 0..Measure::Calls.length() {
        pair.turn();
    }
    // On SIGINT it lets the thread go, and ends.
    let pid = rustix::process::Pid::from_child(&strace);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("strace runs");
    strace.wait().expect("strace ends");
    let text = std::fs::read_to_string(file).expect("strace wrote");
    let requests = (Measure::Calls.length() * SCRIPT) as f64;
    let mut figures = Figures::new();
    let mut add = |name: String| *figures.entry(name).or_default() += 1.0 / requests;
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('(') else {
            continue;
        };
        // `12.5 recvfrom(...`: without the time, should there be one.
        let name = name.rsplit(' ').next().unwrap_or(name);
        add("2 system calls, all of the thread".into());
        let is_wait = name.contains("wait") || rest.contains("EAGAIN");
        let parked = name == "futex" && rest.contains("FUTEX_WAIT");
        // A bell: eight bytes into an eventfd wake who sleeps, and nobody has to sleep.
        let is_bell = name == "write" && rest.contains(", 8) ");
        if !is_wait && !parked && !is_bell {
            add("1 system calls but waits, bells and reads of nothing".into());
        }
        let of = if rest.contains("EAGAIN") {
            ", nothing there"
        } else {
            ""
        };
        add(format!("  {name}{of}"));
    }
    figures
}

/// Traces that thread alone; returns when it does.
fn attach(thread: u32, file: &Path) -> Child {
    let mut strace = Command::new("strace")
        .args(["-p", &thread.to_string(), "-o"])
        .arg(file)
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace is installed");
    let mut line = String::new();
    let mut said = BufReader::new(strace.stderr.take().expect("a pipe"));
    said.read_line(&mut line).expect("strace says so");
    assert!(line.contains("attached"), "strace: {line}");
    strace
}

fn core_thread(server: &Server) -> u32 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("the venue runs");
    for task in tasks.flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.trim() == "core" {
            let number = task.file_name().to_string_lossy().parse();
            return number.expect("a thread's number");
        }
    }
    panic!("the venue has no thread named core");
}

fn times(server: &Server) -> Figures {
    let credentials = Credentials::load(&server.data.join("demo").join("credentials.toml"));
    let credentials = credentials.expect("the venue wrote its demo's");
    let settings = run::Settings {
        protocol: Protocol::Binary,
        address: server.binary,
        logins: credentials
            .logins(Protocol::Binary, "load", 4)
            .expect("four sessions"),
        symbol: "TEST-A".into(),
        rate: RATE,
        arrivals: Arrivals::Poisson,
        warmup: Duration::from_secs(1),
        duration: Duration::from_secs(Measure::Time.length()),
        cancels: 35,
        replaces: 10,
        middle: 100 * UNIT,
        tick: UNIT / 100,
        lot: UNIT,
        seed: 1,
        hlog: None,
    };
    let report = run::run(&settings).expect("a run");
    assert_eq!(report.unanswered, 0, "every request is answered");
    let us = |ns: u64| ns as f64 / 1e3;
    let latency = report.latency_ns;
    let floor = report.floor_ns;
    [
        ("1 order to answer, p50, us", latency.p50),
        ("2 order to answer, p99, us", latency.p99),
        ("3 order to answer, p99.9, us", latency.p99_9),
        ("4 a TCP echo beside it, p50, us", floor.p50),
        ("5 a TCP echo beside it, p99, us", floor.p99),
        ("6 sent late by, p99, us", report.send_lag_ns.p99),
    ]
    .into_iter()
    .map(|(name, ns)| (name.to_owned(), us(ns)))
    .collect()
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rounds: Option<usize> = words.iter().find_map(|word| word.parse().ok());
    let chosen = |name: &str| words.iter().any(|word| word == name);
    let any = Measure::ALL.iter().any(|(name, ..)| chosen(name));
    let cores = ring::allowed_cores().expect("the kernel says");
    let list = |cores: &[usize]| {
        let names: Vec<String> = cores.iter().map(ToString::to_string).collect();
        names.join(",")
    };
    let own = match cores[..] {
        [_, .., last] if !chosen("shared") => {
            ring::leave_cores(&[last]).expect("the kernel lets");
            Some((last.to_string(), list(&cores)))
        }
        _ => None,
    };
    let whose = own.as_ref().map_or_else(
        || "nobody's own".to_owned(),
        |(core, _)| format!("{core} the core thread's own in calls and time"),
    );
    let scrape_ms = SCRAPE.as_millis();
    println!(
        "all: projector into PostgreSQL, Redis, {CONSOLES} consoles with two streams each, a scrape and a \
         traced request every {scrape_ms} ms, OTLP, DogStatsD; processors {}, {whose}",
        list(&cores)
    );
    let mut bench = Bench {
        own,
        postgres: Arc::new(Postgres::start_with("max_wal_size=4GB")),
        seen: Vec::new(),
        objects: Vec::new(),
        profiles: Vec::new(),
    };
    for (name, measure, usual) in Measure::ALL {
        if !any || chosen(name) {
            bench.report(measure, name, rounds.unwrap_or(usual));
        }
    }
    let sum = |of: fn(&Seen) -> u64| bench.seen.iter().map(of).sum::<u64>();
    println!(
        "seen in {} watched runs: {} events of streams, {} scrapes, {} rows in PostgreSQL, {} updates in Redis",
        bench.seen.len(),
        sum(|seen| seen.stream_events),
        sum(|seen| seen.scrapes),
        sum(|seen| seen.rows),
        sum(|seen| seen.redis_updates)
    );
}
