//! Cancels of many orders at one point of the log: asked for, or due because a session is gone.
//! Those of many sessions are canceled in ascending order id over all of them.
//!
//! Every session has a list of its orders at rest in ascending order id, so that a cancel costs
//! what it cancels, whatever else is in the books.

use trading_engine_protocol::types::{
    FirmId, InstrumentId, MassCancelScope, OrderId, OrderStatus, Reason, SessionId, Side,
    TradingPhase, UtcNanos,
};

use super::collect::{Meant, Purpose};
use super::command::{CancelAfter, MassCancel, SessionDisconnected};
use super::deadlines::{NOWHERE, Whose};
use super::event::{CancelAfterSet, EventSink, MassCancelDone};
use super::order::Flags;
use super::{Engine, Progress, Work};
use crate::limits::STEP_EVENTS_MAX;

/// Orders a step may cancel.
const CANCELS_PER_STEP: usize = STEP_EVENTS_MAX - 2;
/// Which of a session's deadlines.
const LOST: u32 = 0;
const NOT_RENEWED: u32 = 1;
/// Bits of `cancel_on_disconnect`.
const WHEN_LOST: u8 = 1;
const AT_LOGOUT: u8 = 2;

/// `MassCancel::kinds`.
const ORDERS_AND_QUOTES: u8 = 0;
const ONLY_QUOTES: u8 = 1;
const ONLY_ORDERS: u8 = 2;

/// Whose orders are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owners {
    Session(SessionId),
    /// All sessions of a user; of the firm's, or of every firm's.
    User {
        firm: Option<FirmId>,
        user: u32,
    },
    Firm(FirmId),
    All,
}

/// What comes after the last cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// `MassCancelDone`, as `Engine::mass_cancel` has it.
    Answer,
    /// `KillSwitchDone`, as `Engine::kill_switch` has it.
    AnswerKillSwitch,
    /// Other deadlines.
    Deadlines,
}

impl Engine {
    /// An order came to rest.
    #[inline]
    pub(super) fn list(&mut self, slot: u32) {
        let order = &mut self.orders.slots[slot as usize];
        let flags = order.hot.flags;
        order.hot.flags = flags.with(Flags::LISTED);
        self.sessions[order.cold.session.0 as usize].list(slot, &mut self.orders);
        if flags.any(Flags::PROTECTED) {
            self.join_group(slot);
        }
    }

    /// An order that was at rest ended.
    #[inline]
    pub(super) fn unlist(&mut self, slot: u32) {
        let session = self.orders.slots[slot as usize].cold.session;
        self.sessions[session.0 as usize].unlist(slot, &mut self.orders);
    }

    pub(super) fn mass_cancel(
        &mut self,
        request: &MassCancel,
        sink: &mut impl EventSink,
    ) -> Progress {
        let session = self.asking.0;
        self.mass_canceled = MassCancelDone {
            client_order_id: request.client_order_id,
            product: request.product,
            instrument: request.instrument,
            scope: request.scope,
            side: request.side,
            protection_group: request.protection_group,
            account: request.account,
            kinds: request.kinds,
            by_account: request.by_account,
            request_type: request.request_type,
            ..MassCancelDone::default()
        };
        let owners = match self.check_mass_cancel(request) {
            Ok(owners) => owners,
            Err(reason) => {
                self.tell(sink, session, reason, self.mass_canceled);
                return Progress::Done;
            }
        };
        self.mass_cancel = *request;
        let purpose = Purpose::Cancel {
            reason: Reason::MassCanceled,
            then: Then::Answer,
        };
        let place = self.orders_of_owners(owners);
        self.search(place, Meant::ByMassCancel, purpose, sink)
    }

