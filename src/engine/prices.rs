//! Which prices an order may state, and which a trade may have: tick tables and bands.

use trading_engine_protocol::types::{Price, Reason, Side};

use super::Engine;
use super::command::{DefineTickTable, SetReference, TickStep};
use super::instrument::{Instrument, ladder_side};
use super::order::NIL;
use crate::limits::TICK_TABLES_MAX;

/// A key that no level has: nothing may be traded with.
const NOTHING: u32 = NIL - 1;

/// Whether a price is on the tick of its step.
fn is_on(steps: &[TickStep], price: Price) -> bool {
    let used = steps.iter().take_while(|step| step.tick != 0);
    let step = used
        .clone()
        .take_while(|step| step.from <= price)
        .last()
        .or_else(|| used.clone().next());
    step.is_none_or(|step| i128::from(price.0).rem_euclid(i128::from(step.tick)) == 0)
}

/// Whether a tick table is one that can be defined.
pub(super) fn is_tick_table(definition: &DefineTickTable) -> bool {
    let steps = &definition.steps;
    let used = steps.iter().take_while(|step| step.tick != 0).count();
    (1..=TICK_TABLES_MAX).contains(&definition.table)
        && used > 0
        && steps[used..]
            .iter()
            .all(|step| *step == TickStep::default())
        && (0..used).all(|at| {
            let multiple =
                |of: TickStep| i128::from(steps[at].from.0).rem_euclid(i128::from(of.tick)) == 0;
            let ascends =
                at == 0 || (steps[at - 1].from < steps[at].from && multiple(steps[at - 1]));
            ascends && multiple(steps[at])
        })
}

impl Instrument {
    /// Lowest and highest tick that a limit may have.
    pub fn band(&self) -> (u32, u32) {
        let width = self.definition.static_band;
        match self.reference.checked_sub(1) {
            Some(center) if width != 0 => self.around(center, width),
            _ => (0, self.last_tick),
        }
    }

    /// Ticks that are at most `width` price units from `center`.
    fn around(&self, center: u32, width: u64) -> (u32, u32) {
        let ticks = u32::try_from(width / self.definition.tick).unwrap_or(u32::MAX);
        (
            center.saturating_sub(ticks),
            center.saturating_add(ticks).min(self.last_tick),
        )
    }
}

impl Engine {
    /// Tick of a limit that an order may state.
    #[inline(always)]
    pub(super) fn limit_tick(&self, instrument: &Instrument, price: Price) -> Result<u32, Reason> {
        let tick = instrument.tick_of(price)?;
        if instrument.has_price_rules {
            self.check_rules(instrument, price, tick)?;
        }
        Ok(tick)
    }

    /// Whether a limit that is on the instrument's tick is on its table and within the static band.
    #[inline(never)]
    pub(super) fn check_rules(
        &self,
        instrument: &Instrument,
        price: Price,
        tick: u32,
    ) -> Result<(), Reason> {
        if !is_on(self.steps(instrument), price) {
            return Err(Reason::PriceNotOnTick);
        }
        let (lowest, highest) = instrument.band();
        if tick < lowest || tick > highest {
            return Err(Reason::PriceOutsideBand);
        }
        Ok(())
    }

    /// Tick of a stop price: no band holds for it.
    pub(super) fn stop_tick(&self, instrument: &Instrument, price: Price) -> Result<u32, Reason> {
        let tick = instrument
            .tick_of(price)
            .map_err(|_| Reason::StopPriceInvalid)?;
        if is_on(self.steps(instrument), price) {
            Ok(tick)
        } else {
            Err(Reason::StopPriceInvalid)
        }
    }

    /// Whether a limit is within the static band as it is now.
    pub(super) fn check_band(&self, id: u16, price: Price) -> Result<(), Reason> {
        let instrument = &self.instruments[usize::from(id)];
        let tick = instrument.tick_of(price)?;
        let (lowest, highest) = instrument.band();
        if tick < lowest || tick > highest {
            return Err(Reason::PriceOutsideBand);
        }
        Ok(())
    }

    fn steps(&self, instrument: &Instrument) -> &[TickStep] {
        let table = usize::from(instrument.definition.tick_table);
        self.tick_tables
            .get(table)
            .map_or(&[], |table| &table.steps)
    }

    /// Whether an auction may trade at a tick: it is on the table, or an order rests there that was
    /// entered under another one.
    fn is_auction_tick(&self, id: u16, tick: u32) -> bool {
        let instrument = &self.instruments[usize::from(id)];
        is_on(self.steps(instrument), instrument.price_of(tick))
            || [Side::Buy, Side::Sell].iter().any(|&side| {
                let (ladder, key) = (ladder_side(id, side), instrument.key(side, tick));
                self.ladders.at_or_below(ladder, key) == Some(key)
            })
    }

    /// Highest tick that an auction may trade at, at or below `tick`, if there is one from `lowest` up.
    pub(super) fn on_table_below(&self, id: u16, tick: u32, lowest: u32) -> Option<u32> {
        let mut ticks = (lowest..=tick).rev();
        ticks.find(|&tick| self.is_auction_tick(id, tick))
    }

    /// Lowest tick that an auction may trade at, at or above `tick`, if there is one up to `highest`.
    pub(super) fn on_table_above(&self, id: u16, tick: u32, highest: u32) -> Option<u32> {
        let mut ticks = tick..=highest;
        ticks.find(|&tick| self.is_auction_tick(id, tick))
    }

    /// The dynamic band of an order that begins to match is around what its instrument's center is
    /// before it.
    #[inline(always)]
    pub(super) fn anchor(&mut self, id: u16) {
        let instrument = &self.instruments[usize::from(id)];
        if instrument.definition.dynamic_band != 0 {
            self.anchor = instrument.center;
        }
    }

    /// Lowest key of the opposite side that the bands let an order of `side` trade with.
    #[inline(never)]
    pub(super) fn band_key(&self, instrument: &Instrument, side: Side) -> u32 {
        let (mut lowest, mut highest) = instrument.band();
        let width = instrument.definition.dynamic_band;
        if let (Some(center), 1..) = (self.anchor.checked_sub(1), width) {
            let (low, high) = instrument.around(center, width);
            (lowest, highest) = (lowest.max(low), highest.min(high));
        }
        if lowest > highest {
            return NOTHING;
        }
        let opposite = side.opposite();
        let keys = [lowest, highest].map(|tick| instrument.key(opposite, tick));
        let best = self.ladders.best(ladder_side(instrument.id(), opposite));
        // Too good a price is outside, too, and what is behind it is not reached.
        if best != NIL && best > keys[0].max(keys[1]) {
            return NOTHING;
        }
        keys[0].min(keys[1])
    }

    pub(super) fn define_tick_table(&mut self, definition: &DefineTickTable) -> Result<(), Reason> {
        if !is_tick_table(definition) {
            return Err(Reason::InvalidDefinition);
        }
        self.tick_tables[definition.table as usize] = *definition;
        Ok(())
    }

    pub(super) fn set_reference(&mut self, set: &SetReference) -> Result<(), Reason> {
        let tick = self
            .defined(set.instrument)?
            .tick_of(set.price)
            .map_err(|_| Reason::InvalidDefinition)?;
        let instrument = &mut self.instruments[set.instrument.0 as usize];
        instrument.reference = tick + 1;
        // The venue's word is newer than the last trade, which may be wrong or of another day.
        instrument.center = tick + 1;
        Ok(())
    }
}
