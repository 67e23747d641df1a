//! What must hold after every command, whatever the scenario is about.
//!
//! The auditor keeps its own account of orders from the events alone and compares it with the
//! engine's book: so a state change without its event is found, and an event without its change.
//! What an iceberg shows and where its next part stands, and which stops wait, is in no event: the
//! auditor works it out by the rules of the book, the plainest way.

use std::collections::{BTreeMap, BTreeSet};

use trading_engine::engine::Engine;
use trading_engine::engine::command::{CommandHeader, CommandKind, NO_PRICE, OrderTerms};
use trading_engine::engine::event::{
    self, EventBody, EventHeader, Fill, KillSwitchDone, MassQuoteAnswered, OrderReplaced,
    OrderRestated, OrderState, OrderStatusReport, PhaseChanged, ProtectionSet, ProtectionTripped,
    QuoteStatusAnswered, TradeAmended,
};
use trading_engine::limits::PROTECTION_FILLS_MAX;
use trading_engine_protocol::types::{
    ClientOrderId, ExecId, InstrumentId, KillScope, Liquidity, OrderId, OrderStatus, OrderType,
    Price, ProtectionLimit, Quantity, QuoteStatus, Reason, SelfTradePrevention, SessionId, Side,
    TimeInForce, TradingPhase,
};
use zerocopy::IntoBytes;

use super::words::Request;

macro_rules! hold {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!("Invariant: {}", format!($($text)+)));
        }
    };
}

/// An open order as its events state it.
#[derive(Debug)]
struct Tracked {
    session: SessionId,
    state: OrderState,
    terms: OrderTerms,
    /// A stop that has not been released.
    waiting: bool,
    /// An at-the-close order before the closing auction.
    parked: bool,
    /// A quote that a mass quote announced and that has not entered the book.
    announced: bool,
    quote: Option<QuoteKey>,
    /// The QuoteID of a message that named the quote and left this side as it was.
    named: Option<ClientOrderId>,
    /// Open lots that can be seen while it rests.
    shown: u64,
    /// When it joined its queue.
    joined: u64,
    /// A waiting stop whose price traded when it could not be released.
    passed: bool,
}

impl Tracked {
    /// Shows what it may of what it has, behind all others.
    fn show(&mut self, joined: u64) {
        let open = self.state.leaves.0;
        self.shown = match self.terms.display.0 {
            0 => open,
            display => display.min(open),
        };
        self.joined = joined;
    }

    /// Loses lots that can be seen, and shows its next part when all of them are gone.
    fn lose(&mut self, lots: u64, joined: u64) -> Result<(), String> {
        hold!(
            lots <= self.shown,
            "nobody takes what is hidden: {lots} of {self:?}"
        );
        self.shown -= lots;
        if self.shown == 0 {
            self.show(joined);
        }
        Ok(())
    }

    /// Its newest id, or that of a mass quote which named it.
    fn answers_to(&self, id: &ClientOrderId) -> bool {
        self.state.client_order_id == *id || self.named == Some(*id)
    }

    fn is_at_rest(&self, instrument: u32, side: u8) -> bool {
        !self.waiting
            && !self.parked
            && !self.announced
            && self.state.instrument.0 == instrument
            && self.state.side == side
    }
}

/// What a quote is of: session, group, instrument, layer, side.
type QuoteKey = (u32, u16, u32, u16, u8);

/// What a kill switch stops: scope, target, of users of which firm; and whether the venue set it.
type Block = (u8, u32, u32, bool);

/// What an auction has still to trade.
#[derive(Clone, Copy, Debug)]
struct Uncrossing {
    instrument: u32,
    price: i64,
    left: u64,
}

/// A protection group of a firm.
#[derive(Debug, Default)]
struct Protection {
    quantity: u64,
    fills: u64,
    net: u64,
    window: u64,
    freeze: u64,
    frozen_until: u64,
    /// Time, lots, and lots with their sign, of what counts.
    window_fills: Vec<(u64, u64, i64)>,
    /// Limits are new: what is in the window may be beyond them already.
    changed: bool,
}

impl Protection {
    fn sums(&self) -> (u64, u64, i64) {
        let lots = self.window_fills.iter().map(|fill| fill.1).sum();
        let net = self.window_fills.iter().map(|fill| fill.2).sum();
        (lots, self.window_fills.len() as u64, net)
    }

    fn reached(&self) -> Option<ProtectionLimit> {
        let (lots, fills, net) = self.sums();
        let at = |limit: u64, value: u64| limit != 0 && value >= limit;
        if at(self.quantity, lots) {
            Some(ProtectionLimit::Quantity)
        } else if at(self.fills, fills) {
            Some(ProtectionLimit::Fills)
        } else if at(self.net, net.unsigned_abs()) {
            Some(ProtectionLimit::Net)
        } else {
            (fills > u64::from(PROTECTION_FILLS_MAX)).then_some(ProtectionLimit::Capacity)
        }
    }
}

/// What an auction would trade at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OnePrice {
    price: i64,
    volume: u64,
    side: u8,
    imbalance: u64,
}

#[derive(Debug, Default)]
pub struct Auditor {
    executions: u64,
    trades: u64,
    /// Numbering run and next number of each session.
    numbers: BTreeMap<u32, (u32, u64)>,
    orders: BTreeMap<u64, Tracked>,
    /// Whose every order is or was.
    owners: BTreeMap<u64, SessionId>,
    /// Highest order id so far.
    newest: u64,
    joins: u64,
    /// A maker's fill that waits for its taker's.
    half: Option<Fill>,
    /// The order that is matching.
    incoming: Option<u64>,
    /// A stop that begins to wait, and may be released at once.
    entering: Option<u64>,
    /// Lowest and highest price that traded in the command, by instrument.
    traded: BTreeMap<u32, (i64, i64)>,
    /// The last trade's price.
    last: BTreeMap<u32, i64>,
    /// From and tick of their steps.
    tick_tables: BTreeMap<u32, Vec<(i64, u64)>>,
    /// `TradingPhase` of each instrument.
    phases: BTreeMap<u32, u8>,
    /// Instruments that were halted by name.
    held: BTreeSet<u32>,
    references: BTreeMap<u32, i64>,
    /// The last trade's price or the reference price, whichever is newer.
    centers: BTreeMap<u32, i64>,
    /// What the dynamic band of the incoming order is around.
    base: Option<i64>,
    uncrossing: Option<Uncrossing>,
    /// What the order of an auction's first fill showed.
    half_shown: u64,
    /// The order of each quote.
    quotes: BTreeMap<QuoteKey, u64>,
    /// Quotes that have still to enter, in that order.
    announced: Vec<u64>,
    /// By firm and group.
    protection: BTreeMap<(u32, u16), Protection>,
    must_trip: Option<(u32, u16)>,
    blocks: BTreeSet<Block>,
    /// Whether they are enabled, by firm and number.
    accounts: BTreeMap<(u32, u32), bool>,
    /// Grace of the sessions' last logons, nanoseconds.
    graces: BTreeMap<u32, u64>,
    /// Until when quotes of a session without a connection may stay.
    gone: BTreeMap<u32, u64>,
    /// A phase ended by itself before the command.
    by_itself: bool,
}

impl Auditor {
    /// Looks at the events of one command, then at the engine between commands.
    pub fn check(
        &mut self,
        engine: &Engine,
        command: &CommandHeader,
        request: &Request,
        events: &[u8],
    ) -> Result<(), String> {
        self.traded.clear();
        self.by_itself = false;
        let mut rest = events;
        let mut index = 0;
        while !rest.is_empty() {
            let (header, body) = event::read(rest).map_err(|error| error.to_string())?;
            hold!(
                header.sequence == command.sequence
                    && header.sequenced_at == command.sequenced_at
                    && header.index == index,
                "events carry their command's place and time, numbered from 0: {header:?}"
            );
            rest = &rest[header.length as usize..];
            // Who trades with a maker is in the next event.
            let taker = match event::read(rest) {
                Ok((_, EventBody::Fill(fill))) => Some(fill.order.order_id.0),
                Ok((_, EventBody::QuoteFill(quote))) => Some(quote.fill.order.order_id.0),
                _ => None,
            };
            let of_auction = matches!(
                body,
                EventBody::AuctionUncrossed(_) | EventBody::PhaseChanged(_)
            );
            if of_auction && header.reason == 0 && command.kind != CommandKind::SetPhase as u8 {
                self.by_itself = true;
            }
            self.number(command, header)?;
            self.event(engine, request, header, body, taker)?;
            index += 1;
        }
        hold!(self.half.is_none(), "a trade has two fills");
        hold!(
            self.uncrossing.is_none(),
            "an auction trades what it said: {:?}",
            self.uncrossing
        );
        hold!(
            self.must_trip.is_none(),
            "a limit that is reached trips: {:?}",
            self.must_trip
        );
        self.settle();
        for id in std::mem::take(&mut self.announced) {
            self.enter_book(id);
        }
        self.nothing_is_late(command)?;
        self.nobody_is_there_who_must_not(engine, command)?;
        self.book(engine)
    }

