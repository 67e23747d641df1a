//! What the oracle once found the engine to do otherwise than `protocol/ORDERS.md` says: the
//! shortest commands that show each.

mod support;

use support::venue::{self, Driver, NO_PRICE, enter, replace};
use trading_engine::engine::command::{
    DayRoll, DefineInstrument, DefineSession, DefineTickTable, EnterOrder, EnterOrderWithTerms,
    MassQuoteHead, OrderStatusRequest, OrderTerms, QuoteEntry, SessionDisconnected, SessionLogon,
    SetPhase, Tick,
};
use trading_engine::engine::event::EventBody;
use trading_engine::limits::EngineLimits;
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, InstrumentId, Price, Quantity, Reason, SessionId, SessionProtocol,
    Side,
};

const ONE: SessionId = SessionId(1);
const DAY: u8 = 0;
const NEXT_DAY: DayRoll = DayRoll {
    trading_day: 20_260_102,
    reserved: 0,
};
const GOOD_TILL_CANCEL: u8 = 1;

fn small() -> EngineLimits {
    EngineLimits {
        orders: 1 << 10,
        client_order_ids: 1 << 12,
        ..EngineLimits::default()
    }
}

fn world() -> Driver {
    Driver::world(small(), 2, 1)
}

/// Name of each event's kind with the client order id and the reason that it states.
fn told(bytes: &[u8]) -> Vec<(&'static str, u64, Reason)> {
    let mut told = Vec::new();
    let number = |id: &ClientOrderId| id.as_u64().unwrap_or(0);
    venue::for_each_event(bytes, |header, body| {
        let (kind, id) = match body {
            EventBody::OrderAccepted(e) => ("accepted", number(&e.order.client_order_id)),
            EventBody::OrderAcceptedWithTerms(e) => ("accepted", number(&e.order.client_order_id)),
            EventBody::OrderReplaced(e) => ("replaced", number(&e.order.client_order_id)),
            EventBody::OrderTriggered(e) => ("triggered", number(&e.order.client_order_id)),
            EventBody::OrderCanceled(e) => ("ended", number(&e.order.client_order_id)),
            EventBody::OrderRestated(e) => ("restated", number(&e.order.client_order_id)),
            EventBody::OrderRejected(e) => ("rejected", number(&e.client_order_id)),
            EventBody::RequestRejected(e) => ("refused", number(&e.client_order_id)),
            EventBody::Fill(e) => ("fill", number(&e.order.client_order_id)),
            EventBody::SessionClosed(_) => ("closed", 0),
            EventBody::DayRolled(_) => ("rolled", 0),
            EventBody::LogonAnswered(_) => ("logged on", 0),
            _ => ("other", 0),
        };
        told.push((kind, id, Reason::try_from(header.reason).unwrap()));
    });
    told
}

fn kinds(bytes: &[u8]) -> Vec<(&'static str, u64)> {
    (told(bytes).into_iter())
        .map(|(kind, id, _)| (kind, id))
        .collect()
}

fn stop_limit(id: u64, side: u8, stop: i64, price: i64) -> EnterOrderWithTerms {
    EnterOrderWithTerms {
        order: EnterOrder {
            order_type: 4,
            ..enter(id, 1, side, GOOD_TILL_CANCEL, price, 10)
        },
        terms: OrderTerms {
            stop_price: Price(stop),
            ..OrderTerms::NONE
        },
    }
}

/// Stops: "released one at a time ... before the next is looked for", until none is left.
#[test]
fn all_stops_that_a_trade_reached_are_released() {
    let (mut driver, mut out) = (world(), Vec::new());
    driver.apply(ONE, stop_limit(1, 1, 100, 95), &mut out);
    driver.apply(ONE, stop_limit(2, 1, 100, 95), &mut out);
    driver.apply(ONE, enter(3, 1, 2, DAY, 100, 1), &mut out);
    out.clear();
    driver.apply(ONE, enter(4, 1, 1, DAY, 100, 1), &mut out);
    let expected = [
        ("accepted", 4),
        ("fill", 3),
        ("fill", 4),
        ("triggered", 1),
        ("triggered", 2),
    ];
    assert_eq!(kinds(&out), expected);
}

/// The prices that traded are of one instrument; in a debug build the key of a price below
/// another instrument's lowest overflows.
#[test]
fn a_trade_releases_stops_of_its_instrument_only() {
    let (mut driver, mut out) = (world(), Vec::new());
    let mut other = stop_limit(1, 1, 80, 70);
    other.order.instrument = InstrumentId(2);
    driver.apply(ONE, other, &mut out);
    driver.apply(ONE, stop_limit(2, 1, 100, 95), &mut out);
    driver.apply(ONE, enter(3, 1, 2, DAY, 100, 1), &mut out);
    driver.apply(ONE, enter(4, 1, 1, DAY, 100, 1), &mut out);
    // A trade at 50 in the second instrument reaches no stop at 80.
    driver.apply(ONE, enter(5, 2, 2, DAY, 50, 1), &mut out);
    out.clear();
    driver.apply(ONE, enter(6, 2, 1, DAY, 50, 1), &mut out);
    assert_eq!(kinds(&out), [("accepted", 6), ("fill", 5), ("fill", 6)]);
}

