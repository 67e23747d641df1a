//! Market-maker protection: how much of a firm's group may trade within a time, and what happens
//! when more does.
//!
//! Groups lie in a table sorted by (firm, group); each has a ring of the fills of its window. A
//! window slides with log time, and is brought up to date when it is looked at.

use trading_engine_protocol::types::{
    FirmId, OrderId, OrderStatus, ProtectionLimit, Reason, SessionId, Side, UtcNanos,
};
use zerocopy::FromZeros;

use super::command::{ConfigureProtection, QUOTE_ENTRIES_MAX, ResetProtection};
use super::event::{EventSink, ProtectionSet, ProtectionTripped};
use super::feasibility::Peaks;
use super::mates::Mates;
use super::order::{Flags, NIL, touch, touch_spare};
use super::snapshot::{In, Out, SnapshotError};
use super::{Engine, Progress, Work};
use crate::limits::{
    FEASIBILITY_VISITS_MAX, PROTECTION_FILLS_MAX, PROTECTION_WINDOW_MS_MAX, QUANTITY_MAX,
    STEP_EVENTS_MAX,
};

/// Orders a step may pull.
const PULLED_PER_STEP: usize = STEP_EVENTS_MAX - 2;
/// One step may end all that a mass quote has still to enter, and the order in the market.
const _: () = assert!(2 * QUOTE_ENTRIES_MAX < PULLED_PER_STEP);
const RING: usize = PROTECTION_FILLS_MAX as usize;
const MILLISECOND: u64 = 1_000_000;
const UNTIL_RESET: UtcNanos = UtcNanos(u64::MAX);

/// A fill in a window.
#[derive(Clone, Copy, Debug, Default, FromZeros)]
#[repr(C)]
struct Counted {
    at: u64,
    /// Sold lots are below 0.
    lots: i64,
}

/// What a group is limited to; 0 = not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    quantity: u64,
    net: u64,
    fills: u32,
    window_ms: u32,
    frozen_ms: u32,
}

/// Which limit was reached, and by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tripped {
    limit: ProtectionLimit,
    frozen_until: UtcNanos,
    /// With the fill that reached it.
    sums: Sums,
}

/// What traded within a window: fills, their lots, and bought less sold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    fills: u32,
    quantity: u64,
    net: i64,
}

impl Sums {
    /// Sold `lots` are below 0.
    fn add(&mut self, lots: i64) {
        self.fills += 1;
        self.quantity += lots.unsigned_abs();
        self.net += lots;
    }

    fn drop(&mut self, lots: i64) {
        self.fills -= 1;
        self.quantity -= lots.unsigned_abs();
        self.net -= lots;
    }
}

impl Settings {
    /// The first limit that these have reached.
    fn reached(&self, sums: &Sums) -> Option<ProtectionLimit> {
        let reached = |limit: u64, is: u64| limit != 0 && is >= limit;
        if reached(self.quantity, sums.quantity) {
            Some(ProtectionLimit::Quantity)
        } else if reached(u64::from(self.fills), u64::from(sums.fills)) {
            Some(ProtectionLimit::Fills)
        } else if reached(self.net, sums.net.unsigned_abs()) {
            Some(ProtectionLimit::Net)
        } else if sums.fills > PROTECTION_FILLS_MAX {
            Some(ProtectionLimit::Capacity)
        } else {
            None
        }
    }
}

/// What a group would come to if an order traded.
#[derive(Clone, Copy, Debug, Default)]
struct Trial {
    /// Which one it is: [`Protection::trials`] then.
    number: u64,
    sums: Sums,
    has_tripped: bool,
}

/// What a fill would do to an order's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// No limit is reached, or nothing protects the order.
    Counted,
    /// It is the last fill of the group.
    Trips,
    /// The group is gone by an earlier one: there is no such fill.
    Gone,
}

