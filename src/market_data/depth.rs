//! A mirror of every book, built order by order from events. Private to the market-data agent;
//! what others see of it is published by the agent.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;
use trading_engine_protocol::types::{
    InstrumentId, Liquidity, OrderStatus, OrderType, QuoteStatus, Sequence, Side, TimeInForce,
    TradingPhase,
};

use super::levels::Levels;
use crate::engine::command::DefineInstrument;
use crate::engine::event::{
    EventBody, EventHeader, Fill, MassQuoteAnswered, OpenOrder, OrderState, QuoteRestated,
    QuoteResult,
};
use crate::limits::ORDER_SLOT_BITS;

/// What the mirror knows of an order.
#[derive(Clone, Copy, Default)]
struct Resting {
    /// Whole order id, 0 = nobody's place.
    order: u64,
    price: i64,
    /// Lots everyone may see.
    shown: u64,
    /// An iceberg's part that is shown at a time, `u64::MAX` = all.
    display: u64,
    instrument: u32,
    /// Of a quote: whose it is, 0 = it is no quote.
    session: u32,
    /// Of a quote: its protection group and layer.
    group: u16,
    layer: u16,
    side: u8,
    /// A stop, or for the closing auction: not in the book yet.
    waits: bool,
}

const _: () = assert!(size_of::<Resting>() <= 48);

impl Resting {
    /// What a quote is called.
    fn name(&self) -> Option<QuoteName> {
        let name = (
            self.session,
            self.group,
            self.instrument,
            self.layer,
            self.side,
        );
        (self.session != 0).then_some(name)
    }
}

/// Orders in a chunk.
const CHUNK: usize = 1 << 12;

/// Orders by the slot in their id, which the core gives to one order at a time: what is found in a
/// slot under another id has ended.
#[derive(Default)]
struct Orders {
    chunks: Vec<Box<[Resting]>>,
}

impl Orders {
    #[inline]
    fn place(order: u64) -> (usize, usize) {
        #[allow(clippy::cast_possible_truncation, reason = "masked to 24 bits")]
        let slot = (order & ((1 << ORDER_SLOT_BITS) - 1)) as usize;
        (slot / CHUNK, slot % CHUNK)
    }

    #[inline]
    fn find(&self, order: u64) -> Option<&Resting> {
        let (chunk, within) = Self::place(order);
        let found = self.chunks.get(chunk)?.get(within)?;
        (found.order == order && order != 0).then_some(found)
    }

    #[inline]
    fn find_mut(&mut self, order: u64) -> Option<&mut Resting> {
        let (chunk, within) = Self::place(order);
        let found = self.chunks.get_mut(chunk)?.get_mut(within)?;
        (found.order == order && order != 0).then_some(found)
    }

    /// The order's place, whoever is in it.
    #[inline]
    fn at(&mut self, order: u64) -> &mut Resting {
        let (chunk, within) = Self::place(order);
        while self.chunks.len() <= chunk {
            self.chunks.push(vec![Resting::default(); CHUNK].into());
        }
        &mut self.chunks[chunk][within]
    }
}

/// Both sides of an instrument.
pub(super) struct Book {
    pub bids: Levels,
    pub asks: Levels,
    /// In its closing auction.
    closing: bool,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            bids: Levels::new(Side::Buy),
            asks: Levels::new(Side::Sell),
            closing: false,
        }
    }
}

/// What a quote is called: session, protection group, instrument, layer, side.
type QuoteName = (u32, u16, u32, u16, u8);

/// All books.
#[derive(Default)]
pub struct Depth {
    orders: Orders,
    /// Order id of what is quoted: a mass quote's answer does not name what its new quotes replace. A name
    /// goes with its order, so there are no more of them than open quotes.
    quotes: HashMap<QuoteName, u64, RandomState>,
    /// By instrument id.
    books: Vec<Book>,
    changes: Changes,
}

/// Which instruments changed, and how often: one change for each command.
#[derive(Default)]
pub(super) struct Changes {
    /// The command at work.
    pub sequence: u64,
    /// And its time.
    pub at: u64,
    of: Vec<Change>,
    /// Instruments with `waits`.
    changed: Vec<u32>,
}