    /// Lots that an order at rest shows.
    pub fn shown(&self, id: OrderId) -> Option<u64> {
        self.orders.get(&id.0).map(|tracked| tracked.shown)
    }

    fn join(&mut self) -> u64 {
        self.joins += 1;
        self.joins
    }

    /// A quote that was announced rests now.
    fn enter_book(&mut self, id: u64) {
        let joined = self.join();
        if let Some(tracked) = self.orders.get_mut(&id) {
            tracked.announced = false;
            tracked.show(joined);
        }
    }

    /// An order is at work from now on; announced quotes before it are done.
    fn set_incoming(&mut self, id: u64, instrument: u32) {
        self.settle();
        if let Some(at) = self.announced.iter().position(|one| *one == id) {
            let later = self.announced.split_off(at + 1);
            for before in std::mem::replace(&mut self.announced, later) {
                if before != id {
                    self.enter_book(before);
                }
            }
            if let Some(tracked) = self.orders.get_mut(&id) {
                tracked.announced = false;
            }
        }
        self.incoming = Some(id);
        self.base = self.centers.get(&instrument).copied();
    }

    fn phase(&self, instrument: u32) -> TradingPhase {
        let byte = self.phases.get(&instrument).copied().unwrap_or(0);
        TradingPhase::try_from(byte).unwrap_or(TradingPhase::Continuous)
    }

    /// The incoming order, if it is still there, rests now.
    fn settle(&mut self) {
        let joined = self.join();
        if let Some(id) = self.incoming.take()
            && let Some(tracked) = self.orders.get_mut(&id)
        {
            tracked.show(joined);
        }
    }

    /// Between commands no stop waits that was reached, and no order is open whose time has come.
    fn nothing_is_late(&self, command: &CommandHeader) -> Result<(), String> {
        for tracked in self.orders.values() {
            let instrument = tracked.state.instrument.0;
            let last = self.last.get(&instrument).map(|last| (*last, *last));
            let continuous = self.phase(instrument) == TradingPhase::Continuous;
            hold!(
                !tracked.waiting
                    || !continuous
                    || !tracked.passed
                        && !reached(tracked, last)
                        && !reached(tracked, self.traded.get(&instrument).copied()),
                "a stop whose price was reached does not wait: {tracked:?}"
            );
            let until = tracked.terms.expire_at;
            hold!(
                until.0 == 0 || until > command.sequenced_at,
                "an order whose time has come is not open: {tracked:?}"
            );
        }
        Ok(())
    }

    /// Between commands nothing is open that a kill switch, a frozen group, a phase or a lost
    /// connection has ended.
    fn nobody_is_there_who_must_not(
        &self,
        engine: &Engine,
        command: &CommandHeader,
    ) -> Result<(), String> {
        let now = command.sequenced_at.0;
        for tracked in self.orders.values() {
            let instrument = tracked.state.instrument.0;
            hold!(
                !self.frozen(engine, tracked.session, tracked.state.protection_group, now),
                "a frozen group has no orders: {tracked:?}"
            );
            let phase = self.phase(instrument);
            let time_in_force = TimeInForce::try_from(tracked.state.time_in_force);
            hold!(
                time_in_force != Ok(TimeInForce::AtTheClose)
                    || phase != TradingPhase::Closed
                        && (phase != TradingPhase::Continuous || tracked.parked),
                "at-the-close orders end with the close, and trade in its auction only: {tracked:?}"
            );
            hold!(
                time_in_force != Ok(TimeInForce::AtTheOpening)
                    || !matches!(phase, TradingPhase::Continuous | TradingPhase::Closed),
                "at-the-opening orders end with the opening: {tracked:?}"
            );
            if tracked.quote.is_none() {
                continue;
            }
            hold!(
                phase == TradingPhase::Continuous,
                "quotes are in continuous trading only: {tracked:?}"
            );
            let gone = self.gone.get(&tracked.session.0);
            hold!(
                gone.is_none_or(|until| now < *until),
                "quotes of a lost connection stay while its grace lasts: {tracked:?}"
            );
        }
        Ok(())
    }

    /// Firm and user of a session.
    fn owner(engine: &Engine, session: SessionId) -> (u32, u32) {
        let mut sessions = engine.sessions();
        let found = sessions.find(|state| state.definition.session == session);
        found.map_or((0, 0), |state| {
            (state.definition.firm.0, state.definition.user)
        })
    }

    fn blocked(&self, engine: &Engine, session: SessionId, instrument: u32) -> bool {
        let covers = |block: &Block| Self::covers(engine, *block, session, instrument);
        self.blocks.iter().any(covers)
    }

    fn covers(engine: &Engine, block: Block, session: SessionId, instrument: u32) -> bool {
        let (scope, target, whose, _) = block;
        let (firm, user) = Self::owner(engine, session);
        match KillScope::try_from(scope) {
            Ok(KillScope::Session) => target == session.0,
            Ok(KillScope::Firm) => target == firm,
            Ok(KillScope::User) => target == user && whose == firm,
            Ok(KillScope::Instrument) => target == instrument,
            Ok(KillScope::Venue) => true,
            Err(_) => false,
        }
    }

    fn frozen(&self, engine: &Engine, session: SessionId, group: u16, now: u64) -> bool {
        if group == 0 || self.protection.is_empty() {
            return false;
        }
        let (firm, _) = Self::owner(engine, session);
        let known = self.protection.get(&(firm, group));
        known.is_some_and(|protection| protection.frozen_until > now)
    }

    /// Nothing new comes from who is blocked, or frozen, or for an account that its firm does not have.
    fn may_enter(
        &self,
        engine: &Engine,
        header: &EventHeader,
        order: &OrderState,
    ) -> Result<(), String> {
        let instrument = order.instrument.0;
        hold!(
            !self.blocked(engine, header.session, instrument),
            "who is blocked enters nothing: {order:?}"
        );
        let now = header.sequenced_at.0;
        hold!(
            !self.frozen(engine, header.session, order.protection_group, now),
            "a frozen group enters nothing: {order:?}"
        );
        hold!(
            !matches!(
                self.phase(instrument),
                TradingPhase::Closed | TradingPhase::Halted
            ),
            "nothing is entered while nothing trades: {order:?}"
        );
        // What only becomes less may stay where it is.
        let shrinks = self.orders.get(&order.order_id.0).is_some_and(|before| {
            let state = &before.state;
            state.price == order.price && order.quantity <= state.quantity
        });
        let (firm, _) = Self::owner(engine, header.session);
        let has_accounts = self.accounts.keys().any(|key| key.0 == firm);
        let account = self.accounts.get(&(firm, order.account.0));
        hold!(
            shrinks || !has_accounts || account == Some(&true),
            "a firm with accounts enters for those that are enabled: {order:?}"
        );
        let definition = engine.instrument(InstrumentId(instrument));
        let band = definition.map_or(0, |definition| definition.static_band);
        let reference = self.references.get(&instrument);
        let stated = order.order_type != OrderType::Stop.as_u8()
            && order.order_type != OrderType::MarketToLimit.as_u8()
            && (order.order_type != OrderType::Market.as_u8()
                || !TimeInForce::try_from(order.time_in_force).is_ok_and(TimeInForce::rests));
        if let (Some(reference), true, true) = (reference, band != 0, stated && !shrinks) {
            hold!(
                order.price.0.abs_diff(*reference) <= band,
                "limits are inside the static band around {reference}: {order:?}"
            );
        }
        Ok(())
    }

