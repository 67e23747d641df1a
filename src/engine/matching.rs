//! Orders: enter, replace, cancel, the fills they cause, and the day roll.
//!
//! Everything is checked before anything changes. A trade is two fills, the maker's first, at the
//! maker's price. An incoming order takes a slot like any other and matches from there, so a sweep
//! that fills more than one step can write stops after a fill and goes on in `resume`.

use trading_engine_protocol::types::{
    ClientOrderId, InstrumentId, Liquidity, OrderId, OrderStatus, OrderType, Price, Quantity,
    Reason, SessionId, Side, TimeInForce,
};

use super::client_ids::IdHash;
use super::command::{
    CancelOrder, CommandKind, EnterOrder, RefuseOrder, RefuseRequest, ReplaceOrder,
};
use super::event::{
    DayRolled, EventSink, Fill, OrderAccepted, OrderCanceled, OrderRejected, OrderReplaced,
    RequestRejected,
};
use super::instrument::{Instrument, ladder_side};
use super::ladder::Place;
use super::order::NIL;
use super::{Engine, Progress, Work};
use crate::limits::STEP_EVENTS_MAX;

/// Trades a step may make: two fills each, and room for what surrounds them.
const TRADES_PER_STEP: usize = (STEP_EVENTS_MAX - 4) / 2;
/// Orders a step may expire.
const EXPIRIES_PER_STEP: usize = STEP_EVENTS_MAX - 2;
/// `i64::MIN` where a price is stated: none.
const NO_PRICE: Price = Price(i64::MIN);
/// A `time_in_force` byte that states nothing.
const NOT_STATED: u8 = 0xFF;

/// An order that passed every check.
struct Admission {
    side: Side,
    order_type: OrderType,
    time_in_force: TimeInForce,
    tick: u32,
    price: Price,
}

/// Which order a cancel or replace means.
struct Target {
    slot: u32,
}

/// Ladders and keys of an order: where it rests, and what it may trade with.
struct Reach {
    ladder: u32,
    key: u32,
    opposite: u32,
    /// Lowest key of the opposite side that it may trade with.
    worst: u32,
}

/// Why a cancel or replace is refused, and what is known of the order.
struct Refusal {
    reason: Reason,
    order_id: OrderId,
    status: OrderStatus,
}

impl Refusal {
    fn unknown(reason: Reason) -> Self {
        Self {
            reason,
            order_id: OrderId(0),
            status: OrderStatus::Rejected,
        }
    }
}

impl Engine {
    pub(super) fn enter(&mut self, order: &EnterOrder, sink: &mut impl EventSink) -> Progress {
        let session = self.asking.0;
        let bucket = match self.record_id(session, &order.client_order_id) {
            Ok(bucket) => bucket,
            Err(Reason::DuplicateClientOrderId) if order.possible_resend == 1 => {
                self.refuse(
                    sink,
                    CommandKind::EnterOrder,
                    Reason::DuplicateClientOrderId,
                );
                return Progress::Done;
            }
            Err(reason) => {
                self.reject(order, reason, sink);
                return Progress::Done;
            }
        };
        let admission = match self.check_entry(order) {
            Ok(admission) => admission,
            Err(reason) => {
                self.reject(order, reason, sink);
                return Progress::Done;
            }
        };
        let slot = self
            .orders
            .take(order.instrument.0, admission.tick, order.quantity.0);
        let cold = &mut self.orders.cold[slot as usize];
        cold.session = session;
        cold.bucket = bucket;
        let state = &mut cold.state;
        state.client_order_id = order.client_order_id;
        state.price = admission.price;
        state.quantity = order.quantity;
        state.cumulative = Quantity(0);
        state.notional = [0; 2];
        state.instrument = order.instrument;
        state.account = order.account;
        state.side = admission.side.as_u8();
        state.order_type = admission.order_type.as_u8();
        state.time_in_force = admission.time_in_force.as_u8();
        self.ids.set_slot(bucket, slot);
        let body = OrderAccepted::default();
        self.report(sink, slot, OrderStatus::New, Reason::None, &body);
        if admission.time_in_force == TimeInForce::FillOrKill && !self.can_fill(slot) {
            self.end(slot, OrderStatus::Expired, Reason::FillOrKillUnfilled, sink);
            return Progress::Done;
        }
        self.match_on(slot, sink)
    }

