//! What a connection's protocol code may touch of its gateway, and what it may ask of it.

use std::net::IpAddr;
use std::sync::Arc;

use crossbeam_channel::Sender;
use trading_engine_protocol::types::{Epoch, Generation, Reason, SessionId, UtcNanos};
use zerocopy::IntoBytes as _;

use super::authenticator::{AuthReply, AuthRequest, Authenticator, Credentials};
use super::outbox::Outbox;
use super::reference::ReferenceData;
use crate::engine::command::{
    Body, Command, CommandHeader, MassQuoteHead, QUOTE_ENTRIES_MAX, QuoteEntry,
    SessionDisconnected, mass_quote_header,
};
use crate::journal::history::{HistoryDesk, HistoryReply, HistoryRequest};

/// Borrowed from the gateway for one call.
pub(super) struct Context<'a> {
    pub now_ns: u64,
    pub utc: UtcNanos,
    /// The gateway's name for this connection.
    pub connection: u64,
    /// Where it comes from.
    pub source: IpAddr,
    pub outbox: &'a mut Outbox,
    pub reference: &'a ReferenceData,
    pub services: &'a Services,
    /// Room for the entries of the mass quote at work; it never grows.
    pub quotes: &'a mut Vec<QuoteEntry>,
}

/// Threads beside the pollers.
pub(super) struct Services {
    pub authenticator: Authenticator,
    pub auth_reply: Sender<AuthReply>,
    pub history: HistoryDesk,
    pub history_reply: Sender<HistoryReply>,
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

/// What the poller does with the connection after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing special.
    Continue,
    /// Stop reading until something else happens (a key check, a probe).
    Pause,
    /// Pause, and ask whether a living connection of this gateway holds the session.
    Claim(SessionId),
    /// Flush the output, then close.
    Close(Reason),
}

/// The core's answer bound to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub session: SessionId,
    pub generation: Generation,
    pub epoch: Epoch,
}

impl Context<'_> {
    /// Sequences a command of a session.
    #[inline]
    pub fn send<B: Body>(&mut self, bound: Bound, inbound_seq: u64, body: B) {
        let mut command = Command::new(body);
        command.header.session = bound.session;
        command.header.generation = bound.generation;
        command.header.inbound_seq = inbound_seq;
        command.header.received_at = self.utc;
        self.outbox.send(&command);
    }

    /// Sequences a mass quote of a session: `quotes` has the entries.
    pub fn send_quotes(&mut self, bound: Bound, inbound_seq: u64, head: &MassQuoteHead) {
        let entries = &self.quotes[..self.quotes.len().min(QUOTE_ENTRIES_MAX)];
        let header = CommandHeader {
            session: bound.session,
            generation: bound.generation,
            inbound_seq,
            received_at: self.utc,
            ..CommandHeader::default()
        };
        let header = mass_quote_header(header, entries.len());
        self.outbox
            .send_parts(&[header.as_bytes(), head.as_bytes(), entries.as_bytes()]);
    }

    /// Tells the core that the connection is gone.
    pub fn disconnected(&mut self, bound: Bound, reason: Reason) {
        let body = SessionDisconnected {
            reason: reason.code(),
            ..SessionDisconnected::default()
        };
        self.send(bound, 0, body);
    }

    /// Asks for a key check. `false`: too many from there are waiting or were wrong.
    pub fn authenticate(&self, credentials: Credentials) -> bool {
        let request = AuthRequest {
            connection: self.connection,
            source: self.source,
            credentials,
            reply: self.services.auth_reply.clone(),
            wake: Arc::clone(&self.services.wake),
        };
        self.services.authenticator.ask(request, self.now_ns)
    }

    /// Asks for events of the past. `false`: too many questions are waiting.
    pub fn ask_history(&self, bound: Bound, from: u64, to: u64) -> bool {
        let request = HistoryRequest {
            connection: self.connection,
            session: bound.session,
            epoch: bound.epoch,
            from,
            to,
            reply: self.services.history_reply.clone(),
            wake: Arc::clone(&self.services.wake),
        };
        self.services.history.ask(request)
    }
}
