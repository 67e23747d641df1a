//! The venue as an operator meets it: settings, ports, health, metrics, signals, exit codes, and
//! the command-line trader.

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::server::{self, Server};
use support::talk::{BinaryTalk, FixTalk};
use trading_engine_protocol::binary::message::{
    CancelOrder, Fill, Logout, OrderAccepted, OrderCanceled, OrderRejected,
};
use trading_engine_protocol::types::Reason;
use zerocopy::FromZeros as _;

struct Ended {
    code: Option<i32>,
    said: String,
    complained: String,
}

/// Runs the venue where it cannot start.
fn refused(data: &std::path::Path, settings: &[(&str, &str)]) -> Ended {
    ended(server::command(data, settings))
}

fn ended(mut command: Command) -> Ended {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    Ended {
        code: output.status.code(),
        said: String::from_utf8(output.stdout).unwrap(),
        complained: String::from_utf8(output.stderr).unwrap(),
    }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The book as of everything that happened so far; books follow the core at a distance.
fn book(server: &Server) -> serde_json::Value {
    let sequence = json(&server.get("/health").1)["sequence"].as_u64();
    loop {
        let book = json(&server.get("/book/TEST-A").1);
        if book["sequence"].as_u64() >= sequence {
            return book;
        }
        std::thread::yield_now();
    }
}

/// Most memory that a process had, KiB.
fn most_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.trim().parse().unwrap()
}

/// One start with a large setting is in the log for good; its memory is not in every later start.
#[test]
fn a_capacity_of_once_is_not_paid_for_by_later_starts() {
    let data = tempfile::tempdir().unwrap();
    let settings = |ids| [("MAX_CLIENT_ORDER_IDS", ids), ("SNAPSHOTS", "false")];
    let start = |ids| {
        let server = Server::start(data.path(), &settings(ids));
        let most = most_memory(server.pid());
        assert_eq!(server.terminate(), Some(0));
        most
    };
    let small = start("65536");
    let large = start("8388608");
    let moves_back = start("65536");
    let again = start("65536");
    println!("{small} KiB, {large} KiB, then {moves_back} KiB and {again} KiB");
    assert!(large > small + (128 << 10), "{small} {large}");
    assert!(again < small + (64 << 10), "{small} {again}");
}

#[test]
fn a_wrong_setting_names_itself_and_what_is_allowed_and_opens_no_port() {
    let data = tempfile::tempdir().unwrap();
    for (variable, value, allowed) in [
        ("PORT", "eighty", "a port from 0 to 65535"),
        ("METRICS_PORT", "-1", "a port from 0 to 65535"),
        ("LOG_LEVEL", "loud", "error, warn, info, debug, trace"),
        ("ENV", "prod", "development, staging, production"),
        ("TOPOLOGY", "huge", "single, compact, dedicated"),
        ("IDLE", "sleep", "spin, spin-then-park, park"),
        ("JOURNAL_POLICY", "never", "group, os"),
        ("CORES", "0,x", "core numbers, comma-separated"),
        ("TRADING_DAY_START", "24:00", "HH:MM, UTC"),
        ("GATEWAY_THREADS", "0", "a whole number from 1 to 16"),
        ("GATEWAY_THREADS", "2", "1 unless TOPOLOGY=dedicated"),
        ("BIND_ADDRESS", "everywhere", "an IP address"),
        ("DEMO_INSTRUMENTS", "4", "a whole number from 5 to 1000"),
        ("MAX_ORDERS", "0", "a whole number from 1 to 16777216"),
        (
            "MAX_CLIENT_ORDER_IDS",
            "1000",
            "at least MAX_ORDERS, which is 65536",
        ),
        ("METRICS_PORT", "6543", "another port than PORT's"),
        ("JWT_EXPIRY_SECONDS", "901", "a whole number from 60 to 900"),
        ("PPROF", "all", "off, loopback, token"),
        ("DOGSTATSD_ADDRESS", "agent", "HOST:PORT"),
        ("CONFIG_FILE", "/nowhere", "the path of a file"),
        (
            "FIX_COMP_ID",
            "a b",
            "1 to 24 printable characters without spaces",
        ),
    ] {
        // A fixed port shows whether anything was opened on the way.
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = taken.local_addr().unwrap().port().to_string();
        drop(taken);
        let settings = [
            ("BINARY_PORT", free.as_str()),
            ("TOPOLOGY", "compact"),
            ("PORT", "6543"),
            (variable, value),
        ];
        let ended = refused(data.path(), &settings);
        assert_eq!(ended.code, Some(64), "{variable}");
        let expected = format!("{variable}={value:?}: allowed is {allowed}");
        assert!(ended.complained.contains(&expected), "{}", ended.complained);
        assert_eq!(ended.said, "", "nothing was announced");
        assert!(!data.path().join("journal").exists(), "nothing was made");
        assert!(TcpStream::connect(format!("127.0.0.1:{free}")).is_err());
    }
}

