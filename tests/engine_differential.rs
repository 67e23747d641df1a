//! The engine against an oracle of plain vectors: one random stream over every feature of
//! `protocol/ORDERS.md`, every event compared field by field, visible depth compared after each
//! command and whole books every few hundred, and `executed + leaves + canceled = ordered`.
//!
//! `SEED` repeats a run, `COMMANDS` sets its length (default 200,000).

mod support;

use std::collections::{BTreeMap, HashMap};

use support::naive::{Known, Means, Order, State, Told, Venue, What};
use support::settings::{number, seed};
use support::venue::{self, Driver, NO_PRICE};
use support::workload::Random;
use trading_engine::engine::command::{
    CancelAfter, CancelOrder, DayRoll, DefineInstrument, DefineSession, EnterOrder,
    EnterOrderWithTerms, MassCancel, OrderTerms, ReplaceOrder, ReplaceOrderWithTerms,
    SessionDisconnected, SessionLogon, SessionMessage, Tick,
};
use trading_engine::engine::event::{EventBody, OrderState};
use trading_engine::limits::{EngineLimits, STEP_EVENTS_MAX};
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, FirmId, InstrumentId, OrderId, OrderType, Price, Quantity, Reason,
    SelfTradePrevention, SessionId, SessionProtocol, Side, TimeInForce, UtcNanos,
};

const SESSIONS: u32 = 4;
/// Its numbers restart with the day.
const RESTARTS: u32 = 4;
const COARSE: u32 = 4;
const INSTRUMENTS: u32 = 4;
/// Both are reached now and then.
const ORDERS: u32 = 480;
const CLIENT_ORDER_IDS: u32 = 7_000;
const MILLISECOND: u64 = 1_000_000;
/// Expire times are multiples of it, so that many orders expire together.
const RASTER: u64 = 4 * MILLISECOND;
/// Every so many commands books are filled for a while, so that some commands find more to do
/// than one step holds.
const CYCLE: u64 = 8_000;
const FILLING: u64 = 1_500;

/// Sessions 1 and 2 are of one firm, 3 and 4 of another: 1 has the risk role, 3 and 4 are a user's.
fn sessions() -> Vec<DefineSession> {
    (1..=SESSIONS)
        .map(|id| DefineSession {
            firm: FirmId(id.div_ceil(2)),
            roles: u8::from(id == 1),
            user: if id > 2 { 9 } else { 0 },
            reset_at_day_roll: u8::from(id == RESTARTS),
            ..venue::session(id, SessionProtocol::Binary)
        })
        .collect()
}

/// The 4th instrument has a coarse tick and lot, so that every admission check can fail.
fn coarse() -> DefineInstrument {
    DefineInstrument {
        tick: 5,
        price_min: Price(100),
        price_max: Price(200),
        quantity_min: Quantity(10),
        quantity_max: Quantity(90),
        quantity_increment: Quantity(10),
        protection_ticks: 2,
        product: 2,
        ..venue::instrument(COARSE)
    }
}

fn client(id: &ClientOrderId) -> u64 {
    id.as_u64().unwrap_or(0)
}

fn id_of(id: u64) -> ClientOrderId {
    if id == 0 {
        ClientOrderId::NONE
    } else {
        ClientOrderId::from_u64(id)
    }
}

/// What came of an order so far, from events alone.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    ordered: u64,
    executed: u64,
}

/// Reads the engine's events in the oracle's words, and checks on the way what no oracle is
/// needed for: numbers, headers, conservation.
#[derive(Default)]
struct Reader {
    /// Number of each order by the engine's order id.
    numbers: HashMap<u64, u64>,
    /// The engine's order ids by number; 0 is no order.
    order_ids: Vec<u64>,
    lives: HashMap<u64, Life>,
    next_outbound: Vec<u64>,
    epochs: Vec<u32>,
    executions: u64,
    /// The command at work is a day roll, and the session's numbers have yet to restart.
    restarts: bool,
}

impl Reader {
    fn new() -> Self {
        Self {
            order_ids: vec![0],
            next_outbound: vec![1; SESSIONS as usize + 1],
            epochs: vec![1; SESSIONS as usize + 1],
            ..Self::default()
        }
    }

    fn state(&self, order: &OrderState) -> State {
        let notional = (u128::from(order.notional[1]) << 64) | u128::from(order.notional[0]);
        State {
            number: self.numbers[&order.order_id.0],
            client: client(&order.client_order_id),
            price: order.price.0,
            quantity: order.quantity.0,
            leaves: order.leaves.0,
            cumulative: order.cumulative.0,
            notional: notional.cast_signed(),
            instrument: order.instrument.0,
            account: order.account.0,
            side: order.side,
            order_type: order.order_type,
            time_in_force: order.time_in_force,
            status: order.status,
            instructions: order.instructions,
            self_trade_prevention: order.self_trade_prevention,
        }
    }

    fn accepted(&mut self, order: &OrderState) {
        assert!(
            order.order_id.0 > *self.order_ids.last().unwrap(),
            "order ids ascend"
        );
        self.numbers
            .insert(order.order_id.0, self.order_ids.len() as u64);
        self.order_ids.push(order.order_id.0);
        let life = Life {
            ordered: order.quantity.0,
            executed: 0,
        };
        self.lives.insert(order.order_id.0, life);
    }

