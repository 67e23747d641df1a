//! Orders in one slab, allocated once: a hot half that matching decides from, a cold half that
//! reports are made from.

use trading_engine_protocol::types::{
    AccountId, ClientOrderId, OrderId, OrderStatus, OrderType, Price, SessionId, Side, TimeInForce,
};

use crate::limits::{ORDER_ENTRY_BITS, ORDER_SLOT_BITS};

/// No slot, no neighbour.
pub const NIL: u32 = u32::MAX;

/// What matching reads: 32 bytes, two to a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub struct Hot {
    /// Behind this order in its level (towards the tail), or next free slot.
    pub next: u32,
    /// Before this order in its level.
    pub prev: u32,
    /// Limit as a tick index of the instrument.
    pub tick: u32,
    /// Instrument id.
    pub instrument: u32,
    /// Open lots; 0 = the slot is free.
    pub leaves: u64,
    /// Entry number: with the slot it is the order id. 0 = free.
    pub entry: u64,
}

/// What reports need besides.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Cold {
    pub client_order_id: ClientOrderId,
    pub quantity: u64,
    pub cumulative: u64,
    pub notional: i128,
    pub price: Price,
    pub session: SessionId,
    pub account: AccountId,
    /// Where the client id table keeps this order's newest id.
    pub bucket: u32,
    pub side: Side,
    pub order_type: OrderType,
    pub time_in_force: TimeInForce,
}

const _: () = assert!(size_of::<Hot>() == 32 && size_of::<Cold>() == 128);

impl Cold {
    /// Status of an order that is still open.
    #[inline]
    pub fn open_status(&self) -> OrderStatus {
        if self.cumulative == 0 {
            OrderStatus::New
        } else {
            OrderStatus::PartiallyFilled
        }
    }
}

/// Writes to every page of the room that a vector has beyond its length.
pub fn touch_spare<T>(vector: &mut Vec<T>) {
    const PAGE: usize = 4096;
    let every = (PAGE / size_of::<T>()).max(1);
    for place in vector.spare_capacity_mut().iter_mut().step_by(every) {
        *place = std::hint::black_box(std::mem::MaybeUninit::zeroed());
    }
}

/// The slab.
pub struct Orders {
    pub hot: Vec<Hot>,
    pub cold: Vec<Cold>,
    /// Slots there are; the halves have room for them and grow into it.
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
            hot: Vec::with_capacity(capacity),
            cold: Vec::with_capacity(capacity),
            capacity,
            free: NIL,
            entries: 0,
            live: 0,
        }
    }

    pub fn has_room(&self) -> bool {
        self.free != NIL || self.hot.len() < self.capacity
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

    /// Takes a slot; the caller checked [`Orders::has_room`] and [`Orders::has_ids`].
    #[inline]
    pub fn take(&mut self, instrument: u32, tick: u32, leaves: u64, cold: Cold) -> u32 {
        self.entries += 1;
        self.live += 1;
        let hot = Hot {
            next: NIL,
            prev: NIL,
            tick,
            instrument,
            leaves,
            entry: self.entries,
        };
        if self.free == NIL {
            debug_assert!(
                self.hot.len() < self.capacity,
                "Invariant: room was checked"
            );
            let slot = self.used();
            self.hot.push(hot);
            self.cold.push(cold);
            return slot;
        }
        let slot = self.free;
        self.free = self.hot[slot as usize].next;
        self.hot[slot as usize] = hot;
        self.cold[slot as usize] = cold;
        slot
    }

    /// Gives a slot back; the order is in no level any more.
    #[inline]
    pub fn put_back(&mut self, slot: u32) {
        let hot = &mut self.hot[slot as usize];
        hot.entry = 0;
        hot.leaves = 0;
        hot.next = self.free;
        self.free = slot;
        self.live -= 1;
    }

    #[inline]
    pub fn order_id(&self, slot: u32) -> OrderId {
        OrderId(self.hot[slot as usize].entry << ORDER_SLOT_BITS | u64::from(slot))
    }

    /// The slot of a live order.
    #[inline]
    pub fn find(&self, id: OrderId) -> Option<u32> {
        #[allow(clippy::cast_possible_truncation, reason = "masked to 24 bits")]
        let slot = (id.0 & ((1 << ORDER_SLOT_BITS) - 1)) as u32;
        let entry = id.0 >> ORDER_SLOT_BITS;
        let hot = self.hot.get(slot as usize)?;
        (entry != 0 && hot.entry == entry).then_some(slot)
    }

    /// Slots that ever held an order.
    pub fn used(&self) -> u32 {
        #[allow(clippy::cast_possible_truncation, reason = "at most 2^24 slots")]
        {
            self.hot.len() as u32
        }
    }

    /// Makes the memory resident.
    pub fn touch(&mut self) {
        touch_spare(&mut self.hot);
        touch_spare(&mut self.cold);
    }

    /// Start and length of each table.
    pub fn memory(&self, each: &mut impl FnMut(*const u8, usize)) {
        each(self.hot.as_ptr().cast(), self.capacity * size_of::<Hot>());
        each(self.cold.as_ptr().cast(), self.capacity * size_of::<Cold>());
    }
}
