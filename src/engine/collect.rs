//! Finding the orders that a command of many means: a bounded number of looks a step, whatever is in
//! the books. Nothing comes between the steps of a command, so all of them see the same state.
//!
//! What is meant goes into `scratch` as ids, ascending. Orders of one session are found in that order;
//! others are sorted: parts of `STEP_VISITS_MAX` first, then merged, as many ids a step.

use trading_engine_protocol::types::{InstrumentId, Reason, SessionId, Side};

use super::event::EventSink;
use super::instrument::ladder_side;
use super::mass_cancel::{Owners, Then};
use super::order::{Flags, NIL};
use super::phase::Stage;
use super::{Engine, Progress, Work};
use crate::limits::STEP_VISITS_MAX;

/// Where is looked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An order of a session, and then those behind it; then the next session of the owners.
    Session {
        owners: Owners,
        session: Option<SessionId>,
        slot: u32,
    },
    /// Every slot from this one on.
    Slots { slot: u32 },
    /// An order in the book of an instrument, and those behind it; then the other side's, then those
    /// that are parked.
    Book {
        instrument: u16,
        queue: Queue,
        slot: u32,
    },
    /// Quotes of an instrument, by the records of their names.
    Quotes { record: u32, instrument: u16 },
}

/// Queues of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Bids,
    Asks,
    Parked,
}

/// Which of the orders that are looked at are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    All,
    /// By the mass cancel at work.
    ByMassCancel,
    /// Quotes, and orders that are not exempt, unless it is quotes only.
    OfLostConnection {
        quotes_only: bool,
    },
    /// Instrument and side, 0 = any.
    OfStatus {
        instrument: InstrumentId,
        side: u8,
    },
    /// Orders and quotes of an instrument.
    In(InstrumentId),
    /// By the quote cancel at work.
    ByQuoteCancel,
    /// Those with one of these flags; parked ones only with `parked`.
    With {
        ends: Flags,
        parked: bool,
    },
}

/// What is done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Cancel { reason: Reason, then: Then },
    CancelQuotes,
    State,
    EndWithPhase,
    EndWithDay { trading_day: u32 },
}

/// A look for orders that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Search {
    pub place: Place,
    pub meant: Meant,
    pub purpose: Purpose,
}

/// How far ids are sorted: sorted parts have this width, and those from `start` on are being merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sorting {
    /// 0 = parts are being sorted.
    width: usize,
    start: usize,
    left: usize,
    right: usize,
}

impl Sorting {
    const BEGIN: Self = Self {
        width: 0,
        start: 0,
        left: 0,
        right: 0,
    };
}

impl Engine {
    /// The orders of all sessions of these owners.
    pub(super) fn orders_of_owners(&self, owners: Owners) -> Place {
        if let Owners::All = owners {
            return Place::Slots { slot: 0 };
        }
        self.at_session(owners, self.first_of(owners))
    }

    fn at_session(&self, owners: Owners, session: Option<SessionId>) -> Place {
        let oldest = session.map(|session| self.sessions[session.0 as usize].oldest);
        Place::Session {
            owners,
            session,
            slot: oldest.unwrap_or(NIL),
        }
    }

    /// The orders in the book of an instrument, its bids first.
    pub(super) fn orders_in_book(&self, instrument: u16) -> Place {
        self.at_queue(instrument, Queue::Bids)
    }

    fn at_queue(&self, instrument: u16, queue: Queue) -> Place {
        let slot = match queue.side() {
            Some(side) => self.first_in(ladder_side(instrument, side)),
            None => self.instruments[usize::from(instrument)].first_parked,
        };
        Place::Book {
            instrument,
            queue,
            slot,
        }
    }

    fn first_in(&self, ladder: u32) -> u32 {
        match self.ladders.best(ladder) {
            NIL => NIL,
            best => self.ladders.level(ladder, best).head,
        }
    }

