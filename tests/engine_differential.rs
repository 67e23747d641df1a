//! The engine against an oracle of plain vectors: one random stream over every feature of
//! `protocol/ORDERS.md`, every event compared field by field, visible depth compared after each
//! command, whole books, definitions, kill switches, accounts and risk limits every few hundred, and
//! `executed + leaves + canceled = ordered`. Now and then the engine is another one, made of its own
//! snapshot.
//!
//! `SEED` repeats a run, `COMMANDS` sets its length (default 400,000).

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;

use support::naive::{
    Block, CLOSED, CLOSING, CONTINUOUS, HALTED, Indication, Known, Means, OPENING, Order, PRE_OPEN,
    Protection, QuoteOf, QuoteSide, State, Told, VOLATILITY, Venue, What,
};
use support::settings::{number, seed};
use support::venue::{self, Driver, NO_PRICE};
use support::workload::Random;
use trading_engine::engine::command::{
    AmendTrade, AmendedFill, CancelAfter, CancelOrder, CommandKind, ConfigureProtection, DayRoll,
    DefineFirm, DefineInstrument, DefineSession, DefineTickTable, EnterOrder, EnterOrderWithTerms,
    KillSwitch, MassCancel, MassQuoteHead, OrderStatusRequest, OrderTerms, QuoteCancel, QuoteEntry,
    RefuseOrder, RefuseRequest, ReplaceOrder, ReplaceOrderWithTerms, ResetProtection,
    SessionDisconnected, SessionLogon, SessionMessage, SetAccount, SetLimits, SetPhase,
    SetReference, Tick, TickStep, name,
};
use trading_engine::engine::event::{
    EventBody, Fill, OrderCanceled, OrderState, OrderStatusReport, QuoteResult,
};
use trading_engine::engine::{Engine, KillBlock};
use trading_engine::limits::{EngineLimits, QUANTITY_MAX, STEP_EVENTS_MAX};
use trading_engine::market_data::depth::Depth;
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, ExecId, FirmId, InstrumentId, KillScope, OrderId, OrderType, Price,
    Quantity, Reason, SelfTradePrevention, SessionId, SessionProtocol, Side, TimeInForce, TradeId,
    UtcNanos,
};
use zerocopy::IntoBytes;

/// There at the beginning; others come.
const SESSIONS: u32 = 8;
const SESSIONS_MAX: u32 = 11;
const FIRMS_MAX: u32 = 5;
/// It never has risk limits, so that its plain orders go the way of those.
const UNLIMITED: u32 = 3;
/// It never has accounts.
const WITHOUT_ACCOUNTS: u32 = 2;
/// Its numbers restart with the day.
const RESTARTS: u32 = 4;
const COARSE: u32 = 4;
/// There at the beginning; another one comes.
const INSTRUMENTS: u32 = 5;
const INSTRUMENTS_MAX: u32 = 6;
/// All are reached now and then.
const ORDERS: u32 = 400;
const CLIENT_ORDER_IDS: u32 = 7_000;
const PRICE_PAGES: u32 = 16;
const QUOTE_CAPACITY: u32 = 50;
const QUOTES_OF_A_FIRM: u32 = 22;
const GROUPS: u32 = 5;
const GROUPS_OF_A_FIRM: u32 = 3;
const RISK_LIMITS: u32 = 14;
/// Three of each of two firms, and a few.
const ACCOUNTS: u32 = 9;
const MILLISECOND: u64 = 1_000_000;
/// Expire times are multiples of it, so that many orders expire together.
const RASTER: u64 = 4 * MILLISECOND;
/// Every so many commands books are filled for a while, so that some commands find more to do
/// than one step holds.
const CYCLE: u64 = 8_000;
const FILLING: u64 = 1_500;

/// Sessions 1 to 3 are of one firm, 4 to 6 of another, 7 and 8 of a third. In each the first has the risk role, the
/// first two are of one user, the third of none (or of a user alone).
fn sessions() -> Vec<DefineSession> {
    (1..=SESSIONS)
        .map(|id| DefineSession {
            firm: FirmId(id.div_ceil(3)),
            reset_at_day_roll: u8::from(id == RESTARTS),
            roles: u8::from(id % 3 == 1),
            user: match id {
                3 => 0,
                6 => 9,
                _ => 7,
            },
            ..venue::session(id, SessionProtocol::Binary)
        })
        .collect()
}

/// The first is plain, the others have bands and tick tables. The 4th has a coarse tick and lot,
/// so that every admission check can fail.
fn instruments() -> Vec<DefineInstrument> {
    let mut all: Vec<DefineInstrument> = (1..=INSTRUMENTS)
        .map(|id| DefineInstrument {
            price_min: Price(9_900),
            price_max: Price(10_100),
            product: id % 3,
            ..venue::instrument(id)
        })
        .collect();
    all[1].static_band = 20;
    all[1].dynamic_band = 7;
    all[1].interruption_ms = 30;
    all[2].tick_table = 1;
    all[2].dynamic_band = 12;
    // Notionals to round.
    all[2].price_unit_e8 = 7;
    all[2].lot_size_e8 = 30_000_001;
    all[3] = DefineInstrument {
        tick: 5,
        price_min: Price(100),
        price_max: Price(200),
        quantity_min: Quantity(10),
        quantity_max: Quantity(90),
        quantity_increment: Quantity(10),
        protection_ticks: 2,
        tick_table: 2,
        static_band: 45,
        ..venue::instrument(COARSE)
    };
    all[4].first_phase = PRE_OPEN;
    all[4].tick_table = 1;
    all[4].static_band = 9;
    all[4].dynamic_band = 5;
    all[4].interruption_ms = 100;
    all
}

fn tick_table(table: u32, first: &[(i64, u64)]) -> DefineTickTable {
    let mut steps = [TickStep::default(); 8];
    for (step, (from, tick)) in steps.iter_mut().zip(first) {
        step.from = Price(*from);
        step.tick = *tick;
    }
    DefineTickTable {
        table,
        steps,
        ..DefineTickTable::default()
    }
}

fn tick_tables() -> [DefineTickTable; 2] {
    [
        tick_table(1, &[(9_990, 1), (10_000, 2), (10_004, 4)]),
        tick_table(2, &[(150, 5), (160, 10)]),
    ]
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
    ended: bool,
}

/// One side of a trade, as it was told.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// As the fill left it; its ExecID is that of the last report of the trade.
    order: OrderState,
    /// ExecID of the report before that.
    exec_id_before: ExecId,
    session: u32,
    liquidity: u8,
    is_quote: bool,
}

/// A trade of the day.
#[derive(Clone, Debug)]
struct Trade {
    id: u64,
    /// What it stands at.
    price: i64,
    /// What it stood at before.
    price_before: i64,
    lots: u64,
    sides: Vec<Part>,
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
    /// Of the day.
    trades: Vec<Trade>,
    last_reports: HashMap<u64, OrderState>,
    /// The command at work is a day roll, and the session's numbers have yet to restart.
    restarts: bool,
}

impl Reader {
    fn new() -> Self {
        Self {
            order_ids: vec![0],
            next_outbound: vec![1; SESSIONS_MAX as usize + 1],
            epochs: vec![1; SESSIONS_MAX as usize + 1],
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
            group: order.protection_group,
        }
    }

    fn accepted(&mut self, order: &OrderState) {
        self.is_new(order.order_id.0, order.quantity.0);
    }

    fn is_new(&mut self, order_id: u64, ordered: u64) {
        assert!(
            order_id > *self.order_ids.last().unwrap(),
            "order ids ascend"
        );
        self.numbers.insert(order_id, self.order_ids.len() as u64);
        self.order_ids.push(order_id);
        let life = Life {
            ordered,
            ..Life::default()
        };
        self.lives.insert(order_id, life);
    }

    /// A report about an order: what was executed, taken off and ordered anew is all there is.
    fn report(&mut self, order: &OrderState, executed: u64, canceled: u64, reduced: u64) -> State {
        self.executions += 1;
        assert_eq!(order.exec_id.0, self.executions, "ExecIDs have no gap");
        let life = self
            .lives
            .get_mut(&order.order_id.0)
            .expect("it was accepted");
        assert!(!life.ended, "nothing is told of what has ended: {order:?}");
        life.executed += executed;
        life.ordered -= reduced;
        life.ended = order.leaves.0 == 0;
        assert_eq!(order.cumulative.0, life.executed, "{order:?}");
        assert_eq!(order.quantity.0, life.ordered, "{order:?}");
        assert_eq!(
            order.cumulative.0 + order.leaves.0 + canceled,
            order.quantity.0,
            "executed + leaves + canceled = ordered: {order:?}"
        );
        self.last_reports.insert(order.order_id.0, *order);
        self.state(order)
    }

    fn fill(&mut self, fill: &Fill, session: u32, entry: Option<u64>) -> What {
        let part = Part {
            order: fill.order,
            exec_id_before: fill.order.exec_id,
            session,
            liquidity: fill.liquidity,
            is_quote: entry.is_some(),
        };
        match self.trades.last_mut() {
            Some(trade) if trade.id == fill.trade_id.0 => {
                assert_eq!(trade.price, fill.last_price.0);
                assert_eq!(trade.lots, fill.last_quantity.0);
                trade.sides.push(part);
            }
            _ => self.trades.push(Trade {
                id: fill.trade_id.0,
                price: fill.last_price.0,
                price_before: fill.last_price.0,
                lots: fill.last_quantity.0,
                sides: vec![part],
            }),
        }
        What::Fill {
            order: self.report(&fill.order, fill.last_quantity.0, 0, 0),
            trade: fill.trade_id.0,
            price: fill.last_price.0,
            lots: fill.last_quantity.0,
            liquidity: fill.liquidity,
            entry,
        }
    }

    fn ended(&mut self, end: &OrderCanceled, entry: Option<u64>) -> What {
        What::Canceled {
            order: self.report(&end.order, 0, end.canceled.0, 0),
            request: client(&end.request),
            lots: end.canceled.0,
            entry,
        }
    }

    fn stated(&mut self, report: &OrderStatusReport, quote: Option<QuoteOf>) -> What {
        let there = report.order.order_id.0 != 0;
        assert_eq!(report.order.exec_id.0, 0);
        What::Status {
            order: there.then(|| self.state(&report.order)),
            terms: report.terms,
            request: client(&report.request),
            total: report.total,
            is_last: report.is_last == 1,
            all: report.all == 1,
            quote,
            waits: report.waits,
            shown: report.shown.0,
        }
    }

    /// Both sides of an answer to one entry of a mass quote.
    fn quoted(&mut self, result: &QuoteResult) -> [QuoteSide; 2] {
        [
            (
                result.bid_order,
                result.bid_price,
                result.bid_quantity,
                result.bid_status,
                result.bid_reason,
            ),
            (
                result.ask_order,
                result.ask_price,
                result.ask_quantity,
                result.ask_status,
                result.ask_reason,
            ),
        ]
        .map(|(order_id, price, lots, status, reason)| {
            if status == 1 {
                self.is_new(order_id.0, lots.0);
            }
            if status == 2 {
                let life = self.lives.get_mut(&order_id.0).expect("it was entered");
                life.ordered = life.executed + lots.0;
            }
            QuoteSide {
                entry: client(&result.entry_id),
                instrument: result.instrument.0,
                layer: result.layer,
                number: self.numbers.get(&order_id.0).copied().unwrap_or(0),
                price: price.0,
                lots: lots.0,
                status,
                reason: Reason::try_from(reason).unwrap(),
                tag: result.ref_tag,
            }
        })
    }