    /// The one price, by trying all of them.
    fn one_price(&self, engine: &Engine, instrument: u32) -> Option<OnePrice> {
        let definition = engine.instrument(InstrumentId(instrument))?;
        let (low, high) = (definition.price_min.0, definition.price_max.0);
        let side = |side: Side| -> Vec<(i64, u64)> {
            let at_rest = self.orders.values();
            at_rest
                .filter(|tracked| tracked.is_at_rest(instrument, side.as_u8()))
                .map(|tracked| (tracked.state.price.0, tracked.state.leaves.0))
                .collect()
        };
        let (bids, asks) = (side(Side::Buy), side(Side::Sell));
        let crossed = bids.iter().map(|bid| bid.0).max() >= asks.iter().map(|ask| ask.0).min();
        if bids.is_empty() || asks.is_empty() || !crossed {
            return None;
        }
        let sums = |price: i64| -> (u64, u64) {
            let bids = bids.iter().filter(|bid| bid.0 >= price);
            let asks = asks.iter().filter(|ask| ask.0 <= price);
            (bids.map(|bid| bid.1).sum(), asks.map(|ask| ask.1).sum())
        };
        // An order that was entered under another tick table keeps its price.
        let may_be = |price: &i64| {
            self.on_tick(price, definition.tick_table, definition.tick)
                || bids.iter().chain(&asks).any(|order| order.0 == *price)
        };
        let all: Vec<(i64, u64, u64)> = (low..=high)
            .filter(may_be)
            .map(|price| {
                let (buy, sell) = sums(price);
                (price, buy, sell)
            })
            .collect();
        let volume = all.iter().map(|(_, buy, sell)| *buy.min(sell)).max()?;
        let most = all.iter().filter(|(_, buy, sell)| *buy.min(sell) == volume);
        let least = most
            .clone()
            .map(|(_, buy, sell)| buy.abs_diff(*sell))
            .min()?;
        let mut best: Vec<_> = most
            .filter(|(_, buy, sell)| buy.abs_diff(*sell) == least)
            .collect();
        let (band, around) = (definition.static_band, self.references.get(&instrument));
        if let (Some(around), 1..) = (around, band) {
            let inside = |price: i64| price.abs_diff(*around) <= band;
            if best.iter().any(|one| inside(one.0)) {
                best.retain(|one| inside(one.0));
            }
        }
        let (first, last) = (best.first()?.0, best.last()?.0);
        // Ends that only Market orders lead to.
        let priced = |price: i64| {
            self.orders.values().any(|tracked| {
                [Side::Buy, Side::Sell].map(Side::as_u8).iter().any(|side| {
                    tracked.is_at_rest(instrument, *side)
                        && tracked.state.price.0 == price
                        && tracked.state.order_type != OrderType::Market.as_u8()
                })
            })
        };
        let open_high = Some(last) == all.last().map(|one| one.0) && !priced(last);
        let open_low = Some(first) == all.first().map(|one| one.0) && !priced(first);
        let to_buy = best.iter().all(|(_, buy, sell)| buy > sell);
        let to_sell = best.iter().all(|(_, buy, sell)| sell > buy);
        let near = self.centers.get(&instrument);
        let price = if to_buy && !open_high {
            last
        } else if to_sell && !open_low {
            first
        } else if let Some(near) = near {
            best.iter().min_by_key(|one| one.0.abs_diff(*near))?.0
        } else {
            let middle = i64::midpoint(first, last);
            match (open_low, open_high) {
                (false, false) => best.iter().rev().find(|one| one.0 <= middle)?.0,
                (false, true) => first,
                (true, false) => last,
                (true, true) => return None,
            }
        };
        let (buy, sell) = sums(price);
        Some(OnePrice {
            price,
            volume,
            side: match buy.cmp(&sell) {
                std::cmp::Ordering::Greater => Side::Buy.as_u8(),
                std::cmp::Ordering::Less => Side::Sell.as_u8(),
                std::cmp::Ordering::Equal => 0,
            },
            imbalance: buy.abs_diff(sell),
        })
    }

    fn on_tick(&self, price: &i64, table: u16, tick: u64) -> bool {
        let multiple = |tick: u64| i64::try_from(tick).is_ok_and(|tick| price % tick == 0);
        let steps = self.tick_tables.get(&u32::from(table));
        let Some(steps) = steps.filter(|steps| !steps.is_empty()) else {
            return multiple(tick);
        };
        let step = steps.iter().rev().find(|(from, _)| from <= price);
        multiple(step.unwrap_or(&steps[0]).1) && multiple(tick)
    }

    /// Prices traded, and the stops that they reach cannot be released yet.
    fn pass(&mut self, instrument: u32, range: Option<(i64, i64)>) {
        for tracked in self.orders.values_mut() {
            tracked.passed |= tracked.waiting
                && tracked.state.instrument.0 == instrument
                && reached(tracked, range);
        }
    }

    /// The waiting stop that is released next, by the prices that traded in this command.
    fn next_release(&self, instrument: u32) -> Option<u64> {
        let range = self.traded.get(&instrument).copied();
        let ready = |side: Side| {
            self.orders.iter().filter(move |(_, tracked)| {
                tracked.waiting
                    && tracked.state.instrument.0 == instrument
                    && tracked.state.side == side.as_u8()
                    && (tracked.passed || reached(tracked, range))
            })
        };
        let buys = ready(Side::Buy).min_by_key(|(_, t)| (t.terms.stop_price.0, t.joined));
        let sells = ready(Side::Sell).min_by_key(|(_, t)| (-t.terms.stop_price.0, t.joined));
        buys.or(sells).map(|(id, _)| *id)
    }

    /// Session numbers are contiguous; what a session asked for is answered under its number.
    fn number(&mut self, command: &CommandHeader, header: &EventHeader) -> Result<(), String> {
        // What was due before the command, or because of it, is nobody's request.
        let unasked = [
            Reason::ExpireTimeReached,
            Reason::CanceledOnDisconnect,
            Reason::CanceledOnLogout,
            Reason::CancelAfterElapsed,
        ];
        let unasked = unasked.iter().any(|reason| reason.code() == header.reason);
        let asked = if header.session == command.session && !unasked {
            command.inbound_seq
        } else {
            0
        };
        hold!(
            header.inbound_seq == asked || self.by_itself && header.inbound_seq == 0,
            "answers, and nothing else, carry the number of what was asked: {header:?}"
        );
        if header.session_seq.0 == 0 {
            return Ok(());
        }
        let (epoch, next) = self.numbers.entry(header.session.0).or_insert((1, 1));
        if header.epoch.0 > *epoch {
            (*epoch, *next) = (header.epoch.0, 1);
        }
        hold!(
            header.epoch.0 == *epoch && header.session_seq.0 == *next,
            "a session's numbers are contiguous: {next} comes next, not {header:?}"
        );
        *next += 1;
        Ok(())
    }

    fn execution(&mut self, exec_id: u64) -> Result<(), String> {
        hold!(
            exec_id > self.executions,
            "exec ids ascend: {exec_id} came after {}",
            self.executions
        );
        self.executions = exec_id;
        Ok(())
    }

