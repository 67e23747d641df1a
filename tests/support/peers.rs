//! Clients that keep a ledger of everything they sent and were told, and survive their sockets.

use std::collections::{BTreeMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trading_engine::client::credentials::{BinaryCredentials, FixCredentials, Secret};
use trading_engine::client::sign;
use trading_engine_protocol::binary::message::{
    Fill, InstrumentDefinition, NewOrder, OrderAccepted, OrderCanceled, OrderRejected, Reject,
};
use trading_engine_protocol::binary::{
    self, ClientAction as BinaryAction, Initiator, LogonSettings, NULL_PRICE, frame,
};
use trading_engine_protocol::fix::{self, ClientAction as FixAction, InitiatorSettings};
use trading_engine_protocol::types::{Decimal8, UtcNanos};

use super::workload::Random;

/// One order as its sender knows it. Prices in cents, quantities in shares.
#[derive(Clone, Debug, Default)]
pub struct Order {
    pub side: u8,
    pub price: i64,
    pub quantity: i64,
    pub immediate: bool,
    pub accepted: u32,
    pub ended: u32,
    pub filled: i64,
}

impl Order {
    pub fn is_answered(&self) -> bool {
        self.accepted + self.ended > 0
    }

    pub fn open(&self) -> i64 {
        if self.ended > 0 || self.accepted == 0 {
            0
        } else {
            self.quantity - self.filled
        }
    }
}

/// What all peers count together, so that a burst has a middle.
#[derive(Debug, Default)]
pub struct Pace {
    pub logged_on: AtomicU64,
    pub answered: AtomicU64,
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub orders: BTreeMap<u64, Order>,
    pub answered: u64,
    pace: Arc<Pace>,
    pub executions: HashSet<u64>,
    /// Trade id and lots of every fill.
    pub trades: Vec<(u64, i64)>,
}

impl Ledger {
    pub fn unanswered(&self) -> u64 {
        self.orders.len() as u64 - self.answered
    }

    fn draw(&mut self, random: &mut Random) -> (u64, Order) {
        let id = self.orders.len() as u64 + 1;
        let side = 1 + random.below(2) as u8;
        let immediate = random.below(4) == 0;
        // Sweeps take a little more than the others leave, so that no run fills the book.
        let (price, quantity) = if immediate {
            (if side == 1 { 10_003 } else { 9_997 }, 40)
        } else {
            (10_000 + random.below(7) as i64 - 3, 10)
        };
        let order = Order {
            side,
            price,
            quantity: 1 + random.below(quantity) as i64,
            immediate,
            ..Order::default()
        };
        self.orders.insert(id, order.clone());
        (id, order)
    }

    fn answer(&mut self, id: u64) -> &mut Order {
        let order = self
            .orders
            .get_mut(&id)
            .expect("a report names an order that was sent");
        if !order.is_answered() {
            self.answered += 1;
            self.pace.answered.fetch_add(1, Ordering::Relaxed);
        }
        order
    }

    fn accepted(&mut self, id: u64) {
        let order = self.answer(id);
        order.accepted += 1;
        assert_eq!(order.accepted, 1, "order {id} was accepted twice");
    }

    fn ended(&mut self, id: u64) {
        let order = self.answer(id);
        order.ended += 1;
        assert_eq!(order.ended, 1, "order {id} ended twice");
    }

    fn fill(&mut self, id: u64, execution: u64, trade: u64, lots: i64) {
        assert!(
            self.executions.insert(execution),
            "execution {execution} came twice"
        );
        self.trades.push((trade, lots));
        let order = self
            .orders
            .get_mut(&id)
            .expect("a fill names an order that was sent");
        assert_eq!(
            order.accepted, 1,
            "a fill comes after its order's acceptance"
        );
        order.filled += lots;
        assert!(order.filled <= order.quantity, "order {id} is overfilled");
    }
}

fn shares(value: i64) -> i64 {
    value / Decimal8::ONE
}

/// A socket that is written and read without waiting.
struct Wire {
    socket: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Wire {
    fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            input: Vec::new(),
            output: Vec::new(),
        }
    }

    /// `false`: the connection is gone.
    fn pump(&mut self) -> bool {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        let mut bytes = [0u8; 32 << 10];
        match self.socket.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.input.extend_from_slice(&bytes[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::yield_now();
                true
            }
            Err(_) => false,
        }
    }
}

