//! A FIX connection: the protocol's acceptor on one side, commands and events on the other.
//!
//! Nothing is sent that the core has not numbered. The content of a session message waits here
//! under a token until its event comes back; events are sent in the order of their numbers, and
//! whatever this connection missed is read from the event log: for a ResendRequest with PossDup,
//! for a connection that fell behind as a first sending.

use std::collections::VecDeque;

use trading_engine_protocol::fix::encode::Digits;
use trading_engine_protocol::fix::{
    Acceptor, AcceptorSettings, Action, CancelRequest, Content, Header, KillRequest, LogonRequest,
    MassCancelRequest, MassQuoteRequest, MassStatusRequest, MessageWriter, OrderRequest,
    ProtectionRequest, QuoteCancelRequest, QuoteEntryRequest, QuoteSide, Request, SecurityStatus,
    SessionStatus, StatusRequest, TRADING_SESSION,
};
use trading_engine_protocol::types::{
    ClientOrderId, Decimal8, Epoch, Generation, Instructions, InstrumentId, KillScope,
    MassCancelScope, OrderId, OrderStatus, OrderType, Price, Quantity, QuoteCancelScope,
    QuoteStatus, Reason, SessionId, SessionProtocol, UtcNanos,
};

use super::authenticator::Credentials;
use super::connection::Connection;
use super::context::{Bound, Context, Next};
use super::door::is_replaced_away;
use super::quotes::{self, WireEntry, WireSide, response};
use super::reference::{Instrument, ReferenceData};
use super::statuses::{self, Statuses};
use crate::engine::command::{
    BusinessReject, CancelAfter, CancelOrder, CommandKind, ConfigureProtection, EnterOrder,
    EnterOrderWithTerms, KillSwitch, MassCancel, MassQuoteHead, NO_PRICE, OrderStatusRequest,
    OrderTerms, QuoteCancel, RefuseOrder, RefuseRequest, ReplaceOrder, ReplaceOrderWithTerms,
    ResetProtection, SessionLogon, SessionMessage, name_text, stated,
};
use crate::engine::event::{
    EventBody, EventHeader, Fill, KillSwitchDone, LogonAnswered, MassCancelDone, MassQuoteAnswered,
    OrderRestated, OrderState, OrderStatusReport, ProtectionSet, ProtectionTripped,
    QuoteCancelDone, QuoteCanceled, QuoteResult, QuoteStatusAnswered, RequestRejected,
    TradeAmended,
};
use crate::journal::history::HistoryReply;

const NOT_STATED: u8 = 0xFF;
/// Replay goes on only while less than this is waiting to be written.
const REPLAY_ROOM: usize = 128 << 10;

#[derive(Clone, Debug)]
enum Stage {
    /// No session yet.
    Unbound,
    /// The password is being checked.
    Checking(LogonRequest, SessionId),
    /// The password is right; another connection may hold the session.
    Claiming(LogonRequest, SessionId),
    /// The core was asked.
    Opening(LogonRequest),
    /// The core said yes.
    Live,
    /// Over.
    Ended,
}

/// A ResendRequest being served.
#[derive(Clone, Copy, Debug)]
struct Resend {
    next: u64,
    end: u64,
    /// First number of a run that is not sent again, 0 = none.
    gap_from: u64,
}

/// The protocol state of one FIX connection.
pub(super) struct FixDoor {
    acceptor: Acceptor,
    venue: Vec<u8>,
    stage: Stage,
    bound: Option<Bound>,
    next_send: u64,
    newest: u64,
    asked: bool,
    resend: Option<Resend>,
    waiting_resend: Option<(u64, u64)>,
    contents: VecDeque<(u64, Content)>,
    next_token: u64,
    /// What it asked to be told of trading phases.
    statuses: Statuses,
    resetting: bool,
    closing: bool,
}

/// Session messages waiting for their numbers; more means the log is far behind.
const CONTENTS_MAX: usize = 8192;
/// Changes of trading phases are told while fewer than this are: of many at once each waits for a few before it.
const STATUSES_MAX: usize = 16;

impl FixDoor {
    pub fn new(settings: AcceptorSettings, ctx: &Context<'_>) -> Self {
        Self {
            venue: settings.comp_id.clone(),
            acceptor: Acceptor::new(settings, ctx.now_ns),
            stage: Stage::Unbound,
            bound: None,
            next_send: 1,
            newest: 0,
            asked: false,
            resend: None,
            waiting_resend: None,
            contents: VecDeque::new(),
            next_token: 1,
            statuses: Statuses::default(),
            resetting: false,
            closing: false,
        }
    }

    pub fn bound(&self) -> Option<Bound> {
        self.bound
    }

    pub fn last_received_ns(&self) -> u64 {
        self.acceptor.last_received_ns()
    }

    pub fn heartbeat_ns(&self) -> u64 {
        self.acceptor.heartbeat_ns()
    }

    /// Handles the front of the input. Returns whether anything was consumed, and what next.
    pub fn receive(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) -> (bool, Next) {
        let (consumed, action) = self
            .acceptor
            .receive(ctx.now_ns, ctx.utc, connection.input());
        connection.consume(consumed);
        let next = self.act(ctx, connection, action);
        (consumed > 0, self.follow_ups(ctx, connection, next))
    }

    fn follow_ups(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        mut next: Next,
    ) -> Next {
        while next == Next::Continue {
            let Some(action) = self.acceptor.follow_up(ctx.utc) else {
                break;
            };
            next = self.act(ctx, connection, action);
        }
        next
    }

    fn act(&mut self, ctx: &mut Context<'_>, connection: &mut Connection, action: Action) -> Next {
        match action {
            Action::NeedMore | Action::Handled => Next::Continue,
            Action::Logon(request) => self.logon(ctx, request),
            Action::Close(reason) => {
                self.end(ctx, reason);
                Next::Close(reason)
            }
            Action::Request { seq, request } => self.request(ctx, seq, &request),
            Action::Session {
                inbound,
                inbound_kind,
                next_inbound,
                send,
                closes,
            } => {
                let message = SessionMessage {
                    inbound_kind,
                    closes: u8::from(closes),
                    next_inbound,
                    ..SessionMessage::default()
                };
                self.session_message(ctx, inbound, message, send)
            }
            Action::BusinessReject {
                seq,
                message_type,
                business_reason,
                reason,
            } => {
                if let Some(bound) = self.bound {
                    let body = BusinessReject {
                        ref_msg_type: message_type,
                        business_reason,
                        reason: reason.code(),
                        ref_tag: 35,
                        ..BusinessReject::default()
                    };
                    ctx.send(bound, seq, body);
                }
                Next::Continue
            }
            Action::Resend { seq, begin, end } => {
                if seq != 0 {
                    let message = SessionMessage {
                        inbound_kind: b'2',
                        ..SessionMessage::default()
                    };
                    let next = self.session_message(ctx, seq, message, None);
                    if next != Next::Continue {
                        return next;
                    }
                }
                self.waiting_resend = Some((begin, end));
                self.catch_up(ctx, connection);
                Next::Continue
            }
        }
    }

    fn session_message(
        &mut self,
        ctx: &mut Context<'_>,
        inbound: u64,
        mut message: SessionMessage,
        send: Option<Content>,
    ) -> Next {
        let Some(bound) = self.bound else {
            return Next::Continue;
        };
        if let Some(content) = send {
            if self.contents.len() == CONTENTS_MAX {
                self.end(ctx, Reason::LogUnavailable);
                return Next::Close(Reason::LogUnavailable);
            }
            message.outbound_kind = content.message_type();
            message.token = self.next_token;
            self.contents.push_back((self.next_token, content));
            self.next_token += 1;
        }
        ctx.send(bound, inbound, message);
        Next::Continue
    }

    fn logon(&mut self, ctx: &mut Context<'_>, request: LogonRequest) -> Next {
        if let Some(bound) = self.bound {
            // A reset in an open session; this connection has proven itself.
            self.resetting = true;
            self.contents.clear();
            self.statuses.tell_again();
            return self.open(ctx, request, bound.session);
        }
        let session = ctx
            .reference
            .session_by_name(SessionProtocol::Fix, &request.comp_id)
            .map(|entry| entry.definition.session);
        let credentials = match session {
            Some(_) => Credentials::Password {
                comp_id: String::from_utf8_lossy(&request.comp_id).into_owned(),
                username: String::from_utf8_lossy(&request.username).into_owned(),
                password: request.password.clone(),
            },
            None => Credentials::Unknown,
        };
        if !ctx.authenticate(credentials) {
            return Next::Close(Reason::TooManyConnections);
        }
        self.stage = Stage::Checking(request, session.unwrap_or_default());
        Next::Pause
    }

    /// The session whose password is being checked.
    pub fn session_asked(&self) -> Option<SessionId> {
        match &self.stage {
            Stage::Checking(_, session) => Some(*session),
            _ => None,
        }
    }

    /// The password check is done.
    pub fn authenticated(&mut self, accepted: bool) -> Next {
        let Stage::Checking(request, session) = &self.stage else {
            return Next::Continue;
        };
        if !accepted {
            // Not a byte: an unknown or wrong login learns nothing and consumes no number.
            self.stage = Stage::Ended;
            return Next::Close(Reason::NotAuthorized);
        }
        let session = *session;
        self.stage = Stage::Claiming(request.clone(), session);
        Next::Claim(session)
    }

