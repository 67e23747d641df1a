//! What the venue's people do through the admin API, and what clients of both doors feel of it.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::http::Api;
use support::server::{self, Server};
use support::talk::{BinaryTalk, Fields, FixTalk, PATIENCE};
use trading_engine::client::credentials::{BinaryCredentials, FixCredentials, Secret};
use trading_engine_protocol::binary::message::{
    Fill, LogonRejected, Logout, MassQuote, MassQuoteAck, NewOrder, OrderAccepted, OrderCanceled,
    OrderRejected, QuoteEntry, TradeAmended,
};
use trading_engine_protocol::binary::{NULL_PRICE, QUOTE_NO_ASK};
use trading_engine_protocol::types::{Decimal8, Reason, UtcNanos};

/// A venue of this test, and its people.
struct World {
    server: Server,
    operator: Api,
    _data: tempfile::TempDir,
}

impl World {
    fn start(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), settings);
        Self {
            operator: Api::login(&server, "operator"),
            server,
            _data: data,
        }
    }

    fn binary(&self, key: &str) -> BinaryTalk {
        let credentials = self.server.credentials();
        BinaryTalk::logged_on(self.server.binary, credentials.binary(key).unwrap(), 30_000)
    }

    /// [`Api::until`] of the operator.
    fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.operator.until(path, is_so)
    }
}

fn accepted(talk: &mut BinaryTalk, id: u64, side: u8, quantity: i64, price: i64) {
    let order = talk.order(id, side, quantity, price);
    talk.send(&order);
    assert_eq!(talk.expect_a::<OrderAccepted>().cl_ord_id, id);
}

fn rejected(talk: &mut BinaryTalk, id: u64, quantity: i64, price: i64, why: Reason) {
    let order = talk.order(id, 1, quantity, price);
    talk.send(&order);
    let answer = talk.expect_a::<OrderRejected>();
    assert_eq!((answer.cl_ord_id, answer.reason), (id, why.code()));
}

#[test]
fn a_kill_switch_cancels_and_blocks_until_it_is_released() {
    let world = World::start(&[]);
    let risk = Api::login(&world.server, "risk");
    let mut alpha = world.binary("alpha-1");
    for (id, scope, target) in [
        (10, "session", Some("2")),
        (20, "firm", Some("1")),
        (30, "instrument", Some("TEST-A")),
        (40, "venue", None),
    ] {
        accepted(&mut alpha, id, 1, 10, 50);
        let body = json!({"scope": scope, "target": target});
        let killed = risk.post("/api/v1/kill-switch", &body).ok();
        assert_eq!(killed["canceled"], 1, "{killed}");
        let canceled = alpha.expect_a::<OrderCanceled>();
        assert_eq!(canceled.reason, Reason::KilledBySwitch.code());
        rejected(&mut alpha, id + 1, 10, 50, Reason::TradingBlocked);
        let on = risk.get("/api/v1/kill-switches").ok();
        assert_eq!(on["items"][0]["scope"], scope, "{on}");
        assert_eq!(on["items"][0]["by_venue"], true);
        let body = json!({"scope": scope, "target": target, "release": true});
        risk.post("/api/v1/kill-switch", &body).ok();
        let on = risk.get("/api/v1/kill-switches").ok();
        assert_eq!(on["items"], json!([]));
    }
    // The events say so, too, each by its name.
    let path = "/api/v1/events?kind=KillSwitchDone&limit=3";
    let page = world.until(path, |page| {
        let items = page["items"].as_array().unwrap();
        items.len() == 3 && items[0]["detail"]["scope"] == 5 && items[0]["detail"]["release"] == 1
    });
    assert_eq!(page["items"][1]["detail"]["canceled"], 1, "{page}");
    let next = page["next"].as_str().unwrap();
    let page = risk.get(&format!("{path}&cursor={next}")).ok();
    assert_eq!(page["items"].as_array().unwrap().len(), 3, "{page}");
    let page = risk.get("/api/v1/events?kind=LogonAnswered&session=2").ok();
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(page["items"][0]["session"], 2, "{page}");
    risk.get("/api/v1/events?kind=Nothing").problem(404);
    // Of everything that the log begins with, by a name, too.
    let page = risk.get("/api/v1/events?kind=CapacitiesSet").ok();
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(page["items"][0]["detail"]["accounts"], 1 << 14, "{page}");
    accepted(&mut alpha, 50, 1, 10, 50);
    // All its orders, and it goes on.
    let support = Api::login(&world.server, "support");
    let killed = support.ask("/api/v1/sessions/2/cancel-orders").ok();
    assert_eq!(killed["canceled"], 1);
    alpha.expect_a::<OrderCanceled>();
    accepted(&mut alpha, 51, 1, 10, 50);
    // What a risk officer set it leaves alone.
    let stop = json!({"scope": "session", "target": "2"});
    risk.post("/api/v1/kill-switch", &stop).ok();
    alpha.expect_a::<OrderCanceled>();
    let killed = support.ask("/api/v1/sessions/2/cancel-orders").ok();
    assert_eq!(killed["canceled"], 0);
    let on = risk.get("/api/v1/kill-switches").ok();
    assert_eq!(on["items"][0]["scope"], "session", "{on}");
    rejected(&mut alpha, 52, 10, 50, Reason::TradingBlocked);
    for body in [
        json!({"scope": "session", "target": "999"}),
        json!({"scope": "instrument", "target": "NOTHING"}),
    ] {
        risk.post("/api/v1/kill-switch", &body).problem(404);
    }
    for body in [
        json!({"scope": "venue", "target": "1"}),
        json!({"scope": "firm"}),
    ] {
        risk.post("/api/v1/kill-switch", &body).problem(422);
    }
}

