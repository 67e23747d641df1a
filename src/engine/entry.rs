//! A new order: its checks, its place in the slab, and what becomes of it at once.
//!
//! Everything is checked before anything changes, but for the ClientOrderId: that counts as used
//! whatever the answer is.

use trading_engine_protocol::types::{
    ClientOrderId, Instructions, InstrumentId, OrderStatus, OrderType, Price, Quantity, Reason,
    SelfTradePrevention, SessionId, Side, TimeInForce, TradingPhase,
};

use super::client_ids::IdHash;
use super::command::{CommandKind, EnterOrder, NO_PRICE, OrderTerms, RefuseOrder};
use super::event::{EventSink, OrderAccepted, OrderAcceptedWithTerms, OrderRejected};
use super::instrument::{Instrument, ladder_side, stop_side};
use super::order::{Flags, NIL};
use super::risk::Collar;
use super::{Engine, Progress};
use crate::limits::DISPLAYED_PARTS_MAX;

/// An order that passed every check.
pub(super) struct Admission {
    side: Side,
    order_type: OrderType,
    time_in_force: TimeInForce,
    tick: u32,
    stop_tick: u32,
    price: Price,
    flags: Flags,
}

impl Admission {
    /// Of a limit order without anything else.
    pub fn plain(side: Side, time_in_force: TimeInForce, tick: u32, price: Price) -> Self {
        Self {
            side,
            order_type: OrderType::Limit,
            time_in_force,
            tick,
            stop_tick: 0,
            price,
            flags: Flags::default().with_if(time_in_force.rests(), Flags::RESTS),
        }
    }
}

impl Engine {
    /// An order with terms: the same code as without, but in a place of its own, so that what
    /// plain orders run has no terms to look at.
    #[inline(never)]
    pub(super) fn enter_special(
        &mut self,
        order: &EnterOrder,
        terms: &OrderTerms,
        sink: &mut impl EventSink,
    ) -> Progress {
        self.enter(order, terms, sink)
    }

    #[inline(always)]
    pub(super) fn enter(
        &mut self,
        order: &EnterOrder,
        terms: &OrderTerms,
        sink: &mut impl EventSink,
    ) -> Progress {
        let session = self.asking.0;
        // Every order counts, whatever is wrong with it.
        let rate = self.check_rate();
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
        let admission = match self.check_entry(order, terms, rate) {
            Ok(admission) => admission,
            Err(reason) => {
                self.reject(order, reason, sink);
                return Progress::Done;
            }
        };
        self.admit_order(order, terms, &admission, bucket, sink)
    }

    /// An order without terms that passed every check.
    #[inline(never)]
    pub(super) fn enter_admitted(
        &mut self,
        order: &EnterOrder,
        admission: &Admission,
        bucket: u32,
        sink: &mut impl EventSink,
    ) -> Progress {
        self.admit_order(order, &OrderTerms::NONE, admission, bucket, sink)
    }

