//! The whole state as bytes, and an engine made of them that goes on exactly as the one before.
//!
//! Logical state, not memory: orders in the priority of their queues, ids and names in the order of
//! their coming, windows from the oldest entry. Where pages, buckets and heap places lie is found
//! again on the way back, so a snapshot may be read by an engine with larger limits. Taken between
//! two commands, by a replica beside the hot path (`journal::snapshots`).
//!
//! A reader believes nothing: every number is checked before it is used, and at the end the
//! `state_hash` must be the one that was written.

use trading_engine_protocol::types::{
    ClientOrderId, ExecId, InstrumentId, SessionId, SessionProtocol, TradingPhase, UtcNanos,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::amend::{is_notional_of, is_state};
use super::command::{
    DefineFirm, DefineInstrument, DefineSession, DefineTickTable, Name, OrderTerms, RULES,
    SetCapacities,
};
use super::deadlines::{NOWHERE, Whose};
use super::definitions::is_name;
use super::event::OrderState;
use super::instrument::{Indicative, Instrument, ladder_side, stop_side};
use super::mates::Mates;
use super::order::{Cold, Extra, Flags, Hot, NIL, Own, notional};
use super::prices::is_tick_table;
use super::quote_book::QuoteName;
use super::session::{Blocks, Firm, SessionState};
use super::state_hash::Hasher;
use super::stops::{SIDES, side_index};
use super::{Engine, Work};
use crate::limits::{EngineLimits, ORDER_ENTRY_BITS, QUANTITY_MAX};

/// Layout version of snapshots; those of others are passed over. 2: instruments can
/// be held, names of quotes are given back, protection groups know their orders. 3: the hash is of
/// all of it, and instruments know the last price before the day. 4: sessions know whether they logged out.
/// 5: firms have accounts, limits know whether their stop was told, instruments which of last trade and reference price
/// is newer; what there is room for is stated, which the hash is not of. 6: stops know whether they were passed.
/// 7: binary ids that follow each other are next to each other. 8: amended trades know what they were amended to.
pub const SNAPSHOT_VERSION: u64 = 8;
/// As far as anything is counted: there is always a next number.
const COUNT_MAX: u64 = 1 << 62;

/// Why bytes are no snapshot for this engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// They end too soon, or go on behind the end.
    Length,
    /// Another layout version.
    Version(u64),
    /// Rules this build does not know.
    Rules(u32),
    /// More of something than this engine's limits allow.
    Limit(&'static str),
    /// No engine can be made with such limits.
    Capacities,
    /// A part that no engine writes.
    Damaged(&'static str),
    /// The state that came of it is not the one that was saved.
    StateHash,
}

impl core::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length => f.write_str("snapshot has the wrong length"),
            Self::Version(version) => write!(f, "snapshot layout version {version} is unknown"),
            Self::Rules(rules) => write!(f, "snapshot's rules {rules} are unknown"),
            Self::Limit(what) => write!(f, "snapshot holds more {what} than this engine may"),
            Self::Capacities => f.write_str("no engine can have these capacities"),
            Self::Damaged(what) => write!(f, "snapshot is damaged: {what}"),
            Self::StateHash => f.write_str("snapshot gives another state than was saved"),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// Where the state is stated: the bytes of a snapshot, or nothing but their hash.
pub(super) enum Out {
    Bytes(Vec<u8>),
    Hash(Hasher),
}

impl Out {
    pub fn word(&mut self, word: u64) {
        match self {
            Self::Bytes(bytes) => bytes.extend_from_slice(&word.to_le_bytes()),
            Self::Hash(hasher) => hasher.word(word),
        }
    }

    pub fn words(&mut self, words: impl IntoIterator<Item = u64>) {
        for word in words {
            self.word(word);
        }
    }

    /// A layout, as it is.
    pub fn part(&mut self, part: &(impl IntoBytes + Immutable + ?Sized)) {
        match self {
            Self::Bytes(bytes) => bytes.extend_from_slice(part.as_bytes()),
            Self::Hash(hasher) => hasher.bytes(part.as_bytes()),
        }
    }
}

/// Takes a snapshot apart.
pub(super) struct In<'a> {
    bytes: &'a [u8],
}

impl In<'_> {
    pub fn word(&mut self) -> Result<u64, SnapshotError> {
        self.part::<u64>()
    }

    pub fn part<T: FromBytes + KnownLayout + Immutable>(&mut self) -> Result<T, SnapshotError> {
        let (part, rest) = T::read_from_prefix(self.bytes).map_err(|_| SnapshotError::Length)?;
        self.bytes = rest;
        Ok(part)
    }

    /// A number below or at a bound.
    pub fn at_most(&mut self, most: u64, what: &'static str) -> Result<usize, SnapshotError> {
        let word = self.word()?;
        if word > most {
            return Err(SnapshotError::Limit(what));
        }
        usize::try_from(word).map_err(|_| SnapshotError::Limit(what))
    }

    pub fn small<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, SnapshotError> {
        T::try_from(self.word()?).map_err(|_| SnapshotError::Damaged(what))
    }

    /// How many of something there were so far.
    fn count(&mut self) -> Result<u64, SnapshotError> {
        let word = self.word()?;
        let counted = (word <= COUNT_MAX).then_some(word);
        counted.ok_or(SnapshotError::Damaged("a count"))
    }

    /// The same, where fewer bits count.
    fn short_count(&mut self) -> Result<u32, SnapshotError> {
        let count = self.small::<u32>("a count")?;
        let counted = (count <= u32::MAX / 2).then_some(count);
        counted.ok_or(SnapshotError::Damaged("a count"))
    }

    pub fn flag(&mut self) -> Result<bool, SnapshotError> {
        match self.word()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(SnapshotError::Damaged("a flag")),
        }
    }
}

