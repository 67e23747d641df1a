//! The oracle: a whole venue of plain vectors, slow and obvious, written from
//! `protocol/ORDERS.md` alone. Same rules as the engine, other code.
//!
//! An order is in one of these places: in `bids` or `asks` of its book (best price first, then
//! longest at rest), in `waiting` (stops, longest waiting first), in `parked` (at-the-close orders
//! before their auction), in `entering` (quotes of the mass quote at work that have yet to enter),
//! or by value in the hands of the function that makes it trade. Everything that is looked for is
//! looked for from the front.

mod auction;
mod definitions;
mod desk;
mod quotes;
mod risk;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use trading_engine::engine::command::{
    CancelAfter, CancelOrder, CommandKind, DefineFirm, DefineInstrument, DefineSession,
    DefineTickTable, EnterOrder, MassCancel, NO_PRICE, OrderTerms, RefuseOrder, RefuseRequest,
    ReplaceOrder, SessionLogon, SetAccount, SetLimits,
};
use trading_engine::limits::{DAY_ROLL_GRACE_MS, EngineLimits, FEASIBILITY_VISITS_MAX};
use trading_engine_protocol::types::{
    ClientOrderId, Instructions, Liquidity, OrderStatus, OrderType, Quantity, Reason,
    SelfTradePrevention, Side, TimeInForce, TradingPhase, UtcNanos,
};

pub use auction::Indication;
pub use desk::Block;
pub use quotes::{Protection, QuoteOf, QuoteSide};
use risk::{Collared, Risk};

const BUY: u8 = Side::Buy as u8;
const MARKET: u8 = OrderType::Market as u8;
const LIMIT: u8 = OrderType::Limit as u8;
const STOP: u8 = OrderType::Stop as u8;
const STOP_LIMIT: u8 = OrderType::StopLimit as u8;
const MARKET_TO_LIMIT: u8 = OrderType::MarketToLimit as u8;
const DAY: u8 = TimeInForce::Day as u8;
const AT_THE_OPENING: u8 = TimeInForce::AtTheOpening as u8;
const AT_THE_CLOSE: u8 = TimeInForce::AtTheClose as u8;
const IMMEDIATE: u8 = TimeInForce::ImmediateOrCancel as u8;
const ALL_OR_NOTHING: u8 = TimeInForce::FillOrKill as u8;
const UNTIL_DATE: u8 = TimeInForce::GoodTillDate as u8;
pub const CONTINUOUS: u8 = TradingPhase::Continuous as u8;
pub const CLOSED: u8 = TradingPhase::Closed as u8;
pub const PRE_OPEN: u8 = TradingPhase::PreOpen as u8;
pub const OPENING: u8 = TradingPhase::OpeningAuction as u8;
pub const HALTED: u8 = TradingPhase::Halted as u8;
pub const VOLATILITY: u8 = TradingPhase::VolatilityAuction as u8;
pub const CLOSING: u8 = TradingPhase::ClosingAuction as u8;
/// A replace that says nothing of the time in force.
const NOT_STATED: u8 = 0xFF;
/// What reports state as the price of a stop that has none yet.
const PRICE_OF_A_WAITING_STOP: i64 = 0;
const MILLISECOND: u64 = 1_000_000;

/// An order after what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The how manieth accepted order of the log it is.
    pub number: u64,
    pub client: u64,
    pub price: i64,
    pub quantity: u64,
    pub leaves: u64,
    pub cumulative: u64,
    pub notional: i128,
    pub instrument: u32,
    pub account: u32,
    pub side: u8,
    pub order_type: u8,
    pub time_in_force: u8,
    pub status: u8,
    pub instructions: u8,
    pub self_trade_prevention: u8,
    pub group: u16,
}

/// What one event says. `entry` is there of quotes only: their QuoteEntryID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Accepted {
        order: State,
        terms: OrderTerms,
    },
    Fill {
        order: State,
        trade: u64,
        price: i64,
        lots: u64,
        liquidity: u8,
        entry: Option<u64>,
    },
    Canceled {
        order: State,
        request: u64,
        lots: u64,
        entry: Option<u64>,
    },
    Replaced {
        order: State,
        terms: OrderTerms,
        original: u64,
        previous_price: i64,
        previous_leaves: u64,
        kept: bool,
    },
    Triggered {
        order: State,
    },
    Restated {
        order: State,
        reduced: u64,
        shown: u64,
        /// Of a quote.
        entry: Option<u64>,
    },
    Rejected {
        client: u64,
        price: i64,
        quantity: u64,
        instrument: u32,
        account: u32,
        side: u8,
        order_type: u8,
        time_in_force: u8,
        raw: bool,
    },
    Refused {
        client: u64,
        original: u64,
        request: u8,
        status: u8,
        /// FIX tag at fault.
        tag: u16,
    },
    /// How many, and what was asked for.
    MassCancelDone(u32, MassCancel),
    Status {
        order: Option<State>,
        terms: OrderTerms,
        request: u64,
        total: u32,
        is_last: bool,
        all: bool,
        /// Which quote it is.
        quote: Option<QuoteOf>,
        waits: u8,
        shown: u64,
    },
    PhaseChanged {
        instrument: u32,
        phase: u8,
        previous: u8,
        held: bool,
        until: u64,
    },
    Indicative(u32, Indication),
    Uncrossed(u32, Indication),
    ReferenceSet(u32, i64),
    InstrumentDefined(DefineInstrument),
    FirmDefined(DefineFirm),
    SessionDefined(DefineSession),
    TickTableDefined(DefineTickTable),
    /// Command and id.
    DefinitionRefused(u8, u32),
    /// As they are, and whether they stop everything.
    LimitsSet(SetLimits, bool),
    AccountSet(SetAccount),
    KillSwitchDone {
        client: u64,
        canceled: u64,
        target: u32,
        scope: u8,
        release: u8,
        cancels_only: u8,
    },
    Amended {
        order: State,
        trade: u64,
        price: i64,
        lots: u64,
        new_price: i64,
        liquidity: u8,
        is_quote: bool,
    },
    Quoted {
        quote_id: u64,
        accepted: u16,
        refused: u16,
        group: u16,
        response: u8,
        account: u32,
        results: Vec<[QuoteSide; 2]>,
    },
    QuoteCancelDone {
        quote_id: u64,
        canceled: u64,
        instrument: u32,
        group: u16,
        layer: u16,
        scope: u8,
    },
    ProtectionSet {
        client: u64,
        group: u16,
        settings: Protection,
        frozen_until: u64,
        window_lots: u64,
        window_fills: u32,
    },
    Tripped {
        group: u16,
        number: u64,
        limit: u8,
        frozen_until: u64,
        lots: u64,
        net: i64,
        fills: u32,
    },
    CancelAfterSet(u64),
    /// Which orders of a trade were not stated as they ended.
    Ignored(u8),
    Closed,
    LoggedOn,
    DayRolled(u32),
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The session that is told, 0 = nobody.
    pub to: u32,
    pub reason: Reason,
    /// Whether it goes to the session that asked, and not for something that was merely due.
    pub answer: bool,
    pub what: What,
}

/// An open order.
#[derive(Clone, Debug)]
pub struct Order {
    pub number: u64,
    pub session: u32,
    pub firm: u32,
    pub client: u64,
    pub account: u32,
    pub instrument: u32,
    pub side: u8,
    pub order_type: u8,
    pub time_in_force: u8,
    pub instructions: u8,
    pub self_trade_prevention: u8,
    pub price: i64,
    pub terms: OrderTerms,
    pub quantity: u64,
    pub filled: u64,
    pub notional: i128,
    /// Lots of it that others see while it rests.
    pub shown: u64,
    /// A stop that was told Triggered.
    pub released: bool,
    /// A stop that waits although its price traded: it could not be released then.
    pub reached: bool,
    /// Market-maker protection group, 0 = none.
    pub group: u16,
    /// It is one side of this quote.
    pub quote: Option<QuoteOf>,
}

impl Order {
    pub fn open(&self) -> u64 {
        self.quantity - self.filled
    }

    pub fn state(&self, status: OrderStatus) -> State {
        let ended = match status {
            OrderStatus::New | OrderStatus::PartiallyFilled => false,
            OrderStatus::Filled
            | OrderStatus::Canceled
            | OrderStatus::Rejected
            | OrderStatus::Expired => true,
        };
        State {
            number: self.number,
            client: self.client,
            price: self.price,
            quantity: self.quantity,
            leaves: if ended { 0 } else { self.open() },
            cumulative: self.filled,
            notional: self.notional,
            instrument: self.instrument,
            account: self.account,
            side: self.side,
            order_type: self.order_type,
            time_in_force: self.time_in_force,
            status: status as u8,
            instructions: self.instructions,
            self_trade_prevention: self.self_trade_prevention,
            group: self.group,
        }
    }

