//! The venue's side of a FIX session, as a pure machine.
//!
//! It owns no number. What it takes in becomes an [`Action`] with the inbound number it consumes;
//! what it wants to send is an [`Content`] that the core will number. It mirrors the next inbound
//! number, which the core told it at logon, so that it can tell duplicates and gaps apart.
//!
//! ```text
//! AwaitLogon --Logon--> LoggingOn --logon_accepted--> Active --Logout--> Closing
//! ```
//! Checks come in this order: framing, MsgType, MsgSeqNum (a SequenceReset-Reset has none), CompIDs and
//! SendingTime, dictionary, business. Garbled messages consume no number; everything else does.

use std::collections::{BTreeMap, VecDeque};

use super::codec::{Decoded, Message, decode, timestamp};
use super::dictionary;
use super::order::{self, Request, SYMBOL_LENGTH_MAX};
use super::quote::QuoteEntryRequest;
use super::validate::{Refusal, validate_as};
use super::{BEGIN_STRING, SOH};
use crate::types::{CANCEL_GRACE_MS_MAX, ClientOrderId, Reason, TradingPhase, UtcNanos};

/// Identity and bounds.
#[derive(Clone, Debug)]
pub struct AcceptorSettings {
    /// The venue's CompID.
    pub comp_id: Vec<u8>,
    /// Time from connect to a Logon.
    pub logon_timeout_ns: u64,
    /// SendingTime(52) may differ from the venue's clock by this much.
    pub sending_time_window_ns: u64,
    /// HeartBtInt(108) allowed, seconds.
    pub heartbeat_s: std::ops::RangeInclusive<u64>,
    /// Messages kept while a gap is being filled.
    pub queue_max: usize,
}

impl Default for AcceptorSettings {
    fn default() -> Self {
        Self {
            comp_id: b"TRADENG".to_vec(),
            logon_timeout_ns: 10_000_000_000,
            sending_time_window_ns: 120_000_000_000,
            heartbeat_s: 1..=300,
            queue_max: 4096,
        }
    }
}

/// A Logon whose form is right.
#[derive(Clone, Debug)]
pub struct LogonRequest {
    /// The client's SenderCompID(49).
    pub comp_id: Vec<u8>,
    /// MsgSeqNum(34).
    pub seq: u64,
    /// HeartBtInt(108).
    pub heartbeat_s: u64,
    /// ResetSeqNumFlag(141)=Y.
    pub reset: bool,
    /// Username(553).
    pub username: Vec<u8>,
    /// Password(554).
    pub password: Vec<u8>,
    /// NextExpectedMsgSeqNum(789), 0 = absent.
    pub next_expected: u64,
    /// CancelOnDisconnectType(35002): 0 none, 1 connection lost, 2 logout, 3 both.
    pub cancel_on_disconnect: u8,
    /// CODTimeoutWindow(35003), milliseconds.
    pub cancel_grace_ms: u32,
}

/// An outbound message whose content the core does not have, without its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// 35=0, with TestReqID(112) when it answers a TestRequest.
    Heartbeat(Vec<u8>),
    /// 35=1.
    TestRequest(Vec<u8>),
    /// 35=2: BeginSeqNo(7); EndSeqNo(16) is 0.
    ResendRequest(u64),
    /// 35=3.
    Reject {
        /// RefSeqNum(45).
        seq: u64,
        /// RefTagID(371), 0 = none.
        tag: u32,
        /// RefMsgType(372).
        message_type: Vec<u8>,
        /// SessionRejectReason(373).
        reason: u16,
        /// Text(58).
        text: String,
        /// Routing fields to be mirrored, whole.
        routing: Vec<u8>,
    },
    /// 35=5, with Text(58).
    Logout(String),
    /// 35=f.
    SecurityStatus(SecurityStatus),
    /// 35=h.
    SessionStatus(SessionStatus),
}