/// A session whose numbers restart, with an order that outlives the day.
fn restarting(grace_ms: u32) -> Driver {
    let session = DefineSession {
        reset_at_day_roll: 1,
        ..venue::session(1, SessionProtocol::Binary)
    };
    let mut driver = Driver::world_of(small(), 1, &[session]);
    let logon = SessionLogon {
        cancel_on_disconnect: 1,
        cancel_grace_ms: grace_ms,
        ..SessionLogon::default()
    };
    driver.logon_with(ONE, logon, &mut Vec::new());
    let order = enter(1, 1, 1, GOOD_TILL_CANCEL, 100, 1);
    driver.apply(ONE, order, &mut Vec::new());
    driver
}

/// The day roll: "sessions whose numbers restart are closed ...; every order that stays is
/// restated": neither a lost connection nor a logout, so that orders stay.
#[test]
fn the_day_roll_is_no_lost_connection() {
    let (mut driver, mut out) = (restarting(0), Vec::new());
    driver.apply(SessionId(0), NEXT_DAY, &mut out);
    assert_eq!(kinds(&out), [("closed", 0), ("restated", 1), ("rolled", 0)]);
    driver.restart_numbers(ONE);
    out.clear();
    driver.logon(ONE, &mut out);
    assert_eq!(kinds(&out), [("logged on", 0)]);
}

/// A lost connection without a grace cancels with the command itself, and does so.
#[test]
fn a_lost_connection_without_a_grace_cancels_at_once() {
    let (mut driver, mut out) = (restarting(0), Vec::new());
    driver.apply(ONE, SessionDisconnected::default(), &mut out);
    assert_eq!(kinds(&out), [("closed", 0), ("ended", 1)]);
}

/// A venue that ends again and again, or stays away for long, takes nobody's time to come back.
#[test]
fn a_venue_that_was_away_waits_anew_for_everyone() {
    const SECOND: u64 = 1_000_000_000;
    let back = SessionDisconnected {
        reason: Reason::GoingAway.code(),
        grace_ms: 5_000,
        after_restart: 1,
        ..SessionDisconnected::default()
    };
    let (mut driver, mut out) = (restarting(1_000), Vec::new());
    driver.apply(ONE, SessionDisconnected::default(), &mut out);
    assert_eq!(kinds(&out), [("closed", 0)]);
    // Its second is over three times, and nobody was there to come back to.
    for _ in 0..3 {
        out.clear();
        let later = driver.next_time() + 7 * SECOND;
        driver.wait_until(later);
        driver.apply(ONE, back, &mut out);
        assert_eq!(kinds(&out), []);
        driver.wait_until(later + 5 * SECOND - 1);
        driver.apply(SessionId(0), Tick::default(), &mut out);
        assert_eq!(kinds(&out), []);
    }
    driver.apply(SessionId(0), Tick::default(), &mut out);
    assert_eq!(kinds(&out), [("ended", 1)]);
}

/// Replacing: "at or below what is filled, the order ends Filled"; "a post-only order's replace
/// that would trade is refused", and this one leaves nothing to trade.
#[test]
fn a_post_only_order_can_be_replaced_to_filled_at_any_price() {
    let (mut driver, mut out) = (world(), Vec::new());
    let post_only = EnterOrder {
        instructions: 1,
        ..enter(1, 1, 1, DAY, 100, 10)
    };
    driver.apply(ONE, post_only, &mut out);
    driver.apply(ONE, enter(2, 1, 2, DAY, 100, 4), &mut out);
    driver.apply(ONE, enter(3, 1, 2, DAY, 101, 1), &mut out);
    out.clear();
    driver.apply(ONE, replace(4, 1, 1, 101, 4), &mut out);
    assert_eq!(told(&out), [("replaced", 4, Reason::ReplacedToFilled)]);
}

/// Order of checks: display quantity, then "a Market order that rests".
#[test]
fn a_market_order_has_no_display_quantity() {
    let (mut driver, mut out) = (world(), Vec::new());
    let order = enter(1, 1, 1, DAY, NO_PRICE.0, 10);
    let terms = OrderTerms {
        display: Quantity(5),
        ..OrderTerms::NONE
    };
    driver.apply(ONE, EnterOrderWithTerms { order, terms }, &mut out);
    assert_eq!(
        told(&out),
        [("rejected", 1, Reason::DisplayQuantityInvalid)]
    );
}

