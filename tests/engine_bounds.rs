//! Commands of many beside many: what a protection trip, an interruption, a kill switch or a look for
//! nothing costs does not grow in one step with what the firm or the instrument has in the books. The
//! steps of a command are counted, and what it does is in ascending order id however many there are.

mod support;

use support::venue::{self, Driver, enter, for_each_event};
use trading_engine::engine::command::{
    ConfigureProtection, DayRoll, DefineInstrument, DefineSession, EnterOrder, KillSwitch,
    MassCancel, MassQuoteHead, QuoteEntry, SetReference,
};
use trading_engine::engine::event::EventBody;
use trading_engine::limits::{EngineLimits, STEP_VISITS_MAX};
use trading_engine_protocol::types::{
    ClientOrderId, InstrumentId, KillScope, Price, Quantity, Roles, SessionId, SessionProtocol,
};

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
            firm: trading_engine_protocol::types::FirmId(if id == 3 { 2 } else { 1 }),
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
