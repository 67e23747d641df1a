//! Matching: an order in the market takes what it may, and rests or ends with what is left.
//!
//! A trade is two fills, the maker's first, at the maker's price. An incoming order takes a slot
//! like any other and matches from there, so a sweep that fills more than one step can write stops
//! after a fill and goes on in `resume`.

use trading_engine_protocol::types::{
    ClientOrderId, Liquidity, OrderStatus, Price, Quantity, Reason, SelfTradePrevention, Side,
    TradingPhase,
};

use super::event::{EventSink, Fill, OrderCanceled, OrderRestated};
use super::instrument::Reach;
use super::ladder::Place;
use super::order::{Flags, NIL};
use super::{Engine, Progress, Work};
use crate::limits::STEP_EVENTS_MAX;

/// Trades a step may make: two events each, and room for what surrounds them.
pub(super) const TRADES_PER_STEP: usize = (STEP_EVENTS_MAX - 4) / 2;

/// What an incoming order does when it meets one of the same owner.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnMeeting {
    CancelIncoming,
    CancelResting,
    CancelBoth,
    Shrink,
}

/// Self-trade prevention, taken apart.
pub(super) fn on_meeting(instruction: u8) -> Option<(OnMeeting, bool)> {
    Some(match SelfTradePrevention::try_from(instruction).ok()? {
        SelfTradePrevention::None => return None,
        SelfTradePrevention::CancelNewest => (OnMeeting::CancelIncoming, false),
        SelfTradePrevention::CancelOldest => (OnMeeting::CancelResting, false),
        SelfTradePrevention::CancelBoth => (OnMeeting::CancelBoth, false),
        SelfTradePrevention::Decrement => (OnMeeting::Shrink, false),
        SelfTradePrevention::FirmCancelNewest => (OnMeeting::CancelIncoming, true),
        SelfTradePrevention::FirmCancelOldest => (OnMeeting::CancelResting, true),
        SelfTradePrevention::FirmCancelBoth => (OnMeeting::CancelBoth, true),
        SelfTradePrevention::FirmDecrement => (OnMeeting::Shrink, true),
    })
}

impl Engine {
    /// Where the order in `slot` belongs, and how far it may reach.
    #[inline(always)]
    pub(super) fn reach(&self, slot: u32) -> Reach {
        let order = &self.orders.slots[slot as usize];
        let side = order.cold.side();
        let instrument = &self.instruments[usize::from(order.hot.instrument)];
        let mut reach = instrument.reach(order.hot.instrument, side, order.hot.tick);
        if instrument.has_bands {
            reach.worst = reach.worst.max(self.band_key(instrument, side));
        }
        reach
    }

    /// Matches the order in `slot`, which is in no level, or lets it rest where nothing trades.
    #[inline]
    pub(super) fn match_on(&mut self, slot: u32, sink: &mut impl EventSink) -> Progress {
        let hot = &self.orders.slots[slot as usize].hot;
        let id = hot.instrument;
        if self.instruments[usize::from(id)].phase != TradingPhase::Continuous
            || hot.flags.any(Flags::AT_THE_CLOSE)
        {
            return self.collect_order(slot, sink);
        }
        self.anchor(id);
        self.match_from(slot, sink)
    }

    /// Goes on matching as far as a step allows.
    #[inline(always)]
    pub(super) fn match_from(&mut self, slot: u32, sink: &mut impl EventSink) -> Progress {
        let reach = self.reach(slot);
        self.match_within(slot, &reach, sink)
    }

