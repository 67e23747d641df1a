//! The engine against an oracle of plain vectors: the same random commands, every event compared,
//! books compared after each command, and `executed + leaves + canceled = ordered` on every report.
//!
//! `SEED` repeats a run, `COMMANDS` sets its length (default 200,000).

mod support;

use std::collections::{BTreeMap, HashMap};

use support::naive::{NaiveBook, Resting, Trade};
use support::settings::{number, seed};
use support::venue::{self, Driver, NO_PRICE};
use support::workload::Random;
use trading_engine::engine::command::{DayRoll, DefineInstrument, SessionDisconnected};
use trading_engine::engine::event::{EventBody, OrderAccepted, OrderReplaced, OrderState};
use trading_engine::limits::EngineLimits;
use trading_engine_protocol::types::{
    ClientOrderId, InstrumentId, OrderId, Price, Quantity, Reason, SessionId, Side,
};

const SESSIONS: u32 = 4;
const DAY: u8 = 0;
const IOC: u8 = 3;
const FOK: u8 = 4;

/// What one event says, in the oracle's words. Ids are (session, client order id).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Accepted {
        order: (u32, u64),
        price: i64,
        leaves: u64,
    },
    Fill {
        order: (u32, u64),
        price: i64,
        lots: u64,
        leaves: u64,
        taker: bool,
    },
    Canceled {
        order: (u32, u64),
        request: u64,
        lots: u64,
        reason: Reason,
    },
    Replaced {
        order: (u32, u64),
        original: u64,
        leaves: u64,
        kept: bool,
    },
    Rejected {
        order: (u32, u64),
        reason: Reason,
    },
    Refused {
        request: (u32, u64),
        original: u64,
        reason: Reason,
        status: u8,
    },
    Ignored(Reason),
    Closed(u32),
    LoggedOn(u32),
    DayRolled,
}

/// What the oracle knows of an id.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// Never was an order.
    Refused,
    Open {
        instrument: usize,
    },
    /// Ended with this status; 8 = replaced away, answers to another id.
    Ended(u8),
}

/// How a request names its order; 0 = not by that.
#[derive(Clone, Copy, Debug)]
struct Means {
    original: u64,
    order_id: u64,
}

impl From<(u64, u64)> for Means {
    fn from((original, order_id): (u64, u64)) -> Self {
        Self { original, order_id }
    }
}

#[derive(Clone, Copy)]
struct Terms {
    price_min: i64,
    price_max: i64,
    tick: i64,
    lots_min: u64,
    lots_max: u64,
    increment: u64,
    protection: i64,
}

impl Terms {
    fn of(d: &DefineInstrument) -> Self {
        Self {
            price_min: d.price_min.0,
            price_max: d.price_max.0,
            tick: d.tick as i64,
            lots_min: d.quantity_min.0,
            lots_max: d.quantity_max.0,
            increment: d.quantity_increment.0,
            protection: d.protection_ticks as i64,
        }
    }

    fn lots(&self, lots: u64) -> Result<(), Reason> {
        if lots < self.lots_min {
            Err(Reason::QuantityBelowMinimum)
        } else if lots > self.lots_max {
            Err(Reason::QuantityAboveMaximum)
        } else if !lots.is_multiple_of(self.increment) {
            Err(Reason::QuantityNotOnLot)
        } else {
            Ok(())
        }
    }

    fn price(&self, price: i64) -> Result<(), Reason> {
        if price < self.price_min {
            Err(Reason::PriceBelowMinimum)
        } else if price > self.price_max {
            Err(Reason::PriceAboveMaximum)
        } else if (price - self.price_min) % self.tick != 0 {
            Err(Reason::PriceNotOnTick)
        } else {
            Ok(())
        }
    }
}

/// An order as it was asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    id: u64,
    instrument: u32,
    side: u8,
    market: bool,
    tif: u8,
    price: i64,
    lots: u64,
}