/// On which cores the threads of a process may run, by their names.
fn cores_of_threads(pid: u32) -> Vec<(String, String)> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |thread: std::io::Result<std::fs::DirEntry>| {
        let status = std::fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
        let line = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(value.trim().to_owned())
        };
        Some((line("Name:")?, line("Cpus_allowed_list:")?))
    };
    threads.filter_map(of).collect()
}

#[test]
fn a_pinned_core_is_its_threads_alone() {
    let allowed = trading_engine::ring::allowed_cores().unwrap();
    let [first, .., last] = allowed[..] else {
        // With one core there is nothing to leave.
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let core = last.to_string();
    let settings = [("TOPOLOGY", "compact"), ("CORES", core.as_str())];
    let server = Server::start(data.path(), &settings);
    let threads = cores_of_threads(server.pid());
    assert!(threads.len() > 4, "{threads:?}");
    for (name, cores) in &threads {
        let is_pinned = name == "core";
        assert_eq!(*cores == core, is_pinned, "{threads:?}");
        // The list begins with the first core that is left.
        let begins = cores.split([',', '-']).next();
        assert_eq!(
            begins == Some(&first.to_string()),
            !is_pinned,
            "{threads:?}"
        );
    }
    drop(server);

    // One thread is pinned here: the cores named behind its own are left to the others.
    let all: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    let all = all.join(",");
    let settings = [("TOPOLOGY", "compact"), ("CORES", all.as_str())];
    let server = Server::start(data.path(), &settings);
    for (name, cores) in cores_of_threads(server.pid()) {
        let begins = cores.split([',', '-']).next() == Some(&first.to_string());
        assert_eq!(begins, name == "core", "{name} on {cores}");
    }
}

#[test]
fn a_hard_limit_too_small_for_the_connections_is_named_before_any_port_opens() {
    let data = tempfile::tempdir().unwrap();
    let low = |limits: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{limits}; exec \"$0\"")]);
        server::command_behind(shell, data.path(), &[("MAX_CONNECTIONS", "300")])
    };
    let refused = ended(low("ulimit -n 400"));
    assert_eq!(refused.code, Some(64), "{}", refused.complained);
    let expected = "MAX_CONNECTIONS=\"300\": allowed is at most 144 with a hard limit of 400";
    assert!(
        refused.complained.contains(expected),
        "{}",
        refused.complained
    );
    assert!(!data.path().join("journal").exists(), "nothing was made");

    // A soft limit is raised as far as needed.
    let server = Server::wait(low("ulimit -Sn 100"), data.path());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = files.unwrap().split_whitespace().nth(3).unwrap();
    assert_eq!(soft, "556");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn demo_keys_are_refused_in_production_in_settings_and_in_the_journal() {
    let data = tempfile::tempdir().unwrap();
    let production = [
        ("ENV", "production"),
        ("DATABASE_URL", "postgres://nowhere.invalid/venue"),
        ("REDIS_URL", "redis://127.0.0.1"),
        ("JWT_SECRET", "a secret of this test, 32 bytes and more"),
    ];
    let ended = refused(
        data.path(),
        &[&production[..], &[("DEMO", "true")]].concat(),
    );
    assert_eq!(ended.code, Some(64));
    assert!(
        ended.complained.contains("DEMO=\"true\""),
        "{}",
        ended.complained
    );

    assert_eq!(Server::start(data.path(), &[]).terminate(), Some(0));
    let ended = refused(data.path(), &production);
    assert_eq!(ended.code, Some(64), "{}", ended.complained);
    assert!(
        ended.complained.contains("demo firms"),
        "{}",
        ended.complained
    );
}

