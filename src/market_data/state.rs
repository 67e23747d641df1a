//! What is published: as words, which is how it gets from the agent to its readers, and as the
//! readers see it.

use std::fmt;
use std::sync::Arc;

use trading_engine_protocol::types::{
    Decimal8, InstrumentId, Price, Reason, Side, TradeId, TradingPhase, UtcNanos,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::levels::Level;
use crate::engine::command::{DefineInstrument, name_text};

/// Levels a side that every publication has; more of a book is asked for.
pub const LEVELS_SHOWN: usize = 20;
/// No price.
pub(super) const NONE: i64 = i64::MIN;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
        #[repr(C)]
        pub(super) struct $name { $($(#[$fdoc])* pub $field: $type,)+ }

        impl $name {
            /// How many words it is.
            pub const WORDS: usize = size_of::<Self>() / 8;

            pub fn words(&self) -> &[u64; Self::WORDS] {
                zerocopy::transmute_ref!(self)
            }

            /// Of at least so many words.
            pub fn read(words: &[u64]) -> Option<Self> {
                let words: [u64; Self::WORDS] = words.get(..Self::WORDS)?.try_into().ok()?;
                Some(zerocopy::transmute!(words))
            }
        }
    };
}

words!(
    /// An instrument, but for its levels. Prices in price units, `NONE` = there is none; lots.
    StateWords {
        feed_sequence: u64,
        sequence: u64,
        at: u64,
        phase: u64,
        phase_reason: u64,
        until: u64,
        blocked: u64,
        reference: i64,
        previous_close: i64,
        open: i64,
        high: i64,
        low: i64,
        last: i64,
        last_lots: u64,
        last_at: u64,
        last_trade: u64,
        trades: u64,
        volume: u64,
        /// Halves of an `i128`: price units times lots.
        notional_low: u64,
        notional_high: u64,
        /// Records on the tape so far.
        tape_number: u64,
        /// The newest of them: its place + 1; the publisher knows.
        tape_place: u64,
        indicative: i64,
        indicative_volume: u64,
        imbalance: u64,
        imbalance_side: u64,
        uncrossed: i64,
        uncrossed_volume: u64,
        /// Prices with orders, and how many of them follow.
        bid_levels: u64,
        ask_levels: u64,
        bids_shown: u64,
        asks_shown: u64,
    }
);
words!(
    /// A record on the tape.
    TradeWords {
        instrument: u64,
        /// Records of this instrument so far, this one included.
        number: u64,
        /// The record before of this instrument: its place on the tape + 1, 0 = there is none.
        previous: u64,
        feed_sequence: u64,
        sequence: u64,
        at: u64,
        trade_id: u64,
        price: i64,
        lots: u64,
        aggressor: u64,
        /// [`TradeWords::NEW`] and so on.
        kind: u64,
        new_price: i64,
    }
);

impl StateWords {
    pub const EMPTY: Self = Self {
        feed_sequence: 0,
        sequence: 0,
        at: 0,
        phase: 0,
        phase_reason: 0,
        until: 0,
        blocked: 0,
        reference: NONE,
        previous_close: NONE,
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
        tape_number: 0,
        tape_place: 0,
        indicative: NONE,
        indicative_volume: 0,
        imbalance: 0,
        imbalance_side: 0,
        uncrossed: NONE,
        uncrossed_volume: 0,
        bid_levels: 0,
        ask_levels: 0,
        bids_shown: 0,
        asks_shown: 0,
    };

    fn notional(&self) -> i128 {
        (i128::from(self.notional_high.cast_signed()) << 64) | i128::from(self.notional_low)
    }

    #[inline]
    pub fn add_notional(&mut self, more: i128) {
        let sum = self.notional().wrapping_add(more);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the two halves"
        )]
        {
            self.notional_low = sum as u64;
            self.notional_high = (sum >> 64) as u64;
        }
    }
}

impl TradeWords {
    pub const NEW: u64 = 0;
    pub const BUSTED: u64 = 1;
    pub const CORRECTED: u64 = 2;
}

pub(super) fn level_words((price, level): (i64, Level)) -> [u64; 3] {
    [price.cast_unsigned(), level.lots, level.orders]
}

/// An amount that may be beyond what [`Decimal8`] holds: a mantissa with eight decimals. As text it
/// is the shortest, like a `Decimal8`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub i128);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ONE: u128 = 100_000_000;
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", magnitude / ONE)?;
        let fraction = magnitude % ONE;
        if fraction == 0 {
            return Ok(());
        }
        let digits = format!("{fraction:08}");
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}

/// A price with orders: how much of them everyone may see, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelView {
    /// Price.
    pub price: Decimal8,
    /// Quantity that is shown.
    pub quantity: Decimal8,
    /// Orders.
    pub orders: u64,
}

/// An instrument's definition and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentInfo {
    /// Symbol(55).
    pub symbol: Arc<str>,
    /// As the log defines it.
    pub definition: DefineInstrument,
}

