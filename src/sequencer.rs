//! The seam: one ordered log of commands between the gateways and the engine.
//!
//! A gateway publishes commands and never sees where the order comes from. [`CommandLog`] is what
//! the rest of the venue may know of the log: here it is the [`Sequencer`] in front of the local
//! journal; in cluster mode it is a stream that every pod publishes to and tails.

use trading_engine_protocol::types::{Sequence, UtcNanos};
use zerocopy::FromBytes as _;

use crate::agent::{Agent, NextDue};
use crate::clock::Clock;
use crate::engine::command::{self, Command, CommandHeader, Tick};
use crate::limits::COMMAND_LENGTH_MAX;
use crate::ring::{Cursor, Full, Reader, Writer};

/// The sequenced command log, single or replicated.
pub trait CommandLog {
    /// Orders one command: after this returns, readers of the log get it at the returned
    /// Sequence, in order, exactly once.
    ///
    /// # Errors
    /// [`Full`] when readers of the log are behind: offer it again later.
    fn publish(&mut self, command: &[u8]) -> Result<Sequence, Full>;

    /// The highest Sequence that survives what the configured policy promises to survive.
    fn durable(&self) -> Sequence;
}

/// The local log: stamps commands and puts them into the log ring, which the journal and the
/// engine read in parallel.
pub struct LocalLog {
    ring: Writer,
    durable: Cursor,
    clock: Clock,
    sequence: Sequence,
    sequenced_at: UtcNanos,
}

impl LocalLog {
    /// Continues a log behind `sequence`, last stamped `sequenced_at`.
    pub fn new(
        ring: Writer,
        durable: Cursor,
        clock: Clock,
        sequence: Sequence,
        sequenced_at: UtcNanos,
    ) -> Self {
        Self {
            ring,
            durable,
            clock,
            sequence,
            sequenced_at,
        }
    }

    /// Shows the readers what was published.
    fn flush(&mut self) {
        self.ring.publish();
    }

    fn has_room(&mut self) -> bool {
        self.ring.has_room(COMMAND_LENGTH_MAX)
    }
}

impl CommandLog for LocalLog {
    #[inline]
    fn publish(&mut self, command: &[u8]) -> Result<Sequence, Full> {
        let (header, body) = command
            .split_at_checked(size_of::<CommandHeader>())
            .unwrap_or((command, &[]));
        let Ok(mut header) = CommandHeader::read_from_bytes(header) else {
            // Gateways build commands from typed structs; the sequencer checked the length.
            return Ok(self.sequence);
        };
        let sequence = Sequence(self.sequence.0 + 1);
        let sequenced_at = self.sequenced_at.max(self.clock.utc_now());
        header.sequence = sequence;
        header.sequenced_at = sequenced_at;
        self.ring
            .write(&[zerocopy::IntoBytes::as_bytes(&header), body])?;
        self.sequence = sequence;
        self.sequenced_at = sequenced_at;
        Ok(sequence)
    }

    fn durable(&self) -> Sequence {
        Sequence(self.durable.get())
    }
}

/// Merges the gateways' command rings into the log, in turns.
///
/// Order is the order in which it takes them; each ring gets at most [`Sequencer::TURN`] commands
/// a turn, so that a busy gateway delays the others by a bounded amount. When the log has no
/// room, the gateways' rings fill, and they stop reading their sockets.
pub struct Sequencer {
    inputs: Vec<Reader>,
    log: LocalLog,
    next: usize,
    /// When the engine has something due.
    due: NextDue,
    /// The last such time that a tick was sent for.
    ticked_for: UtcNanos,
}

impl Sequencer {
    /// Commands one ring may have in a row.
    pub const TURN: usize = 32;

    /// A sequencer over the gateways' rings.
    pub fn new(inputs: Vec<Reader>, log: LocalLog, due: NextDue) -> Self {
        Self {
            inputs,
            log,
            next: 0,
            due,
            ticked_for: UtcNanos(0),
        }
    }

    /// Lets time pass in the log when something is due and no command comes by.
    fn tick(&mut self) -> usize {
        let due = self.due.get();
        if due.0 == u64::MAX || due == self.ticked_for || self.log.clock.utc_now() < due {
            return 0;
        }
        if !self.log.has_room() {
            return 0;
        }
        let tick = Command::new(Tick::default()).to_bytes();
        if self.log.publish(&tick).is_ok() {
            self.ticked_for = due;
        }
        1
    }

