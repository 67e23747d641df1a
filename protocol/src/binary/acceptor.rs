//! The server's side of a session: bytes and `now` in, bytes and one [`Action`] a frame out.
//!
//! ```text
//! AwaitLogon --Logon--> Authenticating --accept--> Replaying --complete--> Active
//!      |                      |                        |                     |
//!      +----------------------+------ any error -------+---------------------+--> Closed
//! ```
//! The caller owns the socket, the key check, the core and the replay; this owns the order in
//! which things may happen, timers, and every answer that does not come from the core.

use crate::types::{
    CANCEL_GRACE_MS_MAX, Instructions, KillScope, MassCancelScope, OrderType, QuoteCancelScope,
    Reason, SelfTradePrevention, Side, TimeInForce,
};

use super::frame::{
    Entries, Frame, FrameHeader, block, block_and_group, decode_frame, write_message,
};
use super::message::{
    CancelAfter, CancelOrder, Grouped, Heartbeat, InstrumentDefinition, KillSwitch, Logon,
    LogonAccepted, LogonRejected, Logout, MassCancel, MassQuote, Message, NewOrder,
    OrderStatusRequest, ProtectionConfig, ProtectionReset, QuoteCancel, Reject, ReplaceOrder,
    ReplayComplete, ServerHello, TestRequest, TradingStatus,
};
use super::{
    FRAME_LENGTH_MAX, LOGON_TRADING_STATUS, MASS_CANCEL_BY_ACCOUNT, MASS_CANCEL_ORDERS,
    MASS_CANCEL_QUOTES, MASS_QUOTE_ALL_OR_NONE, MASS_QUOTE_FULL_ACK, MASS_QUOTE_POST_ONLY,
    QUOTE_LAYER_FIELD, QUOTE_NO_ASK, QUOTE_NO_BID, VERSION, VERSION_MIN, logon_text,
};

/// Bounds and identity of an acceptor.
#[derive(Clone, Copy, Debug)]
pub struct AcceptorSettings {
    /// Told in ServerHello.
    pub gateway_id: u32,
    /// Time from connect to a Logon.
    pub logon_timeout_ns: u64,
    /// Shortest heartbeat interval granted.
    pub heartbeat_min_ms: u32,
    /// Longest heartbeat interval granted.
    pub heartbeat_max_ms: u32,
}

impl Default for AcceptorSettings {
    fn default() -> Self {
        Self {
            gateway_id: 0,
            logon_timeout_ns: 5_000_000_000,
            heartbeat_min_ms: 100,
            heartbeat_max_ms: 60_000,
        }
    }
}

/// A Logon whose form is right; its key is still to be checked.
#[derive(Clone, Debug)]
pub struct LogonRequest {
    /// As sent.
    pub logon: Logon,
    /// What the signature is over.
    pub signed: [u8; super::SIGNED_LENGTH],
}

impl LogonRequest {
    /// The key id without its padding.
    pub fn key_id(&self) -> &[u8] {
        let id = &self.logon.key_id;
        &id[..id.iter().position(|&byte| byte == 0).unwrap_or(id.len())]
    }
}