    /// Finds the orders that are meant, puts their ids into `scratch`, ascending, and goes on with
    /// them. They fit: there is room for all open ones.
    pub(super) fn search(
        &mut self,
        place: Place,
        meant: Meant,
        purpose: Purpose,
        sink: &mut impl EventSink,
    ) -> Progress {
        self.scratch.clear();
        self.search_on(
            Search {
                place,
                meant,
                purpose,
            },
            sink,
        )
    }

    pub(super) fn search_on(&mut self, search: Search, sink: &mut impl EventSink) -> Progress {
        let Search { meant, purpose, .. } = search;
        let mut ids = std::mem::take(&mut self.scratch);
        let mut place = Some(search.place);
        for _ in 0..STEP_VISITS_MAX {
            let Some(at) = place else { break };
            let (found, next) = self.look(at);
            for slot in found.into_iter().filter(|&slot| slot != NIL) {
                if self.is_one(meant, slot) {
                    ids.push(self.orders.order_id(slot).0);
                }
            }
            place = next;
        }
        self.scratch = ids;
        if let Some(place) = place {
            self.work = Work::Search(Search { place, ..search });
            return Progress::More;
        }
        let in_order = match search.place {
            Place::Session { owners, .. } => matches!(owners, Owners::Session(_)),
            Place::Slots { .. } | Place::Book { .. } | Place::Quotes { .. } => false,
        };
        if in_order {
            return self.go_on_with(purpose, sink);
        }
        self.sort_on(Sorting::BEGIN, purpose, sink)
    }

    /// What is at a place, `NIL` = nothing, and where to look next.
    pub(super) fn look(&self, place: Place) -> ([u32; 2], Option<Place>) {
        match place {
            Place::Session {
                owners,
                session,
                slot,
            } => match (session, slot) {
                (None, _) => ([NIL; 2], None),
                (Some(session), NIL) => {
                    let next = self.next_of(owners, session);
                    let place = next.map(|_| self.at_session(owners, next));
                    ([NIL; 2], place)
                }
                (Some(_), slot) => {
                    let next = Place::Session {
                        owners,
                        session,
                        slot: self.orders.slots[slot as usize].own.next,
                    };
                    ([slot, NIL], Some(next))
                }
            },
            Place::Slots { slot } if slot == self.orders.used() => ([NIL; 2], None),
            Place::Slots { slot } => {
                let found = if self.orders.is_live(slot) { slot } else { NIL };
                ([found, NIL], Some(Place::Slots { slot: slot + 1 }))
            }
            Place::Book {
                instrument,
                queue,
                slot: NIL,
            } => {
                let next = match queue {
                    Queue::Bids => Some(Queue::Asks),
                    Queue::Asks => Some(Queue::Parked),
                    Queue::Parked => None,
                };
                let next = next.map(|queue| self.at_queue(instrument, queue));
                ([NIL; 2], next)
            }
            Place::Book {
                instrument,
                queue,
                slot,
            } => {
                let next = Place::Book {
                    instrument,
                    queue,
                    slot: self.behind(instrument, queue, slot),
                };
                ([slot, NIL], Some(next))
            }
            Place::Quotes { record: NIL, .. } => ([NIL; 2], None),
            Place::Quotes { record, instrument } => {
                let quote = self.quotes.record(record);
                let slots = [Side::Buy, Side::Sell].map(|side| quote.slot(side).unwrap_or(NIL));
                let record = self.quotes.next_of(instrument, Some(record));
                (slots, Some(Place::Quotes { record, instrument }))
            }
        }
    }

    /// The next order of a queue: of the same price, or the first of the next one.
    fn behind(&self, instrument: u16, queue: Queue, slot: u32) -> u32 {
        let hot = &self.orders.slots[slot as usize].hot;
        let (NIL, Some(side)) = (hot.next, queue.side()) else {
            return hot.next;
        };
        let ladder = ladder_side(instrument, side);
        let key = self.instruments[usize::from(instrument)].key(side, hot.tick);
        let below = key.checked_sub(1);
        match below.and_then(|key| self.ladders.at_or_below(ladder, key)) {
            Some(key) => self.ladders.level(ladder, key).head,
            None => NIL,
        }
    }

