//! Every event: those of sessions by number, for resends, resumes and slow readers; all of them in order,
//! for `event_tail`.
//!
//! Derived: the journal rebuilds it. Every event of a durable command is appended to the
//! current file; a file that is full gets an index of its numbered events (session, epoch, number, offset,
//! sorted) behind them and is sealed. In memory are the index of the file being written (bounded by its
//! size) and, for each sealed file, one range per session that occurs in it. So memory grows by a
//! few bytes for a megabyte of events, and any number of the day is two reads away.
//!
//! How far the files are written is told in a [`Head`], after they are: a tail on another thread reads up
//! to there and meets nothing half-written.
//!
//! Nothing is synced. At start every byte of every sealed file is checked; one that does not check
//! out is removed together with all behind it, and replay appends what is missing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use trading_engine_protocol::types::{Epoch, SessionId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::JournalError;
use super::disk::{Disk, DiskFile};
use crate::engine::event::{self, EventHeader};

/// Bytes of events in a file before it is sealed.
pub const FILE_BYTES: u64 = 16 << 20;
/// 2: events without a number are in, too.
const MAGIC: [u8; 8] = *b"TEEVNT\0\x02";
/// Buffered bytes that are handed to the file even if nobody asks.
const BUFFER_BYTES: usize = 1 << 18;
/// Sealed files that stay open: a few resends at a time, each going through one after the other.
const OPEN_MAX: usize = 4;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct FileHeader {
    magic: [u8; 8],
    log_id: u64,
    number: u64,
    /// Sequence of the last command before this file.
    pub after: u64,
}

impl FileHeader {
    pub fn is_of(&self, log_id: u64, number: u64) -> bool {
        self.magic == MAGIC && self.log_id == log_id && self.number == number
    }
}

pub(super) const HEADER: u64 = size_of::<FileHeader>() as u64;

/// Before each event: its checksum and length.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Frame {
    pub crc: u32,
    pub length: u32,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
struct IndexEntry {
    session: u32,
    epoch: u32,
    number: u64,
    offset: u64,
}

const ENTRY: usize = size_of::<IndexEntry>();

/// Ends a sealed file.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Footer {
    magic: [u8; 8],
    /// Where the index starts, and its entries.
    pub index_offset: u64,
    entries: u64,
    /// Sequence of the last command in the file.
    last: u64,
    /// Checksum of everything before the index, and of the index.
    events_crc: u32,
    index_crc: u32,
    reserved: u32,
    /// Checksum of the fields above.
    crc: u32,
}

impl Footer {
    fn checksum(&self) -> u32 {
        crc32c::crc32c(&self.as_bytes()[..size_of::<Self>() - 4])
    }

    pub fn is_whole(&self) -> bool {
        self.magic == FOOTER_MAGIC && self.crc == self.checksum()
    }
}

pub(super) const FOOTER: u64 = size_of::<Footer>() as u64;
const FOOTER_MAGIC: [u8; 8] = *b"TEEVEND\x01";

/// Numbers of one session in one sealed file.
#[derive(Clone, Copy)]
struct Range {
    epoch: u32,
    first: u64,
    last: u64,
}

struct Sealed {
    index_offset: u64,
    entries: u64,
    /// By session; a session with several epochs in one file has several.
    ranges: Vec<(u32, Range)>,
}

/// How far the files are written: told by the log's thread after writing, read by any.
#[derive(Clone, Debug, Default)]
pub struct Head(Arc<Mutex<Written>>);

/// See [`Head`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// File being written; those before it are sealed.
    pub number: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// Every event of the commands up to this one is in the files.
    pub sequence: u64,
}

impl Head {
    pub(super) fn get(&self) -> Written {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, written: Written) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = written;
    }

    /// The command whose events, and those of all before it, can be read.
    pub fn sequence(&self) -> u64 {
        self.get().sequence
    }
}

