//! Pre-trade risk: limits of firms, accounts and instruments, and what is counted for them.
//!
//! A firm without limits pays for a flag. An order of a firm with limits is counted in every set of
//! limits that holds for it, from its acceptance to its end.

use trading_engine_protocol::types::{
    AccountId, FirmId, InstrumentId, OrderType, Price, Quantity, Reason, SessionId, Side, UtcNanos,
};

use super::collect::Place;
use super::command::{AmendTrade, AmendedFill, CommandKind, EnterOrder, NO_PRICE, SetLimits};
use super::deadlines::Whose;
use super::event::{DefinitionRefused, EventSink, LimitsSet};
use super::instrument::Instrument;
use super::mass_cancel::Owners;
use super::order::{Flags, NIL, touch_spare};
use super::session::SessionState;
use super::snapshot::{In, Out, SnapshotError};
use super::{Engine, Progress, Work};
use crate::limits::{RISK_WINDOW_MAX, STEP_EVENTS_MAX, STEP_VISITS_MAX};

const E8: u128 = 100_000_000;
const WINDOW: usize = RISK_WINDOW_MAX as usize;
/// Sets of limits that a step tells of.
const TOLD_PER_STEP: usize = STEP_EVENTS_MAX - 2;
/// More than a day's trades can come to; with all that can be open it is still a `u128`.
const DONE_MAX: u128 = 1 << 120;

/// What limits are for, in the order in which they are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    firm: u32,
    /// Account + 1, 0 = any.
    account: u64,
    /// 0 = any.
    instrument: u32,
}

/// A count of what is open for a new set of limits that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counting {
    key: Key,
    /// Where is looked next.
    place: Place,
}

/// An order as the duplicate check remembers it, whichever session of the firm it was of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    at: u64,
    account: u32,
    instrument: u32,
    side: u8,
    price: i64,
    quantity: u64,
}

/// The last few of something, oldest first from `next`.
#[derive(Clone, Copy, Debug)]
struct Recent<T> {
    ring: [T; WINDOW],
    next: usize,
}

impl<T: Copy + Default> Default for Recent<T> {
    fn default() -> Self {
        Self {
            ring: [T::default(); WINDOW],
            next: 0,
        }
    }
}

impl<T: Copy> Recent<T> {
    fn oldest_first(&self) -> impl Iterator<Item = T> + '_ {
        (0..WINDOW).map(|back| self.ring[(self.next + back) % WINDOW])
    }

    fn push(&mut self, one: T) {
        self.ring[self.next] = one;
        self.next = (self.next + 1) % WINDOW;
    }
}

/// One set of limits, and what is counted for it.
#[derive(Clone, Debug, Default)]
struct Limits {
    set: SetLimits,
    open_orders: u32,
    /// Open lots and notional to buy and to sell.
    open: [u64; 2],
    open_notional: [u128; 2],
    /// Notional bought and sold today.
    done: [u128; 2],
    position: i64,
    /// The first trade that was counted.
    first_trade: u64,
    stopped: bool,
    /// When the bucket of messages is empty again.
    messages_until: u64,
    orders: Recent<Seen>,
    fills: Recent<u64>,
}

/// What an order adds, or would add, to what is open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open {
    orders: u32,
    lots: u64,
    notional: u128,
}

/// What of an order collars hold for.
#[derive(Clone, Copy)]
pub(super) enum Collar {
    /// Nothing, yet or at all: a stop that waits, a market order that takes an auction's price.
    Free,
    /// Its limit, which its client states or at which it would rest.
    Limit,
    /// How far it goes: [`Engine::collared_tick`] ends that, and this is the best price there is for it.
    Best(Price),
}

/// An order, or what it is to become, before the limits.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub session: SessionId,
    pub account: AccountId,
    pub instrument: InstrumentId,
    pub side: Side,
    /// Limit, or what counts for it.
    pub price: Price,
    /// Whether it would trade as soon as the instrument does: it waits for no price and for no auction.
    pub may_trade: bool,
    /// Total.
    pub quantity: Quantity,
    /// Lots that would be open.
    pub open: u64,
    /// What the duplicate check compares of a new order.
    pub seen: Option<Seen>,
    pub collar: Collar,
    /// The open order that it is to replace.
    pub instead_of: Option<u32>,
}