/// What the engine that was saved had room for.
///
/// # Errors
/// Bytes that are no snapshot.
pub fn capacities(bytes: &[u8]) -> Result<EngineLimits, SnapshotError> {
    let mut input = In { bytes };
    let version = input.word()?;
    if version != SNAPSHOT_VERSION {
        return Err(SnapshotError::Version(version));
    }
    let limits = capacities_in(&mut input)?.limits;
    let possible = limits.are_possible().then_some(limits);
    possible.ok_or(SnapshotError::Damaged("capacities"))
}

fn capacities_in(input: &mut In<'_>) -> Result<SetCapacities, SnapshotError> {
    let capacities: SetCapacities = input.part()?;
    if capacities.rules > RULES {
        return Err(SnapshotError::Rules(capacities.rules));
    }
    Ok(capacities)
}

impl Engine {
    /// The state between two commands; `None` while one is unfinished.
    pub fn save(&self) -> Option<Vec<u8>> {
        self.save_for(&self.limits)
    }

    /// As an engine with these limits can have it: where nothing is open in the places of orders and quotes that it
    /// lacks, they are left out, and the others are free in the order in which they were.
    pub(super) fn save_for(&self, limits: &EngineLimits) -> Option<Vec<u8>> {
        if self.work != Work::Nothing || self.held_length != 0 {
            return None;
        }
        let mut out = Out::Bytes(Vec::with_capacity(1 << 20));
        out.word(SNAPSHOT_VERSION);
        out.part(&self.capacities());
        self.save_head(&mut out);
        self.save_orders(limits, &self.ids.places(), &mut out);
        self.save_rest(limits, &mut out);
        out.word(self.hash_for(limits));
        match out {
            Out::Bytes(bytes) => Some(bytes),
            Out::Hash(_) => None,
        }
    }

    fn capacities(&self) -> SetCapacities {
        SetCapacities {
            rules: self.rules,
            ..SetCapacities::of(&self.limits)
        }
    }

    /// Numbers and definitions.
    pub(super) fn save_head(&self, out: &mut Out) {
        out.words([
            self.log_id,
            self.sequence.0,
            self.sequenced_at.0,
            self.executions,
            self.trades,
            u64::from(self.trading_day),
            u64::from(self.venue_blocked),
        ]);
        self.save_definitions(out);
    }

    /// What is behind the orders.
    pub(super) fn save_rest(&self, limits: &EngineLimits, out: &mut Out) {
        self.save_books(out);
        self.quotes.save(limits.quotes, out);
        self.protection.save(out);
        self.risk.save(out);
        self.amended.save(out);
        self.deadlines.save(out);
    }

    /// An engine that goes on where the saved one was.
    ///
    /// # Errors
    /// Bytes that are no snapshot, limits that no engine can have, or more than they allow.
    pub fn restore(limits: EngineLimits, bytes: &[u8]) -> Result<Self, SnapshotError> {
        if !limits.are_possible() {
            return Err(SnapshotError::Capacities);
        }
        let mut engine = Self::new(limits);
        engine.load(bytes)?;
        Ok(engine)
    }