/// SecurityStatus(f): the phase of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityStatus {
    /// SecurityStatusReqID(324) of the request.
    pub request: ClientOrderId,
    /// UnsolicitedIndicator(325): a change, not the answer.
    pub unsolicited: bool,
    /// Symbol(55), zero-padded, as asked for.
    pub symbol: [u8; SYMBOL_LENGTH_MAX],
    /// Its phase; `None`: there is no such instrument.
    pub phase: Option<TradingPhase>,
    /// TransactTime(60): since when, 0 = not known.
    pub since: UtcNanos,
}

/// TradingSessionStatus(h): whether the venue trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// TradSesReqID(335) of the request.
    pub request: ClientOrderId,
    /// UnsolicitedIndicator(325): a change, not the answer.
    pub unsolicited: bool,
    /// TradingSessionID(336), zero-padded: as asked for where the request is rejected.
    pub session: [u8; SYMBOL_LENGTH_MAX],
    /// TradSesStatus(340): 0 unknown, 1 halted, 2 open, 3 closed, 4 pre-open, 5 pre-close, 6 the request is rejected
    /// because there is no such TradingSessionID(336).
    pub status: u8,
}

impl Content {
    /// MsgType(35).
    pub fn message_type(&self) -> u8 {
        match self {
            Self::Heartbeat(_) => b'0',
            Self::TestRequest(_) => b'1',
            Self::ResendRequest(_) => b'2',
            Self::Reject { .. } => b'3',
            Self::Logout(_) => b'5',
            Self::SecurityStatus(_) => b'f',
            Self::SessionStatus(_) => b'h',
        }
    }
}

/// What the caller does next.
#[derive(Clone, Debug)]
pub enum Action {
    /// More bytes are needed.
    NeedMore,
    /// Nothing: garbled, a duplicate, or kept until a gap is filled.
    Handled,
    /// Check the password, sequence the logon, then [`Acceptor::logon_accepted`].
    Logon(LogonRequest),
    /// Sequence it.
    Request {
        /// MsgSeqNum(34).
        seq: u64,
        /// The request.
        request: Request,
    },
    /// Sequence a session message: a number in, a number out, or both.
    Session {
        /// Inbound number consumed, 0 = none.
        inbound: u64,
        /// Inbound MsgType character, 0 = none.
        inbound_kind: u8,
        /// Next inbound number if not `inbound + 1`, 0 = that.
        next_inbound: u64,
        /// To be numbered and sent.
        send: Option<Content>,
        /// End the session after it.
        closes: bool,
    },
    /// Sequence a BusinessMessageReject(j).
    BusinessReject {
        /// MsgSeqNum(34) of the message.
        seq: u64,
        /// RefMsgType(372), zero-padded.
        message_type: [u8; 8],
        /// BusinessRejectReason(380).
        business_reason: u16,
        /// Why, for Text(58).
        reason: Reason,
    },
    /// Sequence the ResendRequest's own number, then serve it from the event log.
    Resend {
        /// MsgSeqNum(34) of the request.
        seq: u64,
        /// BeginSeqNo(7).
        begin: u64,
        /// EndSeqNo(16), 0 = everything.
        end: u64,
    },
    /// Flush what is numbered, then close without another word.
    Close(Reason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitLogon,
    LoggingOn,
    Active,
    /// A Logout is on its way out; the client closes, or time does.
    Closing,
    Closed,
}

/// From our Logout to the end without an answer.
const CLOSING_NS: u64 = 2_000_000_000;
/// Bytes kept while a gap is being filled.
const QUEUE_BYTES_MAX: usize = 1 << 20;

/// The machine of one connection.
#[derive(Clone, Debug)]
pub struct Acceptor {
    settings: AcceptorSettings,
    state: State,
    client: Vec<u8>,
    /// Next inbound number expected.
    expected: u64,
    /// Highest number a ResendRequest of ours is waiting for, 0 = none.
    gap_until: u64,
    queue: BTreeMap<u64, Vec<u8>>,
    queued_bytes: usize,
    follow_ups: VecDeque<Action>,
    heartbeat_ns: u64,
    last_sent_ns: u64,
    last_received_ns: u64,
    /// Of the state: by when a Logon, or the end after a Logout.
    deadline_ns: u64,
    test_request_sent: bool,
    /// Our Logout is on the wire.
    logout_sent: bool,
    /// The client's answer to it came.
    logout_answered: bool,
    message: Message,
    /// Of the mass quote just read; has room for one from the first on.
    quote_entries: Vec<QuoteEntryRequest>,
}

impl Acceptor {
    /// A fresh connection.
    pub fn new(settings: AcceptorSettings, now_ns: u64) -> Self {
        Self {
            deadline_ns: now_ns.saturating_add(settings.logon_timeout_ns),
            settings,
            state: State::AwaitLogon,
            client: Vec::new(),
            expected: 0,
            gap_until: 0,
            queue: BTreeMap::new(),
            queued_bytes: 0,
            follow_ups: VecDeque::new(),
            heartbeat_ns: 0,
            last_sent_ns: now_ns,
            last_received_ns: now_ns,
            test_request_sent: false,
            logout_sent: false,
            logout_answered: false,
            message: Message::default(),
            quote_entries: Vec::new(),
        }
    }

