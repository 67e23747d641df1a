//! Stop orders: they wait beside the book for a trade at or through their stop price.
//!
//! Every price that traded since stops were released last counts, so a stop whose price was passed is
//! released even if later trades of the same command went back. Where trading is interrupted first, and at the
//! price of an auction that another phase follows than continuous trading, the stops that wait and were reached are
//! marked: they are released when the instrument trades continuously again, whatever comes in between, and those that
//! came later are not. Released one at a time, in the order of their stop prices and then of their waiting, until
//! none is left to release; each is released once, so this ends.

use trading_engine_protocol::types::{OrderStatus, OrderType, Price, Reason, Side, TradingPhase};

use super::event::{EventSink, OrderTriggered};
use super::instrument::stop_side;
use super::order::{Flags, Hot, NIL};
use super::risk::Collar;
use super::{Engine, Progress, Work};
use crate::limits::STEP_VISITS_MAX;

/// Ticks that traded while stops waited that may have to be released for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TradedRange {
    /// Lowest and highest, `None` = no trade.
    pub ticks: Option<(u32, u32)>,
}

impl TradedRange {
    #[inline(always)]
    pub fn add(&mut self, one: u32, other: u32) {
        let (low, high) = self.ticks.unwrap_or((one, one));
        let (low, high) = (low.min(one), high.max(one));
        self.ticks = Some((low.min(other), high.max(other)));
    }
}

/// What is to be released next.
enum Next {
    Stop(u32),
    /// The search goes on in another step.
    Later,
    None,
}

pub(super) const SIDES: [Side; 2] = [Side::Buy, Side::Sell];

/// Where [`super::instrument::Instrument::passed`] counts a side.
pub(super) fn side_index(side: Side) -> usize {
    usize::from(side == Side::Sell)
}

impl Engine {
    /// A stop begins to wait, unless the last trade was at or through its price.
    pub(super) fn wait(&mut self, slot: u32, sink: &mut impl EventSink) -> Progress {
        let hot = &self.orders.slots[slot as usize].hot;
        let id = hot.instrument;
        let side = self.side_of(slot);
        let stop_tick = self.orders.extra[slot as usize].stop_tick;
        let instrument = &mut self.instruments[usize::from(id)];
        // While orders are collected every stop waits.
        let trading = instrument.phase == TradingPhase::Continuous;
        let reached = match (instrument.traded.checked_sub(1), side) {
            (None, _) => false,
            (Some(last), Side::Buy) => last >= stop_tick,
            (Some(last), Side::Sell) => last <= stop_tick,
        };
        if reached && trading {
            return self.release_stop(slot, sink);
        }
        instrument.stops += 1;
        let key = instrument.stop_key(side, stop_tick);
        self.ladders
            .append(&mut self.orders, stop_side(id, side), key, slot);
        if !self.orders.slots[slot as usize]
            .hot
            .flags
            .any(Flags::LISTED)
        {
            self.list(slot);
        }
        self.settled(sink)
    }

    /// Remembers that an instrument traded: one order's trades go one way, from the first tick to
    /// the last. `NIL` = it did not.
    #[inline(always)]
    pub(super) fn note_trades(&mut self, instrument: u16, first: u32, last: u32) {
        if last == NIL {
            return;
        }
        let instrument = &mut self.instruments[usize::from(instrument)];
        instrument.traded = last + 1;
        instrument.center = last + 1;
        if instrument.stops > 0 {
            self.traded.add(first, last);
        }
    }

    /// An order is done matching; stops may follow.
    #[inline(always)]
    pub(super) fn after_match(&mut self, instrument: u16, sink: &mut impl EventSink) -> Progress {
        if self.traded.ticks.is_none() {
            return self.settled(sink);
        }
        self.find_triggered(instrument, sink)
    }

    #[inline(never)]
    fn find_triggered(&mut self, instrument: u16, sink: &mut impl EventSink) -> Progress {
        if self.is_any_triggered(instrument) {
            self.work = Work::Trigger { instrument };
            return Progress::More;
        }
        self.traded.ticks = None;
        self.settled(sink)
    }

