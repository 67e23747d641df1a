//! Reference data: instruments, firms, accounts and sessions enter as commands, so the log alone rebuilds
//! the world. Saying the same again is fine; saying something else is refused, but for what an
//! operator may change: keys, roles and users of sessions, whether an account is enabled, and of instruments
//! all that does not say what a price or a lot is.

use trading_engine_protocol::types::{FirmId, Reason, Roles, SessionId, SessionProtocol};

use super::Engine;
use super::command::{CommandBody, CommandKind, DefineFirm, DefineInstrument, DefineSession};
use super::command::{Name, name, name_text};
use super::event::{
    AccountSet, CapacitiesSet, DefinitionRefused, EventSink, FirmDefined, InstrumentDefined,
    ReferenceSet, SessionDefined, TickTableDefined,
};
use super::instrument::Instrument;
use super::session::{Blocks, Firm, SessionState};

/// Whether it is a name as definitions have it.
pub(super) fn is_name(text: &Name) -> bool {
    name(name_text(text)).as_ref() == Some(text)
}

impl Engine {
    pub(super) fn apply_definition(&mut self, body: CommandBody<'_>, sink: &mut impl EventSink) {
        let nobody = SessionId(0);
        let refused = match body {
            CommandBody::Genesis(genesis) => {
                if self.log_id == 0 && self.sequence.0 == 1 {
                    self.log_id = genesis.log_id;
                    self.ids.set_key(genesis.hash_key);
                    self.quotes.set_key(genesis.hash_key);
                } else {
                    self.refuse(sink, CommandKind::Genesis, Reason::InvalidDefinition);
                }
                None
            }
            CommandBody::SetCapacities(set) => match self.set_capacities(set) {
                Ok(()) => {
                    self.note(
                        sink,
                        nobody,
                        Reason::None,
                        CapacitiesSet { capacities: *set },
                    );
                    None
                }
                Err(reason) => Some((CommandKind::SetCapacities, 0, reason)),
            },
            CommandBody::DefineInstrument(definition) => match self.define_instrument(definition) {
                Ok(()) => {
                    let body = InstrumentDefined {
                        definition: *definition,
                    };
                    self.note(sink, nobody, Reason::None, body);
                    None
                }
                Err(reason) => Some((
                    CommandKind::DefineInstrument,
                    definition.instrument.0,
                    reason,
                )),
            },
            CommandBody::DefineFirm(definition) => match self.define_firm(definition) {
                Ok(()) => {
                    let body = FirmDefined {
                        definition: *definition,
                    };
                    self.note(sink, nobody, Reason::None, body);
                    None
                }
                Err(reason) => Some((CommandKind::DefineFirm, definition.firm.0, reason)),
            },
            CommandBody::DefineSession(definition) => match self.define_session(definition) {
                Ok(()) => {
                    let body = SessionDefined {
                        definition: *definition,
                    };
                    self.note(sink, nobody, Reason::None, body);
                    None
                }
                Err(reason) => Some((CommandKind::DefineSession, definition.session.0, reason)),
            },
            CommandBody::DefineTickTable(definition) => match self.define_tick_table(definition) {
                Ok(()) => {
                    let body = TickTableDefined {
                        definition: *definition,
                    };
                    self.note(sink, nobody, Reason::None, body);
                    None
                }
                Err(reason) => Some((CommandKind::DefineTickTable, definition.table, reason)),
            },
            CommandBody::SetReference(set) => match self.set_reference(set) {
                Ok(()) => {
                    let body = ReferenceSet {
                        instrument: set.instrument,
                        price: set.price,
                        ..ReferenceSet::default()
                    };
                    self.note(sink, nobody, Reason::None, body);
                    None
                }
                Err(reason) => Some((CommandKind::SetReference, set.instrument.0, reason)),
            },
            CommandBody::SetAccount(set) => match self.set_account(set) {
                Ok(()) => {
                    let body = AccountSet { definition: *set };
                    self.note(sink, nobody, Reason::None, body);
                    None
                }
                Err(reason) => Some((CommandKind::SetAccount, set.firm.0, reason)),
            },
            CommandBody::SessionLogon(_)
            | CommandBody::SessionDisconnected(_)
            | CommandBody::SessionMessage(_)
            | CommandBody::BusinessReject(_)
            | CommandBody::EnterOrder(_)
            | CommandBody::ReplaceOrder(_)
            | CommandBody::CancelOrder(_)
            | CommandBody::RefuseOrder(_)
            | CommandBody::RefuseRequest(_)
            | CommandBody::EnterOrderWithTerms(_)
            | CommandBody::ReplaceOrderWithTerms(_)
            | CommandBody::MassCancel(_)
            | CommandBody::CancelAfter(_)
            | CommandBody::Tick(_)
            | CommandBody::DayRoll(_)
            | CommandBody::AuditNote(_)
            | CommandBody::SetPhase(_)
            | CommandBody::SetLimits(_)
            | CommandBody::KillSwitch(_)
            | CommandBody::AmendTrade(_)
            | CommandBody::MassQuote(_)
            | CommandBody::QuoteCancel(_)
            | CommandBody::ConfigureProtection(_)
            | CommandBody::ResetProtection(_)
            | CommandBody::OrderStatusRequest(_) => None,
        };
        if let Some((command, id, reason)) = refused {
            let body = DefinitionRefused {
                command: command as u8,
                id,
                ..DefinitionRefused::default()
            };
            self.note(sink, nobody, reason, body);
        }
    }