#[test]
fn a_port_in_use_and_a_folder_in_use_are_named() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ended = refused(data.path(), &[("FIX_PORT", &address.port().to_string())]);
    assert_eq!(ended.code, Some(74));
    assert!(
        ended.complained.contains(&format!("FIX port {address}")),
        "{}",
        ended.complained
    );

    let first = Server::start(data.path(), &[]);
    let ended = refused(data.path(), &[]);
    assert_eq!(ended.code, Some(74));
    assert!(
        ended.complained.contains("another venue"),
        "{}",
        ended.complained
    );
    assert_eq!(first.terminate(), Some(0));
}

#[test]
fn a_damaged_journal_refuses_to_start_and_names_the_place() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(Server::start(data.path(), &[]).terminate(), Some(0));
    let journal = data.path().join("journal");
    let mut files: Vec<_> = std::fs::read_dir(&journal)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut bytes = std::fs::read(&files[0]).unwrap();
    bytes[4096 + 60] ^= 1;
    std::fs::write(&files[0], bytes).unwrap();
    let name = files[0].file_name().unwrap().to_str().unwrap().to_owned();
    let ended = refused(data.path(), &[]);
    assert_eq!(ended.code, Some(65), "{}", ended.complained);
    assert!(
        ended.complained.contains(&name) && ended.complained.contains("4096"),
        "{}",
        ended.complained
    );
    let verify = Command::new(env!("CARGO_BIN_EXE_trading-engine"))
        .env("DATA_DIR", data.path())
        .args(["journal", "verify"])
        .output()
        .unwrap();
    assert_eq!(verify.status.code(), Some(65));
}

/// A client of the demo world, logged on.
fn alpha_of(server: &Server) -> BinaryTalk {
    let credentials = server.credentials();
    let entry = credentials.binary("alpha-1").unwrap();
    BinaryTalk::logged_on(server.binary, entry, 30_000)
}

/// How many were open once is no reason to keep room for so many.
#[test]
fn capacities_can_be_lowered_to_what_is_open() {
    let data = tempfile::tempdir().unwrap();
    let settings = |orders| [("MAX_ORDERS", orders), ("MAKER_BOT", "false")];
    let server = Server::start(data.path(), &settings("64"));
    let mut alpha = alpha_of(&server);
    for id in 1..=40 {
        let order = alpha.order(id, 1, 1, 50);
        alpha.send(&order);
        assert!(alpha.expect().read::<OrderAccepted>().is_some());
    }
    for id in 1..=40 {
        alpha.send(&CancelOrder {
            cl_ord_id: 100 + id,
            orig_cl_ord_id: id,
            instrument_id: alpha.order(id, 1, 1, 50).instrument_id,
            ..CancelOrder::new_zeroed()
        });
        alpha.expect_a::<OrderCanceled>();
    }
    assert_eq!(server.terminate(), Some(0));
    // And once more, by a replay of that.
    for first in [41, 43] {
        let server = Server::start(data.path(), &settings("1"));
        let mut alpha = alpha_of(&server);
        let order = alpha.order(first, 1, 1, 50);
        alpha.send(&order);
        let is_there = alpha.expect().read::<OrderAccepted>().is_some();
        assert_eq!(is_there, first == 41);
        let order = alpha.order(first + 1, 1, 1, 50);
        alpha.send(&order);
        let rejected: OrderRejected = alpha.expect().read().unwrap();
        assert_eq!(rejected.reason, Reason::OrderCapacity.code());
        server.kill();
    }
}

