//! What the admin API shows of trading over a real socket: every amount as it was traded, to the last decimal.

mod support;

use serde_json::{Value, json};
use support::http::Api;
use support::server::Server;
use support::talk::BinaryTalk;
use trading_engine_protocol::binary::NULL_PRICE;
use trading_engine_protocol::binary::message::{
    Fill, MassQuote, MassQuoteAck, NewOrder, OrderAccepted, QuoteEntry,
};

/// An instrument whose price unit and lot are no ones.
const SYMBOL: &str = "HALF";
/// Mantissa of 0.0001.
const PART: i64 = 10_000;

/// A venue on which two firms have traded [`SYMBOL`]; its people, and the instrument's number.
struct Traded {
    server: Server,
    operator: Api,
    instrument: u64,
    alpha: BinaryTalk,
    beta: BinaryTalk,
    _data: tempfile::TempDir,
}

impl Traded {
    /// Firm 1 bids 1.5 at 12.3455 and 1 at 12.345 for account 7; firm 2 sells 2 of them from account 3, and
    /// offers 0.25 at 12.5. Prices and quantities here are in ten-thousandths.
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &[]);
        let operator = Api::login(&server, "operator");
        let definition = json!({
            "price_decimals": 4, "price_unit": "0.0005", "lot_size": "0.25", "tick": "0.0005",
            "price_min": "1", "price_max": "100", "quantity_min": "0.25", "quantity_max": "1000",
            "quantity_increment": "0.25", "protection_ticks": 10,
        });
        let path = format!("/api/v1/instruments/{SYMBOL}");
        operator.put(&path, &definition).ok();
        let instrument = operator.get(&path).ok()["id"].as_u64().unwrap();
        let credentials = server.credentials();
        let log_on = |key| {
            let entry = credentials.binary(key).unwrap();
            BinaryTalk::logged_on(server.binary, entry, 30_000)
        };
        let (alpha, beta) = (log_on("alpha-1"), log_on("beta-1"));
        let mut world = Self {
            server,
            operator,
            instrument,
            alpha,
            beta,
            _data: data,
        };
        for (id, quantity, price) in [(1, 15_000, 123_455), (2, 10_000, 123_450)] {
            let order = world.order(id, 1, quantity, price, 7);
            world.alpha.send(&order);
            world.alpha.expect_a::<OrderAccepted>();
        }
        let order = world.order(1, 2, 20_000, 123_400, 3);
        world.beta.send(&order);
        for (quantity, price) in [(15_000, 123_455), (5_000, 123_450)] {
            for talk in [&mut world.alpha, &mut world.beta] {
                let fill = talk.expect_a::<Fill>();
                assert_eq!(
                    (fill.last_qty, fill.last_price),
                    (quantity * PART, price * PART)
                );
            }
        }
        let order = world.order(2, 2, 2_500, 125_000, 3);
        world.beta.send(&order);
        world.beta.expect_a::<OrderAccepted>();
        world
    }

    fn order(&self, id: u64, side: u8, quantity: i64, price: i64, account: u32) -> NewOrder {
        NewOrder {
            cl_ord_id: id,
            price: price * PART,
            qty: quantity * PART,
            stop_price: NULL_PRICE,
            instrument_id: u32::try_from(self.instrument).unwrap(),
            side,
            ord_type: 2,
            account_id: account,
            ..zerocopy::FromZeros::new_zeroed()
        }
    }

    /// The rows of a list, once there are so many: history follows at a distance.
    fn rows(&self, path: &str, count: usize) -> Vec<Value> {
        let page = self.operator.until(path, |page| {
            page["items"].as_array().unwrap().len() == count
        });
        page["items"].as_array().unwrap().clone()
    }
}

/// These fields of it.
fn of(row: &Value, fields: &[&str]) -> Value {
    fields
        .iter()
        .map(|field| row[field].clone())
        .collect::<Vec<_>>()
        .into()
}

/// Takes out what differs from run to run, which has to be there.
fn without(row: &Value, fields: &[&str]) -> Value {
    let mut row = row.clone();
    for field in fields {
        let taken = row.as_object_mut().unwrap().remove(*field);
        assert!(
            taken.is_some_and(|value| !value.is_null()),
            "{field}: {row}"
        );
    }
    row
}

