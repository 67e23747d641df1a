//! What an engine holds after `touch` is what it ever holds: neither instruments whose orders are far from
//! each other nor full tables of orders, deadlines, limits and quotes make the process larger.
//!
//! Alone in its process, because the process is what is measured.

mod support;

use std::time::Instant;

use support::venue::{Driver, enter, instrument};
use trading_engine::engine::command::{
    EnterOrderWithTerms, KillSwitch, MassQuoteHead, OrderTerms, QuoteEntry, SetAccount, SetLimits,
};
use trading_engine::engine::event::EventSink;
use trading_engine::limits::EngineLimits;
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, FirmId, InstrumentId, KillScope, OrderType, Price, Quantity,
    SessionId, TimeInForce, UtcNanos,
};

const INSTRUMENTS: u32 = 4_000;
const BUY: u8 = 1;
const SELL: u8 = 2;
/// What the test itself and the allocator may take, bytes: the tables are more than two hundred times as much.
const NOISE: usize = 1 << 20;

/// Where events go that nobody reads.
struct Nowhere;

impl EventSink for Nowhere {
    fn write(&mut self, _: [&[u8]; 3]) {}
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<usize>().unwrap() << 10
}

/// A session's next order, with terms.
struct Orders {
    session: SessionId,
    next: u64,
}

impl Orders {
    fn enter(&mut self, driver: &mut Driver, instrument: u32, side: u8, price: i64, stop: bool) {
        self.next += 1;
        let gtd = TimeInForce::GoodTillDate.as_u8();
        let mut order = enter(self.next, instrument, side, gtd, price, 1);
        let mut terms = OrderTerms {
            expire_at: UtcNanos(u64::MAX >> 1),
            ..OrderTerms::NONE
        };
        if stop {
            order.order_type = OrderType::StopLimit.as_u8();
            terms.stop_price = Price(price);
        }
        let order = EnterOrderWithTerms { order, terms };
        driver.apply(self.session, order, &mut Nowhere);
    }
}

fn cancel_all(driver: &mut Driver) {
    let all = KillSwitch {
        scope: KillScope::Venue.as_u8(),
        cancels_only: 1,
        ..KillSwitch::default()
    };
    driver.apply(SessionId(0), all, &mut Nowhere);
    assert_eq!(driver.engine.open_orders(), 0);
}

#[test]
fn an_engine_that_was_touched_grows_no_more_whatever_comes() {
    let limits = EngineLimits {
        // So many that they would be seen.
        accounts: 1 << 18,
        ..EngineLimits::default()
    };
    let empty = resident();
    let started = Instant::now();
    let mut driver = Driver::world(limits, 0, 2);
    driver.engine.touch(|_, _| ());
    let took = started.elapsed();
    let touched = resident();
    let mut told = 0;
    driver.engine.memory(|_, bytes| told += bytes);
    println!(
        "before {} KiB, touched {} KiB in {took:?}, of which the tables are {} KiB",
        empty >> 10,
        touched >> 10,
        told >> 10
    );
    assert!(touched - empty >= told, "all of the tables is there");

    let mut sessions = [1, 2].map(|id| Orders {
        session: SessionId(id),
        next: 0,
    });
    for id in 1..=INSTRUMENTS {
        driver.apply(SessionId(0), instrument(id), &mut Nowhere);
        let far = i64::from(id % 7) * 64;
        let [one, other] = &mut sessions;
        one.enter(&mut driver, id, BUY, 1 + far, false);
        other.enter(&mut driver, id, SELL, 200_000 - far, false);
        one.enter(&mut driver, id, BUY, 150_000 + far, true);
        other.enter(&mut driver, id, SELL, 50_000 - far, true);
    }
    assert_eq!(driver.engine.open_orders(), 4 * INSTRUMENTS);
    let pages = limits.price_pages - 4 * INSTRUMENTS;
    assert_eq!(driver.engine.free_price_pages(), pages as usize);
    // Of more than one session: they are sorted.
    cancel_all(&mut driver);
    assert_eq!(
        driver.engine.free_price_pages(),
        limits.price_pages as usize
    );

    for at in 0..limits.orders {
        let [one, other] = &mut sessions;
        let from = if at % 2 == 0 { one } else { other };
        from.enter(&mut driver, 1 + at % 50, BUY, 100, false);
    }
    assert_eq!(driver.engine.open_orders(), limits.orders);
    for account in 0..limits.risk_limits {
        let set = SetLimits {
            firm: FirmId(1 + account % 2),
            account: AccountId(account),
            by_account: 1,
            open_orders: limits.orders,
            ..SetLimits::default()
        };
        driver.apply(SessionId(0), set, &mut Nowhere);
    }
    assert_eq!(driver.engine.risk_limits().count(), 1 << 10);
    cancel_all(&mut driver);
    for number in 0..limits.accounts {
        let account = SetAccount {
            firm: FirmId(1),
            account: AccountId(number),
            enabled: 1,
            ..SetAccount::default()
        };
        driver.apply(SessionId(0), account, &mut Nowhere);
    }
    assert_eq!(driver.engine.accounts().count(), 1 << 18);

    for layer in 0..4 {
        let ids: Vec<u32> = (1..=INSTRUMENTS).collect();
        for part in ids.chunks(100) {
            let entries: Vec<QuoteEntry> = part
                .iter()
                .map(|&id| QuoteEntry {
                    instrument: InstrumentId(id),
                    layer,
                    bid_price: Price(64 * (1 + i64::from(layer))),
                    bid_quantity: Quantity(1),
                    ..QuoteEntry::default()
                })
                .collect();
            let head = MassQuoteHead {
                quote_id: ClientOrderId::from_u64(1),
                ..MassQuoteHead::default()
            };
            let words = driver.mass_quote(SessionId(1), &head, &entries);
            driver.apply_words(&words, &mut Nowhere);
        }
    }
    assert_eq!(driver.engine.open_orders(), 4 * INSTRUMENTS);

    let grown = resident().saturating_sub(touched);
    println!("grown by {} KiB", grown >> 10);
    assert!(grown < NOISE, "{} KiB more", grown >> 10);
}