    /// Entries of the mass quote just handed over.
    pub fn quote_entries(&self) -> &[QuoteEntryRequest] {
        &self.quote_entries
    }

    /// The client's CompID, once it logged on.
    pub fn client(&self) -> &[u8] {
        &self.client
    }

    /// Whether the session is up.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// When something was last received.
    pub fn last_received_ns(&self) -> u64 {
        self.last_received_ns
    }

    /// The heartbeat interval in force.
    pub fn heartbeat_ns(&self) -> u64 {
        self.heartbeat_ns
    }

    /// Handles at most one message. Returns the bytes consumed and what to do; then
    /// [`Acceptor::follow_up`] until it has nothing.
    pub fn receive(&mut self, now_ns: u64, utc: UtcNanos, input: &[u8]) -> (usize, Action) {
        if matches!(self.state, State::LoggingOn | State::Closed) {
            return (0, Action::NeedMore);
        }
        let mut message = std::mem::take(&mut self.message);
        let outcome = decode(input, &mut message);
        let result = match outcome {
            Decoded::Incomplete => (0, Action::NeedMore),
            Decoded::Garbled(bytes) if self.state == State::AwaitLogon => {
                (bytes, self.close(Reason::ProtocolError))
            }
            Decoded::Garbled(bytes) => (bytes, Action::Handled),
            Decoded::Complete(bytes) => {
                self.last_received_ns = now_ns;
                self.test_request_sent = false;
                let action = match self.state {
                    State::AwaitLogon => self.first(utc, &message, &input[..bytes]),
                    // Nothing but an answer to our Logout counts any more.
                    State::Closing => {
                        self.logout_answered |= message.message_type(input) == b"5";
                        Action::Handled
                    }
                    State::LoggingOn | State::Active | State::Closed => {
                        self.next(utc, &message, &input[..bytes])
                    }
                };
                (bytes, action)
            }
        };
        self.message = message;
        result
    }

    /// What else the last message or the end of a gap asks for.
    pub fn follow_up(&mut self, utc: UtcNanos) -> Option<Action> {
        if let Some(action) = self.follow_ups.pop_front() {
            return Some(action);
        }
        if self.state != State::Active {
            return None;
        }
        let bytes = self.queue.remove(&self.expected)?;
        self.queued_bytes -= bytes.len();
        let mut message = std::mem::take(&mut self.message);
        let action = match decode(&bytes, &mut message) {
            Decoded::Complete(_) => self.next(utc, &message, &bytes),
            Decoded::Incomplete | Decoded::Garbled(_) => Action::Handled,
        };
        self.message = message;
        Some(action)
    }

    /// A Logout is on its way: the client has this long to answer it, whatever else it says.
    fn begin_closing(&mut self, now_ns: u64) {
        self.state = State::Closing;
        self.deadline_ns = now_ns.saturating_add(CLOSING_NS);
    }

    /// Our Logout was written.
    pub fn note_logout_sent(&mut self) {
        self.logout_sent = true;
    }

    fn close(&mut self, reason: Reason) -> Action {
        self.state = State::Closed;
        Action::Close(reason)
    }