    /// Puts a snapshot into an engine that has seen nothing yet. After an error it is of no use.
    ///
    /// # Errors
    /// As [`Engine::restore`].
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let mut input = In { bytes };
        let input = &mut input;
        let version = input.word()?;
        if version != SNAPSHOT_VERSION {
            return Err(SnapshotError::Version(version));
        }
        // What there is room for is this engine's own.
        self.rules = capacities_in(input)?.rules;
        self.log_id = input.word()?;
        self.sequence.0 = input.count()?;
        self.sequenced_at.0 = input.word()?;
        self.executions = input.count()?;
        self.trades = input.count()?;
        self.trading_day = input.small("the trading day")?;
        self.venue_blocked = input.flag()?;
        self.load_definitions(input)?;
        let buckets = self.ids.load(input)?;
        self.load_orders(&buckets, input)?;
        self.load_books(input)?;
        self.check_lists()?;
        self.quotes.load(input)?;
        self.check_names()?;
        self.protection.load(input)?;
        let protected = self.live_slots();
        let protected = protected.filter(|&slot| self.orders.is_protected(slot));
        self.check_groups(protected.count())?;
        self.risk.load(input)?;
        self.check_what_is_counted()?;
        self.amended.load(input)?;
        self.load_deadlines(input)?;
        let hash = input.word()?;
        if !input.bytes.is_empty() {
            return Err(SnapshotError::Length);
        }
        // A fuzzer is to get past it: what it finds then is a check that is missing.
        if hash != self.state_hash() && !cfg!(fuzzing) {
            return Err(SnapshotError::StateHash);
        }
        Ok(())
    }

    fn save_definitions(&self, out: &mut Out) {
        let firms = || self.firms.iter().filter(|firm| firm.is_defined());
        out.word(firms().count() as u64);
        for firm in firms() {
            out.part(&firm.definition);
            out.words([
                u64::from(firm.newest_session),
                u64::from(firm.blocks.0),
                firm.groupless.word(),
            ]);
        }
        self.accounts.save(out);
        out.word(self.sessions().count() as u64);
        for session in self.sessions() {
            out.part(&session.definition);
            out.words([
                session.next_outbound,
                session.inbound,
                u64::from(session.epoch),
                u64::from(session.generation),
                u64::from(session.connected),
                u64::from(session.blocks.0),
                u64::from(session.cancel_on_disconnect),
                u64::from(session.cancel_grace_ms),
                u64::from(session.limited),
                u64::from(session.quotes_only),
                u64::from(session.logged_out),
                u64::from(session.oldest),
                u64::from(session.newest),
                u64::from(session.next_of_firm),
            ]);
        }
        for table in &self.tick_tables {
            out.part(table);
        }
        let instruments = || self.instruments.iter().filter(|found| found.is_defined());
        out.word(instruments().count() as u64);
        for instrument in instruments() {
            out.part(&instrument.definition);
            out.words([
                u64::from(instrument.stops),
                u64::from(instrument.traded),
                u64::from(instrument.center),
                u64::from(instrument.closed),
                u64::from(instrument.blocked),
                u64::from(instrument.phase.as_u8()),
                u64::from(instrument.held),
                u64::from(instrument.reference),
                u64::from(instrument.indicative.tick),
                instrument.indicative.volume,
                instrument.indicative.imbalance,
                u64::from(instrument.indicative.side),
            ]);
        }
    }

    fn load_definitions(&mut self, input: &mut In<'_>) -> Result<(), SnapshotError> {
        for _ in 0..input.at_most(self.firms.len() as u64, "firms")? {
            let definition: DefineFirm = input.part()?;
            let id = definition.firm.0 as usize;
            check_name(&definition.name)?;
            let place = self.firms.get_mut(id).filter(|_| id != 0);
            *place.ok_or(SnapshotError::Limit("firms"))? = Firm {
                definition,
                newest_session: input.small("a firm's session")?,
                blocks: Blocks(input.small("blocks")?),
                quotes: 0,
                groupless: Mates::from_word(input.word()?),
            };
        }
        self.accounts.load(input)?;
        self.check_accounts()?;
        for _ in 0..input.at_most(self.sessions.len() as u64, "sessions")? {
            self.load_session(input)?;
        }
        self.check_sessions()?;
        for (place, table) in self.tick_tables.iter_mut().zip(0..) {
            let read: DefineTickTable = input.part()?;
            let defined = read.table == table && is_tick_table(&read);
            if !defined && read != DefineTickTable::default() {
                return Err(SnapshotError::Damaged("a tick table"));
            }
            *place = read;
        }
        for _ in 0..input.at_most(self.instruments.len() as u64, "instruments")? {
            self.load_instrument(input)?;
        }
        Ok(())
    }

    fn load_session(&mut self, input: &mut In<'_>) -> Result<(), SnapshotError> {
        let definition: DefineSession = input.part()?;
        let id = definition.session.0 as usize;
        let protocol = SessionProtocol::try_from(definition.protocol)
            .map_err(|_| SnapshotError::Damaged("a session's protocol"))?;
        check_name(&definition.name)?;
        let place = self.sessions.get_mut(id).filter(|_| id != 0);
        *place.ok_or(SnapshotError::Limit("sessions"))? = SessionState {
            definition,
            protocol,
            next_outbound: input.count()?,
            // A binary client numbers as it likes.
            inbound: match protocol {
                SessionProtocol::Fix => input.count()?,
                SessionProtocol::Binary => input.word()?,
            },
            epoch: input.short_count()?,
            generation: input.short_count()?,
            connected: input.flag()?,
            blocks: Blocks(input.small("blocks")?),
            cancel_on_disconnect: input.small("cancel on disconnect")?,
            cancel_grace_ms: input.small("a grace")?,
            limited: input.flag()?,
            quotes_only: input.flag()?,
            logged_out: input.flag()?,
            has_accounts: self.accounts.has(definition.firm),
            oldest: input.small("an order list")?,
            newest: input.small("an order list")?,
            next_of_firm: input.small("a firm's session")?,
            deadlines: [NOWHERE; 2],
        };
        Ok(())
    }

    /// Every session is in the list of its firm, once.
    fn check_sessions(&self) -> Result<(), SnapshotError> {
        let wrong = SnapshotError::Damaged("a firm's sessions");
        let defined = self.sessions().count();
        let mut listed = 0;
        for firm in &self.firms {
            let mut next = firm.newest_session;
            while next != 0 {
                let session = self.sessions.get(next as usize).filter(|s| s.is_defined());
                let session = session.ok_or(wrong)?;
                listed += 1;
                // A list that comes to itself again is longer than all sessions.
                if session.definition.firm != firm.definition.firm || listed > defined {
                    return Err(wrong);
                }
                next = session.next_of_firm;
            }
        }
        (listed == defined).then_some(()).ok_or(wrong)
    }

    fn load_instrument(&mut self, input: &mut In<'_>) -> Result<(), SnapshotError> {
        let definition: DefineInstrument = input.part()?;
        let id = definition.instrument.0 as usize;
        let mut instrument = Instrument::new(&definition)
            .map_err(|_| SnapshotError::Damaged("an instrument's definition"))?;
        check_name(&definition.symbol)?;
        instrument.stops = input.small("stops")?;
        instrument.traded = input.small("a tick")?;
        instrument.center = input.small("a tick")?;
        instrument.closed = input.small("a tick")?;
        instrument.blocked = input.flag()?;
        instrument.phase = TradingPhase::try_from(input.small::<u8>("a phase")?)
            .map_err(|_| SnapshotError::Damaged("a phase"))?;
        instrument.held = input.flag()?;
        if instrument.held && instrument.phase != TradingPhase::Halted {
            return Err(SnapshotError::Damaged("a phase"));
        }
        instrument.reference = input.small("a tick")?;
        instrument.indicative = Indicative {
            tick: input.small("a tick")?,
            volume: input.word()?,
            imbalance: input.word()?,
            side: input.small("a side")?,
        };
        let ticks = [
            instrument.traded,
            instrument.closed,
            instrument.reference,
            instrument.indicative.tick,
        ];
        if ticks.iter().any(|&tick| tick > instrument.last_tick + 1) {
            return Err(SnapshotError::Damaged("a tick"));
        }
        // It is one of them, and there is none only if there is neither.
        if ![instrument.traded, instrument.reference].contains(&instrument.center)
            || instrument.center == 0 && instrument.traded | instrument.reference != 0
        {
            return Err(SnapshotError::Damaged("a center"));
        }
        let place = self.instruments.get_mut(id).filter(|_| id != 0);
        *place.ok_or(SnapshotError::Limit("instruments"))? = instrument;
        Ok(())
    }

    /// Ids and orders. `places`: which id is in a bucket.
    pub(super) fn save_orders(&self, limits: &EngineLimits, places: &[u32], out: &mut Out) {
        let used = self.orders.used_within(limits.orders);
        self.ids.save(used, out);
        out.words([
            self.orders.entries(),
            u64::from(used),
            u64::from(self.orders.free_below(used, self.orders.first_free())),
        ]);
        for slot in 0..used {
            let at = slot as usize;
            let hot = &self.orders.slots[at].hot;
            out.word(hot.entry);
            if hot.entry == 0 {
                out.word(u64::from(self.orders.free_below(used, hot.next)));
                continue;
            }
            let (cold, extra, own) = (
                &self.orders.slots[at].cold,
                &self.orders.extra[at],
                &self.orders.slots[at].own,
            );
            // A quote's leads to its record, an order's to its id.
            let name = match cold.bucket {
                bucket if hot.flags.any(Flags::QUOTE) => bucket,
                bucket => places.get(bucket as usize).copied().unwrap_or(NIL),
            };
            out.words([
                u64::from(hot.tick),
                u64::from(hot.instrument) << 16 | u64::from(hot.flags.bits()),
                hot.leaves,
                u64::from(cold.session.0),
                u64::from(name),
                u64::from(own.next) << 32 | u64::from(own.prev),
            ]);
            if hot.flags.any(Flags::PROTECTED) {
                let mates = &self.orders.mates[at];
                out.word(u64::from(mates.next) << 32 | u64::from(mates.prev));
            }
            // As a report would state it: the rest may be of the slot's last order.
            out.part(&self.order_state(slot, ExecId(0), cold.open_status()));
            if hot.flags.any(Flags::TERMS) {
                out.part(&extra.terms);
                out.words([extra.hidden, u64::from(extra.stop_tick)]);
            }
        }
    }

    fn load_orders(&mut self, buckets: &[u32], input: &mut In<'_>) -> Result<(), SnapshotError> {
        let entries = input.word()?;
        if entries >> ORDER_ENTRY_BITS != 0 {
            return Err(SnapshotError::Damaged("an entry number"));
        }
        let used = input.at_most(u64::from(self.limits.orders), "orders")?;
        let first_free: u32 = input.small("the free list")?;
        let mut live = 0;
        let mut free = Vec::new();
        for slot in 0..used {
            let entry = input.word()?;
            if entry > entries {
                return Err(SnapshotError::Damaged("an entry number"));
            }
            let mut hot = Hot {
                next: NIL,
                prev: NIL,
                tick: 0,
                instrument: 0,
                flags: Flags::default(),
                leaves: 0,
                entry,
            };
            let mut cold = Cold {
                state: OrderState::default(),
                session: SessionId(0),
                bucket: NIL,
            };
            let mut extra = Extra {
                terms: OrderTerms::NONE,
                hidden: 0,
                stop_tick: 0,
                deadline: NIL,
            };
            let mut links = [Own {
                next: NIL,
                prev: NIL,
            }; 2];
            if entry == 0 {
                hot.next = input.small("the free list")?;
                free.push(slot);
            } else {
                live += 1;
                hot.tick = input.small("a tick")?;
                let both: u32 = input.small("an instrument")?;
                #[allow(clippy::cast_possible_truncation, reason = "the low half")]
                {
                    hot.instrument = (both >> 16) as u16;
                    hot.flags = Flags::from_bits(both as u16);
                }
                hot.leaves = input.at_most(QUANTITY_MAX, "lots")? as u64;
                cold.session = SessionId(input.small("a session")?);
                let name: u32 = input.small("an id")?;
                let protected = hot.flags.any(Flags::PROTECTED);
                for links in links.iter_mut().take(1 + usize::from(protected)) {
                    let both = input.word()?;
                    #[allow(clippy::cast_possible_truncation, reason = "both halves")]
                    {
                        links.next = (both >> 32) as u32;
                        links.prev = both as u32;
                    }
                }
                cold.state = input.part()?;
                if hot.flags.any(Flags::TERMS) {
                    extra.terms = input.part()?;
                    extra.hidden = input.word()?;
                    extra.stop_tick = input.small("a tick")?;
                }
                cold.bucket = if hot.flags.any(Flags::QUOTE) {
                    name
                } else {
                    *buckets
                        .get(name as usize)
                        .ok_or(SnapshotError::Damaged("an id"))?
                };
            }
            self.orders.push(hot, cold, extra, links);
        }
        if !self.orders.resume(entries, first_free, live, &free) {
            return Err(SnapshotError::Damaged("the free list"));
        }
        if !self.ids.lead_below(self.orders.used()) {
            return Err(SnapshotError::Damaged("an id's slot"));
        }
        let sound = self.live_slots().all(|slot| self.is_sound(slot));
        let sound = sound.then_some(());
        sound.ok_or(SnapshotError::Damaged("an order"))
    }

    fn live_slots(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.orders.used()).filter(|&slot| self.orders.is_live(slot))
    }

    /// Whether an order is one that can be open: what commands take for granted of it. Its links, its
    /// name and what is counted for it are looked at by others.
    fn is_sound(&self, slot: u32) -> bool {
        let hot = &self.orders.slots[slot as usize].hot;
        let state = &self.orders.slots[slot as usize].cold.state;
        let extra = &self.orders.extra[slot as usize];
        let instrument = self.instruments.get(usize::from(hot.instrument));
        let Some(instrument) = instrument.filter(|found| found.is_defined()) else {
            return false;
        };
        let definition = &instrument.definition;
        let (flags, quantity) = (hot.flags, state.quantity.0);
        let hidden = if flags.any(Flags::ICEBERG) {
            extra.hidden
        } else {
            0
        };
        let waits = flags.any(Flags::WAITING);
        let elsewhere = Flags::WAITING.with(Flags::PARKED);
        let open = hot.leaves.checked_add(hidden);
        let total = open.and_then(|open| open.checked_add(state.cumulative.0));
        let notional_fits = i64::try_from(quantity)
            .ok()
            .and_then(|lots| lots.checked_mul(definition.lot_size_e8))
            .is_some();
        let at_its_limit =
            hot.tick <= instrument.last_tick && state.price == instrument.price_of(hot.tick);
        let limit_comes_later = waits && hot.tick == 0 && state.price.0 == 0;
        let stop = extra.stop_tick <= instrument.last_tick
            && extra.terms.stop_price == instrument.price_of(extra.stop_tick);
        is_flags_of_one(flags)
            && is_state(state)
            && state.instrument == definition.instrument
            && state.order_id == self.orders.order_id(slot)
            && hot.leaves != 0
            && total == Some(quantity)
            && quantity <= QUANTITY_MAX
            && notional_fits
            && is_notional_of(state.cumulative.0, notional(state.notional), instrument)
            && (at_its_limit || limit_comes_later)
            && (!waits || stop)
            && flags.any(Flags::PROTECTED) == (state.protection_group != 0)
            && (!flags.any(Flags::ICEBERG) || extra.terms.display.0 != 0)
            && (!flags.any(elsewhere) || hidden == 0)
    }

    /// Every queue, from its first order on.
    fn save_books(&self, out: &mut Out) {
        for instrument in self.instruments.iter().filter(|found| found.is_defined()) {
            let id = instrument.id();
            for side in SIDES {
                for ladder in [ladder_side(id, side), stop_side(id, side)] {
                    out.word(self.orders_in(ladder).count() as u64);
                    out.words(self.orders_in(ladder).map(u64::from));
                }
            }
            out.word(self.parked(id).count() as u64);
            out.words(self.parked(id).map(u64::from));
        }
    }

    fn load_books(&mut self, input: &mut In<'_>) -> Result<(), SnapshotError> {
        let mut queued = vec![false; self.orders.used() as usize];
        for at in 1..self.instruments.len() {
            if !self.instruments[at].is_defined() {
                continue;
            }
            let id = self.instruments[at].id();
            for side in SIDES {
                for waiting in [Flags::default(), Flags::WAITING] {
                    for _ in 0..input.at_most(queued.len() as u64, "orders")? {
                        let slot = self.queued(id, &mut queued, input)?;
                        let flags = self.orders.slots[slot as usize].hot.flags;
                        let is_waiting = flags.any(Flags::WAITING);
                        if is_waiting != waiting.any(Flags::WAITING)
                            || flags.any(Flags::PARKED)
                            || self.side_of(slot) != side
                        {
                            return Err(SnapshotError::Damaged("a queue"));
                        }
                        self.queue_again(slot)?;
                    }
                }
            }
            for _ in 0..input.at_most(queued.len() as u64, "orders")? {
                let slot = self.queued(id, &mut queued, input)?;
                if !self.orders.slots[slot as usize]
                    .hot
                    .flags
                    .any(Flags::PARKED)
                {
                    return Err(SnapshotError::Damaged("a queue"));
                }
                self.park_last(slot);
            }
        }
        if !self.live_slots().all(|slot| queued[slot as usize]) {
            return Err(SnapshotError::Damaged("an order without a place"));
        }
        self.instruments.iter().try_for_each(|instrument| {
            let waiting = SIDES.map(|side| stop_side(instrument.id(), side));
            let stops = waiting.map(|ladder| self.orders_in(ladder).count());
            let right = stops.iter().sum::<usize>() == instrument.stops as usize;
            right.then_some(()).ok_or(SnapshotError::Damaged("stops"))
        })
    }

    /// The next order of a queue of an instrument, which is in no other.
    fn queued(
        &self,
        instrument: u16,
        queued: &mut [bool],
        input: &mut In<'_>,
    ) -> Result<u32, SnapshotError> {
        let slot: u32 = input.small("a slot")?;
        let wrong = SnapshotError::Damaged("a queue");
        let seen = queued.get_mut(slot as usize).ok_or(wrong)?;
        let hot = &self.orders.slots[slot as usize].hot;
        if *seen || hot.entry == 0 || hot.instrument != instrument {
            return Err(wrong);
        }
        *seen = true;
        Ok(slot)
    }

    /// Puts an order behind those of its price.
    fn queue_again(&mut self, slot: u32) -> Result<(), SnapshotError> {
        let hot = &self.orders.slots[slot as usize].hot;
        let side = self.side_of(slot);
        let instrument = &self.instruments[usize::from(hot.instrument)];
        let (ladder, key) = if hot.flags.any(Flags::WAITING) {
            let stop_tick = self.orders.extra[slot as usize].stop_tick;
            let key = instrument.stop_key(side, stop_tick);
            (stop_side(hot.instrument, side), key)
        } else {
            let key = instrument.key(side, hot.tick);
            (ladder_side(hot.instrument, side), key)
        };
        if !self.ladders.has_room(ladder, key) {
            return Err(SnapshotError::Limit("price levels"));
        }
        if hot.flags.any(Flags::PASSED) {
            // What was passed at a price waited before all there that was not.
            let continuous = instrument.phase == TradingPhase::Continuous;
            let before = self.ladders.last(ladder, key);
            let is_first = before.is_none_or(|slot| self.is_passed(slot));
            if continuous || instrument.traded == 0 || !is_first {
                return Err(SnapshotError::Damaged("a stop that was passed"));
            }
            self.instruments[usize::from(hot.instrument)].passed[side_index(side)] += 1;
        }
        self.ladders.append(&mut self.orders, ladder, key, slot);
        Ok(())
    }

    /// Orders belong to sessions that are there, and every session's list holds its own, once each.
    fn check_lists(&self) -> Result<(), SnapshotError> {
        let wrong = SnapshotError::Damaged("a session's orders");
        let mut listed = 0;
        for session in self.sessions() {
            let (mut next, mut before) = (session.oldest, NIL);
            let mut id = 0;
            while next != NIL {
                let own = &self.orders.slots.get(next as usize).ok_or(wrong)?.own;
                let order_id = self.orders.order_id(next).0;
                let cold = &self.orders.slots[next as usize].cold;
                // Ids ascend, so the list comes to an end.
                if own.prev != before
                    || order_id <= id
                    || cold.session != session.definition.session
                    || !self.orders.is_live(next)
                {
                    return Err(wrong);
                }
                (before, next, id) = (next, own.next, order_id);
                listed += 1;
            }
            if before != session.newest {
                return Err(wrong);
            }
        }
        let all = listed == self.orders.live();
        all.then_some(()).ok_or(wrong)
    }

    /// An order's id leads to it, a quote's record too, and no record to anything else.
    fn check_names(&mut self) -> Result<(), SnapshotError> {
        let wrong = SnapshotError::Damaged("a name");
        let mut quotes = 0;
        for slot in self.live_slots() {
            let cold = &self.orders.slots[slot as usize].cold;
            let state = &cold.state;
            let leads_here = if self.orders.slots[slot as usize].hot.flags.any(Flags::QUOTE) {
                quotes += 1;
                let name = self.quotes.name_of(cold.bucket, cold.side(), slot);
                name.is_some_and(|name| {
                    name.session == cold.session
                        && name.instrument == state.instrument
                        && name.group == state.protection_group
                })
            } else {
                let hash = self.ids.hash(cold.session, &state.client_order_id);
                self.ids.leads(hash, cold.bucket, slot)
            };
            if !leads_here {
                return Err(wrong);
            }
        }
        // Every name has a quote, whose session is there.
        for name in self.quotes.names() {
            let firm = self.firm_of(name.session).0 as usize;
            self.firms[firm].quotes += 1;
        }
        let all = quotes == self.quotes.quoted();
        all.then_some(()).ok_or(wrong)
    }

    fn load_deadlines(&mut self, input: &mut In<'_>) -> Result<(), SnapshotError> {
        let wrong = SnapshotError::Damaged("a deadline");
        let mut tells_limits = false;
        for _ in 0..input.at_most(self.deadlines.capacity() as u64, "deadlines")? {
            let at = UtcNanos(input.word()?);
            let kind = input.word()?;
            let code = input.word()?;
            let small = u32::try_from(code).map_err(|_| wrong);
            let place = match kind {
                0 => {
                    let session = self.sessions.get((small? >> 1) as usize);
                    let session = session
                        .filter(|session| session.is_defined())
                        .ok_or(wrong)?;
                    session.deadlines[(code & 1) as usize]
                }
                1 => {
                    let found = self.instruments.get((small? >> 1) as usize);
                    let found = found.filter(|found| found.is_defined()).ok_or(wrong)?;
                    found.deadlines[(code & 1) as usize]
                }
                2 => {
                    let id = trading_engine_protocol::types::OrderId(code);
                    let slot = self.orders.find(id).ok_or(wrong)?;
                    if !self.orders.slots[slot as usize].hot.flags.any(Flags::DATED) {
                        return Err(wrong);
                    }
                    self.orders.extra[slot as usize].deadline
                }
                3 if code == 0 && !tells_limits => {
                    tells_limits = true;
                    NOWHERE
                }
                _ => return Err(wrong),
            };
            // An owner has one of each kind.
            if place != NOWHERE {
                return Err(wrong);
            }
            let whose = match kind {
                0 => Whose::Session(small?),
                1 => Whose::Instrument(small?),
                2 => Whose::Order(code),
                _ => Whose::Limits,
            };
            self.add_deadline(at, whose);
        }
        let all = self.live_slots().all(|slot| {
            let dated = self.orders.slots[slot as usize].hot.flags.any(Flags::DATED);
            !dated || self.orders.extra[slot as usize].deadline != NOWHERE
        });
        let all = all && tells_limits == self.risk.has_untold();
        all.then_some(()).ok_or(wrong)
    }
}

