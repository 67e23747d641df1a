//! The desk of the venue's own people: what they ask for becomes commands of the log, with a note of who
//! asked around them, and the answer is what the durable log says of it.
//!
//! ```text
//! request -> Desk::perform -> [AuditNote BEGINS, command..., AuditNote ENDS] -> command ring -> log
//!                ^                                                                              |
//!                +-- bounded oneshot <- Desk::see (history thread) <- durable events of that received_at
//! ```
//! Every batch has a `received_at` of its own, by which its events are known. The desk is never waited
//! for by the venue: a request that went away, or waits too long, is nobody's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use trading_engine_protocol::types::{
    Generation, InstrumentId, Reason, Sequence, SessionId, TradingPhase, UtcNanos,
};

use crate::clock::Clock;
use crate::engine::command::{
    AuditNote, Body, Command, CommandHeader, CommandKind, DayRoll, KillSwitch, Name, SetPhase,
};
use crate::engine::event::{
    self, EventBody, EventHeader, KillSwitchDone, LimitsSet, PhaseChanged, TradeAmended,
};

/// Longest wait for an outcome. Beyond it the log is not gaining on what was asked, which the asker has
/// to look up later.
const OUTCOME_TIME: Duration = Duration::from_secs(5);
/// Requests that may wait at once; more are told to come again.
const WAITING_MAX: usize = 256;
/// Answers kept of one batch; a phase of every instrument has so many. More are counted, not kept.
const SAID_MAX: usize = 8192;

/// Puts commands into the log, in order and together. `false`: there is no room, nothing was put.
pub type Send = Arc<dyn Fn(&[Vec<u8>]) -> bool + core::marker::Send + Sync>;

/// Who asks, as the log will have it.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    /// User of the admin API.
    pub actor: Name,
    /// Place in [`AuditNote::ROLES`].
    pub role: u8,
    /// The request's id.
    pub request: [u8; 16],
    /// Client address, IPv4 mapped into IPv6.
    pub address: [u8; 16],
}

/// One command of a batch.
#[derive(Clone, Debug)]
pub struct Ask {
    kind: CommandKind,
    bytes: Vec<u8>,
}

impl Ask {
    /// The venue asks.
    pub fn new<B: Body>(body: B) -> Self {
        Self {
            kind: B::KIND,
            bytes: Command::new(body).to_bytes(),
        }
    }

    /// The venue speaks for a connection of a session.
    pub fn of_session<B: Body>(body: B, session: SessionId, generation: Generation) -> Self {
        let mut command = Command::new(body);
        command.header.session = session;
        command.header.generation = generation;
        Self {
            kind: B::KIND,
            bytes: command.to_bytes(),
        }
    }

    /// What an audit note says of it.
    fn content(&self) -> [u8; 2] {
        use core::mem::{offset_of, size_of};
        let at = |offset: usize| {
            let byte = self.bytes.get(size_of::<CommandHeader>() + offset);
            byte.copied().unwrap_or(0)
        };
        if self.kind == CommandKind::KillSwitch {
            let only_cancels = 2 * at(offset_of!(KillSwitch, cancels_only));
            let how = at(offset_of!(KillSwitch, release)) + only_cancels;
            [at(offset_of!(KillSwitch, scope)), how]
        } else if self.kind == CommandKind::SetPhase {
            [at(offset_of!(SetPhase, phase)) + 1, 0]
        } else {
            [0; 2]
        }
    }

    fn stamped(&self, received_at: UtcNanos) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let at = core::mem::offset_of!(CommandHeader, received_at);
        bytes[at..at + 8].copy_from_slice(&received_at.0.to_le_bytes());
        bytes
    }
}

/// Something the log said about a batch.
#[derive(Clone, Copy, Debug)]
pub enum Said {
    /// A definition, an account or a reference price holds.
    Defined,
    /// Refused, by the core.
    Refused {
        /// Of which command.
        command: u8,
        /// Why.
        reason: Reason,
        /// `CommandRefused::ended`.
        ended: u8,
    },
    /// An instrument is in another phase.
    Phase(PhaseChanged),
    /// A kill switch is set or released.
    Killed(KillSwitchDone),
    /// One side of a trade is amended.
    Amended(TradeAmended),
    /// Limits are as asked for.
    Limits(LimitsSet),
    /// A session's connection ended.
    Closed(SessionId),
    /// A trading day began.
    DayRolled(u32),
}