struct Oracle {
    terms: Vec<Terms>,
    books: Vec<NaiveBook>,
    known: HashMap<(u32, u64), Known>,
    /// The engine's order ids, by newest client id: what a client learns from reports.
    order_ids: HashMap<(u32, u64), u64>,
    /// Filled and ordered lots of open orders, by newest id.
    totals: BTreeMap<(u32, u64), (u64, u64)>,
    told: Vec<Told>,
}

impl Oracle {
    fn enter(&mut self, session: u32, asked: &Asked) {
        let order = (session, asked.id);
        if let Err(reason) = self.entered(session, asked) {
            self.told.push(Told::Rejected { order, reason });
        }
    }

    fn entered(&mut self, session: u32, asked: &Asked) -> Result<(), Reason> {
        let order = (session, asked.id);
        if asked.id == 0 {
            return Err(Reason::InvalidClientOrderId);
        }
        if self.known.contains_key(&order) {
            return Err(Reason::DuplicateClientOrderId);
        }
        self.known.insert(order, Known::Refused);
        let instrument = (asked.instrument as usize).wrapping_sub(1);
        let terms = *self
            .terms
            .get(instrument)
            .ok_or(Reason::UnknownInstrument)?;
        if !(1..=2).contains(&asked.side) {
            return Err(Reason::UnsupportedSide);
        }
        if ![DAY, IOC, FOK].contains(&asked.tif) {
            return Err(Reason::UnsupportedTimeInForce);
        }
        terms.lots(asked.lots)?;
        let book = &mut self.books[instrument];
        let price = if !asked.market {
            if asked.price == NO_PRICE.0 {
                return Err(Reason::PriceMissing);
            }
            terms.price(asked.price)?;
            asked.price
        } else {
            if asked.price != NO_PRICE.0 {
                return Err(Reason::PriceNotAllowed);
            }
            if asked.tif == DAY {
                return Err(Reason::MarketMustBeImmediate);
            }
            let best = book
                .side(3 - asked.side)
                .first()
                .ok_or(Reason::NoLiquidity)?
                .price;
            let reach = terms.protection * terms.tick;
            if asked.side == 1 {
                (best + reach).min(terms.price_max)
            } else {
                (best - reach).max(terms.price_min)
            }
        };
        self.totals.insert(order, (0, asked.lots));
        self.told.push(Told::Accepted {
            order,
            price,
            leaves: asked.lots,
        });
        if asked.tif == FOK && book.available(asked.side, price) < asked.lots {
            self.end(order, 0, Reason::FillOrKillUnfilled, 12);
            return Ok(());
        }
        let mut trades = Vec::new();
        let rest = book.take(
            Resting {
                owner: session,
                id: asked.id,
                side: asked.side,
                price,
                total: asked.lots,
                filled: 0,
            },
            &mut trades,
        );
        let open = rest.open();
        if open > 0 && asked.tif == DAY {
            book.rest(rest);
            self.known.insert(order, Known::Open { instrument });
        }
        self.traded(&trades);
        if open > 0 && asked.tif != DAY {
            let reason = if asked.market {
                Reason::MarketRemainder
            } else {
                Reason::ImmediateOrCancelRemainder
            };
            self.end(order, 0, reason, 12);
        }
        Ok(())
    }

    fn traded(&mut self, trades: &[Trade]) {
        for trade in trades {
            for (order, taker) in [(trade.maker, false), (trade.taker, true)] {
                let totals = self
                    .totals
                    .get_mut(&order)
                    .expect("a trade names open orders");
                totals.0 += trade.lots;
                let leaves = totals.1 - totals.0;
                self.told.push(Told::Fill {
                    order,
                    price: trade.price,
                    lots: trade.lots,
                    leaves,
                    taker,
                });
                if leaves == 0 {
                    self.totals.remove(&order);
                    self.known.insert(order, Known::Ended(2));
                }
            }
        }
    }

