//! Stop orders: they wait beside the book for a trade at or through their stop price.
//!
//! Every price that traded since stops were released last counts, so a stop whose price was passed is
//! released even if later trades went back: trades of the same command, or, where trading was
//! interrupted before stops could be released, of the auctions until they can be. Released one at
//! a time, in the order of their stop prices and then of their waiting, until none is left to
//! release; each is released once, so this ends.

use trading_engine_protocol::types::{OrderStatus, OrderType, Price, Reason, Side, TradingPhase};

use super::event::{EventSink, OrderTriggered};
use super::instrument::stop_side;
use super::order::{Flags, Hot, NIL};
use super::risk::Collar;
use super::{Engine, Progress, Work};

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
        if self.next_triggered(instrument).is_some() {
            self.work = Work::Trigger { instrument };
            return Progress::More;
        }
        self.traded.ticks = None;
        self.settled(sink)
    }

    /// At the end of a transition: what traded before it, or in it, may have reached stops that
    /// cannot be released yet. It counts when they can be (`releases`), as the last trade does.
    pub(super) fn recall_trades(&mut self, instrument: u16, releases: bool) {
        let at_work = std::mem::take(&mut self.traded);
        let instrument = &mut self.instruments[usize::from(instrument)];
        let mut unreleased = std::mem::take(&mut instrument.unreleased);
        // Nobody has waited for it; who comes later goes by what trades then.
        if instrument.stops == 0 {
            return;
        }
        if let Some((low, high)) = at_work.ticks {
            unreleased.add(low, high);
        }
        if !releases {
            instrument.unreleased = unreleased;
            return;
        }
        if let Some(last) = instrument.traded.checked_sub(1) {
            unreleased.add(last, last);
        }
        self.traded = unreleased;
    }

    /// The stop to release next: buy stops from the lowest price up, then sell stops from the
    /// highest down.
    fn next_triggered(&self, id: u16) -> Option<u32> {
        let (low, high) = self.traded.ticks?;
        let instrument = &self.instruments[usize::from(id)];
        if instrument.phase != TradingPhase::Continuous {
            return None;
        }
        for (side, reached) in [(Side::Buy, high), (Side::Sell, low)] {
            let ladder = stop_side(id, side);
            let best = self.ladders.best(ladder);
            // The higher the key, the sooner; what was reached has a key at or above its own.
            if best != NIL && best >= instrument.stop_key(side, reached) {
                return Some(self.ladders.level(ladder, best).head);
            }
        }
        None
    }

    /// Releases the next stop; one a step.
    pub(super) fn trigger_on(&mut self, instrument: u16, sink: &mut impl EventSink) -> Progress {
        match self.next_triggered(instrument) {
            Some(slot) => {
                self.take_off(slot);
                self.release_stop(slot, sink)
            }
            None => self.find_triggered(instrument, sink),
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