    fn event(
        &mut self,
        engine: &Engine,
        request: &Request,
        header: &EventHeader,
        body: EventBody<'_>,
        taker: Option<u64>,
    ) -> Result<(), String> {
        let half = self.half.take();
        let fills = matches!(body, EventBody::Fill(_) | EventBody::QuoteFill(_));
        hold!(
            half.is_none() || fills,
            "a taker's fill follows its maker's"
        );
        hold!(
            self.uncrossing.is_none() || fills,
            "an auction trades all it said before anything else: {:?}",
            self.uncrossing
        );
        hold!(
            self.must_trip.is_none()
                || half.is_some()
                || matches!(body, EventBody::ProtectionTripped(_)),
            "a group trips before anything else happens: {:?}",
            self.must_trip
        );
        let entering = self.entering.take();
        match body {
            EventBody::OrderAccepted(event) => {
                self.accepted(engine, request, header, &event.order, &OrderTerms::NONE)
            }
            EventBody::OrderAcceptedWithTerms(event) => {
                self.accepted(engine, request, header, &event.order, &event.terms)
            }
            EventBody::Fill(event) => self.fill(engine, half, header, event, taker),
            EventBody::QuoteFill(event) => self.fill(engine, half, header, &event.fill, taker),
            EventBody::OrderTriggered(event) => self.triggered(entering, header, &event.order),
            EventBody::OrderRestated(event) => self.restated(header, event),
            EventBody::QuoteRestated(event) => self.restated(header, &event.restated),
            EventBody::OrderReplaced(event) => {
                self.replaced(engine, request, header, event, &OrderTerms::NONE)
            }
            EventBody::OrderReplacedWithTerms(event) => {
                self.replaced(engine, request, header, &event.replaced, &event.terms)
            }
            EventBody::OrderCanceled(event) => self.ended(header, event),
            EventBody::QuoteCanceled(event) => self.ended(header, &event.canceled),
            EventBody::OrderRejected(event) => {
                self.execution(event.exec_id.0)?;
                let (price, quantity) = if event.raw == 1 {
                    (request.price_e8, request.quantity_e8)
                } else {
                    let quantity = i64::try_from(request.quantity).unwrap_or(i64::MAX);
                    (request.price, quantity)
                };
                hold!(
                    event.raw == u8::from(request.refuse)
                        && event.price == price
                        && event.quantity == quantity
                        && event.instrument.0 == request.instrument
                        && event.side == request.side
                        && event.order_type == request.order_type
                        && event.time_in_force == request.time_in_force,
                    "a reject says what was asked: {event:?} of {request:?}"
                );
                Ok(())
            }
            EventBody::MassCancelDone(event) => {
                hold!(
                    event.client_order_id == request.id
                        && event.instrument.0 == request.instrument
                        && event.product == request.product
                        && event.scope == request.scope
                        && event.side == request.side
                        && (event.by_account, event.account.0)
                            == (request.by_account, request.account)
                        && event.protection_group == request.protection_group
                        && event.kinds == request.kinds,
                    "a mass cancel is answered as asked: {event:?} of {request:?}"
                );
                Ok(())
            }
            EventBody::CancelAfterSet(event) => {
                let at = header.sequenced_at.0 + u64::from(request.after_ms) * 1_000_000;
                hold!(
                    event.cancel_at.0 == if request.after_ms == 0 { 0 } else { at },
                    "a dead man's switch is set as asked: {event:?} of {request:?}"
                );
                Ok(())
            }
            EventBody::InstrumentDefined(event) => {
                let first = event.definition.first_phase;
                let instrument = event.definition.instrument.0;
                self.phases.entry(instrument).or_insert(first);
                Ok(())
            }
            EventBody::TickTableDefined(event) => {
                let steps = event.definition.steps.iter();
                let used = steps.filter(|step| step.tick != 0);
                let used = used.map(|step| (step.from.0, step.tick)).collect();
                self.tick_tables.insert(event.definition.table, used);
                Ok(())
            }
            EventBody::ReferenceSet(event) => {
                self.references.insert(event.instrument.0, event.price.0);
                self.centers.insert(event.instrument.0, event.price.0);
                Ok(())
            }
            EventBody::AuditNoted(_) => Ok(()),
            EventBody::AccountSet(event) => {
                let set = event.definition;
                hold!(
                    set == request.set_account,
                    "an account is as asked for: {set:?}"
                );
                let key = (set.firm.0, set.account.0);
                self.accounts.insert(key, set.enabled == 1);
                Ok(())
            }
            EventBody::PhaseChanged(event) => self.phase_changed(engine, request, header, event),
            EventBody::AuctionIndicative(event) => {
                let found = self.one_price(engine, event.instrument.0);
                let nothing = OnePrice {
                    price: NO_PRICE.0,
                    volume: 0,
                    side: 0,
                    imbalance: 0,
                };
                let said = OnePrice {
                    price: event.price.0,
                    volume: event.volume.0,
                    side: event.side,
                    imbalance: event.imbalance.0,
                };
                hold!(
                    said == found.unwrap_or(nothing),
                    "what would trade is published: {said:?}, {found:?}"
                );
                Ok(())
            }
            EventBody::AuctionUncrossed(event) => {
                self.settle();
                let instrument = event.instrument.0;
                let found = self.one_price(engine, instrument);
                let said = OnePrice {
                    price: event.price.0,
                    volume: event.volume.0,
                    side: event.side,
                    imbalance: event.imbalance.0,
                };
                hold!(
                    self.phase(instrument) != TradingPhase::Continuous && found == Some(said),
                    "the most lots trade at the one price: {said:?}, {found:?}"
                );
                self.uncrossing = Some(Uncrossing {
                    instrument,
                    price: said.price,
                    left: said.volume,
                });
                self.references.insert(instrument, said.price);
                Ok(())
            }
            EventBody::KillSwitchDone(event) => {
                hold!(
                    event.client_order_id == request.id
                        && event.target == request.target
                        && event.scope == request.scope
                        && event.release == request.release
                        && event.cancels_only == request.cancels_only,
                    "a kill switch is answered as asked: {event:?} of {request:?}"
                );
                self.killed(engine, request, header, event)
            }
            EventBody::TradeAmended(event) => self.amended(request, header, event),
            EventBody::MassQuoteAnswered(event) => self.quoted(engine, request, header, event),
            EventBody::ProtectionSet(event) => {
                self.protected(engine, request, header, event);
                Ok(())
            }
            EventBody::ProtectionTripped(event) => self.tripped(engine, header, event),
            EventBody::OrderStatusReport(event) => self.stated(header, event, None),
            EventBody::QuoteStatusAnswered(event) => {
                self.stated(header, &event.report, Some(event))
            }
            EventBody::LogonAnswered(_) => {
                if header.reason == 0 {
                    let grace = u64::from(request.cancel_grace_ms) * 1_000_000;
                    self.graces.insert(header.session.0, grace);
                    self.gone.remove(&header.session.0);
                }
                Ok(())
            }
            EventBody::SessionClosed(_) => {
                let grace = self.graces.get(&header.session.0).copied().unwrap_or(0);
                // A disconnect may give more than was asked for.
                let least = u64::from(request.cancel_grace_ms) * 1_000_000;
                let until = header.sequenced_at.0 + grace.max(least);
                self.gone.insert(header.session.0, until);
                Ok(())
            }
            EventBody::RequestRejected(_)
            | EventBody::CommandRefused(_)
            | EventBody::AdminMessage(_)
            | EventBody::BusinessRejected(_)
            | EventBody::DayRolled(_)
            | EventBody::CapacitiesSet(_)
            | EventBody::LimitsSet(_)
            | EventBody::QuoteCancelDone(_)
            | EventBody::FirmDefined(_)
            | EventBody::SessionDefined(_)
            | EventBody::DefinitionRefused(_) => Ok(()),
        }
    }

    fn ended(&mut self, header: &EventHeader, event: &event::OrderCanceled) -> Result<(), String> {
        let id = event.order.client_order_id;
        let old = self.report(header, &event.order, &id, event.canceled.0)?;
        hold!(
            event.canceled == old.leaves && event.order.leaves.0 == 0,
            "what ends is all that was open: {event:?}"
        );
        Ok(())
    }

    fn phase_changed(
        &mut self,
        engine: &Engine,
        request: &Request,
        header: &EventHeader,
        event: &PhaseChanged,
    ) -> Result<(), String> {
        self.settle();
        let instrument = event.instrument.0;
        let before = self.phase(instrument);
        let phase = TradingPhase::try_from(event.phase).map_err(|_| "no phase".to_owned())?;
        let by_name = request.instrument == instrument && !self.by_itself;
        let held = by_name && phase == TradingPhase::Halted;
        hold!(
            event.held == u8::from(held),
            "who is halted by name is held: {event:?}"
        );
        let was_held = self.held.contains(&instrument);
        hold!(
            by_name || !was_held,
            "what is held is let go by name: {event:?}"
        );
        if held {
            self.held.insert(instrument);
        } else {
            self.held.remove(&instrument);
        }
        hold!(
            event.previous == before.as_u8()
                && (phase != before || held && !was_held || header.reason != 0),
            "a phase is another than the one before: {event:?}, {before:?}"
        );
        let interrupted = header.reason == Reason::VolatilityInterruption.code();
        let definition = engine.instrument(InstrumentId(instrument));
        let after = definition.map_or(0, |definition| definition.interruption_ms);
        let until = match after {
            after if interrupted && after != 0 => {
                header.sequenced_at.0 + u64::from(after) * 1_000_000
            }
            _ => 0,
        };
        hold!(
            event.until.0 == until,
            "only an interruption ends by itself, at its time: {event:?}"
        );
        // An auction whose price would be outside the static band trades later, or not at all.
        let banded = definition.is_some_and(|definition| definition.static_band != 0);
        hold!(
            !interrupted
                || (before == TradingPhase::Continuous || banded)
                    && phase == TradingPhase::VolatilityAuction,
            "an interruption is of continuous trading, by a volatility auction: {event:?}"
        );
        // An interruption's time may come with the very command that sets another phase.
        let over = before == TradingPhase::VolatilityAuction && phase == TradingPhase::Continuous;
        hold!(
            interrupted || self.by_itself || over || request.phase == event.phase,
            "a phase is the one that was asked for: {event:?}"
        );
        let uncrosses = phase == TradingPhase::Continuous
            || before == TradingPhase::ClosingAuction && phase == TradingPhase::Closed;
        let left = self.one_price(engine, instrument);
        hold!(
            !uncrosses || left.is_none() || banded && phase == TradingPhase::Closed,
            "what crosses trades before the phase changes: {left:?}"
        );
        self.phases.insert(instrument, event.phase);
        let last = self.last.get(&instrument).map(|last| (*last, *last));
        let traded = self.traded.remove(&instrument);
        self.pass(instrument, traded);
        if phase == TradingPhase::Continuous {
            self.pass(instrument, last);
        }
        Ok(())
    }

    /// A kill switch leaves nothing behind.
    fn killed(
        &mut self,
        engine: &Engine,
        request: &Request,
        header: &EventHeader,
        event: &KillSwitchDone,
    ) -> Result<(), String> {
        if header.reason != 0 {
            return Ok(());
        }
        // Firms number their users themselves; the venue means those of every firm.
        let firms: Vec<u32> = match (KillScope::try_from(event.scope), request.session) {
            (Ok(KillScope::User), Some(_)) => vec![Self::owner(engine, header.session).0],
            (Ok(KillScope::User), None) => engine.firms().map(|firm| firm.firm.0).collect(),
            _ => vec![0],
        };
        let venue = request.session.is_none();
        let (scope, target) = (event.scope, event.target);
        let blocks = firms.iter().map(|firm| (scope, target, *firm, venue));
        if event.release == 1 {
            // The venue's release takes the firm's own block, too.
            for (scope, target, firm, _) in blocks {
                self.blocks.remove(&(scope, target, firm, false));
                if venue {
                    self.blocks.remove(&(scope, target, firm, true));
                }
            }
            return Ok(());
        }
        if event.cancels_only == 0 {
            self.blocks.extend(blocks.clone());
        }
        let left = self.orders.values().find(|tracked| {
            let instrument = tracked.state.instrument.0;
            blocks
                .clone()
                .any(|block| Self::covers(engine, block, tracked.session, instrument))
        });
        hold!(
            left.is_none(),
            "a kill switch leaves nothing behind: {left:?}"
        );
        Ok(())
    }

