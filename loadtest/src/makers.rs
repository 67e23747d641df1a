//! Market makers under open-loop load: sessions that stream mass quotes over many instruments under
//! a protection that trips now and then, and sessions that take. At the end what the makers believe
//! they quote is held against what the venue says they do, and quotes end in every way that is not a
//! trade: a mass cancel, the kill switch of the firm's risk desk, and lost connections.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use trading_engine_protocol::types::Reason;

use crate::client::{Answer, Client, Entry, Instrument, Order, RefusedSide, Side, Terms, first_id};
use crate::credentials::Login;
use crate::echo::Sizes;
use crate::http::{self, Book, Level};
use crate::random::Random;
use crate::report::{MakerFigures, Percentiles, Report, histogram};
use crate::run::{self, Arrivals, PATIENCE_NS, Progress, SECOND_NS};

/// Instruments that are quoted: those the demo world has beyond the named ones. They are alike, and
/// the maker bot is not in them.
const PREFIX: &str = "DEMO-";
/// Window of the makers' protection.
const WINDOW_MS: u32 = 100;
/// A tripped group is reset after so long; its maker goes on quoting meanwhile, and is refused.
const FROZEN_NS: u64 = 50_000_000;
/// How far the walk of a price goes from where it began, ticks.
const WALK_MAX: i64 = 500;
/// How far from there takers reach: over every quote.
const REACH: i64 = 1_000;
/// Most lots of an order, and of a side of a quote.
const LOTS_MAX: u64 = 10;
/// Differences that are told in words.
const EXAMPLES: usize = 10;
const CHECK_PATIENCE: Duration = Duration::from_secs(10);
const EMPTY_PATIENCE: Duration = Duration::from_secs(3);

/// What this scenario has beside a run's own settings: of its sessions the first are the makers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Sessions, rate and time.
    pub run: run::Settings,
    /// Sessions that quote.
    pub makers: usize,
    /// Entries of a mass quote.
    pub entries: usize,
    /// Of 100 requests, mass quotes; the others are orders.
    pub quotes: u64,
    /// The venue's HTTP port: instruments and books.
    pub http: SocketAddr,
    /// A session with the risk role in the first maker's firm.
    pub desk: Login,
}

/// A request that waits for its answer.
#[derive(Clone, Copy)]
struct Asked {
    intended_ns: u64,
    measured: bool,
}

/// An instrument as its maker sees it.
struct Row {
    instrument: Instrument,
    symbol: String,
    /// Price in the middle of its quote.
    middle: i64,
    /// What rests, by side.
    believed: [Option<Terms>; 2],
}

/// A mass quote under way: its rows, and what it states of them.
struct Quote {
    asked: Asked,
    stated: Vec<(usize, [Terms; 2])>,
}

struct Maker {
    client: Client,
    group: u16,
    /// Row of the next mass quote's first entry.
    next_row: usize,
    beliefs: Beliefs,
}

/// What a maker knows of its quotes, from what it asked and what it was told.
struct Beliefs {
    rows: Vec<Row>,
    by_id: HashMap<u32, usize>,
    quotes: HashMap<u64, Quote>,
    /// A request about protection under way.
    protection: Option<u64>,
    /// When the tripped group will be reset.
    reset_at_ns: Option<u64>,
}

/// An order that takes.
struct Open {
    asked: Asked,
    accepted: bool,
    /// Quantity that is not accounted for.
    left: i64,
}

/// Orders under way, by id.
#[derive(Default)]
struct Orders(HashMap<u64, Open>);

struct Taker {
    client: Client,
    orders: Orders,
}

struct Tallies {
    latency: Histogram<u64>,
    quote: Histogram<u64>,
    order: Histogram<u64>,
    lag: Histogram<u64>,
    second: Histogram<u64>,
    p50_by_second: Vec<u64>,
    sent: u64,
    answered: u64,
    refused: u64,
    /// Quantity filled, as makers and as takers were told.
    made: i64,
    taken: i64,
    figures: MakerFigures,
}

/// Where a side's belief is.
fn index(side: Side) -> usize {
    usize::from(side == Side::Sell)
}

impl Tallies {
    fn new(figures: MakerFigures) -> Self {
        Self {
            latency: histogram(),
            quote: histogram(),
            order: histogram(),
            lag: histogram(),
            second: histogram(),
            p50_by_second: Vec::new(),
            sent: 0,
            answered: 0,
            refused: 0,
            made: 0,
            taken: 0,
            figures,
        }
    }

    fn differs(&mut self, what: String) {
        self.figures.differences += 1;
        if self.figures.examples.len() < EXAMPLES {
            self.figures.examples.push(what);
        }
    }

    fn refuse(&mut self, why: Reason) {
        let words = match why {
            Reason::None => "for a reason without a name",
            why => why.text(),
        };
        *self.figures.refusals.entry(words.into()).or_default() += 1;
    }

    fn answer(&mut self, asked: Asked, now_ns: u64, of_quote: bool, refused: bool) {
        if !asked.measured {
            return;
        }
        let latency = now_ns.saturating_sub(asked.intended_ns);
        self.answered += 1;
        self.refused += u64::from(refused);
        self.latency.saturating_record(latency);
        self.second.saturating_record(latency);
        let own = if of_quote {
            &mut self.quote
        } else {
            &mut self.order
        };
        own.saturating_record(latency);
    }

    fn end_second(&mut self) {
        if !self.second.is_empty() {
            self.p50_by_second.push(self.second.value_at_quantile(0.5));
            self.second.reset();
        }
    }
}