#[test]
fn limits_refuse_what_is_beyond_them() {
    let world = World::start(&[]);
    let mut alpha = world.binary("alpha-1");
    let set = json!({"firm": 1, "instrument": "TEST-A", "quantity_lots": 10, "notional": "400.5"});
    let answer = world.operator.put("/api/v1/limits", &set).ok();
    assert_eq!(answer["limits"], set);
    rejected(&mut alpha, 1, 11, 50, Reason::LimitQuantity);
    rejected(&mut alpha, 2, 9, 50, Reason::LimitNotional);
    accepted(&mut alpha, 3, 1, 8, 50);
    let all = world.operator.get("/api/v1/limits?firm=1").ok();
    assert_eq!(all["items"], json!([set]));
    // A set is replaced as a whole.
    world
        .operator
        .put(
            "/api/v1/limits",
            &json!({"firm": 1, "instrument": "TEST-A"}),
        )
        .ok();
    accepted(&mut alpha, 4, 1, 11, 50);
    let unknown = json!({"firm": 99, "quantity_lots": 1});
    let problem = world.operator.put("/api/v1/limits", &unknown).problem(422);
    assert_eq!(problem["reason"], "InvalidDefinition");
    world
        .operator
        .put("/api/v1/limits", &json!({"firm": 1, "quantity_lots": 0}))
        .problem(422);
}

#[test]
fn limits_say_that_fills_stopped_what_they_are_for() {
    let world = World::start(&[]);
    let set = json!({"firm": 1, "executions": {"count": 1, "window_ms": 60000}});
    world.operator.put("/api/v1/limits", &set).ok();
    accepted(&mut world.binary("alpha-1"), 1, 1, 1, 50);
    accepted(&mut world.binary("beta-1"), 2, 2, 1, 50);
    // Nobody sends anything more: the venue says it by itself.
    let all = world.until("/api/v1/limits", |all| all["items"][0]["stopped"] == true);
    let mut read = all["items"][0].clone();
    rejected(
        &mut world.binary("alpha-1"),
        3,
        1,
        49,
        Reason::LimitExecutions,
    );
    // What was read can be written, which does not release it.
    let answer = world.operator.put("/api/v1/limits", &read).ok();
    assert_eq!(answer["limits"], read);
    let answer = world
        .operator
        .put("/api/v1/limits?release=true", &read)
        .ok();
    read.as_object_mut().unwrap().remove("stopped");
    assert_eq!(answer["limits"], read);
    accepted(&mut world.binary("alpha-1"), 4, 1, 1, 49);
}

#[test]
fn a_firm_with_accounts_enters_for_those_alone_over_both_doors_and_after_a_start() {
    let world = World::start(&[]);
    let operator = &world.operator;
    let (alpha_fix, path) = (
        &world.server.credentials().fix[0],
        "/api/v1/firms/1/accounts",
    );
    let mut alpha = world.binary("alpha-1");
    let mut fix = FixTalk::logged_on(world.server.fix, alpha_fix, 30);
    let of_account = |talk: &mut BinaryTalk, id: u64, account: u32| {
        let order = NewOrder {
            account_id: account,
            ..talk.order(id, 1, 10, 50)
        };
        talk.send(&order);
    };
    // They are its labels as long as it has none.
    assert_eq!(operator.get(path).ok()["items"], json!([]));
    accepted(&mut alpha, 1, 1, 10, 50);
    of_account(&mut alpha, 2, 8);
    alpha.expect_a::<OrderAccepted>();

    let put = |account: u32, enabled: bool| {
        let body = json!({"enabled": enabled});
        operator.put(&format!("{path}/{account}"), &body)
    };
    assert!(put(7, true).ok()["sequence"].is_u64());
    put(0, false).ok();
    put(9, true).ok();
    put(9, false).ok();
    let all = json!([
        {"account": 0, "enabled": false},
        {"account": 7, "enabled": true},
        {"account": 9, "enabled": false},
    ]);
    assert_eq!(operator.get(path).ok()["items"], all);
    // Account 0 is on a page, and what is behind it on the next.
    let page = operator.get(&format!("{path}?limit=1")).ok();
    assert_eq!((&page["items"][0], &page["next"]), (&all[0], &json!("0")));
    let page = operator.get(&format!("{path}?limit=1&cursor=0")).ok();
    assert_eq!(page["items"], json!([all[1]]));
    assert_eq!(operator.get(&format!("{path}/7")).ok(), all[1]);
    assert_eq!(
        operator.get("/api/v1/firms/2/accounts").ok()["items"],
        json!([])
    );
    operator.get(&format!("{path}/8")).problem(404);
    operator.get("/api/v1/firms/99/accounts").problem(404);
    operator
        .put("/api/v1/firms/99/accounts/1", &json!({"enabled": true}))
        .problem(404);
    operator
        .put(&format!("{path}/x"), &json!({"enabled": true}))
        .problem(404);
    operator.put(&format!("{path}/7"), &json!({})).problem(422);

    rejected(&mut alpha, 3, 10, 50, Reason::UnknownAccount);
    for (id, account) in [(4, 8), (5, 9)] {
        of_account(&mut alpha, id, account);
        let answer = alpha.expect_a::<OrderRejected>();
        assert_eq!(answer.reason, Reason::UnknownAccount.code());
    }
    of_account(&mut alpha, 6, 7);
    assert_eq!(alpha.expect_a::<OrderAccepted>().cl_ord_id, 6);
    let terms = [
        (55, "TEST-A"),
        (54, "1"),
        (60, "20260102-12:00:00"),
        (38, "10"),
        (40, "2"),
        (44, "50"),
    ];
    for (id, account, status) in [
        ("A", None, "8"),
        ("B", Some("8"), "8"),
        ("C", Some("7"), "0"),
    ] {
        let account = account.map(|account| (1, account));
        let fields: Vec<_> = [(11, id)].into_iter().chain(account).chain(terms).collect();
        fix.send("D", &fields);
        let answer = fix.expect();
        assert_eq!(answer.get(39), Some(status), "{answer:?}");
        if status == "8" {
            assert_eq!(answer.get(103), Some("15"), "{answer:?}");
            let text = answer.get(58).unwrap();
            assert!(text.contains("Unknown account"), "{answer:?}");
        }
    }
    let quote = [
        (117, "Q1"),
        (1, "8"),
        (296, "1"),
        (302, "1"),
        (304, "1"),
        (295, "1"),
        (299, "E1"),
        (55, "TEST-A"),
        (132, "40"),
        (134, "1"),
        (133, "60"),
        (135, "1"),
    ];
    fix.send("i", &quote);
    let answer = fix.expect();
    let said = [297, 300].map(|tag| answer.get(tag));
    assert_eq!(
        (answer.kind(), said),
        ("b", [Some("5"), Some("9")]),
        "{answer:?}"
    );

    let audit = world.until("/api/v1/audit?limit=4", |page| {
        let items = page["items"].as_array().unwrap();
        items.len() == 4 && items.iter().all(|row| row["detail"].is_string())
    });
    let newest = &audit["items"][0];
    assert_eq!(
        (&newest["action"], &newest["target"]),
        (&json!("SetAccount"), &json!(1))
    );
    assert_eq!(newest["detail"], "firm 1, account 9: disabled");

    let World { server, _data, .. } = world;
    assert_eq!(server.terminate(), Some(0));
    let server = Server::start(_data.path(), &[]);
    let operator = Api::login(&server, "operator");
    assert_eq!(operator.get(path).ok()["items"], all);
    let credentials = server.credentials();
    let key = credentials.binary("alpha-1").unwrap();
    let mut alpha = BinaryTalk::logged_on(server.binary, key, 30_000);
    rejected(&mut alpha, 7, 10, 50, Reason::UnknownAccount);
}