impl Candidate {
    /// Whether it is further from the center than a collar allows, 1/100 of a per cent of it.
    fn is_beyond(&self, center: Price, collar_bp: u32) -> bool {
        let price = match (self.collar, self.side) {
            (Collar::Free, _) => return false,
            (Collar::Limit, _) => self.price,
            // A better price than the market's is none to be kept from.
            (Collar::Best(price), Side::Buy) => price.max(center),
            (Collar::Best(price), Side::Sell) => price.min(center),
        };
        let distance = u128::from(price.0.abs_diff(center.0)) * 10_000;
        distance > u128::from(center.0.unsigned_abs()) * u128::from(collar_bp)
    }
}

/// What collars are around. Nothing is so many per cent of a price of zero: then there are none.
fn collar_center(instrument: &Instrument) -> Option<Price> {
    let center = instrument.price_of(instrument.center.checked_sub(1)?);
    (center.0 != 0).then_some(center)
}

fn at(side: Side) -> usize {
    match side {
        Side::Buy => 0,
        Side::Sell => 1,
    }
}

/// All sets of limits; allocated once.
pub(super) struct RiskLimits {
    /// Which is for what, sorted: what is searched is small and lies together.
    keys: Vec<(Key, u32)>,
    /// In the order in which they were set first, or restored.
    sets: Vec<Limits>,
    /// Those that stopped, of which nobody was told yet.
    untold: Vec<Key>,
    capacity: usize,
}

impl RiskLimits {
    pub fn new(capacity: u32) -> Self {
        let capacity = capacity as usize;
        Self {
            keys: Vec::with_capacity(capacity),
            sets: Vec::with_capacity(capacity),
            untold: Vec::with_capacity(capacity),
            capacity,
        }
    }

    /// Makes the memory resident.
    pub fn touch(&mut self) {
        touch_spare(&mut self.keys);
        touch_spare(&mut self.sets);
        touch_spare(&mut self.untold);
    }

    /// Start and length of each table.
    pub fn memory(&self, each: &mut impl FnMut(*const u8, usize)) {
        let mut table = |start: *const u8, elements, size| each(start, elements * size);
        let (keys, sets, untold) = (&self.keys, &self.sets, &self.untold);
        table(
            keys.as_ptr().cast(),
            keys.capacity(),
            size_of::<(Key, u32)>(),
        );
        table(sets.as_ptr().cast(), sets.capacity(), size_of::<Limits>());
        table(untold.as_ptr().cast(), untold.capacity(), size_of::<Key>());
    }

    fn find(&self, key: Key) -> Option<usize> {
        let at = self.keys.binary_search_by(|(other, _)| other.cmp(&key));
        at.ok().map(|at| self.keys[at].1 as usize)
    }

    /// Adds a set; the caller checked that there is room and that there is none of this key.
    fn add(&mut self, key: Key, limits: Limits) {
        let at = self.keys.partition_point(|(other, _)| *other < key);
        #[allow(clippy::cast_possible_truncation, reason = "the capacity has 32 bits")]
        self.keys.insert(at, (key, self.sets.len() as u32));
        self.sets.push(limits);
    }

    /// Whether a firm has limits.
    pub fn has(&self, firm: FirmId) -> bool {
        let at = self.keys.partition_point(|(key, _)| key.firm < firm.0);
        self.keys.get(at).is_some_and(|(key, _)| key.firm == firm.0)
    }