    /// A report about an order: what was executed, taken off and ordered anew is all there is.
    fn report(&mut self, order: &OrderState, executed: u64, canceled: u64, reduced: u64) -> State {
        self.executions += 1;
        assert_eq!(order.exec_id.0, self.executions, "ExecIDs have no gap");
        let life = self
            .lives
            .get_mut(&order.order_id.0)
            .expect("it was accepted");
        life.executed += executed;
        life.ordered -= reduced;
        assert_eq!(order.cumulative.0, life.executed, "{order:?}");
        assert_eq!(order.quantity.0, life.ordered, "{order:?}");
        assert_eq!(
            order.cumulative.0 + order.leaves.0 + canceled,
            order.quantity.0,
            "executed + leaves + canceled = ordered: {order:?}"
        );
        assert_eq!(order.protection_group, 0);
        self.state(order)
    }

    fn replaced(&mut self, order: &OrderState) -> State {
        let life = self
            .lives
            .get_mut(&order.order_id.0)
            .expect("it was accepted");
        life.ordered = order.quantity.0;
        self.report(order, 0, 0, 0)
    }

    /// Every event of one command. `asking` is who it came from, with its inbound number.
    fn read(&mut self, bytes: &[u8], now: u64, asking: (u32, u64)) -> Vec<Told> {
        let mut told = Vec::new();
        let mut index = 0;
        venue::for_each_event(bytes, |header, body| {
            let session = header.session.0;
            let reason = Reason::try_from(header.reason).unwrap();
            assert_eq!(header.index, index, "position among the command's events");
            assert_eq!(header.sequenced_at.0, now);
            index += 1;
            // After the expiries, and after the session is closed if it was not.
            let expires_or_closes = matches!(
                body,
                EventBody::OrderCanceled(_) | EventBody::SessionClosed(_)
            );
            if self.restarts && !expires_or_closes {
                self.restart();
            }
            if header.session_seq.0 != 0 {
                let next = &mut self.next_outbound[session as usize];
                assert_eq!(header.session_seq.0, *next, "numbers of session {session}");
                *next += 1;
            }
            if session != 0 {
                assert_eq!(header.epoch.0, self.epochs[session as usize]);
            }
            if session != asking.0 {
                assert_eq!(header.inbound_seq, 0);
            }
            let what = match body {
                EventBody::OrderAccepted(e) => {
                    self.accepted(&e.order);
                    What::Accepted {
                        order: self.report(&e.order, 0, 0, 0),
                        terms: OrderTerms::NONE,
                    }
                }
                EventBody::OrderAcceptedWithTerms(e) => {
                    assert_ne!(e.terms, OrderTerms::NONE);
                    self.accepted(&e.order);
                    What::Accepted {
                        order: self.report(&e.order, 0, 0, 0),
                        terms: e.terms,
                    }
                }
                EventBody::OrderReplaced(e) => What::Replaced {
                    order: self.replaced(&e.order),
                    terms: OrderTerms::NONE,
                    original: client(&e.original),
                    previous_price: e.previous_price.0,
                    previous_leaves: e.previous_leaves.0,
                    kept: e.priority_kept == 1,
                },
                EventBody::OrderReplacedWithTerms(e) => {
                    assert_ne!(e.terms, OrderTerms::NONE);
                    What::Replaced {
                        order: self.replaced(&e.replaced.order),
                        terms: e.terms,
                        original: client(&e.replaced.original),
                        previous_price: e.replaced.previous_price.0,
                        previous_leaves: e.replaced.previous_leaves.0,
                        kept: e.replaced.priority_kept == 1,
                    }
                }
                EventBody::Fill(e) => What::Fill {
                    order: self.report(&e.order, e.last_quantity.0, 0, 0),
                    trade: e.trade_id.0,
                    price: e.last_price.0,
                    lots: e.last_quantity.0,
                    taker: e.liquidity == 2,
                },
                EventBody::OrderCanceled(e) => What::Canceled {
                    order: self.report(&e.order, 0, e.canceled.0, 0),
                    request: client(&e.request),
                    lots: e.canceled.0,
                },
                EventBody::OrderTriggered(e) => What::Triggered {
                    order: self.report(&e.order, 0, 0, 0),
                },
                EventBody::OrderRestated(e) => What::Restated {
                    order: self.report(&e.order, 0, 0, e.reduced.0),
                    reduced: e.reduced.0,
                    shown: e.shown.0,
                },
                EventBody::OrderRejected(e) => {
                    self.executions += 1;
                    assert_eq!(e.exec_id.0, self.executions, "ExecIDs have no gap");
                    assert_eq!(e.raw, 0);
                    What::Rejected {
                        client: client(&e.client_order_id),
                        price: e.price,
                        quantity: e.quantity.cast_unsigned(),
                        instrument: e.instrument.0,
                        account: e.account.0,
                        side: e.side,
                        order_type: e.order_type,
                        time_in_force: e.time_in_force,
                    }
                }
                EventBody::RequestRejected(e) => What::Refused {
                    client: client(&e.client_order_id),
                    original: client(&e.original),
                    request: e.request,
                    status: e.status,
                },
                EventBody::MassCancelDone(e) => What::MassCancelDone {
                    client: client(&e.client_order_id),
                    canceled: e.canceled,
                    instrument: e.instrument.0,
                    scope: e.scope,
                    side: e.side,
                },
                EventBody::CancelAfterSet(e) => What::CancelAfterSet(e.cancel_at.0),
                EventBody::CommandRefused(_) => What::Ignored,
                EventBody::SessionClosed(_) => {
                    if self.restarts {
                        assert_eq!((session, reason), (RESTARTS, Reason::EndOfDay));
                        self.restart();
                    }
                    What::Closed
                }
                EventBody::LogonAnswered(e) => {
                    assert_eq!(e.next_outbound.0, self.next_outbound[session as usize]);
                    What::LoggedOn
                }
                EventBody::DayRolled(e) => What::DayRolled(e.trading_day),
                other => panic!("unexpected {other:?}"),
            };
            told.push(Told {
                to: session,
                reason,
                answer: header.inbound_seq != 0,
                what,
            });
        });
        told
    }

