//! A mirror of the venue's reference data: instruments, firms, accounts, sessions, limits, tick tables, phases and
//! kill switches, as the durable log has them.
//!
//! Begins with a restored core (`topology`), then sees every durable event on the history thread. The
//! admin API reads it, so that what an operator needs is there without a database. It never asks the
//! core anything, and holds its lock for the moment of one change or one answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use trading_engine_protocol::types::{
    InstrumentId, KillScope, Price, Reason, SessionId, SessionProtocol, TradingPhase, UtcNanos,
};

use crate::engine::command::{DefineFirm, DefineInstrument, DefineSession, DefineTickTable};
use crate::engine::command::{SetAccount, SetLimits, name_text};
use crate::engine::event::{self, EventBody, EventHeader, KillSwitchDone, LimitsSet};

/// One instrument.
#[derive(Clone, Copy, Debug)]
pub struct Instrument {
    /// As defined last.
    pub definition: DefineInstrument,
    /// What may happen in its book.
    pub phase: TradingPhase,
    /// When the core will end it by itself, 0 = it will not.
    pub phase_until: UtcNanos,
    /// It was halted by name: phases for all instruments pass it over.
    pub held: bool,
    /// Price units.
    pub reference: Option<Price>,
}

impl Instrument {
    /// Symbol(55).
    pub fn symbol(&self) -> &str {
        name_text(&self.definition.symbol)
    }
}

/// One session.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// As defined last.
    pub definition: DefineSession,
    /// Whether a connection is logged on.
    pub connected: bool,
    /// Newest connection.
    pub generation: u32,
    /// Numbering run.
    pub epoch: u32,
    /// Since when it is, or is not, connected; 0 = not known.
    pub since: UtcNanos,
    /// Why its last connection ended.
    pub closed: Reason,
}

/// What one session was told since the start.
#[derive(Debug, Default)]
pub struct Told {
    /// Numbered messages.
    pub messages: AtomicU64,
    /// Orders accepted, quotes not among them.
    pub orders: AtomicU64,
    /// Fills, of quotes too.
    pub fills: AtomicU64,
    /// Bytes for it that its connection has not taken. Written by its gateway.
    pub unsent_bytes: AtomicU64,
}

/// A kill switch that is on; the order is the one they are listed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// What it stops.
    pub scope: KillScope,
    /// Session, firm, user or instrument; 0 for the venue.
    pub target: u32,
    /// The user's firm; 0 with the other scopes.
    pub firm: u32,
    /// By the venue; else by a firm's desk.
    pub by_venue: bool,
}

/// Whose limits: firm, account (only when by account) and instrument (0 = all).
type LimitsKey = (u32, Option<u32>, u32);

/// Everything that is mirrored.
#[derive(Debug, Default)]
pub struct Reference {
    /// By id.
    pub instruments: BTreeMap<u32, Instrument>,
    /// Ids by symbol.
    pub symbols: BTreeMap<String, u32>,
    /// By id.
    pub firms: BTreeMap<u32, DefineFirm>,
    /// Whether it is enabled, by firm and account.
    pub accounts: BTreeMap<(u32, u32), bool>,
    /// By id.
    pub sessions: BTreeMap<u32, Session>,
    /// Sets of limits, as their last event stated them.
    pub limits: BTreeMap<LimitsKey, LimitsSet>,
    /// By id.
    pub tick_tables: BTreeMap<u32, DefineTickTable>,
    /// Kill switches that are on.
    pub blocks: BTreeSet<Block>,
    /// YYYYMMDD, 0 = none yet.
    pub trading_day: u32,
}

impl Reference {
    /// An instrument by its symbol.
    pub fn instrument(&self, symbol: &str) -> Option<&Instrument> {
        self.instruments.get(self.symbols.get(symbol)?)
    }

    /// The set of limits for exactly this.
    pub fn limits_of(
        &self,
        firm: u32,
        account: Option<u32>,
        instrument: u32,
    ) -> Option<&LimitsSet> {
        self.limits.get(&(firm, account, instrument))
    }

    /// Whether new orders of an instrument are stopped by a kill switch of its own.
    pub fn is_blocked(&self, scope: KillScope, target: u32) -> bool {
        self.blocks
            .iter()
            .any(|block| block.scope == scope && block.target == target)
    }

    /// Takes an instrument as it is in a restored core; with its phase, when the core will end that, 0 = never.
    pub fn begin_instrument(
        &mut self,
        definition: &DefineInstrument,
        phase: (TradingPhase, UtcNanos),
        held: bool,
        reference: Option<Price>,
    ) {
        self.define_instrument(definition);
        if let Some(known) = self.instruments.get_mut(&definition.instrument.0) {
            (known.phase, known.phase_until) = phase;
            known.held = held;
            known.reference = reference;
        }
    }

    /// Takes a session as it is in a restored core.
    pub fn begin_session(&mut self, session: Session) {
        self.sessions.insert(session.definition.session.0, session);
    }

    /// Takes an account.
    pub fn set_account(&mut self, set: &SetAccount) {
        let key = (set.firm.0, set.account.0);
        self.accounts.insert(key, set.enabled == 1);
    }

