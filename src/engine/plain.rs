//! The way of plain orders: limit orders that trade now, by a session and in an instrument that no
//! rule is set for, and cancels and replaces of them by their id. Nearly every command of a busy
//! venue is one.
//!
//! Everything is looked at before anything changes, and what is not plain, or not right, goes the
//! general way (`entry`, `requests`) as if nobody had looked: nothing is refused here. What is done
//! here is what the general way would do, in fewer steps: `tests/matching` applies every command both
//! ways and compares. A new reason to refuse an order has to be in `SessionState::enters_plain`,
//! `Instrument::takes_plain` or here, as accounts are.

use trading_engine_protocol::types::{
    ClientOrderId, ExecId, InstrumentId, Liquidity, OrderId, OrderStatus, OrderType, Price,
    Quantity, Reason, SessionId, Side, TimeInForce,
};
use zerocopy::{Immutable, IntoBytes};

use super::command::{CancelOrder, CommandHeader, EnterOrder, ReplaceOrder, Whole};
use super::entry::Admission;
use super::event::{
    EventSink, Fill, OrderAccepted, OrderCanceled, OrderReplaced, OrderState, words,
};
use super::instrument::Reach;
use super::ladder::Place;
use super::order::{Flags, NIL, Own, Slot};
use super::requests::NOT_STATED;
use super::{Engine, Progress};

/// An order's last eight bytes: what is plain about it, but for its side, its time in force and
/// `possible_resend`, which matters to what is refused.
const PLAIN_TERMS: u64 = (OrderType::Limit.as_u8() as u64) << 8;
const PLAIN_MASK: u64 = 0xFFFF_FFFF_0000_FF00;
/// The byte of it that no order keeps.
const POSSIBLE_RESEND: u64 = 0xFF00_0000;
/// Times in force that need nothing more, as bits.
const PLAIN_TIMES: u32 = 1 << TimeInForce::Day.as_u8()
    | 1 << TimeInForce::GoodTillCancel.as_u8()
    | 1 << TimeInForce::ImmediateOrCancel.as_u8();

/// What an order at rest has that is nothing but a limit order.
const AT_REST: Flags = Flags::RESTS.with(Flags::LISTED);

impl Engine {
    /// A plain order. `None`: it is none, and nothing was done.
    #[inline(never)]
    pub(super) fn enter_plain(
        &mut self,
        enter: &Whole<EnterOrder>,
        sink: &mut impl EventSink,
    ) -> Option<Progress> {
        let Whole {
            header,
            body: order,
        } = enter;
        let &[.., terms] = order.words();
        let time = order.time_in_force;
        if terms & PLAIN_MASK != PLAIN_TERMS || time >= 32 || PLAIN_TIMES >> time & 1 == 0 {
            return None;
        }
        let side = Side::try_from(order.side).ok()?;
        let session = self.sessions.get_mut(header.session.0 as usize)?;
        if !session.enters_plain() || session.generation != header.generation.0 {
            return None;
        }
        if !self.accounts.admits(session, order.account) {
            return None;
        }
        let inbound = session.next_inbound(header.inbound_seq)?;
        let instrument = self.instruments.get(order.instrument.0 as usize)?;
        if !instrument.takes_plain()
            || !instrument.is_defined()
            || !instrument.is_quantity(order.quantity)
        {
            return None;
        }
        let tick = instrument.plain_tick(order.price)?;
        #[allow(clippy::cast_possible_truncation, reason = "it is defined")]
        let reach = instrument.reach(order.instrument.0 as u16, side, tick);
        if order.client_order_id.is_none()
            || !self.orders.has_ids()
            || !self.ladders.has_room(reach.ladder, reach.key)
        {
            return None;
        }
        let hash = self.ids.hash(header.session, &order.client_order_id);
        let vacancy = self.ids.vacancy(hash)?;
        if time == TimeInForce::ImmediateOrCancel.as_u8()
            || self.ladders.reaches(reach.opposite, reach.worst)
        {
            if !self.orders.has_room() {
                return None;
            }
            let time = TimeInForce::try_from(time).ok()?;
            session.inbound = inbound;
            let bucket = vacancy.fill(NIL);
            let admission = Admission::plain(side, time, tick, order.price);
            return Some(self.enter_admitted(order, &admission, bucket, sink));
        }
        let slot = self.orders.next_free()?;

        // It is accepted, and rests.
        session.inbound = inbound;
        let bucket = vacancy.fill(slot);
        self.rest_plain(enter, sink, slot, bucket, reach.ladder, reach.key);
        Some(Progress::Done)
    }

