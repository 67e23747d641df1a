//! The orders of a protection group: every order with a group is in one list, from its coming to rest
//! until its end, so that a trip costs what it pulls, whatever else the firm has in the books.
//!
//! A group that is set has a list of its own. Those of a firm's groups that are not set share one, and
//! come into their group's when it is set. An order comes to rest before any later one gets an id, so
//! the orders of a group are in ascending order id in whichever list they are.

use trading_engine_protocol::types::FirmId;

use super::order::{NIL, Own};
use super::snapshot::SnapshotError;
use super::{Engine, Progress, Work};
use crate::limits::STEP_VISITS_MAX;

/// First and last slot of a list, `NIL` = it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mates {
    pub first: u32,
    pub last: u32,
}

impl Default for Mates {
    fn default() -> Self {
        Self {
            first: NIL,
            last: NIL,
        }
    }
}

impl Mates {
    /// As one word of a snapshot.
    pub fn word(self) -> u64 {
        u64::from(self.first) << 32 | u64::from(self.last)
    }

    #[allow(clippy::cast_possible_truncation, reason = "both halves")]
    pub fn from_word(word: u64) -> Self {
        Self {
            first: (word >> 32) as u32,
            last: word as u32,
        }
    }

    /// Puts an order behind all others.
    fn append(&mut self, links: &mut [Own], slot: u32) {
        links[slot as usize] = Own {
            next: NIL,
            prev: self.last,
        };
        match self.last {
            NIL => self.first = slot,
            last => links[last as usize].next = slot,
        }
        self.last = slot;
    }

    fn remove(&mut self, links: &mut [Own], slot: u32) {
        let Own { next, prev } = links[slot as usize];
        match prev {
            NIL => self.first = next,
            prev => links[prev as usize].next = next,
        }
        match next {
            NIL => self.last = prev,
            next => links[next as usize].prev = prev,
        }
    }

    /// Puts a whole list behind all others.
    pub fn append_all(&mut self, links: &mut [Own], other: Self) {
        if other.first == NIL {
            return;
        }
        match self.last {
            NIL => self.first = other.first,
            last => links[last as usize].next = other.first,
        }
        links[other.first as usize].prev = self.last;
        self.last = other.last;
    }
}

impl Engine {
    pub(super) fn group_of(&self, slot: u32) -> (FirmId, u16) {
        let cold = &self.orders.slots[slot as usize].cold;
        (self.firm_of(cold.session), cold.state.protection_group)
    }

    /// An order with a group came to rest.
    #[inline(never)]
    pub(super) fn join_group(&mut self, slot: u32) {
        let (firm, group) = self.group_of(slot);
        let list = match self.protection.mates(firm, group) {
            Some(list) => list,
            None => &mut self.firms[firm.0 as usize].groupless,
        };
        list.append(&mut self.orders.mates, slot);
    }

    /// An order with a group that was at rest ended.
    pub(super) fn leave_group(&mut self, slot: u32) {
        let Own { next, prev } = self.orders.mates[slot as usize];
        // Between two others it does not matter whose list it is.
        if next != NIL && prev != NIL {
            self.orders.mates[prev as usize].next = next;
            self.orders.mates[next as usize].prev = prev;
            return;
        }
        let (firm, group) = self.group_of(slot);
        let list = match self.protection.mates(firm, group) {
            Some(list) => list,
            None => &mut self.firms[firm.0 as usize].groupless,
        };
        list.remove(&mut self.orders.mates, slot);
    }

    /// A group is not set any more: its orders are among those without.
    pub(super) fn disband(&mut self, firm: FirmId, orders: Mates) {
        let list = &mut self.firms[firm.0 as usize].groupless;
        list.append_all(&mut self.orders.mates, orders);
    }

    /// A group was set: its orders come to it from those without, from `next` on.
    pub(super) fn gather_from(&mut self, next: u32, firm: FirmId, group: u16) -> Progress {
        let mut next = next;
        for _ in 0..STEP_VISITS_MAX {
            if next == NIL {
                self.work = Work::Nothing;
                return Progress::Done;
            }
            let slot = next;
            next = self.orders.mates[slot as usize].next;
            if self.orders.slots[slot as usize].cold.state.protection_group != group {
                continue;
            }
            let list = &mut self.firms[firm.0 as usize].groupless;
            list.remove(&mut self.orders.mates, slot);
            if let Some(list) = self.protection.mates(firm, group) {
                list.append(&mut self.orders.mates, slot);
            }
        }
        self.work = Work::Gather { next, firm, group };
        Progress::More
    }

    /// Of a snapshot: every order with a group is in the one list it belongs to, each group's in
    /// ascending order id.
    pub(super) fn check_groups(&self, protected: usize) -> Result<(), SnapshotError> {
        let wrong = SnapshotError::Damaged("a group's orders");
        let mut listed = 0;
        let groupless = self.firms.iter().zip(0..);
        let groupless = groupless.map(|(firm, id)| (firm.groupless, (id, None)));
        for (list, name) in groupless.chain(self.protection.lists()) {
            let (mut next, mut before, mut id) = (list.first, NIL, 0);
            while next != NIL {
                let links = self.orders.mates.get(next as usize).ok_or(wrong)?;
                listed += 1;
                // A list that comes to itself again is longer than all orders.
                if links.prev != before || listed > protected || !self.orders.is_protected(next) {
                    return Err(wrong);
                }
                let (firm, group) = self.group_of(next);
                let order_id = self.orders.order_id(next).0;
                let belongs = match name {
                    (owner, Some(its)) => (owner, its) == (firm.0, group) && order_id > id,
                    (owner, None) => owner == firm.0 && !self.protection.is_set(firm, group),
                };
                if !belongs {
                    return Err(wrong);
                }
                (before, next, id) = (next, links.next, order_id);
            }
            if before != list.last {
                return Err(wrong);
            }
        }
        let all = listed == protected;
        all.then_some(()).ok_or(wrong)
    }
}
