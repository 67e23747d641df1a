//! A market maker's day over real sockets, once through either door: fifty instruments in one mass
//! quote, protection that trips, mass cancel, kill switch, a lost connection, and a `kill -9`.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use support::server::Server;
use support::talk::{BinaryTalk, Fields, FixTalk, PATIENCE, now};
use trading_engine::client::Received;
use trading_engine::client::credentials::Credentials;
use trading_engine_protocol::binary::message::{
    CancelRejected, Fill, KillSwitch, KillSwitchDone, MassCancel, MassCancelDone, MassQuote,
    MassQuoteAck, NewOrder, OrderAccepted, OrderCanceled, OrderRejected, OrderStatus,
    OrderStatusRequest, ProtectionConfig, ProtectionReset, ProtectionStatus, ProtectionTripped,
    QuoteCanceled, QuoteEntry,
};
use trading_engine_protocol::binary::{
    MASS_CANCEL_QUOTES, MASS_QUOTE_FULL_ACK, NULL_PRICE, write_group_message,
};
use trading_engine_protocol::fix::encode::write_timestamp;
use trading_engine_protocol::types::{Decimal8, Reason};
use zerocopy::FromZeros;

const CENT: i64 = Decimal8::ONE / 100;
const GROUP: u16 = 7;
/// Lots that trip the group.
const LIMIT: u64 = 10;
const BUY: u8 = 1;
const SELL: u8 = 2;
const SETTINGS: &[(&str, &str)] = &[("JOURNAL_POLICY", "os"), ("DEMO_INSTRUMENTS", "55")];
const FROZEN: &str = "Frozen by market-maker protection";
const BLOCKED: &str = "Blocked by kill switch";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DoorName {
    Binary,
    Fix,
}

/// A two-sided quote, prices in cents.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    symbol: String,
    layer: u16,
    bid: (i64, i64),
    ask: (i64, i64),
}

fn entry(symbol: &str) -> Entry {
    Entry {
        symbol: symbol.into(),
        layer: 0,
        bid: (4_000, 5),
        ask: (6_000, 5),
    }
}

/// What the venue said; a refusal is its words.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Quoted(Result<usize, String>),
    Accepted,
    Rejected(String),
    Fill { order: u64, lots: i64, leaves: i64 },
    OrderEnded,
    QuoteEnded(String),
    Tripped,
    Protection(Result<u64, String>),
    MassCanceled(u64),
    Killed(Result<u64, String>),
    Resting(Option<Resting>, bool),
    Nothing,
}

/// An open order or quote, price in cents.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Resting {
    order: u64,
    symbol: String,
    side: u8,
    price: i64,
    lots: i64,
}

enum Door {
    Binary(Box<BinaryTalk>),
    Fix(Box<FixTalk>),
}

/// A session at either door, and what it was told that it did not wait for.
struct Desk {
    door: Door,
    next_id: u64,
    told: Vec<Told>,
}

fn words(code: u16) -> String {
    Reason::try_from(code).unwrap().text().into()
}

fn outcome<T>(reason: u16, done: T) -> Result<T, String> {
    if reason == 0 {
        Ok(done)
    } else {
        Err(words(reason))
    }
}

fn lots(quantity: i64) -> i64 {
    quantity / Decimal8::ONE
}

