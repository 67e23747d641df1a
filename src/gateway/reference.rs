//! What a gateway must know of instruments and sessions to translate between wire and core.
//!
//! Seeded from the engine after recovery and kept up by definition events; it lags the core by
//! the events still in flight, which is why an unknown name is answered by the core, in order.

use std::collections::HashMap;

use trading_engine_protocol::types::{
    Decimal8, InstrumentId, Price, Quantity, Reason, SessionId, SessionProtocol,
};

use crate::engine::command::{DefineInstrument, DefineSession, name_text};

/// An instrument as the wires see it.
#[derive(Clone, Debug)]
pub struct Instrument {
    /// The definition.
    pub definition: DefineInstrument,
    /// Symbol(55).
    pub symbol: Box<[u8]>,
}

impl Instrument {
    /// A wire price in price units; `PriceNotOnTick` when it is no multiple.
    #[inline]
    pub fn price_units(&self, price: Decimal8) -> Result<Price, Reason> {
        let unit = self.definition.price_unit_e8;
        if price.0 % unit == 0 {
            Ok(Price(price.0 / unit))
        } else {
            Err(Reason::PriceNotOnTick)
        }
    }

    /// A wire quantity in lots; `QuantityBelowMinimum` below one lot, `QuantityNotOnLot` between.
    #[inline]
    pub fn lots(&self, quantity: Decimal8) -> Result<Quantity, Reason> {
        let lot = self.definition.lot_size_e8;
        if quantity.0 <= 0 {
            return Err(Reason::QuantityBelowMinimum);
        }
        if quantity.0 % lot == 0 {
            Ok(Quantity((quantity.0 / lot).unsigned_abs()))
        } else {
            Err(Reason::QuantityNotOnLot)
        }
    }

    /// Price units as a wire price. Saturates where the wire's range ends (a definition whose
    /// prices could get there is refused).
    #[inline]
    pub fn price(&self, price: Price) -> Decimal8 {
        Decimal8(price.0.saturating_mul(self.definition.price_unit_e8))
    }

    /// Lots as a wire quantity, saturating as [`Instrument::price`].
    #[inline]
    pub fn quantity(&self, quantity: Quantity) -> Decimal8 {
        let lots = i64::try_from(quantity.0).unwrap_or(i64::MAX);
        Decimal8(lots.saturating_mul(self.definition.lot_size_e8))
    }

    /// AvgPx(6): notional / lots, to eight decimals, half away from zero.
    pub fn average_price(&self, notional: [u64; 2], lots: Quantity) -> Decimal8 {
        if lots.0 == 0 {
            return Decimal8(0);
        }
        let notional = (u128::from(notional[1]) << 64 | u128::from(notional[0])).cast_signed();
        let numerator = notional.saturating_mul(i128::from(self.definition.price_unit_e8));
        let lots = i128::from(lots.0);
        let half = if numerator < 0 { -(lots / 2) } else { lots / 2 };
        let average = numerator.saturating_add(half) / lots;
        Decimal8(i64::try_from(average).unwrap_or(i64::MAX))
    }
}

/// A session as the gateway sees it.
#[derive(Clone, Copy, Debug)]
pub struct SessionEntry {
    /// The definition.
    pub definition: DefineSession,
}

/// Instruments and sessions by id and by name.
#[derive(Clone, Debug, Default)]
pub struct ReferenceData {
    instruments: Vec<Option<Instrument>>,
    by_symbol: HashMap<Box<[u8]>, InstrumentId>,
    sessions: Vec<Option<SessionEntry>>,
    by_name: HashMap<(u8, Box<[u8]>), SessionId>,
}

impl ReferenceData {
    /// Takes an accepted instrument definition.
    pub fn define_instrument(&mut self, definition: &DefineInstrument) {
        let index = definition.instrument.0 as usize;
        if self.instruments.len() <= index {
            self.instruments.resize(index + 1, None);
        }
        let symbol: Box<[u8]> = name_text(&definition.symbol).as_bytes().into();
        self.by_symbol.insert(symbol.clone(), definition.instrument);
        self.instruments[index] = Some(Instrument {
            definition: *definition,
            symbol,
        });
    }

    /// Takes an accepted session definition.
    pub fn define_session(&mut self, definition: &DefineSession) {
        let index = definition.session.0 as usize;
        if self.sessions.len() <= index {
            self.sessions.resize(index + 1, None);
        }
        let name: Box<[u8]> = name_text(&definition.name).as_bytes().into();
        self.by_name
            .insert((definition.protocol, name), definition.session);
        self.sessions[index] = Some(SessionEntry {
            definition: *definition,
        });
    }

    /// The instrument of an id.
    #[inline]
    pub fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        self.instruments.get(id.0 as usize)?.as_ref()
    }

    /// The instrument of a Symbol(55).
    #[inline]
    pub fn instrument_by_symbol(&self, symbol: &[u8]) -> Option<&Instrument> {
        self.instrument(*self.by_symbol.get(symbol)?)
    }

    /// All instruments, ascending id.
    pub fn instruments(&self) -> impl Iterator<Item = &Instrument> {
        self.instruments.iter().flatten()
    }

    /// The session of an id.
    pub fn session(&self, id: SessionId) -> Option<&SessionEntry> {
        self.sessions.get(id.0 as usize)?.as_ref()
    }

    /// The session of a CompID (FIX) or key id (binary).
    pub fn session_by_name(&self, protocol: SessionProtocol, name: &[u8]) -> Option<&SessionEntry> {
        self.session(*self.by_name.get(&(protocol.as_u8(), name.into()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::command::name;

    fn instrument() -> Instrument {
        let mut reference = ReferenceData::default();
        reference.define_instrument(&DefineInstrument {
            instrument: InstrumentId(3),
            symbol: name("ACME").unwrap(),
            price_unit_e8: 1_000_000,
            lot_size_e8: 100_000_000,
            ..DefineInstrument::default()
        });
        reference.instrument_by_symbol(b"ACME").unwrap().clone()
    }

    #[test]
    fn prices_and_lots_convert_exactly_or_name_the_reason() {
        let acme = instrument();
        assert_eq!(
            acme.price_units(Decimal8(22_150_000_000)),
            Ok(Price(22_150))
        );
        assert_eq!(
            acme.price_units(Decimal8(22_150_500_000)),
            Err(Reason::PriceNotOnTick)
        );
        assert_eq!(acme.lots(Decimal8(500_000_000)), Ok(Quantity(5)));
        assert_eq!(
            acme.lots(Decimal8(550_000_000)),
            Err(Reason::QuantityNotOnLot)
        );
        assert_eq!(acme.lots(Decimal8(0)), Err(Reason::QuantityBelowMinimum));
        assert_eq!(acme.price(Price(22_150)), Decimal8(22_150_000_000));
    }

    #[test]
    fn average_price_rounds_half_away_from_zero() {
        let acme = instrument();
        // 1 lot at 100.00 and 2 lots at 100.01: 100.00666667
        let average = acme.average_price([10_000 + 2 * 10_001, 0], Quantity(3));
        assert_eq!(average.to_string(), "100.00666667");
        assert_eq!(acme.average_price([0, 0], Quantity(0)), Decimal8(0));
    }
}
