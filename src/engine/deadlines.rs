//! What happens at a time: expiries of orders and cancels of sessions, in an indexed heap.
//!
//! The engine looks at the earliest one before every command; log time is the only time there is.
//! Every entry can be moved and taken out where it is, so the heap holds live deadlines only: its
//! size is what is waiting, never what has been.

use trading_engine_protocol::types::UtcNanos;

use super::order::touch_spare;
use super::snapshot::Out;

/// Nowhere in the heap.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Whose deadline it is. Earlier variants come first at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whose {
    /// A session's cancel on disconnect, or its `cancel after`.
    Session(u32),
    /// An instrument's indicative price, or the end of its interruption.
    Instrument(u32),
    /// An order's expiry: its id, by which ties are broken, and so its slot.
    Order(u64),
    /// Limits that stopped a firm and have to be told: the next command is at or after the trade's time.
    Limits,
}

/// A deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Deadline {
    /// When, log time.
    pub at: UtcNanos,
    /// Whose.
    pub whose: Whose,
}

/// Where owners remember the place of their deadline.
pub(super) trait Places {
    /// The deadline of `whose` is at `place` now.
    fn moved(&mut self, whose: Whose, place: u32);
}

/// A binary heap, earliest first.
pub(super) struct Deadlines {
    heap: Vec<Deadline>,
    capacity: usize,
}

impl Deadlines {
    pub fn new(capacity: usize) -> Self {
        Self {
            heap: Vec::with_capacity(capacity),
            capacity,
        }
    }

    /// Makes the memory resident.
    pub fn touch(&mut self) {
        touch_spare(&mut self.heap);
    }

    /// Start and length of the table.
    pub fn memory(&self, each: &mut impl FnMut(*const u8, usize)) {
        let length = self.heap.capacity() * size_of::<Deadline>();
        each(self.heap.as_ptr().cast(), length);
    }

    /// How many there may be.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// All of them: time, whose kind, whose.
    pub fn save(&self, out: &mut Out) {
        out.word(self.heap.len() as u64);
        for deadline in &self.heap {
            let (kind, code) = match deadline.whose {
                Whose::Session(code) => (0, u64::from(code)),
                Whose::Instrument(code) => (1, u64::from(code)),
                Whose::Order(id) => (2, id),
                Whose::Limits => (3, 0),
            };
            out.words([deadline.at.0, kind, code]);
        }
    }

    /// The earliest, `u64::MAX` = none.
    pub fn next_at(&self) -> UtcNanos {
        self.heap
            .first()
            .map_or(UtcNanos(u64::MAX), |first| first.at)
    }

    /// The earliest.
    pub fn first(&self) -> Option<Deadline> {
        self.heap.first().copied()
    }

    /// The one at `place`.
    pub fn at(&self, place: u32) -> Option<Deadline> {
        self.heap.get(place as usize).copied()
    }

    /// Adds one. There is room: every owner has at most one.
    pub fn add(&mut self, deadline: Deadline, places: &mut impl Places) {
        debug_assert!(
            self.heap.len() < self.capacity,
            "Invariant: an owner has one deadline"
        );
        self.heap.push(deadline);
        self.up(self.heap.len() - 1, places);
    }

    /// Takes out the one at `place`.
    pub fn remove(&mut self, place: u32, places: &mut impl Places) {
        let place = place as usize;
        if place >= self.heap.len() {
            return;
        }
        let gone = self.heap.swap_remove(place);
        places.moved(gone.whose, NOWHERE);
        if place < self.heap.len() {
            let place = self.up(place, places);
            self.down(place, places);
        }
    }

    fn put(&mut self, place: usize, deadline: Deadline, places: &mut impl Places) {
        self.heap[place] = deadline;
        #[allow(clippy::cast_possible_truncation, reason = "fewer than 2^25 owners")]
        places.moved(deadline.whose, place as u32);
    }

    fn up(&mut self, mut place: usize, places: &mut impl Places) -> usize {
        let moving = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent] <= moving {
                break;
            }
            self.put(place, self.heap[parent], places);
            place = parent;
        }
        self.put(place, moving, places);
        place
    }

    fn down(&mut self, mut place: usize, places: &mut impl Places) {
        let moving = self.heap[place];
        loop {
            let mut child = place * 2 + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len() && self.heap[child + 1] < self.heap[child] {
                child += 1;
            }
            if moving <= self.heap[child] {
                break;
            }
            self.put(place, self.heap[child], places);
            place = child;
        }
        self.put(place, moving, places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    impl Places for BTreeMap<Whose, u32> {
        fn moved(&mut self, whose: Whose, place: u32) {
            if place == NOWHERE {
                self.remove(&whose);
            } else {
                self.insert(whose, place);
            }
        }
    }

    /// Against a sorted set: whatever is added and taken out, the earliest is the earliest, and
    /// everyone knows its place.
    #[test]
    fn the_earliest_is_first_whatever_leaves_in_between() {
        let mut heap = Deadlines::new(1_000);
        let mut places = BTreeMap::new();
        let mut sorted = BTreeSet::new();
        let mut draw = 1u64;
        for id in 0..10_000u64 {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if sorted.len() < 900 && draw >> 63 == 0 || sorted.is_empty() {
                let deadline = Deadline {
                    at: UtcNanos(draw >> 40 & 0xFF),
                    whose: Whose::Order(id),
                };
                heap.add(deadline, &mut places);
                sorted.insert(deadline);
            } else {
                let nth = (draw >> 32) as usize % sorted.len();
                let gone = *sorted.iter().nth(nth).unwrap();
                heap.remove(places[&gone.whose], &mut places);
                sorted.remove(&gone);
            }
            assert_eq!(heap.first(), sorted.first().copied());
            assert_eq!(places.len(), sorted.len());
        }
    }
}
