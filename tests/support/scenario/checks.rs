//! What must hold after every command, whatever the scenario is about.
//!
//! The auditor keeps its own account of orders from the events alone and compares it with the
//! engine's book: so a state change without its event is found, and an event without its change.
//! What an iceberg shows and where its next part stands, and which stops wait, is in no event: the
//! auditor works it out by the rules of the book, the plainest way.

use std::collections::BTreeMap;

use trading_engine::engine::Engine;
use trading_engine::engine::command::{CommandHeader, NO_PRICE, OrderTerms};
use trading_engine::engine::event::{
    self, EventBody, EventHeader, Fill, OrderReplaced, OrderRestated, OrderState,
    OrderStatusReport, TradeAmended,
};
use trading_engine_protocol::types::{
    ClientOrderId, Liquidity, OrderId, OrderStatus, OrderType, Price, Quantity, Reason,
    SelfTradePrevention, SessionId, Side,
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
    /// Open lots that can be seen while it rests.
    shown: u64,
    /// When it joined its queue.
    joined: u64,
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

    fn is_at_rest(&self, instrument: u32, side: u8) -> bool {
        !self.waiting && self.state.instrument.0 == instrument && self.state.side == side
    }
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
            self.number(command, header)?;
            self.event(engine, request, header, body)?;
            index += 1;
            rest = &rest[header.length as usize..];
        }
        hold!(self.half.is_none(), "a trade has two fills");
        self.settle();
        self.nothing_is_late(command)?;
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
            hold!(
                !tracked.waiting
                    || !reached(tracked, last)
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

    /// The waiting stop that is released next, by the prices that traded in this command.
    fn next_release(&self, instrument: u32) -> Option<u64> {
        let range = self.traded.get(&instrument).copied();
        let ready = |side: Side| {
            self.orders.iter().filter(move |(_, tracked)| {
                tracked.waiting
                    && tracked.state.instrument.0 == instrument
                    && tracked.state.side == side.as_u8()
                    && reached(tracked, range)
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
            Reason::CancelAfterElapsed,
        ];
        let unasked = unasked.iter().any(|reason| reason.code() == header.reason);
        let asked = if header.session == command.session && !unasked {
            command.inbound_seq
        } else {
            0
        };
        hold!(
            header.inbound_seq == asked,
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
    ) -> Result<(), String> {
        let half = self.half.take();
        hold!(
            half.is_none() || matches!(body, EventBody::Fill(_)),
            "a taker's fill follows its maker's"
        );
        let entering = self.entering.take();
        match body {
            EventBody::OrderAccepted(event) => {
                self.accepted(request, header, &event.order, &OrderTerms::NONE)
            }
            EventBody::OrderAcceptedWithTerms(event) => {
                self.accepted(request, header, &event.order, &event.terms)
            }
            EventBody::Fill(event) => self.fill(engine, half, header, event),
            EventBody::OrderTriggered(event) => self.triggered(entering, header, &event.order),
            EventBody::OrderRestated(event) => self.restated(header, event),
            EventBody::OrderReplaced(event) => {
                self.replaced(request, header, event, &OrderTerms::NONE)
            }
            EventBody::OrderReplacedWithTerms(event) => {
                self.replaced(request, header, &event.replaced, &event.terms)
            }
            EventBody::OrderCanceled(event) => {
                let id = event.order.client_order_id;
                let old = self.report(header, &event.order, &id, event.canceled.0)?;
                hold!(
                    event.canceled == old.leaves && event.order.leaves.0 == 0,
                    "what ends is all that was open: {event:?}"
                );
                Ok(())
            }
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
                        && event.scope == request.scope
                        && event.side == request.side,
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
            EventBody::KillSwitchDone(event) => {
                hold!(
                    event.client_order_id == request.id
                        && event.target == request.target
                        && event.scope == request.scope
                        && event.release == request.release,
                    "a kill switch is answered as asked: {event:?} of {request:?}"
                );
                Ok(())
            }
            EventBody::TradeAmended(event) => self.amended(header, event),
            EventBody::OrderStatusReport(event) => self.stated(header, event),
            EventBody::RequestRejected(_)
            | EventBody::CommandRefused(_)
            | EventBody::LogonAnswered(_)
            | EventBody::SessionClosed(_)
            | EventBody::AdminMessage(_)
            | EventBody::BusinessRejected(_)
            | EventBody::DayRolled(_)
            | EventBody::TickTableDefined(_)
            | EventBody::ReferenceSet(_)
            | EventBody::LimitsSet(_)
            | EventBody::PhaseChanged(_)
            | EventBody::AuctionIndicative(_)
            | EventBody::AuctionUncrossed(_)
            | EventBody::MassQuoteAnswered(_)
            | EventBody::QuoteCanceled(_)
            | EventBody::QuoteFill(_)
            | EventBody::QuoteCancelDone(_)
            | EventBody::ProtectionSet(_)
            | EventBody::ProtectionTripped(_)
            | EventBody::InstrumentDefined(_)
            | EventBody::FirmDefined(_)
            | EventBody::SessionDefined(_)
            | EventBody::DefinitionRefused(_) => Ok(()),
        }
    }

    fn accepted(
        &mut self,
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
        let id = order.order_id.0;
        self.newest = id;
        let waiting = order_type.is_stop();
        if waiting {
            self.entering = Some(id);
        } else {
            self.incoming = Some(id);
        }
        let tracked = Tracked {
            session: header.session,
            state: *order,
            terms: *terms,
            waiting,
            shown: order.leaves.0,
            joined: self.join(),
        };
        self.orders.insert(id, tracked);
        self.owners.insert(id, header.session);
        Ok(())
    }

    fn replaced(
        &mut self,
        request: &Request,
        header: &EventHeader,
        event: &OrderReplaced,
        terms: &OrderTerms,
    ) -> Result<(), String> {
        let order = &event.order;
        let id = order.order_id.0;
        let before = self.orders.get(&id);
        let (waiting, was) = before.map_or((false, OrderTerms::NONE), |t| (t.waiting, t.terms));
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
        tracked.shown = order.leaves.0;
        if waiting {
            self.entering = Some(id);
        } else {
            self.incoming = Some(id);
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
        self.incoming = Some(id);
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
            event.shown.0 == if tracked.waiting { 0 } else { tracked.shown },
            "an order shows what it may: {event:?}, {tracked:?}"
        );
        Ok(())
    }

    /// A trade that did not happen, or not so: what is open stays open.
    fn amended(&mut self, header: &EventHeader, event: &TradeAmended) -> Result<(), String> {
        let order = &event.order;
        let Some(tracked) = self.orders.get(&order.order_id.0) else {
            hold!(
                order.leaves.0 == 0 && self.owners.get(&order.order_id.0) == Some(&header.session),
                "an order that ended stays so: {event:?}"
            );
            return self.execution(order.exec_id.0);
        };
        let old = tracked.state;
        let lots = event.quantity.0;
        let traded = i128::from(event.price.0) * i128::from(lots);
        let (undone, instead) = match event.new_price {
            NO_PRICE => (lots, 0),
            new => (0, i128::from(new.0) * i128::from(lots)),
        };
        self.report(header, order, &order.client_order_id, 0)?;
        hold!(
            order.leaves == old.leaves
                && order.price == old.price
                && order.cumulative.0 + undone == old.cumulative.0
                && notional(order) == notional(&old) - traded + instead,
            "an amendment changes what was filled, and nothing else: {event:?}, {old:?}"
        );
        Ok(())
    }

    fn stated(&self, header: &EventHeader, event: &OrderStatusReport) -> Result<(), String> {
        let id = event.order.order_id.0;
        if id == 0 {
            hold!(
                event.total == 0 && event.is_last == 1,
                "there is nothing to state: {event:?}"
            );
            return Ok(());
        }
        let Some(tracked) = self.orders.get(&id) else {
            return Err(format!("Invariant: what is stated is open: {event:?}"));
        };
        let told = OrderState {
            exec_id: event.order.exec_id,
            ..tracked.state
        };
        hold!(
            event.order.exec_id.0 == 0
                && event.order == told
                && event.terms == tracked.terms
                && tracked.session == header.session,
            "an order is stated as its events say: {event:?}, {tracked:?}"
        );
        hold!(
            (event.waits == 1) == tracked.waiting
                && event.shown.0 == if tracked.waiting { 0 } else { tracked.shown },
            "so is what it shows: {event:?}, {tracked:?}"
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
            tracked.session == header.session && old.client_order_id == *known_as,
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
            self.orders.remove(&order.order_id.0);
        }
        Ok(old)
    }

    fn fill(
        &mut self,
        engine: &Engine,
        half: Option<Fill>,
        header: &EventHeader,
        fill: &Fill,
    ) -> Result<(), String> {
        let order = &fill.order;
        let lots = fill.last_quantity.0;
        let id = order.client_order_id;
        let first = self.first_at_rest(order);
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
        let Some(maker) = half else {
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
        self.last.insert(order.instrument.0, price);
        let range = self
            .traded
            .entry(order.instrument.0)
            .or_insert((price, price));
        *range = (range.0.min(price), range.1.max(price));
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
                        ..tracked.state
                    };
                    hold!(
                        !tracked.waiting && self.incoming.is_none(),
                        "a stop that waits is not in the book: {order:?}"
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
            if let (Some((bid, _)), Some((ask, _))) = (bid, ask) {
                hold!(bid < ask, "the book is not crossed: {bid:?}, {ask:?}");
            }
        }
        let waiting = self.orders.values().filter(|tracked| tracked.waiting);
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
