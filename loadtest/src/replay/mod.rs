//! A recorded day through two real sessions: one firm's orders rest, another's take. Every report
//! goes into a mirror of the book, which is compared with the record after every message.

pub mod lobster;
pub mod mapping;
pub mod mirror;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{Answer, Client, Instrument, Order, Side, first_id};
use crate::credentials::Login;
use crate::http;
use crate::run::Progress;
use lobster::{Day, Row};
use mapping::{Command, Counts, Key, Mapping};
use mirror::{Mirror, PRICE_UNIT, SHARE};

/// A replay.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The door.
    pub address: SocketAddr,
    /// Whose orders rest.
    pub resting: Login,
    /// Whose orders take.
    pub taking: Login,
    /// Instrument.
    pub symbol: String,
    /// The venue's HTTP port.
    pub http: SocketAddr,
    /// How much faster than it was; `None` = as fast as it goes.
    pub speed: Option<f64>,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Rows compared, from the second on.
    pub rows: u64,
    /// Of these, equal before and after the edge step.
    pub rows_equal: u64,
    /// Prices compared before the edge step, all equal.
    pub levels: u64,
    /// Commands by kind.
    pub counts: Counts,
    /// Shares of all fills.
    pub executed: i64,
    /// FNV-1a of line, price and size of each fill.
    pub fill_hash: u64,
    /// Orders and requests the venue refused, fills nobody meant, remainders.
    pub surprises: u64,
    /// Orders that rest at the end.
    pub resting: u64,
    /// The last row's book: bids and asks, each price, size and orders.
    pub book: [Vec<(i64, i64, u64)>; 2],
}

impl Figures {
    /// Commands in all.
    pub fn commands(&self) -> u64 {
        let counts = self.counts;
        counts.entered + counts.canceled + counts.reduced + counts.taken
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts;
        let revealed = counts.entered - counts.recorded - counts.seeded;
        writeln!(
            f,
            "rows compared / equal: {} / {}",
            self.rows, self.rows_equal
        )?;
        writeln!(f, "level comparisons before the edge step: {}", self.levels)?;
        writeln!(f, "commands: {}", self.commands())?;
        writeln!(
            f,
            "  new: {} ({} recorded, {} seed, {revealed} at the edge)",
            counts.entered, counts.recorded, counts.seeded
        )?;
        writeln!(
            f,
            "  cancel: {} ({} by message, {} at the edge)",
            counts.canceled,
            counts.canceled - counts.canceled_at_edge,
            counts.canceled_at_edge
        )?;
        writeln!(f, "  replace: {}", counts.reduced)?;
        writeln!(f, "  IOC: {}", counts.taken)?;
        writeln!(f, "messages on a stand-in: {}", counts.on_stand_ins)?;
        writeln!(f, "executed shares: {}", self.executed)?;
        writeln!(f, "fill hash: {:016x}", self.fill_hash)?;
        writeln!(
            f,
            "rejects, unexpected trades, IOC remainders: {}",
            self.surprises
        )?;
        writeln!(f, "orders resting at the end: {}", self.resting)?;
        for (name, side) in ["bids", "asks"].iter().zip(&self.book) {
            let levels: Vec<String> = side
                .iter()
                .map(|(price, size, orders)| format!("{price} x {size} ({orders})"))
                .collect();
            writeln!(f, "final {name}: {}", levels.join(", "))?;
        }
        Ok(())
    }
}

/// FNV-1a, 64 bits, over numbers as eight little-endian bytes.
#[derive(Clone, Copy, Debug)]
pub struct FillHash(pub u64);

impl Default for FillHash {
    fn default() -> Self {
        Self(14_695_981_039_346_656_037)
    }
}

impl FillHash {
    /// Adds a number.
    pub fn add(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
        }
    }

    /// Adds a fill: line number from 1, price as in the file, size.
    pub fn fill(&mut self, line: u64, price: i64, size: i64) {
        self.add(line);
        self.add(price.cast_unsigned());
        self.add(size.cast_unsigned());
    }
}

/// What is waited for, in the order of the commands.
enum Step {
    /// An answer to this request.
    Answer(u64),
    /// Then the mirror is compared with this row (an index), before the edge step.
    Inside(usize),
    /// And after it.
    Whole(usize),
}

/// Requests under way at most: their reports fit the sockets' buffers.
const WINDOW: usize = 256;

struct Driver<'a> {
    day: &'a Day,
    resting: Client,
    taking: Client,
    instrument: [Instrument; 2],
    next_id: u64,
    /// Newest client order id, and side, of each order.
    ids: HashMap<Key, (u64, Side)>,
    mirror: Mirror,
    steps: VecDeque<Step>,
    /// Answers among the steps.
    under_way: usize,
    figures: Figures,
    hash: FillHash,
}

