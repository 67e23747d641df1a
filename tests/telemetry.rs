//! What is seen of a running venue from outside: metrics while it trades, profiles as `go tool pprof`
//! reads them, and what leaves it by itself: traces, errors, DogStatsD.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use support::http::Api;
use support::server::{self, Server};
use support::talk::{BinaryTalk, PATIENCE};
use tracing_subscriber::layer::SubscriberExt as _;
use trading_engine::metric_names::{self as names, Group, Kind};
use trading_engine::telemetry::{Destinations, FLUSH, Outgoing, Registry, traces};
use trading_engine_protocol::binary::message::{Fill, OrderAccepted, OrderRejected};

/// Two clients that trade with each other until told to stop; every order is answered.
struct Traders {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Traders {
    fn start(server: &Server) -> Self {
        let credentials = server.credentials();
        let mut buyer = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
        let mut seller = BinaryTalk::logged_on(server.binary, &credentials.binary[1], 30_000);
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut orders = 0;
            while !told.load(Ordering::Relaxed) {
                orders += 1;
                buyer.send(&buyer.order(orders, 1, 5, 100));
                let _: OrderAccepted = buyer.expect_a();
                seller.send(&seller.order(orders, 2, 5, 100));
                let _: OrderAccepted = seller.expect_a();
                let _: Fill = seller.expect_a();
                let _: Fill = buyer.expect_a();
            }
            // One that is refused.
            buyer.send(&buyer.order(orders + 1, 1, 0, 100));
            let _: OrderRejected = buyer.expect_a();
            orders
        });
        Self { stop, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn scrape(server: &Server) -> String {
    let (status, text) = server::get(server.metrics, "/metrics");
    assert_eq!(status, 200);
    text
}

/// The value of a series.
fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in:\n{text}"))
        .parse()
        .unwrap()
}

/// Scrapes until a series has a value.
fn scrape_until(server: &Server, series: &str, wanted: impl Fn(f64) -> bool) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = scrape(server);
        if text.contains(&format!("\n{series} ")) && wanted(value(&text, series)) {
            return text;
        }
        assert!(Instant::now() < until, "{series} in:\n{text}");
        std::thread::yield_now();
    }
}

