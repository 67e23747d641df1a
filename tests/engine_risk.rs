//! Pre-trade risk limits: every rule of *Risk limits* in `protocol/ORDERS.md` on its own, and a random
//! stream against a model that knows events alone and adds everything up anew for every question.
//!
//! `SEED` repeats a run, `COMMANDS` sets its length (default 1,000,000).

mod support;

use std::collections::{BTreeMap, VecDeque};

use support::counting::{ALLOCATIONS, ARMED, Counting};
use support::settings::{number, seed};
use support::venue::{self, Driver, NO_PRICE, cancel, enter, replace};
use support::workload::Random;
use trading_engine::engine::command::{
    Body, CancelAfter, DayRoll, DefineInstrument, DefineSession, EnterOrder, EnterOrderWithTerms,
    MassCancel, MassQuoteHead, OrderTerms, QuoteEntry, RefuseOrder, RefuseRequest, ReplaceOrder,
    ReplaceOrderWithTerms, SessionDisconnected, SessionLogon, SetLimits, SetPhase, SetReference,
    Tick,
};
use trading_engine::engine::event::{EventBody, EventHeader, LimitsSet, OrderState};
use trading_engine::limits::EngineLimits;
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, FirmId, InstrumentId, Liquidity, OrderType, Price, Quantity, Reason,
    SessionId, SessionProtocol, TradingPhase, UtcNanos,
};

const VENUE: SessionId = SessionId(0);
/// Sessions 1 and 2 are of firm 1, session 3 of firm 2, session 4 of firm 3.
const ONE: SessionId = SessionId(1);
const TWO: SessionId = SessionId(2);
const OTHER: SessionId = SessionId(3);
const FIRMS: [u32; 5] = [0, 1, 1, 2, 3];
const BUY: u8 = 1;
const SELL: u8 = 2;
const DAY: u8 = 0;
const GTC: u8 = 1;
const IOC: u8 = 3;
const FOK: u8 = 4;
const GTD: u8 = 6;
const AT_THE_CLOSE: u8 = 7;
const STOP: u8 = OrderType::Stop as u8;
const STOP_LIMIT: u8 = OrderType::StopLimit as u8;
const MARKET: u8 = OrderType::Market as u8;
const MARKET_TO_LIMIT: u8 = OrderType::MarketToLimit as u8;
const MILLISECOND: u64 = 1_000_000;
/// Notional of a lot at price 1, 10^-8.
const UNIT: u64 = 1_000_000;
/// Orders that a set remembers.
const REMEMBERED: usize = 64;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn sessions() -> Vec<DefineSession> {
    (1..=4u32)
        .map(|id| DefineSession {
            firm: FirmId(FIRMS[id as usize]),
            ..venue::session(id, SessionProtocol::Binary)
        })
        .collect()
}

fn small() -> EngineLimits {
    EngineLimits {
        orders: 1 << 10,
        client_order_ids: 1 << 19,
        price_pages: 1 << 8,
        instruments: 8,
        firms: 8,
        sessions: 8,
        quotes: 8,
        quotes_per_firm: 8,
        protection_groups: 8,
        protection_groups_per_firm: 8,
        risk_limits: 64,
        accounts: 8,
    }
}

