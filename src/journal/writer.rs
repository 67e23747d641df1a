//! Appending and group commit, in two halves that may run on two threads.
//!
//! The [`Appender`] copies commands into a batch and hands each batch to the file with one write;
//! the [`Syncer`] makes what was written durable and publishes the durable Sequence. While one
//! group is being synced the next one is written: nobody waits for a group to fill.
//!
//! After any failed write or sync nothing is ever acknowledged again: what is on the medium is then
//! unknown, and a second sync that succeeds proves nothing about the first.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use zerocopy::IntoBytes as _;

use super::disk::Disk;
use super::record::{COMMAND, HEADER, RecordHeader, SEGMENT_END, seed};
use super::segment::{self, HEADER_PAGE, Maker, Segment};
use super::{JournalError, Policy};
use crate::agent::Agent;
use crate::clock::Clock;
use crate::limits::COMMAND_LENGTH_MAX;
use crate::ring::{Cursor, Doorbell, Reader};

/// Smallest segment: a few of the longest commands.
pub const SEGMENT_BYTES_MIN: u64 = 1 << 16;
/// Bytes of a batch that are written even though more is waiting.
const BATCH_BYTES: usize = 1 << 18;

/// What both halves and the rest of the venue share.
pub struct Shared {
    disk: Arc<dyn Disk>,
    log_id: u64,
    segment_bytes: u64,
    policy: Policy,
    /// Last Sequence handed to a file. Written by the appender.
    written: Cursor,
    /// Last Sequence that may be acted on. Written by the appender (`os`) or the syncer (`group`).
    durable: Cursor,
    /// Last Sequence known to be on the medium. Written by the syncer; what nothing was promised
    /// of (`os`) is not in it.
    synced: Cursor,
    /// Segments with unsynced writes, oldest first; the last one is being appended to.
    unsynced: Mutex<Vec<Segment>>,
    /// The next segment, made ahead. Whoever holds the lock is the only one making it: two
    /// makers would share the temporary file, and one would put zeros over the other's records.
    next: Mutex<Ahead>,
    /// Number of the newest segment that should be made ahead; 0 = none yet. Written by the
    /// appender, read by the syncer.
    wanted: AtomicU64,
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
    bytes: AtomicU64,
    syncs: AtomicU64,
    /// Number of the segment being appended to. Written by the appender.
    segment: AtomicU32,
    /// Who is told how long each sync took, and by which clock.
    sync_times: OnceLock<(Clock, SyncTimes)>,
    doorbells: OnceLock<Vec<Arc<Doorbell>>>,
    syncer_bell: OnceLock<Arc<Doorbell>>,
}

/// Takes the time of a sync in nanoseconds.
pub type SyncTimes = Box<dyn Fn(u64) + Send + Sync>;

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("written", &self.written.get())
            .field("durable", &self.durable.get())
            .finish_non_exhaustive()
    }
}

/// The segment after the one being appended to.
enum Ahead {
    Nothing,
    Making(Maker),
    Ready(Segment),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// The durable Sequence.
    pub fn durable(&self) -> &Cursor {
        &self.durable
    }

    /// The written Sequence.
    pub fn written(&self) -> &Cursor {
        &self.written
    }

    /// The policy in force.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Why nothing is acknowledged any more, if so.
    pub fn failure(&self) -> Option<String> {
        if self.has_failed() {
            lock(&self.failure).clone()
        } else {
            None
        }
    }

    /// Whether a write or sync failed.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Bytes appended and syncs done since the start.
    pub fn totals(&self) -> (u64, u64) {
        (
            self.bytes.load(Ordering::Relaxed),
            self.syncs.load(Ordering::Relaxed),
        )
    }

    /// Number of the segment being appended to.
    pub fn segment(&self) -> u32 {
        self.segment.load(Ordering::Relaxed)
    }

    /// Tells this on the syncer's thread how long each sync of a file took. Set once, before the
    /// threads start.
    pub fn times_syncs(&self, clock: Clock, times: SyncTimes) {
        let _ = self.sync_times.set((clock, times));
    }

