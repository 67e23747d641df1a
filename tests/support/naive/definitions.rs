//! Reference data: what is defined anew, and what of it may become another.

use trading_engine::engine::command::{
    CommandKind, DefineFirm, DefineInstrument, DefineSession, DefineTickTable, Name, SetAccount,
    SetReference, TickStep, name, name_text,
};
use trading_engine::limits::{PRICE_TICKS_MAX, QUANTITY_MAX, TICK_TABLES_MAX};
use trading_engine_protocol::types::{Reason, Roles, SessionProtocol, TradingPhase};

use super::{Block, Book, Session, Venue, What};

fn is_name(text: &Name) -> bool {
    name(name_text(text)) == Some(*text)
}

/// Whether prices and lots of an instrument are what they may be.
fn is_sound(one: &DefineInstrument) -> bool {
    let (low, high) = (i128::from(one.price_min.0), i128::from(one.price_max.0));
    let tick = i128::from(one.tick);
    let on_the_wire = |number: i128, unit: i64| i64::try_from(number * i128::from(unit)).is_ok();
    tick > 0
        && i64::try_from(one.tick).is_ok()
        && low <= high
        && i64::try_from(high - low).is_ok()
        && low % tick == 0
        && high % tick == 0
        && (high - low) / tick < i128::from(PRICE_TICKS_MAX)
        && one.price_unit_e8 > 0
        && one.lot_size_e8 > 0
        && on_the_wire(low, one.price_unit_e8)
        && on_the_wire(high, one.price_unit_e8)
        && on_the_wire(one.quantity_max.0.into(), one.lot_size_e8)
        && one.quantity_min.0 >= 1
        && one.quantity_min <= one.quantity_max
        && one.quantity_max.0 <= QUANTITY_MAX
        && one.quantity_increment.0 >= 1
        && i64::try_from(one.static_band).is_ok()
        && i64::try_from(one.dynamic_band).is_ok()
        && u32::from(one.tick_table) <= TICK_TABLES_MAX
        && TradingPhase::try_from(one.first_phase).is_ok()
}

fn is_multiple(step: &TickStep, tick: u64) -> bool {
    i128::from(step.from.0) % i128::from(tick) == 0
}

/// At least one step, from ever higher prices, each a multiple of its own tick and of the one before.
fn is_sound_table(table: &DefineTickTable) -> bool {
    let used = table.steps.iter().take_while(|step| step.tick != 0).count();
    let (steps, rest) = table.steps.split_at(used);
    (1..=TICK_TABLES_MAX).contains(&table.table)
        && !steps.is_empty()
        && rest.iter().all(|step| *step == TickStep::default())
        && steps.iter().all(|step| is_multiple(step, step.tick))
        && steps
            .windows(2)
            .all(|two| two[0].from < two[1].from && is_multiple(&two[1], two[0].tick))
}

impl Venue {
    fn answer_definition(&mut self, of: (CommandKind, u32), answer: Result<What, Reason>) {
        self.asking = 0;
        let refused = What::DefinitionRefused(of.0 as u8, of.1);
        match answer {
            Ok(what) => self.tell(0, Reason::None, what),
            Err(why) => self.tell(0, why, refused),
        }
    }

    pub fn define_instrument(&mut self, definition: &DefineInstrument) {
        let answer = self.check_instrument(definition).map(|at| {
            if at < self.instruments.len() {
                self.instruments[at] = *definition;
            } else {
                self.instruments.push(*definition);
                self.books.push(Book {
                    phase: definition.first_phase,
                    ..Book::default()
                });
            }
            What::InstrumentDefined(*definition)
        });
        let of = (CommandKind::DefineInstrument, definition.instrument.0);
        self.answer_definition(of, answer);
    }

    /// Its place among the instruments.
    fn check_instrument(&self, new: &DefineInstrument) -> Result<usize, Reason> {
        if new.instrument.0 == 0 || !is_name(&new.symbol) {
            return Err(Reason::InvalidDefinition);
        }
        if new.instrument.0 > self.definition_capacity.0 {
            return Err(Reason::DefinitionCapacity);
        }
        let at = new.instrument.0 as usize - 1;
        let known = self.instruments.get(at);
        // What a price and a lot is never changes.
        let same = known.is_none_or(|known| {
            known.symbol == new.symbol
                && (known.price_unit_e8, known.lot_size_e8) == (new.price_unit_e8, new.lot_size_e8)
                && known.tick == new.tick
                && (known.price_min, known.price_max) == (new.price_min, new.price_max)
        });
        let taken = (self.instruments.iter())
            .any(|other| other.symbol == new.symbol && other.instrument != new.instrument);
        if !same || taken || !is_sound(new) {
            return Err(Reason::InvalidDefinition);
        }
        assert!(at <= self.instruments.len(), "the oracle has no gaps");
        Ok(at)
    }

    pub fn define_firm(&mut self, definition: &DefineFirm) {
        let answer = self.check_firm(definition).map(|()| {
            self.firms.insert(definition.firm.0, *definition);
            What::FirmDefined(*definition)
        });
        let of = (CommandKind::DefineFirm, definition.firm.0);
        self.answer_definition(of, answer);
    }

