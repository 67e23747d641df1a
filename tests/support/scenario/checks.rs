//! What must hold after every command, whatever the scenario is about.
//!
//! The auditor keeps its own account of orders from the events alone and compares it with the
//! engine's book: so a state change without its event is found, and an event without its change.

use std::collections::BTreeMap;

use trading_engine::engine::Engine;
use trading_engine::engine::command::CommandHeader;
use trading_engine::engine::event::{self, EventBody, EventHeader, Fill, OrderState};
use trading_engine_protocol::types::{
    ClientOrderId, Liquidity, OrderStatus, OrderType, Price, Quantity, SessionId, Side,
};
use zerocopy::IntoBytes;

use super::words::Request;

/// An open order as its events state it.
#[derive(Debug)]
struct Tracked {
    session: SessionId,
    state: OrderState,
    /// When it joined its queue.
    joined: u64,
}

#[derive(Debug, Default)]
pub struct Auditor {
    executions: u64,
    trades: u64,
    /// Numbering run and next number of each session.
    numbers: BTreeMap<u32, (u32, u64)>,
    orders: BTreeMap<u64, Tracked>,
    /// Highest order id so far.
    newest: u64,
    joins: u64,
    /// A maker's fill that waits for its taker's.
    half: Option<Fill>,
}

macro_rules! hold {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!("Invariant: {}", format!($($text)+)));
        }
    };
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
            self.event(request, header, body)?;
            index += 1;
            rest = &rest[header.length as usize..];
        }
        hold!(self.half.is_none(), "a trade has two fills");
        self.book(engine)
    }

    /// Session numbers are contiguous; what a session asked for is answered under its number.
    fn number(&mut self, command: &CommandHeader, header: &EventHeader) -> Result<(), String> {
        let asked = if header.session == command.session {
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
        request: &Request,
        header: &EventHeader,
        body: EventBody<'_>,
    ) -> Result<(), String> {
        let half = self.half.take();
        hold!(
            half.is_none() || matches!(body, EventBody::Fill(_)),
            "a taker's fill follows its maker's"
        );
        match body {
            EventBody::OrderAccepted(event) => self.accepted(request, header, &event.order),
            EventBody::Fill(event) => self.fill(half, header, event),
            EventBody::OrderReplaced(event) => {
                let old = self.report(header, &event.order, &event.original, 0)?;
                hold!(
                    event.previous_price == old.price && event.previous_leaves == old.leaves,
                    "a replace says what was before: {event:?}"
                );
                let order = &event.order;
                hold!(
                    order.cumulative == old.cumulative && order.notional == old.notional,
                    "a replace fills nothing: {order:?}"
                );
                let keeps =
                    order.price == old.price && order.leaves <= old.leaves && order.leaves.0 > 0;
                hold!(
                    keeps == (event.priority_kept == 1),
                    "an order keeps its place if its price stays and its size does not grow"
                );
                self.joins += 1;
                let joins = self.joins;
                let tracked = self.orders.get_mut(&order.order_id.0);
                if let Some(tracked) = tracked
                    && !keeps
                {
                    tracked.joined = joins;
                }
                Ok(())
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
            EventBody::RequestRejected(_)
            | EventBody::CommandRefused(_)
            | EventBody::LogonAnswered(_)
            | EventBody::SessionClosed(_)
            | EventBody::AdminMessage(_)
            | EventBody::BusinessRejected(_)
            | EventBody::DayRolled(_)
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
    ) -> Result<(), String> {
        self.execution(order.exec_id.0)?;
        let asked = order.client_order_id == request.id
            && order.quantity.0 == request.quantity
            && order.instrument.0 == request.instrument
            && order.account.0 == request.account
            && order.side == request.side
            && order.order_type == request.order_type
            && order.time_in_force == request.time_in_force
            && (order.order_type != OrderType::Limit.as_u8() || order.price.0 == request.price);
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
        self.newest = order.order_id.0;
        self.joins += 1;
        self.orders.insert(
            order.order_id.0,
            Tracked {
                session: header.session,
                state: *order,
                joined: self.joins,
            },
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
                && old.time_in_force == order.time_in_force,
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
        half: Option<Fill>,
        header: &EventHeader,
        fill: &Fill,
    ) -> Result<(), String> {
        let order = &fill.order;
        let lots = fill.last_quantity.0;
        let id = order.client_order_id;
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
            self.trades = fill.trade_id.0;
            self.half = Some(*fill);
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
        Ok(())
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
                        told.as_bytes() == order.as_bytes() && tracked.session == session,
                        "an order rests as its events say: {order:?}, {told:?}"
                    );
                    match sums.last_mut() {
                        Some((price, lots, count)) if *price == order.price => {
                            lots.0 += order.leaves.0;
                            *count += 1;
                            hold!(
                                tracked.joined > last_joined,
                                "who came first stands first: {order:?}"
                            );
                        }
                        _ => sums.push((order.price, order.leaves, 1)),
                    }
                    last_joined = tracked.joined;
                }
                let levels: Vec<_> = engine.levels(instrument, side).collect();
                hold!(
                    levels == sums,
                    "levels are the sums of their orders: {levels:?}, {sums:?}"
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
        hold!(
            resting == self.orders.len() && resting == engine.open_orders() as usize,
            "every open order rests, and is counted: {resting} rest, {} are open by their events, \
             {} by the engine",
            self.orders.len(),
            engine.open_orders()
        );
        hold!(
            resting > 0 || engine.free_price_pages() == engine.limits().price_pages as usize,
            "an empty venue has all its price pages: {} are free",
            engine.free_price_pages()
        );
        Ok(())
    }
}

fn notional(order: &OrderState) -> i128 {
    let [low, high] = order.notional;
    i128::from(low) | i128::from(high.cast_signed()) << 64
}
