//! Commands of many beside many: what a protection trip, an interruption, a kill switch or a look for
//! nothing costs does not grow in one step with what the firm or the instrument has in the books. The
//! steps of a command are counted, and what it does is in ascending order id however many there are.

mod support;

use std::time::{Duration, Instant};

use support::venue::{self, Driver, enter, for_each_event};
use trading_engine::engine::Progress;
use trading_engine::engine::command::{
    Body, ConfigureProtection, DayRoll, DefineInstrument, DefineSession, EnterOrder,
    EnterOrderWithTerms, KillSwitch, MassCancel, MassQuoteHead, OrderTerms, QuoteEntry, SetLimits,
    SetPhase, SetReference,
};
use trading_engine::engine::event::EventBody;
use trading_engine::limits::{EngineLimits, FEASIBILITY_VISITS_MAX, STEP_VISITS_MAX};
use trading_engine_protocol::types::{
    ClientOrderId, FirmId, InstrumentId, KillScope, OrderType, Price, Quantity, Reason, Roles,
    SelfTradePrevention, SessionId, SessionProtocol, TimeInForce, TradingPhase,
};
use zerocopy::IntoBytes;

const MAKER: SessionId = SessionId(1);
const OTHER: SessionId = SessionId(2);
const TAKER: SessionId = SessionId(3);
const BUY: u8 = 1;
const SELL: u8 = 2;
/// More than three parts that are sorted by themselves.
const OTHERS: u64 = 3 * STEP_VISITS_MAX as u64 + 77;

/// Sessions 1 and 2 of one firm, whose orders take turns in the book; 3 of another.
fn floor() -> Driver {
    let limits = EngineLimits {
        orders: 1 << 13,
        client_order_ids: 1 << 14,
        price_pages: 1 << 8,
        instruments: 4,
        firms: 4,
        sessions: 4,
        ..EngineLimits::default()
    };
    let sessions = [1, 2, 3].map(|id| {
        let session = venue::session(id, SessionProtocol::Binary);
        DefineSession {
            firm: FirmId(if id == 3 { 2 } else { 1 }),
            roles: Roles::RISK.0,
            ..session
        }
    });
    let mut driver = Driver::world_of(limits, 2, &sessions);
    for number in 0..OTHERS {
        let session = [OTHER, MAKER, OTHER][number as usize % 3];
        let price = 1_000 + (number as i64 * 7_919) % 500;
        let order = enter(number + 1, 1, BUY, 0, price, 5);
        driver.apply(session, order, &mut Vec::new());
    }
    assert_eq!(u64::from(driver.engine.open_orders()), OTHERS);
    driver
}

/// Order ids of what ended, and how many steps it took beyond the first.
fn ended(driver: &mut Driver, act: impl FnOnce(&mut Driver, &mut Vec<u8>)) -> (Vec<u64>, u64) {
    let before = driver.resumed;
    let mut events = Vec::new();
    act(driver, &mut events);
    let mut ids = Vec::new();
    for_each_event(&events, |_, body| match body {
        EventBody::OrderCanceled(event) => ids.push(event.order.order_id.0),
        EventBody::QuoteCanceled(event) => ids.push(event.canceled.order.order_id.0),
        _ => {}
    });
    (ids, driver.resumed - before)
}

fn quote(instrument: u32, bid: i64, ask: i64) -> QuoteEntry {
    QuoteEntry {
        instrument: InstrumentId(instrument),
        bid_price: Price(bid),
        bid_quantity: Quantity(10),
        ask_price: Price(ask),
        ask_quantity: Quantity(10),
        ..QuoteEntry::default()
    }
}

fn make_quotes(driver: &mut Driver, group: u16) {
    let head = MassQuoteHead {
        quote_id: ClientOrderId::from_u64(1),
        protection_group: group,
        ..MassQuoteHead::default()
    };
    let entries = [quote(1, 1_600, 1_610), quote(2, 1_600, 1_610)];
    let words = driver.mass_quote(MAKER, &head, &entries);
    driver.apply_words(&words, &mut Vec::new());
}