    /// [`Engine::match_from`] of an order whose reach is known.
    #[inline(never)]
    pub(super) fn match_within(
        &mut self,
        slot: u32,
        reach: &Reach,
        sink: &mut impl EventSink,
    ) -> Progress {
        let hot = &self.orders.slots[slot as usize].hot;
        let mut open = hot.leaves;
        let careful = hot.flags.any(Flags::SELF_TRADE);
        let more = hot.flags.only(Flags::MORE_THAN_FILLS);
        let instrument = hot.instrument;
        let mut trades = 0;
        let (mut first, mut last) = (NIL, NIL);
        while open > 0 {
            let best = self.ladders.best(reach.opposite);
            if best == NIL || best < reach.worst {
                break;
            }
            if trades == TRADES_PER_STEP {
                self.note_trades(instrument, first, last);
                self.work = Work::Match { slot };
                return Progress::More;
            }
            trades += 1;
            let place = self.ladders.place(reach.opposite, best);
            let maker = self.ladders.at(place).head;
            let maker_hot = &self.orders.slots[maker as usize].hot;
            let (tick, flags) = (maker_hot.tick, maker_hot.flags);
            if careful && self.prevent_self_trade(place, maker, slot, sink) {
                if !self.orders.is_live(slot) {
                    self.note_trades(instrument, first, last);
                    return self.after_match(instrument, sink);
                }
                open = self.orders.slots[slot as usize].hot.leaves;
                continue;
            }
            if last == NIL {
                first = tick;
            }
            last = tick;
            if !flags.with(more).any(Flags::MORE_THAN_FILLS) {
                open -= self.trade_plain(place, maker, slot, open, sink);
                continue;
            }
            let (lots, tripped) = self.special_trade(place, maker, slot, open, sink);
            open -= lots;
            if tripped {
                self.note_trades(instrument, first, last);
                self.work = Work::Pull {
                    next: self.protection.first_pulled(),
                    instrument,
                    taker: slot,
                };
                return Progress::More;
            }
        }
        if open == 0 {
            self.release(slot, OrderStatus::Filled);
        } else if reach.worst > reach.limit && self.band_stops(reach) {
            self.note_trades(instrument, first, last);
            return self.meet_band(slot, reach, sink);
        } else if self.orders.slots[slot as usize].hot.flags.any(Flags::RESTS) {
            self.rest(slot, reach, sink);
        } else {
            self.end_remainder(slot, sink);
        }
        self.note_trades(instrument, first, last);
        self.after_match(instrument, sink)
    }

    /// Whether what the order would trade with next is outside a band.
    #[cold]
    fn band_stops(&self, reach: &Reach) -> bool {
        let best = self.ladders.best(reach.opposite);
        best != NIL && best >= reach.limit
    }

    /// What the order would trade with next is outside a band. One of its own that it may not meet is
    /// no trade, wherever it is: self-trade prevention comes first, and then the order goes on.
    #[cold]
    fn meet_band(&mut self, slot: u32, reach: &Reach, sink: &mut impl EventSink) -> Progress {
        let best = self.ladders.best(reach.opposite);
        let place = self.ladders.place(reach.opposite, best);
        let maker = self.ladders.at(place).head;
        let hot = &self.orders.slots[slot as usize].hot;
        let (id, careful) = (hot.instrument, hot.flags.any(Flags::SELF_TRADE));
        if !careful || !self.prevent_self_trade(place, maker, slot, sink) {
            return self.interrupt(slot, sink);
        }
        if !self.orders.is_live(slot) {
            return self.after_match(id, sink);
        }
        self.work = Work::Match { slot };
        Progress::More
    }

    /// An order comes to rest where it is, whatever is on the other side.
    pub(super) fn rest_at_limit(&mut self, slot: u32, sink: &mut impl EventSink) {
        let reach = self.reach(slot);
        self.rest(slot, &reach, sink);
    }

    /// A trade in which an order takes part that is more than a plain one. Returns the lots, and
    /// whether a group's limit was reached by it.
    #[inline(never)]
    fn special_trade(
        &mut self,
        place: Place,
        maker: u32,
        taker: u32,
        open: u64,
        sink: &mut impl EventSink,
    ) -> (u64, bool) {
        let flags = self.orders.slots[maker as usize].hot.flags;
        // A maker that is filled is gone afterwards.
        let protected = flags.any(Flags::PROTECTED).then(|| self.protected(maker));
        let lots = if flags.any(Flags::ICEBERG) {
            self.trade_with_iceberg(place, maker, taker, open, sink)
        } else {
            self.trade(place, maker, taker, open, sink)
        };
        let tripped = protected.is_some_and(|filled| self.count_fill(&filled, lots, sink));
        (lots, tripped)
    }