/// What a run of [`Peer::run`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Once this many logons were seen by all peers, send this many orders at once, and take the
    /// answers until the connection breaks.
    Broken { logons: u64, burst: u64 },
    /// Send nothing new; until every order is answered and the stream is quiet.
    Answered,
}

pub trait Peer: Send {
    fn ledger(&self) -> &Ledger;
    /// Connects, resumes, and runs.
    fn run(&mut self, address: SocketAddr, until: Until);
}

const QUIET: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(60);

pub struct BinaryPeer {
    credentials: BinaryCredentials,
    symbol: &'static str,
    instrument: u32,
    random: Random,
    ledger: Ledger,
    next_expected: u64,
    /// Sent and not known to be applied, by client number.
    outstanding: BTreeMap<u64, NewOrder>,
}

impl BinaryPeer {
    pub fn new(
        credentials: BinaryCredentials,
        symbol: &'static str,
        seed: u64,
        pace: Arc<Pace>,
    ) -> Self {
        Self {
            credentials,
            symbol,
            instrument: 0,
            random: Random::new(seed),
            ledger: Ledger {
                pace,
                ..Ledger::default()
            },
            next_expected: 1,
            outstanding: BTreeMap::new(),
        }
    }

    fn take(&mut self, header: &binary::FrameHeader, body: &[u8]) {
        if let Some(m) = read::<InstrumentDefinition>(header, body) {
            if m.symbol.starts_with(self.symbol.as_bytes()) {
                self.instrument = m.instrument_id;
            }
        } else if let Some(m) = read::<OrderAccepted>(header, body) {
            self.ledger.accepted(m.cl_ord_id);
        } else if let Some(m) = read::<Fill>(header, body) {
            self.ledger
                .fill(m.cl_ord_id, m.exec_id, m.trade_id, shares(m.last_qty));
        } else if let Some(m) = read::<OrderCanceled>(header, body) {
            self.ledger.ended(m.orig_cl_ord_id);
        } else if let Some(m) = read::<OrderRejected>(header, body) {
            panic!("order {} was rejected: {}", m.cl_ord_id, m.reason);
        } else if let Some(m) = read::<Reject>(header, body) {
            panic!("message {} was rejected: {}", m.ref_seq, m.reason);
        }
    }
}

fn read<M: binary::message::Message>(header: &binary::FrameHeader, body: &[u8]) -> Option<M> {
    if header.template_id == M::TEMPLATE {
        frame::block(header, body)
    } else {
        None
    }
}