/// The event log: one writer, which also reads.
pub struct EventLog {
    disk: Arc<dyn Disk>,
    log_id: u64,
    file_bytes: u64,
    sealed: Vec<Sealed>,
    /// Sealed files being read, by number, the last one used last: their number does not grow with
    /// the log's.
    open: Vec<(u64, Arc<dyn DiskFile>)>,
    number: u64,
    file: Arc<dyn DiskFile>,
    /// Bytes in `file`, and their checksum.
    flushed: u64,
    events_crc: u32,
    /// Bytes not yet in `file`.
    buffer: Vec<u8>,
    index: Vec<IndexEntry>,
    /// Events up to and including this command are in.
    sequence: u64,
    /// Highest (epoch, number) per session.
    newest: BTreeMap<u32, (u32, u64)>,
    head: Head,
}

pub(super) fn file_name(number: u64) -> String {
    format!("events-{number:08}.log")
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("events-")?.strip_suffix(".log")?;
    (digits.len() == 8).then(|| digits.parse().ok()).flatten()
}

impl EventLog {
    /// Opens the log of `log_id`, keeping what is whole and not ahead of `sequence`, the last
    /// command of the journal. [`EventLog::sequence`] tells what replay has to append.
    ///
    /// # Errors
    /// The disk's own.
    pub fn open(
        disk: Arc<dyn Disk>,
        log_id: u64,
        sequence: u64,
        file_bytes: u64,
    ) -> Result<Self, JournalError> {
        let names = disk
            .list()
            .map_err(JournalError::io("listing the event log"))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
        numbers.sort_unstable();
        let file = disk
            .create("events.tmp")
            .map_err(JournalError::io("making the event log"))?;
        let mut log = Self {
            disk,
            log_id,
            file_bytes,
            sealed: Vec::new(),
            open: Vec::with_capacity(OPEN_MAX),
            number: 0,
            file,
            flushed: 0,
            events_crc: 0,
            buffer: Vec::with_capacity(BUFFER_BYTES * 2),
            index: Vec::new(),
            sequence: 0,
            newest: BTreeMap::new(),
            head: Head::default(),
        };
        let mut kept = 0;
        for (position, &number) in numbers.iter().enumerate() {
            if number != position as u64 + 1 || !log.load_sealed(number, sequence)? {
                break;
            }
            kept = number;
        }
        // An unsealed, damaged or too long file, and everything behind it, is written again.
        for &number in numbers.iter().filter(|&&number| number > kept).rev() {
            let name = file_name(number);
            log.disk
                .remove(&name)
                .map_err(JournalError::io(format!("removing {name}")))?;
        }
        // For certain: one that a power loss brought back could hold events of commands that
        // the journal has since numbered anew.
        log.disk
            .sync_folder()
            .map_err(JournalError::io("syncing the event log's folder"))?;
        log.begin_file(kept + 1)?;
        let _ = log.disk.remove("events.tmp");
        Ok(log)
    }

    /// Takes a sealed file into the summary; `false`: it cannot be used.
    fn load_sealed(&mut self, number: u64, limit: u64) -> Result<bool, JournalError> {
        let name = file_name(number);
        let failed = || JournalError::io(format!("reading {name}"));
        let file = self.disk.open(&name).map_err(failed())?;
        let bytes = file.size().map_err(failed())?;
        if bytes < HEADER + FOOTER {
            return Ok(false);
        }
        let mut header = [0u8; size_of::<FileHeader>()];
        file.read_at(0, &mut header).map_err(failed())?;
        let mut footer = [0u8; size_of::<Footer>()];
        file.read_at(bytes - FOOTER, &mut footer)
            .map_err(failed())?;
        let (Ok(header), Ok(footer)) = (
            FileHeader::read_from_bytes(&header),
            Footer::read_from_bytes(&footer),
        ) else {
            return Ok(false);
        };
        let index_bytes = footer.entries.saturating_mul(ENTRY as u64);
        let whole = header.is_of(self.log_id, number)
            && header.after == self.sequence
            && footer.is_whole()
            && footer.index_offset >= HEADER
            && footer.index_offset.checked_add(index_bytes) == bytes.checked_sub(FOOTER);
        if !whole {
            return Ok(false);
        }
        if footer.last > limit {
            tracing::warn!(
                file = name,
                told = footer.last,
                journal = limit,
                "the event log has events of commands that the journal lacks: they may have been told, and their \
                 numbers are given anew"
            );
            return Ok(false);
        }
        let mut index = vec![0u8; usize::try_from(index_bytes).unwrap_or(0)];
        file.read_at(footer.index_offset, &mut index)
            .map_err(failed())?;
        if crc32c::crc32c(&index) != footer.index_crc
            || checksum(file.as_ref(), footer.index_offset).map_err(failed())? != footer.events_crc
        {
            return Ok(false);
        }
        let Ok(entries) = <[IndexEntry]>::ref_from_bytes(&index) else {
            return Ok(false);
        };
        let ranges = ranges(entries);
        for (session, range) in &ranges {
            self.note_newest(*session, range.epoch, range.last);
        }
        self.sequence = footer.last;
        self.sealed.push(Sealed {
            index_offset: footer.index_offset,
            entries: footer.entries,
            ranges,
        });
        Ok(true)
    }