    pub fn open_status(&self) -> OrderStatus {
        if self.filled > 0 {
            OrderStatus::PartiallyFilled
        } else {
            OrderStatus::New
        }
    }

    pub fn is_waiting(&self) -> bool {
        [STOP, STOP_LIMIT].contains(&self.order_type) && !self.released
    }

    fn display(&self) -> u64 {
        self.terms.display.0
    }

    fn full_display(&self) -> u64 {
        match self.display() {
            0 => self.open(),
            display => display.min(self.open()),
        }
    }

    fn is(&self, instruction: Instructions) -> bool {
        self.instructions & instruction.0 != 0
    }

    /// Whether it may trade with an order of the other side at that price.
    fn reaches(&self, price: i64) -> bool {
        !better(self.side, price, self.price)
    }

    /// Whether its instruction keeps it from trading with that order.
    fn may_not_meet(&self, resting: &Self) -> bool {
        if self.self_trade_prevention == 0 || self.firm != resting.firm {
            return false;
        }
        self.self_trade_prevention >= 0x10 || self.account == resting.account
    }
}

/// Whether `a` is further from the other side than `b`: what an order of that side limited at `b`
/// may not pay.
fn better(side: u8, a: i64, b: i64) -> bool {
    if side == BUY { a > b } else { a < b }
}

fn within((low, high): (i64, i64), price: i64) -> bool {
    low <= price && price <= high
}

#[derive(Clone, Debug, Default)]
pub struct Book {
    pub bids: Vec<Order>,
    pub asks: Vec<Order>,
    pub waiting: Vec<Order>,
    pub parked: Vec<Order>,
    pub phase: u8,
    /// It was halted by name.
    held: bool,
    /// When a volatility interruption ends by itself.
    until: Option<u64>,
    /// Price of the last trade.
    pub last: Option<i64>,
    pub reference: Option<i64>,
    /// The newer of both.
    center: Option<i64>,
    /// When it is looked whether there is a new indicative price.
    indicative_at: Option<u64>,
    /// What was published last in this phase.
    published: Option<Indication>,
    /// The resting orders when it was last looked whether the book has changed.
    noted: Vec<(u64, i64, u64, u64)>,
    /// Orders that were not in the book then.
    aside: Vec<(u64, u64)>,
}

impl Book {
    pub fn side(&self, side: u8) -> &Vec<Order> {
        if side == BUY { &self.bids } else { &self.asks }
    }

    fn side_mut(&mut self, side: u8) -> &mut Vec<Order> {
        if side == BUY {
            &mut self.bids
        } else {
            &mut self.asks
        }
    }

    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        (self.bids.iter())
            .chain(&self.asks)
            .chain(&self.waiting)
            .chain(&self.parked)
    }

    fn lists(&mut self) -> [&mut Vec<Order>; 4] {
        [
            &mut self.bids,
            &mut self.asks,
            &mut self.waiting,
            &mut self.parked,
        ]
    }

    /// Orders are collected and do not trade.
    pub fn collects(&self) -> bool {
        [PRE_OPEN, OPENING, VOLATILITY, CLOSING].contains(&self.phase)
    }

    /// Best price that an order of `side` could trade at.
    fn best_opposite(&self, side: u8) -> Option<i64> {
        self.side(3 - side).first().map(|order| order.price)
    }

    /// Rests an order behind all of the same or a better price.
    fn rest(&mut self, order: Order) {
        let orders = self.side_mut(order.side);
        let at = orders
            .iter()
            .position(|other| better(order.side, order.price, other.price))
            .unwrap_or(orders.len());
        orders.insert(at, order);
    }

    fn remove(&mut self, number: u64) -> Option<Order> {
        for orders in self.lists() {
            if let Some(at) = orders.iter().position(|order| order.number == number) {
                return Some(orders.remove(at));
            }
        }
        None
    }

    /// What an order could trade at once, as FOK and MinQty count it.
    fn enough(&self, order: &Order, band: (i64, i64)) -> u64 {
        let passes_own = matches!(order.self_trade_prevention & 0x0F, 2);
        let reached: Vec<&Order> = self
            .side(3 - order.side)
            .iter()
            .take_while(|resting| order.reaches(resting.price) && within(band, resting.price))
            .collect();
        // A price that is looked at is a visit, and so is each order whose owner is asked for.
        let (mut visits, mut price) = (0, None);
        let mut counts = (reached.iter())
            .take_while(|resting| {
                visits += usize::from(price.replace(resting.price) != Some(resting.price));
                visits += usize::from(order.self_trade_prevention != 0);
                visits <= FEASIBILITY_VISITS_MAX
            })
            .count();
        if !passes_own && let Some(own) = reached.iter().position(|other| order.may_not_meet(other))
        {
            counts = counts.min(own);
        }
        // What the orders of a price hide comes behind all of them.
        let cut = reached.get(counts).map(|behind| behind.price);
        reached[..counts]
            .iter()
            .filter(|resting| !order.may_not_meet(resting))
            .map(|resting| {
                if Some(resting.price) == cut {
                    resting.shown
                } else {
                    resting.open()
                }
            })
            .sum()
    }

    /// Price, lots, orders per level of a side, best first.
    pub fn levels(&self, side: u8) -> Vec<(i64, u64, u32)> {
        let mut levels: Vec<(i64, u64, u32)> = Vec::new();
        for order in self.side(side) {
            match levels.last_mut() {
                Some(level) if level.0 == order.price => {
                    level.1 += order.shown;
                    level.2 += 1;
                }
                _ => levels.push((order.price, order.shown, 1)),
            }
        }
        levels
    }

    /// Stops that wait now are released for a price, at once or when they can be; those that come later are not.
    fn note_price(&mut self, price: i64) {
        for stop in &mut self.waiting {
            let at = stop.terms.stop_price.0;
            stop.reached |= if stop.side == BUY {
                price >= at
            } else {
                price <= at
            };
        }
    }

    /// The next stop that what traded releases.
    fn next_stop(&mut self) -> Option<Order> {
        let stop = |order: &&Order| order.terms.stop_price.0;
        // The first of the lowest, and of the highest: `max_by_key` alone would take the last.
        let buy = self
            .waiting
            .iter()
            .filter(|order| order.side == BUY && order.reached)
            .min_by_key(stop);
        let sell = self
            .waiting
            .iter()
            .filter(|order| order.side != BUY && order.reached)
            .min_by_key(|order| -stop(order));
        let number = buy.or(sell)?.number;
        self.remove(number)
    }
}

/// What the venue knows of a client order id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Never was an order.
    Refused,
    /// The order with this number.
    Open(u64),
    /// Ended with this status; Rejected = replaced away, answers to another id.
    Ended(OrderStatus),
}

#[derive(Clone, Debug, Default)]
pub struct Session {
    pub definition: DefineSession,
    pub firm: u32,
    pub user: u32,
    pub risk: bool,
    pub restarts: bool,
    pub connected: bool,
    cancel_on_disconnect: u8,
    grace_ms: u32,
    cancel_disconnected_at: Option<u64>,
    /// Orders go then, too, not only quotes.
    orders_go: bool,
    logged_out: bool,
    cancel_after_at: Option<u64>,
}

/// How a request names its order; 0 = not by that.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    pub original: u64,
    pub number: u64,
}