/// See [`Changes`].
#[derive(Clone, Copy, Default)]
pub(super) struct Change {
    /// Changes so far.
    pub number: u64,
    /// The last command that changed it, and its time.
    pub sequence: u64,
    pub at: u64,
    /// It is named in `changed`.
    waits: bool,
}

impl Changes {
    /// Something of an instrument is another now.
    #[inline]
    pub fn touch(&mut self, instrument: u32) {
        let id = instrument as usize;
        if id >= self.of.len() {
            self.of.resize(id + 1, Change::default());
        }
        let change = &mut self.of[id];
        if change.sequence != self.sequence {
            change.sequence = self.sequence;
            change.at = self.at;
            change.number += 1;
        }
        if !change.waits {
            change.waits = true;
            self.changed.push(instrument);
        }
    }

    pub fn of(&self, instrument: u32) -> Change {
        let found = self.of.get(instrument as usize);
        found.copied().unwrap_or_default()
    }

    /// Hands over what changed since the last call.
    pub fn drain(&mut self, mut each: impl FnMut(u32, Change)) {
        for id in self.changed.drain(..) {
            let change = &mut self.of[id as usize];
            change.waits = false;
            each(id, *change);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }
}

/// Ids are at most 16 bits long.
fn is_instrument(id: u32) -> bool {
    id != 0 && u16::try_from(id).is_ok()
}

fn shown_at_a_time(display: u64) -> u64 {
    if display == 0 { u64::MAX } else { display }
}

impl Depth {
    /// Begins with the books of a core that was restored, as if all its events had been seen.
    pub fn begin_with(
        &mut self,
        sequence: Sequence,
        instruments: impl IntoIterator<Item = (DefineInstrument, TradingPhase)>,
        orders: &[OpenOrder],
    ) {
        self.changes.sequence = sequence.0;
        for (definition, phase) in instruments {
            self.define(&definition);
            if let Some(book) = self.book_mut(definition.instrument.0) {
                book.closing = phase == TradingPhase::ClosingAuction;
            }
        }
        for order in orders {
            let id = order.state.order_id.0;
            let display = order.display.unwrap_or(u64::MAX);
            if order.waits {
                self.wait(id, display);
            } else {
                self.set(&order.state, order.shown, display);
            }
            if let Some(layer) = order.layer
                && let Some(quote) = self.orders.find_mut(id)
            {
                quote.session = order.session.0;
                quote.group = order.state.protection_group;
                quote.layer = layer;
                if let Some(name) = quote.name() {
                    self.quotes.insert(name, id);
                }
            }
        }
    }

    fn define(&mut self, definition: &DefineInstrument) {
        if let Some(book) = self.book_mut(definition.instrument.0) {
            book.bids.set_ticks(definition.price_min.0, definition.tick);
            book.asks.set_ticks(definition.price_min.0, definition.tick);
        }
    }

    fn book_mut(&mut self, instrument: u32) -> Option<&mut Book> {
        if !is_instrument(instrument) {
            return None;
        }
        let id = instrument as usize;
        if id >= self.books.len() {
            self.books.resize_with(id + 1, Book::default);
        }
        Some(&mut self.books[id])
    }

    pub(super) fn book(&self, instrument: u32) -> Option<&Book> {
        self.books.get(instrument as usize)
    }

    pub(super) fn changes(&mut self) -> &mut Changes {
        &mut self.changes
    }

    pub(super) fn changes_and_books(&mut self) -> (&mut Changes, &[Book]) {
        (&mut self.changes, &self.books)
    }

    /// What changes from now on, this command does.
    pub(super) fn begin(&mut self, header: &EventHeader) {
        self.changes.sequence = header.sequence.0;
        self.changes.at = header.sequenced_at.0;
    }