    /// The accounts of a firm and whether they are enabled, ascending.
    pub fn accounts_of(&self, firm: u32) -> impl Iterator<Item = (u32, bool)> + '_ {
        let all = self.accounts.range((firm, 0)..=(firm, u32::MAX));
        all.map(|((_, account), enabled)| (*account, *enabled))
    }

    /// Takes a set of limits.
    pub fn set_limits(&mut self, set: &LimitsSet) {
        self.limits.insert(key_of(&set.limits), *set);
    }

    fn define_instrument(&mut self, definition: &DefineInstrument) {
        let id = definition.instrument.0;
        self.symbols
            .insert(name_text(&definition.symbol).to_owned(), id);
        let first = TradingPhase::try_from(definition.first_phase);
        let instrument = self.instruments.entry(id).or_insert_with(|| Instrument {
            definition: *definition,
            phase: first.unwrap_or(TradingPhase::Continuous),
            phase_until: UtcNanos(0),
            held: false,
            reference: None,
        });
        instrument.definition = *definition;
    }

    fn define_session(&mut self, definition: &DefineSession) {
        let session = self.sessions.entry(definition.session.0);
        let session = session.or_insert(Session {
            definition: *definition,
            connected: false,
            generation: 0,
            epoch: 1,
            since: UtcNanos(0),
            closed: Reason::None,
        });
        session.definition = *definition;
        // A user's block lasts as long as he has a session.
        let users: BTreeSet<(u32, u32)> = self
            .sessions
            .values()
            .map(|one| (one.definition.firm.0, one.definition.user))
            .collect();
        self.blocks
            .retain(|one| one.scope != KillScope::User || users.contains(&(one.firm, one.target)));
    }

    fn connection(&mut self, header: &EventHeader, connected: bool) {
        if let Some(session) = self.sessions.get_mut(&header.session.0) {
            session.connected = connected;
            session.generation = header.generation.0;
            session.epoch = header.epoch.0;
            session.since = header.sequenced_at;
            if !connected {
                session.closed = Reason::try_from(header.reason).unwrap_or(Reason::None);
            }
        }
    }

    /// A kill switch was set or released, by the venue (session 0) or by a firm's desk.
    fn killed(&mut self, header: &EventHeader, done: &KillSwitchDone) {
        let Ok(scope) = KillScope::try_from(done.scope) else {
            return;
        };
        let by_venue = header.session.0 == 0;
        let desk = self.sessions.get(&header.session.0);
        let desk_firm = desk.map(|session| session.definition.firm.0);
        // Firms number their users themselves: the venue means those of all of them.
        let firms: Vec<u32> = match scope {
            KillScope::User => {
                let meant = self.sessions.values().filter(|session| {
                    let of = &session.definition;
                    of.user == done.target && desk_firm.is_none_or(|firm| firm == of.firm.0)
                });
                let firms: BTreeSet<u32> = meant.map(|one| one.definition.firm.0).collect();
                firms.into_iter().collect()
            }
            KillScope::Session | KillScope::Firm | KillScope::Instrument | KillScope::Venue => {
                vec![0]
            }
        };
        let target = if scope == KillScope::Venue {
            0
        } else {
            done.target
        };
        for firm in firms {
            let block = Block {
                scope,
                target,
                firm,
                by_venue,
            };
            if done.release == 0 {
                self.blocks.insert(block);
                continue;
            }
            self.blocks.remove(&block);
            if by_venue {
                // The venue takes a desk's away, too.
                self.blocks.remove(&Block {
                    by_venue: false,
                    ..block
                });
            }
        }
    }

    fn apply(&mut self, header: &EventHeader, body: &EventBody<'_>) {
        match body {
            EventBody::InstrumentDefined(defined) => self.define_instrument(&defined.definition),
            EventBody::FirmDefined(defined) => {
                let definition = defined.definition;
                self.firms.insert(definition.firm.0, definition);
            }
            EventBody::SessionDefined(defined) => self.define_session(&defined.definition),
            EventBody::TickTableDefined(defined) => {
                let definition = defined.definition;
                self.tick_tables.insert(definition.table, definition);
            }
            EventBody::LimitsSet(set) => self.set_limits(set),
            EventBody::AccountSet(set) => self.set_account(&set.definition),
            EventBody::LogonAnswered(_) => {
                if header.reason == Reason::None.code() {
                    self.connection(header, true);
                }
            }
            EventBody::SessionClosed(_) => self.connection(header, false),
            EventBody::ReferenceSet(set) => self.reference(set.instrument, set.price),
            EventBody::AuctionUncrossed(crossed) => {
                self.reference(crossed.instrument, crossed.price);
            }
            EventBody::PhaseChanged(changed) => {
                let instrument = self.instruments.get_mut(&changed.instrument.0);
                if let (Some(known), Ok(phase)) =
                    (instrument, TradingPhase::try_from(changed.phase))
                {
                    known.phase = phase;
                    known.phase_until = changed.until;
                    known.held = changed.held == 1;
                }
            }
            EventBody::KillSwitchDone(done) => {
                if header.reason == Reason::None.code() && done.cancels_only == 0 {
                    self.killed(header, done);
                }
            }
            EventBody::DayRolled(rolled) => self.trading_day = rolled.trading_day,
            EventBody::DefinitionRefused(_)
            | EventBody::AdminMessage(_)
            | EventBody::BusinessRejected(_)
            | EventBody::CommandRefused(_)
            | EventBody::OrderAccepted(_)
            | EventBody::OrderReplaced(_)
            | EventBody::OrderCanceled(_)
            | EventBody::OrderRejected(_)
            | EventBody::RequestRejected(_)
            | EventBody::Fill(_)
            | EventBody::OrderAcceptedWithTerms(_)
            | EventBody::OrderReplacedWithTerms(_)
            | EventBody::OrderTriggered(_)
            | EventBody::OrderRestated(_)
            | EventBody::QuoteRestated(_)
            | EventBody::MassCancelDone(_)
            | EventBody::CancelAfterSet(_)
            | EventBody::AuditNoted(_)
            | EventBody::CapacitiesSet(_)
            | EventBody::AuctionIndicative(_)
            | EventBody::TradeAmended(_)
            | EventBody::MassQuoteAnswered(_)
            | EventBody::QuoteCanceled(_)
            | EventBody::QuoteFill(_)
            | EventBody::QuoteCancelDone(_)
            | EventBody::ProtectionSet(_)
            | EventBody::ProtectionTripped(_)
            | EventBody::OrderStatusReport(_)
            | EventBody::QuoteStatusAnswered(_) => {}
        }
    }

    fn reference(&mut self, instrument: InstrumentId, price: Price) {
        if let Some(known) = self.instruments.get_mut(&instrument.0) {
            known.reference = Some(price);
        }
    }
}

