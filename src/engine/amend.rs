//! Busts and corrections of trades, by the venue.
//!
//! The core keeps no trades: the command brings both fills from the event log, and the core believes
//! nothing of it that could not be so. What is open is amended where it is; of an order that ended,
//! the command says what it was, or is refused: what was read of an order before it ended tells nobody
//! what it came to. What the day's trades were amended to is remembered until it ends: what was corrected can be
//! corrected again, or busted, by a command that starts from the last correction; a bust is the end.

use trading_engine_protocol::types::{
    ClientOrderId, ExecId, Instructions, OrderStatus, OrderType, Price, Quantity, Reason,
    SelfTradePrevention, Side, TimeInForce, TradeId,
};

use super::command::{AmendTrade, AmendedFill, CommandKind, NO_PRICE};
use super::event::{CommandRefused, EventSink, OrderState, TradeAmended};
use super::instrument::Instrument;
use super::order::{Flags, halves, notional, touch_spare};
use super::session::SessionState;
use super::snapshot::{In, Out, SnapshotError};
use super::{Engine, Progress};
use crate::limits::{AMENDED_TRADES_MAX, ORDER_SLOT_BITS, QUANTITY_MAX};

/// What became of a trade of the day.
#[derive(Clone, Copy)]
struct Amendment {
    trade: TradeId,
    /// What it stands at; [`NO_PRICE`]: it is busted.
    price: Price,
    /// ExecID of the report that said so to the first of its sides; the other's is the next.
    exec_id: ExecId,
}

impl Amendment {
    /// Whether a command says what this left behind.
    fn is_as_stated(&self, request: &AmendTrade) -> bool {
        let [one, other] = request.fills.each_ref().map(|fill| fill.order.exec_id.0);
        self.price == request.price && self.exec_id.0 == one && one + 1 == other
    }
}

/// Trades of the day that were amended, ascending. All memory is there from the start.
pub(super) struct AmendedTrades {
    trades: Vec<Amendment>,
    /// First trade of the day.
    first: u64,
}

impl AmendedTrades {
    pub fn new() -> Self {
        Self {
            trades: Vec::with_capacity(AMENDED_TRADES_MAX),
            first: 1,
        }
    }

    /// Makes the memory resident.
    pub fn touch(&mut self) {
        touch_spare(&mut self.trades);
    }

    /// Start and length of the table.
    pub fn memory(&self, each: &mut impl FnMut(*const u8, usize)) {
        let length = self.trades.capacity() * size_of::<Amendment>();
        each(self.trades.as_ptr().cast(), length);
    }

    /// A new day, before its first trade.
    pub fn forget(&mut self, trades_so_far: u64) {
        self.trades.clear();
        self.first = trades_so_far + 1;
    }

    /// First trade of the day.
    pub fn first(&self) -> u64 {
        self.first
    }

    fn has_room(&self) -> bool {
        self.trades.len() < AMENDED_TRADES_MAX
    }

    fn place(&self, trade: TradeId) -> Result<usize, usize> {
        self.trades
            .binary_search_by_key(&trade, |known| known.trade)
    }

    fn find(&self, trade: TradeId) -> Option<&Amendment> {
        self.place(trade).ok().map(|place| &self.trades[place])
    }

    /// The trade is known, or the caller checked [`AmendedTrades::has_room`].
    fn set(&mut self, amendment: Amendment) {
        match self.place(amendment.trade) {
            Ok(place) => self.trades[place] = amendment,
            Err(place) => self.trades.insert(place, amendment),
        }
    }

    pub fn save(&self, out: &mut Out) {
        out.words([self.first, self.trades.len() as u64]);
        for known in &self.trades {
            let price = known.price.0.cast_unsigned();
            out.words([known.trade.0, price, known.exec_id.0]);
        }
    }

    /// Reads what [`AmendedTrades::save`] wrote.
    pub fn load(&mut self, input: &mut In<'_>) -> Result<(), SnapshotError> {
        self.first = input.word()?;
        for _ in 0..input.at_most(AMENDED_TRADES_MAX as u64, "amended trades")? {
            let trade = TradeId(input.word()?);
            if self.trades.last().is_some_and(|last| last.trade >= trade) {
                return Err(SnapshotError::Damaged("amended trades"));
            }
            self.trades.push(Amendment {
                trade,
                price: Price(input.word()?.cast_signed()),
                exec_id: ExecId(input.word()?),
            });
        }
        Ok(())
    }
}

/// Lots filled and notional of an order after an amendment.
struct Booked {
    cumulative: Quantity,
    notional: [u64; 2],
}