#[test]
fn a_trip_beside_many_orders_of_the_firm_pulls_its_group_in_a_few_steps() {
    let mut driver = floor();
    let protect = ConfigureProtection {
        client_order_id: ClientOrderId::from_u64(1 << 20),
        protection_group: 7,
        window_ms: 1_000,
        fills: 1,
        ..ConfigureProtection::default()
    };
    driver.apply(MAKER, protect, &mut Vec::new());
    make_quotes(&mut driver, 7);
    let (ids, steps) = ended(&mut driver, |driver, events| {
        driver.apply(TAKER, enter(1, 1, BUY, 0, 1_610, 1), events);
    });
    assert_eq!(ids.len(), 4);
    assert!(ids.is_sorted());
    assert!(steps <= 2, "{steps} steps");
}

#[test]
fn an_interruption_beside_many_orders_ends_the_quotes_in_a_few_steps() {
    let mut driver = floor();
    let sink = &mut Vec::new();
    let bounded = DefineInstrument {
        dynamic_band: 5,
        ..venue::instrument(1)
    };
    driver.apply(SessionId(0), bounded, sink);
    let reference = SetReference {
        instrument: InstrumentId(1),
        price: Price(1_500),
        ..SetReference::default()
    };
    driver.apply(SessionId(0), reference, sink);
    make_quotes(&mut driver, 0);
    let (ids, steps) = ended(&mut driver, |driver, events| {
        driver.apply(TAKER, enter(1, 1, BUY, 0, 1_610, 1), events);
    });
    // The order that went too far, and both sides of the quote in that instrument.
    assert_eq!(ids.len(), 3);
    assert!(steps <= 8, "{steps} steps");
}

/// Stops are marked in steps when they cannot be released, and found behind those that came later in steps, too.
#[test]
fn many_passed_stops_are_released_behind_many_that_came_later() {
    // Also as many as a step looks at, to the last one.
    for passed in [1_024, 2_048, 2_248] {
        passed_stops_are_released(passed);
    }
}

fn passed_stops_are_released(passed: u64) {
    const LATER: u64 = STEP_VISITS_MAX as u64 + 300;
    let mut driver = floor();
    let sink = &mut Vec::new();
    let stop = |id: u64, stop_price: u64| EnterOrderWithTerms {
        order: EnterOrder {
            order_type: OrderType::StopLimit.as_u8(),
            ..enter(id, 1, BUY, 0, 900, 1)
        },
        terms: OrderTerms {
            stop_price: Price(stop_price.cast_signed()),
            ..OrderTerms::NONE
        },
    };
    let phase = |phase: TradingPhase| SetPhase {
        instrument: InstrumentId(1),
        phase: phase.as_u8(),
        ..SetPhase::default()
    };
    let trade = |driver: &mut Driver, sink: &mut Vec<u8>, id: u64, price: i64| {
        driver.apply(TAKER, enter(id, 1, SELL, 0, price, 1), sink);
        driver.apply(OTHER, enter(id + 100_000, 1, BUY, 0, price, 1), sink);
    };
    for number in 0..passed {
        driver.apply(MAKER, stop(10_000 + number, 140_000 + number % 7), sink);
    }
    driver.apply(SessionId(0), phase(TradingPhase::ClosingAuction), sink);
    trade(&mut driver, sink, 1, 150_000);
    let before = driver.resumed;
    driver.apply(SessionId(0), phase(TradingPhase::Closed), sink);
    assert!(driver.resumed - before > passed / STEP_VISITS_MAX as u64);
    // They are no other instrument's.
    let mut elsewhere = Vec::new();
    let mut other = stop(30_000, 100_000);
    other.order.instrument = InstrumentId(2);
    driver.apply(MAKER, other, sink);
    let mut sell = enter(3, 2, SELL, 0, 1_000, 1);
    driver.apply(TAKER, sell, &mut elsewhere);
    sell = enter(4, 2, BUY, 0, 1_000, 1);
    driver.apply(TAKER, sell, &mut elsewhere);
    for_each_event(&elsewhere, |_, body| {
        assert!(!matches!(body, EventBody::OrderTriggered(_)), "{body:?}");
    });
    driver.apply(SessionId(0), phase(TradingPhase::OpeningAuction), sink);
    for number in 0..LATER {
        driver.apply(MAKER, stop(20_000 + number, 120_000 + number), sink);
    }
    trade(&mut driver, sink, 2, 110_000);
    let mut events = Vec::new();
    driver.apply(SessionId(0), phase(TradingPhase::Continuous), &mut events);
    let mut released = Vec::new();
    for_each_event(&events, |_, body| {
        if let EventBody::OrderTriggered(event) = body {
            let id = event.order.client_order_id;
            released.push(id);
        }
    });
    // From the lowest stop price up, at one price in the order of their waiting.
    let mut expected: Vec<u64> = (0..passed).collect();
    expected.sort_by_key(|number| number % 7);
    let expected: Vec<ClientOrderId> = (expected.iter())
        .map(|number| ClientOrderId::from_u64(10_000 + number))
        .collect();
    assert!(released == expected, "{} released", released.len());
}