fn key_of(set: &SetLimits) -> LimitsKey {
    let account = (set.by_account == 1).then_some(set.account.0);
    (set.firm.0, account, set.instrument.0)
}

/// Which door a definition is for.
pub fn protocol_of(definition: &DefineSession) -> SessionProtocol {
    SessionProtocol::try_from(definition.protocol).unwrap_or(SessionProtocol::Binary)
}

/// Shares the mirror between the history thread and the API.
#[derive(Clone, Debug)]
pub struct Mirror {
    reference: Arc<RwLock<Reference>>,
    /// By session id. One writer, the history thread, but for what is unsent.
    told: Arc<[Told]>,
}

impl Mirror {
    /// An empty mirror of a venue with ids of sessions up to `sessions`.
    pub fn new(sessions: u32) -> Self {
        Self {
            reference: Arc::default(),
            told: (0..=sessions).map(|_| Told::default()).collect(),
        }
    }

    /// Looks at it.
    pub fn read<T>(&self, look: impl FnOnce(&Reference) -> T) -> T {
        look(
            &self
                .reference
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Changes it: before the venue runs, and by its events.
    pub fn write<T>(&self, change: impl FnOnce(&mut Reference) -> T) -> T {
        change(
            &mut self
                .reference
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// So many bytes for a session were not taken by its connection.
    pub fn lags(&self, session: SessionId, bytes: u64) {
        if let Some(told) = self.told(session.0)
            // Mostly nothing is new, and others write beside it.
            && told.unsent_bytes.load(Ordering::Relaxed) != bytes
        {
            told.unsent_bytes.store(bytes, Ordering::Relaxed);
        }
    }

    /// What a session was told since the start.
    pub fn told(&self, session: u32) -> Option<&Told> {
        self.told.get(session as usize)
    }

    /// One durable event, in order. The many of trading cost a look at their kind.
    pub fn see(&self, header: &EventHeader, bytes: &[u8]) {
        let bump = |counter: &AtomicU64| {
            counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        };
        if header.session_seq.0 != 0
            && let Some(told) = self.told(header.session.0)
        {
            bump(&told.messages);
            if is_entry(header.kind) {
                bump(&told.orders);
            } else if is_fill(header.kind) {
                bump(&told.fills);
            }
        }
        if is_reference(header.kind)
            && let Ok((_, body)) = event::read(bytes)
        {
            self.write(|reference| reference.apply(header, &body));
        }
    }
}

fn is_entry(kind: u8) -> bool {
    use event::EventKind as K;
    kind == K::OrderAccepted as u8 || kind == K::OrderAcceptedWithTerms as u8
}

fn is_fill(kind: u8) -> bool {
    use event::EventKind as K;
    kind == K::Fill as u8 || kind == K::QuoteFill as u8
}

/// Whether [`Reference::apply`] does anything with it.
fn is_reference(kind: u8) -> bool {
    use event::EventKind as K;
    [
        K::InstrumentDefined,
        K::FirmDefined,
        K::SessionDefined,
        K::TickTableDefined,
        K::LimitsSet,
        K::AccountSet,
        K::LogonAnswered,
        K::SessionClosed,
        K::ReferenceSet,
        K::AuctionUncrossed,
        K::PhaseChanged,
        K::KillSwitchDone,
        K::DayRolled,
    ]
    .iter()
    .any(|known| *known as u8 == kind)
}