#[test]
fn a_book_and_its_statistics_have_what_is_open_and_what_was_traded() {
    let world = Traded::start();
    let operator = &world.operator;
    let path = format!("/api/v1/instruments/{SYMBOL}");
    let book = operator.until(&format!("{path}/book"), |book| book["asks"] != json!([]));
    let expected = json!({
        "symbol": SYMBOL,
        "bids": [{"price": "12.345", "quantity": "0.5", "orders": 1}],
        "asks": [{"price": "12.5", "quantity": "0.25", "orders": 1}],
        "bid_levels": 1, "ask_levels": 1,
    });
    assert_eq!(without(&book, &["feed_sequence", "sequence"]), expected);
    // One that is deeper than what is kept at hand is put together of its own.
    let whole = operator.get(&format!("{path}/book?depth=1000")).ok();
    assert_eq!(without(&whole, &["feed_sequence", "sequence"]), expected);
    for wrong in ["depth=0", "depth=1001", "depth=x", "levels=1"] {
        operator.get(&format!("{path}/book?{wrong}")).problem(400);
    }
    operator.get("/api/v1/instruments/NONE/book").problem(404);

    let statistics = operator.get(&format!("{path}/statistics")).ok();
    assert_eq!(
        without(&statistics, &["feed_sequence", "last_at"]),
        json!({
            "symbol": SYMBOL, "phase": "continuous", "blocked": false,
            "open": "12.3455", "high": "12.3455", "low": "12.345",
            "last": "12.345", "last_quantity": "0.5",
            "trades": 2, "volume": "2", "notional": "24.69075",
            "indicative": {"volume": "0", "imbalance": "0"},
        })
    );
    let nothing = operator.get("/api/v1/instruments/TEST-A/statistics").ok();
    assert_eq!(
        of(&nothing, &["trades", "volume", "notional", "last"]),
        json!([0, "0", "0", null])
    );
    operator
        .get("/api/v1/instruments/NONE/statistics")
        .problem(404);
}

#[test]
fn executions_have_every_report_of_an_order_with_its_amounts() {
    let world = Traded::start();
    let operator = &world.operator;
    let path = format!("/api/v1/executions?symbol={SYMBOL}");
    // Three of both orders of firm 1, and what they traded; as many of firm 2.
    let all = world.rows(&path, 8);
    let of_beta: Vec<_> = all
        .iter()
        .filter(|row| row["client_order_id"] == "1" && row["account"] == 3)
        .collect();
    let amounts = [
        "kind",
        "quantity",
        "leaves",
        "cumulative",
        "last_quantity",
        "last_price",
    ];
    let shown: Vec<_> = of_beta.iter().map(|row| of(row, &amounts)).collect();
    // The newest first.
    assert_eq!(
        shown,
        [
            json!(["fill", "2", "0", "2", "0.5", "12.3450"]),
            json!(["fill", "2", "0.5", "1.5", "1.5", "12.3455"]),
            json!(["accepted", "2", "2", "0", null, null]),
        ]
    );
    let last = of_beta[0];
    let ids = [
        "exec_id",
        "sequence",
        "index",
        "at",
        "received_at",
        "session_sequence",
        "epoch",
        "order_id",
        "trade_id",
    ];
    assert_eq!(
        without(last, &ids),
        json!({
            "kind": "fill", "reason": null, "session": 4, "client_order_id": "1", "request_id": null,
            "instrument": world.instrument, "symbol": SYMBOL, "account": 3, "side": "sell",
            "order_type": "limit", "time_in_force": "day", "status": "filled", "price": "12.3400",
            "quantity": "2", "leaves": "0", "cumulative": "2", "reduced": null,
            "last_price": "12.3450", "last_quantity": "0.5", "liquidity": "removed",
            "reference_exec_id": null, "new_price": null, "stop_price": null,
            "display_quantity": null, "minimum_quantity": null, "expire_at": null, "is_quote": false,
        })
    );
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let (order, trade, exec) = (
        text(last, "order_id"),
        text(last, "trade_id"),
        text(last, "exec_id"),
    );
    let session = last["session"].as_u64().unwrap();
    for (filter, count) in [
        (format!("order_id={order}"), 3),
        (format!("trade_id={trade}"), 2),
        (format!("exec_id={exec}"), 1),
        (format!("session={session}"), 4),
        (format!("session={session}&client_order_id=2"), 1),
        ("session=99".into(), 0),
    ] {
        let rows = world.rows(&format!("/api/v1/executions?{filter}"), count);
        assert!(
            rows.iter().all(|row| all.contains(row)),
            "{filter}: {rows:?}"
        );
    }
    // Both sides of a trade have the same of it.
    let sides = world.rows(&format!("/api/v1/executions?trade_id={trade}"), 2);
    let shown: Vec<_> = sides
        .iter()
        .map(|row| {
            of(
                row,
                &[
                    "side",
                    "account",
                    "liquidity",
                    "last_quantity",
                    "last_price",
                    "leaves",
                ],
            )
        })
        .collect();
    for side in [
        json!(["buy", 7, "added", "0.5", "12.3450", "0.5"]),
        json!(["sell", 3, "removed", "0.5", "12.3450", "0"]),
    ] {
        assert!(shown.contains(&side), "{shown:?}");
    }
    // Page by page they are the same.
    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let page = operator.get(&format!("{path}&limit=3{next}")).ok();
        paged.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next"].as_str() else {
            break;
        };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(paged, all);
    operator.get("/api/v1/executions?symbol=NONE").problem(404);
}