    /// No living connection holds the session: ask the core for it.
    pub fn claim(&mut self, ctx: &mut Context<'_>) -> Next {
        let Stage::Claiming(request, session) = &self.stage else {
            return Next::Continue;
        };
        let (request, session) = (request.clone(), *session);
        self.open(ctx, request, session)
    }

    fn open(&mut self, ctx: &mut Context<'_>, request: LogonRequest, session: SessionId) -> Next {
        let body = SessionLogon {
            reset: u8::from(request.reset),
            numbered_reply: 1,
            connection: ctx.connection,
            next_expected: request.next_expected,
            cancel_on_disconnect: request.cancel_on_disconnect,
            cancel_grace_ms: request.cancel_grace_ms,
            ..SessionLogon::default()
        };
        let asking = Bound {
            session,
            generation: Generation::default(),
            epoch: Epoch::default(),
        };
        ctx.send(asking, request.seq, body);
        self.stage = Stage::Opening(request);
        Next::Pause
    }

    /// The core's answer to this connection's logon: its number is the reply's.
    pub fn logon_answered(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        header: &EventHeader,
        answer: &LogonAnswered,
    ) -> Next {
        let Stage::Opening(request) = &self.stage else {
            return Next::Continue;
        };
        let request = request.clone();
        self.resetting = false;
        let seq = header.session_seq.0;
        if header.reason != Reason::None.code() {
            let text = format!(
                "MsgSeqNum too low, expecting {} but received {}",
                answer.inbound_expected, request.seq
            );
            self.refuse_logon(connection, &request.comp_id, header, &text);
            return Next::Close(Reason::LogonSequenceTooLow);
        }
        self.bound = Some(Bound {
            session: header.session,
            generation: header.generation,
            epoch: header.epoch,
        });
        // With a reset nothing can be missing.
        let client_expects = match answer.reset {
            1 => 0,
            _ => request.next_expected,
        };
        if client_expects > seq {
            let text = format!(
                "NextExpectedMsgSeqNum(789) too high, expecting at most {seq} but received {client_expects}"
            );
            self.refuse_logon(connection, &request.comp_id, header, &text);
            self.end(ctx, Reason::SequenceTooHigh);
            return Next::Close(Reason::SequenceTooHigh);
        }
        let mut writer = self.begin(
            &mut connection.output,
            &request.comp_id,
            b"A",
            seq,
            header.sequenced_at,
        );
        writer.number(98, 0);
        writer.number(108, request.heartbeat_s);
        if answer.reset == 1 {
            writer.text(141, b"Y");
        }
        if request.cancel_on_disconnect != 0 {
            writer.number(35002, u64::from(request.cancel_on_disconnect));
            writer.number(35003, u64::from(request.cancel_grace_ms));
        }
        let rate = ctx.reference.message_rate(header.session);
        if rate.messages != 0 {
            writer.number(35033, u64::from(rate.messages));
            writer.number(35034, u64::from(rate.window_ms));
        }
        let told = request.next_expected != 0;
        if told {
            writer.number(789, answer.inbound);
        }
        writer.finish();
        self.next_send = seq + 1;
        self.newest = seq;
        self.resend = None;
        self.waiting_resend = None;
        self.asked = false;
        self.stage = Stage::Live;
        self.acceptor
            .logon_accepted(ctx.now_ns, request.seq, answer.inbound, told);
        if client_expects != 0 && client_expects < seq {
            self.waiting_resend = Some((client_expects, seq - 1));
            self.catch_up(ctx, connection);
        }
        self.tell_phases(ctx);
        self.follow_ups(ctx, connection, Next::Continue)
    }

    /// The reply's number goes to a Logout that says why.
    fn refuse_logon(
        &mut self,
        connection: &mut Connection,
        comp_id: &[u8],
        header: &EventHeader,
        text: &str,
    ) {
        let out = &mut connection.output;
        let seq = header.session_seq.0;
        let mut writer = self.begin(out, comp_id, b"5", seq, header.sequenced_at);
        writer.text(58, text.as_bytes());
        writer.finish();
        self.stage = Stage::Ended;
    }

