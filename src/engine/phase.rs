//! Trading phases: what a transition does to the orders of an instrument, stage by stage.
//!
//! A transition is asked for by the venue, due at a time, or caused by an order that would trade
//! too far from where the market is. It takes as many steps as it needs; nothing comes in between.

use trading_engine_protocol::types::{
    InstrumentId, OrderId, OrderStatus, Reason, SessionId, TradingPhase, UtcNanos,
};

use super::auction::{INDICATIVE, INTERRUPTION_ENDS, Uncrossing};
use super::collect::{Meant, Place, Purpose};
use super::command::{CommandKind, SetPhase};
use super::event::{EventSink, OrderTriggered, PhaseChanged};
use super::instrument::{Indicative, ladder_side};
use super::order::{Flags, NIL};
use super::{Engine, Progress, Work};
use crate::limits::STEP_EVENTS_MAX;

/// Orders a step may end, or bring into the book with two events each.
const ENDS_PER_STEP: usize = STEP_EVENTS_MAX - 2;
const BROUGHT_PER_STEP: usize = (STEP_EVENTS_MAX - 2) / 2;

/// What a transition does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Looks for an auction's price.
    Price,
    /// Trades at it.
    Uncross,
    /// Says that the phase is another.
    Announce,
    /// Orders that `scratch` names end, from `next` on.
    End { next: usize },
    /// Parked orders come into the book.
    Bring,
    /// Stops that were reached are released, or, if they cannot be, marked from `next` on.
    Release { next: Option<u32> },
}

/// The transition at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transition {
    pub instrument: u16,
    pub phase: TradingPhase,
    pub reason: Reason,
}

/// What goes on when an order, its stops and the transition it may have caused are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// The command is done.
    Nothing,
    /// Instruments behind this one get the phase, too.
    OtherInstruments { after: u16, phase: TradingPhase },
    /// More may be due.
    Deadlines,
}

impl Engine {
    pub(super) fn set_phase(&mut self, set: &SetPhase, sink: &mut impl EventSink) -> Progress {
        let verdict = match TradingPhase::try_from(set.phase) {
            Err(_) => Err(Reason::InvalidDefinition),
            Ok(phase) if set.instrument.0 == 0 => Ok(phase),
            Ok(phase) => match self.defined(set.instrument) {
                Err(reason) => Err(reason),
                Ok(instrument) if instrument.phase == phase && !instrument.can_be_held() => {
                    Err(Reason::NotAllowedInPhase)
                }
                Ok(_) => Ok(phase),
            },
        };
        match verdict {
            Err(reason) => {
                self.refuse(sink, CommandKind::SetPhase, reason);
                Progress::Done
            }
            Ok(phase) if set.instrument.0 == 0 => {
                self.afterwards = Afterwards::OtherInstruments { after: 0, phase };
                self.settled(sink)
            }
            Ok(phase) => self.set_phase_by_name(set.instrument, phase, sink),
        }
    }

    /// A halt by name holds, which the schedule's next phase does not end.
    fn set_phase_by_name(
        &mut self,
        id: InstrumentId,
        phase: TradingPhase,
        sink: &mut impl EventSink,
    ) -> Progress {
        let instrument = &mut self.instruments[id.0 as usize];
        instrument.held = phase == TradingPhase::Halted;
        if instrument.phase != phase {
            let id = instrument.id();
            return self.begin_transition(id, phase, Reason::None);
        }
        // Halted with all others before: that it is held now is all that is new.
        let body = PhaseChanged {
            instrument: id,
            phase: phase.as_u8(),
            previous: phase.as_u8(),
            held: 1,
            ..PhaseChanged::default()
        };
        self.note(sink, SessionId(0), Reason::None, body);
        Progress::Done
    }

    fn begin_transition(
        &mut self,
        instrument: u16,
        phase: TradingPhase,
        reason: Reason,
    ) -> Progress {
        self.transition = Transition {
            instrument,
            phase,
            reason,
        };
        self.work = Work::Phase(Stage::Price);
        Progress::More
    }

