//! What both doors make of every new request, and of every event that answers one: the commands
//! and the bytes are written down in `tests/fixtures/doors.txt`. `BLESS=1` writes them anew, for a
//! reader to check.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use trading_engine_protocol::binary::message::{
    GroupHeader, KillSwitch, Logon, MassCancel, MassQuote, MassQuoteAck, Message, NewOrder,
    OrderStatusRequest, ProtectionConfig, ProtectionReset, QuoteCancel, QuoteEntry,
};
use trading_engine_protocol::binary::{
    self, Frame, LOGON_TRADING_STATUS, NULL_PRICE, decode_frame, frame, write_group_message,
    write_message,
};
use trading_engine_protocol::fix::{self, Decoded, MESSAGE_LENGTH_MAX, MessageWriter};
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, Epoch, ExecId, Generation, InstrumentId, OrderId, Price, Quantity,
    Reason, Sequence, SessionId, SessionSequence, TradeId, TradingPhase, UtcNanos,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::authenticator::Authenticator;
use super::binary::BinaryDoor;
use super::connection::Connection;
use super::context::{Context, Next, Services};
use super::fix::FixDoor;
use super::keystore::{Keystore, LiveKeystore};
use super::outbox::Outbox;
use super::reference::ReferenceData;
use crate::engine::command::{
    self, CommandBody, CommandKind, DefineInstrument, DefineSession, NO_PRICE, OrderTerms,
    QUOTE_ENTRIES_MAX, name,
};
use crate::engine::event::{
    self, AdminMessage, Body, CancelAfterSet, EVENT_VERSION, Event, EventBody, EventHeader,
    EventKind, Fill, KillSwitchDone, LogonAnswered, MassCancelDone, MassQuoteAnsweredHead,
    OrderCanceled, OrderRestated, OrderState, OrderStatusReport, OrderTriggered, ProtectionSet,
    ProtectionTripped, QuoteCancelDone, QuoteCanceled, QuoteFill, QuoteRestated, QuoteResult,
    QuoteStatusAnswered, RequestRejected, SessionClosed, TradeAmended,
};
use crate::journal::history::HistoryDesk;
use crate::limits::COMMAND_LENGTH_MAX;
use crate::ring::{self, Reader};

/// 2026-01-02 12:00:00 UTC.
const NOW: UtcNanos = UtcNanos(UtcNanos::from_date(2026, 1, 2).0 + 43_200 * UtcNanos::SECOND);
const BINARY: SessionId = SessionId(1);
const FIX: SessionId = SessionId(2);

/// What a poller has around a connection.
struct Desk {
    outbox: Outbox,
    commands: Reader,
    reference: ReferenceData,
    services: Services,
    quotes: Vec<command::QuoteEntry>,
}

impl Desk {
    fn new() -> Self {
        let (writer, mut readers) = ring::channel(1 << 20, 1);
        let mut reference = ReferenceData::default();
        let longest = "LONGEST-SYMBOL-OF-THEM-A";
        for (id, symbol) in [(1, "ACME"), (2, longest)] {
            reference.define_instrument(&DefineInstrument {
                instrument: InstrumentId(id),
                symbol: name(symbol).unwrap(),
                price_unit_e8: 1_000_000,
                lot_size_e8: 100_000_000,
                tick: 1,
                ..DefineInstrument::default()
            });
        }
        for (session, protocol, key) in [(BINARY, 2, "KEY"), (FIX, 1, "C")] {
            reference.define_session(&DefineSession {
                session,
                protocol,
                name: name(key).unwrap(),
                public_key: [1; 32],
                ..DefineSession::default()
            });
        }
        let (auth_reply, _) = crossbeam_channel::unbounded();
        let (history_reply, _) = crossbeam_channel::unbounded();
        Self {
            outbox: Outbox::new(writer),
            commands: readers.remove(0),
            reference,
            services: Services {
                authenticator: Authenticator::start(&LiveKeystore::new(Keystore::default(), None))
                    .unwrap(),
                auth_reply,
                history: HistoryDesk::deaf(),
                history_reply,
                wake: Arc::new(|| ()),
            },
            quotes: Vec::with_capacity(QUOTE_ENTRIES_MAX),
        }
    }

    fn context(&mut self) -> Context<'_> {
        Context {
            now_ns: 1,
            utc: NOW,
            connection: 1,
            source: Ipv4Addr::LOCALHOST.into(),
            outbox: &mut self.outbox,
            reference: &self.reference,
            services: &self.services,
            quotes: &mut self.quotes,
        }
    }

    /// The command that was sent last.
    fn command(&mut self) -> Option<(u32, String)> {
        self.sent().pop()
    }

    /// The commands that were sent.
    fn sent(&mut self) -> Vec<(u32, String)> {
        self.outbox.publish();
        let mut all = Vec::new();
        while let Some(bytes) = self.commands.peek() {
            assert!(bytes.len() <= COMMAND_LENGTH_MAX);
            let words: Vec<u64> = bytes
                .chunks_exact(8)
                .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
                .collect();
            let (header, body) = command::read(words.as_bytes()).unwrap();
            all.push((header.length, told(&body)));
            self.commands.advance();
        }
        self.commands.release();
        all
    }
}