    fn end(&mut self, order: (u32, u64), request: u64, reason: Reason, status: u8) {
        let (filled, total) = self.totals.remove(&order).expect("an open order ends");
        self.told.push(Told::Canceled {
            order,
            request,
            lots: total - filled,
            reason,
        });
        self.known.insert(order, Known::Ended(status));
    }

    /// The open order that a request means, and its instrument.
    fn target(&self, session: u32, means: Means) -> Result<((u32, u64), usize), (Reason, u8)> {
        let unknown = Err((Reason::UnknownOrder, 8));
        let of_session = (session, 0)..(session + 1, 0);
        let named = self
            .totals
            .range(of_session)
            .map(|(order, _)| *order)
            .find(|order| means.order_id != 0 && self.order_ids[order] == means.order_id);
        let order = match (means.original, named) {
            (0, None) => return unknown,
            (0, Some(named)) => named,
            (original, _) => (session, original),
        };
        match self.known.get(&order) {
            None | Some(Known::Refused) => unknown,
            Some(Known::Open { .. }) if means.order_id != 0 && named != Some(order) => {
                Err((Reason::IdMismatch, 8))
            }
            Some(Known::Open { instrument }) => Ok((order, *instrument)),
            Some(Known::Ended(_))
                if means.order_id != 0
                    && self
                        .totals
                        .keys()
                        .any(|open| self.order_ids[open] == means.order_id) =>
            {
                Err((Reason::IdMismatch, 8))
            }
            Some(Known::Ended(status)) => Err((Reason::TooLateToCancel, *status)),
        }
    }

    /// An order named as clients name them: by its client id, the venue's, or both, which then
    /// rarely disagree.
    fn name(&self, random: &mut Random, session: u32, original: u64) -> Means {
        let of = |order| self.order_ids.get(&order).copied().unwrap_or(0);
        let anyones = |random: &mut Random| {
            let many = self.totals.len().max(1) as u64;
            let at = random.below(many) as usize;
            self.totals.keys().nth(at).map_or(0, |order| of(*order))
        };
        let order_id = of((session, original));
        match random.below(16) {
            0..=7 => (original, 0),
            8..=11 => (original, order_id),
            12 | 13 => (0, order_id),
            14 => (original, anyones(random)),
            _ => (0, anyones(random)),
        }
        .into()
    }

    fn open_status(&self, order: (u32, u64)) -> u8 {
        u8::from(self.totals[&order].0 > 0)
    }

    fn cancel(&mut self, session: u32, request: u64, means: Means, instrument: u32, side: u8) {
        if let Err((reason, status)) = self.canceled(session, request, means, instrument, side) {
            self.told.push(Told::Refused {
                request: (session, request),
                original: means.original,
                reason,
                status,
            });
        }
    }

    fn stated(
        &self,
        order: (u32, u64),
        at: usize,
        instrument: u32,
        side: u8,
    ) -> Result<(), (Reason, u8)> {
        let is = self.books[at].find(order.0, order.1).expect("it is open");
        if (instrument != 0 && instrument as usize != at + 1) || (side != 0 && side != is.side) {
            return Err((Reason::TermsMismatch, self.open_status(order)));
        }
        Ok(())
    }

    fn canceled(
        &mut self,
        session: u32,
        request: u64,
        means: Means,
        instrument: u32,
        side: u8,
    ) -> Result<(), (Reason, u8)> {
        if request == 0 {
            return Err((Reason::InvalidClientOrderId, 8));
        }
        let (order, at) = self.target(session, means)?;
        self.stated(order, at, instrument, side)?;
        self.books[at].remove(order.0, order.1);
        self.end(order, request, Reason::CanceledByRequest, 4);
        Ok(())
    }

    fn replace(&mut self, session: u32, request: u64, means: Means, asked: &Asked) {
        if let Err((reason, status)) = self.replaced(session, request, means, asked) {
            self.told.push(Told::Refused {
                request: (session, request),
                original: means.original,
                reason,
                status,
            });
        }
    }

