//! Cancels and replaces: which order is meant, whether it may be, and what becomes of it.

use trading_engine_protocol::types::{
    ClientOrderId, InstrumentId, OrderId, OrderStatus, Quantity, Reason, TimeInForce, TradingPhase,
};

use super::client_ids::IdHash;
use super::command::{
    CancelOrder, CommandKind, NO_PRICE, OrderTerms, RefuseRequest, ReplaceOrder, stated,
};
use super::entry::shows_too_little;
use super::event::{EventSink, OrderReplaced, OrderReplacedWithTerms, OrderState, RequestRejected};
use super::instrument::{ladder_side, stop_side};
use super::order::Flags;
use super::risk::{Candidate, Collar};
use super::{Engine, Progress};

/// A `time_in_force` byte that states nothing.
pub(super) const NOT_STATED: u8 = 0xFF;

/// Which order a request means.
pub(super) struct Target {
    pub slot: u32,
}

/// A replace that passed every check.
struct Change {
    slot: u32,
    hash: IdHash,
    /// Limit and stop, as ticks.
    tick: u32,
    stop_tick: u32,
    /// The terms after it.
    terms: OrderTerms,
}

/// Why a request is refused, and what is known of the order.
pub(super) struct Refusal {
    reason: Reason,
    order_id: OrderId,
    status: OrderStatus,
    /// FIX tag at fault, 0 = the reason's own.
    ref_tag: u16,
}

impl Refusal {
    /// For another reason.
    pub(super) fn because(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }

    fn naming(self, ref_tag: u16) -> Self {
        Self { ref_tag, ..self }
    }

    fn unknown(reason: Reason) -> Self {
        Self {
            reason,
            order_id: OrderId(0),
            status: OrderStatus::Rejected,
            ref_tag: 0,
        }
    }
}

/// The tag of a field that a replace states and that is another of the order. Such a field cannot be
/// replaced, and to pass over it would leave the client with an order it did not ask for.
fn differing_term(replace: &ReplaceOrder, order: &OrderState) -> Option<u16> {
    let states = |bit: u8| replace.stated & bit != 0;
    if replace.order_type != 0 && replace.order_type != order.order_type {
        Some(40)
    } else if replace.time_in_force != NOT_STATED && replace.time_in_force != order.time_in_force {
        Some(59)
    } else if states(stated::ACCOUNT) && replace.account != order.account {
        Some(1)
    } else if states(stated::INSTRUCTIONS) && replace.instructions != order.instructions {
        Some(18)
    } else if states(stated::SELF_TRADE_PREVENTION)
        && replace.self_trade_prevention != order.self_trade_prevention
    {
        Some(2964)
    } else if states(stated::PROTECTION_GROUP) && replace.protection_group != order.protection_group
    {
        Some(9019)
    } else {
        None
    }
}