    /// Puts an id among those used today.
    #[inline]
    fn record_id(&mut self, session: SessionId, id: &ClientOrderId) -> Result<u32, Reason> {
        let hash = self.hash_id(session, id)?;
        if self.ids.has_room() {
            return self.ids.insert(hash).ok_or(Reason::DuplicateClientOrderId);
        }
        // A used id is a used id, whether another would fit or not.
        Err(match self.ids.find(hash) {
            Some(_) => Reason::DuplicateClientOrderId,
            None => Reason::ClientOrderIdCapacity,
        })
    }

    #[inline]
    fn hash_id(&self, session: SessionId, id: &ClientOrderId) -> Result<IdHash, Reason> {
        if id.is_none() {
            return Err(Reason::InvalidClientOrderId);
        }
        Ok(self.ids.hash(session, id))
    }

    fn defined(&self, id: InstrumentId) -> Result<&Instrument, Reason> {
        self.instruments
            .get(id.0 as usize)
            .filter(|instrument| instrument.is_defined())
            .ok_or(Reason::UnknownInstrument)
    }

    #[inline]
    fn check_entry(&self, order: &EnterOrder) -> Result<Admission, Reason> {
        let instrument = self.defined(order.instrument)?;
        let side = Side::try_from(order.side).map_err(|_| Reason::UnsupportedSide)?;
        let order_type =
            OrderType::try_from(order.order_type).map_err(|_| Reason::UnsupportedOrderType)?;
        let time_in_force = TimeInForce::try_from(order.time_in_force)
            .map_err(|_| Reason::UnsupportedTimeInForce)?;
        instrument.check_quantity(order.quantity)?;
        let tick = match order_type {
            OrderType::Limit if order.price == NO_PRICE => return Err(Reason::PriceMissing),
            OrderType::Limit => instrument.tick_of(order.price)?,
            OrderType::Market if order.price != NO_PRICE => return Err(Reason::PriceNotAllowed),
            OrderType::Market if time_in_force == TimeInForce::Day => {
                return Err(Reason::MarketMustBeImmediate);
            }
            OrderType::Market => self.protection_tick(order.instrument.0, instrument, side)?,
        };
        if !self.orders.has_room() {
            return Err(Reason::OrderCapacity);
        }
        if !self.orders.has_ids() {
            return Err(Reason::OrderIdExhausted);
        }
        if time_in_force == TimeInForce::Day {
            self.check_level(order.instrument.0, instrument, side, tick)?;
        }
        let price = instrument.price_of(tick);
        Ok(Admission {
            side,
            order_type,
            time_in_force,
            tick,
            price,
        })
    }

    /// Whether an order could rest there.
    #[inline]
    fn check_level(
        &self,
        id: u32,
        instrument: &Instrument,
        side: Side,
        tick: u32,
    ) -> Result<(), Reason> {
        if self
            .ladders
            .has_room(ladder_side(id, side), instrument.key(side, tick))
        {
            Ok(())
        } else {
            Err(Reason::PriceLevelCapacity)
        }
    }

    /// How far a market order may reach: `protection_ticks` beyond the best opposite price, within
    /// the instrument's limits.
    fn protection_tick(&self, id: u32, instrument: &Instrument, side: Side) -> Result<u32, Reason> {
        let opposite = side.opposite();
        let best = self.ladders.best(ladder_side(id, opposite));
        if best == NIL {
            return Err(Reason::NoLiquidity);
        }
        let best = instrument.key(opposite, best);
        let reach = u32::try_from(instrument.definition.protection_ticks).unwrap_or(u32::MAX);
        Ok(match side {
            Side::Buy => best.saturating_add(reach).min(instrument.last_tick),
            Side::Sell => best.saturating_sub(reach),
        })
    }

    /// Where the order in `slot` belongs, and how far it may reach.
    #[inline(always)]
    fn reach(&self, slot: u32) -> Reach {
        let hot = &self.orders.hot[slot as usize];
        let side = self.orders.cold[slot as usize].side();
        let instrument = &self.instruments[hot.instrument as usize];
        Reach {
            ladder: ladder_side(hot.instrument, side),
            key: instrument.key(side, hot.tick),
            opposite: ladder_side(hot.instrument, side.opposite()),
            worst: instrument.key(side.opposite(), hot.tick),
        }
    }

    /// Whether all of the order could trade now.
    fn can_fill(&self, slot: u32) -> bool {
        let reach = self.reach(slot);
        let mut missing = self.orders.hot[slot as usize].leaves;
        let keys = self.ladders.keys(reach.opposite);
        for key in keys.take_while(|&key| key >= reach.worst) {
            let lots = self.ladders.level(reach.opposite, key).lots;
            if lots >= missing {
                return true;
            }
            missing -= lots;
        }
        false
    }