    /// Everything that an order or a transition causes is done.
    #[inline(always)]
    pub(super) fn settled(&mut self, sink: &mut impl EventSink) -> Progress {
        if self.afterwards == Afterwards::Nothing {
            self.work = Work::Nothing;
            return Progress::Done;
        }
        self.go_on_afterwards(sink)
    }

    #[inline(never)]
    fn go_on_afterwards(&mut self, _: &mut impl EventSink) -> Progress {
        match self.afterwards {
            Afterwards::Nothing => {
                self.work = Work::Nothing;
                Progress::Done
            }
            Afterwards::Deadlines => {
                self.afterwards = Afterwards::Nothing;
                self.work = Work::Deadlines;
                Progress::More
            }
            Afterwards::OtherInstruments { after, phase } => {
                let mut rest = self.instruments[usize::from(after) + 1..].iter();
                match rest.find(|other| other.is_defined() && other.phase != phase && !other.held) {
                    Some(next) => {
                        let id = next.id();
                        self.afterwards = Afterwards::OtherInstruments { after: id, phase };
                        self.begin_transition(id, phase, Reason::None)
                    }
                    None => {
                        self.afterwards = Afterwards::Nothing;
                        self.work = Work::Nothing;
                        Progress::Done
                    }
                }
            }
        }
    }

    /// The order at work would trade outside a band: it ends, and an auction is to
    /// find the price.
    #[inline(never)]
    pub(super) fn interrupt(&mut self, slot: u32, sink: &mut impl EventSink) -> Progress {
        let id = self.orders.slots[slot as usize].hot.instrument;
        let reason = Reason::VolatilityInterruption;
        self.end(slot, OrderStatus::Canceled, reason, sink);
        self.begin_transition(id, TradingPhase::VolatilityAuction, reason)
    }