fn promtool(text: &str) -> String {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is of the package prometheus; .ci/test installs it");
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn metrics_of_a_loaded_venue_are_clean_and_those_of_the_table() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("JOURNAL_SEGMENT_BYTES", "65536")];
    let server = Server::start(data.path(), &settings);
    let traders = Traders::start(&server);
    // Until segments are finished and a snapshot is made of them.
    let made = "trading_engine_snapshots_total{result=\"made\"}";
    let loaded = scrape_until(&server, made, |made| made >= 1.0);
    assert_eq!(promtool(&loaded), "");

    // Both ways, with kind and labels; who is not plugged in shows nothing.
    let heads: BTreeMap<&str, &str> = loaded
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    for group in Group::ALL {
        let metrics = names::ALL.iter().filter(|metric| metric.group == group);
        let (shown, hidden): (Vec<&names::Metric>, Vec<_>) =
            metrics.partition(|metric| heads.contains_key(metric.name));
        if shown.is_empty() && group == Group::Redis {
            continue;
        }
        let hidden: Vec<&str> = hidden.iter().map(|metric| metric.name).collect();
        assert!(hidden.is_empty(), "{group:?} lacks {hidden:?}");
    }
    for (name, kind) in &heads {
        let metric = names::ALL.iter().find(|metric| metric.name == *name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not in the table"));
        assert_eq!(metric.kind.to_string(), *kind, "{name}");
    }
    let mut series = BTreeSet::new();
    for line in loaded.lines().filter(|line| !line.starts_with('#')) {
        let (of, _) = line.rsplit_once(' ').unwrap();
        assert!(series.insert(of), "{of} twice");
        let (name, labels) = of.split_once('{').unwrap_or((of, "}"));
        let is_part = |name: &str| {
            let ends = ["_bucket", "_sum", "_count"];
            let of = ends.iter().find_map(|end| name.strip_suffix(end));
            names::ALL.iter().find(|metric| {
                let is_histogram = matches!(metric.kind, Kind::Histogram(_));
                metric.name == if is_histogram { of.unwrap_or("") } else { name }
            })
        };
        let metric = is_part(name).unwrap_or_else(|| panic!("{of} is not in the table"));
        let given: Vec<&str> = labels
            .trim_end_matches('}')
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|label| *label != "le")
            .collect();
        assert_eq!(given, metric.labels, "{of}");
    }

    // Every kind of question that the database was asked is there, none failed.
    let operator = Api::login(&server, "operator");
    assert_eq!(operator.get("/api/v1/trades").status, 200);
    let (status, health) = server.get("/health/db");
    assert_eq!(status, 200);
    // Nobody takes the embedded one for a database that was named.
    let embedded = data.path().join("history.sqlite");
    let said = format!("DATABASE_URL is not set: sqlite:{}", embedded.display());
    assert!(health.contains(&said), "{health}");
    let asked = scrape(&server);
    for kind in ["read", "users", "ping", "migrate", "rows", "commit"] {
        let of = |metric: &str| value(&asked, &format!("{metric}{{kind=\"{kind}\"}}"));
        let count = of("trading_engine_database_query_seconds_count");
        let seconds = of("trading_engine_database_query_seconds_sum");
        assert!(
            count >= 1.0 && seconds > 0.0,
            "{kind}: {count}, {seconds} s"
        );
        let errors = of("trading_engine_database_query_errors_total");
        assert_eq!(errors, 0.0, "{kind}");
    }

    // What was traded is what is counted.
    let orders = traders.stop() as f64;
    let of =
        |metric: &str, firm: &str| format!("{metric}{{instrument=\"TEST-A\",firm=\"{firm}\"}}");
    let rejects = scrape_until(&server, "trading_engine_history_lag_commands", |lag| {
        lag == 0.0
    });
    let firms: Vec<&str> = rejects
        .lines()
        .filter_map(|line| {
            line.strip_prefix("trading_engine_fills_total{instrument=\"TEST-A\",firm=\"")
        })
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let total = |metric: &str, text: &str| -> f64 {
        firms
            .iter()
            .map(|firm| value(text, &of(metric, firm)))
            .sum()
    };
    let text = scrape_until(
        &server,
        "trading_engine_trades_total{instrument=\"TEST-A\"}",
        |trades| trades == orders,
    );
    assert_eq!(total("trading_engine_orders_total", &text), 2.0 * orders);
    assert_eq!(total("trading_engine_fills_total", &text), 2.0 * orders);
    let quantity = value(
        &text,
        "trading_engine_traded_quantity_total{instrument=\"TEST-A\"}",
    );
    let notional = value(
        &text,
        "trading_engine_traded_notional_total{instrument=\"TEST-A\"}",
    );
    assert_eq!(quantity, 5.0 * orders);
    assert!(
        (notional / (500.0 * orders) - 1.0).abs() < 1e-9,
        "{notional}"
    );
    for firm in &firms {
        assert_eq!(
            value(&text, &of("trading_engine_order_to_trade_ratio", firm)),
            1.0
        );
    }
    for stage in [
        "received_to_sequenced",
        "sequenced_to_applied",
        "applied_to_durable",
        "durable_to_sent",
    ] {
        let count = format!("trading_engine_stage_seconds_count{{stage=\"{stage}\"}}");
        assert!(value(&text, &count) >= 2.0 * orders, "{stage}");
    }
    for ring in ["commands-0", "log", "events"] {
        let published = format!("trading_engine_ring_published_bytes_total{{ring=\"{ring}\"}}");
        assert!(value(&text, &published) > 100.0 * orders, "{ring}");
    }
    for more_than_nothing in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "trading_engine_allocator_allocated_bytes",
        "trading_engine_journal_sync_seconds_count",
        "trading_engine_snapshot_sequence",
        "trading_engine_runtime_parks_total",
    ] {
        assert!(value(&text, more_than_nothing) > 0.0, "{more_than_nothing}");
    }
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn questions_that_no_database_answers_are_counted() {
    let data = tempfile::tempdir().unwrap();
    // Nobody listens there.
    let port = support::ports::free();
    let url = format!("postgres://venue@127.0.0.1:{port}/venue");
    let settings = [("DATABASE_URL", url.as_str()), ("LOG_LEVEL", "error")];
    let server = Server::start(data.path(), &settings);
    let of = |kind: &str| format!("trading_engine_database_query_errors_total{{kind=\"{kind}\"}}");
    let (status, answer) = server.get("/health/db");
    assert_eq!(status, 503, "{answer}");
    let text = scrape_until(&server, &of("migrate"), |errors| errors >= 2.0);
    assert!(value(&text, &of("ping")) >= 1.0);
    // Behind since it was started, not since 1970.
    let lag = value(&text, "trading_engine_projector_lag_seconds");
    assert!(lag < 3_600.0, "{lag}");
    for never in ["rows", "commit"] {
        assert_eq!(value(&text, &of(never)), 0.0, "{never}");
        let count = format!("trading_engine_database_query_seconds_count{{kind=\"{never}\"}}");
        assert_eq!(value(&text, &count), 0.0, "{never}");
    }
    assert_eq!(promtool(&text), "");
}