impl Maker {
    /// Draws what the next mass quote states of a row: an eighth takes a side or both away, a
    /// quarter changes nothing, the rest moves.
    fn draw(row: &mut Row, settings: &run::Settings, random: &mut Random) -> [Terms; 2] {
        let none = (row.middle, 0);
        let draw = random.below(8);
        if draw < 2 && row.believed.iter().any(Option::is_some) {
            return row.believed.map(|side| side.unwrap_or(none));
        }
        let (low, high) = (-WALK_MAX, WALK_MAX);
        let moved = row.middle - settings.middle + (random.below(3) as i64 - 1) * settings.tick;
        row.middle = settings.middle + moved.clamp(low * settings.tick, high * settings.tick);
        let mut side = |sign: i64| {
            let away = 1 + random.below(3) as i64;
            let lots = 1 + random.below(LOTS_MAX) as i64;
            (
                row.middle + sign * away * settings.tick,
                lots * settings.lot,
            )
        };
        let (bid, ask) = (side(-1), side(1));
        match (draw, random.below(3)) {
            (2, 0) => [none, none],
            (2, 1) => [none, ask],
            (2, _) => [bid, none],
            _ => [bid, ask],
        }
    }

    /// Draws a mass quote and queues it. Both sides are always stated, so that a side that moves
    /// never meets the other one where it was.
    fn quote(
        &mut self,
        settings: &Settings,
        count: usize,
        random: &mut Random,
        (id, asked): (u64, Asked),
    ) {
        let rows = &mut self.beliefs.rows;
        let count = count.min(rows.len());
        let mut stated = Vec::with_capacity(count);
        for _ in 0..count {
            let row = self.next_row;
            self.next_row = (row + 1) % rows.len();
            stated.push((row, Self::draw(&mut rows[row], &settings.run, random)));
        }
        self.state(stated, (id, asked));
    }

    /// Queues a mass quote that states so much.
    fn state(&mut self, stated: Vec<(usize, [Terms; 2])>, (id, asked): (u64, Asked)) {
        let rows = &self.beliefs.rows;
        let entries: Vec<Entry<'_>> = stated
            .iter()
            .map(|(row, [bid, ask])| Entry {
                instrument: &rows[*row].instrument,
                bid: *bid,
                ask: *ask,
            })
            .collect();
        self.client.quote(id, self.group, &entries);
        let quotes = &mut self.beliefs.quotes;
        quotes.insert(id, Quote { asked, stated });
    }

    /// Queues a mass quote of both sides of as many instruments as one may have.
    fn state_both_sides(&mut self, settings: &Settings, id: u64) {
        let run = &settings.run;
        let rows = self.beliefs.rows.iter().enumerate().take(settings.entries);
        let stated = rows.map(|(at, row)| {
            let side = |sign| (row.middle + sign * run.tick, run.lot);
            (at, [side(-1), side(1)])
        });
        let asked = Asked {
            intended_ns: 0,
            measured: false,
        };
        self.state(stated.collect(), (id, asked));
    }

    /// Resets the tripped group, when it is time.
    fn reset_when_due(&mut self, now_ns: u64, next_id: &mut u64, tallies: &mut Tallies) {
        let due = self.beliefs.reset_at_ns.is_some_and(|at| at <= now_ns);
        if due && self.beliefs.protection.is_none() {
            self.beliefs.reset_at_ns = None;
            self.client.reset(*next_id, self.group);
            self.beliefs.protection = Some(*next_id);
            *next_id += 1;
            tallies.figures.resets += 1;
        }
    }

    /// Holds what is believed against all that the venue says the session has open.
    fn check(&mut self, id: u64, tallies: &mut Tallies) -> io::Result<()> {
        self.client.ask_resting(id);
        let mut said: BTreeMap<(u32, Side), Vec<Terms>> = BTreeMap::new();
        let until = Instant::now() + CHECK_PATIENCE;
        let mut done = false;
        while !done {
            exchange(&mut self.client, until)?;
            while let Some(answer) = self.client.answer()? {
                match answer {
                    Answer::NothingRests => done = true,
                    Answer::Resting {
                        instrument,
                        side,
                        terms,
                        last,
                    } => {
                        said.entry((instrument, side)).or_default().push(terms);
                        done = last;
                    }
                    // Told before the question was answered.
                    other => {
                        let refused = self.client.refused_sides();
                        self.beliefs.take(&other, refused, 0, tallies);
                    }
                }
            }
        }
        self.beliefs.compare(said, tallies);
        Ok(())
    }
}

impl Maker {
    /// Cancels everything at once: each side that is believed to rest ends, and is counted.
    fn cancel_all(&mut self, id: u64, tallies: &mut Tallies) -> io::Result<()> {
        let expected = self.beliefs.resting();
        self.client.cancel_all(id);
        let until = Instant::now() + CHECK_PATIENCE;
        let mut ended = 0;
        loop {
            exchange(&mut self.client, until)?;
            while let Some(answer) = self.client.answer()? {
                match answer {
                    Answer::QuoteEnded {
                        instrument,
                        side,
                        why: Reason::MassCanceled,
                    } => {
                        let known = self.beliefs.side(instrument, side).and_then(Option::take);
                        ended += u64::from(known.is_some());
                    }
                    Answer::MassCanceled {
                        id: of,
                        canceled,
                        why,
                    } => {
                        if (of, canceled, why) != (id, expected, Reason::None) || ended != expected
                        {
                            tallies.differs(format!(
                                "a mass cancel of {expected} told of {ended} and answered {canceled}: {}",
                                why.text()
                            ));
                        }
                        return Ok(());
                    }
                    other => {
                        let refused = self.client.refused_sides();
                        self.beliefs.take(&other, refused, 0, tallies);
                    }
                }
            }
        }
    }
}