    /// Wakes these threads whenever the durable Sequence moves or the journal fails. Set once, before
    /// the threads start.
    pub fn wakes(&self, doorbells: Vec<Arc<Doorbell>>) {
        let _ = self.doorbells.set(doorbells);
    }

    /// Wakes the syncer's thread whenever there is something to sync. Set once, likewise.
    pub fn wakes_syncer(&self, doorbell: Arc<Doorbell>) {
        let _ = self.syncer_bell.set(doorbell);
    }

    fn fail(&self, what: &str, error: &dyn fmt::Display) {
        let message = format!("{what}: {error}");
        tracing::error!(%message, "journal failed; nothing more is acknowledged");
        lock(&self.failure).get_or_insert(message);
        self.failed.store(true, Ordering::Release);
        self.ring();
    }

    fn ring(&self) {
        if let Some(doorbells) = self.doorbells.get() {
            Doorbell::ring_all(doorbells.iter().map(Arc::as_ref));
        }
    }
}

/// Where a recovered (or new) log goes on.
pub struct Position {
    pub(super) segment: Segment,
    pub(super) offset: u64,
    pub(super) sequence: u64,
    pub(super) previous_crc: u32,
    pub(super) log_id: u64,
}

/// The writing half.
pub struct Appender {
    shared: Arc<Shared>,
    segment: Segment,
    seed: u32,
    /// File offset of the start of `batch`.
    offset: u64,
    batch: Vec<u8>,
    sequence: u64,
    previous_crc: u32,
}

/// The syncing half.
pub struct Syncer {
    shared: Arc<Shared>,
    /// Newest segment made ahead, or tried in vain.
    prepared: u32,
}

/// Goes on with a log from `position`.
pub fn start(
    disk: Arc<dyn Disk>,
    position: Position,
    segment_bytes: u64,
    policy: Policy,
) -> (Appender, Syncer, Arc<Shared>) {
    let shared = Arc::new(Shared {
        disk,
        log_id: position.log_id,
        segment_bytes: segment_bytes.max(SEGMENT_BYTES_MIN),
        policy,
        written: Cursor::new(position.sequence),
        durable: Cursor::new(position.sequence),
        // Recovery synced what it kept.
        synced: Cursor::new(position.sequence),
        unsynced: Mutex::new(vec![position.segment.clone()]),
        next: Mutex::new(Ahead::Nothing),
        wanted: AtomicU64::new(0),
        failed: AtomicBool::new(false),
        failure: Mutex::new(None),
        bytes: AtomicU64::new(0),
        syncs: AtomicU64::new(0),
        segment: AtomicU32::new(position.segment.number),
        sync_times: OnceLock::new(),
        doorbells: OnceLock::new(),
        syncer_bell: OnceLock::new(),
    });
    let appender = Appender {
        shared: Arc::clone(&shared),
        seed: seed(position.log_id, position.segment.number),
        segment: position.segment,
        offset: position.offset,
        batch: Vec::with_capacity(BATCH_BYTES + COMMAND_LENGTH_MAX + 2 * HEADER),
        sequence: position.sequence,
        previous_crc: position.previous_crc,
    };
    (
        appender,
        Syncer {
            shared: Arc::clone(&shared),
            prepared: 0,
        },
        shared,
    )
}

