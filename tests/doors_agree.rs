//! What both doors say of the same thing.

mod support;

use serde_json::json;
use support::http::Api;
use support::server::Server;
use support::talk::{BinaryTalk, FixTalk};
use trading_engine_protocol::binary::STATUS_REPLACED;
use trading_engine_protocol::binary::message::{
    CancelOrder, CancelRejected, Logout, OrderAccepted, OrderCanceled, OrderRejected,
    OrderReplaced, OrderStatusRequest, ReplaceOrder,
};
use trading_engine_protocol::binary::{logon_text, message::Logon, message::ServerHello};
use trading_engine_protocol::types::{Decimal8, Reason};
use zerocopy::FromZeros as _;

const SETTINGS: &[(&str, &str)] = &[("JOURNAL_POLICY", "os")];

fn binary(server: &Server) -> BinaryTalk {
    let credentials = server.credentials();
    let entry = credentials.binary("alpha-1").unwrap();
    BinaryTalk::logged_on(server.binary, entry, 30_000)
}

fn fix(server: &Server) -> FixTalk {
    FixTalk::logged_on(server.fix, &server.credentials().fix[0], 30)
}

/// The order lives under its newest id: what was asked of the old one is not of an order that never was.
#[test]
fn an_id_that_was_replaced_away_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), SETTINGS);
    let mut alpha = binary(&server);
    let order = alpha.order(1, 1, 5, 50);
    alpha.send(&order);
    alpha.expect_a::<OrderAccepted>();
    alpha.send(&ReplaceOrder {
        cl_ord_id: 2,
        orig_cl_ord_id: 1,
        price: 49 * Decimal8::ONE,
        qty: 5 * Decimal8::ONE,
        instrument_id: order.instrument_id,
        ..ReplaceOrder::new_zeroed()
    });
    alpha.expect_a::<OrderReplaced>();
    alpha.send(&CancelOrder {
        cl_ord_id: 3,
        orig_cl_ord_id: 1,
        instrument_id: order.instrument_id,
        ..CancelOrder::new_zeroed()
    });
    let refused = alpha.expect_a::<CancelRejected>();
    assert_eq!((refused.cl_ord_id, refused.status), (3, STATUS_REPLACED));
    let ask = |orig_cl_ord_id| OrderStatusRequest {
        cl_ord_id: 4,
        orig_cl_ord_id,
        ..OrderStatusRequest::new_zeroed()
    };
    alpha.send(&ask(1));
    assert_eq!(alpha.expect_a::<CancelRejected>().status, STATUS_REPLACED);
    // Of an order that never was.
    alpha.send(&ask(99));
    assert_eq!(alpha.expect_a::<CancelRejected>().status, 8);
    alpha.send(&CancelOrder {
        cl_ord_id: 5,
        orig_cl_ord_id: 2,
        instrument_id: order.instrument_id,
        ..CancelOrder::new_zeroed()
    });
    alpha.expect_a::<OrderCanceled>();

    let mut fix = fix(&server);
    fix.order("A", "1", "5", "50");
    assert_eq!(fix.expect().get(150), Some("0"));
    let rest = [(55, "TEST-A"), (54, "1"), (60, "20260102-12:00:00")];
    let terms = [(38, "5"), (40, "2"), (44, "49")];
    let replace = [&[(11, "B"), (41, "A")], &rest[..], &terms[..]].concat();
    fix.send("G", &replace);
    assert_eq!(fix.expect().get(150), Some("5"));
    fix.send("F", &[&[(11, "C"), (41, "A")], &rest[..]].concat());
    let refused = fix.expect();
    assert_eq!((refused.kind(), refused.get(39)), ("9", Some("5")));
    assert_eq!(server.terminate(), Some(0));
}

