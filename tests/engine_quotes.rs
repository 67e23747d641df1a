//! Quotes and market-maker protection through `Engine::apply`: the seeded stream of quotes with its
//! published figures, and sessions of a few commands with every event they cause.

mod support;

use std::collections::HashMap;

use support::counting::{ALLOCATIONS, ARMED, Counting};
use support::venue::{self, Driver};
use support::workload::{Fnv, Message, Random, Shape, Stream};
use trading_engine::engine::command::{
    Body, CancelAfter, CancelOrder, ConfigureProtection, DayRoll, EnterOrder, EnterOrderWithTerms,
    MassCancel, MassQuoteHead, OrderTerms, QuoteCancel, QuoteEntry, ResetProtection,
    SessionDisconnected, SessionLogon, Tick,
};
use trading_engine::engine::event::{EventBody, EventHeader, EventSink, OrderState, QuoteResult};
use trading_engine::engine::{Engine, Progress};
use trading_engine::limits::{
    EngineLimits, ORDER_SLOT_BITS, PROTECTION_FILLS_MAX, SHORT_EVENT_LENGTH_MAX, STEP_BYTES_MAX,
    STEP_EVENTS_MAX,
};
use trading_engine::market_data::depth::Depth;
use trading_engine_protocol::types::{
    ClientOrderId, FirmId, Instructions, InstrumentId, OrderId, Price, ProtectionLimit, Quantity,
    QuoteStatus, Reason, SelfTradePrevention, SessionId, SessionProtocol, Side,
};
use zerocopy::IntoBytes;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MILLISECOND: u64 = 1_000_000;

fn limits() -> EngineLimits {
    EngineLimits {
        orders: 1 << 14,
        client_order_ids: 1 << 15,
        instruments: 128,
        price_pages: 1 << 12,
        quotes: 1 << 12,
        protection_groups: 8,
        ..EngineLimits::default()
    }
}

// The stream.

struct Expected {
    instruments: u32,
    trades: u64,
    lots: u64,
    open: (u64, u64),
    bid: (i64, u64),
    ask: (i64, u64),
    command_hash: u64,
    trade_hash: u64,
}

const PREFILL: u64 = 1_000;
const MESSAGES: u64 = 100_000;

fn head_and_entries(message: &Message, quote_id: u64) -> (MassQuoteHead, Vec<QuoteEntry>) {
    let head = MassQuoteHead {
        quote_id: ClientOrderId::from_u64(quote_id),
        protection_group: message.group + 1,
        ..MassQuoteHead::default()
    };
    let entries = message.entries.iter().map(|entry| QuoteEntry {
        layer: entry.layer,
        ..two_sided(entry.instrument + 1, entry.bid, entry.ask)
    });
    (head, entries.collect())
}

/// The workload's own ids of orders, and the hash of what traded.
#[derive(Default)]
struct Trades {
    names: HashMap<u64, u64>,
    maker: u64,
    trades: u64,
    lots: u64,
    hash: Fnv,
}

impl Trades {
    fn entered(&mut self, status: u8, order: OrderId, id: u64) {
        assert!(status == QuoteStatus::Entered as u8 || status == QuoteStatus::Kept as u8);
        self.names.insert(order.0, id);
    }

    fn fill(&mut self, liquidity: u8, id: u64, price: i64, lots: u64) {
        if liquidity == 1 {
            self.maker = id;
            return;
        }
        self.hash.trade(self.maker, id, price, lots);
        self.trades += 1;
        self.lots += lots;
    }

    fn learn(&mut self, events: &[u8], message: Option<&Message>) {
        venue::for_each_event(events, |_, body| match body {
            EventBody::MassQuoteAnswered(answer) => {
                assert_eq!((answer.head.accepted, answer.head.refused), (40, 0));
                let entries = &message.unwrap().entries;
                assert_eq!(answer.results.len(), entries.len());
                for (result, entry) in answer.results.iter().zip(entries) {
                    self.entered(result.bid_status, result.bid_order, entry.id);
                    self.entered(result.ask_status, result.ask_order, entry.id + 1);
                }
            }
            EventBody::QuoteFill(quote) => {
                let fill = &quote.fill;
                let id = self.names[&fill.order.order_id.0];
                self.fill(fill.liquidity, id, fill.last_price.0, fill.last_quantity.0);
            }
            EventBody::Fill(fill) => {
                let id = fill.order.client_order_id.as_u64().unwrap();
                self.fill(fill.liquidity, id, fill.last_price.0, fill.last_quantity.0);
            }
            EventBody::OrderAccepted(_) => {}
            other => panic!("{other:?}"),
        });
    }
}

fn open_lots(engine: &Engine, instruments: u32) -> (u64, u64) {
    let sides = (1..=instruments).flat_map(|id| [(id, Side::Buy), (id, Side::Sell)]);
    let levels = sides.flat_map(|(id, side)| engine.levels(InstrumentId(id), side));
    levels.fold((0, 0), |(orders, lots), (_, more, count)| {
        (orders + u64::from(count), lots + more.0)
    })
}

fn check_stream(expected: &Expected) {
    let instruments = expected.instruments;
    let mut driver = Driver::world(limits(), instruments, 8);
    let mut stream = Stream::new(Shape::Quotes, 42, instruments, PREFILL);
    let mut trades = Trades::default();
    let mut depth = Depth::default();
    let mut out = Vec::with_capacity(1 << 20);
    for _ in 0..PREFILL {
        let step = stream.next_step();
        out.clear();
        let (instrument, side) = (step.instrument + 1, step.side + 1);
        let order = venue::enter(step.id, instrument, side, 0, step.price, step.quantity);
        driver.apply(SessionId(1), order, &mut out);
        trades.learn(&out, None);
        venue::for_each_event(&out, |header, body| depth.apply(header, &body));
    }
    for number in 0..MESSAGES {
        let message = stream.next_message();
        let (head, entries) = head_and_entries(&message, number + 1);
        let words = driver.mass_quote(SessionId(message.maker + 1), &head, &entries);
        out.clear();
        ARMED.set(true);
        driver.apply_words(&words, &mut out);
        ARMED.set(false);
        trades.learn(&out, Some(&message));
        venue::for_each_event(&out, |header, body| depth.apply(header, &body));
    }
    let engine = &driver.engine;
    let best = |side| {
        let best = engine.best(InstrumentId(1), side);
        best.map(|(price, lots)| (price.0, lots.0)).unwrap()
    };
    assert_eq!(stream.hash.0, expected.command_hash, "command hash");
    assert_eq!(
        (trades.trades, trades.lots),
        (expected.trades, expected.lots)
    );
    assert_eq!(open_lots(engine, instruments), expected.open);
    assert_eq!(u64::from(engine.open_orders()), expected.open.0, "slab");
    assert_eq!(best(Side::Buy), expected.bid);
    assert_eq!(best(Side::Sell), expected.ask);
    assert_eq!(trades.hash.0, expected.trade_hash, "trade hash");
    assert_eq!(ALLOCATIONS.get(), 0, "nothing is allocated");
    check_depth(&depth, engine, instruments);
}

/// The mirror that events alone build has the engine's levels, and names of the quotes that are open. It knows the instruments that were
/// defined before it looked only by id, so it is asked by the orders it holds.
fn check_depth(depth: &Depth, engine: &Engine, instruments: u32) {
    for id in 1..=instruments {
        for side in [Side::Buy, Side::Sell] {
            let levels = engine.levels(InstrumentId(id), side);
            let levels: Vec<_> = levels
                .map(|(price, lots, orders)| (price.0, lots.0, u64::from(orders)))
                .collect();
            assert_eq!(
                depth.levels_of(InstrumentId(id), side),
                levels,
                "{id} {side:?}"
            );
        }
    }
    let mut open = 0;
    engine.open_orders_in_full(|order| open += usize::from(order.layer.is_some()));
    assert_eq!(depth.quotes(), open, "names of quotes");
}