/// A group that is protected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    firm: FirmId,
    group: u16,
    settings: Settings,
    /// In the past, or 0 = it is not frozen.
    frozen_until: UtcNanos,
    /// Which ring it has.
    ring: u32,
    /// Oldest fill in the ring.
    first: u32,
    /// Of the fills in the ring.
    sums: Sums,
    trial: Trial,
    /// Its orders at rest, in ascending order id.
    orders: Mates,
}

impl Group {
    fn new(firm: FirmId, group: u16, ring: u32) -> Self {
        Self {
            firm,
            group,
            settings: Settings::default(),
            frozen_until: UtcNanos(0),
            ring,
            first: 0,
            sums: Sums::default(),
            trial: Trial::default(),
            orders: Mates::default(),
        }
    }

    fn name(&self) -> (FirmId, u16) {
        (self.firm, self.group)
    }

    fn is_frozen(&self, now: UtcNanos) -> bool {
        now < self.frozen_until
    }

    /// Drops what is older than the window.
    fn slide(&mut self, ring: &[Counted], now: UtcNanos) {
        let window = u64::from(self.settings.window_ms) * MILLISECOND;
        while self.sums.fills > 0 {
            let oldest = ring[self.first as usize];
            if oldest.at.saturating_add(window) > now.0 {
                return;
            }
            self.sums.drop(oldest.lots);
            self.first = (self.first + 1) % PROTECTION_FILLS_MAX;
        }
    }

    /// Counts a fill; sold `lots` are below 0. If a limit is reached, the group is frozen and its
    /// window empty.
    fn count(&mut self, ring: &mut [Counted], now: UtcNanos, lots: i64) -> Option<Tripped> {
        self.slide(ring, now);
        // The one that has no place trips the group, so it needs none.
        if self.sums.fills < PROTECTION_FILLS_MAX {
            let place = (self.first + self.sums.fills) % PROTECTION_FILLS_MAX;
            ring[place as usize] = Counted { at: now.0, lots };
        }
        self.sums.add(lots);
        let limit = self.settings.reached(&self.sums)?;
        let frozen_ms = self.settings.frozen_ms;
        self.frozen_until = match frozen_ms {
            0 => UNTIL_RESET,
            _ => UtcNanos(now.0.saturating_add(u64::from(frozen_ms) * MILLISECOND)),
        };
        let tripped = Tripped {
            limit,
            frozen_until: self.frozen_until,
            sums: self.sums,
        };
        self.sums = Sums::default();
        Some(tripped)
    }

    /// What a fill would do, behind those that trial `number` had before.
    fn try_fill(&mut self, ring: &[Counted], now: UtcNanos, number: u64, lots: i64) -> Tried {
        if self.trial.number != number {
            self.slide(ring, now);
            self.trial = Trial {
                number,
                sums: self.sums,
                has_tripped: false,
            };
        }
        if self.trial.has_tripped {
            return Tried::Gone;
        }
        self.trial.sums.add(lots);
        self.trial.has_tripped = self.settings.reached(&self.trial.sums).is_some();
        if self.trial.has_tripped {
            Tried::Trips
        } else {
            Tried::Counted
        }
    }
}

/// All groups, and the one whose orders are being pulled.
pub(super) struct Protection {
    /// Ascending by (firm, group).
    groups: Vec<Group>,
    /// `PROTECTION_FILLS_MAX` places each.
    rings: Box<[Counted]>,
    /// Rings nobody has, last in, first out.
    free: Vec<u32>,
    /// The group that tripped last, and its first order then.
    tripped: (FirmId, u16),
    first_pulled: u32,
    /// How many there were: whether what a group has of one is of this one.
    trials: u64,
    /// Where feasibility keeps what it looks at again.
    pub peaks: Vec<Peaks>,
}

impl Protection {
    pub fn new(groups: u32) -> Self {
        Self {
            groups: Vec::with_capacity(groups as usize),
            // Zero pages are touched only as groups trade.
            rings: <[Counted]>::new_box_zeroed_with_elems(groups as usize * RING)
                .expect("Invariant: the rings fit the address space"),
            free: (0..groups).rev().collect(),
            tripped: (FirmId(0), 0),
            first_pulled: NIL,
            trials: 0,
            peaks: Vec::with_capacity(FEASIBILITY_VISITS_MAX),
        }
    }