/// What was refused for lack of room stays refused, whatever the venue is started with later; and what is open is not
/// dropped.
#[test]
fn a_changed_capacity_is_for_what_comes() {
    let data = tempfile::tempdir().unwrap();
    let settings = |orders| [("MAX_ORDERS", orders), ("MAKER_BOT", "false")];
    let order = |talk: &mut BinaryTalk, id: u64| {
        let order = talk.order(id, 1, 1, 50);
        talk.send(&order);
        talk.expect()
    };
    let server = Server::start(data.path(), &settings("2"));
    let mut alpha = alpha_of(&server);
    for id in [1, 2] {
        assert!(order(&mut alpha, id).read::<OrderAccepted>().is_some());
    }
    let full = Reason::OrderCapacity.code();
    let rejected: OrderRejected = order(&mut alpha, 3).read().unwrap();
    assert_eq!(rejected.reason, full);
    server.kill();

    let ended = refused(data.path(), &settings("1"));
    assert_eq!(ended.code, Some(64), "{}", ended.complained);
    assert!(
        ended.complained.contains("MAX_ORDERS is too small"),
        "{}",
        ended.complained
    );

    let server = Server::start(data.path(), &settings("3"));
    // Two are open: there is room for one.
    let mut alpha = alpha_of(&server);
    assert!(order(&mut alpha, 4).read::<OrderAccepted>().is_some());
    let rejected: OrderRejected = order(&mut alpha, 5).read().unwrap();
    assert_eq!(rejected.reason, full);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn health_and_metrics_say_what_the_venue_does() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let credentials = server.credentials();
    let (status, text) = server.get("/health");
    let before = json(&text);
    assert_eq!((status, &before["status"]), (200, &"ok".into()));
    assert_eq!(before["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(before["journal_policy"], "group");
    assert!(before["uptime_seconds"].is_u64());
    assert_eq!(before["sequence"], before["durable_sequence"]);
    assert_eq!(server.get("/health/live").0, 200);
    assert_eq!(server.get("/health/ready").0, 200);
    assert_eq!(server.get("/nowhere").0, 404);
    assert_eq!(server.get("/book/NOWHERE").0, 404);
    assert_eq!(server.get("/book/TEST-A?depth=many").0, 400);

    let mut alpha = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    let order = alpha.order(1, 1, 10, 100);
    alpha.send(&order);
    alpha.expect_a::<OrderAccepted>();
    // The same id again is refused.
    alpha.send(&order);
    alpha.expect_a::<OrderRejected>();
    let mut fix = FixTalk::logged_on(server.fix, &credentials.fix[1], 30);
    fix.order("F-1", "2", "4", "100");
    assert_eq!(fix.expect().get(150), Some("0"));
    let fill = fix.expect();
    assert_eq!((fill.get(150), fill.get(32)), (Some("F"), Some("4")));
    assert_eq!(alpha.expect_a::<Fill>().leaves_qty, 6 * 100_000_000);

    let after = json(&server.get("/health").1);
    assert!(after["durable_sequence"].as_u64() > before["durable_sequence"].as_u64());
    let book = book(&server);
    assert_eq!(book["bids"][0]["quantity"], "6");
    let expected = [
        "trading_engine_events_total{kind=\"fill\"} 2",
        "trading_engine_rejects_total{reason=\"DuplicateClientOrderId\"} 1",
        "trading_engine_sessions{protocol=\"binary\"} 1",
        "trading_engine_sessions{protocol=\"fix\"} 1",
        // Three answered requests over two doors: two accepted, one of them filled, one rejected.
        "trading_engine_stage_seconds_count{stage=\"received_to_sequenced\"} 4",
        "trading_engine_stage_seconds_count{stage=\"sequenced_to_applied\"} 4",
        "trading_engine_stage_seconds_count{stage=\"applied_to_durable\"} 4",
        "trading_engine_stage_seconds_count{stage=\"durable_to_sent\"} 4",
    ];
    // Gauges follow within moments.
    let until = Instant::now() + support::talk::PATIENCE;
    loop {
        let (status, metrics) = server::get(server.metrics, "/metrics");
        assert_eq!(status, 200);
        let missing = expected
            .iter()
            .find(|line| !metrics.lines().any(|l| l == **line));
        let Some(missing) = missing else {
            let sum = "trading_engine_stage_seconds_sum{stage=\"durable_to_sent\"} ";
            let spent = metrics
                .lines()
                .find_map(|line| line.strip_prefix(sum))
                .unwrap();
            assert!(spent.parse::<f64>().unwrap() > 0.0, "sending takes time");
            break;
        };
        assert!(Instant::now() < until, "{missing} is not in:\n{metrics}");
    }
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn sigterm_says_goodbye_syncs_and_ends_with_zero() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let credentials = server.credentials();
    let mut binary = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    let mut fix = FixTalk::logged_on(server.fix, &credentials.fix[0], 30);
    binary.send(&binary.order(1, 1, 10, 100));
    binary.expect_a::<OrderAccepted>();
    let http = server.http;
    let ending = std::thread::spawn(move || server.terminate());

    let logout: Logout = binary.expect_a();
    assert_eq!(logout.reason, Reason::GoingAway.code());
    assert!(logout.retry_after_ms > 0, "and says when to come back");
    let goodbye = fix.expect();
    assert_eq!(goodbye.kind(), "5", "{goodbye:?}");
    assert!(
        goodbye.get(58).unwrap().contains("going away"),
        "{goodbye:?}"
    );
    // This client has not answered the Logout yet: the venue is draining, and says so.
    let (status, text) = server::get(http, "/health/ready");
    assert_eq!(
        (status, json(&text)["detail"].as_str()),
        (503, Some("draining"))
    );
    assert_eq!(server::get(http, "/health/live").0, 200);
    fix.send("5", &[]);
    assert!(fix.next_message().is_none(), "the venue closes then");
    assert_eq!(ending.join().unwrap(), Some(0));

    // Everything was synced: the journal is whole, and the order is there again.
    let server = Server::start(data.path(), &[]);
    let book = book(&server);
    assert_eq!(book["bids"][0]["quantity"], "10");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn sigterm_right_after_the_start_is_not_lost() {
    let data = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let mut command = server::command(data.path(), &[]);
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        said.next().unwrap().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        said.for_each(drop);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn the_command_line_trader_trades_and_its_exit_code_tells() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let credentials = data.path().join("demo/credentials.toml");
    let trade = |key: &str, words: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_trading-engine"))
            .args(["client", "--json", "--key", key])
            .args(["--address", &server.binary.to_string()])
            .args(["--http", &server.http.to_string()])
            .arg("--credentials")
            .arg(&credentials)
            .args(words.split(' '))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let events: Vec<serde_json::Value> = said.lines().map(json).collect();
        (output.status.code(), events)
    };
    let ids: Vec<String> = server
        .credentials()
        .binary
        .iter()
        .map(|entry| entry.key_id.clone())
        .collect();
    let (code, events) = trade(&ids[0], "buy TEST-A 10 100");
    assert_eq!(code, Some(0), "{events:?}");
    let (code, events) = trade(&ids[1], "sell TEST-A 4 100 ioc");
    assert_eq!(code, Some(0), "{events:?}");
    assert!(
        events.iter().any(|event| event["event"] == "fill"),
        "{events:?}"
    );
    let (code, events) = trade(&ids[0], "buy TEST-A 10 100.001");
    assert_eq!(code, Some(2), "a refused order: {events:?}");
    book(&server);
    let (code, events) = trade(&ids[0], "book TEST-A");
    assert_eq!(
        (code, &events[0]["bids"][0]["quantity"]),
        (Some(0), &"6".into())
    );
    assert_eq!(server.terminate(), Some(0));
}

/// The keystore is read after the journal; while nobody writes into this one, the start waits.
#[test]
fn a_venue_that_is_still_starting_says_that_it_lives_and_is_not_ready() {
    let data = tempfile::tempdir().unwrap();
    let keystore = data.path().join("keystore.toml");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &keystore, fifo, 0o600.into(), 0).unwrap();
    let port = support::ports::free();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let port = port.to_string();
    let mut command = server::command(data.path(), &[("DEMO", "false"), ("PORT", &port)]);
    let mut child = command.spawn().unwrap();
    let until = Instant::now() + support::talk::PATIENCE;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < until, "the port opens");
        std::thread::yield_now();
    }
    assert_eq!(server::get(address, "/health/live").0, 200);
    let (status, text) = server::get(address, "/health/ready");
    assert_eq!(
        (status, json(&text)["detail"].as_str()),
        (503, Some("starting"))
    );
    assert_eq!(
        json(&server::get(address, "/health").1)["status"],
        "starting"
    );
    assert_eq!(server::get(address, "/instruments").0, 503);

    std::fs::write(&keystore, "").unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap() == "ready"));
    assert_eq!(server::get(address, "/health/ready").0, 200);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn idle_connections_to_the_side_ports_are_few_and_end_by_themselves() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let before = server.descriptors().len();
    let idle: Vec<TcpStream> = (0..400)
        .map(|n| {
            let address = [server.http, server.metrics][n % 2];
            let mut socket = TcpStream::connect(address).unwrap();
            socket
                .set_read_timeout(Some(support::talk::PATIENCE))
                .unwrap();
            // Some begin a request and never end it; the venue may have closed already.
            if n % 4 < 2 {
                let _ = socket.write_all(b"GET /health HTTP/1.1\r\nHost: ");
            }
            socket
        })
        .collect();
    let more = server.descriptors().len() - before;
    assert!(more <= 2 * 64 + 2, "{more} descriptors");
    for mut socket in idle {
        let mut answer = Vec::new();
        match socket.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    assert_eq!(server.get("/health/live").0, 200);
    assert_eq!(server::get(server.metrics, "/metrics").0, 200);
    assert_eq!(server.terminate(), Some(0));
}

