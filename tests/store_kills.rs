//! The real venue under load, killed with `kill -9` again and again while it writes its history, and a
//! PostgreSQL that crashes and comes back meanwhile: in the end every row is there once, and is what the
//! journal's commands give.
//!
//! `KILLS` chooses how many times for each database (default 4), `SEED` repeats a run.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::http::Api;
use support::peers::{BinaryPeer, Pace, Peer, Until};
use support::postgres::{Database, Postgres};
use support::projected::{Projected, assert_same, lines_in, lines_of};
use support::server::Server;
use support::settings::{number, seed};
use support::talk::BinaryTalk;
use support::workload::Random;
use trading_engine::client::credentials::Secret;
use trading_engine::engine::event;
use trading_engine::engine::{Engine, Progress};
use trading_engine::journal::disk::OsDisk;
use trading_engine::journal::recovery;
use trading_engine::limits::EngineLimits;
use trading_engine::store::url::DatabaseUrl;

const SYMBOL: &str = "TEST-A";
const BURST: u64 = 1_500;
/// Orders of each of two clients while PostgreSQL comes and goes.
const LOAD: u64 = 20_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// What the journal's commands give: history, and the engine behind them.
fn replay(data: &Path) -> (Projected, Engine) {
    let disk = OsDisk::new(&data.join("journal")).unwrap();
    let limits = EngineLimits {
        orders: 65_536,
        client_order_ids: 8 << 20,
        ..EngineLimits::default()
    };
    let mut engine = Engine::new(limits);
    let mut model = Projected::default();
    let mut bytes = Vec::new();
    recovery::inspect(&disk, |command| {
        bytes.clear();
        let mut progress = engine.replay_bytes(command, &mut bytes).unwrap();
        while progress == Progress::More {
            progress = engine.resume(&mut bytes);
        }
        let mut rest = bytes.as_slice();
        while let Ok((header, body)) = event::read(rest) {
            model.event(header, &body);
            rest = &rest[header.length as usize..];
        }
    })
    .unwrap();
    (model, engine)
}

fn check(data: &Path, url: &DatabaseUrl) -> u64 {
    let (model, engine) = replay(data);
    assert_same(&lines_in(url), &model.lines(&engine));
    let seen = lines_of(url, "SELECT CAST(events AS TEXT) FROM projector_progress");
    assert_eq!(seen, [model.events_seen.to_string()], "each event once");
    model.events_seen
}

/// A gauge or counter of a scrape.
fn metric(server: &Server, name: &str) -> f64 {
    let (_, text) = support::server::get(server.metrics, "/metrics");
    let line = text
        .lines()
        .find(|line| line.split(' ').next() == Some(name));
    line.and_then(|line| line.split(' ').nth(1))
        .unwrap()
        .parse()
        .unwrap()
}

fn peers(server: &Server, seed: u64, pace: &Arc<Pace>) -> Vec<Box<dyn Peer>> {
    let credentials = server.credentials();
    let keys = ["alpha-1", "beta-1"].into_iter().zip([1, 2]);
    keys.map(|(key, salt)| {
        let key = credentials.binary(key).unwrap().clone();
        Box::new(BinaryPeer::new(key, SYMBOL, seed ^ salt, Arc::clone(pace))) as Box<dyn Peer>
    })
    .collect()
}

/// Kills in the middle of bursts, the projector somewhere in or between its transactions.
fn killed(url: &str, data: &Path) {
    let seed = seed();
    let mut random = Random::new(seed);
    let settings = [
        ("DATABASE_URL", url),
        ("JOURNAL_SEGMENT_BYTES", "262144"),
        ("MAX_CLIENT_ORDER_IDS", "8388608"),
    ];
    let kills = number("KILLS").unwrap_or(4);
    let mut server = Server::start(data, &settings);
    let pace = Arc::new(Pace::default());
    let mut peers = peers(&server, seed, &pace);
    for _ in 0..kills {
        let fate = pace.answered.load(Ordering::Relaxed) + 1 + random.below(BURST);
        let logons = pace.logged_on.load(Ordering::Relaxed) + peers.len() as u64;
        let address = server.binary;
        std::thread::scope(|scope| {
            for peer in &mut peers {
                let until = Until::Broken {
                    logons,
                    burst: BURST,
                };
                scope.spawn(move || peer.run(address, until));
            }
            let begun = Instant::now();
            while pace.answered.load(Ordering::Relaxed) < fate && begun.elapsed() < PATIENCE {
                std::thread::park_timeout(Duration::from_micros(200));
            }
            // The projector looks every 20 ms: anywhere in two of its rounds.
            std::thread::park_timeout(Duration::from_micros(random.below(40_000)));
            server.kill();
        });
        server = Server::start(data, &settings);
        std::thread::scope(|scope| {
            for peer in &mut peers {
                let address = server.binary;
                scope.spawn(move || peer.run(address, Until::Answered));
            }
        });
    }
    // A venue that is told to end writes what it knows.
    assert_eq!(server.terminate(), Some(0));
    let events = check(data, &DatabaseUrl::parse(url).unwrap());
    println!("{kills} kills, {events} events");
}

#[test]
fn kills_leave_each_row_once_in_postgresql() {
    let data = tempfile::tempdir().unwrap();
    let database = Database::new();
    killed(&database.url, data.path());
}

#[test]
fn kills_leave_each_row_once_in_sqlite() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("history.sqlite");
    killed(&format!("sqlite:{}", file.display()), data.path());
}