    fn turn(&mut self, input: usize) -> usize {
        let reader = &mut self.inputs[input];
        let mut done = 0;
        while done < Self::TURN {
            if !self.log.has_room() {
                break;
            }
            let Some(bytes) = reader.peek() else { break };
            if command::read(bytes).is_ok() {
                if self.log.publish(bytes).is_err() {
                    break;
                }
            } else {
                // A bug in a gateway: dropped before the log.
                tracing::error!(bytes = bytes.len(), "a gateway sent what is no command");
            }
            reader.advance();
            done += 1;
        }
        if done > 0 {
            reader.release();
        }
        done
    }
}

impl Agent for Sequencer {
    fn do_work(&mut self) -> usize {
        let mut done = 0;
        for step in 0..self.inputs.len() {
            done += self.turn((self.next + step) % self.inputs.len());
        }
        self.next = (self.next + 1) % self.inputs.len().max(1);
        done += self.tick();
        if done > 0 {
            self.log.flush();
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring;

    fn sequences(reader: &mut Reader) -> Vec<(u64, u64, u64)> {
        let mut out = Vec::new();
        while let Some(bytes) = reader.peek() {
            let (header, _) = command::read(bytes).unwrap();
            out.push((
                header.sequence.0,
                header.sequenced_at.0,
                header.received_at.0,
            ));
            reader.advance();
        }
        reader.release();
        out
    }

    fn tick(ring: &mut Writer, mark: u64) {
        let mut command = Command::new(Tick::default());
        command.header.received_at = UtcNanos(mark);
        ring.write(&command.parts()).unwrap();
        ring.publish();
    }

    #[test]
    fn a_busy_gateway_cannot_starve_another() {
        let (mut busy, busy_out) = ring::channel(1 << 16, 1);
        let (mut calm, calm_out) = ring::channel(1 << 16, 1);
        let (log, mut readers) = ring::channel(1 << 16, 1);
        let (clock, time) = Clock::manual(UtcNanos(1_000));
        let log = LocalLog::new(log, Cursor::new(0), clock, Sequence(7), UtcNanos(5_000));
        let inputs = busy_out.into_iter().chain(calm_out).collect();
        let mut sequencer = Sequencer::new(inputs, log, NextDue::new(UtcNanos(u64::MAX)));
        for _ in 0..100 {
            tick(&mut busy, 1);
        }
        tick(&mut calm, 2);
        sequencer.do_work();
        let seen = sequences(&mut readers[0]);
        assert_eq!(seen.len(), Sequencer::TURN + 1);
        assert_eq!(seen.last().unwrap().2, 2, "the calm gateway had its turn");
        // Numbers go on behind the recovered log, time never goes back behind its last stamp.
        assert_eq!(seen[0], (8, 5_000, 1));
        time.advance(10_000);
        sequencer.do_work();
        assert_eq!(sequences(&mut readers[0])[0].1, 11_000);
    }

    #[test]
    fn time_passes_in_the_log_when_something_is_due_and_once_for_it() {
        let (log, mut readers) = ring::channel(1 << 16, 1);
        let (clock, time) = Clock::manual(UtcNanos(1_000));
        let log = LocalLog::new(log, Cursor::new(0), clock, Sequence(0), UtcNanos(0));
        let due = NextDue::new(UtcNanos(3_000));
        let mut sequencer = Sequencer::new(Vec::new(), log, due);
        assert_eq!(sequencer.do_work(), 0);
        time.advance(1_999);
        assert_eq!(sequencer.do_work(), 0, "not yet");
        time.advance(1);
        assert_eq!(sequencer.do_work(), 1);
        assert_eq!(sequences(&mut readers[0]), [(1, 3_000, 0)]);
        time.advance(5_000);
        assert_eq!(sequencer.do_work(), 0, "the engine has not answered yet");
    }

    #[test]
    fn a_full_log_stops_the_gateways_and_loses_nothing() {
        let (mut gateway, out) = ring::channel(1 << 16, 1);
        let (log, mut readers) = ring::channel(1 << 15, 1);
        let (clock, _) = Clock::manual(UtcNanos(1));
        let log = LocalLog::new(log, Cursor::new(0), clock, Sequence(0), UtcNanos(0));
        let mut sequencer = Sequencer::new(out, log, NextDue::new(UtcNanos(u64::MAX)));
        for mark in 0..600 {
            tick(&mut gateway, mark);
        }
        while sequencer.do_work() > 0 {}
        let mut seen = sequences(&mut readers[0]);
        assert!(seen.len() < 600, "the log had no room for all");
        while sequencer.do_work() > 0 {
            seen.extend(sequences(&mut readers[0]));
        }
        assert_eq!(seen.len(), 600);
        assert!(
            seen.iter()
                .zip(0..)
                .all(|(command, mark)| command.2 == mark)
        );
    }
}