pub struct Venue {
    /// By id, from 1.
    pub instruments: Vec<DefineInstrument>,
    pub firms: BTreeMap<u32, DefineFirm>,
    /// By id; 0 is nobody.
    pub sessions: Vec<Session>,
    /// Of the instruments.
    pub books: Vec<Book>,
    pub tick_tables: BTreeMap<u32, DefineTickTable>,
    /// Instruments, firms and sessions there may be.
    definition_capacity: (u32, u32, u32),
    risk: Risk,
    /// Whether they are enabled, by firm and number.
    pub accounts: BTreeMap<(u32, u32), bool>,
    account_capacity: usize,
    /// New quotes of the mass quote at work that have yet to enter the book.
    entering: Vec<Order>,
    /// Names of quotes there may be at once, of all firms and of one.
    quote_capacity: (usize, usize),
    /// Price pages of 64 levels there may be at once.
    page_capacity: usize,
    /// By firm and group.
    pub groups: BTreeMap<(u32, u16), Protection>,
    /// Of all firms, and of one.
    group_capacity: (usize, usize),
    /// Kill switches that are on; whether the venue set them, and not a firm's desk.
    pub blocks: BTreeSet<(bool, Block)>,
    /// What was told of each order last.
    last_reports: HashMap<u64, State>,
    /// What the day's amended trades stand at; none: busted.
    pub amended: BTreeMap<u64, Option<i64>>,
    /// First trade of the day: what was due before the day roll may have traded behind the last command
    /// of the day before.
    first_trade: u64,
    /// Open orders there may be at once.
    order_capacity: usize,
    /// Client order ids there may be in a day.
    pub id_capacity: usize,
    pub known: HashMap<(u32, u64), Known>,
    pub told: Vec<Told>,
    /// How often each feature was at work.
    pub seen: BTreeMap<String, u64>,
    pub accepted: u64,
    pub trades: u64,
    now: u64,
    asking: u32,
}

type Refusal = (Reason, OrderStatus);

fn number_of(id: &ClientOrderId) -> u64 {
    id.as_u64().unwrap_or(0)
}

fn lots(instrument: &DefineInstrument, lots: u64) -> Result<(), Reason> {
    if lots < instrument.quantity_min.0 {
        Err(Reason::QuantityBelowMinimum)
    } else if lots > instrument.quantity_max.0 {
        Err(Reason::QuantityAboveMaximum)
    } else if !lots.is_multiple_of(instrument.quantity_increment.0) {
        Err(Reason::QuantityNotOnLot)
    } else {
        Ok(())
    }
}

impl Venue {
    /// Nothing is defined.
    pub fn new(limits: EngineLimits) -> Self {
        Self {
            instruments: Vec::new(),
            firms: BTreeMap::new(),
            sessions: vec![Session::default()],
            books: Vec::new(),
            tick_tables: BTreeMap::new(),
            definition_capacity: (limits.instruments, limits.firms, limits.sessions),
            risk: Risk::new(limits.risk_limits as usize),
            accounts: BTreeMap::new(),
            account_capacity: limits.accounts as usize,
            entering: Vec::new(),
            quote_capacity: (limits.quotes as usize, limits.quotes_per_firm as usize),
            page_capacity: limits.price_pages as usize,
            groups: BTreeMap::new(),
            group_capacity: (
                limits.protection_groups as usize,
                limits.protection_groups_per_firm as usize,
            ),
            blocks: BTreeSet::new(),
            last_reports: HashMap::new(),
            amended: BTreeMap::new(),
            first_trade: 1,
            order_capacity: limits.orders as usize,
            id_capacity: limits.client_order_ids as usize,
            known: HashMap::new(),
            told: Vec::new(),
            seen: BTreeMap::new(),
            accepted: 0,
            trades: 0,
            now: 0,
            asking: 0,
        }
    }

    pub fn saw(&mut self, what: impl Into<String>) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    fn tell(&mut self, to: u32, reason: Reason, what: What) {
        match &what {
            What::Accepted { order, .. }
            | What::Fill { order, .. }
            | What::Canceled { order, .. }
            | What::Replaced { order, .. }
            | What::Triggered { order }
            | What::Restated { order, .. }
            | What::Amended { order, .. } => {
                self.last_reports.insert(order.number, order.clone());
            }
            _ => {}
        }
        self.told.push(Told {
            to,
            reason,
            answer: to != 0 && to == self.asking,
            what,
        });
    }

    /// All open orders in the order of their entry.
    pub fn open_orders(&self) -> Vec<&Order> {
        let mut orders: Vec<&Order> = self.books.iter().flat_map(Book::orders).collect();
        orders.sort_by_key(|order| order.number);
        orders
    }

    pub fn find(&self, number: u64) -> Option<&Order> {
        self.books
            .iter()
            .flat_map(Book::orders)
            .find(|order| order.number == number)
    }

    fn remove(&mut self, number: u64) -> Option<Order> {
        self.books.iter_mut().find_map(|book| book.remove(number))
    }

    fn book(&mut self, order: &Order) -> &mut Book {
        &mut self.books[order.instrument as usize - 1]
    }

    // Prices.

    /// The tick that holds for a price, of the table.
    fn on_tick(&self, instrument: &DefineInstrument, price: i64) -> bool {
        if (price - instrument.price_min.0) % instrument.tick as i64 != 0 {
            return false;
        }
        let Some(table) = self.tick_tables.get(&u32::from(instrument.tick_table)) else {
            return true;
        };
        let mut tick = table.steps[0].tick;
        for step in table.steps.iter().filter(|step| step.tick != 0) {
            if step.from.0 <= price {
                tick = step.tick;
            }
        }
        price % tick as i64 == 0
    }

    /// Within the limits and on tick.
    fn price(&self, instrument: &DefineInstrument, price: i64) -> Result<(), Reason> {
        if price < instrument.price_min.0 {
            Err(Reason::PriceBelowMinimum)
        } else if price > instrument.price_max.0 {
            Err(Reason::PriceAboveMaximum)
        } else if !self.on_tick(instrument, price) {
            Err(Reason::PriceNotOnTick)
        } else {
            Ok(())
        }
    }

    /// Prices that limits may have.
    fn static_band(&self, instrument: &DefineInstrument) -> (i64, i64) {
        match self.books[instrument.instrument.0 as usize - 1].reference {
            Some(reference) if instrument.static_band != 0 => {
                // It ends on a tick, as the reference and all prices are.
                let band = (instrument.static_band / instrument.tick * instrument.tick) as i64;
                (reference - band, reference + band)
            }
            _ => (i64::MIN, i64::MAX),
        }
    }

    /// Prices that the next order's trades may have.
    fn dynamic_band(&self, instrument: &DefineInstrument) -> (i64, i64) {
        let book = &self.books[instrument.instrument.0 as usize - 1];
        match book.center {
            Some(around) if instrument.dynamic_band != 0 => {
                let band = instrument.dynamic_band as i64;
                (around - band, around + band)
            }
            _ => (i64::MIN, i64::MAX),
        }
    }

    /// A limit that an order, a replace or a quote states.
    fn limit(&self, instrument: &DefineInstrument, price: i64) -> Result<(), Reason> {
        self.price(instrument, price)?;
        if within(self.static_band(instrument), price) {
            Ok(())
        } else {
            Err(Reason::PriceOutsideBand)
        }
    }

    fn protection(&self, instrument: &DefineInstrument, side: u8, best: i64) -> i64 {
        let reach = (instrument.protection_ticks * instrument.tick) as i64;
        let (low, high) = self.static_band(instrument);
        if side == BUY {
            (best + reach).min(instrument.price_max.0).min(high)
        } else {
            (best - reach).max(instrument.price_min.0).max(low)
        }
    }

    /// Which page an order's price is in, a waiting stop's stop price.
    fn page(&self, order: &Order) -> (u32, u8, bool, i64) {
        let instrument = &self.instruments[order.instrument as usize - 1];
        let waits = order.is_waiting();
        let price = if waits {
            order.terms.stop_price.0
        } else {
            order.price
        };
        // Those of sellers are counted from the highest price.
        let from = if order.side == BUY {
            price - instrument.price_min.0
        } else {
            instrument.price_max.0 - price
        };
        let level = from / instrument.tick as i64;
        (order.instrument, order.side, waits, level / 64)
    }

    /// Whether an order can rest at that price.
    fn has_level(&self, order: &Order) -> bool {
        let mut pages = BTreeSet::new();
        for book in &self.books {
            let with_levels = book.bids.iter().chain(&book.asks).chain(&book.waiting);
            pages.extend(with_levels.map(|one| self.page(one)));
        }
        pages.contains(&self.page(order)) || pages.len() < self.page_capacity
    }

    // Time.

    /// A command begins: first what is due.
    pub fn begin(&mut self, now: u64) {
        assert!(self.now <= now);
        self.told.clear();
        self.now = now;
        self.asking = 0;
        self.meet_deadlines();
    }