    /// The first message must be a Logon in every respect; anything else closes without bytes.
    fn first(&mut self, utc: UtcNanos, message: &Message, bytes: &[u8]) -> Action {
        let rule = dictionary::message_position(b"A");
        let text = |tag| message.get(bytes, tag).unwrap_or_default().to_vec();
        let fine = message.get(bytes, 8) == Some(BEGIN_STRING)
            && message.message_type(bytes) == b"A"
            && message.get(bytes, 56) == Some(self.settings.comp_id.as_slice())
            && self.is_timely(utc, message, bytes)
            && rule.is_some_and(|rule| validate_as(rule, message, bytes).is_ok());
        let seq = message.number(bytes, 34).unwrap_or(0);
        let heartbeat_s = message.number(bytes, 108).unwrap_or(0);
        if !fine || seq == 0 || !self.settings.heartbeat_s.contains(&heartbeat_s) {
            return self.close(Reason::ProtocolError);
        }
        let Some((cancel_on_disconnect, cancel_grace_ms)) = cancel_on_disconnect(message, bytes)
        else {
            return self.close(Reason::CancelOnDisconnectUnsupported);
        };
        self.client = text(49);
        self.state = State::LoggingOn;
        self.heartbeat_ns = heartbeat_s * 1_000_000_000;
        Action::Logon(LogonRequest {
            comp_id: text(49),
            seq,
            heartbeat_s,
            reset: message.get(bytes, 141) == Some(b"Y"),
            username: text(553),
            password: text(554),
            next_expected: message.number(bytes, 789).unwrap_or(0),
            cancel_on_disconnect,
            cancel_grace_ms,
        })
    }

    fn is_timely(&self, utc: UtcNanos, message: &Message, bytes: &[u8]) -> bool {
        message
            .get(bytes, 52)
            .and_then(timestamp)
            .is_some_and(|sent| self.is_close(utc, sent))
    }

    fn is_close(&self, utc: UtcNanos, sent: UtcNanos) -> bool {
        sent.0.abs_diff(utc.0) <= self.settings.sending_time_window_ns
    }

    /// The core opened the session. `next_inbound` is what it expects next; `seq` is the Logon's
    /// own number: a higher one than expected leaves a gap, which is asked for, unless the client
    /// was told in the reply what is expected (`told`) and fills it by itself.
    pub fn logon_accepted(&mut self, now_ns: u64, seq: u64, next_inbound: u64, told: bool) {
        self.state = State::Active;
        self.expected = next_inbound;
        self.last_received_ns = now_ns;
        self.last_sent_ns = now_ns;
        if seq >= next_inbound && !told {
            self.gap_until = seq;
            self.follow_ups
                .push_back(session(0, 0, Some(Content::ResendRequest(next_inbound))));
        }
    }

    /// Something numbered was sent.
    pub fn note_sent(&mut self, now_ns: u64) {
        self.last_sent_ns = now_ns;
    }

    fn next(&mut self, utc: UtcNanos, message: &Message, bytes: &[u8]) -> Action {
        if message.get(bytes, 8) != Some(BEGIN_STRING) {
            return self.log_out("Incorrect BeginString");
        }
        let kind = message.message_type(bytes);
        let Some(seq) = message.number(bytes, 34) else {
            // No usable number: nothing can be consumed or answered.
            return self.log_out("Received message without MsgSeqNum(34)");
        };
        let duplicate = message.get(bytes, 43) == Some(b"Y");
        // These two are taken whatever their number is, and are held to everything else.
        if kind == b"4" && message.get(bytes, 123) != Some(b"Y") {
            let refusal = self.check(utc, seq, 0, kind, duplicate, message, bytes);
            return refusal.unwrap_or_else(|| self.reset(seq, message, bytes));
        }
        if kind == b"A" && seq == 1 && message.get(bytes, 141) == Some(b"Y") {
            let refusal = self.check(utc, seq, 0, kind, duplicate, message, bytes);
            return refusal.unwrap_or_else(|| self.reset_logon(message, bytes));
        }
        if seq < self.expected {
            if duplicate {
                return match self.check_duplicate(seq, message, bytes) {
                    Some(action) => action,
                    None => Action::Handled,
                };
            }
            let text = format!(
                "MsgSeqNum too low, expecting {} but received {seq}",
                self.expected
            );
            self.begin_closing(self.last_received_ns);
            return closing(0, 0, &text);
        }
        if seq > self.expected {
            // What is acted on early is checked early.
            if matches!(kind, b"2" | b"5")
                && let Some(refusal) = self.check(utc, seq, 0, kind, duplicate, message, bytes)
            {
                return refusal;
            }
            return self.too_high(seq, kind, message, bytes);
        }
        self.in_sequence(utc, seq, kind, duplicate, message, bytes)
    }