/// What became of a batch, all of it durable.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Of the note that begins it; the commands follow.
    pub sequence: Sequence,
    /// When.
    pub sequenced_at: UtcNanos,
    /// What was said, in order.
    pub said: Vec<Said>,
}

impl Outcome {
    /// The first refusal.
    pub fn refusal(&self) -> Option<Reason> {
        self.said.iter().find_map(|said| match said {
            Said::Refused { reason, .. } => Some(*reason),
            _ => None,
        })
    }

    /// Which orders of a trade were not stated as they ended, bits in the order of their fills.
    pub fn ended(&self) -> u8 {
        let ended = self.said.iter().map(|said| match said {
            Said::Refused { ended, .. } => *ended,
            _ => 0,
        });
        ended.fold(0, |all, one| all | one)
    }
}

/// Why there is no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeskError {
    /// Nothing was asked: too much waits already.
    Busy,
    /// Nothing was asked: the log takes nothing any more.
    Failed,
    /// It is asked for, and not known to be done.
    Late,
}

struct Waiting {
    outcome: Outcome,
    begun: bool,
    answer: oneshot::Sender<Outcome>,
}

/// See the module.
#[derive(Clone)]
pub struct Desk {
    shared: Arc<Shared>,
}

struct Shared {
    send: Send,
    log_failed: Box<dyn Fn() -> bool + core::marker::Send + Sync>,
    clock: Clock,
    /// The last batch's `received_at`, locked while a batch is sent.
    last_received_at: Mutex<u64>,
    waiting: Mutex<HashMap<u64, Waiting>>,
    /// How many wait, so that events pass without the lock when nobody does.
    waits: AtomicUsize,
    /// One edit of a definition at a time, for those that state what they saw before.
    editing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// A desk that sends so.
    pub fn new(
        send: Send,
        log_failed: Box<dyn Fn() -> bool + core::marker::Send + Sync>,
        clock: Clock,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                send,
                log_failed,
                clock,
                last_received_at: Mutex::new(0),
                waiting: Mutex::default(),
                waits: AtomicUsize::new(0),
                editing: tokio::sync::Mutex::new(()),
            }),
        }
    }

    /// Asks for a batch of commands, and waits until it is durable.
    ///
    /// # Errors
    /// [`DeskError`]; a refusal by the core is an outcome.
    pub async fn perform(
        &self,
        who: &Who,
        target: u64,
        asks: &[Ask],
    ) -> Result<Outcome, DeskError> {
        // A batch is called by what it is for; what prepares it comes before.
        let Some(last) = asks.last() else {
            return Ok(Outcome::default());
        };
        let about = AuditNote {
            action: last.kind as u8,
            target,
            content: last.content(),
            ..AuditNote::default()
        };
        self.between_notes(who, &about, asks).await
    }

    /// Notes that a user of the console is made or changed, or (`failed`) that it was noted and the
    /// database did not do it, and waits until that is durable.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn note_user(
        &self,
        who: &Who,
        user: Name,
        role: u8,
        disabled: bool,
        failed: bool,
    ) -> Result<Outcome, DeskError> {
        let about = AuditNote {
            action: AuditNote::USER_CHANGED,
            content: [role + 1, u8::from(disabled) | u8::from(failed) << 1],
            ..AuditNote::default()
        };
        let subject = who.note(AuditNote {
            actor: user,
            stage: AuditNote::SUBJECT,
            ..about
        });
        self.between_notes(who, &about, &[subject]).await
    }

    async fn between_notes(
        &self,
        who: &Who,
        about: &AuditNote,
        asks: &[Ask],
    ) -> Result<Outcome, DeskError> {
        let note = |stage| who.note(AuditNote { stage, ..*about });
        let mut batch = vec![note(AuditNote::BEGINS)];
        batch.extend_from_slice(asks);
        batch.push(note(AuditNote::ENDS));
        self.sequence(&batch).await
    }

    /// Notes that the venue changes a session's key, or (`failed`) that it was noted and could not be done,
    /// and waits until that is durable.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn note_key(
        &self,
        who: &Who,
        session: u32,
        failed: bool,
    ) -> Result<Outcome, DeskError> {
        let note = who.note(AuditNote {
            action: AuditNote::KEY_ROTATED,
            target: u64::from(session),
            stage: AuditNote::ALONE,
            content: [0, u8::from(failed) << 1],
            ..AuditNote::default()
        });
        self.sequence(&[note]).await
    }

    async fn sequence(&self, batch: &[Ask]) -> Result<Outcome, DeskError> {
        let (received_at, outcome) = self.send(batch)?;
        match tokio::time::timeout(OUTCOME_TIME, outcome).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) | Err(_) => {
                self.forget(received_at);
                Err(DeskError::Late)
            }
        }
    }

    /// Puts a batch into the log; its outcome comes through the receiver.
    fn send(&self, batch: &[Ask]) -> Result<(u64, oneshot::Receiver<Outcome>), DeskError> {
        let shared = &self.shared;
        if (shared.log_failed)() {
            return Err(DeskError::Failed);
        }
        let (answer, outcome) = oneshot::channel();
        let mut last = lock(&shared.last_received_at);
        let received_at = shared.clock.utc_now().0.max(*last + 1);
        {
            let mut waiting = lock(&shared.waiting);
            if waiting.len() >= WAITING_MAX {
                return Err(DeskError::Busy);
            }
            let wait = Waiting {
                outcome: Outcome::default(),
                begun: false,
                answer,
            };
            waiting.insert(received_at, wait);
            shared.waits.store(waiting.len(), Ordering::Release);
        }
        let stamped: Vec<Vec<u8>> = batch
            .iter()
            .map(|ask| ask.stamped(UtcNanos(received_at)))
            .collect();
        if !(shared.send)(&stamped) {
            drop(last);
            self.forget(received_at);
            return Err(DeskError::Busy);
        }
        *last = received_at;
        Ok((received_at, outcome))
    }

    fn forget(&self, received_at: u64) {
        let mut waiting = lock(&self.shared.waiting);
        waiting.remove(&received_at);
        self.shared.waits.store(waiting.len(), Ordering::Release);
    }

    /// One edit at a time: who holds it sees what the edit before did.
    pub async fn edit(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.editing.lock().await
    }

    /// A phase of the schedule, for all instruments: the core passes over those that are halted by name.
    /// `false`: there is no room now.
    pub fn scheduled_phase(&self, phase: TradingPhase) -> bool {
        (self.shared.send)(&[set_phase(InstrumentId(0), phase)])
    }

    /// A trading day of the calendar. `false`: there is no room now.
    pub fn scheduled_day(&self, trading_day: u32) -> bool {
        let roll = DayRoll {
            trading_day,
            reserved: 0,
        };
        (self.shared.send)(&[Command::new(roll).to_bytes()])
    }

    /// One durable event, in order, on the history thread.
    pub fn see(&self, header: &EventHeader, bytes: &[u8]) {
        let shared = &self.shared;
        if shared.waits.load(Ordering::Acquire) == 0 || !is_outcome(header.kind) {
            return;
        }
        let mut waiting = lock(&shared.waiting);
        let Some(wait) = waiting.get_mut(&header.received_at.0) else {
            return;
        };
        let Ok((_, body)) = event::read(bytes) else {
            return;
        };
        if let EventBody::AuditNoted(noted) = body {
            if noted.note.stage == AuditNote::SUBJECT {
                return;
            }
            if noted.note.stage != AuditNote::ENDS {
                wait.begun = true;
                wait.outcome.sequence = header.sequence;
                wait.outcome.sequenced_at = header.sequenced_at;
            }
            if noted.note.stage != AuditNote::BEGINS
                && let Some(done) = waiting.remove(&header.received_at.0)
            {
                shared.waits.store(waiting.len(), Ordering::Release);
                // Who asked may be gone.
                let _ = done.answer.send(done.outcome);
            }
            return;
        }
        // A client's command may have come at the same nanosecond, but not from the venue.
        if wait.begun
            && wait.outcome.said.len() < SAID_MAX
            && let Some(said) = said(header, &body)
        {
            wait.outcome.said.push(said);
        }
    }
}