/// What one frame asks of the caller.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "passed by value once, never stored"
)]
pub enum Action {
    /// The frame is not complete.
    NeedMore,
    /// Nothing; an answer may be in the output.
    Handled,
    /// Check the key, then call [`Acceptor::logon_accepted`] or [`Acceptor::logon_rejected`].
    Logon(LogonRequest),
    /// Sequence it.
    NewOrder {
        /// Client number.
        seq: u64,
        /// The order.
        order: NewOrder,
        /// It is well formed, but asks for something that is not there: to be refused by the
        /// core, with this reason and SBE field id (FIX tag).
        unsupported: Option<(Reason, u16)>,
    },
    /// Sequence it.
    ReplaceOrder {
        /// Client number.
        seq: u64,
        /// The request.
        replace: ReplaceOrder,
    },
    /// Sequence it.
    CancelOrder {
        /// Client number.
        seq: u64,
        /// The request.
        cancel: CancelOrder,
    },
    /// Sequence it.
    MassCancel {
        /// Client number.
        seq: u64,
        /// The request.
        request: MassCancel,
    },
    /// Sequence it.
    CancelAfter {
        /// Client number.
        seq: u64,
        /// From now, 0 = not any more.
        after_ms: u32,
    },
    /// Sequence it.
    OrderStatus {
        /// Client number.
        seq: u64,
        /// The request.
        request: OrderStatusRequest,
    },
    /// Sequence it. The entries are read from the input that was given to [`Acceptor::receive`].
    MassQuote {
        /// Client number.
        seq: u64,
        /// What the entries have in common.
        quote: MassQuote,
        /// Where they are.
        entries: Entries,
    },
    /// Sequence it.
    QuoteCancel {
        /// Client number.
        seq: u64,
        /// The request.
        request: QuoteCancel,
    },
    /// Sequence it.
    ProtectionConfig {
        /// Client number.
        seq: u64,
        /// The request.
        request: ProtectionConfig,
    },
    /// Sequence it.
    ProtectionReset {
        /// Client number.
        seq: u64,
        /// The request.
        request: ProtectionReset,
    },
    /// Sequence it.
    KillSwitch {
        /// Client number.
        seq: u64,
        /// The request.
        request: KillSwitch,
    },
    /// Flush the output and close.
    Close(Reason),
}

/// What [`Acceptor::receive`] did.
#[derive(Clone, Debug)]
pub struct Received {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// What to do.
    pub action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitLogon,
    Authenticating,
    Replaying,
    Active,
    Closed,
}

/// The state machine of one connection.
#[derive(Clone, Debug)]
pub struct Acceptor {
    settings: AcceptorSettings,
    nonce: [u8; 32],
    state: State,
    deadline_ns: u64,
    heartbeat_ns: u64,
    last_sent_ns: u64,
    last_received_ns: u64,
    /// Highest client number handed to the caller.
    client_seq: u64,
    /// Next outbound number, for heartbeats.
    next_seq: u64,
    /// One reject reason for the caller's convenience in logs.
    wanted_heartbeat_ms: u32,
}

impl Acceptor {
    /// A fresh connection: writes ServerHello.
    pub fn new(
        settings: AcceptorSettings,
        nonce: [u8; 32],
        now_ns: u64,
        server_time: u64,
        out: &mut Vec<u8>,
    ) -> Self {
        let hello = ServerHello {
            nonce,
            server_time,
            gateway_id: settings.gateway_id,
            max_frame: FRAME_LENGTH_MAX as u16,
            min_version: VERSION_MIN,
            max_version: VERSION,
        };
        write_message(out, &hello, 0);
        Self {
            settings,
            nonce,
            state: State::AwaitLogon,
            deadline_ns: now_ns.saturating_add(settings.logon_timeout_ns),
            heartbeat_ns: 0,
            last_sent_ns: now_ns,
            last_received_ns: now_ns,
            client_seq: 0,
            next_seq: 1,
            wanted_heartbeat_ms: 0,
        }
    }

    /// Whether orders are taken.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// Handles at most one frame of `input`; answers go to `out`.
    #[inline]
    pub fn receive(&mut self, now_ns: u64, input: &[u8], out: &mut Vec<u8>) -> Received {
        if self.state == State::Closed || self.state == State::Authenticating {
            // While the key is being checked nothing is read: the caller waits.
            return Received {
                consumed: 0,
                action: Action::NeedMore,
            };
        }
        match decode_frame(input) {
            Ok(Frame::Incomplete(_)) => Received {
                consumed: 0,
                action: Action::NeedMore,
            },
            Ok(Frame::Complete { header, body }) => {
                self.last_received_ns = now_ns;
                let action = self.frame(now_ns, &header, body, out);
                Received {
                    consumed: header.length as usize,
                    action,
                }
            }
            Err(_) => Received {
                consumed: input.len(),
                action: self.protocol_error(now_ns, None, out),
            },
        }
    }