impl Appender {
    /// Adds a command to the batch; `sequence` is the one in its header.
    #[inline]
    pub fn append(&mut self, sequence: u64, command: &[u8]) {
        if self.shared.has_failed() {
            return;
        }
        assert!(
            sequence == self.sequence + 1,
            "Invariant: the journal takes every command once, in order"
        );
        assert!(
            (1..=COMMAND_LENGTH_MAX).contains(&command.len()) && command.len().is_multiple_of(8),
            "Invariant: what is written can be read back"
        );
        let end = self.offset + (self.batch.len() + 2 * HEADER + command.len()) as u64;
        if end > self.segment.bytes
            && let Err(error) = self.next_segment()
        {
            self.shared.fail("next segment", &error);
            return;
        }
        self.sequence = sequence;
        self.record(COMMAND, command);
        if self.batch.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    #[inline]
    fn record(&mut self, kind: u32, body: &[u8]) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "commands are at most 8 KiB"
        )]
        let mut header = RecordHeader {
            crc: 0,
            length: body.len() as u32,
            previous_crc: self.previous_crc,
            kind,
            sequence: self.sequence,
            durable_through: self.shared.durable.get(),
        };
        header.crc = header.checksum(self.seed, body);
        self.previous_crc = header.crc;
        self.batch.extend_from_slice(header.as_bytes());
        self.batch.extend_from_slice(body);
    }

    /// Hands the batch to the file. Returns whether there was one.
    pub fn flush(&mut self) -> bool {
        if self.batch.is_empty() || self.shared.has_failed() {
            self.batch.clear();
            return false;
        }
        if let Err(error) = self.segment.file.write_at(self.offset, &self.batch) {
            self.shared.fail("write", &error);
            return false;
        }
        self.offset += self.batch.len() as u64;
        self.shared
            .bytes
            .fetch_add(self.batch.len() as u64, Ordering::Relaxed);
        self.batch.clear();
        self.shared.written.publish(self.sequence);
        match self.shared.policy {
            Policy::Os => {
                self.shared.durable.publish(self.sequence);
                self.shared.ring();
            }
            Policy::Group => self.ring_syncer(),
        }
        if self.offset > self.segment.bytes / 2 {
            self.want_next();
        }
        true
    }

    fn ring_syncer(&mut self) {
        if let Some(doorbell) = self.shared.syncer_bell.get() {
            doorbell.ring();
        }
    }

    fn want_next(&mut self) {
        let number = u64::from(self.segment.number) + 1;
        if self.shared.wanted.swap(number, Ordering::AcqRel) != number {
            self.ring_syncer();
        }
    }

    /// Ends this segment and goes on in the next, which the syncer made ahead; if it did not get
    /// to it or not to its end, that is done here, and the core waits for it.
    fn next_segment(&mut self) -> Result<(), JournalError> {
        let shared = Arc::clone(&self.shared);
        let number = self.segment.number + 1;
        let mut next = lock(&shared.next);
        // The next one is durable under its name before the end record can be: an end record
        // without a next segment is a loss, and recovery says so.
        let disk = shared.disk.as_ref();
        let segment = match std::mem::replace(&mut *next, Ahead::Nothing) {
            Ahead::Ready(segment) if segment.number == number => segment,
            Ahead::Making(maker) if maker.number == number => maker.finish(disk)?,
            Ahead::Nothing | Ahead::Making(_) | Ahead::Ready(_) => {
                segment::create(disk, shared.log_id, number, shared.segment_bytes)?
            }
        };
        self.record(SEGMENT_END, &[]);
        self.flush();
        lock(&shared.unsynced).push(segment.clone());
        self.seed = seed(shared.log_id, number);
        self.segment = segment;
        shared.segment.store(number, Ordering::Relaxed);
        self.offset = HEADER_PAGE;
        Ok(())
    }
}

impl Syncer {
    /// Makes what was written durable, and the next segment if one is wanted. Returns whether
    /// anything was done.
    pub fn work(&mut self) -> bool {
        let synced = self.sync();
        self.prepare() || synced
    }

    /// Makes what was written durable. Returns whether there was anything.
    pub fn sync(&mut self) -> bool {
        let shared = &self.shared;
        // First the target, then the files: what the target covers is in files listed by then.
        let target = shared.written.get();
        let wanted = match shared.policy {
            Policy::Group => target > shared.synced.get(),
            // Without a promise about power, only finished segments are synced.
            Policy::Os => lock(&shared.unsynced).len() > 1,
        };
        if !wanted || shared.has_failed() {
            return false;
        }
        self.sync_to(target)
    }

    /// At the end of a run: syncs under every policy, and the mark of that sync as well, so that
    /// damage to the last records while the venue is down is seen as damage.
    pub fn finish(&mut self) -> bool {
        let target = self.shared.written.get();
        !self.shared.has_failed() && self.sync_to(target) && self.sync_to(target)
    }