    fn amended(
        &mut self,
        request: &Request,
        header: &EventHeader,
        event: &TradeAmended,
    ) -> Result<(), String> {
        let order = &event.order;
        self.execution(order.exec_id.0)?;
        let known = &request.amend;
        let fill = known
            .fills
            .iter()
            .find(|fill| fill.order.exec_id == event.reference);
        hold!(
            event.trade_id == known.trade_id
                && event.price == known.price
                && event.quantity == known.quantity
                && event.new_price == known.new_price
                && fill.is_some_and(|fill| {
                    fill.session == header.session
                        && fill.order.order_id == order.order_id
                        && fill.liquidity == event.liquidity
                }),
            "an amendment says what it amends: {event:?}"
        );
        let Some(tracked) = self.orders.get_mut(&order.order_id.0) else {
            hold!(
                order.leaves.0 == 0 && fill.is_some_and(|fill| fill.is_quote == event.is_quote),
                "nothing is ever opened again: {event:?}"
            );
            return Ok(());
        };
        hold!(
            event.is_quote == u8::from(tracked.quote.is_some()),
            "an amendment says whether it is a quote's: {event:?}"
        );
        let old = tracked.state;
        let lots = match event.new_price {
            NO_PRICE => event.quantity.0,
            _ => 0,
        };
        let change = match event.new_price {
            NO_PRICE => -event.price.0,
            new => new.0 - event.price.0,
        };
        let change = i128::from(change) * i128::from(event.quantity.0);
        hold!(
            order.leaves == old.leaves
                && order.quantity.0 + lots == old.quantity.0
                && order.cumulative.0 + lots == old.cumulative.0
                && notional(order) == notional(&old) + change,
            "a bust takes its lots and notional, a correction changes the notional: {event:?}, \
             {old:?}"
        );
        tracked.state = *order;
        Ok(())
    }

    fn quoted(
        &mut self,
        engine: &Engine,
        request: &Request,
        header: &EventHeader,
        event: &MassQuoteAnswered,
    ) -> Result<(), String> {
        let head = &event.head;
        hold!(
            head.quote_id == request.id
                && head.protection_group == request.protection_group
                && head.account.0 == request.account
                && head.response == request.response,
            "a mass quote is answered as asked: {head:?}"
        );
        if header.reason != 0 {
            hold!(event.results.is_empty(), "what is refused has no results");
            return Ok(());
        }
        hold!(
            event.results.len() == request.entries.len(),
            "every entry has its result"
        );
        let mut counts = (0u16, 0u16);
        for (entry, result) in request.entries.iter().zip(&event.results) {
            hold!(
                entry.entry_id == result.entry_id
                    && entry.instrument == result.instrument
                    && entry.layer == result.layer,
                "entries are answered in their order: {entry:?}, {result:?}"
            );
            let bid = QuoteSide {
                side: Side::Buy,
                asked: (entry.bid_price.0, entry.bid_quantity.0),
                stated: entry.not_stated & 1 == 0,
                order: result.bid_order.0,
                said: (result.bid_price.0, result.bid_quantity.0),
                status: result.bid_status,
                reason: result.bid_reason,
            };
            let ask = QuoteSide {
                side: Side::Sell,
                asked: (entry.ask_price.0, entry.ask_quantity.0),
                stated: entry.not_stated & 2 == 0,
                order: result.ask_order.0,
                said: (result.ask_price.0, result.ask_quantity.0),
                status: result.ask_status,
                reason: result.ask_reason,
            };
            for one in [bid, ask] {
                let session = header.session.0;
                let instrument = entry.instrument.0;
                let group = request.protection_group;
                let key = (session, group, instrument, entry.layer, one.side.as_u8());
                let status = self.quote_side(engine, request, header, key, &one)?;
                match status {
                    QuoteStatus::NotStated => {}
                    QuoteStatus::Refused => counts.1 += 1,
                    _ => counts.0 += 1,
                }
            }
        }
        hold!(
            counts == (head.accepted, head.refused),
            "sides are counted: {counts:?}, {head:?}"
        );
        Ok(())
    }

    fn quote_side(
        &mut self,
        engine: &Engine,
        request: &Request,
        header: &EventHeader,
        key: QuoteKey,
        one: &QuoteSide,
    ) -> Result<QuoteStatus, String> {
        let status = QuoteStatus::try_from(one.status).map_err(|_| "no status".to_owned())?;
        let standing = self.quotes.get(&key).copied();
        let before = standing
            .and_then(|id| self.orders.get(&id))
            .map(|t| t.state);
        let keeps = before.is_some_and(|before| {
            one.asked.1 != 0 && before.price.0 == one.asked.0 && one.asked.1 <= before.leaves.0
        });
        hold!(
            one.stated == (status != QuoteStatus::NotStated)
                && (one.reason != 0) == (status == QuoteStatus::Refused),
            "what was stated is answered, what is refused has a reason: {one:?}"
        );
        let untouched = matches!(status, QuoteStatus::NotStated | QuoteStatus::Refused);
        let rests = before.map(|before| (before.order_id.0, before.price.0, before.leaves.0));
        hold!(
            !untouched
                || match rests {
                    Some(rests) => rests == (one.order, one.said.0, one.said.1),
                    None => one.said.1 == 0,
                },
            "an answer says what rests: {one:?}, {before:?}"
        );
        if let (true, Some(id)) = (untouched, standing)
            && let Some(tracked) = self.orders.get_mut(&id)
        {
            tracked.named = Some(request.id);
        }
        match status {
            QuoteStatus::NotStated => {}
            QuoteStatus::Refused => hold!(
                before.is_none_or(|before| one.order == 0 || one.order == before.order_id.0),
                "what is refused leaves what was there: {one:?}, {before:?}"
            ),
            QuoteStatus::Absent => hold!(
                before.is_none() && one.asked.1 == 0 && one.said.1 == 0,
                "nothing was there, and nothing is: {one:?}, {before:?}"
            ),
            QuoteStatus::Removed => {
                hold!(
                    one.asked.1 == 0 && one.said.1 == 0 && standing == Some(one.order),
                    "zero lots take the quote away: {one:?}, {before:?}"
                );
                self.orders.remove(&one.order);
                self.quotes.remove(&key);
            }
            QuoteStatus::Kept => {
                hold!(
                    keeps && standing == Some(one.order) && one.said == one.asked,
                    "the same price and not more lots keep their place: {one:?}, {before:?}"
                );
                if let Some(tracked) = self.orders.get_mut(&one.order) {
                    tracked.named = None;
                    let state = &mut tracked.state;
                    state.client_order_id = request.id;
                    state.leaves = Quantity(one.asked.1);
                    state.quantity = Quantity(state.cumulative.0 + one.asked.1);
                    tracked.shown = one.asked.1;
                }
            }
            QuoteStatus::Entered => {
                hold!(
                    !keeps && one.said == one.asked && one.order > self.newest,
                    "another price or more lots are a new quote: {one:?}, {before:?}"
                );
                self.newest = one.order;
                if let Some(old) = standing {
                    self.orders.remove(&old);
                }
                let state = OrderState {
                    order_id: OrderId(one.order),
                    client_order_id: request.id,
                    price: Price(one.asked.0),
                    quantity: Quantity(one.asked.1),
                    leaves: Quantity(one.asked.1),
                    instrument: InstrumentId(key.2),
                    account: trading_engine_protocol::types::AccountId(request.account),
                    side: key.4,
                    order_type: OrderType::Limit.as_u8(),
                    time_in_force: TimeInForce::Day.as_u8(),
                    status: OrderStatus::New.as_u8(),
                    instructions: request.instructions,
                    self_trade_prevention: request.self_trade_prevention,
                    protection_group: request.protection_group,
                    ..OrderState::default()
                };
                self.may_enter(engine, header, &state)?;
                hold!(
                    self.phase(key.2) == TradingPhase::Continuous,
                    "quotes are in continuous trading only: {one:?}"
                );
                let tracked = Tracked {
                    session: header.session,
                    state,
                    terms: OrderTerms::NONE,
                    waiting: false,
                    parked: false,
                    announced: true,
                    quote: Some(key),
                    named: None,
                    shown: one.asked.1,
                    joined: self.join(),
                    passed: false,
                };
                self.orders.insert(one.order, tracked);
                self.owners.insert(one.order, header.session);
                self.quotes.insert(key, one.order);
                self.announced.push(one.order);
            }
        }
        Ok(status)
    }