    fn check_mass_cancel(&self, request: &MassCancel) -> Result<Owners, Reason> {
        let asking = self.asking.0;
        let definition = &self.sessions[asking.0 as usize].definition;
        let (firm, user) = (definition.firm, definition.user);
        if request.client_order_id.is_none() {
            return Err(Reason::InvalidClientOrderId);
        }
        if request.side != 0 && Side::try_from(request.side).is_err() {
            return Err(Reason::InvalidMassCancel);
        }
        let owners = match MassCancelScope::try_from(request.scope) {
            Ok(MassCancelScope::Session) => Owners::Session(asking),
            Ok(MassCancelScope::Firm) => Owners::Firm(firm),
            Ok(MassCancelScope::User) if user != 0 => {
                let firm = Some(firm);
                Owners::User { firm, user }
            }
            Ok(MassCancelScope::User) | Err(_) => return Err(Reason::InvalidMassCancel),
        };
        if request.by_account > 1 || request.kinds > ONLY_ORDERS || !goes_together(request) {
            return Err(Reason::InvalidMassCancel);
        }
        // A firm's other sessions are its risk desk's business.
        if matches!(owners, Owners::Firm(_)) {
            self.firm_with_risk(asking)?;
        }
        if request.instrument.0 != 0 {
            self.defined(request.instrument)?;
            if self.is_closed(request.instrument) {
                return Err(Reason::InstrumentNotTrading);
            }
        }
        Ok(owners)
    }

    fn is_closed(&self, instrument: InstrumentId) -> bool {
        self.instruments[instrument.0 as usize].phase == TradingPhase::Closed
    }

    /// Whether an order passes all filters of the mass cancel at work.
    pub(super) fn is_meant(&self, slot: u32) -> bool {
        let request = &self.mass_cancel;
        let state = &self.orders.slots[slot as usize].cold.state;
        let hot = &self.orders.slots[slot as usize].hot;
        let product = || {
            let instrument = &self.instruments[usize::from(hot.instrument)];
            instrument.definition.product
        };
        let kind = if hot.flags.any(Flags::QUOTE) {
            ONLY_QUOTES
        } else {
            ONLY_ORDERS
        };
        let group = request.protection_group;
        !self.is_closed(state.instrument)
            && (request.instrument.0 == 0 || state.instrument == request.instrument)
            && (request.product == 0 || product() == request.product)
            && (request.side == 0 || state.side == request.side)
            && (request.by_account == 0 || state.account == request.account)
            && (group == 0 || state.protection_group == group)
            && (request.kinds == ORDERS_AND_QUOTES || request.kinds == kind)
    }

    /// Cancels what `scratch` names, from `next` on.
    pub(super) fn cancel_from(
        &mut self,
        next: usize,
        reason: Reason,
        then: Then,
        sink: &mut impl EventSink,
    ) -> Progress {
        let last = self.scratch.len().min(next + CANCELS_PER_STEP);
        for index in next..last {
            if let Some(slot) = self.orders.find(OrderId(self.scratch[index])) {
                self.take_off(slot);
                self.end(slot, OrderStatus::Canceled, reason, sink);
                self.mass_canceled.canceled += 1;
            }
        }
        if last < self.scratch.len() {
            self.work = Work::Cancel {
                next: last,
                reason,
                then,
            };
            return Progress::More;
        }
        match then {
            Then::Answer => {
                self.work = Work::Nothing;
                let session = self.asking.0;
                self.tell(sink, session, Reason::None, self.mass_canceled);
                Progress::Done
            }
            Then::AnswerKillSwitch => {
                self.answer_kill_switch(Reason::None, sink);
                Progress::Done
            }
            Then::Deadlines => {
                self.work = Work::Deadlines;
                Progress::More
            }
        }
    }

    /// A session's deadline came: its orders go.
    pub(super) fn cancel_session_at_deadline(
        &mut self,
        code: u32,
        sink: &mut impl EventSink,
    ) -> Progress {
        let session = SessionId(code >> 1);
        self.disarm(session, code & 1);
        self.mass_canceled.canceled = 0;
        let (meant, reason) = if code & 1 == LOST {
            let state = &self.sessions[session.0 as usize];
            let meant = Meant::OfLostConnection {
                quotes_only: state.quotes_only,
            };
            let reason = if state.logged_out {
                Reason::CanceledOnLogout
            } else {
                Reason::CanceledOnDisconnect
            };
            (meant, reason)
        } else {
            (Meant::All, Reason::CancelAfterElapsed)
        };
        let then = Then::Deadlines;
        let place = self.orders_of_owners(Owners::Session(session));
        self.search(place, meant, Purpose::Cancel { reason, then }, sink)
    }

