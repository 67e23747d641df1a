//! Reading a journal back: every command in order, a torn tail cut, anything else refused.
//!
//! The rule. Records are read as long as each is valid, the next in sequence, and chained to the
//! one before. Where that ends, the rest of the log is searched for anything that proves more was
//! once durable: a valid record that was written knowing a later Sequence durable, or a sync mark.
//! With such proof, the log is damaged and nothing is started. Without it, what follows was
//! never acknowledged, and is cut.
//!
//! One segment is open at a time, however many there are.
//!
//! Nothing is appended before what was read is on the medium for certain: the last run may have
//! ended between a write and its sync, or with a sync that failed.

use std::sync::Arc;

use zerocopy::IntoBytes as _;

use super::JournalError;
use super::disk::Disk;
use super::record::{self, COMMAND, HEADER, SEGMENT_END};
use super::segment::{self, Found, HEADER_PAGE, Segment};
use super::writer::{Position, SEGMENT_BYTES_MIN};

/// What a journal holds, beside its commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Names the log.
    pub log_id: u64,
    /// Last Sequence.
    pub sequence: u64,
    /// Highest Sequence proven durable by a record or a mark.
    pub proven_durable: u64,
    /// File name, first and last Sequence (0, 0 = none), bytes used and bytes in all, per segment.
    pub segments: Vec<SegmentSummary>,
    /// Where a torn tail begins, if there is one, and how many bytes of it are not zero.
    pub torn: Option<(String, u64, u64)>,
}

/// One segment of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSummary {
    /// File name.
    pub file: String,
    /// First and last Sequence, 0 = none.
    pub sequences: (u64, u64),
    /// Bytes used, header page included.
    pub used: u64,
    /// File size.
    pub bytes: u64,
}

struct Scan {
    log_id: u64,
    sequence: u64,
    previous_crc: u32,
    proven: u64,
}

enum End {
    /// Goes on in the next segment.
    NextSegment(u64),
    /// Nothing valid here.
    Stops(u64),
}

/// A journal that was read to its end.
pub struct Recovered {
    /// What it holds.
    pub summary: Summary,
    position: Position,
}

impl Recovered {
    /// Where to go on.
    pub fn into_position(self) -> Position {
        self.position
    }
}

/// Whether the disk holds a journal.
///
/// # Errors
/// The disk's own.
pub fn exists(disk: &dyn Disk) -> Result<bool, JournalError> {
    let names = disk
        .list()
        .map_err(JournalError::io("listing the folder"))?;
    Ok(names.iter().any(|name| segment::number_of(name).is_some()))
}

/// Makes a new journal on an empty disk.
///
/// # Errors
/// When a file cannot be made.
pub fn create(
    disk: &Arc<dyn Disk>,
    log_id: u64,
    segment_bytes: u64,
) -> Result<Position, JournalError> {
    let bytes = segment_bytes.max(SEGMENT_BYTES_MIN);
    let segment = segment::create(disk.as_ref(), log_id, 1, bytes)?;
    Ok(Position {
        segment,
        offset: HEADER_PAGE,
        sequence: 0,
        previous_crc: 0,
        log_id,
    })
}

/// Reads the journal, hands every command to `each` (8-aligned bytes), and cuts a torn tail.
///
/// # Errors
/// [`JournalError::Damaged`] names file and offset; [`JournalError::Io`] what was being done.
pub fn recover(
    disk: &Arc<dyn Disk>,
    mut each: impl FnMut(&[u8]),
) -> Result<Recovered, JournalError> {
    for name in disk
        .list()
        .map_err(JournalError::io("listing the folder"))?
    {
        // A segment that was being made when the process died; nothing points to it.
        if name
            .strip_suffix(".tmp")
            .and_then(segment::number_of)
            .is_some()
        {
            disk.remove(&name)
                .map_err(JournalError::io(format!("removing {name}")))?;
        }
    }
    let (summary, position, kept, later) = read(disk.as_ref(), &mut each)?;
    remove(disk.as_ref(), &later)?;
    if let Some((_, offset, _)) = &summary.torn {
        cut(&position.segment, *offset)?;
    }
    settle(disk.as_ref(), &summary, &kept)?;
    disk.sync_folder()
        .map_err(JournalError::io("syncing the folder"))?;
    Ok(Recovered { summary, position })
}