    fn protected(
        &mut self,
        engine: &Engine,
        request: &Request,
        header: &EventHeader,
        event: &ProtectionSet,
    ) {
        if header.reason != 0 {
            return;
        }
        let (firm, _) = Self::owner(engine, header.session);
        let key = (firm, event.protection_group);
        if request.kind == CommandKind::ConfigureProtection && event.window_ms == 0 {
            self.protection.remove(&key);
            return;
        }
        let group = self.protection.entry(key).or_default();
        group.frozen_until = event.frozen_until.0;
        if request.kind == CommandKind::ResetProtection {
            group.window_fills.clear();
            return;
        }
        group.quantity = event.quantity.0;
        group.fills = u64::from(event.fills);
        group.net = event.net.0;
        group.window = u64::from(event.window_ms) * 1_000_000;
        group.freeze = u64::from(event.frozen_ms) * 1_000_000;
        group.changed = true;
    }

    /// A resting order or quote of a group was filled.
    fn counts(&mut self, engine: &Engine, header: &EventHeader, fill: &Fill) -> Result<(), String> {
        let (firm, _) = Self::owner(engine, header.session);
        let key = (firm, fill.order.protection_group);
        let Some(group) = self.protection.get_mut(&key) else {
            return Ok(());
        };
        let now = header.sequenced_at.0;
        let window = group.window;
        group.window_fills.retain(|(at, ..)| at + window > now);
        hold!(
            group.changed || group.reached().is_none(),
            "a group trips with the fill that reaches its limit, not later: {group:?}"
        );
        group.changed = false;
        let lots = fill.last_quantity.0;
        let signed = lots.cast_signed();
        let signed = match fill.order.side == Side::Buy.as_u8() {
            true => signed,
            false => -signed,
        };
        group.window_fills.push((now, lots, signed));
        if group.reached().is_some() {
            self.must_trip = Some(key);
        }
        Ok(())
    }

    fn tripped(
        &mut self,
        engine: &Engine,
        header: &EventHeader,
        event: &ProtectionTripped,
    ) -> Result<(), String> {
        let (firm, _) = Self::owner(engine, header.session);
        let key = (firm, event.protection_group);
        hold!(
            self.must_trip.take() == Some(key),
            "a group trips when a limit of it is reached: {event:?}"
        );
        let Some(group) = self.protection.get_mut(&key) else {
            return Err("Invariant: what trips is set".into());
        };
        let sums = group.sums();
        let until = match group.freeze {
            0 => u64::MAX,
            freeze => header.sequenced_at.0 + freeze,
        };
        hold!(
            group.reached().map(ProtectionLimit::as_u8) == Some(event.limit)
                && sums
                    == (
                        event.window_quantity.0,
                        u64::from(event.window_fills),
                        event.window_net
                    )
                && event.frozen_until.0 == until
                && self.owners.get(&event.order_id.0) == Some(&header.session),
            "a group that trips says what was in its window: {event:?}, {group:?}"
        );
        group.window_fills.clear();
        group.frozen_until = until;
        Ok(())
    }

    fn stated(
        &mut self,
        header: &EventHeader,
        event: &OrderStatusReport,
        quote: Option<&QuoteStatusAnswered>,
    ) -> Result<(), String> {
        let id = event.order.order_id.0;
        if id == 0 {
            hold!(
                event.all == 1 && event.is_last == 1 && event.total == 0,
                "nothing is the last of none: {event:?}"
            );
            return Ok(());
        }
        let Some(tracked) = self.orders.get(&id) else {
            return Err(format!("Invariant: what is stated is open: {event:?}"));
        };
        let told = OrderState {
            exec_id: ExecId(0),
            client_order_id: match tracked.named {
                Some(id) if id == event.order.client_order_id => id,
                _ => tracked.state.client_order_id,
            },
            ..tracked.state
        };
        let waits = match (tracked.waiting, tracked.parked) {
            (true, _) => 1,
            (_, true) => 2,
            _ => 0,
        };
        hold!(
            tracked.session == header.session
                && told.as_bytes() == event.order.as_bytes()
                && tracked.terms == event.terms
                && event.waits == waits
                && event.is_quote == u8::from(tracked.quote.is_some())
                && quote.map(|quote| quote.layer) == tracked.quote.map(|(_, _, _, layer, _)| layer)
                && (waits != 0 || event.shown.0 == tracked.shown),
            "an order is stated as it is: {event:?}, {tracked:?}"
        );
        Ok(())
    }

    fn accepted(
        &mut self,
        engine: &Engine,
        request: &Request,
        header: &EventHeader,
        order: &OrderState,
        terms: &OrderTerms,
    ) -> Result<(), String> {
        self.execution(order.exec_id.0)?;
        let order_type = OrderType::try_from(order.order_type)
            .map_err(|_| format!("Invariant: accepted orders have a type: {order:?}"))?;
        let asked = order.client_order_id == request.id
            && order.quantity.0 == request.quantity
            && order.instrument.0 == request.instrument
            && order.account.0 == request.account
            && order.side == request.side
            && order.order_type == request.order_type
            && order.time_in_force == request.time_in_force
            && order.instructions == request.instructions
            && order.self_trade_prevention == request.self_trade_prevention
            && order.protection_group == request.protection_group
            && *terms == request.terms
            && (!order_type.has_limit() || order.price.0 == request.price);
        hold!(
            asked,
            "an order is accepted as asked: {order:?} of {request:?}"
        );
        hold!(
            order.leaves == order.quantity
                && order.cumulative.0 == 0
                && order.notional == [0, 0]
                && order.status == OrderStatus::New.as_u8(),
            "a new order is all open: {order:?}"
        );
        hold!(
            order.order_id.0 > self.newest,
            "order ids ascend in order of entry: {order:?}"
        );
        self.may_enter(engine, header, order)?;
        let instrument = order.instrument.0;
        let phase = self.phase(instrument);
        let time_in_force = TimeInForce::try_from(order.time_in_force)
            .map_err(|_| format!("Invariant: accepted orders have a time: {order:?}"))?;
        hold!(
            !phase.is_call() || time_in_force.rests() && order_type != OrderType::MarketToLimit,
            "while orders are collected only what rests is taken: {order:?}"
        );
        hold!(
            time_in_force != TimeInForce::AtTheOpening
                || matches!(phase, TradingPhase::PreOpen | TradingPhase::OpeningAuction),
            "at-the-opening orders are taken before the opening: {order:?}"
        );
        let parked =
            time_in_force == TimeInForce::AtTheClose && phase != TradingPhase::ClosingAuction;
        let id = order.order_id.0;
        self.newest = id;
        let waiting = order_type.is_stop();
        if waiting {
            self.entering = Some(id);
        } else if !parked {
            self.set_incoming(id, instrument);
        }
        let tracked = Tracked {
            session: header.session,
            state: *order,
            terms: *terms,
            waiting,
            parked,
            announced: false,
            quote: None,
            named: None,
            shown: order.leaves.0,
            joined: self.join(),
            passed: false,
        };
        self.orders.insert(id, tracked);
        self.owners.insert(id, header.session);
        Ok(())
    }

    fn replaced(
        &mut self,
        engine: &Engine,
        request: &Request,
        header: &EventHeader,
        event: &OrderReplaced,
        terms: &OrderTerms,
    ) -> Result<(), String> {
        let order = &event.order;
        let id = order.order_id.0;
        let before = self.orders.get(&id);
        let (waiting, was) = before.map_or((false, OrderTerms::NONE), |t| (t.waiting, t.terms));
        let parked = before.is_some_and(|before| before.parked);
        if order.leaves.0 > 0 {
            self.may_enter(engine, header, order)?;
        }
        let old = self.report(header, order, &event.original, 0)?;
        hold!(
            event.previous_price == old.price && event.previous_leaves == old.leaves,
            "a replace says what was before: {event:?}"
        );
        hold!(
            order.cumulative == old.cumulative && order.notional == old.notional,
            "a replace fills nothing: {order:?}"
        );
        let asked = &request.terms;
        let mut after = was;
        if asked.stop_price != NO_PRICE {
            after.stop_price = asked.stop_price;
        }
        if asked.display.0 != 0 {
            after.display = asked.display;
        }
        if asked.expire_at.0 != 0 {
            after.expire_at = asked.expire_at;
        }
        hold!(
            *terms == after,
            "a replace changes the terms it states: {was:?} and {asked:?} make {terms:?}"
        );
        let same_price = if waiting {
            terms.stop_price == was.stop_price
        } else {
            order.price == old.price
        };
        let keeps = same_price
            && order.leaves <= old.leaves
            && terms.display <= was.display
            && order.leaves.0 > 0;
        hold!(
            keeps == (event.priority_kept == 1),
            "an order keeps its place if its price stays, and neither its size nor what it shows \
             grows: {event:?}, {was:?}, {terms:?}"
        );
        let joined = self.join();
        let Some(tracked) = self.orders.get_mut(&id) else {
            return Ok(());
        };
        tracked.terms = *terms;
        if waiting {
            tracked.shown = order.leaves.0;
        }
        if keeps {
            // Hidden lots go first.
            tracked.shown = match terms.display.0 {
                0 => order.leaves.0,
                _ if waiting => order.leaves.0,
                display => tracked.shown.min(display).min(order.leaves.0),
            };
            return Ok(());
        }
        tracked.joined = joined;
        tracked.passed = false;
        tracked.shown = order.leaves.0;
        if waiting {
            self.entering = Some(id);
        } else if !parked {
            self.set_incoming(id, order.instrument.0);
        }
        Ok(())
    }

