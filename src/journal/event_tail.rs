//! Every event in the order of the log, for readers at a distance: the projector, or whoever starts from
//! the past. Reads the files of the event log on the thread of whoever asks, up to where the history
//! thread says they are written, so it is never ahead of what is durable and costs nobody anything.
//!
//! A place is (sequence, index) and a checksum, not a file and an offset: it means the same after a restart
//! of the venue and in an event log that was made again.

use std::sync::Arc;

use zerocopy::{FromBytes, IntoBytes};

use super::JournalError;
use super::disk::{Disk, DiskFile};
use super::event_log::{FOOTER, FileHeader, Footer, Frame, HEADER, Head, file_name};
use crate::engine::event::{self, EventBody, EventHeader};
use crate::limits::EVENT_LENGTH_MAX;

/// Bytes read at once: what a tail holds of the log, about.
const CHUNK_BYTES: usize = 1 << 20;

/// A place in the log: an event that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its command.
    pub sequence: u64,
    /// Which event of it, from 0.
    pub index: u32,
    /// Its checksum.
    pub crc: u32,
}

/// What a tail may read: handed out by a recovered or running venue.
#[derive(Clone)]
pub struct TailSource {
    disk: Arc<dyn Disk>,
    log_id: u64,
    head: Head,
}

impl std::fmt::Debug for TailSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TailSource")
            .field("log_id", &self.log_id)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl TailSource {
    /// Of an event log on `disk`, written as far as `head` says.
    pub fn new(disk: Arc<dyn Disk>, log_id: u64, head: Head) -> Self {
        Self { disk, log_id, head }
    }

    /// The journal it is derived from.
    pub fn log_id(&self) -> u64 {
        self.log_id
    }

    /// The command whose events, and those of all before it, can be read.
    pub fn sequence(&self) -> u64 {
        self.head.sequence()
    }

    /// A tail from the first event on.
    pub fn from_start(&self) -> EventTail {
        self.at(1)
    }

    /// A tail from the first event of command `sequence` on.
    ///
    /// # Errors
    /// The disk's own.
    pub fn from_sequence(&self, sequence: u64) -> Result<EventTail, JournalError> {
        let mut tail = self.at(self.file_of(sequence)?);
        tail.skip_before = sequence;
        Ok(tail)
    }

    /// A tail from behind an event that was read before. `None`: the log does not have it, or another in
    /// its place.
    ///
    /// # Errors
    /// The disk's own.
    pub fn behind(&self, place: Place) -> Result<Option<EventTail>, JournalError> {
        if self.sequence() < place.sequence {
            return Ok(None);
        }
        let mut tail = self.from_sequence(place.sequence)?;
        while let Some(read) = tail.step()? {
            if (read.sequence, read.index) >= (place.sequence, place.index) {
                return Ok((read == place).then_some(tail));
            }
        }
        Ok(None)
    }

    fn at(&self, number: u64) -> EventTail {
        EventTail {
            source: self.clone(),
            number,
            file: None,
            offset: 0,
            end: 0,
            ended: false,
            chunk: Vec::new(),
            chunk_offset: 0,
            chunk_bytes: 0,
            event: Vec::new(),
            skip_before: 0,
        }
    }

    /// The last file that begins before a command.
    fn file_of(&self, sequence: u64) -> Result<u64, JournalError> {
        let (mut low, mut high) = (1, self.head.get().number.max(1));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.after(middle)?.is_some_and(|after| after < sequence) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok(low)
    }

    /// The last command before a file; `None`: its header is not written yet.
    fn after(&self, number: u64) -> Result<Option<u64>, JournalError> {
        let written = self.head.get();
        if written.number < number || (written.number == number && written.bytes < HEADER) {
            return Ok(None);
        }
        let (_, header) = self.open(number)?;
        Ok(Some(header.after))
    }

    fn open(&self, number: u64) -> Result<(Arc<dyn DiskFile>, FileHeader), JournalError> {
        let name = file_name(number);
        let file = self
            .disk
            .open(&name)
            .map_err(JournalError::io(format!("opening {name}")))?;
        let mut bytes = [0u8; size_of::<FileHeader>()];
        file.read_at(0, &mut bytes)
            .map_err(JournalError::io(format!("reading {name}")))?;
        let header = FileHeader::read_from_bytes(&bytes)
            .ok()
            .filter(|header| header.is_of(self.log_id, number));
        let header = header
            .ok_or_else(|| JournalError::damaged(&name, 0, "not a file of this event log"))?;
        Ok((file, header))
    }
}

/// Reads events one after the other. Holds one file open and a chunk of it in memory.
pub struct EventTail {
    source: TailSource,
    /// File being read.
    number: u64,
    file: Option<Arc<dyn DiskFile>>,
    /// Next frame.
    offset: u64,
    /// Frames end here, as far as is known.
    end: u64,
    /// The file is sealed: nothing comes behind `end`.
    ended: bool,
    /// What was read ahead, and from where.
    chunk: Vec<u8>,
    chunk_offset: u64,
    chunk_bytes: usize,
    /// The event last read, 8-aligned.
    event: Vec<u64>,
    /// Events of commands before this one are passed over.
    skip_before: u64,
}