/// A connection whose near end has this address.
fn connect_from(near: [u8; 4], far: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((near, 0))).unwrap();
    connect(&socket, &far).unwrap();
    let socket = TcpStream::from(socket);
    socket
        .set_read_timeout(Some(support::talk::PATIENCE))
        .unwrap();
    socket
}

/// The status of an answer.
fn asked(mut socket: TcpStream, path: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: v\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer[9..12].parse().unwrap()
}

#[test]
fn whoever_holds_many_connections_shuts_nobody_out_of_the_side_ports() {
    const ONE: [u8; 4] = [127, 0, 0, 1];
    const OTHER: [u8; 4] = [127, 0, 0, 2];
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    for (port, path) in [
        (server.http, "/api/v1/openapi.json"),
        (server.metrics, "/metrics"),
    ] {
        // Idle connections, those that were asked something before too, give way.
        let idle: Vec<TcpStream> = (0..100)
            .map(|n| {
                let mut socket = connect_from(ONE, port);
                if n % 2 == 0 {
                    let _ = socket.write_all(b"GET /nothing HTTP/1.1\r\nHost: v\r\n\r\n");
                }
                socket
            })
            .collect();
        assert_eq!(asked(connect_from(OTHER, port), path), 200);
        assert_eq!(asked(connect_from(ONE, port), path), 200);
        drop(idle);
    }
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn requests_whose_bodies_do_not_come_keep_nobody_out_and_are_counted() {
    const ONE: [u8; 4] = [127, 0, 0, 1];
    const OTHER: [u8; 4] = [127, 0, 0, 2];
    const THIRD: [u8; 4] = [127, 0, 0, 3];
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let slow = |near| {
        let mut socket = connect_from(near, server.http);
        let head = b"POST /api/v1/login HTTP/1.1\r\nHost: v\r\nContent-Type: application/json\r\n\
            Content-Length: 9\r\n\r\n";
        socket.write_all(head).unwrap();
        socket
    };
    let wait_for = |text: &str| {
        let begun = Instant::now();
        loop {
            let metrics = server::get(server.metrics, "/metrics").1;
            if metrics.contains(text) {
                return;
            }
            assert!(
                begun.elapsed() < support::talk::PATIENCE,
                "{text}: {metrics}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let begun = Instant::now();
    let mut held: Vec<TcpStream> = (0..48).map(|_| slow(ONE)).collect();
    held.extend((0..8).map(|_| slow(OTHER)));
    wait_for("trading_engine_http_requests_in_flight 57\n");
    let newcomers = [ONE, OTHER, THIRD].map(|from| connect_from(from, server.http));
    for newcomer in newcomers {
        assert_eq!(asked(newcomer, "/docs"), 200);
    }
    let waited = begun.elapsed();
    assert!(
        waited < Duration::from_secs(5),
        "{waited:?} may end the bodies"
    );
    let statuses: Vec<String> = held
        .iter_mut()
        .map(|socket| {
            let mut answer = String::new();
            let _ = socket.read_to_string(&mut answer);
            answer.get(9..12).unwrap_or_default().to_owned()
        })
        .collect();
    let count = |status| statuses.iter().filter(|one| *one == status).count();
    // How many gave way depends on who was answered when the next one came.
    let gave_way = count("");
    assert!((1..=3).contains(&gave_way), "{statuses:?}");
    assert_eq!(count("408"), 56 - gave_way, "{statuses:?}");
    // They are counted, and none of them stays in the gauge.
    let left = "{method=\"POST\",route=\"/api/v1/login\",status=\"499\"}";
    wait_for(&format!(
        "trading_engine_http_requests_total{left} {gave_way}\n"
    ));
    wait_for("trading_engine_http_requests_in_flight 1\n");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_journal_that_is_not_there_is_not_made_by_looking_at_it() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("elsewhere");
    for action in ["inspect", "verify", "replay"] {
        let mut command = server::command(&folder, &[]);
        command.args(["journal", action]);
        let ended = ended(command);
        assert_eq!(ended.code, Some(74), "{action}: {}", ended.said);
        let expected = format!("{}: there is no journal", folder.join("journal").display());
        assert!(ended.complained.contains(&expected), "{}", ended.complained);
        assert!(!folder.exists(), "{action} made it");
    }
}

#[test]
fn logs_in_a_file_have_no_colours() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("log");
    let mut command = server::command(data.path(), &[("LOG_LEVEL", "info")]);
    command.stderr(std::fs::File::create(&log).unwrap());
    assert_eq!(Server::wait(command, data.path()).terminate(), Some(0));
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.contains("recovered"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

/// Whether it may depends on who runs the test.
#[test]
fn memory_is_locked_when_asked_for_or_the_start_is_refused_by_name() {
    let data = tempfile::tempdir().unwrap();
    let check = |value| {
        let mut command = server::command(data.path(), &[("MEMORY_LOCK", value)]);
        command.arg("--check-config");
        ended(command)
    };
    assert_eq!(check("yes").code, Some(64));
    let checked = check("true");
    if checked.code == Some(64) {
        let expected = "MEMORY_LOCK=\"true\": allowed is false, or true without a limit";
        assert!(
            checked.complained.contains(expected),
            "{}",
            checked.complained
        );
        return;
    }
    assert_eq!(checked.code, Some(0), "{}", checked.complained);
    let server = Server::start(data.path(), &[("MEMORY_LOCK", "true")]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let of = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    };
    assert!(of("VmLck:") > of("VmRSS:") / 2, "{status}");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn http_ports_survive_nonsense() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"8=FIX.4.4\x019=5\x0135=0\x0110=000\x01",
        b"GET /../../etc/passwd HTTP/1.1\r\n\r\n",
        b"GET /book/%ff%fe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        for address in [server.http, server.metrics] {
            let mut socket = TcpStream::connect(address).unwrap();
            socket
                .set_read_timeout(Some(support::talk::PATIENCE))
                .unwrap();
            socket.write_all(nonsense).unwrap();
            let _ = socket.shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            let _ = socket.read_to_end(&mut answer);
            assert!(
                answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
                "{answer:?}"
            );
        }
    }
    assert_eq!(server.get("/health").0, 200);
    assert_eq!(server.terminate(), Some(0));
}

/// Log time of the venue's day is set by when days begin: here one begins between two starts.
#[test]
fn a_day_that_began_while_the_venue_was_down_begins_with_its_start() {
    let minute = || {
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        since_1970.as_secs() / 60 % (24 * 60)
    };
    // In the last minutes of a day none is left for a later beginning.
    while minute() >= 24 * 60 - 3 {
        std::thread::yield_now();
    }
    let later = minute() + 2;
    let later = format!("{:02}:{:02}", later / 60, later % 60);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("TRADING_DAY_START", &later)]);
    let credentials = server.credentials();
    let mut client = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    client.send(&client.order(1, 1, 1, 50));
    let accepted: OrderAccepted = client.expect_a();
    assert_eq!(accepted.cl_ord_id, 1);
    assert_eq!(book(&server)["bids"].as_array().unwrap().len(), 1);
    assert_eq!(server.terminate(), Some(0));
    drop(client);

    let server = Server::start(data.path(), &[("TRADING_DAY_START", "00:00")]);
    assert_eq!(
        book(&server)["bids"].as_array().unwrap().len(),
        0,
        "the Day order expired"
    );
    // Numbers and ids begin again.
    let mut client = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    client.send(&client.order(1, 1, 1, 50));
    let accepted: OrderAccepted = client.expect_a();
    assert_eq!(accepted.cl_ord_id, 1);
    assert_eq!(server.terminate(), Some(0));
    // The same day does not begin again.
    let server = Server::start(data.path(), &[("TRADING_DAY_START", "00:00")]);
    assert_eq!(book(&server)["bids"].as_array().unwrap().len(), 1);
    assert_eq!(server.terminate(), Some(0));
}

/// The end of the first batch was lost with the power: what the venue is for is defined again.
#[test]
fn a_first_batch_that_was_cut_short_is_completed() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(Server::start(data.path(), &[]).terminate(), Some(0));
    let path = data.path().join("journal").join("journal-00000001.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    // Nothing behind the middle of the records was written, nor the mark that a sync leaves in a
    // sector before them.
    let length = bytes.len();
    bytes.truncate((4096 + end) / 2);
    bytes.resize(length, 0);
    bytes[2048..2560].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let server = Server::start(data.path(), &[]);
    let credentials = server.credentials();
    let last = credentials.binary.last().unwrap();
    let mut client = BinaryTalk::logged_on(server.binary, last, 30_000);
    client.send(&client.order(1, 1, 1, 50));
    let accepted: OrderAccepted = client.expect_a();
    assert_eq!(accepted.cl_ord_id, 1);
    assert_eq!(server.terminate(), Some(0));
}

/// What a start says of its recovery.
struct Told {
    from_snapshot: u64,
    commands: u64,
    state_hash: String,
}

/// Starts the venue with a log.
fn start_and_tell(data: &std::path::Path, settings: &[(&str, &str)]) -> (Server, Told) {
    let path = data.join("log");
    let mut command = server::command(data, settings);
    command.env("LOG_LEVEL", "info").env("LOG_FORMAT", "json");
    command.stderr(std::fs::File::create(&path).unwrap());
    let server = Server::wait(command, data);
    // Log lines are written by a thread of their own.
    let until = Instant::now() + support::talk::PATIENCE;
    let recovered = loop {
        let log = std::fs::read_to_string(&path).unwrap();
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        let mut lines = whole.lines().map(json);
        if let Some(line) = lines.find(|line| line["fields"]["message"] == "recovered") {
            break line;
        }
        assert!(Instant::now() < until, "no word of it: {log}");
        std::thread::yield_now();
    };
    let fields = &recovered["fields"];
    let told = Told {
        from_snapshot: fields["from_snapshot"].as_u64().unwrap(),
        commands: fields["commands"].as_u64().unwrap(),
        state_hash: fields["state_hash"].as_str().unwrap().into(),
    };
    (server, told)
}

/// `trading-engine journal replay`: state hash, and snapshots that are the same.
fn replay(data: &std::path::Path, settings: &[(&str, &str)]) -> (String, u64) {
    let mut command = server::command(data, settings);
    command.args(["journal", "replay"]);
    let replay = ended(command);
    assert_eq!(replay.code, Some(0), "{}", replay.complained);
    let words: Vec<&str> = replay.said.split_whitespace().collect();
    let after = |name: &str| words[words.iter().position(|word| *word == name).unwrap() + 1];
    (
        after("state_hash").into(),
        after("snapshots").parse().unwrap(),
    )
}

#[test]
fn a_start_from_a_snapshot_is_the_start_from_the_journal() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("JOURNAL_SEGMENT_BYTES", "65536")];
    let without = [settings[0], ("SNAPSHOTS", "false")];
    let (server, told) = start_and_tell(data.path(), &settings);
    assert_eq!(told.from_snapshot, 0);
    let credentials = server.credentials();
    let mut client = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    let mut number = 0;
    let mut send = |orders: u64| {
        for _ in 0..orders {
            number += 1;
            let (side, price) = if number % 2 == 0 { (1, 50) } else { (2, 60) };
            client.send(&client.order(number, side, 1, price));
            let _: OrderAccepted = client.expect_a();
        }
    };
    let snapshots = || {
        let names = std::fs::read_dir(data.path().join("journal")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let whole = |name: &String| name.starts_with("snapshot-") && name.ends_with(".bin");
        names.filter(whole).count()
    };
    while snapshots() < 2 {
        send(100);
    }
    // The event log goes beyond the snapshots.
    send(1_500);
    let mut before = book(&server);
    server.kill();
    for (settings, is_used) in [(&settings[..], true), (&without[..], false)] {
        let (state_hash, same) = replay(data.path(), settings);
        assert!(same > 0);
        let (server, told) = start_and_tell(data.path(), settings);
        assert_eq!(told.from_snapshot > 0, is_used);
        assert!(told.from_snapshot < told.commands);
        assert_eq!(told.state_hash, state_hash);
        let after = book(&server);
        before["sequence"] = after["sequence"].clone();
        assert_eq!(after, before);
        server.kill();
    }
}