    fn triggered(
        &mut self,
        entering: Option<u64>,
        header: &EventHeader,
        order: &OrderState,
    ) -> Result<(), String> {
        self.settle();
        let id = order.order_id.0;
        let instrument = order.instrument.0;
        if header.reason == Reason::AuctionBegun.code() {
            return self.begun(header, order);
        }
        hold!(
            self.phase(instrument) == TradingPhase::Continuous,
            "stops are released in continuous trading: {order:?}"
        );
        let next = self.next_release(instrument);
        let old = self.report(header, order, &order.client_order_id, 0)?;
        let limit_stays = order.order_type == OrderType::Stop.as_u8() || order.price == old.price;
        hold!(
            order.leaves == old.leaves && order.quantity == old.quantity && limit_stays,
            "a release changes nothing but a stop's protection price: {order:?}"
        );
        let last = self.last.get(&instrument).map(|last| (*last, *last));
        let Some(tracked) = self.orders.get_mut(&id) else {
            return Ok(());
        };
        hold!(tracked.waiting, "a stop is released once: {order:?}");
        hold!(
            if entering == Some(id) {
                reached(tracked, last)
            } else {
                next == Some(id)
            },
            "stops are released in order, those that were reached: {order:?} came, not {next:?}"
        );
        tracked.waiting = false;
        self.set_incoming(id, instrument);
        Ok(())
    }

    /// A parked order comes into the book, behind those that were parked before it.
    fn begun(&mut self, header: &EventHeader, order: &OrderState) -> Result<(), String> {
        let id = order.order_id.0;
        let instrument = order.instrument.0;
        let parked = self
            .orders
            .iter()
            .filter(|(_, tracked)| tracked.parked && tracked.state.instrument.0 == instrument);
        let first = parked.min_by_key(|(_, tracked)| tracked.joined);
        let first = first.map(|(id, _)| *id);
        hold!(
            first == Some(id) && self.phase(instrument) == TradingPhase::ClosingAuction,
            "parked orders come into the closing auction in their order: {order:?}, not {first:?}"
        );
        let old = self.report(header, order, &order.client_order_id, 0)?;
        hold!(
            order.leaves == old.leaves && order.quantity == old.quantity,
            "coming into the book changes no lots: {order:?}"
        );
        let joined = self.join();
        if let Some(tracked) = self.orders.get_mut(&id) {
            tracked.parked = false;
            tracked.show(joined);
        }
        Ok(())
    }

    fn restated(&mut self, header: &EventHeader, event: &OrderRestated) -> Result<(), String> {
        let order = &event.order;
        let id = order.order_id.0;
        let old = self.report(header, order, &order.client_order_id, 0)?;
        let lots = event.reduced.0;
        hold!(
            order.quantity.0 + lots == old.quantity.0
                && order.leaves.0 + lots == old.leaves.0
                && order.price == old.price
                && order.cumulative == old.cumulative,
            "what an order is restated by is what it lost: {event:?}, {old:?}"
        );
        let carried = header.reason == Reason::CarriedOver.code();
        hold!(
            carried == (lots == 0),
            "an order is carried over whole, and shrinks for nothing else: {event:?}"
        );
        if self.announced.contains(&id) {
            self.set_incoming(id, order.instrument.0);
        }
        let joined = self.join();
        let incoming = self.incoming == Some(id);
        let Some(tracked) = self.orders.get_mut(&id) else {
            return Ok(());
        };
        if incoming {
            tracked.shown = order.leaves.0;
        } else {
            tracked.lose(lots, joined)?;
        }
        hold!(
            event.shown.0
                == if tracked.waiting || tracked.parked {
                    0
                } else {
                    tracked.shown
                },
            "an order shows what it may: {event:?}, {tracked:?}"
        );
        Ok(())
    }

    /// A report about an open order: what cannot change has not, and nothing is lost. Returns what
    /// it was before.
    fn report(
        &mut self,
        header: &EventHeader,
        order: &OrderState,
        known_as: &ClientOrderId,
        canceled: u64,
    ) -> Result<OrderState, String> {
        self.execution(order.exec_id.0)?;
        let Some(tracked) = self.orders.get_mut(&order.order_id.0) else {
            return Err(format!("Invariant: reports are of open orders: {order:?}"));
        };
        let old = tracked.state;
        hold!(
            tracked.session == header.session && tracked.answers_to(known_as),
            "an order belongs to one session and answers to its newest id: {order:?}"
        );
        hold!(
            old.instrument == order.instrument
                && old.account == order.account
                && old.side == order.side
                && old.order_type == order.order_type
                && old.time_in_force == order.time_in_force
                && old.instructions == order.instructions
                && old.self_trade_prevention == order.self_trade_prevention
                && old.protection_group == order.protection_group,
            "these terms of an order never change: {order:?}"
        );
        hold!(
            order.cumulative.0 + order.leaves.0 + canceled == order.quantity.0,
            "executed + leaves + canceled = ordered: {order:?}"
        );
        let status = OrderStatus::try_from(order.status).map_err(|_| "no status".to_owned())?;
        let right = match (order.leaves.0, order.cumulative.0, canceled) {
            (0, _, 0) => status == OrderStatus::Filled,
            (0, ..) => matches!(status, OrderStatus::Canceled | OrderStatus::Expired),
            (_, 0, _) => status == OrderStatus::New,
            _ => status == OrderStatus::PartiallyFilled,
        };
        hold!(right, "the status follows from the quantities: {order:?}");
        tracked.state = *order;
        if status.is_terminal() {
            let id = order.order_id.0;
            if let Some(key) = tracked.quote {
                self.quotes.remove(&key);
            }
            self.orders.remove(&id);
            self.announced.retain(|one| *one != id);
        }
        Ok(old)
    }

    fn fill(
        &mut self,
        engine: &Engine,
        half: Option<Fill>,
        header: &EventHeader,
        fill: &Fill,
        taker: Option<u64>,
    ) -> Result<(), String> {
        let order = &fill.order;
        let lots = fill.last_quantity.0;
        let id = order.client_order_id;
        let instrument = order.instrument.0;
        let auction = fill.liquidity == Liquidity::Auction.as_u8();
        if let (None, Some(taker)) = (half, taker)
            && self.announced.contains(&taker)
        {
            self.set_incoming(taker, instrument);
        }
        let first = self.first_at_rest(order);
        let tracked = self.orders.get(&order.order_id.0);
        let shown = tracked.map_or(0, |tracked| tracked.shown);
        let old = self.report(header, order, &id, 0)?;
        hold!(lots > 0, "no trade has quantity 0");
        hold!(
            order.quantity == old.quantity
                && order.price == old.price
                && order.cumulative.0 == old.cumulative.0 + lots,
            "a fill adds its lots: {fill:?}"
        );
        let sum = notional(&old) + i128::from(fill.last_price.0) * i128::from(lots);
        hold!(
            notional(order) == sum,
            "the average price is over all fills: {fill:?}"
        );
        let buys = order.side == Side::Buy.as_u8();
        hold!(
            if buys {
                fill.last_price <= order.price
            } else {
                fill.last_price >= order.price
            },
            "no trade is worse than an order's limit: {fill:?}"
        );
        if auction {
            hold!(
                first == Some(order.order_id.0),
                "the best bid trades with the best ask: {fill:?} came, not {first:?}"
            );
            return self.auction_fill(half, fill, shown);
        }
        hold!(
            self.phase(instrument) == TradingPhase::Continuous && self.uncrossing.is_none(),
            "outside continuous trading nothing trades but in an uncrossing: {fill:?}"
        );
        let Some(maker) = half else {
            self.counts(engine, header, fill)?;
            hold!(
                fill.liquidity == Liquidity::Added.as_u8() && fill.last_price == order.price,
                "the maker's fill comes first, at the maker's price: {fill:?}"
            );
            hold!(
                fill.trade_id.0 > self.trades,
                "trade ids ascend and never repeat: {fill:?}"
            );
            hold!(
                first == Some(order.order_id.0),
                "the best price trades first, then the longest at rest: {fill:?} came, not {first:?}"
            );
            self.trades = fill.trade_id.0;
            self.half = Some(*fill);
            let joined = self.join();
            if let Some(tracked) = self.orders.get_mut(&order.order_id.0) {
                tracked.lose(lots, joined)?;
            }
            return Ok(());
        };
        hold!(
            fill.liquidity == Liquidity::Removed.as_u8()
                && fill.trade_id == maker.trade_id
                && fill.last_price == maker.last_price
                && fill.last_quantity == maker.last_quantity
                && order.instrument == maker.order.instrument
                && order.side != maker.order.side,
            "the two fills of a trade agree: {maker:?} and {fill:?}"
        );
        hold!(
            self.incoming == Some(order.order_id.0),
            "the taker is the order at work: {fill:?}"
        );
        let owners = [maker.order.order_id.0, order.order_id.0];
        hold!(
            !self.prevented(engine, owners, &maker, fill),
            "no order trades with those it must not trade with: {maker:?} and {fill:?}"
        );
        let price = fill.last_price.0;
        let definition = engine.instrument(order.instrument);
        let band = definition.map_or(0, |definition| definition.dynamic_band);
        if let (Some(base), true) = (self.base, band != 0) {
            hold!(
                price.abs_diff(base) <= band,
                "nobody trades outside the dynamic band around {base}: {fill:?}"
            );
        }
        self.last.insert(order.instrument.0, price);
        self.centers.insert(order.instrument.0, price);
        let range = self
            .traded
            .entry(order.instrument.0)
            .or_insert((price, price));
        *range = (range.0.min(price), range.1.max(price));
        Ok(())
    }