/// A command in words, without its reserved fields.
fn told(body: &CommandBody<'_>) -> String {
    let mut text = format!("{body:?}");
    while let Some(at) = text.find(", reserved") {
        let rest = &text[at + 2..];
        let end = match rest.find('[') {
            Some(open) if open < rest.find([',', '}']).unwrap() => rest.find(']').unwrap() + 1,
            _ => rest.find([',', '}']).unwrap(),
        };
        let end = end - usize::from(rest[..end].ends_with(' '));
        text.replace_range(at..at + 2 + end, "");
    }
    text
}

fn connection() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, peer) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = mio::net::TcpStream::from_std(socket);
    (Connection::new(socket, peer, 64 << 10), client)
}

/// Sends bytes through the socket, so that the door finds them where it always does.
fn arrive(connection: &mut Connection, client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    let wanted = connection.input().len() + bytes.len();
    while connection.input().len() < wanted {
        let _ = connection.read();
    }
}

fn logon_answer(session: SessionId) -> Event<LogonAnswered> {
    let numbered = u64::from(session == FIX);
    let header = EventHeader {
        session,
        generation: Generation(1),
        session_seq: SessionSequence(numbered),
        epoch: Epoch(1),
        sequenced_at: NOW,
        ..EventHeader::default()
    };
    let body = LogonAnswered {
        connection: 1,
        next_outbound: SessionSequence(numbered + 1),
        inbound: numbered * 2,
        ..LogonAnswered::default()
    };
    Event::new(header, body)
}

/// A binary connection, logged on.
struct BinaryTalk {
    desk: Desk,
    door: BinaryDoor,
    connection: Connection,
    client: TcpStream,
    seq: u64,
}

impl BinaryTalk {
    fn new() -> Self {
        Self::with_flags(0)
    }

    fn with_flags(flags: u16) -> Self {
        let mut desk = Desk::new();
        let (mut connection, mut client) = connection();
        let settings = binary::AcceptorSettings::default();
        let mut out = Vec::new();
        let mut door = BinaryDoor::new(settings, [7; 32], &desk.context(), &mut out);
        let mut key_id = [0; 16];
        key_id[..3].copy_from_slice(b"KEY");
        let logon = Logon {
            key_id,
            session_id: BINARY.0,
            auth_type: 2,
            heartbeat_ms: 1_000,
            flags,
            ..Logon::new_zeroed()
        };
        let mut bytes = Vec::new();
        write_message(&mut bytes, &logon, 0);
        arrive(&mut connection, &mut client, &bytes);
        let (_, next) = door.receive(&mut desk.context(), &mut connection);
        assert_eq!(next, Next::Pause);
        door.authenticated(&mut desk.context(), &mut connection, true);
        let answer = logon_answer(BINARY);
        let (header, body) = (&answer.header, &answer.body);
        door.logon_answered(&mut desk.context(), &mut connection, header, body);
        desk.command();
        connection.output.clear();
        Self {
            desk,
            door,
            connection,
            client,
            seq: 0,
        }
    }

    fn request(&mut self, bytes: &[u8]) -> (u32, String) {
        arrive(&mut self.connection, &mut self.client, bytes);
        let mut context = self.desk.context();
        let (consumed, next) = self.door.receive(&mut context, &mut self.connection);
        assert!(consumed && next == Next::Continue);
        assert_eq!(self.connection.output, b"", "a Reject");
        self.desk.command().unwrap()
    }

    fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn event(&mut self, bytes: &[u64]) -> Vec<u8> {
        let (header, body) = event::read(bytes.as_bytes()).unwrap();
        let mut context = self.desk.context();
        self.door
            .event(&mut context, &mut self.connection, header, &body);
        std::mem::take(&mut self.connection.output)
    }
}

/// A FIX connection, logged on.
struct FixTalk {
    desk: Desk,
    door: FixDoor,
    connection: Connection,
    client: TcpStream,
    seq: u64,
}

impl FixTalk {
    fn new() -> Self {
        let mut desk = Desk::new();
        let (mut connection, mut client) = connection();
        let settings = fix::AcceptorSettings {
            comp_id: b"V".to_vec(),
            ..fix::AcceptorSettings::default()
        };
        let mut door = FixDoor::new(settings, &desk.context());
        let logon = fix_message("A", 1, "98=0|108=30|553=u|554=p");
        arrive(&mut connection, &mut client, &logon);
        let (_, next) = door.receive(&mut desk.context(), &mut connection);
        assert_eq!(next, Next::Pause);
        assert_eq!(door.authenticated(true), Next::Claim(FIX));
        door.claim(&mut desk.context());
        let answer = logon_answer(FIX);
        let (header, body) = (&answer.header, &answer.body);
        door.logon_answered(&mut desk.context(), &mut connection, header, body);
        desk.command();
        connection.output.clear();
        Self {
            desk,
            door,
            connection,
            client,
            seq: 2,
        }
    }

    fn request(&mut self, kind: &str, body: &str) -> (u32, String) {
        let bytes = fix_message(kind, self.seq, body);
        assert!(bytes.len() <= MESSAGE_LENGTH_MAX);
        self.seq += 1;
        arrive(&mut self.connection, &mut self.client, &bytes);
        let mut context = self.desk.context();
        let (consumed, next) = self.door.receive(&mut context, &mut self.connection);
        assert!(consumed && next == Next::Continue);
        self.desk.command().unwrap()
    }