/// Reads the journal without changing anything.
///
/// # Errors
/// As [`recover`].
pub fn inspect(disk: &dyn Disk, mut each: impl FnMut(&[u8])) -> Result<Summary, JournalError> {
    read(disk, &mut each).map(|(summary, ..)| summary)
}

/// What it holds, where it goes on, the segments up to there, and those behind.
type ReadResult = (Summary, Position, Vec<Found>, Vec<Found>);

fn read(disk: &dyn Disk, each: &mut dyn FnMut(&[u8])) -> Result<ReadResult, JournalError> {
    let segments = segments(disk)?;
    let Some(&(first, log_id)) = segments.first() else {
        return Err(JournalError::damaged(
            "journal-00000001.log",
            0,
            "there is no journal",
        ));
    };
    let mut scan = Scan {
        log_id,
        sequence: 0,
        previous_crc: 0,
        proven: 0,
    };
    let mut summaries = Vec::new();
    let mut end = (first, HEADER_PAGE);
    let mut stopped = None;
    for (index, (found, _)) in segments.iter().enumerate() {
        let segment = found.open(disk)?;
        let words = segment.read_all()?;
        let before = scan.sequence;
        let (used, goes_on) = match scan.segment(&segment, words.as_bytes(), each)? {
            End::NextSegment(used) => (used, true),
            End::Stops(used) => (used, false),
        };
        let sequences = if scan.sequence > before {
            (before + 1, scan.sequence)
        } else {
            (0, 0)
        };
        summaries.push(SegmentSummary {
            file: segment::file_name(segment.number),
            sequences,
            used,
            bytes: segment.bytes,
        });
        end = (*found, used);
        if !goes_on {
            stopped = Some(index);
            break;
        }
        if index + 1 == segments.len() {
            let missing = segment::file_name(segment.number + 1);
            let why = "the segment is missing, the one before it ends orderly";
            return Err(JournalError::damaged(&missing, 0, why));
        }
    }
    let stopped = stopped.unwrap_or(segments.len() - 1);
    let mut kept: Vec<Found> = segments.into_iter().map(|(segment, _)| segment).collect();
    let later = kept.split_off(stopped + 1);
    let dirty = search_rest(disk, &mut scan, end, &later)?;
    let (found, offset) = end;
    let segment = found.open(disk)?;
    let name = segment::file_name(segment.number);
    if scan.proven > scan.sequence {
        return Err(JournalError::damaged(
            &name,
            offset,
            format!(
                "the record after Sequence {} is not valid, and Sequence {} was durable",
                scan.sequence, scan.proven
            ),
        ));
    }
    let summary = Summary {
        log_id,
        sequence: scan.sequence,
        proven_durable: scan.proven,
        segments: summaries,
        torn: (dirty > 0).then_some((name, offset, dirty)),
    };
    let position = Position {
        segment,
        offset,
        sequence: scan.sequence,
        previous_crc: scan.previous_crc,
        log_id,
    };
    Ok((summary, position, kept, later))
}

/// All segments in order, each belonging to the same log, none missing.
fn segments(disk: &dyn Disk) -> Result<Vec<(Found, u64)>, JournalError> {
    let names = disk
        .list()
        .map_err(JournalError::io("listing the folder"))?;
    let mut segments: Vec<(Found, u64)> = Vec::new();
    for number in names.iter().filter_map(|name| segment::number_of(name)) {
        let (segment, log_id) = segment::find(disk, number)?;
        let expected = segments.last().map_or(1, |(last, _)| last.number + 1);
        if number != expected {
            return Err(JournalError::damaged(
                &segment::file_name(expected),
                0,
                format!(
                    "the segment is missing, {} is there",
                    segment::file_name(number)
                ),
            ));
        }
        if segments.first().is_some_and(|(_, first)| *first != log_id) {
            return Err(JournalError::damaged(
                &segment::file_name(number),
                0,
                "the segment belongs to another log",
            ));
        }
        segments.push((segment, log_id));
    }
    Ok(segments)
}