impl Engine {
    pub(super) fn amend_trade(
        &mut self,
        request: &AmendTrade,
        sink: &mut impl EventSink,
    ) -> Progress {
        match self.check_amendment(request) {
            Ok(booked) => {
                self.amended.set(Amendment {
                    trade: request.trade_id,
                    price: request.new_price,
                    exec_id: ExecId(self.executions + 1),
                });
                for (fill, booked) in request.fills.iter().zip(booked) {
                    self.amend_fill(request, fill, &booked, sink);
                    self.recount_fill(request, fill);
                }
            }
            Err(reason) => {
                let body = CommandRefused {
                    command: CommandKind::AmendTrade as u8,
                    ended: match reason {
                        Reason::OrderEnded => self.ended_otherwise(request),
                        _ => 0,
                    },
                    ..CommandRefused::default()
                };
                self.refuse_saying(sink, reason, body);
            }
        }
        Progress::Done
    }

    /// Which of the orders have ended and are to be stated so and are not.
    fn ended_otherwise(&self, request: &AmendTrade) -> u8 {
        let unstated = |fill: &AmendedFill| {
            let order = &fill.order;
            let status = OrderStatus::try_from(order.status);
            let stated = order.leaves.0 == 0 && status.is_ok_and(OrderStatus::is_terminal);
            fill.checks_end == 1 && !stated && self.orders.find(order.order_id).is_none()
        };
        let [one, other] = &request.fills;
        u8::from(unstated(one)) | u8::from(unstated(other)) << 1
    }

    /// What both orders come to. The trade is looked at first, then what is asked for.
    fn check_amendment(&self, request: &AmendTrade) -> Result<[Booked; 2], Reason> {
        if self.asking.0.0 != 0 {
            return Err(Reason::NotPermitted);
        }
        let trade = request.trade_id.0;
        if trade < self.amended.first || trade > self.trades {
            return Err(Reason::UnknownTrade);
        }
        let before = self.amended.find(request.trade_id);
        if before.is_some_and(|before| before.price == NO_PRICE) {
            return Err(Reason::TradeAlreadyBusted);
        }
        let [one, other] = &request.fills;
        let instrument = self
            .defined(one.order.instrument)
            .map_err(|_| Reason::UnknownTrade)?;
        let could_be = one.order.instrument == other.order.instrument
            && one.order.side != other.order.side
            && one.order.order_id != other.order.order_id
            && one.order.exec_id < other.order.exec_id
            && (1..=QUANTITY_MAX).contains(&request.quantity.0)
            && instrument.tick_of(request.price).is_ok()
            && self.could_be(one)
            && self.could_be(other)
            && before.is_none_or(|before| before.is_as_stated(request));
        if !could_be {
            return Err(Reason::UnknownTrade);
        }
        if self.ended_otherwise(request) != 0 {
            return Err(Reason::OrderEnded);
        }
        if request.new_price != NO_PRICE {
            instrument.tick_of(request.new_price)?;
        }
        let booked = [one, other].map(|fill| self.after_amendment(request, fill, instrument));
        let [Some(one), Some(other)] = booked else {
            return Err(Reason::UnknownTrade);
        };
        if before.is_some() || self.amended.has_room() {
            Ok([one, other])
        } else {
            Err(Reason::AmendmentCapacity)
        }
    }

    /// Whether the venue may have written such a fill: what it says is told to its session again.
    fn could_be(&self, fill: &AmendedFill) -> bool {
        let order = &fill.order;
        let session = self.sessions.get(fill.session.0 as usize);
        let entry = order.order_id.0 >> ORDER_SLOT_BITS;
        session.is_some_and(SessionState::is_defined)
            && (1..=self.orders.entries()).contains(&entry)
            && (1..=self.executions).contains(&order.exec_id.0)
            && is_id(&order.client_order_id)
            && is_state(order)
            && (fill.is_quote == 0 || fill.is_quote == 1 && could_be_quote(order))
            && fill.checks_end <= 1
            && order.quantity.0 <= QUANTITY_MAX
            && order.cumulative <= order.quantity
    }