    /// One trade of an order with `open` lots with the first of a level. Returns the lots.
    fn trade(
        &mut self,
        place: Place,
        maker: u32,
        taker: u32,
        open: u64,
        sink: &mut impl EventSink,
    ) -> u64 {
        let maker_leaves = self.orders.slots[maker as usize].hot.leaves;
        let lots = maker_leaves.min(open);
        debug_assert!(
            lots > 0,
            "Invariant: nothing rests or matches with zero lots"
        );
        if lots == maker_leaves {
            self.ladders.remove(&mut self.orders, place, maker);
        } else {
            self.ladders.at_mut(place).lots -= lots;
        }
        self.fill_both(maker, taker, lots, sink);
        if lots == maker_leaves {
            self.release(maker, OrderStatus::Filled);
        }
        lots
    }

    /// A trade with an order that shows a part of itself: when that part is gone, the next one
    /// goes to the back of the level.
    fn trade_with_iceberg(
        &mut self,
        place: Place,
        maker: u32,
        taker: u32,
        open: u64,
        sink: &mut impl EventSink,
    ) -> u64 {
        let shown = self.orders.slots[maker as usize].hot.leaves;
        if shown > open || self.orders.extra[maker as usize].hidden == 0 {
            return self.trade(place, maker, taker, open, sink);
        }
        self.ladders.remove(&mut self.orders, place, maker);
        self.show_next(maker);
        self.fill_both(maker, taker, shown, sink);
        let (side, key) = (place.side(), place.key());
        self.ladders.append(&mut self.orders, side, key, maker);
        shown
    }

    /// An iceberg whose shown part is about to go gets the next one beside it.
    pub(super) fn show_next(&mut self, slot: u32) {
        let extra = &mut self.orders.extra[slot as usize];
        let next = extra.terms.display.0.min(extra.hidden);
        extra.hidden -= next;
        self.orders.slots[slot as usize].hot.leaves += next;
    }

    fn fill_both(&mut self, maker: u32, taker: u32, lots: u64, sink: &mut impl EventSink) {
        let price = self.orders.slots[maker as usize].cold.state.price;
        let trade_id = self.next_trade_id();
        for (slot, liquidity) in [(maker, Liquidity::Added), (taker, Liquidity::Removed)] {
            let status = self.fill(slot, lots, price);
            let body = Fill {
                trade_id,
                last_price: price,
                last_quantity: Quantity(lots),
                liquidity: liquidity.as_u8(),
                ..Fill::default()
            };
            self.report_fill(slot, status, body, sink);
        }
    }

    /// Books a fill on one order and says what it is now.
    #[inline(always)]
    pub(super) fn fill(&mut self, slot: u32, lots: u64, price: Price) -> OrderStatus {
        if self.orders.slots[slot as usize]
            .hot
            .flags
            .any(Flags::LIMITED)
        {
            return self.fill_counted(slot, lots, price);
        }
        self.book_fill(slot, lots, price)
    }

    /// The same of an order that limits count, out of the way of all others.
    #[inline(never)]
    fn fill_counted(&mut self, slot: u32, lots: u64, price: Price) -> OrderStatus {
        let before = self.open_of(slot);
        let status = self.book_fill(slot, lots, price);
        self.count_execution(slot, before, lots, price);
        status
    }

    #[inline(always)]
    fn book_fill(&mut self, slot: u32, lots: u64, price: Price) -> OrderStatus {
        let hot = &mut self.orders.slots[slot as usize].hot;
        hot.leaves -= lots;
        let left = hot.leaves;
        let cold = &mut self.orders.slots[slot as usize].cold;
        cold.fill(lots, price);
        debug_assert!(
            self.orders.open(slot) + self.orders.slots[slot as usize].cold.state.cumulative.0
                == self.orders.slots[slot as usize].cold.state.quantity.0,
            "Invariant: leaves + filled = ordered"
        );
        // What an iceberg hides is only there while something is shown.
        if left == 0 {
            OrderStatus::Filled
        } else {
            OrderStatus::PartiallyFilled
        }
    }

    pub(super) fn same_owner(&self, one: u32, other: u32, firm_wide: bool) -> bool {
        let [one, other] = [one, other].map(|slot| {
            let cold = &self.orders.slots[slot as usize].cold;
            let firm = self.sessions[cold.session.0 as usize].definition.firm;
            (firm, cold.state.account)
        });
        one.0 == other.0 && (firm_wide || one.1 == other.1)
    }

