//! Everything the venue publishes, as the events up to one command tell it: books, trades, and each
//! instrument's phase and day. Owned by the market-data agent; nobody else sees it.

use std::collections::VecDeque;

use trading_engine_protocol::types::{
    KillScope, Liquidity, Sequence, Side, TradeId, TradingPhase, UtcNanos,
};

use super::depth::{Book, Change, Depth};
use super::levels::Levels;
use super::state::{LEVELS_SHOWN, NONE, StateWords, TradeWords, level_words};
use crate::engine::command::DefineInstrument;
use crate::engine::event::{
    AuctionIndicative, AuctionUncrossed, EventBody, EventHeader, Fill, InstrumentState, OpenOrder,
    PhaseChanged, TradeAmended,
};

/// Trades of an instrument that a bust of its last or first one can go back to.
const REMEMBERED: usize = 64;

/// A trade of the day, as far as the statistics need it.
#[derive(Clone, Copy)]
struct DayTrade {
    id: u64,
    price: i64,
    lots: u64,
    at: u64,
}

/// What is known of one instrument.
struct Instrument {
    definition: DefineInstrument,
    /// What is published, but for the book and its numbers.
    words: StateWords,
    /// Trades and lots of the day by price: its high and low, also after busts.
    prices: Levels,
    /// The day's first trades and its last ones, oldest first.
    first: Vec<DayTrade>,
    last: VecDeque<DayTrade>,
    /// What it traded at last, whatever became of that trade: the core knows no more of it, so that a start from a
    /// snapshot has the same close.
    traded: i64,
}

impl Instrument {
    fn new(definition: DefineInstrument) -> Self {
        let mut prices = Levels::new(Side::Buy);
        prices.set_ticks(definition.price_min.0, definition.tick);
        Self {
            definition,
            words: StateWords {
                phase: definition.first_phase.into(),
                ..StateWords::EMPTY
            },
            prices,
            first: Vec::new(),
            last: VecDeque::new(),
            traded: NONE,
        }
    }

    fn trade(&mut self, trade: DayTrade) {
        self.traded = trade.price;
        self.prices.add(trade.price, trade.lots, 1);
        if self.first.len() < REMEMBERED {
            self.first.push(trade);
        }
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(trade);
        let words = &mut self.words;
        if words.trades == 0 {
            words.open = trade.price;
        }
        words.trades += 1;
        words.volume += trade.lots;
        words.add_notional(i128::from(trade.price) * i128::from(trade.lots));
        // Most trades are within the day's range.
        if words.high == NONE || trade.price > words.high {
            words.high = trade.price;
        }
        if words.low == NONE || trade.price < words.low {
            words.low = trade.price;
        }
        words.last = trade.price;
        words.last_lots = trade.lots;
        words.last_at = trade.at;
        words.last_trade = trade.id;
    }

    /// A trade of the day never was (`new_price` none), or was at another price.
    fn amend(&mut self, amended: &TradeAmended) {
        let (id, lots) = (amended.trade_id.0, amended.quantity.0);
        let (old, new) = (amended.price.0, amended.new_price.0);
        let busted = new == NONE;
        let notional = |price: i64| i128::from(price) * i128::from(lots);
        self.words.add_notional(-notional(old));
        self.prices.take(old, lots, 1);
        if busted {
            self.words.trades = self.words.trades.saturating_sub(1);
            self.words.volume = self.words.volume.saturating_sub(lots);
            self.first.retain(|trade| trade.id != id);
            self.last.retain(|trade| trade.id != id);
        } else {
            self.words.add_notional(notional(new));
            self.prices.add(new, lots, 1);
            let known = self.first.iter_mut().chain(&mut self.last);
            known
                .filter(|trade| trade.id == id)
                .for_each(|trade| trade.price = new);
        }
        let words = &mut self.words;
        words.high = self.prices.iter().next().map_or(NONE, |(price, _)| price);
        words.low = self.prices.worst().unwrap_or(NONE);
        words.open = self.first.first().map_or(NONE, |trade| trade.price);
        let none = DayTrade {
            id: 0,
            price: NONE,
            lots: 0,
            at: 0,
        };
        let last = self.last.back().copied().unwrap_or(none);
        words.last = last.price;
        words.last_lots = last.lots;
        words.last_at = last.at;
        words.last_trade = last.id;
    }