#[test]
fn a_database_that_takes_no_history_is_not_healthy() {
    let first = tempfile::tempdir().unwrap();
    let server = Server::start(first.path(), &[]);
    Api::login(&server, "operator");
    assert_eq!(server.terminate(), Some(0));
    // It answers, and has the history of the other journal.
    let url = format!("sqlite:{}/history.sqlite", first.path().display());
    let second = tempfile::tempdir().unwrap();
    let settings = [("DATABASE_URL", url.as_str()), ("LOG_LEVEL", "error")];
    let server = Server::start(second.path(), &settings);
    let until = Instant::now() + PATIENCE;
    let answer = loop {
        let (status, answer) = server.get("/health/db");
        if status == 503 {
            break answer;
        }
        assert!(Instant::now() < until, "{answer}");
        std::thread::yield_now();
    };
    assert!(answer.contains("history is not written"), "{answer}");
    assert!(answer.contains("has the history of journal"), "{answer}");
    let (status, health) = server.get("/health");
    assert_eq!(status, 200, "{health}");
    assert!(health.contains("history is not written"), "{health}");
    assert_eq!(server.get("/health/ready").0, 200);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn the_reference_page_is_printed() {
    let data = tempfile::tempdir().unwrap();
    let mut command = server::command(data.path(), &[]);
    let output = command.arg("metrics-reference").output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        names::reference()
    );
}

/// A GET with a header, and the bytes of the answer's body.
fn get_bytes(address: SocketAddr, path: &str, header: &str) -> (u16, Vec<u8>) {
    let mut socket = TcpStream::connect(address).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: venue\r\nConnection: close\r\n{header}\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let status = std::str::from_utf8(&answer[9..12])
        .unwrap()
        .parse()
        .unwrap();
    (status, answer.split_off(end + 4))
}

/// `go tool pprof -top`.
fn top(profile: &Path, options: &[&str]) -> String {
    let output = Command::new("go")
        .args(["tool", "pprof", "-top", "-nodecount=400", "-symbolize=none"])
        .args(options)
        .arg(profile)
        .output()
        .expect("go is of the package golang-go; .ci/test installs it");
    let said = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{complained}");
    said
}

/// Whether a signal has a handler, or is ignored.
fn has_handler(server: &Server, mask: &str, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(mask))
        .unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}

const SIGPROF: u32 = 27;