    /// The session whose numbers restart with the day is closed, or was.
    fn restart(&mut self) {
        self.next_outbound[RESTARTS as usize] = 1;
        self.epochs[RESTARTS as usize] += 1;
        self.restarts = false;
    }

    fn order_id(&self, number: u64) -> OrderId {
        OrderId(self.order_ids.get(number as usize).copied().unwrap_or(0))
    }
}

/// Draws commands; what is open is looked up in the oracle.
struct Draw {
    random: Random,
    /// Last client order id of each session.
    ids: Vec<u64>,
    filling: bool,
    sweeping: bool,
}

impl Draw {
    fn one_in(&mut self, n: u64) -> bool {
        self.random.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize]
    }

    /// Mostly a new one, sometimes a used one, rarely none.
    fn client(&mut self, session: u32) -> u64 {
        let odds = self.random.below(160);
        let last = &mut self.ids[session as usize];
        match odds {
            0..=3 => last.saturating_sub(self.random.below(60)),
            4 => 0,
            _ => {
                *last += 1;
                *last
            }
        }
    }

    fn price(&mut self, instrument: u32, side: u8) -> i64 {
        if instrument == COARSE {
            let crooked = i64::from(self.one_in(60));
            let outside = self.one_in(30);
            let from = if outside { 90 } else { 125 };
            return from + 5 * self.random.below(if outside { 26 } else { 11 }) as i64 + crooked;
        }
        if self.filling {
            let away = 1 + self.random.below(6) as i64;
            return if side == 1 {
                10_000 - away
            } else {
                10_000 + away
            };
        }
        // Buyers bid a little less than sellers ask, so that books are not empty.
        let middle = if side == 1 { 9_998 } else { 10_002 };
        middle + self.random.below(13) as i64 - 6
    }

    fn lots(&mut self, instrument: u32) -> u64 {
        if instrument == COARSE {
            let ragged = u64::from(self.one_in(40));
            return match self.random.below(40) {
                0 => 0,
                1 => 100,
                _ => 10 * (1 + self.random.below(9)) + ragged,
            };
        }
        match self.random.below(200) {
            0 => 0,
            // Sweeps.
            1..=4 => 100 + self.random.below(1_500),
            _ => 1 + self.random.below(30),
        }
    }

    /// A display quantity, mostly a good one.
    fn display(&mut self, instrument: u32, quantity: u64) -> u64 {
        if self.one_in(20) {
            return quantity + self.random.below(3);
        }
        if instrument == COARSE {
            return 10 * (1 + self.random.below(quantity.div_ceil(10).max(1)));
        }
        if self.one_in(2) {
            return 1 + self.random.below(2.min(quantity.max(1)));
        }
        1 + self.random.below((quantity / 3).max(1))
    }

    /// A time on the raster, rarely one that has passed.
    fn expire_at(&mut self, now: u64) -> u64 {
        match self.random.below(24) {
            0 => now,
            1 => now + 1,
            2 => now - 1,
            _ => {
                (now / RASTER + 1 + self.random.below(if self.filling { 400 } else { 40 })) * RASTER
            }
        }
    }

    fn entry(&mut self, session: u32, now: u64) -> (EnterOrder, OrderTerms) {
        let instrument = if self.one_in(60) {
            self.pick(&[0, INSTRUMENTS + 1, 8, 9, 1 << 20])
        } else if self.filling && self.one_in(2) {
            1
        } else {
            1 + self.random.below(u64::from(INSTRUMENTS)) as u32
        };
        let side = if self.one_in(80) {
            self.pick(&[0, 3, 4, 0xFF])
        } else {
            1 + self.random.below(2) as u8
        };
        let order_type = match self.random.below(100) {
            0 => self.pick(&[0, 5, 19, 21, 0xFF]),
            1..=6 => OrderType::Market as u8,
            7..=17 => OrderType::Stop as u8,
            18..=31 => OrderType::StopLimit as u8,
            32..=40 => OrderType::MarketToLimit as u8,
            _ => OrderType::Limit as u8,
        };
        // Few stops in the first, so that its sweeps are mostly of orders at rest.
        let order_type = match order_type {
            3 | 4 if instrument == 1 && !self.one_in(20) => OrderType::Limit as u8,
            other => other,
        };
        let immediate = match (order_type, self.filling) {
            (1, _) => 30,
            (3 | 4, _) => 1,
            (_, true) => 0,
            _ => 6,
        };
        let time_in_force = if self.one_in(100) {
            self.pick(&[2, 5, 7, 8, 0xFF])
        } else if self.random.below(32) < immediate {
            self.pick(&[TimeInForce::ImmediateOrCancel, TimeInForce::FillOrKill]) as u8
        } else {
            self.pick(&[
                TimeInForce::Day,
                TimeInForce::GoodTillCancel,
                TimeInForce::GoodTillDate,
            ]) as u8
        };
        let quantity = self.lots(instrument);
        let stated = [2, 4].contains(&order_type) != self.one_in(60);
        let price = if stated {
            self.price(instrument, side)
        } else {
            NO_PRICE.0
        };
        let mut instructions = 0;
        if order_type == 2 && self.one_in(8) || self.one_in(100) {
            instructions |= 1;
        }
        if self.one_in(4) {
            instructions |= 4;
        }
        if self.one_in(150) {
            instructions |= 1 << self.pick(&[1, 3, 4, 5, 6, 7]);
        }
        let self_trade_prevention = match self.random.below(100) {
            0 => self.pick(&[5, 0x10, 0x15, 0x20, 0xFF]),
            1..=40 => self.pick(SelfTradePrevention::ALL) as u8,
            _ => 0,
        };
        let order = EnterOrder {
            client_order_id: id_of(self.client(session)),
            price: Price(price),
            quantity: Quantity(quantity),
            instrument: InstrumentId(instrument),
            account: AccountId(self.random.below(3) as u32),
            side,
            order_type,
            time_in_force,
            possible_resend: u8::from(self.one_in(20)),
            instructions,
            self_trade_prevention,
            protection_group: 0,
        };
        (order, self.entry_terms(&order, now))
    }

    /// Takes a whole side of the first instrument, or much of it.
    fn sweep(&mut self, session: u32) -> EnterOrder {
        let side = 1 + self.random.below(2) as u8;
        EnterOrder {
            client_order_id: id_of(self.client(session)),
            price: Price(if side == 1 { 10_050 } else { 9_950 }),
            quantity: Quantity(3_000 + self.random.below(3_000)),
            instrument: InstrumentId(1),
            account: AccountId(self.random.below(3) as u32),
            side,
            order_type: OrderType::Limit as u8,
            time_in_force: self.pick(&[1, 3]),
            self_trade_prevention: self.pick(&[0, 0, 0x02, 0x12, 0x14]),
            ..EnterOrder::default()
        }
    }

    fn entry_terms(&mut self, order: &EnterOrder, now: u64) -> OrderTerms {
        let mut terms = OrderTerms::NONE;
        let instrument = order.instrument.0;
        if [3, 4].contains(&order.order_type) != self.one_in(100) {
            // Mostly not yet reached.
            let away = self.random.below(10) as i64 - 2;
            let away = if order.side == 1 { away } else { -away };
            terms.stop_price = Price(match instrument {
                COARSE if self.one_in(20) => self.pick(&[95, 133, 205]),
                COARSE => 150 + 5 * away,
                _ if self.one_in(100) => self.pick(&[0, -5, 200_001]),
                _ => 10_000 + away,
            });
        }
        let rests = ![3, 4].contains(&order.time_in_force);
        let may_hide = [2, 4, 20].contains(&order.order_type) && rests;
        let hides = if order.quantity.0 >= 100 { 2 } else { 4 };
        if may_hide && self.one_in(hides) || self.one_in(100) {
            terms.display = Quantity(self.display(instrument, order.quantity.0));
        }
        if order.time_in_force == 3 && self.one_in(3) || self.one_in(150) {
            terms.minimum = Quantity(1 + self.random.below(order.quantity.0 + 1));
        }
        if (order.time_in_force == 6) != self.one_in(80) {
            terms.expire_at = UtcNanos(self.expire_at(now));
        }
        terms
    }

    /// An order named as clients name them: by its client id, the venue's, or both, which then
    /// rarely disagree. Mostly one that is open.
    fn means(&mut self, venue: &Venue, session: u32) -> Means {
        let open: Vec<(u64, u64)> = venue
            .open_orders()
            .into_iter()
            .filter(|order| order.session == session)
            .map(|order| (order.client, order.number))
            .collect();
        let (original, number) = if open.is_empty() || self.one_in(6) {
            let last = self.ids[session as usize];
            let original = last.saturating_sub(self.random.below(60));
            let number = match venue.known.get(&(session, original)) {
                Some(Known::Open(number)) => *number,
                _ => 0,
            };
            (original, number)
        } else {
            self.pick(&open)
        };
        let (original, number) = match self.random.below(20) {
            0..=9 => (original, 0),
            10..=14 => (original, number),
            15..=17 => (0, number),
            18 => (original, 1 + self.random.below(venue.accepted.max(1))),
            _ => {
                let anyones = venue.open_orders();
                let at = self.random.below(anyones.len().max(1) as u64) as usize;
                (0, anyones.get(at).map_or(0, |order| order.number))
            }
        };
        Means { original, number }
    }

    /// A replace, mostly one that can be.
    fn replace(
        &mut self,
        session: u32,
        order: Option<&Order>,
        now: u64,
    ) -> (ReplaceOrder, OrderTerms) {
        let mut request = ReplaceOrder {
            client_order_id: id_of(self.client(session)),
            time_in_force: 0xFF,
            ..ReplaceOrder::default()
        };
        let mut terms = OrderTerms::NONE;
        let Some(order) = order else {
            request.instrument = InstrumentId(1);
            request.price = Price(10_000);
            request.quantity = Quantity(10);
            return (request, terms);
        };
        let instrument = order.instrument;
        let odd = self.one_in(4);
        request.instrument = InstrumentId(instrument);
        if self.one_in(2) {
            request.side = order.side;
            request.order_type = order.order_type;
            request.time_in_force = order.time_in_force;
        }
        request.price = Price(match self.random.below(3) {
            0 => self.price(instrument, order.side),
            _ => order.price,
        });
        request.quantity = Quantity(match self.random.below(8) {
            0..=2 => order.quantity,
            3 | 4 => self.lots(instrument) + order.filled,
            5 => order.filled,
            _ => order.quantity.saturating_sub(self.lots(instrument)),
        });
        if order.order_type == 3 {
            request.price = NO_PRICE;
        }
        if order.is_waiting() && self.one_in(2) {
            let away = self.random.below(10) as i64 - 5;
            terms.stop_price = match instrument {
                COARSE => Price(150 + 5 * away),
                _ => Price(order.terms.stop_price.0 + away),
            };
        }
        if order.terms.display.0 != 0 && self.one_in(3) {
            terms.display = Quantity(self.display(instrument, request.quantity.0));
        }
        if order.time_in_force == 6 && self.one_in(3) {
            terms.expire_at = UtcNanos(self.expire_at(now));
        }
        if odd {
            match self.random.below(9) {
                0 => request.instrument = InstrumentId(self.random.below(6) as u32),
                1 => request.side = 3 - order.side,
                2 => request.order_type = self.pick(&[1, 2, 3, 4, 20, 99]),
                3 => request.time_in_force = self.pick(&[0, 1, 3, 4, 6, 99]),
                4 => {
                    request.price = if order.order_type == 3 {
                        Price(10_000)
                    } else {
                        NO_PRICE
                    }
                }
                5 => terms.stop_price = self.pick(&[Price(10_001), Price(0)]),
                6 => terms.minimum = Quantity(1),
                7 => terms.expire_at = UtcNanos(self.expire_at(now)),
                _ => terms.display = Quantity(self.display(instrument, order.quantity)),
            }
        }
        (request, terms)
    }

    fn mass_cancel(&mut self, session: u32) -> MassCancel {
        let odd = self.one_in(12);
        let mut request = MassCancel {
            client_order_id: id_of(self.client(session)),
            scope: self.pick(&[1, 1, 2, 3]),
            ..MassCancel::default()
        };
        if self.one_in(2) {
            request.instrument = InstrumentId(1 + self.random.below(4) as u32);
        }
        if self.one_in(3) {
            request.side = 1 + self.random.below(2) as u8;
        }
        if self.one_in(3) {
            request.by_account = 1;
            request.account = AccountId(self.random.below(4) as u32);
        }
        if self.one_in(8) {
            request.product = self.random.below(3) as u32;
            request.kinds = self.random.below(3) as u8;
        }
        if odd {
            match self.random.below(4) {
                0 => request.scope = self.pick(&[0, 4, 7]),
                3 => request.kinds = 3,
                1 => request.side = 3,
                _ => request.instrument = InstrumentId(self.pick(&[5, 100, 1 << 20])),
            }
        }
        request
    }
}

