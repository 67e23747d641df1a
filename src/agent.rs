//! Threads and what runs on them: an agent does one job in bounded steps; a thread runs some
//! agents in a loop and idles by strategy when none has work. `topology` decides who shares a
//! thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use trading_engine_protocol::types::UtcNanos;

use crate::clock::Clock;
use crate::engine::event::EventSink;
use crate::engine::{Ahead, Engine, Progress};
use crate::limits::{STEP_BYTES_MAX, STEP_EVENTS_MAX};
use crate::ring::{Cursor, Doorbell, Reader, Writer, pin_to_core, prefetch};

/// One job, done in bounded steps.
pub trait Agent: Send {
    /// Does what there is to do, up to a bound, and says how much that was (0 = nothing).
    fn do_work(&mut self) -> usize;

    /// Waits for outside input (a poller waits for its sockets) instead of the thread's own park.
    /// `false`: this agent has nothing of its own to wait for.
    fn park(&mut self, _at_most: Duration) -> bool {
        false
    }
}

/// What a thread does when no agent has work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Never sleeps: only for cores nobody else uses.
    Spin,
    /// Spins a little, then parks until a doorbell, a socket or the timeout.
    SpinThenPark,
    /// Parks at once.
    Park,
}

impl Idle {
    /// Empty rounds before parking.
    fn spins(self) -> u32 {
        match self {
            Self::Spin => u32::MAX,
            Self::SpinThenPark => 20,
            Self::Park => 0,
        }
    }
}

/// Longest park: timers (heartbeats, housekeeping) are late by at most this.
pub const PARK_MAX: Duration = Duration::from_millis(10);

/// A thread to be started.
pub struct ThreadPlan {
    /// Thread name.
    pub name: String,
    /// Core to pin to.
    pub core: Option<usize>,
    /// What it does when there is nothing to do.
    pub idle: Idle,
    /// Wakes it.
    pub doorbell: Arc<Doorbell>,
    /// What it runs, in this order each round.
    pub agents: Vec<Box<dyn Agent>>,
}

/// Starts the thread; it runs until `stop` is set and then does one last round.
///
/// # Errors
/// When no thread can be had.
pub fn start(plan: ThreadPlan, stop: Arc<AtomicBool>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(plan.name.clone())
        .spawn(move || run(plan, &stop))
}

fn run(mut plan: ThreadPlan, stop: &AtomicBool) {
    if let Some(core) = plan.core {
        match pin_to_core(core) {
            Ok(()) => tracing::info!(thread = plan.name, core, "pinned"),
            Err(error) => tracing::warn!(thread = plan.name, core, %error, "not pinned"),
        }
    }
    let mut empty = 0;
    while !stop.load(Ordering::Acquire) {
        if round(&mut plan.agents) > 0 {
            empty = 0;
            continue;
        }
        if empty < plan.idle.spins() {
            empty += 1;
            std::hint::spin_loop();
            continue;
        }
        plan.doorbell.arm();
        // The look after arming: what was published before it is seen here, what is published
        // after it rings the bell.
        if round(&mut plan.agents) == 0 {
            park(&mut plan.agents);
        }
        plan.doorbell.disarm();
        empty = 0;
    }
    // What was handed over before the stop is still done.
    while round(&mut plan.agents) > 0 {}
}

fn round(agents: &mut [Box<dyn Agent>]) -> usize {
    agents.iter_mut().map(|agent| agent.do_work()).sum()
}

fn park(agents: &mut [Box<dyn Agent>]) {
    if !agents.iter_mut().any(|agent| agent.park(PARK_MAX)) {
        std::thread::park_timeout(PARK_MAX);
    }
}

/// Feeds the engine from the log ring and puts its events into the event ring.
pub struct EngineAgent {
    engine: Engine,
    log: Reader,
    events: Writer,
    clock: Clock,
    /// Sequence of the last command applied.
    applied: Cursor,
    due: NextDue,
    /// The command at work has more steps.
    unfinished: bool,
    /// What was found of the commands to come, the furthest first.
    ahead: [Ahead; Self::LOOK_AHEAD],
}