    /// Takes one event into account.
    pub fn apply(&mut self, header: &EventHeader, body: &EventBody<'_>) {
        self.begin(header);
        match body {
            EventBody::InstrumentDefined(defined) => self.define(&defined.definition),
            EventBody::OrderAccepted(accepted) => self.accept(&accepted.order, u64::MAX),
            EventBody::OrderAcceptedWithTerms(accepted) => {
                let display = shown_at_a_time(accepted.terms.display.0);
                self.accept(&accepted.order, display);
            }
            EventBody::PhaseChanged(changed) => {
                if let Some(book) = self.book_mut(changed.instrument.0) {
                    book.closing = changed.phase == TradingPhase::ClosingAuction.as_u8();
                }
            }
            EventBody::OrderTriggered(triggered) => {
                let known = self.orders.find(triggered.order.order_id.0);
                let display = known.map_or(u64::MAX, |known| known.display);
                self.set(&triggered.order, u64::MAX, display);
            }
            EventBody::OrderReplaced(replaced) => {
                let known = self.orders.find(replaced.order.order_id.0);
                if !known.is_some_and(|known| known.waits) {
                    self.set(&replaced.order, u64::MAX, u64::MAX);
                }
            }
            EventBody::OrderReplacedWithTerms(event) => {
                let order = &event.replaced.order;
                let display = shown_at_a_time(event.terms.display.0);
                let known = self.orders.find_mut(order.order_id.0);
                let shown = match known {
                    Some(known) if known.waits => {
                        known.display = display;
                        return;
                    }
                    Some(known) if event.replaced.priority_kept == 1 => known.shown,
                    _ => u64::MAX,
                };
                self.set(order, shown, display);
            }
            &EventBody::OrderRestated(restated)
            | &EventBody::QuoteRestated(QuoteRestated { restated, .. }) => {
                let known = self.orders.find(restated.order.order_id.0);
                if let Some(known) = known.filter(|known| !known.waits) {
                    let display = known.display;
                    self.set(&restated.order, restated.shown.0, display);
                }
            }
            EventBody::OrderCanceled(canceled) => self.remove(canceled.order.order_id.0),
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
            | EventBody::CapacitiesSet(_)
            | EventBody::AuditNoted(_)
            | EventBody::LimitsSet(_)
            | EventBody::AccountSet(_)
            | EventBody::AuctionIndicative(_)
            | EventBody::AuctionUncrossed(_)
            | EventBody::KillSwitchDone(_)
            | EventBody::TradeAmended(_)
            | EventBody::QuoteCancelDone(_)
            | EventBody::ProtectionSet(_)
            | EventBody::ProtectionTripped(_)
            | EventBody::OrderStatusReport(_)
            | EventBody::QuoteStatusAnswered(_) => {}
        }
    }

    /// A new order: a stop is not in the book before it is triggered, an at-the-close order not
    /// before its auction.
    fn accept(&mut self, order: &OrderState, display: u64) {
        let is_stop = OrderType::try_from(order.order_type).is_ok_and(OrderType::is_stop);
        let is_early = order.time_in_force == TimeInForce::AtTheClose.as_u8()
            && !self
                .book(order.instrument.0)
                .is_some_and(|book| book.closing);
        if is_stop || is_early {
            self.wait(order.order_id.0, display);
        } else {
            self.set(order, u64::MAX, display);
        }
    }

    fn wait(&mut self, order: u64, display: u64) {
        self.clear(order);
        *self.orders.at(order) = Resting {
            order,
            display,
            waits: true,
            ..Resting::default()
        };
    }

