//! Either protocol behind one set of calls, for the poller.

use super::binary::BinaryDoor;
use super::connection::Connection;
use super::context::{Context, Next};
use super::fix::FixDoor;
use super::reference::Instrument;
use crate::engine::event::{EventBody, EventHeader, LogonAnswered, RequestRejected};
use crate::journal::history::HistoryReply;
use trading_engine_protocol::types::{OrderStatus, Reason, SessionId};

/// The id was an order's, and had no end of its own: what became of the order its newest id says.
pub(super) fn is_replaced_away(reason: Reason, event: &RequestRejected) -> bool {
    reason == Reason::TooLateToCancel && event.status == OrderStatus::Rejected.as_u8()
}

/// A connection's protocol.
#[allow(clippy::large_enum_variant, reason = "boxed with its slot")]
pub(super) enum Door {
    Binary(BinaryDoor),
    Fix(FixDoor),
}

impl Door {
    #[inline]
    pub fn receive(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) -> (bool, Next) {
        match self {
            Self::Binary(door) => door.receive(ctx, connection),
            Self::Fix(door) => door.receive(ctx, connection),
        }
    }

    #[inline]
    pub fn event(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        header: &EventHeader,
        body: &EventBody<'_>,
    ) -> Next {
        match self {
            Self::Binary(door) => door.event(ctx, connection, header, body),
            Self::Fix(door) => door.event(ctx, connection, header, body),
        }
    }

    /// The session whose credentials are being checked.
    pub fn session_asked(&self) -> Option<SessionId> {
        match self {
            Self::Binary(door) => door.session_asked(),
            Self::Fix(door) => door.session_asked(),
        }
    }

    /// The credentials were not looked at.
    pub fn turn_away(&mut self, connection: &mut Connection) -> Next {
        match self {
            Self::Binary(door) => door.turn_away(connection),
            Self::Fix(_) => Next::Close(Reason::TooManyConnections),
        }
    }

    pub fn authenticated(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        accepted: bool,
    ) -> Next {
        match self {
            Self::Binary(door) => door.authenticated(ctx, connection, accepted),
            Self::Fix(door) => door.authenticated(accepted),
        }
    }

    pub fn logon_answered(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        header: &EventHeader,
        answer: &LogonAnswered,
    ) -> Next {
        match self {
            Self::Binary(door) => door.logon_answered(ctx, connection, header, answer),
            Self::Fix(door) => door.logon_answered(ctx, connection, header, answer),
        }
    }

    pub fn history(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        reply: &HistoryReply,
    ) -> Next {
        match self {
            Self::Binary(door) => door.history(ctx, connection, reply),
            Self::Fix(door) => door.history(ctx, connection, reply),
        }
    }

    pub fn drained(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) -> Next {
        match self {
            Self::Binary(door) => door.drained(ctx, connection),
            Self::Fix(door) => {
                door.drained(ctx, connection);
                Next::Continue
            }
        }
    }

    pub fn instrument(&mut self, connection: &mut Connection, instrument: &Instrument) {
        match self {
            Self::Binary(door) => door.instrument(connection, instrument),
            // FIX clients ask for definitions; nothing is pushed.
            Self::Fix(_) => {}
        }
    }

    /// A trading phase changed.
    pub fn phase_changed(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) {
        match self {
            Self::Binary(door) => door.tell_phases(ctx, connection),
            Self::Fix(door) => door.tell_phases(ctx),
        }
    }

    pub fn logout(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        reason: Reason,
    ) -> Next {
        match self {
            Self::Binary(door) => door.logout(ctx, connection, reason),
            Self::Fix(door) => door.logout(ctx, reason),
        }
    }

    pub fn end(&mut self, ctx: &mut Context<'_>, reason: Reason) {
        match self {
            Self::Binary(door) => door.end(ctx, reason),
            Self::Fix(door) => door.end(ctx, reason),
        }
    }

    pub fn next_deadline_ns(&self) -> Option<u64> {
        match self {
            Self::Binary(door) => door.next_deadline_ns(),
            Self::Fix(door) => door.next_deadline_ns(),
        }
    }

    pub fn timeout(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) -> Next {
        match self {
            Self::Binary(door) => door.timeout(ctx, connection),
            Self::Fix(door) => door.timeout(ctx, connection),
        }
    }
}
