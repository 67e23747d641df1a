//! The client's side of a session, as the load generator, the maker bot and tests use it.
//!
//! A client that keeps two integers, the next number it expects and its own last number, resumes
//! exactly: what the venue did while it was away is replayed, and `last_client_seq` at
//! [`ClientAction::Active`] says which of its own messages were applied.

use crate::types::Reason;

use super::frame::{Frame, FrameHeader, block, decode_frame, write_group_message, write_message};
use super::logon_text;
use super::message::{
    Grouped, Heartbeat, Logon, LogonAccepted, LogonRejected, Logout, Message, ReplayComplete,
    ServerHello, TestRequest,
};

/// What a Logon says.
#[derive(Clone, Copy, Debug)]
pub struct LogonSettings {
    /// The session.
    pub session_id: u32,
    /// Key id, zero-padded.
    pub key_id: [u8; 16],
    /// 1 = HMAC-SHA256, 2 = Ed25519.
    pub auth_type: u8,
    /// Heartbeat interval wanted.
    pub heartbeat_ms: u32,
    /// Numbering run, 0 = current.
    pub epoch: u64,
    /// First number not yet seen, at least 1; 0 = live only.
    pub from_seq: u64,
    /// Bits: [`super::LOGON_TRADING_STATUS`].
    pub flags: u16,
}

/// What one frame means to the client.
#[derive(Clone, Debug)]
pub enum ClientAction<'a> {
    /// The frame is not complete.
    NeedMore,
    /// Nothing.
    Handled,
    /// Sign `text` and call [`Initiator::logon`].
    Sign {
        /// What to sign.
        text: [u8; super::SIGNED_LENGTH],
    },
    /// The session is ours; the replay follows.
    Accepted(LogonAccepted),
    /// The session is not ours.
    Rejected(LogonRejected),
    /// The replay is done: orders may be sent.
    Active(ReplayComplete),
    /// A message of the venue: numbered (`header.seq`) or, with 0, a Reject or reference data.
    Message {
        /// Frame header.
        header: FrameHeader,
        /// The block.
        body: &'a [u8],
    },
    /// The venue ends the session.
    Logout(Logout),
    /// The stream is broken.
    Broken(Reason),
}

/// The client's state machine of one connection.
#[derive(Clone, Debug)]
pub struct Initiator {
    settings: LogonSettings,
    /// Next number expected from the venue, 0 = not known yet.
    expected: u64,
    /// Last number of ours.
    client_seq: u64,
    heartbeat_ns: u64,
    last_sent_ns: u64,
    last_received_ns: u64,
    logon: Logon,
    active: bool,
}

impl Initiator {
    /// A client about to be greeted.
    pub fn new(settings: LogonSettings, now_ns: u64) -> Self {
        let logon = Logon {
            key_id: settings.key_id,
            session_epoch: settings.epoch,
            from_seq: settings.from_seq,
            session_id: settings.session_id,
            heartbeat_ms: settings.heartbeat_ms,
            auth_type: settings.auth_type,
            flags: settings.flags,
            ..Logon::default()
        };
        Self {
            expected: settings.from_seq,
            client_seq: 0,
            heartbeat_ns: u64::from(settings.heartbeat_ms) * 1_000_000,
            last_sent_ns: now_ns,
            last_received_ns: now_ns,
            logon,
            settings,
            active: false,
        }
    }

    /// Next number expected: what to resume from.
    pub fn next_expected(&self) -> u64 {
        self.expected
    }

    /// Our last number: the venue's at logon, then as sent.
    pub fn client_seq(&self) -> u64 {
        self.client_seq
    }

    /// Whether orders may be sent.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Handles at most one frame. Returns the bytes consumed and what they mean.
    #[inline]
    pub fn receive<'a>(
        &mut self,
        now_ns: u64,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> (usize, ClientAction<'a>) {
        match decode_frame(input) {
            Ok(Frame::Incomplete(_)) => (0, ClientAction::NeedMore),
            Ok(Frame::Complete { header, body }) => {
                self.last_received_ns = now_ns;
                (
                    header.length as usize,
                    self.frame(now_ns, header, body, out),
                )
            }
            Err(_) => (input.len(), ClientAction::Broken(Reason::ProtocolError)),
        }
    }