impl Maker {
    /// Waits until each side that is believed to rest was told to have ended by the kill switch.
    fn is_killed(&mut self, tallies: &mut Tallies) -> io::Result<()> {
        let until = Instant::now() + CHECK_PATIENCE;
        while self.beliefs.resting() > 0 {
            exchange(&mut self.client, until)?;
            while let Some(answer) = self.client.answer()? {
                if let Answer::QuoteEnded {
                    instrument,
                    side,
                    why: Reason::KilledBySwitch,
                } = answer
                {
                    let known = self.beliefs.side(instrument, side).and_then(Option::take);
                    if known.is_none() {
                        tallies.differs(format!("the end of no quote in {instrument}"));
                    }
                    continue;
                }
                let refused = self.client.refused_sides();
                self.beliefs.take(&answer, refused, 0, tallies);
            }
        }
        Ok(())
    }

    /// Quotes under the kill switch: all of it has to be refused for that.
    fn is_blocked(
        &mut self,
        settings: &Settings,
        id: u64,
        tallies: &mut Tallies,
    ) -> io::Result<()> {
        self.state_both_sides(settings, id);
        let until = Instant::now() + CHECK_PATIENCE;
        while self.beliefs.quotes.contains_key(&id) {
            exchange(&mut self.client, until)?;
            while let Some(answer) = self.client.answer()? {
                if let Answer::Quoted { id: of, why, .. } = answer
                    && (of, why) != (id, Reason::TradingBlocked)
                {
                    let why = why.text();
                    tallies.differs(format!("a quote under the kill switch was answered: {why}"));
                }
                let refused = self.client.refused_sides();
                self.beliefs.take(&answer, refused, 0, tallies);
            }
        }
        Ok(())
    }
}

/// The session of the firm's risk desk.
struct Desk {
    client: Client,
}

impl Desk {
    fn logon(settings: &Settings) -> io::Result<Self> {
        let client = Client::logon(settings.run.address, &settings.desk)?;
        client.set_nonblocking()?;
        Ok(Self { client })
    }

    /// Sets or lifts the kill switch of a session. Returns how many quotes that ended.
    fn kill(
        &mut self,
        (id, session): (u64, u32),
        lift: bool,
        tallies: &mut Tallies,
    ) -> io::Result<u64> {
        self.client.kill(id, session, lift);
        let until = Instant::now() + CHECK_PATIENCE;
        loop {
            exchange(&mut self.client, until)?;
            while let Some(answer) = self.client.answer()? {
                match answer {
                    Answer::Killed {
                        id: of,
                        canceled,
                        why,
                    } => {
                        if (of, why) != (id, Reason::None) {
                            let why = why.text();
                            tallies.differs(format!("the kill switch {id} was answered: {why}"));
                        }
                        return Ok(canceled);
                    }
                    other => tallies.differs(format!("the desk was told {other:?}")),
                }
            }
        }
    }
}

impl Beliefs {
    fn new(rows: Vec<Row>) -> Self {
        let ids = rows.iter().enumerate();
        Self {
            by_id: ids.map(|(at, row)| (row.instrument.id(), at)).collect(),
            rows,
            quotes: HashMap::new(),
            protection: None,
            reset_at_ns: None,
        }
    }

    /// Holds what is believed against what the venue says of the session, by instrument and side.
    fn compare(&self, mut said: BTreeMap<(u32, Side), Vec<Terms>>, tallies: &mut Tallies) {
        for row in &self.rows {
            for side in [Side::Buy, Side::Sell] {
                let said = said.remove(&(row.instrument.id(), side));
                let said = said.unwrap_or_default();
                let believed = row.believed[index(side)];
                if said != Vec::from_iter(believed) {
                    tallies.differs(format!(
                        "{} {side:?}: believed {believed:?}, the venue says {said:?}",
                        row.symbol
                    ));
                }
            }
        }
        if !said.is_empty() {
            tallies.differs(format!("the venue says {said:?}, and nobody quoted it"));
        }
    }

    /// Believes what an answer to a mass quote says.
    fn quoted(
        &mut self,
        (id, why, sides): (u64, Reason, usize),
        refused: &[RefusedSide],
        now_ns: u64,
        tallies: &mut Tallies,
    ) {
        let Some(quote) = self.quotes.remove(&id) else {
            return tallies.differs(format!("mass quote {id} was answered, and not asked"));
        };
        tallies.answer(quote.asked, now_ns, true, why != Reason::None);
        if why != Reason::None {
            return tallies.refuse(why);
        }
        if sides != 2 * quote.stated.len() {
            let stated = 2 * quote.stated.len();
            tallies.differs(format!(
                "{sides} sides of {stated} in mass quote {id} were answered"
            ));
        }
        for (entry, (row, terms)) in quote.stated.iter().enumerate() {
            for side in [Side::Buy, Side::Sell] {
                let mut refused = refused.iter();
                let found = refused.find(|one| one.entry == entry && one.side == side);
                if let Some(refused) = found {
                    tallies.refuse(refused.why);
                } else {
                    let terms = terms[index(side)];
                    self.rows[*row].believed[index(side)] = (terms.1 > 0).then_some(terms);
                }
            }
        }
    }

    /// How many sides are believed to rest.
    fn resting(&self) -> u64 {
        let sides = self.rows.iter().flat_map(|row| row.believed);
        sides.flatten().count() as u64
    }