    /// A plain order of which nothing trades gets the next free slot. It is in a function of its own
    /// because the two together would have more at hand than a processor has registers.
    #[inline(never)]
    fn rest_plain(
        &mut self,
        enter: &Whole<EnterOrder>,
        sink: &mut impl EventSink,
        slot: u32,
        bucket: u32,
        ladder: u32,
        key: u32,
    ) {
        let Whole {
            header,
            body: order,
        } = enter;
        let (place, prev) = self.ladders.join(ladder, key, slot, order.quantity.0, 0);
        let session = &mut self.sessions[header.session.0 as usize];
        let number = session.next_outbound;
        session.next_outbound = number + 1;
        let before = std::mem::replace(&mut session.newest, slot);
        let epoch = session.epoch;
        if before == NIL {
            session.oldest = slot;
        } else {
            self.orders.slots[before as usize].own.next = slot;
        }
        if prev != NIL {
            self.orders.slots[prev as usize].hot.next = slot;
        }
        self.executions += 1;
        let (order_id, at) = self.orders.claim(slot);
        let &[a, b, c, d, e, price, quantity, which, terms] = order.words();
        let state = [
            order_id.0,
            self.executions,
            a,
            b,
            c,
            d,
            e,
            price,
            quantity,
            quantity,
            0,
            0,
            0,
            which,
            terms & !POSSIBLE_RESEND,
        ];
        at.hot.next = NIL;
        at.hot.prev = prev;
        at.hot.tick = place.tick(self.instruments[order.instrument.0 as usize].last_tick);
        #[allow(clippy::cast_possible_truncation, reason = "it is defined")]
        {
            at.hot.instrument = order.instrument.0 as u16;
        }
        at.hot.flags = AT_REST;
        at.hot.leaves = quantity;
        at.place = place;
        at.own = Own {
            next: NIL,
            prev: before,
        };
        at.cold.session = header.session;
        at.cold.bucket = bucket;
        at.cold.state = zerocopy::transmute!(state);
        let index = self.cause.events;
        self.cause.events = index + 1;
        let first = words::first::<OrderAccepted>(Reason::None);
        let header = answer(first, header, number, epoch, index);
        sink.write([header.as_bytes(), state.as_bytes(), &[]]);
    }

    /// A cancel of a plain order at rest by its ClientOrderId. Returns whether it was one; if not,
    /// nothing was done.
    #[inline(always)]
    pub(super) fn cancel_plain(
        &mut self,
        cancel: &Whole<CancelOrder>,
        sink: &mut impl EventSink,
    ) -> bool {
        self.try_cancel_plain(cancel, sink).is_some()
    }

    #[inline(never)]
    fn try_cancel_plain(
        &mut self,
        cancel: &Whole<CancelOrder>,
        sink: &mut impl EventSink,
    ) -> Option<()> {
        let Whole {
            header,
            body: cancel,
        } = cancel;
        let session = self.sessions.get_mut(header.session.0 as usize)?;
        if !session.connected || session.generation != header.generation.0 {
            return None;
        }
        let inbound = session.next_inbound(header.inbound_seq)?;
        let original = &cancel.original;
        if cancel.client_order_id.is_none() || original.is_none() {
            return None;
        }
        let hash = self.ids.hash(header.session, original);
        let (bucket, slot) = self.ids.leads_to(hash)?;
        let at = self.orders.slots.get(slot as usize)?;
        let meant = Meant {
            session: header.session,
            original,
            order_id: cancel.order_id,
            instrument: cancel.instrument,
            side: cancel.side,
        };
        if !meant.is_plain(at) {
            return None;
        }
        let instrument = self.instruments.get(usize::from(at.hot.instrument))?;
        if !instrument.trades() {
            return None;
        }

        // It ends.
        session.inbound = inbound;
        self.ids.set_ended(bucket, OrderStatus::Canceled);
        self.end_plain(slot, header, &cancel.client_order_id, sink);
        Some(())
    }