    fn replaced(
        &mut self,
        session: u32,
        request: u64,
        means: Means,
        asked: &Asked,
    ) -> Result<(), (Reason, u8)> {
        let (order, at) = self.target(session, means)?;
        let original = order.1;
        let status = self.open_status(order);
        let refused = |reason| (reason, status);
        if request == 0 {
            return Err(refused(Reason::InvalidClientOrderId));
        }
        if self.known.contains_key(&(session, request)) {
            return Err(refused(Reason::DuplicateClientOrderId));
        }
        self.stated(order, at, asked.instrument, asked.side)?;
        // Only limit orders for the day rest.
        if asked.market || ![DAY, 0xFF].contains(&asked.tif) {
            return Err(refused(Reason::ReplaceNotAllowed));
        }
        self.terms[at].lots(asked.lots).map_err(refused)?;
        if asked.price == NO_PRICE.0 {
            return Err(refused(Reason::PriceMissing));
        }
        self.terms[at].price(asked.price).map_err(refused)?;
        let old = self.books[at]
            .find(session, original)
            .cloned()
            .expect("open");
        let open = asked.lots.saturating_sub(old.filled);
        let kept = open > 0 && asked.price == old.price && open <= old.open();
        let new = (session, request);
        self.known.insert(order, Known::Ended(8));
        self.totals.remove(&order);
        self.told.push(Told::Replaced {
            order: new,
            original,
            leaves: open,
            kept,
        });
        let mut trades = Vec::new();
        self.books[at].replace(
            (session, original, request),
            asked.price,
            asked.lots,
            &mut trades,
        );
        if open == 0 {
            self.known.insert(new, Known::Ended(2));
            return Ok(());
        }
        self.totals.insert(new, (old.filled, asked.lots));
        self.known.insert(new, Known::Open { instrument: at });
        self.traded(&trades);
        Ok(())
    }

    /// Day orders expire in the order of their entry, which is not in this book: by order id of
    /// the engine.
    fn day_roll(&mut self, in_order: &[(u32, u64)]) {
        for order in in_order {
            for book in &mut self.books {
                book.remove(order.0, order.1);
            }
            self.end(*order, 0, Reason::EndOfDay, 12);
        }
        assert!(self.totals.is_empty(), "every open order expires");
        self.known.clear();
        self.told.push(Told::DayRolled);
    }
}

fn conserved(order: &OrderState, canceled: u64) {
    assert_eq!(
        order.cumulative.0 + order.leaves.0 + canceled,
        order.quantity.0,
        "executed + leaves + canceled = ordered: {order:?}"
    );
}

fn client(id: &ClientOrderId) -> u64 {
    id.as_u64().unwrap_or(0)
}