    /// The believed side of an instrument.
    fn side(&mut self, instrument: u32, side: Side) -> Option<&mut Option<Terms>> {
        let row = *self.by_id.get(&instrument)?;
        Some(&mut self.rows[row].believed[index(side)])
    }

    fn take(
        &mut self,
        answer: &Answer,
        refused: &[RefusedSide],
        now_ns: u64,
        tallies: &mut Tallies,
    ) {
        match *answer {
            Answer::Quoted { id, why, sides } => {
                self.quoted((id, why, sides), refused, now_ns, tallies);
            }
            Answer::QuoteFill {
                instrument,
                side,
                quantity,
                leaves,
            } => {
                tallies.made += quantity;
                tallies.figures.fills += 1;
                match self.side(instrument, side) {
                    Some(known @ Some(_)) => {
                        let (price, open) = known.unwrap_or_default();
                        *known = (leaves > 0).then_some((price, leaves));
                        if open - quantity != leaves {
                            tallies.differs(format!(
                                "a fill of {quantity} leaves {leaves} of {open} in {instrument}"
                            ));
                        }
                    }
                    _ => tallies.differs(format!("a fill of no quote in {instrument}")),
                }
            }
            Answer::QuoteEnded {
                instrument,
                side,
                why,
            } => {
                let known = self.side(instrument, side).and_then(Option::take);
                if known.is_none() {
                    tallies.differs(format!("the end of no quote in {instrument}"));
                }
                if why != Reason::ProtectionTripped {
                    tallies.differs(format!("a quote in {instrument} ended: {}", why.text()));
                }
            }
            Answer::Tripped => {
                tallies.figures.trips += 1;
                self.reset_at_ns = Some(now_ns + FROZEN_NS);
            }
            Answer::Protection { id, why } => {
                if self.protection.take() != Some(id) || why != Reason::None {
                    tallies.differs(format!("protection {id} was answered: {}", why.text()));
                }
            }
            other => tallies.differs(format!("a maker was told {other:?}")),
        }
    }

    fn waits(&self) -> u64 {
        self.quotes.len() as u64 + u64::from(self.protection.is_some())
    }
}

impl Taker {
    /// Draws an order that reaches over every quote, and queues it.
    fn order(
        &mut self,
        instrument: &Instrument,
        settings: &run::Settings,
        random: &mut Random,
        (id, asked): (u64, Asked),
    ) {
        let (side, sign) = if random.below(2) == 0 {
            (Side::Buy, 1)
        } else {
            (Side::Sell, -1)
        };
        let order = Order {
            id,
            side,
            price: settings.middle + sign * REACH * settings.tick,
            quantity: (1 + random.below(LOTS_MAX) as i64) * settings.lot,
            immediate: true,
        };
        self.client.enter(instrument, &order);
        let open = Open {
            asked,
            accepted: false,
            left: order.quantity,
        };
        self.orders.0.insert(id, open);
    }
}

impl Orders {
    fn take(&mut self, answer: &Answer, now_ns: u64, tallies: &mut Tallies) {
        let id = match *answer {
            Answer::Accepted { id, .. } | Answer::Rejected { id, .. } | Answer::Fill { id, .. } => {
                id
            }
            Answer::Canceled { original, .. } => original,
            other => return tallies.differs(format!("a taker was told {other:?}")),
        };
        let Some(open) = self.0.get_mut(&id) else {
            return tallies.differs(format!("order {id} is not open: {answer:?}"));
        };
        let first = matches!(answer, Answer::Accepted { .. } | Answer::Rejected { .. });
        if open.accepted == first {
            tallies.differs(format!("order {id} was answered twice or late: {answer:?}"));
        }
        if first {
            let refused = matches!(answer, Answer::Rejected { .. });
            tallies.answer(open.asked, now_ns, false, refused);
            open.accepted = true;
        }
        let done = match *answer {
            Answer::Rejected { why, .. } => {
                tallies.refuse(why);
                true
            }
            Answer::Fill {
                quantity, leaves, ..
            } => {
                tallies.taken += quantity;
                open.left -= quantity;
                if open.left != leaves {
                    let left = open.left;
                    tallies.differs(format!("order {id} leaves {leaves}, should {left}"));
                }
                leaves == 0
            }
            Answer::Canceled { .. } => true,
            _ => false,
        };
        if done {
            self.0.remove(&id);
        }
    }
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the venue does not answer")
}

/// Writes and reads once, waiting a little for it.
fn exchange(client: &mut Client, until: Instant) -> io::Result<()> {
    if Instant::now() > until {
        return Err(silent());
    }
    client.flush()?;
    if !client.fill()? {
        run::wait(std::iter::once(&*client), SECOND_NS / 100)?;
    }
    Ok(())
}

/// Everybody who is at work.
struct Floor {
    makers: Vec<Maker>,
    takers: Vec<Taker>,
    /// What takers may trade.
    instruments: Vec<Instrument>,
    next_id: u64,
}

