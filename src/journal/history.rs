//! The history thread: tails the event ring up to the durable Sequence into the event log and
//! to observers, and answers what gateways ask of the past. Behind it, nobody waits: a slow disk
//! here fills the event ring, and the engine stops taking commands before anything is dropped.
//!
//! What the event log buffers is handed to its file when there is nothing else to do, and not more
//! often than every few milliseconds: tails of the log see an event well within a tenth of a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use trading_engine_protocol::types::{Epoch, SessionId};

use super::event_log::EventLog;
use crate::agent::Agent;
use crate::engine::event::{self, EventHeader};
use crate::ring::{Cursor, Doorbell, Reader};

/// Largest answer, about.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Questions waiting at most.
const REQUESTS: usize = 4096;
/// Between two writes for the sake of tails alone.
const FLUSH_EVERY: Duration = Duration::from_millis(5);

/// A gateway asks for events of a session.
pub struct HistoryRequest {
    /// The gateway's name for the connection, echoed.
    pub connection: u64,
    /// Whose events.
    pub session: SessionId,
    /// Of which numbering run.
    pub epoch: Epoch,
    /// First number.
    pub from: u64,
    /// Last number; the answer waits until it is there.
    pub to: u64,
    /// Where the answer goes.
    pub reply: Sender<HistoryReply>,
    /// Wakes the asking poller.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

/// An answer: the events from `from` on, as many as fit a chunk.
#[derive(Debug)]
pub struct HistoryReply {
    /// Echo.
    pub connection: u64,
    /// Echo: an answer of an older numbering run is nobody's any more.
    pub epoch: Epoch,
    /// Echo.
    pub from: u64,
    /// Whole events, in order, 8-aligned; empty when they cannot be had.
    pub events: Vec<u8>,
}

/// Where questions are asked. The history thread looks at the event ring every few milliseconds
/// on its own, so that no publication pays for waking it; a question rings.
#[derive(Clone)]
pub struct HistoryDesk {
    sender: Sender<HistoryRequest>,
    doorbell: Option<Arc<Doorbell>>,
}

impl HistoryDesk {
    /// Rings this bell with each question.
    pub fn wakes(&mut self, doorbell: Arc<Doorbell>) {
        self.doorbell = Some(doorbell);
    }

    /// A desk that nobody sits at.
    #[cfg(test)]
    pub(crate) fn deaf() -> Self {
        let (sender, _) = bounded(1);
        Self {
            sender,
            doorbell: None,
        }
    }

    /// Asks. `false`: too many questions are waiting.
    pub fn ask(&self, request: HistoryRequest) -> bool {
        let taken = self.sender.try_send(request).is_ok();
        if let Some(doorbell) = &self.doorbell {
            doorbell.ring();
        }
        taken
    }
}

/// Somebody who sees every durable event, on the history thread.
pub trait Observer: Send {
    /// One event, in order.
    fn event(&mut self, header: &EventHeader, bytes: &[u8]);
}

/// The agent.
pub struct HistoryAgent {
    events: Reader,
    durable: Cursor,
    log: EventLog,
    observers: Vec<Box<dyn Observer>>,
    requests: Receiver<HistoryRequest>,
    waiting: Vec<HistoryRequest>,
    failed: bool,
    applied: Cursor,
    flushed_at: Instant,
    /// The same for whoever looks.
    told_failed: Arc<AtomicBool>,
}

impl HistoryAgent {
    const BATCH: usize = 1024;

    /// The agent and the way to ask it. `applied` is the last command whose events are all in the ring.
    pub fn new(
        events: Reader,
        durable: Cursor,
        applied: Cursor,
        log: EventLog,
        observers: Vec<Box<dyn Observer>>,
    ) -> (Self, HistoryDesk) {
        let (sender, requests) = bounded(REQUESTS);
        let agent = Self {
            events,
            durable,
            log,
            observers,
            requests,
            waiting: Vec::new(),
            failed: false,
            applied,
            flushed_at: Instant::now(),
            told_failed: Arc::default(),
        };
        let desk = HistoryDesk {
            sender,
            doorbell: None,
        };
        (agent, desk)
    }

    /// Whether the event log failed, kept up to date by the agent.
    pub fn failed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.told_failed)
    }

    fn tail(&mut self) -> usize {
        // Before the ring is looked at: what was applied then is all in the log when the ring is empty.
        let applied = self.applied.get();
        let durable = self.durable.get();
        let mut done = 0;
        while done < Self::BATCH {
            let Some(record) = self.events.peek() else {
                if !self.failed && applied.min(durable) > self.log.sequence() {
                    self.failed = report(self.log.complete(applied.min(durable)));
                }
                break;
            };
            // Eight bytes of `applied_at` come first.
            let Ok((header, _)) = event::read(&record[8..]) else {
                self.events.advance();
                continue;
            };
            if header.sequence.0 > durable {
                break;
            }
            let bytes = &record[8..];
            // A log that failed is left alone: what it could not write would pile up in memory.
            if !self.failed && header.sequence.0 > self.log.sequence() + 1 {
                self.failed = report(self.log.complete(header.sequence.0 - 1));
            }
            if !self.failed {
                self.failed = report(self.log.append(header, bytes));
            }
            for observer in &mut self.observers {
                observer.event(header, bytes);
            }
            self.events.advance();
            done += 1;
        }
        if done > 0 {
            self.events.release();
            self.told_failed.store(self.failed, Ordering::Relaxed);
        }
        done
    }

    fn answer(&mut self) -> usize {
        self.waiting.extend(self.requests.try_iter());
        let before = self.waiting.len();
        let mut index = 0;
        while index < self.waiting.len() {
            let request = &self.waiting[index];
            let there = self
                .log
                .newest(request.session)
                .is_some_and(|newest| newest >= (request.epoch, request.to));
            if there || self.failed {
                let request = self.waiting.swap_remove(index);
                self.reply(&request);
            } else {
                index += 1;
            }
        }
        before - self.waiting.len()
    }

    fn reply(&mut self, request: &HistoryRequest) {
        let read = self.log.read(
            request.session,
            request.epoch,
            request.from,
            request.to,
            CHUNK_BYTES,
        );
        let events = read.unwrap_or_else(|error| {
            tracing::error!(%error, session = request.session.0, "cannot read the event log");
            Vec::new()
        });
        let reply = HistoryReply {
            connection: request.connection,
            epoch: request.epoch,
            from: request.from,
            events,
        };
        // The gateway may be gone during shutdown.
        if request.reply.send(reply).is_ok() {
            (request.wake)();
        }
    }
}

fn report(result: Result<(), super::JournalError>) -> bool {
    match result {
        Ok(()) => false,
        Err(error) => {
            tracing::error!(%error, "event log failed; resends are not served any more");
            true
        }
    }
}

impl Agent for HistoryAgent {
    fn do_work(&mut self) -> usize {
        let done = self.tail() + self.answer();
        if done == 0
            && !self.failed
            && self.log.is_ahead_of_files()
            && self.flushed_at.elapsed() >= FLUSH_EVERY
        {
            self.failed = report(self.log.flush());
            self.flushed_at = Instant::now();
        }
        done
    }
}

impl Drop for HistoryAgent {
    /// The thread has done its last round: what it knows is in the files.
    fn drop(&mut self) {
        if !self.failed {
            report(self.log.flush());
        }
    }
}
