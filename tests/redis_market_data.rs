//! Market data in a real Redis, of a real venue that trades over TCP: what is there, what outages of
//! either side do to it, and that trading does not notice.

mod support;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::market::Floor;
use support::redis::Redis;
use support::resp::{Reply, Resp};
use support::server::Server;
use support::talk::BinaryTalk;
use support::venue::{amendment, fills};
use trading_engine::engine::command::NO_PRICE;
use trading_engine::market_data::feed::TAPE_RECORDS;
use trading_engine::store::redis::{RedisHealth, RedisThread, RedisUrl};
use trading_engine_protocol::binary::message::{Fill, OrderAccepted};
use trading_engine_protocol::types::SessionId;

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something to become true.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Keys of one test, also when the environment names a Redis that others use.
fn prefix() -> String {
    let nanos = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_nanos();
    format!("te:{{test-{}-{nanos}}}:", std::process::id())
}

/// A server that keeps what it knows, and can be stopped and ended.
struct Lasting {
    folder: tempfile::TempDir,
    port: u16,
    server: Option<Child>,
}

impl Lasting {
    fn start() -> Self {
        let port = support::ports::free();
        let mut server = Self {
            folder: tempfile::tempdir().unwrap(),
            port,
            server: None,
        };
        server.up();
        server
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn up(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.server = Some(child);
        until("redis answers", || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        // It loads what it kept before it takes commands.
        until("redis has loaded", || {
            Resp::connect(&self.url()).ask(&["PING"]) == Reply::Text("PONG".into())
        });
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let child = self.server.as_ref().unwrap();
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// `kill -9`.
    fn down(&mut self) {
        if let Some(mut child) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.down();
    }
}

/// Two sessions that trade with each other.
struct Desk {
    maker: BinaryTalk,
    taker: BinaryTalk,
    orders: u64,
    slowest: Duration,
}

impl Desk {
    fn open(server: &Server, after: u64) -> Self {
        let credentials = server.credentials();
        let talk =
            |at: usize| BinaryTalk::logged_on(server.binary, &credentials.binary[at], 30_000);
        Self {
            maker: talk(0),
            taker: talk(1),
            orders: after,
            slowest: Duration::ZERO,
        }
    }

    /// So many trades, each of one lot, at prices that tell them apart.
    fn trade(&mut self, times: u64) {
        for _ in 0..times {
            self.orders += 1;
            let price = 50 + (self.orders % 40) as i64;
            let sell = self.maker.order(self.orders, 2, 1, price);
            let begun = Instant::now();
            self.maker.send(&sell);
            self.maker.expect_a::<OrderAccepted>();
            let buy = self.taker.order(self.orders, 1, 1, price);
            self.taker.send(&buy);
            self.taker.expect_a::<Fill>();
            self.slowest = self.slowest.max(begun.elapsed());
            self.maker.expect_a::<Fill>();
        }
    }
}

fn health(server: &Server) -> serde_json::Value {
    let (status, body) = server.get("/health/redis");
    let health: serde_json::Value = serde_json::from_str(&body).unwrap();
    let is_down = health["status"] == "down";
    assert_eq!(status, if is_down { 503 } else { 200 }, "{body}");
    health
}

fn settings<'a>(url: &'a str, prefix: &'a str) -> [(&'a str, &'a str); 2] {
    [("REDIS_URL", url), ("REDIS_PREFIX", prefix)]
}

/// The stream has trades `1..=last` once each, in order, and nothing else.
fn check_stream(redis: &mut Resp, prefix: &str, last: u64) -> Vec<BTreeMap<String, String>> {
    let key = format!("{prefix}trades");
    until(&format!("{last} trades are in the stream"), || {
        redis.ask(&["XLEN", &key]) == Reply::Number(last.cast_signed())
    });
    let records = redis.stream(&key);
    for (expected, (id, fields)) in (1..).zip(&records) {
        assert_eq!(fields["kind"], "new");
        assert_eq!(fields["trade_id"], expected.to_string());
        assert_eq!(*id, format!("{}-{expected}", fields["sequence"]));
    }
    records.into_iter().map(|(_, fields)| fields).collect()
}

#[test]
fn without_a_url_it_is_not_configured_and_nothing_is_wrong() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let health = health(&server);
    assert_eq!(health["status"], "not_configured");
    assert_eq!(health["reason"], "REDIS_URL is not set");
    assert_eq!(server.get("/health/ready").0, 200);
}

#[test]
fn what_the_venue_does_is_in_redis() {
    let (redis, prefix) = (Redis::start(), prefix());
    let mut client = Resp::connect(&redis.url);
    let mut listener = Resp::connect(&redis.url);
    let channel = format!("{prefix}trades:TEST-A");
    listener.ask(&["SUBSCRIBE", &channel]);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &settings(&redis.url, &prefix));
    let mut desk = Desk::open(&server, 0);
    desk.trade(20);
    let bid = desk.maker.order(1_000, 1, 7, 12);
    desk.maker.send(&bid);
    desk.maker.expect_a::<OrderAccepted>();