#[test]
fn positions_are_the_sums_of_what_accounts_traded() {
    let mut world = Traded::start();
    // What was bought can be sold again: 0.25 at 12.5, and the account is long by less.
    let order = world.order(3, 2, 2_500, 123_500, 7);
    world.alpha.send(&order);
    world.alpha.expect_a::<OrderAccepted>();
    let order = world.order(3, 1, 2_500, 123_500, 3);
    world.beta.send(&order);
    world.beta.expect_a::<Fill>();
    let path = format!("/api/v1/positions?symbol={SYMBOL}");
    let page = world.operator.until(&path, |page| {
        let rows = page["items"].as_array().unwrap();
        let both = |row: &Value| row["sold"] != "0" && row["bought"] != "0";
        rows.len() == 2 && rows.iter().all(both)
    });
    let rows = page["items"].as_array().unwrap();
    let position = |firm: u32, account: u32, sums: [&str; 3], averages: [&str; 2]| {
        json!({
            "firm": firm, "account": account, "instrument": world.instrument, "symbol": SYMBOL,
            "bought": sums[0], "sold": sums[1], "net": sums[2],
            "average_bought_price": averages[0], "average_sold_price": averages[1],
        })
    };
    // 1.5 at 12.3455 and 0.5 at 12.345 are 12.345375 each.
    let of_alpha = position(1, 7, ["2", "0.25", "1.75"], ["12.345375", "12.3500"]);
    let of_beta = position(2, 3, ["0.25", "2", "-1.75"], ["12.3500", "12.345375"]);
    let shown: Vec<_> = rows.iter().map(|row| without(row, &["sequence"])).collect();
    // From the last firm on.
    assert_eq!(shown, [of_beta.clone(), of_alpha.clone()]);
    for (filter, expected) in [
        ("firm=1", Some(&of_alpha)),
        ("account=3", Some(&of_beta)),
        ("firm=1&account=3", None),
    ] {
        let rows = world.rows(
            &format!("/api/v1/positions?{filter}"),
            usize::from(expected.is_some()),
        );
        let shown: Vec<_> = rows.iter().map(|row| without(row, &["sequence"])).collect();
        assert_eq!(shown.first(), expected, "{filter}");
    }
    let page = world.operator.get("/api/v1/positions?limit=1").ok();
    let next = page["next"].as_str().unwrap();
    let rest = world
        .operator
        .get(&format!("/api/v1/positions?limit=1&cursor={next}"))
        .ok();
    assert_eq!((&page["items"][0], &rest["items"][0]), (&rows[0], &rows[1]));
}