    fn arm(&mut self, session: SessionId, which: u32, after_ms: u32) {
        self.disarm(session, which);
        self.add_deadline(
            self.after_ms(after_ms),
            Whose::Session(session.0 << 1 | which),
        );
    }

    /// So long after the command at work.
    fn after_ms(&self, after_ms: u32) -> UtcNanos {
        let nanos = u64::from(after_ms) * 1_000_000;
        UtcNanos(self.sequenced_at.0.saturating_add(nanos))
    }

    /// The venue was away, if the command says so: nobody could come back meanwhile. Returns whether it was.
    pub(super) fn wait_anew(&mut self, gone: &SessionDisconnected) -> bool {
        if gone.after_restart != 1 {
            return false;
        }
        let grace_ms = u32::from(gone.grace_ms);
        let until = self.after_ms(grace_ms);
        for index in 0..self.sessions.len() {
            let place = self.sessions[index].deadlines[LOST as usize];
            let due = self.deadlines.at(place);
            if due.is_some_and(|due| due.at < until) {
                let session = self.sessions[index].definition.session;
                self.arm(session, LOST, grace_ms);
            }
        }
        true
    }

    /// Whether the session's connection is gone, and it still has time to come back.
    pub fn is_waited_for(&self, session: SessionId) -> bool {
        let state = self.sessions.get(session.0 as usize);
        state.is_some_and(|state| state.deadlines[LOST as usize] != NOWHERE)
    }

    fn disarm(&mut self, session: SessionId, which: u32) {
        let place = self.sessions[session.0 as usize].deadlines[which as usize];
        if place != NOWHERE {
            self.remove_deadline(place);
        }
    }

    /// The session has no connection any more. `least_ms`: the grace it has in any case.
    pub(super) fn arm_disconnect(&mut self, session: SessionId, reason: Reason, least_ms: u32) {
        let state = &mut self.sessions[session.0 as usize];
        let when = match reason {
            // Who took over goes on with the orders.
            Reason::Superseded => return,
            // A day that begins is nobody's loss until who asked does not come back. (Quotes are gone
            // with the day.)
            Reason::EndOfDay if state.cancel_on_disconnect & WHEN_LOST == 0 => return,
            Reason::LogoutRequested => AT_LOGOUT,
            _ => WHEN_LOST,
        };
        state.logged_out = when == AT_LOGOUT;
        // Who asked for nothing keeps his orders, but nobody's quotes stay alone.
        state.quotes_only = state.cancel_on_disconnect & when == 0;
        let grace_ms = if state.quotes_only {
            0
        } else {
            state.cancel_grace_ms
        };
        self.arm(session, LOST, grace_ms.max(least_ms));
    }

    /// The session has a connection again.
    pub(super) fn disarm_disconnect(&mut self, session: SessionId) {
        self.disarm(session, LOST);
    }

    /// The dead man's switch is set, renewed or taken away.
    pub(super) fn cancel_after(&mut self, request: &CancelAfter, sink: &mut impl EventSink) {
        let session = self.asking.0;
        if request.after_ms == 0 {
            self.disarm(session, NOT_RENEWED);
        } else {
            self.arm(session, NOT_RENEWED, request.after_ms);
        }
        // Every number that is accepted has an event that says so.
        let body = CancelAfterSet {
            cancel_at: UtcNanos(self.deadline_of(session, NOT_RENEWED)),
        };
        self.tell(sink, session, Reason::None, body);
    }

    /// 0 = there is none.
    pub(super) fn deadline_of(&self, session: SessionId, which: u32) -> u64 {
        let place = self.sessions[session.0 as usize].deadlines[which as usize];
        self.deadlines.at(place).map_or(0, |deadline| deadline.at.0)
    }
}

/// Whether the request's type and what it names say the same: 1 one security, 3 a product, 7 all
/// orders; the other types are not there.
fn goes_together(request: &MassCancel) -> bool {
    let (by_symbol, by_product) = (request.instrument.0 != 0, request.product != 0);
    match request.request_type {
        0 => true,
        b'1' => by_symbol && !by_product,
        b'3' => by_product && !by_symbol,
        b'7' => !by_symbol && !by_product,
        _ => false,
    }
}