    /// Sets that hold for an order, in the order in which they are asked.
    fn holding(
        &self,
        firm: u32,
        account: AccountId,
        instrument: InstrumentId,
    ) -> impl Iterator<Item = usize> + '_ {
        Key::holding(account, instrument)
            .into_iter()
            .filter_map(move |(account, instrument)| {
                self.find(Key {
                    firm,
                    account,
                    instrument,
                })
            })
    }

    /// Every set as its event would state it, by firm, account and instrument: sets that were restored
    /// lie in another order.
    pub fn all(&self) -> impl Iterator<Item = LimitsSet> + '_ {
        self.keys
            .iter()
            .map(|(_, at)| self.sets[*at as usize].stated())
    }

    /// Whether a set stopped and nobody was told yet.
    pub fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// A new day: what was bought and sold was yesterday.
    pub fn roll(&mut self) {
        for set in &mut self.sets {
            set.done = [0; 2];
        }
    }

    /// All sets, with what they count.
    pub fn save(&self, out: &mut Out) {
        out.word(self.sets.len() as u64);
        for (key, at) in &self.keys {
            let set = &self.sets[*at as usize];
            let untold = self.untold.contains(key);
            out.part(&set.set);
            out.words([
                u64::from(set.open_orders) << 2 | u64::from(untold) << 1 | u64::from(set.stopped),
                set.position.cast_unsigned(),
                set.first_trade,
                set.messages_until,
            ]);
            for side in 0..2 {
                out.word(set.open[side]);
                out.words(halves(set.open_notional[side]));
                out.words(halves(set.done[side]));
            }
            for seen in set.orders.oldest_first() {
                out.words(seen.words());
            }
            out.words(set.fills.oldest_first());
        }
    }

    /// Reads what [`RiskLimits::save`] wrote.
    pub fn load(&mut self, input: &mut In<'_>) -> Result<(), SnapshotError> {
        for _ in 0..input.at_most(self.capacity as u64, "risk limits")? {
            let set: SetLimits = input.part()?;
            let orders = input.word()?;
            let mut limits = Limits {
                set,
                open_orders: u32::try_from(orders >> 2)
                    .map_err(|_| SnapshotError::Damaged("open orders"))?,
                stopped: orders & 1 == 1,
                position: input.word()?.cast_signed(),
                first_trade: input.word()?,
                messages_until: input.word()?,
                ..Limits::default()
            };
            for side in 0..2 {
                limits.open[side] = input.word()?;
                limits.open_notional[side] = whole([input.word()?, input.word()?]);
                limits.done[side] = whole([input.word()?, input.word()?]);
                if limits.done[side] > DONE_MAX {
                    return Err(SnapshotError::Damaged("what was bought and sold"));
                }
            }
            for _ in 0..WINDOW {
                let mut words = [0; 5];
                for word in &mut words {
                    *word = input.word()?;
                }
                limits.orders.push(Seen::from_words(words));
            }
            for _ in 0..WINDOW {
                limits.fills.push(input.word()?);
            }
            let key = Key::of(&limits.set);
            let is_untold = orders >> 1 & 1 == 1;
            let in_order = self.keys.last().is_none_or(|(last, _)| *last < key);
            if !in_order || is_untold && !limits.stopped {
                return Err(SnapshotError::Damaged("risk limits"));
            }
            if is_untold {
                self.untold.push(key);
            }
            self.add(key, limits);
        }
        Ok(())
    }
}

#[allow(clippy::cast_possible_truncation, reason = "both halves")]
fn halves(wide: u128) -> [u64; 2] {
    [wide as u64, (wide >> 64) as u64]
}

fn whole([low, high]: [u64; 2]) -> u128 {
    u128::from(low) | u128::from(high) << 64
}

/// What a message adds to the bucket, and what is in a full one, nanoseconds.
fn rate(set: &SetLimits) -> (u64, u64) {
    let messages = u64::from(set.messages);
    let window = u64::from(set.messages_ms) * 1_000_000;
    let each = (window / messages.max(1)).max(1);
    (each, each.saturating_mul(messages))
}

/// Whether something at `then` is still in a window.
fn within(then: u64, window_ms: u32, now: UtcNanos) -> bool {
    then != 0 && then.saturating_add(u64::from(window_ms) * 1_000_000) > now.0
}

impl Limits {
    /// As they are now.
    fn stated(&self) -> LimitsSet {
        LimitsSet {
            limits: SetLimits {
                position: self.position,
                ..self.set
            },
            stopped: u8::from(self.stopped),
            ..LimitsSet::default()
        }
    }

    /// What an order adds to what is open is another.
    fn count(&mut self, side: Side, before: Open, now: Open) {
        let side = at(side);
        self.open_orders = self.open_orders - before.orders + now.orders;
        self.open[side] = self.open[side] - before.lots + now.lots;
        self.open_notional[side] = self.open_notional[side] - before.notional + now.notional;
    }