    /// A PossDup must say when it was first sent, and not after now.
    fn check_duplicate(&mut self, seq: u64, message: &Message, bytes: &[u8]) -> Option<Action> {
        let Some(original) = message.get(bytes, 122) else {
            let refusal = (1, 122, "Required tag missing");
            return Some(session(0, 0, Some(reject(seq, refusal, message, bytes))));
        };
        let sent = message.get(bytes, 52).and_then(timestamp);
        if timestamp(original)
            .zip(sent)
            .is_some_and(|(original, sent)| original > sent)
        {
            let refusal = (10, 122, "SendingTime accuracy problem");
            self.follow_ups
                .push_back(closing(0, 0, "SendingTime accuracy problem"));
            self.begin_closing(self.last_received_ns);
            return Some(session(0, 0, Some(reject(seq, refusal, message, bytes))));
        }
        None
    }

    /// A gap: keep the message, ask once for what is missing. Logouts and ResendRequests are acted
    /// on although they are early, or two gaps would wait for each other.
    fn too_high(&mut self, seq: u64, kind: &[u8], message: &Message, bytes: &[u8]) -> Action {
        let keep = self.queue.len() < self.settings.queue_max
            && self.queued_bytes + bytes.len() <= QUEUE_BYTES_MAX;
        if kind == b"2"
            && let (Some(begin), Some(end)) = (message.number(bytes, 7), message.number(bytes, 16))
        {
            self.follow_ups
                .push_back(Action::Resend { seq: 0, begin, end });
            if keep {
                // Its number is consumed later, as a heartbeat's would be.
                self.keep(seq, bytes);
            }
        } else if kind == b"5" {
            self.begin_closing(self.last_received_ns);
            return closing(0, b'5', "");
        } else if keep {
            self.keep(seq, bytes);
        }
        if self.gap_until >= self.expected {
            // What found no room has to be asked for when it is its turn.
            if keep {
                self.gap_until = self.gap_until.max(seq);
            }
            return self.follow_ups.pop_front().unwrap_or(Action::Handled);
        }
        self.gap_until = seq;
        session(0, 0, Some(Content::ResendRequest(self.expected)))
    }

    fn keep(&mut self, seq: u64, bytes: &[u8]) {
        self.queued_bytes += bytes.len();
        if let Some(replaced) = self.queue.insert(seq, bytes.to_vec()) {
            self.queued_bytes -= replaced.len();
        }
    }

    fn in_sequence(
        &mut self,
        utc: UtcNanos,
        seq: u64,
        kind: &[u8],
        duplicate: bool,
        message: &Message,
        bytes: &[u8],
    ) -> Action {
        if duplicate && let Some(action) = self.check_duplicate(seq, message, bytes) {
            return action;
        }
        let early_resend = kind == b"2" && self.gap_until >= seq && self.gap_until != 0;
        self.expected = seq + 1;
        if self.gap_until < self.expected {
            self.gap_until = 0;
        }
        if let Some(refusal) = self.check(utc, seq, seq, kind, duplicate, message, bytes) {
            return refusal;
        }
        match kind {
            b"0" | b"3" => session(seq, character(kind), None),
            b"1" => {
                let id = message.get(bytes, 112).unwrap_or_default().to_vec();
                session(seq, b'1', Some(Content::Heartbeat(id)))
            }
            b"2" => {
                let begin = message.number(bytes, 7).unwrap_or(1);
                let end = message.number(bytes, 16).unwrap_or(0);
                if early_resend {
                    // Served when it came; now only its number counts.
                    return session(seq, b'2', None);
                }
                Action::Resend { seq, begin, end }
            }
            b"4" => self.gap_fill(seq, message, bytes),
            b"5" => {
                self.begin_closing(self.last_received_ns);
                closing(seq, b'5', "")
            }
            // Any other Logon in an open session only consumes its number.
            b"A" => session(seq, b'A', None),
            _ => match order::read(message, bytes, &mut self.quote_entries) {
                Ok(request) => Action::Request { seq, request },
                Err(refusal) => refused(seq, refusal, message, bytes),
            },
        }
    }