    fn begin<'a>(
        &self,
        out: &'a mut Vec<u8>,
        client: &[u8],
        message_type: &[u8],
        seq: u64,
        sending_time: UtcNanos,
    ) -> MessageWriter<'a> {
        let header = Header {
            message_type,
            sender: &self.venue,
            target: client,
            seq,
            sending_time,
            original_time: None,
            routing: b"",
        };
        MessageWriter::begin(out, &header)
    }

    /// A durable event for this session.
    pub fn event(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        header: &EventHeader,
        body: &EventBody<'_>,
    ) -> Next {
        let Some(bound) = self.bound else {
            return Next::Continue;
        };
        let number = header.session_seq.0;
        if number == 0 {
            if let EventBody::SessionClosed(_) = body
                && bound.generation == header.generation
                && !self.resetting
            {
                let reason = Reason::try_from(header.reason).unwrap_or(Reason::GoingAway);
                if reason == Reason::EndOfDay {
                    self.end_run(connection, header.sequenced_at);
                }
                self.bound = None;
                if reason == Reason::LogoutRequested {
                    // The Logout is out; the client closes, or the acceptor's time does.
                    self.closing = true;
                    return Next::Continue;
                }
                self.stage = Stage::Ended;
                return Next::Close(reason);
            }
            return Next::Continue;
        }
        if bound.epoch != header.epoch {
            return Next::Continue;
        }
        self.newest = self.newest.max(number);
        if number == self.next_send && !self.asked && self.resend.is_none() {
            self.write(ctx, connection, header, body);
        } else {
            self.catch_up(ctx, connection);
        }
        self.tell_phases(ctx);
        Next::Continue
    }

    /// Asks for numbers for what is to be told of trading phases.
    #[inline]
    pub fn tell_phases(&mut self, ctx: &mut Context<'_>) {
        while matches!(self.stage, Stage::Live)
            && self.acceptor.is_active()
            && self.contents.len() < STATUSES_MAX
            && let Some(status) = self.statuses.next(ctx.reference)
        {
            // It has room: it cannot end the session.
            self.session_message(ctx, 0, SessionMessage::default(), Some(status));
        }
    }

    /// The day ended, and with it the run of numbers: the core has no number left for a Logout, but the next
    /// one of the run that ends is free.
    fn end_run(&self, connection: &mut Connection, time: UtcNanos) {
        // Who has not been told everything would take it for a gap.
        let is_behind = self.next_send <= self.newest || self.asked || self.resend.is_some();
        if matches!(self.stage, Stage::Live) && !is_behind {
            let logout = Content::Logout(Reason::EndOfDay.text().to_owned());
            self.write_content(connection, self.next_send, time, &logout);
        }
    }

    /// Another connection takes the session over: a Logout that the core numbers before it learns of that.
    pub fn supersede(&self, ctx: &mut Context<'_>) {
        if let Some(bound) = self.bound {
            let logout = SessionMessage {
                outbound_kind: b'5',
                token: SessionMessage::LOGOUT_SUPERSEDED,
                ..SessionMessage::default()
            };
            ctx.send(bound, 0, logout);
        }
    }

    /// Asks for what has to be sent from the past.
    fn catch_up(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) {
        let Some(bound) = self.bound else { return };
        if self.resend.is_none()
            && !self.asked
            && let Some((begin, end)) = self.waiting_resend.take()
        {
            let last = self.next_send - 1;
            let end = if end == 0 { last } else { end.min(last) };
            let begin = begin.max(1);
            if begin <= end {
                self.resend = Some(Resend {
                    next: begin,
                    end,
                    gap_from: 0,
                });
            }
        }
        if self.asked || connection.output_pending() >= REPLAY_ROOM {
            return;
        }
        if let Some(resend) = self.resend {
            self.asked = ctx.ask_history(bound, resend.next, resend.end);
        } else if self.next_send <= self.newest {
            self.asked = ctx.ask_history(bound, self.next_send, self.newest);
        }
    }

    /// The output drained: a replay may go on.
    pub fn drained(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) {
        self.catch_up(ctx, connection);
    }

    /// Events of the past that this connection asked for.
    pub fn history(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        reply: &HistoryReply,
    ) -> Next {
        // What was asked before the numbers began again answers nothing any more.
        if self.bound.is_none_or(|bound| bound.epoch != reply.epoch) {
            return Next::Continue;
        }
        self.asked = false;
        let events = &reply.events;
        if let Some(resend) = self.resend {
            if reply.from == resend.next {
                self.serve_resend(ctx, connection, resend, events);
            }
        } else if reply.from == self.next_send {
            for (header, body, _) in crate::journal::event_log::events(events) {
                if header.session_seq.0 == self.next_send {
                    self.write(ctx, connection, header, &body);
                }
            }
            if events.is_empty() {
                self.end(ctx, Reason::SequenceNotAvailable);
                return Next::Close(Reason::SequenceNotAvailable);
            }
        }
        self.catch_up(ctx, connection);
        Next::Continue
    }

    fn serve_resend(
        &mut self,
        ctx: &Context<'_>,
        connection: &mut Connection,
        mut resend: Resend,
        events: &[u8],
    ) {
        let before = resend.next;
        for (header, body, _) in crate::journal::event_log::events(events) {
            let seq = header.session_seq.0;
            if seq != resend.next {
                break;
            }
            if is_application(header, &body) {
                self.fill_gap(ctx, connection, &mut resend, seq);
                let original = Some(header.sequenced_at);
                self.encode(ctx, header, &body, original, &mut connection.output);
            } else if resend.gap_from == 0 {
                resend.gap_from = seq;
            }
            resend.next = seq + 1;
        }
        if resend.next == before {
            // Not to be had any more: everything that is left is a gap.
            if resend.gap_from == 0 {
                resend.gap_from = resend.next;
            }
            resend.next = resend.end + 1;
        }
        if resend.next > resend.end {
            let next = resend.end + 1;
            self.fill_gap(ctx, connection, &mut resend, next);
            self.resend = None;
        } else {
            self.resend = Some(resend);
        }
        self.acceptor.note_sent(ctx.now_ns);
    }

    fn fill_gap(
        &self,
        ctx: &Context<'_>,
        connection: &mut Connection,
        resend: &mut Resend,
        next: u64,
    ) {
        if resend.gap_from == 0 {
            return;
        }
        self.write_gap(ctx, connection, resend.gap_from, next, true);
        resend.gap_from = 0;
    }

    fn write_gap(
        &self,
        ctx: &Context<'_>,
        connection: &mut Connection,
        from: u64,
        to: u64,
        again: bool,
    ) {
        let header = Header {
            message_type: b"4",
            sender: &self.venue,
            target: self.acceptor.client(),
            seq: from,
            sending_time: ctx.utc,
            original_time: again.then_some(ctx.utc),
            routing: b"",
        };
        let mut writer = MessageWriter::begin(&mut connection.output, &header);
        writer.number(36, to);
        writer.text(123, b"Y");
        writer.finish();
    }

    /// Sends an event for the first time.
    fn write(
        &mut self,
        ctx: &Context<'_>,
        connection: &mut Connection,
        header: &EventHeader,
        body: &EventBody<'_>,
    ) {
        let seq = header.session_seq.0;
        if let EventBody::AdminMessage(admin) = body {
            match self.take_content(admin.token) {
                Some(content) => {
                    self.write_content(connection, seq, header.sequenced_at, &content);
                    if matches!(content, Content::Logout(_)) {
                        self.acceptor.note_logout_sent();
                    }
                }
                None => self.write_gap(ctx, connection, seq, seq + 1, false),
            }
        } else if is_application(header, body) {
            self.encode(ctx, header, body, None, &mut connection.output);
        } else {
            self.write_gap(ctx, connection, seq, seq + 1, false);
        }
        self.next_send = seq + 1;
        self.acceptor.note_sent(ctx.now_ns);
    }

    fn take_content(&mut self, token: u64) -> Option<Content> {
        let reason = match token {
            SessionMessage::LOGOUT_BY_VENUE => Some(Reason::DisconnectedByVenue),
            SessionMessage::LOGOUT_SUPERSEDED => Some(Reason::Superseded),
            _ => None,
        };
        if let Some(reason) = reason {
            return Some(Content::Logout(reason.text().to_owned()));
        }
        let at = self
            .contents
            .iter()
            .position(|(known, _)| *known == token)?;
        self.contents.remove(at).map(|(_, content)| content)
    }

    fn write_content(
        &self,
        connection: &mut Connection,
        seq: u64,
        time: UtcNanos,
        content: &Content,
    ) {
        let routing: &[u8] = match content {
            Content::Reject { routing, .. } => routing,
            _ => b"",
        };
        let kind = [content.message_type()];
        let header = Header {
            message_type: &kind,
            sender: &self.venue,
            target: self.acceptor.client(),
            seq,
            sending_time: time,
            original_time: None,
            routing,
        };
        let mut writer = MessageWriter::begin(&mut connection.output, &header);
        match content {
            Content::Heartbeat(id) => {
                if !id.is_empty() {
                    writer.text(112, id);
                }
            }
            Content::TestRequest(id) => writer.text(112, id),
            Content::ResendRequest(begin) => {
                writer.number(7, *begin);
                writer.number(16, 0);
            }
            Content::Reject {
                seq,
                tag,
                message_type,
                reason,
                text,
                ..
            } => {
                writer.number(45, *seq);
                writer.text(58, text.as_bytes());
                if *tag != 0 {
                    writer.number(371, u64::from(*tag));
                }
                if !message_type.is_empty() {
                    writer.text(372, message_type);
                }
                writer.number(373, u64::from(*reason));
            }
            Content::Logout(text) => {
                if !text.is_empty() {
                    writer.text(58, text.as_bytes());
                }
            }
            Content::SecurityStatus(status) => security_status(status, &mut writer),
            Content::SessionStatus(status) => session_status(status, &mut writer),
        }
        writer.finish();
    }

    fn encode(
        &self,
        ctx: &Context<'_>,
        header: &EventHeader,
        body: &EventBody<'_>,
        original: Option<UtcNanos>,
        out: &mut Vec<u8>,
    ) {
        let message_type: &[u8] = match body {
            EventBody::MassCancelDone(_) => b"r",
            EventBody::RequestRejected(event) if !is_question(event) => b"9",
            EventBody::BusinessRejected(_) => b"j",
            EventBody::MassQuoteAnswered(_) => b"b",
            EventBody::QuoteCanceled(_)
            | EventBody::QuoteCancelDone(_)
            | EventBody::ProtectionTripped(_) => b"AI",
            EventBody::KillSwitchDone(_) => b"U2",
            EventBody::ProtectionSet(_) => b"U5",
            EventBody::CancelAfterSet(_) => b"U7",
            _ => b"8",
        };
        let wire = Header {
            message_type,
            sender: &self.venue,
            target: self.acceptor.client(),
            seq: header.session_seq.0,
            sending_time: if original.is_some() {
                ctx.utc
            } else {
                header.sequenced_at
            },
            original_time: original,
            routing: b"",
        };
        let mut writer = MessageWriter::begin(out, &wire);
        write_body(ctx.reference, header, body, &mut writer);
        writer.finish();
    }

    /// Ends the session from this side: a Logout that the core numbers.
    pub fn logout(&mut self, ctx: &mut Context<'_>, reason: Reason) -> Next {
        if reason == Reason::GoingAway
            && let Some(action @ Action::Session { .. }) =
                self.acceptor.end(ctx.now_ns, reason.text())
            && let Action::Session { send, .. } = action
        {
            let message = SessionMessage {
                closes: 1,
                ..SessionMessage::default()
            };
            return self.session_message(ctx, 0, message, send);
        }
        // Without a log there is no number for a Logout; a client that does not read gets none.
        self.end(ctx, reason);
        Next::Close(reason)
    }

    /// The connection is over: the core learns of it, once.
    pub fn end(&mut self, ctx: &mut Context<'_>, reason: Reason) {
        if let Some(bound) = self.bound.take() {
            ctx.disconnected(bound, reason);
        }
        self.stage = Stage::Ended;
    }

    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.acceptor.next_deadline_ns()
    }

    pub fn timeout(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) -> Next {
        match self.acceptor.handle_timeout(ctx.now_ns) {
            Some(action) => self.act(ctx, connection, action),
            None => Next::Continue,
        }
    }

    /// Asks the client for a sign of life.
    pub fn probe(&mut self, ctx: &mut Context<'_>) -> Next {
        let content = Content::TestRequest(b"ALIVE".to_vec());
        self.session_message(ctx, 0, SessionMessage::default(), Some(content))
    }

    fn request(&mut self, ctx: &mut Context<'_>, seq: u64, request: &Request) -> Next {
        let Some(bound) = self.bound else {
            return Next::Continue;
        };
        match request {
            Request::New(order) => match entry(ctx.reference, order) {
                Ok((order, None)) => ctx.send(bound, seq, order),
                Ok((order, Some(terms))) => {
                    ctx.send(bound, seq, EnterOrderWithTerms { order, terms });
                }
                Err(body) => ctx.send(bound, seq, *body),
            },
            Request::MassCancel(request) => {
                ctx.send(bound, seq, mass_cancellation(ctx.reference, request));
            }
            Request::Cancel(cancel) => match cancellation(ctx.reference, cancel) {
                Ok(body) => ctx.send(bound, seq, body),
                Err(body) => ctx.send(bound, seq, *body),
            },
            Request::Replace(order) => match replacement(ctx.reference, order) {
                Ok((replace, None)) => ctx.send(bound, seq, replace),
                Ok((replace, Some(terms))) => {
                    ctx.send(bound, seq, ReplaceOrderWithTerms { replace, terms });
                }
                Err(body) => ctx.send(bound, seq, *body),
            },
            Request::MassQuote(request) => {
                ctx.quotes.clear();
                for entry in self.acceptor.quote_entries() {
                    let instrument = named(ctx.reference, &entry.symbol).unwrap_or_default();
                    let entry = quotes::entry(ctx.reference, instrument, &wire_entry(entry));
                    ctx.quotes.push(entry);
                }
                ctx.send_quotes(bound, seq, &quote_head(request));
            }
            Request::QuoteCancel(request) => {
                ctx.send(bound, seq, quote_cancellation(ctx.reference, request));
            }
            Request::Status(request) => ctx.send(bound, seq, question(ctx.reference, request)),
            Request::MassStatus(request) => {
                ctx.send(bound, seq, question_of_all(ctx.reference, request));
            }
            Request::SecurityStatus(request) => {
                let symbol = symbol_text(&request.symbol);
                let statuses = &mut self.statuses;
                let answer = statuses.ask_instrument(ctx.reference, symbol, request);
                return self.session_message(ctx, seq, asked(b'e'), answer);
            }
            Request::SessionStatus(request) => {
                let answer = self.statuses.ask_session(ctx.reference, request);
                return self.session_message(ctx, seq, asked(b'g'), answer);
            }
            Request::Kill(request) => ctx.send(bound, seq, kill_switch(ctx.reference, request)),
            Request::Protection(request) => ctx.send(bound, seq, protection(request)),
            Request::ProtectionReset(request) => ctx.send(
                bound,
                seq,
                ResetProtection {
                    client_order_id: request.client_order_id,
                    protection_group: request.protection_group,
                    ..ResetProtection::default()
                },
            ),
            Request::CancelAfter(request) => ctx.send(
                bound,
                seq,
                CancelAfter {
                    after_ms: request.after_ms,
                    ..CancelAfter::default()
                },
            ),
        }
        Next::Continue
    }
}