    fn check_firm(&self, new: &DefineFirm) -> Result<(), Reason> {
        if new.firm.0 == 0 || !is_name(&new.name) {
            return Err(Reason::InvalidDefinition);
        }
        if new.firm.0 > self.definition_capacity.1 {
            return Err(Reason::DefinitionCapacity);
        }
        let known = self.firms.get(&new.firm.0);
        let taken = (self.firms.values()).any(|one| one.name == new.name && one.firm != new.firm);
        if taken || known.is_some_and(|known| known != new) {
            return Err(Reason::InvalidDefinition);
        }
        Ok(())
    }

    pub fn define_session(&mut self, definition: &DefineSession) {
        let answer = self.check_session(definition).map(|at| {
            if at == self.sessions.len() {
                self.sessions.push(Session::default());
            }
            let session = &mut self.sessions[at];
            session.definition = *definition;
            session.firm = definition.firm.0;
            session.user = definition.user;
            session.risk = definition.roles & Roles::RISK.0 != 0;
            session.restarts = definition.reset_at_day_roll == 1;
            self.forget_users();
            What::SessionDefined(*definition)
        });
        let of = (CommandKind::DefineSession, definition.session.0);
        self.answer_definition(of, answer);
    }

    /// A user's block is there as long as he has a session.
    fn forget_users(&mut self) {
        let sessions = &self.sessions;
        let before = self.blocks.len();
        self.blocks.retain(|(_, block)| match *block {
            Block::User(firm, user) => {
                let mut theirs = sessions.iter().map(|one| (one.firm, one.user));
                theirs.any(|one| one == (firm, user))
            }
            Block::Session(_) | Block::Firm(_) | Block::Instrument(_) | Block::Venue => true,
        });
        if self.blocks.len() < before {
            self.saw("a user's block went with his last session");
        }
    }

    /// Its place among the sessions.
    fn check_session(&self, new: &DefineSession) -> Result<usize, Reason> {
        if new.session.0 == 0
            || !is_name(&new.name)
            || SessionProtocol::try_from(new.protocol).is_err()
            || !self.firms.contains_key(&new.firm.0)
            || new.roles & !Roles::ALL.0 != 0
        {
            return Err(Reason::InvalidDefinition);
        }
        if new.session.0 > self.definition_capacity.2 {
            return Err(Reason::DefinitionCapacity);
        }
        let at = new.session.0 as usize;
        assert!(at <= self.sessions.len(), "the oracle has no gaps");
        let fits = match self.sessions.get(at) {
            // Key, roles and user may be others.
            Some(known) => {
                let may = DefineSession {
                    public_key: new.public_key,
                    roles: new.roles,
                    user: new.user,
                    ..known.definition
                };
                may == *new
            }
            None => !(self.sessions.iter().skip(1)).any(|other| {
                let other = &other.definition;
                (other.name, other.protocol) == (new.name, new.protocol)
            }),
        };
        fits.then_some(at).ok_or(Reason::InvalidDefinition)
    }

    pub fn set_account(&mut self, set: &SetAccount) {
        let key = (set.firm.0, set.account.0);
        let answer = if !self.firms.contains_key(&set.firm.0) || set.enabled > 1 {
            Err(Reason::InvalidDefinition)
        } else if !self.accounts.contains_key(&key) && self.accounts.len() >= self.account_capacity
        {
            Err(Reason::DefinitionCapacity)
        } else {
            self.accounts.insert(key, set.enabled == 1);
            Ok(What::AccountSet(*set))
        };
        self.answer_definition((CommandKind::SetAccount, set.firm.0), answer);
    }

    /// Whether a session may enter something for an account: any, if its firm has none.
    pub(super) fn takes_account(&self, session: u32, account: u32) -> bool {
        let firm = self.sessions[session as usize].firm;
        let theirs = |owner: &(u32, u32)| owner.0 == firm;
        !self.accounts.keys().any(theirs) || self.accounts.get(&(firm, account)) == Some(&true)
    }

    pub fn define_tick_table(&mut self, definition: &DefineTickTable) {
        let answer = if is_sound_table(definition) {
            self.tick_tables.insert(definition.table, *definition);
            Ok(What::TickTableDefined(*definition))
        } else {
            Err(Reason::InvalidDefinition)
        };
        let of = (CommandKind::DefineTickTable, definition.table);
        self.answer_definition(of, answer);
    }

    pub fn set_reference(&mut self, request: &SetReference) {
        let at = (request.instrument.0 as usize).wrapping_sub(1);
        let answer = match self.instruments.get(at) {
            None => Err(Reason::UnknownInstrument),
            Some(one) => {
                // Any price of the instrument, whatever its tick table says now.
                let is_price = one.price_min <= request.price
                    && request.price <= one.price_max
                    && (request.price.0 - one.price_min.0) % one.tick as i64 == 0;
                is_price.then_some(()).ok_or(Reason::InvalidDefinition)
            }
        };
        let answer = answer.map(|()| {
            let book = &mut self.books[at];
            let newer = book.last.is_some() && book.last != Some(request.price.0);
            book.reference = Some(request.price.0);
            book.center = Some(request.price.0);
            if newer {
                self.saw("a reference price after a trade");
            }
            What::ReferenceSet(request.instrument.0, request.price.0)
        });
        let of = (CommandKind::SetReference, request.instrument.0);
        self.answer_definition(of, answer);
    }
}