    /// The first limit that a candidate would be beyond.
    fn check(
        &self,
        new: &Candidate,
        notional: impl Fn(u64) -> u128,
        instead: Open,
        collar_center: Option<Price>,
        now: UtcNanos,
    ) -> Result<(), Reason> {
        let set = &self.set;
        let beyond = |limit: u64, value: u128| limit != 0 && value > u128::from(limit);
        if self.stopped {
            return Err(Reason::LimitExecutions);
        }
        if beyond(set.quantity.0, new.quantity.0.into()) {
            return Err(Reason::LimitQuantity);
        }
        if beyond(set.notional_e8, notional(new.quantity.0)) {
            return Err(Reason::LimitNotional);
        }
        if let Some(center) = collar_center.filter(|_| set.collar_bp != 0)
            && new.is_beyond(center, set.collar_bp)
        {
            return Err(Reason::LimitCollar);
        }
        let orders = self.open_orders - instead.orders + 1;
        if beyond(set.open_orders.into(), orders.into()) {
            return Err(Reason::LimitOpenOrders);
        }
        let side = at(new.side);
        let lots = i128::from(self.open[side]) - i128::from(instead.lots) + i128::from(new.open);
        let position = match new.side {
            Side::Buy => i128::from(self.position),
            Side::Sell => -i128::from(self.position),
        };
        if set.position_limit.0 != 0 && position + lots > i128::from(set.position_limit.0) {
            return Err(Reason::LimitPosition);
        }
        let open = self.open_notional[side] - instead.notional + notional(new.open);
        let with_this = self.done[side].saturating_add(open);
        let gross = with_this
            .saturating_add(self.done[1 - side])
            .saturating_add(self.open_notional[1 - side]);
        if beyond(set.gross_e8, gross) {
            return Err(Reason::LimitGross);
        }
        let net = with_this.saturating_sub(self.done[1 - side]);
        if beyond(set.net_e8, net) {
            return Err(Reason::LimitNet);
        }
        if let Some(seen) = new.seen.filter(|_| set.duplicates != 0) {
            let same = self.orders.ring.iter().filter(|other| {
                within(other.at, set.duplicates_ms, now) && Seen { at: 0, ..**other } == seen
            });
            if same.count() >= set.duplicates as usize {
                return Err(Reason::LimitDuplicates);
            }
        }
        Ok(())
    }
}

impl Seen {
    fn words(&self) -> [u64; 5] {
        [
            self.at,
            u64::from(self.account),
            u64::from(self.instrument) << 8 | u64::from(self.side),
            self.price.cast_unsigned(),
            self.quantity,
        ]
    }

    #[allow(clippy::cast_possible_truncation, reason = "parts of words")]
    fn from_words(words: [u64; 5]) -> Self {
        Self {
            at: words[0],
            account: words[1] as u32,
            instrument: (words[2] >> 8) as u32,
            side: words[2] as u8,
            price: words[3].cast_signed(),
            quantity: words[4],
        }
    }
}

/// The price by which an order is the same as another: one that takes what the market is at has
/// none, wherever the market is.
fn price_to_compare(order_type: u8, price: Price) -> Price {
    let none = [OrderType::Market, OrderType::MarketToLimit];
    if none.iter().any(|none| none.as_u8() == order_type) {
        NO_PRICE
    } else {
        price
    }
}

impl Engine {
    /// Notional of lots at a price, 10^-8.
    fn notional(&self, instrument: InstrumentId, price: Price, lots: u64) -> u128 {
        let definition = &self.instruments[instrument.0 as usize].definition;
        let price = u128::from(price.0.unsigned_abs())
            * u128::from(definition.price_unit_e8.unsigned_abs());
        let lots = u128::from(lots) * u128::from(definition.lot_size_e8.unsigned_abs());
        // Both are below 2^63 by the instrument's definition.
        price * lots / E8
    }

    /// The price at which an open order counts.
    fn counted_price(&self, slot: u32) -> Price {
        let waits_for_market = self.orders.slots[slot as usize]
            .hot
            .flags
            .any(Flags::WAITING)
            && self.orders.slots[slot as usize].cold.state.order_type == OrderType::Stop.as_u8();
        let for_auction = self.orders.slots[slot as usize]
            .hot
            .flags
            .any(Flags::AT_THE_OPENING.with(Flags::AT_THE_CLOSE));
        if waits_for_market {
            self.orders.extra[slot as usize].terms.stop_price
        } else if for_auction && self.orders.slots[slot as usize].cold.is_market() {
            // It takes any price: the worst there is.
            let instrument = self.orders.slots[slot as usize].hot.instrument;
            self.instruments[usize::from(instrument)].furthest_price()
        } else {
            self.orders.slots[slot as usize].cold.state.price
        }
    }

    /// What an order counts for.
    #[inline(never)]
    pub(super) fn open_of(&self, slot: u32) -> Open {
        let lots = self.orders.open(slot);
        let instrument = self.orders.slots[slot as usize].cold.state.instrument;
        Open {
            orders: u32::from(lots > 0),
            lots,
            notional: self.notional(instrument, self.counted_price(slot), lots),
        }
    }

    /// Whether limits may hold for a session's orders.
    #[inline(always)]
    pub(super) fn is_limited(&self, session: SessionId) -> bool {
        self.sessions[session.0 as usize].limited
    }