/// A message that only uses its number in the core.
fn asked(inbound_kind: u8) -> SessionMessage {
    SessionMessage {
        inbound_kind,
        ..SessionMessage::default()
    }
}

fn security_status(status: &SecurityStatus, writer: &mut MessageWriter<'_>) {
    let (trading_status, stage) = statuses::in_fix(status.phase);
    writer.text(55, symbol_text(&status.symbol));
    if status.phase.is_none() {
        writer.text(58, Reason::UnknownInstrument.text().as_bytes());
    }
    if status.since != UtcNanos(0) {
        writer.timestamp(60, status.since);
    }
    writer.client_order_id(324, &status.request);
    writer.character(325, if status.unsolicited { b'Y' } else { b'N' });
    writer.number(326, trading_status);
    if status.phase.is_some() {
        writer.text(336, TRADING_SESSION);
    }
    if stage != 0 {
        writer.number(625, stage);
    }
}

fn session_status(status: &SessionStatus, writer: &mut MessageWriter<'_>) {
    writer.character(325, if status.unsolicited { b'Y' } else { b'N' });
    writer.client_order_id(335, &status.request);
    writer.text(336, symbol_text(&status.session));
    writer.number(340, u64::from(status.status));
    if status.status == statuses::REJECTED {
        writer.number(567, 1);
    }
}

fn symbol_text(symbol: &[u8]) -> &[u8] {
    &symbol[..symbol
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(symbol.len())]
}

/// The instrument that a request names; 0 = it names none, `None`: there is no such instrument.
fn named(reference: &ReferenceData, symbol: &[u8]) -> Option<InstrumentId> {
    let symbol = symbol_text(symbol);
    if symbol.is_empty() {
        return Some(InstrumentId(0));
    }
    let instrument = reference.instrument_by_symbol(symbol)?;
    Some(instrument.definition.instrument)
}

/// The same; a symbol that is no instrument's names one that cannot be, and the core says so.
fn named_or_unknown(reference: &ReferenceData, symbol: &[u8]) -> InstrumentId {
    named(reference, symbol).unwrap_or(InstrumentId(u32::MAX))
}

/// Instructions and self-trade prevention that the core knows to be none.
const UNSUPPORTED_INSTRUCTION: u8 = 0x80;
const UNSUPPORTED_PREVENTION: u8 = 0xFF;
const _: () = assert!(Instructions::ALL.0 & UNSUPPORTED_INSTRUCTION == 0);

fn quote_head(request: &MassQuoteRequest) -> MassQuoteHead {
    MassQuoteHead {
        quote_id: request.quote_id,
        account: request.account,
        protection_group: request.protection_group,
        instructions: request
            .instructions
            .map_or(UNSUPPORTED_INSTRUCTION, |instructions| instructions.0),
        response: request.response,
        self_trade_prevention: request
            .self_trade_prevention
            .unwrap_or(UNSUPPORTED_PREVENTION),
        ..MassQuoteHead::default()
    }
}

fn wire_entry(entry: &QuoteEntryRequest) -> WireEntry {
    let side = |side: QuoteSide| WireSide {
        price: side.price,
        quantity: side.quantity,
    };
    WireEntry {
        entry_id: entry.entry_id,
        layer: entry.layer,
        bid: entry.bid.map(side),
        ask: entry.ask.map(side),
        fault: entry.refusal,
    }
}

fn quote_cancellation(reference: &ReferenceData, request: &QuoteCancelRequest) -> QuoteCancel {
    QuoteCancel {
        quote_id: request.quote_id,
        instrument: named_or_unknown(reference, &request.symbol),
        protection_group: request.protection_group,
        layer: request.layer,
        scope: request.scope.as_u8(),
        ..QuoteCancel::default()
    }
}

fn question(reference: &ReferenceData, request: &StatusRequest) -> OrderStatusRequest {
    OrderStatusRequest {
        client_order_id: request.request,
        original: request.original,
        order_id: OrderId(request.order_id),
        instrument: named_or_unknown(reference, &request.symbol),
        side: stated_side(request.side),
        ..OrderStatusRequest::default()
    }
}

fn question_of_all(reference: &ReferenceData, request: &MassStatusRequest) -> OrderStatusRequest {
    OrderStatusRequest {
        client_order_id: request.request,
        instrument: named_or_unknown(reference, &request.symbol),
        side: stated_side(request.side),
        all: 1,
        ..OrderStatusRequest::default()
    }
}

fn kill_switch(reference: &ReferenceData, request: &KillRequest) -> KillSwitch {
    let by_symbol = !symbol_text(&request.symbol).is_empty();
    KillSwitch {
        client_order_id: request.client_order_id,
        target: if by_symbol {
            named_or_unknown(reference, &request.symbol).0
        } else {
            request.target
        },
        scope: request.scope,
        release: u8::from(request.release),
        ..KillSwitch::default()
    }
}

fn protection(request: &ProtectionRequest) -> ConfigureProtection {
    ConfigureProtection {
        client_order_id: request.client_order_id,
        quantity: Quantity(request.quantity),
        net: Quantity(request.net),
        fills: request.fills,
        window_ms: request.window_ms,
        frozen_ms: request.freeze_ms,
        protection_group: request.protection_group,
        ..ConfigureProtection::default()
    }
}

/// A FIX order in the core's units, or the refusal to be sequenced.
fn entry(
    reference: &ReferenceData,
    order: &OrderRequest,
) -> Result<(EnterOrder, Option<OrderTerms>), Box<RefuseOrder>> {
    let instrument = reference.instrument_by_symbol(symbol_text(&order.symbol));
    match terms(instrument, order) {
        Ok((instrument, price, quantity, terms)) => Ok((
            EnterOrder {
                client_order_id: order.client_order_id,
                price,
                quantity,
                instrument: instrument.definition.instrument,
                side: order.side - b'0',
                order_type: order_type(order),
                time_in_force: order.time_in_force.unwrap_or(b'0') - b'0',
                account: order.account.unwrap_or_default(),
                possible_resend: u8::from(order.possible_resend),
                instructions: order.instructions.unwrap_or_default().0,
                self_trade_prevention: order.self_trade_prevention.unwrap_or_default(),
                protection_group: order.protection_group.unwrap_or_default(),
            },
            terms,
        )),
        Err((reason, ref_tag)) => Err(Box::new(RefuseOrder {
            client_order_id: order.client_order_id,
            symbol: order.symbol,
            price_e8: order.price.map_or(i64::MIN, |price| price.0),
            quantity_e8: order.quantity.map_or(0, |quantity| quantity.0),
            instrument: instrument.map_or(InstrumentId(0), |known| known.definition.instrument),
            reason: reason.code(),
            ref_tag,
            side: order.side,
            order_type: order.order_type,
            time_in_force: order.time_in_force.unwrap_or(b'0'),
            possible_resend: u8::from(order.possible_resend),
            ..RefuseOrder::default()
        })),
    }
}

type Terms<'a> = (&'a Instrument, Price, Quantity, Option<OrderTerms>);