#[test]
fn profiles_of_a_trading_venue_open_in_go_tool_pprof_with_names() {
    let data = tempfile::tempdir().unwrap();
    // A core that never sleeps is where the time goes, however busy the machine.
    let settings = [("TOPOLOGY", "compact"), ("IDLE", "spin")];
    let server = Server::start(data.path(), &settings);
    let traders = Traders::start(&server);
    let profile = data.path().join("profile");

    let (status, bytes) = get_bytes(server.metrics, "/debug/pprof/heap", "");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    assert_eq!(&bytes[..2], b"\x1f\x8b", "gzip");
    std::fs::write(&profile, bytes).unwrap();
    let heap = top(&profile, &["-cum"]);
    assert!(heap.contains("Type: inuse_space"), "{heap}");
    assert!(heap.contains("trading_engine::topology::recover"), "{heap}");

    assert!(!has_handler(&server, "SigCgt:", SIGPROF));
    let (metrics, path) = (server.metrics, "/debug/pprof/profile?seconds=2");
    let taking = std::thread::spawn(move || get_bytes(metrics, path, ""));
    let until = Instant::now() + PATIENCE;
    while !has_handler(&server, "SigCgt:", SIGPROF) {
        assert!(Instant::now() < until, "the profile begins");
        std::thread::yield_now();
    }
    // One at a time, of either kind.
    assert_eq!(get_bytes(server.metrics, path, "").0, 409);
    assert_eq!(get_bytes(server.metrics, "/debug/pprof/heap", "").0, 409);
    let (status, bytes) = taking.join().unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    assert!(
        !has_handler(&server, "SigCgt:", SIGPROF),
        "the signals ended"
    );
    std::fs::write(&profile, bytes).unwrap();
    let cpu = top(&profile, &["-cum"]);
    assert!(cpu.contains("Type: cpu"), "{cpu}");
    assert!(cpu.contains("trading_engine::agent::"), "{cpu}");

    for seconds in ["0", "61", "-1", "soon", "1e3"] {
        let path = format!("/debug/pprof/profile?seconds={seconds}");
        assert_eq!(get_bytes(server.metrics, &path, "").0, 400, "{seconds}");
    }
    let forwarded = "X-Forwarded-For: 10.0.0.1\r\n";
    assert_eq!(
        get_bytes(server.metrics, "/debug/pprof/heap", forwarded).0,
        403
    );
    assert_eq!(
        server.get("/debug/pprof/heap").0,
        404,
        "on the metrics port only"
    );
    // Whoever hangs up ends the profile.
    let mut socket = TcpStream::connect(server.metrics).unwrap();
    socket
        .write_all(b"GET /debug/pprof/profile?seconds=60 HTTP/1.1\r\nHost: venue\r\n\r\n")
        .unwrap();
    let until = Instant::now() + PATIENCE;
    while !has_handler(&server, "SigCgt:", SIGPROF) {
        assert!(Instant::now() < until, "the profile begins");
    }
    drop(socket);
    while has_handler(&server, "SigCgt:", SIGPROF) {
        assert!(Instant::now() < until, "the profile ends");
    }
    // Every order was answered meanwhile.
    assert!(traders.stop() > 100);
    let text = scrape(&server);
    assert_eq!(
        value(&text, "trading_engine_profiles_total{kind=\"cpu\"}"),
        1.0
    );
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn profiles_ask_for_the_token_when_they_are_told_to() {
    let data = tempfile::tempdir().unwrap();
    let token = "a-token-of-thirty-two-bytes-or-more";
    let mut command = server::command(data.path(), &[("PPROF", "token")]);
    let refused = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("PPROF_TOKEN"));
    let settings = [("PPROF", "token"), ("PPROF_TOKEN", token)];
    let server = Server::start(data.path(), &settings);
    let heap = |header: &str| get_bytes(server.metrics, "/debug/pprof/heap", header).0;
    assert_eq!(heap(""), 401);
    assert_eq!(heap("Authorization: Bearer another\r\n"), 401);
    assert_eq!(heap(&format!("Authorization: Bearer {token}\r\n")), 200);
    assert_eq!(server.terminate(), Some(0));
    let server = Server::start(data.path(), &[("PPROF", "off")]);
    assert_eq!(get_bytes(server.metrics, "/debug/pprof/heap", "").0, 404);
    assert_eq!(server.terminate(), Some(0));
}

/// An HTTP server that answers everything with 200 and keeps what it was sent.
struct Sink {
    address: SocketAddr,
    requests: crossbeam_channel::Receiver<(String, Vec<u8>)>,
}

impl Sink {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = crossbeam_channel::unbounded();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let sender = sender.clone();
                let mut socket = socket.unwrap();
                std::thread::spawn(move || {
                    while let Some(request) = read_request(&mut socket) {
                        let _ = sender.send(request);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        if socket.write_all(answer).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }

    fn next(&self) -> (String, Vec<u8>) {
        self.requests.recv_timeout(PATIENCE).expect("a request")
    }
}

fn read_request(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut one = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().unwrap())
            });
            let body = &bytes[end + 4..];
            if let Some(length) = length {
                if body.len() >= length {
                    return Some((head, body[..length].to_vec()));
                }
            } else if let Some(body) = unchunked(body) {
                return Some((head, body));
            }
        }
        match socket.read(&mut one) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&one[..read]),
        }
    }
}

fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?, 16).ok()?;
        if length == 0 {
            return Some(out);
        }
        out.extend_from_slice(body.get(end + 2..end + 2 + length)?);
        body = body.get(end + 4 + length..)?;
    }
}

#[test]
fn requests_are_traced_to_the_collector_within_their_callers_trace() {
    let data = tempfile::tempdir().unwrap();
    let collector = Sink::start();
    let endpoint = format!("http://{}", collector.address);
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("LOG_LEVEL", "error"),
    ];
    let server = Server::start(data.path(), &settings);
    // Books follow at a distance.
    let defined = "trading_engine_events_total{kind=\"instrument_defined\"}";
    scrape_until(&server, defined, |defined| defined >= 1.0);
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    assert_eq!(get_bytes(server.http, "/book/TEST-A", parent).0, 200);
    assert_eq!(get_bytes(server.http, "/book/nothing", "").0, 404);
    // Scrapes are no requests of the API.
    scrape(&server);
    let started = Instant::now();
    assert_eq!(server.terminate(), Some(0));
    assert!(started.elapsed() < FLUSH + Duration::from_secs(3));

    let mut spans = Vec::new();
    while let Ok((head, body)) = collector.requests.try_recv() {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        assert!(
            head.to_lowercase()
                .contains("content-type: application/x-protobuf"),
            "{head}"
        );
        let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
        for of in request.resource_spans {
            let resource = of.resource.unwrap();
            let name = resource
                .attributes
                .iter()
                .find(|it| it.key == "service.name");
            let name = name.unwrap().value.clone().unwrap().value.unwrap();
            assert_eq!(name, Value::StringValue("trading-engine".into()));
            spans.extend(of.scope_spans.into_iter().flat_map(|of| of.spans));
        }
    }
    assert_eq!(spans.len(), 2, "{spans:?}");
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let attribute = |span: usize, key: &str| {
        let span = &spans[span];
        let found = span.attributes.iter().find(|it| it.key == key);
        found
            .unwrap_or_else(|| panic!("{key}: {span:?}"))
            .value
            .clone()
            .unwrap()
            .value
            .unwrap()
    };
    assert_eq!(hex(&spans[0].trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&spans[0].parent_span_id), "b7ad6b7169203331");
    assert_ne!(spans[1].trace_id, spans[0].trace_id);
    assert_eq!(spans[1].parent_span_id, b"");
    for (at, status) in [(0, 200), (1, 404)] {
        assert_eq!(spans[at].name, "GET /book/{symbol}");
        assert_eq!(spans[at].kind, 2, "of a server");
        assert!(spans[at].end_time_unix_nano >= spans[at].start_time_unix_nano);
        let route = Value::StringValue("/book/{symbol}".into());
        assert_eq!(attribute(at, "http.route"), route);
        assert_eq!(
            attribute(at, "http.response.status_code"),
            Value::IntValue(status)
        );
        assert!(
            !format!("{:?}", spans[at]).contains("TEST-A"),
            "paths stay here"
        );
    }
}

#[test]
fn spans_that_do_not_fit_and_spans_that_nobody_takes_are_counted() {
    // Accepts by the backlog and never answers, until it goes away.
    let hangs_up = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", hangs_up.local_addr().unwrap());
    let registry = Registry::default();
    let to = Destinations {
        environment: "test".into(),
        otlp: Some(&endpoint),
        sentry: None,
        dogstatsd: None,
    };
    let outgoing = Outgoing::start(to, &registry).unwrap();
    let subscriber = tracing_subscriber::registry().with(outgoing.layers());
    let spans = 10_000;
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..spans {
            drop(tracing::info_span!(target: traces::TARGET, "request"));
        }
    });
    let of = |metric: &str| {
        let series = format!("trading_engine_telemetry_{metric}_total{{sink=\"otlp\"}}");
        value(&registry.text(), &series)
    };
    // None was taken; 2,048 wait, or are being sent.
    let full = of("dropped");
    assert!((5_000.0..spans.into()).contains(&full), "{full}");
    drop(hangs_up);
    let until = Instant::now() + PATIENCE;
    while of("dropped") < spans.into() {
        assert!(Instant::now() < until, "{} dropped", of("dropped"));
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert_eq!((of("sent"), of("dropped")), (0.0, spans.into()));
    assert!(of("export_failures") >= 4.0, "{}", of("export_failures"));
    outgoing.finish();
}

