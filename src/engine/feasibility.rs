//! Feasibility: whether an order that trades whole (FOK) or at least so much (MinQty) could do so now. Asked before
//! it matches, of the books as they are; nothing trades here.
//!
//! What self-trade prevention or a protection group would take out of its way is not there for it. Which orders a
//! group loses depends on the fills before, so these are counted in a trial of the group's window, in the order in
//! which they would happen.

use std::ops::ControlFlow;

use trading_engine_protocol::types::FirmId;

use super::Engine;
use super::matching::{OnMeeting, on_meeting};
use super::order::{Flags, NIL};
use super::protection::Tried;
use crate::limits::FEASIBILITY_VISITS_MAX;

/// What is looked for, and how far one may look.
struct Sought {
    /// The order that would take it.
    taker: u32,
    /// The firm's group that it is in itself.
    group: Option<(FirmId, u16)>,
    /// What happens when it meets one of the same owner, and whether the firm is the owner.
    own: Option<(OnMeeting, bool)>,
    /// Lots that were not found yet, at least 1.
    missing: u64,
    visits_left: usize,
}

/// Whether it is known: the answer, or go on.
type Looked = ControlFlow<bool>;

impl Sought {
    fn visit(&mut self) -> Looked {
        match self.visits_left.checked_sub(1) {
            Some(left) => self.visits_left = left,
            None => return Looked::Break(false),
        }
        Looked::Continue(())
    }

    /// So many lots are there.
    fn take(&mut self, lots: u64) -> Looked {
        if lots >= self.missing {
            return Looked::Break(true);
        }
        self.missing -= lots;
        Looked::Continue(())
    }
}

/// What a resting order shows only later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peaks {
    slot: u32,
    hidden: u64,
}

impl Engine {
    /// Whether so many lots of the order, at least 1, could trade now, as far as [`FEASIBILITY_VISITS_MAX`] allows
    /// to say.
    pub(super) fn can_fill(&mut self, slot: u32, lots: u64) -> bool {
        let hot = &self.orders.slots[slot as usize].hot;
        let is_protected = hot.flags.any(Flags::PROTECTED);
        self.anchor(hot.instrument);
        let reach = self.reach(slot);
        let state = &self.orders.slots[slot as usize].cold.state;
        let mut sought = Sought {
            taker: slot,
            group: is_protected.then(|| self.group_of(slot)),
            own: on_meeting(state.self_trade_prevention),
            missing: lots,
            visits_left: FEASIBILITY_VISITS_MAX,
        };
        let tries = self.protection.begin_trial();
        let mut next = Some(self.ladders.best(reach.opposite)).filter(|&best| best != NIL);
        while let Some(key) = next.filter(|&key| key >= reach.worst) {
            let looked = if tries || sought.own.is_some() {
                self.look_at_orders(&mut sought, reach.opposite, key, tries)
            } else {
                let level = self.ladders.level(reach.opposite, key);
                let lots = level.lots + level.hidden;
                match sought.visit() {
                    Looked::Continue(()) => sought.take(lots),
                    known => known,
                }
            };
            if let Looked::Break(answer) = looked {
                return answer;
            }
            next = key
                .checked_sub(1)
                .and_then(|below| self.ladders.at_or_below(reach.opposite, below));
        }
        false
    }

    /// The orders of one price: what they show in the order of their time, then what comes behind all of that.
    fn look_at_orders(&mut self, sought: &mut Sought, side: u32, key: u32, tries: bool) -> Looked {
        sought.visit()?;
        let mut next = self.ladders.level(side, key).head;
        let mut hidden = 0;
        self.protection.peaks.clear();
        while next != NIL {
            sought.visit()?;
            let maker = next;
            let hot = &self.orders.slots[maker as usize].hot;
            next = hot.next;
            let (shown, flags) = (hot.leaves, hot.flags);
            let counts = tries && flags.any(Flags::PROTECTED);
            if counts && self.is_gone(maker) {
                // Whosever it is, it is not met.
                continue;
            }
            if let Some((on_meeting, firm_wide)) = sought.own
                && self.same_owner(sought.taker, maker, firm_wide)
            {
                if on_meeting == OnMeeting::CancelResting {
                    continue;
                }
                // It ends or shrinks the order, and is in front of all that comes behind it.
                return Looked::Break(false);
            }
            let behind = self.orders.open(maker) - shown;
            // Where the order can end with its group, what comes before and behind that is told apart.
            if counts || tries && sought.group.is_some() {
                let stays = self.try_fill(sought, maker, shown)?;
                if stays && behind > 0 {
                    let hidden = behind;
                    // As many as there are visits.
                    self.protection.peaks.push(Peaks {
                        slot: maker,
                        hidden,
                    });
                }
            } else {
                hidden += behind;
                sought.take(shown)?;
            }
        }
        self.look_at_peaks(sought)?;
        match hidden {
            0 => Looked::Continue(()),
            // These count in no group, and the order does not end with one: whether they come before or behind the
            // others is the same.
            hidden => sought.take(hidden),
        }
    }

    /// What orders of a price show after all that was shown at first, one after the other, and again.
    fn look_at_peaks(&mut self, sought: &mut Sought) -> Looked {
        while !self.protection.peaks.is_empty() {
            let mut left = 0;
            for index in 0..self.protection.peaks.len() {
                sought.visit()?;
                let Peaks { slot, hidden } = self.protection.peaks[index];
                let shown = self.orders.extra[slot as usize].terms.display.0.min(hidden);
                let stays = self.try_fill(sought, slot, shown)?;
                if stays && hidden > shown {
                    let hidden = hidden - shown;
                    self.protection.peaks[left] = Peaks { slot, hidden };
                    left += 1;
                }
            }
            self.protection.peaks.truncate(left);
        }
        Looked::Continue(())
    }

    /// A fill of a protected order, if it were one. Goes on with whether the order would still be there.
    fn try_fill(&mut self, sought: &mut Sought, maker: u32, lots: u64) -> ControlFlow<bool, bool> {
        let group = self.group_of(maker);
        let tried = self.count_trial(maker, lots);
        if tried == Tried::Gone {
            return ControlFlow::Continue(false);
        }
        sought.take(lots)?;
        if tried == Tried::Trips && sought.group == Some(group) {
            // Its own group, which it is pulled with.
            return ControlFlow::Break(false);
        }
        ControlFlow::Continue(tried == Tried::Counted)
    }
}