    fn roll(&mut self) {
        self.prices.clear();
        self.first.clear();
        self.last.clear();
        let words = &mut self.words;
        if self.traded != NONE {
            words.previous_close = self.traded;
        }
        *words = StateWords {
            open: NONE,
            high: NONE,
            low: NONE,
            last: NONE,
            last_lots: 0,
            last_at: 0,
            last_trade: 0,
            trades: 0,
            volume: 0,
            notional_low: 0,
            notional_high: 0,
            ..*words
        };
        self.forget_uncrossed();
    }

    fn uncross(&mut self, uncrossed: &AuctionUncrossed) {
        self.words.uncrossed = uncrossed.price.0;
        self.words.uncrossed_volume = uncrossed.volume.0;
    }

    fn forget_uncrossed(&mut self) {
        self.words.uncrossed = NONE;
        self.words.uncrossed_volume = 0;
    }

    fn indicate(&mut self, indicative: &AuctionIndicative) {
        let words = &mut self.words;
        words.indicative = indicative.price.0;
        words.indicative_volume = indicative.volume.0;
        words.imbalance = indicative.imbalance.0;
        words.imbalance_side = indicative.side.into();
    }

    fn change_phase(&mut self, changed: &PhaseChanged, reason: u16) {
        let words = &mut self.words;
        words.phase = changed.phase.into();
        words.phase_reason = reason.into();
        words.until = changed.until.0;
        self.indicate(&AuctionIndicative {
            price: trading_engine_protocol::types::Price(NONE),
            ..AuctionIndicative::default()
        });
    }
}

/// See the top of the file.
#[derive(Default)]
pub struct Market {
    depth: Depth,
    /// By instrument id.
    instruments: Vec<Option<Box<Instrument>>>,
    /// Trades that were not published yet, and what became of older ones.
    trades: Vec<TradeWords>,
    /// The last trade, and the command that amended the last one: each is told twice, once for each side.
    last_trade: TradeId,
    last_amendment: Sequence,
    /// First trade that is of this day.
    day_from: u64,
    trading_day: u32,
    /// Instruments were defined or changed since this was asked.
    defined: bool,
    sequence: u64,
}

impl Market {
    /// Begins with a core that was restored, as if all its events had been seen.
    pub fn begin_with(
        &mut self,
        sequence: Sequence,
        trading_day: u32,
        first_trade: TradeId,
        instruments: &[InstrumentState],
        orders: &[OpenOrder],
    ) {
        self.sequence = sequence.0;
        self.trading_day = trading_day;
        self.day_from = first_trade.0;
        self.last_trade = TradeId(first_trade.0.saturating_sub(1));
        let phases = instruments.iter().filter_map(|state| {
            let phase = TradingPhase::try_from(state.phase).ok()?;
            Some((state.definition, phase))
        });
        self.depth.begin_with(sequence, phases, orders);
        for state in instruments {
            let id = state.definition.instrument.0;
            self.define(&state.definition);
            let Some(instrument) = self.instrument(id) else {
                continue;
            };
            let price = |price: Option<trading_engine_protocol::types::Price>| {
                price.map_or(NONE, |price| price.0)
            };
            instrument.words.phase = state.phase.into();
            instrument.words.until = state.until.0;
            instrument.words.blocked = state.blocked.into();
            instrument.words.reference = price(state.reference);
            instrument.words.previous_close = price(state.closed);
            instrument.indicate(&state.indicative);
        }
    }