impl Who {
    fn note(&self, about: AuditNote) -> Ask {
        let actor = if about.stage == AuditNote::SUBJECT {
            about.actor
        } else {
            self.actor
        };
        Ask::new(AuditNote {
            request: self.request,
            actor,
            address: self.address,
            role: self.role,
            ..about
        })
    }
}

/// A new phase of an instrument, 0 = of all.
pub fn set_phase(instrument: InstrumentId, phase: TradingPhase) -> Vec<u8> {
    Command::new(SetPhase {
        instrument,
        phase: phase.as_u8(),
        ..SetPhase::default()
    })
    .to_bytes()
}

fn said(header: &EventHeader, body: &EventBody<'_>) -> Option<Said> {
    let reason = Reason::try_from(header.reason).unwrap_or(Reason::None);
    let refused = |command| {
        Some(Said::Refused {
            command,
            reason,
            ended: 0,
        })
    };
    match body {
        EventBody::InstrumentDefined(_)
        | EventBody::FirmDefined(_)
        | EventBody::SessionDefined(_)
        | EventBody::TickTableDefined(_)
        | EventBody::ReferenceSet(_)
        | EventBody::AccountSet(_) => Some(Said::Defined),
        EventBody::DefinitionRefused(what) => refused(what.command),
        EventBody::CommandRefused(what) => Some(Said::Refused {
            command: what.command,
            reason,
            ended: what.ended,
        }),
        // Those that stopped by themselves are told in a command that may be another's.
        EventBody::LimitsSet(_) if reason != Reason::None => None,
        EventBody::LimitsSet(set) => Some(Said::Limits(**set)),
        EventBody::PhaseChanged(changed) => Some(Said::Phase(**changed)),
        EventBody::KillSwitchDone(_) if header.session.0 != 0 => None,
        EventBody::KillSwitchDone(_) if reason != Reason::None => {
            refused(CommandKind::KillSwitch as u8)
        }
        EventBody::KillSwitchDone(done) => Some(Said::Killed(**done)),
        EventBody::TradeAmended(amended) => Some(Said::Amended(**amended)),
        EventBody::SessionClosed(_) => Some(Said::Closed(header.session)),
        EventBody::DayRolled(rolled) => Some(Said::DayRolled(rolled.trading_day)),
        EventBody::AuditNoted(_)
        | EventBody::CapacitiesSet(_)
        | EventBody::LogonAnswered(_)
        | EventBody::AdminMessage(_)
        | EventBody::BusinessRejected(_)
        | EventBody::OrderAccepted(_)
        | EventBody::OrderReplaced(_)
        | EventBody::OrderCanceled(_)
        | EventBody::OrderRejected(_)
        | EventBody::RequestRejected(_)
        | EventBody::Fill(_)
        | EventBody::OrderAcceptedWithTerms(_)
        | EventBody::OrderReplacedWithTerms(_)
        | EventBody::OrderTriggered(_)
        | EventBody::OrderRestated(_)
        | EventBody::QuoteRestated(_)
        | EventBody::MassCancelDone(_)
        | EventBody::CancelAfterSet(_)
        | EventBody::AuctionIndicative(_)
        | EventBody::AuctionUncrossed(_)
        | EventBody::MassQuoteAnswered(_)
        | EventBody::QuoteCanceled(_)
        | EventBody::QuoteFill(_)
        | EventBody::QuoteCancelDone(_)
        | EventBody::ProtectionSet(_)
        | EventBody::ProtectionTripped(_)
        | EventBody::OrderStatusReport(_)
        | EventBody::QuoteStatusAnswered(_) => None,
    }
}

