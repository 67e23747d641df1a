//! What a hostile reading of the core found, through `Engine::apply`.

mod support;

use support::venue::{self, Driver};
use trading_engine::engine::Engine;
use trading_engine::engine::command::{
    Body, ConfigureProtection, DefineInstrument, DefineSession, EnterOrder, EnterOrderWithTerms,
    MassQuoteHead, OrderTerms, QuoteEntry, SetLimits, SetPhase, SetReference,
};
use trading_engine::engine::event::EventBody;
use trading_engine::limits::EngineLimits;
use trading_engine::market_data::depth::Depth;
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, FirmId, InstrumentId, OrderType, Price, Quantity, QuoteStatus,
    Reason, SessionId, SessionProtocol, Side, TradingPhase,
};

const BUY: u8 = 1;
const SELL: u8 = 2;
const DAY: u8 = 0;
const IOC: u8 = 3;

fn limits() -> EngineLimits {
    EngineLimits {
        orders: 1 << 12,
        client_order_ids: 1 << 13,
        price_pages: 1 << 10,
        instruments: 8,
        firms: 8,
        sessions: 8,
        quotes: 256,
        quotes_per_firm: 64,
        protection_groups: 8,
        protection_groups_per_firm: 8,
        risk_limits: 16,
        accounts: 8,
    }
}

/// Sessions 1 and 2 are of firm 1, 3 of firm 3.
fn sessions() -> Vec<DefineSession> {
    [(1, 1), (2, 1), (3, 3)]
        .map(|(id, firm)| DefineSession {
            firm: FirmId(firm),
            ..venue::session(id, SessionProtocol::Binary)
        })
        .into()
}

struct Floor {
    driver: Driver,
    depth: Depth,
    out: Vec<u8>,
    quote_id: u64,
}

impl Floor {
    fn new() -> Self {
        Self::with(limits())
    }

    fn with(limits: EngineLimits) -> Self {
        Self {
            driver: Driver::world_of(limits, 2, &sessions()),
            depth: Depth::default(),
            out: Vec::new(),
            quote_id: 0,
        }
    }

    fn apply<B: Body>(&mut self, session: u32, body: B) {
        self.out.clear();
        self.driver.apply(SessionId(session), body, &mut self.out);
        self.learn();
    }

    fn learn(&mut self) {
        let depth = &mut self.depth;
        venue::for_each_event(&self.out, |header, body| depth.apply(header, &body));
    }

    /// Status and reason of each side of each entry.
    fn quote(
        &mut self,
        session: u32,
        head: MassQuoteHead,
        entries: &[QuoteEntry],
    ) -> Vec<[(u8, u16); 2]> {
        self.quote_id += 1;
        let head = MassQuoteHead {
            quote_id: ClientOrderId::from_u64(self.quote_id),
            ..head
        };
        let words = self.driver.mass_quote(SessionId(session), &head, entries);
        self.out.clear();
        self.driver.apply_words(&words, &mut self.out);
        self.learn();
        let mut results = Vec::new();
        venue::for_each_event(&self.out, |_, body| {
            if let EventBody::MassQuoteAnswered(answer) = body {
                for result in &answer.results {
                    results.push([
                        (result.bid_status, result.bid_reason),
                        (result.ask_status, result.ask_reason),
                    ]);
                }
            }
        });
        results
    }

    fn fills(&self) -> Vec<(u64, i64, u64)> {
        let mut fills = Vec::new();
        venue::for_each_event(&self.out, |_, body| {
            let fill = match body {
                EventBody::Fill(fill) => *fill,
                EventBody::QuoteFill(quote) => quote.fill,
                _ => return,
            };
            let id = fill.order.client_order_id.as_u64().unwrap();
            fills.push((id, fill.last_price.0, fill.last_quantity.0));
        });
        fills
    }

    fn last_reason(&self) -> Reason {
        let mut last = Reason::None;
        venue::for_each_event(&self.out, |header, _| {
            last = Reason::try_from(header.reason).unwrap();
        });
        last
    }

    fn phase(&mut self, phase: TradingPhase) {
        self.apply(
            0,
            SetPhase {
                instrument: InstrumentId(1),
                phase: phase.as_u8(),
                ..SetPhase::default()
            },
        );
    }
}