    /// A trade of this day, what became of one, why a phase began or what an auction came to, before
    /// [`Market::begin_with`]'s command: of that the core knows nothing any more.
    pub fn remember(&mut self, header: &EventHeader, body: &EventBody<'_>) {
        self.depth.begin(header);
        match body {
            EventBody::Fill(fill) => self.trade(header, fill),
            EventBody::QuoteFill(quote) => self.trade(header, &quote.fill),
            EventBody::TradeAmended(amended) if amended.trade_id.0 >= self.day_from => {
                self.amend(header, amended);
            }
            EventBody::PhaseChanged(changed) => {
                let reason = header.reason.into();
                self.change(changed.instrument.0, |i| i.words.phase_reason = reason);
            }
            EventBody::AuctionUncrossed(uncrossed) => {
                self.change(uncrossed.instrument.0, |i| i.uncross(uncrossed));
            }
            EventBody::DayRolled(_) => {
                for instrument in self.instruments.iter_mut().flatten() {
                    instrument.forget_uncrossed();
                }
            }
            _ => {}
        }
    }

    /// Takes one event into account.
    pub fn apply(&mut self, header: &EventHeader, body: &EventBody<'_>) {
        self.sequence = header.sequence.0;
        self.depth.apply(header, body);
        match body {
            EventBody::Fill(fill) => self.trade(header, fill),
            EventBody::QuoteFill(quote) => self.trade(header, &quote.fill),
            EventBody::TradeAmended(amended) => self.amend(header, amended),
            EventBody::InstrumentDefined(defined) => self.define(&defined.definition),
            EventBody::PhaseChanged(changed) => {
                let reason = header.reason;
                self.change(changed.instrument.0, |i| i.change_phase(changed, reason));
            }
            EventBody::AuctionIndicative(indicative) => {
                self.change(indicative.instrument.0, |i| i.indicate(indicative));
            }
            EventBody::AuctionUncrossed(uncrossed) => {
                self.change(uncrossed.instrument.0, |instrument| {
                    instrument.uncross(uncrossed);
                    // What an auction trades at is the reference from then on.
                    instrument.words.reference = uncrossed.price.0;
                });
            }
            EventBody::ReferenceSet(set) => {
                self.change(set.instrument.0, |i| i.words.reference = set.price.0);
            }
            EventBody::KillSwitchDone(done)
                if header.reason == 0
                    && done.cancels_only == 0
                    && done.scope == KillScope::Instrument.as_u8() =>
            {
                let blocked = u64::from(done.release == 0);
                self.change(done.target, |i| i.words.blocked = blocked);
            }
            EventBody::DayRolled(rolled) => self.roll(rolled.trading_day),
            EventBody::KillSwitchDone(_)
            | EventBody::FirmDefined(_)
            | EventBody::SessionDefined(_)
            | EventBody::DefinitionRefused(_)
            | EventBody::LogonAnswered(_)
            | EventBody::SessionClosed(_)
            | EventBody::AdminMessage(_)
            | EventBody::BusinessRejected(_)
            | EventBody::CommandRefused(_)
            | EventBody::OrderAccepted(_)
            | EventBody::OrderAcceptedWithTerms(_)
            | EventBody::OrderReplaced(_)
            | EventBody::OrderReplacedWithTerms(_)
            | EventBody::OrderTriggered(_)
            | EventBody::OrderRestated(_)
            | EventBody::QuoteRestated(_)
            | EventBody::OrderCanceled(_)
            | EventBody::OrderRejected(_)
            | EventBody::RequestRejected(_)
            | EventBody::MassCancelDone(_)
            | EventBody::CancelAfterSet(_)
            | EventBody::TickTableDefined(_)
            | EventBody::AuditNoted(_)
            | EventBody::CapacitiesSet(_)
            | EventBody::LimitsSet(_)
            | EventBody::AccountSet(_)
            | EventBody::MassQuoteAnswered(_)
            | EventBody::QuoteCanceled(_)
            | EventBody::QuoteCancelDone(_)
            | EventBody::ProtectionSet(_)
            | EventBody::ProtectionTripped(_)
            | EventBody::OrderStatusReport(_)
            | EventBody::QuoteStatusAnswered(_) => {}
        }
    }