fn terms<'a>(
    instrument: Option<&'a Instrument>,
    order: &OrderRequest,
) -> Result<Terms<'a>, (Reason, u16)> {
    if let Some(refusal) = order.refusal {
        return Err(refusal);
    }
    let plain = |reason: Reason| (reason, 0);
    let instrument = instrument.ok_or_else(|| plain(Reason::UnknownInstrument))?;
    let price = match order.price {
        Some(price) => instrument.price_units(price).map_err(plain)?,
        None => NO_PRICE,
    };
    let quantity = order
        .quantity
        .ok_or_else(|| plain(Reason::QuantityBelowMinimum))?;
    let quantity = instrument.lots(quantity).map_err(plain)?;
    let lots = |quantity: Option<Decimal8>, reason: Reason, tag: u16| match quantity {
        None => Ok(Quantity(0)),
        Some(quantity) => instrument.lots(quantity).map_err(|_| (reason, tag)),
    };
    let terms = OrderTerms {
        stop_price: match order.stop_price {
            None => NO_PRICE,
            Some(price) => instrument
                .price_units(price)
                .map_err(|_| plain(Reason::StopPriceInvalid))?,
        },
        display: lots(order.display, Reason::DisplayQuantityInvalid, 111)?,
        minimum: lots(order.minimum, Reason::MinimumQuantityInvalid, 110)?,
        expire_at: order.expire_at,
    };
    let terms = (terms != OrderTerms::NONE).then_some(terms);
    Ok((instrument, price, quantity, terms))
}

fn cancellation(
    reference: &ReferenceData,
    cancel: &CancelRequest,
) -> Result<CancelOrder, Box<RefuseRequest>> {
    let symbol = symbol_text(&cancel.symbol);
    let instrument = match reference.instrument_by_symbol(symbol) {
        Some(instrument) => instrument.definition.instrument,
        None if symbol.is_empty() => InstrumentId(0),
        None => {
            return Err(Box::new(RefuseRequest {
                client_order_id: cancel.client_order_id,
                original: cancel.original,
                order_id: OrderId(cancel.order_id),
                request: CommandKind::CancelOrder as u8,
                reason: Reason::UnknownInstrument.code(),
                ..RefuseRequest::default()
            }));
        }
    };
    Ok(CancelOrder {
        client_order_id: cancel.client_order_id,
        original: cancel.original,
        order_id: OrderId(cancel.order_id),
        instrument,
        side: side_byte(cancel.side),
        ..CancelOrder::default()
    })
}

fn mass_cancellation(reference: &ReferenceData, request: &MassCancelRequest) -> MassCancel {
    MassCancel {
        client_order_id: request.client_order_id,
        instrument: named_or_unknown(reference, &request.symbol),
        account: request.account.unwrap_or_default(),
        scope: request.scope,
        side: stated_side(request.side),
        by_account: u8::from(request.account.is_some()),
        kinds: request.kinds,
        product: request.product,
        protection_group: request.protection_group,
        request_type: request.kind,
        ..MassCancel::default()
    }
}

/// Side(54) as the core's byte, 0 = not stated.
fn stated_side(side: u8) -> u8 {
    match side {
        0 => 0,
        side => side_byte(side),
    }
}

/// Side(54) as the core's byte; a side no order here has matches none.
fn side_byte(side: u8) -> u8 {
    match side {
        b'1' | b'2' => side - b'0',
        _ => 0xFF,
    }
}

fn replacement(
    reference: &ReferenceData,
    order: &OrderRequest,
) -> Result<(ReplaceOrder, Option<OrderTerms>), Box<RefuseRequest>> {
    let instrument = reference.instrument_by_symbol(symbol_text(&order.symbol));
    match terms(instrument, order) {
        Ok((instrument, price, quantity, terms)) => Ok((
            ReplaceOrder {
                client_order_id: order.client_order_id,
                original: order.original,
                order_id: OrderId(order.order_id),
                price,
                quantity,
                instrument: instrument.definition.instrument,
                side: side_byte(order.side),
                order_type: order_type(order),
                time_in_force: order.time_in_force.map_or(NOT_STATED, |tif| tif - b'0'),
                stated: stated_terms(order),
                account: order.account.unwrap_or_default(),
                protection_group: order.protection_group.unwrap_or_default(),
                instructions: order.instructions.unwrap_or_default().0,
                self_trade_prevention: order.self_trade_prevention.unwrap_or_default(),
            },
            terms,
        )),
        Err((reason, ref_tag)) => Err(Box::new(RefuseRequest {
            client_order_id: order.client_order_id,
            original: order.original,
            order_id: OrderId(order.order_id),
            request: CommandKind::ReplaceOrder as u8,
            reason: reason.code(),
            ref_tag,
            ..RefuseRequest::default()
        })),
    }
}

/// Which of the fields that a replace cannot change it states, for the core to compare.
fn stated_terms(order: &OrderRequest) -> u8 {
    let bit = |is_stated: bool, bit: u8| if is_stated { bit } else { 0 };
    bit(order.account.is_some(), stated::ACCOUNT)
        | bit(order.instructions.is_some(), stated::INSTRUCTIONS)
        | bit(
            order.self_trade_prevention.is_some(),
            stated::SELF_TRADE_PREVENTION,
        )
        | bit(order.protection_group.is_some(), stated::PROTECTION_GROUP)
}

/// Whether a refused request was a question: it is answered by a report.
fn is_question(event: &RequestRejected) -> bool {
    event.request == CommandKind::OrderStatusRequest as u8
}

/// Whether a numbered event is an application message, sent again word for word. The answer to a
/// mass quote is none if nothing of it is asked for; its number is filled.
fn is_application(header: &EventHeader, body: &EventBody<'_>) -> bool {
    if let EventBody::MassQuoteAnswered(event) = body {
        let refused = header.reason != Reason::None.code();
        return match event.head.response {
            response::NONE => refused,
            response::ERRORS => refused || event.head.refused > 0,
            _ => true,
        };
    }
    matches!(
        body,
        EventBody::OrderAccepted(_)
            | EventBody::OrderReplaced(_)
            | EventBody::OrderCanceled(_)
            | EventBody::OrderRejected(_)
            | EventBody::RequestRejected(_)
            | EventBody::Fill(_)
            | EventBody::OrderAcceptedWithTerms(_)
            | EventBody::OrderReplacedWithTerms(_)
            | EventBody::OrderTriggered(_)
            | EventBody::OrderRestated(_)
            | EventBody::QuoteRestated(_)
            | EventBody::MassCancelDone(_)
            | EventBody::BusinessRejected(_)
            | EventBody::QuoteFill(_)
            | EventBody::QuoteCanceled(_)
            | EventBody::QuoteCancelDone(_)
            | EventBody::ProtectionSet(_)
            | EventBody::ProtectionTripped(_)
            | EventBody::OrderStatusReport(_)
            | EventBody::QuoteStatusAnswered(_)
            | EventBody::TradeAmended(_)
            | EventBody::KillSwitchDone(_)
            | EventBody::CancelAfterSet(_)
    )
}

/// OrdStatus(39) and ExecType(150) characters.
fn status(byte: u8) -> u8 {
    if byte == OrderStatus::Expired.as_u8() {
        b'C'
    } else {
        b'0' + byte
    }
}

/// FIX's character of a value that continues its digits with letters.
fn fix_digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        letter => b'A' + (letter - 10),
    }
}

/// OrdType as the core's byte, read where FIX is read; one that is not known was refused before.
fn order_type(order: &OrderRequest) -> u8 {
    order.order_type().map_or(0, OrderType::as_u8)
}

fn states_limit(order: &OrderState) -> bool {
    OrderType::try_from(order.order_type)
        .is_ok_and(|kind| kind.has_limit() || kind == OrderType::MarketToLimit)
}

/// What only some orders have.
fn write_terms(
    instrument: Option<&Instrument>,
    terms: &OrderTerms,
    writer: &mut MessageWriter<'_>,
) {
    let Some(instrument) = instrument else { return };
    if terms.stop_price != NO_PRICE {
        writer.decimal(99, instrument.price(terms.stop_price));
    }
    if terms.minimum.0 != 0 {
        writer.decimal(110, instrument.quantity(terms.minimum));
    }
    if terms.display.0 != 0 {
        writer.decimal(111, instrument.quantity(terms.display));
    }
    if terms.expire_at.0 != 0 {
        writer.timestamp(126, terms.expire_at);
    }
}

/// The fields every ExecutionReport of an order has.
fn report(
    instrument: Option<&Instrument>,
    order: &OrderState,
    exec_type: u8,
    ids: (&ClientOrderId, &ClientOrderId),
    writer: &mut MessageWriter<'_>,
) {
    writer.number(37, order.order_id.0);
    writer.number(17, order.exec_id.0);
    writer.character(150, exec_type);
    writer.character(39, status(order.status));
    writer.client_order_id(11, ids.0);
    writer.client_order_id(41, ids.1);
    let Some(instrument) = instrument else { return };
    writer.text(55, &instrument.symbol);
    writer.character(54, b'0' + order.side);
    writer.decimal(38, instrument.quantity(order.quantity));
    writer.character(40, fix_digit(order.order_type));
    if states_limit(order) {
        writer.decimal(44, instrument.price(order.price));
    }
    writer.character(59, b'0' + order.time_in_force);
    writer.decimal(151, instrument.quantity(order.leaves));
    writer.decimal(14, instrument.quantity(order.cumulative));
    writer.decimal(
        6,
        instrument.average_price(order.notional, order.cumulative),
    );
    if order.account.0 != 0 {
        writer.number(1, u64::from(order.account.0));
    }
    let instructions = exec_inst(Instructions(order.instructions));
    if !instructions.is_empty() {
        writer.text(18, instructions);
    }
    if order.protection_group != 0 {
        writer.number(9019, u64::from(order.protection_group));
    }
}

