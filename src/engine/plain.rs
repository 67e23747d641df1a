//! The way of plain orders: limit orders that trade now, by a session and in an instrument that no
//! rule is set for, and cancels of them by their id. Nearly every command of a busy venue is one.
//!
//! Everything is looked at before anything changes, and what is not plain, or not right, goes the
//! general way (`entry`, `requests`) as if nobody had looked: nothing is refused here. What is done
//! here is what the general way would do, in fewer steps: `tests/engine_differential.rs` and the
//! scenarios drive both.

use trading_engine_protocol::types::{
    ExecId, OrderStatus, OrderType, Quantity, Reason, Side, TimeInForce,
};

use super::command::{CancelOrder, CommandHeader, EnterOrder};
use super::event::{Event, EventSink, OrderAccepted, OrderCanceled, OrderState};
use super::order::Flags;
use super::{Engine, Progress};

/// An order's last eight bytes: what is plain about it, but for its side, its time in force and
/// `possible_resend`, which matters to what is refused.
const PLAIN_TERMS: u64 = (OrderType::Limit.as_u8() as u64) << 8;
const PLAIN_MASK: u64 = 0xFFFF_FFFF_0000_FF00;
/// Times in force that need nothing more, as bits.
const PLAIN_TIMES: u32 = 1 << TimeInForce::Day.as_u8()
    | 1 << TimeInForce::GoodTillCancel.as_u8()
    | 1 << TimeInForce::ImmediateOrCancel.as_u8();

/// What an order at rest has that is nothing but a limit order.
const AT_REST: Flags = Flags::RESTS.with(Flags::LISTED);

impl Engine {
    /// A plain order. `None`: it is none, and nothing was done.
    #[inline(always)]
    pub(super) fn enter_plain(
        &mut self,
        header: &CommandHeader,
        order: &EnterOrder,
        sink: &mut impl EventSink,
    ) -> Option<Progress> {
        let [low, high] = order.protection_group.to_le_bytes();
        let terms = u64::from_le_bytes([
            order.side,
            order.order_type,
            order.time_in_force,
            order.possible_resend,
            order.instructions,
            order.self_trade_prevention,
            low,
            high,
        ]);
        let time = order.time_in_force;
        if terms & PLAIN_MASK != PLAIN_TERMS || time >= 32 || PLAIN_TIMES >> time & 1 == 0 {
            return None;
        }
        let side = Side::try_from(order.side).ok()?;
        let session = self.sessions.get_mut(header.session.0 as usize)?;
        if !session.enters_plain() || session.generation != header.generation.0 {
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
        let id = order.client_order_id;
        if id.is_none() || !self.ids.has_room() {
            return None;
        }
        let hash = self.ids.hash(header.session, &id);
        let bucket = self.ids.vacant(hash)?;
        #[allow(clippy::cast_possible_truncation, reason = "it is defined")]
        let reach = instrument.reach(order.instrument.0 as u16, side, tick);
        if !self.orders.has_room()
            || !self.orders.has_ids()
            || !self.ladders.has_room(reach.ladder, reach.key)
        {
            return None;
        }

        // It is accepted.
        session.inbound = inbound;
        let trades = self.ladders.reaches(reach.opposite, reach.worst);
        let flags = if time == TimeInForce::ImmediateOrCancel.as_u8() {
            Flags::default()
        } else if trades {
            Flags::RESTS
        } else {
            AT_REST
        };
        let slot = self
            .orders
            .take(reach.instrument, tick, order.quantity.0, flags);
        self.ids.insert_at(bucket, hash, slot);
        self.executions += 1;
        let order_id = self.orders.order_id(slot);
        let at = &mut self.orders.slots[slot as usize];
        at.cold.session = header.session;
        at.cold.bucket = bucket;
        let state = OrderState {
            order_id,
            exec_id: ExecId(self.executions),
            client_order_id: id,
            price: order.price,
            quantity: order.quantity,
            leaves: order.quantity,
            cumulative: Quantity(0),
            notional: [0; 2],
            instrument: order.instrument,
            account: order.account,
            side: order.side,
            order_type: order.order_type,
            time_in_force: time,
            status: OrderStatus::New.as_u8(),
            instructions: 0,
            self_trade_prevention: 0,
            protection_group: 0,
        };
        at.cold.state = state;
        if flags == AT_REST {
            session.list(slot, &mut self.orders);
        }
        let cause = self.cause.next(header.sequence, header.sequenced_at);
        let header = session.next_header(cause, Reason::None, header.inbound_seq);
        Event::new(header, OrderAccepted { order: state }).write_to(sink);
        if trades || flags != AT_REST {
            return Some(self.match_within(slot, &reach, sink));
        }
        self.ladders
            .append_here(&mut self.orders, reach.ladder, reach.key, slot);
        Some(Progress::Done)
    }

    /// A cancel of a plain order at rest by its ClientOrderId. Returns whether it was one; if not,
    /// nothing was done.
    #[inline(always)]
    pub(super) fn cancel_plain(
        &mut self,
        header: &CommandHeader,
        cancel: &CancelOrder,
        sink: &mut impl EventSink,
    ) -> bool {
        self.try_cancel_plain(header, cancel, sink).is_some()
    }

    #[inline(always)]
    fn try_cancel_plain(
        &mut self,
        header: &CommandHeader,
        cancel: &CancelOrder,
        sink: &mut impl EventSink,
    ) -> Option<()> {
        let session = self.sessions.get_mut(header.session.0 as usize)?;
        if !session.connected || session.generation != header.generation.0 {
            return None;
        }
        let inbound = session.next_inbound(header.inbound_seq)?;
        let original = cancel.original;
        if cancel.client_order_id.is_none() || original.is_none() {
            return None;
        }
        let hash = self.ids.hash(header.session, &original);
        let (bucket, slot) = self.ids.leads_to(hash)?;
        let at = self.orders.slots.get_mut(slot as usize)?;
        let state = &at.cold.state;
        let stated = (cancel.order_id.0 == 0 || cancel.order_id == state.order_id)
            && (cancel.instrument.0 == 0 || cancel.instrument == state.instrument)
            && (cancel.side == 0 || cancel.side == state.side);
        if at.hot.entry == 0
            || at.hot.flags != AT_REST
            || at.cold.session != header.session
            || state.client_order_id != original
            || !stated
        {
            return None;
        }
        let instrument = self.instruments.get(usize::from(at.hot.instrument))?;
        if !instrument.trades() {
            return None;
        }

        // It ends.
        session.inbound = inbound;
        self.executions += 1;
        let canceled = Quantity(at.hot.leaves);
        let state = OrderState {
            exec_id: ExecId(self.executions),
            leaves: Quantity(0),
            status: OrderStatus::Canceled.as_u8(),
            ..at.cold.state
        };
        let place = at.place;
        self.ladders.remove(&mut self.orders, place, slot);
        session.unlist(slot, &mut self.orders);
        self.ids.set_ended(bucket, OrderStatus::Canceled);
        self.orders.put_back(slot);
        let cause = self.cause.next(header.sequence, header.sequenced_at);
        let header = session.next_header(cause, Reason::CanceledByRequest, header.inbound_seq);
        let body = OrderCanceled {
            order: state,
            request: cancel.client_order_id,
            canceled,
            reserved: 0,
        };
        Event::new(header, body).write_to(sink);
        Some(())
    }
}