#[test]
fn quotes_have_what_became_of_each_side() {
    let mut world = Traded::start();
    let quote = |world: &mut Traded, quote_id: u64, ask: i64| {
        let entry = QuoteEntry {
            instrument_id: u32::try_from(world.instrument).unwrap(),
            bid_price: 121_000 * PART,
            bid_qty: 7_500 * PART,
            ask_price: ask * PART,
            ask_qty: 12_500 * PART,
            ..QuoteEntry::default()
        };
        let head = MassQuote {
            quote_id,
            ..MassQuote::default()
        };
        world.alpha.send_group(&head, std::iter::once(entry));
        while world.alpha.expect().read_group::<MassQuoteAck>().is_none() {}
    };
    quote(&mut world, 41, 130_005);
    // Beyond the highest price: that side is refused, and what stood there stays.
    quote(&mut world, 42, 1_000_005);
    let rows = world.rows(&format!("/api/v1/quotes?symbol={SYMBOL}"), 2);
    for (row, quote_id, statuses, ask) in [
        (&rows[0], "42", ["kept", "refused"], "13.0005"),
        (&rows[1], "41", ["entered", "entered"], "13.0005"),
    ] {
        let shown = without(row, &["sequence", "at"]);
        assert_eq!(
            of(
                &shown,
                &["quote_id", "entry", "symbol", "instrument", "reason"]
            ),
            json!([quote_id, 0, SYMBOL, world.instrument, null]),
            "{row}"
        );
        let sides = ["price", "quantity", "status"];
        let shown = [of(&row["bid"], &sides), of(&row["ask"], &sides)];
        assert_eq!(
            shown,
            [
                json!(["12.1000", "0.75", statuses[0]]),
                json!([ask, "1.25", statuses[1]])
            ],
            "{row}"
        );
    }
    assert!(rows[0]["ask"]["reason"].is_string(), "{}", rows[0]);
    let book = format!("/api/v1/instruments/{SYMBOL}/book");
    world.operator.until(&book, |book| {
        let entry = |price, quantity| json!({"price": price, "quantity": quantity, "orders": 1});
        let (offer, quoted) = (entry("12.5", "0.25"), entry("13.0005", "1.25"));
        book["asks"] == json!([offer, quoted])
    });
    let session = &rows[0]["session"];
    for (filter, count) in [
        (format!("session={session}"), 2),
        ("quote_id=41".into(), 1),
        ("quote_id=43".into(), 0),
        ("session=99".into(), 0),
    ] {
        let some = world.rows(&format!("/api/v1/quotes?{filter}"), count);
        assert!(
            some.iter().all(|row| rows.contains(row)),
            "{filter}: {some:?}"
        );
    }
}

#[test]
fn firms_and_tick_tables_are_listed_as_they_were_defined() {
    let world = Traded::start();
    let operator = &world.operator;
    let firms = |path: &str| operator.get(path).ok();
    let firm =
        |id: u32, name: &str, blocked: bool| json!({"id": id, "name": name, "blocked": blocked});
    operator
        .put("/api/v1/firms/9", &json!({"name": "NINE"}))
        .ok();
    let risk = Api::login(&world.server, "risk");
    risk.post(
        "/api/v1/kill-switch",
        &json!({"scope": "firm", "target": "9"}),
    )
    .ok();
    let all = [
        firm(1, "DEMO-ALPHA", false),
        firm(2, "DEMO-BETA", false),
        firm(9, "NINE", true),
    ];
    assert_eq!(firms("/api/v1/firms"), json!({"items": all}));
    assert_eq!(firms("/api/v1/firms/9"), all[2]);
    assert_eq!(
        firms("/api/v1/firms?limit=2"),
        json!({"items": all[..2], "next": "2"})
    );
    assert_eq!(
        firms("/api/v1/firms?limit=2&cursor=2"),
        json!({"items": all[2..]})
    );

    let before = operator.get("/api/v1/tick-tables").ok();
    let steps = json!([{"from": 0, "tick": 5}, {"from": 100, "tick": 10}]);
    let one = json!([{"from": 0, "tick": 1}]);
    for (id, steps) in [(33, &one), (3, &steps)] {
        operator
            .put(
                &format!("/api/v1/tick-tables/{id}"),
                &json!({"steps": steps}),
            )
            .ok();
    }
    let mut all = before["items"].as_array().unwrap().clone();
    all.push(json!({"id": 3, "steps": steps}));
    all.push(json!({"id": 33, "steps": one}));
    all.sort_by_key(|table| table["id"].as_u64());
    assert_eq!(
        operator.get("/api/v1/tick-tables").ok(),
        json!({"items": all})
    );
    let page = operator.get("/api/v1/tick-tables?limit=1&cursor=3").ok();
    assert_eq!(page, json!({"items": [{"id": 33, "steps": one}]}));
    for list in ["firms", "tick-tables"] {
        operator
            .get(&format!("/api/v1/{list}?limit=0"))
            .problem(400);
        operator
            .get(&format!("/api/v1/{list}?cursor=x"))
            .problem(400);
        Api::stranger(world.server.http)
            .get(&format!("/api/v1/{list}"))
            .problem(401);
    }
}