/// ExecInst(18), empty = there is none.
fn exec_inst(instructions: Instructions) -> &'static [u8] {
    let exempt = instructions.has(Instructions::DISCONNECT_EXEMPT);
    match (instructions.has(Instructions::POST_ONLY), exempt) {
        (true, true) => b"6 H",
        (true, false) => b"6",
        (false, true) => b"H",
        (false, false) => b"",
    }
}

/// ExecRestatementReason(378) of an end that was not asked for by a cancel of the order: 8 the
/// market's, 12 the lost connection, 13 the logout, 99 what the order or its session asked for before.
fn restatement_reason(reason: Reason) -> u64 {
    match reason {
        Reason::PhaseEnded | Reason::VolatilityInterruption | Reason::PriceLevelCapacity => 8,
        Reason::CanceledOnDisconnect => 12,
        Reason::CanceledOnLogout => 13,
        _ => 99,
    }
}

/// [`report`] of an order by its ClOrdID(11), of a quote by its QuoteID(117).
fn report_either(
    instrument: Option<&Instrument>,
    order: &OrderState,
    exec_type: u8,
    is_quote: bool,
    writer: &mut MessageWriter<'_>,
) {
    let none = ClientOrderId::NONE;
    let (order_id, quote_id) = if is_quote {
        (&none, &order.client_order_id)
    } else {
        (&order.client_order_id, &none)
    };
    report(instrument, order, exec_type, (order_id, &none), writer);
    writer.client_order_id(117, quote_id);
}

/// Body fields of an application message: a pure function of the event, so a resend says the same.
fn write_body(
    reference: &ReferenceData,
    header: &EventHeader,
    body: &EventBody<'_>,
    writer: &mut MessageWriter<'_>,
) {
    let reason = Reason::try_from(header.reason).unwrap_or(Reason::None);
    let none = ClientOrderId::NONE;
    match *body {
        EventBody::OrderAccepted(event) => {
            let order = &event.order;
            let instrument = reference.instrument(order.instrument);
            report(
                instrument,
                order,
                b'0',
                (&order.client_order_id, &none),
                writer,
            );
        }
        EventBody::OrderAcceptedWithTerms(event) => {
            let order = &event.order;
            let instrument = reference.instrument(order.instrument);
            let ids = (&order.client_order_id, &none);
            report(instrument, order, b'0', ids, writer);
            write_terms(instrument, &event.terms, writer);
        }
        EventBody::OrderReplacedWithTerms(event) => {
            let order = &event.replaced.order;
            let instrument = reference.instrument(order.instrument);
            let ids = (&order.client_order_id, &event.replaced.original);
            report(instrument, order, b'5', ids, writer);
            write_terms(instrument, &event.terms, writer);
        }
        EventBody::OrderTriggered(event) => {
            let order = &event.order;
            let instrument = reference.instrument(order.instrument);
            let ids = (&order.client_order_id, &none);
            report(instrument, order, b'L', ids, writer);
            if reason == Reason::AuctionBegun {
                writer.text(58, reason.text().as_bytes());
            }
        }
        EventBody::OrderRestated(event) => {
            restated(
                reference,
                reason,
                event,
                &event.order.client_order_id,
                writer,
            );
        }
        EventBody::QuoteRestated(event) => {
            restated(reference, reason, &event.restated, &none, writer);
            writer.client_order_id(117, &event.restated.order.client_order_id);
            writer.client_order_id(299, &event.entry_id);
        }
        EventBody::MassCancelDone(event) => mass_cancel_done(reference, header, event, writer),
        EventBody::Fill(event) => {
            fill(reference, event, &event.order.client_order_id, writer);
        }
        EventBody::QuoteFill(event) => {
            fill(reference, &event.fill, &none, writer);
            writer.client_order_id(117, &event.fill.order.client_order_id);
            writer.client_order_id(299, &event.entry_id);
        }
        EventBody::MassQuoteAnswered(event) => {
            mass_quote_ack(reference, header, event, writer);
        }
        EventBody::QuoteCanceled(event) => quote_canceled(reference, reason, event, writer),
        EventBody::QuoteCancelDone(event) => quote_cancel_done(reference, header, event, writer),
        EventBody::ProtectionTripped(event) => tripped(event, writer),
        EventBody::ProtectionSet(event) => protection_set(header, event, writer),
        EventBody::KillSwitchDone(event) => kill_switch_done(header, event, writer),
        EventBody::CancelAfterSet(event) => {
            // The request has no id of its own.
            writer.number(45, header.inbound_seq);
            if event.cancel_at.0 != 0 {
                writer.timestamp(35032, event.cancel_at);
            }
            write_outcome(header, writer);
        }
        EventBody::OrderStatusReport(event) => {
            order_status(reference, header, event, None, writer);
        }
        EventBody::QuoteStatusAnswered(event) => {
            order_status(reference, header, &event.report, Some(event), writer);
        }
        EventBody::TradeAmended(event) => amended(reference, event, writer),
        EventBody::OrderReplaced(event) => {
            let order = &event.order;
            let instrument = reference.instrument(order.instrument);
            report(
                instrument,
                order,
                b'5',
                (&order.client_order_id, &event.original),
                writer,
            );
        }
        EventBody::OrderCanceled(event) => {
            let order = &event.order;
            let instrument = reference.instrument(order.instrument);
            let exec_type = status(order.status);
            if event.request.is_none() {
                report(
                    instrument,
                    order,
                    exec_type,
                    (&order.client_order_id, &none),
                    writer,
                );
                writer.number(378, restatement_reason(reason));
                writer.text(58, reason.text().as_bytes());
            } else {
                let ids = (&event.request, &order.client_order_id);
                report(instrument, order, exec_type, ids, writer);
            }
        }
        EventBody::OrderRejected(event) => {
            let instrument = reference.instrument(event.instrument);
            writer.text(37, b"NONE");
            writer.number(17, event.exec_id.0);
            writer.character(150, b'8');
            writer.character(39, b'8');
            writer.client_order_id(11, &event.client_order_id);
            let symbol = match instrument {
                Some(instrument) => &instrument.symbol,
                None => name_text(&event.symbol).as_bytes(),
            };
            writer.text(55, if symbol.is_empty() { b"[N/A]" } else { symbol });
            let raw = event.raw == 1;
            let character = |byte: u8| if raw { byte } else { fix_digit(byte) };
            writer.character(54, character(event.side));
            let (price, quantity) = rejected_terms(instrument, event, raw);
            if let Some(quantity) = quantity {
                writer.decimal(38, quantity);
            }
            writer.character(40, character(event.order_type));
            if let Some(price) = price {
                writer.decimal(44, price);
            }
            writer.character(59, character(event.time_in_force));
            if event.account.0 != 0 {
                writer.number(1, u64::from(event.account.0));
            }
            writer.number(151, 0);
            writer.number(14, 0);
            writer.number(6, 0);
            writer.number(103, u64::from(reason.ord_rej_reason()));
            explain(reason, header.ref_tag, writer);
        }
        EventBody::RequestRejected(event) if is_question(event) => {
            question_refused(reason, header.ref_tag, event, writer);
        }
        EventBody::RequestRejected(event) => {
            match event.order_id.0 {
                0 => writer.text(37, b"NONE"),
                id => writer.number(37, id),
            }
            writer.client_order_id(11, &event.client_order_id);
            if event.original.is_none() {
                writer.text(41, b"NONE");
            } else {
                writer.client_order_id(41, &event.original);
            }
            let replaced_away = is_replaced_away(reason, event);
            writer.character(
                39,
                if replaced_away {
                    REPLACED
                } else {
                    status(event.status)
                },
            );
            let replace = event.request == CommandKind::ReplaceOrder as u8;
            writer.character(434, if replace { b'2' } else { b'1' });
            writer.number(102, u64::from(reason.cxl_rej_reason()));
            if replaced_away {
                writer.text(58, REPLACED_AWAY);
            } else {
                explain(reason, header.ref_tag, writer);
            }
        }
        EventBody::BusinessRejected(event) => {
            writer.number(45, header.inbound_seq);
            let length = event
                .ref_msg_type
                .iter()
                .position(|&byte| byte == 0)
                .unwrap_or(8);
            explain(reason, 0, writer);
            writer.text(372, &event.ref_msg_type[..length]);
            writer.client_order_id(379, &event.ref_id);
            writer.number(380, u64::from(event.business_reason));
            return;
        }
        EventBody::InstrumentDefined(_)
        | EventBody::FirmDefined(_)
        | EventBody::SessionDefined(_)
        | EventBody::DefinitionRefused(_)
        | EventBody::LogonAnswered(_)
        | EventBody::SessionClosed(_)
        | EventBody::AdminMessage(_)
        | EventBody::CommandRefused(_)
        | EventBody::DayRolled(_)
        | EventBody::TickTableDefined(_)
        | EventBody::ReferenceSet(_)
        | EventBody::CapacitiesSet(_)
        | EventBody::AuditNoted(_)
        | EventBody::LimitsSet(_)
        | EventBody::AccountSet(_)
        | EventBody::PhaseChanged(_)
        | EventBody::AuctionIndicative(_)
        | EventBody::AuctionUncrossed(_) => return,
    }
    writer.timestamp(60, header.sequenced_at);
}