/// What a session asks for. `bool`: in the command without terms.
enum Request {
    Disconnected(Reason),
    Logout,
    CancelAfter(CancelAfter),
    MassCancel(MassCancel),
    Cancel(CancelOrder, Means),
    Replace(ReplaceOrder, OrderTerms, bool, Means),
    Enter(EnterOrder, OrderTerms, bool),
}

impl Request {
    fn to_oracle(&self, venue: &mut Venue, session: u32) {
        match self {
            Self::Disconnected(reason) => venue.disconnected(session, *reason),
            Self::Logout => venue.disconnected(session, Reason::LogoutRequested),
            Self::CancelAfter(request) => venue.cancel_after(session, request),
            Self::MassCancel(request) => venue.mass_cancel(session, request),
            Self::Cancel(request, means) => venue.cancel(session, request, *means),
            Self::Replace(request, terms, _, means) => {
                venue.replace(session, request, terms, *means);
            }
            Self::Enter(order, terms, _) => venue.enter(session, order, terms),
        }
    }

    fn to_engine(&self, driver: &mut Driver, at: SessionId, out: &mut Vec<u8>) {
        match *self {
            Self::Disconnected(reason) => {
                let gone = SessionDisconnected {
                    reason: reason.code(),
                    ..SessionDisconnected::default()
                };
                driver.apply(at, gone, out);
            }
            Self::Logout => {
                let logout = SessionMessage {
                    closes: 1,
                    ..SessionMessage::default()
                };
                driver.apply(at, logout, out);
            }
            Self::CancelAfter(request) => driver.apply(at, request, out),
            Self::MassCancel(request) => driver.apply(at, request, out),
            Self::Cancel(request, _) => driver.apply(at, request, out),
            Self::Replace(request, _, true, _) => driver.apply(at, request, out),
            Self::Replace(replace, terms, false, _) => {
                driver.apply(at, ReplaceOrderWithTerms { replace, terms }, out);
            }
            Self::Enter(order, _, true) => driver.apply(at, order, out),
            Self::Enter(order, terms, false) => {
                driver.apply(at, EnterOrderWithTerms { order, terms }, out);
            }
        }
    }
}

