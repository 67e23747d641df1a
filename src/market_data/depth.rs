//! A mirror of every book, built order by order from events: what `GET /book/{symbol}` shows.
//!
//! Lives on the history thread as an observer; a snapshot is taken under a lock by whoever asks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use trading_engine_protocol::types::{
    Decimal8, InstrumentId, Liquidity, OrderStatus, OrderType, QuoteStatus, Sequence, Side,
    TimeInForce, TradingPhase,
};

use crate::engine::command::{DefineInstrument, name_text};
use crate::engine::event::{
    self, EventBody, EventHeader, Fill, MassQuoteAnswered, OpenOrder, OrderState, QuoteResult,
};
use crate::journal::history::Observer;

#[derive(Clone, Copy)]
struct Resting {
    instrument: u32,
    side: u8,
    price: i64,
    /// Lots everyone may see.
    shown: u64,
    /// An iceberg's part that is shown at a time, `u64::MAX` = all.
    display: u64,
}

#[derive(Clone, Copy, Default)]
struct Level {
    lots: u64,
    orders: u64,
}

#[derive(Default)]
struct Book {
    /// By price; best bid is the last, best ask the first.
    bids: BTreeMap<i64, Level>,
    asks: BTreeMap<i64, Level>,
}

/// What a quote is called: session, protection group, instrument, layer, side.
type QuoteName = (u32, u16, u32, u16, u8);

/// All books.
#[derive(Default)]
pub struct Depth {
    orders: HashMap<u64, Resting>,
    /// Stops and at-the-close orders that wait, and what they will show at a time.
    waiting: HashMap<u64, u64>,
    /// Instruments in their closing auction.
    closing: HashSet<u32>,
    /// Order id of what is quoted, or was last: a mass quote's answer does not name what its new
    /// quotes replace.
    quotes: HashMap<QuoteName, u64>,
    books: HashMap<u32, Book>,
    instruments: BTreeMap<u32, DefineInstrument>,
    by_symbol: HashMap<String, u32>,
    sequence: u64,
}

fn shown_at_a_time(display: u64) -> u64 {
    if display == 0 { u64::MAX } else { display }
}

/// One side of a snapshot: price, quantity, orders, best first.
pub type Levels = Vec<(Decimal8, Decimal8, u64)>;

/// A book at one point of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookSnapshot {
    /// Symbol.
    pub symbol: String,
    /// Last command whose events are in.
    pub sequence: u64,
    /// Bids, highest first.
    pub bids: Levels,
    /// Asks, lowest first.
    pub asks: Levels,
}

impl Depth {
    /// Begins with the books of a core that was restored, as if all its events had been seen.
    pub fn begin_with(
        &mut self,
        sequence: Sequence,
        instruments: impl IntoIterator<Item = (DefineInstrument, TradingPhase)>,
        orders: &[OpenOrder],
    ) {
        self.sequence = sequence.0;
        for (definition, phase) in instruments {
            self.define(&definition);
            if phase == TradingPhase::ClosingAuction {
                self.closing.insert(definition.instrument.0);
            }
        }
        for order in orders {
            let id = order.state.order_id.0;
            let display = order.display.unwrap_or(u64::MAX);
            if let Some(layer) = order.layer {
                let state = &order.state;
                let (group, side) = (state.protection_group, state.side);
                let name = (order.session.0, group, state.instrument.0, layer, side);
                self.quotes.insert(name, id);
            }
            if order.waits {
                self.waiting.insert(id, display);
            } else {
                self.set(&order.state, order.shown, display);
            }
        }
    }

    fn define(&mut self, definition: &DefineInstrument) {
        let symbol = name_text(&definition.symbol).to_owned();
        self.by_symbol.insert(symbol, definition.instrument.0);
        self.instruments
            .insert(definition.instrument.0, *definition);
    }

