//! What clients of both doors are told of trading phases: as they are when they ask, each change in its place, once a
//! start is over, too.

mod support;

use serde_json::json;
use support::http::Api;
use support::server::Server;
use support::talk::{BinaryTalk, Fields, FixTalk};
use trading_engine_protocol::binary::LOGON_TRADING_STATUS;
use trading_engine_protocol::binary::message::{OrderAccepted, TradingStatus};
use trading_engine_protocol::types::TradingPhase as P;

const SETTINGS: &[(&str, &str)] = &[("JOURNAL_POLICY", "os")];

fn binary(server: &Server, from_seq: u64, flags: u16) -> BinaryTalk {
    let credentials = server.credentials();
    let mut talk = BinaryTalk::connect(server.binary);
    talk.flags = flags;
    talk.logon(credentials.binary("alpha-1").unwrap(), 30_000, from_seq);
    talk.until_active();
    talk
}

fn fix(server: &Server) -> FixTalk {
    FixTalk::logged_on(server.fix, &server.credentials().fix[0], 30)
}

/// Asks for the status of an instrument.
fn ask(talk: &mut FixTalk, symbol: &str, kind: &str) {
    talk.send("e", &[(55, symbol), (263, kind), (324, symbol)]);
}

/// A FIX status in short: symbol, its numbers, and whether it was asked for.
fn told(message: &Fields) -> String {
    let get = |tag| message.get(tag).unwrap_or("-").to_owned();
    match message.kind() {
        "f" => {
            assert_eq!(message.get(324), message.get(55));
            format!("{} {} {} {}", get(55), get(326), get(625), get(325))
        }
        "h" => format!("venue {} {}", get(340), get(325)),
        kind => panic!("{kind}: {message:?}"),
    }
}

/// So many messages follow each other by number, and say this.
fn expect_told(talk: &mut FixTalk, expected: &[&str]) {
    for expected in expected {
        assert_eq!(told(&talk.expect()), *expected);
    }
}

/// Nothing is on its way.
fn expect_quiet(talk: &mut FixTalk) {
    talk.send("1", &[(112, "QUIET")]);
    let answer = talk.expect();
    assert_eq!((answer.kind(), answer.get(112)), ("0", Some("QUIET")));
}

fn phases(talk: &mut BinaryTalk, count: usize) -> Vec<(u32, P)> {
    let read = |_| {
        let received = talk.expect();
        let status: TradingStatus = received.read().unwrap_or_else(|| panic!("{received:?}"));
        assert_eq!(received.header.seq, 0, "it has no number");
        (status.instrument_id, P::try_from(status.phase).unwrap())
    };
    (0..count).map(read).collect()
}

#[test]
fn both_doors_tell_of_a_halt_and_of_phases_for_all() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), SETTINGS);
    let risk = Api::login(&server, "risk");
    let mut alpha = binary(&server, 0, LOGON_TRADING_STATUS);
    let test_a = alpha.instruments["TEST-A"];
    let all: Vec<(u32, P)> = (1..=5).map(|id| (id, P::Continuous)).collect();
    assert_eq!(phases(&mut alpha, 5), all);

    let mut fix = fix(&server);
    ask(&mut fix, "TEST-A", "1");
    expect_told(&mut fix, &["TEST-A 17 3 N"]);
    ask(&mut fix, "ACME", "0");
    expect_told(&mut fix, &["ACME 17 3 N"]);
    ask(&mut fix, "NOWHERE", "1");
    let unknown = fix.expect();
    assert_eq!(told(&unknown), "NOWHERE 20 - N");
    assert_eq!(unknown.get(58), Some("Unknown symbol"));
    fix.send("g", &[(263, "1"), (335, "S")]);
    expect_told(&mut fix, &["venue 2 N"]);
    fix.send("g", &[(263, "1"), (335, "S"), (336, "NIGHT")]);
    let rejected = fix.expect();
    assert_eq!(told(&rejected), "venue 6 N");
    assert_eq!(rejected.get(567), Some("1"));
    fix.send("g", &[(263, "1"), (335, "S"), (338, "2")]);
    expect_told(&mut fix, &["venue 6 N"]);
    let night = [(55, "ACME"), (263, "1"), (324, "ACME"), (336, "NIGHT")];
    fix.send("e", &night);
    expect_told(&mut fix, &["ACME 20 - N"]);

    risk.ask("/api/v1/instruments/TEST-A/halt").ok();
    let status: TradingStatus = alpha.expect().read().unwrap();
    assert_eq!(
        (status.instrument_id, status.phase),
        (test_a, P::Halted.as_u8())
    );
    assert!(status.transact_time > 0);
    // One instrument's halt is not the venue's.
    let halted = fix.expect();
    assert_eq!(told(&halted), "TEST-A 2 - Y");
    assert!(halted.get(60).is_some());
    expect_quiet(&mut fix);
    // What is refused comes behind what it is refused for.
    let order = alpha.order(1, 1, 1, 50);
    alpha.send(&order);
    let answer = alpha.expect();
    assert!(answer.read::<OrderAccepted>().is_none(), "{answer:?}");

    // It is passed over.
    risk.post("/api/v1/phases", &json!({"phase": "pre-open"}))
        .ok();
    let changed: Vec<(u32, P)> = (1..=4).map(|id| (id, P::PreOpen)).collect();
    assert_eq!(phases(&mut alpha, 4), changed);
    expect_told(&mut fix, &["venue 4 Y"]);
    let body = json!({"phase": "closed", "including_halted": true});
    risk.post("/api/v1/phases", &body).ok();
    assert_eq!(phases(&mut alpha, 5).len(), 5);
    let mut news = [told(&fix.expect()), told(&fix.expect())];
    news.sort();
    assert_eq!(news, ["TEST-A 18 5 Y", "venue 3 Y"]);

    // Who does not want it any more is not told.
    ask(&mut fix, "TEST-A", "2");
    fix.send("g", &[(263, "2"), (335, "S")]);
    expect_quiet(&mut fix);
    let body = json!({"phase": "continuous"});
    risk.post("/api/v1/phases", &body).ok();
    assert_eq!(phases(&mut alpha, 5), all);
    expect_quiet(&mut fix);
    assert_eq!(server.terminate(), Some(0));
}

