//! Clients that say exactly what they are told, a line at a time, and wait for what they expect.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use trading_engine::client::credentials::{BinaryCredentials, FixCredentials, Secret};
use trading_engine::client::{Received, sign};
use trading_engine_protocol::binary::message::{Grouped, Logon, Message, NewOrder, ServerHello};
use trading_engine_protocol::binary::{
    NULL_PRICE, decode_frame, frame, logon_text, write_group_message, write_message,
};
use trading_engine_protocol::fix::{Decoded, Header, Message as FixFields, MessageWriter, decode};
use trading_engine_protocol::types::{Decimal8, UtcNanos};
use zerocopy::FromZeros;

/// Longest wait for an answer before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub fn now() -> UtcNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UtcNanos(u64::try_from(since.as_nanos()).unwrap())
}

/// A connection with what was read and not yet looked at.
pub struct Line {
    pub socket: TcpStream,
    pub input: Vec<u8>,
}

impl Line {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// Connects from another address of this machine, such as 127.0.0.2.
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from((source, 0))).unwrap();
        connect(&socket, &address).unwrap();
        Self::over(socket.into())
    }

    fn over(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            input: Vec::new(),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Reads more; `false`: the venue closed.
    pub fn read(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        match self.socket.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.input.extend_from_slice(&bytes[..count]);
                true
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ) =>
            {
                false
            }
            Err(error) => panic!("nothing came in {PATIENCE:?}: {error}"),
        }
    }

    /// Everything until the venue closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.read() {}
        std::mem::take(&mut self.input)
    }
}

/// One FIX message as its fields.
#[derive(Clone, Debug)]
pub struct Fields(pub Vec<(u32, String)>);

impl Fields {
    pub fn get(&self, tag: u32) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| *known == tag);
        found.map(|(_, value)| value.as_str())
    }

    pub fn kind(&self) -> &str {
        self.get(35).unwrap()
    }
}

/// A FIX client.
pub struct FixTalk {
    pub line: Line,
    pub comp_id: String,
    pub venue: String,
    /// Next number of ours.
    pub next: u64,
    fields: FixFields,
}

impl FixTalk {
    pub fn connect(address: SocketAddr, comp_id: &str) -> Self {
        Self::over(Line::connect(address), comp_id)
    }

    pub fn over(line: Line, comp_id: &str) -> Self {
        Self {
            line,
            comp_id: comp_id.to_owned(),
            venue: "TRADENG".into(),
            next: 1,
            fields: FixFields::default(),
        }
    }

    /// Connects and begins with number 1 on both sides.
    pub fn logged_on(address: SocketAddr, entry: &FixCredentials, heartbeat_s: u32) -> Self {
        let mut talk = Self::connect(address, &entry.comp_id);
        talk.logon(entry, heartbeat_s, true);
        let answer = talk.expect();
        assert_eq!(answer.kind(), "A", "{answer:?}");
        talk
    }

    pub fn logon(&mut self, entry: &FixCredentials, heartbeat_s: u32, reset: bool) {
        let heartbeat = heartbeat_s.to_string();
        let mut fields = vec![
            (98, "0"),
            (108, heartbeat.as_str()),
            (553, &entry.username),
            (554, &entry.password),
        ];
        if reset {
            fields.push((141, "Y"));
        }
        self.send("A", &fields);
    }