fn check_name(text: &Name) -> Result<(), SnapshotError> {
    let known = is_name(text).then_some(());
    known.ok_or(SnapshotError::Damaged("a name"))
}

/// Whether one order can have these flags.
fn is_flags_of_one(flags: Flags) -> bool {
    let with_terms = Flags::ICEBERG.with(Flags::WAITING).with(Flags::DATED);
    let no_quote = Flags::TERMS.with(Flags::PARKED).with(with_terms);
    flags.without(Flags::ALL) == Flags::default()
        && flags.any(Flags::LISTED)
        && (!flags.any(with_terms) || flags.any(Flags::TERMS))
        && !(flags.any(Flags::QUOTE) && flags.any(no_quote))
        && !(flags.any(Flags::PARKED) && flags.any(Flags::WAITING))
        && (!flags.any(Flags::PASSED) || flags.any(Flags::WAITING))
}

/// A quote's name, as two words.
pub(super) fn name_words(name: &QuoteName) -> [u64; 2] {
    [
        u64::from(name.session.0) << 32 | u64::from(name.instrument.0),
        u64::from(name.group) << 16 | u64::from(name.layer),
    ]
}

/// The name of [`name_words`].
#[allow(clippy::cast_possible_truncation, reason = "parts of words")]
pub(super) fn name_from(words: [u64; 2]) -> QuoteName {
    QuoteName {
        session: SessionId((words[0] >> 32) as u32),
        instrument: InstrumentId(words[0] as u32),
        group: (words[1] >> 16) as u16,
        layer: words[1] as u16,
    }
}

/// Reads a client's id of whatever kind.
pub(super) fn id_of(input: &mut In<'_>) -> Result<ClientOrderId, SnapshotError> {
    input.part()
}