    /// What becomes of an incoming order that meets one of the same owner. Returns whether it did.
    fn prevent_self_trade(
        &mut self,
        place: Place,
        maker: u32,
        taker: u32,
        sink: &mut impl EventSink,
    ) -> bool {
        let instruction = self.orders.slots[taker as usize]
            .cold
            .state
            .self_trade_prevention;
        let Some((on_meeting, firm_wide)) = on_meeting(instruction) else {
            return false;
        };
        if !self.same_owner(taker, maker, firm_wide) {
            return false;
        }
        let reason = Reason::SelfTradePrevented;
        if on_meeting == OnMeeting::Shrink {
            self.shrink_both(place, maker, taker, sink);
            return true;
        }
        if on_meeting != OnMeeting::CancelIncoming {
            self.ladders.remove(&mut self.orders, place, maker);
            self.end(maker, OrderStatus::Canceled, reason, sink);
        }
        if on_meeting != OnMeeting::CancelResting {
            self.end(taker, OrderStatus::Canceled, reason, sink);
        }
        true
    }

    /// Both lose the smaller one's lots; who has none left is canceled, the other is restated.
    fn shrink_both(&mut self, place: Place, maker: u32, taker: u32, sink: &mut impl EventSink) {
        let shown = self.orders.slots[maker as usize].hot.leaves;
        let lots = shown.min(self.orders.slots[taker as usize].hot.leaves);
        if lots < shown {
            self.ladders.at_mut(place).lots -= lots;
            self.shrink(maker, lots, sink);
        } else {
            self.ladders.remove(&mut self.orders, place, maker);
            if self.orders.open(maker) == shown {
                let reason = Reason::SelfTradePrevented;
                self.end(maker, OrderStatus::Canceled, reason, sink);
            } else {
                self.show_next(maker);
                self.shrink(maker, lots, sink);
                let (side, key) = (place.side(), place.key());
                self.ladders.append(&mut self.orders, side, key, maker);
            }
        }
        if self.orders.slots[taker as usize].hot.leaves == lots {
            let reason = Reason::SelfTradePrevented;
            self.end(taker, OrderStatus::Canceled, reason, sink);
        } else {
            self.shrink(taker, lots, sink);
        }
    }

    fn shrink(&mut self, slot: u32, lots: u64, sink: &mut impl EventSink) {
        let counted = self.counted(slot);
        self.orders.slots[slot as usize].hot.leaves -= lots;
        if let Some(before) = counted {
            self.recount(slot, before);
        }
        let cold = &mut self.orders.slots[slot as usize].cold;
        cold.state.quantity.0 -= lots;
        let status = cold.open_status();
        let body = OrderRestated {
            reduced: Quantity(lots),
            shown: Quantity(self.orders.slots[slot as usize].hot.leaves),
            ..OrderRestated::default()
        };
        if self.orders.slots[slot as usize].hot.flags.any(Flags::QUOTE) {
            self.restate_quote(slot, status, body, sink);
        } else {
            self.report(sink, slot, status, Reason::SelfTradePrevented, &body);
        }
    }

    /// What is left of an order waits at its price for others.
    #[inline(always)]
    fn rest(&mut self, slot: u32, reach: &Reach, sink: &mut impl EventSink) {
        let flags = self.orders.slots[slot as usize].hot.flags;
        if flags.any(Flags::TERMS) {
            // A stop's place at its limit was not known to be there before.
            if !self.ladders.has_room(reach.ladder, reach.key) {
                self.end(
                    slot,
                    OrderStatus::Canceled,
                    Reason::PriceLevelCapacity,
                    sink,
                );
                return;
            }
            if flags.any(Flags::ICEBERG) {
                let hot = &mut self.orders.slots[slot as usize].hot;
                let extra = &mut self.orders.extra[slot as usize];
                let shown = hot.leaves.min(extra.terms.display.0);
                extra.hidden = hot.leaves - shown;
                hot.leaves = shown;
            }
        }
        self.ladders
            .append(&mut self.orders, reach.ladder, reach.key, slot);
        if !flags.any(Flags::LISTED) {
            self.list(slot);
        }
    }