    /// At the end of a transition into continuous trading: stops that were passed can be released, and those that the
    /// last trade reaches.
    pub(super) fn recall_trades(&mut self, instrument: u16) {
        let found = &self.instruments[usize::from(instrument)];
        self.search_passed_from = [u32::MAX; 2];
        if found.stops == 0 {
            self.traded.ticks = None;
        } else if let Some(last) = found.traded.checked_sub(1) {
            self.traded.add(last, last);
        }
    }

    /// At the end of any other transition: marks what waits and was reached before it or in it, from `next` on, as
    /// far as a step allows. Returns where to go on, if there is more.
    pub(super) fn pass_stops(&mut self, instrument: u16, next: Option<u32>) -> Option<u32> {
        let first = |engine: &Self, side| engine.first_reached(instrument, side);
        let mut next = next
            .or_else(|| first(self, Side::Buy))
            .or_else(|| first(self, Side::Sell));
        for _ in 0..STEP_VISITS_MAX {
            let Some(slot) = next else {
                break;
            };
            let side = self.side_of(slot);
            let hot = &mut self.orders.slots[slot as usize].hot;
            if !hot.flags.any(Flags::PASSED) {
                hot.flags = hot.flags.with(Flags::PASSED);
                self.instruments[usize::from(instrument)].passed[side_index(side)] += 1;
            }
            next = self.reached_behind(slot);
            if next.is_none() && side == Side::Buy {
                next = first(self, Side::Sell);
            }
        }
        if next.is_none() {
            self.traded.ticks = None;
        }
        next
    }

    /// The key of the last stop of a side that what traded reaches.
    fn reached_key(&self, id: u16, side: Side) -> Option<u32> {
        let (low, high) = self.traded.ticks?;
        let reached = match side {
            Side::Buy => high,
            Side::Sell => low,
        };
        Some(self.instruments[usize::from(id)].stop_key(side, reached))
    }

    /// The first stop of a side, if what traded reaches it. The higher the key, the sooner.
    fn first_reached(&self, id: u16, side: Side) -> Option<u32> {
        let reached = self.reached_key(id, side)?;
        let ladder = stop_side(id, side);
        let best = self.ladders.best(ladder);
        (best != NIL && best >= reached).then(|| self.ladders.level(ladder, best).head)
    }

    /// The stop behind one, if what traded reaches it.
    fn reached_behind(&self, slot: u32) -> Option<u32> {
        let hot = &self.orders.slots[slot as usize].hot;
        if hot.next != NIL {
            return Some(hot.next);
        }
        let (ladder, key) = (self.place_of(slot).side(), self.place_of(slot).key());
        let next = self.ladders.at_or_below(ladder, key.checked_sub(1)?)?;
        let reached = self.reached_key(hot.instrument, self.side_of(slot))?;
        (next >= reached).then(|| self.ladders.level(ladder, next).head)
    }

    pub(super) fn is_passed(&self, slot: u32) -> bool {
        self.orders.slots[slot as usize]
            .hot
            .flags
            .any(Flags::PASSED)
    }

    /// A stop left its ladder.
    #[inline(never)]
    pub(super) fn wait_no_more(&mut self, slot: u32) {
        let side = self.side_of(slot);
        let hot = &mut self.orders.slots[slot as usize].hot;
        let instrument = &mut self.instruments[usize::from(hot.instrument)];
        instrument.stops -= 1;
        if hot.flags.any(Flags::PASSED) {
            hot.flags = hot.flags.without(Flags::PASSED);
            instrument.passed[side_index(side)] -= 1;
        }
    }

    /// Whether a stop can be released.
    fn is_any_triggered(&self, id: u16) -> bool {
        let instrument = &self.instruments[usize::from(id)];
        instrument.phase == TradingPhase::Continuous
            && (instrument.passed != [0; 2]
                || SIDES
                    .iter()
                    .any(|&side| self.first_reached(id, side).is_some()))
    }

