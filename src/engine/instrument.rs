//! Instruments: definition checks and the map between prices, ticks and ladder keys.

use trading_engine_protocol::types::{Price, Quantity, Reason, Side, TradingPhase};

use super::command::{DefineInstrument, NO_PRICE, name_text};
use super::deadlines::NOWHERE;
use super::ladder::SIDES;
use super::order::NIL;
use crate::limits::{PRICE_TICKS_MAX, QUANTITY_MAX, TICK_TABLES_MAX};

/// One instrument. `definition.instrument` 0 = not defined.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Instrument {
    pub definition: DefineInstrument,
    /// Highest tick index.
    pub last_tick: u32,
    /// Stops that wait.
    pub stops: u32,
    /// Tick of the last trade + 1, 0 = none yet.
    pub traded: u32,
    /// Tick of the last trade or of the reference price, whichever is newer, + 1; 0 = neither is known:
    /// collars and the dynamic band are around it, and ties of an auction go to it.
    pub center: u32,
    /// As `traded` when the day began; what follows the venue is told so after a start.
    pub closed: u32,
    /// What may happen in its book.
    pub phase: TradingPhase,
    /// A kill switch is on.
    pub blocked: bool,
    /// Whether limits have more to be than on tick and within the limits.
    pub has_price_rules: bool,
    /// Whether trades have bands to stay in.
    pub has_bands: bool,
    /// It was halted by name: phases for all instruments pass it over. Never in another phase.
    pub held: bool,
    /// Tick of the reference price + 1, 0 = none.
    pub reference: u32,
    /// At-the-close orders that wait for their auction, in the order of entry.
    pub first_parked: u32,
    pub last_parked: u32,
    /// Waiting stops, to buy and to sell, whose price traded when they could not be released; none in
    /// continuous trading between two commands.
    pub passed: [u32; 2],
    /// What was published last in this phase.
    pub indicative: Indicative,
    /// Where its deadlines are: the next indicative price, the end of an interruption.
    pub deadlines: [u32; 2],
}

/// What an auction would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Indicative {
    /// Tick + 1, 0 = nothing would trade.
    pub tick: u32,
    pub volume: u64,
    pub imbalance: u64,
    /// `Side` of the imbalance, 0 = none.
    pub side: u8,
}

/// Ladders and keys of an order: where it rests, and what it may trade with.
#[derive(Clone, Copy)]
pub(super) struct Reach {
    pub ladder: u32,
    pub key: u32,
    pub opposite: u32,
    /// Lowest key of the opposite side that it may trade with.
    pub worst: u32,
    /// The same, but for the bands.
    pub limit: u32,
}

impl Default for Instrument {
    fn default() -> Self {
        Self {
            definition: DefineInstrument::default(),
            last_tick: 0,
            stops: 0,
            traded: 0,
            center: 0,
            closed: 0,
            blocked: false,
            phase: TradingPhase::Continuous,
            held: false,
            has_price_rules: false,
            has_bands: false,
            reference: 0,
            first_parked: NIL,
            last_parked: NIL,
            passed: [0; 2],
            indicative: Indicative::default(),
            deadlines: [NOWHERE; 2],
        }
    }
}

/// Ladder of an instrument's orders of a side.
#[inline(always)]
pub(super) fn ladder_side(instrument: u16, side: Side) -> u32 {
    u32::from(instrument) * SIDES as u32
        + match side {
            Side::Buy => 0,
            Side::Sell => 1,
        }
}

/// Ladder of an instrument's waiting stops of a side.
#[inline]
pub(super) fn stop_side(instrument: u16, side: Side) -> u32 {
    ladder_side(instrument, side) + 2
}

