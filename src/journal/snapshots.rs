//! Snapshots of the core beside the journal: a start need not apply what is in one.
//!
//! They are made by a side thread that shares nothing with the hot path: when a segment is finished
//! it restores the newest snapshot into an engine of its own, applies the finished segments behind it,
//! writes the new one and forgets the engine. No command waits for it; it costs a core's time and,
//! while it works, an engine's memory. The two newest are kept.
//!
//! A snapshot is never needed: one that is damaged, of another log or layout, or ahead of the event log
//! is passed over with a word in the log, and the next older one, or the journal alone, is what the
//! venue starts from. One that is ahead of the journal is of commands that a power loss took: it is
//! removed before anything is numbered anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::JournalError;
use super::disk::Disk;
use super::recovery;
use crate::engine::{Engine, Progress, snapshot};
use crate::limits::EngineLimits;

const MAGIC: u64 = u64::from_le_bytes(*b"TE-SNAP1");
const KEPT: usize = 2;
/// How often the side thread looks for a finished segment.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// First bytes of a snapshot file; the state follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct FileHeader {
    magic: u64,
    log_id: u64,
    /// Last command in it.
    sequence: u64,
    /// Bytes of the state.
    length: u64,
    /// Of the state.
    crc: u32,
    /// Of the header before it.
    header_crc: u32,
    /// Reserved, 0.
    reserved: u64,
}

const HEADER: usize = size_of::<FileHeader>();
const HEADER_CHECKED: usize = std::mem::offset_of!(FileHeader, header_crc);

fn file_name(sequence: u64) -> String {
    format!("snapshot-{sequence:020}.bin")
}

fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("snapshot-")?.strip_suffix(".bin")?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// Sequences of the snapshots that are there, newest first.
///
/// # Errors
/// The disk's own.
pub fn list(disk: &dyn Disk) -> Result<Vec<u64>, JournalError> {
    let names = disk
        .list()
        .map_err(JournalError::io("listing the folder"))?;
    let mut found: Vec<u64> = names.iter().filter_map(|name| sequence_of(name)).collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}

fn remove(disk: &dyn Disk, name: &str) -> Result<(), JournalError> {
    disk.remove(name)
        .map_err(JournalError::io(format!("removing {name}")))
}

/// Removes what is ahead of a journal that ends with `last`, for certain: its commands are lost, and
/// others will have their numbers. What was being written when the last run ended goes as well.
///
/// # Errors
/// The disk's own.
pub fn forget_lost(disk: &dyn Disk, last: u64) -> Result<(), JournalError> {
    let names = disk
        .list()
        .map_err(JournalError::io("listing the folder"))?;
    let is_lost = |name: &str| match name.strip_suffix(".tmp") {
        Some(unfinished) => sequence_of(unfinished).is_some(),
        None => sequence_of(name).is_some_and(|sequence| sequence > last),
    };
    let lost: Vec<&String> = names.iter().filter(|name| is_lost(name)).collect();
    for name in &lost {
        tracing::warn!(
            name,
            "a snapshot of what the journal does not have is removed"
        );
        remove(disk, name)?;
    }
    if lost.is_empty() {
        return Ok(());
    }
    disk.sync_folder()
        .map_err(JournalError::io("syncing the folder"))
}

/// Writes an engine's state, durably, and removes all but the newest.
///
/// # Errors
/// The disk's own.
pub fn write(disk: &dyn Disk, engine: &Engine) -> Result<(), JournalError> {
    let Some(state) = engine.save() else {
        return Ok(());
    };
    let sequence = engine.sequence().0;
    let name = file_name(sequence);
    let temporary = format!("{name}.tmp");
    let failed = || JournalError::io(format!("writing {name}"));
    let mut header = FileHeader {
        magic: MAGIC,
        log_id: engine.log_id(),
        sequence,
        length: state.len() as u64,
        crc: crc32c::crc32c(&state),
        ..FileHeader::default()
    };
    header.header_crc = crc32c::crc32c(&header.as_bytes()[..HEADER_CHECKED]);
    let file = disk.create(&temporary).map_err(failed())?;
    file.write_at(0, header.as_bytes()).map_err(failed())?;
    file.write_at(HEADER as u64, &state).map_err(failed())?;
    file.sync().map_err(failed())?;
    disk.rename(&temporary, &name).map_err(failed())?;
    disk.sync_folder().map_err(failed())?;
    for old in list(disk)?.into_iter().skip(KEPT) {
        remove(disk, &file_name(old))?;
    }
    Ok(())
}

/// The state of one snapshot; an `Err` says why it is none.
fn read(disk: &dyn Disk, sequence: u64, log_id: u64) -> Result<Vec<u8>, String> {
    let file = disk
        .open(&file_name(sequence))
        .map_err(|error| error.to_string())?;
    let size = file.size().map_err(|error| error.to_string())?;
    let mut header = FileHeader::default();
    let read = file
        .read_at(0, header.as_mut_bytes())
        .map_err(|error| error.to_string())?;
    if read != HEADER
        || header.magic != MAGIC
        || header.header_crc != crc32c::crc32c(&header.as_bytes()[..HEADER_CHECKED])
        || header.sequence != sequence
        || header.reserved != 0
        || size.checked_sub(HEADER as u64) != Some(header.length)
    {
        return Err("its header is damaged".into());
    }
    if header.log_id != log_id {
        return Err("it belongs to another log".into());
    }
    let mut state = vec![0; usize::try_from(header.length).unwrap_or(0)];
    let read = file
        .read_at(HEADER as u64, &mut state)
        .map_err(|error| error.to_string())?;
    if read != state.len() || crc32c::crc32c(&state) != header.crc {
        return Err("its checksum is wrong".into());
    }
    Ok(state)
}