impl Scan {
    fn segment(
        &mut self,
        segment: &Segment,
        bytes: &[u8],
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<End, JournalError> {
        let seed = record::seed(self.log_id, segment.number);
        let name = segment::file_name(segment.number);
        let mark = segment
            .read_mark(seed)
            .map_err(JournalError::io(format!("reading {name}")))?;
        self.proven = self.proven.max(mark.unwrap_or(0));
        let mut offset = usize::try_from(HEADER_PAGE).unwrap_or(usize::MAX);
        while offset + HEADER <= bytes.len() {
            let Some((header, body)) = record::read(seed, &bytes[offset..]) else {
                break;
            };
            let at = offset as u64;
            let wrong = |why: String| Err(JournalError::damaged(&name, at, why));
            if header.previous_crc != self.previous_crc {
                return wrong(format!(
                    "the record of Sequence {} does not follow the one before it",
                    header.sequence
                ));
            }
            self.proven = self.proven.max(header.durable_through);
            self.previous_crc = header.crc;
            offset += HEADER + body.len();
            if header.kind == SEGMENT_END {
                if header.sequence != self.sequence {
                    return wrong(format!(
                        "the segment ends with Sequence {}, not {}",
                        header.sequence, self.sequence
                    ));
                }
                return Ok(End::NextSegment(offset as u64));
            }
            if header.sequence != self.sequence + 1 {
                return wrong(format!(
                    "Sequence {} follows Sequence {}",
                    header.sequence, self.sequence
                ));
            }
            self.sequence = header.sequence;
            each(body);
        }
        Ok(End::Stops(offset as u64))
    }
}

/// Looks behind the end for proof that more was durable; returns how many bytes are not zero.
fn search_rest(
    disk: &dyn Disk,
    scan: &mut Scan,
    end: (Found, u64),
    later: &[Found],
) -> Result<u64, JournalError> {
    let mut dirty = 0;
    let rest = std::iter::once(end).chain(later.iter().map(|found| (*found, HEADER_PAGE)));
    for (found, from) in rest {
        let segment = found.open(disk)?;
        let seed = record::seed(scan.log_id, segment.number);
        let words = segment.read_all()?;
        let bytes = words.as_bytes();
        for at in (usize::try_from(from).unwrap_or(usize::MAX)..bytes.len()).step_by(8) {
            if words[at / 8] == 0 {
                continue;
            }
            dirty += 8;
            if let Some((header, _)) = record::read(seed, &bytes[at..]) {
                scan.proven = scan.proven.max(header.durable_through);
            }
        }
        let name = segment::file_name(segment.number);
        let mark = segment
            .read_mark(seed)
            .map_err(JournalError::io(format!("reading {name}")))?;
        scan.proven = scan.proven.max(mark.unwrap_or(0));
    }
    Ok(dirty)
}

/// Removes the segments behind the end, the last one first and each for certain before the next:
/// whenever the power goes, no gap is left.
fn remove(disk: &dyn Disk, later: &[Found]) -> Result<(), JournalError> {
    for segment in later.iter().rev() {
        let name = segment::file_name(segment.number);
        let failed = || JournalError::io(format!("removing {name}"));
        disk.remove(&name).map_err(failed())?;
        disk.sync_folder().map_err(failed())?;
    }
    Ok(())
}

/// The first record of a segment, if it has one.
fn first_record(disk: &dyn Disk, found: Found, log_id: u64) -> Option<record::RecordHeader> {
    let segment = found.open(disk).ok()?;
    let mut bytes = vec![0; HEADER + crate::limits::COMMAND_LENGTH_MAX];
    let count = segment.file.read_at(HEADER_PAGE, &mut bytes).ok()?;
    let seed = record::seed(log_id, segment.number);
    record::read(seed, bytes.get(..count)?).map(|(header, _)| header)
}

/// How many segments have one behind them that holds something: those are finished. Looks at the
/// last few only, so that it may be asked often.
///
/// # Errors
/// Damage, or the disk's own.
pub fn finished_segments(disk: &dyn Disk) -> Result<usize, JournalError> {
    let names = disk
        .list()
        .map_err(JournalError::io("listing the folder"))?;
    let numbers: Vec<u32> = names
        .iter()
        .filter_map(|name| segment::number_of(name))
        .collect();
    for (before, &number) in numbers.iter().enumerate().rev() {
        // Prepared segments are empty.
        let (found, log_id) = segment::find(disk, number)?;
        if first_record(disk, found, log_id).is_some() {
            return Ok(before);
        }
    }
    Ok(0)
}

/// Hands the commands behind `after` to `each`, as far as segments are finished, none is missing
/// and each follows the one before.
///
/// # Errors
/// Damage, or the disk's own.
pub fn replay_finished(
    disk: &dyn Disk,
    after: u64,
    mut each: impl FnMut(&[u8]),
) -> Result<(), JournalError> {
    let finished = finished_segments(disk)?;
    let segments = segments(disk)?;
    let segments = segments.get(..finished).unwrap_or_default();
    let begins = segments.iter().rposition(|&(found, log_id)| {
        first_record(disk, found, log_id).is_some_and(|first| first.sequence <= after + 1)
    });
    let Some(rest) = begins.and_then(|begins| segments.get(begins..)) else {
        return Ok(());
    };
    let mut scan: Option<Scan> = None;
    for &(found, log_id) in rest {
        let Some(begins) = first_record(disk, found, log_id) else {
            break;
        };
        let scan = scan.get_or_insert_with(|| Scan {
            log_id,
            sequence: begins.sequence - u64::from(begins.kind == COMMAND),
            previous_crc: begins.previous_crc,
            proven: 0,
        });
        let segment = found.open(disk)?;
        let words = segment.read_all()?;
        let mut behind = |command: &[u8]| {
            let sequence = crate::engine::command::read_sequence(command);
            if sequence.is_some_and(|sequence| sequence > after) {
                each(command);
            }
        };
        if let End::Stops(_) = scan.segment(&segment, words.as_bytes(), &mut behind)? {
            break;
        }
    }
    Ok(())
}

/// Makes the torn tail zeros again, durably, before anything is appended behind it.
fn cut(segment: &Segment, offset: u64) -> Result<(), JournalError> {
    let name = segment::file_name(segment.number);
    let failed = || JournalError::io(format!("cutting {name}"));
    let zeros = vec![0u8; 1 << 20];
    let mut at = offset;
    while at < segment.bytes {
        let count = (segment.bytes - at).min(zeros.len() as u64);
        let slice = &zeros[..usize::try_from(count).unwrap_or(usize::MAX)];
        segment.file.write_at(at, slice).map_err(failed())?;
        at += count;
    }
    segment.file.sync().map_err(failed())
}

/// Puts everything that was read on the medium: it may be in the page cache only. What nothing
/// proves to have been synced is written once more first, because after a sync that failed the
/// cache may hold as clean what the medium never got, and would not write it again.
fn settle(disk: &dyn Disk, summary: &Summary, kept: &[Found]) -> Result<(), JournalError> {
    let mut last = 0;
    for (found, read) in kept.iter().zip(&summary.segments) {
        let segment = found.open(disk)?;
        last = last.max(read.sequences.1);
        let failed = || JournalError::io(format!("syncing {}", read.file));
        if last >= summary.proven_durable {
            let words = segment.read_all()?;
            let used = usize::try_from(read.used).unwrap_or(usize::MAX);
            let bytes = words.as_bytes().get(..used).unwrap_or_default();
            let from = first_unproven(
                record::seed(summary.log_id, segment.number),
                bytes,
                summary.proven_durable,
            );
            let unproven = bytes.get(from..).unwrap_or_default();
            if !unproven.is_empty() {
                segment
                    .file
                    .write_at(from as u64, unproven)
                    .map_err(failed())?;
            }
        }
        segment.file.sync().map_err(failed())?;
    }
    Ok(())
}

/// Offset of the first record that nothing proves to be on the medium.
fn first_unproven(seed: u32, bytes: &[u8], proven: u64) -> usize {
    let mut offset = usize::try_from(HEADER_PAGE).unwrap_or(usize::MAX);
    while let Some((header, body)) = bytes
        .get(offset..)
        .and_then(|rest| record::read(seed, rest))
        .filter(|(header, _)| header.kind == COMMAND && header.sequence <= proven)
    {
        debug_assert!(header.length as usize == body.len());
        offset += HEADER + body.len();
    }
    offset
}

/// A journal that is open for appending, however it came to be.
///
/// # Errors
/// As [`recover`] and [`create`].
pub fn open_or_create(
    disk: &Arc<dyn Disk>,
    new_log_id: u64,
    segment_bytes: u64,
    each: impl FnMut(&[u8]),
) -> Result<(Position, Option<Summary>), JournalError> {
    if exists(disk.as_ref())? {
        let recovered = recover(disk, each)?;
        let summary = recovered.summary.clone();
        Ok((recovered.into_position(), Some(summary)))
    } else {
        Ok((create(disk, new_log_id, segment_bytes)?, None))
    }
}