#[test]
fn a_halt_stops_an_instrument_and_all_phases_pass_it_over_until_it_is_resumed() {
    let world = World::start(&[]);
    let risk = Api::login(&world.server, "risk");
    let mut alpha = world.binary("alpha-1");
    let halted = risk.ask("/api/v1/instruments/TEST-A/halt").ok();
    assert_eq!(
        halted["changed"],
        json!([{"symbol": "TEST-A", "phase": "halted", "previous": "continuous"}])
    );
    rejected(&mut alpha, 1, 10, 50, Reason::InstrumentNotTrading);
    let view = risk.get("/api/v1/instruments/TEST-A").ok();
    assert_eq!(
        (&view["phase"], &view["held"]),
        (&json!("halted"), &json!(true))
    );
    // Again is the same.
    risk.ask("/api/v1/instruments/TEST-A/halt").ok();
    let all = risk
        .post("/api/v1/phases", &json!({"phase": "pre-open"}))
        .ok();
    assert_eq!(all["changed"].as_array().unwrap().len(), 4, "{all}");
    let all = risk
        .post("/api/v1/phases", &json!({"phase": "continuous"}))
        .ok();
    assert_eq!(all["changed"].as_array().unwrap().len(), 4, "{all}");
    rejected(&mut alpha, 2, 10, 50, Reason::InstrumentNotTrading);
    let resumed = risk
        .post(
            "/api/v1/instruments/TEST-A/resume",
            &json!({"phase": "volatility-auction"}),
        )
        .ok();
    assert_eq!(resumed["changed"][0]["phase"], "volatility-auction");
    accepted(&mut alpha, 3, 1, 10, 50);
    risk.ask("/api/v1/instruments/TEST-A/resume").ok();
    accepted(&mut alpha, 4, 1, 10, 50);
    risk.ask("/api/v1/instruments/TEST-A/resume").problem(409);
    // Unless asked otherwise.
    risk.ask("/api/v1/instruments/TEST-A/halt").ok();
    let body = json!({"phase": "continuous", "including_halted": true});
    let all = risk.post("/api/v1/phases", &body).ok();
    assert_eq!(all["changed"].as_array().unwrap().len(), 1, "{all}");
    accepted(&mut alpha, 5, 1, 10, 50);
}

/// What does something has its whole request first, and does nothing for one that says more than it can.
#[test]
fn a_request_without_a_body_is_not_done_before_its_body_is_there() {
    let world = World::start(&[]);
    let operator = &world.operator;
    let halt = "/api/v1/instruments/TEST-A/halt";
    let begun = format!(
        "POST {halt} HTTP/1.1\r\nHost: venue\r\nAuthorization: Bearer {}\r\nContent-Length: 16\r\n\r\n{{",
        operator.token.as_ref().unwrap()
    );
    let late = support::http::raw(operator.address, begun.as_bytes());
    late.problem(408);
    let more = operator.post(halt, &json!({"reason": "none"})).problem(400);
    assert_eq!(more["detail"], "this request takes no body");
    let phase = |world: &World| {
        let found = world.operator.get("/api/v1/instruments/TEST-A/statistics");
        found.ok()["phase"].clone()
    };
    assert_eq!(phase(&world), "continuous");
    operator.post(halt, &json!({})).ok();
    world.until("/api/v1/instruments/TEST-A/statistics", |told| {
        told["phase"] == "halted"
    });
    assert_eq!(world.server.terminate(), Some(0));
}

#[test]
fn an_interruption_has_its_end_also_after_a_start() {
    let world = World::start(&[]);
    let path = "/api/v1/instruments/TEST-A";
    let mut definition = world.operator.get(path).ok()["definition"].clone();
    definition["dynamic_band"] = json!("5");
    definition["interruption_ms"] = json!(600_000);
    world.operator.put(path, &definition).ok();
    let mut alpha = world.binary("alpha-1");
    let mut beta = world.binary("beta-1");
    accepted(&mut alpha, 1, 2, 1, 50);
    accepted(&mut beta, 2, 1, 1, 50);
    accepted(&mut alpha, 3, 2, 1, 60);
    accepted(&mut beta, 4, 1, 1, 60);
    let before = world.until(path, |view| view["phase"] == "volatility-auction");
    assert!(before["phase_until"].is_string(), "{before}");
    let World { server, _data, .. } = world;
    server.kill();
    let server = Server::start(_data.path(), &[]);
    let after = Api::login(&server, "viewer").get(path).ok();
    for field in ["phase", "phase_until", "held", "reference"] {
        assert_eq!(after[field], before[field], "{field}: {after}");
    }
}