impl Peer for BinaryPeer {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn run(&mut self, address: SocketAddr, until: Until) {
        let mut key_id = [0u8; 16];
        let id = self.credentials.key_id.clone();
        key_id[..id.len()].copy_from_slice(id.as_bytes());
        let settings = LogonSettings {
            session_id: self.credentials.session,
            key_id,
            auth_type: if matches!(self.credentials.secret, Secret::Hmac(_)) {
                1
            } else {
                2
            },
            heartbeat_ms: 30_000,
            epoch: 0,
            from_seq: self.next_expected,
            flags: 0,
        };
        let mut wire = Wire::connect(address);
        let mut initiator = Initiator::new(settings, 0);
        let mut sent = 0;
        let started = Instant::now();
        let mut quiet_since = Instant::now();
        loop {
            let open = wire.pump();
            let input = std::mem::take(&mut wire.input);
            let mut at = 0;
            loop {
                let (consumed, action) = initiator.receive(0, &input[at..], &mut wire.output);
                at += consumed;
                match action {
                    BinaryAction::NeedMore => break,
                    BinaryAction::Sign { text } => {
                        let signature = sign(&self.credentials.secret, &text).unwrap();
                        initiator.logon(0, signature, &mut wire.output);
                    }
                    BinaryAction::Active(done) => {
                        self.ledger.pace.logged_on.fetch_add(1, Ordering::Relaxed);
                        // Applied ones have been told of in the replay; the rest is sent again.
                        self.outstanding = self.outstanding.split_off(&(done.last_client_seq + 1));
                        for (seq, order) in &self.outstanding {
                            initiator.send_again(order, *seq, &mut wire.output);
                        }
                    }
                    BinaryAction::Message { header, body } => {
                        self.take(&header, body);
                        self.next_expected = initiator.next_expected();
                    }
                    BinaryAction::Handled | BinaryAction::Accepted(_) => {}
                    BinaryAction::Logout(_) => return,
                    other => panic!("{other:?}"),
                }
            }
            if at > 0 {
                quiet_since = Instant::now();
            }
            wire.input = input[at..].to_vec();
            if !open {
                assert!(
                    until != Until::Answered,
                    "the venue closed while we were waiting"
                );
                return;
            }
            match until {
                Until::Broken { logons, burst } => {
                    let start = self.ledger.pace.logged_on.load(Ordering::Relaxed) >= logons;
                    while start && sent < burst {
                        sent += 1;
                        let (id, order) = self.ledger.draw(&mut self.random);
                        let message = NewOrder {
                            cl_ord_id: id,
                            price: order.price * 1_000_000,
                            qty: order.quantity * Decimal8::ONE,
                            stop_price: NULL_PRICE,
                            instrument_id: self.instrument,
                            side: order.side,
                            ord_type: 2,
                            tif: if order.immediate { 3 } else { 0 },
                            ..NewOrder::default()
                        };
                        let seq = initiator.send(0, &message, &mut wire.output);
                        self.outstanding.insert(seq, message);
                    }
                }
                Until::Answered => {
                    let done = initiator.is_active() && self.ledger.unanswered() == 0;
                    if done && quiet_since.elapsed() > QUIET {
                        return;
                    }
                }
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{} unanswered",
                self.ledger.unanswered()
            );
        }
    }
}

pub struct FixPeer {
    initiator: fix::Initiator,
    symbol: &'static str,
    random: Random,
    ledger: Ledger,
}

impl FixPeer {
    pub fn new(
        credentials: &FixCredentials,
        symbol: &'static str,
        seed: u64,
        pace: Arc<Pace>,
    ) -> Self {
        Self {
            initiator: fix::Initiator::new(InitiatorSettings {
                comp_id: credentials.comp_id.clone().into_bytes(),
                venue: b"TRADENG".to_vec(),
                username: credentials.username.clone().into_bytes(),
                password: credentials.password.clone().into_bytes(),
                heartbeat_s: 30,
            }),
            symbol,
            random: Random::new(seed),
            ledger: Ledger {
                pace,
                ..Ledger::default()
            },
        }
    }

    fn take(&mut self) {
        let (message, bytes) = self.initiator.message();
        let number = |tag| message.number(bytes, tag).unwrap_or(0);
        assert_eq!(
            message.message_type(bytes),
            b"8",
            "only execution reports are expected"
        );
        let id = number(11);
        match message.get(bytes, 150) {
            Some(b"0") => self.ledger.accepted(id),
            Some(b"C" | b"4") => self.ledger.ended(id),
            Some(b"F") => {
                let lots = number(32) as i64;
                self.ledger.fill(id, number(17), number(880), lots);
            }
            other => panic!("{other:?}: {}", String::from_utf8_lossy(bytes)),
        }
    }
}

fn utc() -> UtcNanos {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    UtcNanos(since.as_nanos() as u64)
}

