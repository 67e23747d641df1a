//! `trading-engine journal {inspect,verify,replay}`: what is on the disk, in words.

use std::fmt::Write as _;
use std::sync::Arc;

use super::JournalError;
use super::disk::Disk;
use super::recovery::{self, Summary};
use super::snapshots;
use crate::engine::state_hash::Hasher;
use crate::engine::{Engine, Progress};
use crate::limits::EngineLimits;

/// A table of the segments.
///
/// # Errors
/// As [`recovery::inspect`]: damage names file and offset.
pub fn inspect(disk: &dyn Disk) -> Result<String, JournalError> {
    recovery::inspect(disk, |_| ()).map(|summary| table(&summary))
}

fn table(summary: &Summary) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "log             {:016x}", summary.log_id);
    let _ = writeln!(out, "last sequence   {}", summary.sequence);
    let _ = writeln!(out, "proven durable  {}", summary.proven_durable);
    for segment in &summary.segments {
        let (first, last) = segment.sequences;
        let _ = writeln!(
            out,
            "{}  sequences {first}..={last}  {} of {} bytes",
            segment.file, segment.used, segment.bytes
        );
    }
    if let Some((file, offset, bytes)) = &summary.torn {
        let _ = writeln!(
            out,
            "torn tail at {file} byte {offset}: {bytes} bytes that were never acknowledged"
        );
    }
    out
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Commands applied.
    pub commands: u64,
    /// Events they gave.
    pub events: u64,
    /// Hash of their bytes, one after the other.
    pub events_hash: u64,
    /// State after the last.
    pub state_hash: u64,
    /// Snapshots, each the state that the commands before it give.
    pub snapshots: usize,
}

/// Runs the whole journal through a fresh engine.
///
/// # Errors
/// Damage, or a command this build does not know.
pub fn replay(disk: &Arc<dyn Disk>, limits: EngineLimits) -> Result<Replay, JournalError> {
    let mut engine = Engine::new(limits);
    let mut events = Vec::new();
    let mut count = 0;
    let mut hasher = Hasher::BEGIN;
    let mut unknown = None;
    let snapshots = snapshots::list(disk.as_ref())?;
    let mut wrong = None;
    let mut right = 0;
    let mut compare = |engine: &Engine| {
        let sequence = engine.sequence().0;
        if snapshots.contains(&sequence) {
            match snapshots::agrees(disk.as_ref(), engine) {
                Ok(()) => right += 1,
                Err(why) => wrong = wrong.take().or(Some((sequence, why))),
            }
        }
    };
    recovery::inspect(disk.as_ref(), |command| {
        if unknown.is_some() {
            return;
        }
        events.clear();
        match engine.replay_bytes(command, &mut events) {
            Ok(mut progress) => {
                while progress == Progress::More {
                    progress = engine.resume(&mut events);
                }
            }
            Err(error) => unknown = Some(error),
        }
        count += super::event_log::events(&events).count() as u64;
        hasher.bytes(&events);
        compare(&engine);
    })?;
    if let Some(error) = unknown {
        let why = format!("after Sequence {}: {error}", engine.sequence());
        return Err(JournalError::damaged("journal", 0, why));
    }
    if let Some((sequence, why)) = wrong {
        return Err(JournalError::damaged(
            &format!("the snapshot of Sequence {sequence}"),
            0,
            why,
        ));
    }
    Ok(Replay {
        snapshots: right,
        commands: engine.sequence().0,
        events: count,
        events_hash: hasher.finish(),
        state_hash: engine.state_hash(),
    })
}
