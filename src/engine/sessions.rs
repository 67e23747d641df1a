//! Logons, disconnects and the numbers of session-level messages.

use trading_engine_protocol::types::{Epoch, Reason, SessionId, SessionProtocol, SessionSequence};

use super::Engine;
use super::command::{
    BusinessReject, CommandBody, CommandHeader, CommandKind, SessionLogon, SessionMessage,
};
use super::event::{AdminMessage, BusinessRejected, EventSink, LogonAnswered, SessionClosed};
use crate::limits::{DAY_ROLL_GRACE_MS, STEP_EVENTS_MAX};

impl Engine {
    pub(super) fn apply_session(
        &mut self,
        header: &CommandHeader,
        body: CommandBody<'_>,
        sink: &mut impl EventSink,
    ) {
        match body {
            CommandBody::SessionLogon(logon) => self.logon(header, logon, sink),
            CommandBody::SessionDisconnected(gone) => {
                // It may be one that was gone already when the venue went.
                if self.wait_anew(gone) && self.is_waited_for(header.session) {
                    return;
                }
                if self.admit(header, sink) {
                    let reason = Reason::try_from(gone.reason).unwrap_or(Reason::None);
                    self.close(header.session, reason, u32::from(gone.grace_ms), sink);
                }
            }
            CommandBody::SessionMessage(message) => self.session_message(header, message, sink),
            CommandBody::BusinessReject(reject) => {
                if self.admit(header, sink) {
                    self.business_reject(header.session, reject, sink);
                }
            }
            CommandBody::Genesis(_)
            | CommandBody::SetCapacities(_)
            | CommandBody::DefineInstrument(_)
            | CommandBody::DefineFirm(_)
            | CommandBody::DefineSession(_)
            | CommandBody::EnterOrder(_)
            | CommandBody::ReplaceOrder(_)
            | CommandBody::CancelOrder(_)
            | CommandBody::RefuseOrder(_)
            | CommandBody::RefuseRequest(_)
            | CommandBody::EnterOrderWithTerms(_)
            | CommandBody::ReplaceOrderWithTerms(_)
            | CommandBody::MassCancel(_)
            | CommandBody::CancelAfter(_)
            | CommandBody::Tick(_)
            | CommandBody::DayRoll(_)
            | CommandBody::AuditNote(_)
            | CommandBody::SetPhase(_)
            | CommandBody::SetLimits(_)
            | CommandBody::KillSwitch(_)
            | CommandBody::AmendTrade(_)
            | CommandBody::DefineTickTable(_)
            | CommandBody::SetReference(_)
            | CommandBody::SetAccount(_)
            | CommandBody::MassQuote(_)
            | CommandBody::QuoteCancel(_)
            | CommandBody::ConfigureProtection(_)
            | CommandBody::ResetProtection(_)
            | CommandBody::OrderStatusRequest(_) => {}
        }
    }

    /// `grace_ms`: how long it has to come back at least.
    fn close(
        &mut self,
        session: SessionId,
        reason: Reason,
        grace_ms: u32,
        sink: &mut impl EventSink,
    ) {
        self.end_connection(session, reason, sink);
        self.arm_disconnect(session, reason, grace_ms);
    }

    fn end_connection(&mut self, session: SessionId, reason: Reason, sink: &mut impl EventSink) {
        self.sessions[session.0 as usize].connected = false;
        self.note(sink, session, reason, SessionClosed::default());
    }