/// `OrderRestated::shown` is what is shown now: of a stop that waits, nothing.
#[test]
fn a_waiting_stop_that_is_carried_over_shows_nothing() {
    let (mut driver, mut out) = (world(), Vec::new());
    let mut stop = stop_limit(1, 1, 100, 95);
    stop.terms.display = Quantity(3);
    driver.apply(ONE, stop, &mut out);
    out.clear();
    driver.apply(SessionId(0), NEXT_DAY, &mut out);
    let mut shown = Vec::new();
    venue::for_each_event(&out, |_, body| {
        if let EventBody::OrderRestated(e) = body {
            shown.push(e.shown.0);
        }
    });
    assert_eq!(shown, [0]);
}

/// `EnterOrder::possible_resend`: "a used ClOrdID is no new order and gets no answer". A reject
/// would tell the client that its open order never was.
#[test]
fn a_possible_resend_gets_no_answer_when_ids_are_exhausted() {
    let limits = EngineLimits {
        orders: 1,
        client_order_ids: 1,
        ..EngineLimits::default()
    };
    let (mut driver, mut out) = (Driver::world(limits, 1, 1), Vec::new());
    let order = enter(1, 1, 1, DAY, 100, 1);
    driver.apply(ONE, order, &mut out);
    out.clear();
    let again = EnterOrder {
        possible_resend: 1,
        ..order
    };
    driver.apply(ONE, again, &mut out);
    assert_eq!(
        told(&out),
        [("other", 0, Reason::DuplicateClientOrderId)],
        "CommandRefused, for metrics and logs"
    );
}

/// An order that traded in one step and goes on without a trade in the next, here because all
/// others are its own, releases stops as any other. (What traded is then kept, as above.)
#[test]
fn all_trades_of_an_order_of_several_steps_release_stops() {
    let (mut driver, mut out) = (world(), Vec::new());
    driver.apply(ONE, stop_limit(1, 1, 100, 95), &mut out);
    for id in 0..300 {
        let order = EnterOrder {
            account: AccountId(u32::from(id > 0)),
            ..enter(10 + id, 1, 2, DAY, 100, 1)
        };
        driver.apply(ONE, order, &mut out);
    }
    out.clear();
    let order = EnterOrder {
        account: AccountId(1),
        self_trade_prevention: 2,
        ..enter(2, 1, 1, DAY, 100, 300)
    };
    driver.apply(ONE, order, &mut out);
    assert_eq!(kinds(&out).last(), Some(&("triggered", 1)));
}

/// An order that trades in several steps releases stops as any other.
#[test]
fn a_sweep_of_several_steps_releases_stops() {
    let (mut driver, mut out) = (world(), Vec::new());
    driver.apply(ONE, stop_limit(1, 1, 100, 95), &mut out);
    for id in 0..300 {
        driver.apply(ONE, enter(10 + id, 1, 2, DAY, 100, 1), &mut out);
    }
    out.clear();
    driver.apply(ONE, enter(2, 1, 1, DAY, 100, 300), &mut out);
    assert_eq!(kinds(&out).last(), Some(&("triggered", 1)));
}

/// When each instrument's indicative price was published, milliseconds.
fn published(commands: &[(u64, u32, bool)]) -> Vec<(u64, u32)> {
    let mut driver = world();
    let sink = &mut Vec::new();
    for (at, instrument, begins) in commands {
        driver.wait_until(1_000_000_000 + at * 1_000_000);
        if *begins {
            driver.apply(SessionId(0), set_phase(*instrument, OPENING), sink);
        } else if *instrument != 0 {
            for side in [1, 2] {
                let id = at * 2 + u64::from(side);
                driver.apply(ONE, enter(id, *instrument, side, DAY, 100, 1), sink);
            }
        } else {
            driver.apply(SessionId(0), Tick::default(), sink);
        }
    }
    let mut published = Vec::new();
    venue::for_each_event(sink, |header, body| {
        if let EventBody::AuctionIndicative(e) = body {
            let at = (header.sequenced_at.0 - 1_000_000_000) / 1_000_000;
            published.push((at, e.instrument.0));
        }
    });
    published
}

/// A tick each 10 ms.
fn ticks(mut commands: Vec<(u64, u32, bool)>) -> Vec<(u64, u32, bool)> {
    commands.extend((1..60).map(|n| (n * 10, 0, false)));
    commands.sort_by_key(|command| command.0);
    commands
}

#[test]
fn each_instrument_s_indicative_price_has_a_time_of_its_own() {
    let begin = vec![(0, 1, true), (0, 2, true)];
    // Looked at 200 ms after the phase began, when nothing was due any more.
    let changes = vec![(201, 1, false), (251, 2, false)];
    let told = published(&ticks([begin, changes].concat()));
    assert_eq!(told, [(310, 1), (360, 2)]);
}