    /// Nothing was tried from here on. Returns whether there is a group at all.
    pub fn begin_trial(&mut self) -> bool {
        self.trials += 1;
        !self.groups.is_empty()
    }

    fn place(&self, firm: FirmId, group: u16) -> Result<usize, usize> {
        self.groups
            .binary_search_by_key(&(firm, group), Group::name)
    }

    /// A group that is set.
    fn find(&mut self, firm: FirmId, group: u16) -> Option<(&mut Group, &mut [Counted])> {
        let place = self.place(firm, group).ok()?;
        let group = &mut self.groups[place];
        let ring = group.ring as usize * RING;
        Some((group, &mut self.rings[ring..ring + RING]))
    }

    /// How many groups a firm has.
    fn count_of(&self, firm: FirmId) -> usize {
        let before = |group: &Group, firm: u32| group.firm.0 < firm;
        let first = self.groups.partition_point(|group| before(group, firm.0));
        let behind = firm.0.saturating_add(1);
        self.groups.partition_point(|group| before(group, behind)) - first
    }

    /// The same, and it is from now on; `None` = there is no room for another.
    fn find_or_add(&mut self, firm: FirmId, group: u16) -> Option<(&mut Group, &mut [Counted])> {
        if let Err(place) = self.place(firm, group) {
            let ring = self.free.pop()?;
            self.groups.insert(place, Group::new(firm, group, ring));
        }
        self.find(firm, group)
    }

    /// Returns the orders it had.
    fn remove(&mut self, firm: FirmId, group: u16) -> Mates {
        let Ok(place) = self.place(firm, group) else {
            return Mates::default();
        };
        let gone = self.groups.remove(place);
        self.free.push(gone.ring);
        gone.orders
    }

    /// The orders of a group that is set.
    pub fn mates(&mut self, firm: FirmId, group: u16) -> Option<&mut Mates> {
        let place = self.place(firm, group).ok()?;
        Some(&mut self.groups[place].orders)
    }

    pub fn is_set(&self, firm: FirmId, group: u16) -> bool {
        self.place(firm, group).is_ok()
    }