    fn sync_to(&mut self, target: u64) -> bool {
        let shared = &self.shared;
        let files = lock(&shared.unsynced).clone();
        for segment in &files {
            let started = shared
                .sync_times
                .get()
                .map(|(clock, _)| clock.monotonic_ns());
            if let Err(error) = segment.file.sync() {
                shared.fail("sync", &error);
                return false;
            }
            if let (Some(started), Some((clock, times))) = (started, shared.sync_times.get()) {
                times(clock.monotonic_ns().saturating_sub(started));
            }
            shared.syncs.fetch_add(1, Ordering::Relaxed);
        }
        let Some(last) = files.last() else {
            return false;
        };
        lock(&shared.unsynced).retain(|segment| segment.number >= last.number);
        if let Err(error) = last.write_mark(seed(shared.log_id, last.number), target) {
            shared.fail("sync mark", &error);
            return false;
        }
        shared.synced.publish(target);
        if shared.policy == Policy::Group {
            shared.durable.publish(target);
            shared.ring();
        }
        true
    }

    /// One step towards the segment that is wanted ahead. Returns whether there was one to do.
    fn prepare(&mut self) -> bool {
        let shared = &self.shared;
        let wanted = shared.wanted.load(Ordering::Acquire);
        if wanted <= u64::from(self.prepared) || shared.has_failed() {
            return false;
        }
        let Ok(number) = u32::try_from(wanted) else {
            return false;
        };
        let disk = shared.disk.as_ref();
        let mut next = lock(&shared.next);
        // The appender may have made it meanwhile, in full.
        let newest = lock(&shared.unsynced)
            .last()
            .map_or(0, |segment| segment.number);
        let made = match std::mem::replace(&mut *next, Ahead::Nothing) {
            _ if number <= newest => Ok(Ahead::Nothing),
            Ahead::Making(mut maker) => maker
                .step(disk)
                .map(|done| done.map_or_else(|| Ahead::Making(maker), Ahead::Ready)),
            ready @ Ahead::Ready(_) => Ok(ready),
            Ahead::Nothing => {
                Maker::new(disk, shared.log_id, number, shared.segment_bytes).map(Ahead::Making)
            }
        };
        match made {
            Ok(making @ Ahead::Making(_)) => *next = making,
            Ok(made) => {
                self.prepared = number;
                *next = made;
            }
            // Not tried again here: the appender will, and fail where it matters.
            Err(error) => {
                self.prepared = number;
                tracing::warn!(%error, "cannot make the next segment ahead");
            }
        }
        true
    }
}

/// The appender as an agent: drains the log ring into the file.
pub struct AppendAgent {
    log: Reader,
    appender: Appender,
}

impl AppendAgent {
    /// Commands per round.
    const BATCH: usize = 1024;

    /// Journals everything that comes through `log`.
    pub fn new(log: Reader, appender: Appender) -> Self {
        Self { log, appender }
    }
}

impl Agent for AppendAgent {
    fn do_work(&mut self) -> usize {
        let mut done = 0;
        while done < Self::BATCH {
            let Some(command) = self.log.peek() else {
                break;
            };
            let sequence = crate::engine::command::read(command)
                .expect("Invariant: the sequencer lets only well-formed commands into the log")
                .0
                .sequence;
            self.appender.append(sequence.0, command);
            self.log.advance();
            done += 1;
        }
        if done > 0 {
            self.log.release();
            self.appender.flush();
        }
        done
    }
}

/// The syncer as an agent.
pub struct SyncAgent {
    syncer: Syncer,
}

impl SyncAgent {
    /// Syncs for the appender it was made with.
    pub fn new(syncer: Syncer) -> Self {
        Self { syncer }
    }
}

impl Agent for SyncAgent {
    fn do_work(&mut self) -> usize {
        usize::from(self.syncer.work())
    }
}

impl Drop for SyncAgent {
    /// The last thing that happens to a journal in an orderly end.
    fn drop(&mut self) {
        self.syncer.finish();
    }
}