/// A restatement's report; `id` is the order's ClOrdID(11), a quote has none.
fn restated(
    reference: &ReferenceData,
    reason: Reason,
    event: &OrderRestated,
    id: &ClientOrderId,
    writer: &mut MessageWriter<'_>,
) {
    let order = &event.order;
    let instrument = reference.instrument(order.instrument);
    report(instrument, order, b'D', (id, &ClientOrderId::NONE), writer);
    // ExecRestatementReason: 1 renewal for a new day, 5 partial decline of the quantity.
    let carried = reason == Reason::CarriedOver;
    writer.number(378, if carried { 1 } else { 5 });
    writer.text(58, reason.text().as_bytes());
}

/// A fill's report; `id` is the order's ClOrdID(11), a quote has none.
fn fill(
    reference: &ReferenceData,
    event: &Fill,
    id: &ClientOrderId,
    writer: &mut MessageWriter<'_>,
) {
    let order = &event.order;
    let instrument = reference.instrument(order.instrument);
    report(instrument, order, b'F', (id, &ClientOrderId::NONE), writer);
    if let Some(instrument) = instrument {
        writer.decimal(31, instrument.price(event.last_price));
        writer.decimal(32, instrument.quantity(event.last_quantity));
    }
    writer.number(851, u64::from(event.liquidity));
    writer.number(880, event.trade_id.0);
}

fn mass_quote_ack(
    reference: &ReferenceData,
    header: &EventHeader,
    event: &MassQuoteAnswered,
    writer: &mut MessageWriter<'_>,
) {
    let head = &event.head;
    let reason = Reason::try_from(header.reason).unwrap_or(Reason::None);
    let refused = reason != Reason::None;
    if head.quote_id.is_none() {
        writer.text(117, b"NONE");
    }
    writer.client_order_id(117, &head.quote_id);
    writer.number(297, if refused { 5 } else { 0 });
    writer.number(301, u64::from(head.response));
    if head.protection_group != 0 {
        writer.number(9019, u64::from(head.protection_group));
    }
    if refused {
        writer.number(300, quote_reject_reason(reason));
        let tag = match reason {
            Reason::InvalidClientOrderId => 117,
            Reason::UnsupportedInstruction if header.ref_tag == 0 => 18,
            _ => header.ref_tag,
        };
        explain(reason, tag, writer);
        return;
    }
    let told = |result: &QuoteResult| {
        head.response == response::ALL || entry_status(result) == ENTRY_REJECTED
    };
    // A set is what stands together in one layer.
    let sets = || {
        event
            .results
            .chunk_by(|one, next| one.layer == next.layer)
            .filter(|set| set.iter().any(told))
    };
    writer.number(296, sets().count() as u64);
    for set in sets() {
        writer.number(302, u64::from(set[0].layer) + 1);
        writer.number(304, set.len() as u64);
        let entries = || set.iter().filter(|result| told(result));
        writer.number(295, entries().count() as u64);
        for result in entries() {
            write_result(reference, result, writer);
        }
    }
}

/// QuoteEntryStatus(1167).
const ENTRY_ACCEPTED: u64 = 0;
const ENTRY_REJECTED: u64 = 5;
const ENTRY_REMOVED: u64 = 6;

/// What became of an entry: rejected if one side was, removed if what it states is gone.
fn entry_status(result: &QuoteResult) -> u64 {
    let has = |status: QuoteStatus| {
        let status = status.as_u8();
        result.bid_status == status || result.ask_status == status
    };
    let gone = has(QuoteStatus::Removed) || has(QuoteStatus::Absent);
    if has(QuoteStatus::Refused) {
        ENTRY_REJECTED
    } else if gone && !has(QuoteStatus::Entered) && !has(QuoteStatus::Kept) {
        ENTRY_REMOVED
    } else {
        ENTRY_ACCEPTED
    }
}

fn write_result(reference: &ReferenceData, result: &QuoteResult, writer: &mut MessageWriter<'_>) {
    writer.client_order_id(299, &result.entry_id);
    if let Some(instrument) = reference.instrument(result.instrument) {
        writer.text(55, &instrument.symbol);
    }
    let side = |status: u8, code: u16, is_bid: bool| {
        let reason = Reason::try_from(code).unwrap_or(Reason::None);
        let tag = quotes::field_at_fault(reason, result.ref_tag, is_bid);
        (status == QuoteStatus::Refused.as_u8()).then_some((reason, tag))
    };
    let bid = side(result.bid_status, result.bid_reason, true);
    let ask = side(result.ask_status, result.ask_reason, false);
    if let Some((reason, _)) = bid.or(ask) {
        writer.number(368, quote_reject_reason(reason));
    }
    writer.number(1167, entry_status(result));
    match (bid, ask) {
        (Some((reason, tag)), Some(other)) if other == (reason, tag) => {
            explain_as(b"", reason, u32::from(tag), writer);
        }
        (Some((reason, tag)), _) => explain_as(b"Bid: ", reason, u32::from(tag), writer),
        (None, Some((reason, tag))) => explain_as(b"Ask: ", reason, u32::from(tag), writer),
        (None, None) => {}
    }
}

/// QuoteRejectReason(300), QuoteEntryRejectReason(368).
fn quote_reject_reason(reason: Reason) -> u64 {
    match reason {
        Reason::UnknownInstrument => 1,
        Reason::InstrumentNotTrading | Reason::NotAllowedInPhase => 2,
        Reason::QuantityAboveMaximum | Reason::OrderCapacity | Reason::QuoteCapacity => 3,
        Reason::DuplicateQuoteEntry => 6,
        Reason::QuoteCrossed => 7,
        Reason::PriceNotOnTick
        | Reason::PriceBelowMinimum
        | Reason::PriceAboveMaximum
        | Reason::PriceMissing
        | Reason::PriceOutsideBand => 8,
        Reason::TradingBlocked | Reason::NotPermitted | Reason::UnknownAccount => 9,
        // Risk limits are numbered together.
        reason if (200..220).contains(&reason.code()) => 3,
        _ => 99,
    }
}

/// A quote that ended: one side.
fn quote_canceled(
    reference: &ReferenceData,
    reason: Reason,
    event: &QuoteCanceled,
    writer: &mut MessageWriter<'_>,
) {
    let order = &event.canceled.order;
    writer.client_order_id(117, &order.client_order_id);
    // 6 removed from the market, 7 expired.
    let expired = order.status == OrderStatus::Expired.as_u8();
    writer.number(297, if expired { 7 } else { 6 });
    writer.client_order_id(299, &event.entry_id);
    writer.number(37, order.order_id.0);
    writer.character(54, b'0' + order.side);
    if let Some(instrument) = reference.instrument(order.instrument) {
        writer.text(55, &instrument.symbol);
        writer.decimal(14, instrument.quantity(order.cumulative));
    }
    if order.protection_group != 0 {
        writer.number(9019, u64::from(order.protection_group));
    }
    writer.text(58, reason.text().as_bytes());
}

fn quote_cancel_done(
    reference: &ReferenceData,
    header: &EventHeader,
    event: &QuoteCancelDone,
    writer: &mut MessageWriter<'_>,
) {
    let scope = QuoteCancelScope::try_from(event.scope);
    let of_symbol = matches!(
        scope,
        Ok(QuoteCancelScope::Instrument | QuoteCancelScope::Entry)
    );
    writer.client_order_id(117, &event.quote_id);
    // 1 canceled for a symbol, 4 canceled all, 5 rejected.
    let status = match header.reason {
        0 if of_symbol => 1,
        0 => 4,
        _ => 5,
    };
    writer.number(297, status);
    if let Some(instrument) = reference.instrument(event.instrument) {
        writer.text(55, &instrument.symbol);
    }
    if event.protection_group != 0 {
        writer.number(9019, u64::from(event.protection_group));
    }
    if scope == Ok(QuoteCancelScope::Entry) {
        writer.number(302, u64::from(event.layer) + 1);
    }
    writer.number(533, event.canceled);
    write_outcome(header, writer);
}

/// What a request of this venue's own came to: its reason code, and in words if it was refused.
fn write_outcome(header: &EventHeader, writer: &mut MessageWriter<'_>) {
    writer.number(35016, u64::from(header.reason));
    let reason = Reason::try_from(header.reason).unwrap_or(Reason::None);
    if reason != Reason::None {
        explain(reason, header.ref_tag, writer);
    }
}

/// Frozen(35026), and until when, if not until it is reset.
fn write_frozen(until: UtcNanos, writer: &mut MessageWriter<'_>) {
    writer.character(35026, if until.0 == 0 { b'N' } else { b'Y' });
    if !matches!(until.0, 0 | u64::MAX) {
        writer.timestamp(35025, until);
    }
}