    /// An order at rest ends at its owner's request.
    #[inline(never)]
    fn end_plain(
        &mut self,
        slot: u32,
        header: &CommandHeader,
        request: &ClientOrderId,
        sink: &mut impl EventSink,
    ) {
        let place = self.orders.slots[slot as usize].place;
        self.ladders.remove(&mut self.orders, place, slot);
        self.executions += 1;
        let session = &mut self.sessions[header.session.0 as usize];
        session.unlist(slot, &mut self.orders);
        let at = &self.orders.slots[slot as usize];
        let canceled = Quantity(at.hot.leaves);
        let state = OrderState {
            exec_id: ExecId(self.executions),
            leaves: Quantity(0),
            status: OrderStatus::Canceled.as_u8(),
            ..at.cold.state
        };
        self.orders.put_back(slot);
        let index = self.cause.events;
        self.cause.events = index + 1;
        let number = session.next_outbound;
        session.next_outbound = number + 1;
        let first = words::first::<OrderCanceled>(Reason::CanceledByRequest);
        let header = answer(first, header, number, session.epoch, index);
        let rest = CancelRest {
            request: *request,
            canceled,
            reserved: 0,
        };
        sink.write([header.as_bytes(), state.as_bytes(), rest.as_bytes()]);
    }

    /// A replace of a plain order at rest by its ClientOrderId, after which it rests too. Returns
    /// whether it was one; if not, nothing was done.
    #[inline(always)]
    pub(super) fn replace_plain(
        &mut self,
        replace: &Whole<ReplaceOrder>,
        sink: &mut impl EventSink,
    ) -> bool {
        self.try_replace_plain(replace, sink).is_some()
    }

    #[inline(never)]
    fn try_replace_plain(
        &mut self,
        whole: &Whole<ReplaceOrder>,
        sink: &mut impl EventSink,
    ) -> Option<()> {
        let Whole {
            header,
            body: replace,
        } = whole;
        let session = self.sessions.get_mut(header.session.0 as usize)?;
        if !session.enters_plain() || session.generation != header.generation.0 {
            return None;
        }
        let inbound = session.next_inbound(header.inbound_seq)?;
        let original = &replace.original;
        if replace.client_order_id.is_none() || original.is_none() {
            return None;
        }
        let (_, slot) = self.ids.leads_to(self.ids.hash(header.session, original))?;
        let at = self.orders.slots.get(slot as usize)?;
        let meant = Meant {
            session: header.session,
            original,
            order_id: replace.order_id,
            instrument: replace.instrument,
            side: replace.side,
        };
        let state = &at.cold.state;
        let limit = OrderType::Limit.as_u8();
        let stated = (replace.order_type == 0 || replace.order_type == limit)
            && (replace.time_in_force == NOT_STATED
                || replace.time_in_force == state.time_in_force)
            && replace.stated == 0;
        if !meant.is_plain(at)
            || !stated
            || state.order_type != limit
            || replace.quantity <= state.cumulative
        {
            return None;
        }
        if !self.accounts.admits(session, state.account) {
            return None;
        }
        let instrument = self.instruments.get(usize::from(at.hot.instrument))?;
        if !instrument.takes_plain() || !instrument.is_quantity(replace.quantity) {
            return None;
        }
        let tick = instrument.plain_tick(replace.price)?;
        let reach = instrument.reach(at.hot.instrument, at.cold.side(), tick);
        if !self.ladders.has_room(reach.ladder, reach.key)
            || self.ladders.reaches(reach.opposite, reach.worst)
        {
            return None;
        }
        let hash = self.ids.hash(header.session, &replace.client_order_id);
        let vacancy = self.ids.vacancy(hash)?;

        // It rests where it is to.
        session.inbound = inbound;
        let bucket = vacancy.fill(slot);
        self.change_plain(whole, sink, slot, bucket, tick, &reach);
        Some(())
    }