type Change = fn(&mut SetLimits);
type Act = fn(&mut World);
/// What became of one order or request, in one word and the reason.
type Answer = (&'static str, Reason);

const ACCEPTED: Answer = ("accepted", Reason::None);
const REPLACED: Answer = ("replaced", Reason::None);

fn rejected(reason: Reason) -> Answer {
    ("rejected", reason)
}

fn refused(reason: Reason) -> Answer {
    ("refused", reason)
}

/// A venue of two instruments, and a name for every order: its number.
struct World {
    driver: Driver,
    out: Vec<u8>,
    /// ClientOrderIds that requests take.
    requests: u64,
}

impl World {
    fn new() -> Self {
        Self {
            driver: Driver::world_of(small(), 2, &sessions()),
            out: Vec::new(),
            requests: 1 << 32,
        }
    }

    /// Firm 1 has these limits.
    fn limited(limits: SetLimits) -> Self {
        let mut world = Self::new();
        world.set(limits);
        world
    }

    fn apply<B: Body>(&mut self, session: SessionId, body: B) -> Answer {
        self.out.clear();
        self.driver.apply(session, body, &mut self.out);
        self.events()
            .first()
            .map_or(("nothing", Reason::None), |&(kind, _, reason)| {
                (kind, reason)
            })
    }

    /// Kind, ClientOrderId and reason of each event of the last command.
    fn events(&self) -> Vec<(&'static str, u64, Reason)> {
        let mut events = Vec::new();
        let number = |id: &ClientOrderId| id.as_u64().unwrap_or(0);
        venue::for_each_event(&self.out, |header, body| {
            let (kind, id) = match body {
                // Told before the command whose answer is asked for.
                EventBody::LimitsSet(_) if header.reason != 0 => return,
                EventBody::OrderAccepted(e) => ("accepted", number(&e.order.client_order_id)),
                EventBody::OrderAcceptedWithTerms(e) => {
                    ("accepted", number(&e.order.client_order_id))
                }
                EventBody::OrderRejected(e) => ("rejected", number(&e.client_order_id)),
                EventBody::OrderReplaced(e) => ("replaced", number(&e.order.client_order_id)),
                EventBody::OrderReplacedWithTerms(e) => {
                    ("replaced", number(&e.replaced.order.client_order_id))
                }
                EventBody::RequestRejected(e) => ("refused", number(&e.client_order_id)),
                EventBody::OrderCanceled(e) => ("ended", number(&e.order.client_order_id)),
                EventBody::OrderTriggered(e) => ("triggered", number(&e.order.client_order_id)),
                EventBody::OrderRestated(e) => ("restated", number(&e.order.client_order_id)),
                EventBody::Fill(e) => ("fill", number(&e.order.client_order_id)),
                EventBody::LimitsSet(_) => ("set", 0),
                EventBody::DefinitionRefused(_) => ("not set", 0),
                _ => ("other", 0),
            };
            events.push((kind, id, Reason::try_from(header.reason).unwrap()));
        });
        events
    }

    /// Sets limits; what the venue is told of them.
    fn set(&mut self, limits: SetLimits) -> LimitsSet {
        assert_eq!(self.apply(VENUE, limits), ("set", Reason::None));
        let mut told = None;
        venue::for_each_event(&self.out, |_, body| {
            if let EventBody::LimitsSet(set) = body {
                told = Some(*set);
            }
        });
        told.unwrap()
    }

    fn buy(&mut self, id: u64, price: i64, lots: u64) -> Answer {
        self.apply(ONE, enter(id, 1, BUY, DAY, price, lots))
    }

    fn sell(&mut self, id: u64, price: i64, lots: u64) -> Answer {
        self.apply(ONE, enter(id, 1, SELL, DAY, price, lots))
    }

    fn replace(&mut self, id: u64, original: u64, price: i64, lots: u64) -> Answer {
        self.apply(ONE, replace(id, original, 1, price, lots))
    }

    fn cancel(&mut self, original: u64) -> Answer {
        self.requests += 1;
        self.apply(ONE, cancel(self.requests, original))
    }

    /// Firm 2, which has no limits, trades with itself at a price.
    fn trade_of_others(&mut self, price: i64) {
        for side in [SELL, BUY] {
            self.requests += 1;
            let order = enter(self.requests, 1, side, GTC, price, 1);
            assert_eq!(self.apply(OTHER, order), ACCEPTED);
        }
    }

    /// Firm 2 trades with an order of firm 1.
    fn hit(&mut self, side: u8, price: i64, lots: u64) {
        self.requests += 1;
        let order = enter(self.requests, 1, side, IOC, price, lots);
        assert_eq!(self.apply(OTHER, order), ACCEPTED);
    }

    fn roll(&mut self, day: u32) {
        let roll = DayRoll {
            trading_day: 20_260_100 + day,
            reserved: 0,
        };
        self.apply(VENUE, roll);
    }

    fn phase(&mut self, phase: TradingPhase) {
        let set = SetPhase {
            instrument: InstrumentId(1),
            phase: phase.as_u8(),
            ..SetPhase::default()
        };
        self.apply(VENUE, set);
    }

    fn after(&mut self, nanoseconds: u64) {
        let next = self.driver.next_time() - 1 + nanoseconds;
        self.driver.wait_until(next);
    }
}

/// Limits of firm 1, none yet.
fn firm() -> SetLimits {
    SetLimits {
        firm: FirmId(1),
        ..SetLimits::default()
    }
}

/// Limits of firm 1 in instrument 1.
fn in_one() -> SetLimits {
    SetLimits {
        instrument: InstrumentId(1),
        ..firm()
    }
}

fn of_account(account: u32, limits: SetLimits) -> SetLimits {
    SetLimits {
        account: AccountId(account),
        by_account: 1,
        ..limits
    }
}

fn stop(id: u64, side: u8, stop_price: i64, lots: u64) -> EnterOrderWithTerms {
    EnterOrderWithTerms {
        order: EnterOrder {
            order_type: STOP,
            ..enter(id, 1, side, GTC, NO_PRICE.0, lots)
        },
        terms: OrderTerms {
            stop_price: Price(stop_price),
            ..OrderTerms::NONE
        },
    }
}

fn stop_limit(id: u64, side: u8, stop_price: i64, price: i64, lots: u64) -> EnterOrderWithTerms {
    let mut order = stop(id, side, stop_price, lots);
    order.order.order_type = STOP_LIMIT;
    order.order.price = Price(price);
    order
}

/// An order at rest that shows a part of itself.
fn iceberg(id: u64, side: u8, price: i64, lots: u64, display: u64) -> EnterOrderWithTerms {
    EnterOrderWithTerms {
        order: enter(id, 1, side, GTC, price, lots),
        terms: OrderTerms {
            display: Quantity(display),
            ..OrderTerms::NONE
        },
    }
}

fn triggered_and_refused(id: u64, reason: Reason) -> [(&'static str, u64, Reason); 2] {
    [
        ("triggered", id, Reason::StopTriggered),
        ("ended", id, reason),
    ]
}

/// The events of firm 1's stop `id` in the last command.
fn of_stop(world: &World, id: u64) -> Vec<(&'static str, u64, Reason)> {
    let mut events = world.events();
    events.retain(|event| event.1 == id);
    events
}

#[test]
fn an_order_may_have_so_many_lots() {
    let limits = SetLimits {
        quantity: Quantity(10),
        ..firm()
    };
    let mut world = World::limited(limits);
    assert_eq!(world.buy(1, 100, 11), rejected(Reason::LimitQuantity));
    assert_eq!(world.buy(2, 100, 10), ACCEPTED);
    assert_eq!(world.replace(3, 2, 100, 11), refused(Reason::LimitQuantity));
    assert_eq!(world.replace(4, 2, 101, 10), REPLACED);
    // The total counts, not what is open.
    world.hit(SELL, 101, 9);
    assert_eq!(world.replace(5, 4, 101, 11), refused(Reason::LimitQuantity));
    assert_eq!(world.apply(ONE, stop(6, BUY, 120, 10)), ACCEPTED);
    assert_eq!(world.apply(ONE, stop_limit(7, BUY, 120, 120, 10)), ACCEPTED);
    world.set(SetLimits {
        quantity: Quantity(9),
        ..firm()
    });
    // A seller that the market order could trade with.
    world.apply(OTHER, enter(80, 1, SELL, GTC, 121, 5));
    world.trade_of_others(120);
    let reason = Reason::LimitQuantity;
    assert_eq!(of_stop(&world, 6), triggered_and_refused(6, reason));
    assert_eq!(of_stop(&world, 7), triggered_and_refused(7, reason));
    // Firms without limits have none.
    assert_eq!(world.apply(OTHER, enter(81, 1, BUY, GTC, 50, 11)), ACCEPTED);
}

#[test]
fn an_order_may_have_so_much_notional() {
    let limits = SetLimits {
        notional_e8: 1_000 * UNIT,
        ..firm()
    };
    let mut world = World::limited(limits);
    assert_eq!(world.buy(1, 100, 11), rejected(Reason::LimitNotional));
    assert_eq!(world.buy(2, 100, 10), ACCEPTED);
    assert_eq!(world.replace(3, 2, 101, 10), refused(Reason::LimitNotional));
    assert_eq!(world.replace(4, 2, 90, 11), REPLACED);
    // A stop counts at its stop price, and when it is released at its protection price: 50 ticks
    // beyond the best.
    assert_eq!(
        world.apply(ONE, stop(5, BUY, 120, 9)),
        rejected(Reason::LimitNotional)
    );
    assert_eq!(world.apply(ONE, stop(6, BUY, 120, 8)), ACCEPTED);
    world.apply(OTHER, enter(80, 1, SELL, GTC, 121, 50));
    // A market order counts at its protection price, too: 171.
    let market = |id, lots| enter(id, 1, BUY, IOC, NO_PRICE.0, lots);
    assert_eq!(
        world.apply(ONE, market(7, 6)),
        rejected(Reason::LimitNotional)
    );
    world.trade_of_others(120);
    assert_eq!(
        of_stop(&world, 6),
        triggered_and_refused(6, Reason::LimitNotional)
    );
    assert_eq!(world.apply(ONE, market(8, 5)), ACCEPTED);
}

#[test]
fn a_limit_may_be_so_far_from_the_last_trade() {
    let collar = |collar_bp| SetLimits {
        collar_bp,
        ..firm()
    };
    let mut world = World::limited(collar(500));
    assert_eq!(
        world.buy(1, 1_000, 1),
        ACCEPTED,
        "there is nothing to be far from"
    );
    let reference = SetReference {
        instrument: InstrumentId(1),
        price: Price(100),
        ..SetReference::default()
    };
    world.apply(VENUE, reference);
    assert_eq!(world.sell(2, 106, 1), rejected(Reason::LimitCollar));
    world.cancel(1);
    world.trade_of_others(200);
    assert_eq!(world.buy(3, 189, 1), rejected(Reason::LimitCollar));
    assert_eq!(world.buy(4, 190, 1), ACCEPTED);
    assert_eq!(world.sell(5, 211, 1), rejected(Reason::LimitCollar));
    assert_eq!(world.sell(6, 210, 1), ACCEPTED);
    assert_eq!(world.replace(7, 4, 189, 1), refused(Reason::LimitCollar));
    // The best price is the collar's end: it takes that.
    let market = enter(8, 1, BUY, IOC, NO_PRICE.0, 1);
    assert_eq!(world.apply(ONE, market), ACCEPTED);
    assert_eq!(world.apply(ONE, stop(9, BUY, 300, 1)), ACCEPTED);
    // The last trade was at 210; at 220 the limit of 205 is too far away.
    assert_eq!(world.apply(ONE, stop_limit(10, BUY, 220, 205, 1)), ACCEPTED);
    world.trade_of_others(220);
    assert_eq!(
        of_stop(&world, 10),
        triggered_and_refused(10, Reason::LimitCollar)
    );
    world.set(collar(0));
    assert_eq!(world.buy(11, 1, 1), ACCEPTED);
}

/// What an order with any term that it could have does against a book that reaches beyond the collar:
/// the answer, the prices at which it trades, and the reason of its end.
fn outcome(world: &World, id: u64) -> (Vec<i64>, Option<Reason>) {
    let (mut prices, mut end) = (Vec::new(), None);
    venue::for_each_event(&world.out, |header, body| match body {
        EventBody::Fill(e) if e.order.client_order_id.as_u64() == Some(id) => {
            prices.push(e.last_price.0);
        }
        EventBody::OrderCanceled(e) if e.order.client_order_id.as_u64() == Some(id) => {
            end = Some(Reason::try_from(header.reason).unwrap());
        }
        _ => {}
    });
    (prices, end)
}

/// Around 1,000, 5 per cent: whatever an order is, and however it comes to trade, it trades at no
/// price beyond 1,050 (950), and nothing of it rests there.
#[test]
fn a_collar_holds_for_every_type_and_after_a_trigger() {
    let order = |order_type, side, time| EnterOrder {
        order_type,
        ..enter(1, 1, side, time, NO_PRICE.0, 30)
    };
    let remainder = Some(Reason::MarketRemainder);
    for side in [BUY, SELL] {
        // So far from the center, to the side to which the order pushes the price.
        let at = |beyond: i64| 1_000 + if side == BUY { beyond } else { -beyond };
        let against = 3 - side;
        let world = |asks: &[i64]| {
            let mut world = World::limited(SetLimits {
                collar_bp: 500,
                ..firm()
            });
            for (nth, beyond) in asks.iter().enumerate() {
                let maker = enter(80 + nth as u64, 1, against, GTC, at(*beyond), 5);
                assert_eq!(world.apply(OTHER, maker), ACCEPTED);
            }
            let reference = SetReference {
                instrument: InstrumentId(1),
                price: Price(1_000),
                ..SetReference::default()
            };
            world.apply(VENUE, reference);
            world
        };
        let reaches = [40, 50, 51, 60];
        let inside = vec![at(40), at(50)];
        let market = |time| order(MARKET, side, time);
        let mut one = world(&reaches);
        assert_eq!(one.apply(ONE, market(IOC)), ACCEPTED);
        assert_eq!(outcome(&one, 1), (inside.clone(), remainder));
        let mut one = world(&reaches);
        assert_eq!(one.apply(ONE, market(FOK)), ACCEPTED, "30 are not there");
        let unfilled = Some(Reason::FillOrKillUnfilled);
        assert_eq!(outcome(&one, 1), (Vec::new(), unfilled));
        // Where even the best price is beyond, nobody goes.
        for asks in [&[51, 60][..], &[60]] {
            let mut one = world(asks);
            let to_limit = order(MARKET_TO_LIMIT, side, DAY);
            assert_eq!(one.apply(ONE, market(IOC)), rejected(Reason::LimitCollar));
            let answer = one.apply(
                ONE,
                EnterOrder {
                    client_order_id: ClientOrderId::from_u64(2),
                    ..to_limit
                },
            );
            assert_eq!(answer, rejected(Reason::LimitCollar));
        }
        let mut one = world(&reaches);
        assert_eq!(one.apply(ONE, order(MARKET_TO_LIMIT, side, DAY)), ACCEPTED);
        assert_eq!(outcome(&one, 1), (vec![at(40)], None));
        for (beyond, answer) in [(50, ACCEPTED), (51, rejected(Reason::LimitCollar))] {
            let mut one = world(&reaches);
            let limit = enter(1, 1, side, DAY, at(beyond), 30);
            assert_eq!(one.apply(ONE, limit), answer);
        }
        // A stop is taken whatever it would do now, and asked for it when it is released.
        let released: [(i64, &[i64], _); 5] = [
            (NO_PRICE.0, &reaches, (inside.clone(), remainder)),
            (
                NO_PRICE.0,
                &[51, 60],
                (Vec::new(), Some(Reason::LimitCollar)),
            ),
            (at(50), &reaches, (inside.clone(), None)),
            (at(51), &reaches, (Vec::new(), Some(Reason::LimitCollar))),
            (at(-51), &reaches, (Vec::new(), Some(Reason::LimitCollar))),
        ];
        for (limit, asks, expected) in released {
            for at_once in [false, true] {
                let mut one = world(asks);
                let stop = if limit == NO_PRICE.0 {
                    stop(1, side, 1_000, 30)
                } else {
                    stop_limit(1, side, 1_000, limit, 30)
                };
                if at_once {
                    one.trade_of_others(1_000);
                    assert_eq!(one.apply(ONE, stop), ACCEPTED);
                } else {
                    assert_eq!(one.apply(ONE, stop), ACCEPTED);
                    one.trade_of_others(1_000);
                }
                assert_eq!(outcome(&one, 1), expected, "{side} {limit} {asks:?}");
            }
        }
        // The narrowest of all that hold is the one.
        let mut one = world(&reaches);
        one.set(SetLimits {
            collar_bp: 450,
            ..in_one()
        });
        assert_eq!(one.apply(ONE, market(IOC)), ACCEPTED);
        assert_eq!(outcome(&one, 1), (vec![at(40)], remainder));
        // So many per cent of nothing is nothing: there is no collar then.
        let mut one = World::new();
        let around_zero = DefineInstrument {
            price_min: Price(-1_000),
            price_max: Price(1_000),
            ..venue::instrument(3)
        };
        one.apply(VENUE, around_zero);
        one.set(SetLimits {
            collar_bp: 500,
            ..firm()
        });
        let zero = SetReference {
            instrument: InstrumentId(3),
            ..SetReference::default()
        };
        one.apply(VENUE, zero);
        assert_eq!(one.apply(ONE, enter(1, 3, side, DAY, 500, 1)), ACCEPTED);
    }
}

/// A trade that was a mistake is busted, and the price that holds is set: collars are around that.
#[test]
fn a_reference_price_after_the_last_trade_moves_the_collar() {
    let mut world = World::limited(SetLimits {
        collar_bp: 500,
        ..firm()
    });
    world.trade_of_others(180);
    assert_eq!(world.buy(1, 100, 1), rejected(Reason::LimitCollar));
    let reference = SetReference {
        instrument: InstrumentId(1),
        price: Price(100),
        ..SetReference::default()
    };
    world.apply(VENUE, reference);
    assert_eq!(world.buy(2, 100, 1), ACCEPTED);
    assert_eq!(world.buy(3, 106, 1), rejected(Reason::LimitCollar));
    world.trade_of_others(110);
    assert_eq!(world.buy(4, 104, 1), rejected(Reason::LimitCollar));
    assert_eq!(world.buy(5, 105, 1), ACCEPTED);
}

#[test]
fn so_many_orders_may_be_open() {
    let mut world = World::limited(SetLimits {
        open_orders: 3,
        ..firm()
    });
    let third = EnterOrder {
        instrument: InstrumentId(2),
        ..enter(3, 1, SELL, GTC, 200, 5)
    };
    assert_eq!(world.buy(1, 100, 10), ACCEPTED);
    assert_eq!(world.apply(ONE, stop(2, BUY, 120, 5)), ACCEPTED, "it waits");
    assert_eq!(world.apply(TWO, third), ACCEPTED);
    assert_eq!(world.buy(4, 100, 10), rejected(Reason::LimitOpenOrders));
    // What would end at once is an order, too.
    let at_once = enter(5, 1, BUY, IOC, 100, 1);
    assert_eq!(world.apply(ONE, at_once), rejected(Reason::LimitOpenOrders));
    assert_eq!(
        world.replace(6, 1, 101, 20),
        REPLACED,
        "it is instead of itself"
    );
    world.hit(SELL, 101, 19);
    assert_eq!(world.buy(7, 100, 1), rejected(Reason::LimitOpenOrders));
    world.hit(SELL, 101, 1);
    assert_eq!(world.buy(8, 100, 10), ACCEPTED);
    world.cancel(2);
    assert_eq!(world.apply(ONE, stop(9, BUY, 120, 5)), ACCEPTED);
    world.set(SetLimits {
        open_orders: 2,
        ..firm()
    });
    // Nothing that is open goes for it, but nothing changes and nothing is released.
    assert_eq!(
        world.replace(10, 8, 99, 10),
        refused(Reason::LimitOpenOrders)
    );
    world.apply(OTHER, enter(80, 1, SELL, GTC, 121, 5));
    world.trade_of_others(120);
    assert_eq!(
        of_stop(&world, 9),
        triggered_and_refused(9, Reason::LimitOpenOrders)
    );
    assert_eq!(world.replace(11, 8, 99, 10), REPLACED);
}

#[test]
fn a_position_may_be_so_large_if_everything_traded() {
    let mut world = World::limited(SetLimits {
        position_limit: Quantity(100),
        ..in_one()
    });
    assert_eq!(world.buy(1, 100, 60), ACCEPTED);
    assert_eq!(world.buy(2, 100, 41), rejected(Reason::LimitPosition));
    assert_eq!(
        world.sell(3, 200, 100),
        ACCEPTED,
        "the other side is for itself"
    );
    world.cancel(3);
    world.hit(SELL, 100, 60);
    assert_eq!(world.buy(4, 100, 41), rejected(Reason::LimitPosition));
    assert_eq!(world.buy(5, 100, 40), ACCEPTED);
    assert_eq!(world.replace(6, 5, 100, 41), refused(Reason::LimitPosition));
    assert_eq!(world.sell(7, 200, 161), rejected(Reason::LimitPosition));
    assert_eq!(world.sell(8, 200, 160), ACCEPTED);
    world.cancel(8);
    // The other instrument has a limit of its own, or none.
    assert_eq!(world.apply(ONE, enter(9, 2, BUY, DAY, 100, 500)), ACCEPTED);
    // Set by the venue: from now on it is short, and the stop would make it more so.
    assert_eq!(world.apply(ONE, stop(10, SELL, 90, 30)), ACCEPTED);
    let told = world.set(SetLimits {
        position_limit: Quantity(100),
        sets_position: 1,
        position: -80,
        ..in_one()
    });
    assert_eq!(told.limits.position, -80);
    world.cancel(5);
    world.apply(OTHER, enter(80, 1, BUY, GTC, 80, 50));
    world.trade_of_others(90);
    assert_eq!(
        of_stop(&world, 10),
        triggered_and_refused(10, Reason::LimitPosition)
    );
    assert_eq!(world.sell(11, 200, 21), rejected(Reason::LimitPosition));
    assert_eq!(world.buy(12, 70, 180), ACCEPTED);
    // It stays over the day roll, when the order is gone.
    world.roll(2);
    assert_eq!(world.sell(13, 200, 21), rejected(Reason::LimitPosition));
    assert_eq!(world.sell(14, 200, 20), ACCEPTED);
}

#[test]
fn bought_sold_and_open_may_be_so_much() {
    let mut world = World::limited(SetLimits {
        gross_e8: 10_000 * UNIT,
        ..firm()
    });
    assert_eq!(world.buy(1, 100, 40), ACCEPTED);
    assert_eq!(world.sell(2, 200, 20), ACCEPTED);
    assert_eq!(world.buy(3, 100, 21), rejected(Reason::LimitGross));
    world.hit(SELL, 100, 40);
    world.hit(BUY, 200, 10);
    assert_eq!(world.buy(4, 100, 21), rejected(Reason::LimitGross));
    assert_eq!(world.buy(5, 100, 20), ACCEPTED);
    assert_eq!(world.replace(6, 5, 101, 20), refused(Reason::LimitGross));
    assert_eq!(world.replace(7, 5, 50, 20), REPLACED);
    // A stop counts at its stop price.
    assert_eq!(world.apply(ONE, stop(8, SELL, 50, 20)), ACCEPTED);
    assert_eq!(world.buy(9, 1, 1), rejected(Reason::LimitGross));
    // A new day: the stop is all that is left.
    world.roll(2);
    assert_eq!(world.buy(11, 100, 91), rejected(Reason::LimitGross));
    assert_eq!(world.buy(12, 100, 90), ACCEPTED);
}

#[test]
fn a_released_stop_is_more_than_it_was_when_it_waited() {
    for (limits, reason) in [
        (
            SetLimits {
                gross_e8: 1_000 * UNIT,
                ..firm()
            },
            Reason::LimitGross,
        ),
        (
            SetLimits {
                net_e8: 1_000 * UNIT,
                ..firm()
            },
            Reason::LimitNet,
        ),
    ] {
        let mut world = World::limited(limits);
        assert_eq!(world.apply(ONE, stop(1, BUY, 100, 10)), ACCEPTED);
        world.apply(OTHER, enter(80, 1, SELL, GTC, 101, 50));
        world.trade_of_others(100);
        assert_eq!(of_stop(&world, 1), triggered_and_refused(1, reason));
        assert_eq!(world.buy(2, 100, 10), ACCEPTED, "it counts no more");
    }
}

#[test]
fn bought_less_sold_may_be_so_much() {
    let mut world = World::limited(SetLimits {
        net_e8: 1_000 * UNIT,
        ..firm()
    });
    assert_eq!(world.buy(1, 100, 10), ACCEPTED);
    assert_eq!(world.buy(2, 1, 1), rejected(Reason::LimitNet));
    assert_eq!(world.sell(3, 200, 5), ACCEPTED, "to sell is another matter");
    assert_eq!(world.sell(4, 200, 1), rejected(Reason::LimitNet));
    world.hit(SELL, 100, 10);
    assert_eq!(world.buy(5, 1, 1), rejected(Reason::LimitNet));
    // What was bought may be sold.
    assert_eq!(world.sell(6, 200, 5), ACCEPTED);
    assert_eq!(world.replace(7, 6, 200, 6), refused(Reason::LimitNet));
    world.hit(BUY, 200, 10);
    assert_eq!(world.buy(8, 100, 20), ACCEPTED);
    assert_eq!(world.buy(9, 1, 1), rejected(Reason::LimitNet));
    world.cancel(8);
    world.roll(2);
    assert_eq!(world.buy(10, 100, 11), rejected(Reason::LimitNet));
    assert_eq!(world.buy(11, 100, 10), ACCEPTED);
}

#[test]
fn the_same_order_may_come_so_often() {
    let mut world = World::limited(SetLimits {
        duplicates: 2,
        duplicates_ms: 1,
        ..firm()
    });
    let first = world.driver.next_time();
    assert_eq!(world.buy(1, 100, 5), ACCEPTED);
    assert_eq!(world.buy(2, 100, 5), ACCEPTED);
    assert_eq!(world.buy(3, 100, 5), rejected(Reason::LimitDuplicates));
    // Another one is another one.
    assert_eq!(world.buy(4, 101, 5), ACCEPTED);
    assert_eq!(world.buy(5, 100, 6), ACCEPTED);
    assert_eq!(world.sell(6, 200, 5), ACCEPTED);
    // Through another session of the firm it is the same.
    assert_eq!(
        world.apply(TWO, enter(7, 1, BUY, DAY, 100, 5)),
        rejected(Reason::LimitDuplicates)
    );
    assert_eq!(world.apply(ONE, enter(8, 2, BUY, DAY, 100, 5)), ACCEPTED);
    let of_another = EnterOrder {
        account: AccountId(1),
        ..enter(9, 1, BUY, DAY, 100, 5)
    };
    assert_eq!(world.apply(ONE, of_another), ACCEPTED);
    assert_eq!(
        world.replace(10, 5, 100, 5),
        REPLACED,
        "a replace is no new order"
    );
    // A canceled one was one, what was refused was none.
    world.cancel(1);
    world.driver.wait_until(first + MILLISECOND - 1);
    assert_eq!(world.buy(11, 100, 5), rejected(Reason::LimitDuplicates));
    // t + window > now no more; of the second it still is.
    assert_eq!(world.buy(12, 100, 5), ACCEPTED);
}

/// Who sends market orders in a loop moves the market.
#[test]
fn market_orders_are_the_same_wherever_the_market_is() {
    let mut world = World::limited(SetLimits {
        duplicates: 1,
        duplicates_ms: 1_000,
        ..firm()
    });
    for price in [100, 101, 102] {
        world.apply(OTHER, enter(80 + price as u64, 1, SELL, GTC, price, 1));
    }
    let market = |id| enter(id, 1, BUY, IOC, NO_PRICE.0, 1);
    assert_eq!(world.apply(ONE, market(1)), ACCEPTED);
    assert_eq!(
        world.apply(ONE, market(2)),
        rejected(Reason::LimitDuplicates)
    );
    // Stops at other prices are others.
    assert_eq!(world.apply(ONE, stop(3, BUY, 150, 1)), ACCEPTED);
    assert_eq!(world.apply(ONE, stop(4, BUY, 151, 1)), ACCEPTED);
    assert_eq!(
        world.apply(ONE, stop(5, BUY, 151, 1)),
        rejected(Reason::LimitDuplicates)
    );
}

/// Limits that were lowered under an order kept it from becoming less.
#[test]
fn a_replace_that_only_shrinks_is_taken_whatever_the_limits_are_by_now() {
    let mut world = World::new();
    assert_eq!(world.buy(1, 100, 50), ACCEPTED);
    world.set(SetLimits {
        quantity: Quantity(10),
        gross_e8: 1,
        open_orders: 1,
        ..firm()
    });
    let too_much = refused(Reason::LimitQuantity);
    assert_eq!(world.replace(2, 1, 100, 51), too_much);
    assert_eq!(world.replace(3, 1, 99, 40), too_much);
    assert_eq!(world.replace(4, 1, 100, 40), REPLACED);
    assert_eq!(world.replace(5, 4, 100, 5), REPLACED);
    // At another price it is asked, however small it is.
    assert_eq!(world.replace(6, 5, 99, 5), refused(Reason::LimitGross));
}

/// A firm out of messages could not take its quotes away.
#[test]
fn withdrawals_are_no_messages_and_are_not_refused_for_the_rate() {
    let mut world = World::limited(SetLimits {
        messages: 2,
        messages_ms: 1_000,
        ..firm()
    });
    let two_sided = |lots| QuoteEntry {
        instrument: InstrumentId(1),
        bid_price: Price(99),
        bid_quantity: Quantity(lots),
        ask_price: Price(101),
        ask_quantity: Quantity(lots),
        ..QuoteEntry::default()
    };
    let head = MassQuoteHead {
        quote_id: ClientOrderId::from_u64(1),
        ..MassQuoteHead::default()
    };
    let mut quote = |entry: QuoteEntry| {
        let words = world.driver.mass_quote(ONE, &head, &[entry]);
        let mut out = Vec::new();
        world.driver.apply_words(&words, &mut out);
        let mut told = Reason::None;
        venue::for_each_event(&out, |header, _| {
            told = Reason::try_from(header.reason).unwrap();
        });
        (told, world.driver.engine.open_orders())
    };
    for _ in 0..5 {
        assert_eq!(quote(two_sided(0)), (Reason::None, 0));
    }
    assert_eq!(quote(two_sided(5)), (Reason::None, 2));
    assert_eq!(quote(two_sided(6)), (Reason::None, 2));
    assert_eq!(quote(two_sided(7)), (Reason::LimitMessages, 2));
    assert_eq!(quote(two_sided(0)), (Reason::None, 0));
    assert_eq!(quote(two_sided(7)), (Reason::LimitMessages, 0));
}

#[test]
fn repeated_executions_stop_until_released() {
    let limits = SetLimits {
        executions: 3,
        executions_ms: 1,
        ..firm()
    };
    let mut world = World::limited(limits);
    assert_eq!(world.buy(1, 100, 10), ACCEPTED);
    assert_eq!(world.apply(ONE, stop(2, BUY, 120, 1)), ACCEPTED);
    let first = world.driver.next_time();
    world.hit(SELL, 100, 1);
    world.hit(SELL, 100, 1);
    // The first is out of the window now.
    world.driver.wait_until(first + MILLISECOND);
    world.hit(SELL, 100, 1);
    assert_eq!(world.buy(3, 99, 1), ACCEPTED);
    world.driver.wait_until(first + MILLISECOND + 5);
    world.hit(SELL, 100, 1);
    world.hit(SELL, 100, 1);
    let stopped = Reason::LimitExecutions;
    assert_eq!(world.buy(4, 99, 1), rejected(stopped));
    assert_eq!(world.replace(5, 1, 100, 11), refused(stopped));
    assert_eq!(world.replace(50, 1, 101, 6), refused(stopped));
    world.apply(OTHER, enter(80, 1, SELL, GTC, 121, 5));
    world.trade_of_others(120);
    assert_eq!(of_stop(&world, 2), triggered_and_refused(2, stopped));
    // It lasts, over the day, too; what is open trades on and may go.
    world.after(5 * MILLISECOND);
    world.roll(2);
    assert_eq!(world.buy(6, 99, 1), rejected(stopped));
    // Only who is told to releases.
    assert_eq!(world.set(limits).stopped, 1);
    let release = SetLimits {
        release: 1,
        ..limits
    };
    assert_eq!(world.set(release).stopped, 0);
    assert_eq!(world.buy(7, 99, 10), ACCEPTED);
    world.hit(SELL, 99, 1);
    world.hit(SELL, 99, 1);
    assert_eq!(world.set(release).stopped, 0);
    // Releasing forgets: two more are two.
    world.hit(SELL, 99, 1);
    world.hit(SELL, 99, 1);
    assert_eq!(world.buy(8, 98, 1), ACCEPTED);
    world.hit(SELL, 99, 1);
    assert_eq!(world.buy(9, 98, 1), rejected(stopped));
    assert_eq!(world.cancel(8), ("ended", Reason::CanceledByRequest));
}

/// An incoming order goes on; what it releases does not.
#[test]
fn the_fill_that_is_the_last_of_them_stops() {
    let mut world = World::limited(SetLimits {
        executions: 2,
        executions_ms: 1_000,
        ..firm()
    });
    for id in 80..83 {
        world.apply(OTHER, enter(id, 1, SELL, GTC, 100, 1));
    }
    world.apply(ONE, stop_limit(1, BUY, 100, 90, 1));
    world.buy(2, 100, 5);
    let expected = [
        ("accepted", 2, Reason::None),
        ("fill", 80, Reason::None),
        ("fill", 2, Reason::None),
        ("fill", 81, Reason::None),
        ("fill", 2, Reason::None),
        ("fill", 82, Reason::None),
        ("fill", 2, Reason::None),
        ("triggered", 1, Reason::StopTriggered),
        ("ended", 1, Reason::LimitExecutions),
    ];
    assert_eq!(world.events(), expected);
}

#[test]
fn a_firm_may_send_so_many_messages() {
    let mut world = World::limited(SetLimits {
        messages: 3,
        messages_ms: 3,
        ..firm()
    });
    let first = world.driver.next_time();
    assert_eq!(world.buy(1, 100, 5), ACCEPTED);
    assert_eq!(world.replace(2, 1, 100, 6), REPLACED);
    assert_eq!(world.apply(TWO, enter(3, 1, BUY, DAY, 100, 5)), ACCEPTED);
    let exceeded = Reason::LimitMessages;
    assert_eq!(world.buy(4, 100, 5), rejected(exceeded));
    assert_eq!(world.replace(5, 2, 100, 7), refused(exceeded));
    // Before anything else that may be wrong, but for the ClientOrderId.
    assert_eq!(
        world.apply(ONE, enter(6, 99, 9, DAY, 100, 0)),
        rejected(exceeded)
    );
    assert_eq!(world.buy(2, 1, 1), rejected(Reason::DuplicateClientOrderId));
    assert_eq!(world.replace(7, 99, 1, 1), refused(Reason::UnknownOrder));
    // Cancels are always taken, and other firms are others.
    assert_eq!(world.cancel(2), ("ended", Reason::CanceledByRequest));
    assert_eq!(world.apply(OTHER, enter(80, 1, BUY, DAY, 100, 5)), ACCEPTED);
    // One each millisecond, to the nanosecond.
    world.driver.wait_until(first + MILLISECOND - 1);
    assert_eq!(world.buy(8, 100, 5), rejected(exceeded));
    assert_eq!(world.buy(9, 100, 5), ACCEPTED);
    assert_eq!(world.buy(10, 100, 5), rejected(exceeded));
    // And no more than three at once, however long it was quiet.
    world.after(60 * MILLISECOND);
    for id in 11..14 {
        assert_eq!(world.buy(id, 100, 5), ACCEPTED);
    }
    assert_eq!(world.buy(14, 100, 5), rejected(exceeded));
}

/// New orders and replaces count, whatever is wrong with them.
#[test]
fn messages_that_are_refused_are_messages() {
    let wrong: [Act; 6] = [
        |world| assert_eq!(world.buy(9, 0, 1), rejected(Reason::PriceBelowMinimum)),
        |world| {
            assert_eq!(
                world.buy(1, 100, 1),
                rejected(Reason::DuplicateClientOrderId)
            )
        },
        |world| assert_eq!(world.replace(9, 77, 1, 1), refused(Reason::UnknownOrder)),
        |world| {
            let nameless = EnterOrder {
                client_order_id: ClientOrderId::NONE,
                ..enter(9, 1, BUY, DAY, 100, 1)
            };
            assert_eq!(
                world.apply(ONE, nameless),
                rejected(Reason::InvalidClientOrderId)
            );
        },
        |world| {
            let order = RefuseOrder {
                client_order_id: ClientOrderId::from_u64(9),
                reason: Reason::UnknownInstrument.code(),
                ..RefuseOrder::default()
            };
            assert_eq!(world.apply(ONE, order), rejected(Reason::UnknownInstrument));
            let again = RefuseOrder {
                client_order_id: ClientOrderId::from_u64(10),
                ..order
            };
            assert_eq!(world.apply(ONE, again), rejected(Reason::LimitMessages));
        },
        |world| {
            let request = RefuseRequest {
                client_order_id: ClientOrderId::from_u64(9),
                original: ClientOrderId::from_u64(1),
                request: 21,
                reason: Reason::InvalidField.code(),
                ..RefuseRequest::default()
            };
            assert_eq!(world.apply(ONE, request), refused(Reason::InvalidField));
        },
    ];
    for send in wrong {
        let mut world = World::limited(SetLimits {
            messages: 2,
            messages_ms: 1_000,
            ..firm()
        });
        assert_eq!(world.buy(1, 100, 5), ACCEPTED);
        send(&mut world);
        assert_eq!(world.buy(20, 100, 5), rejected(Reason::LimitMessages));
    }
}

#[test]
fn another_message_rate_holds_at_once() {
    let rate = |messages, messages_ms| SetLimits {
        messages,
        messages_ms,
        ..firm()
    };
    let mut world = World::limited(rate(1, 1_000_000));
    assert_eq!(world.buy(1, 100, 5), ACCEPTED);
    assert_eq!(world.buy(2, 100, 5), rejected(Reason::LimitMessages));
    // The bucket is as full as it can be under the new rate: one each millisecond from now on.
    let changed = world.driver.next_time();
    world.set(rate(10, 10));
    assert_eq!(world.buy(3, 100, 5), rejected(Reason::LimitMessages));
    world.driver.wait_until(changed + MILLISECOND);
    assert_eq!(world.buy(4, 100, 5), ACCEPTED);
    assert_eq!(world.buy(5, 100, 5), rejected(Reason::LimitMessages));
    world.set(rate(0, 0));
    assert_eq!(world.buy(6, 100, 5), ACCEPTED);
    // More messages than nanoseconds: one each nanosecond.
    world.set(rate(u32::MAX, 1));
    assert_eq!(world.buy(7, 100, 5), ACCEPTED);
    world.set(rate(1, u32::MAX));
    world.after(u64::from(u32::MAX) * MILLISECOND);
    assert_eq!(world.buy(8, 100, 5), ACCEPTED);
    assert_eq!(world.buy(9, 100, 5), rejected(Reason::LimitMessages));
}

/// Firm; firm and account; firm and instrument; all three. In each all limits, in their order.
#[test]
fn four_sets_hold_and_are_asked_in_their_order() {
    let mut world = World::new();
    let sets = [
        firm(),
        of_account(0, firm()),
        in_one(),
        of_account(0, in_one()),
    ];
    let limits = |set: SetLimits| SetLimits {
        quantity: Quantity(1),
        ..set
    };
    let notional = |set: SetLimits| SetLimits {
        notional_e8: UNIT,
        ..set
    };
    // What one is beyond is the reason, whichever comes after it.
    for first in 0..4 {
        for set in sets {
            world.set(set);
        }
        world.set(notional(sets[first]));
        for set in &sets[first + 1..] {
            world.set(limits(*set));
        }
        let id = 1 + first as u64;
        assert_eq!(
            world.buy(id, 100, 2),
            rejected(Reason::LimitNotional),
            "{first}"
        );
        world.set(limits(notional(sets[first])));
        assert_eq!(
            world.buy(10 + id, 100, 2),
            rejected(Reason::LimitQuantity),
            "{first}"
        );
    }
    // Who is of another account or in another instrument is under the first only.
    for set in sets {
        world.set(limits(set));
    }
    world.set(firm());
    let of_another = EnterOrder {
        account: AccountId(7),
        ..enter(30, 2, BUY, DAY, 100, 2)
    };
    assert_eq!(world.apply(ONE, of_another), ACCEPTED);
    let in_another = enter(31, 2, BUY, DAY, 100, 2);
    assert_eq!(
        world.apply(ONE, in_another),
        rejected(Reason::LimitQuantity)
    );
    let of_another = EnterOrder {
        account: AccountId(7),
        ..enter(32, 1, BUY, DAY, 100, 2)
    };
    assert_eq!(
        world.apply(ONE, of_another),
        rejected(Reason::LimitQuantity)
    );
}

/// In one set: each limit alone is the reason, and all together the first in order is.
#[test]
fn the_first_limit_in_order_is_the_reason() {
    let mut world = World::new();
    world.trade_of_others(100);
    world.set(in_one());
    assert_eq!(world.buy(1, 100, 10), ACCEPTED);
    let mut limits = SetLimits {
        quantity: Quantity(9),
        notional_e8: 999 * UNIT,
        collar_bp: 100,
        open_orders: 1,
        position_limit: Quantity(10),
        gross_e8: 1_000 * UNIT,
        net_e8: 1_000 * UNIT,
        duplicates: 1,
        duplicates_ms: 1_000_000,
        ..in_one()
    };
    // Alike but for the price, the last one alike in all.
    let lift: [(Reason, i64, Change); 8] = [
        (Reason::LimitQuantity, 102, |set| set.quantity.0 = 0),
        (Reason::LimitNotional, 102, |set| set.notional_e8 = 0),
        (Reason::LimitCollar, 102, |set| set.collar_bp = 0),
        (Reason::LimitOpenOrders, 102, |set| set.open_orders = 0),
        (Reason::LimitPosition, 102, |set| set.position_limit.0 = 0),
        (Reason::LimitGross, 102, |set| set.gross_e8 = 0),
        (Reason::LimitNet, 102, |set| set.net_e8 = 0),
        (Reason::LimitDuplicates, 100, |set| set.duplicates = 0),
    ];
    for (at, (reason, price, lift)) in lift.into_iter().enumerate() {
        world.set(limits);
        let id = 10 + at as u64;
        assert_eq!(world.buy(id, price, 10), rejected(reason));
        lift(&mut limits);
    }
    limits.duplicates_ms = 0;
    world.set(limits);
    assert_eq!(world.buy(30, 100, 10), ACCEPTED);
}

/// What is open counts when limits come, hidden lots and what waits included; trades before do not.
#[test]
fn orders_that_are_open_count_in_limits_that_come_later() {
    let mut world = World::new();
    assert_eq!(world.buy(1, 100, 10), ACCEPTED);
    world.hit(SELL, 100, 4);
    assert_eq!(world.apply(ONE, iceberg(2, BUY, 90, 50, 5)), ACCEPTED);
    assert_eq!(world.apply(ONE, stop(3, BUY, 120, 7)), ACCEPTED);
    let parked = EnterOrder {
        order_type: MARKET,
        ..enter(4, 1, BUY, AT_THE_CLOSE, NO_PRICE.0, 3)
    };
    assert_eq!(world.apply(ONE, parked), ACCEPTED);
    let told = world.set(SetLimits {
        position_limit: Quantity(6 + 50 + 7 + 3 + 1),
        ..in_one()
    });
    assert_eq!(told.limits.position, 0);
    assert_eq!(world.buy(5, 100, 2), rejected(Reason::LimitPosition));
    assert_eq!(world.buy(6, 100, 1), ACCEPTED);
    world.cancel(6);
    // At their limits, the stop at its stop price, the market order at the highest price.
    let open = 6 * 100 + 50 * 90 + 7 * 120 + 3 * 200_000;
    world.set(SetLimits {
        gross_e8: (open + 100) * UNIT,
        ..firm()
    });
    assert_eq!(world.buy(7, 101, 1), rejected(Reason::LimitGross));
    assert_eq!(world.buy(8, 100, 1), ACCEPTED);
    world.cancel(8);
    // And they stop counting as any others.
    for id in [1, 2, 3, 4] {
        world.cancel(id);
    }
    world.set(SetLimits {
        open_orders: 1,
        gross_e8: 100 * UNIT,
        ..firm()
    });
    assert_eq!(world.buy(9, 100, 1), ACCEPTED);
}

/// However an order ends, nothing of it counts any more.
#[test]
fn whatever_ends_an_order_ends_its_count() {
    let ends: [(&str, Act); 13] = [
        ("canceled", |world| {
            world.buy(1, 100, 10);
            world.cancel(1);
        }),
        ("replaced to filled", |world| {
            world.buy(1, 100, 10);
            world.hit(SELL, 100, 4);
            assert_eq!(
                world.replace(2, 1, 100, 4),
                ("replaced", Reason::ReplacedToFilled)
            );
        }),
        (
            "an iceberg that was filled in part, then canceled",
            |world| {
                world.apply(ONE, iceberg(1, BUY, 100, 30, 5));
                world.hit(SELL, 100, 12);
                world.apply(ONE, replace(2, 1, 1, 100, 20));
                world.cancel(2);
            },
        ),
        ("an iceberg that was filled", |world| {
            world.apply(ONE, iceberg(1, BUY, 100, 12, 5));
            world.hit(SELL, 100, 12);
        }),
        ("decrement", |world| {
            world.apply(ONE, iceberg(1, BUY, 100, 12, 5));
            let order = EnterOrder {
                self_trade_prevention: 4,
                ..enter(2, 1, SELL, DAY, 100, 12)
            };
            world.apply(ONE, order);
        }),
        ("fill or kill", |world| {
            world.apply(ONE, enter(1, 1, BUY, FOK, 100, 10));
        }),
        ("minimum quantity", |world| {
            let mut order = iceberg(1, BUY, 100, 10, 0);
            order.order.time_in_force = IOC;
            order.terms.minimum = Quantity(5);
            assert_eq!(world.apply(ONE, order), ACCEPTED);
        }),
        ("a stop without liquidity", |world| {
            world.apply(ONE, stop(1, BUY, 100, 10));
            world.trade_of_others(100);
            let reason = Reason::NoLiquidity;
            assert_eq!(of_stop(world, 1), triggered_and_refused(1, reason));
        }),
        ("expired", |world| {
            let mut order = iceberg(1, BUY, 100, 10, 0);
            order.order.time_in_force = GTD;
            order.terms.expire_at = UtcNanos(world.driver.next_time() + 5);
            assert_eq!(world.apply(ONE, order), ACCEPTED);
            world.after(10);
            world.apply(VENUE, Tick::default());
        }),
        ("mass cancel", |world| {
            world.apply(ONE, iceberg(1, BUY, 100, 30, 5));
            world.apply(ONE, stop(2, SELL, 50, 7));
            let all = MassCancel {
                client_order_id: ClientOrderId::from_u64(3),
                scope: 1,
                ..MassCancel::default()
            };
            world.apply(ONE, all);
        }),
        ("disconnect", |world| {
            let logon = SessionLogon {
                cancel_on_disconnect: 3,
                ..SessionLogon::default()
            };
            let mut out = Vec::new();
            world.driver.logon_with(ONE, logon, &mut out);
            world.apply(ONE, iceberg(1, BUY, 100, 30, 5));
            world.apply(ONE, SessionDisconnected::default());
            world.driver.logon(ONE, &mut out);
        }),
        ("the day", |world| {
            world.buy(1, 100, 10);
            world.apply(ONE, enter(2, 1, SELL, AT_THE_CLOSE, 300, 10));
            world.roll(2);
        }),
        ("an auction", |world| {
            world.phase(TradingPhase::OpeningAuction);
            world.apply(ONE, iceberg(1, BUY, 100, 30, 5));
            world.apply(ONE, enter(2, 1, BUY, 2, 90, 10));
            world.apply(OTHER, enter(80, 1, SELL, DAY, 95, 30));
            world.phase(TradingPhase::Continuous);
        }),
    ];
    for (how, end) in ends {
        let mut world = World::limited(in_one());
        world.set(firm());
        end(&mut world);
        let position = world.set(in_one()).limits.position;
        world.set(SetLimits {
            open_orders: 1,
            position_limit: Quantity(5 + position.unsigned_abs()),
            ..in_one()
        });
        let lots = (5 + position.abs() - position).unsigned_abs();
        assert_eq!(
            world.buy(50, 10, lots + 1),
            rejected(Reason::LimitPosition),
            "{how}"
        );
        assert_eq!(world.buy(51, 10, lots), ACCEPTED, "{how}");
        assert_eq!(world.cancel(51).0, "ended");
        // A new day has no trades: what is open is all there is.
        world.roll(9);
        world.set(SetLimits {
            gross_e8: 100 * UNIT,
            ..firm()
        });
        assert_eq!(world.buy(52, 100, 1), ACCEPTED, "{how}");
    }
}

#[test]
fn what_is_no_set_of_limits_is_refused_and_changes_nothing() {
    let mut world = World::limited(SetLimits {
        quantity: Quantity(5),
        ..firm()
    });
    let invalid = Reason::InvalidDefinition;
    let wrong: [(Change, Reason); 14] = [
        (|set| set.firm = FirmId(0), invalid),
        (|set| set.firm = FirmId(7), invalid),
        (|set| set.firm = FirmId(u32::MAX), invalid),
        (
            |set| set.instrument = InstrumentId(u32::MAX),
            Reason::UnknownInstrument,
        ),
        (|set| set.account = AccountId(1), invalid),
        (|set| set.by_account = 2, invalid),
        (|set| set.release = 2, invalid),
        (|set| set.sets_position = 1, invalid),
        (|set| set.position_limit = Quantity(1), invalid),
        (|set| set.messages = 1, invalid),
        (
            |set| (set.by_account, set.messages, set.messages_ms) = (1, 1, 1),
            invalid,
        ),
        (|set| (set.duplicates, set.duplicates_ms) = (65, 1), invalid),
        (|set| (set.executions, set.executions_ms) = (65, 1), invalid),
        (|set| set.executions_ms = 1, invalid),
    ];
    for (spoil, reason) in wrong {
        let mut limits = firm();
        spoil(&mut limits);
        let before = world.driver.engine.state_hash();
        assert_eq!(
            world.apply(VENUE, limits),
            ("not set", reason),
            "{limits:?}"
        );
        assert_ne!(
            before,
            world.driver.engine.state_hash(),
            "its sequence counts"
        );
        assert_eq!(
            world.buy(world.requests, 100, 6),
            rejected(Reason::LimitQuantity)
        );
        world.requests += 1;
    }
    // No more than there is room for; what is there can be set again.
    let mut sets = 1;
    let full = loop {
        let answer = world.apply(VENUE, of_account(sets, firm()));
        if answer != ("set", Reason::None) {
            break answer;
        }
        sets += 1;
    };
    assert_eq!((full, sets), (("not set", Reason::DefinitionCapacity), 64));
    world.set(of_account(1, firm()));
    world.set(firm());
    assert_eq!(world.buy(1, 100, 6), ACCEPTED);
}

/// A session that is defined later is under its firm's limits.
#[test]
fn a_session_defined_later_is_limited() {
    let mut world = World::limited(SetLimits {
        quantity: Quantity(5),
        ..firm()
    });
    let session = DefineSession {
        firm: FirmId(1),
        ..venue::session(5, SessionProtocol::Binary)
    };
    world.apply(VENUE, session);
    world.driver.logon(SessionId(5), &mut Vec::new());
    let order = enter(1, 1, BUY, DAY, 100, 6);
    assert_eq!(
        world.apply(SessionId(5), order),
        rejected(Reason::LimitQuantity)
    );
}

/// The largest notional that an instrument may have, at both ends of its prices, and the largest
/// limits: nothing overflows, and beyond is beyond.
#[test]
fn extreme_prices_lots_and_limits() {
    let lots = 1 << 38;
    let step = i64::MAX / 4;
    let mut world = World::new();
    for (id, price_min) in [(3, -4 * step), (4, 0)] {
        let definition = DefineInstrument {
            price_unit_e8: 1,
            lot_size_e8: (1 << 25) - 1,
            tick: step.unsigned_abs(),
            price_min: Price(price_min),
            price_max: Price(price_min + 4 * step),
            quantity_max: Quantity(lots),
            ..venue::instrument(id)
        };
        world.apply(VENUE, definition);
    }
    let huge = SetLimits {
        gross_e8: u64::MAX,
        ..firm()
    };
    let mut position = SetLimits {
        instrument: InstrumentId(3),
        quantity: Quantity(u64::MAX),
        position_limit: Quantity(u64::MAX),
        collar_bp: u32::MAX,
        open_orders: u32::MAX,
        ..firm()
    };
    world.set(position);
    for (instrument, price) in [(3, -4 * step), (4, 4 * step)] {
        let id = 10 * u64::from(instrument);
        for maker in 0..4 {
            let order = enter(id + maker + 1, instrument, SELL, DAY, price, lots);
            assert_eq!(world.apply(ONE, order), ACCEPTED);
        }
        let order = enter(id + 5, instrument, BUY, IOC, price, lots);
        assert_eq!(world.apply(ONE, order), ACCEPTED);
        assert_eq!(world.events().len(), 3);
    }
    world.set(huge);
    assert_eq!(
        world.apply(ONE, enter(30, 3, BUY, DAY, 0, 1)),
        rejected(Reason::LimitGross)
    );
    world.set(firm());
    for (held, lots, answer) in [
        (i64::MAX, 1, ACCEPTED),
        (i64::MIN, 1, ACCEPTED),
        (i64::MAX, 1 << 38, ACCEPTED),
    ] {
        position.sets_position = 1;
        position.position = held;
        assert_eq!(world.set(position).limits.position, held);
        world.requests += 1;
        let order = enter(world.requests, 3, BUY, IOC, -4 * step, lots);
        assert_eq!(world.apply(ONE, order), answer);
    }
    position.position_limit = Quantity(1);
    world.set(position);
    assert_eq!(
        world.apply(ONE, enter(140, 3, BUY, IOC, 0, 1)),
        rejected(Reason::LimitPosition)
    );
    position.position = i64::MIN;
    world.set(position);
    assert_eq!(
        world.apply(ONE, enter(141, 3, SELL, IOC, 0, 1)),
        rejected(Reason::LimitPosition)
    );
}

/// An order that is open, from events.
struct Open {
    firm: u32,
    state: OrderState,
    stop_price: i64,
    /// A stop that was not released.
    waits: bool,
    /// An at-the-close order outside the book.
    parked: bool,
    /// The furthest price that collars let it trade at as it came in, if there are any.
    furthest: Option<i64>,
}

/// What the duplicate check compares: account, instrument, side, price, lots.
type Same = (u32, u32, u8, i64, u64);

/// A set of limits, and what happened since it was set first.
#[derive(Default)]
struct Set {
    limits: SetLimits,
    /// Bought and sold today.
    done: [u128; 2],
    position: i64,
    stopped: bool,
    fills: Vec<u64>,
    entered: VecDeque<(u64, Same)>,
}

/// Firm, account, instrument (0 = all).
type Key = (u32, Option<u32>, u32);

/// A question to all sets that hold.
struct Asked {
    firm: u32,
    account: u32,
    instrument: u32,
    side: u8,
    price: i64,
    quantity: u64,
    open: u64,
    /// A price that is to be within the collar, and whether on both sides.
    collared: Option<(i64, bool)>,
    /// What a new order is the same as.
    same: Option<Same>,
    instead_of: Option<u64>,
}

/// The command at work, as far as limits are concerned.
#[derive(Clone, Copy)]
enum Command {
    New(EnterOrder, OrderTerms),
    Replace(ReplaceOrder, OrderTerms),
    Unreadable { new: bool },
    Other,
}

#[derive(Default)]
struct Model {
    instruments: Vec<DefineInstrument>,
    phases: Vec<u8>,
    orders: BTreeMap<u64, Open>,
    sets: BTreeMap<Key, Set>,
    /// Last trade or reference price, the newer of both, by instrument.
    center: Vec<Option<i64>>,
    /// Nanoseconds in a firm's bucket of messages, and when that was.
    buckets: BTreeMap<u32, (u64, u64)>,
    /// A released stop whose next event says whether it passed.
    released: Option<(u64, Reason)>,
    /// Risk refusals of new orders, replaces and released stops, by reason.
    seen: [[u64; 10]; 3],
    /// Questions that were answered with yes.
    passed: [u64; 3],
    /// Market orders and stops that a collar ended, and fills of incoming orders that a collar held.
    ended_by_collar: u64,
    held_by_collar: u64,
}

fn is_risk(reason: Reason) -> bool {
    (200..=209).contains(&reason.code())
}

/// What is checked after risk limits.
fn is_after_risk(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::None
            | Reason::OrderCapacity
            | Reason::PriceLevelCapacity
            | Reason::PostOnlyWouldTake
    )
}

impl Model {
    fn notional(&self, instrument: u32, price: i64, lots: u64) -> u128 {
        let d = &self.instruments[instrument as usize];
        let price = u128::from(price.unsigned_abs()) * d.price_unit_e8 as u128;
        price * (u128::from(lots) * d.lot_size_e8 as u128) / 100_000_000
    }

    /// The price limit that is further from zero: what a market order for an auction counts at.
    fn furthest(&self, instrument: u32) -> i64 {
        let d = &self.instruments[instrument as usize];
        let (low, high) = (d.price_min.0, d.price_max.0);
        if low.unsigned_abs() > high.unsigned_abs() {
            low
        } else {
            high
        }
    }

    fn price_of(&self, order: &Open) -> i64 {
        let state = &order.state;
        let for_auction = [2, AT_THE_CLOSE].contains(&state.time_in_force);
        if for_auction && state.order_type == MARKET {
            return self.furthest(state.instrument.0);
        }
        if order.waits && order.state.order_type == STOP {
            order.stop_price
        } else {
            order.state.price.0
        }
    }

    /// Keys of all sets that may hold, in the order in which they are asked.
    fn keys(firm: u32, account: u32, instrument: u32) -> [Key; 4] {
        [
            (firm, None, 0),
            (firm, Some(account), 0),
            (firm, None, instrument),
            (firm, Some(account), instrument),
        ]
    }

    fn verdict(&self, asked: &Asked, now: u64) -> Reason {
        let keys = Self::keys(asked.firm, asked.account, asked.instrument);
        let sets = keys
            .iter()
            .filter_map(|key| Some((key, self.sets.get(key)?)));
        for (key, set) in sets {
            let reason = self.verdict_of(key, set, asked, now);
            if reason != Reason::None {
                return reason;
            }
        }
        Reason::None
    }

    fn verdict_of(&self, key: &Key, set: &Set, asked: &Asked, now: u64) -> Reason {
        let limits = &set.limits;
        let at = usize::from(asked.side - 1);
        let beyond = |limit: u64, value: u128| limit != 0 && value > u128::from(limit);
        let (mut orders, mut lots, mut open) = (1, [0u64; 2], [0u128; 2]);
        lots[at] = asked.open;
        open[at] = self.notional(asked.instrument, asked.price, asked.open);
        for (id, other) in &self.orders {
            let state = &other.state;
            let counts = other.firm == key.0
                && key.1.is_none_or(|account| account == state.account.0)
                && (key.2 == 0 || key.2 == state.instrument.0)
                && asked.instead_of != Some(*id);
            if counts {
                let at = usize::from(state.side - 1);
                let price = self.price_of(other);
                orders += 1;
                lots[at] += state.leaves.0;
                open[at] += self.notional(state.instrument.0, price, state.leaves.0);
            }
        }
        let whole = self.notional(asked.instrument, asked.price, asked.quantity);
        let ends = self.collar_ends(limits, asked.instrument);
        let collar = ends.zip(asked.collared).is_some_and(|(ends, collared)| {
            let (price, both) = collared;
            let above = price > ends.1 && (both || asked.side == BUY);
            above || price < ends.0 && (both || asked.side == SELL)
        });
        let long = i128::from(set.position) * if asked.side == BUY { 1 } else { -1 };
        let worst = long + i128::from(lots[at]);
        let net = (set.done[at] + open[at]).saturating_sub(set.done[1 - at]);
        let same = set.entered.iter().filter(|(then, same)| {
            Some(*same) == asked.same && then + u64::from(limits.duplicates_ms) * MILLISECOND > now
        });
        let checks = [
            (set.stopped, Reason::LimitExecutions),
            (
                beyond(limits.quantity.0, asked.quantity.into()),
                Reason::LimitQuantity,
            ),
            (beyond(limits.notional_e8, whole), Reason::LimitNotional),
            (collar, Reason::LimitCollar),
            (
                beyond(limits.open_orders.into(), orders),
                Reason::LimitOpenOrders,
            ),
            (
                limits.position_limit.0 != 0 && worst > i128::from(limits.position_limit.0),
                Reason::LimitPosition,
            ),
            (
                beyond(
                    limits.gross_e8,
                    set.done[0] + set.done[1] + open[0] + open[1],
                ),
                Reason::LimitGross,
            ),
            (beyond(limits.net_e8, net), Reason::LimitNet),
            (
                limits.duplicates != 0 && same.count() >= limits.duplicates as usize,
                Reason::LimitDuplicates,
            ),
        ];
        let first = checks.iter().find(|(fails, _)| *fails);
        first.map_or(Reason::None, |(_, reason)| *reason)
    }

    /// Lowest and highest price within a set's collar.
    fn collar_ends(&self, limits: &SetLimits, instrument: u32) -> Option<(i64, i64)> {
        let center = self.center[instrument as usize].filter(|center| *center != 0)?;
        let width = center.abs() * i64::from(limits.collar_bp) / 10_000;
        (limits.collar_bp != 0).then_some((center - width, center + width))
    }

    /// The furthest price at which all collars let an order that comes in trade.
    fn furthest_price(&self, firm: u32, order: (u32, u32, u8)) -> Option<i64> {
        let (account, instrument, side) = order;
        let keys = Self::keys(firm, account, instrument);
        let sets = keys.iter().filter_map(|key| self.sets.get(key));
        let ends = sets.filter_map(|set| self.collar_ends(&set.limits, instrument));
        if side == BUY {
            ends.map(|ends| ends.1).min()
        } else {
            ends.map(|ends| ends.0).max()
        }
    }

    /// Best price that an order could trade at.
    fn best_for(&self, instrument: InstrumentId, side: u8) -> Option<i64> {
        let book = self.orders.values().filter(|other| {
            let state = &other.state;
            !other.waits && !other.parked && state.instrument == instrument && state.side != side
        });
        let prices = book.map(|other| other.state.price.0);
        if side == BUY {
            prices.min()
        } else {
            prices.max()
        }
    }

    /// What counts most of the prices at which an order may trade at once, from the best opposite one to
    /// its own.
    fn worst(&self, instrument: InstrumentId, side: u8, price: i64, set_aside: bool) -> i64 {
        let trades = self.phases[instrument.0 as usize] == TradingPhase::Continuous as u8;
        let best = self.best_for(instrument, side);
        let met = best.filter(|best| {
            if side == BUY {
                *best <= price
            } else {
                *best >= price
            }
        });
        match met {
            Some(best) if trades && !set_aside && best.abs() > price.abs() => best,
            _ => price,
        }
    }

    /// How far an order of that firm goes that takes the best price and those behind it.
    fn protection(&mut self, firm: u32, order: (u32, u32, u8)) -> Option<i64> {
        let (_, instrument, side) = order;
        let best = self.best_for(InstrumentId(instrument), side)?;
        let d = &self.instruments[instrument as usize];
        let reach = d.protection_ticks as i64 * d.tick as i64;
        let protection = if side == BUY {
            (best + reach).min(d.price_max.0)
        } else {
            (best - reach).max(d.price_min.0)
        };
        let end = self.furthest_price(firm, order).unwrap_or(protection);
        let held = if side == BUY {
            protection.min(end)
        } else {
            protection.max(end)
        };
        self.ended_by_collar += u64::from(held != protection);
        Some(held)
    }

    /// Whether the firm's bucket of messages takes another.
    fn take_message(&mut self, firm: u32, now: u64) -> bool {
        let Some(set) = self.sets.get(&(firm, None, 0)) else {
            return true;
        };
        if set.limits.messages == 0 {
            return true;
        }
        let messages = u64::from(set.limits.messages);
        let each = (u64::from(set.limits.messages_ms) * MILLISECOND / messages).max(1);
        let bucket = self.buckets.entry(firm).or_default();
        *bucket = (bucket.0.saturating_sub(now - bucket.1), now);
        let fits = bucket.0 + each <= each * messages;
        if fits {
            bucket.0 += each;
        }
        fits
    }

    fn limits_stopped(&self, told: &LimitsSet) {
        let limits = told.limits;
        let account = (limits.by_account == 1).then_some(limits.account.0);
        let set = &self.sets[&(limits.firm.0, account, limits.instrument.0)];
        assert_eq!(told.stopped, 1);
        assert!(set.stopped);
        assert_eq!(limits.position, set.position);
    }

    fn limits_set(&mut self, told: &LimitsSet, now: u64) {
        let limits = told.limits;
        let account = (limits.by_account == 1).then_some(limits.account.0);
        let key = (limits.firm.0, account, limits.instrument.0);
        let set = self.sets.entry(key).or_default();
        if limits.sets_position == 1 {
            set.position = limits.position;
        }
        if limits.release == 1 {
            set.stopped = false;
            set.fills.clear();
        }
        set.limits = limits;
        assert_eq!(told.limits.position, set.position);
        assert_eq!(told.stopped == 1, set.stopped);
        if key.1.is_none() && key.2 == 0 {
            let bucket = self.buckets.entry(key.0).or_default();
            *bucket = (bucket.0.saturating_sub(now - bucket.1), now);
            let messages = u64::from(limits.messages).max(1);
            let window = u64::from(limits.messages_ms) * MILLISECOND;
            bucket.0 = bucket
                .0
                .min((window / messages).max(1) * u64::from(limits.messages));
        }
    }

    /// The price at which a new order counts; none if it was refused for want of a market.
    fn entry_price(&mut self, firm: u32, order: &EnterOrder, terms: &OrderTerms) -> Option<i64> {
        let for_auction = [2, AT_THE_CLOSE].contains(&order.time_in_force);
        let of = (order.account.0, order.instrument.0, order.side);
        match order.order_type {
            MARKET if for_auction => Some(self.furthest(order.instrument.0)),
            MARKET => self.protection(firm, of),
            MARKET_TO_LIMIT => self.best_for(order.instrument, order.side),
            STOP => Some(terms.stop_price.0),
            _ => Some(order.price.0),
        }
    }

    /// A new order was accepted or refused.
    fn entered(
        &mut self,
        session: u32,
        order: &EnterOrder,
        terms: &OrderTerms,
        rate: bool,
        reason: Reason,
        now: u64,
    ) {
        let ids = [
            Reason::InvalidClientOrderId,
            Reason::DuplicateClientOrderId,
            Reason::ClientOrderIdCapacity,
        ];
        if ids.contains(&reason) {
            return;
        }
        assert_eq!(reason == Reason::LimitMessages, !rate, "{order:?}");
        if !rate {
            self.seen[0][9] += 1;
            return;
        }
        if !is_risk(reason) && !is_after_risk(reason) {
            return;
        }
        let firm = FIRMS[session as usize];
        let price = self.entry_price(firm, order, terms);
        let price = price.expect("it was looked for");
        let for_auction = [2, AT_THE_CLOSE].contains(&order.time_in_force);
        let collared = match order.order_type {
            MARKET if for_auction => None,
            MARKET => {
                let best = self.best_for(order.instrument, order.side);
                best.map(|best| (best, false))
            }
            // When they are released.
            STOP | STOP_LIMIT => None,
            _ => Some((price, true)),
        };
        let is_stop = [STOP, STOP_LIMIT].contains(&order.order_type);
        let set_aside = is_stop || order.time_in_force == AT_THE_CLOSE;
        let takes_any = [MARKET, MARKET_TO_LIMIT].contains(&order.order_type);
        let same = (
            order.account.0,
            order.instrument.0,
            order.side,
            if takes_any { NO_PRICE.0 } else { price },
            order.quantity.0,
        );
        let asked = Asked {
            firm,
            account: order.account.0,
            instrument: order.instrument.0,
            side: order.side,
            price: self.worst(order.instrument, order.side, price, set_aside),
            quantity: order.quantity.0,
            open: order.quantity.0,
            collared,
            same: Some(same),
            instead_of: None,
        };
        self.compare(0, &asked, reason, now);
        if reason == Reason::None {
            for key in Self::keys(asked.firm, asked.account, asked.instrument) {
                if let Some(set) = self.sets.get_mut(&key) {
                    set.entered.push_back((now, same));
                    if set.entered.len() > REMEMBERED {
                        set.entered.pop_front();
                    }
                }
            }
        }
    }

    fn compare(&mut self, what: usize, asked: &Asked, reason: Reason, now: u64) {
        let expected = self.verdict(asked, now);
        if is_risk(reason) {
            assert_eq!(reason, expected);
            self.seen[what][usize::from(reason.code() - 200)] += 1;
        } else {
            assert_eq!(expected, Reason::None, "the answer was {reason:?}");
            self.passed[what] += 1;
        }
    }

    /// A replace was taken or refused; `order` is the one it named, 0 = none.
    fn asked_to_replace(
        &mut self,
        order: u64,
        (request, terms): (&ReplaceOrder, &OrderTerms),
        rate: bool,
        reason: Reason,
        now: u64,
    ) {
        let before_rate = [
            Reason::UnknownOrder,
            Reason::IdMismatch,
            Reason::TooLateToCancel,
            Reason::InvalidClientOrderId,
            Reason::DuplicateClientOrderId,
            Reason::ClientOrderIdCapacity,
            Reason::TermsMismatch,
            Reason::ReplaceNotAllowed,
        ];
        if before_rate.contains(&reason) {
            return;
        }
        assert_eq!(reason == Reason::LimitMessages, !rate, "{request:?}");
        if !rate {
            self.seen[1][9] += 1;
            return;
        }
        if !is_risk(reason) && !is_after_risk(reason) {
            return;
        }
        let open = &self.orders[&order];
        let state = &open.state;
        if request.quantity <= state.cumulative {
            assert!(!is_risk(reason), "what ends it is taken");
            return;
        }
        let no_price = [STOP, MARKET].contains(&state.order_type);
        let same_price = no_price || request.price == state.price;
        let same_stop =
            terms.stop_price == NO_PRICE || open.waits && terms.stop_price.0 == open.stop_price;
        if same_price && same_stop && request.quantity <= state.quantity {
            assert!(!is_risk(reason), "what only shrinks is taken");
            return;
        }
        let price = match state.order_type {
            STOP if open.waits && terms.stop_price != NO_PRICE => terms.stop_price.0,
            STOP | MARKET => self.price_of(open),
            _ => request.price.0,
        };
        let asked = Asked {
            firm: open.firm,
            account: state.account.0,
            instrument: state.instrument.0,
            side: state.side,
            price: self.worst(
                state.instrument,
                state.side,
                price,
                open.waits || open.parked,
            ),
            quantity: request.quantity.0,
            open: request.quantity.0 - state.cumulative.0,
            collared: (!open.waits && !no_price).then_some((price, true)),
            same: None,
            instead_of: Some(order),
        };
        self.compare(1, &asked, reason, now);
    }

    /// A stop is released: its next event says what the limits said.
    fn triggered(&mut self, order: &OrderState, now: u64) {
        let firm = self.orders[&order.order_id.0].firm;
        let of = (order.account.0, order.instrument.0, order.side);
        let best = self.best_for(order.instrument, order.side);
        if order.order_type == STOP && best.is_some() {
            let held = self.protection(firm, of);
            assert_eq!(Some(order.price.0), held, "a released stop's protection");
        }
        let asked = Asked {
            firm,
            account: order.account.0,
            instrument: order.instrument.0,
            side: order.side,
            price: self.worst(order.instrument, order.side, order.price.0, false),
            quantity: order.quantity.0,
            open: order.leaves.0,
            collared: match order.order_type {
                STOP_LIMIT => Some((order.price.0, true)),
                _ => best.map(|best| (best, false)),
            },
            same: None,
            instead_of: Some(order.order_id.0),
        };
        self.released = Some((order.order_id.0, self.verdict(&asked, now)));
    }

    /// The event behind a release, if there is one.
    fn after_release(&mut self, order: Option<u64>, reason: Reason) {
        let Some((released, expected)) = self.released.take() else {
            return;
        };
        let own = order == Some(released);
        if own && matches!(reason, Reason::NoLiquidity | Reason::PriceOutsideBand) {
            return;
        }
        let told = if own && is_risk(reason) {
            reason
        } else {
            Reason::None
        };
        assert_eq!(told, expected, "a released stop");
        if told == Reason::None {
            self.passed[2] += 1;
        } else {
            self.seen[2][usize::from(told.code() - 200)] += 1;
        }
    }

    fn update(&mut self, order: &OrderState) {
        if order.leaves.0 == 0 {
            self.orders.remove(&order.order_id.0).expect("it was open");
        } else {
            let known = self.orders.get_mut(&order.order_id.0);
            known.expect("it is open").state = *order;
        }
    }

    fn filled(&mut self, order: &OrderState, price: i64, lots: u64, taker: bool, now: u64) {
        let instrument = order.instrument.0;
        let notional = self.notional(instrument, price, lots);
        self.center[instrument as usize] = Some(price);
        let Open { firm, furthest, .. } = self.orders[&order.order_id.0];
        if let Some(furthest) = furthest.filter(|_| taker) {
            let held = if order.side == BUY {
                price <= furthest
            } else {
                price >= furthest
            };
            assert!(held, "{order:?} at {price}, beyond {furthest}");
            self.held_by_collar += 1;
        }
        for key in Self::keys(firm, order.account.0, instrument) {
            let Some(set) = self.sets.get_mut(&key) else {
                continue;
            };
            set.done[usize::from(order.side - 1)] += notional;
            set.position += if order.side == BUY { 1 } else { -1 } * lots as i64;
            set.fills.push(now);
            let window = u64::from(set.limits.executions_ms) * MILLISECOND;
            set.fills.retain(|then| then + 100 * MILLISECOND > now);
            let recent = set.fills.iter().filter(|then| **then + window > now);
            let most = set.limits.executions as usize;
            set.stopped |= most != 0 && recent.count() >= most;
        }
        self.update(order);
    }

    fn accepted(&mut self, session: u32, order: &OrderState, terms: &OrderTerms) {
        let closing =
            self.phases[order.instrument.0 as usize] == TradingPhase::ClosingAuction.as_u8();
        let open = Open {
            firm: FIRMS[session as usize],
            state: *order,
            stop_price: terms.stop_price.0,
            waits: [STOP, STOP_LIMIT].contains(&order.order_type),
            parked: order.time_in_force == AT_THE_CLOSE && !closing,
            furthest: None,
        };
        self.orders.insert(order.order_id.0, open);
        self.comes_in(order);
    }

    /// An order may trade from now on, as far as collars allow now.
    fn comes_in(&mut self, order: &OrderState) {
        let of = (order.account.0, order.instrument.0, order.side);
        let open = self.orders.get(&order.order_id.0);
        if let Some(firm) = open.map(|open| open.firm) {
            let furthest = self.furthest_price(firm, of);
            self.orders
                .entry(order.order_id.0)
                .and_modify(|open| open.furthest = furthest);
        }
    }

    /// Everything that a command of a session caused.
    fn read(&mut self, bytes: &[u8], session: u32, command: &Command, now: u64) {
        let mut taken = None;
        venue::for_each_event(bytes, |header, body| {
            self.read_one(header, &body, session, command, &mut taken, now);
        });
        self.after_release(None, Reason::None);
        // What the edge could not express may have had another answer: it counts all the same.
        if let Command::Unreadable { new: false } = command {
            self.take_message(FIRMS[session as usize], now);
        }
    }

    fn read_one(
        &mut self,
        header: &EventHeader,
        body: &EventBody<'_>,
        session: u32,
        command: &Command,
        taken: &mut Option<bool>,
        now: u64,
    ) {
        let reason = Reason::try_from(header.reason).unwrap();
        let canceled = match body {
            EventBody::OrderCanceled(e) => Some(e.order.order_id.0),
            _ => None,
        };
        self.after_release(canceled, reason);
        // The first event that answers is the answer: what was due came before.
        let answers = header.inbound_seq != 0 && taken.is_none();
        if answers && !matches!(command, Command::Other | Command::Unreadable { new: false }) {
            *taken = Some(self.take_message(FIRMS[session as usize], now));
        }
        let rate = taken.unwrap_or(true);
        match body {
            EventBody::OrderAccepted(e) => {
                self.answer_new(session, command, rate, reason, now);
                self.accepted(session, &e.order, &OrderTerms::NONE);
            }
            EventBody::OrderAcceptedWithTerms(e) => {
                self.answer_new(session, command, rate, reason, now);
                self.accepted(session, &e.order, &e.terms);
            }
            EventBody::OrderRejected(_) => self.answer_new(session, command, rate, reason, now),
            EventBody::OrderReplaced(e) => self.replaced(&e.order, None, command, rate, now),
            EventBody::OrderReplacedWithTerms(e) => {
                self.replaced(&e.replaced.order, Some(&e.terms), command, rate, now);
            }
            EventBody::RequestRejected(e) => {
                if let Command::Replace(request, terms) = command {
                    let order = e.order_id.0;
                    self.asked_to_replace(order, (request, terms), rate, reason, now);
                }
            }
            EventBody::OrderTriggered(e) => {
                if reason == Reason::StopTriggered {
                    self.triggered(&e.order, now);
                }
                self.update(&e.order);
                let order = self.orders.get_mut(&e.order.order_id.0).unwrap();
                order.waits &= reason != Reason::StopTriggered;
                order.parked = false;
                self.comes_in(&e.order);
            }
            EventBody::Fill(e) => {
                let taker = e.liquidity == Liquidity::Removed.as_u8();
                self.filled(&e.order, e.last_price.0, e.last_quantity.0, taker, now);
            }
            EventBody::OrderCanceled(e) => self.update(&e.order),
            EventBody::OrderRestated(e) => self.update(&e.order),
            EventBody::LimitsSet(e) if reason == Reason::LimitExecutions => self.limits_stopped(e),
            EventBody::LimitsSet(e) => self.limits_set(e, now),
            EventBody::ReferenceSet(e) => {
                self.center[e.instrument.0 as usize] = Some(e.price.0);
            }
            EventBody::PhaseChanged(e) => self.phases[e.instrument.0 as usize] = e.phase,
            EventBody::DayRolled(_) => {
                for set in self.sets.values_mut() {
                    set.done = [0; 2];
                }
            }
            _ => {}
        }
    }

    fn answer_new(
        &mut self,
        session: u32,
        command: &Command,
        rate: bool,
        reason: Reason,
        now: u64,
    ) {
        match command {
            Command::New(order, terms) => {
                self.entered(session, order, terms, rate, reason, now);
            }
            Command::Unreadable { new: true } => {
                assert_eq!(reason == Reason::LimitMessages, !rate);
            }
            _ => panic!("nobody entered an order"),
        }
    }

    fn replaced(
        &mut self,
        order: &OrderState,
        terms: Option<&OrderTerms>,
        command: &Command,
        rate: bool,
        now: u64,
    ) {
        let Command::Replace(request, asked) = command else {
            panic!("nobody replaced an order");
        };
        let id = order.order_id.0;
        self.asked_to_replace(id, (request, asked), rate, Reason::None, now);
        if let (Some(terms), Some(open)) = (terms, self.orders.get_mut(&id)) {
            open.stop_price = terms.stop_price.0;
        }
        self.update(order);
        self.comes_in(order);
    }
}

/// Three instruments: one at 100, one that is interrupted, one whose prices are around zero and whose
/// notionals are not whole.
fn instruments() -> [DefineInstrument; 3] {
    [
        DefineInstrument {
            price_max: Price(200),
            protection_ticks: 5,
            ..venue::instrument(1)
        },
        DefineInstrument {
            price_min: Price(50),
            price_max: Price(150),
            protection_ticks: 5,
            dynamic_band: 8,
            interruption_ms: 1,
            ..venue::instrument(2)
        },
        DefineInstrument {
            price_min: Price(-40),
            price_max: Price(40),
            protection_ticks: 3,
            price_unit_e8: 1_000_003,
            lot_size_e8: 33_333_333,
            ..venue::instrument(3)
        },
    ]
}

/// Draws commands.
struct Stream {
    random: Random,
    next_id: u64,
    day: u32,
    /// New orders of late, to be sent again.
    recent: VecDeque<(u32, EnterOrder, OrderTerms)>,
}

impl Stream {
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.below(of.len() as u64) as usize]
    }

    fn chance(&mut self, per_cent: u64) -> bool {
        self.random.below(100) < per_cent
    }

    fn id(&mut self) -> ClientOrderId {
        self.next_id += 1;
        ClientOrderId::from_u64(self.next_id)
    }

    fn price(&mut self, instrument: u32) -> i64 {
        let middle = if instrument == 3 { 0 } else { 100 };
        middle + self.random.below(21) as i64 - 10
    }

    fn new_order(&mut self, now: u64) -> (u32, EnterOrder, OrderTerms) {
        if self.chance(15) && !self.recent.is_empty() {
            let at = self.random.below(self.recent.len() as u64) as usize;
            let (session, order, terms) = self.recent[at];
            let order = EnterOrder {
                client_order_id: self.id(),
                ..order
            };
            return (session, order, terms);
        }
        let session = self.pick(&[1, 1, 2, 2, 3, 3, 4]);
        let instrument = 1 + self.random.below(3) as u32;
        let mut order = EnterOrder {
            client_order_id: self.id(),
            account: AccountId(self.random.below(3) as u32),
            order_type: self.pick(&[
                1,
                2,
                2,
                2,
                2,
                STOP,
                STOP,
                STOP_LIMIT,
                STOP_LIMIT,
                MARKET_TO_LIMIT,
            ]),
            time_in_force: self.pick(&[DAY, DAY, DAY, GTC, GTD, IOC, FOK, 2, AT_THE_CLOSE]),
            self_trade_prevention: self.pick(&[0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
            ..enter(
                0,
                instrument,
                self.pick(&[BUY, SELL]),
                DAY,
                self.price(instrument),
                1 + self.random.below(100),
            )
        };
        order.client_order_id = ClientOrderId::from_u64(self.next_id);
        let mut terms = OrderTerms::NONE;
        if order.order_type == MARKET && self.chance(70) {
            order.time_in_force = self.pick(&[IOC, FOK]);
        }
        if [STOP, STOP_LIMIT].contains(&order.order_type) {
            order.time_in_force = self.pick(&[DAY, GTC, GTD]);
            terms.stop_price = Price(self.price(instrument));
        }
        if [MARKET, STOP, MARKET_TO_LIMIT].contains(&order.order_type) {
            order.price = NO_PRICE;
        }
        if order.order_type == 2 && self.chance(10) {
            order.instructions = 1;
        }
        if order.time_in_force == GTD {
            terms.expire_at = UtcNanos(now + 1 + self.random.below(4 * MILLISECOND));
        }
        if order.time_in_force == IOC && self.chance(30) {
            terms.minimum = Quantity(1 + self.random.below(order.quantity.0));
        }
        let shows_less = ![MARKET, STOP].contains(&order.order_type) && self.chance(25);
        if shows_less && [DAY, GTC, GTD].contains(&order.time_in_force) {
            terms.display = Quantity(1 + self.random.below(order.quantity.0));
        }
        self.recent.push_back((session, order, terms));
        if self.recent.len() > 6 {
            self.recent.pop_front();
        }
        (session, order, terms)
    }

    /// A request for an open order, mostly what it may be.
    fn replace(&mut self, model: &Model) -> Option<(u32, ReplaceOrder, OrderTerms)> {
        let nth = self.random.below(model.orders.len().max(1) as u64) as usize;
        let (id, open) = model.orders.iter().nth(nth)?;
        let state = &open.state;
        let sessions: &[u32] = if open.firm == 1 {
            &[1, 2]
        } else {
            &[open.firm + 1]
        };
        let session = self.pick(sessions);
        let mut request = ReplaceOrder {
            client_order_id: self.id(),
            price: if self.chance(40) {
                state.price
            } else {
                Price(self.price(state.instrument.0))
            },
            quantity: Quantity(1 + self.random.below(state.quantity.0 + 20)),
            order_id: trading_engine_protocol::types::OrderId(*id),
            ..replace(0, 0, state.instrument.0, 0, 0)
        };
        request.client_order_id = ClientOrderId::from_u64(self.next_id);
        request.original = ClientOrderId::NONE;
        request.price = if request.price.0 == 0 && state.instrument.0 != 3 {
            Price(100)
        } else {
            request.price
        };
        if state.order_type == MARKET || (open.waits && state.order_type == STOP) {
            request.price = NO_PRICE;
        }
        let mut terms = OrderTerms::NONE;
        if open.waits && self.chance(50) {
            terms.stop_price = Price(self.price(state.instrument.0));
        }
        if !open.waits && self.chance(5) {
            terms.display = Quantity(1 + self.random.below(request.quantity.0));
        }
        Some((session, request, terms))
    }

    fn below_or_none(&mut self, per_cent: u64, least: u64, most: u64) -> u64 {
        if self.chance(per_cent) {
            least + self.random.below(most - least + 1)
        } else {
            0
        }
    }

    fn limits(&mut self) -> SetLimits {
        let firm = FirmId(1 + self.random.below(2) as u32);
        let mut set = SetLimits {
            firm,
            by_account: self.pick(&[0, 1]),
            instrument: InstrumentId(self.pick(&[0, 0, 1, 2, 3])),
            release: u8::from(self.chance(80)),
            quantity: Quantity(self.below_or_none(8, 60, 99)),
            notional_e8: self.below_or_none(8, 3_000, 12_000) * UNIT,
            gross_e8: self.below_or_none(40, 30_000, 600_000) * UNIT,
            net_e8: self.below_or_none(40, 5_000, 60_000) * UNIT,
            collar_bp: self.below_or_none(8, 300, 1_500) as u32,
            open_orders: self.below_or_none(40, 2, 25) as u32,
            duplicates: self.below_or_none(40, 1, 4) as u32,
            executions: self.below_or_none(15, 4, 64) as u32,
            ..SetLimits::default()
        };
        if set.by_account == 1 {
            set.account = AccountId(self.random.below(3) as u32);
        }
        if set.instrument.0 != 0 {
            set.position_limit = Quantity(self.below_or_none(50, 50, 1_000));
            set.sets_position = u8::from(self.chance(20));
            set.position = self.random.below(1_000) as i64 - 500;
        } else if set.by_account == 0 {
            set.messages = self.below_or_none(15, 2, 40) as u32;
        }
        if set.duplicates != 0 {
            set.duplicates_ms = 1 + self.random.below(5) as u32;
        }
        if set.executions != 0 {
            set.executions_ms = 1 + self.random.below(2) as u32;
        }
        if set.messages != 0 {
            set.messages_ms = 1 + self.random.below(4) as u32;
        }
        set
    }
}

/// A stream through an engine, and the model beside it.
struct Run {
    driver: Driver,
    model: Model,
    stream: Stream,
    out: Vec<u8>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut run = Self {
            driver: Driver::world_of(
                EngineLimits {
                    orders: 300,
                    ..small()
                },
                0,
                &sessions(),
            ),
            model: Model {
                instruments: vec![DefineInstrument::default()],
                phases: vec![TradingPhase::Continuous.as_u8(); 4],
                center: vec![None; 4],
                ..Model::default()
            },
            stream: Stream {
                random: Random::new(seed),
                next_id: 0,
                day: 0,
                recent: VecDeque::new(),
            },
            out: Vec::with_capacity(1 << 22),
        };
        for definition in instruments() {
            run.model.instruments.push(definition);
            run.apply(VENUE, definition, Command::Other);
        }
        run
    }

    fn apply<B: Body>(&mut self, session: SessionId, body: B, command: Command) {
        self.out.clear();
        let now = self.driver.next_time();
        let sent = self.driver.command(session, body);
        ARMED.set(true);
        self.driver.apply_command(&sent, &mut self.out);
        ARMED.set(false);
        self.model.read(&self.out, session.0, &command, now);
        assert_eq!(
            self.driver.engine.open_orders() as usize,
            self.model.orders.len()
        );
    }

    fn step(&mut self) {
        if self.stream.chance(3) {
            let wait = self.stream.random.below(MILLISECOND);
            self.driver.wait_until(self.driver.next_time() + wait);
        } else if self.stream.chance(50) {
            let wait = self.stream.random.below(30_000);
            self.driver.wait_until(self.driver.next_time() + wait);
        }
        let now = self.driver.next_time();
        match self.stream.random.below(2_000) {
            0..1_100 => {
                let (session, order, terms) = self.stream.new_order(now);
                let command = Command::New(order, terms);
                if terms == OrderTerms::NONE && self.stream.chance(50) {
                    self.apply(SessionId(session), order, command);
                } else {
                    let order = EnterOrderWithTerms { order, terms };
                    self.apply(SessionId(session), order, command);
                }
            }
            1_100..1_500 => {
                let Some((session, replace, terms)) = self.stream.replace(&self.model) else {
                    return;
                };
                let command = Command::Replace(replace, terms);
                if terms == OrderTerms::NONE {
                    self.apply(SessionId(session), replace, command);
                } else {
                    let replace = ReplaceOrderWithTerms { replace, terms };
                    self.apply(SessionId(session), replace, command);
                }
            }
            1_500..1_640 => {
                if let Some((session, replace, _)) = self.stream.replace(&self.model) {
                    let cancel = trading_engine::engine::command::CancelOrder {
                        client_order_id: replace.client_order_id,
                        order_id: replace.order_id,
                        ..Default::default()
                    };
                    self.apply(SessionId(session), cancel, Command::Other);
                }
            }
            1_640..1_760 => {
                let limits = self.stream.limits();
                self.apply(VENUE, limits, Command::Other);
            }
            1_760..1_800 => {
                let phases = [0, 1, 2, 3, 4, 5, 6];
                let other = self.stream.pick(&phases);
                let set = SetPhase {
                    instrument: InstrumentId(self.stream.random.below(4) as u32),
                    phase: if self.stream.chance(70) {
                        TradingPhase::Continuous.as_u8()
                    } else {
                        other
                    },
                    ..SetPhase::default()
                };
                self.apply(VENUE, set, Command::Other);
            }
            1_800..1_810 => {
                let instrument = 1 + self.stream.random.below(3) as u32;
                let set = SetReference {
                    instrument: InstrumentId(instrument),
                    price: Price(self.stream.price(instrument)),
                    ..SetReference::default()
                };
                self.apply(VENUE, set, Command::Other);
            }
            1_810..1_840 => self.many_at_once(),
            1_840..1_841 => {
                self.stream.day += 1;
                let roll = DayRoll {
                    trading_day: 20_260_000 + self.stream.day,
                    reserved: 0,
                };
                self.apply(VENUE, roll, Command::Other);
            }
            1_841..1_870 => self.unreadable(),
            _ => self.apply(VENUE, Tick::default(), Command::Other),
        }
    }

    fn many_at_once(&mut self) {
        let session = SessionId(1 + self.stream.random.below(4) as u32);
        match self.stream.random.below(3) {
            0 => {
                let request = MassCancel {
                    client_order_id: self.stream.id(),
                    scope: 1,
                    side: self.stream.random.below(3) as u8,
                    instrument: InstrumentId(self.stream.random.below(4) as u32),
                    ..MassCancel::default()
                };
                self.apply(session, request, Command::Other);
            }
            1 => {
                let request = CancelAfter {
                    after_ms: self.stream.random.below(3) as u32,
                    reserved: 0,
                };
                self.apply(session, request, Command::Other);
            }
            _ => {
                self.apply(session, SessionDisconnected::default(), Command::Other);
                if self.stream.chance(50) {
                    let wait = self.stream.random.below(2 * MILLISECOND);
                    self.driver.wait_until(self.driver.next_time() + wait);
                }
                let logon = SessionLogon {
                    cancel_on_disconnect: 1,
                    cancel_grace_ms: self.stream.random.below(2) as u32,
                    ..SessionLogon::default()
                };
                self.apply(session, logon, Command::Other);
                self.driver.generation[session.0 as usize] += 1;
            }
        }
    }

    fn unreadable(&mut self) {
        let session = SessionId(1 + self.stream.random.below(4) as u32);
        let client_order_id = self.stream.id();
        if self.stream.chance(50) {
            let refuse = RefuseOrder {
                client_order_id,
                reason: Reason::UnknownInstrument.code(),
                ..RefuseOrder::default()
            };
            self.apply(session, refuse, Command::Unreadable { new: true });
        } else {
            let refuse = RefuseRequest {
                client_order_id,
                request: 21,
                reason: Reason::InvalidField.code(),
                ..RefuseRequest::default()
            };
            self.apply(session, refuse, Command::Unreadable { new: false });
        }
    }
}