impl InstrumentInfo {
    pub(super) fn new(definition: DefineInstrument) -> Self {
        Self {
            symbol: name_text(&definition.symbol).into(),
            definition,
        }
    }

    /// Its id.
    pub fn id(&self) -> InstrumentId {
        self.definition.instrument
    }

    /// A count of price units as a number.
    pub fn price(&self, price: Price) -> Decimal8 {
        Decimal8(price.0.saturating_mul(self.definition.price_unit_e8))
    }

    /// A count of lots as a number.
    pub fn quantity(&self, lots: u64) -> Decimal8 {
        let lots = i64::try_from(lots).unwrap_or(i64::MAX);
        Decimal8(lots.saturating_mul(self.definition.lot_size_e8))
    }

    fn some_price(&self, price: i64) -> Option<Decimal8> {
        (price != NONE).then(|| self.price(Price(price)))
    }

    fn amount(&self, lots: u64) -> Amount {
        Amount(i128::from(lots) * i128::from(self.definition.lot_size_e8))
    }

    pub(super) fn level(&self, words: &[u64]) -> LevelView {
        let word = |at: usize| words.get(at).copied().unwrap_or(0);
        LevelView {
            price: self.price(Price(word(0).cast_signed())),
            quantity: self.quantity(word(1)),
            orders: word(2),
        }
    }

    fn notional(&self, units: i128) -> Amount {
        let unit = i128::from(self.definition.price_unit_e8);
        let lot = i128::from(self.definition.lot_size_e8);
        // Both have eight decimals, the product sixteen. What a day trades is far below the bound.
        let product = unit * lot;
        Amount(if product % Decimal8::ONE_WIDE == 0 {
            units.saturating_mul(product / Decimal8::ONE_WIDE)
        } else {
            units.saturating_mul(product) / Decimal8::ONE_WIDE
        })
    }
}

/// One whole that is wide enough for products.
trait OneWide {
    const ONE_WIDE: i128;
}

impl OneWide for Decimal8 {
    const ONE_WIDE: i128 = 100_000_000;
}

/// A phase as payloads name it.
pub fn phase_name(phase: TradingPhase) -> &'static str {
    match phase {
        TradingPhase::Continuous => "continuous",
        TradingPhase::Closed => "closed",
        TradingPhase::PreOpen => "pre_open",
        TradingPhase::OpeningAuction => "opening_auction",
        TradingPhase::Halted => "halted",
        TradingPhase::VolatilityAuction => "volatility_auction",
        TradingPhase::ClosingAuction => "closing_auction",
    }
}

/// A side as payloads name it; none is an empty text.
pub fn side_name(side: Option<Side>) -> &'static str {
    match side {
        Some(Side::Buy) => "buy",
        Some(Side::Sell) => "sell",
        None => "",
    }
}

/// What an auction would trade at now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indicative {
    /// Price, `None` = nothing would trade.
    pub price: Option<Decimal8>,
    /// How much would.
    pub volume: Amount,
    /// How much of `imbalance_side` could and would not.
    pub imbalance: Amount,
    /// `None` = there is no imbalance.
    pub imbalance_side: Option<Side>,
}

/// The last trade of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastTrade {
    /// TrdMatchID(880).
    pub trade_id: TradeId,
    /// Price.
    pub price: Decimal8,
    /// Quantity.
    pub quantity: Decimal8,
    /// When, log time.
    pub at: UtcNanos,
}

/// An instrument's phase and its trading day so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Phase.
    pub phase: TradingPhase,
    /// Why it is in it; `None` = it was asked for.
    pub phase_reason: Reason,
    /// When the venue will end the phase by itself.
    pub until: Option<UtcNanos>,
    /// A kill switch is on for it.
    pub blocked: bool,
    /// Reference price.
    pub reference: Option<Decimal8>,
    /// What it traded at last before the day, whatever became of that trade since.
    pub previous_close: Option<Decimal8>,
    /// First price of the day. Busts are taken back here and below.
    pub open: Option<Decimal8>,
    /// Highest.
    pub high: Option<Decimal8>,
    /// Lowest.
    pub low: Option<Decimal8>,
    /// Last trade of the day.
    pub last: Option<LastTrade>,
    /// Trades of the day.
    pub trades: u64,
    /// How much was traded.
    pub volume: Amount,
    /// For how much.
    pub notional: Amount,
    /// While orders are collected.
    pub indicative: Indicative,
    /// Price of the day's last auction.
    pub uncrossed: Option<Decimal8>,
    /// How much it traded.
    pub uncrossed_volume: Amount,
}

impl Statistics {
    /// Trading is halted.
    pub fn is_halted(&self) -> bool {
        self.phase == TradingPhase::Halted
    }
}