fn bid(price: i64, lots: u64) -> QuoteEntry {
    QuoteEntry {
        instrument: InstrumentId(1),
        not_stated: 2,
        bid_price: Price(price),
        bid_quantity: Quantity(lots),
        ..QuoteEntry::default()
    }
}

fn of_account(account: u32) -> MassQuoteHead {
    MassQuoteHead {
        account: AccountId(account),
        ..MassQuoteHead::default()
    }
}

fn account_limits(account: u32) -> SetLimits {
    SetLimits {
        firm: FirmId(1),
        by_account: 1,
        account: AccountId(account),
        ..SetLimits::default()
    }
}

// 1. A quote that is replaced under another account.

/// The old quote is taken off what the new account has open, where it never was.
#[test]
fn a_quote_that_changes_its_account_is_not_subtracted_from_the_new_accounts_limits() {
    let mut floor = Floor::new();
    floor.apply(0, account_limits(1));
    floor.apply(0, account_limits(2));
    floor.quote(1, of_account(1), &[bid(100, 10)]);
    let answer = floor.quote(1, of_account(2), &[bid(101, 5)]);
    assert_eq!(answer[0][0], (QuoteStatus::Entered as u8, 0));
}

/// The same with something open in the new account, so that nothing overflows: a limit is passed.
#[test]
fn a_quote_that_changes_its_account_does_not_pass_the_new_accounts_position_limit() {
    let mut floor = Floor::new();
    floor.apply(0, account_limits(1));
    floor.apply(
        0,
        SetLimits {
            instrument: InstrumentId(1),
            position_limit: Quantity(110),
            ..account_limits(2)
        },
    );
    floor.quote(1, of_account(1), &[bid(100, 100)]);
    // 100 lots open in account 2: 10 more are allowed. What is replaced is in account 1.
    floor.quote(2, of_account(2), &[bid(100, 100)]);
    let answer = floor.quote(1, of_account(2), &[bid(101, 110)]);
    let refused = (QuoteStatus::Refused as u8, Reason::LimitPosition.code());
    assert_eq!(answer[0][0], refused, "100 + 110 lots of 110");
}

// 2. One session takes every quote record of the venue.

// 3. The mirror after an auction.

#[test]
fn the_mirror_shows_what_an_auction_left_of_an_icebergs_part() {
    let mut floor = Floor::new();
    floor.phase(TradingPhase::OpeningAuction);
    let terms = OrderTerms {
        display: Quantity(10),
        ..OrderTerms::NONE
    };
    let order = venue::enter(1, 1, BUY, DAY, 100, 100);
    floor.apply(1, EnterOrderWithTerms { order, terms });
    floor.apply(3, venue::enter(1, 1, SELL, DAY, 100, 4));
    floor.phase(TradingPhase::Continuous);
    let engine: Vec<_> = floor
        .driver
        .engine
        .levels(InstrumentId(1), Side::Buy)
        .map(|(price, lots, orders)| (price.0, lots.0, u64::from(orders)))
        .collect();
    assert_eq!(engine, [(100, 6, 1)]);
    assert_eq!(floor.depth.levels_of(InstrumentId(1), Side::Buy), engine);
}

// 4. FOK.

// 5. Bands at execution.

fn banded(floor: &mut Floor, static_band: u64) {
    let definition = DefineInstrument {
        static_band,
        ..venue::instrument(1)
    };
    floor.apply(0, definition);
    reference(floor, 100);
}

fn reference(floor: &mut Floor, price: i64) {
    floor.apply(
        0,
        SetReference {
            instrument: InstrumentId(1),
            price: Price(price),
            ..SetReference::default()
        },
    );
}

#[test]
fn nothing_trades_outside_the_static_band_as_it_is_now() {
    let mut floor = Floor::new();
    banded(&mut floor, 10);
    floor.apply(1, venue::enter(1, 1, SELL, DAY, 95, 5));
    reference(&mut floor, 120);
    floor.apply(3, venue::enter(1, 1, BUY, DAY, 115, 5));
    assert!(
        floor.fills().iter().all(|fill| fill.1 >= 110),
        "{:?}",
        floor.fills()
    );
}