    /// An order at rest gets another id, price and size, and loses its place unless it only shrinks.
    #[inline(never)]
    fn change_plain(
        &mut self,
        replace: &Whole<ReplaceOrder>,
        sink: &mut impl EventSink,
        slot: u32,
        bucket: u32,
        tick: u32,
        reach: &Reach,
    ) {
        let Whole {
            header,
            body: replace,
        } = replace;
        let at = &mut self.orders.slots[slot as usize];
        let leaves = at.hot.leaves;
        let open = replace.quantity.0 - at.cold.state.cumulative.0;
        let keeps = tick == at.hot.tick && open <= leaves;
        if keeps {
            self.ladders.at_mut(at.place).lots -= leaves - open;
            at.hot.leaves = open;
        } else {
            let place = at.place;
            self.ladders.remove(&mut self.orders, place, slot);
            let (place, prev) = self.ladders.join(reach.ladder, reach.key, slot, open, 0);
            if prev != NIL {
                self.orders.slots[prev as usize].hot.next = slot;
            }
            let at = &mut self.orders.slots[slot as usize];
            at.hot.prev = prev;
            at.hot.tick = tick;
            at.hot.leaves = open;
            at.place = place;
        }
        self.executions += 1;
        let cold = &mut self.orders.slots[slot as usize].cold;
        cold.bucket = bucket;
        let status = cold.open_status().as_u8();
        let state = &mut cold.state;
        let rest = ReplaceRest {
            original: state.client_order_id,
            previous_price: state.price,
            previous_leaves: Quantity(leaves),
            priority_kept: u64::from(keeps),
        };
        state.exec_id = ExecId(self.executions);
        state.client_order_id = replace.client_order_id;
        state.price = replace.price;
        state.quantity = replace.quantity;
        state.leaves = Quantity(open);
        state.status = status;
        let index = self.cause.events;
        self.cause.events = index + 1;
        let session = &mut self.sessions[header.session.0 as usize];
        let number = session.next_outbound;
        session.next_outbound = number + 1;
        let first = words::first::<OrderReplaced>(Reason::None);
        let header = answer(first, header, number, session.epoch, index);
        sink.write([header.as_bytes(), cold.state.as_bytes(), rest.as_bytes()]);
    }

    /// A trade of two orders that have nothing but a limit, or nothing that matters once they trade:
    /// the order in `taker`, of which so many lots are open, with the first of a level. Returns the
    /// lots.
    #[inline(always)]
    pub(super) fn trade_plain(
        &mut self,
        place: Place,
        maker: u32,
        taker: u32,
        open: u64,
        sink: &mut impl EventSink,
    ) -> u64 {
        let at = &self.orders.slots[maker as usize];
        let price = at.cold.state.price;
        let lots = at.hot.leaves.min(open);
        debug_assert!(
            lots > 0,
            "Invariant: nothing rests or matches with zero lots"
        );
        let is_filled = lots == at.hot.leaves;
        if is_filled {
            self.ladders.remove(&mut self.orders, place, maker);
        } else {
            self.ladders.at_mut(place).lots -= lots;
        }
        self.trades += 1;
        self.fill_plain(maker, lots, price, Liquidity::Added, sink);
        self.fill_plain(taker, lots, price, Liquidity::Removed, sink);
        if is_filled {
            let cold = &self.orders.slots[maker as usize].cold;
            self.ids.set_ended(cold.bucket, OrderStatus::Filled);
            self.sessions[cold.session.0 as usize].unlist(maker, &mut self.orders);
            self.orders.put_back(maker);
        }
        lots
    }

