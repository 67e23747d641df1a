//! What orders are, for who asks: one, or all of the session at one point of the log.

use trading_engine_protocol::types::{ExecId, OrderId, Quantity, Reason};

use super::collect::{Meant, Purpose};
use super::command::{CommandKind, OrderStatusRequest, OrderTerms};
use super::event::{EventSink, OrderStatusReport, QuoteStatusAnswered};
use super::mass_cancel::Owners;
use super::order::Flags;
use super::requests::Refusal;
use super::{Engine, Progress, Work};
use crate::limits::STEP_EVENTS_MAX;

/// Orders a step may state.
const ORDERS_PER_STEP: usize = STEP_EVENTS_MAX - 2;

/// How an order waits.
const WAITS_AS_STOP: u8 = 1;
const WAITS_FOR_AUCTION: u8 = 2;

impl Engine {
    pub(super) fn order_status(
        &mut self,
        request: &OrderStatusRequest,
        sink: &mut impl EventSink,
    ) -> Progress {
        let rate = self.check_rate();
        self.status = OrderStatusReport {
            request: request.client_order_id,
            total: 1,
            is_last: 1,
            all: u8::from(request.all != 0),
            ..OrderStatusReport::default()
        };
        if request.all == 0 {
            self.state_one(request, rate, sink);
            return Progress::Done;
        }
        if let Err(reason) = rate {
            self.state_none(reason, sink);
            return Progress::Done;
        }
        let (instrument, side) = (request.instrument, request.side);
        let place = self.orders_of_owners(Owners::Session(self.asking.0));
        let meant = Meant::OfStatus { instrument, side };
        self.search(place, meant, Purpose::State, sink)
    }

    /// All that is asked for is in `scratch`.
    pub(super) fn state_found(&mut self, sink: &mut impl EventSink) -> Progress {
        // Fits: there are at most 2^24 orders.
        self.status.total = u32::try_from(self.scratch.len()).unwrap_or(u32::MAX);
        if self.scratch.is_empty() {
            self.state_none(Reason::None, sink);
            self.work = Work::Nothing;
            return Progress::Done;
        }
        // The first was taken when it was asked for.
        if self.is_limited(self.asking.0) {
            self.take_more_messages(self.status.total - 1);
        }
        self.status_from(0, sink)
    }

    /// The answer to who asked for all, and is told of none.
    fn state_none(&mut self, reason: Reason, sink: &mut impl EventSink) {
        let none = OrderStatusReport {
            total: 0,
            terms: OrderTerms::NONE,
            ..self.status
        };
        self.tell(sink, self.asking.0, reason, none);
    }

    /// States what `scratch` names, from `next` on. Nothing comes in between, so all of it is there.
    pub(super) fn status_from(&mut self, next: usize, sink: &mut impl EventSink) -> Progress {
        let last = self.scratch.len().min(next + ORDERS_PER_STEP);
        for index in next..last {
            if let Some(slot) = self.orders.find(OrderId(self.scratch[index])) {
                let is_last = index + 1 == self.scratch.len();
                self.state_order(slot, is_last, sink);
            }
        }
        if last < self.scratch.len() {
            self.work = Work::Status { next: last };
            return Progress::More;
        }
        self.work = Work::Nothing;
        Progress::Done
    }

    /// An order that is not open is answered like a cancel of it.
    fn state_one(
        &mut self,
        request: &OrderStatusRequest,
        rate: Result<(), Reason>,
        sink: &mut impl EventSink,
    ) {
        match self.check_status(request, rate) {
            Ok(slot) => self.state_order(slot, true, sink),
            Err(refusal) => self.refuse_with(
                CommandKind::OrderStatusRequest,
                (request.client_order_id, request.original),
                &refusal,
                sink,
            ),
        }
    }

    fn check_status(
        &self,
        request: &OrderStatusRequest,
        rate: Result<(), Reason>,
    ) -> Result<u32, Refusal> {
        // A quote has an OrderId and no ClientOrderId.
        let by_id = self.orders.find(request.order_id).filter(|&slot| {
            request.original.is_none()
                && self.orders.slots[slot as usize].cold.session == self.asking.0
        });
        let slot = match by_id {
            Some(slot) => Ok(slot),
            None => (self.target(request.order_id, &request.original)).map(|target| target.slot),
        };
        let found = slot.and_then(|slot| {
            self.check_stated(slot, request.instrument, request.side)?;
            Ok(slot)
        });
        // The rate is what is said of any question beyond it, or who asks for what is not there would be answered
        // without end. If it is known what the order is, who is refused is not told that it is rejected.
        match (rate, found) {
            (Ok(()), found) => found,
            (Err(reason), Ok(slot)) => Err(self.refusal(slot, reason)),
            (Err(reason), Err(refusal)) => Err(refusal.because(reason)),
        }
    }

    fn state_order(&mut self, slot: u32, is_last: bool, sink: &mut impl EventSink) {
        let hot = &self.orders.slots[slot as usize].hot;
        let cold = &self.orders.slots[slot as usize].cold;
        let waits = if hot.flags.any(Flags::WAITING) {
            WAITS_AS_STOP
        } else if hot.flags.any(Flags::PARKED) {
            WAITS_FOR_AUCTION
        } else {
            0
        };
        let terms = if hot.flags.any(Flags::TERMS) {
            self.orders.extra[slot as usize].terms
        } else {
            OrderTerms::NONE
        };
        let order = self.order_state(slot, ExecId(0), cold.open_status());
        let body = OrderStatusReport {
            order,
            terms,
            is_last: u8::from(is_last),
            is_quote: u8::from(hot.flags.any(Flags::QUOTE)),
            waits,
            shown: Quantity(if waits == 0 { hot.leaves } else { 0 }),
            ..self.status
        };
        if !hot.flags.any(Flags::QUOTE) {
            self.tell(sink, self.asking.0, Reason::None, body);
            return;
        }
        let quote = self.quotes.record(cold.bucket);
        let body = QuoteStatusAnswered {
            report: body,
            entry_id: quote.entry_id,
            layer: quote.name.layer,
            ..QuoteStatusAnswered::default()
        };
        self.tell(sink, self.asking.0, Reason::None, body);
    }
}