#[test]
fn a_collector_that_does_not_answer_holds_up_the_end_for_two_seconds_at_most() {
    let data = tempfile::tempdir().unwrap();
    // Accepts by the backlog, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let endpoint = format!("http://{address}");
    let dsn = format!("http://0123456789abcdef@{address}/1");
    let agent = address.to_string();
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("SENTRY_DSN", &dsn),
        ("DOGSTATSD_ADDRESS", &agent),
    ];
    let server = Server::start(data.path(), &settings);
    for _ in 0..10 {
        assert_eq!(server.get("/health").0, 200);
    }
    let traders = Traders::start(&server);
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(200) {
        assert_eq!(server.get("/instruments").0, 200);
    }
    assert!(traders.stop() > 10);
    let started = Instant::now();
    assert_eq!(server.terminate(), Some(0));
    assert!(
        started.elapsed() < FLUSH + Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

/// The event of an envelope: lines of JSON, the third is the first item's.
fn event(body: &[u8]) -> serde_json::Value {
    let text = std::str::from_utf8(body).unwrap();
    let mut lines = text.lines();
    let (_, item) = (lines.next().unwrap(), lines.next().unwrap());
    assert!(item.contains("\"type\":\"event\""), "{item}");
    serde_json::from_str(lines.next().unwrap()).unwrap()
}

#[test]
fn errors_of_side_threads_are_reported() {
    let data = tempfile::tempdir().unwrap();
    let ingest = Sink::start();
    let dsn = format!("http://0123456789abcdef@{}/42", ingest.address);
    let settings = [
        ("SENTRY_DSN", dsn.as_str()),
        ("JOURNAL_SEGMENT_BYTES", "65536"),
        ("ENV", "staging"),
        ("DEMO", "true"),
    ];
    let server = Server::start(data.path(), &settings);
    let traders = Traders::start(&server);
    // The event log cannot make its next file.
    std::fs::remove_dir_all(data.path().join("events")).unwrap();
    let (head, body) = ingest.next();
    assert!(
        head.starts_with("POST /api/42/envelope/ HTTP/1.1"),
        "{head}"
    );
    assert!(
        head.to_lowercase().contains("sentry_key=0123456789abcdef"),
        "{head}"
    );
    let event = event(&body);
    let message = event["message"].as_str().unwrap();
    assert!(message.starts_with("event log failed"), "{event}");
    assert_eq!(event["level"].as_str().unwrap_or("error"), "error");
    assert_eq!(event["environment"], "staging");
    let release = concat!("trading-engine@", env!("CARGO_PKG_VERSION"));
    assert_eq!(event["release"], release);
    assert_eq!(event["tags"]["thread"], "history");
    assert!(
        event.get("user").is_none() && event.get("server_name").is_none(),
        "{event}"
    );
    let sent = "trading_engine_telemetry_sent_total{sink=\"sentry\"}";
    scrape_until(&server, sent, |sent| sent >= 1.0);
    scrape_until(&server, "trading_engine_event_log_failed", |flag| {
        flag == 1.0
    });
    // Trading goes on.
    assert!(traders.stop() > 0);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn errors_that_nobody_took_are_counted_as_dropped() {
    let data = tempfile::tempdir().unwrap();
    // One that takes nothing, and asks to be left alone.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dsn = format!(
        "http://0123456789abcdef@{}/42",
        listener.local_addr().unwrap()
    );
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            while read_request(&mut socket).is_some() {
                let answer = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n";
                if socket.write_all(answer).is_err() {
                    break;
                }
            }
        }
    });
    let settings = [
        ("SENTRY_DSN", dsn.as_str()),
        ("JOURNAL_SEGMENT_BYTES", "65536"),
    ];
    let server = Server::start(data.path(), &settings);
    let traders = Traders::start(&server);
    std::fs::remove_dir_all(data.path().join("events")).unwrap();
    let of = |name: &str| format!("trading_engine_telemetry_{name}_total{{sink=\"sentry\"}}");
    scrape_until(&server, &of("dropped"), |dropped| dropped >= 1.0);
    scrape_until(&server, &of("export_failures"), |failures| failures == 1.0);
    scrape_until(&server, &of("sent"), |sent| sent == 0.0);
    assert!(traders.stop() > 0);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn panics_are_reported_without_secrets_and_with_a_stack() {
    let ingest = Sink::start();
    let dsn = format!("http://0123456789abcdef@{}/1", ingest.address);
    let to = Destinations {
        environment: "test".into(),
        otlp: None,
        sentry: Some(&dsn),
        dogstatsd: None,
    };
    let outgoing = Outgoing::start(to, &Registry::default()).unwrap();
    let thread = std::thread::Builder::new().name("side".into());
    let panicked =
        thread.spawn(|| panic!("no answer from postgres://app:hunter2@db/venue for 10.1.2.3"));
    assert!(panicked.unwrap().join().is_err());
    let started = Instant::now();
    outgoing.finish();
    assert!(started.elapsed() < FLUSH + Duration::from_secs(1));
    let (_, body) = ingest.next();
    let event = event(&body);
    assert_eq!(
        (&event["level"], &event["tags"]["thread"]),
        (&"fatal".into(), &"side".into())
    );
    let exception = &event["exception"]["values"][0];
    assert_eq!(
        exception["value"],
        "no answer from postgres://***@db/venue for ***"
    );
    let frames = exception["stacktrace"]["frames"].as_array().unwrap();
    let is_ours = |frame: &serde_json::Value| {
        frame["function"]
            .as_str()
            .is_some_and(|name| name.contains("panics_are_reported"))
    };
    assert!(frames.iter().any(is_ours), "{exception}");
    let text = String::from_utf8(body).unwrap();
    assert!(
        !text.contains("hunter2") && !text.contains("10.1.2.3"),
        "{text}"
    );
}