fn broken(line: usize, why: impl fmt::Display) -> io::Error {
    io::Error::other(format!("message line {line}: {why}"))
}

/// Replays.
///
/// # Errors
/// The network's, a record that contradicts itself, the first row that differs.
pub fn replay(settings: &Settings, day: &Day) -> io::Result<Figures> {
    let before = http::book(settings.http, &settings.symbol)?;
    if before != http::Book::default() {
        return Err(io::Error::other(format!(
            "the book of {} is not empty: a replay needs an instrument of its own",
            settings.symbol
        )));
    }
    let resting = Client::logon(settings.address, &settings.resting)?;
    let taking = Client::logon(settings.address, &settings.taking)?;
    let instrument = [
        resting.instrument(&settings.symbol)?,
        taking.instrument(&settings.symbol)?,
    ];
    let mut driver = Driver {
        day,
        resting,
        taking,
        instrument,
        next_id: first_id(),
        ids: HashMap::new(),
        mirror: Mirror::default(),
        steps: VecDeque::new(),
        under_way: 0,
        figures: Figures::default(),
        hash: FillHash::default(),
    };
    let (Some(first), Some(last)) = (day.rows.first(), day.rows.last()) else {
        return Err(io::Error::other("an empty day"));
    };
    let mut mapping = Mapping::default();
    for command in mapping.seed(first) {
        driver.send(1, command)?;
    }
    driver.steps.push_back(Step::Whole(0));
    let started = Instant::now();
    let opening_ns = day.messages[0].time_ns;
    let mut progress = Progress::new(day.rows.len() as u64, "messages");
    for (index, message) in day.messages.iter().enumerate().skip(1) {
        if let Some(speed) = settings.speed {
            let since_ns = (message.time_ns - opening_ns) as f64 / speed;
            driver.rest_until(started + Duration::from_nanos(since_ns as u64))?;
        }
        let line = index + 1;
        if let Some(command) = mapping
            .message(message)
            .map_err(|why| broken(line, why.0))?
        {
            driver.send(line, command)?;
        }
        driver.steps.push_back(Step::Inside(index));
        for command in mapping.edge(&day.rows[index]) {
            driver.send(line, command)?;
        }
        driver.steps.push_back(Step::Whole(index));
        driver.settle()?;
        if index.is_multiple_of(256) {
            progress.set(index as u64);
            driver.resting.keep_alive();
            driver.taking.keep_alive();
        }
    }
    driver.drain(0)?;
    progress.finish();
    driver.finish(settings, &mapping, last)
}