    /// The bytes of a message with the usual header.
    pub fn message(&self, kind: &str, seq: u64, fields: &[(u32, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = MessageWriter::begin(
            &mut out,
            &Header {
                message_type: kind.as_bytes(),
                sender: self.comp_id.as_bytes(),
                target: self.venue.as_bytes(),
                seq,
                sending_time: now(),
                original_time: None,
                routing: b"",
            },
        );
        for (tag, value) in fields {
            writer.text(*tag, value.as_bytes());
        }
        writer.finish();
        out
    }

    pub fn send(&mut self, kind: &str, fields: &[(u32, &str)]) -> u64 {
        let seq = self.next;
        self.next += 1;
        let bytes = self.message(kind, seq, fields);
        self.line.write(&bytes);
        seq
    }

    pub fn order(&mut self, id: &str, side: &str, quantity: &str, price: &str) -> u64 {
        let mut time = [0; 21];
        trading_engine_protocol::fix::encode::write_timestamp(now(), &mut time);
        let time = String::from_utf8(time.to_vec()).unwrap();
        self.send(
            "D",
            &[
                (11, id),
                (55, "TEST-A"),
                (54, side),
                (60, &time),
                (38, quantity),
                (40, "2"),
                (44, price),
            ],
        )
    }

    /// The next message, or `None` when the venue closed.
    pub fn next_message(&mut self) -> Option<Fields> {
        self.next_with_bytes().map(|(_, message)| message)
    }

    /// [`FixTalk::next_message`], also as it came.
    pub fn next_with_bytes(&mut self) -> Option<(Vec<u8>, Fields)> {
        loop {
            match decode(&self.line.input, &mut self.fields) {
                Decoded::Incomplete => {
                    if !self.line.read() {
                        return None;
                    }
                }
                Decoded::Garbled(_) => {
                    panic!("{:?}", String::from_utf8_lossy(&self.line.input))
                }
                Decoded::Complete(length) => {
                    let bytes: Vec<u8> = self.line.input.drain(..length).collect();
                    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                    let fields = self.fields.fields().iter();
                    let fields = Fields(
                        fields
                            .map(|field| (field.tag, text(self.fields.value(&bytes, field))))
                            .collect(),
                    );
                    return Some((bytes, fields));
                }
            }
        }
    }

    pub fn expect(&mut self) -> Fields {
        self.next_message().expect("a message before the end")
    }
}

/// A binary client.
pub struct BinaryTalk {
    pub line: Line,
    /// Last number of ours.
    pub seq: u64,
    /// Of the Logon.
    pub flags: u16,
    /// Instrument ids by symbol, as the venue told them.
    pub instruments: HashMap<String, u32>,
    pub accepted: Option<trading_engine_protocol::binary::message::LogonAccepted>,
}

pub fn key_id(entry: &BinaryCredentials) -> [u8; 16] {
    let mut id = [0; 16];
    id[..entry.key_id.len()].copy_from_slice(entry.key_id.as_bytes());
    id
}

impl BinaryTalk {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(Line::connect(address))
    }

    pub fn over(line: Line) -> Self {
        Self {
            line,
            seq: 0,
            flags: 0,
            instruments: HashMap::new(),
            accepted: None,
        }
    }

    /// Logs on live, and is active.
    pub fn logged_on(address: SocketAddr, entry: &BinaryCredentials, heartbeat_ms: u32) -> Self {
        let mut talk = Self::connect(address);
        talk.logon(entry, heartbeat_ms, 0);
        talk.until_active();
        talk
    }

    pub fn logon(&mut self, entry: &BinaryCredentials, heartbeat_ms: u32, from_seq: u64) {
        let hello: ServerHello = self.expect().read().expect("ServerHello comes first");
        let mut logon = Logon {
            key_id: key_id(entry),
            session_id: entry.session,
            heartbeat_ms,
            from_seq,
            flags: self.flags,
            auth_type: if matches!(entry.secret, Secret::Hmac(_)) {
                1
            } else {
                2
            },
            ..Logon::new_zeroed()
        };
        logon.signature = sign(&entry.secret, &logon_text(&hello.nonce, &logon)).unwrap();
        self.write(&logon, 0);
    }

    /// Takes what comes up to ReplayComplete; returns the numbered messages among it.
    pub fn until_active(&mut self) -> Vec<Received> {
        use trading_engine_protocol::binary::message::{
            InstrumentDefinition, LogonAccepted, LogonRejected, ReplayComplete,
        };
        let mut replayed = Vec::new();
        loop {
            let received = self.expect();
            if let Some(definition) = received.read::<InstrumentDefinition>() {
                let symbol: Vec<u8> = definition
                    .symbol
                    .iter()
                    .copied()
                    .take_while(|&byte| byte != 0)
                    .collect();
                self.instruments
                    .insert(String::from_utf8(symbol).unwrap(), definition.instrument_id);
            } else if let Some(accepted) = received.read::<LogonAccepted>() {
                self.seq = accepted.last_client_seq;
                self.accepted = Some(accepted);
            } else if let Some(rejected) = received.read::<LogonRejected>() {
                panic!("{rejected:?}");
            } else if received.read::<ReplayComplete>().is_some() {
                return replayed;
            } else {
                replayed.push(received);
            }
        }
    }

    pub fn write<M: Message>(&mut self, message: &M, seq: u64) {
        let mut out = Vec::new();
        write_message(&mut out, message, seq);
        self.line.write(&out);
    }

    /// Sends under the next number.
    pub fn send<M: Message>(&mut self, message: &M) -> u64 {
        self.seq += 1;
        self.write(message, self.seq);
        self.seq
    }

    /// Sends with entries under the next number.
    pub fn send_group<M: Grouped>(&mut self, message: &M, entries: impl Iterator<Item = M::Entry>) {
        self.seq += 1;
        let mut out = Vec::new();
        write_group_message(&mut out, message, entries, self.seq);
        self.line.write(&out);
    }

    pub fn order(&self, id: u64, side: u8, quantity: i64, price: i64) -> NewOrder {
        NewOrder {
            cl_ord_id: id,
            price: price * Decimal8::ONE,
            qty: quantity * Decimal8::ONE,
            stop_price: NULL_PRICE,
            instrument_id: self.instruments["TEST-A"],
            side,
            ord_type: 2,
            ..NewOrder::new_zeroed()
        }
    }

    /// Bytes of so many orders for the session's first messages, each told of twice: accepted, and canceled
    /// for want of a seller.
    pub fn unmatched_orders(&self, count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for id in 1..=count {
            let order = NewOrder {
                tif: 3,
                ..self.order(id, 1, 1, 50)
            };
            write_message(&mut bytes, &order, id);
        }
        bytes
    }

    pub fn next_frame(&mut self) -> Option<Received> {
        loop {
            match decode_frame(&self.line.input).unwrap() {
                frame::Frame::Incomplete(_) => {
                    if !self.line.read() {
                        return None;
                    }
                }
                frame::Frame::Complete { header, body } => {
                    let body = body.to_vec();
                    self.line.input.drain(..usize::from(header.length));
                    return Some(Received { header, body });
                }
            }
        }
    }

    pub fn expect(&mut self) -> Received {
        self.next_frame().expect("a frame before the end")
    }

    /// Takes frames until one of this kind comes.
    pub fn expect_a<M: Message>(&mut self) -> M {
        loop {
            if let Some(message) = self.expect().read() {
                return message;
            }
        }
    }
}
