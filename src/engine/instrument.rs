//! Instruments: definition checks and the map between prices, ticks and ladder keys.

use trading_engine_protocol::types::{Price, Quantity, Reason, Side};

use super::command::{DefineInstrument, name_text};
use super::ladder::SIDES;
use crate::limits::{PRICE_TICKS_MAX, QUANTITY_MAX};

/// One instrument. `definition.instrument` 0 = not defined.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Instrument {
    pub definition: DefineInstrument,
    /// Highest tick index.
    pub last_tick: u32,
    /// Stops that wait.
    pub stops: u32,
    /// Tick of the last trade + 1, 0 = none yet.
    pub traded: u32,
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
            && d.quantity_increment.0 >= 1;
        match ticks {
            Some(last) if valid && last < PRICE_TICKS_MAX => Ok(Self {
                definition: *definition,
                last_tick: u32::try_from(last).map_err(|_| Reason::InvalidDefinition)?,
                stops: 0,
                traded: 0,
            }),
            _ => Err(Reason::InvalidDefinition),
        }
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