    /// The lists of all groups, and whose they are.
    pub fn lists(&self) -> impl Iterator<Item = (Mates, (u32, Option<u16>))> + '_ {
        let groups = self.groups.iter();
        groups.map(|group| (group.orders, (group.firm.0, Some(group.group))))
    }

    /// First order of the group that just tripped.
    pub fn first_pulled(&self) -> u32 {
        self.first_pulled
    }

    fn is_frozen(&self, firm: FirmId, group: u16, now: UtcNanos) -> bool {
        self.place(firm, group)
            .is_ok_and(|place| self.groups[place].is_frozen(now))
    }

    /// All groups, each with its window from the oldest fill on.
    pub fn save(&self, out: &mut Out) {
        out.word(self.groups.len() as u64);
        for group in &self.groups {
            let settings = &group.settings;
            out.words([
                u64::from(group.firm.0) << 32 | u64::from(group.group),
                settings.quantity,
                settings.net,
                u64::from(settings.fills) << 32 | u64::from(settings.window_ms),
                u64::from(settings.frozen_ms) << 32 | u64::from(group.sums.fills),
                group.frozen_until.0,
                group.orders.word(),
            ]);
            for fill in 0..group.sums.fills {
                let place = (group.first + fill) % PROTECTION_FILLS_MAX;
                let counted = self.rings[group.ring as usize * RING + place as usize];
                out.words([counted.at, counted.lots.cast_unsigned()]);
            }
        }
    }

    /// Reads what [`Protection::save`] wrote.
    pub fn load(&mut self, input: &mut In<'_>) -> Result<(), SnapshotError> {
        let wrong = SnapshotError::Damaged("a protection group");
        for _ in 0..input.at_most(self.groups.capacity() as u64, "protection groups")? {
            let name = input.word()?;
            #[allow(clippy::cast_possible_truncation, reason = "parts of a word")]
            let (firm, number) = (FirmId((name >> 32) as u32), name as u16);
            let settings = [input.word()?, input.word()?, input.word()?, input.word()?];
            #[allow(clippy::cast_possible_truncation, reason = "the lower half")]
            let fills = settings[3] as u32;
            let frozen_until = UtcNanos(input.word()?);
            let orders = Mates::from_word(input.word()?);
            if self.place(firm, number).is_ok() {
                return Err(wrong);
            }
            let full = SnapshotError::Limit("protection groups");
            let (group, ring) = self.find_or_add(firm, number).ok_or(full)?;
            #[allow(clippy::cast_possible_truncation, reason = "parts of words")]
            {
                group.settings = Settings {
                    quantity: settings[0],
                    net: settings[1],
                    fills: (settings[2] >> 32) as u32,
                    window_ms: settings[2] as u32,
                    frozen_ms: (settings[3] >> 32) as u32,
                };
            }
            group.frozen_until = frozen_until;
            group.orders = orders;
            if fills > PROTECTION_FILLS_MAX {
                return Err(wrong);
            }
            for place in ring.iter_mut().take(fills as usize) {
                let (at, lots) = (input.word()?, input.word()?.cast_signed());
                *place = Counted { at, lots };
                if lots.unsigned_abs() > QUANTITY_MAX {
                    return Err(wrong);
                }
                group.sums.add(lots);
            }
        }
        Ok(())
    }

    /// Makes the memory resident.
    pub fn touch(&mut self) {
        touch_spare(&mut self.groups);
        touch_spare(&mut self.peaks);
        touch(&mut self.rings);
    }

    /// Start and length of each large table.
    pub fn memory(&self, each: &mut impl FnMut(*const u8, usize)) {
        each(self.rings.as_ptr().cast(), size_of_val(&*self.rings));
    }
}

/// A fill that may count.
#[derive(Clone, Copy)]
pub(super) struct Protected {
    session: SessionId,
    group: u16,
    side: Side,
    order_id: OrderId,
}

impl Protected {
    /// Lots as a window counts them.
    fn signed(&self, lots: u64) -> i64 {
        // An order has at most 2^38 lots.
        let lots = lots.cast_signed();
        match self.side {
            Side::Buy => lots,
            Side::Sell => -lots,
        }
    }
}

/// Settings that may be.
fn check_settings(request: &ConfigureProtection) -> Result<Settings, Reason> {
    let valid = request.protection_group != 0
        && request.window_ms <= PROTECTION_WINDOW_MS_MAX
        && request.fills <= PROTECTION_FILLS_MAX;
    if request.client_order_id.is_none() {
        return Err(Reason::InvalidClientOrderId);
    }
    if !valid {
        return Err(Reason::ProtectionInvalid);
    }
    Ok(Settings {
        quantity: request.quantity.0,
        net: request.net.0,
        fills: request.fills,
        window_ms: request.window_ms,
        frozen_ms: request.frozen_ms,
    })
}

impl Engine {
    pub(super) fn firm_of(&self, session: SessionId) -> FirmId {
        self.sessions[session.0 as usize].definition.firm
    }

    /// Whether orders of the session's group are taken now. Group 0 is none.
    #[inline(never)]
    pub(super) fn check_frozen(&self, session: SessionId, group: u16) -> Result<(), Reason> {
        let firm = self.firm_of(session);
        if group != 0 && self.protection.is_frozen(firm, group, self.sequenced_at) {
            return Err(Reason::ProtectionFrozen);
        }
        Ok(())
    }