    pub(super) fn meet_instrument_deadline(
        &mut self,
        code: u32,
        sink: &mut impl EventSink,
    ) -> Progress {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "instruments are named by 16 bits"
        )]
        let (id, which) = ((code >> 1) as u16, code & 1);
        self.disarm_instrument(id, which);
        if which == INTERRUPTION_ENDS {
            self.afterwards = Afterwards::Deadlines;
            return self.begin_transition(id, TradingPhase::Continuous, Reason::None);
        }
        self.publish_indicative(id, sink);
        self.work = Work::Deadlines;
        Progress::More
    }

    /// Goes on with the transition at work.
    pub(super) fn transition_on(&mut self, stage: Stage, sink: &mut impl EventSink) -> Progress {
        let Transition {
            instrument: id,
            phase,
            ..
        } = self.transition;
        let next = match stage {
            Stage::Price => {
                let before = self.instruments[usize::from(id)].phase;
                let uncrosses = phase == TradingPhase::Continuous
                    || (phase == TradingPhase::Closed && before == TradingPhase::ClosingAuction);
                let found = match uncrosses {
                    true => self.begin_uncrossing(id, sink),
                    false => Uncrossing::Nothing,
                };
                match found {
                    Uncrossing::Begun => Stage::Uncross,
                    Uncrossing::Nothing => Stage::Announce,
                    Uncrossing::OutsideBand => {
                        // A book that crosses cannot trade on: orders are collected a while longer.
                        if phase == TradingPhase::Continuous {
                            self.transition.phase = TradingPhase::VolatilityAuction;
                            self.transition.reason = Reason::VolatilityInterruption;
                        }
                        Stage::Announce
                    }
                }
            }
            Stage::Uncross if self.uncross(id, sink) => Stage::Announce,
            Stage::Uncross => Stage::Uncross,
            Stage::Announce => {
                let previous = self.instruments[usize::from(id)].phase;
                self.announce_phase(sink);
                return self.search_ends(id, previous, phase, sink);
            }
            Stage::End { next } => match self.end_from(next, sink) {
                Some(next) => Stage::End { next },
                None => Stage::Bring,
            },
            Stage::Bring => {
                if phase == TradingPhase::ClosingAuction && !self.bring_parked(id, sink) {
                    Stage::Bring
                } else {
                    Stage::Release { next: None }
                }
            }
            Stage::Release { .. } if phase == TradingPhase::Continuous => {
                self.recall_trades(id);
                return self.after_match(id, sink);
            }
            Stage::Release { next } => match self.pass_stops(id, next) {
                Some(next) => Stage::Release { next: Some(next) },
                None => return self.settled(sink),
            },
        };
        self.work = Work::Phase(next);
        Progress::More
    }

    fn announce_phase(&mut self, sink: &mut impl EventSink) {
        let Transition {
            instrument: id,
            phase,
            reason,
        } = self.transition;
        self.disarm_instrument(id, INDICATIVE);
        self.disarm_instrument(id, INTERRUPTION_ENDS);
        let instrument = &mut self.instruments[usize::from(id)];
        let previous = std::mem::replace(&mut instrument.phase, phase);
        instrument.indicative = Indicative::default();
        let lasts_ms = u64::from(instrument.definition.interruption_ms);
        let mut until = UtcNanos(0);
        if reason == Reason::VolatilityInterruption && lasts_ms != 0 {
            until = UtcNanos(self.sequenced_at.0.saturating_add(lasts_ms * 1_000_000));
            self.arm_instrument(id, INTERRUPTION_ENDS, until);
        }
        self.arm_indicative(id);
        let body = PhaseChanged {
            instrument: InstrumentId(u32::from(id)),
            phase: phase.as_u8(),
            previous: previous.as_u8(),
            held: u8::from(self.instruments[usize::from(id)].held),
            until,
            ..PhaseChanged::default()
        };
        self.note(sink, SessionId(0), reason, body);
    }

    /// Finds the orders that end with a transition.
    fn search_ends(
        &mut self,
        id: u16,
        previous: TradingPhase,
        phase: TradingPhase,
        sink: &mut impl EventSink,
    ) -> Progress {
        let continuous = phase == TradingPhase::Continuous;
        let closed = phase == TradingPhase::Closed;
        let closing = phase == TradingPhase::ClosingAuction;
        let for_auctions = Flags::default()
            .with_if(continuous || closed || closing, Flags::AT_THE_OPENING)
            .with_if(continuous || closed, Flags::AT_THE_CLOSE);
        let quotes = previous == TradingPhase::Continuous;
        if for_auctions == Flags::default() && !quotes {
            self.work = Work::Phase(Stage::Bring);
            return Progress::More;
        }
        // An interruption costs what is quoted, not what rests.
        if for_auctions == Flags::default() {
            let place = Place::Quotes {
                instrument: id,
                record: self.quotes.next_of(id, None),
            };
            // Those that have yet to enter the book end as they would.
            let meant = Meant::With {
                ends: Flags::LISTED,
                parked: false,
            };
            return self.search(place, meant, Purpose::EndWithPhase, sink);
        }
        let ends = for_auctions.with_if(quotes, Flags::QUOTE);
        let meant = Meant::With {
            ends,
            parked: closed,
        };
        let place = self.orders_in_book(id);
        self.search(place, meant, Purpose::EndWithPhase, sink)
    }

    /// Ends what `scratch` names, from `next` on. Returns where to go on, if there is more.
    fn end_from(&mut self, next: usize, sink: &mut impl EventSink) -> Option<usize> {
        let last = self.scratch.len().min(next + ENDS_PER_STEP);
        for index in next..last {
            if let Some(slot) = self.orders.find(OrderId(self.scratch[index])) {
                let quote = self.orders.slots[slot as usize].hot.flags.any(Flags::QUOTE);
                let (status, reason) = if quote {
                    (OrderStatus::Canceled, Reason::PhaseEnded)
                } else {
                    (OrderStatus::Expired, Reason::AuctionRemainder)
                };
                self.take_off(slot);
                self.end(slot, status, reason, sink);
            }
        }
        (last < self.scratch.len()).then_some(last)
    }

    /// An order where nothing trades now, or that is for another time: it rests, or is parked.
    #[inline(never)]
    pub(super) fn collect_order(&mut self, slot: u32, sink: &mut impl EventSink) -> Progress {
        let hot = &self.orders.slots[slot as usize].hot;
        let phase = self.instruments[usize::from(hot.instrument)].phase;
        // One that came into the book in its auction stays there, whatever the phase is now.
        let is_new = hot.flags.any(Flags::AT_THE_CLOSE) && !hot.flags.any(Flags::LISTED);
        let is_early = is_new && phase != TradingPhase::ClosingAuction;
        if is_early || hot.flags.any(Flags::PARKED) {
            self.park(slot);
        } else {
            self.rest_at_limit(slot, sink);
            self.book_changed(slot);
        }
        self.settled(sink)
    }

    /// An at-the-close order waits, behind those that do.
    fn park(&mut self, slot: u32) {
        let hot = &mut self.orders.slots[slot as usize].hot;
        let flags = hot.flags;
        hot.flags = flags.with(Flags::PARKED);
        self.park_last(slot);
        if !flags.any(Flags::LISTED) {
            self.list(slot);
        }
    }

    /// Puts a parked order behind all others.
    pub(super) fn park_last(&mut self, slot: u32) {
        let hot = &mut self.orders.slots[slot as usize].hot;
        let instrument = &mut self.instruments[usize::from(hot.instrument)];
        let before = std::mem::replace(&mut instrument.last_parked, slot);
        hot.prev = before;
        hot.next = NIL;
        match before {
            NIL => instrument.first_parked = slot,
            before => self.orders.slots[before as usize].hot.next = slot,
        }
    }

    /// It is in no list any more. The flag stays: a replace parks it again.
    pub(super) fn unpark(&mut self, slot: u32) {
        let hot = &mut self.orders.slots[slot as usize].hot;
        let (next, prev) = (hot.next, hot.prev);
        hot.next = NIL;
        hot.prev = NIL;
        let instrument = &mut self.instruments[usize::from(hot.instrument)];
        match prev {
            NIL => instrument.first_parked = next,
            prev => self.orders.slots[prev as usize].hot.next = next,
        }
        match next {
            NIL => instrument.last_parked = prev,
            next => self.orders.slots[next as usize].hot.prev = prev,
        }
    }

    /// Slots of parked orders, in the order of entry.
    pub(super) fn parked(&self, id: u16) -> impl Iterator<Item = u32> + '_ {
        let mut next = self.instruments[usize::from(id)].first_parked;
        std::iter::from_fn(move || {
            let slot = next;
            (slot != NIL).then(|| {
                next = self.orders.slots[slot as usize].hot.next;
                slot
            })
        })
    }

    /// Parked orders come into the book. Returns whether all did.
    fn bring_parked(&mut self, id: u16, sink: &mut impl EventSink) -> bool {
        for _ in 0..BROUGHT_PER_STEP {
            let slot = self.instruments[usize::from(id)].first_parked;
            if slot == NIL {
                return true;
            }
            self.unpark(slot);
            let hot = &mut self.orders.slots[slot as usize].hot;
            hot.flags = hot.flags.without(Flags::PARKED);
            let status = self.orders.slots[slot as usize].cold.open_status();
            let body = OrderTriggered::default();
            self.report(sink, slot, status, Reason::AuctionBegun, &body);
            let side = self.side_of(slot);
            let hot = &self.orders.slots[slot as usize].hot;
            let key = self.instruments[usize::from(id)].key(side, hot.tick);
            match self.check_level(ladder_side(id, side), key) {
                Ok(()) => self.rest_at_limit(slot, sink),
                Err(reason) => self.end(slot, OrderStatus::Canceled, reason, sink),
            }
        }
        self.instruments[usize::from(id)].first_parked == NIL
    }
}