    /// The message rate of the asking session's firm.
    #[inline(never)]
    pub(super) fn take_message(&mut self) -> Result<(), Reason> {
        let firm = self.sessions[self.asking.0.0 as usize].definition.firm.0;
        let now = self.sequenced_at.0;
        let Some(index) = self.risk.find(Key {
            firm,
            ..Key::default()
        }) else {
            return Ok(());
        };
        let limits = &mut self.risk.sets[index];
        if limits.set.messages == 0 {
            return Ok(());
        }
        let (each, all) = rate(&limits.set);
        let until = limits.messages_until.max(now).saturating_add(each);
        if until - now > all {
            return Err(Reason::LimitMessages);
        }
        limits.messages_until = until;
        Ok(())
    }

    /// So many more messages, of a request that was taken for one and is answered with many: as many
    /// as a full bucket holds at most, so that nothing waits for longer than a window.
    #[inline(never)]
    pub(super) fn take_more_messages(&mut self, more: u32) {
        let firm = self.sessions[self.asking.0.0 as usize].definition.firm.0;
        let Some(index) = self.risk.find(Key {
            firm,
            ..Key::default()
        }) else {
            return;
        };
        let limits = &mut self.risk.sets[index];
        let (each, _) = rate(&limits.set);
        let more = u64::from(more.min(limits.set.messages.saturating_sub(1)));
        if more == 0 {
            return;
        }
        let until = limits.messages_until.max(self.sequenced_at.0);
        limits.messages_until = until.saturating_add(each.saturating_mul(more));
    }

    /// Asks every set of limits that holds.
    #[inline(never)]
    pub(super) fn check_limits(&self, new: &Candidate) -> Result<(), Reason> {
        let firm = self.sessions[new.session.0 as usize].definition.firm.0;
        let instead = new
            .instead_of
            .map_or_else(Open::default, |slot| self.open_of(slot));
        let same_account = new
            .instead_of
            .is_none_or(|slot| self.orders.slots[slot as usize].cold.state.account == new.account);
        let instrument = &self.instruments[new.instrument.0 as usize];
        let center = collar_center(instrument);
        let price = self.worst_price(new);
        let notional = |lots| self.notional(new.instrument, price, lots);
        for index in self.risk.holding(firm, new.account, new.instrument) {
            let set = &self.risk.sets[index];
            // A quote may be of another account than the one it replaces, which counts in that one's.
            let counted = set.set.by_account == 0 || same_account;
            let instead = if counted { instead } else { Open::default() };
            set.check(new, notional, instead, center, self.sequenced_at)?;
        }
        Ok(())
    }

    /// The price that makes most of an order: one that trades at once may do so anywhere between the best
    /// opposite price and its limit, and a sell order's limit is the least of it.
    fn worst_price(&self, new: &Candidate) -> Price {
        let instrument = &self.instruments[new.instrument.0 as usize];
        if !new.may_trade || !instrument.trades() {
            return new.price;
        }
        let Ok(best) = self.best_tick(instrument.id(), instrument, new.side.opposite()) else {
            return new.price;
        };
        let best = instrument.price_of(best);
        let reaches = match new.side {
            Side::Buy => best <= new.price,
            Side::Sell => best >= new.price,
        };
        if reaches && best.0.unsigned_abs() > new.price.0.unsigned_abs() {
            best
        } else {
            new.price
        }
    }

    /// How far a market order, or a stop that is released as one, may go: `tick`, or where the
    /// narrowest collar ends before it.
    #[inline(never)]
    pub(super) fn collared_tick(
        &self,
        session: SessionId,
        account: AccountId,
        id: InstrumentId,
        side: Side,
        tick: u32,
    ) -> u32 {
        let firm = self.sessions[session.0 as usize].definition.firm.0;
        let instrument = &self.instruments[id.0 as usize];
        let Some(center) = collar_center(instrument) else {
            return tick;
        };
        let from = instrument.center - 1;
        let sets = self.risk.holding(firm, account, id);
        let collars = sets.map(|index| self.risk.sets[index].set.collar_bp);
        collars.filter(|&bp| bp != 0).fold(tick, |tick, bp| {
            let width = u128::from(center.0.unsigned_abs()) * u128::from(bp) / 10_000;
            let ticks = width / u128::from(instrument.definition.tick);
            let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
            match side {
                Side::Buy => tick.min(from.saturating_add(ticks)),
                Side::Sell => tick.max(from.saturating_sub(ticks)),
            }
        })
    }

    /// What collars hold for of an order that takes the best price and those behind it.
    pub(super) fn collar_of_best(&self, instrument: &Instrument, side: Side) -> Collar {
        let best = self.best_tick(instrument.id(), instrument, side.opposite());
        best.map_or(Collar::Free, |tick| Collar::Best(instrument.price_of(tick)))
    }