/// Of one instrument after the other, all told once with what they came to.
#[test]
fn a_fix_client_that_watches_everything_is_told_of_everything_once() {
    let data = tempfile::tempdir().unwrap();
    let settings = [SETTINGS, &[("DEMO_INSTRUMENTS", "55")]].concat();
    let server = Server::start(data.path(), &settings);
    let risk = Api::login(&server, "risk");
    let mut fix = fix(&server);
    let symbols: Vec<String> = (6..=55).map(|number| format!("DEMO-{number:03}")).collect();
    for symbol in &symbols {
        ask(&mut fix, symbol, "1");
    }
    for symbol in &symbols {
        assert_eq!(told(&fix.expect()), format!("{symbol} 17 3 N"));
    }
    for (phase, said) in [("opening-auction", "22 2"), ("continuous", "17 3")] {
        risk.post("/api/v1/phases", &json!({"phase": phase})).ok();
        let mut news: Vec<String> = symbols.iter().map(|_| told(&fix.expect())).collect();
        news.sort();
        let expected: Vec<String> = symbols
            .iter()
            .map(|symbol| format!("{symbol} {said} Y"))
            .collect();
        assert_eq!(news, expected);
        expect_quiet(&mut fix);
    }
    assert_eq!(server.terminate(), Some(0));
}

/// A status is not resent: reports are, and the numbers of the others are a gap.
#[test]
fn a_resend_leaves_statuses_out_and_a_new_connection_asks_again() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), SETTINGS);
    let risk = Api::login(&server, "risk");
    let mut talk = fix(&server);
    ask(&mut talk, "TEST-A", "1");
    expect_told(&mut talk, &["TEST-A 17 3 N"]);
    talk.order("A", "1", "5", "50");
    assert_eq!(talk.expect().get(150), Some("0"));
    risk.ask("/api/v1/instruments/TEST-A/halt").ok();
    expect_told(&mut talk, &["TEST-A 2 - Y"]);
    talk.send("2", &[(7, "1"), (16, "0")]);
    let seen: Vec<(String, Option<String>)> = (0..3)
        .map(|_| {
            let message = talk.expect();
            let next = message.get(36).map(str::to_owned);
            (message.kind().to_owned(), next)
        })
        .collect();
    let gap = |to: &str| ("4".to_owned(), Some(to.to_owned()));
    assert_eq!(seen, [gap("3"), ("8".to_owned(), None), gap("5")]);
    // Numbers that begin anew: the subscription stays, and says again what is.
    let entry = server.credentials().fix[0].clone();
    talk.next = 1;
    talk.logon(&entry, 30, true);
    assert_eq!(talk.expect().kind(), "A");
    expect_told(&mut talk, &["TEST-A 2 - Y"]);

    // With the connection it ends.
    let kept = talk.next;
    talk.send("5", &[]);
    assert_eq!(talk.expect().kind(), "5");
    drop(talk);
    let mut talk = FixTalk::connect(server.fix, &entry.comp_id);
    talk.next = kept + 1;
    talk.logon(&entry, 30, false);
    assert_eq!(talk.expect().kind(), "A");
    risk.ask("/api/v1/instruments/TEST-A/resume").ok();
    expect_quiet(&mut talk);
    ask(&mut talk, "TEST-A", "1");
    expect_told(&mut talk, &["TEST-A 17 3 N"]);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn after_a_start_both_doors_say_the_phase_that_the_log_has() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), SETTINGS);
    let mut alpha = binary(&server, 0, 0);
    let order = alpha.order(1, 1, 1, 50);
    alpha.send(&order);
    // Who did not ask is not told.
    let risk = Api::login(&server, "risk");
    assert_eq!(alpha.expect_a::<OrderAccepted>().cl_ord_id, 1);
    risk.ask("/api/v1/instruments/TEST-A/halt").ok();
    let order = alpha.order(2, 1, 1, 50);
    alpha.send(&order);
    let answer = alpha.expect();
    assert!(answer.header.seq == 2, "{answer:?}");
    server.kill();

    let server = Server::start(data.path(), SETTINGS);
    let mut alpha = BinaryTalk::connect(server.binary);
    alpha.flags = LOGON_TRADING_STATUS;
    let credentials = server.credentials();
    alpha.logon(credentials.binary("alpha-1").unwrap(), 30_000, 1);
    // Behind what is replayed.
    assert_eq!(alpha.until_active().len(), 2);
    let all = phases(&mut alpha, 5);
    let test_a = alpha.instruments["TEST-A"];
    for (instrument, phase) in all {
        let expected = if instrument == test_a {
            P::Halted
        } else {
            P::Continuous
        };
        assert_eq!(phase, expected, "{instrument}");
    }
    let mut fix = fix(&server);
    ask(&mut fix, "TEST-A", "0");
    let halted = fix.expect();
    assert_eq!(
        (told(&halted).as_str(), halted.get(60)),
        ("TEST-A 2 - N", None)
    );
    assert_eq!(server.terminate(), Some(0));
}