#[test]
fn a_kill_switch_over_two_sessions_cancels_in_ascending_order_however_many_there_are() {
    let mut driver = floor();
    let kill = KillSwitch {
        client_order_id: ClientOrderId::from_u64(1 << 20),
        target: 1,
        scope: KillScope::Firm.as_u8(),
        ..KillSwitch::default()
    };
    let (ids, _) = ended(&mut driver, |driver, events| {
        driver.apply(MAKER, kill, events)
    });
    assert_eq!(ids.len() as u64, OTHERS);
    assert!(ids.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_mass_cancel_of_nothing_beside_many_orders_looks_at_them_in_steps() {
    let mut driver = floor();
    let request = MassCancel {
        client_order_id: ClientOrderId::from_u64(1 << 20),
        scope: 2,
        side: SELL,
        ..MassCancel::default()
    };
    let (ids, steps) = ended(&mut driver, |driver, events| {
        driver.apply(MAKER, request, events);
    });
    assert!(ids.is_empty());
    assert!(steps >= OTHERS / STEP_VISITS_MAX as u64, "{steps} steps");
}

#[test]
fn a_day_roll_expires_in_ascending_order_however_many_there_are() {
    let mut driver = floor();
    // Slots that are used again lie before those of older orders.
    for number in (1..=OTHERS).step_by(5) {
        let session = [OTHER, MAKER, OTHER][(number as usize - 1) % 3];
        let sink = &mut Vec::new();
        driver.apply(session, venue::cancel(1 << 20 | number, number), sink);
        let order: EnterOrder = enter(1 << 21 | number, 1, BUY, 0, 900, 1);
        driver.apply(session, order, sink);
    }
    let roll = DayRoll {
        trading_day: 20_260_105,
        ..DayRoll::default()
    };
    let (ids, _) = ended(&mut driver, |driver, events| {
        driver.apply(SessionId(0), roll, events);
    });
    assert_eq!(ids.len() as u64, OTHERS);
    assert!(ids.is_sorted_by(|a, b| a < b));
}

/// Whether an order is accepted, or why not.
fn answer(driver: &mut Driver, session: SessionId, order: EnterOrder) -> Option<Reason> {
    let mut events = Vec::new();
    driver.apply(session, order, &mut events);
    let mut reason = None;
    for_each_event(&events, |header, body| match body {
        EventBody::OrderAccepted(_) => reason = Some(Reason::None),
        EventBody::OrderRejected(_) => reason = Reason::try_from(header.reason).ok(),
        _ => {}
    });
    reason
}

#[test]
fn the_first_limits_of_a_firm_count_its_orders_in_steps() {
    let mut driver = floor();
    let set = SetLimits {
        firm: FirmId(1),
        open_orders: u32::try_from(OTHERS).unwrap() + 1,
        ..SetLimits::default()
    };
    let (_, steps) = ended(&mut driver, |driver, events| {
        driver.apply(SessionId(0), set, events);
    });
    assert!(steps >= OTHERS / STEP_VISITS_MAX as u64, "{steps} steps");
    for (id, expected) in [(1 << 20, Reason::None), (1 << 21, Reason::LimitOpenOrders)] {
        let order = enter(id, 1, BUY, 0, 900, 1);
        assert_eq!(answer(&mut driver, OTHER, order), Some(expected));
    }
    let order = enter(1, 1, BUY, 0, 900, 1);
    assert_eq!(answer(&mut driver, TAKER, order), Some(Reason::None));
}

#[test]
fn a_day_roll_forgets_its_ids_in_steps_and_all_of_them() {
    let mut driver = floor();
    for id in 1..=OTHERS {
        let sink = &mut Vec::new();
        driver.apply(TAKER, enter(id, 1, BUY, 0, 900, 1), sink);
        driver.apply(TAKER, venue::cancel(1 << 20 | id, id), sink);
    }
    let roll = |trading_day| DayRoll {
        trading_day,
        ..DayRoll::default()
    };
    driver.apply(SessionId(0), roll(20_260_105), &mut Vec::new());
    for id in 1..=OTHERS {
        let order = enter(id, 1, BUY, 3, 900, 1);
        assert_eq!(
            answer(&mut driver, TAKER, order),
            Some(Reason::None),
            "{id}"
        );
    }
    // Nothing is open: the slots are looked at, and then the ids.
    let (_, steps) = ended(&mut driver, |driver, events| {
        driver.apply(SessionId(0), roll(20_260_106), events);
    });
    let looks = 2 * OTHERS / STEP_VISITS_MAX as u64;
    assert!(steps >= looks, "{steps} steps");
}

/// An instrument and two sessions, each of its own firm, with room for some more orders than FOK looks at.
fn two_firms() -> Driver {
    let limits = EngineLimits {
        orders: 1 << 13,
        client_order_ids: 1 << 14,
        ..EngineLimits::default()
    };
    let sessions = [1, 2].map(|id| DefineSession {
        firm: FirmId(id),
        ..venue::session(id, SessionProtocol::Binary)
    });
    Driver::world_of(limits, 1, &sessions)
}

#[test]
fn fok_among_many_own_orders_looks_at_so_many_and_no_more() {
    let mut driver = two_firms();
    let most = FEASIBILITY_VISITS_MAX as u64;
    // The other firm's order is the last one that is looked at; the level was the first.
    for id in 1..most - 1 {
        driver.apply(MAKER, enter(id, 1, SELL, 0, 1_000, 1), &mut Vec::new());
    }
    driver.apply(OTHER, enter(1, 1, SELL, 0, 1_000, 2), &mut Vec::new());
    let id = std::cell::Cell::new(most);
    let ask = |driver: &mut Driver, instruction: SelfTradePrevention, lots| {
        id.set(id.get() + 1);
        let order = EnterOrder {
            self_trade_prevention: instruction.as_u8(),
            ..enter(
                id.get(),
                1,
                BUY,
                TimeInForce::FillOrKill.as_u8(),
                1_000,
                lots,
            )
        };
        let (mut events, mut reason) = (Vec::new(), None);
        driver.apply(MAKER, order, &mut events);
        for_each_event(&events, |header, body| match body {
            EventBody::OrderCanceled(_) => reason = Reason::try_from(header.reason).ok(),
            EventBody::Fill(_) => reason = Some(Reason::None),
            _ => {}
        });
        reason.unwrap()
    };
    let passes = SelfTradePrevention::FirmCancelOldest;
    let killed = Reason::FillOrKillUnfilled;
    assert_eq!(ask(&mut driver, passes, 3), killed, "one lot too few");
    driver.apply(MAKER, enter(most, 1, SELL, 0, 999, 1), &mut Vec::new());
    assert_eq!(ask(&mut driver, passes, 1), killed, "two too many in front");
    // With one order and its level less it is reached again.
    driver.apply(MAKER, venue::cancel(1 << 20, most), &mut Vec::new());
    let orders = u64::from(driver.engine.open_orders());
    assert_eq!(ask(&mut driver, passes, 1), Reason::None);
    // All of its own that was in front is gone: it was passed over.
    assert_eq!(u64::from(driver.engine.open_orders()), orders - (most - 2));
}

/// Among 199,000 levels an order that needs no self-trade prevention looked at all of them, in one step.
#[test]
fn fok_and_minimum_quantity_over_many_levels_look_at_so_many_and_no_more() {
    let mut driver = two_firms();
    let most = FEASIBILITY_VISITS_MAX as u64;
    for id in 1..=most + 1 {
        let price = 1_000 + id as i64;
        driver.apply(MAKER, enter(id, 1, SELL, 0, price, 1), &mut Vec::new());
    }
    let answer = |driver: &mut Driver, minimum: bool, id, lots| {
        let order = enter(
            id,
            1,
            BUY,
            if minimum {
                TimeInForce::ImmediateOrCancel.as_u8()
            } else {
                TimeInForce::FillOrKill.as_u8()
            },
            150_000,
            lots,
        );
        let mut events = Vec::new();
        if minimum {
            let terms = OrderTerms {
                minimum: Quantity(lots),
                ..OrderTerms::NONE
            };
            let order = EnterOrderWithTerms { order, terms };
            driver.apply(OTHER, order, &mut events);
        } else {
            driver.apply(OTHER, order, &mut events);
        }
        let mut reason = Reason::None;
        for_each_event(&events, |header, body| {
            if let EventBody::OrderCanceled(_) = body {
                reason = Reason::try_from(header.reason).unwrap();
            }
        });
        reason
    };
    let killed = Reason::FillOrKillUnfilled;
    assert_eq!(answer(&mut driver, false, 1, most + 1), killed);
    let unavailable = Reason::MinimumQuantityUnavailable;
    assert_eq!(answer(&mut driver, true, 2, most + 1), unavailable);
    assert_eq!(u64::from(driver.engine.open_orders()), most + 1);
    assert_eq!(answer(&mut driver, false, 3, most), Reason::None);
    assert_eq!(driver.engine.open_orders(), 1);
}

/// How long the steps of a command take.
fn timed<B: Body>(driver: &mut Driver, session: SessionId, body: B) -> String {
    let bytes = driver.command(session, body).to_bytes();
    let mut words = vec![0u64; bytes.len() / 8];
    words.as_mut_bytes().copy_from_slice(&bytes);
    let mut events = Vec::with_capacity(1 << 20);
    let mut steps: Vec<Duration> = Vec::with_capacity(1 << 16);
    let mut progress = Progress::More;
    while progress == Progress::More {
        events.clear();
        let step = Instant::now();
        progress = if steps.is_empty() {
            let bytes = words.as_bytes();
            driver.engine.apply_bytes(bytes, &mut events).unwrap()
        } else {
            driver.engine.resume(&mut events)
        };
        steps.push(step.elapsed());
    }
    let all: Duration = steps.iter().sum();
    steps.sort_unstable();
    let [median, most] = [50, 99].map(|part| steps[steps.len() * part / 100]);
    format!(
        "{all:?} in {} steps: half of them within {median:?}, 99 of 100 within {most:?}",
        steps.len()
    )
}

/// `cargo test --release --test engine_bounds -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_long_steps_beside_a_million_orders_take() {
    const ORDERS: u64 = 1_000_000;
    let limits = EngineLimits {
        orders: 1 << 20,
        client_order_ids: 1 << 21,
        price_pages: 1 << 12,
        instruments: 4,
        firms: 4,
        sessions: 4,
        ..EngineLimits::default()
    };
    let mut driver = Driver::world(limits, 2, 1);
    for id in 1..=ORDERS {
        let price = 1_000 + (id as i64 * 7_919) % 5_000;
        driver.apply(MAKER, enter(id, 1, BUY, 0, price, 5), &mut Vec::new());
    }
    assert_eq!(u64::from(driver.engine.open_orders()), ORDERS);
    let nothing = MassCancel {
        client_order_id: ClientOrderId::from_u64(1 << 40),
        scope: 1,
        side: SELL,
        ..MassCancel::default()
    };
    let took = timed(&mut driver, MAKER, nothing);
    println!("mass cancel of nothing: {took}");
    let set = SetLimits {
        firm: FirmId(1),
        open_orders: 1,
        ..SetLimits::default()
    };
    let took = timed(&mut driver, SessionId(0), set);
    println!("first limits: {took}");
    let roll = DayRoll {
        trading_day: 20_260_105,
        ..DayRoll::default()
    };
    let took = timed(&mut driver, SessionId(0), roll);
    println!("day roll, all orders end: {took}");
}