/// When the engine has something due next, ns UTC; `u64::MAX` = nothing. Written by the engine's
/// thread after each round, read by the sequencer's.
#[derive(Clone, Debug)]
pub struct NextDue(Arc<AtomicU64>);

impl NextDue {
    /// As the engine has it at its start.
    pub fn new(at: UtcNanos) -> Self {
        Self(Arc::new(AtomicU64::new(at.0)))
    }

    fn set(&self, at: UtcNanos) {
        self.0.store(at.0, Ordering::Release);
    }

    /// The newest one.
    #[inline]
    pub fn get(&self) -> UtcNanos {
        UtcNanos(self.0.load(Ordering::Acquire))
    }
}

impl EngineAgent {
    /// Commands per round, so that a thread shared with a gateway gets back to its sockets.
    const BATCH: usize = 64;
    /// Commands between the one at work and the one whose memory is asked for: what some of them
    /// take is about what memory takes. Where there are many orders, half way its order is asked for,
    /// and just before it the order's neighbours.
    const LOOK_AHEAD: usize = 4;
    /// `applied_at` before each event in the ring.
    const STAMP_BYTES: usize = 8;

    /// The agent; `engine` has applied everything up to the first command of `log`.
    pub fn new(
        engine: Engine,
        log: Reader,
        events: Writer,
        clock: Clock,
        applied: Cursor,
        due: NextDue,
    ) -> Self {
        Self {
            due,
            engine,
            log,
            events,
            clock,
            applied,
            unfinished: false,
            ahead: [Ahead::default(); Self::LOOK_AHEAD],
        }
    }

    fn step_fits(&mut self) -> bool {
        self.events.has_room_for(
            STEP_EVENTS_MAX,
            STEP_BYTES_MAX + STEP_EVENTS_MAX * Self::STAMP_BYTES,
        )
    }
}

/// Puts events into the ring behind the time they were made at.
struct RingSink<'a> {
    ring: &'a mut Writer,
    applied_at: [u8; 8],
}

impl EventSink for RingSink<'_> {
    #[inline]
    fn write(&mut self, parts: [&[u8]; 3]) {
        self.ring
            .write(&[&self.applied_at, parts[0], parts[1], parts[2]])
            .expect("Invariant: a step's room was checked before it");
    }
}

impl Agent for EngineAgent {
    fn do_work(&mut self) -> usize {
        let mut done = 0;
        let mut applied = 0;
        while done < Self::BATCH && self.step_fits() {
            let applied_at = self.clock.utc_now().0.to_le_bytes();
            let mut sink = RingSink {
                ring: &mut self.events,
                applied_at,
            };
            let progress = if self.unfinished {
                self.engine.resume(&mut sink)
            } else {
                let later = self.log.look_ahead(Self::LOOK_AHEAD).unwrap_or(&[]);
                self.ahead.rotate_right(1);
                self.ahead[0] = self.engine.look_ahead(later, prefetch);
                self.engine
                    .look_closer(self.ahead[Self::LOOK_AHEAD / 2], prefetch);
                self.engine
                    .look_around(self.ahead[Self::LOOK_AHEAD - 1], prefetch);
                let Some(command) = self.log.peek() else {
                    break;
                };
                let progress = self
                    .engine
                    .apply_bytes(command, &mut sink)
                    .expect("Invariant: the sequencer lets only well-formed commands into the log");
                self.log.advance();
                progress
            };
            self.unfinished = progress == Progress::More;
            if !self.unfinished {
                applied = self.engine.sequence().0;
            }
            done += 1;
        }
        if done > 0 {
            self.log.release();
            self.events.publish();
            if applied > 0 {
                self.applied.publish(applied);
                self.due.set(self.engine.next_deadline());
            }
        } else if !self.log.is_empty() {
            // Readers of events are behind: let them run rather than sleep on it.
            std::thread::yield_now();
            return 1;
        }
        done
    }
}