    fn note_newest(&mut self, session: u32, epoch: u32, number: u64) {
        let newest = self.newest.entry(session).or_default();
        *newest = (*newest).max((epoch, number));
    }

    fn begin_file(&mut self, number: u64) -> Result<(), JournalError> {
        let name = file_name(number);
        self.file = self
            .disk
            .create(&name)
            .map_err(JournalError::io(format!("making {name}")))?;
        self.number = number;
        self.flushed = 0;
        self.events_crc = 0;
        self.index.clear();
        self.buffer.clear();
        let header = FileHeader {
            magic: MAGIC,
            log_id: self.log_id,
            number,
            after: self.sequence,
        };
        self.buffer.extend_from_slice(header.as_bytes());
        self.tell();
        Ok(())
    }

    /// Called when everything before the current file's header, or all there is, is in the files.
    fn tell(&self) {
        self.head.set(Written {
            number: self.number,
            bytes: self.flushed,
            sequence: self.sequence,
        });
    }

    /// How far a tail may read.
    pub fn head(&self) -> Head {
        self.head.clone()
    }

    /// The journal this log is of.
    pub fn log_id(&self) -> u64 {
        self.log_id
    }

    /// The command whose events, and those of all before it, are in.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Appends the next event.
    ///
    /// # Errors
    /// The disk's own.
    pub fn append(&mut self, header: &EventHeader, bytes: &[u8]) -> Result<(), JournalError> {
        let length = header.length as usize;
        let offset = self.flushed + self.buffer.len() as u64;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "events are at most 512 bytes"
        )]
        let frame = Frame {
            crc: crc32c::crc32c(&bytes[..length]),
            length: length as u32,
        };
        self.buffer.extend_from_slice(frame.as_bytes());
        self.buffer.extend_from_slice(&bytes[..length]);
        if header.session_seq.0 != 0 {
            self.index.push(IndexEntry {
                session: header.session.0,
                epoch: header.epoch.0,
                number: header.session_seq.0,
                offset,
            });
            self.note_newest(header.session.0, header.epoch.0, header.session_seq.0);
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// All events of commands up to `sequence` have been appended.
    ///
    /// # Errors
    /// The disk's own.
    pub fn complete(&mut self, sequence: u64) -> Result<(), JournalError> {
        self.sequence = self.sequence.max(sequence);
        if self.flushed + self.buffer.len() as u64 >= self.file_bytes {
            self.seal()?;
        }
        Ok(())
    }

    /// Hands what is buffered to the file, for tails.
    ///
    /// # Errors
    /// The disk's own.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        if !self.buffer.is_empty() {
            self.file
                .write_at(self.flushed, &self.buffer)
                .map_err(JournalError::io(format!(
                    "writing {}",
                    file_name(self.number)
                )))?;
            self.flushed += self.buffer.len() as u64;
            self.events_crc = crc32c::crc32c_append(self.events_crc, &self.buffer);
            self.buffer.clear();
        }
        self.tell();
        Ok(())
    }

    /// Whether a tail lacks something that is known here.
    pub fn is_ahead_of_files(&self) -> bool {
        let written = self.head.get();
        written.sequence != self.sequence
            || written.bytes != self.flushed + self.buffer.len() as u64
    }

    fn seal(&mut self) -> Result<(), JournalError> {
        self.flush()?;
        self.index.sort_unstable();
        let index = self.index.as_bytes();
        let index_offset = self.flushed;
        let mut footer = Footer {
            magic: FOOTER_MAGIC,
            index_offset,
            entries: self.index.len() as u64,
            last: self.sequence,
            events_crc: self.events_crc,
            index_crc: crc32c::crc32c(index),
            reserved: 0,
            crc: 0,
        };
        footer.crc = footer.checksum();
        let failed = || JournalError::io(format!("sealing {}", file_name(self.number)));
        self.file.write_at(index_offset, index).map_err(failed())?;
        let end = index_offset + index.len() as u64;
        self.file
            .write_at(end, footer.as_bytes())
            .map_err(failed())?;
        self.sealed.push(Sealed {
            index_offset,
            entries: footer.entries,
            ranges: ranges(&self.index),
        });
        self.begin_file(self.number + 1)
    }

    /// Highest (epoch, number) of a session, if it ever got one.
    pub fn newest(&self, session: SessionId) -> Option<(Epoch, u64)> {
        self.newest
            .get(&session.0)
            .map(|&(epoch, number)| (Epoch(epoch), number))
    }

    /// Reads whole events of a session, numbers `from..=to` of one epoch, in order, until about
    /// `bytes_max` are collected (at least one event if there is one). Missing numbers end it.
    ///
    /// # Errors
    /// The disk's own, or an event that is not what was written.
    pub fn read(
        &mut self,
        session: SessionId,
        epoch: Epoch,
        from: u64,
        to: u64,
        bytes_max: usize,
    ) -> Result<Vec<u8>, JournalError> {
        let mut out = Vec::new();
        let mut next = from.max(1);
        for at in 0..self.sealed.len() {
            if next > to || out.len() >= bytes_max {
                return Ok(out);
            }
            let hit = self.sealed[at].ranges.iter().any(|(id, range)| {
                *id == session.0
                    && range.epoch == epoch.0
                    && range.first <= next
                    && next <= range.last
            });
            if hit {
                next = self.read_sealed(at, (session.0, epoch.0), next, to, bytes_max, &mut out)?;
            }
        }
        let key = |entry: &&IndexEntry| entry.session == session.0 && entry.epoch == epoch.0;
        let wanted: Vec<IndexEntry> = self
            .index
            .iter()
            .filter(key)
            .filter(|entry| (next..=to).contains(&entry.number))
            .copied()
            .collect();
        for entry in wanted {
            if entry.number != next || out.len() >= bytes_max {
                break;
            }
            self.read_current(&entry, &mut out)?;
            next += 1;
        }
        Ok(out)
    }

    /// A sealed file, opened if it is not.
    fn open_sealed(&mut self, number: u64) -> Result<Arc<dyn DiskFile>, JournalError> {
        let known = self.open.iter().position(|(open, _)| *open == number);
        let entry = match known {
            Some(at) => self.open.remove(at),
            None => {
                let name = file_name(number);
                let file = self
                    .disk
                    .open(&name)
                    .map_err(JournalError::io(format!("opening {name}")))?;
                if self.open.len() == OPEN_MAX {
                    self.open.remove(0);
                }
                (number, file)
            }
        };
        let file = Arc::clone(&entry.1);
        self.open.push(entry);
        Ok(file)
    }

    fn read_sealed(
        &mut self,
        at: usize,
        (session, epoch): (u32, u32),
        mut next: u64,
        to: u64,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<u64, JournalError> {
        let number = at as u64 + 1;
        let file = self.open_sealed(number)?;
        let sealed = &self.sealed[at];
        let name = file_name(number);
        let failed = || JournalError::io(format!("reading {name}"));
        // Binary search on disk for the first entry, then entries in runs.
        let mut low = 0;
        let mut high = sealed.entries;
        let read_entry = |position: u64| -> Result<IndexEntry, JournalError> {
            let mut bytes = [0u8; ENTRY];
            file.read_at(sealed.index_offset + position * ENTRY as u64, &mut bytes)
                .map_err(failed())?;
            IndexEntry::read_from_bytes(&bytes)
                .map_err(|_| JournalError::damaged(&name, sealed.index_offset, "index entry"))
        };
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = read_entry(middle)?;
            if (entry.session, entry.epoch, entry.number) < (session, epoch, next) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        while low < sealed.entries && next <= to && out.len() < bytes_max {
            let entry = read_entry(low)?;
            if (entry.session, entry.epoch, entry.number) != (session, epoch, next) {
                break;
            }
            read_event(file.as_ref(), &name, entry.offset, out)?;
            next += 1;
            low += 1;
        }
        Ok(next)
    }

    fn read_current(&mut self, entry: &IndexEntry, out: &mut Vec<u8>) -> Result<(), JournalError> {
        if entry.offset >= self.flushed {
            self.flush()?;
        }
        read_event(
            self.file.as_ref(),
            &file_name(self.number),
            entry.offset,
            out,
        )
    }
}