    /// Matches the order in `slot`, which is in no level, as far as a step allows.
    #[inline]
    pub(super) fn match_on(&mut self, slot: u32, sink: &mut impl EventSink) -> Progress {
        let reach = self.reach(slot);
        let mut open = self.orders.hot[slot as usize].leaves;
        let mut trades = 0;
        while open > 0 {
            let best = self.ladders.best(reach.opposite);
            if best == NIL || best < reach.worst {
                break;
            }
            if trades == TRADES_PER_STEP {
                self.work = Work::Match { slot };
                return Progress::More;
            }
            trades += 1;
            let place = self.ladders.place(reach.opposite, best);
            open -= self.trade(place, slot, open, sink);
        }
        self.work = Work::Nothing;
        if open == 0 {
            self.release(slot, OrderStatus::Filled);
        } else if self.orders.cold[slot as usize].rests() {
            self.ladders
                .append(&mut self.orders, reach.ladder, reach.key, slot);
        } else {
            self.end_remainder(slot, sink);
        }
        Progress::Done
    }

    /// One trade of an order with `open` lots with the first of a level. Returns the lots.
    #[inline(always)]
    fn trade(&mut self, place: Place, taker: u32, open: u64, sink: &mut impl EventSink) -> u64 {
        let maker = self.ladders.at(place).head;
        let maker_leaves = self.orders.hot[maker as usize].leaves;
        let lots = maker_leaves.min(open);
        debug_assert!(
            lots > 0,
            "Invariant: nothing rests or matches with zero lots"
        );
        let price = self.orders.cold[maker as usize].state.price;
        let trade_id = self.next_trade_id();
        if lots == maker_leaves {
            self.ladders.remove(&mut self.orders, place, maker);
        } else {
            self.ladders.at_mut(place).lots -= lots;
        }
        for (slot, liquidity) in [(maker, Liquidity::Added), (taker, Liquidity::Removed)] {
            let status = self.fill(slot, lots, price);
            let body = Fill {
                trade_id,
                last_price: price,
                last_quantity: Quantity(lots),
                liquidity: liquidity.as_u8(),
                ..Fill::default()
            };
            self.report(sink, slot, status, Reason::None, &body);
        }
        if lots == maker_leaves {
            self.release(maker, OrderStatus::Filled);
        }
        lots
    }

    /// Books a fill on one order and says what it is now.
    #[inline(always)]
    fn fill(&mut self, slot: u32, lots: u64, price: Price) -> OrderStatus {
        let hot = &mut self.orders.hot[slot as usize];
        let cold = &mut self.orders.cold[slot as usize];
        hot.leaves -= lots;
        cold.fill(lots, price);
        debug_assert!(
            hot.leaves + cold.state.cumulative.0 == cold.state.quantity.0,
            "Invariant: leaves + filled = ordered"
        );
        if hot.leaves == 0 {
            OrderStatus::Filled
        } else {
            OrderStatus::PartiallyFilled
        }
    }

    /// An ended order leaves the slab; its id stays used.
    #[inline(always)]
    fn release(&mut self, slot: u32, status: OrderStatus) {
        self.ids
            .set_ended(self.orders.cold[slot as usize].bucket, status);
        self.orders.put_back(slot);
    }

    /// Ends what did not trade of an order that does not rest.
    fn end_remainder(&mut self, slot: u32, sink: &mut impl EventSink) {
        let reason = if self.orders.cold[slot as usize].is_market() {
            Reason::MarketRemainder
        } else {
            Reason::ImmediateOrCancelRemainder
        };
        self.end(slot, OrderStatus::Expired, reason, sink);
    }

    /// Ends an order that is in no level, unsolicited.
    fn end(&mut self, slot: u32, status: OrderStatus, reason: Reason, sink: &mut impl EventSink) {
        self.end_for(slot, status, reason, ClientOrderId::NONE, sink);
    }

    fn end_for(
        &mut self,
        slot: u32,
        status: OrderStatus,
        reason: Reason,
        request: ClientOrderId,
        sink: &mut impl EventSink,
    ) {
        let canceled = std::mem::take(&mut self.orders.hot[slot as usize].leaves);
        let body = OrderCanceled {
            request,
            canceled: Quantity(canceled),
            ..OrderCanceled::default()
        };
        self.report(sink, slot, status, reason, &body);
        self.release(slot, status);
    }