    fn deadlines(&self) -> Vec<(u64, u8, u64, u8)> {
        let mut all = Vec::new();
        for (id, session) in self.sessions.iter().enumerate() {
            all.extend(
                session
                    .cancel_disconnected_at
                    .map(|at| (at, 0, id as u64, 0)),
            );
            all.extend(session.cancel_after_at.map(|at| (at, 0, id as u64, 1)));
        }
        for (index, book) in self.books.iter().enumerate() {
            let id = index as u64 + 1;
            all.extend(book.indicative_at.map(|at| (at, 1, id, 0)));
            all.extend(book.until.map(|at| (at, 1, id, 1)));
        }
        for order in self.books.iter().flat_map(Book::orders) {
            if order.time_in_force == UNTIL_DATE {
                all.push((order.terms.expire_at.0, 2, order.number, 0));
            }
        }
        all.extend(self.untold_limits().map(|at| (at, 3, 0, 0)));
        all
    }

    /// When something is due next.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines().into_iter().min().map(|due| due.0)
    }

    fn meet_deadlines(&mut self) {
        while let Some((at, class, id, which)) = self.deadlines().into_iter().min()
            && at <= self.now
        {
            if at == self.now {
                self.saw("deadline at the very time of a command");
            } else {
                self.saw("deadline before a command");
            }
            match (class, which) {
                (0, 0) => {
                    self.saw("deadline: disconnect");
                    self.cancel_disconnected(id as u32);
                }
                (0, _) => {
                    self.sessions[id as usize].cancel_after_at = None;
                    self.saw("deadline: cancel after");
                    let why = Reason::CancelAfterElapsed;
                    self.cancel_all(why, 0, |order| u64::from(order.session) == id);
                }
                (1, 0) => self.publish(id as usize - 1),
                (1, _) => {
                    self.saw("deadline: interruption ends");
                    self.change_phase(id as usize - 1, CONTINUOUS, Reason::None, 0);
                }
                (3, _) => {
                    self.saw("deadline: limits stopped");
                    self.tell_stopped();
                }
                _ => {
                    let order = self.remove(id).expect("it is open");
                    let phase = self.book(&order).phase;
                    if phase != CONTINUOUS {
                        self.saw("expired outside continuous trading");
                    }
                    self.end(order, OrderStatus::Expired, Reason::ExpireTimeReached, 0);
                }
            }
            self.note_changes();
        }
    }

    /// A command is done.
    pub fn finish(&mut self) {
        assert!(self.entering.is_empty());
        self.note_changes();
    }

    fn cancel_all(&mut self, why: Reason, request: u64, which: impl Fn(&Order) -> bool) -> u64 {
        self.end_all(OrderStatus::Canceled, why, request, which)
    }

    fn end_all(
        &mut self,
        status: OrderStatus,
        why: Reason,
        request: u64,
        which: impl Fn(&Order) -> bool,
    ) -> u64 {
        let numbers: Vec<u64> = self
            .open_orders()
            .into_iter()
            .filter(|order| which(order))
            .map(|order| order.number)
            .collect();
        for number in &numbers {
            let order = self.remove(*number).expect("it is open");
            self.end(order, status, why, request);
        }
        numbers.len() as u64
    }

    /// An order that is in no book any more ends with what it has open.
    fn end(&mut self, order: Order, status: OrderStatus, why: Reason, request: u64) {
        if order.quote.is_none() {
            self.known
                .insert((order.session, order.client), Known::Ended(status));
        }
        let what = What::Canceled {
            order: order.state(status),
            request,
            lots: order.open(),
            entry: order.quote.map(|quote| quote.entry),
        };
        self.tell(order.session, why, what);
    }

    // Sessions.

    /// Whether the session may speak; otherwise the command changes nothing.
    pub fn admit(&mut self, session: u32, newest: bool) -> bool {
        self.asking = session;
        if self.sessions[session as usize].connected && newest {
            return true;
        }
        self.tell(session, Reason::StaleGeneration, What::Ignored(0));
        false
    }

    /// A session that nobody defined has no say.
    pub fn unknown_session(&mut self) {
        self.tell(0, Reason::UnknownSession, What::Ignored(0));
    }

    pub fn logon(&mut self, session: u32, logon: &SessionLogon) {
        self.asking = session;
        if self.sessions[session as usize].connected {
            self.tell(session, Reason::Superseded, What::Closed);
        }
        let state = &mut self.sessions[session as usize];
        state.connected = true;
        state.cancel_on_disconnect = logon.cancel_on_disconnect;
        state.grace_ms = logon.cancel_grace_ms;
        let kept = state.cancel_disconnected_at.take().is_some();
        if kept {
            self.saw("logon within the grace");
        }
        self.tell(session, Reason::None, What::LoggedOn);
    }

    /// The venue was away, before `begin`: who is waited for has so long from now on at least.
    pub fn was_away(&mut self, now: u64, least_ms: u16) {
        let until = now + u64::from(least_ms) * MILLISECOND;
        for session in &mut self.sessions {
            if let Some(at) = &mut session.cancel_disconnected_at {
                *at = until.max(*at);
            }
        }
    }

    pub fn is_waited_for(&self, session: u32) -> bool {
        self.sessions[session as usize]
            .cancel_disconnected_at
            .is_some()
    }

    /// `least_ms`: the grace that there is, whatever was asked for.
    pub fn disconnected(&mut self, session: u32, why: Reason, least_ms: u16) {
        let now = self.now;
        let state = &mut self.sessions[session as usize];
        state.connected = false;
        let bit = if why == Reason::LogoutRequested { 2 } else { 1 };
        state.orders_go = state.cancel_on_disconnect & bit != 0;
        state.logged_out = bit == 2;
        // Quotes wait with the orders, if those go, too.
        let asked = if state.orders_go { state.grace_ms } else { 0 };
        let grace = asked.max(least_ms.into());
        let at_once = grace == 0;
        state.cancel_disconnected_at = Some(now + u64::from(grace) * MILLISECOND);
        self.tell(session, why, What::Closed);
        if at_once {
            self.asking = 0;
            self.cancel_disconnected(session);
        }
    }

    fn cancel_disconnected(&mut self, session: u32) {
        let state = &mut self.sessions[session as usize];
        state.cancel_disconnected_at = None;
        let orders_go = state.orders_go;
        let why = if state.logged_out {
            Reason::CanceledOnLogout
        } else {
            Reason::CanceledOnDisconnect
        };
        self.cancel_all(why, 0, |order| {
            let goes = orders_go && !order.is(Instructions::DISCONNECT_EXEMPT);
            order.session == session && (order.quote.is_some() || goes)
        });
    }

    pub fn cancel_after(&mut self, session: u32, request: &CancelAfter) {
        let at = match request.after_ms {
            0 => None,
            after => Some(self.now + u64::from(after) * MILLISECOND),
        };
        self.sessions[session as usize].cancel_after_at = at;
        let what = What::CancelAfterSet(at.unwrap_or(0));
        self.tell(session, Reason::None, what);
    }

    pub fn day_roll(&mut self, trading_day: u32) {
        self.asking = 0;
        self.end_all(OrderStatus::Expired, Reason::EndOfDay, 0, |order| {
            [DAY, AT_THE_OPENING, AT_THE_CLOSE].contains(&order.time_in_force)
        });
        self.amended.clear();
        self.first_trade = self.trades + 1;
        self.roll_limits();
        self.known
            .retain(|_, known| matches!(known, Known::Open(_)));
        for id in 1..self.sessions.len() {
            let session = &mut self.sessions[id];
            if session.restarts && session.connected {
                session.connected = false;
                if session.cancel_on_disconnect & 1 != 0 {
                    session.orders_go = true;
                    session.logged_out = false;
                    let grace = session.grace_ms.max(DAY_ROLL_GRACE_MS);
                    let until = self.now + u64::from(grace) * MILLISECOND;
                    session.cancel_disconnected_at = Some(until);
                }
                self.tell(id as u32, Reason::EndOfDay, What::Closed);
            }
        }
        let carried: Vec<Order> = self.open_orders().into_iter().cloned().collect();
        for order in carried {
            let waits = order.is_waiting();
            let what = What::Restated {
                order: order.state(order.open_status()),
                reduced: 0,
                entry: None,
                shown: if waits { 0 } else { order.shown },
            };
            self.tell(order.session, Reason::CarriedOver, what);
        }
        self.tell(0, Reason::None, What::DayRolled(trading_day));
    }

    // Entering.

    pub fn enter(&mut self, session: u32, entry: &EnterOrder, terms: &OrderTerms) {
        let client = number_of(&entry.client_order_id);
        let used = self.known.contains_key(&(session, client));
        // Every order is a message, whatever is wrong with it.
        let rate = self.take_message(session);
        if entry.possible_resend == 1 && client != 0 && used {
            // No answer; metrics and logs are told.
            let why = Reason::DuplicateClientOrderId;
            self.tell(session, why, What::Ignored(0));
            return;
        }
        match self.check_entry(session, entry, terms, rate) {
            Ok(order) => self.accept(order),
            Err(reason) => {
                if client != 0 && !used && reason != Reason::ClientOrderIdCapacity {
                    self.known.insert((session, client), Known::Refused);
                }
                let what = What::Rejected {
                    client,
                    price: entry.price.0,
                    quantity: entry.quantity.0,
                    instrument: entry.instrument.0,
                    account: entry.account.0,
                    side: entry.side,
                    order_type: entry.order_type,
                    time_in_force: entry.time_in_force,
                    raw: false,
                };
                self.tell(session, reason, what);
            }
        }
    }

    /// What every new order must have first.
    fn check_new_id(&self, session: u32, client: u64) -> Result<(), Reason> {
        if client == 0 {
            Err(Reason::InvalidClientOrderId)
        } else if self.known.contains_key(&(session, client)) {
            Err(Reason::DuplicateClientOrderId)
        } else if self.known.len() >= self.id_capacity {
            Err(Reason::ClientOrderIdCapacity)
        } else {
            Ok(())
        }
    }

    /// An order that the edge cannot express.
    pub fn refuse_order(&mut self, session: u32, refused: &RefuseOrder) {
        let client = number_of(&refused.client_order_id);
        let used = self.known.contains_key(&(session, client));
        let rate = self.take_message(session);
        if refused.possible_resend == 1 && client != 0 && used {
            let why = Reason::DuplicateClientOrderId;
            self.tell(session, why, What::Ignored(0));
            return;
        }
        let edge = Reason::try_from(refused.reason).expect("a reason");
        let why = match self.check_new_id(session, client) {
            // The edge has looked at it; its own reason says more.
            Err(Reason::InvalidClientOrderId) => edge,
            Err(why) => why,
            Ok(()) => {
                self.known.insert((session, client), Known::Refused);
                rate.err().unwrap_or(edge)
            }
        };
        let what = What::Rejected {
            client,
            price: refused.price_e8,
            quantity: refused.quantity_e8.cast_unsigned(),
            instrument: refused.instrument.0,
            account: 0,
            side: refused.side,
            order_type: refused.order_type,
            time_in_force: refused.time_in_force,
            raw: true,
        };
        self.saw("the edge refused an order");
        self.tell(session, why, what);
    }

    /// A cancel or replace that the edge cannot express.
    pub fn refuse_request(&mut self, session: u32, refused: &RefuseRequest, means: Means) {
        let edge = Reason::try_from(refused.reason).expect("a reason");
        if refused.request == CommandKind::ReplaceOrder as u8 {
            // A message like any other, but the edge's reason is the answer.
            let _ = self.take_message(session);
        }
        let status = match self.target(session, means) {
            Ok(order) => order.open_status(),
            Err((_, status)) => status,
        };
        let what = What::Refused {
            client: number_of(&refused.client_order_id),
            original: means.original,
            request: refused.request,
            status: status as u8,
            tag: refused.ref_tag,
        };
        self.saw("the edge refused a request");
        self.tell(session, edge, what);
    }

    fn check_entry(
        &mut self,
        session: u32,
        entry: &EnterOrder,
        terms: &OrderTerms,
        rate: Result<(), Reason>,
    ) -> Result<Order, Reason> {
        let client = number_of(&entry.client_order_id);
        self.check_new_id(session, client)?;
        if self.is_blocked(session, entry.instrument.0) {
            return Err(Reason::TradingBlocked);
        }
        rate?;
        if !self.takes_account(session, entry.account.0) {
            return Err(Reason::UnknownAccount);
        }
        let at = (entry.instrument.0 as usize).wrapping_sub(1);
        let instrument = *self.instruments.get(at).ok_or(Reason::UnknownInstrument)?;
        let phase = self.books[at].phase;
        let collects = self.books[at].collects();
        if [CLOSED, HALTED].contains(&phase) {
            return Err(Reason::InstrumentNotTrading);
        }
        if Side::try_from(entry.side).is_err() {
            return Err(Reason::UnsupportedSide);
        }
        if OrderType::try_from(entry.order_type).is_err() {
            return Err(Reason::UnsupportedOrderType);
        }
        if TimeInForce::try_from(entry.time_in_force).is_err() {
            return Err(Reason::UnsupportedTimeInForce);
        }
        let immediate = [IMMEDIATE, ALL_OR_NOTHING].contains(&entry.time_in_force);
        let opens = entry.time_in_force == AT_THE_OPENING;
        let closes = entry.time_in_force == AT_THE_CLOSE;
        let in_an_auction = opens || closes;
        if in_an_auction && ![LIMIT, MARKET].contains(&entry.order_type) {
            return Err(Reason::UnsupportedTimeInForce);
        }
        if collects && (immediate || entry.order_type == MARKET_TO_LIMIT)
            || opens && ![PRE_OPEN, OPENING].contains(&phase)
        {
            return Err(Reason::NotAllowedInPhase);
        }
        lots(&instrument, entry.quantity.0)?;
        if entry.instructions & !Instructions::ALL.0 != 0 {
            return Err(Reason::UnsupportedInstruction);
        }
        if SelfTradePrevention::try_from(entry.self_trade_prevention).is_err() {
            return Err(Reason::UnsupportedSelfTradePrevention);
        }
        let rests = !immediate;
        let post_only = entry.instructions & Instructions::POST_ONLY.0 != 0;
        if post_only && (entry.order_type != LIMIT || !rests) {
            return Err(Reason::InstructionConflict);
        }
        if self.is_frozen(session, entry.protection_group) {
            return Err(Reason::ProtectionFrozen);
        }
        let is_stop = [STOP, STOP_LIMIT].contains(&entry.order_type);
        if is_stop && terms.stop_price == NO_PRICE {
            return Err(Reason::StopPriceMissing);
        }
        if !is_stop && terms.stop_price != NO_PRICE {
            return Err(Reason::StopPriceNotAllowed);
        }
        if is_stop && !rests {
            return Err(Reason::UnsupportedTimeInForce);
        }
        if terms.display.0 != 0 {
            let may = [LIMIT, STOP_LIMIT, MARKET_TO_LIMIT].contains(&entry.order_type) && rests;
            let fits = terms.display <= entry.quantity
                && entry.quantity.0 <= 100 * terms.display.0
                && terms
                    .display
                    .0
                    .is_multiple_of(instrument.quantity_increment.0);
            if !may || !fits {
                return Err(Reason::DisplayQuantityInvalid);
            }
        }
        if terms.minimum.0 != 0
            && (entry.time_in_force != IMMEDIATE || terms.minimum > entry.quantity)
        {
            return Err(Reason::MinimumQuantityInvalid);
        }
        if entry.time_in_force == UNTIL_DATE {
            if terms.expire_at.0 == 0 {
                return Err(Reason::ExpireTimeMissing);
            }
            if terms.expire_at.0 <= self.now {
                return Err(Reason::ExpireTimePast);
            }
        } else if terms.expire_at.0 != 0 {
            return Err(Reason::ExpireTimeNotAllowed);
        }
        if is_stop && self.price(&instrument, terms.stop_price.0).is_err() {
            return Err(Reason::StopPriceInvalid);
        }
        let best = self.books[at].best_opposite(entry.side);
        let limit = if [LIMIT, STOP_LIMIT].contains(&entry.order_type) {
            if entry.price == NO_PRICE {
                return Err(Reason::PriceMissing);
            }
            self.limit(&instrument, entry.price.0)?;
            entry.price.0
        } else {
            if entry.price != NO_PRICE {
                return Err(Reason::PriceNotAllowed);
            }
            if entry.order_type == MARKET && rests && !in_an_auction {
                return Err(Reason::MarketMustBeImmediate);
            }
            match entry.order_type {
                STOP => PRICE_OF_A_WAITING_STOP,
                MARKET if in_an_auction && entry.side == BUY => instrument.price_max.0,
                MARKET if in_an_auction => instrument.price_min.0,
                MARKET => {
                    self.protection(&instrument, entry.side, best.ok_or(Reason::NoLiquidity)?)
                }
                _ => best.ok_or(Reason::NoLiquidity)?,
            }
        };
        let mut order = Order {
            number: 0,
            session,
            firm: self.sessions[session as usize].firm,
            client,
            account: entry.account.0,
            instrument: entry.instrument.0,
            side: entry.side,
            order_type: entry.order_type,
            time_in_force: entry.time_in_force,
            instructions: entry.instructions,
            self_trade_prevention: entry.self_trade_prevention,
            price: limit,
            terms: *terms,
            quantity: entry.quantity.0,
            filled: 0,
            notional: 0,
            shown: 0,
            released: false,
            reached: false,
            group: entry.protection_group,
            quote: None,
        };
        let collared = match (entry.order_type, best) {
            (MARKET, Some(best)) if !in_an_auction => {
                order.price = self.up_to_collars(&order, limit);
                Collared::Best(best)
            }
            (LIMIT | MARKET_TO_LIMIT, _) => Collared::Limit,
            // An auction's price is what it is; a stop is asked when it is released.
            _ => Collared::Nothing,
        };
        self.within_limits(&order, collared, true)?;
        if self.open_orders().len() >= self.order_capacity {
            return Err(Reason::OrderCapacity);
        }
        let is_parked = closes && phase != CLOSING;
        let may_rest = rests && !is_parked;
        if may_rest && !self.has_level(&order) {
            return Err(Reason::PriceLevelCapacity);
        }
        if post_only
            && phase == CONTINUOUS
            && !is_parked
            && best.is_some_and(|best| order.reaches(best))
        {
            return Err(Reason::PostOnlyWouldTake);
        }
        Ok(order)
    }

    fn accept(&mut self, mut order: Order) {
        self.accepted += 1;
        order.number = self.accepted;
        self.known
            .insert((order.session, order.client), Known::Open(order.number));
        let what = What::Accepted {
            order: order.state(OrderStatus::New),
            terms: order.terms,
        };
        self.tell(order.session, Reason::None, what);
        self.remember(&order);
        let of_type = OrderType::try_from(order.order_type).expect("it was checked");
        let of_time = TimeInForce::try_from(order.time_in_force).expect("it was checked");
        self.saw(format!("entered: {of_type:?} {of_time:?}"));
        for (feature, is) in [
            ("post-only", order.is(Instructions::POST_ONLY)),
            ("exempt", order.is(Instructions::DISCONNECT_EXEMPT)),
            ("minimum", order.terms.minimum.0 != 0),
            ("display", order.display() != 0),
            ("in a protection group", order.group != 0),
            ("while orders are collected", self.book(&order).collects()),
        ] {
            if is {
                self.saw(format!("entered: {feature}"));
            }
        }
        let early = self.book(&order).phase != CLOSING;
        self.go(order, early);
    }

    /// An order that is new, or that lost its place: it waits, or trades and does what its
    /// remainder does; then the stops.
    fn go(&mut self, order: Order, parks: bool) {
        let at = order.instrument as usize - 1;
        let collects = self.books[at].collects();
        if order.time_in_force == AT_THE_CLOSE && parks {
            self.books[at].parked.push(order);
            return;
        }
        if order.is_waiting() {
            let reached = self.books[at].last.is_some_and(|last| {
                let stop = order.terms.stop_price.0;
                if order.side == BUY {
                    last >= stop
                } else {
                    last <= stop
                }
            });
            if collects && reached {
                self.saw("a reached stop waits while orders are collected");
            }
            if collects || !reached {
                self.books[at].waiting.push(order);
                return;
            }
            self.saw("stop released at once");
            self.release(order);
        } else if collects {
            self.rest(order);
            return;
        } else {
            self.work(order);
        }
        self.release_stops(at);
    }

    /// All stops that what traded releases, one after the other, while trading is continuous.
    fn release_stops(&mut self, at: usize) {
        let mut cascade = 0;
        while self.books[at].phase == CONTINUOUS
            && let Some(stop) = self.books[at].next_stop()
        {
            cascade += 1;
            self.release(stop);
        }
        if cascade > 1 && self.books[at].phase != CONTINUOUS {
            self.saw("a cascade was interrupted");
        }
        match cascade {
            0 => {}
            1 => self.saw("stop released by a trade"),
            2..=4 => self.saw("stops released in a cascade"),
            _ => self.saw("stops released in a long cascade"),
        }
    }

    fn release(&mut self, mut order: Order) {
        let instrument = self.instruments[order.instrument as usize - 1];
        order.released = true;
        let best = self.book(&order).best_opposite(order.side);
        if order.order_type == STOP
            && let Some(best) = best
        {
            let furthest = self.protection(&instrument, order.side, best);
            order.price = self.up_to_collars(&order, furthest);
        }
        let what = What::Triggered {
            order: order.state(order.open_status()),
        };
        self.tell(order.session, Reason::StopTriggered, what);
        if order.order_type == STOP && best.is_none() {
            self.saw("stop released into nothing");
            self.end(order, OrderStatus::Expired, Reason::NoLiquidity, 0);
            return;
        }
        if order.order_type == STOP_LIMIT && !within(self.static_band(&instrument), order.price) {
            self.end(order, OrderStatus::Canceled, Reason::PriceOutsideBand, 0);
            return;
        }
        // It may be more than it was while it waited, and limits may have changed.
        let collared = match best {
            Some(best) if order.order_type == STOP => Collared::Best(best),
            _ => Collared::Limit,
        };
        if let Err(why) = self.within_limits(&order, collared, false) {
            self.end(order, OrderStatus::Canceled, why, 0);
            return;
        }
        self.work(order);
    }

    fn rest(&mut self, mut order: Order) {
        order.shown = order.full_display();
        self.book(&order).rest(order);
    }

    // Matching.

    /// The order trades as far as it goes; its remainder rests or ends.
    fn work(&mut self, mut order: Order) {
        let at = order.instrument as usize - 1;
        let instrument = &self.instruments[at];
        let (dynamic, fixed) = (self.dynamic_band(instrument), self.static_band(instrument));
        let band = (dynamic.0.max(fixed.0), dynamic.1.min(fixed.1));
        let enough = self.enough(at, &order, band);
        if order.time_in_force == ALL_OR_NOTHING && enough < order.open() {
            self.end(order, OrderStatus::Expired, Reason::FillOrKillUnfilled, 0);
            return;
        }
        if enough < order.terms.minimum.0 {
            let why = Reason::MinimumQuantityUnavailable;
            self.end(order, OrderStatus::Expired, why, 0);
            return;
        }
        while order.open() > 0 {
            let opposite = 3 - order.side;
            let resting = match self.book(&order).side(opposite).first() {
                Some(resting) if order.reaches(resting.price) => resting.clone(),
                _ => break,
            };
            let own = order.may_not_meet(&resting);
            if own && !within(band, resting.price) {
                self.saw("an own order outside the band");
            }
            if !own && !within(band, resting.price) {
                if order.terms.minimum.0 != 0 {
                    self.saw("an order that had its minimum interrupts trading");
                }
                let why = Reason::VolatilityInterruption;
                self.end(order, OrderStatus::Canceled, why, 0);
                self.change_phase(
                    at,
                    VOLATILITY,
                    why,
                    u64::from(self.instruments[at].interruption_ms) * MILLISECOND,
                );
                return;
            }
            self.book(&order).side_mut(opposite).remove(0);
            if order.may_not_meet(&resting) {
                match self.prevent(order, resting) {
                    Some(goes_on) => order = goes_on,
                    None => return,
                }
            } else {
                let goes_on = self.trade(&mut order, resting);
                if !goes_on {
                    return;
                }
            }
        }
        if order.open() == 0 {
            return;
        }
        if order.time_in_force == ALL_OR_NOTHING {
            panic!("fill or kill, filled in part: {order:?}");
        }
        if [MARKET, STOP].contains(&order.order_type) {
            self.end(order, OrderStatus::Expired, Reason::MarketRemainder, 0);
        } else if [IMMEDIATE, ALL_OR_NOTHING].contains(&order.time_in_force) {
            let why = Reason::ImmediateOrCancelRemainder;
            self.end(order, OrderStatus::Expired, why, 0);
        } else if order.released && !self.has_level(&order) {
            let why = Reason::PriceLevelCapacity;
            self.end(order, OrderStatus::Canceled, why, 0);
        } else {
            self.rest(order);
        }
    }

    /// One trade with an order that was taken out of the book; it goes back if it may.
    /// Whether the incoming order is still there.
    fn trade(&mut self, order: &mut Order, mut resting: Order) -> bool {
        let lots = order.open().min(resting.shown);
        let price = resting.price;
        self.trades += 1;
        resting.shown -= lots;
        self.fill(&mut resting, price, lots, Liquidity::Added);
        self.fill(order, price, lots, Liquidity::Removed);
        let book = self.book(&resting);
        book.last = Some(price);
        book.center = Some(price);
        book.note_price(price);
        let filled = resting.clone();
        self.put_back(resting);
        self.count_fill(&filled, lots, order)
    }

    /// One side of the newest trade.
    fn fill(&mut self, one: &mut Order, price: i64, lots: u64, liquidity: Liquidity) {
        one.filled += lots;
        one.notional += i128::from(price) * i128::from(lots);
        let status = if one.open() == 0 {
            OrderStatus::Filled
        } else {
            OrderStatus::PartiallyFilled
        };
        if one.open() == 0 && one.quote.is_none() {
            self.known
                .insert((one.session, one.client), Known::Ended(status));
        }
        let what = What::Fill {
            order: one.state(status),
            trade: self.trades,
            price,
            lots,
            liquidity: liquidity as u8,
            entry: one.quote.map(|quote| quote.entry),
        };
        self.tell(one.session, Reason::None, what);
        self.book_fill(one, price, lots);
    }

    /// An order that was the first of its side and lost shown lots: still the first, or, when
    /// its next part is shown, the last of its price, or gone.
    fn put_back(&mut self, mut resting: Order) {
        if resting.open() == 0 {
            return;
        }
        if resting.shown > 0 {
            let side = resting.side;
            self.book(&resting).side_mut(side).insert(0, resting);
            return;
        }
        self.saw("iceberg showed its next part");
        resting.shown = resting.full_display();
        self.book(&resting).rest(resting);
    }

    /// The order met one of its own owner's, which was taken out of the book. The order comes
    /// back if it goes on.
    fn prevent(&mut self, mut order: Order, mut resting: Order) -> Option<Order> {
        let why = Reason::SelfTradePrevented;
        let mode = SelfTradePrevention::try_from(order.self_trade_prevention).expect("checked");
        self.saw(format!("self-trade: {mode:?}"));
        match mode {
            SelfTradePrevention::None => unreachable!("it may meet anyone"),
            SelfTradePrevention::CancelNewest | SelfTradePrevention::FirmCancelNewest => {
                let side = resting.side;
                self.book(&resting).side_mut(side).insert(0, resting);
                self.end(order, OrderStatus::Canceled, why, 0);
                None
            }
            SelfTradePrevention::CancelOldest | SelfTradePrevention::FirmCancelOldest => {
                self.end(resting, OrderStatus::Canceled, why, 0);
                Some(order)
            }
            SelfTradePrevention::CancelBoth | SelfTradePrevention::FirmCancelBoth => {
                self.end(resting, OrderStatus::Canceled, why, 0);
                self.end(order, OrderStatus::Canceled, why, 0);
                None
            }
            SelfTradePrevention::Decrement | SelfTradePrevention::FirmDecrement => {
                let lots = order.open().min(resting.shown);
                if resting.open() == lots {
                    self.end(resting, OrderStatus::Canceled, why, 0);
                } else {
                    resting.quantity -= lots;
                    resting.shown -= lots;
                    if resting.shown == 0 {
                        self.saw("self-trade: decremented iceberg showed its next part");
                    }
                    let what = What::Restated {
                        order: resting.state(resting.open_status()),
                        reduced: lots,
                        entry: resting.quote.map(|quote| quote.entry),
                        shown: if resting.shown == 0 {
                            resting.full_display()
                        } else {
                            resting.shown
                        },
                    };
                    self.tell(resting.session, why, what);
                    self.put_back(resting);
                }
                if order.open() == lots {
                    self.end(order, OrderStatus::Canceled, why, 0);
                    return None;
                }
                order.quantity -= lots;
                let what = What::Restated {
                    order: order.state(order.open_status()),
                    reduced: lots,
                    entry: order.quote.map(|quote| quote.entry),
                    shown: order.open(),
                };
                self.tell(order.session, why, what);
                Some(order)
            }
        }
    }

    // Requests.

    fn refused(&mut self, session: u32, ids: (u64, u64), request: CommandKind, why: Refusal) {
        self.refused_for(session, ids, request, why, 0);
    }

    fn refused_for(
        &mut self,
        session: u32,
        ids: (u64, u64),
        request: CommandKind,
        why: Refusal,
        tag: u16,
    ) {
        let (client, original) = ids;
        let what = What::Refused {
            client,
            original,
            request: request as u8,
            status: why.1 as u8,
            tag,
        };
        self.tell(session, why.0, what);
    }

    /// The open order that a request means.
    pub fn target(&self, session: u32, means: Means) -> Result<&Order, Refusal> {
        let unknown = (Reason::UnknownOrder, OrderStatus::Rejected);
        let named = self
            .find(means.number)
            .filter(|order| order.session == session && order.quote.is_none());
        if means.original == 0 {
            return named.ok_or(unknown);
        }
        match self.known.get(&(session, means.original)) {
            None | Some(Known::Refused) => Err(unknown),
            Some(Known::Ended(_))
                if (self.find(means.number)).is_some_and(|order| order.quote.is_none()) =>
            {
                Err((Reason::IdMismatch, OrderStatus::Rejected))
            }
            Some(Known::Ended(status)) => Err((Reason::TooLateToCancel, *status)),
            Some(Known::Open(number)) => {
                if means.number != 0 && means.number != *number {
                    return Err((Reason::IdMismatch, OrderStatus::Rejected));
                }
                Ok(self.find(*number).expect("it is open"))
            }
        }
    }

    pub fn cancel(&mut self, session: u32, request: &CancelOrder, means: Means) {
        let client = number_of(&request.client_order_id);
        if let Err(why) = self.canceled(session, request, means) {
            let ids = (client, means.original);
            self.refused(session, ids, CommandKind::CancelOrder, why);
        }
    }

    fn canceled(
        &mut self,
        session: u32,
        request: &CancelOrder,
        means: Means,
    ) -> Result<(), Refusal> {
        let client = number_of(&request.client_order_id);
        if client == 0 {
            return Err((Reason::InvalidClientOrderId, OrderStatus::Rejected));
        }
        let order = self.target(session, means)?;
        agrees(order, request.instrument.0, request.side)?;
        if self.books[order.instrument as usize - 1].phase == CLOSED {
            return Err((Reason::InstrumentNotTrading, order.open_status()));
        }
        let number = order.number;
        let order = self.remove(number).expect("it is open");
        let why = Reason::CanceledByRequest;
        self.end(order, OrderStatus::Canceled, why, client);
        Ok(())
    }

    pub fn replace(
        &mut self,
        session: u32,
        request: &ReplaceOrder,
        terms: &OrderTerms,
        means: Means,
    ) {
        let client = number_of(&request.client_order_id);
        let rate = self.take_message(session);
        match self.check_replace(session, request, terms, means, rate) {
            Ok(order) => self.do_replace(order, request, terms),
            Err(why) => {
                let ids = (client, means.original);
                let tag = match (why.0, self.target(session, means)) {
                    (Reason::ReplaceNotAllowed, Ok(order)) => other_than(order, request),
                    _ => 0,
                };
                if why.0 == Reason::ReplaceNotAllowed {
                    self.saw(format!("not to be replaced: {tag}"));
                }
                self.refused_for(session, ids, CommandKind::ReplaceOrder, why, tag);
            }
        }
    }

    fn check_replace(
        &self,
        session: u32,
        request: &ReplaceOrder,
        terms: &OrderTerms,
        means: Means,
        rate: Result<(), Reason>,
    ) -> Result<Order, Refusal> {
        let order = self.target(session, means)?;
        let status = order.open_status();
        let refused = |reason| (reason, status);
        let client = number_of(&request.client_order_id);
        if client == 0 {
            return Err(refused(Reason::InvalidClientOrderId));
        }
        if self.known.contains_key(&(session, client)) {
            return Err(refused(Reason::DuplicateClientOrderId));
        }
        if self.known.len() >= self.id_capacity {
            return Err(refused(Reason::ClientOrderIdCapacity));
        }
        agrees(order, request.instrument.0, request.side)?;
        if other_than(order, request) != 0 {
            return Err(refused(Reason::ReplaceNotAllowed));
        }
        let instrument = &self.instruments[order.instrument as usize - 1];
        let book = &self.books[order.instrument as usize - 1];
        if self.is_blocked(session, order.instrument) {
            return Err(refused(Reason::TradingBlocked));
        }
        rate.map_err(refused)?;
        if !self.takes_account(session, order.account) && !only_reduces(order, request, terms) {
            return Err(refused(Reason::UnknownAccount));
        }
        if [CLOSED, HALTED].contains(&book.phase) {
            return Err(refused(Reason::InstrumentNotTrading));
        }
        if self.is_frozen(session, order.group) {
            return Err(refused(Reason::ProtectionFrozen));
        }
        lots(instrument, request.quantity.0).map_err(refused)?;
        let states_limit = ![STOP, MARKET].contains(&order.order_type);
        let other_stop = terms.stop_price != NO_PRICE
            && !(order.is_waiting() && terms.stop_price == order.terms.stop_price);
        let same_price = !states_limit || request.price.0 == order.price;
        // What only becomes less is always allowed.
        let shrinks = same_price && request.quantity.0 <= order.quantity && !other_stop;
        if [STOP, MARKET].contains(&order.order_type) {
            if request.price != NO_PRICE {
                return Err(refused(Reason::PriceNotAllowed));
            }
        } else {
            if request.price == NO_PRICE {
                return Err(refused(Reason::PriceMissing));
            }
            if !shrinks {
                self.limit(instrument, request.price.0).map_err(refused)?;
            }
        }
        if terms.stop_price != NO_PRICE {
            if !order.is_waiting() {
                return Err(refused(Reason::StopPriceNotAllowed));
            }
            if self.price(instrument, terms.stop_price.0).is_err() {
                return Err(refused(Reason::StopPriceInvalid));
            }
        }
        // An order without any terms cannot get some.
        if order.terms == OrderTerms::NONE && *terms != OrderTerms::NONE {
            return Err(refused(Reason::ReplaceNotAllowed));
        }
        if terms.minimum.0 != 0 {
            return Err(refused(Reason::MinimumQuantityInvalid));
        }
        if terms.expire_at.0 != 0 {
            if order.time_in_force != UNTIL_DATE {
                return Err(refused(Reason::ExpireTimeNotAllowed));
            }
            if terms.expire_at.0 <= self.now {
                return Err(refused(Reason::ExpireTimePast));
            }
        }
        if terms.display.0 != 0 && order.display() == 0 {
            return Err(refused(Reason::ReplaceNotAllowed));
        }
        if terms.display.0 != 0
            && (terms.display > request.quantity
                || !terms
                    .display
                    .0
                    .is_multiple_of(instrument.quantity_increment.0))
        {
            return Err(refused(Reason::DisplayQuantityInvalid));
        }
        let display = match terms.display.0 {
            0 => order.display(),
            stated => stated,
        };
        if display != 0 && request.quantity.0 > 100 * display {
            return Err(refused(Reason::DisplayQuantityInvalid));
        }
        let mut moved = order.clone();
        if request.price != NO_PRICE {
            moved.price = request.price.0;
        }
        let best = book.best_opposite(order.side);
        if terms.stop_price != NO_PRICE {
            moved.terms.stop_price = terms.stop_price;
        }
        moved.quantity = request.quantity.0;
        if request.quantity.0 > order.filled && !shrinks {
            let collared = match states_limit && !moved.is_waiting() {
                true => Collared::Limit,
                false => Collared::Nothing,
            };
            self.within_limits(&moved, collared, false)
                .map_err(refused)?;
        }
        let is_aside = book.parked.iter().any(|one| one.number == order.number);
        if !is_aside && request.quantity.0 > order.filled && !self.has_level(&moved) {
            return Err(refused(Reason::PriceLevelCapacity));
        }
        let is_parked = book.parked.iter().any(|one| one.number == order.number);
        if order.is(Instructions::POST_ONLY)
            && book.phase == CONTINUOUS
            && !is_parked
            && request.quantity.0 > order.filled
            && best.is_some_and(|best| moved.reaches(best))
        {
            return Err(refused(Reason::PostOnlyWouldTake));
        }
        Ok(order.clone())
    }

    fn do_replace(&mut self, old: Order, request: &ReplaceOrder, terms: &OrderTerms) {
        let client = number_of(&request.client_order_id);
        if !self.takes_account(old.session, old.account) {
            self.saw("reduced: an order of an account that takes no new ones");
        }
        let mut new = old.clone();
        new.client = client;
        if ![STOP, MARKET].contains(&old.order_type) {
            new.price = request.price.0;
        }
        if terms.stop_price != NO_PRICE {
            new.terms.stop_price = terms.stop_price;
        }
        if terms.display != Quantity(0) {
            new.terms.display = terms.display;
        }
        if terms.expire_at != UtcNanos(0) {
            new.terms.expire_at = terms.expire_at;
        }
        // Nothing open is left of a total at or below what is filled.
        new.quantity = request.quantity.0.max(old.filled);
        let ended = new.open() == 0;
        let same_place = if old.is_waiting() {
            new.terms.stop_price == old.terms.stop_price
        } else {
            new.price == old.price
        };
        let kept = !ended
            && same_place
            && new.open() <= old.open()
            && new.terms.display <= old.terms.display;
        let gone = (old.session, old.client);
        self.known.insert(gone, Known::Ended(OrderStatus::Rejected));
        let (status, reason, known) = if ended {
            let filled = OrderStatus::Filled;
            (filled, Reason::ReplacedToFilled, Known::Ended(filled))
        } else {
            (new.open_status(), Reason::None, Known::Open(new.number))
        };
        self.known.insert((new.session, client), known);
        let what = What::Replaced {
            order: new.state(status),
            terms: new.terms,
            original: old.client,
            previous_price: old.price,
            previous_leaves: old.open(),
            kept,
        };
        self.tell(new.session, reason, what);
        let is_parked = (self.book(&old).parked.iter()).any(|one| one.number == old.number);
        let where_it_is = match (old.is_waiting(), old.display() != 0) {
            _ if is_parked => "a parked order",
            (true, _) => "a waiting stop",
            (false, true) => "an iceberg",
            (false, false) => "a resting order",
        };
        let how = match (ended, kept) {
            (true, _) => "to filled",
            (_, true) => "in place",
            _ => "to another place",
        };
        self.saw(format!("replaced: {where_it_is} {how}"));
        if request.stated != 0 {
            self.saw("replaced: with all that was stated as the order has it");
        }
        if kept {
            let at = old.instrument as usize - 1;
            let book = &mut self.books[at];
            // Hidden lots go first; a smaller display hides what it no longer shows.
            new.shown = old.shown.min(new.full_display());
            for orders in book.lists() {
                for order in orders.iter_mut().filter(|one| one.number == new.number) {
                    *order = new.clone();
                }
            }
            return;
        }
        self.remove(old.number);
        if ended {
            return;
        }
        // What came into the book in its auction stays in it; a stop begins to wait.
        new.reached = false;
        self.go(new, is_parked);
    }
}

