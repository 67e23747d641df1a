//! One session with a venue, either protocol behind the same calls: requests in, answers out.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trading_engine_protocol::binary::message::{
    CancelOrder, CancelRejected, Fill, InstrumentDefinition, KillSwitch, KillSwitchDone,
    MassCancel, MassCancelDone, MassQuote, MassQuoteAck, Message, NewOrder, OrderAccepted,
    OrderCanceled, OrderRejected, OrderReplaced, OrderStatus, OrderStatusRequest, ProtectionConfig,
    ProtectionReset, ProtectionStatus, ProtectionTripped, QuoteCanceled, QuoteEntry, Reject,
    ReplaceOrder,
};
use trading_engine_protocol::binary::{
    self, ClientAction as BinaryAction, FrameHeader, LogonSettings, MASS_QUOTE_FULL_ACK,
    NULL_PRICE, frame,
};
use trading_engine_protocol::fix::{
    self, ClientAction as FixAction, InitiatorSettings, Message as FixFields, MessageWriter,
};
use trading_engine_protocol::types::{Decimal8, KillScope, MassCancelScope, Reason, UtcNanos};

use crate::credentials::{BinaryLogin, Login};

const LOGON_PATIENCE: Duration = Duration::from_secs(10);
const HEARTBEAT_S: u64 = 30;
/// FIX requests kept for a resend.
const KEPT: u64 = 4_096;
/// The venue's CompID(56).
const VENUE: &[u8] = b"TRADENG";

/// Buy or sell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Side(54)=1.
    Buy,
    /// Side(54)=2.
    Sell,
}

impl Side {
    /// The other one.
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Buy => 1,
            Self::Sell => 2,
        }
    }

    fn of(code: u8) -> Self {
        if code == 1 { Self::Buy } else { Self::Sell }
    }
}

/// A limit order; prices and quantities are mantissas of 10^-8.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// ClOrdID(11).
    pub id: u64,
    /// Side(54).
    pub side: Side,
    /// Price(44).
    pub price: i64,
    /// OrderQty(38).
    pub quantity: i64,
    /// Immediate or cancel, else Day.
    pub immediate: bool,
}

/// Price and quantity, mantissas of 10^-8; a quantity of 0 is none.
pub type Terms = (i64, i64);

/// Both sides of a quote.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Of what.
    pub instrument: &'a Instrument,
    /// The bid.
    pub bid: Terms,
    /// The ask.
    pub ask: Terms,
}

/// A side of a mass quote's entry that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedSide {
    /// Which entry, from 0.
    pub entry: usize,
    /// Its side.
    pub side: Side,
    /// Why.
    pub why: Reason,
}

/// What the venue said about a request or an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The order is in.
    Accepted {
        /// Its id.
        id: u64,
        /// Its side.
        side: Side,
        /// Its price.
        price: i64,
        /// Its open quantity.
        leaves: i64,
    },
    /// The order never was.
    Rejected {
        /// Its id.
        id: u64,
        /// Why, `None` if it is not in the table of reasons.
        why: Reason,
    },
    /// The order was replaced.
    Replaced {
        /// Its new id.
        id: u64,
        /// The id it had.
        original: u64,
        /// Its price.
        price: i64,
        /// Its open quantity.
        leaves: i64,
    },
    /// The order is gone.
    Canceled {
        /// The request that did it, `None` = nobody asked.
        request: Option<u64>,
        /// The order's id.
        original: u64,
    },
    /// A cancel or replace was refused.
    Refused {
        /// The request.
        id: u64,
    },
    /// A fill.
    Fill {
        /// The order's id.
        id: u64,
        /// Price of the fill.
        price: i64,
        /// Quantity of the fill.
        quantity: i64,
        /// What is open now.
        leaves: i64,
        /// The order came in and took.
        taker: bool,
    },
    /// A mass quote is answered; [`Client::refused_sides`] has what was refused of it.
    Quoted {
        /// Its id.
        id: u64,
        /// Why all of it was refused, `None` = it was not.
        why: Reason,
        /// Sides that are answered.
        sides: usize,
    },
    /// A fill of a quote.
    QuoteFill {
        /// Id of the instrument.
        instrument: u32,
        /// Which side of the quote.
        side: Side,
        /// Quantity of the fill.
        quantity: i64,
        /// What is open now.
        leaves: i64,
    },
    /// A quote's side ended, and no answer to a mass quote says so.
    QuoteEnded {
        /// Id of the instrument.
        instrument: u32,
        /// Which side of the quote.
        side: Side,
        /// Why.
        why: Reason,
    },
    /// The session's protection group reached a limit: its quotes are about to end.
    Tripped,
    /// Protection was set or reset.
    Protection {
        /// The request.
        id: u64,
        /// Why not.
        why: Reason,
    },
    /// One of the session's open orders and quotes.
    Resting {
        /// Id of the instrument.
        instrument: u32,
        /// Its side.
        side: Side,
        /// Price and open quantity.
        terms: Terms,
        /// No more follow.
        last: bool,
    },
    /// The session has nothing open.
    NothingRests,
    /// A mass cancel is done.
    MassCanceled {
        /// The request.
        id: u64,
        /// How many orders and quotes ended.
        canceled: u64,
        /// Why not.
        why: Reason,
    },
    /// A kill switch is set or lifted.
    Killed {
        /// The request.
        id: u64,
        /// How many orders and quotes ended.
        canceled: u64,
        /// Why not.
        why: Reason,
    },
}