/// The engine's events in the oracle's words, and their numbers checked on the way.
fn tell(bytes: &[u8], next_outbound: &mut [u64]) -> Vec<Told> {
    let mut told = Vec::new();
    venue::for_each_event(bytes, |header, body| {
        let session = header.session.0;
        let reason = Reason::try_from(header.reason).unwrap();
        if header.session_seq.0 != 0 {
            let next = &mut next_outbound[session as usize];
            assert_eq!(header.session_seq.0, *next, "numbers of session {session}");
            *next += 1;
        }
        told.push(match body {
            EventBody::OrderAccepted(e) => {
                conserved(&e.order, 0);
                assert_eq!(e.order.status, 0);
                Told::Accepted {
                    order: (session, client(&e.order.client_order_id)),
                    price: e.order.price.0,
                    leaves: e.order.leaves.0,
                }
            }
            EventBody::Fill(e) => {
                conserved(&e.order, 0);
                assert_eq!(e.order.status, if e.order.leaves.0 == 0 { 2 } else { 1 });
                Told::Fill {
                    order: (session, client(&e.order.client_order_id)),
                    price: e.last_price.0,
                    lots: e.last_quantity.0,
                    leaves: e.order.leaves.0,
                    taker: e.liquidity == 2,
                }
            }
            EventBody::OrderCanceled(e) => {
                assert_eq!(e.order.leaves.0, 0);
                conserved(&e.order, e.canceled.0);
                Told::Canceled {
                    order: (session, client(&e.order.client_order_id)),
                    request: client(&e.request),
                    lots: e.canceled.0,
                    reason,
                }
            }
            EventBody::OrderReplaced(e) => {
                conserved(&e.order, 0);
                Told::Replaced {
                    order: (session, client(&e.order.client_order_id)),
                    original: client(&e.original),
                    leaves: e.order.leaves.0,
                    kept: e.priority_kept == 1,
                }
            }
            EventBody::OrderRejected(e) => Told::Rejected {
                order: (session, client(&e.client_order_id)),
                reason,
            },
            EventBody::RequestRejected(e) => Told::Refused {
                request: (session, client(&e.client_order_id)),
                original: client(&e.original),
                reason,
                status: e.status,
            },
            EventBody::CommandRefused(_) => Told::Ignored(reason),
            EventBody::SessionClosed(_) => Told::Closed(session),
            EventBody::LogonAnswered(_) => Told::LoggedOn(session),
            EventBody::DayRolled(_) => Told::DayRolled,
            other => panic!("unexpected {other:?}"),
        });
    });
    told
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
        ..venue::instrument(4)
    }
}

fn draw(random: &mut Random, id: u64) -> Asked {
    // Rarely something that cannot be.
    let odd = |random: &mut Random| random.below(40) == 0;
    let instrument = if odd(random) {
        random.below(7) as u32
    } else {
        1 + random.below(4) as u32
    };
    let market = random.below(12) == 0;
    let (price, lots) = if instrument == 4 {
        let [crooked, ragged] = [(); 2].map(|()| u64::from(odd(random)));
        (
            (95 + 5 * random.below(23) + crooked) as i64,
            10 * random.below(11) + ragged,
        )
    } else {
        // Now and then something large, that sweeps through hundreds of orders.
        let large = if random.below(500) == 0 { 100 } else { 1 };
        (
            10_000 + random.below(12) as i64 - 6,
            random.below(21) * large,
        )
    };
    Asked {
        id: if odd(random) { 0 } else { id },
        instrument,
        side: if odd(random) {
            random.below(5) as u8
        } else {
            1 + random.below(2) as u8
        },
        market,
        tif: match random.below(20) {
            0..=15 => {
                if market {
                    IOC
                } else {
                    DAY
                }
            }
            16 | 17 => IOC,
            18 => FOK,
            _ => random.below(9) as u8,
        },
        price: if market != odd(random) {
            NO_PRICE.0
        } else {
            price
        },
        lots,
    }
}