struct Run {
    driver: Driver,
    venue: Venue,
    reader: Reader,
    draw: Draw,
    out: Vec<u8>,
    trading_day: u32,
}

impl Run {
    fn new(random: Random) -> Self {
        let limits = EngineLimits {
            orders: ORDERS,
            client_order_ids: CLIENT_ORDER_IDS,
            instruments: 8,
            price_pages: 1 << 12,
            ..EngineLimits::default()
        };
        let sessions = sessions();
        let mut driver = Driver::world_of(limits, 3, &sessions);
        driver.apply(SessionId(0), coarse(), &mut Vec::new());
        let instruments: Vec<DefineInstrument> = driver.engine.instruments().copied().collect();
        assert_eq!(instruments.len(), INSTRUMENTS as usize);
        Self {
            driver,
            venue: Venue::new(limits, instruments, &sessions),
            reader: Reader::new(),
            draw: Draw {
                random,
                ids: vec![0; SESSIONS as usize + 1],
                filling: false,
                sweeping: false,
            },
            out: Vec::new(),
            trading_day: 20_260_101,
        }
    }

    /// Log time goes on, now and then exactly to what is due next.
    fn pass_time(&mut self) {
        let next = self.driver.next_time();
        let odds = self.draw.random.below(100);
        let due = self
            .venue
            .next_deadline()
            .filter(|due| *due > next && *due - next < 50 * MILLISECOND);
        let time = match (odds, due) {
            (0..=5, Some(due)) => due,
            (6 | 7, Some(due)) => due - 1,
            (8 | 9, Some(due)) => due + 1,
            (10..=12, _) => next - 1,
            (13..=40, _) => next,
            (41..=45, _) => next + self.draw.random.below(8 * MILLISECOND),
            _ => next + self.draw.random.below(MILLISECOND / 2),
        };
        self.driver.wait_until(time);
        self.venue.begin(time);
    }