    #[inline(never)]
    pub(super) fn configure_protection(
        &mut self,
        request: &ConfigureProtection,
        sink: &mut impl EventSink,
    ) -> Progress {
        let session = self.asking.0;
        let mut answer = ProtectionSet {
            client_order_id: request.client_order_id,
            quantity: request.quantity,
            net: request.net,
            fills: request.fills,
            window_ms: request.window_ms,
            frozen_ms: request.frozen_ms,
            protection_group: request.protection_group,
            ..ProtectionSet::default()
        };
        let (firm, group) = (self.firm_of(session), request.protection_group);
        let was_set = self.protection.is_set(firm, group);
        let verdict =
            check_settings(request).and_then(|settings| self.set_protection(group, settings));
        if let Err(reason) = verdict {
            self.tell(sink, session, reason, answer);
            return Progress::Done;
        }
        self.describe_protection(&mut answer);
        self.tell(sink, session, Reason::None, answer);
        if was_set || request.window_ms == 0 {
            return Progress::Done;
        }
        let first = self.firms[firm.0 as usize].groupless.first;
        self.gather_from(first, firm, group)
    }

    /// What traded and whether it is frozen stays, whatever its limits are now.
    fn set_protection(&mut self, group: u16, settings: Settings) -> Result<(), Reason> {
        let firm = self.firm_of(self.asking.0);
        if settings.window_ms == 0 {
            let orders = self.protection.remove(firm, group);
            self.disband(firm, orders);
            return Ok(());
        }
        let now = self.sequenced_at;
        let most = self.limits.protection_groups_per_firm as usize;
        if !self.protection.is_set(firm, group) && self.protection.count_of(firm) >= most {
            return Err(Reason::ProtectionCapacity);
        }
        let (group, ring) = self
            .protection
            .find_or_add(firm, group)
            .ok_or(Reason::ProtectionCapacity)?;
        // What has left the old window is not in a longer one.
        group.slide(ring, now);
        group.settings = settings;
        Ok(())
    }

    #[inline(never)]
    pub(super) fn reset_protection(
        &mut self,
        request: &ResetProtection,
        sink: &mut impl EventSink,
    ) {
        let session = self.asking.0;
        let mut answer = ProtectionSet {
            client_order_id: request.client_order_id,
            protection_group: request.protection_group,
            ..ProtectionSet::default()
        };
        let firm = self.firm_of(session);
        let found = self.protection.find(firm, request.protection_group);
        let reason = match found {
            _ if request.client_order_id.is_none() => Reason::InvalidClientOrderId,
            Some((group, _)) => {
                group.frozen_until = UtcNanos(0);
                group.sums = Sums::default();
                Reason::None
            }
            None => Reason::ProtectionInvalid,
        };
        if reason == Reason::None {
            self.describe_protection(&mut answer);
        }
        self.tell(sink, session, reason, answer);
    }

    /// A group as it is now.
    fn describe_protection(&mut self, answer: &mut ProtectionSet) {
        let (firm, now) = (self.firm_of(self.asking.0), self.sequenced_at);
        let Some((group, ring)) = self.protection.find(firm, answer.protection_group) else {
            return;
        };
        group.slide(ring, now);
        answer.quantity.0 = group.settings.quantity;
        answer.net.0 = group.settings.net;
        answer.fills = group.settings.fills;
        answer.window_ms = group.settings.window_ms;
        answer.frozen_ms = group.settings.frozen_ms;
        answer.window_quantity.0 = group.sums.quantity;
        answer.window_fills = group.sums.fills;
        if group.is_frozen(now) {
            answer.frozen_until = group.frozen_until;
        }
    }

    /// What has to be known of a protected order that is about to trade, and may be gone then.
    pub(super) fn protected(&self, slot: u32) -> Protected {
        let cold = &self.orders.slots[slot as usize].cold;
        Protected {
            session: cold.session,
            group: cold.state.protection_group,
            side: cold.side(),
            order_id: cold.state.order_id,
        }
    }

