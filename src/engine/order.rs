//! Orders in one slab, allocated once: each a hot part that matching decides from and a cold part
//! that reports are made from.

use trading_engine_protocol::types::{
    OrderId, OrderStatus, OrderType, Price, SessionId, Side, TimeInForce,
};

use super::command::OrderTerms;
use super::event::OrderState;
use super::ladder::Place;

use crate::limits::{ORDER_ENTRY_BITS, ORDER_SLOT_BITS};

/// No slot, no neighbour.
pub const NIL: u32 = u32::MAX;

/// What matching has to know of an order before it touches the rest of it; a plain limit order has
/// at most [`Flags::RESTS`] and [`Flags::LISTED`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// What does not trade at once stays.
    pub const RESTS: Self = Self(1);
    /// It is in its session's list.
    pub const LISTED: Self = Self(1 << 1);
    /// It shows a part of itself at a time.
    pub const ICEBERG: Self = Self(1 << 2);
    /// Self-trade prevention is asked for.
    pub const SELF_TRADE: Self = Self(1 << 3);
    /// A stop that waits for its trigger: it is in a ladder of stops.
    pub const WAITING: Self = Self(1 << 4);
    /// It has a deadline.
    pub const DATED: Self = Self(1 << 5);
    /// It must not take.
    pub const POST_ONLY: Self = Self(1 << 6);
    /// Reports of it state terms.
    pub const TERMS: Self = Self(1 << 7);
    /// It stays when the connection is lost.
    pub const DISCONNECT_EXEMPT: Self = Self(1 << 8);
    /// It is one side of a quote.
    pub const QUOTE: Self = Self(1 << 9);
    /// It is of a protection group, which may be set or not.
    pub const PROTECTED: Self = Self(1 << 10);
    /// It is for the opening auction.
    pub const AT_THE_OPENING: Self = Self(1 << 11);
    /// It is for the closing auction.
    pub const AT_THE_CLOSE: Self = Self(1 << 12);
    /// It waits for the closing auction outside the book.
    pub const PARKED: Self = Self(1 << 13);
    /// Risk limits count it.
    pub const LIMITED: Self = Self(1 << 14);
    /// A waiting stop whose price traded when it could not be released.
    pub const PASSED: Self = Self(1 << 15);
    /// All there are.
    pub const ALL: Self = Self(u16::MAX);
    /// Trades of it are more than two fills of plain orders.
    pub const SPECIAL: Self = Self(Self::ICEBERG.0 | Self::QUOTE.0 | Self::PROTECTED.0);

    /// As a snapshot has them.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// What makes a trade more than two fills and the end of who is filled.
    pub const MORE_THAN_FILLS: Self = Self(Self::SPECIAL.0 | Self::LIMITED.0 | Self::DATED.0);

    /// From a snapshot.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Whether any of `other` is there.
    #[inline(always)]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both.
    #[inline(always)]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `other`, if `condition`.
    #[inline(always)]
    #[must_use]
    pub const fn with_if(self, condition: bool, other: Self) -> Self {
        if condition { self.with(other) } else { self }
    }

    /// `other`, if it is there.
    #[inline(always)]
    #[must_use]
    pub const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Without `other`.
    #[inline(always)]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// What matching reads.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Hot {
    /// Behind this order in its level (towards the tail), or next free slot.
    pub next: u32,
    /// Before this order in its level.
    pub prev: u32,
    /// Limit as a tick index of the instrument.
    pub tick: u32,
    /// Instrument id.
    pub instrument: u16,
    /// What is special about it.
    pub flags: Flags,
    /// Open lots that are shown: all of them, but for an iceberg at rest. 0 = the slot is free.
    pub leaves: u64,
    /// Entry number: with the slot it is the order id. 0 = free.
    pub entry: u64,
}

/// What reports say of the order, as they say it: a report copies it as it lies here.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Cold {
    /// The order as its last report stated it; `leaves` is the slab's hot one, brought here when
    /// something is reported.
    pub state: OrderState,
    /// Whose it is.
    pub session: SessionId,
    /// Where the client id table keeps this order's newest id. Of a quote, which has none there:
    /// its record in the quote book.
    pub bucket: u32,
}

/// What few orders have; looked at only when a flag says so.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Extra {
    /// As asked for, after replaces.
    pub terms: OrderTerms,
    /// Open lots that are not shown.
    pub hidden: u64,
    /// A waiting stop's trigger as a tick index.
    pub stop_tick: u32,
    /// Where its deadline is among the deadlines.
    pub deadline: u32,
}

