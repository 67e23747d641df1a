//! The trading day: what ends with it, what is carried over, and the times at which orders end.

use trading_engine_protocol::types::{OrderId, OrderStatus, Quantity, Reason, SessionId, UtcNanos};

use super::collect::{Meant, Place, Purpose};
use super::command::CommandKind;
use super::deadlines::{Deadline, Places, Whose};
use super::event::{DayRolled, EventSink, OrderRestated};
use super::instrument::Instrument;
use super::order::{Extra, Flags};
use super::session::SessionState;
use super::{Engine, Progress, Work};
use crate::limits::{ORDER_SLOT_BITS, STEP_EVENTS_MAX, STEP_VISITS_MAX};

/// Orders a step may end or restate.
const ORDERS_PER_STEP: usize = STEP_EVENTS_MAX - 2;

/// Where the owners of deadlines remember their places.
pub(super) struct Owners<'a> {
    extra: &'a mut [Extra],
    sessions: &'a mut [SessionState],
    instruments: &'a mut [Instrument],
}

impl Places for Owners<'_> {
    fn moved(&mut self, whose: Whose, place: u32) {
        match whose {
            Whose::Session(code) => {
                self.sessions[(code >> 1) as usize].deadlines[(code & 1) as usize] = place;
            }
            Whose::Instrument(code) => {
                self.instruments[(code >> 1) as usize].deadlines[(code & 1) as usize] = place;
            }
            #[allow(clippy::cast_possible_truncation, reason = "masked to 24 bits")]
            Whose::Order(id) => {
                self.extra[(id & ((1 << ORDER_SLOT_BITS) - 1)) as usize].deadline = place;
            }
            // It is added when there is something to tell and met when it is the first.
            Whose::Limits => {}
        }
    }
}

impl Engine {
    pub(super) fn add_deadline(&mut self, at: UtcNanos, whose: Whose) {
        let mut owners = Owners {
            extra: &mut self.orders.extra,
            sessions: &mut self.sessions,
            instruments: &mut self.instruments,
        };
        self.deadlines.add(Deadline { at, whose }, &mut owners);
        self.next_deadline = self.deadlines.next_at();
    }

    pub(super) fn remove_deadline(&mut self, place: u32) {
        let mut owners = Owners {
            extra: &mut self.orders.extra,
            sessions: &mut self.sessions,
            instruments: &mut self.instruments,
        };
        self.deadlines.remove(place, &mut owners);
        self.next_deadline = self.deadlines.next_at();
    }

    /// A good-till-date order gets its end.
    pub(super) fn add_expiry(&mut self, slot: u32, at: UtcNanos) {
        let id = self.orders.order_id(slot).0;
        self.add_deadline(at, Whose::Order(id));
    }

    pub(super) fn remove_expiry(&mut self, slot: u32) {
        let place = self.orders.extra[slot as usize].deadline;
        self.remove_deadline(place);
    }

    /// Does what is due at the command's time, one owner after the other.
    pub(super) fn meet_deadlines(&mut self, sink: &mut impl EventSink) -> Progress {
        for met in 0..ORDERS_PER_STEP {
            let due = self
                .deadlines
                .first()
                .filter(|first| first.at <= self.sequenced_at);
            match due.map(|first| first.whose) {
                None if met == 0 => return self.begin_held(sink),
                // The command that waits has a step's room for itself.
                None => break,
                Some(Whose::Order(id)) => match self.orders.find(OrderId(id)) {
                    Some(slot) => {
                        self.take_off(slot);
                        let reason = Reason::ExpireTimeReached;
                        self.end(slot, OrderStatus::Expired, reason, sink);
                    }
                    // Cannot be: an order takes its deadline along.
                    None => self.remove_deadline(0),
                },
                Some(Whose::Session(code)) if met == 0 => {
                    return self.cancel_session_at_deadline(code, sink);
                }
                Some(Whose::Instrument(code)) if met == 0 => {
                    return self.meet_instrument_deadline(code, sink);
                }
                Some(Whose::Limits) if met == 0 => return self.tell_stopped(sink),
                // Its orders, too, have a step's room for themselves.
                Some(Whose::Session(_) | Whose::Instrument(_) | Whose::Limits) => break,
            }
        }
        self.work = Work::Deadlines;
        Progress::More
    }

    /// The trading day ends: Day orders expire in ascending order id, then ids are free,
    /// sessions roll, and what is left is restated under its id.
    pub(super) fn day_roll(&mut self, trading_day: u32, sink: &mut impl EventSink) -> Progress {
        if trading_day <= self.trading_day {
            self.refuse(sink, CommandKind::DayRoll, Reason::InvalidDefinition);
            return Progress::Done;
        }
        let purpose = Purpose::EndWithDay { trading_day };
        self.search(Place::Slots { slot: 0 }, Meant::All, purpose, sink)
    }

    pub(super) fn expire_from(
        &mut self,
        next: usize,
        trading_day: u32,
        sink: &mut impl EventSink,
    ) -> Progress {
        let last = self.scratch.len().min(next + ORDERS_PER_STEP);
        for index in next..last {
            if let Some(slot) = self.orders.find(OrderId(self.scratch[index]))
                && self.orders.slots[slot as usize].cold.ends_with_day()
            {
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
            self.risk.roll();
            self.amended.forget(self.trades);
            for instrument in &mut self.instruments {
                instrument.closed = instrument.traded;
            }
            Work::ForgetIds { trading_day }
        };
        Progress::More
    }

    pub(super) fn forget_ids(&mut self, trading_day: u32) -> Progress {
        if !self.ids.forget(STEP_VISITS_MAX) {
            self.work = Work::RollSessions {
                next: 0,
                trading_day,
            };
        }
        Progress::More
    }

    pub(super) fn roll_sessions_from(
        &mut self,
        next: usize,
        trading_day: u32,
        sink: &mut impl EventSink,
    ) -> Progress {
        self.work = match self.roll_sessions(next, sink) {
            Some(next) => Work::RollSessions { next, trading_day },
            None => Work::CarryOver {
                next: 0,
                trading_day,
            },
        };
        Progress::More
    }

    /// Orders that outlive the day keep their ids, and their sessions are told so under the
    /// numbers of the new one.
    pub(super) fn carry_over_from(
        &mut self,
        next: usize,
        trading_day: u32,
        sink: &mut impl EventSink,
    ) -> Progress {
        let last = self.scratch.len().min(next + ORDERS_PER_STEP);
        for index in next..last {
            let Some(slot) = self.orders.find(OrderId(self.scratch[index])) else {
                continue;
            };
            let cold = &self.orders.slots[slot as usize].cold;
            let hash = self.ids.hash(cold.session, &cold.state.client_order_id);
            // There is room and no duplicate: every open order has one id of its own.
            if let Some(bucket) = self.ids.insert(hash) {
                self.ids.set_slot(bucket, slot);
                self.orders.slots[slot as usize].cold.bucket = bucket;
            }
            let status = self.orders.slots[slot as usize].cold.open_status();
            let hot = &self.orders.slots[slot as usize].hot;
            let waiting = hot.flags.any(Flags::WAITING.with(Flags::PARKED));
            let body = OrderRestated {
                shown: Quantity(if waiting { 0 } else { hot.leaves }),
                ..OrderRestated::default()
            };
            self.report(sink, slot, status, Reason::CarriedOver, &body);
        }
        if last < self.scratch.len() {
            self.work = Work::CarryOver {
                next: last,
                trading_day,
            };
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
