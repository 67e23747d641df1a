//! What a gateway must know of instruments and sessions to translate between wire and core.
//!
//! Seeded from the engine after recovery and kept up by definition events; it lags the core by
//! the events still in flight, which is why an unknown name is answered by the core, in order.

use std::collections::HashMap;

use trading_engine_protocol::types::{
    Decimal8, FirmId, InstrumentId, Price, Quantity, Reason, SessionId, SessionProtocol,
    TradingPhase, UtcNanos,
};

use crate::engine::command::{DefineInstrument, DefineSession, SetLimits, name_text};

/// An instrument as the wires see it.
#[derive(Clone, Debug)]
pub struct Instrument {
    /// The definition.
    pub definition: DefineInstrument,
    /// Symbol(55).
    pub symbol: Box<[u8]>,
    /// Its trading phase.
    pub phase: TradingPhase,
    /// Since when, UTC ns; 0: since before this gateway saw it.
    pub phase_since: UtcNanos,
    /// Which of all changes of phases brought it, from 1; that it was defined is one.
    pub change: u64,
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

/// The message rate of a firm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageRate {
    /// New orders, replaces, mass quotes and status requests at once, 0 = as many as come.
    pub messages: u32,
    /// In so long, milliseconds, it takes as many again.
    pub window_ms: u32,
}

/// Instruments and sessions by id and by name.
#[derive(Clone, Debug, Default)]
pub struct ReferenceData {
    instruments: Vec<Option<Instrument>>,
    by_symbol: HashMap<Box<[u8]>, InstrumentId>,
    sessions: Vec<Option<SessionEntry>>,
    by_name: HashMap<(u8, Box<[u8]>), SessionId>,
    /// Message rates of firms that have one, by id.
    rates: HashMap<FirmId, MessageRate>,
    /// Changes of phases so far.
    changes: u64,
    /// Whose was the last one.
    changed: InstrumentId,
    /// Instruments in each phase.
    phases: [u32; TradingPhase::ALL.len()],
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
        if let Some(known) = &mut self.instruments[index] {
            // Its phase is not the definition's to change.
            known.definition = *definition;
            known.symbol = symbol;
            return;
        }
        let first = TradingPhase::try_from(definition.first_phase);
        let phase = first.unwrap_or(TradingPhase::Continuous);
        self.changes += 1;
        self.changed = definition.instrument;
        self.phases[usize::from(phase.as_u8())] += 1;
        self.instruments[index] = Some(Instrument {
            definition: *definition,
            symbol,
            phase,
            phase_since: UtcNanos(0),
            change: self.changes,
        });
    }

    /// Takes an accepted set of limits: what is a whole firm's may have its message rate.
    pub fn set_limits(&mut self, set: &SetLimits) {
        let alone = set.by_account == 0 && set.instrument == InstrumentId(0);
        if alone && set.messages == 0 {
            self.rates.remove(&set.firm);
        } else if alone {
            let rate = MessageRate {
                messages: set.messages,
                window_ms: set.messages_ms,
            };
            self.rates.insert(set.firm, rate);
        }
    }

    /// The message rate that holds for a session.
    pub fn message_rate(&self, session: SessionId) -> MessageRate {
        let firm = self.session(session).map(|entry| entry.definition.firm);
        let rate = firm.and_then(|firm| self.rates.get(&firm));
        rate.copied().unwrap_or_default()
    }

    /// An instrument is in a phase from then on. Returns whether it was in another.
    pub fn set_phase(&mut self, id: InstrumentId, phase: TradingPhase, since: UtcNanos) -> bool {
        let found = self.instruments.get_mut(id.0 as usize);
        let Some(instrument) = found.and_then(Option::as_mut) else {
            return false;
        };
        let previous = std::mem::replace(&mut instrument.phase, phase);
        if previous == phase {
            return false;
        }
        self.changes += 1;
        self.changed = id;
        instrument.phase_since = since;
        instrument.change = self.changes;
        self.phases[usize::from(previous.as_u8())] -= 1;
        self.phases[usize::from(phase.as_u8())] += 1;
        true
    }

    /// Changes of phases so far: who was told of so many was told of all.
    #[inline]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The instrument of the last change.
    pub fn changed(&self) -> Option<&Instrument> {
        self.instrument(self.changed)
    }

    /// How many instruments are in a phase.
    pub fn instruments_in(&self, phase: TradingPhase) -> u32 {
        self.phases[usize::from(phase.as_u8())]
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
    fn a_phase_is_a_change_when_it_is_another() {
        let mut reference = ReferenceData::default();
        let id = InstrumentId(3);
        let definition = DefineInstrument {
            instrument: id,
            symbol: name("ACME").unwrap(),
            first_phase: TradingPhase::PreOpen.as_u8(),
            ..DefineInstrument::default()
        };
        reference.define_instrument(&definition);
        assert_eq!(reference.changes(), 1);
        assert_eq!(reference.instruments_in(TradingPhase::PreOpen), 1);
        let then = UtcNanos(7);
        assert!(reference.set_phase(id, TradingPhase::Continuous, then));
        assert!(!reference.set_phase(id, TradingPhase::Continuous, UtcNanos(8)));
        assert!(!reference.set_phase(InstrumentId(4), TradingPhase::Halted, then));
        // Defined again it stays in its phase.
        reference.define_instrument(&definition);
        let acme = reference.changed().unwrap();
        assert_eq!(
            (acme.phase, acme.phase_since),
            (TradingPhase::Continuous, then)
        );
        assert_eq!((acme.change, reference.changes()), (2, 2));
        assert_eq!(reference.instruments_in(TradingPhase::PreOpen), 0);
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