impl Driver<'_> {
    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Queues a command; one that takes waits for everything before it and for its own fills.
    fn send(&mut self, line: usize, command: Command) -> io::Result<()> {
        let id = self.take_id();
        let known = |ids: &HashMap<Key, (u64, Side)>, key| {
            ids.get(&key)
                .copied()
                .ok_or_else(|| broken(line, "an order without an id"))
        };
        match command {
            Command::Enter {
                key,
                side,
                price,
                size,
            } => {
                self.ids.insert(key, (id, side));
                let order = order(id, side, price, size, false);
                self.resting.enter(&self.instrument[0], &order);
            }
            Command::Cancel { key } => {
                let (original, side) = known(&self.ids, key)?;
                self.ids.remove(&key);
                self.resting.cancel(&self.instrument[0], id, original, side);
            }
            Command::Reduce { key, total, price } => {
                let (original, side) = known(&self.ids, key)?;
                self.ids.insert(key, (id, side));
                let order = order(id, side, price, total, false);
                self.resting.replace(&self.instrument[0], original, &order);
            }
            Command::Take {
                key,
                side,
                price,
                size,
            } => {
                return self.take(line, &order(id, side, price, size, true), key);
            }
        }
        self.steps.push_back(Step::Answer(id));
        self.under_way += 1;
        self.drain(WINDOW)
    }

    fn take(&mut self, line: usize, order: &Order, key: Key) -> io::Result<()> {
        let target = self.ids.get(&key).map_or(0, |(id, _)| *id);
        // Two sockets have no order between them: what was sent before must be done before.
        self.drain(0)?;
        self.taking.enter(&self.instrument[1], order);
        self.taking.flush()?;
        let mut open = order.quantity;
        while open > 0 {
            match self.next(true)? {
                Answer::Accepted { .. } => {}
                Answer::Fill {
                    price, quantity, ..
                } => {
                    open -= quantity;
                    let shares = quantity / SHARE;
                    self.figures.executed += shares;
                    self.hash.fill(line as u64, price / PRICE_UNIT, shares);
                    self.figures.surprises += u64::from(quantity != order.quantity);
                }
                other => return Err(broken(line, format!("{other:?}"))),
            }
        }
        let answer = self.next(false)?;
        self.mirror.apply(&answer);
        match answer {
            Answer::Fill {
                id,
                quantity,
                leaves,
                ..
            } if id == target => {
                self.figures.surprises += u64::from(quantity != order.quantity);
                if leaves == 0 {
                    self.ids.remove(&key);
                }
                Ok(())
            }
            other => Err(broken(line, format!("another order traded: {other:?}"))),
        }
    }

    /// The next report of a session, waited for.
    fn next(&mut self, taking: bool) -> io::Result<Answer> {
        let client = if taking {
            &mut self.taking
        } else {
            &mut self.resting
        };
        loop {
            if let Some(answer) = client.answer()? {
                return Ok(answer);
            }
            client.flush()?;
            client.fill()?;
        }
    }

    /// Takes reports until at most `most` requests are under way.
    fn drain(&mut self, most: usize) -> io::Result<()> {
        while self.under_way > most {
            let answer = self.next(false)?;
            self.mirror.apply(&answer);
            let id = match answer {
                Answer::Accepted { id, .. } | Answer::Replaced { id, .. } => id,
                Answer::Canceled {
                    request: Some(id), ..
                } => id,
                other => return Err(io::Error::other(format!("unexpected: {other:?}"))),
            };
            match self.steps.pop_front() {
                Some(Step::Answer(expected)) if expected == id => self.under_way -= 1,
                Some(Step::Answer(expected)) => {
                    let why = format!("{answer:?} came where {expected} was to be answered");
                    return Err(io::Error::other(why));
                }
                _ => return Err(io::Error::other(format!("unasked: {answer:?}"))),
            }
            self.settle()?;
        }
        self.settle()
    }

    /// Compares whatever is complete.
    fn settle(&mut self) -> io::Result<()> {
        loop {
            match self.steps.front() {
                Some(Step::Inside(index)) => {
                    let index = *index;
                    let levels = self
                        .mirror
                        .compare_inside(&self.day.rows[index])
                        .map_err(|why| broken(index + 1, why))?;
                    self.figures.levels += levels;
                    self.figures.rows += 1;
                }
                Some(Step::Whole(index)) => {
                    let index = *index;
                    self.mirror
                        .compare_whole(&self.day.rows[index])
                        .map_err(|why| broken(index + 1, why))?;
                    self.figures.rows_equal += u64::from(index > 0);
                }
                Some(Step::Answer(_)) | None => return Ok(()),
            }
            self.steps.pop_front();
        }
    }

    /// Waits for a message's time with everything settled.
    fn rest_until(&mut self, time: Instant) -> io::Result<()> {
        while let Some(left) = time.checked_duration_since(Instant::now()) {
            if left > Duration::from_micros(100) {
                self.drain(0)?;
                self.resting.keep_alive();
                self.taking.keep_alive();
                self.resting.flush()?;
                self.taking.flush()?;
                std::thread::park_timeout(left.min(Duration::from_secs(1)));
            }
        }
        Ok(())
    }

    /// Reads the venue's own book, which follows a moment behind the reports.
    fn finish(mut self, settings: &Settings, mapping: &Mapping, last: &Row) -> io::Result<Figures> {
        self.figures.counts = mapping.counts;
        self.figures.fill_hash = self.hash.0;
        self.figures.resting = self.mirror.resting() as u64;
        self.figures.book = [Side::Buy, Side::Sell].map(|side| self.mirror.levels(side));
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let book = http::book(settings.http, &settings.symbol)?;
            let levels = |side: &[http::Level]| -> Vec<(i64, i64, u64)> {
                side.iter()
                    .map(|level| {
                        (
                            level.price / PRICE_UNIT,
                            level.quantity / SHARE,
                            level.orders,
                        )
                    })
                    .collect()
            };
            let venue = [levels(&book.bids), levels(&book.asks)];
            if venue == self.figures.book {
                break;
            }
            if Instant::now() > until {
                return Err(io::Error::other(format!(
                    "the venue's own book is {venue:?}, the last row {last:?}"
                )));
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        self.empty()?;
        self.resting.logout()?;
        self.taking.logout()?;
        Ok(self.figures)
    }

    /// Cancels what is left, so that the next replay finds an empty book.
    fn empty(&mut self) -> io::Result<()> {
        let left: Vec<(u64, Side)> = self.ids.values().copied().collect();
        let mut waiting = 0;
        for (original, side) in left {
            let id = self.take_id();
            self.resting.cancel(&self.instrument[0], id, original, side);
            waiting += 1;
        }
        while waiting > 0 {
            self.next(false)?;
            waiting -= 1;
        }
        Ok(())
    }
}

fn order(id: u64, side: Side, price: i64, size: i64, immediate: bool) -> Order {
    Order {
        id,
        side,
        price: price * PRICE_UNIT,
        quantity: size * SHARE,
        immediate,
    }
}