    /// Takes one event into account.
    pub fn apply(&mut self, header: &EventHeader, body: &EventBody<'_>) {
        self.sequence = self.sequence.max(header.sequence.0);
        match body {
            EventBody::InstrumentDefined(defined) => self.define(&defined.definition),
            EventBody::OrderAccepted(accepted) => self.accept(&accepted.order, u64::MAX),
            EventBody::OrderAcceptedWithTerms(accepted) => {
                let display = shown_at_a_time(accepted.terms.display.0);
                self.accept(&accepted.order, display);
            }
            EventBody::PhaseChanged(changed) => {
                if changed.phase == TradingPhase::ClosingAuction.as_u8() {
                    self.closing.insert(changed.instrument.0);
                } else {
                    self.closing.remove(&changed.instrument.0);
                }
            }
            EventBody::OrderTriggered(triggered) => {
                let id = triggered.order.order_id.0;
                let display = self.waiting.remove(&id).unwrap_or(u64::MAX);
                self.set(&triggered.order, u64::MAX, display);
            }
            EventBody::OrderReplaced(replaced) => {
                if !self.waiting.contains_key(&replaced.order.order_id.0) {
                    self.set(&replaced.order, u64::MAX, u64::MAX);
                }
            }
            EventBody::OrderReplacedWithTerms(event) => {
                let order = &event.replaced.order;
                let display = shown_at_a_time(event.terms.display.0);
                if let Some(waiting) = self.waiting.get_mut(&order.order_id.0) {
                    *waiting = display;
                    return;
                }
                let shown = match self.orders.get(&order.order_id.0) {
                    Some(known) if event.replaced.priority_kept == 1 => known.shown,
                    _ => u64::MAX,
                };
                self.set(order, shown, display);
            }
            EventBody::OrderRestated(restated) => {
                let id = restated.order.order_id.0;
                if let Some(display) = self.orders.get(&id).map(|known| known.display) {
                    self.set(&restated.order, restated.shown.0, display);
                }
            }
            EventBody::OrderCanceled(canceled) => {
                self.waiting.remove(&canceled.order.order_id.0);
                self.remove(canceled.order.order_id.0);
            }
            EventBody::Fill(fill) => self.fill(fill),
            EventBody::QuoteFill(quote) => self.fill(&quote.fill),
            EventBody::QuoteCanceled(quote) => self.remove(quote.canceled.order.order_id.0),
            EventBody::MassQuoteAnswered(answer) => self.quote(header, answer),
            // Every quote ended with the day.
            EventBody::DayRolled(_) => self.quotes.clear(),
            EventBody::FirmDefined(_)
            | EventBody::SessionDefined(_)
            | EventBody::DefinitionRefused(_)
            | EventBody::LogonAnswered(_)
            | EventBody::SessionClosed(_)
            | EventBody::AdminMessage(_)
            | EventBody::BusinessRejected(_)
            | EventBody::CommandRefused(_)
            | EventBody::OrderRejected(_)
            | EventBody::RequestRejected(_)
            | EventBody::MassCancelDone(_)
            | EventBody::CancelAfterSet(_)
            | EventBody::TickTableDefined(_)
            | EventBody::ReferenceSet(_)
            | EventBody::AuditNoted(_)
            | EventBody::LimitsSet(_)
            | EventBody::AuctionIndicative(_)
            | EventBody::AuctionUncrossed(_)
            | EventBody::KillSwitchDone(_)
            | EventBody::TradeAmended(_)
            | EventBody::QuoteCancelDone(_)
            | EventBody::ProtectionSet(_)
            | EventBody::ProtectionTripped(_)
            | EventBody::OrderStatusReport(_) => {}
        }
    }

    /// A new order: a stop is not in the book before it is triggered, an at-the-close order not
    /// before its auction.
    fn accept(&mut self, order: &OrderState, display: u64) {
        let is_stop = OrderType::try_from(order.order_type).is_ok_and(OrderType::is_stop);
        let is_early = order.time_in_force == TimeInForce::AtTheClose.as_u8()
            && !self.closing.contains(&order.instrument.0);
        if is_stop || is_early {
            self.waiting.insert(order.order_id.0, display);
        } else {
            self.set(order, u64::MAX, display);
        }
    }

    fn fill(&mut self, fill: &Fill) {
        let known = self.orders.get(&fill.order.order_id.0);
        let (mut shown, mut display) = (u64::MAX, u64::MAX);
        if let Some(known) = known.filter(|known| known.display != u64::MAX) {
            display = known.display;
            // The next part of what rested is shown when this one is gone; a taker's first part
            // is what it comes to rest with.
            if fill.liquidity != Liquidity::Removed.as_u8() {
                shown = known.shown.saturating_sub(fill.last_quantity.0);
                if shown == 0 {
                    shown = u64::MAX;
                }
            }
        }
        self.set(&fill.order, shown, display);
    }

    /// What a mass quote did to the book before its new quotes trade.
    fn quote(&mut self, header: &EventHeader, answer: &MassQuoteAnswered) {
        let group = answer.head.protection_group;
        for result in &answer.results {
            for side in [Side::Buy, Side::Sell] {
                let (id, layer) = (result.instrument.0, result.layer);
                let name = (header.session.0, group, id, layer, side.as_u8());
                self.quote_side(name, result, side);
            }
        }
    }