#[test]
fn quotes_1() {
    check_stream(&Expected {
        instruments: 1,
        trades: 13_479,
        lots: 201_662,
        open: (1_226, 55_028),
        bid: (100_092, 42),
        ask: (100_093, 42),
        command_hash: 0x555e_f17e_5386_85eb,
        trade_hash: 0x086e_8438_f8d4_3a33,
    });
}

#[test]
fn quotes_100() {
    check_stream(&Expected {
        instruments: 100,
        trades: 3_160,
        lots: 48_076,
        open: (2_589, 92_055),
        bid: (99_979, 22),
        ask: (99_980, 48),
        command_hash: 0xfff1_2add_40df_d705,
        trade_hash: 0x6bc2_d79e_5c33_904f,
    });
}

// Sessions of a few commands.

/// Counts what a step writes.
#[derive(Default)]
struct Step {
    bytes: Vec<u8>,
    events: usize,
    longest: usize,
}

impl EventSink for Step {
    fn write(&mut self, parts: [&[u8]; 3]) {
        let length = parts.iter().map(|part| part.len()).sum();
        self.events += 1;
        self.longest = self.longest.max(length);
        self.bytes.write(parts);
    }
}

/// Sessions 1 and 2 are of firm 1, sessions 3 and 4 of firms of their own.
struct Floor {
    driver: Driver,
    depth: Depth,
    /// A second engine that gets the same bytes.
    twin: Engine,
    quote_id: u64,
    /// What the last command caused.
    last: Vec<u8>,
}

impl Floor {
    fn new() -> Self {
        Self::with(limits())
    }

    fn with(limits: EngineLimits) -> Self {
        let session = |id, firm| {
            let mut session = venue::session(id, SessionProtocol::Binary);
            session.firm = FirmId(firm);
            session
        };
        let sessions = [session(1, 1), session(2, 1), session(3, 3), session(4, 4)];
        Self {
            driver: Driver::world_of(limits, 4, &sessions),
            depth: Depth::default(),
            twin: Driver::world_of(limits, 4, &sessions).engine,
            quote_id: 0,
            last: Vec::new(),
        }
    }

    fn run(&mut self, words: &[u64]) -> Vec<String> {
        let mut said = Vec::new();
        self.last.clear();
        let mut step = Step::default();
        let mut progress = self.driver.engine.apply_bytes(words.as_bytes(), &mut step);
        let mut twin = Vec::new();
        let mut same = self.twin.apply_bytes(words.as_bytes(), &mut twin).unwrap();
        while same == Progress::More {
            same = self.twin.resume(&mut twin);
        }
        loop {
            assert!(step.events <= STEP_EVENTS_MAX && step.bytes.len() <= STEP_BYTES_MAX);
            assert!(step.events == 1 || step.longest <= SHORT_EVENT_LENGTH_MAX);
            self.last.extend_from_slice(&step.bytes);
            venue::for_each_event(&step.bytes, |header, body| {
                self.depth.apply(header, &body);
                said.push(format!("{} {}", header.session.0, tell(header, &body)));
            });
            if progress.unwrap() == Progress::Done {
                break;
            }
            step = Step::default();
            progress = Ok(self.driver.engine.resume(&mut step));
        }
        check_depth(&self.depth, &self.driver.engine, 4);
        assert_eq!(self.driver.engine.state_hash(), self.twin.state_hash());
        said
    }

    fn apply<B: Body>(&mut self, session: u32, body: B) -> Vec<String> {
        let command = self.driver.command(SessionId(session), body);
        let bytes = command.to_bytes();
        let mut words = vec![0; bytes.len() / 8];
        words.as_mut_bytes().copy_from_slice(&bytes);
        self.run(&words)
    }

    fn quote(&mut self, session: u32, group: u16, entries: &[QuoteEntry]) -> Vec<String> {
        let head = MassQuoteHead {
            protection_group: group,
            ..MassQuoteHead::default()
        };
        self.quote_with(session, head, entries)
    }

    fn quote_with(
        &mut self,
        session: u32,
        head: MassQuoteHead,
        entries: &[QuoteEntry],
    ) -> Vec<String> {
        self.quote_id += 1;
        let head = MassQuoteHead {
            quote_id: ClientOrderId::from_u64(self.quote_id),
            ..head
        };
        let words = self.driver.mass_quote(SessionId(session), &head, entries);
        self.run(&words)
    }

    fn enter(&mut self, session: u32, order: EnterOrder) -> Vec<String> {
        self.apply(session, order)
    }

    fn protect(
        &mut self,
        session: u32,
        group: u16,
        protection: ConfigureProtection,
    ) -> Vec<String> {
        let request = ConfigureProtection {
            client_order_id: ClientOrderId::from_u64(1),
            protection_group: group,
            ..protection
        };
        self.apply(session, request)
    }

    fn reset(&mut self, session: u32, group: u16) -> Vec<String> {
        let request = ResetProtection {
            client_order_id: ClientOrderId::from_u64(1),
            protection_group: group,
            ..ResetProtection::default()
        };
        self.apply(session, request)
    }

    fn hash(&self) -> u64 {
        self.driver.engine.state_hash()
    }
}

const BUY: u8 = 1;
const SELL: u8 = 2;
const DAY: u8 = 0;
const IMMEDIATE: u8 = 3;

fn two_sided(instrument: u32, bid: (i64, u64), ask: (i64, u64)) -> QuoteEntry {
    QuoteEntry {
        instrument: InstrumentId(instrument),
        bid_price: Price(bid.0),
        bid_quantity: Quantity(bid.1),
        ask_price: Price(ask.0),
        ask_quantity: Quantity(ask.1),
        ..QuoteEntry::default()
    }
}

fn bid(instrument: u32, price: i64, lots: u64) -> QuoteEntry {
    QuoteEntry {
        not_stated: 2,
        ..two_sided(instrument, (price, lots), (0, 0))
    }
}

fn ask(instrument: u32, price: i64, lots: u64) -> QuoteEntry {
    QuoteEntry {
        not_stated: 1,
        ..two_sided(instrument, (0, 0), (price, lots))
    }
}

fn layer(layer: u16, entry: QuoteEntry) -> QuoteEntry {
    QuoteEntry { layer, ..entry }
}

fn order(id: u64, side: u8, price: i64, lots: u64) -> EnterOrder {
    venue::enter(id, 1, side, DAY, price, lots)
}

fn immediate(id: u64, side: u8, price: i64, lots: u64) -> EnterOrder {
    venue::enter(id, 1, side, IMMEDIATE, price, lots)
}

/// An order by the number of its entry: the first accepted order or quote of the log is 1.
fn number(order: OrderId) -> u64 {
    order.0 >> ORDER_SLOT_BITS
}

fn reason(code: u16) -> String {
    match Reason::try_from(code) {
        Ok(Reason::None) => String::new(),
        other => format!(" {:?}", other.unwrap()),
    }
}

fn side_of(result: &QuoteResult, side: Side) -> String {
    let (status, order, price, lots, why) = match side {
        Side::Buy => (
            result.bid_status,
            result.bid_order,
            result.bid_price,
            result.bid_quantity,
            result.bid_reason,
        ),
        Side::Sell => (
            result.ask_status,
            result.ask_order,
            result.ask_price,
            result.ask_quantity,
            result.ask_reason,
        ),
    };
    let status = QuoteStatus::try_from(status).unwrap();
    let order = number(order);
    let why = reason(why);
    if status == QuoteStatus::NotStated {
        return "-".to_owned();
    }
    format!("{status:?}{why} {order}:{}@{}", lots.0, price.0)
}