    let records = check_stream(&mut client, &prefix, 20);
    for (record, order) in records.iter().zip(1_i64..) {
        assert_eq!(record["symbol"], "TEST-A");
        assert_eq!(record["price"], (50 + order % 40).to_string());
        assert_eq!(record["quantity"], "1");
        assert_eq!(record["aggressor"], "buy");
        let heard = listener.reply();
        let heard = heard.list();
        assert_eq!(heard[1].text(), channel);
        let payload: BTreeMap<String, String> = serde_json::from_str(heard[2].text()).unwrap();
        assert_eq!(payload, *record, "the channel says what the stream says");
    }
    let top = format!("{prefix}top:TEST-A");
    until("the bid is the best one", || {
        client.hash(&top).get("bid").is_some_and(|bid| bid == "12")
    });
    let top = client.hash(&top);
    assert_eq!((&*top["bid_quantity"], &*top["bid_orders"]), ("7", "1"));
    assert_eq!(top["ask"], "");
    let last = client.hash(&format!("{prefix}last:TEST-A"));
    assert_eq!((&*last["price"], &*last["trade_id"]), ("70", "20"));
    assert_eq!((&*last["open"], &*last["high"]), ("51", "70"));
    assert_eq!((&*last["volume"], &*last["trades"]), ("20", "20"));
    assert_eq!(last["notional"], (51..=70).sum::<u64>().to_string());
    let status = client.hash(&format!("{prefix}status:TEST-A"));
    assert_eq!(
        (&*status["phase"], &*status["blocked"]),
        ("continuous", "0")
    );
    let health = health(&server);
    assert_eq!(health["status"], "ok");
    assert!(health["latency_ms"].as_f64().unwrap() > 0.0);
    let venue = client.hash(&format!("{prefix}venue"));
    assert_eq!(venue["last_trade_id"], "20");

    // What is done last is there after the venue has ended.
    desk.trade(5);
    assert_eq!(server.terminate(), Some(0));
    check_stream(&mut client, &prefix, 25);
}

/// Killed while orders trade, and back with what it had.
#[test]
fn an_outage_is_seen_in_health_alone_and_caught_up_with() {
    let mut redis = Lasting::start();
    let (url, prefix) = (redis.url(), prefix());
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &settings(&url, &prefix));
    let mut desk = Desk::open(&server, 0);
    desk.trade(50);
    check_stream(&mut Resp::connect(&url), &prefix, 50);

    for round in 1..=2 {
        let traded = 50 + (round - 1) * 200;
        redis.down();
        desk.trade(100);
        until("health says that it is down", || {
            health(&server)["status"] == "down"
        });
        let reason = health(&server)["reason"].as_str().unwrap().to_owned();
        assert!(
            reason.contains("refused") || reason.contains("closed"),
            "{reason}"
        );
        assert_eq!(server.get("/health/ready").0, 200, "the venue is ready");
        assert_eq!(server.get("/health").0, 200);
        redis.up();
        // It comes back in the middle of trading.
        desk.trade(100);
        check_stream(&mut Resp::connect(&url), &prefix, traded + 200);
        until("health says that it is back", || {
            health(&server)["status"] == "ok"
        });
    }
    assert!(
        desk.slowest < Duration::from_secs(2),
        "trading went on: {:?}",
        desk.slowest
    );
    assert_eq!(server.terminate(), Some(0));
}