impl Floor {
    fn clients(&self) -> impl Iterator<Item = &Client> {
        let makers = self.makers.iter().map(|maker| &maker.client);
        makers.chain(self.takers.iter().map(|taker| &taker.client))
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Requests whose answers are not all there.
    fn waits(&self) -> u64 {
        let makers: u64 = self.makers.iter().map(|maker| maker.beliefs.waits()).sum();
        makers
            + self
                .takers
                .iter()
                .map(|taker| taker.orders.0.len() as u64)
                .sum::<u64>()
    }

    /// Gives up on what was not answered: an answer that comes later is one that nobody asked for.
    fn forget(&mut self) {
        for maker in &mut self.makers {
            maker.beliefs.quotes.clear();
            maker.beliefs.protection = None;
        }
        for taker in &mut self.takers {
            taker.orders.0.clear();
        }
    }

    /// Writes what is queued and takes what has come. Returns whether something had.
    fn serve(&mut self, begun: Instant, tallies: &mut Tallies) -> io::Result<bool> {
        let mut busy = false;
        let now_ns = || begun.elapsed().as_nanos() as u64;
        for maker in &mut self.makers {
            maker.client.flush()?;
            if maker.client.fill()? {
                busy = true;
                let now_ns = now_ns();
                while let Some(answer) = maker.client.answer()? {
                    let refused = maker.client.refused_sides();
                    maker.beliefs.take(&answer, refused, now_ns, tallies);
                }
            }
            maker.reset_when_due(now_ns(), &mut self.next_id, tallies);
        }
        for taker in &mut self.takers {
            taker.client.flush()?;
            if taker.client.fill()? {
                busy = true;
                let now_ns = now_ns();
                while let Some(answer) = taker.client.answer()? {
                    taker.orders.take(&answer, now_ns, tallies);
                }
            }
        }
        Ok(busy)
    }
}

/// Lots in a window at which protection trips: those that the takers bring on average to one maker,
/// and two standard deviations more. Of an order and a quote, whichever is smaller trades.
fn protection_lots(settings: &Settings) -> u64 {
    let orders = settings.run.rate * (100 - settings.quotes) as f64 / 100.0;
    let in_window = orders / settings.makers as f64 * f64::from(WINDOW_MS) / 1e3;
    let (mut mean, mut square) = (0.0, 0.0);
    for lots in 1..=LOTS_MAX {
        // How likely it is that both are at least so large.
        let likely = ((LOTS_MAX - lots + 1) as f64 / LOTS_MAX as f64).powi(2);
        mean += likely;
        square += likely * (2 * lots - 1) as f64;
    }
    let lots = in_window * mean + 2.0 * (in_window * square).sqrt();
    (lots as u64).max(LOTS_MAX + 1)
}

/// The instruments that are quoted; nobody else may be in them.
fn instruments(settings: &Settings) -> io::Result<Vec<(u32, String)>> {
    let mut all = http::instruments(settings.http)?;
    all.retain(|(_, symbol)| symbol.starts_with(PREFIX));
    if all.len() < settings.makers {
        return Err(io::Error::other(format!(
            "{} makers wanted, the venue has {} instruments whose names begin with {PREFIX}: start \
             it with DEMO_INSTRUMENTS=50 on an empty DATA_DIR",
            settings.makers,
            all.len()
        )));
    }
    let until = Instant::now() + EMPTY_PATIENCE;
    for (_, symbol) in &all {
        // The side port follows the log, and the makers of a run before may just have gone.
        while http::book(settings.http, symbol)? != Book::default() {
            if Instant::now() > until {
                return Err(io::Error::other(format!(
                    "somebody else is in the book of {symbol}: the makers must be alone in theirs"
                )));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(all)
}

fn open(settings: &Settings) -> io::Result<Floor> {
    let all = instruments(settings)?;
    let logon = |login: &Login| {
        let mut client = Client::logon(settings.run.address, login)?;
        client.know(&all);
        client.set_nonblocking()?;
        Ok::<Client, io::Error>(client)
    };
    let (makers, takers) = settings.run.logins.split_at(settings.makers);
    let mut floor = Floor {
        makers: Vec::new(),
        takers: Vec::new(),
        instruments: Vec::new(),
        next_id: first_id(),
    };
    for (number, login) in makers.iter().enumerate() {
        let client = logon(login)?;
        let mine = all.iter().skip(number).step_by(settings.makers);
        let rows: io::Result<Vec<Row>> = mine
            .map(|(_, symbol)| {
                Ok(Row {
                    instrument: client.instrument(symbol)?,
                    symbol: symbol.clone(),
                    middle: settings.run.middle,
                    believed: [None; 2],
                })
            })
            .collect();
        floor.makers.push(Maker {
            client,
            // Groups are a firm's: makers of one firm need their own.
            group: number as u16 + 1,
            next_row: 0,
            beliefs: Beliefs::new(rows?),
        });
    }
    for login in takers {
        floor.takers.push(Taker {
            client: logon(login)?,
            orders: Orders::default(),
        });
    }
    if let Some(taker) = floor.takers.first() {
        let named = all
            .iter()
            .map(|(_, symbol)| taker.client.instrument(symbol));
        floor.instruments = named.collect::<io::Result<_>>()?;
    }
    Ok(floor)
}

/// Sets the protection of every maker, or takes it away with a window of 0.
fn protect(floor: &mut Floor, lots: u64, window_ms: u32, tallies: &mut Tallies) -> io::Result<()> {
    for at in 0..floor.makers.len() {
        let id = floor.id();
        let maker = &mut floor.makers[at];
        maker.client.protect(id, maker.group, lots, window_ms);
        maker.beliefs.protection = Some(id);
    }
    settle(floor, tallies)
}

/// Waits for every answer.
fn settle(floor: &mut Floor, tallies: &mut Tallies) -> io::Result<()> {
    let begun = Instant::now();
    floor.serve(begun, tallies)?;
    while floor.waits() > 0 {
        if begun.elapsed() > CHECK_PATIENCE {
            return Err(silent());
        }
        run::wait(floor.clients(), SECOND_NS / 100)?;
        floor.serve(begun, tallies)?;
    }
    Ok(())
}

/// Quotes every instrument once. Returns the sizes of the first maker's mass quote and of its
/// answer.
fn begin(floor: &mut Floor, settings: &Settings, tallies: &mut Tallies) -> io::Result<Sizes> {
    let mut random = Random::new(settings.run.seed);
    let asked = Asked {
        intended_ns: 0,
        measured: false,
    };
    let mut request = 0;
    let before = floor
        .makers
        .first()
        .map_or(0, |maker| maker.client.received);
    for at in 0..floor.makers.len() {
        let id = floor.id();
        let maker = &mut floor.makers[at];
        maker.quote(settings, settings.entries, &mut random, (id, asked));
        if at == 0 {
            request = maker.client.unwritten();
        }
    }
    settle(floor, tallies)?;
    let after = floor
        .makers
        .first()
        .map_or(0, |maker| maker.client.received);
    Ok(Sizes {
        request,
        answer: (after - before) as usize,
    })
}

/// Runs.
///
/// # Errors
/// The network's, a refused logon, a connection that broke, a venue without instruments to quote.
pub fn run(settings: &Settings) -> io::Result<Report> {
    let mut floor = open(settings)?;
    let mut tallies = Tallies::new(MakerFigures {
        makers: settings.makers,
        takers: floor.takers.len(),
        entries_per_quote: settings.entries,
        quotes_of_100: settings.quotes,
        instruments: floor
            .makers
            .iter()
            .map(|maker| maker.beliefs.rows.len())
            .sum(),
        ..MakerFigures::default()
    });
    protect(
        &mut floor,
        protection_lots(settings),
        WINDOW_MS,
        &mut tallies,
    )?;
    let sizes = begin(&mut floor, settings, &mut tallies)?;
    let (driven, echo) = run::beside_floor(sizes, || drive(settings, &mut floor, &mut tallies))?;
    check(settings, &mut floor, &mut tallies)?;
    protect(&mut floor, 0, 0, &mut tallies)?;
    for at in 0..floor.makers.len() {
        let id = floor.id();
        floor.makers[at].cancel_all(id, &mut tallies)?;
    }
    check(settings, &mut floor, &mut tallies)?;
    begin(&mut floor, settings, &mut tallies)?;
    kill_first(&mut floor, settings, &mut tallies)?;
    // What they quote now goes with their connections.
    begin(&mut floor, settings, &mut tallies)?;
    check(settings, &mut floor, &mut tallies)?;
    let mut rows = Vec::new();
    for maker in floor.makers {
        drop(maker.client);
        rows.extend(maker.beliefs.rows.into_iter().map(|row| Row {
            believed: [None; 2],
            ..row
        }));
    }
    check_books(settings, rows.iter(), &mut tallies)?;
    let log = settings.run.hlog.as_ref();
    log.map_or(Ok(()), |path| {
        run::write_log(path, &settings.run, &tallies.latency)
    })?;
    for taker in floor.takers {
        taker.client.logout()?;
    }
    Ok(report(settings, driven, echo, tallies))
}

/// The desk stops the first maker: its quotes end, all others' stay, what it quotes then is refused; when it is let
/// go on it quotes again.
fn kill_first(floor: &mut Floor, settings: &Settings, tallies: &mut Tallies) -> io::Result<()> {
    let Some(session) = settings.run.logins.first().map(Login::session) else {
        return Ok(());
    };
    let mut desk = Desk::logon(settings)?;
    let (quoted, kill, blocked, lift, again) =
        (floor.id(), floor.id(), floor.id(), floor.id(), floor.id());
    floor.makers[0].state_both_sides(settings, quoted);
    settle(floor, tallies)?;
    let expected = floor.makers[0].beliefs.resting();
    let canceled = match desk.kill((kill, session), false, tallies) {
        Ok(canceled) => canceled,
        Err(error) => {
            // It may be set all the same, and nobody else would ever let the session go on.
            let _ = desk.kill((lift, session), true, tallies);
            return Err(error);
        }
    };
    if canceled != expected || expected == 0 {
        tallies.differs(format!("a kill switch of {expected} ended {canceled}"));
    }
    tallies.figures.killed += canceled;
    let stopped = stopped(floor, settings, blocked, tallies);
    // Whatever it came to: nobody else would ever let the session go on.
    desk.kill((lift, session), true, tallies)?;
    stopped?;
    floor.makers[0].state_both_sides(settings, again);
    settle(floor, tallies)?;
    if floor.makers[0].beliefs.resting() == 0 {
        tallies.differs("a maker quotes nothing after the kill switch was lifted".into());
    }
    check(settings, floor, tallies)?;
    desk.client.logout()
}

/// The first maker under the kill switch.
fn stopped(
    floor: &mut Floor,
    settings: &Settings,
    id: u64,
    tallies: &mut Tallies,
) -> io::Result<()> {
    floor.makers[0].is_killed(tallies)?;
    check(settings, floor, tallies)?;
    floor.makers[0].is_blocked(settings, id, tallies)?;
    check(settings, floor, tallies)
}

/// Seconds the measured part took, and requests that were never answered.
struct Driven {
    seconds: f64,
    unanswered: u64,
}

fn drive(settings: &Settings, floor: &mut Floor, tallies: &mut Tallies) -> io::Result<Driven> {
    let run = &settings.run;
    let mut random = Random::new(run.seed);
    // A stream of its own: the schedule does not depend on what the venue answered.
    let mut schedule = Random::new(!run.seed);
    let warmup_ns = run.warmup.as_nanos() as u64;
    let end_ns = warmup_ns + run.duration.as_nanos() as u64;
    let mean_ns = 1e9 / run.rate;
    let mut progress = Progress::new((end_ns as f64 / mean_ns) as u64, "requests");
    let (mut due, mut requests, mut turns) = (0.0f64, 0, [0usize; 2]);
    let (mut last_sent_ns, mut second_ends) = (warmup_ns, warmup_ns + SECOND_NS);
    let mut housekeeping_ns = 0;
    let begun = Instant::now();
    loop {
        let now_ns = begun.elapsed().as_nanos() as u64;
        while due as u64 <= now_ns && (due as u64) < end_ns {
            let asked = Asked {
                intended_ns: due as u64,
                measured: due as u64 >= warmup_ns,
            };
            let entries = request(settings, floor, &mut turns, &mut random, asked);
            requests += 1;
            if asked.measured {
                last_sent_ns = now_ns;
                tallies.sent += 1;
                tallies.figures.entries += entries as u64;
                tallies.lag.saturating_record(now_ns - asked.intended_ns);
            }
            due += match run.arrivals {
                Arrivals::Even => mean_ns,
                Arrivals::Poisson => -schedule.unit().ln() * mean_ns,
            };
        }
        let busy = floor.serve(begun, tallies)?;
        let done_sending = due as u64 >= end_ns;
        let now_ns = begun.elapsed().as_nanos() as u64;
        if now_ns >= second_ends {
            tallies.end_second();
            second_ends += SECOND_NS;
        }
        if now_ns >= housekeeping_ns {
            housekeeping_ns = now_ns + SECOND_NS / 100;
            progress.set(requests);
            let makers = floor.makers.iter_mut().map(|maker| &mut maker.client);
            let takers = floor.takers.iter_mut().map(|taker| &mut taker.client);
            makers.chain(takers).for_each(Client::keep_alive);
        }
        let quiet = floor.waits() == 0
            && floor
                .makers
                .iter()
                .all(|maker| maker.beliefs.reset_at_ns.is_none());
        if done_sending && (quiet || now_ns > end_ns + PATIENCE_NS) {
            break;
        }
        if !busy {
            let until = if done_sending {
                now_ns + SECOND_NS / 100
            } else {
                (due as u64).min(housekeeping_ns)
            };
            run::wait(floor.clients(), until.saturating_sub(now_ns))?;
        }
    }
    progress.finish();
    tallies.end_second();
    // The schedule is sent to its end, however late: a rate that was not kept shows as more time.
    let took = last_sent_ns.saturating_sub(warmup_ns) as f64 / 1e9;
    let driven = Driven {
        seconds: run.duration.as_secs_f64().max(took),
        unanswered: floor.waits(),
    };
    floor.forget();
    Ok(driven)
}

/// Queues the next request of the schedule. Returns how many entries it quotes.
fn request(
    settings: &Settings,
    floor: &mut Floor,
    turns: &mut [usize; 2],
    random: &mut Random,
    asked: Asked,
) -> usize {
    let id = floor.id();
    if random.below(100) < settings.quotes || floor.takers.is_empty() {
        let at = turns[0] % floor.makers.len();
        turns[0] += 1;
        let maker = &mut floor.makers[at];
        maker.quote(settings, settings.entries, random, (id, asked));
        return settings.entries.min(maker.beliefs.rows.len());
    }
    let at = turns[1] % floor.takers.len();
    turns[1] += 1;
    let which = random.below(floor.instruments.len() as u64) as usize;
    let instrument = &floor.instruments[which];
    floor.takers[at].order(instrument, &settings.run, random, (id, asked));
    0
}

/// Holds beliefs, the venue's answers about its sessions, and its books against each other.
fn check(settings: &Settings, floor: &mut Floor, tallies: &mut Tallies) -> io::Result<()> {
    for at in 0..floor.makers.len() {
        let id = floor.id();
        floor.makers[at].check(id, tallies)?;
    }
    if tallies.made != tallies.taken {
        let (made, taken) = (tallies.made, tallies.taken);
        tallies.differs(format!("makers traded {made}, takers {taken}"));
    }
    let rows = floor.makers.iter().flat_map(|maker| &maker.beliefs.rows);
    check_books(settings, rows, tallies)
}

/// Holds beliefs against the venue's books.
fn check_books<'a>(
    settings: &Settings,
    rows: impl Iterator<Item = &'a Row>,
    tallies: &mut Tallies,
) -> io::Result<()> {
    let until = Instant::now() + CHECK_PATIENCE;
    for row in rows {
        let levels = row.believed.map(|side| {
            let level = side.map(|(price, quantity)| Level {
                price,
                quantity,
                orders: 1,
            });
            Vec::from_iter(level)
        });
        // The side port follows the log.
        loop {
            let book = http::book(settings.http, &row.symbol)?;
            if [&book.bids, &book.asks] == [&levels[0], &levels[1]] {
                break;
            }
            if Instant::now() > until {
                tallies.differs(format!("{}: {levels:?}, its book {book:?}", row.symbol));
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

fn report(settings: &Settings, driven: Driven, echo: Percentiles, tallies: Tallies) -> Report {
    let Driven {
        seconds,
        unanswered,
    } = driven;
    let lag = Percentiles::of(&tallies.lag);
    let latency = Percentiles::of(&tallies.latency);
    let planned = settings.run.duration.as_secs_f64();
    let mut figures = tallies.figures;
    figures.entries_per_second = figures.entries as f64 / seconds;
    Report {
        schema: 1,
        scenario: Report::MARKET_MAKERS.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: settings.run.protocol.name().into(),
        sessions: settings.run.logins.len(),
        intended_rate: settings.run.rate,
        achieved_rate: tallies.sent as f64 / seconds,
        seconds,
        sent: tallies.sent,
        answered: tallies.answered,
        refused: tallies.refused,
        unanswered,
        latency_ns: latency,
        by_request_ns: vec![
            ("quote".into(), Percentiles::of(&tallies.quote)),
            ("order".into(), Percentiles::of(&tallies.order)),
        ],
        send_lag_ns: lag,
        floor_ns: echo,
        p50_by_second_ns: tallies.p50_by_second,
        bottleneck: run::bottleneck(lag, latency, seconds, planned),
        makers: Some(figures),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies() -> Tallies {
        Tallies::new(MakerFigures::default())
    }

    #[test]
    fn differences_are_counted_and_the_first_are_told() {
        let mut tallies = tallies();
        for number in 0..25 {
            tallies.differs(number.to_string());
        }
        assert_eq!(tallies.figures.differences, 25);
        assert_eq!(tallies.figures.examples.len(), EXAMPLES);
    }

    #[test]
    fn refusals_are_counted_by_reason() {
        let mut tallies = tallies();
        tallies.refuse(Reason::ProtectionFrozen);
        tallies.refuse(Reason::ProtectionFrozen);
        tallies.refuse(Reason::PriceNotOnTick);
        let counts: Vec<u64> = tallies.figures.refusals.values().copied().collect();
        assert_eq!(counts, [2, 1]);
    }

    const ASKED: Asked = Asked {
        intended_ns: 0,
        measured: true,
    };

    /// A maker that has quoted 5 at 99 and 6 at 101 in instrument 9, as number 1.
    fn quoting() -> Beliefs {
        let mut beliefs = Beliefs::new(vec![Row {
            instrument: Instrument::new("DEMO-009", 9),
            symbol: "DEMO-009".into(),
            middle: 100,
            believed: [None; 2],
        }]);
        let quote = Quote {
            asked: ASKED,
            stated: vec![(0, [(99, 5), (101, 6)])],
        };
        beliefs.quotes.insert(1, quote);
        beliefs
    }

    const QUOTED: Answer = Answer::Quoted {
        id: 1,
        why: Reason::None,
        sides: 2,
    };

    #[test]
    fn what_is_believed_follows_what_is_told() {
        let (mut beliefs, mut tallies) = (quoting(), tallies());
        beliefs.take(&QUOTED, &[], 7, &mut tallies);
        let filled = Answer::QuoteFill {
            instrument: 9,
            side: Side::Buy,
            quantity: 2,
            leaves: 3,
        };
        beliefs.take(&filled, &[], 8, &mut tallies);
        let ended = Answer::QuoteEnded {
            instrument: 9,
            side: Side::Sell,
            why: Reason::ProtectionTripped,
        };
        beliefs.take(&ended, &[], 9, &mut tallies);
        assert_eq!(beliefs.rows[0].believed, [Some((99, 3)), None]);
        let said = |lots| BTreeMap::from([((9, Side::Buy), vec![(99, lots)])]);
        beliefs.compare(said(3), &mut tallies);
        assert_eq!((tallies.figures.differences, tallies.answered), (0, 1));
        beliefs.compare(said(4), &mut tallies);
        beliefs.compare(BTreeMap::new(), &mut tallies);
        beliefs.compare(
            BTreeMap::from([((8, Side::Buy), vec![(99, 3)])]),
            &mut tallies,
        );
        assert_eq!(tallies.figures.differences, 1 + 1 + 2);
    }

    #[test]
    fn a_mass_quote_answered_twice_or_in_part_is_a_difference() {
        let (mut beliefs, mut tallies) = (quoting(), tallies());
        beliefs.take(&QUOTED, &[], 7, &mut tallies);
        assert_eq!((beliefs.waits(), tallies.figures.differences), (0, 0));
        beliefs.take(&QUOTED, &[], 7, &mut tallies);
        assert_eq!(tallies.figures.differences, 1);
        let mut beliefs = quoting();
        let half = Answer::Quoted {
            id: 1,
            why: Reason::None,
            sides: 1,
        };
        beliefs.take(&half, &[], 7, &mut tallies);
        assert_eq!(tallies.figures.differences, 2);
    }

    #[test]
    fn an_order_is_answered_once_and_then_filled_or_ended() {
        let (mut orders, mut tallies) = (Orders::default(), tallies());
        let open = Open {
            asked: ASKED,
            accepted: false,
            left: 5,
        };
        orders.0.insert(1, open);
        let accepted = Answer::Accepted {
            id: 1,
            side: Side::Buy,
            price: 100,
            leaves: 5,
        };
        let fill = |quantity, leaves| Answer::Fill {
            id: 1,
            price: 100,
            quantity,
            leaves,
            taker: true,
        };
        orders.take(&accepted, 7, &mut tallies);
        orders.take(&fill(2, 3), 8, &mut tallies);
        assert_eq!((orders.0.len(), tallies.figures.differences), (1, 0));
        orders.take(&accepted, 9, &mut tallies);
        assert_eq!(tallies.figures.differences, 1, "answered twice");
        orders.take(&fill(2, 0), 9, &mut tallies);
        assert_eq!(tallies.figures.differences, 2, "a lot is missing");
        orders.take(&fill(1, 0), 9, &mut tallies);
        assert_eq!(tallies.figures.differences, 3, "it was done");
    }
}