    fn fill(&mut self, fill: &Fill) {
        let known = self.orders.find(fill.order.order_id.0);
        let (mut shown, mut display) = (u64::MAX, u64::MAX);
        if let Some(known) = known.filter(|known| !known.waits && known.display != u64::MAX) {
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
        let (session, group) = (header.session.0, answer.head.protection_group);
        for result in &answer.results {
            for side in [Side::Buy, Side::Sell] {
                self.quote_side(session, group, result, side);
            }
        }
    }

    fn quote_side(&mut self, session: u32, group: u16, r: &QuoteResult, side: Side) {
        let (status, order, price, lots) = match side {
            Side::Buy => (r.bid_status, r.bid_order, r.bid_price, r.bid_quantity),
            Side::Sell => (r.ask_status, r.ask_order, r.ask_price, r.ask_quantity),
        };
        let Ok(status) = QuoteStatus::try_from(status) else {
            return;
        };
        let quoted = Resting {
            order: order.0,
            price: price.0,
            shown: lots.0,
            display: u64::MAX,
            instrument: r.instrument.0,
            session,
            group,
            layer: r.layer,
            side: side.as_u8(),
            waits: false,
        };
        match status {
            QuoteStatus::Entered => {
                if let Some(name) = quoted.name()
                    && let Some(before) = self.quotes.insert(name, order.0)
                {
                    self.remove(before);
                }
                self.put(quoted);
            }
            QuoteStatus::Kept => self.put(quoted),
            QuoteStatus::Removed => self.remove(order.0),
            QuoteStatus::NotStated | QuoteStatus::Refused | QuoteStatus::Absent => {}
        }
    }

    /// An order as it is now, of which at most `shown` and at most `display` lots are seen. One
    /// that was just accepted may still trade or end within the same command; what it is at the
    /// end of it is what was said last.
    #[inline]
    fn set(&mut self, order: &OrderState, shown: u64, display: u64) {
        let open = OrderStatus::try_from(order.status).is_ok_and(|status| !status.is_terminal());
        if open && order.leaves.0 > 0 {
            self.put(Resting {
                order: order.order_id.0,
                price: order.price.0,
                shown: order.leaves.0.min(shown).min(display),
                display,
                instrument: order.instrument.0,
                side: order.side,
                ..Resting::default()
            });
        } else {
            self.remove(order.order_id.0);
        }
    }

    /// Whatever the order was before, this is what it is now. A quote keeps its name.
    #[inline]
    fn put(&mut self, mut new: Resting) {
        let place = self.orders.at(new.order);
        let old = *place;
        if old.order == new.order && new.session == 0 {
            (new.session, new.group, new.layer) = (old.session, old.group, old.layer);
        }
        *place = new;
        if old.order != new.order {
            self.forget(&old);
        }
        if old.order != 0 && !old.waits {
            let stays = old.order == new.order
                && old.price == new.price
                && old.side == new.side
                && old.instrument == new.instrument;
            if stays {
                if old.shown != new.shown {
                    self.changes.touch(new.instrument);
                    let levels = self.levels(&new);
                    levels.add(new.price, new.shown, 1);
                    levels.take(new.price, old.shown, 1);
                }
                return;
            }
            self.changes.touch(old.instrument);
            self.levels(&old).take(old.price, old.shown, 1);
        }
        if is_instrument(new.instrument) {
            self.changes.touch(new.instrument);
            self.levels(&new).add(new.price, new.shown, 1);
        } else {
            // Nobody's: no event names it.
            self.forget(&new);
            *self.orders.at(new.order) = Resting::default();
        }
    }

    #[inline]
    fn remove(&mut self, order: u64) {
        if self.orders.find(order).is_some() {
            self.clear(order);
        }
    }

    /// What ended is called nothing any more, unless the name is another's by now.
    fn forget(&mut self, ended: &Resting) {
        if let Some(name) = ended.name()
            && let Entry::Occupied(entry) = self.quotes.entry(name)
            && *entry.get() == ended.order
        {
            entry.remove();
        }
    }

    /// Empties an order's place, whoever is in it.
    fn clear(&mut self, order: u64) {
        let old = std::mem::take(self.orders.at(order));
        self.forget(&old);
        if old.order != 0 && !old.waits {
            self.changes.touch(old.instrument);
            self.levels(&old).take(old.price, old.shown, 1);
        }
    }

    #[inline]
    fn levels(&mut self, resting: &Resting) -> &mut Levels {
        let id = resting.instrument as usize;
        if id >= self.books.len() {
            self.books.resize_with(id + 1, Book::default);
        }
        let book = &mut self.books[id];
        if resting.side == Side::Buy.as_u8() {
            &mut book.bids
        } else {
            &mut book.asks
        }
    }

    /// Quotes whose names are remembered: those that are open.
    pub fn quotes(&self) -> usize {
        self.quotes.len()
    }

    /// Price, lots and orders of each level of a side, best first, in the units of events.
    pub fn levels_of(&self, instrument: InstrumentId, side: Side) -> Vec<(i64, u64, u64)> {
        let Some(book) = self.book(instrument.0) else {
            return Vec::new();
        };
        let levels = match side {
            Side::Buy => &book.bids,
            Side::Sell => &book.asks,
        };
        let level = |(price, level): (i64, super::levels::Level)| (price, level.lots, level.orders);
        levels.iter().map(level).collect()
    }
}