    /// A bust takes lots out of what was executed, and out of what was ordered while it is open.
    fn amended(&mut self, order: &OrderState, busted: u64) -> State {
        self.executions += 1;
        assert_eq!(order.exec_id.0, self.executions, "ExecIDs have no gap");
        let life = self.lives.get_mut(&order.order_id.0).unwrap();
        life.executed -= busted;
        assert_eq!(order.cumulative.0, life.executed, "{order:?}");
        if order.leaves.0 != 0 {
            life.ordered -= busted;
            let sum = order.cumulative.0 + order.leaves.0;
            assert_eq!(sum, order.quantity.0, "{order:?}");
        }
        // What a mass quote changed and then removed has no report that says its last quantity.
        if order.leaves.0 != 0 {
            assert_eq!(order.quantity.0, life.ordered, "{order:?}");
        }
        self.last_reports.insert(order.order_id.0, *order);
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
            // After the session is closed if it was not, before orders are carried over.
            let goes_on = reason == Reason::CarriedOver || matches!(body, EventBody::DayRolled(_));
            if self.restarts && goes_on {
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
                EventBody::Fill(e) => self.fill(e, session, None),
                EventBody::QuoteFill(e) => self.fill(&e.fill, session, Some(client(&e.entry_id))),
                EventBody::OrderCanceled(e) => self.ended(e, None),
                EventBody::QuoteCanceled(e) => self.ended(&e.canceled, Some(client(&e.entry_id))),
                EventBody::OrderTriggered(e) => What::Triggered {
                    order: self.report(&e.order, 0, 0, 0),
                },
                EventBody::OrderRestated(e) => What::Restated {
                    order: self.report(&e.order, 0, 0, e.reduced.0),
                    reduced: e.reduced.0,
                    shown: e.shown.0,
                    entry: None,
                },
                EventBody::QuoteRestated(e) => What::Restated {
                    order: self.report(&e.restated.order, 0, 0, e.restated.reduced.0),
                    reduced: e.restated.reduced.0,
                    shown: e.restated.shown.0,
                    entry: Some(client(&e.entry_id)),
                },
                EventBody::OrderRejected(e) => {
                    self.executions += 1;
                    assert_eq!(e.exec_id.0, self.executions, "ExecIDs have no gap");
                    What::Rejected {
                        client: client(&e.client_order_id),
                        price: e.price,
                        quantity: e.quantity.cast_unsigned(),
                        instrument: e.instrument.0,
                        account: e.account.0,
                        side: e.side,
                        order_type: e.order_type,
                        time_in_force: e.time_in_force,
                        raw: e.raw == 1,
                    }
                }
                EventBody::RequestRejected(e) => What::Refused {
                    client: client(&e.client_order_id),
                    original: client(&e.original),
                    request: e.request,
                    status: e.status,
                    tag: u16::try_from(header.ref_tag).expect("FIX tags have 16 bits"),
                },
                EventBody::MassCancelDone(e) => {
                    let asked_for = MassCancel {
                        client_order_id: e.client_order_id,
                        instrument: e.instrument,
                        account: e.account,
                        scope: e.scope,
                        side: e.side,
                        by_account: e.by_account,
                        kinds: e.kinds,
                        product: e.product,
                        protection_group: e.protection_group,
                        request_type: e.request_type,
                        ..MassCancel::default()
                    };
                    What::MassCancelDone(e.canceled, asked_for)
                }
                EventBody::CancelAfterSet(e) => What::CancelAfterSet(e.cancel_at.0),
                EventBody::CommandRefused(e) => What::Ignored(e.ended),
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
                EventBody::PhaseChanged(e) => What::PhaseChanged {
                    instrument: e.instrument.0,
                    phase: e.phase,
                    previous: e.previous,
                    held: e.held == 1,
                    until: e.until.0,
                },
                EventBody::AuctionIndicative(e) => What::Indicative(
                    e.instrument.0,
                    Indication {
                        price: e.price.0,
                        lots: e.volume.0,
                        side: e.side,
                        imbalance: e.imbalance.0,
                    },
                ),
                EventBody::AuctionUncrossed(e) => What::Uncrossed(
                    e.instrument.0,
                    Indication {
                        price: e.price.0,
                        lots: e.volume.0,
                        side: e.side,
                        imbalance: e.imbalance.0,
                    },
                ),
                EventBody::ReferenceSet(e) => What::ReferenceSet(e.instrument.0, e.price.0),
                EventBody::InstrumentDefined(e) => What::InstrumentDefined(e.definition),
                EventBody::FirmDefined(e) => What::FirmDefined(e.definition),
                EventBody::SessionDefined(e) => What::SessionDefined(e.definition),
                EventBody::TickTableDefined(e) => What::TickTableDefined(e.definition),
                EventBody::DefinitionRefused(e) => What::DefinitionRefused(e.command, e.id),
                EventBody::LimitsSet(e) => What::LimitsSet(e.limits, e.stopped == 1),
                EventBody::AccountSet(e) => What::AccountSet(e.definition),
                EventBody::KillSwitchDone(e) => What::KillSwitchDone {
                    client: client(&e.client_order_id),
                    canceled: e.canceled,
                    target: e.target,
                    scope: e.scope,
                    release: e.release,
                    cancels_only: e.cancels_only,
                },
                EventBody::TradeAmended(e) => {
                    let mut trades = self.trades.iter_mut();
                    let trade = trades.find(|trade| trade.id == e.trade_id.0);
                    let trade = trade.expect("of the day");
                    if e.new_price != NO_PRICE && trade.price != e.new_price.0 {
                        trade.price_before = mem::replace(&mut trade.price, e.new_price.0);
                    }
                    let mut fills = trade.sides.iter_mut();
                    let of = fills.find(|part| part.order.order_id == e.order.order_id);
                    let of = of.expect("it is its");
                    // The next amendment refers to this one.
                    assert_eq!(e.reference, of.order.exec_id);
                    of.exec_id_before = mem::replace(&mut of.order.exec_id, e.order.exec_id);
                    let busted = if e.new_price == NO_PRICE {
                        e.quantity.0
                    } else {
                        0
                    };
                    What::Amended {
                        order: self.amended(&e.order, busted),
                        trade: e.trade_id.0,
                        price: e.price.0,
                        lots: e.quantity.0,
                        new_price: e.new_price.0,
                        liquidity: e.liquidity,
                        is_quote: e.is_quote == 1,
                    }
                }
                EventBody::MassQuoteAnswered(e) => What::Quoted {
                    quote_id: client(&e.head.quote_id),
                    accepted: e.head.accepted,
                    refused: e.head.refused,
                    group: e.head.protection_group,
                    response: e.head.response,
                    account: e.head.account.0,
                    results: e.results.iter().map(|one| self.quoted(one)).collect(),
                },
                EventBody::QuoteCancelDone(e) => What::QuoteCancelDone {
                    quote_id: client(&e.quote_id),
                    canceled: e.canceled,
                    instrument: e.instrument.0,
                    group: e.protection_group,
                    layer: e.layer,
                    scope: e.scope,
                },
                EventBody::ProtectionSet(e) => What::ProtectionSet {
                    client: client(&e.client_order_id),
                    group: e.protection_group,
                    settings: Protection {
                        quantity: e.quantity.0,
                        net: e.net.0,
                        fills: e.fills,
                        window_ms: e.window_ms,
                        frozen_ms: e.frozen_ms,
                        ..Protection::default()
                    },
                    frozen_until: e.frozen_until.0,
                    window_lots: e.window_quantity.0,
                    window_fills: e.window_fills,
                },
                EventBody::ProtectionTripped(e) => What::Tripped {
                    group: e.protection_group,
                    number: self.numbers[&e.order_id.0],
                    limit: e.limit,
                    frozen_until: e.frozen_until.0,
                    lots: e.window_quantity.0,
                    net: e.window_net,
                    fills: e.window_fills,
                },
                EventBody::OrderStatusReport(e) => {
                    assert_eq!(e.is_quote, 0);
                    self.stated(e, None)
                }
                EventBody::QuoteStatusAnswered(e) => {
                    assert_eq!(e.report.is_quote, 1);
                    let quote = QuoteOf {
                        layer: e.layer,
                        entry: client(&e.entry_id),
                    };
                    self.stated(&e.report, Some(quote))
                }
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
    /// Last order of each session.
    orders: Vec<Option<(EnterOrder, OrderTerms)>>,
    /// There by now.
    instruments: u32,
    sessions: u32,
    filling: bool,
    sweeping: bool,
    /// The world is new: its first auctions, with nothing to refer to.
    young: bool,
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
            let outside = self.one_in(20);
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
        if self.young {
            return 9_988 + 4 * self.random.below(7) as i64;
        }
        if self.one_in(100) {
            return self.pick(&[9_899, 9_900, 10_100, 10_101, 9_975, 10_025]);
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
        if self.young {
            return 1 + self.random.below(3);
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
            self.pick(&[0, self.instruments + 1, 9, 1 << 20])
        } else if self.filling && self.one_in(2) {
            1
        } else {
            1 + self.random.below(u64::from(self.instruments)) as u32
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
        let order_type = if self.young && self.one_in(3) {
            OrderType::Market as u8
        } else {
            order_type
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
        let auction_only = if self.young { 2 } else { 14 };
        let time_in_force = if self.one_in(100) {
            self.pick(&[5, 8, 0xFF])
        } else if !self.filling && self.one_in(auction_only) {
            self.pick(&[TimeInForce::AtTheOpening, TimeInForce::AtTheClose]) as u8
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
            protection_group: self.group(4),
        };
        let terms = self.entry_terms(&order, now);
        self.orders[session as usize] = Some((order, terms));
        (order, terms)
    }

    /// The session's last order again, under another id.
    fn same_again(&mut self, session: u32) -> Option<(EnterOrder, OrderTerms)> {
        let (order, terms) = self.orders[session as usize]?;
        let client_order_id = id_of(self.client(session));
        let again = EnterOrder {
            client_order_id,
            ..order
        };
        Some((again, terms))
    }

    /// Mostly none; one of a few.
    fn group(&mut self, odds: u64) -> u16 {
        if self.one_in(odds) {
            self.pick(&[1, 2, 3, 3, 3])
        } else {
            0
        }
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
        if self.one_in(4) {
            request.stated = self.random.below(16) as u8;
            request.account = AccountId(order.account);
            request.protection_group = order.group;
            request.instructions = order.instructions;
            request.self_trade_prevention = order.self_trade_prevention;
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
        if [1, 3].contains(&order.order_type) {
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
            match self.random.below(13) {
                9 => {
                    request.stated |= 1;
                    request.account = AccountId(self.random.below(3) as u32);
                }
                10 => {
                    request.stated |= 1 << 1;
                    request.instructions = self.pick(&[0, 1, 4, 5]);
                }
                11 => {
                    request.stated |= 1 << 2;
                    request.self_trade_prevention = self.pick(&[0, 1, 2, 3, 4, 0x12]);
                }
                12 => {
                    request.stated |= 1 << 3;
                    request.protection_group = self.group(2);
                }
                0 => request.instrument = InstrumentId(self.random.below(6) as u32),
                1 => request.side = 3 - order.side,
                2 => request.order_type = self.pick(&[1, 2, 3, 4, 20, 99]),
                3 => request.time_in_force = self.pick(&[0, 1, 2, 3, 4, 6, 7, 99]),
                4 => {
                    request.price = if [1, 3].contains(&order.order_type) {
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
            scope: 1,
            ..MassCancel::default()
        };
        if self.one_in(2) {
            request.instrument = InstrumentId(1 + self.random.below(5) as u32);
        }
        request.scope = self.pick(&[1, 1, 2, 2, 3]);
        if self.one_in(5) {
            request.product = 1 + self.random.below(3) as u32;
        }
        request.protection_group = self.group(4);
        if self.one_in(3) {
            request.kinds = 1 + self.random.below(2) as u8;
        }
        if self.one_in(3) {
            request.side = 1 + self.random.below(2) as u8;
        }
        if self.one_in(3) {
            request.by_account = 1;
            request.account = AccountId(self.random.below(4) as u32);
        }
        if self.one_in(2) {
            request.request_type = match (request.instrument.0, request.product) {
                (0, 0) => b'7',
                (0, _) => b'3',
                _ => b'1',
            };
        }
        if odd {
            match self.random.below(6) {
                5 => request.request_type = self.pick(b"1347"),
                0 => request.scope = self.pick(&[0, 4, 7]),
                1 => request.side = 3,
                2 => request.by_account = 2,
                3 => request.kinds = 3,
                _ => request.instrument = InstrumentId(self.pick(&[6, 100, 1 << 20])),
            }
        }
        request
    }

    // What the venue does.

    fn set_phase(&mut self, venue: &Venue) -> SetPhase {
        let instrument = match self.random.below(40) {
            0 => self.pick(&[6, 1 << 20]),
            1..=4 => 0,
            _ => 1 + self.random.below(u64::from(self.instruments)) as u32,
        };
        let now = (venue.books.get((instrument as usize).wrapping_sub(1)))
            .map_or(CONTINUOUS, |book| book.phase);
        let phase = if self.one_in(40) {
            self.pick(&[7, 8, 0xFF])
        } else if now != CONTINUOUS && !self.one_in(3) {
            CONTINUOUS
        } else if now == CLOSING && self.one_in(2) {
            CLOSED
        } else if now == PRE_OPEN && self.one_in(2) {
            OPENING
        } else {
            self.pick(&[
                PRE_OPEN, PRE_OPEN, OPENING, OPENING, CLOSING, CLOSING, VOLATILITY, VOLATILITY,
                HALTED, CLOSED, CONTINUOUS,
            ])
        };
        SetPhase {
            instrument: InstrumentId(instrument),
            phase,
            ..SetPhase::default()
        }
    }

    fn set_reference(&mut self) -> SetReference {
        let instrument = 1 + self.random.below(u64::from(self.instruments)) as u32;
        let price = match (self.random.below(30), instrument) {
            (0, COARSE) => self.pick(&[95, 205]),
            (0, _) => self.pick(&[9_899, 10_101, -1]),
            (_, COARSE) => 145 + 5 * self.random.below(3) as i64,
            _ => 9_992 + self.random.below(17) as i64,
        };
        let unknown = self.one_in(30);
        SetReference {
            instrument: InstrumentId(if unknown { 7 } else { instrument }),
            price: Price(price),
            ..SetReference::default()
        }
    }

    /// Another definition of an instrument, mostly in what may change; sometimes of a new one.
    fn define_instrument(&mut self, venue: &Venue) -> DefineInstrument {
        let at = self.random.below(u64::from(self.instruments)) as usize;
        let mut other = venue.instruments[at];
        let coarse = other.instrument.0 == COARSE;
        // The first stays plain.
        if coarse {
            other.static_band = self.pick(&[0, 10, 45]);
            other.tick_table = self.pick(&[0, 2, 2, 3]);
            other.quantity_min = Quantity(self.pick(&[10, 10, 20]));
            other.quantity_max = Quantity(self.pick(&[90, 90, 60]));
            other.quantity_increment = Quantity(self.pick(&[10, 10, 20]));
        } else if at != 0 {
            other.static_band = self.pick(&[0, 9, 15, 20]);
            other.dynamic_band = self.pick(&[0, 2, 3, 4, 6, 12]);
            other.interruption_ms = self.pick(&[0, 10, 30, 100, 150]);
            other.tick_table = self.pick(&[0, 1, 1, 2, 3]);
            other.quantity_min = Quantity(self.pick(&[1, 1, 1, 4]));
            other.quantity_max = Quantity(self.pick(&[1_000_000, 1_000_000, 500]));
            other.quantity_increment = Quantity(self.pick(&[1, 1, 1, 2]));
        }
        other.protection_ticks = self.pick(&[2, 10, 50]);
        other.product = self.random.below(4) as u32;
        let next = InstrumentId(self.instruments + 1);
        match self.random.below(24) {
            0 => other.symbol = name("OTHER").unwrap(),
            1 => other.price_unit_e8 += 1,
            2 => other.lot_size_e8 += 1,
            3 => other.price_min.0 -= other.tick as i64,
            4 => other.price_max.0 += other.tick as i64,
            5 => other.tick += 1,
            6 => other.quantity_increment = Quantity(0),
            7 => other.quantity_min = Quantity(self.pick(&[0, 2_000_000])),
            8 => other.quantity_max = Quantity(QUANTITY_MAX + 1),
            9 => other.static_band = u64::MAX,
            10 => other.dynamic_band = 1 << 63,
            11 => other.tick_table = 65,
            12 => other.first_phase = 7,
            13 => other.instrument = self.pick(&[InstrumentId(0), next, InstrumentId(7)]),
            14 => {
                other.instrument = next;
                other.symbol = name(&format!("INST{}", next.0)).unwrap();
            }
            15 => other.symbol = [0; 24],
            _ => {}
        }
        other
    }

    fn define_firm(&mut self, venue: &Venue) -> DefineFirm {
        let there: Vec<DefineFirm> = venue.firms.values().copied().collect();
        let mut firm = self.pick(&there);
        let next = FirmId(there.len() as u32 + 1);
        match self.random.below(10) {
            0 => firm.name = name("OTHER").unwrap(),
            1 => firm.name = self.pick(&[[0; 24], [b' '; 24]]),
            2 => firm.firm = self.pick(&[FirmId(0), FirmId(99)]),
            3 => firm.firm = next,
            4 | 5 => {
                firm.firm = next;
                firm.name = name(&format!("FIRM{}", next.0)).unwrap();
            }
            _ => {}
        }
        firm
    }

    fn define_session(&mut self, venue: &Venue) -> DefineSession {
        let at = 1 + self.random.below(u64::from(self.sessions)) as usize;
        let mut session = venue.sessions[at].definition;
        let next = SessionId(self.sessions + 1);
        match self.random.below(24) {
            0..=7 => {
                session.user = self.pick(&[0, 7, 7, 9]);
                if self.one_in(3) {
                    session.roles = self.random.below(2) as u8;
                }
            }
            8 => session.public_key = [at as u8; 32],
            9 => session.firm = FirmId(session.firm.0 % 3 + 1),
            10 => session.protocol = self.pick(&[SessionProtocol::Fix as u8, 9]),
            11 => session.reset_at_day_roll ^= 1,
            12 => session.name = self.pick(&[name("OTHER").unwrap(), [0; 24]]),
            13 => session.roles = 128,
            14 => session.firm = self.pick(&[FirmId(0), FirmId(77)]),
            15 => session.session = self.pick(&[SessionId(0), SessionId(99)]),
            16 => session.session = next,
            17 | 18 => {
                let firms: Vec<u32> = venue.firms.keys().copied().collect();
                session = DefineSession {
                    firm: FirmId(self.pick(&firms)),
                    user: self.pick(&[0, 7, 9]),
                    roles: self.random.below(2) as u8,
                    ..venue::session(next.0, SessionProtocol::Binary)
                };
            }
            _ => {}
        }
        session
    }

    fn define_tick_table(&mut self) -> DefineTickTable {
        let steps: &[(i64, u64)] = match self.random.below(24) {
            0..=3 => &[(9_990, 1), (10_000, 2), (10_004, 4)],
            4 | 5 => &[(9_900, 1)],
            6 | 7 => &[(9_900, 2)],
            8 => &[(9_900, 4), (10_000, 2), (10_020, 1)],
            9 => &[(9_981, 3), (9_999, 1)],
            10 => &[(9_900, 10), (10_000, 1)],
            11 => &[(10_000, 5)],
            12..=14 => &[(150, 5), (160, 10)],
            15 => &[(100, 10), (150, 5)],
            16 => &[(150, 15)],
            // What is no table.
            17 => &[],
            18 => &[(150, 5), (150, 10)],
            19 => &[(160, 10), (150, 5)],
            20 => &[(151, 5)],
            21 => &[(150, 10), (155, 5)],
            22 => &[(150, 5), (0, 0), (160, 5)],
            _ => &[(150, 5), (160, 0)],
        };
        let table = self.pick(&[1, 1, 1, 2, 2, 2, 2, 3, 3]);
        let odd = self.one_in(16);
        tick_table(if odd { self.pick(&[0, 65]) } else { table }, steps)
    }

    /// An account, mostly one that is enabled or is to be again.
    fn set_account(&mut self, venue: &Venue) -> SetAccount {
        let firms: Vec<u32> = (venue.firms.keys().copied())
            .filter(|firm| *firm != WITHOUT_ACCOUNTS)
            .collect();
        let mut set = SetAccount {
            firm: FirmId(self.pick(&firms)),
            account: AccountId(self.random.below(7) as u32 / 2),
            enabled: u8::from(!self.one_in(4)),
            ..SetAccount::default()
        };
        let disabled = venue.accounts.iter().filter(|(_, enabled)| !**enabled);
        let disabled: Vec<(u32, u32)> = disabled.map(|(key, _)| *key).collect();
        if !disabled.is_empty() && !self.one_in(4) {
            let (firm, account) = self.pick(&disabled);
            (set.firm, set.account, set.enabled) = (FirmId(firm), AccountId(account), 1);
        }
        match self.random.below(20) {
            0 => set.firm = self.pick(&[FirmId(0), FirmId(77)]),
            1 => set.enabled = self.pick(&[2, 0xFF]),
            _ => {}
        }
        set
    }

    /// Limits of a firm: most sets have few, and wide ones.
    fn set_limits(&mut self, venue: &Venue) -> SetLimits {
        let known: Vec<SetLimits> = venue.all_limits().into_iter().map(|one| one.0).collect();
        let firms: Vec<u32> = (venue.firms.keys().copied())
            .filter(|firm| *firm != UNLIMITED)
            .collect();
        let mut set = SetLimits {
            firm: FirmId(self.pick(&firms)),
            ..SetLimits::default()
        };
        if !known.is_empty() && !self.one_in(5) {
            let of = self.pick(&known);
            set.firm = of.firm;
            set.account = of.account;
            set.by_account = of.by_account;
            set.instrument = of.instrument;
        } else {
            if self.one_in(3) {
                set.by_account = 1;
                set.account = AccountId(self.random.below(3) as u32);
            }
            if self.one_in(2) {
                set.instrument = InstrumentId(1 + self.random.below(4) as u32);
            }
        }
        set.release = u8::from(self.one_in(2));
        let is_of_firm = set.by_account == 0 && set.instrument.0 == 0;
        if self.one_in(8) {
            set.quantity = Quantity(5 + self.random.below(60));
        }
        if self.one_in(8) {
            set.notional_e8 = self.notional(35, 6);
        }
        if self.one_in(8) {
            set.collar_bp = self.pick(&[1, 3, 5, 8, 20, 400]);
        }
        if self.one_in(6) {
            set.open_orders = 1 + self.random.below(60) as u32;
        }
        if set.instrument.0 != 0 {
            if self.one_in(3) {
                set.position_limit = Quantity(20 + self.random.below(600));
            }
            if self.one_in(4) {
                set.sets_position = 1;
                set.position = self.random.below(600) as i64 - 300;
            }
        }
        if self.one_in(8) {
            set.gross_e8 = self.notional(38, 12);
        }
        if self.one_in(8) {
            set.net_e8 = self.notional(37, 11);
        }
        if self.one_in(3) {
            set.duplicates = 1 + self.random.below(3) as u32;
            set.duplicates_ms = self.pick(&[1, 5, 50, 60_000]);
        }
        if self.one_in(8) {
            set.executions = self.pick(&[1, 3, 8, 20, 64]);
            set.executions_ms = self.pick(&[1, 10, 100, 60_000]);
        }
        if is_of_firm && self.one_in(3) {
            set.messages = 1 + self.random.below(20) as u32;
            set.messages_ms = self.pick(&[2, 10, 50, 200]);
        }
        match self.random.below(200) {
            0 => set.firm = self.pick(&[FirmId(0), FirmId(9)]),
            1 => set.instrument = InstrumentId(self.pick(&[7, 1 << 20])),
            2 => set.by_account = 2,
            3 => (set.by_account, set.account) = (0, AccountId(1)),
            4 => set.release = 2,
            5 => set.sets_position = 2,
            6 => (set.instrument, set.sets_position) = (InstrumentId(0), 1),
            7 => {
                set.instrument = InstrumentId(0);
                set.position_limit = Quantity(1);
            }
            8 => {
                set.instrument = InstrumentId(1);
                (set.messages, set.messages_ms) = (1, 1);
            }
            9 => set.duplicates_ms ^= 1,
            10 => (set.executions, set.executions_ms) = (self.pick(&[0, 65]), 1),
            11 => (set.duplicates, set.duplicates_ms) = (self.pick(&[0, 65]), 1),
            12 => (set.messages, set.messages_ms) = (0, 1),
            _ => {}
        }
        set
    }

    /// Between two powers of two, 10^-8.
    fn notional(&mut self, least: u32, more: u64) -> u64 {
        let power = 1 << (u64::from(least) + self.random.below(more));
        power + self.random.below(power)
    }

    fn kill_switch(&mut self, session: u32, venue: &Venue) -> KillSwitch {
        let mut request = KillSwitch {
            client_order_id: id_of(self.client(session)),
            ..KillSwitch::default()
        };
        let blocks: Vec<Block> = venue.blocks.iter().map(|block| block.1).collect();
        if !blocks.is_empty() && !self.one_in(8) {
            request.release = 1;
            (request.scope, request.target) = match self.pick(&blocks) {
                Block::Session(session) => (1, session),
                Block::Firm(firm) => (2, firm),
                Block::User(_, user) => (3, user),
                Block::Instrument(instrument) => (4, instrument),
                Block::Venue => (5, 0),
            };
            return request;
        }
        request.scope = self.pick(&[1, 1, 1, 1, 1, 2, 3, 3, 4, 4, 5]);
        request.target = match request.scope {
            1 => 1 + self.random.below(u64::from(self.sessions)) as u32,
            2 => 1 + self.random.below(2) as u32,
            3 => self.pick(&[7, 7, 9]),
            4 => 1 + self.random.below(u64::from(self.instruments)) as u32,
            _ => 0,
        };
        if self.one_in(10) {
            match self.random.below(4) {
                0 => request.scope = self.pick(&[0, 6, 0xFF]),
                1 => request.cancels_only = self.pick(&[1, 2]),
                2 => request.release = self.pick(&[1, 2]),
                _ => request.target = self.pick(&[0, 8, 1 << 20]),
            }
        }
        request
    }

    fn order_status(&mut self, session: u32, means: Means) -> OrderStatusRequest {
        let mut request = OrderStatusRequest {
            client_order_id: id_of(self.client(session)),
            original: id_of(means.original),
            all: u8::from(self.one_in(3)),
            ..OrderStatusRequest::default()
        };
        if self.one_in(4) {
            request.instrument = InstrumentId(1 + self.random.below(5) as u32);
        }
        if self.one_in(4) {
            request.side = 1 + self.random.below(2) as u8;
        }
        request
    }

    fn edge_reason(&mut self) -> Reason {
        self.pick(&[
            Reason::UnknownInstrument,
            Reason::PriceNotOnTick,
            Reason::QuantityNotOnLot,
            Reason::UnsupportedInstruction,
        ])
    }

    fn refuse_order(&mut self, session: u32) -> RefuseOrder {
        RefuseOrder {
            client_order_id: id_of(self.client(session)),
            price_e8: 1_000_000 * self.random.below(100) as i64 + 1,
            quantity_e8: 1_000_000 * self.random.below(100) as i64,
            instrument: InstrumentId(self.random.below(4) as u32),
            reason: self.edge_reason().code(),
            side: self.random.below(3) as u8,
            order_type: self.pick(&[1, 2, b'P']),
            time_in_force: self.pick(&[0, 1, 3]),
            possible_resend: u8::from(self.one_in(4)),
            ..RefuseOrder::default()
        }
    }

    // What makers do.

    fn mass_quote(
        &mut self,
        session: u32,
        venue: &Venue,
        now: u64,
    ) -> (MassQuoteHead, Vec<QuoteEntry>) {
        let group = self.group(1).saturating_sub(u16::from(self.one_in(4)));
        let mut head = MassQuoteHead {
            quote_id: id_of(now),
            account: AccountId(u32::from(group % 2)),
            protection_group: group,
            instructions: u8::from(self.one_in(4)),
            response: self.random.below(3) as u8,
            self_trade_prevention: if self.one_in(3) {
                self.pick(SelfTradePrevention::ALL) as u8
            } else {
                0
            },
            ..MassQuoteHead::default()
        };
        if self.one_in(40) {
            match self.random.below(3) {
                0 => head.quote_id = ClientOrderId::NONE,
                1 => head.instructions = self.pick(&[2, 4, 0x81]),
                _ => head.self_trade_prevention = self.pick(&[5, 0x10, 0xFF]),
            }
        }
        let many = if self.one_in(60) { 100 } else { 6 };
        let entries = (0..1 + self.random.below(many))
            .map(|index| self.quote_entry(session, group, venue, index))
            .collect();
        (head, entries)
    }

    fn quote_entry(&mut self, session: u32, group: u16, venue: &Venue, index: u64) -> QuoteEntry {
        let instrument = 1 + self.random.below(u64::from(self.instruments)) as u32;
        let layer = if index < 6 {
            self.random.below(3) as u16
        } else {
            self.random.below(12) as u16
        };
        let (instrument, layer) = self
            .own_quote(session, venue, group)
            .filter(|_| self.one_in(2))
            .map_or((instrument, layer), |quote| (quote.1, quote.2));
        let coarse = instrument == COARSE;
        let (bid, ask) = if coarse {
            let bid = 140 + 5 * self.random.below(3) as i64;
            (bid, bid + 5 * self.random.below(5) as i64)
        } else {
            // Some take what is there.
            let far = if self.one_in(6) {
                self.pick(&[-8, 8])
            } else {
                0
            };
            let bid = 9_992 + 2 * self.random.below(6) as i64 - i64::from(layer % 3) + far;
            (bid, bid + self.random.below(9) as i64)
        };
        let mut entry = QuoteEntry {
            instrument: InstrumentId(instrument),
            layer,
            bid_price: Price(bid),
            bid_quantity: Quantity(self.lots(instrument)),
            ask_price: Price(ask),
            ask_quantity: Quantity(self.lots(instrument)),
            not_stated: if self.one_in(6) {
                self.pick(&[1, 2, 3])
            } else {
                0
            },
            ..QuoteEntry::default()
        };
        if self.one_in(2) {
            entry.entry_id = id_of(1 + self.random.below(1_000));
        }
        // Half of those that are there stay at their price.
        let book = &venue.books[instrument as usize - 1];
        for side in [Side::Buy, Side::Sell] {
            let there = (book.side(side as u8).iter()).find(|order| {
                (order.session, order.group) == (session, group)
                    && order.quote.is_some_and(|quote| quote.layer == layer)
            });
            let Some(there) = there.filter(|_| self.one_in(2)) else {
                continue;
            };
            let less = if coarse { 10 } else { 1 } * self.random.below(2);
            let lots = Quantity(there.open().saturating_sub(less));
            if side == Side::Buy {
                (entry.bid_price, entry.bid_quantity) = (Price(there.price), lots);
            } else {
                (entry.ask_price, entry.ask_quantity) = (Price(there.price), lots);
            }
        }
        match self.random.below(120) {
            0..=3 => entry.bid_quantity = Quantity(0),
            4..=7 => entry.ask_quantity = Quantity(0),
            8 => entry.instrument = InstrumentId(self.pick(&[0, 6, 1 << 20])),
            9 => {
                entry.edge_reason = self.edge_reason() as u8;
                entry.edge_tag = self.pick(&[0, 132]);
            }
            10 => entry.bid_price.0 = self.pick(&[9_899, 90, 9_980, 9_900]),
            11 => entry.ask_price.0 = self.pick(&[10_101, 205, 10_020, 10_100]),
            _ => {}
        }
        entry
    }

    /// Group, instrument and layer of a quote that the session has, of that group if it says so.
    fn own_quote(
        &mut self,
        session: u32,
        venue: &Venue,
        group: impl Into<Option<u16>>,
    ) -> Option<(u16, u32, u16)> {
        let group = group.into();
        let all: Vec<(u16, u32, u16)> = (venue.open_orders().into_iter())
            .filter(|order| order.session == session)
            .filter(|order| group.is_none_or(|group| group == order.group))
            .filter_map(|order| {
                (order.quote).map(|quote| (order.group, order.instrument, quote.layer))
            })
            .collect();
        if all.is_empty() {
            return None;
        }
        Some(self.pick(&all))
    }

    fn quote_cancel(&mut self, session: u32, venue: &Venue, now: u64) -> QuoteCancel {
        let mut request = QuoteCancel {
            quote_id: id_of(now),
            instrument: InstrumentId(1 + self.random.below(u64::from(self.instruments)) as u32),
            protection_group: self.random.below(4) as u16,
            layer: self.random.below(3) as u16,
            scope: self.pick(&[1, 2, 2, 3, 3, 4, 4, 4]),
            ..QuoteCancel::default()
        };
        if let Some((group, instrument, layer)) = self.own_quote(session, venue, None) {
            request.instrument = InstrumentId(instrument);
            request.protection_group = group;
            request.layer = layer;
        }
        if self.one_in(10) {
            match self.random.below(3) {
                0 => request.quote_id = ClientOrderId::NONE,
                1 => request.scope = self.pick(&[0, 5]),
                _ => request.instrument = InstrumentId(self.pick(&[0, 6])),
            }
        }
        request
    }

    fn configure_protection(&mut self, session: u32) -> ConfigureProtection {
        let mut request = ConfigureProtection {
            client_order_id: id_of(self.client(session)),
            window_ms: self.pick(&[0, 1, 4, 20, 20, 100, 100, 60_000]),
            frozen_ms: self.pick(&[0, 2, 8, 30]),
            protection_group: self.group(1) + u16::from(self.one_in(8)),
            ..ConfigureProtection::default()
        };
        if self.one_in(2) {
            request.quantity = Quantity(20 + self.random.below(200));
        }
        if self.one_in(2) {
            request.net = Quantity(20 + self.random.below(100));
        }
        if self.one_in(2) {
            request.fills = 1 + self.random.below(12) as u32;
        }
        if request.protection_group == 3 && !self.one_in(20) {
            // Only the venue's own bound.
            request = ConfigureProtection {
                client_order_id: request.client_order_id,
                window_ms: 60_000,
                frozen_ms: 8,
                protection_group: 3,
                ..ConfigureProtection::default()
            };
        }
        if self.one_in(10) {
            match self.random.below(3) {
                0 => request.protection_group = 0,
                1 => request.window_ms = 60_001,
                _ => request.fills = 513,
            }
        }
        request
    }
}

#[derive(Debug)]
/// What a session asks for. `bool`: in the command without terms.
enum Request {
    Disconnected(Reason, u16),
    Logout,
    CancelAfter(CancelAfter),
    MassCancel(MassCancel),
    Cancel(CancelOrder, Means),
    Replace(ReplaceOrder, OrderTerms, bool, Means),
    Enter(EnterOrder, OrderTerms, bool),
    KillSwitch(KillSwitch),
    Status(OrderStatusRequest, Means),
    InexpressibleOrder(RefuseOrder),
    Inexpressible(RefuseRequest, Means),
    MassQuote(MassQuoteHead, Vec<QuoteEntry>),
    QuoteCancel(QuoteCancel),
    Configure(ConfigureProtection),
    Reset(ResetProtection),
}

impl Request {
    fn to_oracle(&self, venue: &mut Venue, session: u32) {
        match self {
            Self::Disconnected(reason, least) => venue.disconnected(session, *reason, *least),
            Self::Logout => venue.disconnected(session, Reason::LogoutRequested, 0),
            Self::CancelAfter(request) => venue.cancel_after(session, request),
            Self::MassCancel(request) => venue.mass_cancel(session, request),
            Self::Cancel(request, means) => venue.cancel(session, request, *means),
            Self::Replace(request, terms, _, means) => {
                venue.replace(session, request, terms, *means);
            }
            Self::Enter(order, terms, _) => venue.enter(session, order, terms),
            Self::KillSwitch(request) => venue.kill_switch(session, request),
            Self::Status(request, means) => venue.order_status(session, request, *means),
            Self::InexpressibleOrder(refused) => venue.refuse_order(session, refused),
            Self::Inexpressible(refused, means) => {
                venue.refuse_request(session, refused, *means);
            }
            Self::MassQuote(head, entries) => venue.mass_quote(session, head, entries),
            Self::QuoteCancel(request) => venue.quote_cancel(session, request),
            Self::Configure(request) => venue.configure_protection(session, request),
            Self::Reset(request) => venue.reset_protection(session, request),
        }
    }

    fn to_engine(&self, driver: &mut Driver, at: SessionId, out: &mut Vec<u8>) {
        match *self {
            Self::KillSwitch(request) => driver.apply(at, request, out),
            Self::Status(request, _) => driver.apply(at, request, out),
            Self::InexpressibleOrder(refused) => driver.apply(at, refused, out),
            Self::Inexpressible(refused, _) => driver.apply(at, refused, out),
            Self::MassQuote(ref head, ref entries) => {
                let words = driver.mass_quote(at, head, entries);
                driver.apply_words(&words, out);
            }
            Self::QuoteCancel(request) => driver.apply(at, request, out),
            Self::Configure(request) => driver.apply(at, request, out),
            Self::Reset(request) => driver.apply(at, request, out),
            Self::Disconnected(reason, grace_ms) => {
                let gone = SessionDisconnected {
                    reason: reason.code(),
                    grace_ms,
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

fn limits() -> EngineLimits {
    EngineLimits {
        orders: ORDERS,
        client_order_ids: CLIENT_ORDER_IDS,
        instruments: INSTRUMENTS_MAX,
        firms: FIRMS_MAX,
        sessions: SESSIONS_MAX,
        quotes: QUOTE_CAPACITY,
        quotes_per_firm: QUOTES_OF_A_FIRM,
        protection_groups: GROUPS,
        protection_groups_per_firm: GROUPS_OF_A_FIRM,
        price_pages: PRICE_PAGES,
        risk_limits: RISK_LIMITS,
        accounts: ACCOUNTS,
    }
}

struct Run {
    driver: Driver,
    venue: Venue,
    reader: Reader,
    draw: Draw,
    out: Vec<u8>,
    trading_day: u32,
    /// The command at work.
    last: String,
    /// Events by kind and reason.
    kinds: BTreeMap<String, u64>,
    deepest: u32,
    /// What market data makes of the events.
    mirror: Depth,
}

impl Run {
    fn new(random: Random, young: bool) -> Self {
        let limits = limits();
        let sessions = sessions();
        let mut instruments = instruments();
        if young {
            for one in &mut instruments {
                one.first_phase = PRE_OPEN;
            }
        }
        let mut driver = Driver::world_of(limits, 0, &sessions);
        let sink = &mut Vec::new();
        for table in tick_tables() {
            driver.apply(SessionId(0), table, sink);
        }
        for instrument in &instruments {
            driver.apply(SessionId(0), *instrument, sink);
        }
        let mut mirror = Depth::default();
        venue::for_each_event(sink, |header, body| {
            assert_eq!(header.reason, 0, "{body:?}");
            mirror.apply(header, &body);
        });
        assert_eq!(driver.engine.instruments().count(), INSTRUMENTS as usize);
        let mut venue = Venue::new(limits);
        for table in tick_tables() {
            venue.define_tick_table(&table);
        }
        for instrument in &instruments {
            venue.define_instrument(instrument);
        }
        for firm in driver.engine.firms() {
            venue.define_firm(firm);
        }
        for session in &sessions {
            venue.define_session(session);
            venue.logon(session.session.0, &SessionLogon::default());
        }
        Self {
            driver,
            venue,
            reader: Reader::new(),
            draw: Draw {
                random,
                ids: vec![0; SESSIONS_MAX as usize + 1],
                orders: vec![None; SESSIONS_MAX as usize + 1],
                instruments: INSTRUMENTS,
                sessions: SESSIONS,
                filling: false,
                sweeping: false,
                young,
            },
            out: Vec::new(),
            trading_day: 20_260_101,
            last: String::new(),
            kinds: BTreeMap::new(),
            deepest: 0,
            mirror,
        }
    }

    /// The venue was away for a while; a session was connected when it went, or gone, or was never there.
    fn restart(&mut self, session: u32) -> (u32, u64) {
        // Few are waited for, and not for long.
        let waited_for: Vec<_> = (1..=self.draw.sessions)
            .filter(|&session| self.venue.is_waited_for(session))
            .collect();
        let session = if waited_for.is_empty() || self.draw.one_in(4) {
            session
        } else {
            self.draw.pick(&waited_for)
        };
        let away = self.draw.pick(&[1, 3, 40, 200]) * MILLISECOND;
        let now = self.driver.next_time() + self.draw.random.below(away);
        let least_ms = self.draw.pick(&[0, 1, 5, 30]);
        self.driver.wait_until(now);
        self.venue.was_away(now, least_ms);
        self.venue.begin(now);
        let gone = SessionDisconnected {
            reason: Reason::GoingAway.code(),
            grace_ms: least_ms,
            after_restart: 1,
            ..SessionDisconnected::default()
        };
        self.last = format!("{gone:?}");
        if self.venue.is_waited_for(session) {
            self.venue
                .saw("a restart gives who is waited for time to come back");
        } else if self.venue.admit(session, true) {
            self.venue
                .disconnected(session, Reason::GoingAway, least_ms);
        }
        self.driver.apply(SessionId(session), gone, &mut self.out);
        (session, 0)
    }

    /// Log time goes on, now and then exactly to what is due next.
    fn pass_time(&mut self) {
        let next = self.driver.next_time();
        let odds = self.draw.random.below(100);
        let due = self
            .venue
            .next_deadline()
            .filter(|due| *due > next && *due - next < 110 * MILLISECOND);
        let time = match (odds, due) {
            (0..=5, Some(due)) => due,
            (6 | 7, Some(due)) => due - 1,
            (8 | 9, Some(due)) => due + 1,
            (10..=12, _) => next - 1,
            (13..=40, _) => next,
            (41..=45, _) => next + self.draw.random.below(8 * MILLISECOND),
            (46, _) if self.draw.one_in(4) => next + self.draw.random.below(120 * MILLISECOND),
            _ => next + self.draw.random.below(MILLISECOND / 2),
        };
        self.driver.wait_until(time);
        self.venue.begin(time);
    }

    /// One command of the stream, through both.
    fn step(&mut self, step: u64) -> (u32, u64) {
        self.draw.filling = step % CYCLE < FILLING && !self.draw.young;
        self.draw.sweeping = (FILLING..FILLING + 4).contains(&(step % CYCLE));
        self.out.clear();
        self.last.clear();
        let rolls = if self.venue.known.len() >= self.venue.id_capacity {
            100
        } else {
            8_000
        };
        self.draw.instruments = self.venue.instruments.len() as u32;
        self.draw.sessions = self.venue.sessions.len() as u32 - 1;
        let session = 1 + self.draw.random.below(u64::from(self.draw.sessions)) as u32;
        let at = SessionId(session);
        if self.draw.one_in(400) && !self.draw.filling && !self.draw.sweeping {
            return self.restart(session);
        }
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
        if self.venue_acts() {
            return (0, 0);
        }
        if self.draw.one_in(3_000) {
            self.nobody_speaks();
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
            self.driver.generation[session as usize] = generation.saturating_sub(1);
        }
        let request = self.request(session);
        self.last = format!("{request:?}");
        let admitted = self.venue.admit(session, newest);
        if admitted {
            request.to_oracle(&mut self.venue, session);
        }
        let numbered = !matches!(request, Request::Disconnected(..));
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

    /// A session that is not defined, yet or at all.
    fn nobody_speaks(&mut self) {
        let nobody = SessionId(self.draw.pick(&[self.draw.sessions + 1, 50]));
        self.venue.unknown_session();
        if self.draw.one_in(2) {
            self.driver
                .logon_with(nobody, SessionLogon::default(), &mut self.out);
            self.driver.generation[nobody.0 as usize] -= 1;
        } else {
            self.driver
                .apply(nobody, CancelAfter::default(), &mut self.out);
            self.driver.unsend(nobody);
        }
    }

    /// Something that the venue does, now and then.
    fn venue_acts(&mut self) -> bool {
        let me = SessionId(0);
        let (draw, out) = (&mut self.draw, &mut self.out);
        if draw.filling || draw.sweeping {
            // The first trades then, for everyone.
            if self.venue.books[0].phase != CONTINUOUS {
                let request = SetPhase {
                    instrument: InstrumentId(1),
                    ..SetPhase::default()
                };
                self.last = format!("{request:?}");
                self.venue.set_phase(&request);
                self.driver.apply(me, request, out);
                return true;
            }
            let bites = |(set, stopped): &(SetLimits, bool)| *stopped || *set != none_of(set);
            let limits = self.venue.all_limits();
            if let Some((set, _)) = limits.iter().find(|one| bites(one)) {
                let request = SetLimits {
                    release: 1,
                    position: 0,
                    ..none_of(set)
                };
                self.last = format!("{request:?}");
                self.venue.set_limits(&request);
                self.driver.apply(me, request, out);
                return true;
            }
            if let Some(request) = missing_account(&self.venue) {
                self.last = format!("{request:?}");
                self.venue.set_account(&request);
                self.driver.apply(me, request, out);
                return true;
            }
            if self.venue.blocks.is_empty() {
                return false;
            }
        }
        let stopped = self.venue.all_limits().into_iter().find(|one| one.1);
        if let Some((set, _)) = stopped
            && draw.one_in(60)
        {
            let request = SetLimits {
                release: 1,
                sets_position: 0,
                ..set
            };
            self.last = format!("{request:?}");
            self.venue.set_limits(&request);
            self.driver.apply(me, request, out);
            return true;
        }
        let blocked = !self.venue.blocks.is_empty();
        if draw.one_in(if blocked { 30 } else { 1_500 }) {
            let mut request = draw.kill_switch(1, &self.venue);
            if draw.one_in(2) {
                request.client_order_id = ClientOrderId::NONE;
            }
            if request.release == 0 && draw.one_in(2) {
                request.cancels_only = 1;
            }
            self.last = format!("{request:?}");
            self.venue.kill_switch(0, &request);
            self.driver.apply(me, request, out);
            return true;
        }
        if draw.one_in(400) {
            return self.amend();
        }
        if draw.filling || draw.sweeping {
            return false;
        }
        let odds = if draw.young { 500 } else { 4_000 };
        match draw.random.below(odds) {
            0..=39 => {
                let request = draw.set_phase(&self.venue);
                self.last = format!("{request:?}");
                self.venue.set_phase(&request);
                self.driver.apply(me, request, out);
            }
            40..=55 => {
                let request = draw.set_reference();
                self.last = format!("{request:?}");
                self.venue.set_reference(&request);
                self.driver.apply(me, request, out);
            }
            56..=67 => {
                let definition = draw.define_instrument(&self.venue);
                self.last = format!("{definition:?}");
                self.venue.define_instrument(&definition);
                self.driver.apply(me, definition, out);
            }
            68..=77 => {
                let definition = draw.define_tick_table();
                self.last = format!("{definition:?}");
                self.venue.define_tick_table(&definition);
                self.driver.apply(me, definition, out);
            }
            78..=80 => {
                let definition = draw.define_firm(&self.venue);
                self.last = format!("{definition:?}");
                self.venue.define_firm(&definition);
                self.driver.apply(me, definition, out);
            }
            81..=92 => {
                let definition = draw.define_session(&self.venue);
                self.last = format!("{definition:?}");
                self.venue.define_session(&definition);
                self.driver.apply(me, definition, out);
            }
            93..=132 if !draw.young || draw.one_in(4) => {
                let request = draw.set_limits(&self.venue);
                self.last = format!("{request:?}");
                self.venue.set_limits(&request);
                self.driver.apply(me, request, out);
            }
            133..=148 if !draw.young || draw.one_in(4) => {
                let request = draw.set_account(&self.venue);
                self.last = format!("{request:?}");
                self.venue.set_account(&request);
                self.driver.apply(me, request, out);
            }
            _ => return false,
        }
        true
    }

    /// A trade of the day is busted or corrected; sometimes again, from what it stood at before, or one
    /// that never was.
    fn amend(&mut self) -> bool {
        let trades = &self.reader.trades;
        if trades.is_empty() {
            return false;
        }
        let back = if self.draw.one_in(3) {
            trades.len()
        } else {
            trades.len().min(8)
        };
        let at = trades.len() - 1 - self.draw.random.below(back as u64) as usize;
        let again: Vec<_> = (trades.iter())
            .filter(|trade| self.venue.amended.contains_key(&trade.id))
            .collect();
        let trade = if !again.is_empty() && self.draw.one_in(5) {
            self.draw.pick(&again).clone()
        } else {
            trades[at].clone()
        };
        let is_known = self.venue.amended.contains_key(&trade.id);
        let old_price = is_known && self.draw.one_in(8);
        let old_reports = is_known && self.draw.one_in(8);
        let corrects = self.draw.one_in(2);
        let mut request = AmendTrade {
            trade_id: TradeId(trade.id),
            price: Price(if old_price {
                trade.price_before
            } else {
                trade.price
            }),
            quantity: Quantity(trade.lots),
            new_price: if corrects {
                Price(trade.price + self.draw.random.below(9) as i64 - 4)
            } else {
                NO_PRICE
            },
            ..AmendTrade::default()
        };
        let mut numbers = [0; 2];
        for (index, part) in trade.sides.iter().enumerate() {
            let number = self.reader.numbers[&part.order.order_id.0];
            let mut order = part.order;
            // What is open the core knows itself. Of what has ended it believes no older state.
            let (mut is_quote, mut checks_end) = (false, self.draw.one_in(2));
            if self.venue.find(number).is_none() {
                is_quote = part.is_quote;
                if order.leaves.0 != 0 && self.draw.one_in(8) {
                    checks_end = true;
                } else {
                    order = OrderState {
                        exec_id: order.exec_id,
                        leaves: Quantity(0),
                        ..self.reader.last_reports[&order.order_id.0]
                    };
                }
            }
            if old_reports {
                order.exec_id = part.exec_id_before;
            }
            request.fills[index] = AmendedFill {
                order,
                session: SessionId(part.session),
                liquidity: part.liquidity,
                is_quote: u8::from(is_quote),
                checks_end: u8::from(checks_end),
                ..AmendedFill::default()
            };
            numbers[index] = number;
        }
        if self.draw.one_in(20) {
            request.trade_id = TradeId(self.draw.pick(&[0, 1 << 40]));
        }
        self.last = format!("{request:?}");
        self.venue.amend(&request, numbers, !old_reports);
        let command = self.driver.command(SessionId(0), request);
        let bytes = command.to_bytes();
        let mut words = vec![0u64; bytes.len() / 8];
        words.as_mut_bytes().copy_from_slice(&bytes);
        self.driver.apply_words(&words, &mut self.out);
        true
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
        self.reader.trades.clear();
        // Ids are free again, but for those of open orders.
        self.draw.ids = vec![0; SESSIONS_MAX as usize + 1];
    }

    /// A command of a session.
    fn request(&mut self, session: u32) -> Request {
        let now = self.driver.next_time();
        let means = self.draw.means(&self.venue, session);
        let least = if self.draw.filling { 12 } else { 0 };
        match self.draw.random.below(1_000).max(least) {
            0 | 1 => {
                let reasons = [
                    Reason::LogoutRequested,
                    Reason::HeartbeatTimeout,
                    Reason::SlowConsumer,
                    Reason::GoingAway,
                ];
                let least_ms = self.draw.pick(&[0, 0, 5, 30]);
                Request::Disconnected(self.draw.pick(&reasons), least_ms)
            }
            2 => Request::Logout,
            3 | 4 => Request::CancelAfter(CancelAfter {
                after_ms: self.draw.pick(&[0, 4, 8, 20, 60]),
                reserved: 0,
            }),
            7..=10 => Request::MassCancel(self.draw.mass_cancel(session)),
            5 | 6 | 11 => Request::KillSwitch(self.draw.kill_switch(session, &self.venue)),
            12..=21 if !self.draw.filling => {
                let mut means = means;
                let orders = self.venue.open_orders();
                // Quotes have no other name.
                if let Some(quote) = orders.iter().rev().find(|order| order.quote.is_some())
                    && self.draw.one_in(3)
                {
                    means = Means {
                        original: 0,
                        number: quote.number,
                    };
                }
                let mut request = self.draw.order_status(session, means);
                request.order_id = self.reader.order_id(means.number);
                Request::Status(request, means)
            }
            22..=24 => Request::InexpressibleOrder(self.draw.refuse_order(session)),
            25..=27 => {
                let request = RefuseRequest {
                    client_order_id: id_of(self.draw.client(session)),
                    original: id_of(means.original),
                    order_id: self.reader.order_id(means.number),
                    request: self
                        .draw
                        .pick(&[CommandKind::CancelOrder, CommandKind::ReplaceOrder])
                        as u8,
                    reason: self.draw.edge_reason().code(),
                    ..RefuseRequest::default()
                };
                Request::Inexpressible(request, means)
            }
            28..=33 => Request::Configure(self.draw.configure_protection(session)),
            34..=37 => {
                let request = ResetProtection {
                    client_order_id: id_of(self.draw.client(session)),
                    protection_group: self.draw.pick(&[0, 1, 1, 1, 2, 2, 2, 3, 4]),
                    ..ResetProtection::default()
                };
                Request::Reset(request)
            }
            38..=41 if !self.draw.filling => {
                Request::QuoteCancel(self.draw.quote_cancel(session, &self.venue, now))
            }
            42..=89 => {
                let (head, entries) = self.draw.mass_quote(session, &self.venue, now);
                Request::MassQuote(head, entries)
            }
            90..=189 if !self.draw.filling => {
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
            190..=379 => {
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
                let again = if self.draw.one_in(20) {
                    self.draw.same_again(session)
                } else {
                    None
                };
                let (order, terms) = again.unwrap_or_else(|| self.draw.entry(session, now));
                let plain = terms == OrderTerms::NONE && self.draw.one_in(2);
                Request::Enter(order, terms, plain)
            }
        }
    }

    /// One command through both, and everything compared.
    fn lockstep(&mut self, step: u64) {
        let resumed = self.driver.resumed;
        let asking = self.step(step);
        venue::for_each_event(&self.out, |header, body| self.mirror.apply(header, &body));
        self.venue.finish();
        let now = self.driver.engine.sequenced_at().0;
        let told = self.reader.read(&self.out, now, asking);
        // What goes to whoever asked says so, unless the command took no number.
        let mut expected = self.venue.told.clone();
        for one in &mut expected {
            one.answer &= asking.1 != 0;
        }
        if told != expected {
            let at = (told.iter().zip(&expected))
                .position(|(a, b)| a != b)
                .unwrap_or_else(|| told.len().min(expected.len()));
            panic!(
                "step {step}, now {now}, asking {asking:?}: event {at} of {} (expected {})\n\
                 command {}\nengine {:?}\noracle {:?}\nbefore {:?}",
                told.len(),
                expected.len(),
                self.last,
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
                What::Ignored(_) => "ignored",
                What::Closed => "closed",
                What::Fill { .. } => "fill",
                What::Accepted { .. } => "accepted",
                What::MassCancelDone(..) => "mass cancel done",
                What::CancelAfterSet(_) => "cancel after set",
                What::LoggedOn => "logged on",
                What::DayRolled(_) => "day rolled",
                What::Status { .. } => "status",
                What::PhaseChanged { .. } => "phase changed",
                What::Indicative(..) => "indicative",
                What::Uncrossed(..) => "uncrossed",
                What::ReferenceSet(..) => "reference set",
                What::InstrumentDefined(_) => "instrument defined",
                What::FirmDefined(_) => "firm defined",
                What::SessionDefined(_) => "session defined",
                What::LimitsSet(..) => "limits set",
                What::AccountSet(_) => "account set",
                What::TickTableDefined(_) => "tick table defined",
                What::DefinitionRefused(..) => "definition refused",
                What::KillSwitchDone { .. } => "kill switch done",
                What::Amended { .. } => "amended",
                What::Quoted { .. } => "quoted",
                What::QuoteCancelDone { .. } => "quote cancel done",
                What::ProtectionSet { .. } => "protection set",
                What::Tripped { .. } => "tripped",
            };
            let kind = match &one.what {
                What::Canceled { entry: Some(_), .. } => "quote ended",
                What::Fill { entry: Some(_), .. } => "quote fill",
                _ => kind,
            };
            *self
                .kinds
                .entry(format!("{kind}: {:?}", one.reason))
                .or_default() += 1;
        }
        if self.driver.resumed > resumed {
            self.venue.saw("commands of several steps");
        }
        if told.len() > STEP_EVENTS_MAX {
            let sweep = told.iter().any(|one| matches!(one.what, What::Fill { .. }));
            let what = if sweep {
                "a sweep"
            } else {
                "many orders ending"
            };
            self.venue
                .saw(format!("more events than a step holds: {what}"));
        }
        self.deepest = self.deepest.max(self.driver.engine.open_orders());
        self.compare_depth(step);
        if step.is_multiple_of(300) {
            self.compare_orders(step);
            self.compare_the_rest(step);
        }
        if self.draw.one_in(2_500) {
            self.restore(step);
        }
    }

    /// Another engine goes on in the place of the one whose snapshot it is made of.
    fn restore(&mut self, step: u64) {
        let engine = &self.driver.engine;
        let saved = engine.save().expect("no command is at work");
        let restored = Engine::restore(limits(), &saved).expect("it was saved so");
        assert_eq!(restored.state_hash(), engine.state_hash(), "step {step}");
        assert_eq!(restored.save(), Some(saved), "step {step}");
        self.driver.engine = restored;
        self.venue.saw("a snapshot's engine goes on");
    }

    /// How often each thing was seen.
    fn seen(&self) -> BTreeMap<String, u64> {
        let mut seen = self.venue.seen.clone();
        seen.extend(self.kinds.clone());
        println!("deepest: {} open orders", self.deepest);
        for (what, times) in &seen {
            println!("{times:>8} {what}");
        }
        seen
    }

    /// What everyone can see of the books.
    fn compare_depth(&self, step: u64) {
        for (index, book) in self.venue.books.iter().enumerate() {
            if let (Some(bid), Some(ask)) = (book.bids.first(), book.asks.first())
                && book.phase == CONTINUOUS
            {
                assert!(bid.price < ask.price, "step {step}: crossed");
            }
            for side in [Side::Buy, Side::Sell] {
                let levels: Vec<(i64, u64, u32)> = self
                    .driver
                    .engine
                    .levels(InstrumentId(index as u32 + 1), side)
                    .map(|(price, lots, orders)| (price.0, lots.0, orders))
                    .collect();
                let mirror = self.mirror.levels_of(InstrumentId(index as u32 + 1), side);
                let mirror: Vec<_> = mirror
                    .into_iter()
                    .map(|(price, lots, orders)| (price, lots, orders as u32))
                    .collect();
                assert_eq!(mirror, levels, "step {step}: market data of {}", index + 1);
                assert_eq!(
                    levels,
                    book.levels(side as u8),
                    "step {step}: depth of {} after {}, {:?}",
                    index + 1,
                    self.last,
                    self.venue.told
                );
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
            "step {step}: due at {due}, not only at {engine_due}: {}",
            self.last
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

    /// Definitions, kill switches and limits.
    fn compare_the_rest(&self, step: u64) {
        let engine = &self.driver.engine;
        let instruments: Vec<_> = engine.instruments().copied().collect();
        assert_eq!(instruments, self.venue.instruments, "step {step}");
        let firms: Vec<_> = engine.firms().collect();
        let expected: Vec<_> = self.venue.firms.values().collect();
        assert_eq!(firms, expected, "step {step}");
        let sessions: Vec<_> = engine.sessions().map(|one| one.definition).collect();
        let expected = self.venue.sessions.iter().skip(1);
        let expected: Vec<_> = expected.map(|one| one.definition).collect();
        assert_eq!(sessions, expected, "step {step}");
        let tables: Vec<_> = engine.tick_tables().collect();
        let expected: Vec<_> = self.venue.tick_tables.values().collect();
        assert_eq!(tables, expected, "step {step}");
        let mut blocks = BTreeSet::new();
        engine.kill_switches(|one| {
            blocks.insert(one);
        });
        let expected: BTreeSet<KillBlock> = (self.venue.blocks.iter())
            .map(|(by_venue, block)| {
                let (scope, target, firm) = match *block {
                    Block::Session(session) => (KillScope::Session, session, 0),
                    Block::Firm(firm) => (KillScope::Firm, firm, 0),
                    Block::User(firm, user) => (KillScope::User, user, firm),
                    Block::Instrument(instrument) => (KillScope::Instrument, instrument, 0),
                    Block::Venue => (KillScope::Venue, 0, 0),
                };
                KillBlock {
                    scope,
                    target,
                    firm,
                    by_venue: *by_venue,
                }
            })
            .collect();
        assert_eq!(blocks, expected, "step {step}");
        // An engine of a snapshot has them in the same order.
        let sorted = |mut limits: Vec<(SetLimits, bool)>| {
            limits.sort_by_key(|(one, _)| (one.firm, one.by_account, one.account, one.instrument));
            limits
        };
        let limits = engine.risk_limits();
        let limits: Vec<_> = limits.map(|one| (one.limits, one.stopped == 1)).collect();
        let expected = self.venue.all_limits();
        assert_eq!(limits, sorted(expected), "step {step}");
        let accounts: Vec<_> = (engine.accounts())
            .map(|one| ((one.firm.0, one.account.0), one.enabled == 1))
            .collect();
        let expected: Vec<_> = self.venue.accounts.clone().into_iter().collect();
        assert_eq!(accounts, expected, "step {step}");
    }
}

/// An account that orders state and that its firm, which has accounts, does not have or has disabled.
fn missing_account(venue: &Venue) -> Option<SetAccount> {
    let firms: BTreeSet<u32> = venue.accounts.keys().map(|key| key.0).collect();
    let stated = firms
        .into_iter()
        .flat_map(|firm| (0..3).map(move |account| (firm, account)));
    let may_be = |key: &(u32, u32)| match venue.accounts.get(key) {
        Some(enabled) => !enabled,
        None => venue.accounts.len() < ACCOUNTS as usize,
    };
    let (firm, account) = stated.into_iter().find(may_be)?;
    Some(SetAccount {
        firm: FirmId(firm),
        account: AccountId(account),
        enabled: 1,
        ..SetAccount::default()
    })
}

/// A set that limits nothing, of the same orders.
fn none_of(set: &SetLimits) -> SetLimits {
    SetLimits {
        firm: set.firm,
        account: set.account,
        by_account: set.by_account,
        instrument: set.instrument,
        release: set.release,
        position: set.position,
        ..SetLimits::default()
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
    "cancel after set: None",
    "logon within the grace",
    "deadline: disconnect",
    "deadline: cancel after",
    "deadline: limits stopped",
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
    "ended: CanceledOnLogout",
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
    "not to be replaced: 0",
    "not to be replaced: 1",
    "not to be replaced: 18",
    "not to be replaced: 40",
    "not to be replaced: 59",
    "not to be replaced: 2964",
    "not to be replaced: 9019",
    "replaced: with all that was stated as the order has it",
    "refused: QuantityBelowMinimum",
    "refused: QuantityAboveMaximum",
    "refused: PriceMissing",
    "refused: PriceNotAllowed",
    "refused: StopPriceInvalid",
    "refused: StopPriceNotAllowed",
    "refused: MinimumQuantityInvalid",
    "refused: ExpireTimeNotAllowed",
    "more events than a step holds: a sweep",
    "stops released in a long cascade",
    "day rolled: None",
    "closed: EndOfDay",
    "mass cancel done: InvalidMassCancel",
    "rejected: PriceBelowMinimum",
    "rejected: PriceAboveMaximum",
    "refused: QuantityNotOnLot",
    "refused: DisplayQuantityInvalid",
    "a quote's phase ended before it entered",
    "a reached stop waits while orders are collected",
    "accepted: None",
    "amended: None",
    "auction price: surplus to buy",
    "auction price: surplus to sell",
    "bust of a quote that is ended",
    "bust of a quote that is open",
    "bust of an order that is ended",
    "bust of an order that is open",
    "closed: SlowConsumer",
    "correction of a quote that is ended",
    "correction of a quote that is open",
    "correction of an order that is ended",
    "correction of an order that is open",
    "deadline: interruption ends",
    "a collar ends how far an order goes",
    "a restart gives who is waited for time to come back",
    "what was corrected is busted",
    "what was corrected is corrected again",
    "what was filled is not any more",
    "a reference price after a trade",
    "definition refused: InvalidDefinition",
    "ended: AuctionRemainder",
    "ended: KilledBySwitch",
    "ended: ProtectionTripped",
    "ended: VolatilityInterruption",
    "entered: Limit AtTheClose",
    "entered: Limit AtTheOpening",
    "entered: Market AtTheClose",
    "entered: in a protection group",
    "entered: while orders are collected",
    "expired outside continuous trading",
    "fill: None",
    "iceberg showed its next part in an auction",
    "ignored: InvalidDefinition",
    "ignored: OrderEnded",
    "ignored: NotAllowedInPhase",
    "ignored: UnknownInstrument",
    "indicative price unchanged",
    "indicative: None",
    "indicative: nothing would trade",
    "instrument defined: None",
    "kill switch done: None",
    "kill switch done: NotPermitted",
    "kill switch released: Session true",
    "kill switch that only cancels",
    "kill switch released: User true",
    "kill switch: Session by session",
    "kill switch: Session by venue",
    "logged on: None",
    "mass cancel done: None",
    "mass cancel done: NotPermitted",
    "mass cancel of a firm",
    "mass cancel of a session",
    "mass cancel of a session of nothing",
    "mass cancel of a user",
    "mass cancel of a user of nothing",
    "mass quote",
    "mass status",
    "mass status of nothing",
    "phase changed: None",
    "phase changed: VolatilityInterruption",
    "phase: Closed to Continuous",
    "phase: ClosingAuction to Closed",
    "phase: ClosingAuction to Continuous",
    "phase: Continuous to Closed",
    "phase: Continuous to ClosingAuction",
    "phase: Continuous to Halted",
    "phase: Continuous to OpeningAuction",
    "phase: Continuous to PreOpen",
    "phase: Continuous to VolatilityAuction",
    "phase: Halted to Continuous",
    "phase: OpeningAuction to Continuous",
    "phase: PreOpen to Continuous",
    "phase: PreOpen to OpeningAuction",
    "phase: VolatilityAuction to Continuous",
    "protection ended a quote",
    "protection ended an order",
    "protection reset, frozen: false",
    "protection set",
    "protection set: None",
    "protection set: ProtectionCapacity",
    "protection set: ProtectionInvalid",
    "protection taken away: true",
    "protection tripped: Fills",
    "protection tripped: Net",
    "quote cancel done: None",
    "quote cancel: All",
    "quote cancel: All of nothing",
    "quote cancel: Entry",
    "quote cancel: Entry of nothing",
    "quote cancel: Group",
    "quote cancel: Group of nothing",
    "quote cancel: Instrument",
    "quote cancel: Instrument of nothing",
    "quote ended: CancelAfterElapsed",
    "quote ended: CanceledByRequest",
    "quote ended: CanceledOnDisconnect",
    "quote ended: CanceledOnLogout",
    "quote ended: EndOfDay",
    "quote ended: KilledBySwitch",
    "quote ended: MassCanceled",
    "quote ended: PhaseEnded",
    "quote ended: PostOnlyWouldTake",
    "quote ended: PriceLevelCapacity",
    "quote ended: ProtectionTripped",
    "quote ended: SelfTradePrevented",
    "quote ended: VolatilityInterruption",
    "quote fill: None",
    "quote refused: DuplicateQuoteEntry",
    "quote refused: InstrumentNotTrading",
    "quote refused: NotAllowedInPhase",
    "quote refused: PriceAboveMaximum",
    "quote refused: PriceBelowMinimum",
    "quote refused: PriceNotOnTick",
    "quote refused: PriceOutsideBand",
    "quote refused: QuantityAboveMaximum",
    "quote refused: QuantityNotOnLot",
    "quote refused: QuoteCapacity",
    "quote refused: QuoteCrossed",
    "quote refused: UnknownInstrument",
    "quote refused: UnsupportedInstruction",
    "phase: a held instrument passed over",
    "quote capacity: of all false, of the firm true",
    "quote capacity: of all true, of the firm false",
    "quote: Absent",
    "quote: Entered",
    "quote: Kept",
    "quote: NotStated",
    "quote: Refused",
    "quote: Removed",
    "quoted: InvalidClientOrderId",
    "quoted: None",
    "quoted: ProtectionFrozen",
    "quoted: TradingBlocked",
    "quoted: UnsupportedInstruction",
    "quoted: UnsupportedSelfTradePrevention",
    "reference set: None",
    "refused: ClientOrderIdCapacity",
    "refused: InstrumentNotTrading",
    "refused: PriceNotOnTick",
    "refused: PriceOutsideBand",
    "refused: UnknownInstrument",
    "refused: UnsupportedInstruction",
    "rejected: InstrumentNotTrading",
    "rejected: NotAllowedInPhase",
    "rejected: PriceLevelCapacity",
    "rejected: PriceOutsideBand",
    "rejected: ProtectionFrozen",
    "rejected: TradingBlocked",
    "replaced: None",
    "replaced: a parked order in place",
    "replaced: a parked order to another place",
    "status of a parked order",
    "status of a quote",
    "status of a resting order",
    "status of a waiting stop",
    "status: None",
    "the edge refused a request",
    "the edge refused an order",
    "tick table defined: None",
    "triggered: AuctionBegun",
    "tripped: ProtectionTripped",
    "uncrossed: None",
    "mass cancel of a firm of nothing",
    "quote refused: TradingBlocked",
    "ignored: PriceNotOnTick",
    "kill switch done: UnsupportedInstruction",
    "protection taken away: false",
    "rejected: OrderCapacity",
    "refused: ExpireTimePast",
    "entered: Market AtTheOpening",
    "ignored: TradeAlreadyBusted",
    "a snapshot's engine goes on",
    "definition refused: DefinitionCapacity",
    "firm defined: None",
    "ignored: UnknownSession",
    "limits set: None",
    "limits: stopped after executions",
    "quote refused: LimitCollar",
    "quote refused: LimitExecutions",
    "quote refused: LimitGross",
    "quote refused: LimitNet",
    "quote refused: LimitNotional",
    "quote refused: LimitOpenOrders",
    "quote refused: LimitPosition",
    "quote refused: LimitQuantity",
    "quoted: LimitMessages",
    "refused: LimitCollar",
    "refused: LimitExecutions",
    "refused: LimitGross",
    "refused: LimitMessages",
    "refused: LimitNotional",
    "refused: LimitOpenOrders",
    "refused: LimitQuantity",
    "rejected: LimitCollar",
    "rejected: LimitDuplicates",
    "rejected: LimitExecutions",
    "rejected: LimitGross",
    "rejected: LimitMessages",
    "rejected: LimitNet",
    "rejected: LimitNotional",
    "rejected: LimitOpenOrders",
    "rejected: LimitPosition",
    "rejected: LimitQuantity",
    "session defined: None",
    "account set: None",
    "rejected: UnknownAccount",
    "refused: UnknownAccount",
    "quoted: UnknownAccount",
    "reduced: an order of an account that takes no new ones",
];

/// What only new worlds see.
const FIRST_AUCTIONS: &[&str] = &[
    "auction price: surplus to buy",
    "auction price: surplus to sell",
    "auction price: the reference",
    "auction price: the reference, of open ends",
    "auction price: the middle",
    "auction price: the end that is not open",
    "auction price: none, of two open ends",
];

/// Commands after which even what is rare has been seen.
const MANY: u64 = 3_000_000;

/// What that many see at least once.
const SOMETIMES: &[&str] = &[
    "an own order outside the band",
    "an auction's price outside the band: longer",
    "phase: halted with all, then held",
    "protection tripped in a mass quote",
    "protection ended the incoming order",
    "protection tripped: Quantity",
    "quote cancel done: InvalidClientOrderId",
    "quote cancel done: InvalidQuoteCancel",
    "refused: PostOnlyWouldTake",
    "mass cancel done: UnknownInstrument",
    "auction price: the reference",
    "definition refused: UnknownInstrument",
    "ended: PriceLevelCapacity",
    "ignored: UnknownTrade",
    "kill switch done: UnknownSession",
    "kill switch released: Firm true",
    "kill switch released: Instrument true",
    "kill switch released: Venue true",
    "kill switch: Firm by venue",
    "kill switch: Instrument by venue",
    "kill switch: User by session",
    "kill switch: User by venue",
    "kill switch: Venue by venue",
    "mass cancel done: InstrumentNotTrading",
    "more events than a step holds: many orders ending",
    "phase: Closed to ClosingAuction",
    "phase: Closed to OpeningAuction",
    "phase: Closed to PreOpen",
    "phase: Closed to VolatilityAuction",
    "phase: ClosingAuction to OpeningAuction",
    "phase: ClosingAuction to PreOpen",
    "phase: ClosingAuction to VolatilityAuction",
    "phase: Halted to ClosingAuction",
    "phase: Halted to PreOpen",
    "phase: Halted to VolatilityAuction",
    "phase: OpeningAuction to Closed",
    "phase: OpeningAuction to ClosingAuction",
    "phase: OpeningAuction to Halted",
    "phase: OpeningAuction to PreOpen",
    "phase: OpeningAuction to VolatilityAuction",
    "phase: PreOpen to ClosingAuction",
    "phase: PreOpen to VolatilityAuction",
    "phase: VolatilityAuction to Closed",
    "phase: VolatilityAuction to ClosingAuction",
    "phase: VolatilityAuction to OpeningAuction",
    "phase: VolatilityAuction to PreOpen",
    "protection reset, frozen: true",
    "protection set: InvalidClientOrderId",
    "quote cancel done: UnknownInstrument",
    "refused: PriceAboveMaximum",
    "refused: PriceBelowMinimum",
    "ended: PriceOutsideBand",
    "phase: VolatilityAuction to Halted",
    "a cascade was interrupted",
    "stop released by a trade before an interruption",
    "a passed stop is released, one that came later waits",
    "kill switch: Firm by session",
    "phase: ClosingAuction to Halted",
    "quote refused: OrderCapacity",
    "ended: LimitCollar",
    "ended: LimitExecutions",
    "ended: LimitNotional",
    "ended: LimitOpenOrders",
    "ended: LimitQuantity",
    "refused: LimitNet",
];

#[test]
fn the_engine_says_what_the_oracle_says() {
    let seed = seed();
    let commands = number("COMMANDS").unwrap_or(400_000);
    println!("COMMANDS={commands}");
    let mut run = Run::new(Random::new(seed), false);
    let mut done = 0;
    let mut goal = commands;
    let seen = loop {
        for step in done..goal {
            run.lockstep(step);
        }
        done = goal;
        run.compare_orders(done);
        run.compare_the_rest(done);
        let seen = run.seen();
        // What a stream sees, and when, is chance: some of it comes in spells. A run goes on until it has seen
        // all of it; of the rarest, twenty are expected in as many commands as `MANY`.
        let least = if commands >= MANY { 20 } else { 5 };
        let missing = OFTEN
            .iter()
            .map(|what| (*what, seen.get(*what).copied().unwrap_or(0)))
            .find(|(_, times)| *times < least);
        let Some((what, times)) = missing.filter(|_| commands >= 400_000) else {
            break seen;
        };
        assert!(done < MANY, "{what}: {times} times in {done} commands");
        goal = done + 100_000;
    };
    if commands >= MANY {
        for what in SOMETIMES {
            assert!(seen.contains_key(*what), "{what}: never");
        }
    }
}

/// Only a new world has neither a last trade nor a reference price.
#[test]
fn first_auctions_are_as_the_oracle_says() {
    let mut random = Random::new(seed());
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..number("WORLDS").unwrap_or(800) {
        let mut run = Run::new(Random::new(random.next()), true);
        for step in 0..100 {
            run.lockstep(step);
        }
        run.compare_orders(100);
        for (what, times) in run.venue.seen {
            *seen.entry(what).or_default() += times;
        }
    }
    for what in FIRST_AUCTIONS {
        let times = seen.get(*what).copied().unwrap_or(0);
        println!("{times:>8} {what}");
        assert!(times >= 3, "{what}: {times} times");
    }
}