fn text(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

impl Desk {
    /// Logs on. Over FIX the venue may not have seen yet that the last connection is gone; it
    /// closes the new one then.
    fn connect(server: &Server, door: DoorName, who: usize) -> Self {
        let credentials = server.credentials();
        let door = match door {
            DoorName::Binary => {
                let entry = binary(&credentials, who);
                Door::Binary(Box::new(BinaryTalk::logged_on(
                    server.binary,
                    entry,
                    30_000,
                )))
            }
            DoorName::Fix => Door::Fix(Box::new(fix(server, &credentials, who))),
        };
        let next_id = now().0 / 1_000;
        let told = Vec::new();
        Self {
            door,
            next_id,
            told,
        }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn send_fix(&mut self, kind: &str, fields: &[(u32, String)]) {
        let Door::Fix(talk) = &mut self.door else {
            unreachable!("a FIX message over the binary door");
        };
        let fields: Vec<(u32, &str)> = fields.iter().map(|(tag, v)| (*tag, v.as_str())).collect();
        talk.send(kind, &fields);
    }

    fn quote(&mut self, entries: &[Entry]) -> Result<usize, String> {
        let id = self.id();
        if let Door::Binary(talk) = &mut self.door {
            let quote = MassQuote {
                quote_id: id,
                flags: MASS_QUOTE_FULL_ACK,
                mmp_group: GROUP,
                ..MassQuote::new_zeroed()
            };
            talk.seq += 1;
            let wire = entries.iter().map(|entry| QuoteEntry {
                instrument_id: talk.instruments[&entry.symbol],
                layer: entry.layer,
                bid_price: entry.bid.0 * CENT,
                bid_qty: entry.bid.1 * Decimal8::ONE,
                ask_price: entry.ask.0 * CENT,
                ask_qty: entry.ask.1 * Decimal8::ONE,
                ..QuoteEntry::new_zeroed()
            });
            let mut out = Vec::new();
            write_group_message(&mut out, &quote, wire, talk.seq);
            talk.line.write(&out);
        } else {
            self.send_fix("i", &fix_quote(id, entries));
        }
        self.until(|told| match told {
            Told::Quoted(outcome) => Some(outcome.clone()),
            _ => None,
        })
    }

    fn order(&mut self, symbol: &str, side: u8, lots: i64, price: i64, immediate: bool) {
        let id = self.id();
        if let Door::Binary(talk) = &mut self.door {
            talk.send(&NewOrder {
                cl_ord_id: id,
                price: price * CENT,
                qty: lots * Decimal8::ONE,
                stop_price: NULL_PRICE,
                instrument_id: talk.instruments[symbol],
                side,
                ord_type: 2,
                tif: if immediate { 3 } else { 0 },
                ..NewOrder::new_zeroed()
            });
        } else {
            let mut time = [0; 21];
            write_timestamp(now(), &mut time);
            let fields = [
                (11, id.to_string()),
                (55, symbol.into()),
                (54, side.to_string()),
                (60, String::from_utf8(time.to_vec()).unwrap()),
                (38, lots.to_string()),
                (40, "2".into()),
                (44, text(price)),
                (59, if immediate { "3" } else { "0" }.into()),
            ];
            self.send_fix("D", &fields);
        }
    }

    /// An order that rests.
    fn rest(&mut self, symbol: &str, side: u8, lots: i64, price: i64) -> Result<(), String> {
        self.order(symbol, side, lots, price, false);
        self.until(|told| match told {
            Told::Accepted => Some(Ok(())),
            Told::Rejected(why) => Some(Err(why.clone())),
            _ => None,
        })
    }

    /// An order that takes; how many lots it got.
    fn take(&mut self, symbol: &str, side: u8, lots: i64, price: i64) -> i64 {
        self.order(symbol, side, lots, price, true);
        let mut got = 0;
        loop {
            match self.next() {
                Told::Fill { lots, leaves, .. } => {
                    got += lots;
                    if leaves == 0 {
                        return got;
                    }
                }
                Told::OrderEnded => return got,
                Told::Rejected(why) => panic!("an order of {symbol} was refused: {why}"),
                _ => {}
            }
        }
    }

    fn protect(&mut self, limit: u64) -> Result<u64, String> {
        let id = self.id();
        if let Door::Binary(talk) = &mut self.door {
            talk.send(&ProtectionConfig {
                cl_ord_id: id,
                qty_limit: limit,
                window_ms: 60_000,
                mmp_group: GROUP,
                ..ProtectionConfig::new_zeroed()
            });
        } else {
            let fields = [
                (11, id.to_string()),
                (9019, GROUP.to_string()),
                (35023, "60000".into()),
                (35020, limit.to_string()),
            ];
            self.send_fix("U3", &fields);
        }
        self.protection()
    }

    /// The limit in lots that is set.
    fn reset(&mut self) -> Result<u64, String> {
        let id = self.id();
        if let Door::Binary(talk) = &mut self.door {
            talk.send(&ProtectionReset {
                cl_ord_id: id,
                mmp_group: GROUP,
                ..ProtectionReset::new_zeroed()
            });
        } else {
            let fields = [(11, id.to_string()), (9019, GROUP.to_string())];
            self.send_fix("U4", &fields);
        }
        self.protection()
    }

    fn protection(&mut self) -> Result<u64, String> {
        self.until(|told| match told {
            Told::Protection(outcome) => Some(outcome.clone()),
            _ => None,
        })
    }

    fn cancel_quotes(&mut self) -> u64 {
        let id = self.id();
        if let Door::Binary(talk) = &mut self.door {
            talk.send(&MassCancel {
                cl_ord_id: id,
                scope: 1,
                flags: MASS_CANCEL_QUOTES,
                ..MassCancel::new_zeroed()
            });
        } else {
            let mut time = [0; 21];
            write_timestamp(now(), &mut time);
            let fields = [
                (11, id.to_string()),
                (530, "7".into()),
                (60, String::from_utf8(time.to_vec()).unwrap()),
                (35011, "1".into()),
            ];
            self.send_fix("q", &fields);
        }
        self.until(|told| match told {
            Told::MassCanceled(count) => Some(*count),
            _ => None,
        })
    }

    /// Blocks a session, or releases it.
    fn kill(&mut self, session: u32, release: bool) -> Result<u64, String> {
        let id = self.id();
        if let Door::Binary(talk) = &mut self.door {
            talk.send(&KillSwitch {
                cl_ord_id: id,
                target: session,
                scope: 1,
                release: u8::from(release),
                ..KillSwitch::new_zeroed()
            });
        } else {
            let fields = [
                (11, id.to_string()),
                (35012, "1".into()),
                (35013, session.to_string()),
                (35014, if release { "Y" } else { "N" }.into()),
            ];
            self.send_fix("U1", &fields);
        }
        self.until(|told| match told {
            Told::Killed(outcome) => Some(outcome.clone()),
            _ => None,
        })
    }

    /// All that the session has open.
    fn resting(&mut self) -> Vec<Resting> {
        let id = self.id();
        if let Door::Binary(talk) = &mut self.door {
            talk.send(&OrderStatusRequest {
                cl_ord_id: id,
                ..OrderStatusRequest::new_zeroed()
            });
        } else {
            self.send_fix("AF", &[(584, id.to_string()), (585, "7".into())]);
        }
        let mut all = Vec::new();
        loop {
            let (one, last) = self.until(|told| match told {
                Told::Resting(one, last) => Some((one.clone(), *last)),
                _ => None,
            });
            all.extend(one);
            if last {
                return all;
            }
        }
    }

    /// Order id and lots of one side of the session's quote in a symbol.
    fn quoted(&mut self, symbol: &str, side: u8) -> (u64, i64) {
        let all = self.resting();
        let mut found = all
            .iter()
            .filter(|one| one.symbol == symbol && one.side == side);
        let one = found.next().expect("it is quoted");
        assert!(found.next().is_none(), "once");
        (one.order, one.lots)
    }

    /// Takes messages until one is what is waited for; the others are kept.
    fn until<T>(&mut self, is_it: impl Fn(&Told) -> Option<T>) -> T {
        loop {
            let told = self.next();
            if let Some(found) = is_it(&told) {
                return found;
            }
            self.told.push(told);
        }
    }

    fn next(&mut self) -> Told {
        match &mut self.door {
            Door::Binary(talk) => {
                let received = talk.expect();
                from_binary(&received, talk)
            }
            Door::Fix(talk) => from_fix(&talk.expect()),
        }
    }

    /// What was told since the last look. A question's answer is behind it.
    fn news(&mut self) -> Vec<Told> {
        self.resting();
        std::mem::take(&mut self.told)
    }
}

const NAMES: [(&str, &str); 4] = [
    ("alpha-1", "ALPHA1"),
    ("beta-1", "BETA1"),
    ("alpha-risk", "ALPHARISK"),
    ("beta-risk", "BETARISK"),
];
const MAKER: usize = 0;
/// Of the other firm.
const TAKER: usize = 1;
/// The risk desk of the maker's firm.
const RISK: usize = 2;
/// The taker's firm's.
const OTHER_RISK: usize = 3;

fn binary(
    credentials: &Credentials,
    who: usize,
) -> &trading_engine::client::credentials::BinaryCredentials {
    credentials.binary(NAMES[who].0).unwrap()
}

fn session(credentials: &Credentials, door: DoorName, who: usize) -> u32 {
    match door {
        DoorName::Binary => binary(credentials, who).session,
        DoorName::Fix => fix_entry(credentials, who).session,
    }
}

fn fix_entry(
    credentials: &Credentials,
    who: usize,
) -> &trading_engine::client::credentials::FixCredentials {
    let mut all = credentials.fix.iter();
    all.find(|entry| entry.comp_id == NAMES[who].1).unwrap()
}

fn fix(server: &Server, credentials: &Credentials, who: usize) -> FixTalk {
    let entry = fix_entry(credentials, who);
    let begun = Instant::now();
    loop {
        let mut talk = FixTalk::connect(server.fix, &entry.comp_id);
        talk.logon(entry, 30, true);
        if let Some(answer) = talk.next_message() {
            assert_eq!(answer.kind(), "A", "{answer:?}");
            return talk;
        }
        assert!(begun.elapsed() < PATIENCE, "the session is still taken");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn fix_quote(id: u64, entries: &[Entry]) -> Vec<(u32, String)> {
    let mut fields = vec![
        (117, id.to_string()),
        (301, "2".into()),
        (9019, GROUP.to_string()),
    ];
    // A set is what stands together in one layer.
    let sets: Vec<&[Entry]> = entries.chunk_by(|a, b| a.layer == b.layer).collect();
    fields.push((296, sets.len().to_string()));
    for set in sets {
        let count = set.len().to_string();
        fields.push((302, (set[0].layer + 1).to_string()));
        fields.extend([(304, count.clone()), (295, count)]);
        for entry in set {
            fields.extend([
                (299, format!("{}-{}", entry.symbol, entry.layer)),
                (55, entry.symbol.clone()),
                (132, text(entry.bid.0)),
                (134, entry.bid.1.to_string()),
                (133, text(entry.ask.0)),
                (135, entry.ask.1.to_string()),
            ]);
        }
    }
    fields
}

fn from_binary(received: &Received, talk: &BinaryTalk) -> Told {
    if let Some((ack, sides)) = received.read_group::<MassQuoteAck>() {
        assert!(
            ack.reason != 0 || sides.iter().all(|side| side.status != 4),
            "a side was refused: {sides:?}"
        );
        return Told::Quoted(outcome(ack.reason, usize::from(ack.accepted_sides)));
    }
    if received.read::<OrderAccepted>().is_some() {
        return Told::Accepted;
    }
    if let Some(m) = received.read::<OrderRejected>() {
        return Told::Rejected(words(m.reason));
    }
    if let Some(m) = received.read::<Fill>() {
        return Told::Fill {
            order: m.order_id,
            lots: lots(m.last_qty),
            leaves: lots(m.leaves_qty),
        };
    }
    if received.read::<OrderCanceled>().is_some() {
        return Told::OrderEnded;
    }
    if let Some(m) = received.read::<QuoteCanceled>() {
        return Told::QuoteEnded(words(m.reason));
    }
    if received.read::<ProtectionTripped>().is_some() {
        return Told::Tripped;
    }
    if let Some(m) = received.read::<ProtectionStatus>() {
        return Told::Protection(outcome(m.reason, m.qty_limit));
    }
    if let Some(m) = received.read::<MassCancelDone>() {
        assert_eq!(m.reason, 0);
        return Told::MassCanceled(u64::from(m.canceled_count));
    }
    if let Some(m) = received.read::<KillSwitchDone>() {
        return Told::Killed(outcome(m.reason, u64::from(m.canceled_count)));
    }
    if let Some(m) = received.read::<OrderStatus>() {
        let symbol = |id| {
            let mut all = talk.instruments.iter();
            all.find(|(_, known)| **known == id).unwrap().0.clone()
        };
        let one = (m.total != 0).then(|| Resting {
            order: m.order_id,
            symbol: symbol(m.instrument_id),
            side: m.side,
            price: m.price / CENT,
            lots: lots(m.leaves_qty),
        });
        return Told::Resting(one, m.is_last == 1);
    }
    assert!(
        received.read::<CancelRejected>().is_none(),
        "nothing here is refused so"
    );
    Told::Nothing
}

/// Text(58) without the field and value at its end.
fn fix_words(message: &Fields) -> String {
    let all = message.get(58).unwrap_or("");
    all.split(" (").next().unwrap().to_owned()
}

fn from_fix(message: &Fields) -> Told {
    let number = |tag| message.get(tag).map_or(0, |text| text.parse().unwrap());
    let signed = |tag| message.get(tag).map_or(0, |text| text.parse().unwrap());
    let done = |value: u64| {
        if number(35016) == 0 {
            Ok(value)
        } else {
            Err(fix_words(message))
        }
    };
    match (message.kind(), message.get(150)) {
        ("b", _) if message.get(297) == Some("5") => Told::Quoted(Err(fix_words(message))),
        ("b", _) => {
            let entries = message.0.iter().filter(|(tag, _)| *tag == 1167);
            let refused = message.0.iter().any(|field| *field == (1167, "5".into()));
            assert!(!refused, "an entry was refused: {message:?}");
            Told::Quoted(Ok(2 * entries.count()))
        }
        ("8", Some("0")) => Told::Accepted,
        ("8", Some("8")) => Told::Rejected(fix_words(message)),
        ("8", Some("F")) => Told::Fill {
            order: number(37),
            lots: signed(32),
            leaves: signed(151),
        },
        ("8", Some("4" | "C")) => Told::OrderEnded,
        ("8", Some("I")) => {
            let price: Decimal8 = message.get(44).unwrap_or("0").parse().unwrap();
            let one = (message.get(37) != Some("NONE")).then(|| Resting {
                order: number(37),
                symbol: message.get(55).unwrap().into(),
                side: number(54) as u8,
                price: price.0 / CENT,
                lots: signed(151),
            });
            Told::Resting(one, message.get(912) == Some("Y"))
        }
        ("AI", _) if message.get(35030).is_some() => Told::Tripped,
        ("AI", _) => Told::QuoteEnded(fix_words(message)),
        ("U5", _) => Told::Protection(done(number(35020))),
        ("U2", _) => Told::Killed(done(number(533))),
        ("r", _) => Told::MassCanceled(number(533)),
        _ => panic!("{message:?}"),
    }
}

/// Price in cents, lots and orders of every level, best first.
type Levels = Vec<(i64, i64, u64)>;

fn book(server: &Server, symbol: &str) -> (Levels, Levels) {
    let (status, body) = server.get(&format!("/book/{symbol}"));
    assert_eq!(status, 200, "{body}");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    let side = |name: &str| {
        let levels = json[name].as_array().unwrap().iter();
        let decimal = |value: &serde_json::Value| {
            let text = value.as_str().unwrap();
            text.parse::<Decimal8>().unwrap().0
        };
        levels
            .map(|level| {
                let orders = level["orders"].as_u64().unwrap();
                let quantity = lots(decimal(&level["quantity"]));
                (decimal(&level["price"]) / CENT, quantity, orders)
            })
            .collect::<Levels>()
    };
    (side("bids"), side("asks"))
}

/// The side port follows the log: waits until its book is this.
fn expect_book(server: &Server, symbol: &str, bids: &[(i64, i64, u64)], asks: &[(i64, i64, u64)]) {
    let begun = Instant::now();
    loop {
        let seen = book(server, symbol);
        if seen.0 == bids && seen.1 == asks {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{symbol}: {seen:?}, expected {bids:?} {asks:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn symbols() -> Vec<String> {
    (6..=55).map(|number| format!("DEMO-{number:03}")).collect()
}

/// The sessions of the day, and what they quote.
struct Day {
    server: Server,
    door: DoorName,
    maker: Desk,
    taker: Desk,
    risk: Desk,
    symbols: Vec<String>,
    quotes: Vec<Entry>,
}

impl Day {
    fn begin(data: &std::path::Path, door: DoorName) -> Self {
        let server = Server::start(data, SETTINGS);
        let symbols = symbols();
        Self {
            maker: Desk::connect(&server, door, MAKER),
            taker: Desk::connect(&server, door, TAKER),
            risk: Desk::connect(&server, door, RISK),
            server,
            door,
            quotes: symbols.iter().map(|symbol| entry(symbol)).collect(),
            symbols,
        }
    }

    fn quote_all(&mut self) -> Result<usize, String> {
        self.maker.quote(&self.quotes)
    }

    /// Nobody has anything in any book.
    fn expect_empty(&self) {
        for symbol in &self.symbols {
            expect_book(&self.server, symbol, &[], &[]);
        }
    }

    fn quotes_fifty_instruments(&mut self) {
        assert_eq!(self.maker.protect(LIMIT), Ok(LIMIT));
        assert_eq!(self.quote_all(), Ok(100));
        let resting = self.maker.resting();
        assert_eq!(resting.len(), 100);
        let mut seen: BTreeMap<&str, u8> = BTreeMap::new();
        for one in &resting {
            let price = if one.side == BUY { 4_000 } else { 6_000 };
            assert_eq!((one.price, one.lots), (price, 5), "{one:?}");
            *seen.entry(&one.symbol).or_default() += one.side;
        }
        assert!(seen.len() == 50 && seen.values().all(|sides| *sides == BUY + SELL));
        for symbol in &self.symbols {
            expect_book(&self.server, symbol, &[(4_000, 5, 1)], &[(6_000, 5, 1)]);
        }
    }

    /// Unchanged and reduced quotes stay before an order that came behind them, a larger one does
    /// not.
    fn keeps_places(&mut self) {
        let three: Vec<String> = self.symbols[..3].to_vec();
        let mut before = Vec::new();
        for symbol in &three {
            self.risk.rest(symbol, BUY, 5, 4_000).unwrap();
            before.push(self.maker.quoted(symbol, BUY).0);
        }
        let sizes = [5, 3, 6];
        for (entry, size) in self.quotes.iter_mut().zip(sizes) {
            entry.bid.1 = size;
        }
        assert_eq!(self.quote_all(), Ok(100));
        self.maker.told.clear();
        for (at, symbol) in three.iter().enumerate() {
            let (id, lots) = self.maker.quoted(symbol, BUY);
            assert_eq!((id == before[at], lots), (at < 2, sizes[at]), "{symbol}");
            expect_book(
                &self.server,
                symbol,
                &[(4_000, 5 + sizes[at], 2)],
                &[(6_000, 5, 1)],
            );
            assert_eq!(self.taker.take(symbol, SELL, 1, 4_000), 1);
        }
        let filled = |told: &[Told]| {
            let ids = told.iter().filter_map(|told| match told {
                Told::Fill { order, lots: 1, .. } => Some(*order),
                _ => None,
            });
            ids.collect::<Vec<_>>()
        };
        assert_eq!(filled(&self.maker.news()), before[..2]);
        assert_eq!(filled(&self.risk.news()).len(), 1);
        expect_book(
            &self.server,
            &three[1],
            &[(4_000, 3 + 5 - 1, 2)],
            &[(6_000, 5, 1)],
        );
        assert_eq!(self.risk.cancel_quotes(), 0);
    }

    /// With two lots in the window: 5 and 4 reach the limit of 10, the third layer stays whole.
    fn trips_and_is_reset(&mut self) {
        let deep = self.symbols[5].clone();
        let layers: Vec<Entry> = (1..=2)
            .map(|layer| Entry {
                layer,
                bid: (4_000 - i64::from(layer), 4),
                ask: (6_000 + i64::from(layer), 4),
                ..entry(&deep)
            })
            .collect();
        assert_eq!(self.maker.quote(&layers), Ok(4));
        expect_book(
            &self.server,
            &deep,
            &[(4_000, 5, 1), (3_999, 4, 1), (3_998, 4, 1)],
            &[(6_000, 5, 1), (6_001, 4, 1), (6_002, 4, 1)],
        );
        assert_eq!(self.taker.take(&deep, SELL, 13, 3_000), 9);
        let news = self.maker.news();
        let trip = news.iter().position(|told| *told == Told::Tripped).unwrap();
        let fills = |told: &[Told]| {
            let fills = told.iter().filter(|told| matches!(told, Told::Fill { .. }));
            fills.count()
        };
        assert_eq!((fills(&news[..trip]), fills(&news[trip..])), (2, 0));
        // 50 bids and asks and two layers more, of which two bids were filled.
        let ended = Told::QuoteEnded("Market-maker protection".into());
        let ends = news[trip..].iter().filter(|told| **told == ended).count();
        assert_eq!(ends, 100 + 4 - 2);
        assert_eq!(self.maker.resting(), []);
        for (at, symbol) in self.symbols.iter().enumerate() {
            let of_risk: &[_] = match at {
                0 | 1 => &[(4_000, 5, 1)],
                2 => &[(4_000, 4, 1)],
                _ => &[],
            };
            expect_book(&self.server, symbol, of_risk, &[]);
        }
        assert_eq!(self.quote_all(), Err(FROZEN.into()));
        assert_eq!(self.maker.reset(), Ok(LIMIT));
        assert_eq!(self.quote_all(), Ok(100));
        expect_book(&self.server, &deep, &[(4_000, 5, 1)], &[(6_000, 5, 1)]);
    }

    fn cancels_quotes_only(&mut self) {
        let symbol = self.symbols[9].clone();
        self.maker.rest(&symbol, BUY, 2, 3_000).unwrap();
        assert_eq!(self.maker.cancel_quotes(), 100);
        let resting = self.maker.resting();
        assert_eq!((resting.len(), resting[0].price), (1, 3_000));
        expect_book(&self.server, &symbol, &[(3_000, 2, 1)], &[]);
        expect_book(&self.server, &self.symbols[8], &[], &[]);
        assert_eq!(self.quote_all(), Ok(100));
        expect_book(
            &self.server,
            &symbol,
            &[(4_000, 5, 1), (3_000, 2, 1)],
            &[(6_000, 5, 1)],
        );
    }

    fn is_killed_and_released(&mut self) {
        let maker = session(&self.server.credentials(), self.door, MAKER);
        let symbol = self.symbols[9].clone();
        let refused = Err("Not permitted to this session".to_owned());
        assert_eq!(self.taker.kill(maker, false), refused);
        let mut other = Desk::connect(&self.server, self.door, OTHER_RISK);
        assert_eq!(other.kill(maker, false), refused);
        assert_eq!(self.risk.kill(maker, false), Ok(101));
        assert_eq!(self.maker.resting(), []);
        expect_book(&self.server, &symbol, &[], &[]);
        assert_eq!(self.quote_all(), Err(BLOCKED.into()));
        let refused = self.maker.rest(&symbol, BUY, 2, 3_000);
        assert_eq!(refused, Err(BLOCKED.into()));
        expect_book(&self.server, &symbol, &[], &[]);
        assert_eq!(self.risk.kill(maker, true), Ok(0));
        assert_eq!(self.quote_all(), Ok(100));
        assert_eq!(self.taker.take(&symbol, BUY, 2, 6_000), 2);
        expect_book(&self.server, &symbol, &[(4_000, 5, 1)], &[(6_000, 3, 1)]);
    }

    /// Quotes go with the connection whatever the logon asked for, orders only if it did.
    fn loses_its_connection(mut self) -> Self {
        let symbol = self.symbols[9].clone();
        self.maker.rest(&symbol, BUY, 2, 3_000).unwrap();
        drop(self.maker);
        expect_book(&self.server, &symbol, &[(3_000, 2, 1)], &[]);
        for symbol in &self.symbols[10..] {
            expect_book(&self.server, symbol, &[], &[]);
        }
        self.maker = Desk::connect(&self.server, self.door, MAKER);
        assert_eq!(self.maker.resting().len(), 1);
        assert_eq!(self.quote_all(), Ok(100));
        self
    }

    /// `kill -9` under a frozen group and a blocked session.
    fn restarts(mut self) -> Self {
        let maker = session(&self.server.credentials(), self.door, MAKER);
        let symbol = self.symbols[20].clone();
        assert_eq!(self.maker.reset(), Ok(LIMIT));
        for at in 20..22 {
            assert_eq!(self.taker.take(&self.symbols[at], SELL, 5, 4_000), 5);
        }
        assert!(self.maker.news().contains(&Told::Tripped));
        assert_eq!(self.risk.kill(maker, false), Ok(1));
        let data = self.server.data.clone();
        self.server.kill();
        self.server = Server::start(&data, SETTINGS);
        let connect = |who| Desk::connect(&self.server, self.door, who);
        (self.maker, self.taker, self.risk) = (connect(MAKER), connect(TAKER), connect(RISK));
        assert_eq!(self.quote_all(), Err(BLOCKED.into()), "the block survived");
        assert_eq!(self.risk.kill(maker, true), Ok(0));
        assert_eq!(self.quote_all(), Err(FROZEN.into()), "the freeze survived");
        assert_eq!(self.maker.reset(), Ok(LIMIT), "the settings survived");
        self.expect_only_the_others_orders();
        assert_eq!(self.quote_all(), Ok(100));
        expect_book(&self.server, &symbol, &[(4_000, 5, 1)], &[(6_000, 5, 1)]);
        for at in 20..22 {
            assert_eq!(self.taker.take(&self.symbols[at], SELL, 5, 4_000), 5);
        }
        assert!(
            self.maker.news().contains(&Told::Tripped),
            "they are at work"
        );
        assert_eq!(self.maker.resting(), []);
        self
    }

    /// The risk session's orders, which outlived everything.
    fn expect_only_the_others_orders(&mut self) {
        let resting = self.risk.resting();
        let lots: Vec<i64> = resting.iter().map(|one| one.lots).collect();
        assert_eq!(lots, [5, 5, 4]);
        for symbol in &self.symbols[3..] {
            expect_book(&self.server, symbol, &[], &[]);
        }
    }
}

fn a_day(door: DoorName) {
    let data = tempfile::tempdir().unwrap();
    let mut day = Day::begin(data.path(), door);
    day.expect_empty();
    day.quotes_fifty_instruments();
    day.keeps_places();
    day.trips_and_is_reset();
    day.cancels_quotes_only();
    day.is_killed_and_released();
    let day = day.loses_its_connection();
    let day = day.restarts();
    assert_eq!(day.server.terminate(), Some(0));
}

#[test]
fn a_market_makers_day_over_the_binary_door() {
    a_day(DoorName::Binary);
}

#[test]
fn a_market_makers_day_over_fix() {
    a_day(DoorName::Fix);
}
