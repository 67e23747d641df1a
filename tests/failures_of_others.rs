//! What went wrong in other engines' sessions, as trading with this venue: a queue that grows while a resend is waited
//! for, one that is replayed into the next connection until no logon comes through, and resends without a bound.
//!
//! What went wrong in matching cores is in `tests/matching` and `tests/engine_findings.rs`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::server::Server;
use support::talk::{BinaryTalk, FixTalk};
use trading_engine_protocol::binary::message::OrderAccepted;

/// Messages that a flood has: more than wait for a gap to be filled.
const FLOOD: u64 = 6_000;
/// As many as wait.
const WAITING_MAX: u64 = 4_096;

fn start(data: &tempfile::TempDir) -> Server {
    Server::start(data.path(), &[("JOURNAL_POLICY", "os")])
}

/// Leaves a number out and sends many messages behind it. Returns the number left out.
fn flood(talk: &mut FixTalk) -> u64 {
    let missing = talk.next;
    talk.next += 1;
    let mut bytes = Vec::new();
    for _ in 0..FLOOD {
        bytes.extend(talk.message("0", talk.next, &[]));
        talk.next += 1;
    }
    talk.line.write(&bytes);
    missing
}

fn expect_resend_request(talk: &mut FixTalk, from: u64) {
    let asked = talk.expect();
    assert_eq!(asked.kind(), "2", "{asked:?}");
    assert_eq!(asked.get(7), Some(from.to_string().as_str()), "{asked:?}");
}

/// Says that nothing from this number up to the next one has to be sent again.
fn fill_gap(talk: &mut FixTalk, from: u64) {
    let next = talk.next.to_string();
    let fill = talk.message("4", from, &[(123, "Y"), (36, &next)]);
    talk.line.write(&fill);
}

/// The session is in step: a TestRequest is what is answered next.
fn expect_in_step(talk: &mut FixTalk) {
    talk.send("1", &[(112, "STILL HERE")]);
    let answer = talk.expect();
    assert_eq!(
        (answer.kind(), answer.get(112)),
        ("0", Some("STILL HERE")),
        "{answer:?}"
    );
}

/// QuickFIX/J #477: the queue of what comes while a resend is waited for had no bound. Here so and so many wait, the
/// gap is asked for once, and what found no room is asked for when it is its turn.
#[test]
fn a_queue_that_grows_behind_a_gap() {
    let data = tempfile::tempdir().unwrap();
    let server = start(&data);
    let mut talk = FixTalk::logged_on(server.fix, &server.credentials().fix[0], 30);
    let missing = flood(&mut talk);
    expect_resend_request(&mut talk, missing);
    let late = talk.message("0", missing, &[]);
    talk.line.write(&late);
    // All that waited are used; the next message shows that others did not.
    talk.send("1", &[(112, "BEHIND A GAP")]);
    let lost = missing + 1 + WAITING_MAX;
    expect_resend_request(&mut talk, lost);
    fill_gap(&mut talk, lost);
    // It waited, too.
    expect_in_step(&mut talk);
    assert_eq!(server.terminate(), Some(0));
}

/// QuickFIX/J #1243: what waited for a gap was replayed into the next connection, whose logon it followed into an
/// endless loop of logons. Here it ends with its connection.
#[test]
fn a_stale_queue_replayed_into_the_next_connection() {
    let data = tempfile::tempdir().unwrap();
    let server = start(&data);
    let entry = &server.credentials().fix[0];
    let mut talk = FixTalk::logged_on(server.fix, entry, 30);
    let missing = flood(&mut talk);
    expect_resend_request(&mut talk, missing);
    for _ in 0..3 {
        let next = talk.next;
        drop(talk);
        talk = FixTalk::connect(server.fix, &entry.comp_id);
        talk.next = next;
        // Its number is higher than the one that the venue waits for.
        talk.logon(entry, 30, false);
        let answer = talk.expect();
        assert_eq!(answer.kind(), "A", "{answer:?}");
        expect_resend_request(&mut talk, missing);
    }
    fill_gap(&mut talk, missing);
    expect_in_step(&mut talk);
    assert_eq!(server.terminate(), Some(0));
}

/// QuickFIX/J #271: whoever asks for everything again and again was served each time, at everybody's cost. Here one
/// resend is under way at a time, and the others trade on.
#[test]
fn a_loop_of_resend_requests() {
    const ORDERS: usize = 2_000;
    let data = tempfile::tempdir().unwrap();
    let server = start(&data);
    let credentials = server.credentials();
    let mut asks = FixTalk::logged_on(server.fix, &credentials.fix[0], 30);
    for order in 0..ORDERS {
        asks.order(&format!("O{order}"), "1", "1", "50");
        assert_eq!(asks.expect().kind(), "8");
    }
    let others_are_done = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&others_are_done);
    let asking = std::thread::spawn(move || {
        let mut resent = 0_u64;
        while !told.load(Ordering::Relaxed) {
            for _ in 0..20 {
                asks.send("2", &[(7, "2"), (16, "0")]);
            }
            // It reads what comes, or its connection would end like everybody's who does not.
            for _ in 0..ORDERS {
                resent += u64::from(asks.expect().get(43) == Some("Y"));
            }
        }
        resent
    });
    let key = credentials.binary("beta-1").unwrap();
    let mut trades = BinaryTalk::logged_on(server.binary, key, 30_000);
    for id in 1..=2_000 {
        let order = trades.order(id, 1, 1, 49);
        trades.send(&order);
        assert_eq!(trades.expect_a::<OrderAccepted>().cl_ord_id, id);
    }
    others_are_done.store(true, Ordering::Relaxed);
    let resent = asking.join().expect("every resend was served");
    assert!(resent >= ORDERS as u64, "{resent} resent");
    assert_eq!(server.terminate(), Some(0));
}