/// Whether an event of this kind can be part of an outcome.
fn is_outcome(kind: u8) -> bool {
    use event::EventKind as K;
    [
        K::AuditNoted,
        K::InstrumentDefined,
        K::FirmDefined,
        K::SessionDefined,
        K::TickTableDefined,
        K::ReferenceSet,
        K::AccountSet,
        K::DefinitionRefused,
        K::CommandRefused,
        K::LimitsSet,
        K::PhaseChanged,
        K::KillSwitchDone,
        K::TradeAmended,
        K::SessionClosed,
        K::DayRolled,
    ]
    .iter()
    .any(|known| *known as u8 == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_times_of_their_own_and_too_many_of_them_wait_for_nothing() {
        let (clock, _) = Clock::manual(UtcNanos(1_000));
        let desk = Desk::new(Arc::new(|_| true), Box::new(|| false), clock);
        let tick = Ask::new(crate::engine::command::Tick::default());
        let mut last = 0;
        let mut waiting = Vec::new();
        for _ in 0..WAITING_MAX {
            let (at, outcome) = desk.send(std::slice::from_ref(&tick)).unwrap();
            assert!(at > last);
            last = at;
            waiting.push(outcome);
        }
        let refused = desk.send(&[tick]);
        assert_eq!(refused.map(drop), Err(DeskError::Busy));
    }
}