    /// Where a resting order's level is.
    #[inline(always)]
    fn place_of(&self, slot: u32) -> Place {
        let hot = &self.orders.hot[slot as usize];
        let side = self.orders.cold[slot as usize].side();
        let key = self.instruments[hot.instrument as usize].key(side, hot.tick);
        self.ladders.place(ladder_side(hot.instrument, side), key)
    }

    /// Takes a resting order out of its level.
    #[inline]
    fn take_off(&mut self, slot: u32) {
        let place = self.place_of(slot);
        self.ladders.remove(&mut self.orders, place, slot);
    }

    /// Finds the open order that a request of this session means.
    #[inline]
    fn target(&self, order_id: OrderId, original: &ClientOrderId) -> Result<Target, Refusal> {
        let session = self.asking.0;
        let unknown = || Err(Refusal::unknown(Reason::UnknownOrder));
        let by_id = self
            .orders
            .find(order_id)
            .filter(|&slot| self.orders.cold[slot as usize].session == session);
        if original.is_none() {
            return match by_id {
                Some(slot) => Ok(Target { slot }),
                None => unknown(),
            };
        }
        let Some(known) = self.ids.find(self.ids.hash(session, original)) else {
            return unknown();
        };
        let live = known.slot.filter(|&slot| {
            let cold = &self.orders.cold[slot as usize];
            self.orders.hot[slot as usize].entry != 0
                && cold.session == session
                && cold.state.client_order_id == *original
        });
        match live {
            Some(slot) if order_id.0 == 0 || by_id == Some(slot) => Ok(Target { slot }),
            Some(_) => Err(Refusal::unknown(Reason::IdMismatch)),
            None if known.slot.is_none() => unknown(),
            // What is open is another order than the one that is done.
            None if self.orders.find(order_id).is_some() => {
                Err(Refusal::unknown(Reason::IdMismatch))
            }
            None => Err(Refusal {
                reason: Reason::TooLateToCancel,
                order_id,
                // An id replaced away has no end of its own; its order answers to its newest id.
                status: known.ended.unwrap_or(OrderStatus::Rejected),
            }),
        }
    }

    pub(super) fn cancel(&mut self, cancel: &CancelOrder, sink: &mut impl EventSink) {
        match self.check_cancel(cancel) {
            Ok(slot) => {
                self.take_off(slot);
                let reason = Reason::CanceledByRequest;
                self.end_for(
                    slot,
                    OrderStatus::Canceled,
                    reason,
                    cancel.client_order_id,
                    sink,
                );
            }
            Err(refusal) => self.refuse_with(
                CommandKind::CancelOrder,
                (cancel.client_order_id, cancel.original),
                &refusal,
                0,
                sink,
            ),
        }
    }

    #[inline]
    fn check_cancel(&self, cancel: &CancelOrder) -> Result<u32, Refusal> {
        if cancel.client_order_id.is_none() {
            return Err(Refusal::unknown(Reason::InvalidClientOrderId));
        }
        let slot = self.target(cancel.order_id, &cancel.original)?.slot;
        self.check_stated(slot, cancel.instrument, cancel.side)?;
        Ok(slot)
    }

    /// What a request states of its order must be so.
    #[inline]
    fn check_stated(&self, slot: u32, instrument: InstrumentId, side: u8) -> Result<(), Refusal> {
        let hot = &self.orders.hot[slot as usize];
        let cold = &self.orders.cold[slot as usize];
        let instrument_differs = instrument.0 != 0 && instrument.0 != hot.instrument;
        if instrument_differs || (side != 0 && side != cold.state.side) {
            return Err(self.refusal(slot, Reason::TermsMismatch));
        }
        Ok(())
    }

    fn refusal(&self, slot: u32, reason: Reason) -> Refusal {
        Refusal {
            reason,
            order_id: self.orders.order_id(slot),
            status: self.orders.cold[slot as usize].open_status(),
        }
    }

    pub(super) fn replace(
        &mut self,
        replace: &ReplaceOrder,
        sink: &mut impl EventSink,
    ) -> Progress {
        match self.check_replace(replace) {
            Ok((slot, tick, hash)) => {
                let Some(bucket) = self.ids.insert(hash) else {
                    // The check found it free, and nothing came in between.
                    return Progress::Done;
                };
                self.replace_checked(replace, slot, tick, bucket, sink)
            }
            Err(refusal) => {
                self.refuse_with(
                    CommandKind::ReplaceOrder,
                    (replace.client_order_id, replace.original),
                    &refusal,
                    0,
                    sink,
                );
                Progress::Done
            }
        }
    }

