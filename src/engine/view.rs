//! What the core shows of its reference data to who stands beside it: the mirror that the admin API
//! reads begins with it after a recovery. Nothing here changes anything.

use trading_engine_protocol::types::{InstrumentId, KillScope, Price};

use super::Engine;
use super::command::{DefineTickTable, SetAccount};
use super::event::LimitsSet;
use super::session::Blocks;

/// A kill switch that is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KillBlock {
    /// What it stops.
    pub scope: KillScope,
    /// Session, firm, user or instrument; 0 for the venue.
    pub target: u32,
    /// The user's firm; 0 with the other scopes.
    pub firm: u32,
    /// Set by the venue, which alone can take it away; else by a firm's desk.
    pub by_venue: bool,
}

impl Engine {
    /// Defined tick tables, ascending.
    pub fn tick_tables(&self) -> impl Iterator<Item = &DefineTickTable> {
        self.tick_tables.iter().filter(|table| table.table != 0)
    }

    /// Every set of risk limits, as its event would state it now.
    pub fn risk_limits(&self) -> impl Iterator<Item = LimitsSet> + '_ {
        self.risk.all()
    }

    /// Every account, by firm and number.
    pub fn accounts(&self) -> impl Iterator<Item = &SetAccount> {
        self.accounts.all()
    }

    /// The reference price of an instrument, if it has one.
    pub fn reference_price(&self, id: InstrumentId) -> Option<Price> {
        let found = self.instruments.get(id.0 as usize)?;
        let tick = found.reference.checked_sub(1)?;
        found.is_defined().then(|| found.price_of(tick))
    }

    /// Every kill switch that is on.
    pub fn kill_switches(&self, mut each: impl FnMut(KillBlock)) {
        let mut block = |scope, target, firm, by_venue| {
            each(KillBlock {
                scope,
                target,
                firm,
                by_venue,
            });
        };
        if self.venue_blocked {
            block(KillScope::Venue, 0, 0, true);
        }
        for instrument in self.instruments.iter().filter(|one| one.blocked) {
            let id = instrument.definition.instrument.0;
            block(KillScope::Instrument, id, 0, true);
        }
        let mut both = |blocks: Blocks, bit: Blocks, scope, target, firm| {
            if blocks.of(bit).any() {
                block(scope, target, firm, false);
            }
            if blocks.of(bit.by_venue()).any() {
                block(scope, target, firm, true);
            }
        };
        for firm in self.firms.iter().filter(|firm| firm.is_defined()) {
            let id = firm.definition.firm.0;
            both(firm.blocks, Blocks::FIRM, KillScope::Firm, id, 0);
        }
        for session in self.sessions() {
            let of = &session.definition;
            let (id, firm) = (of.session.0, of.firm.0);
            both(session.blocks, Blocks::SESSION, KillScope::Session, id, 0);
            both(session.blocks, Blocks::USER, KillScope::User, of.user, firm);
        }
    }
}