/// Both told of a lost connection, which a logout is not.
#[test]
fn an_order_that_ends_with_a_logout_says_so_and_one_of_a_lost_connection_that() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), SETTINGS);
    let credentials = server.credentials();
    let key = credentials.binary("alpha-1").unwrap();
    let entry = &credentials.fix[0];
    for (round, logs_out, code, restated) in [
        (1, true, Reason::CanceledOnLogout, "13"),
        (2, false, Reason::CanceledOnDisconnect, "12"),
    ] {
        let mut alpha = BinaryTalk::connect(server.binary);
        let hello: ServerHello = alpha.expect().read().unwrap();
        let mut logon = Logon {
            key_id: support::talk::key_id(key),
            session_id: key.session,
            heartbeat_ms: 30_000,
            cod_type: 3,
            auth_type: 2,
            ..Logon::new_zeroed()
        };
        let text = logon_text(&hello.nonce, &logon);
        logon.signature = trading_engine::client::sign(&key.secret, &text).unwrap();
        alpha.write(&logon, 0);
        alpha.until_active();
        let order = alpha.order(round, 1, 5, 50);
        alpha.send(&order);
        alpha.expect_a::<OrderAccepted>();
        if logs_out {
            alpha.write(&Logout::new_zeroed(), 0);
            alpha.line.rest();
        }
        drop(alpha);
        // What happened meanwhile is the last of what is replayed.
        let until = std::time::Instant::now() + support::talk::PATIENCE;
        let reason = loop {
            let mut again = BinaryTalk::connect(server.binary);
            again.logon(key, 30_000, 1);
            let replayed = again.until_active();
            let last = replayed
                .last()
                .and_then(|last| last.read::<OrderCanceled>());
            match last.filter(|last| last.orig_cl_ord_id == round) {
                Some(canceled) => break canceled.reason,
                None => assert!(std::time::Instant::now() < until, "{replayed:?}"),
            }
        };
        assert_eq!(reason, code.code());

        let mut fix = FixTalk::connect(server.fix, &entry.comp_id);
        let fields = [
            (98, "0"),
            (108, "30"),
            (553, entry.username.as_str()),
            (554, &entry.password),
            (141, "Y"),
            (35002, "3"),
        ];
        fix.send("A", &fields);
        assert_eq!(fix.expect().kind(), "A");
        fix.order(&format!("L{round}"), "1", "5", "50");
        assert_eq!(fix.expect().get(150), Some("0"));
        if logs_out {
            fix.send("5", &[]);
            assert_eq!(fix.expect().kind(), "5");
        }
        let next = fix.next;
        drop(fix);
        // The report waits under its number: it comes to who says what it expects.
        let expected = if logs_out { "4" } else { "3" };
        let canceled = loop {
            let mut fix = FixTalk::connect(server.fix, &entry.comp_id);
            fix.next = next;
            let fields = [
                (98, "0"),
                (108, "30"),
                (553, entry.username.as_str()),
                (554, &entry.password),
                (789, expected),
            ];
            fix.send("A", &fields);
            let message = fix.next_message();
            if message.is_some_and(|message| message.kind() == "A") {
                break fix.expect();
            }
            assert!(
                std::time::Instant::now() < until,
                "the session is still taken"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        assert_eq!(canceled.get(150), Some("4"), "{canceled:?}");
        assert_eq!(canceled.get(378), Some(restated));
    }
    assert_eq!(server.terminate(), Some(0));
}

/// What the venue allows of a firm's messages, as it is at the time.
#[test]
fn a_logon_states_the_message_rate_of_its_firm() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), SETTINGS);
    let told = |server: &Server, key: &str, comp_id: &str| {
        let credentials = server.credentials();
        let entry = credentials.binary(key).unwrap();
        let talk = BinaryTalk::logged_on(server.binary, entry, 30_000);
        let accepted = talk.accepted.unwrap();
        let mut entries = credentials.fix.iter();
        let entry = entries.find(|entry| entry.comp_id == comp_id).unwrap();
        let mut fix = FixTalk::connect(server.fix, comp_id);
        fix.logon(entry, 30, true);
        let answer = fix.expect();
        assert_eq!(answer.kind(), "A");
        let number = |tag| answer.get(tag).map(|text| text.parse::<u32>().unwrap());
        fix.send("5", &[]);
        assert_eq!(fix.expect().kind(), "5");
        fix.line.rest();
        let in_fix = (number(35033), number(35034));
        ((accepted.msg_burst, accepted.msg_rate), in_fix)
    };
    let alpha = |server: &Server| told(server, "alpha-1", "ALPHA1");
    let none = ((0, 0), (None, None));
    assert_eq!(alpha(&server), none);

    let operator = Api::login(&server, "operator");
    let rate =
        |count: u32, ms: u32| json!({"firm": 1, "messages": {"count": count, "window_ms": ms}});
    operator.put("/api/v1/limits", &rate(3, 60_000)).ok();
    assert_eq!(alpha(&server), ((3, 0), (Some(3), Some(60_000))));
    assert_eq!(told(&server, "beta-1", "BETA1"), none, "another firm's");
    // It holds.
    let mut talk = binary(&server);
    for id in 1..=3 {
        let order = talk.order(id, 1, 1, 50);
        talk.send(&order);
        assert_eq!(talk.expect_a::<OrderAccepted>().cl_ord_id, id);
    }
    let order = talk.order(4, 1, 1, 50);
    talk.send(&order);
    assert_eq!(
        talk.expect_a::<OrderRejected>().reason,
        Reason::LimitMessages.code()
    );
    drop(talk);

    // A set of one instrument has no say in it.
    let other = json!({"firm": 1, "instrument": "TEST-A", "quantity_lots": 10});
    operator.put("/api/v1/limits", &other).ok();
    operator.put("/api/v1/limits", &rate(500, 1_000)).ok();
    let stated = ((500, 500), (Some(500), Some(1_000)));
    assert_eq!(alpha(&server), stated);
    server.kill();
    let server = Server::start(data.path(), SETTINGS);
    assert_eq!(alpha(&server), stated, "after a start");
    let operator = Api::login(&server, "operator");
    operator.put("/api/v1/limits", &json!({"firm": 1})).ok();
    assert_eq!(alpha(&server), none, "taken away");
    assert_eq!(server.terminate(), Some(0));
}