    fn check_replace(&self, replace: &ReplaceOrder) -> Result<(u32, u32, IdHash), Refusal> {
        let session = self.asking.0;
        let slot = self.target(replace.order_id, &replace.original)?.slot;
        let hash = self
            .hash_id(session, &replace.client_order_id)
            .map_err(|reason| self.refusal(slot, reason))?;
        if self.ids.find(hash).is_some() {
            return Err(self.refusal(slot, Reason::DuplicateClientOrderId));
        }
        if !self.ids.has_room() {
            return Err(self.refusal(slot, Reason::ClientOrderIdCapacity));
        }
        self.check_stated(slot, replace.instrument, replace.side)?;
        let hot = self.orders.hot[slot as usize];
        let cold = &self.orders.cold[slot as usize];
        let stated = |stated: u8, none: u8, actual: u8| stated == none || stated == actual;
        if !stated(replace.order_type, 0, cold.state.order_type)
            || !stated(replace.time_in_force, NOT_STATED, cold.state.time_in_force)
        {
            return Err(self.refusal(slot, Reason::ReplaceNotAllowed));
        }
        let instrument = &self.instruments[hot.instrument as usize];
        let checked = (|| {
            instrument.check_quantity(replace.quantity)?;
            if replace.price == NO_PRICE {
                return Err(Reason::PriceMissing);
            }
            let tick = instrument.tick_of(replace.price)?;
            self.check_level(hot.instrument, instrument, cold.side(), tick)?;
            Ok(tick)
        })();
        let tick = checked.map_err(|reason| self.refusal(slot, reason))?;
        Ok((slot, tick, hash))
    }

    fn replace_checked(
        &mut self,
        replace: &ReplaceOrder,
        slot: u32,
        tick: u32,
        bucket: u32,
        sink: &mut impl EventSink,
    ) -> Progress {
        let at = slot as usize;
        let previous_leaves = self.orders.hot[at].leaves;
        let previous_price = self.orders.cold[at].state.price;
        let original = self.orders.cold[at].state.client_order_id;
        let open = replace
            .quantity
            .0
            .saturating_sub(self.orders.cold[at].state.cumulative.0);
        let same_price = tick == self.orders.hot[at].tick;
        let keeps = same_price && open <= previous_leaves && open > 0;
        if keeps {
            let place = self.place_of(slot);
            self.ladders.at_mut(place).lots -= previous_leaves - open;
        } else {
            self.take_off(slot);
        }
        let hot = &mut self.orders.hot[at];
        hot.leaves = open;
        hot.tick = tick;
        let price = self.instruments[hot.instrument as usize].price_of(tick);
        let cold = &mut self.orders.cold[at];
        cold.state.client_order_id = replace.client_order_id;
        cold.state.quantity = Quantity(cold.state.cumulative.0 + open);
        cold.state.price = price;
        cold.bucket = bucket;
        self.ids.set_slot(bucket, slot);
        let (status, reason) = if open == 0 {
            (OrderStatus::Filled, Reason::ReplacedToFilled)
        } else {
            (self.orders.cold[at].open_status(), Reason::None)
        };
        let body = OrderReplaced {
            original,
            previous_price,
            previous_leaves: Quantity(previous_leaves),
            priority_kept: u8::from(keeps),
            ..OrderReplaced::default()
        };
        self.report(sink, slot, status, reason, &body);
        if open == 0 {
            self.release(slot, OrderStatus::Filled);
            return Progress::Done;
        }
        if keeps {
            Progress::Done
        } else {
            self.match_on(slot, sink)
        }
    }

    fn refuse_with(
        &mut self,
        request: CommandKind,
        (client_order_id, original): (ClientOrderId, ClientOrderId),
        refusal: &Refusal,
        ref_tag: u16,
        sink: &mut impl EventSink,
    ) {
        let body = RequestRejected {
            client_order_id,
            original,
            order_id: refusal.order_id,
            request: request as u8,
            status: refusal.status.as_u8(),
            ..RequestRejected::default()
        };
        self.tell_about(sink, self.asking.0, refusal.reason, ref_tag, body);
    }