    fn instrument(&mut self, id: u32) -> Option<&mut Instrument> {
        self.instruments.get_mut(id as usize)?.as_deref_mut()
    }

    fn change(&mut self, id: u32, change: impl FnOnce(&mut Instrument)) {
        if let Some(instrument) = self.instrument(id) {
            change(instrument);
            self.depth.changes().touch(id);
        }
    }

    fn define(&mut self, definition: &DefineInstrument) {
        let id = definition.instrument.0;
        let Ok(place) = u16::try_from(id).map(usize::from) else {
            return;
        };
        if place >= self.instruments.len() {
            self.instruments.resize_with(place + 1, || None);
        }
        match &mut self.instruments[place] {
            Some(known) => known.definition = *definition,
            new => *new = Some(Box::new(Instrument::new(*definition))),
        }
        self.defined = true;
        self.depth.changes().touch(id);
    }

    /// The first side that is heard of tells the trade: it is the maker's.
    fn trade(&mut self, header: &EventHeader, fill: &Fill) {
        if fill.trade_id <= self.last_trade {
            return;
        }
        self.last_trade = fill.trade_id;
        let id = fill.order.instrument.0;
        let aggressor = if fill.liquidity == Liquidity::Added.as_u8() {
            Side::try_from(fill.order.side).map_or(0, |side| side.opposite().as_u8())
        } else {
            0
        };
        let mut number = 0;
        let trade = DayTrade {
            id: fill.trade_id.0,
            price: fill.last_price.0,
            lots: fill.last_quantity.0,
            at: header.sequenced_at.0,
        };
        let today = fill.trade_id.0 >= self.day_from;
        self.change(id, |instrument| {
            if today {
                instrument.trade(trade);
            }
            instrument.words.tape_number += 1;
            number = instrument.words.tape_number;
        });
        self.trades.push(TradeWords {
            instrument: id.into(),
            number,
            previous: 0,
            feed_sequence: self.depth.changes().of(id).number,
            sequence: header.sequence.0,
            at: trade.at,
            trade_id: trade.id,
            price: trade.price,
            lots: trade.lots,
            aggressor: aggressor.into(),
            kind: TradeWords::NEW,
            new_price: NONE,
        });
    }

    fn amend(&mut self, header: &EventHeader, amended: &TradeAmended) {
        // Both sides are told by one command.
        if header.sequence == self.last_amendment {
            return;
        }
        self.last_amendment = header.sequence;
        let id = amended.order.instrument.0;
        let today = amended.trade_id.0 >= self.day_from;
        let mut number = 0;
        self.change(id, |instrument| {
            if today {
                instrument.amend(amended);
            }
            instrument.words.tape_number += 1;
            number = instrument.words.tape_number;
        });
        let busted = amended.new_price.0 == NONE;
        self.trades.push(TradeWords {
            instrument: id.into(),
            number,
            previous: 0,
            feed_sequence: self.depth.changes().of(id).number,
            sequence: header.sequence.0,
            at: header.sequenced_at.0,
            trade_id: amended.trade_id.0,
            price: amended.price.0,
            lots: amended.quantity.0,
            aggressor: 0,
            kind: if busted {
                TradeWords::BUSTED
            } else {
                TradeWords::CORRECTED
            },
            new_price: amended.new_price.0,
        });
    }

    fn roll(&mut self, trading_day: u32) {
        self.trading_day = trading_day;
        self.day_from = self.last_trade.0 + 1;
        for instrument in self.instruments.iter_mut().flatten() {
            instrument.roll();
            let id = instrument.definition.instrument.0;
            self.depth.changes().touch(id);
        }
    }