    fn quote_side(&mut self, name: QuoteName, result: &QuoteResult, side: Side) {
        let r = result;
        let (status, order, price, lots) = match side {
            Side::Buy => (r.bid_status, r.bid_order, r.bid_price, r.bid_quantity),
            Side::Sell => (r.ask_status, r.ask_order, r.ask_price, r.ask_quantity),
        };
        let Ok(status) = QuoteStatus::try_from(status) else {
            return;
        };
        match status {
            QuoteStatus::Entered => {
                if let Some(before) = self.quotes.insert(name, order.0) {
                    self.remove(before);
                }
                self.insert(order.0, r.instrument.0, side, price.0, lots.0);
            }
            QuoteStatus::Kept => self.insert(order.0, r.instrument.0, side, price.0, lots.0),
            QuoteStatus::Removed => self.remove(order.0),
            QuoteStatus::NotStated | QuoteStatus::Refused | QuoteStatus::Absent => {}
        }
    }

    fn insert(&mut self, order_id: u64, instrument: u32, side: Side, price: i64, lots: u64) {
        let resting = Resting {
            instrument,
            side: side.as_u8(),
            price,
            shown: lots,
            display: u64::MAX,
        };
        self.put(order_id, resting);
    }

    /// An order as it is now, of which at most `shown` and at most `display` lots are seen. One
    /// that was just accepted may still trade or end within the same command; what it is at the
    /// end of it is what was said last.
    fn set(&mut self, order: &OrderState, shown: u64, display: u64) {
        let open = OrderStatus::try_from(order.status).is_ok_and(|status| !status.is_terminal());
        if open && order.leaves.0 > 0 {
            let resting = Resting {
                instrument: order.instrument.0,
                side: order.side,
                price: order.price.0,
                shown: order.leaves.0.min(shown).min(display),
                display,
            };
            self.put(order.order_id.0, resting);
        } else {
            self.remove(order.order_id.0);
        }
    }

    /// Whatever the order was before, this is what it is now.
    fn put(&mut self, order_id: u64, resting: Resting) {
        self.remove(order_id);
        self.orders.insert(order_id, resting);
        let level = self.levels(resting).entry(resting.price).or_default();
        level.lots += resting.shown;
        level.orders += 1;
    }

    fn remove(&mut self, order_id: u64) {
        let Some(resting) = self.orders.remove(&order_id) else {
            return;
        };
        let levels = self.levels(resting);
        if let Some(level) = levels.get_mut(&resting.price) {
            level.lots -= resting.shown;
            level.orders -= 1;
            if level.orders == 0 {
                levels.remove(&resting.price);
            }
        }
    }

    fn levels(&mut self, resting: Resting) -> &mut BTreeMap<i64, Level> {
        let book = self.books.entry(resting.instrument).or_default();
        if resting.side == Side::Buy.as_u8() {
            &mut book.bids
        } else {
            &mut book.asks
        }
    }

    /// At most `levels` levels a side.
    pub fn snapshot(&self, symbol: &str, levels: usize) -> Option<BookSnapshot> {
        let id = *self.by_symbol.get(symbol)?;
        let definition = self.instruments.get(&id)?;
        let show = |(price, level): (&i64, &Level)| {
            let lots = i64::try_from(level.lots).unwrap_or(i64::MAX);
            (
                Decimal8(price.saturating_mul(definition.price_unit_e8)),
                Decimal8(lots.saturating_mul(definition.lot_size_e8)),
                level.orders,
            )
        };
        let book = self.books.get(&id);
        Some(BookSnapshot {
            symbol: symbol.to_owned(),
            sequence: self.sequence,
            bids: book.map_or_else(Vec::new, |b| {
                b.bids.iter().rev().take(levels).map(show).collect()
            }),
            asks: book.map_or_else(Vec::new, |b| b.asks.iter().take(levels).map(show).collect()),
        })
    }

    /// Price, lots and orders of each level of a side, best first, in the units of events.
    pub fn levels_of(&self, instrument: InstrumentId, side: Side) -> Vec<(i64, u64, u64)> {
        let Some(book) = self.books.get(&instrument.0) else {
            return Vec::new();
        };
        let level = |(price, level): (&i64, &Level)| (*price, level.lots, level.orders);
        match side {
            Side::Buy => book.bids.iter().rev().map(level).collect(),
            Side::Sell => book.asks.iter().map(level).collect(),
        }
    }

    /// Ids and symbols.
    pub fn instruments(&self) -> Vec<(InstrumentId, String)> {
        let all = self.instruments.values();
        all.map(|d| (d.instrument, name_text(&d.symbol).to_owned()))
            .collect()
    }
}

/// Shares the books with whoever asks.
#[derive(Clone, Default)]
pub struct SharedDepth(Arc<Mutex<Depth>>);

impl SharedDepth {
    /// Reads or changes the books.
    pub fn with<T>(&self, work: impl FnOnce(&mut Depth) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for SharedDepth {
    fn event(&mut self, header: &EventHeader, bytes: &[u8]) {
        if let Ok((_, body)) = event::read(bytes) {
            self.with(|depth| depth.apply(header, &body));
        }
    }
}