    /// CompIDs, SendingTime, MsgType and dictionary, whatever the number is. `consumed` is the
    /// inbound number that a refusal uses up, 0 = none.
    #[allow(
        clippy::too_many_arguments,
        reason = "one message, taken apart by its reader"
    )]
    fn check(
        &mut self,
        utc: UtcNanos,
        seq: u64,
        consumed: u64,
        kind: &[u8],
        duplicate: bool,
        message: &Message,
        bytes: &[u8],
    ) -> Option<Action> {
        let sender = message.get(bytes, 49);
        let target = message.get(bytes, 56);
        let missing = sender.is_none() || target.is_none();
        if !missing
            && (sender != Some(self.client.as_slice())
                || target != Some(self.settings.comp_id.as_slice()))
        {
            let refusal = (9, 0, "CompID problem");
            return Some(self.reject_and_log_out(seq, consumed, refusal, message, bytes));
        }
        // A time that cannot be read is the dictionary's to refuse.
        if !duplicate
            && let Some(sent) = message.get(bytes, 52).and_then(timestamp)
            && !self.is_close(utc, sent)
        {
            let refusal = (10, 52, "SendingTime accuracy problem");
            return Some(self.reject_and_log_out(seq, consumed, refusal, message, bytes));
        }
        let rule = dictionary::message_position(kind);
        let Some(rule) = rule.filter(|&rule| dictionary::MESSAGES[rule].inbound) else {
            return Some(self.unknown_type(seq, kind, message, bytes));
        };
        match validate_as(rule, message, bytes) {
            Ok(()) => None,
            Err(refusal) => {
                let reject = Some(reject(seq, refusal, message, bytes));
                Some(session(consumed, character(kind), reject))
            }
        }
    }

    fn unknown_type(&mut self, seq: u64, kind: &[u8], message: &Message, bytes: &[u8]) -> Action {
        let elsewhere = dictionary::KNOWN_ELSEWHERE
            .iter()
            .any(|known| known.as_bytes() == kind);
        if !elsewhere {
            let refusal = if kind.is_empty() {
                (4, 35, "Tag specified without a value")
            } else {
                (11, 0, "Invalid MsgType")
            };
            return refused(seq, refusal, message, bytes);
        }
        let mut message_type = [0u8; 8];
        for (to, from) in message_type.iter_mut().zip(kind) {
            *to = *from;
        }
        Action::BusinessReject {
            seq,
            message_type,
            business_reason: 3,
            reason: Reason::UnsupportedMessage,
        }
    }

    /// SequenceReset-Reset: its own number does not count.
    fn reset(&mut self, seq: u64, message: &Message, bytes: &[u8]) -> Action {
        let Some(next) = message.number(bytes, 36) else {
            let refusal = (1, 36, "Required tag missing");
            return session(0, b'4', Some(reject(seq, refusal, message, bytes)));
        };
        if next < self.expected {
            let refusal = (5, 36, "Value is incorrect (out of range) for this tag");
            return session(0, b'4', Some(reject(seq, refusal, message, bytes)));
        }
        self.jump(next);
        Action::Session {
            inbound: 0,
            inbound_kind: b'4',
            next_inbound: next,
            send: None,
            closes: false,
        }
    }

    fn gap_fill(&mut self, seq: u64, message: &Message, bytes: &[u8]) -> Action {
        let next = message.number(bytes, 36).unwrap_or(0);
        if next <= seq {
            let refusal = (5, 36, "Value is incorrect (out of range) for this tag");
            return refused(seq, refusal, message, bytes);
        }
        self.jump(next);
        Action::Session {
            inbound: seq,
            inbound_kind: b'4',
            next_inbound: next,
            send: None,
            closes: false,
        }
    }

    fn jump(&mut self, next: u64) {
        self.expected = next;
        while let Some((&seq, _)) = self.queue.first_key_value() {
            if seq >= next {
                break;
            }
            if let Some(bytes) = self.queue.remove(&seq) {
                self.queued_bytes -= bytes.len();
            }
        }
        if self.gap_until < next {
            self.gap_until = 0;
        }
    }

    /// A Logon in an open session with ResetSeqNumFlag(141)=Y and number 1 starts the numbers
    /// again; whoever holds the connection need not prove it twice.
    fn reset_logon(&mut self, message: &Message, bytes: &[u8]) -> Action {
        let heartbeat_s = message.number(bytes, 108).unwrap_or(0);
        if !self.settings.heartbeat_s.contains(&heartbeat_s) {
            let refusal = (5, 108, "Value is incorrect (out of range) for this tag");
            return session(0, b'A', Some(reject(1, refusal, message, bytes)));
        }
        let Some((cancel_on_disconnect, cancel_grace_ms)) = cancel_on_disconnect(message, bytes)
        else {
            let refusal = (5, 35002, "Value is incorrect (out of range) for this tag");
            return session(0, b'A', Some(reject(1, refusal, message, bytes)));
        };
        self.queue.clear();
        self.queued_bytes = 0;
        self.gap_until = 0;
        self.state = State::LoggingOn;
        self.heartbeat_ns = heartbeat_s * 1_000_000_000;
        Action::Logon(LogonRequest {
            comp_id: self.client.clone(),
            seq: 1,
            heartbeat_s,
            reset: true,
            username: Vec::new(),
            password: Vec::new(),
            next_expected: 0,
            cancel_on_disconnect,
            cancel_grace_ms,
        })
    }

    fn log_out(&mut self, text: &str) -> Action {
        self.begin_closing(self.last_received_ns);
        closing(0, 0, text)
    }

    fn reject_and_log_out(
        &mut self,
        seq: u64,
        consumed: u64,
        refusal: Refusal,
        message: &Message,
        bytes: &[u8],
    ) -> Action {
        self.begin_closing(self.last_received_ns);
        self.follow_ups.push_back(closing(0, 0, refusal.2));
        let kind = character(message.message_type(bytes));
        session(consumed, kind, Some(reject(seq, refusal, message, bytes)))
    }

    /// The venue ends the session.
    pub fn end(&mut self, now_ns: u64, text: &str) -> Option<Action> {
        if self.state != State::Active {
            return None;
        }
        self.begin_closing(now_ns);
        Some(closing(0, 0, text))
    }

    /// When [`Acceptor::handle_timeout`] has something to do.
    pub fn next_deadline_ns(&self) -> Option<u64> {
        match self.state {
            State::AwaitLogon => Some(self.deadline_ns),
            State::LoggingOn | State::Closed => None,
            State::Closing if self.logout_sent && self.logout_answered => Some(0),
            State::Closing => Some(self.deadline_ns),
            State::Active => {
                let silent = self.last_received_ns.saturating_add(self.patience());
                if self.test_request_sent {
                    // No heartbeat while one of ours is unanswered.
                    return Some(silent);
                }
                Some(silent.min(self.last_sent_ns.saturating_add(self.heartbeat_ns)))
            }
        }
    }

    /// Silence of the client before the next step: a TestRequest at 1.2 intervals, the end at 2.4.
    fn patience(&self) -> u64 {
        let interval = self.heartbeat_ns / 10;
        if self.test_request_sent {
            interval * 24
        } else {
            interval * 12
        }
    }

    /// Time has come.
    pub fn handle_timeout(&mut self, now_ns: u64) -> Option<Action> {
        if self
            .next_deadline_ns()
            .is_none_or(|deadline| now_ns < deadline)
        {
            return None;
        }
        match self.state {
            State::AwaitLogon => Some(self.close(Reason::LogonTimeout)),
            State::LoggingOn | State::Closed => None,
            State::Closing => Some(self.close(Reason::LogoutRequested)),
            State::Active => {
                if now_ns >= self.last_received_ns.saturating_add(self.patience()) {
                    if self.test_request_sent {
                        return Some(self.close(Reason::HeartbeatTimeout));
                    }
                    self.test_request_sent = true;
                    return Some(session(0, 0, Some(Content::TestRequest(b"TEST".to_vec()))));
                }
                // Counted as sent now: the core's answer is a moment away.
                self.last_sent_ns = now_ns;
                Some(session(0, 0, Some(Content::Heartbeat(Vec::new()))))
            }
        }
    }
}