    /// What the fill's order comes to; `None`: it did not fill that much at that price.
    fn after_amendment(
        &self,
        request: &AmendTrade,
        fill: &AmendedFill,
        instrument: &Instrument,
    ) -> Option<Booked> {
        let state = match self.orders.find(fill.order.order_id) {
            None => &fill.order,
            Some(slot) => {
                let cold = &self.orders.slots[slot as usize].cold;
                let same = cold.session == fill.session
                    && cold.state.instrument == fill.order.instrument
                    && cold.state.side == fill.order.side;
                same.then_some(&cold.state)?
            }
        };
        let lots = i128::from(request.quantity.0);
        let kept = state.cumulative.0.checked_sub(request.quantity.0)?;
        let traded = i128::from(request.price.0) * lots;
        let others = notional(state.notional).checked_sub(traded)?;
        if !is_notional_of(kept, others, instrument) {
            return None;
        }
        // Fits: so many lots at prices within the limits.
        let (cumulative, sum) = if request.new_price == NO_PRICE {
            (kept, others)
        } else {
            let corrected = i128::from(request.new_price.0) * lots;
            (state.cumulative.0, others + corrected)
        };
        Some(Booked {
            cumulative: Quantity(cumulative),
            notional: halves(sum),
        })
    }

    fn amend_fill(
        &mut self,
        request: &AmendTrade,
        fill: &AmendedFill,
        booked: &Booked,
        sink: &mut impl EventSink,
    ) {
        let mut body = TradeAmended {
            trade_id: request.trade_id,
            reference: fill.order.exec_id,
            price: request.price,
            quantity: request.quantity,
            new_price: request.new_price,
            liquidity: fill.liquidity,
            is_quote: fill.is_quote,
            ..TradeAmended::default()
        };
        if let Some(slot) = self.orders.find(fill.order.order_id) {
            let flags = self.orders.slots[slot as usize].hot.flags;
            body.is_quote = u8::from(flags.any(Flags::QUOTE));
            let cold = &mut self.orders.slots[slot as usize].cold;
            // What is open stays so, of an order that is smaller by what did not happen.
            let undone = cold.state.cumulative.0 - booked.cumulative.0;
            cold.state.quantity.0 -= undone;
            cold.state.cumulative = booked.cumulative;
            cold.state.notional = booked.notional;
            let status = cold.open_status();
            self.report(sink, slot, status, Reason::None, &body);
            return;
        }
        let end = self.end_of(fill, request.new_price == NO_PRICE);
        if end == OrderStatus::Canceled && fill.is_quote == 0 {
            // Whoever asks after it is told the same.
            let hash = self.ids.hash(fill.session, &fill.order.client_order_id);
            self.ids.unfill(hash);
        }
        body.order = OrderState {
            exec_id: self.next_exec_id(),
            leaves: Quantity(0),
            cumulative: booked.cumulative,
            notional: booked.notional,
            status: end.as_u8(),
            ..fill.order
        };
        self.tell(sink, fill.session, Reason::None, body);
    }

    /// How an order that is not open ended: as stated, else by its id, if it is of today. A quote's
    /// id is none of those. One that was filled is not any more after a bust: what is busted is gone.
    fn end_of(&self, fill: &AmendedFill, busts: bool) -> OrderStatus {
        let stated = OrderStatus::try_from(fill.order.status).ok();
        let by_id = || {
            let hash = self.ids.hash(fill.session, &fill.order.client_order_id);
            self.ids.find(hash).and_then(|known| known.ended)
        };
        stated
            .filter(|status| status.is_terminal())
            .or_else(|| by_id().filter(|_| fill.is_quote == 0))
            .filter(|&end| end != OrderStatus::Filled || !busts)
            .unwrap_or(OrderStatus::Canceled)
    }
}

/// Whether what is a choice is one of those there are.
pub(super) fn is_state(order: &OrderState) -> bool {
    Side::try_from(order.side).is_ok()
        && OrderType::try_from(order.order_type).is_ok()
        && TimeInForce::try_from(order.time_in_force).is_ok()
        && OrderStatus::try_from(order.status).is_ok()
        && order.instructions & !Instructions::ALL.0 == 0
        && SelfTradePrevention::try_from(order.self_trade_prevention).is_ok()
}

/// Whether a side of a quote can be such an order.
fn could_be_quote(order: &OrderState) -> bool {
    order.order_type == OrderType::Limit.as_u8() && order.time_in_force == TimeInForce::Day.as_u8()
}

/// Whether so many lots can have cost so much.
pub(super) fn is_notional_of(lots: u64, sum: i128, instrument: &Instrument) -> bool {
    let d = &instrument.definition;
    let at = |price: i64| i128::from(price) * i128::from(lots);
    (at(d.price_min.0)..=at(d.price_max.0)).contains(&sum)
}

/// Whether a client can have named something so.
fn is_id(id: &ClientOrderId) -> bool {
    let text = id.as_text().map(ClientOrderId::from_text);
    id.as_number().is_some() || text == Some(Ok(*id))
}