#[test]
fn a_halt_of_all_holds_each_of_them_also_over_a_start() {
    let world = World::start(&[]);
    let risk = Api::login(&world.server, "risk");
    let phases = |phase: &str| {
        let all = risk.post("/api/v1/phases", &json!({"phase": phase})).ok();
        all["changed"].as_array().unwrap().len()
    };
    let held = |api: &Api| api.get("/api/v1/venue").ok()["held"].clone();
    // One that the schedule could have halted, with the rest of them.
    risk.ask("/api/v1/instruments/TEST-A/halt").ok();
    assert_eq!(held(&risk), 1);
    assert_eq!(phases("halted"), 4);
    assert_eq!(held(&risk), 5);
    assert_eq!(phases("continuous"), 0);
    risk.ask("/api/v1/instruments/TEST-A/resume").ok();
    assert_eq!(held(&risk), 4);
    let page = world.until("/api/v1/audit", |page| {
        let items = page["items"].as_array().unwrap();
        items.len() == 4 && items.iter().all(|row| row["ended_sequence"].is_u64())
    });
    let all = &page["items"][2];
    assert_eq!(
        (&all["action"], &all["actor"]),
        (&json!("SetPhase"), &json!("risk"))
    );
    let World { server, _data, .. } = world;
    server.kill();
    let server = Server::start(_data.path(), &[]);
    let risk = Api::login(&server, "risk");
    assert_eq!(held(&risk), 4);
    let all = risk
        .post("/api/v1/phases", &json!({"phase": "pre-open"}))
        .ok();
    assert_eq!(all["changed"][0]["symbol"], "TEST-A", "{all}");
    assert_eq!(all["changed"].as_array().unwrap().len(), 1, "{all}");
    let body = json!({"phase": "continuous", "including_halted": true});
    let all = risk.post("/api/v1/phases", &body).ok();
    assert_eq!(all["changed"].as_array().unwrap().len(), 5, "{all}");
    assert_eq!(held(&risk), 0);
}

#[test]
fn an_instrument_and_a_session_that_are_defined_while_it_runs_trade() {
    let world = World::start(&[]);
    let operator = &world.operator;
    let mut alpha = world.binary("alpha-1");
    let definition = json!({
        "price_decimals": 2, "price_unit": "0.05", "lot_size": "10", "tick": "0.05",
        "price_min": "1", "price_max": "100", "quantity_min": "10", "quantity_max": "1000",
        "quantity_increment": "10", "protection_ticks": 10,
    });
    operator.put("/api/v1/instruments/NEW", &definition).ok();
    let answer = operator.get("/api/v1/instruments/NEW");
    let view = answer.ok();
    assert_eq!(view["definition"]["price_max"], "100");
    let id = u32::try_from(view["id"].as_u64().unwrap()).unwrap();
    let order = NewOrder {
        cl_ord_id: 1,
        price: 150_000_000,
        qty: 20 * Decimal8::ONE,
        stop_price: NULL_PRICE,
        instrument_id: id,
        side: 1,
        ord_type: 2,
        ..zerocopy::FromZeros::new_zeroed()
    };
    alpha.send(&order);
    assert_eq!(alpha.expect_a::<OrderAccepted>().cl_ord_id, 1);

    // Who changes it over what somebody else changed meanwhile is told.
    let tag = answer.header("etag").unwrap().to_owned();
    let headers = format!("If-Match: {tag}\r\n");
    let mut changed = definition.clone();
    changed["quantity_max"] = json!("500");
    let put = |definition: &Value| {
        operator.send_with("PUT", "/api/v1/instruments/NEW", Some(definition), &headers)
    };
    put(&changed).ok();
    put(&definition).problem(412);
    let mut wrong = definition.clone();
    wrong["tick"] = json!("0.07");
    operator.put("/api/v1/instruments/NEW", &wrong).problem(422);
    // Names that addresses, lists of symbols or logs would read otherwise.
    let long = "A".repeat(25);
    for odd in [
        "..", ".A", "-A", "A%2CB", "A%2FB", "A%20B", "A%0AB", "A%2BB", "A%3AB", "%C3%84", &long,
    ] {
        let refused = operator.put(&format!("/api/v1/instruments/{odd}"), &definition);
        let detail = refused.problem(422)["detail"].to_string();
        assert!(detail.contains("a symbol has"), "{odd}: {detail}");
    }
    operator
        .post(
            "/api/v1/instruments/NEW/reference",
            &json!({"price": "2.03"}),
        )
        .problem(422);
    operator
        .post(
            "/api/v1/instruments/NEW/reference",
            &json!({"price": "2.05"}),
        )
        .ok();
    let view = operator.get("/api/v1/instruments/NEW").ok();
    assert_eq!(view["reference_price"], "2.05");

    operator
        .put("/api/v1/firms/7", &json!({"name": "SEVEN"}))
        .ok();
    let session = json!({"firm": 7, "protocol": "binary", "name": "seven-1"});
    operator.put("/api/v1/sessions/700", &session).ok();
    let mut seven = log_on(&world, operator, 700, "seven-1");
    let order = NewOrder { side: 2, ..order };
    seven.send(&order);
    let fill = seven.expect_a::<Fill>();
    assert_eq!(
        (fill.last_price, fill.last_qty),
        (150_000_000, 20 * Decimal8::ONE)
    );
    let fix = json!({"firm": 7, "protocol": "fix", "name": "SEVEN1", "user": 3});
    operator.put("/api/v1/sessions/701", &fix).ok();
    let key = operator.ask("/api/v1/sessions/701/keys").ok();
    assert_eq!(
        (&key["kind"], &key["username"]),
        (&json!("password"), &json!("seven1"))
    );
    let _fix = FixTalk::logged_on(world.server.fix, &fix_entry(701, &key), 30);
    let listed = world.until("/api/v1/sessions/701", |session| {
        session["connected"] == true
    });
    assert_eq!(listed["definition"]["user"], 3);

    // All of it is there after a restart.
    let World { server, _data, .. } = world;
    assert_eq!(server.terminate(), Some(0));
    let server = Server::start(_data.path(), &[]);
    let operator = Api::login(&server, "operator");
    assert_eq!(
        operator.get("/api/v1/instruments/NEW").ok()["reference_price"],
        "2.05"
    );
    assert_eq!(
        operator.get("/api/v1/sessions/700").ok()["definition"]["firm"],
        7
    );
}