    /// The stop to release next: buy stops from the lowest price up, then sell stops from the
    /// highest down.
    fn next_triggered(&mut self, id: u16) -> Next {
        if self.instruments[usize::from(id)].phase != TradingPhase::Continuous {
            return Next::None;
        }
        for side in SIDES {
            // Those that are reached now are in front of all others of their side.
            if let Some(slot) = self.first_reached(id, side) {
                return Next::Stop(slot);
            }
            if self.instruments[usize::from(id)].passed[side_index(side)] > 0 {
                return self.search_passed(id, side);
            }
        }
        Next::None
    }

    /// The first stop of a side that was passed: at its price it is the first. Others may be in front, and none that
    /// was passed in front of the one that was found before.
    fn search_passed(&mut self, id: u16, side: Side) -> Next {
        let ladder = stop_side(id, side);
        let from = self.search_passed_from[side_index(side)];
        let mut at = Some(self.ladders.best(ladder).min(from));
        for _ in 0..STEP_VISITS_MAX {
            let key = at
                .and_then(|at| self.ladders.at_or_below(ladder, at))
                .expect("Invariant: what was passed and counted is in its ladder");
            let head = self.ladders.level(ladder, key).head;
            self.search_passed_from[side_index(side)] = key;
            if self.is_passed(head) {
                return Next::Stop(head);
            }
            at = key.checked_sub(1);
        }
        Next::Later
    }

    /// Releases the next stop; one a step.
    pub(super) fn trigger_on(&mut self, instrument: u16, sink: &mut impl EventSink) -> Progress {
        match self.next_triggered(instrument) {
            Next::Stop(slot) => {
                self.take_off(slot);
                self.release_stop(slot, sink)
            }
            Next::Later | Next::None => self.find_triggered(instrument, sink),
        }
    }

    /// Where a collar ends a released stop's protection.
    fn collared_stop(&self, slot: u32, tick: u32) -> u32 {
        let cold = &self.orders.slots[slot as usize].cold;
        let state = &cold.state;
        self.collared_tick(
            cold.session,
            state.account,
            state.instrument,
            cold.side(),
            tick,
        )
    }

    /// A stop that waits no more is a market or a limit order from now on.
    fn release_stop(&mut self, slot: u32, sink: &mut impl EventSink) -> Progress {
        let at = slot as usize;
        let side = self.side_of(slot);
        let Hot {
            instrument: id,
            flags,
            ..
        } = self.orders.slots[at].hot;
        let is_limit = self.orders.slots[at].cold.state.order_type == OrderType::StopLimit.as_u8();
        let instrument = &self.instruments[usize::from(id)];
        let limited = flags.any(Flags::LIMITED);
        let limit = if is_limit {
            Ok(self.orders.slots[at].hot.tick)
        } else {
            let protection = self.protection_tick(id, instrument, side);
            protection.map(|tick| match limited {
                true => self.collared_stop(slot, tick),
                false => tick,
            })
        };
        let price = limit.map_or(Price(0), |tick| instrument.price_of(tick));
        let limit = limit.map_err(|reason| (OrderStatus::Expired, reason));
        let limit = limit.and_then(|tick| {
            let refused = |reason| (OrderStatus::Canceled, reason);
            // Its limit is the client's, and the band may have moved.
            if is_limit {
                self.check_band(id, price).map_err(refused)?;
            }
            if limited {
                let collar = if is_limit {
                    Collar::Limit
                } else {
                    self.collar_of_best(instrument, side)
                };
                self.check_released(slot, price, collar).map_err(refused)?;
            }
            Ok(tick)
        });
        let counted = self.counted(slot);
        let hot = &mut self.orders.slots[at].hot;
        hot.flags = flags
            .without(Flags::WAITING)
            .with_if(is_limit, Flags::RESTS);
        self.orders.slots[at].cold.state.price = price;
        if let Some(before) = counted {
            self.recount(slot, before);
        }
        let status = self.orders.slots[at].cold.open_status();
        let body = OrderTriggered::default();
        self.report(sink, slot, status, Reason::StopTriggered, &body);
        match limit {
            Ok(tick) => {
                self.orders.slots[at].hot.tick = tick;
                self.match_on(slot, sink)
            }
            Err((status, reason)) => {
                self.end(slot, status, reason, sink);
                self.after_match(id, sink)
            }
        }
    }
}