/// An instrument as the session names it.
#[derive(Clone, Debug)]
pub struct Instrument {
    symbol: String,
    /// Binary id; 0 in FIX, unless [`Client::know`] told it.
    id: u32,
}

impl Instrument {
    /// By symbol and number.
    pub fn new(symbol: &str, id: u32) -> Self {
        Self {
            symbol: symbol.into(),
            id,
        }
    }

    /// Its number in answers.
    pub fn id(&self) -> u32 {
        self.id
    }
}

enum Machine {
    Binary(Box<binary::Initiator>),
    Fix(Box<fix::Initiator>),
}

/// The session.
pub struct Client {
    socket: TcpStream,
    machine: Machine,
    symbols: HashMap<String, u32>,
    input: Vec<u8>,
    /// Bytes of `input` that are taken.
    taken: usize,
    output: Vec<u8>,
    /// Bytes of `output` that are out.
    written: usize,
    started: Instant,
    refused: Vec<RefusedSide>,
    /// Bytes received since the connection began.
    pub received: u64,
}

fn utc() -> UtcNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UtcNanos(since.map_or(0, |since| since.as_nanos() as u64))
}

/// A client order id that no earlier run on this machine used, given fewer than a million requests
/// a second: requests of a run count on from it.
pub fn first_id() -> u64 {
    utc().0 / 1_000
}

fn read<M: Message>(header: &FrameHeader, body: &[u8]) -> Option<M> {
    (header.template_id == M::TEMPLATE)
        .then(|| frame::block(header, body))
        .flatten()
}

