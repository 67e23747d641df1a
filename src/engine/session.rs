//! Session state: who may speak, and the next number in each direction.

use trading_engine_protocol::types::{Epoch, Generation, Reason, SessionProtocol, SessionSequence};

use super::command::{DefineFirm, DefineSession};
use super::deadlines::NOWHERE;
use super::event::EventHeader;
use super::mates::Mates;
use super::order::{NIL, Orders, Own};

/// Why a session may not trade, as bits: each kill switch above it is a block of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Blocks(pub u8);

impl Blocks {
    pub const SESSION: Self = Self(1);
    pub const USER: Self = Self(1 << 1);
    pub const FIRM: Self = Self(1 << 2);
    pub const VENUE: Self = Self(1 << 3);

    /// The same, but set by the venue, which alone can take it away.
    pub const fn by_venue(self) -> Self {
        Self(self.0 << 4)
    }

    /// Both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    pub const fn of(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is any.
    #[inline(always)]
    pub const fn any(self) -> bool {
        self.0 != 0
    }

    /// `other` is there from now on, or is not.
    pub fn set(&mut self, other: Self, on: bool) {
        if on {
            self.0 |= other.0;
        } else {
            self.0 &= !other.0;
        }
    }
}

/// One firm. Index 0 of the table is never defined.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Firm {
    /// As defined; `definition.firm` 0 = not defined.
    pub definition: DefineFirm,
    /// The session of it that was defined last, 0 = it has none; the others follow through
    /// `SessionState::next_of_firm`.
    pub newest_session: u32,
    /// Kill switches that are on.
    pub blocks: Blocks,
    /// Names of quotes it has.
    pub quotes: u32,
    /// Its orders at rest whose protection group is not set.
    pub groupless: Mates,
}

impl Firm {
    pub fn is_defined(&self) -> bool {
        self.definition.firm.0 != 0
    }
}

/// One session. Index 0 of the table is never defined. What every command of a session looks at
/// is the first cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct SessionState {
    /// Next outbound number.
    pub next_outbound: u64,
    /// FIX: next inbound number expected. Binary: last client number accepted.
    pub inbound: u64,
    /// Numbering run.
    pub epoch: u32,
    /// Newest connection.
    pub generation: u32,
    /// Whether that connection is up; never so of a session that is not defined.
    pub connected: bool,
    /// Kill switches that are on above it.
    pub(super) blocks: Blocks,
    /// Whether its firm has risk limits.
    pub(super) limited: bool,
    /// Which door.
    pub protocol: SessionProtocol,
    /// Its orders at rest, in ascending order id.
    pub(super) oldest: u32,
    pub(super) newest: u32,
    /// The session of its firm that was defined before it, 0 = there is none.
    pub(super) next_of_firm: u32,
    /// Where its deadlines are: cancel on disconnect, cancel after.
    pub(super) deadlines: [u32; 2],
    /// How long after a disconnect its orders are canceled.
    pub cancel_grace_ms: u32,
    /// When its orders are canceled without its asking: bit 0 a lost connection, bit 1 a logout.
    pub cancel_on_disconnect: u8,
    /// Whether only its quotes go when it is due: it asked for nothing.
    pub(super) quotes_only: bool,
    /// Whether it logged out, and its connection was not lost.
    pub(super) logged_out: bool,
    /// Whether its firm has accounts, so that it may state no others.
    pub(super) has_accounts: bool,
    /// As defined; `definition.session` 0 = not defined.
    pub definition: DefineSession,
}

const _: () = assert!(size_of::<SessionState>() == 128);

impl SessionState {
    pub(super) fn undefined() -> Self {
        Self {
            definition: DefineSession::default(),
            protocol: SessionProtocol::Binary,
            next_outbound: 1,
            inbound: 0,
            epoch: 1,
            generation: 0,
            connected: false,
            blocks: Blocks::default(),
            cancel_on_disconnect: 0,
            cancel_grace_ms: 0,
            limited: false,
            quotes_only: false,
            logged_out: false,
            has_accounts: false,
            oldest: NIL,
            newest: NIL,
            next_of_firm: 0,
            deadlines: [NOWHERE; 2],
        }
    }

    /// Whether the session exists.
    pub fn is_defined(&self) -> bool {
        self.definition.session.0 != 0
    }

    /// Inbound state before anything was received.
    pub(super) fn first_inbound(protocol: SessionProtocol) -> u64 {
        match protocol {
            SessionProtocol::Fix => 1,
            SessionProtocol::Binary => 0,
        }
    }

    /// Both directions start again at 1, under a new epoch.
    pub(super) fn restart_numbers(&mut self) {
        self.next_outbound = 1;
        self.inbound = Self::first_inbound(self.protocol);
        self.epoch += 1;
    }

    /// Whether the connection is up and nothing keeps its orders from being plain ones, but for their
    /// accounts.
    #[inline(always)]
    pub(super) fn enters_plain(&self) -> bool {
        // One compare: they lie together.
        [
            u8::from(self.connected),
            self.blocks.0,
            u8::from(self.limited),
        ] == [1, 0, 0]
    }

    /// What `inbound` is when this number is consumed, if it is a right one and not 0.
    #[inline(always)]
    pub(super) fn next_inbound(&self, number: u64) -> Option<u64> {
        match self.protocol {
            SessionProtocol::Fix if number == self.inbound => Some(number + 1),
            SessionProtocol::Binary if number > self.inbound => Some(number),
            SessionProtocol::Fix | SessionProtocol::Binary => None,
        }
    }

    /// Header of the session's next numbered event.
    #[inline(always)]
    pub(super) fn next_header(
        &mut self,
        cause: EventHeader,
        reason: Reason,
        inbound_seq: u64,
    ) -> EventHeader {
        let number = self.next_outbound;
        self.next_outbound += 1;
        EventHeader {
            reason: reason.code(),
            session: self.definition.session,
            generation: Generation(self.generation),
            session_seq: SessionSequence(number),
            inbound_seq,
            epoch: Epoch(self.epoch),
            ..cause
        }
    }

    /// An order came to rest: last in the list, because ids ascend.
    #[inline(always)]
    pub(super) fn list(&mut self, slot: u32, orders: &mut Orders) {
        let before = std::mem::replace(&mut self.newest, slot);
        orders.slots[slot as usize].own = Own {
            next: NIL,
            prev: before,
        };
        match before {
            NIL => self.oldest = slot,
            before => orders.slots[before as usize].own.next = slot,
        }
    }

    /// An order that was at rest ended.
    #[inline(always)]
    pub(super) fn unlist(&mut self, slot: u32, orders: &mut Orders) {
        let Own { next, prev } = orders.slots[slot as usize].own;
        match prev {
            NIL => self.oldest = next,
            prev => orders.slots[prev as usize].own.next = next,
        }
        match next {
            NIL => self.newest = prev,
            next => orders.slots[next as usize].own.prev = prev,
        }
    }

    /// Consumes an inbound number; 0 consumes nothing.
    #[inline]
    pub(super) fn accept_inbound(&mut self, number: u64) -> Result<(), Reason> {
        if number == 0 {
            return Ok(());
        }
        match self.protocol {
            SessionProtocol::Fix => {
                if number != self.inbound {
                    return Err(Reason::InboundSequenceMismatch);
                }
                self.inbound = number + 1;
            }
            SessionProtocol::Binary => {
                if number <= self.inbound {
                    return Err(Reason::DuplicateSequence);
                }
                self.inbound = number;
            }
        }
        Ok(())
    }
}