impl Instrument {
    /// Its id, as orders name it.
    #[inline]
    pub fn id(&self) -> u16 {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "an engine has at most 2^16 - 1 instruments"
        )]
        {
            self.definition.instrument.0 as u16
        }
    }

    pub fn is_defined(&self) -> bool {
        self.definition.instrument.0 != 0
    }

    /// Whether it trades, and takes a limit order within its price limits without more ado.
    #[inline(always)]
    pub fn takes_plain(&self) -> bool {
        // One compare: they lie together.
        [
            self.phase.as_u8(),
            u8::from(self.blocked),
            u8::from(self.has_price_rules),
            u8::from(self.has_bands),
        ] == [TradingPhase::Continuous.as_u8(), 0, 0, 0]
    }

    /// [`Instrument::tick_of`] of a price that is stated and right.
    #[inline(always)]
    pub fn plain_tick(&self, price: Price) -> Option<u32> {
        let d = &self.definition;
        if price < d.price_min || price > d.price_max || price == NO_PRICE {
            return None;
        }
        let distance = price.0.wrapping_sub(d.price_min.0).cast_unsigned();
        #[allow(clippy::cast_possible_truncation, reason = "ticks are below 2^18")]
        if d.tick == 1 {
            Some(distance as u32)
        } else {
            (distance.is_multiple_of(d.tick)).then(|| (distance / d.tick) as u32)
        }
    }

    /// The tick of a price that is right, and anything of one that is not.
    #[inline(always)]
    pub fn tick_near(&self, price: Price) -> u32 {
        let d = &self.definition;
        let distance = price.0.wrapping_sub(d.price_min.0).cast_unsigned();
        #[allow(clippy::cast_possible_truncation, reason = "ticks are below 2^18")]
        if d.tick == 1 {
            distance as u32
        } else {
            distance.checked_div(d.tick).unwrap_or(0) as u32
        }
    }

    /// Whether an order may have that quantity.
    #[inline(always)]
    pub fn is_quantity(&self, quantity: Quantity) -> bool {
        let d = &self.definition;
        quantity >= d.quantity_min
            && quantity <= d.quantity_max
            && (d.quantity_increment.0 == 1 || quantity.0.is_multiple_of(d.quantity_increment.0))
    }

    /// Whether a halt by name would be news to it, although it is halted.
    pub fn can_be_held(&self) -> bool {
        self.phase == TradingPhase::Halted && !self.held
    }

    /// Checks a definition; the ranges guarantee that no price, quantity or total of this
    /// instrument overflows, on the wire or inside.
    pub fn new(definition: &DefineInstrument) -> Result<Self, Reason> {
        let d = definition;
        let low = d.price_min.0;
        let high = d.price_max.0;
        let tick = i64::try_from(d.tick).ok().filter(|&tick| tick > 0);
        let wire_price = |price: i64| price.checked_mul(d.price_unit_e8);
        let wire_lots = i64::try_from(d.quantity_max.0).ok();
        let ticks = (|| {
            let tick = tick?;
            let span = high.checked_sub(low).filter(|&span| span >= 0)?;
            let multiples = low % tick == 0 && high % tick == 0;
            let fits = wire_price(low).is_some()
                && wire_price(high).is_some()
                && wire_lots
                    .and_then(|lots| lots.checked_mul(d.lot_size_e8))
                    .is_some();
            (multiples && fits).then_some((span / tick).unsigned_abs())
        })();
        let valid = !name_text(&d.symbol).is_empty()
            && d.price_unit_e8 > 0
            && d.lot_size_e8 > 0
            && d.quantity_min.0 >= 1
            && d.quantity_min <= d.quantity_max
            && d.quantity_max.0 <= QUANTITY_MAX
            && d.quantity_increment.0 >= 1
            // A band is added to prices and taken from them.
            && i64::try_from(d.static_band).is_ok()
            && i64::try_from(d.dynamic_band).is_ok()
            && u32::from(d.tick_table) <= TICK_TABLES_MAX
            && TradingPhase::try_from(d.first_phase).is_ok();
        match ticks {
            Some(last) if valid && last < PRICE_TICKS_MAX => Ok(Self {
                definition: *definition,
                last_tick: u32::try_from(last).map_err(|_| Reason::InvalidDefinition)?,
                phase: TradingPhase::try_from(d.first_phase)
                    .map_err(|_| Reason::InvalidDefinition)?,
                has_price_rules: d.tick_table != 0 || d.static_band != 0,
                has_bands: d.static_band | d.dynamic_band != 0,
                ..Self::default()
            }),
            _ => Err(Reason::InvalidDefinition),
        }
    }

    /// The same instrument, defined again: what prices and lots mean to the orders that are there
    /// stays as it is.
    pub fn redefined(&self, definition: &DefineInstrument) -> Result<Self, Reason> {
        let (old, new) = (&self.definition, definition);
        let same = old.symbol == new.symbol
            && old.price_unit_e8 == new.price_unit_e8
            && old.lot_size_e8 == new.lot_size_e8
            && old.tick == new.tick
            && old.price_min == new.price_min
            && old.price_max == new.price_max;
        if !same {
            return Err(Reason::InvalidDefinition);
        }
        let new = Self::new(definition)?;
        Ok(Self {
            definition: *definition,
            has_price_rules: new.has_price_rules,
            has_bands: new.has_bands,
            ..*self
        })
    }

    /// Tick index of a price within the limits.
    #[inline]
    pub fn tick_of(&self, price: Price) -> Result<u32, Reason> {
        let d = &self.definition;
        if price < d.price_min {
            return Err(Reason::PriceBelowMinimum);
        }
        if price > d.price_max {
            return Err(Reason::PriceAboveMaximum);
        }
        let distance = price.0.wrapping_sub(d.price_min.0).cast_unsigned();
        if d.tick != 1 && !distance.is_multiple_of(d.tick) {
            return Err(Reason::PriceNotOnTick);
        }
        // Fits: the definition bounds the number of ticks by 2^18.
        #[allow(clippy::cast_possible_truncation)]
        Ok(if d.tick == 1 {
            distance as u32
        } else {
            (distance / d.tick) as u32
        })
    }

    /// Price of a tick index.
    #[inline]
    pub fn price_of(&self, tick: u32) -> Price {
        let d = &self.definition;
        Price(d.price_min.0 + (u64::from(tick) * d.tick).cast_signed())
    }

    /// The price limit that is further from zero.
    pub fn furthest_price(&self) -> Price {
        let (low, high) = (self.definition.price_min, self.definition.price_max);
        if low.0.unsigned_abs() > high.0.unsigned_abs() {
            low
        } else {
            high
        }
    }

    /// Whether orders trade as they come.
    #[inline(always)]
    pub fn trades(&self) -> bool {
        self.phase == TradingPhase::Continuous
    }

    /// Where an order at a tick belongs, and how far it may reach if there are no bands. `id` is the
    /// instrument's own.
    #[inline(always)]
    pub fn reach(&self, id: u16, side: Side, tick: u32) -> Reach {
        let ladder = ladder_side(id, side);
        let key = self.key(side, tick);
        let limit = self.last_tick - key;
        Reach {
            ladder,
            key,
            opposite: ladder ^ 1,
            worst: limit,
            limit,
        }
    }

    /// Ladder key of a tick: the better the price, the higher the key.
    #[inline(always)]
    pub fn key(&self, side: Side, tick: u32) -> u32 {
        match side {
            Side::Buy => tick,
            Side::Sell => self.last_tick - tick,
        }
    }

    /// Key of a stop: the sooner it triggers, the higher the key. Buy stops trigger as prices rise,
    /// the lowest first; sell stops the other way round.
    #[inline]
    pub fn stop_key(&self, side: Side, tick: u32) -> u32 {
        self.key(side.opposite(), tick)
    }

    /// Checks an order's total quantity.
    #[inline]
    pub fn check_quantity(&self, quantity: Quantity) -> Result<(), Reason> {
        let d = &self.definition;
        if quantity < d.quantity_min {
            return Err(Reason::QuantityBelowMinimum);
        }
        if quantity > d.quantity_max {
            return Err(Reason::QuantityAboveMaximum);
        }
        if d.quantity_increment.0 != 1 && !quantity.0.is_multiple_of(d.quantity_increment.0) {
            return Err(Reason::QuantityNotOnLot);
        }
        Ok(())
    }
}