/// An event in a few words.
fn tell(header: &EventHeader, body: &EventBody<'_>) -> String {
    let why = reason(header.reason);
    match body {
        EventBody::OrderAccepted(event) => format!("accepted {}", number(event.order.order_id)),
        EventBody::OrderAcceptedWithTerms(event) => {
            format!("accepted {}", number(event.order.order_id))
        }
        EventBody::OrderRejected(_) => format!("rejected{why}"),
        EventBody::OrderReplaced(event) => format!("replaced {}", number(event.order.order_id)),
        EventBody::OrderTriggered(event) => format!("triggered {}", number(event.order.order_id)),
        EventBody::OrderRestated(event) => {
            let order = &event.order;
            format!(
                "restated {} {}{why}",
                number(order.order_id),
                order.leaves.0
            )
        }
        EventBody::QuoteRestated(event) => {
            let order = &event.restated.order;
            let id = number(order.order_id);
            format!("quote restated {id} {}{why}", order.leaves.0)
        }
        EventBody::RequestRejected(_) => format!("refused{why}"),
        EventBody::OrderCanceled(event) => {
            format!(
                "canceled {} {}{why}",
                number(event.order.order_id),
                event.canceled.0
            )
        }
        EventBody::QuoteCanceled(event) => {
            let canceled = &event.canceled;
            let order = number(canceled.order.order_id);
            format!("quote canceled {order} {}{why}", canceled.canceled.0)
        }
        EventBody::Fill(fill) => format!(
            "fill {} {}@{}",
            number(fill.order.order_id),
            fill.last_quantity.0,
            fill.last_price.0
        ),
        EventBody::QuoteFill(quote) => format!(
            "quote fill {} {}@{}",
            number(quote.fill.order.order_id),
            quote.fill.last_quantity.0,
            quote.fill.last_price.0
        ),
        EventBody::MassQuoteAnswered(answer) => {
            let results = answer.results.iter().map(|result| {
                let [bid, ask] = [Side::Buy, Side::Sell].map(|side| side_of(result, side));
                format!(" | {bid}, {ask}")
            });
            let results: String = results.collect();
            let (accepted, refused) = (answer.head.accepted, answer.head.refused);
            format!("answered{why} {accepted} {refused}{results}")
        }
        EventBody::QuoteCancelDone(done) => format!("quotes canceled{why} {}", done.canceled),
        EventBody::MassCancelDone(done) => format!("mass canceled{why} {}", done.canceled),
        EventBody::ProtectionSet(set) => {
            let frozen = match set.frozen_until.0 {
                0 => String::new(),
                u64::MAX => " frozen".to_owned(),
                _ => " frozen for a time".to_owned(),
            };
            let (lots, fills) = (set.window_quantity.0, set.window_fills);
            format!("protection{why} {lots} in {fills}{frozen}")
        }
        EventBody::ProtectionTripped(tripped) => {
            let limit = ProtectionLimit::try_from(tripped.limit).unwrap();
            let (lots, net) = (tripped.window_quantity.0, tripped.window_net);
            let (fills, order) = (tripped.window_fills, number(tripped.order_id));
            format!("tripped by {order} {limit:?}: {lots} lots, net {net}, {fills} fills")
        }
        EventBody::SessionClosed(_) => "closed".to_owned(),
        EventBody::LogonAnswered(_) => "logged on".to_owned(),
        EventBody::CancelAfterSet(_) => "cancel after".to_owned(),
        EventBody::DayRolled(_) => "day rolled".to_owned(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn says(said: &[String], expected: &[&str]) {
    assert_eq!(said, expected);
}

#[test]
fn a_quote_enters_is_kept_replaced_and_removed() {
    let mut floor = Floor::new();
    says(
        &floor.quote(1, 0, &[two_sided(1, (99, 10), (101, 10))]),
        &["1 answered 2 0 | Entered 1:10@99, Entered 2:10@101"],
    );
    // Less at the same price keeps its id and place, and the message's id is the new one.
    says(
        &floor.quote(1, 0, &[two_sided(1, (99, 4), (101, 11))]),
        &["1 answered 2 0 | Kept 1:4@99, Entered 3:11@101"],
    );
    let resting: Vec<_> = floor
        .driver
        .engine
        .resting(InstrumentId(1), Side::Buy)
        .collect();
    assert_eq!(resting[0].1.client_order_id.as_u64(), Some(2));
    // What is not stated is not touched.
    says(
        &floor.quote(1, 0, &[bid(1, 98, 4)]),
        &["1 answered 1 0 | Entered 4:4@98, -"],
    );
    says(
        &floor.quote(1, 0, &[two_sided(1, (0, 0), (0, 0)), bid(2, 0, 0)]),
        &["1 answered 3 0 | Removed 4:0@0, Removed 3:0@0 | Absent 0:0@0, -"],
    );
    assert_eq!(floor.driver.engine.open_orders(), 0);
}

#[test]
fn filled_lots_of_a_kept_quote_stay_counted() {
    let mut floor = Floor::new();
    floor.quote(1, 0, &[bid(1, 99, 10)]);
    says(
        &floor.enter(3, order(1, SELL, 99, 3)),
        &["3 accepted 2", "1 quote fill 1 3@99", "3 fill 2 3@99"],
    );
    says(
        &floor.quote(1, 0, &[bid(1, 99, 5)]),
        &["1 answered 1 0 | Kept 1:5@99, -"],
    );
    let resting: Vec<_> = floor
        .driver
        .engine
        .resting(InstrumentId(1), Side::Buy)
        .collect();
    let state = resting[0].1;
    let [quantity, leaves, filled] = [state.quantity, state.leaves, state.cumulative];
    assert_eq!([quantity.0, leaves.0, filled.0], [8, 5, 3]);
    // More than is open is a new quote at the back.
    says(
        &floor.quote(1, 0, &[bid(1, 99, 6)]),
        &["1 answered 1 0 | Entered 3:6@99, -"],
    );
}

#[test]
fn refused_sides_say_why_and_leave_what_was_there() {
    let mut floor = Floor::new();
    floor.quote(1, 0, &[two_sided(1, (99, 10), (101, 10))]);
    let edge = QuoteEntry {
        edge_reason: 35,
        ..two_sided(1, (99, 10), (101, 10))
    };
    let edge_reason = reason(35);
    says(
        &floor.quote(
            1,
            0,
            &[
                two_sided(1, (100, 1), (100, 1)),
                two_sided(1, (97, 1), (103, 1)),
                two_sided(9, (99, 1), (101, 0)),
                two_sided(2, (99, 0), (200_001, 1)),
                two_sided(3, (0, 1), (101, 2_000_000)),
                two_sided(3, (90, 1), (101, 2)),
                layer(1, edge),
            ],
        ),
        &[&format!(
            "1 answered 1 13 \
             | Refused QuoteCrossed 1:10@99, Refused QuoteCrossed 2:10@101 \
             | Refused DuplicateQuoteEntry 1:10@99, Refused DuplicateQuoteEntry 2:10@101 \
             | Refused UnknownInstrument 0:0@0, Refused UnknownInstrument 0:0@0 \
             | Absent 0:0@0, Refused PriceAboveMaximum 0:0@0 \
             | Refused PriceBelowMinimum 0:0@0, Refused QuantityAboveMaximum 0:0@0 \
             | Refused DuplicateQuoteEntry 0:0@0, Refused DuplicateQuoteEntry 0:0@0 \
             | Refused{edge_reason} 0:0@0, Refused{edge_reason} 0:0@0"
        )],
    );
    // The same names are free in the next message.
    says(
        &floor.quote(1, 0, &[bid(3, 90, 1), bid(1, 99, 10)]),
        &["1 answered 2 0 | Entered 3:1@90, - | Kept 1:10@99, -"],
    );
}

#[test]
fn a_whole_message_is_refused_for_its_head() {
    let mut floor = Floor::new();
    let refused = |floor: &mut Floor, head| floor.quote_with(1, head, &[bid(1, 99, 1)]);
    let head = MassQuoteHead {
        instructions: Instructions::DISCONNECT_EXEMPT.0,
        ..MassQuoteHead::default()
    };
    let expected = ["1 answered UnsupportedInstruction 0 0"];
    says(&refused(&mut floor, head), &expected);
    let head = MassQuoteHead {
        self_trade_prevention: 99,
        ..MassQuoteHead::default()
    };
    let expected = ["1 answered UnsupportedSelfTradePrevention 0 0"];
    says(&refused(&mut floor, head), &expected);
    let head = MassQuoteHead::default();
    let words = floor
        .driver
        .mass_quote(SessionId(1), &head, &[bid(1, 99, 1)]);
    says(&floor.run(&words), &["1 answered InvalidClientOrderId 0 0"]);
    assert_eq!(floor.driver.engine.open_orders(), 0);
}

#[test]
fn capacities_are_refused_at() {
    let mut floor = Floor::with(EngineLimits {
        orders: 4,
        client_order_ids: 16,
        quotes: 2,
        ..limits()
    });
    says(
        &floor.quote(
            1,
            0,
            &[
                two_sided(1, (99, 1), (101, 1)),
                two_sided(2, (99, 1), (0, 0)),
                bid(3, 99, 1),
            ],
        ),
        &[
            "1 answered 4 1 | Entered 1:1@99, Entered 2:1@101 | Entered 3:1@99, Absent 0:0@0 \
             | Refused QuoteCapacity 0:0@0, -",
        ],
    );
    floor.enter(3, order(1, BUY, 50, 1));
    // No slot is left, but those of what is replaced.
    says(
        &floor.quote(1, 0, &[two_sided(2, (98, 1), (101, 1))]),
        &["1 answered 1 1 | Entered 5:1@98, Refused OrderCapacity 0:0@0"],
    );
    // A name is given back when its quotes are gone.
    says(
        &floor.quote(1, 0, &[bid(2, 0, 0), bid(3, 98, 1)]),
        &["1 answered 2 0 | Removed 5:0@0, - | Entered 6:1@98, -"],
    );
    says(
        &floor.apply(0, day(20_260_102)),
        &[
            "1 quote canceled 1 1 EndOfDay",
            "1 quote canceled 2 1 EndOfDay",
            "3 canceled 4 1 EndOfDay",
            "1 quote canceled 6 1 EndOfDay",
            "0 day rolled",
        ],
    );
    says(
        &floor.quote(1, 0, &[bid(3, 99, 1)]),
        &["1 answered 1 0 | Entered 7:1@99, -"],
    );
}

fn day(trading_day: u32) -> DayRoll {
    DayRoll {
        trading_day,
        reserved: 0,
    }
}

#[test]
fn new_quotes_trade_one_after_the_other_and_release_stops_in_between() {
    let mut floor = Floor::new();
    floor.enter(3, order(1, SELL, 100, 5));
    let stop = EnterOrder {
        order_type: 3,
        ..venue::enter(2, 1, BUY, DAY, venue::NO_PRICE.0, 2)
    };
    let terms = OrderTerms {
        stop_price: Price(100),
        ..OrderTerms::NONE
    };
    let stop = EnterOrderWithTerms { order: stop, terms };
    floor.apply(4, stop);
    floor.quote(2, 0, &[ask(1, 101, 9)]);
    says(
        &floor.quote(
            1,
            0,
            &[
                two_sided(1, (100, 7), (105, 1)),
                layer(1, two_sided(1, (101, 4), (106, 1))),
                layer(2, ask(1, 100, 2)),
            ],
        ),
        &[
            "1 answered 5 0 | Entered 4:7@100, Entered 5:1@105 | Entered 6:4@101, Entered 7:1@106 \
             | -, Entered 8:2@100",
            "3 fill 1 5@100",
            "1 quote fill 4 5@100",
            "4 triggered 2",
            "2 quote fill 3 2@101",
            "4 fill 2 2@101",
            "2 quote fill 3 4@101",
            "1 quote fill 6 4@101",
            "1 quote fill 4 2@100",
            "1 quote fill 8 2@100",
        ],
    );
}

#[test]
fn post_only_quotes_end_instead_of_taking() {
    let mut floor = Floor::new();
    floor.enter(3, order(1, SELL, 100, 5));
    let head = MassQuoteHead {
        instructions: Instructions::POST_ONLY.0,
        ..MassQuoteHead::default()
    };
    says(
        &floor.quote_with(1, head, &[two_sided(1, (100, 7), (105, 1)), bid(2, 9, 1)]),
        &[
            "1 answered 3 0 | Entered 2:7@100, Entered 3:1@105 | Entered 4:1@9, -",
            "1 quote canceled 2 7 PostOnlyWouldTake",
        ],
    );
    assert_eq!(floor.driver.engine.open_orders(), 3);
}

#[test]
fn a_quote_without_a_price_level_ends() {
    let mut floor = Floor::with(EngineLimits {
        price_pages: 2,
        ..limits()
    });
    let entries = [bid(1, 100, 1), bid(2, 100, 2), bid(3, 100, 3)];
    says(
        &floor.quote(1, 0, &entries),
        &[
            "1 answered 3 0 | Entered 1:1@100, - | Entered 2:2@100, - | Entered 3:3@100, -",
            "1 quote canceled 3 3 PriceLevelCapacity",
        ],
    );
}

#[test]
fn quotes_trade_with_their_own_message_unless_prevented() {
    let mut floor = Floor::new();
    let entries = [bid(1, 100, 2), layer(1, ask(1, 99, 3))];
    says(
        &floor.quote(1, 0, &entries),
        &[
            "1 answered 2 0 | Entered 1:2@100, - | -, Entered 2:3@99",
            "1 quote fill 1 2@100",
            "1 quote fill 2 2@100",
        ],
    );
    let head = MassQuoteHead {
        self_trade_prevention: SelfTradePrevention::CancelOldest as u8,
        ..MassQuoteHead::default()
    };
    says(
        &floor.quote_with(1, head, &[layer(5, bid(1, 99, 2))]),
        &[
            "1 answered 1 0 | Entered 3:2@99, -",
            "1 quote canceled 2 1 SelfTradePrevented",
        ],
    );
}

#[test]
fn requests_do_not_find_quotes() {
    let mut floor = Floor::new();
    // The quote gets the slot of the order that had its id.
    floor.enter(1, order(1, BUY, 99, 1));
    floor.enter(3, order(1, SELL, 99, 1));
    floor.quote(1, 0, &[bid(1, 99, 1)]);
    let quote = floor
        .driver
        .engine
        .resting(InstrumentId(1), Side::Buy)
        .next();
    let (_, state) = quote.unwrap();
    assert_eq!(state.client_order_id.as_u64(), Some(1));
    says(
        &floor.apply(1, venue::cancel(2, 1)),
        &["1 refused TooLateToCancel"],
    );
    let by_id = CancelOrder {
        client_order_id: ClientOrderId::from_u64(3),
        order_id: state.order_id,
        ..CancelOrder::default()
    };
    says(&floor.apply(1, by_id), &["1 refused UnknownOrder"]);
    let by_both = CancelOrder {
        original: ClientOrderId::from_u64(1),
        ..by_id
    };
    says(&floor.apply(1, by_both), &["1 refused TooLateToCancel"]);
    says(
        &floor.apply(1, venue::replace(4, 1, 1, 98, 1)),
        &["1 refused TooLateToCancel"],
    );
}

#[test]
fn quote_cancels_find_what_they_mean() {
    let mut floor = Floor::new();
    let set = |floor: &mut Floor| {
        let (second, first) = (bid(2, 98, 2), bid(1, 99, 1));
        floor.quote(1, 2, &[second, layer(1, first)]);
        floor.quote(1, 1, &[two_sided(1, (97, 3), (103, 4))]);
    };
    let cancel = |floor: &mut Floor, scope, instrument, group, layer| {
        let request = QuoteCancel {
            quote_id: ClientOrderId::from_u64(77),
            instrument: InstrumentId(instrument),
            protection_group: group,
            layer,
            scope,
            ..QuoteCancel::default()
        };
        floor.apply(1, request)
    };
    floor.enter(1, order(1, BUY, 90, 1));
    set(&mut floor);
    let expected = ["1 quotes canceled InvalidQuoteCancel 0"];
    says(&cancel(&mut floor, 9, 0, 0, 0), &expected);
    let expected = ["1 quotes canceled UnknownInstrument 0"];
    says(&cancel(&mut floor, 2, 9, 0, 0), &expected);
    says(
        &cancel(&mut floor, 4, 1, 1, 0),
        &[
            "1 quote canceled 4 3 CanceledByRequest",
            "1 quote canceled 5 4 CanceledByRequest",
            "1 quotes canceled 2",
        ],
    );
    says(&cancel(&mut floor, 4, 1, 1, 7), &["1 quotes canceled 0"]);
    says(
        &cancel(&mut floor, 3, 0, 2, 0),
        &[
            "1 quote canceled 2 2 CanceledByRequest",
            "1 quote canceled 3 1 CanceledByRequest",
            "1 quotes canceled 2",
        ],
    );
    set(&mut floor);
    says(
        &cancel(&mut floor, 2, 2, 0, 0),
        &[
            "1 quote canceled 6 2 CanceledByRequest",
            "1 quotes canceled 1",
        ],
    );
    says(
        &cancel(&mut floor, 1, 0, 0, 0),
        &[
            "1 quote canceled 7 1 CanceledByRequest",
            "1 quote canceled 8 3 CanceledByRequest",
            "1 quote canceled 9 4 CanceledByRequest",
            "1 quotes canceled 3",
        ],
    );
    assert_eq!(floor.driver.engine.open_orders(), 1, "the order stays");
}

#[test]
fn a_mass_cancel_and_cancel_after_take_quotes_too() {
    let mut floor = Floor::new();
    floor.quote(1, 0, &[bid(1, 99, 1)]);
    floor.enter(1, order(1, BUY, 98, 2));
    let request = MassCancel {
        client_order_id: ClientOrderId::from_u64(9),
        scope: 1,
        ..MassCancel::default()
    };
    says(
        &floor.apply(1, request),
        &[
            "1 quote canceled 1 1 MassCanceled",
            "1 canceled 2 2 MassCanceled",
            "1 mass canceled 2",
        ],
    );
    floor.quote(1, 0, &[bid(1, 99, 1)]);
    let after = CancelAfter {
        after_ms: 1,
        reserved: 0,
    };
    floor.apply(1, after);
    let later = floor.driver.next_time() + MILLISECOND;
    floor.driver.wait_until(later);
    says(
        &floor.apply(0, Tick::default()),
        &["1 quote canceled 3 1 CancelAfterElapsed"],
    );
}

#[test]
fn quotes_go_with_the_connection_whatever_was_asked_for() {
    let gone = |reason: Reason| SessionDisconnected {
        reason: reason.code(),
        ..SessionDisconnected::default()
    };
    let exempt = EnterOrder {
        instructions: Instructions::DISCONNECT_EXEMPT.0,
        ..order(1, BUY, 98, 2)
    };
    let set = |floor: &mut Floor| {
        floor.quote(1, 0, &[bid(1, 99, 1)]);
        floor.enter(1, exempt);
        floor.enter(1, order(2, BUY, 97, 3));
    };
    // Nothing was asked for: at once, the quotes alone.
    let mut floor = Floor::new();
    set(&mut floor);
    says(
        &floor.apply(1, gone(Reason::GoingAway)),
        &["1 closed", "1 quote canceled 1 1 CanceledOnDisconnect"],
    );
    // It was, with a grace: with the orders, after it.
    let mut floor = Floor::new();
    let logon = |cancel_on_disconnect| SessionLogon {
        cancel_on_disconnect,
        cancel_grace_ms: 5,
        ..SessionLogon::default()
    };
    let relogon = |floor: &mut Floor, asked| {
        let said = floor.apply(1, logon(asked));
        floor.driver.generation[1] += 1;
        said
    };
    // A takeover cancels nothing.
    set(&mut floor);
    says(&relogon(&mut floor, 1), &["1 closed", "1 logged on"]);
    says(&floor.apply(1, gone(Reason::GoingAway)), &["1 closed"]);
    let later = floor.driver.next_time() + 5 * MILLISECOND;
    floor.driver.wait_until(later);
    says(
        &floor.apply(0, Tick::default()),
        &[
            "1 quote canceled 1 1 CanceledOnDisconnect",
            "1 canceled 3 3 CanceledOnDisconnect",
        ],
    );
    // For a logout it was not asked for, whatever the grace is.
    relogon(&mut floor, 1);
    floor.quote(1, 0, &[bid(1, 99, 1)]);
    says(
        &floor.apply(1, gone(Reason::LogoutRequested)),
        &["1 closed", "1 quote canceled 4 1 CanceledOnLogout"],
    );
}

#[test]
fn quotes_end_with_the_day_and_their_session_closes_without_more() {
    let mut floor = Floor::new();
    floor.quote(1, 0, &[two_sided(1, (99, 1), (101, 1))]);
    let kept = EnterOrder {
        time_in_force: 1,
        ..order(1, BUY, 98, 1)
    };
    floor.enter(1, kept);
    says(
        &floor.apply(0, day(20_260_102)),
        &[
            "1 quote canceled 1 1 EndOfDay",
            "1 quote canceled 2 1 EndOfDay",
            "1 restated 3 1 CarriedOver",
            "0 day rolled",
        ],
    );
}

// Market-maker protection.

fn window(window_ms: u32) -> ConfigureProtection {
    ConfigureProtection {
        window_ms,
        ..ConfigureProtection::default()
    }
}

fn quantity(lots: u64, frozen_ms: u32) -> ConfigureProtection {
    ConfigureProtection {
        quantity: Quantity(lots),
        frozen_ms,
        ..window(1)
    }
}

#[test]
fn settings_are_checked_and_told() {
    let mut floor = Floor::new();
    let invalid = ["1 protection ProtectionInvalid 0 in 0"];
    says(&floor.protect(1, 0, window(1)), &invalid);
    says(&floor.protect(1, 1, window(60_001)), &invalid);
    let fills = ConfigureProtection {
        fills: PROTECTION_FILLS_MAX + 1,
        ..window(1)
    };
    says(&floor.protect(1, 1, fills), &invalid);
    says(&floor.reset(1, 1), &invalid);
    let set = ["1 protection 0 in 0"];
    says(&floor.protect(1, 1, window(0)), &set);
    says(&floor.reset(1, 1), &invalid);
    for group in 1..=8 {
        says(&floor.protect(1, group, window(60_000)), &set);
    }
    let full = ["1 protection ProtectionCapacity 0 in 0"];
    says(&floor.protect(1, 9, window(1)), &full);
    says(&floor.reset(2, 8), &["2 protection 0 in 0"]);
    floor.protect(1, 3, window(0));
    says(&floor.protect(3, 9, window(1)), &["3 protection 0 in 0"]);
}

#[test]
fn a_limit_pulls_the_group_over_the_firm_in_the_middle_of_a_sweep() {
    let mut floor = Floor::new();
    floor.protect(2, 7, quantity(10, 0));
    floor.quote(
        1,
        7,
        &[bid(1, 99, 6), layer(1, bid(1, 98, 6)), ask(2, 50, 1)],
    );
    let of_group = EnterOrder {
        protection_group: 7,
        ..order(1, BUY, 97, 6)
    };
    floor.enter(2, of_group);
    floor.quote(2, 8, &[bid(1, 98, 5)]);
    // Another firm's group has the same number.
    floor.quote(3, 7, &[bid(1, 96, 5)]);
    says(
        &floor.enter(4, order(1, SELL, 90, 30)),
        &[
            "4 accepted 7",
            "1 quote fill 1 6@99",
            "4 fill 7 6@99",
            "1 quote fill 2 6@98",
            "4 fill 7 6@98",
            "1 tripped by 2 Quantity: 12 lots, net 12, 2 fills",
            "1 quote canceled 3 1 ProtectionTripped",
            "2 canceled 4 6 ProtectionTripped",
            "2 quote fill 5 5@98",
            "4 fill 7 5@98",
            "3 quote fill 6 5@96",
            "4 fill 7 5@96",
        ],
    );
    // Frozen for every session of the firm, for new orders, replaces and quotes.
    says(
        &floor.quote(1, 7, &[bid(1, 50, 1)]),
        &["1 answered ProtectionFrozen 0 0"],
    );
    let again = EnterOrder {
        client_order_id: ClientOrderId::from_u64(2),
        ..of_group
    };
    says(&floor.enter(2, again), &["2 rejected ProtectionFrozen"]);
    says(
        &floor.quote(2, 8, &[bid(1, 50, 1)]),
        &["2 answered 1 0 | Entered 8:1@50, -"],
    );
    let frozen = floor.hash();
    says(&floor.reset(2, 7), &["2 protection 0 in 0"]);
    assert_ne!(frozen, floor.hash());
    says(
        &floor.quote(1, 7, &[bid(1, 51, 1)]),
        &["1 answered 1 0 | Entered 9:1@51, -"],
    );
}

#[test]
fn the_last_fill_may_fill_the_incoming_order_too() {
    let mut floor = Floor::new();
    let fills = ConfigureProtection {
        fills: 1,
        ..window(1)
    };
    floor.protect(1, 1, fills);
    floor.quote(1, 1, &[two_sided(1, (99, 5), (101, 5))]);
    says(
        &floor.enter(3, immediate(1, SELL, 99, 2)),
        &[
            "3 accepted 3",
            "1 quote fill 1 2@99",
            "3 fill 3 2@99",
            "1 tripped by 1 Fills: 2 lots, net 2, 1 fills",
            "1 quote canceled 1 3 ProtectionTripped",
            "1 quote canceled 2 5 ProtectionTripped",
        ],
    );
    assert_eq!(floor.driver.engine.open_orders(), 0);
}

#[test]
fn the_window_slides_with_log_time_and_the_freeze_ends_with_it() {
    let mut floor = Floor::new();
    floor.protect(1, 1, quantity(10, 3));
    floor.quote(1, 1, &[bid(1, 99, 100)]);
    let fill = |floor: &mut Floor, id, lots, at| {
        floor.driver.wait_until(at);
        floor.enter(3, immediate(id, SELL, 99, lots)).len()
    };
    let start = floor.driver.next_time();
    assert_eq!(fill(&mut floor, 1, 9, start), 3, "one lot below the limit");
    assert_eq!(fill(&mut floor, 2, 9, start + MILLISECOND), 3, "just gone");
    let trip = start + 2 * MILLISECOND - 1;
    assert_eq!(fill(&mut floor, 3, 1, trip), 5, "just not gone");
    let quote = |floor: &mut Floor, at| {
        floor.driver.wait_until(at);
        floor.quote(1, 1, &[bid(1, 99, 100)])
    };
    let thaw = trip + 3 * MILLISECOND;
    says(
        &quote(&mut floor, thaw - 2),
        &["1 answered ProtectionFrozen 0 0"],
    );
    says(
        &floor.protect(1, 1, quantity(10, 3)),
        &["1 protection 0 in 0 frozen for a time"],
    );
    says(
        &quote(&mut floor, thaw),
        &["1 answered 1 0 | Entered 5:100@99, -"],
    );
    // The window began anew.
    assert_eq!(fill(&mut floor, 4, 9, thaw + 1), 3);
    says(
        &floor.protect(1, 1, quantity(5, 3)),
        &["1 protection 9 in 1"],
    );
    assert_eq!(
        fill(&mut floor, 5, 1, thaw + 3),
        5,
        "what traded stays counted"
    );
}

#[test]
fn windows_freezes_and_settings_outlive_the_day() {
    let mut floor = Floor::new();
    floor.protect(1, 1, quantity(10, 0));
    floor.quote(1, 1, &[bid(1, 99, 100)]);
    floor.enter(3, immediate(1, SELL, 99, 9));
    floor.apply(0, day(20_260_102));
    floor.quote(1, 1, &[bid(1, 99, 100)]);
    let said = floor.enter(3, immediate(1, SELL, 99, 1));
    assert!(said[3].starts_with("1 tripped"), "{said:?}");
    floor.apply(0, day(20_260_103));
    says(
        &floor.quote(1, 1, &[bid(1, 99, 1)]),
        &["1 answered ProtectionFrozen 0 0"],
    );
}

#[test]
fn net_lots_count_both_ways() {
    let mut floor = Floor::new();
    let net = ConfigureProtection {
        net: Quantity(5),
        ..window(1)
    };
    floor.protect(1, 1, net);
    floor.quote(1, 1, &[two_sided(1, (99, 50), (101, 50))]);
    assert_eq!(floor.enter(3, immediate(1, SELL, 99, 4)).len(), 3);
    assert_eq!(floor.enter(3, immediate(2, BUY, 101, 8)).len(), 3);
    let said = floor.enter(3, immediate(3, BUY, 101, 1));
    assert_eq!(said[3], "1 tripped by 2 Net: 13 lots, net -5, 3 fills");
}

#[test]
fn an_iceberg_of_a_group_counts_each_part_that_trades() {
    let mut floor = Floor::new();
    floor.protect(1, 1, quantity(4, 0));
    let order = EnterOrder {
        protection_group: 1,
        ..order(1, BUY, 99, 10)
    };
    let terms = OrderTerms {
        display: Quantity(2),
        ..OrderTerms::NONE
    };
    let iceberg = EnterOrderWithTerms { order, terms };
    floor.apply(1, iceberg);
    says(
        &floor.enter(3, immediate(1, SELL, 99, 9)),
        &[
            "3 accepted 2",
            "1 fill 1 2@99",
            "3 fill 2 2@99",
            "1 fill 1 2@99",
            "3 fill 2 2@99",
            "1 tripped by 1 Quantity: 4 lots, net 4, 2 fills",
            "1 canceled 1 6 ProtectionTripped",
            "3 canceled 2 5 ImmediateOrCancelRemainder",
        ],
    );
}

#[test]
fn a_trip_in_the_middle_of_a_mass_quote_ends_what_has_still_to_enter() {
    let mut floor = Floor::new();
    floor.protect(1, 1, quantity(2, 0));
    // The message trades with a quote of its own group: what is left of the one in the market ends
    // in its place.
    let entries = [
        bid(1, 99, 1),
        layer(1, bid(1, 100, 2)),
        layer(2, ask(1, 98, 5)),
        layer(3, two_sided(1, (90, 1), (110, 1))),
    ];
    says(
        &floor.quote(2, 1, &entries),
        &[
            "2 answered 5 0 | Entered 1:1@99, - | Entered 2:2@100, - | -, Entered 3:5@98 \
             | Entered 4:1@90, Entered 5:1@110",
            "2 quote fill 2 2@100",
            "2 quote fill 3 2@100",
            "2 tripped by 2 Quantity: 2 lots, net 2, 1 fills",
            "2 quote canceled 1 1 ProtectionTripped",
            "2 quote canceled 3 3 ProtectionTripped",
            "2 quote canceled 4 1 ProtectionTripped",
            "2 quote canceled 5 1 ProtectionTripped",
        ],
    );
    assert_eq!(floor.driver.engine.open_orders(), 0);
    floor.reset(1, 1);
    // A message of another group of the firm goes on after it.
    floor.quote(1, 1, &[bid(1, 100, 2), layer(1, bid(1, 95, 1))]);
    says(
        &floor.quote(2, 2, &[ask(1, 99, 3), layer(1, ask(1, 95, 1))]),
        &[
            "2 answered 2 0 | -, Entered 8:3@99 | -, Entered 9:1@95",
            "1 quote fill 6 2@100",
            "2 quote fill 8 2@100",
            "1 tripped by 6 Quantity: 2 lots, net 2, 1 fills",
            "1 quote canceled 7 1 ProtectionTripped",
        ],
    );
    assert_eq!(floor.driver.engine.open_orders(), 2);
}

#[test]
fn a_replaced_order_that_trips_its_own_group_ends_with_it() {
    let mut floor = Floor::new();
    floor.protect(1, 1, quantity(2, 0));
    let of_group = EnterOrder {
        protection_group: 1,
        ..order(1, SELL, 105, 5)
    };
    floor.enter(1, of_group);
    floor.quote(2, 1, &[bid(1, 99, 2), layer(1, bid(1, 98, 2))]);
    says(
        &floor.apply(1, venue::replace(2, 1, 1, 98, 5)),
        &[
            "1 replaced 1",
            "2 quote fill 2 2@99",
            "1 fill 1 2@99",
            "2 tripped by 2 Quantity: 2 lots, net 2, 1 fills",
            "1 canceled 1 3 ProtectionTripped",
            "2 quote canceled 3 2 ProtectionTripped",
        ],
    );
    assert_eq!(floor.driver.engine.open_orders(), 0);
}

#[test]
fn a_trip_of_more_than_a_step_of_orders() {
    let mut floor = Floor::new();
    let fills = ConfigureProtection {
        fills: 200,
        ..window(1)
    };
    floor.protect(1, 1, fills);
    for session in [1, 2] {
        for message in 0..4 {
            let entries: Vec<_> = (0..100)
                .map(|entry| layer(message * 100 + entry, two_sided(1, (99, 1), (101, 1))))
                .collect();
            let said = floor.quote(session, 1, &entries);
            assert!(said[0].contains("answered 200 0"), "{said:?}");
        }
    }
    let said = floor.enter(3, order(1, SELL, 99, 500));
    let count = |what: &str| said.iter().filter(|said| said.contains(what)).count();
    assert_eq!(count(" fill "), 400, "200 trades, and nothing after them");
    assert_eq!(count("tripped by"), 1);
    assert_eq!(count("quote canceled"), 1_600 - 200);
    assert_eq!(said.len(), 1 + 400 + 1 + 1_400);
    let ids = said.iter().filter_map(|said| {
        let (_, rest) = said.split_once("quote canceled ")?;
        rest.split(' ').next()?.parse::<u64>().ok()
    });
    assert!(ids.is_sorted());
    assert_eq!(floor.driver.engine.open_orders(), 1, "what is left rests");
}

#[test]
fn a_quote_cancel_of_more_than_a_step_of_quotes() {
    let mut floor = Floor::new();
    for message in 0..3 {
        let entries: Vec<_> = (0..100)
            .map(|entry| layer(message * 100 + entry, two_sided(1, (99, 1), (101, 1))))
            .collect();
        floor.quote(1, 0, &entries);
    }
    let request = QuoteCancel {
        quote_id: ClientOrderId::from_u64(1),
        scope: 1,
        ..QuoteCancel::default()
    };
    let said = floor.apply(1, request);
    assert_eq!(said.len(), 601);
    assert_eq!(said[600], "1 quotes canceled 600");
}

#[test]
fn a_full_message_that_is_due_behind_a_deadline_is_answered_after_it() {
    let mut floor = Floor::new();
    floor.quote(3, 0, &[ask(1, 100, 1)]);
    let after = CancelAfter {
        after_ms: 1,
        reserved: 0,
    };
    floor.apply(3, after);
    let later = floor.driver.next_time() + MILLISECOND;
    floor.driver.wait_until(later);
    let entries: Vec<_> = (0..100)
        .map(|entry| layer(entry, two_sided(1, (100, 1), (101, 1))))
        .collect();
    let said = floor.quote(1, 0, &entries);
    assert_eq!(said[0], "3 quote canceled 1 1 CancelAfterElapsed");
    assert!(said[1].starts_with("1 answered 200 0"));
    assert_eq!(said.len(), 2);
}

// Any commands at all: whatever happens, groups trip when their fills say so and not otherwise, and
// nothing of a frozen group is in a book.

/// A group as its fills have it, all of them since it last tripped or was reset.
#[derive(Default)]
struct Watched {
    protection: ConfigureProtection,
    frozen_until: u64,
    fills: Vec<(u64, i64)>,
}

impl Watched {
    fn fill(&mut self, now: u64, lots: i64) -> Option<ProtectionLimit> {
        self.fills.push((now, lots));
        let limits = &self.protection;
        let window = u64::from(limits.window_ms) * MILLISECOND;
        self.fills.retain(|(at, _)| at + window > now);
        let lots: u64 = self.fills.iter().map(|(_, lots)| lots.unsigned_abs()).sum();
        let net: i64 = self.fills.iter().map(|(_, lots)| lots).sum();
        let fills = self.fills.len() as u64;
        let reached = |limit: u64, is: u64| limit > 0 && is >= limit;
        let all = [
            (reached(limits.quantity.0, lots), ProtectionLimit::Quantity),
            (
                reached(u64::from(limits.fills), fills),
                ProtectionLimit::Fills,
            ),
            (
                reached(limits.net.0, net.unsigned_abs()),
                ProtectionLimit::Net,
            ),
        ];
        let (_, limit) = all.into_iter().find(|(reached, _)| *reached)?;
        self.fills.clear();
        self.frozen_until = match limits.frozen_ms {
            0 => u64::MAX,
            frozen_ms => now + u64::from(frozen_ms) * MILLISECOND,
        };
        Some(limit)
    }
}

/// Firms' groups, followed by events.
#[derive(Default)]
struct Watch {
    groups: HashMap<(u32, u16), Watched>,
    tripped: u64,
    pulled: u64,
}

fn firm_of(session: SessionId) -> u32 {
    if session.0 == 2 { 1 } else { session.0 }
}

impl Watch {
    fn see(&mut self, events: &[u8]) {
        // A trip is said behind the two fills that caused it.
        let mut due: Option<(ProtectionLimit, u32)> = None;
        let mut pulling: Option<(u32, u16, u64)> = None;
        venue::for_each_event(events, |header, body| {
            let now = header.sequenced_at.0;
            let firm = firm_of(header.session);
            let trips = match body {
                EventBody::ProtectionTripped(tripped) => {
                    assert_eq!(
                        due,
                        Some((ProtectionLimit::try_from(tripped.limit).unwrap(), 0))
                    );
                    due = None;
                    pulling = Some((firm, tripped.protection_group, 0));
                    self.tripped += 1;
                    return;
                }
                EventBody::Fill(fill) => Some(fill),
                EventBody::QuoteFill(quote) => Some(&quote.fill),
                EventBody::OrderCanceled(canceled)
                    if header.reason == Reason::ProtectionTripped.code() =>
                {
                    self.pull(&mut pulling, firm, &canceled.order);
                    return;
                }
                EventBody::QuoteCanceled(quote)
                    if header.reason == Reason::ProtectionTripped.code() =>
                {
                    self.pull(&mut pulling, firm, &quote.canceled.order);
                    return;
                }
                _ => None,
            };
            pulling = None;
            due = due.map(|(limit, events)| {
                assert!(events > 0, "a trip comes before anything else");
                (limit, events - 1)
            });
            let Some(fill) = trips.filter(|fill| fill.liquidity == 1) else {
                return;
            };
            let group = self.groups.get_mut(&(firm, fill.order.protection_group));
            let lots = fill.last_quantity.0.cast_signed();
            let lots = if fill.order.side == BUY { lots } else { -lots };
            due = group
                .and_then(|group| group.fill(now, lots))
                .map(|limit| (limit, 1));
        });
        assert_eq!(due, None, "a limit was reached");
    }

    /// What ends does so in ascending order, and is of the group that tripped.
    fn pull(&mut self, pulling: &mut Option<(u32, u16, u64)>, firm: u32, order: &OrderState) {
        let (tripped_firm, group, last) = pulling.unwrap();
        assert_eq!((firm, order.protection_group), (tripped_firm, group));
        assert!(last < order.order_id.0);
        *pulling = Some((firm, group, order.order_id.0));
        self.pulled += 1;
    }

    fn is_frozen(&self, firm: u32, group: u16, now: u64) -> bool {
        let found = self.groups.get(&(firm, group));
        found.is_some_and(|group| now < group.frozen_until)
    }

    fn check_books(&self, engine: &Engine) {
        let now = engine.sequenced_at().0;
        for id in 1..=4 {
            for side in [Side::Buy, Side::Sell] {
                for (session, order) in engine.resting(InstrumentId(id), side) {
                    let group = order.protection_group;
                    assert!(!self.is_frozen(firm_of(session), group, now), "{order:?}");
                }
            }
        }
    }
}

/// A command drawn at random, applied and watched.
fn random_command(floor: &mut Floor, watch: &mut Watch, random: &mut Random, next_id: &mut u64) {
    let session = 1 + random.below(4) as u32;
    let group = random.below(3) as u16;
    *next_id += 1;
    let id = *next_id;
    let stp = [0, 0, 0, 1, 2, 3, 4][random.below(7) as usize];
    if random.below(8) == 0 {
        let later = floor.driver.next_time() + random.below(2 * MILLISECOND);
        floor.driver.wait_until(later);
    }
    let now = floor.driver.next_time();
    match random.below(40) {
        0..=17 => {
            let entries: Vec<_> = (0..1 + random.below(6))
                .map(|_| {
                    let price = 96 + random.below(8) as i64;
                    let ask = price + 1 + random.below(3) as i64;
                    let lots = [random.below(9), random.below(9)];
                    QuoteEntry {
                        layer: random.below(3) as u16,
                        not_stated: [0, 0, 0, 1, 2][random.below(5) as usize],
                        ..two_sided(1 + random.below(2) as u32, (price, lots[0]), (ask, lots[1]))
                    }
                })
                .collect();
            let head = MassQuoteHead {
                protection_group: group,
                instructions: u8::from(random.below(6) == 0),
                self_trade_prevention: stp,
                ..MassQuoteHead::default()
            };
            let withdraws = entries.iter().all(|entry| {
                let bid = entry.not_stated & 1 != 0 || entry.bid_quantity.0 == 0;
                bid && (entry.not_stated & 2 != 0 || entry.ask_quantity.0 == 0)
            });
            let said = floor.quote_with(session, head, &entries);
            let frozen = !withdraws && watch.is_frozen(firm_of(SessionId(session)), group, now);
            assert_eq!(
                said[0].contains("answered ProtectionFrozen"),
                frozen,
                "{said:?}"
            );
        }
        18..=30 => {
            let order = EnterOrder {
                protection_group: group,
                self_trade_prevention: stp,
                ..venue::enter(
                    id,
                    1 + random.below(2) as u32,
                    1 + random.below(2) as u8,
                    [0, 0, 1, 3, 4][random.below(5) as usize],
                    96 + random.below(9) as i64,
                    1 + random.below(20),
                )
            };
            let rests = order.time_in_force < 3;
            let said = match random.below(6) {
                0 if rests => {
                    let display = Quantity(1 + random.below(order.quantity.0));
                    let terms = OrderTerms {
                        display,
                        ..OrderTerms::NONE
                    };
                    floor.apply(session, EnterOrderWithTerms { order, terms })
                }
                1 if rests => {
                    let stop_price = Price(96 + random.below(9) as i64);
                    let terms = OrderTerms {
                        stop_price,
                        ..OrderTerms::NONE
                    };
                    let order = EnterOrder {
                        order_type: 4,
                        ..order
                    };
                    floor.apply(session, EnterOrderWithTerms { order, terms })
                }
                _ => floor.enter(session, order),
            };
            let frozen = watch.is_frozen(firm_of(SessionId(session)), group, now);
            assert_eq!(
                said[0].contains("rejected ProtectionFrozen"),
                frozen,
                "{said:?}"
            );
        }
        31 => {
            let original = 1 + random.below(id);
            let price = 96 + random.below(9) as i64;
            let replace = venue::replace(id, original, 0, price, 1 + random.below(20));
            floor.apply(session, replace);
        }
        32 => {
            let request = QuoteCancel {
                quote_id: ClientOrderId::from_u64(id),
                instrument: InstrumentId(1),
                protection_group: group,
                layer: random.below(3) as u16,
                scope: 1 + random.below(4) as u8,
                ..QuoteCancel::default()
            };
            floor.apply(session, request);
        }
        33 => {
            let request = MassCancel {
                client_order_id: ClientOrderId::from_u64(id),
                scope: 1,
                ..MassCancel::default()
            };
            floor.apply(session, request);
        }
        34 => {
            let gone = SessionDisconnected {
                reason: Reason::GoingAway.code(),
                ..SessionDisconnected::default()
            };
            floor.apply(session, gone);
            floor.apply(session, SessionLogon::default());
            floor.driver.generation[session as usize] += 1;
        }
        35..=36 => {
            let protection = ConfigureProtection {
                quantity: Quantity([0, 5, 30][random.below(3) as usize]),
                net: Quantity([0, 5, 20][random.below(3) as usize]),
                fills: [0, 1, 4][random.below(3) as usize],
                frozen_ms: random.below(3) as u32,
                ..window(1 + random.below(2) as u32)
            };
            floor.protect(session, group.max(1), protection);
            let name = (firm_of(SessionId(session)), group.max(1));
            let watched = watch.groups.entry(name).or_default();
            // It looks at the old window, and at the new one, when it is set.
            for window_ms in [watched.protection.window_ms, protection.window_ms] {
                let window = u64::from(window_ms) * MILLISECOND;
                watched.fills.retain(|(at, _)| at + window > now);
            }
            watched.protection = protection;
        }
        37..=38 => {
            let said = floor.reset(session, group.max(1));
            let name = (firm_of(SessionId(session)), group.max(1));
            let known = watch.groups.get_mut(&name);
            assert_eq!(said[0].contains("ProtectionInvalid"), known.is_none());
            if let Some(watched) = known {
                watched.fills.clear();
                watched.frozen_until = 0;
            }
        }
        _ if random.below(20) == 0 => {
            floor.apply(0, day(20_260_102 + id as u32));
        }
        _ => floor.last.clear(),
    }
    watch.see(&floor.last);
    watch.check_books(&floor.driver.engine);
}

#[test]
fn whatever_happens_groups_trip_when_their_fills_say_so() {
    let (mut tripped, mut pulled) = (0, 0);
    for seed in 1..=20 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut floor = Floor::new();
        let mut watch = Watch::default();
        let mut next_id = 0;
        for _ in 0..1_500 {
            random_command(&mut floor, &mut watch, &mut random, &mut next_id);
        }
        tripped += watch.tripped;
        pulled += watch.pulled;
    }
    println!("{tripped} trips, {pulled} orders pulled");
    assert!(tripped > 500 && pulled > 1_000);
}