    fn auction_fill(&mut self, half: Option<Fill>, fill: &Fill, shown: u64) -> Result<(), String> {
        let order = &fill.order;
        let lots = fill.last_quantity.0;
        let Some(at) = self.uncrossing.as_mut() else {
            return Err(format!(
                "Invariant: auctions trade when they uncross: {fill:?}"
            ));
        };
        hold!(
            fill.last_price.0 == at.price && order.instrument.0 == at.instrument,
            "an auction trades at one price: {fill:?}, {at:?}"
        );
        let joined = self.joins + 1;
        self.joins = joined;
        if let Some(tracked) = self.orders.get_mut(&order.order_id.0) {
            tracked.lose(lots, joined)?;
        }
        let Some(first) = half else {
            hold!(
                fill.trade_id.0 > self.trades,
                "trade ids ascend and never repeat: {fill:?}"
            );
            self.trades = fill.trade_id.0;
            self.half = Some(*fill);
            self.half_shown = shown;
            return Ok(());
        };
        hold!(
            fill.trade_id == first.trade_id
                && first.liquidity == fill.liquidity
                && first.order.instrument == order.instrument
                && first.order.side != order.side
                && first.last_quantity == fill.last_quantity
                && first.order.order_id < order.order_id
                && lots == shown.min(self.half_shown),
            "the two fills of an auction's trade agree, the lower order id first, in what both \
             show: {first:?} and {fill:?}"
        );
        hold!(at.left >= lots, "no more trades than was said: {fill:?}");
        at.left -= lots;
        if at.left == 0 {
            self.uncrossing = None;
            self.last.insert(order.instrument.0, fill.last_price.0);
            self.centers.insert(order.instrument.0, fill.last_price.0);
            let price = fill.last_price.0;
            self.pass(order.instrument.0, Some((price, price)));
        }
        Ok(())
    }

    /// The order of the same instrument and side that trades first.
    fn first_at_rest(&self, order: &OrderState) -> Option<u64> {
        let best = |price: i64| {
            if order.side == Side::Buy.as_u8() {
                -price
            } else {
                price
            }
        };
        self.orders
            .iter()
            .filter(|(id, _)| self.incoming != Some(**id))
            .filter(|(_, tracked)| tracked.is_at_rest(order.instrument.0, order.side))
            .min_by_key(|(_, tracked)| (best(tracked.state.price.0), tracked.joined))
            .map(|(id, _)| *id)
    }

    /// Whether the taker asked not to trade with that maker.
    fn prevented(&self, engine: &Engine, ids: [u64; 2], maker: &Fill, taker: &Fill) -> bool {
        let scope = SelfTradePrevention::FirmCancelNewest.as_u8() & 0xF0;
        let asked = taker.order.self_trade_prevention;
        let firms = ids.map(|id| {
            // An order that its last fill ended is not there any more, but for its session.
            self.owners.get(&id).and_then(|owner| {
                let mut sessions = engine.sessions();
                let session = sessions.find(|session| session.definition.session == *owner);
                session.map(|session| session.definition.firm)
            })
        });
        asked != 0
            && firms[0] == firms[1]
            && (asked & scope != 0 || maker.order.account == taker.order.account)
    }

    /// The engine's books are what the events add up to.
    fn book(&self, engine: &Engine) -> Result<(), String> {
        let mut resting = 0;
        for definition in engine.instruments() {
            let instrument = definition.instrument;
            for side in [Side::Buy, Side::Sell] {
                let mut sums: Vec<(Price, Quantity, u32)> = Vec::new();
                let mut last_joined = 0;
                for (session, order) in engine.resting(instrument, side) {
                    resting += 1;
                    let Some(tracked) = self.orders.get(&order.order_id.0) else {
                        return Err(format!("Invariant: what rests has not ended: {order:?}"));
                    };
                    let told = OrderState {
                        exec_id: order.exec_id,
                        client_order_id: match tracked.named {
                            Some(id) if id == order.client_order_id => id,
                            _ => tracked.state.client_order_id,
                        },
                        ..tracked.state
                    };
                    hold!(
                        !tracked.waiting && !tracked.parked && self.incoming.is_none(),
                        "what waits is not in the book: {order:?}"
                    );
                    hold!(
                        told.as_bytes() == order.as_bytes() && tracked.session == session,
                        "an order rests as its events say: {order:?}, {told:?}"
                    );
                    match sums.last_mut() {
                        Some((price, lots, count)) if *price == order.price => {
                            lots.0 += tracked.shown;
                            *count += 1;
                            hold!(
                                tracked.joined > last_joined,
                                "who came first stands first: {order:?}"
                            );
                        }
                        _ => sums.push((order.price, Quantity(tracked.shown), 1)),
                    }
                    last_joined = tracked.joined;
                }
                let levels: Vec<_> = engine.levels(instrument, side).collect();
                hold!(
                    levels == sums,
                    "levels are the sums of what their orders show: {levels:?}, {sums:?}"
                );
                let better = |one: Price, other: Price| match side {
                    Side::Buy => one > other,
                    Side::Sell => one < other,
                };
                hold!(
                    levels.windows(2).all(|two| better(two[0].0, two[1].0)),
                    "the best level comes first: {levels:?}"
                );
                let first = levels.first().map(|(price, lots, _)| (*price, *lots));
                hold!(
                    engine.best(instrument, side) == first,
                    "the best price is the first level's"
                );
            }
            let [bid, ask] = [Side::Buy, Side::Sell].map(|side| engine.best(instrument, side));
            if let (Some((bid, _)), Some((ask, _)), TradingPhase::Continuous) =
                (bid, ask, self.phase(instrument.0))
            {
                hold!(bid < ask, "the book is not crossed: {bid:?}, {ask:?}");
            }
        }
        let orders = self.orders.values();
        let waiting = orders.filter(|tracked| tracked.waiting || tracked.parked);
        let open = resting + waiting.count();
        hold!(
            open == self.orders.len() && open == engine.open_orders() as usize,
            "every open order rests or waits, and is counted: {open} do, {} are open by their \
             events, {} by the engine",
            self.orders.len(),
            engine.open_orders()
        );
        hold!(
            open > 0 || engine.free_price_pages() == engine.limits().price_pages as usize,
            "an empty venue has all its price pages: {} are free",
            engine.free_price_pages()
        );
        Ok(())
    }
}

/// One side of an entry, and its answer.
#[derive(Debug)]
struct QuoteSide {
    side: Side,
    /// Price and lots.
    asked: (i64, u64),
    stated: bool,
    order: u64,
    said: (i64, u64),
    status: u8,
    reason: u16,
}

/// Whether a waiting stop's price was reached by trades from the lowest to the highest of a range.
fn reached(stop: &Tracked, range: Option<(i64, i64)>) -> bool {
    let price = stop.terms.stop_price.0;
    let buys = stop.state.side == Side::Buy.as_u8();
    range.is_some_and(|(low, high)| if buys { high >= price } else { low <= price })
}

fn notional(order: &OrderState) -> i128 {
    let [low, high] = order.notional;
    i128::from(low) | i128::from(high.cast_signed()) << 64
}