    /// One command of the stream, through both.
    fn step(&mut self, step: u64) -> (u32, u64) {
        self.draw.filling = step % CYCLE < FILLING;
        self.draw.sweeping = (FILLING..FILLING + 4).contains(&(step % CYCLE));
        self.out.clear();
        let rolls = if self.venue.known.len() >= self.venue.id_capacity {
            100
        } else {
            8_000
        };
        let session = 1 + self.draw.random.below(u64::from(SESSIONS)) as u32;
        let at = SessionId(session);
        self.pass_time();
        if self.draw.one_in(60) {
            self.driver
                .apply(SessionId(0), Tick::default(), &mut self.out);
            return (0, 0);
        }
        if self.draw.one_in(rolls) {
            self.day_roll();
            return (0, 0);
        }
        let connected = self.venue.sessions[session as usize].connected;
        let logs_on = if connected { 1_000 } else { 4 };
        if self.draw.one_in(logs_on) {
            let logon = SessionLogon {
                cancel_on_disconnect: self.draw.random.below(4) as u8,
                cancel_grace_ms: self.draw.pick(&[0, 0, 4, 8, 30]),
                ..SessionLogon::default()
            };
            self.venue.logon(session, &logon);
            self.driver.logon_with(at, logon, &mut self.out);
            return (session, 0);
        }
        // A superseded connection's command, or one of a session without any.
        let newest = !self.draw.one_in(2_000);
        let generation = self.driver.generation[session as usize];
        if !newest {
            self.driver.generation[session as usize] = generation - 1;
        }
        let request = self.request(session);
        let admitted = self.venue.admit(session, newest);
        if admitted {
            request.to_oracle(&mut self.venue, session);
        }
        let numbered = !matches!(request, Request::Disconnected(_));
        request.to_engine(&mut self.driver, at, &mut self.out);
        let inbound = if numbered {
            self.driver.last_inbound(at)
        } else {
            0
        };
        self.driver.generation[session as usize] = generation;
        if !admitted && numbered {
            self.driver.unsend(at);
        }
        (session, inbound)
    }

    fn day_roll(&mut self) {
        self.trading_day += 1;
        let roll = DayRoll {
            trading_day: self.trading_day,
            reserved: 0,
        };
        self.venue.day_roll(self.trading_day);
        self.driver.apply(SessionId(0), roll, &mut self.out);
        self.driver.restart_numbers(SessionId(RESTARTS));
        self.reader.restarts = true;
        // Ids are free again, but for those of open orders.
        self.draw.ids = vec![0; SESSIONS as usize + 1];
    }

    /// A command of a session.
    fn request(&mut self, session: u32) -> Request {
        let now = self.driver.next_time();
        let means = self.draw.means(&self.venue, session);
        let least = if self.draw.filling { 12 } else { 0 };
        match self.draw.random.below(1_000).max(least) {
            0 | 1 => Request::Disconnected(self.draw.pick(&[
                Reason::LogoutRequested,
                Reason::HeartbeatTimeout,
                Reason::SlowConsumer,
            ])),
            2 => Request::Logout,
            3..=6 => Request::CancelAfter(CancelAfter {
                after_ms: self.draw.pick(&[0, 4, 8, 20, 60]),
                reserved: 0,
            }),
            7..=11 => Request::MassCancel(self.draw.mass_cancel(session)),
            12..=129 if !self.draw.filling => {
                let (instrument, side) = if self.draw.one_in(8) {
                    let side = self.draw.random.below(3) as u8;
                    (self.draw.random.below(6) as u32, side)
                } else {
                    (0, 0)
                };
                let request = CancelOrder {
                    client_order_id: id_of(self.draw.client(session)),
                    original: id_of(means.original),
                    order_id: self.reader.order_id(means.number),
                    instrument: InstrumentId(instrument),
                    side,
                    ..CancelOrder::default()
                };
                Request::Cancel(request, means)
            }
            130..=339 => {
                let target = self.venue.target(session, means).ok();
                let (mut request, terms) = self.draw.replace(session, target, now);
                request.original = id_of(means.original);
                request.order_id = self.reader.order_id(means.number);
                let plain = terms == OrderTerms::NONE && self.draw.one_in(2);
                Request::Replace(request, terms, plain, means)
            }
            _ if self.draw.sweeping => {
                let plain = self.draw.one_in(2);
                Request::Enter(self.draw.sweep(session), OrderTerms::NONE, plain)
            }
            _ => {
                let (order, terms) = self.draw.entry(session, now);
                let plain = terms == OrderTerms::NONE && self.draw.one_in(2);
                Request::Enter(order, terms, plain)
            }
        }
    }