    /// A new order, before it is accepted.
    #[inline(never)]
    pub(super) fn check_new(
        &self,
        order: &EnterOrder,
        side: Side,
        price: Price,
        may_trade: bool,
        collar: Collar,
    ) -> Result<(), Reason> {
        let seen = Seen {
            at: 0,
            account: order.account.0,
            instrument: order.instrument.0,
            side: order.side,
            price: price_to_compare(order.order_type, price).0,
            quantity: order.quantity.0,
        };
        self.check_limits(&Candidate {
            session: self.asking.0,
            account: order.account,
            instrument: order.instrument,
            side,
            price,
            may_trade,
            quantity: order.quantity,
            open: order.quantity.0,
            seen: Some(seen),
            collar,
            instead_of: None,
        })
    }

    /// A stop that is about to be in the market.
    pub(super) fn check_released(
        &self,
        slot: u32,
        price: Price,
        collar: Collar,
    ) -> Result<(), Reason> {
        let cold = &self.orders.slots[slot as usize].cold;
        self.check_limits(&Candidate {
            session: cold.session,
            account: cold.state.account,
            instrument: cold.state.instrument,
            side: cold.side(),
            price,
            may_trade: true,
            quantity: cold.state.quantity,
            open: self.orders.open(slot),
            seen: None,
            collar,
            instead_of: Some(slot),
        })
    }

    fn each_set(&mut self, slot: u32, each: impl FnMut(&mut Limits)) {
        let cold = &self.orders.slots[slot as usize].cold;
        let (session, state) = (cold.session, &cold.state);
        self.each_set_of(session, state.account, state.instrument, each);
    }

    fn each_set_of(
        &mut self,
        session: SessionId,
        account: AccountId,
        instrument: InstrumentId,
        mut each: impl FnMut(&mut Limits),
    ) {
        let firm = self.sessions[session.0 as usize].definition.firm.0;
        let mut found = [usize::MAX; 4];
        for (place, index) in found
            .iter_mut()
            .zip(self.risk.holding(firm, account, instrument))
        {
            *place = index;
        }
        for index in found {
            if let Some(limits) = self.risk.sets.get_mut(index) {
                each(limits);
            }
        }
    }

    /// What is open of an order counts from now on.
    #[inline(never)]
    pub(super) fn count(&mut self, slot: u32) {
        self.recount(slot, Open::default());
    }

    /// What an order counts for, if limits count it: for [`Engine::recount`] after a change.
    #[inline(always)]
    pub(super) fn counted(&self, slot: u32) -> Option<Open> {
        let limited = self.orders.slots[slot as usize]
            .hot
            .flags
            .any(Flags::LIMITED);
        limited.then(|| self.open_of(slot))
    }

    /// What is open of an order was `before` until now.
    #[inline(never)]
    pub(super) fn recount(&mut self, slot: u32, before: Open) {
        let side = self.side_of(slot);
        let now = self.open_of(slot);
        self.each_set(slot, |limits| limits.count(side, before, now));
    }

    /// The duplicate check remembers an accepted order.
    #[inline(never)]
    pub(super) fn remember_order(&mut self, slot: u32) {
        let cold = &self.orders.slots[slot as usize].cold;
        let state = &cold.state;
        let seen = Seen {
            at: self.sequenced_at.0,
            account: state.account.0,
            instrument: state.instrument.0,
            side: state.side,
            price: price_to_compare(state.order_type, self.counted_price(slot)).0,
            quantity: state.quantity.0,
        };
        self.each_set(slot, |limits| limits.orders.push(seen));
    }

    /// An order was filled; what was open of it was `before`.
    #[inline(never)]
    pub(super) fn count_execution(&mut self, slot: u32, before: Open, lots: u64, price: Price) {
        let side = self.side_of(slot);
        let instrument = self.orders.slots[slot as usize].cold.state.instrument;
        let notional = self.notional(instrument, price, lots);
        let open = self.open_of(slot);
        let now = self.sequenced_at;
        let mut stopped = [None; 4];
        let mut places = stopped.iter_mut();
        self.each_set(slot, |limits| {
            limits.count(side, before, open);
            let done = &mut limits.done[at(side)];
            *done = done.saturating_add(notional);
            let signed = lots.cast_signed();
            limits.position = limits.position.saturating_add(match side {
                Side::Buy => signed,
                Side::Sell => -signed,
            });
            limits.fills.push(now.0);
            let set = &limits.set;
            if set.executions != 0 && !limits.stopped {
                let fills = limits.fills.ring.iter();
                let recent = fills.filter(|&&then| within(then, set.executions_ms, now));
                limits.stopped = recent.count() >= set.executions as usize;
                let place = places.next().filter(|_| limits.stopped);
                if let Some(place) = place {
                    *place = Some(Key::of(&limits.set));
                }
            }
        });
        for key in stopped.into_iter().flatten() {
            self.tell_later(key);
        }
    }

