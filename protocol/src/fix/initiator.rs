//! The client's side of a FIX session, as the load generator and tests use it. Here the client
//! owns its numbers: [`Initiator::next_out`] and [`Initiator::expected`] are what it keeps between
//! connections.

use std::collections::BTreeMap;

use super::codec::{Decoded, Message, decode};
use super::encode::{Header, MessageWriter};
use crate::types::UtcNanos;

/// Identity of a client.
#[derive(Clone, Debug)]
pub struct InitiatorSettings {
    /// SenderCompID(49).
    pub comp_id: Vec<u8>,
    /// TargetCompID(56).
    pub venue: Vec<u8>,
    /// Username(553).
    pub username: Vec<u8>,
    /// Password(554).
    pub password: Vec<u8>,
    /// HeartBtInt(108).
    pub heartbeat_s: u64,
}

/// What a message means to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAction {
    /// More bytes are needed.
    NeedMore,
    /// Nothing for the application.
    Handled,
    /// The session is up.
    LoggedOn,
    /// An application message, delivered once; it is in [`Initiator::message`].
    Application {
        /// MsgSeqNum(34).
        seq: u64,
        /// PossDupFlag(43)=Y.
        possible_duplicate: bool,
    },
    /// A Reject(3) of one of our messages.
    Rejected,
    /// The venue said Logout; its Text(58).
    LoggedOut(String),
    /// The stream is broken.
    Broken(&'static str),
}

/// An application message that was sent: type, time, fields.
type Sent = (Vec<u8>, UtcNanos, Vec<u8>);

/// The machine; it outlives connections.
#[derive(Clone, Debug)]
pub struct Initiator {
    settings: InitiatorSettings,
    /// Next number to send.
    pub next_out: u64,
    /// Next number expected.
    pub expected: u64,
    /// Application messages sent, by number: body fields behind the header, and type.
    sent: BTreeMap<u64, Sent>,
    message: Message,
    bytes: Vec<u8>,
    logged_on: bool,
    gap_until: u64,
    last_sent_ns: u64,
    last_received_ns: u64,
}

impl Initiator {
    /// A client with a fresh session.
    pub fn new(settings: InitiatorSettings) -> Self {
        Self {
            settings,
            next_out: 1,
            expected: 1,
            sent: BTreeMap::new(),
            message: Message::default(),
            bytes: Vec::new(),
            logged_on: false,
            gap_until: 0,
            last_sent_ns: 0,
            last_received_ns: 0,
        }
    }

    /// Whether the session is up.
    pub fn is_logged_on(&self) -> bool {
        self.logged_on
    }

    /// Value of a field of the message just delivered.
    pub fn get(&self, tag: u32) -> Option<&[u8]> {
        self.message.get(&self.bytes, tag)
    }

    /// The message just delivered.
    pub fn message(&self) -> (&Message, &[u8]) {
        (&self.message, &self.bytes)
    }

    /// A new connection: writes the Logon.
    pub fn logon(&mut self, now_ns: u64, utc: UtcNanos, out: &mut Vec<u8>) {
        self.logged_on = false;
        self.gap_until = 0;
        self.last_received_ns = now_ns;
        let settings = self.settings.clone();
        self.write(now_ns, utc, b"A", out, |writer| {
            writer.number(98, 0);
            writer.number(108, settings.heartbeat_s);
            writer.text(553, &settings.username);
            writer.text(554, &settings.password);
        });
    }

    /// A new connection that starts the numbers of both sides at 1: ResetSeqNumFlag(141)=Y.
    pub fn logon_reset(&mut self, now_ns: u64, utc: UtcNanos, out: &mut Vec<u8>) {
        self.logged_on = false;
        self.gap_until = 0;
        self.next_out = 1;
        self.expected = 1;
        self.sent.clear();
        self.last_received_ns = now_ns;
        let settings = self.settings.clone();
        self.write(now_ns, utc, b"A", out, |writer| {
            writer.number(98, 0);
            writer.number(108, settings.heartbeat_s);
            writer.character(141, b'Y');
            writer.text(553, &settings.username);
            writer.text(554, &settings.password);
        });
    }

    /// Writes a Logout.
    pub fn logout(&mut self, now_ns: u64, utc: UtcNanos, out: &mut Vec<u8>) {
        self.write(now_ns, utc, b"5", out, |_| ());
    }