#[test]
fn a_market_to_limit_order_does_not_trade_and_rest_outside_the_static_band() {
    let mut floor = Floor::new();
    banded(&mut floor, 10);
    floor.apply(1, venue::enter(1, 1, SELL, DAY, 110, 5));
    reference(&mut floor, 50);
    let order = EnterOrder {
        order_type: OrderType::MarketToLimit as u8,
        price: venue::NO_PRICE,
        ..venue::enter(1, 1, BUY, DAY, 110, 9)
    };
    floor.apply(3, order);
    assert!(floor.fills().is_empty(), "{:?}", floor.fills());
    let best = floor.driver.engine.best(InstrumentId(1), Side::Buy);
    assert_eq!(best, None, "rests outside 40..60");
}

// 6. A bust of a trade that no limit counted.

#[test]
fn a_bust_of_a_trade_from_before_the_limits_leaves_the_position() {
    use trading_engine::engine::command::{AmendTrade, AmendedFill};
    let mut floor = Floor::new();
    floor.apply(3, venue::enter(1, 1, SELL, DAY, 100, 50));
    floor.apply(1, venue::enter(1, 1, BUY, DAY, 100, 50));
    let mut fills = Vec::new();
    venue::for_each_event(&floor.out, |header, body| {
        if let EventBody::Fill(fill) = body {
            fills.push((header.session, *fill));
        }
    });
    let limits = SetLimits {
        firm: FirmId(1),
        instrument: InstrumentId(1),
        position_limit: Quantity(10),
        ..SetLimits::default()
    };
    floor.apply(0, limits);
    let amended = |at: usize| AmendedFill {
        session: fills[at].0,
        order: fills[at].1.order,
        liquidity: fills[at].1.liquidity,
        ..AmendedFill::default()
    };
    let bust = AmendTrade {
        trade_id: fills[0].1.trade_id,
        price: Price(100),
        quantity: Quantity(50),
        new_price: venue::NO_PRICE,
        fills: [amended(0), amended(1)],
    };
    floor.apply(0, bust);
    floor.apply(0, limits);
    let mut position = None;
    venue::for_each_event(&floor.out, |_, body| {
        if let EventBody::LimitsSet(set) = body {
            position = Some(set.limits.position);
        }
    });
    assert_eq!(position, Some(0));
}

// 7. What one client's command costs everyone.

// 8. A snapshot with a word that is another.

fn busy() -> Floor {
    let mut floor = Floor::new();
    floor.apply(0, account_limits(0));
    floor.apply(
        1,
        ConfigureProtection {
            client_order_id: ClientOrderId::from_u64(1),
            protection_group: 1,
            fills: 9,
            window_ms: 1_000,
            ..ConfigureProtection::default()
        },
    );
    floor.quote(
        1,
        MassQuoteHead {
            protection_group: 1,
            ..MassQuoteHead::default()
        },
        &[bid(100, 10)],
    );
    floor.apply(3, venue::enter(1, 1, SELL, DAY, 100, 3));
    let terms = OrderTerms {
        display: Quantity(10),
        ..OrderTerms::NONE
    };
    let order = venue::enter(50, 1, BUY, DAY, 90, 100);
    floor.apply(1, EnterOrderWithTerms { order, terms });
    let terms = OrderTerms {
        stop_price: Price(300),
        ..OrderTerms::NONE
    };
    let stop = EnterOrder {
        order_type: 3,
        price: venue::NO_PRICE,
        ..venue::enter(51, 1, BUY, DAY, 1, 5)
    };
    floor.apply(1, EnterOrderWithTerms { order: stop, terms });
    let terms = OrderTerms {
        expire_at: trading_engine_protocol::types::UtcNanos(1 << 40),
        ..OrderTerms::NONE
    };
    floor.apply(
        1,
        EnterOrderWithTerms {
            order: venue::enter(52, 1, BUY, 6, 80, 5),
            terms,
        },
    );
    for id in 60..70 {
        floor.apply(2, venue::enter(id, 1, BUY, DAY, 70, 5));
    }
    floor.apply(2, venue::cancel(90, 63));
    floor.apply(2, venue::cancel(91, 65));
    floor.apply(2, venue::enter(92, 1, BUY, 7, 60, 5));
    floor
}