    /// A fill stopped what these limits are for. The command that traded has room for its own events, so
    /// the next one tells it, whatever it is.
    #[cold]
    fn tell_later(&mut self, key: Key) {
        if !self.risk.has_untold() {
            self.add_deadline(self.sequenced_at, Whose::Limits);
        }
        self.risk.untold.push(key);
    }

    /// Tells of the limits that stopped, by firm, account and instrument. Theirs is the first deadline.
    pub(super) fn tell_stopped(&mut self, sink: &mut impl EventSink) -> Progress {
        self.risk
            .untold
            .sort_unstable_by(|one, other| other.cmp(one));
        for _ in 0..TOLD_PER_STEP {
            let Some(key) = self.risk.untold.pop() else {
                break;
            };
            self.state_limits(key, Reason::LimitExecutions, sink);
        }
        if !self.risk.has_untold() {
            self.remove_deadline(0);
        }
        self.work = Work::Deadlines;
        Progress::More
    }

    /// Of a snapshot: limits count what is open of the firms that have them, and nothing else. What
    /// leaves is taken from there.
    pub(super) fn check_what_is_counted(&self) -> Result<(), SnapshotError> {
        let wrong = SnapshotError::Damaged("what limits count");
        let limited = |session: &SessionState| self.risk.has(session.definition.firm);
        if self.sessions().any(|it| it.limited != limited(it)) {
            return Err(wrong);
        }
        let mut counted = vec![(0, [0; 2], [0; 2]); self.risk.sets.len()];
        for slot in (0..self.orders.used()).filter(|&slot| self.orders.is_live(slot)) {
            let cold = &self.orders.slots[slot as usize].cold;
            let session = &self.sessions[cold.session.0 as usize];
            if self.orders.slots[slot as usize]
                .hot
                .flags
                .any(Flags::LIMITED)
                != session.limited
            {
                return Err(wrong);
            }
            let (firm, state) = (session.definition.firm.0, &cold.state);
            let (open, side) = (self.open_of(slot), at(cold.side()));
            for index in self.risk.holding(firm, state.account, state.instrument) {
                let (orders, lots, notional) = &mut counted[index];
                *orders += open.orders;
                lots[side] += open.lots;
                notional[side] += open.notional;
            }
        }
        let counts = |set: &Limits| (set.open_orders, set.open, set.open_notional);
        let right = self.risk.sets.iter().map(counts).eq(counted);
        right.then_some(()).ok_or(wrong)
    }

    /// A fill that was counted did not happen, or at another price.
    pub(super) fn recount_fill(&mut self, request: &AmendTrade, fill: &AmendedFill) {
        if !self.is_limited(fill.session) {
            return;
        }
        let order = &fill.order;
        let bust = request.new_price == NO_PRICE;
        let lots = request.quantity.0;
        let was = self.notional(order.instrument, request.price, lots);
        let is = if bust {
            0
        } else {
            self.notional(order.instrument, request.new_price, lots)
        };
        let (buys, signed) = (order.side == Side::Buy.as_u8(), lots.cast_signed());
        let side = at(if buys { Side::Buy } else { Side::Sell });
        let (account, instrument) = (order.account, order.instrument);
        self.each_set_of(fill.session, account, instrument, |limits| {
            // Fills from before are not counted.
            if request.trade_id.0 < limits.first_trade {
                return;
            }
            limits.done[side] = limits.done[side].saturating_add(is).saturating_sub(was);
            if bust {
                let undone = if buys { -signed } else { signed };
                limits.position = limits.position.saturating_add(undone);
            }
        });
    }

    pub(super) fn set_limits(&mut self, set: &SetLimits, sink: &mut impl EventSink) -> Progress {
        match self.define_limits(set) {
            Ok(None) => self.state_limits(Key::of(set), Reason::None, sink),
            Ok(Some(counting)) => return self.count_open_on(counting, sink),
            Err(reason) => {
                let body = DefinitionRefused {
                    command: CommandKind::SetLimits as u8,
                    id: set.firm.0,
                    ..DefinitionRefused::default()
                };
                self.note(sink, SessionId(0), reason, body);
            }
        }
        Progress::Done
    }