impl Extra {
    /// Of an order that has nothing of it.
    pub const NONE: Self = Self {
        terms: OrderTerms::NONE,
        hidden: 0,
        stop_tick: 0,
        deadline: NIL,
    };
}

/// Neighbours in a list of orders at rest: those of a session, in ascending order id, or those of a
/// protection group (`mates`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Own {
    pub next: u32,
    pub prev: u32,
}

/// An order: what matching and its neighbours look at is the first cache line, what is reported are
/// the two behind it. One index finds all of it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Slot {
    pub hot: Hot,
    /// Where its level is, while it is in one; written as it joins it.
    pub place: Place,
    pub own: Own,
    reserved: [u32; 3],
    pub cold: Cold,
}

const _: () = assert!(size_of::<Hot>() == 32 && size_of::<Cold>() == 128);
const _: () = assert!(size_of::<Slot>() == 192 && std::mem::offset_of!(Slot, cold) == 64);
const _: () = assert!(size_of::<Extra>() == 64);

impl Slot {
    /// One that never held an order.
    fn empty() -> Self {
        Self {
            hot: Hot {
                next: NIL,
                prev: NIL,
                tick: 0,
                instrument: 0,
                flags: Flags(0),
                leaves: 0,
                entry: 0,
            },
            place: Place::NOWHERE,
            own: Own {
                next: NIL,
                prev: NIL,
            },
            reserved: [0; 3],
            cold: Cold {
                state: OrderState::default(),
                session: SessionId(0),
                bucket: NIL,
            },
        }
    }
}

impl Cold {
    /// Which side it is on.
    #[inline(always)]
    pub fn side(&self) -> Side {
        if self.state.side == Side::Buy.as_u8() {
            Side::Buy
        } else {
            Side::Sell
        }
    }

    /// Whether it is a market order, or a stop that becomes one.
    #[inline(always)]
    pub fn is_market(&self) -> bool {
        self.state.order_type == OrderType::Market.as_u8()
            || self.state.order_type == OrderType::Stop.as_u8()
    }

    /// Whether it ends with the trading day.
    #[inline]
    pub fn ends_with_day(&self) -> bool {
        [
            TimeInForce::Day,
            TimeInForce::AtTheOpening,
            TimeInForce::AtTheClose,
        ]
        .iter()
        .any(|time| time.as_u8() == self.state.time_in_force)
    }

    /// Books a fill.
    #[inline(always)]
    pub fn fill(&mut self, lots: u64, price: Price) {
        self.state.cumulative.0 += lots;
        // Lots are far below 2^63.
        let sum =
            notional(self.state.notional) + i128::from(price.0) * i128::from(lots.cast_signed());
        self.state.notional = halves(sum);
    }

    /// Status of an order that is still open.
    #[inline]
    pub fn open_status(&self) -> OrderStatus {
        if self.state.cumulative.0 == 0 {
            OrderStatus::New
        } else {
            OrderStatus::PartiallyFilled
        }
    }
}

/// A notional as one number.
#[inline(always)]
pub fn notional([low, high]: [u64; 2]) -> i128 {
    i128::from(low) | i128::from(high.cast_signed()) << 64
}

/// A notional as an order's state has it.
#[inline(always)]
pub fn halves(notional: i128) -> [u64; 2] {
    #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
    [notional as u64, (notional >> 64) as u64]
}

/// Writes to every page of the room that a vector has beyond its length.
pub fn touch_spare<T>(vector: &mut Vec<T>) {
    let spare = vector.spare_capacity_mut();
    for place in spare.iter_mut().step_by(in_a_page::<T>()) {
        *place = std::hint::black_box(std::mem::MaybeUninit::zeroed());
    }
    if let Some(last) = spare.last_mut() {
        *last = std::hint::black_box(std::mem::MaybeUninit::zeroed());
    }
}

/// Writes to every page of a table, which stays as it is.
pub fn touch<T: Copy>(table: &mut [T]) {
    for place in table.iter_mut().step_by(in_a_page::<T>()) {
        *place = std::hint::black_box(*place);
    }
    if let Some(last) = table.last_mut() {
        *last = std::hint::black_box(*last);
    }
}