/// It takes connections and says nothing: the worst kind of being away.
#[test]
fn a_server_that_hangs_is_down_and_trading_goes_on() {
    let redis = Lasting::start();
    let (url, prefix) = (redis.url(), prefix());
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &settings(&url, &prefix));
    let mut desk = Desk::open(&server, 0);
    desk.trade(10);
    check_stream(&mut Resp::connect(&url), &prefix, 10);
    redis.signal(rustix::process::Signal::STOP);
    desk.trade(200);
    let begun = Instant::now();
    assert_eq!(health(&server)["status"], "down");
    assert!(begun.elapsed() < Duration::from_secs(5));
    desk.trade(10);
    assert!(desk.slowest < Duration::from_secs(2), "{:?}", desk.slowest);
    redis.signal(rustix::process::Signal::CONT);
    check_stream(&mut Resp::connect(&url), &prefix, 220);
    until("health says that it is back", || {
        health(&server)["status"] == "ok"
    });
}

#[test]
fn a_redis_that_lost_everything_has_everything_again() {
    let redis = Redis::start_own();
    let prefix = prefix();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &settings(&redis.url, &prefix));
    let mut desk = Desk::open(&server, 0);
    desk.trade(30);
    let ask = desk.maker.order(1_000, 2, 3, 99);
    desk.maker.send(&ask);
    desk.maker.expect_a::<OrderAccepted>();
    check_stream(&mut Resp::connect(&redis.url), &prefix, 30);
    redis.down();
    redis.up();
    let mut client = Resp::connect(&redis.url);
    let records = check_stream(&mut client, &prefix, 30);
    assert_eq!(records.len(), 30);
    let top = format!("{prefix}top:TEST-A");
    until("the books are there again", || {
        client.hash(&top).get("ask").is_some_and(|ask| ask == "99")
    });
    // Instruments that did not change meanwhile, too.
    assert_eq!(client.hash(&format!("{prefix}top:ACME"))["bid"], "");
}

#[test]
fn a_start_of_the_venue_goes_on_where_the_stream_ends() {
    let (redis, prefix) = (Redis::start(), prefix());
    let mut client = Resp::connect(&redis.url);
    let data = tempfile::tempdir().unwrap();
    let settings = settings(&redis.url, &prefix);
    let server = Server::start(data.path(), &settings);
    Desk::open(&server, 0).trade(40);
    let epoch = |client: &mut Resp| client.hash(&format!("{prefix}venue"))["epoch"].clone();
    check_stream(&mut client, &prefix, 40);
    let first = epoch(&mut client);
    server.kill();
    // Nobody tells Redis of these before the next start.
    let server = Server::start(data.path(), &[]);
    Desk::open(&server, 100).trade(25);
    server.kill();
    let server = Server::start(data.path(), &settings);
    check_stream(&mut client, &prefix, 65);
    Desk::open(&server, 200).trade(5);
    check_stream(&mut client, &prefix, 70);
    assert_ne!(epoch(&mut client), first, "feed sequences began anew");
    server.kill();

    // Another log: what Redis has is not its past. What it has of instruments that only the other one had goes.
    let of_others = ["top:GONE", "last:GONE", "status:GONE"].map(|key| format!("{prefix}{key}"));
    for key in of_others.iter().chain([&format!("other:{prefix}top:GONE")]) {
        client.ask(&["HSET", key, "bid", "1"]);
    }
    client.ask(&["SET", &format!("{prefix}rate:GONE"), "1"]);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &settings);
    Desk::open(&server, 0).trade(3);
    check_stream(&mut client, &prefix, 3);
    for key in &of_others {
        assert_eq!(client.hash(key), BTreeMap::new(), "{key}");
    }
    assert!(!client.hash(&format!("{prefix}top:TEST-A")).is_empty());
    for key in [
        format!("other:{prefix}top:GONE"),
        format!("{prefix}rate:GONE"),
    ] {
        let there = client.ask(&["EXISTS", &key]);
        assert_eq!(there, Reply::Number(1), "only hashes of the prefix go");
        client.ask(&["DEL", &key]);
    }
}