    /// Counts a fill of a resting order of a group. Returns whether a limit is reached: then the
    /// group's orders are to be pulled before anything else trades.
    pub(super) fn count_fill(
        &mut self,
        filled: &Protected,
        lots: u64,
        sink: &mut impl EventSink,
    ) -> bool {
        let (firm, now) = (self.firm_of(filled.session), self.sequenced_at);
        let Some((group, ring)) = self.protection.find(firm, filled.group) else {
            return false;
        };
        let Some(tripped) = group.count(ring, now, filled.signed(lots)) else {
            return false;
        };
        self.protection.first_pulled = group.orders.first;
        self.protection.tripped = (firm, filled.group);
        let mut body = ProtectionTripped {
            frozen_until: tripped.frozen_until,
            window_net: tripped.sums.net,
            window_fills: tripped.sums.fills,
            protection_group: filled.group,
            limit: tripped.limit.as_u8(),
            order_id: filled.order_id,
            ..ProtectionTripped::default()
        };
        body.window_quantity.0 = tripped.sums.quantity;
        self.tell(sink, filled.session, Reason::ProtectionTripped, body);
        true
    }

    /// Whether the order's group has tripped in the trial that was begun.
    pub(super) fn is_gone(&self, slot: u32) -> bool {
        let (firm, group) = self.group_of(slot);
        let Ok(place) = self.protection.place(firm, group) else {
            return false;
        };
        let trial = &self.protection.groups[place].trial;
        trial.has_tripped && trial.number == self.protection.trials
    }

    /// What a fill of a resting order of a group would do, in the trial that was begun.
    pub(super) fn count_trial(&mut self, slot: u32, lots: u64) -> Tried {
        let (now, number) = (self.sequenced_at, self.protection.trials);
        let filled = self.protected(slot);
        let firm = self.firm_of(filled.session);
        match self.protection.find(firm, filled.group) {
            Some((group, ring)) => group.try_fill(ring, now, number, filled.signed(lots)),
            None => Tried::Counted,
        }
    }

    /// Ends the orders of the group that tripped: those at rest and waiting over all sessions of the
    /// firm, from `next` on, then the one in the market, and those of a mass quote that are still to
    /// enter: ids ascend. Then the order in the market goes on.
    pub(super) fn pull_from(
        &mut self,
        next: u32,
        instrument: u16,
        taker: u32,
        sink: &mut impl EventSink,
    ) -> Progress {
        let (mut next, mut pulled) = (next, 0);
        while next != NIL && pulled < PULLED_PER_STEP {
            let slot = next;
            next = self.orders.mates[slot as usize].next;
            self.pull(slot, taker, sink);
            pulled += 1;
        }
        let behind = 1 + self.quoting.entering().len();
        self.work = if next != NIL || pulled + behind > PULLED_PER_STEP {
            Work::Pull {
                next,
                instrument,
                taker,
            }
        } else {
            self.pull_newest(taker, sink);
            if !self.orders.is_live(taker) {
                return self.after_match(instrument, sink);
            }
            Work::Match { slot: taker }
        };
        Progress::More
    }

    /// Ends what is of the group and did not come to rest yet.
    fn pull_newest(&mut self, taker: u32, sink: &mut impl EventSink) {
        let tripped = self.protection.tripped;
        let meant = |engine: &Self, slot: u32| engine.group_of(slot) == tripped;
        let listed = self.orders.slots[taker as usize]
            .hot
            .flags
            .any(Flags::LISTED);
        if !listed && meant(self, taker) {
            self.pull(taker, taker, sink);
        }
        for index in 0..self.quoting.entering().len() {
            let id = OrderId(self.quoting.entering()[index]);
            if let Some(slot) = self.orders.find(id).filter(|&slot| meant(self, slot)) {
                self.pull(slot, taker, sink);
            }
        }
    }