    #[inline]
    fn frame<'a>(
        &mut self,
        now_ns: u64,
        header: FrameHeader,
        body: &'a [u8],
        out: &mut Vec<u8>,
    ) -> ClientAction<'a> {
        if header.seq != 0 {
            if header.seq != self.expected {
                return ClientAction::Broken(Reason::InboundSequenceMismatch);
            }
            self.expected += 1;
            return ClientAction::Message { header, body };
        }
        let broken = ClientAction::Broken(Reason::ProtocolError);
        match header.template_id {
            ServerHello::TEMPLATE => match block::<ServerHello>(&header, body) {
                Some(hello) => ClientAction::Sign {
                    text: logon_text(&hello.nonce, &self.logon),
                },
                None => broken,
            },
            LogonAccepted::TEMPLATE => match block::<LogonAccepted>(&header, body) {
                Some(accepted) => {
                    self.heartbeat_ns = u64::from(accepted.heartbeat_ms) * 1_000_000;
                    self.client_seq = accepted.last_client_seq;
                    if self.settings.from_seq == 0 {
                        self.expected = accepted.next_seq;
                    }
                    ClientAction::Accepted(accepted)
                }
                None => broken,
            },
            LogonRejected::TEMPLATE => {
                block::<LogonRejected>(&header, body).map_or(broken, ClientAction::Rejected)
            }
            ReplayComplete::TEMPLATE => match block::<ReplayComplete>(&header, body) {
                Some(done) if done.next_seq == self.expected => {
                    self.active = true;
                    ClientAction::Active(done)
                }
                Some(_) => ClientAction::Broken(Reason::InboundSequenceMismatch),
                None => broken,
            },
            Heartbeat::TEMPLATE => ClientAction::Handled,
            TestRequest::TEMPLATE => match block::<TestRequest>(&header, body) {
                Some(request) => {
                    self.heartbeat(now_ns, request.test_id, out);
                    ClientAction::Handled
                }
                None => broken,
            },
            Logout::TEMPLATE => {
                self.active = false;
                block::<Logout>(&header, body).map_or(broken, ClientAction::Logout)
            }
            _ => ClientAction::Message { header, body },
        }
    }

    /// Writes the signed Logon.
    pub fn logon(&mut self, now_ns: u64, signature: [u8; 64], out: &mut Vec<u8>) {
        write_message(
            out,
            &Logon {
                signature,
                ..self.logon
            },
            0,
        );
        self.last_sent_ns = now_ns;
    }

    /// Writes an order message under our next number, and returns that number.
    #[inline]
    pub fn send<M: Message>(&mut self, now_ns: u64, message: &M, out: &mut Vec<u8>) -> u64 {
        self.client_seq += 1;
        write_message(out, message, self.client_seq);
        self.last_sent_ns = now_ns;
        self.client_seq
    }

    /// [`Initiator::send`] of a message with a group.
    #[inline]
    pub fn send_group<M: Grouped>(
        &mut self,
        now_ns: u64,
        message: &M,
        entries: &[M::Entry],
        out: &mut Vec<u8>,
    ) -> u64 {
        self.client_seq += 1;
        write_group_message(out, message, entries.iter().copied(), self.client_seq);
        self.last_sent_ns = now_ns;
        self.client_seq
    }

    /// Writes an order message again under the number it had, which must be above all that the
    /// venue applied.
    pub fn send_again<M: Message>(&mut self, message: &M, seq: u64, out: &mut Vec<u8>) {
        write_message(out, message, seq);
        self.client_seq = self.client_seq.max(seq);
    }

    /// Writes a Logout.
    pub fn logout(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        let reason = Reason::LogoutRequested.code();
        write_message(
            out,
            &Logout {
                reason,
                ..Logout::default()
            },
            0,
        );
        self.active = false;
        self.last_sent_ns = now_ns;
    }

    fn heartbeat(&mut self, now_ns: u64, test_id: u64, out: &mut Vec<u8>) {
        let heartbeat = Heartbeat {
            next_seq: self.client_seq + 1,
            ack_seq: self.expected.saturating_sub(1),
            send_time: 0,
            test_id,
        };
        write_message(out, &heartbeat, 0);
        self.last_sent_ns = now_ns;
    }

    /// Sends a heartbeat if one is due; `Some`: the venue has been silent for too long.
    pub fn handle_timeout(&mut self, now_ns: u64, out: &mut Vec<u8>) -> Option<Reason> {
        if self.heartbeat_ns == 0 {
            return None;
        }
        if now_ns >= self.last_received_ns.saturating_add(2 * self.heartbeat_ns) {
            return Some(Reason::HeartbeatTimeout);
        }
        if self.active && now_ns >= self.last_sent_ns.saturating_add(self.heartbeat_ns) {
            self.heartbeat(now_ns, 0, out);
        }
        None
    }
}