#[test]
fn a_prefix_that_looks_like_a_pattern_is_meant_as_it_is() {
    let redis = Redis::start();
    let mut client = Resp::connect(&redis.url);
    let plain = prefix();
    let odd = format!("{plain}[ab]*:");
    let (own, others) = (format!("{odd}top:GONE"), format!("{plain}axx:top:GONE"));
    for key in [&own, &others] {
        client.ask(&["HSET", key, "bid", "1"]);
    }
    client.ask(&["HSET", &format!("{odd}venue"), "log_id", "another"]);
    let floor = Floor::new(1);
    let url = RedisUrl::parse(&redis.url).unwrap();
    let thread = RedisThread::start(&url, &odd, floor.rig.market_data.clone()).unwrap();
    until("the hash is gone", || client.hash(&own).is_empty());
    assert!(!client.hash(&others).is_empty());
    client.ask(&["DEL", &others]);
    drop(floor);
    thread.stop();
}

#[test]
fn a_second_venue_under_the_prefix_writes_nothing_until_the_first_has_ended() {
    let (redis, prefix) = (Redis::start(), prefix());
    let mut client = Resp::connect(&redis.url);
    let settings = settings(&redis.url, &prefix);
    let (data, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Server::start(data.path(), &settings);
    let mut desk = Desk::open(&first, 0);
    desk.trade(5);
    check_stream(&mut client, &prefix, 5);
    let second = Server::start(others.path(), &settings);
    Desk::open(&second, 0).trade(3);
    // It is down before, too: when it has not reached Redis yet.
    let reason_of = |server: &Server| health(server)["reason"].as_str().unwrap_or("").to_owned();
    until("the second one says that it is not its place", || {
        reason_of(&second).contains("belong to")
    });
    let reason = reason_of(&second);
    let log = client.hash(&format!("{prefix}venue"))["log_id"].clone();
    assert!(
        reason.contains(&log) && reason.contains("REDIS_PREFIX"),
        "{reason}"
    );
    assert_eq!(second.get("/health/ready").0, 200);
    desk.trade(5);
    check_stream(&mut client, &prefix, 10);
    assert_eq!(health(&first)["status"], "ok");
    // One that ends in order leaves at once.
    assert_eq!(first.terminate(), Some(0));
    check_stream(&mut client, &prefix, 3);
    assert_ne!(client.hash(&format!("{prefix}venue"))["log_id"], log);
    until("the second one is well", || {
        health(&second)["status"] == "ok"
    });
    // And the first one is the second when it is back.
    let first = Server::start(data.path(), &settings);
    until("the first one waits", || {
        reason_of(&first).contains("belong to")
    });
    second.kill();
    check_stream(&mut client, &prefix, 10);
    first.kill();
}

#[test]
fn what_somebody_deleted_of_a_quiet_instrument_is_written_again() {
    let (redis, prefix) = (Redis::start(), prefix());
    let mut client = Resp::connect(&redis.url);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &settings(&redis.url, &prefix));
    let keys = ["top", "last", "status"].map(|name| format!("{prefix}{name}:ACME"));
    until("it is all there", || {
        keys.iter().all(|key| !client.hash(key).is_empty())
    });
    let before = keys.clone().map(|key| client.hash(&key));
    let [top, last, status] = &keys;
    assert_eq!(client.ask(&["DEL", top, last, status]), Reply::Number(3));
    until("it is there again", || {
        keys.iter().all(|key| !client.hash(key).is_empty())
    });
    assert_eq!(keys.map(|key| client.hash(&key)), before);
    assert_eq!(server.terminate(), Some(0));
}