/// What the venue's people do is a matter of the log: with SQL down it is done all the same, and is history, once,
/// when the database is back.
#[test]
fn writes_of_the_admin_api_go_on_while_postgresql_is_down_and_are_history_once() {
    let data = tempfile::tempdir().unwrap();
    let database = Database::on(Arc::new(Postgres::start_own()));
    let settings = [("DATABASE_URL", database.url.as_str())];
    let server = Server::start(data.path(), &settings);
    let [risk, operator] = ["risk", "operator"].map(|name| Api::login(&server, name));
    database.server.down(true);
    risk.ask("/api/v1/instruments/TEST-A/halt").ok();
    let view = risk.get("/api/v1/instruments/TEST-A").ok();
    assert_eq!(view["held"], true);
    let switch = json!({"scope": "firm", "target": "2"});
    risk.post("/api/v1/kill-switch", &switch).ok();
    let on = risk.get("/api/v1/kill-switches").ok();
    assert_eq!(on["items"][0]["target"], "2");
    let limits = json!({"firm": 1, "open_orders": 100});
    operator.put("/api/v1/limits", &limits).ok();
    let credentials = server.credentials();
    let mut entries = credentials.binary.iter();
    let drawable = entries.find(|entry| matches!(entry.secret, Secret::Hmac(_)));
    let mut new = drawable.unwrap().clone();
    let path = format!("/api/v1/sessions/{}/keys", new.session);
    let drawn = operator.ask(&path).ok();
    new.secret = Secret::Hmac(drawn["secret"].as_str().unwrap().to_owned());
    drop(BinaryTalk::logged_on(server.binary, &new, 30_000));
    // What only history knows is said not to be there now.
    operator.get("/api/v1/audit").problem(503);
    database.server.up();
    let begun = Instant::now();
    let actions = loop {
        let answer = operator.get("/api/v1/audit");
        let rows = match answer.status {
            200 => answer.ok()["items"].as_array().unwrap().clone(),
            _ => Vec::new(),
        };
        if rows.len() == 4 && rows.iter().all(|row| row["ended_sequence"].is_u64()) {
            let action = |row: &Value| row["action"].as_str().unwrap().to_owned();
            break rows.iter().rev().map(action).collect::<Vec<_>>();
        }
        assert!(begun.elapsed() < PATIENCE, "{answer:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert_eq!(
        actions,
        ["SetPhase", "KillSwitch", "SetLimits", "KeyRotated"]
    );
    assert_eq!(server.terminate(), Some(0));
    check(data.path(), &database.parsed());
}

/// PostgreSQL crashes under load, is away for a while, and comes back: trading does not notice, history
/// says that it is behind, and catches up.
#[test]
fn a_postgresql_that_crashes_is_caught_up_with() {
    let seed = seed();
    let data = tempfile::tempdir().unwrap();
    let database = Database::on(Arc::new(Postgres::start_own()));
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("MAX_CLIENT_ORDER_IDS", "8388608"),
    ];
    let mut server = Server::start(data.path(), &settings);
    let pace = Arc::new(Pace::default());
    let mut peers = peers(&server, seed, &pace);
    let wait = |what: &str, is_so: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    };
    for is_crash in [true, false] {
        let before = pace.answered.load(Ordering::Relaxed);
        let answered = |more: u64| pace.answered.load(Ordering::Relaxed) >= before + more;
        let logons = pace.logged_on.load(Ordering::Relaxed) + peers.len() as u64;
        let address = server.binary;
        std::thread::scope(|scope| {
            for peer in &mut peers {
                let burst = LOAD;
                scope.spawn(move || peer.run(address, Until::Broken { logons, burst }));
            }
            wait("a load", &|| answered(LOAD / 10));
            database.server.down(is_crash);
            wait("trading goes on without the database", &|| answered(LOAD));
            wait("that it is behind is told", &|| {
                metric(&server, "trading_engine_projector_up") < 1.0
                    && metric(&server, "trading_engine_projector_lag_commands") > 0.0
            });
            let ready = server.get("/health/ready").0;
            assert_eq!(ready, 200, "and is no reason not to trade");
            database.server.up();
            wait("it catches up", &|| {
                answered(2 * LOAD)
                    && metric(&server, "trading_engine_projector_up") > 0.0
                    && metric(&server, "trading_engine_projector_lag_commands") < 1.0
            });
            server.kill();
        });
        server = Server::start(data.path(), &settings);
        for peer in &mut peers {
            peer.run(server.binary, Until::Answered);
        }
    }
    assert_eq!(server.terminate(), Some(0));
    let events = check(data.path(), &database.parsed());
    println!("{events} events");
}

/// A venue begins with its database away, and trades.
#[test]
fn a_venue_starts_without_its_database() {
    let data = tempfile::tempdir().unwrap();
    let database = Database::on(Arc::new(Postgres::start_own()));
    database.server.down(false);
    let server = Server::start(data.path(), &[("DATABASE_URL", &database.url)]);
    let pace = Arc::new(Pace::default());
    let mut peers = peers(&server, 5, &pace);
    for peer in &mut peers {
        peer.run(server.binary, Until::Answered);
    }
    assert!(metric(&server, "trading_engine_projector_up") < 1.0);
    database.server.up();
    let begun = Instant::now();
    while metric(&server, "trading_engine_projector_lag_commands") > 0.0
        || metric(&server, "trading_engine_projector_up") < 1.0
    {
        assert!(begun.elapsed() < PATIENCE, "it catches up");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(server.terminate(), Some(0));
    check(data.path(), &database.parsed());
}