    fn event(&mut self, bytes: &[u64]) -> Vec<u8> {
        let (header, body) = event::read(bytes.as_bytes()).unwrap();
        let mut context = self.desk.context();
        self.door
            .event(&mut context, &mut self.connection, header, &body);
        std::mem::take(&mut self.connection.output)
    }
}

fn fix_message(kind: &str, seq: u64, body: &str) -> Vec<u8> {
    let header = fix::Header {
        message_type: kind.as_bytes(),
        sender: b"C",
        target: b"V",
        seq,
        sending_time: NOW,
        original_time: None,
        routing: b"",
    };
    let mut out = Vec::new();
    let mut writer = MessageWriter::begin(&mut out, &header);
    writer.raw(format!("{body}|").replace('|', "\x01").as_bytes());
    writer.finish();
    out
}

/// A message's fields from behind its header on; it is held against the dictionary first.
fn fix_text(bytes: &[u8]) -> String {
    assert!(bytes.len() <= MESSAGE_LENGTH_MAX);
    let mut message = fix::Message::default();
    assert_eq!(
        fix::decode(bytes, &mut message),
        Decoded::Complete(bytes.len())
    );
    let text = String::from_utf8(bytes.to_vec())
        .unwrap()
        .replace('\x01', "|");
    assert_eq!(fix::validate(&message, bytes), Ok(()), "{text}");
    let kind = message.get(bytes, 35).unwrap();
    let body = text.split_once("|56=C|").unwrap().1;
    let body = body.rsplit_once("|10=").unwrap().0;
    format!("{}|{body}", String::from_utf8_lossy(kind))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn frame_of<M: Message>(message: &M, seq: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(&mut out, message, seq);
    out
}

// ---- requests

fn quote_frame(entries: &[QuoteEntry], flags: u16, seq: u64) -> Vec<u8> {
    let quote = MassQuote {
        quote_id: 77,
        account_id: 5,
        mmp_group: 3,
        flags,
        stp_mode: 0x12,
        ..MassQuote::new_zeroed()
    };
    let mut out = Vec::new();
    write_group_message(&mut out, &quote, entries.iter().copied(), seq);
    out
}

fn quote_entries() -> Vec<QuoteEntry> {
    let entry = QuoteEntry {
        instrument_id: 1,
        entry_flags: 0,
        layer: 1,
        bid_price: 4_900_000_000,
        bid_qty: 300_000_000,
        ask_price: 5_100_000_000,
        ask_qty: 400_000_000,
    };
    vec![
        entry,
        QuoteEntry {
            entry_flags: 1,
            ask_price: NULL_PRICE,
            ask_qty: 0,
            ..entry
        },
        QuoteEntry {
            entry_flags: 3,
            ..entry
        },
        QuoteEntry {
            instrument_id: 9,
            ..entry
        },
        QuoteEntry {
            bid_price: 4_900_500_000,
            ..entry
        },
        QuoteEntry {
            ask_price: NULL_PRICE,
            ..entry
        },
        QuoteEntry {
            ask_qty: -1,
            ..entry
        },
        QuoteEntry {
            bid_qty: 150_000_000,
            ..entry
        },
    ]
}

fn binary_requests(out: &mut String) {
    let mut talk = BinaryTalk::new();
    let mut take = |what: &str, bytes: &dyn Fn(u64) -> Vec<u8>| {
        let seq = talk.next();
        let bytes = bytes(seq);
        let (_, command) = talk.request(&bytes);
        let _ = writeln!(out, "{what}\n  {}\n  -> {command}", hex(&bytes));
    };
    take("NewOrder at the close in a protection group", &|seq| {
        let order = NewOrder {
            cl_ord_id: 70,
            price: 4_900_000_000,
            qty: 100_000_000,
            stop_price: NULL_PRICE,
            instrument_id: 1,
            mmp_group: 3,
            side: 1,
            ord_type: 2,
            tif: 7,
            ..NewOrder::new_zeroed()
        };
        frame_of(&order, seq)
    });
    let plain = NewOrder {
        cl_ord_id: 79,
        price: 4_900_000_000,
        qty: 500_000_000,
        stop_price: NULL_PRICE,
        instrument_id: 1,
        side: 1,
        ord_type: 2,
        ..NewOrder::new_zeroed()
    };
    // One term each: what is not stated of the others is nothing.
    type Change = (&'static str, fn(&mut NewOrder));
    let terms: [Change; 5] = [
        ("a stop", |order| {
            order.ord_type = 3;
            order.price = NULL_PRICE;
            order.stop_price = 5_000_000_000;
        }),
        ("an iceberg", |order| order.display_qty = 200_000_000),
        ("a minimum", |order| {
            order.tif = 3;
            order.min_qty = 200_000_000;
        }),
        ("a date", |order| {
            order.tif = 6;
            order.expire_time = 9;
        }),
        ("half a lot shown", |order| order.display_qty = 50_000_000),
    ];
    for (what, change) in terms {
        let mut order = plain;
        change(&mut order);
        take(&format!("NewOrder with {what}"), &|seq| {
            frame_of(&order, seq)
        });
    }
    take("MassCancel of all there is to say", &|seq| {
        let cancel = MassCancel {
            cl_ord_id: 71,
            instrument_id: 1,
            product_id: 2,
            account_id: 5,
            mmp_group: 3,
            scope: 2,
            side: 2,
            flags: 4 | 16,
            ..MassCancel::new_zeroed()
        };
        frame_of(&cancel, seq)
    });
    take("OrderStatusRequest of one", &|seq| {
        let request = OrderStatusRequest {
            cl_ord_id: 72,
            order_id: 900,
            orig_cl_ord_id: 70,
            instrument_id: 1,
            side: 1,
            ..OrderStatusRequest::new_zeroed()
        };
        frame_of(&request, seq)
    });
    take("OrderStatusRequest of all", &|seq| {
        let request = OrderStatusRequest {
            cl_ord_id: 73,
            ..OrderStatusRequest::new_zeroed()
        };
        frame_of(&request, seq)
    });
    take("MassQuote", &|seq| quote_frame(&quote_entries(), 3, seq));
    take("MassQuote, all or none", &|seq| {
        quote_frame(&quote_entries()[..1], 4, seq)
    });
    take("QuoteCancel of one", &|seq| {
        let cancel = QuoteCancel {
            quote_id: 74,
            instrument_id: 1,
            mmp_group: 3,
            layer: 2,
            scope: 4,
            ..QuoteCancel::new_zeroed()
        };
        frame_of(&cancel, seq)
    });
    take("ProtectionConfig", &|seq| {
        let config = ProtectionConfig {
            cl_ord_id: 75,
            qty_limit: 1_000,
            net_limit: 500,
            fill_limit: 20,
            window_ms: 1_500,
            freeze_ms: 3_000,
            mmp_group: 3,
            reserved: 0,
        };
        frame_of(&config, seq)
    });
    take("ProtectionReset", &|seq| {
        let reset = ProtectionReset {
            cl_ord_id: 76,
            mmp_group: 3,
            ..ProtectionReset::new_zeroed()
        };
        frame_of(&reset, seq)
    });
    take("KillSwitch", &|seq| {
        let kill = KillSwitch {
            cl_ord_id: 78,
            target: 4,
            scope: 3,
            release: 1,
            reserved: 0,
        };
        frame_of(&kill, seq)
    });
}

fn fix_requests(out: &mut String) {
    let mut talk = FixTalk::new();
    let order = "55=ACME|54=1|60=20260102-12:00:00|38=1|40=2|44=49";
    let opening = format!("11=A|59=2|9019=3|{order}");
    let exempt = format!("11=A|1=5|18=6 H|{order}");
    for (kind, body) in [
        ("D", opening.as_str()),
        ("D", exempt.as_str()),
        (
            "i",
            "117=Q|301=2|9019=3|1=5|18=6|2964=2|2362=F|296=2|302=1|304=4|295=4|299=A|55=ACME|132=49|134=3|133=51|135=4|299=B|55=ACME|133=51|135=0|299=C|55=ACME|299=D|55=NOWHERE|132=49|134=3|302=3|295=5|299=E|55=ACME|132=49.005|134=3|299=F|55=ACME|132=49|299=G|55=ACME|134=3|299=H|55=ACME|132=49|134=1.5|299=I|132=49.123456789|134=3",
        ),
        (
            "i",
            "117=Q|18=1|2964=9|1=ACC|296=1|302=1|295=1|299=A|55=ACME|134=0",
        ),
        ("Z", "117=R|298=4"),
        ("Z", "117=R|298=4|9019=3"),
        ("Z", "117=R|298=1|295=1|55=ACME"),
        ("Z", "117=R|298=1|295=1|55=NOWHERE"),
        ("Z", "117=R|298=1|9019=3|302=2|295=1|55=ACME"),
        ("H", "11=A|37=900|790=S|55=ACME|54=1"),
        ("H", "11=A"),
        ("AF", "584=S|585=7"),
        ("AF", "584=S|585=1|55=ACME|54=2"),
        (
            "q",
            "11=M|530=3|60=20260102-12:00:00|460=2|9019=3|35010=3|35011=1|1=0|54=2",
        ),
        ("q", "11=M|530=7|60=20260102-12:00:00|55=ACME"),
        ("q", "11=M|530=1|60=20260102-12:00:00|55=NOWHERE|35010=2"),
        ("U1", "11=K|35012=1|35013=4"),
        ("U1", "11=K|35012=4|55=ACME|35014=Y"),
        ("U1", "11=K|35012=4|55=NOWHERE"),
        ("U1", "11=K|35012=5"),
        (
            "U3",
            "11=P|9019=3|35020=1000|35021=500|35022=20|35023=1500|35024=3000",
        ),
        ("U4", "11=P|9019=3"),
        ("U6", "35031=500"),
    ] {
        let (_, command) = talk.request(kind, body);
        let _ = writeln!(out, "{kind}|{body}\n  -> {command}");
    }
}

// ---- events

/// Numbers an event for a session; `at` is its position in the stream.
fn header(session: SessionId, at: u64, reason: Reason) -> EventHeader {
    EventHeader {
        reason: reason.code(),
        sequence: Sequence(1_000 + at),
        sequenced_at: UtcNanos(NOW.0 + 1_500_000_000),
        received_at: UtcNanos(NOW.0 + 1_000_000_000),
        session,
        generation: Generation(1),
        session_seq: SessionSequence(at),
        inbound_seq: 40 + at,
        epoch: Epoch(1),
        ..EventHeader::default()
    }
}

fn words(parts: &[&[u8]]) -> Vec<u64> {
    let bytes = parts.concat();
    let word = |word: &[u8]| u64::from_le_bytes(word.try_into().unwrap());
    bytes.chunks_exact(8).map(word).collect()
}

fn words_of<B: Body>(header: EventHeader, body: B) -> Vec<u64> {
    let event = Event::new(header, body);
    words(&[event.header.as_bytes(), event.body.as_bytes()])
}

fn answered(
    header: EventHeader,
    head: &MassQuoteAnsweredHead,
    results: &[QuoteResult],
) -> Vec<u64> {
    let length = size_of::<EventHeader>() + size_of_val(head) + size_of_val(results);
    let header = EventHeader {
        length: u32::try_from(length).unwrap(),
        kind: EventKind::MassQuoteAnswered as u8,
        version: EVENT_VERSION,
        ..header
    };
    words(&[header.as_bytes(), head.as_bytes(), results.as_bytes()])
}

/// An id of either door.
fn id(session: SessionId, text: &str, number: u64) -> ClientOrderId {
    match session {
        FIX => ClientOrderId::from_text(text.as_bytes()).unwrap(),
        _ => ClientOrderId::from_u64(number),
    }
}

fn order(session: SessionId, status: u8) -> OrderState {
    OrderState {
        order_id: OrderId(900),
        exec_id: ExecId(901),
        client_order_id: id(session, "ORDER", 70),
        price: Price(4_900),
        quantity: Quantity(10),
        leaves: Quantity(4),
        cumulative: Quantity(6),
        notional: [6 * 4_900, 0],
        instrument: InstrumentId(1),
        account: AccountId(5),
        side: 1,
        order_type: 2,
        time_in_force: 0,
        status,
        protection_group: 3,
        ..OrderState::default()
    }
}

fn results(session: SessionId) -> Vec<QuoteResult> {
    let entry = |number: u64| match session {
        FIX => ClientOrderId::from_text(format!("E{number}").as_bytes()).unwrap(),
        _ => ClientOrderId::from_u64(1),
    };
    let quoted = QuoteResult {
        entry_id: entry(0),
        bid_order: OrderId(910),
        bid_price: Price(4_900),
        bid_quantity: Quantity(3),
        ask_order: OrderId(911),
        ask_price: Price(5_100),
        ask_quantity: Quantity(4),
        instrument: InstrumentId(1),
        bid_status: 1,
        ask_status: 2,
        ..QuoteResult::default()
    };
    vec![
        quoted,
        QuoteResult {
            entry_id: entry(1),
            bid_status: 3,
            ask_status: 5,
            bid_quantity: Quantity(0),
            ask_order: OrderId(0),
            ask_quantity: Quantity(0),
            ..quoted
        },
        QuoteResult {
            entry_id: entry(2),
            instrument: InstrumentId(0),
            bid_order: OrderId(0),
            ask_order: OrderId(0),
            bid_status: 4,
            ask_status: 4,
            bid_reason: Reason::UnknownInstrument.code(),
            ask_reason: Reason::UnknownInstrument.code(),
            ..quoted
        },
        QuoteResult {
            entry_id: entry(3),
            layer: 1,
            bid_status: 0,
            ask_status: 4,
            ask_reason: Reason::PriceNotOnTick.code(),
            ..quoted
        },
        QuoteResult {
            entry_id: entry(4),
            layer: 1,
            bid_status: 4,
            ask_status: 4,
            bid_reason: Reason::QuantityAboveMaximum.code(),
            ask_reason: Reason::PriceOutsideBand.code(),
            ..quoted
        },
    ]
}

/// Every new event for a session, by name; in the order of their numbers from `first` on.
fn events(session: SessionId, first: u64) -> Vec<(&'static str, Vec<u64>)> {
    let mut at = first;
    let mut next = |reason: Reason| {
        at += 1;
        header(session, at - 1, reason)
    };
    let none = Reason::None;
    let asking = id(session, "ASKING", 71);
    let entry_id = id(session, "ENTRY", 2);
    let head = |response: u8| MassQuoteAnsweredHead {
        quote_id: id(session, "QUOTE", 77),
        accepted: 5,
        refused: 5,
        protection_group: 3,
        response,
        account: AccountId(5),
        ..MassQuoteAnsweredHead::default()
    };
    let fill = Fill {
        order: order(session, 1),
        trade_id: TradeId(902),
        last_price: Price(4_900),
        last_quantity: Quantity(6),
        liquidity: 1,
        ..Fill::default()
    };
    let restated = OrderRestated {
        order: order(session, 1),
        reduced: Quantity(2),
        shown: order(session, 1).leaves,
    };
    let canceled = |status: u8| OrderCanceled {
        order: OrderState {
            leaves: Quantity(0),
            ..order(session, status)
        },
        canceled: Quantity(4),
        ..OrderCanceled::default()
    };
    let stop = OrderStatusReport {
        order: OrderState {
            exec_id: ExecId(0),
            order_type: 4,
            time_in_force: 6,
            instructions: 4,
            self_trade_prevention: 0x12,
            ..order(session, 1)
        },
        terms: OrderTerms {
            stop_price: Price(5_000),
            display: Quantity(2),
            minimum: Quantity(0),
            expire_at: UtcNanos(NOW.0 + 1_000_000_000),
        },
        request: asking,
        total: 1,
        is_last: 1,
        waits: 1,
        shown: Quantity(2),
        ..OrderStatusReport::default()
    };
    let quote = OrderStatusReport {
        order: OrderState {
            exec_id: ExecId(0),
            ..order(session, 1)
        },
        terms: OrderTerms::NONE,
        request: asking,
        total: 2,
        is_last: 1,
        all: 1,
        is_quote: 1,
        shown: Quantity(4),
        ..OrderStatusReport::default()
    };
    let protection = ProtectionSet {
        client_order_id: asking,
        quantity: Quantity(1_000),
        net: Quantity(500),
        frozen_until: UtcNanos(NOW.0 + 3_000_000_000),
        window_quantity: Quantity(12),
        fills: 20,
        window_ms: 1_500,
        frozen_ms: 3_000,
        window_fills: 2,
        protection_group: 3,
        ..ProtectionSet::default()
    };
    let tripped = ProtectionTripped {
        frozen_until: UtcNanos(u64::MAX),
        window_quantity: Quantity(1_000),
        window_net: -7,
        window_fills: 20,
        protection_group: 3,
        limit: 2,
        order_id: OrderId(900),
        ..ProtectionTripped::default()
    };
    let killed = KillSwitchDone {
        client_order_id: asking,
        canceled: 6,
        target: 4,
        scope: 3,
        release: 0,
        ..KillSwitchDone::default()
    };
    let quotes_canceled = QuoteCancelDone {
        quote_id: asking,
        canceled: 2,
        instrument: InstrumentId(1),
        protection_group: 3,
        layer: 1,
        scope: 4,
        ..QuoteCancelDone::default()
    };
    let amended = TradeAmended {
        order: order(session, 1),
        trade_id: TradeId(902),
        reference: ExecId(890),
        price: Price(4_900),
        quantity: Quantity(6),
        new_price: NO_PRICE,
        liquidity: 2,
        ..TradeAmended::default()
    };
    let refused = RequestRejected {
        client_order_id: asking,
        original: id(session, "ORDER", 70),
        request: CommandKind::OrderStatusRequest as u8,
        status: 8,
        ..RequestRejected::default()
    };
    vec![
        ("a fill in an auction", {
            let fill = Fill {
                liquidity: 4,
                ..fill
            };
            words_of(next(none), fill)
        }),
        ("a fill of a quote", {
            words_of(next(none), QuoteFill { fill, entry_id })
        }),
        ("a mass quote, all is told", {
            answered(next(none), &head(2), &results(session))
        }),
        ("a mass quote, errors are told", {
            answered(next(none), &head(1), &results(session))
        }),
        ("a mass quote, nothing is told", {
            answered(next(none), &head(0), &results(session))
        }),
        ("a mass quote without an error, errors are told", {
            let head = MassQuoteAnsweredHead {
                refused: 0,
                ..head(1)
            };
            answered(next(none), &head, &results(session)[..1])
        }),
        ("a mass quote refused as a whole, nothing is told", {
            answered(next(Reason::ProtectionFrozen), &head(0), &[])
        }),
        ("a mass quote that asks for what is not there", {
            answered(next(Reason::UnsupportedInstruction), &head(1), &[])
        }),
        ("a quote is pulled", {
            let canceled = canceled(4);
            let reason = Reason::ProtectionTripped;
            words_of(next(reason), QuoteCanceled { canceled, entry_id })
        }),
        ("a quote expires", {
            let canceled = canceled(12);
            words_of(next(Reason::EndOfDay), QuoteCanceled { canceled, entry_id })
        }),
        ("a quote cancel", words_of(next(none), quotes_canceled)),
        ("a quote cancel of all", {
            let all = QuoteCancelDone {
                scope: 1,
                instrument: InstrumentId(0),
                protection_group: 0,
                layer: 0,
                ..quotes_canceled
            };
            words_of(next(none), all)
        }),
        ("a quote cancel refused", {
            words_of(next(Reason::UnknownInstrument), quotes_canceled)
        }),
        ("a tripped protection", words_of(next(none), tripped)),
        ("a protection", words_of(next(none), protection)),
        ("a protection refused", {
            words_of(next(Reason::ProtectionInvalid), protection)
        }),
        ("a kill switch", words_of(next(none), killed)),
        ("a kill switch refused", {
            words_of(next(Reason::NotPermitted), killed)
        }),
        ("a stop that was asked about", words_of(next(none), stop)),
        ("a quote, the second of two", {
            let quote = QuoteStatusAnswered {
                report: quote,
                entry_id,
                layer: 1,
                ..QuoteStatusAnswered::default()
            };
            words_of(next(none), quote)
        }),
        ("a quote, as logs had it before its entry was stated", {
            words_of(next(none), quote)
        }),
        ("no order at all", {
            let nothing = OrderStatusReport {
                terms: OrderTerms::NONE,
                request: asking,
                is_last: 1,
                all: 1,
                ..OrderStatusReport::default()
            };
            words_of(next(none), nothing)
        }),
        ("an unknown order", {
            words_of(next(Reason::UnknownOrder), refused)
        }),
        ("an order that is done", {
            let done = RequestRejected {
                status: 2,
                ..refused
            };
            words_of(next(Reason::TooLateToCancel), done)
        }),
        ("a bust", words_of(next(none), amended)),
        ("a correction", {
            let corrected = TradeAmended {
                new_price: Price(4_850),
                ..amended
            };
            words_of(next(none), corrected)
        }),
        ("a bust of a quote's trade", {
            let quote = TradeAmended {
                is_quote: 1,
                ..amended
            };
            words_of(next(none), quote)
        }),
        ("a mass cancel of a firm", {
            let done = MassCancelDone {
                client_order_id: asking,
                canceled: 6,
                scope: 2,
                ..MassCancelDone::default()
            };
            words_of(next(none), done)
        }),
        ("a mass cancel of the bids of a product in a group", {
            let done = MassCancelDone {
                client_order_id: asking,
                canceled: 6,
                product: 2,
                scope: 1,
                side: 1,
                protection_group: 3,
                account: AccountId(5),
                kinds: 1,
                by_account: 1,
                ..MassCancelDone::default()
            };
            words_of(next(none), done)
        }),
        ("a mass cancel of the orders in an instrument", {
            let done = MassCancelDone {
                client_order_id: asking,
                canceled: 1,
                instrument: InstrumentId(1),
                scope: 1,
                kinds: 2,
                ..MassCancelDone::default()
            };
            words_of(next(none), done)
        }),
        ("a mass cancel without the role", {
            let done = MassCancelDone {
                client_order_id: asking,
                scope: 2,
                ..MassCancelDone::default()
            };
            words_of(next(Reason::NotPermitted), done)
        }),
        ("an at-the-close order enters the book", {
            let order = OrderState {
                time_in_force: 7,
                ..order(session, 1)
            };
            words_of(next(Reason::AuctionBegun), OrderTriggered { order })
        }),
        ("an order of a lost connection", {
            let reason = Reason::CanceledOnDisconnect;
            words_of(next(reason), canceled(4))
        }),
        ("an order of a session that logged out", {
            let reason = Reason::CanceledOnLogout;
            words_of(next(reason), canceled(4))
        }),
        ("an order at its end of day", {
            words_of(next(Reason::EndOfDay), canceled(12))
        }),
        ("an order whose id was replaced away", {
            words_of(next(Reason::TooLateToCancel), refused)
        }),
        ("a mass cancel of an unknown instrument", {
            let done = MassCancelDone {
                client_order_id: asking,
                scope: 1,
                ..MassCancelDone::default()
            };
            words_of(next(Reason::UnknownInstrument), done)
        }),
        ("a dead man's switch", {
            let cancel_at = UtcNanos(NOW.0 + 2_000_000_000);
            words_of(next(none), CancelAfterSet { cancel_at })
        }),
        ("a dead man's switch taken away", {
            let cancel_at = UtcNanos(0);
            words_of(next(none), CancelAfterSet { cancel_at })
        }),
        ("all orders, asked for beyond the message rate", {
            let nothing = OrderStatusReport {
                terms: OrderTerms::NONE,
                request: asking,
                is_last: 1,
                all: 1,
                ..OrderStatusReport::default()
            };
            words_of(next(Reason::LimitMessages), nothing)
        }),
        ("an open order, asked for beyond the message rate", {
            let open = RequestRejected {
                order_id: OrderId(900),
                status: 1,
                ..refused
            };
            words_of(next(Reason::LimitMessages), open)
        }),
        ("self-trade prevention shrinks an order", {
            words_of(next(Reason::SelfTradePrevented), restated)
        }),
        ("self-trade prevention shrinks a quote", {
            let quote = QuoteRestated { restated, entry_id };
            words_of(next(Reason::SelfTradePrevented), quote)
        }),
    ]
}

/// What FIX clients ask, and what both are told of each phase.
fn phases(out: &mut String) {
    let mut binary = BinaryTalk::with_flags(LOGON_TRADING_STATUS);
    let mut fix = FixTalk::new();
    // The reply to its Logon was the first.
    let (mut at, mut token) = (1, 0);
    let mut numbered = |fix: &mut FixTalk| {
        (at, token) = (at + 1, token + 1);
        let admin = AdminMessage {
            message_kind: b'f',
            token,
            ..AdminMessage::default()
        };
        fix_text(&fix.event(&words_of(header(FIX, at, Reason::None), admin)))
    };
    for (kind, body) in [
        ("e", "55=ACME|263=1|324=R"),
        ("e", "55=LONGEST-SYMBOL-OF-THEM-A|263=0|324=T"),
        ("e", "55=NOWHERE|263=1|324=S"),
        ("g", "263=1|335=U"),
        ("g", "263=0|335=V|336=2"),
    ] {
        let (_, command) = fix.request(kind, body);
        let answer = numbered(&mut fix);
        let _ = writeln!(out, "{kind}|{body}\n  -> {command}\n  {answer}");
    }
    let first = TradingPhase::Continuous;
    let others = TradingPhase::ALL.iter().filter(|phase| **phase != first);
    for phase in others.chain([&first]) {
        let _ = writeln!(out, "{phase:?}");
        for id in [InstrumentId(1), InstrumentId(2)] {
            for desk in [&mut binary.desk, &mut fix.desk] {
                assert!(desk.reference.set_phase(id, *phase, NOW));
            }
            let connection = &mut binary.connection;
            binary.door.tell_phases(&binary.desk.context(), connection);
            let frame = hex(&std::mem::take(&mut connection.output));
            let _ = writeln!(out, "  {frame}");
            fix.door.tell_phases(&mut fix.desk.context());
            for _ in fix.desk.sent() {
                let _ = writeln!(out, "  {}", numbered(&mut fix));
            }
        }
    }
    let (_, command) = fix.request("e", "55=ACME|263=2|324=R");
    let _ = writeln!(out, "e|55=ACME|263=2|324=R\n  -> {command}");
}

#[test]
fn both_doors_say_what_is_written_down() {
    let mut out = String::new();
    out.push_str("== binary requests\n");
    binary_requests(&mut out);
    out.push_str("== FIX requests\n");
    fix_requests(&mut out);
    out.push_str("== events\n");
    let (mut binary, mut fix) = (BinaryTalk::new(), FixTalk::new());
    for ((what, to_binary), (_, to_fix)) in events(BINARY, 1).iter().zip(&events(FIX, 2)) {
        let frame = hex(&binary.event(to_binary));
        let text = fix_text(&fix.event(to_fix));
        let _ = writeln!(out, "{what}\n  {frame}\n  {text}");
    }
    out.push_str("== trading phases\n");
    phases(&mut out);
    let path = format!("{}/tests/fixtures/doors.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &out).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (at, (found, golden)) in out.lines().zip(golden.lines()).enumerate() {
        assert_eq!(found, golden, "line {} of {path}", at + 1);
    }
    assert_eq!(out.lines().count(), golden.lines().count(), "{path}");
}

/// The core has no number left for it: numbers begin anew with the day.
#[test]
fn the_end_of_the_day_is_told_by_a_logout() {
    let ends = header(FIX, 0, Reason::EndOfDay);
    let ends = words_of(ends, SessionClosed::default());
    let told = FixTalk::new().event(&ends);
    assert_eq!(fix_text(&told), "5|58=End of trading day");
    let text = String::from_utf8(told).unwrap().replace('\x01', "|");
    assert!(text.contains("|34=2|"), "behind the Logon: {text}");

    // Who was not told everything yet would take it for a gap.
    let mut behind = FixTalk::new();
    let third = &events(FIX, 3)[0].1;
    assert!(behind.event(third).is_empty());
    assert!(behind.event(&ends).is_empty());
}

#[test]
fn a_mass_quote_of_the_most_entries_goes_through_both_doors() {
    let longest = 48 + 56 + QUOTE_ENTRIES_MAX * 88;
    let mut binary = BinaryTalk::new();
    let entries = vec![quote_entries()[0]; QUOTE_ENTRIES_MAX];
    let (length, _) = binary.request(&quote_frame(&entries, 1, 1));
    assert_eq!(length as usize, longest);

    // Every field at its longest, every entry in a set of its own.
    let mut fix = FixTalk::new();
    let id = "x".repeat(ClientOrderId::TEXT_LENGTH_MAX);
    let decimal = "-92233720368.54775807";
    let mut body = format!("117={id}|301=2|9019=65535|1=4294967295|296=100|");
    for layer in 0..QUOTE_ENTRIES_MAX {
        let set = 65_536 - layer;
        let _ = write!(
            body,
            "302={set}|304=100|295=1|299={id}|55=LONGEST-SYMBOL-OF-THEM-A|132={decimal}|134={decimal}|133={decimal}|135={decimal}|"
        );
    }
    let (length, _) = fix.request("i", body.trim_end_matches('|'));
    assert_eq!(length as usize, longest);
}

#[test]
fn the_answer_to_a_mass_quote_of_the_most_entries_goes_through_both_doors() {
    let head = MassQuoteAnsweredHead {
        quote_id: ClientOrderId::from_u64(u64::MAX),
        refused: 200,
        response: 2,
        ..MassQuoteAnsweredHead::default()
    };
    let result = QuoteResult {
        bid_status: 4,
        ask_status: 4,
        bid_reason: Reason::QuantityBelowMinimum.code(),
        ask_reason: Reason::PriceOutsideBand.code(),
        instrument: InstrumentId(2),
        ..QuoteResult::default()
    };
    let all: Vec<QuoteResult> = (0..100)
        .map(|layer| QuoteResult {
            layer,
            entry_id: ClientOrderId::from_text(&[b'x'; 36]).unwrap(),
            ..result
        })
        .collect();
    let to_binary = answered(header(BINARY, 1, Reason::None), &head, &all);
    let bytes = BinaryTalk::new().event(&to_binary);
    let Ok(Frame::Complete { header: h, body }) = decode_frame(&bytes) else {
        panic!("no frame");
    };
    let (_, entries) = frame::block_and_group::<MassQuoteAck>(&h, body).unwrap();
    assert_eq!(entries.read::<MassQuoteAck>(&bytes).count(), 200);
    assert_eq!(
        bytes.len(),
        16 + size_of::<MassQuoteAck>() + size_of::<GroupHeader>() + 200 * 16
    );

    let to_fix = answered(header(FIX, 2, Reason::None), &head, &all);
    let text = fix_text(&FixTalk::new().event(&to_fix));
    assert_eq!(text.matches("|1167=5|").count(), 100);
}

/// What is written for an event of the ring is what is written when it is read from the log again.
#[test]
fn the_longest_event_is_an_event() {
    let head = MassQuoteAnsweredHead::default();
    let bytes = answered(
        header(FIX, 2, Reason::None),
        &head,
        &[QuoteResult::default(); QUOTE_ENTRIES_MAX],
    );
    let (_, body) = event::read(bytes.as_bytes()).unwrap();
    let EventBody::MassQuoteAnswered(answer) = body else {
        panic!("{body:?}");
    };
    assert_eq!(answer.results.len(), QUOTE_ENTRIES_MAX);
    assert!(bytes.len() * 8 <= crate::limits::EVENT_LENGTH_MAX);
}