#[test]
fn metrics_go_to_the_dogstatsd_agent() {
    let data = tempfile::tempdir().unwrap();
    let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
    agent.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = agent.local_addr().unwrap().port().to_string();
    let settings = [
        ("DD_AGENT_HOST", "127.0.0.1"),
        ("DD_DOGSTATSD_PORT", port.as_str()),
    ];
    let server = Server::start(data.path(), &settings);
    let traders = Traders::start(&server);
    scrape_until(
        &server,
        "trading_engine_trades_total{instrument=\"TEST-A\"}",
        |trades| trades >= 1.0,
    );
    let orders = traders.stop();
    let trades = "trading_engine_trades_total{instrument=\"TEST-A\"}";
    scrape_until(&server, trades, |trades| trades == orders as f64);
    // The last look is at the end.
    assert_eq!(server.terminate(), Some(0));
    agent.set_nonblocking(true).unwrap();
    let mut bytes = [0; 2048];
    let mut traded = 0.0;
    let mut names_sent = BTreeSet::new();
    while let Ok(read) = agent.recv(&mut bytes) {
        assert!(read <= 1432);
        for line in std::str::from_utf8(&bytes[..read]).unwrap().lines() {
            let (name, rest) = line.split_once(':').unwrap();
            let [number, kind, tags] = rest.split('|').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let number: f64 = number.parse().unwrap();
            assert!(matches!(kind, "c" | "g"), "{line}");
            assert!(
                tags.starts_with("#service:trading-engine,env:development,version:"),
                "{line}"
            );
            if name == "trading_engine.trades" {
                assert!(tags.ends_with(",instrument:TEST-A"), "{line}");
                traded += number;
            }
            names_sent.insert(name.to_owned());
        }
    }
    assert_eq!(traded, orders as f64);
    for name in [
        "trading_engine.sequence",
        "trading_engine.process_resident_memory_bytes",
        "trading_engine.stage_seconds.count",
        "trading_engine.stage_seconds.p999",
    ] {
        assert!(names_sent.contains(name), "{name}: {names_sent:?}");
    }
}
