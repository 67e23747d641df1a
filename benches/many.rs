//! What ends a few orders beside 200,000 others: the longest step and the whole command.
//!
//! * `trip`: a fill trips a protection group of four quotes; the firm has 200,000 other orders.
//! * `interruption`: an order that reaches too far ends two quotes of an instrument in which 200,000
//!   other orders rest.
//! * `mass cancel of nothing`: a firm with 200,000 orders cancels those of a side on which it has none.
//!
//! Steps are `Engine::apply` and each `resume`. The least of 21 runs, microseconds: a step that the
//! system interrupts says nothing of the core.
//!
//! `cargo bench --bench many`

#[path = "../tests/support/venue.rs"]
#[allow(dead_code)]
mod venue;

use std::time::Instant;

use trading_engine::engine::command::{
    Body, ConfigureProtection, DefineInstrument, DefineSession, MassCancel, MassQuoteHead,
    QuoteEntry, ResetProtection, SetPhase, SetReference,
};
use trading_engine::engine::{Engine, Progress};
use trading_engine::limits::EngineLimits;
use trading_engine_protocol::types::{
    ClientOrderId, FirmId, InstrumentId, Price, Quantity, Roles, SessionId, SessionProtocol,
};
use venue::{Aligned, Driver, enter};

const OTHERS: u64 = 200_000;
const RUNS: u64 = 21;
const MAKER: SessionId = SessionId(1);
const TAKER: SessionId = SessionId(2);

fn floor() -> Driver {
    let limits = EngineLimits {
        orders: 1 << 18,
        ..EngineLimits::default()
    };
    let sessions = [1, 2].map(|id| DefineSession {
        firm: FirmId(id),
        roles: Roles::RISK.0,
        ..venue::session(id, SessionProtocol::Binary)
    });
    let mut driver = Driver::world_of(limits, 2, &sessions);
    driver.engine.touch(|_, _| ());
    let sink = &mut Vec::with_capacity(1 << 16);
    let bounded = DefineInstrument {
        dynamic_band: 50,
        ..venue::instrument(1)
    };
    driver.apply(SessionId(0), bounded, sink);
    let reference = SetReference {
        instrument: InstrumentId(1),
        price: Price(100_000),
        ..SetReference::default()
    };
    driver.apply(SessionId(0), reference, sink);
    for number in 0..OTHERS {
        let price = 1_000 + (number as i64 * 7_919) % 50_000;
        driver.apply(MAKER, enter(number + 1, 1, 1, 1, price, 5), sink);
        sink.clear();
    }
    let protect = ConfigureProtection {
        client_order_id: ClientOrderId::from_u64(1),
        protection_group: 7,
        window_ms: 1,
        fills: 1,
        ..ConfigureProtection::default()
    };
    driver.apply(MAKER, protect, sink);
    driver
}

/// Longest step and whole command, microseconds.
fn timed<B: Body>(driver: &mut Driver, session: SessionId, body: B) -> (f64, f64) {
    let command = driver.command(session, body);
    let mut bytes = Aligned([0u8; 512]);
    let length = command.header.length as usize;
    let [header, body] = command.parts();
    bytes.0[..header.len()].copy_from_slice(header);
    bytes.0[header.len()..length].copy_from_slice(body);
    let mut sink = Vec::with_capacity(1 << 20);
    let engine: &mut Engine = &mut driver.engine;
    let begun = Instant::now();
    let mut progress = engine.apply_bytes(&bytes.0[..length], &mut sink).unwrap();
    let mut longest = begun.elapsed();
    while progress == Progress::More {
        let step = Instant::now();
        progress = engine.resume(&mut sink);
        longest = longest.max(step.elapsed());
    }
    let micros = |time: std::time::Duration| time.as_nanos() as f64 / 1e3;
    (micros(longest), micros(begun.elapsed()))
}

fn quote(driver: &mut Driver) {
    let head = MassQuoteHead {
        quote_id: ClientOrderId::from_u64(1),
        protection_group: 7,
        ..MassQuoteHead::default()
    };
    let entry = |instrument, bid, ask| QuoteEntry {
        instrument: InstrumentId(instrument),
        bid_price: Price(bid),
        bid_quantity: Quantity(10),
        ask_price: Price(ask),
        ask_quantity: Quantity(10),
        ..QuoteEntry::default()
    };
    let entries = [entry(1, 100_000, 100_100), entry(2, 1_600, 1_610)];
    let words = driver.mass_quote(MAKER, &head, &entries);
    driver.apply_words(&words, &mut Vec::new());
}

fn report(name: &str, runs: &[(f64, f64)]) {
    let least = |of: fn(&(f64, f64)) -> f64| runs.iter().map(of).fold(f64::MAX, f64::min);
    let (longest, whole) = (least(|run| run.0), least(|run| run.1));
    println!("{name:<28}{longest:>14.1}{whole:>14.1}");
}

fn main() {
    println!("us beside {OTHERS} others      longest step   whole command");
    let mut driver = floor();
    let sink = &mut Vec::new();
    let mut runs = Vec::new();
    for number in 0..RUNS {
        quote(&mut driver);
        let taker = enter(number + 1, 2, 1, 3, 1_610, 1);
        runs.push(timed(&mut driver, TAKER, taker));
        let reset = ResetProtection {
            client_order_id: ClientOrderId::from_u64(1),
            protection_group: 7,
            ..ResetProtection::default()
        };
        driver.apply(MAKER, reset, sink);
    }
    report("trip", &runs);
    let mut runs = Vec::new();
    for number in 0..RUNS {
        quote(&mut driver);
        let taker = enter(RUNS + number + 1, 1, 1, 3, 100_100, 1);
        runs.push(timed(&mut driver, TAKER, taker));
        let again = SetPhase {
            instrument: InstrumentId(1),
            ..SetPhase::default()
        };
        driver.apply(SessionId(0), again, sink);
    }
    report("interruption", &runs);
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let request = MassCancel {
            client_order_id: ClientOrderId::from_u64(1 << 30),
            scope: 2,
            side: 2,
            instrument: InstrumentId(1),
            ..MassCancel::default()
        };
        runs.push(timed(&mut driver, MAKER, request));
    }
    report("mass cancel of nothing", &runs);
    assert_eq!(u64::from(driver.engine.open_orders()), OTHERS + 2);
}