    /// A fill of an order, and the word of it.
    #[inline(never)]
    fn fill_plain(
        &mut self,
        slot: u32,
        lots: u64,
        price: Price,
        liquidity: Liquidity,
        sink: &mut impl EventSink,
    ) {
        let at = &mut self.orders.slots[slot as usize];
        let cold = &mut at.cold;
        let left = at.hot.leaves - lots;
        at.hot.leaves = left;
        cold.fill(lots, price);
        self.executions += 1;
        cold.state.exec_id = ExecId(self.executions);
        cold.state.leaves = Quantity(left);
        cold.state.status = if left == 0 {
            OrderStatus::Filled.as_u8()
        } else {
            OrderStatus::PartiallyFilled.as_u8()
        };
        debug_assert!(
            left + cold.state.cumulative.0 == cold.state.quantity.0,
            "Invariant: leaves + filled = ordered"
        );
        let whose = cold.session;
        let index = self.cause.events;
        self.cause.events = index + 1;
        let session = &mut self.sessions[whose.0 as usize];
        let number = session.next_outbound;
        session.next_outbound = number + 1;
        let inbound = if self.asking.0 == whose {
            self.asking.1
        } else {
            0
        };
        let header = [
            words::first::<Fill>(Reason::None),
            self.sequence.0,
            self.sequenced_at.0,
            self.cause.received_at.0,
            u64::from(whose.0) | u64::from(session.generation) << 32,
            number,
            inbound,
            u64::from(session.epoch) | u64::from(index) << 32,
            0,
        ];
        let rest = [
            self.trades,
            price.0.cast_unsigned(),
            lots,
            u64::from(liquidity.as_u8()),
        ];
        sink.write([header.as_bytes(), cold.state.as_bytes(), rest.as_bytes()]);
    }
}

/// Header of a command's numbered answer to its session.
#[inline(always)]
fn answer(first: u64, header: &CommandHeader, number: u64, epoch: u32, index: u32) -> [u64; 9] {
    let [_, sequence, sequenced_at, received_at, whose, inbound] = *header.words();
    [
        first,
        sequence,
        sequenced_at,
        received_at,
        whose,
        number,
        inbound,
        u64::from(epoch) | u64::from(index) << 32,
        0,
    ]
}

/// What a request states of the order that it means; 0 = nothing.
struct Meant<'a> {
    session: SessionId,
    original: &'a ClientOrderId,
    order_id: OrderId,
    instrument: InstrumentId,
    side: u8,
}

impl Meant<'_> {
    /// Whether this is that order, and a plain one at rest.
    #[inline(always)]
    fn is_plain(&self, at: &Slot) -> bool {
        let state = &at.cold.state;
        at.hot.entry != 0
            && at.hot.flags == AT_REST
            && at.cold.session == self.session
            && state.client_order_id == *self.original
            && (self.order_id.0 == 0 || self.order_id == state.order_id)
            && (self.instrument.0 == 0 || self.instrument == state.instrument)
            && (self.side == 0 || self.side == state.side)
    }
}

/// What a report of a replace has behind the order.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct ReplaceRest {
    original: ClientOrderId,
    previous_price: Price,
    previous_leaves: Quantity,
    priority_kept: u64,
}

/// What a report of a cancel has behind the order.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct CancelRest {
    request: ClientOrderId,
    canceled: Quantity,
    reserved: u64,
}

const _: () = assert!(
    size_of::<OrderCanceled>() == size_of::<OrderState>() + size_of::<CancelRest>()
        && size_of::<Fill>() == size_of::<OrderState>() + 4 * size_of::<u64>()
        && size_of::<OrderAccepted>() == size_of::<OrderState>()
        && size_of::<OrderReplaced>() == size_of::<OrderState>() + size_of::<ReplaceRest>()
);