/// No quote has a part in it: the group is frozen, and the ends of its quotes follow.
fn tripped(event: &ProtectionTripped, writer: &mut MessageWriter<'_>) {
    writer.text(117, b"NONE");
    writer.number(297, 6);
    writer.number(9019, u64::from(event.protection_group));
    writer.number(37, event.order_id.0);
    write_frozen(event.frozen_until, writer);
    writer.number(35027, event.window_quantity.0);
    writer.signed(35028, event.window_net);
    writer.number(35029, u64::from(event.window_fills));
    writer.number(35030, u64::from(event.limit));
    writer.text(58, Reason::ProtectionTripped.text().as_bytes());
}

fn protection_set(header: &EventHeader, event: &ProtectionSet, writer: &mut MessageWriter<'_>) {
    writer.client_order_id(11, &event.client_order_id);
    writer.number(9019, u64::from(event.protection_group));
    write_frozen(event.frozen_until, writer);
    writer.number(35020, event.quantity.0);
    writer.number(35021, event.net.0);
    writer.number(35022, u64::from(event.fills));
    writer.number(35023, u64::from(event.window_ms));
    writer.number(35024, u64::from(event.frozen_ms));
    writer.number(35027, event.window_quantity.0);
    writer.number(35029, u64::from(event.window_fills));
    write_outcome(header, writer);
}

fn kill_switch_done(header: &EventHeader, event: &KillSwitchDone, writer: &mut MessageWriter<'_>) {
    writer.client_order_id(11, &event.client_order_id);
    writer.number(37, header.sequence.0);
    writer.number(35012, u64::from(event.scope));
    if event.scope != KillScope::Venue.as_u8() {
        writer.number(35013, u64::from(event.target));
    }
    writer.character(35014, if event.release == 0 { b'N' } else { b'Y' });
    writer.number(533, event.canceled);
    write_outcome(header, writer);
}

/// What a mass cancel came to, and what it was asked for.
fn mass_cancel_done(
    reference: &ReferenceData,
    header: &EventHeader,
    event: &MassCancelDone,
    writer: &mut MessageWriter<'_>,
) {
    let reason = Reason::try_from(header.reason).unwrap_or(Reason::None);
    writer.client_order_id(11, &event.client_order_id);
    writer.number(37, header.sequence.0);
    // MassCancelRequestType: 1 one security, 3 one product, 7 all orders. Older logs do not have it.
    let what = match (event.request_type, event.instrument.0, event.product) {
        (0, 0, 0) => b'7',
        (0, 0, _) => b'3',
        (0, ..) => b'1',
        (stated, ..) => stated,
    };
    writer.character(530, what);
    writer.character(531, if reason == Reason::None { what } else { b'0' });
    if reason == Reason::None {
        writer.number(533, u64::from(event.canceled));
    } else {
        // 0 not supported, 1 unknown security, 99 anything else.
        let rejected = match reason {
            Reason::InvalidMassCancel => 0,
            Reason::UnknownInstrument => 1,
            _ => 99,
        };
        writer.number(532, rejected);
        explain(reason, header.ref_tag, writer);
    }
    if let Some(instrument) = reference.instrument(event.instrument) {
        writer.text(55, &instrument.symbol);
    }
    if event.product != 0 {
        writer.number(460, u64::from(event.product));
    }
    if matches!(event.side, 1 | 2) {
        writer.character(54, b'0' + event.side);
    }
    if event.by_account == 1 {
        writer.number(1, u64::from(event.account.0));
    }
    if event.protection_group != 0 {
        writer.number(9019, u64::from(event.protection_group));
    }
    let scope = MassCancelScope::try_from(event.scope);
    if matches!(scope, Ok(MassCancelScope::Firm | MassCancelScope::User)) {
        writer.number(35010, u64::from(event.scope));
    }
    if event.kinds != 0 {
        writer.number(35011, u64::from(event.kinds));
    }
}

/// An order, or a quote by its name, for who asked: ExecType(150) I.
fn order_status(
    reference: &ReferenceData,
    header: &EventHeader,
    event: &OrderStatusReport,
    quote: Option<&QuoteStatusAnswered>,
    writer: &mut MessageWriter<'_>,
) {
    let order = &event.order;
    if order.order_id.0 == 0 {
        let refused = Reason::try_from(header.reason).ok();
        let refused = refused.filter(|&reason| reason != Reason::None);
        let reason = refused.unwrap_or(Reason::UnknownOrder);
        let rejected = status(OrderStatus::Rejected.as_u8());
        no_order(rejected, &ClientOrderId::NONE, writer);
        writer.number(103, u64::from(reason.ord_rej_reason()));
        if event.all == 0 || refused.is_some() {
            explain(reason, header.ref_tag, writer);
        } else {
            writer.text(58, b"No open orders");
        }
    } else {
        let instrument = reference.instrument(order.instrument);
        report_either(instrument, order, b'I', event.is_quote == 1, writer);
        if let Some(quote) = quote {
            writer.client_order_id(299, &quote.entry_id);
            writer.number(302, u64::from(quote.layer) + 1);
        }
        write_terms(instrument, &event.terms, writer);
    }
    if event.all == 0 {
        writer.client_order_id(790, &event.request);
        return;
    }
    writer.client_order_id(584, &event.request);
    writer.number(911, u64::from(event.total));
    writer.character(912, if event.is_last == 1 { b'Y' } else { b'N' });
}

/// OrdStatus(39) of a ClOrdID that a replace put another in the place of.
const REPLACED: u8 = b'5';
const REPLACED_AWAY: &[u8] = b"Replaced: the order answers to its newest ClOrdID(11)";

/// A question about an order that is not open.
fn question_refused(
    reason: Reason,
    ref_tag: u32,
    event: &RequestRejected,
    writer: &mut MessageWriter<'_>,
) {
    if is_replaced_away(reason, event) {
        no_order(REPLACED, &event.original, writer);
        writer.client_order_id(790, &event.client_order_id);
        writer.text(58, REPLACED_AWAY);
        return;
    }
    no_order(status(event.status), &event.original, writer);
    if event.status == OrderStatus::Rejected.as_u8() {
        writer.number(103, u64::from(reason.ord_rej_reason()));
    }
    writer.client_order_id(790, &event.client_order_id);
    explain(reason, ref_tag, writer);
}

/// The fields that a report must have, of an order that nothing is known of any more.
fn no_order(order_status: u8, id: &ClientOrderId, writer: &mut MessageWriter<'_>) {
    writer.text(37, b"NONE");
    writer.number(17, 0);
    writer.character(150, b'I');
    writer.character(39, order_status);
    writer.client_order_id(11, id);
    writer.text(55, b"[N/A]");
    // Undisclosed.
    writer.character(54, b'7');
    writer.number(151, 0);
    writer.number(14, 0);
    writer.number(6, 0);
}

/// One side of a trade that the venue busted (150=H) or corrected (G).
fn amended(reference: &ReferenceData, event: &TradeAmended, writer: &mut MessageWriter<'_>) {
    let order = &event.order;
    let instrument = reference.instrument(order.instrument);
    let (exec_type, price) = match event.new_price {
        NO_PRICE => (b'H', event.price),
        price => (b'G', price),
    };
    report_either(instrument, order, exec_type, event.is_quote == 1, writer);
    writer.number(19, event.reference.0);
    if let Some(instrument) = instrument {
        writer.decimal(31, instrument.price(price));
        writer.decimal(32, instrument.quantity(event.quantity));
    }
    writer.number(851, u64::from(event.liquidity));
    writer.number(880, event.trade_id.0);
}

fn rejected_terms(
    instrument: Option<&Instrument>,
    event: &crate::engine::event::OrderRejected,
    raw: bool,
) -> (Option<Decimal8>, Option<Decimal8>) {
    let has_price = event.price != i64::MIN;
    let has_quantity = event.quantity > 0;
    match instrument {
        Some(instrument) if !raw => (
            has_price.then(|| instrument.price(Price(event.price))),
            has_quantity.then(|| {
                let lots = Quantity(event.quantity.unsigned_abs());
                instrument.quantity(lots)
            }),
        ),
        _ => (
            has_price.then_some(Decimal8(event.price)),
            has_quantity.then_some(Decimal8(event.quantity)),
        ),
    }
}

/// Text(58): the reason, and the field at fault.
fn explain(reason: Reason, ref_tag: u32, writer: &mut MessageWriter<'_>) {
    let tag = if ref_tag == 0 {
        u32::from(reason.field_tag())
    } else {
        ref_tag
    };
    explain_as(b"", reason, tag, writer);
}

/// [`explain`] behind a word of what it is about.
fn explain_as(about: &[u8], reason: Reason, tag: u32, writer: &mut MessageWriter<'_>) {
    let (text, code) = (
        reason.text().as_bytes(),
        Digits::of(u64::from(reason.code())),
    );
    match trading_engine_protocol::fix::dictionary::field(tag) {
        Some(field) => {
            let (name, tag) = (field.name.as_bytes(), Digits::of(u64::from(tag)));
            let (tag, code) = (tag.as_bytes(), code.as_bytes());
            writer.parts(
                58,
                &[about, text, b" (", name, b"(", tag, b"), code ", code, b")"],
            );
        }
        None => writer.parts(58, &[about, text, b" (code ", code.as_bytes(), b")"]),
    }
}