    /// What everyone can see of the books.
    fn compare_depth(&self, step: u64) {
        for (index, book) in self.venue.books.iter().enumerate() {
            for side in [Side::Buy, Side::Sell] {
                let levels: Vec<(i64, u64, u32)> = self
                    .driver
                    .engine
                    .levels(InstrumentId(index as u32 + 1), side)
                    .map(|(price, lots, orders)| (price.0, lots.0, orders))
                    .collect();
                assert_eq!(levels, book.levels(side as u8), "step {step}: depth");
            }
        }
        let open: usize = self.venue.books.iter().map(|b| b.orders().count()).sum();
        assert_eq!(
            self.driver.engine.open_orders() as usize,
            open,
            "step {step}"
        );
        let due = self.venue.next_deadline().unwrap_or(u64::MAX);
        let engine_due = self.driver.engine.next_deadline().0;
        assert!(
            engine_due <= due,
            "step {step}: due at {due}, not only at {engine_due}"
        );
    }

    /// Every resting order, in the order in which they would trade.
    fn compare_orders(&self, step: u64) {
        for (index, book) in self.venue.books.iter().enumerate() {
            for side in [Side::Buy, Side::Sell] {
                let resting: Vec<(u32, State)> = self
                    .driver
                    .engine
                    .resting(InstrumentId(index as u32 + 1), side)
                    .map(|(session, order)| (session.0, self.reader.state(&order)))
                    .collect();
                let expected: Vec<(u32, State)> = book
                    .side(side as u8)
                    .iter()
                    .map(|order| (order.session, order.state(order.open_status())))
                    .collect();
                assert_eq!(resting, expected, "step {step}: resting orders");
            }
        }
    }
}

/// What a run of the default length sees by chance, each at least twenty times.
const OFTEN: &[&str] = &[
    "entered: Limit Day",
    "entered: Limit GoodTillCancel",
    "entered: Limit GoodTillDate",
    "entered: Limit ImmediateOrCancel",
    "entered: Limit FillOrKill",
    "entered: Market ImmediateOrCancel",
    "entered: Market FillOrKill",
    "entered: MarketToLimit Day",
    "entered: MarketToLimit GoodTillCancel",
    "entered: MarketToLimit GoodTillDate",
    "entered: MarketToLimit ImmediateOrCancel",
    "entered: MarketToLimit FillOrKill",
    "entered: Stop Day",
    "entered: Stop GoodTillCancel",
    "entered: Stop GoodTillDate",
    "entered: StopLimit Day",
    "entered: StopLimit GoodTillCancel",
    "entered: StopLimit GoodTillDate",
    "entered: post-only",
    "entered: exempt",
    "entered: minimum",
    "entered: display",
    "iceberg showed its next part",
    "self-trade: CancelNewest",
    "self-trade: CancelOldest",
    "self-trade: CancelBoth",
    "self-trade: Decrement",
    "self-trade: FirmCancelNewest",
    "self-trade: FirmCancelOldest",
    "self-trade: FirmCancelBoth",
    "self-trade: FirmDecrement",
    "self-trade: decremented iceberg showed its next part",
    "stop released at once",
    "stop released by a trade",
    "stop released into nothing",
    "stops released in a cascade",
    "replaced: a resting order in place",
    "replaced: a resting order to another place",
    "replaced: a resting order to filled",
    "replaced: an iceberg in place",
    "replaced: an iceberg to another place",
    "replaced: an iceberg to filled",
    "replaced: a waiting stop in place",
    "replaced: a waiting stop to another place",
    "mass cancel",
    "mass cancel of nothing",
    "cancel after set: None",
    "logon within the grace",
    "deadline: disconnect",
    "deadline: cancel after",
    "deadline at the very time of a command",
    "deadline before a command",
    "commands of several steps",
    "ignored: StaleGeneration",
    "rejected: ClientOrderIdCapacity",
    "ignored: DuplicateClientOrderId",
    "closed: HeartbeatTimeout",
    "closed: LogoutRequested",
    "closed: Superseded",
    "restated: CarriedOver",
    "restated: SelfTradePrevented",
    "triggered: StopTriggered",
    "ended: CanceledByRequest",
    "ended: ImmediateOrCancelRemainder",
    "ended: FillOrKillUnfilled",
    "ended: MarketRemainder",
    "ended: EndOfDay",
    "ended: ExpireTimeReached",
    "ended: MinimumQuantityUnavailable",
    "ended: SelfTradePrevented",
    "ended: MassCanceled",
    "ended: CanceledOnDisconnect",
    "ended: CancelAfterElapsed",
    "ended: NoLiquidity",
    "replaced: ReplacedToFilled",
    "rejected: InvalidClientOrderId",
    "rejected: DuplicateClientOrderId",
    "rejected: UnknownInstrument",
    "rejected: UnsupportedSide",
    "rejected: UnsupportedOrderType",
    "rejected: UnsupportedTimeInForce",
    "rejected: QuantityBelowMinimum",
    "rejected: QuantityAboveMaximum",
    "rejected: QuantityNotOnLot",
    "rejected: UnsupportedInstruction",
    "rejected: UnsupportedSelfTradePrevention",
    "rejected: InstructionConflict",
    "rejected: StopPriceMissing",
    "rejected: StopPriceNotAllowed",
    "rejected: StopPriceInvalid",
    "rejected: DisplayQuantityInvalid",
    "rejected: MinimumQuantityInvalid",
    "rejected: ExpireTimeMissing",
    "rejected: ExpireTimeNotAllowed",
    "rejected: ExpireTimePast",
    "rejected: PriceMissing",
    "rejected: PriceNotAllowed",
    "rejected: MarketMustBeImmediate",
    "rejected: PriceNotOnTick",
    "rejected: NoLiquidity",
    "rejected: PostOnlyWouldTake",
    "refused: UnknownOrder",
    "refused: TooLateToCancel",
    "refused: IdMismatch",
    "refused: InvalidClientOrderId",
    "refused: DuplicateClientOrderId",
    "refused: TermsMismatch",
    "refused: ReplaceNotAllowed",
    "refused: QuantityBelowMinimum",
    "refused: QuantityAboveMaximum",
    "refused: PriceMissing",
    "refused: PriceNotAllowed",
    "refused: StopPriceInvalid",
    "refused: StopPriceNotAllowed",
    "refused: MinimumQuantityInvalid",
    "refused: ExpireTimeNotAllowed",
    "refused: ExpireTimePast",
    "refused: PostOnlyWouldTake",
];