/// An instrument after its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentView {
    /// Which.
    pub info: Arc<InstrumentInfo>,
    /// Number of that change since the venue started: grows by one with each command that changes
    /// the instrument.
    pub feed_sequence: u64,
    /// The command that changed it.
    pub sequence: u64,
    /// Its time.
    pub at: UtcNanos,
    /// Best bids, highest first, at most [`LEVELS_SHOWN`].
    pub bids: Vec<LevelView>,
    /// Best asks, lowest first.
    pub asks: Vec<LevelView>,
    /// Prices with bids.
    pub bid_levels: u64,
    /// Prices with asks.
    pub ask_levels: u64,
    /// Phase and day.
    pub statistics: Statistics,
    /// Records on the tape so far.
    pub(super) tape_number: u64,
}

impl InstrumentView {
    /// From what the agent wrote.
    pub(super) fn read(info: &Arc<InstrumentInfo>, words: &[u64]) -> Option<Self> {
        let state = StateWords::read(words)?;
        let (bids, asks) = words[StateWords::WORDS..]
            .split_at_checked(3 * usize::try_from(state.bids_shown).ok()?)?;
        let side = |words: &[u64]| words.chunks_exact(3).map(|w| info.level(w)).collect();
        Some(Self {
            feed_sequence: state.feed_sequence,
            sequence: state.sequence,
            at: UtcNanos(state.at),
            bids: side(bids),
            asks: side(asks),
            bid_levels: state.bid_levels,
            ask_levels: state.ask_levels,
            statistics: statistics(info, &state),
            tape_number: state.tape_number,
            info: Arc::clone(info),
        })
    }
}

pub(super) fn statistics(info: &InstrumentInfo, state: &StateWords) -> Statistics {
    #[allow(clippy::cast_possible_truncation, reason = "they were bytes")]
    let byte = |word: u64| word as u8;
    let last = info.some_price(state.last).map(|price| LastTrade {
        trade_id: TradeId(state.last_trade),
        price,
        quantity: info.quantity(state.last_lots),
        at: UtcNanos(state.last_at),
    });
    Statistics {
        phase: TradingPhase::try_from(byte(state.phase)).unwrap_or(TradingPhase::Closed),
        phase_reason: u16::try_from(state.phase_reason)
            .ok()
            .and_then(|code| Reason::ALL.iter().find(|reason| reason.code() == code))
            .copied()
            .unwrap_or(Reason::None),
        until: (state.until != 0).then_some(UtcNanos(state.until)),
        blocked: state.blocked != 0,
        reference: info.some_price(state.reference),
        previous_close: info.some_price(state.previous_close),
        open: info.some_price(state.open),
        high: info.some_price(state.high),
        low: info.some_price(state.low),
        last,
        trades: state.trades,
        volume: info.amount(state.volume),
        notional: info.notional(state.notional()),
        indicative: Indicative {
            price: info.some_price(state.indicative),
            volume: info.amount(state.indicative_volume),
            imbalance: info.amount(state.imbalance),
            imbalance_side: Side::try_from(byte(state.imbalance_side)).ok(),
        },
        uncrossed: info.some_price(state.uncrossed),
        uncrossed_volume: info.amount(state.uncrossed_volume),
    }
}

/// What a record on the tape says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TradeKind {
    /// It traded.
    New,
    /// It never was.
    Busted,
    /// It was at this price.
    Corrected(Decimal8),
}

/// A trade, or what became of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Of which instrument.
    pub info: Arc<InstrumentInfo>,
    /// What happened.
    pub kind: TradeKind,
    /// TrdMatchID(880).
    pub trade_id: TradeId,
    /// What it traded at; of an amendment, what it stood at until then.
    pub price: Decimal8,
    /// How much.
    pub quantity: Decimal8,
    /// Side of the order that came in, `None` = an auction, or an amendment.
    pub aggressor: Option<Side>,
    /// When, log time.
    pub at: UtcNanos,
    /// The command that did it.
    pub sequence: u64,
    /// The instrument's change it belongs to, see [`InstrumentView::feed_sequence`].
    pub feed_sequence: u64,
    /// Its place on the tape: trades and amendments before it in this life of the venue.
    pub place: u64,
}

impl Trade {
    pub(super) fn new(info: &Arc<InstrumentInfo>, words: &TradeWords, place: u64) -> Self {
        let aggressor = u8::try_from(words.aggressor).ok();
        Self {
            kind: match words.kind {
                TradeWords::BUSTED => TradeKind::Busted,
                TradeWords::CORRECTED => TradeKind::Corrected(info.price(Price(words.new_price))),
                _ => TradeKind::New,
            },
            trade_id: TradeId(words.trade_id),
            price: info.price(Price(words.price)),
            quantity: info.quantity(words.lots),
            aggressor: aggressor.and_then(|side| Side::try_from(side).ok()),
            at: UtcNanos(words.at),
            sequence: words.sequence,
            feed_sequence: words.feed_sequence,
            place,
            info: Arc::clone(info),
        }
    }
}