    /// A logon always answers. It takes over: whatever connection the session had is told that it
    /// is superseded, and its later commands are stale.
    fn logon(&mut self, header: &CommandHeader, logon: &SessionLogon, sink: &mut impl EventSink) {
        let id = header.session.0 as usize;
        let Some(state) = self.sessions.get(id).filter(|state| state.is_defined()) else {
            self.refuse(sink, CommandKind::SessionLogon, Reason::UnknownSession);
            return;
        };
        let protocol = state.protocol;
        let mut answer = LogonAnswered {
            connection: logon.connection,
            from_seq: logon.from_seq,
            next_expected: logon.next_expected,
            ..LogonAnswered::default()
        };
        if let Err(reason) = self.check_logon(id, logon) {
            // Nothing changes and the old connection stays; the answer names what would be right.
            let state = &self.sessions[id];
            answer.next_outbound = SessionSequence(state.next_outbound);
            answer.inbound = state.inbound;
            self.answer_unnumbered(header.session, reason, answer, sink);
            return;
        }
        let was_connected = self.sessions[id].connected;
        if was_connected {
            self.close(header.session, Reason::Superseded, 0, sink);
        }
        let too_low = protocol == SessionProtocol::Fix
            && logon.reset != 1
            && header.inbound_seq < self.sessions[id].inbound;
        if !too_low {
            self.disarm_disconnect(header.session);
        }
        let state = &mut self.sessions[id];
        state.generation += 1;
        state.connected = true;
        // What a refused logon asks for is not agreed on.
        if !too_low {
            state.cancel_on_disconnect = logon.cancel_on_disconnect;
            state.cancel_grace_ms = logon.cancel_grace_ms;
        }
        match protocol {
            SessionProtocol::Binary => {
                answer.next_outbound = SessionSequence(state.next_outbound);
                answer.inbound = state.inbound;
                self.answer_unnumbered(header.session, Reason::None, answer, sink);
            }
            SessionProtocol::Fix => {
                if logon.reset == 1 {
                    state.restart_numbers();
                    answer.reset = 1;
                }
                answer.inbound_expected = state.inbound;
                if header.inbound_seq == state.inbound {
                    state.inbound += 1;
                }
                // The reply consumes one number, whatever it says.
                answer.next_outbound = SessionSequence(state.next_outbound + 1);
                answer.inbound = state.inbound;
                let reason = if too_low {
                    Reason::LogonSequenceTooLow
                } else {
                    Reason::None
                };
                self.tell(sink, header.session, reason, answer);
                if too_low {
                    self.end_connection(header.session, reason, sink);
                    // A grace that runs goes on; it begins now for who was connected before.
                    if was_connected {
                        self.arm_disconnect(header.session, reason, 0);
                    }
                }
            }
        }
    }

    /// What a binary client must have right before it takes the session over. (A FIX client that
    /// has its number wrong gets a numbered Logout, which is a takeover too.)
    fn check_logon(&self, id: usize, logon: &SessionLogon) -> Result<(), Reason> {
        let state = &self.sessions[id];
        match state.protocol {
            SessionProtocol::Fix => Ok(()),
            SessionProtocol::Binary => {
                if logon.epoch != Epoch(0) && logon.epoch.0 != state.epoch {
                    return Err(Reason::EpochMismatch);
                }
                if logon.from_seq > state.next_outbound {
                    return Err(Reason::SequenceTooHigh);
                }
                Ok(())
            }
        }
    }

    fn answer_unnumbered(
        &mut self,
        session: SessionId,
        reason: Reason,
        answer: LogonAnswered,
        sink: &mut impl EventSink,
    ) {
        self.note(sink, session, reason, answer);
    }

    fn session_message(
        &mut self,
        header: &CommandHeader,
        message: &SessionMessage,
        sink: &mut impl EventSink,
    ) {
        if !self.admit(header, sink) {
            return;
        }
        let state = &mut self.sessions[header.session.0 as usize];
        // SequenceReset only ever moves the expectation forward.
        state.inbound = state.inbound.max(message.next_inbound);
        if message.outbound_kind != 0 {
            let body = AdminMessage {
                message_kind: message.outbound_kind,
                closes: message.closes,
                token: message.token,
                ..AdminMessage::default()
            };
            self.tell(sink, header.session, Reason::None, body);
        }
        if message.closes == 1 {
            self.close(header.session, Reason::LogoutRequested, 0, sink);
        }
    }

    fn business_reject(
        &mut self,
        session: SessionId,
        reject: &BusinessReject,
        sink: &mut impl EventSink,
    ) {
        let body = BusinessRejected {
            ref_msg_type: reject.ref_msg_type,
            business_reason: reject.business_reason,
            ref_id: reject.ref_id,
            ..BusinessRejected::default()
        };
        let reason = Reason::try_from(reject.reason).unwrap_or(Reason::UnsupportedMessage);
        #[allow(
            clippy::cast_possible_truncation,
            reason = "FIX tags of this venue fit 16 bits"
        )]
        self.tell_about(sink, session, reason, reject.ref_tag as u16, body);
    }

    /// The day rolls for the sessions from `first` on: those whose numbers restart are closed
    /// first, so that no connection sees a number twice. Returns the first not done, if the step
    /// is full.
    pub(super) fn roll_sessions(
        &mut self,
        first: usize,
        sink: &mut impl EventSink,
    ) -> Option<usize> {
        let mut room = STEP_EVENTS_MAX - 2;
        for id in first..self.sessions.len() {
            if !self.sessions[id].is_defined()
                || self.sessions[id].definition.reset_at_day_roll != 1
            {
                continue;
            }
            if self.sessions[id].connected {
                if room == 0 {
                    return Some(id);
                }
                room -= 1;
                let session = self.sessions[id].definition.session;
                self.close(session, Reason::EndOfDay, DAY_ROLL_GRACE_MS, sink);
            }
            self.sessions[id].restart_numbers();
        }
        None
    }
}
