//! The market-data agent: reads the event ring up to the durable Sequence, keeps every book, and
//! publishes what changed for any number of readers (`feed`).
//!
//! It never waits for a reader. It publishes between two commands only: when it has seen all there
//! is, and at least every few thousand events while there is more. The thread is not woken by
//! events, it looks every few milliseconds, and at once when asked for a whole book.
//!
//! A command may cause more events than the ring holds. So it reads those of one that is at work
//! too, once there is nothing else, and waits with publishing until all of them are there.
//!
//! The event ring is bounded: an agent that is a ring behind stops the engine, so what it does for
//! an event is a few memory accesses, and what it does for a reader is none.

use trading_engine_protocol::types::Side;

use super::feed::{self, BookAnswer, Life, MarketData, Publisher, TAPE_RECORDS};
use super::market::Market;
use crate::agent::Agent;
use crate::engine::event;
use crate::ring::{Cursor, Reader};

/// The agent.
pub struct MarketDataAgent {
    events: Reader,
    durable: Cursor,
    applied: Cursor,
    market: Market,
    publisher: Publisher,
    /// Events since the last publication.
    unpublished: usize,
    /// The command of the last event read; all before it are read.
    seen: u64,
    /// What was said to be in last.
    said: u64,
}

impl MarketDataAgent {
    /// Events a round.
    const BATCH: usize = 1024;
    /// Events after which it publishes though there are more.
    const PUBLISH_EVENTS: usize = 4 * Self::BATCH;
    /// Questions a round.
    const ANSWERS: usize = 4;

    /// The agent and the handle of its readers. `market` has seen everything before the first event
    /// of `events`; `applied` is the last command all of whose events are in the ring.
    pub fn new(
        events: Reader,
        durable: Cursor,
        applied: Cursor,
        market: Market,
        life: Life,
    ) -> (Self, MarketData) {
        let (publisher, handle) = feed::publish(life);
        let said = market.sequence().0;
        let mut agent = Self {
            events,
            durable,
            applied,
            market,
            publisher,
            unpublished: 0,
            seen: said,
            said,
        };
        agent.publish(said);
        (agent, handle)
    }

    fn follow(&mut self) -> usize {
        let durable = self.durable.get();
        // All events of these commands are in the ring, and may be told.
        let whole = durable.min(self.applied.get());
        let mut done = self.read(whole);
        if done == 0 {
            done = self.read(durable.min(self.seen.max(whole + 1)));
        }
        if done > 0 {
            self.events.release();
            self.publisher.count(done as u64);
            self.unpublished += done;
        }
        if self.seen > whole {
            // In the middle of a command, for all that is known.
        } else if done < Self::BATCH {
            if self.unpublished > 0 || whole > self.said {
                self.publish(whole);
            }
        } else if self.unpublished >= Self::PUBLISH_EVENTS && self.is_between_commands() {
            self.publish(self.seen);
        }
        done
    }

    /// Reads events of the commands up to this one, up to a bound. Returns how many.
    fn read(&mut self, until: u64) -> usize {
        let mut done = 0;
        while done < Self::BATCH
            && let Some(record) = self.events.peek()
        {
            // Eight bytes of `applied_at` come first.
            let Ok((header, body)) = event::read(&record[8..]) else {
                self.events.advance();
                continue;
            };
            let sequence = header.sequence.0;
            if sequence > until {
                break;
            }
            self.market.apply(header, &body);
            self.seen = sequence;
            self.events.advance();
            done += 1;
        }
        done
    }

    /// Whether the next event is of another command than the last one.
    fn is_between_commands(&mut self) -> bool {
        let next = self.events.peek().map(|record| event::read(&record[8..]));
        next.is_none_or(|next| next.is_ok_and(|(header, _)| header.sequence.0 != self.seen))
    }

    fn publish(&mut self, sequence: u64) {
        self.unpublished = 0;
        self.said = self.said.max(sequence);
        let market = &mut self.market;
        let publisher = &mut self.publisher;
        let wakes = market.has_changed();
        if let Some(definitions) = market.definitions() {
            publisher.define(definitions);
        }
        let trades = market.trades();
        let forgotten = trades.len().saturating_sub(TAPE_RECORDS);
        for record in trades.drain(..).skip(forgotten) {
            publisher.trade(&record);
        }
        market.changed(|id, state, levels| publisher.state(id, state, levels));
        publisher.done(self.said, market.trading_day(), wakes);
    }

    /// Books between two publications may be in the middle of a command; then the asker waits.
    fn answer(&mut self) -> usize {
        if self.unpublished > 0 {
            return 0;
        }
        let mut answered = 0;
        while answered < Self::ANSWERS {
            let Some(question) = self.publisher.question() else {
                break;
            };
            answered += 1;
            let Some(state) = self.market.words(question.instrument) else {
                continue;
            };
            let side = |side| {
                self.market
                    .levels(question.instrument, side, question.levels)
            };
            // The asker may have stopped waiting.
            let _ = question.reply.send(BookAnswer {
                sequence: self.said,
                state,
                sides: [side(Side::Buy), side(Side::Sell)],
            });
        }
        answered
    }
}

impl Agent for MarketDataAgent {
    fn do_work(&mut self) -> usize {
        let done = self.follow();
        done + self.answer()
    }
}