/// More trades than the feed remembers while Redis is away: the stream says how many it lacks.
#[test]
fn trades_that_were_forgotten_are_a_gap_in_the_stream() {
    let redis = Redis::start_own();
    let prefix = prefix();
    let mut floor = Floor::new(2);
    let mut events = Vec::new();
    for (session, side) in [(1, 2), (2, 1)] {
        let order = floor.order(session, 1, side, 100, 1);
        floor.rig.apply(&order, &mut events);
    }
    for _ in 1..10 {
        floor.trade(1, 100, 1);
    }
    let url = RedisUrl::parse(&redis.url).unwrap();
    let market_data = floor.rig.market_data.clone();
    let thread = RedisThread::start(&url, &prefix, market_data).unwrap();
    let mut client = Resp::connect(&redis.url);
    check_stream(&mut client, &prefix, 10);
    redis.down();
    until("the publisher knows", || !thread.redis().is_connected());
    // A bust is a record too.
    let bust = amendment(&fills(&events), 1, NO_PRICE);
    let bust = floor.words(SessionId(0), bust);
    floor.rig.apply(&bust, &mut Vec::new());
    let traded = TAPE_RECORDS as u64 + 500;
    for _ in 0..traded {
        floor.trade(2, 100, 1);
    }
    redis.up();
    let mut client = Resp::connect(&redis.url);
    let newest = (10 + traded).to_string();
    let venue = format!("{prefix}venue");
    until("it has caught up", || {
        let venue = client.hash(&venue);
        venue.get("last_trade_id") == Some(&newest)
    });
    let records = client.stream(&format!("{prefix}trades"));
    // It lost the ten it had, too.
    let (id, gap) = &records[0];
    assert_eq!((&*gap["kind"], &*gap["missed"]), ("gap", "511"));
    assert!(id.ends_with("-0"), "{id}");
    assert_eq!(records.len(), 1 + TAPE_RECORDS);
    for (expected, (_, fields)) in (511_u64..).zip(&records[1..]) {
        assert_eq!(fields["trade_id"], expected.to_string());
    }
    let handle = thread.redis();
    let missed = handle
        .counters()
        .expect("there is one")
        .trades_missed
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(missed, 511);
    // The venue ends first; what is left is written, and then the thread ends.
    floor.trade(1, 77, 1);
    drop(floor);
    thread.stop();
    let last = client.hash(&format!("{prefix}last:INST1"));
    assert_eq!(last["price"], "0.77");
}

#[test]
fn a_server_that_refuses_writes_is_down_and_says_why() {
    let redis = Redis::start_own();
    let prefix = prefix();
    let mut client = Resp::connect(&redis.url);
    let stream = format!("{prefix}trades");
    let mut floor = Floor::new(1);
    let url = RedisUrl::parse(&redis.url).unwrap();
    let market_data = floor.rig.market_data.clone();
    let thread = RedisThread::start(&url, &prefix, market_data).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let handle = thread.redis();
    let ping = || runtime.block_on(handle.ping());
    until("it is up", || matches!(ping(), RedisHealth::Ok(_)));
    // Somebody else's key is in the way.
    client.ask(&["SET", &stream, "not a stream"]);
    floor.trade(1, 5, 1);
    until(
        "it says why it is down",
        || matches!(ping(), RedisHealth::Down(why) if why.contains("WRONGTYPE")),
    );
    client.ask(&["DEL", &stream]);
    until("it is up again", || matches!(ping(), RedisHealth::Ok(_)));
    check_stream(&mut client, &prefix, 1);
    drop(floor);
    thread.stop();
}

/// A snapshot of the core has no trades: the day so far comes from the event log.
#[test]
fn a_start_from_a_snapshot_knows_the_day_so_far() {
    let (redis, prefix) = (Redis::start(), prefix());
    let mut client = Resp::connect(&redis.url);
    let data = tempfile::tempdir().unwrap();
    let [url, prefixed] = settings(&redis.url, &prefix);
    let settings = [url, prefixed, ("JOURNAL_SEGMENT_BYTES", "65536")];
    let server = Server::start(data.path(), &settings);
    let mut desk = Desk::open(&server, 0);
    let snapshots = || {
        let names = std::fs::read_dir(data.path().join("journal")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let whole = |name: &String| name.starts_with("snapshot-") && name.ends_with(".bin");
        names.filter(whole).count()
    };
    while snapshots() < 2 {
        desk.trade(50);
    }
    desk.trade(500);
    let traded = desk.orders;
    check_stream(&mut client, &prefix, traded);
    let key = format!("{prefix}last:TEST-A");
    let day = |client: &mut Resp| -> BTreeMap<String, String> {
        let mut fields = client.hash(&key);
        // Numbers of this life of the venue.
        fields.remove("epoch");
        fields.remove("feed_sequence");
        fields
    };
    let all = traded.to_string();
    until("the last trade is counted", || {
        day(&mut client).get("trades") == Some(&all)
    });
    let before = day(&mut client);
    server.kill();
    client.ask(&[
        "DEL",
        &format!("{prefix}trades"),
        &format!("{prefix}venue"),
        &key,
    ]);
    let server = Server::start(data.path(), &settings);
    // All of it again: statistics, and every trade.
    check_stream(&mut client, &prefix, traded);
    until("the day is told", || {
        day(&mut client).contains_key("trades")
    });
    assert_eq!(day(&mut client), before);
    server.kill();
}