#[test]
fn a_phase_that_begins_does_not_put_off_another_instrument_s_indicative_price() {
    let commands = vec![(0, 1, true), (201, 1, false), (291, 2, true)];
    assert_eq!(published(&ticks(commands)), [(310, 1)]);
}

const OPENING: u8 = 3;
const LEAST: Price = Price(9_900);

fn set_phase(instrument: u32, phase: u8) -> SetPhase {
    SetPhase {
        instrument: InstrumentId(instrument),
        phase,
        ..SetPhase::default()
    }
}

/// A quote in the first instrument and layer; 0 lots of a side: it is not stated.
fn quote(driver: &mut Driver, id: u64, group: u16, entry: u64, bid: (i64, u64), ask: (i64, u64)) {
    let head = MassQuoteHead {
        quote_id: ClientOrderId::from_u64(id),
        protection_group: group,
        ..MassQuoteHead::default()
    };
    let entry = QuoteEntry {
        entry_id: ClientOrderId::from_u64(entry),
        instrument: InstrumentId(1),
        not_stated: u8::from(bid.1 == 0) | u8::from(ask.1 == 0) << 1,
        bid_price: Price(bid.0),
        bid_quantity: Quantity(bid.1),
        ask_price: Price(ask.0),
        ask_quantity: Quantity(ask.1),
        ..QuoteEntry::default()
    };
    let words = driver.mass_quote(ONE, &head, &[entry]);
    driver.apply_words(&words, &mut Vec::new());
}

#[test]
fn the_status_of_one_quote_is_asked_by_its_order_id() {
    let mut driver = world();
    quote(&mut driver, 1, 0, 1, (100, 5), (0, 0));
    let (_, resting) = (driver.engine)
        .resting(InstrumentId(1), Side::Buy)
        .next()
        .expect("the quote rests");
    let asks = OrderStatusRequest {
        client_order_id: ClientOrderId::from_u64(1),
        order_id: resting.order_id,
        ..OrderStatusRequest::default()
    };
    let mut sink = Vec::new();
    driver.apply(ONE, asks, &mut sink);
    venue::for_each_event(&sink, |header, body| {
        assert_eq!(header.reason, 0, "{body:?}");
        assert!(matches!(body, EventBody::QuoteStatusAnswered(e) if e.report.is_quote == 1));
    });
}

#[test]
fn the_middle_of_an_auction_s_prices_is_of_those_on_tick() {
    let mut driver = Driver::world(small(), 0, 1);
    let sink = &mut Vec::new();
    let mut table = DefineTickTable {
        table: 1,
        ..DefineTickTable::default()
    };
    let steps = [(9_990, 1), (10_000, 2), (10_004, 4)];
    for (step, (from, tick)) in table.steps.iter_mut().zip(steps) {
        step.from = Price(from);
        step.tick = tick;
    }
    driver.apply(SessionId(0), table, sink);
    let instrument = DefineInstrument {
        price_min: LEAST,
        price_max: Price(10_100),
        tick_table: 1,
        first_phase: OPENING,
        ..venue::instrument(1)
    };
    driver.apply(SessionId(0), instrument, sink);
    // 3 lots trade without a surplus at 9,997, 9,998, 9,999, 10,000, 10,002 and 10,004.
    let at_the_opening = EnterOrder {
        order_type: 1,
        ..enter(1, 1, 1, 2, NO_PRICE.0, 3)
    };
    driver.apply(ONE, at_the_opening, sink);
    driver.apply(ONE, enter(2, 1, 1, DAY, 9_996, 3), sink);
    driver.apply(ONE, enter(3, 1, 2, DAY, 9_996, 3), sink);
    driver.apply(ONE, enter(4, 1, 2, DAY, 10_008, 2), sink);
    sink.clear();
    driver.apply(SessionId(0), set_phase(1, 0), sink);
    let mut prices = Vec::new();
    venue::for_each_event(sink, |_, body| {
        if let EventBody::AuctionUncrossed(e) = body {
            prices.push(e.price.0);
        }
    });
    assert_eq!(prices, [10_000], "(9,997 + 10,004) / 2, rounded down");
}

#[test]
fn a_post_only_order_at_the_close_does_not_trade_at_once() {
    let mut driver = world();
    let sink = &mut Vec::new();
    driver.apply(ONE, enter(1, 1, 2, DAY, 100, 5), sink);
    sink.clear();
    // Parked until the closing auction.
    let at_the_close = EnterOrder {
        instructions: 1,
        ..enter(2, 1, 1, 7, 100, 5)
    };
    driver.apply(ONE, at_the_close, sink);
    assert_eq!(told(sink), [("accepted", 2, Reason::None)]);
}