impl Peer for FixPeer {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn run(&mut self, address: SocketAddr, until: Until) {
        let mut wire = Wire::connect(address);
        self.initiator.logon(0, utc(), &mut wire.output);
        let mut sent = 0;
        let started = Instant::now();
        let mut quiet_since = Instant::now();
        let mut logged_on = false;
        loop {
            let open = wire.pump();
            let input = std::mem::take(&mut wire.input);
            let mut at = 0;
            loop {
                let (consumed, action) =
                    self.initiator
                        .receive(0, utc(), &input[at..], &mut wire.output);
                at += consumed;
                match action {
                    FixAction::NeedMore => break,
                    FixAction::LoggedOn => {
                        logged_on = true;
                        self.ledger.pace.logged_on.fetch_add(1, Ordering::Relaxed);
                    }
                    FixAction::Application { .. } => self.take(),
                    FixAction::Handled => {}
                    FixAction::LoggedOut(_) => return,
                    FixAction::Rejected => {
                        let (_, bytes) = self.initiator.message();
                        panic!("rejected: {}", String::from_utf8_lossy(bytes));
                    }
                    FixAction::Broken(why) => panic!("{why}"),
                }
            }
            if at > 0 {
                quiet_since = Instant::now();
            }
            wire.input = input[at..].to_vec();
            if !open {
                // The end of our last connection may come to the venue after this one: a FIX
                // session that still lives is closed to a second logon, and a client tries again.
                let again = until == Until::Answered && !logged_on && started.elapsed() < PATIENCE;
                if again {
                    wire = Wire::connect(address);
                    self.initiator.logon(0, utc(), &mut wire.output);
                    continue;
                }
                assert!(
                    until != Until::Answered,
                    "the venue closed while we were waiting"
                );
                return;
            }
            match until {
                Until::Broken { logons, burst } => {
                    let start = self.ledger.pace.logged_on.load(Ordering::Relaxed) >= logons;
                    while start && sent < burst {
                        sent += 1;
                        let (id, order) = self.ledger.draw(&mut self.random);
                        let symbol = self.symbol;
                        let now = utc();
                        self.initiator
                            .send(0, now, b"D", &mut wire.output, |writer| {
                                writer.number(11, id);
                                writer.text(55, symbol.as_bytes());
                                writer.character(54, b'0' + order.side);
                                writer.timestamp(60, now);
                                writer.number(38, order.quantity as u64);
                                writer.character(40, b'2');
                                writer.decimal(44, Decimal8(order.price * 1_000_000));
                                writer.character(59, if order.immediate { b'3' } else { b'0' });
                            });
                    }
                }
                Until::Answered => {
                    if logged_on && self.ledger.unanswered() == 0 && quiet_since.elapsed() > QUIET {
                        return;
                    }
                }
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{} unanswered",
                self.ledger.unanswered()
            );
        }
    }
}

/// Holds the ledgers against each other, and says what the book must be: lots and orders by side
/// and price in cents.
pub fn agreed_book(peers: &[Box<dyn Peer>]) -> BTreeMap<(u8, i64), (i64, u64)> {
    let mut trades: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    let mut levels: BTreeMap<(u8, i64), (i64, u64)> = BTreeMap::new();
    for peer in peers {
        let ledger = peer.ledger();
        assert_eq!(ledger.unanswered(), 0);
        for (trade, lots) in &ledger.trades {
            trades.entry(*trade).or_default().push(*lots);
        }
        for (id, order) in &ledger.orders {
            assert_eq!(order.accepted, 1, "order {id} was accepted once: {order:?}");
            if order.open() > 0 {
                assert!(!order.immediate, "order {id} must not rest");
                let level = levels.entry((order.side, order.price)).or_default();
                level.0 += order.open();
                level.1 += 1;
            }
        }
    }
    for (trade, lots) in &trades {
        assert!(
            matches!(lots.as_slice(), [a, b] if a == b),
            "trade {trade} has two equal sides: {lots:?}"
        );
    }
    levels
}