impl Client {
    /// Connects and logs on, binary live from now, FIX with both numbers back at 1. The socket
    /// blocks.
    ///
    /// # Errors
    /// The network's; a refused logon.
    pub fn logon(address: SocketAddr, login: &Login) -> io::Result<Self> {
        let socket = TcpStream::connect(address)
            .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LOGON_PATIENCE))?;
        let machine = match login {
            Login::Binary(login) => {
                let mut key_id = [0u8; 16];
                let id = login.key_id.as_bytes();
                if id.len() > key_id.len() {
                    return Err(io::Error::other("a key id has at most 16 bytes"));
                }
                key_id[..id.len()].copy_from_slice(id);
                let settings = LogonSettings {
                    session_id: login.session,
                    key_id,
                    auth_type: login.secret.auth_type(),
                    heartbeat_ms: HEARTBEAT_S as u32 * 1_000,
                    epoch: 0,
                    from_seq: 0,
                    flags: 0,
                };
                Machine::Binary(Box::new(binary::Initiator::new(settings, 0)))
            }
            Login::Fix(login) => {
                let settings = InitiatorSettings {
                    comp_id: login.comp_id.clone().into_bytes(),
                    venue: VENUE.to_vec(),
                    username: login.username.clone().into_bytes(),
                    password: login.password.clone().into_bytes(),
                    heartbeat_s: HEARTBEAT_S,
                };
                Machine::Fix(Box::new(fix::Initiator::new(settings)))
            }
        };
        let mut client = Self {
            socket,
            machine,
            symbols: HashMap::new(),
            input: Vec::new(),
            taken: 0,
            output: Vec::new(),
            written: 0,
            started: Instant::now(),
            refused: Vec::new(),
            received: 0,
        };
        match login {
            Login::Binary(login) => client.logon_binary(login)?,
            Login::Fix(_) => client.logon_fix()?,
        }
        client.socket.set_read_timeout(None)?;
        Ok(client)
    }

    fn logon_binary(&mut self, login: &BinaryLogin) -> io::Result<()> {
        loop {
            let now = self.now_ns();
            let Machine::Binary(initiator) = &mut self.machine else {
                return Err(io::Error::other("not a binary session"));
            };
            let (bytes, action) =
                initiator.receive(now, &self.input[self.taken..], &mut self.output);
            match action {
                BinaryAction::NeedMore => {
                    self.flush()?;
                    self.fill()?;
                }
                BinaryAction::Sign { text } => {
                    let signature = login.secret.sign(&text)?;
                    initiator.logon(now, signature, &mut self.output);
                }
                BinaryAction::Message { header, body } => {
                    if let Some(m) = read::<InstrumentDefinition>(&header, body) {
                        let symbol = String::from_utf8_lossy(&m.symbol);
                        let symbol = symbol.trim_end_matches('\0').to_owned();
                        self.symbols.insert(symbol, m.instrument_id);
                    }
                }
                BinaryAction::Active(_) => {
                    self.taken += bytes;
                    return Ok(());
                }
                BinaryAction::Handled | BinaryAction::Accepted(_) => {}
                BinaryAction::Rejected(rejected) => {
                    return Err(io::Error::other(format!(
                        "logon of {} refused, code {}",
                        login.key_id, rejected.reason
                    )));
                }
                BinaryAction::Logout(logout) => return Err(logged_out(logout.reason)),
                BinaryAction::Broken(reason) => return Err(io::Error::other(reason.to_string())),
            }
            self.taken += bytes;
        }
    }

    fn logon_fix(&mut self) -> io::Result<()> {
        let now = self.now_ns();
        if let Machine::Fix(initiator) = &mut self.machine {
            initiator.logon_reset(now, utc(), &mut self.output);
        }
        loop {
            let Machine::Fix(initiator) = &mut self.machine else {
                return Err(io::Error::other("not a FIX session"));
            };
            let (bytes, action) =
                initiator.receive(now, utc(), &self.input[self.taken..], &mut self.output);
            self.taken += bytes;
            match action {
                FixAction::NeedMore => {
                    self.flush()?;
                    self.fill()?;
                }
                FixAction::LoggedOn => return Ok(()),
                FixAction::Handled | FixAction::Application { .. } => {}
                FixAction::Rejected => return Err(io::Error::other("the Logon was rejected")),
                FixAction::LoggedOut(text) => return Err(io::Error::other(text)),
                FixAction::Broken(why) => return Err(io::Error::other(why)),
            }
        }
    }

    /// Reads and writes without waiting from now on.
    ///
    /// # Errors
    /// The socket's.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        self.socket.set_nonblocking(true)
    }

    /// For polling.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// The session's name of an instrument.
    ///
    /// # Errors
    /// When the venue did not define it.
    pub fn instrument(&self, symbol: &str) -> io::Result<Instrument> {
        let id = match (&self.machine, self.symbols.get(symbol)) {
            (_, Some(&id)) => id,
            (Machine::Fix(_), None) => 0,
            (Machine::Binary(_), None) => {
                return Err(io::Error::other(format!("the venue has no {symbol}")));
            }
        };
        Ok(Instrument::new(symbol, id))
    }

    /// Tells a FIX session the venue's numbers of instruments: its answers name symbols.
    pub fn know(&mut self, instruments: &[(u32, String)]) {
        let known = instruments.iter().map(|(id, symbol)| (symbol.clone(), *id));
        self.symbols.extend(known);
    }

    /// Queues an order.
    pub fn enter(&mut self, instrument: &Instrument, order: &Order) {
        let now_ns = self.now_ns();
        match &mut self.machine {
            Machine::Binary(initiator) => {
                let message = NewOrder {
                    cl_ord_id: order.id,
                    price: order.price,
                    qty: order.quantity,
                    stop_price: NULL_PRICE,
                    instrument_id: instrument.id,
                    side: order.side.code(),
                    ord_type: 2,
                    tif: if order.immediate { 3 } else { 0 },
                    ..NewOrder::default()
                };
                initiator.send(now_ns, &message, &mut self.output);
            }
            Machine::Fix(initiator) => {
                let now = utc();
                initiator.send(now_ns, now, b"D", &mut self.output, |writer| {
                    writer.number(11, order.id);
                    writer.text(55, instrument.symbol.as_bytes());
                    writer.character(54, b'0' + order.side.code());
                    writer.timestamp(60, now);
                    writer.decimal(38, Decimal8(order.quantity));
                    writer.character(40, b'2');
                    writer.decimal(44, Decimal8(order.price));
                    writer.character(59, if order.immediate { b'3' } else { b'0' });
                });
                forget(initiator);
            }
        }
    }

    /// Queues a cancel.
    pub fn cancel(&mut self, instrument: &Instrument, id: u64, original: u64, side: Side) {
        let now_ns = self.now_ns();
        match &mut self.machine {
            Machine::Binary(initiator) => {
                let message = CancelOrder {
                    cl_ord_id: id,
                    orig_cl_ord_id: original,
                    instrument_id: instrument.id,
                    ..CancelOrder::default()
                };
                initiator.send(now_ns, &message, &mut self.output);
            }
            Machine::Fix(initiator) => {
                let now = utc();
                initiator.send(now_ns, now, b"F", &mut self.output, |writer| {
                    writer.number(41, original);
                    writer.number(11, id);
                    writer.text(55, instrument.symbol.as_bytes());
                    writer.character(54, b'0' + side.code());
                    writer.timestamp(60, now);
                });
                forget(initiator);
            }
        }
    }

    /// Queues a replace; `order` has the new id, price and total quantity.
    pub fn replace(&mut self, instrument: &Instrument, original: u64, order: &Order) {
        let now_ns = self.now_ns();
        match &mut self.machine {
            Machine::Binary(initiator) => {
                let message = ReplaceOrder {
                    cl_ord_id: order.id,
                    orig_cl_ord_id: original,
                    price: order.price,
                    qty: order.quantity,
                    instrument_id: instrument.id,
                    ..ReplaceOrder::default()
                };
                initiator.send(now_ns, &message, &mut self.output);
            }
            Machine::Fix(initiator) => {
                let now = utc();
                initiator.send(now_ns, now, b"G", &mut self.output, |writer| {
                    writer.number(41, original);
                    writer.number(11, order.id);
                    writer.text(55, instrument.symbol.as_bytes());
                    writer.character(54, b'0' + order.side.code());
                    writer.timestamp(60, now);
                    writer.decimal(38, Decimal8(order.quantity));
                    writer.character(40, b'2');
                    writer.decimal(44, Decimal8(order.price));
                    writer.character(59, b'0');
                });
                forget(initiator);
            }
        }
    }

    /// Queues a mass quote of both sides of all entries.
    pub fn quote(&mut self, id: u64, group: u16, entries: &[Entry<'_>]) {
        let now_ns = self.now_ns();
        match &mut self.machine {
            Machine::Binary(initiator) => {
                let quote = MassQuote {
                    quote_id: id,
                    mmp_group: group,
                    flags: MASS_QUOTE_FULL_ACK,
                    ..MassQuote::default()
                };
                let wire: Vec<QuoteEntry> = entries
                    .iter()
                    .map(|entry| QuoteEntry {
                        instrument_id: entry.instrument.id,
                        bid_price: entry.bid.0,
                        bid_qty: entry.bid.1,
                        ask_price: entry.ask.0,
                        ask_qty: entry.ask.1,
                        ..QuoteEntry::default()
                    })
                    .collect();
                initiator.send_group(now_ns, &quote, &wire, &mut self.output);
            }
            Machine::Fix(initiator) => {
                let count = entries.len() as u64;
                initiator.send(now_ns, utc(), b"i", &mut self.output, |writer| {
                    writer.number(117, id);
                    writer.number(301, 2);
                    writer.number(9019, u64::from(group));
                    writer.number(296, 1);
                    writer.number(302, 1);
                    writer.number(304, count);
                    writer.number(295, count);
                    for (index, entry) in entries.iter().enumerate() {
                        writer.number(299, index as u64);
                        writer.text(55, entry.instrument.symbol.as_bytes());
                        write_side(writer, entry.bid, (132, 134));
                        write_side(writer, entry.ask, (133, 135));
                    }
                });
                forget(initiator);
            }
        }
    }

    /// Queues the settings of a protection group that stays frozen until it is reset: so many lots
    /// in a window. A window of 0 takes its protection away.
    pub fn protect(&mut self, id: u64, group: u16, lots: u64, window_ms: u32) {
        let now_ns = self.now_ns();
        match &mut self.machine {
            Machine::Binary(initiator) => {
                let message = ProtectionConfig {
                    cl_ord_id: id,
                    qty_limit: lots,
                    window_ms,
                    mmp_group: group,
                    ..ProtectionConfig::default()
                };
                initiator.send(now_ns, &message, &mut self.output);
            }
            Machine::Fix(initiator) => {
                initiator.send(now_ns, utc(), b"U3", &mut self.output, |writer| {
                    writer.number(11, id);
                    writer.number(9019, u64::from(group));
                    writer.number(35023, u64::from(window_ms));
                    writer.number(35020, lots);
                });
                forget(initiator);
            }
        }
    }

    /// Queues the reset of a frozen protection group.
    pub fn reset(&mut self, id: u64, group: u16) {
        let now_ns = self.now_ns();
        match &mut self.machine {
            Machine::Binary(initiator) => {
                let message = ProtectionReset {
                    cl_ord_id: id,
                    mmp_group: group,
                    ..ProtectionReset::default()
                };
                initiator.send(now_ns, &message, &mut self.output);
            }
            Machine::Fix(initiator) => {
                initiator.send(now_ns, utc(), b"U4", &mut self.output, |writer| {
                    writer.number(11, id);
                    writer.number(9019, u64::from(group));
                });
                forget(initiator);
            }
        }
    }

    /// Queues a mass cancel of all the session has open.
    pub fn cancel_all(&mut self, id: u64) {
        let now_ns = self.now_ns();
        match &mut self.machine {
            Machine::Binary(initiator) => {
                let message = MassCancel {
                    cl_ord_id: id,
                    scope: MassCancelScope::Session.as_u8(),
                    ..MassCancel::default()
                };
                initiator.send(now_ns, &message, &mut self.output);
            }
            Machine::Fix(initiator) => {
                initiator.send(now_ns, utc(), b"q", &mut self.output, |writer| {
                    writer.number(11, id);
                    writer.number(530, 7);
                    writer.timestamp(60, utc());
                });
                forget(initiator);
            }
        }
    }

    /// Queues the kill switch of a session, or lifts it.
    pub fn kill(&mut self, id: u64, session: u32, lift: bool) {
        let now_ns = self.now_ns();
        match &mut self.machine {
            Machine::Binary(initiator) => {
                let message = KillSwitch {
                    cl_ord_id: id,
                    target: session,
                    scope: KillScope::Session.as_u8(),
                    release: u8::from(lift),
                    ..KillSwitch::default()
                };
                initiator.send(now_ns, &message, &mut self.output);
            }
            Machine::Fix(initiator) => {
                initiator.send(now_ns, utc(), b"U1", &mut self.output, |writer| {
                    writer.number(11, id);
                    writer.number(35012, u64::from(KillScope::Session.as_u8()));
                    writer.number(35013, u64::from(session));
                    if lift {
                        writer.character(35014, b'Y');
                    }
                });
                forget(initiator);
            }
        }
    }

    /// Queues the question what the session has open.
    pub fn ask_resting(&mut self, id: u64) {
        let now_ns = self.now_ns();
        match &mut self.machine {
            Machine::Binary(initiator) => {
                let message = OrderStatusRequest {
                    cl_ord_id: id,
                    ..OrderStatusRequest::default()
                };
                initiator.send(now_ns, &message, &mut self.output);
            }
            Machine::Fix(initiator) => {
                initiator.send(now_ns, utc(), b"AF", &mut self.output, |writer| {
                    writer.number(584, id);
                    writer.number(585, 7);
                });
                forget(initiator);
            }
        }
    }

    /// What was refused of the mass quote that was answered last.
    pub fn refused_sides(&self) -> &[RefusedSide] {
        &self.refused
    }

    /// Bytes queued and not yet out.
    pub fn unwritten(&self) -> usize {
        self.output.len() - self.written
    }

    /// Writes what is queued, as far as the socket takes it.
    ///
    /// # Errors
    /// The network's.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.written < self.output.len() {
            match self.socket.write(&self.output[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// One read. Returns whether there was something.
    ///
    /// # Errors
    /// The network's; the end of the connection.
    pub fn fill(&mut self) -> io::Result<bool> {
        if self.taken > 0 {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
        let mut bytes = [0u8; 64 << 10];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => {
                    let why = "the venue closed the connection";
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, why));
                }
                Ok(count) => {
                    self.received += count as u64;
                    self.input.extend_from_slice(&bytes[..count]);
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next answer in what was read.
    ///
    /// # Errors
    /// A broken stream, a Reject of a message, a Logout: a load generator's requests are right.
    pub fn answer(&mut self) -> io::Result<Option<Answer>> {
        let now_ns = self.now_ns();
        loop {
            let input = &self.input[self.taken..];
            let (bytes, answer) = match &mut self.machine {
                Machine::Binary(initiator) => {
                    let (bytes, action) = initiator.receive(now_ns, input, &mut self.output);
                    match action {
                        BinaryAction::NeedMore => return Ok(None),
                        BinaryAction::Message { header, body } => {
                            (bytes, binary_answer(&header, body, &mut self.refused)?)
                        }
                        BinaryAction::Logout(logout) => return Err(logged_out(logout.reason)),
                        BinaryAction::Broken(reason) => {
                            return Err(io::Error::other(reason.to_string()));
                        }
                        _ => (bytes, None),
                    }
                }
                Machine::Fix(initiator) => {
                    let (bytes, action) = initiator.receive(now_ns, utc(), input, &mut self.output);
                    match action {
                        FixAction::NeedMore => return Ok(None),
                        FixAction::Application { .. } => {
                            let answer = fix_answer(initiator, &self.symbols, &mut self.refused);
                            (bytes, answer?)
                        }
                        FixAction::Handled | FixAction::LoggedOn => (bytes, None),
                        FixAction::Rejected => return Err(unexpected(initiator)),
                        FixAction::LoggedOut(text) => return Err(io::Error::other(text)),
                        FixAction::Broken(why) => return Err(io::Error::other(why)),
                    }
                }
            };
            self.taken += bytes;
            if answer.is_some() {
                return Ok(answer);
            }
        }
    }

    /// Heartbeats, when due.
    pub fn keep_alive(&mut self) {
        let now_ns = self.now_ns();
        match &mut self.machine {
            Machine::Binary(initiator) => {
                let _ = initiator.handle_timeout(now_ns, &mut self.output);
            }
            Machine::Fix(initiator) => {
                initiator.handle_timeout(now_ns, utc(), &mut self.output);
            }
        }
    }

    /// Says goodbye; the connection closes with the value.
    ///
    /// # Errors
    /// The network's.
    pub fn logout(mut self) -> io::Result<()> {
        let now_ns = self.now_ns();
        match &mut self.machine {
            Machine::Binary(initiator) => initiator.logout(now_ns, &mut self.output),
            Machine::Fix(initiator) => initiator.logout(now_ns, utc(), &mut self.output),
        }
        self.socket.set_nonblocking(false)?;
        self.socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        self.flush()?;
        // The venue answers and closes, or the patience ends.
        while self.fill().is_ok_and(|more| more) {}
        Ok(())
    }
}

/// Keeps the resend store of a long run small.
fn forget(initiator: &mut fix::Initiator) {
    let next = initiator.next_out;
    if next.is_multiple_of(KEPT) {
        initiator.forget_below(next.saturating_sub(KEPT));
    }
}

fn logged_out(reason: u16) -> io::Error {
    io::Error::other(format!("the venue logged us out, code {reason}"))
}

fn unexpected(initiator: &fix::Initiator) -> io::Error {
    let (_, bytes) = initiator.message();
    let text = String::from_utf8_lossy(bytes).replace('\u{1}', "|");
    io::Error::other(format!("the venue said {text}"))
}

fn reason(code: u16) -> Reason {
    Reason::try_from(code).unwrap_or(Reason::None)
}

fn binary_answer(
    header: &FrameHeader,
    body: &[u8],
    refused: &mut Vec<RefusedSide>,
) -> io::Result<Option<Answer>> {
    Ok(match header.template_id {
        MassQuoteAck::TEMPLATE => binary_quoted(header, body, refused),
        OrderAccepted::TEMPLATE => read::<OrderAccepted>(header, body).map(|m| Answer::Accepted {
            id: m.cl_ord_id,
            side: Side::of(m.side),
            price: m.price,
            leaves: m.leaves_qty,
        }),
        OrderRejected::TEMPLATE => read::<OrderRejected>(header, body).map(|m| Answer::Rejected {
            id: m.cl_ord_id,
            why: reason(m.reason),
        }),
        OrderReplaced::TEMPLATE => read::<OrderReplaced>(header, body).map(|m| Answer::Replaced {
            id: m.cl_ord_id,
            original: m.orig_cl_ord_id,
            price: m.price,
            leaves: m.leaves_qty,
        }),
        OrderCanceled::TEMPLATE => read::<OrderCanceled>(header, body).map(|m| Answer::Canceled {
            request: (m.client_seq != 0 && m.cl_ord_id != m.orig_cl_ord_id).then_some(m.cl_ord_id),
            original: m.orig_cl_ord_id,
        }),
        CancelRejected::TEMPLATE => {
            read::<CancelRejected>(header, body).map(|m| Answer::Refused { id: m.cl_ord_id })
        }
        Fill::TEMPLATE => read::<Fill>(header, body).map(|m| match m.quote_layer {
            0 => Answer::Fill {
                id: m.cl_ord_id,
                price: m.last_price,
                quantity: m.last_qty,
                leaves: m.leaves_qty,
                taker: m.liquidity == 2,
            },
            _ => Answer::QuoteFill {
                instrument: m.instrument_id,
                side: Side::of(m.side),
                quantity: m.last_qty,
                leaves: m.leaves_qty,
            },
        }),
        QuoteCanceled::TEMPLATE => {
            read::<QuoteCanceled>(header, body).map(|m| Answer::QuoteEnded {
                instrument: m.instrument_id,
                side: Side::of(m.side),
                why: reason(m.reason),
            })
        }
        ProtectionTripped::TEMPLATE => Some(Answer::Tripped),
        ProtectionStatus::TEMPLATE => {
            read::<ProtectionStatus>(header, body).map(|m| Answer::Protection {
                id: m.cl_ord_id,
                why: reason(m.reason),
            })
        }
        MassCancelDone::TEMPLATE => {
            read::<MassCancelDone>(header, body).map(|m| Answer::MassCanceled {
                id: m.cl_ord_id,
                canceled: u64::from(m.canceled_count),
                why: reason(m.reason),
            })
        }
        KillSwitchDone::TEMPLATE => read::<KillSwitchDone>(header, body).map(|m| Answer::Killed {
            id: m.cl_ord_id,
            canceled: u64::from(m.canceled_count),
            why: reason(m.reason),
        }),
        OrderStatus::TEMPLATE => read::<OrderStatus>(header, body).map(|m| match m.total {
            0 => Answer::NothingRests,
            _ => Answer::Resting {
                instrument: m.instrument_id,
                side: Side::of(m.side),
                terms: (m.price, m.leaves_qty),
                last: m.is_last == 1,
            },
        }),
        Reject::TEMPLATE => {
            let code = read::<Reject>(header, body).map_or(0, |m| m.reason);
            let why = format!("the venue rejected a message, code {code}");
            return Err(io::Error::other(why));
        }
        _ => None,
    })
}

/// A side that the venue refused: QuoteResult's status(4).
const REFUSED: u8 = 4;

fn binary_quoted(
    header: &FrameHeader,
    body: &[u8],
    refused: &mut Vec<RefusedSide>,
) -> Option<Answer> {
    let (ack, results) = frame::block_and_group::<MassQuoteAck>(header, body)?;
    refused.clear();
    let sides = results.read_body::<MassQuoteAck>(body);
    refused.extend(
        sides
            .filter(|side| side.status == REFUSED)
            .map(|side| RefusedSide {
                entry: usize::from(side.entry_index),
                side: Side::of(side.side),
                why: reason(side.reason),
            }),
    );
    Some(Answer::Quoted {
        id: ack.quote_id,
        why: reason(ack.reason),
        sides: results.len(),
    })
}

/// One side of a quote: what is none has no price.
fn write_side(writer: &mut MessageWriter<'_>, terms: Terms, tags: (u32, u32)) {
    if terms.1 > 0 {
        writer.decimal(tags.0, Decimal8(terms.0));
    }
    writer.decimal(tags.1, Decimal8(terms.1));
}

/// The reason in a Text(58), which says it before the field and value at fault.
fn reason_in(text: &[u8]) -> Reason {
    let text = std::str::from_utf8(text).unwrap_or("");
    let words = text.split(" (").next().unwrap_or("");
    let words = words
        .strip_prefix("Bid: ")
        .or_else(|| words.strip_prefix("Ask: "))
        .unwrap_or(words);
    let mut all = Reason::ALL.iter();
    all.find(|reason| reason.text() == words)
        .copied()
        .unwrap_or(Reason::None)
}

/// An answer to a mass quote of which every entry is told.
fn fix_quoted(message: &FixFields, bytes: &[u8], refused: &mut Vec<RefusedSide>) -> Answer {
    refused.clear();
    let id = message.number(bytes, 117).unwrap_or(0);
    let said = message.get(bytes, 58).map_or(Reason::None, reason_in);
    if message.get(bytes, 297) == Some(b"5") {
        return Answer::Quoted {
            id,
            why: said,
            sides: 0,
        };
    }
    let (mut sides, mut entry, mut is_refused) = (0, 0, false);
    for field in message.fields() {
        let value = message.value(bytes, field);
        match field.tag {
            299 => entry = fix::codec::number(value).unwrap_or(0) as usize,
            1167 => {
                sides += 2;
                is_refused = value == b"5";
            }
            58 if is_refused => {
                let why = reason_in(value);
                let one = |side| RefusedSide { entry, side, why };
                if !value.starts_with(b"Ask: ") {
                    refused.push(one(Side::Buy));
                }
                if !value.starts_with(b"Bid: ") {
                    refused.push(one(Side::Sell));
                }
            }
            _ => {}
        }
    }
    Answer::Quoted {
        id,
        why: Reason::None,
        sides,
    }
}

fn fix_answer(
    initiator: &fix::Initiator,
    symbols: &HashMap<String, u32>,
    refused: &mut Vec<RefusedSide>,
) -> io::Result<Option<Answer>> {
    let (message, bytes) = initiator.message();
    let number = |tag| message.number(bytes, tag).unwrap_or(0);
    let decimal = |tag| {
        message
            .get(bytes, tag)
            .and_then(|text| Decimal8::parse(text).ok())
            .map_or(0, |value| value.0)
    };
    let id = number(11);
    let instrument = || {
        let symbol = std::str::from_utf8(message.get(bytes, 55).unwrap_or(b"")).unwrap_or("");
        symbols.get(symbol).copied().unwrap_or(0)
    };
    let why = || message.get(bytes, 58).map_or(Reason::None, reason_in);
    let side = || Side::of(number(54) as u8);
    Ok(
        match (message.message_type(bytes), message.get(bytes, 150)) {
            (b"b", _) => Some(fix_quoted(message, bytes, refused)),
            (b"AI", _) if message.get(bytes, 35030).is_some() => Some(Answer::Tripped),
            (b"AI", _) => Some(Answer::QuoteEnded {
                instrument: instrument(),
                side: side(),
                why: why(),
            }),
            (b"r", _) => Some(Answer::MassCanceled {
                id,
                canceled: number(533),
                why: why(),
            }),
            (b"U2", _) => Some(Answer::Killed {
                id,
                canceled: number(533),
                why: why(),
            }),
            (b"U5", _) => Some(Answer::Protection { id, why: why() }),
            (b"8", Some(b"I")) if number(911) == 0 => Some(Answer::NothingRests),
            (b"8", Some(b"I")) => Some(Answer::Resting {
                instrument: instrument(),
                side: side(),
                terms: (decimal(44), decimal(151)),
                last: message.get(bytes, 912) == Some(b"Y"),
            }),
            (b"8", Some(b"F")) if message.get(bytes, 117).is_some() => Some(Answer::QuoteFill {
                instrument: instrument(),
                side: side(),
                quantity: decimal(32),
                leaves: decimal(151),
            }),
            (b"9", _) => Some(Answer::Refused { id }),
            (b"8", Some(b"0")) => Some(Answer::Accepted {
                id,
                side: Side::of(number(54) as u8),
                price: decimal(44),
                leaves: decimal(151),
            }),
            (b"8", Some(b"8")) => Some(Answer::Rejected { id, why: why() }),
            (b"8", Some(b"5")) => Some(Answer::Replaced {
                id,
                original: number(41),
                price: decimal(44),
                leaves: decimal(151),
            }),
            (b"8", Some(b"4" | b"C")) => Some(match message.number(bytes, 41) {
                Some(original) => Answer::Canceled {
                    request: Some(id),
                    original,
                },
                None => Answer::Canceled {
                    request: None,
                    original: id,
                },
            }),
            (b"8", Some(b"F")) => Some(Answer::Fill {
                id,
                price: decimal(31),
                quantity: decimal(32),
                leaves: decimal(151),
                taker: number(851) == 2,
            }),
            _ => return Err(unexpected(initiator)),
        },
    )
}