    fn define_instrument(&mut self, definition: &DefineInstrument) -> Result<(), Reason> {
        let id = definition.instrument.0 as usize;
        if id == 0 || !is_name(&definition.symbol) {
            return Err(Reason::InvalidDefinition);
        }
        if id >= self.instruments.len() {
            return Err(Reason::DefinitionCapacity);
        }
        if self.instruments[id].is_defined() {
            self.instruments[id] = self.instruments[id].redefined(definition)?;
            return Ok(());
        }
        let taken = self
            .instruments()
            .any(|other| other.symbol == definition.symbol);
        if taken {
            return Err(Reason::InvalidDefinition);
        }
        self.instruments[id] = Instrument::new(definition)?;
        Ok(())
    }

    fn define_firm(&mut self, definition: &DefineFirm) -> Result<(), Reason> {
        let id = definition.firm.0 as usize;
        if id == 0 || !is_name(&definition.name) {
            return Err(Reason::InvalidDefinition);
        }
        if id >= self.firms.len() {
            return Err(Reason::DefinitionCapacity);
        }
        if self.firms[id].is_defined() {
            let same = self.firms[id].definition == *definition;
            return if same {
                Ok(())
            } else {
                Err(Reason::InvalidDefinition)
            };
        }
        if self.firms().any(|other| other.name == definition.name) {
            return Err(Reason::InvalidDefinition);
        }
        self.firms[id] = Firm {
            definition: *definition,
            ..Firm::default()
        };
        Ok(())
    }

    /// Whether a firm is defined.
    pub(super) fn has_firm(&self, firm: FirmId) -> bool {
        let firm = self.firms.get(firm.0 as usize);
        firm.is_some_and(Firm::is_defined)
    }

    fn define_session(&mut self, definition: &DefineSession) -> Result<(), Reason> {
        let id = definition.session.0 as usize;
        let protocol = SessionProtocol::try_from(definition.protocol)
            .map_err(|_| Reason::InvalidDefinition)?;
        let firm_known = self.has_firm(definition.firm);
        let roles_known = definition.roles & !Roles::ALL.0 == 0;
        if id == 0 || !is_name(&definition.name) || !firm_known || !roles_known {
            return Err(Reason::InvalidDefinition);
        }
        if id >= self.sessions.len() {
            return Err(Reason::DefinitionCapacity);
        }
        if self.sessions[id].is_defined() {
            return self.redefine_session(definition);
        }
        let taken = self.sessions().any(|other| {
            other.definition.name == definition.name
                && other.definition.protocol == definition.protocol
        });
        if taken {
            return Err(Reason::InvalidDefinition);
        }
        let mut blocks = Blocks::default();
        let firm = self.firms[definition.firm.0 as usize];
        blocks.set(Blocks::VENUE, self.venue_blocked);
        blocks = blocks.with(firm.blocks).with(self.user_blocks(definition));
        self.sessions[id] = SessionState {
            definition: *definition,
            protocol,
            inbound: SessionState::first_inbound(protocol),
            limited: self.risk.has(definition.firm),
            has_accounts: self.accounts.has(definition.firm),
            blocks,
            next_of_firm: firm.newest_session,
            ..SessionState::undefined()
        };
        self.firms[definition.firm.0 as usize].newest_session = definition.session.0;
        Ok(())
    }

    /// Key, roles and user may be others, nothing else.
    fn redefine_session(&mut self, definition: &DefineSession) -> Result<(), Reason> {
        let id = definition.session.0 as usize;
        let known = self.sessions[id].definition;
        let same = DefineSession {
            public_key: definition.public_key,
            roles: definition.roles,
            user: definition.user,
            ..known
        };
        if same != *definition {
            return Err(Reason::InvalidDefinition);
        }
        if known.user != definition.user {
            let blocks = self.user_blocks(definition);
            let known = &mut self.sessions[id].blocks;
            known.set(Blocks::USER.with(Blocks::USER.by_venue()), false);
            *known = known.with(blocks);
        }
        self.sessions[id].definition = *definition;
        Ok(())
    }
}