    /// The last command that was heard of.
    pub fn sequence(&self) -> Sequence {
        Sequence(self.sequence)
    }

    /// YYYYMMDD, 0 = none yet.
    pub fn trading_day(&self) -> u32 {
        self.trading_day
    }

    /// Definitions, if any is new since the last call.
    pub(super) fn definitions(&mut self) -> Option<Vec<DefineInstrument>> {
        std::mem::take(&mut self.defined).then(|| {
            let all = self.instruments.iter().flatten();
            all.map(|instrument| instrument.definition).collect()
        })
    }

    /// Hands over what there is to publish of each instrument that changed, and forgets that it did:
    /// id, state, and the levels that are shown, three words each, bids first.
    pub(super) fn changed(&mut self, mut each: impl FnMut(u32, &StateWords, &[u64])) {
        let mut changed: [u64; 6 * LEVELS_SHOWN] = [0; 6 * LEVELS_SHOWN];
        let Self {
            depth, instruments, ..
        } = self;
        let (changes, books) = depth.changes_and_books();
        changes.drain(|id, change| {
            let known = instruments.get(id as usize);
            if let Some(instrument) = known.and_then(Option::as_deref) {
                let (words, used) =
                    state_of(instrument, change, books.get(id as usize), &mut changed);
                each(id, &words, &changed[..used]);
            }
        });
    }

    pub(super) fn has_changed(&mut self) -> bool {
        self.defined || !self.depth.changes().is_empty()
    }

    /// Trades that were not handed over yet.
    pub(super) fn trades(&mut self) -> &mut Vec<TradeWords> {
        &mut self.trades
    }

    /// Forgets all but the newest trades that were not handed over: nobody will ask for more.
    pub fn keep_trades(&mut self, most: usize) {
        if self.trades.len() > 2 * most {
            self.trades.drain(..self.trades.len() - most);
        }
    }

    /// The whole book, bounded, best first: price, lots, orders.
    pub(super) fn levels(&self, instrument: u32, side: Side, most: usize) -> Vec<[u64; 3]> {
        let Some(book) = self.depth.book(instrument) else {
            return Vec::new();
        };
        let levels = match side {
            Side::Buy => &book.bids,
            Side::Sell => &book.asks,
        };
        levels.iter().take(most).map(level_words).collect()
    }

    /// The books, order by order.
    pub fn depth(&self) -> &Depth {
        &self.depth
    }

    /// What is published of an instrument, but for its levels.
    pub(super) fn words(&mut self, id: u32) -> Option<StateWords> {
        let change = self.depth.changes().of(id);
        let instrument = self.instruments.get(id as usize)?.as_deref()?;
        let mut unused = [0; 6 * LEVELS_SHOWN];
        Some(state_of(instrument, change, self.depth.book(id), &mut unused).0)
    }

    /// Time of an instrument's last change.
    pub fn changed_at(&mut self, id: u32) -> UtcNanos {
        UtcNanos(self.depth.changes().of(id).at)
    }
}

fn state_of(
    instrument: &Instrument,
    change: Change,
    book: Option<&Book>,
    levels: &mut [u64; 6 * LEVELS_SHOWN],
) -> (StateWords, usize) {
    let mut words = StateWords {
        feed_sequence: change.number,
        sequence: change.sequence,
        at: change.at,
        ..instrument.words
    };
    let mut used = 0;
    if let Some(book) = book {
        let mut side = |of: &Levels| {
            let mut shown = 0;
            for level in of.iter().take(LEVELS_SHOWN) {
                levels[used..used + 3].copy_from_slice(&level_words(level));
                used += 3;
                shown += 1;
            }
            shown
        };
        words.bids_shown = side(&book.bids);
        words.asks_shown = side(&book.asks);
        words.bid_levels = book.bids.count();
        words.ask_levels = book.asks.count();
    }
    (words, used)
}