/// Checksum of the first `bytes` of a file.
fn checksum(file: &dyn DiskFile, bytes: u64) -> std::io::Result<u32> {
    let mut block = vec![0u8; 1 << 20];
    let mut crc = 0;
    let mut offset = 0;
    while offset < bytes {
        let wanted = usize::try_from(bytes - offset).map_or(block.len(), |n| n.min(block.len()));
        let count = file.read_at(offset, &mut block[..wanted])?;
        if count == 0 {
            break;
        }
        crc = crc32c::crc32c_append(crc, &block[..count]);
        offset += count as u64;
    }
    Ok(crc)
}

fn read_event(
    file: &dyn DiskFile,
    name: &str,
    offset: u64,
    out: &mut Vec<u8>,
) -> Result<(), JournalError> {
    // Nearly every event and its frame fit in one read.
    let mut bytes = [0u8; size_of::<Frame>() + crate::limits::SHORT_EVENT_LENGTH_MAX];
    let read = |offset, bytes: &mut [u8]| {
        file.read_at(offset, bytes)
            .map_err(JournalError::io(format!("reading {name}")))
    };
    let count = read(offset, &mut bytes)?;
    let damaged = || JournalError::damaged(name, offset, "event checksum is wrong");
    let (frame, rest) = Frame::read_from_prefix(&bytes[..count]).map_err(|_| damaged())?;
    let length = frame.length as usize;
    let begin = out.len();
    if let Some(event) = rest.get(..length) {
        out.extend_from_slice(event);
    } else if length <= crate::limits::EVENT_LENGTH_MAX {
        out.resize(begin + length, 0);
        let count = read(offset + size_of::<Frame>() as u64, &mut out[begin..])?;
        out.truncate(begin + count);
    }
    if out.len() != begin + length || crc32c::crc32c(&out[begin..]) != frame.crc {
        out.truncate(begin);
        return Err(damaged());
    }
    Ok(())
}

/// First and last number per session and epoch of a sorted index.
fn ranges(entries: &[IndexEntry]) -> Vec<(u32, Range)> {
    let mut out: Vec<(u32, Range)> = Vec::new();
    for entry in entries {
        match out.last_mut() {
            Some((session, range)) if *session == entry.session && range.epoch == entry.epoch => {
                range.last = entry.number;
            }
            _ => out.push((
                entry.session,
                Range {
                    epoch: entry.epoch,
                    first: entry.number,
                    last: entry.number,
                },
            )),
        }
    }
    out
}

/// Walks the events in `bytes`.
pub fn events(bytes: &[u8]) -> impl Iterator<Item = (&EventHeader, event::EventBody<'_>, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (header, body) = event::read(rest).ok()?;
        let (this, next) = rest.split_at_checked(header.length as usize)?;
        rest = next;
        Some((header, body, this))
    })
}