    /// An order that trades with nobody waits at its price; there is a place for it.
    #[inline]
    pub(super) fn come_to_rest(&mut self, slot: u32) {
        let reach = self.reach(slot);
        self.ladders
            .append(&mut self.orders, reach.ladder, reach.key, slot);
        self.list(slot);
    }

    /// An ended order leaves the slab; its id stays used.
    #[inline(always)]
    pub(super) fn release(&mut self, slot: u32, status: OrderStatus) {
        let flags = self.orders.slots[slot as usize].hot.flags;
        if flags.any(Flags::LISTED) {
            self.unlist(slot);
        }
        if flags.any(Flags::DATED.with(Flags::PROTECTED)) {
            self.release_special(slot, flags);
        }
        if flags.any(Flags::QUOTE) {
            self.quote_ended(slot);
        } else {
            self.ids
                .set_ended(self.orders.slots[slot as usize].cold.bucket, status);
        }
        self.orders.put_back(slot);
    }

    /// An ended order leaves its deadline and its group.
    fn release_special(&mut self, slot: u32, flags: Flags) {
        if flags.any(Flags::DATED) {
            self.remove_expiry(slot);
        }
        // What never came to rest is in no list.
        if flags.any(Flags::PROTECTED) && flags.any(Flags::LISTED) {
            self.leave_group(slot);
        }
    }

    /// Ends what did not trade of an order that does not rest.
    fn end_remainder(&mut self, slot: u32, sink: &mut impl EventSink) {
        let reason = if self.orders.slots[slot as usize].cold.is_market() {
            Reason::MarketRemainder
        } else {
            Reason::ImmediateOrCancelRemainder
        };
        self.end(slot, OrderStatus::Expired, reason, sink);
    }

    /// Ends an order that is in no level, unsolicited.
    pub(super) fn end(
        &mut self,
        slot: u32,
        status: OrderStatus,
        reason: Reason,
        sink: &mut impl EventSink,
    ) {
        self.end_for(slot, status, reason, ClientOrderId::NONE, sink);
    }

    pub(super) fn end_for(
        &mut self,
        slot: u32,
        status: OrderStatus,
        reason: Reason,
        request: ClientOrderId,
        sink: &mut impl EventSink,
    ) {
        let flags = self.orders.slots[slot as usize].hot.flags;
        if flags.any(Flags::QUOTE) {
            return self.end_quote(slot, status, reason, request, sink);
        }
        let canceled = self.orders.open(slot);
        let counted = self.counted(slot);
        self.orders.slots[slot as usize].hot.leaves = 0;
        if flags.any(Flags::ICEBERG) {
            self.orders.extra[slot as usize].hidden = 0;
        }
        if let Some(before) = counted {
            self.recount(slot, before);
        }
        let body = OrderCanceled {
            request,
            canceled: Quantity(canceled),
            ..OrderCanceled::default()
        };
        self.report(sink, slot, status, reason, &body);
        self.release(slot, status);
    }

    /// Where an order at rest is: its level, or a waiting stop's.
    #[inline(always)]
    pub(super) fn place_of(&self, slot: u32) -> Place {
        self.orders.slots[slot as usize].place
    }

    /// Takes an order at rest out of its level; what it hides is open like the rest of it.
    #[inline]
    pub(super) fn take_off(&mut self, slot: u32) {
        let flags = self.orders.slots[slot as usize].hot.flags;
        if flags.any(Flags::PARKED) {
            self.unpark(slot);
            return;
        }
        let place = self.place_of(slot);
        self.ladders.remove(&mut self.orders, place, slot);
        self.book_changed(slot);
        if flags.any(Flags::ICEBERG) {
            let hidden = std::mem::take(&mut self.orders.extra[slot as usize].hidden);
            self.orders.slots[slot as usize].hot.leaves += hidden;
        }
        if flags.any(Flags::WAITING) {
            self.wait_no_more(slot);
        }
    }

    /// The side of an order.
    pub(super) fn side_of(&self, slot: u32) -> Side {
        self.orders.slots[slot as usize].cold.side()
    }
}