/// What a Logon asks for; `None` = not to be had.
fn cancel_on_disconnect(message: &Message, bytes: &[u8]) -> Option<(u8, u32)> {
    let kind = message.number(bytes, 35002).unwrap_or(0);
    let grace = message.number(bytes, 35003).unwrap_or(0);
    let kind = u8::try_from(kind).ok().filter(|kind| *kind <= 3)?;
    let grace = u32::try_from(grace)
        .ok()
        .filter(|grace| *grace <= CANCEL_GRACE_MS_MAX)?;
    Some((kind, grace))
}

/// A MsgType(35) that is one character, else 0: no session message is of two.
fn character(kind: &[u8]) -> u8 {
    match kind {
        [character] => *character,
        _ => 0,
    }
}

fn session(inbound: u64, inbound_kind: u8, send: Option<Content>) -> Action {
    Action::Session {
        inbound,
        inbound_kind,
        next_inbound: 0,
        send,
        closes: false,
    }
}

/// The message uses its number, and is rejected.
fn refused(seq: u64, refusal: Refusal, message: &Message, bytes: &[u8]) -> Action {
    let kind = character(message.message_type(bytes));
    session(seq, kind, Some(reject(seq, refusal, message, bytes)))
}

fn closing(inbound: u64, inbound_kind: u8, text: &str) -> Action {
    let send = Some(Content::Logout(text.to_owned()));
    Action::Session {
        inbound,
        inbound_kind,
        next_inbound: 0,
        send,
        closes: true,
    }
}