    fn state_limits(&mut self, key: Key, why: Reason, sink: &mut impl EventSink) {
        if let Some(index) = self.risk.find(key) {
            let body = self.risk.sets[index].stated();
            self.note(sink, SessionId(0), why, body);
        }
    }

    /// Returns what a new set has still to count.
    fn define_limits(&mut self, set: &SetLimits) -> Result<Option<Counting>, Reason> {
        if !self.has_firm(set.firm) {
            return Err(Reason::InvalidDefinition);
        }
        if set.instrument.0 != 0 {
            self.defined(set.instrument)?;
        }
        let alone = set.by_account == 0 && set.instrument.0 == 0;
        let windows = [
            (set.duplicates, set.duplicates_ms, RISK_WINDOW_MAX),
            (set.executions, set.executions_ms, RISK_WINDOW_MAX),
            (set.messages, set.messages_ms, u32::MAX),
        ];
        let valid = set.by_account <= 1
            && (set.by_account == 1 || set.account.0 == 0)
            && set.release <= 1
            && set.sets_position <= 1
            && (set.instrument.0 != 0 || (set.sets_position == 0 && set.position_limit.0 == 0))
            && (alone || set.messages == 0)
            && windows
                .iter()
                .all(|(count, ms, most)| *count <= *most && (*count == 0) == (*ms == 0));
        if !valid {
            return Err(Reason::InvalidDefinition);
        }
        let key = Key::of(set);
        match self.risk.find(key) {
            Some(index) => {
                let limits = &mut self.risk.sets[index];
                limits.set = *set;
                // A bucket filled under another rate is full at most.
                let full = self.sequenced_at.0.saturating_add(rate(set).1);
                limits.messages_until = limits.messages_until.min(full);
                if set.release == 1 {
                    limits.stopped = false;
                    limits.fills = Recent::default();
                }
                if set.sets_position == 1 {
                    limits.position = set.position;
                }
                Ok(None)
            }
            None if self.risk.sets.len() == self.risk.capacity => Err(Reason::DefinitionCapacity),
            None => {
                let limits = Limits {
                    set: *set,
                    position: if set.sets_position == 1 {
                        set.position
                    } else {
                        0
                    },
                    first_trade: self.trades + 1,
                    ..Limits::default()
                };
                self.risk.add(key, limits);
                let place = self.orders_of_owners(Owners::Firm(set.firm));
                Ok(Some(Counting { key, place }))
            }
        }
    }

    /// Orders that are open already count in a new set, and in all others from now on. So does what
    /// their sessions will enter.
    pub(super) fn count_open_on(
        &mut self,
        Counting { key, place }: Counting,
        sink: &mut impl EventSink,
    ) -> Progress {
        let mut place = Some(place);
        for _ in 0..STEP_VISITS_MAX {
            let Some(at) = place else { break };
            if let Place::Session {
                session: Some(session),
                ..
            } = at
            {
                self.sessions[session.0 as usize].limited = true;
            }
            let (found, next) = self.look(at);
            for slot in found.into_iter().filter(|&slot| slot != NIL) {
                self.count_in_new(key, slot);
            }
            place = next;
        }
        if let Some(place) = place {
            self.work = Work::CountOpen(Counting { key, place });
            return Progress::More;
        }
        self.work = Work::Nothing;
        self.state_limits(key, Reason::None, sink);
        Progress::Done
    }

    fn count_in_new(&mut self, key: Key, slot: u32) {
        let hot = &mut self.orders.slots[slot as usize].hot;
        hot.flags = hot.flags.with(Flags::LIMITED);
        let state = &self.orders.slots[slot as usize].cold.state;
        let meant = (key.account == 0 || key.account == u64::from(state.account.0) + 1)
            && (key.instrument == 0 || key.instrument == state.instrument.0);
        let (side, open) = (self.side_of(slot), self.open_of(slot));
        if let Some(index) = self.risk.find(key).filter(|_| meant) {
            self.risk.sets[index].count(side, Open::default(), open);
        }
    }
}

impl Key {
    /// Account and instrument of the keys that hold for an order, in the order in which they are
    /// asked.
    fn holding(account: AccountId, instrument: InstrumentId) -> [(u64, u32); 4] {
        let account = u64::from(account.0) + 1;
        [
            (0, 0),
            (account, 0),
            (0, instrument.0),
            (account, instrument.0),
        ]
    }

    fn of(set: &SetLimits) -> Self {
        Self {
            firm: set.firm.0,
            account: if set.by_account == 1 {
                u64::from(set.account.0) + 1
            } else {
                0
            },
            instrument: set.instrument.0,
        }
    }
}