impl std::fmt::Debug for EventTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventTail")
            .field("file", &self.number)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl EventTail {
    /// The next event and its place. `None`: there is none yet; asking again later may find one.
    ///
    /// # Errors
    /// The disk's own, or an event that is not what was written.
    pub fn read_next(
        &mut self,
    ) -> Result<Option<(Place, &EventHeader, EventBody<'_>)>, JournalError> {
        loop {
            let Some(place) = self.step()? else {
                return Ok(None);
            };
            if place.sequence >= self.skip_before {
                let (header, body) = event::read(self.event.as_bytes()).map_err(|error| {
                    let name = file_name(self.number);
                    JournalError::damaged(&name, self.offset, error.to_string())
                })?;
                return Ok(Some((place, header, body)));
            }
        }
    }

    /// The whole event that was read last, 8-aligned.
    pub fn last_event(&self) -> &[u8] {
        self.event.as_bytes()
    }

    /// Where the log is written to: [`TailSource::sequence`].
    pub fn sequence_written(&self) -> u64 {
        self.source.sequence()
    }

    /// Reads the next event into `event`.
    fn step(&mut self) -> Result<Option<Place>, JournalError> {
        while self.offset == self.end {
            if !self.find_more()? {
                return Ok(None);
            }
        }
        let name = file_name(self.number);
        let at = self.offset;
        let damaged = |why: &str| JournalError::damaged(&name, at, why);
        let frame = self.bytes(size_of::<Frame>())?;
        let frame = Frame::read_from_bytes(frame).map_err(|_| damaged("frame"))?;
        let length = frame.length as usize;
        if length < size_of::<EventHeader>() || length > EVENT_LENGTH_MAX {
            return Err(damaged("length of an event"));
        }
        self.offset += size_of::<Frame>() as u64;
        let bytes = self.bytes(length)?;
        if crc32c::crc32c(bytes) != frame.crc {
            return Err(damaged("event checksum is wrong"));
        }
        // Chunks are not aligned to events.
        let mut event = std::mem::take(&mut self.event);
        event.clear();
        event.resize(length.div_ceil(8), 0);
        event.as_mut_bytes()[..length].copy_from_slice(self.bytes(length)?);
        self.offset += length as u64;
        self.event = event;
        let (header, _) = EventHeader::ref_from_prefix(self.event.as_bytes())
            .map_err(|_| JournalError::damaged(&file_name(self.number), at, "event header"))?;
        Ok(Some(Place {
            sequence: header.sequence.0,
            index: header.index,
            crc: frame.crc,
        }))
    }

    /// Looks for frames behind `end`: in this file, or the next. `false`: there are none yet.
    fn find_more(&mut self) -> Result<bool, JournalError> {
        if self.ended {
            self.number += 1;
            self.file = None;
            self.ended = false;
            (self.offset, self.end) = (0, 0);
            self.chunk_bytes = 0;
        }
        let written = self.source.head.get();
        let readable = written.number > self.number
            || (written.number == self.number && written.bytes >= HEADER);
        if !readable {
            return Ok(false);
        }
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => {
                let (file, _) = self.source.open(self.number)?;
                self.offset = HEADER;
                self.file = Some(Arc::clone(&file));
                file
            }
        };
        if written.number == self.number {
            self.end = written.bytes;
        } else {
            self.end = frames_end(file.as_ref(), self.number)?;
            self.ended = true;
        }
        Ok(self.offset < self.end || self.ended)
    }

    /// The next bytes of the file, which are before `end`.
    fn bytes(&mut self, count: usize) -> Result<&[u8], JournalError> {
        let begins = self.offset.checked_sub(self.chunk_offset);
        let begins = begins.and_then(|begins| usize::try_from(begins).ok());
        let inside = begins.filter(|begins| begins + count <= self.chunk_bytes);
        let begins = match inside {
            Some(begins) => begins,
            None => {
                self.fill(count)?;
                0
            }
        };
        Ok(&self.chunk[begins..begins + count])
    }

    fn fill(&mut self, count: usize) -> Result<(), JournalError> {
        let name = file_name(self.number);
        let left = self.end.saturating_sub(self.offset);
        let wanted = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        self.chunk.resize(CHUNK_BYTES, 0);
        let file = self
            .file
            .as_ref()
            .ok_or_else(|| JournalError::damaged(&name, self.offset, "no file is open"))?;
        let read = file
            .read_at(self.offset, &mut self.chunk[..wanted])
            .map_err(JournalError::io(format!("reading {name}")))?;
        self.chunk_offset = self.offset;
        self.chunk_bytes = read;
        if read < count {
            return Err(JournalError::damaged(&name, self.offset, "an event is cut"));
        }
        Ok(())
    }
}

/// Where the index of a sealed file begins.
fn frames_end(file: &dyn DiskFile, number: u64) -> Result<u64, JournalError> {
    let name = file_name(number);
    let failed = || JournalError::io(format!("reading {name}"));
    let bytes = file.size().map_err(failed())?;
    let mut footer = [0u8; size_of::<Footer>()];
    let at = bytes.saturating_sub(FOOTER);
    file.read_at(at, &mut footer).map_err(failed())?;
    let footer = Footer::read_from_bytes(&footer).ok();
    let footer = footer.filter(|footer| footer.is_whole() && footer.index_offset >= HEADER);
    footer
        .map(|footer| footer.index_offset)
        .ok_or_else(|| JournalError::damaged(&name, at, "no footer"))
}