/// The first field that a replace states other than the order has it and that cannot be replaced, by
/// its FIX tag; 0 = none.
fn other_than(order: &Order, request: &ReplaceOrder) -> u16 {
    let (states, has) = (request, order);
    let is_stated = |bit: u8| states.stated & bit != 0;
    let fields = [
        (
            40,
            states.order_type != 0,
            states.order_type == has.order_type,
        ),
        (
            59,
            states.time_in_force != NOT_STATED,
            states.time_in_force == has.time_in_force,
        ),
        (1, is_stated(1), states.account.0 == has.account),
        (18, is_stated(2), states.instructions == has.instructions),
        (
            2964,
            is_stated(4),
            states.self_trade_prevention == has.self_trade_prevention,
        ),
        (9019, is_stated(8), states.protection_group == has.group),
    ];
    let other = |(_, is_stated, is_same): &&(u16, bool, bool)| *is_stated && !is_same;
    fields.iter().find(other).map_or(0, |(tag, ..)| *tag)
}

/// Whether an order stays as it is, but for lots that go.
fn only_reduces(order: &Order, request: &ReplaceOrder, terms: &OrderTerms) -> bool {
    let states_limit = ![STOP, MARKET].contains(&order.order_type);
    let same_limit = !states_limit || request.price.0 == order.price;
    let same_stop = terms.stop_price == NO_PRICE
        || order.is_waiting() && terms.stop_price == order.terms.stop_price;
    same_limit
        && same_stop
        && request.quantity.0 <= order.quantity
        && terms.display <= order.terms.display
        && terms.expire_at <= order.terms.expire_at
}

/// What a request states must be its order's.
fn agrees(order: &Order, instrument: u32, side: u8) -> Result<(), Refusal> {
    if (instrument != 0 && instrument != order.instrument) || (side != 0 && side != order.side) {
        return Err((Reason::TermsMismatch, order.open_status()));
    }
    Ok(())
}