#[test]
fn a_damaged_snapshot_is_an_error_and_no_panic() {
    let floor = busy();
    let bytes = floor.driver.engine.save().unwrap();
    assert!(Engine::restore(limits(), &bytes).is_ok());
    std::panic::set_hook(Box::new(|_| {}));
    let mut panics = Vec::new();
    let mut accepted = Vec::new();
    for word in 0..bytes.len() / 8 {
        let at = word * 8..word * 8 + 8;
        let old = u64::from_le_bytes(bytes[at.clone()].try_into().unwrap());
        for new in [
            0,
            1,
            u64::MAX,
            old ^ 1,
            old.wrapping_add(1),
            old.wrapping_sub(1),
            old ^ (1 << 33),
            1 << 62,
            u64::from(u32::MAX),
            old ^ (1 << 16),
            old ^ (1 << 20),
        ] {
            if new == old {
                continue;
            }
            let mut damaged = bytes.clone();
            damaged[at.clone()].copy_from_slice(&new.to_le_bytes());
            match std::panic::catch_unwind(|| Engine::restore(limits(), &damaged).is_ok()) {
                Err(_) => panics.push((word, old, new)),
                Ok(true) => accepted.push((word, old, new)),
                Ok(false) => {}
            }
        }
    }
    let _ = std::panic::take_hook();
    println!(
        "words {}, panics {}, accepted {}",
        bytes.len() / 8,
        panics.len(),
        accepted.len()
    );
    println!("panics: {:x?}", &panics[..panics.len().min(40)]);
    println!("accepted: {:x?}", &accepted[..accepted.len().min(40)]);
    // What is accepted is another state that could be: the file's checksum is not fooled by it.
    assert!(panics.is_empty());
}

// 9. Market orders for an auction and the limits.

/// The worst case of a sale is not the lowest price there is.
#[test]
fn a_market_sell_for_an_auction_counts_at_more_than_the_lowest_price() {
    let mut floor = Floor::new();
    floor.apply(3, venue::enter(1, 1, SELL, DAY, 100, 1));
    floor.apply(3, venue::enter(2, 1, BUY, DAY, 100, 1));
    // 1,000 lots at price 1; at the last price, 100, 10 lots.
    let limits = SetLimits {
        firm: FirmId(1),
        notional_e8: 1_000 * 1_000_000,
        ..SetLimits::default()
    };
    floor.apply(0, limits);
    floor.apply(1, venue::enter(3, 1, SELL, DAY, 100, 11));
    assert_eq!(floor.last_reason(), Reason::LimitNotional, "a limit order");
    let at_close = EnterOrder {
        price: venue::NO_PRICE,
        order_type: 1,
        ..venue::enter(4, 1, SELL, 7, 1, 1_000)
    };
    floor.apply(1, at_close);
    assert_eq!(
        floor.last_reason(),
        Reason::LimitNotional,
        "100 times the limit"
    );
}

// 10. An interruption that needs nobody else.

// 11. A window that grows.

#[test]
fn a_longer_window_does_not_bring_back_what_left_it() {
    let mut floor = Floor::new();
    let configure = |window_ms| ConfigureProtection {
        client_order_id: ClientOrderId::from_u64(1),
        protection_group: 1,
        fills: 2,
        window_ms,
        ..ConfigureProtection::default()
    };
    floor.apply(1, configure(1));
    let of_group = |id, price| EnterOrder {
        protection_group: 1,
        ..venue::enter(id, 1, SELL, DAY, price, 5)
    };
    floor.apply(1, of_group(1, 100));
    floor.apply(3, venue::enter(1, 1, BUY, IOC, 100, 5));
    let later = floor.driver.next_time() + 30_000_000_000;
    floor.driver.wait_until(later);
    floor.apply(1, configure(60_000));
    floor.apply(1, of_group(2, 100));
    floor.apply(3, venue::enter(2, 1, BUY, IOC, 100, 5));
    let mut tripped = false;
    venue::for_each_event(&floor.out, |_, body| {
        tripped |= matches!(body, EventBody::ProtectionTripped(_));
    });
    assert!(!tripped, "one fill in the window of 1 ms, one 30 s later");
}