    /// A request the edge could not express; the order it means is looked up for the answer only.
    pub(super) fn refuse_request(&mut self, refuse: &RefuseRequest, sink: &mut impl EventSink) {
        let reason = Reason::try_from(refuse.reason).unwrap_or(Reason::InvalidField);
        let request = if refuse.request == CommandKind::ReplaceOrder as u8 {
            CommandKind::ReplaceOrder
        } else {
            CommandKind::CancelOrder
        };
        let refusal = match self.target(refuse.order_id, &refuse.original) {
            Ok(target) => self.refusal(target.slot, reason),
            Err(refusal) => Refusal { reason, ..refusal },
        };
        let ids = (refuse.client_order_id, refuse.original);
        self.refuse_with(request, ids, &refusal, refuse.ref_tag, sink);
    }

    fn reject(&mut self, order: &EnterOrder, reason: Reason, sink: &mut impl EventSink) {
        let exec_id = self.next_exec_id();
        let body = OrderRejected {
            client_order_id: order.client_order_id,
            exec_id,
            price: order.price.0,
            quantity: i64::try_from(order.quantity.0).unwrap_or(i64::MAX),
            instrument: order.instrument,
            account: order.account,
            side: order.side,
            order_type: order.order_type,
            time_in_force: order.time_in_force,
            ..OrderRejected::default()
        };
        self.tell(sink, self.asking.0, reason, body);
    }

    /// An order the edge could not express. Its id counts as used, unless that is what is wrong.
    pub(super) fn refuse_order(&mut self, refuse: &RefuseOrder, sink: &mut impl EventSink) {
        let session = self.asking.0;
        let stated = Reason::try_from(refuse.reason).unwrap_or(Reason::InvalidField);
        let (reason, ref_tag) = match self.record_id(session, &refuse.client_order_id) {
            Ok(_) | Err(Reason::InvalidClientOrderId) => (stated, refuse.ref_tag),
            Err(Reason::DuplicateClientOrderId) if refuse.possible_resend == 1 => {
                self.refuse(
                    sink,
                    CommandKind::RefuseOrder,
                    Reason::DuplicateClientOrderId,
                );
                return;
            }
            Err(reason) => (reason, 0),
        };
        let exec_id = self.next_exec_id();
        let body = OrderRejected {
            client_order_id: refuse.client_order_id,
            exec_id,
            price: refuse.price_e8,
            quantity: refuse.quantity_e8,
            symbol: refuse.symbol,
            instrument: refuse.instrument,
            side: refuse.side,
            order_type: refuse.order_type,
            time_in_force: refuse.time_in_force,
            raw: 1,
            ..OrderRejected::default()
        };
        self.tell_about(sink, session, reason, ref_tag, body);
    }

    /// The trading day ends: Day orders expire in ascending order id, then ids are free and
    /// sessions roll.
    pub(super) fn day_roll(&mut self, trading_day: u32, sink: &mut impl EventSink) -> Progress {
        if trading_day <= self.trading_day {
            self.refuse(sink, CommandKind::DayRoll, Reason::InvalidDefinition);
            return Progress::Done;
        }
        self.scratch.clear();
        for slot in 0..self.orders.used() {
            if self.orders.hot[slot as usize].entry != 0 {
                let id = self.orders.order_id(slot).0;
                debug_assert!(self.scratch.len() < self.scratch.capacity());
                self.scratch.push(id);
            }
        }
        self.scratch.sort_unstable();
        self.expire_from(0, trading_day, sink)
    }

    pub(super) fn expire_from(
        &mut self,
        next: usize,
        trading_day: u32,
        sink: &mut impl EventSink,
    ) -> Progress {
        let last = self.scratch.len().min(next + EXPIRIES_PER_STEP);
        for index in next..last {
            if let Some(slot) = self.orders.find(OrderId(self.scratch[index])) {
                self.take_off(slot);
                self.end(slot, OrderStatus::Expired, Reason::EndOfDay, sink);
            }
        }
        self.work = if last < self.scratch.len() {
            Work::Expire {
                next: last,
                trading_day,
            }
        } else {
            self.ids.clear();
            Work::RollSessions {
                next: 0,
                trading_day,
            }
        };
        Progress::More
    }

    pub(super) fn roll_sessions_from(
        &mut self,
        next: usize,
        trading_day: u32,
        sink: &mut impl EventSink,
    ) -> Progress {
        if let Some(next) = self.roll_sessions(next, sink) {
            self.work = Work::RollSessions { next, trading_day };
            return Progress::More;
        }
        self.work = Work::Nothing;
        self.trading_day = trading_day;
        self.note(
            sink,
            SessionId(0),
            Reason::None,
            DayRolled {
                trading_day,
                reserved: 0,
            },
        );
        Progress::Done
    }
}
