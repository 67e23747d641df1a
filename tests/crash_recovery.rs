//! Two binary and two FIX clients trade with each other through the real binary, which is killed
//! with `kill -9` in the middle of a burst, again and again. Each client resumes without a number
//! reset, and in the end their own ledgers prove that every acknowledged order and every fill is
//! there exactly once.
//!
//! `KILLS` chooses how many times (default 10 over all topologies), `SEED` repeats a run.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use support::peers::{BinaryPeer, FixPeer, Pace, Peer, Until, agreed_book};
use support::server::Server;
use support::settings::{number, seed};
use support::workload::Random;

const SYMBOL: &str = "TEST-A";
/// Orders that each client sends at once before a kill.
const BURST: u64 = 1_500;
const UNANSWERED_MIN: u64 = 64;
const PATIENCE: Duration = Duration::from_secs(30);

fn kills() -> u64 {
    number("KILLS").unwrap_or(10)
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills_in_compact() {
    killed_in_a_burst("compact", "1", "group", kills().div_ceil(4));
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills_in_dedicated() {
    killed_in_a_burst("dedicated", "1", "group", kills().div_ceil(4));
}

/// What the operating system was given survives the process.
#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills_under_policy_os() {
    killed_in_a_burst("compact", "1", "os", kills().div_ceil(4));
}

/// The sessions' homes are spread over the threads.
#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills_with_three_gateway_threads() {
    killed_in_a_burst("dedicated", "3", "group", kills().div_ceil(4));
}

fn killed_in_a_burst(topology: &str, gateways: &str, policy: &str, kills: u64) {
    let seed = seed();
    let mut random = Random::new(seed);
    let data = tempfile::tempdir().unwrap();
    let settings = [
        ("TOPOLOGY", topology),
        ("GATEWAY_THREADS", gateways),
        ("JOURNAL_POLICY", policy),
        // Segments end between kills, so that snapshots take part.
        ("JOURNAL_SEGMENT_BYTES", "65536"),
        // Hundreds of kills take millions of orders.
        ("MAX_CLIENT_ORDER_IDS", "8388608"),
    ];
    let mut server = Server::start(data.path(), &settings);
    let credentials = server.credentials();
    let key = |id: &str| credentials.binary(id).unwrap().clone();
    let pace = Arc::new(Pace::default());
    let shared = || Arc::clone(&pace);
    let mut peers: Vec<Box<dyn Peer>> = vec![
        Box::new(BinaryPeer::new(key("alpha-1"), SYMBOL, seed ^ 1, shared())),
        Box::new(BinaryPeer::new(key("beta-1"), SYMBOL, seed ^ 2, shared())),
        Box::new(FixPeer::new(
            &credentials.fix[0],
            SYMBOL,
            seed ^ 3,
            shared(),
        )),
        Box::new(FixPeer::new(
            &credentials.fix[1],
            SYMBOL,
            seed ^ 4,
            shared(),
        )),
    ];
    let (mut counted, mut rounds) = (0, 0);
    while counted < kills {
        rounds += 1;
        assert!(rounds <= 50 * kills, "kills hardly ever fall into a burst");
        // The middle of the burst is a count of answers, not a time: machines differ.
        let fate = pace.answered.load(Ordering::Relaxed) + 1 + random.below(BURST);
        let logons = pace.logged_on.load(Ordering::Relaxed) + peers.len() as u64;
        let (binary, fix) = (server.binary, server.fix);
        std::thread::scope(|scope| {
            for (index, peer) in peers.iter_mut().enumerate() {
                let address = if index < 2 { binary } else { fix };
                scope.spawn(move || {
                    peer.run(
                        address,
                        Until::Broken {
                            logons,
                            burst: BURST,
                        },
                    )
                });
            }
            let started = Instant::now();
            while pace.answered.load(Ordering::Relaxed) < fate && started.elapsed() < PATIENCE {
                std::thread::park_timeout(Duration::from_micros(200));
            }
            server.kill();
        });
        let unanswered: Vec<u64> = peers.iter().map(|p| p.ledger().unanswered()).collect();
        if unanswered.iter().all(|&count| count >= UNANSWERED_MIN) {
            counted += 1;
        }
        server = Server::start(data.path(), &settings);
        answer_everything(&mut peers, &server);
        // Whoever was done first may have been traded with since: everyone looks once more.
        answer_everything(&mut peers, &server);
        check(&peers, &server);
    }
    let orders: usize = peers.iter().map(|p| p.ledger().orders.len()).sum();
    let trades: usize = peers.iter().map(|p| p.ledger().trades.len()).sum();
    println!(
        "{topology}, {gateways} gateway threads: {counted} kills in {rounds} rounds, {orders} orders, {} trades",
        trades / 2
    );
    assert_eq!(server.terminate(), Some(0));
}

fn answer_everything(peers: &mut [Box<dyn Peer>], server: &Server) {
    std::thread::scope(|scope| {
        for (index, peer) in peers.iter_mut().enumerate() {
            let address = if index < 2 { server.binary } else { server.fix };
            scope.spawn(move || peer.run(address, Until::Answered));
        }
    });
}

/// The ledgers against each other and against the venue's own book.
fn check(peers: &[Box<dyn Peer>], server: &Server) {
    let levels = agreed_book(peers);
    let (status, body) = server.get(&format!("/book/{SYMBOL}"));
    assert_eq!(status, 200);
    let book: serde_json::Value = serde_json::from_str(&body).unwrap();
    let mut venue = BTreeMap::new();
    for (side, name) in [(1u8, "bids"), (2, "asks")] {
        for level in book[name].as_array().unwrap() {
            let price: f64 = level["price"].as_str().unwrap().parse().unwrap();
            let lots: i64 = level["quantity"].as_str().unwrap().parse().unwrap();
            let orders = level["orders"].as_u64().unwrap();
            venue.insert((side, (price * 100.0).round() as i64), (lots, orders));
        }
    }
    assert_eq!(
        venue, levels,
        "the venue's book is what the clients' ledgers add up to"
    );
}