/// Whether the snapshot of an engine's Sequence is what the engine is.
///
/// # Errors
/// Why it is not.
pub fn agrees(disk: &dyn Disk, engine: &Engine) -> Result<(), String> {
    let state = read(disk, engine.sequence().0, engine.log_id())?;
    match engine.save() {
        Some(again) if again == state => Ok(()),
        _ => Err("it is another state than the journal gives".into()),
    }
}

/// What [`restore`] came to.
pub struct Restored {
    /// As of the newest usable snapshot, or fresh if there is none.
    pub engine: Engine,
    /// Those that can not be used, now or later.
    refused: Vec<u64>,
}

/// Puts the newest usable snapshot that is not ahead of `not_after` into an engine that `fresh` makes,
/// with the capacities that it had, if there is one.
///
/// # Errors
/// The disk's own, when it cannot be listed.
pub fn restore(
    disk: &dyn Disk,
    log_id: u64,
    not_after: u64,
    fresh: impl Fn(Option<EngineLimits>) -> Engine,
) -> Result<Restored, JournalError> {
    let mut refused = Vec::new();
    for sequence in list(disk)? {
        if sequence > not_after {
            tracing::info!(
                sequence,
                "a snapshot is ahead of the event log: passed over"
            );
            continue;
        }
        match read(disk, sequence, log_id).and_then(|state| load(&state, sequence, log_id, &fresh))
        {
            Ok(engine) => return Ok(Restored { engine, refused }),
            Err(why) => tracing::warn!(sequence, %why, "a snapshot is passed over"),
        }
        refused.push(sequence);
    }
    let engine = fresh(None);
    Ok(Restored { engine, refused })
}

fn load(
    state: &[u8],
    sequence: u64,
    log_id: u64,
    fresh: impl Fn(Option<EngineLimits>) -> Engine,
) -> Result<Engine, String> {
    let capacities = snapshot::capacities(state).map_err(|error| error.to_string())?;
    let mut engine = fresh(Some(capacities));
    engine.load(state).map_err(|error| error.to_string())?;
    if engine.sequence().0 != sequence || engine.log_id() != log_id {
        return Err("it is not what its name says".into());
    }
    Ok(engine)
}

/// Brings the snapshots up to the end of the last finished segment. Returns the sequence of a new
/// one, if there is more than before and nobody said `stop` meanwhile.
///
/// # Errors
/// Damage, the disk's own, or a command this build does not know.
pub fn advance(
    disk: &dyn Disk,
    log_id: u64,
    limits: EngineLimits,
    stop: &AtomicBool,
) -> Result<Option<u64>, JournalError> {
    let restored = restore(disk, log_id, u64::MAX, |logged| {
        Engine::new(logged.unwrap_or(limits))
    })?;
    let mut engine = restored.engine;
    // They would be among the newest for good.
    for refused in restored.refused {
        remove(disk, &file_name(refused))?;
    }
    let before = engine.sequence().0;
    let mut unknown = None;
    let mut events = Vec::new();
    recovery::replay_finished(disk, before, |command| {
        if unknown.is_some() || stop.load(Ordering::Relaxed) {
            return;
        }
        events.clear();
        match engine.replay_bytes(command, &mut events) {
            Ok(mut progress) => {
                while progress == Progress::More {
                    events.clear();
                    progress = engine.resume(&mut events);
                }
            }
            Err(error) => unknown = Some(error),
        }
    })?;
    if let Some(error) = unknown {
        let why = format!("after Sequence {}: {error}", engine.sequence());
        return Err(JournalError::damaged("journal", 0, why));
    }
    if engine.sequence().0 == before || stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    write(disk, &engine)?;
    Ok(Some(engine.sequence().0))
}

/// What the side thread did. Written by it alone.
#[derive(Debug, Default)]
pub struct SnapshotStats {
    /// Sequence of the newest snapshot, 0 = none.
    pub sequence: AtomicU64,
    /// Time the newest took, in nanoseconds.
    pub took_ns: AtomicU64,
    /// Snapshots made.
    pub made: AtomicU64,
    /// Snapshots that could not be made.
    pub failed: AtomicU64,
}

/// The side thread: takes a snapshot whenever a segment has been finished.
pub fn run(
    disk: &Arc<dyn Disk>,
    log_id: u64,
    limits: EngineLimits,
    stop: &AtomicBool,
    stats: &SnapshotStats,
) {
    let mut seen = 0;
    while !stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(LOOK_EVERY);
        let finished = recovery::finished_segments(disk.as_ref()).unwrap_or(seen);
        if finished <= seen || stop.load(Ordering::Relaxed) {
            continue;
        }
        seen = finished;
        let started = Instant::now();
        match advance(disk.as_ref(), log_id, limits, stop) {
            Ok(Some(sequence)) => {
                let took = started.elapsed().as_nanos();
                stats.sequence.store(sequence, Ordering::Relaxed);
                stats
                    .took_ns
                    .store(u64::try_from(took).unwrap_or(u64::MAX), Ordering::Relaxed);
                stats.made.fetch_add(1, Ordering::Relaxed);
                tracing::info!(sequence, "snapshot taken");
            }
            Ok(None) => {}
            Err(error) => {
                stats.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "no snapshot; the journal has everything");
            }
        }
    }
}