/// What it sees at least once.
const SOMETIMES: &[&str] = &[
    "more events than a step holds: a sweep",
    "stops released in a long cascade",
    "day rolled: None",
    "rejected: OrderCapacity",
    "closed: EndOfDay",
    "mass cancel done: InvalidMassCancel",
    "mass cancel done: UnknownInstrument",
    "mass cancel done: NotPermitted",
    "rejected: PriceBelowMinimum",
    "rejected: PriceAboveMaximum",
    "refused: QuantityNotOnLot",
    "refused: DisplayQuantityInvalid",
];

#[test]
fn the_engine_says_what_the_oracle_says() {
    let seed = seed();
    let commands = number("COMMANDS").unwrap_or(200_000);
    println!("COMMANDS={commands}");
    let mut run = Run::new(Random::new(seed));
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let mut steps_beyond_the_first = 0;
    let mut deepest = 0;
    for step in 0..commands {
        let resumed = run.driver.resumed;
        let asking = run.step(step);
        let now = run.driver.engine.sequenced_at().0;
        let told = run.reader.read(&run.out, now, asking);
        // What goes to whoever asked says so, unless the command took no number.
        let mut expected = run.venue.told.clone();
        for one in &mut expected {
            one.answer &= asking.1 != 0;
        }
        if told != expected {
            let at = (told.iter().zip(&expected))
                .position(|(a, b)| a != b)
                .unwrap_or_else(|| told.len().min(expected.len()));
            panic!(
                "step {step}, now {now}, asking {asking:?}: event {at} of {} (expected {})\n\
                 engine {:?}\noracle {:?}\nbefore {:?}",
                told.len(),
                expected.len(),
                told.get(at),
                expected.get(at),
                &told[at.saturating_sub(3)..at],
            );
        }
        for one in &told {
            let kind = match &one.what {
                What::Rejected { .. } => "rejected",
                What::Refused { .. } => "refused",
                What::Canceled { .. } => "ended",
                What::Replaced { .. } => "replaced",
                What::Restated { .. } => "restated",
                What::Triggered { .. } => "triggered",
                What::Ignored => "ignored",
                What::Closed => "closed",
                What::Fill { .. } => "fill",
                What::Accepted { .. } => "accepted",
                What::MassCancelDone { .. } => "mass cancel done",
                What::CancelAfterSet(_) => "cancel after set",
                What::LoggedOn => "logged on",
                What::DayRolled(_) => "day rolled",
            };
            *kinds
                .entry(format!("{kind}: {:?}", one.reason))
                .or_default() += 1;
        }
        if run.driver.resumed > resumed {
            steps_beyond_the_first += 1;
        }
        if told.len() > STEP_EVENTS_MAX {
            let sweep = told.iter().any(|one| matches!(one.what, What::Fill { .. }));
            let what = if sweep {
                "a sweep"
            } else {
                "many orders ending"
            };
            run.venue
                .saw(format!("more events than a step holds: {what}"));
        }
        deepest = deepest.max(run.driver.engine.open_orders());
        run.compare_depth(step);
        if step % 300 == 0 {
            run.compare_orders(step);
        }
    }
    run.compare_orders(commands);
    let mut seen = run.venue.seen;
    seen.append(&mut kinds);
    seen.insert("commands of several steps".into(), steps_beyond_the_first);
    println!("deepest: {deepest} open orders");
    for (what, times) in &seen {
        println!("{times:>8} {what}");
    }
    if commands >= 200_000 {
        for what in OFTEN {
            let times = seen.get(*what).copied().unwrap_or(0);
            assert!(times >= 20, "{what}: {times} times");
        }
        for what in SOMETIMES {
            assert!(seen.contains_key(*what), "{what}: never");
        }
    }
}
