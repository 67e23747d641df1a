//! Session state: who may speak, and the next number in each direction.

use trading_engine_protocol::types::{Reason, SessionProtocol};

use super::command::DefineSession;

/// One session. Index 0 of the table is never defined.
#[derive(Clone, Copy, Debug)]
pub struct SessionState {
    /// As defined; `definition.session` 0 = not defined.
    pub definition: DefineSession,
    /// Which door.
    pub protocol: SessionProtocol,
    /// Next outbound number.
    pub next_outbound: u64,
    /// FIX: next inbound number expected. Binary: last client number accepted.
    pub inbound: u64,
    /// Numbering run.
    pub epoch: u32,
    /// Newest connection.
    pub generation: u32,
    /// Whether that connection is up.
    pub connected: bool,
}

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
