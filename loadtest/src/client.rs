//! One session with a venue, either protocol behind the same calls: requests in, answers out.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trading_engine_protocol::binary::message::{
    CancelOrder, CancelRejected, Fill, InstrumentDefinition, Message, NewOrder, OrderAccepted,
    OrderCanceled, OrderRejected, OrderReplaced, Reject, ReplaceOrder,
};
use trading_engine_protocol::binary::{
    self, ClientAction as BinaryAction, FrameHeader, LogonSettings, NULL_PRICE, frame,
};
use trading_engine_protocol::fix::{self, ClientAction as FixAction, InitiatorSettings};
use trading_engine_protocol::types::{Decimal8, UtcNanos};

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
}

/// An instrument as the session names it.
#[derive(Clone, Debug)]
pub struct Instrument {
    symbol: String,
    /// Binary id; 0 in FIX.
    id: u32,
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
            (Machine::Fix(_), _) => 0,
            (Machine::Binary(_), Some(&id)) => id,
            (Machine::Binary(_), None) => {
                return Err(io::Error::other(format!("the venue has no {symbol}")));
            }
        };
        Ok(Instrument {
            symbol: symbol.into(),
            id,
        })
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
                            (bytes, binary_answer(&header, body)?)
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
                        FixAction::Application { .. } => (bytes, fix_answer(initiator)?),
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

fn binary_answer(header: &FrameHeader, body: &[u8]) -> io::Result<Option<Answer>> {
    Ok(match header.template_id {
        OrderAccepted::TEMPLATE => read::<OrderAccepted>(header, body).map(|m| Answer::Accepted {
            id: m.cl_ord_id,
            side: Side::of(m.side),
            price: m.price,
            leaves: m.leaves_qty,
        }),
        OrderRejected::TEMPLATE => {
            read::<OrderRejected>(header, body).map(|m| Answer::Rejected { id: m.cl_ord_id })
        }
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
        Fill::TEMPLATE => read::<Fill>(header, body).map(|m| Answer::Fill {
            id: m.cl_ord_id,
            price: m.last_price,
            quantity: m.last_qty,
            leaves: m.leaves_qty,
            taker: m.liquidity == 2,
        }),
        Reject::TEMPLATE => {
            let code = read::<Reject>(header, body).map_or(0, |m| m.reason);
            let why = format!("the venue rejected a message, code {code}");
            return Err(io::Error::other(why));
        }
        _ => None,
    })
}

fn fix_answer(initiator: &fix::Initiator) -> io::Result<Option<Answer>> {
    let (message, bytes) = initiator.message();
    let number = |tag| message.number(bytes, tag).unwrap_or(0);
    let decimal = |tag| {
        message
            .get(bytes, tag)
            .and_then(|text| Decimal8::parse(text).ok())
            .map_or(0, |value| value.0)
    };
    let id = number(11);
    Ok(
        match (message.message_type(bytes), message.get(bytes, 150)) {
            (b"9", _) => Some(Answer::Refused { id }),
            (b"8", Some(b"0")) => Some(Answer::Accepted {
                id,
                side: Side::of(number(54) as u8),
                price: decimal(44),
                leaves: decimal(151),
            }),
            (b"8", Some(b"8")) => Some(Answer::Rejected { id }),
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
