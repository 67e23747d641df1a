//! The gateway's way into the log: commands in order, never lost, never waited for.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::command::{Body, Command};
use crate::limits::COMMAND_LENGTH_MAX;
use crate::ring::{Doorbell, Writer};

/// The command ring's writing end, with a spill for the few commands that a full ring must not
/// stop: answers to events and timers.
///
/// Reading a socket stops while the ring is full ([`Outbox::accepts_input`]), which is how
/// backpressure reaches the client. Handling an event must never stop for it, or the gateway would
/// wait for the engine while the engine waits for the gateway to read its events; the commands
/// that events and timers cause wait here, at most a few for each connection.
#[derive(Debug)]
pub struct Outbox {
    ring: Writer,
    spill: VecDeque<Vec<u8>>,
    published: bool,
}

impl Outbox {
    /// Room that one inbound message may need in the ring: the longest command, and a short one.
    const INPUT_ROOM: usize = COMMAND_LENGTH_MAX + 1024;

    /// Wraps the ring.
    pub fn new(ring: Writer) -> Self {
        Self {
            ring,
            spill: VecDeque::new(),
            published: true,
        }
    }

    /// Rings this bell when something is published.
    pub fn wakes(&mut self, doorbell: Arc<Doorbell>) {
        self.ring.wakes(doorbell);
    }

    /// Whether a socket may be read: what its next message causes has room.
    #[inline]
    pub fn accepts_input(&mut self) -> bool {
        self.spill.is_empty() && self.ring.has_room(Self::INPUT_ROOM)
    }

    /// Sends a command, behind all sent before it.
    #[inline]
    pub fn send<B: Body>(&mut self, command: &Command<B>) {
        self.send_parts(&command.parts());
    }

    /// [`Outbox::send`] for a command in parts.
    #[inline]
    pub fn send_parts(&mut self, parts: &[&[u8]]) {
        self.published = false;
        if self.spill.is_empty() && self.ring.write(parts).is_ok() {
            return;
        }
        self.spill.push_back(parts.concat());
    }

    /// [`Outbox::send`] for a command that is bytes already.
    pub fn send_bytes(&mut self, command: &[u8]) {
        self.send_parts(&[command]);
    }

    /// Moves spilled commands into the ring as far as it has room, and shows the sequencer what
    /// was written since the last call.
    pub fn publish(&mut self) {
        while let Some(bytes) = self.spill.front() {
            if self.ring.write(&[bytes]).is_err() {
                break;
            }
            self.spill.pop_front();
        }
        if !self.published {
            self.ring.publish();
            self.published = self.spill.is_empty();
        }
    }

    /// Commands waiting for room.
    pub fn spilled(&self) -> usize {
        self.spill.len()
    }
}