/// Every refusal by a limit, and every order that limits let pass, as the model says; nothing is
/// allocated; and the same stream gives the same state twice.
#[test]
fn a_random_stream_is_refused_where_sums_from_scratch_say_so() {
    let seed = seed();
    let commands = number("COMMANDS").unwrap_or(1_200_000);
    let run = || {
        let mut run = Run::new(seed);
        for _ in 0..commands {
            run.step();
        }
        run
    };
    let (run, again) = (run(), run());
    let state = run.driver.engine.state_hash();
    assert_eq!(state, again.driver.engine.state_hash(), "twice");
    let model = &run.model;
    println!("{:?} passed {:?}", model.seen, model.passed);
    let by_collars = (model.ended_by_collar, model.held_by_collar);
    println!("collars ended {} and held {}", by_collars.0, by_collars.1);
    assert_eq!(
        ALLOCATIONS.get(),
        0,
        "nothing is allocated after construction"
    );
    if commands < 200_000 {
        return;
    }
    assert!(by_collars.0 > 100 && by_collars.1 > 1_000, "{by_collars:?}");
    for (at, what) in ["new orders", "replaces", "released stops"]
        .iter()
        .enumerate()
    {
        assert!(
            model.passed[at] > 500,
            "{what} passed: {}",
            model.passed[at]
        );
        for (code, count) in model.seen[at].iter().enumerate() {
            // Duplicates and messages are no matter of other questions.
            let asked = match code {
                7 => at == 0,
                9 => at < 2,
                _ => true,
            };
            let least = if at == 2 { 10 } else { 100 };
            assert!(
                !asked || *count >= least,
                "{what}, reason {}: {count}",
                200 + code
            );
        }
    }
}