impl Engine {
    /// Finds the open order that a request of this session means.
    #[inline]
    pub(super) fn target(
        &self,
        order_id: OrderId,
        original: &ClientOrderId,
    ) -> Result<Target, Refusal> {
        let session = self.asking.0;
        let unknown = || Err(Refusal::unknown(Reason::UnknownOrder));
        let named = self.find_no_quote(order_id);
        let by_id = named.filter(|&slot| self.orders.slots[slot as usize].cold.session == session);
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
            let cold = &self.orders.slots[slot as usize].cold;
            self.orders.is_live(slot)
                // A quote may have the slot now, and call itself like the order that had it.
                && !self.orders.slots[slot as usize].hot.flags.any(Flags::QUOTE)
                && cold.session == session
                && cold.state.client_order_id == *original
        });
        match live {
            Some(slot) if order_id.0 == 0 || by_id == Some(slot) => Ok(Target { slot }),
            Some(_) => Err(Refusal::unknown(Reason::IdMismatch)),
            None if known.slot.is_none() => unknown(),
            // What is open is another order than the one that is done.
            None if named.is_some() => Err(Refusal::unknown(Reason::IdMismatch)),
            None => Err(Refusal {
                reason: Reason::TooLateToCancel,
                order_id,
                // An id replaced away has no end of its own; its order answers to its newest id.
                status: known.ended.unwrap_or(OrderStatus::Rejected),
                ref_tag: 0,
            }),
        }
    }

    /// An open order that is no quote: those are not found by requests.
    #[inline]
    fn find_no_quote(&self, order_id: OrderId) -> Option<u32> {
        let slot = self.orders.find(order_id)?;
        let quote = self.orders.slots[slot as usize].hot.flags.any(Flags::QUOTE);
        (!quote).then_some(slot)
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
        let instrument = usize::from(self.orders.slots[slot as usize].hot.instrument);
        if self.instruments[instrument].phase == TradingPhase::Closed {
            return Err(self.refusal(slot, Reason::InstrumentNotTrading));
        }
        Ok(slot)
    }

    /// What a request states of its order must be so.
    #[inline]
    pub(super) fn check_stated(
        &self,
        slot: u32,
        instrument: InstrumentId,
        side: u8,
    ) -> Result<(), Refusal> {
        let hot = &self.orders.slots[slot as usize].hot;
        let cold = &self.orders.slots[slot as usize].cold;
        let instrument_differs = instrument.0 != 0 && instrument.0 != u32::from(hot.instrument);
        if instrument_differs || (side != 0 && side != cold.state.side) {
            return Err(self.refusal(slot, Reason::TermsMismatch));
        }
        Ok(())
    }

    pub(super) fn refusal(&self, slot: u32, reason: Reason) -> Refusal {
        Refusal {
            reason,
            order_id: self.orders.order_id(slot),
            status: self.orders.slots[slot as usize].cold.open_status(),
            ref_tag: 0,
        }
    }

    pub(super) fn replace(
        &mut self,
        replace: &ReplaceOrder,
        terms: &OrderTerms,
        sink: &mut impl EventSink,
    ) -> Progress {
        let rate = self.check_rate();
        match self.check_replace(replace, terms, rate) {
            Ok(change) => {
                let Some(bucket) = self.ids.insert(change.hash) else {
                    // The check found it free, and nothing came in between.
                    return Progress::Done;
                };
                self.replace_checked(replace, &change, bucket, sink)
            }
            Err(refusal) => {
                self.refuse_with(
                    CommandKind::ReplaceOrder,
                    (replace.client_order_id, replace.original),
                    &refusal,
                    sink,
                );
                Progress::Done
            }
        }
    }

    fn check_replace(
        &self,
        replace: &ReplaceOrder,
        terms: &OrderTerms,
        rate: Result<(), Reason>,
    ) -> Result<Change, Refusal> {
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
        let cold = &self.orders.slots[slot as usize].cold;
        if let Some(tag) = differing_term(replace, &cold.state) {
            let refusal = self.refusal(slot, Reason::ReplaceNotAllowed);
            return Err(refusal.naming(tag));
        }
        if self.blocked(session, cold.state.instrument) {
            return Err(self.refusal(slot, Reason::TradingBlocked));
        }
        rate.map_err(|reason| self.refusal(slot, reason))?;
        // What is open of an account that is there no more may become less, and nothing else.
        if let Err(reason) = self.check_account(session, cold.state.account)
            && !self.only_reduces(slot, replace, terms)
        {
            return Err(self.refusal(slot, reason));
        }
        self.check_change(slot, replace, terms)
            .map(|(tick, stop_tick, terms)| Change {
                slot,
                hash,
                tick,
                stop_tick,
                terms,
            })
            .map_err(|reason| self.refusal(slot, reason))
    }

    /// Limit and stop ticks, and the terms, that the order would have.
    fn check_change(
        &self,
        slot: u32,
        replace: &ReplaceOrder,
        terms: &OrderTerms,
    ) -> Result<(u32, u32, OrderTerms), Reason> {
        let hot = self.orders.slots[slot as usize].hot;
        let cold = &self.orders.slots[slot as usize].cold;
        let side = cold.side();
        let instrument = &self.instruments[usize::from(hot.instrument)];
        if matches!(
            instrument.phase,
            TradingPhase::Closed | TradingPhase::Halted
        ) {
            return Err(Reason::InstrumentNotTrading);
        }
        if hot.flags.any(Flags::PROTECTED) {
            self.check_frozen(cold.session, cold.state.protection_group)?;
        }
        instrument.check_quantity(replace.quantity)?;
        let waiting = hot.flags.any(Flags::WAITING);
        // A stop that waits, or a market order in an auction.
        let tick = if cold.is_market() {
            if replace.price != NO_PRICE {
                return Err(Reason::PriceNotAllowed);
            }
            hot.tick
        } else if replace.price == NO_PRICE {
            return Err(Reason::PriceMissing);
        } else {
            let tick = instrument.tick_of(replace.price)?;
            if instrument.has_price_rules && !self.only_shrinks(slot, replace, terms) {
                self.check_rules(instrument, replace.price, tick)?;
            }
            tick
        };
        let mut after = OrderTerms::NONE;
        let mut stop_tick = 0;
        if hot.flags.any(Flags::TERMS) {
            (stop_tick, after) = self.check_new_terms(slot, replace.quantity, terms)?;
        } else if *terms != OrderTerms::NONE {
            // Terms that an order was entered without cannot be given to it.
            return Err(if terms.stop_price == NO_PRICE {
                Reason::ReplaceNotAllowed
            } else {
                Reason::StopPriceNotAllowed
            });
        }
        if hot.flags.any(Flags::LIMITED)
            && replace.quantity > cold.state.cumulative
            && !self.only_shrinks(slot, replace, terms)
        {
            let waits_for_market = waiting && cold.is_market();
            self.check_limits(&Candidate {
                session: cold.session,
                account: cold.state.account,
                instrument: cold.state.instrument,
                side,
                price: if waits_for_market {
                    after.stop_price
                } else if cold.is_market() {
                    instrument.furthest_price()
                } else {
                    instrument.price_of(tick)
                },
                may_trade: !waiting && !hot.flags.any(Flags::PARKED),
                quantity: replace.quantity,
                open: replace.quantity.0 - cold.state.cumulative.0,
                seen: None,
                // A stop's is for when it is released.
                collar: if waiting || cold.is_market() {
                    Collar::Free
                } else {
                    Collar::Limit
                },
                instead_of: Some(slot),
            })?;
        }
        if replace.quantity <= cold.state.cumulative {
            // What ends filled has nothing left that would rest or trade.
        } else if waiting {
            let key = instrument.stop_key(side, stop_tick);
            self.check_level(stop_side(hot.instrument, side), key)?;
        } else if !hot.flags.any(Flags::PARKED) {
            let key = instrument.key(side, tick);
            self.check_level(ladder_side(hot.instrument, side), key)?;
            if hot.flags.any(Flags::POST_ONLY)
                && instrument.phase == TradingPhase::Continuous
                && self.would_take(hot.instrument, instrument, side, tick)
            {
                return Err(Reason::PostOnlyWouldTake);
            }
        }
        Ok((tick, stop_tick, after))
    }

    /// Whether a replace leaves the order where it is and makes it no larger: what holds for its price
    /// and its size now does not keep it from becoming less.
    #[inline(never)]
    fn only_shrinks(&self, slot: u32, replace: &ReplaceOrder, terms: &OrderTerms) -> bool {
        let cold = &self.orders.slots[slot as usize].cold;
        let stop = terms.stop_price;
        let waiting = self.orders.slots[slot as usize]
            .hot
            .flags
            .any(Flags::WAITING);
        let same_stop = stop == NO_PRICE
            || waiting && stop == self.orders.extra[slot as usize].terms.stop_price;
        let same_price = cold.is_market() || replace.price == cold.state.price;
        same_price && same_stop && replace.quantity <= cold.state.quantity
    }

    /// Whether a replace does nothing but take lots off an order, or leaves all as it is: what would make it
    /// last longer or show more is something else.
    #[inline(never)]
    fn only_reduces(&self, slot: u32, replace: &ReplaceOrder, asked: &OrderTerms) -> bool {
        let flags = self.orders.slots[slot as usize].hot.flags;
        let has = match flags.any(Flags::TERMS) {
            true => self.orders.extra[slot as usize].terms,
            false => OrderTerms::NONE,
        };
        asked.expire_at <= has.expire_at
            && asked.display <= has.display
            && self.only_shrinks(slot, replace, asked)
    }

    #[inline(never)]
    fn check_new_terms(
        &self,
        slot: u32,
        quantity: Quantity,
        asked: &OrderTerms,
    ) -> Result<(u32, OrderTerms), Reason> {
        let hot = &self.orders.slots[slot as usize].hot;
        let extra = &self.orders.extra[slot as usize];
        let state = &self.orders.slots[slot as usize].cold.state;
        let mut after = extra.terms;
        let mut stop_tick = extra.stop_tick;
        if asked.stop_price != NO_PRICE {
            if !hot.flags.any(Flags::WAITING) {
                return Err(Reason::StopPriceNotAllowed);
            }
            let instrument = &self.instruments[usize::from(hot.instrument)];
            stop_tick = self.stop_tick(instrument, asked.stop_price)?;
            after.stop_price = asked.stop_price;
        }
        if asked.minimum.0 != 0 {
            return Err(Reason::MinimumQuantityInvalid);
        }
        if asked.expire_at.0 != 0 {
            if state.time_in_force != TimeInForce::GoodTillDate.as_u8() {
                return Err(Reason::ExpireTimeNotAllowed);
            }
            if asked.expire_at <= self.sequenced_at {
                return Err(Reason::ExpireTimePast);
            }
            after.expire_at = asked.expire_at;
        }
        if hot.flags.any(Flags::ICEBERG) {
            // What is not stated stays as it is, whatever the lot increment is by now.
            if asked.display.0 != 0 {
                self.check_display(state.instrument, asked.display, quantity)?;
                after.display = asked.display;
            } else if shows_too_little(after.display, quantity) {
                return Err(Reason::DisplayQuantityInvalid);
            }
        } else if asked.display.0 != 0 {
            return Err(Reason::ReplaceNotAllowed);
        }
        Ok((stop_tick, after))
    }

    fn replace_checked(
        &mut self,
        replace: &ReplaceOrder,
        change: &Change,
        bucket: u32,
        sink: &mut impl EventSink,
    ) -> Progress {
        let &Change { slot, tick, .. } = change;
        let at = slot as usize;
        let flags = self.orders.slots[at].hot.flags;
        let waiting = flags.any(Flags::WAITING);
        let previous_leaves = self.orders.open(slot);
        let previous_price = self.orders.slots[at].cold.state.price;
        let original = self.orders.slots[at].cold.state.client_order_id;
        let open = replace
            .quantity
            .0
            .saturating_sub(self.orders.slots[at].cold.state.cumulative.0);
        let same_price = if waiting {
            change.stop_tick == self.orders.extra[at].stop_tick
        } else {
            tick == self.orders.slots[at].hot.tick
        };
        let counted = self.counted(slot);
        let mut keeps = same_price && open <= previous_leaves && open > 0;
        if flags.any(Flags::ICEBERG) {
            keeps &= change.terms.display <= self.orders.extra[at].terms.display;
        }
        if keeps {
            self.shrink_in_place(slot, open, change);
        } else {
            self.take_off(slot);
            self.orders.slots[at].hot.leaves = open;
        }
        if flags.any(Flags::TERMS) {
            let extra = &mut self.orders.extra[at];
            let new_time = extra.terms.expire_at != change.terms.expire_at;
            extra.terms = change.terms;
            extra.stop_tick = change.stop_tick;
            if new_time {
                self.remove_expiry(slot);
                self.add_expiry(slot, change.terms.expire_at);
            }
        }
        let hot = &mut self.orders.slots[at].hot;
        hot.tick = tick;
        let price = if waiting && replace.price == NO_PRICE {
            previous_price
        } else {
            self.instruments[usize::from(hot.instrument)].price_of(tick)
        };
        let cold = &mut self.orders.slots[at].cold;
        cold.state.client_order_id = replace.client_order_id;
        cold.state.quantity = Quantity(cold.state.cumulative.0 + open);
        cold.state.price = price;
        cold.bucket = bucket;
        self.ids.set_slot(bucket, slot);
        if let Some(before) = counted {
            self.recount(slot, before);
        }
        let (status, reason) = if open == 0 {
            (OrderStatus::Filled, Reason::ReplacedToFilled)
        } else {
            (self.orders.slots[at].cold.open_status(), Reason::None)
        };
        let body = OrderReplaced {
            original,
            previous_price,
            previous_leaves: Quantity(previous_leaves),
            priority_kept: u8::from(keeps),
            ..OrderReplaced::default()
        };
        if flags.any(Flags::TERMS) {
            let body = OrderReplacedWithTerms {
                replaced: body,
                terms: change.terms,
            };
            self.report(sink, slot, status, reason, &body);
        } else {
            self.report(sink, slot, status, reason, &body);
        }
        if open == 0 {
            self.release(slot, OrderStatus::Filled);
            return Progress::Done;
        }
        if keeps {
            Progress::Done
        } else if waiting {
            self.wait(slot, sink)
        } else {
            self.match_on(slot, sink)
        }
    }

    /// An order at rest gets smaller and keeps its place: what it does not show goes first.
    #[inline]
    fn shrink_in_place(&mut self, slot: u32, open: u64, change: &Change) {
        let at = slot as usize;
        if self.orders.slots[at].hot.flags.any(Flags::PARKED) {
            self.orders.slots[at].hot.leaves = open;
            return;
        }
        self.book_changed(slot);
        let place = self.place_of(slot);
        let level = self.ladders.at_mut(place);
        let hot = &mut self.orders.slots[at].hot;
        let shown = if hot.flags.any(Flags::ICEBERG) && !hot.flags.any(Flags::WAITING) {
            let extra = &mut self.orders.extra[at];
            let shown = hot.leaves.min(change.terms.display.0).min(open);
            level.hidden -= extra.hidden;
            extra.hidden = open - shown;
            level.hidden += extra.hidden;
            shown
        } else {
            open
        };
        level.lots -= hot.leaves - shown;
        hot.leaves = shown;
    }

    pub(super) fn refuse_with(
        &mut self,
        request: CommandKind,
        (client_order_id, original): (ClientOrderId, ClientOrderId),
        refusal: &Refusal,
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
        self.tell_about(sink, self.asking.0, refusal.reason, refusal.ref_tag, body);
    }

    /// A request the edge could not express; the order it means is looked up for the answer only.
    pub(super) fn refuse_request(&mut self, refuse: &RefuseRequest, sink: &mut impl EventSink) {
        let reason = Reason::try_from(refuse.reason).unwrap_or(Reason::InvalidField);
        let request = if refuse.request == CommandKind::ReplaceOrder as u8 {
            // It is a message, and what is wrong with it was found before the rate.
            let _ = self.check_rate();
            CommandKind::ReplaceOrder
        } else {
            CommandKind::CancelOrder
        };
        let refusal = match self.target(refuse.order_id, &refuse.original) {
            Ok(target) => self.refusal(target.slot, reason),
            Err(refusal) => Refusal { reason, ..refusal },
        };
        let ids = (refuse.client_order_id, refuse.original);
        self.refuse_with(request, ids, &refusal.naming(refuse.ref_tag), sink);
    }
}