fn reject(seq: u64, refusal: Refusal, message: &Message, bytes: &[u8]) -> Content {
    let (reason, tag, what) = refusal;
    let name = dictionary::field(tag).map(|field| field.name);
    let value = message
        .get(bytes, tag)
        .map(|value| String::from_utf8_lossy(value).into_owned());
    let text = match (tag, name, value) {
        (0, _, _) => what.to_owned(),
        (_, Some(name), Some(value)) => format!("{what}, {name}({tag})={value}"),
        (_, Some(name), None) => format!("{what}, {name}({tag})"),
        (_, None, _) => format!("{what}, tag {tag}"),
    };
    Content::Reject {
        seq,
        tag,
        message_type: message.message_type(bytes).to_vec(),
        reason,
        text,
        routing: mirrored_routing(message, bytes),
    }
}

/// OnBehalfOf and DeliverTo fields of a message, turned around.
fn mirrored_routing(message: &Message, bytes: &[u8]) -> Vec<u8> {
    const MIRROR: [(u32, u32); 6] = [
        (115, 128),
        (116, 129),
        (128, 115),
        (129, 116),
        (144, 145),
        (145, 144),
    ];
    let mut pairs: Vec<(u32, &[u8])> = MIRROR
        .iter()
        .filter_map(|(from, to)| {
            message
                .get(bytes, *from)
                .filter(|value| !value.is_empty())
                .map(|value| (*to, value))
        })
        .collect();
    pairs.sort_unstable_by_key(|(tag, _)| *tag);
    let mut out = Vec::new();
    for (tag, value) in pairs {
        out.extend_from_slice(tag.to_string().as_bytes());
        out.push(b'=');
        out.extend_from_slice(value);
        out.push(SOH);
    }
    out
}