    /// Writes an application message, kept for resends. Returns its number.
    pub fn send(
        &mut self,
        now_ns: u64,
        utc: UtcNanos,
        message_type: &[u8],
        out: &mut Vec<u8>,
        body: impl Fn(&mut MessageWriter<'_>),
    ) -> u64 {
        let seq = self.next_out;
        // The body alone, for a second sending under the same number.
        let kept = MessageWriter::body(|writer| body(writer));
        self.sent.insert(seq, (message_type.to_vec(), utc, kept));
        self.write(now_ns, utc, message_type, out, body);
        seq
    }

    /// Forgets application messages below `seq`: the venue has them.
    pub fn forget_below(&mut self, seq: u64) {
        self.sent = self.sent.split_off(&seq);
    }

    fn write(
        &mut self,
        now_ns: u64,
        utc: UtcNanos,
        message_type: &[u8],
        out: &mut Vec<u8>,
        body: impl FnOnce(&mut MessageWriter<'_>),
    ) {
        let header = Header {
            message_type,
            sender: &self.settings.comp_id,
            target: &self.settings.venue,
            seq: self.next_out,
            sending_time: utc,
            original_time: None,
            routing: b"",
        };
        let mut writer = MessageWriter::begin(out, &header);
        body(&mut writer);
        writer.finish();
        self.next_out += 1;
        self.last_sent_ns = now_ns;
    }

    /// Handles at most one message; answers go to `out`.
    pub fn receive(
        &mut self,
        now_ns: u64,
        utc: UtcNanos,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> (usize, ClientAction) {
        match decode(input, &mut self.message) {
            Decoded::Incomplete => (0, ClientAction::NeedMore),
            Decoded::Garbled(bytes) => (bytes, ClientAction::Broken("garbled message")),
            Decoded::Complete(bytes) => {
                self.bytes.clear();
                self.bytes.extend_from_slice(&input[..bytes]);
                self.last_received_ns = now_ns;
                (bytes, self.handle(now_ns, utc, out))
            }
        }
    }

    fn handle(&mut self, now_ns: u64, utc: UtcNanos, out: &mut Vec<u8>) -> ClientAction {
        // Session messages are of one character.
        let kind = match self.message.message_type(&self.bytes) {
            [kind] => *kind,
            _ => 0,
        };
        let Some(seq) = self.message.number(&self.bytes, 34) else {
            return ClientAction::Broken("no MsgSeqNum(34)");
        };
        let duplicate = self.get(43) == Some(b"Y");
        if kind == b'5' {
            if seq == self.expected {
                self.expected += 1;
            }
            self.logged_on = false;
            let text = self.get(58).unwrap_or_default();
            return ClientAction::LoggedOut(String::from_utf8_lossy(text).into_owned());
        }
        if seq < self.expected {
            return if duplicate {
                ClientAction::Handled
            } else {
                ClientAction::Broken("MsgSeqNum too low")
            };
        }
        let first_logon = kind == b'A' && !self.logged_on;
        self.logged_on |= first_logon;
        if seq > self.expected {
            // The message itself comes again with the resend.
            if self.gap_until < self.expected {
                self.gap_until = seq;
                let from = self.expected;
                self.write(now_ns, utc, b"2", out, |writer| {
                    writer.number(7, from);
                    writer.number(16, 0);
                });
            }
            if kind == b'2' {
                self.resend(now_ns, utc, out);
            }
            return if first_logon {
                ClientAction::LoggedOn
            } else {
                ClientAction::Handled
            };
        }
        self.expected = seq + 1;
        match kind {
            b'A' if first_logon => ClientAction::LoggedOn,
            b'1' => {
                let id = self.get(112).unwrap_or_default().to_vec();
                self.write(now_ns, utc, b"0", out, |writer| writer.text(112, &id));
                ClientAction::Handled
            }
            b'2' => {
                self.resend(now_ns, utc, out);
                ClientAction::Handled
            }
            b'3' => ClientAction::Rejected,
            b'4' => {
                let next = self.message.number(&self.bytes, 36).unwrap_or(0);
                self.expected = self.expected.max(next);
                ClientAction::Handled
            }
            b'0' | b'A' => ClientAction::Handled,
            _ => ClientAction::Application {
                seq,
                possible_duplicate: duplicate,
            },
        }
    }

    /// Sends again what the venue asks for; what is not an application message is gap-filled.
    fn resend(&mut self, now_ns: u64, utc: UtcNanos, out: &mut Vec<u8>) {
        let begin = self.message.number(&self.bytes, 7).unwrap_or(1);
        let end = match self.message.number(&self.bytes, 16) {
            None | Some(0) => self.next_out - 1,
            Some(end) => end.min(self.next_out - 1),
        };
        let mut next = begin;
        let kept: Vec<(u64, Sent)> = self
            .sent
            .range(begin..=end.max(begin))
            .map(|(seq, sent)| (*seq, sent.clone()))
            .collect();
        for (seq, (kind, time, body)) in kept {
            if seq > next {
                self.fill(utc, next, seq, out);
            }
            let header = Header {
                message_type: &kind,
                sender: &self.settings.comp_id,
                target: &self.settings.venue,
                seq,
                sending_time: utc,
                original_time: Some(time),
                routing: b"",
            };
            let mut writer = MessageWriter::begin(out, &header);
            writer.raw(&body);
            writer.finish();
            next = seq + 1;
        }
        if next <= end {
            self.fill(utc, next, end + 1, out);
        }
        self.last_sent_ns = now_ns;
    }

    fn fill(&self, utc: UtcNanos, from: u64, to: u64, out: &mut Vec<u8>) {
        let header = Header {
            message_type: b"4",
            sender: &self.settings.comp_id,
            target: &self.settings.venue,
            seq: from,
            sending_time: utc,
            original_time: Some(utc),
            routing: b"",
        };
        let mut writer = MessageWriter::begin(out, &header);
        writer.number(36, to);
        writer.text(123, b"Y");
        writer.finish();
    }

    /// Sends a heartbeat when one is due.
    pub fn handle_timeout(&mut self, now_ns: u64, utc: UtcNanos, out: &mut Vec<u8>) {
        let interval = self.settings.heartbeat_s * 1_000_000_000;
        if self.logged_on && now_ns >= self.last_sent_ns + interval {
            self.write(now_ns, utc, b"0", out, |_| ());
        }
    }
}