/// How many of something a page of memory has room for, at least one.
const fn in_a_page<T>() -> usize {
    const PAGE: usize = 4096;
    match PAGE / size_of::<T>() {
        0 => 1,
        many => many,
    }
}

#[inline(always)]
fn order_id(entry: u64, slot: u32) -> OrderId {
    OrderId(entry << ORDER_SLOT_BITS | u64::from(slot))
}

/// The slab.
pub struct Orders {
    pub slots: Vec<Slot>,
    pub extra: Vec<Extra>,
    /// Of orders with a protection group.
    pub mates: Vec<Own>,
    /// Slots there are; the tables have room for them and grow into it.
    capacity: usize,
    /// First free slot; the list is last in, first out.
    free: u32,
    /// Entries so far.
    entries: u64,
    live: u32,
}

impl Orders {
    pub fn new(capacity: u32) -> Self {
        let capacity = capacity as usize;
        Self {
            slots: Vec::with_capacity(capacity),
            extra: Vec::with_capacity(capacity),
            mates: Vec::with_capacity(capacity),
            capacity,
            free: NIL,
            entries: 0,
            live: 0,
        }
    }

    pub fn has_room(&self) -> bool {
        self.free != NIL || self.slots.len() < self.capacity
    }

    /// Whether the id space has an entry left.
    pub fn has_ids(&self) -> bool {
        self.entries < (1 << ORDER_ENTRY_BITS) - 1
    }

    pub fn live(&self) -> u32 {
        self.live
    }

    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Takes a slot; the caller checked [`Orders::has_room`] and [`Orders::has_ids`]. Its cold part
    /// still has the last order's content: the caller writes every field.
    #[inline(always)]
    pub fn take(&mut self, instrument: u16, tick: u32, leaves: u64, flags: Flags) -> u32 {
        self.entries += 1;
        self.live += 1;
        let mut slot = self.free;
        if slot == NIL {
            slot = self.grow();
        }
        let order = &mut self.slots[slot as usize];
        self.free = order.hot.next;
        order.hot = Hot {
            next: NIL,
            prev: NIL,
            tick,
            instrument,
            flags,
            leaves,
            entry: self.entries,
        };
        slot
    }

    /// The slot that [`Orders::claim`] would take; `None` = there is no room.
    #[inline(always)]
    pub fn next_free(&mut self) -> Option<u32> {
        if self.free == NIL && !self.grow_free() {
            return None;
        }
        Some(self.free)
    }

    /// [`Orders::take`] of the slot that [`Orders::next_free`] named: the order's id, and its slot to
    /// be written, all but the number of its entry.
    #[inline(always)]
    pub fn claim(&mut self, slot: u32) -> (OrderId, &mut Slot) {
        let order = &mut self.slots[slot as usize];
        self.free = order.hot.next;
        self.entries += 1;
        self.live += 1;
        order.hot.entry = self.entries;
        (order_id(self.entries, slot), order)
    }

    /// A slot never used before is free. Returns whether there is one.
    #[cold]
    fn grow_free(&mut self) -> bool {
        if self.slots.len() < self.capacity {
            self.free = self.grow();
        }
        self.free != NIL
    }

    /// A slot never used before.
    #[cold]
    fn grow(&mut self) -> u32 {
        debug_assert!(
            self.slots.len() < self.capacity,
            "Invariant: room was checked"
        );
        let slot = self.used();
        self.slots.push(Slot::empty());
        self.extra.push(Extra::NONE);
        self.mates.push(Own {
            next: NIL,
            prev: NIL,
        });
        slot
    }

    /// Gives a slot back; the order is in no level any more.
    #[inline]
    pub fn put_back(&mut self, slot: u32) {
        let hot = &mut self.slots[slot as usize].hot;
        hot.entry = 0;
        hot.leaves = 0;
        hot.next = self.free;
        self.free = slot;
        self.live -= 1;
    }

    /// Whether there is an order in the slot.
    #[inline(always)]
    pub fn is_live(&self, slot: u32) -> bool {
        self.slots[slot as usize].hot.entry != 0
    }

    /// Whether there is an order with a protection group in the slot.
    pub fn is_protected(&self, slot: u32) -> bool {
        self.is_live(slot) && self.slots[slot as usize].hot.flags.any(Flags::PROTECTED)
    }

    /// Open lots, shown or not.
    #[inline(always)]
    pub fn open(&self, slot: u32) -> u64 {
        let hot = &self.slots[slot as usize].hot;
        if hot.flags.any(Flags::ICEBERG) {
            hot.leaves + self.extra[slot as usize].hidden
        } else {
            hot.leaves
        }
    }