/// The state that replay of the journal gives, as the program says it.
fn replayed(data: &Path) -> String {
    let output = server::command(data, &[])
        .args(["journal", "replay"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn fix_entry(session: u32, key: &Value) -> FixCredentials {
    let text = |name: &str| key[name].as_str().unwrap().to_owned();
    FixCredentials {
        session,
        comp_id: text("name"),
        username: text("username"),
        password: text("secret"),
        roles: Vec::new(),
        user: 0,
    }
}

fn binary_entry(session: u32, key_id: &str, secret: &str) -> BinaryCredentials {
    BinaryCredentials {
        session,
        key_id: key_id.to_owned(),
        roles: Vec::new(),
        user: 0,
        secret: Secret::Hmac(secret.to_owned()),
    }
}

/// Draws a secret and logs on with it.
fn log_on(world: &World, operator: &Api, session: u32, key_id: &str) -> BinaryTalk {
    let key = operator
        .ask(&format!("/api/v1/sessions/{session}/keys"))
        .ok();
    let entry = binary_entry(session, key_id, key["secret"].as_str().unwrap());
    BinaryTalk::logged_on(world.server.binary, &entry, 30_000)
}

#[test]
fn a_key_that_was_drawn_anew_works_at_once_and_the_old_one_does_not() {
    let world = World::start(&[]);
    let operator = &world.operator;
    let credentials = world.server.credentials();
    let old = credentials.binary("beta-1").unwrap().clone();
    drop(world.binary("beta-1"));
    drop(log_on(&world, operator, old.session, "beta-1"));
    let refused = |entry: &BinaryCredentials| {
        let mut talk = BinaryTalk::connect(world.server.binary);
        talk.logon(entry, 30_000, 0);
        talk.expect_a::<LogonRejected>().reason
    };
    assert_eq!(refused(&old), Reason::NotAuthorized.code());
    // One that signs states its next key.
    operator.ask("/api/v1/sessions/2/keys").problem(409);
    let key = "aa".repeat(32);
    operator
        .post("/api/v1/sessions/2/keys", &json!({"public_key": key}))
        .ok();
    assert_eq!(
        operator.get("/api/v1/sessions/2").ok()["definition"]["public_key"],
        key
    );
    let signs = credentials.binary("alpha-1").unwrap();
    assert_eq!(refused(signs), Reason::NotAuthorized.code());

    let old = credentials
        .fix
        .iter()
        .find(|entry| entry.session == 1)
        .unwrap();
    let key = operator.ask("/api/v1/sessions/1/keys").ok();
    let secret = key["secret"].as_str().unwrap().to_owned();
    let mut talk = FixTalk::connect(world.server.fix, &old.comp_id);
    talk.logon(old, 30, true);
    assert!(talk.next_message().is_none(), "the old password");
    FixTalk::logged_on(world.server.fix, &fix_entry(1, &key), 30);

    // Each is in the audit, and no secret is anywhere but in the keystore's hashes.
    let audit = world.until("/api/v1/audit?action=KeyRotated", |page| {
        page["items"].as_array().unwrap().len() == 2
    });
    assert_eq!(audit["items"][0]["actor"], "operator");
    assert_eq!(audit["items"][0]["target"], 1);
    // One that could not be changed says so, and what logged on before still does.
    let temporary = world._data.path().join("keystore.tmp");
    std::fs::create_dir(&temporary).unwrap();
    operator.ask("/api/v1/sessions/1/keys").problem(500);
    std::fs::remove_dir(&temporary).unwrap();
    FixTalk::logged_on(world.server.fix, &fix_entry(1, &key), 30);
    let audit = world.until("/api/v1/audit?action=KeyRotated", |page| {
        page["items"].as_array().unwrap().len() == 4
    });
    let failed = "it failed; the key is as it was";
    assert_eq!(audit["items"][0]["detail"], failed, "{audit}");
    assert_eq!(audit["items"][1]["detail"], Value::Null, "{audit}");
    let World { server, _data, .. } = world;
    assert_eq!(server.terminate(), Some(0));
    for folder in ["journal", "events"] {
        for file in std::fs::read_dir(_data.path().join(folder)).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "a secret in {folder}");
        }
    }
    // The next life knows the new one.
    let server = Server::start(_data.path(), &[]);
    FixTalk::logged_on(server.fix, &fix_entry(1, &key), 30);
}

#[test]
fn a_disconnect_closes_the_connection_of_either_door() {
    let world = World::start(&[]);
    let support = Api::login(&world.server, "support");
    // The API follows the log at a distance, a disconnect does not.
    let mut alpha = world.binary("alpha-1");
    support.ask("/api/v1/sessions/2/disconnect").ok();
    assert_eq!(
        alpha.expect_a::<Logout>().reason,
        Reason::DisconnectedByVenue.code()
    );
    assert!(alpha.next_frame().is_none(), "it is closed");
    let session = support.get("/api/v1/sessions/2").ok();
    assert_eq!(session["connected"], false);
    assert_eq!(session["closed_because"], "Disconnected by the venue");
    support.ask("/api/v1/sessions/2/disconnect").problem(409);
    world.binary("alpha-1");

    let credentials = world.server.credentials();
    let entry = credentials
        .fix
        .iter()
        .find(|entry| entry.session == 1)
        .unwrap();
    let mut fix = FixTalk::logged_on(world.server.fix, entry, 30);
    support.ask("/api/v1/sessions/1/disconnect").ok();
    let logout = fix.expect();
    assert_eq!(
        (logout.kind(), logout.get(58)),
        ("5", Some("Disconnected by the venue"))
    );
    assert!(fix.next_message().is_none(), "it is closed");
    // The Logout has a number of the session's, behind which the client goes on.
    let mut again = FixTalk::connect(world.server.fix, &entry.comp_id);
    again.next = fix.next;
    again.logon(entry, 30, false);
    let answer = again.expect();
    let number = |message: &Fields| message.get(34).unwrap().parse::<u64>().unwrap();
    assert_eq!((answer.kind(), number(&answer)), ("A", number(&logout) + 1));
    support.ask("/api/v1/sessions/1/disconnect").ok();
    let page = world.until("/api/v1/audit?limit=3", |page| {
        let items = page["items"].as_array().unwrap();
        items.len() == 3 && items.iter().all(|row| row["ended_sequence"].is_u64())
    });
    assert_eq!(page["items"][0]["action"], "SessionDisconnected", "{page}");
}

#[test]
fn how_far_a_session_lags_is_told_until_it_has_read() {
    const ORDERS: u64 = 40_000;
    let world = World::start(&[("OUTPUT_BYTES_MAX", "100000000"), ("JOURNAL_POLICY", "os")]);
    let mut deaf = world.binary("alpha-1");
    let unsent = |session: &Value| session["unsent_bytes"].as_u64().unwrap();
    assert_eq!(unsent(&world.operator.get("/api/v1/sessions/2").ok()), 0);
    let bytes = deaf.unmatched_orders(ORDERS);
    // The system keeps little for it.
    rustix::net::sockopt::set_socket_recv_buffer_size(&deaf.line.socket, 256 << 10).unwrap();
    deaf.line.socket.write_all(&bytes).unwrap();
    world.until("/api/v1/sessions/2", |session| unsent(session) > 0);
    let mut canceled = 0;
    while canceled < ORDERS {
        let frame = deaf.next_frame().expect("it stays");
        canceled += u64::from(frame.read::<OrderCanceled>().is_some());
    }
    let session = world.until("/api/v1/sessions/2", |session| unsent(session) == 0);
    assert_eq!(session["connected"], true);
    assert_eq!(world.server.terminate(), Some(0));
}

#[test]
fn a_bust_and_a_correction_reach_both_sides() {
    let world = World::start(&[]);
    let operator = &world.operator;
    let mut alpha = world.binary("alpha-1");
    let mut beta = world.binary("beta-1");
    let mut trade = |id: u64, quantity| {
        accepted(&mut alpha, id, 1, 10, 50);
        let order = beta.order(id, 2, quantity, 50);
        beta.send(&order);
        let fill = alpha.expect_a::<Fill>();
        assert_eq!(beta.expect_a::<Fill>().trade_id, fill.trade_id);
        fill.trade_id
    };
    let (first, second) = (trade(1, 4), trade(2, 6));
    let busted = operator.ask(&format!("/api/v1/trades/{first}/bust")).ok();
    for (side, executed) in [("buy", "6"), ("sell", "0")] {
        let sides = busted["sides"].as_array().unwrap();
        let told = sides.iter().find(|told| told["side"] == side).unwrap();
        assert_eq!(told["executed"], executed, "{busted}");
        assert_eq!(told["open"], "0", "{busted}");
    }
    // The second trade was with what was left of the same order, which ended with it.
    for (talk, filled) in [(&mut alpha, 6), (&mut beta, 0)] {
        let amended = talk.expect_a::<TradeAmended>();
        assert_eq!((amended.trade_id, amended.new_price), (first, NULL_PRICE));
        assert_eq!(amended.cum_qty, filled * Decimal8::ONE);
    }
    let path = format!("/api/v1/trades/{second}/correct");
    operator
        .post(&path, &json!({"price": "50.005"}))
        .problem(422);
    operator.post(&path, &json!({"price": "49.5"})).ok();
    for talk in [&mut alpha, &mut beta] {
        let amended = talk.expect_a::<TradeAmended>();
        assert_eq!(
            (amended.trade_id, amended.new_price),
            (second, 49_5000_0000)
        );
    }
    let again = operator
        .ask(&format!("/api/v1/trades/{first}/bust"))
        .problem(409);
    assert_eq!(again["reason"], "TradeAlreadyBusted");
    operator.ask("/api/v1/trades/999/bust").problem(404);
    let busted = world.until(&format!("/api/v1/trades/{first}"), |trade| {
        trade["busted"] == true
    });
    assert_eq!(busted["symbol"], "TEST-A");
    let public = "/api/v1/instruments/TEST-A/trades";
    let told = world.until(public, |trades| trades["items"][0]["state"] == "corrected");
    assert_eq!(told["items"][0]["corrected_price"], "49.5");
    assert_eq!(told["items"][1]["state"], "busted");
    // That was a mistake: 49.75 was meant. Then the trade goes altogether.
    let mut chain = Vec::new();
    let told_after = |path: &str, price: Option<&str>| {
        let told = match price {
            Some(price) => operator.post(path, &json!({ "price": price })).ok(),
            None => operator.ask(path).ok(),
        };
        let sides = told["sides"].as_array().unwrap().clone();
        let text = |side: &Value, what: &str| side[what].as_str().unwrap().to_owned();
        let ids = |what| {
            sides
                .iter()
                .map(|side| text(side, what))
                .collect::<Vec<_>>()
        };
        (ids("amends"), ids("exec_id"))
    };
    chain.push(told_after(&path, Some("49.75")));
    chain.push(told_after(&path, Some("49.7")));
    chain.push(told_after(&format!("/api/v1/trades/{second}/bust"), None));
    for two in chain.windows(2) {
        assert_eq!(two[0].1, two[1].0, "each starts where the last ended");
    }
    for talk in [&mut alpha, &mut beta] {
        for (was, new) in [
            (49_5000_0000, 49_7500_0000),
            (49_7500_0000, 49_7000_0000),
            (49_7000_0000, NULL_PRICE),
        ] {
            let amended = talk.expect_a::<TradeAmended>();
            assert_eq!((amended.last_price, amended.new_price), (was, new));
        }
    }
    let again = operator.post(&path, &json!({"price": "49.5"})).problem(409);
    assert_eq!(again["reason"], "TradeAlreadyBusted");
    let told = world.until(public, |trades| trades["items"][0]["state"] == "busted");
    assert_eq!(told["items"][0]["corrected_price"], Value::Null);

    // An order by any of its ids.
    let by_trade = operator
        .get(&format!("/api/v1/orders/{first}?by=trade"))
        .ok();
    assert_eq!(by_trade["items"].as_array().unwrap().len(), 2);
    let one = &by_trade["items"][0];
    let id = one["order_id"].as_str().unwrap();
    let by_id = operator.get(&format!("/api/v1/orders/{id}")).ok();
    assert_eq!(&by_id["items"][0], one);
    let (client, session) = (one["client_order_id"].as_str().unwrap(), &one["session"]);
    let by_client = operator
        .get(&format!(
            "/api/v1/orders/{client}?by=client&session={session}"
        ))
        .ok();
    assert_eq!(&by_client["items"][0], one);
    let orders = operator.get("/api/v1/orders?limit=1").ok();
    let next = orders["next"].as_str().unwrap();
    let rest = operator
        .get(&format!("/api/v1/orders?limit=1&cursor={next}"))
        .ok();
    assert_ne!(orders["items"], rest["items"]);
}

/// Amounts as they are in JSON, to the last digit.
#[test]
fn what_was_traded_is_told_in_every_list() {
    let world = World::start(&[]);
    let mut alpha = world.binary("alpha-1");
    let mut beta = world.binary("beta-1");
    accepted(&mut alpha, 1, 1, 10, 50);
    let order = beta.order(7, 2, 4, 50);
    beta.send(&order);
    beta.expect_a::<Fill>();
    alpha.expect_a::<Fill>();
    accepted(&mut beta, 8, 2, 3, 52);
    let entry = QuoteEntry {
        instrument_id: alpha.instruments["TEST-A"],
        entry_flags: QUOTE_NO_ASK,
        bid_price: 49_5000_0000,
        bid_qty: 2 * Decimal8::ONE,
        ..QuoteEntry::default()
    };
    let head = MassQuote {
        quote_id: 9,
        ..MassQuote::default()
    };
    alpha.send_group(&head, std::iter::once(entry));
    assert!(alpha.expect().read_group::<MassQuoteAck>().is_some());
    let steps = json!({"steps": [{"from": 0, "tick": 1}, {"from": 1000, "tick": 5}]});
    let table = world.operator.put("/api/v1/tick-tables/7", &steps);
    assert_eq!(table.status, 200, "{table:?}");

    // What is asked for may say more than is named here, and nothing else of what is.
    let tells = |path: &str, expected: &Value| {
        world.until(path, |told| {
            let (told, expected) = match expected.as_array() {
                Some(rows) => (told["items"].as_array().unwrap().clone(), rows.clone()),
                None => (vec![told.clone()], vec![expected.clone()]),
            };
            let same = |(told, expected): (&Value, &Value)| {
                let mut fields = expected.as_object().unwrap().iter();
                fields.all(|(name, value)| told[name] == *value)
            };
            told.len() == expected.len() && told.iter().zip(&expected).all(same)
        })
    };
    tells(
        "/api/v1/positions",
        &json!([
            {"firm": 2, "account": 0, "symbol": "TEST-A", "bought": "0", "sold": "4", "net": "-4",
             "average_bought_price": null, "average_sold_price": "50.00"},
            {"firm": 1, "account": 0, "symbol": "TEST-A", "bought": "4", "sold": "0", "net": "4",
             "average_bought_price": "50.00", "average_sold_price": null},
        ]),
    );
    tells(
        "/api/v1/executions?trade_id=1",
        &json!([
            {"session": 4, "client_order_id": "7", "side": "sell", "last_price": "50.00",
             "last_quantity": "4", "leaves": "0", "cumulative": "4", "liquidity": "removed",
             "status": "filled", "trade_id": "1"},
            {"session": 2, "client_order_id": "1", "side": "buy", "last_price": "50.00",
             "last_quantity": "4", "leaves": "6", "cumulative": "4", "liquidity": "added",
             "status": "partially-filled", "trade_id": "1"},
        ]),
    );
    tells(
        "/api/v1/quotes",
        &json!([{"session": 2, "symbol": "TEST-A", "quote_id": "9"}]),
    );
    tells(
        "/api/v1/firms",
        &json!([
            {"id": 1, "name": "DEMO-ALPHA", "blocked": false},
            {"id": 2, "name": "DEMO-BETA", "blocked": false},
        ]),
    );
    tells("/api/v1/tick-tables", &json!([{"id": 7}]));
    tells(
        "/api/v1/instruments/TEST-A/statistics",
        &json!({"open": "50", "high": "50", "low": "50", "last": "50", "last_quantity": "4",
                "volume": "4", "notional": "200", "trades": 1, "phase": "continuous"}),
    );
    tells(
        "/api/v1/instruments/TEST-A/book",
        &json!({"ask_levels": 1, "asks": [{"orders": 1, "price": "52", "quantity": "3"}],
                "bid_levels": 2, "bids": [{"orders": 1, "price": "50", "quantity": "6"},
                                          {"orders": 1, "price": "49.5", "quantity": "2"}]}),
    );
    assert_eq!(world.server.terminate(), Some(0));
}

#[test]
fn a_bust_of_a_quote_that_is_gone_says_that_it_was_a_quote() {
    let world = World::start(&[]);
    let mut alpha = world.binary("alpha-1");
    let mut beta = world.binary("beta-1");
    let quote = |alpha: &mut BinaryTalk, quantity: i64| {
        let entry = QuoteEntry {
            instrument_id: alpha.instruments["TEST-A"],
            entry_flags: QUOTE_NO_ASK,
            bid_price: 50 * Decimal8::ONE,
            bid_qty: quantity * Decimal8::ONE,
            ..QuoteEntry::default()
        };
        let head = MassQuote {
            quote_id: 7,
            ..MassQuote::default()
        };
        alpha.send_group(&head, std::iter::once(entry));
        assert!(alpha.expect().read_group::<MassQuoteAck>().is_some());
    };
    quote(&mut alpha, 5);
    beta.send(&beta.order(1, 2, 2, 50));
    let trade = beta.expect_a::<Fill>().trade_id;
    assert_eq!(alpha.expect_a::<Fill>().quote_layer, 1);
    quote(&mut alpha, 0);
    let bust = format!("/api/v1/trades/{trade}/bust");
    world.operator.ask(&bust).ok();
    let (of_quote, of_order) = (
        alpha.expect_a::<TradeAmended>(),
        beta.expect_a::<TradeAmended>(),
    );
    assert_eq!((of_quote.is_quote, of_quote.cl_ord_id), (1, 7));
    assert_eq!((of_quote.leaves_qty, of_quote.status), (0, 4));
    assert_eq!((of_order.is_quote, of_order.cl_ord_id), (0, 1));
    // That it is gone no report says, but the log, to who asked.
    let page = world.until("/api/v1/audit?limit=2", |page| {
        let items = page["items"].as_array().unwrap();
        items.len() == 2 && items.iter().all(|row| row["ended_sequence"].is_u64())
    });
    assert_eq!(page["items"][0]["reason"], Value::Null, "{page}");
    assert_eq!(
        page["items"][1]["reason"],
        Reason::OrderEnded.text(),
        "{page}"
    );
}

#[test]
fn every_write_is_in_the_audit_with_who_and_what_came_of_it_and_replay_agrees() {
    let world = World::start(&[]);
    let operator = &world.operator;
    let risk = Api::login(&world.server, "risk");
    let id = "0123e567-e89b-42d3-a456-426614174000";
    let headers = format!("X-Request-Id: {id}\r\n");
    risk.send_with("POST", "/api/v1/instruments/ACME/halt", None, &headers)
        .ok();
    risk.ask("/api/v1/instruments/ACME/resume").ok();
    // What it cancels has a reason, which is no refusal.
    let mut alpha = world.binary("alpha-1");
    accepted(&mut alpha, 1, 1, 10, 50);
    let killed = risk.post(
        "/api/v1/kill-switch",
        &json!({"scope": "firm", "target": "1"}),
    );
    assert_eq!(killed.ok()["canceled"], 1);
    risk.put("/api/v1/limits", &json!({"firm": 1, "open_orders": 100}))
        .ok();
    operator
        .put("/api/v1/firms/1", &json!({"name": "ANOTHER"}))
        .problem(422);
    operator
        .put("/api/v1/firms/9", &json!({"name": "NINE"}))
        .ok();
    operator
        .put(
            "/api/v1/tick-tables/3",
            &json!({"steps": [{"from": 0, "tick": 5}]}),
        )
        .ok();
    operator
        .put(
            "/api/v1/users/somebody-new",
            &json!({"role": "viewer", "password": "long enough, is it", "disabled": true}),
        )
        .ok();
    for day in [20_230_230, 99_991_231, date_ahead(9)] {
        let refused = operator
            .post("/api/v1/day-roll", &json!({"trading_day": day}))
            .problem(422);
        let why = refused["detail"].as_str().unwrap();
        assert!(why.contains(&format!("trading_day {day} is ")), "{why}");
        assert_eq!(day == 20_230_230, !why.contains("7 days ahead"), "{why}");
    }
    let tomorrow = date_ahead(1);
    operator
        .post("/api/v1/day-roll", &json!({"trading_day": tomorrow}))
        .ok();
    let audit = world.until("/api/v1/audit?limit=9", |page| {
        let items = page["items"].as_array().unwrap();
        items.len() == 9 && items[0]["action"] == "DayRoll" && items[0]["ended_sequence"].is_u64()
    });
    let rows: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|row| {
            (
                row["actor"].as_str().unwrap(),
                row["action"].as_str().unwrap(),
                !row["reason"].is_null(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("risk", "SetPhase", false),
            ("risk", "SetPhase", false),
            ("risk", "KillSwitch", false),
            ("risk", "SetLimits", false),
            ("operator", "DefineFirm", true),
            ("operator", "DefineFirm", false),
            ("operator", "DefineTickTable", false),
            ("operator", "UserChanged", false),
            ("operator", "DayRoll", false),
        ]
    );
    let details: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .filter_map(|row| Some((row["target"].as_u64().unwrap(), row["detail"].as_str()?)))
        .collect();
    // Of all but the one that was refused.
    let [halt, _resume, kill, limits, firm, table, user, day] = details[..] else {
        panic!("{details:?}");
    };
    assert_eq!(limits.1, "firm 1: open_orders 100");
    assert_eq!(firm, (9, "NINE"));
    assert_eq!(table, (3, "from 0 by 5"));
    assert_eq!(day.1, tomorrow.to_string());
    assert_eq!(halt.1, "Halted");
    assert_eq!(kill, (1, "firm on"));
    assert_eq!(user, (0, "somebody-new: viewer, disabled"));
    let first = &audit["items"][8];
    assert_eq!(
        first["request"].as_str().unwrap().replace('-', ""),
        id.replace('-', "")
    );
    assert_eq!(first["role"], "risk");
    assert!(
        first["address"].as_str().unwrap().ends_with("127.0.0.1"),
        "{first}"
    );

    let World { server, _data, .. } = world;
    assert_eq!(server.terminate(), Some(0));
    let replayed = hash_in(&replayed(_data.path()));
    // A start recovers the same, and says so.
    let mut child = server::command(_data.path(), &[("LOG_LEVEL", "info")])
        .env("NO_COLOR", "1")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let recovered = said.find_map(|line| {
        let line = line.unwrap();
        line.contains("state_hash").then(|| hash_in(&line))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(recovered, Some(replayed));
}

/// YYYYMMDD (UTC), so many days from now.
fn date_ahead(days: u64) -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let then = now + Duration::from_secs(days * 86_400);
    let (year, month, day) = UtcNanos(u64::try_from(then.as_nanos()).unwrap()).date();
    year * 10_000 + month * 100 + day
}

/// The state hash that a line speaks of.
fn hash_in(text: &str) -> String {
    let at = text.find("state_hash").unwrap_or_else(|| panic!("{text}"));
    let rest = text[at + "state_hash".len()..].trim_start_matches(|c: char| !c.is_ascii_hexdigit());
    let hash: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    assert_eq!(hash.len(), 16, "{text}");
    hash
}

#[test]
fn a_stream_tells_what_changes_as_it_changes() {
    let world = World::start(&[]);
    let viewer = Api::login(&world.server, "viewer");
    let mut socket = std::net::TcpStream::connect(world.server.http).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let token = viewer.token.as_ref().unwrap();
    write!(
        socket,
        "GET /api/v1/stream?symbols=TEST-A HTTP/1.1\r\nHost: v\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    let mut lines = BufReader::new(socket).lines();
    let mut name = String::new();
    let mut next = |wanted: &str| loop {
        let line = lines.next().unwrap().unwrap();
        if let Some(event) = line.strip_prefix("event: ") {
            name = event.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ")
            && name == wanted
        {
            return serde_json::from_str::<Value>(data).unwrap();
        }
    };
    let book = next("book");
    assert_eq!(
        (&book["symbol"], &book["bids"]),
        (&json!("TEST-A"), &json!([]))
    );
    let mut alpha = world.binary("alpha-1");
    let mut beta = world.binary("beta-1");
    accepted(&mut alpha, 1, 1, 10, 50);
    let book = next("book");
    assert_eq!(
        book["bids"],
        json!([{"price": "50", "quantity": "10", "orders": 1}])
    );
    let order = beta.order(1, 2, 4, 50);
    beta.send(&order);
    let trade = next("trade");
    assert_eq!(
        (&trade["price"], &trade["quantity"]),
        (&json!("50"), &json!("4"))
    );
    let risk = Api::login(&world.server, "risk");
    risk.ask("/api/v1/instruments/TEST-A/halt").ok();
    let status = next("status");
    assert!(status["symbol"] == "TEST-A", "{status}");
    let pulse = next("venue");
    assert_eq!(pulse["venue"]["status"], "ok");
    assert!(pulse["stages"].is_array() && pulse["sessions"].is_array());
}