    fn is_one(&self, meant: Meant, slot: u32) -> bool {
        let flags = self.orders.slots[slot as usize].hot.flags;
        let state = &self.orders.slots[slot as usize].cold.state;
        match meant {
            Meant::All => true,
            Meant::ByMassCancel => self.is_meant(slot),
            Meant::OfLostConnection { quotes_only } => {
                let exempt = quotes_only || flags.any(Flags::DISCONNECT_EXEMPT);
                flags.any(Flags::QUOTE) || !exempt
            }
            Meant::OfStatus { instrument, side } => {
                (instrument.0 == 0 || state.instrument == instrument)
                    && (side == 0 || state.side == side)
            }
            Meant::In(instrument) => state.instrument == instrument,
            Meant::ByQuoteCancel => flags.any(Flags::QUOTE) && self.is_quote_meant(slot),
            Meant::With { ends, parked } => {
                flags.any(ends) && (parked || !flags.any(Flags::PARKED))
            }
        }
    }

    /// Sorts `scratch` as far as a step allows.
    pub(super) fn sort_on(
        &mut self,
        sorting: Sorting,
        purpose: Purpose,
        sink: &mut impl EventSink,
    ) -> Progress {
        let next = if sorting.width == 0 {
            self.sort_part(sorting)
        } else {
            self.merge_on(sorting)
        };
        match next {
            None => self.go_on_with(purpose, sink),
            Some(sorting) => {
                self.work = Work::Sort { sorting, purpose };
                Progress::More
            }
        }
    }

    /// Sorts one part by itself.
    fn sort_part(&mut self, mut sorting: Sorting) -> Option<Sorting> {
        let length = self.scratch.len();
        let end = length.min(sorting.start + STEP_VISITS_MAX);
        self.scratch[sorting.start..end].sort_unstable();
        sorting.start = end;
        if end == length {
            return self.pass_done(0);
        }
        Some(sorting)
    }

    /// All parts of a width are sorted, or merged into such of twice the width.
    fn pass_done(&self, width: usize) -> Option<Sorting> {
        let width = STEP_VISITS_MAX.max(2 * width);
        (width < self.scratch.len()).then_some(Sorting {
            width,
            start: 0,
            left: 0,
            right: width,
        })
    }

    /// Merges neighbours of `scratch` into `merged`; then they change places.
    fn merge_on(&mut self, mut at: Sorting) -> Option<Sorting> {
        let length = self.scratch.len();
        if at.start == 0 && at.left == 0 && at.right == at.width {
            self.merged.clear();
        }
        for _ in 0..STEP_VISITS_MAX {
            let middle = length.min(at.start + at.width);
            let end = length.min(middle + at.width);
            let from_left = match (at.left < middle, at.right < end) {
                (true, true) => self.scratch[at.left] < self.scratch[at.right],
                (left, _) => left,
            };
            let from = if from_left {
                &mut at.left
            } else {
                &mut at.right
            };
            self.merged.push(self.scratch[*from]);
            *from += 1;
            if at.left == middle && at.right >= end {
                at.start = end;
                at.left = end;
                at.right = length.min(end + at.width);
            }
            if self.merged.len() == length {
                std::mem::swap(&mut self.scratch, &mut self.merged);
                return self.pass_done(at.width);
            }
        }
        Some(at)
    }

    /// All that is meant is found.
    fn go_on_with(&mut self, purpose: Purpose, sink: &mut impl EventSink) -> Progress {
        match purpose {
            Purpose::Cancel { reason, then } => self.cancel_from(0, reason, then, sink),
            Purpose::CancelQuotes => self.cancel_quotes_from(0, sink),
            Purpose::State => self.state_found(sink),
            Purpose::EndWithPhase => {
                self.work = Work::Phase(Stage::End { next: 0 });
                Progress::More
            }
            Purpose::EndWithDay { trading_day } => self.expire_from(0, trading_day, sink),
        }
    }
}

impl Queue {
    fn side(self) -> Option<Side> {
        match self {
            Self::Bids => Some(Side::Buy),
            Self::Asks => Some(Side::Sell),
            Self::Parked => None,
        }
    }
}