    /// An order that passed every check gets its place.
    #[inline(always)]
    fn admit_order(
        &mut self,
        order: &EnterOrder,
        terms: &OrderTerms,
        admission: &Admission,
        bucket: u32,
        sink: &mut impl EventSink,
    ) -> Progress {
        let session = self.asking.0;
        let flags = admission.flags;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "instruments are named by 16 bits"
        )]
        let instrument = order.instrument.0 as u16;
        let slot = self
            .orders
            .take(instrument, admission.tick, order.quantity.0, flags);
        let order_id = self.orders.order_id(slot);
        let cold = &mut self.orders.slots[slot as usize].cold;
        cold.session = session;
        cold.bucket = bucket;
        let state = &mut cold.state;
        state.order_id = order_id;
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
        state.instructions = order.instructions;
        state.self_trade_prevention = order.self_trade_prevention;
        state.protection_group = order.protection_group;
        self.ids.set_slot(bucket, slot);
        if flags.any(Flags::LIMITED) {
            self.begin_counting(slot, terms);
        }
        if flags.any(Flags::TERMS) {
            return self.enter_with_terms(slot, admission.stop_tick, terms, sink);
        }
        let body = OrderAccepted::default();
        self.report(sink, slot, OrderStatus::New, Reason::None, &body);
        if admission.time_in_force == TimeInForce::FillOrKill
            && !self.can_fill(slot, order.quantity.0)
        {
            self.end(slot, OrderStatus::Expired, Reason::FillOrKillUnfilled, sink);
            return Progress::Done;
        }
        self.match_on(slot, sink)
    }

    #[inline(never)]
    fn enter_with_terms(
        &mut self,
        slot: u32,
        stop_tick: u32,
        terms: &OrderTerms,
        sink: &mut impl EventSink,
    ) -> Progress {
        let extra = &mut self.orders.extra[slot as usize];
        extra.terms = *terms;
        extra.hidden = 0;
        extra.stop_tick = stop_tick;
        let body = OrderAcceptedWithTerms {
            terms: *terms,
            ..OrderAcceptedWithTerms::default()
        };
        self.report(sink, slot, OrderStatus::New, Reason::None, &body);
        let flags = self.orders.slots[slot as usize].hot.flags;
        if flags.any(Flags::DATED) {
            self.add_expiry(slot, terms.expire_at);
        }
        if flags.any(Flags::WAITING) {
            return self.wait(slot, sink);
        }
        let minimum = terms.minimum.0;
        if minimum > 0 && !self.can_fill(slot, minimum) {
            let reason = Reason::MinimumQuantityUnavailable;
            self.end(slot, OrderStatus::Expired, reason, sink);
            return Progress::Done;
        }
        self.match_on(slot, sink)
    }

    /// Whether the session's firm may send another message now.
    #[inline(always)]
    pub(super) fn check_rate(&mut self) -> Result<(), Reason> {
        if self.is_limited(self.asking.0) {
            self.take_message()
        } else {
            Ok(())
        }
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
    pub(super) fn hash_id(&self, session: SessionId, id: &ClientOrderId) -> Result<IdHash, Reason> {
        if id.is_none() {
            return Err(Reason::InvalidClientOrderId);
        }
        Ok(self.ids.hash(session, id))
    }

    pub(super) fn defined(&self, id: InstrumentId) -> Result<&Instrument, Reason> {
        self.instruments
            .get(id.0 as usize)
            .filter(|instrument| instrument.is_defined())
            .ok_or(Reason::UnknownInstrument)
    }

    /// Risk limits count an accepted order.
    #[inline(never)]
    fn begin_counting(&mut self, slot: u32, terms: &OrderTerms) {
        // What a stop counts at is among its terms.
        if self.orders.slots[slot as usize].hot.flags.any(Flags::TERMS) {
            let extra = &mut self.orders.extra[slot as usize];
            extra.terms = *terms;
            extra.hidden = 0;
        }
        self.count(slot);
        self.remember_order(slot);
    }

    #[inline(always)]
    fn check_entry(
        &self,
        order: &EnterOrder,
        terms: &OrderTerms,
        rate: Result<(), Reason>,
    ) -> Result<Admission, Reason> {
        // A blocked session is told so whatever it names; an instrument has to be there for that.
        if self.session_blocked(self.asking.0) {
            return Err(Reason::TradingBlocked);
        }
        let instrument = self.defined(order.instrument);
        if instrument.is_ok_and(|instrument| instrument.blocked) {
            return Err(Reason::TradingBlocked);
        }
        rate?;
        self.check_account(self.asking.0, order.account)?;
        let instrument = instrument?;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "instruments are named by 16 bits"
        )]
        let id = order.instrument.0 as u16;
        let phase = instrument.phase;
        if matches!(phase, TradingPhase::Closed | TradingPhase::Halted) {
            return Err(Reason::InstrumentNotTrading);
        }
        let side = Side::try_from(order.side).map_err(|_| Reason::UnsupportedSide)?;
        let order_type =
            OrderType::try_from(order.order_type).map_err(|_| Reason::UnsupportedOrderType)?;
        let time_in_force = TimeInForce::try_from(order.time_in_force)
            .map_err(|_| Reason::UnsupportedTimeInForce)?;
        let mut flags = Flags::default();
        let for_auction = is_for_auction(time_in_force);
        if for_auction || phase != TradingPhase::Continuous {
            flags = check_phase(phase, order_type, time_in_force)?;
        }
        instrument.check_quantity(order.quantity)?;
        let special = order.instructions != 0
            || order.self_trade_prevention != 0
            || order.protection_group != 0;
        if special {
            flags = flags.with(check_instructions(order, order_type, time_in_force)?);
            self.check_frozen(self.asking.0, order.protection_group)?;
        }
        let mut stop_tick = 0;
        // Only a limit order without terms may go without this look.
        if *terms != OrderTerms::NONE || order_type.is_stop() || is_dated(time_in_force) {
            flags = flags.with(self.check_terms(order, terms, order_type, time_in_force)?);
            if order_type.is_stop() {
                stop_tick = self.stop_tick(instrument, terms.stop_price)?;
            }
        }
        let mut tick = match order_type {
            OrderType::Limit | OrderType::StopLimit if order.price == NO_PRICE => {
                return Err(Reason::PriceMissing);
            }
            OrderType::Limit | OrderType::StopLimit => self.limit_tick(instrument, order.price)?,
            OrderType::Market | OrderType::Stop | OrderType::MarketToLimit
                if order.price != NO_PRICE =>
            {
                return Err(Reason::PriceNotAllowed);
            }
            // It takes any price.
            OrderType::Market if for_auction => match side {
                Side::Buy => instrument.last_tick,
                Side::Sell => 0,
            },
            OrderType::Market if time_in_force.rests() => {
                return Err(Reason::MarketMustBeImmediate);
            }
            OrderType::Market => self.protection_tick(id, instrument, side)?,
            OrderType::MarketToLimit => self.best_tick(id, instrument, side.opposite())?,
            // Its limit is known when it triggers.
            OrderType::Stop => 0,
        };
        if self.is_limited(self.asking.0) {
            let collar = match order_type {
                OrderType::Limit | OrderType::MarketToLimit => Collar::Limit,
                // It takes the auction's price, whatever that is.
                OrderType::Market if for_auction => Collar::Free,
                OrderType::Market => {
                    let (session, account) = (self.asking.0, order.account);
                    tick = self.collared_tick(session, account, order.instrument, side, tick);
                    self.collar_of_best(instrument, side)
                }
                // When it is released.
                OrderType::Stop | OrderType::StopLimit => Collar::Free,
            };
            let price = match order_type {
                OrderType::Stop => terms.stop_price,
                OrderType::Market if for_auction => instrument.furthest_price(),
                OrderType::Market
                | OrderType::Limit
                | OrderType::StopLimit
                | OrderType::MarketToLimit => instrument.price_of(tick),
            };
            // What is for the close is set aside until then.
            let may_trade = !order_type.is_stop() && time_in_force != TimeInForce::AtTheClose;
            self.check_new(order, side, price, may_trade, collar)?;
            flags = flags.with(Flags::LIMITED);
        }
        if !self.orders.has_room() {
            return Err(Reason::OrderCapacity);
        }
        if !self.orders.has_ids() {
            return Err(Reason::OrderIdExhausted);
        }
        if order_type.is_stop() {
            self.check_level(stop_side(id, side), instrument.stop_key(side, stop_tick))?;
        } else if time_in_force.rests() {
            // What is parked needs no level yet.
            if !flags.any(Flags::AT_THE_CLOSE) || phase == TradingPhase::ClosingAuction {
                self.check_level(ladder_side(id, side), instrument.key(side, tick))?;
            }
            flags = flags.with(Flags::RESTS);
        }
        if flags.any(Flags::POST_ONLY)
            && phase == TradingPhase::Continuous
            && !flags.any(Flags::AT_THE_CLOSE)
            && self.would_take(id, instrument, side, tick)
        {
            return Err(Reason::PostOnlyWouldTake);
        }
        let price = if order_type == OrderType::Stop {
            Price(0)
        } else {
            instrument.price_of(tick)
        };
        Ok(Admission {
            side,
            order_type,
            time_in_force,
            tick,
            stop_tick,
            price,
            flags,
        })
    }

    #[inline(never)]
    fn check_terms(
        &self,
        order: &EnterOrder,
        terms: &OrderTerms,
        order_type: OrderType,
        time_in_force: TimeInForce,
    ) -> Result<Flags, Reason> {
        let mut flags = Flags::TERMS;
        match (order_type.is_stop(), terms.stop_price == NO_PRICE) {
            (true, true) => return Err(Reason::StopPriceMissing),
            (false, false) => return Err(Reason::StopPriceNotAllowed),
            (true, false) if !time_in_force.rests() => return Err(Reason::UnsupportedTimeInForce),
            (true, false) => flags = flags.with(Flags::WAITING),
            (false, true) => {}
        }
        if terms.display.0 != 0 {
            self.check_display(order.instrument, terms.display, order.quantity)?;
            // What never rests at a limit shows nothing.
            let has_none = matches!(order_type, OrderType::Market | OrderType::Stop);
            if !time_in_force.rests() || has_none {
                return Err(Reason::DisplayQuantityInvalid);
            }
            flags = flags.with(Flags::ICEBERG);
        }
        if terms.minimum.0 != 0
            && (time_in_force != TimeInForce::ImmediateOrCancel || terms.minimum > order.quantity)
        {
            return Err(Reason::MinimumQuantityInvalid);
        }
        match (is_dated(time_in_force), terms.expire_at.0 == 0) {
            (true, true) => Err(Reason::ExpireTimeMissing),
            (false, false) => Err(Reason::ExpireTimeNotAllowed),
            (true, false) if terms.expire_at <= self.sequenced_at => Err(Reason::ExpireTimePast),
            (true, false) => Ok(flags.with(Flags::DATED)),
            (false, true) => Ok(flags),
        }
    }

    /// A part of an order that may be shown at a time.
    pub(super) fn check_display(
        &self,
        instrument: InstrumentId,
        display: Quantity,
        quantity: Quantity,
    ) -> Result<(), Reason> {
        let increment = self.defined(instrument)?.definition.quantity_increment.0;
        if display > quantity
            || !display.0.is_multiple_of(increment)
            || shows_too_little(display, quantity)
        {
            return Err(Reason::DisplayQuantityInvalid);
        }
        Ok(())
    }

    /// Whether an order could rest there.
    #[inline]
    pub(super) fn check_level(&self, ladder: u32, key: u32) -> Result<(), Reason> {
        if self.ladders.has_room(ladder, key) {
            Ok(())
        } else {
            Err(Reason::PriceLevelCapacity)
        }
    }

    /// Whether an order limited at `tick` would trade at once.
    #[inline]
    pub(super) fn would_take(
        &self,
        id: u16,
        instrument: &Instrument,
        side: Side,
        tick: u32,
    ) -> bool {
        let best = self.ladders.best(ladder_side(id, side.opposite()));
        best != NIL && best >= instrument.key(side.opposite(), tick)
    }

    /// Best price of a side, as a tick.
    pub(super) fn best_tick(
        &self,
        id: u16,
        instrument: &Instrument,
        side: Side,
    ) -> Result<u32, Reason> {
        match self.ladders.best(ladder_side(id, side)) {
            NIL => Err(Reason::NoLiquidity),
            best => Ok(instrument.key(side, best)),
        }
    }

    /// How far a market order may reach: `protection_ticks` beyond the best opposite price, within
    /// the instrument's limits.
    pub(super) fn protection_tick(
        &self,
        id: u16,
        instrument: &Instrument,
        side: Side,
    ) -> Result<u32, Reason> {
        let best = self.best_tick(id, instrument, side.opposite())?;
        let reach = u32::try_from(instrument.definition.protection_ticks).unwrap_or(u32::MAX);
        let (lowest, highest) = instrument.band();
        Ok(match side {
            Side::Buy => best.saturating_add(reach).min(highest),
            Side::Sell => best.saturating_sub(reach).max(lowest),
        })
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
        let rate = self.check_rate();
        let (reason, ref_tag) = match self.record_id(session, &refuse.client_order_id) {
            Ok(_) => rate.map_or_else(|reason| (reason, 0), |()| (stated, refuse.ref_tag)),
            Err(Reason::InvalidClientOrderId) => (stated, refuse.ref_tag),
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
}

/// Whether an iceberg would take too many parts to be traded.
pub(super) fn shows_too_little(display: Quantity, quantity: Quantity) -> bool {
    quantity.0 > display.0.saturating_mul(DISPLAYED_PARTS_MAX)
}

/// Whether an order is for one auction only.
fn is_for_auction(time_in_force: TimeInForce) -> bool {
    matches!(
        time_in_force,
        TimeInForce::AtTheOpening | TimeInForce::AtTheClose
    )
}

/// What a phase that is not closed or halted takes.
#[inline(never)]
fn check_phase(
    phase: TradingPhase,
    order_type: OrderType,
    time_in_force: TimeInForce,
) -> Result<Flags, Reason> {
    let for_auction = is_for_auction(time_in_force);
    if for_auction && !matches!(order_type, OrderType::Limit | OrderType::Market) {
        return Err(Reason::UnsupportedTimeInForce);
    }
    let opens = matches!(phase, TradingPhase::PreOpen | TradingPhase::OpeningAuction);
    let never_rests = !time_in_force.rests() || order_type == OrderType::MarketToLimit;
    if (time_in_force == TimeInForce::AtTheOpening && !opens) || (phase.is_call() && never_rests) {
        return Err(Reason::NotAllowedInPhase);
    }
    Ok(Flags::default()
        .with_if(
            time_in_force == TimeInForce::AtTheOpening,
            Flags::AT_THE_OPENING,
        )
        .with_if(
            time_in_force == TimeInForce::AtTheClose,
            Flags::AT_THE_CLOSE,
        ))
}

/// Whether an order has a time of its own to end.
fn is_dated(time_in_force: TimeInForce) -> bool {
    time_in_force == TimeInForce::GoodTillDate
}

/// Instructions that an order of this type and time in force may have.
#[inline(never)]
fn check_instructions(
    order: &EnterOrder,
    order_type: OrderType,
    time_in_force: TimeInForce,
) -> Result<Flags, Reason> {
    let instructions = Instructions(order.instructions);
    if order.instructions & !Instructions::ALL.0 != 0 {
        return Err(Reason::UnsupportedInstruction);
    }
    let self_trade = SelfTradePrevention::try_from(order.self_trade_prevention)
        .map_err(|_| Reason::UnsupportedSelfTradePrevention)?;
    let post_only = instructions.has(Instructions::POST_ONLY);
    if post_only && !(order_type == OrderType::Limit && time_in_force.rests()) {
        return Err(Reason::InstructionConflict);
    }
    Ok(Flags::default()
        .with_if(self_trade != SelfTradePrevention::None, Flags::SELF_TRADE)
        .with_if(post_only, Flags::POST_ONLY)
        .with_if(order.protection_group != 0, Flags::PROTECTED)
        .with_if(
            instructions.has(Instructions::DISCONNECT_EXEMPT),
            Flags::DISCONNECT_EXEMPT,
        ))
}