    /// Ends one of them, wherever it is.
    fn pull(&mut self, slot: u32, taker: u32, sink: &mut impl EventSink) {
        let hot = &self.orders.slots[slot as usize].hot;
        if slot == taker {
            // One that is filled has its end already.
            if hot.leaves == 0 {
                return;
            }
        } else if hot.flags.any(Flags::LISTED) {
            self.take_off(slot);
        }
        let reason = Reason::ProtectionTripped;
        self.end(slot, OrderStatus::Canceled, reason, sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protection(settings: Settings) -> Protection {
        let mut protection = Protection::new(4);
        let (group, _) = protection.find_or_add(FirmId(1), 1).unwrap();
        group.settings = settings;
        protection
    }

    fn count(protection: &mut Protection, at: u64, lots: i64) -> Option<Tripped> {
        let (group, ring) = protection.find(FirmId(1), 1).unwrap();
        group.count(ring, UtcNanos(at), lots)
    }

    const WIDE: Settings = Settings {
        quantity: 0,
        net: 0,
        fills: 0,
        window_ms: 1,
        frozen_ms: 2,
    };

    #[test]
    fn a_fill_leaves_the_window_when_its_time_and_the_window_are_over() {
        let mut table = protection(Settings {
            quantity: 10,
            ..WIDE
        });
        assert_eq!(count(&mut table, 5, 6), None);
        assert_eq!(count(&mut table, 5 + MILLISECOND, 6), None, "just gone");
        let tripped = count(&mut table, 5 + 2 * MILLISECOND - 1, -4).unwrap();
        assert_eq!(tripped.limit, ProtectionLimit::Quantity);
        let sums = Sums {
            fills: 2,
            quantity: 10,
            net: 2,
        };
        assert_eq!(tripped.sums, sums);
        assert_eq!(tripped.frozen_until.0, 5 + 4 * MILLISECOND - 1);
        let (group, _) = table.find(FirmId(1), 1).unwrap();
        assert!(group.is_frozen(UtcNanos(4 + 4 * MILLISECOND - 1)));
        assert!(!group.is_frozen(UtcNanos(5 + 4 * MILLISECOND - 1)));
        assert_eq!(group.sums, Sums::default());
    }

    #[test]
    fn each_limit_is_reached_and_not_passed() {
        let fills = Settings { fills: 3, ..WIDE };
        let mut table = protection(fills);
        let limits = [1, 2, 3].map(|_| count(&mut table, 1, 1).map(|tripped| tripped.limit));
        assert_eq!(limits, [None, None, Some(ProtectionLimit::Fills)]);
        let net = Settings { net: 5, ..WIDE };
        let mut table = protection(net);
        let limits = [-4, 4, -4, -1].map(|lots| count(&mut table, 1, lots));
        assert_eq!(limits[..3], [None; 3]);
        let tripped = limits[3].unwrap();
        assert_eq!(
            (tripped.limit, tripped.sums.net),
            (ProtectionLimit::Net, -5)
        );
    }

    #[test]
    fn more_fills_than_a_ring_holds_trip_whatever_the_limits_are() {
        let mut table = protection(WIDE);
        for _ in 0..PROTECTION_FILLS_MAX {
            assert_eq!(count(&mut table, 1, 1), None);
        }
        // A full ring that slid has room.
        for _ in 0..PROTECTION_FILLS_MAX {
            assert_eq!(count(&mut table, 1 + MILLISECOND, 1), None);
        }
        let tripped = count(&mut table, 1 + MILLISECOND, 1).unwrap();
        assert_eq!(tripped.limit, ProtectionLimit::Capacity);
        assert_eq!(tripped.sums.fills, PROTECTION_FILLS_MAX + 1);
    }

    #[test]
    fn groups_are_found_in_any_order_and_rings_are_used_again() {
        let mut table = Protection::new(3);
        for (firm, group) in [(2, 1), (1, 2), (1, 1)] {
            assert!(table.find_or_add(FirmId(firm), group).is_some());
        }
        assert!(table.find_or_add(FirmId(3), 1).is_none(), "full");
        assert!(table.find_or_add(FirmId(1), 2).is_some(), "there already");
        assert!(table.groups.is_sorted_by_key(Group::name));
        table.remove(FirmId(1), 2);
        table.remove(FirmId(1), 2);
        assert!(table.find(FirmId(1), 2).is_none());
        assert!(table.find_or_add(FirmId(3), 1).is_some());
        let mut rings: Vec<u32> = table.groups.iter().map(|group| group.ring).collect();
        rings.sort_unstable();
        assert_eq!(rings, [0, 1, 2]);
    }
}