    #[inline]
    pub fn order_id(&self, slot: u32) -> OrderId {
        order_id(self.slots[slot as usize].hot.entry, slot)
    }

    /// The slot of a live order.
    #[inline]
    pub fn find(&self, id: OrderId) -> Option<u32> {
        #[allow(clippy::cast_possible_truncation, reason = "masked to 24 bits")]
        let slot = (id.0 & ((1 << ORDER_SLOT_BITS) - 1)) as u32;
        let entry = id.0 >> ORDER_SLOT_BITS;
        let hot = &self.slots.get(slot as usize)?.hot;
        (entry != 0 && hot.entry == entry).then_some(slot)
    }

    /// The cache lines of a slot.
    #[inline(always)]
    pub fn lines(&self, slot: u32) -> [*const u8; 3] {
        let slot = self.slots.get(slot as usize);
        let start: *const u8 = slot.map_or(std::ptr::null(), std::ptr::from_ref).cast();
        [start, start.wrapping_add(64), start.wrapping_add(128)]
    }

    /// The first cache lines of those that a slot's order stands between, in its level and among
    /// those of its session.
    #[inline(always)]
    pub fn neighbours(&self, slot: u32) -> [*const u8; 4] {
        let [before, behind, older, younger] =
            self.slots.get(slot as usize).map_or([NIL; 4], |at| {
                [at.hot.prev, at.hot.next, at.own.prev, at.own.next]
            });
        // `NIL` is an address that nobody has: asking for it costs nothing.
        [before, behind, older, younger]
            .map(|slot| self.slots.as_ptr().wrapping_add(slot as usize).cast())
    }

    /// First free slot, `NIL` = none of those that were used.
    pub fn first_free(&self) -> u32 {
        self.free
    }

    /// A slot from a snapshot; the caller counted them.
    pub fn push(&mut self, hot: Hot, cold: Cold, extra: Extra, [own, mates]: [Own; 2]) {
        self.slots.push(Slot {
            hot,
            own,
            cold,
            ..Slot::empty()
        });
        self.extra.push(extra);
        self.mates.push(mates);
    }

    /// Goes on with what was pushed. Returns whether the free list holds the free slots, once each.
    pub fn resume(&mut self, entries: u64, first_free: u32, live: u32, free: &[usize]) -> bool {
        self.entries = entries;
        self.free = first_free;
        self.live = live;
        let mut seen = vec![false; self.slots.len()];
        let mut next = first_free;
        let mut count = 0;
        while next != NIL {
            let at = next as usize;
            if self.slots.get(at).is_none_or(|slot| slot.hot.entry != 0) || seen[at] {
                return false;
            }
            seen[at] = true;
            count += 1;
            next = self.slots[at].hot.next;
        }
        count == free.len()
    }

    /// Of the slots that ever held an order, those that have a place among `room`: all of them, unless no order is in
    /// the others.
    pub fn used_within(&self, room: u32) -> u32 {
        let used = self.used();
        let kept = used.min(room);
        if (kept..used).any(|slot| self.is_live(slot)) {
            used
        } else {
            kept
        }
    }

    /// The first in the free list, from `slot` on, that is below `used`; `NIL` = none.
    pub fn free_below(&self, used: u32, mut slot: u32) -> u32 {
        while slot != NIL && slot >= used {
            slot = self.slots[slot as usize].hot.next;
        }
        slot
    }

    /// Slots that ever held an order.
    pub fn used(&self) -> u32 {
        #[allow(clippy::cast_possible_truncation, reason = "at most 2^24 slots")]
        {
            self.slots.len() as u32
        }
    }

    /// Makes the memory resident.
    pub fn touch(&mut self) {
        touch_spare(&mut self.slots);
        touch_spare(&mut self.extra);
        touch_spare(&mut self.mates);
    }

    /// Start and length of each table.
    pub fn memory(&self, each: &mut impl FnMut(*const u8, usize)) {
        each(
            self.slots.as_ptr().cast(),
            self.capacity * size_of::<Slot>(),
        );
        each(
            self.extra.as_ptr().cast(),
            self.capacity * size_of::<Extra>(),
        );
        each(self.mates.as_ptr().cast(), self.capacity * size_of::<Own>());
    }
}