#[test]
fn the_engine_says_what_the_oracle_says() {
    let seed = seed();
    let commands = number("COMMANDS").unwrap_or(200_000);
    println!("COMMANDS={commands}");
    let mut random = Random::new(seed);
    let limits = EngineLimits {
        orders: 1 << 16,
        client_order_ids: 1 << 20,
        instruments: 8,
        price_pages: 1 << 12,
        ..EngineLimits::default()
    };
    let mut driver = Driver::world(limits, 3, SESSIONS);
    driver.apply(SessionId(0), coarse(), &mut Vec::new());
    let terms: Vec<Terms> = driver.engine.instruments().map(Terms::of).collect();
    assert_eq!(terms.len(), 4);
    let mut oracle = Oracle {
        books: vec![NaiveBook::default(); terms.len()],
        terms,
        known: HashMap::new(),
        order_ids: HashMap::new(),
        totals: BTreeMap::new(),
        told: Vec::new(),
    };
    let mut next_outbound = vec![1u64; SESSIONS as usize + 1];
    let mut ids = [0u64; SESSIONS as usize + 1];
    let mut out = Vec::new();
    let mut reasons = BTreeMap::new();
    let mut trading_day = 20_260_101;
    for step in 0..commands {
        out.clear();
        oracle.told.clear();
        let session = 1 + random.below(u64::from(SESSIONS)) as u32;
        let at = SessionId(session);
        let mut stale = false;
        if random.below(2_000) == 0 {
            // A newer logon fences the connection; an old one's command is then refused.
            oracle.told.push(Told::Closed(session));
            oracle.told.push(Told::LoggedOn(session));
            driver.logon(at, &mut out);
        } else if random.below(5_000) == 0 {
            driver.apply(at, SessionDisconnected::default(), &mut out);
            let mut answer = Vec::new();
            driver.logon(at, &mut answer);
            out.extend(answer);
            oracle.told.push(Told::Closed(session));
            oracle.told.push(Told::LoggedOn(session));
        } else if random.below(20_000) == 0 {
            trading_day += 1;
            let mut resting: Vec<(u64, (u32, u64))> = (1..=4)
                .flat_map(|id| [(id, Side::Buy), (id, Side::Sell)])
                .flat_map(|(id, side)| {
                    driver
                        .engine
                        .resting(InstrumentId(id), side)
                        .collect::<Vec<_>>()
                })
                .map(|(owner, order)| (order.order_id.0, (owner.0, client(&order.client_order_id))))
                .collect();
            resting.sort_unstable();
            let in_order: Vec<(u32, u64)> = resting.into_iter().map(|(_, id)| id).collect();
            oracle.day_roll(&in_order);
            let roll = DayRoll {
                trading_day,
                reserved: 0,
            };
            driver.apply(SessionId(0), roll, &mut out);
            // Ids are free again.
            ids = [0; SESSIONS as usize + 1];
        } else {
            stale = random.below(3_000) == 0;
            let generation = driver.generation[session as usize];
            if stale {
                driver.generation[session as usize] = generation - 1;
            }
            let last = &mut ids[session as usize];
            let old = |random: &mut Random, last: u64| last.saturating_sub(random.below(60));
            // Mostly an order that is open.
            let open: Vec<u64> = oracle
                .totals
                .range((session, 0)..(session + 1, 0))
                .map(|((_, id), _)| *id)
                .collect();
            let pick = |random: &mut Random, last: u64| {
                if open.is_empty() || random.below(4) == 0 {
                    old(random, last)
                } else {
                    open[random.below(open.len() as u64) as usize]
                }
            };
            let fresh = if random.below(50) == 0 {
                old(&mut random, *last)
            } else {
                *last += 1;
                *last
            };
            let mut asked = draw(&mut random, fresh);
            match random.below(20) {
                0..=14 => {
                    let order = venue::enter(
                        asked.id,
                        asked.instrument,
                        asked.side,
                        asked.tif,
                        asked.price,
                        asked.lots,
                    );
                    let order = trading_engine::engine::command::EnterOrder {
                        order_type: if asked.market { 1 } else { 2 },
                        client_order_id: id_of(asked.id),
                        ..order
                    };
                    if !stale {
                        oracle.enter(session, &asked);
                    }
                    driver.apply(at, order, &mut out);
                }
                15 | 16 => {
                    let original = pick(&mut random, *last);
                    let means = oracle.name(&mut random, session, original);
                    let (instrument, side) = if random.below(8) == 0 {
                        (asked.instrument, asked.side.min(2))
                    } else {
                        (0, 0)
                    };
                    let mut cancel = venue::cancel(asked.id, original);
                    cancel.client_order_id = id_of(asked.id);
                    cancel.original = id_of(means.original);
                    cancel.order_id = OrderId(means.order_id);
                    cancel.instrument = InstrumentId(instrument);
                    cancel.side = side;
                    if !stale {
                        oracle.cancel(session, asked.id, means, instrument, side);
                    }
                    driver.apply(at, cancel, &mut out);
                }
                _ => {
                    let original = pick(&mut random, *last);
                    let means = oracle.name(&mut random, session, original);
                    // Mostly what the order is, sometimes what it is not.
                    if random.below(8) != 0 {
                        asked.side = 0;
                        asked.tif = 0xFF;
                        asked.instrument = oracle
                            .target(session, means)
                            .map_or(asked.instrument, |(_, at)| at as u32 + 1);
                        if asked.instrument == 4 {
                            asked.price = 100 + 5 * random.below(21) as i64;
                            asked.lots = 10 * (1 + random.below(9));
                        }
                    }
                    if asked.market {
                        asked.price = 10_000;
                    }
                    asked.side = asked.side.min(2);
                    let mut replace = venue::replace(
                        asked.id,
                        original,
                        asked.instrument,
                        asked.price,
                        asked.lots,
                    );
                    replace.client_order_id = id_of(asked.id);
                    replace.original = id_of(means.original);
                    replace.order_id = OrderId(means.order_id);
                    replace.side = asked.side;
                    replace.time_in_force = asked.tif;
                    replace.order_type = if asked.market { 1 } else { 0 };
                    if !stale {
                        oracle.replace(session, asked.id, means, &asked);
                    }
                    driver.apply(at, replace, &mut out);
                }
            }
            if stale {
                driver.generation[session as usize] = generation;
                driver.unsend(at);
                oracle.told.push(Told::Ignored(Reason::StaleGeneration));
            }
        }
        let told = tell(&out, &mut next_outbound);
        venue::for_each_event(&out, |header, body| {
            if let EventBody::OrderAccepted(OrderAccepted { order })
            | EventBody::OrderReplaced(OrderReplaced { order, .. }) = body
            {
                let newest = (header.session.0, client(&order.client_order_id));
                oracle.order_ids.insert(newest, order.order_id.0);
            }
        });
        assert_eq!(
            told, oracle.told,
            "step {step}, session {session}, stale {stale}"
        );
        for one in &told {
            if let Told::Rejected { reason, .. }
            | Told::Refused { reason, .. }
            | Told::Canceled { reason, .. }
            | Told::Ignored(reason) = one
            {
                *reasons.entry(*reason).or_insert(0u64) += 1;
            }
        }
        for (index, book) in oracle.books.iter().enumerate() {
            for (side, code) in [(Side::Buy, 1), (Side::Sell, 2)] {
                let levels: Vec<(i64, u64, u32)> = driver
                    .engine
                    .levels(InstrumentId(index as u32 + 1), side)
                    .map(|(price, lots, orders)| (price.0, lots.0, orders))
                    .collect();
                assert_eq!(levels, book.levels(code), "step {step}: depth");
            }
        }
    }
    println!("{reasons:?}");
    // The run saw what it is for: each of these by chance, hundreds of times.
    for reason in [
        Reason::CanceledByRequest,
        Reason::ImmediateOrCancelRemainder,
        Reason::FillOrKillUnfilled,
        Reason::UnknownInstrument,
        Reason::DuplicateClientOrderId,
        Reason::PriceNotOnTick,
        Reason::QuantityNotOnLot,
        Reason::QuantityBelowMinimum,
        Reason::QuantityAboveMaximum,
        Reason::PriceBelowMinimum,
        Reason::PriceAboveMaximum,
        Reason::PriceMissing,
        Reason::PriceNotAllowed,
        Reason::UnsupportedSide,
        Reason::UnsupportedTimeInForce,
        Reason::MarketMustBeImmediate,
        Reason::UnknownOrder,
        Reason::TooLateToCancel,
        Reason::ReplaceNotAllowed,
        Reason::IdMismatch,
        Reason::TermsMismatch,
        Reason::InvalidClientOrderId,
        Reason::StaleGeneration,
    ] {
        let seen = reasons.get(&reason).copied().unwrap_or(0);
        assert!(seen > 0 || commands < 100_000, "{reason:?} never happened");
    }
}

fn id_of(id: u64) -> ClientOrderId {
    if id == 0 {
        ClientOrderId::NONE
    } else {
        ClientOrderId::from_u64(id)
    }
}