    #[inline]
    fn frame(
        &mut self,
        now_ns: u64,
        header: &FrameHeader,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Action {
        if self.state == State::AwaitLogon {
            return self.logon(now_ns, header, body, out);
        }
        if header.version < VERSION_MIN || header.version > VERSION {
            return self.protocol_error(now_ns, Some(header), out);
        }
        match header.template_id {
            NewOrder::TEMPLATE => self.new_order(now_ns, header, body, out),
            CancelOrder::TEMPLATE => self.cancel_order(now_ns, header, body, out),
            ReplaceOrder::TEMPLATE => self.replace_order(now_ns, header, body, out),
            MassCancel::TEMPLATE => self.simple(now_ns, header, body, out, |seq, request| {
                Action::MassCancel { seq, request }
            }),
            CancelAfter::TEMPLATE => self.cancel_after(now_ns, header, body, out),
            MassQuote::TEMPLATE => self.mass_quote(now_ns, header, body, out),
            OrderStatusRequest::TEMPLATE => {
                self.simple(now_ns, header, body, out, |seq, request| {
                    Action::OrderStatus { seq, request }
                })
            }
            QuoteCancel::TEMPLATE => self.simple(now_ns, header, body, out, |seq, request| {
                Action::QuoteCancel { seq, request }
            }),
            ProtectionConfig::TEMPLATE => self.simple(now_ns, header, body, out, |seq, request| {
                Action::ProtectionConfig { seq, request }
            }),
            ProtectionReset::TEMPLATE => self.simple(now_ns, header, body, out, |seq, request| {
                Action::ProtectionReset { seq, request }
            }),
            KillSwitch::TEMPLATE => self.simple(now_ns, header, body, out, |seq, request| {
                Action::KillSwitch { seq, request }
            }),
            Heartbeat::TEMPLATE => match block::<Heartbeat>(header, body) {
                Some(_) if header.seq == 0 => Action::Handled,
                _ => self.protocol_error(now_ns, Some(header), out),
            },
            TestRequest::TEMPLATE => match block::<TestRequest>(header, body) {
                Some(request) if header.seq == 0 => {
                    self.heartbeat(now_ns, request.test_id, out);
                    Action::Handled
                }
                _ => self.protocol_error(now_ns, Some(header), out),
            },
            Logout::TEMPLATE => match block::<Logout>(header, body) {
                Some(logout) if header.seq == 0 && logout.reserved == 0 => {
                    self.logout(now_ns, Reason::LogoutRequested, 0, out);
                    Action::Close(Reason::LogoutRequested)
                }
                _ => self.protocol_error(now_ns, Some(header), out),
            },
            _ => {
                self.reject(now_ns, header, 0, Reason::UnsupportedMessage, 0, out);
                Action::Handled
            }
        }
    }

    fn logon(
        &mut self,
        now_ns: u64,
        header: &FrameHeader,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Action {
        if header.template_id != Logon::TEMPLATE {
            return self.protocol_error(now_ns, Some(header), out);
        }
        if header.version < VERSION_MIN || header.version > VERSION {
            return self.refuse_logon(Reason::UnsupportedVersion, out);
        }
        let Some(logon) = block::<Logon>(header, body) else {
            return self.protocol_error(now_ns, Some(header), out);
        };
        if header.seq != 0 || logon.flags & !LOGON_TRADING_STATUS != 0 {
            return self.protocol_error(now_ns, Some(header), out);
        }
        if logon.cod_type > 3 || logon.cod_grace_ms > CANCEL_GRACE_MS_MAX {
            return self.refuse_logon(Reason::CancelOnDisconnectUnsupported, out);
        }
        if !matches!(logon.auth_type, 1 | 2) {
            return self.refuse_logon(Reason::NotAuthorized, out);
        }
        self.state = State::Authenticating;
        self.wanted_heartbeat_ms = logon.heartbeat_ms;
        Action::Logon(LogonRequest {
            signed: logon_text(&self.nonce, &logon),
            logon,
        })
    }

    fn refuse_logon(&mut self, reason: Reason, out: &mut Vec<u8>) -> Action {
        self.logon_rejected(
            LogonRejected {
                reason: reason.code(),
                ..Default::default()
            },
            out,
        );
        Action::Close(reason)
    }

    #[inline]
    fn new_order(
        &mut self,
        now_ns: u64,
        header: &FrameHeader,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Action {
        let Some(order) = block::<NewOrder>(header, body) else {
            return self.protocol_error(now_ns, Some(header), out);
        };
        if !self.admit(now_ns, header, order.cl_ord_id, CL_ORD_ID, out) {
            return Action::Handled;
        }
        let invalid = if Side::try_from(order.side).is_err() {
            54
        } else if !matches!(order.ord_type, 1..=4 | 20) {
            40
        } else if !matches!(order.tif, 0..=4 | 6 | 7) {
            59
        } else {
            0
        };
        if invalid != 0 {
            self.reject(
                now_ns,
                header,
                order.cl_ord_id,
                Reason::InvalidField,
                invalid,
                out,
            );
            return Action::Handled;
        }
        self.client_seq = header.seq;
        Action::NewOrder {
            seq: header.seq,
            unsupported: unsupported(&order),
            order,
        }
    }

    #[inline]
    fn cancel_order(
        &mut self,
        now_ns: u64,
        header: &FrameHeader,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Action {
        let cancel = match block::<CancelOrder>(header, body) {
            Some(cancel) if cancel.reserved == 0 => cancel,
            _ => return self.protocol_error(now_ns, Some(header), out),
        };
        if !self.admit(now_ns, header, cancel.cl_ord_id, CL_ORD_ID, out) {
            return Action::Handled;
        }
        self.client_seq = header.seq;
        Action::CancelOrder {
            seq: header.seq,
            cancel,
        }
    }

    fn replace_order(
        &mut self,
        now_ns: u64,
        header: &FrameHeader,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Action {
        let replace = match block::<ReplaceOrder>(header, body) {
            Some(replace) if replace.reserved == 0 => replace,
            _ => return self.protocol_error(now_ns, Some(header), out),
        };
        if !self.admit(now_ns, header, replace.cl_ord_id, CL_ORD_ID, out) {
            return Action::Handled;
        }
        self.client_seq = header.seq;
        Action::ReplaceOrder {
            seq: header.seq,
            replace,
        }
    }

    /// A request that is one block: its form, session, number, id, values.
    fn simple<M: Request>(
        &mut self,
        now_ns: u64,
        header: &FrameHeader,
        body: &[u8],
        out: &mut Vec<u8>,
        action: impl FnOnce(u64, M) -> Action,
    ) -> Action {
        let Some(request) = block::<M>(header, body).filter(M::is_clear) else {
            return self.protocol_error(now_ns, Some(header), out);
        };
        if !self.is_right(now_ns, header, &request, request.invalid_field(), out) {
            return Action::Handled;
        }
        action(header.seq, request)
    }

    fn mass_quote(
        &mut self,
        now_ns: u64,
        header: &FrameHeader,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Action {
        let found = block_and_group::<MassQuote>(header, body);
        let Some((quote, entries)) = found.filter(|(quote, _)| quote.is_clear()) else {
            return self.protocol_error(now_ns, Some(header), out);
        };
        let invalid = match quote.invalid_field() {
            0 => invalid_entries(entries, body),
            field => field,
        };
        if !self.is_right(now_ns, header, &quote, invalid, out) {
            return Action::Handled;
        }
        Action::MassQuote {
            seq: header.seq,
            quote,
            entries,
        }
    }

    /// Whether a request may go to the core: its number is used then.
    fn is_right<M: Request>(
        &mut self,
        now_ns: u64,
        header: &FrameHeader,
        request: &M,
        invalid: u16,
        out: &mut Vec<u8>,
    ) -> bool {
        let id = request.id();
        if !self.admit(now_ns, header, id, M::ID_FIELD, out) {
            return false;
        }
        if invalid != 0 {
            self.reject(now_ns, header, id, Reason::InvalidField, invalid, out);
            return false;
        }
        self.client_seq = header.seq;
        true
    }

    fn cancel_after(
        &mut self,
        now_ns: u64,
        header: &FrameHeader,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Action {
        let request = match block::<CancelAfter>(header, body) {
            Some(request) if request.reserved == 0 => request,
            _ => return self.protocol_error(now_ns, Some(header), out),
        };
        // It has no id of its own to be missing.
        if !self.admit(now_ns, header, 1, CL_ORD_ID, out) {
            return Action::Handled;
        }
        self.client_seq = header.seq;
        Action::CancelAfter {
            seq: header.seq,
            after_ms: request.after_ms,
        }
    }

    /// What every order message must have: an active session, a number above all before, an id.
    #[inline]
    fn admit(
        &mut self,
        now_ns: u64,
        header: &FrameHeader,
        cl_ord_id: u64,
        id_field: u16,
        out: &mut Vec<u8>,
    ) -> bool {
        let (reason, field) = if self.state != State::Active {
            (Reason::NotActive, 0)
        } else if header.seq <= self.client_seq {
            (Reason::DuplicateSequence, 34)
        } else if cl_ord_id == 0 {
            (Reason::InvalidField, id_field)
        } else {
            return true;
        };
        self.reject(now_ns, header, cl_ord_id, reason, field, out);
        false
    }

    /// Refuses a message that does not reach the core.
    pub fn reject(
        &mut self,
        now_ns: u64,
        header: &FrameHeader,
        cl_ord_id: u64,
        reason: Reason,
        field: u16,
        out: &mut Vec<u8>,
    ) {
        let reject = Reject {
            ref_seq: header.seq,
            ref_cl_ord_id: cl_ord_id,
            ref_template_id: header.template_id,
            reason: reason.code(),
            ref_field_id: field,
            ..Reject::default()
        };
        write_message(out, &reject, 0);
        self.note_sent(now_ns);
    }

    fn protocol_error(
        &mut self,
        now_ns: u64,
        header: Option<&FrameHeader>,
        out: &mut Vec<u8>,
    ) -> Action {
        let header = header.copied().unwrap_or_default();
        self.reject(now_ns, &header, 0, Reason::ProtocolError, 0, out);
        self.logout(now_ns, Reason::ProtocolError, 0, out);
        Action::Close(Reason::ProtocolError)
    }

    /// The core gave the session to this connection. `accepted.heartbeat_ms` is filled here.
    pub fn logon_accepted(&mut self, now_ns: u64, accepted: LogonAccepted, out: &mut Vec<u8>) {
        let heartbeat_ms = self.wanted_heartbeat_ms.clamp(
            self.settings.heartbeat_min_ms,
            self.settings.heartbeat_max_ms,
        );
        self.heartbeat_ns = u64::from(heartbeat_ms) * 1_000_000;
        self.client_seq = accepted.last_client_seq;
        self.next_seq = accepted.next_seq;
        self.state = State::Replaying;
        self.last_received_ns = now_ns;
        write_message(
            out,
            &LogonAccepted {
                heartbeat_ms,
                ..accepted
            },
            0,
        );
        self.note_sent(now_ns);
    }

    /// The key or the core said no. The caller flushes and closes.
    pub fn logon_rejected(&mut self, rejected: LogonRejected, out: &mut Vec<u8>) {
        write_message(out, &rejected, 0);
        self.state = State::Closed;
    }

    /// Reference data, unnumbered.
    pub fn instrument(&mut self, definition: &InstrumentDefinition, out: &mut Vec<u8>) {
        write_message(out, definition, 0);
    }

    /// The phase of an instrument, unnumbered.
    pub fn trading_status(&mut self, status: &TradingStatus, out: &mut Vec<u8>) {
        write_message(out, status, 0);
    }

    /// The replay is in `out`: orders are taken from now on.
    pub fn replay_complete(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        let done = ReplayComplete {
            next_seq: self.next_seq,
            last_client_seq: self.client_seq,
        };
        write_message(out, &done, 0);
        self.state = State::Active;
        self.note_sent(now_ns);
    }

    /// A numbered message went out; `next_seq` is the number after it.
    #[inline]
    pub fn note_numbered(&mut self, now_ns: u64, next_seq: u64) {
        self.next_seq = next_seq;
        self.last_sent_ns = now_ns;
    }

    #[inline]
    fn note_sent(&mut self, now_ns: u64) {
        self.last_sent_ns = now_ns;
    }

    fn heartbeat(&mut self, now_ns: u64, test_id: u64, out: &mut Vec<u8>) {
        let heartbeat = Heartbeat {
            next_seq: self.next_seq,
            ack_seq: self.client_seq,
            send_time: 0,
            test_id,
        };
        write_message(out, &heartbeat, 0);
        self.note_sent(now_ns);
    }

    /// Ends the session from this side. The caller flushes and closes.
    pub fn logout(&mut self, now_ns: u64, reason: Reason, retry_after_ms: u32, out: &mut Vec<u8>) {
        if self.state == State::Closed {
            return;
        }
        let mut logout = Logout {
            reason: reason.code(),
            retry_after_ms,
            ..Logout::default()
        };
        let text = reason.text().as_bytes();
        let length = text.len().min(logout.text.len());
        logout.text[..length].copy_from_slice(&text[..length]);
        write_message(out, &logout, 0);
        self.state = State::Closed;
        self.note_sent(now_ns);
    }

    /// When [`Acceptor::handle_timeout`] has something to do.
    pub fn next_deadline_ns(&self) -> Option<u64> {
        match self.state {
            State::AwaitLogon => Some(self.deadline_ns),
            State::Authenticating | State::Closed => None,
            State::Replaying | State::Active => {
                let send = self.last_sent_ns.saturating_add(self.heartbeat_ns);
                let dead = self.last_received_ns.saturating_add(2 * self.heartbeat_ns);
                Some(send.min(dead))
            }
        }
    }

    /// Time has come: a heartbeat is due, or the peer is gone.
    pub fn handle_timeout(&mut self, now_ns: u64, out: &mut Vec<u8>) -> Option<Reason> {
        if self
            .next_deadline_ns()
            .is_none_or(|deadline| now_ns < deadline)
        {
            return None;
        }
        match self.state {
            State::AwaitLogon => {
                self.logout(now_ns, Reason::LogonTimeout, 0, out);
                Some(Reason::LogonTimeout)
            }
            State::Authenticating | State::Closed => None,
            State::Replaying | State::Active => {
                if now_ns >= self.last_received_ns.saturating_add(2 * self.heartbeat_ns) {
                    self.logout(now_ns, Reason::HeartbeatTimeout, 0, out);
                    return Some(Reason::HeartbeatTimeout);
                }
                self.heartbeat(now_ns, 0, out);
                None
            }
        }
    }
}

/// SBE field ids that refusals name: FIX tags where FIX has the field.
const CL_ORD_ID: u16 = 11;
const QUOTE_ID: u16 = 117;
const INSTRUMENT: u16 = 48;
const SIDE: u16 = 54;
const QUOTE_ENTRIES: u16 = 295;
const QUOTE_CANCEL_SCOPE: u16 = 298;
const MASS_CANCEL_SCOPE: u16 = 530;
const PROTECTION_GROUP: u16 = 9019;
const MASS_CANCEL_FLAGS: u16 = 30030;
const QUOTE_FLAGS: u16 = 30034;
const ENTRY_FLAGS: u16 = 30035;
const KILL_SCOPE: u16 = 35012;
const KILL_TARGET: u16 = 35013;
const KILL_RELEASE: u16 = 35014;

/// A request as the acceptor looks at it.
trait Request: Message {
    /// SBE field id of its id.
    const ID_FIELD: u16 = CL_ORD_ID;

    /// Its id, not 0.
    fn id(&self) -> u64;

    /// Whether its reserved fields are 0.
    fn is_clear(&self) -> bool;

    /// SBE field id of the first value that is none of its field's, 0 = all are.
    fn invalid_field(&self) -> u16;
}

impl Request for MassCancel {
    fn id(&self) -> u64 {
        self.cl_ord_id
    }

    fn is_clear(&self) -> bool {
        self.reserved == [0; 7]
    }

    fn invalid_field(&self) -> u16 {
        const KINDS: u8 = MASS_CANCEL_QUOTES | MASS_CANCEL_ORDERS;
        let known = self.flags & !(KINDS | MASS_CANCEL_BY_ACCOUNT) == 0;
        if MassCancelScope::try_from(self.scope).is_err() {
            MASS_CANCEL_SCOPE
        } else if self.side > 2 {
            SIDE
        } else if !known || self.flags & KINDS == KINDS {
            MASS_CANCEL_FLAGS
        } else {
            0
        }
    }
}

impl Request for OrderStatusRequest {
    fn id(&self) -> u64 {
        self.cl_ord_id
    }

    fn is_clear(&self) -> bool {
        self.reserved == [0; 3]
    }

    fn invalid_field(&self) -> u16 {
        if self.side > 2 { SIDE } else { 0 }
    }
}

impl Request for MassQuote {
    const ID_FIELD: u16 = QUOTE_ID;

    fn id(&self) -> u64 {
        self.quote_id
    }

    fn is_clear(&self) -> bool {
        self.reserved == [0; 7]
    }

    fn invalid_field(&self) -> u16 {
        const KNOWN: u16 = MASS_QUOTE_FULL_ACK | MASS_QUOTE_POST_ONLY | MASS_QUOTE_ALL_OR_NONE;
        if self.flags & !KNOWN != 0 {
            QUOTE_FLAGS
        } else {
            0
        }
    }
}

/// The same for a mass quote's entries. `body` is the frame without its header.
fn invalid_entries(entries: Entries, body: &[u8]) -> u16 {
    if !(1..=MassQuote::ENTRIES_MAX).contains(&entries.len()) {
        return QUOTE_ENTRIES;
    }
    let unknown = entries
        .read_body::<MassQuote>(body)
        .any(|entry| entry.entry_flags & !(QUOTE_NO_BID | QUOTE_NO_ASK) != 0);
    if unknown { ENTRY_FLAGS } else { 0 }
}

impl Request for QuoteCancel {
    const ID_FIELD: u16 = QUOTE_ID;

    fn id(&self) -> u64 {
        self.quote_id
    }

    fn is_clear(&self) -> bool {
        self.reserved == [0; 7]
    }

    fn invalid_field(&self) -> u16 {
        use QuoteCancelScope::{All, Entry, Group, Instrument};
        let Ok(scope) = QuoteCancelScope::try_from(self.scope) else {
            return QUOTE_CANCEL_SCOPE;
        };
        // What the scope does not go by is not stated.
        if matches!(scope, All | Group) && self.instrument_id != 0 {
            INSTRUMENT
        } else if matches!(scope, All | Instrument) && self.mmp_group != 0 {
            PROTECTION_GROUP
        } else if scope != Entry && self.layer != 0 {
            QUOTE_LAYER_FIELD
        } else {
            0
        }
    }
}

impl Request for ProtectionConfig {
    fn id(&self) -> u64 {
        self.cl_ord_id
    }

    fn is_clear(&self) -> bool {
        self.reserved == 0
    }

    fn invalid_field(&self) -> u16 {
        0
    }
}

impl Request for ProtectionReset {
    fn id(&self) -> u64 {
        self.cl_ord_id
    }

    fn is_clear(&self) -> bool {
        self.reserved == [0; 6]
    }

    fn invalid_field(&self) -> u16 {
        0
    }
}

impl Request for KillSwitch {
    fn id(&self) -> u64 {
        self.cl_ord_id
    }

    fn is_clear(&self) -> bool {
        self.reserved == 0
    }

    fn invalid_field(&self) -> u16 {
        let Ok(scope) = KillScope::try_from(self.scope) else {
            return KILL_SCOPE;
        };
        if self.release > 1 {
            KILL_RELEASE
        } else if (scope == KillScope::Venue) != (self.target == 0) {
            KILL_TARGET
        } else {
            0
        }
    }
}

/// The first thing an order asks for that is not there.
#[inline]
fn unsupported(order: &NewOrder) -> Option<(Reason, u16)> {
    let instruction = |tag| Some((Reason::UnsupportedInstruction, tag));
    if OrderType::try_from(order.ord_type).is_err() {
        return Some((Reason::UnsupportedOrderType, 40));
    }
    if TimeInForce::try_from(order.tif).is_err() {
        return Some((Reason::UnsupportedTimeInForce, 59));
    }
    if order.exec_inst & !u16::from(Instructions::ALL.0) != 0 {
        return instruction(18);
    }
    if SelfTradePrevention::try_from(order.stp_mode).is_err() {
        return Some((Reason::UnsupportedSelfTradePrevention, 2362));
    }
    None
}
